/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Topologies: their memory, complaints about them, and the small values in them (IPv4 prefixes, MACs).
 */
#include "netlab/topology.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

G_DEFINE_QUARK(netlab - topology - error - quark, topology_error)

enum { MOST_COMPLAINTS = 20 };

struct topology_report *topology_report_new(const char *file, const char *text)
{
    struct topology_report *report = g_new0(struct topology_report, 1);
    report->file = g_strdup(file);
    report->lines = g_strsplit(text, "\n", -1);
    report->complaints = g_ptr_array_new_with_free_func(g_free);
    report->show_source = true;
    return report;
}

void topology_report_free(struct topology_report *report)
{
    if (!report)
        return;
    g_free(report->file);
    g_strfreev(report->lines);
    g_ptr_array_unref(report->complaints);
    g_free(report);
}

/* The source line with a caret below the place; tabs stay tabs so that the caret stands right. */
static void append_source(GString *out, const struct topology_report *report, struct topology_mark mark)
{
    if (mark.line == 0 || mark.line > g_strv_length(report->lines))
        return;
    const char *line = report->lines[mark.line - 1];
    if (!g_utf8_validate(line, -1, NULL) || strlen(line) > 200)
        return;
    g_autofree char *shown = g_strchomp(g_strdup(line));
    g_string_append_printf(out, "\n  %5u | %s\n        | ", mark.line, shown);
    const char *at = line;
    for (unsigned column = 1; column < mark.column && *at; column++, at = g_utf8_next_char(at))
        g_string_append_c(out, *at == '\t' ? '\t' : ' ');
    g_string_append_c(out, '^');
}

void topology_complain(struct topology_report *report, struct topology_mark mark, const char *format, ...)
{
    if (report->complaints->len >= MOST_COMPLAINTS)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    GString *out = g_string_new(report->file);
    if (mark.line)
        g_string_append_printf(out, ":%u:%u", mark.line, mark.column);
    g_string_append_printf(out, ": %s", text);
    if (report->show_source)
        append_source(out, report, mark);
    /* The same key can be looked at twice (defaults and nodes): say things once. */
    for (guint i = 0; i < report->complaints->len; i++) {
        if (g_str_equal(report->complaints->pdata[i], out->str)) {
            g_string_free(out, TRUE);
            return;
        }
    }
    g_ptr_array_add(report->complaints, g_string_free(out, FALSE));
}

bool topology_report_ok(const struct topology_report *report, GError **error)
{
    if (report->complaints->len == 0)
        return true;
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint i = 0; i < report->complaints->len; i++)
        g_string_append_printf(all, "%s%s", i ? "\n" : "", (char *)report->complaints->pdata[i]);
    g_set_error_literal(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID, all->str);
    return false;
}

