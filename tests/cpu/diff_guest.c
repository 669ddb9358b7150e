/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Our side of the host-differential test: CPU, RAM and nothing else, set up as Linux sets up a 32-bit
 * process.
 *
 * Paging is on; the arena's pages have the rights that diff.h gives them. A case runs at CPL 3 and always
 * ends in an exception, which our CPU delivers through its IDT to ring 0, where each vector's handler is a
 * HLT: cpu_run() returns, and the exception frame on the ring-0 stack says what happened. So the whole
 * machinery takes part: blocks, faults, gates, single step.
 */
#include "tests/cpu/diff_guest.h"

#include <string.h>

/* Physical, and linear, below the arena; supervisor pages. */
enum {
    AT_GDT = 0x1000,
    AT_IDT = 0x2000,
    AT_TSS = 0x3000,
    AT_LDT = 0x4000,
    AT_HANDLERS = 0x5000, /* 16 bytes each */
    AT_STACK = 0x8000,    /* its top */
    AT_DIRECTORY = 0x8000,
    AT_TABLE_LOW = 0x9000,
    AT_TABLE_ARENA = 0xa000,
    AT_ARENA = 0x100000, /* physical */
    RAM_SIZE = 0x200000,
};
enum { SEL_KERNEL_CODE = 0x08, SEL_KERNEL_DATA = 0x10, SEL_TSS = 0x18, SEL_LDT = 0x30 };
enum { SELECTORS = DIFF_SEG_COUNT + 2 };

struct diff_guest {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
    uint8_t *ram;
    struct { /* segment registers' contents, by selector */
        uint16_t selector;
        struct segment loaded;
    } segments[SELECTORS];
};

struct shape {
    uint32_t base, limit;
    bool is32, readonly, pages;
    uint8_t contents;
};
static const struct shape shapes[DIFF_SEG_COUNT] = {
#define X(name, base_, limit_, is32_, contents_, readonly_, pages_)                                          \
    [DIFF_SEG_##name] = {.base = (base_),                                                                    \
                         .limit = (limit_),                                                                  \
                         .is32 = (is32_),                                                                    \
                         .readonly = (readonly_),                                                            \
                         .pages = (pages_),                                                                  \
                         .contents = (contents_)},
    DIFF_SEGMENTS(X)
#undef X
};

static void put32(struct diff_guest *g, uint32_t at, uint32_t value)
{
    memcpy(g->ram + at, &value, 4);
}

static uint32_t get32(const struct diff_guest *g, uint32_t at)
{
    uint32_t value;

    memcpy(&value, g->ram + at, 4);
    return value;
}

/* `attr` as in struct segment; the limit in its units. */
static void put_descriptor(struct diff_guest *g, uint32_t at, uint32_t base, uint32_t limit, uint32_t attr)
{
    put32(g, at, base << 16 | (limit & 0xffff));
    put32(g, at + 4, (base & 0xff000000) | (limit & 0xf0000) | attr | (base >> 16 & 0xff));
}

static uint32_t user_attr(const struct shape *s)
{
    uint32_t type = s->contents == 2 ? 0xb : s->contents == 1 ? 0x7 : s->readonly ? 0x1 : 0x3;

    return type << 8 | SEG_ATTR_S | SEG_ATTR_DPL | SEG_ATTR_P | 0x100000u /* AVL: "useable" */ |
           (s->is32 ? SEG_ATTR_DB : 0) | (s->pages ? SEG_ATTR_G : 0);
}

static void remember_segment(struct diff_guest *g, unsigned i, uint16_t selector, uint32_t base,
                             uint32_t limit, uint32_t attr)
{
    /* Any register serves to compute the hidden part. */
    segment_set_cache(g->cpu, SEG_GS, selector, base, attr & SEG_ATTR_G ? limit << 12 | 0xfff : limit, attr);
    g->segments[i].selector = selector;
    g->segments[i].loaded = g->cpu->seg[SEG_GS];
}

