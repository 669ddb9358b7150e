/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab graph`: a lab as a picture. First what is to be drawn is gathered (struct picture), from the
 * topology and, when the lab is up, from its machines; then one function a format draws it.
 */
#include "cli/change.h"
#include "cli/node.h"
#include "netlab/caller.h"
#include "netlab/channel.h"
#include "netlab/nic.h"
#include "netlab/topology_parse.h"
#include "netlab/topology_six.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"format", 'f', "FORMAT", "text, svg, dot, mermaid or json (text)"},
    {"output", 'o', "FILE", "write it there"},
    {"file", 0, NULL, "draw the file as it is, also when the lab is up"},
    {"json", 'j', NULL, "the same as --format json"},
    CLI_HELP_OPTION,
};

struct edge {
    const struct topology_node *node;
    const struct topology_nic *nic;
    char *address;        /* "" without */
    char *line;           /* "delay=20ms"; "" when it is good */
    bool is_known, is_up; /* is_known: the machine was asked */
};

struct picture {
    const struct topology *topology;
    const struct lab_status *status; /* NULL: of the file alone */
    GPtrArray *edges;                /* struct edge * */
    GString *out;
};

static void edge_free(void *data)
{
    struct edge *edge = data;
    g_free(edge->address);
    g_free(edge->line);
    g_free(edge);
}

/* ---- gathering ---- */

static char *line_words(const struct topology_line *line)
{
    static const char *const names[TOPOLOGY_IMPAIRMENTS] = {[TOPOLOGY_DELAY] = "delay",
                                                            [TOPOLOGY_JITTER] = "jitter",
                                                            [TOPOLOGY_DISTRIBUTION] = "distribution",
                                                            [TOPOLOGY_LOSS] = "loss",
                                                            [TOPOLOGY_BURST] = "burst",
                                                            [TOPOLOGY_DUPLICATE] = "duplicate",
                                                            [TOPOLOGY_CORRUPT] = "corrupt",
                                                            [TOPOLOGY_REORDER] = "reorder",
                                                            [TOPOLOGY_RATE] = "rate",
                                                            [TOPOLOGY_LIMIT] = "limit",
                                                            [TOPOLOGY_SEED] = "seed"};
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < TOPOLOGY_IMPAIRMENTS; i++)
        if (line->words[i] && i != TOPOLOGY_SEED && i != TOPOLOGY_LIMIT)
            g_string_append_printf(text, "%s%s=%s", text->len ? " " : "", names[i], line->words[i]);
    return g_strdup(text->str);
}

/* "delay=20ms,loss=1%,seed=4\n…" → "delay=20ms loss=1%"; "off" → "". */
static char *live_words(const char *text)
{
    g_autofree char *line = g_strndup(text, strcspn(text, "\n"));
    g_auto(GStrv) words = g_strsplit(line, ",", -1);
    g_autoptr(GString) kept = g_string_new(NULL);
    for (guint i = 0; words[i] && !g_str_equal(line, "off"); i++)
        if (!g_str_has_prefix(words[i], "seed=") && !g_str_has_prefix(words[i], "limit="))
            g_string_append_printf(kept, "%s%s", kept->len ? " " : "", words[i]);
    return cli_printable(kept->str);
}

static const struct lab_node_status *status_of(const struct picture *picture, const char *name)
{
    for (guint i = 0; picture->status && i < picture->status->nodes->len; i++) {
        const struct lab_node_status *node = picture->status->nodes->pdata[i];
        if (g_str_equal(node->name, name))
            return node;
    }
    return NULL;
}

static bool is_running(const struct lab_node_status *node)
{
    return node && (node->state == LAB_NODE_RUNNING || node->state == LAB_NODE_STARTING);
}

/* "10.1.0.1/24 fd00::1/64"; "" without. */
static char *addresses_of(const struct topology_nic *nic)
{
    g_autofree char *four = nic->dhcp          ? g_strdup("dhcp")
                            : nic->has_address ? ipv4_format(nic->address)
                                               : g_strdup("");
    g_autofree char *six = nic->has_address6 ? ipv6_format(&nic->address6) : g_strdup("");
    return g_strconcat(four, *four && *six ? " " : "", six, NULL);
}

static void gather_node(struct picture *picture, const struct topology_node *node)
{
    const struct lab_node_status *status = status_of(picture, node->name);
    g_autoptr(JsonArray) nics = is_running(status) ? nic_query(status->directory, NULL) : NULL;
    for (guint i = 0; i < node->nics->len; i++) {
        struct edge *edge = g_new0(struct edge, 1);
        JsonObject *found = nic_find(nics, i);
        edge->node = node;
        edge->nic = node->nics->pdata[i];
        edge->address = addresses_of(edge->nic);
        edge->is_known = found != NULL;
        edge->is_up = found && channel_flag(found, "link");
        g_autofree char *live = found ? nic_impair(status->directory, i, NULL, NULL) : NULL;
        if (live && g_str_has_prefix(live, "out: ")) {
            edge->line = live_words(live + 5);
        } else {
            edge->line = line_words(&edge->nic->line);
        }
        g_ptr_array_add(picture->edges, edge);
    }
}

/* ---- what all formats say ---- */

static const char *state_of(const struct picture *picture, const struct topology_node *node)
{
    const struct lab_node_status *status = status_of(picture, node->name);
    return status ? lab_node_state_name(status->state) : picture->status ? "not up" : "";
}

static char *describe_network(const struct topology_network *network)
{
    static const char *const ways[] = {[TOPOLOGY_UPLINK_NONE] = "",
                                       [TOPOLOGY_UPLINK_USER] = "user networking",
                                       [TOPOLOGY_UPLINK_NAT] = "NAT",
                                       [TOPOLOGY_UPLINK_NIC] = "bridged to "};
    g_autoptr(GString) text = g_string_new(NULL);
    if (network->has_subnet) {
        g_autofree char *subnet = ipv4_format(network->subnet);
        g_string_append(text, subnet);
    }
    if (network->has_subnet6) {
        g_autofree char *subnet = ipv6_format(&network->subnet6);
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", subnet);
    }
    if (network->uplink != TOPOLOGY_UPLINK_NONE)
        g_string_append_printf(text, "%s%s%s", text->len ? ", " : "", ways[network->uplink],
                               network->uplink == TOPOLOGY_UPLINK_NIC ? network->uplink_nic : "");
    return g_strdup(text->str);
}

static bool is_wire(const struct topology_network *network)
{
    return network->kind == TOPOLOGY_LINK;
}

/* The edges of a network, in the order of the nodes; elements are not owned. */
static GPtrArray *edges_of(const struct picture *picture, const struct topology_network *network)
{
    GPtrArray *found = g_ptr_array_new();
    for (guint i = 0; i < picture->edges->len; i++)
        if (((struct edge *)picture->edges->pdata[i])->nic->network == network)
            g_ptr_array_add(found, picture->edges->pdata[i]);
    return found;
}

/* ---- text ---- */

struct signs {
    const char *branch, *last, *wire;
};

static void text_segment(struct picture *picture, const struct topology_network *network,
                         const struct signs *signs)
{
    g_autoptr(GPtrArray) edges = edges_of(picture, network);
    g_autofree char *about = describe_network(network);
    int names = 0, addresses = 0;
    g_string_append_printf(picture->out, "\n%s%s%s\n", network->name, *about ? "  " : "", about);
    for (guint i = 0; i < edges->len; i++) {
        const struct edge *edge = edges->pdata[i];
        names = MAX(names, (int)(strlen(edge->node->name) + strlen(edge->nic->interface) + 1));
        addresses = MAX(addresses, (int)strlen(edge->address));
    }
    for (guint i = 0; i < edges->len; i++) {
        const struct edge *edge = edges->pdata[i];
        g_autofree char *name = g_strdup_printf("%s:%s", edge->node->name, edge->nic->interface);
        g_autofree char *row =
            g_strdup_printf("%s %-*s  %-*s  %s%s%s", i + 1 < edges->len ? signs->branch : signs->last, names,
                            name, addresses, edge->address,
                            !edge->is_known ? ""
                            : edge->is_up   ? "up"
                                            : "DOWN",
                            *edge->line ? "  " : "", edge->line);
        g_string_append_printf(picture->out, "%s\n", g_strchomp(row));
    }
}

static char *wire_end(const struct edge *edge, bool name_first)
{
    const char *down = edge->is_known && !edge->is_up ? " DOWN" : "";
    const char *space = *edge->address ? " " : "";
    return name_first ? g_strdup_printf("%s:%s%s%s%s", edge->node->name, edge->nic->interface, space,
                                        edge->address, down)
                      : g_strdup_printf("%s%s%s:%s%s", edge->address, space, edge->node->name,
                                        edge->nic->interface, down);
}

static void text_wires(struct picture *picture, const struct signs *signs)
{
    g_autoptr(GPtrArray) lefts = g_ptr_array_new_with_free_func(g_free);
    int width = 0;
    bool any = false;
    for (int pass = 0; pass < 2; pass++) {
        for (guint i = 0, row = 0; i < picture->topology->networks->len; i++) {
            const struct topology_network *network = picture->topology->networks->pdata[i];
            g_autoptr(GPtrArray) edges = edges_of(picture, network);
            if (!is_wire(network) || edges->len != 2)
                continue;
            const struct edge *a = edges->pdata[0], *b = edges->pdata[1];
            if (pass == 0) {
                char *left = wire_end(a, true);
                width = MAX(width, (int)strlen(left));
                g_ptr_array_add(lefts, left);
                any = true;
                continue;
            }
            g_autofree char *right = wire_end(b, false);
            g_string_append_printf(picture->out, "%-*s %s %s\n", width, (char *)lefts->pdata[row++],
                                   signs->wire, right);
            if (*a->line)
                g_string_append_printf(picture->out, "    from %s: %s\n", a->node->name, a->line);
            if (*b->line)
                g_string_append_printf(picture->out, "    from %s: %s\n", b->node->name, b->line);
        }
        if (pass == 0 && any)
            g_string_append_c(picture->out, '\n');
    }
}

static void draw_text(struct picture *picture)
{
    const struct topology *topology = picture->topology;
    static const struct signs plain = {"|-", "`-", "--"}, drawn = {"├─", "└─", "──"};
    const char *charset;
    const struct signs *signs = g_get_charset(&charset) ? &drawn : &plain;
    g_string_append_printf(picture->out, "lab %s%s\n", topology->name, picture->status ? "" : " (not up)");
    for (guint i = 0; i < topology->networks->len; i++)
        if (!is_wire(topology->networks->pdata[i]))
            text_segment(picture, topology->networks->pdata[i], signs);
    text_wires(picture, signs);
    for (guint i = 0; i < topology->nodes->len; i++) {
        const struct topology_node *node = topology->nodes->pdata[i];
        const char *state = state_of(picture, node);
        if (*state && !g_str_equal(state, "running"))
            g_string_append_printf(picture->out, "\n%s is %s", node->name, state);
        if (!node->nics->len)
            g_string_append_printf(picture->out, "\n%s has no NIC", node->name);
    }
    if (picture->out->str[picture->out->len - 1] != '\n')
        g_string_append_c(picture->out, '\n');
}

