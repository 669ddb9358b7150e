/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The guest's x87 and SSE registers in the host's, while translated code runs.
 *
 * Two units, x87 (with MMX) and SSE, go to the host and back separately, so that a string function with XMM
 * registers never pays for the x87. A unit becomes live at the first instruction of a block that wants it
 * (cpu->fp_away is looked at there) and stays so from block to block; any call of a C function out of
 * translated code, and leaving it, first brings the live ones back: fp_spill(). C code then finds what it
 * wants: MXCSR and FCW without surprises (sticky flags may stay), an empty x87 stack. So a kernel, which
 * calls C often and uses none of this, pays one test; a loop of floating point pays nothing.
 *
 * Live units run under the guest's own MXCSR and FCW. That is allowed while no instruction of the unit would
 * fault (CR0.EM, CR0.TS, CR4.OSFXSR) and none can trap: all exceptions masked, none pending. Then the host
 * does for the guest what it would do for itself, sticky flags, tags, stack faults and C1 included. Otherwise
 * translated code is left and the interpreter executes the block (fp_denied). Whatever changes one of these
 * conditions is a C function, or checks the new value itself (fp_emit.c).
 *
 * FIP, FCS, FOP, FDP and FDS are not the host's, which runs elsewhere and on some processors keeps them at
 * exceptions only. Translated code stores FDP, and of the rest a note (cpu->fp_note), from which they follow
 * when the unit goes back.
 *
 * The functions here run with guest values in XMM registers. So they are compiled for general registers only,
 * and without sanitizers. SDM vol. 1, 10.5 (FXSAVE).
 */
#include "emu/cpu/fpu_internal.h"
#include "emu/cpu/jit/translate.h"

#define FP_FUNCTION __attribute__((target("general-regs-only"), no_sanitize("address", "undefined")))

struct fxsave_image {
    uint16_t fcw, fsw;
    uint8_t tags, reserved;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    struct {
        uint64_t significand;
        uint64_t sign_exponent; /* the upper six bytes are reserved */
    } st[8];
    uint8_t xmm[16][16];
    uint8_t unused[96];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct fxsave_image) == 512, "FXSAVE's size");

static const uint32_t host_mxcsr = MXCSR_DEFAULT;
static const uint16_t host_fcw = FCW_DEFAULT;

void fp_start(struct cpu *cpu)
{
    cpu->fp_live = 0;
    cpu->fp_away[0] = cpu->fp_away[1] = 1;
    cpu->fp_denied = false;
    cpu->fp_note = cpu->fp_note_data = 0;
    for (unsigned i = 0; i < 256; i++) {
        cpu->fp_masks[i] = (i & FCW_MASKS) == FCW_MASKS;
        cpu->fp_alignment[i] = (i & 15) == 0;
    }
}

/* ---- SSE ---- */

#define XMM_ALL(text, separator)                                                                             \
    text(0) separator text(1) separator text(2) separator text(3) separator text(4) separator text(5)        \
        separator text(6) separator text(7)
#define XMM_STORE(n) "movaps %%xmm" #n ",16*" #n "(%0)"
#define XMM_LOAD(n)  "movaps 16*" #n "(%0),%%xmm" #n

FP_FUNCTION static void sse_spill(struct cpu *cpu)
{
    __asm__ volatile(XMM_ALL(XMM_STORE, "\n\t") : : "r"(cpu->fpu.xmm) : "memory");
    __asm__ volatile("stmxcsr %0" : "=m"(cpu->fpu.mxcsr));
    if (fpu_unlikely((cpu->fpu.mxcsr & ~MXCSR_FLAGS) != MXCSR_DEFAULT))
        __asm__ volatile("ldmxcsr %0" : : "m"(host_mxcsr));
}

FP_FUNCTION static bool sse_load(struct cpu *cpu)
{
    if ((cpu->cr0 & (CR0_EM | CR0_TS)) || !(cpu->cr4 & CR4_OSFXSR) ||
        (cpu->fpu.mxcsr & MXCSR_MASKS) != MXCSR_MASKS)
        return false;
    __asm__ volatile(XMM_ALL(XMM_LOAD, "\n\t") : : "r"(cpu->fpu.xmm) : "memory");
    __asm__ volatile("ldmxcsr %0" : : "m"(cpu->fpu.mxcsr));
    return true;
}

/* ---- x87 ---- */

/* One bit a register, set when it is in use ↔ two bits, 3 when it is empty. */
FP_FUNCTION static uint16_t tags_widen(uint8_t valid)
{
    unsigned x = (uint8_t)~valid;

    x = (x | x << 4) & 0x0f0f;
    x = (x | x << 2) & 0x3333;
    x = (x | x << 1) & 0x5555;
    return (uint16_t)(x * 3);
}
FP_FUNCTION static uint8_t tags_narrow(uint16_t tags)
{
    unsigned x = ~tags & 0x5555u;

    x = (x | x >> 1) & 0x3333;
    x = (x | x >> 2) & 0x0f0f;
    return (uint8_t)(x | x >> 4);
}

/* CS and the segment registers are still those of then: only C functions change them. */
FP_FUNCTION static void resolve_note(struct cpu *cpu)
{
    uint32_t note = cpu->fp_note;
    struct fpu *f = &cpu->fpu;

    if (!note)
        return;
    cpu->fp_note = 0;
    f->fip = cpu->fp_note_page + (note & FP_NOTE_OFFSET);
    f->fop = (uint16_t)((note >> FP_NOTE_OPCODE & 7) << 8 | (note >> FP_NOTE_MODRM & 0xff));
    f->fcs = cpu->seg[SEG_CS].selector;
    if (cpu->fp_note_data)
        f->fds = cpu->seg[cpu->fp_note_data - 1].selector;
    cpu->fp_note_data = 0;
}

