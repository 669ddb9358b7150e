/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * CPU models and the CPUID instruction (SDM vol. 2, CPUID).
 *
 * A model is a row: signature, feature words, highest leaves. Feature bits say exactly what is implemented; a
 * test compares them with the instructions' table. "model,+a,-b,c=on,d=off" takes a model's row and edits it.
 *
 * The default has the signature of an Intel Atom N270 (family 6, model 1CH) of stepping 10: in-order, so
 * kernels know that it does not speculate and leave out page-table isolation and retpolines, which is what
 * makes system calls fast; and late enough a stepping that Linux does not distrust its large pages.
 */
#include "emu/cpu/cpu_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { WORD_1_EDX, WORD_1_ECX, WORD_8000_0001_EDX, WORD_8000_0007_EDX, WORD_7_EBX, WORD_COUNT };

struct cpu_model {
    const char *name, *help;
    const char *vendor; /* twelve characters */
    const char *brand;  /* at most 47 */
    uint8_t family, model, stepping;
    uint32_t level, extended_level;
    uint32_t features[WORD_COUNT];
    bool owned; /* made by cpu_model_parse() */
};

/* Every feature that is implemented: X(enum name, word, bit, names people may write). The names are QEMU's.
 */
#define FEATURES(X)                                                                                          \
    X(FPU, WORD_1_EDX, 0, "fpu")                                                                             \
    X(VME, WORD_1_EDX, 1, "vme")                                                                             \
    X(DE, WORD_1_EDX, 2, "de")                                                                               \
    X(PSE, WORD_1_EDX, 3, "pse")                                                                             \
    X(TSC, WORD_1_EDX, 4, "tsc")                                                                             \
    X(MSR, WORD_1_EDX, 5, "msr")                                                                             \
    X(PAE, WORD_1_EDX, 6, "pae")                                                                             \
    X(MCE, WORD_1_EDX, 7, "mce")                                                                             \
    X(CX8, WORD_1_EDX, 8, "cx8")                                                                             \
    X(APIC, WORD_1_EDX, 9, "apic")                                                                           \
    X(SEP, WORD_1_EDX, 11, "sep")                                                                            \
    X(MTRR, WORD_1_EDX, 12, "mtrr")                                                                          \
    X(PGE, WORD_1_EDX, 13, "pge")                                                                            \
    X(MCA, WORD_1_EDX, 14, "mca")                                                                            \
    X(CMOV, WORD_1_EDX, 15, "cmov")                                                                          \
    X(PAT, WORD_1_EDX, 16, "pat")                                                                            \
    X(PSE36, WORD_1_EDX, 17, "pse36")                                                                        \
    X(CLFLUSH, WORD_1_EDX, 19, "clflush")                                                                    \
    X(MMX, WORD_1_EDX, 23, "mmx")                                                                            \
    X(FXSR, WORD_1_EDX, 24, "fxsr")                                                                          \
    X(SSE, WORD_1_EDX, 25, "sse")                                                                            \
    X(SSE2, WORD_1_EDX, 26, "sse2")                                                                          \
    X(SSE3, WORD_1_ECX, 0, "pni")                                                                            \
    X(HYPERVISOR, WORD_1_ECX, 31, "hypervisor")                                                              \
    X(NX, WORD_8000_0001_EDX, 20, "nx")                                                                      \
    X(INVTSC, WORD_8000_0007_EDX, 8, "invtsc")                                                               \
    X(TSC_ADJUST, WORD_7_EBX, 1, "tsc-adjust")

static const struct feature {
    uint8_t word, bit;
    const char *name;
} features[CPU_FEATURE_COUNT] = {
#define X(id, word, bit, name) [CPU_##id] = {word, bit, name},
    FEATURES(X)
#undef X
};
#define X(id, word, bit, name) +1
G_STATIC_ASSERT(0 FEATURES(X) == CPU_FEATURE_COUNT);
#undef X

#define F(id) (1u << CPU_BIT_##id)
enum {
#define X(id, word, bit, name) CPU_BIT_##id = bit,
    FEATURES(X)
#undef X
};

#define FEATURES_486     (F(FPU) | F(VME) | F(PSE))
#define FEATURES_PENTIUM (FEATURES_486 | F(DE) | F(TSC) | F(MSR) | F(MCE) | F(CX8) | F(APIC) | F(MMX))
#define FEATURES_PPRO                                                                                        \
    (F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | F(MCE) | F(CX8) | F(APIC) | F(SEP) |      \
     F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT))
#define FEATURES_PENTIUM2 (FEATURES_PPRO | F(PSE36) | F(MMX) | F(FXSR))
#define FEATURES_PENTIUM3 (FEATURES_PENTIUM2 | F(SSE))
#define FEATURES_ALL      (FEATURES_PENTIUM3 | F(SSE2) | F(CLFLUSH))

