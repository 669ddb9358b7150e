/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `up` as a story; `down NODE…` and `restart` are the same one with another wish (choice.h). lab_down.c has
 * the other direction.
 *
 * up: lock the lab → what does the file want → what is there (the store, and which of it is alive) → plan →
 * look whether it can work (capabilities, /dev/net/tun, emulator) → the folder and the supervisor are made
 * here → all other steps are sent to the supervisor, which sits in the lab's namespace → report. Whatever
 * fails is rolled back: the supervisor undoes its steps, and when the lab is new this side takes the rest
 * away with cleanup_lab().
 */
#include "netlab/lab.h"
#include "hostnet/link.h"
#include "netlab/channel.h"
#include "netlab/cleanup.h"
#include "netlab/fault.h"
#include "netlab/hosts.h"
#include "netlab/lock.h"
#include "netlab/nat.h"
#include "netlab/operations.h"
#include "netlab/paths.h"
#include "netlab/plan.h"
#include "netlab/unmanaged.h"
#include "netlab/uplink.h"
#include "netlab/wanted.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/capability.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

G_DEFINE_QUARK(netlab - lab - error - quark, lab_error)

enum { GREETING_TIMEOUT_MS = 5000 };

bool lab_error_is_privilege(const GError *error)
{
    return g_error_matches(error, LAB_ERROR, LAB_ERROR_PRIVILEGE) ||
           g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION) ||
           g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_NO_TUN);
}

void lab_place_find(struct lab_place *place)
{
    place->state = paths_state_directory();
    place->runtime = paths_runtime_directory();
}

void lab_place_clear(struct lab_place *place)
{
    g_clear_pointer(&place->state, g_free);
    g_clear_pointer(&place->runtime, g_free);
}

static void tell(const struct lab_progress *progress, enum lab_event event, unsigned index, unsigned count,
                 const char *text)
{
    if (progress && progress->tell)
        progress->tell(progress->opaque, event, index, count, 0, text);
}

/* ---- what is there ---- */

struct up {
    const struct lab_up_options *options;
    const char *name; /* of the lab */
    struct store *store;
    struct store_lab *lab; /* NULL: not there yet */
    bool is_new;           /* this run is the one that brings it up */
    int lock_fd;
    struct hostnet *net; /* labs in our own namespace only */
    struct operation_context context;
    char *emulator;
    GPtrArray *wanted, *existing;
    bool is_supervised; /* its supervisor answers */
    pid_t holder;       /* of the lab's namespace, when planning; 0: none */
    struct plan *plan;
};

static void up_clear(struct up *up)
{
    plan_free(up->plan);
    if (up->wanted)
        g_ptr_array_unref(up->wanted);
    if (up->existing)
        g_ptr_array_unref(up->existing);
    g_free(up->emulator);
    hostnet_close(up->net);
    store_lab_free(up->lab);
    store_close(up->store);
}

static bool is_same_boot(const struct store_lab *lab)
{
    char boot_id[37];
    process_boot_id(boot_id);
    return g_str_equal(boot_id, lab->boot_id);
}

static bool runs(const struct store_object *object)
{
    struct process_identity identity;
    return process_parse(object->identity, &identity) && process_is_alive(&identity);
}

static bool is_kind(const struct store_object *object, enum object_kind kind)
{
    return g_str_equal(object->kind, object_kind_name(kind));
}

/* A process that holds the lab's namespace: the supervisor, unless it is to be ended, else any machine; 0:
 * none.
 */
static pid_t namespace_holder(GPtrArray *objects, bool with_supervisor)
{
    pid_t machine = 0;
    for (guint i = 0; i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct process_identity identity;
        bool is_inside = is_kind(object, OBJECT_MACHINE) && object->key[0] != OBJECT_GATEWAY_SIGN;
        if (!(is_kind(object, OBJECT_SUPERVISOR) || is_inside) || !runs(object) ||
            !process_parse(object->identity, &identity))
            continue;
        if (!is_kind(object, OBJECT_SUPERVISOR))
            machine = identity.pid;
        else if (with_supervisor)
            return identity.pid;
    }
    return machine;
}

static bool is_link_there(const struct up *up, const struct store_object *object)
{
    struct hostnet_link_identity identity;
    enum hostnet_presence presence = HOSTNET_ABSENT;
    return up->net && hostnet_identity_parse(object->identity, &identity, NULL) &&
           hostnet_link_check(up->net, &identity, &presence, NULL, NULL) && presence == HOSTNET_PRESENT;
}

