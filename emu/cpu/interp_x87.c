/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * x87: loads, stores, the register stack, basic arithmetic and comparisons. How the host's x87 is used is
 * told in fpu_internal.h; the transcendental half is interp_x87_math.c.
 *
 * Every function has the same order: checks, memory read (may fault), pointers noted, stack faults, the
 * host's operation, flags, result. Stores compute into a local first and touch FSW and the stack only when
 * the write to memory has succeeded.
 *
 * An unmasked invalid-operation, denormal-operand or zero-divide exception leaves the destination and the
 * stack as they were; so do unmasked overflow and underflow when the destination is memory. An unmasked
 * overflow or underflow into a register delivers the result with its exponent biased, which the host has done
 * already.
 *
 * SDM vol. 1, chapter 8; vol. 2 for each instruction.
 */
#include "emu/cpu/fpu_internal.h"

#define BEFORE_RESULT (FSW_IE | FSW_DE | FSW_ZE) /* unmasked: no result */
#define BEFORE_STORE  (FSW_IE | FSW_OE | FSW_UE) /* unmasked: nothing goes to memory */

/* Reads the status word; clears what would make the next host instruction trap. */
#define HOST_STATUS  "fnstsw %%ax\n\ttestb $0x80,%%al\n\tjz 1f\n\tfnclex\n1:\n\t"
#define HOST_CLOBBER "cc", "memory", "st", "st(1)", "st(2)"
/* Whether TOP moved by an odd number of registers since it was put in ecx: jumps to 2 when it did not. */
#define HOST_TOP_BEFORE  "fnstsw %%ax\n\tmovl %%eax,%%ecx\n\t"
#define HOST_IF_TOP_EVEN "xorl %%eax,%%ecx\n\ttestb $8,%%ch\n\tjz 2f\n\t"

/* ---- arithmetic ---- */

/* out = a op b, where the instruction's ST(0) is a. Returns the status word. */
typedef unsigned x87_binary_fn(union fpu_reg *out, const union fpu_reg *a, const union fpu_reg *b);
typedef unsigned x87_memory_fn(union fpu_reg *out, const union fpu_reg *a, const void *b);

#define HOST_BINARY(name, mnem)                                                                              \
    FPU_INLINE unsigned host_##name(union fpu_reg *out, const union fpu_reg *a, const union fpu_reg *b)      \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fldt %3\n\tfldt %2\n\t" mnem "\n\t" HOST_STATUS "fstpt %0\n\tfstp %%st(0)"         \
                         : "=m"(*out), "=&a"(sw)                                                             \
                         : "m"(*a), "m"(*b)                                                                  \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }
#define HOST_MEMORY(name, mnem, type)                                                                        \
    FPU_INLINE unsigned host_##name(union fpu_reg *out, const union fpu_reg *a, const void *b)               \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fldt %2\n\t" mnem " %3\n\t" HOST_STATUS "fstpt %0"                                 \
                         : "=m"(*out), "=&a"(sw)                                                             \
                         : "m"(*a), "m"(*(const type *)b)                                                    \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }

FPU_INLINE void x87_finish(struct fpu *f, unsigned sw, unsigned dst, const union fpu_reg *result, bool pop)
{
    if (fpu_unlikely(x87_raise(f, sw) & BEFORE_RESULT))
        return;
    x87_put(f, dst, result);
    if (pop)
        x87_pop(f);
}

static void x87_underflow(struct fpu *f, unsigned dst, bool pop)
{
    if (!x87_stack_fault(f, false))
        return;
    x87_put(f, dst, &x87_indefinite);
    if (pop)
        x87_pop(f);
}

FPU_INLINE void x87_arith_reg(struct cpu *cpu, const struct insn *in, x87_binary_fn *fn, bool to_sti,
                              bool pop)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f), b = x87_phys(f, in->rm), dst = to_sti ? b : a;
    if (fpu_unlikely(x87_empty(f, a) || x87_empty(f, b))) {
        x87_underflow(f, dst, pop);
        return;
    }
    union fpu_reg result;
    unsigned sw;
    X87_HOST(f, sw, sw = fn(&result, &f->r[a], &f->r[b]));
    x87_finish(f, sw, dst, &result, pop);
}

