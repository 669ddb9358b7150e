/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The types of QMP and what is made of them: see schema.h. QEMU's docs/devel/qapi-code-gen, "Client JSON
 * Protocol introspection", for the form of the answer.
 *
 * Only types that a command or an event refers to are told. The type of a command without arguments, and of
 * one that returns nothing, is the empty object "0".
 */
#include "emu/control/schema.h"

#include <gio/gio.h>
#include <string.h>

static const char *const types[] = {
    /* the machine */
    "RunState = debug inmigrate internal-error io-error paused postmigrate prelaunch finish-migrate "
    "restore-vm "
    "running save-vm shutdown suspended watchdog guest-panicked colo",
    "WatchdogAction = reset shutdown poweroff pause debug none inject-nmi",
    "StatusInfo running:bool singlestep:bool status:RunState",
    "VersionTriple major:int minor:int micro:int",
    "VersionInfo qemu:VersionTriple package:str",
    "CommandInfo name:str",
    "NameInfo *name:str",
    "UuidInfo UUID:str",
    "KvmInfo enabled:bool present:bool",
    "SysEmuTarget = i386",
    "TargetInfo arch:SysEmuTarget",
    "CpuInstanceProperties *node-id:int *socket-id:int *die-id:int *core-id:int *thread-id:int",
    "CpuInfoFast cpu-index:int qom-path:str thread-id:int *props:CpuInstanceProperties target:SysEmuTarget",
    "HotpluggableCPU type:str vcpus-count:int props:CpuInstanceProperties *qom-path:str",
    "MachineInfo name:str *alias:str *is-default:bool cpu-max:int hotpluggable-cpus:bool "
    "numa-mem-supported:bool deprecated:bool *default-cpu-type:str *default-ram-id:str",
    "CpuDefinitionInfo name:str *migration-safe:bool static:bool *unavailable-features:[str] typename:str "
    "*alias-of:str deprecated:bool",
    "MemoryInfo base-memory:int *plugged-memory:int",
    "Memdev *id:str size:int merge:bool dump:bool prealloc:bool share:bool host-nodes:[int] "
    "policy:HostMemPolicy",
    "HostMemPolicy = default preferred bind interleave",
    "MemoryDeviceInfo type:str",
    "BlockExportInfo id:str",
    "TPMInfo id:str",
    "MigrationStatus = none setup active completed failed cancelled",
    "MigrationInfo *status:MigrationStatus *ram:MigrationStats *total-time:int *downtime:int *error-desc:str",
    "MigrationStats transferred:int remaining:int total:int duplicate:int",
    "MigrationCapabilityStatus capability:str state:bool",
    "IOThreadInfo id:str thread-id:int",
    "JobType = snapshot-load snapshot-save snapshot-delete",
    "JobStatus = undefined created running paused ready standby waiting pending aborting concluded null",
    "JobInfo id:str type:JobType status:JobStatus current-progress:int total-progress:int *error:str",
    "BlockJobInfo type:str device:str",
    "SnapshotInfo id:str name:str vm-state-size:int date-sec:int date-nsec:int vm-clock-sec:int "
    "vm-clock-nsec:int "
    "*icount:int",
    "CurrentMachineParams wakeup-suspend-support:bool",
    "CommandLineParameterType = string boolean number size",
    "CommandLineParameterInfo name:str type:CommandLineParameterType *help:str *default:str",
    "CommandLineOptionInfo option:str parameters:[CommandLineParameterInfo]",
    "ObjectTypeInfo name:str *abstract:bool *parent:str",
    "ObjectPropertyInfo name:str type:str *description:str *default-value:any",
    "QomPathItem name:str type:str *description:str *default-value:any",
    "DumpGuestMemoryFormat = elf",
    "DumpGuestMemoryCapability formats:[DumpGuestMemoryFormat]",
    "DumpStatus = none active completed failed",
    "DumpQueryResult status:DumpStatus completed:int total:int",
    /* descriptors */
    "FdsetFdInfo fd:int *opaque:str",
    "FdsetInfo fdset-id:int fds:[FdsetFdInfo]",
    "AddfdInfo fdset-id:int fd:int",
    /* character ports */
    "ChardevInfo label:str filename:str frontend-open:bool x-netlab-dropped:int",
    "ChardevBackendInfo name:str",
    "DataFormat = utf8 base64",
    "ChardevReturn *pty:str",
    "ChardevBackendKind = file pipe socket udp pty null ringbuf",
    "ChardevBackend / type:ChardevBackendKind file=ChardevFileWrapper pipe=ChardevPipeWrapper "
    "socket=ChardevSocketWrapper udp=ChardevUdpWrapper pty=ChardevCommonWrapper null=ChardevCommonWrapper "
    "ringbuf=ChardevRingbufWrapper",
    "ChardevFileWrapper data:ChardevFile",
    "ChardevFile *in:str out:str *append:bool *logfile:str *logappend:bool",
    "ChardevPipeWrapper data:ChardevPipe",
    "ChardevPipe device:str *logfile:str *logappend:bool",
    "ChardevSocketWrapper data:ChardevSocket",
    "ChardevSocket addr:SocketAddressLegacy *server:bool *wait:bool *nodelay:bool *telnet:bool "
    "*reconnect:int "
    "*logfile:str *logappend:bool",
    "ChardevUdpWrapper data:ChardevUdp",
    "ChardevUdp remote:SocketAddressLegacy *local:SocketAddressLegacy *logfile:str *logappend:bool",
    "ChardevCommonWrapper data:ChardevCommon",
    "ChardevCommon *logfile:str *logappend:bool",
    "ChardevRingbufWrapper data:ChardevRingbuf",
    "ChardevRingbuf *size:int *logfile:str *logappend:bool",
    "SocketAddressType = inet unix",
    "SocketAddressLegacy / type:SocketAddressType inet=InetSocketAddressWrapper "
    "unix=UnixSocketAddressWrapper",
    "InetSocketAddressWrapper data:InetSocketAddress",
    "InetSocketAddress host:str port:str *ipv4:bool *ipv6:bool",
    "UnixSocketAddressWrapper data:UnixSocketAddress",
    "UnixSocketAddress path:str",
    /* drives */
    "BlockDeviceIoStatus = ok failed nospace",
    "BlockInfo device:str *qdev:str type:str removable:bool locked:bool *inserted:BlockDeviceInfo "
    "*tray_open:bool *io-status:BlockDeviceIoStatus",
    "BlockdevCacheInfo writeback:bool direct:bool no-flush:bool",
    "BlockdevDetectZeroesOptions = off on unmap",
    "BlockDeviceInfo file:str *node-name:str ro:bool drv:str *backing_file:str backing_file_depth:int "
    "encrypted:bool detect_zeroes:BlockdevDetectZeroesOptions bps:int bps_rd:int bps_wr:int iops:int "
    "iops_rd:int iops_wr:int image:ImageInfo cache:BlockdevCacheInfo write_threshold:int "
    "*bps_max:int *bps_rd_max:int *bps_wr_max:int *iops_max:int *iops_rd_max:int *iops_wr_max:int "
    "*bps_max_length:int *bps_rd_max_length:int *bps_wr_max_length:int *iops_max_length:int "
    "*iops_rd_max_length:int *iops_wr_max_length:int *iops_size:int *group:str",
    "ImageInfo filename:str format:str virtual-size:int *actual-size:int *backing-filename:str "
    "*snapshots:[SnapshotInfo] *backing-image:ImageInfo",
    "BlockDeviceStats rd_bytes:int wr_bytes:int unmap_bytes:int rd_operations:int wr_operations:int "
    "flush_operations:int unmap_operations:int rd_total_time_ns:int wr_total_time_ns:int "
    "flush_total_time_ns:int unmap_total_time_ns:int wr_highest_offset:int *idle_time_ns:int rd_merged:int "
    "wr_merged:int "
    "unmap_merged:int failed_rd_operations:int failed_wr_operations:int failed_flush_operations:int "
    "failed_unmap_operations:int invalid_rd_operations:int invalid_wr_operations:int "
    "invalid_flush_operations:int invalid_unmap_operations:int account_invalid:bool account_failed:bool "
    "timed_stats:[BlockDeviceTimedStats]",
    "BlockDeviceTimedStats interval_length:int",
    "BlockStats *device:str *qdev:str *node-name:str stats:BlockDeviceStats",
    "BlockdevOptions driver:str *node-name:str ...",
    "BlockdevChangeReadOnlyMode = retain read-only read-write",
    "ImageFormat = ppm png",
    /* the bus and the network */
    "PciMemoryRange base:int limit:int",
    "PciMemoryRegion bar:int type:str address:int size:int *prefetch:bool *mem_type_64:bool",
    "PciDeviceClass *desc:str class:int",
    "PciDeviceId device:int vendor:int *subsystem:int *subsystem-vendor:int",
    "PciDeviceInfo bus:int slot:int function:int class_info:PciDeviceClass id:PciDeviceId *irq:int "
    "irq_pin:int "
    "qdev_id:str regions:[PciMemoryRegion]",
    "PciInfo bus:int devices:[PciDeviceInfo]",
    "RxState = normal none all",
    "RxFilterInfo name:str promiscuous:bool multicast:RxState unicast:RxState vlan:RxState "
    "broadcast-allowed:bool multicast-overflow:bool unicast-overflow:bool main-mac:str vlan-table:[int] "
    "unicast-table:[str] multicast-table:[str]",
    "NetworkNic name:str model:str mac:str link:bool *netdev:str *ifname:str tx-frames:int tx-bytes:int "
    "rx-frames:int rx-bytes:int tx-dropped:int rx-dropped:int times-full:int drops:[NetworkDrop]",
    "NetworkDrop end:str reason:str frames:int",
    "NetworkCapture id:str netdev:str file:str format:str live:bool ended:bool frames:int bytes:int "
    "dropped:int",
    /* screen and input */
    "NetworkAddressFamily = ipv4 ipv6 unix vsock unknown",
    "VncClientInfo host:str service:str family:NetworkAddressFamily websocket:bool",
    "VncInfo enabled:bool *host:str *family:NetworkAddressFamily *service:str *auth:str "
    "*clients:[VncClientInfo] *x-netlab-viewers:int",
    "VncPrimaryAuth = none vnc ra2 ra2ne tight ultra tls vencrypt sasl",
    "VncServerInfo2 host:str service:str family:NetworkAddressFamily websocket:bool auth:VncPrimaryAuth",
    "VncInfo2 id:str server:[VncServerInfo2] clients:[VncClientInfo] auth:VncPrimaryAuth",
    "VncBasicInfo host:str service:str family:NetworkAddressFamily websocket:bool",
    "VncServerInfo host:str service:str family:NetworkAddressFamily websocket:bool *auth:str",
    "MouseInfo name:str index:int current:bool absolute:bool",
    "DisplayProtocol = vnc",
    "DisplayType = none sdl curses",
    "DisplayOptions type:DisplayType *full-screen:bool *window-close:bool",
    "DisplayReloadType = vnc",
    "ACPISlotType = DIMM CPU",
    "ACPIOSTInfo *device:str slot:str slot-type:ACPISlotType source:int status:int",
    "SetPasswordAction = keep",
    "TraceEventState = unavailable disabled enabled",
    "TraceEventInfo name:str state:TraceEventState vcpu:bool",
    "HumanReadableText human-readable-text:str",
    "KeyValueKind = number qcode",
    "KeyValue / type:KeyValueKind number=IntWrapper qcode=QKeyCodeWrapper",
    "IntWrapper data:int",
    "QKeyCodeWrapper data:str",
    "InputEventKind = key btn rel abs",
    "InputEvent / type:InputEventKind key=InputKeyEventWrapper btn=InputBtnEventWrapper "
    "rel=InputMoveEventWrapper abs=InputMoveEventWrapper",
    "InputKeyEventWrapper data:InputKeyEvent",
    "InputKeyEvent key:KeyValue down:bool",
    "InputBtnEventWrapper data:InputBtnEvent",
    "InputButton = left middle right wheel-up wheel-down side extra wheel-left wheel-right touch",
    "InputBtnEvent button:InputButton down:bool",
    "InputMoveEventWrapper data:InputMoveEvent",
    "InputAxis = x y",
    "InputMoveEvent axis:InputAxis value:int",
    "QMPCapability = oob",
    "IoOperationType = read write",
    "BlockErrorAction = ignore report stop",
    "VncBasicInfo host:str service:str family:NetworkAddressFamily websocket:bool",
    "ShutdownCause = none host-error host-qmp-quit host-qmp-system-reset host-signal host-ui guest-shutdown "
    "guest-reset guest-panic subsystem-reset snapshot-load",
    "SchemaInfo name:str meta-type:str ...",
};

