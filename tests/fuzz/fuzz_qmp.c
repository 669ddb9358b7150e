/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes a QMP session: bytes as a client would send them, in two pieces. The first byte chooses whether the
 * session has negotiated, and where the cut is.
 */
#include "emu/machine/clock.h"

#include "tests/fuzz/fuzz_machine.h"
#include "tests/fuzz/fuzz_main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    if (!loop)
        loop = loop_new(clock_new(), NULL);
    if (!size)
        return 0;
    struct control *control = control_new(&fuzz_machine, loop);
    struct char_port *port = char_open("fuzz", "null", loop, NULL);
    control_add_qmp(control, port, false);
    if (data[0] & 1)
        char_port_deliver(port, (const uint8_t *)hello, sizeof hello - 1);
    size_t cut = MIN((size_t)(data[0] >> 1), size - 1);
    char_port_deliver(port, data + 1, cut);
    /* in pieces no larger than a port reads at a time */
    for (size_t at = 1 + cut; at < size; at += 1024)
        char_port_deliver(port, data + at, MIN(size - at, (size_t)1024));
    control_event(control, "STOP", NULL);
    control_free(control);
    char_free(port);
    trace_mask = 0;
    loop_dispatch(loop);
    return 0;
}

FUZZ_MAIN(1000, 4000)