static const struct cpu_model models[] = {
    {.name = "n270",
     .help = "Atom N270 class without SSSE3: the default",
     .vendor = "GenuineIntel",
     .brand = "netlab N270-class virtual CPU",
     .family = 6,
     .model = 0x1c,
     .stepping = 10,
     .level = 0x16,
     .extended_level = 0x80000008u,
     .features = {FEATURES_ALL, F(SSE3) | F(HYPERVISOR), F(NX), F(INVTSC), F(TSC_ADJUST)}},
    {.name = "qemu32",
     .help = "what QEMU calls its common 32-bit CPU",
     .vendor = "GenuineIntel",
     .brand = "netlab 32-bit virtual CPU",
     .family = 6,
     .model = 6,
     .stepping = 3,
     .level = 4,
     .extended_level = 0x80000008u,
     .features = {(FEATURES_PENTIUM3 | F(SSE2)) & ~(F(VME) | F(PSE36)), F(SSE3) | F(HYPERVISOR), 0, 0}},
    {.name = "pentium3",
     .help = "Pentium III: SSE, no SSE2, no NX",
     .vendor = "GenuineIntel",
     .brand = "netlab Pentium III class CPU",
     .family = 6,
     .model = 8,
     .stepping = 3,
     .level = 3,
     .extended_level = 0,
     .features = {FEATURES_PENTIUM3, F(HYPERVISOR), 0, 0}},
    {.name = "pentium2",
     .help = "Pentium II: MMX, no SSE",
     .vendor = "GenuineIntel",
     .brand = "",
     .family = 6,
     .model = 5,
     .stepping = 2,
     .level = 2,
     .extended_level = 0,
     .features = {FEATURES_PENTIUM2, F(HYPERVISOR), 0, 0}},
    {.name = "pentium",
     .help = "Pentium MMX: no CMOV, no PAE",
     .vendor = "GenuineIntel",
     .brand = "",
     .family = 5,
     .model = 4,
     .stepping = 3,
     .level = 1,
     .extended_level = 0,
     .features = {FEATURES_PENTIUM, F(HYPERVISOR), 0, 0}},
    {.name = "486",
     .help = "486DX4: no TSC, no CMPXCHG8B",
     .vendor = "GenuineIntel",
     .brand = "",
     .family = 4,
     .model = 8,
     .stepping = 0,
     .level = 1,
     .extended_level = 0,
     .features = {FEATURES_486, 0, 0, 0}},
    {.name = "base",
     .help = "i686 with no optional feature, to build on with +feature",
     .vendor = "GenuineIntel",
     .brand = "netlab base CPU",
     .family = 6,
     .model = 0,
     .stepping = 0,
     .level = 0x16,
     .extended_level = 0x80000008u,
     .features = {0, 0, 0, 0}},
    {.name = "max",
     .help = "everything this emulator implements",
     .vendor = "GenuineIntel",
     .brand = "netlab virtual CPU",
     .family = 6,
     .model = 0x1c,
     .stepping = 10,
     .level = 0x16,
     .extended_level = 0x80000008u,
     .features = {FEATURES_ALL, F(SSE3) | F(HYPERVISOR), F(NX), F(INVTSC), F(TSC_ADJUST)}},
};

const struct cpu_model *cpu_model_default(void)
{
    return &models[0];
}

void cpu_model_free(const struct cpu_model *model)
{
    if (model && model->owned)
        g_free((struct cpu_model *)model);
}

bool cpu_model_has(const struct cpu_model *model, enum cpu_feature_bit bit)
{
    return model->features[features[bit].word] >> features[bit].bit & 1;
}

unsigned cpu_model_family(const struct cpu_model *model)
{
    return model->family;
}

uint32_t cpu_model_features(const struct cpu_model *model, unsigned word)
{
    return model->features[word];
}

uint32_t cpu_model_signature(const struct cpu_model *model)
{
    return (uint32_t)model->stepping | (model->model & 15u) << 4 | (uint32_t)model->family << 8 |
           (uint32_t)(model->model >> 4) << 16;
}

/* The bits of CR4 that are not reserved. */
uint32_t cpu_model_cr4(const struct cpu_model *model)
{
    static const struct {
        uint8_t feature;
        uint32_t bits;
    } rows[] = {
        {CPU_VME, CR4_VME | CR4_PVI}, {CPU_TSC, CR4_TSD},        {CPU_DE, CR4_DE},   {CPU_PSE, CR4_PSE},
        {CPU_PAE, CR4_PAE},           {CPU_MCE, CR4_MCE},        {CPU_PGE, CR4_PGE}, {CPU_MMX, CR4_PCE},
        {CPU_FXSR, CR4_OSFXSR},       {CPU_SSE, CR4_OSXMMEXCPT},
    };
    uint32_t bits = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (cpu_model_has(model, (enum cpu_feature_bit)rows[i].feature))
            bits |= rows[i].bits;
    return bits;
}

