/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Debian packages for i386 without root and without touching the system's apt.
 *
 * A private apt root in the cache folder has its own lists, status and archives, and as sources those entries
 * of the machine's own apt configuration whose origin is Debian, so a configured mirror is the mirror used.
 * The security suite's i386 index is known to be out of step with its Release file at times: when updating
 * with it fails, packages come from the main suites alone, and the progress line says so.
 */
#include "netlab/image_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct image_apt {
    char *root;
    char *config; /* path of apt.conf: what APT_CONFIG names */
    image_progress *progress;
    void *opaque;
    unsigned fetches;
};

static void say(struct image_apt *apt, const char *step, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void say(struct image_apt *apt, const char *step, const char *format, ...)
{
    if (!apt->progress)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    apt->progress(apt->opaque, step, text);
}

/* A program that runs, and the disk it fills. */
struct watched {
    GSubprocess *process;
    const char *disk;
    GMainLoop *loop;
    GAsyncResult *result;
    bool full;
};

enum { WATCHED_LEAST_FREE = 256 << 10 };

static void on_ended(GObject *process, GAsyncResult *result, gpointer opaque)
{
    struct watched *watched = opaque;
    watched->result = g_object_ref(result);
    g_main_loop_quit(watched->loop);
}

/* On a full disk apt does not end: its fetchers wait for each other for ever. */
static gboolean on_look_at_disk(gpointer opaque)
{
    struct watched *watched = opaque;
    struct statvfs fs;
    if (statvfs(watched->disk, &fs) != 0 || fs.f_bavail * fs.f_frsize >= WATCHED_LEAST_FREE)
        return G_SOURCE_CONTINUE;
    watched->full = true;
    g_subprocess_force_exit(watched->process);
    return G_SOURCE_REMOVE;
}

/* Waits for the end of a program, collecting what it prints; ends it when the disk of `config` is full. */
static bool finish(GSubprocess *process, const char *config, char **out, char **err, bool *full,
                   GError **error)
{
    if (!config)
        return g_subprocess_communicate_utf8(process, NULL, NULL, out, err, error);
    g_autofree char *disk = g_path_get_dirname(config);
    g_autoptr(GMainContext) context = g_main_context_new();
    g_main_context_push_thread_default(context);
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    struct watched watched = {.process = process, .disk = disk, .loop = loop};
    g_autoptr(GSource) timer = g_timeout_source_new(500);
    g_source_set_callback(timer, on_look_at_disk, &watched, NULL);
    g_source_attach(timer, context);
    g_subprocess_communicate_utf8_async(process, NULL, NULL, on_ended, &watched);
    g_main_loop_run(loop);
    bool good = g_subprocess_communicate_utf8_finish(process, watched.result, out, err, error);
    g_object_unref(watched.result);
    g_source_destroy(timer);
    g_main_context_pop_thread_default(context);
    *full = watched.full;
    return good;
}

/* Runs a program with the private configuration (or the machine's, config == NULL). */
static char *run(const char *config, const char *folder, const char *const *argv, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_subprocess_launcher_setenv(launcher, "LC_ALL", "C", TRUE);
    if (config)
        g_subprocess_launcher_setenv(launcher, "APT_CONFIG", config, TRUE);
    if (folder)
        g_subprocess_launcher_set_cwd(launcher, folder);
    g_autoptr(GSubprocess) process = g_subprocess_launcher_spawnv(launcher, argv, error);
    if (!process) {
        g_prefix_error(error, "starting %s: ", argv[0]);
        return NULL;
    }
    g_autofree char *out = NULL, *err = NULL;
    bool full = false;
    if (!finish(process, config, &out, &err, &full, error))
        return NULL;
    if (!g_subprocess_get_successful(process)) {
        g_autofree char *command = g_strjoinv(" ", (char **)argv);
        const char *said = full ? "the disk is full" : err ? g_strstrip(err) : "";
        full = full || strstr(said, "No space left");
        g_set_error(error, IMAGE_ERROR, full ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD, "%s failed: %s%s",
                    command, said, full ? " (free some space, or set NETLAB_CACHE_DIR to another disk)" : "");
        return NULL;
    }
    return g_steal_pointer(&out);
}

static bool write_text(const char *path, const char *text, GError **error)
{
    if (g_file_set_contents(path, text, -1, error))
        return true;
    g_prefix_error(error, "preparing the package cache: ");
    return false;
}

/* "deb URI SUITE COMPONENT" lines for each Debian source of the machine. */
static char *find_sources(bool security, GError **error)
{
    const char *const argv[] = {"apt-get",
                                "indextargets",
                                "--format",
                                "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
                                "Created-By: Packages",
                                NULL};
    g_autofree char *out = run(NULL, NULL, argv, error);
    if (!out) {
        g_prefix_error(error, "asking apt for this machine's Debian mirror: ");
        return NULL;
    }
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) sources = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) field = g_strsplit(*line, "|", 4);
        if (g_strv_length(field) != 4 || strcmp(field[0], "Debian") != 0 || strcmp(field[3], "main") != 0)
            continue;
        if (!security && strstr(field[2], "-security"))
            continue;
        if (g_hash_table_add(seen, g_strdup(*line)))
            g_string_append_printf(sources, "deb [arch=i386] %s %s %s\n", field[1], field[2], field[3]);
    }
    if (sources->len == 0) {
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD,
                    "apt on this machine knows no Debian mirror yet: run `apt-get update` as root once, or "
                    "add a Debian "
                    "source to /etc/apt/sources.list");
        return NULL;
    }
    return g_string_free(g_steal_pointer(&sources), FALSE);
}

