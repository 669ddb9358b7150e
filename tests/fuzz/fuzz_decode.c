/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzz target: the decoder and the disassembler. The first byte chooses the mode, the rest is code. What is
 * decoded must not depend on bytes behind it, must say how many bytes it has, and must have a text.
 */
#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"
#include "tests/fuzz/fuzz_main.h"

#include <string.h>

static void check(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[4] = {NULL, "486", "pentium3", "n270"};
    static const struct cpu_model *models[4];
    const struct cpu_model *model;

    if (size < 2)
        return 0;
    for (unsigned i = 1; i < 4; i++)
        if (!models[i])
            models[i] = cpu_model_parse(names[i], NULL);
    model = models[data[0] >> 2 & 3];
    for (size_t at = 1; at < size;) {
        size_t left = size - at;
        g_autofree uint8_t *exact = NULL;
        struct insn in, again;
        char text[48];
        enum decode_result result =
            insn_decode(data + at, (unsigned)MIN(left, 16), data[0] & 1, data[0] & 2, model, &in);

        if (result == DECODE_MORE) {
            check(left < 15);
            break;
        }
        if (result != DECODE_OK) {
            at++;
            continue;
        }
        check(in.length >= 1 && in.length <= 15 && in.length <= left && in.op < INSN_COUNT && in.run);
        check(in.seg < SEG_COUNT && in.base <= GPR_ZERO && in.index <= GPR_ZERO && in.scale <= 3);
        exact = g_memdup2(data + at, in.length);
        check(insn_decode(exact, in.length, data[0] & 1, data[0] & 2, model, &again) == DECODE_OK);
        check(!memcmp(&in, &again, sizeof(in)));
        check(insn_decode(exact, in.length - 1u, data[0] & 1, data[0] & 2, model, &again) == DECODE_MORE);
        insn_format(&in, 0x1000, text, sizeof(text));
        check(strlen(text) >= 2 && strlen(text) < sizeof(text));
        at += in.length;
    }
    return 0;
}

FUZZ_MAIN(3000, 512)
