/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The machine: what the command line describes, and its life.
 *
 *   options_parse() → struct machine_config → machine_new() → machine_run() → machine_free()
 *
 * machine_new() first reads and checks every file that is named (kernel, initrd, ROM, fw_cfg), then opens
 * character and network back ends, then builds the board; a failure leaves nothing behind. machine_run()
 * returns the program's exit code. All of it is for one thread, the machine's; machine_signal() is the
 * exception.
 */
#pragma once

#include "emu/block/backend.h"
#include "emu/char/backend.h"
#include "emu/dev/rtc.h"
#include "emu/keyval.h"
#include "emu/machine/icount.h"
#include "emu/machine/smbios.h"
#include "emu/machine/tables.h"
#include "emu/sandbox.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct cpu_model;
struct machine;
struct net_kind;

struct machine_chardev {
    char *id;
    struct char_spec spec;
};

/* -netdev, or the back end's half of -nic and -net. Its words are checked, it is not opened yet. */
struct machine_netdev {
    char *id;
    const struct net_kind *kind;
    struct keyval *words;
    struct keyval_row *rows; /* what `words` was read by */
    struct keyval_table table;
    int vlan;  /* -net: number of the hub it is plugged into; -1: the NIC names it */
    bool used; /* by a NIC or a hub's port; checked while options are read */
};

struct machine_nic {
    char *id;     /* "net0" unless given */
    char *netdev; /* NULL: no cable, or `vlan` */
    uint8_t mac[6];
    bool has_mac;
    char *romfile; /* NULL: iPXE's when booting from the network; "": none */
    int bootindex; /* -1: none */
    char *impair_out,
        *impair_in; /* words of net/impair.h for what the guest sends and gets; NULL: good lines */
    int slot;       /* -1: the next free one */
    int vlan;       /* -net: number of the hub it is plugged into; -1: `netdev` counts */
};

/* -object filter-dump */
struct machine_capture {
    char *id, *netdev, *file, *socket; /* one of file and socket */
    bool pcapng;
    uint64_t length; /* bytes kept of each frame */
    uint64_t buffer; /* pcapng; 0: the usual */
    int queue;       /* enum net_dump_queue */
};

struct machine_fwcfg {
    char *name, *string, *file; /* one of string and file */
};

enum machine_bus { MACHINE_BUS_IDE, MACHINE_BUS_FLOPPY, MACHINE_BUS_PFLASH, MACHINE_BUS_NONE };
enum { MACHINE_FLASH_CHIPS = 2 };
enum machine_media { MACHINE_MEDIA_DISK, MACHINE_MEDIA_CD };
/* How the firmware's INT 13h makes its geometry out of the disk's; the values are those of CMOS byte 39h. */
enum machine_translation {
    MACHINE_TRANSLATION_NONE,
    MACHINE_TRANSLATION_LBA,
    MACHINE_TRANSLATION_LARGE,
    MACHINE_TRANSLATION_RECHS,
    MACHINE_TRANSLATION_AUTO
};
struct machine_geometry {
    uint32_t cylinders, heads, sectors; /* 0: not given */
};

/* -drive, -hda, -cdrom, -fda and the -device that takes a drive with if=none. */
struct machine_drive {
    char *id;      /* "ide0-hd0" unless given; of a -blockdev, its node-name */
    char *qdev;    /* id= of the -device it is plugged in with, or NULL */
    char *below;   /* node-name of the node under a -blockdev, or NULL */
    char *backing; /* of a -blockdev: node-name of the image below; "": none; NULL: as the image says */
    char *driver;  /* of a -blockdev */
    struct block_below *chain; /* what file=json: says is below; NULL: as the image says */
    char *file;                /* NULL: an empty drive */
    enum machine_bus bus;
    int index; /* IDE: 2 × channel + unit; floppy, flash: unit; -1: the first free one */
    enum machine_media media;
    struct block_config block;      /* but for id and file */
    char *serial, *model, *version; /* NULL: made up */
    uint64_t wwn;                   /* 0: none */
    uint32_t rotation, physical;    /* turns a minute; bytes of a physical sector; 0: not told */
    struct machine_geometry geometry, logical;
    enum machine_translation translation;
    bool no_trim, no_write_cache;
    bool node;                   /* of -blockdev */
    bool implicit;               /* a node that came with the one above it, and goes with it */
    struct machine_drive *inner; /* of a node that is added while the machine runs: that one; owned */
    bool auto_read_only;         /* of -blockdev: opened read-only when it cannot be written */
    bool carries;                /* a node that is under another one */
    struct block_limits limits;
    char *throttle_group; /* NULL: one of its own */
    int bootindex;        /* -1: none */
    bool claimed;         /* by a -device */
};

struct machine_debug_exit {
    uint32_t iobase, iosize;
    char *id;
};

struct machine_debugcon {
    uint16_t iobase;
    char *id;
    struct char_spec spec;
};

