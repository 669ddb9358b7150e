/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The DHCP client's state machine against a scripted clock and a scripted server: every transition, and what
 * a network does to packets on the way (loss, copies, wrong order, too late, not for us, made to harm).
 */
#include "dhcp_reply.h"

enum { LOG = 64 };

static const uint32_t SERVER = IP(10, 0, 0, 1), OTHER = IP(10, 0, 0, 2), ADDRESS = IP(10, 0, 0, 57);

/* The world around one client. */
struct world {
    struct dhcp_client *client;
    struct dhcp_settings settings;
    int64_t now;
    uint32_t random;
    struct dhcp_message *sent[LOG]; /* decoded again, as a server would see them */
    uint32_t sent_to[LOG];
    unsigned sent_count;
    struct dhcp_arp arps[LOG];
    unsigned arp_count;
    unsigned events[DHCP_EVENT_COUNT];
    char *why; /* of the last IGNORED or LOST */
};

static bool on_send(void *opaque, const struct dhcp_message *message, uint32_t destination)
{
    struct world *world = opaque;
    g_assert_cmpuint(world->sent_count, <, LOG);
    g_autoptr(GByteArray) bytes = dhcp_message_encode(message);
    world->sent[world->sent_count] = dhcp_message_decode(bytes->data, bytes->len, NULL);
    world->sent_to[world->sent_count++] = destination;
    return true;
}

static bool on_send_arp(void *opaque, const struct dhcp_arp *arp)
{
    struct world *world = opaque;
    g_assert_cmpuint(world->arp_count, <, LOG);
    world->arps[world->arp_count++] = *arp;
    return true;
}

static void on_tell(void *opaque, const struct dhcp_event *event)
{
    struct world *world = opaque;
    world->events[event->type]++;
    if (event->text) {
        g_free(world->why);
        world->why = g_strdup(event->text);
    }
}

static uint32_t on_random(void *opaque)
{
    struct world *world = opaque;
    return world->random = world->random * 1664525 + 1013904223;
}

static int64_t on_wall(void *opaque)
{
    return 1700000000 + ((struct world *)opaque)->now / 1000;
}

static const struct dhcp_io io = {
    .send = on_send, .send_arp = on_send_arp, .tell = on_tell, .random = on_random, .wall = on_wall};

static struct world *world_new(bool probe)
{
    static const struct hostnet_mac mac = REPLY_MAC;
    struct world *world = g_new0(struct world, 1);
    dhcp_settings_default(&world->settings, &mac);
    if (!probe)
        world->settings.probe_ms = 0;
    world->now = 1000000;
    return world;
}

static void begin(struct world *world, const struct dhcp_lease *remembered)
{
    world->client = dhcp_client_new(&world->settings, &io, world);
    dhcp_client_start(world->client, remembered, world->now);
    dhcp_client_tick(world->client, world->now);
}

static void world_free(struct world *world)
{
    dhcp_client_free(world->client);
    for (unsigned i = 0; i < world->sent_count; i++)
        dhcp_message_free(world->sent[i]);
    g_free(world->why);
    g_free(world);
}

static void forget(struct world *world)
{
    for (unsigned i = 0; i < world->sent_count; i++)
        dhcp_message_free(world->sent[i]);
    world->sent_count = world->arp_count = 0;
    memset(world->events, 0, sizeof world->events);
}

static const struct dhcp_message *last(const struct world *world)
{
    g_assert_cmpuint(world->sent_count, >, 0);
    return world->sent[world->sent_count - 1];
}

static void assert_state(const struct world *world, enum dhcp_state state)
{
    g_assert_cmpstr(dhcp_state_name(dhcp_client_state(world->client)), ==, dhcp_state_name(state));
}

static void pass_until(struct world *world, int64_t until)
{
    for (;;) {
        int64_t deadline = dhcp_client_deadline(world->client);
        if (deadline > until)
            break;
        world->now = MAX(world->now, deadline);
        dhcp_client_tick(world->client, world->now);
    }
    world->now = MAX(world->now, until);
    dhcp_client_tick(world->client, world->now);
}

static void pass(struct world *world, int64_t ms)
{
    pass_until(world, world->now + ms);
}

/* To the next thing that is due. */
static void step(struct world *world)
{
    int64_t deadline = dhcp_client_deadline(world->client);
    g_assert_cmpint(deadline, !=, DHCP_NEVER);
    pass_until(world, deadline);
}

