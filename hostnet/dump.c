/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Raw dumps: take, filter, replay. See dump.h. (libmnl; no libnl here.)
 *
 * Each kind of dump is one or more GET requests (a family each). A dump during which the namespace changed
 * (NLM_F_DUMP_INTR) may lack or repeat objects and is taken again.
 *
 * Replay copies each stored message attribute by attribute into a NEW request, so that what we do not
 * understand goes back as it came. Rewritten are: link indexes (header, RTA_OIF, next hops) from the old link
 * to the new one; lifetimes (IFA_CACHEINFO, and RTA_CACHEINFO's expiry as RTA_EXPIRES); state bits that only
 * the kernel may set. An IPv4 label is left out when the link is another, since it says the old link's name.
 * Source: linux/if_addr.h, linux/rtnetlink.h, rtnetlink(7).
 */
#include "hostnet/address.h"
#include "hostnet/dump_internal.h"
#include "hostnet/hostnet_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
    RECEIVE_SIZE = 64 << 10,
    MESSAGE_SIZE = 64 << 10,
    DUMP_TRIES = 20,
    SECONDS_TO_ANSWER = 20,
    USER_HZ = 100,
    REQUESTS_PER_KIND = 6,
};

/* What is asked for each kind: message type, family, header size, and of neighbours whether those that this
 * host answers for are meant. Rows end with type 0. */
struct dump_request {
    uint16_t type;
    uint8_t family;
    uint8_t header;
    bool is_proxy;
};

static const struct {
    int protocol;
    struct dump_request requests[REQUESTS_PER_KIND];
} kinds[] = {
    [HOSTNET_DUMP_LINKS] = {NETLINK_ROUTE, {{RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg)}}},
    [HOSTNET_DUMP_ADDRESSES] = {NETLINK_ROUTE, {{RTM_GETADDR, AF_UNSPEC, sizeof(struct ifaddrmsg)}}},
    [HOSTNET_DUMP_ROUTES] = {NETLINK_ROUTE,
                             {{RTM_GETROUTE, AF_INET, sizeof(struct rtmsg)},
                              {RTM_GETROUTE, AF_INET6, sizeof(struct rtmsg)}}},
    [HOSTNET_DUMP_RULES] = {NETLINK_ROUTE,
                            {{RTM_GETRULE, AF_INET, sizeof(struct fib_rule_hdr)},
                             {RTM_GETRULE, AF_INET6, sizeof(struct fib_rule_hdr)}}},
    [HOSTNET_DUMP_QDISCS] = {NETLINK_ROUTE, {{RTM_GETQDISC, AF_UNSPEC, sizeof(struct tcmsg)}}},
    [HOSTNET_DUMP_NEIGHBOURS] = {NETLINK_ROUTE,
                                 {{RTM_GETNEIGH, AF_INET, sizeof(struct ndmsg), false},
                                  {RTM_GETNEIGH, AF_INET6, sizeof(struct ndmsg), false},
                                  {RTM_GETNEIGH, AF_INET, sizeof(struct ndmsg), true},
                                  {RTM_GETNEIGH, AF_INET6, sizeof(struct ndmsg), true}}},
    [HOSTNET_DUMP_BRIDGE_ENTRIES] = {NETLINK_ROUTE, {{RTM_GETNEIGH, AF_BRIDGE, sizeof(struct ndmsg)}}},
    [HOSTNET_DUMP_NFT_TABLES] = {NETLINK_NETFILTER,
                                 {{NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0, sizeof(struct nfgenmsg)},
                                  {NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, 0, sizeof(struct nfgenmsg)},
                                  {NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, 0, sizeof(struct nfgenmsg)},
                                  {NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSET, 0, sizeof(struct nfgenmsg)}}},
};
static_assert(G_N_ELEMENTS(kinds) == HOSTNET_DUMP_KIND_COUNT, "every kind has a row");

static const char *const kind_names[] = {
    [HOSTNET_DUMP_LINKS] = "links",
    [HOSTNET_DUMP_ADDRESSES] = "addresses",
    [HOSTNET_DUMP_ROUTES] = "routes",
    [HOSTNET_DUMP_RULES] = "rules",
    [HOSTNET_DUMP_QDISCS] = "queueing disciplines",
    [HOSTNET_DUMP_NEIGHBOURS] = "neighbours",
    [HOSTNET_DUMP_BRIDGE_ENTRIES] = "bridge entries",
    [HOSTNET_DUMP_NFT_TABLES] = "nftables",
};
static_assert(G_N_ELEMENTS(kind_names) == HOSTNET_DUMP_KIND_COUNT, "every kind has a name");

