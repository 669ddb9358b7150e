/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Disks and CDs of nodes, of the grammar in topology_parse.h.
 *
 *   disk: debian.qcow2                                   a file; what is written goes with the machine
 *   disk: 2G                                             an empty one
 *   disk: [debian.qcow2, {file: data.img, size: 1G, persistent: true}]
 *   cdrom: debian.iso                                    or `empty`
 *   boot: cdrom                                          or disk, kernel
 *   cloud_init: {user_data: web.yml, ssh_keys: ~/.ssh/id_ed25519.pub, password: lab}      or true, web.yml
 *
 * What these mean together is netlab/topology_machine.c's, what the files are netlab/wanted_media.c's.
 */
#include "netlab/topology_parse_internal.h"

#include <string.h>

enum { MIB = 1 << 20, MOST_MIB = 2 << 20 };

static bool is_size_text(const char *text)
{
    size_t digits = strspn(text, "0123456789"), rest = strlen(text) - digits;
    static const char *const units[] = {"M", "MB", "MiB", "G", "GB", "GiB", "T", "TB", "TiB"};
    for (size_t i = 0; digits && rest && i < G_N_ELEMENTS(units); i++)
        if (g_ascii_strcasecmp(text + digits, units[i]) == 0)
            return true;
    return false;
}

static void read_size_text(struct parser *p, yaml_node_t *value, const char *text, struct topology_disk *disk)
{
    char *unit;
    guint64 number = g_ascii_strtoull(text, &unit, 10);
    guint64 factor = g_ascii_toupper(*unit) == 'T' ? 1024 * 1024 : g_ascii_toupper(*unit) == 'G' ? 1024 : 1;
    if (!is_size_text(text)) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is no size of a disk; write it like 512M, 2G or 1T", text);
    } else if (number == 0 || number > MOST_MIB / factor) {
        topology_complain(p->report, topology_mark_of(value), "a disk of %s is out of range; give 1M to %dT",
                          text, MOST_MIB >> 20);
    } else {
        disk->size = number * factor * MIB;
        disk->size_mark = topology_mark_of(value);
    }
}

static void read_size(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"size\"");
    if (text)
        read_size_text(p, value, text, target);
}

static void read_persistent(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_flag(p, value, key, target);
    ((struct topology_disk *)target)->persistent_mark = topology_mark_of(value);
}

static const struct key disk_keys[] = {
    MARKED_ROW("file", topology_read_string, offsetof(struct topology_disk, file),
               offsetof(struct topology_disk, mark), TOPOLOGY_TYPE_PATH,
               "raw or qcow2 file, relative to the topology file", .standard = "an empty disk of \"size\"",
               .example = "file: debian.qcow2", .mistake = "file: [a.img, b.img]"),
    FIELD_ROW("size", read_size, 0, TOPOLOGY_TYPE_DISK_SIZE,
              "of an empty disk, or of the file that is made when it is not there",
              .standard = "as large as the file is", .example = "size: 2G", .mistake = "size: 2"),
    FIELD_ROW("persistent", read_persistent, offsetof(struct topology_disk, persistent), TOPOLOGY_TYPE_FLAG,
              "true: what the guest writes stays, in the file; one machine at a time",
              .standard = "false: it goes with the machine",
              .example = "file: data.img, size: 1G, persistent: true",
              .mistake = "size: 1G, persistent: true"),
};
const struct mapping topology_mapping_disk = {
    .name = "disk",
    .what = "a disk",
    .keys = disk_keys,
    .count = G_N_ELEMENTS(disk_keys),
    .title = "Disks",
    .frame = "nodes:\n  h1:\n    disk: {@}\n",
};

static void read_disk(struct parser *p, yaml_node_t *value, GPtrArray *disks)
{
    struct topology_disk *disk = g_new0(struct topology_disk, 1);
    disk->mark = topology_mark_of(value);
    g_ptr_array_add(disks, disk);
    if (value->type == YAML_MAPPING_NODE) {
        guint before = p->report->complaints->len;
        topology_read_mapping(p, value, &topology_mapping_disk, "a disk", disk);
        if (p->report->complaints->len == before && !disk->file && !disk->size)
            topology_complain(p->report, disk->mark,
                              "the disk has neither \"file\" nor \"size\"; write {file: debian.qcow2} or "
                              "{size: 2G}");
        return;
    }
    const char *text = topology_scalar(p, value, "a disk");
    if (!text)
        return;
    if (is_size_text(text))
        read_size_text(p, value, text, disk);
    else if (strspn(text, "0123456789.") == strlen(text))
        topology_complain(
            p->report, disk->mark,
            "\"%s\" is neither a file nor the size of a disk; write a size like %sM or %sG, and a "
            "file of that name as ./%s",
            text, text, text, text);
    else
        disk->file = g_strdup(text);
}

void topology_read_disks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    GPtrArray **disks = FIELD(GPtrArray *, key, target);
    *(struct topology_mark *)((char *)target + key->mark) = topology_mark_of(value);
    g_clear_pointer(disks, g_ptr_array_unref);
    *disks = g_ptr_array_new_with_free_func(topology_disk_free);
    if (topology_is_null(value))
        return;
    if (value->type != YAML_SEQUENCE_NODE) {
        read_disk(p, value, *disks);
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++) {
        yaml_node_t *each = yaml_document_get_node(p->document, *item);
        if ((*disks)->len == TOPOLOGY_DISKS_MOST) {
            topology_complain(p->report, topology_mark_of(each), "a machine has room for %d disks and CDs",
                              TOPOLOGY_DISKS_MOST);
            return;
        }
        read_disk(p, each, *disks);
    }
}

