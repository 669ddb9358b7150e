/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Images: raw, snapshot=on, qcow2 against a model in memory, backing files, locks, errors and their policies,
 * requests through the thread. Where qemu-img is installed it judges the qcow2 images as well.
 */
#include "emu/block/backend.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"
#include "tests/dev/image_rig.h"
#include "tests/dev/qcow2_image.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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
    refused(none, (struct block_config){0}, "truncate -s 1G FILE makes an empty raw image");
    refused(none, (struct block_config){.read_only = true}, "No such file or directory; check the name");
    refused("nbd:localhost:10809", (struct block_config){0},
            "an image is a file or block device of this host");
    refused("https://x.example/a.iso", (struct block_config){.read_only = true}, "copy it here");
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
        {60, 4, 1, "table of snapshots is damaged"},
        {60, 4, 65537, "more than 65536"},
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

/* ---- what the control room does ---- */

static void test_resize(struct rig *r, gconstpointer unused)
{
    size_t len;
    g_autoptr(GError) error = NULL;
    uint8_t data[512], back[512];
    memset(data, 0x77, sizeof data);
    for (unsigned kind = 0; kind < 2; kind++) {
        g_autofree uint8_t *image = qcow2_image(3, 12, MODEL_SIZE, NULL, &len),
                           *zeros = g_malloc0(MODEL_SIZE);
        g_autofree char *path =
            kind ? make(r, "resize.qcow2", image, len) : make(r, "resize.raw", zeros, MODEL_SIZE);
        struct block_config config = {.format = kind ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW};
        struct block *b = open_image(path, config);
        g_assert_cmpint(run(b, BLOCK_WRITE, MODEL_SIZE, data, 512), ==, EINVAL);
        g_assert_true(block_resize(b, 3 * MODEL_SIZE, &error));
        g_assert_cmpint(run(b, BLOCK_WRITE, 3 * MODEL_SIZE - 512, data, 512), ==, 0);
        g_assert_false(block_resize(b, 1000, &error));
        g_assert_nonnull(strstr(error->message, "multiple of 512"));
        g_clear_error(&error);
        g_assert_cmpint(block_resize(b, MODEL_SIZE, &error), ==, !kind); /* qcow2 images only grow */
        g_clear_error(&error);
        block_free(b);
        b = open_image(path, config);
        g_assert_cmpuint(block_size(b), ==, kind ? 3 * MODEL_SIZE : MODEL_SIZE);
        if (kind) {
            g_assert_cmpint(run(b, BLOCK_READ, 3 * MODEL_SIZE - 512, back, 512), ==, 0);
            g_assert_cmpmem(back, 512, data, 512);
        }
        block_free(b);
        g_assert_true(!kind || judge("qemu-img", "check", "-q", path, NULL));
    }
}

static void test_commit(struct rig *r, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    for (unsigned kind = 0; kind < 3; kind++) { /* snapshot=on; qcow2 over raw; over a smaller qcow2 */
        size_t len, base_len;
        g_autofree uint8_t *model = random_bytes(MODEL_SIZE, kind), *raw = g_memdup2(model, MODEL_SIZE);
        g_autofree uint8_t *top = qcow2_image(3, 12, MODEL_SIZE, "base", &len),
                           *small = qcow2_image(3, 16, MODEL_SIZE / 2, NULL, &base_len);
        g_autofree char *base =
            kind < 2 ? make(r, "base", raw, MODEL_SIZE) : make(r, "base", small, base_len);
        g_autofree char *path = kind ? make(r, "top", top, len) : g_strdup(base);
        struct block_config config = {.snapshot = !kind,
                                      .format = kind ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW};
        if (kind == 2)
            memset(model, 0, MODEL_SIZE);
        struct block *b = open_image(path, config);
        exercise(b, model, 200, 7);
        g_assert_true(block_commit(b, &error));
        g_assert_no_error(error);
        same_as(b, model);
        exercise(b, model, 50, 8); /* goes on above it */
        g_assert_true(block_commit(b, &error));
        block_free(b);
        b = open_image(base,
                       (struct block_config){.format = kind < 2 ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2});
        g_assert_cmpuint(block_size(b), ==, MODEL_SIZE);
        same_as(b, model);
        g_assert_false(block_commit(b, &error));
        g_assert_nonnull(strstr(error->message, "nothing to commit"));
        g_clear_error(&error);
        block_free(b);
        g_assert_true(!kind || judge("qemu-img", "check", "-q", path, NULL));
        if (kind) { /* nothing is left above */
            b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_QCOW2});
            same_as(b, model);
            block_free(b);
        }
    }
}

