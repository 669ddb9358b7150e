/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A namespace as canonical text: one line per object, sorted. See snapshot.h; how attributes are written is
 * snapshot_format.c's part.
 *
 * A line begins with what the object is called (link name; family, destination and table of a route; …), so
 * that sorting puts the same object at the same place, then its fixed header, then its attributes in the
 * kernel's order. nf_tables rules carry their place in the chain, because there order matters.
 *
 * Sysctls: those of the namespace as a whole and of conf/all and conf/default. The per-link ones are in the
 * link's own attributes (IFLA_AF_SPEC).
 */
#include "hostnet/snapshot_internal.h"
#include "hostnet/hostnet_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct snapshot {
    struct hostnet_format format;
    GPtrArray *lines;
    GString *chain; /* of the last nf_tables rule, to number rules within their chain */
    unsigned rule_number;
};

/* Appends the attributes behind a header of `header` bytes and keeps the line. */
static void finish_line(struct snapshot *snapshot, GString *line, const struct nlmsghdr *message,
                        size_t header, const struct hostnet_rows *rows)
{
    size_t length = mnl_nlmsg_get_payload_len(message), start = MNL_ALIGN(header);
    if (length > start)
        hostnet_format_attributes(line, &snapshot->format, rows,
                                  (const char *)mnl_nlmsg_get_payload(message) + start, length - start);
    g_ptr_array_add(snapshot->lines, g_string_free(line, FALSE));
}

static const char *family_name(unsigned family)
{
    switch (family) {
    case AF_INET:
        return "inet";
    case AF_INET6:
        return "inet6";
    case AF_BRIDGE:
        return "bridge";
    case AF_UNSPEC:
        return "any";
    default:
        return "other";
    }
}

static uint32_t get_u32(const struct nlattr *attribute, uint32_t otherwise)
{
    return attribute && mnl_attr_get_payload_len(attribute) >= 4 ? mnl_attr_get_u32(attribute) : otherwise;
}

/* "10.0.0.0/8", "default" */
static void append_prefix(GString *line, const struct nlattr *attribute, unsigned family, unsigned length)
{
    char text[INET6_ADDRSTRLEN];
    size_t size = family == AF_INET ? 4 : 16;
    if (attribute && mnl_attr_get_payload_len(attribute) >= size &&
        inet_ntop((int)family, mnl_attr_get_payload(attribute), text, sizeof text))
        g_string_append_printf(line, "%s/%u", text, length);
    else
        g_string_append(line, "default");
}

/* ---- one function per kind of message ---- */

static void write_link(struct snapshot *snapshot, const struct nlmsghdr *message)
{
    /* Follow the cable, not the configuration. */
    enum { STATE = IFF_RUNNING | IFF_LOWER_UP | IFF_DORMANT };
    const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
    if (mnl_nlmsg_get_payload_len(message) < sizeof *header)
        return;
    GString *line = g_string_new("link ");
    hostnet_format_link(line, &snapshot->format, (uint32_t)header->ifi_index);
    if (snapshot->format.flags & HOSTNET_SNAPSHOT_INDEXES)
        g_string_append_printf(line, " index=%d", header->ifi_index);
    g_string_append_printf(line, " type=%u flags=0x%x", header->ifi_type,
                           header->ifi_flags & ~(unsigned)STATE);
    finish_line(snapshot, line, message, sizeof *header, &hostnet_rows_link);
}

static void write_address(struct snapshot *snapshot, const struct nlmsghdr *message)
{
    /* Duplicate detection comes and goes by itself; deprecated is said with the lifetime. */
    enum { STATE = IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_OPTIMISTIC };
    const struct nlattr *rows[IFA_FLAGS + 1];
    const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
    if (!hostnet_dump_parse(message, sizeof *header, rows, IFA_FLAGS))
        return;
    GString *line = g_string_new("address ");
    hostnet_format_link(line, &snapshot->format, header->ifa_index);
    g_string_append_c(line, ' ');
    append_prefix(line, rows[IFA_LOCAL] ? rows[IFA_LOCAL] : rows[IFA_ADDRESS], header->ifa_family,
                  header->ifa_prefixlen);
    g_string_append_printf(line, " scope=%u flags=0x%x", header->ifa_scope,
                           get_u32(rows[IFA_FLAGS], header->ifa_flags) & ~(uint32_t)STATE);
    finish_line(snapshot, line, message, sizeof *header, &hostnet_rows_address);
}