/* Takes the message over. */
static void deliver(struct world *world, struct dhcp_message *message)
{
    g_autoptr(GByteArray) bytes = dhcp_message_encode(message);
    uint32_t source = 0;
    dhcp_message_get_u32(message, DHCP_OPTION_SERVER, &source);
    dhcp_message_free(message);
    dhcp_client_receive(world->client, bytes->data, bytes->len, source, world->now);
}

/* An answer to what was sent last. */
static struct dhcp_message *answer(struct world *world, enum dhcp_type type)
{
    return reply_new(type, last(world)->xid, ADDRESS, SERVER);
}

/* Not taken, for this reason, and nothing changes. */
static void assert_ignored(struct world *world, struct dhcp_message *message, const char *why)
{
    unsigned before = world->events[DHCP_EVENT_IGNORED], sent = world->sent_count;
    enum dhcp_state state = dhcp_client_state(world->client);
    deliver(world, message);
    g_assert_cmpuint(world->events[DHCP_EVENT_IGNORED], ==, before + 1);
    g_assert_cmpuint(world->sent_count, ==, sent);
    assert_state(world, state);
    if (!strstr(world->why, why))
        g_error("\"%s\" does not say \"%s\"", world->why, why);
}

static void assert_u32(const struct dhcp_message *message, unsigned option, uint32_t expected)
{
    uint32_t value = 0;
    bool is_there = dhcp_message_get_u32(message, option, &value);
    g_assert_cmpint(is_there, ==, expected != 0);
    g_assert_cmpuint(value, ==, expected);
}

static void to_requesting(struct world *world)
{
    deliver(world, answer(world, DHCP_OFFER));
    pass(world, world->settings.select_ms);
    assert_state(world, DHCP_STATE_REQUESTING);
}

static void to_bound(struct world *world)
{
    to_requesting(world);
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_BOUND);
}

static struct world *bound_new(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    to_bound(world);
    pass(world, 5000); /* announcements */
    forget(world);
    return world;
}

/* ---- the straight way ---- */

static void test_straight(void)
{
    struct world *world = world_new(false);
    dhcp_settings_set_hostname(&world->settings, "h1", NULL);
    begin(world, NULL);
    assert_state(world, DHCP_STATE_SELECTING);
    const struct dhcp_message *discover = last(world);
    g_assert_cmpuint(dhcp_message_type(discover), ==, DHCP_DISCOVER);
    g_assert_cmpuint(world->sent_to[0], ==, DHCP_BROADCAST);
    g_assert_cmpuint(discover->client, ==, 0);
    g_assert_false(discover->broadcast);
    assert_u32(discover, DHCP_OPTION_REQUESTED, 0);
    assert_u32(discover, DHCP_OPTION_SERVER, 0);
    size_t length;
    const uint8_t *parameters = dhcp_message_get(discover, DHCP_OPTION_PARAMETERS, &length);
    const uint8_t *classless = memchr(parameters, 121, length), *router = memchr(parameters, 3, length);
    g_assert_true(classless && router && classless < router);
    to_requesting(world);
    const struct dhcp_message *request = last(world);
    g_assert_cmpuint(dhcp_message_type(request), ==, DHCP_REQUEST);
    g_assert_cmpuint(request->xid, ==, discover->xid);
    g_assert_cmpuint(request->client, ==, 0);
    assert_u32(request, DHCP_OPTION_REQUESTED, ADDRESS);
    assert_u32(request, DHCP_OPTION_SERVER, SERVER);
    g_assert_cmpmem(dhcp_message_get(request, DHCP_OPTION_HOSTNAME, &length), 2, "h1", 2);
    int64_t asked = world->now;
    pass(world, 500);
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_cmpuint(world->events[DHCP_EVENT_BOUND], ==, 1);
    /* Times count from the REQUEST, not from the answer. */
    g_assert_cmpint(dhcp_client_lease(world->client)->obtained_ms, ==, asked);
    g_assert_cmpint(dhcp_client_lease(world->client)->obtained_at, ==, 1700000000 + world->now / 1000);
    pass(world, 5000);
    g_assert_cmpuint(world->arp_count, ==, 2); /* announced twice */
    g_assert_cmpuint(world->arps[1].sender, ==, ADDRESS);
    g_assert_cmpuint(world->arps[1].target, ==, ADDRESS);
    g_assert_cmpint(dhcp_client_deadline(world->client), ==, asked + 1800 * 1000);
    world_free(world);
}

