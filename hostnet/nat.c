/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * NAT tables. See nat.h. (libmnl; no libnl here.)
 *
 * A transaction is one datagram: NFNL_MSG_BATCH_BEGIN, the requests, NFNL_MSG_BATCH_END. The kernel works it
 * off within sendmsg(): all of it takes effect, or, if any request is refused, none. Every request asks for
 * an ACK, so the first refusal can be told from the rest; a batch that is refused as a whole is answered with
 * the number of its first message.
 *
 * Rules are lists of expressions on registers, put together here one by one. `nft --debug=netlink` shows what
 * the same rule would be in nft's words. A table's comment is user data: type, length, text with NUL, as nft
 * writes it (type 0).
 *
 * Deleting goes by the table's handle, which is never used again: a table that somebody made under the same
 * name between the look and the deed is not hit.
 */
#include "hostnet/nat.h"
#include "hostnet/dump_internal.h"
#include "hostnet/hostnet_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h> /* before linux/in.h, which then leaves out what both have */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
    BATCH_SIZE = 512 << 10,
    RULE_ROOM = 1024, /* more than the longest rule needs */
    SECONDS_TO_ANSWER = 20,
    USER_DATA_COMMENT = 0, /* of tables: NFTNL_UDATA_TABLE_COMMENT */
    PRIORITY_DESTINATION = -100,
    PRIORITY_SOURCE = 100,
};

/* ---- checks ---- */

static bool check_table_name(const char *name, GError **error)
{
    bool is_good = name && g_ascii_isalpha(name[0]) && strlen(name) <= HOSTNET_NAT_TABLE_MAX;
    for (const char *c = name; is_good && *c; c++)
        is_good = g_ascii_isalnum(*c) || *c == '_';
    if (!is_good)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "\"%s\" cannot be an nftables table's name (a letter, then letters, digits "
                                 "and '_', at most %d)",
                                 name ? name : "", HOSTNET_NAT_TABLE_MAX);
    return true;
}

static bool check_forward(const struct hostnet_nat_spec *spec, const struct hostnet_nat_forward *forward,
                          GError **error)
{
    char text[HOSTNET_ADDRESS_TEXT];
    if (forward->protocol != IPPROTO_TCP && forward->protocol != IPPROTO_UDP)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "a port forward is for TCP or UDP, not for IP protocol %u",
                                 forward->protocol);
    if (!forward->host_port || !forward->guest_port)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "a port forward needs two ports from 1 to 65535");
    bool is_inside = false;
    for (unsigned i = 0; i < spec->inside_count; i++)
        is_inside |= hostnet_prefix_contains(&spec->inside[i], &forward->guest);
    if (!is_inside)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "port %u cannot be forwarded to %s: that is in none of the networks behind %s",
            forward->host_port, hostnet_address_format(&forward->guest, text), spec->link);
    if (forward->host.family && forward->host.family != forward->guest.family)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "port %u of an IPv%c address cannot be forwarded to an IPv%c address",
                                 forward->host_port, forward->host.family == AF_INET ? '4' : '6',
                                 forward->guest.family == AF_INET ? '4' : '6');
    for (const struct hostnet_nat_forward *other = spec->forwards; other < forward; other++)
        if (other->protocol == forward->protocol && other->host_port == forward->host_port &&
            other->guest.family == forward->guest.family &&
            (!other->host.family || !forward->host.family ||
             hostnet_address_equal(&other->host, &forward->host)))
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "%s port %u is forwarded twice",
                                     forward->protocol == IPPROTO_TCP ? "TCP" : "UDP", forward->host_port);
    return true;
}

