/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the terminal of text consoles: bytes as a guest writes them, to screens of two sizes, looked at in
 * between. The first byte says how large and where the looks are.
 */
#include "emu/display/vt.h"

#include "tests/fuzz/fuzz_main.h"

static size_t answered;

static void answer(void *opaque, const uint8_t *data, size_t len)
{
    answered += len;
}

static void look(struct vt *vt, struct display_text *text)
{
    vt_text(vt, text);
    g_assert(text->cursor_row < (int)text->rows && text->cursor_column < (int)text->columns);
    for (unsigned i = 0; i < text->rows * text->columns; i++)
        g_assert(text->cells[i].code); /* a cell always shows something that was written */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct display_text text;
    if (!size)
        return 0;
    struct vt *vt = data[0] & 1 ? vt_new(80, 24, answer, NULL) : vt_new(1, 1, answer, NULL);
    size_t step = 1 + (data[0] >> 1);
    for (size_t at = 1; at < size; at += step) {
        vt_write(vt, data + at, MIN(step, size - at));
        vt_scroll(vt, (int8_t)data[at]);
        look(vt, &text);
        if (data[at] & 1)
            vt_scroll_home(vt);
    }
    vt_free(vt);
    return 0;
}

FUZZ_MAIN(2000, 2048)
