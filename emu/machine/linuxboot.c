/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Linux by its 32-bit boot protocol (Documentation/x86/boot.rst, "32-bit Boot Protocol", and zero-page.rst).
 *
 * The file is real-mode setup code followed by the protected-mode kernel. The setup code is never run: its
 * header goes into boot_params, and what it would have asked the BIOS is filled in here: memory map, no
 * video (an all-zero screen_info makes Linux use its dummy console), no EDD, no APM. The kernel is entered at
 * its load address in flat protected mode with ESI = boot_params.
 *
 *   0x10000  boot_params (one page)      0x12000  setup_data: a seed for the kernel's random generator
 *   0x11000  GDT                         0x20000  command line
 *   0x100000 the kernel; it moves itself to pref_address and up to init_size further
 *   high     initrd, as high as the kernel can reach
 *
 * The seed (SETUP_RNG_SEED) is what saves a guest without RDRAND its wait for entropy; kernels that do not
 * know the type skip it.
 */
#include "emu/machine/boot.h"

#include "emu/mem/physmap.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/random.h>

enum {
    BOOT_PARAMS = 0x10000,
    BOOT_GDT = 0x11000,
    BOOT_SETUP_DATA = 0x12000,
    BOOT_CMDLINE = 0x20000,
    BOOT_CMDLINE_MOST = 0x10000, /* room kept for it */
};

/* Offsets of the setup header, in the file and in boot_params alike. */
enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4,
    HDR_VID_MODE = 0x1fa,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP = 0x200,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_SETUP_DATA = 0x250,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
};
enum { LOADED_HIGH = 0x01, CAN_USE_HEAP = 0x80, XLF_KERNEL_64 = 0x01 };

/* Offsets of boot_params (zero page) proper. */
enum {
    ZP_EXT_MEM_K = 0x002,
    ZP_VIDEO_MODE = 0x006,
    ZP_VIDEO_COLUMNS = 0x007,
    ZP_VIDEO_LINES = 0x00e,
    ZP_VIDEO_IS_VGA = 0x00f,
    ZP_VIDEO_POINTS = 0x010,
    ZP_ACPI_RSDP = 0x070,
    ZP_ALT_MEM_K = 0x1e0,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_E820_TABLE = 0x2d0,
    ZP_SIZE = 4096,
};

enum { SETUP_RNG_SEED = 9, SEED_SIZE = 32 };

#define MIB (UINT64_C(1) << 20)

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) | (uint32_t)get16(at + 2) << 16;
}

static uint64_t get64(const uint8_t *at)
{
    return (uint64_t)get32(at) | (uint64_t)get32(at + 4) << 32;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)value);
    put32(at + 4, (uint32_t)(value >> 32));
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

static uint64_t mib_up(uint64_t bytes)
{
    return (bytes + MIB - 1) / MIB;
}

/* Reads the header and checks what it says about the file itself. */
static bool plan_header(struct boot_file *kernel, struct linux_plan *plan, GError **error)
{
    size_t got = boot_file_peek(kernel, 0, plan->header, sizeof plan->header);
    const uint8_t *h = plan->header;
    if (got < HDR_VERSION + 2 || memcmp(h + HDR_MAGIC, "HdrS", 4) != 0)
        return refuse(error, kernel, "no Linux setup header");
    plan->version = get16(h + HDR_VERSION);
    plan->header_end = (size_t)HDR_MAGIC + h[HDR_JUMP + 1];
    if (plan->header_end > got)
        plan->header_end = got;
    /* What lies behind the header is setup code, not fields: they read as zero. */
    memset(plan->header + plan->header_end, 0, sizeof plan->header - plan->header_end);
    if (plan->version < 0x0202)
        return refuse(error, kernel,
                      "boot protocol %u.%02u is too old (2.02, Linux 2.4, is the oldest that works)",
                      plan->version >> 8, plan->version & 0xff);
    if (!(h[HDR_LOADFLAGS] & LOADED_HIGH))
        return refuse(error, kernel,
                      "this is a zImage, which is loaded below 1 MiB; only bzImages are supported");
    if (plan->version >= 0x020c && (get16(h + HDR_XLOADFLAGS) & XLF_KERNEL_64))
        return refuse(error, kernel,
                      "this is a 64-bit (x86-64) kernel and netlab-emu is an i386 PC; use an i386 one "
                      "(Debian: linux-image-686 or linux-image-686-pae)");
    unsigned sectors = h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4;
    plan->setup_size = (sectors + 1) * 512;
    uint64_t size = boot_file_size(kernel), body = (uint64_t)get32(h + HDR_SYSSIZE) * 16;
    if (size <= plan->setup_size || (plan->version >= 0x0204 && size - plan->setup_size + 15 < body))
        return refuse(error, kernel,
                      "the file is cut off: %" G_GUINT64_FORMAT " bytes, its header says %" G_GUINT64_FORMAT
                      " (is it copied completely?)",
                      size, plan->setup_size + body);
    plan->kernel_size = size - plan->setup_size;
    return true;
}