/* Connects, and waits for its greeting: a process that was killed a moment ago may still accept. */
static bool connect_supervisor(const struct up *up, struct channel *channel, GError **error)
{
    g_autofree char *path = g_build_filename(up->options->place->runtime, up->name, "supervisor.sock", NULL);
    int fd = paths_connect(path);
    if (fd < 0) {
        g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED, "the lab's supervisor cannot be reached: %s",
                    g_strerror(errno));
        return false;
    }
    channel_init(channel, fd);
    g_autoptr(GError) cause = NULL;
    g_autoptr(JsonObject) hello = channel_receive(channel, GREETING_TIMEOUT_MS, &cause);
    const char *version = hello ? channel_string(hello, "version", "unknown") : NULL;
    if (version && g_str_equal(version, NETLAB_VERSION))
        return true;
    if (version)
        g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED,
                    "the lab was brought up by netlab %s, and this is %s; run `netlab down` first", version,
                    NETLAB_VERSION);
    else
        g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED, "the lab's supervisor does not answer: %s",
                    cause->message);
    channel_clear(channel);
    return false;
}

static bool is_supervised(const struct up *up)
{
    struct channel channel;
    for (guint i = 0; i < up->existing->len; i++) {
        const struct store_object *object = up->existing->pdata[i];
        if (!is_kind(object, OBJECT_SUPERVISOR) || !runs(object) || !connect_supervisor(up, &channel, NULL))
            continue;
        channel_clear(&channel);
        return true;
    }
    return false;
}

static bool is_alive(const struct store_object *object, void *opaque)
{
    const struct up *up = opaque;
    g_autofree char *directory = NULL;
    enum object_kind kind;
    if (!object_kind_parse(object->kind, &kind))
        return false;
    switch (kind) {
    case OBJECT_RUNTIME:
        directory = paths_lab_directory(up->options->place->runtime, up->name);
        return g_file_test(directory, G_FILE_TEST_IS_DIR);
    case OBJECT_SUPERVISOR:
        return up->is_supervised;
    case OBJECT_MACHINE:
        return (runs(object) && !choice_renews(&up->options->choice, object)) ||
               (choice_spares(&up->options->choice, object) && up->holder);
    case OBJECT_BRIDGE:
    case OBJECT_ADDRESS:
        if (up->lab->is_own_namespace)
            return up->holder != 0;
        return kind == OBJECT_ADDRESS || is_link_there(up, object);
    case OBJECT_UNMANAGED:
        return unmanaged_is_there(object);
    case OBJECT_NAT:
        return up->holder != 0 && nat_is_there(object);
    case OBJECT_UPLINK:
        return up->holder != 0 && uplink_is_there(object);
    case OBJECT_TAP: /* lives as long as the machine that holds it, see plan.c */
        return up->lab->is_own_namespace ? up->holder != 0 : is_link_there(up, object);
    case OBJECT_HOSTS: {
        g_autofree char *folder = paths_lab_directory(up->options->place->runtime, up->name);
        g_autofree char *path = g_build_filename(folder, HOSTS_FILE, NULL);
        return g_file_test(path, G_FILE_TEST_IS_REGULAR);
    }
    case OBJECT_LINE:
    case OBJECT_POLICY:
    case OBJECT_STOPPED:
        return true;
    case OBJECT_KINDS:
        break;
    }
    return false;
}

/* ---- what this user may ---- */

static bool has_capability(int capability)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[capability / 32].effective >> (capability % 32) & 1);
}

static bool choose_mode(struct up *up, GError **error)
{
    const struct lab_up_options *o = up->options;
    bool admin = has_capability(CAP_NET_ADMIN), own = has_capability(CAP_SYS_ADMIN) && admin;
    if (up->lab) {
        if (up->lab->is_rootless != o->rootless && o->rootless) {
            g_set_error(error, LAB_ERROR, LAB_ERROR_PRIVILEGE,
                        "lab %s is up with root's rights; run `netlab down` first to bring it up rootless",
                        up->name);
            return false;
        }
        if (o->here && up->lab->is_own_namespace) {
            g_set_error(error, LAB_ERROR, LAB_ERROR_PRIVILEGE,
                        "lab %s is up in a namespace of its own; run `netlab down` first to bring it up here",
                        up->name);
            return false;
        }
        up->context.is_rootless = up->lab->is_rootless;
        up->context.is_own_namespace = up->lab->is_own_namespace;
        return true;
    }
    if (o->here && (o->rootless || !admin)) {
        g_set_error(error, LAB_ERROR, LAB_ERROR_PRIVILEGE,
                    "a lab in this network namespace needs CAP_NET_ADMIN; run it as root, or leave --here "
                    "away: rootless it gets a namespace of its own");
        return false;
    }
    up->context.is_rootless = !o->here && (o->rootless || !own);
    up->context.is_own_namespace = !o->here;
    if (up->context.is_rootless && !o->rootless && geteuid() == 0)
        tell(&o->progress, LAB_NOTE, 0, 0,
             !admin ? "without CAP_NET_ADMIN: the lab runs rootless, in a user namespace"
                    : "without CAP_SYS_ADMIN: the lab runs rootless, in a user namespace");
    else if (up->context.is_rootless && !o->rootless)
        tell(&o->progress, LAB_NOTE, 0, 0, "not root: the lab runs rootless, in a user namespace of yours");
    return true;
}