static void test_renew(void)
{
    struct world *world = bound_new();
    int64_t obtained = dhcp_client_lease(world->client)->obtained_ms;
    pass_until(world, obtained + 1800 * 1000);
    assert_state(world, DHCP_STATE_RENEWING);
    const struct dhcp_message *request = last(world);
    g_assert_cmpuint(request->client, ==, ADDRESS);
    assert_u32(request, DHCP_OPTION_REQUESTED, 0);
    assert_u32(request, DHCP_OPTION_SERVER, 0);
    g_assert_cmpuint(world->sent_to[0], ==, SERVER); /* unicast */
    int64_t asked = world->now;
    pass(world, 100);
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_cmpuint(world->events[DHCP_EVENT_RENEWED], ==, 1);
    g_assert_cmpuint(world->events[DHCP_EVENT_BOUND], ==, 0);
    g_assert_cmpint(dhcp_client_deadline(world->client), ==, asked + 1800 * 1000);
    g_assert_cmpuint(world->arp_count, ==, 0);
    world_free(world);
}

/* No answer: T1, its repeats, T2 by broadcast, its repeats, the end. */
static void test_rebind_and_expiry(void)
{
    struct world *world = bound_new();
    int64_t obtained = dhcp_client_lease(world->client)->obtained_ms;
    int64_t t1 = obtained + 1800000, t2 = obtained + 3150000, end = obtained + 3600000;
    pass_until(world, t2 - 1);
    assert_state(world, DHCP_STATE_RENEWING);
    /* Half of what is left each time, but a minute at least: 1350 s → 675, 337, 168, 84, 60. */
    g_assert_cmpuint(world->sent_count, ==, 6);
    g_assert_cmpuint(world->sent[0]->xid, ==, world->sent[5]->xid);
    for (unsigned i = 0; i < world->sent_count; i++)
        g_assert_cmpuint(world->sent_to[i], ==, SERVER);
    g_assert_cmpint(world->sent[5]->seconds, <=, (t2 - t1) / 1000);
    forget(world);
    pass_until(world, t2);
    assert_state(world, DHCP_STATE_REBINDING);
    pass_until(world, end - 1);
    g_assert_cmpuint(world->sent_count, ==, 4); /* 450 s → 225, 112, 60 */
    for (unsigned i = 0; i < world->sent_count; i++) {
        g_assert_cmpuint(world->sent_to[i], ==, DHCP_BROADCAST);
        g_assert_cmpuint(world->sent[i]->client, ==, ADDRESS);
    }
    g_assert_nonnull(dhcp_client_lease(world->client));
    forget(world);
    pass_until(world, end);
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 1);
    g_assert_null(dhcp_client_lease(world->client));
    assert_state(world, DHCP_STATE_SELECTING);
    assert_u32(last(world), DHCP_OPTION_REQUESTED, ADDRESS); /* the same again, if it can be had */
    world_free(world);
}

/* Another server may take over while rebinding, but not while renewing. */
static void test_rebind_by_another(void)
{
    struct world *world = bound_new();
    pass_until(world, dhcp_client_deadline(world->client));
    assert_ignored(world, reply_new(DHCP_ACK, last(world)->xid, ADDRESS, OTHER),
                   "another server than the lease");
    assert_ignored(world, reply_new(DHCP_NAK, last(world)->xid, 0, OTHER), "does not answer a request");
    assert_ignored(world, reply_new(DHCP_ACK, last(world)->xid, ADDRESS + 1, SERVER),
                   "another address than ours");
    pass_until(world, dhcp_client_lease(world->client)->obtained_ms + 3150000);
    assert_ignored(world, reply_new(DHCP_ACK, last(world)->xid, ADDRESS + 1, OTHER),
                   "another address than ours");
    deliver(world, reply_new(DHCP_ACK, last(world)->xid, ADDRESS, OTHER));
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_cmpuint(dhcp_client_lease(world->client)->server, ==, OTHER);
    world_free(world);
}

static void test_infinite(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    struct dhcp_message *offer = answer(world, DHCP_OFFER);
    dhcp_message_set_u32(offer, DHCP_OPTION_LIFETIME, DHCP_FOREVER);
    deliver(world, offer);
    pass(world, 300);
    struct dhcp_message *ack = answer(world, DHCP_ACK);
    dhcp_message_set_u32(ack, DHCP_OPTION_LIFETIME, DHCP_FOREVER);
    deliver(world, ack);
    pass(world, 10000);
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_cmpint(dhcp_client_deadline(world->client), ==, DHCP_NEVER);
    world_free(world);
}

