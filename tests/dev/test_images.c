/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Images: raw, snapshot=on, qcow2 against a model in memory, backing files, locks, errors and their policies,
 * requests through the thread. Where qemu-img is installed it judges the qcow2 images as well.
 */
#include "emu/block/backend.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"
#include "tests/dev/qcow2_image.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig {
    char *folder;
};

static void set_up(struct rig *r, gconstpointer data)
{
    r->folder = g_dir_make_tmp("netlab-block-XXXXXX", NULL);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    GDir *folder = g_dir_open(r->folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(folder));) {
        g_autofree char *path = g_build_filename(r->folder, name, NULL);
        g_unlink(path);
    }
    g_dir_close(folder);
    g_rmdir(r->folder);
    g_free(r->folder);
}

/* A file of the folder; the name is the caller's. */
static char *make(struct rig *r, const char *name, const void *data, size_t len)
{
    char *path = g_build_filename(r->folder, name, NULL);
    g_assert_true(g_file_set_contents(path, data, (gssize)len, NULL));
    return path;
}

static void store_error(void *opaque, int error)
{
    *(int *)opaque = error;
}

static int run(struct block *block, enum block_op op, uint64_t offset, void *buf, uint32_t len)
{
    int error = -1;
    struct block_request request = {
        .op = op, .offset = offset, .len = len, .buf = buf, .done = store_error, .opaque = &error};
    block_submit(block, &request);
    return error;
}

static struct block *open_image(const char *path, struct block_config config)
{
    g_autoptr(GError) error = NULL;
    config.id = "test";
    config.file = path;
    struct block *block = block_new(&config, NULL, &error);
    g_assert_no_error(error);
    return block;
}

static void refused(const char *path, struct block_config config, const char *says)
{
    g_autoptr(GError) error = NULL;
    config.id = "test";
    config.file = path;
    g_assert_null(block_new(&config, NULL, &error));
    if (!strstr(error->message, says) || !strstr(error->message, path) || strchr(error->message, '\n'))
        g_error("%s: \"%s\" does not say \"%s\"", path, error->message, says);
}

static bool judge(const char *first, ...)
{
    GPtrArray *argv = g_ptr_array_new();
    va_list words;
    va_start(words, first);
    for (const char *word = first; word; word = va_arg(words, const char *))
        g_ptr_array_add(argv, (gpointer)word);
    va_end(words);
    g_ptr_array_add(argv, NULL);
    g_autofree char *out = NULL, *err = NULL;
    g_autofree char *program = g_find_program_in_path(first);
    int status = 0;
    bool good = true;
    if (program) {
        g_assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
                                   &err, &status, NULL));
        good = g_spawn_check_wait_status(status, NULL);
        if (!good)
            g_test_message("%s %s: %s%s", first, (char *)argv->pdata[1], out, err);
    }
    g_ptr_array_free(argv, TRUE);
    return good;
}

/* ---- raw ---- */

static void test_raw(struct rig *r, gconstpointer unused)
{
    uint8_t data[1300], buf[1536];
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    g_autofree char *path = make(r, "raw", data, sizeof data);
    struct block *b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW});
    g_assert_cmpuint(block_size(b), ==, 1536); /* rounded up */
    g_assert_cmpint(run(b, BLOCK_READ, 0, buf, 1536), ==, 0);
    g_assert_cmpmem(buf, 1300, data, 1300);
    g_assert_cmphex(buf[1300], ==, 0);
    g_assert_cmpint(run(b, BLOCK_READ, 1024, buf, 1024), ==, EINVAL);
    g_assert_cmpint(run(b, BLOCK_READ, UINT64_MAX - 511, buf, 512), ==, EINVAL);
    memset(buf, 0x5a, 512);
    g_assert_cmpint(run(b, BLOCK_WRITE, 1024, buf, 512), ==, 0);
    g_assert_cmpint(run(b, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 1536);
    g_assert_cmpint(truncate(path, 512), ==, 0); /* cut short underneath: an error, not zeros */
    g_assert_cmpint(run(b, BLOCK_READ, 0, buf, 1536), ==, EIO);
    g_assert_cmpint(run(b, BLOCK_READ, 0, buf, 512), ==, 0);
    g_assert_cmpuint(block_counters(b)->errors[BLOCK_READ], ==, 1);
    block_free(b);
}

