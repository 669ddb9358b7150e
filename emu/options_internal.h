/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the files of the option parser share: the row, and the handlers by subject.
 * options.c has the table and walks argv; options_machine.c, options_devices.c, options_network.c have the
 * handlers.
 */
#pragma once

#include "emu/keyval.h"
#include "emu/options.h"

/* What is gathered beside the configuration while argv is read. */
struct options {
    struct machine_config *config;
    GString *print; /* set by a handler: print this and end */
    bool nographic, has_display, has_serial, has_monitor;
    bool vga_device; /* -device VGA */
    enum { OPTION_VGA_AUTO, OPTION_VGA_NONE, OPTION_VGA_STD } vga;
    bool snapshot, nodefaults; /* -snapshot: for all drives */
    struct machine_geometry hdachs;
    enum machine_translation hdachs_translation;
    char *accel;               /* the last -accel or -machine accel= */
    bool has_network;          /* a word about NICs or back ends was said: no default NIC */
    GString *trace_list;       /* the same as words */
};

enum option_section {
    OPTION_MACHINE,
    OPTION_BOOT,
    OPTION_DISKS,
    OPTION_NETWORK,
    OPTION_DISPLAY,
    OPTION_CHARACTER,
    OPTION_CONTROL,
    OPTION_DEBUG,
    OPTION_SECTIONS
};

struct option_row {
    const char *name, *alias; /* without dashes */
    const char *form;         /* of the argument; NULL: takes none */
    enum option_section section;
    bool (*apply)(struct options *o, const char *arg, GError **error);
    const char *help;
    const char *later; /* QEMU's, not ours yet: what to do instead ("" when there is nothing) */
};

G_GNUC_PRINTF(2, 3) bool option_fail(GError **error, const char *format, ...);
G_GNUC_PRINTF(2, 3) void option_note(struct options *o, const char *format, ...);
/* Puts text aside to be printed instead of running; returns true. */
bool option_print(struct options *o, GString *text);

/* options_machine.c */
bool option_machine(struct options *o, const char *arg, GError **error);
bool option_cpu(struct options *o, const char *arg, GError **error);
bool option_accel(struct options *o, const char *arg, GError **error);
bool option_smp(struct options *o, const char *arg, GError **error);
bool option_memory(struct options *o, const char *arg, GError **error);
bool option_name(struct options *o, const char *arg, GError **error);
bool option_uuid(struct options *o, const char *arg, GError **error);
bool option_rtc(struct options *o, const char *arg, GError **error);
bool option_boot(struct options *o, const char *arg, GError **error);
bool option_action(struct options *o, const char *arg, GError **error);
bool option_trace(struct options *o, const char *arg, GError **error);
bool option_debug_items(struct options *o, const char *arg, GError **error);
bool option_fw_cfg(struct options *o, const char *arg, GError **error);
bool options_finish_machine(struct options *o, GError **error);

/* options_drives.c */
bool option_drive(struct options *o, const char *arg, GError **error);
bool option_hda(struct options *o, const char *arg, GError **error);
bool option_hdb(struct options *o, const char *arg, GError **error);
bool option_hdc(struct options *o, const char *arg, GError **error);
bool option_hdd(struct options *o, const char *arg, GError **error);
bool option_cdrom(struct options *o, const char *arg, GError **error);
bool option_fda(struct options *o, const char *arg, GError **error);
bool option_fdb(struct options *o, const char *arg, GError **error);
bool option_hdachs(struct options *o, const char *arg, GError **error);
enum { OPTION_IDE_ROWS = 27, OPTION_FLOPPY_ROWS = 7 };
extern const struct keyval_row option_ide_rows[OPTION_IDE_ROWS];       /* -device ide-hd, ide-cd */
extern const struct keyval_row option_floppy_rows[OPTION_FLOPPY_ROWS]; /* -device floppy */
bool option_device_ide_disk(struct options *o, const struct keyval *kv, GError **error);
bool option_device_ide_cd(struct options *o, const struct keyval *kv, GError **error);
bool option_device_floppy(struct options *o, const struct keyval *kv, GError **error);
bool options_finish_drives(struct options *o, GError **error);

/* options_devices.c */
bool option_device(struct options *o, const char *arg, GError **error);
/* Whether a port of the machine is on standard input and output. */
bool options_use_stdio(const struct options *o);
bool options_finish_devices(struct options *o, GError **error);
/* Why a device of QEMU's is not here ("" when there is nothing to say), NULL when it is here or unknown. */
const char *option_device_later(const char *name);

/* options_network.c */
bool option_netdev(struct options *o, const char *arg, GError **error);
bool option_nic(struct options *o, const char *arg, GError **error);
bool option_net(struct options *o, const char *arg, GError **error);
bool option_object(struct options *o, const char *arg, GError **error);
bool options_finish_network(struct options *o, GError **error);
/* PCI address as QEMU writes it: hexadecimal slot, and function 0 if one is named. */
bool option_parse_slot(const char *text, int *slot, GError **error);
struct machine_nic *option_add_nic(struct options *o, GError **error);
/* The word before the first comma, without "type=". */
char *option_first_word(const char *arg);

/* options_devices.c again */
bool option_serial(struct options *o, const char *arg, GError **error);
bool option_parallel(struct options *o, const char *arg, GError **error);
bool option_chardev(struct options *o, const char *arg, GError **error);
bool option_debugcon(struct options *o, const char *arg, GError **error);
bool option_monitor(struct options *o, const char *arg, GError **error);
bool option_gdb(struct options *o, const char *arg, GError **error);
bool option_gdb_short(struct options *o, const char *arg, GError **error);
bool option_qmp(struct options *o, const char *arg, GError **error);
bool option_qmp_pretty(struct options *o, const char *arg, GError **error);
bool option_mon(struct options *o, const char *arg, GError **error);
bool option_nographic(struct options *o, const char *arg, GError **error);
bool option_echr(struct options *o, const char *arg, GError **error);

/* options_display.c */
bool option_display(struct options *o, const char *arg, GError **error);
bool option_vga(struct options *o, const char *arg, GError **error);
bool option_vnc(struct options *o, const char *arg, GError **error);
bool option_curses(struct options *o, const char *arg, GError **error);
bool option_keyboard(struct options *o, const char *arg, GError **error);
bool option_vga_memory(struct options *o, uint64_t mib, GError **error);
bool options_finish_display(struct options *o, GError **error);
