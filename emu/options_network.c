/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of -netdev, -nic, -net and -object filter-dump: NICs, their back ends and captures.
 *
 * Which back ends there are and which words each takes is the table of emu/net/netdev.h; the three options
 * add words of their own: -netdev its id, -nic and -net those of the NIC. -netdev and -nic cable one NIC to
 * one back end; everything of -net is plugged into the hub of its vlan= (0). Without a word about networking
 * there is one NIC with a `user` back end, as QEMU has it.
 */
#include "emu/options_internal.h"

#include "emu/net/netdev.h"

#include <string.h>

enum { NICS_MOST = 29, NETDEVS_MOST = 64, CAPTURES_MOST = 64 };

static const char default_back_end[] = "user";

static const struct keyval_row type_row = {"type", KEYVAL_STRING};

static const struct keyval_row netdev_rows[] = {
    {"id", KEYVAL_NAME, .help = "what -device calls it by"},
};
static const struct keyval_row nic_rows[] = {
    {"id", KEYVAL_NAME, .help = "name of the back end"},
    {"model", KEYVAL_STRING, .help = "e1000"},
    {"mac", KEYVAL_MAC, .help = "the NIC's address"},
    {"macaddr", KEYVAL_MAC},
    {"addr", KEYVAL_STRING, .help = "PCI slot, hexadecimal"},
    {"name", KEYVAL_NAME},
    {"vectors", KEYVAL_NUMBER},
};
static const struct keyval_row net_rows[] = {
    {"id", KEYVAL_NAME, .help = "name of the back end"},
    {"name", KEYVAL_NAME, .help = "the same"},
    {"vlan", KEYVAL_NUMBER, .help = "number of the hub (0)", .max = 65535},
};
static const struct keyval_row net_nic_rows[] = {
    {"type", KEYVAL_STRING},
    {"model", KEYVAL_STRING, .help = "e1000"},
    {"mac", KEYVAL_MAC},
    {"macaddr", KEYVAL_MAC, .help = "the NIC's address"},
    {"addr", KEYVAL_STRING, .help = "PCI slot, hexadecimal"},
    {"netdev", KEYVAL_NAME, .help = "id of a -netdev to be cabled to, instead of the hub"},
    {"vlan", KEYVAL_NUMBER, .help = "number of the hub (0)", .max = 65535},
    {"id", KEYVAL_NAME},
    {"name", KEYVAL_NAME},
    {"vectors", KEYVAL_NUMBER},
};
static const struct keyval_table net_nic_table = {"", net_nic_rows, G_N_ELEMENTS(net_nic_rows), "type"};

static const struct {
    const char *name, *later;
} later_kinds[] = {
    {"vde", "use socket, or tap on a bridge"},
    {"netmap", "use tap"},
    {"vhost-user", "use tap; the e1000 has no rings that another process could serve"},
    {"vhost-vdpa", "use tap"},
    {"af-xdp", "use tap"},
    {"passt", "use user"},
    {"vmnet-host", "for other hosts; use tap"},
    {"vmnet-shared", "for other hosts; use tap"},
    {"vmnet-bridged", "for other hosts; use bridge"},
};

/* ---- shared with -device ---- */

bool option_parse_slot(const char *text, int *slot, GError **error)
{
    char *end;
    guint64 value = g_ascii_isxdigit(*text) ? g_ascii_strtoull(text, &end, 16) : 32;
    if (value > 31 || (*end && !g_str_equal(end, ".0")))
        return option_fail(error, "addr=%s: a PCI slot is a hexadecimal number from 1 to 1f", text);
    if (value < 2)
        return option_fail(error, "addr=%s: slots 0 and 1 are the board's own", text);
    *slot = (int)value;
    return true;
}

struct machine_nic *option_add_nic(struct options *o, GError **error)
{
    if (o->config->nics->len >= NICS_MOST) {
        option_fail(error, "more than %d NICs: the PCI bus has no more slots", NICS_MOST);
        return NULL;
    }
    struct machine_nic *nic = g_new0(struct machine_nic, 1);
    nic->slot = nic->vlan = nic->bootindex = -1;
    g_ptr_array_add(o->config->nics, nic);
    return nic;
}

char *option_first_word(const char *arg)
{
    g_autofree char *word = g_strndup(arg, strcspn(arg, ","));
    return g_strdup(g_str_has_prefix(word, "type=") ? word + strlen("type=") : word);
}

/* ---- back ends ---- */

