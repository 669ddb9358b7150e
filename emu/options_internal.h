/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the files of the option parser share: the row, and the handlers by subject.
 * options.c has the table and walks argv; options_config.c reads and writes configuration files;
 * options_global.c keeps defaults of devices; the others have the handlers.
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
    char *flash_chip[MACHINE_FLASH_CHIPS]; /* -machine pflash0=, pflash1= */
    enum machine_translation hdachs_translation;
    char *accel;          /* the last -accel or -machine accel= */
    bool has_network;     /* a word about NICs or back ends was said: no default NIC */
    bool own_network;     /* and there is the default one, for nothing was said */
    GString *trace_list;  /* the same as words */
    guint at;             /* the use that is looked at */
    GPtrArray *uses;      /* struct option_use *, in their order */
    GPtrArray *globals;   /* struct option_global *: -global */
    char *write_config;   /* -writeconfig */
    bool fips;            /* -enable-fips */
    bool has_memory;      /* -m */
    GPtrArray *memories;  /* options_memory.c: -object memory-backend-…; NULL: none */
    char *memory_backend; /* -machine memory-backend= */
    GPtrArray *secrets;   /* options_secret.c: -object secret; NULL: none */
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
    /* Instead of apply: while argv is gathered. */
    bool (*gather)(struct options *o, const char *arg, GError **error);
    const char *later; /* QEMU's, not ours yet: what to do instead ("" when there is nothing) */
};

/* One option as it was given, on the command line or in a file. */
struct option_use {
    const struct option_row *row;
    char *name;  /* as it was written */
    char *arg;   /* NULL: it takes none */
    char *where; /* "FILE:LINE"; NULL: the command line */
    bool bare;   /* a word without an option: the image of a disk */
};
/* Adds a use; takes nothing over. */
void option_use_add(struct options *o, const struct option_row *row, const char *name, const char *arg,
                    const char *where);
const struct option_row *option_find(const char *name);

G_GNUC_PRINTF(2, 3) bool option_fail(GError **error, const char *format, ...);
G_GNUC_PRINTF(2, 3) void option_note(struct options *o, const char *format, ...);
/* Puts text aside to be printed instead of running; returns true. */
bool option_print(struct options *o, GString *text);

/* options_config.c: while argv is gathered. */
bool option_read_config(struct options *o, const char *path, GError **error);
bool option_set(struct options *o, const char *arg, GError **error);
/* What of the uses has a place in a configuration file, as one. */
bool options_write_config(const struct options *o, GString *out, GError **error);

/* options_global.c */
bool option_global_add(struct options *o, const char *arg, GError **error);
/* The text of a -device with the defaults of its driver put before its own words. NULL: one does not fit. */
char *option_global_merge(struct options *o, const struct keyval_table *table, const char *driver,
                          const char *words, GError **error);
/* The defaults alone, for devices that other options make. NULL: one does not fit. */
struct keyval *option_globals(struct options *o, const char *driver, GError **error);
/* Notes about those that nothing has used. */
void options_finish_globals(struct options *o);
void options_free_globals(struct options *o);

/* options_machine.c */
bool option_machine(struct options *o, const char *arg, GError **error);
bool option_cpu(struct options *o, const char *arg, GError **error);
bool option_accel(struct options *o, const char *arg, GError **error);
bool option_smp(struct options *o, const char *arg, GError **error);
bool option_memory(struct options *o, const char *arg, GError **error);
bool option_uuid(struct options *o, const char *arg, GError **error);
bool option_rtc(struct options *o, const char *arg, GError **error);
bool options_boot_letters(const char *letters, uint8_t order[3], GError **error);
bool option_boot(struct options *o, const char *arg, GError **error);
bool option_action(struct options *o, const char *arg, GError **error);
bool option_trace(struct options *o, const char *arg, GError **error);
bool option_debug_items(struct options *o, const char *arg, GError **error);
bool option_fw_cfg(struct options *o, const char *arg, GError **error);
bool options_finish_machine(struct options *o, GError **error);

/* options_process.c */
bool option_mem_path(struct options *o, const char *arg, GError **error);
bool option_mem_prealloc(struct options *o, const char *arg, GError **error);
bool option_realtime(struct options *o, const char *arg, GError **error);
bool option_overcommit(struct options *o, const char *arg, GError **error);
bool option_msg(struct options *o, const char *arg, GError **error);
bool option_name(struct options *o, const char *arg, GError **error);
bool option_tb_size(struct options *o, const char *arg, GError **error);
bool option_code_size(struct options *o, uint64_t mib, GError **error);
bool option_icount(struct options *o, const char *arg, GError **error);
bool option_win2k_hack(struct options *o, const char *arg, GError **error);
bool option_singlestep(struct options *o, const char *arg, GError **error);
bool option_fips(struct options *o, const char *arg, GError **error);
bool option_sandbox(struct options *o, const char *arg, GError **error);
bool option_add_fd(struct options *o, const char *arg, GError **error);
bool options_finish_process(struct options *o, GError **error);

/* The keys of options that have a table of their own. */
extern const struct keyval_table option_mon_table, option_vnc_table, option_drive_table, option_machine_table,
    option_accel_table, option_smp_table, option_memory_table, option_boot_table, option_action_table,
    option_fw_cfg_table, option_realtime_table, option_overcommit_table, option_msg_table, option_name_table,
    option_add_fd_table, option_sandbox_table, option_acpi_table;
