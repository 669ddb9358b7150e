/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the text monitor: keys as they are typed at its terminal (the first byte even), or lines as they
 * come by QMP and gdb.
 */
#include "emu/machine/clock.h"

#include "tests/fuzz/fuzz_machine.h"
#include "tests/fuzz/fuzz_main.h"

#include <string.h>

static void type(struct control *control, struct char_port *port, const uint8_t *data, size_t size)
{
    control_add_monitor(control, port);
    for (size_t at = 0; at < size; at += 256)
        char_port_deliver(port, data + at, MIN(size - at, (size_t)256));
    control_prompt(control, port);
}

static void execute(struct control *control, const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 64);

    for (char **line = lines; *line; line++) {
        g_string_truncate(out, 0);
        monitor_execute(control, *line, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;

    if (!loop)
        loop = loop_new(clock_new(), NULL);
    if (!size)
        return 0;
    struct control *control = control_new(&fuzz_machine, loop);
    struct char_port *port = char_open("fuzz", "null", loop, NULL);

    if (data[0] & 1)
        execute(control, data + 1, size - 1);
    else
        type(control, port, data + 1, size - 1);
    control_free(control);
    char_free(port);
    trace_mask = 0;
    loop_dispatch(loop);
    return 0;
}

FUZZ_MAIN(1000, 4000)
