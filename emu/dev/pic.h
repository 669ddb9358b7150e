/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The pair of Intel 8259A interrupt controllers at 0x20/0x21 and 0xa0/0xa1 with the PIIX3's edge/level
 * registers at 0x4d0/0x4d1. Slave on master's input 2.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/portio.h"

struct pic;

/* intr: the master's INT output (to the local APIC's LINT0). (struct device *) casts are valid for all chips.
 */
struct pic *pic_new(struct portio *io, const struct irq_line *intr);
/* Input `irq` 0…15. Input 2 is the cascade and is not connected. */
struct irq_line pic_input(struct pic *pic, unsigned irq);
/* Both INTA cycles: the vector, that of IRQ 7 (or 15) when nothing is there any more. Never fails. */
uint8_t pic_acknowledge(struct pic *pic);
bool pic_output(const struct pic *pic);                 /* level of INT */
void pic_describe(const struct pic *pic, GString *out); /* monitor `info pic` */
