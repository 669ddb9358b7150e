/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of the options about the machine itself: board, CPU, memory, clock, boot, tracing.
 */
#include "emu/options_internal.h"

#include "emu/cpu/cpu.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
enum { RAM_LEAST_MIB = 1, RAM_MOST_MIB = 60 * 1024 };

/* ---- -machine ---- */

static const struct keyval_row machine_rows[] = {
    {"type", KEYVAL_STRING, .help = "pc (the only one there is)"},
    {"accel", KEYVAL_STRING, .help = "see -accel"},
    {"acpi", KEYVAL_CHOICE, "on|off|auto", "ACPI tables"},
    {"idle-ticks", KEYVAL_CHOICE, "late|exact",
     "may clock ticks that find a guest idle come late (the default)"},
    {"usb", KEYVAL_CHOICE, "off"},
    {"hpet", KEYVAL_CHOICE, "off"},
    {"vmport", KEYVAL_CHOICE, "on|off|auto",
     "VMware's port: a mouse with positions, where there is a screen (on)"},
    {"smm", KEYVAL_CHOICE, "off|auto"},
    {"graphics", KEYVAL_BOOL},
    {"dump-guest-core", KEYVAL_BOOL},
    {"mem-merge", KEYVAL_BOOL},
    {"kernel_irqchip", KEYVAL_STRING},
    {"kernel", KEYVAL_PATH, .help = "as -kernel"},
    {"initrd", KEYVAL_PATH, .help = "as -initrd"},
    {"append", KEYVAL_STRING, .help = "as -append"},
    {"firmware", KEYVAL_PATH, .help = "as -bios"},
    {"pflash0", KEYVAL_NAME, .help = "node or drive with if=none that is the firmware's flash chip"},
    {"pflash1", KEYVAL_NAME, .help = "the one below it"},
    {"memory-backend", KEYVAL_NAME, .help = "id of the -object memory-backend-… that is guest RAM"},
};
const struct keyval_table option_machine_table = {"", machine_rows, G_N_ELEMENTS(machine_rows), "type"};

static bool machine_type(const char *type, GError **error)
{
    if (g_str_equal(type, "pc") || g_str_equal(type, "none") || g_str_has_prefix(type, "pc-i440fx-") ||
        g_str_has_prefix(type, "pc-0.") || g_str_has_prefix(type, "pc-1."))
        return true;
    static const char *const known[] = {"pc", "none"};
    if (g_str_equal(type, "q35") || g_str_has_prefix(type, "pc-q35"))
        return option_fail(
            error, "machine type '%s' is QEMU's and not in netlab-emu yet; ours is pc (i440FX)", type);
    if (g_str_equal(type, "isapc") || g_str_equal(type, "microvm"))
        return option_fail(error, "machine type '%s' is QEMU's and not in netlab-emu yet; ours is pc", type);
    g_autofree char *suggestion = keyval_suggestion(type, known, G_N_ELEMENTS(known));
    return option_fail(error, "no machine type '%s'%s; there are: pc, none", type, suggestion);
}

bool option_machine(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?") || g_str_equal(arg, "type=help")) {
        GString *text = g_string_new(
            "Machine types:\n"
            "  pc       PC with i440FX, PIIX3, PIIX4 power management (the default)\n"
            "  none     no guest: back ends and hubs only (a switch, a gateway to user networking)\n"
            "Keys of -machine:\n");
        keyval_describe(&option_machine_table, text);
        return option_print(o, text);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_machine_table, arg, error);
    if (!kv || !machine_type(keyval_string(kv, "type", "pc"), error))
        return false;
    o->config->no_guest = g_str_equal(keyval_string(kv, "type", "pc"), "none");
    if (keyval_has(kv, "acpi"))
        o->config->acpi = !g_str_equal(keyval_string(kv, "acpi", "on"), "off");
    if (keyval_has(kv, "vmport"))
        o->config->vmport = !g_str_equal(keyval_string(kv, "vmport", "on"), "off");
    if (keyval_has(kv, "idle-ticks"))
        o->config->exact_ticks = g_str_equal(keyval_string(kv, "idle-ticks", ""), "exact");
    struct {
        const char *key;
        char **where;
    } texts[] = {{"kernel", &o->config->kernel},        {"initrd", &o->config->initrd},
                 {"append", &o->config->append},        {"firmware", &o->config->bios},
                 {"pflash0", &o->flash_chip[0]},        {"pflash1", &o->flash_chip[1]},
                 {"memory-backend", &o->memory_backend}};
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (!keyval_has(kv, texts[i].key))
            continue;
        g_free(*texts[i].where);
        *texts[i].where = g_strdup(keyval_string(kv, texts[i].key, ""));
    }
    return !keyval_has(kv, "accel") || option_accel(o, keyval_string(kv, "accel", ""), error);
}

