/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The decoder: from bytes to struct insn, by tables that are computed from optable.def.
 *
 * insn_rows[] is the table of the .def files as data. From it an index is made once, before the first decode:
 * opcode → row, or, where prefixes matter, → four entries by mandatory prefix, or, where the ModRM byte
 * matters, → 256 entries by ModRM. The index depends on nothing but optable.def and never changes afterwards.
 *
 * Everything a row says about form is decided here (memory or register, LOCK, CPUID features, V86), so that
 * the row's function need not look again: it gets the function that fits the form.
 *
 * Format: SDM vol. 2, chapter 2; LOCK: vol. 2, LOCK; length limit: vol. 2, 2.3.11.
 */
#include "emu/cpu/insn.h"
#include "emu/cpu/cpu_internal.h"

#include <glib.h>
#include <string.h>

// clang-format off
const struct insn_operand_info insn_operands[OPERAND_COUNT] = {
#define X(name_, class_, b16, b32)                                                                           \
    [OPERAND_##name_] = {.name = #name_, .class = OPCLASS_##class_, .bytes = {b16, b32}},
    INSN_OPERANDS(X)
#undef X
};

/* The tokens of the ext column. */
#define EXT_(n) (INSN_EXT_MODRM | INSN_EXT_OPCODE | (n))
enum {
    EXT_N = INSN_EXT_NONE, EXT_R = INSN_EXT_MODRM,
    EXT_M_R = INSN_EXT_MODRM | INSN_EXT_MEM, EXT_R_R = INSN_EXT_MODRM | INSN_EXT_REG,
#define X(n) EXT_##n = EXT_(n), EXT_M_##n = EXT_(n) | INSN_EXT_MEM, EXT_R_##n = EXT_(n) | INSN_EXT_REG,
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#undef X
#define X(n) EXT_X_##n = INSN_EXT_MODRM | INSN_EXT_EXACT | 0x##n,
#define X8(a, b, c, d, e, f, g, h) X(a) X(b) X(c) X(d) X(e) X(f) X(g) X(h)
    X8(c0, c1, c2, c3, c4, c5, c6, c7) X8(c8, c9, ca, cb, cc, cd, ce, cf)
    X8(d0, d1, d2, d3, d4, d5, d6, d7) X8(d8, d9, da, db, dc, dd, de, df)
    X8(e0, e1, e2, e3, e4, e5, e6, e7) X8(e8, e9, ea, eb, ec, ed, ee, ef)
    X8(f0, f1, f2, f3, f4, f5, f6, f7) X8(f8, f9, fa, fb, fc, fd, fe, ff)
#undef X8
#undef X
};
enum { MAP_1B, MAP_0F };

#define RUN_B(f) .run = {{op_##f, op_##f}, {op_##f, op_##f}}, .by_size = false
#define RUN_V(f) .run = {{op_##f##_16, op_##f##_16}, {op_##f##_32, op_##f##_32}}, .by_size = true
#define RUN_BS(f) .run = {{op_##f##_r, op_##f##_m}, {op_##f##_r, op_##f##_m}}, .by_size = false
#define RUN_VS(f) .run = {{op_##f##_16_r, op_##f##_16_m}, {op_##f##_32_r, op_##f##_32_m}}, .by_size = true
#define RUN_BC(f) .run_cc = {{op_##f##_cc, op_##f##_cc}, {op_##f##_cc, op_##f##_cc}}, .by_size = false
#define RUN_VC(f) .run_cc = {{op_##f##_16_cc, op_##f##_16_cc}, {op_##f##_32_cc, op_##f##_32_cc}}, .by_size = true
#define RUN_BSC(f) .run_cc = {{op_##f##_r_cc, op_##f##_m_cc}, {op_##f##_r_cc, op_##f##_m_cc}}, .by_size = false
#define RUN_VSC(f)                                                                                           \
    .run_cc = {{op_##f##_16_r_cc, op_##f##_16_m_cc}, {op_##f##_32_r_cc, op_##f##_32_m_cc}}, .by_size = true

const struct insn_row insn_rows[INSN_COUNT] = {
#define INSN(id, map_, opcode_, ext_, prefix_, mnemonic_, op1, op2, op3, size, attr_, read, set, undef, feature_) \
    [INSN_##id] = {.name = #id, .mnemonic = mnemonic_, .map = MAP_##map_, .opcode = (opcode_), .ext = EXT_##ext_, \
                   .prefix = PREFIX_##prefix_, .operand = {OPERAND_##op1, OPERAND_##op2, OPERAND_##op3},      \
                   .attr = (attr_), .flags_read = (read), .flags_set = (set), .flags_undef = (undef),         \
                   .feature = FEATURE_##feature_, RUN_##size(id)},
#include "emu/cpu/optable.def"
#undef INSN
};
// clang-format on
_Static_assert(INSN_COUNT < 0x4000, "index entries have two flag bits");

/* What follows ModRM and displacement. */
enum immediate {
    IMM_NONE,
    IMM_8,
    IMM_8_SIGNED,
    IMM_16,
    IMM_BY_SIZE,
    IMM_32,
    IMM_REL8,
    IMM_REL_BY_SIZE,
    IMM_FAR,
    IMM_MOFFS,
    IMM_16_8
};

/* Index entries: 0 is invalid, else a row number + 1, or with a flag the number of a finer table. */
#define ENTRY_BY_PREFIX 0x4000u
#define ENTRY_BY_MODRM  0x8000u
#define ENTRY_NUMBER    0x3fffu
#define MAX_BY_PREFIX   200
#define MAX_BY_MODRM    160

static struct {
    uint16_t by_opcode[2][256];
    uint16_t by_prefix[MAX_BY_PREFIX][4]; /* none, 66, F3, F2 */
    uint16_t by_modrm[MAX_BY_MODRM][256];
    unsigned by_prefix_count, by_modrm_count;
    bool has_modrm[2][256];
    uint8_t immediate[INSN_COUNT]; /* enum immediate */
} decode_index;                    /* computed once by decode_index_make(), constant from then on */

static enum immediate row_immediate(const struct insn_row *row)
{
    enum immediate kind = IMM_NONE;

    for (unsigned i = 0; i < 3; i++) {
        switch (row->operand[i]) {
        case OPERAND_Ib:
            kind = kind == IMM_16 ? IMM_16_8 : IMM_8;
            break;
        case OPERAND_sIb:
            kind = IMM_8_SIGNED;
            break;
        case OPERAND_Iw:
            kind = IMM_16;
            break;
        case OPERAND_Iz:
            kind = IMM_BY_SIZE;
            break;
        case OPERAND_Id:
            kind = IMM_32;
            break;
        case OPERAND_Jb:
            kind = IMM_REL8;
            break;
        case OPERAND_Jz:
            kind = IMM_REL_BY_SIZE;
            break;
        case OPERAND_Ap:
            kind = IMM_FAR;
            break;
        case OPERAND_Ob:
        case OPERAND_Ov:
            kind = IMM_MOFFS;
            break;
        default: /* the other operands take no bytes here */
            break;
        }
    }
    return kind;
}

static unsigned row_span(const struct insn_row *row)
{
    return row->attr & ATTR_PLUS_R ? 8 : row->attr & ATTR_COND ? 16 : 1;
}

static bool row_covers(const struct insn_row *row, unsigned map, unsigned opcode)
{
    return row->map == map && opcode - row->opcode < row_span(row);
}

/* How well a row fits an opcode with this prefix class and ModRM byte: 0 not at all, else more special is
 * more. */
static unsigned row_score(const struct insn_row *row, unsigned prefix_class, unsigned modrm)
{
    bool memory = modrm < 0xc0;
    unsigned score = 1;

    if (row->prefix != PREFIX_ANY) {
        if (row->prefix - PREFIX_NP + 0u != prefix_class)
            return 0;
        score += 64;
    }
    if (!(row->attr & (ATTR_PLUS_R | ATTR_COND)))
        score += 32;
    if (row->ext & INSN_EXT_EXACT) {
        if ((row->ext & 0xff) != modrm)
            return 0;
        return score + 16;
    }
    if (row->ext & INSN_EXT_OPCODE) {
        if ((row->ext & 7) != (modrm >> 3 & 7))
            return 0;
        score += 1;
    }
    if (row->ext & (INSN_EXT_MEM | INSN_EXT_REG)) {
        if (memory != !!(row->ext & INSN_EXT_MEM))
            return 0;
        score += 2;
    }
    return score;
}

static uint16_t best_row(const uint16_t *rows, unsigned count, unsigned prefix_class, unsigned modrm)
{
    unsigned best = 0;
    uint16_t found = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned score = row_score(&insn_rows[rows[i]], prefix_class, modrm);

        if (score > best) {
            best = score;
            found = rows[i] + 1;
        }
    }
    return found;
}

static uint16_t make_modrm_entry(const uint16_t *rows, unsigned count, unsigned prefix_class)
{
    uint16_t entry[256];
    bool same = true;

    for (unsigned modrm = 0; modrm < 256; modrm++) {
        entry[modrm] = best_row(rows, count, prefix_class, modrm);
        same &= entry[modrm] == entry[0];
    }
    if (same)
        return entry[0];
    for (unsigned i = 0; i < decode_index.by_modrm_count; i++)
        if (!memcmp(entry, decode_index.by_modrm[i], sizeof(entry)))
            return ENTRY_BY_MODRM | i;
    g_assert(decode_index.by_modrm_count < MAX_BY_MODRM);
    memcpy(decode_index.by_modrm[decode_index.by_modrm_count], entry, sizeof(entry));
    return ENTRY_BY_MODRM | decode_index.by_modrm_count++;
}

static uint16_t make_entry(const uint16_t *rows, unsigned count)
{
    bool by_prefix = false, by_modrm = false;
    uint16_t entry[4];

    for (unsigned i = 0; i < count; i++) {
        by_prefix |= insn_rows[rows[i]].prefix != PREFIX_ANY;
        by_modrm |= (insn_rows[rows[i]].ext & ~INSN_EXT_MODRM) != 0;
    }
    if (!by_prefix)
        return by_modrm ? make_modrm_entry(rows, count, 0) : best_row(rows, count, 0, 0);
    for (unsigned class = 0; class < 4; class ++)
        entry[class] = by_modrm ? make_modrm_entry(rows, count, class) : best_row(rows, count, class, 0);
    g_assert(decode_index.by_prefix_count < MAX_BY_PREFIX);
    memcpy(decode_index.by_prefix[decode_index.by_prefix_count], entry, sizeof(entry));
    return ENTRY_BY_PREFIX | decode_index.by_prefix_count++;
}

static void decode_index_make(void)
{
    uint16_t *rows = g_new(uint16_t, INSN_COUNT + 1);

    for (unsigned i = 0; i < INSN_COUNT; i++)
        decode_index.immediate[i] = row_immediate(&insn_rows[i]);
    for (unsigned map = 0; map < 2; map++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            unsigned count = 0;

            for (unsigned i = 0; i < INSN_COUNT; i++)
                if (row_covers(&insn_rows[i], map, opcode))
                    rows[count++] = i;
            for (unsigned i = 0; i < count; i++)
                decode_index.has_modrm[map][opcode] |= (insn_rows[rows[i]].ext & INSN_EXT_MODRM) != 0;
            decode_index.by_opcode[map][opcode] = make_entry(rows, count);
        }
    }
    g_free(rows);
}

static void decode_index_need(void)
{
    static gsize made;

    if (g_once_init_enter(&made)) {
        decode_index_make();
        g_once_init_leave(&made, 1);
    }
}

static bool model_has(const struct cpu_model *model, enum insn_feature feature)
{
    /* word of cpu_model_features() and bit; 486 is the least this CPU can be, 586 and 686 are known by the
     * first feature they brought (CMPXCHG8B, CMOVcc). */
    static const struct {
        uint8_t word, bit;
    } where[FEATURE_COUNT] = {
        [FEATURE_FPU] = {0, 0},   [FEATURE_TSC] = {0, 4},     [FEATURE_MSR] = {0, 5},
        [FEATURE_CX8] = {0, 8},   [FEATURE_586] = {0, 8},     [FEATURE_SEP] = {0, 11},
        [FEATURE_CMOV] = {0, 15}, [FEATURE_686] = {0, 15},    [FEATURE_MMX] = {0, 23},
        [FEATURE_FXSR] = {0, 24}, [FEATURE_SSE] = {0, 25},    [FEATURE_SSE2] = {0, 26},
        [FEATURE_SSE3] = {1, 0},  [FEATURE_MONITOR] = {1, 3}, [FEATURE_CLFLUSH] = {0, 19},
    };

    if (feature == FEATURE_NONE || feature == FEATURE_486 || !model)
        return true;
    return cpu_model_features(model, where[feature].word) >> where[feature].bit & 1;
}

/* Memory operand: SDM vol. 2, tables 2-1…2-3. `pos` is after the ModRM byte; returns the position after the
 * displacement, or 0 when bytes are lacking. */
static unsigned decode_address(const uint8_t *bytes, unsigned pos, unsigned limit, bool addr16,
                               struct insn *out)
{
    unsigned mod = out->modrm >> 6, rm = out->modrm & 7, disp_size = mod; /* 0, 1, or 2 = by address size */

    if (addr16) {
        static const uint8_t base[8] = {EBX, EBX, EBP, EBP, GPR_ZERO, GPR_ZERO, EBP, EBX};
        static const uint8_t index[8] = {ESI, EDI, ESI, EDI, ESI, EDI, GPR_ZERO, GPR_ZERO};

        out->base = base[rm];
        out->index = index[rm];
        if (mod == 0 && rm == 6) {
            out->base = GPR_ZERO;
            disp_size = 2;
        }
    } else {
        out->base = rm;
        if (rm == 4) {
            uint8_t sib;

            if (pos >= limit)
                return 0;
            sib = bytes[pos++];
            out->base = sib & 7;
            if ((sib >> 3 & 7) != 4) {
                out->index = sib >> 3 & 7;
                out->scale = sib >> 6;
            }
        }
        if (mod == 0 && out->base == EBP) {
            out->base = GPR_ZERO;
            disp_size = 2;
        }
        if (disp_size == 2)
            disp_size = 4;
    }
    if (out->seg == SEG_COUNT && (out->base == EBP || (out->base == ESP && !addr16)))
        out->seg = SEG_SS;
    if (pos + disp_size > limit)
        return 0;
    if (disp_size == 1) {
        out->disp = (int8_t)bytes[pos];
    } else if (disp_size == 2) {
        out->disp = (int16_t)(bytes[pos] | bytes[pos + 1] << 8);
    } else if (disp_size == 4) {
        memcpy(&out->disp, bytes + pos, 4);
    }
    return pos + disp_size;
}

static uint32_t load_le(const uint8_t *bytes, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)bytes[i] << 8 * i;
    return value;
}

/* Bytes of the immediate, and the value extended as the row says. */
static unsigned decode_immediate(const uint8_t *bytes, unsigned pos, unsigned limit, enum immediate kind,
                                 bool op16, bool addr16, struct insn *out)
{
    unsigned by_size = op16 ? 2 : 4, size = 0;

    switch (kind) {
    case IMM_NONE:
        return pos;
    case IMM_8:
    case IMM_8_SIGNED:
    case IMM_REL8:
        size = 1;
        break;
    case IMM_16:
        size = 2;
        break;
    case IMM_BY_SIZE:
    case IMM_REL_BY_SIZE:
        size = by_size;
        break;
    case IMM_32:
        size = 4;
        break;
    case IMM_FAR:
        size = by_size + 2;
        break;
    case IMM_MOFFS:
        size = addr16 ? 2 : 4;
        break;
    case IMM_16_8:
        size = 3;
        break;
    }
    if (pos + size > limit)
        return 0;
    if (kind == IMM_FAR) {
        out->imm = load_le(bytes + pos, by_size);
        out->imm2 = load_le(bytes + pos + by_size, 2);
    } else if (kind == IMM_16_8) {
        out->imm = load_le(bytes + pos, 2);
        out->imm2 = bytes[pos + 2];
    } else if (kind == IMM_MOFFS) {
        out->disp = load_le(bytes + pos, size);
        out->flags |= INSN_MEM;
    } else {
        out->imm = load_le(bytes + pos, size);
        if (kind == IMM_8_SIGNED || kind == IMM_REL8)
            out->imm = (int8_t)out->imm;
        else if (kind == IMM_REL_BY_SIZE && op16)
            out->imm = (int16_t)out->imm;
    }
    return pos + size;
}

enum decode_result insn_decode(const uint8_t *bytes, unsigned available, bool code32, bool real_or_v86,
                               const struct cpu_model *model, struct insn *out)
{
    const unsigned limit = MIN(available, 15);
    const enum decode_result short_of = available >= 15 ? DECODE_TOO_LONG : DECODE_MORE;
    bool op16 = !code32, addr16 = !code32;
    unsigned pos = 0, prefix_class = 0, map = 0, entry;
    const struct insn_row *row;
    uint8_t opcode;

    decode_index_need();
    memset(out, 0, sizeof(*out));
    out->seg = SEG_COUNT;
    out->base = out->index = GPR_ZERO;
    for (;; pos++) {
        if (pos >= limit) {
            out->length = pos;
            return short_of;
        }
        opcode = bytes[pos];
        switch (opcode) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            out->seg = opcode >> 3 & 3;
            out->flags |= INSN_SEG_OVERRIDE;
            continue;
        case 0x64:
        case 0x65:
            out->seg = opcode - 0x64 + SEG_FS;
            out->flags |= INSN_SEG_OVERRIDE;
            continue;
        case 0x66:
            op16 = code32;
            out->flags |= INSN_66;
            continue;
        case 0x67:
            addr16 = code32;
            continue;
        case 0xf0:
            out->flags |= INSN_LOCK;
            continue;
        case 0xf2:
            out->flags = (out->flags & ~INSN_REP) | INSN_REPNE;
            continue;
        case 0xf3:
            out->flags = (out->flags & ~INSN_REPNE) | INSN_REP;
            continue;
        default: /* not a prefix */
            break;
        }
        break;
    }
    pos++;
    if (opcode == 0x0f) {
        if (pos >= limit) {
            out->length = pos;
            return short_of;
        }
        map = 1;
        opcode = bytes[pos++];
    }
    out->opcode = opcode;
    out->reg = opcode & 7;
    out->ea_mask = addr16 ? 0xffff : 0xffffffff;
    out->flags |= (op16 ? INSN_OP16 : 0) | (addr16 ? INSN_ADDR16 : 0);
    if (decode_index.has_modrm[map][opcode]) {
        if (pos >= limit) {
            out->length = pos;
            return short_of;
        }
        out->modrm = bytes[pos++];
        if (map == 1 && (opcode & 0xfc) == 0x20) /* MOV to and from CRn, DRn: mod is ignored, always a register */
            out->modrm |= 0xc0;
        out->reg = out->modrm >> 3 & 7;
        out->rm = out->modrm & 7;
        if (out->modrm < 0xc0)
            out->flags |= INSN_MEM;
    }

    entry = decode_index.by_opcode[map][opcode];
    if (entry & ENTRY_BY_PREFIX) {
        prefix_class = out->flags & INSN_REPNE ? 3 : out->flags & INSN_REP ? 2 : out->flags & INSN_66 ? 1 : 0;
        entry = decode_index.by_prefix[entry & ENTRY_NUMBER][prefix_class];
    }
    if (entry & ENTRY_BY_MODRM)
        entry = decode_index.by_modrm[entry & ENTRY_NUMBER][out->modrm];
    out->length = pos;
    if (!entry)
        return DECODE_INVALID;
    out->op = entry - 1;
    row = &insn_rows[out->op];
    if (!(row->ext & INSN_EXT_MODRM))
        out->flags &= ~INSN_MEM;
    if (out->flags & INSN_MEM) {
        unsigned end = decode_address(bytes, pos, limit, addr16, out);

        if (!end)
            return short_of;
        pos = end;
    }
    pos = decode_immediate(bytes, pos, limit, decode_index.immediate[out->op], op16, addr16, out);
    if (!pos)
        return short_of;
    out->length = pos;
    if (out->seg == SEG_COUNT)
        out->seg = SEG_DS;
    if ((out->flags & INSN_LOCK) && !((row->attr & ATTR_LOCK) && (out->flags & INSN_MEM)))
        return DECODE_INVALID;
    if ((real_or_v86 && (row->attr & ATTR_NO_V86)) || !model_has(model, row->feature))
        return DECODE_INVALID;
    if (row->attr & ATTR_COND)
        out->run = row->run_cc[!op16][(out->flags & INSN_MEM) != 0][opcode & 15];
    else
        out->run = row->run[!op16][(out->flags & INSN_MEM) != 0];
    return DECODE_OK;
}