static void count_change(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void tray_moved(void *opaque, struct block *block, bool open)
{
    g_string_append_c(opaque, open ? 'o' : 'c');
}

static void test_tray(struct rig *r, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) moves = g_string_new(NULL);
    uint8_t zeros[4096] = {0};
    unsigned changes = 0, asked = 0;
    g_autofree char *path = make(r, "cd", zeros, sizeof zeros);
    struct block *b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW, .read_only = true});
    g_assert_false(block_move_tray(b, true, true, &error)); /* a hard disk has none */
    g_clear_error(&error);
    block_set_removable(b, count_change, &changes);
    g_assert_true(block_move_tray(b, true, false, &error)); /* as a floppy drive: there is nothing to move */
    g_assert_true(block_has_medium(b));
    block_set_tray(b, count_change, &asked);
    block_set_tray_listener(b, tray_moved, moves);
    block_lock_tray(b, true);
    g_assert_false(block_move_tray(b, true, false, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_PENDING);
    g_assert_nonnull(strstr(error->message, "is locked"));
    g_assert_cmpuint(asked, ==, 1);
    g_clear_error(&error);
    g_assert_false(block_remove(b, &error));
    g_assert_nonnull(strstr(error->message, "is not open"));
    g_clear_error(&error);
    g_assert_true(block_move_tray(b, true, true, &error));
    g_assert_false(block_has_medium(b));
    g_assert_true(block_move_tray(b, true, false, &error)); /* is open already */
    g_assert_true(block_move_tray(b, false, false, &error));
    g_assert_true(block_has_medium(b)); /* the same one */
    g_assert_cmpuint(changes, ==, 2);
    block_lock_tray(b, false);
    block_open_tray(b, true); /* the guest */
    g_assert_true(block_remove(b, &error));
    g_assert_true(block_insert(b, path, BLOCK_FORMAT_RAW, true, &error));
    g_assert_true(block_eject(b, false, &error));
    g_assert_cmpstr(moves->str, ==, "ococo");
    block_free(b);
}

static void take_back(void *opaque, struct image *image)
{
    struct image **mine = opaque;
    g_assert_null(*mine);
    *mine = image;
}