/* ---- -accel ---- */

enum accel_state { ACCEL_HERE, ACCEL_ALIAS, ACCEL_LATER, ACCEL_NEVER };
static const struct {
    const char *name;
    enum accel_state state;
    const char *text;
} accels[] = {
    {"interp", ACCEL_HERE, "the interpreter"},
    {"tcg", ACCEL_ALIAS, "QEMU's translator: taken as a word for our own engine"},
    {"jit", ACCEL_HERE, "the translator: x86 code as code for this host's processor (the default)"},
    {"kvm", ACCEL_NEVER, "netlab-emu runs guests in its own engine, not in KVM; use -accel jit"},
    {"xen", ACCEL_NEVER, "use -accel jit"},
    {"hax", ACCEL_NEVER, "use -accel jit"},
    {"hvf", ACCEL_NEVER, "use -accel jit"},
    {"whpx", ACCEL_NEVER, "use -accel jit"},
    {"nvmm", ACCEL_NEVER, "use -accel jit"},
    {"qtest", ACCEL_NEVER, "the unit tests drive devices directly"},
};

/* One word; on failure the next of the list may still do. */
static bool accel_word(struct options *o, const char *word, GError **error)
{
    const char *names[G_N_ELEMENTS(accels)];
    size_t i = 0;
    while (i < G_N_ELEMENTS(accels) && !g_str_equal(accels[i].name, word))
        i++;
    if (i == G_N_ELEMENTS(accels)) {
        for (i = 0; i < G_N_ELEMENTS(accels); i++)
            names[i] = accels[i].name;
        g_autofree char *suggestion = keyval_suggestion(word, names, G_N_ELEMENTS(names));
        return option_fail(error, "no accelerator '%s'%s; there are: interp, jit", word, suggestion);
    }
    switch (accels[i].state) {
    case ACCEL_ALIAS:
        option_note(o, "-accel tcg: netlab-emu has its own engine instead of TCG; running with jit");
        return true;
    case ACCEL_HERE:
        return true;
    case ACCEL_LATER:
    case ACCEL_NEVER:
        return option_fail(error, "accelerator '%s': %s", word, accels[i].text);
    }
    return false;
}

static const struct keyval_row accel_rows[] = {
    {"accel", KEYVAL_STRING,
     .help = "interp or jit, or a list as kvm:interp of which the first we have is taken"},
    {"thread", KEYVAL_CHOICE, "single|multi"},
    {"tb-size", KEYVAL_NUMBER, .help = "jit: MiB for translated code, 4 to 512 (32)"},
    {"one-insn-per-tb", KEYVAL_BOOL, .help = "blocks of one instruction each, for traces"},
    {"split-wx", KEYVAL_BOOL},
    {"window", KEYVAL_NUMBER,
     .help = "jit: entries of a block until its memory accesses are left to the host; 0: never",
     .max = 1u << 30},
    {"lockstep", KEYVAL_BOOL, .help = "jit: the interpreter beside it; stops at the first difference"},
    {"from", KEYVAL_NUMBER, .help = "lockstep: blocks to execute before comparing", .max = INT64_MAX},
    {"insns", KEYVAL_NUMBER, .help = "lockstep: instructions in a block, at most", .min = 1, .max = 32},
    {"sample", KEYVAL_NUMBER, .help = "lockstep: executions of each block that are compared, instead of all",
     .min = 1, .max = 1u << 30},
    {"links", KEYVAL_NUMBER, .help = "lockstep: blocks in a stretch that is compared linked and hot, at most",
     .min = 1, .max = 2048},
    {"plant", KEYVAL_NUMBER, .help = "lockstep: a false difference at this comparison, to test it", .min = 1,
     .max = INT64_MAX},
};
const struct keyval_table option_accel_table = {"", accel_rows, G_N_ELEMENTS(accel_rows), "accel"};