/* ---- DOT ---- */

static void dot_quote(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            g_string_append_c(out, '\\');
        if (*c == '\n')
            g_string_append(out, "\\n");
        else
            g_string_append_c(out, *c);
    }
    g_string_append_c(out, '"');
}

static void dot_attribute(GString *out, const char *name, const char *value)
{
    g_string_append_printf(out, "%s=", name);
    dot_quote(out, value);
    g_string_append_c(out, ' ');
}

static char *edge_label(const struct edge *edge)
{
    return g_strdup_printf("%s%s%s%s%s", edge->nic->interface, *edge->address ? "\n" : "", edge->address,
                           *edge->line ? "\n" : "", edge->line);
}

static bool is_down(const struct edge *edge)
{
    return edge->is_known && !edge->is_up;
}

static void dot_node(struct picture *picture, const struct topology_node *node)
{
    static const struct {
        const char *state, *colour;
    } colours[] = {
        {"running", "#d5f0d5"}, {"starting", "#fff3c4"}, {"ended", "#f7c8c8"}, {"stopped", "#e0e0e0"}};
    const char *state = state_of(picture, node), *colour = "#dce9f7";
    for (size_t i = 0; i < G_N_ELEMENTS(colours); i++)
        if (g_str_equal(colours[i].state, state))
            colour = colours[i].colour;
    bool tell = *state && !g_str_equal(state, "running");
    g_autofree char *label =
        g_strdup_printf("%s\n%s%s%s", node->name, node->machine.image ? node->machine.image : "",
                        tell ? "\n" : "", tell ? state : "");
    g_autofree char *name = g_strconcat("node ", node->name, NULL);
    g_string_append(picture->out, "  ");
    dot_quote(picture->out, name);
    g_string_append(picture->out, " [shape=box style=\"rounded,filled\" ");
    dot_attribute(picture->out, "fillcolor", colour);
    dot_attribute(picture->out, "label", g_strchomp(label));
    g_string_append(picture->out, "]\n");
}

