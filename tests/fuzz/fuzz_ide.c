/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A guest that means harm, against the IDE function: port accesses of any size, PRD tables of any content,
 * packets, bus-master starts and stops, resets, media that come and go, damaged saved state, requests that
 * are answered at times of the guest's. The sanitizers judge; and no
 * operation may take longer than its data. libFuzzer target with -DNETLAB_FUZZ=ON, else a test with a fixed
 * series of inputs.
 */
#include "tests/dev/ide_rig.h"
#include "tests/fuzz/fuzz_main.h"

#include <string.h>

enum { OPERATIONS_MOST = 200 };

struct input {
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes && in->left; i++, in->data++, in->left--)
        value |= (uint32_t)*in->data << 8 * i;
    return value;
}

static const uint8_t commands[] = {0x06, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39,
                                   0x3d, 0xc4, 0xc5, 0xc8, 0xca, 0xec, 0xef, 0xa0, 0xa1,
                                   0xa0, 0x08, 0x90, 0x91, 0xf8, 0xf9, 0xb0, 0xe7, 0xc6};
static const uint8_t packets[] = {0x28, 0xa8, 0xbe, 0x43, 0x46, 0x4a, 0x51,
                                  0x52, 0x5a, 0x1a, 0x12, 0x03, 0xad, 0xbd};

static void operate(struct ide_rig *r, struct input *in)
{
    static const uint16_t ports[] = {0x1f0, 0x1f1,      0x1f2,          0x1f3,          0x1f4, 0x1f5, 0x1f6,
                                     0x3f6, RIG_MASTER, RIG_MASTER + 2, RIG_MASTER + 4, 0x170, 0x177};
    uint16_t port = ports[take(in, 1) % G_N_ELEMENTS(ports)];
    unsigned size = 1u << take(in, 1) % 3;
    switch (take(in, 1) % 12) {
    case 0:
        portio_write(r->b->io, port, take(in, 4), size);
        break;
    case 1:
        portio_read(r->b->io, port, size);
        break;
    case 2:
        out8(r->b, 0x1f7, commands[take(in, 1) % G_N_ELEMENTS(commands)]);
        break;
    case 3: /* a packet */
        out8(r->b, 0x1f6, 0xb0);
        out8(r->b, 0x1f1, take(in, 1) & 1);
        out16(r->b, 0x1f4, (uint16_t)take(in, 2));
        out8(r->b, 0x1f7, 0xa0);
        out16(r->b, 0x1f0, packets[take(in, 1) % G_N_ELEMENTS(packets)]);
        for (unsigned i = 0; i < 5; i++)
            out16(r->b, 0x1f0, (uint16_t)(take(in, 1) & 1 ? take(in, 2) : take(in, 1)));
        break;
    case 4: /* data */
        for (unsigned i = take(in, 2) % 2000; i-- > 0;)
            in32(r->b, 0x1f0);
        break;
    case 5:
        for (unsigned i = take(in, 2) % 2000; i-- > 0;)
            out32(r->b, 0x1f0, i * 0x9e3779b9u);
        break;
    case 6: /* a PRD table */
        for (unsigned i = take(in, 1) % 8; i-- > 0;) {
            phys_write32(r->b->mem, 0x1000 + 8 * i, take(in, 4));
            phys_write32(r->b->mem, 0x1004 + 8 * i, take(in, 2) | (take(in, 1) & 1 ? 1u << 31 : 0));
        }
        out32(r->b, RIG_MASTER + 4, take(in, 1) & 3 ? 0x1000 : take(in, 4));
        out8(r->b, RIG_MASTER, (uint8_t)(take(in, 1) & 9));
        break;
    case 10: /* TRIM: ranges of any content */
        for (unsigned i = 0; i < 16; i++)
            phys_write32(r->b->mem, 0x2000 + 4 * i, take(in, 1) & 1 ? take(in, 4) : take(in, 2));
        phys_write32(r->b->mem, 0x1000, 0x2000);
        phys_write32(r->b->mem, 0x1004, 512 | 1u << 31);
        out32(r->b, RIG_MASTER + 4, 0x1000);
        out8(r->b, 0x1f6, 0xe0);
        out8(r->b, 0x1f1, 1);
        out8(r->b, 0x1f2, 0);
        out8(r->b, 0x1f2, (uint8_t)(take(in, 1) & 3));
        out8(r->b, 0x1f7, 0x06);
        out8(r->b, RIG_MASTER, 1);
        break;
    case 7:
        pci_config_write(r->bus, 9, (uint8_t)take(in, 1), take(in, 4), size);
        pci_config_write(r->bus, 9, PCI_BAR0 + 16, RIG_MASTER, 4);
        pci_config_write(r->bus, 9, PCI_COMMAND, 5, 2);
        break;
    case 11: { /* saved state, damaged or not */
        struct device *device = (struct device *)r->ide;
        g_autoptr(GByteArray) state = g_byte_array_new();
        size_t pos = 0;
        state_save(device->class->state, "ide", device, state);
        for (unsigned i = take(in, 1) % 4; i-- > 0;)
            state->data[take(in, 4) % state->len] = (uint8_t)take(in, 1);
        state_load(device->class->state, "ide", device, state->data, state->len, &pos, NULL);
        break;
    }
    case 8:
        if (take(in, 1) & 1)
            block_eject(r->cd, true, NULL);
        else
            device_reset((struct device *)r->ide);
        break;
    case 9: {
        g_autofree char *path = g_build_filename(r->folder, "cd", NULL);
        block_insert(r->cd, path, BLOCK_FORMAT_RAW, true, NULL);
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct ide_rig r = {0};
    r.steady = size & 1;
    ide_rig_set_up(&r);
    for (unsigned i = 0; i < OPERATIONS_MOST && in.left; i++) {
        operate(&r, &in);
        clock_manual_advance(r.b->clock, 30000);
    }
    ide_rig_tear_down(&r);
    return 0;
}

FUZZ_MAIN(300, 1500)