static bool check_spec(const struct hostnet_nat_spec *spec, GError **error)
{
    if (!check_table_name(spec->table, error) || !hostnet_mark_check(spec->mark, error) ||
        !hostnet_name_check(spec->link, error))
        return false;
    if (spec->inside_count < 1 || spec->inside_count > HOSTNET_NAT_INSIDE_MAX)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "NAT is for 1 to %d networks, not %u",
                                 HOSTNET_NAT_INSIDE_MAX, spec->inside_count);
    for (unsigned i = 0; i < spec->inside_count; i++) {
        char text[HOSTNET_PREFIX_TEXT];
        if (spec->inside[i].length == 0 || !hostnet_prefix_is_network(&spec->inside[i]))
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                     "%s is no network that can be behind NAT (write it like 10.1.0.0/24)",
                                     hostnet_prefix_format(&spec->inside[i], text));
    }
    if (spec->forward_count > HOSTNET_NAT_FORWARDS_MAX)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "at most %d port forwards, not %u",
                                 HOSTNET_NAT_FORWARDS_MAX, spec->forward_count);
    for (unsigned i = 0; i < spec->forward_count; i++)
        if (!check_forward(spec, &spec->forwards[i], error))
            return false;
    return true;
}

/* ---- the transaction ---- */

struct batch {
    char *bytes; /* BATCH_SIZE */
    struct nlmsghdr *message;
    size_t used;       /* bytes of finished messages */
    uint32_t sequence; /* of the last message; the first is 1 */
    const char *table;
};

static struct nlmsghdr *begin(struct batch *batch, uint16_t type, uint16_t flags, uint8_t family,
                              uint16_t resource)
{
    batch->message = mnl_nlmsg_put_header(batch->bytes + batch->used);
    batch->message->nlmsg_type = type;
    batch->message->nlmsg_flags = NLM_F_REQUEST | flags;
    batch->message->nlmsg_seq = ++batch->sequence;
    struct nfgenmsg *header = mnl_nlmsg_put_extra_header(batch->message, sizeof *header);
    header->nfgen_family = family;
    header->version = NFNETLINK_V0;
    header->res_id = htons(resource);
    return batch->message;
}

static void finish(struct batch *batch)
{
    batch->used += MNL_ALIGN(batch->message->nlmsg_len);
    assert(batch->used + RULE_ROOM <= BATCH_SIZE); /* check_spec() bounds what goes in */
}

static void begin_request(struct batch *batch, unsigned type, uint16_t flags)
{
    begin(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), (uint16_t)(flags | NLM_F_ACK), NFPROTO_INET,
          0);
}

static void batch_open(struct batch *batch, const char *table)
{
    *batch = (struct batch){.bytes = g_malloc(BATCH_SIZE), .table = table};
    begin(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    finish(batch);
}

static void batch_clear(struct batch *batch)
{
    g_free(batch->bytes);
}
#define auto_batch __attribute__((cleanup(batch_clear))) struct batch

static void close_socket(struct mnl_socket **socket)
{
    if (*socket)
        mnl_socket_close(*socket);
}
#define auto_socket __attribute__((cleanup(close_socket))) struct mnl_socket

static struct mnl_socket *open_socket(struct hostnet *net, GError **error)
{
    hostnet_autofd fd = hostnet_socket_open(net, NETLINK_NETFILTER, error);
    if (fd < 0)
        return NULL;
    struct mnl_socket *socket = mnl_socket_fdopen(fd);
    if (!socket) {
        hostnet_error_set(error, errno, NULL, NULL, "opening a netlink socket");
        return NULL;
    }
    hostnet_fd_steal(&fd); /* closed with the socket */
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "opening a netlink socket");
        mnl_socket_close(socket);
        return NULL;
    }
    /* A batch is larger than the usual send buffer allows, its answers than the receive buffer. */
    int size = 4 * BATCH_SIZE, on = 1;
    (void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    (void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    struct timeval patience = {.tv_sec = SECONDS_TO_ANSWER};
    (void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof on);
    (void)mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, sizeof on);
    return socket;
}

/* Appends the end, sends, and waits for the answers: 0, the errno of the first refusal, or -1 with `error`.
 * `*refused` gets the number of the message that was refused, 1 when it was the batch as a whole. */
