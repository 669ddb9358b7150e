/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * GDB's remote serial protocol on a character port: `target remote` debugs the guest, kernel and all.
 * Machine thread only; the machine is known by struct control_machine and struct control_debug alone.
 */
#pragma once

#include "emu/control/control.h"

enum control_break { CONTROL_BREAK_EXEC, CONTROL_BREAK_WRITE, CONTROL_BREAK_READ, CONTROL_BREAK_ACCESS };

/* What a debugger needs of the machine beside struct control_machine. Registers are numbered as GDB numbers
 * them in the description that gdbstub.c sends. */
struct control_debug {
    void *opaque;
    void (*attach)(void *opaque, bool attached);
    unsigned (*get_register)(void *opaque, unsigned number, uint8_t out[16]); /* its size, 0: none such */
    bool (*set_register)(void *opaque, unsigned number, const uint8_t *value);
    size_t (*write_memory)(void *opaque, uint32_t linear, const void *buf, size_t len);
    bool (*breakpoint)(void *opaque, bool add, enum control_break kind, uint32_t linear, uint32_t len);
    /* Whether it was a point that stopped the machine, and which. */
    bool (*hit)(void *opaque, enum control_break *kind, uint32_t *linear);
    void (*step)(void *opaque); /* one instruction; the machine is stopped and stays so */
};

struct gdbstub;
/* The port stays the caller's, and must outlive the stub, as `machine` and `debug` must. */
struct gdbstub *gdbstub_new(struct control *control, const struct control_machine *machine,
                            const struct control_debug *debug, struct char_port *port);
void gdbstub_free(struct gdbstub *stub);
/* The machine stopped or ended: control.c tells what it tells QMP's clients. */
void gdbstub_event(struct gdbstub *stub, const char *name);
/* Feeds bytes of the peer, for its fuzzer. */
void gdbstub_feed(struct gdbstub *stub, const uint8_t *data, size_t len);
