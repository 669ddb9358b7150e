/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The table of operations; see operations.h.
 *
 * Identities: bridges and TAPs get theirs planned (hostnet_identity_plan picks an unused index) and committed
 * with the intent, before they are created with exactly that index, so even a create that we did not live to
 * see the end of is told apart from somebody else's link. Machines and supervisors wait at a gate until
 * theirs is committed. Folders are named by the lab, which the lock makes ours.
 *
 * A new kind of object is a row in operations[], and one in objects.c for its name.
 */
#include "netlab/operations.h"
#include "netlab/caller.h"
#include "hostnet/address.h"
#include "hostnet/bridge.h"
#include "hostnet/namespace.h"
#include "hostnet/tap.h"
#include "netlab/fault.h"
#include "netlab/hosts.h"
#include "netlab/line.h"
#include "netlab/nat.h"
#include "netlab/limits.h"
#include "netlab/paths.h"
#include "netlab/spawn.h"
#include "netlab/unmanaged.h"
#include "netlab/uplink.h"

#include <assert.h>
#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <linux/if_addr.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MACHINE_GRACE_MS = 1000,
    SUPERVISOR_GRACE_MS = 3000,
    LINK_GROUP = 256,     /* lost work when one fails is at most this many links */
    MACHINE_GROUP = 32,   /* each holds some ten fds while it waits at its gate */
    UNMAKE_GROUP = 65536, /* a whole lab */
};

typedef bool plan_function(struct operation_context *context, const char *key, const char *payload,
                           char **identity, GError **error);
typedef bool make_function(struct operation_context *context, const char *key, const char *payload,
                           const char *identity, GError **error);
typedef void *begin_function(struct operation_context *context, const char *key, const char *payload,
                             char **identity, GError **error);
typedef bool finish_function(struct operation_context *context, const char *key, void *begun, GError **error);
typedef void cancel_function(void *begun);
typedef bool unmake_function(struct operation_context *context, const struct store_object *object,
                             GError **error);
typedef char *describe_function(bool make, const char *key, const char *payload);

struct operation {
    /* Either `make`, with an identity that `plan` has chosen (NULL: none, or make records it itself); or in
     * two halves: `begin` holds it at a gate and says its identity, which is then committed, and `finish`
     * opens the gate, `cancel` does not. */
    plan_function *plan;
    make_function *make;
    begin_function *begin;
    finish_function *finish;
    cancel_function *cancel;
    unmake_function *unmake;
    describe_function *describe;
    unsigned group; /* how many may be made in one group of the journal */
};

static bool remember(struct operation_context *context, enum object_kind kind, const char *key,
                     const char *identity, GError **error)
{
    return store_set_identity(context->store, context->lab_id, object_kind_name(kind), key, identity, error);
}

/* ---- the lab's folder ---- */

static bool make_runtime(struct operation_context *context, const char *key, const char *payload,
                         const char *identity, GError **error)
{
    g_autofree char *directory = paths_lab_directory(context->runtime, context->lab);
    if (!caller_trust_folder(context->runtime, true, "NETLAB_RUNTIME_DIR", error))
        return false;
    /* Another lab's down may remove the common parent in between, when it was empty: a few attempts then. */
    for (int attempt = 0; attempt < 5; attempt++) {
        if (g_mkdir_with_parents(directory, context->user.change ? 0755 : 0700) == 0)
            return true;
        if (errno != ENOENT)
            break;
    }
    int cause = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause),
                "cannot make %s: %s; check the permissions, or set NETLAB_RUNTIME_DIR", directory,
                g_strerror(cause));
    return false;
}

static bool unmake_runtime(struct operation_context *context, const struct store_object *object,
                           GError **error)
{
    g_autofree char *directory = paths_lab_directory(context->runtime, context->lab);
    static const char *const files[] = {"supervisor.sock", "supervisor.log"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(directory, files[i], NULL);
        g_unlink(path);
    }
    if (g_rmdir(directory) != 0 && errno != ENOENT) {
        int cause = errno;
        if (g_access(directory, F_OK) != 0 && errno == ENOENT)
            return true; /* a read-only file system says EROFS of what is not there, too */
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause),
                    "cannot remove %s: %s; look what is in it", directory, g_strerror(cause));
        return false;
    }
    g_rmdir(context->runtime); /* only when no other lab is there */
    return true;
}

static char *describe_runtime(bool make, const char *key, const char *payload)
{
    return g_strdup_printf("%s the folder for sockets and logs", make ? "make" : "remove");
}

/* ---- the supervisor ---- */

static bool record_supervisor(const struct process_identity *identity, void *opaque, GError **error)
{
    g_autofree char *text = process_format(identity);
    return remember(opaque, OBJECT_SUPERVISOR, "", text, error);
}

