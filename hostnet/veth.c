/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * veth pairs: both ends in one request, each with its own name, index and namespace.
 *
 * RTM_NEWLINK carries the far end as a whole link message of its own in VETH_INFO_PEER, with the fd of its
 * namespace. Ends in one namespace are both marked in the same datagram. A far end in another namespace can
 * only be reached through a socket of that one: it gets its mark, and is set up, by a second datagram. In
 * between, the near end's mark speaks for the pair: deleting the near end deletes both.
 *
 * Source: drivers/net/veth.c of the kernel (veth_newlink), linux/veth.h.
 */
#include "hostnet/link_internal.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

/* The second datagram, in the far end's own namespace. */
static bool finish_far_end(struct hostnet *net, uint32_t index, const struct hostnet_link_spec *spec,
                           GError **error)
{
    hostnet_auto_batch batch = {};
    hostnet_link_add_rest(&batch, index, spec, false);
    int failed = hostnet_batch_send(net, &batch, error);
    if (failed == (int)batch.count)
        return true;
    return failed < 0 ? false
                      : hostnet_link_make_error(net, spec, "veth", batch.requests[failed].error_number,
                                                batch.requests[failed].kernel_text, error);
}

bool hostnet_veth_create(struct hostnet *net, const struct hostnet_link_spec *near_spec,
                         struct hostnet *far_net, const struct hostnet_link_spec *far_spec,
                         struct hostnet_link_identity *near_identity,
                         struct hostnet_link_identity *far_identity, GError **error)
{
    if (!hostnet_link_spec_check(near_spec, "veth", error) ||
        !hostnet_link_spec_check(far_spec, "veth", error))
        return false;
    bool is_same = hostnet_same_namespace(net, far_net);
    uint32_t near_index = hostnet_link_take_index(net, near_spec, "veth", error);
    uint32_t far_index = near_index ? hostnet_link_take_index(far_net, far_spec, "veth", error) : 0;
    if (!far_index)
        return false;
    if (is_same && (near_index == far_index || g_str_equal(near_spec->name, far_spec->name)))
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "creating veth %s: both ends have the same name or index in one namespace; name "
            "them apart",
            near_spec->name);

    hostnet_auto_batch batch = {};
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)near_index};
    struct ifinfomsg far_header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)far_index};
    struct nl_msg *message =
        hostnet_batch_add(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header);
    hostnet_link_put_birth(message, near_spec);
    struct nlattr *info = hostnet_nest_begin(message, IFLA_LINKINFO);
    hostnet_put_string(message, IFLA_INFO_KIND, "veth");
    struct nlattr *data = hostnet_nest_begin(message, IFLA_INFO_DATA);
    struct nlattr *peer = hostnet_nest_begin(message, VETH_INFO_PEER);
    if (nlmsg_append(message, &far_header, sizeof far_header, NLMSG_ALIGNTO) < 0)
        g_error("hostnet: a veth request does not fit its message");
    hostnet_link_put_birth(message, far_spec);
    if (!is_same)
        hostnet_put_u32(message, IFLA_NET_NS_FD, (uint32_t)hostnet_get_netns_fd(far_net));
    hostnet_nest_end(message, peer);
    hostnet_nest_end(message, data);
    hostnet_nest_end(message, info);
    hostnet_link_add_rest(&batch, near_index, near_spec, false);
    unsigned near_end = batch.count;
    if (is_same)
        hostnet_link_add_rest(&batch, far_index, far_spec, false);

    int failed = hostnet_batch_send(net, &batch, error);
    if (failed < 0)
        return false;
    if (failed < (int)batch.count) {
        int reason = batch.requests[failed].error_number;
        if (failed > 0)
            hostnet_link_unmake(net, near_index);
        /* At birth the kernel does not say whose name is taken. */
        g_autoptr(hostnet_link) far_taken =
            failed == 0 && reason == EEXIST ? hostnet_link_find(far_net, far_spec->name, NULL) : NULL;
        bool is_far = far_taken || failed >= (int)near_end;
        return hostnet_link_make_error(is_far ? far_net : net, is_far ? far_spec : near_spec, "veth", reason,
                                       batch.requests[failed].kernel_text, error);
    }
    if (!is_same && !finish_far_end(far_net, far_index, far_spec, error)) {
        hostnet_link_unmake(net, near_index);
        return false;
    }
    hostnet_link_fill_identity(net, near_spec, near_index, near_identity);
    hostnet_link_fill_identity(far_net, far_spec, far_index, far_identity);
    return true;
}
