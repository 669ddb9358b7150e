/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab help`: help, man page and shell completion, all from the rows of verbs and options and from the
 * topology's grammar tables.
 */
#include "cli/cli.h"
#include "netlab/topology_parse.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"man", 0, NULL, "print the manual page netlab(1) in roff"},
    {"completion", 0, "SHELL", "print completion for bash, zsh or fish"},
    CLI_HELP_OPTION,
};

/* ---- text ---- */

/* Prints text wrapped to 78 columns, indented; newlines of the text stay. */
static void print_wrapped(const char *text, int indent)
{
    g_auto(GStrv) paragraphs = g_strsplit(text, "\n", -1);
    for (int p = 0; paragraphs[p]; p++) {
        g_auto(GStrv) words = g_strsplit(paragraphs[p], " ", -1);
        glong column = 0;
        for (int w = 0; words[w]; w++) {
            glong width = g_utf8_strlen(words[w], -1);
            if (column && column + 1 + width > 78) {
                printf("\n");
                column = 0;
            }
            if (column)
                printf(" ");
            else if (*words[w])
                printf("%*s", indent, "");
            printf("%s", words[w]);
            column = (column ? column + 1 : indent) + width;
        }
        printf("\n");
    }
}

static char *option_form(const struct cli_option *option)
{
    g_autofree char *letter = option->letter ? g_strdup_printf("-%c, ", option->letter) : g_strdup("    ");
    return g_strdup_printf("%s--%s%s%s", letter, option->name, option->argument ? "=" : "",
                           option->argument ? option->argument : "");
}

static void print_group(const struct cli_verb *group)
{
    printf("\nCommands:\n");
    for (size_t i = 0; group->group[i]; i++) {
        const struct cli_verb *verb = group->group[i];
        if (!verb->is_hidden)
            printf("  %-10s %s\n", cli_last_word(verb), verb->summary);
    }
    printf("\n`netlab help %s COMMAND` tells more.\n", group->name);
}

static void print_verb(const struct cli_verb *verb)
{
    printf("netlab %s%s%s\n\n", verb->name, *verb->arguments ? " " : "", verb->arguments);
    print_wrapped(verb->description, 0);
    if (verb->group) {
        print_group(verb);
        return;
    }
    printf("\nOptions:\n");
    for (size_t i = 0; i < verb->option_count; i++) {
        g_autofree char *form = option_form(&verb->options[i]);
        printf("  %-24s %s\n", form, verb->options[i].help);
    }
    if (verb->option_count > 1) {
        g_autofree char *variable = cli_variable(verb, &verb->options[0]);
        printf("\nEach option is also an environment variable, as in %s (flags: 1).\n", variable);
    }
}

static void print_overview(void)
{
    printf("netlab: a network lab in a box\n\nusage: netlab COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n");
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (!cli_verbs[i]->is_hidden)
            printf("  %-10s %s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
    }
    printf("\n`netlab help COMMAND` tells more; `netlab help topology` lists all keys of topology files.\n"
           "First steps: netlab image build mini; netlab up labs/two-hosts\n");
}

static void print_grammar(void)
{
    struct topology_mapping_info mapping;
    for (size_t i = 0; topology_grammar(i, &mapping); i++) {
        printf("%s%s:\n", i ? "\n" : "", mapping.name);
        for (size_t k = 0; k < mapping.count; k++)
            printf("  %-11s %s%s\n", mapping.keys[k].name, mapping.keys[k].help,
                   mapping.keys[k].later ? " (not yet in this version)" : "");
        g_free((void *)mapping.keys);
    }
}

static void print_statuses(void)
{
    for (size_t i = 0; i < cli_status_count; i++)
        printf("  %3d  %s\n", cli_statuses[i].status, cli_statuses[i].meaning);
}

/* ---- roff ---- */

/* A line must not begin with . or ', a backslash is \e, a hyphen-minus \-, what is not ASCII \[uXXXX]. */
static void print_roff(const char *text)
{
    bool at_start = true;
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        if (at_start && (*c == '.' || *c == '\''))
            printf("\\&");
        if (*c == '\\')
            printf("\\e");
        else if (*c == '-')
            printf("\\-");
        else if (*c == '\n' && c[1] == '\n')
            printf("\n.PP");
        else if (character >= 128)
            printf("\\[u%04X]", character);
        else
            putchar(*c);
        at_start = *c == '\n';
    }
    printf("\n");
}

static void print_man_verbs(const struct cli_verb *const *verbs)
{
    for (size_t i = 0; verbs[i]; i++) {
        const struct cli_verb *verb = verbs[i];
        if (verb->is_hidden)
            continue;
        printf(".SS netlab %s ", verb->name);
        print_roff(verb->arguments);
        print_roff(verb->description);
        for (size_t k = 0; k < verb->option_count; k++) {
            g_autofree char *form = option_form(&verb->options[k]);
            printf(".TP\n.B ");
            print_roff(g_strstrip(form));
            print_roff(verb->options[k].help);
        }
        if (verb->group)
            print_man_verbs(verb->group);
    }
}

static void print_man(void)
{
    printf(".TH NETLAB 1 \"\" \"netlab %s\" \"User Commands\"\n.SH NAME\nnetlab \\- a network lab in a "
           "box\n.SH SYNOPSIS\n.B netlab\n.I COMMAND\n[options] [arguments]\n",
           NETLAB_VERSION);
    printf(".SH DESCRIPTION\nnetlab turns a topology file into running machines on a real, virtual network, "
           "and takes every trace of them away again.\n.SH COMMANDS\n");
    print_man_verbs(cli_verbs);
    printf(".SH TOPOLOGY\n");
    struct topology_mapping_info mapping;
    for (size_t i = 0; topology_grammar(i, &mapping); i++) {
        printf(".SS %s\n", mapping.name);
        for (size_t k = 0; k < mapping.count; k++) {
            if (!mapping.keys[k].later) {
                printf(".TP\n.B %s\n", mapping.keys[k].name);
                print_roff(mapping.keys[k].help);
            }
        }
        g_free((void *)mapping.keys);
    }
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < cli_status_count; i++) {
        printf(".TP\n.B %d\n", cli_statuses[i].status);
        print_roff(cli_statuses[i].meaning);
    }
    static const char *const variables[][2] = {
        {"NETLAB_STATE_DIR",
         "where the store is (otherwise $XDG_STATE_HOME/netlab, for root /var/lib/netlab)"},
        {"NETLAB_RUNTIME_DIR", "where sockets and logs of running labs are (otherwise "
                               "$XDG_RUNTIME_DIR/netlab, for root /run/netlab)"},
        {"NETLAB_IMAGE_DIR", "where one's own images are"},
        {"NETLAB_EMU", "the emulator to use"},
    };
    printf(
        ".SH ENVIRONMENT\nEach option of a command is also a variable: --timeout of exec is "
        "NETLAB_EXEC_TIMEOUT; flags are given by 1 and left out by 0. The command line comes first.\n.TP\n.B "
        "NETLAB_LAB\nthe lab that is meant, for every command with --lab\n");
    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
        printf(".TP\n.B %s\n", variables[i][0]);
        print_roff(variables[i][1]);
    }
}

/* ---- completion ---- */

/* Below a group: the words that may follow, and the options, by all words so far. Deeper rows come first. */
static void print_bash_group(const struct cli_verb *group)
{
    for (size_t i = 0; group->group[i]; i++) {
        const struct cli_verb *verb = group->group[i];
        if (verb->is_hidden)
            continue;
        if (verb->group) {
            print_bash_group(verb);
            continue;
        }
        printf("            ' %s '*) words='", verb->name);
        for (size_t k = 0; k < verb->option_count; k++)
            printf("--%s ", verb->options[k].name);
        printf("' ;;\n");
    }
    printf("            ' %s '*) words='", group->name);
    for (size_t i = 0; group->group[i]; i++)
        if (!group->group[i]->is_hidden)
            printf("%s ", cli_last_word(group->group[i]));
    printf("'; COMPREPLY=($(compgen -W \"$words\" -- \"$word\")); return ;;\n");
}

/* What the shell asks for while completing this verb's arguments: an option of `netlab completion`, or "". */
static const char *names_of(const struct cli_verb *verb)
{
    return strstr(verb->arguments, "NIC") ? "--nics" : strstr(verb->arguments, "NODE") ? "--nodes" : "";
}

static void print_bash(void)
{
    printf("# bash completion for netlab; made by `netlab completion bash`\n_netlab()\n{\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words= names=\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='");
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (!cli_verbs[i]->is_hidden)
            printf("%s ", cli_verbs[i]->name);
    }
    printf("'\n    else\n        case $verb in\n");
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (cli_verbs[i]->is_hidden)
            continue;
        if (cli_verbs[i]->group) {
            printf("        %s)\n            case \" ${COMP_WORDS[*]:1:COMP_CWORD-1} \" in\n",
                   cli_verbs[i]->name);
            print_bash_group(cli_verbs[i]);
            printf("            esac ;;\n");
            continue;
        }
        printf("        %s) names=%s words='", cli_verbs[i]->name, names_of(cli_verbs[i]));
        for (size_t k = 0; k < cli_verbs[i]->option_count; k++)
            printf("--%s ", cli_verbs[i]->options[k].name);
        printf("' ;;\n");
    }
    /* A colon ends a word for bash: NODE:NIC is completed from the node's name on. */
    printf("        esac\n        case $word in -*) ;; *) COMPREPLY=($(compgen -f -- \"$word\")"
           " $([ -n \"$names\" ] && compgen -W \"$(netlab completion $names 2>/dev/null)\" -- \"$word\")); "
           "return ;; "
           "esac\n    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\ncomplete -o filenames -F _netlab "
           "netlab\n");
}

static void print_zsh_group(const struct cli_verb *group)
{
    for (size_t i = 0; group->group[i]; i++) {
        const struct cli_verb *verb = group->group[i];
        if (verb->is_hidden)
            continue;
        if (verb->group) {
            print_zsh_group(verb);
            continue;
        }
        printf("        (' %s '*) compadd --", verb->name);
        for (size_t k = 0; k < verb->option_count; k++)
            printf(" --%s", verb->options[k].name);
        printf(" ;;\n");
    }
    printf("        (' %s '*) compadd --", group->name);
    for (size_t i = 0; group->group[i]; i++)
        if (!group->group[i]->is_hidden)
            printf(" %s", cli_last_word(group->group[i]));
    printf(" ;;\n");
}

static void print_zsh(void)
{
    printf("#compdef netlab\n# made by `netlab completion zsh`\nif (( CURRENT == 2 )); then\n    "
           "local -a verbs=(\n");
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (!cli_verbs[i]->is_hidden) {
            g_autofree char *quoted = g_shell_quote(cli_verbs[i]->summary);
            printf("        %s:%s\n", cli_verbs[i]->name, quoted);
        }
    }
    printf("    )\n    _describe command verbs\nelse\n    case $words[2] in\n");
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (cli_verbs[i]->is_hidden)
            continue;
        if (cli_verbs[i]->group) {
            printf("    %s) case \" ${words[2,CURRENT-1]} \" in\n", cli_verbs[i]->name);
            print_zsh_group(cli_verbs[i]);
            printf("        esac ;;\n");
            continue;
        }
        printf("    %s) _arguments", cli_verbs[i]->name);
        for (size_t k = 0; k < cli_verbs[i]->option_count; k++)
            printf(" --%s%s", cli_verbs[i]->options[k].name, cli_verbs[i]->options[k].argument ? "=" : "");
        if (*names_of(cli_verbs[i]))
            printf(" '*:name:{ compadd -- $(netlab completion %s 2>/dev/null); _files }' ;;\n",
                   names_of(cli_verbs[i]));
        else
            printf(" '*:file:_files' ;;\n");
    }
    printf("    esac\nfi\n");
}

static void print_fish_group(const struct cli_verb *group)
{
    for (size_t i = 0; group->group[i]; i++) {
        const struct cli_verb *verb = group->group[i];
        if (verb->is_hidden)
            continue;
        g_autofree char *summary = g_shell_quote(verb->summary);
        printf(
            "complete -c netlab -n 'string match -qr \"^netlab %s +\\S*\\$\" (commandline -cp)' -f -a %s -d "
            "%s\n",
            group->name, cli_last_word(verb), summary);
        if (verb->group)
            print_fish_group(verb);
        for (size_t k = 0; k < verb->option_count; k++) {
            g_autofree char *help = g_shell_quote(verb->options[k].help);
            printf(
                "complete -c netlab -n 'string match -q \"netlab %s *\" (commandline -cp)' -l %s%s -d %s\n",
                verb->name, verb->options[k].name, verb->options[k].argument ? " -r" : "", help);
        }
    }
}

static void print_fish(void)
{
    printf("# fish completion for netlab; made by `netlab completion fish`\n");
    for (size_t i = 0; cli_verbs[i]; i++) {
        const struct cli_verb *verb = cli_verbs[i];
        if (verb->is_hidden)
            continue;
        g_autofree char *summary = g_shell_quote(verb->summary);
        printf("complete -c netlab -n __fish_use_subcommand -f -a %s -d %s\n", verb->name, summary);
        if (verb->group)
            print_fish_group(verb);
        if (*names_of(verb))
            printf("complete -c netlab -n '__fish_seen_subcommand_from %s' -a '(netlab completion %s "
                   "2>/dev/null)'\n",
                   verb->name, names_of(verb));
        for (size_t k = 0; k < verb->option_count; k++) {
            g_autofree char *help = g_shell_quote(verb->options[k].help);
            printf("complete -c netlab -n '__fish_seen_subcommand_from %s' -l %s%s -d %s\n", verb->name,
                   verb->options[k].name, verb->options[k].argument ? " -r" : "", help);
        }
    }
}

int cli_print_completion(const struct cli_call *call, const char *shell)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < G_N_ELEMENTS(shells); i++) {
        if (g_str_equal(shells[i].shell, shell)) {
            shells[i].print();
            return CLI_OK;
        }
    }
    return cli_misuse(call, "there is no completion for \"%s\"; there is for bash, zsh and fish", shell);
}

static int run(struct cli_call *call)
{
    const char *topic = cli_flag(call, "help") ? "help" : cli_argument(call, 0);
    const struct cli_verb *verb = topic ? cli_find_verb(cli_verbs, topic) : NULL;
    for (guint i = 1; verb && verb->group && i < call->arguments->len; i++)
        verb = cli_find_verb(verb->group, cli_argument(call, i));
    if (cli_flag(call, "man")) {
        print_man();
    } else if (cli_value(call, "completion")) {
        return cli_print_completion(call, cli_value(call, "completion"));
    } else if (!topic) {
        print_overview();
    } else if (g_str_equal(topic, "topology")) {
        print_grammar();
    } else if (g_str_equal(topic, "status-codes")) {
        print_statuses();
    } else if (verb) {
        print_verb(verb);
    } else {
        return cli_misuse(
            call, "there is no help on \"%s\"; topics are the commands, \"topology\" and \"status-codes\"",
            topic);
    }
    return CLI_OK;
}

const struct cli_verb verb_help = {
    .name = "help",
    .arguments = "[COMMAND… | topology | status-codes]",
    .summary = "show help, the manual page or shell completion",
    .description = "Without argument an overview. `topology` lists all keys of topology files, "
                   "`status-codes` the exit statuses.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 3,
    .run = run,
};