/* The limits of a class's copy, which hold for its supervisor and what that starts. */
static bool set_limits(const struct operation_context *context, struct spawn_supervisor *spec, GError **error)
{
    GError *cause = NULL;
    g_autofree char *why = NULL;
    g_autoptr(store_class) class = store_find_class_of(context->store, context->lab, &cause);
    spec->group = -1;
    if (cause) {
        g_propagate_error(error, cause);
        return false;
    }
    if (!class || (!class->memory && !class->cpu))
        return true;
    if (*class->cgroup)
        spec->group = limits_open_group(class->cgroup, context->lab, class->memory, class->cpu, &why);
    spec->yields = spec->group < 0 && class->cpu;
    if (why && context->notes)
        g_ptr_array_add(context->notes, g_strdup_printf("no limits by control groups: %s", why));
    return true;
}

static bool make_supervisor(struct operation_context *context, const char *key, const char *payload,
                            const char *identity, GError **error)
{
    struct spawn_supervisor spec = {
        .lab = context->lab,
        .lab_id = context->lab_id,
        .state = context->state,
        .runtime = context->runtime,
        .is_rootless = context->is_rootless,
        .is_own_namespace = context->is_own_namespace,
        .owner = context->owner,
        .join = context->join,
    };
    bool good =
        set_limits(context, &spec, error) && spawn_supervisor(&spec, record_supervisor, context, error);
    if (spec.group >= 0)
        close(spec.group);
    return good;
}

static bool end_process(const struct store_object *object, unsigned grace_ms, GError **error)
{
    struct process_identity identity;
    /* No identity: the crash came before it was committed, so the gate never opened and nothing ran. */
    return !process_parse(object->identity, &identity) || process_end(&identity, grace_ms, error);
}

static bool unmake_supervisor(struct operation_context *context, const struct store_object *object,
                              GError **error)
{
    struct process_identity identity;
    if (context->is_supervisor && process_parse(object->identity, &identity) && identity.pid == getpid())
        return true; /* that is us; we end by ourselves when the rest is gone */
    return end_process(object, SUPERVISOR_GRACE_MS, error);
}

static char *describe_supervisor(bool make, const char *key, const char *payload)
{
    return g_strdup(make ? "start the supervisor in a network namespace of its own"
                         : "end the supervisor and its network namespace");
}

/* ---- links ---- */

static bool need_namespace(struct operation_context *context, GError **error)
{
    if (context->net)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "the lab's network namespace is not at hand; run `netlab down` and then `netlab up`");
    return false;
}

static bool plan_link(struct operation_context *context, char kind, const char *key, char **text,
                      GError **error)
{
    struct hostnet_link_identity identity;
    g_autofree char *name = names_interface(kind, context->owner, context->lab, key);
    g_autofree char *mark = hostnet_mark_format(context->lab, key, error);
    if (!mark || !need_namespace(context, error) ||
        !hostnet_identity_plan(context->net, name, mark, &identity, error))
        return false;
    *text = hostnet_identity_format(&identity);
    return true;
}

static bool plan_bridge(struct operation_context *context, const char *key, const char *payload,
                        char **identity, GError **error)
{
    return plan_link(context, 'b', key, identity, error);
}

static bool plan_tap(struct operation_context *context, const char *key, const char *payload, char **identity,
                     GError **error)
{
    return plan_link(context, 't', key, identity, error);
}

static bool unmake_link(struct operation_context *context, const struct store_object *object, GError **error)
{
    struct hostnet_link_identity identity;
    if (!*object->identity || !hostnet_identity_parse(object->identity, &identity, NULL))
        return true; /* nothing was asked of the kernel yet */
    /* Its own namespace: gone with it, or going with it. */
    if (!context->net || identity.netns != hostnet_get_netns_cookie(context->net) ||
        (context->is_dying && context->is_own_namespace))
        return context->is_own_namespace || need_namespace(context, error);
    return operation_delete_link(context->net, &identity, error);
}

static bool make_bridge(struct operation_context *context, const char *key, const char *payload,
                        const char *planned, GError **error)
{
    struct hostnet_link_identity identity;
    if (!hostnet_identity_parse(planned, &identity, error))
        return false;
    g_autofree char *altname = names_alternative(context->lab, key, context->is_own_namespace);
    fault_point();
    struct hostnet_bridge_spec spec = {
        .link = {.name = identity.name,
                 .mark = identity.mark,
                 .altname = strlen(altname) <= HOSTNET_ALTNAME_MAX ? altname : NULL,
                 .index = identity.index,
                 .mtu = (uint32_t)payload_number(payload, "mtu"),
                 /* In a namespace of its own it goes with that, in the kernel's own time: deleting a bridge
                    means waiting some ten milliseconds, in a group too. */
                 .group = context->is_own_namespace ? 0 : names_group(context->owner, context->lab),
                 .up = true,
                 .no_ipv6_address = payload_number(payload, "host") == 0},
    };
    return hostnet_bridge_create(context->net, &spec, NULL, error);
}

