/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The words of -netdev user, read: user_config.c. slirp.c makes a network of them, user_share.c the shared
 * folder.
 */
#pragma once

#include "emu/keyval.h"

#include <netinet/in.h>

/* Strings and lists are the keyval's. Addresses in network byte order. */
struct user_config {
    bool ipv4, ipv6, restricted;
    struct in_addr net, mask, host, dhcp_start, dns, smb_server;
    struct in6_addr net6, host6, dns6;
    uint8_t prefix_length;
    const char *hostname, *domainname, *tftp, *tftp_server_name, *bootfile, *smb;
    const char *const *dnssearch, *const *hostfwd, *const *guestfwd;
};

enum { USER_ROW_COUNT = 22 };
extern const struct keyval_row user_rows[USER_ROW_COUNT];

bool user_config_read(const struct keyval *kv, struct user_config *out, GError **error);

union user_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* A port of the host that leads into the guest's network. */
struct user_forward {
    bool udp;
    union user_address host, guest;
};

/* "[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport"; IPv6 addresses in brackets. An empty guest address
 * is left 0 (the first DHCP lease). `config` is the network it is for; NULL: without the part from '-' on. */
bool user_forward_read(const char *text, const struct user_config *config, struct user_forward *out,
                       GError **error);

/* A port of the guest's network that leads to something on the host:
 * "[tcp]:server:port-cmd:COMMAND" or "…-CHARDEV". `target` points into `text`. */
struct user_service {
    struct in_addr server;
    uint16_t port; /* host byte order */
    bool command;
    const char *target; /* the command line, or words of a character port */
};
bool user_service_read(const char *text, const struct user_config *config, struct user_service *out,
                       GError **error);

/* A folder shared by Samba: its private directory with smb.conf, gone with user_share_free(). `command`: what
 * to run for each connection. */
struct user_share;
struct user_share *user_share_new(const char *folder, GError **error);
const char *user_share_command(const struct user_share *share);
void user_share_free(struct user_share *share); /* NULL is allowed */
/* Where smbd is, or an error that says what to install. Free with g_free(). */
char *user_share_program(GError **error);
