/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See copy.h. The session runs here; a thread at the other end of a pipe makes the archive or unpacks it, so
 * nothing is ever whole in memory. GNU's tar format: it is the one that busybox' tar reads long names of.
 */
#include "netlab/copy.h"
#include "netlab/caller.h"
#include "netlab/session.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONNECT_MS = 10000, LOOK_MS = 20000, SAID_MOST = 400, CHUNK = 65536 };

/* One end of the pipe. */
struct worker {
    int fd;           /* owned by the thread */
    const char *path; /* on the host: what is packed, or where it is unpacked to */
    const char *name; /* what it is called in the archive; unpacking: "" for a folder's content */
    bool is_folder;
    struct copy_result *result;
    GError *error;
};

static void set_archive_error(GError **error, struct archive *archive, const char *path)
{
    const char *text = archive_error_string(archive);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", path, text ? text : "cannot be copied");
}

/* ---- packing ---- */

static bool pack_data(struct archive *disk, struct archive *out, const char *path, GError **error)
{
    const void *data;
    size_t length;
    int64_t offset;
    static const char zeros[4096];
    int64_t done = 0;
    for (;;) {
        int got = archive_read_data_block(disk, &data, &length, &offset);
        if (got == ARCHIVE_EOF)
            return true;
        if (got < ARCHIVE_WARN) {
            set_archive_error(error, disk, path);
            return false;
        }
        for (; done < offset; done += (int64_t)MIN((size_t)(offset - done), sizeof zeros))
            if (archive_write_data(out, zeros, MIN((size_t)(offset - done), sizeof zeros)) < 0)
                return false;
        if (archive_write_data(out, data, length) < 0) /* the session has ended and says why */
            return false;
        done = offset + (int64_t)length;
    }
}

static bool pack_entry(struct worker *worker, struct archive *disk, struct archive *out,
                       struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry);
    g_autofree char *source = g_strdup(path);
    mode_t type = archive_entry_filetype(entry);
    gsize prefix = strlen(worker->path);
    if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
        worker->result->skipped++;
        return true;
    }
    const char *rest = strncmp(source, worker->path, prefix) == 0 ? source + prefix : "";
    while (*rest == '/')
        rest++;
    g_autofree char *name = *rest ? g_strconcat(worker->name, "/", rest, NULL) : g_strdup(worker->name);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_uname(entry, NULL);
    archive_entry_set_gname(entry, NULL);
    archive_entry_set_hardlink(entry, NULL);
    archive_entry_xattr_clear(entry);
    archive_entry_acl_clear(entry);
    archive_entry_sparse_clear(entry);
    if (archive_write_header(out, entry) < ARCHIVE_WARN) {
        if (archive_errno(out) != EPIPE)
            set_archive_error(&worker->error, out, source);
        return false;
    }
    worker->result->files++;
    worker->result->bytes += type == AE_IFREG ? (guint64)archive_entry_size(entry) : 0;
    return type != AE_IFREG || pack_data(disk, out, source, &worker->error);
}

static void *pack(void *opaque)
{
    struct worker *worker = opaque;
    struct archive *disk = archive_read_disk_new(), *out = archive_write_new();
    archive_read_disk_set_symlink_hybrid(disk);
    archive_write_set_format_gnutar(out);
    archive_write_set_bytes_per_block(out, CHUNK);
    archive_write_set_bytes_in_last_block(out, 1);
    bool good = archive_write_open_fd(out, worker->fd) == ARCHIVE_OK &&
                archive_read_disk_open(disk, worker->path) == ARCHIVE_OK;
    if (!good)
        set_archive_error(&worker->error, disk, worker->path);
    while (good) {
        struct archive_entry *entry = archive_entry_new();
        int got = archive_read_next_header2(disk, entry);
        if (got == ARCHIVE_OK || got == ARCHIVE_WARN) {
            good = archive_read_disk_descend(disk) >= ARCHIVE_WARN && pack_entry(worker, disk, out, entry);
        } else if (got != ARCHIVE_EOF) {
            set_archive_error(&worker->error, disk, worker->path);
            good = false;
        }
        archive_entry_free(entry);
        if (got == ARCHIVE_EOF)
            break;
    }
    /* An archive that is cut off must not look like a whole one. */
    if (good)
        archive_write_close(out);
    else
        archive_write_fail(out);
    archive_write_free(out);
    archive_read_free(disk);
    close(worker->fd);
    return NULL;
}

/* ---- unpacking ---- */

/* "./a/b" → "a/b"; NULL when it leads anywhere else. "" is the folder itself. */
static const char *inner_path(const char *path)
{
    if (!path)
        return NULL;
    while (g_str_has_prefix(path, "./"))
        for (path += 2; *path == '/';)
            path++;
    if (g_str_equal(path, "."))
        return path + 1;
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    for (guint i = 0; parts[i]; i++)
        if (g_str_equal(parts[i], ".."))
            return NULL;
    return *path == '/' ? NULL : path;
}

