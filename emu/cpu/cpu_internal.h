/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The CPU's registers and what its files share. Only emu/cpu includes this.
 *
 * Faults: an instruction's function raises by cpu_fault(), which does not return (it longjmps to the run loop);
 * so nothing architectural may be changed before the last thing that can fault. The run loop sets `eip` to the
 * next instruction and `insn_eip` to the present one before each call; faults restart at insn_eip, traps
 * continue at eip.
 *
 * Flags: CF PF AF ZF SF OF live in `status`, at their EFLAGS positions, all other EFLAGS bits in `eflags`.
 * The interpreter executes the arithmetic with the host's own instruction and keeps the host's flags, the
 * undefined ones included, so that interpreter and translator agree bit for bit (see flags.h).
 *
 * Host pointers never appear in saved state; cpu_state_table lists the fields that do.
 */
#pragma once

#include "emu/cpu/cpu.h"
#include "emu/machine/clock.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"
#include "emu/trace.h"

#include <setjmp.h>

enum gpr { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, GPR_ZERO /* always 0: an absent base or index */ };
enum segment_register { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/* EFLAGS (SDM vol. 1, 3.4.3) */
#define FLAG_CF   (1u << 0)
#define FLAG_ONE  (1u << 1)
#define FLAG_PF   (1u << 2)
#define FLAG_AF   (1u << 4)
#define FLAG_ZF   (1u << 6)
#define FLAG_SF   (1u << 7)
#define FLAG_TF   (1u << 8)
#define FLAG_IF   (1u << 9)
#define FLAG_DF   (1u << 10)
#define FLAG_OF   (1u << 11)
#define FLAG_IOPL (3u << 12)
#define FLAG_NT   (1u << 14)
#define FLAG_RF   (1u << 16)
#define FLAG_VM   (1u << 17)
#define FLAG_AC   (1u << 18)
#define FLAG_VIF  (1u << 19)
#define FLAG_VIP  (1u << 20)
#define FLAG_ID   (1u << 21)
#define FLAG_IMPLEMENTED 0x003f7fd7u
#define FLAG_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)
#define CR4_VME (1u << 0)
#define CR4_PVI (1u << 1)
#define CR4_TSD (1u << 2)
#define CR4_DE  (1u << 3)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_MCE (1u << 6)
#define CR4_PGE (1u << 7)
#define CR4_PCE (1u << 8)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define EFER_NXE (1u << 11)
#define DR6_BD (1u << 13)
#define DR6_BS (1u << 14)
#define DR6_BT (1u << 15)
#define DR6_FIXED 0xffff0ff0u /* reads as ones */
#define DR7_GD (1u << 13)
#define DR7_FIXED 0x00000400u

enum vector {
    VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7, VEC_DF = 8,
    VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16, VEC_AC = 17, VEC_MC = 18,
    VEC_XM = 19,
};

/* A segment register with its hidden part (SDM vol. 3, 3.4.3). [min, max] are the valid offsets of a byte:
 * an expand-down segment has min = limit + 1; an unusable one has min > max. */
struct segment {
    uint16_t selector;
    bool can_read, can_write; /* data access is allowed, type and presence considered */
    uint32_t base;
    uint32_t min, max;
    uint32_t limit; /* bytes, granularity applied */
    uint32_t attr;  /* bits 8…23 of the descriptor's second word, in place: type, S, DPL, P, AVL, D/B, G */
};
#define SEG_ATTR_TYPE 0x00000f00u
#define SEG_ATTR_S    0x00001000u
#define SEG_ATTR_DPL  0x00006000u
#define SEG_ATTR_P    0x00008000u
#define SEG_ATTR_DB   0x00400000u
#define SEG_ATTR_G    0x00800000u
#define SEG_ATTR_CODE 0x00000800u /* with S */
#define SEG_ATTR_CONFORMING 0x00000400u
#define SEG_ATTR_EXPAND_DOWN 0x00000400u
#define SEG_ATTR_RW   0x00000200u /* writable data, readable code */
#define SEG_ATTR_ACCESSED 0x00000100u

/* A data segment load that was found good, for translated code at CPL 0: when selector and descriptor are the
 * same again, it gives the same. Filled by segment_load(), void after LGDT. */
struct segment_memo {
    uint64_t raw;      /* the descriptor */
    uint32_t selector; /* SEGMENT_MEMO_NONE: there is none */
    uint32_t offset;   /* of the descriptor in the GDT */
    struct segment loaded;
    bool plain; /* writable, 4 GiB from its base */
};
#define SEGMENT_MEMO_NONE 0xffffffffu

/* A passage between CPL 3 and 0 that was found good, for translated code (jit/gate.c): through gate `offset`
 * of the IDT, or by IRET to selectors `selector` and `ss`. All segments are flat. Void after LGDT. */
struct gate_memo {
    uint64_t gate, code, stack;    /* the descriptors; `gate` and what belongs to it on the way in alone */
    uint32_t offset;               /* of the gate; GATE_MEMO_NONE: there is no memo */
    uint32_t selector, ss;         /* GATE_MEMO_NONE again */
    uint32_t cs_offset, ss_offset; /* of their descriptors in the GDT */
    uint32_t eip;
    uint32_t keep; /* the bits of EFLAGS that the gate leaves */
    struct segment cs, stack_segment;
};
#define GATE_MEMO_NONE 0xffffffffu

struct descriptor_table {
    uint32_t base;
    uint16_t limit;
};

/* x87 registers by physical number R0…R7 (ST(i) is R[(TOP + i) & 7]); 80 bits in the first ten bytes.
 * An MMX register MMi is the significand of Ri. In `ftw` a register's two bits are 3 when it is empty and 0 when
 * not; what FSTENV shows (zero, special) is worked out when asked for. */
struct fpu {
    union fpu_reg {
        uint8_t bytes[16];
        struct {
            uint64_t significand;
            uint16_t sign_exponent;
        };
        uint64_t mmx;
    } r[8] __attribute__((aligned(16)));
    uint16_t fcw, fsw; /* fsw includes TOP, bits 11–13 */
    uint16_t ftw;
    uint16_t fop;
    uint32_t fip, fdp;
    uint16_t fcs, fds;
    uint32_t mxcsr;
    union xmm {
        uint8_t u8[16];
        uint16_t u16[8];
        uint32_t u32[4];
        uint64_t u64[2];
        float f32[4];
        double f64[2];
    } xmm[8] __attribute__((aligned(16)));
};

/* Guest time by the host's TSC: sysregs.c. */
struct cpu_tsc_clock {
    uint64_t at_tsc, at_time;     /* a moment in both */
    uint64_t span;                /* host ticks for which `slope` carries on from there; 0: ask again */
    uint64_t slope;               /* `rate`, or less to let the clock catch up */
    uint64_t rate;                /* ns a host tick, times 2^32; 0: not known yet */
    uint64_t base_tsc, base_time; /* what the rate is measured from; base_tsc 0: nothing yet */
    int64_t offset;               /* of the clock then: another one says that it was stopped or set */
    uint64_t last;                /* what was told */
    bool useless;                 /* the host's TSC is not invariant */
};

/* Soft TLB: direct mapped by linear page, one table for supervisor and one for user accesses. A tag is the
 * linear page address when the access kind may go straight to host memory at linear + addend, else TLB_NONE.
 * A page whose bytes were decoded has no write tag: stores go the slow way and drop the code (mmu.c). */
#define TLB_BITS 12 /* with 10, kernel and process of one system call push each other out */
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_NONE 0xffffffffu /* never a page address */
struct tlb_entry {
    uint32_t read, write, exec; /* tags */
    uint32_t flags;             /* linear page | TLB_ bits of mmu.c: what the walk granted, tags or not */
    uintptr_t addend;           /* host address = linear + addend, when a tag is there */
    uint64_t physical;          /* of the page */
};
_Static_assert(sizeof(struct tlb_entry) == 32, "the slot is found by a shift");
/* A third table is always empty: data accesses look there while #AC is armed, so that all of them go the slow
 * way, which checks alignment. cpu->tlb_data points to the table for data accesses at the present CPL. */
enum { TLB_SUPERVISOR, TLB_USER, TLB_EMPTY, TLB_TABLES };

#define CPU_MC_BANKS 4u /* machine-check banks, in which nothing is ever reported */
#define CPU_MISC_LIMIT_CPUID (1ull << 22)

struct block;
struct block_cache;
struct page_writers;
struct jit;
struct lockstep;
struct insn;

/* What is behind a page of a device. */
struct cpu_device_page {
    uint64_t page; /* its physical address */
    const struct mmio_ops *ops;
    void *opaque;
    uint32_t offset; /* of the page's first byte in the device's range */
};
#define CPU_DEVICE_PAGES 16

struct cpu {
    /* First, within reach of 8-bit displacements: what translated code touches. */
    uint32_t gpr[9]; /* + GPR_ZERO */
    uint32_t eip;
    uint32_t status;  /* CF PF AF ZF SF OF */
    uint32_t eflags;  /* all other bits, FLAG_ONE set */
    uint32_t insn_eip; /* of the instruction being executed */
    int exit_request;  /* set by any thread; see cpu_request_exit() */
    uint32_t events;   /* CPU_EVENT_*: looked at between blocks */
    uint8_t cpl;       /* 0…3; 3 in V86 mode */
    bool intr;         /* INTR pin; translated code reads it together with cpl */
    bool code32;       /* CS.D: default operand and address size */
    bool halted;
    bool block_stale;  /* code in the running block was overwritten: leave it after this instruction */
    uint32_t stack_mask; /* 0xffff or 0xffffffff, from SS.B */
    /* What translated code looks at (jit/), all of it set when that is entered: */
    uint64_t go;           /* 0: something is pending, see jit/runtime.c; other threads clear it */
    uint32_t jit_page;     /* EIP of the start of the page that is being executed */
    uint32_t jit_flags;    /* the guest's status flags on their way, as LAHF and SETO leave them in AX */
    uint32_t jit_index[5]; /* operands of pext: enum jit_index_mask */
    uint8_t jit_open[6];   /* segments: may be read and written, and begin with offset 0 */
    uint8_t jit_plain[2];  /* FS, GS: base aside, all 4 GiB may be read and written */
    void *jit_tables;      /* the flat tables of the present privilege */
    void *jit_window;      /* the window of the present privilege; the host's GS leads there too */
    uint64_t hot_go[2];    /* by privilege; 0: `go` is, or hot blocks are to go on as flat ones */
    void *jit_stack;       /* translated code's stack pointer while C runs, and C's while that runs */
    void *jit_c_stack;
    void *jit_stack_top;   /* where translated code's begins; at CPL 3 it has another one */
    void *jit_stack_user;  /* CPL 3's while the kernel runs, good as long as */
    uint32_t jit_stack_generation; /* flat_generation() is this */
    uint64_t jit_saved;    /* r10 while C runs */
    /* icount.h */
    int64_t icount_left;              /* instructions until cpu_run() returns */
    const struct block *icount_block; /* the one that translated code counted last, while that runs; or NULL */
    uint32_t icount_offset;           /* where it begins on its page */
    uint64_t icount_target;           /* the count at which none are left */
    bool icount;
    struct segment seg[SEG_COUNT];

