/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What this kernel and this user can do: tries each thing in throw-away namespaces. See probe.h.
 *
 * Two children do it, one after the other: the first with a network namespace as the caller may make it, the
 * second with a user namespace around it. What is inside is tried in whichever of the two worked first. A
 * child sends its part of the table through a pipe and ends; it has an alarm, so that a kernel that hangs on
 * something cannot hang the caller.
 *
 * Each feature is a row: what it is called, what it means, how it is tried.
 */
#include "hostnet/probe.h"
#include "hostnet/address.h"
#include "hostnet/bridge.h"
#include "hostnet/link_internal.h"
#include "hostnet/namespace.h"
#include "hostnet/tap.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PROBE_MARK "netlab:probe:probe"

enum { CHILD_SECONDS = 20, LOOPBACK_INDEX = 1 };

typedef bool (*try_function)(struct hostnet *net, GError **error);

/* ---- the tries: in a namespace of the probe's own ---- */

static bool try_bridge(struct hostnet *net, GError **error)
{
    struct hostnet_bridge_spec spec = {.link = {.name = "probe-br", .mark = PROBE_MARK}};
    return hostnet_bridge_create(net, &spec, NULL, error);
}

static bool try_bridge_vlan(struct hostnet *net, GError **error)
{
    struct hostnet_bridge_spec spec = {.link = {.name = "probe-vbr", .mark = PROBE_MARK},
                                       .vlan_filtering = true};
    return hostnet_bridge_create(net, &spec, NULL, error);
}

static bool try_veth(struct hostnet *net, GError **error)
{
    struct hostnet_link_spec near_end = {.name = "probe-v0", .mark = PROBE_MARK};
    struct hostnet_link_spec far_end = {.name = "probe-v1", .mark = PROBE_MARK};
    return hostnet_veth_create(net, &near_end, net, &far_end, NULL, NULL, error);
}

static bool try_dummy(struct hostnet *net, GError **error)
{
    struct hostnet_link_spec spec = {.name = "probe-dummy", .mark = PROBE_MARK};
    return hostnet_link_make(net, &spec, "dummy", NULL, NULL, false, NULL, error);
}

/* Links on top of another one need a lower link: the bridge, which is tried before. */
static bool make_upper(struct hostnet *net, const char *name, const char *kind, int attribute, uint32_t value,
                       size_t size, GError **error)
{
    g_autoptr(hostnet_link) lower = hostnet_link_find(net, "probe-br", NULL);
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
    hostnet_auto_batch batch = {};
    struct nl_msg *message =
        hostnet_batch_add(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header);
    hostnet_put_string(message, IFLA_IFNAME, name);
    hostnet_put_u32(message, IFLA_LINK, lower ? lower->index : LOOPBACK_INDEX);
    struct nlattr *info = hostnet_nest_begin(message, IFLA_LINKINFO);
    hostnet_put_string(message, IFLA_INFO_KIND, kind);
    struct nlattr *data = hostnet_nest_begin(message, IFLA_INFO_DATA);
    hostnet_put(message, attribute, &value, size); /* little endian */
    hostnet_nest_end(message, data);
    hostnet_nest_end(message, info);
    return hostnet_batch_do(net, &batch, error, "this kernel has no such links", "creating a %s link", kind);
}

static bool try_vlan(struct hostnet *net, GError **error)
{
    return make_upper(net, "probe-vlan", "vlan", IFLA_VLAN_ID, 2, 2, error);
}

static bool try_macvlan(struct hostnet *net, GError **error)
{
    return make_upper(net, "probe-mac", "macvlan", IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE, 4, error);
}

static bool try_altname(struct hostnet *net, GError **error)
{
    return hostnet_link_add_altname(net, LOOPBACK_INDEX, "probe-alternative-name", error);
}

static bool try_ipv6(struct hostnet *net, GError **error)
{
    struct hostnet_link_address address = {.index = LOOPBACK_INDEX};
    return hostnet_prefix_parse("fd00::1/128", false, &address.local, error) &&
           hostnet_address_add(net, &address, error);
}