/* Where an entry goes; NULL: nowhere. */
static char *place_of(const struct worker *worker, const char *path)
{
    const char *inner = inner_path(path);
    if (!inner)
        return NULL;
    if (worker->is_folder)
        return *inner ? g_build_filename(worker->path, inner, NULL) : g_strdup(worker->path);
    return g_str_equal(inner, worker->name) ? g_strdup(worker->path) : NULL;
}

static bool unpack_data(struct archive *in, struct archive *disk, const char *path, GError **error)
{
    const void *data;
    size_t length;
    int64_t offset;
    for (;;) {
        int got = archive_read_data_block(in, &data, &length, &offset);
        if (got == ARCHIVE_EOF)
            return true;
        if (got < ARCHIVE_WARN) {
            set_archive_error(error, in, path);
            return false;
        }
        if (archive_write_data_block(disk, data, length, offset) < ARCHIVE_WARN) {
            set_archive_error(error, disk, path);
            return false;
        }
    }
}

static bool unpack_entry(struct worker *worker, struct archive *in, struct archive *disk,
                         struct archive_entry *entry)
{
    mode_t type = archive_entry_filetype(entry);
    const char *link = archive_entry_hardlink(entry);
    g_autofree char *place = place_of(worker, archive_entry_pathname(entry));
    g_autofree char *target = link ? place_of(worker, link) : NULL;
    if (!place || (link && !target) || (!link && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)) {
        worker->result->skipped++;
        return true;
    }
    archive_entry_set_pathname(entry, place);
    archive_entry_set_perm(entry, archive_entry_perm(entry) & 0777);
    archive_entry_xattr_clear(entry);
    archive_entry_acl_clear(entry);
    archive_entry_set_fflags(entry, 0, 0);
    if (target) {
        archive_entry_set_hardlink(entry, target);
        archive_entry_unset_size(entry);
    }
    if (archive_write_header(disk, entry) < ARCHIVE_WARN) {
        set_archive_error(&worker->error, disk, place);
        return false;
    }
    worker->result->files++;
    worker->result->bytes += !target && type == AE_IFREG ? (guint64)archive_entry_size(entry) : 0;
    if (!target && type == AE_IFREG && !unpack_data(in, disk, place, &worker->error))
        return false;
    if (archive_write_finish_entry(disk) < ARCHIVE_WARN) {
        set_archive_error(&worker->error, disk, place);
        return false;
    }
    return true;
}

static void *unpack(void *opaque)
{
    struct worker *worker = opaque;
    struct archive *in = archive_read_new(), *disk = archive_write_disk_new();
    struct archive_entry *entry;
    archive_read_support_format_tar(in);
    archive_read_support_format_empty(in);
    archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                                             ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                             ARCHIVE_EXTRACT_SECURE_NODOTDOT);
    bool good = archive_read_open_fd(in, worker->fd, CHUNK) == ARCHIVE_OK;
    int got = ARCHIVE_EOF;
    while (good && ((got = archive_read_next_header(in, &entry)) == ARCHIVE_OK || got == ARCHIVE_WARN))
        good = unpack_entry(worker, in, disk, entry);
    if (good && got != ARCHIVE_EOF) {
        set_archive_error(&worker->error, in, worker->path);
        good = false;
    }
    if (archive_write_close(disk) < ARCHIVE_WARN && good)
        set_archive_error(&worker->error, disk, worker->path);
    /* What stands behind the archive's end is read too, so that its sender does not meet a closed pipe. */
    char rest[4096];
    while (good && read(worker->fd, rest, sizeof rest) > 0)
        continue;
    archive_write_free(disk);
    archive_read_free(in);
    close(worker->fd);
    return NULL;
}

/* ---- the guest's side ---- */

/* What the guest said, as one line that can be shown. */
static char *said(int fd)
{
    char text[SAID_MOST + 1];
    ssize_t got = pread(fd, text, SAID_MOST, 0);
    text[MAX(got, 0)] = '\0';
    for (char *c = text; *c; c++)
        *c = *c == '\n' ? ';' : g_ascii_iscntrl(*c) ? '?' : *c;
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_strchomp(valid);
    if (g_str_has_suffix(valid, ";"))
        valid[strlen(valid) - 1] = '\0';
    return g_steal_pointer(&valid);
}

enum kind { MISSING, FOLDER, FILE_THERE, NEW_IN_FOLDER };