/* A lease of a second, again and again, is no way to make us busy. */
static void test_absurdly_short(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    unsigned sent = 0;
    for (int64_t until = world->now + 20000; world->now < until;) {
        for (unsigned i = 0; i < 4; i++) {
            struct dhcp_message *reply = answer(world, i % 2 ? DHCP_ACK : DHCP_OFFER);
            dhcp_message_set_u32(reply, DHCP_OPTION_LIFETIME, 1);
            deliver(world, reply);
        }
        step(world);
        sent += world->sent_count - 1;
        struct dhcp_message *kept = world->sent[world->sent_count - 1];
        for (unsigned i = 0; i + 1 < world->sent_count; i++)
            dhcp_message_free(world->sent[i]);
        world->sent[0] = kept;
        world->sent_count = 1;
        world->arp_count = 0;
    }
    g_test_message("%u messages in 20 s", sent);
    g_assert_cmpuint(sent, <=, 60);
    world_free(world);
}

/* ---- several servers ---- */

static void offer_from(struct world *world, uint32_t address, uint32_t server, bool has_router)
{
    struct dhcp_message *offer = reply_new(DHCP_OFFER, last(world)->xid, address, server);
    if (!has_router)
        g_clear_pointer(&offer->options[DHCP_OPTION_ROUTER], g_bytes_unref);
    deliver(world, offer);
}

static void test_selection(void)
{
    static const struct {
        uint32_t wanted;
        struct {
            uint32_t address, server;
            bool has_router;
        } offers[3];
        uint32_t chosen;
    } rows[] = {
        {0, {{IP(10, 0, 0, 50), SERVER, true}, {IP(10, 0, 0, 60), OTHER, true}}, SERVER}, /* the first */
        {0, {{IP(10, 0, 0, 50), SERVER, false}, {IP(10, 0, 0, 60), OTHER, true}}, OTHER}, /* with a way out */
        {IP(10, 0, 0, 60), {{IP(10, 0, 0, 50), SERVER, true}, {IP(10, 0, 0, 60), OTHER, false}}, OTHER},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct world *world = world_new(false);
        world->settings.address = rows[i].wanted;
        begin(world, NULL);
        assert_u32(last(world), DHCP_OPTION_REQUESTED, rows[i].wanted);
        for (unsigned k = 0; k < 3 && rows[i].offers[k].address; k++) {
            assert_state(world, DHCP_STATE_SELECTING);
            offer_from(world, rows[i].offers[k].address, rows[i].offers[k].server,
                       rows[i].offers[k].has_router);
        }
        pass(world, 300);
        assert_state(world, DHCP_STATE_REQUESTING);
        assert_u32(last(world), DHCP_OPTION_SERVER, rows[i].chosen);
        world_free(world);
    }
    /* Only the server that was named. */
    struct world *world = world_new(false);
    world->settings.server = OTHER;
    begin(world, NULL);
    assert_ignored(world, answer(world, DHCP_OFFER), "another server was asked for");
    offer_from(world, ADDRESS, OTHER, true);
    pass(world, 300);
    assert_u32(last(world), DHCP_OPTION_SERVER, OTHER);
    world_free(world);
}

/* ---- loss, copies, order ---- */

static void test_backoff(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    int64_t before = world->now;
    static const int64_t waits[] = {4000, 8000, 16000, 32000, 64000, 64000, 64000};
    for (size_t i = 0; i < G_N_ELEMENTS(waits); i++) {
        step(world);
        g_assert_cmpint(world->now - before, >=, waits[i] * 3 / 4);
        g_assert_cmpint(world->now - before, <=, waits[i] * 5 / 4);
        before = world->now;
        g_assert_cmpuint(world->sent_count, ==, i + 2);
        g_assert_cmpuint(dhcp_message_type(last(world)), ==, DHCP_DISCOVER);
        g_assert_cmpuint(last(world)->xid, ==, world->sent[0]->xid);
        g_assert_cmpint(last(world)->broadcast, ==, i >= 1); /* from the third on */
        g_assert_cmpuint(last(world)->seconds, ==, (world->now - 1000000) / 1000);
    }
    to_bound(world);
    world_free(world);
}

static void test_lost_requests(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    to_requesting(world);
    uint32_t xid = last(world)->xid;
    forget(world);
    for (unsigned i = 0; i < 3; i++)
        step(world);
    g_assert_cmpuint(world->sent_count, ==, 3);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(dhcp_message_type(world->sent[i]), ==, DHCP_REQUEST);
        g_assert_cmpuint(world->sent[i]->xid, ==, xid);
    }
    step(world); /* given up: a new transaction */
    assert_state(world, DHCP_STATE_SELECTING);
    g_assert_cmpuint(dhcp_message_type(last(world)), ==, DHCP_DISCOVER);
    g_assert_cmpuint(last(world)->xid, !=, xid);
    /* Its ACK comes too late. */
    assert_ignored(world, reply_new(DHCP_ACK, xid, ADDRESS, SERVER), "another transaction");
    to_bound(world);
    world_free(world);
}

