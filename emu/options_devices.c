/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of the options that plug something in: devices, character ports, monitors; and what is plugged in
 * when nothing is said (options_finish_devices). NICs' cables are options_network.c's.
 */
#include "emu/net/impair.h"
#include "emu/options_internal.h"

#include "emu/dev/debug_exit.h"
#include "emu/dev/debugcon.h"

#include <gio/gio.h>
#include <string.h>

enum { SERIALS_MOST = 4 };

#define LATER(key_, help_)                                                                                   \
    {                                                                                                        \
        key_, KEYVAL_LATER, .help = help_                                                                    \
    }

/* ---- -device ---- */

static const struct keyval_row e1000_rows[] = {
    {"driver", KEYVAL_STRING},
    {"netdev", KEYVAL_NAME, .help = "id of the -netdev it is cabled to"},
    {"mac", KEYVAL_MAC, .help = "its address; 52:54:00:12:34:56 and up unless given"},
    {"id", KEYVAL_NAME, .help = "its name"},
    {"addr", KEYVAL_STRING, .help = "PCI slot, hexadecimal; the first free one from 3 unless given"},
    {"bus", KEYVAL_CHOICE, "pci.0|pci"},
    {"bootindex", KEYVAL_NUMBER, .help = "the firmware tries the lowest first", .max = INT32_MAX},
    {"multifunction", KEYVAL_CHOICE, "off"},
    {"mitigation", KEYVAL_BOOL},
    {"extra_mac_registers", KEYVAL_BOOL},
    {"rombar", KEYVAL_NUMBER},
    {"impair-out", KEYVAL_STRING, .help = "a bad line for what the guest sends: delay=20ms,,loss=1%"},
    {"impair-in", KEYVAL_STRING, .help = "the same for what it gets"},
    {"romfile", KEYVAL_STRING,
     .help = "its option ROM; iPXE's with -boot n or without media unless given, empty: none"},
};
static const struct keyval_row debug_exit_rows[] = {
    {"driver", KEYVAL_STRING},
    {"iobase", KEYVAL_NUMBER, .help = "first port (0x501)", .max = 0xffff},
    {"iosize", KEYVAL_NUMBER, .help = "1, 2 or 4 ports (2)", .max = 4},
    {"id", KEYVAL_NAME, .help = "its name"},
};
static const struct keyval_row debugcon_rows[] = {
    {"driver", KEYVAL_STRING},
    {"chardev", KEYVAL_NAME, .help = "id of the -chardev it writes to"},
    {"iobase", KEYVAL_NUMBER, .help = "its port (0xe9)", .max = 0xffff},
    {"readback", KEYVAL_NUMBER},
    {"id", KEYVAL_NAME, .help = "its name"},
};
static const struct keyval_row serial_rows[] = {
    {"driver", KEYVAL_STRING},
    {"chardev", KEYVAL_NAME, .help = "id of the -chardev it speaks to"},
    {"index", KEYVAL_NUMBER, .help = "0 is COM1; the first free one unless given", .max = SERIALS_MOST - 1},
    {"id", KEYVAL_NAME, .help = "accepted, no effect here"},
    LATER("iobase", "use index= (0 to 3: 0x3f8, 0x2f8, 0x3e8, 0x2e8)"),
    LATER("irq", "use index="),
};

static const struct keyval_row vga_rows[] = {
    {"driver", KEYVAL_STRING},
    {"vgamem_mb", KEYVAL_NUMBER, .help = "its memory: 1, 2, 4 … 256 MiB (16)", .min = 1, .max = 256},
    {"addr", KEYVAL_STRING, .help = "PCI slot, hexadecimal (2)"},
    {"id", KEYVAL_NAME, .help = "its name"},
    {"bus", KEYVAL_CHOICE, "pci.0|pci"},
    {"edid", KEYVAL_BOOL, .help = "the monitor says what it prefers (on)"},
    {"xres", KEYVAL_NUMBER, .help = "that is this wide (1280)", .min = 640, .max = 4088},
    {"yres", KEYVAL_NUMBER, .help = "and this high (800)", .min = 400, .max = 4088},
    LATER("romfile", "the video BIOS is found by -L"),
};

