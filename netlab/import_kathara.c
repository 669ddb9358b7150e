/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Kathará's labs (and Netkit's): lab.conf says devices, their collision domains and options; NAME.startup is
 * a script, NAME/ is copied into the device, shared/ and shared.startup are every device's. A collision
 * domain is a network without a subnet here: addresses come from the start scripts, where import_commands.c
 * finds them.
 */
#include "netlab/import_internal.h"

#include <string.h>

enum { SCRIPT_MOST = 256 << 10, LINES_MOST = 20000 };

struct reader {
    struct import_lab *lab;
    GHashTable *bridged; /* struct import_node *: they want the outside */
    GPtrArray *ports;    /* struct port * */
    GPtrArray *execs;    /* struct port *: commands, after the scripts */
};

struct port {
    struct import_node *node;
    char *text;
    struct topology_mark mark;
};

static void port_free(void *data)
{
    g_free(((struct port *)data)->text);
    g_free(data);
}

struct line {
    char *key;      /* "r1" or "LAB_AUTHOR" */
    char *argument; /* what is in the brackets; NULL: none */
    char *value;
    struct topology_mark mark, value_mark;
};

static void line_clear(struct line *line)
{
    g_free(line->key);
    g_free(line->argument);
    g_free(line->value);
}

/* KEY[ARGUMENT]="VALUE" or KEY="VALUE". 1: read; 0: empty or a comment; -1: neither. */
static int read_line(const char *text, unsigned number, struct line *line)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    const char *c = text + strspn(text, " \t\r");
    if (!*c || *c == '#')
        return 0;
    *line = (struct line){.mark = {number, (unsigned)(c - text) + 1}};
    size_t length = strspn(c, letters);
    if (!length || length > 64)
        return -1;
    line->key = g_strndup(c, length);
    c += length;
    if (*c == '[') {
        length = strspn(c + 1, letters);
        if (!length || c[1 + length] != ']')
            return -1;
        line->argument = g_strndup(c + 1, length);
        c += length + 2;
    }
    c += strspn(c, " \t");
    if (*c != '=')
        return -1;
    c += 1 + strspn(c + 1, " \t");
    line->value_mark = (struct topology_mark){number, (unsigned)(c - text) + 1};
    if (*c == '"' || *c == '\'') {
        /* The quote that ends the line, but for a comment: values have quotes within. */
        const char *end = strchr(c + 1, *c);
        while (end && end[1 + strspn(end + 1, " \t\r")] && end[1 + strspn(end + 1, " \t\r")] != '#')
            end = strchr(end + 1, *c);
        if (!end)
            return -1;
        line->value = g_strndup(c + 1, (gsize)(end - c - 1));
    } else {
        line->value = g_strndup(c, strcspn(c, " \t\r#"));
    }
    return 1;
}

/* "A" or "A/00:11:22:33:44:55" */
static void read_interface(struct reader *r, struct import_node *node, const struct line *line,
                           unsigned number)
{
    g_auto(GStrv) parts = g_strsplit(line->value, "/", 2);
    g_autofree char *interface = g_strdup_printf("eth%u", number);
    g_autofree char *what = g_strdup_printf("%s[%u]=%s", line->key, number, line->value);
    if (!parts[0] || !*parts[0]) {
        import_note(r->lab, IMPORT_LEFT, line->value_mark, what, "no collision domain; write \"A\"");
        return;
    }
    /* Only letters and digits occur in their names, so a clean name means one domain. */
    g_autofree char *name = import_clean_name(parts[0], "-_.", 32);
    struct import_segment *segment = import_segment_find(r->lab, name);
    if (!segment)
        segment = import_segment_add(r->lab, name, line->value_mark);
    struct import_nic *nic = segment ? import_nic_add(r->lab, node, segment, interface, line->mark) : NULL;
    if (!nic)
        return;
    if (parts[1])
        import_nic_mac(r->lab, node, nic, parts[1], line->value_mark);
    import_note(r->lab, IMPORT_MAPPED, line->mark, what, "%s on network %s", interface, segment->name);
}

static bool is_true(const char *value)
{
    return g_ascii_strcasecmp(value, "true") == 0 || g_ascii_strcasecmp(value, "yes") == 0 ||
           g_str_equal(value, "1");
}

static void defer(GPtrArray *list, struct import_node *node, const struct line *line)
{
    struct port *port = g_new0(struct port, 1);
    port->node = node;
    port->text = g_strdup(line->value);
    port->mark = line->value_mark;
    g_ptr_array_add(list, port);
}

