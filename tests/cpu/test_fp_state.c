/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the host cannot show about x87, MMX and SSE: the checks of CR0 and CR4 before each instruction,
 * faulting memory operands, the four layouts of the x87 environment, FERR#, alignment checks, reset.
 *
 * Every row of optable_x87.def and optable_simd.def is run; what is expected comes from the SDM by the row's
 * attributes, not from the functions under test.
 */
#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"

#include <glib.h>
#include <string.h>

enum { RAM_AT = 0x10000, RAM_SIZE = 1 << 20, CODE_AT = RAM_AT, OPERAND_AT = RAM_AT + 0x8000 };

struct fixture {
    struct cpu *cpu;
    struct physmap *pm;
    uint8_t *ram;
    bool ferr;
    unsigned ferr_calls;
    bool ferr_raises_intr;
};

static void on_ferr(void *opaque, bool level)
{
    struct fixture *f = opaque;
    f->ferr = level;
    f->ferr_calls++;
    if (f->ferr_raises_intr)
        cpu_set_intr(f->cpu, level);
}
static int no_interrupt(void *opaque)
{
    return -1;
}

static void setup(struct fixture *f, gconstpointer unused)
{
    struct cpu_board board = {.opaque = f, .ferr = on_ferr, .acknowledge = no_interrupt};
    f->pm = board.mem = physmap_new(RAM_SIZE, NULL);
    f->ram = physmap_ram(f->pm);
    physmap_add_ram(f->pm, "ram", RAM_AT, RAM_SIZE, 0, 0);
    f->cpu = cpu_new(cpu_model_default(), &board);
    physmap_set_change_listener(f->pm, cpu_memory_changed, f->cpu);
    struct cpu_boot_state flat = {.eip = CODE_AT, .cs = 0x10, .ds = 0x18};
    cpu_set_boot_state(f->cpu, &flat);
    cpu_write_cr0(f->cpu, CR0_PE | CR0_ET | CR0_NE);
    cpu_write_cr4(f->cpu, CR4_OSFXSR | CR4_OSXMMEXCPT);
}
static void teardown(struct fixture *f, gconstpointer unused)
{
    cpu_free(f->cpu);
    physmap_free(f->pm);
}

/* ---- one instruction ---- */

static bool row_is_ours(const struct insn_row *row)
{
    return row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE);
}
static bool row_uses(const struct insn_row *row, enum insn_operand operand)
{
    return row->operand[0] == operand || row->operand[1] == operand || row->operand[2] == operand;
}

/* Bytes of the row's register form (mm2, xmm3, …) or memory form ([OPERAND_AT + shift]). 0: there is no such
 * form. */
static unsigned row_bytes(const struct insn_row *row, bool memory, unsigned shift, uint8_t *out)
{
    static const uint8_t prefix[] = {
        [PREFIX_ANY] = 0, [PREFIX_NP] = 0, [PREFIX_66] = 0x66, [PREFIX_F3] = 0xf3, [PREFIX_F2] = 0xf2};
    uint8_t *p = out;
    if (prefix[row->prefix])
        *p++ = prefix[row->prefix];
    if (row->map)
        *p++ = 0x0f;
    *p++ = row->opcode;
    if (row->ext & INSN_EXT_EXACT || !(row->ext & INSN_EXT_MODRM)) {
        if (memory)
            return 0;
        if (row->ext & INSN_EXT_EXACT)
            *p++ = row->ext & 0xff;
    } else {
        unsigned reg = row->ext & INSN_EXT_OPCODE ? row->ext & 7u : 3;
        if (memory ? row->ext & INSN_EXT_REG : row->ext & INSN_EXT_MEM)
            return 0;
        if (memory) {
            uint32_t address = OPERAND_AT + shift;
            *p++ = (uint8_t)(reg << 3 | 5);
            memcpy(p, &address, 4);
            p += 4;
        } else {
            *p++ = (uint8_t)(0xc0 | reg << 3 | 2);
        }
    }
    if (row_uses(row, OPERAND_Ib))
        *p++ = 1;
    return (unsigned)(p - out);
}

/* The vector raised, or -1; CPU_LANDING_RESTART comes back as −2. */
static int run_bytes(struct fixture *f, const uint8_t *bytes, unsigned length)
{
    struct cpu *cpu = f->cpu;
    struct insn in;
    g_assert_cmpint(insn_decode(bytes, length, cpu->code32, !cpu_protected(cpu), NULL, &in), ==, DECODE_OK);
    g_assert_cmpuint(in.length, ==, length);
    cpu->insn_eip = CODE_AT;
    cpu->eip = CODE_AT + length;
    int landing = setjmp(cpu->fault_exit);
    if (landing)
        return landing == CPU_LANDING_RESTART ? -2 : cpu->fault_vector;
    in.run(cpu, &in);
    return -1;
}