static bool check_tun(GError **error)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    int cause = errno;
    const char *advice = "load the module with `modprobe tun`";
    if (cause == EACCES || cause == EPERM)
        advice = "let users open it with `chmod 0666 /dev/net/tun` as root (Debian's udev does so by "
                 "itself), or run as root";
    else if (cause == ENOENT)
        advice = "load the module with `modprobe tun`, or in a container give it the device (--device "
                 "/dev/net/tun)";
    g_set_error(error, LAB_ERROR, LAB_ERROR_PRIVILEGE, "/dev/net/tun cannot be opened: %s; %s",
                g_strerror(cause), advice);
    return false;
}

static bool check_runtime_directory(const struct up *up, GError **error)
{
    if (!strchr(up->options->place->runtime, ','))
        return true;
    g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED,
                "the runtime directory %s has a comma in its name; set NETLAB_RUNTIME_DIR to another",
                up->options->place->runtime);
    return false;
}

static bool is_making(const struct plan *plan, enum object_kind kind)
{
    for (guint i = 0; i < plan->steps->len; i++) {
        const struct plan_step *step = plan->steps->pdata[i];
        if (step->make && step->kind == kind)
            return true;
    }
    return false;
}

/* Is a network's DHCP server to be started? */
static bool is_serving(const struct plan *plan)
{
    for (guint i = 0; i < plan->steps->len; i++) {
        const struct plan_step *step = plan->steps->pdata[i];
        g_autofree char *server = step->make && step->kind == OBJECT_MACHINE && step->payload
                                      ? payload_string(step->payload, "server")
                                      : NULL;
        if (server)
            return true;
    }
    return false;
}

/* Is the NIC given back by this same plan? */
static bool is_parting(const struct plan *plan, const char *nic)
{
    for (guint i = 0; i < plan->steps->len; i++) {
        const struct plan_step *step = plan->steps->pdata[i];
        g_autofree char *parted = !step->make && step->kind == OBJECT_UPLINK && step->payload
                                      ? payload_string(step->payload, "nic")
                                      : NULL;
        if (parted && g_strcmp0(parted, nic) == 0)
            return true;
    }
    return false;
}

/* A NIC of the host is going to be bridged: may it, and what should the person know? */
static bool look_at_uplinks(struct up *up, GError **error)
{
    if (up->context.is_rootless) {
        g_set_error(
            error, LAB_ERROR, LAB_ERROR_PRIVILEGE,
            "bridging a NIC of the host needs CAP_NET_ADMIN in its network namespace; run as root, or write "
            "`uplink: user`, which needs no privilege");
        return false;
    }
    for (guint i = 0; i < up->plan->steps->len; i++) {
        const struct plan_step *step = up->plan->steps->pdata[i];
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        if (!step->make || step->kind != OBJECT_UPLINK)
            continue;
        g_autofree char *nic = payload_string(step->payload, "nic");
        if (is_parting(up->plan, nic))
            continue; /* it is in a bridge of ours, and comes out of it first */
        if (!uplink_look(nic, warnings, error)) {
            g_prefix_error(error, "network %s: ", step->key);
            return false;
        }
        for (guint k = 0; k < warnings->len; k++)
            tell(&up->options->progress, LAB_NOTE, 0, 0, warnings->pdata[k]);
    }
    return true;
}

/* The files that a machine starts from, also of one that is restarted by what is noted of it, without the
 * topology file. */
static bool check_boot_files(const struct up *up, GError **error)
{
    static const char *const members[] = {"kernel", "initrd"};
    for (guint i = 0; i < up->plan->steps->len; i++) {
        const struct plan_step *step = up->plan->steps->pdata[i];
        for (size_t k = 0; step->make && step->kind == OBJECT_MACHINE && k < G_N_ELEMENTS(members); k++) {
            g_autofree char *path = payload_string(step->payload, members[k]);
            if (!path || access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
                continue;
            g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED,
                        "node %s: its %s %s is gone; put it back, or run `netlab up` with a changed file",
                        step->key, members[k], path);
            return false;
        }
    }
    return true;
}

