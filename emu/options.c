/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The table of all options and the walk over argv: see options.h.
 *
 * An option may be written with one dash or two, its value as the next word or after '='. The last of several
 * counts where there can be one of a kind. Errors begin with the option as it was written.
 *
 * Twice: argv is first gathered into uses of options, among which are those of configuration files, and which
 * -set may change; -global is taken; then the other handlers see their uses in order.
 */
#include "emu/options_internal.h"

#include "emu/machine/boot.h"
#include "emu/machine/transport.h"

#include <gio/gio.h>
#include <string.h>

bool option_fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

void option_note(struct options *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(o->config->notes, g_strdup_vprintf(format, args));
    va_end(args);
}

bool option_print(struct options *o, GString *text)
{
    if (o->print)
        g_string_free(o->print, TRUE);
    o->print = text;
    return true;
}

/* ---- options that set one thing ---- */

static void set_string(char **where, const char *value)
{
    g_free(*where);
    *where = g_strdup(value);
}

#define STRING_OPTION(name_, member_)                                                                        \
    static bool option_##name_(struct options *o, const char *arg, GError **error)                           \
    {                                                                                                        \
        set_string(&o->config->member_, arg);                                                                \
        return true;                                                                                         \
    }
#define PATH_OPTION(name_, member_)                                                                          \
    static bool option_##name_(struct options *o, const char *arg, GError **error)                           \
    {                                                                                                        \
        if (!*arg)                                                                                           \
            return option_fail(error, "needs the name of a file");                                           \
        set_string(&o->config->member_, arg);                                                                \
        return true;                                                                                         \
    }
#define FLAG_OPTION(name_, member_, value_)                                                                  \
    static bool option_##name_(struct options *o, const char *arg, GError **error)                           \
    {                                                                                                        \
        o->config->member_ = value_;                                                                         \
        return true;                                                                                         \
    }

PATH_OPTION(kernel, kernel)
PATH_OPTION(initrd, initrd)
STRING_OPTION(append, append)
PATH_OPTION(bios, bios)
PATH_OPTION(pidfile, pidfile)
PATH_OPTION(log_file, trace_file)
PATH_OPTION(run_as, run_as)
PATH_OPTION(state_file, state_file)
FLAG_OPTION(no_reboot, no_reboot, true)
FLAG_OPTION(no_shutdown, no_shutdown, true)
FLAG_OPTION(stopped, start_stopped, true)
FLAG_OPTION(check, check_only, true)
FLAG_OPTION(perfmap, perfmap, true)
FLAG_OPTION(daemonize, daemonize, true)
FLAG_OPTION(no_acpi, acpi, false)

static bool option_nothing(struct options *o, const char *arg, GError **error)
{
    return true;
}

static bool option_chroot(struct options *o, const char *arg, GError **error)
{
    if (!*arg)
        return option_fail(error, "needs the name of a folder");
    set_string(&o->config->chroot, arg);
    return true;
}

static bool option_audiodev(struct options *o, const char *arg, GError **error)
{
    if (*arg == '{') {
        g_autofree char *flat = option_json_words(arg, "driver", error);
        return flat && option_audiodev(o, flat, error);
    }
    if (g_str_equal(arg, "none") || g_str_has_prefix(arg, "none,") || g_str_has_prefix(arg, "driver=none"))
        return true;
    return option_fail(
        error, "sound is QEMU's and not in netlab-emu yet; leave it out, or say -audiodev none,id=ID");
}

static bool option_nodefaults(struct options *o, const char *arg, GError **error)
{
    o->nodefaults = true;
    return true;
}

static bool option_search_path(struct options *o, const char *arg, GError **error)
{
    g_ptr_array_add(o->config->search_path, g_strdup(arg));
    return true;
}

static bool option_help(struct options *o, const char *arg, GError **error)
{
    GString *text = g_string_new(NULL);
    options_describe(text);
    return option_print(o, text);
}

static bool option_man(struct options *o, const char *arg, GError **error)
{
    GString *text = g_string_new(NULL);
    options_describe_man(text);
    return option_print(o, text);
}

static bool option_version(struct options *o, const char *arg, GError **error)
{
    GString *text = g_string_new(NULL);
    g_string_printf(text, "netlab-emu " NETLAB_VERSION ", an i386 PC (options in the words of QEMU 7.2)\n");
    return option_print(o, text);
}

static bool option_write_config(struct options *o, const char *arg, GError **error)
{
    if (!*arg)
        return option_fail(error, "needs the name of a file, or - for standard output");
    set_string(&o->write_config, arg);
    return true;
}

