/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Files of an imported lab. They are opened beneath the lab's folder by openat2(RESOLVE_BENEATH,
 * RESOLVE_NO_SYMLINKS): no `..`, no absolute path and no link leads out. Links within a node's folder become
 * links of the guest and are never followed here. What comes in is held in memory, bounded, until everything
 * is known to be good.
 */
#include "netlab/import_internal.h"
#include "netlab/topology_node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH_MOST = 24, PATH_LENGTH_MOST = 1000, ENTRY_OVERHEAD = 64 };

static int open_beneath(int folder, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

static const char *open_why(int cause)
{
    return cause == EXDEV   ? "it is outside the lab's folder"
           : cause == ELOOP ? "a link is on the way to it; links are not followed"
                            : g_strerror(cause);
}

/* All of an open regular file; NULL with errno. */
static char *read_all(int fd, gsize most, gsize *length)
{
    struct stat found;
    if (fstat(fd, &found) != 0)
        return NULL;
    if (!S_ISREG(found.st_mode) || found.st_size > (off_t)most) {
        errno = S_ISREG(found.st_mode) ? EFBIG : EINVAL;
        return NULL;
    }
    gsize size = (gsize)found.st_size, done = 0;
    g_autofree char *data = g_malloc(size + 1);
    ssize_t got = 1;
    while (done < size && (got = read(fd, data + done, size - done)) > 0)
        done += (gsize)got;
    if (got < 0)
        return NULL;
    data[done] = '\0';
    *length = done;
    return g_steal_pointer(&data);
}

char *import_read(const struct import_lab *lab, const char *path, gsize most, GError **error)
{
    int fd = lab->folder < 0 ? -1 : open_beneath(lab->folder, path, O_RDONLY);
    int cause = lab->folder < 0 ? ENOENT : errno;
    gsize length = 0;
    g_autofree char *data = NULL;
    if (fd >= 0) {
        data = read_all(fd, most, &length);
        cause = errno;
        close(fd);
    }
    if (data && strlen(data) == length)
        return g_steal_pointer(&data);
    g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_READ, "%s/%s: %s", lab->folder_shown, path,
                data ? "contains NUL bytes; it is no text" : open_why(cause));
    return NULL;
}

/* ---- into the node ---- */

static bool is_guest_path(const char *path)
{
    return path[0] == '/' && path[1] && !strstr(path, "//") && !strstr(path, "/../") &&
           !strstr(path, "/./") && !g_str_has_suffix(path, "/..") && !g_str_has_suffix(path, "/.") &&
           !g_str_has_suffix(path, "/") && strlen(path) < PATH_LENGTH_MOST && !strpbrk(path, "\n\r") &&
           g_utf8_validate(path, -1, NULL);
}

/* Nothing goes through what is a file or a link. */
static bool has_clear_way(const struct import_node *node, const char *guest)
{
    g_autofree char *prefix = g_strdup(guest);
    for (char *slash = strrchr(prefix, '/'); slash && slash != prefix; slash = strrchr(prefix, '/')) {
        *slash = '\0';
        const struct import_file *file = g_hash_table_lookup(node->files, prefix);
        if (file && file->kind != 'D')
            return false;
    }
    return true;
}

static bool put(struct import_lab *lab, struct import_node *node, char kind, const char *guest, unsigned mode,
                const char *data, gsize length, struct topology_mark mark)
{
    const struct import_file *there = g_hash_table_lookup(node->files, guest);
    gsize more = length + strlen(guest) + ENTRY_OVERHEAD;
    const char *why = NULL;
    if (!is_guest_path(guest))
        why = "no usable path in a guest";
    else if (!has_clear_way(node, guest) || (there && (there->kind == 'D') != (kind == 'D')))
        why = "another file or link is in the way";
    else if (node->bytes + more > TOPOLOGY_FILES_MOST ||
             g_hash_table_size(node->files) >= TOPOLOGY_FILES_COUNT / 2)
        why = "a node's files are at most 4 MiB and 2048; put large ones into an image (netlab image build)";
    else if (lab->bytes + more > IMPORT_BYTES_MOST)
        why = "the lab's files are more than 64 MiB together";
    if (why) {
        g_autofree char *what = g_strdup_printf("node %s: file %s", node->name, guest);
        import_note(lab, IMPORT_LEFT, mark, what, "%s", why);
        return false;
    }
    node->bytes += more;
    lab->bytes += more;
    struct import_file *file = g_new0(struct import_file, 1);
    file->kind = kind;
    file->mode = mode & 07777;
    file->data = g_malloc(length + 1);
    if (length)
        memcpy(file->data, data, length);
    file->data[length] = '\0';
    file->length = length;
    g_hash_table_replace(node->files, g_strdup(guest), file);
    return true;
}

