/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the look at TFTP requests: the first byte says which headers are put right over the rest, which is a
 * frame; the folder is /dev, so that names are found that are no files. What is altered differs from the
 * frame in one character of the name and in the checksum.
 */
#include "emu/net/tftp.h"

#include "tests/fuzz/fuzz_main.h"

#include <arpa/inet.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"null", "zero", "shm", "fd/..", "nothing", ".", ""};
    struct tftp_server server = {.folder = "/dev", .host = {htonl(0x0a000202)}, .host6 = {{{0xfe, 0xc0}}}};
    if (!size)
        return 0;
    uint8_t how = *data++;
    g_autofree uint8_t *frame = g_memdup2(data, --size);
    size_t header = 0;
    if (how & 1 && size > 14 + 60 + 8 + 10 + 8) { /* IPv4, IPv6 */
        uint8_t *ip = frame + 14;
        bool six = how & 2;
        frame[12] = six ? 0x86 : 0x08;
        frame[13] = six ? 0xdd : 0;
        ip[0] = six ? 0x60 : (uint8_t)(0x45 + (how >> 2 & 1));
        header = six ? 40 : (size_t)(ip[0] & 15) * 4;
        ip[six ? 6 : 9] = IPPROTO_UDP;
        memcpy(ip + (six ? 24 : 16), six ? (const void *)&server.host6 : (const void *)&server.host,
               six ? 16 : 4);
        memcpy(ip + header + 2, "\0\105", 2);
        memcpy(ip + header + 8, "\0\1", 2);
        const char *name = names[how >> 3 & 7 ? (how >> 3 & 7) - 1u : 0];
        if (how & 0x38)
            memcpy(ip + header + 10, name, strlen(name) + 1);
    }
    g_autofree uint8_t *altered = tftp_refuse(&server, frame, size);
    unsigned differences = 0;
    for (size_t i = 0; altered && i < size; i++)
        differences += altered[i] != frame[i];
    g_assert_cmpuint(differences, <=, 3);
    g_autofree uint8_t *again = altered ? tftp_refuse(&server, altered, size) : NULL;
    g_assert_true(!again || memcmp(again, altered, size) == 0); /* a folder with a slash behind it */
    return 0;
}

FUZZ_MAIN(20000, 700)
