/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * containerlab topologies (containerlab.dev/manual/topo-def-file). A node's settings are looked up as
 * containerlab does: the node's own, its group's, its kind's, `defaults`; lists of commands and binds add up,
 * from the general to the particular. Variables like ${NAME:=default} are replaced in every text.
 *
 * The interface eth0 of containers is on containerlab's management network. Machines here need none, so there
 * is one only when ports are published or addresses on it are given.
 */
#include "netlab/import_internal.h"

#include <string.h>

enum { LAYERS = 4, LIST_MOST = 500, TEXT_MOST = 65536 };

struct clab_node {
    struct import_node *node;               /* NULL: no machine */
    struct import_segment *segment;         /* of kinds bridge and ovs-bridge */
    const struct yaml_tree *layers[LAYERS]; /* the node's first */
};

struct reader {
    struct import_lab *lab;
    const struct yaml_tree *root, *topology;
    GHashTable *nodes; /* name → struct clab_node * */
    struct import_segment *management;
    bool wants_management;
};

/* ---- variables ---- */

/* ${NAME}, ${NAME:=text}, ${NAME:-text}, ${NAME=text}, $NAME. Owned by the caller. */
static char *expand(const char *text)
{
    GString *out = g_string_new(NULL);
    while (*text && out->len < TEXT_MOST) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
        bool braces = text[0] == '$' && text[1] == '{';
        const char *name = text + 1 + braces;
        size_t length = text[0] == '$' ? strspn(name, letters) : 0;
        const char *end = braces ? strchr(name, '}') : name + length;
        if (!length || !end || g_ascii_isdigit(*name)) {
            g_string_append_c(out, *text++);
            continue;
        }
        g_autofree char *key = g_strndup(name, length);
        const char *value = g_getenv(key), *rest = name + length;
        bool colon = *rest == ':';
        rest += colon;
        if ((!value || (colon && !*value)) && rest < end && (*rest == '=' || *rest == '-'))
            g_string_append_len(out, rest + 1, end - rest - 1);
        else if (value && g_utf8_validate(value, -1, NULL))
            g_string_append(out, value);
        text = end + braces;
    }
    return g_string_free(out, FALSE);
}

static void expand_tree(struct yaml_tree *tree)
{
    if (tree->kind == YAML_TREE_TEXT && strchr(tree->text, '$')) {
        char *text = expand(tree->text);
        g_free(tree->text);
        tree->text = text;
    }
    for (guint i = 0; i < yaml_tree_count(tree); i++)
        expand_tree(yaml_tree_item(tree, i));
}

/* ---- looking up ---- */

static const struct yaml_tree *look(const struct clab_node *n, const char *key, struct topology_mark *mark)
{
    /* Hyphens and underscores both occur, by version. */
    g_autofree char *other = g_strdelimit(g_strdup(key), "-", '_');
    for (int i = 0; i < LAYERS; i++) {
        const struct yaml_tree *found = yaml_tree_get(n->layers[i], key, mark);
        if (!found)
            found = yaml_tree_get(n->layers[i], other, mark);
        if (found && !yaml_tree_is_null(found))
            return found;
    }
    return NULL;
}

static const char *look_text(const struct clab_node *n, const char *key, struct topology_mark *mark)
{
    return yaml_tree_text(look(n, key, mark));
}

typedef void entry_reader(struct reader *r, struct clab_node *n, const char *text, struct topology_mark mark);

/* Every entry of a list that adds up, from the defaults to the node. */
static void each(struct reader *r, struct clab_node *n, const char *key, entry_reader *read)
{
    for (int i = LAYERS - 1; i >= 0; i--) {
        const struct yaml_tree *list = yaml_tree_get(n->layers[i], key, NULL);
        g_autofree char *what = g_strdup_printf("node %s: %s", n->node->name, key);
        if (list && list->kind != YAML_TREE_LIST && !yaml_tree_is_null(list)) {
            import_note(r->lab, IMPORT_LEFT, list->mark, what, "must be a list");
            continue;
        }
        for (guint k = 0; k < yaml_tree_count(list); k++) {
            const struct yaml_tree *item = yaml_tree_item(list, k);
            const char *text = k < LIST_MOST ? yaml_tree_text(item) : NULL;
            if (text)
                read(r, n, text, item->mark);
            else if (k <= LIST_MOST)
                import_note(r->lab, IMPORT_LEFT, item->mark, what,
                            k < LIST_MOST ? "not a text" : "more than %d of them", LIST_MOST);
        }
    }
}

