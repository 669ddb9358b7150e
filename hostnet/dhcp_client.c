/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The DHCP client's state machine; see dhcp_client.h.
 *
 * Timers: `timer` is the state's own, `select_at` the end of the wait for further offers, `announce_at` the
 * next gratuitous ARP, and the lease's end holds in every state. A tick works off whatever is due, one thing
 * after the other; each leaves its timer later than it was, so it ends.
 *
 * Where RFC 2131 leaves a choice:
 *  - Of several offers the one of the address asked for wins, then one with a router, then the first
 * (offers_rank).
 *  - Waits double from retry_ms to 16 times that, each ±¼ (4.1). After two DISCOVERs without an answer the
 * answer is asked for by broadcast, for relays and access points that do not deliver to a station without
 * address.
 *  - Renewals are repeated after half of what is left until T2 or the end (4.4.5), but not more often than
 * each minute, or each sixtieth of the lease where that is shorter.
 *  - INIT-REBOOT without an answer: a lease that is on the interface stays (3.2.3), any other is given up for
 * a DISCOVER.
 *  - An ARP conflict while bound is answered once with an announcement; a second one within 10 s gives the
 * address up (RFC 5227 2.4 b).
 *  - FORCERENEW is ignored: it would have to be authenticated (RFC 3203).
 */
#include "hostnet/dhcp_client.h"
#include "hostnet/hostnet_internal.h"

#include <assert.h>
#include <string.h>

enum {
    REQUEST_TRIES = 4, /* then the server is given up */
    REBOOT_TRIES = 2,
    BROADCAST_AFTER = 2, /* DISCOVERs */
    BACKOFF_MOST = 4,    /* doublings */
    PROBES = 3,          /* RFC 5227 1.1: PROBE_NUM */
    ANNOUNCEMENTS = 2,   /* ANNOUNCE_NUM */
    ANNOUNCE_MS = 2000,  /* ANNOUNCE_INTERVAL */
    DEFEND_MS = 10000,   /* DEFEND_INTERVAL */
    CONFLICTS_MOST = 10, /* MAX_CONFLICTS */
    CONFLICT_MS = 60000, /* RATE_LIMIT_INTERVAL */
    LINK_SETTLE_MS = 200,
    RENEW_FLOOR_MS = 60000,
    RENEW_LEAST_MS = 1000,
    NAK_MS = 1000,
    NAK_DOUBLINGS = 6,
};

struct dhcp_client {
    struct dhcp_settings settings;
    struct dhcp_io io;
    void *opaque;
    enum dhcp_state state;
    bool has_link;
    uint32_t xid;
    int64_t timer, select_at, announce_at;
    int64_t started;      /* of this acquisition, for `secs` */
    int64_t request_sent; /* the first REQUEST of this exchange: leases count from here */
    unsigned tries;       /* messages, or probes, of this state */
    unsigned announced, naks, conflicts;
    int64_t defended; /* when a conflict was answered; 0: not */
    bool has_defended;
    struct dhcp_lease *offer;       /* the best so far, then the one being asked for or probed */
    struct dhcp_lease *reboot;      /* asked for again without being on the interface */
    struct dhcp_lease *lease;       /* on the interface */
    uint32_t wanted, wanted_server; /* for the next DISCOVER, and among its offers; 0: any */
};

static const char *const state_names[] = {
    [DHCP_STATE_INIT] = "INIT",
    [DHCP_STATE_SELECTING] = "SELECTING",
    [DHCP_STATE_REQUESTING] = "REQUESTING",
    [DHCP_STATE_PROBING] = "PROBING",
    [DHCP_STATE_BOUND] = "BOUND",
    [DHCP_STATE_RENEWING] = "RENEWING",
    [DHCP_STATE_REBINDING] = "REBINDING",
    [DHCP_STATE_INIT_REBOOT] = "INIT-REBOOT",
    [DHCP_STATE_REBOOTING] = "REBOOTING",
    [DHCP_STATE_STOPPED] = "STOPPED",
};
static_assert(G_N_ELEMENTS(state_names) == DHCP_STATE_COUNT, "every state has a name");

const char *dhcp_state_name(enum dhcp_state state)
{
    return (unsigned)state < DHCP_STATE_COUNT ? state_names[state] : "unknown";
}

