/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The guest-physical address space: see physmap.h for the contract.
 *
 * Ranges live in one array, in order of priority. Publishing a change builds the flat view: a sorted array of
 * intervals, each with the range that serves reads and the one that serves writes there. Lookups are a binary
 * search with a one-entry cache; they happen once per page and TLB fill, or per DMA run, so nothing faster is
 * needed. A board has some forty ranges, so the quadratic build costs microseconds and only on a change.
 */
#include "emu/mem/physmap.h"
#include "emu/trace.h"
#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct phys_range {
    const char *name;
    uint64_t base, size;
    int priority;
    unsigned serial; /* order of creation: the later one wins among equals */
    bool enabled, readable, writable;
    const uint8_t *rom;
    bool is_ram;
    uint64_t ram_offset;
    const struct mmio_ops *ops;
    void *opaque;
};

/* [start, next interval's start) */
struct interval {
    uint64_t start, end;
    const struct phys_range *read, *write; /* NULL: nothing there */
};

/* A part of guest RAM that is not of the memory file. */
struct replaced {
    uint64_t start, end;
};

struct physmap {
    uint8_t *ram;
    uint64_t ram_size;
    int ram_fd;       /* -1: anonymous memory */
    GArray *replaced; /* struct replaced */
    uint8_t *page_flags;
    GPtrArray *ranges; /* struct phys_range *, highest priority first */
    GArray *view;      /* struct interval, sorted, gaps left out */
    unsigned last;     /* view index of the last lookup */
    unsigned serial;
    unsigned nesting;
    bool stale;
    void (*changed)(void *opaque);
    void *changed_opaque;
    void (*code_written)(void *opaque, uint64_t ram_offset, size_t len);
    void *code_opaque;
};

static int backing_failed(const char *path, const char *step, int why, GError **error)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                "-mem-path %s: %s: %s (name a folder with enough room, as /dev/shm, or leave it out)", path,
                step, g_strerror(why));
    return -1;
}

/* The file of guest RAM, of the right size and zeroed. A file that has something in it which was no guest's
 * RAM is left alone. */
static int open_backing(const char *path, uint64_t size, GError **error)
{
    struct stat st;
    bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    int fd = folder ? open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    if (folder && fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) { /* hugetlbfs */
        g_autofree char *name = g_build_filename(path, "netlab-emu-ram.XXXXXX", NULL);
        fd = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlink(name);
    } else if (!folder) {
        fd = fdset_open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    }
    if (fd < 0)
        return backing_failed(path, "opening it", errno, error);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_size && (uint64_t)st.st_size != size)) {
        close(fd);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "-mem-path %s: the file would be overwritten, and has not the %" G_GUINT64_FORMAT
                    " bytes of this machine's memory (name a folder, or a file that is not there yet)",
                    path, size);
        return -1;
    }
    if (ftruncate(fd, 0) || ftruncate(fd, (off_t)size)) {
        int why = errno;
        close(fd);
        return backing_failed(path, "giving it the size of guest RAM", why, error);
    }
    return fd;
}

/* What RAM begins with: a file of its size, or one that is made empty. Nothing is ever written to it. */
static int open_content(const char *path, uint64_t size, GError **error)
{
    struct stat st;
    int fd = fdset_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0 && errno == ENOENT) {
        fd = fdset_open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
        if (fd >= 0 && ftruncate(fd, (off_t)size)) {
            int why = errno;
            close(fd);
            return backing_failed(path, "giving it the size of guest RAM", why, error);
        }
    }
    if (fd < 0)
        return backing_failed(path, "opening it", errno, error);
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size)
        return fd;
    close(fd);
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        "mem-path=%s: guest RAM begins with what is in the file, which has not the %" G_GUINT64_FORMAT
        " bytes of this machine's memory (name a folder, a file of that size, or one that is not there "
        "yet; share=on writes to it)",
        path, size);
    return -1;
}