static void write_route(struct snapshot *snapshot, const struct nlmsghdr *message)
{
    enum { KEPT_FLAGS = RTNH_F_ONLINK | RTNH_F_PERVASIVE | RTM_F_PREFIX };
    const struct nlattr *rows[RTA_MAX + 1];
    const struct rtmsg *header = mnl_nlmsg_get_payload(message);
    if (!hostnet_dump_parse(message, sizeof *header, rows, RTA_MAX) || (header->rtm_flags & RTM_F_CLONED))
        return;
    GString *line = g_string_new("route ");
    g_string_append_printf(line, "%s table=%u ", family_name(header->rtm_family),
                           get_u32(rows[RTA_TABLE], header->rtm_table));
    append_prefix(line, rows[RTA_DST], header->rtm_family, header->rtm_dst_len);
    g_string_append_printf(line, " type=%u protocol=%u scope=%u tos=%u flags=0x%x", header->rtm_type,
                           header->rtm_protocol, header->rtm_scope, header->rtm_tos,
                           header->rtm_flags & KEPT_FLAGS);
    finish_line(snapshot, line, message, sizeof *header, &hostnet_rows_route);
}

static void write_rule(struct snapshot *snapshot, const struct nlmsghdr *message)
{
    const struct nlattr *rows[FRA_MAX + 1];
    const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(message);
    if (!hostnet_dump_parse(message, sizeof *header, rows, FRA_MAX))
        return;
    GString *line = g_string_new("rule ");
    g_string_append_printf(line, "%s %010u action=%u to_len=%u from_len=%u tos=%u flags=0x%x",
                           family_name(header->family), get_u32(rows[FRA_PRIORITY], 0), header->action,
                           header->dst_len, header->src_len, header->tos, header->flags & FIB_RULE_INVERT);
    finish_line(snapshot, line, message, sizeof *header, &hostnet_rows_rule);
}

static void write_qdisc(struct snapshot *snapshot, const struct nlmsghdr *message)
{
    const struct tcmsg *header = mnl_nlmsg_get_payload(message);
    if (mnl_nlmsg_get_payload_len(message) < sizeof *header)
        return;
    GString *line = g_string_new("qdisc ");
    hostnet_format_link(line, &snapshot->format, (uint32_t)header->tcm_ifindex);
    /* Handles that the kernel draws for its default disciplines count up with each new link. */
    g_string_append_printf(line, " parent=%x", header->tcm_parent);
    if (snapshot->format.flags & HOSTNET_SNAPSHOT_INDEXES)
        g_string_append_printf(line, " handle=%x", header->tcm_handle);
    finish_line(snapshot, line, message, sizeof *header, &hostnet_rows_qdisc);
}

static void write_neighbour(struct snapshot *snapshot, const struct nlmsghdr *message)
{
    const struct ndmsg *header = mnl_nlmsg_get_payload(message);
    if (mnl_nlmsg_get_payload_len(message) < sizeof *header)
        return;
    bool is_permanent = (header->ndm_state & NUD_PERMANENT) || (header->ndm_flags & NTF_PROXY);
    if ((header->ndm_state & NUD_NOARP) && header->ndm_family != AF_BRIDGE)
        return; /* multicast and loopback: made and dropped by the kernel as it goes */
    if (!is_permanent && !(snapshot->format.flags & HOSTNET_SNAPSHOT_NEIGHBOURS))
        return;
    GString *line = g_string_new("neighbour ");
    g_string_append_printf(line, "%s ", family_name(header->ndm_family));
    hostnet_format_link(line, &snapshot->format, (uint32_t)header->ndm_ifindex);
    g_string_append_printf(line, " permanent=%u flags=0x%x", is_permanent, header->ndm_flags);
    finish_line(snapshot, line, message, sizeof *header, &hostnet_rows_neighbour);
}

