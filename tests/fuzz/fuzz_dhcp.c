/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * DHCP from a hostile network: the input is a series of packets for a client, with time passing in between.
 * Each record is a byte that says what it is, two of length, and the bytes. Replies get the transaction
 * number and the hardware address they need to be looked at, unless the record says otherwise. Also decoded
 * messages must encode to what decodes to the same, stored leases must read back, and what the client would
 * put on the interface must be an address that a host may have.
 */
#include "../unit/dhcp_reply.h"
#include "fuzz_main.h"

enum {
    KIND_MASK = 7,
    KIND_PAYLOAD = 0, /* 0…3: as it is, or with what makes it ours */
    KIND_PACKET = 4,
    KIND_ARP = 5,
    KIND_TIME = 6,
    KIND_LINK = 7,
    MESSAGES_MOST = 2000, /* a client that sends more than that for one input is too easily made busy */
};

struct world {
    uint32_t xid, random;
    unsigned sent;
    int64_t now;
    enum dhcp_type type;
};

static bool on_send(void *opaque, const struct dhcp_message *message, uint32_t destination)
{
    struct world *world = opaque;
    g_autoptr(GByteArray) bytes = dhcp_message_encode(message);
    g_autoptr(dhcp_message) again = dhcp_message_decode(bytes->data, bytes->len, NULL);
    g_assert_nonnull(again);
    world->xid = message->xid;
    g_assert_cmpuint(++world->sent, <, MESSAGES_MOST);
    return true;
}

static bool on_send_arp(void *opaque, const struct dhcp_arp *arp)
{
    struct world *world = opaque;
    g_assert_cmpuint(++world->sent, <, MESSAGES_MOST);
    return true;
}

static void check_lease(const struct dhcp_lease *lease)
{
    g_assert_true(dhcp_address_is_unicast(lease->address));
    g_assert_true(dhcp_address_is_unicast(lease->server));
    g_assert_cmpuint(lease->lifetime, >, 0);
    g_assert_cmpuint(lease->length, >=, 1);
    g_assert_cmpuint(lease->length, <=, 32);
    g_assert_true(lease->t1 <= lease->t2 && lease->t2 <= lease->lifetime);
    g_assert_cmpuint(lease->routes->len, <=, DHCP_LEASE_LIST_MAX);
    g_autofree char *text = dhcp_lease_format(lease);
    g_autoptr(GError) error = NULL;
    g_autoptr(dhcp_lease) again = dhcp_lease_parse(text, &error);
    g_assert_no_error(error);
    g_autofree char *text_again = dhcp_lease_format(again);
    g_assert_cmpstr(text, ==, text_again);
}

static void on_tell(void *opaque, const struct dhcp_event *event)
{
    if (event->lease)
        check_lease(event->lease);
}

static uint32_t on_random(void *opaque)
{
    struct world *world = opaque;
    return world->random = world->random * 1664525 + 1013904223;
}

static int64_t on_wall(void *opaque)
{
    return 1700000000;
}

static void check_message(const uint8_t *data, size_t size)
{
    g_autoptr(dhcp_message) message = dhcp_message_decode(data, size, NULL);
    if (!message)
        return;
    g_autoptr(GByteArray) bytes = dhcp_message_encode(message);
    g_autoptr(dhcp_message) again = dhcp_message_decode(bytes->data, bytes->len, NULL);
    /* (option 52 would overload the fields once more) */
    if (!message->options[DHCP_OPTION_OVERLOAD]) {
        g_assert_nonnull(again);
        g_autoptr(GByteArray) twice = dhcp_message_encode(again);
        g_assert_cmpmem(twice->data, twice->len, bytes->data, bytes->len);
    }
    g_autoptr(dhcp_lease) lease = dhcp_lease_from_message(message, NULL);
    if (lease)
        check_lease(lease);
}

static void deliver(struct dhcp_client *client, struct world *world, unsigned kind, const uint8_t *data,
                    size_t size)
{
    g_autofree uint8_t *copy = g_memdup2(data, size);
    static const struct hostnet_mac mac = REPLY_MAC;
    if (kind && size >= 240) {
        copy[0] = DHCP_OP_REPLY;
        copy[1] = 1;
        copy[2] = 6;
        dhcp_write32(copy + 4, world->xid);
        memcpy(copy + 28, mac.octets, 6);
        dhcp_write32(copy + 236, 0x63825363);
    }
    if (kind >= 2 && size >= 243 + (kind == 3 ? 6u : 0u)) {
        copy[240] = DHCP_OPTION_TYPE;
        copy[241] = 1;
        static const uint8_t types[] = {DHCP_OFFER, DHCP_ACK, DHCP_ACK, DHCP_NAK};
        copy[242] = types[copy[242] & 3];
    }
    if (kind == 3 && size >= 249) {
        copy[243] = DHCP_OPTION_SERVER;
        copy[244] = 4;
    }
    check_message(copy, size);
    dhcp_client_receive(client, copy, size, IP(10, 0, 0, 1), world->now);
}

static void deliver_packet(struct dhcp_client *client, struct world *world, const uint8_t *data, size_t size)
{
    struct dhcp_packet packet;
    if (dhcp_packet_parse(data, size, data[0] & 0x80, &packet, NULL))
        dhcp_client_receive(client, packet.payload, packet.length, packet.source, world->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct hostnet_mac mac = REPLY_MAC;
    static const struct dhcp_io io = {
        .send = on_send, .send_arp = on_send_arp, .tell = on_tell, .random = on_random, .wall = on_wall};
    struct world world = {.now = 1000};
    struct dhcp_settings settings;
    dhcp_settings_default(&settings, &mac);
    settings.probe_ms = size && (data[0] & 0x10) ? 200 : 0;
    g_autoptr(dhcp_client) client = dhcp_client_new(&settings, &io, &world);
    dhcp_client_start(client, NULL, world.now);
    dhcp_client_tick(client, world.now);
    unsigned records = 0;
    for (size_t at = 0; at + 3 <= size && records < 64; records++) {
        unsigned kind = data[at] & KIND_MASK, argument = data[at] >> 3;
        size_t length = MIN((size_t)dhcp_read16(data + at + 1), size - at - 3);
        const uint8_t *bytes = data + at + 3;
        at += 3 + length;
        if (kind < KIND_PACKET) {
            deliver(client, &world, kind, bytes, length);
        } else if (kind == KIND_PACKET && length) {
            deliver_packet(client, &world, bytes, length);
        } else if (kind == KIND_ARP) {
            struct dhcp_arp arp;
            if (dhcp_arp_parse(bytes, length, &arp))
                dhcp_client_receive_arp(client, &arp, world.now);
        } else if (kind == KIND_LINK) {
            dhcp_client_link(client, argument & 1, world.now);
        } else {
            world.now += (int64_t)1 << MIN(argument, 24u);
            /* What is due comes one after the other, as with a real clock. */
            for (unsigned i = 0; i < 16 && dhcp_client_deadline(client) <= world.now; i++)
                dhcp_client_tick(client, world.now);
        }
    }
    g_autoptr(GPtrArray) search = dhcp_search_decode(data, size, NULL);
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(dhcp_lease) stored = dhcp_lease_parse(text, NULL);
    if (stored)
        check_lease(stored);
    return 0;
}

FUZZ_MAIN(3000, 2000)
