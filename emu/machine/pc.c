/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The board: an i440FX PC, wired here chip by chip. Read board_build() as a schematic.
 *
 *   RAM      0–640 K, shadow RAM of 0xc0000–0xfffff (i440fx.c), 1 MiB–3 GiB, the rest from 4 GiB up
 *   ROM      (-bios) or flash (-pflash) ends at 4 GiB, its last 128 KiB also at 0xe0000 below the shadow RAM
 *   INTR     8259 pair → local APIC's LINT0 → CPU; I/O APIC → local APIC by messages
 *   GSI      gsi.c joins ISA and PCI interrupts to both controllers
 *   reset    8042, port 0x92, 0xcf9, triple fault → one request that the run loop takes
 *
 * Order of building: files are read and checked, then RAM and chips, then what is outside of the process
 * (character ports, TAPs, sockets); machine_free() undoes whatever part of it exists.
 */
#include "emu/machine/machine_internal.h"
#include "emu/machine/migrate.h"
#include "emu/machine/snapshots.h"
#include "emu/fdset.h"

#include "emu/dev/debug_exit.h"
#include "emu/dev/debugcon.h"
#include "emu/dev/dma8237.h"
#include "emu/dev/port92.h"
#include "emu/machine/romtables.h"

#include <gio/gio.h>
#include <string.h>

#define RAM_SPLIT (UINT64_C(3) << 30) /* RAM beyond goes above 4 GiB; PCI windows take its place */
#define GIB4      (UINT64_C(1) << 32)

enum { VGA_ROM_MOST = 256 << 10 };
enum { ROM_MOST = 16 << 20, ROM_ISA_WINDOW = 128 << 10, PIIX_SLOT = 1 };

/* ---- files ---- */

static bool read_rom(struct machine *m, GError **error)
{
    const char *name = m->config->bios;
    g_autofree char *found = NULL;
    static const char *const usual[] = {"/usr/share/seabios", "/usr/share/qemu"};
    if (!g_file_test(name, G_FILE_TEST_EXISTS) && !strchr(name, '/')) {
        for (guint i = 0; i < m->config->search_path->len && !found; i++) {
            g_autofree char *path = g_build_filename(m->config->search_path->pdata[i], name, NULL);
            if (g_file_test(path, G_FILE_TEST_EXISTS))
                found = g_steal_pointer(&path);
        }
        for (guint i = 0; i < G_N_ELEMENTS(usual) && !found; i++) {
            g_autofree char *path = g_build_filename(usual[i], name, NULL);
            if (g_file_test(path, G_FILE_TEST_EXISTS))
                found = g_steal_pointer(&path);
        }
        if (!found && g_str_has_prefix(name, "bios-")) {
            g_set_error(
                error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                "the firmware %s is not there; install Debian's package seabios, or name a ROM with -bios "
                "or its folder with -L",
                name);
            return false;
        }
    }
    struct boot_file *file = boot_file_open("ROM", found ? found : name, error);
    if (!file)
        return false;
    uint64_t size = boot_file_size(file);
    bool good = size && size <= ROM_MOST;
    if (!good) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "ROM %s: %" G_GUINT64_FORMAT " bytes; a ROM has 1 to %d", boot_file_path(file), size,
                    ROM_MOST);
    } else {
        /* It ends at 4 GiB, so a size that is no multiple of a page is filled up at its front. */
        m->rom_size = (size + PHYS_PAGE_MASK) & ~(size_t)PHYS_PAGE_MASK;
        m->rom = m->rom_file = g_malloc(m->rom_size);
        memset(m->rom_file, 0xff, m->rom_size);
        good = boot_file_read(file, 0, m->rom_file + m->rom_size - size, size, error);
    }
    boot_file_free(file);
    return good;
}

/* The video BIOS: found, copied, filled up to a power of two. A machine without firmware takes the font from
 * it and can do without; with firmware nothing would ever be on the screen, which is an error
 * where one was asked for. */
static bool read_vga_rom(struct machine *m, GError **error)
{
    static const char name[] = "vgabios-stdvga.bin", *const folders[] = {"/usr/share/seabios",
                                                                         "/usr/share/qemu"};
    g_autofree char *data = NULL;
    gsize size = 0;
    GPtrArray *own = m->config->search_path;
    for (guint i = 0; i < own->len + G_N_ELEMENTS(folders) && !data; i++) {
        g_autofree char *path =
            g_build_filename(i < own->len ? own->pdata[i] : folders[i - own->len], name, NULL);
        (void)g_file_get_contents(path, &data, &size, NULL); /* the next folder may have it */
    }
    if (!size || size > VGA_ROM_MOST) {
        if (m->config->direct || !m->config->vga_wanted)
            return true;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "-vga std: no usable %s in %s, %s or a folder given with -L; install Debian's package "
                    "seabios, or "
                    "do without with -vga none",
                    name, folders[0], folders[1]);
        return false;
    }
    m->vga_rom_size = 2048;
    while (m->vga_rom_size < size)
        m->vga_rom_size *= 2;
    m->vga_rom = g_malloc0(m->vga_rom_size);
    memcpy(m->vga_rom, data, size);
    m->vga_font = vga_find_font(m->vga_rom, m->vga_rom_size);
    return true;
}

