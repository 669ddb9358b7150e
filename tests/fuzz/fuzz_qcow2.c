/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Hostile qcow2 files: a good image of which the input changes bytes (header, tables, anything), opened for
 * writing and read, written and discarded at places the input names. Nothing may crash, hang, or take memory
 * without bound; what does not make sense is refused or an I/O error. libFuzzer target with -DNETLAB_FUZZ=ON,
 * else a test with a fixed series of inputs.
 */
#include "emu/block/backend.h"
#include "tests/dev/qcow2_image.h"
#include "tests/fuzz/fuzz_main.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IMAGE_SIZE = 1 << 20, CHANGES_MOST = 24, OPERATIONS_MOST = 24, FILE_MOST = 64 << 20 };

static uint64_t take(const uint8_t **data, size_t *left, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && *left; i++, ++*data, --*left)
        value |= (uint64_t) * *data << 8 * i;
    return value;
}

static void ignore(void *opaque, int error)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t fields[] = {4, 8, 16, 20, 24, 32, 36, 40, 48, 56, 60, 64, 72, 80, 88, 96, 100, 104};
    size_t len;
    unsigned shape = (unsigned)take(&data, &size, 1);
    g_autofree uint8_t *image = qcow2_image(2 + (shape & 1), shape & 2 ? 9 : 12, IMAGE_SIZE, NULL, &len);
    unsigned cluster = shape & 2 ? 512 : 4096, changes = (unsigned)take(&data, &size, 1) % CHANGES_MOST;
    if (shape & 8) /* tables alone: entries that point into the file, one way or another */
        for (unsigned n = changes; n-- > 0;) {
            uint64_t bits = take(&data, &size, 1), at = take(&data, &size, 1) % 64;
            uint64_t value = (take(&data, &size, 1) & 7) * (bits & 1 ? cluster : 512);
            value |= bits >> 1 & 1 ? UINT64_C(1) << 63 : 0;
            value |= bits >> 2 & 1 ? UINT64_C(1) << 62 : 0;
            value |= bits >> 3 & 1;
            qcow2_put(image + 3 * cluster + 8 * (at % (cluster / 8)), value, 8);
        }
    else if (!(shape & 0x10)) /* one change, so that the rest counts */
        changes = MIN(changes, 1);
    for (unsigned n = shape & 8 ? 0 : changes; n-- > 0;) {
        unsigned how = (unsigned)take(&data, &size, 1);
        size_t at = how & 1 ? take(&data, &size, 3) % len : fields[take(&data, &size, 1) % sizeof fields];
        unsigned bytes = 1u << (how >> 1 & 3);
        uint64_t value = take(&data, &size, how & 0x10 ? bytes : 1);
        if (how & 0x20) /* an entry that points somewhere */
            value = (value & 0x1f) * 512 | (uint64_t)(how >> 6) << 62;
        if (at + bytes <= len)
            qcow2_put(image + at, value, bytes);
    }
    struct rlimit limit = {.rlim_cur = FILE_MOST, .rlim_max = RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = MIN(limit.rlim_max, FILE_MOST);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("netlab-qcow2-XXXXXX", &path, NULL);
    close(fd);
    g_assert_true(g_file_set_contents(path, (const char *)image, (gssize)len, NULL));
    struct block_config config = {
        .id = "fuzz", .file = path, .cache = BLOCK_CACHE_UNSAFE, .discard = shape & 4};
    struct block *block = block_new(&config, NULL, NULL);
    g_autofree uint8_t *buf = g_malloc0(256 << 10);
    for (unsigned i = 0; block && size && i < OPERATIONS_MOST; i++) {
        struct block_request request = {.op = (enum block_op)(take(&data, &size, 1) % BLOCK_OPS),
                                        .offset = take(&data, &size, 2) % (IMAGE_SIZE / 512 + 8) * 512,
                                        .len = (uint32_t)(take(&data, &size, 1) * 512),
                                        .buf = buf,
                                        .done = ignore};
        block_submit(block, &request);
    }
    block_free(block);
    g_unlink(path);
    return 0;
}

FUZZ_MAIN(1500, 300)
