/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The DHCP client's state machine (RFC 2131 section 4.4, figure 5), without clock, sockets or memory of its
 * own making: time comes in as an argument, packets go in and out by calls. So it runs the same in a test, in
 * a command and in a supervisor.
 *
 *   INIT ──DISCOVER──► SELECTING ──REQUEST──► REQUESTING ──ACK──► PROBING ──free──► BOUND ◄─────────┐
 *    ▲                     ▲ no ACK              │ NAK               │ taken: DECLINE  │ T1          │ ACK
 *    ├─────────────────────┴─────────────────────┴───────────────────┘                 ▼             │
 *    │ NAK, lease over                                              RENEWING ──T2──► REBINDING ──────┤
 *    └◄──────────────────────────────────────────────────────────── ─────────────────────┘           │
 *   INIT-REBOOT (a lease from before; the link came back) ──REQUEST──► REBOOTING ────────────────────┘
 *
 * The caller: dhcp_client_start(); then whatever arrives through dhcp_client_receive*(), dhcp_client_tick()
 * at dhcp_client_deadline(), and dhcp_client_link() when the carrier comes or goes. What has to happen on the
 * interface comes out as events BOUND, RENEWED and LOST. One thread.
 */
#pragma once

#include "hostnet/dhcp_lease.h"
#include "hostnet/dhcp_packet.h"
#include "hostnet/link.h"

enum { DHCP_CLIENT_ID_MAX = 64, DHCP_HOSTNAME_MAX = 63 };
#define DHCP_NEVER     INT64_MAX
#define DHCP_BROADCAST 0xffffffffu

/* A plain value. dhcp_settings_default() fills in what is usual. */
struct dhcp_settings {
    struct hostnet_mac mac;
    uint8_t client_id[DHCP_CLIENT_ID_MAX]; /* option 61 as it is sent: its first byte is the type */
    uint8_t client_id_length;              /* 0: none is sent, and servers go by the MAC */
    char hostname[DHCP_HOSTNAME_MAX + 1];  /* option 12; "" none */
    uint32_t address;                      /* asked for in the DISCOVER; 0: any */
    uint32_t server;                       /* only this one's offers count; 0: anyone's */
    bool broadcast;                        /* ask for answers by broadcast from the first try on */
    uint16_t message_size;                 /* option 57 */
    unsigned retry_ms;                     /* 4000: first wait for an answer; doubles up to 16 times, ±¼ */
    unsigned select_ms;                    /* 300: how long further offers are waited for after the first */
    unsigned probe_ms;                     /* the second of RFC 5227; 1000 is the RFC's, 0: do not probe */
    unsigned decline_ms;                   /* 10000: pause after a conflict (RFC 2131 3.1.5) */
};

enum dhcp_client_id {
    DHCP_CLIENT_ID_NONE,
    DHCP_CLIENT_ID_MAC,  /* type 1 and the MAC: what most servers have on their lists */
    DHCP_CLIENT_ID_DUID, /* RFC 4361: 255, IAID, DUID */
};
/* `machine_id`: any text that is this computer's own (/etc/machine-id), for the DUID (RFC 6355, by hash);
 * NULL: the DUID is of the link-layer kind. */
void dhcp_settings_default(struct dhcp_settings *settings, const struct hostnet_mac *mac);
void dhcp_settings_set_client_id(struct dhcp_settings *settings, enum dhcp_client_id kind,
                                 const char *machine_id);
/* "mac", "duid", "none", "01:52:55:…" as it is sent, or any other text (sent with type 0). */
bool dhcp_settings_parse_client_id(struct dhcp_settings *settings, const char *text, const char *machine_id,
                                   GError **error);
/* A host name's first label: letters, digits, '-'. "" clears it. */
bool dhcp_settings_set_hostname(struct dhcp_settings *settings, const char *hostname, GError **error);
/* As text for the store (without the MAC), and back. */
char *dhcp_settings_format(const struct dhcp_settings *settings);
bool dhcp_settings_parse(struct dhcp_settings *settings, const char *text, GError **error);

