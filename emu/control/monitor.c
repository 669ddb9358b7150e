/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The text monitor's commands: a table, in the words of QEMU's monitor.
 *
 * The same table answers QMP's human-monitor-command. What a command writes is appended to a string.
 * monitor_line.c is what a person types at.
 */
#include "emu/control/control_internal.h"

#include "emu/keyval.h"

#include <gio/gio.h>
#include <string.h>

enum { WORDS_MOST = 32 };

struct monitor_command {
    const char *name, *alias, *form, *help;
    unsigned least, most; /* words after the name */
    void (*run)(struct control *control, char **words, GString *out);
};

/* ---- info ---- */

static const struct info_row {
    const char *name, *help;
    enum control_info what;
} infos[] = {
    {"registers", "the CPU's registers", CONTROL_INFO_REGISTERS},
    {"mtree", "the physical memory map", CONTROL_INFO_MTREE},
    {"pci", "PCI functions", CONTROL_INFO_PCI},
    {"network", "NICs, their cables and counters", CONTROL_INFO_NETWORK},
    {"block", "drives and their images", CONTROL_INFO_BLOCK},
    {"usernet", "connections of user networks and their port forwardings", CONTROL_INFO_USERNET},
    {"qtree", "all devices", CONTROL_INFO_QTREE},
    {"chardev", "character back ends", CONTROL_INFO_CHARDEV},
    {"pic", "8259s and I/O APIC", CONTROL_INFO_PIC},
    {"lapic", "the local APIC", CONTROL_INFO_LAPIC},
    {"fwcfg", "fw_cfg keys and files", CONTROL_INFO_FWCFG},
    {"vnc", "VNC servers", CONTROL_INFO_VNC},
    {"mice", "pointing devices", CONTROL_INFO_MICE},
    {"jit", "counters of the engine (statistics: the same)", CONTROL_INFO_STATISTICS},
    {"roms", "ROMs and where they are", CONTROL_INFO_ROMS},
    {"state", "every device's saved state", CONTROL_INFO_STATE},
};
_Static_assert(G_N_ELEMENTS(infos) == CONTROL_INFO_COUNT, "a word for each");

static void monitor_info(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    const char *names[128], *help, *why;
    size_t count = 0;
    if (words[0] && monitor_own_info(control, words, out))
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(infos); i++) {
        names[count++] = infos[i].name;
        if (words[0] && g_str_equal(infos[i].name, words[0])) {
            m->describe(m->opaque, infos[i].what, out);
            return;
        }
    }
    if (words[0] && (why = monitor_absent(words[0], true))) {
        g_string_append_printf(out, "info %s: not on this machine: %s\n", words[0], why);
        return;
    }
    for (unsigned i = 0; count < G_N_ELEMENTS(names) && (names[count] = monitor_own_info_name(i, &help)); i++)
        count++;
    if (words[0]) {
        g_autofree char *suggestion = keyval_suggestion(words[0], names, count);
        g_string_append_printf(out, "info: nothing called '%s'%s; there are:\n", words[0], suggestion);
    }
    for (unsigned i = 0; (names[0] = monitor_own_info_name(i, &help)); i++)
        g_string_append_printf(out, "info %s -- %s\n", names[0], help);
    for (size_t i = 0; i < G_N_ELEMENTS(infos); i++)
        g_string_append_printf(out, "info %s -- %s\n", infos[i].name, infos[i].help);
}

/* ---- keys ---- */

