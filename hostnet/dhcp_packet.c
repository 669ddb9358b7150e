/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IPv4, UDP and ARP around DHCP; see dhcp_packet.h.
 */
#include "hostnet/dhcp_packet.h"
#include "hostnet/dhcp_message.h"
#include "hostnet/hostnet_internal.h"

#include <netinet/in.h>
#include <string.h>

enum {
    IP_HEADER = 20,
    UDP_HEADER = 8,
    IP_MORE_FRAGMENTS = 0x2000,
    IP_OFFSET = 0x1fff,
    TTL = 64,
    TOS_LOWDELAY = 0x10, /* as other clients send it */
    HARDWARE_ETHERNET = 1,
    PROTOCOL_IPV4 = 0x0800,
};

/* RFC 1071, without the final complement. */
static uint32_t add_sum(uint32_t sum, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i + 1 < length; i += 2)
        sum += dhcp_read16(bytes + i);
    if (length & 1)
        sum += (uint32_t)bytes[length - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Of a UDP datagram with its pseudo header; `ip` is the IP header in front of it. */
static uint32_t udp_sum(const uint8_t *ip, const uint8_t *udp, size_t length)
{
    uint32_t sum = add_sum(0, ip + 12, 8) + IPPROTO_UDP + (uint32_t)length;
    return add_sum(sum, udp, length);
}

bool dhcp_packet_parse(const uint8_t *bytes, size_t length, bool is_unsummed, struct dhcp_packet *packet,
                       GError **error)
{
    if (length < IP_HEADER || bytes[0] >> 4 != 4)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "not an IPv4 packet");
    size_t header = (size_t)(bytes[0] & 15) * 4, total = dhcp_read16(bytes + 2);
    if (header < IP_HEADER || total > length || total < header + UDP_HEADER)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "an IPv4 packet of %zu bytes says it has %zu, %zu of them header", length,
                                 total, header);
    if (bytes[9] != IPPROTO_UDP)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "not a UDP packet");
    if (dhcp_read16(bytes + 6) & (IP_MORE_FRAGMENTS | IP_OFFSET))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "a fragment");
    if (add_sum(0, bytes, header) != 0xffff)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the IP header's checksum is wrong");
    const uint8_t *udp = bytes + header;
    size_t size = dhcp_read16(udp + 4);
    if (size < UDP_HEADER || size > total - header)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "a UDP datagram says it has %zu bytes in a packet with room for %zu", size,
                                 total - header);
    if (!is_unsummed && dhcp_read16(udp + 6) && udp_sum(bytes, udp, size) != 0xffff)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the UDP checksum is wrong");
    *packet = (struct dhcp_packet){
        .source = dhcp_read32(bytes + 12),
        .destination = dhcp_read32(bytes + 16),
        .source_port = dhcp_read16(udp),
        .destination_port = dhcp_read16(udp + 2),
        .payload = udp + UDP_HEADER,
        .length = size - UDP_HEADER,
    };
    return true;
}

GByteArray *dhcp_packet_build(uint32_t source, uint32_t destination, const uint8_t *payload, size_t length)
{
    size_t total = IP_HEADER + UDP_HEADER + length;
    g_assert(total <= UINT16_MAX);
    GByteArray *packet = g_byte_array_sized_new((guint)total);
    g_byte_array_set_size(packet, (guint)total);
    uint8_t *ip = packet->data, *udp = ip + IP_HEADER;
    memset(ip, 0, IP_HEADER + UDP_HEADER);
    ip[0] = 0x45;
    ip[1] = TOS_LOWDELAY;
    dhcp_write16(ip + 2, (uint16_t)total);
    ip[8] = TTL;
    ip[9] = IPPROTO_UDP;
    dhcp_write32(ip + 12, source);
    dhcp_write32(ip + 16, destination);
    dhcp_write16(ip + 10, (uint16_t)~add_sum(0, ip, IP_HEADER));
    dhcp_write16(udp, DHCP_PORT_CLIENT);
    dhcp_write16(udp + 2, DHCP_PORT_SERVER);
    dhcp_write16(udp + 4, (uint16_t)(UDP_HEADER + length));
    memcpy(udp + UDP_HEADER, payload, length);
    uint16_t sum = (uint16_t)~udp_sum(ip, udp, UDP_HEADER + length);
    dhcp_write16(udp + 6, sum ? sum : 0xffff);
    return packet;
}

bool dhcp_arp_parse(const uint8_t *bytes, size_t length, struct dhcp_arp *arp)
{
    if (length < DHCP_ARP_SIZE || dhcp_read16(bytes) != HARDWARE_ETHERNET ||
        dhcp_read16(bytes + 2) != PROTOCOL_IPV4 || bytes[4] != 6 || bytes[5] != 4)
        return false;
    *arp = (struct dhcp_arp){.operation = dhcp_read16(bytes + 6),
                             .sender = dhcp_read32(bytes + 14),
                             .target = dhcp_read32(bytes + 24)};
    memcpy(arp->sender_mac, bytes + 8, 6);
    memcpy(arp->target_mac, bytes + 18, 6);
    return arp->operation == DHCP_ARP_REQUEST || arp->operation == DHCP_ARP_REPLY;
}

void dhcp_arp_build(const struct dhcp_arp *arp, uint8_t bytes[DHCP_ARP_SIZE])
{
    dhcp_write16(bytes, HARDWARE_ETHERNET);
    dhcp_write16(bytes + 2, PROTOCOL_IPV4);
    bytes[4] = 6;
    bytes[5] = 4;
    dhcp_write16(bytes + 6, arp->operation);
    memcpy(bytes + 8, arp->sender_mac, 6);
    dhcp_write32(bytes + 14, arp->sender);
    memcpy(bytes + 18, arp->target_mac, 6);
    dhcp_write32(bytes + 24, arp->target);
}