static bool try_qdisc(struct hostnet *net, const char *kind, uint32_t parent, const void *options,
                      size_t length, const char *hint, GError **error)
{
    struct tcmsg header = {.tcm_family = AF_UNSPEC, .tcm_ifindex = LOOPBACK_INDEX, .tcm_parent = parent};
    hostnet_auto_batch batch = {};
    struct nl_msg *message =
        hostnet_batch_add(&batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof header);
    hostnet_put_string(message, TCA_KIND, kind);
    if (length)
        hostnet_put(message, TCA_OPTIONS, options, length);
    return hostnet_batch_do(net, &batch, error, hint, "adding a %s queueing discipline", kind);
}

static bool try_netem(struct hostnet *net, GError **error)
{
    struct tc_netem_qopt options = {.latency = 1000, .limit = 100};
    return try_qdisc(net, "netem", TC_H_ROOT, &options, sizeof options,
                     "this kernel was built without sch_netem; delay and loss are then made by the emulator",
                     error);
}

static bool try_tbf(struct hostnet *net, GError **error)
{
    struct {
        struct nlattr header;
        struct tc_tbf_qopt qopt;
    } options = {
        .header = {.nla_len = sizeof options, .nla_type = TCA_TBF_PARMS},
        /* A rate that needs no table: cell_log says that there is none, linklayer Ethernet. */
        .qopt = {.rate = {.rate = 125000, .linklayer = 1}, .limit = 10000, .buffer = 10000},
    };
    return try_qdisc(net, "tbf", TC_H_ROOT, &options, sizeof options, "this kernel was built without sch_tbf",
                     error);
}

static bool try_ingress(struct hostnet *net, GError **error)
{
    return try_qdisc(net, "clsact", TC_H_CLSACT, NULL, 0, "this kernel was built without sch_ingress", error);
}

static bool try_tap_with(struct hostnet *net, const char *name, bool vnet_hdr, GError **error)
{
    struct hostnet_tap_spec spec = {.link = {.name = name, .mark = PROBE_MARK}, .vnet_hdr = vnet_hdr};
    hostnet_autofd fd = hostnet_tap_create(net, &spec, NULL, error);
    return fd >= 0;
}

static bool try_tap(struct hostnet *net, GError **error)
{
    return try_tap_with(net, "probe-tap", false, error);
}

static bool try_tap_vnet_hdr(struct hostnet *net, GError **error)
{
    return try_tap_with(net, "probe-vtap", true, error);
}

static bool try_nftables(struct hostnet *net, GError **error)
{
    static const char hint[] = "this kernel was built without nf_tables";
    hostnet_autofd fd = hostnet_socket_open(net, NETLINK_NETFILTER, error);
    if (fd < 0)
        return false;
    struct {
        struct nlmsghdr header;
        struct nfgenmsg generation;
    } request = {
        .header = {.nlmsg_len = sizeof request,
                   .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                   .nlmsg_flags = NLM_F_REQUEST,
                   .nlmsg_seq = 1},
        .generation = {.version = NFNETLINK_V0},
    };
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    union {
        struct nlmsghdr header;
        char bytes[4096];
    } answer;
    struct timeval patience = {.tv_sec = 5};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t length = -1;
    if (sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) == sizeof request)
        length = recv(fd, &answer, sizeof answer, 0);
    if (length < 0)
        return hostnet_error_set(error, errno, NULL, hint, "asking for nf_tables");
    if (nlmsg_ok(&answer.header, (int)length) && answer.header.nlmsg_type == NLMSG_ERROR)
        return hostnet_error_set_code(error, HOSTNET_ERROR_UNSUPPORTED,
                                      -((struct nlmsgerr *)nlmsg_data(&answer.header))->error, NULL, hint,
                                      "asking for nf_tables");
    return true;
}

/* ---- the table ---- */