struct dhcp_client *dhcp_client_new(const struct dhcp_settings *settings, const struct dhcp_io *io,
                                    void *opaque)
{
    struct dhcp_client *client = g_new0(struct dhcp_client, 1);
    client->settings = *settings;
    client->io = *io;
    client->opaque = opaque;
    client->state = DHCP_STATE_STOPPED;
    client->has_link = true;
    client->timer = client->select_at = client->announce_at = DHCP_NEVER;
    client->wanted = settings->address;
    return client;
}

void dhcp_client_free(struct dhcp_client *client)
{
    if (!client)
        return;
    dhcp_lease_free(client->offer);
    dhcp_lease_free(client->reboot);
    dhcp_lease_free(client->lease);
    g_free(client);
}

enum dhcp_state dhcp_client_state(const struct dhcp_client *client)
{
    return client->state;
}

const struct dhcp_lease *dhcp_client_lease(const struct dhcp_client *client)
{
    return client->lease;
}

/* ---- small things ---- */

static void tell(struct dhcp_client *client, const struct dhcp_event *event)
{
    client->io.tell(client->opaque, event);
}

static uint32_t draw(struct dhcp_client *client, uint32_t below)
{
    return below ? client->io.random(client->opaque) % below : 0;
}

/* retry_ms, doubled `tries` times, ±¼. */
static unsigned backoff(struct dhcp_client *client, unsigned tries)
{
    unsigned wait = client->settings.retry_ms << MIN(tries, BACKOFF_MOST);
    return wait - wait / 4 + draw(client, wait / 2 + 1);
}

static void set_state(struct dhcp_client *client, enum dhcp_state state, int64_t timer)
{
    client->state = state;
    client->timer = timer;
    client->select_at = DHCP_NEVER;
    client->tries = 0;
}

/* INIT: a DISCOVER at `timer`, or when the link is back. */
static void start_over(struct dhcp_client *client, int64_t timer)
{
    g_clear_pointer(&client->offer, dhcp_lease_free);
    g_clear_pointer(&client->reboot, dhcp_lease_free);
    set_state(client, DHCP_STATE_INIT, client->has_link ? timer : DHCP_NEVER);
}

static void lose(struct dhcp_client *client, const char *why)
{
    if (!client->lease)
        return;
    struct dhcp_lease *lease = g_steal_pointer(&client->lease);
    client->announce_at = DHCP_NEVER;
    client->wanted = lease->address;
    client->wanted_server = lease->server;
    tell(client, &(struct dhcp_event){.type = DHCP_EVENT_LOST, .address = lease->address, .text = why});
    dhcp_lease_free(lease);
}

/* ---- sending ---- */

static void fill(const struct dhcp_settings *settings, struct dhcp_message *message, uint32_t xid)
{
    message->xid = xid;
    memcpy(message->hardware, settings->mac.octets, sizeof settings->mac.octets);
    if (settings->client_id_length)
        dhcp_message_set(message, DHCP_OPTION_CLIENT_ID, settings->client_id, settings->client_id_length);
}

static struct dhcp_message *message_new(struct dhcp_client *client, enum dhcp_type type, int64_t now)
{
    struct dhcp_message *message = dhcp_message_new(DHCP_OP_REQUEST, type);
    fill(&client->settings, message, client->xid);
    if (type == DHCP_DECLINE)
        return message;
    /* RFC 3442: 121 before 3. */
    static const uint8_t parameters[] = {
        DHCP_OPTION_MASK,   DHCP_OPTION_ROUTES,    DHCP_OPTION_ROUTES_OLD, DHCP_OPTION_ROUTER,
        DHCP_OPTION_DNS,    DHCP_OPTION_DOMAIN,    DHCP_OPTION_SEARCH,     DHCP_OPTION_HOSTNAME,
        DHCP_OPTION_MTU,    DHCP_OPTION_BROADCAST, DHCP_OPTION_NTP,        DHCP_OPTION_LIFETIME,
        DHCP_OPTION_SERVER, DHCP_OPTION_T1,        DHCP_OPTION_T2,
    };
    dhcp_message_set(message, DHCP_OPTION_PARAMETERS, parameters, sizeof parameters);
    dhcp_message_set_u16(message, DHCP_OPTION_SIZE, client->settings.message_size);
    if (client->settings.hostname[0])
        dhcp_message_set(message, DHCP_OPTION_HOSTNAME, client->settings.hostname,
                         strlen(client->settings.hostname));
    message->seconds = (uint16_t)MIN((now - client->started) / 1000, (int64_t)UINT16_MAX);
    return message;
}