/* Where the kernel goes and how far it will write before it has read the memory map. */
static bool plan_memory(struct boot_file *kernel, const struct boot_board *board, struct linux_plan *plan,
                        GError **error)
{
    const uint8_t *h = plan->header;
    plan->kernel_start = BOOT_HIGH_RAM;
    uint64_t used = plan->kernel_start + plan->kernel_size;
    if (plan->version >= 0x020a) {
        uint64_t runs_at = MAX(get64(h + HDR_PREF_ADDRESS), (uint64_t)BOOT_HIGH_RAM);
        uint64_t alignment = get32(h + HDR_ALIGNMENT), init_size = get32(h + HDR_INIT_SIZE);
        if (runs_at >= UINT64_C(1) << 32)
            return refuse(error, kernel, "its preferred address 0x%" G_GINT64_MODIFIER "x is above 4 GiB",
                          runs_at);
        if (h[HDR_RELOCATABLE] && alignment && !(alignment & (alignment - 1)))
            runs_at = MAX(runs_at, (BOOT_HIGH_RAM + alignment - 1) & ~(alignment - 1));
        used = MAX(used, runs_at + init_size);
    }
    plan->kernel_end = used;
    if (plan->kernel_end > board->ram_below_4g)
        return refuse(error, kernel,
                      "%" G_GUINT64_FORMAT " MiB of RAM are too few: this kernel needs %" G_GUINT64_FORMAT
                      " MiB only to unpack itself; use -m %" G_GUINT64_FORMAT "M or more",
                      board->ram_below_4g / MIB, mib_up(used), mib_up(used) + 16);
    return true;
}

static bool plan_initrd(struct boot_file *initrd, const struct boot_board *board, struct linux_plan *plan,
                        GError **error)
{
    uint64_t size = boot_file_size(initrd);
    uint32_t limit = plan->version >= 0x0203 ? get32(plan->header + HDR_INITRD_ADDR_MAX) : 0x37ffffff;
    uint64_t end = MIN(board->ram_below_4g, (uint64_t)limit + 1);
    if (!size)
        return refuse(error, initrd, "the initrd is empty (leave -initrd out, or give a cpio archive)");
    uint64_t start = size <= end ? (end - size) & ~UINT64_C(4095) : 0;
    if (start < plan->kernel_end) {
        uint64_t need = mib_up(plan->kernel_end + size + 4096);
        if (need * MIB > (uint64_t)limit + 1)
            return refuse(error, initrd,
                          "the initrd of %" G_GUINT64_FORMAT
                          " MiB does not fit between this kernel and 0x%x, the "
                          "highest address it can use; make the initrd smaller",
                          mib_up(size), limit);
        return refuse(error, initrd,
                      "%" G_GUINT64_FORMAT " MiB of RAM are too few for the kernel and this initrd of "
                      "%" G_GUINT64_FORMAT " MiB; use -m %" G_GUINT64_FORMAT "M or more",
                      board->ram_below_4g / MIB, mib_up(size), need);
    }
    plan->initrd_start = (uint32_t)start;
    plan->initrd_size = (uint32_t)size;
    return true;
}

bool linux_plan(struct boot_file *kernel, struct boot_file *initrd, const char *cmdline,
                const struct boot_board *board, struct linux_plan *plan, GError **error)
{
    *plan = (struct linux_plan){0};
    if (!plan_header(kernel, plan, error) || !plan_memory(kernel, board, plan, error))
        return false;
    plan->cmdline_most = plan->version >= 0x0206 ? get32(plan->header + HDR_CMDLINE_SIZE) : 255;
    plan->cmdline_most = MIN(plan->cmdline_most, (uint32_t)BOOT_CMDLINE_MOST - 1);
    if (cmdline && strlen(cmdline) > plan->cmdline_most)
        return refuse(error, kernel, "-append is %zu bytes long; this kernel takes %u", strlen(cmdline),
                      plan->cmdline_most);
    return !initrd || plan_initrd(initrd, board, plan, error);
}

