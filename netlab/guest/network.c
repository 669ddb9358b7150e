/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Interfaces, addresses and routes over rtnetlink (rtnetlink(7)): a few requests, each acknowledged.
 *
 * A mistake in one setting is reported on the console and the rest is still applied: a lab with one wrong
 * route is more useful than a machine without any.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
    struct nlmsghdr header;
    char body[512];
};

static void attribute(struct request *r, unsigned type, const void *data, size_t length)
{
    struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));
    a->rta_type = (unsigned short)type;
    a->rta_len = (unsigned short)RTA_LENGTH(length);
    memcpy(RTA_DATA(a), data, length);
    r->header.nlmsg_len = NLMSG_ALIGN(r->header.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

/* Sends and waits for the acknowledgement. Returns 0 or an errno. */
static int transact(struct request *r)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return errno;
    r->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    int result = EIO;
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[1024];
    } reply;
    if (send(fd, r, r->header.nlmsg_len, 0) < 0)
        result = errno;
    else if (recv(fd, &reply, sizeof reply, 0) >= (ssize_t)NLMSG_LENGTH(sizeof reply.error) &&
             reply.header.nlmsg_type == NLMSG_ERROR)
        result = -reply.error.error;
    close(fd);
    return result;
}

static size_t address_length(const struct guest_address *a)
{
    return a->family == AF_INET6 ? 16 : 4;
}

static const char *address_text(const struct guest_address *a, char out[ADDRESS_TEXT])
{
    char plain[INET6_ADDRSTRLEN];
    inet_ntop(a->family, a->bytes, plain, sizeof plain);
    snprintf(out, ADDRESS_TEXT, "%s/%u", plain, a->prefix);
    return out;
}

static int change_link(int index, const char *name, unsigned mtu, bool up)
{
    struct request r = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)), .nlmsg_type = RTM_NEWLINK}};
    struct ifinfomsg *info = NLMSG_DATA(&r.header);
    info->ifi_family = AF_UNSPEC;
    info->ifi_index = index;
    if (up)
        info->ifi_flags = info->ifi_change = IFF_UP;
    if (name)
        attribute(&r, IFLA_IFNAME, name, strlen(name) + 1);
    if (mtu)
        attribute(&r, IFLA_MTU, &mtu, sizeof mtu);
    return transact(&r);
}

static int add_address(int index, const struct guest_address *a)
{
    struct request r = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
                                   .nlmsg_type = RTM_NEWADDR,
                                   .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE}};
    struct ifaddrmsg *info = NLMSG_DATA(&r.header);
    info->ifa_family = (unsigned char)a->family;
    info->ifa_prefixlen = (unsigned char)a->prefix;
    info->ifa_index = (unsigned)index;
    if (a->family == AF_INET6)
        info->ifa_flags = IFA_F_NODAD; /* the lab gave it to this node: usable at once */
    attribute(&r, IFA_LOCAL, a->bytes, address_length(a));
    attribute(&r, IFA_ADDRESS, a->bytes, address_length(a));
    if (a->family == AF_INET && a->prefix < 31) {
        uint32_t ip, mask = htonl(a->prefix ? ~0u << (32 - a->prefix) : 0);
        memcpy(&ip, a->bytes, 4);
        ip |= ~mask;
        attribute(&r, IFA_BROADCAST, &ip, 4);
    }
    return transact(&r);
}

static int add_route(const struct guest_route *route)
{
    struct request r = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                                   .nlmsg_type = RTM_NEWROUTE,
                                   .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE}};
    struct rtmsg *info = NLMSG_DATA(&r.header);
    *info = (struct rtmsg){.rtm_family = (unsigned char)route->to.family,
                           .rtm_dst_len = (unsigned char)route->to.prefix,
                           .rtm_table = RT_TABLE_MAIN,
                           .rtm_protocol = RTPROT_STATIC,
                           .rtm_scope = route->has_via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                           .rtm_type = RTN_UNICAST};
    if (route->to.prefix)
        attribute(&r, RTA_DST, route->to.bytes, address_length(&route->to));
    if (route->has_via)
        attribute(&r, RTA_GATEWAY, route->via.bytes, address_length(&route->via));
    if (route->device[0]) {
        unsigned index = if_nametoindex(route->device);
        if (!index)
            return ENODEV;
        attribute(&r, RTA_OIF, &index, sizeof index);
    }
    return transact(&r);
}

static int index_by_mac(const uint8_t mac[6])
{
    struct ifaddrs *all, *i;
    int index = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (i = all; i && !index; i = i->ifa_next) {
        const struct sockaddr_ll *ll = (const void *)i->ifa_addr;
        if (ll && ll->sll_family == AF_PACKET && ll->sll_hatype == ARPHRD_ETHER &&
            memcmp(ll->sll_addr, mac, 6) == 0)
            index = ll->sll_ifindex;
    }
    freeifaddrs(all);
    return index;
}

static void report(int error, const char *what, const char *detail)
{
    if (error)
        guest_log("%s %s: %s", what, detail, strerror(error));
}

/* Names may be swapped among the NICs (eth0 ↔ eth1), so all get a temporary name first. */
static void name_links(const struct guest_config *config, int index[MAX_INTERFACES])
{
    char current[IF_NAMESIZE];
    for (unsigned i = 0; i < config->interface_count; i++) {
        const struct guest_interface *nic = &config->interface[i];
        index[i] = index_by_mac(nic->mac);
        if (!index[i]) {
            guest_log("no NIC with the address %02x:%02x:%02x:%02x:%02x:%02x for %s", nic->mac[0],
                      nic->mac[1], nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5], nic->name);
            continue;
        }
        if (if_indextoname((unsigned)index[i], current) && strcmp(current, nic->name) != 0) {
            char temporary[IF_NAMESIZE];
            snprintf(temporary, sizeof temporary, "nic%d", index[i]);
            change_link(index[i], temporary, 0, false);
        }
    }
    for (unsigned i = 0; i < config->interface_count; i++) {
        const char *name = config->interface[i].name;
        if (index[i] && if_indextoname((unsigned)index[i], current) && strcmp(current, name) != 0)
            report(change_link(index[i], name, 0, false), "naming", name);
    }
}