typedef void pair_reader(struct reader *r, struct clab_node *n, const char *key, const char *text,
                         struct topology_mark mark);

/* Every member of a mapping that adds up; the node's own come last. */
static void each_pair(struct reader *r, struct clab_node *n, const char *key, pair_reader *read)
{
    for (int i = LAYERS - 1; i >= 0; i--) {
        const struct yaml_tree *map = yaml_tree_get(n->layers[i], key, NULL);
        g_autofree char *what = g_strdup_printf("node %s: %s", n->node->name, key);
        if (map && map->kind != YAML_TREE_MAP && !yaml_tree_is_null(map))
            import_note(r->lab, IMPORT_LEFT, map->mark, what, "must be a mapping, NAME: VALUE");
        for (guint k = 0; map && map->kind == YAML_TREE_MAP && k < MIN(yaml_tree_count(map), LIST_MOST);
             k++) {
            const char *text = yaml_tree_text(yaml_tree_item(map, k));
            read(r, n, yaml_tree_key(map, k), text ? text : "", yaml_tree_key_mark(map, k));
        }
    }
}

/* ---- parts of a node ---- */

static char *in_lab(const struct clab_node *n, const char *path)
{
    GString *out = g_string_new(path);
    g_string_replace(out, "__clabNodeName__", n->node->source_name, 0);
    while (g_str_has_prefix(out->str, "./"))
        g_string_erase(out, 0, 2);
    if (!out->len)
        g_string_append_c(out, '.');
    return g_string_free(out, FALSE);
}

static void read_bind(struct reader *r, struct clab_node *n, const char *text, struct topology_mark mark)
{
    g_autofree char *what = g_strdup_printf("node %s: bind %s", n->node->name, text);
    g_auto(GStrv) parts = g_strsplit(text, ":", 3);
    if (!parts[0] || !parts[1] || !*parts[0]) {
        import_note(r->lab, IMPORT_LEFT, mark, what, "not of the form FILE:PATH");
        return;
    }
    if (g_str_equal(parts[0], "/lib/modules") || g_str_equal(parts[0], "/etc/localtime")) {
        import_note(r->lab, IMPORT_APPROXIMATED, mark, what, "a machine has its own");
        return;
    }
    if (g_path_is_absolute(parts[0])) {
        import_note(r->lab, IMPORT_LEFT, mark, what,
                    "files of the host outside the lab's folder are not taken; copy it there");
        return;
    }
    g_autofree char *path = in_lab(n, parts[0]);
    size_t length = strlen(parts[1]);
    while (length > 1 && parts[1][length - 1] == '/')
        parts[1][--length] = '\0';
    import_copy(r->lab, n->node, path, parts[1], mark, false);
}

static void read_exec(struct reader *r, struct clab_node *n, const char *text, struct topology_mark mark)
{
    import_command(r->lab, n->node, text, mark);
}

static void read_port(struct reader *r, struct clab_node *n, const char *text, struct topology_mark mark)
{
    import_port(r->lab, n->node, r->management, text, mark);
}

static void read_env(struct reader *r, struct clab_node *n, const char *key, const char *text,
                     struct topology_mark mark)
{
    g_autofree char *what = g_strdup_printf("node %s: env %s", n->node->name, key);
    size_t plain = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    if (!plain || key[plain] || g_ascii_isdigit(*key)) {
        import_note(r->lab, IMPORT_LEFT, mark, what, "no name of a shell's variable");
        return;
    }
    static const char path[] = "/etc/profile.d/lab.sh";
    const struct import_file *before = g_hash_table_lookup(n->node->files, path);
    g_autofree char *quoted = g_shell_quote(text);
    g_autofree char *all = g_strdup_printf("%sexport %s=%s\n", before ? before->data : "", key, quoted);
    if (import_put(r->lab, n->node, path, 0644, all, strlen(all), mark))
        import_note(r->lab, IMPORT_APPROXIMATED, mark, what, "in %s, for shells", path);
}

static void read_sysctl(struct reader *r, struct clab_node *n, const char *key, const char *text,
                        struct topology_mark mark)
{
    g_autofree char *assignment = g_strdup_printf("%s=%s", key, text);
    g_autofree char *quoted = g_shell_quote(assignment),
                    *command = g_strconcat("sysctl -q -w ", quoted, NULL);
    g_autofree char *what = g_strdup_printf("node %s: sysctl %s", n->node->name, key);
    if (import_run(r->lab, n->node, command, mark, what))
        import_note(r->lab, IMPORT_MAPPED, mark, what, "run: %s", command);
}