static void dot_segment(struct picture *picture, const struct topology_network *network)
{
    g_autoptr(GPtrArray) edges = edges_of(picture, network);
    g_autofree char *about = describe_network(network), *name = g_strconcat("net ", network->name, NULL);
    g_autofree char *label = g_strdup_printf("%s%s%s", network->name, *about ? "\n" : "", about);
    g_string_append(picture->out, "  ");
    dot_quote(picture->out, name);
    g_string_append_printf(picture->out, " [shape=%s style=filled fillcolor=\"#fff8e6\" ",
                           network->uplink != TOPOLOGY_UPLINK_NONE ? "doubleoctagon" : "ellipse");
    dot_attribute(picture->out, "label", label);
    g_string_append(picture->out, "]\n");
    for (guint i = 0; i < edges->len; i++) {
        const struct edge *edge = edges->pdata[i];
        g_autofree char *end = g_strconcat("node ", edge->node->name, NULL), *text = edge_label(edge);
        g_string_append(picture->out, "  ");
        dot_quote(picture->out, end);
        g_string_append(picture->out, " -- ");
        dot_quote(picture->out, name);
        g_string_append(picture->out, " [");
        dot_attribute(picture->out, "label", text);
        g_string_append_printf(picture->out, "%s]\n", is_down(edge) ? "color=red style=dashed" : "");
    }
}

