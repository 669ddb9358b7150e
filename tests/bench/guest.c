/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The Linux half of the benchmarks: a static i386 program that is init in the guests and an ordinary process
 * on the host (then in a chroot of the same files), so that the very same code is timed everywhere.
 *
 * It prints "R" and then obeys lines of the form `NAME ROUNDS [TEXT]`: prints "S", does the work, prints
 * "E nanoseconds result processor-nanoseconds". The host times the two markers with its own clock; the
 * nanoseconds are what the guest's clock made of it, to find clocks that lie, and what the guest's kernel
 * says of the processor time of this process and its children. Output is drained before the work starts, so
 * that the console's interrupts are not part of it. One process, one thread; `run TEXT` and `prepare TEXT`
 * execute TEXT with /bin/sh and n=ROUNDS in the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 1024, PAGE = 4096 };

static void fail(const char *what)
{
    printf("? %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static uint32_t getppid_int80(uint32_t rounds, const char *text)
{
    uint32_t sum = 0;
    (void)text;
    while (rounds--) {
        uint32_t result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(SYS_getppid) : "memory");
        sum |= result;
    }
    return sum;
}

/* By way of the vDSO's __kernel_vsyscall: SYSENTER where the CPU has it. */
static uint32_t getppid_vsyscall(uint32_t rounds, const char *text)
{
    uintptr_t entry = getauxval(AT_SYSINFO);
    uint32_t sum = 0;
    (void)text;
    if (!entry)
        fail("no __kernel_vsyscall");
    while (rounds--) {
        uint32_t result;
        __asm__ volatile("call *%1" : "=a"(result) : "r"(entry), "0"(SYS_getppid) : "memory");
        sum |= result;
    }
    return sum;
}

/* A round is one page: mapped, written for the first time, unmapped. */
static uint32_t touch(uint32_t rounds, const char *text)
{
    (void)text;
    for (uint32_t done = 0; done < rounds;) {
        uint32_t pages = rounds - done < PAGES ? rounds - done : PAGES;
        char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            fail("mmap");
        madvise(at, pages * PAGE, MADV_NOHUGEPAGE); /* kernels without huge pages refuse, rightly */
        for (uint32_t i = 0; i < pages; i++)
            at[i * PAGE] = 1;
        munmap(at, pages * PAGE);
        done += pages;
    }
    return 0;
}

static uint32_t children(uint32_t rounds, const char *const *argv)
{
    uint32_t sum = 0;
    while (rounds--) {
        int status;
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (!pid) {
            if (!argv)
                _exit(0);
            execv(argv[0], (char *const *)argv);
            _exit(127);
        }
        if (waitpid(pid, &status, 0) != pid)
            fail("waitpid");
        sum += (uint32_t)status;
    }
    return sum;
}

static uint32_t fork_exit(uint32_t rounds, const char *text)
{
    (void)text;
    return children(rounds, NULL);
}

static uint32_t fork_exec(uint32_t rounds, const char *text)
{
    (void)text;
    return children(rounds, (const char *const[]){"/bin/busybox", "true", NULL});
}

/* A byte there and one back; both processes on one CPU, as in a guest that has but one. */
static uint32_t ping_pong(uint32_t rounds, const char *text)
{
    int there[2], back[2], cpu = sched_getcpu();
    cpu_set_t before, one;
    char byte = 1;
    (void)text;
    if (sched_getaffinity(0, sizeof before, &before) || cpu < 0)
        fail("sched_getaffinity");
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    if (pipe(there) || pipe(back))
        fail("pipe");
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (!pid) {
        close(there[1]);
        close(back[0]);
        while (read(there[0], &byte, 1) == 1)
            if (write(back[1], &byte, 1) != 1)
                break;
        _exit(0);
    }
    close(there[0]);
    close(back[1]);
    while (rounds--)
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            fail("ping-pong");
    close(there[1]);
    close(back[0]);
    waitpid(pid, NULL, 0);
    sched_setaffinity(0, sizeof before, &before);
    return byte;
}

static uint32_t shell(uint32_t rounds, const char *text)
{
    char n[16];
    int status;
    snprintf(n, sizeof n, "%u", rounds);
    setenv("n", n, 1);
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (!pid) {
        execl("/bin/sh", "sh", "-c", text, (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid)
        fail("waitpid");
    return (uint32_t)status;
}

static const struct {
    const char *name;
    uint32_t (*work)(uint32_t rounds, const char *text);
} tests[] = {
    {"int80", getppid_int80}, {"vsyscall", getppid_vsyscall},
    {"touch", touch},         {"fork", fork_exit},
    {"exec", fork_exec},      {"pipe", ping_pong},
    {"run", shell},           {"prepare", shell},
};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Of this process and the children it waited for. */
static uint64_t processor_time(void)
{
    uint64_t sum = 0;
    for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
        struct rusage usage;
        getrusage(who, &usage);
        sum += (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
               (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
    }
    return sum;
}

static void obey(char *line)
{
    char *rest, *name = strtok_r(line, " \n", &rest), *rounds = strtok_r(NULL, " \n", &rest);
    for (unsigned i = 0; name && rounds && i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(name, tests[i].name) != 0)
            continue;
        printf("S\n");
        fflush(stdout);
        tcdrain(1);
        uint64_t used = processor_time(), began = now();
        uint32_t result = tests[i].work((uint32_t)strtoul(rounds, NULL, 10), rest);
        uint64_t took = now() - began;
        used = processor_time() - used;
        printf("E %llu %x %llu\n", (unsigned long long)took, result, (unsigned long long)used);
        fflush(stdout);
        return;
    }
    printf("? no such test\n");
    fflush(stdout);
}

/* The console without echo; /dev, /proc and /tmp for the programs that are run. */
static void become_init(void)
{
    struct termios console;
    if (tcgetattr(0, &console) == 0) {
        console.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK);
        tcsetattr(0, TCSANOW, &console);
    }
}

int main(void)
{
    static char line[4096];
    bool init = getpid() == 1;
    if (init)
        become_init();
    setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
    setenv("LC_ALL", "C", 1);
    setenv("PYTHONHASHSEED", "0", 1); /* a machine that has just started may have no random numbers yet */
    printf("R\n");
    fflush(stdout);
    if (init) {
        mount("proc", "/proc", "proc", 0, NULL);
        mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
    }
    while (fgets(line, sizeof line, stdin))
        obey(line);
    if (init)
        reboot(RB_POWER_OFF);
    return 0;
}