static char *describe_bridge(bool make, const char *key, const char *payload)
{
    g_autofree char *kind = payload_string(payload, "kind");
    bool is_link = g_strcmp0(kind, "link") == 0;
    return g_strdup_printf("%s %s %s (bridge, MTU %" G_GINT64_FORMAT ")", make ? "create" : "remove",
                           is_link ? "link" : "network", key, payload_number(payload, "mtu"));
}

/* The index of a network's bridge as the store knows it; 0 with an error when it is not there. */
static uint32_t bridge_index(struct operation_context *context, const char *network, GError **error)
{
    g_autoptr(store_object) bridge =
        store_find_object(context->store, context->lab_id, object_kind_name(OBJECT_BRIDGE), network, error);
    struct hostnet_link_identity identity;
    if (!bridge) {
        if (error && !*error)
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "network %s is not there", network);
        return 0;
    }
    return hostnet_identity_parse(bridge->identity, &identity, error) ? identity.index : 0;
}

static bool fill_address(struct operation_context *context, const char *key, const char *payload,
                         struct hostnet_link_address *address, GError **error)
{
    g_autofree char *text = payload_string(payload, "address"), *network = payload_string(payload, "network");
    address->index = bridge_index(context, network ? network : key, error);
    address->default_broadcast = text && !strchr(text, ':');
    address->flags = text && strchr(text, ':') ? IFA_F_NODAD : 0; /* usable at once */
    return address->index && hostnet_prefix_parse(text ? text : "", false, &address->local, error);
}

static bool make_address(struct operation_context *context, const char *key, const char *payload,
                         const char *identity, GError **error)
{
    struct hostnet_link_address address = {0};
    return need_namespace(context, error) && fill_address(context, key, payload, &address, error) &&
           hostnet_address_add(context->net, &address, error);
}

static bool unmake_address(struct operation_context *context, const struct store_object *object,
                           GError **error)
{
    struct hostnet_link_address address = {0};
    if (!context->net || (context->is_dying && context->is_own_namespace))
        return true;
    g_autofree char *network = payload_string(object->payload, "network");
    g_autoptr(store_object) bridge =
        store_find_object(context->store, context->lab_id, object_kind_name(OBJECT_BRIDGE),
                          network ? network : object->key, NULL);
    struct hostnet_link_identity identity;
    enum hostnet_presence presence = HOSTNET_ABSENT;
    /* An address goes with its bridge; if that is not ours any more, it is not our address either. */
    if (!bridge || !hostnet_identity_parse(bridge->identity, &identity, NULL) ||
        !hostnet_link_check(context->net, &identity, &presence, NULL, NULL) || presence != HOSTNET_PRESENT)
        return true;
    return fill_address(context, object->key, object->payload, &address, error) &&
           hostnet_address_remove(context->net, &address, error);
}

static char *describe_address(bool make, const char *key, const char *payload)
{
    g_autofree char *address = payload_string(payload, "address"),
                    *network = payload_string(payload, "network");
    return g_strdup_printf("%s the lab's own address %s on network %s", make ? "add" : "remove", address,
                           network ? network : key);
}

static bool make_nat(struct operation_context *context, const char *key, const char *payload,
                     const char *identity, GError **error)
{
    uint32_t bridge = need_namespace(context, error) ? bridge_index(context, key, error) : 0;
    return bridge && nat_make(context, key, payload, identity, bridge, error);
}

static bool make_uplink(struct operation_context *context, const char *key, const char *payload,
                        const char *identity, GError **error)
{
    uint32_t bridge = need_namespace(context, error) ? bridge_index(context, key, error) : 0;
    return bridge && uplink_make(context, key, payload, identity, bridge, error);
}

static bool make_tap(struct operation_context *context, const char *key, const char *payload,
                     const char *planned, GError **error)
{
    struct hostnet_link_identity identity;
    g_autofree char *network = payload_string(payload, "network");
    uint32_t master = bridge_index(context, network ? network : "", error);
    if (!master || !hostnet_identity_parse(planned, &identity, error))
        return false;
    g_autofree char *altname = names_alternative(context->lab, key, context->is_own_namespace);
    fault_point();
    struct hostnet_tap_spec spec = {
        .link = {.name = identity.name,
                 .mark = identity.mark,
                 .altname = strlen(altname) <= HOSTNET_ALTNAME_MAX ? altname : NULL,
                 .index = identity.index,
                 .mtu = (uint32_t)payload_number(payload, "mtu"),
                 .master = master,
                 .group = names_group(context->owner, context->lab),
                 .up = true,
                 .no_ipv6_address = true},
        .vnet_hdr = true, /* whole TSO bursts and checksums left undone cross it in one piece */
    };
    int fd = hostnet_tap_create(context->net, &spec, NULL, error);
    if (fd < 0)
        return false;
    g_hash_table_insert(context->taps, g_strdup(key), GINT_TO_POINTER(fd));
    return true;
}

