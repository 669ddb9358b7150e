/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -kernel behind firmware: programs that have Linux's setup header but need the BIOS (iPXE's ipxe.lkrn,
 * SYSLINUX's memdisk), kernels older than the 32-bit entry, and any Linux with -bios or -pflash.
 *
 * Firmware runs an option ROM of ours (linuxrom.S) as the first boot entry. It fetches the parts from the
 * numbered keys of fw_cfg and enters the setup code (Documentation/x86/boot.rst, "Memory Layout", "Loading
 * The Rest of The Kernel"):
 *
 *                       setup code   command line      the rest
 *   bzImage, 2.02       0x10000      0x20000           0x100000
 *   bzImage, 2.00, 2.01 0x90000      ends at 0x9a000   0x100000
 *   zImage              0x90000      ends at 0x9a000   0x10000
 *   initrd              below what firmware keeps for itself, or the highest address that the header names
 *
 * Who can do without is started without (linuxboot.c), which is seconds faster: what says protocol 2.10 or
 * newer with an init_size, or names a Linux release. Every field of the file is hostile.
 */
#include "emu/machine/boot.h"

#include "emu/dev/fwcfg.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

extern const uint8_t linuxrom_start[], linuxrom_end[];

enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_VID_MODE = 0x1fa,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_KERNEL_VERSION = 0x20e,
    HDR_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_HEAP_END = 0x224,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_INIT_SIZE = 0x260,
    HDR_END = 0x268,
    OLD_CMDLINE_MAGIC = 0x20, /* and the offset behind it */
};
enum { LOADED_HIGH = 0x01, CAN_USE_HEAP = 0x80, XLF_KERNEL_64 = 0x01, OLD_CMDLINE = 0xa33f };
enum {
    REAL_LOW = 0x10000,
    CMDLINE_LOW = 0x20000,
    REAL_OLD = 0x90000,
    CMDLINE_OLD_END = 0x9a000,
    ZIMAGE = 0x10000,
    CMDLINE_MOST = 0x10000,
    HEAP_GAP = 0x200,
    FIRMWARE_KEEPS = 0x40000, /* at the top of memory: ACPI and other tables */
    PNP_PLACE = 0x1a,
    PNP_SIZE = 32,
    PNP_SUM = 9,
    ROM_SUM = 5, /* between the entry and the header's places nothing is looked at */
};

#define MIB (UINT64_C(1) << 20)

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) | (uint32_t)get16(at + 2) << 16;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value & 0xffff);
    put16(at + 2, value >> 16);
}

/* "6.1.0-49-686 (someone@somewhere) #1 SMP …": others that have the field say less. */
static bool names_linux(struct boot_file *kernel, const uint8_t *head)
{
    char text[256] = "";
    uint16_t at = get16(head + HDR_KERNEL_VERSION);
    if (at)
        (void)boot_file_peek(kernel, 0x200u + at, text, sizeof text - 1);
    const char *by = strstr(text, " (");
    return g_ascii_isdigit(text[0]) && by && strstr(by, ") #");
}

bool linux_needs_firmware(struct boot_file *kernel)
{
    uint8_t h[HDR_END] = {0};
    size_t got = boot_file_peek(kernel, 0, h, sizeof h);
    if (got < HDR_VERSION + 2 || memcmp(h + HDR_MAGIC, "HdrS", 4) != 0)
        return false;
    uint16_t version = get16(h + HDR_VERSION);
    if (version < 0x0202 || !(h[HDR_LOADFLAGS] & LOADED_HIGH))
        return true;
    return !(version >= 0x020a && get32(h + HDR_INIT_SIZE)) && !names_linux(kernel, h);
}

bool boot_needs_firmware(const char *path)
{
    struct stat st;
    /* A pipe's content can be had once, and not here; what is wrong with a file is said when it is opened. */
    if (!g_str_has_prefix(path, "/dev/fdset/") && (stat(path, &st) || !S_ISREG(st.st_mode)))
        return false;
    struct boot_file *kernel = boot_file_open("kernel", path, NULL);
    bool needs = kernel && linux_needs_firmware(kernel);
    boot_file_free(kernel);
    return needs;
}

G_GNUC_PRINTF(3, 4)
static bool refuse(GError **error, const struct boot_file *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: %s", boot_file_path(file), text);
    return false;
}

/* vga= is the loader's to read: a number, or a word with one. False: none, or nonsense. */
static bool video_mode(const char *cmdline, uint16_t *mode)
{
    static const struct {
        const char *word;
        uint16_t mode;
    } words[] = {{"normal", 0xffff}, {"ext", 0xfffe}, {"ask", 0xfffd}};
    for (const char *at = cmdline; (at = strstr(at, "vga=")); at++) {
        if (at > cmdline && at[-1] != ' ')
            continue;
        at += strlen("vga=");
        g_autofree char *text = g_strndup(at, strcspn(at, " "));
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
            if (g_str_equal(text, words[i].word)) {
                *mode = words[i].mode;
                return true;
            }
        char *end;
        guint64 number = g_ascii_strtoull(text, &end, 0);
        *mode = (uint16_t)number;
        return *text && !*end && number <= 0xffff;
    }
    return false;
}