FPU_INLINE void x87_arith_value(struct cpu *cpu, x87_memory_fn *fn, const void *value)
{
    struct fpu *f = &cpu->fpu;
    unsigned a = x87_top(f);
    if (fpu_unlikely(x87_empty(f, a))) {
        x87_underflow(f, a, false);
        return;
    }
    union fpu_reg result;
    unsigned sw;
    X87_HOST(f, sw, sw = fn(&result, &f->r[a], value));
    x87_finish(f, sw, a, &result, false);
}

/* The memory operand of a non-control instruction, with the pointers noted. */
#define X87_OPERAND(bits)                                                                                    \
    FPU_INLINE uint##bits##_t x87_operand##bits(struct cpu *cpu, const struct insn *in)                      \
    {                                                                                                        \
        x87_begin(cpu);                                                                                      \
        uint32_t ea = insn_ea(cpu, in);                                                                      \
        uint##bits##_t value = mem_read##bits(cpu, in->seg, ea);                                             \
        x87_note_mem(cpu, in, ea);                                                                           \
        return value;                                                                                        \
    }
X87_OPERAND(16)
X87_OPERAND(32)
X87_OPERAND(64)

#define ARITH_MEMORY(name, bits)                                                                             \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        uint##bits##_t value = x87_operand##bits(cpu, in);                                                   \
        x87_arith_value(cpu, host_##name, &value);                                                           \
    }
#define ARITH_REGISTER(name, host, to_sti, pop)                                                              \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        x87_arith_reg(cpu, in, host, to_sti, pop);                                                           \
    }

