/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * QMP commands that only look: query-*, qom-*. Members are those of QEMU's schema (docs/qemu-qmp-ref); our
 * own begin with x-netlab-.
 */
#include "emu/control/control_internal.h"

#include <gio/gio.h>
#include <string.h>

static JsonNode *query_status(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *object = json_object_new();
    enum control_status status = m->status(m->opaque);
    json_object_set_string_member(object, "status", control_status_name(status));
    json_object_set_boolean_member(object, "singlestep", FALSE);
    json_object_set_boolean_member(object, "running", status == CONTROL_RUNNING);
    return qmp_object(object);
}

static JsonNode *query_version(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *version = json_object_new(), *object = json_object_new();
    json_object_set_int_member(version, "major", QEMU_MAJOR);
    json_object_set_int_member(version, "minor", QEMU_MINOR);
    json_object_set_int_member(version, "micro", QEMU_MICRO);
    json_object_set_object_member(object, "qemu", version);
    json_object_set_string_member(object, "package", "netlab-emu " NETLAB_VERSION);
    return qmp_object(object);
}

static JsonNode *query_name(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    if (session->control->machine->name)
        json_object_set_string_member(object, "name", session->control->machine->name);
    return qmp_object(object);
}

static JsonNode *query_kvm(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    json_object_set_boolean_member(object, "enabled", FALSE);
    json_object_set_boolean_member(object, "present", FALSE);
    return qmp_object(object);
}

