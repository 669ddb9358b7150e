/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See uplink.h and docs/uplinks.md.
 *
 * Who puts back after what:
 *   the bridging fails, or no gateway answers   this process, at once; then the watchdog is told "done"
 *   this process is killed on the way           the watchdog, at the end of its input
 *   this process hangs                          the watchdog, when its time is over
 *   the watchdog cannot be started              nothing has been touched
 *   all of them are killed                      `netlab down` or `netlab repair`, by the journal
 * Restoring goes by what is there and may be done twice or by two at once.
 */
#include "netlab/uplink.h"
#include "hostnet/bridge.h"
#include "hostnet/namespace.h"
#include "hostnet/route.h"
#include "hostnet/uplink.h"
#include "netlab/fault.h"
#include "netlab/link_manager.h"
#include "netlab/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIR "pair"
enum {
    CONFIRM_SECONDS = 60,
    WATCHDOG_MARGIN_SECONDS = 15,
    ARM_TIMEOUT_MS = 20000,
    STATE_MOST = 4 << 20,
    RESTORE_TRIES = 5,
    RESTORE_PAUSE_US = 200000,
    SETTLE_PAUSE_MS = 250,
};

/* ---- identities: the uplink's text (none for a NIC that is a bridge already), and the pair's ---- */

struct uplink_identity {
    struct hostnet_uplink *uplink; /* NULL: the NIC is a bridge */
    uint32_t bridge;               /* index of the bridge in the host's namespace */
    struct hostnet_link_identity near_end, far_end;
};

static void identity_clear(struct uplink_identity *identity)
{
    hostnet_uplink_free(identity->uplink);
}
#define identity_auto __attribute__((cleanup(identity_clear))) struct uplink_identity

static char *identity_format(const struct uplink_identity *identity)
{
    g_autofree char *uplink = identity->uplink ? hostnet_uplink_format(identity->uplink) : g_strdup("");
    g_autofree char *near_end = hostnet_identity_format(&identity->near_end),
                    *far_end = hostnet_identity_format(&identity->far_end);
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (*uplink)
        g_key_file_load_from_data(file, uplink, strlen(uplink), G_KEY_FILE_NONE, NULL);
    g_key_file_set_uint64(file, PAIR, "bridge", identity->bridge);
    g_key_file_set_string(file, PAIR, "near", near_end);
    g_key_file_set_string(file, PAIR, "far", far_end);
    return g_key_file_to_data(file, NULL, NULL);
}

static bool identity_parse(const char *text, struct uplink_identity *identity, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    *identity = (struct uplink_identity){.uplink = NULL};
    bool good = g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL);
    g_autofree char *near_end = good ? g_key_file_get_string(file, PAIR, "near", NULL) : NULL,
                    *far_end = good ? g_key_file_get_string(file, PAIR, "far", NULL) : NULL;
    if (!near_end || !far_end || !hostnet_identity_parse(near_end, &identity->near_end, NULL) ||
        !hostnet_identity_parse(far_end, &identity->far_end, NULL)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the store's record of an uplink is damaged");
        return false;
    }
    identity->bridge = (uint32_t)g_key_file_get_uint64(file, PAIR, "bridge", NULL);
    if (g_key_file_has_group(file, "uplink"))
        identity->uplink = hostnet_uplink_parse(text, error);
    return !g_key_file_has_group(file, "uplink") || identity->uplink;
}

/* ---- planning ---- */

bool uplink_plan(struct operation_context *context, const char *key, const char *payload, char **text,
                 GError **error)
{
    identity_auto identity = {.uplink = NULL};
    g_autoptr(hostnet) host = operation_open_host(context, error);
    g_autofree char *nic = payload_string(payload, "nic"), *human = g_strdup_printf("%s uplink", key);
    g_autofree char *mark = hostnet_mark_format(context->lab, human, error);
    g_autofree char *bridge_name = names_interface('u', context->owner, context->lab, human),
                    *near_name = names_interface('v', context->owner, context->lab, human),
                    *far_name = names_interface('w', context->owner, context->lab, human);
    g_autoptr(hostnet_link) link = host && mark && nic ? hostnet_link_find(host, nic, error) : NULL;
    if (!link || !context->net || !hostnet_identity_plan(host, near_name, mark, &identity.near_end, error) ||
        !hostnet_identity_plan(context->net, far_name, mark, &identity.far_end, error))
        return false;
    if (link->kind == HOSTNET_LINK_BRIDGE) {
        identity.bridge = link->index;
    } else {
        identity.uplink = hostnet_uplink_capture(host, nic, bridge_name, mark, error);
        if (!identity.uplink)
            return false;
        identity.bridge = identity.uplink->bridge.index;
    }
    *text = identity_format(&identity);
    return true;
}