/* Its content, holes left out. */
static bool read_content(const char *path, int fd, uint8_t *ram, uint64_t size, GError **error)
{
    off_t at = 0, end = (off_t)size;
    while (at < end) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) /* only holes */
            return true;
        at = data < 0 ? at : data;
        off_t hole = lseek(fd, at, SEEK_HOLE);
        hole = hole < 0 || hole > end ? end : hole;
        while (at < hole) {
            ssize_t got = pread(fd, ram + at, (size_t)(hole - at), at);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                return backing_failed(path, "reading it", errno, error) == 0;
            if (got == 0) /* it was cut short meanwhile */
                return true;
            at += got;
        }
    }
    return true;
}

static bool preallocate(uint8_t *ram, uint64_t size, int fd, GError **error)
{
    int why = fd >= 0 ? fallocate(fd, 0, 0, (off_t)size) : madvise(ram, size, MADV_POPULATE_WRITE);
    if (why) {
        why = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                    "-mem-prealloc: %" G_GUINT64_FORMAT
                    " MiB of guest memory: %s (give the machine less with -m, or leave it out)",
                    size >> 20, g_strerror(why));
    }
    return !why;
}

struct physmap *physmap_new(uint64_t ram_size, GError **error)
{
    return physmap_new_backed(ram_size, &(struct physmap_backing){0}, error);
}

