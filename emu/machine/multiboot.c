/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Multiboot 1 (Multiboot Specification 0.6.96): ELF kernels and those that carry their addresses in the
 * header.
 *
 * Order in memory: the kernel where it wants to be; its modules behind it, page aligned, in the order given;
 * the information block (with strings, module list and memory map) at 0x10000 if no segment is there, else
 * behind the modules. The kernel is entered in flat protected mode, EAX = 0x2badb002, EBX = the block.
 */
#include "emu/machine/boot.h"

#include "emu/mem/physmap.h"
#include "emu/trace.h"

#include <elf.h>
#include <gio/gio.h>
#include <string.h>

enum {
    SEARCH = 8192, /* bytes of the file the header lies in */
    INFO_LOW = 0x10000,
    GDT_SIZE = 32,
    INFO_STRUCT = 120, /* bytes of the information block proper (§3.3, up to vbe_interface_len) */
    MODULE_ENTRY = 16,
    MMAP_ENTRY = 24,
    STRINGS_MOST = 65536,
};
enum { HEADER_MAGIC = 0x1badb002, ENTRY_MAGIC = 0x2badb002 };
enum { WANT_ALIGNED = 1 << 0, WANT_MEMORY = 1 << 1, WANT_VIDEO = 1 << 2, HAS_ADDRESSES = 1 << 16 };
enum {
    INFO_MEMORY = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MMAP = 1 << 6,
    INFO_LOADER = 1 << 9
};

static const char loader_name[] = "netlab-emu";

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
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

/* One more piece of memory: checked against RAM and against those there are. */
static bool add_segment(struct boot_file *kernel, struct multiboot_plan *plan, const struct boot_board *board,
                        uint64_t offset, uint64_t file_size, uint64_t addr, uint64_t size, GError **error)
{
    if (!size)
        return true;
    if (plan->segment_count == MULTIBOOT_SEGMENTS_MOST)
        return refuse(error, kernel, "more than %d loadable segments", MULTIBOOT_SEGMENTS_MOST);
    if (file_size > size || offset > boot_file_size(kernel) || file_size > boot_file_size(kernel) - offset)
        return refuse(error, kernel, "a segment lies outside the file (is it copied completely?)");
    bool low = addr < BOOT_LOW_RAM_END && size <= BOOT_LOW_RAM_END - addr;
    /* Linkers like to put the ELF header into a segment of its own, a page below 1 MiB. */
    bool high = addr >= BOOT_SHADOW_RAM && addr < board->ram_below_4g && size <= board->ram_below_4g - addr;
    if (!low && !high && addr >= BOOT_SHADOW_RAM && addr + size > addr && addr + size <= UINT32_MAX)
        return refuse(error, kernel,
                      "%" G_GUINT64_FORMAT " MiB of RAM are too few: a segment ends at 0x%" G_GINT64_MODIFIER
                      "x; use -m %" G_GUINT64_FORMAT "M or more",
                      board->ram_below_4g >> 20, addr + size, (addr + size + (1 << 20) - 1) >> 20);
    if (!low && !high)
        return refuse(error, kernel,
                      "a segment at 0x%" G_GINT64_MODIFIER "x of %" G_GUINT64_FORMAT
                      " bytes is not in RAM (0 to 0x%x, and from 0x%x up)",
                      addr, size, BOOT_LOW_RAM_END, BOOT_SHADOW_RAM);
    plan->segments[plan->segment_count++] = (struct multiboot_segment){
        .offset = offset, .file_size = file_size, .addr = (uint32_t)addr, .size = size};
    return true;
}

