/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab ssh-config`: makes ssh, scp, rsync and Ansible reach nodes that have an SSH server, without an
 * address: the connection is a session of the agent, with the server at its other end.
 */
#include "cli/node.h"
#include "netlab/paths.h"

#include <stdio.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"user", 'u', "NAME", "who to log in as (root)"},
    CLI_HELP_OPTION,
};

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node lab;
    const char *user = cli_value(call, "user") ? cli_value(call, "user") : "root";
    if (!cli_node_find_lab(call, &lab, &error)) {
        int status = cli_fail(error);
        cli_node_clear(&lab);
        return status;
    }
    g_autofree char *self = paths_self(), *program = g_shell_quote(self ? self : "netlab");
    printf(
        "# ssh_config(5) of lab %s; use it as: netlab ssh-config >ssh.conf; ssh -F ssh.conf NODE\n"
        "# A node needs an SSH server (openssh-server or dropbear); without one there is `netlab connect`.\n",
        lab.status->name);
    for (guint i = 0; i < lab.status->nodes->len; i++) {
        const struct lab_node_status *node = lab.status->nodes->pdata[i];
        printf(
            "\nHost %s %s.%s\n    User %s\n    StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null\n"
            "    LogLevel ERROR\n    ProxyCommand %s exec --lab %s --timeout 86400 %s '%s'\n",
            node->name, node->name, lab.status->name, user, program, lab.status->name, node->name,
            "if [ -x /usr/sbin/sshd ]; then mkdir -p /run/sshd; exec /usr/sbin/sshd -i; "
            "elif [ -x /usr/sbin/dropbear ]; then exec /usr/sbin/dropbear -i; "
            "else echo no SSH server is installed in this node >&2; exit 1; fi");
    }
    cli_node_clear(&lab);
    return CLI_OK;
}

const struct cli_verb verb_ssh_config = {
    .name = "ssh-config",
    .arguments = "",
    .summary = "print an ssh configuration for the lab's nodes",
    .description =
        "A Host entry a node, under its name and as NODE.LAB, whose connection goes through the node's "
        "agent: the node needs an "
        "SSH server and no address. As in: netlab ssh-config >ssh.conf; ssh -F ssh.conf r1; ansible with "
        "ANSIBLE_SSH_ARGS='-F ssh.conf'.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples =
        CLI_EXAMPLES({"netlab ssh-config >ssh.conf; ssh -F ssh.conf r1", "a login without an address"}),
    .run = run,
};
