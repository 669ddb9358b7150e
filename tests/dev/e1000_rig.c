/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The bench for the e1000 tests: see e1000_rig.h.
 */
#include "tests/dev/e1000_rig.h"

static void frame_free(void *opaque)
{
    struct rig_frame *frame = opaque;
    g_free(frame->data);
    g_free(frame);
}

static enum net_result peer_receive(void *opaque, const struct net_frame *frame)
{
    struct rig *rig = opaque;
    if (rig->peer_takes == 0)
        return NET_FULL;
    if (rig->peer_takes > 0)
        rig->peer_takes--;
    if (rig->peer_forgets) {
        size_t length = 0;
        for (unsigned i = 0; i < frame->count; i++) {
            const uint8_t *piece = frame->iov[i].iov_base;
            if (frame->iov[i].iov_len)
                rig->peer_looked += piece[0] + piece[frame->iov[i].iov_len - 1];
            length += frame->iov[i].iov_len;
        }
        g_assert_cmpuint(length, ==, frame->length);
        return NET_SENT;
    }
    struct rig_frame *copy = g_new0(struct rig_frame, 1);
    copy->data = g_malloc(frame->length + 1);
    copy->offload = frame->offload;
    const uint8_t *ram = physmap_ram(rig->mem), *end = ram + physmap_ram_size(rig->mem);
    for (unsigned i = 0; i < frame->count; i++) {
        const uint8_t *piece = frame->iov[i].iov_base;
        copy->in_guest_memory |= piece >= ram && piece < end;
        memcpy(copy->data + copy->length, piece, frame->iov[i].iov_len);
        copy->length += frame->iov[i].iov_len;
    }
    g_assert_cmpuint(copy->length, ==, frame->length);
    g_ptr_array_add(rig->frames, copy);
    return NET_SENT;
}

static void peer_room(void *opaque)
{
    struct rig *rig = opaque;
    rig->peer_rooms++;
}

static void peer_poll(void *opaque)
{
    struct rig *rig = opaque;
    rig->peer_polls++;
}

static const struct net_ops peer_ops = {
    .kind = "fake", .receive = peer_receive, .room = peer_room, .poll = peer_poll};

static void route(void *opaque, unsigned pirq, bool level)
{
    struct rig *rig = opaque;
    rig->irq_ups += level && !rig->irq;
    rig->irq = level;
}

struct device *rig_add_nic(struct rig *rig, const struct e1000_config *config, GError **error)
{
    return e1000_new(rig->bus, -1, config, rig->clock, error);
}

struct rig *rig_new(unsigned peer_can)
{
    struct rig *rig = g_new0(struct rig, 1);
    rig->mem = physmap_new(16 << 20, NULL);
    physmap_add_ram(rig->mem, "ram", 0, 16 << 20, 0, 0);
    rig->io = portio_new();
    rig->clock = clock_new_manual();
    rig->bus = pci_bus_new(rig->mem, rig->io);
    pci_bus_set_router(rig->bus, route, rig);
    g_autoptr(GError) error = NULL;
    rig->nic = rig_add_nic(rig, &(struct e1000_config){.id = "net0"}, &error);
    g_assert_no_error(error);
    rig->devfn = ((struct pci_device *)rig->nic)->devfn;
    rig->port = e1000_port(rig->nic);
    rig->frames = g_ptr_array_new_with_free_func(frame_free);
    rig->peer_takes = -1;
    rig->peer = net_port_new("peer", &peer_ops, rig, peer_can);
    rig->tx_size = rig->rx_size = RIG_RING_SIZE;
    net_join(rig->port, rig->peer);
    rig_map(rig);
    return rig;
}

void rig_free(struct rig *rig)
{
    net_port_free(rig->peer);
    device_free(rig->nic);
    g_ptr_array_unref(rig->frames);
    pci_bus_free(rig->bus);
    clock_free(rig->clock);
    portio_free(rig->io);
    physmap_free(rig->mem);
    g_free(rig);
}

