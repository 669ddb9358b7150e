/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The machine from the inside. pc.c builds the board, run.c runs it, operate.c shows it to the control room.
 */
#pragma once

#include "emu/control/control.h"
#include "emu/control/gdbstub.h"
#include "emu/cpu/cpu.h"
#include "emu/dev/a20.h"
#include "emu/dev/e1000.h"
#include "emu/dev/fwcfg.h"
#include "emu/dev/gsi.h"
#include "emu/dev/i440fx.h"
#include "emu/dev/i8042.h"
#include "emu/dev/ioapic.h"
#include "emu/dev/lapic.h"
#include "emu/dev/pci.h"
#include "emu/dev/pci_hotplug.h"
#include "emu/dev/pic.h"
#include "emu/dev/piix3.h"
#include "emu/dev/piix4_pm.h"
#include "emu/dev/pit.h"
#include "emu/dev/rtc.h"
#include "emu/dev/uart.h"
#include "emu/dev/vga.h"
#include "emu/dev/vmport.h"
#include "emu/display/backends.h"
#include "emu/machine/boot.h"
#include "emu/machine/clock.h"
#include "emu/machine/firmware.h"
#include "emu/machine/icount.h"
#include "emu/machine/loop.h"
#include "emu/machine/machine.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"
#include "emu/net/backend.h"
#include "emu/net/netdev.h"
#include "emu/trace.h"

/* Why the run loop is to look up. Set from inside device callbacks and by machine_signal(). */
enum {
    MACHINE_REQUEST_RESET = 1 << 0,     /* the guest's own: keyboard controller, 0x92, 0xcf9, triple fault */
    MACHINE_REQUEST_POWER_OFF = 1 << 1, /* the guest's own: S5 */
    MACHINE_REQUEST_EXIT = 1 << 2,      /* isa-debug-exit */
    MACHINE_REQUEST_QUIT = 1 << 3,      /* monitor, QMP, Ctrl-A x */
    MACHINE_REQUEST_SIGNAL = 1 << 4,    /* SIGTERM and the like */
    MACHINE_REQUEST_SYSTEM_RESET = 1 << 5, /* monitor, QMP */
    MACHINE_REQUEST_SUSPEND = 1 << 6,      /* the guest's own: S3 */
    MACHINE_REQUEST_HIBERNATE = 1 << 7,    /* the guest's own: S4, after which it is off */
    MACHINE_REQUEST_WAKE = 1 << 8,         /* out of S3: an event, a key, the monitor */
};

struct machine_port {
    char *id; /* of the -chardev, or "serial0" */
    struct char_port *port;
    struct char_mux *mux; /* NULL: not shared */
    unsigned faces;       /* given out */
    struct machine *machine;
};

struct machine_card {
    struct device *device;    /* e1000 */
    struct net_port *backend; /* one of machine->netdevs, or a hub's port */
    const struct machine_nic *config;
    struct machine_nic *own; /* the same when it was plugged while the machine runs */
    uint8_t mac[6];
};

/* A back end added while the machine runs. */
struct machine_late_netdev {
    struct machine_netdev *config;
    GPtrArray *ports; /* struct machine_port *, opened for it */
};

/* -object filter-dump */
struct machine_filter {
    char *id;
    struct net_port *port;
    struct net_dump *dump;
};

/* The option ROM of a NIC; one copy serves all that name it. */
struct machine_rom {
    char *path;
    uint8_t *data;
    uint32_t size;
};

struct machine_disk {
    struct block *block;
    const struct machine_drive *config;
    struct pflash *flash;             /* the chip it is the content of; NULL: another kind of drive */
    struct machine_node *node;        /* the one in it; NULL: the medium is none, or there is none */
    struct machine_geometry geometry; /* of a hard disk, as it says itself */
    bool usual_geometry;              /* that of every disk of its size */
    enum machine_translation translation;
};

