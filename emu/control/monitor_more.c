/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Further commands of the text monitor: character ports, traces, the debugger, boot order, objects, cores,
 * and addresses as the guest's page tables translate them (Intel SDM volume 3, chapter 4).
 */
#include "emu/control/control_internal.h"

#include "emu/keyval.h"

#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

static void say(GString *out, const GError *error)
{
    if (error)
        g_string_append_printf(out, "Error: %s\n", error->message);
}

/* ---- character ports ---- */

void monitor_chardev_add(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    control->machine->chardev_add(control->machine->opaque, words[0], &error);
    say(out, error);
}

void monitor_chardev_change(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *spec = g_strdup_printf("%s,id=%s", words[1], words[0]);
    control->machine->chardev_change(control->machine->opaque, words[0], spec, &error);
    say(out, error);
}

void monitor_chardev_remove(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    control->machine->chardev_remove(control->machine->opaque, words[0], &error);
    say(out, error);
}

void monitor_chardev_break(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    control->machine->chardev_break(control->machine->opaque, words[0], &error);
    say(out, error);
}

/* As often, and at such times, as QEMU's does. */
void monitor_announce(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) nics = words[0] ? g_strsplit(words[0], ",", -1) : NULL;
    const struct control_announce how = {.id = words[0] && words[1] ? words[1] : "",
                                         .nics = (const char *const *)nics,
                                         .rounds = 5,
                                         .initial = 50,
                                         .max = 550,
                                         .step = 100};
    control->machine->announce(control->machine->opaque, &how, &error);
    say(out, error);
}

void monitor_closefd(struct control *control, char **words, GString *out)
{
    if (!control->named_fds || !g_hash_table_remove(control->named_fds, words[0]))
        g_string_append_printf(out, "Error: File descriptor named '%.100s' not found\n", words[0]);
}

/* ---- traces ---- */

void monitor_logfile(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    int fd =
        control->machine->create(control->machine->opaque, words[0], &error); /* does not wait for a pipe */
    if (fd >= 0) {
        close(fd);
        trace_set_file(words[0], &error);
    }
    say(out, error);
}

void monitor_trace_event(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    uint64_t before = trace_mask;
    bool on = g_str_equal(words[1], "on");
    if (!on && !g_str_equal(words[1], "off")) {
        g_string_append(out, "on or off is wanted\n");
        return;
    }
    trace_mask = 0;
    bool good = trace_enable(words[0], &error);
    trace_mask = !good ? before : on ? before | trace_mask : before & ~trace_mask;
    say(out, error);
}

void monitor_info_trace_events(struct control *control, char **words, GString *out)
{
    for (unsigned i = 0; i < TRACE_COUNT; i++)
        g_string_append_printf(out, "%s : state %u\n", trace_name((enum trace_category)i),
                               trace_mask >> i & 1 ? 1 : 0);
}

/* ---- the machine ---- */

void monitor_gdbserver(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    const char *where = words[0] ? words[0] : "tcp::1234";
    if (!control->machine->gdbserver(control->machine->opaque, where, &error))
        say(out, error);
    else if (g_str_equal(where, "none"))
        g_string_append(out, "Disabled gdbserver\n");
    else
        g_string_append_printf(out, "Waiting for gdb connection on device '%s'\n", where);
}

void monitor_boot_set(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (control->machine->boot_set(control->machine->opaque, words[0], &error))
        g_string_append_printf(out, "boot device list now set to %s\n", words[0]);
    say(out, error);
}

void monitor_cpu(struct control *control, char **words, GString *out)
{
    if (!g_str_equal(words[0], "0"))
        g_string_append(out, "Error: invalid CPU index (there is one CPU, 0)\n");
}