static const struct {
    const char *name, *json, *said;
} builtins[] = {
    {"str", "string", "string"},    {"int", "int", "integer"}, {"number", "number", "number"},
    {"bool", "boolean", "boolean"}, {"any", "value", "value"},
};

/* ---- reading the text ---- */

/* The rest of a type's line behind its name; NULL: no such type (a built-in). */
static const char *find_type(const char *name, size_t len)
{
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
        if (!strncmp(types[i], name, len) && types[i][len] == ' ')
            return types[i] + len + 1;
    return NULL;
}

struct token {
    const char *name, *type; /* NULL type: a word alone */
    size_t name_len, type_len;
    bool optional;
    char between; /* ':' or '=' */
};

static bool next_token(const char **text, struct token *token)
{
    *text += strspn(*text, " ");
    size_t len = strcspn(*text, " ");
    if (!len)
        return false;
    token->optional = **text == '*';
    token->name = *text + token->optional;
    token->name_len = strcspn(token->name, " :=");
    token->type = token->name + token->name_len;
    token->between = token->type < *text + len ? *token->type : '\0';
    token->type = token->between ? token->type + 1 : NULL;
    token->type_len = token->type ? (size_t)(*text + len - token->type) : 0;
    *text += len;
    return true;
}

static bool token_is(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && !memcmp(text, word, len);
}

