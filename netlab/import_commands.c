/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Start commands of containers, as machines of ours take them. Nothing is run here: a line is split into
 * words, looked up, and becomes an address of the topology, a command in the guest, or a note.
 *
 * What only configures the network is turned into iproute2's words, for ifconfig and route are in none of our
 * images; services that our images start by themselves are left to them; installing packages is left out.
 * Other commands are kept as they are. A script with control flow is not taken apart (import_script.c); of
 * its lines only those are replaced that call what our images have not.
 */
#include "netlab/import_internal.h"
#include "netlab/topology_six.h"
#include "netlab/topology_uplink.h"

#include <string.h>

struct command {
    struct import_lab *lab;
    struct import_node *node;
    struct topology_mark mark;
    const char *text;
    char *what;
    char **words;
    guint count;
    GString *script; /* where what is kept goes, for a line of a script; NULL: the node's commands */
};

typedef bool command_reader(struct command *c); /* false: not understood, keep it as it is */

static bool is_word(const struct command *c, guint index, const char *word)
{
    return index < c->count && g_str_equal(c->words[index], word);
}

/* The word after `name` from `from` on, or NULL. */
static const char *after(const struct command *c, guint from, const char *name)
{
    for (guint i = from; i + 1 < c->count; i++)
        if (g_str_equal(c->words[i], name))
            return c->words[i + 1];
    return NULL;
}

G_GNUC_PRINTF(3, 4)
static void keep(struct command *c, enum import_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (c->script)
        g_string_append_printf(c->script, "%s%s", c->script->len ? "; " : "", text);
    else if (!import_run(c->lab, c->node, text, c->mark, c->what))
        return;
    import_note(c->lab, level, c->mark, c->what, "run: %s", text);
}

G_GNUC_PRINTF(3, 4)
static void settled(struct command *c, enum import_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    /* A line that does nothing is still one where a loop or a condition has no other. */
    if (c->script && !c->script->len)
        g_string_append_c(c->script, ':');
    import_note(c->lab, level, c->mark, c->what, "%s", text);
}

static void address(struct command *c, const char *interface, const char *prefix)
{
    struct ipv4_prefix four;
    if (c->script) {
        keep(c, IMPORT_MAPPED, "ip address replace %s dev %s", prefix, interface);
    } else if (g_str_equal(interface, "lo") && !c->node->loopback && ipv4_parse(prefix, &four) &&
               four.length == 32 && four.address >> 24 != 127 && four.address >> 24 != 0 &&
               four.address >> 24 < 224) {
        c->node->loopback = ipv4_format(four);
        import_note(c->lab, IMPORT_MAPPED, c->mark, c->what, "loopback: %s", prefix);
    } else if (import_nic_address(c->lab, c->node, interface, prefix)) {
        import_note(c->lab, IMPORT_MAPPED, c->mark, c->what, "address %s of %s", prefix, interface);
    } else {
        keep(c, IMPORT_MAPPED, "ip address replace %s dev %s", prefix, interface);
    }
}

static bool is_interface(const char *word)
{
    return g_ascii_isalnum(*word) &&
           strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               strlen(word) &&
           strlen(word) <= 15;
}

/* Length of a netmask like 255.255.255.0; -1: none. */
static int mask_length(const char *text)
{
    struct ipv4_prefix mask;
    if (!text || !ipv4_parse(text, &mask) || mask.length != IPV4_NO_LENGTH)
        return -1;
    for (int length = 0; length <= 32; length++)
        if ((length ? ipv4_mask((unsigned)length) : 0) == mask.address)
            return length;
    return -1;
}

/* Neither is in our images: what is not understood of them is not there. */
static bool leave_old(struct command *c)
{
    import_note(c->lab, IMPORT_LEFT, c->mark, c->what, "%s is not in our images; write it with ip",
                c->words[0]);
    return true;
}

static bool read_ifconfig_up(struct command *c, const char *interface, const char *state)
{
    if (!c->script && g_str_equal(state, "up") && import_nic_find(c->node, interface))
        settled(c, IMPORT_MAPPED, "interfaces are up by themselves");
    else
        keep(c, IMPORT_MAPPED, "ip link set %s %s", interface, state);
    return true;
}

