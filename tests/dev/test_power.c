/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Power cuts. This program stands between the block layer and the file: it notes every write, hole and sync
 * of one image (pwrite() and its kin are defined here and win over the C library's). Then it plays the notes
 * back up to a random point, of which only what was synced is sure to be on the disk: of the later changes
 * some are left out, in sectors, in any order. The image that comes out has to be consistent (no error but
 * leaks, by qemu-img check where that is installed), and to have in each sector what was there at the last
 * flush the drive was answered, or what was written later.
 */
#include "emu/block/backend.h"
#include "tests/dev/qcow2_image.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECTOR = 512, SECTORS = 2048, SIZE = SECTORS * SECTOR, ROUNDS = 80 };

struct note {
    enum { NOTE_WRITE, NOTE_HOLE, NOTE_SYNC, NOTE_FLUSHED } kind;
    uint64_t offset, len;
    uint8_t *data;
};

static GArray *notes; /* NULL: nothing is noted */
static dev_t noted_dev;
static ino_t noted_ino;

static int faults_after; /* calls; the next one fails; negative: none does any more */
static int fault_code;

/* Whether this call on the image fails. */
static bool fails(int fd)
{
    struct stat st;
    if (!fault_code || fstat(fd, &st) || st.st_dev != noted_dev || st.st_ino != noted_ino ||
        faults_after-- != 0)
        return false;
    errno = fault_code;
    return true;
}

static bool is_noted(int fd)
{
    struct stat st;
    return notes && fstat(fd, &st) == 0 && st.st_dev == noted_dev && st.st_ino == noted_ino;
}

static void note(struct note n)
{
    g_array_append_val(notes, n);
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
    return fails(fd) ? -1 : syscall(SYS_pread64, fd, buf, len, offset);
}

ssize_t pread64(int fd, void *buf, size_t len, off_t offset)
{
    return pread(fd, buf, len, offset);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    if (fails(fd))
        return -1;
    if (is_noted(fd))
        note((struct note){NOTE_WRITE, (uint64_t)offset, len, g_memdup2(buf, len)});
    return syscall(SYS_pwrite64, fd, buf, len, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
    return pwrite(fd, buf, len, offset);
}

int fdatasync(int fd)
{
    if (fails(fd))
        return -1;
    if (is_noted(fd))
        note((struct note){.kind = NOTE_SYNC});
    return 0; /* the page cache is what this test plays with */
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    if (is_noted(fd))
        note((struct note){.kind = NOTE_HOLE, .offset = (uint64_t)offset, .len = (uint64_t)len});
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off_t offset, off_t len)
{
    return fallocate(fd, mode, offset, len);
}

/* ---- the drive ---- */

static void store_error(void *opaque, int error)
{
    *(int *)opaque = error;
}

static void run(struct block *block, enum block_op op, uint64_t offset, void *buf, uint32_t len)
{
    int error = -1;
    struct block_request request = {
        .op = op, .offset = offset, .len = len, .buf = buf, .done = store_error, .opaque = &error};
    block_submit(block, &request);
    g_assert_cmpint(error, ==, 0);
}

static struct block *open_block(const char *path, bool read_only)
{
    g_autoptr(GError) error = NULL;
    struct block_config config = {
        .id = "power", .file = path, .discard = true, .read_only = read_only, .format = BLOCK_FORMAT_AUTO};
    if (g_str_has_suffix(path, "raw"))
        config.format = BLOCK_FORMAT_RAW;
    struct block *block = block_new(&config, NULL, &error);
    g_assert_no_error(error);
    return block;
}

/* What a sector holds is told by a number in it: 0 zeros, else which write. */
static void fill(uint8_t *buf, uint32_t count, uint32_t value)
{
    for (uint32_t i = 0; i < count * SECTOR / 4; i++)
        memcpy(buf + 4 * i, &value, 4);
}

static bool holds(const uint8_t *sector, uint32_t value)
{
    for (uint32_t i = 0; i < SECTOR / 4; i++)
        if (memcmp(sector + 4 * i, &value, 4) != 0)
            return false;
    return true;
}

struct history {
    uint32_t value[SECTORS]; /* newest */
    GArray *since[SECTORS];  /* what may be there instead: written since the last flush, and before it */
};

static void happened(struct history *h, uint32_t first, uint32_t count, uint32_t value)
{
    for (uint32_t i = first; i < first + count; i++) {
        h->value[i] = value;
        g_array_append_val(h->since[i], value);
    }
}

static void flushed(struct history *h)
{
    for (uint32_t i = 0; i < SECTORS; i++) {
        g_array_set_size(h->since[i], 0);
        g_array_append_val(h->since[i], h->value[i]);
    }
}

/* ---- the cut ---- */

static void apply(uint8_t **image, size_t *len, const struct note *n, GRand *random)
{
    size_t end = n->offset + n->len;
    if (n->kind == NOTE_WRITE && end > *len) {
        *image = g_realloc(*image, end);
        memset(*image + *len, 0, end - *len);
        *len = end;
    }
    for (uint64_t at = n->offset; at < MIN(end, *len);) {
        uint64_t next = MIN((at / SECTOR + 1) * SECTOR, MIN(end, *len));
        if (!random || g_rand_boolean(random)) {
            if (n->kind == NOTE_WRITE)
                memcpy(*image + at, n->data + (at - n->offset), next - at);
            else if (n->kind == NOTE_HOLE)
                memset(*image + at, 0, next - at);
        }
        at = next;
    }
}

static void check_image(const char *path, const char *format)
{
    static unsigned count;
    g_autofree char *program = g_find_program_in_path("qemu-img"), *out = NULL, *err = NULL;
    const char *argv[] = {"qemu-img", "check", "-f", format, path, NULL};
    int status = 0;
    if (!program || g_str_equal(format, "raw") || (count++ % 20 && !g_getenv("NETLAB_TEST_FULL")))
        return;
    g_assert_true(
        g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, NULL));
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3) /* 3: leaks alone */
        g_error("qemu-img check: %d\n%s%s", WEXITSTATUS(status), out, err);
}

