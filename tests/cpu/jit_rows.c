/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Every row of the optable through translator and interpreter, one instruction at a time.
 *
 *   jit-rows [--seed N] [--rounds N] [--row NAME] [--case N] [--index NAME]
 *
 * For each row and each form of its operand (register, memory) random encodings are made: operand and address
 * sizes, segments, LOCK, REP; with random registers, flags, FPU state and stacks, in ring 0, ring 3 and
 * 16-bit code. System rows find selectors of all kinds, tables, gates, TSSs and port numbers to work on. The
 * instruction lies among HLTs, exceptions end in HLTs, so each case is short. Afterwards all of the CPU's
 * state and all memory must be the same.
 *
 * The rows covered are printed, out of all, and it is a failure when one was never executed, or never to its
 * end in ring 0 although it can be. A case that differs is printed with its seed, which repeats it.
 */
#include "emu/cpu/jit/jit.h"
#include "emu/cpu/lockstep_internal.h"
#include "tests/cpu/fp_operands.h"
#include "tests/cpu/jit_lockstep_fp.h"
#include "tests/cpu/random.h"
#include "tests/cpu/rig.h"

#include <stdio.h>
#include <string.h>

enum {
    RAM_SIZE = 1 << 20,
    AT_GDT = 0x1000,
    AT_LDT = 0x1800,
    AT_IDT = 0x2000,
    AT_TSS = 0x2800, /* the running one; the other two pages on */
    AT_TSS_OTHER = 0x2c00,
    AT_HANDLERS = 0x3000,
    AT_CODE = 0x10000, /* 8 KiB of HLT */
    CODE_SIZE = 0x2000,
    AT_DATA = 0x40000,
    DATA_SIZE = 0x4000,
    AT_STACK = 0x50000, /* the middle of 8 KiB */
    AT_STACK0 = 0x54000,
};

enum mode { RING0, RING3, CODE16, MODES };
static const char *const mode_names[MODES] = {"ring 0", "ring 3", "16-bit code"};

enum selector {
    SELECT_CODE = 0x10,
    SELECT_DATA = 0x18,
    SELECT_CODE3 = 0x23,
    SELECT_DATA3 = 0x2b,
    SELECT_TSS = 0x30,
    SELECT_TSS_OTHER = 0x38,
    SELECT_LDT = 0x40,
    SELECT_CODE16 = 0x50,
};

static const uint16_t selectors[] = {
    0x00, 0x03, 0x10, 0x10, 0x18, 0x18, 0x1b, 0x20, 0x23, 0x28, 0x2b, 0x30,   0x38,
    0x40, 0x48, 0x4b, 0x50, 0x58, 0x60, 0x68, 0x70, 0x0c, 0x14, 0xf8, 0x7ffc,
};

/* ---- random choices ---- */

static uint32_t some_selector(struct random *r)
{
    return selectors[random32(r) % G_N_ELEMENTS(selectors)];
}
/* Where HLTs are. */
static uint32_t some_target(struct random *r)
{
    return AT_CODE + 0x1000 + random32(r) % 0xf00;
}

/* ---- making an instruction ---- */

struct code {
    uint8_t bytes[32];
    unsigned length;
};

static void put(struct code *c, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        c->bytes[c->length++] = (uint8_t)(value >> 8 * i);
}

static void put_address32(struct random *r, struct code *c, unsigned modrm)
{
    static const uint8_t bases[] = {EBX, ESI, EDI, EBP};
    unsigned reg = modrm & 0x38;

    switch (random32(r) % 6) {
    case 0: /* absolute */
        put(c, 1, reg | 5);
        put(c, 4, AT_DATA + random32(r) % (DATA_SIZE - 512));
        break;
    case 1: /* anything */
        put(c, 1, reg | 0x84);
        put(c, 1, random32(r) & 0xff);
        put(c, 4, random_percent(r, 80) ? random32(r) % 128 : random32(r));
        break;
    case 2: /* ESP */
        put(c, 1, reg | 0x44);
        put(c, 1, 0x24);
        put(c, 1, random32(r) % 64);
        break;
    case 3:
        put(c, 1, reg | 0x80 | bases[random32(r) % 4]);
        put(c, 4, random32(r) % 512);
        break;
    default:
        put(c, 1, reg | 0x40 | bases[random32(r) % 4]);
        put(c, 1, random_percent(r, 70) ? random32(r) & 0x70 : random32(r) & 0x7f);
        break;
    }
}