/* Where the parts go, from what the header says. */
static bool plan_places(struct boot_file *kernel, const uint8_t *h, const char *cmdline,
                        const struct boot_board *board, struct linux_rom_plan *plan, GError **error)
{
    unsigned sectors = h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4;
    bool high = h[HDR_LOADFLAGS] & LOADED_HIGH, old = plan->version < 0x0202 || !high;
    uint64_t size = boot_file_size(kernel);
    uint32_t most = 255;
    if (plan->version >= 0x0206)
        most = MIN(get32(h + HDR_CMDLINE_SIZE), (uint32_t)CMDLINE_MOST - 1);
    plan->cmdline_size = (uint32_t)strlen(cmdline) + 1;
    if (plan->cmdline_size > most + 1)
        return refuse(error, kernel, "-append is %zu bytes long; this kernel takes %u", strlen(cmdline),
                      most);
    plan->setup_addr = old ? REAL_OLD : REAL_LOW;
    plan->cmdline_addr = old ? (CMDLINE_OLD_END - plan->cmdline_size) & ~15u : (uint32_t)CMDLINE_LOW;
    plan->setup_size = (sectors + 1) * 512;
    plan->kernel_addr = high ? BOOT_HIGH_RAM : ZIMAGE;
    if (size <= plan->setup_size)
        return refuse(error, kernel,
                      "the file is cut off: %" G_GUINT64_FORMAT
                      " bytes, its header says that %u are setup code alone (is it copied completely?)",
                      size, plan->setup_size);
    uint64_t rest = size - plan->setup_size;
    if (plan->setup_size + HEAP_GAP > plan->cmdline_addr - plan->setup_addr)
        return refuse(error, kernel, "its %u bytes of setup code have no room (is it a kernel?)",
                      plan->setup_size);
    if (!high && rest > REAL_OLD - ZIMAGE)
        return refuse(error, kernel, "this is a zImage of %" G_GUINT64_FORMAT " KiB, and %u is the most",
                      rest / 1024, (REAL_OLD - ZIMAGE) / 1024);
    plan->kernel_size = (uint32_t)rest;
    if (high && plan->kernel_addr + rest + FIRMWARE_KEEPS > board->ram_below_4g)
        return refuse(error, kernel,
                      "%" G_GUINT64_FORMAT " MiB of RAM are too few for it; use -m %" G_GUINT64_FORMAT
                      "M or more",
                      board->ram_below_4g / MIB, rest / MIB + 4);
    return true;
}

static bool plan_initrd(struct boot_file *initrd, const uint8_t *h, const struct boot_board *board,
                        struct linux_rom_plan *plan, GError **error)
{
    uint64_t size = boot_file_size(initrd),
             end = board->ram_below_4g - MIN(board->ram_below_4g, (uint64_t)FIRMWARE_KEEPS);
    uint32_t limit = plan->version >= 0x0203 ? get32(h + HDR_INITRD_ADDR_MAX) : 0x37ffffff;
    uint64_t low = MAX((uint64_t)plan->kernel_addr + plan->kernel_size, (uint64_t)BOOT_HIGH_RAM);
    if (!size)
        return refuse(error, initrd,
                      "the initrd is empty (leave -initrd out, or give a file with something in it)");
    end = MIN(end, (uint64_t)limit + 1);
    uint64_t start = size <= end ? (end - size) & ~UINT64_C(4095) : 0;
    if (start < low)
        return refuse(error, initrd,
                      "%" G_GUINT64_FORMAT
                      " MiB of RAM are too few for the kernel and this initrd of %" G_GUINT64_FORMAT
                      " MiB; use -m %" G_GUINT64_FORMAT "M or more, or a smaller initrd",
                      board->ram_below_4g / MIB, (size + MIB - 1) / MIB,
                      (low + size + FIRMWARE_KEEPS) / MIB + 1);
    plan->initrd_addr = (uint32_t)start;
    plan->initrd_size = (uint32_t)size;
    return true;
}

