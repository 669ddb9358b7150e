/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The CPU as a thing: made, reset, described, saved.
 *
 * What is saved is the architectural state and the events under way. Segment registers are saved as the
 * processor holds them (selector, base, limit, rights); everything computed from that (limits as min/max,
 * CPL, masks, TLB, decoded blocks) is made anew after loading. A saved file may say anything: whatever it
 * says must leave a CPU that misbehaves at worst inside its own guest.
 *
 * Reset and INIT values: SDM vol. 3, table 9-1.
 */
#include "emu/cpu/descriptor.h"
#include "emu/cpu/jit/debug.h"
#include "emu/cpu/jit/jit.h"
#include "emu/cpu/lockstep.h"

#include <gio/gio.h>

#define APIC_BASE_RESET   0xfee00900ull /* enabled, bootstrap processor */
#define PAT_RESET         0x0007040600070406ull
#define MISC_ENABLE_RESET 0x1801ull /* fast strings; no BTS, no PEBS */

struct cpu *cpu_new(const struct cpu_model *model, const struct cpu_board *board)
{
    struct cpu *cpu = NULL;
    if (posix_memalign((void **)&cpu, 64, sizeof *cpu))
        g_error("no memory for a CPU's registers (%zu bytes)", sizeof *cpu);
    memset(cpu, 0, sizeof *cpu);
    cpu->model = model ? model : cpu_model_default();
    cpu->board = *board;
    cpu->ram_flags = board->mem ? physmap_page_flags(board->mem) : NULL;
    mmu_attach(cpu);
    cpu->a20_mask = 0xffffffffu;
    cpu->blocks = block_cache_new();
    cpu->block_most = BLOCK_MAX_INSNS;
    mmu_reset(cpu);
    cpu_reset(cpu);
    return cpu;
}

void cpu_free(struct cpu *cpu)
{
    if (!cpu)
        return;
    jit_free(cpu, cpu->jit);
    lockstep_free(cpu->lockstep);
    block_cache_free(cpu->blocks);
    g_free(cpu->debugger);
    mmu_detach(cpu);
    free(cpu);
}

void cpu_set_code_size(struct cpu *cpu, size_t bytes)
{
    cpu->code_size = bytes;
}

void cpu_set_single(struct cpu *cpu, bool on)
{
    cpu->block_most = on ? 1 : BLOCK_MAX_INSNS;
    block_cache_flush(cpu);
}

void cpu_set_heat(struct cpu *cpu, uint32_t entries)
{
    if (cpu->jit)
        jit_set_heat(cpu, entries);
}

bool cpu_set_accel(struct cpu *cpu, enum cpu_accel accel, GError **error)
{
    if (accel == CPU_ACCEL_JIT && !cpu->jit) {
        return jit_new(cpu, error) != NULL;
    }
    if (accel == CPU_ACCEL_INTERP && cpu->jit) {
        block_cache_flush(cpu);
        jit_free(cpu, cpu->jit);
        cpu->jit = NULL;
    }
    return true;
}

void cpu_set_lockstep(struct cpu *cpu, const struct cpu_lockstep *options)
{
    if (cpu->jit && !cpu->lockstep)
        cpu->lockstep = lockstep_new(cpu, options);
}

const char *cpu_difference(const struct cpu *cpu)
{
    return cpu->lockstep ? lockstep_report(cpu->lockstep) : NULL;
}

bool cpu_set_debug(struct cpu *cpu, bool perfmap, GError **error)
{
    struct jit_debug *debug;

    if (!cpu->jit)
        return true;
    debug = jit_debug_new(cpu, perfmap, error);
    if (!debug)
        return false;
    jit_set_debug(cpu, debug);
    if (trace_on(EXEC))
        jit_set_linking(cpu, false);
    return true;
}

void cpu_describe_jit(const struct cpu *cpu, GString *out)
{
    jit_describe(cpu, out);
    if (cpu->lockstep)
        lockstep_describe(cpu->lockstep, out);
}