static void put_address16(struct random *r, struct code *c, unsigned modrm)
{
    unsigned mode = random32(r) % 3, rm = random32(r) & 7;

    put(c, 1, (modrm & 0x38) | mode << 6 | rm);
    put(c, mode == 1 ? 1 : mode == 2 || rm == 6 ? 2 : 0, random32(r) & 0x7f);
}

static void put_immediates(struct random *r, const struct insn_row *row, struct code *c, bool op16,
                           bool addr16)
{
    for (unsigned n = 0; n < 3; n++) {
        switch (row->operand[n]) {
        case OPERAND_Ib:
        case OPERAND_sIb:
            put(c, 1, row->mnemonic[0] == 'e' ? random32(r) % 3 : random32(r)); /* ENTER's level */
            break;
        case OPERAND_Iw:
            put(c, 2, random32(r) % 64);
            break;
        case OPERAND_Iz:
            put(c, op16 ? 2 : 4, random32(r));
            break;
        case OPERAND_Id:
            put(c, 4, random32(r));
            break;
        case OPERAND_Ob:
        case OPERAND_Ov:
            put(c, addr16 ? 2 : 4, addr16 ? random32(r) & 0xfff : AT_DATA + random32(r) % (DATA_SIZE - 8));
            break;
        case OPERAND_Jb: /* into HLTs, and not back to itself */
            put(c, 1, random32(r) % 0x40);
            break;
        case OPERAND_Jz:
            put(c, op16 ? 2 : 4, random32(r) % 0x800);
            break;
        case OPERAND_Ap:
            put(c, op16 ? 2 : 4, some_target(r));
            put(c, 2, some_selector(r));
            break;
        default: /* no bytes */
            break;
        }
    }
}

static bool has_memory_form(const struct insn_row *row)
{
    return (row->ext & INSN_EXT_MODRM) && !(row->ext & (INSN_EXT_REG | INSN_EXT_EXACT));
}
static bool has_register_form(const struct insn_row *row)
{
    return !(row->ext & INSN_EXT_MODRM) || !(row->ext & INSN_EXT_MEM);
}

static bool prefix_allowed(const struct insn_row *row, uint8_t prefix)
{
    return row->prefix == PREFIX_ANY ||
           (prefix != 0x66 && row->prefix == PREFIX_NP && prefix != 0xf2 && prefix != 0xf3);
}

static void make_code(struct random *r, const struct insn_row *row, bool memory, bool code16, struct code *c)
{
    bool prefix66 = random_percent(r, 25) && prefix_allowed(row, 0x66),
         prefix67 = random_percent(r, code16 ? 40 : 8);
    bool op16 = code16 != prefix66, addr16 = code16 != prefix67;
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

    c->length = 0;
    if (random_percent(r, 15))
        put(c, 1, segments[random32(r) % 6]);
    if (memory && (row->attr & ATTR_LOCK) && random_percent(r, 25))
        put(c, 1, 0xf0);
    if ((row->attr & ATTR_REP) && random_percent(r, 50))
        put(c, 1, random_percent(r, 50) ? 0xf2 : 0xf3);
    if (prefix67)
        put(c, 1, 0x67);
    if (prefix66)
        put(c, 1, 0x66);
    if (row->prefix > PREFIX_NP)
        put(c, 1, row->prefix == PREFIX_66 ? 0x66 : row->prefix == PREFIX_F3 ? 0xf3 : 0xf2);
    if (row->map)
        put(c, 1, 0x0f);
    put(c, 1,
        row->opcode + (row->attr & ATTR_COND     ? random32(r) & 15
                       : row->attr & ATTR_PLUS_R ? random32(r) & 7
                                                 : 0));
    if (row->ext & INSN_EXT_MODRM) {
        unsigned modrm = row->ext & INSN_EXT_EXACT ? row->ext & 0xff : (random32(r) & 0x3f) | 0xc0;

        if (row->ext & INSN_EXT_OPCODE)
            modrm = (modrm & 0xc7) | (row->ext & 7) << 3;
        if (!memory)
            put(c, 1, modrm);
        else if (addr16)
            put_address16(r, c, modrm);
        else
            put_address32(r, c, modrm);
    }
    put_immediates(r, row, c, op16, addr16);
}

