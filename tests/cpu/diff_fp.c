/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Every x87, MMX and SSE instruction form against the host's own, on random and special operands.
 *
 * This 64-bit process is the reference: floating point is the same in 64-bit mode. The instruction's bytes
 * are put into low memory; memory operands are [disp32] by a SIB byte, which means the same place in both
 * modes. The native side loads a whole state (FXRSTOR, general registers, EFLAGS), executes the bytes, and
 * stores the whole state again; an unmasked exception arrives as a signal, is noted with its trap number, and
 * execution goes on behind the instruction, so that the state at the fault is what gets compared. The
 * interpreted side decodes the same bytes and calls the row's function on a struct cpu with guest RAM at the
 * same addresses.
 *
 * Compared: 80-bit registers, FCW, FSW with TOP, tags, FOP, FIP, FDP, XMM registers, MXCSR, general
 * registers, status flags, memory, and the exception's vector. After each interpreted instruction the host's
 * own control words must be as they were and its register stack empty; before it, random sticky flags are put
 * there.
 *
 * diff-fp [--seed N] [--seconds N] [--row NAME] [--cases N] [--verbose]
 * NETLAB_TEST_FULL=1 runs many times as many cases.
 */
#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"
#include "tests/cpu/fp_operands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

enum { CODE_AT = 0x20000000, DATA_AT = 0x20100000, DATA_SIZE = 8192, OPERAND_AT = DATA_AT + 4096 - 1024 };
enum { MEMORY_BYTES = 2048 }; /* compared, from OPERAND_AT − 512 on */

struct fx_image {
    uint16_t fcw, fsw;
    uint8_t tags, reserved0;
    uint16_t fop;
    uint32_t fip;
    uint16_t fcs, reserved1;
    uint32_t fdp;
    uint16_t fds, reserved2;
    uint32_t mxcsr, mxcsr_mask;
    union fpu_reg st[8]; /* from the top */
    union xmm xmm[16];
    uint8_t rest[96];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct fx_image) == 512, "FXSAVE's size");

struct machine_state {
    struct fx_image fx;
    uint64_t gpr[8]; /* eax ecx edx ebx esp ebp esi edi; esp is not used */
    uint64_t eflags;
    uint8_t memory[MEMORY_BYTES];
    int vector; /* -1: none */
};

/* ---- the instruction ---- */
struct test_code {
    uint8_t bytes[16];
    unsigned length;
    bool memory;
    uint32_t address;
};

static bool row_is_tested(const struct insn_row *row)
{
    if (row->attr & ATTR_NOTEST)
        return false;
    return (row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE)) || !strcmp(row->name, "movnti");
}
static bool row_has_operand(const struct insn_row *row, enum insn_operand operand)
{
    return row->operand[0] == operand || row->operand[1] == operand || row->operand[2] == operand;
}
static bool row_is_environment(const struct insn_row *row)
{
    return row_has_operand(row, OPERAND_Menv) || row_has_operand(row, OPERAND_Mst);
}

static void make_code(const struct insn_row *row, struct test_code *code)
{
    uint8_t *p = code->bytes;
    static const uint8_t prefix[] = {
        [PREFIX_ANY] = 0, [PREFIX_NP] = 0, [PREFIX_66] = 0x66, [PREFIX_F3] = 0xf3, [PREFIX_F2] = 0xf2};
    memset(code, 0, sizeof *code);
    if (prefix[row->prefix])
        *p++ = prefix[row->prefix];
    else if (row_is_environment(row) && chance(40))
        *p++ = 0x66;
    if (row->map)
        *p++ = 0x0f;
    *p++ = row->opcode;
    if (row->ext & INSN_EXT_EXACT) {
        *p++ = row->ext & 0xff;
    } else if (row->ext & INSN_EXT_MODRM) {
        unsigned reg = row->ext & INSN_EXT_OPCODE ? row->ext & 7u : random_below(8);
        bool memory = row->ext & INSN_EXT_MEM || (!(row->ext & INSN_EXT_REG) && chance(50));
        /* ESP is this process's stack. */
        bool general_reg = row_has_operand(row, OPERAND_Gd);
        bool general_rm = row_has_operand(row, OPERAND_Ed) || row_has_operand(row, OPERAND_RdMw) ||
                          row_has_operand(row, OPERAND_Rd);
        if (general_reg && reg == ESP)
            reg = EBP;
        if (memory) {
            unsigned shift = chance(12) ? 1 + random_below(15) : chance(10) ? random_below(4) * 4 : 0;
            code->memory = true;
            code->address = OPERAND_AT + shift;
            *p++ = (uint8_t)(reg << 3 | 4);
            *p++ = 0x25;
            memcpy(p, &code->address, 4);
            p += 4;
        } else {
            unsigned rm = random_below(8);
            if (general_rm && rm == ESP)
                rm = ESI;
            *p++ = (uint8_t)(0xc0 | reg << 3 | rm);
        }
    }
    if (row_has_operand(row, OPERAND_Ib))
        *p++ = chance(70) ? (uint8_t)random_below(20) : (uint8_t)random64();
    code->length = (unsigned)(p - code->bytes);
}