static unsigned edit_distance(const char *a, const char *b)
{
    /* Optimal string alignment: insertion, deletion, substitution, transposition of neighbours. */
    size_t la = strlen(a), lb = strlen(b);
    if (la > 40 || lb > 40)
        return 100;
    unsigned d[42][42];
    for (size_t i = 0; i <= la; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= lb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= la; i++) {
        for (size_t j = 1; j <= lb; j++) {
            unsigned cost = g_ascii_tolower(a[i - 1]) != g_ascii_tolower(b[j - 1]);
            unsigned best = MIN(MIN(d[i - 1][j] + 1, d[i][j - 1] + 1), d[i - 1][j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[la][lb];
}

const char *topology_nearest(const char *typed, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    unsigned least = strlen(typed) <= 2 ? 1 : (unsigned)(strlen(typed) + 2) / 3;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = edit_distance(typed, names[i]);
        if (distance <= least && (!nearest || distance < least)) {
            nearest = names[i];
            least = distance;
        }
    }
    return nearest;
}

bool ipv4_parse(const char *text, struct ipv4_prefix *out)
{
    char address[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    struct in_addr binary;
    if (inet_pton(AF_INET, address, &binary) != 1)
        return false;
    uint8_t prefix = IPV4_NO_LENGTH;
    if (slash) {
        const char *digits = slash + 1;
        if (!g_ascii_isdigit(*digits) || strspn(digits, "0123456789") != strlen(digits) ||
            strlen(digits) > 2 || atoi(digits) > 32)
            return false;
        prefix = (uint8_t)atoi(digits);
    }
    out->address = ntohl(binary.s_addr);
    out->length = prefix;
    return true;
}

uint32_t ipv4_mask(unsigned length)
{
    return length == 0 ? 0 : ~0u << (32 - MIN(length, 32u));
}

char *ipv4_format(struct ipv4_prefix prefix)
{
    uint32_t a = prefix.address;
    if (prefix.length == IPV4_NO_LENGTH)
        return g_strdup_printf("%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
    return g_strdup_printf("%u.%u.%u.%u/%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, prefix.length);
}

bool ipv4_contains(struct ipv4_prefix subnet, uint32_t address)
{
    return ((subnet.address ^ address) & ipv4_mask(subnet.length)) == 0;
}

bool ipv4_overlaps(struct ipv4_prefix a, struct ipv4_prefix b)
{
    return ((a.address ^ b.address) & ipv4_mask(MIN(a.length, b.length))) == 0;
}

bool mac_parse(const char *text, uint8_t mac[6])
{
    uint8_t out[6];
    if (strlen(text) != 17)
        return false;
    for (int i = 0; i < 6; i++) {
        int high = g_ascii_xdigit_value(text[i * 3]), low = g_ascii_xdigit_value(text[i * 3 + 1]);
        if (high < 0 || low < 0 || (i < 5 && text[i * 3 + 2] != ':' && text[i * 3 + 2] != '-'))
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(mac, out, 6);
    return true;
}

char *mac_format(const uint8_t mac[6])
{
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

void topology_disk_free(void *data)
{
    struct topology_disk *disk = data;
    g_free(disk->file);
    g_free(disk);
}

void topology_text_free(void *data)
{
    struct topology_text *text = data;
    g_free(text->text);
    g_free(text);
}

static void machine_clear(struct topology_machine *machine)
{
    g_free(machine->image);
    g_free(machine->cpu);
    g_free(machine->kernel);
    g_free(machine->initrd);
    g_free(machine->append);
    g_free(machine->cdrom);
    if (machine->disks)
        g_ptr_array_unref(machine->disks);
    g_free(machine->cloud_init.user_data);
    g_free(machine->cloud_init.password);
    if (machine->cloud_init.keys)
        g_ptr_array_unref(machine->cloud_init.keys);
}

static void topology_line_clear(struct topology_line *line)
{
    for (int i = 0; i < TOPOLOGY_IMPAIRMENTS; i++)
        g_clear_pointer(&line->words[i], g_free);
}

static void network_free(void *data)
{
    struct topology_network *network = data;
    g_free(network->name);
    g_free(network->uplink_nic);
    topology_line_clear(&network->line);
    g_free(network->dhcp.domain);
    if (network->dhcp.options)
        g_ptr_array_unref(network->dhcp.options);
    if (network->forwards)
        g_ptr_array_unref(network->forwards);
    g_free(network);
}

static void nic_free(void *data)
{
    struct topology_nic *nic = data;
    if (!nic)
        return;
    topology_line_clear(&nic->line);
    g_free(nic->network_name);
    g_free(nic->interface);
    g_free(nic);
}

static void file_free(void *data)
{
    struct topology_file *file = data;
    g_free(file->path);
    g_free(file->source);
    g_free(file->text);
    g_free(file);
}

static void node_free(void *data)
{
    struct topology_node *node = data;
    g_free(node->name);
    g_free(node->hostname);
    machine_clear(&node->machine);
    g_ptr_array_unref(node->nics);
    g_ptr_array_unref(node->routes);
    g_ptr_array_unref(node->run);
    g_ptr_array_unref(node->files);
    g_free(node);
}

static void link_free(void *data)
{
    struct topology_link *link = data;
    for (int i = 0; i < 2; i++) {
        g_free(link->ends[i].node);
        nic_free(link->ends[i].nic);
    }
    if (link->network)
        network_free(link->network);
    g_free(link);
}

static void test_free(void *data)
{
    struct topology_test *test = data;
    g_free(test->name);
    g_free(test->node);
    for (int i = 0; i < TOPOLOGY_TEST_KINDS; i++)
        g_free(test->what[i]);
    char *const texts[] = {test->via,  test->interface, test->expect, test->match,
                           test->json, test->equals,    test->hint};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(test);
}

struct topology *topology_new(const char *file, const char *source)
{
    struct topology *topology = g_new0(struct topology, 1);
    topology->file = g_strdup(file);
    topology->directory = g_path_get_dirname(file);
    topology->source = g_strdup(source);
    topology->student = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    topology->defaults.forwarding = topology->defaults.cloud_init.is_on = -1;
    topology->networks = g_ptr_array_new_with_free_func(network_free);
    topology->nodes = g_ptr_array_new_with_free_func(node_free);
    topology->links = g_ptr_array_new_with_free_func(link_free);
    topology->tests = g_ptr_array_new_with_free_func(test_free);
    return topology;
}

struct topology_node *topology_node_new(const char *name, struct topology_mark mark)
{
    struct topology_node *node = g_new0(struct topology_node, 1);
    node->name = g_strdup(name);
    node->mark = mark;
    node->machine.forwarding = node->machine.cloud_init.is_on = -1;
    node->nics = g_ptr_array_new_with_free_func(nic_free);
    node->routes = g_ptr_array_new_with_free_func(g_free);
    node->run = g_ptr_array_new_with_free_func(g_free);
    node->files = g_ptr_array_new_with_free_func(file_free);
    return node;
}

void topology_free(struct topology *topology)
{
    if (!topology)
        return;
    g_free(topology->file);
    g_free(topology->directory);
    g_hash_table_unref(topology->student);
    g_free(topology->source);
    g_free(topology->name);
    machine_clear(&topology->defaults);
    g_ptr_array_unref(topology->networks);
    g_ptr_array_unref(topology->nodes);
    g_ptr_array_unref(topology->links);
    g_ptr_array_unref(topology->tests);
    g_free(topology);
}

struct topology_network *topology_find_network(const struct topology *topology, const char *name)
{
    for (guint i = 0; i < topology->networks->len; i++) {
        struct topology_network *network = topology->networks->pdata[i];
        if (g_str_equal(network->name, name))
            return network;
    }
    return NULL;
}

struct topology_node *topology_find_node(const struct topology *topology, const char *name)
{
    for (guint i = 0; i < topology->nodes->len; i++) {
        struct topology_node *node = topology->nodes->pdata[i];
        if (g_str_equal(node->name, name))
            return node;
    }
    return NULL;
}