/* ---- the two machines ---- */

static uint64_t descriptor(uint32_t base, uint32_t limit, unsigned type_dpl_p, unsigned flags)
{
    return (uint64_t)(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type_dpl_p << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static void fill_tables(uint8_t *ram)
{
    const uint64_t gdt[] = {
        0,
        0,
        descriptor(0, 0xfffff, 0x9b, 0xc),                         /* 10 code */
        descriptor(0, 0xfffff, 0x93, 0xc),                         /* 18 data */
        descriptor(0, 0xfffff, 0xfb, 0xc),                         /* 20 code, DPL 3 */
        descriptor(0, 0xfffff, 0xf3, 0xc),                         /* 28 data, DPL 3 */
        descriptor(AT_TSS, 0x67, 0x8b, 0),                         /* 30 TSS, busy */
        descriptor(AT_TSS_OTHER, 0x67, 0x89, 0),                   /* 38 TSS */
        descriptor(AT_LDT, 0xff, 0x82, 0),                         /* 40 LDT */
        (uint64_t)SELECT_CODE << 16 | AT_HANDLERS | 0xecull << 40, /* 48 call gate, DPL 3 */
        descriptor(0, 0xfffff, 0x9a, 0x8),                         /* 50 16-bit code */
        descriptor(0, 0xfffff, 0x9e, 0xc),                         /* 58 conforming code, not accessed */
        descriptor(AT_DATA, 0xfff, 0x92, 0x4),                     /* 60 small data */
        descriptor(AT_DATA, 0xfff, 0x96, 0x4),                     /* 68 expand-down data */
        descriptor(0, 0xfffff, 0x12, 0xc),                         /* 70 not present */
    };

    memcpy(ram + AT_GDT, gdt, sizeof(gdt));
    memcpy(ram + AT_LDT, gdt, sizeof(gdt));
    for (uint32_t v = 0; v < 256; v++) {
        uint32_t gate[2] = {SELECT_CODE << 16 | (AT_HANDLERS + v * 16), v & 1 ? 0xee00 : 0x8f00};

        memcpy(ram + AT_IDT + v * 8, gate, sizeof(gate));
        ram[AT_HANDLERS + v * 16] = 0xf4;
    }
    for (unsigned n = 0; n < 2; n++) {
        uint32_t *tss = (uint32_t *)(void *)(ram + (n ? AT_TSS_OTHER : AT_TSS));

        tss[0] = n ? SELECT_TSS : SELECT_TSS_OTHER;
        tss[1] = AT_STACK0;
        tss[2] = SELECT_DATA;
        tss[8] = AT_CODE + 0x1800;
        tss[9] = FLAG_ONE;
        for (unsigned i = 10; i < 18; i++)
            tss[i] = AT_DATA + 16 * i;
        tss[18] = tss[20] = tss[21] = tss[22] = tss[23] = SELECT_DATA;
        tss[19] = SELECT_CODE;
        tss[24] = 0;
        tss[25] = 0x68 << 16;
    }
}

/* Stacks are what returns and POPs look at. */
static void fill_stack(struct random *r, uint8_t *ram, uint32_t esp, bool words, bool segment)
{
    unsigned kind = segment && random_percent(r, 80) ? 3 : random32(r) % 3;

    for (unsigned i = 0; i < 16; i++) {
        uint32_t value = random32(r);

        if (kind == 0) /* IRET's, RETF's */
            value = i == 0   ? some_target(r)
                    : i == 1 ? (random_percent(r, 50) ? SELECT_CODE : some_selector(r))
                    : i == 2 ? (value & (random_percent(r, 20) ? 0x7fd7 : 0xcd5)) | FLAG_ONE
                    : i == 3 ? AT_STACK - 64 + (random_percent(r, 50) ? 0 : value % 32)
                             : some_selector(r);
        else if (kind == 1)
            value = i ? some_selector(r) : some_target(r);
        else if (kind == 3)
            value = random_percent(r, 30) ? SELECT_DATA : some_selector(r);
        memcpy(ram + ((esp + i * (words ? 2 : 4)) & (RAM_SIZE - 1)), &value, words ? 2 : 4);
    }
}

struct test_case {
    const struct insn_row *row;
    enum mode mode;
    struct code code;
    uint32_t eip, gpr[8], eflags, cr0_bits;
    uint16_t ds;
    uint64_t seed;
};

static void make_case(struct test_case *t, const struct insn_row *row, bool memory, uint64_t seed)
{
    struct random r = {seed};
    bool system = !(row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE)) && (row->attr & ATTR_NOTEST);

    t->seed = seed;
    t->row = row;
    t->mode = random_percent(&r, 60) ? RING0 : random_percent(&r, 50) ? RING3 : CODE16;
    t->eip = AT_CODE + 0x100 + random32(&r) % 64;
    if (random_percent(&r, 5)) /* across a page's border */
        t->eip = AT_CODE + 0x1000 - 1 - random32(&r) % 6;
    make_code(&r, row, memory, t->mode == CODE16, &t->code);
    for (unsigned i = 0; i < 8; i++)
        t->gpr[i] = random_percent(&r, 30) ? random32(&r) % 8 : random32(&r);
    for (unsigned i = EBX; i < 8; i++)
        t->gpr[i] = AT_DATA + 0x400 + random32(&r) % 0x2000;
    if (random_percent(&r, 70))
        for (unsigned i = EBX; i < 8; i++)
            t->gpr[i] &= ~15u;
    if (system && random_percent(&r, 60))
        for (unsigned i = EAX; i <= EDX; i++)
            t->gpr[i] = some_selector(&r);
    if (row == &insn_rows[INSN_rdmsr] || row == &insn_rows[INSN_wrmsr] || row == &insn_rows[INSN_rdpmc]) {
        static const uint32_t msrs[] = {0x174, 0x175, 0x176, 0x1a0, 0x277, 0x2ff, 0x200, 0x250, 0x8b, 0x17};

        t->gpr[ECX] = msrs[random32(&r) % G_N_ELEMENTS(msrs)];
        if (random_percent(&r, 70))
            t->gpr[EDX] = 0;
        if (random_percent(&r, 50))
            t->gpr[EAX] = 0;
        if (row == &insn_rows[INSN_rdpmc])
            t->gpr[ECX] = random32(&r) % 3;
    }
    if (row == &insn_rows[INSN_mov_cr_r] || row == &insn_rows[INSN_lmsw])
        for (unsigned i = EAX; i <= EDX; i++)
            t->gpr[i] =
                random_percent(&r, 70)
                    ? (random32(&r) & (CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM)) | CR0_PE | CR0_ET
                    : random32(&r);
    if (row == &insn_rows[INSN_ltr])
        for (unsigned i = 0; i < 8; i++)
            t->gpr[i] = i >= EBX ? t->gpr[i] : random_percent(&r, 50) ? SELECT_TSS_OTHER : t->gpr[i];
    if (row == &insn_rows[INSN_sysexit]) {
        t->gpr[EDX] = some_target(&r);
        t->gpr[ECX] = AT_STACK;
    }
    if ((row->attr & ATTR_REP) || row->attr & ATTR_BRANCH)
        t->gpr[ECX] = random32(&r) % 24;
    t->gpr[ESP] = AT_STACK - 4 * (random32(&r) % 64) - (random_percent(&r, 10) ? random32(&r) % 4 : 0);
    if (row->attr & ATTR_BRANCH && random_percent(&r, 80)) { /* an indirect one's target */
        t->gpr[EAX] = some_target(&r);
        t->gpr[ECX] = random_percent(&r, 50) ? t->gpr[ECX] : some_target(&r);
    }
    t->eflags = FLAG_ONE | (random32(&r) & (FLAG_STATUS | (random_percent(&r, 20) ? FLAG_DF : 0) | FLAG_IF));
    if (random_percent(&r, 10))
        t->eflags |= FLAG_IOPL;
    if (random_percent(&r, 3))
        t->eflags |= FLAG_NT;
    if (random_percent(&r, 1))
        t->eflags |= FLAG_TF;
    if (random_percent(&r, 4))
        t->eflags |= FLAG_AC;
    t->cr0_bits = random_percent(&r, 20) ? CR0_AM : 0;
    t->ds = random_percent(&r, 8) ? 0x60 : 0;
}

static void side_fill(struct rig *s, const struct test_case *t)
{
    struct random r = {t->seed ^ 0x5555};
    uint8_t *ram = physmap_ram(s->mem);

    cpu_code_written(s->cpu, 0, RAM_SIZE);
    fill_tables(ram);
    memset(ram + AT_CODE, 0xf4, CODE_SIZE);
    memcpy(ram + t->eip, t->code.bytes, t->code.length);
    lockstep_fp_memory(t->seed, ram + AT_DATA);
    memcpy(ram + AT_DATA + LOCKSTEP_FP_SIZE, ram + AT_DATA, DATA_SIZE - LOCKSTEP_FP_SIZE);
    if ((t->row->attr & ATTR_NOTEST) && !(t->row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE))) {
        /* pointers, selectors, tables: {limit, base} of the GDT, {EIP, selector} */
        bool table = t->row == &insn_rows[INSN_lgdt] || t->row == &insn_rows[INSN_lidt];
        bool near = t->row->attr & ATTR_BRANCH;

        for (uint32_t i = 0; i < DATA_SIZE; i += 16) {
            uint32_t value[4] = {near || random_percent(&r, 80) ? some_target(&r) : some_selector(&r),
                                 some_selector(&r), random32(&r), some_target(&r)};

            if (t->row->operand[0] == OPERAND_Mp && random_percent(&r, 70))
                value[0] = some_target(&r), value[1] = SELECT_CODE;
            else if (random_percent(&r, 60))
                value[1] = value[2] = random_percent(&r, 50) ? SELECT_DATA : SELECT_CODE;
            if (t->row == &insn_rows[INSN_ltr] && random_percent(&r, 50))
                value[0] = SELECT_TSS_OTHER;
            if (table) {
                value[0] = (t->row == &insn_rows[INSN_lgdt] ? AT_GDT : AT_IDT) << 16 | 0x7ff;
                value[1] = 0;
            }
            memcpy(ram + AT_DATA + i, value, sizeof(value));
        }
    }
    fill_stack(&r, ram, t->gpr[ESP], random_percent(&r, 20),
               (t->row->attr & (ATTR_STACK | ATTR_NOTEST)) == (ATTR_STACK | ATTR_NOTEST));
}