static void make_operand(const struct insn_row *row, const struct test_code *code, struct machine_state *s)
{
    uint8_t *at = s->memory + 512 + (code->address - OPERAND_AT);
    for (unsigned i = 0; i < MEMORY_BYTES; i += 8) {
        uint64_t v = random64();
        memcpy(s->memory + i, &v, 8);
    }
    if (!code->memory)
        return;
    union xmm x = random_xmm();
    memcpy(at, &x, 16);
    if (row_has_operand(row, OPERAND_Mt)) {
        union fpu_reg r = random_f80();
        memcpy(at, r.bytes, 10);
    } else if (row_has_operand(row, OPERAND_Mbcd)) {
        random_bcd(at);
    } else if (row_has_operand(row, OPERAND_Md) || row_has_operand(row, OPERAND_Wss)) {
        uint32_t v = chance(70) ? random_f32() : (uint32_t)special_significand(32);
        memcpy(at, &v, 4);
    } else if (row_has_operand(row, OPERAND_Mq) || row_has_operand(row, OPERAND_Wsd)) {
        uint64_t v = chance(70) ? random_f64() : special_significand(64);
        memcpy(at, &v, 8);
    } else if (row_has_operand(row, OPERAND_Mst)) {
        unsigned base = code->bytes[0] == 0x66 ? 14 : 28;
        for (unsigned i = 0; i < 8; i++) {
            union fpu_reg r = random_f80();
            memcpy(at + base + 10 * i, r.bytes, 10);
        }
    } else if (row_has_operand(row, OPERAND_Mfx)) {
        struct fx_image *fx = (struct fx_image *)at;
        if (chance(80)) {
            uint32_t mxcsr = (uint32_t)random64() & 0xffff;
            memcpy(at + 24, &mxcsr, 4);
        }
        for (unsigned i = 0; i < 8; i++) {
            union fpu_reg r = random_f80();
            memcpy(&fx->st[i], &r, 16);
        }
    }
    if (!strcmp(row->name, "ldmxcsr") && chance(80)) {
        uint32_t mxcsr = (uint32_t)random64() & 0xffff;
        memcpy(at, &mxcsr, 4);
    }
    /* AMD's processors have MXCSR bit 17 (misaligned operands); here it is reserved as the SDM says */
    if (!strcmp(row->name, "ldmxcsr"))
        at[2] &= (uint8_t)~2;
    if (!strcmp(row->name, "fxrstor"))
        at[26] &= (uint8_t)~2;
}