static void dot_wire(struct picture *picture, const struct topology_network *network)
{
    g_autoptr(GPtrArray) edges = edges_of(picture, network);
    if (edges->len != 2)
        return;
    const struct edge *a = edges->pdata[0], *b = edges->pdata[1];
    g_autofree char *from = g_strconcat("node ", a->node->name, NULL),
                    *to = g_strconcat("node ", b->node->name, NULL);
    g_autofree char *tail = edge_label(a), *head = edge_label(b);
    g_string_append(picture->out, "  ");
    dot_quote(picture->out, from);
    g_string_append(picture->out, " -- ");
    dot_quote(picture->out, to);
    g_string_append(picture->out, " [len=3.2 labeldistance=3 labelangle=15 ");
    dot_attribute(picture->out, "taillabel", tail);
    dot_attribute(picture->out, "headlabel", head);
    g_string_append_printf(picture->out, "%s]\n", is_down(a) || is_down(b) ? "color=red style=dashed" : "");
}

static void draw_dot(struct picture *picture)
{
    const struct topology *topology = picture->topology;
    g_string_append(picture->out, "graph ");
    dot_quote(picture->out, topology->name);
    g_string_append(
        picture->out,
        " {\n  layout=neato overlap=prism overlap_scaling=0 overlap_shrink=false splines=true sep=\"+14\"\n"
        "  node [fontname=\"sans-serif\" fontsize=12]\n"
        "  edge [fontname=\"sans-serif\" fontsize=9 len=1.9]\n");
    for (guint i = 0; i < topology->nodes->len; i++)
        dot_node(picture, topology->nodes->pdata[i]);
    for (guint i = 0; i < topology->networks->len; i++) {
        const struct topology_network *network = topology->networks->pdata[i];
        if (is_wire(network))
            dot_wire(picture, network);
        else
            dot_segment(picture, network);
    }
    g_string_append(picture->out, "}\n");
}

/* Graphviz draws. */
static bool draw_svg(struct picture *picture, GError **error)
{
    g_autofree char *program = g_find_program_in_path("dot");
    if (!program) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "SVG is drawn by Graphviz's `dot`, which is not here; install the package graphviz "
                    "(apt-get install "
                    "graphviz), or take --format dot, mermaid or text");
        return false;
    }
    draw_dot(picture);
    g_autoptr(GSubprocess) dot = g_subprocess_new(
        G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
        error, program, "-Tsvg", NULL);
    g_autofree char *svg = NULL, *complaint = NULL;
    if (!dot || !g_subprocess_communicate_utf8(dot, picture->out->str, NULL, &svg, &complaint, error))
        return false;
    if (!g_subprocess_get_successful(dot)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s -Tsvg failed: %s", program,
                    g_strchomp(complaint));
        return false;
    }
    g_string_assign(picture->out, svg);
    return true;
}

