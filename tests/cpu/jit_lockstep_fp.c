/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See jit_lockstep_fp.h. Operands come from fp_operands.c. Control words, environments and whole images lie
 * in places of their own, mostly such that all exceptions stay masked: otherwise translated code would never
 * run for long.
 */
#include "tests/cpu/jit_lockstep_fp.h"

#include "emu/cpu/fpu_internal.h"
#include "tests/cpu/fp_operands.h"

#include <glib.h>

enum {
    AT_FCW = 0x000,    /* words, four bytes apart */
    AT_MXCSR = 0x100,  /* double words */
    AT_ENV = 0x200,    /* FLDENV's and FRSTOR's images, 128 bytes apart */
    AT_FXSAVE = 0x800, /* FXRSTOR's, 512 bytes apart */
    AT_OPERANDS = 0x1000,
};

/* ---- control words ---- */

static uint16_t some_fcw(void)
{
    if (chance(60))
        return FCW_DEFAULT;
    return chance(70) ? (uint16_t)(random_fcw() | FCW_MASKS) : random_fcw();
}
static uint32_t some_mxcsr(void)
{
    if (chance(60))
        return MXCSR_DEFAULT | (chance(50) ? MXCSR_PE : 0);
    return (chance(70) ? MXCSR_MASKS : 0) | (uint32_t)random_below(0x10000);
}
static uint16_t some_fsw(uint16_t fcw)
{
    unsigned fsw = random_below(0x10000) & (FSW_TOP | FSW_CONDITION);

    if (chance(40))
        fsw |= random_below(0x80);
    if (chance(95))
        fsw &= (fcw & FCW_MASKS) | ~FSW_EXCEPTIONS; /* nothing pending */
    return (uint16_t)fsw;
}

void lockstep_fp_state(uint64_t seed, struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;

    fp_random_state = seed;
    cpu->cr0 |= CR0_NE | CR0_MP;
    cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    if (chance(2))
        cpu->cr0 |= chance(50) ? CR0_TS : CR0_EM;
    if (chance(2))
        cpu->cr4 &= ~(chance(50) ? CR4_OSFXSR : CR4_OSXMMEXCPT);
    f->fcw = some_fcw();
    f->fsw = some_fsw(f->fcw);
    x87_update_es(f);
    f->ftw = 0;
    for (unsigned i = 0; i < 8; i++) {
        union fpu_reg value = random_f80();

        if (chance(50))
            f->ftw |= (uint16_t)(3u << 2 * i);
        f->r[i].significand = value.significand;
        f->r[i].sign_exponent = value.sign_exponent;
        f->xmm[i] = random_xmm();
    }
    f->mxcsr = some_mxcsr();
    f->fop = (uint16_t)random_below(0x800);
    f->fip = (uint32_t)random64();
    f->fdp = (uint32_t)random64();
    f->fcs = (uint16_t)random64();
    f->fds = (uint16_t)random64();
}

/* ---- memory ---- */

static void fill_environment(uint8_t *p)
{
    uint16_t fcw = some_fcw(), fsw = some_fsw(fcw), tags = (uint16_t)random64();

    for (unsigned i = 0; i < 128; i++)
        p[i] = (uint8_t)random64();
    memcpy(p, &fcw, 2);
    memcpy(p + 4, &fsw, 2);
    memcpy(p + 8, &tags, 2);
    for (unsigned i = 0; i < 8; i++) {
        union fpu_reg value = random_f80();
        memcpy(p + 28 + 10 * i, value.bytes, 10);
    }
}

static void fill_image(uint8_t *p)
{
    uint16_t fcw = some_fcw(), fsw = some_fsw(fcw);
    uint32_t mxcsr = some_mxcsr();

    for (unsigned i = 0; i < 512; i++)
        p[i] = (uint8_t)random64();
    memcpy(p, &fcw, 2);
    memcpy(p + 2, &fsw, 2);
    memcpy(p + 24, &mxcsr, 4);
    for (unsigned i = 0; i < 8; i++) {
        union fpu_reg value = random_f80();
        union xmm xmm = random_xmm();
        memcpy(p + 32 + 16 * i, value.bytes, 10);
        memcpy(p + 160 + 16 * i, &xmm, 16);
    }
}

static void fill_operand(uint8_t *p)
{
    union xmm xmm = random_xmm();

    memcpy(p, &xmm, 16);
    if (chance(20)) {
        union fpu_reg value = random_f80();
        memcpy(p, value.bytes, 10);
    } else if (chance(8)) {
        random_bcd(p);
    } else if (chance(30)) {
        int64_t value = (int64_t)random64() >> random_below(64);
        memcpy(p, &value, 8);
    } else if (chance(40)) { /* of a size that does not overflow at once */
        double value = (double)(int32_t)random64() / 1024;
        memcpy(p + 8 * random_below(2), &value, 8);
    }
}

void lockstep_fp_memory(uint64_t seed, uint8_t *area)
{
    fp_random_state = seed;
    for (unsigned at = AT_FCW; at < AT_MXCSR; at += 4) {
        uint32_t value = some_fcw();
        memcpy(area + at, &value, 4);
    }
    for (unsigned at = AT_MXCSR; at < AT_ENV; at += 4) {
        uint32_t value = some_mxcsr() | (chance(3) ? 1u << (16 + random_below(16)) : 0);
        memcpy(area + at, &value, 4);
    }
    for (unsigned at = AT_ENV; at < AT_FXSAVE; at += 128)
        fill_environment(area + at);
    for (unsigned at = AT_FXSAVE; at < AT_OPERANDS; at += 512)
        fill_image(area + at);
    for (unsigned at = AT_OPERANDS; at < LOCKSTEP_FP_SIZE; at += 16)
        fill_operand(area + at);
}

