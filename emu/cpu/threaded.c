/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Threaded execution of a block: each instruction's go function does it and calls the next one's.
 *
 * A go function either knows an instruction well, or is go_plain()/go_plain_end(), which call the
 * instruction's run function with everything in order (eip, insn_eip). The ones here are for what is executed
 * most: 32-bit code in flat segments (BLOCK_MODE_FLAT), 32-bit addresses. They touch nothing but registers,
 * flags and plain host memory; where an access is not that, they go to go_plain() before they have changed
 * anything. So they cannot fault, need no EIP, and cannot make the block stale (a page with code has no write
 * tag).
 *
 * Within a block cpu->eip stays at the block's first instruction. The compiler turns the calls at the ends
 * into jumps when it optimises; when it does not, the depth is bounded by the block's length.
 *
 * Memory forms come in three variants: base + displacement, any address, any address with a segment check
 * (FS, GS).
 */
#include "emu/cpu/block.h"
#include "emu/cpu/interp.h"

#define GO(name) static void go_##name(struct cpu *cpu, const struct insn *in)
#define NEXT                                                                                                 \
    do {                                                                                                     \
        in++;                                                                                                \
        in->go(cpu, in);                                                                                     \
        return;                                                                                              \
    } while (0)

/* Any instruction, by its run function; then the next one. */
GO(plain)
{
    uint32_t start = cpu->eip;

    cpu->insn_eip = start + in->end - in->length;
    cpu->eip = start + in->end;
    in->run(cpu, in);
    if (__builtin_expect(cpu->block_stale, 0))
        return;
    cpu->eip = start;
    NEXT;
}

/* Any instruction that ends its block. */
GO(plain_end)
{
    cpu->insn_eip = cpu->eip + in->end - in->length;
    cpu->eip += in->end;
    in->run(cpu, in);
}

/* Behind the last instruction of a block that falls through. */
GO(fall_through)
{
    cpu->eip += in->end;
}

/* ---- memory ---- */

/* The address: _b base + displacement, _x anything, _s anything in any segment. */
#define LINEAR_b(bytes, write) (cpu->gpr[in->base] + in->disp)
#define LINEAR_x(bytes, write) (cpu->gpr[in->base] + (cpu->gpr[in->index] << in->scale) + in->disp)
#define LINEAR_s(bytes, write) segment_linear(cpu, in, bytes, write)

/* 0xffffffff when the access is not plainly allowed: at the end of the last page no access wider than a byte
 * is plain either, and a byte there is left to go_plain() too. */
static inline uint32_t segment_linear(struct cpu *cpu, const struct insn *in, unsigned bytes, bool write)
{
    uint32_t offset = LINEAR_x(bytes, write);
    const struct segment *s = &cpu->seg[in->seg];

    if (__builtin_expect((write ? s->can_write : s->can_read) && offset >= s->min &&
                             (uint64_t)offset + (bytes - 1) <= s->max,
                         1))
        return s->base + offset;
    return 0xffffffff;
}