static void read_stages(struct reader *r, struct clab_node *n)
{
    struct topology_mark mark;
    const struct yaml_tree *stages = look(n, "stages", &mark);
    g_autofree char *what = g_strdup_printf("node %s: stages", n->node->name);
    bool waits = false;
    for (guint i = 0; i < yaml_tree_count(stages); i++) {
        const struct yaml_tree *stage = yaml_tree_item(stages, i), *exec = yaml_tree_get(stage, "exec", NULL);
        waits |= yaml_tree_get(stage, "wait-for", NULL) != NULL;
        for (guint k = 0; k < MIN(yaml_tree_count(exec), LIST_MOST); k++) {
            const struct yaml_tree *entry = yaml_tree_item(exec, k);
            const char *command = yaml_tree_text(yaml_tree_get(entry, "command", NULL)),
                       *target = yaml_tree_text(yaml_tree_get(entry, "target", NULL));
            if (target && g_str_equal(target, "host"))
                import_note(r->lab, IMPORT_LEFT, entry->mark, what, "nothing is run on the host");
            else if (command)
                import_command(r->lab, n->node, command, entry->mark);
        }
    }
    if (waits)
        import_note(r->lab, IMPORT_APPROXIMATED, mark, what, "all machines start at once, none waits");
}

/* What needs no reader of its own. */
static const struct {
    const char *key;
    enum import_level level;
    const char *how; /* NULL: it is read elsewhere */
} node_keys[] = {
    {"kind", IMPORT_MAPPED, NULL},
    {"image", IMPORT_MAPPED, NULL},
    {"group", IMPORT_MAPPED, NULL},
    {"groups", IMPORT_MAPPED, NULL},
    {"binds", IMPORT_MAPPED, NULL},
    {"exec", IMPORT_MAPPED, NULL},
    {"ports", IMPORT_MAPPED, NULL},
    {"env", IMPORT_MAPPED, NULL},
    {"sysctls", IMPORT_MAPPED, NULL},
    {"stages", IMPORT_MAPPED, NULL},
    {"startup-config", IMPORT_MAPPED, NULL},
    {"extras", IMPORT_MAPPED, NULL},
    {"mgmt-ipv4", IMPORT_MAPPED, NULL},
    {"restart-policy", IMPORT_MAPPED, NULL},
    {"mgmt-ipv6", IMPORT_APPROXIMATED, "the management network has IPv4 only"},
    {"labels", IMPORT_APPROXIMATED, "labels of containers have no effect here"},
    {"type", IMPORT_APPROXIMATED, "the image decides"},
    {"memory", IMPORT_APPROXIMATED, "the image says how much memory a machine needs"},
    {"cpu", IMPORT_APPROXIMATED, "a machine has one processor"},
    {"cpu-set", IMPORT_APPROXIMATED, "a machine has one processor"},
    {"shm-size", IMPORT_APPROXIMATED, "a machine has memory of its own"},
    {"user", IMPORT_APPROXIMATED, "commands run as root"},
    {"cap-add", IMPORT_APPROXIMATED, "root of a machine may do everything in it"},
    {"devices", IMPORT_LEFT, "devices of the host are not passed on"},
    {"cmd", IMPORT_LEFT, "containers' programs are not in our images; say what to start under run:"},
    {"entrypoint", IMPORT_LEFT, "containers' programs are not in our images; say what to start under run:"},
    {"env-files", IMPORT_LEFT, "write the variables under env:"},
    {"dns", IMPORT_LEFT, "nodes find each other by /etc/hosts; see dns: of a network"},
    {"network-mode", IMPORT_LEFT, "a machine shares its network with no other"},
    {"runtime", IMPORT_APPROXIMATED, "machines are emulated PCs"},
    {"position", IMPORT_APPROXIMATED, "graphs are laid out by themselves"},
    {"startup-delay", IMPORT_APPROXIMATED, "all machines start at once"},
    {"auto-remove", IMPORT_APPROXIMATED, "`netlab down` leaves nothing"},
    {"image-pull-policy", IMPORT_APPROXIMATED, "images are built beforehand"},
    {"enforce-startup-config", IMPORT_APPROXIMATED, "a machine always starts with its configuration"},
    {"suppress-startup-config", IMPORT_APPROXIMATED, "a machine always starts with its configuration"},
    {"healthcheck", IMPORT_LEFT, "write it under checks:, for netlab validate"},
    {"license", IMPORT_APPROXIMATED, "no image of ours needs one"},
    {"wait-for", IMPORT_APPROXIMATED, "all machines start at once, none waits"},
    {"config", IMPORT_LEFT, "variables for containerlab's templates"},
    {"certificate", IMPORT_LEFT, "no certificates are made"},
    {"components", IMPORT_LEFT, "line cards of other makes"},
};