/* ---- Mermaid ---- */

static void mermaid_text(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"')
            g_string_append(out, "#quot;");
        else if (*c == '\n')
            g_string_append(out, "<br/>");
        else
            g_string_append_c(out, *c);
    }
    g_string_append_c(out, '"');
}

static guint index_of(const GPtrArray *list, const void *item)
{
    guint index = 0;
    g_ptr_array_find((GPtrArray *)list, item, &index);
    return index;
}

static void draw_mermaid(struct picture *picture)
{
    const struct topology *topology = picture->topology;
    GString *out = picture->out;
    g_string_append(out, "graph LR\n");
    for (guint i = 0; i < topology->nodes->len; i++) {
        const struct topology_node *node = topology->nodes->pdata[i];
        const char *state = state_of(picture, node);
        g_autofree char *label =
            g_strdup_printf("%s%s%s", node->name, *state && !g_str_equal(state, "running") ? "\n" : "",
                            g_str_equal(state, "running") ? "" : state);
        g_string_append_printf(out, "  n%u[", i);
        mermaid_text(out, label);
        g_string_append(out, "]\n");
    }
    for (guint i = 0; i < topology->networks->len; i++) {
        const struct topology_network *network = topology->networks->pdata[i];
        g_autoptr(GPtrArray) edges = edges_of(picture, network);
        g_autofree char *about = describe_network(network);
        if (!is_wire(network)) {
            g_autofree char *label = g_strdup_printf("%s%s%s", network->name, *about ? "\n" : "", about);
            g_string_append_printf(out, "  net%u([", i);
            mermaid_text(out, label);
            g_string_append(out, "])\n");
        }
        for (guint k = 0; k < edges->len && (!is_wire(network) || k == 0); k++) {
            const struct edge *edge = edges->pdata[k],
                              *other = is_wire(network) && edges->len == 2 ? edges->pdata[1] : NULL;
            g_autofree char *own = edge_label(edge), *far = other ? edge_label(other) : g_strdup("");
            g_autofree char *both = g_strdup_printf("%s%s%s", own, other ? "\n" : "", far);
            bool down = is_down(edge) || (other && is_down(other));
            g_string_append_printf(out, "  n%u %s|", index_of(topology->nodes, edge->node),
                                   down ? "-.-" : "---");
            mermaid_text(out, both);
            if (other)
                g_string_append_printf(out, "| n%u\n", index_of(topology->nodes, other->node));
            else
                g_string_append_printf(out, "| net%u\n", i);
        }
    }
}

/* ---- JSON ---- */

static void draw_json(struct picture *picture)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    const struct topology *topology = picture->topology;
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "lab");
    json_builder_add_string_value(builder, topology->name);
    json_builder_set_member_name(builder, "up");
    json_builder_add_boolean_value(builder, picture->status != NULL);
    json_builder_set_member_name(builder, "nodes");
    json_builder_begin_array(builder);
    for (guint i = 0; i < topology->nodes->len; i++) {
        const struct topology_node *node = topology->nodes->pdata[i];
        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "name");
        json_builder_add_string_value(builder, node->name);
        if (picture->status) {
            json_builder_set_member_name(builder, "state");
            json_builder_add_string_value(builder, state_of(picture, node));
        }
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    json_builder_set_member_name(builder, "networks");
    json_builder_begin_array(builder);
    for (guint i = 0; i < topology->networks->len; i++) {
        const struct topology_network *network = topology->networks->pdata[i];
        g_autoptr(GPtrArray) edges = edges_of(picture, network);
        g_autofree char *about = describe_network(network);
        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "name");
        json_builder_add_string_value(builder, network->name);
        json_builder_set_member_name(builder, "kind");
        json_builder_add_string_value(builder, is_wire(network) ? "link" : "segment");
        json_builder_set_member_name(builder, "about");
        json_builder_add_string_value(builder, about);
        json_builder_set_member_name(builder, "ends");
        json_builder_begin_array(builder);
        for (guint k = 0; k < edges->len; k++) {
            const struct edge *edge = edges->pdata[k];
            json_builder_begin_object(builder);
            json_builder_set_member_name(builder, "node");
            json_builder_add_string_value(builder, edge->node->name);
            json_builder_set_member_name(builder, "interface");
            json_builder_add_string_value(builder, edge->nic->interface);
            json_builder_set_member_name(builder, "address");
            json_builder_add_string_value(builder, edge->address);
            json_builder_set_member_name(builder, "line");
            json_builder_add_string_value(builder, edge->line);
            if (edge->is_known) {
                json_builder_set_member_name(builder, "link");
                json_builder_add_boolean_value(builder, edge->is_up);
            }
            json_builder_end_object(builder);
        }
        json_builder_end_array(builder);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *text = json_to_string(root, TRUE);
    g_string_append_printf(picture->out, "%s\n", text);
}

