/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Translator against interpreter: random programs, executed by both from the same state on the same memory.
 *
 *   jit-lockstep [--seed N] [--count N] [--length N] [--fp PERCENT] [--index KIND] [--segmented N]
 *
 * A program is a stretch of random instructions of all rows that a test may execute, forward branches and
 * calls among them, which ends with HLT; exceptions end in HLTs too. Registers that addresses are made of are
 * set anew before most accesses, so that most programs reach their end. It runs three times from new
 * registers, so that its links are made and then used, and stores into its own code happen. After each run
 * all registers, flags and memory are compared, bit for bit: so are the frames of faults.
 *
 * --index shift, --index sse: the code for hosts without BMI2's pext.
 *
 * The seed of a program that differs is printed, with its listing cut to the shortest that still differs.
 */
#include "emu/cpu/flags.h"
#include "emu/cpu/jit/jit.h"
#include "tests/cpu/jit_lockstep_fp.h"
#include "tests/cpu/random.h"
#include "tests/cpu/rig.h"

#include <stdio.h>
#include <string.h>

enum {
    RAM_SIZE = 1 << 20,
    AT_GDT = 0x1000,
    AT_IDT = 0x2000,
    AT_HANDLERS = 0x3000,
    AT_CODE = 0x10000,
    AT_DATA = 0x40000,
    DATA_SIZE = 0x40000,
    AT_FP = AT_DATA + 0x8000, /* operands of x87 and SSE instructions */
    AT_STACK = 0xa0000,
    MAX_INSNS = 64,
    RUNS = 3,
};

struct program {
    uint32_t at;
    unsigned count;
    struct {
        uint8_t bytes[32];
        uint8_t length;
        uint8_t skip; /* for branches: how many of the following instructions */
        uint8_t rel;  /* bytes of the displacement, the last ones; 0: no branch */
    } insn[MAX_INSNS];
    uint32_t gpr[RUNS][8];
    uint32_t eflags[RUNS];
    uint64_t memory_seed;
    unsigned segmented; /* 0: flat; 1: 16-bit code; 2: 32-bit code, data segments with base and limit */
    unsigned frame;     /* register beside which most accesses are; 8: none */
    unsigned fp;        /* percent of x87, MMX and SSE instructions */
};

/* ---- making programs ---- */

static bool row_wanted(const struct insn_row *row)
{
    bool branch =
        (row->attr & ATTR_BRANCH) && (row->operand[0] == OPERAND_Jb || row->operand[0] == OPERAND_Jz);

    if (row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE))
        return false;
    return branch || !(row->attr & (ATTR_NOTEST | ATTR_END));
}

/* Rows that end nearly every program. */
static bool row_faults(const struct insn_row *row)
{
    return g_str_equal(row->mnemonic, "div") || g_str_equal(row->mnemonic, "idiv") ||
           g_str_equal(row->mnemonic, "bound") || g_str_equal(row->mnemonic, "aam") ||
           g_str_equal(row->mnemonic, "into") || g_str_equal(row->mnemonic, "enter");
}

/* A register that pointers are in, as a destination. */
static bool is_pointer(unsigned reg)
{
    return reg >= EBX;
}

static void put(struct program *p, unsigned i, unsigned bytes, uint32_t value)
{
    for (unsigned n = 0; n < bytes; n++)
        p->insn[i].bytes[p->insn[i].length++] = (uint8_t)(value >> 8 * n);
}

static unsigned pick_base(struct random *r)
{
    static const uint8_t bases[] = {EBX, ESI, EDI, EBP, ESP, EBP};
    return bases[random32(r) % G_N_ELEMENTS(bases)];
}

static void put_pointer(struct random *r, struct program *p, unsigned i, unsigned reg)
{
    if (p->segmented == 1)
        put(p, i, 1, 0x66);
    put(p, i, 1, 0xb8 | reg);
    if (p->segmented) { /* offsets, within the limits most often */
        put(p, i, 4, random32(r) % (random_percent(r, 95) ? 0xe000 : 0x12000));
        return;
    }
    if (reg == ESP)
        put(p, i, 4, AT_STACK - 4 * (random32(r) % 2048) - (random_percent(r, 10) ? random32(r) % 4 : 0));
    else
        put(p, i, 4,
            random_percent(r, 97) ? AT_DATA + 0x1000 + random32(r) % (DATA_SIZE - 0x5000)
                                  : p->at + random32(r) % 128);
}

