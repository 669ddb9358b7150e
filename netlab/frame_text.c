/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See frame_text.h. Frames are hostile: a part is looked at only when `part_take()` says that it is there.
 * Numbers of protocols are IANA's.
 */
#include "netlab/frame_text.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

struct part {
    const uint8_t *at;
    size_t left;
};

/* The next `length` bytes; NULL: cut off. */
static const uint8_t *part_take(struct part *part, size_t length)
{
    if (part->left < length)
        return NULL;
    const uint8_t *at = part->at;
    part->at += length;
    part->left -= length;
    return at;
}

static unsigned be16(const uint8_t *at)
{
    return (unsigned)(at[0] << 8 | at[1]);
}

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)be16(at) << 16 | be16(at + 2);
}

struct name {
    unsigned number;
    const char *text;
};

static const char *find(const struct name *names, size_t count, unsigned number)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].number == number)
            return names[i].text;
    return NULL;
}
#define FIND(names, number) find(names, G_N_ELEMENTS(names), number)

static void add_mac(GString *out, const uint8_t *mac)
{
    g_string_append_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                           mac[5]);
}

static void add_ip(GString *out, int family, const uint8_t *address)
{
    char text[INET6_ADDRSTRLEN];
    g_string_append(out, inet_ntop(family, address, text, sizeof text));
}

/* ---- above IP ---- */

static const struct name ports[] = {{22, "ssh"},    {53, "dns"},     {67, "dhcp"},     {68, "dhcp"},
                                    {69, "tftp"},   {80, "http"},    {123, "ntp"},     {179, "bgp"},
                                    {443, "https"}, {520, "rip"},    {546, "dhcp6"},   {547, "dhcp6"},
                                    {3784, "bfd"},  {4789, "vxlan"}, {5201, "iperf3"}, {5353, "mdns"}};

static void add_port_name(GString *out, unsigned a, unsigned b)
{
    const char *text = FIND(ports, a);
    if (!text)
        text = FIND(ports, b);
    if (text)
        g_string_append_printf(out, " (%s)", text);
}

static void add_tcp(GString *out, const uint8_t *head, size_t payload)
{
    static const char letters[] = "FSRPAUEW"; /* from bit 0 */
    unsigned flags = head[13];
    g_string_append(out, ": TCP ");
    for (unsigned i = 0; i < 8; i++)
        if (i != 4 && flags >> i & 1)
            g_string_append_c(out, letters[i]);
    if (flags & 0x10)
        g_string_append_c(out, '.');
    g_string_append_printf(out, " seq %u", be32(head + 4));
    if (flags & 0x10)
        g_string_append_printf(out, " ack %u", be32(head + 8));
    g_string_append_printf(out, " win %u, %zu bytes", be16(head + 14), payload);
    add_port_name(out, be16(head), be16(head + 2));
}

static const struct name icmp_types[] = {
    {0, "echo reply"},        {3, "unreachable"},          {4, "source quench"},        {5, "redirect"},
    {8, "echo request"},      {9, "router advertisement"}, {10, "router solicitation"}, {11, "time exceeded"},
    {12, "parameter problem"}};
static const struct name icmp6_types[] = {{1, "unreachable"},
                                          {2, "packet too big"},
                                          {3, "time exceeded"},
                                          {4, "parameter problem"},
                                          {128, "echo request"},
                                          {129, "echo reply"},
                                          {130, "multicast listener query"},
                                          {131, "multicast listener report"},
                                          {133, "router solicitation"},
                                          {134, "router advertisement"},
                                          {135, "neighbour solicitation"},
                                          {136, "neighbour advertisement"},
                                          {137, "redirect"},
                                          {143, "multicast listener report v2"}};

