/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Manual pages in roff, from the rows of verbs and options and the topology's grammar: netlab(1), one page a
 * command, netlab.yml(5). The build writes them with `netlab help --pages FOLDER`; netlab-emu(1) is the
 * emulator's own (netlab-emu -man). Macros of groff_man(7) and mandoc(1) alike: .TH .SH .SS .TP .PP .B .EX
 * .EE.
 */
#include "cli/cli.h"
#include "netlab/topology_parse.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

const struct cli_place cli_variables[] = {
    {"NETLAB_LAB", "the lab that is meant, for every command with --lab"},
    {"NETLAB_IMAGE_DIR",
     "where images are (otherwise $XDG_DATA_HOME/netlab/images and /var/lib/netlab/images)"},
    {"NETLAB_CACHE_DIR",
     "where `netlab image build` keeps what it downloads (otherwise $XDG_CACHE_HOME/netlab)"},
    {"NETLAB_STATE_DIR", "where the store is (otherwise $XDG_STATE_HOME/netlab, for root /var/lib/netlab)"},
    {"NETLAB_RUNTIME_DIR",
     "where sockets and logs of running labs are (otherwise $XDG_RUNTIME_DIR/netlab, for "
     "root /run/netlab)"},
    {"NETLAB_EMU", "the emulator to use (otherwise the netlab-emu beside netlab, or in $PATH)"},
    {"NETLAB_GUEST", "the program that images of ours start with (otherwise the netlab-guest beside netlab)"},
    {"NETLAB_DNSMASQ", "the dnsmasq to use for networks with dhcp (otherwise that of $PATH)"},
    {"NETLAB_UPLINK_TIMEOUT",
     "seconds that the gateway may take to answer before a bridged NIC of the host is "
     "put back (30)"},
    {"NO_COLOR", "no colours, whatever it is set to (they are for terminals alone in any case)"},
    {NULL, NULL},
};

/* In the order of enum cli_file. */
const struct cli_place cli_files[] = {
    {"topology.yml", "the topology; netlab.yml(5) describes it"},
    {"~/.local/state/netlab/, /var/lib/netlab/",
     "the store: labs, their objects and journals (a user's, root's)"},
    {"$XDG_RUNTIME_DIR/netlab/LAB/NODE/, /run/netlab/LAB/NODE/", "sockets and logs of a machine that runs"},
    {"~/.local/share/netlab/images/, /var/lib/netlab/images/", "guest images"},
    {"~/.cache/netlab/, /var/cache/netlab/", "packages that images are built of"},
    {NULL, NULL},
};

/* A line must not begin with . or ', a backslash is \e, a hyphen-minus \-, what is not ASCII \[uXXXX]; of
 * several blanks one stays, and a blank line is a paragraph. */
static void add(GString *out, const char *text)
{
    bool at_start = true;
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        if (at_start && (*c == '.' || *c == '\''))
            g_string_append(out, "\\&");
        if (at_start && *c == ' ')
            continue;
        if (*c == '\\')
            g_string_append(out, "\\e");
        else if (*c == '-')
            g_string_append(out, "\\-");
        else if (*c == '`')
            g_string_append(out, "\\(ga");
        else if (*c == '~')
            g_string_append(out, "\\(ti");
        else if (*c == '^')
            g_string_append(out, "\\(ha");
        else if (*c == '\n' && c[1] == '\n')
            g_string_append(out, "\n.PP");
        else if (character >= 128)
            g_string_append_printf(out, "\\[u%04X]", character);
        else
            g_string_append_c(out, *c);
        at_start = *c == '\n';
    }
    g_string_append_c(out, '\n');
}