static void set_segment(struct cpu *cpu, enum segment_register seg, uint16_t selector, uint32_t base,
                        uint32_t max, uint32_t attr)
{
    segment_set_cache(cpu, seg, selector, base, max, attr);
}

static void side_begin(struct rig *s, const struct test_case *t)
{
    struct cpu_boot_state state = {
        .eip = t->eip, .gdt_base = AT_GDT, .gdt_limit = 0x77, .cs = SELECT_CODE, .ds = SELECT_DATA};
    struct cpu *cpu = s->cpu;
    const uint32_t data =
        SEG_ATTR_G | SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED;
    const uint32_t ring3 = t->mode == RING3 ? SEG_ATTR_DPL : 0;
    const uint16_t ds = t->mode == RING3 ? SELECT_DATA3 : SELECT_DATA;

    cpu_reset(cpu);
    cpu_set_boot_state(cpu, &state);
    cpu->cr0 |= t->cr0_bits;
    cpu->idtr = (struct descriptor_table){.base = AT_IDT, .limit = 0x7ff};
    cpu->tr = (struct segment){
        .selector = SELECT_TSS, .base = AT_TSS, .limit = 0x67, .max = 0x67, .attr = SEG_ATTR_P | 0xb00};
    cpu->ldtr = (struct segment){
        .selector = SELECT_LDT, .base = AT_LDT, .limit = 0xff, .max = 0xff, .attr = SEG_ATTR_P | 0x200};
    for (unsigned i = 0; i < SEG_COUNT; i++)
        set_segment(cpu, (enum segment_register)i, ds, 0, 0xffffffff, data | ring3);
    if (t->mode == CODE16)
        set_segment(cpu, SEG_CS, SELECT_CODE16, 0, 0xffffffff, (data | SEG_ATTR_CODE) & ~SEG_ATTR_DB);
    else
        set_segment(cpu, SEG_CS, t->mode == RING3 ? SELECT_CODE3 : SELECT_CODE, 0, 0xffffffff,
                    data | SEG_ATTR_CODE | ring3);
    set_segment(cpu, SEG_FS, ds, 0x1234, 0x5ffff, (data | ring3) & ~SEG_ATTR_G);
    if (t->ds)
        set_segment(cpu, SEG_DS, t->ds, 0, AT_DATA + 0x1fff, (data | ring3) & ~SEG_ATTR_G);
    cpu->sysenter_cs = SELECT_CODE;
    cpu->sysenter_esp = AT_STACK0;
    cpu->sysenter_eip = AT_CODE + 0x1900;
    memcpy(cpu->gpr, t->gpr, sizeof(t->gpr));
    lockstep_fp_state(t->seed, cpu);
    cpu_set_eflags(cpu, t->eflags);
    cpu_update_mode(cpu);
}