/* A state in which nothing goes wrong: ST(0) 1.0, ST(1) 2.0, ST(6) and ST(7) free, floats of 1.0. */
static void ordinary_state(struct fixture *f)
{
    struct fpu *fpu = &f->cpu->fpu;
    memset(fpu, 0, sizeof *fpu);
    fpu->fcw = 0x37f;
    fpu->mxcsr = 0x1f80;
    for (unsigned i = 0; i < 8; i++) {
        fpu->r[i].significand = (uint64_t)1 << 63;
        fpu->r[i].sign_exponent = (uint16_t)(0x3fff + i);
        for (unsigned k = 0; k < 4; k++)
            fpu->xmm[i].f32[k] = 1.0f;
    }
    fpu->ftw = 0xf000;
    for (unsigned i = 0; i < 8; i++)
        f->cpu->gpr[i] = 0x1000 + i;
    f->cpu->gpr[EDI] = OPERAND_AT;
    f->cpu->status = FLAG_CF | FLAG_OF;
    f->cpu->eflags = FLAG_ONE;
    memset(f->ram, 0, RAM_SIZE);
}

/* ---- CR0.EM, TS, MP, NE, CR4.OSFXSR and a pending exception ---- */

static bool row_is_nowait(const struct insn_row *row)
{
    return !strncmp(row->name, "fn", 2) && strcmp(row->name, "fnop");
}
static bool row_is_fxsave(const struct insn_row *row)
{
    return row_uses(row, OPERAND_Mfx);
}

static int expected_check(const struct insn_row *row, bool memory, uint32_t cr0, uint32_t cr4, bool pending)
{
    bool mmx = row->attr & ATTR_MMX, sse = row->attr & ATTR_SSE, x87 = row->attr & ATTR_X87;
    if (!strcmp(row->name, "fwait"))
        return (cr0 & CR0_MP) && (cr0 & CR0_TS) ? VEC_NM : pending && (cr0 & CR0_NE) ? VEC_MF : -1;
    if (row_is_fxsave(row))
        return cr0 & (CR0_EM | CR0_TS) ? VEC_NM : -1;
    if (x87) {
        if (cr0 & (CR0_EM | CR0_TS))
            return VEC_NM;
        return pending && !row_is_nowait(row) && (cr0 & CR0_NE) ? VEC_MF : -1;
    }
    if (!strcmp(row->name, "cvtpi2pd") && memory)
        mmx = false;
    if (cr0 & CR0_EM)
        return VEC_UD;
    if (sse && !(cr4 & CR4_OSFXSR))
        return VEC_UD;
    if (cr0 & CR0_TS)
        return VEC_NM;
    return mmx && pending && (cr0 & CR0_NE) ? VEC_MF : -1;
}

static void test_checks(struct fixture *f, gconstpointer unused)
{
    static const uint32_t bits[] = {CR0_EM, CR0_TS, CR0_MP, CR0_NE};
    unsigned cases = 0;
    for (unsigned i = 0; i < INSN_COUNT; i++) {
        const struct insn_row *row = &insn_rows[i];
        if (!row_is_ours(row) || row->attr & ATTR_NOTEST)
            continue;
        for (unsigned memory = 0; memory < 2; memory++)
            for (unsigned combination = 0; combination < 64; combination++) {
                uint8_t bytes[16];
                unsigned length = row_bytes(row, memory, 0, bytes);
                if (!length)
                    continue;
                uint32_t cr0 = CR0_PE | CR0_ET, cr4 = combination & 16 ? CR4_OSFXSR : 0;
                bool pending = combination & 32;
                for (unsigned b = 0; b < 4; b++)
                    if (combination >> b & 1)
                        cr0 |= bits[b];
                ordinary_state(f);
                cpu_write_cr0(f->cpu, cr0);
                cpu_write_cr4(f->cpu, cr4);
                if (pending) {
                    f->cpu->fpu.fcw = 0x37e;
                    f->cpu->fpu.fsw = 0x8081;
                }
                struct fpu before = f->cpu->fpu;
                int got = run_bytes(f, bytes, length), want = expected_check(row, memory, cr0, cr4, pending);
                if (got != want)
                    g_error("%s, %s form, CR0 %#x, CR4 %#x%s: vector %d, not %d", row->name,
                            memory ? "memory" : "register", cr0, cr4, pending ? ", pending exception" : "",
                            got, want);
                if (got >= 0)
                    g_assert_cmpmem(&before, sizeof before, &f->cpu->fpu, sizeof before);
                cases++;
            }
    }
    g_test_message("%u cases", cases);
    g_assert_cmpuint(cases, >, 20000);
}

