/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Building images by recipe: Debian packages in, a kernel and an initramfs out.
 *
 * Everything is put together in a hidden folder beside the image's place, which is then renamed into it: a
 * build that fails, is interrupted or meets a full disk leaves what was there before. What went in (recipe,
 * package files, the guest program) is recorded as `inputs`, so an image that is up to date is not built
 * again.
 */
#include "netlab/image_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { RECIPE_VERSION = 3, NEEDED_MIB = 400 };

static const struct recipe {
    const char *name, *description;
    const char *kernel;            /* Debian metapackage */
    const char *const *packages;   /* userland beyond busybox, with dependencies; may be NULL */
    const char *const (*links)[2]; /* path, target: what packages' scripts would have made; ends with NULLs */
    unsigned memory, least_memory; /* MiB */
} recipes[] = {
    {.name = "mini",
     .description = "Debian's 686 kernel, busybox and the e1000 driver: a host or a router in 4 MB",
     .kernel = "linux-image-686",
     .memory = 96,
     .least_memory = 72},
    {.name = "mini-pae",
     .description = "the same with Debian's 686-pae kernel",
     .kernel = "linux-image-686-pae",
     .memory = 96,
     .least_memory = 72},
    {.name = "debian",
     .description = "a Debian userland: bash, coreutils, iproute2, ping, perl, python3, xz, netcat, iperf3",
     .kernel = "linux-image-686",
     .packages = (const char *const[]){"bash", "dash", "coreutils", "grep", "sed", "findutils", "gawk",
                                       "iproute2", "iputils-ping", "procps", "gzip", "xz-utils", "perl-base",
                                       "python3-minimal", "netcat-openbsd", "iperf3", NULL},
     .links =
         (const char *const[][2]){
             {"bin/sh", "dash"}, {"bin/nc", "nc.openbsd"}, {"usr/bin/awk", "gawk"}, {NULL, NULL}},
     .memory = 512,
     .least_memory = 384},
};

static const struct recipe *find_recipe(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(recipes); i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i];
    return NULL;
}

bool image_recipe_exists(const char *name)
{
    return find_recipe(name) != NULL;
}

void image_recipes_describe(GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(recipes); i++)
        g_string_append_printf(out, "%-10s %s\n", recipes[i].name, recipes[i].description);
}

struct build {
    const struct recipe *recipe;
    const struct image_build_options *options;
    const char *name;
    char *images, *work, *place; /* folders */
    char *guest;                 /* path of the guest program */
    char *guest_hash;
    char *kernel_package;    /* "linux-image-6.1.0-50-686" */
    GHashTable *kernel_tree; /* what was taken out of the kernel's package */
    GHashTable *tree;        /* the initramfs */
    int lock;
};

static void say(const struct build *b, const char *step, const char *text)
{
    if (b->options->progress)
        b->options->progress(b->options->opaque, step, text);
}

static bool fail(GError **error, enum image_error code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool fail(GError **error, enum image_error code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    GError *made = g_error_new_valist(IMAGE_ERROR, (int)code, format, args);
    va_end(args);
    g_propagate_error(error, made);
    return false;
}

/* Beside the running program, or where NETLAB_GUEST says. */
static bool find_guest(struct build *b, GError **error)
{
    const char *named = g_getenv("NETLAB_GUEST");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
    b->guest = named ? g_strdup(named) : g_build_filename(folder, "netlab-guest", NULL);
    g_autoptr(GMappedFile) file = g_mapped_file_new(b->guest, FALSE, NULL);
    if (!file)
        return fail(error, IMAGE_ERROR_BUILD,
                    "the guest program %s is not there: build it with `cmake --build --preset release`, or "
                    "say where it is "
                    "with NETLAB_GUEST",
                    b->guest);
    b->guest_hash = g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, (const guchar *)g_mapped_file_get_contents(file), g_mapped_file_get_length(file));
    return true;
}

static char *inputs_of(const struct build *b)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "recipe %s %d\nguest %s\nkernel %s\n", b->recipe->name, RECIPE_VERSION,
                           b->guest_hash, b->recipe->kernel);
    for (const char *const *p = b->recipe->packages; p && *p; p++)
        g_string_append_printf(text, "package %s\n", *p);
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, -1);
}

