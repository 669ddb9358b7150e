/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What host_dhcp.c and host_dhcp_run.c share. */
#pragma once

#include "hostnet/dhcp_runner.h"
#include "netlab/host_dhcp.h"
#include "netlab/machine.h"

char *host_dhcp_log_path(const struct lab_place *place, const struct store_lease *row);
struct host_dhcp_lease *host_dhcp_describe(const struct lab_place *place, const struct store_lease *row,
                                           bool is_stale);

/* The settings column: dhcp_settings_format() and, in a section of its own, what is to be put on the
 * interface. */
char *host_dhcp_settings_format(const struct dhcp_settings *settings,
                                const struct host_dhcp_request *request);
void host_dhcp_settings_parse_apply(const char *text, struct dhcp_apply_options *options);

/* Takes what the row says off the interface. The row stays. */
bool host_dhcp_undo(struct hostnet *net, struct store_lease *row, const struct host_dhcp_hooks *hooks,
                    GError **error);

/* Getting and renewing, until told to end. */
struct host_dhcp_loop {
    struct hostnet *net;
    const struct lab_place
        *place;              /* of the store, which is opened for each write: it may have been replaced */
    struct store_lease *row; /* written as things happen */
    unsigned timeout_s;      /* for the first lease */
    bool release_at_end;     /* on SIGTERM; otherwise everything stays */
    int report_fd;           /* -1: none */
    struct host_dhcp_hooks hooks;
    void (*bound)(void *opaque, const struct host_dhcp_lease *lease); /* at the first one; may be NULL */
};
/* True when it was told to end. */
bool host_dhcp_loop(struct host_dhcp_loop *loop, GError **error);