/* ---- walking ---- */

const struct nlmsghdr *hostnet_dump_next(GBytes *dump, size_t *offset)
{
    size_t size;
    const char *bytes = g_bytes_get_data(dump, &size);
    if (*offset > size || size - *offset < sizeof(struct nlmsghdr))
        return NULL;
    const struct nlmsghdr *message = (const struct nlmsghdr *)(bytes + *offset);
    if (message->nlmsg_len < sizeof *message || message->nlmsg_len > size - *offset)
        return NULL;
    *offset += MNL_ALIGN(message->nlmsg_len);
    return message;
}

bool hostnet_dump_parse(const struct nlmsghdr *message, size_t header, const struct nlattr **rows,
                        unsigned highest)
{
    const struct nlattr *attribute;
    for (unsigned i = 0; i <= highest; i++)
        rows[i] = NULL;
    if (message->nlmsg_len < MNL_NLMSG_HDRLEN + MNL_ALIGN(header))
        return false;
    mnl_attr_for_each(attribute, message, header) if (mnl_attr_get_type(attribute) <= highest)
        rows[mnl_attr_get_type(attribute)] = attribute;
    return true;
}

unsigned hostnet_dump_count(GBytes *dump)
{
    unsigned count = 0;
    for (size_t offset = 0; hostnet_dump_next(dump, &offset);)
        count++;
    return count;
}

/* ---- the exchange ---- */

static struct mnl_socket *open_socket(struct hostnet *net, int protocol, GError **error)
{
    hostnet_autofd fd = hostnet_socket_open(net, protocol, error);
    if (fd < 0)
        return NULL;
    struct mnl_socket *socket = mnl_socket_fdopen(fd);
    if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "opening a netlink socket");
        if (socket) {
            hostnet_fd_steal(&fd); /* closed with the socket */
            mnl_socket_close(socket);
        }
        return NULL;
    }
    hostnet_fd_steal(&fd);
    struct timeval patience = {.tv_sec = SECONDS_TO_ANSWER};
    (void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int on = 1;
    (void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof on);
    (void)mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, sizeof on);
    return socket;
}

static void close_socket(struct mnl_socket **socket)
{
    if (*socket)
        mnl_socket_close(*socket);
}
#define auto_socket __attribute__((cleanup(close_socket))) struct mnl_socket

enum dump_end { DUMP_DONE, DUMP_CHANGED, DUMP_UNSUPPORTED, DUMP_FAILED };

/* Receives one dump, message by message, behind what is in `into`. */
static enum dump_end receive_dump(struct mnl_socket *socket, uint32_t sequence, GByteArray *into, int *reason)
{
    g_autofree char *buffer = g_malloc(RECEIVE_SIZE);
    bool has_changed = false;
    for (;;) {
        ssize_t received = mnl_socket_recvfrom(socket, buffer, RECEIVE_SIZE);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0) {
            *reason = errno;
            return DUMP_FAILED;
        }
        int left = (int)received;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(message, left);
             message = mnl_nlmsg_next(message, &left)) {
            if (message->nlmsg_seq != sequence)
                continue;
            has_changed |= (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
                int result = mnl_nlmsg_get_payload_len(message) >= sizeof(int)
                                 ? -*(int *)mnl_nlmsg_get_payload(message)
                                 : 0;
                if (result <= 0)
                    return has_changed ? DUMP_CHANGED : DUMP_DONE;
                *reason = result;
                /* EINTR: nf_tables' word for a change in between. */
                if (result == EINTR)
                    return DUMP_CHANGED;
                return result == EOPNOTSUPP || result == EAFNOSUPPORT || result == EINVAL ? DUMP_UNSUPPORTED
                                                                                          : DUMP_FAILED;
            }
            if (message->nlmsg_type < NLMSG_MIN_TYPE)
                continue;
            static const char padding[MNL_ALIGNTO];
            g_byte_array_append(into, (guint8 *)message, message->nlmsg_len);
            g_byte_array_append(into, (const guint8 *)padding,
                                MNL_ALIGN(message->nlmsg_len) - message->nlmsg_len);
        }
    }
}

