/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Hostile qcow2 files: a good image of which the input changes bytes (header, tables, anything), opened for
 * writing and read, written and discarded at places the input names; one in two has snapshots, which are
 * taken, applied, deleted and read as well. Nothing may crash, hang, or take memory without bound; what does
 * not make sense is refused or an I/O error. libFuzzer target with -DNETLAB_FUZZ=ON, else a test with a fixed
 * series of inputs.
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

static char *store(const uint8_t *image, size_t len)
{
    char *path = NULL;
    int fd = g_file_open_tmp("netlab-qcow2-XXXXXX", &path, NULL);
    close(fd);
    g_assert_true(g_file_set_contents(path, (const char *)image, (gssize)len, NULL));
    return path;
}

static void submit(struct block *block, enum block_op op, uint64_t offset, uint8_t *buf, uint32_t len)
{
    struct block_request request = {.op = op, .offset = offset, .len = len, .buf = buf, .done = ignore};
    block_submit(block, &request);
}

/* Two snapshots, one with a state, and something written since. */
static uint8_t *with_snapshots(const uint8_t *image, size_t *len)
{
    g_autofree char *path = store(image, *len);
    struct block_config config = {.id = "fuzz", .file = path, .cache = BLOCK_CACHE_UNSAFE};
    struct block *block = block_new(&config, NULL, NULL);
    uint8_t data[2048] = {1};
    char *out = NULL;
    for (unsigned i = 0; i < 3; i++) {
        char *id = NULL;
        struct block_snapshot what = {.name = (char *)"snapshot"};
        submit(block, BLOCK_WRITE, i * 1024, data, sizeof data);
        if (i < 2)
            g_assert_true((!i || block_state_write(block, data, 1500, NULL)) &&
                          block_snapshot_take(block, &what, &id, NULL));
        g_free(id);
    }
    block_free(block);
    g_assert_true(g_file_get_contents(path, &out, len, NULL));
    g_unlink(path);
    return (uint8_t *)out;
}

static void operate_snapshots(struct block *block, unsigned how, uint8_t *buf)
{
    unsigned count = block_snapshot_count(block);
    const struct block_snapshot *s = count ? block_snapshot_get(block, how % count) : NULL;
    g_autofree char *id = s ? g_strdup(s->id) : NULL, *made = NULL;
    struct block_snapshot what = {.name = (char *)"more"};
    if (how & 0x40 && s)
        block_snapshot_apply(block, id, NULL);
    else if (how & 0x20 && s)
        block_snapshot_remove(block, id, NULL);
    else if (how & 0x10 && s)
        block_state_read(block, id, how & 7, buf, (size_t)MIN(s->state_size, 2000), NULL);
    else if ((how & 8 && !block_state_write(block, buf, 700, NULL)) ||
             !block_snapshot_take(block, &what, &made, NULL))
        block_state_drop(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t fields[] = {4, 8, 16, 20, 24, 32, 36, 40, 48, 56, 60, 64, 72, 80, 88, 96, 100, 104};
    size_t len;
    unsigned shape = (unsigned)take(&data, &size, 1);
    g_autofree uint8_t *image = qcow2_image(2 + (shape & 1), shape & 2 ? 9 : 12, IMAGE_SIZE, NULL, &len);
    static struct {
        uint8_t *image;
        size_t len;
        uint64_t table, l1;
    } kept[4];
    if (shape & 0x20) {
        if (!kept[shape & 3].image) {
            kept[shape & 3].len = len;
            kept[shape & 3].image = with_snapshots(image, &kept[shape & 3].len);
            memcpy(&kept[shape & 3].l1, kept[shape & 3].image + 40, 8);
            memcpy(&kept[shape & 3].table, kept[shape & 3].image + 64, 8);
        }
        g_free(image);
        len = kept[shape & 3].len;
        image = g_memdup2(kept[shape & 3].image, len);
    }
    size_t table = (size_t)GUINT64_FROM_BE(kept[shape & 3].table),
           l1 = (size_t)GUINT64_FROM_BE(kept[shape & 3].l1);
    unsigned cluster = shape & 2 ? 512 : 4096, changes = (unsigned)take(&data, &size, 1) % CHANGES_MOST;
    if (shape & 8) /* tables alone: entries that point into the file, one way or another */
        for (unsigned n = changes; n-- > 0;) {
            uint64_t bits = take(&data, &size, 1), at = take(&data, &size, 1) % 64;
            uint64_t value = (take(&data, &size, 1) & 7) * (bits & 1 ? cluster : 512);
            value |= bits >> 1 & 1 ? UINT64_C(1) << 63 : 0;
            value |= bits >> 2 & 1 ? UINT64_C(1) << 62 : 0;
            value |= bits >> 3 & 1;
            size_t where = (shape & 0x20 ? l1 : 3 * cluster) + 8 * (at % (cluster / 8));
            if (where + 8 <= len)
                qcow2_put(image + where, value, 8);
        }
    else if (!(shape & 0x10)) /* one change, so that the rest counts */
        changes = MIN(changes, 1);
    for (unsigned n = shape & 8 ? 0 : changes; n-- > 0;) {
        unsigned how = (unsigned)take(&data, &size, 1);
        size_t at = how & 1 ? take(&data, &size, 3) % len : fields[take(&data, &size, 1) % sizeof fields];
        if (how & 8 && shape & 0x20) /* the table of snapshots */
            at = table + take(&data, &size, 1) % 160;
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
    g_autofree char *path = store(image, len);
    struct block_config config = {
        .id = "fuzz", .file = path, .cache = BLOCK_CACHE_UNSAFE, .discard = shape & 4};
    struct block *block = block_new(&config, NULL, NULL);
    g_autofree uint8_t *buf = g_malloc0(256 << 10);
    for (unsigned i = 0; block && size && i < OPERATIONS_MOST; i++) {
        unsigned op = (unsigned)take(&data, &size, 1);
        if (shape & 0x20 && op & 0x80) {
            operate_snapshots(block, op, buf);
            continue;
        }
        uint64_t offset = take(&data, &size, 2) % (IMAGE_SIZE / 512 + 8) * 512;
        submit(block, (enum block_op)(op % BLOCK_OPS), offset, buf, (uint32_t)(take(&data, &size, 1) * 512));
    }
    block_free(block);
    g_unlink(path);
    return 0;
}

FUZZ_MAIN(1500, 300)
