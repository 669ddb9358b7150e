/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The order of a link's addresses. See hostnet_dump_order_addresses() in dump.h.
 *
 * An IPv4 address comes behind those of its scope, an IPv6 address before them; so both lists are looked at
 * in the order in which the addresses were added. From the first one on that stands where another should, all
 * of ours are removed and put back. With its last IPv4 address a link loses its routes, and with an address
 * those that name it as source: so routes are read before and put back after.
 */
#include "hostnet/address.h"
#include "hostnet/dump_internal.h"
#include "hostnet/hostnet_internal.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { ROUNDS = 3 };

struct entry {
    char *key; /* "10.1.0.7/24", with the peer's address when it has one */
    const struct nlmsghdr *message;
};

static void entry_free(gpointer opaque)
{
    struct entry *entry = opaque;
    g_free(entry->key);
    g_free(entry);
}

/* Those of `family` that will be there still in `elapsed` seconds, in the order of their making. */
static GPtrArray *list_entries(GBytes *dump, uint8_t family, uint32_t elapsed)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(entry_free);
    size_t offset = 0, size = family == AF_INET ? 4 : 16;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        const struct nlattr *rows[IFA_MAX + 1];
        if (message->nlmsg_type != RTM_NEWADDR ||
            !hostnet_dump_parse(message, sizeof(struct ifaddrmsg), rows, IFA_MAX))
            continue;
        const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
        const struct nlattr *peer = rows[IFA_ADDRESS], *local = rows[IFA_LOCAL] ? rows[IFA_LOCAL] : peer;
        struct ifa_cacheinfo cache = {.ifa_valid = UINT32_MAX};
        if (rows[IFA_CACHEINFO] && mnl_attr_get_payload_len(rows[IFA_CACHEINFO]) >= sizeof cache)
            memcpy(&cache, mnl_attr_get_payload(rows[IFA_CACHEINFO]), sizeof cache);
        if (header->ifa_family != family || !local || mnl_attr_get_payload_len(local) < size ||
            (family == AF_INET6 && (header->ifa_flags & IFA_F_TEMPORARY)) || cache.ifa_valid <= elapsed)
            continue;
        struct hostnet_prefix prefix = {.address.family = family, .length = header->ifa_prefixlen};
        char text[HOSTNET_PREFIX_TEXT], peer_text[HOSTNET_ADDRESS_TEXT] = "";
        memcpy(prefix.address.bytes, mnl_attr_get_payload(local), size);
        struct hostnet_address other = prefix.address;
        if (peer && mnl_attr_get_payload_len(peer) >= size)
            memcpy(other.bytes, mnl_attr_get_payload(peer), size);
        if (!hostnet_address_equal(&other, &prefix.address))
            hostnet_address_format(&other, peer_text);
        struct entry *entry = g_new0(struct entry, 1);
        entry->message = message;
        entry->key = g_strconcat(hostnet_prefix_format(&prefix, text), " ", peer_text, NULL);
        g_ptr_array_insert(list, family == AF_INET6 ? 0 : -1, entry);
    }
    return list;
}

static bool has_key(const GPtrArray *list, const char *key)
{
    for (unsigned i = 0; i < list->len; i++)
        if (strcmp(((const struct entry *)list->pdata[i])->key, key) == 0)
            return true;
    return false;
}

/* How many of `now`, from its beginning, stand as in `wanted`; `*is_good` when all do and none lacks. */
static unsigned count_good(const GPtrArray *wanted, const GPtrArray *now, bool *is_good)
{
    unsigned good = 0;
    *is_good = false;
    for (unsigned i = 0; i < wanted->len; i++) {
        const struct entry *entry = wanted->pdata[i];
        if (good == now->len || strcmp(entry->key, ((const struct entry *)now->pdata[good])->key) != 0)
            return good;
        good++;
    }
    *is_good = good == now->len;
    return good;
}

static bool has_foreign(const GPtrArray *wanted, const GPtrArray *now)
{
    for (unsigned i = 0; i < now->len; i++)
        if (!has_key(wanted, ((const struct entry *)now->pdata[i])->key))
            return true;
    return false;
}

static GBytes *take(struct hostnet *net, enum hostnet_dump_kind kind, uint32_t index, GError **error)
{
    g_autoptr(GBytes) all = hostnet_dump_take(net, kind, error);
    return all ? hostnet_dump_filter(all, index) : NULL;
}

/* Those from number `first` on. */
static GBytes *to_dump(const GPtrArray *list, unsigned first)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    static const guint8 padding[MNL_ALIGNTO];
    for (unsigned i = first; i < list->len; i++) {
        const struct nlmsghdr *message = ((const struct entry *)list->pdata[i])->message;
        g_byte_array_append(bytes, (const guint8 *)message, message->nlmsg_len);
        g_byte_array_append(bytes, padding, MNL_ALIGN(message->nlmsg_len) - message->nlmsg_len);
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

/* One look at one family. `*is_good` false: something was done, look again. */
static bool order_once(struct hostnet *net, GBytes *addresses, uint8_t family, uint32_t from, uint32_t to,
                       uint32_t elapsed, bool *is_good, GError **error)
{
    g_autoptr(GPtrArray) wanted = list_entries(addresses, family, elapsed);
    g_autoptr(GBytes) there = take(net, HOSTNET_DUMP_ADDRESSES, to, error);
    if (!there)
        return false;
    g_autoptr(GPtrArray) now = list_entries(there, family, 0);
    unsigned good = count_good(wanted, now, is_good);
    if (*is_good || has_foreign(wanted, now)) {
        *is_good = true;
        return true;
    }
    g_autoptr(GBytes) routes = take(net, HOSTNET_DUMP_ROUTES, to, error);
    g_autoptr(GBytes) wrong = to_dump(now, good);
    return routes && hostnet_dump_remove(net, wrong, NULL, NULL, error) &&
           hostnet_dump_replay(net, addresses, from, to, elapsed, error) >= 0 &&
           hostnet_dump_replay(net, routes, 0, 0, 0, error) >= 0;
}

bool hostnet_dump_order_addresses(struct hostnet *net, GBytes *addresses, uint32_t from, uint32_t to,
                                  uint32_t elapsed, GError **error)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    for (unsigned i = 0; i < G_N_ELEMENTS(families); i++) {
        bool is_good = false;
        for (unsigned round = 0; !is_good && round < ROUNDS; round++)
            if (!order_once(net, addresses, families[i], from, to, elapsed, &is_good, error))
                return false;
    }
    return true;
}