/* ---- comparing ---- */

struct coverage {
    uint32_t executed, completed;
};

static bool memory_agrees(const struct rig *a, const struct rig *b, GString *why)
{
    const uint8_t *x = physmap_ram(a->mem), *y = physmap_ram(b->mem);
    unsigned shown = 0;

    if (!memcmp(x, y, RAM_SIZE))
        return true;
    for (uint32_t i = 0; i < RAM_SIZE && shown < 16; i++)
        if (x[i] != y[i]) {
            g_string_append_printf(why, "  memory at %08x: interpreter %02x translator %02x\n", i, x[i],
                                   y[i]);
            shown++;
        }
    return false;
}

/* The next case begins with the same memory on both sides. */
static void memory_copy(struct rig *to, const struct rig *from)
{
    cpu_code_written(to->cpu, 0, RAM_SIZE);
    memcpy(physmap_ram(to->mem), physmap_ram(from->mem), RAM_SIZE);
}

static bool case_agrees(struct rig *a, struct rig *b, const struct test_case *t, struct coverage *c,
                        GString *why)
{
    struct lockstep_state *start = g_aligned_alloc0(1, sizeof(*start), 64);
    enum cpu_stop x, y;
    uint64_t exceptions;
    bool same = true;

    side_fill(a, t);
    side_fill(b, t);
    side_begin(a, t);
    side_begin(b, t);
    memcpy(start->bytes, a->cpu, sizeof(start->bytes));
    exceptions = a->cpu->stats.exceptions;
    x = rig_run_watched(a);
    y = rig_run_watched(b);
    c->executed++;
    if (t->mode == RING0 && a->cpu->stats.exceptions == exceptions && x == CPU_STOP_HALTED)
        c->completed++;
    if (x == CPU_STOP_REQUESTED && y == CPU_STOP_REQUESTED) { /* it never ends: nothing to compare */
        g_aligned_free(start);
        memory_copy(b, a);
        return true;
    }
    if (x != y) {
        g_string_append_printf(why, "  interpreter stops with %d, translator with %d\n", x, y);
        same = false;
    }
    if (a->cpu->eip != b->cpu->eip) {
        g_string_append_printf(why, "  eip: interpreter %08x, translator %08x\n", a->cpu->eip, b->cpu->eip);
        same = false;
    }
    if (!lockstep_states_agree(a->cpu, b->cpu)) {
        lockstep_describe_states(lockstep_cpu(start), a->cpu, b->cpu, why);
        same = false;
    }
    g_aligned_free(start);
    return memory_agrees(a, b, why) && same;
}