/* The guest's driver chooses between the mice there are. */
void monitor_mouse_set(struct control *control, char **words, GString *out)
{
    g_autoptr(GString) mice = g_string_new(NULL);
    g_autofree char *wanted = g_strdup_printf("* Mouse #%s:", words[0]),
                    *other = g_strdup_printf("  Mouse #%s:", words[0]);
    control->machine->describe(control->machine->opaque, CONTROL_INFO_MICE, mice);
    if (strstr(mice->str, wanted))
        return;
    g_string_append(
        out, strstr(mice->str, other)
                 ? "Error: the guest's driver chooses the mouse, and it has chosen another (info mice)\n"
                 : "Error: there is no such mouse (info mice)\n");
}

void monitor_expire_password(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (g_str_equal(words[0], "vnc"))
        control_expire_password(control, words[1], &error);
    else
        g_set_error(&error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "no display '%s' has a password; vnc has", words[0]);
    say(out, error);
}

/* "now", "never", "+SECONDS" from now, "SECONDS" since 1970. */
bool control_expire_password(struct control *control, const char *when, GError **error)
{
    const struct control_machine *m = control->machine;
    uint64_t seconds;
    if (g_str_equal(when, "now"))
        return m->vnc_expire(m->opaque, 1, error);
    if (g_str_equal(when, "never"))
        return m->vnc_expire(m->opaque, 0, error);
    if (!keyval_parse_number("time", *when == '+' ? when + 1 : when, 1, G_MAXINT64 / 4, &seconds, error))
        return false;
    return m->vnc_expire(m->opaque,
                         (int64_t)seconds + (*when == '+' ? g_get_real_time() / G_USEC_PER_SEC : 0), error);
}

void monitor_dump(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    if (*words[0] == '-' || words[1])
        g_set_error_literal(&error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "a core is all of RAM, by physical addresses, as ELF: dump-guest-memory FILE");
    else
        control_dump(control, words[0], &error);
    say(out, error);
}

/* ---- objects: QMP's answers as text ---- */

static void tell_node(JsonNode *node, GError *error, GString *out)
{
    if (!node) {
        say(out, error);
        return;
    }
    if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *list = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(list); i++) {
            JsonObject *item = json_array_get_object_element(list, i);
            g_string_append_printf(out, "%s (%s)\n", json_object_get_string_member(item, "name"),
                                   json_object_get_string_member(item, "type"));
        }
    } else {
        g_autofree char *text = json_to_string(node, FALSE);
        g_string_append_printf(out, "%s\n", text);
    }
    json_node_unref(node);
}

static JsonNode *ask(struct control *control, const char *command, const char *path, const char *property,
                     GError **error)
{
    struct qmp_session session = {.control = control, .negotiated = true};
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "path", path);
    if (property)
        json_object_set_string_member(arguments, "property", property);
    JsonNode *node = qmp_execute(&session, command, arguments, error);
    json_object_unref(arguments);
    return node;
}

void monitor_qom_list(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = ask(control, "qom-list", words[0] ? words[0] : "/", NULL, &error);
    tell_node(node, error, out);
}

void monitor_qom_get(struct control *control, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = ask(control, "qom-get", words[0], words[1], &error);
    tell_node(node, error, out);
}

void monitor_info_qom_tree(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    const char *id, *class;
    g_string_append(out, "/machine (pc-machine)\n  /peripheral (container)\n");
    for (unsigned i = 0; m->device(m->opaque, i, &id, &class); i++)
        g_string_append_printf(out, "    /%s (%s)\n", id, class);
}

/* ---- memory ---- */

/* The sum of 16 bits that BSD's sum prints, as QEMU's does. */
void monitor_sum(struct control *control, char **words, GString *out)
{
    enum { MOST = 1 << 30 };
    const struct control_machine *m = control->machine;
    uint8_t bytes[4096];
    uint64_t addr, size;
    uint16_t sum = 0;
    if (!monitor_value(control, words[0], &addr, out) || !monitor_value(control, words[1], &size, out))
        return;
    if (size > MOST) {
        g_string_append(out, "at most 1 GiB at once\n");
        return;
    }
    while (size) {
        size_t want = (size_t)MIN(size, (uint64_t)sizeof bytes);
        if (m->read_memory(m->opaque, true, addr, bytes, want) < want) {
            g_string_append(out, "not all of that is memory (see info mtree)\n");
            return;
        }
        for (size_t i = 0; i < want; i++)
            sum = (uint16_t)((sum >> 1 | sum << 15) + bytes[i]);
        addr += want;
        size -= want;
    }
    g_string_append_printf(out, "%05d\n", sum);
}