/* What RESET# and INIT# have in common. */
static void reset_common(struct cpu *cpu)
{
    static const uint32_t data = SEG_ATTR_REAL;
    memset(cpu->gpr, 0, sizeof cpu->gpr);
    cpu->gpr[EDX] = cpu_model_signature(cpu->model);
    cpu->eip = cpu->insn_eip = 0xfff0;
    cpu->status = 0;
    cpu->eflags = FLAG_ONE;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        segment_set_cache(cpu, (enum segment_register)i, 0, 0, 0xffff, data);
    segment_set_cache(cpu, SEG_CS, 0xf000, 0xffff0000u, 0xffff, data);
    cpu->gdtr = cpu->idtr = (struct descriptor_table){.limit = 0xffff};
    segment_forget_memos(cpu);
    cpu->ldtr = (struct segment){.limit = 0xffff, .max = 0xffff, .attr = SEG_ATTR_P | DESCRIPTOR_LDT << 8};
    cpu->tr =
        (struct segment){.limit = 0xffff, .max = 0xffff, .attr = SEG_ATTR_P | DESCRIPTOR_TSS32_BUSY << 8};
    cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
    memset(cpu->dr, 0, sizeof cpu->dr);
    cpu->dr[6] = DR6_FIXED;
    cpu->dr[7] = DR7_FIXED;
    cpu->efer = 0;
    cpu->halted = false;
    cpu->nmi_pending = cpu->nmi_blocked = cpu->init_pending = false;
    cpu->shadow = cpu->shadow_db = cpu->in_exception = cpu->step_armed = false;
    cpu->ext = cpu->dr6_pending = 0;
    cpu->has_breakpoints = false;
    mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}

void cpu_reset(struct cpu *cpu)
{
    cpu->cr0 = CR0_ET | CR0_NW | CR0_CD;
    cpu->pat = PAT_RESET;
    cpu->misc_enable = MISC_ENABLE_RESET;
    cpu->bios_sign = 0;
    cpu->sysenter_cs = cpu->sysenter_esp = cpu->sysenter_eip = 0;
    cpu->mtrr_def_type = 0;
    memset(cpu->mtrr_fix, 0, sizeof cpu->mtrr_fix);
    memset(cpu->mtrr_base, 0, sizeof cpu->mtrr_base);
    memset(cpu->mtrr_mask, 0, sizeof cpu->mtrr_mask);
    cpu->mcg_status = 0;
    memset(cpu->mc_ctl, 0, sizeof cpu->mc_ctl);
    memset(cpu->pdpte, 0, sizeof cpu->pdpte);
    cpu_set_tsc(cpu, 0);
    cpu->tsc_adjust = 0;
    fpu_reset(cpu, false);
    reset_common(cpu);
    cpu->apic_base = cpu_model_has(cpu->model, CPU_APIC) ? APIC_BASE_RESET : 0;
    if (cpu->board.apic_base_changed)
        cpu->board.apic_base_changed(cpu->board.opaque, cpu->apic_base);
}

void cpu_init(struct cpu *cpu)
{
    cpu->cr0 = CR0_ET | (cpu->cr0 & (CR0_NW | CR0_CD));
    fpu_reset(cpu, true);
    reset_common(cpu);
}

void cpu_set_boot_state(struct cpu *cpu, const struct cpu_boot_state *boot)
{
    const uint32_t flat =
        SEG_ATTR_G | SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED | 0x000f0000u;
    const uint32_t gpr[8] = {[EAX] = boot->eax, [ECX] = boot->ecx, [EDX] = boot->edx, [EBX] = boot->ebx,
                             [ESP] = boot->esp, [EBP] = boot->ebp, [ESI] = boot->esi, [EDI] = boot->edi};
    memcpy(cpu->gpr, gpr, sizeof gpr);
    cpu->eip = cpu->insn_eip = boot->eip;
    cpu->cr0 = CR0_ET | CR0_PE;
    cpu->status = 0;
    cpu->eflags = FLAG_ONE;
    cpu->gdtr = (struct descriptor_table){.base = boot->gdt_base, .limit = boot->gdt_limit};
    segment_forget_memos(cpu);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        segment_set_cache(cpu, (enum segment_register)i, boot->ds, 0, 0xffffffffu, flat);
    segment_set_cache(cpu, SEG_CS, boot->cs, 0, 0xffffffffu, flat | SEG_ATTR_CODE);
    mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}

void cpu_set_real_address(struct cpu *cpu, uint32_t address)
{
    cpu->cr0 = CR0_ET;
    cpu->eip = cpu->insn_eip = address & 15;
    segment_set_cache(cpu, SEG_CS, (uint16_t)(address >> 4), address & 0xffff0, 0xffff, SEG_ATTR_REAL);
    mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}

