/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * NICs, back ends and captures that come and go while the machine runs.
 *
 * A NIC comes at once: it is on the PCI bus, and ACPI tells the guest so (emu/dev/pci_hotplug.h). It goes
 * when the guest lets go: device_del only asks, the guest's driver stops the NIC and its ACPI writes the
 * slot's bit to the eject register. Where nobody answers (no ACPI, no driver for it) the request stays, and
 * the next reset takes the NIC out; a machine that was never started has nobody to ask and loses it right
 * away.
 *
 * The eject comes from inside a port write, perhaps of an instruction that reads its operand out of the very
 * NIC, so there the function is only taken off the bus: no window, no DMA, no interrupt is left. It is freed
 * from the loop, between instructions.
 *
 * A back end may be taken away under a NIC: that one loses its link. Machine thread only.
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { NETDEVS_MOST = 64, CAPTURES_MOST = 64, FIRST_SLOT = 2 };

static unsigned slot_of(const struct machine_card *card)
{
    return ((const struct pci_device *)card->device)->devfn >> 3;
}

/* ---- what the registers ask ---- */

static uint32_t slots_of_cards(void *opaque)
{
    const struct machine *m = opaque;
    uint32_t slots = 0;
    for (unsigned i = 0; i < m->card_count; i++)
        slots |= 1u << slot_of(&m->cards[i]);
    return slots;
}

static void raise_event(void *opaque)
{
    piix4_pm_raise_gpe(((struct machine *)opaque)->pm, PCI_HOTPLUG_GPE);
}

static void bury(void *opaque)
{
    g_ptr_array_set_size(((struct machine *)opaque)->leaving, 0);
}

static void take_out(struct machine *m, unsigned index)
{
    struct machine_card *card = &m->cards[index];
    struct device *device = card->device;
    trace(ACPI, "%s leaves slot %u", card->config->id, slot_of(card));
    pci_hotplug_forget(m->hotplug, slot_of(card));
    g_autofree char *data = g_strdup_printf("\"device\": \"%s\", \"path\": \"/machine/peripheral/%s\"",
                                            card->config->id, card->config->id);
    g_ptr_array_remove(m->devices, device);
    pci_device_remove((struct pci_device *)device);
    network_remove_card(m, index);
    g_ptr_array_add(m->leaving, device);
    if (m->leaving->len == 1)
        loop_defer(m->loop, bury, m);
    control_event(m->control, "DEVICE_DELETED", data);
}

static void eject(void *opaque, unsigned slot)
{
    struct machine *m = opaque;
    for (unsigned i = 0; i < m->card_count; i++) {
        if (slot_of(&m->cards[i]) == slot) {
            take_out(m, i);
            return;
        }
    }
}

static void free_late(void *data)
{
    struct machine_late_netdev *late = data;
    machine_netdev_free(late->config);
    g_ptr_array_unref(late->ports);
    g_free(late);
}

void hotplug_build(struct machine *m)
{
    m->late = g_ptr_array_new_with_free_func(free_late);
    m->leaving = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
    m->hotplug = machine_keep(
        m, pci_hotplug_new(
               m->io, &(struct pci_hotplug_wiring){
                          .notify = raise_event, .removable = slots_of_cards, .eject = eject, .opaque = m}));
}

/* The board's own functions stay; whether a NIC is in one of the others right now makes no difference to the
 * tables. */
uint32_t hotplug_slots(const struct machine *m)
{
    uint32_t slots = slots_of_cards((void *)m);
    for (unsigned slot = FIRST_SLOT; slot < PCI_HOTPLUG_SLOTS; slot++)
        if (!pci_bus_find(m->bus, (uint8_t)(slot << 3)))
            slots |= 1u << slot;
    return slots;
}

void hotplug_before_reset(struct machine *m)
{
    uint32_t pending = pci_hotplug_pending(m->hotplug);
    for (unsigned slot = 0; slot < PCI_HOTPLUG_SLOTS; slot++)
        if (pending >> slot & 1)
            eject(m, slot);
}

/* ---- back ends ---- */

static bool fail(GError **error, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool fail(GError **error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, G_IO_ERROR, code, text);
    return false;
}

/* The words of a back end that is there; NULL: a hub's port of -net. */
static const struct machine_netdev *words_of(const struct machine *m, const char *id)
{
    for (guint i = 0; i < m->late->len; i++) {
        const struct machine_late_netdev *late = m->late->pdata[i];
        if (g_str_equal(late->config->id, id))
            return late->config;
    }
    for (guint i = 0; i < m->config->netdevs->len; i++) {
        const struct machine_netdev *netdev = m->config->netdevs->pdata[i];
        if (g_str_equal(netdev->id, id))
            return netdev;
    }
    return NULL;
}

