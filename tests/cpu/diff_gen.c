/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Test cases of the host-differential test from the rows of optable.def: the operand letters say what bytes
 * an instruction has and what it touches. Registers and memory are random with a taste for edges; then the
 * registers that make the address are bent so that the operand lies in the arena.
 *
 * Not compared, or not generated, with reasons: see masks and integer_wants() at the end.
 */
#include "tests/cpu/diff_guest.h"

#include <string.h>

static const char rights[] = DIFF_RIGHTS;

/* ---- random ---- */

uint64_t diff_random64(struct diff_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull); /* splitmix64 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

uint32_t diff_below(struct diff_random *r, uint32_t limit)
{
    return (uint32_t)((diff_random64(r) >> 32) * limit >> 32);
}

bool diff_one_in(struct diff_random *r, uint32_t n)
{
    return diff_below(r, n) == 0;
}

uint32_t diff_value(struct diff_random *r)
{
    static const uint32_t edges[] = {0,          1,          2,          9,          0xf,        0x10,
                                     0x1f,       0x20,       0x7f,       0x80,       0x81,       0xff,
                                     0x100,      0x7fff,     0x8000,     0xffff,     0x10000,    0x7fffffff,
                                     0x80000000, 0x80000001, 0xffff8000, 0xffffff80, 0xfffffffe, 0xffffffff};

    switch (diff_below(r, 4)) {
    case 0:
        return edges[diff_below(r, G_N_ELEMENTS(edges))];
    case 1:
        return (uint32_t)diff_random64(r) >> diff_below(r, 32);
    default:
        return (uint32_t)diff_random64(r);
    }
}

/* ---- memory ---- */

uint32_t diff_segment_base(uint16_t selector)
{
    static const uint32_t base[] = {
#define X(name, base_, ...) [DIFF_SEG_##name] = (base_),
        DIFF_SEGMENTS(X)
#undef X
    };

    return selector & 4 ? base[selector >> 3] : 0;
}

static bool page_is(uint32_t addr, char right)
{
    uint32_t page = (addr - DIFF_ARENA) >> 12;

    return page < DIFF_PAGES && rights[page] == right;
}

void diff_add_window(struct diff_gen *g, uint32_t addr, uint32_t len)
{
    struct diff_case *c = g->c;
    uint32_t end = addr + len;

    while (addr < end && c->window_count < DIFF_WINDOWS) {
        struct diff_window *w = &c->window[c->window_count];
        uint32_t stop = addr;

        if (!page_is(addr, 'w')) {
            addr = (addr | 0xfff) + 1;
            if (addr == 0)
                return;
            continue;
        }
        while (stop < end && page_is(stop, 'w'))
            stop = MIN((stop | 0xfff) + 1, end);
        stop = MIN(stop, addr + (DIFF_WINDOW_DATA - g->data_used));
        if (stop == addr)
            return;
        w->addr = addr;
        w->len = (uint16_t)(stop - addr);
        w->at = (uint16_t)g->data_used;
        for (uint32_t i = 0; i < w->len; i += 4) {
            uint32_t value = diff_value(&g->random);

            memcpy(c->data + w->at + i, &value, MIN(4u, w->len - i));
        }
        g->data_used += w->len;
        c->window_count++;
        addr = stop;
    }
}

uint8_t *diff_window_at(struct diff_gen *g, uint32_t addr, uint32_t len)
{
    /* the last one written wins */
    for (unsigned i = g->c->window_count; i-- > 0;) {
        const struct diff_window *w = &g->c->window[i];

        if (addr >= w->addr && addr + len <= w->addr + w->len)
            return g->c->data + w->at + (addr - w->addr);
    }
    return NULL;
}

