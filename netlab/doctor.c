/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The examinations, as rows: a name and a function that says what it found. See doctor.h.
 *
 * What the kernel and this user can do is tried by hostnet_probe_run(); its features are rows of their own
 * (features[]), with what a lab loses without them. All else is read from /proc, /run and the file system.
 */
#include "netlab/doctor.h"
#include "hostnet/nat.h"
#include "hostnet/probe.h"
#include "netlab/image.h"
#include "netlab/limits.h"
#include "netlab/paths.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct doctor {
    const struct lab_place *place;
    struct hostnet_probe probe;
    GPtrArray *findings;
};

static void finding_free(void *data)
{
    struct doctor_finding *finding = data;
    g_free(finding->text);
    g_free(finding->remedy);
    g_free(finding);
}

/* `remedy` may be NULL; both are copied. */
static void say(struct doctor *d, const char *name, enum doctor_verdict verdict, const char *text,
                const char *remedy)
{
    struct doctor_finding *finding = g_new0(struct doctor_finding, 1);
    *finding = (struct doctor_finding){
        .name = name, .verdict = verdict, .text = g_strdup(text), .remedy = g_strdup(remedy)};
    g_ptr_array_add(d->findings, finding);
}

/* ---- what the kernel and this user can do ---- */

/* What a lab cannot have without it, and what to do. Features that are not here are for netlab's own use. */
static const struct {
    enum hostnet_feature feature;
    enum doctor_verdict without;
    const char *loss, *remedy;
} features[] = {
    {HOSTNET_FEATURE_TUN_DEVICE, DOCTOR_BAD, "machines have no NICs",
     "modprobe tun; and for users who are not root: chmod 0666 /dev/net/tun"},
    {HOSTNET_FEATURE_TAP, DOCTOR_BAD, "machines have no NICs", "modprobe tun, or a kernel with CONFIG_TUN"},
    {HOSTNET_FEATURE_TAP_VNET_HDR, DOCTOR_NOTE, "bulk transfers between guests are slower", NULL},
    {HOSTNET_FEATURE_BRIDGE, DOCTOR_BAD, "there are no networks",
     "modprobe bridge, or a kernel with CONFIG_BRIDGE"},
    {HOSTNET_FEATURE_ALTNAME, DOCTOR_NOTE, "`ip link` shows no human names (the alias does)",
     "Linux 5.5 or newer"},
    {HOSTNET_FEATURE_IPV6, DOCTOR_NOTE, "no IPv6 on the host's side of labs",
     "boot without ipv6.disable=1, or a kernel with CONFIG_IPV6"},
    {HOSTNET_FEATURE_VETH, DOCTOR_NOTE, "no connection from the host's namespace into a lab's",
     "modprobe veth"},
    {HOSTNET_FEATURE_NFTABLES, DOCTOR_NOTE, "no `uplink: nat`; `uplink: user` works without",
     "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES"},
    {HOSTNET_FEATURE_BRIDGE_VLAN, DOCTOR_NOTE, "no VLANs in one bridge; use one network for each VLAN",
     "a kernel with CONFIG_BRIDGE_VLAN_FILTERING"},
    {HOSTNET_FEATURE_VLAN, DOCTOR_NOTE, "no 802.1Q links on the host's side; guests can have their own",
     "modprobe 8021q"},
    {HOSTNET_FEATURE_NETEM, DOCTOR_NOTE, "delay and loss by the kernel are not to be had",
     "modprobe sch_netem"},
};

static void examine_features(struct doctor *d)
{
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        enum hostnet_feature feature = features[i].feature;
        const char *name = hostnet_feature_name(feature);
        if (d->probe.features[feature].works) {
            say(d, name, DOCTOR_GOOD, hostnet_feature_description(feature), NULL);
            continue;
        }
        g_autofree char *text =
            g_strdup_printf("%s: %s. Without it: %s", hostnet_feature_description(feature),
                            d->probe.features[feature].reason, features[i].loss);
        say(d, name, features[i].without, text, features[i].remedy);
    }
}

