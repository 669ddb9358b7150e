/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The telnet protocol on a character port, so that people's telnet clients type a character at a time: who
 * connects is told that we echo, that nobody waits for go-aheads and that data are binary (RFC 854, 856, 857,
 * 858). What the client says about options is taken out of the stream and needs no answer: whatever it
 * refuses, the stream stays readable. BREAK is a line break; a 255 among the data is doubled, both ways.
 */
#include "emu/char/char_internal.h"

enum { SE = 240, BREAK = 243, SB = 250, WILL = 251, DO = 253, DONT = 254, IAC = 255 };
enum { OPTION_BINARY = 0, OPTION_ECHO = 1, OPTION_NO_GO_AHEAD = 3 };

struct char_telnet {
    enum { DATA, COMMAND, OPTION, SUBOPTION, SUBOPTION_COMMAND } state;
};

struct char_telnet *char_telnet_new(void)
{
    return g_new0(struct char_telnet, 1);
}

void char_telnet_begin(struct char_telnet *telnet, const uint8_t **hello, size_t *len)
{
    static const uint8_t words[] = {IAC, WILL, OPTION_ECHO,   IAC, WILL, OPTION_NO_GO_AHEAD,
                                    IAC, WILL, OPTION_BINARY, IAC, DO,   OPTION_BINARY};

    telnet->state = DATA;
    *hello = words;
    *len = sizeof words;
}

size_t char_telnet_filter(struct char_telnet *telnet, uint8_t *data, size_t len, bool *broke)
{
    size_t kept = 0;

    *broke = false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = data[i];

        switch (telnet->state) {
        case DATA:
            if (c == IAC)
                telnet->state = COMMAND;
            else
                data[kept++] = c;
            break;
        case COMMAND:
            telnet->state = c == SB ? SUBOPTION : c >= WILL && c <= DONT ? OPTION : DATA;
            if (c == IAC)
                data[kept++] = IAC;
            *broke |= c == BREAK;
            break;
        case OPTION:
            telnet->state = DATA;
            break;
        case SUBOPTION:
            if (c == IAC)
                telnet->state = SUBOPTION_COMMAND;
            break;
        case SUBOPTION_COMMAND:
            telnet->state = c == SE ? DATA : SUBOPTION;
            break;
        }
    }
    return kept;
}
