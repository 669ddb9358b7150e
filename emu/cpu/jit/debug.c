/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the translator makes, for people.
 *
 * Each translation is offered here, when somebody wants to see it: as a trace (-d in_asm, op, out_asm, each a
 * paragraph with a heading as in QEMU), as a line of perf's map file, and remembered by block for lockstep's
 * report. While a block is translated the translator notes each instruction and how it was done; the notes
 * belong to the next jit_debug_translated().
 *
 * Guest code is shown by our own format.c. Host code is disassembled by libZydis when it is installed; it is
 * loaded when it is first needed, so that the emulator does without.
 */
#include "emu/cpu/jit/debug.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>
#if __has_include(<Zydis/Zydis.h>)
#include <Zydis/Zydis.h>
#define HAVE_ZYDIS 1
#else
#define HAVE_ZYDIS 0
#endif

struct note {
    const struct insn *in;
    unsigned size; /* bytes emitted, without what lies out of line */
    const char *how;
};

struct jit_debug {
    struct cpu *cpu;
    FILE *map;
    struct note notes[BLOCK_MAX_INSNS];
    unsigned note_count;
    GHashTable *made; /* struct made *, by itself: the latest translation of each block */
};

struct made {
    guint64 host; /* first, for g_int64_hash() */
    struct jit_span usual, cold;
};

/* ---- text ---- */

static void put_bytes(GString *out, const uint8_t *bytes, unsigned count, unsigned width)
{
    for (unsigned i = 0; i < count; i++)
        g_string_append_printf(out, "%02x", bytes[i]);
    for (unsigned i = count; i < width; i++)
        g_string_append(out, "  ");
}

static void put_guest(const struct block *b, const struct insn *in, uint32_t eip, GString *out)
{
    char text[96];
    unsigned from = (unsigned)in->end - in->length;

    insn_format(in, eip + from, text, sizeof(text));
    g_string_append_printf(out, "0x%08x:  ", eip + from);
    if (b->host && !b->host2)
        put_bytes(out, (const uint8_t *)b->host + from, in->length, 12);
    g_string_append_printf(out, "  %s\n", text);
}

void jit_debug_guest_code(const struct block *b, uint32_t eip, GString *out)
{
    for (unsigned i = 0; i < b->count; i++)
        put_guest(b, &b->insns[i], eip, out);
}

#if HAVE_ZYDIS
typedef ZyanStatus disassemble_fn(ZydisMachineMode mode, ZyanU64 address, const void *buffer,
                                  ZyanUSize length, ZydisDisassembledInstruction *out);

static disassemble_fn *find_disassembler(void)
{
    static const char *const names[] = {"libZydis.so.4.0", "libZydis.so.4.1", "libZydis.so.4", "libZydis.so"};
    void *library = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(names) && !library; i++)
        library = dlopen(names[i], RTLD_LAZY); /* stays: it is looked for again, not loaded again */
    return library ? (disassemble_fn *)(uintptr_t)dlsym(library, "ZydisDisassembleIntel") : NULL;
}

static bool disassemble_host(const uint8_t *code, size_t size, GString *out)
{
    disassemble_fn *disassemble = find_disassembler();
    ZydisDisassembledInstruction in;

    for (size_t at = 0; disassemble && at < size; at += in.info.length) {
        if (!ZYAN_SUCCESS(
                disassemble(ZYDIS_MACHINE_MODE_LONG_64, (uintptr_t)code + at, code + at, size - at, &in)))
            in = (ZydisDisassembledInstruction){.info.length = 1, .text = "(no instruction)"};
        g_string_append_printf(out, "0x%012" G_GINT64_MODIFIER "x:  ", (guint64)((uintptr_t)code + at));
        put_bytes(out, code + at, in.info.length, 12);
        g_string_append_printf(out, "  %s\n", in.text);
    }
    return disassemble != NULL;
}
#else
static bool disassemble_host(const uint8_t *code, size_t size, GString *out)
{
    return false;
}
#endif

void jit_debug_host_code(const uint8_t *code, size_t size, GString *out)
{
    if (disassemble_host(code, size, out))
        return;
    for (size_t at = 0; at < size; at += 16) {
        g_string_append_printf(out, "0x%012" G_GINT64_MODIFIER "x:  ", (guint64)((uintptr_t)code + at));
        put_bytes(out, code + at, (unsigned)MIN(size - at, 16), 0);
        g_string_append_c(out, '\n');
    }
}