bool uplink_has_lease(const char *nic, const struct store_object *uplink)
{
    identity_auto identity = {.uplink = NULL};
    g_autofree char *before = uplink ? payload_string(uplink->payload, "nic") : NULL;
    if (g_strcmp0(before, nic) == 0 && *uplink->identity && identity_parse(uplink->identity, &identity, NULL))
        return identity.uplink && identity.uplink->had_lease;
    g_autoptr(hostnet) host = hostnet_open(NULL);
    g_autoptr(hostnet_link) link = host ? hostnet_link_find(host, nic, NULL) : NULL;
    if (!link || link->kind == HOSTNET_LINK_BRIDGE)
        return false;
    g_autoptr(GArray) addresses = hostnet_address_list(host, link->index, NULL);
    for (guint i = 0; addresses && i < addresses->len; i++) {
        const struct hostnet_link_address *address =
            &g_array_index(addresses, struct hostnet_link_address, i);
        if (address->local.address.family == AF_INET && address->valid != HOSTNET_FOREVER)
            return true;
    }
    return false;
}

bool uplink_settle(const char *nic, int cancel_fd, void (*note)(void *opaque, const char *text), void *opaque)
{
    gint64 deadline = g_get_monotonic_time() + UPLINK_SETTLE_SECONDS * G_USEC_PER_SEC;
    struct pollfd cancel = {.fd = cancel_fd, .events = POLLIN};
    const char *service;
    bool is_told = false;
    g_autoptr(hostnet) host = hostnet_open(NULL);
    while (host && (service = link_manager_at_work(host, nic))) {
        bool is_over = g_get_monotonic_time() > deadline;
        g_autofree char *text =
            is_over ? g_strdup_printf("%s has not finished setting up %s within %d s; netlab goes on with what "
                                      "%s has now",
                                      service, nic, UPLINK_SETTLE_SECONDS, nic)
                    : g_strdup_printf("waiting for %s to finish setting up %s (%d s at most)", service, nic,
                                      UPLINK_SETTLE_SECONDS);
        if (is_over || !is_told)
            note(opaque, text);
        if (is_over)
            return true;
        is_told = true;
        if (poll(&cancel, 1, SETTLE_PAUSE_MS) > 0)
            return false;
    }
    return true;
}

bool uplink_look(const char *nic, GPtrArray *warnings, GError **error)
{
    g_autoptr(hostnet) host = hostnet_open(error);
    g_autoptr(hostnet_link) link = host ? hostnet_link_find(host, nic, error) : NULL;
    if (!link)
        return false;
    if (link->kind == HOSTNET_LINK_BRIDGE)
        return true;
    if (!hostnet_uplink_check(host, nic, warnings, error))
        return false;
    const char *session = g_getenv("SSH_CONNECTION"); /* "client port server port" */
    g_auto(GStrv) words = g_strsplit(session ? session : "", " ", -1);
    g_autoptr(GArray) addresses = hostnet_address_list(host, link->index, NULL);
    struct hostnet_address server;
    for (unsigned i = 0; addresses && g_strv_length(words) == 4 && i < addresses->len; i++)
        if (hostnet_address_parse(words[2], &server, NULL) &&
            hostnet_address_equal(&server,
                                  &g_array_index(addresses, struct hostnet_link_address, i).local.address))
            g_ptr_array_add(
                warnings,
                g_strdup_printf("this session comes in over %s; if it is lost, the watchdog puts %s "
                                "back within %d s",
                                nic, nic, CONFIRM_SECONDS + WATCHDOG_MARGIN_SECONDS));
    return true;
}

/* ---- the watchdog ---- */