static void make_tables(struct diff_guest *g)
{
    const uint32_t flat = SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_DB | SEG_ATTR_G;
    static const char rights[] = DIFF_RIGHTS;

    put_descriptor(g, AT_GDT + SEL_KERNEL_CODE, 0, 0xfffff, flat | 0xb00);
    put_descriptor(g, AT_GDT + SEL_KERNEL_DATA, 0, 0xfffff, flat | 0x300);
    put_descriptor(g, AT_GDT + SEL_TSS, AT_TSS, 103, SEG_ATTR_P | 0xb00);
    put_descriptor(g, AT_GDT + (DIFF_FLAT_CODE & ~7), 0, 0xfffff, flat | SEG_ATTR_DPL | 0xb00);
    put_descriptor(g, AT_GDT + (DIFF_FLAT_DATA & ~7), 0, 0xfffff, flat | SEG_ATTR_DPL | 0x300);
    put_descriptor(g, AT_GDT + SEL_LDT, AT_LDT, DIFF_SEG_COUNT * 8 - 1, SEG_ATTR_P | 0x200);
    remember_segment(g, 0, DIFF_FLAT_CODE, 0, 0xfffff, flat | SEG_ATTR_DPL | 0xb00);
    remember_segment(g, 1, DIFF_FLAT_DATA, 0, 0xfffff, flat | SEG_ATTR_DPL | 0x300);
    for (unsigned i = 0; i < DIFF_SEG_COUNT; i++) {
        put_descriptor(g, AT_LDT + i * 8, shapes[i].base, shapes[i].limit, user_attr(&shapes[i]));
        remember_segment(g, i + 2, (uint16_t)(i << 3 | 7), shapes[i].base, shapes[i].limit,
                         user_attr(&shapes[i]));
    }

    for (unsigned v = 0; v < 256; v++) {
        uint32_t handler = AT_HANDLERS + v * 16;

        /* 32-bit interrupt gate; user code may execute INT3 and INTO */
        put32(g, AT_IDT + v * 8, SEL_KERNEL_CODE << 16 | handler);
        put32(g, AT_IDT + v * 8 + 4, v == VEC_BP || v == VEC_OF ? 0xee00 : 0x8e00);
        g->ram[handler] = 0xf4;
    }
    put32(g, AT_TSS + 4, AT_STACK);
    put32(g, AT_TSS + 8, SEL_KERNEL_DATA);
    put32(g, AT_TSS + 100, 104u << 16); /* no I/O map */

    put32(g, AT_DIRECTORY, AT_TABLE_LOW | 7);
    put32(g, AT_DIRECTORY + (DIFF_ARENA >> 22) * 4, AT_TABLE_ARENA | 7);
    for (unsigned i = 0; i < 16; i++)
        put32(g, AT_TABLE_LOW + i * 4, i << 12 | 3); /* supervisor */
    for (unsigned i = 0; i < DIFF_PAGES; i++)
        if (rights[i] != '-')
            put32(g, AT_TABLE_ARENA + i * 4, (AT_ARENA + i * 4096) | (rights[i] == 'r' ? 5 : 7));
}

struct diff_guest *diff_guest_new(void)
{
    struct diff_guest *g = g_new0(struct diff_guest, 1);
    struct cpu_board board = {0};
    g_autoptr(GError) error = NULL;

    g->mem = physmap_new(RAM_SIZE, &error);
    g_assert_no_error(error);
    g->io = portio_new();
    g->clock = clock_new_manual();
    physmap_add_ram(g->mem, "ram", 0, RAM_SIZE, 0, 0);
    board.mem = g->mem;
    board.io = g->io;
    board.clock = g->clock;
    g->cpu = cpu_new(cpu_model_default(), &board);
    physmap_set_change_listener(g->mem, cpu_memory_changed, g->cpu);
    physmap_set_code_listener(g->mem, cpu_code_written, g->cpu);
    g->ram = physmap_ram(g->mem);
    make_tables(g);
    g->cpu->gdtr = (struct descriptor_table){.base = AT_GDT, .limit = 0x37};
    g->cpu->idtr = (struct descriptor_table){.base = AT_IDT, .limit = 0x7ff};
    g->cpu->tr = (struct segment){
        .selector = SEL_TSS, .base = AT_TSS, .min = 0, .max = 103, .limit = 103, .attr = SEG_ATTR_P | 0xb00};
    g->cpu->ldtr = (struct segment){.selector = SEL_LDT,
                                    .base = AT_LDT,
                                    .min = 0,
                                    .max = DIFF_SEG_COUNT * 8 - 1,
                                    .limit = DIFF_SEG_COUNT * 8 - 1,
                                    .attr = SEG_ATTR_P | 0x200};
    /* As Linux has it. */
    cpu_write_cr3(g->cpu, AT_DIRECTORY);
    cpu_write_cr4(g->cpu, CR4_OSFXSR | CR4_OSXMMEXCPT);
    cpu_write_cr0(g->cpu, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG);
    return g;
}