static void send_message(struct dhcp_client *client, struct dhcp_message *message, uint32_t about,
                         uint32_t destination, unsigned wait_ms)
{
    client->io.send(client->opaque, message, destination);
    tell(client, &(struct dhcp_event){.type = DHCP_EVENT_SENT,
                                      .message = dhcp_message_type(message),
                                      .address = about,
                                      .peer = destination,
                                      .wait_ms = wait_ms});
    dhcp_message_free(message);
}

static void send_discover(struct dhcp_client *client, int64_t now)
{
    unsigned wait = backoff(client, client->tries);
    struct dhcp_message *message = message_new(client, DHCP_DISCOVER, now);
    message->broadcast = client->settings.broadcast || client->tries >= BROADCAST_AFTER;
    if (client->wanted)
        dhcp_message_set_u32(message, DHCP_OPTION_REQUESTED, client->wanted);
    client->tries++;
    client->timer = now + wait;
    send_message(client, message, client->wanted, DHCP_BROADCAST, wait);
}

/* SELECTING → REQUESTING: option 54 and 50, no ciaddr (table 5 of RFC 2131). */
static void send_request(struct dhcp_client *client, int64_t now)
{
    unsigned wait = backoff(client, client->tries);
    struct dhcp_message *message = message_new(client, DHCP_REQUEST, now);
    message->broadcast = client->settings.broadcast || client->tries >= BROADCAST_AFTER;
    dhcp_message_set_u32(message, DHCP_OPTION_REQUESTED, client->offer->address);
    dhcp_message_set_u32(message, DHCP_OPTION_SERVER, client->offer->server);
    if (!client->tries++)
        client->request_sent = now;
    client->timer = now + wait;
    send_message(client, message, client->offer->address, DHCP_BROADCAST, wait);
}

/* INIT-REBOOT: option 50, neither 54 nor ciaddr. */
static void send_reboot(struct dhcp_client *client, int64_t now)
{
    uint32_t address = client->lease ? client->lease->address : client->reboot->address;
    unsigned wait = backoff(client, 0);
    struct dhcp_message *message = message_new(client, DHCP_REQUEST, now);
    message->broadcast = client->settings.broadcast;
    dhcp_message_set_u32(message, DHCP_OPTION_REQUESTED, address);
    if (!client->tries++)
        client->request_sent = now;
    client->timer = now + wait;
    send_message(client, message, address, DHCP_BROADCAST, wait);
}

/* RENEWING, REBINDING: ciaddr, neither 50 nor 54. `until`: T2 or the lease's end. */
static void send_renewal(struct dhcp_client *client, uint32_t destination, int64_t until, int64_t now)
{
    const struct dhcp_lease *lease = client->lease;
    int64_t floor = CLAMP((int64_t)lease->lifetime * 1000 / 60, RENEW_LEAST_MS, RENEW_FLOOR_MS);
    int64_t wait = MIN(MAX((until - now) / 2, floor), until - now);
    struct dhcp_message *message = message_new(client, DHCP_REQUEST, now);
    message->client = lease->address;
    if (!client->tries++)
        client->request_sent = now;
    client->timer = now + wait;
    send_message(client, message, lease->address, destination, (unsigned)MIN(wait, (int64_t)UINT32_MAX));
}

static void send_decline(struct dhcp_client *client, const struct dhcp_lease *lease, int64_t now)
{
    client->xid = client->io.random(client->opaque);
    struct dhcp_message *message = message_new(client, DHCP_DECLINE, now);
    dhcp_message_set_u32(message, DHCP_OPTION_REQUESTED, lease->address);
    dhcp_message_set_u32(message, DHCP_OPTION_SERVER, lease->server);
    send_message(client, message, lease->address, DHCP_BROADCAST, 0);
}

struct dhcp_message *dhcp_release_new(const struct dhcp_settings *settings, const struct dhcp_lease *lease,
                                      uint32_t xid)
{
    struct dhcp_message *message = dhcp_message_new(DHCP_OP_REQUEST, DHCP_RELEASE);
    fill(settings, message, xid);
    message->client = lease->address;
    dhcp_message_set_u32(message, DHCP_OPTION_SERVER, lease->server);
    return message;
}