/* Set 1 make codes (0x100: behind E0) by QEMU's names. */
static const struct {
    const char *name;
    uint16_t code;
} keys[] = {
    {"esc", 0x01},
    {"1", 0x02},
    {"2", 0x03},
    {"3", 0x04},
    {"4", 0x05},
    {"5", 0x06},
    {"6", 0x07},
    {"7", 0x08},
    {"8", 0x09},
    {"9", 0x0a},
    {"0", 0x0b},
    {"minus", 0x0c},
    {"equal", 0x0d},
    {"backspace", 0x0e},
    {"tab", 0x0f},
    {"q", 0x10},
    {"w", 0x11},
    {"e", 0x12},
    {"r", 0x13},
    {"t", 0x14},
    {"y", 0x15},
    {"u", 0x16},
    {"i", 0x17},
    {"o", 0x18},
    {"p", 0x19},
    {"bracket_left", 0x1a},
    {"bracket_right", 0x1b},
    {"ret", 0x1c},
    {"ctrl", 0x1d},
    {"a", 0x1e},
    {"s", 0x1f},
    {"d", 0x20},
    {"f", 0x21},
    {"g", 0x22},
    {"h", 0x23},
    {"j", 0x24},
    {"k", 0x25},
    {"l", 0x26},
    {"semicolon", 0x27},
    {"apostrophe", 0x28},
    {"grave_accent", 0x29},
    {"shift", 0x2a},
    {"backslash", 0x2b},
    {"z", 0x2c},
    {"x", 0x2d},
    {"c", 0x2e},
    {"v", 0x2f},
    {"b", 0x30},
    {"n", 0x31},
    {"m", 0x32},
    {"comma", 0x33},
    {"dot", 0x34},
    {"slash", 0x35},
    {"shift_r", 0x36},
    {"asterisk", 0x37},
    {"alt", 0x38},
    {"spc", 0x39},
    {"caps_lock", 0x3a},
    {"f1", 0x3b},
    {"f2", 0x3c},
    {"f3", 0x3d},
    {"f4", 0x3e},
    {"f5", 0x3f},
    {"f6", 0x40},
    {"f7", 0x41},
    {"f8", 0x42},
    {"f9", 0x43},
    {"f10", 0x44},
    {"num_lock", 0x45},
    {"scroll_lock", 0x46},
    {"f11", 0x57},
    {"f12", 0x58},
    {"print", 0x137},
    {"home", 0x147},
    {"up", 0x148},
    {"pgup", 0x149},
    {"left", 0x14b},
    {"right", 0x14d},
    {"end", 0x14f},
    {"down", 0x150},
    {"pgdn", 0x151},
    {"insert", 0x152},
    {"delete", 0x153},
    {"ctrl_r", 0x11d},
    {"alt_r", 0x138},
    {"pause", 0x145},
    {"sysrq", 0x54},
    {"less", 0x56},
    {"meta_l", 0x15b},
    {"meta_r", 0x15c},
    {"menu", 0x15d},
    {"kp_multiply", 0x37},
    {"kp_7", 0x47},
    {"kp_8", 0x48},
    {"kp_9", 0x49},
    {"kp_subtract", 0x4a},
    {"kp_4", 0x4b},
    {"kp_5", 0x4c},
    {"kp_6", 0x4d},
    {"kp_add", 0x4e},
    {"kp_1", 0x4f},
    {"kp_2", 0x50},
    {"kp_3", 0x51},
    {"kp_0", 0x52},
    {"kp_decimal", 0x53},
    {"kp_enter", 0x11c},
    {"kp_divide", 0x135},
};

bool monitor_key_code(const char *name, unsigned *code)
{
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (g_str_equal(keys[i].name, name)) {
            *code = keys[i].code;
            return true;
        }
    }
    return false;
}

static void monitor_sendkey(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    unsigned codes[CONTROL_KEYS_MOST], count = 0;
    uint64_t hold = CONTROL_KEY_HOLD_MS;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) names = g_strsplit(words[0], "-", 0);
    for (char **name = names; *name; name++) {
        uint64_t number;
        if (count == CONTROL_KEYS_MOST) {
            g_string_append_printf(out, "too many keys: %d at once\n", CONTROL_KEYS_MOST);
            return;
        }
        if (g_str_has_prefix(*name, "0x") && keyval_parse_number("key", *name, 1, 255, &number, NULL)) {
            codes[count] = (unsigned)(number & 0x7f) | (number & 0x80 ? 0x100 : 0);
        } else if (!monitor_key_code(*name, &codes[count])) {
            g_string_append_printf(out, "invalid parameter: %s (no key of that name)\n", *name);
            return;
        }
        count++;
    }
    if (words[1] && !keyval_parse_number("hold time", words[1], 0, CONTROL_KEY_HOLD_MOST_MS, &hold, &error)) {
        g_string_append_printf(out, "%s\n", error->message);
        return;
    }
    if (!m->keys(m->opaque, codes, count, (unsigned)hold, &error))
        g_string_append_printf(out, "%s\n", error->message);
}

