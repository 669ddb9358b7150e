/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See check.h. Commands use what mini (busybox), host and router all have; what they print is judged here and
 * not in the guest, so that a guest without grep or jq can be checked, too.
 */
#include "netlab/check.h"

#include <json-glib/json-glib.h>
#include <string.h>

enum { SHOWN_MOST = 300 };

char *check_command(const struct topology_test *test)
{
    const char *what = test->what[test->kind];
    switch (test->kind) {
    case TOPOLOGY_TEST_RUN:
        return g_strdup(what);
    case TOPOLOGY_TEST_PING:
        return g_strdup_printf("ping %s -c 1 -W 2 %s", strchr(what, ':') ? "-6" : "-4", what);
    case TOPOLOGY_TEST_ADDRESS:
        return g_strdup("ip addr show");
    case TOPOLOGY_TEST_ROUTE:
        return g_strdup(strchr(what, ':') ? "ip -6 route show" : "ip -4 route show");
    case TOPOLOGY_TEST_OSPF:
        return g_strdup("vtysh -c 'show ip ospf neighbor json'");
    case TOPOLOGY_TEST_BGP:
        return g_strdup("vtysh -c 'show bgp summary json'");
    case TOPOLOGY_TEST_ISIS:
        return g_strdup("vtysh -c 'show isis neighbor'");
    case TOPOLOGY_TEST_SERVICE:
        if (strstr(what, "://"))
            return g_strdup_printf("if command -v curl >/dev/null; then curl -fsS -m 5 '%1$s'; else timeout "
                                   "8 wget -q -O - '%1$s'; fi",
                                   what);
        return g_strdup_printf(
            "nc -w 3 -z '%1$.*2$s' '%3$s' 2>/dev/null || nc -w 3 '%1$.*2$s' '%3$s' </dev/null", what,
            (int)(strrchr(what, ':') - what), strrchr(what, ':') + 1);
    case TOPOLOGY_TEST_FILE: {
        g_autofree char *quoted = g_shell_quote(what);
        return g_strdup_printf("cat %s", quoted);
    }
    case TOPOLOGY_TEST_KINDS:
        break;
    }
    return g_strdup("false");
}

char *check_describe(const struct topology_test *test)
{
    static const char *const words[] = {[TOPOLOGY_TEST_RUN] = "",
                                        [TOPOLOGY_TEST_PING] = "ping ",
                                        [TOPOLOGY_TEST_ADDRESS] = "has address ",
                                        [TOPOLOGY_TEST_ROUTE] = "route to ",
                                        [TOPOLOGY_TEST_OSPF] = "OSPF with ",
                                        [TOPOLOGY_TEST_BGP] = "BGP with ",
                                        [TOPOLOGY_TEST_ISIS] = "IS-IS with ",
                                        [TOPOLOGY_TEST_SERVICE] = "service ",
                                        [TOPOLOGY_TEST_FILE] = "file "};
    _Static_assert(G_N_ELEMENTS(words) == TOPOLOGY_TEST_KINDS, "a word for each");
    g_autofree char *line = g_strdelimit(g_strdup(test->what[test->kind]), "\n", ' ');
    return g_strconcat(test->fails > 0 ? "not: " : "", words[test->kind], line, test->via ? " via " : "",
                       test->via ? test->via : "", test->interface ? " on " : "",
                       test->interface ? test->interface : "", NULL);
}

/* What was printed, on a line, cut short. */
static char *shown(const char *out)
{
    g_autofree char *copy = g_utf8_make_valid(out, -1);
    g_strstrip(copy);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < ' ' && *c != '\n')
            *c = ' ';
    if (!*copy)
        return g_strdup("(nothing)");
    if (strlen(copy) <= SHOWN_MOST)
        return g_steal_pointer(&copy);
    g_autofree char *start = g_utf8_substring(copy, 0, MIN(SHOWN_MOST / 2, g_utf8_strlen(copy, -1)));
    return g_strconcat(start, " …", NULL);
}

/* Is `word` in the line, with blanks or its ends around it? */
static bool has_word(const char *line, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = line; (at = strstr(at, word)); at += length) {
        bool begins = at == line || at[-1] == ' ' || at[-1] == '\t';
        if (begins && (!at[length] || at[length] == ' ' || at[length] == '\t'))
            return true;
    }
    return false;
}

