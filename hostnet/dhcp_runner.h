/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A DHCP client at work: the state machine (dhcp_client.h) with its sockets, clock and carrier, and its
 * leases put on the interface (dhcp_apply.h). No thread of its own: one fd that is readable when there is
 * something to do (a packet, a timer, the link), and a function that does it. A command runs it in a loop, a
 * supervisor puts it into its own.
 */
#pragma once

#include "hostnet/dhcp_apply.h"
#include "hostnet/dhcp_client.h"

struct dhcp_runner_hooks {
    /* Each event of the client, BOUND, RENEWED and LOST once the interface is so. May be NULL. */
    void (*tell)(void *opaque, const struct dhcp_event *event);
    /* Something that people should know and that stops nothing. May be NULL. */
    void (*note)(void *opaque, const char *text);
    /* The journal; see dhcp_apply.h. May be NULL. */
    dhcp_record_function record;
};

struct dhcp_runner_options {
    struct dhcp_settings settings; /* the MAC is taken from the link */
    struct dhcp_apply_options apply;
    const struct dhcp_lease *remembered; /* see dhcp_client_start(); NULL */
    struct dhcp_runner_hooks hooks;
    void *opaque; /* for the hooks */
};

struct dhcp_runner;
typedef struct dhcp_runner dhcp_runner;

/* Starts at once. `applied` is what the interface has from it already (dhcp_applied_new() at first); it stays
 * the caller's and has to outlive the runner. The link has to be up; without a carrier the runner waits for
 * it. UNSUPPORTED for a link that is not Ethernet, BUSY, PERMISSION. */
struct dhcp_runner *dhcp_runner_new(struct hostnet *net, struct dhcp_applied *applied,
                                    const struct dhcp_runner_options *options, GError **error);
/* The interface stays as it is. */
void dhcp_runner_free(struct dhcp_runner *runner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dhcp_runner, dhcp_runner_free)

int dhcp_runner_fd(const struct dhcp_runner *runner);
/* Does what there is to do, without waiting. False when it cannot go on: the link is gone (NOT_FOUND), the
 * journal cannot be written, the kernel refuses the address. */
bool dhcp_runner_dispatch(struct dhcp_runner *runner, GError **error);
/* Gives the lease back and takes it off the interface. */
bool dhcp_runner_release(struct dhcp_runner *runner, GError **error);

enum dhcp_state dhcp_runner_state(const struct dhcp_runner *runner);
const struct dhcp_lease *dhcp_runner_lease(const struct dhcp_runner *runner); /* NULL: none */
bool dhcp_runner_has_carrier(const struct dhcp_runner *runner);

/* Now, in ms of CLOCK_BOOTTIME, which counts while the computer sleeps. */
int64_t dhcp_clock_ms(void);

/* Gives back a lease that no runner has (any more): one RELEASE, straight to the server or its router, whose
 * hardware address is asked for first. The lease's address should still be on the link. */
bool dhcp_release_send(struct hostnet *net, uint32_t index, const struct dhcp_settings *settings,
                       const struct dhcp_lease *lease, GError **error);