static bool unmake_tap(struct operation_context *context, const struct store_object *object, GError **error)
{
    gpointer fd;
    if (context->taps && g_hash_table_lookup_extended(context->taps, object->key, NULL, &fd)) {
        close(GPOINTER_TO_INT(fd));
        g_hash_table_remove(context->taps, object->key);
    }
    return unmake_link(context, object, error);
}

static char *describe_tap(bool make, const char *key, const char *payload)
{
    g_autofree char *network = payload_string(payload, "network");
    return g_strdup_printf("%s TAP for %s on %s", make ? "create" : "remove", key, network);
}

/* ---- machines ---- */

/* The fds of the node's TAPs in the order of its NICs. */
static int *collect_taps(struct operation_context *context, const char *node, const char *payload,
                         guint *count, GError **error)
{
    g_autoptr(JsonNode) root = json_from_string(payload, error);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return NULL;
    JsonObject *object = json_node_get_object(root);
    bool has_taps = !json_object_has_member(object, "server") && !json_object_has_member(object, "lease");
    JsonArray *nics = has_taps ? json_object_get_array_member(object, "nics") : NULL;
    *count = nics ? json_array_get_length(nics) : 0;
    int *fds = g_new0(int, *count + 1);
    for (guint i = 0; i < *count; i++) {
        g_autofree char *key = g_strdup_printf(
            "%s:%s", node,
            json_object_get_string_member(json_array_get_object_element(nics, i), "interface"));
        gpointer fd;
        if (!g_hash_table_lookup_extended(context->taps, key, NULL, &fd)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "there is no TAP for %s; run `netlab down` and then `netlab up`", key);
            g_free(fds);
            return NULL;
        }
        fds[i] = GPOINTER_TO_INT(fd);
    }
    return fds;
}

static void release_taps(struct operation_context *context, const char *node)
{
    g_autofree char *prefix = g_strconcat(node, ":", NULL);
    GHashTableIter iter;
    gpointer key, fd;
    g_hash_table_iter_init(&iter, context->taps);
    while (g_hash_table_iter_next(&iter, &key, &fd)) {
        if (!g_str_has_prefix(key, prefix))
            continue;
        close(GPOINTER_TO_INT(fd));
        g_hash_table_iter_remove(&iter);
    }
}

/* A network's own machine has no guest and is called "@NETWORK". */
enum own_machine {
    OWN_NONE,
    OWN_GATEWAY, /* user networking: one foot in the lab, one outside, from where it is started */
    OWN_SERVER,  /* DHCP and DNS, in the lab */
    OWN_RENEWER, /* of a bridged NIC's lease, outside */
};

/* Which one; `network` (owned by the caller) is where it works, but for a gateway. */
static enum own_machine own_machine(const char *key, const char *payload, char **network)
{
    *network = NULL;
    if (key[0] != OBJECT_GATEWAY_SIGN)
        return OWN_NONE;
    if ((*network = payload_string(payload, "server")))
        return OWN_SERVER;
    return (*network = payload_string(payload, "lease")) ? OWN_RENEWER : OWN_GATEWAY;
}

/* The bridge that it is told of, and the program that it is. Both NULL: the emulator. */
static void choose_program(const struct operation_context *context, enum own_machine own, const char *network,
                           char **interface, char **program, GError **error)
{
    g_autofree char *uplink = own == OWN_RENEWER ? g_strdup_printf("%s uplink", network) : NULL;
    *interface = own == OWN_SERVER    ? names_interface('b', context->owner, context->lab, network)
                 : own == OWN_RENEWER ? names_interface('u', context->owner, context->lab, uplink)
                                      : NULL;
    *program = own == OWN_SERVER    ? paths_dnsmasq(error)
               : own == OWN_RENEWER ? g_strdup("/proc/self/exe")
                                    : g_strdup(context->emulator);
}

/* On its way through the gate. */
struct begun {
    bool is_outside;
    struct machine_start *start; /* of those inside */
    struct outside *outside;
};