/* ---- pins ---- */

void cpu_request_exit(struct cpu *cpu)
{
    __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST);
    /* after it: see jit/runtime.c */
    __atomic_store_n(&cpu->go, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->hot_go[0], 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->hot_go[1], 0, __ATOMIC_SEQ_CST);
}

void cpu_set_a20(struct cpu *cpu, bool enabled)
{
    uint32_t mask = enabled ? 0xffffffffu : ~(1u << 20);
    if (mask == cpu->a20_mask)
        return;
    cpu->a20_mask = mask;
    mmu_flush(cpu, true);
    cpu->block_stale = true; /* code beyond 1 MiB is elsewhere now */
}

bool cpu_a20(const struct cpu *cpu)
{
    return cpu->a20_mask == 0xffffffffu;
}

bool cpu_is_halted(const struct cpu *cpu)
{
    return cpu->halted;
}

/* ---- for people and tools ---- */

const struct cpu_statistics *cpu_statistics(const struct cpu *cpu)
{
    return &cpu->stats;
}

void cpu_foreach_counter(const struct cpu *cpu, cpu_counter_fn *visit, void *opaque)
{
    const struct cpu_statistics *s = &cpu->stats;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"instructions", s->instructions},     {"blocks-made", s->blocks_made},
        {"blocks-dropped", s->blocks_dropped}, {"tlb-misses", s->tlb_misses},
        {"tlb-flushes", s->tlb_flushes},       {"page-walks", s->page_walks},
        {"interrupts", s->interrupts},         {"exceptions", s->exceptions},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        visit(opaque, "cpu", rows[i].name, rows[i].value);
    jit_foreach_counter(cpu, visit, opaque);
    if (cpu->lockstep)
        lockstep_foreach_counter(cpu->lockstep, visit, opaque);
}

void cpu_get_registers(struct cpu *cpu, struct cpu_registers *out)
{
    *out = (struct cpu_registers){
        .eip = cpu->eip,
        .eflags = cpu_eflags(cpu),
        .cs = cpu->seg[SEG_CS].selector,
        .ss = cpu->seg[SEG_SS].selector,
        .ds = cpu->seg[SEG_DS].selector,
        .es = cpu->seg[SEG_ES].selector,
        .fs = cpu->seg[SEG_FS].selector,
        .gs = cpu->seg[SEG_GS].selector,
        .cr0 = cpu->cr0,
        .cr2 = cpu->cr2,
        .cr3 = cpu->cr3,
        .cr4 = cpu->cr4,
        .cpl = cpu->cpl,
    };
    memcpy(out->gpr, cpu->gpr, sizeof out->gpr);
    memcpy(out->dr, cpu->dr, sizeof out->dr);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        out->seg_base[i] = cpu->seg[i].base;
}

size_t cpu_debug_read(struct cpu *cpu, uint32_t linear, void *buf, size_t len)
{
    uint8_t *to = buf;
    size_t done = 0;
    while (done < len) {
        uint32_t at = linear + (uint32_t)done;
        size_t n = MIN(len - done, PHYS_PAGE_SIZE - (at & PHYS_PAGE_MASK));
        struct phys_slice slice;
        uint64_t physical;
        if (!mmu_translate_debug(cpu, at, &physical))
            break;
        physmap_lookup(cpu->board.mem, physical, &slice);
        if (!slice.read) /* a device: looking may change it */
            break;
        n = MIN(n, slice.run);
        memcpy(to + done, slice.read, n);
        done += n;
    }
    return done;
}

static void describe_segment(GString *out, const char *name, const struct segment *s)
{
    g_string_append_printf(out, "%-3s=%04x %08x %08x %08x DPL=%u%s%s%s\n", name, s->selector, s->base,
                           s->limit, s->attr, (s->attr & SEG_ATTR_DPL) >> 13,
                           s->attr & SEG_ATTR_P ? "" : " unusable", s->can_read ? " R" : "",
                           s->can_write ? "W" : "");
}

