/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `down` as a story: lock → (ask the guests to power off) → cleanup_lab() → remove the lock. It asks the
 * supervisor for nothing, so it works whatever has become of that.
 */
#include "netlab/agent.h"
#include "netlab/cleanup.h"
#include "netlab/lab.h"
#include "netlab/lock.h"
#include "netlab/operations.h"
#include "netlab/paths.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <unistd.h>

static void tell(const struct lab_progress *progress, enum lab_event event, const char *text)
{
    if (progress->tell)
        progress->tell(progress->opaque, event, 0, 0, 0, text);
}

static void tell_undo(void *opaque, const char *text)
{
    tell(opaque, LAB_UNDO, text);
}

/* ---- asking the guests ---- */

/* A guest on its way down. */
struct parting {
    char *node;
    int pidfd;
    struct channel channel; /* its agent or its QMP; fd -1: none could be had */
    bool has_agent, was_asked;
};

static void parting_free(void *data)
{
    struct parting *parting = data;
    if (parting->pidfd >= 0)
        close(parting->pidfd);
    channel_clear(&parting->channel);
    g_free(parting->node);
    g_free(parting);
}

static bool is_chosen(const struct lab_down_options *options, const char *node)
{
    for (unsigned i = 0; i < options->node_count; i++)
        if (g_str_equal(options->nodes[i], node))
            return true;
    return options->node_count == 0;
}

/* Says what is to be said; what it answers is of no interest, its end is. A QMP connection begins in
 * negotiation. */
static void ask(struct parting *parting)
{
    static const char *const agent[] = {"", "{\"execute\":\"guest-shutdown\"}"},
                             *const button[] = {"{\"execute\":\"qmp_capabilities\"}",
                                                "{\"execute\":\"system_powerdown\"}"};
    const char *const *words = parting->has_agent ? agent : button;
    parting->was_asked = parting->channel.in && channel_send_text(&parting->channel, words[0], NULL) &&
                         channel_send_text(&parting->channel, words[1], NULL);
}

static void connect_to(struct parting *parting, const char *directory, const char *socket)
{
    g_autofree char *path = g_build_filename(directory, socket, NULL);
    int fd = paths_connect(path);
    if (fd >= 0)
        channel_init(&parting->channel, fd);
}

static GPtrArray *ask_all(const struct lab_down_options *options, GPtrArray *objects)
{
    GPtrArray *partings = g_ptr_array_new_with_free_func(parting_free);
    for (guint i = 0; i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct process_identity identity;
        if (!g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)) ||
            object->key[0] == OBJECT_GATEWAY_SIGN || !is_chosen(options, object->key) ||
            !process_parse(object->identity, &identity))
            continue;
        int pidfd = process_open(&identity);
        if (pidfd < 0)
            continue;
        g_autofree char *directory = paths_node_directory(options->place->runtime, options->lab, object->key);
        g_autofree char *ready = payload_string(object->payload, "ready");
        struct parting *parting = g_new0(struct parting, 1);
        *parting = (struct parting){.node = g_strdup(object->key),
                                    .pidfd = pidfd,
                                    .channel = {.fd = -1, .cancel_fd = -1, .received_fd = -1},
                                    .has_agent = g_strcmp0(ready, "agent") == 0};
        connect_to(parting, directory, parting->has_agent ? "agent.sock" : "qmp.sock");
        ask(parting);
        g_ptr_array_add(partings, parting);
    }
    return partings;
}

/* Throws away what the guest says, so that it never waits for us to read. */
static void drain(struct parting *parting)
{
    char data[4096];
    ssize_t got = read(parting->channel.fd, data, sizeof data);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        channel_clear(&parting->channel);
}

/* Waits no longer than the slowest guest needs, and at most `seconds`; nothing that was not asked is waited
 * for. How many are still there. */
static guint wait_for_partings(GPtrArray *partings, unsigned seconds)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    g_autofree struct pollfd *fds = g_new0(struct pollfd, partings->len * 2 + 1);
    for (;;) {
        guint left = 0;
        for (guint i = 0; i < partings->len; i++) {
            struct parting *parting = partings->pdata[i];
            bool waits = parting->was_asked && parting->pidfd >= 0;
            left += waits;
            fds[i * 2] = (struct pollfd){.fd = waits ? parting->pidfd : -1, .events = POLLIN};
            fds[i * 2 + 1] = (struct pollfd){.fd = waits ? parting->channel.fd : -1, .events = POLLIN};
        }
        gint64 time = (deadline - g_get_monotonic_time()) / 1000;
        if (!left || time <= 0)
            return left;
        if (poll(fds, partings->len * 2, (int)time) <= 0)
            continue;
        for (guint i = 0; i < partings->len; i++) {
            struct parting *parting = partings->pdata[i];
            if (fds[i * 2 + 1].revents)
                drain(parting);
            if (!fds[i * 2].revents)
                continue;
            close(parting->pidfd);
            parting->pidfd = -1;
        }
    }
}