static int batch_commit(struct hostnet *net, struct batch *batch, uint32_t *refused, GError **error)
{
    uint32_t last = batch->sequence;
    begin(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    finish(batch);
    auto_socket *socket = open_socket(net, error);
    if (!socket)
        return -1;
    if (mnl_socket_sendto(socket, batch->bytes, batch->used) < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "sending to nf_tables");
        return -1;
    }
    int first = 0;
    uint32_t answered = 1;
    g_autofree char *buffer = g_malloc(BATCH_SIZE);
    while (answered < last) {
        ssize_t received = mnl_socket_recvfrom(socket, buffer, BATCH_SIZE);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0) {
            hostnet_error_set(error, errno, NULL, NULL, "waiting for nf_tables");
            return -1;
        }
        int left = (int)received;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(message, left);
             message = mnl_nlmsg_next(message, &left)) {
            if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_seq > last ||
                mnl_nlmsg_get_payload_len(message) < sizeof(int))
                continue;
            int result = -*(int *)mnl_nlmsg_get_payload(message);
            if (result && !first) {
                first = result;
                *refused = message->nlmsg_seq;
            }
            if (result && message->nlmsg_seq == 1)
                return first; /* nothing else will be answered */
            answered = MAX(answered, message->nlmsg_seq);
        }
    }
    return first;
}

/* ---- expressions ---- */

static struct nlattr *expression(struct batch *batch, const char *name, struct nlattr **data)
{
    struct nlattr *element = mnl_attr_nest_start(batch->message, NFTA_LIST_ELEM);
    mnl_attr_put_strz(batch->message, NFTA_EXPR_NAME, name);
    *data = mnl_attr_nest_start(batch->message, NFTA_EXPR_DATA);
    return element;
}

static void expression_end(struct batch *batch, struct nlattr *element, struct nlattr *data)
{
    mnl_attr_nest_end(batch->message, data);
    mnl_attr_nest_end(batch->message, element);
}

static void put_number(struct batch *batch, uint16_t attribute, uint32_t value)
{
    mnl_attr_put_u32(batch->message, attribute, htonl(value));
}

static void put_value(struct batch *batch, uint16_t attribute, const void *value, size_t length)
{
    struct nlattr *nest = mnl_attr_nest_start(batch->message, attribute);
    mnl_attr_put(batch->message, NFTA_DATA_VALUE, length, value);
    mnl_attr_nest_end(batch->message, nest);
}

static void load_meta(struct batch *batch, enum nft_meta_keys key)
{
    struct nlattr *data, *element = expression(batch, "meta", &data);
    put_number(batch, NFTA_META_DREG, NFT_REG_1);
    put_number(batch, NFTA_META_KEY, key);
    expression_end(batch, element, data);
}

