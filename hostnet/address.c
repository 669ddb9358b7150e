/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Addresses of links: add, replace, remove, list. See address.h; the values themselves are prefix.c.
 *
 * In the kernel's messages IFA_LOCAL is the address and IFA_ADDRESS the far end of a point-to-point address;
 * they are equal otherwise, and IPv6 says IFA_ADDRESS alone. Source: linux/if_addr.h, rtnetlink(7).
 */
#include "hostnet/address.h"
#include "hostnet/request_internal.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum { ATTRIBUTE_PROTO = 11 }; /* IFA_PROTO, Linux 5.18 */

static size_t address_size(uint8_t family)
{
    return family == AF_INET ? 4 : 16;
}

static bool check_address(const struct hostnet_link_address *address, GError **error)
{
    uint8_t family = address->local.address.family;
    if (family != AF_INET && family != AF_INET6)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "an address of a link must be IPv4 or IPv6");
    if (!address->index)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "an address needs the link it is for");
    if (address->local.length > 8 * address_size(family))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "a prefix length of %u is out of range",
                                 address->local.length);
    if (address->preferred > address->valid)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "an address cannot be preferred (%u s) longer than it is valid (%u s)",
                                 address->preferred, address->valid);
    return true;
}

static void put_address(struct nl_msg *message, int attribute, const struct hostnet_address *address)
{
    hostnet_put(message, attribute, address->bytes, address_size(address->family));
}

static struct nl_msg *start_request(struct hostnet_batch *batch, int type, int flags,
                                    const struct hostnet_link_address *address)
{
    uint8_t family = address->local.address.family;
    struct ifaddrmsg header = {.ifa_family = family,
                               .ifa_prefixlen = address->local.length,
                               .ifa_scope = address->scope,
                               .ifa_index = address->index};
    struct nl_msg *message = hostnet_batch_add(batch, type, flags, &header, sizeof header);
    put_address(message, IFA_LOCAL, &address->local.address);
    put_address(message, IFA_ADDRESS,
                address->peer.family == family ? &address->peer : &address->local.address);
    return message;
}

/* "adding 10.1.0.1/24 to lan (nlb3f2a1)" */
static char *describe(struct hostnet *net, const char *verb, const struct hostnet_link_address *address,
                      const char *preposition)
{
    char text[HOSTNET_PREFIX_TEXT];
    g_autoptr(hostnet_link) link = hostnet_link_get(net, address->index, NULL);
    g_autofree char *name =
        link ? hostnet_describe_link(link->mark, link->name) : g_strdup_printf("link %u", address->index);
    return g_strdup_printf("%s %s %s %s", verb, hostnet_prefix_format(&address->local, text), preposition,
                           name);
}

static bool put(struct hostnet *net, const struct hostnet_link_address *address, int flags, const char *verb,
                GError **error)
{
    if (!check_address(address, error))
        return false;
    hostnet_auto_batch batch = {};
    struct nl_msg *message = start_request(&batch, RTM_NEWADDR, NLM_F_CREATE | flags, address);
    struct hostnet_address broadcast = address->broadcast;
    if (address->default_broadcast && address->local.address.family == AF_INET && address->local.length <= 30)
        hostnet_prefix_last(&address->local, &broadcast);
    if (broadcast.family == AF_INET && address->local.address.family == AF_INET)
        put_address(message, IFA_BROADCAST, &broadcast);
    if (address->flags)
        hostnet_put_u32(message, IFA_FLAGS, address->flags);
    if (address->label[0] && address->local.address.family == AF_INET)
        hostnet_put_string(message, IFA_LABEL, address->label);
    if (address->protocol)
        hostnet_put_u8(message, ATTRIBUTE_PROTO, address->protocol);
    if (address->metric)
        hostnet_put_u32(message, IFA_RT_PRIORITY, address->metric);
    if (address->valid && address->valid != HOSTNET_FOREVER) {
        struct ifa_cacheinfo cache = {.ifa_prefered = address->preferred, .ifa_valid = address->valid};
        hostnet_put(message, IFA_CACHEINFO, &cache, sizeof cache);
    } else if (address->valid == HOSTNET_FOREVER && address->preferred != HOSTNET_FOREVER) {
        struct ifa_cacheinfo cache = {.ifa_prefered = address->preferred, .ifa_valid = HOSTNET_FOREVER};
        hostnet_put(message, IFA_CACHEINFO, &cache, sizeof cache);
    }
    int failed = hostnet_batch_send(net, &batch, error);
    if (failed == (int)batch.count)
        return true;
    g_autofree char *what = describe(net, verb, address, "to");
    if (failed < 0) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    int reason = batch.requests[failed].error_number;
    const char *hint = reason == EEXIST   ? "the link has that address already"
                       : reason == EACCES ? "IPv6 is switched off there: sysctl net.ipv6.conf.*.disable_ipv6"
                                          : NULL;
    return hostnet_error_set(error, reason, batch.requests[failed].kernel_text, hint, "%s", what);
}