/* Where a rule stands in its chain: rules come chain by chain, in order. */
static unsigned number_rule(struct snapshot *snapshot, const struct nlmsghdr *message, unsigned family)
{
    const struct nlattr *rows[NFTA_RULE_CHAIN + 1];
    g_autoptr(GString) chain = g_string_new(NULL);
    if (hostnet_dump_parse(message, sizeof(struct nfgenmsg), rows, NFTA_RULE_CHAIN))
        for (unsigned i = NFTA_RULE_TABLE; i <= NFTA_RULE_CHAIN; i++)
            if (rows[i])
                g_string_append_printf(chain, "/%.*s", (int)mnl_attr_get_payload_len(rows[i]),
                                       (const char *)mnl_attr_get_payload(rows[i]));
    g_string_append_printf(chain, "/%u", family);
    if (strcmp(chain->str, snapshot->chain->str) != 0) {
        g_string_assign(snapshot->chain, chain->str);
        snapshot->rule_number = 0;
    }
    return snapshot->rule_number++;
}

static void write_nft(struct snapshot *snapshot, const struct nlmsghdr *message)
{
    static const struct {
        const char *name;
        const struct hostnet_rows *rows;
    } objects[] = {
        [NFT_MSG_NEWTABLE] = {"table", &hostnet_rows_nft_table},
        [NFT_MSG_NEWCHAIN] = {"chain", &hostnet_rows_nft_chain},
        [NFT_MSG_NEWRULE] = {"rule", &hostnet_rows_nft_rule},
        [NFT_MSG_NEWSET] = {"set", &hostnet_rows_nft_set},
    };
    const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
    unsigned type = message->nlmsg_type & 0xff;
    if (mnl_nlmsg_get_payload_len(message) < sizeof *header || type >= G_N_ELEMENTS(objects) ||
        !objects[type].name)
        return;
    GString *line = g_string_new("nft ");
    g_string_append_printf(line, "%s family=%u", objects[type].name, header->nfgen_family);
    if (type == NFT_MSG_NEWRULE)
        g_string_append_printf(line, " place=%06u", number_rule(snapshot, message, header->nfgen_family));
    finish_line(snapshot, line, message, sizeof *header, objects[type].rows);
}

/* ---- sysctls ---- */