/* With `steady` it is always the same one. */
static void place_seed(struct physmap *mem, bool steady, uint8_t *zero_page)
{
    uint8_t node[16 + SEED_SIZE] = {0}; /* struct setup_data: next, type, len, data */
    put32(node + 8, SETUP_RNG_SEED);
    put32(node + 12, SEED_SIZE);
    for (unsigned i = 0; i < SEED_SIZE; i++)
        node[16 + i] = (uint8_t)(i * 7 + 1);
    if (!steady && getrandom(node + 16, SEED_SIZE, GRND_NONBLOCK) != SEED_SIZE)
        return;
    phys_write(mem, BOOT_SETUP_DATA, node, sizeof node);
    put64(zero_page + HDR_SETUP_DATA, BOOT_SETUP_DATA);
}

bool linux_place(const struct linux_plan *plan, struct boot_file *kernel, struct boot_file *initrd,
                 const char *cmdline, const struct boot_board *board, struct physmap *mem,
                 struct cpu_boot_state *state, GError **error)
{
    if (!boot_file_place(kernel, plan->setup_size, plan->kernel_size, mem, plan->kernel_start, error) ||
        (plan->initrd_size && !boot_file_place(initrd, 0, plan->initrd_size, mem, plan->initrd_start, error)))
        return false;

    uint8_t zp[ZP_SIZE] = {0};
    memcpy(zp + HDR_SETUP_SECTS, plan->header + HDR_SETUP_SECTS, plan->header_end - HDR_SETUP_SECTS);
    zp[HDR_LOADER] = 0xff; /* no number of our own */
    zp[HDR_LOADFLAGS] |= CAN_USE_HEAP;
    zp[HDR_VID_MODE] = zp[HDR_VID_MODE + 1] = 0xff; /* "normal" */
    put32(zp + HDR_CODE32_START, plan->kernel_start);
    put32(zp + HDR_CMD_LINE_PTR, BOOT_CMDLINE);
    put32(zp + HDR_RAMDISK_IMAGE, plan->initrd_start);
    put32(zp + HDR_RAMDISK_SIZE, plan->initrd_size);
    if (plan->version >= 0x0209)
        place_seed(mem, board->steady, zp);
    put64(zp + ZP_ACPI_RSDP, board->rsdp);
    if (board->screen) { /* struct screen_info: what a BIOS would say of mode 3 */
        zp[ZP_VIDEO_MODE] = 3;
        zp[ZP_VIDEO_COLUMNS] = 80;
        zp[ZP_VIDEO_LINES] = 25;
        zp[ZP_VIDEO_IS_VGA] = 1;
        zp[ZP_VIDEO_POINTS] = 16;
    }

    uint64_t above_1m_k = board->ram_below_4g > MIB ? (board->ram_below_4g - MIB) / 1024 : 0;
    zp[ZP_EXT_MEM_K] = (uint8_t)MIN(above_1m_k, UINT64_C(0xfc00));
    zp[ZP_EXT_MEM_K + 1] = (uint8_t)(MIN(above_1m_k, UINT64_C(0xfc00)) >> 8);
    put32(zp + ZP_ALT_MEM_K, (uint32_t)above_1m_k);
    struct boot_e820 map[BOOT_E820_MOST];
    unsigned count = boot_e820(board, map);
    zp[ZP_E820_ENTRIES] = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *row = zp + ZP_E820_TABLE + 20 * i;
        put64(row, map[i].start);
        put64(row + 8, map[i].size);
        put32(row + 16, map[i].type);
    }
    phys_write(mem, BOOT_PARAMS, zp, sizeof zp);
    const char *text = cmdline ? cmdline : "";
    phys_write(mem, BOOT_CMDLINE, text, strlen(text) + 1);

    boot_flat_state(mem, BOOT_GDT, state);
    state->eip = plan->kernel_start;
    state->esi = BOOT_PARAMS;
    state->esp = BOOT_PARAMS;
    trace(BOOT, "Linux, protocol %u.%02u, entered at 0x%x, uses memory up to 0x%" G_GINT64_MODIFIER "x",
          plan->version >> 8, plan->version & 0xff, plan->kernel_start, plan->kernel_end);
    return true;
}