bool hostnet_address_add(struct hostnet *net, const struct hostnet_link_address *address, GError **error)
{
    return put(net, address, NLM_F_EXCL, "adding", error);
}

bool hostnet_address_replace(struct hostnet *net, const struct hostnet_link_address *address, GError **error)
{
    return put(net, address, NLM_F_REPLACE, "setting", error);
}

bool hostnet_address_remove(struct hostnet *net, const struct hostnet_link_address *address, GError **error)
{
    if (!check_address(address, error))
        return false;
    hostnet_auto_batch batch = {};
    start_request(&batch, RTM_DELADDR, 0, address);
    hostnet_batch_tolerate(&batch, EADDRNOTAVAIL); /* the address is gone */
    hostnet_batch_tolerate(&batch, ENODEV);        /* the link is gone */
    int failed = hostnet_batch_send(net, &batch, error);
    if (failed == (int)batch.count)
        return true;
    g_autofree char *what = describe(net, "removing", address, "from");
    if (failed < 0) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    return hostnet_error_set(error, batch.requests[failed].error_number, batch.requests[failed].kernel_text,
                             NULL, "%s", what);
}

/* ---- listing ---- */

struct address_search {
    uint32_t index;
    GArray *addresses;
};

static void get_address(const struct nlattr *attribute, uint8_t family, struct hostnet_address *address)
{
    if (!attribute || (size_t)nla_len(attribute) != address_size(family))
        return;
    address->family = family;
    memcpy(address->bytes, nla_data(attribute), address_size(family));
}

static void collect_address(struct nlmsghdr *message, void *opaque)
{
    struct address_search *search = opaque;
    struct nlattr *rows[ATTRIBUTE_PROTO + 1];
    if (message->nlmsg_type != RTM_NEWADDR ||
        nlmsg_parse(message, sizeof(struct ifaddrmsg), rows, ATTRIBUTE_PROTO, NULL) < 0)
        return;
    const struct ifaddrmsg *header = nlmsg_data(message);
    uint8_t family = header->ifa_family;
    if ((search->index && header->ifa_index != search->index) || (family != AF_INET && family != AF_INET6))
        return;
    struct hostnet_link_address address = {.index = header->ifa_index,
                                           .local = {.length = header->ifa_prefixlen},
                                           .scope = header->ifa_scope,
                                           .flags = header->ifa_flags,
                                           .preferred = HOSTNET_FOREVER,
                                           .valid = HOSTNET_FOREVER};
    get_address(rows[IFA_LOCAL] ? rows[IFA_LOCAL] : rows[IFA_ADDRESS], family, &address.local.address);
    if (!address.local.address.family)
        return;
    get_address(rows[IFA_ADDRESS], family, &address.peer);
    if (hostnet_address_equal(&address.peer, &address.local.address))
        address.peer = (struct hostnet_address){};
    get_address(rows[IFA_BROADCAST], family, &address.broadcast);
    if (rows[IFA_FLAGS] && nla_len(rows[IFA_FLAGS]) >= 4)
        address.flags = nla_get_u32(rows[IFA_FLAGS]);
    if (rows[ATTRIBUTE_PROTO] && nla_len(rows[ATTRIBUTE_PROTO]) >= 1)
        address.protocol = nla_get_u8(rows[ATTRIBUTE_PROTO]);
    if (rows[IFA_RT_PRIORITY] && nla_len(rows[IFA_RT_PRIORITY]) >= 4)
        address.metric = nla_get_u32(rows[IFA_RT_PRIORITY]);
    if (rows[IFA_LABEL])
        nla_strlcpy(address.label, rows[IFA_LABEL], sizeof address.label);
    if (rows[IFA_CACHEINFO] && (size_t)nla_len(rows[IFA_CACHEINFO]) >= sizeof(struct ifa_cacheinfo)) {
        struct ifa_cacheinfo cache;
        memcpy(&cache, nla_data(rows[IFA_CACHEINFO]), sizeof cache);
        address.preferred = cache.ifa_prefered;
        address.valid = cache.ifa_valid;
    }
    g_array_append_val(search->addresses, address);
}

static void forget_addresses(void *opaque)
{
    g_array_set_size(((struct address_search *)opaque)->addresses, 0);
}

GArray *hostnet_address_list(struct hostnet *net, uint32_t index, GError **error)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, TRUE, sizeof(struct hostnet_link_address));
    struct address_search search = {.index = index, .addresses = addresses};
    struct ifaddrmsg header = {.ifa_family = AF_UNSPEC};
    if (!hostnet_request_dump(net, RTM_GETADDR, &header, sizeof header, collect_address, forget_addresses,
                              &search, "listing addresses", error))
        return NULL;
    return g_steal_pointer(&addresses);
}
