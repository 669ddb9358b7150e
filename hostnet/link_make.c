/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Making links: the one datagram that all kinds share. Theory in link.h.
 *
 * Order within the datagram: birth (name, index, MAC, MTU, kind) — mark — alternative name — IPv6 address
 * mode — master — up. Marked before it can carry a frame. The birth alone uses the name; everything after
 * goes by the index, which was unused: when the birth is refused, the rest finds no link and does nothing.
 *
 * Two processes that draw the same index at the same moment (1 in 2^31) get EEXIST on one side, and the later
 * requests of that side would then configure the other's link. hostnet_index_choose() looks first, which
 * leaves microseconds for such a draw; the loser's requests still carry the loser's mark, so even then the
 * identity of the other side no longer agrees, and its delete refuses instead of guessing.
 */
#include "hostnet/link_internal.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <string.h>

enum { MTU_LOWEST = 68, MTU_HIGHEST = 65535, MAKE_TRIES = 4 };

bool hostnet_link_spec_check(const struct hostnet_link_spec *spec, const char *kind, GError **error)
{
    bool is_good = hostnet_name_check(spec->name, error) && hostnet_mark_check(spec->mark, error) &&
                   (!spec->altname || hostnet_altname_check(spec->altname, error));
    if (is_good && spec->index > INT32_MAX)
        is_good = hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                    "index %u is out of range; let one be planned", spec->index);
    if (is_good && spec->mac && (spec->mac->octets[0] & 1))
        is_good = hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                    "a multicast MAC (odd first octet) cannot be a link's own; make it even");
    if (is_good && spec->mtu && (spec->mtu < MTU_LOWEST || spec->mtu > MTU_HIGHEST))
        is_good =
            hostnet_error_say(error, HOSTNET_ERROR_INVALID, "an MTU of %u is out of range; use %d to %d",
                              spec->mtu, MTU_LOWEST, MTU_HIGHEST);
    if (!is_good)
        g_prefix_error(error, "creating %s %s: ", kind, spec->name ? spec->name : "");
    return is_good;
}

uint32_t hostnet_link_take_index(struct hostnet *net, const struct hostnet_link_spec *spec, const char *kind,
                                 GError **error)
{
    if (!spec->index)
        return hostnet_index_choose(net, error);
    int exists = hostnet_index_exists(net, spec->index, error);
    if (exists == 0)
        return spec->index;
    if (exists > 0) {
        g_autofree char *what = hostnet_describe_link(spec->mark, spec->name);
        g_autofree char *hint =
            g_strdup_printf("index %u is in use; it was made already, or plan another one", spec->index);
        hostnet_error_set(error, EEXIST, NULL, hint, "creating %s %s", kind, what);
    }
    return 0;
}

void hostnet_link_put_birth(struct nl_msg *message, const struct hostnet_link_spec *spec)
{
    hostnet_put_string(message, IFLA_IFNAME, spec->name);
    if (spec->mac)
        hostnet_put(message, IFLA_ADDRESS, spec->mac->octets, 6);
    if (spec->mtu)
        hostnet_put_u32(message, IFLA_MTU, spec->mtu);
}

void hostnet_link_add_rest(struct hostnet_batch *batch, uint32_t index, const struct hostnet_link_spec *spec,
                           bool with_birth)
{
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    struct nl_msg *message = hostnet_batch_add(batch, RTM_SETLINK, 0, &header, sizeof header);
    /* Without its NUL, which would count towards the 255 bytes. */
    hostnet_put(message, IFLA_IFALIAS, spec->mark, strlen(spec->mark));
    if (with_birth && spec->mac)
        hostnet_put(message, IFLA_ADDRESS, spec->mac->octets, 6);
    if (with_birth && spec->mtu)
        hostnet_put_u32(message, IFLA_MTU, spec->mtu);
    if (spec->group)
        hostnet_put_u32(message, IFLA_GROUP, spec->group);

    if (spec->altname && strcmp(spec->altname, spec->name) != 0) {
        message = hostnet_batch_add(batch, RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND, &header,
                                    sizeof header);
        struct nlattr *list = hostnet_nest_begin(message, HOSTNET_IFLA_PROP_LIST | NLA_F_NESTED);
        hostnet_put_string(message, HOSTNET_IFLA_ALT_IFNAME, spec->altname);
        hostnet_nest_end(message, list);
        /* Taken by another link, or a kernel before 5.5: the mark says the name too. */
        hostnet_batch_tolerate(batch, EEXIST);
        hostnet_batch_tolerate(batch, EOPNOTSUPP);
    }
    if (spec->no_ipv6_address) {
        message = hostnet_batch_add(batch, RTM_SETLINK, 0, &header, sizeof header);
        struct nlattr *families = hostnet_nest_begin(message, IFLA_AF_SPEC | NLA_F_NESTED);
        struct nlattr *family = hostnet_nest_begin(message, AF_INET6 | NLA_F_NESTED);
        hostnet_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
        hostnet_nest_end(message, family);
        hostnet_nest_end(message, families);
        /* No IPv6 in this kernel or on this link: no IPv6 address either. */
        hostnet_batch_tolerate(batch, EAFNOSUPPORT);
        hostnet_batch_tolerate(batch, EINVAL);
    }
    if (spec->master) {
        message = hostnet_batch_add(batch, RTM_SETLINK, 0, &header, sizeof header);
        hostnet_put_u32(message, IFLA_MASTER, spec->master);
    }
    if (spec->up) {
        header.ifi_flags = header.ifi_change = IFF_UP;
        hostnet_batch_add(batch, RTM_SETLINK, 0, &header, sizeof header);
    }
}

