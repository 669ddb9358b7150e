/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Folders, sockets and made-up names; see paths.h.
 */
#include "netlab/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char *from_environment(const char *variable)
{
    const char *value = g_getenv(variable);
    return value && *value ? g_canonicalize_filename(value, NULL) : NULL;
}

char *paths_state_directory(void)
{
    char *directory = from_environment("NETLAB_STATE_DIR");
    if (directory)
        return directory;
    if (geteuid() == 0)
        return g_strdup("/var/lib/netlab");
    return g_build_filename(g_get_user_state_dir(), "netlab", NULL);
}

char *paths_runtime_directory(void)
{
    char *directory = from_environment("NETLAB_RUNTIME_DIR");
    if (directory)
        return directory;
    if (geteuid() == 0)
        return g_strdup("/run/netlab");
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    if (runtime && g_path_is_absolute(runtime) && access(runtime, W_OK | X_OK) == 0)
        return g_build_filename(runtime, "netlab", NULL);
    g_autofree char *state = paths_state_directory();
    return g_build_filename(state, "run", NULL);
}

char *paths_lab_directory(const char *runtime, const char *lab)
{
    return g_build_filename(runtime, lab, NULL);
}

char *paths_node_directory(const char *runtime, const char *lab, const char *node)
{
    return g_build_filename(runtime, lab, node, NULL);
}

static guint64 hash_names(unsigned uid, char kind, const char *lab, const char *key)
{
    g_autofree char *seed = g_strdup_printf("%u\n%c\n%s\n%s", uid, kind, lab, key);
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(hash, (const guchar *)seed, -1);
    guint8 digest[32];
    gsize length = sizeof digest;
    g_checksum_get_digest(hash, digest, &length);
    guint64 bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | digest[i];
    return bits;
}

char *names_interface(char kind, unsigned uid, const char *lab, const char *key)
{
    static const char alphabet[33] = "abcdefghijklmnopqrstuvwxyz234567";
    guint64 bits = hash_names(uid, kind, lab, key);
    char name[14] = {'n', 'l', kind};
    for (int i = 3; i < 13; i++, bits >>= 5)
        name[i] = alphabet[bits & 31];
    return g_strdup(name);
}

uint32_t names_group(unsigned uid, const char *lab)
{
    return 0x40000000 | (uint32_t)(hash_names(uid, 'g', lab, "") & 0x3fffffff);
}

char *names_alternative(const char *lab, const char *human, bool own_namespace)
{
    char *name = own_namespace ? g_strdup(human) : g_strdup_printf("%s.%s", lab, human);
    for (char *c = name; *c; c++) {
        if (*c == ':' || *c == '/' || *c == '%' || g_ascii_isspace(*c))
            *c = '.';
    }
    return name;
}

/* Fills `address`; when the path is too long through *folder (an fd the caller closes, else -1). */
static bool socket_address(const char *path, struct sockaddr_un *address, int *folder)
{
    *folder = -1;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) < sizeof address->sun_path) {
        strcpy(address->sun_path, path);
        return true;
    }
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    *folder = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder < 0)
        return false;
    int length = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *folder, name);
    if (length < (int)sizeof address->sun_path)
        return true;
    close(*folder);
    *folder = -1;
    errno = ENAMETOOLONG;
    return false;
}

int paths_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat found;
    /* The folder may be a machine's own: what is connected to is what was looked at, and no symbolic link. */
    int target = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        return -1;
    int fd = -1;
    if (fstat(target, &found) != 0 || !S_ISSOCK(found.st_mode))
        errno = ENOTSOCK;
    else
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", target);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int cause = errno;
        close(fd);
        fd = -1;
        errno = cause;
    }
    int cause = errno;
    close(target);
    errno = cause;
    return fd;
}

int paths_listen(const char *path)
{
    struct sockaddr_un address;
    int folder;
    if (!socket_address(path, &address, &folder))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(address.sun_path);
    mode_t mask = umask(0177);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0)) {
        int cause = errno;
        close(fd);
        fd = -1;
        errno = cause;
    }
    int cause = errno;
    umask(mask);
    if (folder >= 0)
        close(folder);
    errno = cause;
    return fd;
}

char *paths_self(void)
{
    return g_file_read_link("/proc/self/exe", NULL);
}

char *paths_emulator(GError **error)
{
    const char *given = g_getenv("NETLAB_EMU");
    if (given && *given) {
        char *found = g_find_program_in_path(given);
        if (!found)
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        "NETLAB_EMU=%s is not a program that can be run; correct or unset it", given);
        return found;
    }
    g_autofree char *self = paths_self();
    if (self) {
        g_autofree char *directory = g_path_get_dirname(self);
        g_autofree char *beside = g_build_filename(directory, "netlab-emu", NULL);
        if (access(beside, X_OK) == 0)
            return g_steal_pointer(&beside);
    }
    char *found = g_find_program_in_path("netlab-emu");
    if (!found)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "the emulator netlab-emu is neither beside netlab nor in PATH; build it, or set "
                    "NETLAB_EMU to it");
    return found;
}

char *paths_dnsmasq(GError **error)
{
    static const char *const places[] = {"dnsmasq", "/usr/sbin/dnsmasq", "/usr/local/sbin/dnsmasq"};
    const char *given = g_getenv("NETLAB_DNSMASQ");
    if (given && *given) {
        char *found = g_find_program_in_path(given);
        if (!found)
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        "NETLAB_DNSMASQ=%s is not a program that can be run; correct or unset it", given);
        return found;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        char *found = g_find_program_in_path(places[i]);
        if (found)
            return found;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                "dnsmasq, which serves addresses and names on networks with \"dhcp\", is not installed; `apt "
                "install dnsmasq-base`, or set NETLAB_DNSMASQ to it");
    return NULL;
}