static const struct {
    const char *name, *description;
    try_function try; /* NULL: found out otherwise (see below) */
} features[] = {
    [HOSTNET_FEATURE_NET_ADMIN] = {"net-admin", "changing this network namespace (CAP_NET_ADMIN)", NULL},
    [HOSTNET_FEATURE_NET_NAMESPACE] = {"net-namespace", "network namespaces with privilege (CAP_SYS_ADMIN)",
                                       NULL},
    [HOSTNET_FEATURE_USER_NAMESPACE] = {"user-namespace", "rootless labs (user namespaces)", NULL},
    [HOSTNET_FEATURE_TUN_DEVICE] = {"tun-device", "opening /dev/net/tun", NULL},
    [HOSTNET_FEATURE_TAP] = {"tap", "TAP interfaces (tun driver)", try_tap},
    [HOSTNET_FEATURE_TAP_VNET_HDR] = {"tap-vnet-hdr", "offloads on TAPs (vnet_hdr)", try_tap_vnet_hdr},
    [HOSTNET_FEATURE_BRIDGE] = {"bridge", "bridges", try_bridge},
    [HOSTNET_FEATURE_BRIDGE_VLAN] = {"bridge-vlan", "VLAN filtering in bridges", try_bridge_vlan},
    [HOSTNET_FEATURE_VETH] = {"veth", "veth pairs", try_veth},
    [HOSTNET_FEATURE_DUMMY] = {"dummy", "dummy links", try_dummy},
    [HOSTNET_FEATURE_VLAN] = {"vlan", "802.1Q links", try_vlan},
    [HOSTNET_FEATURE_MACVLAN] = {"macvlan", "macvlan links", try_macvlan},
    [HOSTNET_FEATURE_ALTNAME] = {"altname", "alternative names of links", try_altname},
    [HOSTNET_FEATURE_IPV6] = {"ipv6", "IPv6", try_ipv6},
    [HOSTNET_FEATURE_NETEM] = {"netem", "delay and loss in the kernel (sch_netem)", try_netem},
    [HOSTNET_FEATURE_TBF] = {"tbf", "rate limits in the kernel (sch_tbf)", try_tbf},
    [HOSTNET_FEATURE_INGRESS] = {"ingress", "filters on incoming frames (clsact)", try_ingress},
    [HOSTNET_FEATURE_NFTABLES] = {"nftables", "NAT and packet filters (nf_tables)", try_nftables},
};
static_assert(G_N_ELEMENTS(features) == HOSTNET_FEATURE_COUNT, "every feature has a row");

const char *hostnet_feature_name(enum hostnet_feature feature)
{
    return (unsigned)feature < HOSTNET_FEATURE_COUNT ? features[feature].name : "unknown";
}

const char *hostnet_feature_description(enum hostnet_feature feature)
{
    return (unsigned)feature < HOSTNET_FEATURE_COUNT ? features[feature].description : "unknown";
}

static void note(struct hostnet_probe *probe, enum hostnet_feature feature, bool works, const GError *reason)
{
    int code = !works && reason && reason->domain == HOSTNET_ERROR ? reason->code : HOSTNET_ERROR_UNSUPPORTED;
    probe->features[feature].works = works;
    /* "No such queueing discipline" is the kernel's way of saying that it was built without it. */
    probe->features[feature].code =
        code == HOSTNET_ERROR_NOT_FOUND ? HOSTNET_ERROR_UNSUPPORTED : (enum hostnet_error)code;
    g_strlcpy(probe->features[feature].reason,
              works    ? ""
              : reason ? reason->message
                       : "not tried",
              sizeof probe->features[feature].reason);
}

static void attempt(struct hostnet_probe *probe, struct hostnet *net, enum hostnet_feature feature)
{
    g_autoptr(GError) refusal = NULL;
    bool works = features[feature].try(net, &refusal);
    note(probe, feature, works, refusal);
}

/* ---- children ---- */