uint32_t diff_data_address(struct diff_gen *g)
{
    static const uint8_t data_pages[] = {3, 4, 5, 6, 8, 9, 10, 11, 13, 14};
    uint32_t page = DIFF_ARENA + 4096u * data_pages[diff_below(&g->random, G_N_ELEMENTS(data_pages))];

    switch (diff_below(&g->random, 12)) {
    case 0: /* across a page's end: the next page may be writable, read-only or not there */
        return page + 4096 - 1 - diff_below(&g->random, 17);
    case 1: /* a forbidden page */
        return DIFF_ARENA + 4096u * (diff_one_in(&g->random, 2) ? 7 : 12) + diff_below(&g->random, 4096);
    case 2:
    case 3: /* anywhere, misaligned */
        return page + diff_below(&g->random, 4080);
    default:
        return page + 64 + (diff_below(&g->random, 3900) & ~15u);
    }
}

/* ---- registers, segments, flags ---- */

static uint16_t pick_data_selector(struct diff_gen *g)
{
    static const uint16_t all[] = {DIFF_FLAT_DATA,          DIFF_FLAT_DATA,        DIFF_SELECTOR(DATA16),
                                   DIFF_SELECTOR(SHORT32),  DIFF_SELECTOR(DOWN32), DIFF_SELECTOR(READONLY32),
                                   DIFF_SELECTOR(OFFSET32), DIFF_SELECTOR(DOWN16), DIFF_SELECTOR(CODE32),
                                   DIFF_SELECTOR(OFFSET32)};

    return all[diff_below(&g->random, G_N_ELEMENTS(all))];
}

void diff_begin_case(struct diff_gen *g, bool flat)
{
    struct diff_case *c = g->c;
    unsigned mode = flat ? 0 : diff_below(&g->random, 6);

    memset(c, 0, offsetof(struct diff_case, data));
    g->data_used = 0;
    c->row = g->id;
    for (unsigned i = 0; i < 8; i++)
        c->gpr[i] = diff_value(&g->random);
    c->eflags = ((uint32_t)diff_random64(&g->random) & (FLAG_STATUS | FLAG_DF)) | FLAG_ONE | FLAG_IF;
    if (diff_one_in(&g->random, 24))
        c->eflags |= FLAG_AC;

    c->selector[DIFF_CS] = DIFF_FLAT_CODE;
    for (unsigned i = 0; i < 6; i++)
        if (i != DIFF_CS)
            c->selector[i] = DIFF_FLAT_DATA;
    switch (mode) {
    case 0: /* flat, but FS and GS */
    case 1:
    case 2:
        break;
    case 3: /* 16-bit code, data and stack */
        c->selector[DIFF_CS] = DIFF_SELECTOR(CODE16);
        c->selector[DIFF_SS] = c->selector[DIFF_DS] = c->selector[DIFF_ES] = DIFF_SELECTOR(DATA16);
        break;
    case 4: /* everything mixed */
        if (diff_one_in(&g->random, 2))
            c->selector[DIFF_CS] = diff_one_in(&g->random, 2) ? DIFF_SELECTOR(CODE16) : DIFF_SELECTOR(CODE32);
        c->selector[DIFF_SS] = diff_one_in(&g->random, 2) ? DIFF_SELECTOR(OFFSET32) : DIFF_SELECTOR(DATA16);
        c->selector[DIFF_DS] = pick_data_selector(g);
        c->selector[DIFF_ES] = pick_data_selector(g);
        break;
    default: /* 16-bit code on a 32-bit stack */
        c->selector[DIFF_CS] = DIFF_SELECTOR(CODE16);
        break;
    }
    if (!flat) {
        c->selector[DIFF_FS] = pick_data_selector(g);
        c->selector[DIFF_GS] = pick_data_selector(g);
    }
    g->frame.code32 = c->selector[DIFF_CS] != DIFF_SELECTOR(CODE16);
    g->frame.stack32 = c->selector[DIFF_SS] != DIFF_SELECTOR(DATA16);
    g->frame.cs_base = diff_segment_base(c->selector[DIFF_CS]);
}

/* ---- the instruction ---- */

static const uint8_t override_prefix[6] = {
    [SEG_ES] = 0x26, [SEG_CS] = 0x2e, [SEG_SS] = 0x36, [SEG_DS] = 0x3e, [SEG_FS] = 0x64, [SEG_GS] = 0x65};

