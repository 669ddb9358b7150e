/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Saved machines that mean harm, against the loader and every chip of a whole machine: sections that are
 * changed, cut, left out, doubled and made up, with checksums that are right (and some that are wrong), in
 * pieces of any size. A refusal has a message of printable characters; after whatever was loaded the chips'
 * timers run and their ports are read; and then the machine's own state loads again. libFuzzer target with
 * -DNETLAB_FUZZ=ON, else a test with a fixed series of inputs.
 */
#include "emu/machine/machine_internal.h"
#include "emu/machine/saved.h"
#include "emu/options.h"
#include "emu/snapshot/stream.h"
#include "tests/fuzz/fuzz_main.h"

#include <glib/gstdio.h>
#include <string.h>

enum { EDITS_MOST = 24, SECTIONS_MOST = 256, CHANGED_MOST = 1 << 20 };

struct input {
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes && in->left; i++, in->data++, in->left--)
        value |= (uint32_t)*in->data << 8 * i;
    return value;
}

/* ---- the machine, and what it is when it is whole ---- */

static struct machine *machine;
static struct machine_config *config;
static char *folder;
static GByteArray *good;

static const char *make_file(const char *name, size_t size)
{
    g_autofree uint8_t *data = g_malloc0(size);
    char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, (const char *)data, (gssize)size, NULL));
    return path;
}

static void end(void)
{
    machine_free(machine);
    machine_config_free(config);
    static const char *const files[] = {"bios", "disk", "floppy"};
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(folder, files[i], NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
    g_byte_array_unref(good);
}

static void begin(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    folder = g_dir_make_tmp("netlab-fuzz-saved-XXXXXX", NULL);
    g_assert_nonnull(folder);
    g_autofree const char *bios = make_file("bios", 64 << 10), *disk = make_file("disk", 1 << 20),
                          *floppy = make_file("floppy", 1440 << 10);
    g_autofree char *line = g_strdup_printf(
        "netlab-emu -m 1M -S -accel interp -vga none -display none -monitor none -serial null -parallel null "
        "-nic none -device e1000,id=n -device ib700 -watchdog-action none -icount shift=0,sleep=off -bios %s "
        "-drive file=%s,format=raw,discard=on -drive if=floppy,file=%s,format=raw -cdrom %s",
        bios, disk, floppy, bios);
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    enum options_outcome outcome = options_parse((int)g_strv_length(words), words, &config, &text, &error);
    g_assert_no_error(error);
    g_assert_cmpint(outcome, ==, OPTIONS_RUN);
    machine = machine_new(config, &error);
    g_assert_no_error(error);
    good = g_byte_array_new();
    struct saved_writer *w = saved_writer_new(machine, false, &error);
    g_assert_no_error(error);
    while (saved_writer_next(w, good))
        continue;
    saved_writer_free(w);
    atexit(end);
}

/* ---- sections ---- */

struct section {
    uint32_t type;
    GByteArray *data;
};

static void section_clear(void *p)
{
    g_byte_array_unref(((struct section *)p)->data);
}

static bool collect(void *opaque, uint32_t type, const uint8_t *data, size_t len, GError **error)
{
    struct section s = {type, g_byte_array_new()};
    g_byte_array_append(s.data, data, (guint)len);
    g_array_append_val((GArray *)opaque, s);
    return true;
}

static void edit(GArray *all, struct input *in)
{
    enum { CHANGE, CHANGE_FAR, CUT, LEAVE_OUT, DOUBLE, SWAP, MAKE, LENGTHEN, EDITS };
    uint32_t what = take(in, 1) % EDITS, n = all->len ? take(in, 1) % all->len : 0, at = take(in, 2);
    struct section *s = all->len ? &g_array_index(all, struct section, n) : NULL;
    if (what == MAKE || !s) {
        struct section made = {1 + take(in, 1) % 6, g_byte_array_new()};
        for (uint32_t i = at % 64; i-- > 0;) {
            uint8_t byte = (uint8_t)take(in, 1);
            g_byte_array_append(made.data, &byte, 1);
        }
        if (all->len < SECTIONS_MOST)
            g_array_insert_val(all, n, made);
        else
            section_clear(&made);
        return;
    }
    switch (what) {
    case CHANGE:
    case CHANGE_FAR:
        if (s->data->len)
            s->data->data[(what == CHANGE ? at % 512 : at * 16 + take(in, 1)) % s->data->len] =
                (uint8_t)take(in, 1);
        break;
    case CUT:
        g_byte_array_set_size(s->data, s->data->len ? at % s->data->len : 0);
        break;
    case LEAVE_OUT:
        g_array_remove_index(all, n);
        break;
    case DOUBLE:
        if (all->len < SECTIONS_MOST) {
            struct section copy = {s->type, g_byte_array_new()};
            g_byte_array_append(copy.data, s->data->data, s->data->len);
            g_array_insert_val(all, at % (all->len + 1), copy);
        }
        break;
    case SWAP: {
        struct section *other = &g_array_index(all, struct section, at % all->len), keep = *s;
        *s = *other;
        *other = keep;
        break;
    }
    case LENGTHEN: {
        uint8_t byte = (uint8_t)take(in, 1);
        for (uint32_t i = at % 5000; i-- > 0;)
            g_byte_array_append(s->data, &byte, 1);
        break;
    }
    }
}

static GByteArray *changed(struct input *in)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(struct section));
    GByteArray *out = g_byte_array_new();
    uint32_t number = 0;
    g_array_set_clear_func(all, section_clear);
    struct stream_reader *r = stream_reader_new(collect, all);
    g_assert_true(stream_reader_feed(r, good->data, good->len, &error));
    stream_reader_free(r);
    for (unsigned i = 0; i < EDITS_MOST && in->left; i++)
        edit(all, in);
    stream_put_start(out);
    for (guint i = 0; i < all->len && out->len < CHANGED_MOST; i++) {
        const struct section *s = &g_array_index(all, struct section, i);
        stream_put(out, (enum stream_type)s->type, &number, NULL, 0, s->data->data, s->data->len);
    }
    stream_put(out, STREAM_END, &number, NULL, 0, NULL, 0);
    return out;
}