/* "file args,file args", a comma in a name written twice. */
static bool open_modules(struct machine *m, GError **error)
{
    const char *text = m->config->initrd;
    g_autoptr(GString) word = g_string_new(NULL);
    for (;; text++) {
        if (*text == ',' && text[1] == ',') {
            g_string_append_c(word, ',');
            text++;
            continue;
        }
        if (*text && *text != ',') {
            g_string_append_c(word, *text);
            continue;
        }
        if (m->module_count == MULTIBOOT_MODULES_MOST) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "-initrd: more than %d modules",
                        MULTIBOOT_MODULES_MOST);
            return false;
        }
        g_autofree char *path = g_strndup(word->str, strcspn(word->str, " "));
        struct boot_file *file = boot_file_open("module", path, error);
        if (!file)
            return false;
        m->module_files[m->module_count] = file;
        m->module_texts[m->module_count++] = g_strdup(word->str);
        g_string_truncate(word, 0);
        if (!*text)
            return true;
    }
}

static void board_modules(struct machine *m, struct multiboot_module *modules)
{
    for (unsigned i = 0; i < m->module_count; i++)
        modules[i] = (struct multiboot_module){.file = m->module_files[i], .arguments = m->module_texts[i]};
}

/* Opens what is to be booted and finds out whether it can be, before anything else exists. */
static bool board_files(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    m->board.ram_below_4g = MIN(config->ram_size, RAM_SPLIT);
    m->board.ram_above_4g = config->ram_size - m->board.ram_below_4g;
    m->board.rsdp = config->acpi ? FIRMWARE_ACPI_BASE : 0;
    m->board.screen = config->vga;
    m->board.steady = config->icount.on;
    if (config->no_guest)
        return true;
    bool shown =
        config->vncs->len || config->window.open; /* text consoles, with the letters of the video BIOS */
    if ((config->vga || shown) && !read_vga_rom(m, error))
        return false;
    if (config->bios && !read_rom(m, error)) /* flash: machine_disks_build_flash() */
        return false;
    if (!config->kernel)
        return true;
    m->kernel = boot_file_open("kernel", config->kernel, error);
    if (!m->kernel || !boot_identify(m->kernel, &m->kind, error))
        return false;
    if (!config->direct)
        return machine_rom_kernel_check(m, error);
    if (m->kind == BOOT_LINUX) {
        struct linux_plan plan;
        if (config->initrd && !(m->initrd = boot_file_open("initrd", config->initrd, error)))
            return false;
        return linux_plan(m->kernel, m->initrd, config->append, &m->board, &plan, error);
    }
    g_autofree struct multiboot_plan *plan = g_new(struct multiboot_plan, 1);
    struct multiboot_module modules[MULTIBOOT_MODULES_MOST];
    if (config->initrd && !open_modules(m, error))
        return false;
    board_modules(m, modules);
    return multiboot_plan(m->kernel, modules, m->module_count, config->append, &m->board, plan, error);
}

/* ---- wires that end at the CPU or the run loop ---- */

static void wire_intr(void *opaque, unsigned n, bool level)
{
    cpu_set_intr(((struct machine *)opaque)->cpu, level);
}

static void wire_nmi(void *opaque, unsigned n, bool level)
{
    if (level)
        cpu_raise_nmi(((struct machine *)opaque)->cpu);
}

static void wire_init(void *opaque, unsigned n, bool level)
{
    if (level)
        cpu_set_init(((struct machine *)opaque)->cpu);
}

static void wire_a20(void *opaque, unsigned n, bool level)
{
    cpu_set_a20(((struct machine *)opaque)->cpu, level);
}

static void wire_reset(void *opaque, unsigned n, bool level)
{
    if (level)
        machine_request(opaque, MACHINE_REQUEST_RESET);
}

static int cpu_acknowledge(void *opaque)
{
    return lapic_acknowledge(((struct machine *)opaque)->lapic);
}

static void cpu_apic_base(void *opaque, uint64_t msr)
{
    struct machine *m = opaque;
    if (m->lapic)
        lapic_set_base(m->lapic, msr);
}

static void cpu_ferr(void *opaque, bool level)
{
    irq_set(&((struct machine *)opaque)->ferr, level);
}

static uint8_t lapic_asks_pic(void *opaque)
{
    return pic_acknowledge(((struct machine *)opaque)->pic);
}