static bool row_has_class(const struct insn_row *row, enum insn_operand_class class)
{
    for (unsigned i = 0; i < 3; i++)
        if (insn_operands[row->operand[i]].class == class)
            return true;
    return false;
}

static bool row_is_string(const struct insn_row *row)
{
    return row_has_class(row, OPCLASS_STR_SI) || row_has_class(row, OPCLASS_STR_DI);
}

static unsigned put_prefixes(struct diff_gen *g, unsigned n)
{
    struct diff_random *r = &g->random;
    const struct insn_row *row = g->row;
    uint8_t prefix[4];
    unsigned count = 0;

    if (row->prefix == PREFIX_66 || (row->prefix == PREFIX_ANY && diff_one_in(r, 4)))
        prefix[count++] = 0x66;
    if (diff_one_in(r, 5))
        prefix[count++] = 0x67;
    if (diff_one_in(r, 4))
        prefix[count++] = override_prefix[diff_below(r, 6)];
    if (row->prefix == PREFIX_F3 || row->prefix == PREFIX_F2)
        prefix[count++] = row->prefix == PREFIX_F3 ? 0xf3 : 0xf2;
    else if ((row->attr & ATTR_REP) && !diff_one_in(r, 3))
        prefix[count++] = diff_one_in(r, 2) ? 0xf3 : 0xf2;
    else if ((row->attr & ATTR_LOCK) && diff_one_in(r, 8))
        prefix[count++] = 0xf0;
    for (unsigned i = count; i > 1; i--) { /* in any order */
        unsigned other = diff_below(r, i);
        uint8_t swap = prefix[i - 1];

        prefix[i - 1] = prefix[other];
        prefix[other] = swap;
    }
    memcpy(g->bytes + n, prefix, count);
    return n + count;
}

static uint8_t pick_modrm(struct diff_gen *g)
{
    const struct insn_row *row = g->row;
    uint8_t modrm = (uint8_t)diff_random64(&g->random);

    if (row->ext & INSN_EXT_EXACT)
        return (uint8_t)row->ext;
    if (row->ext & INSN_EXT_OPCODE)
        modrm = (uint8_t)((modrm & ~0x38) | (row->ext & 7) << 3);
    if (row->ext & INSN_EXT_REG)
        modrm |= 0xc0;
    if ((row->ext & INSN_EXT_MEM) && modrm >= 0xc0)
        modrm &= diff_one_in(&g->random, 2) ? 0x3f : 0xbf;
    return modrm;
}

/* Bends what makes the address so that it comes to `offset`. */
static bool aim_address(struct diff_gen *g, uint32_t offset)
{
    struct insn *in = &g->insn;
    uint32_t *gpr = g->c->gpr, mask = in->ea_mask;
    uint32_t index = in->index == GPR_ZERO ? 0 : gpr[in->index] << in->scale;

    if (offset & ~mask)
        return false;
    if (in->base != GPR_ZERO && in->base != in->index) {
        uint32_t value = offset - index - in->disp;

        gpr[in->base] = (gpr[in->base] & ~mask) | (value & mask);
        return true;
    }
    if (in->base == GPR_ZERO && in->index != GPR_ZERO && in->scale == 0) {
        gpr[in->index] = (gpr[in->index] & ~mask) | ((offset - in->disp) & mask);
        return true;
    }
    /* By the displacement, when it is a full one. */
    if (g->disp_size == (in->flags & INSN_ADDR16 ? 2u : 4u)) {
        uint32_t base = in->base == GPR_ZERO ? 0 : gpr[in->base];

        in->disp = offset - index - base;
        memcpy(g->bytes + g->disp_at, &in->disp, g->disp_size);
        return true;
    }
    return false;
}

static unsigned operand_bytes(const struct diff_gen *g, unsigned i)
{
    return insn_operands[g->row->operand[i]].bytes[!(g->insn.flags & INSN_OP16)];
}

