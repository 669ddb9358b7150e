/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The machine as the control room sees it: struct control_machine, filled in. What QMP and the monitor show
 * is gathered here from the chips' own describe functions.
 */
#include "emu/fdset.h"
#include "emu/machine/machine_internal.h"
#include "emu/machine/migrate.h"
#include "emu/machine/snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>

static enum control_status operate_status(void *opaque)
{
    struct machine *m = opaque;
    return m->status == CONTROL_RUNNING && piix4_pm_is_asleep(m->pm) ? CONTROL_SUSPENDED : m->status;
}

static void operate_stop(void *opaque)
{
    struct machine *m = opaque;
    if (m->status == CONTROL_RUNNING)
        machine_stop(m, CONTROL_PAUSED);
    else if (m->status == CONTROL_INMIGRATE)
        machine_incoming_autostart(m, false);
}

static bool operate_cont(void *opaque, GError **error)
{
    return machine_cont(opaque, error);
}

static void operate_quit(void *opaque)
{
    machine_request(opaque, MACHINE_REQUEST_QUIT);
}

static void operate_reset(void *opaque)
{
    machine_request(opaque, MACHINE_REQUEST_SYSTEM_RESET);
}

static void operate_power_button(void *opaque)
{
    struct machine *m = opaque;
    control_event(m->control, "POWERDOWN", NULL);
    piix4_pm_power_button(m->pm);
}

static bool operate_wake(void *opaque)
{
    return piix4_pm_wake(((struct machine *)opaque)->pm);
}

static void operate_nmi(void *opaque)
{
    cpu_raise_nmi(((struct machine *)opaque)->cpu);
}

static bool operate_chardev(void *opaque, unsigned index, struct control_char *out)
{
    struct machine *m = opaque;
    if (index >= m->ports->len)
        return false;
    const struct machine_port *slot = m->ports->pdata[index];
    *out = (struct control_char){.id = slot->id,
                                 .spec = char_spec(slot->port),
                                 .open = char_is_open(slot->port),
                                 .dropped = char_dropped(slot->port)};
    return true;
}

static struct char_port *operate_port(void *opaque, const char *id)
{
    struct machine *m = opaque;
    for (guint i = 0; i < m->ports->len; i++) {
        const struct machine_port *slot = m->ports->pdata[i];
        if (g_str_equal(slot->id, id))
            return slot->port;
    }
    return NULL;
}

static bool operate_chardev_add(void *opaque, const char *words, GError **error)
{
    struct machine *m = opaque;
    struct machine_chardev *chardev = m->config->words ? m->config->words->chardev(words, error) : NULL;
    if (!chardev)
        return false;
    bool good = !operate_port(m, chardev->id) && !chardev->spec.mux && !chardev->spec.wait;
    if (operate_port(m, chardev->id))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "Chardev with id '%s' already exists", chardev->id);
    else if (!good)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "Chardev '%s': mux=on and wait=on are for the command line", chardev->id);
    good = good && machine_plug(m, chardev->id, &chardev->spec, error);
    machine_chardev_free(chardev);
    return good;
}

