/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See import.h: which kind of lab it is, the model that readers fill, and the way from there to a folder.
 */
#include "netlab/caller.h"
#include "netlab/import_internal.h"
#include "netlab/topology_parse.h"
#include "netlab/topology_six.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(import - error - quark, import_error)

static const char *const kind_names[] = {
    [IMPORT_UNKNOWN] = "unknown",
    [IMPORT_CONTAINERLAB] = "containerlab",
    [IMPORT_KATHARA] = "kathara",
    [IMPORT_IPSPACE] = "ipspace",
};
static const char *const level_names[] = {
    [IMPORT_MAPPED] = "mapped",
    [IMPORT_APPROXIMATED] = "approximated",
    [IMPORT_LEFT] = "left out",
};
G_STATIC_ASSERT(G_N_ELEMENTS(level_names) == IMPORT_LEVELS);

enum import_kind import_kind_by_name(const char *word)
{
    for (int kind = IMPORT_CONTAINERLAB; kind <= IMPORT_IPSPACE; kind++)
        if (g_ascii_strcasecmp(word, kind_names[kind]) == 0)
            return (enum import_kind)kind;
    return IMPORT_UNKNOWN;
}

const char *import_kind_name(enum import_kind kind)
{
    return kind_names[kind];
}

const char *import_level_name(enum import_level level)
{
    return level_names[level];
}

/* ---- the report ---- */

static void note_free(void *data)
{
    struct import_note *note = data;
    g_free(note->file);
    g_free(note->what);
    g_free(note->how);
    g_free(note);
}

static struct import_report *report_new(void)
{
    struct import_report *report = g_new0(struct import_report, 1);
    report->notes = g_ptr_array_new_with_free_func(note_free);
    return report;
}

void import_report_free(struct import_report *report)
{
    if (!report)
        return;
    g_ptr_array_unref(report->notes);
    g_free(report->name);
    g_free(report->topology);
    g_free(report->folder);
    g_free(report);
}

void import_note(struct import_lab *lab, enum import_level level, struct topology_mark mark, const char *what,
                 const char *format, ...)
{
    struct import_report *report = lab->report;
    report->counts[level]++;
    if (report->notes->len >= IMPORT_NOTES_MOST)
        return;
    va_list arguments;
    va_start(arguments, format);
    struct import_note *note = g_new0(struct import_note, 1);
    note->how = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    note->level = level;
    note->file = g_strdup(lab->shown);
    note->mark = mark;
    note->what = g_strdup(what);
    g_ptr_array_add(report->notes, note);
}

/* ---- the model ---- */

static void nic_free(void *data)
{
    struct import_nic *nic = data;
    g_free(nic->interface);
    g_free(nic->mac);
    g_free(nic->address);
    g_free(nic->address6);
    g_free(nic);
}

static void file_free(void *data)
{
    struct import_file *file = data;
    g_free(file->data);
    g_free(file);
}

static void node_free(void *data)
{
    struct import_node *node = data;
    g_free(node->name);
    g_free(node->source_name);
    g_free(node->source_image);
    g_free(node->restart);
    g_free(node->loopback);
    g_ptr_array_unref(node->nics);
    g_ptr_array_unref(node->run);
    g_ptr_array_unref(node->addresses);
    g_free(node->gateway);
    g_hash_table_unref(node->files);
    g_free(node);
}

static void segment_free(void *data)
{
    struct import_segment *segment = data;
    g_free(segment->name);
    g_free(segment->subnet);
    g_free(segment->subnet6);
    g_free(segment->dns);
    g_ptr_array_unref(segment->forwards);
    g_ptr_array_unref(segment->line);
    g_free(segment);
}

struct import_lab *import_lab_new(struct import_report *report, const char *shown, int folder)
{
    struct import_lab *lab = g_new0(struct import_lab, 1);
    lab->report = report;
    lab->shown = g_intern_string(shown);
    lab->folder = folder;
    lab->folder_shown = g_path_get_dirname(shown);
    lab->nodes = g_ptr_array_new_with_free_func(node_free);
    lab->segments = g_ptr_array_new_with_free_func(segment_free);
    return lab;
}

void import_lab_free(struct import_lab *lab)
{
    g_ptr_array_unref(lab->nodes);
    g_ptr_array_unref(lab->segments);
    g_free(lab->folder_shown);
    g_free(lab->name);
    g_free(lab->comment);
    g_free(lab);
}