static void *begin_machine(struct operation_context *context, const char *key, const char *payload,
                           char **identity, GError **error)
{
    guint count = 0;
    g_autofree int *taps = collect_taps(context, key, payload, &count, error);
    g_autofree char *with_lines = taps ? line_add_to_machine(context, key, payload, error) : NULL;
    if (!with_lines)
        return NULL;
    g_autofree char *directory = paths_node_directory(context->runtime, context->lab, key);
    g_autofree char *owner_mark = process_mark_format(context->state, context->lab, key);
    g_autofree char *network = NULL, *interface = NULL, *program = NULL;
    enum own_machine own = own_machine(key, payload, &network);
    choose_program(context, own, network, &interface, &program, error);
    if (!program)
        return NULL;
    struct machine_spec spec = {.node = key,
                                .payload = with_lines,
                                .directory = directory,
                                .emulator = program,
                                .interface = interface,
                                .owner_mark = owner_mark,
                                .user = context->user,
                                .taps = taps};
    if (!machine_prepare(&spec, error))
        return NULL;
    struct process_identity process;
    struct begun begun = {.is_outside = own == OWN_GATEWAY || own == OWN_RENEWER,
                          .outside = context->outside};
    if (begun.is_outside && !context->outside) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "only the lab's supervisor can start %s", key);
        return NULL;
    }
    if (begun.is_outside ? !outside_begin(context->outside, &spec, count ? taps[0] : -1, &process, error)
                         : !(begun.start = machine_start_begin(&spec, &process, error)))
        return NULL;
    *identity = process_format(&process);
    return g_memdup2(&begun, sizeof begun);
}

static bool finish_machine(struct operation_context *context, const char *key, void *begun, GError **error)
{
    g_autofree struct begun *machine = begun;
    if (machine->is_outside ? !outside_finish(machine->outside, error)
                            : !machine_start_finish(machine->start, error))
        return false;
    /* The machine holds its TAPs now: they live as long as it does. */
    release_taps(context, key);
    return true;
}

static void cancel_machine(void *begun)
{
    g_autofree struct begun *machine = begun;
    if (machine->is_outside)
        outside_cancel(machine->outside);
    else
        machine_start_cancel(machine->start);
}

static bool unmake_machine(struct operation_context *context, const struct store_object *object,
                           GError **error)
{
    g_autofree char *directory = paths_node_directory(context->runtime, context->lab, object->key);
    return end_process(object, MACHINE_GRACE_MS, error) && machine_remove_directory(directory, error);
}

static char *describe_machine(bool make, const char *key, const char *payload)
{
    g_autofree char *network = NULL;
    const char *verb = make ? "start" : "stop";
    switch (own_machine(key, payload, &network)) {
    case OWN_GATEWAY:
        return g_strdup_printf("%s the gateway of %s (user networking)", verb, key + 1);
    case OWN_SERVER:
        return g_strdup_printf("%s the DHCP and DNS server of %s (dnsmasq)", verb, network);
    case OWN_RENEWER:
        return g_strdup_printf("%s renewing the DHCP lease of %s's bridge", verb, network);
    case OWN_NONE:
        break;
    }
    if (!make)
        return g_strdup_printf("stop machine %s", key);
    g_autofree char *image = payload_string(payload, "image");
    g_autofree char *kernel = image ? NULL : payload_string(payload, "kernel");
    return g_strdup_printf("start machine %s (%s%s, %" G_GINT64_FORMAT " MiB)", key,
                           image ? "image " : "kernel ", image ? image : kernel,
                           payload_number(payload, "memory"));
}

/* ---- what is known of nodes ---- */

/* Nothing but its row: the store remembers that a node is kept stopped, or what to do when it ends. */
static bool make_row(struct operation_context *context, const char *key, const char *payload,
                     const char *identity, GError **error)
{
    return true;
}

static bool unmake_row(struct operation_context *context, const struct store_object *object, GError **error)
{
    return true;
}

static char *describe_policy(bool make, const char *key, const char *payload)
{
    g_autofree char *restart = payload_string(payload, "restart");
    gint64 most = payload_number(payload, "most");
    return make ? g_strdup_printf("let %s be restarted: %s, at most %" G_GINT64_FORMAT " times in a row", key,
                                  restart, most)
                : g_strdup_printf("let %s be restarted no more", key);
}

static char *describe_stopped(bool make, const char *key, const char *payload)
{
    return g_strdup_printf(make ? "keep %s stopped" : "let %s start", key);
}

