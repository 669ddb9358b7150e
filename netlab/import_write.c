/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The model as a folder: topology.yml, and a folder with files for each node that has any. The folder is made
 * beside its place under a hidden name and renamed, so it is there whole or not at all. Files are made
 * through descriptors of their folders, never following a link.
 */
#include "netlab/import_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- YAML ---- */

/* A text as YAML has it: plain where that is safe, in double quotes otherwise. */
static void put_text(GString *out, const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
    bool plain = g_ascii_isalpha(*text) || *text == '/';
    for (const char *c = text; *c && plain; c++)
        plain = g_ascii_isalnum(*c) || strchr(" ./_-+=@", *c) != NULL;
    plain = plain && text[strlen(text) - 1] != ' ' && !strstr(text, " -");
    for (size_t i = 0; i < G_N_ELEMENTS(words) && plain; i++)
        plain = g_ascii_strcasecmp(text, words[i]) != 0;
    if (plain) {
        g_string_append(out, text);
        return;
    }
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(out, '"');
    for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        /* The two separators are line breaks to YAML. */
        bool is_break = character == 0x2028 || character == 0x2029;
        if (*c == '"' || *c == '\\')
            g_string_append_printf(out, "\\%c", *c);
        else if (*c == '\n')
            g_string_append(out, "\\n");
        else if (*c == '\t')
            g_string_append(out, "\\t");
        else if (g_unichar_isprint(character) && !is_break)
            g_string_append_unichar(out, character);
        else
            g_string_append_printf(out, "\\U%08X", character);
    }
    g_string_append_c(out, '"');
}

static void put_pair(GString *out, unsigned indent, const char *key, const char *text)
{
    g_string_append_printf(out, "%*s%s: ", (int)indent, "", key);
    put_text(out, text);
    g_string_append_c(out, '\n');
}

static void put_comment(GString *out, const char *comment)
{
    g_auto(GStrv) lines = g_strsplit(comment, "\n", 20);
    for (guint i = 0; lines[i]; i++) {
        g_autofree char *valid = g_utf8_make_valid(lines[i], -1);
        g_string_append(out, "# ");
        for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
            gunichar character = g_utf8_get_char(c);
            if (g_unichar_isprint(character))
                g_string_append_unichar(out, character);
        }
        g_string_append_c(out, '\n');
    }
}

static void put_segment(GString *out, const struct import_segment *segment)
{
    g_string_append(out, "  ");
    put_text(out, segment->name);
    g_string_append(out, ": {");
    const char *separator = "";
    if (segment->subnet)
        g_string_append_printf(out, "%ssubnet: %s", separator, segment->subnet), separator = ", ";
    if (segment->subnet6)
        g_string_append_printf(out, "%ssubnet6: \"%s\"", separator, segment->subnet6), separator = ", ";
    if (segment->mtu)
        g_string_append_printf(out, "%smtu: %u", separator, segment->mtu), separator = ", ";
    if (segment->is_outside)
        g_string_append_printf(out, "%suplink: user", separator), separator = ", ";
    if (segment->dns)
        g_string_append_printf(out, "%sdns: %s", separator, segment->dns), separator = ", ";
    for (guint i = 0; i < segment->line->len; i++)
        g_string_append_printf(out, "%s%s", separator, (char *)segment->line->pdata[i]), separator = ", ";
    if (segment->forwards->len) {
        g_string_append_printf(out, "%sforward: [", separator);
        for (guint i = 0; i < segment->forwards->len; i++)
            g_string_append_printf(out, "%s\"%s\"", i ? ", " : "", (char *)segment->forwards->pdata[i]);
        g_string_append_c(out, ']');
    }
    g_string_append(out, "}\n");
}

static void put_nic(GString *out, const struct import_nic *nic)
{
    g_string_append(out, "      - ");
    put_text(out, nic->segment->name);
    g_string_append(out, ": {interface: ");
    put_text(out, nic->interface);
    if (nic->mac)
        g_string_append_printf(out, ", mac: \"%s\"", nic->mac);
    if (nic->address)
        g_string_append_printf(out, ", address: %s", nic->address);
    if (nic->address6)
        g_string_append_printf(out, ", address6: \"%s\"", nic->address6);
    g_string_append(out, "}\n");
}

static void put_node(GString *out, const struct import_node *node)
{
    g_string_append(out, "  ");
    put_text(out, node->name);
    g_string_append_printf(out, ":\n    image: %s\n", node->image);
    if (node->forwarding >= 0)
        g_string_append_printf(out, "    forwarding: %s\n", node->forwarding ? "true" : "false");
    if (node->memory)
        g_string_append_printf(out, "    memory: %uM\n", node->memory);
    if (node->restart)
        put_pair(out, 4, "restart", node->restart);
    if (node->loopback)
        g_string_append_printf(out, "    loopback: %s\n", node->loopback);
    if (node->nics->len) {
        g_string_append(out, "    networks:\n");
        for (guint i = 0; i < node->nics->len; i++)
            put_nic(out, node->nics->pdata[i]);
    }
    if (node->gateway)
        g_string_append_printf(out, "    routes:\n      - {to: default, via: %s}\n", node->gateway);
    if (node->run->len) {
        g_string_append(out, "    run:\n");
        for (guint i = 0; i < node->run->len; i++) {
            g_string_append(out, "      - ");
            put_text(out, node->run->pdata[i]);
            g_string_append_c(out, '\n');
        }
    }
}

