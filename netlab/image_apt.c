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
 *
 * Packages stay in the cache folder's pool/, so that the next image that wants them has them at once; each is
 * held against its SHA-256 in the signed lists before it is used. What nobody used for MOST_DAYS goes.
 */
#include "netlab/image_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utime.h>

struct image_apt {
    char *root;
    char *config; /* path of apt.conf: what APT_CONFIG names */
    char *pool;   /* where packages lie */
    image_progress *progress;
    void *opaque;
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
    /* Said on the command line: set-ups of containers switch apt's own cache off, and each question would
     * take seconds. */
    static const char *const cached[] = {"-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o",
                                         "Dir::Cache::srcpkgcache=srcpkgcache.bin"};
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (guint i = 0; argv[i]; i++) {
        g_ptr_array_add(words, (char *)argv[i]);
        for (guint k = 0; config && i == 0 && k < G_N_ELEMENTS(cached); k++)
            g_ptr_array_add(words, (char *)cached[k]);
    }
    g_ptr_array_add(words, NULL);
    g_autoptr(GSubprocess) process =
        g_subprocess_launcher_spawnv(launcher, (const char *const *)words->pdata, error);
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
    static const char *const folders[] = {"lists/partial", "cache/archives/partial", "pool"};
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

enum { FRESH_SECONDS = 3600, MOST_DAYS = 60 };

/* The lists were read a short while ago, from the sources that the machine names today. */
static bool is_fresh(struct image_apt *apt)
{
    struct stat stamp;
    g_autofree char *path = g_build_filename(apt->root, "updated", NULL);
    g_autofree char *list = g_build_filename(apt->root, "sources.list", NULL);
    g_autofree char *old = NULL, *now = NULL;
    if (stat(path, &stamp) != 0 || !g_file_get_contents(list, &old, NULL, NULL) ||
        !(now = find_sources(true, NULL)))
        return false;
    g_autofree char *without = find_sources(false, NULL);
    gint64 age = g_get_real_time() / G_USEC_PER_SEC - stamp.st_mtime;
    return age >= 0 && age < FRESH_SECONDS && (g_str_equal(old, now) || g_strcmp0(old, without) == 0);
}

static bool read_lists(struct image_apt *apt, GError **error)
{
    g_autoptr(GError) first = NULL;
    g_autofree char *stamp = g_build_filename(apt->root, "updated", NULL);
    unlink(stamp);
    say(apt, "packages", "Reading the i386 package lists of this machine's Debian mirror");
    if (!update(apt, true, &first)) {
        if (g_error_matches(first, IMAGE_ERROR, IMAGE_ERROR_NO_SPACE)) {
            g_propagate_error(error, g_steal_pointer(&first));
            return false;
        }
        say(apt, "packages",
            "The security suite's i386 index cannot be had right now: using main and updates without it");
        if (!update(apt, false, error)) {
            g_prefix_error(error, "reading Debian's package lists: ");
            return false;
        }
    }
    return write_text(stamp, "", error);
}

struct image_apt *image_apt_open(bool refresh, image_progress *progress, void *opaque, GError **error)
{
    g_autofree char *cache = image_cache_folder(error);
    if (!cache)
        return NULL;
    struct image_apt *apt = g_new0(struct image_apt, 1);
    apt->root = g_build_filename(cache, "apt-i386", NULL);
    apt->config = g_build_filename(apt->root, "apt.conf", NULL);
    apt->pool = g_build_filename(apt->root, "pool", NULL);
    apt->progress = progress;
    apt->opaque = opaque;
    if (write_config(apt, error) && ((!refresh && is_fresh(apt)) || read_lists(apt, error)))
        return apt;
    image_apt_close(apt);
    return NULL;
}

/* Packages that no build wanted for long. */
static void prune(struct image_apt *apt)
{
    g_autoptr(GDir) dir = g_dir_open(apt->pool, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        struct stat found;
        g_autofree char *path = g_build_filename(apt->pool, name, NULL);
        if (strstr(name, ".deb") && lstat(path, &found) == 0 &&
            g_get_real_time() / G_USEC_PER_SEC - found.st_mtime > MOST_DAYS * 86400)
            unlink(path);
    }
}

void image_apt_close(struct image_apt *apt)
{
    if (!apt)
        return;
    if (apt->pool)
        prune(apt);
    g_free(apt->root);
    g_free(apt->config);
    g_free(apt->pool);
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

struct wanted {
    char *file; /* name in the pool */
    char *name, *version;
    char *sum; /* SHA-256 */
    guint64 size;
};

static void wanted_free(gpointer data)
{
    struct wanted *w = data;
    g_free(w->file);
    g_free(w->name);
    g_free(w->version);
    g_free(w->sum);
    g_free(w);
}

static bool matches_one(const char *name, const char *const *patterns)
{
    for (; patterns && *patterns; patterns++)
        if (g_pattern_match_simple(*patterns, name))
            return true;
    return false;
}

/* A line of --print-uris: 'URI' name_version_arch.deb size TYPE:sum; "%3a" in the version is a colon. */
static struct wanted *read_uri(const char *line)
{
    g_auto(GStrv) word = g_strsplit(line, " ", -1);
    if (g_strv_length(word) < 4 || word[0][0] != '\'' || strchr(word[1], '/') ||
        !g_str_has_suffix(word[1], ".deb"))
        return NULL;
    g_auto(GStrv) part = g_strsplit(word[1], "_", 3);
    if (g_strv_length(part) != 3)
        return NULL;
    struct wanted *w = g_new0(struct wanted, 1);
    w->file = g_strdup(word[1]);
    w->name = g_strdup(part[0]);
    w->version = g_uri_unescape_string(part[1], NULL);
    w->sum = g_strdup(g_str_has_prefix(word[3], "SHA256:") ? word[3] + strlen("SHA256:") : "");
    w->size = g_ascii_strtoull(word[2], NULL, 10);
    return w;
}

static GPtrArray *ask_uris(struct image_apt *apt, const char *const *command, guint words,
                           const char *const *packages, const char *const *without, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    for (guint i = 0; i < words; i++)
        g_ptr_array_add(argv, (char *)command[i]);
    for (const char *const *p = packages; *p; p++)
        g_ptr_array_add(argv, (char *)*p);
    g_ptr_array_add(argv, NULL);
    /* Not in the pool: of files that lie where it is called `download` says nothing. */
    g_autofree char *out = run(apt->config, apt->root, (const char *const *)argv->pdata, error);
    if (!out)
        return NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func(wanted_free);
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    for (char **line = lines; *line; line++) {
        struct wanted *w = read_uri(*line);
        if (w && !matches_one(w->name, without))
            g_ptr_array_add(list, w);
        else if (w)
            wanted_free(w);
    }
    return list;
}

/* What to fetch. `install` knows dependencies and tells MD5 sums, `download` those of SHA-256. */
static GPtrArray *ask_wanted(struct image_apt *apt, const char *const *packages, bool with_dependencies,
                             const char *const *without, GError **error)
{
    static const char *const install[] = {"apt-get", "install", "-qq", "--no-install-recommends",
                                          "--print-uris"};
    static const char *const download[] = {"apt-get", "download", "-qq", "--print-uris"};
    g_autoptr(GPtrArray) exact = g_ptr_array_new_with_free_func(g_free);
    if (with_dependencies) {
        g_autoptr(GPtrArray) all = ask_uris(apt, install, G_N_ELEMENTS(install), packages, without, error);
        for (guint i = 0; all && i < all->len; i++) {
            const struct wanted *w = all->pdata[i];
            g_ptr_array_add(exact, g_strdup_printf("%s=%s", w->name, w->version));
        }
        if (!all)
            return NULL;
        g_ptr_array_add(exact, NULL);
        packages = (const char *const *)exact->pdata;
    }
    g_autoptr(GPtrArray) list = ask_uris(apt, download, G_N_ELEMENTS(download), packages, NULL, error);
    bool good = list && list->len;
    for (guint i = 0; good && i < list->len; i++)
        good = *((struct wanted *)list->pdata[i])->sum;
    if (good)
        return g_steal_pointer(&list);
    if (list)
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD,
                    "apt-get names no files with SHA-256 sums for these packages: is the mirror in /etc/apt "
                    "a Debian one?");
    return NULL;
}

/* It lies in the pool whole. */
static bool is_there(struct image_apt *apt, const struct wanted *w)
{
    g_autofree char *path = g_build_filename(apt->pool, w->file, NULL);
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, NULL);
    if (!file || g_mapped_file_get_length(file) != w->size)
        return false;
    g_autofree char *sum = g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, (const guchar *)g_mapped_file_get_contents(file), g_mapped_file_get_length(file));
    return g_str_equal(sum, w->sum);
}