static bool accel_lockstep(struct options *o, const struct keyval *kv, GError **error)
{
    static const char *const lockstep_keys[] = {"from", "insns", "sample", "links", "plant"};
    struct machine_config *config = o->config;
    config->lockstep = keyval_bool(kv, "lockstep", false);
    config->lockstep_options.from = keyval_number(kv, "from", 0);
    config->lockstep_options.insns = (unsigned)keyval_number(kv, "insns", 0);
    config->lockstep_options.sample = (unsigned)keyval_number(kv, "sample", 0);
    config->lockstep_options.links = (unsigned)keyval_number(kv, "links", 0);
    config->lockstep_options.plant = keyval_number(kv, "plant", 0);
    if (config->lockstep && config->engine != MACHINE_ENGINE_JIT)
        return option_fail(
            error, "lockstep=on compares the translator with the interpreter: -accel jit,lockstep=on");
    for (unsigned i = 0; i < G_N_ELEMENTS(lockstep_keys); i++)
        if (!config->lockstep && keyval_has(kv, lockstep_keys[i]))
            return option_fail(error, "%s= is for lockstep=on", lockstep_keys[i]);
    return true;
}

/* Whether there is another -accel behind this one, which counts when this one cannot be had. */
static bool another_follows(const struct options *o)
{
    const struct option_use *use = o->uses->pdata[o->at];
    for (guint i = o->at + 1; g_str_equal(use->row->name, "accel") && i < o->uses->len; i++)
        if (((const struct option_use *)o->uses->pdata[i])->row == use->row)
            return true;
    return false;
}

bool option_accel(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("Accelerators:\n");
        for (size_t i = 0; i < G_N_ELEMENTS(accels); i++)
            if (accels[i].state != ACCEL_NEVER)
                g_string_append_printf(text, "  %-8s %s\n", accels[i].name, accels[i].text);
        g_string_append(text, "Keys:\n");
        keyval_describe(&option_accel_table, text);
        return option_print(o, text);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_accel_table, arg, error);
    if (!kv || !keyval_require(kv, "accel", error))
        return false;
    g_auto(GStrv) words = g_strsplit(keyval_string(kv, "accel", ""), ":", 8);
    for (char **word = words; *word; word++) {
        g_autoptr(GError) why = NULL;
        if (accel_word(o, *word, &why)) {
            o->config->engine = g_str_equal(*word, "interp") ? MACHINE_ENGINE_INTERP : MACHINE_ENGINE_JIT;
            if (keyval_has(kv, "window")) {
                unsigned entries = (unsigned)keyval_number(kv, "window", 0);
                o->config->jit_heat = entries ? entries : G_MAXUINT32;
            }
            o->config->single = keyval_bool(kv, "one-insn-per-tb", o->config->single);
            return (!keyval_has(kv, "tb-size") ||
                    option_code_size(o, keyval_number(kv, "tb-size", 0), error)) &&
                   accel_lockstep(o, kv, error);
        }
        if (!word[1] && another_follows(o)) {
            option_note(o, "-accel %s: %s; trying the next -accel", arg, why->message);
            return true;
        }
        if (!word[1]) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
    }
    return option_fail(error, "no accelerator named");
}

/* ---- -cpu, -smp, -m ---- */

bool option_cpu(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("CPU models:\n");
        cpu_model_describe_all(text);
        return option_print(o, text);
    }
    const struct cpu_model *model = cpu_model_parse(arg, error);
    if (!model)
        return false;
    cpu_model_free(o->config->cpu);
    o->config->cpu = model;
    return true;
}

static const struct keyval_row smp_rows[] = {
    {"cpus", KEYVAL_NUMBER, .help = "1", .min = 1, .max = 4096},
    {"sockets", KEYVAL_NUMBER, .help = "1", .min = 1, .max = 4096},
    {"dies", KEYVAL_NUMBER, .help = "1", .min = 1, .max = 4096},
    {"clusters", KEYVAL_NUMBER, .help = "1", .min = 1, .max = 4096},
    {"cores", KEYVAL_NUMBER, .help = "1", .min = 1, .max = 4096},
    {"threads", KEYVAL_NUMBER, .help = "1", .min = 1, .max = 4096},
    {"maxcpus", KEYVAL_NUMBER, .help = "1", .min = 1, .max = 4096},
};
const struct keyval_table option_smp_table = {"", smp_rows, G_N_ELEMENTS(smp_rows), "cpus"};

bool option_smp(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_smp_table, arg, error);
    if (!kv)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(smp_rows); i++)
        if (keyval_number(kv, smp_rows[i].key, 1) != 1)
            return option_fail(error,
                               "%s=%s: a machine has one CPU here; use -smp 1, and several machines for "
                               "more",
                               smp_rows[i].key, keyval_string(kv, smp_rows[i].key, ""));
    return true;
}