char *import_topology_text(const struct import_lab *lab)
{
    GString *out = g_string_new(NULL);
    g_autofree char *base = g_path_get_basename(lab->shown);
    g_autofree char *head =
        g_strdup_printf("Imported from %s (%s) by netlab import.", base, import_kind_name(lab->report->kind));
    put_comment(out, head);
    if (lab->comment)
        put_comment(out, lab->comment);
    put_pair(out, 0, "name", lab->name ? lab->name : "imported");
    if (lab->segments->len) {
        g_string_append(out, "\nnetworks:\n");
        for (guint i = 0; i < lab->segments->len; i++)
            put_segment(out, lab->segments->pdata[i]);
    }
    g_string_append(out, "\nnodes:\n");
    for (guint i = 0; i < lab->nodes->len; i++)
        put_node(out, lab->nodes->pdata[i]);
    /* Theirs is no variable of ours (topology_student.h). */
    g_string_replace(out, "${student.", "$${student.", 0);
    return g_string_free(out, FALSE);
}

/* ---- files ---- */

static bool fail(const char *path, const char *what, GError **error)
{
    g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_WRITE, "%s: %s: %s; give another folder with -o", path,
                what, g_strerror(errno));
    return false;
}

static bool write_all(int fd, const char *data, gsize length)
{
    while (length) {
        ssize_t put = write(fd, data, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        data += put;
        length -= (gsize)put;
    }
    return true;
}

/* The folder of `path` beneath fd, made as needed; its name in *base. */
static int open_parent(int fd, const char *path, const char **base)
{
    int at = dup(fd);
    const char *slash;
    while (at >= 0 && (slash = strchr(path, '/'))) {
        g_autofree char *name = g_strndup(path, (gsize)(slash - path));
        int next = mkdirat(at, name, 0755) == 0 || errno == EEXIST
                       ? openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                       : -1;
        int cause = errno;
        close(at);
        errno = cause;
        at = next;
        path = slash + 1;
    }
    *base = path;
    return at;
}

static bool write_entry(int folder, const char *path, const struct import_file *file)
{
    const char *base;
    int at = open_parent(folder, path, &base);
    if (at < 0)
        return false;
    bool good;
    if (file->kind == 'D') {
        good = mkdirat(at, base, 0755) == 0 || errno == EEXIST;
        good = good && fchmodat(at, base, file->mode & 0777, 0) == 0;
    } else if (file->kind == 'L') {
        good = symlinkat(file->data, at, base) == 0;
    } else {
        int fd = openat(at, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        good =
            fd >= 0 && write_all(fd, file->data, file->length) && fchmod(fd, (file->mode & 0777) | 0600) == 0;
        if (fd >= 0 && close(fd) != 0)
            good = false;
    }
    int cause = errno;
    close(at);
    errno = cause;
    return good;
}

/* Removes what this file made: its own hidden folder, never through a link. */
static void remove_tree(int folder, const char *name, unsigned depth)
{
    int fd = depth < 64 ? openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd >= 0) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *entry;
        while (dir && (entry = g_dir_read_name(dir)))
            remove_tree(fd, entry, depth + 1);
        close(fd);
    }
    if (unlinkat(folder, name, 0) != 0)
        unlinkat(folder, name, AT_REMOVEDIR);
}

static int compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool write_node(int folder, const struct import_node *node)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, node->files);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_ptr_array_add(paths, key);
    g_ptr_array_sort(paths, compare_paths);
    for (guint i = 0; i < paths->len; i++) {
        g_autofree char *path = g_strconcat(node->name, paths->pdata[i], NULL);
        if (!write_entry(folder, path, g_hash_table_lookup(node->files, paths->pdata[i])))
            return false;
    }
    return true;
}

static bool write_lab(const struct import_lab *lab, const char *text, int folder)
{
    struct import_file topology = {.kind = 'F', .mode = 0644, .data = (char *)text, .length = strlen(text)};
    if (!write_entry(folder, "topology.yml", &topology))
        return false;
    for (guint i = 0; i < lab->nodes->len; i++)
        if (!write_node(folder, lab->nodes->pdata[i]))
            return false;
    return true;
}

bool import_write(const struct import_lab *lab, const char *text, const char *output, GError **error)
{
    g_autofree char *whole = g_canonicalize_filename(output, NULL);
    g_autofree char *parent = g_path_get_dirname(whole), *base = g_path_get_basename(whole);
    g_autofree char *work = g_strdup_printf(".%.200s.import-%d", base, (int)getpid());
    struct stat found;
    int above = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above < 0)
        return fail(parent, "opening the folder", error);
    if (fstatat(above, base, &found, AT_SYMLINK_NOFOLLOW) == 0) {
        close(above);
        g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_WRITE,
                    "%s is there already; remove it, or give another folder with -o", output);
        return false;
    }
    int folder = mkdirat(above, work, 0755) == 0
                     ? openat(above, work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                     : -1;
    bool good = folder >= 0 && write_lab(lab, text, folder);
    /* Nobody's folder is replaced, even one that came this moment. */
    if (good)
        good = renameat2(above, work, above, base, RENAME_NOREPLACE) == 0;
    if (!good) {
        fail(output, "writing the lab", error);
        if (folder >= 0)
            remove_tree(above, work, 0);
    }
    if (folder >= 0)
        close(folder);
    close(above);
    return good;
}