/* ---- a memory operand whose last byte is out of reach changes nothing ---- */

static unsigned row_memory_bytes(const struct insn_row *row)
{
    for (unsigned i = 0; i < 3; i++)
        switch (insn_operands[row->operand[i]].class) {
        case OPCLASS_RM:
        case OPCLASS_MEM:
        case OPCLASS_MMRM:
        case OPCLASS_XMMRM:
            return insn_operands[row->operand[i]].bytes[1];
        default: /* not in memory */
            break;
        }
    return 0;
}

static void test_faults(struct fixture *f, gconstpointer unused)
{
    unsigned cases = 0;
    for (unsigned i = 0; i < INSN_COUNT; i++) {
        const struct insn_row *row = &insn_rows[i];
        uint8_t bytes[16];
        unsigned length, size = row_memory_bytes(row);
        if (!row_is_ours(row) || !(length = row_bytes(row, true, 0, bytes)) || !size)
            continue;
        if (row_is_fxsave(row))
            size = 288; /* beyond are XMM8…15 and what software may use */
        ordinary_state(f);
        struct segment saved = f->cpu->seg[SEG_DS];
        segment_set_cache(f->cpu, SEG_DS, 0x18, 0, OPERAND_AT + size - 2, saved.attr & ~SEG_ATTR_G);
        struct fpu before = f->cpu->fpu;
        uint32_t gpr[8], status = f->cpu->status;
        memcpy(gpr, f->cpu->gpr, sizeof gpr);
        g_autofree uint8_t *memory = g_memdup2(f->ram, RAM_SIZE);
        int got = run_bytes(f, bytes, length);
        if (got != VEC_GP)
            g_error("%s: %u bytes, the last one beyond the limit: vector %d", row->name, size, got);
        if (memcmp(&before, &f->cpu->fpu, sizeof before))
            g_error("%s: #GP, and yet the FPU's state changed", row->name);
        g_assert_cmpmem(gpr, sizeof gpr, f->cpu->gpr, sizeof gpr);
        g_assert_cmpuint(status, ==, f->cpu->status);
        g_assert_cmpmem(memory, RAM_SIZE, f->ram, RAM_SIZE);
        f->cpu->seg[SEG_DS] = saved;
        cases++;
        /* and with the whole operand within the limit there is no fault */
        ordinary_state(f);
        segment_set_cache(f->cpu, SEG_DS, 0x18, 0, OPERAND_AT + size - 1, saved.attr & ~SEG_ATTR_G);
        got = run_bytes(f, bytes, length);
        if (got != -1)
            g_error("%s: %u bytes within the limit: vector %d", row->name, size, got);
        f->cpu->seg[SEG_DS] = saved;
    }
    g_test_message("%u rows", cases);
    g_assert_cmpuint(cases, >, 250);
}

/* MASKMOVQ, MASKMOVDQU: only selected bytes are looked at. */
static void test_maskmov(struct fixture *f, gconstpointer unused)
{
    static const uint8_t maskmovq[] = {0x0f, 0xf7, 0xda}, maskmovdqu[] = {0x66, 0x0f, 0xf7, 0xda};
    ordinary_state(f);
    struct segment saved = f->cpu->seg[SEG_DS];
    segment_set_cache(f->cpu, SEG_DS, 0x18, 0, OPERAND_AT + 3, saved.attr & ~SEG_ATTR_G);
    f->cpu->fpu.r[3].significand = 0x8877665544332211;
    f->cpu->fpu.r[2].significand = 0x0000000080007f80;
    g_assert_cmpint(run_bytes(f, maskmovq, sizeof maskmovq), ==, -1);
    g_assert_cmphex(*(uint32_t *)(f->ram + OPERAND_AT - RAM_AT), ==, 0x44000011);
    f->cpu->fpu.r[2].significand = 0x8000000000000080;
    f->ram[OPERAND_AT - RAM_AT] = 0;
    g_assert_cmpint(run_bytes(f, maskmovq, sizeof maskmovq), ==, VEC_GP);
    g_assert_cmphex(f->ram[OPERAND_AT - RAM_AT], ==, 0);
    f->cpu->fpu.xmm[2] = (union xmm){.u8 = {[1] = 0xff}};
    f->cpu->fpu.xmm[3] = (union xmm){.u8 = {[1] = 0x5a}};
    g_assert_cmpint(run_bytes(f, maskmovdqu, sizeof maskmovdqu), ==, -1);
    g_assert_cmphex(f->ram[OPERAND_AT - RAM_AT + 1], ==, 0x5a);
    f->cpu->fpu.xmm[2].u8[15] = 0x80;
    g_assert_cmpint(run_bytes(f, maskmovdqu, sizeof maskmovdqu), ==, VEC_GP);
    f->cpu->seg[SEG_DS] = saved;
}