struct machine_parallel {
    uint16_t iobase;
    unsigned irq;
    char *id; /* NULL: "parallel0" and up */
    struct char_spec spec;
};

struct machine_passed_fd { /* -add-fd */
    int fd;
    int64_t set;
    char *opaque; /* may be NULL */
};

struct machine_watchdog {
    bool pci; /* i6300esb; else ib700 */
    int slot; /* PCI; -1: the next free one */
    char *id; /* NULL: as its kind */
};

enum machine_watchdog_action {
    MACHINE_WATCHDOG_RESET,
    MACHINE_WATCHDOG_SHUTDOWN, /* the power button */
    MACHINE_WATCHDOG_POWEROFF,
    MACHINE_WATCHDOG_PAUSE,
    MACHINE_WATCHDOG_DEBUG,
    MACHINE_WATCHDOG_NONE,
    MACHINE_WATCHDOG_NMI,
    MACHINE_WATCHDOG_COUNT
};
bool machine_watchdog_parse(const char *text, enum machine_watchdog_action *action, GError **error);

struct machine_vnc {
    char *where;  /* "unix:PATH", or what to listen on: "localhost" */
    char *secret; /* the password from the start; NULL: set_password says it */
    unsigned port, port_to;
    bool password, reverse;
    enum { MACHINE_SHARE_IGNORE, MACHINE_SHARE_EXCLUSIVE, MACHINE_SHARE_FORCED } share;
};

/* -display sdl */
struct machine_window {
    bool open, no_close, no_frame, full_screen, show_cursor;
    enum { MACHINE_GRAB_CTRL_ALT, MACHINE_GRAB_CTRL_ALT_SHIFT, MACHINE_GRAB_RIGHT_CTRL } grab;
};

struct machine_monitor {
    struct char_spec spec;
    bool qmp, pretty;
    bool gdb; /* neither, but GDB's protocol */
};

#define MACHINE_EXIT_DIFFERENCE 4 /* of netlab-emu: -accel jit,lockstep=on found one */

enum machine_engine { MACHINE_ENGINE_INTERP, MACHINE_ENGINE_JIT };

struct machine_key {
    const char *name, *type, *help; /* type: string, boolean, number, size; help NULL: no effect here */
};

/* Reads the words of options while the machine runs, by the tables the command line is read by. What comes
 * back is the caller's, to be freed with machine_…_free(). options_live.c. */
struct machine_words {
    struct machine_netdev *(*netdev)(const char *words, GError **error);
    struct machine_nic *(*nic)(const char *words, GError **error); /* of -device */
    struct machine_capture *(*capture)(const char *words, GError **error);
    struct machine_chardev *(*chardev)(const char *words, GError **error);
    /* A -blockdev, which may name one of `nodes` (struct machine_drive *) as that below it. */
    struct machine_drive *(*blockdev)(const char *words, const GPtrArray *nodes, GError **error);
    struct machine_monitor *(*gdb)(const char *words, GError **error);
    bool (*boot)(const char *letters, uint8_t order[3], GError **error); /* -boot order= */
    /* What there is to be said. NULL, false: no more. options_ask.c. */
    const char *(*device_name)(unsigned index);
    const char *(*option_name)(unsigned index);
    bool (*device_key)(const char *device, unsigned index, struct machine_key *out);
    bool (*option_key)(const char *option, unsigned index, struct machine_key *out);
};

struct machine_config {
    const struct machine_words *words; /* NULL: nothing can be added later */
    char *name;
    uint8_t uuid[16]; /* big-endian, as printed; see has_uuid */
    bool has_uuid;
    uint64_t ram_size; /* bytes, a multiple of 4 KiB */
    const struct cpu_model *cpu;
    enum machine_engine engine;
    uint32_t jit_heat; /* jit/jit.h; 0: as it is */
    bool lockstep;     /* with the translator: the interpreter beside it */
    struct {
        uint64_t from, plant;
        unsigned insns, sample, links;
    } lockstep_options; /* cpu.h */
    bool perfmap;
    bool win2k_hack; /* dev/ide.h */
    struct icount_config icount;
    bool single;      /* blocks of one instruction */
    size_t code_size; /* bytes for translations; 0: as usual */
    char *mem_path;   /* folder or file of guest RAM; NULL: memory of its own */
    bool mem_apart;   /* the file is only what RAM begins with */
    bool mem_prealloc, mem_lock;

