/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The control room: a QMP-compatible server and a text monitor, for any number of clients at once.
 *
 * It knows the machine only by struct control_machine, which machine/operate.c fills in. Nothing here blocks:
 * commands that take effect later (reset, quit) are requests, and events tell when they have happened.
 * Machine thread only. Peers are hostile: the size and depth of what they send is bounded, and one that does
 * not read its answers is disconnected.
 *
 *   control.c   clients, listening sockets, events        qmp.c           JSON in and out, framing
 *   commands.c  the table of QMP commands                 monitor.c       the text monitor's table
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_counters;
struct block_limits;
struct block_snapshot;
struct block_throttle;
struct char_port;
struct control;
struct loop;

enum {
    CONTROL_KEYS_MOST = 16,    /* keys pressed together */
    CONTROL_KEY_HOLD_MS = 100, /* how long they are held when nothing is said */
    CONTROL_KEY_HOLD_MOST_MS = 60000,
};

/* What can be described as text (monitor `info`, QMP human-monitor-command). */
enum control_info {
    CONTROL_INFO_REGISTERS,
    CONTROL_INFO_MTREE,
    CONTROL_INFO_PCI,
    CONTROL_INFO_NETWORK,
    CONTROL_INFO_BLOCK,
    CONTROL_INFO_USERNET,
    CONTROL_INFO_QTREE,
    CONTROL_INFO_CHARDEV,
    CONTROL_INFO_PIC,
    CONTROL_INFO_LAPIC,
    CONTROL_INFO_FWCFG,
    CONTROL_INFO_STATISTICS,
    CONTROL_INFO_VNC,
    CONTROL_INFO_MICE,
    CONTROL_INFO_ROMS,
    CONTROL_INFO_STATE, /* every device's saved state */
    CONTROL_INFO_COUNT
};

enum control_status {
    CONTROL_PRELAUNCH, /* -S: not started yet */
    CONTROL_RUNNING,
    CONTROL_PAUSED,
    CONTROL_SHUTDOWN,       /* powered off, kept by -no-shutdown */
    CONTROL_INTERNAL_ERROR, /* could not be reset */
    CONTROL_IO_ERROR,       /* a drive with werror=stop could not write */
    CONTROL_WATCHDOG,       /* a watchdog ran out, and -action watchdog=pause */
    CONTROL_SUSPENDED,      /* running, and the guest is in S3 */
    CONTROL_INMIGRATE,      /* -incoming: waits for the machine it is to be */
    CONTROL_FINISH_MIGRATE, /* is being saved */
    CONTROL_POSTMIGRATE,    /* was saved, and may go on somewhere else */
    CONTROL_SAVE_VM,        /* a snapshot is being taken */
    CONTROL_RESTORE_VM,     /* one is being loaded */
    CONTROL_STATUS_COUNT
};

enum control_migration_status {
    CONTROL_MIGRATION_NONE,
    CONTROL_MIGRATION_SETUP,
    CONTROL_MIGRATION_ACTIVE,
    CONTROL_MIGRATION_COMPLETED,
    CONTROL_MIGRATION_FAILED,
    CONTROL_MIGRATION_CANCELLED,
    CONTROL_MIGRATION_COUNT
};

/* A machine on its way to or from a file or another process. Memory is of one that is sent. */
struct control_migration {
    enum control_migration_status status;
    bool incoming;
    const char *why; /* it failed; NULL: it has not */
    uint64_t bytes;  /* of the stream */
    uint64_t memory_done, memory_zeros, memory;
    int64_t total_ms, down_ms;
};

struct control_char {
    const char *id, *spec;
    bool open;
    uint64_t dropped;
};

enum { CONTROL_DROPS_MOST = 32 };

/* Frames lost for one reason. */
struct control_drop {
    const char *end; /* whose: "nic" (of what the guest sent), "netdev" (of what it was sent) */
    const char *reason;
    uint64_t frames;
};

struct control_nic {
    const char *id, *model, *backend, *ifname; /* backend NULL: no cable; ifname NULL: not a TAP */
    uint8_t mac[6];
    bool link;
    uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes; /* as the guest sees them */
    uint64_t full;
    uint64_t dropped_tx, dropped_rx;
    unsigned drop_count;
    struct control_drop drops[CONTROL_DROPS_MOST]; /* reasons there were */
};

