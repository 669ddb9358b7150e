/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of the options about the process rather than the PC: where guest RAM comes from and whether it
 * stays in the host's memory, how messages look, what the process is called, how much memory translations
 * get.
 */
#include "emu/options_internal.h"

#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

enum { CODE_LEAST_MIB = 4, CODE_MOST_MIB = 512 };

static void set_text(char **where, const char *value)
{
    g_free(*where);
    *where = g_strdup(value);
}

/* ---- guest RAM ---- */

bool option_mem_path(struct options *o, const char *arg, GError **error)
{
    if (!*arg)
        return option_fail(error, "needs a folder or a file, as /dev/shm");
    set_text(&o->config->mem_path, arg);
    return true;
}

bool option_mem_prealloc(struct options *o, const char *arg, GError **error)
{
    o->config->mem_prealloc = true;
    return true;
}

static const struct keyval_row realtime_rows[] = {
    {"mlock", KEYVAL_BOOL, .help = "guest RAM stays in the host's memory (on)"},
};
const struct keyval_table option_realtime_table = {"", realtime_rows, G_N_ELEMENTS(realtime_rows), NULL};

bool option_realtime(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_realtime_table, arg, error);
    if (kv)
        o->config->mem_lock = keyval_bool(kv, "mlock", true);
    return kv != NULL;
}

/* ---- time by instructions ---- */

static const struct keyval_row icount_rows[] = {
    {"shift", KEYVAL_STRING,
     .help = "an instruction takes 2^N ns, N from 0 to 10; auto: as many as it takes the host"},
    {"sleep", KEYVAL_BOOL, .help = "off: a halted guest is at its next deadline at once (on)"},
    {"align", KEYVAL_BOOL,
     .help = "on: guest time does not run ahead of the host's, and a warning says when it is late (off)"},
    {"rr", KEYVAL_STRING, .help = "not here: record and replay"},
    {"rrfile", KEYVAL_STRING, .help = "not here: record and replay"},
    {"rrsnapshot", KEYVAL_STRING, .help = "not here: record and replay"},
};
static const struct keyval_table icount_table = {"", icount_rows, G_N_ELEMENTS(icount_rows), "shift"};

bool option_icount(struct options *o, const char *arg, GError **error)
{
    struct icount_config icount = {.on = true};
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&icount_table, arg, error);
    if (!kv)
        return false;
    if (keyval_has(kv, "rr") || keyval_has(kv, "rrfile") || keyval_has(kv, "rrsnapshot"))
        return option_fail(
            error, "rr: what comes from outside is not recorded here; a guest without it runs the same each "
                   "time with shift=N,sleep=off alone, so leave rr, rrfile and rrsnapshot out");
    const char *shift = keyval_string(kv, "shift", NULL);
    if (!shift)
        return option_fail(error, "shift= is missing: 0 to %d, or auto", ICOUNT_SHIFT_MOST);
    if (g_str_equal(shift, "auto"))
        icount.shift = ICOUNT_SHIFT_AUTO;
    else if (g_ascii_isdigit(shift[0]) && (!shift[1] || g_str_equal(shift, "10")))
        icount.shift = atoi(shift);
    else
        return option_fail(error, "shift=%s: 0 to %d, or auto", shift, ICOUNT_SHIFT_MOST);
    icount.sleep = keyval_bool(kv, "sleep", true);
    icount.align = keyval_bool(kv, "align", false);
    if (icount.shift == ICOUNT_SHIFT_AUTO && (icount.align || !icount.sleep))
        return option_fail(error,
                           "shift=auto follows the host's time by itself: leave %s out, or name a shift",
                           icount.align ? "align=on" : "sleep=off");
    if (icount.align && !icount.sleep)
        return option_fail(
            error, "align=on waits for the host's time and sleep=off does not: leave one of them out");
    o->config->icount = icount;
    return true;
}

bool option_win2k_hack(struct options *o, const char *arg, GError **error)
{
    o->config->win2k_hack = true;
    return true;
}

static const struct keyval_row overcommit_rows[] = {
    {"mem-lock", KEYVAL_BOOL, .help = "guest RAM stays in the host's memory"},
    {"cpu-pm", KEYVAL_CHOICE, "off", "an idle guest's processor is the host's to use"},
};
const struct keyval_table option_overcommit_table = {"", overcommit_rows, G_N_ELEMENTS(overcommit_rows),
                                                     NULL};

bool option_overcommit(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_overcommit_table, arg, error);
    if (kv)
        o->config->mem_lock = keyval_bool(kv, "mem-lock", o->config->mem_lock);
    return kv != NULL;
}

/* ---- messages, names ---- */

static const struct keyval_row msg_rows[] = {
    {"timestamp", KEYVAL_BOOL, .help = "messages begin with the time (UTC)"},
    {"guest-name", KEYVAL_BOOL, .help = "and with the machine's name"},
};
const struct keyval_table option_msg_table = {"", msg_rows, G_N_ELEMENTS(msg_rows), NULL};

bool option_msg(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_msg_table, arg, error);
    if (!kv)
        return false;
    o->config->message_time = keyval_bool(kv, "timestamp", o->config->message_time);
    o->config->message_name = keyval_bool(kv, "guest-name", o->config->message_name);
    return true;
}