/* ---- the table ---- */

static bool option_option_rom(struct options *o, const char *arg, GError **error)
{
    if (!*arg)
        return option_fail(error, "needs the name of a file");
    g_ptr_array_add(o->config->option_roms, g_strdup(arg));
    return true;
}

static bool option_snapshot(struct options *o, const char *arg, GError **error)
{
    o->snapshot = true;
    return true;
}

static bool option_incoming(struct options *o, const char *arg, GError **error)
{
    if (!g_str_equal(arg, "defer") && !transport_check(arg, true, error))
        return false;
    g_free(o->config->incoming);
    o->config->incoming = g_strdup(arg);
    return true;
}

static bool option_loadvm(struct options *o, const char *arg, GError **error)
{
    g_free(o->config->loadvm);
    o->config->loadvm = g_strdup(arg);
    return true;
}

#define OURS(name_, alias_, form_, section_, apply_, help_)                                                  \
    {                                                                                                        \
        .name = name_, .alias = alias_, .form = form_, .section = section_, .apply = apply_, .help = help_   \
    }
#define LATER(name_, later_)                                                                                 \
    {                                                                                                        \
        .name = name_, .later = later_                                                                       \
    }

static const struct option_row rows[] = {
    OURS("help", "h", NULL, OPTION_MACHINE, option_help, "this text"),
    OURS("version", NULL, NULL, OPTION_MACHINE, option_version, "the version"),
    OURS("man", NULL, NULL, OPTION_MACHINE, option_man, "the manual page netlab-emu(1), in roff"),
    OURS("machine", "M", "[type=]pc[,accel=…]", OPTION_MACHINE, option_machine,
         "kind of board, or none; -machine help"),
    OURS("cpu", NULL, "MODEL[,+flag|,-flag]", OPTION_MACHINE, option_cpu, "CPU model; -cpu help"),
    OURS("accel", NULL, "interp|jit", OPTION_MACHINE, option_accel, "how guest code is run; -accel help"),
    OURS("m", NULL, "[size=]SIZE", OPTION_MACHINE, option_memory,
         "RAM: 64 (MiB), 64M, 1G; 128M unless given"),
    OURS("mem-path", NULL, "FOLDER|FILE", OPTION_MACHINE, option_mem_path,
         "guest RAM is a file there; in a folder one without a name"),
    OURS("mem-prealloc", NULL, NULL, OPTION_MACHINE, option_mem_prealloc, "all of guest RAM from the start"),
    OURS("overcommit", NULL, "mem-lock=on|off", OPTION_MACHINE, option_overcommit,
         "whether RAM stays in the host's memory"),
    OURS("win2k-hack", NULL, NULL, OPTION_MACHINE, option_win2k_hack,
         "disks whose interrupts Windows 2000's setup can follow"),
    {.name = "realtime", .form = "mlock=on|off", .apply = option_realtime},
    OURS("smp", NULL, "1", OPTION_MACHINE, option_smp, "number of CPUs; one"),
    OURS("name", NULL, "NAME[,process=NAME]", OPTION_MACHINE, option_name, "name of the machine"),
    OURS("uuid", NULL, "UUID", OPTION_MACHINE, option_uuid, "its UUID, in SMBIOS and fw_cfg"),
    OURS("rtc", NULL, "base=utc|localtime|DATE", OPTION_MACHINE, option_rtc, "what its clock starts with"),
    OURS("device", NULL, "DEVICE[,key=value…]", OPTION_MACHINE, option_device,
         "add a device; -device help, -device NAME,help"),
    OURS("global", NULL, "DEVICE.KEY=VALUE", OPTION_MACHINE, option_global_add,
         "a default for every such device"),
    {.name = "set",
     .form = "GROUP.ID.KEY=VALUE",
     .section = OPTION_MACHINE,
     .gather = option_set,
     .help = "one more word for an option before it, as drive.d0.file=x"},
    OURS("fw_cfg", NULL, "[name=]NAME,string=TEXT|file=FILE", OPTION_MACHINE, option_fw_cfg,
         "a file for the guest to read through fw_cfg"),
    OURS("watchdog", NULL, "i6300esb|ib700", OPTION_MACHINE, option_watchdog, "add a watchdog"),
    OURS("watchdog-action", NULL, "ACTION", OPTION_MACHINE, option_watchdog_action,
         "what it does: reset (unless given), shutdown, poweroff, pause, debug, none, inject-nmi"),
    OURS("no-acpi", NULL, NULL, OPTION_MACHINE, option_no_acpi, "no ACPI tables"),
    OURS("acpitable", NULL, "[sig=…,…]file=FILE|data=FILE", OPTION_MACHINE, option_acpitable,
         "one more ACPI table; -acpitable help"),
    OURS("smbios", NULL, "type=N,key=TEXT…|file=FILE", OPTION_MACHINE, option_smbios,
         "what the machine says of itself (dmidecode)"),
    OURS("nodefaults", NULL, NULL, OPTION_MACHINE, option_nodefaults,
         "nothing but what is asked for: no NIC with user networking"),

    OURS("kernel", NULL, "FILE", OPTION_BOOT, option_kernel, "start this Linux bzImage or Multiboot kernel"),
    OURS("initrd", NULL, "FILE", OPTION_BOOT, option_initrd,
         "its initramfs; for Multiboot \"FILE ARGS,FILE ARGS…\""),
    OURS("append", NULL, "TEXT", OPTION_BOOT, option_append, "its command line"),
    OURS("bios", NULL, "FILE", OPTION_BOOT, option_bios, "start this ROM at the reset vector instead"),
    OURS("L", NULL, "FOLDER", OPTION_BOOT, option_search_path, "where -bios is looked for; may be repeated"),
    OURS("option-rom", NULL, "FILE", OPTION_BOOT, option_option_rom,
         "a ROM the firmware runs; may be repeated"),
    OURS("boot", NULL, "[order=]LETTERS[,menu=on]", OPTION_BOOT, option_boot,
         "what firmware tries, in order"),
    OURS("no-reboot", NULL, NULL, OPTION_BOOT, option_no_reboot, "end when the guest reboots"),
    OURS("no-shutdown", NULL, NULL, OPTION_BOOT, option_no_shutdown,
         "stop, but do not end, when it powers off"),
    OURS("action", NULL, "reboot=…,shutdown=…", OPTION_BOOT, option_action, "the same two as one option"),
    OURS("incoming", NULL, "exec:|file:|unix:|tcp:…|defer", OPTION_BOOT, option_incoming,
         "go on with a machine that `migrate` has saved there"),
    OURS("loadvm", NULL, "TAG|ID", OPTION_BOOT, option_loadvm,
         "go on with a snapshot that `savevm` has put into the images"),
    OURS("S", NULL, NULL, OPTION_BOOT, option_stopped, "do not start before `cont` (monitor, QMP)"),

    OURS("hda", NULL, "FILE", OPTION_DISKS, option_hda, "image of the first IDE hard disk; -hdb, -hdc, -hdd"),
    {.name = "hdb", .form = "FILE", .apply = option_hdb},
    {.name = "hdc", .form = "FILE", .apply = option_hdc},
    {.name = "hdd", .form = "FILE", .apply = option_hdd},
    OURS("cdrom", NULL, "FILE", OPTION_DISKS, option_cdrom,
         "image of the CD in the drive (second channel, master)"),
    OURS("fda", NULL, "FILE", OPTION_DISKS, option_fda, "image of the first floppy disk; -fdb"),
    {.name = "fdb", .form = "FILE", .apply = option_fdb},
    OURS("pflash", NULL, "FILE", OPTION_DISKS, option_pflash,
         "flash chip with the firmware, instead of -bios; again: a second one below"),
    OURS("drive", NULL, "file=FILE[,format=][,media=]…", OPTION_DISKS, option_drive,
         "a disk, CD or floppy with all that can be said of it; -drive help"),
    OURS("blockdev", NULL, "driver=raw|qcow2|file|…,node-name=N,…", OPTION_DISKS, option_blockdev,
         "a node for -device ide-hd,drive=N, as words or JSON; -blockdev help"),
    OURS("hdachs", NULL, "C,H,S[,none|lba|large|rechs|auto]", OPTION_DISKS, option_hdachs,
         "geometry of the first hard disk, and how the firmware translates it"),
    OURS("snapshot", NULL, NULL, OPTION_DISKS, option_snapshot,
         "no image is changed: what is written is gone at the end"),

    OURS("nic", NULL, "user|tap|…[,key=value…]|none", OPTION_NETWORK, option_nic,
         "a NIC and its back end in one; -nic help, -nic user,help"),
    OURS("netdev", NULL, "KIND,id=ID[,key=value…]", OPTION_NETWORK, option_netdev,
         "a back end for -device e1000,netdev=ID; -netdev help"),
    OURS("net", NULL, "nic|user|tap|…|none[,key=value…]", OPTION_NETWORK, option_net,
         "the old words: all on one hub"),
    OURS("object", NULL, "filter-dump,id=ID,netdev=ID,file=FILE", OPTION_NETWORK, option_object,
         "write what a back end carries to a pcap file"),

    OURS("serial", NULL, "BACKEND", OPTION_CHARACTER, option_serial,
         "what COM1 (then COM2…) is connected to; -chardev help"),
    OURS("chardev", NULL, "KIND,id=ID[,…]", OPTION_CHARACTER, option_chardev,
         "a back end others name by its id"),
    OURS("debugcon", NULL, "BACKEND", OPTION_CHARACTER, option_debugcon, "where bytes sent to port 0xe9 go"),
    OURS("parallel", NULL, "BACKEND|none", OPTION_CHARACTER, option_parallel,
         "what a printer on LPT1 (then LPT2, LPT3) prints to"),
    OURS("display", NULL, "none|curses|vnc=…|sdl", OPTION_DISPLAY, option_display,
         "how the screen is shown; -display help"),
    OURS("vnc", NULL, "[HOST]:N|unix:PATH[,password=on]", OPTION_DISPLAY, option_vnc,
         "a VNC server at port 5900 + N; -vnc help"),
    OURS("sdl", NULL, NULL, OPTION_DISPLAY, option_sdl, "a window on the desktop (-display sdl)"),
    OURS("full-screen", NULL, NULL, OPTION_DISPLAY, option_full_screen, "it begins with the whole screen"),
    {.name = "no-quit", .apply = option_no_quit},
    {.name = "no-frame", .apply = option_no_frame},
    {.name = "alt-grab", .apply = option_alt_grab},
    {.name = "ctrl-grab", .apply = option_ctrl_grab},
    {.name = "show-cursor", .apply = option_show_cursor},
    OURS("curses", NULL, NULL, OPTION_DISPLAY, option_curses,
         "the screen's characters on this terminal (Alt-2 for the monitor)"),
    OURS("k", NULL, "LAYOUT", OPTION_DISPLAY, option_keyboard,
         "the keyboard layout the guest thinks it has (en-us); -k help"),
    OURS("vga", NULL, "std|none", OPTION_DISPLAY, option_vga, "the graphics card"),
    OURS("g", NULL, "WxH", OPTION_DISPLAY, option_geometry, "the size its monitor prefers (1280x800)"),
    OURS("nographic", NULL, NULL, OPTION_CHARACTER, option_nographic,
         "console and monitor on this terminal (Ctrl-A h for help)"),
    OURS("echr", NULL, "N", OPTION_CHARACTER, option_echr, "escape key instead of Ctrl-A (1); 0: none"),

    OURS("qmp", NULL, "BACKEND", OPTION_CONTROL, option_qmp, "QMP server, as unix:PATH,server=on,wait=off"),
    OURS("qmp-pretty", NULL, "BACKEND", OPTION_CONTROL, option_qmp_pretty, "the same with line breaks"),
    OURS("monitor", NULL, "BACKEND", OPTION_CONTROL, option_monitor, "text monitor"),
    OURS("mon", NULL, "[chardev=]ID[,mode=control]", OPTION_CONTROL, option_mon,
         "either of them on a -chardev"),
    OURS("pidfile", NULL, "FILE", OPTION_CONTROL, option_pidfile, "write the process id there, locked"),
    OURS("check", NULL, NULL, OPTION_CONTROL, option_check,
         "set the machine up, say what is wrong with it, and end; nothing is run"),
    OURS("daemonize", NULL, NULL, OPTION_CONTROL, option_daemonize,
         "go to the background once all is set up"),
    OURS("msg", NULL, "timestamp=on|off", OPTION_CONTROL, option_msg, "whether messages begin with the time"),
    OURS("enable-fips", NULL, NULL, OPTION_CONTROL, option_fips, "refuse VNC passwords, whose cipher is DES"),
    OURS("chroot", NULL, "FOLDER", OPTION_CONTROL, option_chroot,
         "have only this folder's files once all is set up"),
    OURS("runas", NULL, "USER|UID:GID", OPTION_CONTROL, option_run_as, "become this user once all is set up"),
    {.name = "readconfig",
     .form = "FILE",
     .section = OPTION_CONTROL,
     .gather = option_read_config,
     .help = "options from a file: [device \"n0\"] driver = \"e1000\" …"},
    {.name = "writeconfig",
     .form = "FILE",
     .section = OPTION_CONTROL,
     .gather = option_write_config,
     .help = "write these options to such a file; -: to standard output"},
    OURS("add-fd", NULL, "fd=N,set=M[,opaque=TEXT]", OPTION_CONTROL, option_add_fd,
         "a file that was passed open; it is named /dev/fdset/M"),
    OURS("sandbox", NULL, "on|off[,spawn=deny]…", OPTION_CONTROL, option_sandbox,
         "what a machine has no use for is refused by the kernel; -sandbox help"),

    OURS("trace", NULL, "LIST", OPTION_DEBUG, option_trace, "show what happens inside; -trace help"),
    OURS("d", NULL, "ITEMS", OPTION_DEBUG, option_debug_items, "the same by QEMU's names; -d help"),
    OURS("perfmap", NULL, NULL, OPTION_DEBUG, option_perfmap,
         "name translated code for perf, in /tmp/perf-PID.map"),
    OURS("singlestep", "one-insn-per-tb", NULL, OPTION_DEBUG, option_singlestep,
         "blocks of one instruction, for traces"),
    OURS("tb-size", NULL, "MIB", OPTION_DEBUG, option_tb_size, "memory for translated code (32)"),
    OURS("gdb", NULL, "BACKEND", OPTION_DEBUG, option_gdb,
         "GDB's `target remote`: tcp:[HOST]:PORT (this host alone unless named) or unix:PATH"),
    OURS("s", NULL, NULL, OPTION_DEBUG, option_gdb_short, "-gdb tcp::1234"),
    OURS("dump-vmstate", NULL, "FILE", OPTION_DEBUG, option_state_file,
         "write the layout of saved state as JSON, and end"),
    OURS("icount", NULL, "[shift=]N|auto[,sleep=off][,align=on]", OPTION_DEBUG, option_icount,
         "guest time is instructions executed, times 2^N ns: the same in each run"),
    OURS("D", NULL, "FILE", OPTION_DEBUG, option_log_file, "write traces there instead of to stderr"),

    /* QEMU's words for what is the case here anyway. */
    {.name = "audiodev", .form = "none,id=ID", .apply = option_audiodev},
    {.name = "no-hpet", .apply = option_nothing},
    {.name = "no-fd-bootchk", .apply = option_nothing},
    {.name = "no-user-config", .apply = option_nothing},
    {.name = "nouserconfig", .apply = option_nothing},
    {.name = "nodefconfig", .apply = option_nothing},
    {.name = "only-migratable", .apply = option_nothing},

    /* QEMU's, not here yet. */
    LATER("enable-kvm", "guests run in netlab-emu's own engine; leave it out"),
    LATER("sd", "put what the guest needs into the initrd"),
    LATER("mtdblock", "put what the guest needs into the initrd"),
    LATER("iscsi", "let the host log in (open-iscsi) and give its block device to -drive"),
    LATER("fsdev", "put what the guest needs into the initrd"),
    LATER("virtfs", "put what the guest needs into the initrd"),
    LATER("virtfs_synth", "put what the guest needs into the initrd"),
    LATER("balloon", "give -m what the guest may have"),
    LATER("bt", "there is no Bluetooth"),
    LATER("virtioconsole", "use -serial"),
    LATER("numa", "a machine has one CPU and one memory"),
    LATER("audio", "there is no sound"),
    LATER("audio-help", "there is no sound"),
    LATER("soundhw", "there is no sound"),
    LATER("usb", "there is no USB"),
    LATER("usbdevice", "there is no USB"),
    LATER("spice", "use -vnc"),
    LATER("portrait", "the VNC viewer may rotate"),
    LATER("rotate", "the VNC viewer may rotate"),
    LATER("tpmdev", ""),
    LATER("dtb", "a PC has no device tree"),
    LATER("preconfig", ""),
    LATER("seed", ""),
    LATER("prom-env", "for other architectures"),
    LATER("semihosting", "for other architectures"),
    LATER("semihosting-config", "for other architectures"),
    LATER("compat", ""),
    LATER("plugin", "see -trace help"),
    LATER("enable-sync-profile", ""),
    LATER("async-teardown", ""),
    LATER("xen-domid", ""),
    LATER("xen-attach", ""),
    LATER("xen-create", ""),
    LATER("xen-domid-restrict", ""),
    LATER("jitdump", ""),
    LATER("run-with", ""),
};