static void put_operand(struct random *r, struct program *p, unsigned i, unsigned modrm, unsigned base)
{
    /* the last prefix is 67, or there is none: 16-bit addresses */
    bool addr16 = p->segmented == 1 && !memchr(p->insn[i].bytes, 0x67, p->insn[i].length);
    uint32_t disp = random_percent(r, 80) ? random32(r) % 64 - 32 : random32(r) % 0x3000;

    if (addr16) {
        put(p, i, 1, (modrm & 0x38) | 0x80 | (random32(r) & 7));
        put(p, i, 2, disp);
    } else if (random_percent(r, 15)) {
        put(p, i, 1, (modrm & 0x38) | 5);
        put(p, i, 4,
            p->segmented ? random32(r) % 0x10080
                         : AT_DATA + random32(r) % (random_percent(r, 3) ? 2 * RAM_SIZE : DATA_SIZE));
    } else if (base == ESP || random_percent(r, 15)) {
        /* an index with bits of everything is rare, else it would go anywhere */
        unsigned index = random_percent(r, 5) ? random32(r) & 7 : 4;

        put(p, i, 1, (modrm & 0x38) | 0x84);
        put(p, i, 1, (random32(r) & 0xc0) | index << 3 | base);
        put(p, i, 4, disp);
    } else if ((int32_t)disp == (int8_t)disp && random_percent(r, 80)) {
        put(p, i, 1, (modrm & 0x38) | 0x40 | base);
        put(p, i, 1, disp);
    } else {
        put(p, i, 1, (modrm & 0x38) | 0x80 | base);
        put(p, i, 4, disp);
    }
}

/* Accesses beside one register, as in compiled code: emu/cpu/jit/runs.c. */
static void make_frame_instruction(struct random *r, struct program *p, unsigned i)
{
    static const uint8_t ops[] = {0x8b, 0x89, 0x01, 0x03, 0x11, 0x2b, 0x39, 0x3b, 0x85, 0x83, 0xc7};
    static const uint8_t alone[] = {0x01, 0x13, 0x2b, 0x31, 0x39, 0x8b, 0x85, 0x8d};
    unsigned base = p->frame, op = ops[random32(r) % sizeof(ops)], reg = random32(r) & 7,
             kind = random32(r) % 10;
    unsigned disp = random_percent(r, 90) ? 4 * (random32(r) % 12) : random32(r) % 128;

    if (base == ESP && kind < 3) {
        put(p, i, 1, (random_percent(r, 60) ? 0x50 : 0x58) | reg);
    } else if (base == ESP && kind == 3) {
        put(p, i, 1, 0x6a);
        put(p, i, 1, random32(r));
    } else if (base == ESP && kind == 4) { /* mov reg, esp */
        put(p, i, 1, 0x89);
        put(p, i, 1, 0xe0 | (random32(r) % 3));
    } else if (kind == 5) {
        put(p, i, 1, alone[random32(r) % sizeof(alone)]);
        put(p, i, 1,
            p->insn[i].bytes[0] == 0x8d ? 0x41 | reg << 3 : 0xc0 | (reg % 3) << 3 | (random32(r) & 7));
        if (p->insn[i].bytes[0] == 0x8d)
            put(p, i, 1, random32(r));
    } else {
        put(p, i, 1, op);
        put(p, i, 1, 0x40 | reg << 3 | base);
        if (base == ESP)
            put(p, i, 1, 0x24);
        put(p, i, 1, disp);
        if (op == 0x83)
            put(p, i, 1, random32(r));
        if (op == 0xc7) {
            p->insn[i].bytes[1] &= 0xc7;
            put(p, i, 4, random32(r));
        }
    }
}

