/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Snapshots within qcow2 images. Random series of writes, snapshots taken, applied and deleted, by us and by
 * qemu-img in turn, are held against copies in memory. This program stands between the block layer and the
 * file (pwrite() and its kin are defined here): a copy of the image is looked at before each write of a
 * change, as a killed process leaves it, and with what was not synced left out in sectors, as a power cut
 * may. Each write can be made to fail.
 */
#include "tests/dev/image_rig.h"
#include "tests/dev/qcow2_image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- between the block layer and the file ---- */

struct change {
    uint64_t offset, len;
    uint8_t *data; /* NULL: a hole */
};

static dev_t watched_dev;
static ino_t watched_ino;
static void (*before_write)(void); /* NULL: nobody looks */
static GArray *unsynced;           /* struct change; NULL: not kept */
static int fails_after = -1, fails_with;

static bool is_watched(int fd)
{
    struct stat st;
    return (before_write || unsynced || fails_after >= 0) && !fstat(fd, &st) && st.st_dev == watched_dev &&
           st.st_ino == watched_ino;
}

static bool fails(int fd)
{
    if (fails_after < 0 || !is_watched(fd) || fails_after-- != 0)
        return false;
    errno = fails_with;
    return true;
}

static void looked_at(void)
{
    void (*look)(void) = before_write;
    GArray *kept = unsynced;
    before_write = NULL;
    unsynced = NULL;
    if (look)
        look();
    before_write = look;
    unsynced = kept;
}