static bool device_e1000(struct options *o, const struct keyval *kv, GError **error);
static bool device_debug_exit(struct options *o, const struct keyval *kv, GError **error);
static bool device_debugcon(struct options *o, const struct keyval *kv, GError **error);
static bool device_serial(struct options *o, const struct keyval *kv, GError **error);
static bool device_vga(struct options *o, const struct keyval *kv, GError **error);

enum { IDE_ROWS = OPTION_IDE_ROWS, FLOPPY_ROWS = OPTION_FLOPPY_ROWS };

static const struct device_row {
    const char *name, *help;
    bool (*plug)(struct options *o, const struct keyval *kv, GError **error);
    struct keyval_table table;
    const char *later; /* QEMU's: what to do instead */
} devices[] = {
#define ROWS(rows)                                                                                           \
    {                                                                                                        \
        "", rows, G_N_ELEMENTS(rows), "driver"                                                               \
    }
    {"e1000", "Intel 82540EM Gigabit Ethernet NIC", device_e1000, ROWS(e1000_rows)},
    {"isa-debug-exit", "a port that ends the machine", device_debug_exit, ROWS(debug_exit_rows)},
    {"isa-debugcon", "a port whose bytes are shown", device_debugcon, ROWS(debugcon_rows)},
    {"isa-serial", "16550 serial port", device_serial, ROWS(serial_rows)},
    {"VGA", "VGA with Bochs VBE (-vga std)", device_vga, ROWS(vga_rows)},
#undef ROWS
    {"ide-hd", "IDE hard disk", option_device_ide_disk, {"", option_ide_rows, IDE_ROWS, "driver"}},
    {"ide-cd", "IDE CD-ROM drive", option_device_ide_cd, {"", option_ide_rows, IDE_ROWS, "driver"}},
    {"floppy", "floppy drive", option_device_floppy, {"", option_floppy_rows, FLOPPY_ROWS, "driver"}},
    {"isa-parallel",
     "parallel port",
     option_device_parallel,
     {"", option_parallel_rows, OPTION_PARALLEL_ROWS, "driver"}},
    {"i6300esb",
     "Intel 6300ESB watchdog (PCI)",
     option_device_i6300esb,
     {"", option_watchdog_rows, OPTION_WATCHDOG_ROWS, "driver"}},
    {"ib700",
     "iBase IB700 watchdog (ISA)",
     option_device_ib700,
     {"", option_watchdog_rows, OPTION_WATCHDOG_ROWS, "driver"}},
    {"pc-testdev",
     "what CPU test suites expect",
     option_device_testdev,
     {"", option_testdev_rows, OPTION_TESTDEV_ROWS, "driver"}},
    {.name = "e1000-82540em", .later = "it is called e1000 here"},
    {.name = "e1000-82544gc", .later = "use e1000 (82540EM)"},
    {.name = "e1000-82545em", .later = "use e1000 (82540EM)"},
    {.name = "e1000e", .later = "use e1000"},
    {.name = "rtl8139", .later = "use e1000"},
    {.name = "ne2k_pci", .later = "use e1000"},
    {.name = "ne2k_isa", .later = "use e1000"},
    {.name = "pcnet", .later = "use e1000"},
    {.name = "i82551", .later = "use e1000"},
    {.name = "i82557b", .later = "use e1000"},
    {.name = "i82559er", .later = "use e1000"},
    {.name = "vmxnet3", .later = "use e1000"},
    {.name = "igb", .later = "use e1000"},
    {.name = "virtio-net-pci", .later = "use e1000"},
    {.name = "virtio-net", .later = "use e1000"},
    {.name = "virtio-blk-pci", .later = "use -drive (IDE)"},
    {.name = "virtio-scsi-pci", .later = "use -drive (IDE)"},
    {.name = "virtio-serial-pci", .later = "use -serial"},
    {.name = "virtserialport", .later = "use -serial"},
    {.name = "virtconsole", .later = "use -serial"},
    {.name = "virtio-rng-pci", .later = ""},
    {.name = "virtio-balloon-pci", .later = ""},
    {.name = "virtio-9p-pci", .later = "put what the guest needs into the initrd"},
    {.name = "vhost-vsock-pci", .later = "use -serial"},
    {.name = "scsi-hd", .later = "use ide-hd"},
    {.name = "nvme", .later = "use ide-hd"},
    {.name = "ahci", .later = "use ide-hd"},
    {.name = "isa-fdc", .later = "it is there when a floppy drive is"},
    {.name = "cirrus-vga", .later = "use -serial"},
    {.name = "qxl-vga", .later = "use -serial"},
    {.name = "bochs-display", .later = "use -serial"},
    {.name = "virtio-vga", .later = "use -serial"},
    {.name = "piix3-usb-uhci", .later = "there is no USB"},
    {.name = "usb-ehci", .later = "there is no USB"},
    {.name = "qemu-xhci", .later = "there is no USB"},
    {.name = "usb-tablet", .later = "there is no USB"},
    {.name = "usb-kbd", .later = "there is no USB"},
    {.name = "usb-storage", .later = "there is no USB"},
    {.name = "edu", .later = ""},
    {.name = "ivshmem-plain", .later = ""},
    {.name = "pvpanic", .later = ""},
    {.name = "vmcoreinfo", .later = ""},
    {.name = "AC97", .later = "there is no sound"},
    {.name = "intel-hda", .later = "there is no sound"},
    {.name = "sb16", .later = "there is no sound"},
    {.name = "pci-bridge", .later = "there is one PCI bus"},
    {.name = "vfio-pci", .later = ""},
};

