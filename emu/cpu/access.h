/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Memory as instructions see it: segment:offset → checks → linear → soft TLB → host memory or device.
 *
 * Fast path inline, everything else in mmu.c and segment.c. All functions may cpu_fault() and then do not
 * return. Values are little-endian in the low bits. `size` is in bytes. Misaligned and page-crossing accesses
 * work; a page-crossing store checks both pages before it writes a byte.
 *
 *   mem_readN(cpu, seg, offset)              a data read
 *   mem_writeN(cpu, seg, offset, value)      a data write
 *   mem_read_rmwN(cpu, seg, offset)          the read half of read-modify-write: faults as a write would; the
 *                                            following mem_writeN to the same place cannot fault
 *   mem_check_write(cpu, seg, offset, size)  faults if a write of size bytes would; for multi-part stores
 *   lin_readN / lin_writeN(cpu, linear)      without segment, at the present CPL
 *   sys_readN / sys_writeN(cpu, linear)      supervisor accesses by the CPU itself (GDT, IDT, TSS)
 *   mem_read_bytes / mem_write_bytes         any length, segment-checked (FXSAVE, FSTENV …)
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

#include <string.h>
#error "to be written by the owner of mmu.c"
