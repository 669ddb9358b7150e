/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The x87's and SSE's state: reset, the checks that precede an instruction, control instructions, and the
 * images in memory (FSTENV, FSAVE, FXSAVE).
 *
 * Exceptions: an x87 exception is noted in FSW.ES and reported by the *next* waiting x87 or MMX instruction,
 * as #MF when CR0.NE is set, else through the FERR# pin (IRQ 13 on a PC). With FERR# a processor stops at
 * that instruction until the interrupt arrives; here the instruction is executed as if IGNNE# were asserted
 * and the interrupt is taken after it, so that no guest can freeze the machine.
 *
 * SDM vol. 1, chapters 8, 10 and 11.5; vol. 3, 9.2 and 13.1.
 */
#include "emu/cpu/fpu_internal.h"

const union fpu_reg x87_indefinite = {.significand = 0xc000000000000000u, .sign_exponent = 0xffff};

#define CONTROL(i)  (FCW_MASKS | 0x40 | (i) << 8)
#define CONTROLS(i) CONTROL(i), CONTROL((i) + 1), CONTROL((i) + 2), CONTROL((i) + 3)
const uint16_t x87_masked_controls[32] = {CONTROLS(0),  CONTROLS(4),  CONTROLS(8),  CONTROLS(12),
                                          CONTROLS(16), CONTROLS(20), CONTROLS(24), CONTROLS(28)};

static void x87_init(struct fpu *f)
{
    f->fcw = FCW_DEFAULT;
    f->fsw = 0;
    f->ftw = 0xffff;
    f->fop = 0;
    f->fip = f->fdp = 0;
    f->fcs = f->fds = 0;
}

void fpu_reset(struct cpu *cpu, bool init_only)
{
    if (init_only) /* INIT# leaves x87 and SSE alone (SDM vol. 3, 9.1) */
        return;
    cpu->fpu = (struct fpu){.fcw = 0x0040, .mxcsr = MXCSR_DEFAULT}; /* every register +0.0 and not empty */
}

bool x87_stack_fault(struct fpu *f, bool overflow)
{
    f->fsw = (uint16_t)((f->fsw & ~FSW_C1) | FSW_IE | FSW_SF | (overflow ? FSW_C1 : 0));
    if (f->fcw & FSW_IE)
        return true;
    f->fsw |= FSW_ES | FSW_B;
    return false;
}

/* ---- checks ---- */

/* A pending exception with CR0.NE clear. */
static void x87_report_by_pin(struct cpu *cpu)
{
    if (!cpu->board.ferr)
        return;
    cpu->board.ferr(cpu->board.opaque, true);
    if (cpu->intr && (cpu->eflags & FLAG_IF) && !(cpu->shadow && cpu->insn_eip == cpu->shadow_eip)) {
        cpu->eip = cpu->insn_eip;
        longjmp(cpu->fault_exit, CPU_LANDING_RESTART);
    }
}

static void x87_lower_pin(struct cpu *cpu)
{
    if (cpu->board.ferr && !(cpu->fpu.fsw & FSW_ES))
        cpu->board.ferr(cpu->board.opaque, false);
}

void fpu_check_x87(struct cpu *cpu, bool waiting)
{
    if (cpu->cr0 & (CR0_EM | CR0_TS))
        cpu_fault(cpu, VEC_NM, 0);
    if (waiting && (cpu->fpu.fsw & FSW_ES)) {
        if (cpu->cr0 & CR0_NE)
            cpu_fault(cpu, VEC_MF, 0);
        x87_report_by_pin(cpu);
    }
}

void fpu_check_mmx(struct cpu *cpu)
{
    if (cpu->cr0 & CR0_EM)
        cpu_fault_ud(cpu);
    fpu_check_x87(cpu, true);
}

void fpu_check_sse(struct cpu *cpu)
{
    if ((cpu->cr0 & CR0_EM) || !(cpu->cr4 & CR4_OSFXSR))
        cpu_fault_ud(cpu);
    if (cpu->cr0 & CR0_TS)
        cpu_fault(cpu, VEC_NM, 0);
}

/* ---- control instructions ---- */

void op_fwait(struct cpu *cpu, const struct insn *in)
{
    if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        cpu_fault(cpu, VEC_NM, 0);
    if (cpu->fpu.fsw & FSW_ES) {
        if (cpu->cr0 & CR0_NE)
            cpu_fault(cpu, VEC_MF, 0);
        x87_report_by_pin(cpu);
    }
}

void op_fninit(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
    x87_init(&cpu->fpu);
    x87_lower_pin(cpu);
}

void op_fnclex(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
    cpu->fpu.fsw &= (uint16_t) ~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B);
    x87_lower_pin(cpu);
}