static struct machine_netdev *find_netdev(struct options *o, const char *id)
{
    for (guint i = 0; i < o->config->netdevs->len; i++) {
        struct machine_netdev *netdev = o->config->netdevs->pdata[i];
        if (g_str_equal(netdev->id, id))
            return netdev;
    }
    return NULL;
}

static void list_kinds(GString *text, bool old)
{
    for (size_t i = 0; i < net_kind_count(); i++) {
        const struct net_kind *kind = net_kind_at(i);
        if (old || !kind->old_only)
            g_string_append_printf(text, "  %-10s %s\n", kind->name, kind->help);
    }
}

/* The kind of a network option's first word; NULL with an error. */
static const struct net_kind *find_kind(const char *type, bool old, GError **error)
{
    const struct net_kind *kind = net_kind_find(type);
    if (kind && (old || !kind->old_only))
        return kind;
    if (kind) {
        option_fail(error, "'%s' is for -net; here it is -object filter-dump,id=ID,netdev=ID,file=FILE",
                    type);
        return NULL;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(later_kinds); i++)
        if (g_str_equal(later_kinds[i].name, type)) {
            option_fail(error, "'%s' is QEMU's and not in netlab-emu yet; %s", type, later_kinds[i].later);
            return NULL;
        }
    g_autofree const char **names = g_new0(const char *, net_kind_count() + 1);
    g_autoptr(GString) list = g_string_new(NULL);
    for (size_t i = 0; i < net_kind_count(); i++) {
        names[i] = net_kind_at(i)->name;
        g_string_append_printf(list, "%s%s", i ? ", " : "", names[i]);
    }
    g_autofree char *suggestion = keyval_suggestion(type, names, net_kind_count());
    option_fail(error, "no network back end '%s'%s; there are: %s", type, suggestion, list->str);
    return NULL;
}

/* The words of a kind and those of the option, as one table; what both have is the kind's. */
static struct keyval_table make_table(const struct net_kind *kind, const struct keyval_row *more,
                                      size_t count, struct keyval_row **rows)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(struct keyval_row));
    g_array_append_val(all, type_row);
    g_array_append_vals(all, kind->rows, (guint)kind->row_count);
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < kind->row_count && !g_str_equal(kind->rows[k].key, more[i].key))
            k++;
        if (k == kind->row_count)
            g_array_append_val(all, more[i]);
    }
    struct keyval_table table = {.what = "", .count = all->len, .implied = "type"};
    *rows = (struct keyval_row *)g_array_steal(all, NULL);
    table.rows = *rows;
    return table;
}

static void free_netdev(struct machine_netdev *netdev)
{
    keyval_free(netdev->words);
    g_free(netdev->rows);
    g_free(netdev->id);
    g_free(netdev);
}

/* Two back ends cannot share a TAP. */
static bool check_taken(struct options *o, const struct machine_netdev *netdev, GError **error)
{
    if (netdev->kind != &net_kind_tap)
        return true;
    const char *ifname = keyval_string(netdev->words, "ifname", NULL);
    for (guint i = 0; i < o->config->netdevs->len; i++) {
        const struct machine_netdev *other = o->config->netdevs->pdata[i];
        if (other->kind != netdev->kind)
            continue;
        const char *others = keyval_string(other->words, "ifname", NULL);
        if (ifname && others && g_str_equal(others, ifname))
            return option_fail(error, "ifname=%s is given twice; each NIC needs a TAP of its own", ifname);
        if (keyval_has(netdev->words, "fd") && keyval_has(other->words, "fd") &&
            keyval_number(netdev->words, "fd", 0) == keyval_number(other->words, "fd", 0))
            return option_fail(error, "fd=%u is given twice; each NIC needs a TAP of its own",
                               (unsigned)keyval_number(netdev->words, "fd", 0));
    }
    return true;
}

/* Reads the words of a back end and adds it. `more`: the option's own words. */
static struct machine_netdev *add_netdev(struct options *o, const struct net_kind *kind, const char *arg,
                                         const struct keyval_row *more, size_t count, GError **error)
{
    if (o->config->netdevs->len >= NETDEVS_MOST) {
        option_fail(error, "more than %d back ends", NETDEVS_MOST);
        return NULL;
    }
    struct machine_netdev *netdev = g_new0(struct machine_netdev, 1);
    netdev->vlan = -1;
    netdev->kind = kind;
    netdev->table = make_table(kind, more, count, &netdev->rows);
    netdev->words = keyval_parse(&netdev->table, arg, error);
    if (netdev->words) {
        const char *id = keyval_string(netdev->words, "id", NULL);
        netdev->id =
            id ? g_strdup(id) : g_strdup_printf("#net%03u", o->config->netdevs->len); /* QEMU's form */
        if (id && find_netdev(o, id))
            option_fail(error, "id=%s is taken by another -netdev", id);
        else if (kind->check(netdev->words, error) && check_taken(o, netdev, error)) {
            g_ptr_array_add(o->config->netdevs, netdev);
            return netdev;
        }
    }
    free_netdev(netdev);
    return NULL;
}