#define ARITH(x)                                                                                             \
    HOST_BINARY(f##x, "f" #x " %%st(1),%%st")                                                                \
    HOST_MEMORY(f##x##_m32, "f" #x "s", uint32_t)                                                            \
    HOST_MEMORY(f##x##_m64, "f" #x "l", uint64_t)                                                            \
    HOST_MEMORY(fi##x##_m16, "fi" #x "s", uint16_t)                                                          \
    HOST_MEMORY(fi##x##_m32, "fi" #x "l", uint32_t)                                                          \
    ARITH_MEMORY(f##x##_m32, 32)                                                                             \
    ARITH_MEMORY(f##x##_m64, 64)                                                                             \
    ARITH_MEMORY(fi##x##_m16, 16)                                                                            \
    ARITH_MEMORY(fi##x##_m32, 32)                                                                            \
    ARITH_REGISTER(f##x##_st0, host_f##x, false, false)

ARITH(add)
ARITH(mul)
ARITH(sub)
ARITH(subr)
ARITH(div)
ARITH(divr)
ARITH_REGISTER(fadd_sti, host_fadd, true, false)
ARITH_REGISTER(fmul_sti, host_fmul, true, false)
/* With ST(i) as the destination SUB is ST(i) − ST(0), which is what SUBR is to ST(0). */
ARITH_REGISTER(fsubr_sti, host_fsub, true, false)
ARITH_REGISTER(fsub_sti, host_fsubr, true, false)
ARITH_REGISTER(fdivr_sti, host_fdiv, true, false)
ARITH_REGISTER(fdiv_sti, host_fdivr, true, false)
ARITH_REGISTER(faddp, host_fadd, true, true)
ARITH_REGISTER(fmulp, host_fmul, true, true)
ARITH_REGISTER(fsubrp, host_fsub, true, true)
ARITH_REGISTER(fsubp, host_fsubr, true, true)
ARITH_REGISTER(fdivrp, host_fdiv, true, true)
ARITH_REGISTER(fdivp, host_fdivr, true, true)

/* ---- comparisons: C3 C2 C0, or ZF PF CF ---- */

typedef unsigned x87_compare_fn(const union fpu_reg *a, const void *b);

#define HOST_COMPARE(name, mnem, type)                                                                       \
    FPU_INLINE unsigned host_##name(const union fpu_reg *a, const void *b)                                   \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fldt %1\n\t" mnem " %2\n\t" HOST_STATUS "fstp %%st(0)"                             \
                         : "=&a"(sw)                                                                         \
                         : "m"(*a), "m"(*(const type *)b)                                                    \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }
#define HOST_COMPARE_REGISTER(name, mnem)                                                                    \
    FPU_INLINE unsigned host_##name(const union fpu_reg *a, const void *b)                                   \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fldt %2\n\tfldt %1\n\t" mnem " %%st(1)\n\t" HOST_STATUS                            \
                         "fstp %%st(0)\n\tfstp %%st(0)"                                                      \
                         : "=&a"(sw)                                                                         \
                         : "m"(*a), "m"(*(const union fpu_reg *)b)                                           \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }
HOST_COMPARE(fcom_m32, "fcoms", uint32_t)
HOST_COMPARE(fcom_m64, "fcoml", uint64_t)
HOST_COMPARE(ficom_m16, "ficoms", uint16_t)
HOST_COMPARE(ficom_m32, "ficoml", uint32_t)
HOST_COMPARE_REGISTER(fcom, "fcom")
HOST_COMPARE_REGISTER(fucom, "fucom")

#define CONDITION_CODES (FSW_C0 | FSW_C2 | FSW_C3)

FPU_INLINE void x87_set_codes(struct fpu *f, unsigned codes)
{
    f->fsw = (uint16_t)((f->fsw & ~CONDITION_CODES) | (codes & CONDITION_CODES));
}

/* b: another register's number, or -1 for none. */
FPU_INLINE void x87_compare(struct cpu *cpu, x87_compare_fn *fn, const void *value, int b, unsigned pops)
{
    struct fpu *f = &cpu->fpu;
    unsigned a = x87_top(f);
    if (fpu_unlikely(x87_empty(f, a) || (b >= 0 && x87_empty(f, (unsigned)b)))) {
        bool masked = x87_stack_fault(f, false);
        x87_set_codes(f, CONDITION_CODES);
        if (!masked)
            return;
    } else {
        unsigned sw;
        X87_HOST(f, sw, sw = fn(&f->r[a], value));
        x87_set_codes(f, sw);
        if (fpu_unlikely(x87_raise(f, sw) & BEFORE_RESULT))
            return;
    }
    for (unsigned i = 0; i < pops; i++)
        x87_pop(f);
}

#define COMPARE_MEMORY(name, host, bits, pops)                                                               \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        uint##bits##_t value = x87_operand##bits(cpu, in);                                                   \
        x87_compare(cpu, host, &value, -1, pops);                                                            \
    }
#define COMPARE_REGISTER(name, host, sti, pops)                                                              \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned b = x87_phys(&cpu->fpu, sti);                                                               \
        x87_compare(cpu, host, &cpu->fpu.r[b], (int)b, pops);                                                \
    }
COMPARE_MEMORY(fcom_m32, host_fcom_m32, 32, 0)
COMPARE_MEMORY(fcom_m64, host_fcom_m64, 64, 0)
COMPARE_MEMORY(ficom_m16, host_ficom_m16, 16, 0)
COMPARE_MEMORY(ficom_m32, host_ficom_m32, 32, 0)
COMPARE_MEMORY(fcomp_m32, host_fcom_m32, 32, 1)
COMPARE_MEMORY(fcomp_m64, host_fcom_m64, 64, 1)
COMPARE_MEMORY(ficomp_m16, host_ficom_m16, 16, 1)
COMPARE_MEMORY(ficomp_m32, host_ficom_m32, 32, 1)
COMPARE_REGISTER(fcom_st0, host_fcom, in->rm, 0)
COMPARE_REGISTER(fcom2, host_fcom, in->rm, 0)
COMPARE_REGISTER(fcomp_st0, host_fcom, in->rm, 1)
COMPARE_REGISTER(fcomp3, host_fcom, in->rm, 1)
COMPARE_REGISTER(fcomp5, host_fcom, in->rm, 1)
COMPARE_REGISTER(fcompp, host_fcom, 1, 2)
COMPARE_REGISTER(fucom, host_fucom, in->rm, 0)
COMPARE_REGISTER(fucomp, host_fucom, in->rm, 1)
COMPARE_REGISTER(fucompp, host_fucom, 1, 2)

/* FCOMI and its like: the condition codes stay, the EFLAGS are those of the same comparison. OF SF AF are
 * cleared in any case, ZF PF CF are left alone by an unmasked invalid operation (SDM; AMD's processors set
 * them). */
FPU_INLINE void x87_compare_eflags(struct cpu *cpu, const struct insn *in, x87_compare_fn *fn, bool pop)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f), b = x87_phys(f, in->rm);
    unsigned sw = CONDITION_CODES, unmasked = 0;
    if (fpu_unlikely(x87_empty(f, a) || x87_empty(f, b))) {
        if (!x87_stack_fault(f, false))
            unmasked = FSW_IE;
    } else {
        X87_HOST(f, sw, sw = fn(&f->r[a], &f->r[b]));
        unmasked = x87_raise(f, sw);
    }
    if (fpu_unlikely(unmasked & FSW_IE))
        cpu->status &= FLAG_CF | FLAG_PF | FLAG_ZF;
    else
        cpu->status = (sw & FSW_C0 ? FLAG_CF : 0) | (sw & FSW_C2 ? FLAG_PF : 0) | (sw & FSW_C3 ? FLAG_ZF : 0);
    if (pop && !(unmasked & BEFORE_RESULT))
        x87_pop(f);
}
void op_fcomi(struct cpu *cpu, const struct insn *in)
{
    x87_compare_eflags(cpu, in, host_fcom, false);
}
void op_fcomip(struct cpu *cpu, const struct insn *in)
{
    x87_compare_eflags(cpu, in, host_fcom, true);
}
void op_fucomi(struct cpu *cpu, const struct insn *in)
{
    x87_compare_eflags(cpu, in, host_fucom, false);
}
void op_fucomip(struct cpu *cpu, const struct insn *in)
{
    x87_compare_eflags(cpu, in, host_fucom, true);
}

void op_ftst(struct cpu *cpu, const struct insn *in)
{
    static const union fpu_reg zero;
    x87_begin(cpu);
    x87_note(cpu, in);
    x87_compare(cpu, host_fcom, &zero, -1, 0);
}

void op_fxam(struct cpu *cpu, const struct insn *in)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f);
    unsigned sign = f->r[a].sign_exponent & 0x8000 ? FSW_C1 : 0;
    uint16_t sw = FSW_C3 | FSW_C0; /* empty */
    if (!x87_empty(f, a))
        __asm__ volatile("fldt %1\n\tfxam\n\tfnstsw %%ax\n\tfstp %%st(0)"
                         : "=&a"(sw)
                         : "m"(f->r[a])
                         : HOST_CLOBBER);
    f->fsw = (uint16_t)((f->fsw & ~FSW_CONDITION) | (sw & CONDITION_CODES) | sign);
}

/* ---- ten bytes ---- */

FPU_INLINE void x87_read80(struct cpu *cpu, const struct insn *in, uint32_t ea, union fpu_reg *out)
{
    out->significand = mem_read64(cpu, in->seg, ea);
    out->sign_exponent = mem_read16(cpu, in->seg, ea + 8);
}
FPU_INLINE void x87_write80(struct cpu *cpu, const struct insn *in, uint32_t ea, const union fpu_reg *value)
{
    mem_check_write(cpu, in->seg, ea, 10);
    mem_write64(cpu, in->seg, ea, value->significand);
    mem_write16(cpu, in->seg, ea + 8, value->sign_exponent);
}

/* ---- loads ---- */

FPU_INLINE void x87_load(struct fpu *f, const union fpu_reg *value)
{
    f->fsw &= (uint16_t)~FSW_C1;
    x87_push(f, value);
}

/* True when ST(7) is free for a push. */
FPU_INLINE bool x87_room(struct fpu *f)
{
    if (fpu_likely(x87_empty(f, x87_phys(f, 7))))
        return true;
    if (x87_stack_fault(f, true))
        x87_push(f, &x87_indefinite);
    return false;
}

/* An unmasked denormal operand is loaded nonetheless: it is exact in the register's format. */
#define LOAD_REAL(bits, mnem)                                                                                \
    FPU_INLINE unsigned host_fld_m##bits(union fpu_reg *out, uint##bits##_t value)                           \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile(HOST_TOP_BEFORE mnem " %2\n\t" HOST_STATUS HOST_IF_TOP_EVEN "fstpt %0\n2:"          \
                         : "+m"(*out), "=&a"(sw)                                                             \
                         : "m"(value)                                                                        \
                         : "ecx", HOST_CLOBBER);                                                             \
        return sw;                                                                                           \
    }                                                                                                        \
    void op_fld_m##bits(struct cpu *cpu, const struct insn *in)                                              \
    {                                                                                                        \
        uint##bits##_t value = x87_operand##bits(cpu, in);                                                   \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result = {.significand = 0};                                                           \
        unsigned sw;                                                                                         \
        if (!x87_room(f))                                                                                    \
            return;                                                                                          \
        X87_HOST(f, sw, sw = host_fld_m##bits(&result, value));                                              \
        if (fpu_unlikely(x87_raise(f, sw) & FSW_IE))                                                         \
            return;                                                                                          \
        x87_push(f, &result);                                                                                \
    }
LOAD_REAL(32, "flds")
LOAD_REAL(64, "fldl")

void op_fld_m80(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    uint32_t ea = insn_ea(cpu, in);
    union fpu_reg value;
    x87_read80(cpu, in, ea, &value);
    x87_note_mem(cpu, in, ea);
    if (x87_room(&cpu->fpu))
        x87_load(&cpu->fpu, &value);
}

/* Integers and BCD are exact whatever the control word says, and raise nothing. */
#define HOST_EXACT_LOAD(mnem, result, value)                                                                 \
    __asm__ volatile(mnem " %1\n\tfstpt %0" : "=m"(result) : "m"(value) : HOST_CLOBBER)
#define LOAD_INTEGER(bits, mnem)                                                                             \
    void op_fild_m##bits(struct cpu *cpu, const struct insn *in)                                             \
    {                                                                                                        \
        uint##bits##_t value = x87_operand##bits(cpu, in);                                                   \
        union fpu_reg result;                                                                                \
        if (!x87_room(&cpu->fpu))                                                                            \
            return;                                                                                          \
        HOST_EXACT_LOAD(mnem, result, value);                                                                \
        x87_load(&cpu->fpu, &result);                                                                        \
    }
LOAD_INTEGER(16, "filds")
LOAD_INTEGER(32, "fildl")
LOAD_INTEGER(64, "fildll")

void op_fbld(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    uint32_t ea = insn_ea(cpu, in);
    union fpu_reg value, result;
    x87_read80(cpu, in, ea, &value);
    x87_note_mem(cpu, in, ea);
    if (!x87_room(&cpu->fpu))
        return;
    HOST_EXACT_LOAD("fbld", result, value);
    x87_load(&cpu->fpu, &result);
}

void op_fld_sti(struct cpu *cpu, const struct insn *in)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned source = x87_phys(f, in->rm);
    if (fpu_unlikely(x87_empty(f, source))) {
        if (x87_stack_fault(f, false))
            x87_push(f, &x87_indefinite);
        return;
    }
    if (!x87_room(f))
        return;
    union fpu_reg value = f->r[source];
    x87_load(f, &value);
}