/* FNENI, FNDISI, FNSETPM: the 8087's and 287's, nothing since. */
void op_fneni(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
}
void op_fndisi(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
}
void op_fnsetpm(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
}

void op_fnop(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    x87_note(cpu, in);
}

static void x87_load_control(struct fpu *f, uint16_t fcw)
{
    f->fcw = (fcw & 0x1f3f) | 0x0040; /* bit 6 reads 1, the other reserved bits 0; bit 12 is kept */
    x87_update_es(f);
}

void op_fldcw(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    x87_load_control(&cpu->fpu, mem_read16(cpu, in->seg, insn_ea(cpu, in)));
}

void op_fnstcw(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
    mem_write16(cpu, in->seg, insn_ea(cpu, in), cpu->fpu.fcw);
}

void op_fnstsw_m(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
    mem_write16(cpu, in->seg, insn_ea(cpu, in), cpu->fpu.fsw);
}

void op_fnstsw_ax(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
    cpu->gpr[EAX] = (cpu->gpr[EAX] & 0xffff0000u) | cpu->fpu.fsw;
}

/* ---- the environment ---- */

static unsigned x87_tag_of(const struct fpu *f, unsigned phys)
{
    if (x87_empty(f, phys))
        return 3;
    unsigned exponent = f->r[phys].sign_exponent & 0x7fff;
    uint64_t significand = f->r[phys].significand;
    if (exponent == 0)
        return significand == 0 ? 1 : 2;
    return exponent != 0x7fff && (significand >> 63) ? 0 : 2;
}

uint16_t fpu_full_tags(const struct fpu *f)
{
    unsigned tags = 0;
    for (unsigned i = 0; i < 8; i++)
        tags |= x87_tag_of(f, i) << (2 * i);
    return (uint16_t)tags;
}

static void x87_set_tags(struct fpu *f, uint16_t tags)
{
    f->ftw = 0;
    for (unsigned i = 0; i < 8; i++)
        if ((tags >> (2 * i) & 3) == 3)
            x87_mark_empty(f, i);
}

static void put16(uint8_t *p, unsigned v)
{
    uint16_t x = (uint16_t)v;
    memcpy(p, &x, 2);
}
static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}
static void put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, 8);
}
static uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* #AC of an operand made of several parts: none of them may ask for more than the whole. */
static void fpu_check_alignment(struct cpu *cpu, const struct insn *in, uint32_t ea, unsigned alignment)
{
    if (fpu_unlikely(cpu->align_check) && ((cpu->seg[in->seg].base + ea) & (alignment - 1)))
        cpu_fault(cpu, VEC_AC, 0);
}

/* Four layouts: 16 or 32 bits by the operand size, linear addresses in real and V86 mode (SDM vol.
 * 1, 8.1.10). Reserved words of the 32-bit ones are written as ones. Returns the bytes used. */
static unsigned x87_environment_store(const struct cpu *cpu, bool op16, uint8_t *out)
{
    const struct fpu *f = &cpu->fpu;
    uint16_t tags = fpu_full_tags(f);
    uint32_t ip = f->fip + (uint32_t)f->fcs * 16;
    uint32_t dp = f->fdp + (uint32_t)f->fds * 16;
    if (op16) {
        put16(out, f->fcw);
        put16(out + 2, f->fsw);
        put16(out + 4, tags);
        if (cpu_protected(cpu)) {
            put16(out + 6, f->fip);
            put16(out + 8, f->fcs);
            put16(out + 10, f->fdp);
            put16(out + 12, f->fds);
        } else {
            put16(out + 6, ip);
            put16(out + 8, (ip >> 16 & 0xf) << 12 | f->fop);
            put16(out + 10, dp);
            put16(out + 12, (dp >> 16 & 0xf) << 12);
        }
        return 14;
    }
    put32(out, 0xffff0000u | f->fcw);
    put32(out + 4, 0xffff0000u | f->fsw);
    put32(out + 8, 0xffff0000u | tags);
    if (cpu_protected(cpu)) {
        put32(out + 12, f->fip);
        put32(out + 16, (uint32_t)f->fop << 16 | f->fcs);
        put32(out + 20, f->fdp);
        put32(out + 24, 0xffff0000u | f->fds);
    } else {
        put32(out + 12, 0xffff0000u | (ip & 0xffff));
        put32(out + 16, (ip >> 16) << 12 | f->fop);
        put32(out + 20, 0xffff0000u | (dp & 0xffff));
        put32(out + 24, (dp >> 16) << 12);
    }
    return 28;
}

/* Where an image is in host memory if it is all on one plain page, or NULL: kernels save so at each switch.
 */