void hostnet_link_fill_identity(struct hostnet *net, const struct hostnet_link_spec *spec, uint32_t index,
                                struct hostnet_link_identity *identity)
{
    if (!identity)
        return;
    *identity = (struct hostnet_link_identity){.index = index, .netns = net->netns_cookie};
    g_strlcpy(identity->name, spec->name, sizeof identity->name);
    g_strlcpy(identity->mark, spec->mark, sizeof identity->mark);
    g_strlcpy(identity->boot_id, net->boot_id, sizeof identity->boot_id);
}

bool hostnet_link_make_error(struct hostnet *net, const struct hostnet_link_spec *spec, const char *kind,
                             int error_number, const char *kernel_text, GError **error)
{
    g_autofree char *what = hostnet_describe_link(spec->mark, spec->name);
    if (error_number == EEXIST || error_number == EBUSY) {
        g_autoptr(hostnet_link) taken = hostnet_link_find(net, spec->name, NULL);
        if (taken) {
            g_autofree char *hint =
                g_strdup_printf("link %u has that name%s%s; remove it, or choose another name", taken->index,
                                taken->mark ? " and the mark " : "", taken->mark ? taken->mark : "");
            return hostnet_error_set_code(error, HOSTNET_ERROR_EXISTS, EEXIST, NULL, hint, "creating %s %s",
                                          kind, what);
        }
    }
    if (error_number == EOPNOTSUPP) {
        g_autofree char *hint =
            g_strdup_printf("this kernel has no %s links, or not these options of them", kind);
        return hostnet_error_set(error, error_number, kernel_text, hint, "creating %s %s", kind, what);
    }
    if (error_number == ENODEV && spec->master) {
        g_autofree char *hint = g_strdup_printf("is its bridge, index %u, still there?", spec->master);
        return hostnet_error_set(error, error_number, kernel_text, hint, "creating %s %s", kind, what);
    }
    return hostnet_error_set(error, error_number, kernel_text, NULL, "creating %s %s", kind, what);
}

void hostnet_link_unmake(struct hostnet *net, uint32_t index)
{
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    hostnet_auto_batch batch = {};
    hostnet_batch_add(&batch, RTM_DELLINK, 0, &header, sizeof header);
    (void)hostnet_batch_send(net, &batch, NULL);
}

/* Refused only because the index is taken, while the name is free? */
static bool is_index_clash(struct hostnet *net, const struct hostnet_link_spec *spec, uint32_t index,
                           int error_number)
{
    if (spec->index || (error_number != EEXIST && error_number != EBUSY))
        return false;
    g_autoptr(hostnet_link) by_name = hostnet_link_find(net, spec->name, NULL);
    return !by_name && hostnet_index_exists(net, index, NULL) == 1;
}

bool hostnet_link_make(struct hostnet *net, const struct hostnet_link_spec *spec, const char *kind,
                       hostnet_fill_function fill, const void *opaque, bool keeps_mtu,
                       struct hostnet_link_identity *identity, GError **error)
{
    if (!hostnet_link_spec_check(spec, kind, error))
        return false;
    for (unsigned try = 1;; try++) {
        uint32_t index = hostnet_link_take_index(net, spec, kind, error);
        if (!index)
            return false;
        hostnet_auto_batch batch = {};
        struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
        struct nl_msg *message =
            hostnet_batch_add(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header);
        struct hostnet_link_spec birth = *spec;
        /* A bridge stops following its ports' MTU when its own is changed; setting the one it has is no
         * change. */
        if (keeps_mtu && spec->mtu)
            birth.mtu = spec->mtu ^ 1;
        hostnet_link_put_birth(message, &birth);
        struct nlattr *info = hostnet_nest_begin(message, IFLA_LINKINFO);
        hostnet_put_string(message, IFLA_INFO_KIND, kind);
        if (fill) {
            struct nlattr *data = hostnet_nest_begin(message, IFLA_INFO_DATA);
            fill(message, opaque);
            hostnet_nest_end(message, data);
        }
        hostnet_nest_end(message, info);
        hostnet_link_add_rest(&batch, index, spec, keeps_mtu);

        int failed = hostnet_batch_send(net, &batch, error);
        if (failed == (int)batch.count) {
            hostnet_link_fill_identity(net, spec, index, identity);
            return true;
        }
        if (failed < 0)
            return false;
        int reason = batch.requests[failed].error_number;
        if (failed == 0 && try < MAKE_TRIES && is_index_clash(net, spec, index, reason))
            continue;
        if (failed > 0)
            hostnet_link_unmake(net, index);
        return hostnet_link_make_error(net, spec, kind, reason, batch.requests[failed].kernel_text, error);
    }
}