static void keep(struct change c)
{
    if (unsynced)
        g_array_append_val(unsynced, c);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    if (fails(fd))
        return -1;
    if (is_watched(fd)) {
        looked_at();
        if (unsynced)
            keep((struct change){(uint64_t)offset, len, g_memdup2(buf, len)});
    }
    return syscall(SYS_pwrite64, fd, buf, len, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
    return pwrite(fd, buf, len, offset);
}

static GArray *durable; /* bytes of the file as of the last sync */

int fdatasync(int fd)
{
    if (fails(fd))
        return -1;
    if (is_watched(fd))
        looked_at();
    if (is_watched(fd) && unsynced) {
        for (guint i = 0; i < unsynced->len; i++) {
            const struct change *c = &g_array_index(unsynced, struct change, i);
            if (c->offset + c->len > durable->len)
                g_array_set_size(durable, (guint)(c->offset + c->len));
            if (c->data)
                memcpy(durable->data + c->offset, c->data, c->len);
            else
                memset(durable->data + c->offset, 0, c->len);
            g_free(c->data);
        }
        g_array_set_size(unsynced, 0);
    }
    return 0;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    if (is_watched(fd)) {
        looked_at();
        if (unsynced && (uint64_t)offset < durable->len)
            keep(
                (struct change){(uint64_t)offset, MIN((uint64_t)len, durable->len - (uint64_t)offset), NULL});
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off_t offset, off_t len)
{
    return fallocate(fd, mode, offset, len);
}

static void watch(const char *path)
{
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    watched_dev = st.st_dev;
    watched_ino = st.st_ino;
}

/* ---- snapshots and what is in them ---- */

enum { KEPT_MOST = 6 };

struct kept {
    char *name, *id;
    uint8_t *model;
    uint64_t state; /* bytes; each is told by its place and the snapshot's number */
    unsigned number;
};

struct history {
    struct kept kept[KEPT_MOST];
    unsigned count, taken;
};

static uint8_t state_byte(unsigned number, uint64_t at)
{
    return (uint8_t)(number * 37 + at + (at >> 9) * 5 + 1);
}

static uint8_t *state_bytes(unsigned number, uint64_t from, uint64_t len)
{
    uint8_t *bytes = g_malloc(len + 1);
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = state_byte(number, from + i);
    return bytes;
}

static void take(struct history *h, struct block *b, const uint8_t *model, uint64_t state)
{
    g_autoptr(GError) error = NULL;
    struct kept *k = &h->kept[h->count++];
    k->number = ++h->taken;
    k->name = g_strdup_printf("name-%u", k->number);
    k->model = g_memdup2(model, MODEL_SIZE);
    k->state = state;
    for (uint64_t at = 0; at < state;) {
        uint64_t len = MIN(state - at, (uint64_t)70001);
        g_autofree uint8_t *bytes = state_bytes(k->number, at, len);
        g_assert_true(block_state_write(b, bytes, len, &error));
        at += len;
    }
    struct block_snapshot what = {.name = k->name,
                                  .date = 1700000000 + k->number,
                                  .clock_ns = 5000000000 + k->number,
                                  .icount = UINT64_MAX};
    g_assert_true(block_snapshot_take(b, &what, &k->id, &error));
    g_assert_no_error(error);
}

static void drop(struct history *h, unsigned n)
{
    g_free(h->kept[n].name);
    g_free(h->kept[n].id);
    g_free(h->kept[n].model);
    h->kept[n] = h->kept[--h->count];
}

static void check_states(struct history *h, struct block *b)
{
    g_autoptr(GError) error = NULL;
    g_assert_cmpuint(block_snapshot_count(b), ==, h->count);
    for (unsigned n = 0; n < h->count; n++) {
        const struct kept *k = &h->kept[n];
        const struct block_snapshot *s = block_snapshot_find(b, k->name, NULL);
        g_assert_nonnull(s);
        g_assert_cmpstr(s->id, ==, k->id);
        g_assert_cmpuint(s->state_size, ==, k->state);
        g_assert_cmpuint(s->size, ==, MODEL_SIZE);
        g_autofree uint8_t *bytes = state_bytes(k->number, 0, k->state), *read = g_malloc(k->state + 1);
        g_assert_true(block_state_read(b, k->id, 0, read, k->state, &error));
        g_assert_true(!memcmp(bytes, read, k->state));
        if (k->state > 1000) {
            g_assert_true(block_state_read(b, k->id, 777, read, 99, &error));
            g_assert_true(!memcmp(bytes + 777, read, 99));
        }
        g_assert_false(block_state_read(b, k->id, k->state, read, 1, &error));
        g_clear_error(&error);
    }
}

/* Each snapshot of a copy of the image, applied; and as qemu-img reads it. */
static void check_contents(struct rig *r, struct history *h, const char *path, struct block_config config)
{
    g_autoptr(GError) error = NULL;
    for (unsigned n = 0; n < h->count; n++) {
        g_autofree char *data = NULL, *option = g_strdup_printf("snapshot.name=%s", h->kept[n].name);
        gsize len;
        g_assert_true(g_file_get_contents(path, &data, &len, NULL));
        g_autofree char *copy = make(r, "copy", data, len),
                        *raw = make(r, "raw", h->kept[n].model, MODEL_SIZE);
        g_autofree char *out = g_build_filename(r->folder, "out", NULL);
        struct block *b = open_image(copy, config);
        g_assert_true(block_snapshot_apply(b, h->kept[n].id, &error));
        g_assert_no_error(error);
        same_as(b, h->kept[n].model);
        check_states(h, b);
        block_free(b);
        g_assert_true(judge("qemu-img", "check", "-q", copy, NULL));
        g_assert_true(judge("qemu-img", "convert", "-l", option, "-O", "raw", path, out, NULL));
        g_assert_true(judge("qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", out, raw, NULL));
    }
}

static void random_change(struct history *h, struct block *b, uint8_t *model, GRand *random)
{
    g_autoptr(GError) error = NULL;
    int what = g_rand_int_range(random, 0, 3);
    if (what == 0 && h->count < KEPT_MOST) {
        take(h, b, model, g_rand_boolean(random) ? (uint64_t)g_rand_int_range(random, 1, 400000) : 0);
    } else if (h->count && what == 1) {
        unsigned n = (unsigned)g_rand_int_range(random, 0, (gint32)h->count);
        g_assert_true(block_snapshot_remove(b, h->kept[n].id, &error));
        g_assert_null(block_snapshot_find(b, NULL, h->kept[n].id));
        drop(h, n);
    } else if (h->count) {
        unsigned n = (unsigned)g_rand_int_range(random, 0, (gint32)h->count);
        g_assert_true(block_snapshot_apply(b, h->kept[n].id, &error));
        memcpy(model, h->kept[n].model, MODEL_SIZE);
    }
    g_assert_no_error(error);
}

/* The same by qemu-img, while nobody has the image. */
static void foreign_change(struct history *h, const char *path, uint8_t *model, GRand *random)
{
    g_autofree char *program = g_find_program_in_path("qemu-img");
    int what = g_rand_int_range(random, 0, 3);
    unsigned n = h->count ? (unsigned)g_rand_int_range(random, 0, (gint32)h->count) : 0;
    if (!program)
        return;
    if (what == 0 && h->count < KEPT_MOST) {
        struct kept *k = &h->kept[h->count++];
        uint64_t most = 0;
        for (unsigned i = 0; i + 1 < h->count; i++)
            most = MAX(most, g_ascii_strtoull(h->kept[i].id, NULL, 10));
        *k = (struct kept){.number = ++h->taken, .model = g_memdup2(model, MODEL_SIZE)};
        k->name = g_strdup_printf("theirs-%u", k->number);
        k->id = g_strdup_printf("%u", (unsigned)most + 1);
        g_assert_true(judge("qemu-img", "snapshot", "-c", k->name, path, NULL));
    } else if (h->count && what == 1) {
        g_assert_true(judge("qemu-img", "snapshot", "-d", h->kept[n].name, path, NULL));
        drop(h, n);
    } else if (h->count) {
        g_assert_true(judge("qemu-img", "snapshot", "-a", h->kept[n].name, path, NULL));
        memcpy(model, h->kept[n].model, MODEL_SIZE);
    }
    g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
}

static void test_series(struct rig *r, gconstpointer data)
{
    static const struct {
        unsigned version, cluster_bits;
        bool backing, discard;
    } kinds[] = {{3, 16, false, false},
                 {2, 12, false, true},
                 {3, 12, true, true},
                 {3, 9, false, true},
                 {2, 16, true, false}};
    g_autofree uint8_t *base = random_bytes(MODEL_SIZE / 2, 7);
    g_autofree char *base_path = make(r, "below", base, MODEL_SIZE / 2);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        size_t len;
        g_autofree uint8_t *image = qcow2_image(kinds[i].version, kinds[i].cluster_bits, MODEL_SIZE,
                                                kinds[i].backing ? "below" : NULL, &len);
        g_autofree uint8_t *model = g_malloc0(MODEL_SIZE);
        g_autofree char *path = make(r, "image", image, len), *raw = NULL;
        struct block_config config = {.discard = kinds[i].discard};
        struct history h = {0};
        GRand *random = g_rand_new_with_seed(40 + (guint32)i);
        if (kinds[i].backing)
            memcpy(model, base, MODEL_SIZE / 2);
        for (guint32 pass = 0; pass < 8; pass++) {
            struct block *b = open_image(path, config);
            same_as(b, model);
            for (unsigned turn = 0; turn < 5; turn++) {
                exercise(b, model, 25, 1000 * pass + 10 * turn + (guint32)i);
                if (kinds[i].discard && kinds[i].version == 3) {
                    memset(model + (1 << 20), 0, 1 << 20);
                    g_assert_cmpint(run(b, BLOCK_DISCARD, 1 << 20, NULL, 1 << 20), ==, 0);
                }
                random_change(&h, b, model, random);
                same_as(b, model);
                check_states(&h, b);
            }
            block_free(b);
            g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
            foreign_change(&h, path, model, random);
        }
        check_contents(r, &h, path, config);
        raw = make(r, "model", model, MODEL_SIZE);
        g_assert_true(judge("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", path, raw, NULL));
        while (h.count)
            drop(&h, 0);
        g_rand_free(random);
    }
}

/* Images that qemu-img makes: widths of the counts, compressed clusters. */
static void test_foreign(struct rig *r, gconstpointer data)
{
    static const char *const kinds[] = {"refcount_bits=2",  "refcount_bits=4",  "refcount_bits=8",
                                        "refcount_bits=32", "refcount_bits=64", "compat=0.10",
                                        "cluster_size=512", "cluster_size=2M",  "preallocation=metadata",
                                        "lazy_refcounts=on"};
    g_autofree char *program = g_find_program_in_path("qemu-img");
    if (!program) {
        g_test_skip("needs qemu-img (Debian: qemu-utils)");
        return;
    }
    g_autofree uint8_t *full = random_bytes(MODEL_SIZE, 3);
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(kinds); i++) {
        bool packed = i & 1;
        const char *kind = kinds[i / 2];
        g_autofree uint8_t *model = g_memdup2(full, MODEL_SIZE);
        g_autoptr(GError) error = NULL;
        struct history h = {0};
        for (unsigned at = 0; at < MODEL_SIZE; at++)
            model[at] &= packed ? 3 : 255;
        if (packed && (g_str_has_prefix(kind, "preallocation") || i < 4))
            continue; /* packed, a cluster is counted too often for a second one with so few bits */
        g_autofree char *raw = make(r, "raw", model, MODEL_SIZE),
                        *path = g_build_filename(r->folder, "theirs", NULL);
        g_assert_true(judge("qemu-img", "convert", packed ? "-c" : "-q", "-f", "raw", "-O", "qcow2", "-o",
                            kind, raw, path, NULL));
        g_assert_true(judge("qemu-img", "snapshot", "-c", "first", path, NULL));
        struct block *b = open_image(path, (struct block_config){0});
        exercise(b, model, 40, (guint32)i);
        take(&h, b, model, 100000);
        exercise(b, model, 40, 50 + (guint32)i);
        same_as(b, model);
        const struct block_snapshot *first = block_snapshot_find(b, "first", NULL);
        g_assert_true(first && g_str_equal(first->id, "1"));
        g_assert_true(block_snapshot_apply(b, h.kept[0].id, &error));
        same_as(b, h.kept[0].model);
        g_assert_true(block_snapshot_apply(b, "1", &error));
        memcpy(model, full, MODEL_SIZE);
        for (unsigned at = 0; at < MODEL_SIZE; at++)
            model[at] &= packed ? 3 : 255;
        same_as(b, model);
        exercise(b, model, 20, 90 + (guint32)i);
        g_assert_true(block_snapshot_remove(b, "1", &error));
        same_as(b, model);
        check_states(&h, b);
        block_free(b);
        g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
        check_contents(r, &h, path, (struct block_config){0});
        drop(&h, 0);
    }
}

