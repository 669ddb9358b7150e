/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The table of operations; see operations.h.
 *
 * Identities: bridges and TAPs get theirs planned (hostnet_identity_plan picks an unused index) and committed
 * before they are created with exactly that index, so even a create that we did not live to see the end of is
 * told apart from somebody else's link. Machines and supervisors wait at a gate until theirs is committed.
 * Folders are named by the lab, which the lock makes ours.
 */
#include "netlab/operations.h"
#include "hostnet/address.h"
#include "hostnet/bridge.h"
#include "hostnet/tap.h"
#include "netlab/fault.h"
#include "netlab/paths.h"
#include "netlab/spawn.h"

#include <assert.h>
#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

enum { MACHINE_GRACE_MS = 2000, SUPERVISOR_GRACE_MS = 3000 };

typedef bool make_function(struct operation_context *context, const char *key, const char *payload,
                           GError **error);
typedef bool unmake_function(struct operation_context *context, const struct store_object *object,
                             GError **error);
typedef char *describe_function(bool make, const char *key, const char *payload);

struct operation {
    make_function *make;
    unmake_function *unmake;
    describe_function *describe;
};

static bool remember(struct operation_context *context, enum object_kind kind, const char *key,
                     const char *identity, GError **error)
{
    return store_set_identity(context->store, context->lab_id, object_kind_name(kind), key, identity, error);
}

/* ---- the lab's folder ---- */

static bool make_runtime(struct operation_context *context, const char *key, const char *payload,
                         GError **error)
{
    g_autofree char *directory = paths_lab_directory(context->runtime, context->lab);
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

static bool make_supervisor(struct operation_context *context, const char *key, const char *payload,
                            GError **error)
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
    return spawn_supervisor(&spec, record_supervisor, context, error);
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
    return end_process(object, SUPERVISOR_GRACE_MS, error);
}

static char *describe_supervisor(bool make, const char *key, const char *payload)
{
    return g_strdup(make ? "start the supervisor in a network namespace of its own"
                         : "end the supervisor and its network namespace");
}

/* ---- links ---- */

static bool plan_link(struct operation_context *context, enum object_kind kind, const char *key,
                      const char *human, struct hostnet_link_identity *identity, GError **error)
{
    g_autofree char *name =
        names_interface(kind == OBJECT_BRIDGE ? 'b' : 't', context->owner, context->lab, key);
    g_autofree char *mark = hostnet_mark_format(context->lab, human, error);
    if (!mark || !hostnet_identity_plan(context->net, name, mark, identity, error))
        return false;
    g_autofree char *text = hostnet_identity_format(identity);
    return remember(context, kind, key, text, error);
}

static bool need_namespace(struct operation_context *context, GError **error)
{
    if (context->net)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "the lab's network namespace is not at hand; run `netlab down` and then `netlab up`");
    return false;
}

