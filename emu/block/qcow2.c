/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
#include "emu/block/image.h"

#include <gio/gio.h>

struct image *qcow2_new(struct block_file *file, bool discard, enum block_cache cache, unsigned depth,
                        GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                "%s: qcow2 images are not read yet; convert it, as by `qemu-img convert -O raw`", file->path);
    block_file_close(file);
    return NULL;
}