/* A descriptor belongs to one back end: it is closed with it. */
static bool check_descriptor(const struct machine *m, const struct machine_netdev *netdev, GError **error)
{
    if (netdev->kind != &net_kind_tap || !keyval_has(netdev->words, "fd"))
        return true;
    uint64_t fd = keyval_number(netdev->words, "fd", 0);
    for (guint i = 0; i < m->netdevs->len; i++) {
        const char *id = net_port_id(m->netdevs->pdata[i]);
        const struct machine_netdev *other = words_of(m, id);
        if (other && other->kind == netdev->kind && keyval_has(other->words, "fd") &&
            keyval_number(other->words, "fd", 0) == fd)
            return fail(error, G_IO_ERROR_EXISTS, "fd=%u belongs to netdev %s; pass another descriptor",
                        (unsigned)fd, id);
    }
    return true;
}

static bool join_hubport(struct machine *m, const struct machine_netdev *netdev, struct net_port **inner,
                         GError **error)
{
    const char *name = keyval_string(netdev->words, "netdev", NULL);
    *inner = name ? network_find(m, name) : NULL;
    if (!name)
        return true;
    if (!*inner)
        return fail(error, G_IO_ERROR_INVALID_ARGUMENT, "netdev=%s: there is no back end of that name", name);
    return !net_peer(*inner) || fail(error, G_IO_ERROR_EXISTS, "netdev=%s: it is cabled to %s", name,
                                     net_port_id(net_peer(*inner)));
}

static bool may_add_netdev(struct machine *m, const struct machine_netdev *netdev, struct net_port **inner,
                           GError **error)
{
    if (m->netdevs->len >= NETDEVS_MOST)
        return fail(error, G_IO_ERROR_NO_SPACE, "more than %d back ends; netdev_del one", NETDEVS_MOST);
    if (network_find(m, netdev->id))
        return fail(error, G_IO_ERROR_EXISTS, "Duplicate ID '%s' for netdev", netdev->id);
    return check_descriptor(m, netdev, error) &&
           (netdev->kind != &net_kind_hubport || join_hubport(m, netdev, inner, error));
}

bool hotplug_netdev_add(void *opaque, const char *words, GError **error)
{
    struct machine *m = opaque;
    struct machine_netdev *netdev = m->config->words ? m->config->words->netdev(words, error) : NULL;
    struct net_port *inner = NULL;
    if (!netdev)
        return false;
    guint ports = m->ports->len;
    bool good = may_add_netdev(m, netdev, &inner, error) && network_add_netdev(m, netdev, error);
    struct machine_late_netdev *late = g_new0(struct machine_late_netdev, 1);
    late->config = netdev;
    late->ports = g_ptr_array_new();
    while (ports < m->ports->len)
        g_ptr_array_add(late->ports, m->ports->pdata[ports++]);
    if (!good) {
        for (guint i = 0; i < late->ports->len; i++)
            machine_unplug(m, late->ports->pdata[i]);
        free_late(late);
        return false;
    }
    g_ptr_array_add(m->late, late);
    if (inner)
        net_join(m->netdevs->pdata[m->netdevs->len - 1], inner);
    return true;
}

bool hotplug_netdev_del(void *opaque, const char *id, GError **error)
{
    struct machine *m = opaque;
    struct net_port *port = network_find(m, id);
    if (!port)
        return fail(error, G_IO_ERROR_NOT_FOUND, "Device '%s' not found", id);
    network_remove_netdev(m, port);
    for (guint i = 0; i < m->late->len; i++) {
        struct machine_late_netdev *late = m->late->pdata[i];
        if (!g_str_equal(late->config->id, id))
            continue;
        for (guint k = 0; k < late->ports->len; k++)
            machine_unplug(m, late->ports->pdata[k]);
        g_ptr_array_remove_index(m->late, i);
        break;
    }
    return true;
}

/* ---- NICs ---- */

static bool id_taken(const struct machine *m, const char *id)
{
    for (guint i = 0; i < m->devices->len; i++)
        if (g_str_equal(((struct device *)m->devices->pdata[i])->id, id))
            return true;
    return false;
}