static void set_mac(struct command *c, const char *interface, const char *mac)
{
    struct import_nic *nic = import_nic_find(c->node, interface);
    uint8_t bytes[6];
    if (nic && !nic->mac && !c->script) {
        import_nic_mac(c->lab, c->node, nic, mac, c->mark); /* notes what it cannot */
        if (nic->mac)
            settled(c, IMPORT_MAPPED, "MAC address %s of %s", nic->mac, interface);
    } else if (mac_parse(mac, bytes) && !(bytes[0] & 1)) {
        g_autofree char *text = mac_format(bytes);
        keep(c, IMPORT_MAPPED, "ip link set %s address %s", interface, text);
    } else {
        settled(c, IMPORT_LEFT, "\"%s\" is not a MAC address that a NIC can have", mac);
    }
}

/* The words after ifconfig's address: what is neither read here nor was before is said to be missing. */
static void read_ifconfig_words(struct command *c, const char *interface, guint from)
{
    static const char *const with_value[] = {"netmask", "broadcast", "mtu", "metric", NULL};
    for (guint i = from; i < c->count; i++) {
        if (is_word(c, i, "hw") && is_word(c, i + 1, "ether") && i + 2 < c->count) {
            set_mac(c, interface, c->words[i + 2]);
            i += 2;
        } else if (is_word(c, i, "down")) {
            keep(c, IMPORT_MAPPED, "ip link set %s down", interface);
        } else if (g_strv_contains(with_value, c->words[i])) {
            i++;
        } else if (!is_word(c, i, "up")) {
            settled(c, IMPORT_LEFT, "\"%s\": ifconfig is not in our images; write it with ip", c->words[i]);
            return;
        }
    }
}

/* ifconfig eth0 10.0.0.1/24 up; ifconfig lo:1 10.0.0.1 netmask 255.255.255.255; ifconfig eth0 mtu 1400 up */
static bool read_ifconfig(struct command *c)
{
    if (c->count < 3)
        return leave_old(c);
    /* An alias like eth0:1 is another address of the same interface. */
    g_autofree char *interface = g_strndup(c->words[1], strcspn(c->words[1], ":"));
    if (!is_interface(interface))
        return leave_old(c);
    if (c->count == 3 && (is_word(c, 2, "up") || is_word(c, 2, "down")))
        return read_ifconfig_up(c, interface, c->words[2]);
    guint at = is_word(c, 2, "inet6") || is_word(c, 2, "inet") ? 3 : 2;
    if (is_word(c, at, "add"))
        at++;
    const char *mtu = after(c, 2, "mtu");
    guint64 bytes;
    struct ipv4_prefix four;
    struct ipv6_prefix six;
    if (mtu && g_ascii_string_to_unsigned(mtu, 10, 68, 9000, &bytes, NULL))
        keep(c, IMPORT_MAPPED, "ip link set %s mtu %u", interface, (unsigned)bytes);
    if (mtu && is_word(c, 2, "mtu"))
        return true;
    if (is_word(c, 2, "hw") && is_word(c, 3, "ether") && c->count > 4) {
        read_ifconfig_words(c, interface, 2);
        return true;
    }
    if (at < c->count && ipv4_parse(c->words[at], &four)) {
        if (four.length == IPV4_NO_LENGTH) {
            uint32_t first = four.address >> 24;
            int length = mask_length(after(c, at, "netmask"));
            /* Without a mask: the classes of RFC 791. */
            four.length = (uint8_t)(length >= 0 ? length : first < 128 ? 8 : first < 192 ? 16 : 24);
        }
        g_autofree char *prefix = ipv4_format(four);
        address(c, interface, prefix);
    } else if (at < c->count && ipv6_parse(c->words[at], &six) && six.length != IPV6_NO_LENGTH) {
        address(c, interface, c->words[at]);
    } else {
        return leave_old(c);
    }
    read_ifconfig_words(c, interface, at + 1);
    return true;
}