bool import_put(struct import_lab *lab, struct import_node *node, const char *guest, unsigned mode,
                const char *data, gsize length, struct topology_mark mark)
{
    return put(lab, node, 'F', guest, mode, data, length, mark);
}

struct walk {
    struct import_lab *lab;
    struct import_node *node;
    struct topology_mark mark;
    unsigned files;
    bool is_good;
};

static void left(struct walk *w, const char *guest, const char *why)
{
    g_autofree char *what = g_strdup_printf("node %s: file %s", w->node->name, guest);
    import_note(w->lab, IMPORT_LEFT, w->mark, what, "%s", why);
    w->is_good = false;
}

static void take_folder(struct walk *w, int fd, const char *guest, unsigned depth);

static void take_entry(struct walk *w, int folder, const char *name, const char *guest, unsigned depth)
{
    struct stat found;
    if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
        left(w, guest, g_strerror(errno));
    } else if (S_ISLNK(found.st_mode)) {
        char target[1024];
        ssize_t length = readlinkat(folder, name, target, sizeof target);
        if (length <= 0 || length == (ssize_t)sizeof target || memchr(target, '\0', (size_t)length))
            left(w, guest, "a link that cannot be read");
        else
            w->is_good &= put(w->lab, w->node, 'L', guest, 0777, target, (gsize)length, w->mark);
    } else if (S_ISDIR(found.st_mode)) {
        int fd = open_beneath(folder, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
            left(w, guest, open_why(errno));
        else if (put(w->lab, w->node, 'D', guest, found.st_mode | 0700, "", 0, w->mark))
            take_folder(w, fd, guest, depth + 1);
        else
            w->is_good = false;
        if (fd >= 0)
            close(fd);
    } else if (!S_ISREG(found.st_mode)) {
        left(w, guest, "neither a file, a folder nor a link");
    } else {
        int fd = open_beneath(folder, name, O_RDONLY);
        gsize length = 0;
        g_autofree char *data = fd < 0 ? NULL : read_all(fd, TOPOLOGY_FILES_MOST, &length);
        if (!data)
            left(w, guest, errno == EFBIG ? "larger than 4 MiB" : open_why(errno));
        else if (put(w->lab, w->node, 'F', guest, found.st_mode, data, length, w->mark))
            w->files++;
        else
            w->is_good = false;
        if (fd >= 0)
            close(fd);
    }
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_folder(struct walk *w, int fd, const char *guest, unsigned depth)
{
    if (depth > DEPTH_MOST) {
        left(w, guest, "folders are nested too deep");
        return;
    }
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)) && names->len <= TOPOLOGY_FILES_COUNT)
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *inside = g_build_filename(guest, names->pdata[i], NULL);
        take_entry(w, fd, names->pdata[i], inside, depth);
    }
}