/* ---- stores ---- */

typedef unsigned x87_store_fn(void *out, const union fpu_reg *a);

#define HOST_STORE(name, mnem, type)                                                                         \
    FPU_INLINE unsigned host_##name(void *out, const union fpu_reg *a)                                       \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fldt %2\n\t" mnem " %0\n\t" HOST_STATUS "fstp %%st(0)"                             \
                         : "+m"(*(type *)out), "=&a"(sw)                                                     \
                         : "m"(*a)                                                                           \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }
/* Instructions that only exist popping: an unmasked exception keeps the host's register. */
#define HOST_STORE_POP(name, mnem, type)                                                                     \
    FPU_INLINE unsigned host_##name(void *out, const union fpu_reg *a)                                       \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile(HOST_TOP_BEFORE "fldt %2\n\t" mnem " %0\n\t" HOST_STATUS HOST_IF_TOP_EVEN           \
                                         "fstp %%st(0)\n2:"                                                  \
                         : "+m"(*(type *)out), "=&a"(sw)                                                     \
                         : "m"(*a)                                                                           \
                         : "ecx", HOST_CLOBBER);                                                             \
        return sw;                                                                                           \
    }
struct x87_bcd {
    uint8_t bytes[10];
};
HOST_STORE(fst_m32, "fsts", uint32_t)
HOST_STORE(fst_m64, "fstl", uint64_t)
HOST_STORE(fist_m16, "fists", uint16_t)
HOST_STORE(fist_m32, "fistl", uint32_t)
HOST_STORE_POP(fist_m64, "fistpll", uint64_t)
HOST_STORE_POP(fisttp_m16, "fisttps", uint16_t)
HOST_STORE_POP(fisttp_m32, "fisttpl", uint32_t)
HOST_STORE_POP(fisttp_m64, "fisttpll", uint64_t)
HOST_STORE_POP(fbstp, "fbstp", struct x87_bcd)