static bool device_help(struct options *o)
{
    GString *text = g_string_new("Devices:\n");
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
        if (devices[i].plug)
            g_string_append_printf(text, "  %-16s %s\n", devices[i].name, devices[i].help);
    g_string_append(text, "-device NAME,help lists the keys of one.\n");
    return option_print(o, text);
}

static bool device_e1000(struct options *o, const struct keyval *kv, GError **error)
{
    int slot = -1;
    if (keyval_has(kv, "addr") && !option_parse_slot(keyval_string(kv, "addr", ""), &slot, error))
        return false;
    struct machine_nic *nic = option_add_nic(o, error);
    if (!nic)
        return false;
    nic->slot = slot;
    nic->id = g_strdup(keyval_string(kv, "id", NULL));
    nic->netdev = g_strdup(keyval_string(kv, "netdev", NULL));
    nic->romfile = g_strdup(keyval_string(kv, "romfile", NULL));
    if (keyval_has(kv, "bootindex"))
        nic->bootindex = (int)keyval_number(kv, "bootindex", 0);
    nic->impair_out = g_strdup(keyval_string(kv, "impair-out", NULL));
    nic->impair_in = g_strdup(keyval_string(kv, "impair-in", NULL));
    struct net_impairment impairment;
    if ((nic->impair_out && !net_impairment_parse(nic->impair_out, &impairment, error)) ||
        (nic->impair_in && !net_impairment_parse(nic->impair_in, &impairment, error))) {
        g_prefix_error(error, "-device e1000: ");
        return false;
    }
    nic->has_mac = keyval_mac(kv, "mac", nic->mac);
    return true;
}

static bool device_debug_exit(struct options *o, const struct keyval *kv, GError **error)
{
    uint32_t size = (uint32_t)keyval_number(kv, "iosize", DEBUG_EXIT_IOSIZE);
    if (size != 1 && size != 2 && size != 4)
        return option_fail(error, "iosize=%u: must be 1, 2 or 4", size);
    struct machine_debug_exit *exit_port = g_new0(struct machine_debug_exit, 1);
    exit_port->iobase = (uint32_t)keyval_number(kv, "iobase", DEBUG_EXIT_IOBASE);
    exit_port->iosize = size;
    exit_port->id = g_strdup(keyval_string(kv, "id", "isa-debug-exit"));
    g_ptr_array_add(o->config->debug_exits, exit_port);
    return true;
}

static bool device_debugcon(struct options *o, const struct keyval *kv, GError **error)
{
    if (!keyval_require(kv, "chardev", error))
        return false;
    struct machine_debugcon *console = g_new0(struct machine_debugcon, 1);
    console->iobase = (uint16_t)keyval_number(kv, "iobase", DEBUGCON_PORT);
    console->id = g_strdup(keyval_string(kv, "id", "isa-debugcon"));
    console->spec = (struct char_spec){
        .kind = CHAR_REFERENCE, .fd = -1, .path = g_strdup(keyval_string(kv, "chardev", NULL))};
    g_ptr_array_add(o->config->debugcons, console);
    return true;
}