char *import_clean_name(const char *name, const char *others, size_t most)
{
    GString *out = g_string_new(NULL);
    for (const char *c = name; *c && out->len < most; c++) {
        if (g_ascii_isalnum(*c) || (strchr(others, *c) && out->len))
            g_string_append_c(out, *c);
        else if (out->len && strchr(others, '-') && out->str[out->len - 1] != '-')
            g_string_append_c(out, '-');
    }
    while (out->len && !g_ascii_isalnum(out->str[out->len - 1]))
        g_string_truncate(out, out->len - 1);
    if (!out->len)
        g_string_append(out, "x");
    return g_string_free(out, FALSE);
}

/* `name`, or with a number that makes it unlike all that are there. */
static char *free_name(char *name, size_t most, bool (*taken)(const struct import_lab *, const char *),
                       const struct import_lab *lab)
{
    for (unsigned i = 2; taken(lab, name); i++) {
        g_autofree char *number = g_strdup_printf("-%u", i);
        g_autofree char *stem = g_strndup(name, MIN(strlen(name), most - strlen(number)));
        g_autofree char *candidate = g_strconcat(stem, number, NULL);
        if (!taken(lab, candidate)) {
            g_free(name);
            return g_steal_pointer(&candidate);
        }
    }
    return name;
}

static bool is_node_name(const struct import_lab *lab, const char *name)
{
    for (guint i = 0; i < lab->nodes->len; i++)
        if (g_ascii_strcasecmp(((struct import_node *)lab->nodes->pdata[i])->name, name) == 0)
            return true;
    /* Files that the lab's folder has besides the nodes' own. */
    return g_ascii_strcasecmp(name, "topology.yml") == 0;
}

static bool is_segment_name(const struct import_lab *lab, const char *name)
{
    return import_segment_find(lab, name) != NULL;
}

struct import_node *import_node_find(const struct import_lab *lab, const char *source_name)
{
    for (guint i = 0; i < lab->nodes->len; i++)
        if (g_str_equal(((struct import_node *)lab->nodes->pdata[i])->source_name, source_name))
            return lab->nodes->pdata[i];
    return NULL;
}

struct import_node *import_node_add(struct import_lab *lab, const char *name, struct topology_mark mark)
{
    g_autofree char *what = g_strdup_printf("node %s", name);
    if (lab->nodes->len >= IMPORT_NODES_MOST) {
        import_note(lab, IMPORT_LEFT, mark, what, "more than %d nodes", IMPORT_NODES_MOST);
        return NULL;
    }
    struct import_node *node = g_new0(struct import_node, 1);
    node->source_name = g_strdup(name);
    node->name = free_name(import_clean_name(name, "-", 63), 63, is_node_name, lab);
    node->mark = mark;
    node->image = "host";
    node->forwarding = -1;
    node->nics = g_ptr_array_new_with_free_func(nic_free);
    node->run = g_ptr_array_new_with_free_func(g_free);
    node->addresses = g_ptr_array_new_with_free_func(g_free);
    node->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, file_free);
    g_ptr_array_add(lab->nodes, node);
    if (!g_str_equal(node->name, name))
        import_note(lab, IMPORT_APPROXIMATED, mark, what,
                    "is called %s here: names are host names (letters, digits, hyphens)", node->name);
    return node;
}

struct import_segment *import_segment_find(const struct import_lab *lab, const char *name)
{
    for (guint i = 0; i < lab->segments->len; i++)
        if (g_str_equal(((struct import_segment *)lab->segments->pdata[i])->name, name))
            return lab->segments->pdata[i];
    return NULL;
}

struct import_segment *import_segment_add(struct import_lab *lab, const char *name, struct topology_mark mark)
{
    if (lab->segments->len >= 2 * IMPORT_NODES_MOST) {
        import_note(lab, IMPORT_LEFT, mark, name, "more than %d networks", 2 * IMPORT_NODES_MOST);
        return NULL;
    }
    struct import_segment *segment = g_new0(struct import_segment, 1);
    segment->name = free_name(import_clean_name(name, "-_.", 32), 32, is_segment_name, lab);
    segment->mark = mark;
    segment->forwards = g_ptr_array_new_with_free_func(g_free);
    segment->line = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(lab->segments, segment);
    return segment;
}

struct import_segment *import_outside(struct import_lab *lab, const char *name, struct topology_mark mark)
{
    for (guint i = 0; i < lab->segments->len; i++) {
        struct import_segment *segment = lab->segments->pdata[i];
        if (segment->is_outside)
            return segment;
    }
    struct import_segment *segment = import_segment_add(lab, name, mark);
    if (segment)
        segment->is_outside = segment->numbers_itself = true;
    return segment;
}