struct machine {
    const struct machine_config *config;
    struct clock *clock;
    struct loop *loop;
    struct physmap *mem;
    struct portio *io;
    struct cpu *cpu;
    struct icount *icount; /* NULL: guest time is the host's */
    char *accel_refusal;   /* why the interpreter runs, not the translator that was asked for; or NULL */
    GPtrArray *devices;    /* struct device *, all chips in build order */

    struct pic *pic;
    struct lapic *lapic;
    struct ioapic *ioapic;
    struct gsi *gsi;
    struct pci_bus *bus;
    struct i440fx *host;
    struct piix3 *piix3;
    struct piix4_pm *pm;
    struct pci_hotplug *hotplug;
    struct fwcfg *fwcfg;
    struct i8042 *kbc;
    struct rtc *rtc;
    struct vmport *vmport; /* NULL: none */
    struct irq_line ferr;
    struct vga *vga; /* NULL: no graphics card */
    uint8_t *vga_rom;
    uint32_t vga_rom_size;
    const uint8_t *vga_font; /* in the ROM, or NULL */
    struct display *display;
    GPtrArray *vncs; /* struct vnc * */
    struct terminal *terminal;
    struct desktop *window;
    struct machine_keys *keys; /* keys.c; NULL: none pressed so far */
    unsigned mouse_buttons;    /* as `mouse_button` left them */

    struct machine_card *cards;
    GPtrArray *announcing; /* struct series of announce.c; NULL: none yet */
    unsigned card_count;
    struct machine_disk *drives;
    unsigned drive_count;
    GPtrArray *nodes;         /* struct machine_node * (nodes.c) */
    GPtrArray *acpi_extra;    /* GByteArray *: -acpitable */
    GByteArray *smbios_extra; /* -smbios file= */
    struct smbios_config smbios;
    GPtrArray *option_roms; /* struct machine_rom *: what PCI functions show */
    bool was_reset;         /* the board has been started before */
    GPtrArray *netdevs;     /* struct net_port *, owned */
    GPtrArray *captures;    /* struct machine_filter * */
    GPtrArray *late;        /* struct machine_late_netdev * */
    GPtrArray *leaving;     /* struct device *: off the bus, freed from the loop */
    struct net_hubs *hubs;
    struct net_env net_env;
    GPtrArray *ports; /* struct machine_port * */
    bool serial_there[4], parallel_there[3];
    enum machine_watchdog_action watchdog_action;
    struct clock_timer *clock_told; /* while it is set: RTC_CHANGE was sent within the last second */
    int64_t clock_ahead;            /* what RTC_CHANGE tells next */
    bool clock_untold;

    struct control *control;
    struct control_machine offer;
    struct control_debug debug_offer;
    struct gdbstub *gdb; /* NULL: no -gdb */
    bool gdb_ending;     /* from the loop */
    bool has_boot_set;   /* boot_set in the monitor */
    uint8_t boot_set[3];

    /* what is booted */
    struct boot_board board;
    enum boot_kind kind;
    struct boot_file *kernel, *initrd;
    struct boot_file *module_files[MULTIBOOT_MODULES_MOST];
    char *module_texts[MULTIBOOT_MODULES_MOST];
    unsigned module_count;
    const uint8_t *rom; /* what firmware starts from: rom_file, or a flash chip's */
    size_t rom_size;
    uint8_t *rom_file;

    /* run.c */
    int requests; /* atomic; MACHINE_REQUEST_* */
    int exit_code;
    bool ended;
    GError *fatal;                         /* with `ended`: why */
    int put_off;                           /* requests that wait until the machine has been saved */
    struct migration *sending, *receiving; /* migrate.c; NULL: none */
    enum control_status status;
    struct machine_rest {
        int64_t since;        /* guest time at which the present look began */
        int64_t next;         /* before that no memory is given back again */
        uint64_t stirs, made; /* statistics at `since` */
    } rest;
};

