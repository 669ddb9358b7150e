/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab help`: help as text, the table of options, and shell completion, all from the rows of verbs and
 * options. manual.c makes manual pages of the same rows.
 */
#include "cli/cli.h"
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"man", 0, NULL, "print the manual page in roff: netlab(1), or the command's"},
    {"text", 't', NULL, "print plain text, also on a terminal that has man(1)"},
    {"pages", 0, "FOLDER", "write all manual pages into this folder"},
    {"markdown", 0, NULL, "print the table of all options and their variables (docs/commands.md)"},
    {"completion", 0, "SHELL", "print completion for bash, zsh or fish"},
    CLI_HELP_OPTION,
};

enum { WIDTH = 78 };

/* ---- text ---- */

/* Prints text wrapped from `column` on; its own newlines stay, and lines after the first begin at `indent`.
 */
static void print_text(const char *text, glong column, int indent)
{
    g_auto(GStrv) paragraphs = g_strsplit(text, "\n", -1);
    for (int p = 0; paragraphs[p]; p++) {
        g_auto(GStrv) words = g_strsplit(paragraphs[p], " ", -1);
        bool is_first = true;
        for (int w = 0; words[w]; w++) {
            glong width = g_utf8_strlen(words[w], -1);
            if (!is_first && column + 1 + width > WIDTH) {
                printf("\n");
                is_first = true;
                column = 0;
            }
            int blanks = !is_first ? 1 : column < indent && *words[w] ? (int)(indent - column) : 0;
            printf("%*s%s", blanks, "", words[w]);
            column += blanks + width;
            is_first = false;
        }
        printf("\n");
        column = 0;
    }
}

void cli_print_hanging(const char *text, int indent)
{
    print_text(text, indent, indent);
}

/* A term and what it means, in two columns; a long term has a line of its own. */
static void print_term(const char *term, const char *text, int indent)
{
    glong width = 2 + g_utf8_strlen(term, -1);
    printf("  %s", term);
    if (width + 2 > indent) {
        printf("\n");
        width = 0;
    }
    print_text(text, width, indent);
}

char *cli_option_form(const struct cli_option *option)
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
            print_term(cli_last_word(verb), verb->summary, 13);
    }
    printf("\n`netlab help %s COMMAND` tells more.\n", group->name);
}

/* Which of the verb's options the environment gives just now. */
static void print_environment(const struct cli_verb *verb)
{
    bool is_first = true;
    for (size_t i = 0; i < verb->option_count; i++) {
        g_autofree char *name = NULL;
        bool is_wrong;
        const char *value = cli_variable_value(verb, &verb->options[i], &name, &is_wrong);
        if (!value)
            continue;
        g_autofree char *shown = cli_printable(*value ? value : "1");
        printf("%s  %s=%s (--%s)%s\n", is_first ? "\nSet in the environment now:\n" : "", name, shown,
               verb->options[i].name, is_wrong ? ": neither 1 nor 0, so the command will refuse it" : "");
        is_first = false;
    }
}

static void print_verb(const struct cli_verb *verb)
{
    g_autofree char *usage =
        g_strdup_printf("netlab %s%s%s", verb->name, *verb->arguments ? " " : "", verb->arguments);
    print_text(usage, 0, 0);
    printf("\n");
    print_text(verb->description, 0, 0);
    if (verb->group) {
        print_group(verb);
        return;
    }
    printf("\nOptions:\n");
    for (size_t i = 0; i < verb->option_count; i++) {
        g_autofree char *form = cli_option_form(&verb->options[i]);
        print_term(form, verb->options[i].help, 27);
    }
    if (verb->examples)
        printf("\nExamples:\n");
    for (const struct cli_example *example = verb->examples; example && example->command; example++) {
        printf("  %s\n", example->command);
        print_text(example->what, 0, 6);
    }
    if (verb->statuses) {
        g_auto(GStrv) lines = g_strsplit(verb->statuses, "\n", -1);
        printf("\nExit status:\n");
        for (int i = 0; lines[i]; i++) {
            g_auto(GStrv) parts = g_strsplit(lines[i], " ", 2);
            print_term(parts[0], parts[1] ? parts[1] : "", 7);
        }
    }
    if (verb->option_count > 1) {
        g_autofree char *variable = cli_variable(verb, &verb->options[0]);
        g_autofree char *text =
            g_strdup_printf("Each option is also an environment variable, as in %s (flags: 1).", variable);
        printf("\n");
        print_text(text, 0, 0);
    }
    print_environment(verb);
}

static void print_overview(void)
{
    printf("netlab: a network lab in a box\n\nusage: netlab COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n");
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (!cli_verbs[i]->is_hidden)
            print_term(cli_verbs[i]->name, cli_verbs[i]->summary, 14);
    }
    printf("\n`netlab help COMMAND` tells more; `netlab help topology` lists all keys of\ntopology files.\n"
           "First steps: netlab image build mini; netlab up labs/two-hosts\n");
}

static void print_statuses(void)
{
    for (size_t i = 0; i < cli_status_count; i++)
        printf("  %3d  %s\n", cli_statuses[i].status, cli_statuses[i].meaning);
}

/* ---- the table of options for docs/commands.md ---- */

static void print_markdown_rows(const struct cli_verb *const *verbs)
{
    for (size_t i = 0; verbs[i]; i++) {
        const struct cli_verb *verb = verbs[i];
        if (verb->is_hidden)
            continue;
        if (verb->group)
            print_markdown_rows(verb->group);
        for (size_t k = 0; k < verb->option_count; k++) {
            const struct cli_option *option = &verb->options[k];
            if (g_str_equal(option->name, "help"))
                continue;
            g_autofree char *variable = cli_variable(verb, option);
            g_autofree char *form = cli_option_form(option);
            g_auto(GStrv) pieces = g_strsplit(option->help, "|", -1);
            g_autofree char *help = g_strjoinv("\\|", pieces);
            printf("| `%s` | `%s` | `%s` | %s |\n", verb->name, g_strstrip(form), variable, help);
        }
    }
}

static void print_markdown(void)
{
    printf("| command | option | variable | |\n|---|---|---|---|\n");
    print_markdown_rows(cli_verbs);
}

/* ---- the manual page on a terminal ---- */

/* Shows a page with man(1); false when there is none, or it is not wanted. */
static bool show_page(const struct cli_verb *verb)
{
    g_autofree char *man = g_find_program_in_path("man");
    if (!man || !cli_is_terminal() || !isatty(STDIN_FILENO))
        return false;
    g_autofree char *page = cli_man_page(verb);
    const char *const command[] = {man, "-l", "-", NULL};
    g_autoptr(GSubprocess) process = g_subprocess_newv(command, G_SUBPROCESS_FLAGS_STDIN_PIPE, NULL);
    return process && g_subprocess_communicate_utf8(process, page, NULL, NULL, NULL, NULL) &&
           g_subprocess_get_successful(process);
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

/* The verb that these words name, from the first of them; NULL: none. */
static const struct cli_verb *find_topic(const struct cli_call *call)
{
    const char *topic = cli_argument(call, 0);
    const struct cli_verb *verb = topic ? cli_find_verb(cli_verbs, topic) : NULL;
    for (guint i = 1; verb && verb->group && i < call->arguments->len; i++)
        verb = cli_find_verb(verb->group, cli_argument(call, i));
    return verb;
}

static int run_man(const struct cli_call *call, const char *topic, const struct cli_verb *verb)
{
    bool is_file = topic && (g_str_equal(topic, "topology") || g_str_equal(topic, "netlab.yml"));
    if (topic && !verb && !is_file)
        return cli_misuse(call,
                          "there is no manual page on \"%s\"; there is one for each command and for "
                          "\"topology\"",
                          topic);
    g_autofree char *page = is_file ? cli_man_topology() : cli_man_page(verb);
    printf("%s", page);
    return CLI_OK;
}

static int run(struct cli_call *call)
{
    const char *topic = cli_argument(call, 0), *folder = cli_value(call, "pages");
    const struct cli_verb *verb = find_topic(call);
    g_autoptr(GError) error = NULL;
    if (folder) {
        return cli_man_write(folder, &error) ? CLI_OK : cli_fail(error);
    } else if (cli_flag(call, "man")) {
        return run_man(call, topic, verb);
    } else if (cli_flag(call, "markdown")) {
        print_markdown();
    } else if (cli_value(call, "completion")) {
        return cli_print_completion(call, cli_value(call, "completion"));
    } else if (!topic) {
        print_overview();
    } else if (g_str_equal(topic, "topology")) {
        cli_print_grammar();
    } else if (g_str_equal(topic, "status-codes")) {
        print_statuses();
    } else if (verb) {
        if (cli_flag(call, "text") || !show_page(verb))
            print_verb(verb);
    } else {
        return cli_misuse(
            call, "there is no help on \"%s\"; topics are the commands, \"topology\" and \"status-codes\"",
            topic);
    }
    return CLI_OK;
}

int cli_print_help(const struct cli_verb *verb)
{
    print_verb(verb);
    return CLI_OK;
}

const struct cli_verb verb_help = {
    .name = "help",
    .arguments = "[COMMAND… | topology | status-codes]",
    .summary = "show help, the manual page or shell completion",
    .description =
        "Without argument an overview. Of a command its manual page, with man(1) on a terminal and "
        "as text elsewhere; `netlab COMMAND --help` is always text. `topology` lists all keys of "
        "topology files (`netlab schema --markdown` tells all of them), `status-codes` the exit "
        "statuses.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 3,
    .examples = CLI_EXAMPLES({"netlab help up", "the manual page of `netlab up`"},
                             {"netlab help topology", "all keys of topology files"},
                             {"netlab help --man exec | man -l -", "the page, from its roff source"}),
    .run = run,
};
