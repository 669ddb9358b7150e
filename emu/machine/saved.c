/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Saving and loading the whole machine: see saved.h.
 *
 * Saving. Drives are drained before anything is taken down, because what they finish changes memory, chips
 * and interrupt lines. Each chip's before_save runs twice for the same reason: a late interrupt that one
 * delivers then is in the others. After that nothing of the machine changes but by the guest, which is
 * stopped.
 *
 * Loading. All sections of chips come before memory. When the first of memory comes they are loaded, in the
 * order of the board (interrupt wires first, so that no wire makes an edge it did not have); should one
 * refuse, all are put back. Memory is then written as it comes, and at the end the CPU is loaded once more,
 * which drops whatever was decoded or translated meanwhile. Whoever can read the stream twice checks it
 * first.
 */
#include "emu/machine/saved.h"

#include "emu/block/backend.h"
#include "emu/machine/machine_internal.h"
#include "emu/snapshot/stream.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 256 << 10, PART = 1 << 20, TRAYS = 8, DEVICES_MOST = 1024, LINES_MOST = 1 << 20 };
enum { TRAY_OPEN = 1, TRAY_LOCKED = 2 };

/* What no chip keeps. */
struct whole {
    uint64_t time; /* guest time, ns */
    bool ran;
    uint8_t tray[TRAYS]; /* IDE drives, then floppies */
    uint64_t level[TRAYS][BLOCK_LEVELS]; /* of limits of the rate */
};

static const struct state_field whole_fields[] = {
    STATE(struct whole, U64, time),
    STATE(struct whole, BOOL, ran),
    STATE_ARRAY(struct whole, U8, tray),
    {.name = "level",
     .offset = offsetof(struct whole, level),
     .type = STATE_U64,
     .count = TRAYS * BLOCK_LEVELS,
     .since = 2},
};

static bool whole_check(void *opaque, GError **error)
{
    struct whole *w = opaque;
    if (w->time < UINT64_C(1) << 62)
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "an impossible time; the file is damaged, save it again");
    return false;
}

static const struct state_table whole_table = {.name = "machine",
                                               .version = 2,
                                               .fields = whole_fields,
                                               .count = G_N_ELEMENTS(whole_fields),
                                               .after_load = whole_check};

/* ---- what the machine is ---- */

static unsigned tray_of(const struct machine_drive *drive)
{
    return drive->bus == MACHINE_BUS_IDE ? (unsigned)drive->index % 4 : 4 + ((unsigned)drive->index & 1);
}

struct place {
    const struct device *device;
    int devfn;
};

static void find_place(struct pci_device *pci, void *opaque)
{
    struct place *place = opaque;
    if (&pci->device == place->device)
        place->devfn = pci->devfn;
}

static char *describe(struct machine *m)
{
    static const char *const media[] = {[MACHINE_MEDIA_DISK] = "disk", [MACHINE_MEDIA_CD] = "CD"};
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "memory of %" G_GUINT64_FORMAT " bytes\n", m->config->ram_size);
    if (m->config->vga)
        g_string_append_printf(out, "video memory of %u bytes\n", m->config->vga_memory);
    g_string_append_printf(out, "CPU %s with features %08x\n", cpu_model_name(m->config->cpu),
                           cpu_model_digest(m->config->cpu));
    if (m->icount)
        g_string_append(out, "time that is counted in instructions (-icount)\n");
    if (m->rom && !m->rom_file)
        g_string_append_printf(out, "firmware in flash of %zu bytes\n", m->rom_size);
    else if (m->rom)
        g_string_append_printf(out, "firmware of %zu bytes with checksum %08x\n", m->rom_size,
                               stream_crc(0, m->rom, m->rom_size));
    for (guint i = 0; i < m->devices->len; i++) {
        const struct device *device = m->devices->pdata[i];
        struct place place = {.device = device, .devfn = -1};
        pci_bus_foreach(m->bus, find_place, &place);
        g_string_append_printf(out, "device %s \"%s\"", device->class->name, device->id);
        if (place.devfn >= 0)
            g_string_append_printf(out, " at %02x.%x", (unsigned)place.devfn >> 3, (unsigned)place.devfn & 7);
        g_string_append_c(out, '\n');
    }
    for (unsigned i = 0; i < m->drive_count; i++) {
        const struct machine_drive *drive = m->drives[i].config;
        if (drive->bus == MACHINE_BUS_IDE) {
            g_string_append_printf(out, "%s on IDE channel %d, unit %d", media[drive->media],
                                   drive->index / 2, drive->index % 2);
            if (drive->media == MACHINE_MEDIA_DISK)
                g_string_append_printf(out, " of %" G_GUINT64_FORMAT " bytes",
                                       block_size(m->drives[i].block));
            g_string_append_c(out, '\n');
        } else if (drive->bus == MACHINE_BUS_FLOPPY) {
            g_string_append_printf(out, "floppy drive %d\n", drive->index & 1);
        }
    }
    return g_string_free(out, FALSE);
}

