/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Floating point as programs use it: a static i386 program that runs on the host and, as the only program of
 * a guest, on the emulator. What it prints must be the same in both (tests/cpu/guest-fp compares).
 *
 * The C library's functions with x87 arithmetic; SSE2 code (guest_fp_sse.c); four processes with four
 * rounding modes that take turns, so that the kernel saves and restores their states; SIGFPE with its si_code
 * for each exception of both units.
 */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

void sse_arithmetic(unsigned rounds);
void hash_bytes(const void *data, unsigned length);

static uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

void hash_bytes(const void *data, unsigned length)
{
    const uint8_t *p = data;
    while (length--)
        hash = (hash ^ *p++) * 0x100000001b3u;
}
static void hash_real(long double value)
{
    hash_bytes(&value, 10);
}
static void hash_double(double value)
{
    hash_bytes(&value, sizeof value);
}

static void x87_arithmetic(unsigned rounds, unsigned seed)
{
    volatile long double x = 1.0L + seed;
    for (unsigned i = 1; i < rounds; i++) {
        long double y = x / (i * 1.1L);
        hash_real(sinl(y));
        hash_real(expl(-y / 100));
        hash_real(logl(y + 1));
        hash_real(powl(y, 1.5L));
        hash_real(atan2l(y, 3));
        hash_real(sqrtl(y));
        hash_real(fmodl(y, 0.37L));
        hash_real(remainderl(y, 0.7L));
        hash_real(ldexpl(y, -3));
        hash_real(rintl(y));
        long long integer = llrintl(y * 1000);
        hash_bytes(&integer, sizeof integer);
        double d = (double)y;
        float f = (float)y;
        hash_double(d);
        hash_bytes(&f, sizeof f);
        hash_double(tan(d));
        hash_double(cbrt(d));
        hash_double(tgamma(fmod(d, 20)));
        x = x * 1.01L + i;
        if (x > 1e6L)
            x = 1;
    }
}

/* Four processes, each with a rounding mode of its own. */
static void take_turns(void)
{
    static const int modes[4] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    int pipes[4][2];
    for (unsigned k = 0; k < 4; k++) {
        if (pipe(pipes[k]))
            exit(1);
        if (fork())
            continue;
        fesetround(modes[k]);
        for (unsigned i = 0; i < 10; i++) {
            volatile long double z = 1.0L;
            for (unsigned n = 0; n < 20000; n++)
                z = z / 3.0L + 1.7L;
            hash_real(z);
            x87_arithmetic(100, k);
            sse_arithmetic(1);
            sched_yield();
        }
        char line[64];
        int length = snprintf(line, sizeof line, "process %u: %016llx, rounding %#x\n", k,
                              (unsigned long long)hash, (unsigned)fegetround());
        _exit(write(pipes[k][1], line, (size_t)length) != length);
    }
    for (unsigned k = 0; k < 4; k++) {
        char line[64] = "";
        if (read(pipes[k][0], line, sizeof line - 1) > 0)
            fputs(line, stdout);
    }
    while (wait(NULL) > 0) {
    }
}

static sigjmp_buf landing;
static void on_sigfpe(int signal, siginfo_t *info, void *context)
{
    siglongjmp(landing, 1 + info->si_code);
}

static void signals(void)
{
    static const struct {
        const char *name;
        int exception;
        double a, b;
        char operation;
    } cases[] = {{"zero divide", FE_DIVBYZERO, 1, 0, '/'},
                 {"invalid", FE_INVALID, -1, 0, 'r'},
                 {"overflow", FE_OVERFLOW, 1e300, 1e300, '*'},
                 {"underflow", FE_UNDERFLOW, 1e-300, 1e-300, '*'},
                 {"inexact", FE_INEXACT, 1, 3, '/'}};
    struct sigaction action = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGFPE, &action, NULL);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        for (volatile unsigned sse = 0; sse < 2; sse++) {
            volatile double a = cases[i].a, b = cases[i].b, r = 0;
            feclearexcept(FE_ALL_EXCEPT);
            int code = sigsetjmp(landing, 1);
            if (!code) {
                feenableexcept(cases[i].exception);
                if (cases[i].operation == 'r' && !sse)
                    __asm__ volatile("fldl %1\n\tfsqrt\n\tfstpl %0\n\tfwait" : "=m"(r) : "m"(a));
                else if (cases[i].operation == 'r')
                    __asm__ volatile("sqrtsd %0,%%xmm0" : : "m"(a));
                else if (cases[i].operation == '*' && !sse)
                    __asm__ volatile("fldl %1\n\tfmull %2\n\tfstpl %0\n\tfwait" : "=m"(r) : "m"(a), "m"(b));
                else if (cases[i].operation == '*')
                    __asm__ volatile("movsd %0,%%xmm0\n\tmulsd %1,%%xmm0" : : "m"(a), "m"(b));
                else if (!sse)
                    __asm__ volatile("fldl %1\n\tfdivl %2\n\tfstpl %0\n\tfwait" : "=m"(r) : "m"(a), "m"(b));
                else
                    __asm__ volatile("movsd %0,%%xmm0\n\tdivsd %1,%%xmm0" : : "m"(a), "m"(b));
            }
            fedisableexcept(FE_ALL_EXCEPT);
            feclearexcept(FE_ALL_EXCEPT);
            printf("%s, %s: %s %d\n", cases[i].name, sse ? "SSE" : "x87", code ? "SIGFPE, code" : "no signal",
                   code - 1);
        }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    x87_arithmetic(3000, 0);
    printf("x87 %016llx\n", (unsigned long long)hash);
    sse_arithmetic(20);
    printf("SSE %016llx\n", (unsigned long long)hash);
    printf("%La %Lg %a %.17g\n", sinl(1.0L), expl(3.3L), sin(2.0), pow(2.5, 3.7));
    take_turns();
    signals();
    printf("end %016llx\n", (unsigned long long)hash);
    if (getpid() == 1)
        reboot(RB_POWER_OFF);
    return 0;
}