static bool device_serial(struct options *o, const struct keyval *kv, GError **error)
{
    GPtrArray *serials = o->config->serials;
    guint index = (guint)keyval_number(kv, "index", serials->len);
    if (!keyval_require(kv, "chardev", error))
        return false;
    if (index >= SERIALS_MOST || (index < serials->len && serials->pdata[index]))
        return option_fail(error,
                           index >= SERIALS_MOST ? "there are %u serial ports already"
                                                 : "serial port %u is there already",
                           index);
    while (serials->len <= index)
        g_ptr_array_add(serials, NULL);
    struct char_spec *spec = g_new0(struct char_spec, 1);
    *spec = (struct char_spec){
        .kind = CHAR_REFERENCE, .fd = -1, .path = g_strdup(keyval_string(kv, "chardev", NULL))};
    serials->pdata[index] = spec;
    o->has_serial = true;
    return true;
}

static bool device_vga(struct options *o, const struct keyval *kv, GError **error)
{
    if (o->vga_device)
        return option_fail(error, "there is a graphics card already");
    o->vga_device = true;
    o->vga = OPTION_VGA_STD;
    o->config->vga_id = g_strdup(keyval_string(kv, "id", NULL));
    if (keyval_has(kv, "addr") &&
        !option_parse_slot(keyval_string(kv, "addr", ""), &o->config->vga_slot, error))
        return false;
    struct machine_config *config = o->config;
    config->vga_width = (unsigned)keyval_number(kv, "xres", config->vga_width);
    config->vga_height = (unsigned)keyval_number(kv, "yres", config->vga_height);
    if (!keyval_bool(kv, "edid", true))
        config->vga_width = config->vga_height = 0;
    return option_vga_memory(o, keyval_number(kv, "vgamem_mb", 16), error);
}

const struct keyval_table *option_device_table(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
        if (g_str_equal(devices[i].name, name) && devices[i].plug)
            return &devices[i].table;
    return NULL;
}

const char *option_device_name(unsigned index)
{
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
        if (devices[i].plug && !index--)
            return devices[i].name;
    return NULL;
}

char *option_device_suggestion(const char *name)
{
    const char *names[G_N_ELEMENTS(devices)];
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
        names[i] = devices[i].name;
    return keyval_suggestion(name, names, G_N_ELEMENTS(names));
}

const char *option_device_later(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
        if (g_str_equal(devices[i].name, name) && !devices[i].plug)
            return devices[i].later;
    return NULL;
}

bool option_device_takes_drive(const char *arg)
{
    g_autofree char *flat = *arg == '{' ? option_json_words(arg, "driver", NULL) : g_strdup(arg);
    const char *name = flat && g_str_has_prefix(flat, "driver=") ? flat + strlen("driver=") : flat;
    g_autofree char *word = name ? g_strndup(name, strcspn(name, ",")) : NULL;
    for (size_t i = 0; word && i < G_N_ELEMENTS(devices); i++)
        if (g_str_equal(devices[i].name, word))
            return devices[i].plug == option_device_ide_disk || devices[i].plug == option_device_ide_cd ||
                   devices[i].plug == option_device_floppy;
    return false;
}

bool option_device(struct options *o, const char *arg, GError **error)
{
    if (*arg == '{') {
        g_autofree char *flat = option_json_words(arg, "driver", error);
        return flat && option_device(o, flat, error);
    }
    size_t len = strcspn(arg, ",");
    g_autofree char *word = g_strndup(arg, len);
    const char *name = g_str_has_prefix(word, "driver=") ? word + strlen("driver=") : word;
    if (g_str_equal(name, "help") || g_str_equal(name, "?"))
        return device_help(o);
    size_t i = 0;
    while (i < G_N_ELEMENTS(devices) && !g_str_equal(devices[i].name, name))
        i++;
    if (i == G_N_ELEMENTS(devices)) {
        g_autofree char *suggestion = option_device_suggestion(name);
        return option_fail(error, "no device '%s'%s; see -device help", name, suggestion);
    }
    const struct device_row *row = &devices[i];
    if (!row->plug)
        return option_fail(error, "device '%s' is QEMU's and not in netlab-emu yet%s%s", name,
                           *row->later ? "; " : "", row->later);
    if (g_str_equal(arg + len, ",help") || g_str_equal(arg + len, ",?")) {
        GString *text = g_string_new(NULL);
        g_string_printf(text, "Keys of -device %s:\n", name);
        struct keyval_table keys = row->table; /* without "driver", the implied word */
        keys.rows++;
        keys.count--;
        keyval_describe(&keys, text);
        return option_print(o, text);
    }
    g_autofree char *words = option_global_merge(o, &row->table, name, arg + len, error);
    KEYVAL_AUTO struct keyval *kv = words ? keyval_parse(&row->table, words, error) : NULL;
    return kv && row->plug(o, kv, error);
}