static bool operate_chardev_remove(void *opaque, const char *id, GError **error)
{
    struct machine *m = opaque;
    for (guint i = 0; i < m->ports->len; i++) {
        struct machine_port *slot = m->ports->pdata[i];
        if (!g_str_equal(slot->id, id))
            continue;
        if (slot->mux || char_is_used(slot->port) || char_is_vc(slot->port)) { /* a console shows that one */
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Chardev '%s' is busy", id);
            return false;
        }
        g_ptr_array_remove_index(m->ports, i);
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Chardev '%s' not found", id);
    return false;
}

struct pci_visit {
    unsigned wanted, at;
    struct pci_device *found;
};

static void visit_function(struct pci_device *pci, void *opaque)
{
    struct pci_visit *visit = opaque;
    if (visit->at++ == visit->wanted)
        visit->found = pci;
}

static bool operate_pci(void *opaque, unsigned index, struct control_pci *out)
{
    struct machine *m = opaque;
    struct pci_visit visit = {.wanted = index};
    pci_bus_foreach(m->bus, visit_function, &visit);
    const struct pci_device *pci = visit.found;
    if (!pci)
        return false;
    *out = (struct control_pci){.slot = pci->devfn >> 3,
                                .function = pci->devfn & 7,
                                .id = pci->device.id,
                                .vendor = pci_get16(pci, PCI_VENDOR_ID),
                                .device = pci_get16(pci, PCI_DEVICE_ID),
                                .class_code = pci_get16(pci, PCI_CLASS_DEVICE),
                                .subsystem_vendor = pci_get16(pci, PCI_SUBSYSTEM_VENDOR_ID),
                                .subsystem = pci_get16(pci, PCI_SUBSYSTEM_ID),
                                .irq = pci->config[PCI_INTERRUPT_LINE],
                                .pin = pci->config[PCI_INTERRUPT_PIN]};
    for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++) {
        out->bar[i].size = pci->bar[i].size;
        out->bar[i].is_io = pci->bar[i].is_io;
        out->bar[i].base = pci->bar[i].size ? pci_bar_base(pci, i) : 0;
    }
    out->bar[6].size = pci->rom_size;
    out->bar[6].base =
        ((uint32_t)pci_get16(pci, PCI_ROM_ADDRESS) | (uint32_t)pci_get16(pci, PCI_ROM_ADDRESS + 2) << 16) &
        ~2047u;
    return true;
}

/* Does not wait for a pipe's other end. */
static int operate_create(void *opaque, const char *path, GError **error)
{
    int fd = fdset_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Could not open '%s': %s", path, g_strerror(errno));
    return fd;
}

static bool operate_device(void *opaque, unsigned index, const char **id, const char **class)
{
    const struct machine *m = opaque;
    if (index >= m->devices->len)
        return false;
    const struct device *device = m->devices->pdata[index];
    *id = device->id;
    *class = device->class->name;
    return true;
}

static const char *operate_option_name(void *opaque, unsigned index)
{
    const struct machine_words *words = ((struct machine *)opaque)->config->words;
    return words ? words->option_name(index) : NULL;
}

static const char *operate_device_type(void *opaque, unsigned index)
{
    const struct machine_words *words = ((struct machine *)opaque)->config->words;
    return words ? words->device_name(index) : NULL;
}

static bool take_key(bool found, const struct machine_key *key, struct control_key *out)
{
    if (found)
        *out = (struct control_key){.name = key->name, .type = key->type, .help = key->help};
    return found;
}

static bool operate_option_key(void *opaque, const char *option, unsigned index, struct control_key *out)
{
    const struct machine_words *words = ((struct machine *)opaque)->config->words;
    struct machine_key key;
    return take_key(words && words->option_key(option, index, &key), &key, out);
}

static bool operate_device_key(void *opaque, const char *type, unsigned index, struct control_key *out)
{
    const struct machine_words *words = ((struct machine *)opaque)->config->words;
    struct machine_key key;
    return take_key(words && words->device_key(type, index, &key), &key, out);
}

static const char *operate_cpu_model(void *opaque, unsigned index)
{
    return cpu_model_known(index);
}

static uint64_t all_dropped(const struct net_counters *counters)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < NET_DROP_COUNT; i++)
        sum += counters->dropped[i];
    return sum;
}

static void list_drops(const char *end, const struct net_counters *counters, struct control_nic *out)
{
    for (unsigned i = 0; i < NET_DROP_COUNT && out->drop_count < CONTROL_DROPS_MOST; i++)
        if (counters->dropped[i])
            out->drops[out->drop_count++] = (struct control_drop){
                .end = end, .reason = net_drop_name((enum net_drop)i), .frames = counters->dropped[i]};
}