static const char *first_missing(char **lines, char **in)
{
    for (; *lines; lines++)
        if (**lines && !g_strv_contains((const char *const *)in, *lines))
            return *lines;
    return NULL;
}

static bool compare(struct machine *m, const uint8_t *data, size_t len, GError **error)
{
    if (len > LINES_MOST || memchr(data, 0, len) || !g_utf8_validate((const char *)data, (gssize)len, NULL)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the saved machine is damaged: its description is no text; save it again");
        return false;
    }
    g_autofree char *saved_text = g_strndup((const char *)data, len), *own_text = describe(m);
    g_auto(GStrv) saved = g_strsplit(saved_text, "\n", 0), own = g_strsplit(own_text, "\n", 0);
    const char *lacks = first_missing(saved, own), *has = first_missing(own, saved);
    if (!lacks && !has)
        return true;
    g_autofree char *lacks_shown = lacks ? state_shown(lacks, 200) : NULL,
                    *has_shown = has ? state_shown(has, 200) : NULL;
    g_autofree char *lack_text =
        lacks ? g_strdup_printf("that one has %s%s", lacks_shown, has ? ", " : "") : NULL;
    g_autofree char *has_text = has ? g_strdup_printf("this one has %s", has_shown) : NULL;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "the saved machine is another one: %s%s; load it with the options of the machine it was "
                "saved from",
                lack_text ? lack_text : "", has_text ? has_text : "");
    return false;
}

/* ---- chips ---- */

/* A device, or with NULL the CPU: what its state is saved by. */
static const struct state_table *table_of(const struct machine *m, guint i, const char **id, void **device)
{
    if (i == 0) {
        *id = "cpu";
        *device = m->cpu;
        return &cpu_state_table;
    }
    struct device *d = m->devices->pdata[i - 1];
    *id = d->id;
    *device = d;
    return d->class->state;
}

static void drain(struct machine *m)
{
    for (unsigned i = 0; i < m->drive_count; i++)
        block_settle(m->drives[i].block);
    for (guint i = 0; i <= m->devices->len; i++) {
        const char *id;
        void *device;
        const struct state_table *table = table_of(m, i, &id, &device);
        if (table && table->before_save)
            table->before_save(device);
    }
}

/* A GByteArray each, in the order of table_of(); NULL where there is no state. */
static GPtrArray *take_down(struct machine *m)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    for (guint i = 0; i <= m->devices->len; i++) {
        const char *id;
        void *device;
        const struct state_table *table = table_of(m, i, &id, &device);
        GByteArray *state = g_byte_array_new();
        if (table)
            state_save(table, id, device, state);
        g_ptr_array_add(all, state);
    }
    return all;
}

static void take_whole(struct machine *m, struct whole *w, bool ran)
{
    *w = (struct whole){.time = (uint64_t)clock_now(m->clock), .ran = ran};
    for (unsigned i = 0; i < m->drive_count; i++) {
        const struct machine_drive *drive = m->drives[i].config;
        if (drive->bus != MACHINE_BUS_IDE && drive->bus != MACHINE_BUS_FLOPPY)
            continue;
        struct block_throttle *throttle = block_get_throttle(m->drives[i].block);
        if (throttle)
            block_throttle_levels(throttle, w->level[tray_of(drive)]);
        w->tray[tray_of(drive)] = (uint8_t)((block_tray_open(m->drives[i].block) ? TRAY_OPEN : 0) |
                                            (block_tray_locked(m->drives[i].block) ? TRAY_LOCKED : 0));
    }
}