static unsigned confirm_seconds(void)
{
    const char *text = g_getenv("NETLAB_UPLINK_TIMEOUT");
    guint64 value;
    return text && g_ascii_string_to_unsigned(text, 10, 1, 3600, &value, NULL) ? (unsigned)value
                                                                               : CONFIRM_SECONDS;
}

static bool restore_with_patience(struct hostnet *host, const struct hostnet_uplink *uplink, GPtrArray *notes,
                                  GError **error)
{
    for (unsigned try = 0;; try++) {
        g_autoptr(GError) cause = NULL;
        if (hostnet_uplink_restore(host, uplink, notes, &cause))
            return true;
        if (try == RESTORE_TRIES) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        g_usleep(RESTORE_PAUSE_US); /* links of others in motion, memory that is short for a moment */
    }
}

bool uplink_watch(unsigned seconds)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char part[4096];
    gint64 deadline = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    signal(SIGPIPE, SIG_IGN);
    while (!g_str_has_suffix(text->str, "\nend\n")) {
        ssize_t got = read(STDIN_FILENO, part, sizeof part);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || text->len > STATE_MOST)
            return true; /* never armed, so nothing was touched */
        g_string_append_len(text, part, got);
    }
    g_string_truncate(text, text->len - strlen("end\n"));
    g_autoptr(GError) error = NULL;
    g_autoptr(hostnet) host = hostnet_open(&error);
    g_autoptr(hostnet_uplink) uplink = host ? hostnet_uplink_parse(text->str, &error) : NULL;
    if (!uplink || write(STDOUT_FILENO, "armed\n", 6) != 6) {
        fprintf(stderr, "netlab: watchdog: %s\n", error ? error->message : "nobody listens");
        return true;
    }
    for (;;) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&input, 1, (int)MAX(left, 0));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready > 0 && read(STDIN_FILENO, part, sizeof part) > 0)
            return true; /* "done" */
        fprintf(stderr, "netlab: watchdog: %s: putting %s back\n",
                ready > 0 ? "who bridged it is gone" : "not confirmed in time", uplink->nic);
        break;
    }
    /* `repair` ends what a lost lab has left; not in the middle of this, it waits a second for it. */
    signal(SIGTERM, SIG_IGN);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    if (!restore_with_patience(host, uplink, notes, &error))
        fprintf(stderr, "netlab: watchdog: %s\n", error->message);
    for (guint i = 0; i < notes->len; i++)
        fprintf(stderr, "netlab: watchdog: %s\n", (const char *)notes->pdata[i]);
    return false;
}

struct watchdog {
    pid_t pid;
    int in, out; /* its standard input (a socket), its standard output */
};

static void watchdog_end(struct watchdog *dog, bool is_done)
{
    if (dog->pid <= 0)
        return;
    if (is_done && send(dog->in, "done\n", 5, MSG_NOSIGNAL) != 5)
        g_warning("the watchdog (pid %d) is gone", dog->pid);
    close(dog->in);
    close(dog->out);
    waitpid(dog->pid, NULL, 0);
    dog->pid = 0;
}

static bool write_all(int fd, const char *text, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t wrote = send(fd, text + done, length - done, MSG_NOSIGNAL);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        done += (size_t)wrote;
    }
    return true;
}

