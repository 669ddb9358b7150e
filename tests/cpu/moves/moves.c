/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A hostile BIOS: it moves what stands where while it runs there. The PAM registers of its own segment and of
 * the others are switched under the code, BARs of VGA, e1000 and the IDE's bus master go over RAM, ROM, each
 * other, the APICs, to 0 and to the end of 4 GiB, decoding and bus mastering are switched off in the middle
 * of a transfer, code runs from shadow RAM and from the frame buffer, the e1000 takes its own registers for
 * descriptors.
 *
 * What is defined is compared with a model as it is used: Intel 82441FX (290549), "PAM" (reads go to DRAM
 * with RE, writes with WE, else to PCI; DRAM below 1 MiB but for that, and up to the top of memory, before
 * any BAR), PCI 2.1 chapter 6.2.5 (BARs, command register), Programming Interface for Bus Master IDE 1.0. A
 * difference is a line that begins with "WRONG", and the end. What is not defined (who answers where two
 * claim an address) is done and not looked at. A line every so many steps has a sum over all that was looked
 * at: the same seed gives the same lines by every engine.
 *
 * The runner writes seed, number of steps and flags into the image (start.S); the disk's sector n holds
 * n * 0x9e3779b1 + i at its dword i.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
    ONLY_SURE = 1
}; /* flags: leave out what QEMU does otherwise: WE without RE, ones where nobody answers */
enum { DEBUG = 0xe9, EXIT = 0xf4, CONFADD = 0xcf8, CONFDATA = 0xcfc };
enum { PCICMD_IO = 1, PCICMD_MEMORY = 2, PCICMD_MASTER = 4 };
enum { PAM_RE = 1, PAM_WE = 2, SEGMENTS = 13 };
enum {
    SHADOW = 0xc0000,
    SHADOW_SIZE = 0x40000,
    BIOS = 0xf0000,
    SCRATCH_IN_BIOS = 0x8000,
    START_IN_BIOS = 0xffe0
};
enum {
    RAM = 0x300000,
    RAM_SIZE = 0x10000,
    WASTE = 0x380000,
    PRD = 0x3f0000,
    MODEL = 0x400000,
    ROM = 0x480000,
    RAM_MODEL = 0x4a0000
};
enum {
    DISK_SECTORS = 2048,
    STUB = 0x40,
    STUBS = 8,
    FRAME = 0xe0000000u,
    FRAME_SIZE = 16 << 20,
    MASTER_BASE = 0xc000
};
enum { LONGEST_WAIT = 50000000 };

struct function {
    uint8_t devfn, bar;
    uint32_t size;
    bool io;
    uint32_t base;    /* as the BAR has it */
    uint16_t command; /* of its function */
};
enum { VGA_FRAME, VGA_REGISTERS, NIC_REGISTERS, NIC_PORTS, IDE_MASTER, WINDOWS };

extern const volatile uint32_t seed, steps, flags;
extern uint8_t variant_value[];
uint32_t variant(void);
static struct function windows[WINDOWS];
static uint8_t pam[SEGMENTS];
static uint32_t dice, sum, step;