static bool parse_motion(const char *text, int *value, GString *out)
{
    char *end;
    gint64 number = g_ascii_strtoll(text, &end, 0);
    if (end == text || *end || number < -10000 || number > 10000) {
        g_string_append_printf(out, "'%s' is no number from -10000 to 10000\n", text);
        return false;
    }
    *value = (int)number;
    return true;
}

static void monitor_mouse_move(struct control *control, char **words, GString *out)
{
    int d[3] = {0};
    for (unsigned i = 0; i < G_N_ELEMENTS(d) && words[i]; i++)
        if (!parse_motion(words[i], &d[i], out))
            return;
    control->machine->mouse(control->machine->opaque, d[0], d[1], d[2], -1);
}

static void monitor_mouse_button(struct control *control, char **words, GString *out)
{
    int buttons;
    if (parse_motion(words[0], &buttons, out))
        control->machine->mouse(control->machine->opaque, 0, 0, 0, buttons & 7);
}

/* ---- the screen ---- */

static void monitor_screendump(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    if (words[1] && (!g_str_equal(words[1], "-f") || !words[2])) {
        g_string_append(out, "usage: screendump FILE [-f png|ppm]\n");
        return;
    }
    if (!m->screendump(m->opaque, words[0], words[1] ? words[2] : NULL, &error))
        g_string_append_printf(out, "%s\n", error->message);
}

static void set_vnc_password(struct control *control, const char *word, GString *out)
{
    const struct control_machine *m = control->machine;
    g_autoptr(GError) error = NULL;
    if (!m->vnc_password(m->opaque, word, &error))
        g_string_append_printf(out, "%s\n", error->message);
}

static void change_vnc(struct control *control, char **words, GString *out)
{
    if (!g_str_equal(words[1], "password") && !g_str_equal(words[1], "passwd"))
        g_string_append(out, "of vnc only the password can be changed: change vnc password WORD\n");
    else if (!words[2])
        g_string_append(out, "give the password too: change vnc password WORD\n");
    else
        set_vnc_password(control, words[2], out);
}

static void monitor_set_password(struct control *control, char **words, GString *out)
{
    const char *connected = words[2] && g_str_equal(words[2], "-d") ? NULL : words[2];
    if (g_str_equal(words[0], "vnc") && connected && !g_str_equal(connected, "keep"))
        g_string_append(out, "viewers that are there stay: keep is the only action\n");
    else if (g_str_equal(words[0], "vnc"))
        set_vnc_password(control, words[1], out);
    else
        g_string_append_printf(out, "no display '%s' has a password; vnc has\n", words[0]);
}

/* ---- the machine ---- */

static void monitor_stop(struct control *control, char **words, GString *out)
{
    control->machine->stop(control->machine->opaque);
}

static void monitor_cont(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (!control->machine->cont(control->machine->opaque, &error))
        g_string_append_printf(out, "%s (system_reset first)\n", error->message);
}

static void monitor_quit(struct control *control, char **words, GString *out)
{
    control->machine->quit(control->machine->opaque);
}

static void monitor_reset(struct control *control, char **words, GString *out)
{
    control->machine->reset(control->machine->opaque);
}

static void monitor_powerdown(struct control *control, char **words, GString *out)
{
    control->machine->power_button(control->machine->opaque);
}

static void monitor_watchdog_action(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (!control->machine->watchdog_action(control->machine->opaque, words[0], &error))
        g_string_append_printf(out, "Error: %s\n", error->message);
}

static void monitor_wakeup(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (!control_wake(control, &error))
        g_string_append_printf(out, "Error: %s\n", error->message);
}

static void monitor_nmi(struct control *control, char **words, GString *out)
{
    control->machine->nmi(control->machine->opaque);
}

static void monitor_change(struct control *control, char **words, GString *out)
{
    if (g_str_equal(words[0], "vnc"))
        change_vnc(control, words, out);
    else
        monitor_block_change(control, words, out);
}