/* Programs that only keep a container alive. */
static bool only_waits(const char *text)
{
    static const char *const words[] = {"sleep ", "tail -f", "sh",        "bash",
                                        "ash",    "/bin/sh", "/bin/bash", "/sbin/init"};
    for (size_t i = 0; text && i < G_N_ELEMENTS(words); i++)
        if (i < 2 ? g_str_has_prefix(text, words[i]) : g_str_equal(text, words[i]))
            return true;
    return false;
}

/* `owner`: "node r1", "kind linux", "defaults" */
static void note_keys(struct reader *r, const char *owner, const struct yaml_tree *settings)
{
    for (guint i = 0; i < yaml_tree_count(settings); i++) {
        const char *key = yaml_tree_key(settings, i);
        if (!key)
            continue;
        g_autofree char *plain = g_strdelimit(g_strdup(key), "_", '-');
        g_autofree char *what = g_strdup_printf("%s: %s", owner, key);
        struct topology_mark mark = yaml_tree_key_mark(settings, i);
        size_t k = 0;
        while (k < G_N_ELEMENTS(node_keys) && !g_str_equal(node_keys[k].key, plain))
            k++;
        bool is_program = g_str_equal(plain, "cmd") || g_str_equal(plain, "entrypoint");
        if (k == G_N_ELEMENTS(node_keys))
            import_note(r->lab, IMPORT_LEFT, mark, what, "not known");
        else if (is_program && only_waits(yaml_tree_text(yaml_tree_item(settings, i))))
            import_note(r->lab, IMPORT_APPROXIMATED, mark, what, "a machine goes on without it");
        else if (node_keys[k].how)
            import_note(r->lab, node_keys[k].level, mark, what, "%s", node_keys[k].how);
    }
}

static void read_startup_config(struct reader *r, struct clab_node *n, bool is_frr)
{
    struct topology_mark mark;
    const char *text = look_text(n, "startup-config", &mark);
    if (!text)
        return;
    g_autofree char *what = g_strdup_printf("node %s: startup-config", n->node->name);
    if (!is_frr)
        import_note(r->lab, IMPORT_LEFT, mark, what, "is in another system's words");
    else if (strchr(text, '\n') &&
             import_put(r->lab, n->node, "/etc/frr/frr.conf", 0644, text, strlen(text), mark))
        import_note(r->lab, IMPORT_MAPPED, mark, what, "/etc/frr/frr.conf");
    else if (!strchr(text, '\n')) {
        g_autofree char *path = in_lab(n, text);
        import_copy(r->lab, n->node, path, "/etc/frr/frr.conf", mark, false);
    }
}

/* extras: {frr: {daemons: [ospfd]}} */
static void read_extras(struct reader *r, struct clab_node *n)
{
    struct topology_mark mark;
    const struct yaml_tree *extras = look(n, "extras", &mark),
                           *daemons = yaml_tree_get(yaml_tree_get(extras, "frr", NULL), "daemons", NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < MIN(yaml_tree_count(daemons), 50); i++) {
        const char *daemon = yaml_tree_text(yaml_tree_item(daemons, i));
        if (daemon)
            g_string_append_printf(text, "%s=yes\n", daemon);
    }
    g_autofree char *what = g_strdup_printf("node %s: extras", n->node->name);
    if (text->len && import_put(r->lab, n->node, "/etc/frr/daemons.lab", 0644, text->str, text->len, mark))
        import_note(r->lab, IMPORT_MAPPED, mark, what,
                    "these daemons are started, and those that frr.conf needs");
    else if (extras && !text->len)
        import_note(r->lab, IMPORT_LEFT, mark, what, "not known");
}

/* ---- nodes ---- */

static void read_restart(struct reader *r, struct clab_node *n)
{
    struct topology_mark mark;
    const char *text = look_text(n, "restart-policy", &mark);
    if (!text)
        return;
    g_autofree char *what = g_strdup_printf("node %s: restart-policy", n->node->name);
    const char *ours = g_str_equal(text, "no")           ? "never"
                       : g_str_equal(text, "on-failure") ? "on-failure"
                                                         : "always";
    n->node->restart = g_strdup(ours);
    import_note(r->lab, IMPORT_MAPPED, mark, what, "restart: %s", ours);
}