/* One count a cluster: no room for a snapshot, and nothing has changed. */
static void test_narrow(struct rig *r, gconstpointer data)
{
    size_t len;
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *image = qcow2_image(3, 12, MODEL_SIZE, NULL, &len), *model = g_malloc0(MODEL_SIZE);
    qcow2_put(image + 96, 0, 4);
    memset(image + 2 * 4096, 0, 4096);
    image[2 * 4096] = 0xf;
    g_autofree char *path = make(r, "narrow", image, len), *id = NULL;
    struct block *b = open_image(path, (struct block_config){0});
    exercise(b, model, 30, 1);
    struct block_snapshot what = {.name = "x"};
    g_assert_false(block_snapshot_take(b, &what, &id, &error));
    g_assert_nonnull(strstr(error->message, "refcount_bits=16"));
    g_assert_null(id);
    g_assert_cmpuint(block_snapshot_count(b), ==, 0);
    exercise(b, model, 30, 2);
    same_as(b, model);
    block_free(b);
    g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
}

/* More than the refcount table has room for, and an L1 table of many clusters. */
static void test_grows(struct rig *r, gconstpointer data)
{
    size_t len;
    struct history h = {0};
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *image = qcow2_image(3, 9, MODEL_SIZE, NULL, &len), *model = g_malloc0(MODEL_SIZE);
    g_autofree char *path = make(r, "grows", image, len);
    struct block *b = open_image(path, (struct block_config){0});
    exercise(b, model, 100, 1);
    take(&h, b, model, 20 << 20); /* a table of one cluster counts 8 MiB */
    exercise(b, model, 100, 2);
    take(&h, b, model, 1000);
    check_states(&h, b);
    same_as(b, model);
    block_free(b);
    g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
    b = open_image(path, (struct block_config){0});
    check_states(&h, b);
    struct stat before, after;
    g_assert_cmpint(stat(path, &before), ==, 0);
    g_assert_true(block_snapshot_remove(b, h.kept[0].id, &error));
    drop(&h, 0);
    g_assert_cmpint(stat(path, &after), ==, 0);
    g_assert_cmpint(after.st_blocks, <, before.st_blocks - (10 << 20) / 512); /* the host has it back */
    take(&h, b, model, 10 << 20); /* and there is room for another */
    g_assert_cmpint(stat(path, &after), ==, 0);
    g_assert_cmpint(after.st_size, <, before.st_size + (6 << 20));
    check_states(&h, b);
    block_free(b);
    g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
    check_contents(r, &h, path, (struct block_config){0});
    while (h.count)
        drop(&h, 0);
}