enum dhcp_state {
    DHCP_STATE_INIT,
    DHCP_STATE_SELECTING,
    DHCP_STATE_REQUESTING,
    DHCP_STATE_PROBING, /* the address is ours if nobody else has it */
    DHCP_STATE_BOUND,
    DHCP_STATE_RENEWING,
    DHCP_STATE_REBINDING,
    DHCP_STATE_INIT_REBOOT,
    DHCP_STATE_REBOOTING,
    DHCP_STATE_STOPPED,
    DHCP_STATE_COUNT
};
const char *dhcp_state_name(enum dhcp_state state); /* "INIT-REBOOT" */

enum dhcp_event_type {
    DHCP_EVENT_SENT,     /* a message: type, address it speaks of, destination, ms to the next try */
    DHCP_EVENT_RECEIVED, /* a message that counts: type, address, server */
    DHCP_EVENT_IGNORED,  /* a message that does not: type, and why */
    DHCP_EVENT_CONFLICT, /* somebody else has the address: address, mac */
    DHCP_EVENT_BOUND,    /* put `lease` on the interface */
    DHCP_EVENT_RENEWED,  /* `lease` instead of what is there; often the same with new times */
    DHCP_EVENT_LOST,     /* take it off: why */
    DHCP_EVENT_COUNT
};
struct dhcp_event {
    enum dhcp_event_type type;
    unsigned message;               /* enum dhcp_type */
    uint32_t address, peer;         /* 0: does not apply */
    unsigned wait_ms;               /* SENT */
    struct hostnet_mac mac;         /* CONFLICT */
    const char *text;               /* IGNORED, LOST; else NULL */
    const struct dhcp_lease *lease; /* BOUND, RENEWED */
};

struct dhcp_io {
    /* To DHCP_BROADCAST by a packet of our own making, else from the interface's address by UDP. False when
     * it could not be sent, which is as good as lost. */
    bool (*send)(void *opaque, const struct dhcp_message *message, uint32_t destination);
    bool (*send_arp)(void *opaque, const struct dhcp_arp *arp); /* by broadcast */
    void (*tell)(void *opaque, const struct dhcp_event *event);
    uint32_t (*random)(void *opaque);
    int64_t (*wall)(void *opaque); /* seconds since 1970 */
};

struct dhcp_client;
typedef struct dhcp_client dhcp_client;

struct dhcp_client *dhcp_client_new(const struct dhcp_settings *settings, const struct dhcp_io *io,
                                    void *opaque);
void dhcp_client_free(struct dhcp_client *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dhcp_client, dhcp_client_free)

/* Begins. `remembered` (may be NULL): a lease from before, which is asked for again (INIT-REBOOT), or if it
 * is over only its address. It is copied. */
void dhcp_client_start(struct dhcp_client *client, const struct dhcp_lease *remembered, int64_t now);
/* A payload that came from `source`, port 67. */
void dhcp_client_receive(struct dhcp_client *client, const uint8_t *bytes, size_t length, uint32_t source,
                         int64_t now);
void dhcp_client_receive_arp(struct dhcp_client *client, const struct dhcp_arp *arp, int64_t now);
/* The carrier. One that starts without is told so before dhcp_client_start(). */
void dhcp_client_link(struct dhcp_client *client, bool is_up, int64_t now);
/* What is due. Early calls do nothing. */
void dhcp_client_tick(struct dhcp_client *client, int64_t now);
/* When dhcp_client_tick() is to be called; DHCP_NEVER. */
int64_t dhcp_client_deadline(const struct dhcp_client *client);
/* Gives the lease back, if there is one, and stops. */
void dhcp_client_release(struct dhcp_client *client, int64_t now);

enum dhcp_state dhcp_client_state(const struct dhcp_client *client);
/* The lease that is on the interface, the client's own; NULL: none. */
const struct dhcp_lease *dhcp_client_lease(const struct dhcp_client *client);

/* A RELEASE for a lease, for who has no client running. Owned by the caller. */
struct dhcp_message *dhcp_release_new(const struct dhcp_settings *settings, const struct dhcp_lease *lease,
                                      uint32_t xid);