static void test_copies_and_order(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    assert_ignored(world, answer(world, DHCP_ACK), "no answer is waited for"); /* before any REQUEST */
    assert_ignored(world, answer(world, DHCP_NAK), "does not answer a request");
    deliver(world, answer(world, DHCP_OFFER));
    deliver(world, answer(world, DHCP_OFFER));
    pass(world, 300);
    g_assert_cmpuint(world->sent_count, ==, 2); /* one REQUEST */
    assert_ignored(world, answer(world, DHCP_OFFER), "no offer is waited for");
    assert_ignored(world, reply_new(DHCP_ACK, last(world)->xid, ADDRESS, OTHER),
                   "another server than the one chosen");
    assert_ignored(world, reply_new(DHCP_ACK, last(world)->xid, ADDRESS + 1, SERVER), "another address");
    assert_ignored(world, reply_new(DHCP_NAK, last(world)->xid, 0, OTHER), "does not answer a request");
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_BOUND);
    assert_ignored(world, answer(world, DHCP_ACK), "no answer is waited for");
    assert_ignored(world, answer(world, DHCP_NAK), "does not answer a request");
    assert_ignored(world, answer(world, DHCP_OFFER), "no offer is waited for");
    g_assert_cmpuint(world->events[DHCP_EVENT_BOUND], ==, 1);
    world_free(world);
}

/* ---- what is not for us, and what is made to harm ---- */

static void test_not_for_us(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    struct dhcp_message *offer = answer(world, DHCP_OFFER);
    offer->xid++;
    assert_ignored(world, offer, "another transaction");
    offer = answer(world, DHCP_OFFER);
    offer->hardware[5]++;
    assert_ignored(world, offer, "another hardware address");
    offer = answer(world, DHCP_OFFER);
    offer->hardware_length = 16;
    assert_ignored(world, offer, "another hardware address");
    offer = answer(world, DHCP_OFFER);
    offer->op = DHCP_OP_REQUEST;
    assert_ignored(world, offer, "no reply");
    offer = answer(world, DHCP_OFFER);
    dhcp_message_set(offer, DHCP_OPTION_CLIENT_ID, "somebody", 8);
    assert_ignored(world, offer, "another client identifier");
    offer = answer(world, DHCP_OFFER);
    dhcp_message_set_u32(offer, DHCP_OPTION_LIFETIME, 0);
    assert_ignored(world, offer, "for no time at all");
    offer = answer(world, DHCP_OFFER);
    offer->yours = 0;
    assert_ignored(world, offer, "no address that a host may have");
    offer = answer(world, DHCP_OFFER);
    g_clear_pointer(&offer->options[DHCP_OPTION_SERVER], g_bytes_unref);
    assert_ignored(world, offer, "server identifier");
    offer = answer(world, DHCP_OFFER);
    g_clear_pointer(&offer->options[DHCP_OPTION_TYPE], g_bytes_unref);
    assert_ignored(world, offer, "no message for a client");
    static const enum dhcp_type types[] = {DHCP_DISCOVER, DHCP_REQUEST, DHCP_DECLINE, DHCP_RELEASE,
                                           DHCP_INFORM};
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
        assert_ignored(world, answer(world, types[i]), "no message for a client");
    assert_ignored(world, answer(world, DHCP_FORCERENEW), "not authenticated");
    dhcp_client_receive(world->client, (const uint8_t *)"short", 5, SERVER, world->now);
    g_assert_nonnull(strstr(world->why, "too few"));
    /* None of it disturbs the real one; an echo of our identifier (RFC 6842) is fine. */
    offer = answer(world, DHCP_OFFER);
    dhcp_message_set(offer, DHCP_OPTION_CLIENT_ID, world->settings.client_id,
                     world->settings.client_id_length);
    deliver(world, offer);
    pass(world, 300);
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_BOUND);
    world_free(world);
}

/* ---- NAK ---- */