/* route add default gw 10.0.0.1; route add -net 10.1.0.0 netmask 255.255.0.0 gw 10.0.0.1 dev eth0 */
static bool read_route(struct command *c)
{
    guint at = 1;
    bool is_six = false;
    if (is_word(c, at, "-A") && is_word(c, at + 1, "inet6")) {
        is_six = true;
        at += 2;
    }
    const char *action = at < c->count ? c->words[at++] : "";
    if ((!g_str_equal(action, "add") && !g_str_equal(action, "del")) || at >= c->count)
        return leave_old(c);
    bool is_host = is_word(c, at, "-host");
    if (is_host || is_word(c, at, "-net"))
        at++;
    if (at >= c->count)
        return leave_old(c);
    const char *to = c->words[at], *via = after(c, at, "gw"), *device = after(c, at, "dev");
    struct ipv4_prefix four;
    struct ipv6_prefix six;
    g_autofree char *target = NULL;
    if (g_str_equal(to, "default")) {
        target = g_strdup(to);
    } else if (ipv4_parse(to, &four)) {
        int length = mask_length(after(c, at, "netmask"));
        if (four.length == IPV4_NO_LENGTH)
            four.length = (uint8_t)(length >= 0 ? length : is_host ? 32 : !(four.address & 0xff) ? 24 : 32);
        target = ipv4_format(four);
    } else if (ipv6_parse(to, &six)) {
        target = g_strdup(to);
    }
    if (!target || (!via && !device) || (via && !ipv4_parse(via, &four) && !ipv6_parse(via, &six)) ||
        (device && !is_interface(device)))
        return leave_old(c);
    keep(c, IMPORT_MAPPED, "ip %sroute %s %s%s%s%s%s", is_six ? "-6 " : "",
         g_str_equal(action, "add") ? "replace" : "del", target, via ? " via " : "", via ? via : "",
         device ? " dev " : "", device ? device : "");
    return true;
}

static bool begins(const char *word, const char *whole, size_t least)
{
    return strlen(word) >= least && g_str_has_prefix(whole, word);
}

/* ip address add 10.0.0.1/24 dev eth1; ip link set eth1 up; the rest of ip's as it is */
static bool read_ip(struct command *c)
{
    guint at = 1;
    while (at < c->count && (is_word(c, at, "-6") || is_word(c, at, "-4")))
        at++;
    if (at + 1 >= c->count)
        return false;
    const char *object = c->words[at], *verb = c->words[at + 1];
    if (begins(object, "address", 1) && (begins(verb, "add", 1) || g_str_equal(verb, "replace"))) {
        const char *device = after(c, at, "dev"), *prefix = at + 2 < c->count ? c->words[at + 2] : "";
        for (guint i = at + 3; i < c->count; i++)
            if (!g_str_equal(c->words[i], "dev") && !g_str_equal(c->words[i], "brd") &&
                !g_str_equal(c->words[i], "broadcast") && !g_str_equal(c->words[i - 1], "dev") &&
                !g_str_equal(c->words[i - 1], "brd") && !g_str_equal(c->words[i - 1], "broadcast"))
                return false; /* words that an address of the topology has not */
        struct ipv4_prefix four;
        struct ipv6_prefix six;
        if (!device || !is_interface(device) || !(ipv4_parse(prefix, &four) || ipv6_parse(prefix, &six)))
            return false;
        g_autofree char *whole = strchr(prefix, '/')
                                     ? g_strdup(prefix)
                                     : g_strconcat(prefix, strchr(prefix, ':') ? "/128" : "/32", NULL);
        address(c, device, whole);
        return true;
    }
    guint name = at + 2 + is_word(c, at + 2, "dev");
    if (begins(object, "link", 1) && begins(verb, "set", 1) && c->count == name + 2 &&
        is_word(c, name + 1, "up") && import_nic_find(c->node, c->words[name])) {
        import_note(c->lab, IMPORT_MAPPED, c->mark, c->what, "interfaces are up by themselves");
        return true;
    }
    if (begins(object, "route", 1) && begins(verb, "add", 1) && is_word(c, at + 2, "default")) {
        g_autoptr(GString) rest = g_string_new(NULL);
        for (guint i = at + 2; i < c->count; i++)
            g_string_append_printf(rest, " %s", c->words[i]);
        keep(c, IMPORT_MAPPED, "ip %sroute replace%s", is_word(c, 1, "-6") ? "-6 " : "", rest->str);
        return true;
    }
    return false;
}

static bool read_dhcp(struct command *c)
{
    const char *interface = c->words[c->count - 1];
    struct import_nic *nic = c->count > 1 ? import_nic_find(c->node, interface) : NULL;
    if (!nic || nic->address) {
        import_note(c->lab, IMPORT_LEFT, c->mark, c->what,
                    "the address of an interface is asked for with `address: dhcp`");
        return true;
    }
    nic->address = g_strdup("dhcp");
    import_note(c->lab, IMPORT_APPROXIMATED, c->mark, c->what, "%s: dhcp", interface);
    return true;
}

/* ---- services ---- */