static bool operate_nic(void *opaque, unsigned index, struct control_nic *out)
{
    struct machine *m = opaque;
    if (index >= m->card_count)
        return false;
    const struct machine_card *card = &m->cards[index];
    struct net_port *port = e1000_port(card->device);
    const struct net_counters *counters = net_port_counters(port);
    *out = (struct control_nic){
        .id = card->config->id,
        .model = "e1000",
        .backend = card->backend ? net_port_id(card->backend) : NULL,
        .ifname = card->backend ? net_tap_ifname(card->backend) : NULL,
        .link = net_link(port),
        .tx_frames = counters->tx_frames,
        .tx_bytes = counters->tx_bytes,
        .rx_frames = counters->rx_frames,
        .rx_bytes = counters->rx_bytes,
        .full = counters->full,
        .dropped_tx = all_dropped(counters),
        .dropped_rx = card->backend ? all_dropped(net_port_counters(card->backend)) : 0,
    };
    memcpy(out->mac, card->mac, 6);
    list_drops("nic", counters, out);
    if (card->backend)
        list_drops("netdev", net_port_counters(card->backend), out);
    return true;
}

static bool operate_rx_filter(void *opaque, unsigned index, struct control_rx_filter *out)
{
    static struct e1000_filter filter; /* machine thread only */
    struct machine *m = opaque;
    if (index >= m->card_count)
        return false;
    e1000_filter(m->cards[index].device, &filter);
    *out = (struct control_rx_filter){.receiving = filter.receiving,
                                      .promiscuous = filter.promiscuous,
                                      .all_multicast = filter.all_multicast,
                                      .broadcast = filter.broadcast,
                                      .by_vlan = filter.by_vlan,
                                      .by_hash = filter.by_hash,
                                      .count = filter.count,
                                      .address = (const uint8_t(*)[6])filter.address,
                                      .vlan_table = filter.vlan_table};
    return true;
}

static bool operate_capture(void *opaque, unsigned index, struct control_capture *out)
{
    struct machine *m = opaque;
    if (index >= m->captures->len)
        return false;
    const struct machine_filter *filter = m->captures->pdata[index];
    struct net_dump_counters c;
    net_dump_counters(filter->dump, &c);
    *out = (struct control_capture){.id = filter->id,
                                    .netdev = net_port_id(filter->port),
                                    .file = c.path,
                                    .pcapng = c.pcapng,
                                    .live = c.live,
                                    .ended = c.ended,
                                    .frames = c.frames,
                                    .bytes = c.bytes,
                                    .dropped = c.dropped};
    return true;
}

static bool operate_set_link(void *opaque, const char *name, bool up, GError **error)
{
    struct machine *m = opaque;
    for (unsigned i = 0; i < m->card_count; i++) {
        const struct machine_card *card = &m->cards[i];
        if (g_str_equal(card->config->id, name) ||
            (card->backend && g_str_equal(net_port_id(card->backend), name))) {
            net_set_link(e1000_port(card->device), up);
            return true;
        }
    }
    struct net_port *port = network_find(m, name);
    if (port) {
        net_set_link(port, up);
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Device '%s' not found", name);
    return false;
}

/* The `user` back end of that name; without a name the one there is. */
static struct net_port *find_usernet(struct machine *m, const char *name, GError **error)
{
    struct net_port *found = name ? network_find(m, name) : NULL;
    unsigned count = 0;
    for (guint i = 0; !name && i < m->netdevs->len; i++)
        if (net_user_is(m->netdevs->pdata[i])) {
            found = m->netdevs->pdata[i];
            count++;
        }
    if (count > 1) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "there are %u user networks; name one (see info usernet)", count);
        return NULL;
    }
    if (found && net_user_is(found))
        return found;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "there is no -netdev user%s%s (see info usernet)",
                name ? " with id=" : "", name ? name : "");
    return NULL;
}