void topology_read_cdrom(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"cdrom\"");
    if (!text)
        return;
    char **file = FIELD(char *, key, target);
    struct topology_machine *machine =
        (struct topology_machine *)((char *)file - offsetof(struct topology_machine, cdrom));
    machine->has_cdrom = true;
    machine->cdrom_mark = topology_mark_of(value);
    g_free(*file);
    *file = g_str_equal(text, "empty") ? NULL : g_strdup(text);
}

void topology_read_boot(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    static const char *const names[] = {
        [TOPOLOGY_BOOT_KERNEL] = "kernel", [TOPOLOGY_BOOT_DISK] = "disk", [TOPOLOGY_BOOT_CDROM] = "cdrom"};
    const char *text = topology_scalar(p, value, "\"boot\"");
    if (!text)
        return;
    *(struct topology_mark *)((char *)target + key->mark) = topology_mark_of(value);
    for (int i = TOPOLOGY_BOOT_KERNEL; i <= TOPOLOGY_BOOT_CDROM; i++) {
        if (g_str_equal(text, names[i])) {
            *FIELD(enum topology_boot, key, target) = (enum topology_boot)i;
            return;
        }
    }
    topology_complain(p->report, topology_mark_of(value),
                      "\"%s\" is nothing a machine starts from; write \"kernel\", \"disk\" or \"cdrom\"",
                      text);
}

/* ---- cloud-init ---- */

static void add_key(struct parser *p, yaml_node_t *value, GPtrArray *keys)
{
    enum { KEYS_MOST = 64 };
    const char *text = topology_scalar(p, value, "an SSH key");
    if (text && keys->len == KEYS_MOST) {
        topology_complain(p->report, topology_mark_of(value), "more than %d SSH keys; put them into one file",
                          KEYS_MOST);
    } else if (text) {
        struct topology_text *key = g_new0(struct topology_text, 1);
        key->text = g_strstrip(g_strdup(text));
        key->mark = topology_mark_of(value);
        g_ptr_array_add(keys, key);
    }
}

static void read_keys(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_cloud_init *cloud = target;
    g_clear_pointer(&cloud->keys, g_ptr_array_unref);
    cloud->keys = g_ptr_array_new_with_free_func(topology_text_free);
    if (value->type != YAML_SEQUENCE_NODE) {
        add_key(p, value, cloud->keys);
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++)
        add_key(p, yaml_document_get_node(p->document, *item), cloud->keys);
}

static const struct key cloud_init_keys[] = {
    MARKED_ROW("user_data", topology_read_string, offsetof(struct topology_cloud_init, user_data),
               offsetof(struct topology_cloud_init, user_data_mark), TOPOLOGY_TYPE_PATH,
               "a file that cloud-init gets as user-data, relative to the topology file",
               .standard = "an empty #cloud-config", .example = "user_data: web.yml",
               .mistake = "user_data: {packages: [nginx]}"),
    ROW("ssh_keys", read_keys, TOPOLOGY_TYPE_KEYS,
        "public keys of the image's user: keys, or files with keys",
        .example = "ssh_keys: ~/.ssh/id_ed25519.pub", .mistake = "ssh_keys: {me: id.pub}"),
    MARKED_ROW("password", topology_read_string, offsetof(struct topology_cloud_init, password),
               offsetof(struct topology_cloud_init, password_mark), TOPOLOGY_TYPE_VALUE,
               "of the image's user, for the console", .standard = "what the image has, most often none",
               .example = "password: lab", .mistake = "password: [lab]"),
};
const struct mapping topology_mapping_cloud_init = {
    .name = "cloud_init",
    .what = "\"cloud_init\"",
    .keys = cloud_init_keys,
    .count = G_N_ELEMENTS(cloud_init_keys),
    .title = "cloud-init",
    .frame = "nodes:\n  h1: {disk: debian.qcow2, cloud_init: {@}}\n",
    .may_be_empty = true,
};

/* A flag, a file, or a mapping. */
void topology_read_cloud_init(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    static const char *const yes[] = {"true", "yes", "on", NULL}, *const no[] = {"false", "no", "off", NULL};
    struct topology_cloud_init *cloud = FIELD(struct topology_cloud_init, key, target);
    cloud->mark = topology_mark_of(value);
    cloud->is_on = 1;
    if (value->type == YAML_MAPPING_NODE) {
        topology_read_mapping(p, value, &topology_mapping_cloud_init, "\"cloud_init\"", cloud);
        return;
    }
    const char *text = topology_scalar(p, value, "\"cloud_init\"");
    g_autofree char *small = g_ascii_strdown(text ? text : "", -1);
    if (g_strv_contains(no, small)) {
        cloud->is_on = 0;
    } else if (text && !g_strv_contains(yes, small)) {
        g_free(cloud->user_data);
        cloud->user_data = g_strdup(text);
        cloud->user_data_mark = cloud->mark;
    }
}

bool topology_check_yaml(const char *text, size_t length, unsigned *line, unsigned *column, char **why)
{
    yaml_parser_t yaml;
    yaml_document_t document;
    if (!yaml_parser_initialize(&yaml))
        return true;
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, length);
    bool good = yaml_parser_load(&yaml, &document) != 0;
    if (good) {
        yaml_document_delete(&document);
    } else {
        *line = (unsigned)yaml.problem_mark.line + 1;
        *column = (unsigned)yaml.problem_mark.column + 1;
        *why = g_strdup(yaml.problem ? yaml.problem : "unreadable");
    }
    yaml_parser_delete(&yaml);
    return good;
}