struct import_nic *import_nic_find(const struct import_node *node, const char *interface)
{
    for (guint i = 0; i < node->nics->len; i++)
        if (g_str_equal(((struct import_nic *)node->nics->pdata[i])->interface, interface))
            return node->nics->pdata[i];
    return NULL;
}

struct import_nic *import_nic_add(struct import_lab *lab, struct import_node *node,
                                  struct import_segment *segment, const char *interface,
                                  struct topology_mark mark)
{
    g_autofree char *what = g_strdup_printf("node %s: interface %s", node->name, interface);
    g_autofree char *name = import_clean_name(interface, "-_.", 15);
    if (g_str_equal(name, "lo") || import_nic_find(node, name) || node->nics->len >= TOPOLOGY_NICS_MOST) {
        import_note(lab, IMPORT_LEFT, mark, what,
                    node->nics->len >= TOPOLOGY_NICS_MOST ? "a machine has room for %d"
                                                          : "there is one of that name already",
                    TOPOLOGY_NICS_MOST);
        return NULL;
    }
    if (!g_str_equal(name, interface))
        import_note(lab, IMPORT_APPROXIMATED, mark, what, "is called %s here", name);
    struct import_nic *nic = g_new0(struct import_nic, 1);
    nic->segment = segment;
    nic->interface = g_steal_pointer(&name);
    g_ptr_array_add(node->nics, nic);
    return nic;
}

static bool is_mac_taken(const struct import_lab *lab, const char *mac)
{
    for (guint n = 0; n < lab->nodes->len; n++) {
        const struct import_node *node = lab->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++)
            if (g_strcmp0(((const struct import_nic *)node->nics->pdata[i])->mac, mac) == 0)
                return true;
    }
    return false;
}

void import_nic_mac(struct import_lab *lab, struct import_node *node, struct import_nic *nic, const char *mac,
                    struct topology_mark mark)
{
    static const uint8_t zero[6];
    uint8_t bytes[6];
    g_autofree char *what = g_strdup_printf("node %s: %s, MAC address %s", node->name, nic->interface, mac);
    if (!mac_parse(mac, bytes) || (bytes[0] & 1) || memcmp(bytes, zero, sizeof bytes) == 0) {
        import_note(lab, IMPORT_LEFT, mark, what, "not one that a NIC can have");
        return;
    }
    g_autofree char *text = mac_format(bytes);
    if (!is_mac_taken(lab, text)) {
        nic->mac = g_steal_pointer(&text);
        return;
    }
    g_autofree char *command = g_strdup_printf("ip link set %s address %s", nic->interface, text);
    if (import_run(lab, node, command, mark, what))
        import_note(lab, IMPORT_APPROXIMATED, mark, what, "another NIC has it; run: %s", command);
}

static bool is_address_taken(const struct import_lab *lab, const struct import_segment *segment,
                             const char *address)
{
    size_t length = strcspn(address, "/");
    for (guint n = 0; n < lab->nodes->len; n++) {
        const struct import_node *node = lab->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            const struct import_nic *nic = node->nics->pdata[i];
            const char *theirs[] = {nic->address, nic->address6};
            for (int k = 0; k < 2; k++)
                if (nic->segment == segment && theirs[k] && strncmp(theirs[k], address, length) == 0 &&
                    (theirs[k][length] == '/' || !theirs[k][length]))
                    return true;
        }
    }
    return false;
}

bool import_nic_address(struct import_lab *lab, struct import_node *node, const char *interface,
                        const char *address)
{
    struct import_nic *nic = import_nic_find(node, interface);
    struct ipv4_prefix four;
    struct ipv6_prefix six;
    if (!nic || nic->segment->numbers_itself || is_address_taken(lab, nic->segment, address))
        return false;
    if (ipv4_parse(address, &four)) {
        uint32_t first = four.address >> 24, mask = four.length <= 32 ? ipv4_mask(four.length) : 0;
        if (nic->address || four.length > 32 || four.length < 1 || first == 0 || first == 127 ||
            first >= 224 || (four.length <= 30 && (!(four.address & ~mask) || (four.address | mask) == ~0u)))
            return false;
        nic->address = ipv4_format(four);
    } else if (ipv6_parse(address, &six)) {
        if (nic->address6 || six.length > 127 || six.length < 16 || six.bytes[0] >= 0xfe)
            return false;
        nic->address6 = g_strdup(address);
    } else {
        return false;
    }
    g_ptr_array_add(node->addresses, g_strdup_printf("ip address replace %s dev %s", address, interface));
    return true;
}