static bool write_config(struct image_apt *apt, GError **error)
{
    static const char *const folders[] = {"lists/partial", "cache/archives/partial", "debs"};
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(apt->root, folders[i], NULL);
        if (g_mkdir_with_parents(path, 0755) != 0) {
            g_set_error(error, IMAGE_ERROR, errno == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD,
                        "making %s: %s", path, g_strerror(errno));
            return false;
        }
    }
    g_autofree char *status = g_build_filename(apt->root, "status", NULL);
    if (!write_text(status, "", error))
        return false;
    g_autofree char *text =
        g_strdup_printf("Dir::State \"%1$s\";\n"
                        "Dir::State::lists \"%1$s/lists\";\n"
                        "Dir::State::status \"%1$s/status\";\n"
                        "Dir::Cache \"%1$s/cache\";\n"
                        "Dir::Etc::sourcelist \"%1$s/sources.list\";\n"
                        "Dir::Etc::sourceparts \"-\";\n"
                        "Dir::Etc::trusted \"/usr/share/keyrings/debian-archive-keyring.gpg\";\n"
                        "APT::Architecture \"i386\";\n"
                        "APT::Architectures { \"i386\"; };\n"
                        "APT::Sandbox::User \"\";\n"
                        "Acquire::Languages \"none\";\n"
                        "Acquire::Retries \"2\";\n"
                        "APT::Get::Assume-Yes \"true\";\n",
                        apt->root);
    return write_text(apt->config, text, error);
}

static bool update(struct image_apt *apt, bool security, GError **error)
{
    g_autofree char *sources = find_sources(security, error);
    g_autofree char *path = g_build_filename(apt->root, "sources.list", NULL);
    if (!sources || !write_text(path, sources, error))
        return false;
    /* Any: a source that fails must fail the update, not be ignored with old indexes. */
    const char *const argv[] = {"apt-get", "update", "-qq", "--error-on=any", NULL};
    g_autofree char *out = run(apt->config, NULL, argv, error);
    return out != NULL;
}