void monitor_gpa2hva(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    uint64_t addr;
    if (!monitor_value(control, words[0], &addr, out))
        return;
    const void *host = m->host_address(m->opaque, addr);
    if (host)
        g_string_append_printf(out, "Host virtual address for 0x%" G_GINT64_MODIFIER "x is %p\n", addr, host);
    else
        g_string_append_printf(out, "No memory is mapped at address 0x%" G_GINT64_MODIFIER "x\n", addr);
}

/* ---- page tables ---- */

enum {
    PAGE_PRESENT = 1,
    PAGE_WRITE = 2,
    PAGE_USER = 4,
    PAGE_LARGE = 0x80,
    CR4_PSE = 0x10,
    CR4_PAE = 0x20,
};
#define CR0_PG 0x80000000u

struct walk {
    struct control *control;
    bool pae, pse;
    /* A run of pages that are mapped alike. */
    bool (*page)(struct walk *walk, uint32_t linear, uint64_t physical, uint32_t size, uint64_t flags);
    GString *out;
    uint64_t start, end;
    unsigned access, lines;
    uint64_t found; /* gva2gpa: what was looked for, and where it is */
    uint32_t wanted;
    bool any;
};

enum { LINES_MOST = 20000 };

static uint64_t entry(struct walk *walk, uint64_t table, unsigned index)
{
    const struct control_machine *m = walk->control->machine;
    uint8_t bytes[8] = {0};
    unsigned size = walk->pae ? 8 : 4;
    uint64_t value = 0;
    if (m->read_memory(m->opaque, true, table + (uint64_t)index * size, bytes, size) < size)
        return 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static const uint64_t frame_mask = UINT64_C(0x000ffffffffff000);

static bool walk_directory(struct walk *walk, uint64_t directory, uint32_t base)
{
    unsigned count = walk->pae ? 512 : 1024;
    uint32_t large = walk->pae ? 2u << 20 : 4u << 20;
    for (unsigned i = 0; i < count; i++) {
        uint64_t pde = entry(walk, directory, i);
        uint32_t linear = base + i * large;
        if (!(pde & PAGE_PRESENT))
            continue;
        if (pde & PAGE_LARGE && (walk->pae || walk->pse)) {
            uint64_t physical = pde & frame_mask & ~(uint64_t)(large - 1);
            if (!walk->page(walk, linear, physical, large, pde))
                return false;
            continue;
        }
        for (unsigned k = 0; k < count; k++) {
            uint64_t pte = entry(walk, pde & frame_mask, k);
            if (pte & PAGE_PRESENT && !walk->page(walk, linear + k * 4096, pte & frame_mask, 4096,
                                                  (pte & ~(uint64_t)(PAGE_WRITE | PAGE_USER | PAGE_LARGE)) |
                                                      (pte & pde & (PAGE_WRITE | PAGE_USER))))
                return false;
        }
    }
    return true;
}

/* False with a word in `out` when there are no tables. */
static bool walk_tables(struct walk *walk)
{
    const struct control_machine *m = walk->control->machine;
    uint32_t cr0 = 0, cr3 = 0, cr4 = 0;
    m->register_value(m->opaque, "cr0", &cr0);
    m->register_value(m->opaque, "cr3", &cr3);
    m->register_value(m->opaque, "cr4", &cr4);
    if (!(cr0 & CR0_PG))
        return false;
    walk->pae = cr4 & CR4_PAE;
    walk->pse = cr4 & CR4_PSE;
    if (!walk->pae)
        return walk_directory(walk, cr3 & ~4095u, 0) || true;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t pdpte = entry(walk, cr3 & ~31u, i);
        if (pdpte & PAGE_PRESENT && !walk_directory(walk, pdpte & frame_mask, i << 30))
            break;
    }
    return true;
}