/* ---- the environment's four layouts: SDM vol. 1, figures 8-9 to 8-12 ---- */

static void test_layouts(struct fixture *f, gconstpointer unused)
{
    static const uint8_t store[] = {0xd9, 0x35, 0x00, 0x80, 0x01, 0x00},
                         load[] = {0xd9, 0x25, 0x00, 0x80, 0x01, 0x00};
    static const uint8_t store16[] = {0x66, 0xd9, 0x35, 0x00, 0x80, 0x01, 0x00},
                         load16[] = {0x66, 0xd9, 0x25, 0x00, 0x80, 0x01, 0x00};
    struct cpu *cpu = f->cpu;
    const uint32_t *at32 = (const uint32_t *)(f->ram + OPERAND_AT - RAM_AT);
    const uint16_t *at16 = (const uint16_t *)at32;
    G_STATIC_ASSERT(OPERAND_AT == 0x18000);
    for (unsigned real = 0; real < 2; real++) {
        for (unsigned small = 0; small < 2; small++) {
            ordinary_state(f);
            /* tags: R0 zero, R1 valid, R2 denormal, R3 infinity, R4 unnormal, R5 valid, R6 and R7 empty */
            cpu->fpu.r[0] = (union fpu_reg){.significand = 0};
            cpu->fpu.r[2].sign_exponent = 0x8000;
            cpu->fpu.r[3].sign_exponent = 0x7fff;
            cpu->fpu.r[4].significand = 1;
            cpu->fpu.fcw = 0x37b;
            cpu->fpu.fsw = 0x7f00;
            cpu->fpu.fip = 0x9a1234;
            cpu->fpu.fcs = real ? 0x1111 : 0x10;
            cpu->fpu.fdp = 0x8b5678;
            cpu->fpu.fds = real ? 0x2222 : 0x18;
            cpu->fpu.fop = 0x5a7;
            cpu->cr0 = (cpu->cr0 & ~CR0_PE) | (real ? 0 : CR0_PE);
            g_assert_cmpint(small ? run_bytes(f, store16, sizeof store16) : run_bytes(f, store, sizeof store),
                            ==, -1);
            const uint16_t tags = 0xf2a1;
            uint32_t ip = real ? 0x9a1234 + 0x11110 : 0x9a1234, dp = real ? 0x8b5678 + 0x22220 : 0x8b5678;
            g_assert_cmphex(cpu->fpu.fcw, ==, 0x37f);
            if (small) {
                g_assert_cmphex(at16[0], ==, 0x37b);
                g_assert_cmphex(at16[1], ==, 0x7f00);
                g_assert_cmphex(at16[2], ==, tags);
                g_assert_cmphex(at16[3], ==, ip & 0xffff);
                g_assert_cmphex(at16[4], ==, real ? (ip >> 16 & 15) << 12 | 0x5a7 : 0x10);
                g_assert_cmphex(at16[5], ==, dp & 0xffff);
                g_assert_cmphex(at16[6], ==, real ? (dp >> 16 & 15) << 12 : 0x18);
                g_assert_cmphex(at16[7], ==, 0);
            } else {
                g_assert_cmphex(at32[0], ==, 0xffff037b);
                g_assert_cmphex(at32[1], ==, 0xffff7f00);
                g_assert_cmphex(at32[2], ==, 0xffff0000 | tags);
                g_assert_cmphex(real ? at32[3] & 0xffff : at32[3], ==, real ? ip & 0xffff : ip);
                g_assert_cmphex(at32[4], ==, real ? ip >> 16 << 12 | 0x5a7 : 0x05a70010);
                g_assert_cmphex(real ? at32[5] & 0xffff : at32[5], ==, real ? dp & 0xffff : dp);
                g_assert_cmphex(real ? at32[6] : at32[6] & 0xffff, ==, real ? dp >> 16 << 12 : 0x18);
                g_assert_cmphex(at32[7], ==, 0);
            }
            memset(&cpu->fpu, 0x55, offsetof(struct fpu, mxcsr));
            cpu->fpu.fsw = 0;
            g_assert_cmpint(small ? run_bytes(f, load16, sizeof load16) : run_bytes(f, load, sizeof load), ==,
                            -1);
            g_assert_cmphex(cpu->fpu.fcw, ==, 0x37b);
            g_assert_cmphex(cpu->fpu.fsw, ==, 0x7f00);
            g_assert_cmphex(cpu->fpu.ftw & 0xf000, ==, 0xf000);
            for (unsigned i = 0; i < 6; i++)
                g_assert_cmphex(cpu->fpu.ftw >> (2 * i) & 3, !=, 3);
            uint32_t mask = real ? (small ? 0xfffff : 0xffffffff) : small ? 0xffff : 0xffffffff;
            g_assert_cmphex(cpu->fpu.fip, ==, ip & mask);
            g_assert_cmphex(cpu->fpu.fdp, ==, dp & mask);
            g_assert_cmphex(cpu->fpu.fcs, ==, real ? 0 : 0x10);
            g_assert_cmphex(cpu->fpu.fds, ==, real ? 0 : 0x18);
            g_assert_cmphex(cpu->fpu.fop, ==, !real && small ? 0 : 0x5a7);
        }
    }
    cpu->cr0 |= CR0_PE;
}