static const struct keyval_row memory_rows[] = {
    {"size", KEYVAL_SIZE, .help = "RAM; a plain number is in MiB", .min = MIB},
    {"slots", KEYVAL_NUMBER, .help = "places for memory that is plugged in later; none is ever", .max = 256},
    {"maxmem", KEYVAL_SIZE, .help = "what it may grow to; it stays at size=", .min = MIB},
};
const struct keyval_table option_memory_table = {"", memory_rows, G_N_ELEMENTS(memory_rows), "size"};

bool option_memory(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_memory_table, arg, error);
    if (!kv || !keyval_require(kv, "size", error))
        return false;
    uint64_t size = keyval_number(kv, "size", 0);
    if (size < RAM_LEAST_MIB * MIB || size > RAM_MOST_MIB * MIB)
        return option_fail(error, "RAM must be between %d MiB and %d MiB", RAM_LEAST_MIB, RAM_MOST_MIB);
    if (keyval_has(kv, "slots") && !keyval_has(kv, "maxmem"))
        return option_fail(error, "slots= needs maxmem=, the most that RAM may grow to");
    if (keyval_has(kv, "maxmem") && keyval_number(kv, "maxmem", 0) < size)
        return option_fail(error, "maxmem=%s is less than the %" G_GUINT64_FORMAT " MiB there are at first",
                           keyval_string(kv, "maxmem", ""), size / MIB);
    if (keyval_number(kv, "slots", 0))
        option_note(o, "-m slots=: memory cannot be plugged in here; RAM stays at %" G_GUINT64_FORMAT " MiB",
                    size / MIB);
    o->config->ram_size = (size + 4095) & ~UINT64_C(4095);
    o->has_memory = true;
    return true;
}

/* ---- identity, clock ---- */

bool option_uuid(struct options *o, const char *arg, GError **error)
{
    if (!g_uuid_string_is_valid(arg))
        return option_fail(error, "not a UUID (like 12345678-1234-1234-1234-123456789abc)");
    unsigned i = 0;
    for (const char *c = arg; *c; c++) {
        if (*c == '-')
            continue;
        o->config->uuid[i++] = (uint8_t)(g_ascii_xdigit_value(c[0]) << 4 | g_ascii_xdigit_value(c[1]));
        c++;
    }
    o->config->has_uuid = true;
    return true;
}

bool option_rtc(struct options *o, const char *arg, GError **error)
{
    return rtc_config_parse(arg, &o->config->rtc, error);
}

/* ---- boot ---- */

static const struct keyval_row boot_rows[] = {
    {"order", KEYVAL_STRING, .help = "letters a (floppy), c (disk), d (CD-ROM), n (network), for -bios"},
    {"once", KEYVAL_STRING, .help = "the same"},
    {"menu", KEYVAL_BOOL, .help = "the firmware's boot menu"},
    {"strict", KEYVAL_BOOL, .help = "when something has a bootindex=: nothing else is tried"},
    {"splash", KEYVAL_PATH, .help = "picture for the boot menu: JPEG, or BMP of 24 bits a point"},
    {"splash-time", KEYVAL_NUMBER, .help = "milliseconds the boot menu waits for a key", .max = 0xffff},
    {"reboot-timeout", KEYVAL_NUMBER, .help = "milliseconds until the machine is reset when nothing boots",
     .max = 0xffff},
};
const struct keyval_table option_boot_table = {"", boot_rows, G_N_ELEMENTS(boot_rows), "order"};

static bool boot_letters(const char *key, const char *text, uint8_t out[3], GError **error)
{
    static const char letters[] = "acdn";
    if (strlen(text) > 3)
        return option_fail(error, "%s=%s: at most three letters of a, c, d, n", key, text);
    memset(out, 0, 3);
    for (unsigned i = 0; text[i]; i++) {
        const char *at = strchr(letters, text[i]);
        if (!at)
            return option_fail(error, "%s=%s: '%c' is none of a (floppy), c (disk), d (CD-ROM), n (network)",
                               key, text, text[i]);
        out[i] = (uint8_t)(1 + (at - letters));
    }
    return true;
}

bool options_boot_letters(const char *letters, uint8_t order[3], GError **error)
{
    return boot_letters("order", letters, order, error);
}

