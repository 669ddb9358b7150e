/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See seed.h. Formats: cloud-init's documentation, "NoCloud", "Networking config Version 2", "User data
 * formats" (archives), "Vendor data".
 *
 * Vendor-data is where a provider puts its own; what the person says in user-data goes before it. Ours has no
 * key that is likely to be in user-data: the commands come as a script, the host name and the keys as
 * meta-data.
 */
#include "netlab/seed.h"
#include "netlab/iso9660.h"
#include "netlab/topology_six.h"

#include <string.h>

enum { WORDS_MOST = 32, BASE64_LINE = 76 };

/* ---- YAML ---- */

/* YAML 1.1 (5.1) takes fewer characters than JSON: those left out are escaped, which both understand. */
static bool is_printable(gunichar c)
{
    return (c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c <= 0xd7ff && c != 0x2028 && c != 0x2029) ||
           (c >= 0xe000 && c <= 0xfffd && c != 0xfeff) || c >= 0x10000;
}

char *seed_yaml(JsonNode *root)
{
    g_autofree char *json = json_to_string(root, FALSE), *valid = g_utf8_make_valid(json, -1);
    GString *out = g_string_new(NULL);
    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (is_printable(c))
            g_string_append_unichar(out, c);
        else /* only within texts: the rest is ASCII */
            g_string_append_printf(out, "\\u%04x", c);
    }
    g_string_append_c(out, '\n');
    return g_string_free(out, FALSE);
}

static char *yaml_of(JsonObject *object)
{
    JsonNode *root = json_node_init_object(json_node_alloc(), object);
    char *text = seed_yaml(root);
    json_node_unref(root);
    json_object_unref(object);
    return text;
}

static const char *text_of(JsonObject *object, const char *name)
{
    return object ? json_object_get_string_member_with_default(object, name, NULL) : NULL;
}

static JsonArray *list_of(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

/* ---- the network ---- */

struct nic {
    JsonObject *object;
    JsonArray *addresses, *routes; /* the object's; NULL: none yet */
};

static JsonArray *need_list(JsonObject *object, const char *name, JsonArray **list)
{
    if (!*list) {
        *list = json_array_new();
        json_object_set_array_member(object, name, *list);
    }
    return *list;
}

static bool is_on(const char *address, const char *gateway)
{
    struct ipv4_prefix four, via;
    struct ipv6_prefix six, via6;
    if (strchr(gateway, ':'))
        return strchr(address, ':') && ipv6_parse(address, &six) && ipv6_parse(gateway, &via6) &&
               six.length != IPV6_NO_LENGTH && ipv6_contains(&six, &via6);
    return !strchr(address, ':') && ipv4_parse(address, &four) && ipv4_parse(gateway, &via) &&
           four.length != IPV4_NO_LENGTH && ((four.address ^ via.address) & ipv4_mask(four.length)) == 0;
}

/* The NIC whose network the gateway is on; NULL: none is. */
static struct nic *nic_towards(GArray *nics, const char *gateway)
{
    for (guint i = 0; i < nics->len; i++) {
        struct nic *nic = &g_array_index(nics, struct nic, i);
        for (guint k = 0; nic->addresses && k < json_array_get_length(nic->addresses); k++)
            if (is_on(json_array_get_string_element(nic->addresses, k), gateway))
                return nic;
    }
    return NULL;
}

/* "interface MAC NAME [ADDRESS…] [dhcp] [mtu N]" */
static void add_interface(JsonObject *ethernets, GArray *nics, char **words)
{
    if (!words[1] || !words[2])
        return;
    struct nic nic = {.object = json_object_new()};
    JsonObject *match = json_object_new();
    bool dhcp = false;
    g_autofree char *mac = g_ascii_strdown(words[1], -1);
    json_object_set_string_member(match, "macaddress", mac);
    json_object_set_object_member(nic.object, "match", match);
    json_object_set_string_member(nic.object, "set-name", words[2]);
    for (char **word = words + 3; *word; word++) {
        if (g_str_equal(*word, "dhcp"))
            dhcp = true;
        else if (g_str_equal(*word, "mtu") && word[1])
            json_object_set_int_member(nic.object, "mtu", g_ascii_strtoll(*++word, NULL, 10));
        else if (strchr(*word, '/'))
            json_array_add_string_element(need_list(nic.object, "addresses", &nic.addresses), *word);
    }
    json_object_set_boolean_member(nic.object, "dhcp4", dhcp);
    json_object_set_boolean_member(nic.object, "dhcp6", FALSE);
    json_object_set_object_member(ethernets, words[2], nic.object);
    g_array_append_val(nics, nic);
}

/* "route TO via GATEWAY" */
static void add_route(GArray *nics, char **words)
{
    if (!words[1] || g_strcmp0(words[2], "via") != 0 || !words[3])
        return;
    struct nic *nic = nic_towards(nics, words[3]);
    if (!nic)
        return;
    bool is_six = strchr(words[3], ':');
    JsonObject *route = json_object_new();
    /* "default" is not known to all versions. */
    json_object_set_string_member(route, "to",
                                  !g_str_equal(words[1], "default") ? words[1]
                                  : is_six                          ? "::/0"
                                                                    : "0.0.0.0/0");
    json_object_set_string_member(route, "via", words[3]);
    json_array_add_object_element(need_list(nic->object, "routes", &nic->routes), route);
}

/* Name servers belong to a NIC: the one with an address whose network has the server, else the first. */
static void add_name_servers(GArray *nics, JsonArray *servers)
{
    if (!json_array_get_length(servers) || !nics->len) {
        json_array_unref(servers);
        return;
    }
    struct nic *nic = nic_towards(nics, json_array_get_string_element(servers, 0));
    if (!nic)
        nic = &g_array_index(nics, struct nic, 0);
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "addresses", servers);
    json_object_set_object_member(nic->object, "nameservers", object);
}