/* In the child. */
static void watchdog_run(int host_netns, int in, int out, unsigned seconds)
{
    g_autofree char *time = g_strdup_printf("--seconds=%u", seconds + WATCHDOG_MARGIN_SECONDS);
    char *argv[] = {"netlab", "watchdog", time, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (!hostnet_namespace_join(-1, host_netns, NULL) || dup2(in, 0) < 0 || dup2(out, 1) < 0)
        _exit(126);
    close_range(3, ~0u, 0);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static bool watchdog_arm(struct watchdog *dog, struct hostnet *host, const struct hostnet_uplink *uplink,
                         unsigned seconds, GError **error)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    g_autofree char *text = hostnet_uplink_format(uplink);
    g_autofree char *message = g_strconcat(text, "\nend\n", NULL);
    *dog = (struct watchdog){.pid = 0};
    /* Not a pipe for its input: when it has died that must not end us by a signal. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "pipe: %s", g_strerror(errno));
        if (in[0] >= 0) {
            close(in[0]);
            close(in[1]);
        }
        return false;
    }
    pid_t pid = fork();
    if (pid == 0)
        watchdog_run(hostnet_get_netns_fd(host), in[0], out[1], seconds);
    int cause = errno;
    close(in[0]);
    close(out[1]);
    dog->in = in[1];
    dog->out = out[0];
    char answer[8] = "";
    struct pollfd output = {.fd = out[0], .events = POLLIN};
    bool good = pid > 0 && write_all(in[1], message, strlen(message)) &&
                poll(&output, 1, ARM_TIMEOUT_MS) == 1 && read(out[0], answer, 6) == 6 &&
                g_str_equal(answer, "armed\n");
    dog->pid = pid > 0 ? pid : 0;
    if (good)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "the watchdog for %s could not be started%s%s; nothing was touched", uplink->nic,
                pid < 0 ? ": " : "", pid < 0 ? g_strerror(cause) : "");
    if (pid > 0) {
        watchdog_end(dog, true);
    } else {
        close(in[1]);
        close(out[0]);
    }
    return false;
}

/* ---- making ---- */

static bool make_pair(struct operation_context *context, struct hostnet *host,
                      const struct uplink_identity *identity, const char *key, uint32_t bridge, uint32_t mtu,
                      GError **error)
{
    g_autofree char *altname = g_strdup_printf("%s.%s.port", context->lab, key);
    struct hostnet_link_spec near_spec = {.name = identity->near_end.name,
                                          .mark = identity->near_end.mark,
                                          .altname = strlen(altname) <= HOSTNET_ALTNAME_MAX ? altname : NULL,
                                          .index = identity->near_end.index,
                                          .mtu = mtu,
                                          .master = identity->bridge,
                                          .up = true,
                                          .no_ipv6_address = true},
                             far_spec = {.name = identity->far_end.name,
                                         .mark = identity->far_end.mark,
                                         .index = identity->far_end.index,
                                         .mtu = mtu,
                                         .master = bridge,
                                         .up = true,
                                         .no_ipv6_address = true};
    return hostnet_veth_create(host, &near_spec, context->net, &far_spec, NULL, NULL, error);
}

/* Does a gateway answer through the bridge, or is there none to ask? */
static bool confirm(struct hostnet *host, const struct hostnet_uplink *uplink, GError **error)
{
    enum hostnet_uplink_answer answer;
    if (!hostnet_uplink_confirm(host, uplink, confirm_seconds() * 1000, &answer, error))
        return false;
    if (answer != HOSTNET_UPLINK_SILENT)
        return true;
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
        "no gateway answers through the bridge within %u s, so %s was put back; does its switch allow a "
        "second address on the port? `uplink: nat` and `uplink: user` need none",
        confirm_seconds(), uplink->nic);
    return false;
}

bool uplink_make(struct operation_context *context, const char *key, const char *payload, const char *text,
                 uint32_t bridge, GError **error)
{
    identity_auto identity;
    struct watchdog dog = {.pid = 0};
    g_autoptr(hostnet) host = operation_open_host(context, error);
    uint32_t mtu = (uint32_t)payload_number(payload, "mtu");
    if (!host || !identity_parse(text, &identity, error))
        return false;
    if (!identity.uplink)
        return make_pair(context, host, &identity, key, bridge, mtu, error);
    g_autofree char *altname = g_strdup_printf("%s.%s", context->lab, key);
    if (!watchdog_arm(&dog, host, identity.uplink, confirm_seconds() * (context->confirm ? 2 : 1), error))
        return false;
    fault_point();
    bool good = hostnet_uplink_bridge(host, identity.uplink,
                                      strlen(altname) <= HOSTNET_ALTNAME_MAX ? altname : NULL, error);
    fault_point();
    good = good && make_pair(context, host, &identity, key, bridge, mtu, error);
    fault_point();
    good = good && confirm(host, identity.uplink, error) &&
           (!context->confirm ||
            context->confirm(context->confirm_opaque, identity.uplink->nic, confirm_seconds(), error));
    fault_point();
    if (!good)
        restore_with_patience(host, identity.uplink, NULL, NULL);
    watchdog_end(&dog, true);
    return good;
}

/* ---- a NIC by itself, for no lab ---- */

bool uplink_bridge_alone(struct hostnet *host, const struct hostnet_uplink *uplink, uplink_ask_function *ask,
                         void *opaque, GError **error)
{
    struct watchdog dog = {.pid = 0};
    if (!watchdog_arm(&dog, host, uplink, confirm_seconds() * (ask ? 2 : 1), error))
        return false;
    fault_point();
    bool good = hostnet_uplink_bridge(host, uplink, NULL, error);
    fault_point();
    good = good && confirm(host, uplink, error) && (!ask || ask(opaque, confirm_seconds(), error));
    fault_point();
    if (!good)
        restore_with_patience(host, uplink, NULL, NULL);
    watchdog_end(&dog, true);
    return good;
}

bool uplink_put_back(struct hostnet *host, const struct hostnet_uplink *uplink, GPtrArray *notes,
                     GError **error)
{
    if (!restore_with_patience(host, uplink, notes, error))
        return false;
    g_autoptr(hostnet_link) nic = hostnet_link_get(host, uplink->index, NULL);
    /* Gone, of an earlier boot, or in another bridge: nobody has anything to set up there. */
    if (!nic || nic->master || !g_str_equal(uplink->bridge.boot_id, hostnet_get_boot_id(host)))
        return true;
    bool was_asked =
        hostnet_uplink_lacks_address(host, uplink) && link_manager_reapply(host, nic->name, notes);
    if (!was_asked && notes && uplink->had_lease && !hostnet_uplink_has_address(host, uplink, NULL))
        g_ptr_array_add(notes,
                        g_strdup_printf("%s has no IPv4 address any more; ask for one with `netlab host dhcp "
                                        "request %s`, or let what manages it do so",
                                        nic->name, nic->name));
    return true;
}

/* ---- and away ---- */

bool uplink_unmake(struct operation_context *context, const struct store_object *object, GError **error)
{
    identity_auto identity = {.uplink = NULL};
    if (!*object->identity)
        return true;
    if (!identity_parse(object->identity, &identity, error))
        return false;
    g_autoptr(GError) cause = NULL;
    g_autofree char *what = g_strdup_printf("the uplink of network %s", object->key);
    g_autoptr(hostnet) host = operation_open_host_of(context, &identity.near_end, what, &cause);
    if (!host) {
        if (!cause)
            return true;
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    if (!operation_delete_link(host, &identity.near_end, error))
        return false;
    fault_point();
    if (!identity.uplink)
        return true;
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    if (!uplink_put_back(host, identity.uplink, notes, error))
        return false;
    for (guint i = 0; i < notes->len; i++) {
        if (context->notes)
            g_ptr_array_add(context->notes, g_strdup(notes->pdata[i]));
        g_message("%s", (const char *)notes->pdata[i]);
    }
    return true;
}

bool uplink_is_there(const struct store_object *object)
{
    identity_auto identity = {.uplink = NULL};
    enum hostnet_presence pair = HOSTNET_ABSENT, bridge = HOSTNET_PRESENT;
    g_autoptr(hostnet) host = hostnet_open(NULL);
    if (!host || !identity_parse(object->identity, &identity, NULL) ||
        identity.near_end.netns != hostnet_get_netns_cookie(host) ||
        !hostnet_link_check(host, &identity.near_end, &pair, NULL, NULL) || pair != HOSTNET_PRESENT)
        return false;
    if (!identity.uplink)
        return true;
    g_autoptr(hostnet_link) nic = hostnet_link_get(host, identity.uplink->index, NULL);
    return hostnet_link_check(host, &identity.uplink->bridge, &bridge, NULL, NULL) &&
           bridge == HOSTNET_PRESENT && nic && nic->master == identity.bridge;
}

char *uplink_describe(bool make, const char *key, const char *payload)
{
    g_autofree char *nic = payload_string(payload, "nic");
    return make ? g_strdup_printf("join network %s to %s (bridge it, its addresses and routes move along)",
                                  key, nic)
                : g_strdup_printf("part network %s from %s, which gets everything back", key, nic);
}