static char *read_sysctl(const char *path)
{
    g_autofree char *full = g_build_filename("/proc/sys", path, NULL);
    char *text = NULL;
    return g_file_get_contents(full, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}

static bool sysctl_is(const char *path, const char *value)
{
    g_autofree char *text = read_sysctl(path);
    return g_strcmp0(text, value) == 0;
}

/* Whether labs come up with root's rights, rootless, or not at all. */
static void examine_namespaces(struct doctor *d)
{
    bool root = d->probe.features[HOSTNET_FEATURE_NET_NAMESPACE].works,
         rootless = d->probe.features[HOSTNET_FEATURE_USER_NAMESPACE].works;
    const char *why = d->probe.features[HOSTNET_FEATURE_USER_NAMESPACE].reason;
    const char *remedy =
        sysctl_is("user/max_user_namespaces", "0")           ? "sysctl -w user.max_user_namespaces=15000"
        : sysctl_is("kernel/unprivileged_userns_clone", "0") ? "sysctl -w kernel.unprivileged_userns_clone=1"
        : sysctl_is("kernel/apparmor_restrict_unprivileged_userns", "1")
            ? "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile "
              "with `userns,` for netlab"
            : "a kernel with CONFIG_USER_NS; in a container: allow it user namespaces";
    if (root)
        say(d, "privileged", DOCTOR_GOOD, "labs in network namespaces with this user's own rights", NULL);
    else
        say(d, "privileged", rootless ? DOCTOR_NOTE : DOCTOR_BAD,
            "without root's rights labs are rootless; `--here`, `uplink: NIC` and `uplink: nat` need root",
            "run netlab by sudo where a lab needs one of these");
    if (rootless) {
        say(d, "rootless", DOCTOR_GOOD, "labs in user namespaces, without root's rights", NULL);
        return;
    }
    g_autofree char *text = g_strdup_printf("no user namespaces: %s", why);
    say(d, "rootless", root ? DOCTOR_NOTE : DOCTOR_BAD, text, remedy);
}

/* ---- sysctls and firewalls that a lab in the host's namespace meets ---- */

static void examine_sysctls(struct doctor *d)
{
    g_autofree char *forward = read_sysctl("net/ipv4/ip_forward"),
                    *filter = read_sysctl("net/ipv4/conf/all/rp_filter"),
                    *nf = read_sysctl("net/bridge/bridge-nf-call-iptables"),
                    *ping = read_sysctl("net/ipv4/ping_group_range"), *maps = read_sysctl("vm/max_map_count");
    long low = 1, high = 0, count = maps ? atol(maps) : 65530;
    if (g_strcmp0(nf, "1") == 0)
        say(d, "br-netfilter", DOCTOR_NOTE,
            "frames in bridges of this namespace pass the host's packet filter; labs of their own namespace "
            "do not",
            "for labs with --here or an uplink: sysctl -w net.bridge.bridge-nf-call-iptables=0");
    else
        say(d, "br-netfilter", DOCTOR_GOOD, "bridges do not pass frames to the packet filter", NULL);
    if (g_strcmp0(forward, "1") == 0)
        say(d, "ip-forward", DOCTOR_GOOD, "this host forwards IPv4", NULL);
    else
        say(d, "ip-forward", DOCTOR_GOOD,
            "this host does not forward IPv4; a lab with `uplink: nat` switches it on and back again", NULL);
    if (g_strcmp0(filter, "1") == 0)
        say(d, "rp-filter", DOCTOR_NOTE,
            "packets that come by another way than answers would go are dropped (rp_filter 1)",
            "where a lab with --here has two ways to the host: sysctl -w net.ipv4.conf.all.rp_filter=2");
    else
        say(d, "rp-filter", DOCTOR_GOOD, "reverse path filter is off or loose", NULL);
    if (ping && sscanf(ping, "%ld %ld", &low, &high) == 2 && low <= (long)getegid() &&
        (long)getegid() <= high)
        say(d, "ping", DOCTOR_GOOD, "guests in user networking can ping the world (ping sockets)", NULL);
    else
        say(d, "ping", DOCTOR_NOTE, "guests in user networking cannot ping beyond the gateway",
            "sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"");
    g_autofree char *text = g_strdup_printf("a process may have %ld mappings (vm.max_map_count)", count);
    say(d, "max-map-count", count < 65530 ? DOCTOR_NOTE : DOCTOR_GOOD, text,
        count < 65530 ? "sysctl -w vm.max_map_count=65530" : NULL);
}

static void examine_forward_policy(struct doctor *d)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(hostnet) net = hostnet_open(&error);
    g_autoptr(GPtrArray) obstacles = net ? hostnet_nat_find_obstacles(net, &error) : NULL;
    if (!obstacles) {
        g_autofree char *text = g_strdup_printf("the packet filter cannot be looked at: %s",
                                                error ? error->message : "unknown reason");
        say(d, "forward-policy", DOCTOR_NOTE, text, geteuid() ? "look as root: sudo netlab doctor" : NULL);
        return;
    }
    if (!obstacles->len)
        say(d, "forward-policy", DOCTOR_GOOD, "no packet filter drops what this host forwards", NULL);
    for (guint i = 0; i < obstacles->len; i++)
        say(d, "forward-policy", DOCTOR_NOTE, obstacles->pdata[i], NULL);
}

/* ---- who else manages networks here ---- */

static void examine_managers(struct doctor *d)
{
    static const struct {
        const char *name, *path;
    } managers[] = {
        {"NetworkManager", "/run/NetworkManager"},
        {"systemd-networkd", "/run/systemd/netif/state"},
    };
    bool has_any = false;
    for (size_t i = 0; i < G_N_ELEMENTS(managers); i++) {
        if (access(managers[i].path, F_OK) != 0)
            continue;
        g_autofree char *text =
            g_strdup_printf("%s runs; labs keep their links on this host from it", managers[i].name);
        say(d, "manager", DOCTOR_GOOD, text, NULL);
        has_any = true;
    }
    if (!has_any)
        say(d, "manager", DOCTOR_GOOD, "neither NetworkManager nor systemd-networkd takes hold of links",
            NULL);
}

/* ---- programs and files ---- */

static void examine_programs(struct doctor *d)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *emulator = paths_emulator(&error);
    say(d, "emulator", emulator ? DOCTOR_GOOD : DOCTOR_BAD, emulator ? emulator : error->message, NULL);
    static const struct {
        const char *name, *file, *good, *loss, *remedy;
    } files[] = {
        {"seabios", "/usr/share/seabios/bios-256k.bin", "machines boot from disks and CDs (SeaBIOS)",
         "machines boot kernels only, not from disks, CDs or the network", "apt install seabios"},
        {"samba", "/usr/sbin/smbd", "user networking can share a folder (smb=)",
         "user networking shares no folders", "apt install samba"},
    };
    g_autofree char *dnsmasq = paths_dnsmasq(NULL);
    say(d, "dnsmasq", dnsmasq ? DOCTOR_GOOD : DOCTOR_NOTE,
        dnsmasq ? "networks can serve addresses and names (dhcp: true)"
                : "no dnsmasq, so networks cannot serve addresses and names (dhcp: true)",
        dnsmasq ? NULL : "apt install dnsmasq-base");
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        bool is_there = access(files[i].file, R_OK) == 0;
        say(d, files[i].name, is_there ? DOCTOR_GOOD : DOCTOR_NOTE, is_there ? files[i].good : files[i].loss,
            is_there ? NULL : files[i].remedy);
    }
    static const struct {
        const char *name, *library, *good, *loss, *remedy;
    } libraries[] = {
        {"vnc", "libvncserver.so.1", "machines can show their screen by VNC", "no screens by VNC",
         "apt install libvncserver1"},
        {"sdl", "libSDL2-2.0.so.0", "machines can show their screen in a window", "no screens in windows",
         "apt install libsdl2-2.0-0"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(libraries); i++) {
        void *library = dlopen(libraries[i].library, RTLD_LAZY | RTLD_LOCAL);
        say(d, libraries[i].name, library ? DOCTOR_GOOD : DOCTOR_NOTE,
            library ? libraries[i].good : libraries[i].loss, library ? NULL : libraries[i].remedy);
        if (library)
            dlclose(library);
    }
}