static JsonNode *query_chardev(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_char port;
    for (unsigned i = 0; m->chardev(m->opaque, i, &port); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "label", port.id);
        json_object_set_string_member(object, "filename", port.spec);
        json_object_set_boolean_member(object, "frontend-open", port.open);
        json_object_set_int_member(object, "x-netlab-dropped", (gint64)port.dropped);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static char *mac_text(const uint8_t mac[6])
{
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static JsonNode *query_network(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_nic nic;
    for (unsigned i = 0; m->nic(m->opaque, i, &nic); i++) {
        JsonObject *object = json_object_new();
        g_autofree char *mac = mac_text(nic.mac);
        json_object_set_string_member(object, "name", nic.id);
        json_object_set_string_member(object, "model", nic.model);
        json_object_set_string_member(object, "mac", mac);
        json_object_set_boolean_member(object, "link", nic.link);
        if (nic.backend)
            json_object_set_string_member(object, "netdev", nic.backend);
        if (nic.ifname)
            json_object_set_string_member(object, "ifname", nic.ifname);
        const struct {
            const char *name;
            uint64_t value;
        } counters[] = {
            {"tx-frames", nic.tx_frames}, {"tx-bytes", nic.tx_bytes},     {"rx-frames", nic.rx_frames},
            {"rx-bytes", nic.rx_bytes},   {"tx-dropped", nic.dropped_tx}, {"rx-dropped", nic.dropped_rx},
            {"times-full", nic.full},
        };
        for (size_t k = 0; k < G_N_ELEMENTS(counters); k++)
            json_object_set_int_member(object, counters[k].name, (gint64)counters[k].value);
        JsonArray *drops = json_array_new();
        for (unsigned k = 0; k < nic.drop_count; k++) {
            JsonObject *drop = json_object_new();
            json_object_set_string_member(drop, "end", nic.drops[k].end);
            json_object_set_string_member(drop, "reason", nic.drops[k].reason);
            json_object_set_int_member(drop, "frames", (gint64)nic.drops[k].frames);
            json_array_add_object_element(drops, drop);
        }
        json_object_set_array_member(object, "drops", drops);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static JsonObject *rx_filter(const struct control_nic *nic, const struct control_rx_filter *filter)
{
    JsonObject *object = json_object_new();
    JsonArray *lists[] = {json_array_new(), json_array_new()}; /* stations, groups */
    JsonArray *vlans = json_array_new();
    const char *multicast = filter->all_multicast || filter->promiscuous ? "all" : "none";
    g_autofree char *own = NULL;
    for (unsigned i = 0; i < filter->count; i++) {
        g_autofree char *text = mac_text(filter->address[i]);
        if (i)
            json_array_add_string_element(lists[filter->address[i][0] & 1], text);
        else
            own = g_steal_pointer(&text);
    }
    own = own ? own : mac_text(nic->mac);
    if (g_str_equal(multicast, "none") && (filter->by_hash || json_array_get_length(lists[1])))
        multicast = "normal";
    for (unsigned id = 0; filter->by_vlan && id < 4096; id++)
        if (filter->vlan_table[id / 32] >> id % 32 & 1)
            json_array_add_int_element(vlans, id);
    json_object_set_string_member(object, "name", nic->id);
    json_object_set_boolean_member(object, "promiscuous", filter->promiscuous);
    json_object_set_string_member(object, "multicast", filter->receiving ? multicast : "none");
    json_object_set_string_member(object, "unicast",
                                  !filter->receiving    ? "none"
                                  : filter->promiscuous ? "all"
                                                        : "normal");
    json_object_set_string_member(object, "vlan", filter->by_vlan ? "normal" : "all");
    json_object_set_boolean_member(object, "broadcast-allowed", filter->broadcast);
    json_object_set_boolean_member(object, "multicast-overflow", filter->by_hash);
    json_object_set_boolean_member(object, "unicast-overflow", FALSE);
    json_object_set_string_member(object, "main-mac", own);
    json_object_set_array_member(object, "vlan-table", vlans);
    json_object_set_array_member(object, "unicast-table", lists[0]);
    json_object_set_array_member(object, "multicast-table", lists[1]);
    return object;
}

static JsonNode *query_rx_filter(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    const char *name = arguments ? json_object_get_string_member_with_default(arguments, "name", NULL) : NULL;
    JsonArray *list = json_array_new();
    struct control_nic nic;
    struct control_rx_filter filter;
    for (unsigned i = 0; m->nic(m->opaque, i, &nic) && m->rx_filter(m->opaque, i, &filter); i++)
        if (!name || g_str_equal(name, nic.id))
            json_array_add_object_element(list, rx_filter(&nic, &filter));
    if (!name || json_array_get_length(list))
        return qmp_array(list);
    json_array_unref(list);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "invalid net client name: %s", name);
    return NULL;
}

static JsonNode *query_captures(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_capture capture;
    for (unsigned i = 0; m->capture(m->opaque, i, &capture); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "id", capture.id);
        json_object_set_string_member(object, "netdev", capture.netdev);
        json_object_set_string_member(object, "file", capture.file);
        json_object_set_string_member(object, "format", capture.pcapng ? "pcapng" : "pcap");
        json_object_set_boolean_member(object, "live", capture.live);
        json_object_set_boolean_member(object, "ended", capture.ended);
        json_object_set_int_member(object, "frames", (gint64)capture.frames);
        json_object_set_int_member(object, "bytes", (gint64)capture.bytes);
        json_object_set_int_member(object, "dropped", (gint64)capture.dropped);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static JsonNode *query_cpus(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_array_new();
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "cpu-index", 0);
    json_object_set_string_member(object, "qom-path", "/machine/unattached/device[0]");
    JsonObject *place = json_object_new();
    json_object_set_int_member(place, "socket-id", 0);
    json_object_set_int_member(place, "core-id", 0);
    json_object_set_int_member(place, "thread-id", 0);
    json_object_set_object_member(object, "props", place);
    json_object_set_string_member(object, "target", "i386");
    json_object_set_int_member(object, "thread-id", getpid());
    json_array_add_object_element(list, object);
    return qmp_array(list);
}

static JsonArray *vnc_clients(const struct control_machine *m, unsigned server)
{
    JsonArray *list = json_array_new();
    struct control_vnc_client client;
    for (unsigned i = 0; m->vnc_client(m->opaque, server, i, &client); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "host", client.host);
        json_object_set_string_member(object, "service", client.service);
        json_object_set_string_member(object, "family", client.family);
        json_object_set_boolean_member(object, "websocket", FALSE);
        json_array_add_object_element(list, object);
    }
    return list;
}

static JsonNode *query_vnc_servers(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_vnc vnc;
    for (unsigned i = 0; m->vnc(m->opaque, i, &vnc); i++) {
        JsonObject *object = json_object_new(), *server = json_object_new();
        JsonArray *servers = json_array_new();
        g_autofree char *id = i ? g_strdup_printf("vnc%u", i + 1) : g_strdup("default");
        json_object_set_string_member(server, "host", vnc.host);
        json_object_set_string_member(server, "service", vnc.service);
        json_object_set_string_member(server, "family", vnc.family);
        json_object_set_boolean_member(server, "websocket", FALSE);
        json_object_set_string_member(server, "auth", vnc.password ? "vnc" : "none");
        json_array_add_object_element(servers, server);
        json_object_set_string_member(object, "id", id);
        json_object_set_array_member(object, "server", servers);
        json_object_set_array_member(object, "clients", vnc_clients(m, i));
        json_object_set_string_member(object, "auth", vnc.password ? "vnc" : "none");
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static JsonNode *query_vnc(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *object = json_object_new();
    struct control_vnc vnc;
    bool there = m->vnc(m->opaque, 0, &vnc);
    json_object_set_boolean_member(object, "enabled", there);
    if (there) {
        json_object_set_string_member(object, "host", vnc.host);
        json_object_set_string_member(object, "service", vnc.service);
        json_object_set_string_member(object, "family", vnc.family);
        json_object_set_string_member(object, "auth", vnc.password ? "vnc" : "none");
        json_object_set_array_member(object, "clients", vnc_clients(m, 0));
        json_object_set_int_member(object, "x-netlab-viewers", vnc.viewers);
    }
    return qmp_object(object);
}

static JsonNode *query_mice(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_array_new();
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", "PS/2 Mouse");
    json_object_set_int_member(object, "index", 0);
    json_object_set_boolean_member(object, "current", TRUE);
    json_object_set_boolean_member(object, "absolute", FALSE);
    json_array_add_object_element(list, object);
    return qmp_array(list);
}

/* Groups are made as their first counter comes. */
static void take_counter(void *opaque, const char *group, const char *name, uint64_t value)
{
    JsonObject *groups = opaque;
    if (!json_object_has_member(groups, group))
        json_object_set_object_member(groups, group, json_object_new());
    json_object_set_int_member(json_object_get_object_member(groups, group), name,
                               (gint64)MIN(value, G_MAXINT64));
}

static JsonNode *query_statistics(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *groups = json_object_new();
    m->counters(m->opaque, take_counter, groups);
    return qmp_object(groups);
}

char *control_uuid(const struct control *control)
{
    const uint8_t *u = control->machine->uuid;
    static const uint8_t none[16];
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < sizeof none; i++)
        g_string_append_printf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                               (u ? u : none)[i]);
    return g_string_free(text, FALSE);
}

static JsonNode *query_uuid(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    g_autofree char *text = control_uuid(session->control);
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "UUID", text);
    return qmp_object(object);
}

static JsonNode *query_display(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "type", m->display ? m->display : "none");
    if (g_strcmp0(m->display, "sdl") == 0) {
        json_object_set_boolean_member(object, "full-screen", m->full_screen);
        json_object_set_boolean_member(object, "window-close", !m->window_stays);
    }
    return qmp_object(object);
}