FP_FUNCTION static void x87_spill(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;
    struct fxsave_image image;
    unsigned top;

    __asm__ volatile("fxsave %0\n\temms" : "=m"(image));
    if (fpu_unlikely(image.fcw != FCW_DEFAULT))
        __asm__ volatile("fldcw %0" : : "m"(host_fcw));
    f->fcw = image.fcw;
    f->fsw = image.fsw;
    f->ftw = tags_widen(image.tags);
    resolve_note(cpu);
    top = f->fsw >> FSW_TOP_SHIFT;
    for (unsigned i = 0; i < 8; i++) {
        union fpu_reg *r = &f->r[(top + i) & 7];

        r->significand = image.st[i].significand;
        r->sign_exponent = (uint16_t)image.st[i].sign_exponent;
    }
}

FP_FUNCTION static bool x87_load(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;
    struct fxsave_image image;
    unsigned top = f->fsw >> FSW_TOP_SHIFT;

    if ((cpu->cr0 & (CR0_EM | CR0_TS)) || (f->fsw & FSW_ES) || (f->fcw & FCW_MASKS) != FCW_MASKS)
        return false;
    image.fcw = f->fcw;
    image.fsw = f->fsw;
    image.tags = tags_narrow(f->ftw);
    image.reserved = 0;
    image.fop = 0;
    image.fip = image.fdp = 0;
    for (unsigned i = 0; i < 8; i++) {
        const union fpu_reg *r = &f->r[(top + i) & 7];

        image.st[i].significand = r->significand;
        image.st[i].sign_exponent = r->sign_exponent;
    }
    /* FXRSTOR loads the other unit too: with what is there. */
    __asm__ volatile("stmxcsr %0" : "=m"(image.mxcsr));
    if (cpu->fp_live & FP_SSE)
        __asm__ volatile(XMM_ALL(XMM_STORE, "\n\t") : : "r"(image.xmm) : "memory");
    __asm__ volatile("fxrstor %0" : : "m"(image) : "memory");
    return true;
}

/* ---- both ---- */

FP_FUNCTION void fp_spill(struct cpu *cpu)
{
    unsigned live = cpu->fp_live;

    if (live & FP_SSE)
        sse_spill(cpu);
    if (live & FP_X87)
        x87_spill(cpu);
    cpu->fp_live = 0;
    cpu->fp_away[0] = cpu->fp_away[1] = 1;
}

FP_FUNCTION bool fp_load(struct cpu *cpu, unsigned units)
{
    units &= ~cpu->fp_live;
    if (units & FP_X87) {
        if (!x87_load(cpu))
            return false;
        cpu->fp_live |= FP_X87;
        cpu->fp_away[0] = 0;
    }
    if (units & FP_SSE) {
        if (!sse_load(cpu))
            return false;
        cpu->fp_live |= FP_SSE;
        cpu->fp_away[1] = 0;
    }
    return true;
}

/* ---- how translated code calls it ---- */

static const int8_t kept[] = {RCX, RDX, RSI, RDI, R8, R9, R10, R11, RBX};

static void emit_push(struct emit *e, int reg)
{
    emit_prefixes(e, 4, 0x50u | (unsigned)(reg & 7), 0, 0, reg, false);
}
static void emit_pop(struct emit *e, int reg)
{
    emit_prefixes(e, 4, 0x58u | (unsigned)(reg & 7), 0, 0, reg, false);
}

static void emit_restore_all(struct emit *e)
{
    for (unsigned i = G_N_ELEMENTS(kept); i-- > 0;)
        emit_pop(e, kept[i]);
    emit_pop(e, RAX);
    emit8(e, 0x04); /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    emit_pop(e, RAX);
}

static const uint8_t *emit_load_units(struct emit *e, const uint8_t *leave_offset, unsigned units)
{
    const uint8_t *piece = e->at;
    uint8_t *denied;

    emit_push(e, RAX);
    emit8(e, 0x9f);                /* lahf */
    emit_rr(e, 1, 0x0f90, 0, RAX); /* seto al */
    emit_push(e, RAX);
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++)
        emit_push(e, kept[i]);
    emit_move(e, 8, RBX, RSP);
    emit_alu_imm(e, 8, ALU_AND, RSP, -16);
    emit_move(e, 8, RDI, R15);
    emit_imm32(e, RSI, units);
    emit_imm64(e, RAX, (uintptr_t)fp_load);
    emit_rr(e, 4, 0xff, 2, RAX); /* call rax */
    emit_move(e, 8, RSP, RBX);
    emit_rr(e, 1, 0x84, RAX, RAX);
    denied = emit_jump_if(e, CC_E);
    emit_restore_all(e);
    emit8(e, 0xc3);

    emit_fill(denied, e->at);
    emit_rm(e, 1, 0xc6, 0, R15, EMIT_NONE, 0, CPU(fp_denied));
    emit8(e, 1);
    emit_restore_all(e);
    emit_lea(e, 8, RSP, RSP, 8); /* the return address */
    emit_load(e, 4, R8, R15, CPU(fp_leave));
    emit_jump_to(e, leave_offset);
    return piece;
}

void fp_emit_runtime(struct jit *jit)
{
    struct emit e = {jit->at};

    for (unsigned units = 1; units < FP_UNITS; units++)
        jit->fp_load[units] = emit_load_units(&e, jit->leave_offset, units);
    jit->at = e.at;
}