/* In the child: the namespaces' own row, then everything inside. Sends the table and ends. */
static G_NORETURN void probe_in_child(int pipe_fd, enum hostnet_feature way)
{
    /* The program's signal handlers are not for this process; its own end is. */
    sigset_t others;
    sigfillset(&others);
    sigdelset(&others, SIGALRM);
    signal(SIGALRM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &others, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(CHILD_SECONDS);
    struct hostnet_probe probe = {};
    g_autoptr(GError) refusal = NULL;
    unsigned flags =
        HOSTNET_NAMESPACE_NET | (way == HOSTNET_FEATURE_USER_NAMESPACE ? HOSTNET_NAMESPACE_USER : 0u);
    bool works = hostnet_namespace_unshare(flags, &refusal);
    struct hostnet *net = works ? hostnet_open(&refusal) : NULL;
    note(&probe, way, net != NULL, refusal);
    for (unsigned i = 0; net && i < HOSTNET_FEATURE_COUNT; i++)
        if (features[i].try)
            attempt(&probe, net, (enum hostnet_feature)i);
    const char *at = (const char *)&probe;
    for (size_t left = sizeof probe; left > 0;) {
        ssize_t written = write(pipe_fd, at, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        at += written;
        left -= (size_t)written;
    }
    _exit(0);
}

/* Runs a child and takes its table. */
static bool run_child(enum hostnet_feature way, struct hostnet_probe *answer, GError **error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return hostnet_error_set(error, errno, NULL, NULL, "probing the kernel");
    hostnet_autofd hear = ends[0], say = ends[1];
    pid_t child = fork();
    if (child == 0)
        probe_in_child(say, way);
    if (child < 0)
        return hostnet_error_set(error, errno, NULL, "raise the limit on processes", "probing the kernel");
    hostnet_fd_clear(&say);
    char *at = (char *)answer;
    size_t left = sizeof *answer;
    while (left > 0) {
        ssize_t got = read(hear, at, left);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        at += got;
        left -= (size_t)got;
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (left > 0)
        return hostnet_error_say(
            error, HOSTNET_ERROR_KERNEL, "probing the kernel: the probe %s; look at `dmesg`",
            WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "got no answer in time" : "ended early");
    return true;
}

/* ---- in the caller's own namespace: nothing is changed there ---- */

static bool try_net_admin(GError **error)
{
    g_autoptr(hostnet) net = hostnet_open(error);
    if (!net)
        return false;
    uint32_t index = hostnet_index_choose(net, error);
    if (!index)
        return false;
    /* A change of nothing to a link that does not exist: the capability is checked first. */
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    hostnet_auto_batch batch = {};
    hostnet_batch_add(&batch, RTM_SETLINK, 0, &header, sizeof header);
    hostnet_batch_tolerate(&batch, ENODEV);
    return hostnet_batch_do(net, &batch, error, NULL, "changing this network namespace");
}

static bool try_tun_device(GError **error)
{
    hostnet_autofd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        return true;
    if (errno == EACCES || errno == EPERM)
        return hostnet_error_set(
            error, errno, NULL,
            "this user may not; its usual mode is 0666: `chmod 0666 /dev/net/tun` as root",
            "opening /dev/net/tun");
    return hostnet_error_set_code(error, HOSTNET_ERROR_NO_TUN, errno, NULL, NULL, "opening /dev/net/tun");
}

bool hostnet_probe_run(struct hostnet_probe *probe, GError **error)
{
    struct hostnet_probe plain, rootless;
    if (!run_child(HOSTNET_FEATURE_NET_NAMESPACE, &plain, error) ||
        !run_child(HOSTNET_FEATURE_USER_NAMESPACE, &rootless, error))
        return false;
    bool is_plain = plain.features[HOSTNET_FEATURE_NET_NAMESPACE].works;
    struct hostnet_probe result = is_plain ? plain : rootless;
    result.features[HOSTNET_FEATURE_NET_NAMESPACE] = plain.features[HOSTNET_FEATURE_NET_NAMESPACE];
    result.features[HOSTNET_FEATURE_USER_NAMESPACE] = rootless.features[HOSTNET_FEATURE_USER_NAMESPACE];
    g_autoptr(GError) no_admin = NULL;
    bool is_admin = try_net_admin(&no_admin);
    note(&result, HOSTNET_FEATURE_NET_ADMIN, is_admin, no_admin);
    g_autoptr(GError) no_device = NULL;
    bool has_device = try_tun_device(&no_device);
    note(&result, HOSTNET_FEATURE_TUN_DEVICE, has_device, no_device);
    for (unsigned i = 0; i < HOSTNET_FEATURE_COUNT; i++)
        if (!result.features[i].works && !result.features[i].reason[0]) {
            result.features[i].code = HOSTNET_ERROR_PERMISSION;
            g_strlcpy(result.features[i].reason,
                      "no namespace could be made to try it in (run as root, or allow user namespaces)",
                      sizeof result.features[i].reason);
        }
    *probe = result;
    return true;
}

bool hostnet_probe_require(const struct hostnet_probe *probe, enum hostnet_feature feature, GError **error)
{
    if (probe->features[feature].works)
        return true;
    return hostnet_error_say(error, probe->features[feature].code, "%s: not to be had here: %s",
                             features[feature].description, probe->features[feature].reason);
}