static bool take_one(struct mnl_socket *socket, const struct dump_request *request, uint32_t *sequence,
                     GByteArray *into, const char *name, GError **error)
{
    unsigned before = into->len;
    for (unsigned try = 0; try < DUMP_TRIES; try++) {
        char buffer[256];
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        message->nlmsg_type = request->type;
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        message->nlmsg_seq = ++*sequence;
        /* All of these headers begin with the family. */
        uint8_t *header = mnl_nlmsg_put_extra_header(message, request->header);
        header[0] = request->family;
        if (request->is_proxy)
            ((struct ndmsg *)header)->ndm_flags = NTF_PROXY;
        int reason = 0;
        if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
            return hostnet_error_set(error, errno, NULL, NULL, "listing %s", name);
        switch (receive_dump(socket, *sequence, into, &reason)) {
        case DUMP_DONE:
            return true;
        case DUMP_UNSUPPORTED: /* a family or subsystem that this kernel has not: nothing of it is there */
            g_byte_array_set_size(into, before);
            return true;
        case DUMP_CHANGED:
            g_byte_array_set_size(into, before);
            continue;
        case DUMP_FAILED:
            return hostnet_error_set(error, reason, NULL, NULL, "listing %s", name);
        }
    }
    return hostnet_error_say(
        error, HOSTNET_ERROR_BUSY,
        "listing %s: the namespace kept changing through %d tries; try again when it is quieter", name,
        DUMP_TRIES);
}

GBytes *hostnet_dump_take(struct hostnet *net, enum hostnet_dump_kind kind, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    auto_socket *socket = open_socket(net, kinds[kind].protocol, &refusal);
    if (!socket) {
        /* A kernel without nfnetlink has no tables. */
        if (kind == HOSTNET_DUMP_NFT_TABLES &&
            g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_UNSUPPORTED))
            return g_bytes_new(NULL, 0);
        g_propagate_error(error, g_steal_pointer(&refusal));
        return NULL;
    }
    g_autoptr(GByteArray) messages = g_byte_array_new();
    uint32_t sequence = 0;
    for (unsigned i = 0; i < REQUESTS_PER_KIND && kinds[kind].requests[i].type; i++)
        if (!take_one(socket, &kinds[kind].requests[i], &sequence, messages, kind_names[kind], error))
            return NULL;
    return g_byte_array_free_to_bytes(g_steal_pointer(&messages));
}

/* ---- filtering ---- */

static bool has_hop(const struct nlattr *multipath, uint32_t index)
{
    int left = mnl_attr_get_payload_len(multipath);
    for (const struct rtnexthop *hop = mnl_attr_get_payload(multipath); RTNH_OK(hop, left);) {
        if ((uint32_t)hop->rtnh_ifindex == index)
            return true;
        left -= (int)RTNH_ALIGN(hop->rtnh_len);
        hop = RTNH_NEXT(hop);
    }
    return false;
}

static bool is_about(const struct nlmsghdr *message, uint32_t index)
{
    const struct nlattr *rows[RTA_MAX + 1];
    const void *payload = mnl_nlmsg_get_payload(message);
    size_t length = mnl_nlmsg_get_payload_len(message);
    switch (message->nlmsg_type) {
    case RTM_NEWLINK:
        return length >= sizeof(struct ifinfomsg) &&
               (uint32_t)((const struct ifinfomsg *)payload)->ifi_index == index;
    case RTM_NEWADDR:
        return length >= sizeof(struct ifaddrmsg) && ((const struct ifaddrmsg *)payload)->ifa_index == index;
    case RTM_NEWQDISC:
        return length >= sizeof(struct tcmsg) &&
               (uint32_t)((const struct tcmsg *)payload)->tcm_ifindex == index;
    case RTM_NEWROUTE:
        if (!hostnet_dump_parse(message, sizeof(struct rtmsg), rows, RTA_MAX))
            return false;
        if (rows[RTA_OIF] && mnl_attr_get_payload_len(rows[RTA_OIF]) >= 4 &&
            mnl_attr_get_u32(rows[RTA_OIF]) == index)
            return true;
        return rows[RTA_MULTIPATH] && has_hop(rows[RTA_MULTIPATH], index);
    case RTM_NEWNEIGH: {
        const struct ndmsg *neighbour = payload;
        return length >= sizeof *neighbour && (uint32_t)neighbour->ndm_ifindex == index &&
               ((neighbour->ndm_state & NUD_PERMANENT) || (neighbour->ndm_flags & NTF_PROXY));
    }
    default:
        return false;
    }
}