static void read_env(struct reader *r, struct import_node *node, const struct line *line, const char *what)
{
    g_auto(GStrv) halves = g_strsplit(line->value, "=", 2);
    const char *name = halves[0] ? halves[0] : "";
    size_t plain = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    static const char path[] = "/etc/profile.d/lab.sh";
    const struct import_file *before = g_hash_table_lookup(node->files, path);
    g_autofree char *quoted = g_shell_quote(halves[0] && halves[1] ? halves[1] : "");
    g_autofree char *all = g_strdup_printf("%sexport %s=%s\n", before ? before->data : "", name, quoted);
    if (!plain || name[plain] || g_ascii_isdigit(*name))
        import_note(r->lab, IMPORT_LEFT, line->mark, what, "write NAME=VALUE");
    else if (import_put(r->lab, node, path, 0644, all, strlen(all), line->mark))
        import_note(r->lab, IMPORT_APPROXIMATED, line->mark, what, "in %s, for shells", path);
}

static const struct {
    const char *name;
    enum import_level level;
    const char *how;
} options[] = {
    {"mem", IMPORT_APPROXIMATED, "the image says how much memory a machine needs"},
    {"cpus", IMPORT_APPROXIMATED, "a machine has one processor"},
    {"num_terms", IMPORT_APPROXIMATED, "terminals are opened by netlab connect"},
    {"shell", IMPORT_APPROXIMATED, "netlab connect gives the image's shell"},
    {"privileged", IMPORT_APPROXIMATED, "root of a machine may do everything in it"},
    {"ulimit", IMPORT_LEFT, "limits of containers"},
    {"entrypoint", IMPORT_LEFT, "containers' programs are not in our images"},
    {"args", IMPORT_LEFT, "arguments of containers' programs"},
    {"volume", IMPORT_LEFT, "folders of the host are not mounted; copy them into the node's folder"},
    {"rp_filter", IMPORT_APPROXIMATED, "reverse paths are not filtered"},
};

static void read_option(struct reader *r, struct import_node *node, const struct line *line)
{
    const char *name = line->argument;
    g_autofree char *what = g_strdup_printf("%s[%s]=%s", line->key, name, line->value);
    if (g_str_equal(name, "image")) {
        g_free(node->source_image);
        node->source_image = g_strdup(line->value);
        node->image_mark = line->value_mark;
    } else if (g_str_equal(name, "bridged")) {
        if (is_true(line->value))
            g_hash_table_add(r->bridged, node);
    } else if (g_str_equal(name, "port")) {
        defer(r->ports, node, line);
        g_hash_table_add(r->bridged, node);
    } else if (g_str_equal(name, "exec")) {
        defer(r->execs, node, line);
    } else if (g_str_equal(name, "env")) {
        read_env(r, node, line, what);
    } else if (g_str_equal(name, "sysctl")) {
        g_autofree char *quoted = g_shell_quote(line->value),
                        *command = g_strconcat("sysctl -q -w ", quoted, NULL);
        if (import_run(r->lab, node, command, line->mark, what))
            import_note(r->lab, IMPORT_MAPPED, line->mark, what, "run: %s", command);
    } else if (g_str_equal(name, "ipv6")) {
        static const char off[] = "sysctl -q -w net.ipv6.conf.all.disable_ipv6=1";
        bool is_on = is_true(line->value);
        if (is_on || import_run(r->lab, node, off, line->mark, what))
            import_note(r->lab, IMPORT_MAPPED, line->mark, what, is_on ? "IPv6 is on" : "run: %s", off);
    } else {
        for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
            if (g_str_equal(options[i].name, name)) {
                import_note(r->lab, options[i].level, line->mark, what, "%s", options[i].how);
                return;
            }
        }
        import_note(r->lab, IMPORT_LEFT, line->mark, what, "not known");
    }
}

static void describe(struct import_lab *lab, const struct line *line)
{
    if (g_str_equal(line->key, "LAB_NAME")) {
        g_free(lab->name);
        lab->name = import_clean_name(line->value, "-_", 32);
        return;
    }
    if (!g_str_has_prefix(line->key, "LAB_")) {
        import_note(lab, IMPORT_LEFT, line->mark, line->key, "not known");
        return;
    }
    g_autofree char *title = g_ascii_strdown(line->key + 4, -1);
    char *comment = g_strdup_printf("%s%s%s: %s", lab->comment ? lab->comment : "", lab->comment ? "\n" : "",
                                    title, line->value);
    g_free(lab->comment);
    lab->comment = comment;
}

