/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See media.h.
 */
#include "cli/media.h"
#include "netlab/channel.h"

JsonArray *cli_media_json(const struct lab_node_status *node)
{
    JsonArray *list = json_array_new();
    for (guint i = 0; i < node->media->len; i++) {
        const struct lab_medium_status *medium = node->media->pdata[i];
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "drive", medium->drive);
        json_object_set_string_member(object, "kind", medium->is_disk ? "disk" : "cdrom");
        if (medium->file)
            json_object_set_string_member(object, "file", medium->file);
        if (medium->format)
            json_object_set_string_member(object, "format", medium->format);
        if (medium->size)
            json_object_set_int_member(object, "size", (gint64)medium->size);
        if (medium->is_disk)
            json_object_set_boolean_member(object, "persistent", medium->is_persistent);
        json_object_set_string_member(object, "from",
                                      medium->is_image  ? "image"
                                      : medium->is_seed ? "cloud-init"
                                                        : "topology");
        json_array_add_object_element(list, object);
    }
    return list;
}

char *cli_medium_text(JsonObject *medium)
{
    bool is_disk = g_str_equal(channel_string(medium, "kind", ""), "disk");
    const char *file = channel_string(medium, "file", NULL);
    g_autofree char *size =
        g_format_size_full((guint64)channel_number(medium, "size", 0), G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *shown = file      ? cli_printable(file)
                             : is_disk ? g_strdup_printf("of %s, empty at each start", size)
                                       : g_strdup("drive, empty");
    if (g_str_equal(channel_string(medium, "from", ""), "cloud-init"))
        return g_strdup_printf("CD %s (cloud-init)", shown);
    if (!is_disk)
        return g_strdup_printf("CD %s", shown);
    return g_strdup_printf("disk %s (%s%s)", shown, file ? channel_string(medium, "format", "raw") : "",
                           channel_flag(medium, "persistent") ? ", persistent"
                           : file                             ? ", writes go with the machine"
                                                              : "writes go with the machine");
}
