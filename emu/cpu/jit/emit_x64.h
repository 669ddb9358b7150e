/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * An assembler for what the translator emits: bytes to a place that grows, REX, ModRM and SIB put together,
 * forward jumps filled in later.
 *
 * Code is written through the writable mapping of the code memory and runs in the executable one; jumps
 * within it are relative, so they are the same in both. An opcode with 0x0f00 set is of the two-byte map. A
 * register number is the host's, 0…15; EMIT_NONE is an absent base or index. Room is the caller's business:
 * see JIT_BLOCK_ROOM. SDM vol. 2, chapter 2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum host_register { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
#define EMIT_NONE (-1)

struct emit {
    uint8_t *at;
};

static inline void emit8(struct emit *e, unsigned value)
{
    *e->at++ = (uint8_t)value;
}
static inline void emit16(struct emit *e, unsigned value)
{
    uint16_t v = (uint16_t)value;
    memcpy(e->at, &v, 2);
    e->at += 2;
}
static inline void emit32(struct emit *e, uint32_t value)
{
    memcpy(e->at, &value, 4);
    e->at += 4;
}
static inline void emit64(struct emit *e, uint64_t value)
{
    memcpy(e->at, &value, 8);
    e->at += 8;
}

/* Operand sizes: 1, 2, 4 and 8 bytes; size 1 with numbers 4…7 and no REX is AH…BH. */
static inline void emit_prefixes(struct emit *e, unsigned size, unsigned opcode, int reg, int index, int base,
                                 bool force)
{
    unsigned rex = (size == 8 ? 8u : 0) | (reg & 8 ? 4u : 0) | (index > 7 ? 2u : 0) | (base > 7 ? 1u : 0);

    if (size == 2)
        emit8(e, 0x66);
    if (rex || force)
        emit8(e, 0x40 | rex);
    if (opcode & 0x0f00)
        emit8(e, 0x0f);
    emit8(e, opcode & 0xff);
}

/* opcode reg, rm: both registers */
static inline void emit_rr(struct emit *e, unsigned size, unsigned opcode, int reg, int rm)
{
    emit_prefixes(e, size, opcode, reg, 0, rm, false);
    emit8(e, 0xc0u | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}

static inline void emit_modrm_memory(struct emit *e, int reg, int base, int index, unsigned scale,
                                     int32_t disp)
{
    unsigned field = (unsigned)(reg & 7) << 3, mod;

    if (base == EMIT_NONE) {
        emit8(e, field | 4);
        emit8(e, scale << 6 | (unsigned)(index == EMIT_NONE ? 4 : index & 7) << 3 | 5);
        emit32(e, (uint32_t)disp);
        return;
    }
    mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (int8_t)disp ? 1 : 2;
    if (index != EMIT_NONE || (base & 7) == 4) {
        emit8(e, mod << 6 | field | 4);
        emit8(e, scale << 6 | (unsigned)(index == EMIT_NONE ? 4 : index & 7) << 3 | (unsigned)(base & 7));
    } else {
        emit8(e, mod << 6 | field | (unsigned)(base & 7));
    }
    if (mod == 1)
        emit8(e, (uint8_t)disp);
    else if (mod == 2)
        emit32(e, (uint32_t)disp);
}

/* opcode reg, [base + (index << scale) + disp] */
static inline void emit_rm(struct emit *e, unsigned size, unsigned opcode, int reg, int base, int index,
                           unsigned scale, int32_t disp)
{
    emit_prefixes(e, size, opcode, reg, index, base, false);
    emit_modrm_memory(e, reg, base, index, scale, disp);
}

#define EMIT_LOAD  0x8b
#define EMIT_STORE 0x89
#define EMIT_LEA   0x8d
static inline void emit_load(struct emit *e, unsigned size, int reg, int base, int32_t disp)
{
    emit_rm(e, size, EMIT_LOAD, reg, base, EMIT_NONE, 0, disp);
}
static inline void emit_store(struct emit *e, unsigned size, int reg, int base, int32_t disp)
{
    emit_rm(e, size, EMIT_STORE, reg, base, EMIT_NONE, 0, disp);
}
static inline void emit_lea(struct emit *e, unsigned size, int reg, int base, int32_t disp)
{
    emit_rm(e, size, EMIT_LEA, reg, base, EMIT_NONE, 0, disp);
}
static inline void emit_move(struct emit *e, unsigned size, int to, int from)
{
    emit_rr(e, size, EMIT_LOAD, to, from);
}
static inline void emit_imm32(struct emit *e, int reg, uint32_t value)
{
    emit_prefixes(e, 4, 0xb8u | (unsigned)(reg & 7), 0, 0, reg, false);
    emit32(e, value);
}
static inline void emit_imm64(struct emit *e, int reg, uint64_t value)
{
    emit_prefixes(e, 8, 0xb8u | (unsigned)(reg & 7), 0, 0, reg, false);
    emit64(e, value);
}
/* VEX-coded: map 2 is 0F 38, 3 is 0F 3A; `prefix` 1 is 66, 2 F3, 3 F2. rm is a register, or memory for which
 * the caller adds ModRM and the rest. SDM vol. 2, 2.3. */
enum emit_vex_prefix { VEX_NONE, VEX_66, VEX_F3, VEX_F2 };
static inline void emit_vex(struct emit *e, unsigned size, unsigned map, enum emit_vex_prefix prefix,
                            unsigned opcode, int reg, int second, int index, int base)
{
    emit8(e, 0xc4);
    emit8(e, (reg & 8 ? 0 : 0x80u) | (index > 7 ? 0 : 0x40u) | (base > 7 ? 0 : 0x20u) | map);
    emit8(e, (size == 8 ? 0x80u : 0) | (unsigned)(~second & 15) << 3 | (unsigned)prefix);
    emit8(e, opcode);
}
static inline void emit_modrm_register(struct emit *e, int reg, int rm)
{
    emit8(e, 0xc0u | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}
/* pext to, from, mask */
static inline void emit_pext(struct emit *e, int to, int from, int mask)
{
    emit_vex(e, 4, 2, VEX_F3, 0xf5, to, from, 0, mask);
    emit_modrm_register(e, to, mask);
}
static inline void emit_pext_memory(struct emit *e, int to, int from, int base, int32_t disp)
{
    emit_vex(e, 4, 2, VEX_F3, 0xf5, to, from, 0, base);
    emit_modrm_memory(e, to, base, EMIT_NONE, 0, disp);
}
/* shlx, shrx, sarx to, from, count; rorx to, from, imm */
static inline void emit_shift_x(struct emit *e, unsigned size, enum emit_vex_prefix which, int to, int from,
                                int count)
{
    emit_vex(e, size, 2, which, 0xf7, to, count, 0, from);
    emit_modrm_register(e, to, from);
}
static inline void emit_rorx(struct emit *e, int to, int from, unsigned count)
{
    emit_vex(e, 4, 3, VEX_F2, 0xf0, to, 0, 0, from);
    emit_modrm_register(e, to, from);
    emit8(e, count);
}
static inline void emit_not(struct emit *e, unsigned size, int reg)
{
    emit_prefixes(e, size, 0xf7, 0, 0, reg, false);
    emit_modrm_register(e, 2, reg);
}
static inline void emit_push_host(struct emit *e, int reg)
{
    emit_prefixes(e, 4, 0x50u | (unsigned)(reg & 7), 0, 0, reg, false);
}
static inline void emit_pop_host(struct emit *e, int reg)
{
    emit_prefixes(e, 4, 0x58u | (unsigned)(reg & 7), 0, 0, reg, false);
}
/* ADD OR ADC SBB AND SUB XOR CMP by number, with an immediate */
enum emit_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
static inline void emit_alu_imm(struct emit *e, unsigned size, enum emit_alu alu, int reg, int32_t value)
{
    bool small = value == (int8_t)value;

    emit_rr(e, size, small ? 0x83 : 0x81, (int)alu, reg);
    if (small)
        emit8(e, (uint8_t)value);
    else
        emit32(e, (uint32_t)value);
}
enum emit_shift { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAL, SHIFT_SAR };
static inline void emit_shift_imm(struct emit *e, unsigned size, enum emit_shift shift, int reg,
                                  unsigned count)
{
    emit_rr(e, size, 0xc1, (int)shift, reg);
    emit8(e, count);
}

/* Jumps: each returns the place of its displacement, for emit_fill(). */
enum emit_condition {
    CC_O,
    CC_NO,
    CC_B,
    CC_AE,
    CC_E,
    CC_NE,
    CC_BE,
    CC_A,
    CC_S,
    CC_NS,
    CC_P,
    CC_NP,
    CC_L,
    CC_GE,
    CC_LE,
    CC_G
};
static inline void emit_fill(uint8_t *place, const uint8_t *target)
{
    int32_t distance = (int32_t)(target - (place + 4));
    memcpy(place, &distance, 4);
}
static inline uint8_t *emit_jump(struct emit *e)
{
    emit8(e, 0xe9);
    emit32(e, 0);
    return e->at - 4;
}
static inline uint8_t *emit_jump_if(struct emit *e, unsigned condition)
{
    emit8(e, 0x0f);
    emit8(e, 0x80 | condition);
    emit32(e, 0);
    return e->at - 4;
}
/* jrcxz: returns the place of its one byte of displacement. */
static inline uint8_t *emit_jump_if_zero(struct emit *e)
{
    emit8(e, 0xe3);
    emit8(e, 0);
    return e->at - 1;
}
static inline void emit_fill_short(uint8_t *place, const uint8_t *target)
{
    *place = (uint8_t)(target - (place + 1));
}
static inline void emit_jump_to(struct emit *e, const uint8_t *target)
{
    emit_fill(emit_jump(e), target);
}
static inline void emit_call_to(struct emit *e, const uint8_t *target)
{
    emit8(e, 0xe8);
    emit32(e, 0);
    emit_fill(e->at - 4, target);
}