static bool look(struct agent *agent, const char *path, enum kind *kind, GError **error)
{
    static const char script[] = "if [ -d \"$1\" ]; then echo folder; elif [ -e \"$1\" ]; then echo file; "
                                 "elif [ -d \"$(dirname -- \"$1\")\" ]; then echo new; else echo none; fi";
    const char *const argv[] = {"/bin/sh", "-c", script, "sh", path, NULL};
    struct agent_result result = {0};
    if (!agent_exec(agent, argv, LOOK_MS, &result, error))
        return false;
    gsize length;
    const char *data = g_bytes_get_data(result.out, &length);
    *kind = length >= 6 && memcmp(data, "folder", 6) == 0 ? FOLDER
            : length >= 4 && memcmp(data, "file", 4) == 0 ? FILE_THERE
            : length >= 3 && memcmp(data, "new", 3) == 0  ? NEW_IN_FOLDER
                                                          : MISSING;
    agent_result_clear(&result);
    return true;
}

/* Runs tar with the worker at the other end; `input`: the worker packs. */
static bool transfer(struct agent *agent, const char *const *argv, struct worker *worker, bool input,
                     int cancel_fd, GError **error)
{
    int ends[2], err = memfd_create("tar", MFD_CLOEXEC);
    if (err < 0 || pipe2(ends, O_CLOEXEC) != 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "making a pipe: %s", g_strerror(errno));
        if (err >= 0)
            close(err);
        return false;
    }
    int ours = input ? ends[0] : ends[1];
    worker->fd = input ? ends[1] : ends[0];
    GThread *thread = g_thread_new("tar", input ? pack : unpack, worker);
    struct session_spec spec = {.argv = argv, .digest = true};
    struct session_io io = {.input = input ? ours : -1,
                            .output = input ? -1 : ours,
                            .error = err,
                            .cancel_fd = cancel_fd,
                            .resize_fd = -1,
                            .output_most = 0};
    struct session_result result = {0};
    GError *cause = NULL;
    bool good = session_run(agent, &spec, &io, &result, &cause);
    close(ours);
    g_thread_join(thread);
    if (worker->error) { /* the reason of what the session saw, if it saw anything */
        g_clear_error(&cause);
        g_propagate_error(error, g_steal_pointer(&worker->error));
        good = false;
    } else if (!good) {
        g_propagate_error(error, cause);
    } else if (result.end == SESSION_CANCELLED) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                            "interrupted; a part of it may have been copied");
        good = false;
    } else if (result.end != SESSION_EXITED || result.status) {
        g_autofree char *text = said(err);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "tar in the guest ended with status %d%s%s",
                    result.status, *text ? ": " : "", text);
        good = false;
    }
    session_result_clear(&result);
    close(err);
    return good;
}

static void explain_unknown(GError **error)
{
    if (error && g_error_matches(*error, AGENT_ERROR, AGENT_ERROR_UNKNOWN)) {
        g_clear_error(error);
        g_set_error_literal(error, AGENT_ERROR, AGENT_ERROR_UNKNOWN,
                            "the agent in this guest cannot carry files; build its image anew (netlab image "
                            "build) if it is one of ours");
    }
}

/* The last part of a path that has one; NULL: "/", "." and the like. */
static char *last_part(const char *path)
{
    g_autofree char *plain = g_strdup(path);
    for (gsize n = strlen(plain); n > 1 && plain[n - 1] == '/'; n--)
        plain[n - 1] = '\0';
    g_autofree char *base = g_path_get_basename(plain);
    bool has_none = g_str_equal(base, "/") || g_str_equal(base, ".") || g_str_equal(base, "..") || !*base;
    return has_none ? NULL : g_steal_pointer(&base);
}

static bool upload(const struct copy_place *from, const struct copy_place *to, int cancel_fd,
                   struct copy_result *result, GError **error)
{
    struct caller_scope scope;
    if (!caller_scope_enter(&scope, error))
        return false;
    g_autofree char *real = realpath(from->path, NULL), *own = last_part(from->path);
    caller_scope_leave(&scope);
    struct agent agent;
    enum kind kind;
    if (!real) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s", from->path, g_strerror(errno));
        return false;
    }
    if (!own)
        own = g_path_get_basename(real);
    if (!agent_open(&agent, to->directory, CONNECT_MS, cancel_fd, error))
        return false;
    bool good = look(&agent, to->path, &kind, error) && caller_scope_enter(&scope, error);
    if (good && (kind == MISSING || (kind == NEW_IN_FOLDER && g_str_has_suffix(to->path, "/") &&
                                     !g_file_test(real, G_FILE_TEST_IS_DIR)))) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "%s: there is no such folder in %s; make it with `netlab exec %s mkdir -p …`", to->path,
                    to->node, to->node);
        good = false;
    }
    if (good) {
        g_autofree char *folder = kind == FOLDER ? g_strdup(to->path) : g_path_get_dirname(to->path);
        g_autofree char *other = last_part(to->path);
        if (kind != FOLDER && g_str_has_suffix(to->path, "/")) { /* a new folder's name */
            g_autofree char *plain = g_strndup(to->path, strlen(to->path) - 1);
            g_free(folder);
            folder = g_path_get_dirname(plain);
        }
        const char *const argv[] = {"/usr/bin/env", "tar", "-C", folder, "-xpf", "-", NULL};
        struct worker worker = {
            .path = real, .name = kind == FOLDER || !other ? own : other, .result = result};
        good = transfer(&agent, argv, &worker, true, cancel_fd, error);
    }
    caller_scope_leave(&scope);
    agent_close(&agent);
    return good;
}