static void load_payload(struct batch *batch, enum nft_payload_bases base, uint32_t offset, uint32_t length)
{
    struct nlattr *data, *element = expression(batch, "payload", &data);
    put_number(batch, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_number(batch, NFTA_PAYLOAD_BASE, base);
    put_number(batch, NFTA_PAYLOAD_OFFSET, offset);
    put_number(batch, NFTA_PAYLOAD_LEN, length);
    expression_end(batch, element, data);
}

static void compare(struct batch *batch, enum nft_cmp_ops operation, const void *value, size_t length)
{
    struct nlattr *data, *element = expression(batch, "cmp", &data);
    put_number(batch, NFTA_CMP_SREG, NFT_REG_1);
    put_number(batch, NFTA_CMP_OP, operation);
    put_value(batch, NFTA_CMP_DATA, value, length);
    expression_end(batch, element, data);
}

static void mask_bits(struct batch *batch, const void *mask, size_t length)
{
    static const uint8_t zeros[16];
    struct nlattr *data, *element = expression(batch, "bitwise", &data);
    put_number(batch, NFTA_BITWISE_SREG, NFT_REG_1);
    put_number(batch, NFTA_BITWISE_DREG, NFT_REG_1);
    put_number(batch, NFTA_BITWISE_LEN, (uint32_t)length);
    put_value(batch, NFTA_BITWISE_MASK, mask, length);
    put_value(batch, NFTA_BITWISE_XOR, zeros, length);
    expression_end(batch, element, data);
}

static void load_immediate(struct batch *batch, uint32_t reg, const void *value, size_t length)
{
    struct nlattr *data, *element = expression(batch, "immediate", &data);
    put_number(batch, NFTA_IMMEDIATE_DREG, reg);
    put_value(batch, NFTA_IMMEDIATE_DATA, value, length);
    expression_end(batch, element, data);
}

static void count(struct batch *batch)
{
    struct nlattr *data, *element = expression(batch, "counter", &data);
    expression_end(batch, element, data);
}

static size_t address_length(uint8_t family)
{
    return family == AF_INET ? 4 : 16;
}

/* "ip" or "ip6" only. */
static void match_family(struct batch *batch, uint8_t family)
{
    uint8_t protocol = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
    load_meta(batch, NFT_META_NFPROTO);
    compare(batch, NFT_CMP_EQ, &protocol, 1);
}

static void match_link(struct batch *batch, enum nft_meta_keys key, enum nft_cmp_ops operation,
                       const char *link)
{
    char name[16] = ""; /* IFNAMSIZ, all of which is compared */
    g_strlcpy(name, link, sizeof name);
    load_meta(batch, key);
    compare(batch, operation, name, sizeof name);
}

/* Source or destination address within the prefix; the family has been matched. */
static void match_prefix(struct batch *batch, const struct hostnet_prefix *prefix, bool is_destination)
{
    uint8_t family = prefix->address.family, mask[16] = {0};
    size_t length = address_length(family);
    uint32_t offset = family == AF_INET ? (is_destination ? 16 : 12) : (is_destination ? 24 : 8);
    for (unsigned bit = 0; bit < prefix->length; bit++)
        mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, (uint32_t)length);
    if (prefix->length < 8 * length)
        mask_bits(batch, mask, length);
    compare(batch, NFT_CMP_EQ, prefix->address.bytes, length);
}

/* ---- table, chains, rules ---- */