void diff_guest_free(struct diff_guest *guest)
{
    cpu_free(guest->cpu);
    clock_free(guest->clock);
    portio_free(guest->io);
    physmap_free(guest->mem);
    g_free(guest);
}

struct cpu *diff_guest_cpu(struct diff_guest *guest)
{
    return guest->cpu;
}

uint8_t *diff_guest_arena(struct diff_guest *guest)
{
    return guest->ram + AT_ARENA;
}

static const struct segment *find_segment(const struct diff_guest *g, uint16_t selector)
{
    for (unsigned i = 0; i < SELECTORS; i++)
        if (g->segments[i].selector == selector)
            return &g->segments[i].loaded;
    g_error("selector %04x is none of the test's", selector);
}

static bool has_error_code(unsigned vector)
{
    return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

static void write_windows(struct diff_guest *g, const struct diff_case *c, const uint8_t *data)
{
    for (unsigned i = 0; i < c->window_count; i++)
        phys_write(g->mem, AT_ARENA + c->window[i].addr - DIFF_ARENA, data + c->window[i].at,
                   c->window[i].len);
}

void diff_guest_adopt(struct diff_guest *g, const struct diff_case *c, const struct diff_result *result)
{
    write_windows(g, c, result->data);
}

void diff_guest_execute(struct diff_guest *g, const struct diff_case *c, struct diff_result *out)
{
    static const enum segment_register order[6] = {SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS};
    struct cpu *cpu = g->cpu;
    uint32_t frame;
    unsigned vector;
    enum cpu_stop stop;

    write_windows(g, c, c->data);
    phys_write(g->mem, AT_ARENA + c->code_at - DIFF_ARENA, c->code, c->code_len);
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[order[i]] = *find_segment(g, c->selector[i]);
    memcpy(cpu->gpr, c->gpr, sizeof(c->gpr));
    cpu->eip = c->eip;
    cpu_set_eflags(cpu, c->eflags);
    cpu_update_mode(cpu);
    cpu->halted = false;
    cpu->cr2 = 0;

    stop = cpu_run(cpu);
    g_assert_cmpint(stop, ==, CPU_STOP_HALTED);
    g_assert_cmpuint(cpu->cpl, ==, 0);
    vector = (cpu->eip - AT_HANDLERS) / 16;
    g_assert_cmpuint(vector, <, 256);
    frame = cpu->gpr[ESP];
    out->trap = vector;
    out->error = 0;
    if (has_error_code(vector)) {
        out->error = get32(g, frame);
        frame += 4;
    }
    out->cr2 = cpu->cr2;
    memcpy(out->gpr, cpu->gpr, sizeof(out->gpr));
    out->eip = get32(g, frame);
    out->selector[DIFF_CS] = (uint16_t)get32(g, frame + 4);
    out->eflags = get32(g, frame + 8);
    out->gpr[ESP] = get32(g, frame + 12);
    out->selector[DIFF_SS] = (uint16_t)get32(g, frame + 16);
    out->selector[DIFF_ES] = cpu->seg[SEG_ES].selector;
    out->selector[DIFF_DS] = cpu->seg[SEG_DS].selector;
    out->selector[DIFF_FS] = cpu->seg[SEG_FS].selector;
    out->selector[DIFF_GS] = cpu->seg[SEG_GS].selector;
    for (unsigned i = 0; i < c->window_count; i++)
        memcpy(out->data + c->window[i].at, g->ram + AT_ARENA + (c->window[i].addr - DIFF_ARENA),
               c->window[i].len);
}