bool linux_rom_plan(struct boot_file *kernel, struct boot_file *initrd, const char *cmdline,
                    const struct boot_board *board, struct linux_rom_plan *plan, GError **error)
{
    uint8_t h[HDR_END] = {0};
    *plan = (struct linux_rom_plan){0};
    size_t got = boot_file_peek(kernel, 0, h, sizeof h);
    if (got < HDR_CMD_LINE_PTR || memcmp(h + HDR_MAGIC, "HdrS", 4) != 0)
        return refuse(error, kernel, "no Linux setup header");
    plan->version = get16(h + HDR_VERSION);
    if (plan->version >= 0x020c && (get16(h + HDR_XLOADFLAGS) & XLF_KERNEL_64))
        return refuse(error, kernel,
                      "this is a 64-bit (x86-64) kernel and netlab-emu is an i386 PC; use an i386 one");
    return plan_places(kernel, h, cmdline ? cmdline : "", board, plan, error) &&
           (!initrd || plan_initrd(initrd, h, board, plan, error));
}

/* The setup code as a loader leaves it: what it was told is in its header. */
static void fill_header(const struct linux_rom_plan *plan, const char *cmdline, uint8_t *setup)
{
    uint16_t mode;
    setup[HDR_LOADER] = 0xff; /* no number of our own */
    put32(setup + HDR_RAMDISK_SIZE, plan->initrd_size);
    if (plan->version >= 0x0201) {
        setup[HDR_LOADFLAGS] |= CAN_USE_HEAP;
        put16(setup + HDR_HEAP_END, plan->cmdline_addr - plan->setup_addr - HEAP_GAP);
    }
    if (plan->version >= 0x0202) {
        put32(setup + HDR_CMD_LINE_PTR, plan->cmdline_addr);
    } else {
        put16(setup + OLD_CMDLINE_MAGIC, OLD_CMDLINE);
        put16(setup + OLD_CMDLINE_MAGIC + 2, plan->cmdline_addr - plan->setup_addr);
    }
    if (video_mode(cmdline, &mode))
        put16(setup + HDR_VID_MODE, mode);
}

static void set_part(struct fwcfg *fw, uint16_t addr_key, uint32_t addr, uint16_t size_key, uint16_t data_key,
                     const void *data, uint32_t size)
{
    fwcfg_set_u32(fw, addr_key, addr);
    fwcfg_set_u32(fw, size_key, size);
    fwcfg_set_bytes(fw, data_key, data, size);
}

static bool add_rom(struct fwcfg *fw, GError **error)
{
    size_t size = (size_t)(linuxrom_end - linuxrom_start);
    g_autofree uint8_t *rom = g_memdup2(linuxrom_start, size);
    uint8_t sum = 0, *pnp = rom + get16(rom + PNP_PLACE);
    for (unsigned i = 0; i < PNP_SIZE; i++)
        sum = (uint8_t)(sum + pnp[i]);
    pnp[PNP_SUM] = (uint8_t)-sum;
    sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + rom[i]);
    rom[ROM_SUM] = (uint8_t)-sum;
    return fwcfg_add_file(fw, LINUX_ROM, rom, size, error);
}

bool linux_rom_offer(const struct linux_rom_plan *plan, struct boot_file *kernel, struct boot_file *initrd,
                     const char *cmdline, struct fwcfg *fw, GError **error)
{
    g_autofree uint8_t *setup = g_malloc0(plan->setup_size), *rest = g_malloc(plan->kernel_size);
    g_autofree uint8_t *disk = plan->initrd_size ? g_malloc(plan->initrd_size) : NULL;
    const char *text = cmdline ? cmdline : "";
    if (!boot_file_read(kernel, 0, setup, plan->setup_size, error) ||
        !boot_file_read(kernel, plan->setup_size, rest, plan->kernel_size, error) ||
        (disk && !boot_file_read(initrd, 0, disk, plan->initrd_size, error)))
        return false;
    fill_header(plan, text, setup);
    set_part(fw, FWCFG_SETUP_ADDR, plan->setup_addr, FWCFG_SETUP_SIZE, FWCFG_SETUP_DATA, setup,
             plan->setup_size);
    set_part(fw, FWCFG_CMDLINE_ADDR, plan->cmdline_addr, FWCFG_CMDLINE_SIZE, FWCFG_CMDLINE_DATA, text,
             plan->cmdline_size);
    set_part(fw, FWCFG_KERNEL_ADDR, plan->kernel_addr, FWCFG_KERNEL_SIZE, FWCFG_KERNEL_DATA, rest,
             plan->kernel_size);
    set_part(fw, FWCFG_INITRD_ADDR, plan->initrd_addr, FWCFG_INITRD_SIZE, FWCFG_INITRD_DATA, disk,
             plan->initrd_size);
    trace(BOOT,
          "Linux, protocol %u.%02u, by firmware: setup code at 0x%x, %u bytes at 0x%x, initrd up to 0x%x",
          plan->version >> 8, plan->version & 0xff, plan->setup_addr, plan->kernel_size, plan->kernel_addr,
          plan->initrd_addr + plan->initrd_size);
    return add_rom(fw, error);
}
