/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Seeds of cloud-init: the CD, read back by a reader of its own; what stands in its files; texts that YAML or
 * a shell could take for something else.
 */
#include "netlab/iso9660.h"
#include "netlab/seed.h"

#include <glib/gstdio.h>
#include <string.h>

/* ---- the CD ---- */

enum { SECTOR = 2048 };

static guint32 both32(const guint8 *at)
{
    guint32 little = at[0] | (guint32)at[1] << 8 | (guint32)at[2] << 16 | (guint32)at[3] << 24;
    guint32 big = at[7] | (guint32)at[6] << 8 | (guint32)at[5] << 16 | (guint32)at[4] << 24;
    g_assert_cmpuint(little, ==, big);
    return little;
}

/* A field of the record's system use area; NULL: it has none. */
static const guint8 *find_field(const guint8 *record, const char *signature)
{
    const guint8 *at = record + 33 + record[32] + (record[32] & 1 ? 0 : 1), *end = record + record[0];
    while (end - at >= 4) {
        g_assert_cmpuint(at[2], >=, 4);
        g_assert_cmpint(at + at[2] - end, <=, 0);
        g_assert_cmpuint(at[3], ==, 1);
        if (memcmp(at, signature, 2) == 0)
            return at;
        at += at[2];
    }
    return NULL;
}

/* Everything that the standard asks for, and the file: its bytes, or NULL. Owned by the caller. */
static char *read_back(GBytes *bytes, const char *label, const char *name, guint *count)
{
    gsize size;
    const guint8 *image = g_bytes_get_data(bytes, &size), *volume = image + 16 * SECTOR;
    g_assert_cmpuint(size % SECTOR, ==, 0);
    g_assert_cmpint(memcmp(volume, "\1CD001\1", 7), ==, 0);
    g_assert_cmpint(memcmp(image + 17 * SECTOR, "\377CD001\1", 7), ==, 0);
    g_autofree char *padded = g_strdup_printf("%-32s", label);
    g_assert_cmpint(memcmp(volume + 40, padded, 32), ==, 0);
    g_assert_cmpuint(both32(volume + 80) * (gsize)SECTOR, ==, size);
    guint32 root = both32(volume + 156 + 2), little = volume[140] | (guint32)volume[141] << 8,
            big = volume[151] | (guint32)volume[150] << 8;
    g_assert_cmpuint(image[little * SECTOR + 2], ==, root);
    g_assert_cmpuint(image[big * SECTOR + 5], ==, root);
    const guint8 *folder = image + (gsize)root * SECTOR, *at = folder;
    g_assert_cmpuint(both32(folder + 10), ==, SECTOR);
    g_assert_nonnull(find_field(folder, "SP"));
    g_assert_nonnull(find_field(folder, "ER"));
    char *found = NULL;
    g_autofree char *before = g_strdup("");
    *count = 0;
    for (; at < folder + SECTOR && at[0]; at += at[0]) {
        g_assert_cmpuint(at[0] % 2, ==, 0);
        g_assert_nonnull(find_field(at, "PX"));
        if (at[25] & 2)
            continue;
        const guint8 *nm = find_field(at, "NM");
        g_assert_nonnull(nm);
        g_autofree char *called = g_strndup((const char *)nm + 5, nm[2] - 5u),
                        *id = g_strndup((const char *)at + 33, at[32]), *capitals = g_ascii_strup(called, -1),
                        *expected = g_strconcat(capitals, ";1", NULL);
        g_assert_cmpstr(id, ==, expected);
        g_assert_cmpint(strcmp(before, id), <, 0); /* sorted */
        g_free(before);
        before = g_strdup(id);
        guint32 start = both32(at + 2), length = both32(at + 10);
        g_assert_cmpuint((gsize)start * SECTOR + length, <=, size);
        if (g_str_equal(called, name))
            found = g_strndup((const char *)image + (gsize)start * SECTOR, length);
        ++*count;
    }
    return found;
}