static void make_state(const struct insn_row *row, struct machine_state *s)
{
    struct fx_image *fx = &s->fx;
    memset(fx, 0, sizeof *fx);
    fx->fcw = random_fcw();
    unsigned flags = chance(50) ? 0 : random_below(0x80);
    if (!chance(6))
        flags &= fx->fcw | 0x40u; /* rarely an exception is pending already */
    fx->fsw = (uint16_t)(flags | (random_below(8) << 11) | (random64() & 0x4700));
    if (flags & ~fx->fcw & 0x3f)
        fx->fsw |= 0x8080;
    unsigned kind = random_below(10);
    fx->tags = kind < 4   ? 0x7f /* ST(7) free, rotated below */
               : kind < 6 ? 0xff
               : kind < 7 ? 0
                          : (uint8_t)random64();
    if (kind < 4) {
        unsigned free_reg = ((fx->fsw >> 11) + 7) & 7;
        fx->tags = (uint8_t) ~(1u << free_reg);
    }
    fx->fop = random64() & 0x7ff;
    fx->fip = (uint32_t)random64();
    fx->fdp = (uint32_t)random64();
    for (unsigned i = 0; i < 8; i++)
        fx->st[i] = random_f80();
    for (unsigned i = 0; i < 8; i++)
        if (fx->st[i].sign_exponent == 0x3fff && chance(5))
            fx->st[i].sign_exponent = 0xffff; /* what MMX leaves behind */
    if (row->attr & ATTR_MMX)
        for (unsigned i = 0; i < 8; i++) {
            union xmm x = random_xmm();
            fx->st[i].significand = chance(40) ? random_below(70) : x.u64[0];
            fx->st[i].sign_exponent = 0xffff;
        }
    if (chance(15) && (row->attr & ATTR_X87)) { /* ST(1) close to ST(0): cancellation */
        fx->st[1] = fx->st[0];
        fx->st[1].significand ^= random_below(4);
        if (chance(50))
            fx->st[1].sign_exponent ^= 0x8000;
    }
    uint32_t mxcsr = chance(55) ? 0x1f80 : (uint32_t)random_below(64) << 7;
    mxcsr |= (chance(50) ? 0 : random_below(64)) | (chance(60) ? 0 : (random64() & 0xe040));
    fx->mxcsr = mxcsr;
    for (unsigned i = 0; i < 8; i++)
        fx->xmm[i] = random_xmm();
    if (chance(20))
        for (unsigned i = 1; i < 8; i++)
            for (unsigned k = 0; k < 4; k++)
                fx->xmm[i].u32[k] = fx->xmm[0].u32[k] ^ random_below(3);
    if (row->operand[1] == OPERAND_Udq || row->opcode == 0xf1 || row->opcode == 0xf2 ||
        (row->opcode & 0xc) == 0)
        if (chance(30)) /* shift counts */
            for (unsigned i = 0; i < 8; i++)
                fx->xmm[i].u64[0] = random_below(70);
    for (unsigned i = 0; i < 8; i++)
        s->gpr[i] = chance(30) ? (uint32_t)special_significand(32) : (uint32_t)random64();
    if (row_has_operand(row, OPERAND_Dq) || row_has_operand(row, OPERAND_Ddq))
        s->gpr[EDI] = OPERAND_AT + random_below(32);
    s->eflags = (random64() & FLAG_STATUS) | FLAG_ONE;
    s->vector = -1;
}

/* ---- the native side ---- */
static volatile int native_trap;
static volatile uint64_t native_resume;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    if (!native_resume) { /* not the instruction under test: the ordinary way to die, at the same place */
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(signal, &action, NULL);
        return;
    }
    native_trap = (int)uc->uc_mcontext.gregs[REG_TRAPNO];
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)native_resume;
}