/* `ip addr show`: "2: eth0: …" and, indented, "inet 10.1.0.1/24 …". */
static char *judge_address(const struct topology_test *test, const char *out)
{
    const char *wanted = test->what[test->kind];
    bool has_length = strchr(wanted, '/');
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    g_autofree char *interface = g_strdup("");
    g_autoptr(GString) have = g_string_new(NULL);
    for (char **line = lines; *line; line++) {
        if (g_ascii_isdigit(**line)) {
            g_auto(GStrv) part = g_strsplit(*line, ": ", 3);
            g_free(interface);
            interface = g_strdup(part[0] && part[1] ? part[1] : "");
            interface[strcspn(interface, "@")] = 0;
            continue;
        }
        g_auto(GStrv) word = g_strsplit(g_strchug(*line), " ", 3);
        if (!word[0] || !word[1] || !g_str_has_prefix(word[0], "inet"))
            continue;
        g_string_append_printf(have, "%s%s on %s", have->len ? ", " : "", word[1], interface);
        if (!has_length)
            word[1][strcspn(word[1], "/")] = 0;
        if (g_ascii_strcasecmp(word[1], wanted) == 0 &&
            (!test->interface || g_str_equal(test->interface, interface)))
            return NULL;
    }
    return g_strdup_printf("the node has %s", have->len ? have->str : "no address");
}

/* `ip route`: "10.2.0.0/24 via 10.1.0.254 dev eth0 …", and hops of a multipath route in the lines below. */
static char *judge_route(const struct topology_test *test, const char *out)
{
    const char *wanted = test->what[test->kind];
    g_autofree char *host =
        g_str_has_suffix(wanted, "/32") ? g_strndup(wanted, strlen(wanted) - 3) : g_strdup(wanted);
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    bool is_ours = false, seen = false;
    g_autoptr(GString) found = g_string_new(NULL);
    for (char **line = lines; *line; line++) {
        bool is_hop = g_ascii_isspace(**line);
        if (!is_hop) {
            size_t length = strcspn(*line, " ");
            g_autofree char *to = g_strndup(*line, length);
            is_ours = g_str_equal(to, wanted) || g_str_equal(to, host) ||
                      (g_str_equal(to, "default") &&
                       (g_str_equal(wanted, "0.0.0.0/0") || g_str_equal(wanted, "::/0")));
        }
        if (!is_ours)
            continue;
        seen = true;
        g_string_append_printf(found, "%s%s", found->len ? "; " : "", g_strstrip(*line));
        g_autofree char *via = test->via ? g_strdup_printf("via %s", test->via) : NULL;
        g_autofree char *device = test->interface ? g_strdup_printf("dev %s", test->interface) : NULL;
        if ((!via || has_word(*line, via)) && (!device || has_word(*line, device)))
            return NULL;
    }
    return seen ? g_strdup_printf("the route is: %s", found->str)
                : g_strdup_printf("there is no route to %s", wanted);
}

/* What a neighbour may be called: as written, or any address of the node of that name. */
static GPtrArray *names_of(const struct topology *topology, const char *wanted)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(names, g_strdup(wanted));
    const struct topology_node *node = topology_find_node(topology, wanted);
    if (node && node->has_loopback)
        g_ptr_array_add(names, ipv4_format((struct ipv4_prefix){node->loopback.address, IPV4_NO_LENGTH}));
    for (guint i = 0; node && i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        if (nic->has_address)
            g_ptr_array_add(names, ipv4_format((struct ipv4_prefix){nic->address.address, IPV4_NO_LENGTH}));
    }
    return names;
}

static bool is_named(GPtrArray *names, const char *text)
{
    for (guint i = 0; text && i < names->len; i++)
        if (g_str_equal(names->pdata[i], text))
            return true;
    return false;
}

static const char *text_of(JsonObject *object, const char *key)
{
    JsonNode *node = json_object_get_member(object, key);
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : NULL;
}