/* §3.1.3: addresses in the header itself. */
static bool plan_addresses(struct boot_file *kernel, struct multiboot_plan *plan,
                           const struct boot_board *board, const uint8_t *header, uint64_t header_offset,
                           GError **error)
{
    uint32_t header_addr = get32(header + 12), load = get32(header + 16), load_end = get32(header + 20);
    uint32_t bss_end = get32(header + 24);
    plan->entry = get32(header + 28);
    if (header_addr < load || header_addr - load > header_offset)
        return refuse(error, kernel,
                      "its Multiboot header has header_addr 0x%x and load_addr 0x%x, which do not go "
                      "with a header at offset 0x%" G_GINT64_MODIFIER "x",
                      header_addr, load, header_offset);
    uint64_t offset = header_offset - (header_addr - load);
    uint64_t file_size = load_end ? (uint64_t)load_end - load : boot_file_size(kernel) - offset;
    if ((load_end && load_end < load) || (bss_end && bss_end < (uint64_t)load + file_size))
        return refuse(error, kernel,
                      "its Multiboot header has load_end_addr 0x%x and bss_end_addr 0x%x, which do "
                      "not go with load_addr 0x%x",
                      load_end, bss_end, load);
    uint64_t size = bss_end ? (uint64_t)bss_end - load : file_size;
    if (plan->entry < load || plan->entry >= load + size)
        return refuse(error, kernel, "its entry point 0x%x is outside of what is loaded", plan->entry);
    return add_segment(kernel, plan, board, offset, file_size, load, size, error);
}

static bool plan_elf(struct boot_file *kernel, struct multiboot_plan *plan, const struct boot_board *board,
                     GError **error)
{
    Elf32_Ehdr elf;
    if (!boot_file_read(kernel, 0, &elf, sizeof elf, error))
        return false;
    if (memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(error, kernel, "has a Multiboot header without addresses, and is no ELF file");
    if (elf.e_ident[EI_CLASS] != ELFCLASS32 || elf.e_ident[EI_DATA] != ELFDATA2LSB || elf.e_machine != EM_386)
        return refuse(error, kernel,
                      "is an ELF file, but not a 32-bit one for i386 (convert a 64-bit one with "
                      "objcopy -O elf32-i386)");
    if (elf.e_phentsize != sizeof(Elf32_Phdr) || !elf.e_phnum)
        return refuse(error, kernel, "has no ELF program headers");
    bool entry_found = false;
    plan->entry = elf.e_entry;
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        Elf32_Phdr ph;
        if (!boot_file_read(kernel, (uint64_t)elf.e_phoff + i * sizeof ph, &ph, sizeof ph, error))
            return false;
        if (ph.p_type != PT_LOAD)
            continue;
        if (!add_segment(kernel, plan, board, ph.p_offset, ph.p_filesz, ph.p_paddr, ph.p_memsz, error))
            return false;
        /* e_entry is a virtual address; the kernel starts at the physical one. */
        if (!entry_found && elf.e_entry >= ph.p_vaddr && elf.e_entry - ph.p_vaddr < ph.p_memsz) {
            plan->entry = elf.e_entry - ph.p_vaddr + ph.p_paddr;
            entry_found = true;
        }
    }
    for (unsigned i = 0; !entry_found && i < plan->segment_count; i++)
        entry_found = elf.e_entry >= plan->segments[i].addr &&
                      elf.e_entry - plan->segments[i].addr < plan->segments[i].size;
    if (!plan->segment_count)
        return refuse(error, kernel, "has no loadable ELF segment");
    if (!entry_found)
        return refuse(error, kernel, "its entry point 0x%x is outside of what is loaded", elf.e_entry);
    return true;
}

static bool plan_modules(struct boot_file *kernel, struct multiboot_plan *plan,
                         const struct boot_board *board, uint64_t *end, GError **error)
{
    for (unsigned i = 0; i < plan->module_count; i++) {
        struct multiboot_module *module = &plan->modules[i];
        uint64_t start = (*end + 4095) & ~UINT64_C(4095), size = boot_file_size(module->file);
        if (start + size > board->ram_below_4g)
            return refuse(error, module->file,
                          "%" G_GUINT64_FORMAT
                          " MiB of RAM are too few for this module; use -m %" G_GUINT64_FORMAT "M or more",
                          board->ram_below_4g >> 20, ((start + size) >> 20) + 2);
        module->start = (uint32_t)start;
        *end = start + size;
    }
    return true;
}