static bool read_conf(struct reader *r, const char *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", LINES_MOST);
    for (guint i = 0; lines[i]; i++) {
        struct line line = {0};
        int got = read_line(lines[i], i + 1, &line);
        if (got < 0 || (got && (!g_utf8_validate(line.value, -1, NULL) || strlen(line.value) > 4096))) {
            g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
                        "%s:%u:%u: neither DEVICE[NUMBER]=\"DOMAIN\", DEVICE[OPTION]=\"VALUE\" nor "
                        "LAB_NAME=\"VALUE\"; correct the line or put a # before it",
                        r->lab->shown, i + 1, line.mark.column ? line.mark.column : 1);
            line_clear(&line);
            return false;
        }
        if (got > 0 && line.argument) {
            struct import_node *node = import_node_find(r->lab, line.key);
            guint64 number;
            if (!node)
                node = import_node_add(r->lab, line.key, line.mark);
            if (node && g_ascii_string_to_unsigned(line.argument, 10, 0, 999, &number, NULL))
                read_interface(r, node, &line, (unsigned)number);
            else if (node)
                read_option(r, node, &line);
        } else if (got > 0) {
            describe(r->lab, &line);
        }
        line_clear(&line);
    }
    return true;
}

/* ---- what lies beside it ---- */

static bool exists(const struct import_lab *lab, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = import_read(lab, path, SCRIPT_MOST, &error);
    return text != NULL;
}

static void take_script(struct reader *r, struct import_node *node, const char *name)
{
    g_autofree char *text = import_read(r->lab, name, SCRIPT_MOST, NULL);
    if (text)
        import_script(r->lab, node, name, text);
}

static void take_beside(struct reader *r, struct import_node *node)
{
    struct import_lab *lab = r->lab;
    g_autofree char *startup = g_strconcat(node->source_name, ".startup", NULL),
                    *shutdown = g_strconcat(node->source_name, ".shutdown", NULL);
    import_copy(lab, node, node->source_name, "/", node->mark, true);
    import_copy(lab, node, "shared", "/shared", node->mark, true);
    take_script(r, node, "shared.startup");
    take_script(r, node, startup);
    g_autofree char *what = g_strdup_printf("node %s: %s", node->name, shutdown);
    if (exists(lab, shutdown) || exists(lab, "shared.shutdown"))
        import_note(lab, IMPORT_LEFT, node->mark, what, "nothing is run when a machine stops");
}

static void join_outside(struct reader *r, struct import_node *node)
{
    struct import_segment *outside = import_outside(r->lab, "outside", node->mark);
    unsigned number = 0;
    g_autofree char *name = NULL;
    do {
        g_free(name);
        name = g_strdup_printf("eth%u", number++);
    } while (import_nic_find(node, name));
    g_autofree char *what = g_strdup_printf("node %s: bridged", node->name);
    if (outside && import_nic_add(r->lab, node, outside, name, node->mark))
        import_note(r->lab, IMPORT_APPROXIMATED, node->mark, what, "%s on network %s, by user networking",
                    name, outside->name);
}

bool import_read_kathara(struct import_lab *lab, const char *text, size_t length, GError **error)
{
    struct reader r = {.lab = lab,
                       .bridged = g_hash_table_new(NULL, NULL),
                       .ports = g_ptr_array_new_with_free_func(port_free),
                       .execs = g_ptr_array_new_with_free_func(port_free)};
    g_autofree char *whole = g_strndup(text, length);
    /* Some editors put a mark of the byte order before UTF-8. */
    bool good = read_conf(&r, whole + (g_str_has_prefix(whole, "\xef\xbb\xbf") ? 3 : 0), error);
    for (guint i = 0; good && i < lab->nodes->len; i++) {
        struct import_node *node = lab->nodes->pdata[i];
        node->forwarding = 1; /* Kathará's devices all do */
        if (node->source_image)
            import_choose_image(lab, node, node->source_image, node->image_mark);
        if (g_hash_table_contains(r.bridged, node))
            join_outside(&r, node);
        take_beside(&r, node);
    }
    for (guint i = 0; good && i < r.execs->len; i++) {
        const struct port *exec = r.execs->pdata[i];
        import_command(lab, exec->node, exec->text, exec->mark);
    }
    for (guint i = 0; good && i < r.ports->len; i++) {
        const struct port *port = r.ports->pdata[i];
        /* Kathará takes a lone number, for port 3000 of the host. */
        g_autofree char *pair =
            strchr(port->text, ':') ? g_strdup(port->text) : g_strconcat("3000:", port->text, NULL);
        import_port(lab, port->node, import_outside(lab, "outside", port->mark), pair, port->mark);
    }
    struct topology_mark start = {1, 1};
    if (good && exists(lab, "lab.dep"))
        import_note(lab, IMPORT_APPROXIMATED, start, "lab.dep", "all machines start at once, none waits");
    if (good && exists(lab, "lab.ext"))
        import_note(lab, IMPORT_LEFT, start, "lab.ext",
                    "the host's NICs are not touched by themselves; say uplink: NIC at a network");
    g_hash_table_unref(r.bridged);
    g_ptr_array_unref(r.ports);
    g_ptr_array_unref(r.execs);
    return good;
}
