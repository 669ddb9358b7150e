/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The kernel's part of an image: which of its package's modules go into it, in which order they are loaded at
 * start, and the tables by which modprobe finds the others when the guest's kernel asks for them
 * (modules.dep, modules.alias; depmod(8)).
 *
 * What a module depends on and is called stands in its .modinfo section: key=value strings with NUL between
 * them.
 */
#include "netlab/image_internal.h"

#include <string.h>
#include <sys/stat.h>

/* Families of network drivers that no machine of ours has hardware for. */
static const char *const without_drivers[] = {
    "/wireless/",    "/ethernet/", "/usb/",    "/can/",  "/phy/",         "/wwan/",
    "/hamradio/",    "/fddi/",     "/arcnet/", "/plip/", "/pcmcia/",      "/mdio/",
    "/ieee802154/",  "/dsa/",      "/hippi/",  "/fjes/", "/xen-netback/", "/hyperv/",
    "/thunderbolt/", "/wan/",      "/pcs/",    "/ipa/",  "/ieee"};
static const char *const without_protocols[] = {
    "/bluetooth/", "/wireless/",  "/mac80211/",   "/nfc/", "/ceph/", "/rxrpc/", "/batman-adv/", "/can/",
    "/tipc/",      "/mac802154/", "/ieee802154/", "/rds/", "/smc/",  "/9p/",    "/atm/"};

static bool holds_one_of(const char *path, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strstr(path, parts[i]))
            return true;
    return false;
}

bool image_kernel_wants(const char *path, void *opaque)
{
    static const char *const families[] = {"/kernel/drivers/net/",   "/kernel/drivers/firmware/",
                                           "/kernel/drivers/acpi/",  "/kernel/drivers/ata/",
                                           "/kernel/drivers/scsi/",  "/kernel/fs/erofs/",
                                           "/kernel/fs/overlayfs/",  "/kernel/crypto/",
                                           "/kernel/net/",           "/kernel/lib/",
                                           "/kernel/arch/",          "/kernel/block/",
                                           "/kernel/drivers/cdrom/", "/kernel/fs/ext4/",
                                           "/kernel/fs/jbd2/",       "/kernel/fs/mbcache",
                                           "/kernel/fs/fat/",        "/kernel/fs/isofs/",
                                           "/kernel/fs/nls/"};
    return g_str_has_prefix(path, "boot/vmlinuz-") || g_str_has_suffix(path, "/modules.builtin") ||
           holds_one_of(path, families, G_N_ELEMENTS(families));
}

/* "/…/nf-tables.ko" → "nf_tables": names spell '-' and '_' alike. */
static char *module_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    return g_strdelimit(g_strndup(base, strlen(base) - strlen(".ko")), "-", '_');
}

GHashTable *image_kernel_index(GHashTable *kernel_tree)
{
    GHashTable *index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, kernel_tree);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct image_file *file = value;
        if (g_str_has_suffix(file->path, ".ko") && file->data)
            g_hash_table_insert(index, module_name(file->path), file);
    }
    return index;
}

static const struct image_file *find_module(GHashTable *index, const char *name)
{
    g_autofree char *wanted = g_strdelimit(g_strdup(name), "-", '_');
    return g_hash_table_lookup(index, wanted);
}

/* The values of one key of .modinfo. */
static GPtrArray *module_info(const struct image_file *module, const char *key)
{
    GPtrArray *values = g_ptr_array_new_with_free_func(g_free);
    gsize length = strlen(key) + 2, size;
    g_autofree char *needle = g_malloc(length);
    needle[0] = 0;
    memcpy(needle + 1, key, length - 2);
    needle[length - 1] = '=';
    const char *data = g_bytes_get_data(module->data, &size), *end = data + size, *at = data;
    while ((at = memmem(at, (gsize)(end - at), needle, length))) {
        at += length;
        g_ptr_array_add(values, g_strndup(at, strnlen(at, (gsize)(end - at))));
    }
    return values;
}

static GStrv module_depends(const struct image_file *module)
{
    g_autoptr(GPtrArray) found = module_info(module, "depends");
    return g_strsplit(found->len ? found->pdata[0] : "", ",", 64);
}