static void add_table(struct batch *batch, const char *mark)
{
    uint8_t data[2 + HOSTNET_MARK_MAX + 1];
    size_t length = strlen(mark) + 1; /* the mark is at most HOSTNET_MARK_MAX - 1 here, see create */
    data[0] = USER_DATA_COMMENT;
    data[1] = (uint8_t)length;
    memcpy(data + 2, mark, length);
    begin_request(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    mnl_attr_put_strz(batch->message, NFTA_TABLE_NAME, batch->table);
    mnl_attr_put(batch->message, NFTA_TABLE_USERDATA, length + 2, data);
    finish(batch);
}

static void add_chain(struct batch *batch, const char *name, const char *type, enum nf_inet_hooks hook,
                      int priority)
{
    begin_request(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
    mnl_attr_put_strz(batch->message, NFTA_CHAIN_TABLE, batch->table);
    mnl_attr_put_strz(batch->message, NFTA_CHAIN_NAME, name);
    struct nlattr *nest = mnl_attr_nest_start(batch->message, NFTA_CHAIN_HOOK);
    put_number(batch, NFTA_HOOK_HOOKNUM, hook);
    put_number(batch, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    mnl_attr_nest_end(batch->message, nest);
    put_number(batch, NFTA_CHAIN_POLICY, NF_ACCEPT);
    mnl_attr_put_strz(batch->message, NFTA_CHAIN_TYPE, type);
    finish(batch);
}

static struct nlattr *rule(struct batch *batch, const char *chain)
{
    begin_request(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    mnl_attr_put_strz(batch->message, NFTA_RULE_TABLE, batch->table);
    mnl_attr_put_strz(batch->message, NFTA_RULE_CHAIN, chain);
    return mnl_attr_nest_start(batch->message, NFTA_RULE_EXPRESSIONS);
}

static void rule_end(struct batch *batch, struct nlattr *expressions)
{
    mnl_attr_nest_end(batch->message, expressions);
    finish(batch);
}

/* ip saddr INSIDE oifname != LINK counter masquerade */
static void add_masquerade(struct batch *batch, const struct hostnet_prefix *inside, const char *link)
{
    struct nlattr *expressions = rule(batch, "out"), *data;
    match_family(batch, inside->address.family);
    match_prefix(batch, inside, false);
    match_link(batch, NFT_META_OIFNAME, NFT_CMP_NEQ, link);
    count(batch);
    struct nlattr *element = expression(batch, "masq", &data);
    expression_end(batch, element, data);
    rule_end(batch, expressions);
}

/* fib daddr type local | ip daddr HOST; tcp dport PORT counter dnat to GUEST:PORT */
static void add_forward(struct batch *batch, const char *chain, const struct hostnet_nat_forward *forward,
                        const char *link)
{
    static const uint32_t type_local = RTN_LOCAL;
    uint16_t host_port = htons(forward->host_port), guest_port = htons(forward->guest_port);
    uint8_t family = forward->guest.family;
    struct nlattr *expressions = rule(batch, chain), *data, *element;
    match_family(batch, family);
    if (g_str_equal(chain, "own"))
        match_link(batch, NFT_META_OIFNAME, NFT_CMP_NEQ, link);
    if (forward->host.family) {
        struct hostnet_prefix host = {.address = forward->host, .length = family == AF_INET ? 32 : 128};
        match_prefix(batch, &host, true);
    } else {
        element = expression(batch, "fib", &data);
        put_number(batch, NFTA_FIB_DREG, NFT_REG_1);
        put_number(batch, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
        put_number(batch, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
        expression_end(batch, element, data);
        compare(batch, NFT_CMP_EQ, &type_local, sizeof type_local);
    }
    if (g_str_equal(chain, "own") && family == AF_INET) {
        /* A packet to 127.0.0.1 cannot leave by another link; it would only be lost. */
        static const uint8_t loopback = 127;
        load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, 16, 1);
        compare(batch, NFT_CMP_NEQ, &loopback, 1);
    }
    if (g_str_equal(chain, "own") && family == AF_INET6) {
        load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, 24, 16);
        compare(batch, NFT_CMP_NEQ, &in6addr_loopback, 16);
    }
    load_meta(batch, NFT_META_L4PROTO);
    compare(batch, NFT_CMP_EQ, &forward->protocol, 1);
    load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
    compare(batch, NFT_CMP_EQ, &host_port, sizeof host_port);
    count(batch);
    load_immediate(batch, NFT_REG_1, forward->guest.bytes, address_length(family));
    load_immediate(batch, NFT_REG_2, &guest_port, sizeof guest_port);
    element = expression(batch, "nat", &data);
    put_number(batch, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_number(batch, NFTA_NAT_FAMILY, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    put_number(batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
    put_number(batch, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
    expression_end(batch, element, data);
    rule_end(batch, expressions);
}

static void add_counter(struct batch *batch, enum nft_meta_keys key, const char *link)
{
    struct nlattr *expressions = rule(batch, "between");
    match_link(batch, key, NFT_CMP_EQ, link);
    count(batch);
    rule_end(batch, expressions);
}

bool hostnet_nat_plan(struct hostnet *net, const struct hostnet_nat_spec *spec,
                      struct hostnet_nat_identity *identity, GError **error)
{
    if (!check_spec(spec, error))
        return false;
    *identity = (struct hostnet_nat_identity){.netns = hostnet_get_netns_cookie(net)};
    g_strlcpy(identity->table, spec->table, sizeof identity->table);
    g_strlcpy(identity->mark, spec->mark, sizeof identity->mark);
    g_strlcpy(identity->boot_id, hostnet_get_boot_id(net), sizeof identity->boot_id);
    return true;
}

bool hostnet_nat_create(struct hostnet *net, const struct hostnet_nat_spec *spec, GError **error)
{
    static_assert(HOSTNET_MARK_MAX + 1 <= 256, "a comment's length is one byte");
    static const char lacks[] = "this kernel lacks a part of nf_tables that NAT needs (nft_masq, nft_nat, "
                                "nft_fib_inet); say uplink: user, which needs none";
    if (!check_spec(spec, error))
        return false;
    if (strlen(spec->mark) >= HOSTNET_MARK_MAX)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "the mark \"%s\" is too long for a table; shorten the lab's name",
                                 spec->mark);
    auto_batch batch;
    batch_open(&batch, spec->table);
    add_table(&batch, spec->mark);
    uint32_t table = batch.sequence;
    add_chain(&batch, "out", "nat", NF_INET_POST_ROUTING, PRIORITY_SOURCE);
    add_chain(&batch, "in", "nat", NF_INET_PRE_ROUTING, PRIORITY_DESTINATION);
    add_chain(&batch, "own", "nat", NF_INET_LOCAL_OUT, PRIORITY_DESTINATION);
    add_chain(&batch, "between", "filter", NF_INET_FORWARD, 0);
    for (unsigned i = 0; i < spec->inside_count; i++)
        add_masquerade(&batch, &spec->inside[i], spec->link);
    for (unsigned i = 0; i < spec->forward_count; i++) {
        add_forward(&batch, "in", &spec->forwards[i], spec->link);
        add_forward(&batch, "own", &spec->forwards[i], spec->link);
    }
    add_counter(&batch, NFT_META_IIFNAME, spec->link);
    add_counter(&batch, NFT_META_OIFNAME, spec->link);
    uint32_t refused = 0;
    int result = batch_commit(net, &batch, &refused, error);
    if (result <= 0)
        return result == 0;
    bool is_lacking = result == EOPNOTSUPP || result == EAFNOSUPPORT || result == EPROTONOSUPPORT ||
                      (result == ENOENT && refused != table);
    return hostnet_error_set_code(
        error, is_lacking ? HOSTNET_ERROR_UNSUPPORTED : hostnet_error_from_errno(result), result, NULL,
        is_lacking         ? lacks
        : result == EEXIST ? "`nft list tables` shows it; remove it if it is a leftover, or run netlab repair"
                           : NULL,
        "creating nftables table %s for %s", spec->table, spec->mark);
}

/* ---- looking ---- */

struct found {
    char name[HOSTNET_NAT_TABLE_MAX + 1], mark[HOSTNET_MARK_MAX + 1];
    uint64_t handle;
    bool has_handle;
};

/* A table of our family with a comment, or false. */
static bool read_table(const struct nlmsghdr *message, struct found *found)
{
    const struct nlattr *rows[NFTA_TABLE_MAX + 1];
    const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
    if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE) ||
        !hostnet_dump_parse(message, sizeof *header, rows, NFTA_TABLE_MAX) ||
        header->nfgen_family != NFPROTO_INET || !rows[NFTA_TABLE_NAME])
        return false;
    *found = (struct found){0};
    const char *name = mnl_attr_get_str(rows[NFTA_TABLE_NAME]);
    size_t length = strnlen(name, mnl_attr_get_payload_len(rows[NFTA_TABLE_NAME]));
    if (length > HOSTNET_NAT_TABLE_MAX)
        return false;
    memcpy(found->name, name, length);
    if (rows[NFTA_TABLE_HANDLE] && mnl_attr_get_payload_len(rows[NFTA_TABLE_HANDLE]) >= sizeof(uint64_t)) {
        found->handle = GUINT64_FROM_BE(mnl_attr_get_u64(rows[NFTA_TABLE_HANDLE]));
        found->has_handle = true;
    }
    if (rows[NFTA_TABLE_USERDATA]) {
        const uint8_t *data = mnl_attr_get_payload(rows[NFTA_TABLE_USERDATA]);
        size_t left = mnl_attr_get_payload_len(rows[NFTA_TABLE_USERDATA]);
        while (left >= 2 && data[1] <= left - 2) {
            size_t size = data[1];
            if (data[0] == USER_DATA_COMMENT && size && size <= sizeof found->mark && !data[2 + size - 1])
                memcpy(found->mark, data + 2, size);
            data += 2 + size;
            left -= 2 + size;
        }
    }
    return true;
}

/* 1 with the table, 0 when there is none of that name, -1 with an error. */
static int find_table(struct hostnet *net, const char *name, struct found *found, GError **error)
{
    g_autoptr(GBytes) dump = hostnet_dump_take(net, HOSTNET_DUMP_NFT_TABLES, error);
    if (!dump)
        return -1;
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));)
        if (read_table(message, found) && strcmp(found->name, name) == 0)
            return 1;
    return 0;
}

bool hostnet_nat_check(struct hostnet *net, const struct hostnet_nat_identity *identity,
                       enum hostnet_presence *presence, GError **error)
{
    struct found found;
    *presence = HOSTNET_ABSENT;
    if (strcmp(identity->boot_id, hostnet_get_boot_id(net)) != 0)
        return true;
    if (identity->netns != hostnet_get_netns_cookie(net))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "nftables table %s belongs to another network namespace", identity->table);
    int is_there = find_table(net, identity->table, &found, error);
    if (is_there > 0)
        *presence = strcmp(found.mark, identity->mark) == 0 ? HOSTNET_PRESENT : HOSTNET_FOREIGN;
    return is_there >= 0;
}

bool hostnet_nat_delete(struct hostnet *net, const struct hostnet_nat_identity *identity, GError **error)
{
    struct found found;
    if (strcmp(identity->boot_id, hostnet_get_boot_id(net)) != 0)
        return true;
    if (identity->netns != hostnet_get_netns_cookie(net))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "nftables table %s belongs to another network namespace", identity->table);
    int is_there = find_table(net, identity->table, &found, error);
    if (is_there <= 0)
        return is_there == 0;
    if (strcmp(found.mark, identity->mark) != 0)
        return hostnet_error_say(error, HOSTNET_ERROR_NOT_OURS,
                                 "nftables table %s is not removed: its comment is \"%s\" and not \"%s\"",
                                 found.name, found.mark, identity->mark);
    auto_batch batch;
    batch_open(&batch, identity->table);
    begin_request(&batch, NFT_MSG_DELTABLE, 0);
    if (found.has_handle) {
        mnl_attr_put_u64(batch.message, NFTA_TABLE_HANDLE, GUINT64_TO_BE(found.handle));
    } else {
        mnl_attr_put_strz(batch.message, NFTA_TABLE_NAME, identity->table);
    }
    finish(&batch);
    uint32_t refused = 0;
    int result = batch_commit(net, &batch, &refused, error);
    if (result == 0 || result == ENOENT)
        return true;
    return result > 0 ? hostnet_error_set(error, result, NULL, NULL, "removing nftables table %s (%s)",
                                          identity->table, identity->mark)
                      : false;
}

