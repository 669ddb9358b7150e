/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab save`: what nodes are configured to, into a folder each. A script in the guest puts it together;
 * then it is copied as `netlab cp` does it.
 */
#include "cli/save.h"
#include "cli/change.h"
#include "cli/class.h"
#include "netlab/agent.h"
#include "netlab/caller.h"
#include "netlab/copy.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { CONNECT_MS = 10000, SCRIPT_MS = 60000 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_CLASS_OPTIONS,
    CLI_PARALLEL_OPTION,
    {"output", 'o', "FOLDER",
     "where to (saved-LAB in the current folder); a folder a node is made in it, with --for a folder a "
     "student"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

/* Prints the folder that it made; nothing of it fails when a program is not there. */
static const char script[] =
    "d=/tmp/.netlab-save-$$; rm -rf $d; mkdir -m 700 $d || exit 1\n"
    "say() { f=$1; shift; \"$@\" >$d/$f 2>/dev/null; [ -s $d/$f ] || rm -f $d/$f; }\n"
    "has() { command -v $1 >/dev/null 2>&1; }\n"
    "say addresses.txt ip addr; say routes.txt ip route show table all; say routes6.txt ip -6 route\n"
    "say rules.txt ip rule; say neighbours.txt ip neigh\n"
    "has bridge && { say bridge-vlan.txt bridge vlan; say bridge-fdb.txt bridge fdb; }\n"
    "has vtysh && say frr.conf vtysh -c 'show running-config'\n"
    "has birdc && say bird.txt birdc show protocols all\n"
    "has nft && say nftables.conf nft list ruleset\n"
    "has iptables-save && say iptables.rules iptables-save\n"
    "say sysctl.txt sh -c 'for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding; do "
    "echo $f $(cat $f); done'\n"
    "for f in /etc/hostname /etc/hosts /etc/resolv.conf /etc/frr /etc/bird /etc/bird.conf /etc/dnsmasq.conf "
    "/etc/dnsmasq.d "
    "/etc/nginx/conf.d /etc/network/interfaces; do\n"
    "  [ -e $f ] && mkdir -p $d/$(dirname $f) && cp -pR $f $d/$(dirname $f)/ 2>/dev/null\n"
    "done\n"
    "echo $d\n";

/* The folder in the guest; NULL with an error. */
static char *gather(const struct lab_node_status *node, GError **error)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct agent agent;
    struct agent_result result = {0};
    if (!agent_open(&agent, node->directory, CONNECT_MS, -1, error))
        return NULL;
    bool good = agent_exec(&agent, argv, SCRIPT_MS, &result, error);
    agent_close(&agent);
    if (!good)
        return NULL;
    gsize length;
    const char *data = g_bytes_get_data(result.out, &length);
    g_autofree char *folder = g_strndup(data ? data : "", length);
    g_strchomp(folder);
    agent_result_clear(&result);
    /* What a guest says goes back to it only as a path like this. */
    if (g_str_has_prefix(folder, "/tmp/.netlab-save-") &&
        !strpbrk(folder + strlen("/tmp/.netlab-save-"), "/ \n\t'\"$;&|"))
        return g_steal_pointer(&folder);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "its configuration could not be put together in the guest");
    return NULL;
}

static void forget(const struct lab_node_status *node, const char *folder)
{
    const char *const argv[] = {"/usr/bin/env", "rm", "-rf", folder, NULL};
    struct agent agent;
    struct agent_result result = {0};
    if (!agent_open(&agent, node->directory, CONNECT_MS, -1, NULL))
        return;
    if (agent_exec(&agent, argv, SCRIPT_MS, &result, NULL))
        agent_result_clear(&result);
    agent_close(&agent);
}

static bool save(const struct lab_node_status *node, const char *place, int cancel_fd,
                 struct copy_result *result, GError **error)
{
    g_autofree char *folder = gather(node, error);
    if (!folder)
        return false;
    struct copy_place from = {.node = node->name, .directory = node->directory, .path = folder},
                      to = {.path = place};
    /* Not into an older one: what is there already is overwritten. */
    g_autofree char *inner = g_strconcat(folder, "/.", NULL);
    from.path = inner;
    bool good = copy_run(&from, &to, cancel_fd, result, error);
    forget(node, folder);
    return good;
}

/* By sudo, with the rights of who called it. */
static bool make_folder(const char *place, GError **error)
{
    struct caller_scope scope = {.is_in = false};
    if (!caller_scope_enter(&scope, error))
        return false;
    int cause = g_mkdir_with_parents(place, 0777) == 0 ? 0 : errno;
    caller_scope_leave(&scope);
    if (cause)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "%s: %s", place, g_strerror(cause));
    return !cause;
}

bool cli_save_nodes(struct cli_node *lab, GPtrArray *nodes, const char *folder, int cancel_fd,
                    cli_save_teller *tell, void *opaque, GError **error)
{
    bool all = true;
    for (guint i = 0; i < nodes->len; i++) {
        const struct lab_node_status *node = nodes->pdata[i];
        g_autofree char *place = g_build_filename(folder, node->name, NULL);
        GError *cause = NULL;
        struct copy_result result = {0};
        lab->node = nodes->pdata[i];
        bool good = cli_node_require_running(lab, &cause) && make_folder(place, &cause) &&
                    save(node, place, cancel_fd, &result, &cause);
        if (!good)
            g_prefix_error(&cause, "%s: ", node->name);
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "node", node->name);
        json_object_set_string_member(object, good ? "folder" : "error", good ? place : cause->message);
        json_object_set_int_member(object, "files", result.files);
        tell(opaque, object);
        json_object_unref(object);
        if (cause && all)
            g_propagate_error(error, cause);
        else
            g_clear_error(&cause);
        all = all && good;
    }
    return all;
}

void cli_save_print(const char *student, JsonObject *result)
{
    const char *why = json_object_get_string_member_with_default(result, "error", NULL);
    g_autofree char *plain = why ? cli_printable(why) : NULL;
    if (why)
        fprintf(stderr, "netlab: %s%s%s\n", student, *student ? ": " : "", plain);
    else
        printf("%s%s%s: %d files and folders in %s\n", student, *student ? ": " : "",
               json_object_get_string_member(result, "node"),
               (int)json_object_get_int_member(result, "files"),
               json_object_get_string_member(result, "folder"));
}

static void tell_one(void *opaque, JsonObject *result)
{
    JsonArray *out = opaque;
    if (out)
        json_array_add_object_element(out, json_object_ref(result));
    if (!out || json_object_has_member(result, "error"))
        cli_save_print("", result);
}

static int save_all(struct cli_call *call, struct cli_node *lab, GPtrArray *nodes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *default_folder = g_strdup_printf("saved-%s", lab->status->name);
    const char *folder = cli_value(call, "output") ? cli_value(call, "output") : default_folder;
    JsonArray *out = cli_flag(call, "json") ? json_array_new() : NULL;
    bool good = cli_save_nodes(lab, nodes, folder, cli_cancel_fd(), tell_one, out, &error);
    if (out) {
        JsonNode *node = json_node_alloc();
        json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), out);
        cli_print_json(node);
    }
    return good ? CLI_OK : cli_status_of(error);
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    struct cli_node lab;
    signal(SIGPIPE, SIG_IGN);
    if (cli_class_is_meant(call))
        return cli_class_save(call);
    if (cli_value(call, "students") || cli_value(call, "parallel"))
        return cli_misuse(call, "--%s goes with --for FILE, the list of a class",
                          cli_value(call, "students") ? "students" : "parallel");
    bool good = cli_node_find_lab(call, &lab, &error) &&
                (nodes = cli_node_choose(&lab, cli_argument(call, 0), &error));
    int status = good ? save_all(call, &lab, nodes) : cli_fail(error);
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_save = {
    .name = "save",
    .arguments = "[NODE[,NODE…]|'PATTERN']",
    .summary = "collect the nodes' configuration into a folder",
    .description =
        "Writes for each node that runs (or those named) addresses, routes, rules, neighbours, "
        "VLANs, firewall rules, what "
        "FRR and BIRD run with, and the files of /etc that make them up, to FOLDER/NODE. Programs "
        "a node does not have "
        "are passed over. The start state of a lab can be made of it, or two days compared: diff "
        "-r saved-a saved-b.\n\nWith --for the nodes of every copy of a class go to FOLDER/STUDENT/NODE "
        "(saved-LAB otherwise, by the topology's own name).",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .examples =
        CLI_EXAMPLES({"netlab save", "all nodes into saved-LAB/"},
                     {"netlab save 'r*' -o monday", "the routers into monday/"},
                     {"netlab save --for students.csv -o monday", "a whole class: monday/STUDENT/NODE/"}),
    .run = run,
};