/* ---- CR0.NE = 0: the FERR# pin ---- */

static void test_ferr(struct fixture *f, gconstpointer unused)
{
    static const uint8_t fldz[] = {0xd9, 0xee}, fdiv[] = {0xd8, 0xf1}, fnclex[] = {0xdb, 0xe2},
                         fwait[] = {0x9b}, fnstsw[] = {0xdf, 0xe0};
    struct cpu *cpu = f->cpu;
    cpu_write_cr0(cpu, CR0_PE | CR0_ET);
    ordinary_state(f);
    cpu->fpu.fcw = 0x37b; /* zero divide unmasked */
    cpu->fpu.r[1] = (union fpu_reg){.significand = 0};
    g_assert_cmpint(run_bytes(f, fdiv, sizeof fdiv), ==, -1);
    g_assert_cmphex(cpu->fpu.fsw, ==, 0x8084);
    g_assert_cmphex(cpu->fpu.r[0].sign_exponent, ==, 0x3fff); /* the operand stays */
    g_assert_false(f->ferr);
    g_assert_cmpint(run_bytes(f, fnstsw, sizeof fnstsw), ==, -1); /* does not wait */
    g_assert_false(f->ferr);
    /* interrupts off: as if IGNNE# were asserted */
    g_assert_cmpint(run_bytes(f, fwait, sizeof fwait), ==, -1);
    g_assert_true(f->ferr);
    g_assert_cmpint(run_bytes(f, fldz, sizeof fldz), ==, -1);
    g_assert_cmpuint(cpu->fpu.fsw >> 11 & 7, ==, 7);
    g_assert_cmpint(run_bytes(f, fnclex, sizeof fnclex), ==, -1);
    g_assert_false(f->ferr);
    /* interrupts on, and FERR# leads to one: the instruction is begun again after it */
    f->ferr_raises_intr = true;
    cpu_set_eflags(cpu, FLAG_ONE | FLAG_IF);
    cpu->fpu.fsw |= 0x8084;
    struct fpu before = cpu->fpu;
    g_assert_cmpint(run_bytes(f, fldz, sizeof fldz), ==, -2);
    g_assert_cmphex(cpu->eip, ==, CODE_AT);
    g_assert_cmpmem(&before, sizeof before, &cpu->fpu, sizeof before);
    g_assert_true(f->ferr);
    cpu_set_intr(cpu, false);
}

/* ---- #AC: CR0.AM, EFLAGS.AC, CPL 3 ---- */