/* Computes what is to be written. True: write it, then call x87_store_done() with the status word. */
FPU_INLINE bool x87_store(struct cpu *cpu, x87_store_fn *fn, void *out, unsigned *sw)
{
    struct fpu *f = &cpu->fpu;
    unsigned a = x87_top(f);
    if (fpu_unlikely(x87_empty(f, a))) {
        *sw = FSW_IE | FSW_SF; /* `out` holds the indefinite value already */
        if (f->fcw & FSW_IE)
            return true;
        x87_stack_fault(f, false);
        return false;
    }
    X87_HOST(f, *sw, *sw = fn(out, &f->r[a]));
    *sw &= ~FSW_SF;
    if (fpu_likely(!(*sw & ~f->fcw & BEFORE_STORE)))
        return true;
    x87_raise(f, *sw);
    return false;
}

FPU_INLINE void x87_store_done(struct fpu *f, unsigned sw, bool pop)
{
    x87_raise(f, sw);
    f->fsw |= sw & FSW_SF;
    if (pop)
        x87_pop(f);
}

#define STORE(name, host, bits, indefinite, pop)                                                             \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        x87_begin(cpu);                                                                                      \
        uint32_t ea = insn_ea(cpu, in);                                                                      \
        uint##bits##_t value = (uint##bits##_t)(indefinite);                                                 \
        unsigned sw;                                                                                         \
        bool store = x87_store(cpu, host, &value, &sw);                                                      \
        if (store) {                                                                                         \
            mem_write##bits(cpu, in->seg, ea, value);                                                        \
            x87_store_done(&cpu->fpu, sw, pop);                                                              \
        }                                                                                                    \
        x87_note_mem(cpu, in, ea);                                                                           \
    }