/* Images that stand by themselves: into a drive and back, whoever takes them out; who has the file. */
static void test_put(struct rig *r, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    uint8_t bytes[4096], zeros[4096] = {0};
    memset(bytes, 'x', sizeof bytes);
    unsigned changes = 0;
    g_autofree char *path = make(r, "one", zeros, sizeof zeros), *other = make(r, "two", zeros, sizeof zeros);
    struct block_config how = {
        .id = "n", .file = path, .format = BLOCK_FORMAT_RAW, .cache = BLOCK_CACHE_NONE};
    struct image *image = block_image_open(&how, &error), *beside = block_image_open(&how, &error);
    g_assert_no_error(error);
    struct block *b = block_new(&(struct block_config){.id = "a"}, NULL, &error);
    struct block *c = block_new(&(struct block_config){.id = "b"}, NULL, &error);
    g_assert_no_error(error);
    block_set_removable(b, count_change, &changes);
    struct image *out = NULL;
    for (unsigned way = 0; way < 4; way++) {
        g_assert_true(block_put(b, image, &how, take_back, &out, &error));
        g_assert_cmpint(block_cache_mode(b), ==, BLOCK_CACHE_NONE);
        g_assert_false(block_put(b, beside, &how, take_back, &out, &error));
        g_assert_nonnull(strstr(error->message, "There already is a medium"));
        g_clear_error(&error);
        g_assert_false(block_put(c, beside, &how, take_back, &out, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_BUSY);
        g_clear_error(&error);
        g_assert_cmpint(run(b, BLOCK_WRITE, 0, bytes, sizeof bytes), ==, 0);
        if (way == 0)
            g_assert_true(block_remove(b, &error));
        else if (way == 1)
            g_assert_true(block_eject(b, false, &error));
        else if (way == 2) /* another file, and then the same one */
            g_assert_true(block_insert(b, other, BLOCK_FORMAT_RAW, false, &error) &&
                          block_eject(b, false, &error));
        else
            g_assert_true(block_insert(b, path, BLOCK_FORMAT_RAW, false, &error));
        g_assert_no_error(error);
        g_assert_true(out == image);
        out = NULL;
    }
    g_assert_false(block_put(c, image, &how, take_back, &out, &error)); /* b has the file, by itself */
    g_clear_error(&error);
    g_assert_true(block_eject(b, false, &error));
    g_assert_true(block_put(c, image, &how, take_back, &out, &error));
    uint8_t read[4096];
    g_assert_cmpint(run(c, BLOCK_READ, 0, read, sizeof read), ==, 0);
    g_assert_cmpmem(read, sizeof read, bytes, sizeof bytes);
    block_free(c); /* gives it back as well */
    g_assert_true(out == image);
    g_assert_cmpuint(changes, ==, 10);
    block_image_close(image);
    block_image_close(beside);
    block_free(b);
}

static void test_zeroes(struct rig *r, gconstpointer unused)
{
    g_autofree uint8_t *model = random_bytes(MODEL_SIZE, 5), *zeros = g_malloc0(256 << 10);
    for (unsigned kind = 0; kind < 2; kind++) {
        size_t len;
        struct stat before, after;
        g_autofree uint8_t *image = qcow2_image(3, 16, MODEL_SIZE, NULL, &len);
        g_autofree char *path =
            kind ? make(r, "zero.qcow2", image, len) : make(r, "zero.raw", model, MODEL_SIZE);
        struct block *b =
            open_image(path, (struct block_config){.format = kind ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW,
                                                   .discard = true,
                                                   .zeroes = BLOCK_ZEROES_UNMAP});
        g_assert_cmpint(run(b, BLOCK_WRITE, 0, model, 2 << 20), ==, 0);
        g_assert_cmpint(run(b, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
        g_assert_cmpint(stat(path, &before), ==, 0);
        for (unsigned i = 0; i < 4; i++)
            g_assert_cmpint(run(b, BLOCK_WRITE, i * (256u << 10), zeros, 256 << 10), ==, 0);
        g_assert_cmpint(run(b, BLOCK_WRITE, (1 << 20) + 1024, zeros, 512), ==, 0); /* part of a cluster */
        g_assert_cmpint(run(b, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
        g_assert_cmpint(stat(path, &after), ==, 0);
        g_assert_cmpint(after.st_blocks, <=, before.st_blocks - 1900);
        g_autofree uint8_t *back = g_malloc(2 << 20);
        g_assert_cmpint(run(b, BLOCK_READ, 0, back, 2 << 20), ==, 0);
        for (unsigned i = 0; i < 2 << 20; i++)
            g_assert_cmphex(back[i], ==,
                            i < 1 << 20 || (i >= (1 << 20) + 1024 && i < (1 << 20) + 1536) ? 0 : model[i]);
        block_free(b);
        g_assert_true(!kind || judge("qemu-img", "check", "-q", path, NULL));
    }
}

/* ---- discs that were cut short ---- */

enum { DISC_SECTOR = 2048, DISC_SECTORS = 400, DISC_BYTES = DISC_SECTOR * DISC_SECTORS };

static void both_orders(uint8_t *p, uint32_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = p[2 * width - 1 - i] = (uint8_t)(value >> 8 * i);
}

/* A volume of DISC_SECTORS blocks whose sector n is filled with n; `kept` bytes of it. */
static char *disc(struct rig *r, const char *name, void (*spoil)(uint8_t *descriptor), size_t kept)
{
    g_autofree uint8_t *bytes = g_malloc(DISC_BYTES);
    for (unsigned i = 0; i < DISC_SECTORS; i++)
        memset(bytes + (size_t)i * DISC_SECTOR, (int)i, DISC_SECTOR);
    uint8_t *d = bytes + (size_t)16 * DISC_SECTOR;
    memset(d, 0, 2 * DISC_SECTOR);
    memcpy(d, "\1CD001\1", 7);
    both_orders(d + 80, DISC_SECTORS, 4);
    both_orders(d + 128, DISC_SECTOR, 2);
    d[156] = 34;
    both_orders(d + 158, 20, 4);
    memcpy(d + DISC_SECTOR, "\377CD001\1", 7);
    if (spoil)
        spoil(d);
    return make(r, name, bytes, kept);
}

static void spoil_order(uint8_t *d)
{
    d[84] ^= 1;
}

static void spoil_block(uint8_t *d)
{
    both_orders(d + 128, 2047, 2);
}

static void spoil_huge(uint8_t *d)
{
    both_orders(d + 80, UINT32_MAX, 4);
}

static void spoil_root(uint8_t *d)
{
    both_orders(d + 158, DISC_SECTORS, 4);
}

static void spoil_type(uint8_t *d)
{
    d[0] = 255;
}

/* A boot record first, as some writers have it. */
static void boot_record_first(uint8_t *d)
{
    memcpy(d + DISC_SECTOR, d, DISC_SECTOR);
    d[0] = 0;
}

static void all_boot_records(uint8_t *d)
{
    for (unsigned i = 0; i < 40; i++)
        memcpy(d + (size_t)i * DISC_SECTOR, "\0CD001\1", 7);
}

static void test_disc(struct rig *r, gconstpointer unused)
{
    enum { KEPT = 100 * DISC_SECTOR + 512 };
    static const struct {
        void (*spoil)(uint8_t *descriptor);
        size_t kept;
        bool is_short;
    } rows[] = {
        {NULL, DISC_BYTES, false},
        {NULL, KEPT, true},
        {NULL, DISC_BYTES - 150 * DISC_SECTOR, false}, /* padding that was not written */
        {NULL, DISC_BYTES - 151 * DISC_SECTOR, true},
        {boot_record_first, KEPT, true},
        {all_boot_records, KEPT, false},
        {spoil_order, KEPT, false},
        {spoil_block, KEPT, false},
        {spoil_huge, KEPT, false},
        {spoil_root, KEPT, false},
        {spoil_type, KEPT, false},
        {NULL, 17 * DISC_SECTOR, true},
        {NULL, 17 * DISC_SECTOR - 512, false}, /* within the descriptor */
        {NULL, 512, false},
    };
    const struct block_config cd = {.format = BLOCK_FORMAT_RAW, .read_only = true, .disc = true};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = disc(r, "disc", rows[i].spoil, rows[i].kept);
        struct block *b = open_image(path, cd);
        uint64_t there = 0, claimed = 0;
        g_test_message("row %zu", i);
        g_assert_cmpint(block_shortfall(b, &there, &claimed), ==, rows[i].is_short);
        g_assert_cmpuint(block_size(b), ==, rows[i].is_short ? DISC_BYTES : (rows[i].kept + 511) / 512 * 512);
        if (rows[i].is_short) {
            g_assert_cmpuint(there, ==, (rows[i].kept + 511) / 512 * 512);
            g_assert_cmpuint(claimed, ==, DISC_BYTES);
        }
        block_free(b);
    }
    /* What is there is read, what is not is an error, and behind the claimed end there is nothing. */
    g_autofree char *path = disc(r, "cut", NULL, KEPT), *whole = disc(r, "whole", NULL, DISC_BYTES);
    struct block *b = open_image(path, cd);
    uint8_t sector[DISC_SECTOR];
    g_assert_cmpint(run(b, BLOCK_READ, 99 * DISC_SECTOR, sector, DISC_SECTOR), ==, 0);
    g_assert_cmpuint(sector[DISC_SECTOR - 1], ==, 99);
    g_assert_cmpint(run(b, BLOCK_READ, 100 * DISC_SECTOR, sector, 512), ==, 0);
    g_assert_cmpint(run(b, BLOCK_READ, 100 * DISC_SECTOR, sector, DISC_SECTOR), ==, EIO);
    g_assert_cmpint(run(b, BLOCK_READ, DISC_BYTES - DISC_SECTOR, sector, DISC_SECTOR), ==, EIO);
    g_assert_cmpint(run(b, BLOCK_READ, DISC_BYTES, sector, DISC_SECTOR), ==, EINVAL);
    /* Another disc, none, and this one again. */
    g_autoptr(GError) error = NULL;
    uint64_t there, claimed;
    block_set_removable(b, NULL, NULL);
    g_assert_true(block_insert(b, whole, BLOCK_FORMAT_RAW, true, &error));
    g_assert_false(block_shortfall(b, &there, &claimed));
    g_assert_cmpint(run(b, BLOCK_READ, DISC_BYTES - DISC_SECTOR, sector, DISC_SECTOR), ==, 0);
    g_assert_true(block_insert(b, path, BLOCK_FORMAT_RAW, true, &error));
    g_assert_true(block_shortfall(b, &there, &claimed));
    g_assert_true(block_eject(b, false, &error));
    g_assert_cmpuint(block_size(b), ==, 0);
    g_assert_false(block_shortfall(b, &there, &claimed));
    /* A node's image, too; and not in a hard disk. */
    struct block_config node = cd;
    node.id = "node";
    node.file = path;
    struct image *image = block_image_open(&node, &error);
    g_assert_no_error(error);
    g_assert_true(block_put(b, image, &node, NULL, NULL, &error));
    g_assert_true(block_shortfall(b, &there, &claimed));
    block_free(b);
    b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW, .read_only = true});
    g_assert_false(block_shortfall(b, &there, &claimed));
    g_assert_cmpuint(block_size(b), ==, KEPT);
    block_free(b);
}

static void test_null(struct rig *r, gconstpointer unused)
{
    uint8_t data[512] = {1}, back[512] = {2};
    struct block *b = open_image("null-co://", (struct block_config){.format = BLOCK_FORMAT_RAW});
    g_assert_cmpuint(block_size(b), ==, 1 << 30);
    g_assert_cmpint(run(b, BLOCK_WRITE, 1 << 20, data, 512), ==, 0);
    g_assert_cmpint(run(b, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
    g_assert_cmpint(run(b, BLOCK_READ, 1 << 20, back, 512), ==, 0);
    g_assert_cmphex(back[0], ==, 0);
    block_free(b);
}

static void test_copy_on_read(struct rig *r, gconstpointer unused)
{
    size_t len;
    g_autofree uint8_t *model = random_bytes(MODEL_SIZE, 6),
                       *image = qcow2_image(3, 12, MODEL_SIZE, "base", &len);
    g_autofree char *base = make(r, "base", model, MODEL_SIZE), *path = make(r, "top", image, len);
    struct block *b = open_image(path, (struct block_config){.copy_on_read = true});
    same_as(b, model);
    exercise(b, model, 100, 3);
    block_free(b);
    g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
    g_autofree uint8_t *gone = g_malloc0(MODEL_SIZE);
    g_assert_true(
        g_file_set_contents(base, (char *)gone, MODEL_SIZE, NULL)); /* nothing of it is wanted any more */
    b = open_image(path, (struct block_config){0});
    same_as(b, model);
    block_free(b);
}

#define COPIED_ENTRY (UINT64_C(1) << 63)

struct damage {
    unsigned count;
    uint64_t offset;
    char *what;
};

static void damaged(void *opaque, struct block *block, const char *what, uint64_t offset)
{
    struct damage *d = opaque;
    d->count++;
    d->offset = offset;
    g_free(d->what);
    d->what = g_strdup(what);
}

/* Entries that point to the image's own tables: the write is refused, the image marked, nothing of it broken.
 */
static void test_corrupt(struct rig *r, gconstpointer unused)
{
    static const struct {
        uint64_t entry; /* of the L2 table, which is in cluster 4 */
        const char *says;
    } rows[] = {
        {COPIED_ENTRY | 0x1000, "the refcount table"}, {COPIED_ENTRY | 0x2000, "a refcount block"},
        {COPIED_ENTRY | 0x3000, "the L1 table"},       {COPIED_ENTRY | 0x4000, "an L2 table"},
        {COPIED_ENTRY | 0x5200, "no possible place"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        size_t len;
        uint8_t data[512] = {1};
        struct damage d = {0};
        g_autofree uint8_t *image = qcow2_image(3, 12, MODEL_SIZE, NULL, &len);
        image = g_realloc(image, len + 0x2000);
        memset(image + len, 0, 0x2000);
        qcow2_put(image + 0x3000, COPIED_ENTRY | 0x4000, 8);
        qcow2_put(image + 0x2000 + 8, 1, 2);
        qcow2_put(image + 0x2000 + 10, 1, 2);
        qcow2_put(image + 0x4000, rows[i].entry, 8);
        qcow2_put(image + 0x4008, COPIED_ENTRY | 0x5000, 8);
        g_autofree char *path = make(r, "corrupt", image, len + 0x2000), *after = NULL;
        struct block *b = open_image(path, (struct block_config){0});
        block_set_damage_listener(b, damaged, &d);
        g_assert_cmpint(run(b, BLOCK_WRITE, 4096, data, 512), ==, 0); /* a good one */
        g_assert_cmpint(run(b, BLOCK_WRITE, 0, data, 512), ==, EIO);
        g_assert_cmpuint(d.count, ==, 1);
        g_assert_nonnull(strstr(d.what, rows[i].says));
        g_assert_cmpuint(d.offset, ==, rows[i].entry & ~COPIED_ENTRY);
        g_assert_cmpint(run(b, BLOCK_WRITE, 4096, data, 512), ==, EIO); /* no more writes at all */
        g_assert_cmpint(run(b, BLOCK_READ, 4096, data, 512), ==, 0);
        g_assert_cmpuint(d.count, ==, 1);
        block_free(b);
        gsize after_len;
        g_assert_true(g_file_get_contents(path, &after, &after_len, NULL));
        g_assert_cmpmem(after + 0x1000, 0x4000, image + 0x1000, 0x4000); /* tables as they were */
        refused(path, (struct block_config){0}, "marked corrupt");
        b = open_image(path, (struct block_config){.read_only = true});
        block_free(b);
        g_free(d.what);
    }
}

static void note_done(void *opaque, int error)
{
    g_assert_cmpint(error, ==, 0);
    ++*(unsigned *)opaque;
}

/* Leaky buckets in guest time: a rate, a burst, a group, and that a drain does not wait. */
static void test_throttle(struct rig *r, gconstpointer unused)
{
    enum { REQUESTS = 400, EACH = 4096 };
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *zeros = g_malloc0(MODEL_SIZE);
    g_autofree char *path = make(r, "slow", zeros, MODEL_SIZE),
                    *other_path = make(r, "slow2", zeros, MODEL_SIZE);
    struct clock *clock = clock_new_manual();
    struct block_throttle *t = block_throttle_new("g", clock);
    struct block *b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW});
    struct block *other = open_image(other_path, (struct block_config){.format = BLOCK_FORMAT_RAW});
    struct block_request requests[REQUESTS];
    unsigned done = 0;
    struct block_limits limits = {.rate[BLOCK_IOPS] = 100};
    g_assert_true(block_throttle_set(t, &limits, &error));
    block_set_throttle(b, t);
    for (unsigned i = 0; i < REQUESTS; i++) {
        requests[i] = (struct block_request){.op = BLOCK_WRITE,
                                             .offset = i * 512,
                                             .len = 512,
                                             .buf = zeros,
                                             .done = note_done,
                                             .opaque = &done};
        block_submit(b, &requests[i]);
    }
    g_assert_cmpuint(done, >=, 10);
    g_assert_cmpuint(done, <=, 12); /* a tenth of a second's worth */
    clock_manual_advance(clock, NANOSECONDS);
    g_assert_cmpuint(done, >=, 109);
    g_assert_cmpuint(done, <=, 113);
    block_cancel(b, &requests[REQUESTS - 1]);
    limits.rate[BLOCK_IOPS] = 200; /* changed while some wait */
    g_assert_true(block_throttle_set(t, &limits, &error));
    unsigned before = done;
    clock_manual_advance(clock, NANOSECONDS);
    g_assert_cmpuint(done - before, >=, 195);
    g_assert_cmpuint(done - before, <=, 230);
    block_drain(b);
    g_assert_cmpuint(done, ==, REQUESTS - 1);

    /* 1 MB a second, 2 MB a second for 2 seconds, shared by two drives. */
    limits = (struct block_limits){
        .rate[BLOCK_BPS] = 1 << 20, .burst[BLOCK_BPS] = 2 << 20, .seconds[BLOCK_BPS] = 2};
    g_assert_true(block_throttle_set(t, &limits, &error));
    block_set_throttle(other, t);
    done = 0;
    for (unsigned i = 0; i < REQUESTS; i++) {
        requests[i] = (struct block_request){.op = i & 2 ? BLOCK_WRITE : BLOCK_READ,
                                             .len = 64 << 10,
                                             .buf = zeros,
                                             .done = note_done,
                                             .opaque = &done};
        block_submit(i & 1 ? b : other, &requests[i]);
    }
    clock_manual_advance(clock, NANOSECONDS);
    g_assert_cmpuint(done, >=, 30); /* of 64 KiB: the burst's 2 MiB */
    g_assert_cmpuint(done, <=, 40);
    clock_manual_advance(clock, 5 * (int64_t)NANOSECONDS);
    before = done;
    clock_manual_advance(clock, 4 * (int64_t)NANOSECONDS);
    g_assert_cmpuint(done - before, >=, 60); /* then 1 MiB a second */
    g_assert_cmpuint(done - before, <=, 68);
    block_set_throttle(b, NULL);
    block_set_throttle(other, NULL);
    g_assert_cmpuint(done, ==, REQUESTS);
    limits.burst[BLOCK_BPS] = 1;
    g_assert_false(block_throttle_set(t, &limits, &error));
    block_throttle_unref(t);
    block_free(b);
    block_free(other);
    clock_free(clock);
}

/* What was used of a limit goes with a saved machine; what was let through for it counts, too. */
static void test_throttle_saved(struct rig *r, gconstpointer unused)
{
    enum { REQUESTS = 16, EACH = 64 << 10, RATE = 1 << 20 };
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *zeros = g_malloc0(MODEL_SIZE);
    g_autofree char *path = make(r, "saved", zeros, MODEL_SIZE);
    struct block *b = open_image(path, (struct block_config){.format = BLOCK_FORMAT_RAW});
    const struct block_limits limits = {.rate[BLOCK_BPS] = RATE};
    struct block_request requests[REQUESTS];
    uint64_t levels[BLOCK_LEVELS];
    unsigned done = 0;
    struct clock *clock = clock_new_manual();
    struct block_throttle *t = block_throttle_new("g", clock);
    g_assert_true(block_throttle_set(t, &limits, &error));
    block_set_throttle(b, t);
    for (unsigned i = 0; i < REQUESTS; i++) {
        requests[i] = (struct block_request){
            .op = BLOCK_READ, .len = EACH, .buf = zeros, .done = note_done, .opaque = &done};
        block_submit(b, &requests[i]);
    }
    g_assert_cmpuint(done, ==, 2);
    block_drain(b);
    g_assert_cmpuint(done, ==, REQUESTS);
    block_throttle_levels(t, levels);
    g_assert_cmpuint(levels[2 * BLOCK_BPS], ==, UINT64_C(1000) * REQUESTS * EACH);
    for (unsigned hostile = 0; hostile < 2; hostile++) {
        struct clock *other_clock = clock_new_manual();
        struct block_throttle *other = block_throttle_new("g", other_clock);
        g_assert_true(block_throttle_set(other, &limits, &error));
        block_set_throttle(b, other);
        if (hostile)
            memset(levels, 0xff, sizeof levels);
        block_throttle_set_levels(other, levels);
        done = 0;
        block_submit(b, &requests[0]);
        /* Until 1 MiB, or what no request can have filled, has leaked to a tenth of a second's worth. */
        clock_manual_advance(other_clock,
                             hostile ? 63 * (int64_t)NANOSECONDS : (int64_t)NANOSECONDS * 89 / 100);
        g_assert_cmpuint(done, ==, 0);
        clock_manual_advance(other_clock, hostile ? 2 * (int64_t)NANOSECONDS : NANOSECONDS / 50);
        g_assert_cmpuint(done, ==, 1);
        block_set_throttle(b, NULL);
        block_throttle_unref(other);
        clock_free(other_clock);
    }
    block_throttle_unref(t);
    block_free(b);
    clock_free(clock);
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
    TEST(resize);
    TEST(commit);
    TEST(tray);
    TEST(put);
    TEST(zeroes);
    TEST(disc);
    TEST(null);
    TEST(copy_on_read);
    TEST(corrupt);
    TEST(throttle);
    TEST(throttle_saved);
    TEST(full);
    TEST(thread);
    return g_test_run();
}