char *seed_network_config(const char *config)
{
    JsonObject *root = json_object_new(), *ethernets = json_object_new();
    JsonArray *servers = json_array_new();
    g_autoptr(GArray) nics = g_array_new(FALSE, FALSE, sizeof(struct nic));
    json_object_set_int_member(root, "version", 2);
    json_object_set_object_member(root, "ethernets", ethernets);
    g_auto(GStrv) lines = g_strsplit(config, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, "run "))
            continue;
        g_auto(GStrv) words = g_strsplit(*line, " ", WORDS_MOST);
        if (g_strcmp0(words[0], "interface") == 0)
            add_interface(ethernets, nics, words);
        else if (g_strcmp0(words[0], "route") == 0)
            add_route(nics, words);
        else if (g_strcmp0(words[0], "nameserver") == 0 && words[1])
            json_array_add_string_element(servers, words[1]);
    }
    add_name_servers(nics, servers);
    return yaml_of(root);
}

/* ---- at each start ---- */

/* As text that no line of it can end. */
static void put_base64(GString *out, const guint8 *data, gsize size, const char *target)
{
    g_autofree char *text = g_base64_encode(data, size);
    g_string_append_printf(out, "base64 -d >%s <<'END'\n", target);
    for (gsize at = 0, length = strlen(text); at < length; at += BASE64_LINE)
        g_string_append_printf(out, "%.*s\n", (int)MIN(length - at, (gsize)BASE64_LINE), text + at);
    g_string_append(out, "END\n");
}

/* One entry of the archive, "KIND MODE LENGTH PATH\n" and the bytes; returns what follows, NULL at the end.
 */