/* ---- character ports ---- */

bool option_serial(struct options *o, const char *arg, GError **error)
{
    if (o->config->serials->len >= SERIALS_MOST)
        return option_fail(error, "there are %d serial ports already", SERIALS_MOST);
    o->has_serial = true;
    if (g_str_equal(arg, "none")) { /* no such port, where null is one that leads nowhere */
        g_ptr_array_add(o->config->serials, NULL);
        return true;
    }
    struct char_spec spec;
    if (!char_spec_parse(arg, &spec, error))
        return false;
    g_ptr_array_add(o->config->serials, g_memdup2(&spec, sizeof spec));
    return true;
}

bool option_chardev(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text =
            g_string_new("Character back ends, as -serial, -monitor, -qmp and -debugcon name them:\n");
        char_spec_describe_all(text);
        g_string_append(text, "-chardev: null, stdio, pty, file, socket, udp, pipe, fd, ringbuf, vc, serial, "
                              "parallel, msmouse, each "
                              "with id=\n");
        return option_print(o, text);
    }
    struct machine_chardev *chardev = g_new0(struct machine_chardev, 1);
    if (!char_spec_parse_chardev(arg, &chardev->spec, &chardev->id, error)) {
        g_free(chardev);
        return false;
    }
    for (guint i = 0; i < o->config->chardevs->len; i++) {
        struct machine_chardev *other = o->config->chardevs->pdata[i];
        if (g_str_equal(other->id, chardev->id)) {
            option_fail(error, "id=%s is taken by another -chardev", chardev->id);
            char_spec_clear(&chardev->spec);
            g_free(chardev->id);
            g_free(chardev);
            return false;
        }
    }
    g_ptr_array_add(o->config->chardevs, chardev);
    return true;
}

bool option_debugcon(struct options *o, const char *arg, GError **error)
{
    struct machine_debugcon *console = g_new0(struct machine_debugcon, 1);
    if (!char_spec_parse(arg, &console->spec, error)) {
        g_free(console);
        return false;
    }
    console->id = g_strdup("debugcon");
    g_ptr_array_add(o->config->debugcons, console);
    KEYVAL_AUTO struct keyval *kv = option_globals(o, "isa-debugcon", error);
    console->iobase = kv ? (uint16_t)keyval_number(kv, "iobase", DEBUGCON_PORT) : DEBUGCON_PORT;
    return kv != NULL;
}

static bool add_monitor(struct options *o, const struct char_spec *spec, bool qmp, bool pretty)
{
    struct machine_monitor *monitor = g_new0(struct machine_monitor, 1);
    monitor->spec = *spec;
    monitor->qmp = qmp;
    monitor->pretty = pretty;
    g_ptr_array_add(o->config->monitors, monitor);
    return true;
}

bool option_monitor(struct options *o, const char *arg, GError **error)
{
    struct char_spec spec;
    o->has_monitor = true;
    if (g_str_equal(arg, "none"))
        return true;
    return char_spec_parse(arg, &spec, error) && add_monitor(o, &spec, false, false);
}

static bool add_qmp(struct options *o, const char *arg, bool pretty, GError **error)
{
    struct char_spec spec;
    if (g_str_equal(arg, "none"))
        return true;
    if (!char_spec_parse(arg, &spec, error))
        return false;
    if (spec.kind == CHAR_NULL || spec.kind == CHAR_FILE) {
        char_spec_clear(&spec);
        return option_fail(error,
                           "a control connection goes both ways: use unix:PATH,server=on,wait=off or stdio");
    }
    return add_monitor(o, &spec, true, pretty);
}

/* A socket listens, without waiting, as QEMU's does; but without a host in it for this host alone: who may
 * debug the guest may do everything with it. */