/* Bytes the memory operand has, 0 when nothing is accessed. */
static unsigned memory_bytes(const struct diff_gen *g)
{
    for (unsigned i = 0; i < 3; i++) {
        unsigned class = insn_operands[g->row->operand[i]].class;

        if (class == OPCLASS_RM || class == OPCLASS_MEM || class == OPCLASS_MMRM || class == OPCLASS_XMMRM ||
            class == OPCLASS_MOFFS)
            return operand_bytes(g, i);
    }
    return 0;
}

static uint16_t selector_of(const struct diff_gen *g, unsigned seg)
{
    return g->c->selector[seg]; /* DIFF_ES… are in the order of SEG_ES… */
}

static void window_around(struct diff_gen *g, uint32_t addr, unsigned bytes)
{
    diff_add_window(g, addr - 16, bytes + 32);
}

uint32_t diff_operand_address(const struct diff_gen *g)
{
    const struct insn *in = &g->insn;
    uint32_t offset = in->disp;

    if (in->base != GPR_ZERO)
        offset += g->c->gpr[in->base];
    if (in->index != GPR_ZERO)
        offset += g->c->gpr[in->index] << in->scale;
    return (offset & in->ea_mask) + diff_segment_base(selector_of(g, in->seg));
}

static bool aim_memory_operand(struct diff_gen *g)
{
    unsigned bytes = memory_bytes(g);
    uint32_t addr = diff_data_address(g), base = diff_segment_base(selector_of(g, g->insn.seg));

    if ((g->row->attr & ATTR_ALIGN16) && !diff_one_in(&g->random, 8))
        addr &= ~15u;
    if (!aim_address(g, addr - base))
        return false;
    if (bytes)
        window_around(g, addr, bytes);
    return true;
}

bool diff_build_insn(struct diff_gen *g)
{
    const struct insn_row *row = g->row;
    unsigned n = put_prefixes(g, 0);
    bool addr16 = !g->frame.code32;

    for (unsigned i = 0; i < n; i++)
        addr16 ^= g->bytes[i] == 0x67;
    for (unsigned i = n; i < sizeof(g->bytes); i++)
        g->bytes[i] = (uint8_t)diff_random64(&g->random);
    if (row->map)
        g->bytes[n++] = 0x0f;
    g->bytes[n++] = (uint8_t)(row->opcode + diff_below(&g->random, row->attr & ATTR_PLUS_R ? 8
                                                                   : row->attr & ATTR_COND ? 16
                                                                                           : 1));
    g->disp_size = 0;
    if (row->ext & INSN_EXT_MODRM) {
        uint8_t modrm = pick_modrm(g), mod = modrm >> 6;

        g->modrm_at = n;
        g->bytes[n++] = modrm;
        if (mod != 3 && !addr16 && (modrm & 7) == 4)
            n++; /* SIB, random */
        g->disp_at = n;
        if (addr16)
            g->disp_size = mod == 0 && (modrm & 7) == 6 ? 2 : mod == 3 ? 0 : mod;
        else if (mod == 0 && ((modrm & 7) == 5 || ((modrm & 7) == 4 && (g->bytes[n - 1] & 7) == 5)))
            g->disp_size = 4;
        else
            g->disp_size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
        n += g->disp_size;
    } else if (row_has_class(row, OPCLASS_MOFFS)) {
        g->disp_at = n;
        g->disp_size = addr16 ? 2 : 4;
    }
    g->imm_at = n;
    if (diff_one_in(&g->random, 2)) { /* immediates with edges */
        uint32_t value = diff_value(&g->random);

        memcpy(g->bytes + MIN(n, 12u), &value, 4);
    }
    if (insn_decode(g->bytes, 15, g->frame.code32, false, cpu_model_default(), &g->insn) != DECODE_OK ||
        g->insn.op != g->id)
        return false; /* a more special row has these bytes, LOCK on a register, … */
    g->c->insn_len = g->insn.length;
    if (!(g->insn.flags & INSN_MEM) || !memory_bytes(g))
        return true;
    return aim_memory_operand(g);
}