/* What can be known beforehand to fail, fails here, with nothing touched. */
static bool preflight(struct up *up, GError **error)
{
    if (!check_boot_files(up, error))
        return false;
    if (is_making(up->plan, OBJECT_UPLINK) && !look_at_uplinks(up, error))
        return false;
    if (is_making(up->plan, OBJECT_NAT) && up->context.is_rootless) {
        g_set_error(
            error, LAB_ERROR, LAB_ERROR_PRIVILEGE,
            "`uplink: nat` needs CAP_NET_ADMIN in the host's network namespace; run as root, or write "
            "`uplink: user`, which needs no privilege");
        return false;
    }
    if (is_serving(up->plan)) {
        g_autofree char *server = paths_dnsmasq(error);
        if (!server)
            return false;
    }
    if (!check_runtime_directory(up, error) || (is_making(up->plan, OBJECT_TAP) && !check_tun(error)))
        return false;
    up->emulator = paths_emulator(error);
    return up->emulator != NULL;
}

/* ---- planning ---- */

static bool check_elsewhere(const struct up *up, GError **error)
{
    const struct topology *topology = up->options->topology;
    if (!topology || g_str_equal(up->lab->file, topology->file) ||
        !g_file_test(up->lab->file, G_FILE_TEST_EXISTS))
        return true;
    g_set_error(error, LAB_ERROR, LAB_ERROR_ELSEWHERE,
                "a lab named %s is already up from %s; give this one another \"name:\", or run `netlab down "
                "--lab %s` first",
                topology->name, up->lab->file, topology->name);
    return false;
}

static void fill_context(struct up *up)
{
    struct operation_context *context = &up->context;
    context->store = up->store;
    context->lab = up->name;
    context->state = up->options->place->state;
    context->runtime = up->options->place->runtime;
    context->owner = getuid();
    context->user = context->is_rootless ? (struct machine_user){.uid = geteuid(), .gid = getegid()}
                                         : machine_user_choose(context->lab);
    context->emulator = up->emulator;
    context->lab_id = up->lab ? up->lab->id : 0;
    context->net = up->net;
}

/* Was its `down` cut off? The folder of all that it has goes only then. */
static bool is_going_away(const struct up *up, bool *is_going, GError **error)
{
    g_autoptr(GPtrArray) objects = store_list_objects(up->store, up->lab->id, error);
    for (guint i = 0; objects && i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        *is_going = *is_going || (is_kind(object, OBJECT_RUNTIME) && object->state == STORE_REMOVING);
    }
    return objects != NULL;
}

/* A lab whose `up` never came to its end, whose `down` did not, or of an earlier boot, is taken away before
 * anything else. */
static bool clear_remains(struct up *up, GError **error)
{
    static const struct {
        const char *note, *refusal;
    } reasons[] = {
        {"an earlier `netlab up` was cut off: taking away what it left",
         "an earlier `netlab up` of lab %s was cut off; run `netlab up` first"},
        {"the computer was restarted since the lab was brought up: starting anew",
         "the computer was restarted since lab %s was brought up; run `netlab up` first"},
        {"an earlier `netlab down` was cut off: taking away what it left",
         "an earlier `netlab down` of lab %s was cut off; run `netlab up` first, or `netlab down` again"},
    };
    bool was_up = false, is_going = false;
    if (!up->lab)
        return true;
    if (!store_was_up(up->store, up->lab->id, &was_up, error) || !is_going_away(up, &is_going, error))
        return false;
    int reason = !was_up ? 0 : !is_same_boot(up->lab) ? 1 : is_going ? 2 : -1;
    if (reason < 0)
        return true;
    if (!up->options->topology) {
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, reasons[reason].refusal, up->name);
        return false;
    }
    tell(&up->options->progress, LAB_NOTE, 0, 0, reasons[reason].note);
    if (up->options->dry_run) {
        g_clear_pointer(&up->lab, store_lab_free);
        return true;
    }
    up->context.is_rootless = up->lab->is_rootless;
    up->context.is_own_namespace = up->lab->is_own_namespace;
    if (!up->context.is_own_namespace)
        up->net = hostnet_open(error);
    if (!up->context.is_own_namespace && !up->net)
        return false;
    fill_context(up);
    if (!cleanup_lab(&up->context, false, NULL, NULL, error))
        return false;
    up->context.is_dying = false;
    g_clear_pointer(&up->lab, store_lab_free);
    g_clear_pointer(&up->net, hostnet_close);
    return true;
}

