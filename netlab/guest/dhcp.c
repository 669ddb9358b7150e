/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Interfaces that get their address by DHCP: busybox's udhcpc asks, this program applies.
 *
 * init starts one udhcpc for each such interface and starts it again should it end. Its "script" is this very
 * program (/init bound|renew|deconfig|…): udhcpc hands the lease over in the environment (ip, mask, router,
 * staticroutes, dns, domain, mtu, interface; udhcpc(8)), and dhcp_script() makes it so over rtnetlink. A
 * bound lease is noted in /run/netlab/dhcp-INTERFACE, which is how init knows that the node is ready.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NOTES_FOLDER "/run/netlab"
enum { RESTART_SECONDS = 2 };

static struct client {
    const char *interface;
    pid_t pid; /* 0: to be started */
    time_t started;
} clients[MAX_INTERFACES];
static unsigned client_count;
static char hostname_option[NAME_MAX_LENGTH + 16];

static void note_path(char out[64], const char *interface)
{
    snprintf(out, 64, NOTES_FOLDER "/dhcp-%s", interface);
}

static time_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void start(struct client *client)
{
    char *argv[] = {"/bin/busybox",
                    "udhcpc",
                    "-f",
                    "-S",
                    "-i",
                    (char *)client->interface,
                    "-t",
                    "4",
                    "-T",
                    "1",
                    "-A",
                    "2",
                    "-s",
                    "/init",
                    hostname_option[0] ? "-x" : NULL,
                    hostname_option,
                    NULL};
    client->started = seconds();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC); /* what matters is said by the script */
    client->pid = guest_spawn(argv, NULL, null, null, null);
    if (null >= 0)
        close(null);
    if (client->pid < 0) {
        guest_log("starting udhcpc for %s: %s", client->interface, strerror(errno));
        client->pid = 0;
    }
}

void dhcp_start(const struct guest_config *config)
{
    mkdir(NOTES_FOLDER, 0755);
    if (config->hostname[0])
        snprintf(hostname_option, sizeof hostname_option, "hostname:%s", config->hostname);
    for (unsigned i = 0; i < config->interface_count; i++) {
        if (!config->interface[i].dhcp)
            continue;
        clients[client_count].interface = config->interface[i].name;
        start(&clients[client_count++]);
    }
}

unsigned dhcp_waiting(void)
{
    unsigned count = 0;
    char path[64];
    for (unsigned i = 0; i < client_count; i++) {
        note_path(path, clients[i].interface);
        count += access(path, F_OK) != 0;
    }
    return count;
}

bool dhcp_child_ended(pid_t pid)
{
    for (unsigned i = 0; i < client_count; i++)
        if (clients[i].pid == pid) {
            clients[i].pid = 0;
            return true;
        }
    return false;
}

bool dhcp_restart(void)
{
    bool due = false;
    for (unsigned i = 0; i < client_count; i++) {
        if (clients[i].pid)
            continue;
        if (seconds() - clients[i].started >= RESTART_SECONDS)
            start(&clients[i]);
        due |= !clients[i].pid;
    }
    return due;
}

/* ---- what udhcpc runs ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static bool parse_plain(const char *text, struct guest_address *out)
{
    return !strchr(text, '/') && strcmp(text, "default") != 0 && address_parse(text, out) &&
           out->family == AF_INET;
}

static void add_routes(const char *interface)
{
    struct guest_route route = {0};
    char *save, *copy, *word;
    snprintf(route.device, sizeof route.device, "%s", interface);
    /* Classless routes come instead of the router option (RFC 3442): "10.2.0.0/24 10.1.0.1 0.0.0.0/0 …". */
    copy = strdup(variable("staticroutes"));
    bool classless = copy && *copy;
    for (word = copy ? strtok_r(copy, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save)) {
        const char *via = strtok_r(NULL, " ", &save);
        if (!via || !address_parse(word, &route.to) || !parse_plain(via, &route.via))
            break;
        static const uint8_t none[4];
        route.has_via = memcmp(route.via.bytes, none, 4) != 0;
        network_add_route(&route);
    }
    free(copy);
    if (classless)
        return;
    copy = strdup(variable("router"));
    word = copy ? strtok_r(copy, " ", &save) : NULL;
    if (word && parse_plain(word, &route.via)) {
        route.to = (struct guest_address){.family = AF_INET};
        route.has_via = true;
        network_add_route(&route);
    }
    free(copy);
}

static void write_resolver(void)
{
    struct text text = {0};
    if (!*variable("dns"))
        return;
    const char *domain = *variable("search") ? variable("search") : variable("domain");
    if (*domain)
        text_addf(&text, "search %s\n", domain);
    char *copy = strdup(variable("dns")), *save;
    for (char *word = copy ? strtok_r(copy, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save))
        text_addf(&text, "nameserver %s\n", word);
    free(copy);
    guest_write_file("/etc/resolv.conf", text.at);
    text_free(&text);
}

static int apply(const char *interface)
{
    struct guest_address address;
    char text[ADDRESS_TEXT], path[64];
    const char *mask = *variable("mask") ? variable("mask") : "24";
    snprintf(text, sizeof text, "%s/%s", variable("ip"), mask);
    if (!address_parse(text, &address) || address.family != AF_INET) {
        guest_log("%s: the DHCP server's address %s cannot be used", interface, text);
        return 1;
    }
    unsigned mtu = (unsigned)atoi(variable("mtu"));
    network_replace_address(interface, &address, mtu >= 576 && mtu <= 16110 ? mtu : 0);
    add_routes(interface);
    write_resolver();
    note_path(path, interface);
    guest_write_file(path, text);
    guest_log("%s has %s by DHCP from %s", interface, text, variable("serverid"));
    return 0;
}

bool dhcp_is_script(int argc, char **argv)
{
    return argc == 2 && getenv("interface") && argv[1][0] >= 'a' && argv[1][0] <= 'z' && getpid() != 1;
}

int dhcp_script(const char *what)
{
    const char *interface = variable("interface");
    char path[64];
    if (!*interface || strlen(interface) >= 16 || strchr(interface, '/'))
        return 1;
    if (strcmp(what, "bound") == 0 || strcmp(what, "renew") == 0)
        return apply(interface);
    if (strcmp(what, "deconfig") == 0) {
        note_path(path, interface);
        unlink(path);
        network_replace_address(interface, NULL, 0);
    }
    return 0; /* leasefail, nak: udhcpc goes on */
}