static void send_arp(struct dhcp_client *client, uint32_t sender, uint32_t target)
{
    struct dhcp_arp arp = {.operation = DHCP_ARP_REQUEST, .sender = sender, .target = target};
    memcpy(arp.sender_mac, client->settings.mac.octets, sizeof arp.sender_mac);
    client->io.send_arp(client->opaque, &arp);
}

/* ---- becoming bound ---- */

static int64_t time_of(const struct dhcp_lease *lease, uint32_t seconds)
{
    return seconds == DHCP_FOREVER ? DHCP_NEVER : lease->obtained_ms + (int64_t)seconds * 1000;
}

/* Takes `lease` over. */
static void bind_lease(struct dhcp_client *client, struct dhcp_lease *lease, int64_t now)
{
    struct dhcp_lease *old = client->lease;
    client->lease = lease;
    client->wanted = lease->address;
    client->naks = 0;
    g_clear_pointer(&client->reboot, dhcp_lease_free);
    /* However short a lease a server gives, it is asked once a second at most. */
    set_state(client, DHCP_STATE_BOUND, MAX(time_of(lease, lease->t1), now + RENEW_LEAST_MS));
    if (!old || old->address != lease->address) {
        client->announced = 0;
        client->announce_at = now;
        client->has_defended = false;
    }
    tell(client, &(struct dhcp_event){.type = old ? DHCP_EVENT_RENEWED : DHCP_EVENT_BOUND,
                                      .address = lease->address,
                                      .peer = lease->server,
                                      .lease = lease});
    dhcp_lease_free(old);
}

/* An ACK's lease (taken over): looked for on the link first, unless it is on the interface already. */
static void accept_lease(struct dhcp_client *client, struct dhcp_lease *lease, int64_t now)
{
    bool is_there = client->lease && client->lease->address == lease->address;
    if (!client->settings.probe_ms || is_there) {
        g_clear_pointer(&client->offer, dhcp_lease_free);
        bind_lease(client, lease, now);
        return;
    }
    dhcp_lease_free(client->offer);
    client->offer = lease;
    set_state(client, DHCP_STATE_PROBING, now + draw(client, client->settings.probe_ms));
}

/* Somebody else has it: DECLINE, and a pause. */
static void give_up_address(struct dhcp_client *client, struct dhcp_lease *lease, int64_t now)
{
    send_decline(client, lease, now);
    client->conflicts++;
    lose(client, "another host has the address");
    client->wanted = 0;
    int64_t pause = client->settings.decline_ms;
    start_over(client, now + (client->conflicts > CONFLICTS_MOST ? MAX(pause, CONFLICT_MS) : pause));
}

static void tick_probing(struct dhcp_client *client, int64_t now)
{
    if (client->tries == PROBES) {
        client->conflicts = 0;
        bind_lease(client, g_steal_pointer(&client->offer), now);
        return;
    }
    send_arp(client, 0, client->offer->address);
    unsigned unit = client->settings.probe_ms;
    client->timer = now + (++client->tries == PROBES ? 2 * unit : unit + draw(client, unit));
}

/* ---- timers ---- */

static void start_renewal(struct dhcp_client *client, enum dhcp_state state, int64_t now)
{
    set_state(client, state, DHCP_NEVER);
    client->xid = client->io.random(client->opaque);
    client->started = now;
}

static void tick_lease(struct dhcp_client *client, int64_t now)
{
    const struct dhcp_lease *lease = client->lease;
    int64_t t2 = time_of(lease, lease->t2);
    if (now >= t2) {
        if (client->state != DHCP_STATE_REBINDING)
            start_renewal(client, DHCP_STATE_REBINDING, now);
        send_renewal(client, DHCP_BROADCAST, dhcp_lease_end(lease), now);
        return;
    }
    if (client->state != DHCP_STATE_RENEWING)
        start_renewal(client, DHCP_STATE_RENEWING, now);
    send_renewal(client, lease->server, t2, now);
}

static void tick_rebooting(struct dhcp_client *client, int64_t now)
{
    if (client->tries < REBOOT_TRIES) {
        send_reboot(client, now);
    } else if (client->lease) {
        /* Nobody says that it is not ours. */
        set_state(client, DHCP_STATE_BOUND, time_of(client->lease, client->lease->t1));
    } else {
        client->wanted = client->reboot->address;
        client->wanted_server = client->reboot->server;
        start_over(client, now);
    }
}