static void put_whole(struct machine *m, const struct whole *w)
{
    clock_set(m->clock, (int64_t)w->time);
    for (unsigned i = 0; i < m->drive_count; i++) {
        const struct machine_drive *drive = m->drives[i].config;
        struct block_throttle *throttle = block_get_throttle(m->drives[i].block);
        if (throttle && (drive->bus == MACHINE_BUS_IDE || drive->bus == MACHINE_BUS_FLOPPY))
            block_throttle_set_levels(throttle, w->level[tray_of(drive)]);
        if (!block_is_removable(m->drives[i].block))
            continue;
        block_lock_tray(m->drives[i].block, w->tray[tray_of(drive)] & TRAY_LOCKED);
        block_open_tray(m->drives[i].block, w->tray[tray_of(drive)] & TRAY_OPEN);
    }
}

/* ---- saving ---- */

struct saved_writer {
    struct machine *machine;
    GPtrArray *states; /* GByteArray * */
    struct whole whole;
    guint next_state;
    uint32_t number; /* of the next section */
    bool started, ended;
    const uint8_t *ram;
    int fd; /* of RAM, with its holes; -1: all of it is looked at */
    struct saved_progress progress;
};

struct saved_writer *saved_writer_new(struct machine *m, bool ran, GError **error)
{
    for (unsigned i = 0; i < m->drive_count; i++) {
        block_settle(m->drives[i].block);
        if (!block_is_stalled(m->drives[i].block))
            continue;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "the machine cannot be saved now: drive %s could not carry out a request, which waits "
                    "for the machine to go on; mend what is wrong (is the disk full?), then cont",
                    block_id(m->drives[i].block));
        return NULL;
    }
    if (m->leaving && m->leaving->len) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            "the machine cannot be saved now: a device is just leaving it; try again");
        return NULL;
    }
    struct saved_writer *w = g_new0(struct saved_writer, 1);
    drain(m);
    w->machine = m;
    w->states = take_down(m);
    take_whole(m, &w->whole, ran);
    w->ram = physmap_ram(m->mem);
    w->progress.total = physmap_ram_size(m->mem);
    w->fd = physmap_ram_unite(m->mem, 0, w->progress.total) ? physmap_ram_fd(m->mem) : -1;
    return w;
}

void saved_writer_free(struct saved_writer *w)
{
    if (!w)
        return;
    g_ptr_array_unref(w->states);
    g_free(w);
}

static bool page_is_zero(const uint8_t *p)
{
    const uint64_t *words = (const uint64_t *)p;
    for (unsigned i = 0; i < PHYS_PAGE_SIZE / 8; i += 4)
        if (words[i] | words[i + 1] | words[i + 2] | words[i + 3])
            return false;
    return true;
}

/* Where the file has bytes from `at` on; `at` itself when it does not say. */
static uint64_t end_of_hole(struct saved_writer *w, uint64_t at)
{
    off_t data = w->fd >= 0 ? lseek(w->fd, (off_t)at, SEEK_DATA) : (off_t)at;
    if (data < 0 && errno == ENXIO)
        return w->progress.total;
    if (data < 0) {
        w->fd = -1;
        return at;
    }
    return MIN((uint64_t)data & ~(uint64_t)PHYS_PAGE_MASK, w->progress.total);
}

static void put_memory(struct saved_writer *w, GByteArray *out)
{
    uint64_t at = w->progress.done, total = w->progress.total, end = end_of_hole(w, at);
    while (end < total && page_is_zero(w->ram + end)) {
        end += PHYS_PAGE_SIZE;
        if ((end - at) % PART == 0)
            end = end_of_hole(w, end);
    }
    if (end > at) {
        uint64_t head[2] = {at, end - at};
        stream_put(out, STREAM_ZEROS, &w->number, head, sizeof head, NULL, 0);
        w->progress.zeros += end - at;
    } else {
        while (end < total && end - at < PIECE && !page_is_zero(w->ram + end))
            end += PHYS_PAGE_SIZE;
        stream_put(out, STREAM_MEMORY, &w->number, &at, sizeof at, w->ram + at, end - at);
    }
    w->progress.done = end;
}