bool option_gdb(struct options *o, const char *arg, GError **error)
{
    struct char_spec spec;
    if (g_str_equal(arg, "none"))
        return true;
    if (!char_spec_parse(arg, &spec, error))
        return false;
    if (spec.kind == CHAR_NULL || spec.kind == CHAR_FILE) {
        char_spec_clear(&spec);
        return option_fail(error, "GDB answers back: use tcp::1234 or unix:PATH, and `target remote` in GDB");
    }
    if (spec.kind == CHAR_TCP || spec.kind == CHAR_UNIX)
        spec.server = true;
    if (spec.kind == CHAR_TCP && (!spec.host || !*spec.host)) {
        g_free(spec.host);
        spec.host = g_strdup("127.0.0.1");
    }
    add_monitor(o, &spec, false, false);
    ((struct machine_monitor *)o->config->monitors->pdata[o->config->monitors->len - 1])->gdb = true;
    return true;
}

bool option_gdb_short(struct options *o, const char *arg, GError **error)
{
    return option_gdb(o, "tcp::1234", error);
}

bool option_qmp(struct options *o, const char *arg, GError **error)
{
    return add_qmp(o, arg, false, error);
}

bool option_qmp_pretty(struct options *o, const char *arg, GError **error)
{
    return add_qmp(o, arg, true, error);
}

static const struct keyval_row mon_rows[] = {
    {"id", KEYVAL_NAME},
    {"chardev", KEYVAL_NAME, .help = "id of the -chardev"},
    {"mode", KEYVAL_CHOICE, "readline|control", "the text monitor, or QMP"},
    {"pretty", KEYVAL_BOOL, .help = "QMP with line breaks"},
};
const struct keyval_table option_mon_table = {"", mon_rows, G_N_ELEMENTS(mon_rows), "chardev"};

bool option_mon(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_mon_table, arg, error);
    if (!kv || !keyval_require(kv, "chardev", error))
        return false;
    struct char_spec spec = {
        .kind = CHAR_REFERENCE, .fd = -1, .path = g_strdup(keyval_string(kv, "chardev", NULL))};
    bool qmp = g_str_equal(keyval_string(kv, "mode", "readline"), "control");
    if (!qmp)
        o->has_monitor = true;
    return add_monitor(o, &spec, qmp, keyval_bool(kv, "pretty", false));
}

/* ---- display ---- */

bool option_nographic(struct options *o, const char *arg, GError **error)
{
    o->nographic = o->has_display = true;
    return true;
}

bool option_echr(struct options *o, const char *arg, GError **error)
{
    uint64_t key;
    if (!keyval_parse_number("escape key", arg, 0, 255, &key, error))
        return false;
    o->config->escape_key = (uint8_t)key;
    return true;
}

/* ---- when all is read ---- */

bool options_use_stdio(const struct options *o)
{
    const struct machine_config *config = o->config;
    for (guint i = 0; i < config->serials->len; i++) {
        const struct char_spec *spec = config->serials->pdata[i];
        if (spec && spec->kind == CHAR_STDIO)
            return true;
    }
    for (guint i = 0; i < config->chardevs->len; i++)
        if (((struct machine_chardev *)config->chardevs->pdata[i])->spec.kind == CHAR_STDIO)
            return true;
    for (guint i = 0; i < config->monitors->len; i++)
        if (((struct machine_monitor *)config->monitors->pdata[i])->spec.kind == CHAR_STDIO)
            return true;
    for (guint i = 0; i < config->debugcons->len; i++)
        if (((struct machine_debugcon *)config->debugcons->pdata[i])->spec.kind == CHAR_STDIO)
            return true;
    for (guint i = 0; i < config->parallels->len; i++)
        if (((struct machine_parallel *)config->parallels->pdata[i])->spec.kind == CHAR_STDIO)
            return true;
    return false;
}

/* What QEMU's -nographic plugs in: serial port and monitor share the terminal. Without any word about display
 * or serial port the same, because there is no window a console could be in. */
static void plug_terminal(struct options *o)
{
    bool terminal = (o->nographic && !o->config->daemonize) ||
                    (!o->has_display && !o->has_serial && !o->config->daemonize);
    if (!terminal || o->config->curses || o->config->window.open || options_use_stdio(o))
        return;
    struct char_spec spec = {.kind = CHAR_STDIO, .fd = -1, .mux = true, .signal = false};
    if (!o->has_serial)
        g_ptr_array_add(o->config->serials, g_memdup2(&spec, sizeof spec));
    else if (!o->has_monitor)
        add_monitor(o, &(struct char_spec){.kind = CHAR_STDIO, .fd = -1, .signal = true}, false, false);
}