static void examine_images(struct doctor *d)
{
    g_autoptr(GError) error = NULL;
    struct image *image = image_find("mini", &error);
    if (image)
        say(d, "images", DOCTOR_GOOD, "guest image mini is there", NULL);
    else
        say(d, "images", DOCTOR_NOTE, "guest image mini, which nodes have that name none, is not there",
            "netlab image build mini");
    image_free(image);
}

/* The nearest folder above that exists. Owned by the caller. */
static char *existing_parent(const char *path)
{
    char *folder = g_strdup(path);
    while (access(folder, F_OK) != 0 && !g_str_equal(folder, "/")) {
        char *parent = g_path_get_dirname(folder);
        g_free(folder);
        folder = parent;
    }
    return folder;
}

static void examine_folder(struct doctor *d, const char *name, const char *path, const char *variable)
{
    enum { LEAST_MIB = 16 };
    g_autofree char *folder = existing_parent(path);
    struct statvfs space;
    g_autofree char *remedy = NULL, *text = NULL;
    if (access(folder, W_OK | X_OK) != 0) {
        text = g_strdup_printf("%s cannot be written: %s", folder, g_strerror(errno));
        remedy = g_strdup_printf("correct its owner and mode, or set %s", variable);
        say(d, name, DOCTOR_BAD, text, remedy);
        return;
    }
    guint64 mib = statvfs(folder, &space) == 0 ? (guint64)space.f_bavail * space.f_frsize >> 20 : 0;
    text = g_strdup_printf("%s, %" G_GUINT64_FORMAT " MiB free", path, mib);
    remedy = g_strdup_printf("make room there, or set %s", variable);
    say(d, name, mib < LEAST_MIB ? DOCTOR_BAD : DOCTOR_GOOD, text, mib < LEAST_MIB ? remedy : NULL);
}