/* ---- kill -9, and power cuts ---- */

static struct {
    struct rig *rig;
    const char *path;
    struct history *before, *after; /* one of them, snapshot by snapshot */
    const uint8_t *model, *model_after;
    GRand *random; /* NULL: a killed process, whose writes are all there */
    unsigned looks, changed;
} cut;

static bool is_as(struct block *b, const struct history *h, const uint8_t *model)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *buf = g_malloc(MODEL_SIZE);
    if (block_snapshot_count(b) != h->count)
        return false;
    for (uint32_t at = 0; at < MODEL_SIZE; at += 1 << 20)
        g_assert_cmpint(run(b, BLOCK_READ, at, buf + at, 1 << 20), ==, 0);
    if (memcmp(buf, model, MODEL_SIZE) != 0)
        return false;
    for (unsigned n = 0; n < h->count; n++) {
        g_assert_true(block_snapshot_apply(b, h->kept[n].id, &error));
        same_as(b, h->kept[n].model);
    }
    return true;
}

static void look(void)
{
    g_autofree char *data = NULL, *program = g_find_program_in_path("qemu-img");
    gsize len;
    cut.looks++;
    if (cut.random) {
        len = durable->len;
        data = g_memdup2(durable->data, len);
        for (guint i = 0; i < unsynced->len; i++) {
            const struct change *c = &g_array_index(unsynced, struct change, i);
            if (c->offset + c->len > len) {
                data = g_realloc(data, c->offset + c->len);
                memset(data + len, 0, c->offset + c->len - len);
                len = c->offset + c->len;
            }
            for (uint64_t at = c->offset; at < c->offset + c->len;) {
                uint64_t next = MIN((at / 512 + 1) * 512, c->offset + c->len);
                if (g_rand_boolean(cut.random) && c->data)
                    memcpy(data + at, c->data + (at - c->offset), next - at);
                else if (g_rand_boolean(cut.random) && !c->data)
                    memset(data + at, 0, next - at);
                at = next;
            }
        }
    } else {
        g_assert_true(g_file_get_contents(cut.path, &data, &len, NULL));
    }
    g_autofree char *copy = make(cut.rig, "cut", data, len);
    if (program) {
        const char *argv[] = {"qemu-img", "check", copy, NULL};
        g_autofree char *out = NULL, *err = NULL;
        int status = 0;
        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err,
                                   &status, NULL));
        if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3) /* 3: leaks alone */
            g_error("look %u, qemu-img check: %d\n%s%s", cut.looks, WEXITSTATUS(status), out, err);
    }
    struct block *b = open_image(copy, (struct block_config){0});
    bool after = block_snapshot_count(b) != cut.before->count || cut.before->count == cut.after->count;
    if (!is_as(b, after ? cut.after : cut.before, after ? cut.model_after : cut.model)) {
        block_free(b);
        b = open_image(copy, (struct block_config){0});
        if (!is_as(b, cut.before, cut.model))
            g_error("look %u: neither as before nor as after", cut.looks);
    } else {
        cut.changed += after;
    }
    block_free(b);
}