/* Declares `host`, the place of the operand, or leaves for the plain way. */
#define OPERAND(kind, N, tag, write, otherwise)                                                              \
    uint32_t linear = LINEAR_##kind(N / 8, write);                                                           \
    const struct tlb_entry *slot = tlb_slot(cpu->tlb_data, linear);                                          \
    uint8_t *host = (uint8_t *)(slot->addend + linear);                                                      \
    if (!ACCESS_TAG_MATCHES(slot->tag, linear, N / 8) || (#kind[0] == 's' && linear == 0xffffffff)) {        \
        otherwise(cpu, in);                                                                                  \
        return;                                                                                              \
    }
/* Guest addresses are as misaligned as they like; x86 does not mind, the compiler is told by memcpy. */
#define LOAD(N, host)                                                                                        \
    ({                                                                                                       \
        T(N) load_value;                                                                                     \
        memcpy(&load_value, (host), sizeof(load_value));                                                     \
        load_value;                                                                                          \
    })
#define STORE(N, host, value)                                                                                \
    do {                                                                                                     \
        T(N) store_value = (T(N))(value);                                                                    \
        memcpy((host), &store_value, sizeof(store_value));                                                   \
    } while (0)

/* Three variants of a function that reads, writes or changes its memory operand. */
#define MEMORY_VARIANT(name, kind, N, tag, write, body)                                                      \
    GO(name##_##kind)                                                                                        \
    {                                                                                                        \
        OPERAND(kind, N, tag, write, go_plain)                                                               \
        body;                                                                                                \
        NEXT;                                                                                                \
    }
#define MEMORY(name, N, tag, write, body)                                                                    \
    MEMORY_VARIANT(name, b, N, tag, write, body)                                                             \
    MEMORY_VARIANT(name, x, N, tag, write, body)                                                             \
    MEMORY_VARIANT(name, s, N, tag, write, body)
#define READS(name, N, body)  MEMORY(name, N, read, false, body)
#define WRITES(name, N, body) MEMORY(name, N, write, true, body)
#define REGISTER(name, body)                                                                                 \
    GO(name)                                                                                                 \
    {                                                                                                        \
        body;                                                                                                \
        NEXT;                                                                                                \
    }

#define G32  REG(32, in->reg)
#define E32  REG(32, in->rm)
#define G8   REG(8, in->reg)
#define E8   REG(8, in->rm)
#define IMM8 ((uint8_t)in->imm)

// clang-format off

/* ---- moves ---- */
REGISTER(mov_ev_gv, E32 = G32)
REGISTER(mov_gv_ev, G32 = E32)
REGISTER(mov_eb_gb, E8 = G8)
REGISTER(mov_gb_eb, G8 = E8)
REGISTER(mov_zv_iz, G32 = in->imm)
REGISTER(mov_zb_ib, G8 = IMM8)
REGISTER(mov_ev_iz, E32 = in->imm)
REGISTER(lea, G32 = LINEAR_x(4, false))
REGISTER(lea_b, G32 = LINEAR_b(4, false))
REGISTER(xchg_ev_gv, { uint32_t old = E32; E32 = G32; G32 = old; })
REGISTER(xchg_eax_zv, { uint32_t old = REG(32, EAX); REG(32, EAX) = G32; G32 = old; })
REGISTER(movzx_gv_eb, G32 = E8)
REGISTER(movzx_gv_ew, G32 = (uint16_t)E32)
REGISTER(movsx_gv_eb, G32 = (uint32_t)(int8_t)E8)
REGISTER(movsx_gv_ew, G32 = (uint32_t)(int16_t)E32)
REGISTER(cwde, REG(32, EAX) = (uint32_t)(int16_t)REG(32, EAX))
REGISTER(cdq, REG(32, EDX) = (int32_t)REG(32, EAX) < 0 ? 0xffffffff : 0)
REGISTER(bswap, G32 = __builtin_bswap32(G32))
REGISTER(nop, )
READS(load32, 32, G32 = LOAD(32, host))
READS(load16, 16, REG(16, in->reg) = LOAD(16, host))
READS(load8, 8, G8 = *host)
READS(load_zx8, 8, G32 = *host)
READS(load_zx16, 16, G32 = LOAD(16, host))
READS(load_sx8, 8, G32 = (uint32_t)(int8_t)*host)
READS(load_sx16, 16, G32 = (uint32_t)(int16_t)LOAD(16, host))
READS(load_eax, 32, REG(32, EAX) = LOAD(32, host))
READS(load_al, 8, REG(8, EAX) = *host)
WRITES(store32, 32, STORE(32, host, G32))
WRITES(store16, 16, STORE(16, host, G32))
WRITES(store8, 8, *host = G8)
WRITES(store_imm32, 32, STORE(32, host, in->imm))
WRITES(store_imm8, 8, *host = IMM8)
WRITES(store_eax, 32, STORE(32, host, REG(32, EAX)))
WRITES(store_al, 8, *host = REG(8, EAX))

/* ---- arithmetic ---- */
#define ARITHMETIC(id)                                                                                       \
    REGISTER(id##_ev_gv, E32 = host_##id##32(cpu, E32, G32))                                                 \
    REGISTER(id##_gv_ev, G32 = host_##id##32(cpu, G32, E32))                                                 \
    REGISTER(id##_ev_imm, E32 = host_##id##32(cpu, E32, in->imm))                                            \
    REGISTER(id##_eax_imm, REG(32, EAX) = host_##id##32(cpu, REG(32, EAX), in->imm))                         \
    REGISTER(id##_eb_gb, E8 = host_##id##8(cpu, E8, G8))                                                     \
    REGISTER(id##_gb_eb, G8 = host_##id##8(cpu, G8, E8))                                                     \
    REGISTER(id##_eb_imm, E8 = host_##id##8(cpu, E8, IMM8))                                                  \
    REGISTER(id##_al_imm, REG(8, EAX) = host_##id##8(cpu, REG(8, EAX), IMM8))                                \
    READS(id##_g_m32, 32, G32 = host_##id##32(cpu, G32, LOAD(32, host)))                                     \
    READS(id##_g_m8, 8, G8 = host_##id##8(cpu, G8, *host))                                                   \
    WRITES(id##_m32_g, 32, STORE(32, host, host_##id##32(cpu, LOAD(32, host), G32)))                         \
    WRITES(id##_m32_imm, 32, STORE(32, host, host_##id##32(cpu, LOAD(32, host), in->imm)))                   \
    WRITES(id##_m8_g, 8, *host = host_##id##8(cpu, *host, G8))                                               \
    WRITES(id##_m8_imm, 8, *host = host_##id##8(cpu, *host, IMM8))
#define COMPARE(id)                                                                                          \
    REGISTER(id##_ev_gv, host_##id##32(cpu, E32, G32))                                                       \
    REGISTER(id##_ev_imm, host_##id##32(cpu, E32, in->imm))                                                  \
    REGISTER(id##_eax_imm, host_##id##32(cpu, REG(32, EAX), in->imm))                                        \
    REGISTER(id##_eb_gb, host_##id##8(cpu, E8, G8))                                                          \
    REGISTER(id##_eb_imm, host_##id##8(cpu, E8, IMM8))                                                       \
    REGISTER(id##_al_imm, host_##id##8(cpu, REG(8, EAX), IMM8))                                              \
    READS(id##_m32_g, 32, host_##id##32(cpu, LOAD(32, host), G32))                                           \
    READS(id##_m32_imm, 32, host_##id##32(cpu, LOAD(32, host), in->imm))                                     \
    READS(id##_m8_g, 8, host_##id##8(cpu, *host, G8))                                                        \
    READS(id##_m8_imm, 8, host_##id##8(cpu, *host, IMM8))
ARITHMETIC(add)
ARITHMETIC(or)
ARITHMETIC(adc)
ARITHMETIC(sbb)
ARITHMETIC(and)
ARITHMETIC(sub)
ARITHMETIC(xor)
COMPARE(cmp)
REGISTER(cmp_gv_ev, host_cmp32(cpu, G32, E32))
REGISTER(cmp_gb_eb, host_cmp8(cpu, G8, E8))
READS(cmp_g_m32, 32, host_cmp32(cpu, G32, LOAD(32, host)))
READS(cmp_g_m8, 8, host_cmp8(cpu, G8, *host))
READS(cmp_m16_imm, 16, host_cmp16(cpu, LOAD(16, host), (uint16_t)in->imm))
COMPARE(test)

REGISTER(inc_zv, G32 = host_inc32(cpu, G32))
REGISTER(dec_zv, G32 = host_dec32(cpu, G32))
REGISTER(inc_ev, E32 = host_inc32(cpu, E32))
REGISTER(dec_ev, E32 = host_dec32(cpu, E32))
REGISTER(neg_ev, E32 = host_neg32(cpu, E32))
REGISTER(not_ev, E32 = ~E32)
WRITES(inc_m32, 32, STORE(32, host, host_inc32(cpu, LOAD(32, host))))
WRITES(dec_m32, 32, STORE(32, host, host_dec32(cpu, LOAD(32, host))))
REGISTER(imul_gv_ev, G32 = host_imul32(cpu, G32, E32))
REGISTER(imul_gv_ev_imm, G32 = host_imul32(cpu, E32, in->imm))
REGISTER(mul_ev, { uint32_t source = E32; host_mul32_wide(cpu, &REG(32, EAX), &REG(32, EDX), source); })
READS(imul_g_m32, 32, G32 = host_imul32(cpu, G32, LOAD(32, host)))
READS(mul_m32, 32, { uint32_t source = LOAD(32, host); host_mul32_wide(cpu, &REG(32, EAX), &REG(32, EDX), source); })

#define SHIFT(id)                                                                                            \
    REGISTER(id##_ev_imm, E32 = host_##id##32(cpu, E32, IMM8))                                               \
    REGISTER(id##_ev_1, E32 = host_##id##32(cpu, E32, 1))                                                    \
    REGISTER(id##_ev_cl, E32 = host_##id##32(cpu, E32, REG(8, ECX)))                                         \
    REGISTER(id##_eb_imm, E8 = host_##id##8(cpu, E8, IMM8))
SHIFT(rol)
SHIFT(ror)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)
REGISTER(shld_ev_gv_imm, E32 = host_shld32(cpu, E32, G32, IMM8))
REGISTER(shrd_ev_gv_imm, E32 = host_shrd32(cpu, E32, G32, IMM8))
REGISTER(bt_ev_imm, host_bt32(cpu, E32, in->imm))
REGISTER(bt_ev_gv, host_bt32(cpu, E32, G32))

/* ---- stack ---- */
// clang-format on

/* Declares `top`, ESP + offset, and `place`, where that is, or leaves for the plain way. */
#define STACK_PLACE(tag, offset, otherwise)                                                                  \
    uint32_t top = cpu->gpr[ESP] + (uint32_t)(offset);                                                       \
    const struct tlb_entry *stack_slot = tlb_slot(cpu->tlb_data, top);                                       \
    uint8_t *place = (uint8_t *)(stack_slot->addend + top);                                                  \
    if (!ACCESS_TAG_MATCHES(stack_slot->tag, top, 4)) {                                                      \
        otherwise(cpu, in);                                                                                  \
        return;                                                                                              \
    }

GO(push_zv)
{
    STACK_PLACE(write, -4, go_plain)
    STORE(32, place, G32);
    cpu->gpr[ESP] = top;
    NEXT;
}

GO(push_imm)
{
    STACK_PLACE(write, -4, go_plain)
    STORE(32, place, in->imm);
    cpu->gpr[ESP] = top;
    NEXT;
}

GO(pop_zv)
{
    STACK_PLACE(read, 0, go_plain)
    cpu->gpr[ESP] = top + 4;
    G32 = LOAD(32, place);
    NEXT;
}

GO(leave)
{
    uint32_t linear = cpu->gpr[EBP];
    const struct tlb_entry *slot = tlb_slot(cpu->tlb_data, linear);

    if (!ACCESS_TAG_MATCHES(slot->read, linear, 4)) {
        go_plain(cpu, in);
        return;
    }
    cpu->gpr[EBP] = LOAD(32, (const uint8_t *)(slot->addend + linear));
    cpu->gpr[ESP] = linear + 4;
    NEXT;
}

/* ---- the ends of blocks: the limit of CS is 4 GiB ---- */

GO(jmp)
{
    cpu->eip += in->end + in->imm;
}

GO(jmp_ev)
{
    cpu->eip = E32;
}

GO(call)
{
    STACK_PLACE(write, -4, go_plain_end)
    uint32_t next = cpu->eip + in->end;
    STORE(32, place, next);
    cpu->gpr[ESP] = top;
    cpu->eip = next + in->imm;
}

GO(call_ev)
{
    STACK_PLACE(write, -4, go_plain_end)
    uint32_t target = E32; /* CALL ESP: the value before */
    STORE(32, place, cpu->eip + in->end);
    cpu->gpr[ESP] = top;
    cpu->eip = target;
}

GO(ret)
{
    STACK_PLACE(read, 0, go_plain_end)
    cpu->gpr[ESP] = top + 4;
    cpu->eip = LOAD(32, place);
}

GO(ret_imm)
{
    STACK_PLACE(read, 0, go_plain_end)
    cpu->gpr[ESP] = top + 4 + in->imm;
    cpu->eip = LOAD(32, place);
}

/* JMP and CALL through memory, PUSH of memory: the operand first, then the stack. */
#define THROUGH_MEMORY(kind)                                                                                 \
    GO(jmp_m_##kind)                                                                                         \
    {                                                                                                        \
        OPERAND(kind, 32, read, false, go_plain_end)                                                         \
        cpu->eip = LOAD(32, host);                                                                           \
    }                                                                                                        \
    GO(call_m_##kind)                                                                                        \
    {                                                                                                        \
        OPERAND(kind, 32, read, false, go_plain_end)                                                         \
        uint32_t target = LOAD(32, host);                                                                    \
        {                                                                                                    \
            STACK_PLACE(write, -4, go_plain_end)                                                             \
            STORE(32, place, cpu->eip + in->end);                                                            \
            cpu->gpr[ESP] = top;                                                                             \
        }                                                                                                    \
        cpu->eip = target;                                                                                   \
    }                                                                                                        \
    GO(push_m_##kind)                                                                                        \
    {                                                                                                        \
        OPERAND(kind, 32, read, false, go_plain)                                                             \
        uint32_t value = LOAD(32, host);                                                                     \
        {                                                                                                    \
            STACK_PLACE(write, -4, go_plain)                                                                 \
            STORE(32, place, value);                                                                         \
            cpu->gpr[ESP] = top;                                                                             \
        }                                                                                                    \
        NEXT;                                                                                                \
    }
// clang-format off
THROUGH_MEMORY(b)
THROUGH_MEMORY(x)
THROUGH_MEMORY(s)
// clang-format on

/* ---- conditions ---- */

#define CONDITION_FUNCTIONS(number, condition)                                                               \
    GO(jump_if_##number)                                                                                     \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
                                                                                                             \
        cpu->eip += in->end + ((condition) ? in->imm : 0);                                                   \
    }                                                                                                        \
    GO(set_if_##number)                                                                                      \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
                                                                                                             \
        E8 = (condition) != 0;                                                                               \
        NEXT;                                                                                                \
    }                                                                                                        \
    GO(move_if_##number)                                                                                     \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
                                                                                                             \
        G32 = (condition) ? E32 : G32;                                                                       \
        NEXT;                                                                                                \
    }
// clang-format off
FLAGS_CONDITIONS(CONDITION_FUNCTIONS)

#define CONDITION_TABLE(prefix)                                                                              \
    {                                                                                                        \
        prefix##0, prefix##1, prefix##2, prefix##3, prefix##4, prefix##5, prefix##6, prefix##7,              \
        prefix##8, prefix##9, prefix##10, prefix##11, prefix##12, prefix##13, prefix##14, prefix##15,        \
    }
static insn_fn *const go_jump_if[16] = CONDITION_TABLE(go_jump_if_);
static insn_fn *const go_set_if[16] = CONDITION_TABLE(go_set_if_);
static insn_fn *const go_move_if[16] = CONDITION_TABLE(go_move_if_);

/* ---- which row has which ---- */

struct go_row {
    insn_fn *reg;           /* register form, or the only one */
    insn_fn *mem[3];        /* _b, _x, _s */
    insn_fn *const *reg_cc; /* instead of reg: by condition */
};
#define R(name) .reg = go_##name
#define M(name) .mem = {go_##name##_b, go_##name##_x, go_##name##_s}
#define ARITHMETIC_ROWS(id)                                                                                  \
    [INSN_##id##_ev_gv] = {R(id##_ev_gv), M(id##_m32_g)},                                                    \
    [INSN_##id##_gv_ev] = {R(id##_gv_ev), M(id##_g_m32)},                                                    \
    [INSN_##id##_ev_iz] = {R(id##_ev_imm), M(id##_m32_imm)},                                                 \
    [INSN_##id##_ev_sib] = {R(id##_ev_imm), M(id##_m32_imm)},                                                \
    [INSN_##id##_eax_iz] = {R(id##_eax_imm)},                                                                \
    [INSN_##id##_eb_gb] = {R(id##_eb_gb), M(id##_m8_g)},                                                     \
    [INSN_##id##_gb_eb] = {R(id##_gb_eb), M(id##_g_m8)},                                                     \
    [INSN_##id##_eb_ib] = {R(id##_eb_imm), M(id##_m8_imm)},                                                  \
    [INSN_##id##_al_ib] = {R(id##_al_imm)}
#define SHIFT_ROWS(id)                                                                                       \
    [INSN_##id##_ev_ib] = {R(id##_ev_imm)},                                                                  \
    [INSN_##id##_ev_1] = {R(id##_ev_1)},                                                                     \
    [INSN_##id##_ev_cl] = {R(id##_ev_cl)},                                                                   \
    [INSN_##id##_eb_ib] = {R(id##_eb_imm)}

/* For 32-bit operands, and for rows that do not depend on operand size. */
static const struct go_row go_rows[INSN_COUNT] = {
    ARITHMETIC_ROWS(add), ARITHMETIC_ROWS(or), ARITHMETIC_ROWS(adc), ARITHMETIC_ROWS(sbb), ARITHMETIC_ROWS(and),
    ARITHMETIC_ROWS(sub), ARITHMETIC_ROWS(xor), ARITHMETIC_ROWS(cmp),
    [INSN_test_ev_gv] = {R(test_ev_gv), M(test_m32_g)},
    [INSN_test_ev_iz] = {R(test_ev_imm), M(test_m32_imm)},
    [INSN_test_eax_iz] = {R(test_eax_imm)},
    [INSN_test_eb_gb] = {R(test_eb_gb), M(test_m8_g)},
    [INSN_test_eb_ib] = {R(test_eb_imm), M(test_m8_imm)},
    [INSN_test_al_ib] = {R(test_al_imm)},
    SHIFT_ROWS(rol), SHIFT_ROWS(ror), SHIFT_ROWS(shl), SHIFT_ROWS(shr), SHIFT_ROWS(sar),
    [INSN_shld_ev_gv_ib] = {R(shld_ev_gv_imm)},
    [INSN_shrd_ev_gv_ib] = {R(shrd_ev_gv_imm)},
    [INSN_bt_ev_ib] = {R(bt_ev_imm)},
    [INSN_bt_ev_gv] = {R(bt_ev_gv)},
    [INSN_inc_zv] = {R(inc_zv)},
    [INSN_dec_zv] = {R(dec_zv)},
    [INSN_inc_ev] = {R(inc_ev), M(inc_m32)},
    [INSN_dec_ev] = {R(dec_ev), M(dec_m32)},
    [INSN_neg_ev] = {R(neg_ev)},
    [INSN_not_ev] = {R(not_ev)},
    [INSN_imul_gv_ev] = {R(imul_gv_ev), M(imul_g_m32)},
    [INSN_imul_gv_ev_iz] = {R(imul_gv_ev_imm)},
    [INSN_imul_gv_ev_sib] = {R(imul_gv_ev_imm)},
    [INSN_mul_ev] = {R(mul_ev), M(mul_m32)},
    [INSN_mov_ev_gv] = {R(mov_ev_gv), M(store32)},
    [INSN_mov_gv_ev] = {R(mov_gv_ev), M(load32)},
    [INSN_mov_eb_gb] = {R(mov_eb_gb), M(store8)},
    [INSN_mov_gb_eb] = {R(mov_gb_eb), M(load8)},
    [INSN_mov_ev_iz] = {R(mov_ev_iz), M(store_imm32)},
    [INSN_mov_eb_ib] = {M(store_imm8)},
    [INSN_mov_zv_iz] = {R(mov_zv_iz)},
    [INSN_mov_zb_ib] = {R(mov_zb_ib)},
    [INSN_mov_eax_ov] = {M(load_eax)},
    [INSN_mov_al_ob] = {M(load_al)},
    [INSN_mov_ov_eax] = {M(store_eax)},
    [INSN_mov_ob_al] = {M(store_al)},
    [INSN_movzx_gv_eb] = {R(movzx_gv_eb), M(load_zx8)},
    [INSN_movzx_gv_ew] = {R(movzx_gv_ew), M(load_zx16)},
    [INSN_movsx_gv_eb] = {R(movsx_gv_eb), M(load_sx8)},
    [INSN_movsx_gv_ew] = {R(movsx_gv_ew), M(load_sx16)},
    [INSN_lea] = {.mem = {go_lea_b, go_lea, go_lea}},
    [INSN_xchg_ev_gv] = {R(xchg_ev_gv)},
    [INSN_xchg_eax_zv] = {R(xchg_eax_zv)},
    [INSN_cbw] = {R(cwde)},
    [INSN_cwd] = {R(cdq)},
    [INSN_bswap] = {R(bswap)},
    [INSN_nop] = {R(nop)},
    [INSN_pause] = {R(nop)},
    [INSN_nop_ev] = {R(nop), .mem = {go_nop, go_nop, go_nop}},
    [INSN_push_zv] = {R(push_zv)},
    [INSN_push_iz] = {R(push_imm)},
    [INSN_push_sib] = {R(push_imm)},
    [INSN_push_ev] = {.reg = NULL, M(push_m)},
    [INSN_pop_zv] = {R(pop_zv)},
    [INSN_leave] = {R(leave)},
    [INSN_jmp_jb] = {R(jmp)},
    [INSN_jmp_jz] = {R(jmp)},
    [INSN_jmp_ev] = {R(jmp_ev), M(jmp_m)},
    [INSN_call_jz] = {R(call)},
    [INSN_call_ev] = {R(call_ev), M(call_m)},
    [INSN_ret] = {R(ret)},
    [INSN_ret_iw] = {R(ret_imm)},
    [INSN_jcc_jb] = {.reg_cc = go_jump_if},
    [INSN_jcc_jz] = {.reg_cc = go_jump_if},
    [INSN_setcc] = {.reg_cc = go_set_if},
    [INSN_cmovcc] = {.reg_cc = go_move_if},
};
/* 16-bit operands: */
static const struct go_row go_rows_16[INSN_COUNT] = {
    [INSN_mov_ev_gv] = {M(store16)},
    [INSN_mov_gv_ev] = {M(load16)},
    [INSN_cmp_ev_iz] = {M(cmp_m16_imm)},
    [INSN_cmp_ev_sib] = {M(cmp_m16_imm)},
    [INSN_nop_ev] = {R(nop), .mem = {go_nop, go_nop, go_nop}},
    [INSN_xchg_eax_zv] = {NULL},
};
#undef R
#undef M
// clang-format on

/* The function for this instruction in a flat block, or NULL. */
static insn_fn *go_flat(const struct insn *in)
{
    const struct insn_row *row = &insn_rows[in->op];
    const struct go_row *go =
        (in->flags & INSN_OP16) && row->by_size ? &go_rows_16[in->op] : &go_rows[in->op];

    if (in->flags & INSN_ADDR16)
        return NULL;
    if (!(in->flags & INSN_MEM))
        return go->reg_cc ? go->reg_cc[in->opcode & 15] : go->reg;
    if (in->seg == SEG_FS || in->seg == SEG_GS ||
        (in->seg == SEG_CS && (row->attr & (ATTR_STORE | ATTR_RMW))))
        return go->mem[2];
    return go->mem[in->index != GPR_ZERO];
}

void threaded_prepare(struct block *b, unsigned mode)
{
    struct insn *in = b->insns;

    for (unsigned i = 0; i < b->count; i++, in++) {
        insn_fn *go = mode & BLOCK_MODE_FLAT ? go_flat(in) : NULL;
        bool last = insn_rows[in->op].attr & ATTR_END;

        in->go = go ? go : last ? go_plain_end : go_plain;
    }
    *in = (struct insn){.go = go_fall_through, .end = (uint8_t)b->bytes};
}