/* Where the screen is seen, monitor and serial port are text consoles beside it, as QEMU has them. A terminal
 * always has the monitor: there is no other way to end the machine. */
static void plug_consoles(struct options *o)
{
    struct machine_config *config = o->config;
    bool shown = config->curses || config->vncs->len || config->window.open;
    const struct char_spec spec = {.kind = CHAR_VC, .fd = -1, .mux = false};
    if (!shown || o->nographic || !config->vga)
        return;
    if (config->curses || (!o->has_monitor && !o->nodefaults))
        add_monitor(o, &spec, false, false);
    if (!o->has_serial && !o->nodefaults)
        g_ptr_array_add(config->serials, g_memdup2(&spec, sizeof spec));
}

static bool check_reference(const struct options *o, const struct char_spec *spec, const char *who,
                            GError **error)
{
    if (!spec || spec->kind != CHAR_REFERENCE)
        return true;
    GPtrArray *chardevs = o->config->chardevs;
    g_autofree const char **ids = g_new0(const char *, chardevs->len + 1);
    for (guint i = 0; i < chardevs->len; i++) {
        ids[i] = ((struct machine_chardev *)chardevs->pdata[i])->id;
        if (g_str_equal(ids[i], spec->path))
            return true;
    }
    g_autofree char *suggestion = keyval_suggestion(spec->path, ids, chardevs->len);
    return option_fail(error, "%s: there is no -chardev with id=%s%s", who, spec->path, suggestion);
}

/* Each user of a -chardev exists once; a shared one (mux=on) has several faces. */
static bool check_users(const struct machine_chardev *chardev, unsigned users, GError **error)
{
    if (users > 1 && !chardev->spec.mux)
        return option_fail(error, "-chardev id=%s is used %u times; add mux=on to share it", chardev->id,
                           users);
    if (users > CHAR_MUX_FACES)
        return option_fail(error, "-chardev id=%s is used %u times; mux=on shares it between at most %d",
                           chardev->id, users, CHAR_MUX_FACES);
    return true;
}

static bool check_references(struct options *o, GError **error)
{
    const struct machine_config *config = o->config;
    g_autoptr(GPtrArray) specs = g_ptr_array_new();
    for (guint i = 0; i < config->serials->len; i++) {
        g_ptr_array_add(specs, config->serials->pdata[i]);
        if (!check_reference(o, config->serials->pdata[i], "-serial", error))
            return false;
    }
    for (guint i = 0; i < config->monitors->len; i++) {
        struct machine_monitor *monitor = config->monitors->pdata[i];
        g_ptr_array_add(specs, &monitor->spec);
        if (!check_reference(o, &monitor->spec, "-mon", error))
            return false;
    }
    for (guint i = 0; i < config->debugcons->len; i++) {
        struct machine_debugcon *console = config->debugcons->pdata[i];
        g_ptr_array_add(specs, &console->spec);
        if (!check_reference(o, &console->spec, "-debugcon", error))
            return false;
    }
    for (guint i = 0; i < config->parallels->len; i++) {
        struct machine_parallel *parallel = config->parallels->pdata[i];
        g_ptr_array_add(specs, &parallel->spec);
        if (!check_reference(o, &parallel->spec, "-parallel", error))
            return false;
    }
    for (guint i = 0; i < config->chardevs->len; i++) {
        const struct machine_chardev *chardev = config->chardevs->pdata[i];
        unsigned users = 0;
        for (guint k = 0; k < specs->len; k++) {
            const struct char_spec *spec = specs->pdata[k];
            users += spec && spec->kind == CHAR_REFERENCE && g_str_equal(spec->path, chardev->id);
        }
        if (!check_users(chardev, users, error))
            return false;
    }
    return true;
}

bool options_finish_devices(struct options *o, GError **error)
{
    if (o->config->curses && options_use_stdio(o))
        return option_fail(error,
                           "-curses and a stdio back end want the same terminal; use pty or unix: for it");
    plug_terminal(o);
    plug_consoles(o);
    return check_references(o, error);
}