struct control_rx_filter {
    bool receiving, promiscuous, all_multicast, broadcast, by_vlan, by_hash;
    unsigned count;
    const uint8_t (*address)[6]; /* the station's own first; valid until the next call */
    const uint32_t *vlan_table;  /* 128 words, a bit for each VLAN id */
};

struct control_capture {
    const char *id, *netdev, *file;
    bool pcapng, live, ended; /* live: to a reader */
    uint64_t frames, bytes, dropped;
};

struct control_vnc {
    bool password;
    const char *family, *host, *service; /* "ipv4", "127.0.0.1", "5900"; "unix", its path, "" */
    unsigned viewers;
};

struct control_vnc_client {
    const char *family, *host, *service;
};

struct control_drive {
    const char *id, *file, *format, *backing, *cache; /* file NULL: no medium */
    const char *qdev;                                 /* id= of its -device; NULL: none */
    const char *node_name; /* of the node that is in it; NULL: none that has a name */
    bool node;             /* it has no name but `qdev`, as those of -blockdev */
    uint64_t size;
    bool read_only, removable, has_tray, locked, tray_open;
    uint64_t reads, read_bytes, writes, write_bytes, flushes, errors;
    const char *zeroes;                    /* detect-zeroes=; NULL: off */
    const struct block_counters *counters; /* NULL in tests */
    const struct block_throttle *throttle; /* NULL: no limits */
};

enum control_tray { CONTROL_TRAY_OPEN, CONTROL_TRAY_CLOSE, CONTROL_TRAY_REMOVE };
enum control_access { CONTROL_ACCESS_RETAIN, CONTROL_ACCESS_READ, CONTROL_ACCESS_WRITE };

struct control_pci {
    unsigned slot, function;
    const char *id;
    uint16_t vendor, device, class_code, subsystem_vendor, subsystem;
    uint8_t irq, pin; /* pin 0: none */
    struct {
        uint32_t base, size; /* base 0: not placed; size 0: no such BAR */
        bool is_io;
    } bar[7]; /* the last is the ROM */
};

struct control_key {
    const char *name, *type, *help; /* type: string, boolean, number, size; help NULL: no effect here */
};

/* What the machine offers. All are called on its thread. */
/* A series of announcements of NICs: times in ms. */
struct control_announce {
    const char *id;          /* of the series, "" too */
    const char *const *nics; /* ids; NULL: all */
    unsigned rounds;
    int64_t initial, max, step;
};