static const struct operation operations[] = {
    [OBJECT_RUNTIME] = {.make = make_runtime,
                        .unmake = unmake_runtime,
                        .describe = describe_runtime,
                        .group = 1},
    [OBJECT_SUPERVISOR] = {.make = make_supervisor,
                           .unmake = unmake_supervisor,
                           .describe = describe_supervisor,
                           .group = 1},
    [OBJECT_UNMANAGED] = {.plan = unmanaged_plan,
                          .make = unmanaged_make,
                          .unmake = unmanaged_unmake,
                          .describe = unmanaged_describe,
                          .group = 1},
    [OBJECT_BRIDGE] = {.plan = plan_bridge,
                       .make = make_bridge,
                       .unmake = unmake_link,
                       .describe = describe_bridge,
                       .group = LINK_GROUP},
    [OBJECT_ADDRESS] = {.make = make_address,
                        .unmake = unmake_address,
                        .describe = describe_address,
                        .group = LINK_GROUP},
    [OBJECT_NAT] =
        {.plan = nat_plan, .make = make_nat, .unmake = nat_unmake, .describe = nat_describe, .group = 1},
    [OBJECT_UPLINK] = {.plan = uplink_plan,
                       .make = make_uplink,
                       .unmake = uplink_unmake,
                       .describe = uplink_describe,
                       .group = 1},
    [OBJECT_TAP] = {.plan = plan_tap,
                    .make = make_tap,
                    .unmake = unmake_tap,
                    .describe = describe_tap,
                    .group = LINK_GROUP},
    [OBJECT_HOSTS] = {.make = hosts_make,
                      .unmake = hosts_unmake,
                      .describe = hosts_describe,
                      .group = LINK_GROUP},
    [OBJECT_LINE] = {.make = line_make,
                     .unmake = line_unmake,
                     .describe = line_describe,
                     .group = LINK_GROUP},
    [OBJECT_MACHINE] = {.begin = begin_machine,
                        .finish = finish_machine,
                        .cancel = cancel_machine,
                        .unmake = unmake_machine,
                        .describe = describe_machine,
                        .group = MACHINE_GROUP},
    [OBJECT_POLICY] = {.make = make_row,
                       .unmake = unmake_row,
                       .describe = describe_policy,
                       .group = LINK_GROUP},
    [OBJECT_STOPPED] = {.make = make_row,
                        .unmake = unmake_row,
                        .describe = describe_stopped,
                        .group = LINK_GROUP},
};
static_assert(G_N_ELEMENTS(operations) == OBJECT_KINDS, "every kind has its operation");

/* ---- the journal around them ---- */

struct hostnet *operation_open_host(const struct operation_context *context, GError **error)
{
    return context->host_net ? hostnet_open_fd(hostnet_get_netns_fd(context->host_net), error)
                             : hostnet_open(error);
}

struct hostnet *operation_open_host_of(const struct operation_context *context,
                                       const struct hostnet_link_identity *identity, const char *what,
                                       GError **error)
{
    g_autoptr(hostnet) host = operation_open_host(context, error);
    if (!host || strcmp(identity->boot_id, hostnet_get_boot_id(host)) != 0)
        return NULL;
    if (identity->netns == hostnet_get_netns_cookie(host))
        return g_steal_pointer(&host);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "%s is in another network namespace than this; run netlab where the lab was brought up",
                what);
    return NULL;
}

bool operation_delete_link(struct hostnet *net, const struct hostnet_link_identity *identity, GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (hostnet_link_delete(net, identity, &cause) ||
        g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS))
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

char *operation_describe(bool make, enum object_kind kind, const char *key, const char *payload)
{
    return operations[kind].describe(make, key, payload);
}

/* A group on its way through the journal. */
struct group {
    struct operation_context *context;
    struct operation_step *steps;
    struct store_intent *intents;
    unsigned count;
    void **begun; /* machines at their gates */
};

/* What names all that went wrong in it. */
static char *describe_step(const struct operation_step *step)
{
    return operation_describe(step->make, step->kind, step->key, step->payload);
}

static void set_failed(struct group *g, unsigned i, const GError *cause)
{
    g->intents[i].outcome = STORE_FAILED;
    g_free((char *)g->intents[i].why);
    g->intents[i].why = g_strdup(cause->message);
}

/* "create network lan: …"; takes the cause over. */
static bool fail_step(struct group *g, unsigned i, GError *cause, GError **error)
{
    g_autofree char *what = describe_step(&g->steps[i]);
    set_failed(g, i, cause);
    g_propagate_prefixed_error(error, cause, "%s: ", what);
    return false;
}

/* May step i begin? Tells whoever follows the steps. */
static bool announce(struct group *g, unsigned i, GError **error)
{
    const struct operation_context *context = g->context;
    return !context->before || context->before(context->before_opaque, &g->steps[i], error);
}

static bool unmake_object(struct operation_context *context, enum object_kind kind, const char *key,
                          GError **error)
{
    GError *cause = NULL;
    g_autoptr(store_object) object =
        store_find_object(context->store, context->lab_id, object_kind_name(kind), key, &cause);
    if (!object) {
        if (!cause)
            return true;
        g_propagate_error(error, cause);
        return false;
    }
    return operations[kind].unmake(context, object, error);
}