static size_t string_size(const char *text)
{
    return (text ? strlen(text) : 0) + 1;
}

static char *kernel_cmdline(const struct boot_file *kernel, const char *cmdline)
{
    return cmdline && *cmdline ? g_strconcat(boot_file_path(kernel), " ", cmdline, NULL)
                               : g_strdup(boot_file_path(kernel));
}

/* Finds a place for GDT and information block: low memory, else behind the modules. */
static bool plan_info(struct boot_file *kernel, struct multiboot_plan *plan, const char *cmdline,
                      const struct boot_board *board, uint64_t end, GError **error)
{
    g_autofree char *line = kernel_cmdline(kernel, cmdline);
    size_t strings = string_size(line) + sizeof loader_name;
    for (unsigned i = 0; i < plan->module_count; i++)
        strings += string_size(plan->modules[i].arguments);
    if (strings > STRINGS_MOST)
        return refuse(error, kernel,
                      "command line and module arguments are %zu bytes together; at most %d fit", strings,
                      STRINGS_MOST);
    plan->info_size = (uint32_t)(GDT_SIZE + INFO_STRUCT + plan->module_count * MODULE_ENTRY +
                                 BOOT_E820_MOST * MMAP_ENTRY + strings);
    plan->info = INFO_LOW;
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct multiboot_segment *s = &plan->segments[i];
        if (s->addr < INFO_LOW + plan->info_size && s->addr + s->size > INFO_LOW)
            plan->info = (uint32_t)((end + 4095) & ~UINT64_C(4095));
    }
    if (plan->info != INFO_LOW && (uint64_t)plan->info + plan->info_size > board->ram_below_4g)
        return refuse(error, kernel,
                      "%" G_GUINT64_FORMAT " MiB of RAM are too few: no room for the boot information",
                      board->ram_below_4g >> 20);
    return true;
}

bool multiboot_plan(struct boot_file *kernel, const struct multiboot_module *modules, unsigned count,
                    const char *cmdline, const struct boot_board *board, struct multiboot_plan *plan,
                    GError **error)
{
    g_autofree uint8_t *head = g_malloc0(SEARCH);
    size_t len = boot_file_peek(kernel, 0, head, SEARCH), at = 0;
    *plan = (struct multiboot_plan){0};
    while (at + 12 <= len &&
           (get32(head + at) != HEADER_MAGIC ||
            (uint32_t)(get32(head + at) + get32(head + at + 4) + get32(head + at + 8)) != 0))
        at += 4;
    if (at + 12 > len)
        return refuse(error, kernel, "no Multiboot header in its first %d bytes", SEARCH);
    uint32_t flags = get32(head + at + 4);
    if (flags & 0xffff & ~(uint32_t)(WANT_ALIGNED | WANT_MEMORY | WANT_VIDEO))
        return refuse(error, kernel,
                      "its Multiboot header asks for features (flags 0x%x) that the specification "
                      "does not know",
                      flags & 0xffff);
    if (flags & WANT_VIDEO)
        trace(BOOT, "%s asks for a video mode; there is no display", boot_file_path(kernel));
    if ((flags & HAS_ADDRESSES) && at + 32 > len)
        return refuse(error, kernel, "its Multiboot header is cut off");
    if (count > MULTIBOOT_MODULES_MOST)
        return refuse(error, kernel, "more than %d modules", MULTIBOOT_MODULES_MOST);
    for (unsigned i = 0; i < count; i++)
        plan->modules[i] = modules[i];
    plan->module_count = count;
    if (!(flags & HAS_ADDRESSES ? plan_addresses(kernel, plan, board, head + at, at, error)
                                : plan_elf(kernel, plan, board, error)))
        return false;
    uint64_t end = BOOT_HIGH_RAM;
    for (unsigned i = 0; i < plan->segment_count; i++)
        end = MAX(end, plan->segments[i].addr + plan->segments[i].size);
    return plan_modules(kernel, plan, board, &end, error) &&
           plan_info(kernel, plan, cmdline, board, end, error);
}