/* A look, which needs `unsynced` that looked_at() has put aside. */
static GArray *unsynced_of_look;
static void look_with_unsynced(void)
{
    void (*none)(void) = NULL;
    before_write = none;
    unsynced = unsynced_of_look;
    GArray *mine = unsynced;
    watched_ino = 0; /* nothing of the copy is noted */
    look();
    unsynced = mine;
    watch(cut.path);
}

static void begin_cuts(const char *path, bool power)
{
    if (power) {
        g_autofree char *data = NULL;
        gsize len;
        g_assert_true(g_file_get_contents(path, &data, &len, NULL));
        durable = g_array_new(FALSE, TRUE, 1);
        g_array_append_vals(durable, data, (guint)len);
        unsynced = g_array_new(FALSE, FALSE, sizeof(struct change));
        unsynced_of_look = unsynced;
    }
    before_write = look_with_unsynced;
}

static void end_cuts(bool power)
{
    before_write = NULL;
    if (!power)
        return;
    for (guint i = 0; i < unsynced->len; i++)
        g_free(g_array_index(unsynced, struct change, i).data);
    g_array_free(unsynced, TRUE);
    g_array_free(durable, TRUE);
    unsynced = NULL;
    unsynced_of_look = NULL;
}

static void copy_history(struct history *to, const struct history *from)
{
    *to = *from;
    for (unsigned n = 0; n < to->count; n++) {
        to->kept[n].name = g_strdup(from->kept[n].name);
        to->kept[n].id = g_strdup(from->kept[n].id);
        to->kept[n].model = g_memdup2(from->kept[n].model, MODEL_SIZE);
    }
}