static void test_iso(void)
{
    g_autofree char *large = g_strnfill(3 * SECTOR, 'x');
    const struct iso9660_file files[] = {{"user-data", "hello\n", 6, false},
                                         {"empty", NULL, 0, false},
                                         {"exact-sectors", large, 3 * SECTOR, false},
                                         {"a-name-of-twenty-seven-char", large, SECTOR + 1, true}};
    guint count;
    g_autoptr(GBytes) bytes = iso9660_write("cidata", files, G_N_ELEMENTS(files), NULL);
    g_assert_nonnull(bytes);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *text = read_back(bytes, "cidata", files[i].name, &count);
        g_assert_cmpuint(count, ==, G_N_ELEMENTS(files));
        g_assert_cmpuint(strlen(text), ==, files[i].size);
        g_assert_true(!files[i].size || memcmp(text, files[i].data, files[i].size) == 0);
    }
    g_autoptr(GBytes) again = iso9660_write("cidata", files, G_N_ELEMENTS(files), NULL);
    g_assert_true(g_bytes_equal(bytes, again));
    g_autoptr(GBytes) none = iso9660_write("", NULL, 0, NULL);
    g_autofree char *nothing = read_back(none, "", "x", &count);
    g_assert_null(nothing);
    g_assert_cmpuint(count, ==, 0);
    /* As many and as long as there may be fit into the folder's sector. */
    struct iso9660_file many[ISO9660_FILES_MOST + 1];
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; i <= ISO9660_FILES_MOST; i++) {
        g_ptr_array_add(names, g_strdup_printf("a-name-of-twenty-seven-cha%d", i));
        many[i] = (struct iso9660_file){names->pdata[i], "x", 1, false};
    }
    g_autoptr(GBytes) full = iso9660_write("x", many, ISO9660_FILES_MOST, NULL);
    g_autofree char *last = read_back(full, "x", many[ISO9660_FILES_MOST - 1].name, &count);
    g_assert_cmpstr(last, ==, "x");
    g_assert_cmpuint(count, ==, ISO9660_FILES_MOST);
    g_autoptr(GError) error = NULL;
    g_assert_null(iso9660_write("x", many, ISO9660_FILES_MOST + 1, &error));
    g_assert_nonnull(error);
    static const struct iso9660_file bad[][2] = {
        {{"UPPER", "", 0, false}, {"x", "", 0, false}},
        {{"a/b", "", 0, false}, {"x", "", 0, false}},
        {{"", "", 0, false}, {"x", "", 0, false}},
        {{"x", "", 0, false}, {"x", "", 0, false}},
        {{"a-name-of-twenty-eight-chars", "", 0, false}, {"x", "", 0, false}}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_null(iso9660_write("x", bad[i], 2, NULL));
}

/* ---- texts ---- */

static const char config[] = "hostname h1.example\n"
                             "interface 52:54:00:AB:00:01 eth0 10.1.0.1/24 fd00:1::1/64 mtu 1400\n"
                             "interface 52:54:00:ab:00:02 lan.7 dhcp mtu 1500\n"
                             "interface 52:54:00:ab:00:03 eth2 mtu 1500\n"
                             "interface 52:54:00:ab:00:04 eth3 10.2.0.1/31 mtu 1500\n"
                             "loopback 10.254.0.1/32\n"
                             "forwarding on\n"
                             "route 10.9.0.0/16 via 10.1.0.254\n"
                             "route default via 10.2.0.0\n"
                             "route default via fd00:1::fe\n"
                             "route 10.8.0.0/16 via 172.16.0.1\n"
                             "nameserver 10.2.0.0\n"
                             "nameserver 10.1.0.53\n"
                             "drive ide1-cd0\n"
                             "run echo 'it is' \"$HOME\"\n"
                             "run nameserver 1.2.3.4\n";

