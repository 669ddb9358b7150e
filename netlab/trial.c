/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Trials: see trial.h. What is a good kernel, how much memory it needs and which CPU models there are is
 * known in one place, the emulator; so it is asked, instead of being told twice.
 */
#include "netlab/trial.h"
#include "netlab/paths.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
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

bool trial_run(const struct trial *trial, char **why)
{
    g_autofree char *emulator = paths_emulator(NULL);
    g_autofree char *memory = g_strdup_printf("%u", trial->memory);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    if (!emulator)
        return true;
    add(argv, emulator, "-check");
    add(argv, "-m", memory);
    add(argv, "-cpu", trial->cpu);
    add(argv, "-kernel", trial->kernel);
    add(argv, "-initrd", trial->initrd);
    add(argv, "-append", trial->append);
    add(argv, "-display", "none");
    add(argv, "-serial", "null");
    add(argv, "-monitor", "none");
    add(argv, "-nic", "none");
    g_ptr_array_add(argv, NULL);

    GPid pid;
    int fd;
    if (!g_spawn_async_with_pipes(NULL, (char **)argv->pdata, NULL,
                                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, &pid,
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
    *why = g_strstrip(g_strdup(text->str + strlen("netlab-emu: ")));
    return false;
}
