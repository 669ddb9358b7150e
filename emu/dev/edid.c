/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * EDID: see edid.h. The preferred mode's timing is CVT's with reduced blanking at 60 Hz (VESA CVT 1.1), for a
 * monitor of 100 dots an inch.
 */
#include "emu/dev/edid.h"

#include <assert.h>
#include <glib.h>
#include <string.h>

enum {
    DPI = 100,
    RATE = 60,
    H_BLANK = 160,
    H_FRONT = 48,
    H_SYNC = 32,
    V_FRONT = 3,
    V_SYNC = 6,
    V_BACK_LEAST = 6
};
enum { V_BLANK_US = 460 };

static unsigned millimetres(unsigned pixels)
{
    return pixels * 254 / (DPI * 10);
}

static void detailed_timing(unsigned width, unsigned height, uint8_t *out)
{
    /* Lines that the 460 µs of blanking are long, at the time a line takes. */
    unsigned blank =
        (unsigned)((uint64_t)V_BLANK_US * height * RATE / (1000000 - (uint64_t)V_BLANK_US * RATE)) + 1;
    blank = MAX(blank, (unsigned)(V_FRONT + V_SYNC + V_BACK_LEAST));
    uint64_t clock = (uint64_t)(width + H_BLANK) * (height + blank) * RATE / 10000; /* in 10 kHz */
    unsigned wide = millimetres(width), high = millimetres(height);
    const uint8_t bytes[18] = {
        (uint8_t)MIN(clock, 0xffff),
        (uint8_t)(MIN(clock, 0xffff) >> 8),
        (uint8_t)width,
        (uint8_t)H_BLANK,
        (uint8_t)(width >> 8 << 4 | H_BLANK >> 8),
        (uint8_t)height,
        (uint8_t)blank,
        (uint8_t)(height >> 8 << 4 | blank >> 8),
        H_FRONT,
        H_SYNC,
        V_FRONT << 4 | V_SYNC,
        0,
        (uint8_t)wide,
        (uint8_t)high,
        (uint8_t)(wide >> 8 << 4 | high >> 8),
        0,
        0,
        0x1a /* separate digital syncs, the horizontal one positive */
    };
    memcpy(out, bytes, sizeof bytes);
}

static void text_descriptor(uint8_t kind, const char *text, uint8_t *out)
{
    memset(out, ' ', 18);
    memset(out, 0, 5);
    out[3] = kind;
    memcpy(out + 5, text, strlen(text));
    if (strlen(text) < 13)
        out[5 + strlen(text)] = '\n';
}

void edid_make(unsigned width, unsigned height, uint8_t out[EDID_BYTES])
{
    static const uint8_t start[] = {0,    0xff,           0xff, 0xff, 0xff, 0xff, 0xff, 0,
                                    0x39, 0x82 /* NLB */, 0x34, 0x12, 0,    0,    0,    0,
                                    1,    32 /* 2022 */,  1,    4,    0xa5 /* digital, 8 bits a colour */};
    static const uint8_t middle[] = {120 /* gamma 2.2 */,
                                     0x06,
                                     0xee,
                                     0x91,
                                     0xa3,
                                     0x54,
                                     0x4c,
                                     0x99,
                                     0x26,
                                     0x0f,
                                     0x50,
                                     0x54, /* sRGB */
                                     0x21,
                                     0x08,
                                     0x00, /* 640×480, 800×600, 1024×768 at 60 Hz */
                                     0x81,
                                     0x80,
                                     0x81,
                                     0x00,
                                     0xa9,
                                     0x40,
                                     0xd1,
                                     0xc0, /* 1280×1024, 1280×800, 1600×1200, 1920×1080 */
                                     1,
                                     1,
                                     1,
                                     1,
                                     1,
                                     1,
                                     1,
                                     1};
    static const uint8_t limits[18] = {0,   0, 0,    0xfd, 0,   50,  125, 30,  160,
                                       255, 1, '\n', ' ',  ' ', ' ', ' ', ' ', ' '};
    static_assert(sizeof start == 21 && sizeof middle == 31, "EDID 1.4, table 3.1");
    width = CLAMP(width, (unsigned)EDID_SIZE_LEAST, (unsigned)EDID_SIZE_MOST) & ~7u;
    height = CLAMP(height, (unsigned)EDID_HEIGHT_LEAST, (unsigned)EDID_SIZE_MOST);
    memset(out, 0, EDID_BYTES);
    memcpy(out, start, sizeof start);
    out[21] = (uint8_t)MIN(millimetres(width) / 10, 255u);
    out[22] = (uint8_t)MIN(millimetres(height) / 10, 255u);
    memcpy(out + 23, middle, sizeof middle);
    detailed_timing(width, height, out + 54);
    memcpy(out + 72, limits, sizeof limits);
    text_descriptor(0xfc, "netlab-emu", out + 90);
    text_descriptor(0xff, "1", out + 108);
    uint8_t sum = 0;
    for (unsigned i = 0; i < EDID_BYTES - 1; i++)
        sum = (uint8_t)(sum + out[i]);
    out[EDID_BYTES - 1] = (uint8_t)-sum;
}