static void forget_history(struct history *h)
{
    while (h->count)
        drop(h, 0);
}

/* What is looked at each time: taking one with a state, applying one, deleting one. */
static void one_change(struct history *h, struct block *b, uint8_t *model, unsigned what)
{
    g_autoptr(GError) error = NULL;
    if (what == 0) {
        take(h, b, model, 9000);
    } else if (what == 1) {
        g_assert_true(block_snapshot_apply(b, h->kept[1].id, &error));
        memcpy(model, h->kept[1].model, MODEL_SIZE);
    } else {
        g_assert_true(block_snapshot_remove(b, h->kept[what == 2 ? 0 : 1].id, &error));
        drop(h, what == 2 ? 0 : 1);
    }
    g_assert_no_error(error);
}

static char *prepare(struct rig *r, struct history *h, uint8_t *model, unsigned cluster_bits)
{
    size_t len;
    g_autofree uint8_t *image = qcow2_image(3, cluster_bits, MODEL_SIZE, NULL, &len);
    char *path = make(r, "image", image, len);
    struct block *b = open_image(path, (struct block_config){0});
    for (unsigned n = 0; n < 3; n++) {
        exercise(b, model, 12, n);
        take(h, b, model, n * 5000);
    }
    exercise(b, model, 6, 9);
    block_free(b);
    return path;
}

static void test_cuts(struct rig *r, gconstpointer data)
{
    bool power = GPOINTER_TO_INT(data);
    for (unsigned what = 0; what < 4; what++) {
        struct history h = {0}, after = {0};
        g_autofree uint8_t *model = g_malloc0(MODEL_SIZE), *model_after = NULL;
        g_autofree char *path = prepare(r, &h, model, what & 1 ? 12 : 14), *done = NULL, *image = NULL;
        gsize len;
        g_assert_true(g_file_get_contents(path, &image, &len, NULL));
        copy_history(&after, &h);
        model_after = g_memdup2(model, MODEL_SIZE);
        done = make(r, "done", image, len);
        struct block *b = open_image(done, (struct block_config){0}); /* what shall come out */
        one_change(&after, b, model_after, what);
        block_free(b);
        cut = (typeof(cut)){.rig = r,
                            .path = path,
                            .before = &h,
                            .after = &after,
                            .model = model,
                            .model_after = model_after};
        cut.random = power ? g_rand_new_with_seed(what + 1) : NULL;
        struct history doing = {0};
        g_autofree uint8_t *model_doing = g_memdup2(model, MODEL_SIZE);
        copy_history(&doing, &h);
        b = open_image(path, (struct block_config){0});
        watch(path);
        begin_cuts(path, power);
        one_change(&doing, b, model_doing, what);
        block_free(b);
        end_cuts(power);
        if (cut.random)
            g_rand_free(cut.random);
        cut.random = NULL;
        look(); /* when all is over */
        g_assert_cmpuint(cut.looks, >, 10);
        g_assert_cmpuint(cut.changed, >, 1);
        g_assert_true(judge("qemu-img", "check", "-q", path, NULL));
        forget_history(&doing);
        forget_history(&after);
        forget_history(&h);
    }
}