static bool room(struct walk *walk)
{
    if (walk->lines++ < LINES_MOST)
        return true;
    g_string_append_printf(walk->out, "… and more than these %d lines\n", LINES_MOST);
    return false;
}

static void mem_line(struct walk *walk)
{
    g_string_append_printf(
        walk->out, "%08" G_GINT64_MODIFIER "x-%08" G_GINT64_MODIFIER "x %08" G_GINT64_MODIFIER "x %cr%c\n",
        walk->start, walk->end, walk->end - walk->start, walk->access & PAGE_USER ? 'u' : '-',
        walk->access & PAGE_WRITE ? 'w' : '-');
}

static bool mem_page(struct walk *walk, uint32_t linear, uint64_t physical, uint32_t size, uint64_t flags)
{
    unsigned access = flags & (PAGE_USER | PAGE_WRITE);
    if (walk->any && walk->end == linear && walk->access == access) {
        walk->end += size;
        return true;
    }
    if (walk->any) {
        if (!room(walk))
            return false;
        mem_line(walk);
    }
    walk->any = true;
    walk->start = linear;
    walk->end = (uint64_t)linear + size;
    walk->access = access;
    return true;
}

void monitor_info_mem(struct control *control, char **words, GString *out)
{
    struct walk walk = {.control = control, .page = mem_page, .out = out};
    if (!walk_tables(&walk))
        g_string_append(out, "PG disabled\n");
    else if (walk.any && walk.lines <= LINES_MOST)
        mem_line(&walk);
}

/* Bits as QEMU shows them: NX, global, large, dirty, accessed, PCD, PWT, user, writable. */
static bool tlb_page(struct walk *walk, uint32_t linear, uint64_t physical, uint32_t size, uint64_t flags)
{
    static const struct {
        uint64_t bit;
        char letter;
    } bits[] = {{UINT64_C(1) << 63, 'X'},
                {0x100, 'G'},
                {0x80, 'P'},
                {0x40, 'D'},
                {0x20, 'A'},
                {0x10, 'C'},
                {0x08, 'T'},
                {PAGE_USER, 'U'},
                {PAGE_WRITE, 'W'}};
    if (!room(walk))
        return false;
    g_string_append_printf(walk->out, "%08x: %016" G_GINT64_MODIFIER "x ", linear, physical);
    for (size_t i = 0; i < G_N_ELEMENTS(bits); i++)
        g_string_append_c(walk->out, flags & bits[i].bit ? bits[i].letter : '-');
    g_string_append_c(walk->out, '\n');
    return true;
}

void monitor_info_tlb(struct control *control, char **words, GString *out)
{
    struct walk walk = {.control = control, .page = tlb_page, .out = out};
    if (!walk_tables(&walk))
        g_string_append(out, "PG disabled\n");
}

static bool find_page(struct walk *walk, uint32_t linear, uint64_t physical, uint32_t size, uint64_t flags)
{
    if (walk->wanted < linear || walk->wanted - linear >= size)
        return true;
    walk->found = physical + (walk->wanted - linear);
    walk->any = true;
    return false;
}

void monitor_gva2gpa(struct control *control, char **words, GString *out)
{
    uint64_t addr;
    if (!monitor_value(control, words[0], &addr, out))
        return;
    struct walk walk = {.control = control, .page = find_page, .wanted = (uint32_t)addr};
    if (!walk_tables(&walk)) { /* without paging they are the same */
        walk.found = (uint32_t)addr;
        walk.any = true;
    }
    if (walk.any)
        g_string_append_printf(out, "gpa: 0x%" G_GINT64_MODIFIER "x\n", walk.found);
    else
        g_string_append(out, "Unmapped\n");
}