static const char *const sections[OPTION_SECTIONS] = {
    [OPTION_MACHINE] = "The machine",
    [OPTION_BOOT] = "What it starts and how it ends",
    [OPTION_NETWORK] = "Network",
    [OPTION_DISPLAY] = "Screen and keyboard",
    [OPTION_DISKS] = "Disks",
    [OPTION_CHARACTER] = "Consoles",
    [OPTION_CONTROL] = "Control and process",
    [OPTION_DEBUG] = "Looking inside",
};
_Static_assert(G_N_ELEMENTS(sections) == OPTION_SECTIONS, "a heading for each section");

/* A form and what it is for, in two columns of a terminal of 80. */
static void describe_row(GString *out, const char *form, const char *help)
{
    enum { SECOND = 28, WIDTH = 79 };
    long column = 2 + g_utf8_strlen(form, -1);
    g_string_append_printf(out, "  %s", form);
    g_auto(GStrv) words = g_strsplit(help, " ", -1);
    for (char **word = words; *word; word++) {
        long len = g_utf8_strlen(*word, -1);
        bool first = word == words;
        if (first ? column >= SECOND : column + 1 + len > WIDTH) {
            g_string_append_c(out, '\n');
            column = 0;
            first = true;
        }
        int space = first ? (int)(SECOND - column) : 1;
        g_string_append_printf(out, "%*s%s", space, "", *word);
        column += space + len;
    }
    g_string_append_c(out, '\n');
}