/* The text of a description: lines that begin with blanks stay as they are. */
static void add_text(GString *out, const char *text)
{
    g_auto(GStrv) paragraphs = g_strsplit(text, "\n\n", -1);
    for (int i = 0; paragraphs[i]; i++) {
        if (i)
            g_string_append(out, ".PP\n");
        g_auto(GStrv) lines = g_strsplit(paragraphs[i], "\n", -1);
        for (int k = 0; lines[k]; k++) {
            if (k)
                g_string_append(out, ".br\n");
            add(out, lines[k]);
        }
    }
}

static void add_term(GString *out, const char *term, const char *text)
{
    g_string_append(out, ".TP\n.B ");
    add(out, term);
    add(out, text);
}

static void add_heading(GString *out, const char *name, const char *section, const char *summary)
{
    g_autofree char *upper = g_ascii_strup(name, -1);
    g_string_append(out, ".TH \"");
    for (const char *c = upper; *c; c++)
        g_string_append(out, *c == '-' ? "\\-" : (char[]){*c, '\0'});
    g_string_append_printf(out, "\" %s \"2026-11-30\" \"netlab %s\" \"%s\"\n.SH NAME\n", section, NETLAB_VERSION,
                           *section == '5' ? "File Formats" : "User Commands");
    g_autofree char *line = g_strdup_printf("%s", name);
    for (const char *c = line; *c; c++)
        g_string_append(out, *c == '-' ? "\\-" : (char[]){*c, '\0'});
    g_string_append(out, " \\- ");
    add(out, summary);
}

static void add_options(GString *out, const struct cli_verb *verb)
{
    for (size_t i = 0; i < verb->option_count; i++) {
        g_autofree char *form = cli_option_form(&verb->options[i]);
        add_term(out, g_strstrip(form), verb->options[i].help);
    }
}

static void add_examples(GString *out, const struct cli_verb *verb)
{
    for (const struct cli_example *example = verb->examples; example && example->command; example++)
        add_term(out, example->command, example->what);
}

static void add_variables(GString *out, const struct cli_verb *verb)
{
    for (size_t i = 0; i < verb->option_count; i++) {
        if (g_str_equal(verb->options[i].name, "help"))
            continue;
        g_autofree char *variable = cli_variable(verb, &verb->options[i]);
        g_autofree char *text = g_strdup_printf(
            "%s --%s", verb->options[i].argument ? "the value of" : "1:", verb->options[i].name);
        add_term(out, variable, text);
    }
}

static void add_statuses(GString *out, const struct cli_verb *verb)
{
    g_auto(GStrv) own = g_strsplit(verb && verb->statuses ? verb->statuses : "", "\n", -1);
    for (int i = 0; own[i]; i++) {
        g_auto(GStrv) parts = g_strsplit(own[i], " ", 2);
        if (parts[0] && parts[1])
            add_term(out, parts[0], parts[1]);
    }
    for (size_t i = 0; i < cli_status_count; i++) {
        g_autofree char *number = g_strdup_printf("%d", cli_statuses[i].status);
        bool is_own = false;
        for (int k = 0; own[k]; k++)
            is_own |= g_str_has_prefix(own[k], number) && own[k][strlen(number)] == ' ';
        if (!is_own && (cli_statuses[i].status != CLI_EXEC || !verb))
            add_term(out, number, cli_statuses[i].meaning);
    }
}

static void add_files(GString *out, unsigned files)
{
    for (unsigned i = 0; cli_files[i].name; i++)
        if (files & 1u << i)
            add_term(out, cli_files[i].name, cli_files[i].what);
}

static bool has_lab_option(const struct cli_verb *verb)
{
    for (size_t i = 0; i < verb->option_count; i++)
        if (g_str_equal(verb->options[i].name, "lab"))
            return true;
    return false;
}

/* The commands of a group, each with its options. */
static void add_group(GString *out, const struct cli_verb *group)
{
    for (size_t i = 0; group->group[i]; i++) {
        const struct cli_verb *verb = group->group[i];
        if (verb->is_hidden)
            continue;
        g_autofree char *usage =
            g_strdup_printf("netlab %s%s%s", verb->name, *verb->arguments ? " " : "", verb->arguments);
        g_string_append(out, ".SS ");
        add(out, usage);
        add_text(out, verb->description);
        add_options(out, verb);
        add_examples(out, verb);
        if (verb->group)
            add_group(out, verb);
    }
}