void jit_debug_translation(const struct jit_debug *debug, uintptr_t host, GString *out)
{
    const guint64 key = host;
    const struct made *made = g_hash_table_lookup(debug->made, &key);

    if (!made)
        return;
    jit_debug_host_code(made->usual.code, made->usual.size, out);
    g_string_append(out, "out of line:\n");
    jit_debug_host_code(made->cold.code, made->cold.size, out);
}

/* ---- traces ---- */

static void show_guest(const struct block *b, uint32_t eip)
{
    g_autoptr(GString) text = g_string_new(NULL);

    jit_debug_guest_code(b, eip, text);
    fprintf(trace_file(), "----------------\nIN:\n%s\n", text->str);
}

static void show_how(const struct jit_debug *debug, const struct block *b, uint32_t eip)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; i < debug->note_count; i++) {
        const struct note *n = &debug->notes[i];

        g_string_append_printf(text, "%-12s %4u bytes  ", n->how, n->size);
        put_guest(b, n->in, eip, text);
    }
    fprintf(trace_file(), "OP:\n%s\n", text->str);
}

static void show_host(const char *name, struct jit_span span)
{
    g_autoptr(GString) text = g_string_new(NULL);

    jit_debug_host_code(span.code, span.size, text);
    fprintf(trace_file(), "%s: [size=%zu]\n%s\n", name, span.size, text->str);
}

static void map_add(const struct jit_debug *debug, const uint8_t *code, size_t size, const char *name)
{
    if (debug->map && size) /* a block may have nothing out of line */
        fprintf(debug->map, "%" G_GINT64_MODIFIER "x %zx %s\n", (guint64)(uintptr_t)code, size, name);
}

void jit_debug_note(struct jit_debug *debug, const struct insn *in, size_t size, const char *how)
{
    /* Out of line some are emitted once more, apart. */
    if (debug->note_count && in <= debug->notes[debug->note_count - 1].in)
        return;
    if (debug->note_count < BLOCK_MAX_INSNS)
        debug->notes[debug->note_count++] = (struct note){in, (unsigned)size, how};
}

void jit_debug_translated(struct jit_debug *debug, const struct block *b, uint32_t eip, struct jit_span usual,
                          struct jit_span cold)
{
    struct made *made;
    char name[48];

    if (trace_on(IN_ASM))
        show_guest(b, eip);
    if (trace_on(OP))
        show_how(debug, b, eip);
    if (trace_on(OUT_ASM)) {
        show_host("OUT", usual);
        show_host("OUT, out of line", cold);
    }
    trace(TB, "%08x cpl %u: %u instructions, %u bytes, to %zu bytes at %p and %zu at %p", eip,
          debug->cpu->cpl, b->count, b->bytes, usual.size, (const void *)usual.code, cold.size,
          (const void *)cold.code);
    g_snprintf(name, sizeof(name), "guest:%08x cpl%u", debug->cpu->seg[SEG_CS].base + eip, debug->cpu->cpl);
    map_add(debug, usual.code, usual.size, name);
    memcpy(name, "aside", 5);
    map_add(debug, cold.code, cold.size, name);
    debug->note_count = 0;
    made = g_new(struct made, 1);
    *made = (struct made){b->host, usual, cold};
    g_hash_table_replace(debug->made, made, made);
}

void jit_debug_shared(struct jit_debug *debug, const char *name, const uint8_t *code, size_t size)
{
    map_add(debug, code, size, name);
}

/* ---- making ---- */

/* perf looks for /tmp/perf-PID.map, a file of ours. */
static FILE *map_open(GError **error)
{
    g_autofree char *path = g_strdup_printf("/tmp/perf-%ld.map", (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    FILE *map = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (!map) {
        int why = errno;

        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                    "-perfmap: opening %s: %s (remove it when it is another user's)", path, g_strerror(why));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    setvbuf(map, NULL, _IOLBF, 0); /* perf record may end us at any time */
    return map;
}

struct jit_debug *jit_debug_new(struct cpu *cpu, bool perfmap, GError **error)
{
    FILE *map = perfmap ? map_open(error) : NULL;
    struct jit_debug *debug;

    if (perfmap && !map)
        return NULL;
    debug = g_new0(struct jit_debug, 1);
    debug->cpu = cpu;
    debug->map = map;
    debug->made = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    return debug;
}

void jit_debug_free(struct jit_debug *debug)
{
    if (!debug)
        return;
    if (debug->map)
        fclose(debug->map);
    g_hash_table_destroy(debug->made);
    g_free(debug);
}