GArray *hostnet_nat_list_marked(struct hostnet *net, const char *lab, GError **error)
{
    g_autoptr(GBytes) dump = hostnet_dump_take(net, HOSTNET_DUMP_NFT_TABLES, error);
    if (!dump)
        return NULL;
    GArray *list = g_array_new(FALSE, TRUE, sizeof(struct hostnet_nat_identity));
    struct found found;
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        g_autofree char *owner = NULL;
        if (!read_table(message, &found) || !hostnet_mark_parse(found.mark, &owner, NULL) ||
            (lab && strcmp(owner, lab) != 0))
            continue;
        struct hostnet_nat_identity identity = {.netns = hostnet_get_netns_cookie(net)};
        g_strlcpy(identity.table, found.name, sizeof identity.table);
        g_strlcpy(identity.mark, found.mark, sizeof identity.mark);
        g_strlcpy(identity.boot_id, hostnet_get_boot_id(net), sizeof identity.boot_id);
        g_array_append_val(list, identity);
    }
    return list;
}

/* ---- identities as text ---- */

char *hostnet_nat_identity_format(const struct hostnet_nat_identity *identity)
{
    return g_strdup_printf("%s/%" G_GUINT64_FORMAT "/%s/%s", identity->boot_id, identity->netns,
                           identity->table, identity->mark);
}