static bool may_add_card(struct machine *m, struct machine_nic *nic, struct net_port **backend,
                         GError **error)
{
    for (unsigned n = 0; !nic->id; n++) {
        g_autofree char *id = g_strdup_printf("net%u", n);
        if (!id_taken(m, id))
            nic->id = g_steal_pointer(&id);
    }
    if (id_taken(m, nic->id))
        return fail(error, G_IO_ERROR_EXISTS, "Duplicate device ID '%s'", nic->id);
    for (unsigned i = 0; nic->has_mac && i < m->card_count; i++)
        if (!memcmp(m->cards[i].mac, nic->mac, 6))
            return fail(error, G_IO_ERROR_EXISTS, "mac=: NIC %s has the same address",
                        m->cards[i].config->id);
    *backend = nic->netdev ? network_find(m, nic->netdev) : NULL;
    if (nic->netdev && !*backend)
        return fail(error, G_IO_ERROR_INVALID_ARGUMENT,
                    "Property 'e1000.netdev' can't find value '%s' (netdev_add it first)", nic->netdev);
    return !*backend || !net_peer(*backend) ||
           fail(error, G_IO_ERROR_EXISTS,
                "Property 'e1000.netdev' can't take value '%s', it's in use (by %s)", nic->netdev,
                net_port_id(net_peer(*backend)));
}

bool hotplug_device_add(void *opaque, const char *words, GError **error)
{
    struct machine *m = opaque;
    struct machine_nic *nic = m->config->words ? m->config->words->nic(words, error) : NULL;
    struct net_port *backend = NULL;
    unsigned before = m->card_count;
    if (!nic)
        return false;
    bool good = may_add_card(m, nic, &backend, error) && network_add_card(m, nic, error);
    if (!good) {
        if (m->card_count > before) { /* on the bus, but without its ROM; nobody has seen it */
            struct device *device = m->cards[before].device;
            g_ptr_array_remove(m->devices, device);
            network_remove_card(m, before);
            device_free(device);
        }
        machine_nic_free(nic);
        return false;
    }
    struct machine_card *card = &m->cards[m->card_count - 1];
    card->own = nic;
    if (backend) {
        card->backend = backend;
        net_join(e1000_port(card->device), backend);
        network_impair_card(m, card);
    }
    pci_hotplug_plugged(m->hotplug, slot_of(card));
    return true;
}

bool hotplug_device_del(void *opaque, const char *id, GError **error)
{
    struct machine *m = opaque;
    const char *name = g_str_has_prefix(id, "/machine/peripheral/") ? strrchr(id, '/') + 1 : id;
    for (unsigned i = 0; i < m->card_count; i++) {
        if (!g_str_equal(m->cards[i].config->id, name))
            continue;
        if (m->status == CONTROL_PRELAUNCH)
            take_out(m, i);
        else
            pci_hotplug_request(m->hotplug, slot_of(&m->cards[i]));
        return true;
    }
    if (id_taken(m, name))
        return fail(error, G_IO_ERROR_NOT_SUPPORTED,
                    "Device '%s' does not support hot-plugging; NICs do (info network)", name);
    return fail(error, G_IO_ERROR_NOT_FOUND, "Device '%s' not found", id);
}

/* ---- captures ---- */

bool hotplug_object_add(void *opaque, const char *words, GError **error)
{
    struct machine *m = opaque;
    struct machine_capture *capture = m->config->words ? m->config->words->capture(words, error) : NULL;
    if (!capture)
        return false;
    network_sweep_captures(m);
    bool good = m->captures->len < CAPTURES_MOST;
    if (!good)
        fail(error, G_IO_ERROR_NO_SPACE, "more than %d captures; object_del one", CAPTURES_MOST);
    for (guint i = 0; good && i < m->captures->len; i++)
        if (g_str_equal(((struct machine_filter *)m->captures->pdata[i])->id, capture->id))
            good = fail(error, G_IO_ERROR_EXISTS,
                        "attempt to add duplicate property '%s' to object (type 'container')", capture->id);
    good = good && network_add_capture(m, capture, error);
    machine_capture_free(capture);
    return good;
}

bool hotplug_object_del(void *opaque, const char *id, GError **error)
{
    return network_remove_capture(opaque, id) ||
           fail(error, G_IO_ERROR_INVALID_ARGUMENT, "object '%s' not found", id);
}

void hotplug_free(struct machine *m)
{
    if (!m->leaving)
        return;
    loop_cancel_deferred(m->loop, m);
    g_ptr_array_free(m->leaving, TRUE);
    g_ptr_array_free(m->late, TRUE);
}