GBytes *hostnet_dump_filter(GBytes *dump, uint32_t index)
{
    g_autoptr(GByteArray) kept = g_byte_array_new();
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));)
        if (is_about(message, index)) {
            static const guint8 padding[MNL_ALIGNTO];
            g_byte_array_append(kept, (const guint8 *)message, message->nlmsg_len);
            g_byte_array_append(kept, padding, MNL_ALIGN(message->nlmsg_len) - message->nlmsg_len);
        }
    return g_byte_array_free_to_bytes(g_steal_pointer(&kept));
}

GBytes *hostnet_dump_filter_rules(GBytes *dump, const char *name)
{
    g_autoptr(GByteArray) kept = g_byte_array_new();
    size_t offset = 0, size = strlen(name) + 1;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        const struct nlattr *rows[FRA_MAX + 1];
        static const guint8 padding[MNL_ALIGNTO];
        if (message->nlmsg_type != RTM_NEWRULE ||
            !hostnet_dump_parse(message, sizeof(struct fib_rule_hdr), rows, FRA_MAX))
            continue;
        const struct nlattr *ends[] = {rows[FRA_IIFNAME], rows[FRA_OIFNAME]};
        bool is_about_it = false;
        for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++)
            is_about_it |= ends[i] && mnl_attr_get_payload_len(ends[i]) >= size &&
                           memcmp(mnl_attr_get_payload(ends[i]), name, size) == 0;
        if (!is_about_it)
            continue;
        g_byte_array_append(kept, (const guint8 *)message, message->nlmsg_len);
        g_byte_array_append(kept, padding, MNL_ALIGN(message->nlmsg_len) - message->nlmsg_len);
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&kept));
}

GHashTable *hostnet_dump_address_set(GBytes *dump)
{
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        const struct nlattr *rows[IFA_MAX + 1];
        char text[HOSTNET_PREFIX_TEXT];
        if (message->nlmsg_type != RTM_NEWADDR ||
            !hostnet_dump_parse(message, sizeof(struct ifaddrmsg), rows, IFA_MAX))
            continue;
        const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
        const struct nlattr *address = rows[IFA_LOCAL] ? rows[IFA_LOCAL] : rows[IFA_ADDRESS];
        size_t length = header->ifa_family == AF_INET ? 4 : 16;
        if (!address || mnl_attr_get_payload_len(address) < length ||
            (header->ifa_family == AF_INET6 && (header->ifa_flags & IFA_F_TEMPORARY)))
            continue;
        struct hostnet_prefix prefix = {.address.family = header->ifa_family,
                                        .length = header->ifa_prefixlen};
        memcpy(prefix.address.bytes, mnl_attr_get_payload(address), length);
        g_hash_table_add(set, g_strdup(hostnet_prefix_format(&prefix, text)));
    }
    return set;
}

/* ---- replaying ---- */

struct replay {
    struct mnl_socket *socket;
    uint32_t sequence, from, to, elapsed;
    bool is_beside;   /* routes of equal destinations may be there already, by another link */
    bool is_resolved; /* routes by nexthop objects: by what those said, for they are there no more */
    char from_name[HOSTNET_NAME_MAX + 1], to_name[HOSTNET_NAME_MAX + 1]; /* "": rules stay as they are */
    char *buffer;                                                        /* MESSAGE_SIZE */
};

static uint32_t shorten(uint32_t lifetime, uint32_t elapsed)
{
    if (lifetime == UINT32_MAX)
        return lifetime;
    return lifetime > elapsed ? lifetime - elapsed : 0;
}

/* Copies an attribute as it is. */
static bool copy(struct nlmsghdr *request, const struct nlattr *attribute)
{
    return mnl_attr_put_check(request, MESSAGE_SIZE, attribute->nla_type, mnl_attr_get_payload_len(attribute),
                              mnl_attr_get_payload(attribute));
}

