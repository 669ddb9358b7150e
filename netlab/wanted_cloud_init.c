/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See wanted_cloud_init.h.
 *
 * Files are read when the lab is brought up, with the rights of who called sudo, and become part of the
 * machine's payload: a changed file is a changed machine. User-data that cloud-init would not take (it looks
 * at the first line) or a #cloud-config that is no YAML are found here, and not in a log inside the guest.
 */
#include "netlab/wanted_cloud_init.h"
#include "netlab/caller.h"
#include "netlab/topology_parse.h"

#include <pwd.h>
#include <string.h>

enum { USER_DATA_MOST = 1 << 20, KEYS_MOST = 64, KEY_MOST = 16 << 10 };

static const char config_header[] = "#cloud-config";

static bool read_file(const struct topology_node *node, struct topology_mark mark, const char *path,
                      char **data, gsize *size, struct topology_report *report)
{
    g_autoptr(GError) error = NULL;
    if (!caller_get_contents(path, data, size, &error)) {
        topology_complain(report, mark, "%s; correct the path (it is relative to the topology file)",
                          error->message);
        return false;
    }
    if (*size <= USER_DATA_MOST)
        return true;
    topology_complain(report, mark, "%s is larger than %d MiB; node \"%s\" can fetch large files itself",
                      path, USER_DATA_MOST >> 20, node->name);
    g_clear_pointer(data, g_free);
    return false;
}

/* By its beginning, as cloud-init tells kinds of user-data apart. */
static bool has_known_beginning(const char *data, gsize size)
{
    static const char *const known[] = {config_header,
                                        "#cloud-config-archive",
                                        "#cloud-boothook",
                                        "#include",
                                        "#!",
                                        "#part-handler",
                                        "#upstart-job",
                                        "#cloud-config-jsonp",
                                        "## template: ",
                                        "## template:",
                                        "Content-Type: ",
                                        "MIME-Version: ",
                                        "From ",
                                        "\x1f\x8b"};
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
        if (size >= strlen(known[i]) && g_ascii_strncasecmp(data, known[i], strlen(known[i])) == 0)
            return true;
    return false;
}

static bool check_user_data(const struct topology_cloud_init *cloud, const char *data, gsize size,
                            struct topology_report *report)
{
    g_autofree char *why = NULL;
    unsigned line, column;
    if (!has_known_beginning(data, size)) {
        topology_complain(
            report, cloud->user_data_mark,
            "%s is nothing that cloud-init takes: the first line must be \"#cloud-config\", or that of a "
            "script (#!/bin/sh)",
            cloud->user_data);
        return false;
    }
    gsize first = strcspn(data, "\r\n");
    g_autofree char *header = g_strchomp(g_strndup(data, MIN(first, size)));
    if (!g_str_equal(header, config_header) || topology_check_yaml(data, size, &line, &column, &why))
        return true;
    topology_complain(report, cloud->user_data_mark, "%s:%u:%u: not valid YAML: %s", cloud->user_data, line,
                      column, why);
    return false;
}

static bool put_user_data(const struct topology_node *node, JsonObject *out, struct topology_report *report)
{
    const struct topology_cloud_init *cloud = &node->machine.cloud_init;
    g_autofree char *data = NULL;
    gsize size;
    if (!cloud->user_data)
        return true;
    if (!read_file(node, cloud->user_data_mark, cloud->user_data, &data, &size, report) ||
        !check_user_data(cloud, data, size, report))
        return false;
    g_autofree char *text = g_base64_encode((const guchar *)data, size);
    json_object_set_string_member(out, "user", text);
    return true;
}

/* ---- keys ---- */

/* sshd(8), AUTHORIZED_KEYS FILE FORMAT; options may stand before the kind. */
static bool is_key(const char *text)
{
    static const char *const kinds[] = {"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"};
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_str_has_prefix(text, kinds[i]) && strchr(text, ' '))
            return true;
    return false;
}

static bool add_key(JsonArray *keys, const char *text, struct topology_mark mark,
                    struct topology_report *report)
{
    if (strchr(text, '\n') || strlen(text) > KEY_MOST || !g_utf8_validate(text, -1, NULL)) {
        topology_complain(report, mark, "an SSH key is one line of text");
        return false;
    }
    if (json_array_get_length(keys) == KEYS_MOST) {
        topology_complain(report, mark, "more than %d SSH keys for one node", KEYS_MOST);
        return false;
    }
    json_array_add_string_element(keys, text);
    return true;
}

/* "~/x" is in the folder of who called. */
static char *find_key_file(const struct topology *topology, const char *name)
{
    struct caller caller;
    if (!g_str_has_prefix(name, "~/"))
        return g_canonicalize_filename(name, topology->directory);
    struct passwd *account = caller_find(&caller) ? getpwuid(caller.uid) : NULL;
    return g_build_filename(account ? account->pw_dir : g_get_home_dir(), name + 2, NULL);
}

static bool add_key_file(const struct topology *topology, const struct topology_node *node, JsonArray *keys,
                         const struct topology_text *name, struct topology_report *report)
{
    g_autofree char *path = find_key_file(topology, name->text), *data = NULL;
    gsize size;
    guint before = json_array_get_length(keys);
    if (!read_file(node, name->mark, path, &data, &size, report))
        return false;
    g_auto(GStrv) lines = g_strsplit(data, "\n", -1);
    for (char **line = lines; *line; line++) {
        const char *text = g_strstrip(*line);
        if (strstr(text, "PRIVATE KEY")) {
            topology_complain(report, name->mark, "%s is a private key; name the public one (%s.pub)", path,
                              path);
            return false;
        }
        if (*text && *text != '#' && !add_key(keys, text, name->mark, report))
            return false;
    }
    if (json_array_get_length(keys) == before)
        topology_complain(report, name->mark, "%s has no SSH key in it", path);
    return json_array_get_length(keys) > before;
}

bool wanted_cloud_init(const struct topology *topology, const struct topology_node *node, JsonObject **out,
                       struct topology_report *report)
{
    const struct topology_cloud_init *cloud = &node->machine.cloud_init;
    JsonObject *object = json_object_new();
    JsonArray *keys = json_array_new();
    bool good = put_user_data(node, object, report);
    for (guint i = 0; cloud->keys && i < cloud->keys->len; i++) {
        const struct topology_text *key = cloud->keys->pdata[i];
        good = (is_key(key->text) ? add_key(keys, key->text, key->mark, report)
                                  : add_key_file(topology, node, keys, key, report)) &&
               good;
    }
    if (json_array_get_length(keys))
        json_object_set_array_member(object, "keys", json_array_ref(keys));
    json_array_unref(keys);
    if (cloud->password)
        json_object_set_string_member(object, "password", cloud->password);
    if (good)
        *out = object;
    else
        json_object_unref(object);
    return good;
}