/* The notes up to `cut`; possible[i]: what sector i may hold then. */
static void cut_power(const char *path, const uint8_t *start, size_t start_len, guint cut, struct history *h,
                      GRand *random)
{
    g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
    g_autofree char *copy = g_build_filename(folder, "cut", name, NULL); /* its backing file is there, too */
    uint8_t *image = g_memdup2(start, start_len);
    size_t len = start_len;
    guint synced = 0;
    for (guint i = 0; i < cut; i++)
        if (g_array_index(notes, struct note, i).kind == NOTE_SYNC)
            synced = i;
    for (guint i = 0; i < cut; i++)
        apply(&image, &len, &g_array_index(notes, struct note, i), i < synced ? NULL : random);
    g_assert_true(g_file_set_contents(copy, (const char *)image, (gssize)len, NULL));
    g_free(image);
    GArray *kept = notes;
    notes = NULL;
    check_image(copy, g_str_has_suffix(copy, "raw") ? "raw" : "qcow2");
    struct block *block = open_block(copy, false);
    g_autofree uint8_t *data = g_malloc(SIZE);
    for (uint32_t at = 0; at < SIZE; at += 1 << 20)
        run(block, BLOCK_READ, at, data + at, 1 << 20);
    for (uint32_t i = 0; i < SECTORS; i++) {
        bool good = false;
        for (guint k = 0; k < h->since[i]->len && !good; k++)
            good = holds(data + i * SECTOR, g_array_index(h->since[i], uint32_t, k));
        if (!good)
            g_error("sector %u holds %08x; at the last flush it was %08x", i,
                    *(uint32_t *)(data + i * SECTOR), g_array_index(h->since[i], uint32_t, 0));
    }
    block_free(block);
    g_unlink(copy);
    notes = kept;
}