static void monitor_ringbuf_read(struct control *control, char **words, GString *out)
{
    enum { MOST = 65536 };
    g_autoptr(GError) error = NULL;
    struct char_port *port = control_ringbuf(control, words[0], &error);
    uint64_t size = 0;
    if (port && keyval_parse_number("size", words[1], 1, MOST, &size, &error)) {
        g_autofree uint8_t *bytes = g_malloc((gsize)size);
        size_t got = char_ringbuf_read(port, bytes, (size_t)size);
        for (size_t i = 0; i < got; i++) {
            bool plain = (bytes[i] >= ' ' && bytes[i] != 0x7f && bytes[i] != '\\') || bytes[i] == '\n' ||
                         bytes[i] == '\t';
            if (bytes[i] == '\\')
                g_string_append(out, "\\\\");
            else if (plain)
                g_string_append_c(out, (char)bytes[i]);
            else
                g_string_append_printf(out, "\\u%04x", bytes[i]);
        }
        g_string_append_c(out, '\n');
    }
    if (error)
        g_string_append_printf(out, "%s\n", error->message);
}

static void monitor_ringbuf_write(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    struct char_port *port = control_ringbuf(control, words[0], &error);
    if (port)
        char_ringbuf_write(port, (const uint8_t *)words[1], strlen(words[1]));
    else
        g_string_append_printf(out, "%s\n", error->message);
}

static void monitor_set_link(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    bool up = g_str_equal(words[1], "on");
    if (!up && !g_str_equal(words[1], "off"))
        g_string_append(out, "on or off is wanted\n");
    else if (!control->machine->set_link(control->machine->opaque, words[0], up, &error))
        g_string_append_printf(out, "%s (see info network)\n", error->message);
}

/* impair NAME, impair NAME WORDS, impair NAME out|in WORDS */
static void monitor_impair(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    const char *direction = words[1] && words[2] ? words[1] : NULL,
               *settings = words[1] && words[2] ? words[2] : words[1];
    if (!control->machine->impair(control->machine->opaque, words[0], direction, settings, out, &error))
        g_string_append_printf(out, "%s\n", error->message);
}

static void forward(struct control *control, char **words, bool add, GString *out)
{
    g_autoptr(GError) error = NULL;
    const char *name = words[1] ? words[0] : NULL, *rule = words[1] ? words[1] : words[0];
    if (!control->machine->forward(control->machine->opaque, name, rule, add, &error))
        g_string_append_printf(out, "%s\n", error->message);
    else if (!add)
        g_string_append_printf(out, "host forwarding rule for %s removed\n", rule);
}

static void monitor_hostfwd_add(struct control *control, char **words, GString *out)
{
    forward(control, words, true, out);
}

static void monitor_hostfwd_remove(struct control *control, char **words, GString *out)
{
    forward(control, words, false, out);
}

/* The words of an option as they were typed, put together again; commas stand for themselves. */
static void plug(struct control *control, bool (*how)(void *opaque, const char *words, GError **error),
                 const char *words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (!how(control->machine->opaque, words, &error))
        g_string_append_printf(out, "Error: %s\n", error->message);
}

static void monitor_netdev_add(struct control *control, char **words, GString *out)
{
    plug(control, control->machine->netdev_add, words[0], out);
}

static void monitor_netdev_del(struct control *control, char **words, GString *out)
{
    plug(control, control->machine->netdev_del, words[0], out);
}

static void monitor_device_add(struct control *control, char **words, GString *out)
{
    plug(control, control->machine->device_add, words[0], out);
}

static void monitor_device_del(struct control *control, char **words, GString *out)
{
    plug(control, control->machine->device_del, words[0], out);
}

static void monitor_object_add(struct control *control, char **words, GString *out)
{
    plug(control, control->machine->object_add, words[0], out);
}

static void monitor_object_del(struct control *control, char **words, GString *out)
{
    plug(control, control->machine->object_del, words[0], out);
}

static void monitor_trace(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (g_str_equal(words[0], "help"))
        trace_describe(out);
    else if (g_str_equal(words[0], "none"))
        trace_mask = 0;
    else if (!trace_enable(words[0], &error))
        g_string_append_printf(out, "%s\n", error->message);
}

static void monitor_help(struct control *control, char **words, GString *out);