static const struct {
    const char *name;
    const char *command; /* NULL: as `how` says */
    enum import_level level;
    const char *how;
} services[] = {
    {"frr", NULL, IMPORT_MAPPED, "the image router starts FRR by itself"},
    {"frr.service", NULL, IMPORT_MAPPED, "the image router starts FRR by itself"},
    {"quagga", NULL, IMPORT_APPROXIMATED, "the image router starts FRR by itself"},
    {"zebra", NULL, IMPORT_APPROXIMATED, "the image router starts FRR by itself"},
    {"bird", NULL, IMPORT_MAPPED, "the image router starts BIRD by itself"},
    {"bird6", NULL, IMPORT_MAPPED, "the image router starts BIRD by itself"},
    {"networking", NULL, IMPORT_APPROXIMATED, "addresses come from the topology"},
    {"rsyslog", NULL, IMPORT_APPROXIMATED, "there is no log daemon; see `netlab log`"},
    {"nginx", "nginx", IMPORT_MAPPED, NULL},
    {"apache2", "nginx", IMPORT_APPROXIMATED, NULL},
    {"lighttpd", "nginx", IMPORT_APPROXIMATED, NULL},
    {"dnsmasq", "dnsmasq", IMPORT_MAPPED, NULL},
    {"radvd", "radvd", IMPORT_MAPPED, NULL},
};

enum { FIRST_OTHER_SERVICE = 6 }; /* above: routing daemons */

static bool service(struct command *c, const char *name, const char *action)
{
    if (g_str_equal(action, "enable") || g_str_equal(action, "status") ||
        g_str_equal(action, "daemon-reload")) {
        settled(c, IMPORT_APPROXIMATED, "has no meaning without an init system");
        return true;
    }
    bool starts = g_str_equal(action, "start") || g_str_equal(action, "restart") ||
                  g_str_equal(action, "reload") || g_str_equal(action, "force-reload");
    for (size_t i = 0; i < G_N_ELEMENTS(services) && starts; i++) {
        if (!g_str_equal(services[i].name, name))
            continue;
        if (services[i].command)
            keep(c, services[i].level, "%s", services[i].command);
        else
            settled(c, services[i].level, "%s", services[i].how);
        c->node->needs_router |= i < FIRST_OTHER_SERVICE;
        return true;
    }
    settled(c, IMPORT_LEFT, "the service %s is not in our images", name);
    return true;
}

static bool read_service(struct command *c)
{
    return c->count >= 3 && service(c, c->words[1], c->words[2]);
}

static bool read_systemctl(struct command *c)
{
    if (c->count < 3)
        return c->count == 2 && service(c, "", c->words[1]);
    if (is_word(c, 1, "enable") && is_word(c, 2, "--now") && c->count > 3)
        return service(c, c->words[3], "start");
    return service(c, c->words[2], c->words[1]);
}

static bool read_init_script(struct command *c)
{
    const char *slash = strrchr(c->words[0], '/');
    return c->count >= 2 && service(c, slash + 1, c->words[1]);
}

static bool read_frr_start(struct command *c)
{
    return service(c, "frr", "start");
}

static bool read_hostname(struct command *c)
{
    if (c->count == 2 && g_ascii_strcasecmp(c->words[1], c->node->name) == 0)
        import_note(c->lab, IMPORT_MAPPED, c->mark, c->what, "a node's name is its host name");
    else if (c->count == 2 && is_interface(c->words[1]))
        keep(c, IMPORT_MAPPED, "echo %s > /proc/sys/kernel/hostname", c->words[1]);
    else
        return false;
    return true;
}

static bool leave_install(struct command *c)
{
    import_note(c->lab, IMPORT_LEFT, c->mark, c->what,
                "nothing is installed at the start; put packages into an image (netlab image recipe host)");
    return true;
}

static bool leave_program(struct command *c)
{
    import_note(c->lab, IMPORT_LEFT, c->mark, c->what, "%s is not in our images", c->words[0]);
    return true;
}

static const struct {
    const char *program;
    command_reader *read;
} programs[] = {
    {"ifconfig", read_ifconfig},      {"route", read_route},         {"ip", read_ip},
    {"dhclient", read_dhcp},          {"udhcpc", read_dhcp},         {"dhcpcd", read_dhcp},
    {"service", read_service},        {"systemctl", read_systemctl}, {"frrinit.sh", read_frr_start},
    {"apk", leave_install},           {"apt", leave_install},        {"apt-get", leave_install},
    {"dnf", leave_install},           {"yum", leave_install},        {"pip", leave_install},
    {"pip3", leave_install},          {"named", leave_program},      {"ovs-vsctl", leave_program},
    {"ovs-ofctl", leave_program},     {"docker", leave_program},     {"dockerd", leave_program},
    {"simple_switch", leave_program}, {"a2enmod", leave_program},    {"apachectl", leave_program},
    {"vconfig", leave_program},       {"sshd", leave_program},       {"scapy", leave_program},
    {"hostname", read_hostname},
};