static uint8_t *fpu_plain_image(struct cpu *cpu, const struct insn *in, uint32_t ea, unsigned size,
                                bool write)
{
    uint32_t linear = mem_linear(cpu, in->seg, ea, size, write);
    const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear);
    if (!ACCESS_TAG_MATCHES(write ? e->write : e->read, linear, size))
        return NULL;
    return (uint8_t *)(e->addend + linear);
}

/* Stores an image whole or not at all; `alignment` is what #AC asks of it. */
static void fpu_write_image(struct cpu *cpu, const struct insn *in, const uint8_t *image, unsigned size,
                            unsigned alignment)
{
    uint32_t ea = insn_ea(cpu, in);
    fpu_check_alignment(cpu, in, ea, alignment);
    if (cpu->align_check) { /* eight bytes at a time would ask for more */
        mem_write_bytes(cpu, in->seg, ea, image, size);
        return;
    }
    uint8_t *plain = fpu_plain_image(cpu, in, ea, size, true);
    if (plain) {
        memcpy(plain, image, size);
        return;
    }
    mem_check_write(cpu, in->seg, ea, size);
    unsigned done = 0;
    for (; done + 8 <= size; done += 8) {
        uint64_t value;
        memcpy(&value, image + done, 8);
        mem_write64(cpu, in->seg, ea + done, value);
    }
    for (; done < size; done += 2)
        mem_write16(cpu, in->seg, ea + done, get16(image + done));
}
static void fpu_read_image(struct cpu *cpu, const struct insn *in, uint8_t *image, unsigned size,
                           unsigned alignment)
{
    uint32_t ea = insn_ea(cpu, in);
    fpu_check_alignment(cpu, in, ea, alignment);
    mem_read_bytes(cpu, in->seg, ea, image, size);
}

static unsigned x87_environment_size(const struct insn *in)
{
    return in->flags & INSN_OP16 ? 14 : 28;
}
static unsigned x87_environment_alignment(const struct insn *in)
{
    return in->flags & INSN_OP16 ? 2 : 4;
}

static void x87_environment_load(struct cpu *cpu, bool op16, const uint8_t *image)
{
    struct fpu *f = &cpu->fpu;
    unsigned step = op16 ? 2 : 4;
    f->fsw = get16(image + step);
    x87_set_tags(f, get16(image + 2 * step));
    const uint8_t *p = image + 3 * step;
    if (cpu_protected(cpu)) {
        f->fip = op16 ? get16(p) : get32(p);
        f->fcs = get16(p + step);
        f->fdp = op16 ? get16(p + 2 * step) : get32(p + 2 * step);
        f->fds = get16(p + 3 * step);
        f->fop = op16 ? 0 : get16(p + step + 2) & 0x7ff; /* the 16-bit image has no room for it */
    } else {
        f->fop = get16(p + step) & 0x7ff;
        f->fcs = f->fds = 0;
        if (op16) {
            f->fip = get16(p) | (uint32_t)(get16(p + 2) >> 12) << 16;
            f->fdp = get16(p + 4) | (uint32_t)(get16(p + 6) >> 12) << 16;
        } else {
            f->fip = get16(p) | (get32(p + 4) >> 12 & 0xffff) << 16;
            f->fdp = get16(p + 8) | (get32(p + 12) >> 12 & 0xffff) << 16;
        }
    }
    x87_load_control(f, get16(image));
    x87_lower_pin(cpu);
}

void op_fnstenv(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
    uint8_t image[28];
    unsigned size = x87_environment_store(cpu, in->flags & INSN_OP16, image);
    fpu_write_image(cpu, in, image, size, x87_environment_alignment(in));
    cpu->fpu.fcw |= FCW_MASKS;
    x87_update_es(&cpu->fpu);
    x87_lower_pin(cpu);
}

void op_fldenv(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    uint8_t image[28];
    fpu_read_image(cpu, in, image, x87_environment_size(in), x87_environment_alignment(in));
    x87_environment_load(cpu, in->flags & INSN_OP16, image);
}

void op_fnsave(struct cpu *cpu, const struct insn *in)
{
    x87_begin_nowait(cpu);
    uint8_t image[108];
    struct fpu *f = &cpu->fpu;
    unsigned size = x87_environment_store(cpu, in->flags & INSN_OP16, image);
    for (unsigned i = 0; i < 8; i++, size += 10)
        memcpy(image + size, f->r[x87_phys(f, i)].bytes, 10);
    fpu_write_image(cpu, in, image, size, x87_environment_alignment(in));
    x87_init(f);
    x87_lower_pin(cpu);
}

void op_frstor(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    uint8_t image[108];
    struct fpu *f = &cpu->fpu;
    unsigned size = x87_environment_size(in);
    fpu_read_image(cpu, in, image, size + 80, x87_environment_alignment(in));
    x87_environment_load(cpu, in->flags & INSN_OP16, image);
    for (unsigned i = 0; i < 8; i++, size += 10)
        memcpy(f->r[x87_phys(f, i)].bytes, image + size, 10);
}

