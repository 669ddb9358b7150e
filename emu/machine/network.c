/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The machine's network: NICs, back ends, hubs, captures, and the cables between them.
 *
 * Every back end of the command line is opened first. Then hub ports take in what they name
 * (hubport,netdev=), NICs are cabled to theirs, and NICs and back ends of the old -net words are joined by
 * the hub of their number: where that hub would have one of each, they are cabled directly, which is the same
 * to both and lets a TAP take bursts whole.
 */
#include "emu/machine/machine_internal.h"
#include "emu/net/impair.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

static struct char_port *env_open_char(void *opaque, const char *id, const char *words, GError **error)
{
    struct machine *m = opaque;
    struct char_spec spec;
    if (!char_spec_parse(words, &spec, error))
        return NULL;
    bool known = spec.kind != CHAR_REFERENCE;
    for (guint i = 0; !known && i < m->ports->len; i++)
        known = g_str_equal(((const struct machine_port *)m->ports->pdata[i])->id, spec.path);
    if (!known)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "there is no -chardev with id=%s; add -chardev socket,id=%s,… or another back end",
                    spec.path, spec.path);
    struct char_port *port = known ? machine_plug(m, id, &spec, error) : NULL;
    char_spec_clear(&spec);
    return port;
}

static void env_warn(void *opaque, const char *text)
{
    fprintf(stderr, "netlab-emu: warning: %s\n", text);
}

struct net_port *network_find(struct machine *m, const char *id)
{
    for (guint i = 0; m->netdevs && i < m->netdevs->len; i++)
        if (g_str_equal(net_port_id(m->netdevs->pdata[i]), id))
            return m->netdevs->pdata[i];
    return NULL;
}

bool network_add_netdev(struct machine *m, const struct machine_netdev *netdev, GError **error)
{
    struct net_port *port = netdev->kind->open(netdev->id, netdev->words, &m->net_env, error);
    if (!port) {
        g_prefix_error(error, "-netdev %s,id=%s: ", netdev->kind->name, netdev->id);
        return false;
    }
    g_ptr_array_add(m->netdevs, port);
    return true;
}

static bool open_netdevs(struct machine *m, GError **error)
{
    for (guint i = 0; i < m->config->netdevs->len; i++)
        if (!network_add_netdev(m, m->config->netdevs->pdata[i], error))
            return false;
    return true;
}

static bool mac_taken(const struct machine *m, const uint8_t mac[6])
{
    for (unsigned i = 0; i < m->card_count; i++)
        if (!memcmp(m->cards[i].mac, mac, 6))
            return true;
    return false;
}

bool network_add_card(struct machine *m, const struct machine_nic *nic, GError **error)
{
    struct machine_card card = {.config = nic};
    struct e1000_config e1000 = {.id = nic->id};
    if (nic->has_mac)
        memcpy(card.mac, nic->mac, 6);
    else
        e1000_default_mac(m->card_count, card.mac); /* its place in the row, or the first that nobody has */
    for (unsigned n = 0; !nic->has_mac && n < 256 && mac_taken(m, card.mac); n++)
        e1000_default_mac(n, card.mac);
    memcpy(e1000.mac, card.mac, 6);
    card.device = machine_keep(m, e1000_new(m->bus, nic->slot, &e1000, m->clock, error));
    if (!card.device) {
        g_prefix_error(error, "NIC %s: ", nic->id);
        return false;
    }
    m->cards = g_renew(struct machine_card, m->cards, m->card_count + 1);
    m->cards[m->card_count++] = card;
    net_port_hold(e1000_port(card.device), m->status != CONTROL_RUNNING);
    if (!machine_nic_rom(m, (struct pci_device *)card.device, nic, error)) {
        g_prefix_error(error, "NIC %s: ", nic->id);
        return false;
    }
    return true;
}

void network_hold(struct machine *m, bool held)
{
    for (unsigned i = 0; i < m->card_count; i++)
        net_port_hold(e1000_port(m->cards[i].device), held);
}

void network_remove_card(struct machine *m, unsigned index)
{
    machine_nic_free(m->cards[index].own);
    m->card_count--;
    memmove(m->cards + index, m->cards + index + 1, (m->card_count - index) * sizeof *m->cards);
}

/* What is plugged into the hub of a number by -net: at most one of each, or more. */
struct members {
    unsigned cards, backends;
};

static struct members count_members(const struct machine *m, int vlan)
{
    struct members members = {0};
    for (unsigned i = 0; i < m->card_count; i++)
        members.cards += m->cards[i].config->vlan == vlan;
    for (guint i = 0; i < m->config->netdevs->len; i++) {
        const struct machine_netdev *netdev = m->config->netdevs->pdata[i];
        members.backends += netdev->vlan == vlan;
        /* A hubport of the same number makes the hub a real one. */
        if (netdev->vlan < 0 && netdev->kind == &net_kind_hubport &&
            (int)keyval_number(netdev->words, "hubid", 0) == vlan)
            members.backends += 2;
    }
    return members;
}