/* ---- checking ---- */

G_GNUC_PRINTF(2, 3) static bool refuse(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

static bool wrong_type(const char *path, const char *expected, GError **error)
{
    return refuse(error, "Invalid parameter type for '%s', expected: %s", path, expected);
}

static bool check_members(const char *members, JsonObject *object, const char *path, GError **error);

static bool check_builtin(const char *type, size_t len, JsonNode *node, const char *path, GError **error)
{
    GType value = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;
    bool good = token_is(type, len, "any") || (token_is(type, len, "str") && value == G_TYPE_STRING) ||
                (token_is(type, len, "int") && value == G_TYPE_INT64) ||
                (token_is(type, len, "number") && (value == G_TYPE_INT64 || value == G_TYPE_DOUBLE)) ||
                (token_is(type, len, "bool") && value == G_TYPE_BOOLEAN);
    for (size_t i = 0; !good && i < G_N_ELEMENTS(builtins); i++)
        if (token_is(type, len, builtins[i].name))
            return wrong_type(path, builtins[i].said, error);
    return good;
}

static bool check_word(const char *words, JsonNode *node, const char *path, GError **error)
{
    struct token word;
    if (!check_builtin("str", 3, node, path, error))
        return false;
    const char *text = json_node_get_string(node);
    while (next_token(&words, &word))
        if (token_is(word.name, word.name_len, text))
            return true;
    return refuse(error, "Parameter '%s' does not accept value '%.100s'", path, text);
}

/* The members of a union's object: the discriminator, and those of the branch it chooses. */
static bool check_union(const char *text, JsonObject *object, const char *path, GError **error)
{
    struct token by, branch;
    next_token(&text, &by);
    g_autofree char *name = g_strndup(by.name, by.name_len);
    g_autofree char *members = g_strdup_printf("%s:%.*s", name, (int)by.type_len, by.type);
    JsonNode *chosen = json_object_get_member(object, name);
    g_autoptr(GString) all = g_string_new(members);
    if (!chosen || !JSON_NODE_HOLDS_VALUE(chosen) || json_node_get_value_type(chosen) != G_TYPE_STRING)
        return check_members(members, object, path, error);
    while (next_token(&text, &branch))
        if (token_is(branch.name, branch.name_len, json_node_get_string(chosen)))
            g_string_append_printf(all, " %s", find_type(branch.type, branch.type_len));
    return check_members(all->str, object, path, error);
}

static bool check_value(const char *type, size_t len, JsonNode *node, const char *path, GError **error)
{
    if (*type == '[') {
        if (!JSON_NODE_HOLDS_ARRAY(node))
            return wrong_type(path, "array", error);
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++) {
            g_autofree char *inner = g_strdup_printf("%s[%u]", path, i);
            if (!check_value(type + 1, len - 2, json_array_get_element(array, i), inner, error))
                return false;
        }
        return true;
    }
    const char *body = find_type(type, len);
    if (!body)
        return check_builtin(type, len, node, path, error);
    if (*body == '=')
        return check_word(body + 1, node, path, error);
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return wrong_type(path, "object", error);
    JsonObject *object = json_node_get_object(node);
    return *body == '/' ? check_union(body + 1, object, path, error)
                        : check_members(body, object, path, error);
}