static bool unmake_link(struct operation_context *context, const struct store_object *object, GError **error)
{
    struct hostnet_link_identity identity;
    g_autoptr(GError) cause = NULL;
    if (!*object->identity || !hostnet_identity_parse(object->identity, &identity, &cause))
        return true; /* nothing was asked of the kernel yet */
    /* Its own namespace: gone with it, or going with it. */
    if (!context->net || identity.netns != hostnet_get_netns_cookie(context->net) ||
        (context->is_dying && context->is_own_namespace))
        return context->is_own_namespace || need_namespace(context, error);
    if (hostnet_link_delete(context->net, &identity, &cause))
        return true;
    /* Somebody else's link stands there now: ours is gone, theirs stays. */
    if (g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS))
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static bool make_bridge(struct operation_context *context, const char *key, const char *payload,
                        GError **error)
{
    struct hostnet_link_identity identity;
    if (!need_namespace(context, error) || !plan_link(context, OBJECT_BRIDGE, key, key, &identity, error))
        return false;
    g_autofree char *altname = names_alternative(context->lab, key, context->is_own_namespace);
    fault_point();
    struct hostnet_bridge_spec spec = {
        .link = {.name = identity.name,
                 .mark = identity.mark,
                 .altname = strlen(altname) <= HOSTNET_ALTNAME_MAX ? altname : NULL,
                 .index = identity.index,
                 .mtu = (uint32_t)payload_number(payload, "mtu"),
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
    g_autofree char *text = payload_string(payload, "address");
    address->index = bridge_index(context, key, error);
    address->default_broadcast = true;
    return address->index && hostnet_prefix_parse(text ? text : "", false, &address->local, error);
}

static bool make_address(struct operation_context *context, const char *key, const char *payload,
                         GError **error)
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
    g_autoptr(store_object) bridge = store_find_object(context->store, context->lab_id,
                                                       object_kind_name(OBJECT_BRIDGE), object->key, NULL);
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
    g_autofree char *address = payload_string(payload, "address");
    return g_strdup_printf("%s the lab's own address %s on network %s", make ? "add" : "remove", address,
                           key);
}

static bool make_tap(struct operation_context *context, const char *key, const char *payload, GError **error)
{
    struct hostnet_link_identity identity;
    g_autofree char *network = payload_string(payload, "network");
    uint32_t master =
        need_namespace(context, error) ? bridge_index(context, network ? network : "", error) : 0;
    if (!master || !plan_link(context, OBJECT_TAP, key, key, &identity, error))
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

struct machine_record {
    struct operation_context *context;
    const char *node;
};

static bool record_machine(const struct process_identity *identity, void *opaque, GError **error)
{
    struct machine_record *record = opaque;
    g_autofree char *text = process_format(identity);
    return remember(record->context, OBJECT_MACHINE, record->node, text, error);
}

/* The fds of the node's TAPs in the order of its NICs. */
static int *collect_taps(struct operation_context *context, const char *node, const char *payload,
                         guint *count, GError **error)
{
    g_autoptr(JsonNode) root = json_from_string(payload, error);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return NULL;
    JsonArray *nics = json_object_get_array_member(json_node_get_object(root), "nics");
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

static bool make_machine(struct operation_context *context, const char *key, const char *payload,
                         GError **error)
{
    guint count = 0;
    g_autofree int *taps = collect_taps(context, key, payload, &count, error);
    if (!taps)
        return false;
    g_autofree char *directory = paths_node_directory(context->runtime, context->lab, key);
    struct machine_spec spec = {.node = key,
                                .payload = payload,
                                .directory = directory,
                                .emulator = context->emulator,
                                .user = context->user,
                                .taps = taps};
    struct machine_record record = {context, key};
    if (!machine_prepare(&spec, error) || !machine_start(&spec, record_machine, &record, error))
        return false;
    /* The machine holds its TAPs now: they live as long as it does. */
    release_taps(context, key);
    return true;
}

static bool unmake_machine(struct operation_context *context, const struct store_object *object,
                           GError **error)
{
    g_autofree char *directory = paths_node_directory(context->runtime, context->lab, object->key);
    return end_process(object, MACHINE_GRACE_MS, error) && machine_remove_directory(directory, error);
}

static char *describe_machine(bool make, const char *key, const char *payload)
{
    if (!make)
        return g_strdup_printf("stop machine %s", key);
    g_autofree char *image = payload_string(payload, "image");
    g_autofree char *kernel = image ? NULL : payload_string(payload, "kernel");
    return g_strdup_printf("start machine %s (%s%s, %" G_GINT64_FORMAT " MiB)", key,
                           image ? "image " : "kernel ", image ? image : kernel,
                           payload_number(payload, "memory"));
}

static const struct operation operations[] = {
    [OBJECT_RUNTIME] = {make_runtime, unmake_runtime, describe_runtime},
    [OBJECT_SUPERVISOR] = {make_supervisor, unmake_supervisor, describe_supervisor},
    [OBJECT_BRIDGE] = {make_bridge, unmake_link, describe_bridge},
    [OBJECT_ADDRESS] = {make_address, unmake_address, describe_address},
    [OBJECT_TAP] = {make_tap, unmake_tap, describe_tap},
    [OBJECT_MACHINE] = {make_machine, unmake_machine, describe_machine},
};
static_assert(G_N_ELEMENTS(operations) == OBJECT_KINDS, "every kind has its operation");

/* ---- the journal around them ---- */

char *operation_describe(bool make, enum object_kind kind, const char *key, const char *payload)
{
    return operations[kind].describe(make, key, payload);
}

static bool unmake_now(struct operation_context *context, enum object_kind kind, const char *key,
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

bool operation_step(struct operation_context *context, bool make, enum object_kind kind, const char *key,
                    const char *payload, int64_t *step, GError **error)
{
    int64_t number = 0;
    GError *cause = NULL;
    if (step)
        *step = 0;
    if (!store_intend(context->store, context->lab_id, context->run, make, object_kind_name(kind), key,
                      payload, &number, error))
        return false;
    if (step)
        *step = number;
    g_debug("journal: step %" G_GINT64_FORMAT ": %s %s %s", number, make ? "make" : "unmake",
            object_kind_name(kind), key);
    fault_point();
    bool good =
        make ? operations[kind].make(context, key, payload, &cause) : unmake_now(context, kind, key, &cause);
    fault_point();
    if (!good) {
        g_autofree char *what = operation_describe(make, kind, key, payload);
        store_failed(context->store, number, cause->message, NULL);
        g_propagate_prefixed_error(error, cause, "%s: ", what);
        return false;
    }
    good = store_done(context->store, number, error);
    fault_point();
    return good;
}

bool operation_undo_make(struct operation_context *context, int64_t step, enum object_kind kind,
                         const char *key, GError **error)
{
    bool good = unmake_now(context, kind, key, error);
    fault_point();
    good = good && store_undone(context->store, step, error);
    fault_point();
    return good;
}