static void test_nak(void)
{
    struct world *world = world_new(false);
    begin(world, NULL);
    int64_t waits[6];
    /* Offered and refused, again and again: asked at once the first time, then ever more slowly. */
    for (unsigned i = 0; i < G_N_ELEMENTS(waits); i++) {
        to_requesting(world);
        deliver(world, answer(world, DHCP_NAK));
        assert_state(world, DHCP_STATE_INIT);
        int64_t refused = world->now;
        step(world);
        assert_state(world, DHCP_STATE_SELECTING);
        waits[i] = world->now - refused;
    }
    g_assert_cmpint(waits[0], ==, 0);
    g_assert_cmpint(waits[1], ==, 1000);
    g_assert_cmpint(waits[5], ==, 16000);
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 0);
    to_bound(world);
    pass_until(world, dhcp_client_lease(world->client)->obtained_ms + 1800000);
    assert_state(world, DHCP_STATE_RENEWING);
    struct dhcp_message *anonymous = answer(world, DHCP_NAK);
    g_clear_pointer(&anonymous->options[DHCP_OPTION_SERVER], g_bytes_unref);
    assert_ignored(world, anonymous, "server identifier");
    deliver(world, answer(world, DHCP_NAK));
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 1);
    step(world);
    assert_state(world, DHCP_STATE_SELECTING);
    assert_u32(last(world), DHCP_OPTION_REQUESTED, 0);
    world_free(world);
}

/* ---- INIT-REBOOT ---- */

static struct dhcp_lease *remembered_new(int64_t obtained)
{
    struct dhcp_message *ack = reply_new(DHCP_ACK, 0, ADDRESS, SERVER);
    struct dhcp_lease *lease = dhcp_lease_from_message(ack, NULL);
    dhcp_message_free(ack);
    lease->obtained_ms = obtained;
    return lease;
}

static void test_reboot(void)
{
    /* Answered: ours again, at once. */
    g_autoptr(dhcp_lease) remembered = remembered_new(900000);
    struct world *world = world_new(false);
    begin(world, remembered);
    assert_state(world, DHCP_STATE_REBOOTING);
    g_assert_cmpuint(dhcp_message_type(last(world)), ==, DHCP_REQUEST);
    assert_u32(last(world), DHCP_OPTION_REQUESTED, ADDRESS);
    assert_u32(last(world), DHCP_OPTION_SERVER, 0);
    g_assert_cmpuint(last(world)->client, ==, 0);
    assert_ignored(world, reply_new(DHCP_ACK, last(world)->xid, ADDRESS + 1, SERVER), "another address");
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_cmpuint(world->events[DHCP_EVENT_BOUND], ==, 1);
    world_free(world);

    /* Refused: from the start, by any server. */
    world = world_new(false);
    begin(world, remembered);
    deliver(world, reply_new(DHCP_NAK, last(world)->xid, 0, OTHER));
    step(world);
    assert_state(world, DHCP_STATE_SELECTING);
    assert_u32(last(world), DHCP_OPTION_REQUESTED, 0);
    world_free(world);

    /* No answer: a DISCOVER that asks for the same address; its old server's offer is taken before others'.
     */
    world = world_new(false);
    begin(world, remembered);
    step(world);
    assert_state(world, DHCP_STATE_REBOOTING);
    step(world);
    assert_state(world, DHCP_STATE_SELECTING);
    g_assert_cmpuint(world->sent_count, ==, 3);
    assert_u32(last(world), DHCP_OPTION_REQUESTED, ADDRESS);
    offer_from(world, ADDRESS + 1, OTHER, true);
    offer_from(world, ADDRESS + 2, SERVER, true);
    pass(world, 300);
    assert_u32(last(world), DHCP_OPTION_SERVER, SERVER);
    world_free(world);

    /* Over: only its address is asked for. */
    remembered->obtained_ms = 0;
    remembered->lifetime = 100;
    world = world_new(false);
    begin(world, remembered);
    assert_state(world, DHCP_STATE_SELECTING);
    assert_u32(last(world), DHCP_OPTION_REQUESTED, ADDRESS);
    world_free(world);
}

