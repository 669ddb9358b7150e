/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See tftp.h. TFTP is RFC 1350; headers are read as libslirp reads them (Ethernet II, IPv4 with options, IPv6
 * without extension headers): what it takes for a request is one here.
 */
#include "emu/net/tftp.h"

#include "emu/net/netdev.h"
#include "emu/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { ETHERNET = 14, UDP_HEADER = 8, PORT = 69, OPCODE_READ = 1, NAME_MOST = 512 };

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Offset of the UDP header of a datagram to the server; 0: it is none. */
static size_t find_datagram(const struct tftp_server *server, const uint8_t *frame, size_t length)
{
    enum { IP4 = 0x0800, IP6 = 0x86dd, IP4_LEAST = 20, IP6_HEADER = 40 };
    const uint8_t *ip = frame + ETHERNET;
    if (length < ETHERNET + IP4_LEAST)
        return 0;
    unsigned type = get16(frame + 12);
    size_t header = type == IP4 ? (size_t)(ip[0] & 15) * 4 : IP6_HEADER;
    if (length < ETHERNET + header + UDP_HEADER + 2)
        return 0;
    bool to_it = type == IP4 ? header >= IP4_LEAST && ip[0] >> 4 == 4 && ip[9] == IPPROTO_UDP &&
                                   memcmp(ip + 16, &server->host, 4) == 0
                             : type == IP6 && ip[0] >> 4 == 6 && ip[6] == IPPROTO_UDP &&
                                   memcmp(ip + 24, &server->host6, 16) == 0;
    return to_it && get16(ip + header + 2) == PORT ? ETHERNET + header : 0;
}

static const char *what_is(mode_t mode)
{
    return S_ISFIFO(mode)   ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISDIR(mode)  ? "a folder"
                            : "a device";
}

/* Puts another byte into a datagram whose checksum (RFC 768; 0: none) stays right (RFC 1624). */
static void put(uint8_t *udp, size_t at, uint8_t value)
{
    unsigned sum = get16(udp + 6), before = udp[at], after = value;
    udp[at] = value;
    if (!sum)
        return;
    if (at % 2 == 0) {
        before <<= 8;
        after <<= 8;
    }
    uint32_t new = (~sum & 0xffff) + (~before & 0xffff) + after;
    new = (new & 0xffff) + (new >> 16);
    new = ~((new & 0xffff) + (new >> 16)) & 0xffff;
    new = new ? new : 0xffff;
    udp[6] = (uint8_t)(new >> 8);
    udp[7] = (uint8_t) new;
}

uint8_t *tftp_refuse(const struct tftp_server *server, const uint8_t *frame, size_t length)
{
    size_t udp = server->folder ? find_datagram(server, frame, length) : 0;
    if (!udp || get16(frame + udp + UDP_HEADER) != OPCODE_READ)
        return NULL;
    const char *name = (const char *)frame + udp + UDP_HEADER + 2;
    size_t most = MIN((size_t)NAME_MOST, length - (udp + UDP_HEADER + 2));
    const char *end = memchr(name, 0, most);
    if (!end || end == name)
        return NULL;
    g_autofree char *path = g_strconcat(server->folder, "/", name, NULL);
    struct stat st;
    if (stat(path, &st) || S_ISREG(st.st_mode))
        return NULL;
    trace(NET, "TFTP: %s is %s: refused", path, what_is(st.st_mode));
    uint8_t *copy = g_memdup2(frame, length);
    put(copy + udp, (size_t)(end - 1 - name) + UDP_HEADER + 2, '/'); /* no file has such a name */
    return copy;
}

bool tftp_check_file(const char *folder, const char *name, GError **error)
{
    struct stat st;
    if (!folder || !name || !*name)
        return true;
    g_autofree char *path = g_strconcat(folder, "/", name, NULL);
    if (stat(path, &st) || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return true;
    return net_fail(error, EINVAL, "bootfile=%s: %s is %s; name a file to boot from", name, path,
                    what_is(st.st_mode));
}
