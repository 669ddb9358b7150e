/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host bridge add|del|attach|detach`, `host tap add|del`, `host uplink bridge|restore`: brctl,
 * tunctl and the moving of addresses, a step at a time.
 */
#include "cli/change.h"
#include "cli/host.h"
#include "netlab/fault.h"
#include "netlab/host_objects.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LEAST_MTU = 68, MOST_MTU = 65535 };

static void tell(void *opaque, const char *text)
{
    const struct cli_call *call = opaque;
    if (!cli_flag(call, "quiet"))
        printf("%s\n", text);
    fflush(stdout);
}

/* One verb's work between opening and closing; what it returns is the exit status. */
typedef bool work_function(const struct host_change *change, struct cli_call *call, GError **error);
static int work(struct cli_call *call, work_function *function)
{
    struct lab_place place;
    g_autoptr(GError) error = NULL;
    fault_arm_from_environment();
    lab_place_find(&place);
    struct host_change change = {.place = &place, .tell = tell, .opaque = call};
    bool good = function(&change, call, &error);
    lab_place_clear(&place);
    return good ? CLI_OK : cli_fail(error);
}

#define QUIET_OPTION                                                                                         \
    {                                                                                                        \
        "quiet", 'q', NULL, "print errors only"                                                              \
    }
#define MTU_OPTION                                                                                           \
    {                                                                                                        \
        "mtu", 0, "BYTES", "otherwise 1500"                                                                  \
    }

static const struct cli_option plain_options[] = {QUIET_OPTION, CLI_HELP_OPTION};

/* ---- bridges ---- */

static bool bridge_add(const struct host_change *change, struct cli_call *call, GError **error)
{
    unsigned mtu = 0;
    return cli_number(call, "mtu", LEAST_MTU, MOST_MTU, &mtu) &&
           host_bridge_add(change, cli_argument(call, 0), mtu, cli_flag(call, "stp"), error);
}

/* A number that is none is a usage error, told before anything is opened. */
static int run_bridge_add(struct cli_call *call)
{
    unsigned mtu = 0;
    return cli_number(call, "mtu", LEAST_MTU, MOST_MTU, &mtu) ? work(call, bridge_add) : CLI_USAGE;
}

static const struct cli_option bridge_add_options[] = {
    MTU_OPTION,
    {"stp", 0, NULL, "spanning tree, with 15 s of delay at each port (otherwise ports forward at once)"},
    QUIET_OPTION,
    CLI_HELP_OPTION,
};

static const struct cli_verb verb_bridge_add = {
    .name = "host bridge add",
    .arguments = "NAME",
    .summary = "make a bridge",
    .description = "What `brctl addbr NAME; ip link set NAME up` does. Its MAC depends on its name alone.",
    .options = bridge_add_options,
    .option_count = G_N_ELEMENTS(bridge_add_options),
    .least = 1,
    .most = 1,
    .run = run_bridge_add,
};

static bool bridge_del(const struct host_change *change, struct cli_call *call, GError **error)
{
    return host_bridge_del(change, cli_argument(call, 0), error);
}

static int run_bridge_del(struct cli_call *call)
{
    return work(call, bridge_del);
}

static const struct cli_verb verb_bridge_del = {
    .name = "host bridge del",
    .arguments = "NAME",
    .summary = "remove a bridge that `host bridge add` has made",
    .description =
        "What `ip link set NAME down; brctl delbr NAME` does. Ports that `attach` has put there are "
        "taken out and left as they were before. Refused for bridges of others, and while it has "
        "ports of others.",
    .options = plain_options,
    .option_count = G_N_ELEMENTS(plain_options),
    .least = 1,
    .most = 1,
    .run = run_bridge_del,
};

static bool bridge_attach(const struct host_change *change, struct cli_call *call, GError **error)
{
    return host_bridge_attach(change, cli_argument(call, 0), cli_argument(call, 1), error);
}

static int run_bridge_attach(struct cli_call *call)
{
    return work(call, bridge_attach);
}

static const struct cli_verb verb_bridge_attach = {
    .name = "host bridge attach",
    .arguments = "BRIDGE INTERFACE",
    .summary = "make an interface a port of a bridge",
    .description = "What `brctl addif BRIDGE INTERFACE; ip link set INTERFACE up` does. Refused for an "
                   "interface that has "
                   "addresses: the host would lose them (`netlab host uplink bridge` moves them along).",
    .options = plain_options,
    .option_count = G_N_ELEMENTS(plain_options),
    .least = 2,
    .most = 2,
    .run = run_bridge_attach,
};

static bool bridge_detach(const struct host_change *change, struct cli_call *call, GError **error)
{
    return host_bridge_detach(change, cli_argument(call, 0), cli_argument(call, 1), error);
}

static int run_bridge_detach(struct cli_call *call)
{
    return work(call, bridge_detach);
}

static const struct cli_verb verb_bridge_detach = {
    .name = "host bridge detach",
    .arguments = "BRIDGE INTERFACE",
    .summary = "take a port out that `host bridge attach` has put there",
    .description =
        "What `brctl delif BRIDGE INTERFACE` does. An interface that was down before is down again.",
    .options = plain_options,
    .option_count = G_N_ELEMENTS(plain_options),
    .least = 2,
    .most = 2,
    .run = run_bridge_detach,
};

static const struct cli_verb *const bridge_verbs[] = {&verb_bridge_add, &verb_bridge_del, &verb_bridge_attach,
                                                      &verb_bridge_detach, NULL};

const struct cli_verb verb_host_bridge = {
    .name = "host bridge",
    .arguments = "COMMAND …",
    .summary = "bridges and their ports",
    .description = "Bridges of this host, outside of any lab.",
    .group = bridge_verbs,
};

/* ---- TAPs ---- */

static bool tap_add(const struct host_change *change, struct cli_call *call, GError **error)
{
    unsigned mtu = 0;
    return cli_number(call, "mtu", LEAST_MTU, MOST_MTU, &mtu) &&
           host_tap_add(change, cli_argument(call, 0), cli_value(call, "user"), mtu, error);
}

static int run_tap_add(struct cli_call *call)
{
    unsigned mtu = 0;
    return cli_number(call, "mtu", LEAST_MTU, MOST_MTU, &mtu) ? work(call, tap_add) : CLI_USAGE;
}

static const struct cli_option tap_add_options[] = {
    {"user", 'u', "USER", "may open it without privilege (a login name or a number; otherwise nobody may)"},
    MTU_OPTION,
    QUIET_OPTION,
    CLI_HELP_OPTION,
};

static const struct cli_verb verb_tap_add = {
    .name = "host tap add",
    .arguments = "NAME",
    .summary = "make a TAP interface that stays",
    .description = "What `tunctl -t NAME -u USER; ip link set NAME up` does. A machine uses it with `-nic "
                   "tap,ifname=NAME,script=no,downscript=no`.",
    .options = tap_add_options,
    .option_count = G_N_ELEMENTS(tap_add_options),
    .least = 1,
    .most = 1,
    .run = run_tap_add,
};