static bool cpu_sleeps(void *opaque)
{
    return cpu_is_halted(((struct machine *)opaque)->cpu);
}

/* A program that is woken makes page faults, or its address space is another one. */
static uint64_t cpu_stirs(void *opaque)
{
    const struct cpu_statistics *s = cpu_statistics(((struct machine *)opaque)->cpu);
    return s->exceptions + s->tlb_flushes;
}

static void lapic_tells_ioapic(void *opaque, uint8_t vector)
{
    ioapic_eoi(((struct machine *)opaque)->ioapic, vector);
}

static void guest_sleeps(void *opaque, enum piix4_sleep state)
{
    static const int requests[] = {[PIIX4_SOFT_OFF] = MACHINE_REQUEST_POWER_OFF,
                                   [PIIX4_SUSPEND] = MACHINE_REQUEST_SUSPEND,
                                   [PIIX4_HIBERNATE] = MACHINE_REQUEST_HIBERNATE};
    machine_request(opaque, requests[state]);
}

static void guest_wakes(void *opaque)
{
    machine_request(opaque, MACHINE_REQUEST_WAKE);
}

static void guest_exited(void *opaque, int code)
{
    struct machine *m = opaque;
    m->exit_code = code;
    machine_request(m, MACHINE_REQUEST_EXIT);
}

/* ---- character ports ---- */

static void escape_quit(void *opaque)
{
    struct machine_port *port = opaque;
    machine_request(port->machine, MACHINE_REQUEST_QUIT);
}

static void escape_monitor(void *opaque)
{
    struct machine_port *port = opaque;
    if (!port->mux)
        return;
    char_mux_switch(port->mux, (char_mux_front(port->mux) + 1) % MAX(char_mux_faces(port->mux), 1u));
    control_prompt(port->machine->control, char_mux_face(port->mux, char_mux_front(port->mux)));
}

static const struct char_escape port_escape = {.quit = escape_quit, .monitor = escape_monitor};

static struct machine_port *open_port(struct machine *m, const char *id, const struct char_spec *spec,
                                      GError **error)
{
    struct char_port *port = char_open_spec(id, spec, m->loop, error);
    if (!port) {
        g_prefix_error(error, "%s: ", id);
        return NULL;
    }
    struct machine_port *slot = g_new0(struct machine_port, 1);
    slot->id = g_strdup(id);
    slot->port = port;
    slot->machine = m;
    char_set_escape(port, &port_escape, slot);
    char_set_escape_key(port, m->config->escape_key);
    if (spec->mux)
        slot->mux = char_mux_new(port);
    g_ptr_array_add(m->ports, slot);
    return machine_screen_port(m, slot, spec, error) ? slot : NULL;
}

/* The port a user of `spec` speaks to. A shared terminal of its own ("mon:stdio") gets the monitor behind it.
 */
static struct char_port *plug(struct machine *m, const char *id, const struct char_spec *spec, GError **error)
{
    struct machine_port *slot = NULL;
    bool reference = spec->kind == CHAR_REFERENCE;
    for (guint i = 0; reference && i < m->ports->len && !slot; i++) {
        struct machine_port *other = m->ports->pdata[i];
        if (g_str_equal(other->id, spec->path))
            slot = other;
    }
    if (!slot)
        slot = open_port(m, id, spec, error);
    if (!slot)
        return NULL;
    if (!slot->mux)
        return slot->port;
    if (slot->faces == CHAR_MUX_FACES) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%s: more than %d users share it",
                    slot->id, CHAR_MUX_FACES);
        return NULL;
    }
    unsigned front = slot->faces;
    struct char_port *face = char_mux_face(slot->mux, slot->faces++);
    if (!reference)
        control_add_monitor(m->control, char_mux_face(slot->mux, slot->faces++));
    char_mux_switch(slot->mux, front);
    return face;
}

struct char_port *machine_plug(struct machine *m, const char *id, const struct char_spec *spec,
                               GError **error)
{
    return plug(m, id, spec, error);
}

static void free_port(void *data)
{
    struct machine_port *slot = data;
    char_mux_free(slot->mux);
    char_free(slot->port);
    g_free(slot->id);
    g_free(slot);
}

void machine_unplug(struct machine *m, struct machine_port *slot)
{
    if (!slot->mux) /* a shared one has a monitor behind it */
        g_ptr_array_remove(m->ports, slot);
}

/* ---- the board ---- */

/* Keeps a chip for reset, saved state and the end. Returns it, so that creating one stays one line. */
static void *keep(struct machine *m, void *device)
{
    if (device)
        g_ptr_array_add(m->devices, device);
    return device;
}

void *machine_keep(struct machine *m, void *device)
{
    return keep(m, device);
}

