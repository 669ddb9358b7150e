/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The translator's code memory, and how translated code is entered and linked.
 *
 * Code memory is one memory file mapped twice, writable and executable, so that no page is ever both. It
 * fills from the start; when it is full, all blocks are dropped, decoded and translated
 * (block_cache_flush()).
 *
 * A translation belongs to one decoded block, and block.c's care for overwritten code is its care too:
 * jit_block_dropped() takes all links back that lead to it and its place in the table for indirect branches.
 * The code itself stays until the memory is used anew, since it may be running: whatever drops a block sets
 * block_stale, and translated code looks at that after each call of an interpreter function, the only things
 * that can drop blocks while it runs.
 *
 * Translated code is position-independent in EIP: cpu->jit_page is the EIP of the start of its page, so that
 * processes share the translation of a library whatever its address. Links stay within a page. Everything
 * else goes through jit.look_up: exec tag of the TLB, then the table by host address, as find_quickly() does.
 */
#include "emu/cpu/jit/debug.h"
#include "emu/cpu/jit/jit_internal.h"

#include <cpuid.h>
#include <errno.h>
#include <gio/gio.h>
#include <sys/mman.h>
#include <unistd.h>

#define THRESHOLD 12 /* executions before a block is translated */

void *jit_take(struct jit *jit, size_t size)
{
    void *p = jit->data + jit->data_used;

    jit->data_used += (size + 15) & ~(size_t)15;
    return p;
}

static bool host_fits(GError **error)
{
    unsigned a, b, c, d;

    if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1)) /* LAHF and SAHF in 64-bit mode */
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "the host processor lacks LAHF in 64-bit mode; use -accel interp");
    return false;
}