void options_describe(GString *out)
{
    g_string_append(out, "usage: netlab-emu [option…]\n\n"
                         "An i386 PC with e1000 NICs. Options are QEMU's; -name or --name, the value as\n"
                         "the next word or after '='.\n"
                         "  netlab-emu -m 64M -kernel vmlinuz -initrd initrd.img \\\n"
                         "             -append console=ttyS0 -nographic\n");
    for (unsigned section = 0; section < OPTION_SECTIONS; section++) {
        g_string_append_printf(out, "\n%s\n", sections[section]);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
            if (rows[i].section != section || !rows[i].help)
                continue;
            g_autofree char *form = g_strdup_printf(
                "-%s%s%s%s%s", rows[i].name, rows[i].alias ? ", -" : "", rows[i].alias ? rows[i].alias : "",
                rows[i].form ? " " : "", rows[i].form ? rows[i].form : "");
            describe_row(out, form, rows[i].help);
        }
    }
    g_string_append(out, "\nQEMU's options that are not here yet are known and say so:\n ");
    int column = 1;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!rows[i].later)
            continue;
        if (column + (int)strlen(rows[i].name) + 2 > 79) {
            g_string_append(out, "\n ");
            column = 1;
        }
        g_string_append_printf(out, " -%s", rows[i].name);
        column += (int)strlen(rows[i].name) + 2;
    }
    g_string_append_c(out, '\n');
}