static JsonObject *object_of(JsonObject *object, const char *key)
{
    JsonNode *node = object ? json_object_get_member(object, key) : NULL;
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* {"neighbors": {ROUTER-ID: [{"nbrState" or "state": "Full/DR", "ifaceAddress" or "address": …}]}} */
static char *judge_ospf(const struct topology *topology, const struct topology_test *test, JsonObject *root)
{
    g_autoptr(GPtrArray) names = names_of(topology, test->what[test->kind]);
    JsonObject *neighbours = object_of(root, "neighbors");
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(GList) ids = neighbours ? json_object_get_members(neighbours) : NULL;
    for (GList *id = ids; id; id = id->next) {
        JsonNode *list = json_object_get_member(neighbours, id->data);
        for (guint i = 0; JSON_NODE_HOLDS_ARRAY(list) && i < json_array_get_length(json_node_get_array(list));
             i++) {
            JsonNode *one = json_array_get_element(json_node_get_array(list), i);
            if (!JSON_NODE_HOLDS_OBJECT(one))
                continue;
            JsonObject *entry = json_node_get_object(one);
            const char *state =
                text_of(entry, "nbrState") ? text_of(entry, "nbrState") : text_of(entry, "state");
            const char *address =
                text_of(entry, "ifaceAddress") ? text_of(entry, "ifaceAddress") : text_of(entry, "address");
            g_string_append_printf(seen, "%s%s (%s) is %s", seen->len ? ", " : "", (char *)id->data,
                                   address ? address : "?", state ? state : "?");
            if (state && g_str_has_prefix(state, "Full") &&
                (is_named(names, id->data) || is_named(names, address)))
                return NULL;
        }
    }
    return seen->len ? g_strdup_printf("neighbour %s", seen->str) : g_strdup("it has no OSPF neighbour");
}

/* {"ipv4Unicast": {"peers": {ADDRESS: {"state": "Established"}}}, …} */
static char *judge_bgp(const struct topology *topology, const struct topology_test *test, JsonObject *root)
{
    g_autoptr(GPtrArray) names = names_of(topology, test->what[test->kind]);
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(GList) families = root ? json_object_get_members(root) : NULL;
    for (GList *family = families; family; family = family->next) {
        JsonObject *peers = object_of(object_of(root, family->data), "peers");
        g_autoptr(GList) addresses = peers ? json_object_get_members(peers) : NULL;
        for (GList *address = addresses; address; address = address->next) {
            JsonObject *peer = object_of(peers, address->data);
            const char *state = peer ? text_of(peer, "state") : NULL;
            g_string_append_printf(seen, "%s%s is %s", seen->len ? ", " : "", (char *)address->data,
                                   state ? state : "?");
            if (g_strcmp0(state, "Established") == 0 && is_named(names, address->data))
                return NULL;
        }
    }
    return seen->len ? g_strdup_printf("neighbour %s", seen->str) : g_strdup("it has no BGP neighbour");
}

/* " r2   eth0   1   Up   28   5254.…" */
static char *judge_isis(const struct topology_test *test, const char *out)
{
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    for (char **line = lines; *line; line++)
        if (has_word(*line, test->what[test->kind]) && has_word(*line, "Up"))
            return NULL;
    g_autofree char *text = shown(out);
    return g_strdup_printf("the adjacency is not up: %s", text);
}

static char *judge_json(const struct topology_test *test, const char *out)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = json_from_string(out, &error);
    g_autofree char *text = shown(out);
    if (!root)
        return g_strdup_printf("it printed no JSON: %s", text);
    g_autoptr(JsonNode) found = json_path_query(test->json, root, &error);
    JsonArray *list = found && JSON_NODE_HOLDS_ARRAY(found) ? json_node_get_array(found) : NULL;
    if (!list || !json_array_get_length(list))
        return g_strdup_printf("%s finds nothing in: %s", test->json, text);
    if (!test->equals)
        return NULL;
    g_autofree char *value = NULL;
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        g_free(value);
        value = JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
                    ? g_strdup(json_node_get_string(node))
                    : json_to_string(node, FALSE);
        if (g_str_equal(value, test->equals))
            return NULL;
    }
    return g_strdup_printf("%s is %s and not %s", test->json, value, test->equals);
}

static char *judge_kind(const struct topology *topology, const struct topology_test *test, const char *out)
{
    g_autoptr(JsonNode) json = test->kind == TOPOLOGY_TEST_OSPF || test->kind == TOPOLOGY_TEST_BGP
                                   ? json_from_string(out, NULL)
                                   : NULL;
    JsonObject *root = json && JSON_NODE_HOLDS_OBJECT(json) ? json_node_get_object(json) : NULL;
    switch (test->kind) {
    case TOPOLOGY_TEST_ADDRESS:
        return judge_address(test, out);
    case TOPOLOGY_TEST_ROUTE:
        return judge_route(test, out);
    case TOPOLOGY_TEST_OSPF:
        return judge_ospf(topology, test, root);
    case TOPOLOGY_TEST_BGP:
        return judge_bgp(topology, test, root);
    case TOPOLOGY_TEST_ISIS:
        return judge_isis(test, out);
    case TOPOLOGY_TEST_RUN:
    case TOPOLOGY_TEST_PING:
    case TOPOLOGY_TEST_SERVICE:
    case TOPOLOGY_TEST_FILE:
    case TOPOLOGY_TEST_KINDS:
        break;
    }
    return NULL;
}

static char *judge(const struct topology *topology, const struct topology_test *test, int status,
                   const char *out)
{
    if (status != 0) {
        g_autofree char *text = shown(out);
        return g_strdup_printf("exit status %d; it printed: %s", status, text);
    }
    char *why = judge_kind(topology, test, out);
    if (why)
        return why;
    if (test->expect && !strstr(out, test->expect)) {
        g_autofree char *text = shown(out);
        return g_strdup_printf("\"%s\" is not in its output: %s", test->expect, text);
    }
    if (test->match && !g_regex_match_simple(test->match, out, G_REGEX_MULTILINE, 0)) {
        g_autofree char *text = shown(out);
        return g_strdup_printf("/%s/ does not match its output: %s", test->match, text);
    }
    return test->json ? judge_json(test, out) : NULL;
}

char *check_judge(const struct topology *topology, const struct topology_test *test, int status,
                  const char *out)
{
    g_autofree char *valid = g_utf8_make_valid(out, -1);
    char *why = judge(topology, test, status, valid);
    if (test->fails <= 0)
        return why;
    if (why) {
        g_free(why);
        return NULL;
    }
    return g_strdup("it succeeds, and should not");
}