static bool is_up_to_date(const struct build *b, const char *inputs)
{
    g_autofree char *path = g_build_filename(b->place, "inputs", NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL) || strcmp(g_strstrip(text), inputs) != 0)
        return false;
    struct image *image = image_load(b->images, b->name, NULL);
    bool good = image != NULL;
    image_free(image);
    return good;
}

static bool take_lock(struct build *b, GError **error)
{
    g_autofree char *path = g_build_filename(b->images, ".lock", NULL);
    b->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (b->lock < 0)
        return fail(error, errno == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD,
                    "opening %s: %s (set NETLAB_IMAGE_DIR to a folder you may write to)", path,
                    g_strerror(errno));
    if (flock(b->lock, LOCK_EX | LOCK_NB) == 0)
        return true;
    say(b, "lock", "Waiting for another image build to end");
    while (flock(b->lock, LOCK_EX) != 0)
        if (errno != EINTR)
            return fail(error, IMAGE_ERROR_BUILD, "locking %s: %s", path, g_strerror(errno));
    return true;
}

static bool check_space(const struct build *b, GError **error)
{
    struct statvfs fs;
    if (statvfs(b->images, &fs) != 0)
        return true;
    uint64_t free_mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
    if (free_mib >= NEEDED_MIB)
        return true;
    return fail(error, IMAGE_ERROR_NO_SPACE,
                "building an image needs %d MiB and %s has %" G_GUINT64_FORMAT
                " MiB left: free some space, or set NETLAB_IMAGE_DIR and NETLAB_CACHE_DIR to another disk",
                NEEDED_MIB, b->images, free_mib);
}

/* ---- the kernel and its modules ---- */

/* Modules by name; what they depend on is read from the modules themselves. */
static const char *const modules[] = {"e1000", "qemu_fw_cfg", "button", "bridge", "8021q",
                                      "dummy", "veth",        "tun",    NULL};

static bool want_of_kernel(const char *path, void *opaque)
{
    return g_str_has_prefix(path, "boot/vmlinuz-") || strstr(path, "/kernel/drivers/net/") ||
           strstr(path, "/kernel/drivers/firmware/") || strstr(path, "/kernel/drivers/acpi/") ||
           strstr(path, "/kernel/net/") || strstr(path, "/kernel/lib/") ||
           g_str_has_suffix(path, "/modules.builtin");
}

static const struct image_file *find_module(GHashTable *tree, const char *name)
{
    /* Names spell '-' and '_' alike. */
    g_autofree char *wanted = g_strdelimit(g_strdup(name), "-", '_');
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, tree);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct image_file *file = value;
        if (!g_str_has_suffix(file->path, ".ko") || !file->data)
            continue;
        const char *slash = strrchr(file->path, '/');
        g_autofree char *found = g_strndup(slash + 1, strlen(slash + 1) - 3);
        if (strcmp(g_strdelimit(found, "-", '_'), wanted) == 0)
            return file;
    }
    return NULL;
}

/* The "depends=" entry of the module's .modinfo: comma-separated names. */
static char *module_depends(const struct image_file *module)
{
    static const char key[] = "\0depends=";
    gsize size;
    const char *data = g_bytes_get_data(module->data, &size);
    const char *found = memmem(data, size, key, sizeof key - 1);
    if (!found)
        return g_strdup("");
    found += sizeof key - 1;
    return g_strndup(found, strnlen(found, size - (gsize)(found - data)));
}

static bool add_module(struct build *b, const char *name, unsigned depth, GString *load, GError **error)
{
    const struct image_file *module = find_module(b->kernel_tree, name);
    if (!module) /* built in, or of a driver family this image does not carry */
        return depth == 0 || fail(error, IMAGE_ERROR_BUILD, "the kernel package has no module %s", name);
    g_autofree char *line = g_strdup_printf("/%s\n", module->path);
    if (strstr(load->str, line) || depth > 8)
        return true;
    g_autofree char *depends = module_depends(module);
    g_auto(GStrv) names = g_strsplit(depends, ",", 32);
    for (char **n = names; *n; n++)
        if (**n && !add_module(b, *n, depth + 1, load, error))
            return false;
    image_tree_add(b->tree, module->path, S_IFREG | 0644, module->data, NULL);
    g_string_append(load, line);
    return true;
}