static void print_case(const struct test_case *t, bool memory, const char *why)
{
    struct insn in;
    char text[96] = "not an instruction";

    if (insn_decode(t->code.bytes, sizeof(t->code.bytes), t->mode != CODE16, false, NULL, &in) == DECODE_OK)
        insn_format(&in, t->eip, text, sizeof(text));
    printf("row %s, %s form, %s, seed %" G_GUINT64_FORMAT ": %08x  ", t->row->name,
           memory ? "memory" : "register", mode_names[t->mode], t->seed, t->eip);
    for (unsigned i = 0; i < t->code.length; i++)
        printf("%02x", t->code.bytes[i]);
    printf("  %s\n%s", text, why);
}

/* ---- all rows ---- */

/* Rows that end in an exception by their nature: undefined ones, no counters, HLT in ring 3. */
static bool never_completes(const struct insn_row *row)
{
    static const uint16_t ids[] = {INSN_ud2, INSN_ud1, INSN_ud0, INSN_rdpmc, INSN_sysexit};

    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++)
        if (row == &insn_rows[ids[i]])
            return true;
    return false;
}

static uint64_t case_seed(uint64_t seed, unsigned row, bool memory, unsigned round)
{
    return seed + ((uint64_t)row << 40 | (uint64_t)memory << 39 | round);
}