bool saved_writer_next(struct saved_writer *w, GByteArray *out)
{
    guint before = out->len;
    if (w->ended)
        return false;
    if (!w->started) {
        g_autofree char *text = describe(w->machine);
        g_autoptr(GByteArray) whole = g_byte_array_new();
        stream_put_start(out);
        stream_put(out, STREAM_MACHINE, &w->number, NULL, 0, text, strlen(text));
        state_save(&whole_table, "machine", &w->whole, whole);
        stream_put(out, STREAM_DEVICE, &w->number, NULL, 0, whole->data, whole->len);
        w->started = true;
    }
    for (; w->next_state < w->states->len && out->len - before < PART; w->next_state++) {
        const GByteArray *state = w->states->pdata[w->next_state];
        if (state->len)
            stream_put(out, STREAM_DEVICE, &w->number, NULL, 0, state->data, state->len);
    }
    while (w->progress.done < w->progress.total && out->len - before < PART)
        put_memory(w, out);
    if (w->next_state == w->states->len && w->progress.done == w->progress.total) {
        stream_put(out, STREAM_END, &w->number, NULL, 0, NULL, 0);
        w->ended = true;
    }
    return true;
}

void saved_writer_progress(const struct saved_writer *w, struct saved_progress *out)
{
    *out = w->progress;
}

/* ---- loading ---- */

struct saved_loader {
    struct machine *machine;
    enum saved_mode mode;
    struct stream_reader *reader;
    GPtrArray *states; /* GBytes *, as they came */
    bool described, applied, failed;
    struct whole whole;
    uint64_t next; /* offset in RAM where the next section has to go on */
};

static bool refuse(GError **error, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the saved machine is damaged: %s; save it again",
                what);
    return false;
}

static GBytes *find_state(const struct saved_loader *l, const struct state_table *table, const char *id)
{
    for (guint i = 0; i < l->states->len; i++) {
        gsize len;
        const uint8_t *data = g_bytes_get_data(l->states->pdata[i], &len);
        if (state_is_of(table, id, data, len))
            return l->states->pdata[i];
    }
    return NULL;
}

static bool load_one(const struct state_table *table, const char *id, void *device, const uint8_t *data,
                     size_t len, GError **error)
{
    size_t pos = 0;
    if (!state_load(table, id, device, data, len, &pos, error))
        return false;
    return pos == len || refuse(error, "there is more of a device than there should be");
}

static bool load_states(struct saved_loader *l, guint *done, GError **error)
{
    struct machine *m = l->machine;
    for (guint i = 0; i <= m->devices->len; i++) {
        const char *id;
        void *device;
        gsize len;
        const struct state_table *table = table_of(m, i, &id, &device);
        if (!table)
            continue;
        *done = i + 1;
        GBytes *state = find_state(l, table, id);
        if (!state) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "the saved machine is damaged: nothing is said of %s; save it again", id);
            return false;
        }
        const uint8_t *data = g_bytes_get_data(state, &len);
        if (!load_one(table, id, device, data, len, error))
            return false;
    }
    return true;
}

static bool find_whole(struct saved_loader *l, GError **error)
{
    GBytes *state = find_state(l, &whole_table, "machine");
    gsize len;
    if (!state)
        return refuse(error, "nothing is said of its clock");
    const uint8_t *data = g_bytes_get_data(state, &len);
    return load_one(&whole_table, "machine", &l->whole, data, len, error);
}

/* Requests that loading a chip has made of the board: they were made, if at all, before the machine was
 * saved. */
static void forget_requests(struct machine *m)
{
    g_atomic_int_and((guint *)&m->requests, (guint)(MACHINE_REQUEST_QUIT | MACHINE_REQUEST_SIGNAL));
}

/* All chips, or none. */
static bool apply(struct saved_loader *l, GError **error)
{
    struct machine *m = l->machine;
    struct whole before;
    guint done = 0;
    if (!find_whole(l, error))
        return false;
    l->applied = true;
    if (l->mode == SAVED_CHECK)
        return true;
    drain(m);
    int requests = g_atomic_int_get(&m->requests);
    g_autoptr(GPtrArray) old = take_down(m);
    take_whole(m, &before, false);
    put_whole(m, &l->whole);
    bool good = load_states(l, &done, error);
    if (good && l->mode == SAVED_LOAD) {
        forget_requests(m);
        return true;
    }
    put_whole(m, &before);
    for (guint i = 0; i < done; i++) {
        const char *id;
        void *device;
        const struct state_table *table = table_of(m, i, &id, &device);
        const GByteArray *state = old->pdata[i];
        g_autoptr(GError) ignored = NULL;
        if (table && !load_one(table, id, device, state->data, state->len, &ignored))
            g_warning("%s does not take its own state back: %s", id, ignored->message);
    }
    g_atomic_int_set(&m->requests, requests);
    l->applied = good;
    return good;
}