struct image_apt *image_apt_open(image_progress *progress, void *opaque, GError **error)
{
    g_autofree char *cache = image_cache_folder(error);
    if (!cache)
        return NULL;
    struct image_apt *apt = g_new0(struct image_apt, 1);
    apt->root = g_build_filename(cache, "apt-i386", NULL);
    apt->config = g_build_filename(apt->root, "apt.conf", NULL);
    apt->progress = progress;
    apt->opaque = opaque;
    g_autoptr(GError) first = NULL;
    g_autofree char *debs = g_build_filename(apt->root, "debs", NULL);
    if (g_file_test(debs, G_FILE_TEST_IS_DIR)) /* an interrupted build's */
        image_remove_folder(debs, NULL);
    say(apt, "packages", "Reading the i386 package lists of this machine's Debian mirror");
    if (!write_config(apt, error))
        goto failed;
    if (!update(apt, true, &first)) {
        if (g_error_matches(first, IMAGE_ERROR, IMAGE_ERROR_NO_SPACE)) {
            g_propagate_error(error, g_steal_pointer(&first));
            goto failed;
        }
        say(apt, "packages",
            "The security suite's i386 index cannot be had right now: using main and updates without it");
        if (!update(apt, false, error)) {
            g_prefix_error(error, "reading Debian's package lists: ");
            goto failed;
        }
    }
    return apt;
failed:
    image_apt_close(apt);
    return NULL;
}

void image_apt_close(struct image_apt *apt)
{
    if (!apt)
        return;
    g_autofree char *debs = g_build_filename(apt->root, "debs", NULL);
    if (g_file_test(debs, G_FILE_TEST_IS_DIR))
        image_remove_folder(debs, NULL);
    g_free(apt->root);
    g_free(apt->config);
    g_free(apt);
}

char *image_apt_dependency(struct image_apt *apt, const char *metapackage, GError **error)
{
    const char *const argv[] = {"apt-cache", "show", "--no-all-versions", metapackage, NULL};
    g_autofree char *out = run(apt->config, NULL, argv, error);
    if (!out)
        return NULL;
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, "Depends: "))
            continue;
        const char *name = *line + 9;
        return g_strndup(name, strcspn(name, " ,("));
    }
    g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD,
                "package %s depends on nothing: this mirror does not carry Debian's i386 kernels",
                metapackage);
    return NULL;
}

static GPtrArray *list_debs(const char *folder, GError **error)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
    const char *name;
    if (!dir)
        return NULL;
    while ((name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".deb"))
            g_ptr_array_add(files, g_build_filename(folder, name, NULL));
    if (files->len)
        return g_steal_pointer(&files);
    g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD, "apt-get downloaded nothing into %s: try again",
                folder);
    return NULL;
}

/* Each fetch has a folder of its own, so what lies in it afterwards is exactly what was asked for. */
GPtrArray *image_apt_fetch(struct image_apt *apt, const char *const *packages, bool with_dependencies,
                           GError **error)
{
    g_autofree char *folder = g_strdup_printf("%s/debs/%u", apt->root, apt->fetches++);
    g_autofree char *partial = g_build_filename(folder, "partial", NULL);
    g_autofree char *archives = g_strdup_printf("Dir::Cache::archives=%s", folder);
    if (g_mkdir_with_parents(partial, 0755) != 0) {
        g_set_error(error, IMAGE_ERROR, errno == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD,
                    "making %s: %s", partial, g_strerror(errno));
        return NULL;
    }
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *const install[] = {"apt-get",         "install", "-qq",   "--no-install-recommends",
                                   "--download-only", "-o",      archives};
    const char *const download[] = {"apt-get", "download", "-qq"};
    const char *const *words = with_dependencies ? install : download;
    for (unsigned i = 0; i < (with_dependencies ? G_N_ELEMENTS(install) : G_N_ELEMENTS(download)); i++)
        g_ptr_array_add(argv, (char *)words[i]);
    for (const char *const *p = packages; *p; p++)
        g_ptr_array_add(argv, (char *)*p);
    g_ptr_array_add(argv, NULL);
    g_autofree char *names = g_strjoinv(" ", (char **)packages);
    say(apt, "download", "Downloading %s", names);
    g_autofree char *out = run(apt->config, folder, (const char *const *)argv->pdata, error);
    return out ? list_debs(folder, error) : NULL;
}