int main(int argc, char **argv)
{
    gint64 seed = 1;
    gint rounds = g_strcmp0(g_getenv("NETLAB_TEST_FULL"), "1") ? 40 : 1000;
    g_autofree char *only = NULL, *index = NULL;
    gint64 single = -1;
    const GOptionEntry entries[] = {
        {"seed", 0, 0, G_OPTION_ARG_INT64, &seed, "of all cases (default 1)", "N"},
        {"rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "cases of each form of a row", "N"},
        {"row", 0, 0, G_OPTION_ARG_STRING, &only, "this row alone", "NAME"},
        {"case", 0, 0, G_OPTION_ARG_INT64, &single, "the case with this printed seed alone; with --row", "N"},
        {"index", 0, 0, G_OPTION_ARG_STRING, &index, "how tables are indexed: pext, shift, sse", "NAME"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    g_autofree struct coverage *coverage = g_new0(struct coverage, INSN_COUNT);
    struct rig interpreter = {0}, translator = {0};
    unsigned failures = 0, cases = 0, executed = 0, completed = 0, wanted = 0;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        printf("%s\n", error->message);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!rig_make_pair(&interpreter, &translator, RAM_SIZE, index))
        return 77;
    for (unsigned row = 0; row < INSN_COUNT; row++) {
        unsigned before = failures;

        if (only && !g_str_equal(only, insn_rows[row].name))
            continue;
        for (unsigned memory = 0; memory < 2; memory++) {
            if (memory ? !has_memory_form(&insn_rows[row]) : !has_register_form(&insn_rows[row]))
                continue;
            for (int round = 0; round < rounds && failures < before + 2; round++) {
                g_autoptr(GString) why = g_string_new(NULL);
                struct test_case t;
                struct insn in;

                make_case(&t, &insn_rows[row], memory,
                          single >= 0 ? (uint64_t)single
                                      : case_seed((uint64_t)seed, row, memory, (unsigned)round));
                /* A more special row may have these bytes. */
                if (insn_decode(t.code.bytes, sizeof(t.code.bytes), t.mode != CODE16, false,
                                interpreter.cpu->model, &in) != DECODE_OK ||
                    in.op != row)
                    continue;
                cases++;
                jit_set_heat(translator.cpu, t.seed & 1 ? 0 : 1000000);
                if (!case_agrees(&interpreter, &translator, &t, &coverage[row], why)) {
                    failures++;
                    memory_copy(&translator, &interpreter);
                    print_case(&t, memory, why->str);
                }
                if (single >= 0)
                    break;
            }
        }
    }
    for (unsigned row = 0; row < INSN_COUNT; row++) {
        const struct coverage *c = &coverage[row];

        if (only && !g_str_equal(only, insn_rows[row].name))
            continue;
        wanted++;
        executed += c->executed != 0;
        completed += c->completed != 0;
        if (single < 0 && (!c->executed || (!c->completed && !never_completes(&insn_rows[row])))) {
            printf("row %s was %s\n", insn_rows[row].name,
                   c->executed ? "never executed to its end in ring 0" : "not executed");
            failures++;
        }
    }
    printf("%u cases; %u of %u rows executed, %u without an exception in ring 0; %u failures\n", cases,
           executed, wanted, completed, failures);
    rig_free(&interpreter);
    rig_free(&translator);
    return failures != 0;
}