static void examine_store(struct doctor *d)
{
    g_autofree char *path = g_build_filename(d->place->state, "netlab.db", NULL);
    g_autoptr(GError) error = NULL;
    if (access(path, F_OK) != 0) {
        say(d, "store", DOCTOR_GOOD, "there is none yet; the first `netlab up` makes it", NULL);
        return;
    }
    g_autoptr(store) store = store_open(d->place->state, &error);
    bool good = store && store_check(store, &error);
    say(d, "store", good ? DOCTOR_GOOD : DOCTOR_BAD, good ? path : error->message, NULL);
}

/* ---- memory and limits ---- */

static void examine_memory(struct doctor *d)
{
    enum { MACHINE_MIB = 96, LEAST_MIB = 256 };
    guint64 mib = limits_free_memory();
    g_autofree char *text =
        g_strdup_printf("%" G_GUINT64_FORMAT " MiB available: some %" G_GUINT64_FORMAT " machines of %d MiB",
                        mib, mib / MACHINE_MIB, MACHINE_MIB);
    say(d, "memory", mib < LEAST_MIB ? DOCTOR_NOTE : DOCTOR_GOOD, text,
        mib < LEAST_MIB ? "end other programs, or give machines less (memory:)" : NULL);
}

static void examine_limits(struct doctor *d)
{
    enum { LEAST_FILES = 4096, LEAST_PROCESSES = 256 };
    struct rlimit files = {0}, processes = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NPROC, &processes);
    g_autofree char *text = g_strdup_printf("%llu open files, ", (unsigned long long)files.rlim_max);
    g_autofree char *all =
        processes.rlim_cur == RLIM_INFINITY
            ? g_strconcat(text, "any number of processes", NULL)
            : g_strdup_printf("%s%llu processes", text, (unsigned long long)processes.rlim_cur);
    bool few = files.rlim_max < LEAST_FILES || processes.rlim_cur < LEAST_PROCESSES;
    say(d, "limits", few ? DOCTOR_NOTE : DOCTOR_GOOD, all,
        few ? "for large labs: ulimit -n 4096 and ulimit -u 4096 (in /etc/security/limits.conf: nofile, "
              "nproc)"
            : NULL);
}

/* Limits of students' copies. */
static void examine_copy_limits(struct doctor *d)
{
    g_autofree char *why = NULL;
    g_autofree char *group = limits_find_group(false, &why);
    g_autofree char *text =
        group ? g_strdup_printf("copies of a class can have control groups below %s", group)
              : g_strdup_printf(
                    "copies of a class (`netlab up --for`) have no control groups (%s): a limit on CPU "
                    "is a lower priority, one on memory is kept by what machines are given",
                    why);
    say(d, "copy-limits", group ? DOCTOR_GOOD : DOCTOR_NOTE, text,
        group ? NULL : "with systemd: systemd-run --user --scope -p Delegate=yes netlab up … --for …");
}

GPtrArray *doctor_examine(const struct lab_place *place)
{
    struct doctor d = {.place = place, .findings = g_ptr_array_new_with_free_func(finding_free)};
    g_autoptr(GError) error = NULL;
    if (hostnet_probe_run(&d.probe, &error)) {
        examine_namespaces(&d);
        examine_features(&d);
    } else {
        say(&d, "probe", DOCTOR_BAD, error->message, NULL);
    }
    examine_programs(&d);
    examine_images(&d);
    examine_folder(&d, "state", place->state, "NETLAB_STATE_DIR");
    examine_folder(&d, "runtime", place->runtime, "NETLAB_RUNTIME_DIR");
    examine_store(&d);
    examine_memory(&d);
    examine_limits(&d);
    examine_copy_limits(&d);
    examine_sysctls(&d);
    examine_forward_policy(&d);
    examine_managers(&d);
    return d.findings;
}
