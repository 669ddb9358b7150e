/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * What this node should be: read from fw_cfg or the kernel command line.
 *
 * One setting a line, words separated by blanks:
 *
 *   hostname r1
 *   interface 52:54:00:00:00:01 eth0 10.1.0.1/24 fd00::1/64 mtu 1500
 *   route 10.2.0.0/24 via 10.1.0.254        route default via 10.1.0.1 dev eth0
 *   interface 52:54:00:00:00:02 eth1 dhcp
 *   nameserver 10.0.2.3
 *   loopback 10.254.0.1/32
 *   forwarding on
 *   drive ide0-hd1                          drive ide1-cd0
 *   run <rest of the line: a shell command>
 */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FW_CFG_FILE "/sys/firmware/qemu_fw_cfg/by_name/opt/netlab/config/raw"
enum { CONFIG_MOST = 65536 };

bool address_parse(const char *text, struct guest_address *out)
{
    char copy[ADDRESS_TEXT];
    struct guest_address a = {.family = AF_INET};
    if (strcmp(text, "default") == 0) {
        *out = a;
        return true;
    }
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash++ = 0;
    a.family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    unsigned most = a.family == AF_INET6 ? 128 : 32;
    if (inet_pton(a.family, copy, a.bytes) != 1)
        return false;
    a.prefix = most;
    if (slash) {
        char *end;
        unsigned long prefix = strtoul(slash, &end, 10);
        if (!*slash || *end || prefix > most)
            return false;
        a.prefix = (unsigned)prefix;
    }
    *out = a;
    return true;
}

static bool parse_interface(struct guest_config *config, char *rest)
{
    if (config->interface_count == MAX_INTERFACES)
        return false;
    struct guest_interface nic = {0};
    char *save, *word = strtok_r(rest, " \t", &save);
    unsigned m[6];
    int end = 0;
    if (!word ||
        sscanf(word, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &end) != 6 ||
        word[end])
        return false;
    for (int i = 0; i < 6; i++)
        nic.mac[i] = (uint8_t)m[i];
    word = strtok_r(NULL, " \t", &save);
    if (!word || strlen(word) >= sizeof nic.name || strchr(word, '/'))
        return false;
    strcpy(nic.name, word);
    while ((word = strtok_r(NULL, " \t", &save))) {
        if (strcmp(word, "mtu") == 0) {
            word = strtok_r(NULL, " \t", &save);
            if (!word)
                return false;
            nic.mtu = (unsigned)atoi(word);
        } else if (strcmp(word, "dhcp") == 0) {
            nic.dhcp = true;
        } else if (nic.address_count == MAX_ADDRESSES ||
                   !address_parse(word, &nic.address[nic.address_count++])) {
            return false;
        }
    }
    config->interface[config->interface_count++] = nic;
    return true;
}

static bool parse_drive(struct guest_config *config, const char *rest)
{
    struct guest_drive drive = {0};
    char kind[3] = "";
    int end = 0;
    if (config->drive_count == MAX_DRIVES ||
        sscanf(rest, "ide%1u-%2[a-z]%1u%n", &drive.channel, kind, &drive.device, &end) != 3 || rest[end] ||
        drive.channel > 1 || drive.device > 1 || (strcmp(kind, "hd") != 0 && strcmp(kind, "cd") != 0))
        return false;
    drive.is_cd = kind[0] == 'c';
    config->drive[config->drive_count++] = drive;
    return true;
}

static bool parse_route(struct guest_config *config, char *rest)
{
    if (config->route_count == MAX_ROUTES)
        return false;
    struct guest_route route = {0};
    char *save, *word = strtok_r(rest, " \t", &save);
    if (!word || !address_parse(word, &route.to))
        return false;
    while ((word = strtok_r(NULL, " \t", &save))) {
        char *value = strtok_r(NULL, " \t", &save);
        if (!value)
            return false;
        if (strcmp(word, "via") == 0) {
            if (!address_parse(value, &route.via))
                return false;
            route.has_via = true;
        } else if (strcmp(word, "dev") == 0 && strlen(value) < sizeof route.device) {
            strcpy(route.device, value);
        } else {
            return false;
        }
    }
    if (route.has_via && route.to.prefix == 0)
        route.to.family = route.via.family;
    if (!route.has_via && !route.device[0])
        return false;
    config->route[config->route_count++] = route;
    return true;
}

static bool parse_line(struct guest_config *config, char *line)
{
    char *rest = line + strcspn(line, " \t");
    if (*rest)
        *rest++ = 0;
    rest += strspn(rest, " \t");
    if (strcmp(line, "hostname") == 0) {
        if (!*rest || strlen(rest) > NAME_MAX_LENGTH)
            return false;
        strcpy(config->hostname, rest);
        return true;
    }
    if (strcmp(line, "interface") == 0)
        return parse_interface(config, rest);
    if (strcmp(line, "route") == 0)
        return parse_route(config, rest);
    if (strcmp(line, "nameserver") == 0)
        return config->name_server_count < MAX_NAME_SERVERS && !strchr(rest, '/') &&
               strcmp(rest, "default") != 0 &&
               address_parse(rest, &config->name_server[config->name_server_count]) &&
               ++config->name_server_count;
    if (strcmp(line, "loopback") == 0)
        return config->loopback_count < MAX_ADDRESSES && strcmp(rest, "default") != 0 &&
               address_parse(rest, &config->loopback[config->loopback_count]) && ++config->loopback_count;
    if (strcmp(line, "forwarding") == 0) {
        config->forwarding = strcmp(rest, "on") == 0;
        return config->forwarding || strcmp(rest, "off") == 0;
    }
    if (strcmp(line, "drive") == 0)
        return parse_drive(config, rest);
    if (strcmp(line, "run") == 0) {
        if (config->run_count == MAX_RUNS || !*rest)
            return false;
        config->run[config->run_count++] = strdup(rest);
        return true;
    }
    return false;
}

bool config_parse(struct guest_config *config, char *text)
{
    bool good = true;
    unsigned number = 0;
    for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        number++;
        line += strspn(line, " \t\r");
        line[strcspn(line, "\r")] = 0;
        if (!*line || *line == '#')
            continue;
        char shown[80];
        snprintf(shown, sizeof shown, "%s", line);
        if (!parse_line(config, line)) {
            guest_log("configuration, setting %u is not understood and left out: %s", number, shown);
            good = false;
        }
    }
    return good;
}

static ssize_t read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t got = 0;
    while (got < size - 1) {
        ssize_t n = read(fd, buf + got, size - 1 - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    buf[got] = 0;
    return (ssize_t)got;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void percent_decode(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (*s == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
            *out++ = (char)(hex(s[1]) << 4 | hex(s[2]));
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = 0;
}

bool config_read(struct guest_config *config)
{
    static char text[CONFIG_MOST];
    if (read_file(FW_CFG_FILE, text, sizeof text) > 0) {
        config_parse(config, text);
        return true;
    }
    if (read_file("/proc/cmdline", text, sizeof text) <= 0)
        return false;
    for (char *save, *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
        if (strncmp(word, "netlab.config=", 14) != 0)
            continue;
        word += 14;
        percent_decode(word);
        config_parse(config, word);
        return true;
    }
    return false;
}