/* network.c: NICs, back ends, the cables between them */
bool network_build(struct machine *machine, GError **error);
void network_free(struct machine *machine);                             /* before the NICs */
struct net_port *network_find(struct machine *machine, const char *id); /* a back end; NULL: none */
bool network_add_card(struct machine *machine, const struct machine_nic *nic, GError **error);
void network_remove_card(struct machine *machine, unsigned index); /* its device is off the bus by then */
bool network_add_netdev(struct machine *machine, const struct machine_netdev *netdev, GError **error);
/* Frees it, and the captures on it; whatever it was cabled to loses its link. */
void network_remove_netdev(struct machine *machine, struct net_port *port);
/* While the machine is stopped its NICs neither take nor send anything. */
void network_hold(struct machine *machine, bool held);
void network_impair_card(struct machine *machine, const struct machine_card *card);
/* control.h, impair. */
bool network_impair(void *opaque, const char *name, const char *direction, const char *words, GString *out,
                    GError **error);
bool network_add_capture(struct machine *machine, const struct machine_capture *capture, GError **error);
/* Takes away live captures whose reader has gone. */
void network_sweep_captures(struct machine *machine);
bool network_remove_capture(struct machine *machine, const char *id);
/* hotplug.c */
void hotplug_build(struct machine *machine);
void hotplug_free(struct machine *machine);
uint32_t hotplug_slots(const struct machine *machine); /* those the guest's tables offer */
void hotplug_before_reset(struct machine *machine);    /* takes out what was asked for */
bool hotplug_netdev_add(void *machine, const char *words, GError **error);
bool hotplug_netdev_del(void *machine, const char *id, GError **error);
bool hotplug_device_add(void *machine, const char *words, GError **error);
bool hotplug_device_del(void *machine, const char *id, GError **error);
bool hotplug_object_add(void *machine, const char *words, GError **error);
bool hotplug_object_del(void *machine, const char *id, GError **error);
/* pc.c: a device is kept for reset, saved state and the end; returns it. */
void *machine_keep(struct machine *machine, void *device);
struct char_port *machine_plug(struct machine *machine, const char *id, const struct char_spec *spec,
                               GError **error);
/* screen.c: the display; a port that is one of its consoles (others: nothing to do); the card; viewers. */
bool machine_screen_new(struct machine *machine, GError **error);
bool machine_screen_port(struct machine *machine, struct machine_port *slot, const struct char_spec *spec,
                         GError **error);
bool machine_video_build(struct machine *machine, GError **error);
bool machine_displays_build(struct machine *machine, GError **error);
/* The mouse was moved: the guest's mouse that is in use. */
void machine_mouse(struct machine *machine, int dx, int dy, int dz, unsigned buttons);
/* pc.c: the end of a port nobody uses any more. */
void machine_unplug(struct machine *machine, struct machine_port *slot);
/* pc.c: power-on state of everything, and the kernel placed; fails when a file changed underneath. */
bool machine_reset(struct machine *machine, GError **error);
/* pc.c: out of S3; memory is as it was. */
bool machine_wake(struct machine *machine, GError **error);
/* run.c */
void machine_request(struct machine *machine, int what);
void machine_stop(struct machine *machine, enum control_status why);
bool machine_cont(struct machine *machine, GError **error);
/* extras.c */
bool machine_extras_read(struct machine *m, GError **error);
void machine_extras_free(struct machine *m);
bool machine_splash(struct machine *m, GError **error);
/* optionrom.c */
bool machine_option_roms(struct machine *machine, GError **error);
/* -kernel behind firmware: whether it can be; and the parts of it in fw_cfg. */
bool machine_rom_kernel_check(struct machine *machine, GError **error);
bool machine_rom_kernel_offer(struct machine *machine, GError **error);
bool machine_nic_rom(struct machine *machine, struct pci_device *pci, const struct machine_nic *nic,
                     GError **error);