bool option_boot(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_boot_table, arg, error);
    if (!kv)
        return false;
    struct machine_config *config = o->config;
    if ((keyval_has(kv, "order") &&
         !boot_letters("order", keyval_string(kv, "order", ""), config->boot_order, error)) ||
        (keyval_has(kv, "once") &&
         !boot_letters("once", keyval_string(kv, "once", ""), config->boot_once, error)))
        return false;
    if (keyval_has(kv, "splash")) {
        g_free(config->boot_splash);
        config->boot_splash = g_strdup(keyval_string(kv, "splash", NULL));
    }
    config->boot_menu = keyval_bool(kv, "menu", config->boot_menu);
    config->boot_strict = keyval_bool(kv, "strict", config->boot_strict);
    if (keyval_has(kv, "splash-time"))
        config->boot_splash_time = (int)keyval_number(kv, "splash-time", 0);
    if (keyval_has(kv, "reboot-timeout"))
        config->boot_fail_wait = (int)keyval_number(kv, "reboot-timeout", 0);
    return true;
}

static const struct keyval_row action_rows[] = {
    {"reboot", KEYVAL_CHOICE, "reset|shutdown", "what a guest's reset does"},
    {"shutdown", KEYVAL_CHOICE, "poweroff|pause", "what a guest's power-off does"},
    {"panic", KEYVAL_CHOICE, "none|pause|shutdown|exit-failure"},
    {"watchdog", KEYVAL_CHOICE, "reset|shutdown|poweroff|pause|debug|none|inject-nmi",
     "what a watchdog does"},
};
const struct keyval_table option_action_table = {"", action_rows, G_N_ELEMENTS(action_rows), NULL};

bool option_action(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_action_table, arg, error);
    if (!kv)
        return false;
    if (keyval_has(kv, "reboot"))
        o->config->no_reboot = g_str_equal(keyval_string(kv, "reboot", ""), "shutdown");
    if (keyval_has(kv, "shutdown"))
        o->config->no_shutdown = g_str_equal(keyval_string(kv, "shutdown", ""), "pause");
    if (keyval_has(kv, "watchdog"))
        return option_watchdog_action(o, keyval_string(kv, "watchdog", ""), error);
    return true;
}

static const struct keyval_row fw_cfg_rows[] = {
    {"name", KEYVAL_PATH, .help = "file name the guest sees; opt/… is for users"},
    {"string", KEYVAL_STRING, .help = "its content"},
    {"file", KEYVAL_PATH, .help = "file with its content"},
    {"gen_id", KEYVAL_LATER, .help = "use file="},
};
const struct keyval_table option_fw_cfg_table = {"", fw_cfg_rows, G_N_ELEMENTS(fw_cfg_rows), "name"};

bool option_fw_cfg(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help")) {
        GString *text = g_string_new("Keys of -fw_cfg:\n");
        keyval_describe(&option_fw_cfg_table, text);
        return option_print(o, text);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_fw_cfg_table, arg, error);
    if (!kv || !keyval_require(kv, "name", error))
        return false;
    const char *name = keyval_string(kv, "name", "");
    if (strlen(name) > 55)
        return option_fail(error, "name=%s: at most 55 characters", name);
    if (keyval_has(kv, "string") == keyval_has(kv, "file"))
        return option_fail(error, "give one of string= and file=");
    for (guint i = 0; i < o->config->fwcfg->len; i++) {
        struct machine_fwcfg *other = o->config->fwcfg->pdata[i];
        if (g_str_equal(other->name, name))
            return option_fail(error, "name=%s is given twice", name);
    }
    if (!g_str_has_prefix(name, "opt/"))
        option_note(o, "-fw_cfg name=%s: names outside opt/ are the firmware's own and may clash", name);
    struct machine_fwcfg *file = g_new0(struct machine_fwcfg, 1);
    file->name = g_strdup(name);
    file->string = g_strdup(keyval_string(kv, "string", NULL));
    file->file = g_strdup(keyval_string(kv, "file", NULL));
    g_ptr_array_add(o->config->fwcfg, file);
    return true;
}

/* ---- tracing ---- */

static void trace_want(struct options *o, const char *list)
{
    g_string_append_printf(o->trace_list, "%s%s", o->trace_list->len ? "," : "", list);
}

bool option_trace(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("Trace categories (-trace LIST, comma-separated, or all):\n");
        trace_describe(text);
        return option_print(o, text);
    }
    const char *list = g_str_has_prefix(arg, "enable=") ? arg + strlen("enable=") : arg;
    uint64_t before = trace_mask;
    bool good = trace_enable(list, error);
    trace_mask = before; /* in force only once all options are checked */
    if (good)
        trace_want(o, list);
    return good;
}