/* True when a request was built. False: there is nothing to put back (expired, or the kernel's own). */
static bool build_address(struct replay *replay, const struct nlmsghdr *stored, struct nlmsghdr *request)
{
    /* What only the kernel may set. */
    enum { STATE = IFA_F_SECONDARY | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_PERMANENT };
    struct ifaddrmsg header;
    if (mnl_nlmsg_get_payload_len(stored) < sizeof header)
        return false;
    memcpy(&header, mnl_nlmsg_get_payload(stored), sizeof header);
    /* A temporary address (RFC 8981) is made anew by the kernel from its public one; put back as it is it
     * would stay for ever. IPv6 secondary means temporary. */
    if (header.ifa_family == AF_INET6 && (header.ifa_flags & IFA_F_TEMPORARY))
        return false;
    bool is_moved = replay->from && header.ifa_index == replay->from && replay->to != replay->from;
    if (is_moved)
        header.ifa_index = replay->to;
    header.ifa_flags &= (uint8_t)~STATE;
    memcpy(mnl_nlmsg_put_extra_header(request, sizeof header), &header, sizeof header);
    request->nlmsg_type = RTM_NEWADDR;
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, stored, sizeof header)
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if (type == IFA_CACHEINFO && mnl_attr_get_payload_len(attribute) >= sizeof(struct ifa_cacheinfo)) {
            struct ifa_cacheinfo cache;
            memcpy(&cache, mnl_attr_get_payload(attribute), sizeof cache);
            cache.ifa_valid = shorten(cache.ifa_valid, replay->elapsed);
            cache.ifa_prefered = shorten(cache.ifa_prefered, replay->elapsed);
            if (!cache.ifa_valid)
                return false;
            mnl_attr_put(request, IFA_CACHEINFO, sizeof cache, &cache);
        } else if (type == IFA_FLAGS && mnl_attr_get_payload_len(attribute) >= 4) {
            mnl_attr_put_u32(request, IFA_FLAGS, mnl_attr_get_u32(attribute) & ~(uint32_t)STATE);
        } else if (type == IFA_LABEL && is_moved) {
            continue;
        } else if (!copy(request, attribute)) {
            return false;
        }
    }
    return true;
}

/* The next hops with the link exchanged. */
static void put_hops(struct nlmsghdr *request, const struct nlattr *attribute, const struct replay *replay)
{
    size_t length = mnl_attr_get_payload_len(attribute);
    g_autofree char *hops = g_memdup2(mnl_attr_get_payload(attribute), length);
    int left = (int)length;
    for (struct rtnexthop *hop = (struct rtnexthop *)hops; RTNH_OK(hop, left);) {
        if (replay->from && (uint32_t)hop->rtnh_ifindex == replay->from)
            hop->rtnh_ifindex = (int)replay->to;
        hop->rtnh_flags &= RTNH_F_ONLINK | RTNH_F_PERVASIVE;
        left -= (int)RTNH_ALIGN(hop->rtnh_len);
        hop = RTNH_NEXT(hop);
    }
    mnl_attr_put(request, attribute->nla_type, length, hops);
}

/* A route by a nexthop object is told with what that object says, and asked for by the object alone. It goes
 * to another link without the object, which stays with its own. */
static bool is_of_object(uint16_t type)
{
    return type == RTA_OIF || type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH ||
           type == RTA_ENCAP || type == RTA_ENCAP_TYPE || type == RTA_NEWDST;
}

static bool has_object(const struct nlmsghdr *stored)
{
    const struct nlattr *rows[RTA_MAX + 1];
    return stored->nlmsg_type == RTM_NEWROUTE &&
           hostnet_dump_parse(stored, sizeof(struct rtmsg), rows, RTA_MAX) && rows[RTA_NH_ID];
}

static bool build_route(struct replay *replay, const struct nlmsghdr *stored, struct nlmsghdr *request)
{
    const struct nlattr *rows[RTA_MAX + 1], *attribute;
    struct rtmsg header;
    if (!hostnet_dump_parse(stored, sizeof header, rows, RTA_MAX))
        return false;
    memcpy(&header, mnl_nlmsg_get_payload(stored), sizeof header);
    uint32_t table = rows[RTA_TABLE] && mnl_attr_get_payload_len(rows[RTA_TABLE]) >= 4
                         ? mnl_attr_get_u32(rows[RTA_TABLE])
                         : header.rtm_table;
    if ((header.rtm_flags & RTM_F_CLONED) || table == RT_TABLE_LOCAL)
        return false;
    header.rtm_flags &= RTNH_F_ONLINK | RTNH_F_PERVASIVE;
    bool is_by_object = rows[RTA_NH_ID] && replay->from == replay->to && !replay->is_resolved;
    if (is_by_object)
        header.rtm_flags = 0;
    memcpy(mnl_nlmsg_put_extra_header(request, sizeof header), &header, sizeof header);
    request->nlmsg_type = RTM_NEWROUTE;
    mnl_attr_for_each(attribute, stored, sizeof header)
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if (is_by_object ? is_of_object(type) : type == RTA_NH_ID)
            continue;
        if (type == RTA_OIF && mnl_attr_get_payload_len(attribute) >= 4) {
            uint32_t index = mnl_attr_get_u32(attribute);
            mnl_attr_put_u32(request, RTA_OIF, replay->from && index == replay->from ? replay->to : index);
        } else if (type == RTA_MULTIPATH) {
            put_hops(request, attribute, replay);
        } else if (type == RTA_CACHEINFO &&
                   mnl_attr_get_payload_len(attribute) >= sizeof(struct rta_cacheinfo)) {
            struct rta_cacheinfo cache;
            memcpy(&cache, mnl_attr_get_payload(attribute), sizeof cache);
            uint32_t seconds = (uint32_t)cache.rta_expires / USER_HZ;
            if (cache.rta_expires > 0 && seconds <= replay->elapsed)
                return false;
            if (cache.rta_expires > 0)
                mnl_attr_put_u32(request, RTA_EXPIRES, seconds - replay->elapsed);
        } else if (!copy(request, attribute)) {
            return false;
        }
    }
    return true;
}

