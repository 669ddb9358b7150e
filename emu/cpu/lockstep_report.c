/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What is compared in lockstep, and the report of a difference.
 *
 * The fields are a table: what an instruction may change and a guest can see. Left out are EIP and insn_eip
 * (the outcome has them), what only the translator or the interpreter uses, and bytes that mean nothing.
 */
#include "emu/cpu/lockstep_internal.h"

#include "emu/cpu/jit/debug.h"
#include "emu/cpu/jit/jit.h"

struct field {
    const char *name;
    uint16_t offset, size, count, stride;
};
#define FIELD(name, member)                                                                                  \
    {                                                                                                        \
        name, offsetof(struct cpu, member), sizeof(((struct cpu *)0)->member), 1, 0                          \
    }
#define FIELDS(name, array, member, number)                                                                  \
    {                                                                                                        \
        name, offsetof(struct cpu, array[0] member), sizeof(((struct cpu *)0)->array[0] member), number,     \
            sizeof(((struct cpu *)0)->array[0])                                                              \
    }

/* clang-format off */
static const struct field fields[] = {
    FIELD("eax", gpr[EAX]), FIELD("ecx", gpr[ECX]), FIELD("edx", gpr[EDX]), FIELD("ebx", gpr[EBX]),
    FIELD("esp", gpr[ESP]), FIELD("ebp", gpr[EBP]), FIELD("esi", gpr[ESI]), FIELD("edi", gpr[EDI]),
    FIELD("gpr_zero", gpr[GPR_ZERO]),
    FIELD("status flags", status), FIELD("eflags", eflags),
    FIELD("events", events), FIELD("cpl", cpl), FIELD("code32", code32), FIELD("halted", halted),
    FIELD("stack_mask", stack_mask),
    FIELDS("selector of es cs ss ds fs gs", seg, .selector, SEG_COUNT),
    FIELDS("base of es cs ss ds fs gs", seg, .base, SEG_COUNT),
    FIELDS("min of es cs ss ds fs gs", seg, .min, SEG_COUNT),
    FIELDS("max of es cs ss ds fs gs", seg, .max, SEG_COUNT),
    FIELDS("attributes of es cs ss ds fs gs", seg, .attr, SEG_COUNT),
    FIELD("ldtr", ldtr.selector), FIELD("tr", tr.selector), FIELD("tr base", tr.base),
    FIELD("gdtr base", gdtr.base), FIELD("gdtr limit", gdtr.limit),
    FIELD("idtr base", idtr.base), FIELD("idtr limit", idtr.limit),
    FIELD("cr0", cr0), FIELD("cr2", cr2), FIELD("cr3", cr3), FIELD("cr4", cr4),
    FIELD("dr", dr), FIELD("pdpte", pdpte), FIELD("a20_mask", a20_mask), FIELD("efer", efer),
    FIELDS("significand of R", fpu.r, .significand, 8),
    FIELDS("sign and exponent of R", fpu.r, .sign_exponent, 8),
    FIELD("fcw", fpu.fcw), FIELD("fsw", fpu.fsw), FIELD("ftw", fpu.ftw), FIELD("fop", fpu.fop),
    FIELD("fip", fpu.fip), FIELD("fdp", fpu.fdp), FIELD("fcs", fpu.fcs), FIELD("fds", fpu.fds),
    FIELD("mxcsr", fpu.mxcsr), FIELDS("xmm", fpu.xmm, , 8),
    FIELD("nmi_blocked", nmi_blocked), FIELD("shadow_db", shadow_db), FIELD("rep_paused", rep_paused),
    FIELD("dr6_pending", dr6_pending),
};
/* clang-format on */

static bool field_agrees(const struct field *f, const struct cpu *a, const struct cpu *b)
{
    for (unsigned i = 0; i < f->count; i++) {
        size_t at = f->offset + (size_t)i * f->stride;

        if (memcmp((const uint8_t *)a + at, (const uint8_t *)b + at, f->size))
            return false;
    }
    return true;
}

/* A shadow that is over is no different from none. */
static uint64_t shadow_of(const struct cpu *cpu)
{
    return cpu->shadow && cpu->shadow_eip == cpu->eip ? 1 : 0;
}

bool lockstep_states_agree(const struct cpu *a, const struct cpu *b)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++)
        if (!field_agrees(&fields[i], a, b))
            return false;
    return shadow_of(a) == shadow_of(b);
}

/* ---- the report ---- */

static void describe_bytes(GString *out, const uint8_t *bytes, unsigned size)
{
    for (unsigned i = size; i-- > 0;)
        g_string_append_printf(out, "%02x", bytes[i]);
}

void lockstep_describe_states(const struct cpu *start, const struct cpu *a, const struct cpu *b, GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        const struct field *f = &fields[i];

        for (unsigned n = 0; n < f->count; n++) {
            size_t at = f->offset + (size_t)n * f->stride;

            if (!memcmp((const uint8_t *)a + at, (const uint8_t *)b + at, f->size))
                continue;
            g_string_append_printf(out, "  %s", f->name);
            if (f->count > 1)
                g_string_append_printf(out, " [%u]", n);
            g_string_append(out, ": before ");
            describe_bytes(out, (const uint8_t *)start + at, f->size);
            g_string_append(out, ", interpreter ");
            describe_bytes(out, (const uint8_t *)a + at, f->size);
            g_string_append(out, ", translator ");
            describe_bytes(out, (const uint8_t *)b + at, f->size);
            g_string_append_c(out, '\n');
        }
    }
    if (shadow_of(a) != shadow_of(b))
        g_string_append_printf(out, "  interrupt shadow: interpreter %u, translator %u\n",
                               (unsigned)shadow_of(a), (unsigned)shadow_of(b));
}