/* Text as roff has it: no line begins with . or ', hyphens are hyphens, what is not ASCII is named. */
static void add_roff(GString *out, const char *text)
{
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        if (c == text && (*c == '.' || *c == '\''))
            g_string_append(out, "\\&");
        if (*c == '\\')
            g_string_append(out, "\\e");
        else if (*c == '-')
            g_string_append(out, "\\-");
        else if (*c == '`')
            g_string_append(out, "\\(ga");
        else if (*c == '~')
            g_string_append(out, "\\(ti");
        else if (character >= 128)
            g_string_append_printf(out, "\\[u%04X]", character);
        else
            g_string_append_c(out, *c);
    }
    g_string_append_c(out, '\n');
}

void options_describe_man(GString *out)
{
    g_string_append(out,
                    ".TH NETLAB\\-EMU 1 \"2026-11-30\" \"netlab " NETLAB_VERSION "\" \"User Commands\"\n"
                    ".SH NAME\nnetlab\\-emu \\- an i386 PC with e1000 NICs, in QEMU's words\n"
                    ".SH SYNOPSIS\n.B netlab\\-emu\n[option\\[u2026]]\n"
                    ".SH DESCRIPTION\nA PC is emulated in this process: CPU, board, disks, screen and NICs. "
                    "It needs neither KVM nor root.\nOptions are QEMU's: \\-name or \\-\\-name, the value as "
                    "the next word or after =.\nnetlab(1) starts one for each node of a lab.\n.SH OPTIONS\n");
    for (unsigned section = 0; section < OPTION_SECTIONS; section++) {
        g_string_append(out, ".SS ");
        add_roff(out, sections[section]);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
            if (rows[i].section != section || !rows[i].help)
                continue;
            g_autofree char *form = g_strdup_printf(
                "-%s%s%s%s%s", rows[i].name, rows[i].alias ? ", -" : "", rows[i].alias ? rows[i].alias : "",
                rows[i].form ? " " : "", rows[i].form ? rows[i].form : "");
            g_string_append(out, ".TP\n.B ");
            add_roff(out, form);
            add_roff(out, rows[i].help);
        }
    }
    g_string_append(
        out,
        ".SH EXIT STATUS\n.TP\n.B 0\nthe guest powered off, or was told to end\n.TP\n.B 1\nit could not be "
        "started, or something it needs failed\n"
        ".SH EXAMPLES\n.TP\n.B netlab\\-emu \\-m 64M \\-kernel vmlinuz \\-initrd initrd.img \\-append "
        "console=ttyS0 \\-nographic\na Linux kernel on this terminal\n.TP\n.B netlab\\-emu \\-m 256M \\-hda "
        "disk.qcow2 \\-nic user,hostfwd=tcp::2222\\-:22\na disk, and the guest's port 22 at port 2222\n"
        ".SH SEE ALSO\nnetlab(1)\n");
}