static void add_icmp(GString *out, bool is_6, struct part *part)
{
    const uint8_t *head = part_take(part, 8);
    if (!head) {
        g_string_append(out, is_6 ? ": ICMPv6, cut off" : ": ICMP, cut off");
        return;
    }
    const char *type = is_6 ? FIND(icmp6_types, head[0]) : FIND(icmp_types, head[0]);
    g_string_append(out, is_6 ? ": ICMPv6 " : ": ICMP ");
    if (type)
        g_string_append(out, type);
    else
        g_string_append_printf(out, "type %u", head[0]);
    bool is_echo = is_6 ? head[0] == 128 || head[0] == 129 : head[0] == 0 || head[0] == 8;
    if (is_echo)
        g_string_append_printf(out, ", id %u, seq %u", be16(head + 4), be16(head + 6));
    else if (head[1])
        g_string_append_printf(out, ", code %u", head[1]);
    const uint8_t *target;
    if (is_6 && (head[0] == 135 || head[0] == 136) && (target = part_take(part, 16))) {
        g_string_append_c(out, ' ');
        add_ip(out, AF_INET6, target);
    }
}

static const struct name protocols[] = {{2, "IGMP"},   {4, "IPIP"},  {41, "IPv6 in IP"}, {47, "GRE"},
                                        {50, "ESP"},   {51, "AH"},   {89, "OSPF"},       {103, "PIM"},
                                        {112, "VRRP"}, {132, "SCTP"}};
static const struct name ospf_types[] = {{1, "hello"},
                                         {2, "database description"},
                                         {3, "link state request"},
                                         {4, "link state update"},
                                         {5, "link state acknowledgement"}};

/* "a > b: what": with ports where there are some. `length`: of what is above IP. */
static void add_above(GString *out, int family, const uint8_t *from, const uint8_t *to, unsigned protocol,
                      bool is_first, struct part part, size_t length)
{
    bool has_ports = (protocol == 6 || protocol == 17) && is_first && part.left >= 4;
    struct part whole = part;
    add_ip(out, family, from);
    if (has_ports)
        g_string_append_printf(out, ".%u", be16(part.at));
    g_string_append(out, " > ");
    add_ip(out, family, to);
    if (has_ports)
        g_string_append_printf(out, ".%u", be16(part.at + 2));
    const char *name = FIND(protocols, protocol);
    if (!is_first) {
        g_string_append_printf(out, ": %s%u, a later fragment, %zu bytes", "IP protocol ", protocol, length);
    } else if (protocol == 6) {
        const uint8_t *head = part_take(&part, 20);
        size_t size = head ? (size_t)(head[12] >> 4) * 4 : 0;
        if (head)
            add_tcp(out, head, length > size ? length - size : 0);
        else
            g_string_append(out, ": TCP, cut off");
    } else if (protocol == 17) {
        g_string_append_printf(out, ": UDP, %zu bytes", length > 8 ? length - 8 : 0);
        if (has_ports)
            add_port_name(out, be16(whole.at), be16(whole.at + 2));
    } else if (protocol == 1 || protocol == 58) {
        add_icmp(out, protocol == 58, &part);
    } else if (protocol == 89 && part.left >= 4) {
        const char *type = FIND(ospf_types, part.at[1]);
        g_string_append_printf(out, ": OSPFv%u %s", part.at[0], type ? type : "?");
    } else if (name) {
        g_string_append_printf(out, ": %s, %zu bytes", name, length);
    } else {
        g_string_append_printf(out, ": protocol %u, %zu bytes", protocol, length);
    }
}

/* ---- IP ---- */

static void add_ipv4(GString *out, struct part part)
{
    const uint8_t *head = part_take(&part, 20);
    size_t size = head ? (size_t)(head[0] & 15) * 4 : 0;
    if (!head || size < 20 || !part_take(&part, size - 20)) {
        g_string_append(out, "IPv4, cut off");
        return;
    }
    size_t total = be16(head + 2), length = total > size ? total - size : 0;
    unsigned fragment = be16(head + 6);
    part.left = MIN(part.left, length ? length : part.left); /* what follows is padding */
    add_above(out, AF_INET, head + 12, head + 16, head[9], !(fragment & 0x1fff), part, length);
    if (fragment & 0x2000)
        g_string_append(out, ", more fragments");
}

