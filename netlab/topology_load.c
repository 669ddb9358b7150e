/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * From a file to a checked topology: reads it (bounded), parses it, checks it, and turns all complaints into
 * one error.
 */
#include "netlab/topology_check.h"
#include "netlab/topology_parse.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

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

struct topology *topology_load_file(const char *path, GError **error)
{
    g_autofree char *absolute = realpath(path, NULL);
    if (!absolute) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE,
                    "%s: %s; name a topology file or a folder with a topology.yml", path, g_strerror(errno));
        return NULL;
    }
    g_autoptr(GFile) file = g_file_new_for_path(absolute);
    g_autoptr(GFileInputStream) stream = NULL;
    g_autofree char *text = g_malloc(LARGEST_FILE + 2);
    gsize length = 0;
    g_autoptr(GError) cause = NULL;
    if (!g_file_test(absolute, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE,
                    "%s: not a regular file; name a topology file", path);
        return NULL;
    }
    stream = g_file_read(file, NULL, &cause);
    if (!stream ||
        !g_input_stream_read_all(G_INPUT_STREAM(stream), text, LARGEST_FILE + 1, &length, NULL, &cause)) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE, "%s: cannot be read: %s", path,
                    cause->message);
        return NULL;
    }
    if (length > LARGEST_FILE) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE,
                    "%s: larger than 1 MiB; this is hardly a topology", path);
        return NULL;
    }
    text[length] = '\0';
    if (strlen(text) != length) {
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
                    "%s: contains NUL bytes; save it as plain UTF-8 text", path);
        return NULL;
    }
    return topology_load_text(absolute, path, text, error);
}