/* A run of pages that are to be zero: memory the host need not keep, where it can be had. */
static void put_zeros(struct machine *m, uint64_t offset, uint64_t len)
{
    uint8_t *ram = physmap_ram(m->mem) + offset;
    if (!m->config->mem_prealloc && physmap_ram_fd(m->mem) >= 0 && madvise(ram, len, MADV_REMOVE) == 0)
        return;
    for (uint64_t at = 0; at < len; at += PHYS_PAGE_SIZE)
        if (!page_is_zero(ram + at))
            memset(ram + at, 0, PHYS_PAGE_SIZE);
}

static bool take_memory(struct saved_loader *l, uint32_t type, const uint8_t *data, size_t len,
                        GError **error)
{
    struct machine *m = l->machine;
    uint64_t head[2] = {0}, total = physmap_ram_size(m->mem), bytes = len - sizeof head[0];
    bool zeros = type == STREAM_ZEROS;
    if (len < sizeof head[0] || (zeros && len != sizeof head))
        return refuse(error, "a section of memory is too short");
    memcpy(head, data, zeros ? sizeof head : sizeof head[0]);
    if (zeros)
        bytes = head[1];
    if (head[0] != l->next || !bytes || bytes % PHYS_PAGE_SIZE || bytes > total - l->next)
        return refuse(error, "a section of memory is out of place");
    if (!l->applied && !apply(l, error))
        return false;
    if (l->mode == SAVED_LOAD) {
        if (zeros)
            put_zeros(m, l->next, bytes);
        else
            memcpy(physmap_ram(m->mem) + l->next, data + sizeof head[0], bytes);
        uint8_t *flags = physmap_page_flags(m->mem) + l->next / PHYS_PAGE_SIZE;
        for (uint64_t i = 0; i < bytes / PHYS_PAGE_SIZE; i++)
            flags[i] |= PHYS_PAGE_DIRTY;
    }
    l->next += bytes;
    return true;
}

static bool take_section(void *opaque, uint32_t type, const uint8_t *data, size_t len, GError **error)
{
    struct saved_loader *l = opaque;
    if (type == STREAM_MACHINE) {
        if (l->described)
            return refuse(error, "it is described twice");
        l->described = true;
        return compare(l->machine, data, len, error);
    }
    if (!l->described)
        return refuse(error, "its description is not there");
    if (type == STREAM_DEVICE) {
        if (l->applied || l->states->len >= DEVICES_MOST)
            return refuse(error, "it has devices where none can be");
        g_ptr_array_add(l->states, g_bytes_new(data, len));
        return true;
    }
    if (type == STREAM_MEMORY || type == STREAM_ZEROS)
        return take_memory(l, type, data, len, error);
    return refuse(error, "it has a section of an unknown kind");
}

struct saved_loader *saved_loader_new(struct machine *m, enum saved_mode mode)
{
    struct saved_loader *l = g_new0(struct saved_loader, 1);
    l->machine = m;
    l->mode = mode;
    l->reader = stream_reader_new(take_section, l);
    l->states = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    return l;
}

void saved_loader_free(struct saved_loader *l)
{
    if (!l)
        return;
    stream_reader_free(l->reader);
    g_ptr_array_unref(l->states);
    g_free(l);
}

bool saved_loader_feed(struct saved_loader *l, const void *data, size_t len, GError **error)
{
    return stream_reader_feed(l->reader, data, len, error);
}

bool saved_loader_ended(const struct saved_loader *l)
{
    return stream_reader_ended(l->reader);
}

bool saved_loader_began(const struct saved_loader *l)
{
    return l->mode == SAVED_LOAD && l->next;
}

bool saved_loader_finish(struct saved_loader *l, bool *ran, GError **error)
{
    struct machine *m = l->machine;
    if (!stream_reader_finish(l->reader, error))
        return false;
    if (l->next != physmap_ram_size(m->mem))
        return refuse(error, "not all of its memory is there");
    if (l->mode == SAVED_LOAD) {
        gsize len;
        GBytes *cpu = find_state(l, &cpu_state_table, "cpu");
        const uint8_t *data = g_bytes_get_data(cpu, &len);
        if (!load_one(&cpu_state_table, "cpu", m->cpu, data, len, error))
            return false;
    }
    *ran = l->whole.ran;
    return true;
}