    struct segment_memo segment_memo[SEG_COUNT];
    struct gate_memo gate_in, gate_out;
    struct segment ldtr, tr;
    struct descriptor_table gdtr, idtr;
    uint32_t cr0, cr2, cr3, cr4;
    uint32_t dr[8];
    uint64_t pdpte[4]; /* PAE: loaded by MOV CR3 */
    uint32_t a20_mask; /* ANDed to physical addresses: all ones or ~(1 << 20) */

    struct fpu fpu;

    /* MSRs */
    uint64_t efer, apic_base, pat, misc_enable, tsc_offset, tsc_adjust, bios_sign;
    uint32_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t mtrr_def_type, mtrr_fix[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mcg_status, mc_ctl[CPU_MC_BANKS];

    /* event state */
    bool nmi_pending, nmi_blocked, init_pending;
    bool shadow;            /* STI, MOV SS, POP SS: no interrupt before the next instruction is done */
    uint32_t shadow_eip;    /* where that next instruction is */
    bool shadow_db;         /* the shadow holds off #DB too (MOV SS) */
    bool in_exception;      /* delivery in progress: for double faults */
    uint8_t exception_vector; /* the one being delivered */
    uint8_t fault_chain;      /* faults in a row that came while the one before was being delivered */
    uint8_t fault_vector;     /* noted by cpu_fault() for cpu_deliver_fault() */
    uint32_t fault_error;
    uint32_t ext;           /* EXT bit for error codes: 1 while an external event or exception is delivered */
    bool step_armed;        /* TF was set when the present instruction began */
    bool step_shadowed;     /* the present instruction is the one a shadow protects */
    bool rep_paused;        /* a repeated instruction left between two iterations, eip on itself */
    bool align_check;       /* CR0.AM, EFLAGS.AC and CPL 3; set by cpu_update_mode() */
    uint32_t dr6_pending;   /* single-step and breakpoint traps collected by the present instruction */
    bool has_breakpoints;   /* DR7 enables something: blocks run one instruction at a time, or check */

    struct cpu_board board;
    const struct cpu_model *model;
    struct block_cache *blocks;
    struct cpu_statistics stats;
    struct cpu_tsc_clock tsc_clock;
    jmp_buf fault_exit; /* the run loop's landing place for cpu_fault(); values: enum cpu_landing */

    struct tlb_entry *tlb_data; /* set by cpu_update_mode() */
    /* The translator (jit/), NULL with the interpreter alone; what follows is set when its code is entered. */
    struct jit *jit;
    size_t code_size;    /* of the translator's memory for code; 0: its own idea */
    unsigned block_most; /* instructions in a block */
    struct lockstep *lockstep; /* NULL: the translator runs alone */
    struct debugger *debugger; /* NULL: there is none. debugger.h */
    struct window *window; /* its windows, NULL without: jit/window.h */
    struct flat *flat; /* its tables for memory, NULL without it: jit/flat.h */
    /* x87 and SSE registers kept in the host's while translated code runs: jit/fp_live.c. */
    uint32_t fp_live;           /* units whose state is in the host's registers and not in `fpu`, FP_ bits */
    uint32_t fp_away[2];        /* 0: the unit is live; what translated code looks at */
    uint32_t fp_scratch;        /* a control word on its way */
    uint32_t fp_note;           /* the last x87 instruction, not yet told of by FIP, FCS and FOP; or 0 */
    uint32_t fp_note_page;      /* jit_page then */
    uint32_t fp_note_data;      /* the segment of the last memory operand + 1, not yet told of by FDS; or 0 */
    uint32_t fp_leave;          /* where translated code is to be left, offset in the page, if a unit cannot be live */
    bool fp_denied;             /* the interpreter is to execute the next block */
    uint8_t fp_masks[256];      /* of a byte: 1 when its low six bits, the exception masks, are all ones */
    uint8_t fp_alignment[256];  /* 1 when its low four bits are 0 */
    struct tlb_entry tlb[TLB_TABLES][TLB_SIZE];
    /* Which entries were filled since the last flush, so that a flush clears those alone: [table][global]. */
    uint16_t tlb_log[2][2][TLB_SIZE];
    uint16_t tlb_logged[2][2];
    uint32_t tlb_large[32]; /* 4 MiB regions with entries that came from large pages: INVLPG drops them all */
    /* The stretch of RAM the MMU touched last: page tables and refills without physmap_lookup(). */
    uint64_t window_base, window_size, window_ram_offset;
    uint8_t *window_host;
    struct cpu_device_page devices[CPU_DEVICE_PAGES]; /* by page number (mmu.c) */
    uint8_t *ram_flags; /* physmap_page_flags() */
    struct page_writers *writers; /* by RAM page: mmu.c */
};

/* events: why the fast loop must look up */
#define CPU_EVENT_INTR   (1u << 0) /* INTR high (tested against IF and the shadow) */
#define CPU_EVENT_NMI    (1u << 1)
#define CPU_EVENT_INIT   (1u << 2)
#define CPU_EVENT_STEP   (1u << 3) /* TF set, breakpoints armed, or a shadow to run out: one instruction at a time */
#define CPU_EVENT_TRAP   (1u << 4) /* dr6_pending to be delivered */
#define CPU_EVENT_FERR   (1u << 5)

static inline uint32_t cpu_eflags(const struct cpu *cpu)
{
    return cpu->eflags | cpu->status;
}
/* Stores all of EFLAGS unchecked; the caller has masked what may change. Updates events (TF, IF). exception.c */
void cpu_set_eflags(struct cpu *cpu, uint32_t value);

static inline bool cpu_protected(const struct cpu *cpu) /* protected mode proper: PE and not VM */
{
    return (cpu->cr0 & CR0_PE) && !(cpu->eflags & FLAG_VM);
}
static inline bool cpu_v86(const struct cpu *cpu)
{
    return (cpu->eflags & FLAG_VM) != 0;
}

/* ---- exception.c: faults, interrupts, task switches (task.c) ---- */
enum cpu_landing {
    CPU_LANDING_FAULT = 1, /* an exception is noted: cpu_deliver_fault() */
    CPU_LANDING_RESTART,   /* nothing to deliver: eip is back at the instruction, pending events come first */
};
_Noreturn void cpu_fault(struct cpu *cpu, enum vector vector, uint32_t error); /* error ignored where none is pushed */
_Noreturn void cpu_fault_ud(struct cpu *cpu);
_Noreturn void cpu_fault_gp(struct cpu *cpu, uint32_t error);
/* #DB conditions found while executing (data breakpoints); delivered as a trap after the instruction. */
void cpu_note_debug(struct cpu *cpu, uint32_t dr6_bits);
enum interrupt_kind { INTERRUPT_HARDWARE, INTERRUPT_SOFTWARE /* INT n */, INTERRUPT_INT3_INTO, INTERRUPT_INT1,
                      INTERRUPT_EXCEPTION };
/* Delivers through the IDT/IVT; handles double and triple faults. Return EIP is cpu->eip for traps and
 * interrupts, cpu->insn_eip for faults. May cpu_fault(). */
void cpu_interrupt(struct cpu *cpu, enum interrupt_kind kind, uint8_t vector, bool has_error, uint32_t error);
/* Between instructions: takes what is pending by priority (SDM vol. 3, 6.9). Returns true when it took one. */
bool cpu_take_events(struct cpu *cpu);
/* After cpu_fault() has landed: deliver the noted exception. Returns false on shutdown. */
bool cpu_deliver_fault(struct cpu *cpu);
/* While CPU_EVENT_STEP is up instructions run one at a time, each between these two. The first runs out the
 * STI/MOV SS shadow, raises instruction breakpoints (and then does not return), clears RF and samples TF; the
 * second notes the single-step trap. cpu_take_events() is due before the next pair. */
void cpu_step_begin(struct cpu *cpu);
void cpu_step_end(struct cpu *cpu);
/* STI (mov_ss false), MOV SS and POP SS: nothing is taken before the next instruction is done. */
void cpu_set_shadow(struct cpu *cpu, bool mov_ss);
/* DR7 changed: arms and disarms breakpoints. */
void cpu_debug_registers_changed(struct cpu *cpu);
void cpu_check_io_breakpoint(struct cpu *cpu, uint16_t port, unsigned size);
/* INT n in V86 mode through the 8086 program's vector table (CR4.VME). */
void cpu_interrupt_v86_redirected(struct cpu *cpu, uint8_t vector);
/* INIT#: as reset, but FPU, caches and MSRs keep. cpu.c */
void cpu_init(struct cpu *cpu);
/* Recomputes the events that follow from EFLAGS, INTR and debug registers. */
void cpu_update_events(struct cpu *cpu);

/* ---- segment.c ---- */
void segment_set_cache(struct cpu *cpu, enum segment_register seg, uint16_t selector, uint32_t base, uint32_t limit,
                       uint32_t attr);
void segment_forget_memos(struct cpu *cpu);
void segment_load(struct cpu *cpu, enum segment_register seg, uint16_t selector); /* MOV/POP/LxS, not CS */
/* What segment accesses do when the fast check fails: raises #GP/#SS, or returns the linear address when the
 * access is all right after all (wrap-around in a 4 GiB segment). */
uint32_t segment_check_slow(struct cpu *cpu, enum segment_register seg, uint32_t offset, unsigned size, bool write);
/* Direct near control transfer within CS: checks the limit, sets eip. */
void segment_set_eip(struct cpu *cpu, uint32_t eip);
void segment_far_jump(struct cpu *cpu, uint16_t selector, uint32_t offset, unsigned opsize);
void segment_far_call(struct cpu *cpu, uint16_t selector, uint32_t offset, unsigned opsize);
void segment_far_return(struct cpu *cpu, unsigned opsize, unsigned pop_bytes);
void segment_interrupt_return(struct cpu *cpu, unsigned opsize);
/* Recomputes cpl, code32, stack_mask and events after CS, SS, CR0 or EFLAGS changed. */
void cpu_update_mode(struct cpu *cpu);

/* ---- mmu.c; the inline half is access.h ---- */
void mmu_attach(struct cpu *cpu); /* the board's memory is known */
void mmu_detach(struct cpu *cpu);
void mmu_flush(struct cpu *cpu, bool global_too);
void mmu_flush_page(struct cpu *cpu, uint32_t linear);
/* Translates for instruction fetch: fills the TLB or faults. Returns the physical address. */
uint64_t mmu_fetch_physical(struct cpu *cpu, uint32_t linear);
/* Takes the write permission of every TLB entry of this physical page away, because code was decoded from it. */
void mmu_protect_code(struct cpu *cpu, uint64_t ram_page);
bool mmu_load_pdptes(struct cpu *cpu, uint32_t cr3);
void mmu_reset(struct cpu *cpu); /* power-up and loaded state */
bool mmu_translate_debug(struct cpu *cpu, uint32_t linear, uint64_t *physical);

/* ---- block.c: the decoded-block cache ---- */
struct block_cache *block_cache_new(void);
void block_cache_free(struct block_cache *cache);
void block_cache_flush(struct cpu *cpu);
/* RAM bytes [ram_offset, +len) change: drops the blocks made of them, sets block_stale when the running one is
 * among them, clears PHYS_PAGE_CODE when no block is left on the page. */
void block_invalidate(struct cpu *cpu, uint64_t ram_offset, size_t len);

/* ---- sysregs.c ---- */
void cpu_write_cr0(struct cpu *cpu, uint32_t value);
void cpu_write_cr3(struct cpu *cpu, uint32_t value);
void cpu_write_cr4(struct cpu *cpu, uint32_t value);
uint64_t cpu_tsc(struct cpu *cpu);
void cpu_cpuid(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
void cpu_set_tsc(struct cpu *cpu, uint64_t value);
uint64_t cpu_read_msr(struct cpu *cpu, uint32_t msr); /* #GP(0) when it is not there */
void cpu_write_msr(struct cpu *cpu, uint32_t msr, uint64_t value);
/* Raises #GP(0) when the I/O permission (IOPL, TSS bitmap) denies the access. */
void cpu_check_io(struct cpu *cpu, uint16_t port, unsigned size);

/* ---- cpuid.c ---- */
#define CPU_TSC_HZ 1000000000u
enum cpu_feature_bit {
    CPU_FPU, CPU_VME, CPU_DE, CPU_PSE, CPU_TSC, CPU_MSR, CPU_PAE, CPU_MCE, CPU_CX8, CPU_APIC, CPU_SEP, CPU_MTRR,
    CPU_PGE, CPU_MCA, CPU_CMOV, CPU_PAT, CPU_PSE36, CPU_CLFLUSH, CPU_MMX, CPU_FXSR, CPU_SSE, CPU_SSE2, CPU_SSE3,
    CPU_HYPERVISOR, CPU_NX, CPU_INVTSC, CPU_TSC_ADJUST, CPU_FEATURE_COUNT
};
bool cpu_model_has(const struct cpu_model *model, enum cpu_feature_bit bit);
unsigned cpu_model_family(const struct cpu_model *model);    /* 4, 5 or 6 */
uint32_t cpu_model_signature(const struct cpu_model *model); /* CPUID.1:EAX */
uint32_t cpu_model_cr4(const struct cpu_model *model);       /* CR4 bits that are not reserved */
/* 0: leaf 1 EDX, 1: leaf 1 ECX, 2: 80000001 EDX, 3: 80000007 EDX */
uint32_t cpu_model_features(const struct cpu_model *model, unsigned word);

/* ---- fpu.c ---- */
void fpu_reset(struct cpu *cpu, bool init_only);
/* #UD/#NM/#MF checks at the start of x87, MMX and SSE instructions (CR0.EM/TS/MP, CR4.OSFXSR, pending errors). */
void fpu_check_x87(struct cpu *cpu, bool waiting);
void fpu_check_mmx(struct cpu *cpu);
void fpu_check_sse(struct cpu *cpu);