/* bootorder.c: when drives and NICs are in their places */
bool machine_boot_order_tell(struct machine *machine, GError **error);
/* cards.c */
bool machine_cards_build(struct machine *machine, GError **error);
void machine_cards_free(struct machine *machine);
bool machine_set_watchdog_action(void *machine, const char *action, GError **error);
/* nodes.c */
bool machine_nodes_open(struct machine *machine, GError **error); /* those of the command line */
/* The node a drive of the command line begins with. */
bool machine_node_plug(struct machine *machine, struct machine_disk *disk, GError **error);
void machine_nodes_free(struct machine *machine); /* after the drives */
const char *machine_node_name(const struct machine_node *node);
const char *machine_node_driver(const struct machine_node *node);
bool machine_node_status(void *machine, unsigned index, struct control_drive *out);
bool machine_blockdev_add(void *machine, const char *words, GError **error);
bool machine_blockdev_del(void *machine, const char *name, GError **error);
/* announce.c */
bool machine_announce(void *machine, const struct control_announce *how, GError **error);
void machine_announce_free(struct machine *m);
bool machine_blockdev_reopen(void *machine, const char *const *names, const char *const *words,
                             GError **error);
bool machine_drive_insert(void *machine, const char *id, const char *name, GError **error);
/* After a medium was put into a drive: when it is a disc that was cut short, the person is told. */
void machine_drive_check(struct machine *m, const struct machine_disk *disk);
/* disks.c */
bool machine_disks_open(struct machine *machine, GError **error); /* images */
struct dma8237;
bool machine_disks_build(struct machine *machine, GError **error); /* IDE */
void machine_disks_build_floppy(struct machine *machine, struct dma8237 *dma);
bool machine_disks_build_flash(struct machine *machine, uint64_t end, GError **error);
void machine_disks_free(struct machine *machine);       /* after the chips */
void machine_disks_boot_order(struct machine *machine); /* order=, for the next start of the firmware */
void machine_disks_tell_cmos(struct machine *machine);
bool machine_disks_tell_fwcfg(struct machine *machine, GError **error);
void machine_disks_retry(struct machine *machine);
struct machine_disk *machine_find_drive(struct machine *m, const char *id, GError **error);
bool machine_drive_status(void *machine, unsigned index, struct control_drive *out);
bool machine_drive_eject(void *machine, const char *id, bool force, GError **error);
bool machine_drive_change(void *machine, const char *id, const char *file, const char *format,
                          enum control_access access, bool force, GError **error);
bool machine_drive_tray(void *machine, const char *id, enum control_tray what, bool force, GError **error);
bool machine_drive_resize(void *machine, const char *id, uint64_t size, GError **error);
bool machine_drive_commit(void *machine, const char *id, GError **error);
bool machine_drive_limit(void *machine, const char *id, const struct block_limits *limits, const char *group,
                         GError **error);
/* migrate.c: drives use their images, or let go of them; all or none. */
bool machine_disks_activate(struct machine *machine, bool active, GError **error);
void machine_incoming_autostart(struct machine *machine, bool on);
/* keys.c */
bool machine_press_keys(void *machine, const unsigned *codes, unsigned count, unsigned hold_ms,
                        GError **error);
void machine_keys_free(struct machine *machine); /* before the display */
/* dump.c */
bool machine_dump(void *machine, int fd, GError **error);
/* operate_late.c: control.h */
bool operate_chardev_change(void *machine, const char *id, const char *words, GError **error);
bool operate_chardev_break(void *machine, const char *id, GError **error);
bool operate_gdbserver(void *machine, const char *words, GError **error);
bool operate_boot_set(void *machine, const char *order, GError **error);
const void *operate_host_address(void *machine, uint64_t addr);
bool operate_vnc_expire(void *machine, int64_t when, GError **error);
/* operate.c, debug.c */
void machine_offer(struct machine *machine);
void machine_offer_debug(struct machine *machine);