static void make_instruction(struct random *r, struct program *p, unsigned i)
{
    const struct insn_row *row;
    bool op16 = random_percent(r, 12), memory = false, addr32 = false;
    unsigned base;

    p->insn[i].length = p->insn[i].skip = p->insn[i].rel = 0;
    if (p->fp && random_percent(r, p->fp)) {
        p->insn[i].length = (uint8_t)lockstep_fp_instruction(random32(r), AT_FP, p->insn[i].bytes);
        return;
    }
    if (p->frame < 8 && random_percent(r, 85)) {
        make_frame_instruction(r, p, i);
        return;
    }
    if (random_percent(r, 4)) { /* pointers come back */
        put_pointer(r, p, i, pick_base(r));
        return;
    }
    do
        row = &insn_rows[random32(r) % INSN_COUNT];
    while (!row_wanted(row) || (row_faults(row) && random_percent(r, 85)));
    if (row->attr & ATTR_BRANCH)
        op16 = false;
    if (row->ext & INSN_EXT_MODRM)
        memory = (row->ext & INSN_EXT_MEM) ||
                 (!(row->ext & (INSN_EXT_REG | INSN_EXT_EXACT)) && random_percent(r, 60));
    base = pick_base(r);
    if ((row->attr & ATTR_REP) && random_percent(r, 90)) {
        put_pointer(r, p, i, ESI);
        put_pointer(r, p, i, EDI);
    } else if (memory && random_percent(r, 85)) {
        put_pointer(r, p, i, base);
    } else if ((row->attr & (ATTR_STACK | ATTR_BRANCH)) && random_percent(r, 50)) {
        put_pointer(r, p, i, ESP);
    }
    if (random_percent(r, 8) && !(row->attr & ATTR_STACK)) /* GS may not be written */
        put(p, i, 1, row->attr & (ATTR_STORE | ATTR_RMW) ? 0x64 : random_percent(r, 50) ? 0x64 : 0x65);
    if (memory && (row->attr & ATTR_LOCK) && random_percent(r, 20))
        put(p, i, 1, 0xf0);
    if ((row->attr & ATTR_REP) && random_percent(r, 40)) {
        put(p, i, 1, 0xb9);
        put(p, i, 4, random32(r) % 40);
        put(p, i, 1, random_percent(r, 50) ? 0xf2 : 0xf3);
    }
    if (p->segmented == 1 && random_percent(r, 30) && !(row->attr & ATTR_BRANCH)) {
        put(p, i, 1, 0x67);
        addr32 = true;
    }
    if (op16)
        put(p, i, 1, 0x66);
    if (p->segmented == 1) /* the prefix means the opposite */
        op16 = !op16;
    if (row->prefix > PREFIX_NP)
        put(p, i, 1, row->prefix == PREFIX_66 ? 0x66 : row->prefix == PREFIX_F3 ? 0xf3 : 0xf2);
    if (row->map)
        put(p, i, 1, 0x0f);
    put(p, i, 1,
        row->opcode + (row->attr & ATTR_COND     ? random32(r) & 15
                       : row->attr & ATTR_PLUS_R ? random32(r) & 7
                                                 : 0));
    if (row->ext & INSN_EXT_MODRM) {
        unsigned modrm = row->ext & INSN_EXT_EXACT ? row->ext & 0xff : (random32(r) & 0x3f) | 0xc0;

        if (row->ext & INSN_EXT_OPCODE)
            modrm = (modrm & 0xc7) | (row->ext & 7) << 3;
        else if (is_pointer(modrm >> 3 & 7) && random_percent(r, 60))
            modrm &= 0xc7 | (random32(r) % 3) << 3;
        if (!(row->ext & INSN_EXT_EXACT) && is_pointer(modrm & 7) && random_percent(r, 60))
            modrm = (modrm & 0xf8) | random32(r) % 3;
        if (memory)
            put_operand(r, p, i, modrm, base);
        else
            put(p, i, 1, modrm);
    }
    for (unsigned n = 0; n < 3; n++) {
        switch (row->operand[n]) {
        case OPERAND_Ib:
            put(p, i, 1, row->mnemonic[0] == 'e' ? random32(r) % 3 : random32(r));
            break;
        case OPERAND_sIb:
            put(p, i, 1, random32(r));
            break;
        case OPERAND_Iw:
            put(p, i, 2, random32(r) % 64);
            break;
        case OPERAND_Iz:
            put(p, i, op16 ? 2 : 4, random_percent(r, 30) ? random32(r) & 0x80000001 : random32(r));
            break;
        case OPERAND_Ob:
        case OPERAND_Ov:
            if (p->segmented)
                put(p, i, p->segmented == 1 && !addr32 ? 2 : 4, random32(r) % 0x10000);
            else
                put(p, i, 4, AT_DATA + random32(r) % DATA_SIZE);
            break;
        case OPERAND_Jb:
        case OPERAND_Jz:
            p->insn[i].rel = row->operand[n] == OPERAND_Jb ? 1 : op16 ? 2 : 4;
            p->insn[i].skip = (uint8_t)(random32(r) % 3);
            put(p, i, p->insn[i].rel, 0);
            break;
        default: /* no bytes */
            break;
        }
    }
}