/* The objects that the file asks for. */
static GPtrArray *read_file(const struct up *up, GError **error)
{
    const struct lab_up_options *o = up->options;
    topology_report_auto struct topology_report *report =
        topology_report_new(o->shown_file, o->topology->source);
    g_autoptr(GPtrArray) objects = wanted_objects(o->topology, up->existing, report);
    return topology_report_ok(report, error) ? g_steal_pointer(&objects) : NULL;
}

static const struct store_object *find_existing(const struct up *up, enum object_kind kind, const char *key)
{
    for (guint i = 0; i < up->existing->len; i++) {
        const struct store_object *object = up->existing->pdata[i];
        if (is_kind(object, kind) && g_str_equal(object->key, key))
            return object;
    }
    return NULL;
}

static bool fail_cancelled(GError **error)
{
    g_set_error(error, LAB_ERROR, LAB_ERROR_CANCELLED, "interrupted");
    return false;
}

static void note_uplink(void *opaque, const char *text)
{
    const struct up *up = opaque;
    tell(&up->options->progress, LAB_NOTE, 0, 0, text);
}

/* Who sets up the NICs that are to be bridged has finished with them, so that all they have is noted. */
static bool settle_uplinks(struct up *up, GPtrArray *file, GError **error)
{
    if (up->context.is_rootless || up->options->dry_run)
        return true;
    for (guint i = 0; i < file->len; i++) {
        const struct object *object = file->pdata[i];
        g_autofree char *nic = object->kind == OBJECT_UPLINK ? payload_string(object->payload, "nic") : NULL;
        if (nic && !find_existing(up, OBJECT_UPLINK, object->key) &&
            !uplink_settle(nic, up->options->cancel_fd, note_uplink, up))
            return fail_cancelled(error);
    }
    return true;
}

/* Whether a NIC's lease is to be renewed on its bridge only this host knows, not the file. */
static void want_renewals(const struct up *up, GPtrArray *file)
{
    for (guint i = file->len; i-- > 0;) {
        const struct object *object = file->pdata[i];
        g_autofree char *nic = object->kind == OBJECT_UPLINK ? payload_string(object->payload, "nic") : NULL;
        if (nic && uplink_has_lease(nic, find_existing(up, OBJECT_UPLINK, object->key)))
            wanted_renewal(file, i + 1, object->key, nic);
    }
}

/* Services that take hold of links are kept from those that the lab has in the host's namespace. */
static void want_unmanaged(const struct up *up, GPtrArray *file)
{
    bool has_any = !up->context.is_own_namespace, has_nic = false;
    for (guint i = 0; i < file->len; i++) {
        const struct object *object = file->pdata[i];
        has_nic = has_nic || object->kind == OBJECT_UPLINK;
        has_any = has_any || has_nic || object->kind == OBJECT_NAT;
    }
    if (has_any && !up->context.is_rootless)
        unmanaged_want(file, getuid(), up->name, has_nic);
}

static void tell_stopped(const struct up *up, const GString *stopped)
{
    unsigned count = 0;
    for (guint i = 0; i < up->wanted->len; i++)
        count += ((const struct object *)up->wanted->pdata[i])->kind == OBJECT_STOPPED;
    if (up->options->stopped)
        *up->options->stopped = count;
    if (!stopped->len || up->options->choice.action != LAB_START || up->options->choice.node_count)
        return;
    g_autofree char *note = g_strdup_printf(
        "kept stopped: %s; `netlab up NODE…` starts one, `netlab up --all` all of them", stopped->str);
    tell(&up->options->progress, LAB_NOTE, 0, 0, note);
}

static bool make_plan(struct up *up, GError **error)
{
    const struct lab_up_options *o = up->options;
    g_autoptr(GString) stopped = g_string_new(NULL);
    up->existing = up->lab ? store_list_objects(up->store, up->lab->id, error)
                           : g_ptr_array_new_with_free_func((GDestroyNotify)store_object_free);
    if (!up->existing)
        return false;
    g_autoptr(GPtrArray) file = o->topology ? read_file(up, error) : NULL;
    if (o->topology && !file)
        return false;
    if (file && !settle_uplinks(up, file, error))
        return false;
    if (file) {
        want_renewals(up, file);
        want_unmanaged(up, file);
    }
    up->wanted = choice_wanted(&o->choice, file, up->existing, !up->lab, stopped, error);
    if (!up->wanted)
        return false;
    up->is_supervised = is_supervised(up);
    up->holder = namespace_holder(up->existing, up->is_supervised);
    up->plan = plan_make(up->wanted, up->existing, is_alive, up);
    tell_stopped(up, stopped);
    return true;
}