/* ---- the verb ---- */

static bool draw(struct picture *picture, const char *format, GError **error)
{
    for (guint i = 0; i < picture->topology->nodes->len; i++)
        gather_node(picture, picture->topology->nodes->pdata[i]);
    if (g_str_equal(format, "svg"))
        return draw_svg(picture, error);
    if (g_str_equal(format, "dot"))
        draw_dot(picture);
    else if (g_str_equal(format, "mermaid"))
        draw_mermaid(picture);
    else if (g_str_equal(format, "json"))
        draw_json(picture);
    else
        draw_text(picture);
    return true;
}

/* By sudo, with the rights of who called it. */
static bool write_file(const char *file, const GString *text, GError **error)
{
    struct caller_scope scope = {.is_in = false};
    bool good =
        caller_scope_enter(&scope, error) && g_file_set_contents(file, text->str, (gssize)text->len, error);
    caller_scope_leave(&scope);
    return good;
}

/* The running lab that is meant, or nothing: then it is the file's. */
static struct topology *find(struct cli_call *call, struct cli_node *lab, GError **error)
{
    const char *path = cli_argument(call, 0);
    g_autoptr(GError) cause = NULL;
    if (!cli_flag(call, "file") && cli_node_find_path(call, path, lab, &cause))
        return topology_load_text(lab->lab->file, lab->lab->file, lab->lab->source, error);
    bool is_folder = path && g_file_test(path, G_FILE_TEST_IS_DIR);
    g_autofree char *file = is_folder ? g_build_filename(path, "topology.yml", NULL)
                            : path    ? g_strdup(path)
                                      : g_strdup("topology.yml");
    if (cause && (cli_value(call, "lab") || (!path && access(file, F_OK) != 0))) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return NULL;
    }
    return topology_load_file(file, error);
}

static int run(struct cli_call *call)
{
    static const char *const formats[] = {"text", "svg", "dot", "mermaid", "json", NULL};
    const char *format = cli_flag(call, "json") ? "json" : cli_value(call, "format"),
               *file = cli_value(call, "output");
    g_autoptr(GError) error = NULL;
    struct cli_node lab = {0};
    if (!format)
        format = "text";
    if (!g_strv_contains(formats, format))
        return cli_misuse(call, "there is no format \"%s\"; there are text, svg, dot, mermaid and json",
                          format);
    struct picture picture = {.edges = g_ptr_array_new_with_free_func(edge_free), .out = g_string_new(NULL)};
    topology_auto struct topology *topology = find(call, &lab, &error);
    picture.topology = topology;
    picture.status = lab.status;
    bool good =
        topology && draw(&picture, format, &error) && (!file || write_file(file, picture.out, &error));
    if (good && !file)
        fwrite(picture.out->str, 1, picture.out->len, stdout);
    int status = good ? CLI_OK : cli_fail(error);
    g_ptr_array_unref(picture.edges);
    g_string_free(picture.out, TRUE);
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_graph = {
    .name = "graph",
    .arguments = "[PATH]",
    .summary = "draw a lab: as text, SVG, DOT or Mermaid",
    .description = "Draws networks, nodes and NICs with their addresses and lines. Of a lab that is up also "
                   "which machines "
                   "run and which cables are pulled; of one that is not, what its file says. SVG is made by "
                   "Graphviz's dot "
                   "(package graphviz): netlab graph -f svg -o lab.svg",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .examples = CLI_EXAMPLES({"netlab graph", "as text"}, {"netlab graph -f svg -o lab.svg", "as a picture"},
                             {"netlab graph -f mermaid", "for a page of a wiki"}),
    .files = CLI_FILE_TOPOLOGY | CLI_FILE_STORE,
    .run = run,
};