bool image_kernel_add_module(GHashTable *index, GHashTable *tree, const char *name, unsigned depth,
                             GString *load, GError **error)
{
    const struct image_file *module = find_module(index, name);
    if (!module) { /* built in, or of a family this image does not carry */
        if (depth)
            g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD, "the kernel package has no module %s", name);
        return depth == 0;
    }
    g_autofree char *line = g_strdup_printf("/%s\n", module->path);
    if (strstr(load->str, line) || depth > 8)
        return true;
    g_auto(GStrv) names = module_depends(module);
    for (char **n = names; *n; n++)
        if (**n && !image_kernel_add_module(index, tree, *n, depth + 1, load, error))
            return false;
    image_tree_add(tree, module->path, S_IFREG | 0644, module->data, NULL);
    g_string_append(load, line);
    return true;
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All that a module needs and then itself, each behind what it needs. */
static void add_closure(GHashTable *index, const struct image_file *module, GPtrArray *out, unsigned depth)
{
    if (depth > 16 || g_ptr_array_find(out, module, NULL))
        return;
    g_auto(GStrv) names = module_depends(module);
    for (char **n = names; *n; n++) {
        const struct image_file *needed = find_module(index, *n);
        if (needed)
            add_closure(index, needed, out, depth + 1);
    }
    if (!g_ptr_array_find(out, module, NULL))
        g_ptr_array_add(out, (gpointer)module);
}

static bool belongs_on_disk(const char *path)
{
    /* What disks and CDs of nodes are likely to need. */
    static const char *const media[] = {"/scsi/sr_mod.ko",
                                        "/fs/ext4/",
                                        "/fs/isofs/",
                                        "/fs/fat/",
                                        "/nls/nls_ascii.ko",
                                        "/nls/nls_cp437.ko",
                                        "/nls/nls_iso8859-1.ko",
                                        "/nls/nls_utf8.ko"};
    if (holds_one_of(path, media, G_N_ELEMENTS(media)))
        return true;
    if (strstr(path, "/kernel/drivers/net/"))
        return !holds_one_of(path, without_drivers, G_N_ELEMENTS(without_drivers));
    if (strstr(path, "/kernel/net/"))
        return !holds_one_of(path, without_protocols, G_N_ELEMENTS(without_protocols));
    return strstr(path, "/kernel/crypto/") || strstr(path, "/kernel/lib/crypto/") ||
           strstr(path, "/kernel/arch/x86/crypto/");
}

/* Path within /lib/modules/RELEASE. */
static const char *within(const char *path)
{
    const char *kernel = strstr(path, "/kernel/");
    return kernel ? kernel + 1 : path;
}

static void add_lines(GHashTable *tree, const char *folder, const char *name, GPtrArray *lines)
{
    g_ptr_array_sort(lines, compare_texts);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < lines->len; i++)
        g_string_append(text, lines->pdata[i]);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GBytes) data = g_string_free_to_bytes(text);
    image_tree_add(tree, path, S_IFREG | 0644, data, NULL);
}

void image_kernel_add_tables(GHashTable *kernel_tree, GHashTable *index, GHashTable *tree,
                             const char *release)
{
    g_autoptr(GHashTable) chosen = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) depends = g_ptr_array_new_with_free_func(g_free),
                         aliases = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *folder = g_strdup_printf("lib/modules/%s", release);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, index);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct image_file *module = value;
        if (!belongs_on_disk(module->path))
            continue;
        g_autoptr(GPtrArray) closure = g_ptr_array_new();
        add_closure(index, module, closure, 0);
        for (guint i = 0; i < closure->len; i++)
            g_hash_table_add(chosen, closure->pdata[i]);
    }
    g_hash_table_iter_init(&iter, chosen);
    while (g_hash_table_iter_next(&iter, &value, NULL)) {
        const struct image_file *module = value;
        image_tree_add(tree, module->path, S_IFREG | 0644, module->data, NULL);
        g_autoptr(GPtrArray) closure = g_ptr_array_new();
        add_closure(index, module, closure, 0);
        GString *line = g_string_new(within(module->path));
        g_string_append_c(line, ':');
        for (guint i = closure->len - 1; i-- > 0;) /* modprobe loads from the end */
            g_string_append_printf(line, " %s", within(((const struct image_file *)closure->pdata[i])->path));
        g_string_append_c(line, '\n');
        g_ptr_array_add(depends, g_string_free(line, FALSE));
        g_autoptr(GPtrArray) known = module_info(module, "alias");
        g_autofree char *name = module_name(module->path);
        for (guint i = 0; i < known->len; i++)
            g_ptr_array_add(aliases, g_strdup_printf("alias %s %s\n", (char *)known->pdata[i], name));
    }
    add_lines(tree, folder, "modules.dep", depends);
    add_lines(tree, folder, "modules.alias", aliases);
    g_autofree char *builtin = g_build_filename(folder, "modules.builtin", NULL);
    const struct image_file *file = g_hash_table_lookup(kernel_tree, builtin);
    if (file && file->data)
        image_tree_add(tree, builtin, S_IFREG | 0644, file->data, NULL);
    g_autofree char *symbols = g_build_filename(folder, "modules.symbols", NULL);
    g_autoptr(GBytes) empty = g_bytes_new_static("", 0);
    image_tree_add(tree, symbols, S_IFREG | 0644, empty, NULL);
}
