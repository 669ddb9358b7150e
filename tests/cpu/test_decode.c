/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The decoder: lengths and validity against Zydis over random and systematic byte strings, edges by hand, the
 * disassembly of everything it accepts.
 *
 *   test-decode [--seed=N]     GLib test program; NETLAB_TEST_FULL=1 takes a hundred times as many strings
 *
 * Zydis knows every extension; where it accepts what an i686 with SSE3 does not have, ours must say invalid,
 * and where both accept, the lengths must agree. The list of where we differ on purpose is
 * differs_on_purpose().
 */
#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"

#include <Zydis/Zydis.h>
#include <glib.h>
#include <string.h>

static uint64_t random_state = 1;

static uint64_t random64(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15ull);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* Instruction-set extensions that this CPU has. */
static bool extension_is_ours(ZydisISAExt ext)
{
    switch ((int)ext) {
    case ZYDIS_ISA_EXT_BASE:
    case ZYDIS_ISA_EXT_CLFSH:
    case ZYDIS_ISA_EXT_LONGMODE: /* LAHF and SAHF bear this */
    case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_PAUSE:
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
    case ZYDIS_ISA_EXT_SSE3:
    case ZYDIS_ISA_EXT_X87:
        return true;
    default: /* the many others */
        return false;
    }
}

/* Newer instructions that share an opcode with one we have, or that Zydis counts among the base ones. */
static bool differs_on_purpose(const ZydisDecodedInstruction *z, const struct insn *ours,
                               enum decode_result result)
{
    if (result == DECODE_OK) {
        switch ((int)ours->op) {
        /* a segment or control register that does not exist: #UD by the instruction's function */
        case INSN_mov_rm_sreg:
        case INSN_mov_sreg_rm:
        case INSN_mov_r_cr:
        case INSN_mov_cr_r:
        /* Zydis wants valid MPX operands */
        case INSN_nop_ev_1a:
        case INSN_nop_ev_1b:
            return true;
        default:
            break;
        }
    }
    switch ((int)z->mnemonic) {
    /* AMD's, 64-bit mode's and SMM's; Zydis counts them as base instructions */
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_RSM:
    /* F3 is ignored: BSF, BSR and NOP on this CPU */
    case ZYDIS_MNEMONIC_TZCNT:
    case ZYDIS_MNEMONIC_LZCNT:
    /* hint opcodes 0F 18…1F */
    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_ENDBR64:
    case ZYDIS_MNEMONIC_CLDEMOTE:
    case ZYDIS_MNEMONIC_RDSSPD:
    /* UD0 and UD1: with ModRM or without is a matter of taste */
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
        return true;
    default: /* all the others must agree */
        return false;
    }
}

static char *describe(const uint8_t *bytes, const char *what)
{
    GString *text = g_string_new(what);

    g_string_append(text, ":");
    for (unsigned i = 0; i < 15; i++)
        g_string_append_printf(text, " %02x", bytes[i]);
    return g_string_free(text, FALSE);
}

struct tally {
    uint64_t same, invalid, newer, purpose, different;
};

static void compare(ZydisDecoder *decoder, const uint8_t *bytes, bool code32, struct tally *tally)
{
    ZydisDecodedInstruction z = {0};
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    struct insn ours;
    enum decode_result result = insn_decode(bytes, 16, code32, false, NULL, &ours);
    bool theirs = ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, bytes, 15, &z, operands));
    char text[160];

    if (result == DECODE_OK) {
        insn_format(&ours, 0x1000, text, sizeof(text));
        g_assert_cmpuint(strlen(text), >, 1);
        g_assert_nonnull(ours.run);
        g_assert_cmpuint(ours.length, >=, 1);
        g_assert_cmpuint(ours.length, <=, 15);
        g_assert_cmpuint(ours.base, <=, GPR_ZERO);
        g_assert_cmpuint(ours.index, <=, GPR_ZERO);
        g_assert_cmpuint(ours.seg, <, SEG_COUNT);
    }
    if (theirs && (!extension_is_ours(z.meta.isa_ext) || z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)) {
        tally->newer++;
        return;
    }
    if (!theirs && result != DECODE_OK) {
        tally->invalid++;
        return;
    }
    if (theirs && result == DECODE_OK && z.length == ours.length) {
        tally->same++;
        return;
    }
    if (differs_on_purpose(&z, &ours, result)) {
        tally->purpose++;
        return;
    }
    if (tally->different++ < 40) {
        g_autofree char *where = describe(bytes, code32 ? "32-bit" : "16-bit");

        g_test_message("%s  ours %s %s (%u bytes)  Zydis %s (%u bytes, %s)", where,
                       result == DECODE_OK         ? "ok"
                       : result == DECODE_TOO_LONG ? "too long"
                                                   : "invalid",
                       result == DECODE_OK ? text : "", ours.length,
                       theirs ? ZydisMnemonicGetString(z.mnemonic) : "invalid", theirs ? z.length : 0,
                       theirs ? ZydisISAExtGetString(z.meta.isa_ext) : "");
    }
}

static void fill(uint8_t bytes[16])
{
    uint64_t a = random64(), b = random64();

    memcpy(bytes, &a, 8);
    memcpy(bytes + 8, &b, 8);
}