static void test_network(void)
{
    g_autofree char *text = seed_network_config(config);
    g_assert_cmpstr(
        text, ==,
        "{\"version\":2,\"ethernets\":{"
        "\"eth0\":{\"match\":{\"macaddress\":\"52:54:00:ab:00:01\"},\"set-name\":\"eth0\",\"addresses\":["
        "\"10.1.0.1/24\","
        "\"fd00:1::1/64\"],\"mtu\":1400,\"dhcp4\":false,\"dhcp6\":false,\"routes\":[{\"to\":\"10.9.0.0/"
        "16\",\"via\":"
        "\"10.1.0.254\"},{\"to\":\"::/0\",\"via\":\"fd00:1::fe\"}]},"
        "\"lan.7\":{\"match\":{\"macaddress\":\"52:54:00:ab:00:02\"},\"set-name\":\"lan.7\",\"mtu\":1500,"
        "\"dhcp4\":true,"
        "\"dhcp6\":false},"
        "\"eth2\":{\"match\":{\"macaddress\":\"52:54:00:ab:00:03\"},\"set-name\":\"eth2\",\"mtu\":1500,"
        "\"dhcp4\":false,"
        "\"dhcp6\":false},"
        "\"eth3\":{\"match\":{\"macaddress\":\"52:54:00:ab:00:04\"},\"set-name\":\"eth3\",\"addresses\":["
        "\"10.2.0.1/31\"],"
        "\"mtu\":1500,\"dhcp4\":false,\"dhcp6\":false,\"routes\":[{\"to\":\"0.0.0.0/"
        "0\",\"via\":\"10.2.0.0\"}],"
        "\"nameservers\":{\"addresses\":[\"10.2.0.0\",\"10.1.0.53\"]}}}}\n");
    g_autofree char *none = seed_network_config("hostname x\nnameserver 10.0.0.1\n");
    g_assert_cmpstr(none, ==, "{\"version\":2,\"ethernets\":{}}\n");
}

static JsonObject *cloud_init(const char *user, const char *key, const char *password)
{
    JsonObject *object = json_object_new();
    if (user) {
        g_autofree char *text = g_base64_encode((const guchar *)user, strlen(user));
        json_object_set_string_member(object, "user", text);
    }
    if (key) {
        JsonArray *keys = json_array_new();
        json_array_add_string_element(keys, key);
        json_object_set_array_member(object, "keys", keys);
    }
    if (password)
        json_object_set_string_member(object, "password", password);
    return object;
}

/* Only what YAML 1.1 takes, and the text is what it was. */
static void assert_safe(const char *yaml, const char *member, const char *expected)
{
    g_assert_true(g_utf8_validate(yaml, -1, NULL));
    for (const char *c = yaml; *c; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        g_assert_true(u == '\n' ? !c[1]
                                : u >= 0x20 && u != 0x7f && !(u >= 0x80 && u < 0xa0) && u != 0xfeff &&
                                      u != 0xfffe && u != 0xffff && u != 0x2028 && u != 0x2029);
    }
    g_autoptr(JsonNode) root = json_from_string(yaml, NULL);
    g_assert_nonnull(root);
    g_assert_cmpstr(json_object_get_string_member(json_node_get_object(root), member), ==, expected);
}

static void test_specials(void)
{
    static const char *const texts[] = {"plain",
                                        "a: b",
                                        "- item",
                                        "\"quoted\" 'twice'",
                                        "line\nbreak\r\n\ttab",
                                        "#comment",
                                        "yes",
                                        "null",
                                        "0x10",
                                        "{a: [b]}",
                                        "*alias &anchor !tag %directive @at `tick",
                                        "back\\slash",
                                        "\x01\x1f\x7f",
                                        "\xc2\x80\xc2\x85\xc2\x9f",
                                        "caf\xc3\xa9",
                                        "\xe2\x80\xa8\xe2\x80\xa9",
                                        "\xef\xbb\xbf",
                                        "\xf0\x9f\x98\x80",
                                        "---\n...",
                                        ""};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "x", texts[i]);
        JsonNode *root = json_node_init_object(json_node_alloc(), object);
        g_autofree char *yaml = seed_yaml(root);
        json_node_unref(root);
        json_object_unref(object);
        assert_safe(yaml, "x", texts[i]);
    }
}