/* "-netdev user,help" */
static bool kind_help(struct options *o, const struct net_kind *kind, const char *option, const char *arg,
                      const struct keyval_row *more, size_t count)
{
    const char *comma = strchr(arg, ',');
    if (!comma || (!g_str_equal(comma, ",help") && !g_str_equal(comma, ",?")))
        return false;
    GString *text = g_string_new(NULL);
    g_autofree struct keyval_row *rows = NULL;
    struct keyval_table table = make_table(kind, more, count, &rows);
    table.rows++; /* without "type" */
    table.count--;
    g_string_printf(text, "Keys of %s %s:\n", option, kind->name);
    keyval_describe(&table, text);
    return option_print(o, text);
}

bool option_netdev(struct options *o, const char *arg, GError **error)
{
    if (*arg == '{') {
        g_autofree char *flat = option_json_words(arg, "type", error);
        return flat && option_netdev(o, flat, error);
    }
    g_autofree char *type = option_first_word(arg);
    o->has_network = true;
    if (g_str_equal(type, "help") || g_str_equal(type, "?")) {
        GString *text = g_string_new("Network back ends:\n");
        list_kinds(text, false);
        g_string_append(text, "-netdev KIND,help lists the keys of one.\n");
        return option_print(o, text);
    }
    if (g_str_equal(type, "none"))
        return option_fail(error, "'none' is for -nic; leave the -netdev out");
    const struct net_kind *kind = find_kind(type, false, error);
    if (!kind)
        return false;
    if (kind_help(o, kind, "-netdev", arg, netdev_rows, G_N_ELEMENTS(netdev_rows)))
        return true;
    struct machine_netdev *netdev = add_netdev(o, kind, arg, netdev_rows, G_N_ELEMENTS(netdev_rows), error);
    return netdev && keyval_require(netdev->words, "id", error);
}

/* ---- NICs ---- */

static bool check_model(const char *model, GError **error)
{
    if (!model || g_str_equal(model, "e1000"))
        return true;
    if (option_device_later(model) || g_str_equal(model, "virtio"))
        return option_fail(error, "model=%s is QEMU's and not in netlab-emu yet; use e1000", model);
    static const char *const known[] = {"e1000"};
    g_autofree char *suggestion = keyval_suggestion(model, known, 1);
    return option_fail(error, "no NIC model '%s'%s; there is: e1000", model, suggestion);
}

static struct machine_nic *add_nic_of_words(struct options *o, const struct keyval *kv, GError **error)
{
    int slot = -1;
    if (!check_model(keyval_string(kv, "model", NULL), error) ||
        (keyval_has(kv, "addr") && !option_parse_slot(keyval_string(kv, "addr", ""), &slot, error)))
        return NULL;
    KEYVAL_AUTO struct keyval *defaults = option_globals(o, "e1000", error);
    struct machine_nic *nic = defaults ? option_add_nic(o, error) : NULL;
    if (!nic)
        return NULL;
    nic->slot = slot;
    nic->romfile = g_strdup(keyval_string(defaults, "romfile", NULL));
    nic->has_mac = keyval_mac(kv, "mac", nic->mac) || keyval_mac(kv, "macaddr", nic->mac);
    return nic;
}

