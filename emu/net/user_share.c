/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A folder shared with guests by the host's Samba (smb=FOLDER).
 *
 * Samba is started for each connection, with its standard input as the connection (smbd does so when it finds
 * a socket there), and gets a configuration and a private directory of its own in the temporary folder, mode
 * 0700, that is removed with the machine. What guests write belongs to whoever runs the emulator.
 */
#include "emu/net/netdev.h"
#include "emu/net/user.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

struct user_share {
    char *folder; /* ours, temporary */
    char *command;
};

char *user_share_program(GError **error)
{
    static const char *const places[] = {"/usr/sbin/smbd", "/usr/local/sbin/smbd",
                                         "/usr/local/samba/sbin/smbd"};
    char *found = g_find_program_in_path("smbd");
    for (size_t i = 0; i < G_N_ELEMENTS(places) && !found; i++)
        if (access(places[i], X_OK) == 0)
            found = g_strdup(places[i]);
    if (!found)
        net_fail(
            error, ENOENT,
            "smb=: Samba's smbd is not installed; install the package samba, or share files by tftp= or a "
            "server on the host");
    return found;
}

const char *user_share_command(const struct user_share *share)
{
    return share->command;
}

/* Paths go into a file of lines. */
static bool one_line(const char *path)
{
    return !strpbrk(path, "\r\n");
}

struct user_share *user_share_new(const char *folder, GError **error)
{
    g_autofree char *program = user_share_program(error);
    if (!program)
        return NULL;
    g_autofree char *shared = g_canonicalize_filename(folder, NULL);
    if (!g_file_test(shared, G_FILE_TEST_IS_DIR) || !one_line(shared)) {
        net_fail(error, ENOTDIR, "smb=%s: not a folder", folder);
        return NULL;
    }
    const struct passwd *user = getpwuid(geteuid());
    g_autofree char *own = g_dir_make_tmp("netlab-smb-XXXXXX", error);
    if (!own) {
        g_prefix_error(error, "smb=: a temporary folder (see TMPDIR): ");
        return NULL;
    }
    g_autofree char *conf = g_build_filename(own, "smb.conf", NULL);
    g_autofree char *text = g_strdup_printf("[global]\n"
                                            "private dir=%1$s\n"
                                            "pid directory=%1$s\n"
                                            "lock directory=%1$s\n"
                                            "state directory=%1$s\n"
                                            "cache directory=%1$s\n"
                                            "ncalrpc dir=%1$s/ncalrpc\n"
                                            "log file=%1$s/log.smbd\n"
                                            "smb passwd file=%1$s/smbpasswd\n"
                                            "interfaces=127.0.0.1\n"
                                            "bind interfaces only=yes\n"
                                            "security=user\n"
                                            "map to guest=Bad User\n"
                                            "load printers=no\n"
                                            "printing=bsd\n"
                                            "disable spoolss=yes\n"
                                            "usershare max shares=0\n"
                                            "[qemu]\n"
                                            "path=%2$s\n"
                                            "read only=no\n"
                                            "guest ok=yes\n"
                                            "force user=%3$s\n",
                                            own, shared, user ? user->pw_name : "root");
    struct user_share *share = g_new0(struct user_share, 1);
    share->folder = g_steal_pointer(&own);
    if (!g_file_set_contents_full(conf, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, error)) {
        user_share_free(share);
        return NULL;
    }
    g_autofree char *quoted_program = g_shell_quote(program);
    g_autofree char *quoted_folder = g_shell_quote(share->folder);
    g_autofree char *quoted_conf = g_shell_quote(conf);
    share->command = g_strdup_printf("%s -l %s -s %s", quoted_program, quoted_folder, quoted_conf);
    return share;
}

/* Removes what is in a folder of ours, at most a few levels deep; links are not followed. */
static void remove_tree(const char *path, unsigned depth)
{
    g_autoptr(GDir) dir = depth ? g_dir_open(path, 0, NULL) : NULL;
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            remove_tree(child, depth - 1);
        else
            g_unlink(child);
    }
    g_rmdir(path);
}

void user_share_free(struct user_share *share)
{
    if (!share)
        return;
    remove_tree(share->folder, 6);
    g_free(share->folder);
    g_free(share->command);
    g_free(share);
}