static bool operate_forward(void *opaque, const char *name, const char *rule, bool add, GError **error)
{
    struct net_port *port = find_usernet(opaque, name, error);
    return port &&
           (add ? net_user_add_forward(port, rule, error) : net_user_remove_forward(port, rule, error));
}

static size_t operate_read_memory(void *opaque, bool physical, uint64_t addr, void *buf, size_t len)
{
    struct machine *m = opaque;
    if (!physical)
        return cpu_debug_read(m->cpu, (uint32_t)addr, buf, len);
    /* RAM and ROM only: looking at a device's registers may change them. */
    uint8_t *to = buf;
    size_t done = 0;
    while (done < len) {
        struct phys_slice slice;
        physmap_lookup(m->mem, addr + done, &slice);
        if (!slice.read)
            break;
        size_t run = MIN(slice.run, (uint64_t)(len - done));
        memcpy(to + done, slice.read, run);
        done += run;
    }
    return done;
}

static uint32_t operate_read_port(void *opaque, uint16_t port, unsigned size)
{
    return portio_read(((struct machine *)opaque)->io, port, size);
}

static void operate_write_port(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    portio_write(((struct machine *)opaque)->io, port, value, size);
}

static void operate_key(void *opaque, unsigned code, bool down)
{
    display_key(((struct machine *)opaque)->display, code, down);
}

static void operate_mouse(void *opaque, int dx, int dy, int dz, int buttons)
{
    struct machine *m = opaque;
    if (buttons >= 0)
        m->mouse_buttons = (unsigned)buttons;
    machine_mouse(m, dx, dy, dz, m->mouse_buttons);
}

static bool operate_screendump(void *opaque, const char *path, const char *format, GError **error)
{
    struct machine *m = opaque;
    const struct display_surface *surface = display_snapshot(m->display);
    if (surface)
        return display_write_image(surface, path, format, error);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        "this machine has no graphics card (start it with -vga std)");
    return false;
}

static bool operate_vnc(void *opaque, unsigned index, struct control_vnc *out)
{
    struct machine *m = opaque;
    if (index >= m->vncs->len)
        return false;
    struct vnc *vnc = m->vncs->pdata[index];
    *out = (struct control_vnc){.password = vnc_wants_password(vnc),
                                .family = vnc_family(vnc),
                                .host = vnc_host(vnc),
                                .service = vnc_service(vnc),
                                .viewers = vnc_viewers(vnc)};
    return true;
}

static bool operate_vnc_client(void *opaque, unsigned server, unsigned index, struct control_vnc_client *out)
{
    static struct vnc_peer peer; /* machine thread only */
    struct machine *m = opaque;
    if (server >= m->vncs->len || !vnc_peer(m->vncs->pdata[server], index, &peer))
        return false;
    *out = (struct control_vnc_client){.family = peer.family, .host = peer.host, .service = peer.service};
    return true;
}

static bool operate_vnc_password(void *opaque, const char *password, GError **error)
{
    struct machine *m = opaque;
    bool any = false;
    for (guint i = 0; i < m->vncs->len; i++)
        any |= vnc_set_password(m->vncs->pdata[i], password);
    if (!any)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s (start it with -vnc :0,password=on)",
                    m->vncs->len ? "the VNC server wants no password" : "this machine has no VNC server");
    return any;
}