static bool download(const struct copy_place *from, const struct copy_place *to, int cancel_fd,
                     struct copy_result *result, GError **error)
{
    struct agent agent;
    struct caller_scope scope = {.is_in = false};
    enum kind kind;
    if (!agent_open(&agent, from->directory, CONNECT_MS, cancel_fd, error))
        return false;
    bool good = look(&agent, from->path, &kind, error);
    if (good && kind != FOLDER && kind != FILE_THERE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s: there is no such file in %s", from->path,
                    from->node);
        good = false;
    }
    good = good && caller_scope_enter(&scope, error);
    g_autofree char *own = last_part(from->path);
    g_autofree char *target = NULL, *parent = NULL, *name = NULL, *place = NULL;
    if (good) {
        bool into = g_file_test(to->path, G_FILE_TEST_IS_DIR);
        target = into && own ? g_build_filename(to->path, own, NULL) : g_strdup(to->path);
        name = into && !own ? NULL : last_part(target);
        g_autofree char *above = name ? g_path_get_dirname(target) : g_strdup(target);
        if (name && g_str_has_suffix(target, "/")) {
            g_autofree char *plain = g_strndup(target, strlen(target) - 1);
            g_free(above);
            above = g_path_get_dirname(plain);
        }
        /* Without symbolic links of the person's own, so that none need be followed while unpacking. */
        parent = realpath(above, NULL);
        if (!parent) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s; make that folder first",
                        above, g_strerror(errno));
            good = false;
        }
    }
    if (good) {
        place = name ? g_build_filename(parent, name, NULL) : g_strdup(parent);
        g_autofree char *folder = g_path_get_dirname(from->path);
        g_autofree char *inner = g_strconcat("./", own ? own : "", NULL);
        const char *const whole[] = {"/usr/bin/env", "tar", "-C", from->path, "-cf", "-", ".", NULL};
        const char *const one[] = {"/usr/bin/env", "tar", "-C", folder, "-chf", "-", inner, NULL};
        struct worker worker = {
            .path = place, .name = own ? own : "", .is_folder = kind == FOLDER, .result = result};
        good = transfer(&agent, kind == FOLDER ? whole : one, &worker, false, cancel_fd, error);
        if (good && !result->files) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "nothing came that may be written to %s (%u entries were left out)", place,
                        result->skipped);
            good = false;
        }
    }
    caller_scope_leave(&scope);
    agent_close(&agent);
    return good;
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) folder = g_lstat(path, &(GStatBuf){0}) == 0 && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)
                                 ? g_dir_open(path, 0, NULL)
                                 : NULL;
    for (const char *name; folder && (name = g_dir_read_name(folder));) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        remove_tree(inner);
    }
    g_remove(path);
}

/* From guest to guest by way of a folder of ours. */
static bool relay(const struct copy_place *from, const struct copy_place *to, int cancel_fd,
                  struct copy_result *result, GError **error)
{
    g_autofree char *own = last_part(from->path);
    struct caller_scope scope;
    if (!caller_scope_enter(&scope, error))
        return false;
    g_autofree char *folder = g_dir_make_tmp("netlab-cp-XXXXXX", error);
    caller_scope_leave(&scope);
    if (!folder)
        return false;
    g_autofree char *middle = g_build_filename(folder, own ? own : from->node, NULL);
    struct copy_place between = {.path = middle};
    struct copy_result unused = {0};
    bool good =
        download(from, &between, cancel_fd, &unused, error) && upload(&between, to, cancel_fd, result, error);
    result->skipped += unused.skipped;
    if (caller_scope_enter(&scope, NULL))
        remove_tree(folder);
    caller_scope_leave(&scope);
    return good;
}

bool copy_run(const struct copy_place *from, const struct copy_place *to, int cancel_fd,
              struct copy_result *result, GError **error)
{
    *result = (struct copy_result){0};
    GError *cause = NULL;
    bool good = from->directory && to->directory ? relay(from, to, cancel_fd, result, &cause)
                : to->directory                  ? upload(from, to, cancel_fd, result, &cause)
                                                 : download(from, to, cancel_fd, result, &cause);
    if (good)
        return true;
    explain_unknown(&cause);
    g_propagate_error(error, cause);
    return false;
}