static void native_run(const struct test_code *code, struct machine_state *s)
{
    static struct {
        uint32_t fcw, fsw, ftw, fip, fcs_fop, fdp, fds;
    } env; /* FXSAVE may hide the pointers while no exception is pending (AMD); FNSTENV shows them */
    uint8_t *at = (uint8_t *)(uintptr_t)CODE_AT;
    memcpy(at, code->bytes, code->length);
    at[code->length] = 0xc3;
    memcpy((void *)(uintptr_t)(OPERAND_AT - 512), s->memory, MEMORY_BYTES);
    native_trap = -1;
    native_resume = (uint64_t)(uintptr_t)(at + code->length);
    uint64_t flags = s->eflags;
    static const uint32_t mxcsr = 0x1f80;
    __asm__ volatile(
        "movq %[fx], %%r8\n\tmovq %[gpr], %%r9\n\tmovq %[code], %%r10\n\t"
        "fxrstor (%%r8)\n\t"
        "subq $128,%%rsp\n\t" /* the red zone */
        "pushq %%rbp\n\tpushq %%rbx\n\t"
        "pushq %[flags]\n\tpopfq\n\t"
        "movq 0(%%r9),%%rax\n\tmovq 8(%%r9),%%rcx\n\tmovq 16(%%r9),%%rdx\n\tmovq 24(%%r9),%%rbx\n\t"
        "movq 40(%%r9),%%rbp\n\tmovq 48(%%r9),%%rsi\n\tmovq 56(%%r9),%%rdi\n\t"
        "call *%%r10\n\t"
        "movq %%rax,0(%%r9)\n\tmovq %%rcx,8(%%r9)\n\tmovq %%rdx,16(%%r9)\n\tmovq %%rbx,24(%%r9)\n\t"
        "movq %%rbp,40(%%r9)\n\tmovq %%rsi,48(%%r9)\n\tmovq %%rdi,56(%%r9)\n\t"
        "pushfq\n\tpopq %%r11\n\t"
        "popq %%rbx\n\tpopq %%rbp\n\t"
        "subq $-128,%%rsp\n\t"
        "fxsave (%%r8)\n\tfnstenv %[env]\n\tfninit\n\tldmxcsr %[mxcsr]\n\tmovq %%r11,%[flags]\n\t"
        : [flags] "+r"(flags), [env] "=m"(env)
        : [fx] "r"(&s->fx), [gpr] "r"(s->gpr), [code] "r"((uint64_t)CODE_AT), [mxcsr] "m"(mxcsr)
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2",
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
          "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    native_resume = 0;
    s->eflags = (flags & FLAG_STATUS) | FLAG_ONE;
    s->vector = native_trap;
    s->fx.fip = env.fip;
    s->fx.fop = env.fcs_fop >> 16 & 0x7ff;
    s->fx.fcs = (uint16_t)env.fcs_fop;
    s->fx.fdp = env.fdp;
    s->fx.fds = (uint16_t)env.fds;
    memcpy(s->memory, (void *)(uintptr_t)(OPERAND_AT - 512), MEMORY_BYTES);
}

/* ---- the interpreted side ---- */
static struct cpu *guest;
static uint8_t *guest_ram; /* guest-physical DATA_AT */

static void guest_make(void)
{
    static struct cpu_board board;
    board.mem = physmap_new(4 << 20, NULL);
    guest_ram = physmap_ram(board.mem);
    physmap_add_ram(board.mem, "ram", DATA_AT, 4 << 20, 0, 0);
    guest = cpu_new(cpu_model_default(), &board);
    physmap_set_change_listener(board.mem, cpu_memory_changed, guest);
    struct cpu_boot_state flat = {.eip = CODE_AT, .cs = 0x10, .ds = 0x18};
    cpu_set_boot_state(guest, &flat);
    cpu_write_cr0(guest, CR0_PE | CR0_MP | CR0_NE | CR0_ET);
    cpu_write_cr4(guest, CR4_OSFXSR | CR4_OSXMMEXCPT);
    uint16_t selector; /* as this process has them: the x87 keeps them with its pointers */
    __asm__("mov %%cs,%0" : "=r"(selector));
    guest->seg[SEG_CS].selector = selector;
    __asm__("mov %%ds,%0" : "=r"(selector));
    guest->seg[SEG_DS].selector = selector;
}

static void fpu_from_image(struct fpu *f, const struct fx_image *fx)
{
    memset(f, 0, sizeof *f);
    f->fcw = fx->fcw;
    f->fsw = fx->fsw;
    for (unsigned i = 0; i < 8; i++) {
        unsigned phys = ((fx->fsw >> 11) + i) & 7;
        memcpy(f->r[phys].bytes, fx->st[i].bytes, 10);
        if (!(fx->tags >> i & 1))
            f->ftw |= (uint16_t)(3u << (2 * i));
    }
    f->fop = fx->fop;
    f->fip = fx->fip;
    f->fcs = fx->fcs;
    f->fdp = fx->fdp;
    f->fds = fx->fds;
    f->mxcsr = fx->mxcsr;
    memcpy(f->xmm, fx->xmm, sizeof f->xmm);
}
static void fpu_to_image(const struct fpu *f, struct fx_image *fx)
{
    fx->fcw = f->fcw;
    fx->fsw = f->fsw;
    fx->tags = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned phys = ((f->fsw >> 11) + i) & 7;
        memcpy(fx->st[i].bytes, f->r[phys].bytes, 10);
        if ((f->ftw >> (2 * i) & 3) != 3)
            fx->tags |= (uint8_t)(1u << i);
    }
    fx->fop = f->fop;
    fx->fip = f->fip;
    fx->fcs = f->fcs;
    fx->fdp = f->fdp;
    fx->fds = f->fds;
    fx->mxcsr = f->mxcsr;
    memcpy(fx->xmm, f->xmm, sizeof f->xmm);
}

struct host_environment {
    uint32_t fcw, fsw, ftw, rest[4];
};
static void host_environment_get(struct host_environment *e, uint32_t *mxcsr)
{
    __asm__ volatile("fnstenv %0\n\tfldenv %0\n\tstmxcsr %1" : "+m"(*e), "=m"(*mxcsr));
}