STORE(fst_m32, host_fst_m32, 32, 0xffc00000u, false)
STORE(fstp_m32, host_fst_m32, 32, 0xffc00000u, true)
STORE(fst_m64, host_fst_m64, 64, 0xfff8000000000000u, false)
STORE(fstp_m64, host_fst_m64, 64, 0xfff8000000000000u, true)
STORE(fist_m16, host_fist_m16, 16, 0x8000u, false)
STORE(fistp_m16, host_fist_m16, 16, 0x8000u, true)
STORE(fist_m32, host_fist_m32, 32, 0x80000000u, false)
STORE(fistp_m32, host_fist_m32, 32, 0x80000000u, true)
STORE(fistp_m64, host_fist_m64, 64, 0x8000000000000000u, true)
STORE(fisttp_m16, host_fisttp_m16, 16, 0x8000u, true)
STORE(fisttp_m32, host_fisttp_m32, 32, 0x80000000u, true)
STORE(fisttp_m64, host_fisttp_m64, 64, 0x8000000000000000u, true)

void op_fbstp(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    uint32_t ea = insn_ea(cpu, in);
    union {
        struct x87_bcd bcd;
        union fpu_reg reg;
    } value = {.bcd = {{[7] = 0xc0, [8] = 0xff, [9] = 0xff}}};
    unsigned sw;
    if (x87_store(cpu, host_fbstp, &value.bcd, &sw)) {
        x87_write80(cpu, in, ea, &value.reg);
        x87_store_done(&cpu->fpu, sw, true);
    }
    x87_note_mem(cpu, in, ea);
}

void op_fstp_m80(struct cpu *cpu, const struct insn *in)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    uint32_t ea = insn_ea(cpu, in);
    unsigned a = x87_top(f);
    bool empty = x87_empty(f, a);
    if (!empty || (f->fcw & FSW_IE)) {
        x87_write80(cpu, in, ea, empty ? &x87_indefinite : &f->r[a]);
        f->fsw &= (uint16_t)~FSW_C1;
        if (empty)
            x87_stack_fault(f, false);
        x87_pop(f);
    } else {
        x87_stack_fault(f, false);
    }
    x87_note_mem(cpu, in, ea);
}

FPU_INLINE void x87_copy_to(struct cpu *cpu, const struct insn *in, bool pop)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f), dst = x87_phys(f, in->rm);
    if (fpu_unlikely(x87_empty(f, a))) {
        x87_underflow(f, dst, pop);
        return;
    }
    union fpu_reg value = f->r[a];
    f->fsw &= (uint16_t)~FSW_C1;
    x87_put(f, dst, &value);
    if (pop)
        x87_pop(f);
}
void op_fst_sti(struct cpu *cpu, const struct insn *in)
{
    x87_copy_to(cpu, in, false);
}
#define FSTP(name)                                                                                           \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        x87_copy_to(cpu, in, true);                                                                          \
    }