/* Loaded at start; the others are there for modprobe-less `insmod` by the node's own commands. */
static bool loads_at_start(const char *name)
{
    return strcmp(name, "e1000") == 0 || strcmp(name, "qemu_fw_cfg") == 0 || strcmp(name, "button") == 0;
}

static bool add_modules(struct build *b, GError **error)
{
    g_autoptr(GString) load = g_string_new(NULL);
    g_autoptr(GString) more = g_string_new(NULL);
    for (const char *const *name = modules; *name; name++)
        if (!add_module(b, *name, 0, loads_at_start(*name) ? load : more, error))
            return false;
    if (!strstr(load->str, "/e1000.ko"))
        return fail(error, IMAGE_ERROR_BUILD, "the kernel package %s has no e1000 driver", b->kernel_package);
    g_autoptr(GBytes) list = g_bytes_new(load->str, load->len);
    image_tree_add(b->tree, "lib/modules/netlab.load", S_IFREG | 0644, list, NULL);
    return true;
}

static bool save_kernel(struct build *b, GError **error)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, b->kernel_tree);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct image_file *file = value;
        if (!g_str_has_prefix(file->path, "boot/vmlinuz-") || !file->data)
            continue;
        g_autofree char *path = g_build_filename(b->work, "vmlinuz", NULL);
        gsize size;
        const char *data = g_bytes_get_data(file->data, &size);
        if (!g_file_set_contents(path, data, (gssize)size, error)) {
            g_prefix_error(error, "writing the kernel: ");
            return false;
        }
        return chmod(path, 0644) == 0 || fail(error, IMAGE_ERROR_BUILD, "%s: %s", path, g_strerror(errno));
    }
    return fail(error, IMAGE_ERROR_BUILD, "the kernel package %s has no vmlinuz", b->kernel_package);
}

/* ---- userland ---- */

static bool want_of_userland(const char *path, void *opaque)
{
    static const char *const without[] = {"usr/share/doc/",
                                          "usr/share/man/",
                                          "usr/share/locale/",
                                          "usr/share/info/",
                                          "usr/share/lintian/",
                                          "usr/share/bash-completion/",
                                          "usr/share/common-licenses/"};
    for (unsigned i = 0; i < G_N_ELEMENTS(without); i++)
        if (g_str_has_prefix(path, without[i]))
            return false;
    return true;
}

/* Links for busybox's applets where no package brought the real thing. When this host cannot run i386
 * programs the guest makes the links at its first start instead. */
static void add_applets(struct build *b)
{
    const struct image_file *busybox = g_hash_table_lookup(b->tree, "bin/busybox");
    g_autofree char *path = g_build_filename(b->work, "busybox", NULL);
    gsize size;
    const char *data = g_bytes_get_data(busybox->data, &size);
    g_autofree char *out = NULL;
    int status = -1;
    if (g_file_set_contents(path, data, (gssize)size, NULL) && chmod(path, 0755) == 0) {
        char *argv[] = {path, (char *)"--list-full", NULL};
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL, &status, NULL);
    }
    unlink(path);
    if (status != 0 || !out)
        return;
    g_auto(GStrv) applets = g_strsplit(out, "\n", -1);
    for (char **applet = applets; *applet; applet++) {
        if (!**applet || **applet == '/' || strstr(*applet, ".."))
            continue;
        g_autofree char *base = g_path_get_basename(*applet);
        bool present = false;
        static const char *const where[] = {"bin", "sbin", "usr/bin", "usr/sbin"};
        for (unsigned i = 0; i < G_N_ELEMENTS(where) && !present; i++) {
            g_autofree char *other = g_build_filename(where[i], base, NULL);
            present = g_hash_table_contains(b->tree, other);
        }
        if (!present)
            image_tree_add(b->tree, *applet, S_IFLNK | 0777, NULL, "/bin/busybox");
    }
}

static void add_text(GHashTable *tree, const char *path, const char *text)
{
    g_autoptr(GBytes) data = g_bytes_new(text, strlen(text));
    image_tree_add(tree, path, S_IFREG | 0644, data, NULL);
}