/* Permanent neighbours, and those that this host answers for. */
static bool build_neighbour(struct replay *replay, const struct nlmsghdr *stored, struct nlmsghdr *request)
{
    struct ndmsg header;
    if (mnl_nlmsg_get_payload_len(stored) < sizeof header)
        return false;
    memcpy(&header, mnl_nlmsg_get_payload(stored), sizeof header);
    if (replay->from && (uint32_t)header.ndm_ifindex == replay->from)
        header.ndm_ifindex = (int)replay->to;
    memcpy(mnl_nlmsg_put_extra_header(request, sizeof header), &header, sizeof header);
    request->nlmsg_type = RTM_NEWNEIGH;
    /* One that was learned meanwhile gives way. */
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, stored, sizeof header)
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if (type != NDA_CACHEINFO && type != NDA_PROBES && !copy(request, attribute))
            return false;
    }
    return true;
}

/* Everything goes back as it came but for what only the kernel says: whether links and targets are there. */
static bool build_rule(struct replay *replay, const struct nlmsghdr *stored, struct nlmsghdr *request)
{
    enum { GIVEN = FIB_RULE_INVERT | FIB_RULE_FIND_SADDR };
    struct fib_rule_hdr header;
    if (mnl_nlmsg_get_payload_len(stored) < sizeof header)
        return false;
    memcpy(&header, mnl_nlmsg_get_payload(stored), sizeof header);
    header.flags &= GIVEN;
    memcpy(mnl_nlmsg_put_extra_header(request, sizeof header), &header, sizeof header);
    request->nlmsg_type = RTM_NEWRULE;
    const struct nlattr *attribute;
    bool has_priority = false;
    mnl_attr_for_each(attribute, stored, sizeof header)
    {
        uint16_t type = mnl_attr_get_type(attribute);
        size_t length = mnl_attr_get_payload_len(attribute);
        const char *name = mnl_attr_get_payload(attribute);
        has_priority |= type == FRA_PRIORITY;
        bool is_name = (type == FRA_IIFNAME || type == FRA_OIFNAME) && length > 0 && !name[length - 1];
        if (is_name && replay->from_name[0] && strcmp(name, replay->from_name) == 0)
            mnl_attr_put_strz(request, type, replay->to_name);
        else if (!copy(request, attribute))
            return false;
    }
    /* Priority 0 is not said in a dump, and what is not said in a request is chosen by the kernel. */
    if (!has_priority)
        mnl_attr_put_u32(request, FRA_PRIORITY, 0);
    return true;
}

/* The errno of the socket itself, so that it is not taken for the kernel's word on what was asked for. */
static int socket_errno(void)
{
    return errno == ENODEV || errno == EEXIST || errno == ENOENT || errno == ESRCH ? EIO : errno;
}

/* Sends a built request; 0 or errno. `text` gets the kernel's words, owned by the caller. */
static int send_request(struct replay *replay, struct nlmsghdr *request, char **text)
{
    char answer[8192]; /* an ACK with its extended text */
    request->nlmsg_seq = ++replay->sequence;
    if (mnl_socket_sendto(replay->socket, request, request->nlmsg_len) < 0)
        return socket_errno();
    for (;;) {
        ssize_t received = mnl_socket_recvfrom(replay->socket, answer, sizeof answer);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0)
            return socket_errno();
        const struct nlmsghdr *message = (const struct nlmsghdr *)answer;
        if (!mnl_nlmsg_ok(message, (int)received) || message->nlmsg_type != NLMSG_ERROR ||
            message->nlmsg_seq != replay->sequence)
            continue;
        const struct nlmsgerr *refusal = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;
        if (refusal->error && (message->nlmsg_flags & NLM_F_ACK_TLVS) &&
            (message->nlmsg_flags & NLM_F_CAPPED))
            mnl_attr_for_each(attribute, message, sizeof *refusal)
            {
                if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
                    *text = g_strndup(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
            }
        return -refusal->error;
    }
}