static void tick_state(struct dhcp_client *client, int64_t now)
{
    switch (client->state) {
    case DHCP_STATE_INIT:
        set_state(client, DHCP_STATE_SELECTING, DHCP_NEVER);
        client->xid = client->io.random(client->opaque);
        client->started = now;
        send_discover(client, now);
        break;
    case DHCP_STATE_SELECTING:
        send_discover(client, now);
        break;
    case DHCP_STATE_REQUESTING:
        if (client->tries < REQUEST_TRIES)
            send_request(client, now);
        else
            start_over(client, now);
        break;
    case DHCP_STATE_PROBING:
        tick_probing(client, now);
        break;
    case DHCP_STATE_BOUND:
    case DHCP_STATE_RENEWING:
    case DHCP_STATE_REBINDING:
        tick_lease(client, now);
        break;
    case DHCP_STATE_INIT_REBOOT:
        set_state(client, DHCP_STATE_REBOOTING, DHCP_NEVER);
        client->xid = client->io.random(client->opaque);
        client->started = now;
        send_reboot(client, now);
        break;
    case DHCP_STATE_REBOOTING:
        tick_rebooting(client, now);
        break;
    case DHCP_STATE_STOPPED:
    case DHCP_STATE_COUNT:
        client->timer = DHCP_NEVER;
        break;
    }
}

int64_t dhcp_client_deadline(const struct dhcp_client *client)
{
    if (client->state == DHCP_STATE_STOPPED)
        return DHCP_NEVER;
    int64_t deadline = MIN(MIN(client->timer, client->select_at), client->announce_at);
    return client->lease ? MIN(deadline, dhcp_lease_end(client->lease)) : deadline;
}

void dhcp_client_tick(struct dhcp_client *client, int64_t now)
{
    while (dhcp_client_deadline(client) <= now) {
        if (client->lease && dhcp_lease_end(client->lease) <= now) {
            lose(client, "the lease has run out");
            start_over(client, now);
        } else if (client->announce_at <= now) {
            send_arp(client, client->lease->address, client->lease->address);
            client->announce_at = ++client->announced < ANNOUNCEMENTS ? now + ANNOUNCE_MS : DHCP_NEVER;
        } else if (client->select_at <= now) {
            set_state(client, DHCP_STATE_REQUESTING, DHCP_NEVER);
            send_request(client, now);
        } else {
            tick_state(client, now);
        }
    }
}

/* ---- what comes in ---- */

/* The address asked for is worth most, then the server we had, then a way out. */
static int offers_rank(const struct dhcp_client *client, const struct dhcp_lease *offer)
{
    return (client->wanted && offer->address == client->wanted ? 4 : 0) +
           (client->wanted_server && offer->server == client->wanted_server ? 2 : 0) +
           (dhcp_lease_router(offer) ? 1 : 0);
}

static void ignore(struct dhcp_client *client, const struct dhcp_message *message, unsigned type,
                   uint32_t source, const char *why)
{
    tell(client, &(struct dhcp_event){.type = DHCP_EVENT_IGNORED,
                                      .message = type,
                                      .address = message ? message->yours : 0,
                                      .peer = source,
                                      .text = why});
}

static void tell_received(struct dhcp_client *client, unsigned type, uint32_t address, uint32_t server)
{
    tell(client, &(struct dhcp_event){
                     .type = DHCP_EVENT_RECEIVED, .message = type, .address = address, .peer = server});
}

/* Takes `lease` over. */
static void receive_offer(struct dhcp_client *client, const struct dhcp_message *message,
                          struct dhcp_lease *lease, uint32_t source, int64_t now)
{
    g_autoptr(dhcp_lease) offer = lease;
    if (client->state != DHCP_STATE_SELECTING) {
        ignore(client, message, DHCP_OFFER, source, "no offer is waited for (any more)");
        return;
    }
    tell_received(client, DHCP_OFFER, offer->address, offer->server);
    if (client->offer && offers_rank(client, offer) <= offers_rank(client, client->offer))
        return;
    bool is_first = !client->offer;
    dhcp_lease_free(client->offer);
    client->offer = g_steal_pointer(&offer);
    if (client->wanted && client->offer->address == client->wanted)
        client->select_at = now; /* nothing better can come */
    else if (is_first)
        client->select_at = now + client->settings.select_ms;
    client->timer = DHCP_NEVER; /* no more DISCOVERs */
    dhcp_client_tick(client, now);
}