static bool operate_register(void *opaque, const char *name, uint32_t *value)
{
    static const char *const gprs[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    struct machine *m = opaque;
    struct cpu_registers r;
    cpu_get_registers(m->cpu, &r);
    for (unsigned i = 0; i < G_N_ELEMENTS(gprs); i++) {
        if (g_str_equal(name, gprs[i])) {
            *value = r.gpr[i];
            return true;
        }
    }
    const struct {
        const char *name;
        uint32_t value;
    } others[] = {
        {"eip", r.eip},
        {"pc", r.eip + r.seg_base[1]},
        {"sp", r.gpr[4] + r.seg_base[2]},
        {"eflags", r.eflags},
        {"cs", r.cs},
        {"ss", r.ss},
        {"ds", r.ds},
        {"es", r.es},
        {"fs", r.fs},
        {"gs", r.gs},
        {"cr0", r.cr0},
        {"cr2", r.cr2},
        {"cr3", r.cr3},
        {"cr4", r.cr4},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        if (g_str_equal(name, others[i].name)) {
            *value = others[i].value;
            return true;
        }
    }
    return false;
}

static unsigned operate_disassemble(void *opaque, bool physical, uint64_t addr, char *text, size_t size)
{
    struct machine *m = opaque;
    uint8_t bytes[15];
    unsigned got = (unsigned)operate_read_memory(m, physical, addr, bytes, sizeof bytes);
    return got ? cpu_disassemble(m->cpu, bytes, got, (uint32_t)addr, text, (unsigned)size) : 0;
}

/* ---- text ---- */

static void describe_drops(const char *end, const struct net_counters *counters, GString *out)
{
    for (unsigned i = 0; i < NET_DROP_COUNT; i++)
        if (counters->dropped[i])
            g_string_append_printf(out, "   dropped by the %s: %" G_GUINT64_FORMAT " (%s)\n", end,
                                   counters->dropped[i], net_drop_name((enum net_drop)i));
}

static void describe_network(struct machine *m, GString *out)
{
    struct control_nic nic;
    for (unsigned i = 0; operate_nic(m, i, &nic); i++) {
        const struct machine_card *card = &m->cards[i];
        g_string_append_printf(out, "%s: model=%s, mac=%02x:%02x:%02x:%02x:%02x:%02x, link %s\n", nic.id,
                               nic.model, nic.mac[0], nic.mac[1], nic.mac[2], nic.mac[3], nic.mac[4],
                               nic.mac[5], nic.link ? "up" : "down");
        if (nic.backend) {
            g_string_append_printf(out, " \\ %s: ", nic.backend);
            net_port_describe(card->backend, out);
            g_string_append_c(out, '\n');
        }
        g_string_append_printf(out,
                               "   tx %" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT
                               " bytes; rx %" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT
                               " bytes; %" G_GUINT64_FORMAT " times full\n",
                               nic.tx_frames, nic.tx_bytes, nic.rx_frames, nic.rx_bytes, nic.full);
        describe_drops("NIC", net_port_counters(e1000_port(card->device)), out);
        if (card->backend)
            describe_drops("back end", net_port_counters(card->backend), out);
    }
    /* Back ends that are on a hub, or cabled to nothing. */
    for (guint i = 0; i < m->netdevs->len; i++) {
        struct net_port *port = m->netdevs->pdata[i];
        struct net_port *peer = net_peer(port);
        bool shown = false;
        for (unsigned k = 0; k < m->card_count; k++)
            shown |= m->cards[k].backend == port;
        if (shown)
            continue;
        const struct net_counters *counters = net_port_counters(port);
        g_string_append_printf(out, "%s: ", net_port_id(port));
        net_port_describe(port, out);
        g_string_append_printf(out,
                               ", cabled to %s, link %s\n   tx %" G_GUINT64_FORMAT
                               " frames; rx %" G_GUINT64_FORMAT " frames\n",
                               peer ? net_port_id(peer) : "nothing", net_link(port) ? "up" : "down",
                               counters->tx_frames, counters->rx_frames);
        describe_drops("back end", counters, out);
    }
    struct control_capture c;
    for (unsigned i = 0; operate_capture(m, i, &c); i++)
        g_string_append_printf(out,
                               "%s: %s capture of %s %s %s: %" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT
                               " bytes, %" G_GUINT64_FORMAT " lost%s\n",
                               c.id, c.pcapng ? "pcapng" : "pcap", c.netdev, c.live ? "live to" : "into",
                               c.file, c.frames, c.bytes, c.dropped,
                               !c.ended ? ""
                               : c.live ? "; the reader has gone"
                                        : "; ended by an error");
}

static void describe_usernet(struct machine *m, GString *out)
{
    for (guint i = 0; i < m->netdevs->len; i++)
        net_user_describe(m->netdevs->pdata[i], out);
}

static void describe_drives(struct machine *m, GString *out)
{
    struct control_drive drive;
    for (unsigned i = 0; machine_drive_status(m, i, &drive); i++) {
        g_string_append_printf(out, "%s: %s%s%s%s%s\n", drive.id, drive.file ? drive.file : "[not inserted]",
                               drive.file ? " (" : "", drive.file ? drive.format : "",
                               drive.file && drive.read_only ? ", read-only" : "", drive.file ? ")" : "");
        if (drive.backing)
            g_string_append_printf(out, "    Backing file:     %s\n", drive.backing);
        if (drive.node && drive.qdev)
            g_string_append_printf(out, "    Attached to:      %s\n", drive.qdev);
        if (drive.removable && !drive.has_tray)
            g_string_append(out, "    Removable device\n");
        else if (drive.removable)
            g_string_append_printf(out, "    Removable device: %slocked, tray %s\n",
                                   drive.locked ? "" : "not ", drive.tray_open ? "open" : "closed");
        g_string_append_printf(out,
                               "    Cache mode:       %s\n"
                               "    %" G_GUINT64_FORMAT " reads of %" G_GUINT64_FORMAT
                               " bytes, %" G_GUINT64_FORMAT " writes of %" G_GUINT64_FORMAT
                               " bytes, %" G_GUINT64_FORMAT " flushes, %" G_GUINT64_FORMAT " errors\n",
                               drive.cache, drive.reads, drive.read_bytes, drive.writes, drive.write_bytes,
                               drive.flushes, drive.errors);
    }
}

static void describe_device(struct device *device, void *opaque)
{
    g_string_append_printf(opaque, "  dev: %s, id \"%s\"\n", device->class->name, device->id);
}

static void describe_state(struct device *device, void *opaque)
{
    if (device->class->state)
        state_print(device->class->state, device->id, device, opaque);
}

static void describe_chardevs(struct machine *m, GString *out)
{
    struct control_char port;
    for (unsigned i = 0; operate_chardev(m, i, &port); i++) {
        g_string_append_printf(out, "%s: filename=%s%s", port.id, port.spec,
                               port.open ? "" : " (nobody connected)");
        if (port.dropped) /* nobody took them, or the disk is full */
            g_string_append_printf(out, ", %" G_GUINT64_FORMAT " bytes of output lost", port.dropped);
        g_string_append_c(out, '\n');
    }
}

static void describe_statistics(struct machine *m, GString *out)
{
    const struct cpu_statistics *s = cpu_statistics(m->cpu);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"instructions", s->instructions},     {"blocks made", s->blocks_made},
        {"blocks dropped", s->blocks_dropped}, {"TLB misses", s->tlb_misses},
        {"TLB flushes", s->tlb_flushes},       {"page walks", s->page_walks},
        {"interrupts", s->interrupts},         {"exceptions", s->exceptions},
    };
    if (m->icount)
        icount_describe(m->icount, out);
    g_string_append_printf(out, "guest time      %.3f s\n", (double)clock_now(m->clock) / 1e9);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        g_string_append_printf(out, "%-15s %" G_GUINT64_FORMAT "\n", rows[i].name, rows[i].value);
    if (m->config->engine == MACHINE_ENGINE_JIT)
        cpu_describe_jit(m->cpu, out);
}

