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
    int number[3] = {0};
    g_auto(GStrv) words = g_strsplit(NETLAB_VERSION, ".", 3);
    for (unsigned i = 0; words[i] && i < G_N_ELEMENTS(number); i++)
        number[i] = (int)g_ascii_strtoll(words[i], NULL, 10);
    JsonObject *version = json_object_new(), *object = json_object_new();
    json_object_set_int_member(version, "major", number[0]);
    json_object_set_int_member(version, "minor", number[1]);
    json_object_set_int_member(version, "micro", number[2]);
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

static JsonNode *query_network(struct qmp_session *session, JsonObject *arguments, GError **error)
{
    const struct control_machine *m = session->control->machine;
    JsonArray *list = json_array_new();
    struct control_nic nic;
    for (unsigned i = 0; m->nic(m->opaque, i, &nic); i++) {
        JsonObject *object = json_object_new();
        g_autofree char *mac = g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", nic.mac[0], nic.mac[1],
                                               nic.mac[2], nic.mac[3], nic.mac[4], nic.mac[5]);
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
    json_object_set_string_member(object, "target", "i386");
    json_object_set_int_member(object, "thread-id", getpid());
    json_array_add_object_element(list, object);
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
        json_object_set_array_member(object, "clients", json_array_new());
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
    {"query-vnc", query_vnc, .returns = "VncInfo"},
    {"query-mice", query_mice, .returns = "[MouseInfo]"},
    {"x-netlab-query-network", query_network, .returns = "[NetworkNic]"},
    {"x-netlab-query-statistics", query_statistics, .returns = "any"},
};
const struct qmp_commands qmp_query_commands = {rows, G_N_ELEMENTS(rows)};