/* Words that only a shell understands: such a line is kept as it is. */
static bool is_plain(const char *text)
{
    return !strpbrk(text, "|&;<>$`(){}*?~\n");
}

static command_reader *reader_of(const struct command *c)
{
    const char *slash = strrchr(c->words[0], '/');
    if (g_str_has_prefix(c->words[0], "/etc/init.d/"))
        return read_init_script;
    for (size_t i = 0; i < G_N_ELEMENTS(programs); i++)
        if (g_str_equal(programs[i].program, slash ? slash + 1 : c->words[0]))
            return programs[i].read;
    return NULL;
}

static bool convert(struct command *c)
{
    command_reader *read = reader_of(c);
    return read && read(c);
}

const char *import_find_call(const char *text, const char *const *programs)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint l = 0; lines[l]; l++) {
        g_auto(GStrv) words = g_strsplit_set(lines[l], " \t\r;&|(){}`'\"", -1);
        const char *before = "";
        for (guint i = 0; words[i] && *words[i] != '#'; i++) {
            const char *slash = strrchr(words[i], '/'), *base = slash ? slash + 1 : words[i];
            bool is_word_of_ip = g_str_equal(before, "ip") || *before == '-';
            for (guint k = 0; programs[k] && !is_word_of_ip; k++)
                if (g_str_equal(base, programs[k]))
                    return programs[k];
            if (*words[i])
                before = words[i];
        }
    }
    return NULL;
}

bool import_calls_old_tools(const char *text)
{
    static const char *const old[] = {"ifconfig", "route", NULL};
    return import_find_call(text, old) != NULL;
}

/* Splits a line into words, unless only a shell understands it; words are NULL then. A comment at its end
 * belongs to the shell, not to the command. */
static void split(struct command *c, const char *text)
{
    gint count = 0;
    g_autofree char *bare = g_strdup(text);
    char *comment = strstr(bare, " #");
    if (comment && !strpbrk(comment, "'\""))
        *comment = '\0';
    if (is_plain(bare) && g_shell_parse_argv(bare, &count, &c->words, NULL))
        c->count = (guint)count;
}