static void read_machine(struct reader *r, struct clab_node *n, const char *kind)
{
    static const char *const linux_kinds[] = {"linux", "frr", "sonic-vs", "generic_vm"};
    struct topology_mark mark = n->node->mark;
    const char *image = look_text(n, "image", &mark);
    bool is_frr = g_str_equal(kind, "frr") || (image && strstr(image, "frr"));
    bool is_linux = false;
    for (size_t i = 0; i < 2; i++)
        is_linux |= g_str_equal(kind, linux_kinds[i]);
    n->node->forwarding = 1; /* as in containers */
    if (is_linux && image) {
        import_choose_image(r->lab, n->node, image, mark);
    } else if (is_linux) {
        n->node->image = is_frr ? "router" : "host";
        g_autofree char *what = g_strdup_printf("node %s: kind %s", n->node->name, kind);
        import_note(r->lab, is_frr ? IMPORT_MAPPED : IMPORT_APPROXIMATED, mark, what, "image %s",
                    n->node->image);
    } else {
        g_autofree char *what = g_strdup_printf("node %s: kind %s", n->node->name, kind);
        n->node->image = "router";
        import_note(r->lab, IMPORT_LEFT, n->node->mark, what,
                    "that system does not run here; a router without configuration stands in its place");
    }
    if (is_frr)
        n->node->image = "router";
    n->node->needs_router |= g_str_equal(kind, "frr");
    each(r, n, "binds", read_bind);
    read_startup_config(r, n, is_frr);
    read_extras(r, n);
    each_pair(r, n, "env", read_env);
    each_pair(r, n, "sysctls", read_sysctl);
    read_restart(r, n);
    g_autofree char *owner = g_strdup_printf("node %s", n->node->name);
    note_keys(r, owner, n->layers[0]);
}

static void add_node(struct reader *r, const char *name, const struct yaml_tree *tree,
                     struct topology_mark mark)
{
    struct clab_node *n = g_new0(struct clab_node, 1);
    g_hash_table_insert(r->nodes, g_strdup(name), n);
    n->layers[0] = tree;
    n->layers[3] = yaml_tree_get(r->topology, "defaults", NULL);
    const char *group = look_text(n, "group", NULL);
    if (!group)
        group = yaml_tree_text(yaml_tree_item(yaml_tree_get(tree, "groups", NULL), 0));
    n->layers[1] = group ? yaml_tree_get(yaml_tree_get(r->topology, "groups", NULL), group, NULL) : NULL;
    const char *kind = look_text(n, "kind", NULL);
    n->layers[2] = kind ? yaml_tree_get(yaml_tree_get(r->topology, "kinds", NULL), kind, NULL) : NULL;
    if (!kind)
        kind = "linux";
    g_autofree char *what = g_strdup_printf("node %s: kind %s", name, kind);
    if (g_str_equal(kind, "bridge") || g_str_equal(kind, "ovs-bridge")) {
        n->segment = import_segment_add(r->lab, name, mark);
        if (n->segment)
            import_note(r->lab, IMPORT_MAPPED, mark, what, "network %s", n->segment->name);
    } else if (g_str_equal(kind, "host") || g_str_has_prefix(kind, "ext-") || g_str_has_prefix(kind, "k8s")) {
        import_note(r->lab, IMPORT_LEFT, mark, what, "what is outside the lab is not joined to it");
    } else {
        n->node = import_node_add(r->lab, name, mark);
        if (n->node)
            read_machine(r, n, kind);
    }
}

/* ---- links ---- */

struct end {
    char *node, *interface;
    const char *mac, *ipv4, *ipv6;
    struct topology_mark mark;
};

static void end_clear(void *data)
{
    g_free(((struct end *)data)->node);
    g_free(((struct end *)data)->interface);
}

/* "r1:eth1", or {node: r1, interface: eth1, mac: …} */
static bool read_end(const struct yaml_tree *tree, struct end *end)
{
    const char *text = yaml_tree_text(tree);
    *end = (struct end){.mark = tree ? tree->mark : (struct topology_mark){1, 1}};
    if (text) {
        const char *colon = strchr(text, ':');
        end->node = colon ? g_strndup(text, (gsize)(colon - text)) : g_strdup(text);
        end->interface = g_strdup(colon ? colon + 1 : "");
        return true;
    }
    const char *node = yaml_tree_text(yaml_tree_get(tree, "node", NULL)),
               *interface = yaml_tree_text(yaml_tree_get(tree, "interface", NULL));
    if (!node)
        return false;
    end->node = g_strdup(node);
    end->interface = g_strdup(interface ? interface : "");
    end->mac = yaml_tree_text(yaml_tree_get(tree, "mac", NULL));
    end->ipv4 = yaml_tree_text(yaml_tree_get(tree, "ipv4", NULL));
    end->ipv6 = yaml_tree_text(yaml_tree_get(tree, "ipv6", NULL));
    return true;
}