/* The lines are as bad as the command line wants them. */
void network_impair_card(struct machine *m, const struct machine_card *card)
{
    struct net_port *ends[] = {e1000_port(card->device), net_peer(e1000_port(card->device))};
    const char *const words[] = {card->config->impair_out, card->config->impair_in};
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        struct net_impairment impairment;
        if (words[i] && ends[i] && net_impairment_parse(words[i], &impairment, NULL))
            net_port_impair(ends[i], m->clock, &impairment);
    }
}

static void cable(struct machine *m, struct machine_card *card, struct net_port *backend)
{
    card->backend = backend;
    net_join(e1000_port(card->device), backend);
    network_impair_card(m, card);
}

static void cable_old(struct machine *m, struct machine_card *card)
{
    int vlan = card->config->vlan;
    struct members members = count_members(m, vlan);
    if (members.cards == 1 && members.backends == 1) {
        for (guint i = 0; i < m->config->netdevs->len; i++)
            if (((struct machine_netdev *)m->config->netdevs->pdata[i])->vlan == vlan)
                cable(m, card, m->netdevs->pdata[i]);
        return;
    }
    g_autofree char *id = g_strdup_printf("hub%dport-%s", vlan, card->config->id);
    cable(m, card, net_hubs_port(m->hubs, (unsigned)vlan, id));
}

static void plug_hubs(struct machine *m)
{
    for (guint i = 0; i < m->config->netdevs->len; i++) {
        const struct machine_netdev *netdev = m->config->netdevs->pdata[i];
        struct net_port *port = m->netdevs->pdata[i];
        struct members members = count_members(m, netdev->vlan);
        if (netdev->vlan >= 0 && !(members.cards == 1 && members.backends == 1)) {
            g_autofree char *id = g_strdup_printf("hub%dport-%s", netdev->vlan, netdev->id);
            net_join(port, net_hubs_port(m->hubs, (unsigned)netdev->vlan, id));
        }
        if (netdev->kind != &net_kind_hubport)
            continue;
        const char *inner = keyval_string(netdev->words, "netdev", NULL);
        struct net_port *to = inner ? network_find(m, inner) : NULL;
        if (to)
            net_join(port, to);
    }
}

bool network_add_capture(struct machine *m, const struct machine_capture *capture, GError **error)
{
    const struct net_dump_config config = {.path = capture->file,
                                           .socket = capture->socket,
                                           .pcapng = capture->pcapng,
                                           .length = capture->length,
                                           .buffer = capture->buffer,
                                           .queue = (enum net_dump_queue)capture->queue};
    struct net_port *port = network_find(m, capture->netdev);
    struct net_dump *dump = port ? net_dump_new(port, &m->net_env, &config, error) : NULL;
    if (!dump) {
        if (!port)
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "there is no -netdev with id=%s",
                        capture->netdev);
        g_prefix_error(error, "-object filter-dump,id=%s: ", capture->id);
        return false;
    }
    struct machine_filter *filter = g_new(struct machine_filter, 1);
    *filter = (struct machine_filter){.id = g_strdup(capture->id), .port = port, .dump = dump};
    g_ptr_array_add(m->captures, filter);
    return true;
}

static void free_filter(void *data)
{
    struct machine_filter *filter = data;
    net_dump_free(filter->dump);
    g_free(filter->id);
    g_free(filter);
}

void network_sweep_captures(struct machine *m)
{
    for (guint i = m->captures->len; i-- > 0;) {
        const struct machine_filter *filter = m->captures->pdata[i];
        struct net_dump_counters counters;
        net_dump_counters(filter->dump, &counters);
        if (counters.live && counters.ended)
            g_ptr_array_remove_index(m->captures, i);
    }
}

bool network_remove_capture(struct machine *m, const char *id)
{
    for (guint i = 0; i < m->captures->len; i++)
        if (g_str_equal(((struct machine_filter *)m->captures->pdata[i])->id, id)) {
            g_ptr_array_remove_index(m->captures, i);
            return true;
        }
    return false;
}

void network_remove_netdev(struct machine *m, struct net_port *port)
{
    for (guint i = m->captures->len; i-- > 0;)
        if (((struct machine_filter *)m->captures->pdata[i])->port == port)
            g_ptr_array_remove_index(m->captures, i);
    for (unsigned i = 0; i < m->card_count; i++)
        if (m->cards[i].backend == port)
            m->cards[i].backend = NULL;
    g_ptr_array_remove(m->netdevs, port);
    net_port_free(port);
}