static void test_guessed(struct rig *r, gconstpointer unused)
{
    uint8_t zeros[8192] = {0}, evil[512] = "QFI\xfb\0\0\0\3";
    g_autofree char *path = make(r, "guess", zeros, sizeof zeros);
    struct block *b = open_image(path, (struct block_config){0});
    g_assert_cmpstr(block_format(b), ==, "raw");
    g_assert_cmpint(run(b, BLOCK_WRITE, 0, evil, 512), ==, EPERM);
    g_assert_cmpint(run(b, BLOCK_WRITE, 512, evil, 512), ==, 0);
    block_free(b);
    b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW}); /* who names it means it */
    g_assert_cmpint(run(b, BLOCK_WRITE, 0, evil, 512), ==, 0);
    block_free(b);
}

static void test_refused(struct rig *r, gconstpointer unused)
{
    uint8_t vmdk[1024] = "KDMV";
    g_autofree char *a = make(r, "a", vmdk, sizeof vmdk), *empty = make(r, "empty", "", 0);
    g_autofree char *none = g_build_filename(r->folder, "none", NULL);
    refused(none, (struct block_config){0}, "No such file");
    refused(r->folder, (struct block_config){.read_only = true}, "is a folder");
    refused(empty, (struct block_config){0}, "the image is empty");
    refused(a, (struct block_config){0}, "looks like a VMDK image");
    refused(a, (struct block_config){.format = BLOCK_FORMAT_QCOW2}, "no qcow2 header");
}

static void test_locks(struct rig *r, gconstpointer unused)
{
    uint8_t zeros[4096] = {0};
    g_autofree char *path = make(r, "locked", zeros, sizeof zeros);
    struct block *writer = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW});
    refused(path, (struct block_config){.format = BLOCK_FORMAT_RAW}, "in use by another");
    refused(path, (struct block_config){.format = BLOCK_FORMAT_RAW, .read_only = true}, "that writes to it");
    block_free(writer);
    struct block *one =
        open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW, .read_only = true});
    struct block *two = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW, .snapshot = true});
    refused(path, (struct block_config){.format = BLOCK_FORMAT_RAW}, "in use by another");
    g_assert_cmpint(run(one, BLOCK_WRITE, 0, zeros, 512), ==, EROFS);
    block_free(one);
    block_free(two);
}

/* ---- against a model ---- */

enum { MODEL_SIZE = 4 << 20 };