static const struct monitor_command commands[] = {
    {"help", "?", "", "this list", 0, 1, monitor_help},
    {"info", NULL, "WHAT", "look at something; info alone lists what", 0, 4, monitor_info},
    {"stop", "s", "", "stop the machine", 0, 0, monitor_stop},
    {"cont", "c", "", "let it go on", 0, 0, monitor_cont},
    {"quit", "q", "", "end the emulator", 0, 0, monitor_quit},
    {"migrate", NULL, "[-d] URI", "save the machine: exec:COMMAND, fd:N, file:PATH, unix:PATH, tcp:HOST:PORT",
     1, 2, monitor_migrate},
    {"migrate_cancel", NULL, "", "do not, and let it go on", 0, 0, monitor_migrate_cancel},
    {"savevm", NULL, "[TAG]", "save the machine into its images, as a snapshot of this name", 0, 1,
     monitor_savevm},
    {"loadvm", NULL, "TAG|ID", "go on with that snapshot: memory, devices and disks", 1, 1, monitor_loadvm},
    {"delvm", NULL, "TAG|ID", "take it out of the images", 1, 1, monitor_delvm},
    {"snapshot_blkdev_internal", NULL, "NAME TAG", "a snapshot of one drive's disk, without the machine", 2,
     2, monitor_snapshot_disk},
    {"snapshot_delete_blkdev_internal", NULL, "NAME TAG [ID]", "take it out again", 2, 3,
     monitor_snapshot_disk_delete},
    {"migrate_incoming", NULL, "URI", "where the machine comes from (-incoming defer)", 1, 1,
     monitor_migrate_incoming},
    {"system_reset", NULL, "", "press the reset button", 0, 0, monitor_reset},
    {"system_powerdown", NULL, "", "press the power button", 0, 0, monitor_powerdown},
    {"system_wakeup", NULL, "", "wake a guest in suspend to RAM", 0, 0, monitor_wakeup},
    {"watchdog_action", NULL, "ACTION",
     "what a watchdog does: reset, shutdown, poweroff, pause, debug, none, inject-nmi", 1, 1,
     monitor_watchdog_action},
    {"nmi", NULL, "", "raise a non-maskable interrupt", 0, 1, monitor_nmi},
    {"x", NULL, "/FMT ADDRESS", "show memory at a linear address, as x/8x $esp+4", 1, WORDS_MOST, monitor_x},
    {"xp", NULL, "/FMT ADDRESS", "show memory at a physical address; FMT: count, x d u o c i, b h w g", 1,
     WORDS_MOST, monitor_xp},
    {"print", "p", "/FMT EXPRESSION", "a value: numbers, 'c', $registers, + - * / % & | ^ ~ ( )", 1,
     WORDS_MOST, monitor_print},
    {"memsave", NULL, "ADDRESS SIZE FILE", "write memory at a linear address to a file", 3, 3,
     monitor_memsave},
    {"pmemsave", NULL, "ADDRESS SIZE FILE", "write memory at a physical address to a file", 3, 3,
     monitor_pmemsave},
    {"i", NULL, "/FMT PORT", "read an I/O port", 1, 2, monitor_port_in},
    {"o", NULL, "/FMT PORT VALUE", "write an I/O port", 2, 3, monitor_port_out},
    {"sendkey", NULL, "KEY-KEY… [MS]", "press keys together, as ctrl-alt-delete, and hold them", 1, 2,
     monitor_sendkey},
    {"mouse_move", NULL, "DX DY [DZ]", "move the mouse, and its wheel", 2, 3, monitor_mouse_move},
    {"mouse_button", NULL, "STATE", "hold these buttons: 1 left, 2 right, 4 middle, added up", 1, 1,
     monitor_mouse_button},
    {"screendump", NULL, "FILE [-f png|ppm]", "a picture of the screen", 1, 3, monitor_screendump},
    {"set_password", NULL, "vnc WORD", "the same", 2, 4, monitor_set_password},
    {"eject", NULL, "[-f] NAME", "take the medium out of a drive; -f: though the guest has it locked", 1, 2,
     monitor_block_eject},
    {"change", NULL, "NAME FILE [FORMAT [retain|read-only|read-write]] | vnc password WORD",
     "put another medium into a drive; VNC's password", 2, 4, monitor_change},
    {"block_resize", NULL, "NAME SIZE", "change a drive's size, in MiB or as 10G", 2, 2,
     monitor_block_resize},
    {"commit", NULL, "NAME|all", "write what snapshot=on or a qcow2 image holds into the image below it", 1,
     1, monitor_block_commit},
    {"block_set_io_throttle", NULL, "NAME BPS BPS_RD BPS_WR IOPS IOPS_RD IOPS_WR",
     "limit a drive's bytes and requests a second; 0: no limit", 7, 7, monitor_block_limit},
    {"ringbuf_read", NULL, "NAME SIZE", "what came to a ringbuf chardev and was not read yet", 2, 2,
     monitor_ringbuf_read},
    {"ringbuf_write", NULL, "NAME WORD", "let it say this", 2, 2, monitor_ringbuf_write},
    {"set_link", NULL, "NAME on|off", "plug the cable of a NIC or back end, or pull it", 2, 2,
     monitor_set_link},
    {"impair", NULL, "NAME [out|in] [delay=20ms,loss=1%,…|off]",
     "make a NIC's line bad, or good again, or say how it is", 1, 3, monitor_impair},
    {"hostfwd_add", NULL, "[NETDEV] RULE", "open a port of the host to the guest, as tcp::8080-:80", 1, 2,
     monitor_hostfwd_add},
    {"hostfwd_remove", NULL, "[NETDEV] RULE", "close it again, as tcp::8080", 1, 2, monitor_hostfwd_remove},
    {"netdev_add", NULL, "KIND,id=ID,…", "add a network back end, in the words of -netdev", 1, 1,
     monitor_netdev_add},
    {"netdev_del", NULL, "ID", "take it away; a NIC on it loses its link", 1, 1, monitor_netdev_del},
    {"device_add", NULL, "e1000,id=ID,netdev=ID,…", "plug in a NIC, in the words of -device", 1, 1,
     monitor_device_add},
    {"device_del", NULL, "ID", "ask the guest to let go of a NIC, and take it out then", 1, 1,
     monitor_device_del},
    {"object_add", NULL, "filter-dump,id=ID,netdev=ID,file=FILE", "capture a back end's frames", 1, 1,
     monitor_object_add},
    {"object_del", NULL, "ID", "end a capture", 1, 1, monitor_object_del},
    {"chardev-add", NULL, "KIND,id=ID,…", "add a character back end, in the words of -chardev", 1, 1,
     monitor_chardev_add},
    {"chardev-change", NULL, "ID KIND,…", "another back end in place of this one", 2, 2,
     monitor_chardev_change},
    {"chardev-remove", NULL, "ID", "take away one that nobody uses", 1, 1, monitor_chardev_remove},
    {"announce_self", NULL, "[NIC,…] [ID]", "tell switches where the NICs are, by five frames of each", 0, 2,
     monitor_announce},
    {"chardev-send-break", NULL, "ID", "the guest sees a break on that line", 1, 1, monitor_chardev_break},
    {"closefd", NULL, "NAME", "close a descriptor that QMP's getfd has named", 1, 1, monitor_closefd},
    {"boot_set", NULL, "LETTERS", "what firmware tries from the next reset on, as -boot order=", 1, 1,
     monitor_boot_set},
    {"cpu", NULL, "0", "the CPU that others are about", 1, 1, monitor_cpu},
    {"mouse_set", NULL, "INDEX", "the mouse that counts (info mice)", 1, 1, monitor_mouse_set},
    {"expire_password", NULL, "vnc now|never|+SECONDS|SECONDS", "when VNC's password ends", 2, 4,
     monitor_expire_password},
    {"dump-guest-memory", NULL, "FILE", "an ELF core of RAM and registers, for gdb", 1, 4, monitor_dump},
    {"gdbserver", NULL, "[tcp::1234|unix:PATH|none]", "let gdb debug the guest, or end that", 0, 1,
     monitor_gdbserver},
    {"gpa2hva", NULL, "ADDRESS", "where in this process a physical address of the guest is", 1, 1,
     monitor_gpa2hva},
    {"gva2gpa", NULL, "ADDRESS", "the physical address of a linear one", 1, 1, monitor_gva2gpa},
    {"sum", NULL, "ADDRESS SIZE", "a checksum of physical memory", 2, 2, monitor_sum},
    {"qom-list", NULL, "[PATH]", "what there is at a path", 0, 1, monitor_qom_list},
    {"qom-get", NULL, "PATH PROPERTY", "a property of an object", 2, 2, monitor_qom_get},
    {"logfile", NULL, "FILE", "traces go there", 1, 1, monitor_logfile},
    {"trace-event", NULL, "LIST on|off", "categories of traces on or off", 2, 3, monitor_trace_event},
    {"trace", "log", "LIST|none|help", "trace these categories too", 1, 1, monitor_trace},
};