static struct nlmsghdr *start_request(struct replay *replay)
{
    memset(replay->buffer, 0, MESSAGE_SIZE);
    struct nlmsghdr *request = mnl_nlmsg_put_header(replay->buffer);
    request->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE |
                                      (replay->is_beside ? NLM_F_APPEND : NLM_F_EXCL));
    return request;
}

/* A route that needs no other route first: on link, or leading nowhere. */
static bool is_on_link(const struct nlmsghdr *message)
{
    const struct nlattr *rows[RTA_MAX + 1];
    return message->nlmsg_type != RTM_NEWROUTE ||
           !hostnet_dump_parse(message, sizeof(struct rtmsg), rows, RTA_MAX) ||
           (!rows[RTA_GATEWAY] && !rows[RTA_VIA] && !rows[RTA_MULTIPATH]);
}

/* What rules call the two links; both have to be there. */
static void name_links(struct hostnet *net, struct replay *replay)
{
    if (!replay->from || replay->from == replay->to)
        return;
    g_autoptr(hostnet_link) from = hostnet_link_get(net, replay->from, NULL);
    g_autoptr(hostnet_link) to = hostnet_link_get(net, replay->to, NULL);
    if (!from || !to)
        return;
    g_strlcpy(replay->from_name, from->name, sizeof replay->from_name);
    g_strlcpy(replay->to_name, to->name, sizeof replay->to_name);
}

/* The messages in the order in which they are to be put back: the kernel puts an IPv4 address behind the
 * others of its scope and an IPv6 address before them. */
static GPtrArray *in_order(GBytes *dump)
{
    GPtrArray *messages = g_ptr_array_new();
    size_t offset = 0;
    unsigned first_six = 0;
    for (const struct nlmsghdr *stored; (stored = hostnet_dump_next(dump, &offset));) {
        bool is_six = stored->nlmsg_type == RTM_NEWADDR &&
                      mnl_nlmsg_get_payload_len(stored) >= sizeof(struct ifaddrmsg) &&
                      ((const struct ifaddrmsg *)mnl_nlmsg_get_payload(stored))->ifa_family == AF_INET6;
        g_ptr_array_insert(messages, (int)first_six, (void *)(uintptr_t)stored);
        first_six += !is_six;
    }
    return messages;
}

static bool build(struct replay *replay, const struct nlmsghdr *stored, struct nlmsghdr *request)
{
    return stored->nlmsg_type == RTM_NEWADDR    ? build_address(replay, stored, request)
           : stored->nlmsg_type == RTM_NEWROUTE ? build_route(replay, stored, request)
           : stored->nlmsg_type == RTM_NEWRULE  ? build_rule(replay, stored, request)
           : stored->nlmsg_type == RTM_NEWNEIGH ? build_neighbour(replay, stored, request)
                                                : false;
}

static int replay_dump(struct hostnet *net, GBytes *dump, uint32_t from, uint32_t to, uint32_t elapsed,
                       bool is_beside, GError **error)
{
    auto_socket *socket = open_socket(net, NETLINK_ROUTE, error);
    if (!socket)
        return -1;
    g_autofree char *buffer = g_malloc(MESSAGE_SIZE);
    struct replay replay = {.socket = socket,
                            .from = from,
                            .to = to,
                            .elapsed = elapsed,
                            .is_beside = is_beside,
                            .buffer = buffer};
    name_links(net, &replay);
    g_autoptr(GError) first = NULL;
    g_autoptr(GPtrArray) messages = in_order(dump);
    int count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < messages->len; i++) {
            const struct nlmsghdr *stored = messages->pdata[i];
            if (is_on_link(stored) != (pass == 0))
                continue;
            struct nlmsghdr *request = start_request(&replay);
            if (!build(&replay, stored, request))
                continue;
            g_autofree char *text = NULL;
            int reason = send_request(&replay, request, &text);
            if (reason && reason != EEXIST && has_object(stored)) {
                replay.is_resolved = true;
                request = start_request(&replay);
                g_clear_pointer(&text, g_free);
                reason = build(&replay, stored, request) ? send_request(&replay, request, &text) : reason;
                replay.is_resolved = false;
            }
            if (reason == 0 || reason == EEXIST)
                count++;
            else if (!first)
                hostnet_error_set(&first, reason, text,
                                  "the others were put back; compare with `ip route`, `ip address` and "
                                  "`ip rule`",
                                  "putting back one of the stored %s",
                                  stored->nlmsg_type == RTM_NEWADDR    ? "addresses"
                                  : stored->nlmsg_type == RTM_NEWROUTE ? "routes"
                                  : stored->nlmsg_type == RTM_NEWNEIGH ? "neighbours"
                                                                       : "rules");
        }
    }
    if (first) {
        g_propagate_error(error, g_steal_pointer(&first));
        return -1;
    }
    return count;
}