static void finish(const struct tally *tally)
{
    g_test_message("same %" G_GUINT64_FORMAT ", both invalid %" G_GUINT64_FORMAT
                   ", newer than i686 %" G_GUINT64_FORMAT ", different on purpose %" G_GUINT64_FORMAT
                   ", different %" G_GUINT64_FORMAT,
                   tally->same, tally->invalid, tally->newer, tally->purpose, tally->different);
    g_assert_cmpuint(tally->different, ==, 0);
}

static void init_decoder(ZydisDecoder *decoder, bool code32)
{
    ZydisDecoderInit(decoder, code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                     code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
}

/* Every opcode of both maps with every ModRM byte, plain and behind each prefix. */
static void test_systematic(gconstpointer data)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3, 0x67, 0x2e};
    bool code32 = GPOINTER_TO_INT(data);
    ZydisDecoder decoder;
    struct tally tally = {0};

    init_decoder(&decoder, code32);
    for (unsigned map = 0; map < 2; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned modrm = 0; modrm < 256; modrm++)
                for (unsigned p = 0; p < G_N_ELEMENTS(prefixes); p++) {
                    uint8_t bytes[16];
                    unsigned n = 0;

                    fill(bytes);
                    if (p)
                        bytes[n++] = prefixes[p];
                    if (map)
                        bytes[n++] = 0x0f;
                    bytes[n++] = (uint8_t)opcode;
                    bytes[n] = (uint8_t)modrm;
                    compare(&decoder, bytes, code32, &tally);
                }
    finish(&tally);
}

static void test_random(gconstpointer data)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0, 0xf2, 0xf3};
    bool code32 = GPOINTER_TO_INT(data);
    uint64_t count = g_strcmp0(g_getenv("NETLAB_TEST_FULL"), "1") ? 400000 : 40000000;
    ZydisDecoder decoder;
    struct tally tally = {0};

    init_decoder(&decoder, code32);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[16];

        fill(bytes);
        for (unsigned n = random64() % 4 ? 0 : random64() % 15; n-- > 0;)
            bytes[n] = prefixes[random64() % G_N_ELEMENTS(prefixes)];
        compare(&decoder, bytes, code32, &tally);
    }
    finish(&tally);
}

/* Fewer bytes than the instruction has: asks for more, and never looks beyond. */
static void test_available(void)
{
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t bytes[16], *exact;
        struct insn whole, part;

        fill(bytes);
        if (insn_decode(bytes, 16, i & 1, false, NULL, &whole) != DECODE_OK)
            continue;
        for (unsigned have = 0; have < whole.length; have++) {
            exact = g_memdup2(bytes, have); /* of that size: the sanitizer watches its end */
            g_assert_cmpint(insn_decode(exact, have, i & 1, false, NULL, &part), ==, DECODE_MORE);
            g_free(exact);
        }
        g_assert_cmpint(insn_decode(bytes, whole.length, i & 1, false, NULL, &part), ==, DECODE_OK);
        g_assert_cmpuint(part.length, ==, whole.length);
    }
}

static void test_length_limit(void)
{
    uint8_t bytes[20];
    struct insn in;

    memset(bytes, 0x66, sizeof(bytes));
    g_assert_cmpint(insn_decode(bytes, 20, true, false, NULL, &in), ==, DECODE_TOO_LONG);
    bytes[14] = 0x90;
    g_assert_cmpint(insn_decode(bytes, 20, true, false, NULL, &in), ==, DECODE_OK);
    g_assert_cmpuint(in.length, ==, 15);
    bytes[13] = 0x04; /* ADD AL, Ib: its immediate is the fifteenth */
    g_assert_cmpint(insn_decode(bytes, 20, true, false, NULL, &in), ==, DECODE_OK);
    bytes[13] = 0x66;
    bytes[14] = 0x04; /* its immediate is the sixteenth */
    g_assert_cmpint(insn_decode(bytes, 20, true, false, NULL, &in), ==, DECODE_TOO_LONG);
}

/* What is valid for one and not for the other. */
/* Models live as long as the process does. */
static const struct cpu_model *model_named(const char *name)
{
    static GHashTable *known;
    g_autoptr(GError) error = NULL;
    gpointer model;

    if (!name)
        return NULL;
    if (!known)
        known = g_hash_table_new(g_str_hash, g_str_equal);
    model = g_hash_table_lookup(known, name);
    if (!model) {
        model = (gpointer)cpu_model_parse(name, &error);
        g_assert_no_error(error);
        g_hash_table_insert(known, (gpointer)name, model);
    }
    return model;
}