static void test_alignment_check(struct fixture *f, gconstpointer unused)
{
    static const struct {
        const char *row;
        unsigned aligned, misaligned; /* offsets of the operand */
    } cases[] = {{"fld_m32", 4, 2}, {"fld_m64", 8, 4},  {"fld_m80", 8, 2},  {"fstp_m80", 8, 4},
                 {"fbstp", 8, 4},   {"fnstenv", 4, 2},  {"fldenv", 4, 2},   {"fnsave", 4, 2},
                 {"frstor", 4, 2},  {"fild_m16", 2, 1}, {"fist_m32", 4, 1}, {"movq_mmx", 8, 4},
                 {"movss", 4, 1},   {"addsd", 8, 4},    {"stmxcsr", 4, 2},  {"movlps", 8, 4},
                 {"fnstcw", 2, 1}};
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct insn_row *row = NULL;
        for (unsigned k = 0; k < INSN_COUNT; k++)
            if (!strcmp(insn_rows[k].name, cases[i].row))
                row = &insn_rows[k];
        g_assert_nonnull(row);
        for (unsigned bad = 0; bad < 2; bad++) {
            uint8_t bytes[16];
            unsigned length = row_bytes(row, true, bad ? cases[i].misaligned : cases[i].aligned, bytes);
            ordinary_state(f);
            cpu_write_cr0(f->cpu, CR0_PE | CR0_ET | CR0_NE | CR0_AM);
            f->cpu->seg[SEG_CS].attr |= SEG_ATTR_DPL;
            f->cpu->seg[SEG_SS].attr |= SEG_ATTR_DPL;
            f->cpu->seg[SEG_CS].selector |= 3;
            f->cpu->seg[SEG_SS].selector |= 3;
            cpu_set_eflags(f->cpu, FLAG_ONE | FLAG_AC);
            cpu_update_mode(f->cpu);
            g_assert_true(f->cpu->align_check);
            struct fpu before = f->cpu->fpu;
            int got = run_bytes(f, bytes, length);
            if (got != (bad ? VEC_AC : -1))
                g_error("%s at an address %s: vector %d", row->name, bad ? "it must not have" : "it may have",
                        got);
            if (bad)
                g_assert_cmpmem(&before, sizeof before, &f->cpu->fpu, sizeof before);
        }
    }
}

/* ---- reset ---- */

static void test_reset(struct fixture *f, gconstpointer unused)
{
    struct fpu *fpu = &f->cpu->fpu;
    memset(fpu, 0xa5, sizeof *fpu);
    struct fpu before = *fpu;
    fpu_reset(f->cpu, true);
    g_assert_cmpmem(&before, sizeof before, fpu, sizeof *fpu);
    fpu_reset(f->cpu, false);
    g_assert_cmphex(fpu->fcw, ==, 0x40);
    g_assert_cmphex(fpu->fsw, ==, 0);
    g_assert_cmphex(fpu->mxcsr, ==, 0x1f80);
    static const uint8_t fnstenv[] = {0xd9, 0x35, 0x00, 0x80, 0x01, 0x00}, fninit[] = {0xdb, 0xe3};
    g_assert_cmpint(run_bytes(f, fnstenv, sizeof fnstenv), ==, -1);
    g_assert_cmphex(*(uint16_t *)(f->ram + OPERAND_AT - RAM_AT + 8), ==, 0x5555);
    g_assert_cmpint(run_bytes(f, fninit, sizeof fninit), ==, -1);
    g_assert_cmphex(fpu->fcw, ==, 0x37f);
    g_assert_cmphex(fpu->ftw, ==, 0xffff);
}

/* ---- #XM without CR4.OSXMMEXCPT is #UD; the flags are set either way ---- */

static void test_xm(struct fixture *f, gconstpointer unused)
{
    static const uint8_t divps[] = {0x0f, 0x5e, 0xda};
    for (unsigned on = 0; on < 2; on++) {
        ordinary_state(f);
        cpu_write_cr4(f->cpu, CR4_OSFXSR | (on ? CR4_OSXMMEXCPT : 0));
        f->cpu->fpu.mxcsr = 0x1f80 & ~0x200u; /* zero divide unmasked */
        f->cpu->fpu.xmm[2].f32[1] = 0.0f;
        union xmm before = f->cpu->fpu.xmm[3];
        g_assert_cmpint(run_bytes(f, divps, sizeof divps), ==, on ? VEC_XM : VEC_UD);
        g_assert_cmphex(f->cpu->fpu.mxcsr, ==, 0x1d84);
        g_assert_cmpmem(&before, 16, &f->cpu->fpu.xmm[3], 16);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/cpu/fp/" #name, struct fixture, NULL, setup, test_##name, teardown)
    TEST(checks);
    TEST(faults);
    TEST(maskmov);
    TEST(layouts);
    TEST(ferr);
    TEST(alignment_check);
    TEST(reset);
    TEST(xm);
    return g_test_run();
}