static void make_program(struct program *p, uint64_t seed, unsigned length, unsigned fp, unsigned segmented)
{
    struct random r = {seed};

    p->at = AT_CODE + (random_percent(&r, 30) ? 0xfc0 - random32(&r) % 128 : random32(&r) % 64);
    p->count = length;
    p->segmented = segmented;
    p->frame = segmented ? 8 : random_percent(&r, 30) ? pick_base(&r) : 8;
    p->fp = fp;
    p->memory_seed = random32(&r);
    for (unsigned i = 0; i < length; i++)
        make_instruction(&r, p, i);
    for (unsigned n = 0; n < RUNS; n++) {
        for (unsigned g = 0; g < 8; g++)
            p->gpr[n][g] = random_percent(&r, 30) ? random32(&r) % 3 - 1 : random32(&r);
        for (unsigned g = EBX; g < 8; g++)
            p->gpr[n][g] = AT_DATA + 0x1000 + random32(&r) % (DATA_SIZE - 0x2000);
        p->gpr[n][ESP] =
            AT_STACK - 4 * (random32(&r) % 2048) - (random_percent(&r, 10) ? random32(&r) % 4 : 0);
        if (p->frame < 8 && random_percent(&r, 30)) /* at a page's end */
            p->gpr[n][p->frame] = (p->gpr[n][p->frame] | 0xfc0) & ~(random_percent(&r, 80) ? 3u : 0u);
        for (unsigned g = EBX; segmented && g < 8; g++)
            p->gpr[n][g] = (random32(&r) & 0xffff0000) * (segmented == 1) | random32(&r) % 0xe000;
        p->eflags[n] = FLAG_ONE | (random32(&r) & FLAG_STATUS);
    }
}

static unsigned program_bytes(const struct program *p, uint8_t *out)
{
    unsigned length = 0;

    for (unsigned i = 0; i < p->count; i++) {
        uint32_t distance = 0;

        memcpy(out + length, p->insn[i].bytes, p->insn[i].length);
        length += p->insn[i].length;
        for (unsigned n = 1; n <= p->insn[i].skip && i + n < p->count; n++)
            distance += p->insn[i + n].length;
        if (p->insn[i].rel)
            memcpy(out + length - p->insn[i].rel, &distance, p->insn[i].rel);
    }
    out[length++] = 0xf4;
    return length;
}

/* ---- running them ---- */

static void side_fill(struct rig *s, const struct program *p)
{
    static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    uint8_t code[MAX_INSNS * 32 + 1];
    unsigned length = program_bytes(p, code);
    struct random r = {p->memory_seed};
    uint8_t *ram = physmap_ram(s->mem);

    cpu_code_written(s->cpu, 0, RAM_SIZE);
    memset(ram, 0, RAM_SIZE);
    memcpy(ram + AT_GDT, gdt, sizeof(gdt));
    for (uint32_t v = 0; v < 256; v++) {
        uint32_t gate[2] = {0x100000 | (AT_HANDLERS + v * 16), 0x8e00};

        memcpy(ram + AT_IDT + v * 8, gate, sizeof(gate));
        ram[AT_HANDLERS + v * 16] = 0xf4;
    }
    memset(ram + AT_CODE, 0xf4, 0x2000);
    memcpy(ram + p->at, code, length);
    for (uint32_t i = AT_DATA; i < RAM_SIZE; i += 64) {
        uint32_t value = random32(&r);
        memcpy(ram + i, &value, 4);
    }
    if (p->fp)
        lockstep_fp_memory(p->memory_seed, ram + AT_FP);
}

static enum cpu_stop side_run(struct rig *s, const struct program *p, unsigned n)
{
    struct cpu_boot_state state = {.eip = p->at, .gdt_base = AT_GDT, .gdt_limit = 31, .cs = 0x10, .ds = 0x18};
    struct cpu *cpu = s->cpu;
    const uint32_t attr = SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED;