static void test_link(void)
{
    struct world *world = bound_new();
    /* Down and up, and up again while it asks: one REQUEST each, the address stays meanwhile. */
    dhcp_client_link(world->client, false, world->now);
    pass(world, 1000);
    g_assert_cmpuint(world->sent_count, ==, 0);
    for (unsigned i = 0; i < 5; i++) {
        dhcp_client_link(world->client, true, world->now);
        assert_state(world, DHCP_STATE_INIT_REBOOT);
        pass(world, 50);
        dhcp_client_link(world->client, false, world->now);
    }
    g_assert_cmpuint(world->sent_count, ==, 0); /* too rapid to ask */
    dhcp_client_link(world->client, true, world->now);
    dhcp_client_link(world->client, true, world->now);
    pass(world, 300);
    assert_state(world, DHCP_STATE_REBOOTING);
    g_assert_cmpuint(world->sent_count, ==, 1);
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_cmpuint(world->events[DHCP_EVENT_RENEWED], ==, 1);
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 0);

    /* Nobody answers there: the lease stays what it was. */
    dhcp_client_link(world->client, false, world->now);
    dhcp_client_link(world->client, true, world->now);
    pass(world, 20000);
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_nonnull(dhcp_client_lease(world->client));

    /* Another network says no. */
    dhcp_client_link(world->client, false, world->now);
    dhcp_client_link(world->client, true, world->now);
    pass(world, 300);
    deliver(world, reply_new(DHCP_NAK, last(world)->xid, 0, OTHER));
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 1);
    step(world);
    assert_state(world, DHCP_STATE_SELECTING);

    /* Down while asking: silence until it is back, then from the start. */
    dhcp_client_link(world->client, false, world->now);
    forget(world);
    pass(world, 100000);
    g_assert_cmpuint(world->sent_count, ==, 0);
    dhcp_client_link(world->client, true, world->now);
    pass(world, 300);
    g_assert_cmpuint(dhcp_message_type(last(world)), ==, DHCP_DISCOVER);
    world_free(world);

    /* A lease ends without a link, too. */
    world = bound_new();
    dhcp_client_link(world->client, false, world->now);
    pass(world, 3600 * 1000);
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 1);
    g_assert_cmpuint(world->sent_count, ==, 0);
    world_free(world);
}

/* ---- conflicts ---- */

static void arp_from(struct world *world, uint8_t operation, uint8_t mac, uint32_t sender, uint32_t target)
{
    struct dhcp_arp arp = {
        .operation = operation, .sender_mac = {2, 0, 0, 0, 0, mac}, .sender = sender, .target = target};
    dhcp_client_receive_arp(world->client, &arp, world->now);
}

static void test_probe(void)
{
    struct world *world = world_new(true);
    begin(world, NULL);
    to_requesting(world);
    deliver(world, answer(world, DHCP_ACK));
    assert_state(world, DHCP_STATE_PROBING);
    g_assert_cmpuint(world->events[DHCP_EVENT_BOUND], ==, 0);
    /* Our own frames, looped back, and others' business are no conflict. */
    struct dhcp_arp own = {.operation = DHCP_ARP_REQUEST, .target = ADDRESS};
    memcpy(own.sender_mac, world->settings.mac.octets, 6);
    dhcp_client_receive_arp(world->client, &own, world->now);
    arp_from(world, DHCP_ARP_REQUEST, 9, SERVER, ADDRESS);
    arp_from(world, DHCP_ARP_REPLY, 9, SERVER, OTHER);
    int64_t start = world->now;
    while (dhcp_client_state(world->client) == DHCP_STATE_PROBING)
        step(world);
    assert_state(world, DHCP_STATE_BOUND);
    g_assert_cmpint(world->now - start, >=, 2 * 200 + 2 * 200);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(world->arps[i].sender, ==, 0);
        g_assert_cmpuint(world->arps[i].target, ==, ADDRESS);
    }
    pass(world, 5000);
    g_assert_cmpuint(world->arp_count, ==, 5); /* and two announcements */
    world_free(world);
}

static void test_decline(void)
{
    static const struct {
        uint8_t operation;
        uint32_t sender, target;
    } rows[] = {
        {DHCP_ARP_REPLY, ADDRESS, 0},
        {DHCP_ARP_REQUEST, ADDRESS, SERVER},
        {DHCP_ARP_REQUEST, 0, ADDRESS}, /* somebody probes for it, too */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct world *world = world_new(true);
        begin(world, NULL);
        to_requesting(world);
        deliver(world, answer(world, DHCP_ACK));
        pass(world, 250);
        arp_from(world, rows[i].operation, 9, rows[i].sender, rows[i].target);
        g_assert_cmpuint(world->events[DHCP_EVENT_CONFLICT], ==, 1);
        const struct dhcp_message *decline = last(world);
        g_assert_cmpuint(dhcp_message_type(decline), ==, DHCP_DECLINE);
        assert_u32(decline, DHCP_OPTION_REQUESTED, ADDRESS);
        assert_u32(decline, DHCP_OPTION_SERVER, SERVER);
        g_assert_cmpuint(decline->client, ==, 0);
        size_t length;
        g_assert_null(dhcp_message_get(decline, DHCP_OPTION_PARAMETERS, &length)); /* table 5: MUST NOT */
        assert_state(world, DHCP_STATE_INIT);
        int64_t declined = world->now;
        step(world);
        g_assert_cmpint(world->now - declined, >=, 10000);
        assert_u32(last(world), DHCP_OPTION_REQUESTED, 0); /* not that one again */
        g_assert_cmpuint(world->events[DHCP_EVENT_BOUND], ==, 0);
        world_free(world);
    }
    /* An eleventh conflict in a row: a minute each from then on. */
    struct world *world = world_new(true);
    begin(world, NULL);
    for (unsigned i = 0; i < 11; i++) {
        to_requesting(world);
        deliver(world, answer(world, DHCP_ACK));
        arp_from(world, DHCP_ARP_REPLY, 9, ADDRESS, 0);
        int64_t declined = world->now;
        forget(world);
        step(world);
        g_assert_cmpint(world->now - declined, ==, i < 10 ? 10000 : 60000);
    }
    world_free(world);
}