static void describe_vnc(struct machine *m, GString *out)
{
    struct control_vnc vnc;
    for (unsigned i = 0; operate_vnc(m, i, &vnc); i++)
        g_string_append_printf(out, "%s%s%s (%s): auth %s, %u viewer%s\n", vnc.host, *vnc.service ? ":" : "",
                               vnc.service, vnc.family, vnc.password ? "vnc" : "none", vnc.viewers,
                               vnc.viewers == 1 ? "" : "s");
    if (!operate_vnc(m, 0, &vnc))
        g_string_append(out, "None\n");
}

/* The one that counts has a star. */
static void describe_mice(struct machine *m, GString *out)
{
    bool absolute = m->vmport && vmport_absolute(m->vmport);
    unsigned number = 0;
    if (!m->config->vga)
        g_string_append(out, "No mouse devices connected\n");
    else
        g_string_append_printf(out, "%s Mouse #%u: PS/2 Mouse\n", absolute ? " " : "*", number++);
    if (m->vmport)
        g_string_append_printf(out, "%s Mouse #%u: VMware mouse%s\n", absolute ? "*" : " ", number++,
                               absolute ? " (absolute)" : "");
    for (guint i = 0; i < m->ports->len; i++)
        if (char_is_mouse(((struct machine_port *)m->ports->pdata[i])->port))
            g_string_append_printf(out, "  Mouse #%u: serial mouse (%s), while its port is open\n", number++,
                                   ((struct machine_port *)m->ports->pdata[i])->id);
}