/* Each call on the file fails once: an error, and the image as it was; or it went well. */
static void test_faults(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    for (unsigned what = 0; what < 3; what++) {
        struct history h = {0};
        g_autofree uint8_t *model = g_malloc0(MODEL_SIZE), *bytes = state_bytes(4, 0, 9000);
        g_autofree char *path = prepare(r, &h, model, 12), *image = NULL;
        gsize len;
        bool failed = true;
        int n = 0;
        g_assert_true(g_file_get_contents(path, &image, &len, NULL));
        for (; failed; n++) {
            g_autofree char *id = NULL, *copy = make(r, "fault", image, len);
            struct block *b = open_image(copy, (struct block_config){0});
            struct block_snapshot name = {.name = "new"};
            watch(copy);
            fails_with = n & 1 ? EIO : ENOSPC;
            fails_after = n;
            bool good = what == 0 ? block_state_write(b, bytes, 9000, &error) &&
                                        block_snapshot_take(b, &name, &id, &error)
                        : what == 1 ? block_snapshot_apply(b, h.kept[1].id, &error)
                                    : block_snapshot_remove(b, h.kept[1].id, &error);
            failed = fails_after < 0;
            fails_after = -1;
            g_assert_true(good == !error);
            g_assert_true(good || failed);
            g_clear_error(&error);
            if (!good) {
                block_state_drop(b);
                same_as(b, model);
                check_states(&h, b);
                good = what == 0 ? block_state_write(b, bytes, 9000, &error) &&
                                       block_snapshot_take(b, &name, &id, &error)
                                 : true; /* again, and it goes */
                g_assert_no_error(error);
            }
            g_assert_true(what != 0 || block_snapshot_find(b, "new", NULL));
            block_free(b);
            const char *argv[] = {"qemu-img", "check", copy, NULL};
            g_autofree char *program = g_find_program_in_path("qemu-img");
            int status = 0;
            if (program)
                g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                                           G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL |
                                               G_SPAWN_STDERR_TO_DEV_NULL,
                                           NULL, NULL, NULL, NULL, &status, NULL));
            if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3)
                g_error("change %u, call %d failed: qemu-img check ends with %d", what, n,
                        WEXITSTATUS(status));
        }
        g_assert_cmpint(n, >, 10);
        forget_history(&h);
    }
}

/* The file may not grow: an error, no snapshot, and the disk goes on. */
static void test_full(struct rig *r, gconstpointer data)
{
    struct history h = {0};
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *model = g_malloc0(MODEL_SIZE), *state = state_bytes(9, 0, 4 << 20);
    g_autofree char *path = prepare(r, &h, model, 12), *id = NULL;
    struct rlimit before, small;
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    small = (struct rlimit){.rlim_cur = (rlim_t)st.st_size + (1 << 20), .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    struct block *b = open_image(path, (struct block_config){0});
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    g_assert_false(block_state_write(b, state, 4 << 20, &error));
    g_assert_nonnull(strstr(error->message, "make room"));
    block_state_drop(b);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
    check_states(&h, b);
    exercise(b, model, 30, 3);
    same_as(b, model);
    block_free(b);
    b = open_image(path, (struct block_config){0});
    check_states(&h, b);
    block_free(b);
    check_contents(r, &h, path, (struct block_config){0});
    forget_history(&h);
}

/* ---- hostile ---- */

static void test_hostile(struct rig *r, gconstpointer data)
{
    static const struct {
        unsigned offset, bytes; /* in the table's first entry; 1000: in the header */
        uint64_t value;
        const char *says; /* NULL: it opens, and what is done with it fails */
    } rows[] = {
        {0, 8, 0, "damaged"},
        {0, 8, 12345, "damaged"},
        {0, 8, UINT64_MAX - 4095, "damaged"},
        {8, 4, 0xffffffff, "damaged"},
        {12, 2, 0xffff, "damaged"},
        {14, 2, 0xffff, "damaged"},
        {36, 4, 1025, "damaged"},
        {36, 4, 0xffffffff, "damaged"},
        {48, 8, UINT64_MAX, "damaged"},
        {1060, 4, 4, "damaged"},
        {1060, 4, 65537, "more than"},
        {1064, 8, 77, "damaged"},
        {1064, 8, UINT64_C(1) << 40, "damaged"},
        {0, 8, 1 << 30, NULL},
        {0, 8, 0x1000, NULL},
    };
    struct history h = {0};
    g_autofree uint8_t *model = g_malloc0(MODEL_SIZE);
    g_autofree char *path = prepare(r, &h, model, 12), *image = NULL;
    gsize len;
    g_assert_true(g_file_get_contents(path, &image, &len, NULL));
    uint64_t table;
    memcpy(&table, image + 64, 8);
    table = GUINT64_FROM_BE(table);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *bad = g_memdup2(image, len), *bad_path = NULL;
        size_t at = rows[i].offset < 1000 ? table + rows[i].offset : rows[i].offset - 1000;
        qcow2_put((uint8_t *)bad + at, rows[i].value, rows[i].bytes);
        bad_path = make(r, "bad", bad, len);
        if (rows[i].says) {
            refused(bad_path, (struct block_config){0}, rows[i].says);
            struct block *b =
                open_image(bad_path, (struct block_config){.read_only = true}); /* the disk is there */
            same_as(b, model);
            g_assert_cmpuint(block_snapshot_count(b), ==, 0);
            block_free(b);
            continue;
        }
        struct block *b = open_image(bad_path, (struct block_config){0});
        g_assert_false(block_snapshot_apply(b, h.kept[0].id, &error));
        g_clear_error(&error);
        g_assert_false(block_snapshot_remove(b, h.kept[0].id, &error));
        g_assert_cmpuint(block_snapshot_count(b), ==, 3);
        same_as(b, model);
        exercise(b, model, 5, (guint32)i);
        block_free(b);
        memset(model, 0, MODEL_SIZE);
        b = open_image(path, (struct block_config){0});
        for (uint32_t k = 0; k < MODEL_SIZE; k += 1 << 20)
            g_assert_cmpint(run(b, BLOCK_READ, k, model + k, 1 << 20), ==, 0);
        block_free(b);
    }
    forget_history(&h);
}

