/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See topology_node.h.
 *
 * Files are read when the lab is brought up and become part of the machine's payload, so that nothing later
 * needs the folder, and a changed file is a changed machine. Links in a folder are copied as links and never
 * followed; what is neither file, folder nor link is complained about.
 */
#include "netlab/topology_node.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MOST = 32 };

/* ---- loopbacks ---- */

static void complain_taken(struct topology_report *report, const struct topology_node *node,
                           const char *owner)
{
    g_autofree char *text = ipv4_format((struct ipv4_prefix){node->loopback.address, IPV4_NO_LENGTH});
    topology_complain(report, node->loopback_mark,
                      "%s is already an address of node \"%s\"; give node \"%s\" another loopback", text,
                      owner, node->name);
}

static void check_loopback(const struct topology *topology, struct topology_node *node, GHashTable *taken,
                           struct topology_report *report)
{
    uint32_t first = node->loopback.address >> 24;
    g_autofree char *text = ipv4_format((struct ipv4_prefix){node->loopback.address, IPV4_NO_LENGTH});
    if (node->loopback.length == IPV4_NO_LENGTH)
        node->loopback.length = 32;
    const char *owner = g_hash_table_lookup(taken, GUINT_TO_POINTER(node->loopback.address));
    if (first == 0 || first == 127 || first >= 224)
        topology_complain(report, node->loopback_mark,
                          "%s cannot be a loopback's address here; use a unicast one like 10.0.0.1", text);
    else if (owner)
        complain_taken(report, node, owner);
    else
        g_hash_table_insert(taken, GUINT_TO_POINTER(node->loopback.address), node->name);
}

static void assign_loopback(const struct topology *topology, struct topology_node *node, GHashTable *taken,
                            uint32_t *next, struct topology_report *report)
{
    struct ipv4_prefix pool = topology->loopbacks;
    uint32_t last = pool.address | ~ipv4_mask(pool.length);
    if (pool.length < 31)
        last--;
    for (; *next <= last && *next >= pool.address; ++*next) {
        if (g_hash_table_contains(taken, GUINT_TO_POINTER(*next)))
            continue;
        node->loopback = (struct ipv4_prefix){*next, 32};
        node->has_loopback = true;
        g_hash_table_insert(taken, GUINT_TO_POINTER(*next), node->name);
        return;
    }
    g_autofree char *text = ipv4_format(pool);
    topology_complain(report, node->loopback_mark.line ? node->loopback_mark : node->mark,
                      "the loopbacks %s have no address left for node \"%s\"; give a larger network", text,
                      node->name);
}

static void check_loopbacks(struct topology *topology, struct topology_report *report)
{
    g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);
    bool all = topology->has_loopbacks;
    if (!all)
        topology->loopbacks = (struct ipv4_prefix){10u << 24 | 254u << 16, 24};
    for (guint n = 0; n < topology->nodes->len; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (nic->has_address)
                g_hash_table_insert(taken, GUINT_TO_POINTER(nic->address.address), node->name);
        }
    }
    for (guint n = 0; n < topology->nodes->len; n++)
        if (((struct topology_node *)topology->nodes->pdata[n])->has_loopback)
            check_loopback(topology, topology->nodes->pdata[n], taken, report);
    uint32_t next = topology->loopbacks.address + (topology->loopbacks.length < 31);
    for (guint n = 0; n < topology->nodes->len; n++) {
        struct topology_node *node = topology->nodes->pdata[n];
        if (!node->has_loopback && (node->wants_loopback || all))
            assign_loopback(topology, node, taken, &next, report);
    }
}

/* ---- files ---- */

static bool is_guest_path(const char *path)
{
    return path[0] == '/' && !strstr(path, "//") && !strstr(path, "/../") && !strstr(path, "/./") &&
           !g_str_has_suffix(path, "/..") && strlen(path) < 1024 && !strchr(path, '\n');
}

