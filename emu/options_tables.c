/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of -acpitable and -smbios. Files are read when the machine is built.
 */
#include "emu/options_internal.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

enum { TABLES_MOST = 64, TEXT_MOST = 255 };

/* ---- -acpitable ---- */

static const struct keyval_row acpi_rows[] = {
    {"sig", KEYVAL_STRING, .help = "signature, four characters"},
    {"rev", KEYVAL_NUMBER, .help = "revision", .max = 255},
    {"oem_id", KEYVAL_STRING, .help = "six characters"},
    {"oem_table_id", KEYVAL_STRING, .help = "eight characters"},
    {"oem_rev", KEYVAL_NUMBER, .help = "revision of the OEM's", .max = UINT32_MAX},
    {"asl_compiler_id", KEYVAL_STRING, .help = "four characters"},
    {"asl_compiler_rev", KEYVAL_NUMBER, .help = "revision of the compiler", .max = UINT32_MAX},
    {"file", KEYVAL_PATH, .help = "FILE[:FILE…] with the whole table, its header first"},
    {"data", KEYVAL_PATH, .help = "the same without the header"},
};
const struct keyval_table option_acpi_table = {"", acpi_rows, G_N_ELEMENTS(acpi_rows), NULL};

static bool take_id(const struct keyval *kv, const char *key, size_t most, char **out, GError **error)
{
    const char *text = keyval_string(kv, key, NULL);
    if (text && strlen(text) > most)
        return option_fail(error, "%s=%s: at most %zu characters", key, text, most);
    *out = g_strdup(text);
    return true;
}

bool option_acpitable(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help")) {
        GString *text = g_string_new("Keys of -acpitable:\n");
        keyval_describe(&option_acpi_table, text);
        return option_print(o, text);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_acpi_table, arg, error);
    if (!kv)
        return false;
    if (keyval_has(kv, "file") == keyval_has(kv, "data"))
        return option_fail(error, "give one of file= (a table with its header) and data= (one without)");
    if (o->config->acpi_tables->len == TABLES_MOST)
        return option_fail(error, "more than %d tables", TABLES_MOST);
    struct machine_acpi_table *table = g_new0(struct machine_acpi_table, 1);
    g_ptr_array_add(o->config->acpi_tables, table);
    table->whole = keyval_has(kv, "file");
    table->files = g_strdup(keyval_string(kv, table->whole ? "file" : "data", NULL));
    table->has_revision = keyval_has(kv, "rev");
    table->revision = (uint8_t)keyval_number(kv, "rev", 0);
    table->has_oem_revision = keyval_has(kv, "oem_rev");
    table->oem_revision = (uint32_t)keyval_number(kv, "oem_rev", 0);
    table->has_compiler_revision = keyval_has(kv, "asl_compiler_rev");
    table->compiler_revision = (uint32_t)keyval_number(kv, "asl_compiler_rev", 0);
    return take_id(kv, "sig", 4, &table->signature, error) &&
           take_id(kv, "oem_id", 6, &table->oem_id, error) &&
           take_id(kv, "oem_table_id", 8, &table->oem_table_id, error) &&
           take_id(kv, "asl_compiler_id", 4, &table->compiler_id, error);
}

/* ---- -smbios ---- */

/* Every text field there is, by type. */
static const struct {
    uint8_t type;
    const char *key;
    enum smbios_text which;
} texts[] = {
    {0, "vendor", SMBIOS_BIOS_VENDOR},
    {0, "version", SMBIOS_BIOS_VERSION},
    {0, "date", SMBIOS_BIOS_DATE},
    {1, "manufacturer", SMBIOS_SYSTEM_MANUFACTURER},
    {1, "product", SMBIOS_SYSTEM_PRODUCT},
    {1, "version", SMBIOS_SYSTEM_VERSION},
    {1, "serial", SMBIOS_SYSTEM_SERIAL},
    {1, "sku", SMBIOS_SYSTEM_SKU},
    {1, "family", SMBIOS_SYSTEM_FAMILY},
    {2, "manufacturer", SMBIOS_BOARD_MANUFACTURER},
    {2, "product", SMBIOS_BOARD_PRODUCT},
    {2, "version", SMBIOS_BOARD_VERSION},
    {2, "serial", SMBIOS_BOARD_SERIAL},
    {2, "asset", SMBIOS_BOARD_ASSET},
    {2, "location", SMBIOS_BOARD_LOCATION},
    {3, "manufacturer", SMBIOS_CHASSIS_MANUFACTURER},
    {3, "version", SMBIOS_CHASSIS_VERSION},
    {3, "serial", SMBIOS_CHASSIS_SERIAL},
    {3, "asset", SMBIOS_CHASSIS_ASSET},
    {3, "sku", SMBIOS_CHASSIS_SKU},
    {4, "sock_pfx", SMBIOS_CPU_SOCKET},
    {4, "manufacturer", SMBIOS_CPU_MANUFACTURER},
    {4, "version", SMBIOS_CPU_VERSION},
    {4, "serial", SMBIOS_CPU_SERIAL},
    {4, "asset", SMBIOS_CPU_ASSET},
    {4, "part", SMBIOS_CPU_PART},
    {17, "loc_pfx", SMBIOS_MEMORY_LOCATOR},
    {17, "bank", SMBIOS_MEMORY_BANK},
    {17, "manufacturer", SMBIOS_MEMORY_MANUFACTURER},
    {17, "serial", SMBIOS_MEMORY_SERIAL},
    {17, "asset", SMBIOS_MEMORY_ASSET},
    {17, "part", SMBIOS_MEMORY_PART},
};
_Static_assert(G_N_ELEMENTS(texts) == SMBIOS_TEXTS, "every field has a key");