    cpu_reset(cpu);
    cpu_set_boot_state(cpu, &state);
    cpu->idtr = (struct descriptor_table){.base = AT_IDT, .limit = 0x7ff};
    segment_set_cache(cpu, SEG_FS, 0x18, 0x1234, 0x7dfff, attr);
    segment_set_cache(cpu, SEG_GS, 0x18, 0x0, 0x7ffff, attr & ~SEG_ATTR_RW);
    if (p->segmented) {
        const uint32_t attr16 = attr & ~SEG_ATTR_DB, data = p->segmented == 1 ? attr16 : attr;

        segment_set_cache(cpu, SEG_DS, 0x18, AT_DATA, 0xffff, data);
        segment_set_cache(cpu, SEG_ES, 0x18, AT_DATA + 0x8765, 0xefff, data);
        segment_set_cache(cpu, SEG_FS, 0x18, AT_DATA + 0x10000, 0x1fff, attr16 | SEG_ATTR_EXPAND_DOWN);
        segment_set_cache(cpu, SEG_SS, 0x18, AT_STACK - 0x10000, 0xffff, attr16);
        if (p->segmented == 1) {
            segment_set_cache(cpu, SEG_CS, 0x10, AT_CODE, 0xffff, attr16 | SEG_ATTR_CODE);
            cpu->eip -= AT_CODE;
        }
        cpu_update_mode(cpu);
    }
    memcpy(cpu->gpr, p->gpr[n], sizeof(p->gpr[n]));
    cpu_set_eflags(cpu, p->eflags[n]);
    if (p->fp)
        lockstep_fp_state(p->memory_seed + n, cpu);
    return rig_run_watched(s);
}

struct outcome {
    char text[256];
    bool faulted;
};

/* The vector whose handler it is in, or -1. */
static int vector_of(const struct rig *s)
{
    uint32_t handler = s->cpu->eip - 1 - AT_HANDLERS;

    return handler > 0xfff ? -1 : (int)(handler / 16);
}

static bool compare(struct rig *a, struct rig *b, struct outcome *out)
{
    static const char *const names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    int vector = vector_of(a), other = vector_of(b);
    const uint8_t *x = physmap_ram(a->mem), *y = physmap_ram(b->mem);

    out->faulted = vector >= 0;

    if (vector != other || a->cpu->eip != b->cpu->eip) {
        g_snprintf(out->text, sizeof(out->text), "eip: interpreter %08x translator %08x (vectors %d, %d)",
                   a->cpu->eip, b->cpu->eip, vector, other);
        return false;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (a->cpu->gpr[i] != b->cpu->gpr[i]) {
            g_snprintf(out->text, sizeof(out->text), "%s: interpreter %08x translator %08x", names[i],
                       a->cpu->gpr[i], b->cpu->gpr[i]);
            return false;
        }
    }
    if (cpu_eflags(a->cpu) != cpu_eflags(b->cpu)) {
        g_snprintf(out->text, sizeof(out->text), "eflags: interpreter %08x translator %08x",
                   cpu_eflags(a->cpu), cpu_eflags(b->cpu));
        return false;
    }
    if (!lockstep_fp_agrees(a->cpu, b->cpu, out->text, sizeof(out->text)))
        return false;
    if (!memcmp(x, y, RAM_SIZE))
        return true;
    for (uint32_t i = 0; i < RAM_SIZE; i++) {
        if (x[i] != y[i]) {
            g_snprintf(out->text, sizeof(out->text), "memory at %08x: interpreter %02x translator %02x", i,
                       x[i], y[i]);
            break;
        }
    }
    return false;
}

/* A program that overwrote the exceptions' HLTs runs on behind one, and its frame cannot be found. */
static bool handlers_stand(const struct rig *s)
{
    for (uint32_t v = 0; v < 256; v++)
        if (physmap_ram(s->mem)[AT_HANDLERS + v * 16] != 0xf4)
            return false;
    return true;
}

static bool program_agrees(struct rig *a, struct rig *b, const struct program *p, struct outcome *out)
{
    side_fill(a, p);
    side_fill(b, p);
    for (unsigned n = 0; n < RUNS; n++) {
        enum cpu_stop x = side_run(a, p, n), y = side_run(b, p, n);

        /* One may be slower by far, at code that overwrites itself for one: it gets more time. */
        for (unsigned more = 0; x != y && more < 20; more++) {
            if (x == CPU_STOP_REQUESTED)
                x = rig_run_watched(a);
            else if (y == CPU_STOP_REQUESTED)
                y = rig_run_watched(b);
        }
        if (x == CPU_STOP_REQUESTED && y == CPU_STOP_REQUESTED)
            break; /* neither ends: nothing to compare */
        if (!handlers_stand(a) && !handlers_stand(b))
            break;
        if (x != y) {
            g_snprintf(out->text, sizeof(out->text), "run %u: interpreter stops with %d, translator with %d",
                       n, x, y);
            return false;
        }
        if (!compare(a, b, out))
            return false;
    }
    return true;
}