/* snapshot=on: what was written can be taken back. */
static void test_passing(struct rig *r, gconstpointer data)
{
    size_t len;
    g_autofree uint8_t *image = qcow2_image(3, 12, MODEL_SIZE, NULL, &len), *model = g_malloc0(MODEL_SIZE),
                       *zeros = g_malloc0(MODEL_SIZE);
    g_autofree char *path = make(r, "passing", image, len);
    struct block *b = open_image(path, (struct block_config){.snapshot = true});
    g_assert_cmpint(block_snapshot_kind(b), ==, BLOCK_SNAPSHOTS_NEEDLESS);
    exercise(b, model, 30, 1);
    g_assert_cmpint(block_snapshot_kind(b), ==, BLOCK_SNAPSHOTS_PASSING);
    g_assert_true(block_forget_passing_writes(b));
    g_assert_cmpint(block_snapshot_kind(b), ==, BLOCK_SNAPSHOTS_NEEDLESS);
    same_as(b, zeros);
    block_free(b);
    b = open_image(path, (struct block_config){.read_only = true});
    g_assert_cmpint(block_snapshot_kind(b), ==, BLOCK_SNAPSHOTS_NEEDLESS);
    block_free(b);
    b = open_image(path, (struct block_config){0});
    g_assert_cmpint(block_snapshot_kind(b), ==, BLOCK_SNAPSHOTS_KEPT);
    g_assert_false(block_forget_passing_writes(b));
    block_free(b);
    g_autofree char *raw = make(r, "raw", zeros, MODEL_SIZE);
    b = open_image(raw, (struct block_config){.format = BLOCK_FORMAT_RAW});
    g_assert_cmpint(block_snapshot_kind(b), ==, BLOCK_SNAPSHOTS_NONE);
    block_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, data, test) g_test_add("/image-snapshots/" name, struct rig, data, set_up, test, tear_down)
    TEST("series", NULL, test_series);
    TEST("foreign", NULL, test_foreign);
    TEST("narrow", NULL, test_narrow);
    TEST("grows", NULL, test_grows);
    TEST("killed", GINT_TO_POINTER(0), test_cuts);
    TEST("power", GINT_TO_POINTER(1), test_cuts);
    TEST("faults", NULL, test_faults);
    TEST("full", NULL, test_full);
    TEST("hostile", NULL, test_hostile);
    TEST("passing", NULL, test_passing);
    return g_test_run();
}