/* options_secret.c; a secret's text is the caller's, `who` begins an error. */
extern const struct keyval_table option_secret_table;
bool option_secret(struct options *o, const char *arg, GError **error);
char *options_secret_text(const struct options *o, const char *id, const char *who, GError **error);
void options_free_secrets(struct options *o);
/* options_memory.c */
const struct keyval_table *option_memory_backend_table(const char *type); /* NULL: no such */
bool option_memory_backend(struct options *o, const char *type, const char *arg, GError **error);
bool options_finish_memory(struct options *o, GError **error);
void options_free_memory(struct options *o);
/* options.c: NULL: no more. */
const char *option_row_name(unsigned index);
/* options_ask.c */
const char *options_ask_device(unsigned index);
const char *options_ask_option(unsigned index);
bool options_ask_device_key(const char *device, unsigned index, struct machine_key *out);
bool options_ask_option_key(const char *option, unsigned index, struct machine_key *out);

/* options_tables.c */
bool option_acpitable(struct options *o, const char *arg, GError **error);
bool option_smbios(struct options *o, const char *arg, GError **error);

/* options_drives.c */
bool option_drive(struct options *o, const char *arg, GError **error);
bool option_blockdev(struct options *o, const char *arg, GError **error); /* options_blockdev.c */
/* As if that node's -blockdev stood before the next one. */
void options_add_node(struct options *o, const struct machine_drive *node);
/* The file of a drive by what stands behind "json:". */
bool options_json_file(struct options *o, struct machine_drive *drive, const char *json, GError **error);
/* A JSON object as the key=value words it stands for, "file": {"driver": … as file.driver=…. */
bool option_flatten_json(const char *text, GString *out, GError **error);
/* The same as words that begin with the member `first`; NULL with an error. */
char *option_json_words(const char *text, const char *first, GError **error);
bool option_hda(struct options *o, const char *arg, GError **error);
bool option_hdb(struct options *o, const char *arg, GError **error);
bool option_hdc(struct options *o, const char *arg, GError **error);
bool option_hdd(struct options *o, const char *arg, GError **error);
bool option_cdrom(struct options *o, const char *arg, GError **error);
bool option_fda(struct options *o, const char *arg, GError **error);
bool option_fdb(struct options *o, const char *arg, GError **error);
bool options_has_flash(struct options *o); /* the firmware is in -pflash */
bool option_pflash(struct options *o, const char *arg, GError **error);
bool option_hdachs(struct options *o, const char *arg, GError **error);
enum { OPTION_IDE_ROWS = 27, OPTION_FLOPPY_ROWS = 7 };
extern const struct keyval_row option_ide_rows[OPTION_IDE_ROWS];       /* -device ide-hd, ide-cd */
extern const struct keyval_row option_floppy_rows[OPTION_FLOPPY_ROWS]; /* -device floppy */
bool option_device_ide_disk(struct options *o, const struct keyval *kv, GError **error);
bool option_device_ide_cd(struct options *o, const struct keyval *kv, GError **error);
bool option_device_floppy(struct options *o, const struct keyval *kv, GError **error);
bool options_finish_drives(struct options *o, GError **error);

/* options_live.c */
extern const struct machine_words options_words;

/* options_cards.c */
enum { OPTION_PARALLEL_ROWS = 6, OPTION_WATCHDOG_ROWS = 4, OPTION_TESTDEV_ROWS = 2 };
extern const struct keyval_row option_parallel_rows[OPTION_PARALLEL_ROWS];
extern const struct keyval_row option_watchdog_rows[OPTION_WATCHDOG_ROWS];
extern const struct keyval_row option_testdev_rows[OPTION_TESTDEV_ROWS];
bool option_device_parallel(struct options *o, const struct keyval *kv, GError **error);
bool option_device_ib700(struct options *o, const struct keyval *kv, GError **error);
bool option_device_i6300esb(struct options *o, const struct keyval *kv, GError **error);
bool option_device_testdev(struct options *o, const struct keyval *kv, GError **error);
bool option_parallel(struct options *o, const char *arg, GError **error);
bool option_watchdog(struct options *o, const char *arg, GError **error);
bool option_watchdog_action(struct options *o, const char *arg, GError **error);

/* options_devices.c */
bool option_device(struct options *o, const char *arg, GError **error);
/* Whether -device ARG is a disk, CD or floppy, whose drive= names a -drive or -blockdev. */
bool option_device_takes_drive(const char *arg);
/* Whether a port of the machine is on standard input and output. */
bool options_use_stdio(const struct options *o);
bool options_finish_devices(struct options *o, GError **error);
/* The keys of a device of ours; NULL: none of ours. */
const struct keyval_table *option_device_table(const char *name);
const char *option_device_name(unsigned index); /* of those that can be added; NULL: no more */
/* The nearest name of a device, as keyval_suggestion(). */
char *option_device_suggestion(const char *name);
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
bool option_geometry(struct options *o, const char *arg, GError **error);
bool option_sdl(struct options *o, const char *arg, GError **error);
bool option_no_quit(struct options *o, const char *arg, GError **error);
bool option_no_frame(struct options *o, const char *arg, GError **error);
bool option_full_screen(struct options *o, const char *arg, GError **error);
bool option_show_cursor(struct options *o, const char *arg, GError **error);
bool option_alt_grab(struct options *o, const char *arg, GError **error);
bool option_ctrl_grab(struct options *o, const char *arg, GError **error);
bool option_display(struct options *o, const char *arg, GError **error);
bool option_vga(struct options *o, const char *arg, GError **error);
bool option_vnc(struct options *o, const char *arg, GError **error);
bool option_curses(struct options *o, const char *arg, GError **error);
bool option_keyboard(struct options *o, const char *arg, GError **error);
bool option_vga_memory(struct options *o, uint64_t mib, GError **error);
bool options_finish_display(struct options *o, GError **error);