static void describe_roms(struct machine *m, GString *out)
{
    if (m->rom_size)
        g_string_append_printf(out, "addr=%08" G_GINT64_MODIFIER "x size=0x%06zx mem=rom name=\"%s\"\n",
                               (UINT64_C(1) << 32) - m->rom_size, m->rom_size,
                               m->config->bios ? m->config->bios : "flash");
    if (m->vga_rom_size)
        g_string_append_printf(out, "VGA size=0x%06x mem=pci name=\"video BIOS\"\n", m->vga_rom_size);
    for (guint i = 0; m->option_roms && i < m->option_roms->len; i++) {
        const struct machine_rom *rom = m->option_roms->pdata[i];
        g_string_append_printf(out, "PCI size=0x%06x mem=pci name=\"%s\"\n", rom->size, rom->path);
    }
}

static void operate_describe(void *opaque, enum control_info what, GString *out)
{
    struct machine *m = opaque;
    switch (what) {
    case CONTROL_INFO_REGISTERS:
        cpu_describe(m->cpu, out);
        break;
    case CONTROL_INFO_MTREE:
        physmap_describe(m->mem, out);
        break;
    case CONTROL_INFO_PCI:
        pci_bus_describe(m->bus, out);
        break;
    case CONTROL_INFO_NETWORK:
        describe_network(m, out);
        break;
    case CONTROL_INFO_BLOCK:
        describe_drives(m, out);
        break;
    case CONTROL_INFO_USERNET:
        describe_usernet(m, out);
        break;
    case CONTROL_INFO_QTREE:
        machine_foreach_device(m, describe_device, out);
        break;
    case CONTROL_INFO_CHARDEV:
        describe_chardevs(m, out);
        break;
    case CONTROL_INFO_PIC:
        pic_describe(m->pic, out);
        ioapic_describe(m->ioapic, out);
        break;
    case CONTROL_INFO_LAPIC:
        lapic_describe(m->lapic, out);
        break;
    case CONTROL_INFO_FWCFG:
        fwcfg_describe(m->fwcfg, out);
        break;
    case CONTROL_INFO_STATISTICS:
        describe_statistics(m, out);
        break;
    case CONTROL_INFO_VNC:
        describe_vnc(m, out);
        break;
    case CONTROL_INFO_MICE:
        describe_mice(m, out);
        break;
    case CONTROL_INFO_ROMS:
        describe_roms(m, out);
        break;
    case CONTROL_INFO_STATE:
        machine_foreach_device(m, describe_state, out);
        break;
    case CONTROL_INFO_COUNT:
        break;
    }
}

