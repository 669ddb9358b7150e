/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See hosts.h. The file is the truth; a guest that cannot be told now (no agent, busy) reads it when it is
 * started again.
 */
#include "netlab/hosts.h"
#include "netlab/agent.h"
#include "netlab/fault.h"
#include "netlab/paths.h"
#include "netlab/process.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_MS = 1000, TELL_MS = 3000, LONGEST_TOLD = 48 << 10 };

static char *path_of(struct operation_context *context, const char *name)
{
    g_autofree char *directory = paths_lab_directory(context->runtime, context->lab);
    return g_build_filename(directory, name, NULL);
}

/* The lines of a node's own stay, the lab's are these. */
static void tell(struct operation_context *context, const struct store_object *machine, const char *hosts)
{
    static const char script[] = "{ grep -E '^(127|::1)' /etc/hosts; printf '%s' \"$1\"; } > /tmp/.hosts && "
                                 "cat /tmp/.hosts > /etc/hosts; rm -f /tmp/.hosts";
    const char *argv[] = {"/bin/sh", "-c", script, "sh", hosts, NULL};
    struct process_identity identity;
    g_autofree char *ready = payload_string(machine->payload, "ready");
    if (machine->state != STORE_PRESENT || machine->key[0] == OBJECT_GATEWAY_SIGN ||
        g_strcmp0(ready, "agent") != 0 || !process_parse(machine->identity, &identity) ||
        !process_is_alive(&identity))
        return;
    g_autofree char *directory = paths_node_directory(context->runtime, context->lab, machine->key);
    struct agent agent;
    struct agent_result result = {0};
    if (!agent_open(&agent, directory, CONNECT_MS, -1, NULL))
        return;
    if (agent_exec(&agent, argv, TELL_MS, &result, NULL))
        agent_result_clear(&result);
    agent_close(&agent);
}

bool hosts_make(struct operation_context *context, const char *key, const char *payload, const char *identity,
                GError **error)
{
    g_autofree char *hosts = payload_string(payload, "hosts"), *path = path_of(context, HOSTS_FILE),
                    *beside = path_of(context, HOSTS_FILE ".new");
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    size_t length = hosts ? strlen(hosts) : 0;
    fault_point();
    bool good = fd >= 0 && write(fd, hosts, length) == (ssize_t)length;
    int cause = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        cause = errno;
    }
    if (good && g_rename(beside, path) != 0) {
        good = false;
        cause = errno;
    }
    if (!good) {
        g_unlink(beside);
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "writing %s: %s; make room there", path,
                    g_strerror(cause));
        return false;
    }
    g_autoptr(GPtrArray) objects = store_list_objects(context->store, context->lab_id, error);
    for (guint i = 0; objects && length <= LONGEST_TOLD && i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        if (g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)))
            tell(context, object, hosts);
    }
    return objects != NULL;
}

bool hosts_unmake(struct operation_context *context, const struct store_object *object, GError **error)
{
    g_autofree char *path = path_of(context, HOSTS_FILE), *beside = path_of(context, HOSTS_FILE ".new");
    g_unlink(beside);
    if (g_unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR || g_access(path, F_OK) != 0)
        return true;
    int cause = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "removing %s: %s", path, g_strerror(cause));
    return false;
}

char *hosts_describe(bool make, const char *key, const char *payload)
{
    return g_strdup(make ? "write the nodes' names into the hosts file" : "remove the hosts file");
}