static bool check_members(const char *members, JsonObject *object, const char *path, GError **error)
{
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct token member;
    bool any = false;
    while (next_token(&members, &member)) {
        if (token_is(member.name, member.name_len, "...")) {
            any = true;
            continue;
        }
        char *name = g_strndup(member.name, member.name_len);
        g_hash_table_add(known, name);
        JsonNode *node = object ? json_object_get_member(object, name) : NULL;
        g_autofree char *inner = *path ? g_strdup_printf("%s.%s", path, name) : g_strdup(name);
        if (!node && !member.optional)
            return refuse(error, "Parameter '%s' is missing", inner);
        if (node && !check_value(member.type, member.type_len, node, inner, error))
            return false;
    }
    g_autoptr(GList) given = object ? json_object_get_members(object) : NULL;
    for (GList *at = given; at && !any; at = at->next)
        if (!g_hash_table_contains(known, at->data))
            return refuse(error, "Parameter '%s%s%.100s' is unexpected", path, *path ? "." : "",
                          (const char *)at->data);
    return true;
}

bool schema_check(const char *members, JsonObject *arguments, GError **error)
{
    return check_members(members ? members : "", arguments, "", error);
}

/* ---- telling ---- */

struct schema {
    JsonArray *list;
    GHashTable *told;  /* names of types that are in the list or wanted */
    GPtrArray *wanted; /* char *: named types still to be told, in order */
};