static void operate_counters(void *opaque, cpu_counter_fn *visit, void *visitor)
{
    struct machine *m = opaque;
    visit(visitor, "machine", "guest-time-ns", (uint64_t)clock_now(m->clock));
    cpu_foreach_counter(m->cpu, visit, visitor);
}

void machine_offer(struct machine *m)
{
    m->offer = (struct control_machine){
        .opaque = m,
        .name = m->config->name,
        .status = operate_status,
        .stop = operate_stop,
        .cont = operate_cont,
        .quit = operate_quit,
        .reset = operate_reset,
        .power_button = operate_power_button,
        .wake = operate_wake,
        .can_suspend = !m->config->no_suspend && m->config->acpi,
        .nmi = operate_nmi,
        .migrate = machine_migrate,
        .migrate_cancel = machine_migrate_cancel,
        .migrate_incoming = machine_migrate_incoming,
        .migration = machine_migration,
        .snapshot_save = machine_snapshot_save,
        .snapshot_load = machine_snapshot_load,
        .snapshot_delete = machine_snapshot_delete,
        .snapshot = machine_snapshot_get,
        .snapshot_disk = machine_snapshot_disk,
        .snapshot_disk_delete = machine_snapshot_disk_delete,
        .watchdog_action = machine_set_watchdog_action,
        .chardev = operate_chardev,
        .port = operate_port,
        .uuid = m->config->has_uuid ? m->config->uuid : NULL,
        .display = m->config->window.open ? "sdl"
                   : m->config->curses    ? "curses"
                                          : "none",
        .full_screen = m->config->window.full_screen,
        .window_stays = m->config->window.no_close,
        .ram_size = m->config->ram_size,
        .vga_memory = m->config->vga_memory,
        .chardev_add = operate_chardev_add,
        .chardev_remove = operate_chardev_remove,
        .chardev_change = operate_chardev_change,
        .chardev_break = operate_chardev_break,
        .gdbserver = operate_gdbserver,
        .boot_set = operate_boot_set,
        .host_address = operate_host_address,
        .vnc_expire = operate_vnc_expire,
        .has_vga = m->config->vga,
        .pci = operate_pci,
        .device = operate_device,
        .option_name = operate_option_name,
        .option_key = operate_option_key,
        .device_type = operate_device_type,
        .device_key = operate_device_key,
        .cpu_model = operate_cpu_model,
        .cpu = cpu_model_name(m->config->cpu),
        .create = operate_create,
        .dump = machine_dump,
        .nic = operate_nic,
        .rx_filter = operate_rx_filter,
        .capture = operate_capture,
        .set_link = operate_set_link,
        .impair = network_impair,
        .drive = machine_drive_status,
        .node = machine_node_status,
        .blockdev_add = machine_blockdev_add,
        .blockdev_del = machine_blockdev_del,
        .announce = machine_announce,
        .blockdev_reopen = machine_blockdev_reopen,
        .insert = machine_drive_insert,
        .eject = machine_drive_eject,
        .change = machine_drive_change,
        .tray = machine_drive_tray,
        .resize = machine_drive_resize,
        .commit = machine_drive_commit,
        .limit = machine_drive_limit,
        .forward = operate_forward,
        .netdev_add = hotplug_netdev_add,
        .netdev_del = hotplug_netdev_del,
        .device_add = hotplug_device_add,
        .device_del = hotplug_device_del,
        .object_add = hotplug_object_add,
        .object_del = hotplug_object_del,
        .describe = operate_describe,
        .counters = operate_counters,
        .read_memory = operate_read_memory,
        .read_port = operate_read_port,
        .write_port = operate_write_port,
        .key = operate_key,
        .keys = machine_press_keys,
        .mouse = operate_mouse,
        .screendump = operate_screendump,
        .vnc = operate_vnc,
        .vnc_client = operate_vnc_client,
        .vnc_password = operate_vnc_password,
        .register_value = operate_register,
        .disassemble = operate_disassemble,
    };
}