/* ---- FXSAVE, FXRSTOR (SDM vol. 1, 10.5) ---- */

/* Whether XMM registers and MXCSR take part; without CR4.OSFXSR they need not, and they do not. */
static bool fxsave_has_sse(const struct cpu *cpu)
{
    return (cpu->cr4 & CR4_OSFXSR) && (cpu_model_features(cpu->model, 0) & 1u << 25);
}

static void fxsave_begin(struct cpu *cpu, const struct insn *in, uint32_t ea)
{
    if (cpu->cr0 & (CR0_EM | CR0_TS))
        cpu_fault(cpu, VEC_NM, 0);
    sse_check_alignment(cpu, in, ea);
}

/* Eight bytes at a time: guest memory is written but once, and nothing waits for narrow stores. */
static void fxsave_fill(const struct fpu *f, bool sse, uint8_t *image)
{
    unsigned valid = 0;
    for (unsigned i = 0; i < 8; i++)
        valid |= (unsigned)!x87_empty(f, i) << i;
    put64(image, f->fcw | (uint32_t)f->fsw << 16 | (uint64_t)valid << 32 | (uint64_t)f->fop << 48);
    put64(image + 8, f->fip | (uint64_t)f->fcs << 32);
    put64(image + 16, f->fdp | (uint64_t)f->fds << 32);
    put64(image + 24, sse ? f->mxcsr | (uint64_t)MXCSR_VALID << 32 : 0);
    for (unsigned i = 0; i < 8; i++) {
        const union fpu_reg *r = &f->r[x87_phys(f, i)];
        put64(image + 32 + 16 * i, r->significand);
        put64(image + 40 + 16 * i, r->sign_exponent);
    }
    if (sse)
        memcpy(image + 160, f->xmm, sizeof f->xmm);
}

void op_fxsave(struct cpu *cpu, const struct insn *in)
{
    uint32_t ea = insn_ea(cpu, in);
    fxsave_begin(cpu, in, ea);
    uint8_t image[288], *plain;
    bool sse = fxsave_has_sse(cpu);
    unsigned size = sse ? 288 : 160;
    plain = cpu->align_check ? NULL : fpu_plain_image(cpu, in, ea, size, true);
    fxsave_fill(&cpu->fpu, sse, plain ? plain : image);
    if (!plain)
        fpu_write_image(cpu, in, image, size, 16);
}

void op_fxrstor(struct cpu *cpu, const struct insn *in)
{
    uint32_t ea = insn_ea(cpu, in);
    fxsave_begin(cpu, in, ea);
    uint8_t copy[288];
    const uint8_t *image;
    struct fpu *f = &cpu->fpu;
    bool sse = fxsave_has_sse(cpu);
    image = cpu->align_check ? NULL : fpu_plain_image(cpu, in, ea, sse ? 288 : 160, false);
    if (!image) {
        fpu_read_image(cpu, in, copy, sse ? 288 : 160, 16);
        image = copy;
    }
    if (sse) {
        uint32_t mxcsr = get32(image + 24);
        if (mxcsr & ~MXCSR_VALID)
            cpu_fault_gp(cpu, 0);
        f->mxcsr = mxcsr;
        memcpy(f->xmm, image + 160, sizeof f->xmm);
    }
    f->fsw = get16(image + 2);
    f->ftw = 0;
    for (unsigned i = 0; i < 8; i++)
        if (!(image[4] >> i & 1))
            x87_mark_empty(f, i);
    f->fop = get16(image + 6) & 0x7ff;
    f->fip = get32(image + 8);
    f->fcs = get16(image + 12);
    f->fdp = get32(image + 16);
    f->fds = get16(image + 20);
    for (unsigned i = 0; i < 8; i++)
        memcpy(f->r[x87_phys(f, i)].bytes, image + 32 + 16 * i, 10);
    x87_load_control(f, get16(image));
    x87_lower_pin(cpu);
}

/* ---- MXCSR ---- */

void op_ldmxcsr(struct cpu *cpu, const struct insn *in)
{
    sse_begin(cpu);
    uint32_t mxcsr = mem_read32(cpu, in->seg, insn_ea(cpu, in));
    if (mxcsr & ~MXCSR_VALID)
        cpu_fault_gp(cpu, 0);
    cpu->fpu.mxcsr = mxcsr;
}

void op_stmxcsr(struct cpu *cpu, const struct insn *in)
{
    sse_begin(cpu);
    mem_write32(cpu, in->seg, insn_ea(cpu, in), cpu->fpu.mxcsr);
}