void rig_map(struct rig *rig)
{
    pci_config_write(rig->bus, rig->devfn, PCI_BAR0, RIG_BAR0, 4);
    pci_config_write(rig->bus, rig->devfn, PCI_BAR0 + 4, RIG_BAR1, 4);
    pci_config_write(rig->bus, rig->devfn, PCI_COMMAND,
                     PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

void rig_start(struct rig *rig)
{
    rig_advance(rig, 10000000);
    rig_write(rig, E1000_RCTL, 0);
    rig_write(rig, E1000_TCTL, 0);
    rig_write(rig, E1000_TDBAL, RIG_TX_RING);
    rig_write(rig, E1000_TDBAH, 0);
    rig_write(rig, E1000_TDLEN, rig->tx_size * 16);
    rig_write(rig, E1000_TDH, 0);
    rig_write(rig, E1000_TDT, 0);
    rig_write(rig, E1000_RDBAL, RIG_RX_RING);
    rig_write(rig, E1000_RDBAH, 0);
    rig_write(rig, E1000_RDLEN, rig->rx_size * 16);
    rig_write(rig, E1000_RDH, 0);
    rig_write(rig, E1000_RDT, 0);
    rig->tx_tail = rig->rx_tail = rig->rx_next = 0;
    rig->tx_buffer = RIG_TX_BUFFERS;
    rig_write(rig, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP);
    rig_give(rig, rig->rx_size - 1);
    rig_write(rig, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_SECRC);
    rig_read(rig, E1000_ICR);
}

uint32_t rig_read(struct rig *rig, uint32_t reg)
{
    return phys_read32(rig->mem, RIG_BAR0 + reg);
}

void rig_write(struct rig *rig, uint32_t reg, uint32_t value)
{
    phys_write32(rig->mem, RIG_BAR0 + reg, value);
}

uint16_t rig_phy_read(struct rig *rig, unsigned n)
{
    rig_write(rig, E1000_MDIC, E1000_MDIC_OP_READ | 1u << 21 | n << 16);
    uint32_t value = rig_read(rig, E1000_MDIC);
    g_assert_true(value & E1000_MDIC_R);
    g_assert_false(value & E1000_MDIC_E);
    return (uint16_t)value;
}

void rig_phy_write(struct rig *rig, unsigned n, uint16_t value)
{
    rig_write(rig, E1000_MDIC, E1000_MDIC_OP_WRITE | 1u << 21 | n << 16 | value);
    g_assert_true(rig_read(rig, E1000_MDIC) & E1000_MDIC_R);
}

void rig_advance(struct rig *rig, int64_t ns)
{
    clock_manual_advance(rig->clock, ns);
}

/* ---- transmit ---- */

void rig_tx_raw(struct rig *rig, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint64_t at = RIG_TX_RING + 16ull * rig->tx_tail;
    phys_write32(rig->mem, at, a);
    phys_write32(rig->mem, at + 4, b);
    phys_write32(rig->mem, at + 8, c);
    phys_write32(rig->mem, at + 12, d);
    rig->tx_tail = (rig->tx_tail + 1) % rig->tx_size;
}

uint32_t rig_tx_at(struct rig *rig, uint64_t address, uint32_t lower, uint32_t upper)
{
    uint32_t index = rig->tx_tail;
    rig_tx_raw(rig, (uint32_t)address, (uint32_t)(address >> 32), lower, upper);
    return index;
}

uint32_t rig_tx(struct rig *rig, const void *data, size_t length, uint32_t lower, uint32_t upper)
{
    phys_write(rig->mem, rig->tx_buffer, data, length);
    uint32_t index = rig_tx_at(rig, rig->tx_buffer, lower | (uint32_t)length, upper);
    rig->tx_buffer += (uint32_t)((length + 63) & ~63ul);
    return index;
}

void rig_kick(struct rig *rig)
{
    rig_write(rig, E1000_TDT, rig->tx_tail);
}

uint32_t rig_tx_upper(struct rig *rig, uint32_t index)
{
    return phys_read32(rig->mem, RIG_TX_RING + 16ull * index + 12);
}

const struct rig_frame *rig_frame(struct rig *rig, unsigned n)
{
    g_assert_cmpuint(n, <, rig->frames->len);
    return rig->frames->pdata[n];
}

void rig_forget_frames(struct rig *rig)
{
    g_ptr_array_set_size(rig->frames, 0);
}

/* ---- receive ---- */

enum net_result rig_inject_offload(struct rig *rig, const void *data, size_t length,
                                   const struct net_offload *offload)
{
    struct iovec iov = {.iov_base = (void *)data, .iov_len = length};
    struct net_frame frame = {.iov = &iov, .count = 1, .length = length};
    if (offload)
        frame.offload = *offload;
    return net_send(rig->peer, &frame);
}

enum net_result rig_inject(struct rig *rig, const void *data, size_t length)
{
    return rig_inject_offload(rig, data, length, NULL);
}

void rig_give(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = RIG_RX_RING + 16ull * rig->rx_tail;
        phys_write64(rig->mem, at, RIG_RX_BUFFERS + (uint64_t)rig->rx_tail * RIG_RX_STRIDE);
        phys_write64(rig->mem, at + 8, 0);
        rig->rx_tail = (rig->rx_tail + 1) % rig->rx_size;
    }
    rig_write(rig, E1000_RDT, rig->rx_tail);
}

bool rig_received(struct rig *rig, struct rig_received *out)
{
    memset(out, 0, offsetof(struct rig_received, data));
    out->length = 0;
    out->descriptors = 0;
    for (;;) {
        uint64_t at = RIG_RX_RING + 16ull * rig->rx_next;
        out->status = phys_read8(rig->mem, at + 12);
        if (!(out->status & E1000_RXD_DD))
            return false;
        out->errors = phys_read8(rig->mem, at + 13);
        out->special = phys_read16(rig->mem, at + 14);
        out->checksum = phys_read16(rig->mem, at + 10);
        size_t n = phys_read16(rig->mem, at + 8);
        g_assert_cmpuint(out->length + n, <=, sizeof out->data);
        phys_read(rig->mem, phys_read64(rig->mem, at), out->data + out->length, n);
        out->length += n;
        out->descriptors++;
        phys_write8(rig->mem, at + 12, 0);
        rig->rx_next = (rig->rx_next + 1) % rig->rx_size;
        if (out->status & E1000_RXD_EOP)
            return true;
    }
}

/* ---- frames and checksums ---- */

void rig_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void rig_put32(uint8_t *p, uint32_t v)
{
    rig_put16(p, v >> 16);
    rig_put16(p + 2, v & 0xffff);
}

unsigned rig_get16(const uint8_t *p)
{
    return (unsigned)(p[0] << 8 | p[1]);
}

uint32_t rig_get32(const uint8_t *p)
{
    return (uint32_t)rig_get16(p) << 16 | rig_get16(p + 2);
}

uint16_t rig_sum(const uint8_t *data, size_t length, uint32_t start)
{
    uint32_t sum = start;
    for (size_t i = 0; i < length; i++) {
        sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static bool is_v6(int kind)
{
    return kind == RIG_TCP6 || kind == RIG_UDP6;
}

static bool is_tcp(int kind)
{
    return kind == RIG_TCP4 || kind == RIG_TCP6;
}

size_t rig_l4(int kind)
{
    return 14 + (is_v6(kind) ? 40 : 20);
}

size_t rig_l4_field(int kind)
{
    return is_tcp(kind) ? 16 : 6;
}

size_t rig_headers(int kind)
{
    return rig_l4(kind) + (is_tcp(kind) ? 32 : 8); /* TCP with 12 bytes of options */
}

uint16_t rig_pseudo(const uint8_t *frame, int kind, uint32_t length)
{
    uint32_t start = (is_tcp(kind) ? 6 : 17) + (length >> 16) + (length & 0xffff);
    return is_v6(kind) ? rig_sum(frame + 14 + 8, 32, start) : rig_sum(frame + 14 + 12, 8, start);
}

size_t rig_packet(uint8_t *frame, int kind, size_t payload)
{
    static const uint8_t addresses[12] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56,
                                          0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};
    size_t headers = rig_headers(kind), l4 = rig_l4(kind), length = headers + payload;
    memset(frame, 0, headers);
    memcpy(frame, addresses, sizeof addresses);
    rig_put16(frame + 12, is_v6(kind) ? 0x86dd : 0x0800);
    uint8_t *ip = frame + 14, *t = frame + l4;
    if (is_v6(kind)) {
        ip[0] = 0x60;
        rig_put16(ip + 4, (unsigned)(length - l4));
        ip[6] = is_tcp(kind) ? 6 : 17;
        ip[7] = 64;
        for (unsigned i = 0; i < 16; i++) {
            ip[8 + i] = (uint8_t)(0xf0 + i);
            ip[24 + i] = (uint8_t)(0x11 * i);
        }
    } else {
        ip[0] = 0x45;
        rig_put16(ip + 2, (unsigned)(length - 14));
        rig_put16(ip + 4, 0xfffe); /* the identification wraps in bursts */
        rig_put16(ip + 6, 0x4000);
        ip[8] = 64;
        ip[9] = is_tcp(kind) ? 6 : 17;
        rig_put32(ip + 12, 0x0a000001);
        rig_put32(ip + 16, 0xc0a8fffe);
        rig_put16(ip + 10, (uint16_t)~rig_sum(ip, 20, 0));
    }
    rig_put16(t, 4242);
    rig_put16(t + 2, 80);
    if (is_tcp(kind)) {
        rig_put32(t + 4, 0xfffffff0); /* so does the sequence number */
        rig_put32(t + 8, 0x01020304);
        t[12] = 0x80;
        t[13] = 0x18; /* PSH, ACK */
        rig_put16(t + 14, 1024);
        memcpy(t + 20, "\x01\x01\x08\x0a\x12\x34\x56\x78\x9a\xbc\xde\xf0", 12);
    } else {
        rig_put16(t + 4, (unsigned)(length - l4));
    }
    for (size_t i = 0; i < payload; i++)
        frame[headers + i] = (uint8_t)(i * 7 + (i >> 8));
    uint16_t sum = (uint16_t)~rig_sum(t, length - l4, rig_pseudo(frame, kind, (uint32_t)(length - l4)));
    rig_put16(t + rig_l4_field(kind), sum ? sum : 0xffff);
    return length;
}

bool rig_sums_right(const uint8_t *frame, size_t length)
{
    size_t l3 = 14;
    while (rig_get16(frame + l3 - 2) == 0x8100)
        l3 += 4;
    const uint8_t *ip = frame + l3;
    if (rig_get16(ip - 2) == 0x0800) {
        size_t header = 4u * (ip[0] & 15), total = rig_get16(ip + 2);
        if (rig_sum(ip, header, 0) != 0xffff || l3 + total > length)
            return false;
        return rig_sum(ip + header, total - header,
                       rig_sum(ip + 12, 8, ip[9] + (uint32_t)(total - header))) == 0xffff;
    }
    size_t payload = rig_get16(ip + 4);
    if (l3 + 40 + payload > length)
        return false;
    return rig_sum(ip + 40, payload, rig_sum(ip + 8, 32, ip[6] + (uint32_t)payload)) == 0xffff;
}