static const char *guest_run(const struct test_code *code, struct machine_state *s)
{
    static const char *complaint;
    struct insn in;
    complaint = NULL;
    if (insn_decode(code->bytes, code->length, true, false, NULL, &in) != DECODE_OK)
        return "not decoded";
    if (in.length != code->length)
        return "decoded to another length";
    memcpy(guest_ram + (OPERAND_AT - 512 - DATA_AT), s->memory, MEMORY_BYTES);
    fpu_from_image(&guest->fpu, &s->fx);
    for (unsigned i = 0; i < 8; i++)
        guest->gpr[i] = (uint32_t)s->gpr[i];
    guest->status = (uint32_t)s->eflags & FLAG_STATUS;
    guest->eflags = FLAG_ONE;
    guest->insn_eip = CODE_AT;
    guest->eip = CODE_AT + code->length;
    /* sticky flags that other code may have left on the host */
    struct host_environment e, after;
    uint32_t mxcsr;
    host_environment_get(&e, &mxcsr);
    e.fsw = (e.fsw & ~0x3fu) | (chance(50) ? 0 : random_below(64));
    __asm__ volatile("fldenv %0" : : "m"(e));
    mxcsr = 0x1f80 | random_below(64);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    if (setjmp(guest->fault_exit) == 0) {
        in.run(guest, &in);
        s->vector = -1;
    } else {
        s->vector = guest->fault_vector;
    }
    host_environment_get(&after, &mxcsr);
    if ((uint16_t)after.fcw != 0x37f)
        complaint = "the host's FCW was not restored";
    if ((uint16_t)after.ftw != 0xffff || ((after.fsw ^ e.fsw) & 0x3800))
        complaint = "the host's x87 stack is not as it was";
    if ((mxcsr & ~0x3fu) != 0x1f80)
        complaint = "the host's MXCSR was not restored";
    __asm__ volatile("fninit");
    fpu_to_image(&guest->fpu, &s->fx);
    for (unsigned i = 0; i < 8; i++)
        s->gpr[i] = guest->gpr[i];
    s->eflags = guest->status | FLAG_ONE;
    memcpy(s->memory, guest_ram + (OPERAND_AT - 512 - DATA_AT), MEMORY_BYTES);
    return complaint;
}

/* ---- where processors differ ---- */

/*
 * The interpreter follows the SDM. An AMD host does not in these cases; each hides exactly what differs, and
 * how often it did is printed at the end.
 */
enum difference {
    DIFFERENCE_FCOMI_C1,     /* SDM: FCOMI, FUCOMI clear C1; AMD leaves it */
    DIFFERENCE_FCOMI_EFLAGS, /* SDM: an unmasked invalid operation leaves ZF PF CF; AMD sets them to
                                "unordered" */
    DIFFERENCE_CVTPI2PS,     /* SDM: enters MMX state with a memory operand too; AMD only with a register */
    DIFFERENCE_XM_MMX, /* AMD: conversions that raise #XM have entered MMX state; here a fault changes nothing
                        */
    DIFFERENCE_FXSAVE, /* AMD: FXSAVE hides FIP, FDP, FOP while no exception is pending; MXCSR_MASK has bit 17
                        */
    DIFFERENCE_COUNT,
};
static const char *const difference_names[DIFFERENCE_COUNT] = {
    [DIFFERENCE_FCOMI_C1] = "FCOMI and C1",
    [DIFFERENCE_FCOMI_EFLAGS] = "FCOMI, unmasked invalid operation and EFLAGS",
    [DIFFERENCE_CVTPI2PS] = "CVTPI2PS from memory and MMX state",
    [DIFFERENCE_XM_MMX] = "#XM and MMX state",
    [DIFFERENCE_FXSAVE] = "FXSAVE's pointers and MXCSR_MASK",
};
static uint64_t difference_count[DIFFERENCE_COUNT];
static bool host_is_amd;
/* Processors since the Pentium 4 may update FOP, newer ones also FDP, only on an unmasked exception, and the
 * newest keep no selectors; the interpreter does what the P6 family did, always. Found out at start. */
static bool host_keeps_fop, host_keeps_fdp;

static bool host_find_vendor(void)
{
    uint32_t a = 0, b, c, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return b == 0x68747541 || b == 0x6f677948; /* AuthenticAMD, HygonGenuine */
}

