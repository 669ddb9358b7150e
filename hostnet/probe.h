/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What this kernel and this user can do, found out by doing it.
 *
 * The probe runs in a child process that makes throw-away namespaces (with a user namespace when it has to),
 * tries each thing there and reports; nothing of the caller's namespaces is touched and nothing stays. It
 * takes some 50 ms, so callers keep the answer. Asking for a link kind may load the kernel module of it.
 */
#pragma once

#include "hostnet/hostnet.h"

enum hostnet_feature {
    HOSTNET_FEATURE_NET_ADMIN,      /* CAP_NET_ADMIN in the caller's own network namespace */
    HOSTNET_FEATURE_NET_NAMESPACE,  /* a network namespace without a user namespace (CAP_SYS_ADMIN) */
    HOSTNET_FEATURE_USER_NAMESPACE, /* rootless: user namespace with a network namespace in it */
    HOSTNET_FEATURE_TUN_DEVICE,     /* /dev/net/tun can be opened by this user */
    HOSTNET_FEATURE_TAP,            /* and makes TAPs */
    HOSTNET_FEATURE_TAP_VNET_HDR,
    HOSTNET_FEATURE_BRIDGE,
    HOSTNET_FEATURE_BRIDGE_VLAN, /* vlan_filtering */
    HOSTNET_FEATURE_VETH,
    HOSTNET_FEATURE_DUMMY,
    HOSTNET_FEATURE_VLAN, /* 802.1Q links */
    HOSTNET_FEATURE_MACVLAN,
    HOSTNET_FEATURE_ALTNAME, /* alternative names, Linux 5.5 */
    HOSTNET_FEATURE_IPV6,
    HOSTNET_FEATURE_NETEM,
    HOSTNET_FEATURE_TBF,
    HOSTNET_FEATURE_INGRESS, /* clsact qdisc */
    HOSTNET_FEATURE_NFTABLES,
    HOSTNET_FEATURE_COUNT
};

struct hostnet_probe {
    struct {
        bool works;
        enum hostnet_error code; /* when not: PERMISSION, NO_TUN, UNSUPPORTED, LIMIT, … */
        char reason[240];        /* when not: the kernel's words and what to do about it; "" when it works */
    } features[HOSTNET_FEATURE_COUNT];
};

/* False only when the probe itself could not run. */
bool hostnet_probe_run(struct hostnet_probe *probe, GError **error);

const char *hostnet_feature_name(enum hostnet_feature feature); /* "netem" */
const char *
hostnet_feature_description(enum hostnet_feature feature); /* "delay and loss in the kernel (sch_netem)" */

/* True when it works, or the code and the reason. */
bool hostnet_probe_require(const struct hostnet_probe *probe, enum hostnet_feature feature, GError **error);