static inline void out8(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void out16(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void out32(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline uint8_t in8(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t in32(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t load(uint32_t at)
{
    return *(volatile uint32_t *)at;
}
static inline void store(uint32_t at, uint32_t v)
{
    *(volatile uint32_t *)at = v;
}

static void text(const char *s)
{
    while (*s)
        out8(DEBUG, (uint8_t)*s++);
}

static void hex(uint32_t v)
{
    for (int i = 28; i >= 0; i -= 4)
        out8(DEBUG, (uint8_t)("0123456789abcdef"[v >> i & 15]));
    out8(DEBUG, ' ');
}

static void finish(uint8_t code)
{
    out8(EXIT, code);
    for (;;)
        __asm__ volatile("hlt");
}

static uint32_t chance(uint32_t n)
{
    dice ^= dice << 13;
    dice ^= dice >> 17;
    dice ^= dice << 5;
    return dice % n;
}

static void check(const char *what, uint32_t at, uint32_t is, uint32_t wanted)
{
    sum = ((sum << 5 | sum >> 27) ^ is) * 0x9e3779b1u + 1;
    if (is == wanted)
        return;
    text("WRONG ");
    text(what);
    text(" at ");
    hex(at);
    text("is ");
    hex(is);
    text("and not ");
    hex(wanted);
    text("in step ");
    hex(step);
    out8(DEBUG, '\n');
    finish(1);
}

/* ---- configuration space ---- */

static void config_address(uint8_t devfn, uint8_t reg)
{
    out32(CONFADD, 0x80000000u | (uint32_t)devfn << 8 | (reg & 0xfc));
}

static uint32_t config_read(uint8_t devfn, uint8_t reg)
{
    config_address(devfn, reg);
    return in32(CONFDATA);
}

static void config_write(uint8_t devfn, uint8_t reg, uint32_t value)
{
    config_address(devfn, reg);
    out32(CONFDATA, value);
}

static void set_command(unsigned devfn, uint16_t command)
{
    config_address((uint8_t)devfn, 4);
    out16(CONFDATA, command);
    for (unsigned i = 0; i < WINDOWS; i++)
        if (windows[i].devfn == devfn)
            windows[i].command = command;
    check("a command register", devfn, config_read((uint8_t)devfn, 4) & 7, command);
}

static void set_base(struct function *w, uint32_t base)
{
    config_write(w->devfn, (uint8_t)(0x10 + 4 * w->bar), base);
    w->base = base & ~(w->size - 1);
    check("a BAR", w->base, config_read(w->devfn, (uint8_t)(0x10 + 4 * w->bar)) & ~15u, w->base & ~15u);
}

static bool decoded(const struct function *w)
{
    return w->command & (w->io ? PCICMD_IO : PCICMD_MEMORY) && w->base;
}

/* Whether any memory window but `not` is over it. */
static bool covered(uint32_t at, uint32_t len, const struct function * not )
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        const struct function *w = &windows[i];
        if (!w->io && w != not &&w->command & PCICMD_MEMORY && at - w->base < w->size + len &&
            at + len > w->base)
            return true;
    }
    return false;
}

/* ---- PAM ---- */

static unsigned segment_of(uint32_t at)
{
    return at >= BIOS ? 12 : (at - SHADOW) >> 14;
}

static void set_pam(unsigned segment, uint8_t bits)
{
    uint8_t reg = segment == 12 ? 0x59 : (uint8_t)(0x5a + segment / 2),
            shift = segment == 12 || segment & 1 ? 4 : 0;
    if (flags & ONLY_SURE && bits == PAM_WE)
        bits = PAM_WE | PAM_RE;
    config_address(0, reg);
    uint8_t old = in8((uint16_t)(CONFDATA + (reg & 3)));
    out8((uint16_t)(CONFDATA + (reg & 3)), (uint8_t)((old & ~(3u << shift)) | (unsigned)bits << shift));
    pam[segment] = bits;
}

/* What a read of the dword gives; false: not defined. */
static bool expected(uint32_t at, uint32_t *value)
{
    if (pam[segment_of(at)] & PAM_RE) {
        *value = load(MODEL + at - SHADOW);
        return true;
    }
    if (covered(at, 4, 0))
        return false;
    if (at >= BIOS) {
        *value = load(ROM + at - BIOS);
        return true;
    }
    *value = 0xffffffff;
    return !(flags & ONLY_SURE);
}

/* Aligned; not where this program is. */
static uint32_t some_shadow(void)
{
    uint32_t at = SHADOW + 4 * chance(SHADOW_SIZE / 4);
    if (at >= BIOS && (at - BIOS < SCRATCH_IN_BIOS || at - BIOS >= START_IN_BIOS))
        at = BIOS + SCRATCH_IN_BIOS + 4 * chance(0x1000);
    return at;
}

static void noted_write(uint32_t at, uint32_t value)
{
    if (pam[segment_of(at)] & PAM_WE)
        store(MODEL + at - SHADOW, value);
}

static void write_shadow(void)
{
    uint32_t at = some_shadow(), value = chance(0xffffffff);
    store(at, value);
    noted_write(at, value);
}

static void read_shadow(void)
{
    uint32_t at = some_shadow(), wanted;
    if (expected(at, &wanted))
        check("shadow RAM", at, load(at), wanted);
}

static uint32_t call(uint32_t at)
{
    uint32_t value;
    __asm__ volatile("call *%1" : "=a"(value) : "r"(at) : "ecx", "edx", "memory", "cc");
    return value;
}

/* mov eax, value; ret: written as two dwords where code has run before. */
static void run_stub(void)
{
    unsigned segment = chance(SEGMENTS);
    uint32_t at =
        (segment == 12 ? BIOS + SCRATCH_IN_BIOS : SHADOW + (segment << 14)) + 0x2000 + STUB * chance(STUBS);
    uint32_t value = chance(0xffffffff), lower = value << 8 | 0xb8, upper = 0xc300 | value >> 24, have[2];
    store(at, lower);
    noted_write(at, lower);
    store(at + 4, upper);
    noted_write(at + 4, upper);
    if (!(pam[segment] & PAM_RE)) /* what is below is no code */
        return;
    have[0] = load(MODEL + at - SHADOW);
    have[1] = load(MODEL + at + 4 - SHADOW);
    if ((have[0] & 0xff) == 0xb8 && (have[1] & 0xffffff00) == 0xc300)
        check("code in shadow RAM", at, call(at), have[0] >> 8 | have[1] << 24);
}

/* This code's own segment goes away under it, and comes back. */
static void run_switched(void)
{
    uint8_t before = pam[12];
    for (unsigned i = 0; i < 3 + chance(40); i++) {
        set_pam(12, (uint8_t)chance(4));
        check("code under PAM0", BIOS, variant(), pam[12] & PAM_RE ? 2 : 1);
    }
    set_pam(12, before);
}

/* ---- windows ---- */

static void move_window(void)
{
    static const uint32_t places[] = {0,          0x300000,   0xc0000,    0xe0000,    0xf0000000,
                                      0xfec00000, 0xfee00000, 0xfffc0000, 0xffff0000, 0xfff00000,
                                      0xff000000, 0xe1000000, FRAME,      0x80000000};
    static const uint16_t ports[] = {0,    0xc040, 0xffc0, 0x1c0, 0xcc0, 0x3c0,
                                     0x40, 0xc0,   0xc000, 0x1f0, 0x3f0};
    struct function *w = &windows[chance(WINDOWS)];
    uint32_t base = w->io       ? ports[chance(sizeof ports / sizeof *ports)]
                    : chance(4) ? places[chance(sizeof places / sizeof *places)]
                    : chance(3) ? windows[chance(3)].base
                                : 0u - w->size;
    /* The configuration mechanism never reaches the bus. Ports of ISA do, and who answers there is not
     * defined: QEMU's card takes them all. */
    if (w->io && base < 0x1000 && flags & ONLY_SURE)
        base = 0xc040;
    set_base(w, base);
}

static void switch_function(void)
{
    const struct function *w = &windows[chance(WINDOWS)];
    set_command(w->devfn, (uint16_t)chance(8));
}

/* What is not defined, or is not known. Writes go to registers of the card that only it has; never to RCTL.
 */
static void touch_window(void)
{
    const struct function *w = &windows[chance(WINDOWS)];
    uint32_t at = chance(w->size) & ~3u;
    if (w->io || !decoded(w)) {
        if (w->io && w->base >= 0xc000)
            in32((uint16_t)(w->base + at));
        return;
    }
    load(w->base + at);
    bool over_board = w->base < 0x1000000 || w->base >= 0xfec00000;
    if (!over_board && !covered(w->base, w->size, w) && (w == &windows[VGA_FRAME] || at >= 0x3800))
        store(w->base + at, chance(0xffffffff));
}

/* The frame buffer alone at a place: keeps what was written and runs it, there and at the next place. */
static void run_frame(void)
{
    struct function *w = &windows[VGA_FRAME];
    uint32_t offset = 0x800000 + STUB * chance(4096), value = chance(0xffffffff);
    uint16_t command = w->command;
    uint32_t base = w->base, other = windows[NIC_REGISTERS].base, third = windows[VGA_REGISTERS].base;
    set_base(&windows[NIC_REGISTERS], 0xfeb00000);
    set_base(&windows[VGA_REGISTERS], 0xfeb80000);
    set_command(w->devfn, PCICMD_IO | PCICMD_MEMORY);
    for (unsigned turn = 0; turn < 2 + chance(4); turn++) {
        set_base(w, 0x80000000u + (chance(64) << 24));
        if (!turn) {
            store(w->base + offset, value << 8 | 0xb8);
            store(w->base + offset + 4, 0xc300 | value >> 24);
        }
        check("the frame buffer", w->base + offset, load(w->base + offset), value << 8 | 0xb8);
        check("code in the frame buffer", w->base + offset, call(w->base + offset), value);
        uint32_t gone = w->base;
        if (chance(2)) {
            set_command(w->devfn, PCICMD_IO);
            if (!(flags & ONLY_SURE))
                check("where nobody decodes", gone, load(gone + offset), 0xffffffff);
            set_command(w->devfn, PCICMD_IO | PCICMD_MEMORY);
        }
    }
    set_base(w, base);
    set_base(&windows[NIC_REGISTERS], other);
    set_base(&windows[VGA_REGISTERS], third);
    set_command(w->devfn, command);
}

/* RAM stays RAM whatever BAR is over it. */
static void use_ram(void)
{
    uint32_t at = RAM + 4 * chance(RAM_SIZE / 4), value = chance(0xffffffff);
    check("RAM", at, load(at), load(RAM_MODEL + at - RAM));
    store(at, value);
    store(RAM_MODEL + at - RAM, value);
}

/* ---- the bus master ---- */

static bool wait_idle(void)
{
    for (unsigned i = 0; i < LONGEST_WAIT; i++)
        if (!(in8(0x3f6) & 0x80))
            return true;
    return false;
}

static void reset_channel(void)
{
    out8(0x3f6, 0x06);
    out8(0x3f6, 0x02);
    if (!wait_idle())
        check("the channel after its reset", 0x3f6, 1, 0);
}

static void start_read(uint32_t sector, uint32_t to)
{
    store(PRD, to);
    store(PRD + 4, 0x80000200);
    out8(0x1f6, 0xe0);
    wait_idle();
    out8(0x1f2, 1);
    out8(0x1f3, (uint8_t)sector);
    out8(0x1f4, (uint8_t)(sector >> 8));
    out8(0x1f5, 0);
    out32(MASTER_BASE + 4, PRD);
    out8(MASTER_BASE + 2, 6);
    out8(MASTER_BASE, 8);
    out8(0x1f7, 0xc8);
    out8(MASTER_BASE, 9);
}

static void disk_to(uint32_t to, bool disturbed)
{
    struct function *w = &windows[IDE_MASTER];
    uint32_t base = w->base, sector = chance(DISK_SECTORS);
    uint16_t command = w->command;
    uint32_t ports = windows[NIC_PORTS].base;
    set_base(&windows[NIC_PORTS], 0xc080);
    set_base(w, MASTER_BASE);
    set_command(w->devfn, 7);
    start_read(sector, to);
    if (disturbed) {
        for (unsigned i = chance(200); i; i--)
            in8(0x3f6);
        if (chance(2))
            set_command(w->devfn, (uint16_t)chance(4));
        else
            set_base(w, 0xc0f0);
        for (unsigned i = chance(200); i; i--)
            in8(0x3f6);
        set_base(w, MASTER_BASE);
        set_command(w->devfn, 7);
        out8(MASTER_BASE, 0);
        reset_channel();
    } else {
        if (!wait_idle())
            check("a transfer's end", to, 1, 0);
        out8(MASTER_BASE, 0);
        check("the drive's status", to, in8(0x1f7) & 0x89, 0);
        for (uint32_t i = 0; i < 128; i++) {
            uint32_t value = sector * 0x9e3779b1u + i, at = to + 4 * i;
            if (at - RAM < RAM_SIZE)
                store(RAM_MODEL + at - RAM, value);
            else if (at - SHADOW < SHADOW_SIZE)
                noted_write(at, value);
        }
    }
    set_base(w, base);
    set_command(w->devfn, command);
    set_base(&windows[NIC_PORTS], ports);
}

static void use_disk(void)
{
    static const uint32_t nowhere[] = {WASTE, 0xfffc0000, 0xf0000000, 0xfffffe00, 0xfeb00000, 0xa0000};
    uint32_t to = RAM + 4 * chance((RAM_SIZE - 512) / 4);
    switch (chance(4)) {
    case 0: /* through PAM, as the processor's writes; QEMU's writes what may only be read */
        if (flags & ONLY_SURE)
            break;
        to = SHADOW + (chance(11) << 14) + 512 * chance(16);
        break;
    case 1:
        disk_to(nowhere[chance(sizeof nowhere / sizeof *nowhere)], chance(2));
        return;
    case 2:
        disk_to(WASTE, true);
        return;
    default:
        break;
    }
    disk_to(to, false);
}

/* The card takes its own registers, ROM or nothing for its descriptors. */
static void chase_tail(void)
{
    struct function *w = &windows[NIC_REGISTERS];
    uint32_t base = w->base;
    uint16_t command = w->command;
    const uint32_t rings[] = {0xfeb03800, 0xfeb02000, 0xfeb05200, 0xffff0000,
                              0xa0000,    WASTE,      0xf8000000, 0xfffffff0};
    set_base(&windows[VGA_FRAME], FRAME);
    set_base(&windows[VGA_REGISTERS], 0xfeb80000);
    set_base(w, 0xfeb00000);
    set_command(w->devfn, 7);
    store(0xfeb03800, rings[chance(sizeof rings / sizeof *rings)]);
    store(0xfeb03804, chance(8) ? 0 : chance(4));
    store(0xfeb03808, 0x80 << chance(6));
    store(0xfeb00400, 0x1003f0f8 | 2);
    store(0xfeb03810, 0);
    store(0xfeb03818, chance(16));
    load(0xfeb000c0);
    if (chance(2))
        set_command(w->devfn, (uint16_t)chance(8));
    store(0xfeb00000, 1u << 26); /* reset */
    set_base(w, base);
    set_command(w->devfn, command);
}

/* ---- all together ---- */

static void find_windows(void)
{
    static const struct {
        uint32_t id;
        uint8_t bar, window;
        bool io;
    } wanted[] = {{0x11111234, 0, VGA_FRAME, false},
                  {0x11111234, 2, VGA_REGISTERS, false},
                  {0x100e8086, 0, NIC_REGISTERS, false},
                  {0x100e8086, 1, NIC_PORTS, true},
                  {0x70108086, 4, IDE_MASTER, true}};
    for (unsigned devfn = 8; devfn < 64; devfn++)
        for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            if (config_read((uint8_t)devfn, 0) != wanted[i].id)
                continue;
            struct function *w = &windows[wanted[i].window];
            w->devfn = (uint8_t)devfn;
            w->bar = wanted[i].bar;
            w->io = wanted[i].io;
            config_write((uint8_t)devfn, (uint8_t)(0x10 + 4 * w->bar), 0xffffffff);
            uint32_t mask = config_read((uint8_t)devfn, (uint8_t)(0x10 + 4 * w->bar)) & (w->io ? ~3u : ~15u);
            w->size = (w->io ? 0x10000 - (mask & 0xffff) : 0u - mask);
            set_base(w, 0);
        }
    static const uint32_t sizes[WINDOWS] = {FRAME_SIZE, 0x1000, 0x20000, 64, 16};
    for (unsigned i = 0; i < WINDOWS; i++)
        check("the size of a BAR", i, windows[i].size, sizes[i]);
}

static void prepare(void)
{
    extern const uint8_t fill_shadow[], fill_shadow_end[];
    enum { COPY = 0x8000 };
    for (uint32_t i = 0; i < 0x10000; i += 4)
        store(ROM + i, load(BIOS + i));
    for (uint32_t i = 0; fill_shadow + i < fill_shadow_end; i += 4)
        store(COPY + i, load((uint32_t)fill_shadow + i));
    ((void (*)(void))COPY)();
    for (unsigned s = 0; s < SEGMENTS; s++)
        set_pam(s, PAM_RE | PAM_WE);
    store((uint32_t)variant_value, 2);
    for (uint32_t at = SHADOW; at < SHADOW + SHADOW_SIZE; at += 4) {
        if (at < BIOS)
            store(at, at * 0x9e3779b1u);
        store(MODEL + at - SHADOW, load(at));
    }
    for (uint32_t i = 0; i < RAM_SIZE; i += 4) {
        store(RAM + i, i * 3);
        store(RAM_MODEL + i, i * 3);
    }
}

void moves_main(void)
{
    static void (*const ways[])(void) = {write_shadow, write_shadow,    read_shadow,  read_shadow,
                                         run_stub,     run_stub,        run_switched, move_window,
                                         move_window,  switch_function, touch_window, run_frame,
                                         use_ram,      use_disk,        chase_tail};
    dice = seed * 2 + 1;
    find_windows();
    prepare();
    out8(0x3f6, 2);
    for (step = 1; step <= steps; step++) {
        unsigned which = chance(sizeof ways / sizeof *ways + 2);
        if (which >= sizeof ways / sizeof *ways)
            set_pam(chance(SEGMENTS), (uint8_t)chance(4));
        else
            ways[which]();
        if (step % 1000 && step != steps)
            continue;
        hex(step);
        hex(sum);
        out8(DEBUG, '\n');
    }
    text("all as the model says\n");
    finish(0);
}