bool option_nic(struct options *o, const char *arg, GError **error)
{
    g_autofree char *type = option_first_word(arg);
    o->has_network = true;
    if (g_str_equal(arg, "help") || g_str_equal(arg, "model=help")) {
        GString *text = g_string_new("-nic KIND,… or -nic none; NIC models: e1000\nBack ends:\n");
        list_kinds(text, false);
        g_string_append(text, "-nic KIND,help lists the keys of one.\n");
        return option_print(o, text);
    }
    if (g_str_equal(arg, "none"))
        return true;
    /* "-nic mac=…" has no kind: QEMU's default is user. */
    g_autofree char *with_kind = strchr(type, '=') ? g_strconcat(default_back_end, ",", arg, NULL) : NULL;
    const struct net_kind *kind = find_kind(with_kind ? default_back_end : type, false, error);
    if (!kind)
        return false;
    if (kind == &net_kind_hubport)
        return option_fail(error,
                           "hubport is for -netdev: -netdev hubport,id=ID,hubid=N -device e1000,netdev=ID");
    if (kind_help(o, kind, "-nic", arg, nic_rows, G_N_ELEMENTS(nic_rows)))
        return true;
    struct machine_netdev *netdev =
        add_netdev(o, kind, with_kind ? with_kind : arg, nic_rows, G_N_ELEMENTS(nic_rows), error);
    struct machine_nic *nic = netdev ? add_nic_of_words(o, netdev->words, error) : NULL;
    if (!nic)
        return false;
    nic->netdev = g_strdup(netdev->id);
    return true;
}

static bool net_nic(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&net_nic_table, arg, error);
    struct machine_nic *nic = kv ? add_nic_of_words(o, kv, error) : NULL;
    if (!nic)
        return false;
    nic->netdev = g_strdup(keyval_string(kv, "netdev", NULL));
    if (nic->netdev && keyval_has(kv, "vlan"))
        return option_fail(error, "give one of netdev= and vlan=");
    if (!nic->netdev)
        nic->vlan = (int)keyval_number(kv, "vlan", 0);
    nic->id = g_strdup(keyval_string(kv, "id", keyval_string(kv, "name", NULL)));
    return true;
}

/* The old way: what is named is plugged into a hub. */
bool option_net(struct options *o, const char *arg, GError **error)
{
    g_autofree char *type = option_first_word(arg);
    o->has_network = true;
    if (g_str_equal(arg, "none"))
        return true;
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("-net nic,…, -net none, or -net and a back end:\n");
        list_kinds(text, true);
        return option_print(o, text);
    }
    if (g_str_equal(type, "nic"))
        return net_nic(o, arg, error);
    const struct net_kind *kind = find_kind(type, true, error);
    if (!kind)
        return false;
    if (kind == &net_kind_hubport)
        return option_fail(error, "hubport is for -netdev: -netdev hubport,id=ID,hubid=N");
    if (kind_help(o, kind, "-net", arg, net_rows, G_N_ELEMENTS(net_rows)))
        return true;
    struct machine_netdev *netdev = add_netdev(o, kind, arg, net_rows, G_N_ELEMENTS(net_rows), error);
    if (!netdev)
        return false;
    netdev->vlan = (int)keyval_number(netdev->words, "vlan", 0);
    netdev->used = true;
    const char *name = keyval_string(netdev->words, "name", NULL);
    if (name && !keyval_has(netdev->words, "id") && !find_netdev(o, name)) {
        g_free(netdev->id);
        netdev->id = g_strdup(name);
    }
    return true;
}

/* ---- -object ---- */

static const struct keyval_row filter_dump_rows[] = {
    {"qom-type", KEYVAL_STRING},
    {"id", KEYVAL_NAME, .help = "its name"},
    {"netdev", KEYVAL_NAME, .help = "id of the -netdev that is listened to"},
    {"file", KEYVAL_PATH,
     .help = "file to write; a pipe, a socket that was passed (/dev/fdset/N): pcapng only"},
    {"socket", KEYVAL_PATH, .help = "UNIX socket of a reader that listens, instead of a file; pcapng"},
    {"format", KEYVAL_CHOICE, "pcap|pcapng", .help = "pcap (the default of file=) or pcapng"},
    {"maxlen", KEYVAL_SIZE, .help = "bytes kept of each frame (64K)"},
    {"buffer", KEYVAL_SIZE,
     .help = "pcapng: room for frames on their way (4M); a slow reader loses what finds none"},
    {"queue", KEYVAL_CHOICE, "all|rx|tx",
     .help = "frames of both directions, from the guest (rx), to the guest (tx)"},
    {"status", KEYVAL_CHOICE, "on"},
    {"position", KEYVAL_STRING},
    {"insert", KEYVAL_STRING},
};
static const struct keyval_table filter_dump_table = {"", filter_dump_rows, G_N_ELEMENTS(filter_dump_rows),
                                                      "qom-type"};