/* Takes one hidden difference over from the native side. */
static void hide_mmx_state(struct machine_state *got, const struct machine_state *want)
{
    got->fx.fsw = (uint16_t)((got->fx.fsw & ~0x3800) | (want->fx.fsw & 0x3800));
    got->fx.tags = want->fx.tags;
    memcpy(got->fx.st, want->fx.st, sizeof got->fx.st);
}
static void hide_differences(const struct insn_row *row, const struct test_code *code,
                             const struct machine_state *before, const struct machine_state *want,
                             struct machine_state *got)
{
    if (!host_is_amd)
        return;
    bool fcomi = !strncmp(row->name, "fcomi", 5) || !strncmp(row->name, "fucomi", 6);
    if (fcomi && want->vector < 0) {
        if ((want->fx.fsw ^ got->fx.fsw) & 0x200 && !(got->fx.fsw & 0x200)) {
            difference_count[DIFFERENCE_FCOMI_C1]++;
            got->fx.fsw ^= 0x200;
        }
        if ((want->fx.fsw & 0x80) && (want->fx.fsw & 1) && want->eflags != got->eflags &&
            !(got->eflags & (FLAG_OF | FLAG_SF | FLAG_AF)) &&
            (got->eflags & (FLAG_ZF | FLAG_PF | FLAG_CF)) ==
                (before->eflags & (FLAG_ZF | FLAG_PF | FLAG_CF))) {
            difference_count[DIFFERENCE_FCOMI_EFLAGS]++;
            got->eflags = want->eflags;
        }
    }
    if (!strcmp(row->name, "cvtpi2ps") && code->memory) {
        if (got->vector == VEC_MF && (before->fx.fsw & 0x80)) { /* AMD: no x87 state, no pending exception */
            difference_count[DIFFERENCE_CVTPI2PS]++;
            *got = *want;
        } else if (want->vector < 0 && !(got->fx.fsw & 0x3800) && got->fx.tags == 0xff) {
            difference_count[DIFFERENCE_CVTPI2PS]++;
            hide_mmx_state(got, want);
        }
    }
    if ((row->attr & ATTR_MMX) && (row->attr & ATTR_SSE) && want->vector == VEC_XM &&
        !((got->fx.fsw ^ before->fx.fsw) & 0x3800) && got->fx.tags == before->fx.tags) {
        difference_count[DIFFERENCE_XM_MMX]++;
        hide_mmx_state(got, want);
    }
    if (!strcmp(row->name, "fxsave") && want->vector < 0) {
        unsigned at = 512 + code->address - OPERAND_AT;
        got->memory[at + 30] |= 2;
        if (!(before->fx.fsw & 0x80)) {
            difference_count[DIFFERENCE_FXSAVE]++;
            memset(got->memory + at + 6, 0, 18);
        }
    }
}

/* ---- comparing ---- */
static void compare_number(GString *out, const char *name, uint64_t want, uint64_t got)
{
    if (want != got)
        g_string_append_printf(
            out, "  %-10s native %#" G_GINT64_MODIFIER "x, interpreter %#" G_GINT64_MODIFIER "x\n", name,
            want, got);
}