static bool add_basics(struct build *b, GError **error)
{
    static const char *const folders[] = {"bin", "sbin", "dev",     "etc",      "proc",    "sys", "run",
                                          "tmp", "root", "usr/bin", "usr/sbin", "var/run", "mnt"};
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++)
        if (!g_hash_table_contains(b->tree, folders[i]))
            image_tree_add(b->tree, folders[i], S_IFDIR | 0755, NULL, NULL);
    image_tree_add_device(b->tree, "dev/console", S_IFCHR | 0600, 5, 1);
    image_tree_add_device(b->tree, "dev/null", S_IFCHR | 0666, 1, 3);
    add_text(b->tree, "etc/passwd",
             "root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    add_text(b->tree, "etc/group", "root:x:0:\nnogroup:x:65534:\n");
    add_text(b->tree, "etc/profile",
             "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPS1='\\h:\\w# '\n");
    g_autofree char *program = NULL;
    gsize size;
    if (!g_file_get_contents(b->guest, &program, &size, error))
        return false;
    g_autoptr(GBytes) bytes = g_bytes_new(program, size);
    image_tree_add(b->tree, "init", S_IFREG | 0755, bytes, NULL);
    return true;
}

static bool unpack_all(GPtrArray *debs, bool (*wanted)(const char *, void *), GHashTable *tree,
                       GError **error)
{
    for (unsigned i = 0; i < debs->len; i++)
        if (!image_deb_unpack(debs->pdata[i], wanted, NULL, tree, error))
            return false;
    return true;
}

static bool gather(struct build *b, GError **error)
{
    struct image_apt *apt = image_apt_open(b->options->progress, b->options->opaque, error);
    if (!apt)
        return false;
    g_autoptr(GPtrArray) kernel = NULL;
    g_autoptr(GPtrArray) busybox = NULL;
    g_autoptr(GPtrArray) userland = NULL;
    b->kernel_package = image_apt_dependency(apt, b->recipe->kernel, error);
    if (b->kernel_package)
        kernel = image_apt_fetch(apt, (const char *const[]){b->kernel_package, NULL}, false, error);
    if (kernel)
        busybox = image_apt_fetch(apt, (const char *const[]){"busybox-static", NULL}, false, error);
    if (busybox && b->recipe->packages)
        userland = image_apt_fetch(apt, b->recipe->packages, true, error);
    bool good = kernel && busybox && (userland || !b->recipe->packages);
    if (good)
        say(b, "unpack", "Unpacking the packages");
    good = good && unpack_all(kernel, want_of_kernel, b->kernel_tree, error) &&
           (!userland || unpack_all(userland, want_of_userland, b->tree, error)) &&
           unpack_all(busybox, want_of_userland, b->tree, error);
    image_apt_close(apt);
    for (const char *const(*link)[2] = b->recipe->links; good && link && (*link)[0]; link++)
        image_tree_add(b->tree, (*link)[0], S_IFLNK | 0777, NULL, (*link)[1]);
    if (good && !g_hash_table_contains(b->tree, "bin/busybox"))
        return fail(error, IMAGE_ERROR_BUILD, "the package busybox-static has no bin/busybox");
    return good;
}

/* ---- putting it in place ---- */

static bool write_metadata(struct build *b, const char *inputs, GError **error)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *built = g_date_time_format_iso8601(now);
    const char *const texts[][2] = {
        {"name", b->name},
        {"description", b->recipe->description},
        {"kernel", "vmlinuz"},
        {"initrd", "initrd.cpio"},
        {"append", "console=ttyS0,115200 quiet panic=5 net.ifnames=0 cryptomgr.notests noisapnp"},
        {"kernel_release", b->kernel_package + strlen("linux-image-")},
        {"built", built},
    };
    json_builder_begin_object(json);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_builder_set_member_name(json, texts[i][0]);
        json_builder_add_string_value(json, texts[i][1]);
    }
    json_builder_set_member_name(json, "memory");
    json_builder_add_int_value(json, b->recipe->memory);
    json_builder_set_member_name(json, "least_memory");
    json_builder_add_int_value(json, b->recipe->least_memory);
    json_builder_set_member_name(json, "agent");
    json_builder_add_boolean_value(json, TRUE);
    json_builder_end_object(json);
    g_autoptr(JsonNode) root = json_builder_get_root(json);
    g_autofree char *text = json_to_string(root, TRUE);
    g_autofree char *path = g_build_filename(b->work, "image.json", NULL);
    g_autofree char *inputs_path = g_build_filename(b->work, "inputs", NULL);
    if (g_file_set_contents(path, text, -1, error) && g_file_set_contents(inputs_path, inputs, -1, error))
        return chmod(path, 0644) == 0 && chmod(inputs_path, 0644) == 0;
    g_prefix_error(error, "writing the image: ");
    return false;
}