static void test_meta(void)
{
    g_autoptr(JsonObject) cloud = cloud_init("#!/bin/sh\n", "ssh-ed25519 AAAA \"me\": #1", "p\"w");
    struct seed_input input = {.node = "h1", .config = config, .cloud_init = cloud};
    g_autofree char *meta = seed_meta_data(&input);
    assert_safe(meta, "local-hostname", "h1.example");
    g_assert_nonnull(strstr(meta, "\"public-keys\":[\"ssh-ed25519 AAAA \\\"me\\\": #1\"]"));
    /* The instance is the same until something changes that cloud-init does once. */
    static const char *const others[][3] = {{"#!/bin/sh\nx", "ssh-ed25519 AAAA \"me\": #1", "p\"w"},
                                            {"#!/bin/sh\n", "ssh-ed25519 BBBB", "p\"w"},
                                            {"#!/bin/sh\n", NULL, "p\"w"},
                                            {"#!/bin/sh\n", "ssh-ed25519 AAAA \"me\": #1", NULL},
                                            {NULL, "ssh-ed25519 AAAA \"me\": #1", "p\"w"}};
    g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_add(ids, g_strndup(meta, strcspn(meta, ",")));
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(JsonObject) other = cloud_init(others[i][0], others[i][1], others[i][2]);
        struct seed_input changed = {.node = "h1", .config = config, .cloud_init = other};
        g_autofree char *text = seed_meta_data(&changed);
        g_assert_true(g_hash_table_add(ids, g_strndup(text, strcspn(text, ","))));
    }
    g_autofree char *more = g_strconcat(config, "run date\n", NULL);
    struct seed_input same = {.node = "h1", .config = more, .cloud_init = cloud, .hosts = "10.0.0.1 x\n"};
    g_autofree char *text = seed_meta_data(&same);
    g_assert_cmpstr(text, ==, meta); /* commands and names are looked up at each start */
}

static void test_vendor(void)
{
    g_autoptr(JsonObject) cloud = cloud_init(NULL, NULL, "a: \"b\" #c\xc2\x85");
    struct seed_input input = {.node = "h1", .config = config, .cloud_init = cloud};
    g_autofree char *vendor = seed_vendor_data(&input);
    static const char header[] = "#cloud-config-archive\n";
    g_assert_true(g_str_has_prefix(vendor, header));
    g_autoptr(JsonNode) root = json_from_string(vendor + strlen(header), NULL);
    JsonArray *parts = json_node_get_array(root);
    g_assert_cmpuint(json_array_get_length(parts), ==, 2);
    JsonObject *settings = json_array_get_object_element(parts, 0),
               *script = json_array_get_object_element(parts, 1);
    g_assert_cmpstr(json_object_get_string_member(settings, "type"), ==, "text/cloud-config");
    const char *content = json_object_get_string_member(settings, "content");
    g_assert_true(g_str_has_prefix(content, "#cloud-config\n{"));
    assert_safe(strchr(content, '{'), "password", "a: \"b\" #c\xc2\x85");
    g_assert_cmpstr(json_object_get_string_member(script, "type"), ==, "text/x-shellscript");
    g_assert_true(g_str_has_prefix(json_object_get_string_member(script, "content"), "#!/bin/sh\n"));
    g_autoptr(JsonObject) nothing = cloud_init(NULL, NULL, NULL);
    input.cloud_init = nothing;
    g_autofree char *plain = seed_vendor_data(&input);
    g_assert_null(strstr(plain, "text/cloud-config"));
}