FSTP(fstp_sti)
FSTP(fstp8)
FSTP(fstp9)
/* D9 D8+i is no FSTP when ST(0) is empty: then it only pops, without an exception. */
void op_fstp1(struct cpu *cpu, const struct insn *in)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f);
    f->fsw &= (uint16_t)~FSW_C1;
    if (!x87_empty(f, a)) {
        union fpu_reg value = f->r[a];
        x87_put(f, x87_phys(f, in->rm), &value);
    }
    x87_pop(f);
}

/* ---- the stack, signs, conditional moves ---- */

FPU_INLINE void x87_exchange(struct cpu *cpu, const struct insn *in)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f), b = x87_phys(f, in->rm);
    union fpu_reg va = f->r[a], vb = f->r[b];
    if (fpu_unlikely(x87_empty(f, a) || x87_empty(f, b))) {
        if (!x87_stack_fault(f, false))
            return;
        if (x87_empty(f, a))
            va = x87_indefinite;
        if (x87_empty(f, b))
            vb = x87_indefinite;
    } else {
        f->fsw &= (uint16_t)~FSW_C1;
    }
    x87_put(f, a, &vb);
    x87_put(f, b, &va);
}
#define FXCH(name)                                                                                           \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        x87_exchange(cpu, in);                                                                               \
    }
FXCH(fxch)
FXCH(fxch4)
FXCH(fxch7)

void op_ffree(struct cpu *cpu, const struct insn *in)
{
    x87_begin(cpu);
    x87_note(cpu, in);
    cpu->fpu.fsw &= (uint16_t)~FSW_C1;
    x87_mark_empty(&cpu->fpu, x87_phys(&cpu->fpu, in->rm));
}
void op_ffreep(struct cpu *cpu, const struct insn *in)
{
    op_ffree(cpu, in);
    x87_pop(&cpu->fpu);
}
FPU_INLINE void x87_rotate(struct cpu *cpu, const struct insn *in, unsigned by)
{
    x87_begin(cpu);
    x87_note(cpu, in);
    cpu->fpu.fsw &= (uint16_t)~FSW_C1;
    x87_set_top(&cpu->fpu, x87_top(&cpu->fpu) + by);
}
void op_fincstp(struct cpu *cpu, const struct insn *in)
{
    x87_rotate(cpu, in, 1);
}
void op_fdecstp(struct cpu *cpu, const struct insn *in)
{
    x87_rotate(cpu, in, 7);
}

FPU_INLINE void x87_sign(struct cpu *cpu, const struct insn *in, uint16_t keep, uint16_t flip)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f);
    if (fpu_unlikely(x87_empty(f, a))) {
        x87_underflow(f, a, false);
        return;
    }
    f->fsw &= (uint16_t)~FSW_C1;
    f->r[a].sign_exponent = (f->r[a].sign_exponent & keep) ^ flip;
}
void op_fchs(struct cpu *cpu, const struct insn *in)
{
    x87_sign(cpu, in, 0xffff, 0x8000);
}
void op_fabs(struct cpu *cpu, const struct insn *in)
{
    x87_sign(cpu, in, 0x7fff, 0);
}

FPU_INLINE void x87_move_if(struct cpu *cpu, const struct insn *in, bool condition)
{
    struct fpu *f = &cpu->fpu;
    x87_begin(cpu);
    x87_note(cpu, in);
    unsigned a = x87_top(f), b = x87_phys(f, in->rm);
    if (fpu_unlikely(x87_empty(f, a) || x87_empty(f, b))) {
        x87_underflow(f, a, false);
        return;
    }
    if (condition) {
        union fpu_reg value = f->r[b];
        x87_put(f, a, &value);
    }
}
#define FCMOV(cc, condition)                                                                                 \
    void op_fcmov##cc(struct cpu *cpu, const struct insn *in)                                                \
    {                                                                                                        \
        x87_move_if(cpu, in, condition);                                                                     \
    }
FCMOV(b, cpu->status &FLAG_CF)
FCMOV(e, cpu->status &FLAG_ZF)
FCMOV(be, cpu->status &(FLAG_CF | FLAG_ZF))
FCMOV(u, cpu->status &FLAG_PF)
FCMOV(nb, !(cpu->status & FLAG_CF))
FCMOV(ne, !(cpu->status & FLAG_ZF))
FCMOV(nbe, !(cpu->status & (FLAG_CF | FLAG_ZF)))
FCMOV(nu, !(cpu->status & FLAG_PF))