static const guint8 *put_file(GString *out, const guint8 *at, const guint8 *end)
{
    const guint8 *newline = memchr(at, '\n', (gsize)(end - at));
    g_autofree char *header = newline ? g_strndup((const char *)at, (gsize)(newline - at)) : NULL;
    g_auto(GStrv) words = header ? g_strsplit(header, " ", 4) : NULL;
    if (!words || g_strv_length(words) != 4)
        return NULL;
    guint64 size = g_ascii_strtoull(words[2], NULL, 10);
    const guint8 *data = newline + 1;
    if (size > (guint64)(end - data) || strspn(words[1], "01234567") != strlen(words[1]))
        return NULL;
    g_autofree char *path = g_shell_quote(words[3]), *folder = g_path_get_dirname(words[3]),
                    *parent = g_shell_quote(folder);
    if (*words[0] == 'D') {
        g_string_append_printf(out, "mkdir -p %s && chmod %s %s\n", path, words[1], path);
    } else if (*words[0] == 'L') {
        g_autofree char *target = g_strndup((const char *)data, size), *quoted = g_shell_quote(target);
        g_string_append_printf(out, "mkdir -p %s && ln -sfn %s %s\n", parent, quoted, path);
    } else {
        g_string_append_printf(out, "mkdir -p %s\n", parent);
        put_base64(out, data, size, path);
        g_string_append_printf(out, "chmod %s %s\n", words[1], path);
    }
    return data + size;
}

static void put_setting(GString *out, const char *line)
{
    if (g_str_has_prefix(line, "loopback ")) {
        g_autofree char *address = g_shell_quote(line + strlen("loopback "));
        g_string_append_printf(out, "ip address replace %s dev lo\n", address);
    } else if (g_str_equal(line, "forwarding on")) {
        g_string_append(out, "echo 1 >/proc/sys/net/ipv4/ip_forward\n"
                             "[ ! -e /proc/sys/net/ipv6/conf/all/forwarding ] || echo 1 "
                             ">/proc/sys/net/ipv6/conf/all/forwarding\n");
    }
}

char *seed_start(const struct seed_input *input)
{
    GString *out = g_string_new("#!/bin/sh\n");
    g_autofree char *node = g_shell_quote(input->node);
    g_string_append_printf(out, "# What the lab's file says of node %s, at each start; netlab made this.\n",
                           node);
    if (input->hosts)
        g_string_append(out,
                        "if [ -r \"$1\" ]; then\n"
                        "    sed -i '/^# netlab: begin$/,/^# netlab: end$/d' /etc/hosts\n"
                        "    { echo '# netlab: begin'; cat \"$1\"; echo '# netlab: end'; } >>/etc/hosts\n"
                        "fi\n");
    const guint8 *end = input->files + input->files_size;
    for (const guint8 *at = input->files; at && at < end;)
        at = put_file(out, at, end);
    g_auto(GStrv) lines = g_strsplit(input->config, "\n", -1);
    for (char **line = lines; *line; line++)
        put_setting(out, *line);
    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, "run "))
            continue;
        g_autofree char *command = g_shell_quote(*line + strlen("run "));
        g_string_append_printf(out, "sh -c %s\n", command);
    }
    g_string_append(out, "exit 0\n");
    return g_string_free(out, FALSE);
}

/* ---- once an instance ---- */

static const char hook_script[] =
    "#!/bin/sh\n"
    "# Once: what follows is run at each start, from the seed of then. netlab made this.\n"
    "hook=/var/lib/cloud/scripts/per-boot/netlab\n"
    "mkdir -p \"${hook%/*}\"\n"
    "cat >\"$hook\" <<'END'\n"
    "#!/bin/sh\n"
    "seed=$(mktemp -d) || exit 1\n"
    "for device in /dev/disk/by-label/cidata $(findfs LABEL=cidata) $(blkid -t LABEL=cidata -o device); do\n"
    "    mount -o ro \"$device\" \"$seed\" && break\n"
    "done 2>/dev/null\n"
    "[ -e \"$seed/start\" ] || exit 1\n"
    "cp \"$seed/start\" /run/netlab-start\n"
    "rm -f /run/netlab-hosts\n"
    "[ ! -e \"$seed/hosts\" ] || cp \"$seed/hosts\" /run/netlab-hosts\n"
    "umount \"$seed\"\n"
    "rmdir \"$seed\"\n"
    "exec sh /run/netlab-start /run/netlab-hosts\n"
    "END\n"
    "chmod 0755 \"$hook\"\n";