void diff_put_code(struct diff_gen *g, const void *bytes, unsigned len)
{
    g_assert_cmpuint(g->c->code_len + len, <, DIFF_CODE);
    memcpy(g->c->code + g->c->code_len, bytes, len);
    g->c->code_len += len;
}

void diff_put_insn(struct diff_gen *g)
{
    diff_put_code(g, g->bytes, g->insn.length);
}

void diff_end_case(struct diff_gen *g, bool single_step)
{
    struct diff_case *c = g->c;

    if (single_step) {
        c->eflags |= FLAG_TF;
    } else {
        c->code[c->code_len++] = 0xcc;
    }
    /* Now and then across the boundary of the two code pages. */
    if (diff_one_in(&g->random, 4))
        c->code_at = DIFF_ARENA + 4096 - diff_below(&g->random, 16);
    else
        c->code_at = DIFF_ARENA + 64 + diff_below(&g->random, 7000);
    c->eip = c->code_at - g->frame.cs_base;
}

/* ---- integer instructions ---- */

static bool integer_wants(const struct insn_row *row, enum insn_id id)
{
    if (row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE))
        return false;
    if (row->attr & ATTR_BRANCH)
        return true; /* by single step the target need not be code */
    return !(row->attr & (ATTR_NOTEST | ATTR_PRIV));
}

/* Sets a register to an offset in a segment, by an address mask; false when the segment's base is too far
 * off. */
static bool aim_register(struct diff_gen *g, unsigned reg, uint32_t addr, unsigned seg, uint32_t mask)
{
    uint32_t offset = addr - diff_segment_base(selector_of(g, seg));

    if (offset & ~mask)
        return false;
    g->c->gpr[reg] = (g->c->gpr[reg] & ~mask) | offset;
    return true;
}

static bool prepare_stack(struct diff_gen *g)
{
    uint32_t mask = g->frame.stack32 ? 0xffffffff : 0xffff, addr = diff_data_address(g);
    uint32_t esp = g->c->gpr[ESP];

    if (g->id == INSN_leave || g->id == INSN_enter) {
        uint32_t frame = diff_one_in(&g->random, 2) ? addr : diff_data_address(g);

        if (!aim_register(g, EBP, frame, SEG_SS, mask))
            return false;
        diff_add_window(g, frame - 144, 160);
    }
    if (g->insn.base == ESP && (g->insn.flags & INSN_MEM))
        return true; /* the operand's address is the stack's too; its window is there */
    if (!aim_register(g, ESP, addr, SEG_SS, mask))
        return false;
    if (!g->frame.stack32)
        g->c->gpr[ESP] |= esp & 0xffff0000;
    if (g->id == INSN_enter) {
        /* mostly small frames, so that the final check of the stack's top often passes */
        if (!diff_one_in(&g->random, 8)) {
            g->bytes[g->imm_at + 1] = 0;
            g->insn.imm &= 0xff;
        }
        if (diff_one_in(&g->random, 2)) {
            g->bytes[g->imm_at + 2] &= 3;
            g->insn.imm2 &= 3;
        }
        diff_add_window(g, addr - 320, 336);
    } else {
        diff_add_window(g, addr - 48, 96);
    }
    return true;
}