static void check_files(const struct topology *topology, struct topology_node *node,
                        struct topology_report *report)
{
    /* Kathará's way: a folder that is called like the node is copied into it, before all that is said
     * explicitly. */
    struct topology_file *own = g_new0(struct topology_file, 1);
    own->path = g_strdup("/");
    own->source = g_build_filename(topology->directory, node->name, NULL);
    own->mark = node->mark;
    own->is_optional = true;
    g_ptr_array_insert(node->files, 0, own);
    for (guint i = 0; i < node->files->len; i++) {
        struct topology_file *file = node->files->pdata[i];
        if (!is_guest_path(file->path))
            topology_complain(report, file->mark, "\"%s\" is no path in the guest; write it like /etc/motd",
                              file->path);
        if (!file->source || g_path_is_absolute(file->source))
            continue;
        char *absolute = g_canonicalize_filename(file->source, topology->directory);
        g_free(file->source);
        file->source = absolute;
    }
}

void topology_check_insides(struct topology *topology, struct topology_report *report)
{
    check_loopbacks(topology, report);
    for (guint n = 0; n < topology->nodes->len; n++)
        check_files(topology, topology->nodes->pdata[n], report);
}

struct packer {
    GString *out;
    unsigned count;
    const struct topology_node *node;
    const struct topology_file *file;
    struct topology_report *report;
    bool *good;
};

static void complain(struct packer *p, const char *path, const char *why)
{
    if (*p->good)
        topology_complain(p->report, p->file->mark, "the file %s cannot be copied into node \"%s\": %s", path,
                          p->node->name, why);
    *p->good = false;
}

static bool fits(struct packer *p, const char *path, gsize more)
{
    if (p->out->len + more <= TOPOLOGY_FILES_MOST && ++p->count <= TOPOLOGY_FILES_COUNT)
        return true;
    g_autofree char *why = g_strdup_printf("a node's files are at most %d MiB and %d together; put large "
                                           "ones into an image (netlab image build)",
                                           TOPOLOGY_FILES_MOST >> 20, TOPOLOGY_FILES_COUNT);
    complain(p, path, why);
    return false;
}

/* One entry: "KIND MODE LENGTH PATH\n" and LENGTH bytes. */
static void put(struct packer *p, char kind, unsigned mode, const char *guest_path, const char *data,
                gsize length)
{
    if (!fits(p, guest_path, length))
        return;
    g_string_append_printf(p->out, "%c %o %zu %s\n", kind, mode & 07777, length, guest_path);
    g_string_append_len(p->out, data, (gssize)length);
}

static void pack_file(struct packer *p, int folder, const char *name, const char *shown,
                      const char *guest_path)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
        complain(p, shown, fd < 0 ? g_strerror(errno) : "not a regular file");
    } else if (fits(p, shown, (gsize)found.st_size)) {
        gsize size = (gsize)found.st_size, got = 0;
        g_autofree char *data = g_malloc(size + 1);
        ssize_t n = 1;
        while (got < size && n > 0) {
            n = read(fd, data + got, size - got);
            if (n > 0)
                got += (gsize)n;
        }
        if (got < size)
            complain(p, shown, n < 0 ? g_strerror(errno) : "it became shorter while it was read");
        else
            put(p, 'F', p->file->mode ? p->file->mode : found.st_mode, guest_path, data, size);
    }
    if (fd >= 0)
        close(fd);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void pack_folder(struct packer *p, const char *path, const char *guest_path, unsigned depth);

static void pack_entry(struct packer *p, int folder, const char *name, const char *shown, const char *inside,
                       unsigned depth)
{
    struct stat found;
    if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
        complain(p, shown, g_strerror(errno));
    } else if (!is_guest_path(inside)) {
        complain(p, shown, "its path is too long, or has a line end in it");
    } else if (S_ISDIR(found.st_mode)) {
        put(p, 'D', found.st_mode, inside, "", 0);
        pack_folder(p, shown, inside, depth + 1);
    } else if (S_ISLNK(found.st_mode)) {
        char target[1024];
        ssize_t length = readlinkat(folder, name, target, sizeof target);
        if (length > 0 && length < (ssize_t)sizeof target)
            put(p, 'L', 0777, inside, target, (gsize)length);
        else
            complain(p, shown, "a link that cannot be read");
    } else {
        pack_file(p, folder, name, shown, inside);
    }
}

