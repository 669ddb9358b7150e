/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes what `netlab capture` is given: a machine's pcapng stream, in pieces and behind a good beginning,
 * and frames to be told in words, which are printable whatever the frame.
 */
#include "netlab/frame_text.h"
#include "netlab/pcapng.h"

#include <string.h>

#include "tests/fuzz/fuzz_main.h"

static void check_text(const uint8_t *data, size_t size)
{
    g_autoptr(GString) text = g_string_new(NULL);
    frame_text_add(text, data, size, size);
    if (text->len > 400)
        __builtin_trap();
    for (gsize i = 0; i < text->len; i++)
        if (!g_ascii_isprint(text->str[i]))
            __builtin_trap();
}

static void take(void *opaque, const struct pcapng_frame *frame)
{
    if (frame->captured > PCAPNG_FRAME_MOST || frame->captured > frame->length)
        __builtin_trap();
    check_text(frame->data, frame->captured);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t types[][2] = {{8, 0}, {0x86, 0xdd}, {8, 6}, {0x81, 0}};
    if (!size)
        return 0;
    struct pcapng_reader *reader = pcapng_reader_new();
    if (data[0] & 1) {
        g_autoptr(GByteArray) front = g_byte_array_new();
        pcapng_add_section(front, "fuzz", NULL);
        pcapng_add_interface(front, &(struct pcapng_interface){.name = "n", .most = 1});
        pcapng_reader_feed(reader, front->data, front->len, take, NULL, NULL);
    }
    size_t half = size / 2;
    if (pcapng_reader_feed(reader, data, half, take, NULL, NULL))
        pcapng_reader_feed(reader, data + half, size - half, take, NULL, NULL);
    pcapng_reader_free(reader);
    check_text(data, size);
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autofree uint8_t *copy = g_memdup2(data, size);
        if (size >= 14)
            memcpy(copy + 12, types[i], 2);
        check_text(copy, size);
    }
    return 0;
}

FUZZ_MAIN(20000, 160)