static bool prepare_string(struct diff_gen *g)
{
    struct diff_random *r = &g->random;
    const struct insn_row *row = g->row;
    bool repeated = g->insn.flags & (INSN_REP | INSN_REPNE), si = row_has_class(row, OPCLASS_STR_SI);
    bool di = row_has_class(row, OPCLASS_STR_DI);
    unsigned bytes = !row->by_size ? 1 : g->insn.flags & INSN_OP16 ? 2 : 4;
    uint32_t mask = g->insn.ea_mask,
             count = diff_one_in(r, 3) ? diff_below(r, 4) : diff_below(r, 400 / bytes);
    uint32_t from = diff_data_address(g), to = diff_data_address(g),
             extent = repeated ? count * bytes : bytes;

    if (diff_one_in(r, 3)) /* overlap */
        to = from + diff_below(r, 129) - 64;
    if (si && !aim_register(g, ESI, from, g->insn.seg, mask))
        return false;
    if (di && !aim_register(g, EDI, to, SEG_ES, mask))
        return false;
    if (repeated)
        g->c->gpr[ECX] = (g->c->gpr[ECX] & ~mask) | count;
    if (si)
        diff_add_window(g, g->c->eflags & FLAG_DF ? from - extent : from - 8, extent + 16);
    if (di)
        diff_add_window(g, g->c->eflags & FLAG_DF ? to - extent : to - 8, extent + 16);
    if (repeated && (row->flags_set & FLAG_ZF) && diff_one_in(r, 2)) {
        /* CMPS, SCAS: long runs of equals, with or without an end */
        uint8_t fill = (uint8_t)diff_random64(r);

        for (unsigned i = 0; i < g->c->window_count; i++)
            memset(g->c->data + g->c->window[i].at, fill, g->c->window[i].len);
        g->c->gpr[EAX] = fill * 0x01010101u;
        if (g->c->window_count && diff_one_in(r, 2)) {
            struct diff_window *w = &g->c->window[diff_below(r, g->c->window_count)];

            g->c->data[w->at + diff_below(r, w->len)] ^= 0x10;
        }
    }
    return true;
}

/* The word a bit string's instruction touches lies away from the operand: put a window there, and keep it
 * near. */
static bool prepare_bit_string(struct diff_gen *g)
{
    bool op16 = g->insn.flags & INSN_OP16;
    uint32_t *reg = &g->c->gpr[g->insn.reg];
    uint32_t base = diff_segment_base(selector_of(g, g->insn.seg)), offset, ea;
    int32_t bit;

    if (g->insn.reg == g->insn.base || g->insn.reg == g->insn.index) {
        return false;
    }
    bit = (int32_t)diff_below(&g->random, 4096 * 8) - 2048 * 8;
    if (op16)
        bit = (int16_t)bit;
    *reg = op16 ? (*reg & 0xffff0000) | (uint16_t)bit : (uint32_t)bit;
    ea = (g->insn.base == GPR_ZERO ? 0 : g->c->gpr[g->insn.base]) +
         (g->insn.index == GPR_ZERO ? 0 : g->c->gpr[g->insn.index] << g->insn.scale) + g->insn.disp;
    offset = (ea + (uint32_t)((bit >> (op16 ? 4 : 5)) * (op16 ? 2 : 4))) & g->insn.ea_mask;
    window_around(g, base + offset, 4);
    return true;
}

static bool is_bit_string(enum insn_id id)
{
    return id == INSN_bt_ev_gv || id == INSN_bts_ev_gv || id == INSN_btr_ev_gv || id == INSN_btc_ev_gv;
}

static bool is_division(enum insn_id id)
{
    return id == INSN_div_eb || id == INSN_div_ev || id == INSN_idiv_eb || id == INSN_idiv_ev;
}

/* Half of the comparisons of CMPXCHG and CMPXCHG8B succeed. */
static void prepare_exchange(struct diff_gen *g)
{
    bool memory = g->insn.flags & INSN_MEM;
    uint32_t *gpr = g->c->gpr;
    const uint8_t *there = memory ? diff_window_at(g, diff_operand_address(g), 8) : NULL;

    if (memory && (!there || g->insn.base == EAX || g->insn.index == EAX || g->insn.base == EDX ||
                   g->insn.index == EDX))
        return;
    if (memory) {
        memcpy(&gpr[EAX], there, 4);
        memcpy(&gpr[EDX], there + 4, 4);
    } else {
        gpr[EAX] = gpr[g->insn.rm];
    }
}

static bool is_exchange(enum insn_id id)
{
    return id == INSN_cmpxchg_eb_gb || id == INSN_cmpxchg_ev_gv || id == INSN_cmpxchg8b;
}