/* QEMU's -d items in terms of our trace categories. */
static const struct {
    const char *item, *categories, *help;
} debug_items[] = {
    {"int", "int,task", "interrupts, exceptions and task switches"},
    {"in_asm", "in_asm", "guest code of each block that is translated"},
    {"op", "op", "how each of its instructions was translated"},
    {"out_asm", "out_asm", "host code of each block that is translated"},
    {"exec", "exec", "blocks as they are entered (slow: they are not linked)"},
    {"cpu_reset", "reset", "the CPU's registers before each reset"},
    {"mmu", "mmu", "page faults and TLB flushes"},
    {"guest_errors", "port,mmio", "accesses to what is not there"},
    {"unimp", "port,mmio", "the same"},
};

bool option_debug_items(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("Items of -d (comma-separated); -trace help has finer ones:\n");
        for (size_t i = 0; i < G_N_ELEMENTS(debug_items); i++)
            g_string_append_printf(text, "  %-13s %s\n", debug_items[i].item, debug_items[i].help);
        return option_print(o, text);
    }
    g_auto(GStrv) items = g_strsplit(arg, ",", 64);
    for (char **item = items; *item; item++) {
        const char *names[G_N_ELEMENTS(debug_items)];
        size_t i = 0;
        while (i < G_N_ELEMENTS(debug_items) && !g_str_equal(debug_items[i].item, *item)) {
            names[i] = debug_items[i].item;
            i++;
        }
        if (g_str_has_prefix(*item, "trace:")) {
            if (!option_trace(o, *item + strlen("trace:"), error))
                return false;
        } else if (i == G_N_ELEMENTS(debug_items)) {
            g_autofree char *suggestion = keyval_suggestion(*item, names, i);
            return option_fail(error, "no item '%s'%s; see -d help", *item, suggestion);
        } else {
            trace_want(o, debug_items[i].categories);
        }
    }
    return true;
}

/* Where nothing runs, what only a guest could use is a mistake. */
static bool finish_no_guest(struct options *o, GError **error)
{
    const struct machine_config *config = o->config;
    const char *odd = config->kernel        ? "-kernel"
                      : config->bios        ? "-bios"
                      : config->drives->len ? "a drive"
                      : config->nics->len   ? "a NIC"
                      : config->vga_wanted  ? "a graphics card"
                                            : NULL;
    if (odd)
        return option_fail(
            error,
            "-machine none has no guest that could use %s: leave one of the two out (back ends "
            "meet by -netdev hubport,hubid=N,netdev=ID)",
            odd);
    return true;
}

bool options_finish_machine(struct options *o, GError **error)
{
    struct machine_config *config = o->config;
    if (config->no_guest && !finish_no_guest(o, error))
        return false;
    if (!config->kernel && config->initrd)
        return option_fail(error, "-initrd needs -kernel");
    if (!config->kernel && config->append)
        return option_fail(error, "-append needs -kernel");
    if (!config->no_guest && !config->kernel && !config->bios && !config->drives->len &&
        !config->option_roms->len && (o->own_network || !config->nics->len) && !config->boot_order[0])
        return option_fail(
            error, "nothing to boot: give -kernel FILE (a Linux bzImage or a Multiboot kernel), a disk "
                   "(-hda, -cdrom, -fda, -drive), -boot n for the network, or -bios FILE");
    if (!config->no_guest && !config->direct && !config->bios && !options_has_flash(o))
        config->bios = g_strdup("bios-256k.bin");
    if (config->icount.on && config->lockstep)
        return option_fail(
            error,
            "-icount and -accel jit,lockstep=on exclude each other: instructions are executed twice in "
            "lockstep; leave one of the two out");
    if (!config->direct && !config->boot_order[0])
        memcpy(config->boot_order, (uint8_t[3]){2, 3, 1}, 3); /* disk, CD, floppy */
    if (config->daemonize && o->nographic && !o->nodefaults)
        return option_fail(
            error, "-daemonize and -nographic exclude each other (but with -nodefaults): use -display none");
    if (config->daemonize && options_use_stdio(o))
        return option_fail(error,
                           "-daemonize and a stdio back end exclude each other, for the terminal is let "
                           "go: use unix:PATH,server=on,wait=off or pty");
    if (!config->cpu)
        config->cpu = cpu_model_default();
    if (o->trace_list->len && !trace_enable(o->trace_list->str, error))
        return false;
    return true;
}