static void monitor_help(struct control *control, char **words, GString *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        const struct monitor_command *c = &commands[i];
        if (words[0] && !g_str_equal(words[0], c->name) && !(c->alias && g_str_equal(words[0], c->alias)))
            continue;
        g_string_append_printf(out, "%s%s%s%s%s -- %s\n", c->name, c->alias ? "|" : "",
                               c->alias ? c->alias : "", *c->form ? " " : "", c->form, c->help);
    }
}

/* The next word of a line, in place: up to a space, or a string in double quotes, in which \" \\ \n and \r
 * stand for what they do in QEMU. NULL: no more, or (*open) a string without an end. */
static char *next_word(char **at, bool *open)
{
    char *from = *at + strspn(*at, " \t\r\n"), *to = from, *word = from;
    if (!*from)
        return NULL;
    if (*from != '"') {
        from += strcspn(from, " \t\r\n");
        *at = *from ? from + 1 : from;
        *from = '\0';
        return word;
    }
    for (from++; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1])
            *to++ = *++from == 'n' ? '\n' : *from == 'r' ? '\r' : *from;
        else
            *to++ = *from;
    }
    *open = !*from;
    *at = *from ? from + 1 : from;
    *to = '\0';
    return *open ? NULL : word;
}

/* What it makes others say (control_warn()) is part of its answer. */
static void run_command(struct control *control, const struct monitor_command *command, char **words,
                        GString *out)
{
    control->saying = out;
    command->run(control, words, out);
    control->saying = NULL;
}