void import_unlift(struct import_lab *lab)
{
    for (guint n = 0; n < lab->nodes->len; n++) {
        struct import_node *node = lab->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            struct import_nic *nic = node->nics->pdata[i];
            if (nic->segment->numbers_itself)
                continue;
            g_clear_pointer(&nic->address, g_free);
            g_clear_pointer(&nic->address6, g_free);
        }
        for (guint i = 0; i < node->addresses->len; i++)
            g_ptr_array_insert(node->run, (gint)i, g_strdup(node->addresses->pdata[i]));
        if (node->gateway)
            g_ptr_array_insert(node->run, (gint)node->addresses->len,
                               g_strconcat("ip route replace default via ", node->gateway, NULL));
        g_clear_pointer(&node->gateway, g_free);
        g_ptr_array_set_size(node->addresses, 0);
    }
}

bool import_run(struct import_lab *lab, struct import_node *node, const char *command,
                struct topology_mark mark, const char *what)
{
    for (const char *c = command; *c; c++) {
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') {
            import_note(lab, IMPORT_LEFT, mark, what, "has the control character 0x%02x in it", (unsigned)*c);
            return false;
        }
    }
    if (node->run->len >= IMPORT_COMMANDS_MOST) {
        import_note(lab, IMPORT_LEFT, mark, what, "more than %d commands of one node", IMPORT_COMMANDS_MOST);
        return false;
    }
    g_ptr_array_add(node->run, g_strdup(command));
    return true;
}

/* ---- which file, and of which kind ---- */

static bool has_suffix(const char *name, const char *const *suffixes)
{
    for (; *suffixes; suffixes++)
        if (g_str_has_suffix(name, *suffixes))
            return true;
    return false;
}

static const char *const containerlab_suffixes[] = {".clab.yml", ".clab.yaml", NULL};
static const char *const yaml_suffixes[] = {".yml", ".yaml", NULL};

/* The lab's file in a folder: lab.conf, the one *.clab.yml, topology.yml. */
static char *find_file(const char *folder, enum import_kind kind, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_autofree char *containerlab = NULL, *other = NULL;
    bool has_conf = false, has_topology = false;
    unsigned count = 0, others = 0;
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        has_conf |= g_str_equal(name, "lab.conf");
        has_topology |= g_str_equal(name, "topology.yml");
        if (has_suffix(name, containerlab_suffixes) && !count++)
            containerlab = g_strdup(name);
        else if (has_suffix(name, yaml_suffixes) && !others++)
            other = g_strdup(name);
    }
    const char *found = NULL;
    if (has_conf && (kind == IMPORT_UNKNOWN || kind == IMPORT_KATHARA))
        found = "lab.conf";
    else if (count == 1 && (kind == IMPORT_UNKNOWN || kind == IMPORT_CONTAINERLAB))
        found = containerlab;
    else if (has_topology && !count && kind != IMPORT_KATHARA)
        found = "topology.yml";
    else if (others == 1 && !count && kind != IMPORT_KATHARA)
        found = other;
    if (found)
        return g_build_filename(folder, found, NULL);
    g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_READ, "%s: %s; name the file itself", folder,
                count > 1 ? "more than one *.clab.yml"
                          : "no lab.conf, *.clab.yml or topology.yml in this folder");
    return NULL;
}

static enum import_kind kind_of(const char *path, const char *text, size_t length)
{
    g_autofree char *base = g_path_get_basename(path);
    if (has_suffix(base, containerlab_suffixes))
        return IMPORT_CONTAINERLAB;
    if (g_str_equal(base, "lab.conf"))
        return IMPORT_KATHARA;
    struct yaml_tree *tree = yaml_tree_load(text, length, path, NULL);
    enum import_kind kind = yaml_tree_get(yaml_tree_get(tree, "topology", NULL), "nodes", NULL)
                                ? IMPORT_CONTAINERLAB
                            : yaml_tree_get(tree, "nodes", NULL) || yaml_tree_get(tree, "links", NULL) ||
                                    yaml_tree_get(tree, "groups", NULL)
                                ? IMPORT_IPSPACE
                                : IMPORT_UNKNOWN;
    yaml_tree_free(tree);
    return kind;
}

/* ---- all of it ---- */

static bool read_lab(struct import_lab *lab, enum import_kind kind, const char *text, size_t length,
                     GError **error)
{
    switch (kind) {
    case IMPORT_CONTAINERLAB:
        return import_read_containerlab(lab, text, length, error);
    case IMPORT_KATHARA:
        return import_read_kathara(lab, text, length, error);
    case IMPORT_IPSPACE:
        return import_read_ipspace(lab, text, length, error);
    case IMPORT_UNKNOWN:
        break;
    }
    g_set_error(
        error, IMPORT_ERROR, IMPORT_ERROR_READ,
        "%s: neither a containerlab topology (topology: {nodes: …}), a Kathará lab.conf nor an ipspace "
        "topology (nodes: …); say which with --from containerlab|kathara|ipspace",
        lab->shown);
    return false;
}