void network_apply(const struct guest_config *config)
{
    int index[MAX_INTERFACES];
    char text[ADDRESS_TEXT];
    change_link(1, NULL, 0, true); /* lo */
    name_links(config, index);
    for (unsigned i = 0; i < config->interface_count; i++) {
        const struct guest_interface *nic = &config->interface[i];
        if (!index[i])
            continue;
        report(change_link(index[i], NULL, nic->mtu, true), "bringing up", nic->name);
        for (unsigned a = 0; a < nic->address_count; a++)
            report(add_address(index[i], &nic->address[a]), "adding address",
                   address_text(&nic->address[a], text));
    }
    for (unsigned i = 0; i < config->loopback_count; i++)
        report(add_address(1, &config->loopback[i]), "adding address",
               address_text(&config->loopback[i], text));
    for (unsigned i = 0; i < config->route_count; i++)
        report(add_route(&config->route[i]), "adding route", address_text(&config->route[i].to, text));
}

void network_add_route(const struct guest_route *route)
{
    char text[ADDRESS_TEXT];
    report(add_route(route), "adding route", address_text(&route->to, text));
}

static int remove_address(int index, const struct guest_address *a)
{
    struct request r = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)), .nlmsg_type = RTM_DELADDR}};
    struct ifaddrmsg *info = NLMSG_DATA(&r.header);
    *info = (struct ifaddrmsg){.ifa_family = (unsigned char)a->family,
                               .ifa_prefixlen = (unsigned char)a->prefix,
                               .ifa_index = (unsigned)index};
    attribute(&r, IFA_LOCAL, a->bytes, address_length(a));
    return transact(&r);
}

void network_replace_address(const char *interface, const struct guest_address *address, unsigned mtu)
{
    int index = (int)if_nametoindex(interface);
    char text[ADDRESS_TEXT];
    bool is_there = false;
    struct ifaddrs *all, *i;
    if (!index) {
        guest_log("no interface %s", interface);
        return;
    }
    if (getifaddrs(&all) != 0)
        all = NULL;
    for (i = all; i; i = i->ifa_next) {
        if (strcmp(i->ifa_name, interface) != 0 || !i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
            !i->ifa_netmask)
            continue;
        struct guest_address old = {.family = AF_INET};
        uint32_t mask = ntohl(((struct sockaddr_in *)i->ifa_netmask)->sin_addr.s_addr);
        memcpy(old.bytes, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, 4);
        old.prefix = (unsigned)__builtin_popcount(mask);
        if (address && old.prefix == address->prefix && memcmp(old.bytes, address->bytes, 4) == 0)
            is_there = true;
        else
            report(remove_address(index, &old), "removing address", address_text(&old, text));
    }
    if (all)
        freeifaddrs(all);
    report(change_link(index, NULL, mtu, true), "bringing up", interface);
    if (address && !is_there)
        report(add_address(index, address), "adding address", address_text(address, text));
}

void network_describe(struct text *out)
{
    struct ifaddrs *all, *i;
    text_add(out, "[");
    if (getifaddrs(&all) != 0)
        all = NULL;
    bool first = true;
    for (i = all; i; i = i->ifa_next) {
        const struct sockaddr_ll *ll = (const void *)i->ifa_addr;
        if (!ll || ll->sll_family != AF_PACKET)
            continue;
        text_addf(out, "%s{\"name\":", first ? "" : ",");
        first = false;
        text_add_json(out, i->ifa_name, strlen(i->ifa_name));
        text_addf(out, ",\"hardware-address\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"ip-addresses\":[",
                  ll->sll_addr[0], ll->sll_addr[1], ll->sll_addr[2], ll->sll_addr[3], ll->sll_addr[4],
                  ll->sll_addr[5]);
        bool first_address = true;
        for (struct ifaddrs *a = all; a; a = a->ifa_next) {
            if (strcmp(a->ifa_name, i->ifa_name) != 0 || !a->ifa_addr)
                continue;
            int family = a->ifa_addr->sa_family;
            if (family != AF_INET && family != AF_INET6)
                continue;
            bool six = family == AF_INET6;
            const uint8_t *ip = six ? (const void *)&((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr
                                    : (const void *)&((struct sockaddr_in *)a->ifa_addr)->sin_addr;
            const uint8_t *mask = !a->ifa_netmask ? NULL
                                  : six ? (const void *)&((struct sockaddr_in6 *)a->ifa_netmask)->sin6_addr
                                        : (const void *)&((struct sockaddr_in *)a->ifa_netmask)->sin_addr;
            unsigned prefix = 0;
            for (unsigned b = 0; mask && b < (six ? 16u : 4u); b++)
                prefix += (unsigned)__builtin_popcount(mask[b]);
            char plain[INET6_ADDRSTRLEN];
            inet_ntop(family, ip, plain, sizeof plain);
            text_addf(out, "%s{\"ip-address\":\"%s\",\"ip-address-type\":\"%s\",\"prefix\":%u}",
                      first_address ? "" : ",", plain, six ? "ipv6" : "ipv4", prefix);
            first_address = false;
        }
        text_add(out, "]}");
    }
    if (all)
        freeifaddrs(all);
    text_add(out, "]");
}