struct schema *schema_new(void)
{
    struct schema *schema = g_new0(struct schema, 1);
    schema->list = json_array_new();
    schema->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    schema->wanted = g_ptr_array_new_with_free_func(g_free);
    return schema;
}

static void want(struct schema *schema, const char *type, size_t len)
{
    char *name = g_strndup(type, len);
    if (g_hash_table_add(schema->told, g_strdup(name)))
        g_ptr_array_add(schema->wanted, name);
    else
        g_free(name);
}

static JsonObject *new_info(struct schema *schema, const char *name, const char *meta)
{
    JsonObject *info = json_object_new();
    json_object_set_string_member(info, "name", name);
    json_object_set_string_member(info, "meta-type", meta);
    json_array_add_object_element(schema->list, info);
    return info;
}

static void add_members(struct schema *schema, JsonObject *info, const char *text)
{
    JsonArray *members = json_array_new();
    struct token token;
    while (text && next_token(&text, &token)) {
        if (!token.type || token.between != ':')
            continue;
        JsonObject *member = json_object_new();
        g_autofree char *name = g_strndup(token.name, token.name_len);
        g_autofree char *type = g_strndup(token.type, token.type_len);
        json_object_set_string_member(member, "name", name);
        json_object_set_string_member(member, "type", type);
        if (token.optional)
            json_object_set_null_member(member, "default");
        json_array_add_object_element(members, member);
        want(schema, token.type, token.type_len);
    }
    json_object_set_array_member(info, "members", members);
}