static void describe_memory(const struct lockstep *l, GString *out)
{
    unsigned shown = 0;

    for (unsigned i = 0; i < l->line_count; i++) {
        const struct lockstep_line *line = &l->lines[i];

        for (unsigned n = 0; n < LOCKSTEP_LINE && shown < 64; n++) {
            if (line->after[n] == line->ran[n])
                continue;
            g_string_append_printf(
                out, "  RAM at %08" G_GINT64_MODIFIER "x: before %02x, interpreter %02x, translator %02x\n",
                line->at + n, line->before[n], line->after[n], line->ran[n]);
            shown++;
        }
    }
}

static void describe_outcome(const struct lockstep_outcome *o, const char *who, GString *out)
{
    static const char *const ends[] = {
        [LOCKSTEP_DONE] = "went on to",        [LOCKSTEP_FAULT] = "faulted at",
        [LOCKSTEP_RESTART] = "is to repeat",   [LOCKSTEP_EFFECT] = "came to a device access at",
        [LOCKSTEP_REFUSED] = "left the block",
    };

    g_string_append_printf(out, "  %s %s %08x", who, ends[o->end], o->at);
    if (o->end == LOCKSTEP_FAULT)
        g_string_append_printf(out, ", vector %u, error code %04x", o->vector, o->error);
    g_string_append_c(out, '\n');
}

static void describe_registers(const char *when, const struct cpu *c, uint32_t eip, GString *out)
{
    g_string_append_printf(out,
                           "  %-11s eax %08x ebx %08x ecx %08x edx %08x\n"
                           "              esi %08x edi %08x ebp %08x esp %08x eip %08x eflags %08x\n",
                           when, c->gpr[EAX], c->gpr[EBX], c->gpr[ECX], c->gpr[EDX], c->gpr[ESI], c->gpr[EDI],
                           c->gpr[EBP], c->gpr[ESP], eip, cpu_eflags(c));
}

static bool fpu_differs(const struct cpu *a, const struct cpu *b)
{
    return memcmp(&a->fpu, &b->fpu, sizeof(a->fpu)) != 0;
}

static void describe_fpu(const char *when, const struct cpu *c, GString *out)
{
    g_string_append_printf(out, "  %-11s fcw %04x fsw %04x ftw %04x fip %08x fdp %08x fop %03x mxcsr %08x\n",
                           when, c->fpu.fcw, c->fpu.fsw, c->fpu.ftw, c->fpu.fip, c->fpu.fdp, c->fpu.fop,
                           c->fpu.mxcsr);
    for (unsigned i = 0; i < 8; i++)
        g_string_append_printf(out,
                               "              r%u %04x:%016" G_GINT64_MODIFIER
                               "x  xmm%u %016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x\n",
                               i, c->fpu.r[i].sign_exponent, c->fpu.r[i].significand, i, c->fpu.xmm[i].u64[1],
                               c->fpu.xmm[i].u64[0]);
}

void lockstep_describe_difference(struct lockstep *l, struct cpu *cpu, GString *out)
{
    const struct cpu *start = lockstep_cpu(&l->start), *a = lockstep_cpu(&l->tried),
                     *b = lockstep_cpu(&l->ran);

    g_string_append_printf(out,
                           "interpreter and translator differ in block %" G_GUINT64_FORMAT
                           ", the %" G_GUINT64_FORMAT ". compared, at %04x:%08x (linear %08x, CPL %u):\n",
                           l->blocks, l->compared + 1, start->seg[SEG_CS].selector, l->eip,
                           start->seg[SEG_CS].base + l->eip, start->cpl);
    describe_outcome(&l->expected, "the interpreter", out);
    describe_outcome(&l->actual, "the translator", out);
    lockstep_describe_states(start, a, b, out);
    describe_memory(l, out);
    g_string_append(out, "state\n");
    describe_registers("before", start, l->eip, out);
    describe_registers("interpreter", a, l->expected.at, out);
    describe_registers("translator", b, l->actual.at, out);
    if (fpu_differs(a, b)) {
        describe_fpu("before", start, out);
        describe_fpu("interpreter", a, out);
        describe_fpu("translator", b, out);
    }
    if (l->options.links)
        lockstep_describe_stretch(l, out);
    if (l->generation != cpu->blocks->generation) {
        g_string_append(out, "its first block was dropped with all others; guest code is not shown\n");
        return;
    }
    g_string_append_printf(out, "guest code%s\n",
                           l->pinpointed ? "; without its last instruction they agree" : "");
    jit_debug_guest_code(l->block, l->eip, out);
    if (jit_get_debug(cpu)) {
        g_string_append(out, "translation\n");
        jit_debug_translation(jit_get_debug(cpu), l->host, out);
    }
    g_string_append_printf(out,
                           "again: the same command with -accel jit,lockstep=on,from=%" G_GUINT64_FORMAT
                           "%s from shortly before\n",
                           l->blocks > 1000 ? l->blocks - 1000 : 0,
                           l->options.links ? " compares every block by itself"
                                            : ",insns=1 compares every instruction");
}