/* The old image moves aside, the new one takes its place, the old one goes. */
static bool put_in_place(struct build *b, GError **error)
{
    g_autofree char *old = g_strdup_printf("%s/.old-%s-%d", b->images, b->name, (int)getpid());
    bool had_old = rename(b->place, old) == 0;
    if (rename(b->work, b->place) != 0) {
        int why = errno;
        if (had_old && rename(old, b->place) != 0)
            g_warning("the old image is left in %s", old);
        return fail(error, IMAGE_ERROR_BUILD, "putting image %s in place: %s", b->name, g_strerror(why));
    }
    if (had_old)
        image_remove_folder(old, NULL);
    return true;
}

static bool build_image(struct build *b, const char *inputs, GError **error)
{
    if (!check_space(b, error))
        return false;
    if (g_mkdir_with_parents(b->work, 0755) != 0)
        return fail(error, errno == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD, "making %s: %s",
                    b->work, g_strerror(errno));
    b->kernel_tree = image_tree_new();
    b->tree = image_tree_new();
    if (!gather(b, error))
        return false;
    say(b, "image", "Putting the image together");
    add_applets(b);
    g_autofree char *initrd = g_build_filename(b->work, "initrd.cpio", NULL);
    if (!add_basics(b, error) || !add_modules(b, error) || !save_kernel(b, error) ||
        !image_tree_write_cpio(b->tree, initrd, error) || chmod(initrd, 0644) != 0 ||
        !write_metadata(b, inputs, error))
        return false;
    return put_in_place(b, error);
}

static void build_clear(struct build *b)
{
    if (b->work && g_file_test(b->work, G_FILE_TEST_IS_DIR))
        image_remove_folder(b->work, NULL);
    if (b->lock >= 0)
        close(b->lock);
    g_clear_pointer(&b->kernel_tree, g_hash_table_unref);
    g_clear_pointer(&b->tree, g_hash_table_unref);
    g_free(b->images);
    g_free(b->work);
    g_free(b->place);
    g_free(b->guest);
    g_free(b->guest_hash);
    g_free(b->kernel_package);
}

/* What an interrupted build left behind: nobody else builds while we hold the lock. */
static void remove_leftovers(const struct build *b)
{
    g_autoptr(GDir) dir = g_dir_open(b->images, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)))
        if (g_str_has_prefix(name, ".build-") || g_str_has_prefix(name, ".removed-") ||
            g_str_has_prefix(name, ".old-")) {
            g_autofree char *path = g_build_filename(b->images, name, NULL);
            image_remove_folder(path, NULL);
        }
}

bool image_build(const char *recipe_name, const struct image_build_options *options, bool *changed,
                 GError **error)
{
    const struct recipe *recipe = find_recipe(recipe_name);
    if (!recipe) {
        g_autoptr(GString) known = g_string_new(NULL);
        for (unsigned i = 0; i < G_N_ELEMENTS(recipes); i++)
            g_string_append_printf(known, "%s%s", i ? ", " : "", recipes[i].name);
        return fail(error, IMAGE_ERROR_UNKNOWN, "no recipe for an image '%s'; there are: %s", recipe_name,
                    known->str);
    }
    struct build b = {.recipe = recipe, .options = options, .lock = -1};
    b.name = options->name ? options->name : recipe->name;
    if (!image_name_check(b.name, error))
        return false;
    b.images = image_own_folder(error);
    bool good = b.images && find_guest(&b, error);
    if (good) {
        g_autofree char *inputs = inputs_of(&b);
        b.work = g_strdup_printf("%s/.build-%s-%d", b.images, b.name, (int)getpid());
        b.place = g_build_filename(b.images, b.name, NULL);
        bool current = !options->refresh && is_up_to_date(&b, inputs);
        if (!current) {
            good = take_lock(&b, error);
            if (good) {
                remove_leftovers(&b);
                /* Another build may just have made it while we waited. */
                current = !options->refresh && is_up_to_date(&b, inputs);
            }
        }
        if (good && !current)
            good = build_image(&b, inputs, error);
        if (changed)
            *changed = good && !current;
    }
    build_clear(&b);
    if (!good)
        g_prefix_error(error, "building image %s: ", b.name);
    return good;
}