/* ---- "n270,+x,-y" ---- */

static const struct feature *find_feature(const char *name)
{
    if (!strcmp(name, "sse3"))
        name = "pni";
    for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++)
        if (!strcmp(features[i].name, name))
            return &features[i];
    return NULL;
}

static bool apply_number(struct cpu_model *model, const char *name, const char *value, bool *known,
                         GError **error)
{
    static const struct {
        const char *name;
        unsigned max;
        size_t offset;
    } rows[] = {
        {"family", 15, offsetof(struct cpu_model, family)},
        {"model", 255, offsetof(struct cpu_model, model)},
        {"stepping", 15, offsetof(struct cpu_model, stepping)},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint64 number;
        if (strcmp(rows[i].name, name))
            continue;
        *known = true;
        if (!g_ascii_string_to_unsigned(value, 10, 0, rows[i].max, &number, error)) {
            g_prefix_error(error, "-cpu %s=%s: ", name, value);
            return false;
        }
        *((uint8_t *)model + rows[i].offset) = (uint8_t)number;
        return true;
    }
    return true;
}

static bool apply_option(struct cpu_model *model, char *option, GError **error)
{
    bool on = true;
    char *name = option;
    if (*name == '+' || *name == '-') {
        on = *name++ == '+';
    } else {
        char *value = strchr(option, '=');
        if (value) {
            bool known = false;
            *value++ = '\0';
            if (!apply_number(model, name, value, &known, error))
                return false;
            if (known)
                return true;
            if (strcmp(value, "on") && strcmp(value, "off")) {
                g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "-cpu %s=%s: a feature is switched =on or =off", name, value);
                return false;
            }
            on = !strcmp(value, "on");
        }
    }
    g_strdelimit(name, "_", '-');
    const struct feature *feature = find_feature(name);
    if (!feature) {
        if (!on) /* what is not implemented is off already */
            return true;
        g_autoptr(GString) known = g_string_new(NULL);
        for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++)
            g_string_append_printf(known, " %s", features[i].name);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "-cpu: feature '%s' is not one this emulator has; there are:%s", name, known->str);
        return false;
    }
    if (on)
        model->features[feature->word] |= 1u << feature->bit;
    else
        model->features[feature->word] &= ~(1u << feature->bit);
    return true;
}

const struct cpu_model *cpu_model_parse(const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    const struct cpu_model *row = NULL;
    for (unsigned i = 0; parts[0] && i < G_N_ELEMENTS(models); i++)
        if (!strcmp(models[i].name, parts[0]))
            row = &models[i];
    if (!row) {
        g_autoptr(GString) known = g_string_new(NULL);
        for (unsigned i = 0; i < G_N_ELEMENTS(models); i++)
            g_string_append_printf(known, " %s", models[i].name);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "-cpu: no model '%s'; there are:%s",
                    parts[0] ? parts[0] : "", known->str);
        return NULL;
    }
    g_autofree struct cpu_model *model = g_memdup2(row, sizeof *row);
    model->owned = true;
    for (unsigned i = 1; parts[i]; i++)
        if (!apply_option(model, parts[i], error))
            return NULL;
    return g_steal_pointer(&model);
}

const char *cpu_model_name(const struct cpu_model *model)
{
    return model->name;
}

uint32_t cpu_model_digest(const struct cpu_model *model)
{
    const uint32_t words[] = {model->family, model->model, model->stepping, model->level,
                              model->extended_level};
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a, a word a step */
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        hash = (hash ^ words[i]) * UINT32_C(16777619);
    for (unsigned i = 0; i < WORD_COUNT; i++)
        hash = (hash ^ model->features[i]) * UINT32_C(16777619);
    return hash;
}

const char *cpu_model_known(unsigned index)
{
    return index < G_N_ELEMENTS(models) ? models[index].name : NULL;
}

void cpu_model_describe_all(GString *out)
{
    g_string_append(out, "Models:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++)
        g_string_append_printf(out, "  %-10s %s\n", models[i].name, models[i].help);
    g_string_append(out, "Features (+name, -name, name=on|off), and family=, model=, stepping=:\n ");
    for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++)
        g_string_append_printf(out, " %s", features[i].name);
    g_string_append_c(out, '\n');
}

/* ---- the instruction ---- */