/* The keys of a type: "type", its texts, and those that are no text. */
static struct keyval_table make_table(uint64_t type, struct keyval_row rows[16])
{
    size_t count = 0;
    rows[count++] = (struct keyval_row){"type", KEYVAL_NUMBER};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i].type == type)
            rows[count++] = (struct keyval_row){texts[i].key, KEYVAL_STRING, .help = "a text"};
    if (type == 0) {
        rows[count++] = (struct keyval_row){"release", KEYVAL_STRING, .help = "MAJOR.MINOR"};
        rows[count++] = (struct keyval_row){"uefi", KEYVAL_BOOL, .help = "says it is UEFI"};
    }
    if (type == 1)
        rows[count++] = (struct keyval_row){"uuid", KEYVAL_STRING, .help = "as -uuid"};
    if (type == 17)
        rows[count++] = (struct keyval_row){"speed", KEYVAL_NUMBER, .help = "MHz", .max = 65535};
    return (struct keyval_table){"", rows, count, NULL};
}

static bool is_known_type(uint64_t type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i].type == type)
            return true;
    return false;
}

static bool take_texts(struct options *o, const struct keyval *kv, uint64_t type, GError **error)
{
    struct smbios_words *words = &o->config->smbios;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (texts[i].type != type || !keyval_has(kv, texts[i].key))
            continue;
        const char *text = keyval_string(kv, texts[i].key, "");
        if (strlen(text) > TEXT_MOST)
            return option_fail(error, "%s=: more than %d bytes", texts[i].key, TEXT_MOST);
        g_free(words->text[texts[i].which]);
        words->text[texts[i].which] = g_strdup(text);
    }
    return true;
}

bool option_smbios(struct options *o, const char *arg, GError **error)
{
    struct smbios_words *words = &o->config->smbios;
    struct keyval_row rows[16];
    if (g_str_has_prefix(arg, "file=")) {
        static const struct keyval_row file_rows[] = {{"file", KEYVAL_PATH}};
        static const struct keyval_table file_table = {"", file_rows, 1, NULL};
        KEYVAL_AUTO struct keyval *kv = keyval_parse(&file_table, arg, error);
        if (kv && o->config->smbios_files->len == TABLES_MOST)
            return option_fail(error, "more than %d files", TABLES_MOST);
        if (kv)
            g_ptr_array_add(o->config->smbios_files, g_strdup(keyval_string(kv, "file", NULL)));
        return kv != NULL;
    }
    g_autoptr(GPtrArray) split = keyval_split(arg);
    uint64_t type = G_MAXUINT64;
    for (guint i = 0; i < split->len; i++)
        if (g_str_has_prefix(split->pdata[i], "type=") &&
            !keyval_parse_number("type", (char *)split->pdata[i] + strlen("type="), 0, 255, &type, error))
            return false;
    if (!is_known_type(type))
        return option_fail(error, "give file=FILE, or type= of 0 (BIOS), 1 (system), 2 (board), 3 (chassis), "
                                  "4 (processor) and 17 (memory)");
    struct keyval_table table = make_table(type, rows);
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&table, arg, error);
    if (!kv || !take_texts(o, kv, type, error))
        return false;
    words->given[type] = true;
    if (type == 0 && keyval_has(kv, "release")) {
        unsigned major, minor;
        char tail;
        const char *text = keyval_string(kv, "release", "");
        if (sscanf(text, "%3u.%3u%c", &major, &minor, &tail) != 2 || major > 255 || minor > 255)
            return option_fail(error, "release=%s: wanted MAJOR.MINOR, each up to 255", text);
        words->release[0] = (uint8_t)major;
        words->release[1] = (uint8_t)minor;
        words->has_release = true;
    }
    if (type == 0)
        words->uefi = keyval_bool(kv, "uefi", words->uefi);
    if (type == 17)
        words->speed = (uint16_t)keyval_number(kv, "speed", words->speed);
    return type != 1 || !keyval_has(kv, "uuid") || option_uuid(o, keyval_string(kv, "uuid", ""), error);
}