/* Takes instructions out as long as the rest still differs. */
static void shrink(struct rig *a, struct rig *b, struct program *p, struct outcome *out)
{
    for (bool shorter = true; shorter;) {
        shorter = false;
        for (unsigned i = 0; i < p->count; i++) {
            struct program try = *p;
            struct outcome outcome;

            memmove(&try.insn[i], &try.insn[i + 1], (try.count - i - 1) * sizeof(try.insn[0]));
            try.count--;
            if (!program_agrees(a, b, &try, &outcome)) {
                *p = try;
                *out = outcome;
                shorter = true;
                i--;
            }
        }
    }
}

static void list(const struct program *p)
{
    uint8_t code[MAX_INSNS * 32 + 1];
    unsigned length = program_bytes(p, code);
    char text[128];

    for (unsigned at = 0; at < length;) {
        struct insn in;

        if (insn_decode(code + at, length - at, p->segmented != 1, false, NULL, &in) != DECODE_OK) {
            printf("  %08x  not an instruction\n", p->at + at);
            break;
        }
        insn_format(&in, p->at + at, text, sizeof(text));
        printf("  %08x  ", p->at + at);
        for (unsigned i = 0; i < in.length; i++)
            printf("%02x", code[at + i]);
        printf("  %s\n", text);
        at += in.length;
    }
    for (unsigned n = 0; n < RUNS; n++) {
        printf("  run %u:", n);
        for (unsigned i = 0; i < 8; i++)
            printf(" %08x", p->gpr[n][i]);
        printf(" flags %08x\n", p->eflags[n]);
    }
}

int main(int argc, char **argv)
{
    g_autofree char *index_by = NULL;
    gint64 seed = 1;
    gint count = g_strcmp0(g_getenv("NETLAB_TEST_FULL"), "1") ? 4000 : 100000, length = 24, fp = 0,
         segmented = 0;
    const GOptionEntry entries[] = {
        {"seed", 0, 0, G_OPTION_ARG_INT64, &seed, "of the first program (default 1)", "N"},
        {"count", 0, 0, G_OPTION_ARG_INT, &count, "programs", "N"},
        {"length", 0, 0, G_OPTION_ARG_INT, &length, "instructions of a program, at most 63", "N"},
        {"fp", 0, 0, G_OPTION_ARG_INT, &fp, "percent of x87, MMX and SSE instructions", "N"},
        {"segmented", 0, 0, G_OPTION_ARG_INT, &segmented, "1: 16-bit code, 2: 32-bit code in segments", "N"},
        {"index", 0, 0, G_OPTION_ARG_STRING, &index_by, "how tables are indexed: pext, shift, sse", "KIND"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    struct rig interpreter = {0}, translator = {0};
    unsigned failures = 0, faults = 0;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        printf("%s\n", error->message);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!rig_make_pair(&interpreter, &translator, RAM_SIZE, index_by))
        return 77;
    for (gint i = 0; i < count && failures < 5; i++) {
        struct program p;
        struct outcome outcome = {0};

        make_program(&p, (uint64_t)(seed + i), (unsigned)CLAMP(length, 1, MAX_INSNS - 1),
                     (unsigned)CLAMP(fp, 0, 100), (unsigned)CLAMP(segmented, 0, 2));
        /* Every other program for the windows, as soon as its blocks are translated at all. */
        jit_set_heat(translator.cpu, (seed + i) & 1 ? 0 : 1000000);
        if (program_agrees(&interpreter, &translator, &p, &outcome)) {
            faults += outcome.faulted;
            continue;
        }
        failures++;
        shrink(&interpreter, &translator, &p, &outcome);
        printf("seed %" G_GINT64_FORMAT " differs: %s\n", seed + i, outcome.text);
        list(&p);
    }
    printf("seeds %" G_GINT64_FORMAT "…: %d programs of %d instructions, %u ended in a fault; %u differ\n",
           seed, count, length, faults, failures);
    rig_free(&interpreter);
    rig_free(&translator);
    return failures != 0;
}