static bool download_missing(struct image_apt *apt, GPtrArray *missing, const char *what, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    guint64 size = 0;
    g_ptr_array_add(argv, g_strdup("apt-get"));
    g_ptr_array_add(argv, g_strdup("download"));
    g_ptr_array_add(argv, g_strdup("-qq"));
    for (guint i = 0; i < missing->len; i++) {
        const struct wanted *w = missing->pdata[i];
        g_autofree char *path = g_build_filename(apt->pool, w->file, NULL);
        unlink(path); /* damaged, or half of it */
        g_ptr_array_add(argv, g_strdup_printf("%s=%s", w->name, w->version));
        size += w->size;
    }
    g_ptr_array_add(argv, NULL);
    say(apt, "download", "Downloading %u package%s for %s (%.1f MiB)", missing->len,
        missing->len == 1 ? "" : "s", what, (double)size / (1 << 20));
    g_autofree char *out = run(apt->config, apt->pool, (const char *const *)argv->pdata, error);
    for (guint i = 0; out && i < missing->len; i++) {
        const struct wanted *w = missing->pdata[i];
        if (is_there(apt, w))
            continue;
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD,
                    "%s was downloaded and is not what the mirror's signed list says (SHA-256); try again, "
                    "or another mirror",
                    w->file);
        return false;
    }
    return out != NULL;
}

GPtrArray *image_apt_fetch(struct image_apt *apt, const char *const *packages, bool with_dependencies,
                           const char *const *without, GError **error)
{
    g_autoptr(GPtrArray) all = ask_wanted(apt, packages, with_dependencies, without, error);
    if (!all)
        return NULL;
    g_autoptr(GPtrArray) missing = g_ptr_array_new(), paths = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < all->len; i++) {
        struct wanted *w = all->pdata[i];
        if (!is_there(apt, w))
            g_ptr_array_add(missing, w);
        g_ptr_array_add(paths, g_build_filename(apt->pool, w->file, NULL));
    }
    if (missing->len && !download_missing(apt, missing, packages[1] ? "the userland" : packages[0], error))
        return NULL;
    for (guint i = 0; i < paths->len; i++)
        g_utime(paths->pdata[i], NULL);
    return g_steal_pointer(&paths);
}