bool option_object(struct options *o, const char *arg, GError **error)
{
    if (*arg == '{') {
        g_autofree char *flat = option_json_words(arg, "qom-type", error);
        return flat && option_object(o, flat, error);
    }
    static const char *const known[] = {"filter-dump", "memory-backend-ram", "memory-backend-file", "secret"};
    g_autofree char *word = option_first_word(arg);
    const char *type = g_str_has_prefix(word, "qom-type=") ? word + strlen("qom-type=") : word;
    if (g_str_equal(type, "help") || g_str_equal(arg, "filter-dump,help")) {
        GString *text = g_string_new("Objects:\n  filter-dump\n  memory-backend-ram\n  memory-backend-file\n "
                                     " secret\nKeys of -object filter-dump:\n");
        keyval_describe(&filter_dump_table, text);
        return option_print(o, text);
    }
    if (g_str_equal(type, "secret"))
        return option_secret(o, arg, error);
    if (option_memory_backend_table(type))
        return option_memory_backend(o, type, arg, error);
    if (!g_str_equal(type, known[0])) {
        g_autofree char *suggestion = keyval_suggestion(type, known, G_N_ELEMENTS(known));
        return option_fail(error,
                           "object '%s' is not in netlab-emu%s; there are: filter-dump, memory-backend-ram, "
                           "memory-backend-file, secret",
                           type, suggestion);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&filter_dump_table, arg, error);
    if (!kv || !keyval_require(kv, "id", error) || !keyval_require(kv, "netdev", error) ||
        (!keyval_has(kv, "socket") && !keyval_require(kv, "file", error)))
        return false;
    const char *socket = keyval_string(kv, "socket", NULL), *file = keyval_string(kv, "file", NULL);
    const char *format = keyval_string(kv, "format", socket ? "pcapng" : "pcap");
    const char *queue = keyval_string(kv, "queue", "all");
    bool pcapng = g_str_equal(format, "pcapng");
    uint64_t buffer = keyval_number(kv, "buffer", 0);
    if (socket && file)
        return option_fail(error, "file= and socket= at once; one capture goes to one place");
    if (socket && !pcapng)
        return option_fail(error, "socket= takes format=pcapng, not pcap");
    if (keyval_has(kv, "buffer") && !pcapng)
        return option_fail(error, "buffer= is for format=pcapng; pcap files are written frame by frame");
    if (keyval_has(kv, "buffer") && (buffer < 1 << 18 || buffer > 1 << 30))
        return option_fail(error, "buffer=%s is not in 256K … 1G", keyval_string(kv, "buffer", ""));
    if (o->config->captures->len >= CAPTURES_MOST)
        return option_fail(error, "more than %d captures", CAPTURES_MOST);
    for (guint i = 0; i < o->config->captures->len; i++)
        if (g_str_equal(((struct machine_capture *)o->config->captures->pdata[i])->id,
                        keyval_string(kv, "id", "")))
            return option_fail(error, "id=%s is taken by another -object", keyval_string(kv, "id", ""));
    struct machine_capture *capture = g_new0(struct machine_capture, 1);
    *capture = (struct machine_capture){.id = g_strdup(keyval_string(kv, "id", NULL)),
                                        .netdev = g_strdup(keyval_string(kv, "netdev", NULL)),
                                        .file = g_strdup(file),
                                        .socket = g_strdup(socket),
                                        .pcapng = pcapng,
                                        .length = keyval_number(kv, "maxlen", 65536),
                                        .buffer = buffer,
                                        .queue = g_str_equal(queue, "rx")   ? NET_DUMP_RX
                                                 : g_str_equal(queue, "tx") ? NET_DUMP_TX
                                                                            : NET_DUMP_ALL};
    g_ptr_array_add(o->config->captures, capture);
    return true;
}

/* ---- when all is read ---- */

/* The back end of that id, with an error that begins with `who` when there is none. */
static struct machine_netdev *need_netdev(struct options *o, const char *id, const char *who, GError **error)
{
    struct machine_netdev *netdev = find_netdev(o, id);
    if (netdev)
        return netdev;
    g_autofree const char **ids = g_new0(const char *, o->config->netdevs->len + 1);
    for (guint k = 0; k < o->config->netdevs->len; k++)
        ids[k] = ((struct machine_netdev *)o->config->netdevs->pdata[k])->id;
    g_autofree char *suggestion = keyval_suggestion(id, ids, o->config->netdevs->len);
    option_fail(error, "%s,netdev=%s: there is no -netdev with that id%s", who, id, suggestion);
    return NULL;
}