void monitor_execute(struct control *control, const char *line, GString *out)
{
    char *words[WORDS_MOST + 2] = {0};
    unsigned count = 0;
    bool open = false;
    g_autofree char *copy = g_strdup(line);
    g_autofree char *format = NULL;
    /* "x/4xw ADDRESS": the format belongs to the command's word and becomes one of its own. */
    for (char *at = copy, *word; (word = next_word(&at, &open));) {
        char *slash = count ? NULL : strchr(word, '/');
        if (count >= WORDS_MOST) {
            g_string_append_printf(out, "a line has at most %d words\n", WORDS_MOST);
            return;
        }
        if (slash && slash != word) {
            format = g_strdup(slash);
            *slash = '\0';
        }
        words[count++] = word;
        if (count == 1 && format)
            words[count++] = format;
    }
    if (open) {
        g_string_append(out, "the closing '\"' is missing\n");
        return;
    }
    if (!count)
        return;
    const char *names[G_N_ELEMENTS(commands)];
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        const struct monitor_command *c = &commands[i];
        names[i] = c->name;
        if (!g_str_equal(words[0], c->name) && !(c->alias && g_str_equal(words[0], c->alias)))
            continue;
        if (count - 1 < c->least || count - 1 > c->most)
            g_string_append_printf(out, "usage: %s %s\n", c->name, c->form);
        else
            run_command(control, c, words + 1, out);
        return;
    }
    const char *why = monitor_absent(words[0], false);
    if (why) {
        g_string_append_printf(out, "%s: not on this machine: %s\n", words[0], why);
        return;
    }
    g_autofree char *suggestion = keyval_suggestion(words[0], names, G_N_ELEMENTS(names));
    g_string_append_printf(out, "unknown command: '%s'%s (try help)\n", words[0], suggestion);
}

void monitor_complete(const char *line, GPtrArray *words)
{
    const char *from = line + strspn(line, " "), *space = strchr(from, ' ');
    size_t len = space ? (size_t)(space - from) : 0;
    bool info = len == 4 && !strncmp(from, "info", 4), help = len == 4 && !strncmp(from, "help", 4);
    if (space && !info && !help)
        return;
    if (space)
        from = space + strspn(space, " ");
    for (size_t i = 0; info && i < G_N_ELEMENTS(infos); i++)
        if (g_str_has_prefix(infos[i].name, from))
            g_ptr_array_add(words, (gpointer)infos[i].name);
    const char *name, *about;
    for (unsigned i = 0; info && (name = monitor_own_info_name(i, &about)); i++)
        if (g_str_has_prefix(name, from))
            g_ptr_array_add(words, (gpointer)name);
    for (size_t i = 0; !info && i < G_N_ELEMENTS(commands); i++)
        if (g_str_has_prefix(commands[i].name, from))
            g_ptr_array_add(words, (gpointer)commands[i].name);
}