/* ---- loading ---- */

static bool load(const uint8_t *data, size_t len, size_t piece, enum saved_mode mode, GError **error)
{
    struct saved_loader *l = saved_loader_new(machine, mode);
    bool fine = true, ran;
    for (size_t at = 0; fine && at < len; at += piece)
        fine = saved_loader_feed(l, data + at, MIN(piece, len - at), error);
    fine = fine && saved_loader_finish(l, &ran, error);
    saved_loader_free(l);
    return fine;
}

/* The guest does not run, but its hardware does. */
static void live_on(void)
{
    clock_set(machine->clock, clock_now(machine->clock) + 100000);
    clock_continue(machine->clock);
    for (unsigned i = 0; i < 8; i++)
        clock_run(machine->clock);
    clock_stop(machine->clock);
    for (unsigned port = 0; port < 0x400; port++)
        portio_read(machine->io, (uint16_t)port, port < 0x200 && port > 0x1ef ? 2 : 1);
    g_atomic_int_set(&machine->requests, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    g_autoptr(GError) error = NULL;
    if (!machine)
        begin();
    uint32_t how = take(&in, 1), piece = 1 + take(&in, 2);
    g_autoptr(GByteArray) stream = NULL;
    if (how & 3) {
        stream = changed(&in);
    } else { /* bytes as they come, after a beginning that is right */
        stream = g_byte_array_new();
        g_byte_array_append(stream, good->data, MIN(take(&in, 2), good->len));
        g_byte_array_append(stream, in.data, (guint)in.left);
    }
    if (load(stream->data, stream->len, piece, how & 4 ? SAVED_CHECK : SAVED_LOAD, &error)) {
        live_on();
    } else {
        g_assert_nonnull(error);
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        for (const char *p = error->message; *p; p++)
            g_assert_true((uint8_t)*p >= ' ' && *p != 0x7f);
    }
    g_autoptr(GError) none = NULL;
    load(good->data, good->len, good->len, SAVED_LOAD, &none);
    g_assert_no_error(none);
    return 0;
}

FUZZ_MAIN(400, 200)
