/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Disk work for the benchmarks and tests: one static i386 program that runs in the guests and on the host
 * alike.
 *
 * Prints "R", and then obeys lines of its input: prints "S", does the work, prints "E bytes operations ns"
 * (its own clock). Times are taken by whoever reads the markers. PATH is a block device or a file, opened
 * with O_DIRECT where it can be, so that it is the drive that answers and not this end's page cache. AREA
 * bytes from the start of PATH are worked on, from where the last run of the same kind ended.
 *
 *   seq-read  PATH MS BLOCK AREA     reads block after block for that long
 *   seq-write PATH MS BLOCK AREA
 *   rand-read  PATH MS BLOCK AREA    one block after another at places of chance, never two at a time
 *   rand-write PATH MS BLOCK AREA
 *   sync PATH MS BLOCK AREA          writes a block and waits for fdatasync(), again and again
 *   fresh PATH START BYTES BLOCK     writes those bytes once, then fdatasync()
 *   fill PATH BYTES SEED BLOCK       writes a stream that follows from the seed and the position, then
 *                                    fdatasync()
 *   verify PATH BYTES SEED BLOCK     reads it; the first wrong byte is a failure that names its place
 *
 * Whatever fails is a line that begins with "?", and the end.
 */
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_MOST = 4 << 20, SECTOR = 512 };

static uint8_t *block; /* of BLOCK_MOST, page-aligned */
static uint64_t dice = 88172645463325252;

static void fail(const char *what)
{
    printf("? %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t began;

static void start(void)
{
    puts("S");
    fflush(stdout);
    began = now_ns();
}

static void end(uint64_t bytes, uint64_t operations)
{
    uint64_t took = now_ns() - began;
    printf("E %llu %llu %llu\n", (unsigned long long)bytes, (unsigned long long)operations,
           (unsigned long long)took);
}

static int open_direct(const char *path, int flags)
{
    int fd = open(path, flags | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL)
        fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        fail(path);
    return fd;
}

static uint64_t chance(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice;
}

static void move(int fd, bool write, uint64_t at, uint32_t len)
{
    for (uint32_t done = 0; done < len;) {
        ssize_t n = write ? pwrite(fd, block + done, len - done, (off_t)(at + done))
                          : pread(fd, block + done, len - done, (off_t)(at + done));
        if (n == 0)
            errno = ENODATA;
        if (n <= 0)
            fail(write ? "write" : "read");
        done += (uint32_t)n;
    }
}

static bool is_block(uint64_t size)
{
    return size && size <= BLOCK_MOST && size % SECTOR == 0;
}

static void work(const char *name, const char *path, uint64_t ms, uint64_t size, uint64_t area)
{
    bool sync = !strcmp(name, "sync"), random = !strncmp(name, "rand", 4),
         write = sync || strstr(name, "write");
    static uint64_t at; /* goes on where the last one ended */
    if (!is_block(size) || area < size) {
        printf("? a block of %llu in an area of %llu bytes\n", (unsigned long long)size,
               (unsigned long long)area);
        return;
    }
    int fd = open_direct(path, write ? O_RDWR : O_RDONLY);
    uint64_t blocks = area / size, count = 0;
    start();
    for (uint64_t until = began + ms * 1000000; now_ns() < until; count++) {
        at = (random ? chance() : at + 1) % blocks;
        move(fd, write, at * size, (uint32_t)size);
        if (sync && fdatasync(fd))
            fail("fdatasync");
    }
    end(count * size, count);
    close(fd);
}

/* What stands at a place of the stream: splitmix64 of it. */
static uint64_t word_at(uint64_t seed, uint64_t index)
{
    uint64_t z = seed * UINT64_C(0xd1342543de82ef95) + index * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void make_stream(uint64_t seed, uint64_t at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t word = word_at(seed, (at + i) / 8);
        memcpy(block + i, &word, sizeof word);
    }
}

static void compare_stream(uint64_t seed, uint64_t at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t want = word_at(seed, (at + i) / 8), have;
        memcpy(&have, block + i, sizeof have);
        if (have == want)
            continue;
        printf("? wrong at byte %llu: %016llx instead of %016llx\n", (unsigned long long)(at + i),
               (unsigned long long)have, (unsigned long long)want);
        fflush(stdout);
        _exit(1);
    }
}

/* fresh, fill, verify: `seed` is of the last two. */
static void pass(const char *path, uint64_t from, uint64_t bytes, uint64_t size, bool write,
                 const uint64_t *seed)
{
    if (!is_block(size) || bytes % SECTOR || from % SECTOR) {
        printf("? %llu bytes from %llu in blocks of %llu\n", (unsigned long long)bytes,
               (unsigned long long)from, (unsigned long long)size);
        return;
    }
    int fd = open_direct(path, write ? O_RDWR : O_RDONLY);
    uint64_t count = 0;
    start();
    for (uint64_t done = 0; done < bytes; count++) {
        uint32_t len = (uint32_t)(bytes - done < size ? bytes - done : size);
        if (write && seed)
            make_stream(*seed, from + done, len);
        move(fd, write, from + done, len);
        if (!write)
            compare_stream(*seed, from + done, len);
        done += len;
    }
    if (write && fdatasync(fd))
        fail("fdatasync");
    end(bytes, count);
    close(fd);
}

static void obey(const char *line)
{
    char name[32] = "", path[512] = "";
    unsigned long long a = 0, b = 0, c = 0;
    int words = sscanf(line, "%31s %511s %llu %llu %llu", name, path, &a, &b, &c);
    if (words != 5)
        printf("? not a line of five words: %s\n", line);
    else if (!strcmp(name, "seq-read") || !strcmp(name, "seq-write") || !strcmp(name, "rand-read") ||
             !strcmp(name, "rand-write") || !strcmp(name, "sync"))
        work(name, path, a, b, c);
    else if (!strcmp(name, "fresh"))
        pass(path, a, b, c, true, NULL);
    else if (!strcmp(name, "fill") || !strcmp(name, "verify"))
        pass(path, 0, a, c, *name == 'f', &(uint64_t){b});
    else
        printf("? no such word: %s\n", line);
    fflush(stdout);
}

int main(void)
{
    char line[1024];
    block = mmap(NULL, BLOCK_MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        fail("mmap");
    make_stream(now_ns(), 0, BLOCK_MOST); /* nothing that could be found to be zeros, or the same again */
    puts("R");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        obey(line);
    }
    return 0;
}