/* Written by the kernel itself, or a secret. */
static bool is_left_out(const char *name)
{
    static const char *const names[] = {"tcp_fastopen_key", "stable_secret", "flush", "nf_conntrack_count"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void write_sysctl(struct snapshot *snapshot, int folder, const char *folder_name, const char *name)
{
    hostnet_autofd fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    char value[512];
    ssize_t length = read(fd, value, sizeof value - 1);
    if (length < 0)
        return; /* has no value now */
    value[length] = '\0';
    g_strdelimit(g_strchomp(value), "\n\t", ' ');
    g_ptr_array_add(snapshot->lines, g_strdup_printf("sysctl %s/%s = %s", folder_name, name, value));
}

static bool write_sysctls(struct snapshot *snapshot, const struct hostnet *net, GError **error)
{
    static const char *const folders[] = {"net/ipv4",  "net/ipv4/conf/all", "net/ipv4/conf/default",
                                          "net/ipv6",  "net/ipv6/conf/all", "net/ipv6/conf/default",
                                          "net/bridge"};
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename("/proc/sys", folders[i], NULL);
        int reason;
        /* The folder of the handle's namespace stays that when it is read later. */
        int fd = hostnet_scope_open(net, path, O_RDONLY | O_DIRECTORY, &reason, error);
        if (fd < 0 && !reason)
            return false;
        DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
        if (!directory) {
            hostnet_fd_clear(&fd);
            continue; /* no IPv6, no br_netfilter */
        }
        for (struct dirent *entry; (entry = readdir(directory));)
            if (entry->d_name[0] != '.' && !is_left_out(entry->d_name))
                write_sysctl(snapshot, dirfd(directory), folders[i], entry->d_name);
        closedir(directory);
    }
    return true;
}

/* ---- all of it ---- */

static const struct {
    enum hostnet_dump_kind kind;
    void (*write)(struct snapshot *snapshot, const struct nlmsghdr *message);
    unsigned only_with; /* flag, or 0: always */
} parts[] = {
    {HOSTNET_DUMP_LINKS, write_link, 0},
    {HOSTNET_DUMP_ADDRESSES, write_address, 0},
    {HOSTNET_DUMP_ROUTES, write_route, 0},
    {HOSTNET_DUMP_RULES, write_rule, 0},
    {HOSTNET_DUMP_QDISCS, write_qdisc, 0},
    {HOSTNET_DUMP_NEIGHBOURS, write_neighbour, 0},
    {HOSTNET_DUMP_BRIDGE_ENTRIES, write_neighbour, HOSTNET_SNAPSHOT_NEIGHBOURS},
    {HOSTNET_DUMP_NFT_TABLES, write_nft, 0},
};
static_assert(G_N_ELEMENTS(parts) == HOSTNET_DUMP_KIND_COUNT, "every kind of dump is written");

static void note_names(GHashTable *names, GBytes *links)
{
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(links, &offset));) {
        const struct nlattr *rows[IFLA_IFNAME + 1];
        const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
        if (hostnet_dump_parse(message, sizeof *header, rows, IFLA_IFNAME) && rows[IFLA_IFNAME])
            g_hash_table_insert(names, GUINT_TO_POINTER((unsigned)header->ifi_index),
                                g_strndup(mnl_attr_get_payload(rows[IFLA_IFNAME]),
                                          mnl_attr_get_payload_len(rows[IFLA_IFNAME])));
    }
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *hostnet_snapshot_take(struct hostnet *net, unsigned flags, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) chain = g_string_new(NULL);
    struct snapshot snapshot = {.format = {.names = names, .flags = flags}, .lines = lines, .chain = chain};
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (parts[i].only_with && !(flags & parts[i].only_with))
            continue;
        g_autoptr(GError) refusal = NULL;
        g_autoptr(GBytes) dump = hostnet_dump_take(net, parts[i].kind, &refusal);
        if (!dump) {
            /* nf_tables are shown to CAP_NET_ADMIN only; all else to everybody. */
            if (parts[i].kind == HOSTNET_DUMP_NFT_TABLES &&
                g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION)) {
                g_ptr_array_add(lines, g_strdup("nft (not shown to this user)"));
                continue;
            }
            g_propagate_prefixed_error(error, g_steal_pointer(&refusal), "taking a snapshot: ");
            return NULL;
        }
        if (parts[i].kind == HOSTNET_DUMP_LINKS)
            note_names(names, dump);
        size_t offset = 0;
        for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));)
            parts[i].write(&snapshot, message);
    }
    if (!write_sysctls(&snapshot, net, error)) {
        g_prefix_error(error, "taking a snapshot: ");
        return NULL;
    }
    g_ptr_array_sort(lines, compare_lines);
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < lines->len; i++)
        g_string_append_printf(text, "%s\n", (char *)lines->pdata[i]);
    return g_string_free(text, FALSE);
}

char *hostnet_snapshot_diff(const char *before, const char *after)
{
    if (strcmp(before, after) == 0)
        return NULL;
    /* Both are sorted, so one walk through both finds what only one of them has. */
    g_auto(GStrv) old_lines = g_strsplit(before, "\n", -1);
    g_auto(GStrv) new_lines = g_strsplit(after, "\n", -1);
    GString *difference = g_string_new(NULL);
    char **old_line = old_lines, **new_line = new_lines;
    while (*old_line || *new_line) {
        int order = !*old_line ? 1 : !*new_line ? -1 : strcmp(*old_line, *new_line);
        if (order <= 0 && **old_line && order != 0)
            g_string_append_printf(difference, "-%s\n", *old_line);
        if (order > 0 && **new_line)
            g_string_append_printf(difference, "+%s\n", *new_line);
        if (order <= 0)
            old_line++;
        if (order >= 0)
            new_line++;
    }
    return g_string_free(difference, FALSE);
}
