/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The sockets of a DHCP client on one interface.
 *
 * IPv4 and ARP come and go by packet sockets, which work before the interface has an address; a filter in the
 * kernel lets in UDP to port 68 only. A UDP socket sends renewals, and keeps the kernel from answering the
 * server's replies with "port unreachable"; it receives nothing. Frames with a VLAN tag belong to another
 * interface and are not ours. One thread.
 */
#pragma once

#include "hostnet/dhcp_packet.h"
#include "hostnet/link.h"

struct dhcp_sockets {
    uint32_t index; /* of the link */
    int packet, arp, udp;
};

/* PERMISSION without CAP_NET_RAW, BUSY when another client has the port. The fds are closed by
 * dhcp_sockets_close(). */
bool dhcp_sockets_open(struct hostnet *net, const struct hostnet_link *link, struct dhcp_sockets *sockets,
                       GError **error);
/* Without the UDP socket, whose port a client of ours may still have. */
bool dhcp_sockets_open_raw(struct hostnet *net, const struct hostnet_link *link, struct dhcp_sockets *sockets,
                           GError **error);
void dhcp_sockets_close(struct dhcp_sockets *sockets);

/* A payload to the servers' port, in a frame to `mac` (NULL: everyone). Errors are as good as a lost packet.
 */
bool dhcp_sockets_send(const struct dhcp_sockets *sockets, uint32_t source, uint32_t destination,
                       const struct hostnet_mac *mac, const uint8_t *payload, size_t length);
/* The same by UDP, as the routing has it. */
bool dhcp_sockets_send_udp(const struct dhcp_sockets *sockets, uint32_t source, uint32_t destination,
                           const uint8_t *payload, size_t length);
bool dhcp_sockets_send_arp(const struct dhcp_sockets *sockets, const struct dhcp_arp *arp);

enum { DHCP_FRAME_MAX = 65536 };
enum dhcp_received {
    DHCP_RECEIVED_NOTHING, /* no more is there */
    DHCP_RECEIVED_OTHER,   /* something that is not for us */
    DHCP_RECEIVED_PACKET,
};
/* One packet, without waiting. `buffer` of DHCP_FRAME_MAX holds what `packet` points into. */
enum dhcp_received dhcp_sockets_receive(const struct dhcp_sockets *sockets, uint8_t *buffer,
                                        struct dhcp_packet *packet);
enum dhcp_received dhcp_sockets_receive_arp(const struct dhcp_sockets *sockets, struct dhcp_arp *arp);