/* ---- the walk ---- */

const struct option_row *option_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (g_str_equal(rows[i].name, name) || (rows[i].alias && g_str_equal(rows[i].alias, name)))
            return &rows[i];
    return NULL;
}

const char *option_row_name(unsigned index)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (!rows[i].later && !index--)
            return rows[i].name;
    return NULL;
}

/* A word of the command line as errors show it: one line, not endless. */
static char *shown(const char *word)
{
    enum { MOST = 120 };
    GString *text = g_string_new(NULL);
    for (const char *c = word; *c; c++) {
        if (text->len >= MOST) {
            g_string_append(text, "…");
            break;
        }
        g_string_append_c(text, (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c);
    }
    char *valid = g_utf8_make_valid(text->str, -1);
    g_string_free(text, TRUE);
    return valid;
}

static bool unknown_option(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(rows)];
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        names[i] = rows[i].name;
    g_autofree char *what = shown(name);
    const char *nearest = keyval_nearest(name, names, G_N_ELEMENTS(rows));
    if (nearest)
        return option_fail(error, "-%s: unknown option (did you mean -%s?)", what, nearest);
    return option_fail(error, "-%s: unknown option (see -help)", what);
}

static void free_use(void *data)
{
    struct option_use *use = data;
    g_free(use->name);
    g_free(use->arg);
    g_free(use->where);
    g_free(use);
}