static void compare(const struct insn_row *row, const struct test_code *code,
                    const struct machine_state *want, const struct machine_state *got, GString *out)
{
    char name[32];
    compare_number(out, "vector", (uint64_t)(int64_t)want->vector, (uint64_t)(int64_t)got->vector);
    compare_number(out, "FCW", want->fx.fcw, got->fx.fcw);
    compare_number(out, "FSW", want->fx.fsw, got->fx.fsw);
    compare_number(out, "tags", want->fx.tags, got->fx.tags);
    bool lost = !want->fx.fip && !want->fx.fop && !want->fx.fdp; /* in a context switch or a signal frame */
    if (!lost) {
        bool exception = want->fx.fsw & 0x80;
        compare_number(out, "FIP", want->fx.fip, got->fx.fip);
        if (host_keeps_fop || exception)
            compare_number(out, "FOP", want->fx.fop, got->fx.fop);
        if (host_keeps_fdp || exception)
            compare_number(out, "FDP", want->fx.fdp, got->fx.fdp);
    }
    if (!lost && want->fx.fcs) { /* a 64-bit kernel loses the selectors alone when an exception is pending */
        compare_number(out, "FCS", want->fx.fcs, got->fx.fcs);
        if (host_keeps_fdp)
            compare_number(out, "FDS", want->fx.fds, got->fx.fds);
    }
    compare_number(out, "MXCSR", want->fx.mxcsr, got->fx.mxcsr);
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(want->fx.st[i].bytes, got->fx.st[i].bytes, 10))
            g_string_append_printf(out,
                                   "  st(%u)      native %04x:%016" G_GINT64_MODIFIER
                                   "x, interpreter %04x:%016" G_GINT64_MODIFIER "x\n",
                                   i, want->fx.st[i].sign_exponent, want->fx.st[i].significand,
                                   got->fx.st[i].sign_exponent, got->fx.st[i].significand);
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(&want->fx.xmm[i], &got->fx.xmm[i], 16))
            g_string_append_printf(
                out, "  xmm%u       native %08x %08x %08x %08x, interpreter %08x %08x %08x %08x\n", i,
                want->fx.xmm[i].u32[3], want->fx.xmm[i].u32[2], want->fx.xmm[i].u32[1],
                want->fx.xmm[i].u32[0], got->fx.xmm[i].u32[3], got->fx.xmm[i].u32[2], got->fx.xmm[i].u32[1],
                got->fx.xmm[i].u32[0]);
    for (unsigned i = 0; i < 8; i++) {
        g_snprintf(name, sizeof name, "gpr %u", i);
        if (i != ESP)
            compare_number(out, name, (uint32_t)want->gpr[i], (uint32_t)got->gpr[i]);
    }
    compare_number(out, "eflags", want->eflags, got->eflags);
    for (unsigned i = 0; i < MEMORY_BYTES; i++) {
        unsigned offset = i - 512 - (code->address - OPERAND_AT); /* in the operand */
        if (row_has_operand(row, OPERAND_Mfx) && offset >= 288 && offset < 416)
            continue; /* XMM8…15: 64-bit mode writes them */
        if (want->memory[i] != got->memory[i]) {
            g_snprintf(name, sizeof name, "memory %+d", (int)offset);
            compare_number(out, name, want->memory[i], got->memory[i]);
        }
    }
}

static void host_find_pointers(void)
{
    /* fld dword [OPERAND_AT], nothing unmasked */
    struct test_code code = {.bytes = {0xd9, 0x04, 0x25}, .length = 7, .memory = true, .address = OPERAND_AT};
    memcpy(code.bytes + 3, &code.address, 4);
    for (unsigned attempt = 0; attempt < 3; attempt++) { /* a context switch loses them */
        struct machine_state s = {.fx = {.fcw = 0x37f, .mxcsr = 0x1f80}, .eflags = FLAG_ONE};
        native_run(&code, &s);
        host_keeps_fop |= s.fx.fop != 0;
        host_keeps_fdp |= s.fx.fdp != 0;
    }
}

static void print_state(const struct machine_state *s)
{
    printf("  FCW %04x FSW %04x tags %02x MXCSR %04x eflags %x\n", s->fx.fcw, s->fx.fsw, s->fx.tags,
           s->fx.mxcsr, (unsigned)s->eflags);
    for (unsigned i = 0; i < 8; i++)
        printf("  st(%u) %04x:%016" G_GINT64_MODIFIER "x%s   xmm%u %08x %08x %08x %08x   gpr%u %08x\n", i,
               s->fx.st[i].sign_exponent, s->fx.st[i].significand,
               s->fx.tags >> (((s->fx.fsw >> 11) + i) & 7) & 1 ? "      " : " empty", i, s->fx.xmm[i].u32[3],
               s->fx.xmm[i].u32[2], s->fx.xmm[i].u32[1], s->fx.xmm[i].u32[0], i, (unsigned)s->gpr[i]);
    printf("  operand");
    for (unsigned i = 0; i < 32; i++)
        printf(" %02x", s->memory[512 + i]);
    printf("\n");
}

/* ---- running ---- */
static bool verbose;
static unsigned failures_shown;