/* Ours reads what was written, as `up` will. */
static bool check_text(const struct import_lab *lab, const char *text, GError **error)
{
    topology_auto struct topology *topology =
        topology_load_text("/nonexistent/imported/topology.yml", "topology.yml", text, error);
    if (!topology)
        return false;
    lab->report->networks = topology->networks->len;
    return true;
}

static bool finish(struct import_lab *lab, GError **error)
{
    struct import_report *report = lab->report;
    if (!lab->nodes->len) {
        g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_READ,
                    "%s: no node in it that could be a machine here; see `netlab help import`", lab->shown);
        return false;
    }
    for (guint i = 0; i < lab->nodes->len; i++) {
        import_settle_routing(lab, lab->nodes->pdata[i]);
        import_settle_image(lab, lab->nodes->pdata[i]);
        import_pack_commands(lab, lab->nodes->pdata[i]);
    }
    report->nodes = lab->nodes->len;
    report->name = g_strdup(lab->name);
    report->topology = import_topology_text(lab);
    if (check_text(lab, report->topology, NULL))
        return true;
    import_unlift(lab);
    import_note(lab, IMPORT_APPROXIMATED, (struct topology_mark){1, 1}, "addresses",
                "are set by commands: together they are not what a topology of ours takes");
    g_free(report->topology);
    report->topology = import_topology_text(lab);
    g_autoptr(GError) why = NULL;
    if (check_text(lab, report->topology, &why))
        return true;
    g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_REFUSED, "%s: what it says is no lab here:\n%s", lab->shown,
                why->message);
    return false;
}

struct import_report *import_text(enum import_kind kind, const char *text, size_t length, GError **error)
{
    struct import_report *report = report_new();
    report->kind = kind;
    struct import_lab *lab = import_lab_new(report, "input", -1);
    bool good = read_lab(lab, kind, text, length, error) && finish(lab, error);
    import_lab_free(lab);
    if (good)
        return report;
    import_report_free(report);
    return NULL;
}

static char *read_main(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
        g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_READ, "%s: %s; name a lab's file or folder", path,
                    fd < 0 ? g_strerror(errno) : "not a regular file");
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    g_autofree char *text = g_malloc(YAML_TREE_FILE_MOST + 2);
    size_t length = 0;
    ssize_t got = 1;
    while (length <= YAML_TREE_FILE_MOST &&
           (got = read(fd, text + length, YAML_TREE_FILE_MOST + 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    text[length] = '\0';
    if (got < 0 || length > YAML_TREE_FILE_MOST || strlen(text) != length) {
        g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_READ, "%s: %s", path,
                    got < 0                        ? g_strerror(errno)
                    : length > YAML_TREE_FILE_MOST ? "larger than 1 MiB; this is hardly a lab"
                                                   : "contains NUL bytes; save it as plain text");
        return NULL;
    }
    return g_steal_pointer(&text);
}

static struct import_report *import_inside(const struct import_options *options, GError **error)
{
    g_autofree char *path = g_file_test(options->path, G_FILE_TEST_IS_DIR)
                                ? find_file(options->path, options->from, error)
                                : g_strdup(options->path);
    g_autofree char *text = path ? read_main(path, error) : NULL;
    if (!text)
        return NULL;
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct import_report *report = report_new();
    report->kind = options->from ? options->from : kind_of(path, text, strlen(text));
    struct import_lab *lab = import_lab_new(report, path, fd);
    g_autofree char *absolute = g_canonicalize_filename(folder, NULL), *base = g_path_get_basename(absolute);
    lab->name = import_clean_name(base, "-_", 32);
    bool good = read_lab(lab, report->kind, text, strlen(text), error) && finish(lab, error);
    if (good && options->output) {
        good = import_write(lab, report->topology, options->output, error);
        report->folder = good ? g_strdup(options->output) : NULL;
    }
    import_lab_free(lab);
    if (fd >= 0)
        close(fd);
    if (good)
        return report;
    import_report_free(report);
    return NULL;
}

struct import_report *import_lab(const struct import_options *options, GError **error)
{
    struct caller_scope scope;
    if (!caller_scope_enter(&scope, error))
        return NULL;
    struct import_report *report = import_inside(options, error);
    caller_scope_leave(&scope);
    return report;
}
