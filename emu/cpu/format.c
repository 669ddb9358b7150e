/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Disassembly for traces, the monitor and test reports: Intel syntax, from the mnemonic and operand letters
 * of the instruction's row. It writes what the decoder found, no more: operand sizes show in register names
 * and in "byte/word/dword …" before memory.
 */
#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"

#include <string.h>

static const char *const names8[8] = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"};
static const char *const names16[8] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
static const char *const names32[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
static const char *const segment_names[8] = {"es", "cs", "ss", "ds", "fs", "gs", "?s", "?s"};
static const char *const conditions[16] = {"o", "no", "b",  "ae", "e", "ne", "be", "a",
                                           "s", "ns", "pe", "po", "l", "ge", "le", "g"};

struct text {
    char *at;
    unsigned left;
};

static void G_GNUC_PRINTF(2, 3) put(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = g_vsnprintf(t->at, t->left, format, args);
    va_end(args);
    if (n < 0)
        return;
    n = MIN(n, (int)t->left - 1);
    t->at += n;
    t->left -= (unsigned)n;
}

const char *insn_mnemonic(enum insn_id id)
{
    return id < INSN_COUNT ? insn_rows[id].mnemonic : "?";
}

static void put_register(struct text *t, unsigned number, unsigned bytes)
{
    const char *const *names = bytes == 1 ? names8 : bytes == 2 ? names16 : names32;

    put(t, "%s", names[number & 7]);
}

static const char *memory_size(unsigned bytes)
{
    switch (bytes) {
    case 1:
        return "byte ";
    case 2:
        return "word ";
    case 4:
        return "dword ";
    case 6:
        return "fword ";
    case 8:
        return "qword ";
    case 10:
        return "tbyte ";
    case 16:
        return "oword ";
    default:
        return "";
    }
}

static void put_memory(struct text *t, const struct insn *in, unsigned bytes)
{
    const char *const *names = in->flags & INSN_ADDR16 ? names16 : names32;
    bool some = false;

    put(t, "%s[", memory_size(bytes));
    if (in->flags & INSN_SEG_OVERRIDE)
        put(t, "%s:", segment_names[in->seg & 7]);
    if (in->base != GPR_ZERO) {
        put(t, "%s", names[in->base & 7]);
        some = true;
    }
    if (in->index != GPR_ZERO) {
        put(t, "%s%s", some ? "+" : "", names[in->index & 7]);
        if (in->scale)
            put(t, "*%u", 1u << in->scale);
        some = true;
    }
    if (!some)
        put(t, "0x%x", in->disp & in->ea_mask);
    else if ((int32_t)in->disp < 0)
        put(t, "-0x%x", -in->disp);
    else if (in->disp)
        put(t, "+0x%x", in->disp);
    put(t, "]");
}

static void put_operand(struct text *t, const struct insn *in, enum insn_operand operand, uint32_t eip)
{
    const struct insn_operand_info *info = &insn_operands[operand];
    bool op16 = in->flags & INSN_OP16, memory = in->flags & INSN_MEM;
    unsigned bytes = info->bytes[!op16];
    uint32_t mask =
        bytes >= 4 || operand == OPERAND_sIb ? (op16 ? 0xffff : 0xffffffff) : (1u << 8 * bytes) - 1;
    bool whole = operand == OPERAND_RvMw || operand == OPERAND_RdMw || operand == OPERAND_RdMb;

    switch ((enum insn_operand_class)info->class) {
    case OPCLASS_NONE:
        break;
    case OPCLASS_RM:
        if (memory)
            put_memory(t, in, bytes);
        else
            put_register(t, in->rm, whole ? (operand == OPERAND_RvMw && op16 ? 2 : 4) : bytes);
        break;
    case OPCLASS_MEM:
        put_memory(t, in, bytes);
        break;
    case OPCLASS_REG:
    case OPCLASS_OPREG:
        put_register(t, in->reg, bytes);
        break;
    case OPCLASS_SREG:
        put(t, "%s", segment_names[in->reg & 7]);
        break;
    case OPCLASS_CREG:
        put(t, "cr%u", in->reg);
        break;
    case OPCLASS_DREG:
        put(t, "dr%u", in->reg);
        break;
    case OPCLASS_IMM:
        /* ENTER's second immediate stands apart */
        put(t, "0x%x", in->op == INSN_enter && operand == OPERAND_Ib ? in->imm2 : in->imm & mask);
        break;
    case OPCLASS_REL:
        put(t, "0x%x", (eip + in->length + in->imm) & (op16 ? 0xffff : 0xffffffff));
        break;
    case OPCLASS_FAR:
        put(t, "0x%x:0x%x", in->imm2, in->imm);
        break;
    case OPCLASS_MOFFS:
        put_memory(t, in, bytes);
        break;
    case OPCLASS_STR_SI:
    case OPCLASS_STR_DI:
    case OPCLASS_STR_BX: {
        bool di = info->class == OPCLASS_STR_DI && bytes < 8;
        unsigned number = info->class == OPCLASS_STR_SI ? ESI : info->class == OPCLASS_STR_DI ? EDI : EBX;

        put(t, "%s:[%s]", segment_names[di ? SEG_ES : in->seg & 7],
            (in->flags & INSN_ADDR16 ? names16 : names32)[number]);
        break;
    }
    case OPCLASS_FIXED:
        if (operand == OPERAND_eAX || operand == OPERAND_eCX || operand == OPERAND_eDX) {
            put_register(t, operand == OPERAND_eAX ? EAX : operand == OPERAND_eCX ? ECX : EDX, bytes);
        } else {
            g_autofree char *lower = g_ascii_strdown(info->name, -1);

            put(t, "%s", lower);
        }
        break;
    case OPCLASS_STI:
        put(t, "st%u", in->modrm & 7);
        break;
    case OPCLASS_MMREG:
        put(t, "mm%u", in->reg);
        break;
    case OPCLASS_MMRM:
        if (memory)
            put_memory(t, in, bytes);
        else
            put(t, "mm%u", in->rm);
        break;
    case OPCLASS_XMMREG:
        put(t, "xmm%u", in->reg);
        break;
    case OPCLASS_XMMRM:
        if (memory)
            put_memory(t, in, bytes);
        else
            put(t, "xmm%u", in->rm);
        break;
    }
}

static bool is_string(const struct insn_row *row)
{
    for (unsigned i = 0; i < 3; i++)
        if (insn_operands[row->operand[i]].class == OPCLASS_STR_SI ||
            (insn_operands[row->operand[i]].class == OPCLASS_STR_DI &&
             insn_operands[row->operand[i]].bytes[1] < 8))
            return true;
    return false;
}

static void put_mnemonic(struct text *t, const struct insn *in, const struct insn_row *row)
{
    const char *bar = strchr(row->mnemonic, '|');
    bool op16 = in->flags & INSN_OP16;

    if (in->flags & INSN_LOCK)
        put(t, "lock ");
    if ((in->flags & INSN_REP) && (row->attr & ATTR_REP))
        put(t, row->flags_set & FLAG_ZF ? "repe " : "rep ");
    if ((in->flags & INSN_REPNE) && (row->attr & ATTR_REP))
        put(t, "repne ");
    if (!bar)
        put(t, "%s", row->mnemonic);
    else if (op16)
        put(t, "%.*s", (int)(bar - row->mnemonic), row->mnemonic);
    else
        put(t, "%s", bar + 1);
    if (row->attr & ATTR_COND)
        put(t, "%s", conditions[in->opcode & 15]);
    if (is_string(row))
        put(t, "%c", !row->by_size ? 'b' : op16 ? 'w' : 'd');
}

void insn_format(const struct insn *in, uint32_t eip, char *out, unsigned size)
{
    struct text t = {.at = out, .left = size};
    const struct insn_row *row;

    if (!size)
        return;
    out[0] = 0;
    if (in->op >= INSN_COUNT) {
        put(&t, "?");
        return;
    }
    row = &insn_rows[in->op];
    put_mnemonic(&t, in, row);
    for (unsigned i = 0; i < 3 && row->operand[i] != OPERAND_NONE; i++) {
        put(&t, i ? ", " : " ");
        put_operand(&t, in, row->operand[i], eip);
    }
}

unsigned cpu_disassemble(struct cpu *cpu, const uint8_t *bytes, unsigned available, uint32_t eip, char *out,
                         unsigned size)
{
    struct insn in;
    switch (insn_decode(bytes, available, cpu->code32, !cpu_protected(cpu), cpu->model, &in)) {
    case DECODE_OK:
        insn_format(&in, eip, out, size);
        return in.length;
    case DECODE_MORE:
        if (available < 15)
            return 0;
        break;
    case DECODE_INVALID:
    case DECODE_TOO_LONG:
        break;
    }
    g_snprintf(out, size, "db 0x%02x", bytes[0]);
    return 1;
}