static void tell_plan(const struct up *up)
{
    for (guint i = 0; i < up->plan->steps->len; i++) {
        const struct plan_step *step = up->plan->steps->pdata[i];
        g_autofree char *text = operation_describe(step->make, step->kind, step->key, step->payload);
        tell(&up->options->progress, LAB_STEP, i + 1, up->plan->steps->len, text);
    }
}

/* ---- applying ---- */

static bool add_lab(struct up *up, GError **error)
{
    const struct topology *topology = up->options->topology;
    struct store_lab *lab = g_new0(struct store_lab, 1);
    char boot_id[37];
    process_boot_id(boot_id);
    lab->name = g_strdup(topology->name);
    lab->file = g_strdup(topology->file);
    lab->directory = g_strdup(topology->directory);
    lab->source = g_strdup(topology->source);
    lab->boot_id = g_strdup(boot_id);
    lab->is_rootless = up->context.is_rootless;
    lab->is_own_namespace = up->context.is_own_namespace;
    if (!store_add_lab(up->store, lab, error)) {
        store_lab_free(lab);
        return false;
    }
    up->lab = lab;
    up->is_new = true;
    up->context.lab_id = lab->id;
    return true;
}

static bool is_local(const struct plan_step *step)
{
    return step->kind == OBJECT_RUNTIME || step->kind == OBJECT_SUPERVISOR;
}

static bool is_cancelled(const struct up *up)
{
    struct pollfd fds = {.fd = up->options->cancel_fd, .events = POLLIN};
    return poll(&fds, 1, 0) > 0;
}

/* The folder and the supervisor: before there is a supervisor to ask. */
static bool run_local_steps(struct up *up, GError **error)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    bool good = true;
    up->context.notes = notes;
    for (guint i = 0; i < up->plan->steps->len && good; i++) {
        const struct plan_step *step = up->plan->steps->pdata[i];
        if (!is_local(step))
            continue;
        if (step->kind == OBJECT_SUPERVISOR && step->make && up->context.is_own_namespace)
            up->context.join = namespace_holder(up->existing, true);
        struct operation_step one = {step->make, step->kind, step->key, step->payload, 0};
        good = is_cancelled(up) ? fail_cancelled(error) : operation_run(&up->context, &one, 1, error);
    }
    up->context.notes = NULL;
    for (guint i = 0; i < notes->len; i++)
        tell(&up->options->progress, LAB_NOTE, 0, 0, notes->pdata[i]);
    return good;
}

static JsonObject *apply_request(const struct up *up)
{
    JsonObject *request = json_object_new();
    JsonArray *steps = json_array_new(), *wait = json_array_new();
    json_object_set_string_member(request, "request", "apply");
    json_object_set_int_member(request, "run", up->context.run);
    json_object_set_boolean_member(request, "new", up->is_new);
    json_object_set_string_member(request, "emulator", up->emulator);
    json_object_set_boolean_member(request, "change_user", up->context.user.change);
    json_object_set_int_member(request, "uid", up->context.user.uid);
    json_object_set_int_member(request, "gid", up->context.user.gid);
    json_object_set_int_member(request, "timeout", up->options->timeout_s);
    json_object_set_boolean_member(request, "confirm", up->options->confirm != NULL);
    if (up->options->topology) {
        json_object_set_string_member(request, "file", up->options->topology->file);
        json_object_set_string_member(request, "source", up->options->topology->source);
    }
    json_object_set_int_member(request, "crash_at", fault_at());
    json_object_set_int_member(request, "crash_passed", fault_passed());
    json_object_set_string_member(request, "crash_whom", fault_whom());
    for (guint i = 0; i < up->plan->steps->len; i++) {
        const struct plan_step *step = up->plan->steps->pdata[i];
        if (is_local(step))
            continue;
        JsonObject *item = json_object_new();
        json_object_set_boolean_member(item, "make", step->make);
        json_object_set_string_member(item, "kind", object_kind_name(step->kind));
        json_object_set_string_member(item, "key", step->key);
        json_object_set_string_member(item, "payload", step->payload);
        json_array_add_object_element(steps, item);
    }
    for (guint i = 0; i < up->plan->wait->len; i++)
        json_array_add_string_element(wait, up->plan->wait->pdata[i]);
    json_object_set_array_member(request, "steps", steps);
    json_object_set_array_member(request, "wait", wait);
    return request;
}

