/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What carries DHCP while an interface has no address: IPv4 and UDP headers made and read by ourselves, and
 * ARP (RFC 791, 768, 826, 5227). Pure; any thread.
 *
 * Packets begin with the IP header (AF_PACKET, SOCK_DGRAM). A packet that never left this computer, as over
 * veth or from a virtual machine, may come with its UDP checksum not filled in yet; the socket says so, and
 * then it is not looked at.
 */
#pragma once

#include "hostnet/hostnet.h"

struct dhcp_packet {
    uint32_t source, destination; /* host byte order */
    uint16_t source_port, destination_port;
    const uint8_t *payload; /* within what was parsed */
    size_t length;
};

/* One of IPv4 with UDP, whole and with right checksums, or INVALID. `is_unsummed`: the UDP checksum was left
 * to hardware. */
bool dhcp_packet_parse(const uint8_t *bytes, size_t length, bool is_unsummed, struct dhcp_packet *packet,
                       GError **error);
/* From the client's port to the server's. Owned by the caller. */
GByteArray *dhcp_packet_build(uint32_t source, uint32_t destination, const uint8_t *payload, size_t length);

enum { DHCP_ARP_SIZE = 28, DHCP_ARP_REQUEST = 1, DHCP_ARP_REPLY = 2 };

struct dhcp_arp {
    uint16_t operation;
    uint8_t sender_mac[6], target_mac[6];
    uint32_t sender, target; /* host byte order; a probe has sender 0 */
};

/* False when it is no ARP of IPv4 over Ethernet. Longer ones are padded frames. */
bool dhcp_arp_parse(const uint8_t *bytes, size_t length, struct dhcp_arp *arp);
void dhcp_arp_build(const struct dhcp_arp *arp, uint8_t bytes[DHCP_ARP_SIZE]);