    char *kernel, *append, *bios;
    bool direct;            /* the kernel is started without firmware */
    char *initrd;           /* Linux: one file; Multiboot: "file args,file args" */
    GPtrArray *search_path; /* -L, for -bios */
    GPtrArray *option_roms; /* char *: files */
    bool acpi, mptable;
    bool no_suspend, no_hibernate; /* S3, S4 */
    bool vmport;                   /* VMware's port with its mouse, where there is a screen */
    bool exact_ticks;              /* those of an idle guest too: dev/idle_tick.h */
    uint8_t boot_order[3];         /* as in rtc_config */
    uint8_t boot_once[3];          /* the same, until the first reset; all zero: not given */
    bool boot_strict;
    int boot_splash_time, boot_fail_wait; /* milliseconds; -1: the firmware's own; never */
    bool boot_menu;
    char *boot_splash;          /* picture for the boot menu */
    GPtrArray *acpi_tables;     /* struct machine_acpi_table * */
    struct smbios_words smbios; /* -smbios type= */
    GPtrArray *smbios_files;    /* char *: -smbios file= */

    bool vga;            /* a graphics card; with it come a mouse, and a screen for `displays` */
    bool vga_wanted;     /* somebody asked for it: without its video BIOS firmware is not started */
    char *vga_id;        /* NULL: "VGA" */
    uint32_t vga_memory; /* bytes, a power of two */
    unsigned vga_width, vga_height; /* the monitor's preferred mode; 0: no EDID */
    int vga_slot;                   /* -1: 2 */
    GPtrArray *vncs;                /* struct machine_vnc * */
    bool curses;                    /* the screen on the terminal */
    struct machine_window window;   /* one on the desktop */
    char *keyboard;                 /* -k; NULL: en-us */

    GPtrArray *serials;     /* struct char_spec *, COM1 first; at most 4 */
    GPtrArray *chardevs;    /* struct machine_chardev * */
    GPtrArray *monitors;    /* struct machine_monitor * */
    GPtrArray *netdevs;     /* struct machine_netdev * */
    GPtrArray *nics;        /* struct machine_nic * */
    GPtrArray *drives;      /* struct machine_drive * */
    GPtrArray *captures;    /* struct machine_capture * */
    GPtrArray *fwcfg;       /* struct machine_fwcfg * */
    GPtrArray *debug_exits; /* struct machine_debug_exit * */
    GPtrArray *debugcons;   /* struct machine_debugcon * */
    GPtrArray *parallels;   /* struct machine_parallel * */
    GPtrArray *watchdogs;   /* struct machine_watchdog * */
    enum machine_watchdog_action watchdog_action;
    bool testdev;
    GPtrArray *passed_fds; /* struct machine_passed_fd * */
    GPtrArray *notes;      /* char *: what the user should know, and is no error */

    struct rtc_config rtc;
    bool no_reboot, no_shutdown, start_stopped;
    bool no_guest;   /* -machine none: nothing boots, the processor never runs; back ends and hubs do */
    char *loadvm;    /* name or id of the snapshot that is loaded; NULL: none */
    char *incoming;  /* where the machine's state comes from, or "defer"; NULL: it is started */
    bool check_only; /* machine_new() and then the end */
    uint8_t escape_key;

    /* For main(). */
    char *pidfile, *trace_file, *run_as;
    char *config_file, *config_text; /* -writeconfig; "-": standard output */
    char *process_name;              /* -name process= */
    struct sandbox sandbox;          /* -sandbox */
    char *chroot;                    /* the root folder once all is set up; NULL: as it is */
    char *state_file;                /* -dump-vmstate */
    bool message_time, message_name; /* -msg */
    bool daemonize;
};

struct machine_config *machine_config_new(void); /* the defaults: 128 MiB, n270, no devices */
void machine_config_free(struct machine_config *config);
void machine_chardev_free(void *chardev);
void machine_monitor_free(void *monitor);
void machine_netdev_free(void *netdev);
void machine_nic_free(void *nic);
void machine_capture_free(void *capture);
void machine_drive_free(void *drive);

/* Builds everything; starts nothing. `config` must outlive the machine. */
struct machine *machine_new(const struct machine_config *config, GError **error);
void machine_free(struct machine *machine);
/* Runs until the guest, a user or a signal ends it. Exit code: 0 after power-off or quit, isa-debug-exit's
 * own code, 1 when the machine could not go on (the error says why). */
int machine_run(struct machine *machine, GError **error);
/* From a signal handler or another thread: end soon, as if by `quit`. */
void machine_signal(struct machine *machine);
/* From the handler of SIGBUS: a file whose pages are guest RAM (bootfile.c) was cut short, and `address` lay
 * behind its end. Puts zeros there; false when it is no address of guest RAM. */
bool machine_fill_hole(struct machine *machine, void *address);
/* The tables of saved state as JSON. */
void machine_describe_state(struct machine *machine, GString *out);
/* Keeps guest RAM in the host's memory; false with errno. */
bool machine_lock_memory(struct machine *machine);
/* Where pseudo-terminals ended up, a line each, for main() to print. */
char *machine_notices(struct machine *machine);

/* Every device, in the order they were built: for reset, saved state and the monitor. */
struct device;
void machine_foreach_device(struct machine *machine, void (*visit)(struct device *device, void *opaque),
                            void *opaque);