static bool board_memory(struct machine *m, GError **error)
{
    uint64_t below = m->board.ram_below_4g;
    physmap_add_ram(m->mem, "ram-low", 0, 0xa0000, 0, 0);
    if (below > BOOT_HIGH_RAM)
        physmap_add_ram(m->mem, "ram", BOOT_HIGH_RAM, below - BOOT_HIGH_RAM, BOOT_HIGH_RAM, 0);
    if (m->board.ram_above_4g)
        physmap_add_ram(m->mem, "ram-high", GIB4, m->board.ram_above_4g, below, 0);
    if (m->rom)
        physmap_add_rom(m->mem, "bios", GIB4 - m->rom_size, m->rom_size, m->rom, 0);
    else if (!machine_disks_build_flash(m, GIB4, error))
        return false;
    if (m->rom) {
        size_t window = MIN(m->rom_size, (size_t)ROM_ISA_WINDOW);
        physmap_add_rom(m->mem, "bios-isa", BOOT_HIGH_RAM - window, window, m->rom + m->rom_size - window, 0);
    }
    return true;
}

/* CPU, local APIC, I/O APIC, 8259s, and the wires between them. */
static bool board_processor(struct machine *m, GError **error)
{
    struct irq_line pic_inputs[GSI_ISA_COUNT], ioapic_inputs[GSI_COUNT];
    m->cpu = cpu_new(m->config->cpu, &(struct cpu_board){.mem = m->mem,
                                                         .io = m->io,
                                                         .clock = m->clock,
                                                         .opaque = m,
                                                         .acknowledge = cpu_acknowledge,
                                                         .apic_base_changed = cpu_apic_base,
                                                         .ferr = cpu_ferr});
    cpu_set_code_size(m->cpu, m->config->code_size);
    cpu_set_single(m->cpu, m->config->single);
    if (m->config->engine == MACHINE_ENGINE_JIT && !m->config->no_guest) {
        g_autoptr(GError) refusal = NULL;

        if (!cpu_set_accel(m->cpu, CPU_ACCEL_JIT, &refusal)) {
            if (m->config->lockstep) {
                g_set_error(error, refusal->domain, refusal->code,
                            "-accel jit,lockstep=on: %s; without the translator there is nothing to compare "
                            "(allow it executable memory, or run with -accel interp)",
                            refusal->message);
                return false;
            }
            m->accel_refusal = g_strdup(refusal->message);
        }
    }
    if (m->config->engine == MACHINE_ENGINE_JIT && !m->config->no_guest && m->config->jit_heat)
        cpu_set_heat(m->cpu, m->config->jit_heat);
    if (m->config->icount.on)
        m->icount = icount_new(&m->config->icount, m->cpu, m->clock, m->loop);
    if (m->config->lockstep)
        cpu_set_lockstep(m->cpu, &(struct cpu_lockstep){.from = m->config->lockstep_options.from,
                                                        .insns = m->config->lockstep_options.insns,
                                                        .sample = m->config->lockstep_options.sample,
                                                        .links = m->config->lockstep_options.links,
                                                        .plant = m->config->lockstep_options.plant});
    if ((m->config->lockstep || m->config->perfmap || trace_on(TB) || trace_on(IN_ASM) || trace_on(OP) ||
         trace_on(OUT_ASM) || trace_on(EXEC)) &&
        !cpu_set_debug(m->cpu, m->config->perfmap, error))
        return false;
    physmap_set_change_listener(m->mem, cpu_memory_changed, m->cpu);
    physmap_set_code_listener(m->mem, cpu_code_written, m->cpu);
    m->lapic = keep(
        m, lapic_new(m->mem, m->clock,
                     &(struct lapic_wiring){.intr = {wire_intr, m, 0},
                                            .nmi = {wire_nmi, m, 0},
                                            .init = {wire_init, m, 0},
                                            .pic_acknowledge = lapic_asks_pic,
                                            .pic = m,
                                            .eoi = lapic_tells_ioapic,
                                            .ioapic = m,
                                            .asleep = m->config->exact_ticks || m->icount ? NULL : cpu_sleeps,
                                            .stirs = cpu_stirs,
                                            .cpu = m}));
    m->ioapic =
        keep(m, ioapic_new(m->mem, &(struct ioapic_bus){.deliver = lapic_deliver, .opaque = m->lapic}));
    struct irq_line lint0 = lapic_lint(m->lapic, 0);
    m->pic = keep(m, pic_new(m->io, &lint0));
    for (unsigned i = 0; i < GSI_ISA_COUNT; i++)
        pic_inputs[i] = pic_input(m->pic, i);
    for (unsigned i = 0; i < GSI_COUNT; i++)
        ioapic_inputs[i] = ioapic_input(m->ioapic, i);
    m->gsi = keep(m, gsi_new(pic_inputs, ioapic_inputs));
    m->ferr = gsi_input(m->gsi, 13);
    return true;
}