void option_use_add(struct options *o, const struct option_row *row, const char *name, const char *arg,
                    const char *where)
{
    struct option_use *use = g_new(struct option_use, 1);
    *use = (struct option_use){
        .row = row, .name = g_strdup(name), .arg = g_strdup(arg), .where = g_strdup(where)};
    g_ptr_array_add(o->uses, use);
}

/* Chips, CPU models and files begin their own errors with the option; once is enough. */
static void begin_error(const struct option_use *use, GError **error)
{
    g_autofree char *own = g_strconcat("-", use->row->name, NULL);
    if (error && *error && g_str_has_prefix((*error)->message, own) &&
        strchr(": ", (*error)->message[strlen(own)])) {
        char *rest =
            g_strdup((*error)->message + strlen(own) + strspn((*error)->message + strlen(own), ": "));
        g_free((*error)->message);
        (*error)->message = rest;
    }
    g_autofree char *what = use->arg ? shown(use->arg) : NULL;
    if (use->bare)
        g_prefix_error(error,
                       "'%s' (taken for the image of a hard disk; a kernel is given with -kernel): ", what);
    else
        g_prefix_error(error, "%s%s-%s%s%s: ", use->where ? use->where : "", use->where ? ": " : "",
                       use->name, what ? " " : "", what ? what : "");
}

/* Adds argv[*i] and what belongs to it to the uses; *i is left at the last word used. */
static bool gather_word(struct options *o, int argc, char *const *argv, int *i, GError **error)
{
    const char *word = argv[*i];
    if (word[0] != '-' || !word[1]) {
        option_use_add(o, option_find("hda"), "hda", word, NULL);
        ((struct option_use *)o->uses->pdata[o->uses->len - 1])->bare = true;
        return true;
    }
    const char *name_start = word + (word[1] == '-' ? 2 : 1);
    const char *equals = strchr(name_start, '=');
    g_autofree char *name =
        equals ? g_strndup(name_start, (gsize)(equals - name_start)) : g_strdup(name_start);
    const struct option_row *row = option_find(name);
    if (!row)
        return unknown_option(name, error);
    const char *arg = equals ? equals + 1 : NULL;
    if (!row->later && !row->form && arg)
        return option_fail(error, "-%s: takes no value", name);
    if (row->form && !arg) {
        if (*i + 1 >= argc)
            return option_fail(error, "-%s: needs a value: %s", name, row->form);
        arg = argv[++*i];
    }
    if (row->gather) {
        struct option_use use = {.row = row, .name = name, .arg = (char *)arg};
        if (row->gather(o, arg, error))
            return true;
        begin_error(&use, error);
        return false;
    }
    option_use_add(o, row, name, arg, NULL);
    return true;
}

