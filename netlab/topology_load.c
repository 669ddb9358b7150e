/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * From a file to a checked topology: reads it (bounded), parses it, checks it, and turns all complaints into
 * one error.
 */
#include "netlab/caller.h"
#include "netlab/topology_check.h"
#include "netlab/topology_parse.h"
#include "netlab/topology_student.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_FILE = 1 << 20 };

struct topology *topology_load_text(const char *file, const char *shown, const char *text, GError **error)
{
    topology_report_auto struct topology_report *report = topology_report_new(shown, text);
    struct topology *topology = topology_parse_text(file, text, strlen(text), report);
    if (topology)
        topology_check(topology, report);
    if (topology_report_ok(report, error))
        return topology;
    topology_free(topology);
    return NULL;
}

bool topology_read_file(const char *path, const char *kind, const char *advice, char **out,
                        size_t *out_length, GError **error)
{
    g_autofree char *absolute = realpath(path, NULL);
    if (!absolute) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE, "%s: %s; %s", path, g_strerror(errno),
                    advice);
        return false;
    }
    g_autofree char *text = g_malloc(LARGEST_FILE + 2);
    size_t length = 0;
    ssize_t got = 1;
    int fd = caller_open(absolute);
    while (fd >= 0 && length <= LARGEST_FILE &&
           (got = read(fd, text + length, LARGEST_FILE + 1 - length)) > 0)
        length += (size_t)got;
    int cause = errno;
    if (fd >= 0)
        close(fd);
    if (fd < 0 && cause == EINVAL) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE, "%s: not a regular file; name a %s file",
                    path, kind);
        return false;
    }
    if (fd < 0 || got < 0) {
        struct caller caller;
        bool is_by_sudo = caller_find(&caller);
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE, "%s: cannot be read%s: %s; %s", path,
                    is_by_sudo ? " by who called sudo" : "", g_strerror(cause),
                    is_by_sudo ? "make it readable for them, or in a shell of root `unset SUDO_UID`"
                               : "look at its mode");
        return false;
    }
    if (length > LARGEST_FILE) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE, "%s: larger than 1 MiB; this is hardly a %s",
                    path, kind);
        return false;
    }
    text[length] = '\0';
    if (strlen(text) != length) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
                    "%s: contains NUL bytes; save it as plain UTF-8 text", path);
        return false;
    }
    *out = g_steal_pointer(&text);
    *out_length = length;
    return true;
}

struct topology *topology_load_copy(const char *path, const char *document, GError **error)
{
    g_autofree char *text = NULL, *absolute = realpath(path, NULL);
    size_t length;
    if (!topology_read_file(path, "topology", "name a topology file or a folder with a topology.yml", &text,
                            &length, error))
        return NULL;
    g_autofree char *whole = g_strconcat(text, document, NULL);
    return topology_load_text(absolute ? absolute : path, path, whole, error);
}

struct topology *topology_load_file(const char *path, GError **error)
{
    return topology_load_copy(path, NULL, error);
}

struct topology *topology_load_again(const char *file, const char *source, GError **error)
{
    if (access(file, F_OK) != 0)
        return topology_load_text(file, file, source, error);
    return topology_load_copy(file, topology_find_copy_document(source), error);
}

char *topology_grammar_try(const struct topology_mapping_info *mapping, const char *text, char **whole)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) topology_text = g_string_new(mapping->frame);
    g_string_replace(topology_text, "@", text, 1);
    bool is_second_file = g_str_equal(mapping->name, "checks");
    struct topology *topology =
        topology_load_text("/example/topology.yml", is_second_file ? "checks.yml" : "topology.yml",
                           is_second_file ? "nodes: {h1: , h2: }" : topology_text->str, &error);
    if (topology && is_second_file)
        topology_add_checks(topology, "checks.yml", topology_text->str, &error);
    if (topology)
        topology_free(topology);
    if (whole)
        *whole = g_strdup(topology_text->str);
    return error ? g_strdup(error->message) : NULL;
}