bool multiboot_place(const struct multiboot_plan *plan, struct boot_file *kernel, const char *cmdline,
                     const struct boot_board *board, struct physmap *mem, struct cpu_boot_state *state,
                     GError **error)
{
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct multiboot_segment *s = &plan->segments[i];
        if (!boot_file_place(kernel, s->offset, s->file_size, mem, s->addr, error))
            return false;
        if (!boot_clear(mem, s->addr + s->file_size, s->size - s->file_size))
            return refuse(error, kernel, "there is no RAM at 0x%" G_GINT64_MODIFIER "x",
                          s->addr + s->file_size);
    }
    for (unsigned i = 0; i < plan->module_count; i++) {
        const struct multiboot_module *m = &plan->modules[i];
        if (!boot_file_place(m->file, 0, boot_file_size(m->file), mem, m->start, error))
            return false;
    }

    /* GDT, block, module list, memory map, strings. */
    g_autofree uint8_t *block = g_malloc0(plan->info_size);
    g_autofree char *line = kernel_cmdline(kernel, cmdline);
    uint8_t *info = block + GDT_SIZE, *modules = info + INFO_STRUCT;
    uint8_t *mmap = modules + plan->module_count * MODULE_ENTRY,
            *strings = mmap + BOOT_E820_MOST * MMAP_ENTRY;
    const uint32_t base = plan->info;
#define ADDRESS_OF(pointer) (base + (uint32_t)((pointer)-block))
    uint32_t flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER;
    put32(info + 4, BOOT_LOW_RAM_END / 1024);
    put32(info + 8,
          (uint32_t)((board->ram_below_4g - MIN(board->ram_below_4g, (uint64_t)BOOT_HIGH_RAM)) / 1024));
    put32(info + 16, ADDRESS_OF(strings));
    memcpy(strings, line, string_size(line));
    strings += string_size(line);
    if (plan->module_count) {
        flags |= INFO_MODULES;
        put32(info + 20, plan->module_count);
        put32(info + 24, ADDRESS_OF(modules));
    }
    for (unsigned i = 0; i < plan->module_count; i++) {
        const struct multiboot_module *m = &plan->modules[i];
        const char *text = m->arguments ? m->arguments : "";
        uint8_t *row = modules + i * MODULE_ENTRY;
        put32(row, m->start);
        put32(row + 4, m->start + (uint32_t)boot_file_size(m->file));
        put32(row + 8, ADDRESS_OF(strings));
        memcpy(strings, text, string_size(text));
        strings += string_size(text);
    }
    struct boot_e820 map[BOOT_E820_MOST];
    unsigned count = boot_e820(board, map);
    put32(info + 44, count * MMAP_ENTRY);
    put32(info + 48, ADDRESS_OF(mmap));
    for (unsigned i = 0; i < count; i++) {
        uint8_t *row = mmap + i * MMAP_ENTRY;
        put32(row, MMAP_ENTRY - 4); /* size does not count itself */
        memcpy(row + 4, &map[i].start, 8);
        memcpy(row + 12, &map[i].size, 8);
        put32(row + 20, map[i].type);
    }
    put32(info + 64, ADDRESS_OF(strings));
    memcpy(strings, loader_name, sizeof loader_name);
    put32(info, flags);
    phys_write(mem, base, block, plan->info_size);

    boot_flat_state(mem, base, state);
    state->eip = plan->entry;
    state->eax = ENTRY_MAGIC;
    state->ebx = ADDRESS_OF(info);
#undef ADDRESS_OF
    trace(BOOT, "Multiboot, entered at 0x%x, information at 0x%x", plan->entry, state->ebx);
    return true;
}
