/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Tracing for people: `netlab-emu --trace e1000,irq` prints one line an event on stderr or to `-D file`.
 *
 * A trace point costs one test of a global word when off; never format anything outside the macro. The mask
 * and the output are process-wide and set once at start (or by the monitor), on the machine's thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* name of the category, and what a person sees with it */
#define TRACE_CATEGORIES(X)                                                                                  \
    X(BLOCK, block, "decoded blocks: made, dropped")                                                         \
    X(TB, tb, "translated blocks: made, with their sizes")                                                   \
    X(IN_ASM, in_asm, "guest code of each block that is translated")                                         \
    X(OP, op, "how each instruction was translated")                                                         \
    X(OUT_ASM, out_asm, "host code of each block that is translated")                                        \
    X(EXEC, exec, "blocks as they are entered; blocks are not linked then")                                  \
    X(INT, int, "interrupts and exceptions the CPU takes")                                                   \
    X(MMU, mmu, "page faults, TLB flushes")                                                                  \
    X(TASK, task, "task switches, gates")                                                                    \
    X(PORT, port, "I/O ports nobody claims")                                                                 \
    X(MMIO, mmio, "memory accesses nobody claims")                                                           \
    X(IRQ, irq, "interrupt lines and controllers")                                                           \
    X(PIT, pit, "8254 timer")                                                                                \
    X(RTC, rtc, "clock and CMOS")                                                                            \
    X(UART, uart, "16550 serial ports")                                                                      \
    X(I8042, i8042, "keyboard controller")                                                                   \
    X(PCI, pci, "configuration space, BARs")                                                                 \
    X(ACPI, acpi, "power management")                                                                        \
    X(LAPIC, lapic, "local APIC")                                                                            \
    X(IOAPIC, ioapic, "I/O APIC")                                                                            \
    X(FWCFG, fwcfg, "fw_cfg")                                                                                \
    X(VGA, vga, "VGA registers and modes")                                                                   \
    X(E1000, e1000, "e1000 registers, descriptors, frames")                                                  \
    X(IDE, ide, "disk and CD-ROM commands")                                                                  \
    X(FDC, fdc, "floppy controller")                                                                         \
    X(PFLASH, pflash, "commands to the firmware's flash chips")                                              \
    X(NET, net, "frames between NICs and back ends")                                                         \
    X(DISPLAY, display, "viewers of the screen, their keys")                                                 \
    X(CHAR, char, "character back ends")                                                                     \
    X(QMP, qmp, "control socket")                                                                            \
    X(LOOP, loop, "event loop and doorbell")                                                                 \
    X(BOOT, boot, "kernel loading")                                                                          \
    X(RESET, reset, "resets: their cause, and the CPU's registers before each")

enum trace_category {
#define X(id, name, help) TRACE_##id,
    TRACE_CATEGORIES(X)
#undef X
        TRACE_COUNT
};
_Static_assert(TRACE_COUNT <= 64, "the mask is 64 bits");

extern uint64_t trace_mask;

#define trace_on(cat) (G_UNLIKELY(trace_mask & (1ull << TRACE_##cat)))
/* trace(E1000, "TDT=%u", tdt); adds time, category and newline itself. */
#define trace(cat, ...)                                                                                      \
    do {                                                                                                     \
        if (trace_on(cat))                                                                                   \
            trace_write(TRACE_##cat, __VA_ARGS__);                                                           \
    } while (0)

void trace_write(enum trace_category cat, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* "e1000,irq" or "all"; an unknown name is an error that lists the nearest and all names. */
bool trace_enable(const char *list, GError **error);
/* Sends traces to a file instead of stderr; NULL goes back. */
bool trace_set_file(const char *path, GError **error);
FILE *trace_file(void);
const char *trace_name(enum trace_category category);
/* One line a category: name and help. */
void trace_describe(GString *out);