struct control_machine {
    void *opaque;
    const char *name;               /* NULL: none */
    const uint8_t *uuid;            /* 16 bytes, as printed; NULL: none */
    const char *display;            /* where the screen is shown: "none", "curses", "sdl"; VNC aside */
    bool full_screen, window_stays; /* of sdl: as it was started; it has no button that closes it */
    uint64_t ram_size;
    uint32_t vga_memory;
    bool has_vga;
    enum control_status (*status)(void *opaque);
    void (*stop)(void *opaque);
    bool (*cont)(void *opaque, GError **error);
    void (*quit)(void *opaque);
    void (*reset)(void *opaque);
    void (*power_button)(void *opaque);
    bool (*wake)(void *opaque); /* false: the guest is not in S3 */
    bool can_suspend;           /* S3 is offered */
    void (*nmi)(void *opaque);
    /* machine/migrate.h; NULL in tests */
    bool (*migrate)(void *opaque, const char *uri, int fd, GError **error);
    bool (*migrate_cancel)(void *opaque);
    bool (*migrate_incoming)(void *opaque, const char *uri, int fd, GError **error);
    bool (*migration)(void *opaque, struct control_migration *out);
    /* machine/snapshots.h; NULL in tests */
    bool (*snapshot_save)(void *opaque, const char *tag, const char *state, const char *const *devices,
                          bool replace, GError **error);
    bool (*snapshot_load)(void *opaque, const char *tag, const char *state, const char *const *devices,
                          GError **error);
    bool (*snapshot_delete)(void *opaque, const char *tag, const char *const *devices, GError **error);
    bool (*snapshot)(void *opaque, const char *drive, unsigned index, const struct block_snapshot **out,
                     bool *whole);
    bool (*snapshot_disk)(void *opaque, const char *device, const char *name, GError **error);
    bool (*snapshot_disk_delete)(void *opaque, const char *device, const char *id, const char *name,
                                 void (*gone)(void *opaque, const struct block_snapshot *snapshot),
                                 void *gone_opaque, GError **error);
    bool (*watchdog_action)(void *opaque, const char *action, GError **error);
    bool (*chardev)(void *opaque, unsigned index, struct control_char *out); /* false: no more */
    struct char_port *(*port)(void *opaque, const char *id); /* by a chardev's id; NULL: no such */
    /* The words of -chardev; ports of the command line, and those in use, stay. */
    bool (*chardev_add)(void *opaque, const char *words, GError **error);
    bool (*chardev_remove)(void *opaque, const char *id, GError **error);
    bool (*chardev_change)(void *opaque, const char *id, const char *words, GError **error);
    bool (*chardev_break)(void *opaque, const char *id, GError **error);
    /* The words of -gdb; "none" ends it. */
    bool (*gdbserver)(void *opaque, const char *words, GError **error);
    bool (*boot_set)(void *opaque, const char *order, GError **error); /* letters, as -boot order= */
    /* Where RAM or ROM at that physical address is in this process; NULL: none is there. */
    const void *(*host_address)(void *opaque, uint64_t addr);
    /* When the VNC password ends, in seconds since 1970; 0: never. */
    bool (*vnc_expire)(void *opaque, int64_t when, GError **error);
    bool (*pci)(void *opaque, unsigned index, struct control_pci *out);
    bool (*device)(void *opaque, unsigned index, const char **id, const char **class);
    /* What the command line knows: options, devices that can be added, CPUs. NULL, false: no more. */
    const char *(*option_name)(void *opaque, unsigned index);
    bool (*option_key)(void *opaque, const char *option, unsigned index, struct control_key *out);
    const char *(*device_type)(void *opaque, unsigned index);
    bool (*device_key)(void *opaque, const char *type, unsigned index, struct control_key *out);
    const char *(*cpu_model)(void *opaque, unsigned index);
    const char *cpu; /* the model in the machine */
    /* A new file to write to, its descriptor the caller's; -1 with an error. */
    int (*create)(void *opaque, const char *path, GError **error);
    /* An ELF core of guest RAM and registers. */
    bool (*dump)(void *opaque, int fd, GError **error);
    bool (*nic)(void *opaque, unsigned index, struct control_nic *out);
    bool (*rx_filter)(void *opaque, unsigned index, struct control_rx_filter *out); /* of the same NIC */
    bool (*capture)(void *opaque, unsigned index, struct control_capture *out);
    /* `name`: id of a NIC or of its back end. */
    bool (*set_link)(void *opaque, const char *name, bool up, GError **error);
    /* Makes the line of a NIC bad (net/impair.h), or good with "off": what the guest sends (`out`), what it
     * gets
     * (`in`), or both (NULL). `words` NULL: as it is. `answer` is told how it is then. */
    bool (*impair)(void *opaque, const char *name, const char *direction, const char *words, GString *answer,
                   GError **error);
    /* Drives and their media; format NULL: by the first bytes. */
    bool (*drive)(void *opaque, unsigned index, struct control_drive *out);
    /* Nodes: `id` is the name. blockdev_add: the words of -blockdev. insert: the node into a drive. */
    bool (*node)(void *opaque, unsigned index, struct control_drive *out);
    bool (*blockdev_add)(void *opaque, const char *words, GError **error);
    bool (*blockdev_del)(void *opaque, const char *name, GError **error);
    bool (*announce)(void *opaque, const struct control_announce *how, GError **error);
    /* Nodes that are there, each by the words it is to have from now on: all of them or none. Both lists end
     * with NULL. */
    bool (*blockdev_reopen)(void *opaque, const char *const *names, const char *const *words, GError **error);
    bool (*insert)(void *opaque, const char *id, const char *node, GError **error);
    bool (*eject)(void *opaque, const char *id, bool force, GError **error);
    bool (*change)(void *opaque, const char *id, const char *file, const char *format,
                   enum control_access access, bool force, GError **error);
    bool (*tray)(void *opaque, const char *id, enum control_tray what, bool force, GError **error);
    bool (*resize)(void *opaque, const char *id, uint64_t size, GError **error);
    bool (*commit)(void *opaque, const char *id, GError **error); /* id NULL: all */
    /* group NULL: one of its own. */
    bool (*limit)(void *opaque, const char *id, const struct block_limits *limits, const char *group,
                  GError **error);
    /* Adds or removes a port forwarding of the user network `name` (NULL: the only one). */
    bool (*forward)(void *opaque, const char *name, const char *rule, bool add, GError **error);
    /* Adds and removes while the machine runs; `words` as after -netdev, -device and -object. device_del asks
     * the guest: DEVICE_DELETED tells when it has let go. */
    bool (*netdev_add)(void *opaque, const char *words, GError **error);
    bool (*netdev_del)(void *opaque, const char *id, GError **error);
    bool (*device_add)(void *opaque, const char *words, GError **error);
    bool (*device_del)(void *opaque, const char *id, GError **error);
    bool (*object_add)(void *opaque, const char *words, GError **error);
    bool (*object_del)(void *opaque, const char *id, GError **error);
    void (*describe)(void *opaque, enum control_info what, GString *out);
    /* Every counter of the engine, those of a group one after the other. */
    void (*counters)(void *opaque,
                     void (*visit)(void *visitor, const char *group, const char *name, uint64_t value),
                     void *visitor);
    /* Bytes read: fewer where nothing is mapped. */
    size_t (*read_memory)(void *opaque, bool physical, uint64_t addr, void *buf, size_t len);
    uint32_t (*read_port)(void *opaque, uint16_t port, unsigned size);
    void (*write_port)(void *opaque, uint16_t port, uint32_t value, unsigned size);
    void (*key)(void *opaque, unsigned code, bool down);
    /* Presses keys in this order, holds them (guest time), lets them go in the reverse one; those of later
     * calls wait for their turn. */
    bool (*keys)(void *opaque, const unsigned *codes, unsigned count, unsigned hold_ms, GError **error);
    /* Motion, wheel, and the buttons now held (bit 0 left, 1 right, 2 middle); -1: as they are. */
    void (*mouse)(void *opaque, int dx, int dy, int dz, int buttons);
    /* A picture of the screen; format "png", "ppm" or NULL: by the end of the name. */
    bool (*screendump)(void *opaque, const char *path, const char *format, GError **error);
    bool (*vnc)(void *opaque, unsigned index, struct control_vnc *out); /* false: no more */
    bool (*vnc_client)(void *opaque, unsigned server, unsigned index, struct control_vnc_client *out);
    bool (*vnc_password)(void *opaque, const char *password, GError **error);
    /* "eip", "eax"…; false: no such register. */
    bool (*register_value)(void *opaque, const char *name, uint32_t *value);
    /* One instruction as text; its length in bytes, 0 where there is no memory. */
    unsigned (*disassemble)(void *opaque, bool physical, uint64_t addr, char *text, size_t size);
};