bool import_copy(struct import_lab *lab, struct import_node *node, const char *path, const char *guest,
                 struct topology_mark mark, bool quiet)
{
    struct walk w = {.lab = lab, .node = node, .mark = mark, .is_good = true};
    g_autofree char *what = g_strdup_printf("node %s: %s", node->name, path);
    int fd = lab->folder < 0 ? -1 : open_beneath(lab->folder, path, O_RDONLY);
    int cause = lab->folder < 0 ? ENOENT : errno;
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0) {
        if (!quiet || cause != ENOENT)
            import_note(lab, IMPORT_LEFT, mark, what, "cannot be read: %s", open_why(cause));
        return false;
    }
    if (S_ISDIR(found.st_mode)) {
        take_folder(&w, fd, guest, 0);
    } else {
        gsize length = 0;
        g_autofree char *data = read_all(fd, TOPOLOGY_FILES_MOST, &length);
        if (data && put(lab, node, 'F', guest, found.st_mode, data, length, mark))
            w.files++;
        else if (!data)
            left(&w, guest, errno == EINVAL ? "no regular file" : g_strerror(errno));
        else
            w.is_good = false;
    }
    close(fd);
    if (w.files)
        import_note(lab, IMPORT_MAPPED, mark, what, "%u file%s, to %s", w.files, w.files > 1 ? "s" : "",
                    guest);
    return w.is_good;
}

/* ---- FRR and Quagga ---- */

static const char *const daemon_names[] = {"zebra",  "staticd", "ospfd", "ospf6d", "bgpd",  "isisd", "ripd",
                                           "ripngd", "bfdd",    "pimd",  "eigrpd", "vrrpd", "ldpd"};

static const struct import_file *find_file(const struct import_node *node, const char *folder,
                                           const char *name)
{
    g_autofree char *path = g_strdup_printf("/etc/%s/%s", folder, name);
    const struct import_file *file = g_hash_table_lookup(node->files, path);
    return file && file->kind == 'F' ? file : NULL;
}

/* One frr.conf of the daemons' own files. */
static void join_daemons(struct import_lab *lab, struct import_node *node, const char *folder)
{
    g_autoptr(GString) all = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(daemon_names); i++) {
        g_autofree char *name = g_strconcat(daemon_names[i], ".conf", NULL);
        const struct import_file *file = find_file(node, folder, name);
        if (!file || strlen(file->data) != file->length)
            continue;
        g_string_append_printf(all, "! %s\n%s", name, file->data);
        if (all->str[all->len - 1] != '\n')
            g_string_append_c(all, '\n');
    }
    g_autofree char *what = g_strdup_printf("node %s: daemons' files in /etc/%s", node->name, folder);
    if (all->len && import_put(lab, node, "/etc/frr/frr.conf", 0644, all->str, all->len, node->mark))
        import_note(lab, IMPORT_APPROXIMATED, node->mark, what, "one /etc/frr/frr.conf");
}

/* Files that only an image's own init scripts would read. */
static void note_unread(struct import_lab *lab, const struct import_node *node)
{
    static const char *const paths[] = {"/etc/network/interfaces", "/etc/netplan"};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *what = g_strdup_printf("node %s: %s", node->name, paths[i]);
        if (g_hash_table_contains(node->files, paths[i]))
            import_note(lab, IMPORT_LEFT, node->mark, what,
                        "is copied and read by nothing here; say addresses at the networks, routes under "
                        "routes:");
    }
}

void import_settle_routing(struct import_lab *lab, struct import_node *node)
{
    note_unread(lab, node);
    static const char *const folders[] = {"frr", "quagga", "zebra"};
    bool has_bird = find_file(node, "bird", "bird.conf") != NULL;
    for (size_t f = 0; f < G_N_ELEMENTS(folders); f++) {
        const struct import_file *whole = find_file(node, folders[f], f ? "Quagga.conf" : "frr.conf");
        const struct import_file *daemons = find_file(node, folders[f], "daemons");
        if (whole && f)
            import_put(lab, node, "/etc/frr/frr.conf", 0644, whole->data, whole->length, node->mark);
        else if (!whole && !find_file(node, "frr", "frr.conf"))
            join_daemons(lab, node, folders[f]);
        /* The image starts what the configuration speaks of, and what this file says besides. */
        if (daemons && strlen(daemons->data) == daemons->length)
            import_put(lab, node, "/etc/frr/daemons.lab", 0644, daemons->data, daemons->length, node->mark);
    }
    node->needs_router |= find_file(node, "frr", "frr.conf") || has_bird;
}