static bool tap_del(const struct host_change *change, struct cli_call *call, GError **error)
{
    return host_tap_del(change, cli_argument(call, 0), error);
}

static int run_tap_del(struct cli_call *call)
{
    return work(call, tap_del);
}

static const struct cli_verb verb_tap_del = {
    .name = "host tap del",
    .arguments = "NAME",
    .summary = "remove a TAP interface that `host tap add` has made",
    .description =
        "What `tunctl -d NAME` does, and out of its bridge if it is in one. A machine that uses it "
        "sees its cable pulled.",
    .options = plain_options,
    .option_count = G_N_ELEMENTS(plain_options),
    .least = 1,
    .most = 1,
    .run = run_tap_del,
};

static const struct cli_verb *const tap_verbs[] = {&verb_tap_add, &verb_tap_del, NULL};

const struct cli_verb verb_host_tap = {
    .name = "host tap",
    .arguments = "COMMAND …",
    .summary = "TAP interfaces",
    .description = "TAP interfaces of this host, outside of any lab.",
    .group = tap_verbs,
};

/* ---- uplinks ---- */

static bool ask_person(void *opaque, unsigned seconds, GError **error)
{
    const struct cli_call *call = opaque;
    const char *nic = cli_argument(call, 0);
    int cancel = cli_cancel_fd();
    enum lab_answer answer = cli_confirm(nic, seconds, cancel);
    close(cancel);
    static const char *const words[] = {[LAB_DECLINE] = "not kept",
                                        [LAB_NO_ANSWER] = "nobody has confirmed it in time",
                                        [LAB_CANCEL] = "interrupted"};
    if (answer != LAB_KEEP)
        g_set_error(error, LAB_ERROR, answer == LAB_CANCEL ? LAB_ERROR_CANCELLED : LAB_ERROR_FAILED,
                    "%s; %s is as it was", words[answer], nic);
    return answer == LAB_KEEP;
}