static void test_defend(void)
{
    struct world *world = bound_new();
    arp_from(world, DHCP_ARP_REQUEST, 9, 0, ADDRESS); /* a probe: the kernel answers it */
    g_assert_cmpuint(world->events[DHCP_EVENT_CONFLICT], ==, 0);
    arp_from(world, DHCP_ARP_REPLY, 9, ADDRESS, 0);
    g_assert_cmpuint(world->arp_count, ==, 1); /* said once that it is ours */
    assert_state(world, DHCP_STATE_BOUND);
    pass(world, 11000);
    arp_from(world, DHCP_ARP_REPLY, 9, ADDRESS, 0);
    assert_state(world, DHCP_STATE_BOUND);
    pass(world, 5000);
    arp_from(world, DHCP_ARP_REPLY, 9, ADDRESS, 0); /* the second within 10 s */
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 1);
    g_assert_cmpuint(dhcp_message_type(last(world)), ==, DHCP_DECLINE);
    g_assert_null(dhcp_client_lease(world->client));
    world_free(world);
}

/* ---- release ---- */

static void test_release(void)
{
    struct world *world = bound_new();
    dhcp_client_release(world->client, world->now);
    g_assert_cmpuint(world->sent_count, ==, 1);
    g_assert_cmpuint(dhcp_message_type(last(world)), ==, DHCP_RELEASE);
    g_assert_cmpuint(last(world)->client, ==, ADDRESS);
    g_assert_cmpuint(world->sent_to[0], ==, SERVER);
    assert_u32(last(world), DHCP_OPTION_SERVER, SERVER);
    assert_u32(last(world), DHCP_OPTION_REQUESTED, 0);
    g_assert_cmpuint(world->events[DHCP_EVENT_LOST], ==, 1);
    assert_state(world, DHCP_STATE_STOPPED);
    g_assert_cmpint(dhcp_client_deadline(world->client), ==, DHCP_NEVER);
    deliver(world, answer(world, DHCP_OFFER));
    pass(world, 4000000);
    g_assert_cmpuint(world->sent_count, ==, 1);
    world_free(world);
    /* Without a lease there is nothing to give back. */
    world = world_new(false);
    begin(world, NULL);
    forget(world);
    dhcp_client_release(world->client, world->now);
    g_assert_cmpuint(world->sent_count, ==, 0);
    world_free(world);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dhcp/client/straight", test_straight);
    g_test_add_func("/dhcp/client/renew", test_renew);
    g_test_add_func("/dhcp/client/rebind-and-expiry", test_rebind_and_expiry);
    g_test_add_func("/dhcp/client/rebind-by-another", test_rebind_by_another);
    g_test_add_func("/dhcp/client/infinite", test_infinite);
    g_test_add_func("/dhcp/client/absurdly-short", test_absurdly_short);
    g_test_add_func("/dhcp/client/selection", test_selection);
    g_test_add_func("/dhcp/client/backoff", test_backoff);
    g_test_add_func("/dhcp/client/lost-requests", test_lost_requests);
    g_test_add_func("/dhcp/client/copies-and-order", test_copies_and_order);
    g_test_add_func("/dhcp/client/not-for-us", test_not_for_us);
    g_test_add_func("/dhcp/client/nak", test_nak);
    g_test_add_func("/dhcp/client/reboot", test_reboot);
    g_test_add_func("/dhcp/client/link", test_link);
    g_test_add_func("/dhcp/client/probe", test_probe);
    g_test_add_func("/dhcp/client/decline", test_decline);
    g_test_add_func("/dhcp/client/defend", test_defend);
    g_test_add_func("/dhcp/client/release", test_release);
    return g_test_run();
}