/* No memory and no processors are plugged in while the machine runs, so its ACPI has none of their slots. */
static JsonNode *query_ospm(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return qmp_array(json_array_new());
}

static JsonNode *query_target(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "arch", "i386");
    return qmp_object(object);
}

static JsonNode *query_memory_size(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "base-memory", (gint64)session->control->machine->ram_size);
    json_object_set_int_member(object, "plugged-memory", 0);
    return qmp_object(object);
}

/* What this machine has none of. */
static JsonNode *query_none(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    return qmp_array(json_array_new());
}

/* Whether events tell how it goes on is all that can be chosen. */
static JsonNode *query_migrate_capabilities(struct qmp_session *session, JsonObject *arguments,
                                            GError **error)
{
    JsonArray *list = json_array_new();
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "capability", "events");
    json_object_set_boolean_member(object, "state", session->control->migration_events);
    json_array_add_object_element(list, object);
    return qmp_array(list);
}

static JsonNode *do_migrate_capabilities(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonArray *list = json_object_get_array_member(arguments, "capabilities");
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonObject *object = json_array_get_object_element(list, i);
        if (json_object_get_boolean_member(object, "state") &&
            !g_str_equal(json_object_get_string_member(object, "capability"), "events")) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "no capability '%.100s': machines are written while they stand still",
                        json_object_get_string_member(object, "capability"));
            return NULL;
        }
    }
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonObject *object = json_array_get_object_element(list, i);
        if (g_str_equal(json_object_get_string_member(object, "capability"), "events"))
            session->control->migration_events = json_object_get_boolean_member(object, "state");
    }
    return qmp_nothing();
}

static JsonNode *query_dump_capability(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    JsonArray *formats = json_array_new();
    json_array_add_string_element(formats, "elf");
    json_object_set_array_member(object, "formats", formats);
    return qmp_object(object);
}

static JsonNode *query_chardev_backends(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    static const char *const names[] = {"null", "stdio", "file",    "pty", "socket",
                                        "pipe", "udp",   "ringbuf", "mux"};
    JsonArray *list = json_array_new();
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", names[i]);
        json_array_add_object_element(list, object);
    }
    return qmp_array(list);
}