static struct import_segment *manage(struct reader *r, struct topology_mark mark)
{
    if (!r->management)
        r->management = import_outside(r->lab, "mgmt", mark);
    return r->management;
}

/* Which network an end without a machine means; NULL: none of ours. */
static struct import_segment *special(struct reader *r, const struct end *end, const char *what)
{
    const struct clab_node *n = g_hash_table_lookup(r->nodes, end->node);
    if (n && n->segment)
        return n->segment;
    if (g_str_equal(end->node, "mgmt-net"))
        return manage(r, end->mark);
    if (g_str_equal(end->node, "dummy"))
        return NULL;
    import_note(
        r->lab, IMPORT_LEFT, end->mark, what,
        g_str_has_prefix(end->node, "macv") /* macvlan, macvtap */
            ? "the host's NICs are not touched by themselves; say uplink: %s at the network"
            : g_str_equal(end->node, "host")
                  ? "the host's side %s is not there; say host: ADDRESS at the network"
                  : "%s: there is no machine of that name",
        g_str_has_prefix(end->node, "macv") || g_str_equal(end->node, "host") ? end->interface : end->node);
    return NULL;
}

static void join(struct reader *r, struct import_segment *segment, const struct end *end, unsigned mtu)
{
    const struct clab_node *n = g_hash_table_lookup(r->nodes, end->node);
    if (!n || !n->node)
        return;
    struct import_nic *nic =
        import_nic_add(r->lab, n->node, segment, *end->interface ? end->interface : "eth1", end->mark);
    if (!nic)
        return;
    if (mtu && mtu >= 68 && mtu <= 1500)
        segment->mtu = mtu;
    if (end->mac)
        import_nic_mac(r->lab, n->node, nic, end->mac, end->mark);
    const char *addresses[] = {end->ipv4, end->ipv6};
    for (int i = 0; i < 2; i++)
        if (addresses[i] && !import_nic_address(r->lab, n->node, nic->interface, addresses[i])) {
            g_autofree char *what = g_strdup_printf("node %s: address %s", n->node->name, addresses[i]);
            import_note(r->lab, IMPORT_LEFT, end->mark, what, "not usable at this interface");
        }
}

static void note_link(struct reader *r, const struct yaml_tree *link, const char *what)
{
    static const char *const known[] = {"endpoints", "endpoint", "type", "mtu", "host-interface", NULL};
    for (guint i = 0; i < yaml_tree_count(link); i++) {
        const char *key = yaml_tree_key(link, i);
        if (!key || g_strv_contains(known, key))
            continue;
        bool harmless = g_str_equal(key, "labels") || g_str_equal(key, "vars");
        g_autofree char *whole = g_strdup_printf("%s: %s", what, key);
        import_note(r->lab, harmless ? IMPORT_APPROXIMATED : IMPORT_LEFT, yaml_tree_key_mark(link, i), whole,
                    harmless ? "has no effect here" : "not known");
    }
}