static void power_off(const struct lab_down_options *options, GPtrArray *objects)
{
    g_autoptr(GPtrArray) partings = ask_all(options, objects);
    g_autoptr(GString) late = g_string_new(NULL);
    tell(&options->progress, LAB_UNDO, "ask the guests to power off");
    wait_for_partings(partings, options->graceful_s);
    for (guint i = 0; i < partings->len; i++) {
        const struct parting *parting = partings->pdata[i];
        if (parting->pidfd >= 0)
            g_string_append_printf(late, "%s%s", late->len ? ", " : "", parting->node);
    }
    if (!late->len)
        return;
    g_autofree char *note =
        g_strdup_printf("did not power off within %u s, and %s ended: %s", options->graceful_s,
                        strchr(late->str, ',') ? "are" : "is", late->str);
    tell(&options->progress, LAB_NOTE, note);
}

bool lab_power_off(const struct lab_down_options *options, GError **error)
{
    g_autoptr(store) store = store_open(options->place->state, error);
    g_autoptr(store_lab) lab = store ? store_find_lab(store, options->lab, error) : NULL;
    g_autoptr(GPtrArray) objects = lab ? store_list_objects(store, lab->id, error) : NULL;
    if (objects && options->graceful_s)
        power_off(options, objects);
    return objects != NULL;
}

/* ---- down ---- */

static bool is_same_boot(const struct store_lab *lab)
{
    char boot_id[37];
    process_boot_id(boot_id);
    return g_str_equal(boot_id, lab->boot_id);
}

static bool ask_first(const struct lab_down_options *options, struct store *store,
                      const struct store_lab *lab, GError **error)
{
    if (!options->graceful_s || !is_same_boot(lab))
        return true;
    g_autoptr(GPtrArray) objects = store_list_objects(store, lab->id, error);
    if (objects)
        power_off(options, objects);
    return objects != NULL;
}

static bool down_locked(const struct lab_down_options *options, struct store *store,
                        const struct store_lab *lab, GError **error)
{
    const struct lab_place *place = options->place;
    g_autoptr(hostnet) net = NULL;
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    if (!ask_first(options, store, lab, error))
        return false;
    if (!lab->is_own_namespace && is_same_boot(lab)) {
        net = hostnet_open(error);
        if (!net)
            return false;
    }
    struct operation_context context = {
        .store = store,
        .lab_id = lab->id,
        .lab = lab->name,
        .state = place->state,
        .runtime = place->runtime,
        .is_rootless = lab->is_rootless,
        /* After a reboot the host's namespace has nothing of ours either: links go with the boot. */
        .is_own_namespace = lab->is_own_namespace || !is_same_boot(lab),
        .owner = getuid(),
        .net = net,
        .notes = notes,
    };
    GError *cause = NULL;
    if (!cleanup_lab(&context, false, tell_undo, (void *)&options->progress, &cause)) {
        g_set_error(error, LAB_ERROR, LAB_ERROR_LEFT, "lab %s: not everything could be taken away:\n%s",
                    lab->name, cause->message);
        g_error_free(cause);
        return false;
    }
    for (guint i = 0; i < notes->len; i++)
        tell(&options->progress, LAB_NOTE, notes->pdata[i]);
    g_autofree char *strangers =
        lab->is_own_namespace && is_same_boot(lab) ? cleanup_describe_strangers(lab->netns) : NULL;
    if (strangers) {
        g_autofree char *note =
            g_strdup_printf("still in the lab's network namespace, which goes when they end: %s", strangers);
        tell(&options->progress, LAB_NOTE, note);
    }
    return true;
}

bool lab_down(const struct lab_down_options *options, GError **error)
{
    const char *name = options->lab;
    g_autoptr(store) store = store_open(options->place->state, error);
    struct lock lock = {.fd = -1};
    if (!store || !lock_take(&lock, options->place->state, name, "down", LAB_WAIT_FOR_LOCK_MS, error))
        return false;
    GError *cause = NULL;
    g_autoptr(store_lab) lab = store_find_lab(store, name, &cause);
    bool good = false;
    if (lab)
        good = down_locked(options, store, lab, error);
    else if (cause)
        g_propagate_error(error, cause);
    else
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "no lab named %s is up", name);
    lock_release(&lock);
    return good;
}

void lab_sweep_locks(const struct lab_place *place)
{
    g_autofree char *path = g_build_filename(place->state, "locks", NULL);
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    for (const char *name; folder && (name = g_dir_read_name(folder));) {
        struct lock lock;
        if (lock_take(&lock, place->state, name, "down", 0, NULL))
            lock_release(&lock);
    }
}