static void test_cuts(gconstpointer data)
{
    const char *kind = data;
    bool raw = g_str_equal(kind, "raw"), backing = g_str_equal(kind, "backing");
    bool full = g_getenv("NETLAB_TEST_FULL") != NULL;
    g_autofree char *folder = g_dir_make_tmp("netlab-power-XXXXXX", NULL), *below = NULL;
    g_autofree char *path = g_build_filename(folder, raw ? "disk.raw" : "disk.qcow2", NULL);
    g_autofree uint8_t *buf = g_malloc(256 << 10), *start = NULL;
    g_autofree char *cut = g_build_filename(folder, "cut", NULL), *below_cut = NULL;
    struct history h = {0};
    size_t len = SIZE;
    g_assert_cmpint(g_mkdir(cut, 0700), ==, 0);
    for (uint32_t i = 0; i < SECTORS; i++)
        h.since[i] = g_array_new(FALSE, FALSE, 4);
    if (backing) {
        g_autofree uint8_t *base = g_malloc(SIZE);
        below = g_build_filename(folder, "below", NULL);
        for (uint32_t i = 0; i < SECTORS; i++) {
            h.value[i] = 0xb0000000 | i;
            fill(base + i * SECTOR, 1, h.value[i]);
        }
        below_cut = g_build_filename(cut, "below", NULL);
        g_assert_true(g_file_set_contents(below, (char *)base, SIZE, NULL));
        g_assert_true(g_file_set_contents(below_cut, (char *)base, SIZE, NULL));
    }
    flushed(&h);
    start = raw ? g_malloc0(SIZE) : qcow2_image(3, 12, SIZE, backing ? "below" : NULL, &len);
    for (guint32 seed = 0; seed < (full ? 20 : 2); seed++) {
        g_assert_true(g_file_set_contents(path, (char *)start, (gssize)len, NULL));
        for (uint32_t i = 0; i < SECTORS; i++)
            h.value[i] = backing ? 0xb0000000 | i : 0;
        flushed(&h);
        struct stat st;
        g_assert_cmpint(stat(path, &st), ==, 0);
        noted_dev = st.st_dev;
        noted_ino = st.st_ino;
        notes = g_array_new(FALSE, FALSE, sizeof(struct note));
        GRand *random = g_rand_new_with_seed(seed + 1);
        struct block *block = open_block(path, false);
        for (uint32_t round = 1; round <= ROUNDS; round++) {
            uint32_t count = (uint32_t)g_rand_int_range(random, 1, g_rand_boolean(random) ? 8 : 64);
            uint32_t first = (uint32_t)g_rand_int_range(random, 0, (gint32)(SECTORS - count));
            int what = g_rand_int_range(random, 0, 10);
            if (what < 7) {
                fill(buf, count, round);
                happened(&h, first, count, round);
                run(block, BLOCK_WRITE, first * (uint64_t)SECTOR, buf, count * SECTOR);
            } else if (what < 8) {
                happened(&h, first, count, 0); /* in part, or not at all */
                run(block, BLOCK_DISCARD, first * (uint64_t)SECTOR, NULL, count * SECTOR);
                run(block, BLOCK_READ, first * (uint64_t)SECTOR, buf, count * SECTOR);
                for (uint32_t i = 0; i < count; i++)
                    memcpy(&h.value[first + i], buf + i * SECTOR, 4);
            } else {
                run(block, BLOCK_FLUSH, 0, NULL, 0);
                note((struct note){.kind = NOTE_FLUSHED});
                flushed(&h);
            }
            cut_power(path, start, len, notes->len, &h, random);
        }
        block_free(block);
        cut_power(path, start, len, notes->len, &h, random);
        for (guint i = 0; i < notes->len; i++)
            g_free(g_array_index(notes, struct note, i).data);
        g_array_free(notes, TRUE);
        notes = NULL;
        g_rand_free(random);
    }
    for (uint32_t i = 0; i < SECTORS; i++)
        g_array_free(h.since[i], TRUE);
    g_unlink(path);
    if (below) {
        g_unlink(below);
        g_unlink(below_cut);
    }
    g_rmdir(cut);
    g_rmdir(folder);
}

/* ---- faults ---- */

struct seen {
    unsigned stops, reports;
    int error;
};

static void failed(void *opaque, struct block *block, bool write, int error, bool stops, bool ignored)
{
    struct seen *seen = opaque;
    seen->stops += stops;
    seen->reports += !stops && !ignored;
    seen->error = error;
}