static bool finish_nic(struct options *o, guint i, GError **error)
{
    struct machine_config *config = o->config;
    struct machine_nic *nic = config->nics->pdata[i];
    if (!nic->id)
        nic->id = g_strdup_printf("net%u", i);
    for (guint k = 0; k < config->nics->len; k++) {
        const struct machine_nic *other = config->nics->pdata[k];
        if (k == i)
            continue;
        if (other->id && g_str_equal(other->id, nic->id))
            return option_fail(error, "-device e1000,id=%s: the id is taken by another NIC", nic->id);
        if (nic->has_mac && other->has_mac && !memcmp(nic->mac, other->mac, 6))
            return option_fail(error,
                               "-device e1000,mac=%02x:%02x:%02x:%02x:%02x:%02x: another NIC of this machine "
                               "has the same address",
                               nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
        if (nic->slot >= 0 && other->slot == nic->slot)
            return option_fail(error, "-device e1000,addr=%x: another NIC has that slot",
                               (unsigned)nic->slot);
    }
    if (nic->vlan >= 0)
        return true;
    if (!nic->netdev) {
        option_note(o, "NIC %s has no cable (add netdev=ID and a -netdev)", nic->id);
        return true;
    }
    struct machine_netdev *netdev = need_netdev(o, nic->netdev, "-device e1000", error);
    if (!netdev)
        return false;
    if (netdev->used)
        return option_fail(error, "-device e1000,netdev=%s: another NIC is cabled to it, or a hub port",
                           nic->netdev);
    netdev->used = true;
    return true;
}

/* hubport,netdev=: the two are cabled to each other, and to nothing else. */
static bool finish_hubport(struct options *o, struct machine_netdev *hubport, GError **error)
{
    const char *inner = keyval_string(hubport->words, "netdev", NULL);
    struct machine_netdev *netdev = inner ? need_netdev(o, inner, "-netdev hubport", error) : NULL;
    if (!inner)
        return true;
    if (!netdev)
        return false;
    if (netdev == hubport || netdev->used || hubport->used)
        return option_fail(error, "-netdev hubport,id=%s,netdev=%s: %s is cabled to something else",
                           hubport->id, inner, netdev == hubport || netdev->used ? inner : hubport->id);
    netdev->used = hubport->used = true;
    return true;
}

/* A hub of -net with one thing on it is an oversight. */
static void note_lonely(struct options *o, int vlan, const char *what)
{
    unsigned count = 0;
    for (guint i = 0; i < o->config->nics->len; i++)
        count += ((struct machine_nic *)o->config->nics->pdata[i])->vlan == vlan;
    for (guint i = 0; i < o->config->netdevs->len; i++) {
        const struct machine_netdev *netdev = o->config->netdevs->pdata[i];
        count += netdev->vlan == vlan ||
                 (netdev->kind == &net_kind_hubport && (int)keyval_number(netdev->words, "hubid", 0) == vlan);
    }
    if (count == 1)
        option_note(o, "%s is alone on hub %d (-net nic and -net user, tap… of the same vlan= meet there)",
                    what, vlan);
}

static bool add_default(struct options *o, GError **error)
{
    const struct net_kind *kind = net_kind_find(default_back_end);
    if (o->has_network || o->nodefaults || o->config->no_guest || o->config->nics->len || !kind)
        return true;
    o->own_network = true;
    return option_nic(o, default_back_end, error);
}

bool options_finish_network(struct options *o, GError **error)
{
    struct machine_config *config = o->config;
    if (!add_default(o, error))
        return false;
    for (guint i = 0; i < config->netdevs->len; i++) {
        struct machine_netdev *netdev = config->netdevs->pdata[i];
        if (netdev->kind == &net_kind_hubport && !finish_hubport(o, netdev, error))
            return false;
    }
    for (guint i = 0; i < config->nics->len; i++)
        if (!finish_nic(o, i, error))
            return false;
    for (guint i = 0; i < config->captures->len; i++) {
        const struct machine_capture *capture = config->captures->pdata[i];
        if (!need_netdev(o, capture->netdev, "-object filter-dump", error))
            return false;
    }
    for (guint i = 0; i < config->netdevs->len; i++) {
        const struct machine_netdev *netdev = config->netdevs->pdata[i];
        if (netdev->vlan >= 0)
            note_lonely(o, netdev->vlan, netdev->id);
        else if (!netdev->used)
            option_note(o, "-netdev %s has no NIC (add -device e1000,netdev=%s)", netdev->id, netdev->id);
    }
    for (guint i = 0; i < config->nics->len; i++) {
        const struct machine_nic *nic = config->nics->pdata[i];
        if (nic->vlan >= 0)
            note_lonely(o, nic->vlan, nic->id);
    }
    return true;
}