/* One event of the supervisor. True: go on listening; false: it was the last (*good says how it ended). */
static bool take_event(struct up *up, JsonObject *event, bool *good, GError **error)
{
    const struct lab_progress *progress = &up->options->progress;
    const char *name = channel_string(event, "event", ""), *text = channel_string(event, "text", "");
    if (g_str_equal(name, "step")) {
        unsigned index = (unsigned)channel_number(event, "index", 0),
                 count = (unsigned)channel_number(event, "count", 0);
        tell(progress, LAB_STEP, index, count, text);
        if (index == count && up->plan->wait->len)
            tell(progress, LAB_WAIT, 0, up->plan->wait->len, "waiting for the machines");
        return true;
    }
    if (g_str_equal(name, "ready")) {
        JsonNode *seconds = json_object_get_member(event, "seconds");
        if (progress->tell)
            progress->tell(progress->opaque, LAB_READY, 0, (unsigned)channel_number(event, "left", 0),
                           seconds && JSON_NODE_HOLDS_VALUE(seconds) ? json_node_get_double(seconds) : 0,
                           channel_string(event, "node", ""));
        return true;
    }
    if (g_str_equal(name, "undo")) {
        tell(progress, LAB_UNDO, 0, 0, text);
        return true;
    }
    *good = g_str_equal(name, "done");
    if (*good)
        return false;
    const char *residue = channel_string(event, "residue", NULL);
    fault_arm(fault_at(), (long)channel_number(event, "crash_passed", fault_passed()), fault_whom(), 0);
    g_set_error(error, LAB_ERROR,
                channel_flag(event, "cancelled") ? LAB_ERROR_CANCELLED
                : residue                        ? LAB_ERROR_LEFT
                                                 : LAB_ERROR_FAILED,
                "%s%s%s", channel_string(event, "error", "the supervisor's answer is not understood"),
                residue ? "\nwhat could not be undone: " : "", residue ? residue : "");
    return false;
}

/* The supervisor's question, and the person's answer. No answer is for the supervisor to tell by its clock.
 */
static bool answer_confirm(const struct up *up, struct channel *channel, JsonObject *event, GError **error)
{
    static const char *const words[] = {
        [LAB_KEEP] = "keep", [LAB_DECLINE] = "decline", [LAB_NO_ANSWER] = "none", [LAB_CANCEL] = "cancel"};
    const struct lab_up_options *o = up->options;
    enum lab_answer answer = o->confirm ? o->confirm(o->progress.opaque, channel_string(event, "nic", ""),
                                                     (unsigned)channel_number(event, "seconds", 1))
                                        : LAB_DECLINE;
    g_autoptr(JsonObject) request = json_object_new();
    json_object_set_string_member(request, "request", words[answer]);
    if (answer == LAB_CANCEL)
        channel->cancel_fd = -1; /* said already */
    return channel_send(channel, request, -1, error);
}

/* The connection broke before the last event came. The store knows whether all was done by then; what was not
 * is not going to be, for the supervisor sees the hang-up, or that the run was given up, and rolls back. */
static bool is_complete_unheard(struct up *up, GError **error)
{
    bool is_complete = false;
    struct channel channel;
    g_autoptr(GError) cause = NULL;
    if (!store_give_up_run(up->store, up->context.run, &is_complete, &cause)) {
        g_prefix_error(error, "%s; `netlab status` shows what there is, `netlab repair` makes it whole: ",
                       cause->message);
        return false;
    }
    if (!is_complete)
        return false;
    if (connect_supervisor(up, &channel, NULL)) {
        channel_clear(&channel);
        g_clear_error(error);
        return true;
    }
    if (!up->is_new)
        g_prefix_error(error,
                       "the change is made, but nobody watches over the lab; `netlab up` again starts a "
                       "supervisor: ");
    return false;
}

/* Asks the supervisor and follows its events to the last one. */
static bool run_remote_steps(struct up *up, GError **error)
{
    struct channel channel;
    if (!connect_supervisor(up, &channel, error))
        return false;
    channel.cancel_fd = up->options->cancel_fd;
    g_autoptr(JsonObject) request = apply_request(up);
    bool good = false, is_answered = false, more = channel_send(&channel, request, up->lock_fd, error);
    while (more) {
        g_autoptr(GError) cause = NULL;
        g_autoptr(JsonObject) event = channel_receive(&channel, -1, &cause);
        if (event && g_str_equal(channel_string(event, "event", ""), "confirm")) {
            more = answer_confirm(up, &channel, event, error);
        } else if (event) {
            more = take_event(up, event, &good, error);
            is_answered = !more;
        } else if (g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
            channel.cancel_fd = -1; /* once; its answer comes after the rollback */
            more = channel_send_text(&channel, "{\"request\":\"cancel\"}", error);
        } else {
            g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED, "the lab's supervisor is gone (%s)",
                        cause->message);
            more = false;
        }
    }
    channel_clear(&channel);
    return is_answered ? good : is_complete_unheard(up, error);
}