static bool run_case(const struct insn_row *row, struct machine_state *start, struct machine_state *native)
{
    struct test_code code;
    struct machine_state before, got;
    make_code(row, &code);
    make_operand(row, &code, start);
    before = *start;
    g_autoptr(GString) differences = g_string_new(NULL);
    const char *complaint;
    unsigned attempt = 0;
    do { /* a context switch at the wrong moment changes FIP and FDP: a difference must repeat */
        got = before;
        *native = before;
        native_run(&code, native);
        complaint = guest_run(&code, &got);
        g_string_truncate(differences, 0);
        hide_differences(row, &code, &before, native, &got);
        compare(row, &code, native, &got, differences);
        if (!complaint && differences->len == 0)
            return true;
    } while (++attempt < 3);
    if (failures_shown++ < 5 || verbose) {
        struct insn in;
        char text[96] = "?";
        if (insn_decode(code.bytes, code.length, true, false, NULL, &in) == DECODE_OK)
            insn_format(&in, CODE_AT, text, sizeof text);
        printf("FAIL row %s: ", row->name);
        for (unsigned i = 0; i < code.length; i++)
            printf("%02x ", code.bytes[i]);
        printf("  %s\n before:\n", text);
        print_state(&before);
        printf(" differences:\n%s", differences->str);
        if (complaint)
            printf("  %s\n", complaint);
    }
    return false;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    bool full = g_strcmp0(g_getenv("NETLAB_TEST_FULL"), "1") == 0;
    uint64_t seed = full ? (uint64_t)time(NULL) : 1;
    double seconds = full ? 1800 : 50;
    unsigned cases = full ? 100000 : 2000;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
            seconds = atof(argv[++i]);
        else if (!strcmp(argv[i], "--cases") && i + 1 < argc)
            cases = (unsigned)strtoul(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--row") && i + 1 < argc)
            only = argv[++i];
        else if (!strcmp(argv[i], "--verbose"))
            verbose = true;
        else {
            fprintf(stderr, "usage: diff-fp [--seed N] [--seconds N] [--cases N] [--row NAME] [--verbose]\n");
            return 2;
        }
    }
    void *code = mmap((void *)(uintptr_t)CODE_AT, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void *data = mmap((void *)(uintptr_t)DATA_AT, DATA_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (code == MAP_FAILED || data == MAP_FAILED) {
        perror("diff-fp: mapping low memory");
        return 1;
    }
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    guest_make();
    host_is_amd = host_find_vendor();
    host_find_pointers();
    printf("host: %s, %s FOP, %s FDP\n", host_is_amd ? "AMD" : "not AMD",
           host_keeps_fop ? "keeps" : "does not keep", host_keeps_fdp ? "keeps" : "does not keep");

    double end = now() + seconds;
    uint64_t total = 0, failed = 0;
    unsigned rows = 0, bad_rows = 0, done_rows = 0, want_rows = 0;
    for (unsigned i = 0; i < INSN_COUNT; i++)
        want_rows += row_is_tested(&insn_rows[i]) && (!only || !strcmp(only, insn_rows[i].name));
    for (unsigned i = 0; i < INSN_COUNT; i++) {
        const struct insn_row *row = &insn_rows[i];
        if (!row_is_tested(row) || (only && strcmp(only, row->name)))
            continue;
        /* each row its own sequence, so that a row alone repeats what it did among all */
        fp_random_state = seed * 1000003 + i;
        rows++;
        uint64_t row_failed = 0, row_cases = 0;
        double row_end = now() + (end - now()) / (want_rows - done_rows);
        struct machine_state state, native;
        for (unsigned k = 0; k < cases && ((k & 63) || now() < row_end); k++, row_cases++) {
            if (k == 0 || chance(80)) {
                make_state(row, &state);
            } else { /* go on from where the processor got to */
                state = native;
                if (chance(90) && (state.fx.fsw & 0x80)) {
                    state.fx.fsw &= 0x7f00;
                }
            }
            if (!run_case(row, &state, &native))
                row_failed++;
        }
        done_rows++;
        total += row_cases;
        failed += row_failed;
        bad_rows += row_failed > 0;
        printf("%-16s %7" G_GUINT64_FORMAT " cases%s", row->name, row_cases, row_failed ? "" : "\n");
        if (row_failed)
            printf(", %" G_GUINT64_FORMAT " FAILED\n", row_failed);
    }
    for (unsigned i = 0; i < DIFFERENCE_COUNT; i++)
        if (difference_count[i])
            printf("hidden: %s, %" G_GUINT64_FORMAT " times\n", difference_names[i], difference_count[i]);
    printf("seed %" G_GUINT64_FORMAT ": %u rows, %" G_GUINT64_FORMAT " cases, %" G_GUINT64_FORMAT
           " failed in %u rows\n",
           seed, rows, total, failed, bad_rows);
    return failed || !rows ? 1 : 0;
}