static const struct {
    uint16_t code;
    const char *name;
} pci_classes[] = {
    {0x0101, "IDE controller"}, {0x0200, "Ethernet controller"}, {0x0300, "VGA controller"},
    {0x0600, "Host bridge"},    {0x0601, "ISA bridge"},          {0x0680, "Bridge"},
};

static void add_regions(JsonArray *regions, const struct control_pci *pci)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++) {
        if (!pci->bar[i].size)
            continue;
        JsonObject *region = json_object_new();
        json_object_set_int_member(region, "bar", i);
        json_object_set_string_member(region, "type", pci->bar[i].is_io ? "io" : "memory");
        json_object_set_int_member(region, "address", pci->bar[i].base ? (gint64)pci->bar[i].base : -1);
        json_object_set_int_member(region, "size", pci->bar[i].size);
        if (!pci->bar[i].is_io) {
            json_object_set_boolean_member(region, "prefetch", FALSE);
            json_object_set_boolean_member(region, "mem_type_64", FALSE);
        }
        json_array_add_object_element(regions, region);
    }
}

static JsonNode *query_pci(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *buses = json_array_new(), *devices = json_array_new();
    JsonObject *bus = json_object_new();
    struct control_pci pci;
    for (unsigned n = 0; m->pci(m->opaque, n, &pci); n++) {
        JsonObject *device = json_object_new(), *class = json_object_new(), *id = json_object_new();
        JsonArray *regions = json_array_new();
        json_object_set_int_member(device, "bus", 0);
        json_object_set_int_member(device, "slot", pci.slot);
        json_object_set_int_member(device, "function", pci.function);
        for (size_t i = 0; i < G_N_ELEMENTS(pci_classes); i++)
            if (pci_classes[i].code == pci.class_code)
                json_object_set_string_member(class, "desc", pci_classes[i].name);
        json_object_set_int_member(class, "class", pci.class_code);
        json_object_set_object_member(device, "class_info", class);
        json_object_set_int_member(id, "vendor", pci.vendor);
        json_object_set_int_member(id, "device", pci.device);
        json_object_set_int_member(id, "subsystem-vendor", pci.subsystem_vendor);
        json_object_set_int_member(id, "subsystem", pci.subsystem);
        json_object_set_object_member(device, "id", id);
        if (pci.pin)
            json_object_set_int_member(device, "irq", pci.irq);
        json_object_set_int_member(device, "irq_pin", pci.pin);
        json_object_set_string_member(device, "qdev_id", pci.id);
        add_regions(regions, &pci);
        json_object_set_array_member(device, "regions", regions);
        json_array_add_object_element(devices, device);
    }
    json_object_set_int_member(bus, "bus", 0);
    json_object_set_array_member(bus, "devices", devices);
    json_array_add_object_element(buses, bus);
    return qmp_array(buses);
}

/* ---- the object tree, as far as clients look: devices by name ---- */

static const char peripheral[] = "/machine/peripheral";

static void add_item(JsonArray *list, const char *name, const char *type)
{
    JsonObject *item = json_object_new();
    json_object_set_string_member(item, "name", name);
    json_object_set_string_member(item, "type", type);
    json_array_add_object_element(list, item);
}

/* The class of the device that the path names; NULL: none. */
static const char *class_of(const struct control_machine *m, const char *path)
{
    const char *id, *class, *name = strrchr(path, '/');
    if (!g_str_has_prefix(path, peripheral) || path + strlen(peripheral) != name)
        return NULL;
    for (unsigned i = 0; m->device(m->opaque, i, &id, &class); i++)
        if (g_str_equal(id, name + 1))
            return class;
    return NULL;
}

/* "//machine/" is "/machine". */
static char *plain_path(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    GString *plain = g_string_new(NULL);
    for (char **part = parts; *part; part++)
        if (**part)
            g_string_append_printf(plain, "/%s", *part);
    if (!plain->len)
        g_string_append_c(plain, '/');
    return g_string_free(plain, FALSE);
}

static JsonNode *qom_list(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    g_autofree char *path = plain_path(json_object_get_string_member(arguments, "path"));
    const char *id, *class;
    JsonArray *list = json_array_new();
    if (g_str_equal(path, "/")) {
        add_item(list, "machine", "child<pc-machine>");
    } else if (g_str_equal(path, "/machine")) {
        add_item(list, "type", "string");
        add_item(list, "peripheral", "child<container>");
    } else if (g_str_equal(path, peripheral)) {
        add_item(list, "type", "string");
        for (unsigned i = 0; m->device(m->opaque, i, &id, &class); i++) {
            g_autofree char *type = g_strdup_printf("child<%s>", class);
            add_item(list, id, type);
        }
    } else if ((class = class_of(m, path))) {
        add_item(list, "type", "string");
        if (g_str_equal(class, "VGA"))
            add_item(list, "vgamem_mb", "uint32");
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Device '%.200s' not found", path);
        json_array_unref(list);
        return NULL;
    }
    return qmp_array(list);
}