/* In a child, for it cannot come back: enters the lab's namespaces and deletes its links there. */
static void delete_inside(const struct operation_context *context, pid_t holder)
{
    pid_t pid = fork();
    if (pid == 0) {
        int user_fd = -1, net_fd = -1;
        struct hostnet *net = NULL;
        bool good =
            hostnet_namespace_open_pid(holder, context->is_rootless ? &user_fd : NULL, &net_fd, NULL) &&
            hostnet_namespace_join(user_fd, net_fd, NULL) && (net = hostnet_open(NULL)) != NULL &&
            hostnet_link_delete_group(net, names_group(context->owner, context->lab), context->lab, NULL);
        _exit(good ? 0 : 1);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* The whole lab goes: its links in one request, before the machines let go of theirs one by one, for which
 * the kernel would wait each time. Only for speed: what is not deleted here goes with its process, its
 * namespace, or by its own identity. */
static void delete_links(struct operation_context *context)
{
    g_autoptr(GPtrArray) objects = store_list_objects(context->store, context->lab_id, NULL);
    if (context->net) {
        hostnet_link_delete_group(context->net, names_group(context->owner, context->lab), context->lab,
                                  NULL);
        return;
    }
    for (guint i = 0; objects && context->is_own_namespace && i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct process_identity identity;
        enum object_kind kind;
        if (!object_kind_parse(object->kind, &kind) ||
            (kind != OBJECT_SUPERVISOR && kind != OBJECT_MACHINE) ||
            !process_parse(object->identity, &identity) || !process_is_alive(&identity))
            continue;
        delete_inside(context, identity.pid);
        return;
    }
}

/* All machines among these end together: they need as long as the slowest, not as all of them. */
static void end_machines(struct group *g, unsigned from)
{
    g_autoptr(GArray) identities = g_array_new(FALSE, FALSE, sizeof(struct process_identity));
    for (unsigned i = from; i < g->count; i++) {
        struct process_identity identity;
        if (g->steps[i].kind != OBJECT_MACHINE)
            continue;
        g_autoptr(store_object) object = store_find_object(
            g->context->store, g->context->lab_id, object_kind_name(OBJECT_MACHINE), g->steps[i].key, NULL);
        if (!object || !process_parse(object->identity, &identity))
            continue;
        g_array_append_val(identities, identity);
        g->intents[i].outcome = STORE_FAILED; /* not as it was before, from here on */
    }
    process_end_all((struct process_identity *)identities->data, identities->len, MACHINE_GRACE_MS);
}

/* One after the other. */
static bool run_each(struct group *g, GError **error)
{
    bool have_ended = false;
    if (g->context->is_dying && !g->steps[0].make)
        delete_links(g->context);
    for (unsigned i = 0; i < g->count; i++) {
        const struct operation_step *step = &g->steps[i];
        GError *cause = NULL;
        if (!announce(g, i, error))
            return false;
        if (!step->make && step->kind == OBJECT_MACHINE && !have_ended) {
            end_machines(g, i);
            have_ended = true;
        }
        bool good = step->make ? operations[step->kind].make(g->context, step->key, step->payload,
                                                             g->intents[i].identity, &cause)
                               : unmake_object(g->context, step->kind, step->key, &cause);
        fault_point();
        if (!good && g->context->problems && !step->make) {
            g_string_append_printf(g->context->problems, "%s%s", g->context->problems->len ? "\n" : "",
                                   cause->message);
            set_failed(g, i, cause);
            g_error_free(cause);
            continue;
        }
        if (!good)
            return fail_step(g, i, cause, error);
        g->intents[i].outcome = STORE_DONE;
    }
    return true;
}

static bool begin_all(struct group *g, GError **error)
{
    for (unsigned i = 0; i < g->count; i++) {
        const struct operation_step *step = &g->steps[i];
        char *identity = NULL;
        GError *cause = NULL;
        if (!announce(g, i, error))
            return false;
        g->begun[i] = operations[step->kind].begin(g->context, step->key, step->payload, &identity, &cause);
        if (!g->begun[i])
            return fail_step(g, i, cause, error);
        g->intents[i].identity = identity;
        /* From here on there is something to unmake. */
        g->intents[i].outcome = STORE_FAILED;
        fault_point();
    }
    return true;
}

/* All to their gates, all identities onto the disk, all gates open. */
static bool run_in_halves(struct group *g, GError **error)
{
    bool good = begin_all(g, error) &&
                store_identify(g->context->store, g->context->lab_id, g->intents, g->count, error);
    fault_point();
    for (unsigned i = 0; i < g->count; i++) {
        GError *cause = NULL;
        const struct operation *operation = &operations[g->steps[i].kind];
        if (!g->begun[i])
            continue;
        if (!good) {
            operation->cancel(g->begun[i]);
            continue;
        }
        if (operation->finish(g->context, g->steps[i].key, g->begun[i], &cause))
            g->intents[i].outcome = STORE_DONE;
        else
            good = fail_step(g, i, cause, error);
        fault_point();
    }
    return good;
}

static bool plan_all(struct group *g, GError **error)
{
    for (unsigned i = 0; i < g->count; i++) {
        const struct operation_step *step = &g->steps[i];
        plan_function *plan = step->make ? operations[step->kind].plan : NULL;
        char *identity = NULL;
        GError *cause = NULL;
        if (plan && !plan(g->context, step->key, step->payload, &identity, &cause))
            return fail_step(g, i, cause, error);
        g->intents[i].identity = identity;
    }
    return true;
}

/* The journal cannot be written, but what it knows of the object is on the disk already, and unmaking twice
 * is as good as once: better taken away without a note than left standing. */
static bool goes_unnoted(struct group *g, GError **error)
{
    if (!g->context->problems || g->steps[0].make || !error || !*error || (*error)->domain != STORE_ERROR)
        return false;
    if (!g->context->journal_error)
        g->context->journal_error = g_error_copy(*error);
    g_clear_error(error);
    return true;
}

static bool run_group(struct operation_context *context, struct operation_step *steps, unsigned count,
                      GError **error)
{
    g_autofree struct store_intent *intents = g_new0(struct store_intent, count);
    g_autofree void **begun = g_new0(void *, count);
    struct group group = {context, steps, intents, count, begun};
    for (unsigned i = 0; i < count; i++) {
        intents[i] = (struct store_intent){.make = steps[i].make,
                                           .kind = object_kind_name(steps[i].kind),
                                           .key = steps[i].key,
                                           .payload = steps[i].payload,
                                           .again = steps[i].again,
                                           .outcome = STORE_SKIPPED};
        steps[i].number = 0;
    }
    GError *cause = NULL;
    bool good = plan_all(&group, &cause) &&
                (store_intend(context->store, context->lab_id, context->run, intents, count, &cause) ||
                 goes_unnoted(&group, &cause));
    bool noted = good && intents[0].step;
    if (good) {
        for (unsigned i = 0; i < count; i++)
            steps[i].number = intents[i].step;
        g_debug("journal: steps %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ": %s %s %s …", intents[0].step,
                intents[count - 1].step, steps[0].make ? "make" : "unmake", intents[0].kind, steps[0].key);
        fault_point();
        good = steps[0].make && operations[steps[0].kind].begin ? run_in_halves(&group, &cause)
                                                                : run_each(&group, &cause);
    }
    if (noted) {
        for (unsigned i = 0; i < count; i++)
            steps[i].number = intents[i].outcome == STORE_SKIPPED ? 0 : intents[i].step;
        /* When it went wrong before, that is what is told. */
        bool settled = store_settle(context->store, context->lab_id, intents, count, good ? &cause : NULL) ||
                       (good && goes_unnoted(&group, &cause));
        good = good && settled;
        fault_point();
    }
    for (unsigned i = 0; i < count; i++) {
        g_free((char *)intents[i].identity);
        g_free((char *)intents[i].why);
    }
    if (cause)
        g_propagate_error(error, cause);
    return good;
}

/* How many of these go together. */
static unsigned group_length(const struct operation_step *steps, unsigned count)
{
    unsigned most = steps[0].make ? operations[steps[0].kind].group : UNMAKE_GROUP, length = 1;
    while (length < count && length < most && steps[length].make == steps[0].make &&
           (!steps[0].make || steps[length].kind == steps[0].kind))
        length++;
    return length;
}

bool operation_run(struct operation_context *context, struct operation_step *steps, unsigned count,
                   GError **error)
{
    for (unsigned done = 0; done < count;) {
        unsigned length = group_length(steps + done, count - done);
        if (!run_group(context, steps + done, length, error))
            return false;
        done += length;
    }
    return true;
}

bool operation_undo(struct operation_context *context, struct operation_step *steps, unsigned count,
                    GString *problems)
{
    g_autofree struct store_intent *intents = g_new0(struct store_intent, count + 1);
    unsigned undone = 0;
    bool good = true;
    for (unsigned i = count; i-- > 0;) {
        const struct operation_step *step = &steps[i];
        g_autoptr(GError) cause = NULL;
        if (!step->number || !step->make)
            continue;
        bool gone = unmake_object(context, step->kind, step->key, &cause);
        fault_point();
        if (!gone) {
            g_string_append_printf(problems, "%s%s", problems->len ? "; " : "", cause->message);
            good = false;
            continue;
        }
        intents[undone++] = (struct store_intent){.make = true,
                                                  .kind = object_kind_name(step->kind),
                                                  .key = step->key,
                                                  .step = step->number,
                                                  .outcome = STORE_UNDONE};
    }
    g_autoptr(GError) cause = NULL;
    if (undone && !store_settle(context->store, context->lab_id, intents, undone, &cause)) {
        g_string_append_printf(problems, "%s%s", problems->len ? "; " : "", cause->message);
        good = false;
    }
    fault_point();
    return good;
}