static void pack_folder(struct packer *p, const char *path, const char *guest_path, unsigned depth)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = depth < DEPTH_MOST ? g_dir_open(path, 0, &error) : NULL;
    if (folder < 0 || !dir) {
        complain(p, path,
                 error                 ? error->message
                 : depth >= DEPTH_MOST ? "folders are nested too deep"
                                       : g_strerror(errno));
        if (folder >= 0)
            close(folder);
        return;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    while ((name = g_dir_read_name(dir)) && names->len <= TOPOLOGY_FILES_COUNT)
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len && *p->good; i++) {
        g_autofree char *shown = g_build_filename(path, names->pdata[i], NULL),
                        *inside = g_build_filename(guest_path, names->pdata[i], NULL);
        pack_entry(p, folder, names->pdata[i], shown, inside, depth);
    }
    close(folder);
}

static void pack_one(struct packer *p)
{
    const struct topology_file *file = p->file;
    struct stat found;
    if (file->text) {
        put(p, 'F', file->mode ? file->mode : 0644, file->path, file->text, strlen(file->text));
        return;
    }
    if (stat(file->source, &found) != 0 || (file->is_optional && !S_ISDIR(found.st_mode))) {
        if (!file->is_optional)
            topology_complain(p->report, file->mark,
                              "%s: %s; correct the path (it is relative to the topology file)", file->source,
                              g_strerror(errno));
        *p->good &= file->is_optional;
        return;
    }
    if (S_ISDIR(found.st_mode)) {
        pack_folder(p, file->source, file->path, 0);
        return;
    }
    if (g_str_has_suffix(file->path, "/")) {
        g_autofree char *base = g_path_get_basename(file->source),
                        *inside = g_build_filename(file->path, base, NULL);
        g_autofree char *real = g_str_equal(file->path, "/") ? NULL : g_strdup(inside);
        if (real)
            pack_file(p, AT_FDCWD, file->source, file->source, real);
        else
            complain(p, file->source, "it is no folder; say where it goes, like {/etc/motd: motd.txt}");
        return;
    }
    pack_file(p, AT_FDCWD, file->source, file->source, file->path);
}

char *topology_pack_files(const struct topology_node *node, struct topology_report *report, bool *good)
{
    g_autoptr(GString) out = g_string_new(NULL);
    struct packer p = {.out = out, .node = node, .report = report, .good = good};
    for (guint i = 0; i < node->files->len && *good; i++) {
        p.file = node->files->pdata[i];
        pack_one(&p);
    }
    return out->len && *good ? g_base64_encode((const guchar *)out->str, out->len) : NULL;
}

/* ---- names ---- */

static void put_host(GString *out, const struct topology_node *node, struct ipv4_prefix address)
{
    g_autofree char *text = ipv4_format((struct ipv4_prefix){address.address, IPV4_NO_LENGTH});
    g_string_append_printf(out, "%s %s", text, node->name);
    if (!g_str_equal(node->hostname, node->name))
        g_string_append_printf(out, " %s", node->hostname);
    g_string_append_c(out, '\n');
}

char *topology_hosts(const struct topology *topology)
{
    GString *out = g_string_new(NULL);
    for (guint n = 0; n < topology->nodes->len; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        if (node->has_loopback)
            put_host(out, node, node->loopback);
        for (guint i = 0; i < node->nics->len; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (nic->has_address)
                put_host(out, node, nic->address);
        }
    }
    return g_string_free(out, FALSE);
}