static bool map_code(struct jit *jit, GError **error)
{
    int fd = memfd_create("netlab-emu code", MFD_CLOEXEC);
    void *rw = MAP_FAILED, *rx = MAP_FAILED;
    int saved;

    if (fd >= 0 && ftruncate(fd, JIT_CODE_SIZE) == 0) {
        rw = mmap(NULL, JIT_CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (rw != MAP_FAILED)
            rx = mmap(NULL, JIT_CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    }
    saved = errno;
    if (fd >= 0)
        close(fd);
    if (rx == MAP_FAILED) {
        if (rw != MAP_FAILED)
            munmap(rw, JIT_CODE_SIZE);
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(saved),
                    "no executable memory for translated code: %s; use -accel interp", g_strerror(saved));
        return false;
    }
    jit->code = rw;
    jit->exec = (uint8_t *)rx - (uint8_t *)rw;
    return true;
}

struct jit *jit_new(struct cpu *cpu, GError **error)
{
    struct jit *jit;

    if (!host_fits(error))
        return NULL;
    jit =
        mmap(NULL, sizeof(*jit), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (jit == MAP_FAILED || !map_code(jit, error)) {
        if (jit != MAP_FAILED)
            munmap(jit, sizeof(*jit));
        if (error && !*error)
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                                "no address space for the translator's tables; use -accel interp");
        return NULL;
    }
    jit->data =
        mmap(NULL, JIT_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (jit->data == MAP_FAILED) {
        jit->data = NULL;
        jit_free(jit);
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "no address space for the translator's tables; use -accel interp");
        return NULL;
    }
    jit->threshold = THRESHOLD;
    jit->at = jit->code;
    jit_emit_runtime(jit);
    jit->start = jit->at;
    block_cache_flush(cpu); /* blocks made before know nothing of translations */
    return jit;
}

void jit_free(struct jit *jit)
{
    if (!jit)
        return;
    jit_debug_free(jit->debug);
    munmap(jit->code + jit->exec, JIT_CODE_SIZE);
    munmap(jit->code, JIT_CODE_SIZE);
    if (jit->data)
        munmap(jit->data, JIT_DATA_SIZE);
    munmap(jit, sizeof(*jit));
}

void jit_set_threshold(struct cpu *cpu, unsigned executions)
{
    cpu->jit->threshold = executions;
}

void jit_set_linking(struct cpu *cpu, bool linking)
{
    cpu->jit->unlinked = !linking;
}

void jit_set_debug(struct cpu *cpu, struct jit_debug *debug)
{
    struct jit *jit = cpu->jit;

    jit_debug_free(jit->debug);
    jit->debug = debug;
    if (debug)
        jit_debug_shared(debug, "translator:shared", jit_executable(jit, jit->code),
                         (size_t)(jit->start - jit->code));
}

struct jit_debug *jit_get_debug(const struct cpu *cpu)
{
    return cpu->jit ? cpu->jit->debug : NULL;
}

void jit_flush(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;

    if (!jit)
        return;
    jit->at = jit->start;
    jit->data_used = 0;
    jit->pending = NULL;
    memset(jit->hash, 0, sizeof(jit->hash));
    jit->flushes++;
}

/* ---- links ---- */

static void link_make(struct jit *jit, struct jit_link *link, struct jit_block *to)
{
    const uint8_t *target = link->backward ? to->entry : to->entry_quiet;

    if (link->to || jit->unlinked)
        return;
    link->to = to;
    link->next_in = to->incoming;
    to->incoming = link;
    emit_fill(link->site[to->flags_in && !link->saved], target);
    jit->links++;
}

void jit_block_dropped(struct cpu *cpu, struct block *b)
{
    struct jit_block *t = b->translation;
    struct jit_hash_entry *slot;

    if (!t)
        return;
    b->translation = NULL;
    for (struct jit_link *link = t->incoming; link; link = link->next_in) {
        emit_fill(link->site[0], link->back[0]);
        emit_fill(link->site[1], link->back[1]);
        link->to = NULL;
    }
    t->incoming = NULL;
    slot = jit_hash_slot(cpu->jit, t->host);
    if (slot->host == t->host)
        slot->host = 0;
    cpu->block_stale = true;
}

/* ---- entering ---- */

static bool block_translate(struct cpu *cpu, struct block *b)
{
    struct jit *jit = cpu->jit;
    uint8_t *start = jit->at;

    if (!jit_has_room(jit)) {
        block_cache_flush(cpu); /* sets block_stale: the run loop finds its block anew */
        return false;
    }
    b->translation = jit_translate(jit, b);
    jit->translated++;
    if (jit->debug)
        jit_debug_translated(jit->debug, b, cpu->eip, jit_executable(jit, start), (size_t)(jit->at - start));
    return true;
}

bool jit_enter(struct cpu *cpu, struct block *b)
{
    struct jit *jit = cpu->jit;
    struct jit_link *link = jit->pending;
    struct jit_block *t = b->translation;
    struct jit_hash_entry *slot;
    void *(*enter)(struct cpu *, const uint8_t *);

    jit->pending = NULL;
    if (!t) {
        if (b->host2 || b->heat < jit->threshold) {
            b->heat++;
            return false;
        }
        if (!block_translate(cpu, b))
            return true;
        t = b->translation;
    }
    if (link && link->target_host == t->host)
        link_make(jit, link, t);
    if (!jit->unlinked) {
        slot = jit_hash_slot(jit, t->host);
        *slot = (struct jit_hash_entry){t->host, jit_executable(jit, t->entry)};
    }
    cpu->jit_page = cpu->eip - (uint32_t)(t->host & PHYS_PAGE_MASK);
    cpu->jit_hash = jit->hash;
    cpu->jit_exec_tlb = cpu->tlb[cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR];
    enter = (void *(*)(struct cpu *, const uint8_t *))(uintptr_t)jit_executable(jit, jit->enter);
    link = enter(cpu, jit_executable(jit, t->entry));
    if (!cpu->block_stale)
        jit->pending = link;
    return true;
}

/* ---- for people ---- */

void jit_describe(const struct cpu *cpu, GString *out)
{
    const struct jit *jit = cpu->jit;

    if (!jit) {
        g_string_append(out, "no translator: -accel interp\n");
        return;
    }
    g_string_append_printf(out,
                           "translations  %" G_GUINT64_FORMAT "\nlinks made    %" G_GUINT64_FORMAT
                           "\nflushes       %" G_GUINT64_FORMAT "\ncode memory   %zu of %u KiB\n"
                           "translated as a call of the interpreter, by instruction:\n",
                           jit->translated, jit->links, jit->flushes, (size_t)(jit->at - jit->code) >> 10,
                           JIT_CODE_SIZE >> 10);
    for (unsigned id = 0; id < INSN_COUNT; id++)
        if (jit->fallbacks[id])
            g_string_append_printf(out, "%10" G_GUINT64_FORMAT " %s\n", jit->fallbacks[id],
                                   insn_rows[id].name);
}