static void read_link(struct reader *r, const struct yaml_tree *link)
{
    const struct yaml_tree *list = yaml_tree_get(link, "endpoints", NULL);
    const char *type = yaml_tree_text(yaml_tree_get(link, "type", NULL));
    struct topology_mark mark = link->mark;
    g_autoptr(GArray) ends = g_array_new(FALSE, TRUE, sizeof(struct end));
    g_array_set_clear_func(ends, end_clear);
    for (guint i = 0; i < MIN(yaml_tree_count(list), 2); i++) {
        struct end end;
        if (read_end(yaml_tree_item(list, i), &end))
            g_array_append_val(ends, end);
    }
    struct end single;
    if (!ends->len && read_end(yaml_tree_get(link, "endpoint", NULL), &single)) {
        const char *host = yaml_tree_text(yaml_tree_get(link, "host-interface", NULL));
        struct end other = {
            .node = g_strdup(type ? type : "dummy"), .interface = g_strdup(host ? host : ""), .mark = mark};
        g_array_append_val(ends, single);
        g_array_append_val(ends, other);
    }
    if (ends->len < 2) {
        import_note(r->lab, IMPORT_LEFT, mark, "link", "has not two endpoints of the form NODE:INTERFACE");
        return;
    }
    const struct end *a = &g_array_index(ends, struct end, 0), *b = &g_array_index(ends, struct end, 1);
    const struct clab_node *na = g_hash_table_lookup(r->nodes, a->node),
                           *nb = g_hash_table_lookup(r->nodes, b->node);
    g_autofree char *what =
        g_strdup_printf("link %s:%s - %s:%s", a->node, a->interface, b->node, b->interface);
    bool machines = na && na->node && nb && nb->node;
    note_link(r, link, what);
    guint64 mtu = 0;
    const char *mtu_text = yaml_tree_text(yaml_tree_get(link, "mtu", NULL));
    if (mtu_text && (!g_ascii_string_to_unsigned(mtu_text, 10, 68, 1500, &mtu, NULL) || mtu > 1500))
        import_note(r->lab, IMPORT_APPROXIMATED, mark, what, "mtu %s: 68 to 1500 are possible, 1500 it is",
                    mtu_text);
    struct import_segment *segment = NULL;
    if (!(na && na->node) && !(nb && nb->node)) {
        import_note(r->lab, IMPORT_LEFT, mark, what, "neither end is a machine");
        return;
    }
    if (!machines)
        segment = special(r, na && na->node ? b : a, what);
    if (!segment) {
        g_autofree char *name = machines ? g_strdup_printf("%s-%s", na->node->name, nb->node->name)
                                         : g_strdup_printf("%s-%s", (na && na->node ? na : nb)->node->name,
                                                           na && na->node ? a->interface : b->interface);
        segment = import_segment_add(r->lab, name, mark);
    }
    if (!segment)
        return;
    join(r, segment, a, (unsigned)mtu);
    join(r, segment, b, (unsigned)mtu);
    import_note(r->lab, IMPORT_MAPPED, mark, what, "network %s", segment->name);
}

/* ---- the management network ---- */

static bool is_taken(const struct import_lab *lab, const struct import_segment *segment,
                     struct ipv4_prefix own)
{
    for (guint n = 0; n < lab->nodes->len; n++) {
        const struct import_node *node = lab->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            const struct import_nic *nic = node->nics->pdata[i];
            struct ipv4_prefix other;
            if (nic->segment == segment && nic->address && ipv4_parse(nic->address, &other) &&
                other.address == own.address)
                return true;
        }
    }
    return false;
}

static void join_management(struct reader *r)
{
    const struct yaml_tree *mgmt = yaml_tree_get(r->root, "mgmt", NULL);
    struct topology_mark mark = mgmt ? mgmt->mark : (struct topology_mark){1, 1};
    const char *subnet = yaml_tree_text(yaml_tree_get(mgmt, "ipv4-subnet", NULL));
    if (!subnet)
        subnet = yaml_tree_text(yaml_tree_get(mgmt, "ipv4_subnet", NULL));
    bool wanted = r->management != NULL;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, r->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct clab_node *n = value;
        wanted |= n->node && (look(n, "ports", NULL) || look(n, "mgmt-ipv4", NULL));
    }
    if (!wanted) {
        import_note(r->lab, IMPORT_APPROXIMATED, mark, "management network",
                    "is not needed: netlab connect and exec work without a network");
        return;
    }
    struct import_segment *segment = manage(r, mark);
    struct ipv4_prefix prefix;
    if (!segment)
        return;
    if (ipv4_parse(subnet ? subnet : "172.20.20.0/24", &prefix) && prefix.length >= 8 &&
        prefix.length <= 29) {
        prefix.address &= ipv4_mask(prefix.length);
        segment->subnet = ipv4_format(prefix);
        /* Out of the way: nodes have the low ones. */
        struct ipv4_prefix server = {(prefix.address | ~ipv4_mask(prefix.length)) - 1, IPV4_NO_LENGTH};
        segment->dns = ipv4_format(server);
    } else {
        prefix = (struct ipv4_prefix){0, 0};
    }
    for (guint i = 0; i < r->lab->nodes->len; i++) {
        struct import_node *node = r->lab->nodes->pdata[i];
        struct clab_node *n = g_hash_table_lookup(r->nodes, node->source_name);
        struct topology_mark at = node->mark;
        if (import_nic_find(node, "eth0"))
            continue;
        struct import_nic *nic = import_nic_add(r->lab, node, segment, "eth0", node->mark);
        const char *text = look_text(n, "mgmt-ipv4", &at);
        struct ipv4_prefix own;
        g_autofree char *what = g_strdup_printf("node %s: mgmt-ipv4", node->name);
        if (nic && text && ipv4_parse(text, &own) && segment->subnet && ipv4_contains(prefix, own.address) &&
            own.address != prefix.address && own.address != prefix.address + 1 &&
            own.address < (prefix.address | ~ipv4_mask(prefix.length)) - 1 &&
            !is_taken(r->lab, segment, own)) {
            own.length = prefix.length;
            nic->address = ipv4_format(own);
            import_note(r->lab, IMPORT_MAPPED, at, what, "%s", nic->address);
        } else if (text) {
            import_note(r->lab, IMPORT_APPROXIMATED, at, what, "gets a free address of that network");
        }
    }
    import_note(r->lab, IMPORT_APPROXIMATED, mark, "management network", "network %s, by user networking",
                segment->name);
}