static bool apply_use(struct options *o, const struct option_use *use, GError **error)
{
    const struct option_row *row = use->row;
    if (row->later)
        return option_fail(error, "%s%s-%s: a QEMU option that netlab-emu does not have yet%s%s",
                           use->where ? use->where : "", use->where ? ": " : "", row->name,
                           *row->later ? "; " : "", row->later);
    if (row->apply(o, use->arg, error))
        return true;
    begin_error(use, error);
    return false;
}

/* Options are applied in their order, but for those that others may lean on, and those that lean on others:
 * -global counts for devices before it too, and a disk's -device may stand before its -drive. */
enum turn { TURN_GLOBAL, TURN_REST, TURN_DISK_DEVICE, TURNS };

static enum turn turn_of(const struct option_use *use)
{
    if (g_str_equal(use->row->name, "global"))
        return TURN_GLOBAL;
    return use->row->apply == option_device && option_device_takes_drive(use->arg) ? TURN_DISK_DEVICE
                                                                                   : TURN_REST;
}

static bool finish(struct options *o, GError **error)
{
    struct machine_config *config = o->config;
    config->direct =
        config->kernel && !config->bios && !options_has_flash(o) && !boot_needs_firmware(config->kernel);
    return options_finish_memory(o, error) && options_finish_network(o, error) &&
           options_finish_display(o, error) && options_finish_drives(o, error) &&
           options_finish_devices(o, error) && options_finish_process(o, error) &&
           options_finish_machine(o, error);
}

static bool write_config(struct options *o, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    if (!o->write_config)
        return true;
    if (!options_write_config(o, text, error)) {
        g_prefix_error(error, "-writeconfig %s: ", o->write_config);
        return false;
    }
    o->config->config_file = g_strdup(o->write_config);
    o->config->config_text = g_strdup(text->str);
    return true;
}

enum options_outcome options_parse(int argc, char *const *argv, struct machine_config **config, char **text,
                                   GError **error)
{
    struct options o = {
        .config = machine_config_new(),
        .trace_list = g_string_new(NULL),
        .uses = g_ptr_array_new_with_free_func(free_use),
    };
    o.config->words = &options_words;
    enum options_outcome outcome = OPTIONS_RUN;
    g_autoptr(GError) gathered = NULL; /* what is before it is looked at first */
    for (int i = 1; i < argc && !gathered; i++)
        (void)gather_word(&o, argc, argv, &i, &gathered);
    for (enum turn turn = 0; turn < TURNS; turn++)
        for (guint i = 0; i < o.uses->len && outcome == OPTIONS_RUN; i++) {
            o.at = i;
            if (turn_of(o.uses->pdata[i]) == turn && !apply_use(&o, o.uses->pdata[i], error))
                outcome = OPTIONS_ERROR;
            else if (o.print)
                outcome = OPTIONS_PRINT;
        }
    if (outcome == OPTIONS_RUN && gathered) {
        g_propagate_error(error, g_steal_pointer(&gathered));
        outcome = OPTIONS_ERROR;
    }
    if (outcome == OPTIONS_RUN && !(finish(&o, error) && write_config(&o, error)))
        outcome = OPTIONS_ERROR;
    if (outcome == OPTIONS_RUN)
        options_finish_globals(&o);
    g_string_free(o.trace_list, TRUE);
    g_ptr_array_free(o.uses, TRUE);
    options_free_globals(&o);
    options_free_memory(&o);
    options_free_secrets(&o);
    g_free(o.write_config);
    for (unsigned i = 0; i < G_N_ELEMENTS(o.flash_chip); i++)
        g_free(o.flash_chip[i]);
    if (outcome == OPTIONS_PRINT)
        *text = g_string_free(g_steal_pointer(&o.print), FALSE);
    else if (o.print)
        g_string_free(o.print, TRUE);
    if (outcome == OPTIONS_RUN)
        *config = o.config;
    else
        machine_config_free(o.config);
    return outcome;
}
