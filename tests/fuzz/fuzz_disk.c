/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes what netlab reads of disk and CD files: whatever the bytes, there is a chain of files that are
 * there, or one error. The first byte chooses how the input becomes a file: as it is, as the rest of a qcow2
 * header whose image below lies beside it, or as the volume descriptor of a CD.
 */
#include "netlab/disk.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz_main.h"

enum { FILE_SIZE = 0x9000, VOLUME = 0x8000 };

static char *folder;

static void clean(void)
{
    static const char *const names[] = {"file", "below"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        __builtin_trap();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t image[FILE_SIZE];
    if (!folder) {
        folder = g_dir_make_tmp("netlab-fuzz-disk-XXXXXX", NULL);
        atexit(clean);
        put("below", image, 512);
    }
    if (size == 0)
        return 0;
    unsigned shape = data[0] % 4;
    data++;
    size--;
    memset(image, 0, sizeof image);
    size_t at = shape == 2 ? VOLUME : 0, length = MIN(size, sizeof image - at);
    memcpy(image + at, data, length);
    if (shape == 1) {
        static const uint8_t head[] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 5};
        memcpy(image, head, sizeof head);
        memcpy(image + 0x200, "below", 5);
    } else if (shape == 2) {
        memcpy(image + VOLUME, "\1CD001", 6);
    }
    put("file", image, shape == 0 ? length : sizeof image);
    g_autofree char *path = g_build_filename(folder, "file", NULL);
    g_autoptr(GError) error = NULL, cd_error = NULL;
    g_autoptr(GPtrArray) chain = disk_chain(path, folder, shape == 3, &error);
    if ((chain != NULL) == (error != NULL) || (chain && (!chain->len || chain->len > DISK_DEPTH_MOST + 1)))
        __builtin_trap();
    for (guint i = 0; chain && i < chain->len; i++) {
        const struct disk_file *file = chain->pdata[i];
        if (!g_path_is_absolute(file->path) || !file->format || access(file->path, R_OK) != 0)
            __builtin_trap();
    }
    if (disk_check_cd(path, &cd_error) == (cd_error != NULL))
        __builtin_trap();
    return 0;
}

FUZZ_MAIN(2000, 1024)