static void brand_leaf(const struct cpu_model *model, unsigned part, uint32_t out[4])
{
    char text[48] = {0};
    g_strlcpy(text, model->brand, sizeof text);
    memcpy(out, text + 16 * part, 16);
}

/* Leaf 4: 32 KiB L1 caches and 512 KiB L2, eight ways, lines of 64 bytes. */
static void cache_leaf(uint32_t subleaf, uint32_t out[4])
{
    static const struct {
        uint32_t kind, level, size;
    } caches[] = {
        {1 /* data */, 1, 32 << 10}, {2 /* instructions */, 1, 32 << 10}, {3 /* unified */, 2, 512 << 10}};
    const uint32_t ways = 8, line = 64;
    if (subleaf >= G_N_ELEMENTS(caches))
        return;
    out[0] = caches[subleaf].kind | caches[subleaf].level << 5 | 1u << 8 /* self-initialising */;
    out[1] = (line - 1) | (ways - 1) << 22;
    out[2] = caches[subleaf].size / (ways * line) - 1;
    out[3] = 1; /* WBINVD reaches the lower levels */
}

static void basic_leaf(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_model *model = cpu->model;
    switch (leaf) {
    case 0x0:
        out[0] = model->level;
        memcpy(&out[1], model->vendor, 4);
        memcpy(&out[3], model->vendor + 4, 4);
        memcpy(&out[2], model->vendor + 8, 4);
        break;
    case 0x1:
        out[0] = cpu_model_signature(model);
        out[1] =
            (cpu_model_has(model, CPU_CLFLUSH) ? 8u << 8 : 0) | 1u << 16; /* 64-byte lines; one logical CPU */
        out[2] = model->features[WORD_1_ECX];
        out[3] = model->features[WORD_1_EDX];
        /* The bit follows the enable in IA32_APIC_BASE. */
        if (!(cpu->apic_base & (1u << 11)))
            out[3] &= ~F(APIC);
        break;
    case 0x2: /* by descriptor: 32 KiB L1 data, 32 KiB L1 instructions, 512 KiB L2 */
        out[0] = 1;
        out[3] = 0x002c3080u;
        break;
    case 0x4:
        cache_leaf(subleaf, out);
        break;
    case 0x7:
        if (subleaf == 0)
            out[1] = model->features[WORD_7_EBX];
        break;
    case 0x15: /* TSC = crystal × EBX / EAX */
        if (cpu_model_has(model, CPU_INVTSC)) {
            out[0] = out[1] = 1;
            out[2] = CPU_TSC_HZ;
        }
        break;
    case 0x16: /* base, maximum and bus frequency in MHz */
        if (cpu_model_has(model, CPU_INVTSC)) {
            out[0] = out[1] = CPU_TSC_HZ / 1000000;
            out[2] = 100;
        }
        break;
    default: /* inside the range but without content: zeros */
        break;
    }
}

static void extended_leaf(const struct cpu_model *model, uint32_t leaf, uint32_t out[4])
{
    switch (leaf) {
    case 0x80000000u:
        out[0] = model->extended_level;
        break;
    case 0x80000001u:
        out[3] = model->features[WORD_8000_0001_EDX];
        break;
    case 0x80000002u:
    case 0x80000003u:
    case 0x80000004u:
        brand_leaf(model, leaf - 0x80000002u, out);
        break;
    case 0x80000006u:
        out[2] = 512u << 16 | 6u << 12 /* eight ways */ | 64;
        break;
    case 0x80000007u:
        out[3] = model->features[WORD_8000_0007_EDX];
        break;
    case 0x80000008u:
        out[0] = 32u << 8 | (model->features[WORD_1_EDX] & (F(PAE) | F(PSE36)) ? 36 : 32);
        break;
    default:
        break;
    }
}

void cpu_cpuid(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_model *model = cpu->model;
    memset(out, 0, 4 * sizeof out[0]);
    if (leaf >= 0x80000000u && model->extended_level && leaf <= model->extended_level) {
        extended_leaf(model, leaf, out);
        return;
    }
    if (leaf == 0x80000000u)
        return;
    if (leaf >= 0x40000000u && leaf <= 0x400000ffu && cpu_model_has(model, CPU_HYPERVISOR)) {
        if (leaf == 0x40000000u) {
            out[0] = 0x40000000u;
            memcpy(&out[1], "netlabnetlab", 12);
        }
        return;
    }
    /* Beyond the last leaf the processor answers with the last basic one. */
    uint32_t limit = model->level;
    if (limit > 3 && (cpu->misc_enable & CPU_MISC_LIMIT_CPUID))
        limit = 3;
    basic_leaf(cpu, MIN(leaf, limit), subleaf, out);
    if (leaf == 0)
        out[0] = limit;
}