static void add_ipv6(GString *out, struct part part)
{
    const uint8_t *head = part_take(&part, 40);
    if (!head) {
        g_string_append(out, "IPv6, cut off");
        return;
    }
    size_t length = be16(head + 4);
    unsigned next = head[6];
    bool is_first = true;
    /* Hop-by-hop, routing, fragment, destination options. */
    for (int i = 0; i < 8 && (next == 0 || next == 43 || next == 44 || next == 60); i++) {
        const uint8_t *front = part_take(&part, 8);
        size_t more = front && next != 44 ? (size_t)front[1] * 8 : 0;
        if (!front || !part_take(&part, more)) {
            g_string_append(out, "IPv6, cut off");
            return;
        }
        if (next == 44)
            is_first = !(be16(front + 2) & 0xfff8);
        next = front[0];
        length = length > 8 + more ? length - 8 - more : 0;
    }
    add_above(out, AF_INET6, head + 8, head + 24, next, is_first, part, length);
}

static void add_arp(GString *out, struct part part)
{
    const uint8_t *body = part_take(&part, 28);
    if (!body || be16(body) != 1 || be16(body + 2) != 0x0800) {
        g_string_append(out, "ARP, cut off or not of IPv4");
        return;
    }
    unsigned what = be16(body + 6);
    if (what == 1) {
        g_string_append(out, "ARP who has ");
        add_ip(out, AF_INET, body + 24);
        g_string_append(out, "? tell ");
        add_ip(out, AF_INET, body + 14);
    } else {
        g_string_append_printf(out, "ARP %s ", what == 2 ? "reply" : "other");
        add_ip(out, AF_INET, body + 14);
        g_string_append(out, " is at ");
        add_mac(out, body + 8);
    }
}

/* ---- Ethernet ---- */

static void add_llc(GString *out, const uint8_t *from, struct part part, size_t length)
{
    const uint8_t *head = part_take(&part, 3);
    add_mac(out, from);
    if (head && head[0] == 0x42 && head[1] == 0x42)
        g_string_append(out, ": spanning tree");
    else if (head && head[0] == 0xfe && head[1] == 0xfe)
        g_string_append(out, part.left && part.at[0] == 0x83 ? ": IS-IS" : ": OSI");
    else
        g_string_append_printf(out, ": 802.3, %zu bytes", length);
}

void frame_text_add(GString *out, const uint8_t *data, size_t captured, size_t length)
{
    struct part part = {data, captured};
    const uint8_t *to = part_take(&part, 6), *from = part_take(&part, 6), *type = part_take(&part, 2);
    if (!to || !from || !type) {
        g_string_append_printf(out, "cut off, %zu bytes", length);
        return;
    }
    unsigned number = be16(type);
    for (int i = 0; i < 2 && (number == 0x8100 || number == 0x88a8); i++) {
        const uint8_t *tag = part_take(&part, 4);
        if (!tag) {
            g_string_append(out, "VLAN, cut off");
            return;
        }
        g_string_append_printf(out, "vlan %u ", be16(tag) & 0xfff);
        number = be16(tag + 2);
    }
    switch (number) {
    case 0x0800:
        add_ipv4(out, part);
        return;
    case 0x86dd:
        add_ipv6(out, part);
        return;
    case 0x0806:
        add_arp(out, part);
        return;
    }
    if (number < 1536) {
        add_llc(out, from, part, number);
        return;
    }
    add_mac(out, from);
    g_string_append(out, " > ");
    add_mac(out, to);
    static const struct name types[] = {
        {0x88cc, "LLDP"}, {0x8847, "MPLS"}, {0x8809, "LACP"}, {0x8808, "PAUSE"}};
    const char *name = FIND(types, number);
    if (name)
        g_string_append_printf(out, ": %s, %zu bytes", name, length);
    else
        g_string_append_printf(out, ": type 0x%04x, %zu bytes", number, length);
}