int hostnet_dump_replay(struct hostnet *net, GBytes *dump, uint32_t from, uint32_t to, uint32_t elapsed,
                        GError **error)
{
    return replay_dump(net, dump, from, to, elapsed, false, error);
}

int hostnet_dump_replay_beside(struct hostnet *net, GBytes *routes, uint32_t from, uint32_t to,
                               GError **error)
{
    return replay_dump(net, routes, from, to, 0, true, error);
}

/* ---- removing ---- */

/* What says which address it is. */
static bool build_address_removal(const struct nlmsghdr *stored, struct nlmsghdr *request)
{
    struct ifaddrmsg header;
    if (mnl_nlmsg_get_payload_len(stored) < sizeof header)
        return false;
    memcpy(&header, mnl_nlmsg_get_payload(stored), sizeof header);
    memcpy(mnl_nlmsg_put_extra_header(request, sizeof header), &header, sizeof header);
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, stored, sizeof header)
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if ((type == IFA_LOCAL || type == IFA_ADDRESS) && !copy(request, attribute))
            return false;
    }
    request->nlmsg_type = RTM_DELADDR;
    return true;
}

/* A route goes by all it says but what changes by itself. */
static bool build_route_removal(struct replay *replay, const struct nlmsghdr *stored,
                                struct nlmsghdr *request)
{
    if (!build_route(replay, stored, request))
        return false;
    request->nlmsg_type = RTM_DELROUTE;
    return true;
}

/* A rule is there without its link. */
static bool is_gone(const struct nlmsghdr *request, int reason)
{
    return reason == ESRCH || reason == ENOENT || reason == EADDRNOTAVAIL ||
           (reason == ENODEV && request->nlmsg_type != RTM_DELRULE);
}

bool hostnet_dump_remove(struct hostnet *net, GBytes *dump, const char *from, const char *to, GError **error)
{
    auto_socket *socket = open_socket(net, NETLINK_ROUTE, error);
    if (!socket)
        return false;
    g_autofree char *buffer = g_malloc(MESSAGE_SIZE);
    struct replay replay = {.socket = socket, .buffer = buffer};
    g_strlcpy(replay.from_name, from ? from : "", sizeof replay.from_name);
    g_strlcpy(replay.to_name, to ? to : "", sizeof replay.to_name);
    g_autoptr(GError) first = NULL;
    for (int pass = 0; pass < 2; pass++) {
        size_t offset = 0;
        for (const struct nlmsghdr *stored; (stored = hostnet_dump_next(dump, &offset));) {
            if (is_on_link(stored) != (pass == 1))
                continue;
            struct nlmsghdr *request = start_request(&replay);
            request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
            bool is_built = stored->nlmsg_type == RTM_NEWADDR ? build_address_removal(stored, request)
                            : stored->nlmsg_type == RTM_NEWROUTE
                                ? build_route_removal(&replay, stored, request)
                            : stored->nlmsg_type == RTM_NEWRULE ? build_rule(&replay, stored, request)
                                                                : false;
            if (!is_built)
                continue;
            if (stored->nlmsg_type == RTM_NEWRULE)
                request->nlmsg_type = RTM_DELRULE;
            g_autofree char *text = NULL;
            int reason = send_request(&replay, request, &text);
            if (reason && !is_gone(request, reason) && !first)
                hostnet_error_set(&first, reason, text, NULL, "removing one of the stored %s",
                                  stored->nlmsg_type == RTM_NEWADDR    ? "addresses"
                                  : stored->nlmsg_type == RTM_NEWROUTE ? "routes"
                                                                       : "rules");
        }
    }
    if (!first)
        return true;
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}