/* Random reads, writes and discards; the image must always read as the model. */
static void exercise(struct block *b, uint8_t *model, unsigned rounds, guint32 seed)
{
    GRand *random = g_rand_new_with_seed(seed);
    g_autofree uint8_t *buf = g_malloc(256 << 10);
    for (unsigned i = 0; i < rounds; i++) {
        uint32_t len = (uint32_t)g_rand_int_range(random, 1, g_rand_boolean(random) ? 16 : 512) * 512;
        uint64_t offset = (uint64_t)g_rand_int_range(random, 0, (gint32)(MODEL_SIZE - len) / 512 + 1) * 512;
        switch (g_rand_int_range(random, 0, 8)) {
        case 0:
        case 1:
        case 2:
            for (uint32_t k = 0; k < len; k += 4)
                memcpy(buf + k, &(uint32_t){g_rand_int(random)}, 4);
            memcpy(model + offset, buf, len);
            g_assert_cmpint(run(b, BLOCK_WRITE, offset, buf, len), ==, 0);
            break;
        case 3:
            g_assert_cmpint(run(b, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
            break;
        default:
            g_assert_cmpint(run(b, BLOCK_READ, offset, buf, len), ==, 0);
            g_assert_true(memcmp(buf, model + offset, len) == 0);
        }
    }
    g_rand_free(random);
}

static void same_as(struct block *b, const uint8_t *model)
{
    g_autofree uint8_t *buf = g_malloc(MODEL_SIZE);
    for (uint32_t at = 0; at < MODEL_SIZE; at += 1 << 20)
        g_assert_cmpint(run(b, BLOCK_READ, at, buf + at, 1 << 20), ==, 0);
    g_assert_true(memcmp(buf, model, MODEL_SIZE) == 0);
}

static uint8_t *random_bytes(size_t len, guint32 seed)
{
    GRand *random = g_rand_new_with_seed(seed);
    uint8_t *data = g_malloc(len);
    for (size_t i = 0; i < len; i += 4)
        memcpy(data + i, &(uint32_t){g_rand_int(random)}, 4);
    g_rand_free(random);
    return data;
}

static void test_snapshot(struct rig *r, gconstpointer unused)
{
    g_autofree uint8_t *model = random_bytes(MODEL_SIZE, 1), *before = g_memdup2(model, MODEL_SIZE);
    g_autofree char *path = make(r, "base", model, MODEL_SIZE);
    struct block *b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW, .snapshot = true});
    exercise(b, model, 400, 2);
    same_as(b, model);
    block_free(b);
    b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW});
    same_as(b, before);
    block_free(b);
}

static void test_qcow2(struct rig *r, gconstpointer unused)
{
    static const struct {
        unsigned version, cluster_bits;
        bool backing, discard;
    } kinds[] = {{2, 12, false, false},
                 {3, 16, false, true},
                 {3, 12, true, true},
                 {2, 16, true, false},
                 {3, 21, true, false}};
    g_autofree uint8_t *base = random_bytes(MODEL_SIZE / 2, 7);
    g_autofree char *base_path = make(r, "below", base, MODEL_SIZE / 2); /* shorter than what is above */
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        size_t len;
        g_autofree uint8_t *image = qcow2_image(kinds[i].version, kinds[i].cluster_bits, MODEL_SIZE,
                                                kinds[i].backing ? "below" : NULL, &len);
        g_autofree uint8_t *model = g_malloc0(MODEL_SIZE);
        g_autofree char *path = make(r, "image", image, len), *raw = NULL;
        struct block_config config = {.discard = kinds[i].discard};
        if (kinds[i].backing)
            memcpy(model, base, MODEL_SIZE / 2);
        for (guint32 pass = 0; pass < 3; pass++) {
            struct block *b = open_image(path, config);
            g_assert_cmpstr(block_format(b), ==, "qcow2");
            same_as(b, model);
            exercise(b, model, 150, 100 * pass + (guint32)i);
            if (kinds[i].discard) {
                memset(model + (1 << 20), 0, 1 << 20);
                g_assert_cmpint(run(b, BLOCK_DISCARD, 1 << 20, NULL, 1 << 20), ==, 0);
            }
            same_as(b, model);
            block_free(b);
            g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
        }
        raw = make(r, "model", model, MODEL_SIZE);
        g_assert_true(judge("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", path, raw, NULL));
    }
}

/* A copy of the file at any moment is consistent: what a killed process leaves behind. */
static void test_qcow2_killed(struct rig *r, gconstpointer unused)
{
    size_t len;
    g_autofree uint8_t *image = qcow2_image(3, 12, MODEL_SIZE, NULL, &len), *model = g_malloc0(MODEL_SIZE);
    g_autofree char *path = make(r, "image", image, len);
    struct block *b = open_image(path, (struct block_config){0});
    for (guint32 i = 0; i < 8; i++) {
        g_autofree char *data = NULL, *copy_path = NULL;
        gsize size;
        exercise(b, model, 40, i);
        g_assert_true(g_file_get_contents(path, &data, &size, NULL));
        copy_path = make(r, "copy", data, size);
        g_autofree uint8_t *copy_model = g_memdup2(model, MODEL_SIZE);
        struct block *copy = open_image(copy_path, (struct block_config){0});
        same_as(copy, model);
        exercise(copy, copy_model, 40, 1000 + i); /* goes on in spite of what was counted and not used */
        same_as(copy, copy_model);
        block_free(copy);
    }
    block_free(b);
}