static const struct keyval_row name_rows[] = {
    {"guest", KEYVAL_STRING, .help = "name of the machine"},
    {"process", KEYVAL_STRING, .help = "name of the process, as ps and top show it; 15 bytes count"},
    {"debug-threads", KEYVAL_BOOL, .help = "threads have names of their own; they always do"},
};
const struct keyval_table option_name_table = {"", name_rows, G_N_ELEMENTS(name_rows), "guest"};

bool option_name(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_name_table, arg, error);
    if (!kv)
        return false;
    const char *name = keyval_string(kv, "guest", NULL);
    if (name && !g_utf8_validate(name, -1, NULL))
        return option_fail(error, "the name is not valid UTF-8");
    if (name)
        set_text(&o->config->name, name);
    if (keyval_has(kv, "process") && !*keyval_string(kv, "process", ""))
        return option_fail(error, "process= needs a name");
    if (keyval_has(kv, "process"))
        set_text(&o->config->process_name, keyval_string(kv, "process", ""));
    return true;
}

/* ---- the translator ---- */

bool option_code_size(struct options *o, uint64_t mib, GError **error)
{
    if (mib && (mib < CODE_LEAST_MIB || mib > CODE_MOST_MIB))
        return option_fail(error,
                           "%" G_GUINT64_FORMAT " MiB for translated code: from %d to %d, or 0 for the "
                           "usual",
                           mib, CODE_LEAST_MIB, CODE_MOST_MIB);
    o->config->code_size = (size_t)mib << 20;
    return true;
}

bool option_tb_size(struct options *o, const char *arg, GError **error)
{
    uint64_t mib;
    return keyval_parse_number("size in MiB", arg, 0, 0, &mib, error) && option_code_size(o, mib, error);
}

bool option_singlestep(struct options *o, const char *arg, GError **error)
{
    o->config->single = true;
    return true;
}

/* ---- passed files ---- */

static const struct keyval_row add_fd_rows[] = {
    {"fd", KEYVAL_NUMBER, .help = "the descriptor, open and without close-on-exec", .min = 3, .max = 1 << 20},
    {"set", KEYVAL_NUMBER, .help = "the N of /dev/fdset/N that it is part of", .max = INT64_MAX},
    {"opaque", KEYVAL_STRING, .help = "a text that query-fdsets gives back"},
};
const struct keyval_table option_add_fd_table = {"", add_fd_rows, G_N_ELEMENTS(add_fd_rows), NULL};

bool option_add_fd(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_add_fd_table, arg, error);
    if (!kv)
        return false;
    if (!keyval_has(kv, "fd") || !keyval_has(kv, "set"))
        return option_fail(error, "needs fd= and set=, as fd=3,set=1");
    struct machine_passed_fd *passed = g_new0(struct machine_passed_fd, 1);
    passed->fd = (int)keyval_number(kv, "fd", 0);
    passed->set = (int64_t)keyval_number(kv, "set", 0);
    passed->opaque = g_strdup(keyval_string(kv, "opaque", NULL));
    g_ptr_array_add(o->config->passed_fds, passed);
    return true;
}

/* ---- confinement ---- */

static const struct keyval_row sandbox_rows[] = {
    {"enable", KEYVAL_BOOL, .help = "the filter, once all is set up"},
    {"obsolete", KEYVAL_CHOICE, "allow|deny", "calls that only very old programs make (deny)"},
    {"elevateprivileges", KEYVAL_CHOICE, "allow|deny|children", "other users, groups, sessions (allow)"},
    {"spawn", KEYVAL_CHOICE, "allow|deny", "starting programs, as commands of guestfwd= (allow)"},
    {"resourcecontrol", KEYVAL_CHOICE, "allow|deny", "changing priorities and limits (allow)"},
};
const struct keyval_table option_sandbox_table = {"", sandbox_rows, G_N_ELEMENTS(sandbox_rows), "enable"};

bool option_sandbox(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("-sandbox on|off[,key=value…]\n");
        keyval_describe(&option_sandbox_table, text);
        return option_print(o, text);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_sandbox_table, arg, error);
    if (!kv)
        return false;
    o->config->sandbox = (struct sandbox){
        .on = keyval_bool(kv, "enable", false),
        .obsolete = g_str_equal(keyval_string(kv, "obsolete", "deny"), "allow"),
        .elevate = !g_str_equal(keyval_string(kv, "elevateprivileges", "allow"), "deny"),
        .spawn = !g_str_equal(keyval_string(kv, "spawn", "allow"), "deny"),
        .resource_control = !g_str_equal(keyval_string(kv, "resourcecontrol", "allow"), "deny"),
    };
    return true;
}

/* ---- FIPS ---- */

bool option_fips(struct options *o, const char *arg, GError **error)
{
    o->fips = true;
    return true;
}

bool options_finish_process(struct options *o, GError **error)
{
    for (guint i = 0; o->fips && i < o->config->vncs->len; i++)
        if (((struct machine_vnc *)o->config->vncs->pdata[i])->password)
            return option_fail(error,
                               "-vnc password=on: a VNC password is DES, which -enable-fips forbids; use "
                               "unix:PATH, or an SSH tunnel to the loopback address");
    return true;
}
