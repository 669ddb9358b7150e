/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * QMP commands about descriptors that come with a message over a UNIX socket (SCM_RIGHTS): into sets, which
 * are files named /dev/fdset/N (emu/fdset.h), or by a name of their own for fd= of netdev_add.
 *
 * The descriptor is that of the client's last message; a later message with one replaces it, and what nobody
 * asked for is closed.
 */
#include "emu/control/control_internal.h"
#include "emu/fdset.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MOST = 256 };

static int received(struct qmp_session *session, GError **error)
{
    int fd = char_take_fd(session->port);
    if (fd < 0)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "No file descriptor supplied via SCM_RIGHTS");
    return fd;
}

/* ---- sets ---- */

static JsonNode *do_add_fd(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    int64_t set = -1;
    if (arguments && json_object_has_member(arguments, "fdset-id")) {
        set = json_object_get_int_member(arguments, "fdset-id");
        if (set < 0) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                                "Parameter 'fdset-id' expects a non-negative value");
            return NULL;
        }
    }
    int fd = received(session, error);
    if (fd < 0 || !fdset_add(fd, &set, qmp_optional(arguments, "opaque"), error))
        return NULL;
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "fdset-id", set);
    json_object_set_int_member(object, "fd", fd);
    return qmp_object(object);
}

static JsonNode *do_remove_fd(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    int64_t set = json_object_get_int_member(arguments, "fdset-id"), fd = -1;
    if (json_object_has_member(arguments, "fd")) {
        fd = json_object_get_int_member(arguments, "fd");
        if (fd < 0 || fd > INT_MAX)
            fd = INT_MAX; /* which is none */
    }
    return fdset_remove(set, (int)fd, error) ? qmp_nothing() : NULL;
}

static void tell(void *opaque, int64_t set, int fd, const char *text)
{
    JsonArray *sets = opaque, *fds = NULL;
    for (guint i = 0; i < json_array_get_length(sets) && !fds; i++) {
        JsonObject *known = json_array_get_object_element(sets, i);
        if (json_object_get_int_member(known, "fdset-id") == set)
            fds = json_object_get_array_member(known, "fds");
    }
    if (!fds) {
        JsonObject *object = json_object_new();
        fds = json_array_new();
        json_object_set_int_member(object, "fdset-id", set);
        json_object_set_array_member(object, "fds", fds);
        json_array_add_object_element(sets, object);
    }
    JsonObject *one = json_object_new();
    json_object_set_int_member(one, "fd", fd);
    if (text)
        json_object_set_string_member(one, "opaque", text);
    json_array_add_object_element(fds, one);
}

static JsonNode *query_fdsets(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *sets = json_array_new();
    fdset_foreach(tell, sets);
    return qmp_array(sets);
}

/* ---- names ---- */

static void close_fd(void *data)
{
    close(GPOINTER_TO_INT(data));
}

static JsonNode *do_getfd(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    struct control *control = session->control;
    const char *name = json_object_get_string_member(arguments, "fdname");
    if (!*name || g_ascii_isdigit(*name)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "Parameter 'fdname' expects a name not starting with a digit");
        return NULL;
    }
    if (!control->named_fds)
        control->named_fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_fd);
    if (g_hash_table_size(control->named_fds) >= NAMES_MOST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "%d descriptors have names already; closefd takes some away", NAMES_MOST);
        return NULL;
    }
    int fd = received(session, error);
    if (fd < 0)
        return NULL;
    g_hash_table_replace(control->named_fds, g_strdup(name), GINT_TO_POINTER(fd));
    return qmp_nothing();
}

static JsonNode *do_closefd(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const char *name = json_object_get_string_member(arguments, "fdname");
    if (session->control->named_fds && g_hash_table_remove(session->control->named_fds, name))
        return qmp_nothing();
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "File descriptor named '%.100s' not found", name);
    return NULL;
}

int control_take_named_fd(struct control *control, const char *name)
{
    gpointer key, value;
    if (!control->named_fds || !g_hash_table_steal_extended(control->named_fds, name, &key, &value))
        return -1;
    g_free(key);
    return GPOINTER_TO_INT(value);
}

static const struct qmp_command rows[] = {
    {"add-fd", do_add_fd, "*fdset-id:int *opaque:str", "AddfdInfo"},
    {"remove-fd", do_remove_fd, "fdset-id:int *fd:int"},
    {"query-fdsets", query_fdsets, .returns = "[FdsetInfo]"},
    {"getfd", do_getfd, "fdname:str"},
    {"closefd", do_closefd, "fdname:str"},
};
const struct qmp_commands qmp_fd_commands = {rows, G_N_ELEMENTS(rows)};