/* The object type of a command's arguments or an event's data; its name. */
static char *add_object(struct schema *schema, const char *owner, const char *members)
{
    if (!members || !*members) {
        want(schema, "0", 1);
        return g_strdup("0");
    }
    char *name = g_strdup_printf("%s-arg", owner);
    add_members(schema, new_info(schema, name, "object"), members);
    return name;
}

void schema_add_command(struct schema *schema, const char *name, const char *members, const char *returns)
{
    JsonObject *info = new_info(schema, name, "command");
    g_autofree char *arguments = add_object(schema, name, members);
    json_object_set_string_member(info, "arg-type", arguments);
    json_object_set_string_member(info, "ret-type", returns ? returns : "0");
    want(schema, returns ? returns : "0", returns ? strlen(returns) : 1);
}

void schema_add_event(struct schema *schema, const char *name, const char *members)
{
    JsonObject *info = new_info(schema, name, "event");
    g_autofree char *arguments = add_object(schema, name, members);
    json_object_set_string_member(info, "arg-type", arguments);
}

static void tell_words(JsonObject *info, const char *text)
{
    JsonArray *values = json_array_new(), *members = json_array_new();
    struct token word;
    while (next_token(&text, &word)) {
        g_autofree char *value = g_strndup(word.name, word.name_len);
        JsonObject *member = json_object_new();
        json_array_add_string_element(values, value);
        json_object_set_string_member(member, "name", value);
        json_array_add_object_element(members, member);
    }
    json_object_set_array_member(info, "values", values);
    json_object_set_array_member(info, "members", members);
}

static void tell_union(struct schema *schema, JsonObject *info, const char *text)
{
    const char *rest = text;
    struct token by, branch;
    JsonArray *variants = json_array_new();
    next_token(&rest, &by);
    g_autofree char *tag = g_strndup(by.name, by.name_len);
    g_autofree char *member = g_strndup(text, (gsize)(rest - text));
    add_members(schema, info, member);
    json_object_set_string_member(info, "tag", tag);
    while (next_token(&rest, &branch)) {
        JsonObject *variant = json_object_new();
        g_autofree char *name = g_strndup(branch.name, branch.name_len);
        g_autofree char *type = g_strndup(branch.type, branch.type_len);
        json_object_set_string_member(variant, "case", name);
        json_object_set_string_member(variant, "type", type);
        json_array_add_object_element(variants, variant);
        want(schema, branch.type, branch.type_len);
    }
    json_object_set_array_member(info, "variants", variants);
}

static void tell_type(struct schema *schema, const char *name)
{
    size_t len = strlen(name);
    const char *body = find_type(name, len);
    if (*name == '[') {
        g_autofree char *inner = g_strndup(name + 1, len - 2);
        json_object_set_string_member(new_info(schema, name, "array"), "element-type", inner);
        want(schema, name + 1, len - 2);
    } else if (body && *body == '=') {
        tell_words(new_info(schema, name, "enum"), body + 1);
    } else if (body && *body == '/') {
        tell_union(schema, new_info(schema, name, "object"), body + 1);
    } else if (body || g_str_equal(name, "0")) {
        add_members(schema, new_info(schema, name, "object"), body);
    } else {
        for (size_t i = 0; i < G_N_ELEMENTS(builtins); i++)
            if (g_str_equal(builtins[i].name, name))
                json_object_set_string_member(new_info(schema, name, "builtin"), "json-type",
                                              builtins[i].json);
    }
}

JsonArray *schema_finish(struct schema *schema)
{
    for (guint i = 0; i < schema->wanted->len; i++) /* telling one may want more */
        tell_type(schema, schema->wanted->pdata[i]);
    JsonArray *list = schema->list;
    g_ptr_array_unref(schema->wanted);
    g_hash_table_unref(schema->told);
    g_free(schema);
    return list;
}