static bool open_captures(struct machine *m, GError **error)
{
    for (guint i = 0; i < m->config->captures->len; i++)
        if (!network_add_capture(m, m->config->captures->pdata[i], error))
            return false;
    return true;
}

bool network_build(struct machine *m, GError **error)
{
    m->hubs = net_hubs_new();
    m->netdevs = g_ptr_array_new();
    m->captures = g_ptr_array_new_with_free_func(free_filter);
    m->net_env = (struct net_env){.loop = m->loop,
                                  .clock = m->clock,
                                  .hubs = m->hubs,
                                  .opaque = m,
                                  .open_char = env_open_char,
                                  .warn = env_warn,
                                  .no_programs = m->config->sandbox.on && !m->config->sandbox.spawn};
    for (guint i = 0; i < m->config->nics->len; i++)
        if (!network_add_card(m, m->config->nics->pdata[i], error))
            return false;
    if (!open_netdevs(m, error))
        return false;
    plug_hubs(m);
    for (unsigned i = 0; i < m->card_count; i++) {
        struct machine_card *card = &m->cards[i];
        struct net_port *backend = card->config->netdev ? network_find(m, card->config->netdev) : NULL;
        if (backend)
            cable(m, card, backend);
        else if (card->config->vlan >= 0)
            cable_old(m, card);
    }
    return open_captures(m, error);
}

void network_free(struct machine *m)
{
    if (m->captures)
        g_ptr_array_set_size(m->captures, 0);
    for (guint i = m->netdevs ? m->netdevs->len : 0; i-- > 0;)
        net_port_free(m->netdevs->pdata[i]);
    net_hubs_free(m->hubs);
    if (m->captures)
        g_ptr_array_unref(m->captures);
    if (m->netdevs)
        g_ptr_array_unref(m->netdevs);
    for (unsigned i = 0; i < m->card_count; i++)
        machine_nic_free(m->cards[i].own);
    machine_announce_free(m);
    g_free(m->cards);
    m->cards = NULL;
    m->card_count = 0;
}

/* ---- bad lines ---- */

static void describe_line(const char *direction, const struct net_port *port, GString *out)
{
    struct net_impairment impairment = {0};
    struct net_impair_counters c = {0};
    bool is_bad = net_port_impairment(port, &impairment, &c);
    g_autofree char *words = net_impairment_format(&impairment);
    g_string_append_printf(out, "%s: %s\n", direction, words);
    if (is_bad)
        g_string_append_printf(
            out,
            "   %" G_GUINT64_FORMAT " frames, lost %" G_GUINT64_FORMAT ", queue full %" G_GUINT64_FORMAT
            ", doubled %" G_GUINT64_FORMAT ", damaged %" G_GUINT64_FORMAT ", overtaking %" G_GUINT64_FORMAT
            "; %u on their way, %u at most\n",
            c.frames, c.lost, c.overflow, c.duplicated, c.corrupted, c.reordered, c.queued, c.most_queued);
}

bool network_impair(void *opaque, const char *name, const char *direction, const char *words, GString *out,
                    GError **error)
{
    struct machine *m = opaque;
    struct net_port *ends[2] = {NULL, NULL}; /* out: the NIC's, in: its back end's */
    struct net_impairment impairment;
    for (unsigned i = 0; i < m->card_count; i++) {
        const struct machine_card *card = &m->cards[i];
        if (g_str_equal(card->config->id, name) ||
            (card->backend && g_str_equal(net_port_id(card->backend), name))) {
            ends[0] = e1000_port(card->device);
            ends[1] = net_peer(ends[0]);
        }
    }
    if (!ends[0] || !ends[1]) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    ends[0] ? "NIC %s has no cable that could be impaired"
                            : "there is no NIC %s, nor one whose back end is called so; see info network",
                    name);
        return false;
    }
    bool is_out = !direction || g_str_equal(direction, "out") || g_str_equal(direction, "both"),
         is_in = !direction || g_str_equal(direction, "in") || g_str_equal(direction, "both");
    if (!is_out && !is_in) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "direction %s: out (what the guest sends), in (what it gets) or both", direction);
        return false;
    }
    if (words && !net_impairment_parse(words, &impairment, error))
        return false;
    if (words && is_out)
        net_port_impair(ends[0], m->clock, &impairment);
    /* The other way has chances of its own. */
    if (words && is_in && is_out)
        impairment.seed = ~impairment.seed;
    if (words && is_in)
        net_port_impair(ends[1], m->clock, &impairment);
    describe_line("out", ends[0], out);
    describe_line("in", ends[1], out);
    return true;
}