struct physmap *physmap_new_backed(uint64_t ram_size, const struct physmap_backing *backing, GError **error)
{
    if (ram_size < 1 << 20 || ram_size & PHYS_PAGE_MASK) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "guest memory of %" G_GUINT64_FORMAT
                    " bytes: give at least 1 MiB, in whole pages (-m 64M)",
                    ram_size);
        return NULL;
    }
    int fd = -1, content = -1;
    bool apart = backing->path && backing->apart && !g_file_test(backing->path, G_FILE_TEST_IS_DIR);
    if (apart && (content = open_content(backing->path, ram_size, error)) < 0)
        return NULL;
    if (backing->path && !apart && (fd = open_backing(backing->path, ram_size, error)) < 0)
        return NULL;
    /* A page without access on either side: an address that is wrong by a little does not reach other memory,
     * and the kernel keeps the mapping apart from its neighbours, so that tools can tell what is guest RAM.
     */
    size_t whole = ram_size + 2 * PHYS_PAGE_SIZE;
    uint8_t *space = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *ram = space + PHYS_PAGE_SIZE;
    if (space != MAP_FAILED && fd < 0) {
        fd = memfd_create("netlab-emu guest RAM", MFD_CLOEXEC);
        if (fd >= 0 && ftruncate(fd, (off_t)ram_size)) {
            close(fd);
            fd = -1;
        }
    }
    if (space != MAP_FAILED && fd >= 0 &&
        mmap(ram, ram_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) ==
            MAP_FAILED) {
        int why = errno;
        close(fd);
        fd = -1;
        if (backing->path && !apart) {
            munmap(space, whole);
            backing_failed(backing->path, "mapping it", why, error);
            return NULL;
        }
    }
    if (space == MAP_FAILED ||
        (fd < 0 && mmap(ram, ram_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "reserving %" G_GUINT64_FORMAT " MiB of guest memory: %s (give the machine less with -m)",
                    ram_size >> 20, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        if (content >= 0)
            close(content);
        return NULL;
    }
    bool filled = content < 0 || read_content(backing->path, content, ram, ram_size, error);
    if (content >= 0)
        close(content);
    if (!filled || (backing->prealloc && !preallocate(ram, ram_size, fd, error))) {
        munmap(space, whole);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    /* A core dump is to show the emulator, not what a guest held in its memory. It also keeps this mapping
     * apart from its neighbours in /proc/PID/smaps, so that the emulator's own memory can be told from the
     * guest's. */
    (void)madvise(ram, ram_size, MADV_DONTDUMP);
    struct physmap *pm = g_new0(struct physmap, 1);
    pm->ram = ram;
    pm->ram_fd = fd;
    pm->replaced = g_array_new(FALSE, FALSE, sizeof(struct replaced));
    pm->ram_size = ram_size;
    pm->page_flags = g_malloc0(ram_size >> PHYS_PAGE_SHIFT);
    pm->ranges = g_ptr_array_new_with_free_func(g_free);
    pm->view = g_array_new(FALSE, FALSE, sizeof(struct interval));
    return pm;
}

void physmap_free(struct physmap *pm)
{
    if (!pm)
        return;
    munmap(pm->ram - PHYS_PAGE_SIZE, pm->ram_size + 2 * PHYS_PAGE_SIZE);
    if (pm->ram_fd >= 0)
        close(pm->ram_fd);
    g_array_unref(pm->replaced);
    g_free(pm->page_flags);
    g_ptr_array_unref(pm->ranges);
    g_array_unref(pm->view);
    g_free(pm);
}

uint8_t *physmap_ram(struct physmap *pm)
{
    return pm->ram;
}

uint64_t physmap_ram_size(const struct physmap *pm)
{
    return pm->ram_size;
}

int physmap_ram_fd(const struct physmap *pm)
{
    return pm->ram_fd;
}

/* [start, end) is no longer in the list. */
static void replaced_remove(struct physmap *pm, uint64_t start, uint64_t end)
{
    for (guint i = pm->replaced->len; i-- > 0;) {
        struct replaced r = g_array_index(pm->replaced, struct replaced, i);
        struct replaced before = {r.start, start}, after = {end, r.end};
        if (r.end <= start || end <= r.start)
            continue;
        g_array_remove_index_fast(pm->replaced, i);
        if (before.start < before.end)
            g_array_append_val(pm->replaced, before);
        if (after.start < after.end)
            g_array_append_val(pm->replaced, after);
    }
}

void physmap_ram_replaced(struct physmap *pm, uint64_t ram_offset, uint64_t len)
{
    struct replaced r = {ram_offset, ram_offset + len};
    if (pm->ram_fd < 0)
        return;
    replaced_remove(pm, r.start, r.end);
    g_array_append_val(pm->replaced, r);
}

/* Pieces of this size, so that RAM does not fall apart into too many mappings. */
#define UNITE_PIECE (UINT64_C(16) * PHYS_PAGE_SIZE)

static bool unite(struct physmap *pm, uint64_t start, uint64_t end)
{
    for (uint64_t at = start; at < end;) {
        /* A read first: a page that its file no longer has is filled in by the handler of SIGBUS, which a
         * system call would not reach. */
        (void)*(volatile uint8_t *)(pm->ram + at);
        ssize_t put = pwrite(pm->ram_fd, pm->ram + at, PHYS_PAGE_SIZE, (off_t)at);
        if (put != PHYS_PAGE_SIZE)
            return false;
        at += PHYS_PAGE_SIZE;
    }
    if (mmap(pm->ram + start, end - start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
             pm->ram_fd, (off_t)start) == MAP_FAILED)
        return false;
    (void)madvise(pm->ram + start, end - start, MADV_DONTDUMP);
    replaced_remove(pm, start, end);
    return true;
}

bool physmap_ram_unite(struct physmap *pm, uint64_t ram_offset, uint64_t len)
{
    uint64_t start = ram_offset & ~(UNITE_PIECE - 1), end = ram_offset + len;
    end = (end + UNITE_PIECE - 1) & ~(UNITE_PIECE - 1);
    for (guint i = 0; i < pm->replaced->len;) {
        const struct replaced *r = &g_array_index(pm->replaced, struct replaced, i);
        uint64_t from = MAX(start, r->start), to = MIN(end, r->end);
        if (from >= to) {
            i++;
            continue;
        }
        if (!unite(pm, from, to))
            return false;
        i = 0; /* the list is another */
    }
    return true;
}

uint8_t *physmap_page_flags(struct physmap *pm)
{
    return pm->page_flags;
}

/* ---- building the view ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool covers(const struct phys_range *r, uint64_t addr)
{
    return r->enabled && addr >= r->base && addr - r->base < r->size;
}

static void build_view(struct physmap *pm)
{
    g_autofree uint64_t *edge = g_new(uint64_t, 2 * pm->ranges->len + 1);
    unsigned edges = 0;
    for (unsigned i = 0; i < pm->ranges->len; i++) {
        const struct phys_range *r = pm->ranges->pdata[i];
        if (!r->enabled)
            continue;
        edge[edges++] = r->base;
        edge[edges++] = r->base + r->size;
    }
    qsort(edge, edges, sizeof *edge, compare_u64);
    g_array_set_size(pm->view, 0);
    for (unsigned e = 0; e + 1 < edges; e++) {
        if (edge[e] == edge[e + 1])
            continue;
        struct interval now = {.start = edge[e], .end = edge[e + 1]};
        for (unsigned i = 0; i < pm->ranges->len && !(now.read && now.write); i++) {
            const struct phys_range *r = pm->ranges->pdata[i];
            if (!covers(r, now.start))
                continue;
            if (!now.read && r->readable)
                now.read = r;
            if (!now.write && r->writable)
                now.write = r;
        }
        if (!now.read && !now.write)
            continue;
        struct interval *before =
            pm->view->len ? &g_array_index(pm->view, struct interval, pm->view->len - 1) : NULL;
        if (before && before->end == now.start && before->read == now.read && before->write == now.write)
            before->end = now.end;
        else
            g_array_append_val(pm->view, now);
    }
    pm->last = 0;
}

static void publish(struct physmap *pm)
{
    if (pm->nesting) {
        pm->stale = true;
        return;
    }
    pm->stale = false;
    build_view(pm);
    if (pm->changed)
        pm->changed(pm->changed_opaque);
}

void physmap_begin(struct physmap *pm)
{
    pm->nesting++;
}

void physmap_end(struct physmap *pm)
{
    if (--pm->nesting == 0 && pm->stale)
        publish(pm);
}

void physmap_set_change_listener(struct physmap *pm, void (*changed)(void *opaque), void *opaque)
{
    pm->changed = changed;
    pm->changed_opaque = opaque;
}

void physmap_set_code_listener(struct physmap *pm,
                               void (*write)(void *opaque, uint64_t ram_offset, size_t len), void *opaque)
{
    pm->code_written = write;
    pm->code_opaque = opaque;
}

static struct phys_range *add_range(struct physmap *pm, const struct phys_range *model)
{
    struct phys_range *range = g_memdup2(model, sizeof *model);
    range->serial = pm->serial++;
    range->enabled = range->readable = range->writable = true;
    unsigned at = 0;
    while (at < pm->ranges->len && ((struct phys_range *)pm->ranges->pdata[at])->priority > range->priority)
        at++;
    g_ptr_array_insert(pm->ranges, (int)at, range);
    publish(pm);
    return range;
}

struct phys_range *physmap_add_ram(struct physmap *pm, const char *name, uint64_t base, uint64_t size,
                                   uint64_t ram_offset, int priority)
{
    g_return_val_if_fail(ram_offset <= pm->ram_size && size <= pm->ram_size - ram_offset, NULL);
    return add_range(pm, &(struct phys_range){.name = name,
                                              .base = base,
                                              .size = size,
                                              .priority = priority,
                                              .is_ram = true,
                                              .ram_offset = ram_offset});
}

struct phys_range *physmap_add_rom(struct physmap *pm, const char *name, uint64_t base, uint64_t size,
                                   const uint8_t *data, int priority)
{
    return add_range(pm, &(struct phys_range){
                             .name = name, .base = base, .size = size, .priority = priority, .rom = data});
}

struct phys_range *physmap_add_mmio(struct physmap *pm, const char *name, uint64_t base, uint64_t size,
                                    const struct mmio_ops *ops, void *opaque, int priority)
{
    return add_range(
        pm,
        &(struct phys_range){
            .name = name, .base = base, .size = size, .priority = priority, .ops = ops, .opaque = opaque});
}

void physmap_range_move(struct physmap *pm, struct phys_range *range, uint64_t base)
{
    if (range->base == base)
        return;
    range->base = base;
    if (range->enabled)
        publish(pm);
}

void physmap_range_set_ram(struct physmap *pm, struct phys_range *range, uint64_t ram_offset)
{
    g_return_if_fail(range->is_ram && ram_offset <= pm->ram_size && range->size <= pm->ram_size - ram_offset);
    if (range->ram_offset == ram_offset)
        return;
    range->ram_offset = ram_offset;
    if (range->enabled)
        publish(pm);
}

void physmap_range_enable(struct physmap *pm, struct phys_range *range, bool enabled)
{
    if (range->enabled == enabled)
        return;
    range->enabled = enabled;
    publish(pm);
}

void physmap_range_remove(struct physmap *pm, struct phys_range *range)
{
    /* The view has pointers to ranges, so it is rebuilt before this one goes, also inside of begin and end.
     */
    range->enabled = false;
    build_view(pm);
    g_ptr_array_remove(pm->ranges, range);
    publish(pm);
}

void physmap_range_set_access(struct physmap *pm, struct phys_range *range, bool readable, bool writable)
{
    if (range->readable == readable && range->writable == writable)
        return;
    range->readable = readable;
    range->writable = writable;
    publish(pm);
}

/* ---- looking up ---- */

/* The interval of addr, or NULL; *next is where the following one starts. */
static const struct interval *find(struct physmap *pm, uint64_t addr, uint64_t *next)
{
    const struct interval *view = (const struct interval *)(void *)pm->view->data;
    unsigned count = pm->view->len;
    if (pm->last < count && addr >= view[pm->last].start && addr < view[pm->last].end)
        return &view[pm->last];
    unsigned low = 0, high = count;
    while (low < high) { /* first interval whose end lies beyond addr */
        unsigned middle = low + (high - low) / 2;
        if (view[middle].end <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < count && view[low].start <= addr) {
        pm->last = low;
        return &view[low];
    }
    *next = low < count ? view[low].start : UINT64_MAX;
    return NULL;
}

void physmap_lookup(struct physmap *pm, uint64_t addr, struct phys_slice *out)
{
    uint64_t next = 0;
    const struct interval *here = find(pm, addr, &next);
    *out = (struct phys_slice){.run = next == addr ? 1 : next - addr}; /* the very last address of all */
    if (!here)
        return;
    out->run = here->end - addr;
    const struct phys_range *device = NULL;
    if (here->write) {
        if (here->write->is_ram) {
            out->is_ram = true;
            out->ram_offset = here->write->ram_offset + (addr - here->write->base);
            out->write = pm->ram + out->ram_offset;
        } else if (here->write->ops) {
            device = here->write;
        }
    }
    if (here->read) {
        if (here->read->is_ram) {
            out->is_ram = true;
            out->ram_offset = here->read->ram_offset + (addr - here->read->base);
            out->read = pm->ram + out->ram_offset;
        } else if (here->read->rom) {
            out->read = (uint8_t *)here->read->rom + (addr - here->read->base);
        } else {
            device = here->read;
        }
    }
    if (device) {
        out->ops = device->ops;
        out->opaque = device->opaque;
        out->offset = (uint32_t)(addr - device->base);
    }
}

/* ---- slow accesses ---- */

/* The widest naturally aligned access of 1, 2 or 4 bytes that fits. */
static unsigned device_size(uint64_t addr, size_t len, uint64_t run)
{
    uint64_t most = MIN((uint64_t)len, run);
    if (!(addr & 3) && most >= 4)
        return 4;
    return !(addr & 1) && most >= 2 ? 2 : 1;
}

void phys_read(struct physmap *pm, uint64_t addr, void *buf, size_t len)
{
    uint8_t *to = buf;
    while (len) {
        struct phys_slice slice;
        physmap_lookup(pm, addr, &slice);
        size_t n = (size_t)MIN((uint64_t)len, slice.run);
        if (slice.read) {
            memcpy(to, slice.read, n);
        } else if (slice.ops && slice.ops->read) {
            n = device_size(addr, len, slice.run);
            uint32_t value = slice.ops->read(slice.opaque, slice.offset, (unsigned)n);
            memcpy(to, &value, n);
        } else {
            trace(MMIO, "read of %zu bytes at %" G_GINT64_MODIFIER "x: nothing there", n, addr);
            memset(to, 0xff, n);
        }
        to += n;
        addr += n;
        len -= n;
    }
}

/* Tells the CPU about the code pages in the run, and marks all of it dirty. */
static void before_ram_write(struct physmap *pm, uint64_t ram_offset, size_t len)
{
    uint64_t first = ram_offset >> PHYS_PAGE_SHIFT, last = (ram_offset + len - 1) >> PHYS_PAGE_SHIFT;
    for (uint64_t page = first; page <= last; page++) {
        if (pm->page_flags[page] & PHYS_PAGE_CODE && pm->code_written) {
            uint64_t from = MAX(ram_offset, page << PHYS_PAGE_SHIFT);
            uint64_t to = MIN(ram_offset + len, (page + 1) << PHYS_PAGE_SHIFT);
            pm->code_written(pm->code_opaque, from, (size_t)(to - from));
        }
        pm->page_flags[page] |= PHYS_PAGE_DIRTY;
    }
}

void phys_write(struct physmap *pm, uint64_t addr, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    while (len) {
        struct phys_slice slice;
        physmap_lookup(pm, addr, &slice);
        size_t n = (size_t)MIN((uint64_t)len, slice.run);
        if (slice.write) {
            before_ram_write(pm, (uint64_t)(slice.write - pm->ram), n);
            memcpy(slice.write, from, n);
        } else if (slice.ops) {
            n = device_size(addr, len, slice.run);
            uint32_t value = 0;
            memcpy(&value, from, n);
            if (slice.ops->write)
                slice.ops->write(slice.opaque, slice.offset, value, (unsigned)n);
        } else {
            trace(MMIO, "write of %zu bytes at %" G_GINT64_MODIFIER "x: nothing there", n, addr);
        }
        from += n;
        addr += n;
        len -= n;
    }
}

#define PHYS_ACCESS(bits)                                                                                    \
    uint##bits##_t phys_read##bits(struct physmap *pm, uint64_t addr)                                        \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        phys_read(pm, addr, &value, sizeof value);                                                           \
        return value;                                                                                        \
    }                                                                                                        \
    void phys_write##bits(struct physmap *pm, uint64_t addr, uint##bits##_t value)                           \
    {                                                                                                        \
        phys_write(pm, addr, &value, sizeof value);                                                          \
    }
PHYS_ACCESS(8)
PHYS_ACCESS(16)
PHYS_ACCESS(32)
PHYS_ACCESS(64)

uint8_t *phys_map(struct physmap *pm, uint64_t addr, size_t *len, bool write)
{
    struct phys_slice slice;
    physmap_lookup(pm, addr, &slice);
    uint8_t *host = write ? slice.write : slice.read;
    if (!host || !slice.is_ram || !*len)
        return NULL;
    *len = (size_t)MIN((uint64_t)*len, slice.run);
    if (write)
        before_ram_write(pm, (uint64_t)(host - pm->ram), *len);
    return host;
}

static const char *range_kind(const struct phys_range *r)
{
    return r->is_ram ? "ram" : r->rom ? "rom" : "mmio";
}

void physmap_describe(struct physmap *pm, GString *out)
{
    for (unsigned i = 0; i < pm->view->len; i++) {
        const struct interval *v = &g_array_index(pm->view, struct interval, i);
        g_string_append_printf(out, "%09" G_GINT64_MODIFIER "x-%09" G_GINT64_MODIFIER "x ", v->start,
                               v->end - 1);
        if (v->read == v->write)
            g_string_append_printf(out, "%s %s\n", range_kind(v->read), v->read->name);
        else
            g_string_append_printf(out, "read %s, write %s\n", v->read ? v->read->name : "nothing",
                                   v->write ? v->write->name : "nothing");
    }
}