static void expect(bool valid, bool real, const char *model_name, const char *hex)
{
    const struct cpu_model *model = model_named(model_name);
    uint8_t bytes[16] = {0};
    struct insn in;

    for (unsigned i = 0; hex[2 * i]; i++)
        bytes[i] = (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    if ((insn_decode(bytes, 16, true, real, model, &in) == DECODE_OK) != valid)
        g_error("%s: expected %s", hex, valid ? "valid" : "invalid");
}

static void test_validity(void)
{
    expect(true, false, NULL, "f00103");   /* lock add [ebx], eax */
    expect(false, false, NULL, "f001c3");  /* lock add ebx, eax */
    expect(false, false, NULL, "f03903");  /* lock cmp [ebx], eax */
    expect(false, false, NULL, "f00303");  /* lock add eax, [ebx] */
    expect(true, false, NULL, "f00fc70b"); /* lock cmpxchg8b [ebx] */
    expect(false, false, NULL, "0fc7c9");  /* cmpxchg8b ecx */
    expect(false, false, NULL, "8dc0");    /* lea eax, eax */
    expect(false, false, NULL, "62c0");    /* bound eax, eax */
    expect(true, false, NULL, "0f00c0");   /* sldt eax */
    expect(false, true, NULL, "0f00c0");   /* … in real mode */
    expect(true, false, NULL, "63c0");     /* arpl ax, ax */
    expect(false, true, NULL, "63c0");     /* … in real mode */
    expect(true, false, "486", "0fc8");    /* bswap eax */
    expect(false, false, "486", "0f44c0"); /* cmove eax, eax */
    expect(true, false, "pentium3", "0f44c0");
    expect(true, false, "pentium3", "0f58c0");    /* addps */
    expect(false, false, "pentium3", "660f58c0"); /* addpd */
    expect(false, false, "486", "0f31");          /* rdtsc */
    expect(false, false, NULL, "f30fb8c0");       /* popcnt */
    expect(false, false, NULL, "660f3800c0");     /* pshufb */
    expect(false, false, NULL, "0f04");
    expect(false, false, NULL, "d9d1");
}

static void check_text(bool code32, const char *hex, const char *text)
{
    uint8_t bytes[16] = {0};
    char out[96];
    struct insn in;

    for (unsigned i = 0; hex[2 * i]; i++)
        bytes[i] = (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    g_assert_cmpint(insn_decode(bytes, 16, code32, false, NULL, &in), ==, DECODE_OK);
    insn_format(&in, 0x1000, out, sizeof(out));
    g_assert_cmpstr(out, ==, text);
}

static void test_text(void)
{
    check_text(true, "0145f8", "add dword [ebp-0x8], eax");
    check_text(true, "660145f8", "add word [ebp-0x8], ax");
    check_text(true, "65a110000000", "mov eax, dword [gs:0x10]");
    check_text(true, "8d0cc500000000", "lea ecx, [eax*8]");
    check_text(true, "f3a5", "rep movsd es:[edi], ds:[esi]");
    check_text(true, "f2ae", "repne scasb al, es:[edi]");
    check_text(true, "0f84fa0f0000", "je 0x2000");
    check_text(true, "ebfe", "jmp 0x1000");
    check_text(false, "8b4702", "mov ax, word [bx+0x2]");
    check_text(true, "6698", "cbw");
    check_text(true, "98", "cwde");
    check_text(true, "c8100002", "enter 0x10, 0x2");
    check_text(true, "ea785634122300", "jmp far 0x23:0x12345678");
    check_text(true, "83c0ff", "add eax, 0xffffffff");
    check_text(true, "0f94c4", "sete ah");
    check_text(true, "d8c3", "fadd st0, st3");
}

/* Rows that no bytes lead to are dead weight, or shadowed by mistake. */
static void test_reachable(void)
{
    g_autofree bool *seen = g_new0(bool, INSN_COUNT);
    static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};

    for (unsigned map = 0; map < 2; map++)
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned modrm = 0; modrm < 256; modrm++)
                for (unsigned p = 0; p < G_N_ELEMENTS(prefixes); p++) {
                    uint8_t bytes[16] = {0};
                    struct insn in;
                    unsigned n = 0;

                    if (p)
                        bytes[n++] = prefixes[p];
                    if (map)
                        bytes[n++] = 0x0f;
                    bytes[n++] = (uint8_t)opcode;
                    bytes[n] = (uint8_t)modrm;
                    if (insn_decode(bytes, 16, true, false, NULL, &in) == DECODE_OK)
                        seen[in.op] = true;
                }
    for (unsigned i = 0; i < INSN_COUNT; i++)
        if (!seen[i])
            g_error("row %s: no opcode leads to it", insn_rows[i].name);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (int i = 1; i < argc; i++)
        if (g_str_has_prefix(argv[i], "--random="))
            random_state = g_ascii_strtoull(argv[i] + 9, NULL, 0);
    g_test_add_func("/decode/reachable", test_reachable);
    g_test_add_data_func("/decode/systematic-32", GINT_TO_POINTER(1), test_systematic);
    g_test_add_data_func("/decode/systematic-16", GINT_TO_POINTER(0), test_systematic);
    g_test_add_data_func("/decode/random-32", GINT_TO_POINTER(1), test_random);
    g_test_add_data_func("/decode/random-16", GINT_TO_POINTER(0), test_random);
    g_test_add_func("/decode/available", test_available);
    g_test_add_func("/decode/length-limit", test_length_limit);
    g_test_add_func("/decode/validity", test_validity);
    g_test_add_func("/decode/text", test_text);
    return g_test_run();
}