bool hostnet_nat_identity_parse(const char *text, struct hostnet_nat_identity *identity, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 4);
    struct hostnet_nat_identity result = {0};
    if (g_strv_length(parts) != 4 || !*parts[0] || strlen(parts[0]) > HOSTNET_BOOT_ID_MAX ||
        !g_ascii_string_to_unsigned(parts[1], 10, 0, G_MAXUINT64, &result.netns, NULL) ||
        !check_table_name(parts[2], NULL) || !hostnet_mark_check(parts[3], NULL))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "\"%s\" is no identity of an nftables table",
                                 text);
    g_strlcpy(result.boot_id, parts[0], sizeof result.boot_id);
    g_strlcpy(result.table, parts[2], sizeof result.table);
    g_strlcpy(result.mark, parts[3], sizeof result.mark);
    *identity = result;
    return true;
}

/* ---- obstacles ---- */

static const char *family_name(uint8_t family)
{
    return family == NFPROTO_IPV4   ? "ip"
           : family == NFPROTO_IPV6 ? "ip6"
           : family == NFPROTO_INET ? "inet"
                                    : NULL;
}

GPtrArray *hostnet_nat_find_obstacles(struct hostnet *net, GError **error)
{
    g_autoptr(GBytes) dump = hostnet_dump_take(net, HOSTNET_DUMP_NFT_TABLES, error);
    if (!dump)
        return NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        const struct nlattr *rows[NFTA_CHAIN_MAX + 1], *hook;
        const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
        if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN) ||
            !hostnet_dump_parse(message, sizeof *header, rows, NFTA_CHAIN_MAX) || !rows[NFTA_CHAIN_HOOK] ||
            !rows[NFTA_CHAIN_POLICY] || !rows[NFTA_CHAIN_TABLE] || !rows[NFTA_CHAIN_NAME] ||
            !family_name(header->nfgen_family))
            continue;
        uint32_t number = NF_INET_NUMHOOKS;
        mnl_attr_for_each_nested(hook, rows[NFTA_CHAIN_HOOK])
        {
            if (mnl_attr_get_type(hook) == NFTA_HOOK_HOOKNUM && mnl_attr_get_payload_len(hook) >= 4)
                number = ntohl(mnl_attr_get_u32(hook));
        }
        if (number != NF_INET_FORWARD || ntohl(mnl_attr_get_u32(rows[NFTA_CHAIN_POLICY])) != NF_DROP)
            continue;
        const char *family = family_name(header->nfgen_family),
                   *table = mnl_attr_get_str(rows[NFTA_CHAIN_TABLE]),
                   *chain = mnl_attr_get_str(rows[NFTA_CHAIN_NAME]);
        g_ptr_array_add(list,
                        g_strdup_printf("table %s %s, chain %s drops forwarded packets by policy; let the "
                                        "lab's through with: nft insert rule %s %s %s iifname LINK accept "
                                        "(and oifname LINK for the answers)",
                                        family, table, chain, family, table, chain));
    }
    return list;
}