static void add_group_variables(GString *out, const struct cli_verb *group)
{
    for (size_t i = 0; group->group[i]; i++) {
        if (group->group[i]->is_hidden)
            continue;
        add_variables(out, group->group[i]);
        if (group->group[i]->group)
            add_group_variables(out, group->group[i]);
    }
}

static char *all_of_netlab(void)
{
    GString *out = g_string_new(NULL);
    add_heading(out, "netlab", "1", "a network lab in a box");
    g_string_append(out, ".SH SYNOPSIS\n.B netlab\n.I COMMAND\n[options] [arguments]\n.SH DESCRIPTION\n");
    add_text(out, "netlab turns a topology file into running machines on a real, virtual network, and takes "
                  "every trace "
                  "of them away again. Each machine is a netlab-emu(1); netlab.yml(5) is the file.\n\n"
                  "A command that works on a lab takes that of --lab, else that of the current folder, else "
                  "the only one "
                  "that is up. Options may stand before and after arguments; after -- nothing is an option.");
    g_string_append(out, ".SH COMMANDS\n");
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (cli_verbs[i]->is_hidden)
            continue;
        g_autofree char *page = g_strdup_printf("netlab-%s(1)", cli_verbs[i]->name);
        add_term(out, page, cli_verbs[i]->summary);
    }
    g_string_append(out, ".SH EXIT STATUS\n");
    add_statuses(out, NULL);
    g_string_append(out, ".SH ENVIRONMENT\n");
    add_text(
        out,
        "Each option of a command is also a variable: --timeout of exec is NETLAB_EXEC_TIMEOUT; flags are "
        "given by 1 and left out by 0. The command line comes first.");
    for (unsigned i = 0; cli_variables[i].name; i++)
        add_term(out, cli_variables[i].name, cli_variables[i].what);
    g_string_append(out, ".SH FILES\n");
    add_files(out, ~0u);
    g_string_append(out, ".SH EXAMPLES\n");
    add_term(out, "netlab image build mini", "makes the small guest image, once");
    add_term(out, "netlab up labs/two-hosts", "brings a lab up");
    add_term(out, "netlab exec h1 ping -c 1 h2", "runs a command in a node");
    add_term(out, "netlab down", "takes the lab away");
    g_string_append(out, ".SH SEE ALSO\nnetlab.yml(5), netlab\\-emu(1)\n");
    return g_string_free(out, FALSE);
}

char *cli_man_page(const struct cli_verb *verb)
{
    if (!verb)
        return all_of_netlab();
    GString *out = g_string_new(NULL);
    g_autofree char *name = g_strdup_printf("netlab-%s", verb->name);
    g_strdelimit(name, " ", '-');
    unsigned files = verb->files ? verb->files : has_lab_option(verb) ? CLI_FILE_STORE | CLI_FILE_RUNTIME : 0;
    add_heading(out, name, "1", verb->summary);
    g_autofree char *usage = g_strdup_printf("netlab %s", verb->name);
    g_string_append(out, ".SH SYNOPSIS\n.B ");
    add(out, usage);
    if (*verb->arguments)
        add(out, verb->arguments);
    g_string_append(out, ".SH DESCRIPTION\n");
    add_text(out, verb->description);
    if (verb->group) {
        g_string_append(out, ".SH COMMANDS\n");
        add_group(out, verb);
    } else {
        g_string_append(out, ".SH OPTIONS\n");
        add_options(out, verb);
    }
    g_string_append(out, ".SH ENVIRONMENT\n");
    add_text(
        out,
        "The command line comes first. Flags are given by 1 and left out by 0. netlab(1) has the variables "
        "of all commands.");
    if (verb->group)
        add_group_variables(out, verb);
    add_variables(out, verb);
    if (has_lab_option(verb))
        add_term(out, "NETLAB_LAB", "the lab that is meant, as --lab");
    if (files) {
        g_string_append(out, ".SH FILES\n");
        add_files(out, files);
    }
    g_string_append(out, ".SH EXIT STATUS\n");
    add_statuses(out, verb);
    if (verb->examples) {
        g_string_append(out, ".SH EXAMPLES\n");
        add_examples(out, verb);
    }
    g_string_append(out, ".SH SEE ALSO\nnetlab(1), netlab.yml(5)\n");
    return g_string_free(out, FALSE);
}