/* ---- instructions ---- */

static uint32_t operand_offset(const struct insn_row *row)
{
    bool aligned = row->attr & ATTR_ALIGN16;
    uint32_t at = AT_OPERANDS + 16 * random_below(48);

    if (chance(92)) {
        switch (row->operand[0]) {
        case OPERAND_Menv:
        case OPERAND_Mst:
            return AT_ENV + 128 * random_below((AT_FXSAVE - AT_ENV) / 128);
        case OPERAND_Mfx:
            return AT_FXSAVE + 512 * random_below(4);
        default: /* told by the instruction */
            break;
        }
        if (!strcmp(row->mnemonic, "fldcw"))
            return AT_FCW + 4 * random_below(64);
        if (!strcmp(row->mnemonic, "ldmxcsr"))
            return AT_MXCSR + 4 * random_below(64);
    }
    if (chance(aligned ? 2 : 10))
        return at + random_below(16);
    if (!aligned && chance(40))
        return at + 4 * random_below(4);
    if (chance(3)) /* across the border of the pages, or just before it */
        return AT_OPERANDS - 16 + (aligned ? 16 * random_below(2) : random_below(24));
    return at;
}

static unsigned put(uint8_t *out, unsigned n, uint32_t value, unsigned bytes)
{
    memcpy(out + n, &value, bytes);
    return n + bytes;
}

static unsigned put_memory(const struct insn_row *row, uint32_t area, uint8_t *out, unsigned n,
                           unsigned field)
{
    static const uint8_t bases[] = {EBX, EBP, ESI, EDI};

    if (chance(90)) {
        n = put(out, n, field << 3 | 5, 1);
        return put(out, n, area + operand_offset(row), 4);
    }
    n = put(out, n, 0x40 | field << 3 | bases[random_below(4)], 1);
    return put(out, n, random_below(256), 1);
}

unsigned lockstep_fp_instruction(uint64_t seed, uint32_t area, uint8_t *out)
{
    const struct insn_row *row;
    unsigned n = 0, field;
    bool memory;

    fp_random_state = seed;
    do {
        row = &insn_rows[random_below(INSN_COUNT)];
        /* these move whole states: now and then is enough */
        if ((row->operand[0] == OPERAND_Menv || row->operand[0] == OPERAND_Mst ||
             row->operand[0] == OPERAND_Mfx) &&
            !chance(20))
            continue;
    } while (!(row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE)) || (row->attr & ATTR_NOTEST));
    if (chance(3))
        n = put(out, n, chance(50) ? 0x64 : 0x65, 1);
    if (row->operand[0] == OPERAND_Menv && chance(20))
        n = put(out, n, 0x66, 1);
    if (row->prefix > PREFIX_NP)
        n = put(out, n, row->prefix == PREFIX_66 ? 0x66 : row->prefix == PREFIX_F3 ? 0xf3 : 0xf2, 1);
    if (row->map)
        n = put(out, n, 0x0f, 1);
    n = put(out, n, row->opcode, 1);
    if (!(row->ext & INSN_EXT_MODRM))
        return n;
    if (row->ext & INSN_EXT_EXACT)
        return put(out, n, row->ext & 0xff, 1);
    memory = (row->ext & INSN_EXT_MEM) || (!(row->ext & INSN_EXT_REG) && chance(50));
    field = row->ext & INSN_EXT_OPCODE ? row->ext & 7u : random_below(8);
    /* not into the registers that point to memory */
    if (insn_operands[row->operand[0]].class == OPCLASS_REG)
        field &= 2;
    if (memory) {
        n = put_memory(row, area, out, n, field);
    } else {
        unsigned rm = random_below(8);

        if (insn_operands[row->operand[0]].class == OPCLASS_RM)
            rm &= 1;
        n = put(out, n, 0xc0 | field << 3 | rm, 1);
    }
    for (unsigned i = 0; i < 3; i++)
        if (row->operand[i] == OPERAND_Ib)
            n = put(out, n, chance(70) ? random_below(16) : random_below(256), 1);
    return n;
}

/* ---- comparison ---- */

bool lockstep_fp_agrees(const struct cpu *interpreter, const struct cpu *translator, char *text, size_t size)
{
    const struct fpu *a = &interpreter->fpu, *b = &translator->fpu;
    const struct {
        const char *name;
        uint32_t a, b;
    } words[] = {
        {"fcw", a->fcw, b->fcw}, {"fsw", a->fsw, b->fsw}, {"tags", a->ftw, b->ftw},
        {"fop", a->fop, b->fop}, {"fip", a->fip, b->fip}, {"fdp", a->fdp, b->fdp},
        {"fcs", a->fcs, b->fcs}, {"fds", a->fds, b->fds}, {"mxcsr", a->mxcsr, b->mxcsr},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (words[i].a != words[i].b) {
            g_snprintf(text, size, "%s: interpreter %08x translator %08x", words[i].name, words[i].a,
                       words[i].b);
            return false;
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(&a->r[i], &b->r[i], 10)) {
            g_snprintf(
                text, size,
                "R%u: interpreter %04x:%016" G_GINT64_MODIFIER "x translator %04x:%016" G_GINT64_MODIFIER "x",
                i, a->r[i].sign_exponent, a->r[i].significand, b->r[i].sign_exponent, b->r[i].significand);
            return false;
        }
        if (memcmp(&a->xmm[i], &b->xmm[i], 16)) {
            g_snprintf(text, size,
                       "xmm%u: interpreter %016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER
                       "x translator %016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x",
                       i, a->xmm[i].u64[1], a->xmm[i].u64[0], b->xmm[i].u64[1], b->xmm[i].u64[0]);
            return false;
        }
    }
    return true;
}