static void add_part(JsonArray *archive, const char *type, const char *content)
{
    JsonObject *part = json_object_new();
    json_object_set_string_member(part, "type", type);
    json_object_set_string_member(part, "content", content);
    json_array_add_object_element(archive, part);
}

char *seed_vendor_data(const struct seed_input *input)
{
    JsonArray *archive = json_array_new();
    const char *password = text_of(input->cloud_init, "password");
    if (password) {
        JsonObject *settings = json_object_new(), *change = json_object_new();
        json_object_set_boolean_member(change, "expire", FALSE);
        json_object_set_string_member(settings, "password", password);
        json_object_set_object_member(settings, "chpasswd", change);
        json_object_set_boolean_member(settings, "ssh_pwauth", TRUE);
        g_autofree char *yaml = yaml_of(settings), *content = g_strconcat("#cloud-config\n", yaml, NULL);
        add_part(archive, "text/cloud-config", content);
    }
    add_part(archive, "text/x-shellscript", hook_script);
    JsonNode *root = json_node_init_array(json_node_alloc(), archive);
    g_autofree char *yaml = seed_yaml(root);
    json_node_unref(root);
    json_array_unref(archive);
    return g_strconcat("#cloud-config-archive\n", yaml, NULL);
}

/* ---- the instance ---- */

static const char *host_name(const char *config)
{
    static const char key[] = "hostname ";
    return g_str_has_prefix(config, key) ? config + strlen(key) : NULL;
}

static void add_sum(GChecksum *sum, const char *text)
{
    g_checksum_update(sum, (const guchar *)(text ? text : ""),
                      (gssize)(text ? strlen(text) : 0) + (text != NULL));
    g_checksum_update(sum, (const guchar *)"|", 1);
}

static char *instance_id(const struct seed_input *input)
{
    enum { DIGITS = 16 };
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree char *network = seed_network_config(input->config);
    add_sum(sum, input->node);
    add_sum(sum, network);
    add_sum(sum, text_of(input->cloud_init, "user"));
    add_sum(sum, text_of(input->cloud_init, "password"));
    JsonArray *keys = list_of(input->cloud_init, "keys");
    for (guint i = 0; keys && i < json_array_get_length(keys); i++)
        add_sum(sum, json_array_get_string_element(keys, i));
    return g_strdup_printf("netlab-%.*s", DIGITS, g_checksum_get_string(sum));
}

char *seed_meta_data(const struct seed_input *input)
{
    JsonObject *meta = json_object_new();
    const char *name = host_name(input->config);
    g_autofree char *id = instance_id(input),
                    *host = name ? g_strndup(name, strcspn(name, "\n")) : g_strdup(input->node);
    json_object_set_string_member(meta, "instance-id", id);
    json_object_set_string_member(meta, "local-hostname", host);
    JsonArray *keys = list_of(input->cloud_init, "keys");
    if (keys && json_array_get_length(keys))
        json_object_set_array_member(meta, "public-keys", json_array_ref(keys));
    return yaml_of(meta);
}

GBytes *seed_make(const struct seed_input *input, GError **error)
{
    static const char nothing[] = "#cloud-config\n{}\n";
    const char *user = text_of(input->cloud_init, "user");
    gsize user_size = strlen(nothing);
    g_autofree guchar *decoded = user ? g_base64_decode(user, &user_size) : NULL;
    g_autofree char *meta = seed_meta_data(input), *network = seed_network_config(input->config),
                    *vendor = seed_vendor_data(input), *start = seed_start(input);
    const struct iso9660_file files[] = {
        {"meta-data", meta, strlen(meta), false},
        {"network-config", network, strlen(network), false},
        {"user-data", decoded ? decoded : (const guchar *)nothing, user_size, false},
        {"vendor-data", vendor, strlen(vendor), false},
        {"start", start, strlen(start), true},
        {"hosts", input->hosts, input->hosts ? strlen(input->hosts) : 0, false},
    };
    return iso9660_write("cidata", files, G_N_ELEMENTS(files) - !input->hosts, error);
}