/* Why this ACK is none for us; NULL when it is. */
static const char *refuse_ack(const struct dhcp_client *client, const struct dhcp_lease *lease)
{
    switch (client->state) {
    case DHCP_STATE_REQUESTING:
        if (lease->server != client->offer->server)
            return "it is from another server than the one chosen";
        return lease->address == client->offer->address ? NULL
                                                        : "it gives another address than the one asked for";
    case DHCP_STATE_RENEWING:
        if (lease->server != client->lease->server)
            return "it is from another server than the lease";
        return lease->address == client->lease->address ? NULL : "it gives another address than ours";
    case DHCP_STATE_REBINDING:
        return lease->address == client->lease->address ? NULL : "it gives another address than ours";
    case DHCP_STATE_REBOOTING:
        return lease->address == (client->lease ? client->lease : client->reboot)->address
                   ? NULL
                   : "it gives another address than the one asked for";
    case DHCP_STATE_INIT:
    case DHCP_STATE_SELECTING:
    case DHCP_STATE_PROBING:
    case DHCP_STATE_BOUND:
    case DHCP_STATE_INIT_REBOOT:
    case DHCP_STATE_STOPPED:
    case DHCP_STATE_COUNT:
        break;
    }
    return "no answer is waited for (any more)";
}

/* Takes `lease` over. */
static void receive_ack(struct dhcp_client *client, const struct dhcp_message *message,
                        struct dhcp_lease *lease, uint32_t source, int64_t now)
{
    const char *why = refuse_ack(client, lease);
    if (why) {
        ignore(client, message, DHCP_ACK, source, why);
        dhcp_lease_free(lease);
        return;
    }
    tell_received(client, DHCP_ACK, lease->address, lease->server);
    lease->obtained_ms = client->request_sent;
    lease->obtained_at = client->io.wall(client->opaque) - (now - client->request_sent) / 1000;
    accept_lease(client, lease, now);
}

static void receive_nak(struct dhcp_client *client, const struct dhcp_message *message, uint32_t source,
                        int64_t now)
{
    uint32_t server;
    if (!dhcp_message_get_u32(message, DHCP_OPTION_SERVER, &server)) {
        ignore(client, message, DHCP_NAK, source, "the server identifier (option 54) is missing");
        return;
    }
    bool is_asked = client->state == DHCP_STATE_REBINDING || client->state == DHCP_STATE_REBOOTING ||
                    (client->state == DHCP_STATE_REQUESTING && server == client->offer->server) ||
                    (client->state == DHCP_STATE_RENEWING && server == client->lease->server);
    if (!is_asked) {
        ignore(client, message, DHCP_NAK, source, "it does not answer a request of ours");
        return;
    }
    tell_received(client, DHCP_NAK, 0, server);
    lose(client, "the server refuses it");
    client->wanted = 0;
    /* A server that offers and then refuses, again and again, is not asked faster and faster. */
    int64_t pause = client->naks ? (int64_t)NAK_MS << MIN(client->naks - 1, NAK_DOUBLINGS) : 0;
    client->naks++;
    start_over(client, now + pause);
}

/* Why a reply is none for us; NULL when it is. */
static const char *refuse_reply(const struct dhcp_client *client, const struct dhcp_message *message)
{
    const struct dhcp_settings *settings = &client->settings;
    if (message->op != DHCP_OP_REPLY)
        return "it is no reply";
    if (message->xid != client->xid)
        return "it answers another transaction";
    if (message->hardware_type != DHCP_HARDWARE_ETHERNET || message->hardware_length != 6 ||
        memcmp(message->hardware, settings->mac.octets, sizeof settings->mac.octets) != 0)
        return "it is for another hardware address";
    size_t length;
    const uint8_t *echo = dhcp_message_get(message, DHCP_OPTION_CLIENT_ID, &length);
    if (echo && (length != settings->client_id_length || memcmp(echo, settings->client_id, length) != 0))
        return "it is for another client identifier"; /* RFC 6842 */
    return NULL;
}