static void add_code(GString *out, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_string_append(out, ".RS\n.nf\n");
    for (int i = 0; lines[i]; i++) {
        if (!*lines[i])
            continue;
        size_t blanks = strspn(lines[i], " ");
        g_string_append_printf(out, "%.*s", (int)blanks, lines[i]);
        add(out, lines[i] + blanks);
    }
    g_string_append(out, ".fi\n.RE\n");
}

char *cli_man_topology(void)
{
    GString *out = g_string_new(NULL);
    struct topology_mapping_info mapping;
    add_heading(out, "netlab.yml", "5", "topology files of netlab");
    g_string_append(out, ".SH DESCRIPTION\n");
    add_text(
        out,
        "A topology file says which machines a lab has and how they are joined. `netlab up` reads "
        "topology.yml "
        "in the current folder, or the file or folder it is given. It is YAML 1.1, at most 1 MiB. Mistakes "
        "are told all at once as file:line:column, and change nothing.");
    g_string_append(out, ".SH EXAMPLE\n");
    add_code(out,
             "name: two-hosts\ndefaults: {image: mini}\nnetworks:\n  lan: {subnet: 10.1.0.0/24}\nnodes:\n"
             "  h1: {networks: {lan: 10.1.0.1/24}}\n  h2: {networks: [lan]}\nchecks:\n"
             "  reachable: {node: h1, ping: h2}\n");
    g_string_append(out, ".SH KEYS\n");
    for (size_t i = 0; topology_grammar(i, &mapping); i++) {
        g_string_append_printf(out, ".SS %s\n", mapping.title);
        for (size_t k = 0; k < mapping.count; k++) {
            const struct topology_key_info *key = &mapping.keys[k];
            if (key->later)
                continue;
            g_autofree char *text =
                g_strdup_printf("%s. Value: %s%s%s%s.", key->help, topology_type_info(key->type)->text,
                                key->is_required ? "; required"
                                : key->standard  ? "; unless said: "
                                                 : "",
                                !key->is_required && key->standard ? key->standard : "",
                                key->guests ? "; not every machine knows it" : "");
            add_term(out, key->name, text);
        }
        g_free((void *)mapping.keys);
    }
    g_string_append(out,
                    ".SH SEE ALSO\nnetlab(1), netlab\\-up(1), netlab\\-validate(1), netlab\\-schema(1)\n");
    return g_string_free(out, FALSE);
}

static bool write_page(const char *folder, const char *name, char *page, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *text = page;
    return g_file_set_contents(path, text, -1, error);
}

bool cli_man_write(const char *folder, GError **error)
{
    if (g_mkdir_with_parents(folder, 0777) != 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "making %s: %s; name a folder you may write to",
                    folder, g_strerror(errno));
        return false;
    }
    bool good = write_page(folder, "netlab.1", cli_man_page(NULL), error) &&
                write_page(folder, "netlab.yml.5", cli_man_topology(), error);
    for (size_t i = 0; good && cli_verbs[i]; i++) {
        if (cli_verbs[i]->is_hidden)
            continue;
        g_autofree char *name = g_strdup_printf("netlab-%s.1", cli_verbs[i]->name);
        good = write_page(folder, name, cli_man_page(cli_verbs[i]), error);
    }
    return good;
}