void cpu_describe(struct cpu *cpu, GString *out)
{
    static const char *const gpr[8] = {"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"};
    static const char *const seg[SEG_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS"};
    static const uint8_t order[8] = {EAX, EBX, ECX, EDX, ESI, EDI, EBP, ESP};
    uint32_t flags = cpu_eflags(cpu);

    for (unsigned i = 0; i < 8; i++)
        g_string_append_printf(out, "%s=%08x%c", gpr[order[i]], cpu->gpr[order[i]], i % 4 == 3 ? '\n' : ' ');
    g_string_append_printf(
        out, "EIP=%08x EFL=%08x [%c%c%c%c%c%c%c%c] CPL=%u A20=%u HLT=%u %s\n", cpu->eip, flags,
        flags & FLAG_DF ? 'D' : '-', flags & FLAG_OF ? 'O' : '-', flags & FLAG_SF ? 'S' : '-',
        flags & FLAG_ZF ? 'Z' : '-', flags & FLAG_AF ? 'A' : '-', flags & FLAG_PF ? 'P' : '-',
        flags & FLAG_CF ? 'C' : '-', flags & FLAG_IF ? 'I' : '-', cpu->cpl, cpu_a20(cpu), cpu->halted,
        !(cpu->cr0 & CR0_PE) ? "real mode"
        : cpu_v86(cpu)       ? "V86 mode"
        : cpu->code32        ? "protected mode, 32 bit"
                             : "protected mode, 16 bit");
    for (unsigned i = 0; i < SEG_COUNT; i++)
        describe_segment(out, seg[i], &cpu->seg[i]);
    describe_segment(out, "LDT", &cpu->ldtr);
    describe_segment(out, "TR", &cpu->tr);
    g_string_append_printf(out, "GDT=     %08x %08x\nIDT=     %08x %08x\n", cpu->gdtr.base, cpu->gdtr.limit,
                           cpu->idtr.base, cpu->idtr.limit);
    g_string_append_printf(out, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x EFER=%016" G_GINT64_MODIFIER "x\n",
                           cpu->cr0, cpu->cr2, cpu->cr3, cpu->cr4, cpu->efer);
    g_string_append_printf(out, "DR0=%08x DR1=%08x DR2=%08x DR3=%08x DR6=%08x DR7=%08x\n", cpu->dr[0],
                           cpu->dr[1], cpu->dr[2], cpu->dr[3], cpu->dr[6], cpu->dr[7]);
    g_string_append_printf(out, "FCW=%04x FSW=%04x FTW=%04x MXCSR=%08x\n", cpu->fpu.fcw, cpu->fpu.fsw,
                           cpu->fpu.ftw, cpu->fpu.mxcsr);
    for (unsigned i = 0; i < 8; i++)
        g_string_append_printf(out, "FPR%u=%04x:%016" G_GINT64_MODIFIER "x%c", i, cpu->fpu.r[i].sign_exponent,
                               cpu->fpu.r[i].significand, i % 2 ? '\n' : ' ');
    for (unsigned i = 0; i < 8; i++)
        g_string_append_printf(out, "XMM%u=%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x%c", i,
                               cpu->fpu.xmm[i].u64[1], cpu->fpu.xmm[i].u64[0], i % 2 ? '\n' : ' ');
}

/* ---- saved state ---- */

#define SEGMENT_FIELDS(member)                                                                               \
    STATE(struct cpu, U16, member.selector), STATE(struct cpu, U32, member.base),                            \
        STATE(struct cpu, U32, member.limit), STATE(struct cpu, U32, member.attr)

static const struct state_field fields[] = {
    STATE_ARRAY(struct cpu, U32, gpr),
    STATE(struct cpu, U32, eip),
    STATE(struct cpu, U32, status),
    STATE(struct cpu, U32, eflags),
    STATE(struct cpu, BOOL, halted),
    SEGMENT_FIELDS(seg[SEG_ES]),
    SEGMENT_FIELDS(seg[SEG_CS]),
    SEGMENT_FIELDS(seg[SEG_SS]),
    SEGMENT_FIELDS(seg[SEG_DS]),
    SEGMENT_FIELDS(seg[SEG_FS]),
    SEGMENT_FIELDS(seg[SEG_GS]),
    SEGMENT_FIELDS(ldtr),
    SEGMENT_FIELDS(tr),
    STATE(struct cpu, U32, gdtr.base),
    STATE(struct cpu, U16, gdtr.limit),
    STATE(struct cpu, U32, idtr.base),
    STATE(struct cpu, U16, idtr.limit),
    STATE(struct cpu, U32, cr0),
    STATE(struct cpu, U32, cr2),
    STATE(struct cpu, U32, cr3),
    STATE(struct cpu, U32, cr4),
    STATE_ARRAY(struct cpu, U32, dr),
    STATE_ARRAY(struct cpu, U64, pdpte),
    STATE(struct cpu, U32, a20_mask),
    STATE_ARRAY(struct cpu, BYTES, fpu.r),
    STATE(struct cpu, U16, fpu.fcw),
    STATE(struct cpu, U16, fpu.fsw),
    STATE(struct cpu, U16, fpu.ftw),
    STATE(struct cpu, U16, fpu.fop),
    STATE(struct cpu, U32, fpu.fip),
    STATE(struct cpu, U32, fpu.fdp),
    STATE(struct cpu, U16, fpu.fcs),
    STATE(struct cpu, U16, fpu.fds),
    STATE(struct cpu, U32, fpu.mxcsr),
    STATE_ARRAY(struct cpu, BYTES, fpu.xmm),
    STATE(struct cpu, U64, efer),
    STATE(struct cpu, U64, apic_base),
    STATE(struct cpu, U64, pat),
    STATE(struct cpu, U64, misc_enable),
    STATE(struct cpu, U64, tsc_offset),
    STATE(struct cpu, U64, tsc_adjust),
    STATE(struct cpu, U64, bios_sign),
    STATE(struct cpu, U32, sysenter_cs),
    STATE(struct cpu, U32, sysenter_esp),
    STATE(struct cpu, U32, sysenter_eip),
    STATE(struct cpu, U64, mtrr_def_type),
    STATE_ARRAY(struct cpu, U64, mtrr_fix),
    STATE_ARRAY(struct cpu, U64, mtrr_base),
    STATE_ARRAY(struct cpu, U64, mtrr_mask),
    STATE(struct cpu, U64, mcg_status),
    STATE_ARRAY(struct cpu, U64, mc_ctl),
    STATE(struct cpu, BOOL, intr),
    STATE(struct cpu, BOOL, nmi_pending),
    STATE(struct cpu, BOOL, nmi_blocked),
    STATE(struct cpu, BOOL, init_pending),
    STATE(struct cpu, BOOL, shadow),
    STATE(struct cpu, U32, shadow_eip),
    STATE(struct cpu, BOOL, shadow_db),
    STATE(struct cpu, U32, dr6_pending),
};

static bool after_load(void *opaque, GError **error)
{
    struct cpu *cpu = opaque;
    if (((cpu->cr0 & CR0_PG) && !(cpu->cr0 & CR0_PE)) || (cpu->cr4 & ~cpu_model_cr4(cpu->model))) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            "CR0 %08x and CR4 %08x do not fit this CPU model; load it with the -cpu it was saved with",
            cpu->cr0, cpu->cr4);
        return false;
    }
    cpu->gpr[GPR_ZERO] = 0;
    cpu->insn_eip = cpu->eip;
    cpu->status &= FLAG_STATUS;
    cpu->eflags = (cpu->eflags & FLAG_IMPLEMENTED & ~FLAG_STATUS) | FLAG_ONE;
    cpu->a20_mask |= ~(1u << 20);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        const struct segment s = cpu->seg[i];
        segment_set_cache(cpu, (enum segment_register)i, s.selector, s.base, s.limit, s.attr);
    }
    cpu->ldtr.min = cpu->tr.min = 0;
    cpu->ldtr.max = cpu->ldtr.limit;
    cpu->tr.max = cpu->tr.limit;
    cpu->in_exception = cpu->step_armed = false;
    cpu->ext = 0;
    cpu->has_breakpoints = (cpu->dr[7] & 0xff) != 0;
    cpu->tsc_clock = (struct cpu_tsc_clock){0};
    segment_forget_memos(cpu);
    mmu_reset(cpu);
    block_cache_flush(cpu);
    cpu_update_mode(cpu);
    if (cpu->board.apic_base_changed)
        cpu->board.apic_base_changed(cpu->board.opaque, cpu->apic_base);
    return true;
}

const struct state_table cpu_state_table = {
    .name = "cpu",
    .version = 1,
    .fields = fields,
    .count = G_N_ELEMENTS(fields),
    .after_load = after_load,
};