/* `machine` must outlive the control room. */
struct gdbstub;
struct control *control_new(const struct control_machine *machine, struct loop *loop);
void control_free(struct control *control);

/* A QMP server on a UNIX socket (mode 0600), for several clients. wait: see control_is_waiting(). */
bool control_listen(struct control *control, const char *path, bool wait, bool pretty, GError **error);
/* QMP, or the monitor, on a port; the port stays the caller's and must outlive the control room. */
void control_add_qmp(struct control *control, struct char_port *port, bool pretty);
void control_add_monitor(struct control *control, struct char_port *port);
/* Shows the prompt again: the monitor has come to the front of a shared terminal. */
void control_prompt(struct control *control, struct char_port *port);
/* A server with wait=on that nobody has connected to so far. */
bool control_is_waiting(const struct control *control);

/* GDB is told as well; NULL: nobody is there any more. */
void control_set_debugger(struct control *control, struct gdbstub *stub);
/* To who typed the monitor's command that is being carried out, one line ("warning: TEXT"); false: it is not
 * a command of the monitor's, and nobody was told. control: or NULL. */
bool control_warn(struct control *control, const char *text);
/* Tells all QMP clients. data: a JSON object's members as text ("\"guest\": true"), or NULL. */
void control_event(struct control *control, const char *name, const char *data);
/* MIGRATION, to those who asked for it (migrate-set-capabilities). */
void control_migration_event(struct control *control, const char *data);
const char *control_migration_name(enum control_migration_status status);