void dhcp_client_receive(struct dhcp_client *client, const uint8_t *bytes, size_t length, uint32_t source,
                         int64_t now)
{
    dhcp_client_tick(client, now);
    if (client->state == DHCP_STATE_STOPPED)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(dhcp_message) message = dhcp_message_decode(bytes, length, &error);
    if (!message) {
        ignore(client, NULL, 0, source, error->message);
        return;
    }
    unsigned type = dhcp_message_type(message);
    const char *why = refuse_reply(client, message);
    if (!why && type != DHCP_OFFER && type != DHCP_ACK && type != DHCP_NAK)
        why = type == DHCP_FORCERENEW ? "it is not authenticated" : "it is no message for a client";
    if (why) {
        ignore(client, message, type, source, why);
        return;
    }
    if (type == DHCP_NAK) {
        receive_nak(client, message, source, now);
        return;
    }
    struct dhcp_lease *lease = dhcp_lease_from_message(message, &error);
    if (!lease) {
        ignore(client, message, type, source, error->message);
        return;
    }
    if (client->settings.server && lease->server != client->settings.server) {
        ignore(client, message, type, source, "another server was asked for");
        dhcp_lease_free(lease);
    } else if (type == DHCP_OFFER) {
        receive_offer(client, message, lease, source, now);
    } else {
        receive_ack(client, message, lease, source, now);
    }
}

void dhcp_client_receive_arp(struct dhcp_client *client, const struct dhcp_arp *arp, int64_t now)
{
    dhcp_client_tick(client, now);
    struct dhcp_lease *lease = client->state == DHCP_STATE_PROBING ? client->offer : client->lease;
    if (!lease || memcmp(arp->sender_mac, client->settings.mac.octets, sizeof arp->sender_mac) == 0)
        return;
    /* Who probes for an address that we probe for wants it as well (RFC 5227 2.1.1). */
    bool is_rival = client->state == DHCP_STATE_PROBING && arp->operation == DHCP_ARP_REQUEST &&
                    !arp->sender && arp->target == lease->address;
    if (arp->sender != lease->address && !is_rival)
        return;
    struct dhcp_event event = {.type = DHCP_EVENT_CONFLICT, .address = lease->address};
    memcpy(event.mac.octets, arp->sender_mac, sizeof event.mac.octets);
    tell(client, &event);
    if (client->state == DHCP_STATE_PROBING) {
        g_autoptr(dhcp_lease) taken = g_steal_pointer(&client->offer);
        give_up_address(client, taken, now);
    } else if (client->has_defended && now - client->defended < DEFEND_MS) {
        g_autoptr(dhcp_lease) taken = dhcp_lease_copy(lease);
        give_up_address(client, taken, now);
    } else {
        client->has_defended = true;
        client->defended = now;
        send_arp(client, lease->address, lease->address);
    }
}

/* ---- the caller's words ---- */

void dhcp_client_start(struct dhcp_client *client, const struct dhcp_lease *remembered, int64_t now)
{
    start_over(client, now);
    if (!remembered)
        return;
    client->wanted = client->settings.address ? client->settings.address : remembered->address;
    client->wanted_server = remembered->server;
    if (dhcp_lease_end(remembered) <= now || client->wanted != remembered->address)
        return;
    client->reboot = dhcp_lease_copy(remembered);
    set_state(client, DHCP_STATE_INIT_REBOOT, client->has_link ? now : DHCP_NEVER);
}

void dhcp_client_link(struct dhcp_client *client, bool is_up, int64_t now)
{
    if (client->has_link == is_up)
        return;
    client->has_link = is_up;
    if (client->state == DHCP_STATE_STOPPED)
        return;
    if (!is_up) {
        /* Nothing can be sent; the lease's end is waited for all the same. */
        client->timer = client->select_at = client->announce_at = DHCP_NEVER;
        return;
    }
    /* It may be another network now. */
    if (client->lease || client->reboot) {
        g_clear_pointer(&client->offer, dhcp_lease_free);
        set_state(client, DHCP_STATE_INIT_REBOOT, now + LINK_SETTLE_MS);
    } else {
        start_over(client, now + LINK_SETTLE_MS);
    }
}

void dhcp_client_release(struct dhcp_client *client, int64_t now)
{
    if (client->lease && client->has_link) {
        struct dhcp_message *message =
            dhcp_release_new(&client->settings, client->lease, client->io.random(client->opaque));
        send_message(client, message, client->lease->address, client->lease->server, 0);
    }
    lose(client, "released");
    start_over(client, DHCP_NEVER);
    client->state = DHCP_STATE_STOPPED;
    client->announce_at = DHCP_NEVER;
}