static void test_qcow2_compressed(struct rig *r, gconstpointer unused)
{
    g_autofree char *program = g_find_program_in_path("qemu-img");
    g_autofree uint8_t *model = g_malloc0(MODEL_SIZE);
    if (!program) {
        g_test_skip("needs qemu-img (Debian: qemu-utils)");
        return;
    }
    for (unsigned i = 0; i < MODEL_SIZE; i++)
        model[i] = (uint8_t)(i >> 9 ^ i >> 3);
    g_autofree char *raw = make(r, "raw", model, MODEL_SIZE),
                    *path = g_build_filename(r->folder, "packed", NULL);
    g_assert_true(judge("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, path, NULL));
    struct block *b = open_image(path, (struct block_config){0});
    same_as(b, model);
    exercise(b, model, 200, 5);
    same_as(b, model);
    block_free(b);
    g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
    g_assert_true(judge("qemu-img", "snapshot", "-c", "one", path, NULL));
    refused(path, (struct block_config){0}, "internal snapshots");
    b = open_image(path, (struct block_config){.snapshot = true});
    same_as(b, model);
    block_free(b);
}

static void test_qcow2_refused(struct rig *r, gconstpointer unused)
{
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
        const char *says;
    } rows[] = {
        {4, 4, 4, "version 4 is not known"},
        {20, 4, 8, "not possible"},
        {20, 4, 22, "not possible"},
        {24, 8, UINT64_C(1) << 60, "do not fit each other"},
        {24, 8, 0, "do not fit each other"},
        {32, 4, 1, "encrypted"},
        {36, 4, 0, "do not fit each other"},
        {36, 4, 0xffffffff, "do not fit each other"},
        {40, 8, 77, "at no possible place"},
        {40, 8, UINT64_C(1) << 40, "behind the end of the file"},
        {48, 8, UINT64_C(0xfffffffffffff000), "at no possible place"},
        {56, 4, 0xffffffff, "do not fit each other"},
        {60, 4, 1, "internal snapshots"},
        {72, 8, 1, "not closed cleanly"},
        {72, 8, 4, "external data files"},
        {72, 8, 16, "features that are not known"},
        {96, 4, 7, "header is damaged"},
        {100, 4, 8, "header is damaged"},
        {8, 8, 4000, "backing file is damaged"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        size_t len;
        g_autofree uint8_t *image = qcow2_image(3, 12, MODEL_SIZE, NULL, &len);
        if (rows[i].offset == 8)
            qcow2_put(image + 16, 500, 4);
        qcow2_put(image + rows[i].offset, rows[i].value, rows[i].bytes);
        g_autofree char *path = make(r, "bad", image, len);
        refused(path, (struct block_config){0}, rows[i].says);
    }
    size_t len;
    g_autofree uint8_t *loop = qcow2_image(3, 12, MODEL_SIZE, "loop", &len); /* its own backing file */
    g_autofree char *path = make(r, "loop", loop, len);
    refused(path, (struct block_config){.read_only = true}, "more than 16 backing files");
    g_autofree uint8_t *net = qcow2_image(3, 12, MODEL_SIZE, "nbd://host/x", &len);
    g_autofree char *net_path = make(r, "net", net, len);
    refused(net_path, (struct block_config){0}, "only files are opened here");
}

/* ---- errors, and the thread ---- */

struct failures {
    unsigned count, stops;
    bool write;
};

static void failed(void *opaque, struct block *block, bool write, int error, bool stops, bool ignored)
{
    struct failures *f = opaque;
    f->count++;
    f->stops += stops;
    f->write = write;
}

/* A disk that is full: the guest's request waits, and goes through when there is room. */
static void test_full(struct rig *r, gconstpointer unused)
{
    uint8_t data[65536];
    size_t len;
    struct failures f = {0};
    struct rlimit before, small = {.rlim_cur = 1 << 20};
    g_autofree uint8_t *image = qcow2_image(3, 16, 64 << 20, NULL, &len);
    g_autofree char *path = make(r, "grows", image, len);
    struct block *b = open_image(path, (struct block_config){.on_write_error = BLOCK_ERROR_STOP});
    block_set_error_listener(b, failed, &f);
    memset(data, 0x11, sizeof data);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    int error = 0;
    unsigned n = 0;
    struct block_request request = {.op = BLOCK_WRITE, .len = sizeof data, .buf = data, .done = store_error};
    request.opaque = &error;
    for (; !f.count && n < 100; n++) {
        error = -1;
        request.offset = n * (uint64_t)sizeof data;
        block_submit(b, &request);
    }
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
    g_assert_cmpuint(f.stops, ==, 1);
    g_assert_true(f.write);
    g_assert_cmpint(error, ==, -1); /* the guest was told nothing */
    block_retry(b);
    g_assert_cmpint(error, ==, 0);
    memset(data, 0, sizeof data);
    g_assert_cmpint(run(b, BLOCK_READ, (n - 1) * (uint64_t)sizeof data, data, sizeof data), ==, 0);
    g_assert_cmphex(data[777], ==, 0x11);
    block_free(b);
}

static void count_down(void *opaque, int error)
{
    g_assert_cmpint(error, ==, 0);
    --*(unsigned *)opaque;
}

static void test_thread(struct rig *r, gconstpointer unused)
{
    enum { REQUESTS = 64, EACH = 4096 };
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *zeros = g_malloc0(REQUESTS * EACH), *data = random_bytes(REQUESTS * EACH, 3);
    g_autofree char *path = make(r, "threaded", zeros, REQUESTS * EACH);
    struct clock *clock = clock_new();
    struct loop *loop = loop_new(clock, &error);
    struct block_config config = {.id = "test", .file = path, .format = BLOCK_FORMAT_RAW};
    struct block *b = block_new(&config, loop, &error);
    g_assert_no_error(error);
    struct block_request requests[REQUESTS + 1];
    unsigned left = REQUESTS + 1;
    for (unsigned i = 0; i <= REQUESTS; i++) {
        requests[i] = (struct block_request){.op = i < REQUESTS ? BLOCK_WRITE : BLOCK_FLUSH,
                                             .offset = i * (uint64_t)EACH,
                                             .len = i < REQUESTS ? EACH : 0,
                                             .buf = data + i * EACH,
                                             .done = count_down,
                                             .opaque = &left};
        block_submit(b, &requests[i]);
    }
    for (unsigned turns = 0; left && turns < 10000; turns++)
        loop_wait(loop, 1000000000);
    g_assert_cmpuint(left, ==, 0);
    /* Taken back, or done and never told: its buffer is free either way. */
    struct block_request one = {
        .op = BLOCK_READ, .len = EACH, .buf = zeros, .done = count_down, .opaque = &left};
    left = 1;
    block_submit(b, &one);
    block_cancel(b, &one);
    memset(zeros, 0, EACH);
    block_drain(b);
    loop_dispatch(loop);
    g_assert_cmpuint(left, ==, 1);
    g_assert_cmphex(zeros[0], ==, 0);
    block_submit(b, &one);
    block_drain(b);
    g_assert_cmpuint(left, ==, 0);
    g_assert_cmpmem(zeros, EACH, data, EACH);
    block_free(b);
    loop_free(loop);
    clock_free(clock);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/block/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(raw);
    TEST(guessed);
    TEST(refused);
    TEST(locks);
    TEST(snapshot);
    TEST(qcow2);
    TEST(qcow2_killed);
    TEST(qcow2_compressed);
    TEST(qcow2_refused);
    TEST(full);
    TEST(thread);
    return g_test_run();
}