static JsonNode *qom_get(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    g_autofree char *path = plain_path(json_object_get_string_member(arguments, "path"));
    const char *property = json_object_get_string_member(arguments, "property");
    const char *type = g_str_equal(path, "/machine")   ? "pc-machine"
                       : g_str_equal(path, peripheral) ? "container"
                                                       : class_of(m, path);
    if (!type) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Device '%.200s' not found", path);
        return NULL;
    }
    JsonNode *node = json_node_new(JSON_NODE_VALUE);
    if (g_str_equal(type, "VGA") && g_str_equal(property, "vgamem_mb")) {
        json_node_set_int(node, m->vga_memory >> 20);
        return node;
    }
    if (!g_str_equal(property, "type")) {
        json_node_unref(node);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Property '%s.%.100s' not found", type,
                    property);
        return NULL;
    }
    json_node_set_string(node, type);
    return node;
}

static JsonNode *query_current_machine(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    JsonObject *object = json_object_new();
    json_object_set_boolean_member(object, "wakeup-suspend-support", session->control->machine->can_suspend);
    return qmp_object(object);
}

static const struct qmp_command rows[] = {
    {"query-status", query_status, .returns = "StatusInfo"},
    {"query-version", query_version, .returns = "VersionInfo"},
    {"query-name", query_name, .returns = "NameInfo"},
    {"query-kvm", query_kvm, .returns = "KvmInfo"},
    {"query-chardev", query_chardev, .returns = "[ChardevInfo]"},
    {"query-cpus-fast", query_cpus, .returns = "[CpuInfoFast]"},
    {"query-current-machine", query_current_machine, .returns = "CurrentMachineParams"},
    {"query-uuid", query_uuid, .returns = "UuidInfo"},
    {"query-display-options", query_display, .returns = "DisplayOptions"},
    {"query-acpi-ospm-status", query_ospm, .returns = "[ACPIOSTInfo]"},
    {"query-target", query_target, .returns = "TargetInfo"},
    {"query-memory-size-summary", query_memory_size, .returns = "MemoryInfo"},
    {"query-memdev", query_none, .returns = "[Memdev]"},
    {"query-iothreads", query_none, .returns = "[IOThreadInfo]"},
    {"migrate-set-capabilities", do_migrate_capabilities, "capabilities:[MigrationCapabilityStatus]"},
    {"query-migrate-capabilities", query_migrate_capabilities, .returns = "[MigrationCapabilityStatus]"},
    {"query-memory-devices", query_none, .returns = "[MemoryDeviceInfo]"},
    {"query-block-exports", query_none, .returns = "[BlockExportInfo]"},
    {"query-tpm", query_none, .returns = "[TPMInfo]"},
    {"query-tpm-models", query_none, .returns = "[str]"},
    {"query-tpm-types", query_none, .returns = "[str]"},
    {"query-block-jobs", query_none, .returns = "[BlockJobInfo]"},
    {"query-dump-guest-memory-capability", query_dump_capability, .returns = "DumpGuestMemoryCapability"},
    {"query-chardev-backends", query_chardev_backends, .returns = "[ChardevBackendInfo]"},
    {"query-pci", query_pci, .returns = "[PciInfo]"},
    {"qom-list", qom_list, "path:str", "[QomPathItem]"},
    {"qom-get", qom_get, "path:str property:str", "any"},
    {"query-vnc", query_vnc, .returns = "VncInfo"},
    {"query-vnc-servers", query_vnc_servers, .returns = "[VncInfo2]"},
    {"query-mice", query_mice, .returns = "[MouseInfo]"},
    {"query-rx-filter", query_rx_filter, "*name:str", "[RxFilterInfo]"},
    {"x-netlab-query-network", query_network, .returns = "[NetworkNic]"},
    {"x-netlab-query-captures", query_captures, .returns = "[NetworkCapture]"},
    {"x-netlab-query-statistics", query_statistics, .returns = "any"},
};
const struct qmp_commands qmp_query_commands = {rows, G_N_ELEMENTS(rows)};