static void tell_undo(void *opaque, const char *text)
{
    tell(opaque, LAB_UNDO, 0, 0, text);
}

/* A lab that did not come up is taken away whole; one that was up before stays as it was. */
static void take_back(struct up *up, GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (!up->is_new)
        return;
    if (cleanup_lab(&up->context, false, tell_undo, (void *)&up->options->progress, &cause)) {
        g_clear_pointer(&up->lab, store_lab_free);
        return;
    }
    g_autofree char *first = error && *error ? g_strdup((*error)->message) : NULL;
    g_clear_error(error);
    g_set_error(error, LAB_ERROR, LAB_ERROR_LEFT,
                "%s\nnot everything could be taken away; run `netlab down --lab %s`: %s", first ? first : "",
                up->context.lab, cause->message);
}

static bool apply(struct up *up, GError **error)
{
    if (!up->lab && !add_lab(up, error))
        return false;
    fault_point();
    GError *cause = NULL;
    static const char *const verbs[] = {
        [LAB_START] = "up", [LAB_STOP] = "stop", [LAB_RESTART] = "restart", [LAB_MEND] = "repair"};
    bool good = store_begin_run(up->store, up->lab->id, verbs[up->options->choice.action], &up->context.run,
                                &cause) &&
                run_local_steps(up, &cause) && run_remote_steps(up, &cause);
    if (good)
        return true;
    take_back(up, &cause);
    g_propagate_error(error, cause);
    return false;
}

static bool up_locked(struct up *up, enum lab_up_result *result, GError **error)
{
    const struct lab_up_options *o = up->options;
    GError *cause = NULL;
    up->lab = store_find_lab(up->store, up->name, &cause);
    if (cause) {
        g_propagate_error(error, cause);
        return false;
    }
    if (!up->lab && !o->topology) {
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "no lab named %s is up", up->name);
        return false;
    }
    if (up->lab ? !check_elsewhere(up, error) : !lab_check_unknown(o->place, up->name, error))
        return false;
    if (!clear_remains(up, error) || !choose_mode(up, error))
        return false;
    if (!up->context.is_own_namespace && !(up->net = hostnet_open(error)))
        return false;
    if (!make_plan(up, error))
        return false;
    if (up->plan->steps->len == 0) {
        *result = LAB_UP_NOTHING_TO_DO;
        return true;
    }
    if (o->dry_run) {
        tell_plan(up);
        *result = LAB_UP_PLANNED;
        return true;
    }
    if (!preflight(up, error))
        return false;
    fill_context(up);
    if (!apply(up, error))
        return false;
    *result = LAB_UP_DONE;
    return true;
}

/* Once more when the process whose namespace a new supervisor was to enter died in between: what was planned
 * on was still alive then, and a new look finds it gone. */
static bool is_worth_another_try(const struct up *up, const GError *error)
{
    return up->context.join && !up->is_new && error->domain != LAB_ERROR;
}

static const char *name_of(const struct lab_up_options *options)
{
    return options->topology ? options->topology->name : options->lab;
}

static bool attempt_up(const struct lab_up_options *options, const struct lock *lock, bool *again,
                       enum lab_up_result *result, GError **error)
{
    struct up up = {.options = options, .name = name_of(options), .lock_fd = lock->fd};
    GError *cause = NULL;
    up.store = store_open(options->place->state, error);
    if (!up.store)
        return false;
    bool good = up_locked(&up, result, &cause);
    *again = !good && is_worth_another_try(&up, cause);
    if (cause)
        g_propagate_error(error, cause);
    up_clear(&up);
    return good;
}

bool lab_up(const struct lab_up_options *options, enum lab_up_result *result, GError **error)
{
    struct lock lock;
    bool again = false;
    GError *cause = NULL;
    static const char *const verbs[] = {
        [LAB_START] = "up", [LAB_STOP] = "down", [LAB_RESTART] = "restart", [LAB_MEND] = "repair"};
    if (!lock_take(&lock, options->place->state, name_of(options), verbs[options->choice.action],
                   LAB_WAIT_FOR_LOCK_MS, error))
        return false;
    bool good = attempt_up(options, &lock, &again, result, &cause);
    if (again) {
        g_clear_error(&cause);
        good = attempt_up(options, &lock, &again, result, &cause);
    }
    if (cause)
        g_propagate_error(error, cause);
    lock_release(&lock);
    return good;
}