/* A shell reads it and does what it says, whatever names and contents there are. */
static void test_start(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("netlab-seed-XXXXXX", NULL);
    g_autofree char *files =
        g_strdup_printf("D 755 0 %s/it's\nF 750 6 %s/it's/a b$(x)\nEND\n\001\377L 777 3 %s/it's/l'k\na b"
                        "F 600 0 %s/empty\n",
                        folder, folder, folder, folder);
    g_autofree char *text =
        g_strdup_printf("hostname h1\nrun printf '%%s' \"it's \\$HOME\" >%s/one\nrun false\nrun eval "
                        "\"$(printf '%%b' 'echo two >%s/two\\necho three >%s/three')\"\n",
                        folder, folder, folder);
    g_autoptr(JsonObject) cloud = cloud_init(NULL, NULL, NULL);
    struct seed_input input = {.node = "h'1",
                               .config = text,
                               .cloud_init = cloud,
                               .files = (const guint8 *)files,
                               .files_size = strlen(files)};
    g_autofree char *script = seed_start(&input), *path = g_build_filename(folder, "start", NULL);
    g_assert_true(g_file_set_contents(path, script, -1, NULL));
    int status = -1;
    const char *argv[] = {"sh", path, NULL};
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                               &status, &error));
    g_assert_cmpint(status, ==, 0);
    static const char *const expected[][2] = {{"it's/a b$(x)", "END\n\001\377"},
                                              {"empty", ""},
                                              {"one", "it's $HOME"},
                                              {"two", "two\n"},
                                              {"three", "three\n"}};
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *name = g_build_filename(folder, expected[i][0], NULL), *is = NULL;
        g_assert_true(g_file_get_contents(name, &is, NULL, &error));
        g_assert_cmpstr(is, ==, expected[i][1]);
        g_unlink(name);
    }
    g_autofree char *link = g_build_filename(folder, "it's/l'k", NULL),
                    *target = g_file_read_link(link, NULL), *inner = g_build_filename(folder, "it's", NULL);
    g_assert_cmpstr(target, ==, "a b");
    g_unlink(link);
    g_rmdir(inner);
    g_unlink(path);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
    /* An archive that ends early ends there. */
    for (gsize cut = 0; cut < strlen(files); cut++) {
        input.files_size = cut;
        g_autofree char *part = seed_start(&input);
        g_assert_true(g_str_has_suffix(part, "exit 0\n"));
    }
}

static void test_make(void)
{
    g_autoptr(JsonObject) cloud = cloud_init("#cloud-config\npackages: [x]\n", NULL, NULL);
    struct seed_input input = {.node = "h1", .config = config, .cloud_init = cloud, .hosts = "10.1.0.1 h1\n"};
    guint count;
    g_autoptr(GBytes) bytes = seed_make(&input, NULL);
    g_autofree char *user = read_back(bytes, "cidata", "user-data", &count),
                    *hosts = read_back(bytes, "cidata", "hosts", &count),
                    *start = read_back(bytes, "cidata", "start", &count), *made = seed_start(&input);
    g_assert_cmpuint(count, ==, 6);
    g_assert_cmpstr(user, ==, "#cloud-config\npackages: [x]\n");
    g_assert_cmpstr(hosts, ==, "10.1.0.1 h1\n");
    g_assert_cmpstr(start, ==, made);
    g_autoptr(JsonObject) nothing = cloud_init(NULL, NULL, NULL);
    struct seed_input least = {.node = "h1", .config = "", .cloud_init = nothing};
    g_autoptr(GBytes) small = seed_make(&least, NULL);
    g_autofree char *standard = read_back(small, "cidata", "user-data", &count),
                    *meta = read_back(small, "cidata", "meta-data", &count);
    g_assert_cmpuint(count, ==, 5);
    g_assert_cmpstr(standard, ==, "#cloud-config\n{}\n");
    assert_safe(meta, "local-hostname", "h1");
    g_autoptr(JsonObject) blank = cloud_init("", NULL, NULL);
    least.cloud_init = blank;
    g_autoptr(GBytes) empty = seed_make(&least, NULL);
    g_autofree char *none = read_back(empty, "cidata", "user-data", &count);
    g_assert_cmpstr(none, ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/seed/iso", test_iso);
    g_test_add_func("/seed/network", test_network);
    g_test_add_func("/seed/specials", test_specials);
    g_test_add_func("/seed/meta", test_meta);
    g_test_add_func("/seed/vendor", test_vendor);
    g_test_add_func("/seed/start", test_start);
    g_test_add_func("/seed/make", test_make);
    return g_test_run();
}