static bool uplink_bridge(const struct host_change *change, struct cli_call *call, GError **error)
{
    return host_uplink_bridge(change, cli_argument(call, 0), cli_value(call, "bridge"),
                              cli_flag(call, "confirm") ? ask_person : NULL, error);
}

static int run_uplink_bridge(struct cli_call *call)
{
    if (cli_flag(call, "confirm") && !isatty(STDIN_FILENO))
        return cli_misuse(call, "--confirm asks on the terminal, and standard input is none; without "
                                "--confirm it is kept when a gateway answers");
    return work(call, uplink_bridge);
}

static const struct cli_option uplink_bridge_options[] = {
    {"bridge", 'b', "NAME", "the bridge's name (otherwise the first free of br0, br1, …)"},
    {"confirm", 'c', NULL,
     "ask whether to keep it, for as long as the gateway may take; put back unless told so"},
    QUIET_OPTION,
    CLI_HELP_OPTION,
};

static const struct cli_verb verb_uplink_bridge = {
    .name = "host uplink bridge",
    .arguments = "NIC",
    .summary = "put this host's NIC into a bridge, with its addresses and routes",
    .description =
        "What `brctl addbr br0; brctl addif br0 NIC; ip addr flush dev NIC; dhclient br0` does, without "
        "losing "
        "anything on the way: the bridge takes over MAC, MTU, addresses with their lifetimes, routes and "
        "rules.\n\nA watchdog puts the NIC back when this command dies, or when no default gateway answers "
        "through the bridge within 60 s (NETLAB_UPLINK_TIMEOUT=SECONDS).",
    .options = uplink_bridge_options,
    .option_count = G_N_ELEMENTS(uplink_bridge_options),
    .least = 1,
    .most = 1,
    .run = run_uplink_bridge,
};

static bool uplink_restore(const struct host_change *change, struct cli_call *call, GError **error)
{
    return host_uplink_restore(change, cli_argument(call, 0), error);
}

static int run_uplink_restore(struct cli_call *call)
{
    return work(call, uplink_restore);
}

static const struct cli_verb verb_uplink_restore = {
    .name = "host uplink restore",
    .arguments = "NIC|BRIDGE",
    .summary = "put a NIC back as it was before `host uplink bridge`",
    .description =
        "Addresses, routes and rules go back to the NIC and the bridge goes. What others have put on "
        "the bridge meanwhile is told.",
    .options = plain_options,
    .option_count = G_N_ELEMENTS(plain_options),
    .least = 1,
    .most = 1,
    .run = run_uplink_restore,
};

static const struct cli_verb *const uplink_verbs[] = {&verb_uplink_bridge, &verb_uplink_restore, NULL};

const struct cli_verb verb_host_uplink = {
    .name = "host uplink",
    .arguments = "COMMAND …",
    .summary = "this host's NIC in a bridge, and back",
    .description = "For machines that are to be neighbours in this host's network, outside of any lab.",
    .group = uplink_verbs,
};
