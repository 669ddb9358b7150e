/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Trials: see trial.h. What is a good kernel, how much memory it needs and which CPU models there are is
 * known in one place, the emulator; so it is asked, instead of being told twice.
 */
#include "netlab/trial.h"
#include "netlab/caller.h"
#include "netlab/machine_drives.h"
#include "netlab/paths.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_SECONDS = 10, MOST_TEXT = 4096 };

static void add(GPtrArray *argv, const char *option, const char *value)
{
    if (!value)
        return;
    g_ptr_array_add(argv, g_strdup(option));
    g_ptr_array_add(argv, g_strdup(value));
}

/* What it writes to `fd` until the end of file or the deadline; true at the end of file. */
static bool read_until_end(int fd, GString *text)
{
    gint64 deadline = g_get_monotonic_time() + MOST_SECONDS * G_USEC_PER_SEC;
    for (;;) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left <= 0)
            return false;
        int ready = poll(&wait, 1, (int)left);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready <= 0)
            continue;
        char chunk[512];
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got == 0 || (got < 0 && errno != EINTR))
            return got == 0;
        if (got > 0 && text->len < MOST_TEXT)
            g_string_append_len(text, chunk, got);
    }
}

enum { FIRST_FD = 3, FILES_MOST = 2 + 1 + 16 /* a disk and what is below it */ };

/* Its files as descriptors, since the user that it becomes may not be able to reach them by their paths. */
struct files {
    int from[FILES_MOST], to[FILES_MOST];
    const char *path[FILES_MOST]; /* of those that are passed as /proc/self/fd/N; NULL: of a set */
    int count;
};

/* What it is told instead of the path; false: that user may not read it, which starting the machine will say.
 */
static bool pass_file(struct files *files, const struct machine_user *user, const char *path, char **name)
{
    struct stat found;
    if (!path || !user->change) {
        *name = g_strdup(path);
        return true;
    }
    int fd = caller_open(path);
    if (fd < 0)
        return false;
    files->from[files->count] = fd;
    files->to[files->count] = FIRST_FD + files->count;
    files->path[files->count] = path;
    *name = g_strdup_printf("/proc/self/fd/%d", files->to[files->count++]);
    return fstat(fd, &found) == 0 && ((found.st_mode & S_IROTH) || found.st_uid == user->uid);
}

static void close_files(struct files *files)
{
    for (int i = 0; i < files->count; i++)
        close(files->from[i]);
}

/* The words of the medium. False: why not; the trial is over then. */
static bool add_medium(GPtrArray *argv, struct files *files, const struct trial *trial,
                       const struct machine_user *user, GError **error)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    struct machine_fds passed = {fds, FIRST_FD + files->count};
    unsigned set = 1;
    bool good = !trial->medium || machine_drive_add(argv, trial->medium, user, &passed, &set, error);
    for (guint i = 0; i < fds->len; i++) {
        int fd = g_array_index(fds, int, i);
        if (files->count == FILES_MOST) {
            close(fd);
            continue;
        }
        files->from[files->count] = fd;
        files->to[files->count] = FIRST_FD + files->count;
        files->count++;
    }
    return good;
}

static void restore_paths(const struct trial *trial, const struct files *files, GString *text)
{
    for (int i = 0; i < files->count; i++) {
        g_autofree char *name = g_strdup_printf("/proc/self/fd/%d", files->to[i]);
        if (files->path[i])
            g_string_replace(text, name, files->path[i], 0);
    }
    if (!trial->medium)
        return;
    g_autoptr(JsonObject) payload = json_object_new();
    JsonArray *media = json_array_new();
    json_array_add_object_element(media, json_object_ref(trial->medium));
    json_object_set_array_member(payload, "media", media);
    machine_drives_restore_paths(payload, text);
}

/* In the child: a kernel is a stranger's, and root is not to read it. */
static void become(gpointer opaque)
{
    const struct machine_user *user = opaque;
    machine_drop_privileges(user, false);
    if (user->change && (getuid() != user->uid || getgid() != user->gid))
        _exit(0); /* no trial is consent */
}

bool trial_run(const struct trial *trial, char **why)
{
    struct machine_user user = machine_user_choose("trial");
    __attribute__((cleanup(close_files))) struct files files = {.count = 0};
    g_autofree char *kernel = NULL, *initrd = NULL;
    if (!pass_file(&files, &user, trial->kernel, &kernel) ||
        !pass_file(&files, &user, trial->initrd, &initrd))
        return true;
    g_autofree char *emulator = paths_emulator(NULL);
    g_autofree char *memory = g_strdup_printf("%u", trial->memory);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    if (!emulator)
        return true;
    add(argv, emulator, "-check");
    add(argv, "-m", memory);
    add(argv, "-cpu", trial->cpu);
    add(argv, "-kernel", kernel);
    add(argv, "-initrd", initrd);
    add(argv, "-append", trial->append);
    add(argv, "-display", "none");
    add(argv, "-serial", "null");
    add(argv, "-monitor", "none");
    add(argv, "-nic", "none");
    g_autoptr(GError) error = NULL;
    if (!add_medium(argv, &files, trial, &user, &error)) {
        *why = g_strdup(error->message);
        return false;
    }
    g_ptr_array_add(argv, NULL);

    GPid pid;
    int fd;
    if (!g_spawn_async_with_pipes_and_fds(NULL, (const char *const *)argv->pdata, NULL,
                                          G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, become,
                                          &user, -1, -1, -1, files.from, files.to, (gsize)files.count, &pid,
                                          NULL, NULL, &fd, NULL))
        return true;
    g_autoptr(GString) text = g_string_new(NULL);
    bool ended = read_until_end(fd, text);
    close(fd);
    if (!ended)
        kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    g_spawn_close_pid(pid);
    if (!ended || (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
        !g_str_has_prefix(text->str, "netlab-emu: ") || strstr(text->str, "-check"))
        return true;
    restore_paths(trial, &files, text);
    *why = g_strstrip(g_strdup(text->str + strlen("netlab-emu: ")));
    return false;
}