/* One series of requests with one fault in it. False: it ended before the fault. */
static bool one_fault(const char *path, const uint8_t *image, size_t len, const uint8_t *start, int after,
                      bool stop)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *model = g_memdup2(start, SIZE), *buf = g_malloc(64 << 10), *back = g_malloc(SIZE);
    g_autofree bool *unsure = g_new0(bool, SECTORS);
    enum block_on_error policy = stop ? BLOCK_ERROR_STOP : BLOCK_ERROR_REPORT;
    struct block_config config = {.id = "fault",
                                  .file = path,
                                  .discard = true,
                                  .format =
                                      g_str_has_suffix(path, "raw") ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2,
                                  .on_write_error = policy,
                                  .on_read_error = policy};
    struct seen seen = {0};
    struct stat st;
    g_assert_true(g_file_set_contents(path, (const char *)image, (gssize)len, NULL));
    g_assert_cmpint(stat(path, &st), ==, 0);
    noted_dev = st.st_dev;
    noted_ino = st.st_ino;
    struct block *block = block_new(&config, NULL, &error);
    g_assert_no_error(error);
    block_set_error_listener(block, failed, &seen);
    GRand *random = g_rand_new_with_seed(5);
    fault_code = after & 1 ? EIO : ENOSPC;
    faults_after = after;
    for (uint32_t i = 0; i < 24; i++) {
        uint32_t count = (uint32_t)g_rand_int_range(random, 1, g_rand_boolean(random) ? 8 : 64);
        uint32_t first = (uint32_t)g_rand_int_range(random, 0, (gint32)(SECTORS - count));
        int what = g_rand_int_range(random, 0, 6), result = -1;
        struct block_request request = {.op = what < 4   ? BLOCK_WRITE
                                              : what < 5 ? BLOCK_READ
                                                         : BLOCK_FLUSH,
                                        .offset = first * (uint64_t)SECTOR,
                                        .len = what < 5 ? count * SECTOR : 0,
                                        .buf = buf,
                                        .done = store_error,
                                        .opaque = &result};
        fill(buf, count, i + 1);
        block_submit(block, &request);
        if (result == -1) { /* it waits for somebody to make room */
            g_assert_cmpuint(seen.stops, ==, 1);
            block_retry(block);
        }
        g_assert_cmpint(result, ==, !stop && seen.reports == 1 && result ? fault_code : 0);
        for (uint32_t k = 0; result && request.op == BLOCK_WRITE && k < count; k++)
            unsure[first + k] = true;
        if (!result && request.op == BLOCK_WRITE)
            memcpy(model + first * SECTOR, buf, count * SECTOR);
        if (!result && request.op == BLOCK_READ)
            for (uint32_t k = 0; k < count; k++)
                g_assert_true(unsure[first + k] ||
                              !memcmp(buf + k * SECTOR, model + (first + k) * SECTOR, SECTOR));
        if (!result && request.op == BLOCK_WRITE)
            memset(unsure + first, 0, count);
    }
    bool happened_at_all = faults_after < 0;
    fault_code = 0;
    g_rand_free(random);
    g_assert_cmpuint(seen.stops + seen.reports, <=, 1);
    block_free(block);
    check_image(path, g_str_has_suffix(path, "raw") ? "raw" : "qcow2");
    block = open_block(path, false);
    for (uint32_t at = 0; at < SIZE; at += 1 << 20)
        run(block, BLOCK_READ, at, back + at, 1 << 20);
    for (uint32_t n = 0; n < SECTORS; n++)
        if (!unsure[n] && memcmp(back + n * SECTOR, model + n * SECTOR, SECTOR) != 0)
            g_error("fault after %d calls (%s): sector %u is lost", after, stop ? "stop" : "report", n);
    block_free(block);
    return happened_at_all;
}