static bool integer_generate(struct diff_gen *g)
{
    bool repeated;

    diff_begin_case(g, false);
    if (!diff_build_insn(g))
        return false;
    if (g->id == INSN_xlat) {
        uint32_t addr = diff_data_address(g);

        if (!aim_register(g, EBX, addr - (g->c->gpr[EAX] & 0xff), g->insn.seg, g->insn.ea_mask))
            return false;
        window_around(g, addr, 1);
    }
    if ((g->row->attr & ATTR_STACK) && !prepare_stack(g))
        return false;
    if (row_is_string(g->row) && !prepare_string(g))
        return false;
    if (is_bit_string(g->id) && (g->insn.flags & INSN_MEM) && !prepare_bit_string(g))
        return false;
    if (is_division(g->id) && g->insn.base != EDX && g->insn.index != EDX &&
        !diff_one_in(&g->random, 3)) /* else the quotient rarely fits */
        g->c->gpr[EDX] =
            diff_one_in(&g->random, 2) ? 0 : diff_below(&g->random, 1u << diff_below(&g->random, 31));
    if (is_exchange(g->id) && diff_one_in(&g->random, 2))
        prepare_exchange(g);
    repeated = (g->row->attr & ATTR_REP) && (g->insn.flags & (INSN_REP | INSN_REPNE));
    diff_put_insn(g);
    diff_end_case(g, (g->row->attr & ATTR_BRANCH) || (!repeated && diff_one_in(&g->random, 2)));
    return true;
}

/* The decimal adjusts do not exist in 64-bit mode, so ours are written out and their undefined flags are
 * ours. */
static bool is_decimal(enum insn_id id)
{
    return id == INSN_aaa || id == INSN_aas || id == INSN_aam || id == INSN_aad || id == INSN_daa ||
           id == INSN_das;
}

static bool is_memory_fault(uint32_t vector)
{
    return vector == VEC_PF || vector == VEC_GP || vector == VEC_SS;
}

static bool integer_mask(const struct diff_case *c, struct diff_result *ours, struct diff_result *native)
{
    const struct insn_row *row = &insn_rows[c->row];
    bool fault = ours->trap != VEC_DB && ours->trap != VEC_BP;

    /* POPA that faults half-way: AMD leaves what it has popped, we leave all as it was; it starts over
     * anyway. */
    if (c->row == INSN_popa && fault) {
        memset(ours->gpr, 0, sizeof(ours->gpr));
        memset(native->gpr, 0, sizeof(native->gpr));
    }
    /* POP into a segment that cannot be written, from a stack that cannot be read: which of the two is told.
     */
    if (c->row == INSN_pop_ev && ours->trap == VEC_PF && native->trap == VEC_GP) {
        native->trap = ours->trap;
        native->error = ours->error;
        native->cr2 = ours->cr2;
    }
    /* CMPS with two operands that cannot be read: which one is looked at first is the processor's own affair
     * (AMD family 19h models 10h-1Fh begin with ES:DI, earlier ones and we with DS:SI). */
    if ((c->row == INSN_cmpsb || c->row == INSN_cmpsv) && is_memory_fault(ours->trap) &&
        is_memory_fault(native->trap)) {
        native->trap = ours->trap;
        native->error = ours->error;
        native->cr2 = ours->cr2;
    }
    /* Repeated CMPS or SCAS that faults: the flags of the last iteration (AMD and we), or those from before
     * (Intel). It sets them anew when it goes on. */
    if ((row->attr & ATTR_REP) && (row->flags_set & FLAG_ZF) && fault && !__builtin_cpu_is("amd")) {
        ours->eflags &= ~FLAG_STATUS;
        native->eflags &= ~FLAG_STATUS;
    }
    if (is_decimal((enum insn_id)c->row)) {
        ours->eflags &= ~row->flags_undef;
        native->eflags &= ~row->flags_undef;
    }
    /* PUSHA that faults half-way: AMD has written what came before, we check everything first. */
    if (c->row == INSN_pusha && fault) {
        memset(ours->data, 0, sizeof(ours->data));
        memset(native->data, 0, sizeof(native->data));
        return true;
    }
    return false;
}

const struct diff_domain diff_integer_domain = {
    .name = "integer",
    .wants = integer_wants,
    .generate = integer_generate,
    .mask = integer_mask,
};