static bool board_bridges(struct machine *m, GError **error)
{
    struct piix3_wiring south = {.reset = {wire_reset, m, 0}};
    for (unsigned i = 0; i < G_N_ELEMENTS(south.isa); i++)
        south.isa[i] = gsi_input(m->gsi, i);
    for (unsigned i = 0; i < G_N_ELEMENTS(south.direct); i++)
        south.direct[i] = gsi_input(m->gsi, GSI_PCI_FIRST + i);
    struct piix4_pm_wiring power = {
        .sci = gsi_input(m->gsi, 9), .sleep = guest_sleeps, .wake = guest_wakes, .opaque = m};
    m->bus = pci_bus_new(m->mem, m->io);
    m->host = keep(m, i440fx_new(m->bus, error));
    m->piix3 = m->host ? keep(m, piix3_new(m->bus, m->io, PIIX_SLOT, &south, error)) : NULL;
    m->pm = m->piix3 ? keep(m, piix4_pm_new(m->bus, m->io, m->clock, PIIX_SLOT, 3, &power, error)) : NULL;
    if (m->pm)
        hotplug_build(m);
    return m->pm != NULL;
}

static bool board_isa(struct machine *m, GError **error)
{
    static const uint16_t serial_base[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    static const uint8_t serial_irq[] = {4, 3, 4, 3};
    const struct machine_config *config = m->config;
    struct irq_line reset = {wire_reset, m, 0}, a20_line = {wire_a20, m, 0};
    struct irq_line irq0 = gsi_input(m->gsi, 0), irq8 = gsi_input(m->gsi, 8);
    struct a20 *a20 = keep(m, a20_new(&a20_line));
    keep(m, port92_new(m->io, a20, &reset));
    m->kbc = keep(m, i8042_new(m->io, m->clock,
                               &(struct i8042_wiring){.irq_keyboard = gsi_input(m->gsi, 1),
                                                      .irq_mouse = gsi_input(m->gsi, 12),
                                                      .reset = reset,
                                                      .a20 = a20,
                                                      .mouse = config->vga}));
    keep(m, pit_new(m->io, m->clock, &irq0));
    struct rtc_config rtc = config->rtc;
    rtc.ram_below_4g = m->board.ram_below_4g;
    rtc.ram_above_4g = m->board.ram_above_4g;
    memcpy(rtc.boot_device, config->boot_once[0] ? config->boot_once : config->boot_order,
           sizeof rtc.boot_device);
    rtc.skip_floppy_check = true;
    m->rtc = keep(m, rtc_new(m->io, m->clock, &irq8, &rtc));
    struct irq_line alarm = piix4_pm_alarm_input(m->pm);
    rtc_set_alarm_line(m->rtc, &alarm);
    machine_disks_tell_cmos(m);
    machine_disks_build_floppy(m, keep(m, dma8237_new(m->io)));

    for (guint i = 0; i < G_N_ELEMENTS(serial_base); i++) {
        const struct char_spec *spec = i < config->serials->len ? config->serials->pdata[i] : NULL;
        g_autofree char *id = g_strdup_printf("serial%u", i);
        struct char_port *port = NULL;
        if (!spec && (i || config->serials->len)) /* COM1 is there unless -serial none says otherwise */
            continue;
        if (spec && !(port = plug(m, id, spec, error)))
            return false;
        struct irq_line irq = gsi_input(m->gsi, serial_irq[i]);
        keep(m, uart_new(m->io, m->clock, id, serial_base[i], &irq, port));
        m->serial_there[i] = true;
    }
    for (guint i = 0; i < config->debugcons->len; i++) {
        const struct machine_debugcon *console = config->debugcons->pdata[i];
        struct char_port *port = plug(m, console->id, &console->spec, error);
        if (!port)
            return false;
        keep(m, debugcon_new(m->io, console->id, console->iobase, port));
    }
    for (guint i = 0; i < config->debug_exits->len; i++) {
        const struct machine_debug_exit *e = config->debug_exits->pdata[i];
        if (!keep(m, debug_exit_new(m->io, e->id, e->iobase, e->iosize, guest_exited, m, error)))
            return false;
    }
    return true;
}

/* What firmware has set up decides where registers and windows are, so the tables are made when it asks. */
static void set_tables(void *opaque)
{
    enum { PMBASE = 0x40, PMBASE_BITS = 0xffc0 };
    struct machine *m = opaque;
    static const uint8_t pirq_isa[4] = {10, 10, 11, 11};
    uint16_t pm_base = pci_config_read(m->bus, PIIX_SLOT << 3 | 3, PMBASE, 2) & PMBASE_BITS;
    struct acpi_config config = {
        .pm_base = pm_base ? pm_base : PIIX4_PM_BASE,
        .pci_hole_start = (uint32_t)MAX(m->board.ram_below_4g, UINT64_C(0xc0000000)),
        .pci_hole_end = 0xfec00000,
        .serial = {m->serial_there[0], m->serial_there[1]},
        .parallel = {m->parallel_there[0], m->parallel_there[1], m->parallel_there[2]},
        .mouse = m->config->vga,
        .fwcfg = true,
        .suspend = !m->config->no_suspend,
        .hibernate = !m->config->no_hibernate,
        .hotplug_slots = hotplug_slots(m),
        .pirq_isa = pirq_isa,
        .extra = m->acpi_extra,
    };
    romtables_set_acpi(m->fwcfg, &config, NULL);
}

/* What firmware reads about booting, and tables for it to place. */
static bool board_boot_files(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    uint16_t menu = GUINT16_TO_LE((uint16_t)config->boot_splash_time);
    uint32_t fail = GUINT32_TO_LE((uint32_t)config->boot_fail_wait);
    if ((config->boot_splash_time >= 0 &&
         !fwcfg_add_file(m->fwcfg, "etc/boot-menu-wait", &menu, sizeof menu, error)) ||
        /* -1, the default, is told too: without the file SeaBIOS starts over every minute. */
        !fwcfg_add_file(m->fwcfg, "etc/boot-fail-wait", &fail, sizeof fail, error) ||
        !machine_disks_tell_fwcfg(m, error))
        return false;
    if (!m->rom)
        return true;
    if (!machine_rom_kernel_offer(m, error))
        return false;
    enum { OFFERED = 0x80, S3 = 3, S4 = 4, S5 = 5 };
    uint8_t states[6] = {OFFERED, 0, 0, PIIX4_SUSPEND, PIIX4_HIBERNATE, OFFERED | PIIX4_SOFT_OFF};
    states[S3] |= config->no_suspend ? 0 : OFFERED;
    states[S4] |= config->no_hibernate ? 0 : OFFERED;
    if (!fwcfg_add_file(m->fwcfg, "etc/system-states", states, sizeof states, error))
        return false;
    if (!machine_option_roms(m, error) || !machine_splash(m, error))
        return false;
    if (config->acpi) {
        set_tables(m);
        fwcfg_set_refresh(m->fwcfg, "etc/acpi/tables", set_tables, m);
    }
    return romtables_set_smbios(m->fwcfg, &m->smbios, error);
}

static bool board_fwcfg(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    m->fwcfg = keep(m, fwcfg_new(m->io, m->mem));
    fwcfg_set_u64(m->fwcfg, FWCFG_RAM_SIZE, config->ram_size);
    fwcfg_set_u16(m->fwcfg, FWCFG_NOGRAPHIC, 1);
    fwcfg_set_u16(m->fwcfg, FWCFG_CPUS, 1);
    fwcfg_set_u16(m->fwcfg, FWCFG_MAX_CPUS, 1);
    fwcfg_set_u16(m->fwcfg, FWCFG_BOOT_MENU, config->boot_menu);
    fwcfg_set_bytes(m->fwcfg, FWCFG_UUID, config->uuid, sizeof config->uuid);
    struct {
        uint64_t start, size;
        uint32_t type;
    } __attribute__((packed)) e820[] = {
        {0, m->board.ram_below_4g, BOOT_E820_RAM},
        {GIB4, m->board.ram_above_4g, BOOT_E820_RAM},
    };
    size_t rows = m->board.ram_above_4g ? 2 : 1;
    if (!fwcfg_add_file(m->fwcfg, "etc/e820", e820, rows * sizeof e820[0], error))
        return false;
    if (!board_boot_files(m, error))
        return false;
    for (guint i = 0; i < config->fwcfg->len; i++) {
        const struct machine_fwcfg *file = config->fwcfg->pdata[i];
        bool good;
        if (file->string) {
            good = fwcfg_add_file(m->fwcfg, file->name, file->string, strlen(file->string), error);
        } else {
            g_autofree char *data = NULL;
            gsize len = 0;
            good = fdset_get_contents(file->file, &data, &len, error) &&
                   fwcfg_add_file(m->fwcfg, file->name, data, len, error);
        }
        if (!good) {
            g_prefix_error(error, "-fw_cfg name=%s: ", file->name);
            return false;
        }
    }
    return true;
}

static bool board_control(struct machine *m, GError **error)
{
    for (guint i = 0; i < m->config->chardevs->len; i++) {
        const struct machine_chardev *chardev = m->config->chardevs->pdata[i];
        if (!open_port(m, chardev->id, &chardev->spec, error))
            return false;
    }
    for (guint i = 0; i < m->config->monitors->len; i++) {
        const struct machine_monitor *monitor = m->config->monitors->pdata[i];
        const struct char_spec *spec = &monitor->spec;
        if (monitor->qmp && spec->kind == CHAR_UNIX && spec->server) {
            if (!control_listen(m->control, spec->path, spec->wait, monitor->pretty, error)) {
                g_prefix_error(error, "-qmp: ");
                return false;
            }
            continue;
        }
        g_autofree char *id = g_strdup_printf("%s%u",
                                              monitor->gdb   ? "gdb"
                                              : monitor->qmp ? "qmp"
                                                             : "monitor",
                                              i);
        struct char_port *port = plug(m, id, spec, error);
        if (!port)
            return false;
        if (monitor->gdb) {
            m->gdb = gdbstub_new(m->control, &m->offer, &m->debug_offer, port);
            control_set_debugger(m->control, m->gdb);
        } else if (monitor->qmp)
            control_add_qmp(m->control, port, monitor->pretty);
        else
            control_add_monitor(m->control, port);
    }
    return true;
}

static bool board_build(struct machine *m, GError **error)
{
    m->clock = clock_new();
    clock_stop(m->clock);   /* guest time begins when the guest does, */
    clock_set(m->clock, 0); /* and the host has taken a few nanoseconds */
    m->loop = loop_new(m->clock, error);
    if (!m->loop || !machine_disks_open(m, error) ||
        !(m->mem = physmap_new_backed(m->config->ram_size + (m->config->vga ? m->config->vga_memory : 0),
                                      &(struct physmap_backing){.path = m->config->mem_path,
                                                                .prealloc = m->config->mem_prealloc,
                                                                .apart = m->config->mem_apart},
                                      error)))
        return false;
    m->io = portio_new();
    machine_offer(m);
    machine_offer_debug(m);
    m->control = control_new(&m->offer, m->loop);
    if (!machine_screen_new(m, error) || !board_memory(m, error))
        return false;
    /* fw_cfg describes the rest, so it comes after the ports. */
    return board_processor(m, error) && board_bridges(m, error) && machine_disks_build(m, error) &&
           board_control(m, error) && board_isa(m, error) && machine_cards_build(m, error) &&
           board_fwcfg(m, error) && machine_video_build(m, error) && network_build(m, error) &&
           machine_boot_order_tell(m, error) && machine_displays_build(m, error);
}

/* ---- reset and boot ---- */

static struct firmware_board board_for_firmware(struct machine *m)
{
    const struct machine_config *config = m->config;
    return (struct firmware_board){
        .mem = m->mem,
        .extra = m->acpi_extra,
        .smbios = &m->smbios,
        .io = m->io,
        .bus = m->bus,
        .host = m->host,
        .piix_slot = PIIX_SLOT,
        .ram_below_4g = m->board.ram_below_4g,
        .serial = {m->serial_there[0], m->serial_there[1]},
        .parallel = {m->parallel_there[0], m->parallel_there[1], m->parallel_there[2]},
        .mouse = config->vga,
        .fwcfg = true,
        .hotplug_slots = hotplug_slots(m),
        .suspend = !config->no_suspend,
        .hibernate = !config->no_hibernate,
        .acpi = config->acpi,
        .mptable = config->mptable};
}

static bool board_boot(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    struct cpu_boot_state state;
    struct firmware_board firmware = board_for_firmware(m);
    if (!firmware_setup(&firmware, error))
        return false;
    if (m->vga)
        vga_start_text(m->vga, m->vga_font);
    if (m->kind == BOOT_LINUX) {
        struct linux_plan plan;
        if (!linux_plan(m->kernel, m->initrd, config->append, &m->board, &plan, error) ||
            !linux_place(&plan, m->kernel, m->initrd, config->append, &m->board, m->mem, &state, error))
            return false;
    } else {
        g_autofree struct multiboot_plan *plan = g_new(struct multiboot_plan, 1);
        struct multiboot_module modules[MULTIBOOT_MODULES_MOST];
        board_modules(m, modules);
        if (!multiboot_plan(m->kernel, modules, m->module_count, config->append, &m->board, plan, error) ||
            !multiboot_place(plan, m->kernel, config->append, &m->board, m->mem, &state, error))
            return false;
    }
    cpu_set_boot_state(m->cpu, &state);
    return true;
}

bool machine_reset(struct machine *m, GError **error)
{
    if (trace_on(RESET)) {
        g_autoptr(GString) text = g_string_new(NULL);
        cpu_describe(m->cpu, text);
        trace(RESET, "reset; before it:\n%s", text->str);
    }
    hotplug_before_reset(m);
    cpu_reset(m->cpu);
    for (guint i = 0; i < m->devices->len; i++)
        device_reset(m->devices->pdata[i]);
    if (m->rom && m->config->acpi)
        set_tables(m); /* firmware remembers how long files are, and by now every card has its slot */
    if (m->was_reset)
        machine_disks_boot_order(m); /* -boot once= was for the first time */
    m->was_reset = true;
    /* Cards came and went since, and with them sizes, which firmware looks at before it asks for contents. */
    if (m->rom && m->config->acpi)
        set_tables(m);
    return m->rom || m->config->no_guest ? true : board_boot(m, error);
}

bool machine_wake(struct machine *m, GError **error)
{
    uint32_t vector = 0;
    trace(RESET, "woken from S3");
    cpu_reset(m->cpu);
    for (guint i = 0; i < m->devices->len; i++)
        device_wake(m->devices->pdata[i]);
    rtc_cmos_write(m->rtc, RTC_CMOS_SHUTDOWN, RTC_SHUTDOWN_S3);
    if (m->rom)
        return true;
    struct firmware_board firmware = board_for_firmware(m);
    if (!firmware_resume(&firmware, &vector, error))
        return false;
    if (!vector)
        return machine_reset(m, error);
    if (m->vga)
        vga_start_text(m->vga, m->vga_font);
    cpu_set_real_address(m->cpu, vector);
    return true;
}

void machine_foreach_device(struct machine *m, void (*visit)(struct device *device, void *opaque),
                            void *opaque)
{
    for (guint i = 0; i < m->devices->len; i++)
        visit(m->devices->pdata[i], opaque);
}

/* ---- life ---- */

static void free_rom(void *data)
{
    struct machine_rom *rom = data;
    g_free(rom->path);
    g_free(rom->data);
    g_free(rom);
}

struct machine *machine_new(const struct machine_config *config, GError **error)
{
    struct machine *m = g_new0(struct machine, 1);
    m->config = config;
    m->devices = g_ptr_array_new();
    m->option_roms = g_ptr_array_new_with_free_func(free_rom);
    m->ports = g_ptr_array_new_with_free_func(free_port);
    m->vncs = g_ptr_array_new_with_free_func((GDestroyNotify)vnc_free);
    m->status = CONTROL_PRELAUNCH;
    if (machine_extras_read(m, error) && board_files(m, error) && board_build(m, error) &&
        machine_reset(m, error) && machine_incoming_build(m, error) && machine_loadvm_build(m, error))
        return m;
    machine_free(m);
    return NULL;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    if (m->loop)
        loop_stop_doorbell(m->loop); /* it rings the CPU */
    gdbstub_free(m->gdb);
    machine_migrate_free(m);
    control_free(m->control);
    machine_keys_free(m);
    machine_cards_free(m);
    terminal_free(m->terminal);
    desktop_free(m->window);
    g_ptr_array_free(m->vncs, TRUE);
    network_free(m);
    hotplug_free(m);
    for (guint i = m->devices->len; i-- > 0;)
        device_free(m->devices->pdata[i]);
    g_ptr_array_free(m->devices, TRUE);
    machine_disks_free(m);
    if (m->bus)
        pci_bus_free(m->bus);
    if (m->cpu) {
        physmap_set_change_listener(m->mem, NULL, NULL);
        physmap_set_code_listener(m->mem, NULL, NULL);
        cpu_free(m->cpu);
    }
    g_clear_error(&m->fatal);
    g_free(m->accel_refusal);
    g_ptr_array_free(m->ports, TRUE);
    display_free(m->display); /* consoles are where ports lead */
    if (m->io)
        portio_free(m->io);
    if (m->mem)
        physmap_free(m->mem);
    icount_free(m->icount);
    loop_free(m->loop);
    if (m->clock)
        clock_free(m->clock);
    g_free(m->rom_file);
    g_ptr_array_free(m->option_roms, TRUE);
    machine_extras_free(m);
    g_free(m->vga_rom);
    boot_file_free(m->kernel);
    boot_file_free(m->initrd);
    for (unsigned i = 0; i < m->module_count; i++) {
        boot_file_free(m->module_files[i]);
        g_free(m->module_texts[i]);
    }
    g_free(m);
}

char *machine_notices(struct machine *m)
{
    GString *text = g_string_new(NULL);
    if (m->accel_refusal)
        g_string_append_printf(
            text,
            "netlab-emu: warning: %s: the interpreter runs instead of the translator, several times "
            "slower (-accel interp does without this warning)\n",
            m->accel_refusal);
    for (guint i = 0; i < m->ports->len; i++) {
        struct machine_port *slot = m->ports->pdata[i];
        const char *spec = char_spec(slot->port);
        if (g_str_has_prefix(spec, "pty:"))
            g_string_append_printf(text, "char device redirected to %s (label %s)\n", spec + strlen("pty:"),
                                   slot->id);
    }
    return g_string_free(text, FALSE);
}