static void test_faults(gconstpointer data)
{
    const char *kind = data;
    bool raw = g_str_equal(kind, "raw"), backing = g_str_equal(kind, "backing");
    int step = g_getenv("NETLAB_TEST_FULL") ? 1 : 3;
    g_autofree char *folder = g_dir_make_tmp("netlab-power-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, raw ? "disk.raw" : "disk.qcow2", NULL);
    g_autofree char *below = g_build_filename(folder, "below", NULL);
    size_t len = SIZE;
    g_autofree uint8_t *image =
        raw ? g_malloc0(SIZE) : qcow2_image(3, 12, SIZE, backing ? "below" : NULL, &len);
    g_autofree uint8_t *start = g_malloc0(SIZE);
    for (uint32_t i = 0; i < SECTORS && backing; i++)
        fill(start + i * SECTOR, 1, 0xb0000000 | i);
    g_assert_true(g_file_set_contents(below, (char *)start, SIZE, NULL));
    for (unsigned stop = 0; stop < 2; stop++) {
        int after = (int)stop;
        while (one_fault(path, image, len, start, after, stop))
            after += step;
        g_assert_cmpint(after, >, 10);
    }
    g_unlink(path);
    g_unlink(below);
    g_rmdir(folder);
}

/* ---- kill -9 ---- */

enum { STEPS_MOST = 1 << 16, KILLS = 12, KILLS_FULL = 400 };

struct step {
    uint32_t first, count, value; /* value 0: a flush */
};
struct journal {
    gint begun, done; /* steps */
    struct step step[STEPS_MOST];
};

static G_GNUC_NORETURN void write_until_killed(const char *path, struct journal *j, guint32 seed)
{
    GRand *random = g_rand_new_with_seed(seed);
    struct block *block = open_block(path, false);
    g_autofree uint8_t *buf = g_malloc(256 << 10);
    for (int i = 0; i < STEPS_MOST; i++) {
        struct step *s = &j->step[i];
        s->count = (uint32_t)g_rand_int_range(random, 1, g_rand_boolean(random) ? 8 : 64);
        s->first = (uint32_t)g_rand_int_range(random, 0, (gint32)(SECTORS - s->count));
        s->value = g_rand_int_range(random, 0, 5) ? (uint32_t)i + 1 : 0;
        g_atomic_int_set(&j->begun, i + 1);
        fill(buf, s->count, s->value);
        if (s->value)
            run(block, BLOCK_WRITE, s->first * (uint64_t)SECTOR, buf, s->count * SECTOR);
        else
            run(block, BLOCK_FLUSH, 0, NULL, 0);
        g_atomic_int_set(&j->done, i + 1);
    }
    _exit(0);
}

/* Sector by sector: what it must hold, or what may be there instead. */
static void check_killed(const char *path, const struct journal *j, bool only_flushed, const uint32_t *start)
{
    g_autofree uint8_t *data = g_malloc(SIZE);
    g_autofree uint32_t *sure = g_memdup2(start, SECTORS * sizeof *start);
    int certain = 0;
    for (int i = 0; i < j->done; i++)
        if (!j->step[i].value || !only_flushed)
            certain = i + 1;
    for (int i = 0; i < certain; i++)
        for (uint32_t k = 0; j->step[i].value && k < j->step[i].count; k++)
            sure[j->step[i].first + k] = j->step[i].value;
    check_image(path, g_str_has_suffix(path, "raw") ? "raw" : "qcow2");
    struct block *block = open_block(path, false);
    for (uint32_t at = 0; at < SIZE; at += 1 << 20)
        run(block, BLOCK_READ, at, data + at, 1 << 20);
    block_free(block);
    for (uint32_t n = 0; n < SECTORS; n++) {
        bool good = holds(data + n * SECTOR, sure[n]);
        for (int i = certain; i < j->begun && !good; i++)
            good = j->step[i].value && n >= j->step[i].first && n < j->step[i].first + j->step[i].count &&
                   holds(data + n * SECTOR, j->step[i].value);
        if (!good)
            g_error("killed in step %d: sector %u holds %08x, not %08x", j->begun, n,
                    *(uint32_t *)(data + n * SECTOR), sure[n]);
    }
}

static void test_killed(gconstpointer data)
{
    const char *kind = data;
    bool raw = g_str_equal(kind, "raw"), backing = g_str_equal(kind, "backing");
    unsigned kills = g_getenv("NETLAB_TEST_FULL") ? KILLS_FULL : KILLS;
    g_autofree char *folder = g_dir_make_tmp("netlab-power-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, raw ? "disk.raw" : "disk.qcow2", NULL);
    g_autofree char *below = g_build_filename(folder, "below", NULL);
    size_t len = SIZE;
    g_autofree uint8_t *image =
        raw ? g_malloc0(SIZE) : qcow2_image(3, 12, SIZE, backing ? "below" : NULL, &len);
    g_autofree uint8_t *base = g_malloc0(SIZE);
    g_autofree uint32_t *start = g_new0(uint32_t, SECTORS);
    struct journal *j = mmap(NULL, sizeof *j, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(j != MAP_FAILED);
    for (uint32_t i = 0; i < SECTORS && backing; i++) {
        start[i] = 0xb0000000 | i;
        fill(base + i * SECTOR, 1, start[i]);
    }
    g_assert_true(g_file_set_contents(below, (char *)base, SIZE, NULL));
    GRand *random = g_rand_new_with_seed(99);
    for (unsigned n = 0; n < kills; n++) {
        g_assert_true(g_file_set_contents(path, (char *)image, (gssize)len, NULL));
        memset(j, 0, sizeof *j);
        gint until = g_rand_int_range(random, 1, 600);
        guint32 seed = g_rand_int(random);
        pid_t child = fork();
        g_assert_cmpint(child, >=, 0);
        if (!child)
            write_until_killed(path, j, seed);
        int status = 0;
        while (g_atomic_int_get(&j->begun) < until && waitpid(child, &status, WNOHANG) == 0)
            g_thread_yield();
        kill(child, SIGKILL);
        if (!status)
            waitpid(child, &status, 0);
        g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check_killed(path, j, backing, start);
    }
    g_rand_free(random);
    munmap(j, sizeof *j);
    g_unlink(path);
    g_unlink(below);
    g_rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/power/raw", "raw", test_cuts);
    g_test_add_data_func("/power/qcow2", "qcow2", test_cuts);
    g_test_add_data_func("/power/backing", "backing", test_cuts);
    g_test_add_data_func("/power/faults/raw", "raw", test_faults);
    g_test_add_data_func("/power/faults/qcow2", "qcow2", test_faults);
    g_test_add_data_func("/power/faults/backing", "backing", test_faults);
    g_test_add_data_func("/power/killed/raw", "raw", test_killed);
    g_test_add_data_func("/power/killed/qcow2", "qcow2", test_killed);
    g_test_add_data_func("/power/killed/backing", "backing", test_killed);
    return g_test_run();
}