/* Settings of kinds, groups and defaults, once and not at each of their nodes. */
static void note_shared(struct reader *r)
{
    static const char *const maps[] = {"kinds", "groups"}, *const owners[] = {"kind", "group"};
    note_keys(r, "defaults", yaml_tree_get(r->topology, "defaults", NULL));
    for (size_t m = 0; m < G_N_ELEMENTS(maps); m++) {
        const struct yaml_tree *map = yaml_tree_get(r->topology, maps[m], NULL);
        for (guint i = 0; i < yaml_tree_count(map); i++) {
            const char *key = yaml_tree_key(map, i);
            g_autofree char *owner = g_strdup_printf("%s %s", owners[m], key ? key : "");
            note_keys(r, owner, yaml_tree_item(map, i));
        }
    }
}

static void note_top(struct reader *r)
{
    static const char *const known[] = {"name", "topology", "mgmt", NULL}, *const inside[] = {
                                                                               "nodes",    "links",  "kinds",
                                                                               "defaults", "groups", NULL};
    const struct yaml_tree *trees[] = {r->root, r->topology};
    const char *const *names[] = {known, inside};
    for (int t = 0; t < 2; t++)
        for (guint i = 0; i < yaml_tree_count(trees[t]); i++) {
            const char *key = yaml_tree_key(trees[t], i);
            if (key && g_strv_contains(names[t], key))
                continue;
            bool prefix = key && (g_str_equal(key, "prefix") || g_str_equal(key, "settings"));
            import_note(r->lab, prefix ? IMPORT_APPROXIMATED : IMPORT_LEFT, yaml_tree_key_mark(trees[t], i),
                        key ? key : "entry", prefix ? "has no meaning here" : "not known");
        }
}

bool import_read_containerlab(struct import_lab *lab, const char *text, size_t length, GError **error)
{
    struct yaml_tree *root = yaml_tree_load(text, length, lab->shown, error);
    if (!root)
        return false;
    expand_tree(root);
    struct reader r = {.lab = lab,
                       .root = root,
                       .topology = yaml_tree_get(root, "topology", NULL),
                       .nodes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
    const struct yaml_tree *nodes = yaml_tree_get(r.topology, "nodes", NULL),
                           *links = yaml_tree_get(r.topology, "links", NULL);
    const char *name = yaml_tree_text(yaml_tree_get(root, "name", NULL));
    bool good = nodes && nodes->kind == YAML_TREE_MAP;
    if (!good)
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
                    "%s:%u:%u: a containerlab topology has nodes under topology:, this has not", lab->shown,
                    (r.topology ? r.topology : root)->mark.line,
                    (r.topology ? r.topology : root)->mark.column);
    if (good && name) {
        g_free(lab->name);
        lab->name = import_clean_name(name, "-_", 32);
    }
    for (guint i = 0; good && i < yaml_tree_count(nodes); i++)
        add_node(&r, yaml_tree_key(nodes, i), yaml_tree_item(nodes, i), yaml_tree_key_mark(nodes, i));
    for (guint i = 0; good && i < yaml_tree_count(links); i++)
        read_link(&r, yaml_tree_item(links, i));
    if (good && links && links->kind == YAML_TREE_MAP)
        import_note(lab, IMPORT_LEFT, links->mark, "links", "must be a list");
    if (good) {
        join_management(&r);
        /* Commands and ports last: they look at the interfaces. */
        for (guint i = 0; i < lab->nodes->len; i++) {
            struct import_node *node = lab->nodes->pdata[i];
            struct clab_node *n = g_hash_table_lookup(r.nodes, node->source_name);
            each(&r, n, "exec", read_exec);
            read_stages(&r, n);
            each(&r, n, "ports", read_port);
        }
        note_shared(&r);
        note_top(&r);
    }
    g_hash_table_unref(r.nodes);
    yaml_tree_free(root);
    return good;
}