/* "node r1: ip link set …", for notes. Owned by the caller. */
static char *shown(const struct import_node *node, const char *text)
{
    g_autofree char *first = g_strndup(text, 60);
    first[strcspn(first, "\n")] = '\0';
    g_autofree char *valid = g_utf8_make_valid(first, -1);
    for (char *p = valid; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return g_strdup_printf("node %s: %s%s", node->name, valid, strlen(text) > strlen(first) ? "…" : "");
}

void import_command(struct import_lab *lab, struct import_node *node, const char *command,
                    struct topology_mark mark)
{
    g_autofree char *text = g_strstrip(g_strdup(command));
    if (!*text || *text == '#')
        return;
    g_autofree char *what = shown(node, text);
    struct command c = {.lab = lab, .node = node, .mark = mark, .text = text, .what = what};
    if (strlen(text) > IMPORT_LINE_MOST || !g_utf8_validate(text, -1, NULL)) {
        import_note(lab, IMPORT_LEFT, mark, what, "longer than %d bytes, or not UTF-8", IMPORT_LINE_MOST);
        return;
    }
    split(&c, text);
    bool is_old = import_calls_old_tools(text);
    if ((!c.words || !convert(&c)) && import_run(lab, node, text, mark, what))
        import_note(lab, is_old ? IMPORT_LEFT : IMPORT_MAPPED, mark, what, "run, as it is%s",
                    is_old ? "; ifconfig and route are not in our images: write ip" : "");
    g_strfreev(c.words);
}

char *import_rewrite(struct import_lab *lab, struct import_node *node, const char *line,
                     struct topology_mark mark)
{
    static command_reader *const replaced[] = {read_ifconfig, read_route, read_service, read_systemctl,
                                               read_frr_start};
    size_t indent = strspn(line, " \t");
    g_autofree char *what = shown(node, line + indent);
    struct command c = {
        .lab = lab, .node = node, .mark = mark, .text = line, .what = what, .script = g_string_new(NULL)};
    split(&c, line + indent);
    command_reader *read = c.words ? reader_of(&c) : NULL;
    bool is_replaced = read == read_init_script;
    for (size_t i = 0; i < G_N_ELEMENTS(replaced); i++)
        is_replaced |= read == replaced[i];
    if (is_replaced)
        read(&c);
    g_strfreev(c.words);
    g_string_prepend_len(c.script, line, c.script->len ? (gssize)indent : 0);
    return g_string_free(c.script, c.script->len == 0);
}

void import_pack_commands(struct import_lab *lab, struct import_node *node)
{
    gsize bytes = strlen("run ip route replace default via 255.255.255.255\n");
    /* Addresses and the default route may become commands again (import_unlift()). */
    for (guint i = 0; i < node->run->len; i++)
        bytes += topology_command_bytes(node->run->pdata[i]);
    for (guint i = 0; i < node->addresses->len; i++)
        bytes += topology_command_bytes(node->addresses->pdata[i]);
    if (node->run->len + node->addresses->len + 1 <= TOPOLOGY_COMMANDS_MOST &&
        bytes <= TOPOLOGY_COMMANDS_BYTES)
        return;
    g_autofree char *what = g_strdup_printf("node %s: its %u commands", node->name, node->run->len);
    g_autofree char *path = g_strdup("/etc/lab/commands.sh");
    for (unsigned i = 2; g_hash_table_contains(node->files, path); i++) {
        g_free(path);
        path = g_strdup_printf("/etc/lab/commands-%u.sh", i);
    }
    g_autoptr(GString) script = g_string_new("#!/bin/sh\n");
    for (guint i = 0; i < node->run->len; i++) {
        g_autofree char *quoted = g_shell_quote(node->run->pdata[i]);
        g_string_append_printf(script, "sh -c %s\n", quoted);
    }
    bool is_put = import_put(lab, node, path, 0755, script->str, script->len, node->mark);
    import_note(lab, is_put ? IMPORT_APPROXIMATED : IMPORT_LEFT, node->mark, what,
                "a topology takes %d of at most %d KiB; %s%s", TOPOLOGY_COMMANDS_MOST,
                TOPOLOGY_COMMANDS_BYTES >> 10, is_put ? "they are a script, " : "none of them is run",
                is_put ? path : "");
    g_ptr_array_set_size(node->run, 0);
    if (is_put)
        g_ptr_array_add(node->run, g_strconcat("sh ", path, NULL));
}

/* ---- ports ---- */

void import_port(struct import_lab *lab, struct import_node *node, struct import_segment *outside,
                 const char *port, struct topology_mark mark)
{
    g_autofree char *what = g_strdup_printf("node %s: port %s", node->name, port);
    g_auto(GStrv) halves = g_strsplit(port, "/", 2);
    const char *protocol = halves[0] && halves[1] ? halves[1] : "tcp";
    g_auto(GStrv) parts = g_strsplit(halves[0] ? halves[0] : "", ":", 4);
    guint count = g_strv_length(parts);
    guint64 host = 0, guest = 0;
    bool good = (g_str_equal(protocol, "tcp") || g_str_equal(protocol, "udp")) && count >= 2 && count <= 3 &&
                g_ascii_string_to_unsigned(parts[count - 2], 10, 1, 65535, &host, NULL) &&
                g_ascii_string_to_unsigned(parts[count - 1], 10, 1, 65535, &guest, NULL);
    g_autofree char *forward =
        g_strdup_printf("%s %u -> %s:%u", protocol, (unsigned)host, node->name, (unsigned)guest);
    g_autofree char *same = g_strdup_printf("%s %u -> ", protocol, (unsigned)host);
    bool is_on_it = false;
    for (guint i = 0; i < node->nics->len; i++)
        is_on_it |= ((const struct import_nic *)node->nics->pdata[i])->segment == outside;
    good = good && outside && is_on_it && outside->forwards->len < TOPOLOGY_FORWARDS_MOST;
    for (guint i = 0; good && i < outside->forwards->len; i++)
        good = !g_str_has_prefix(outside->forwards->pdata[i], same);
    if (!good) {
        import_note(lab, IMPORT_LEFT, mark, what, "%swrite it under forward:, like tcp 8080 -> web:80",
                    outside && !is_on_it ? "the node has no interface on that network; " : "");
        return;
    }
    g_ptr_array_add(outside->forwards, g_steal_pointer(&forward));
    import_note(lab, IMPORT_APPROXIMATED, mark, what, "forward: %s, on this computer's 127.0.0.1",
                (char *)outside->forwards->pdata[outside->forwards->len - 1]);
}
