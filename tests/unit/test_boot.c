/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The loaders on files made here: a good one of each kind, and every way one can be bad. Then whatever a file
 * holds must lead to a plan or to an error of one line.
 */
#include "emu/machine/boot.h"

#include "emu/mem/physmap.h"

#include <elf.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

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

static uint32_t get32(struct physmap *mem, uint64_t addr)
{
    return phys_read32(mem, addr);
}

/* ---- a bzImage ---- */

enum { SETUP_SIZE = 3 * 512, BODY_SIZE = 5000 };

/* What a present kernel's header says; tests change it before the file is made. */
static GByteArray *bzimage(void)
{
    GByteArray *file = g_byte_array_new();
    g_byte_array_set_size(file, SETUP_SIZE + BODY_SIZE);
    uint8_t *h = file->data;
    memset(h, 0, file->len);
    for (unsigned i = 0; i < BODY_SIZE; i++)
        h[SETUP_SIZE + i] = (uint8_t)(i * 7 + 1);
    h[0x1f1] = 2;                            /* setup_sects */
    put32(h + 0x1f4, (BODY_SIZE + 15) / 16); /* syssize */
    put16(h + 0x1fe, 0xaa55);
    h[0x200] = 0xeb;
    h[0x201] = 0x66; /* the header ends at 0x268 */
    memcpy(h + 0x202, "HdrS", 4);
    put16(h + 0x206, 0x020f);
    h[0x211] = 1;                 /* LOADED_HIGH */
    put32(h + 0x22c, 0x37ffffff); /* initrd_addr_max */
    put32(h + 0x230, 0x1000000);  /* kernel_alignment */
    h[0x234] = 1;                 /* relocatable */
    put32(h + 0x238, 2047);       /* cmdline_size */
    put32(h + 0x258, 0x1000000);  /* pref_address */
    put32(h + 0x260, 0x800000);   /* init_size: needs 24 MiB */
    return file;
}

static struct boot_file *as_file(const void *data, size_t len)
{
    g_autoptr(GError) error = NULL;
    struct boot_file *file = boot_file_new("kernel", data, len, &error);
    g_assert_no_error(error);
    return file;
}

static struct boot_board board_of(uint64_t ram)
{
    return (struct boot_board){.ram_below_4g = MIN(ram, 3072 * MIB),
                               .ram_above_4g = ram > 3072 * MIB ? ram - 3072 * MIB : 0,
                               .rsdp = 0xe0000};
}

static struct physmap *memory_of(const struct boot_board *board)
{
    g_autoptr(GError) error = NULL;
    struct physmap *mem = physmap_new(board->ram_below_4g + board->ram_above_4g, &error);
    g_assert_no_error(error);
    physmap_add_ram(mem, "ram", 0, board->ram_below_4g, 0, 0);
    return mem;
}

/* Plans `data`; the error's text, or NULL when it was taken. */
static char *plan_error(const uint8_t *data, size_t len, size_t initrd_size, const char *cmdline,
                        uint64_t ram)
{
    struct linux_plan plan;
    struct boot_board board = board_of(ram);
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *zeros = g_malloc0(MAX(initrd_size, 1));
    struct boot_file *kernel = as_file(data, len);
    struct boot_file *initrd = initrd_size != SIZE_MAX && initrd_size ? as_file(zeros, initrd_size) : NULL;
    bool good = linux_plan(kernel, initrd, cmdline, &board, &plan, &error);
    g_assert_true(good == !error);
    boot_file_free(kernel);
    boot_file_free(initrd);
    return error ? g_strdup(error->message) : NULL;
}

static void assert_says(const char *message, const char *says)
{
    if (!message || !strstr(message, says) || strchr(message, '\n'))
        g_error("'%s' does not say '%s'", message ? message : "(taken)", says);
}

static void test_linux_good(void)
{
    g_autoptr(GByteArray) image = bzimage();
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *archive = g_malloc(10000);
    memset(archive, 0x5a, 10000);
    struct linux_plan plan;
    struct cpu_boot_state state;
    struct boot_board board = board_of(64 * MIB);
    struct physmap *mem = memory_of(&board);
    struct boot_file *kernel = as_file(image->data, image->len), *initrd = as_file(archive, 10000);
    const char *cmdline = "console=ttyS0 quiet";
    enum boot_kind kind;

    g_assert_true(boot_identify(kernel, &kind, &error));
    g_assert_cmpint(kind, ==, BOOT_LINUX);
    g_assert_true(linux_plan(kernel, initrd, cmdline, &board, &plan, &error));
    g_assert_true(linux_place(&plan, kernel, initrd, cmdline, &board, mem, &state, &error));
    g_assert_no_error(error);

    /* the protocol's entry state */
    g_assert_cmphex(state.eip, ==, 0x100000);
    g_assert_cmphex(state.cs, ==, 0x10);
    g_assert_cmphex(state.ds, ==, 0x18);
    g_assert_cmphex(state.ebx | state.ebp | state.edi, ==, 0);
    g_assert_cmphex(phys_read64(mem, state.gdt_base + 0x10), ==, 0x00cf9a000000ffff);
    g_assert_cmphex(phys_read64(mem, state.gdt_base + 0x18), ==, 0x00cf92000000ffff);
    g_assert_cmpuint(state.gdt_limit, ==, 31);

    /* kernel and initrd */
    uint8_t body[BODY_SIZE];
    phys_read(mem, 0x100000, body, sizeof body);
    g_assert_cmpmem(body, BODY_SIZE, image->data + SETUP_SIZE, BODY_SIZE);
    uint32_t zp = state.esi, start = get32(mem, zp + 0x218);
    g_assert_cmpuint(get32(mem, zp + 0x21c), ==, 10000);
    g_assert_cmphex(start & 4095, ==, 0);
    g_assert_cmphex(start, ==, (64 * MIB - 10000) & ~4095u);
    g_assert_cmphex(phys_read8(mem, start + 9999), ==, 0x5a);

    /* boot_params */
    char text[64];
    phys_read(mem, get32(mem, zp + 0x228), text, sizeof text);
    g_assert_cmpstr(text, ==, cmdline);
    g_assert_cmphex(phys_read8(mem, zp + 0x210), ==, 0xff);
    g_assert_cmphex(phys_read8(mem, zp + 0x211), ==, 0x81);
    g_assert_cmphex(phys_read64(mem, zp + 0x070), ==, 0xe0000);
    g_assert_cmphex(phys_read8(mem, zp + 0x1ef), ==, 0); /* sentinel */
    g_assert_cmpuint(get32(mem, zp + 0x1e0), ==, 63 * 1024);
    uint64_t ram = 0;
    unsigned rows = phys_read8(mem, zp + 0x1e8);
    for (unsigned i = 0; i < rows; i++) {
        uint64_t row = zp + 0x2d0 + 20 * i;
        if (get32(mem, row + 16) == 1)
            ram += phys_read64(mem, row + 8);
    }
    g_assert_cmpuint(ram, ==, 63 * MIB + 0x9fc00);
    uint64_t seed = phys_read64(mem, zp + 0x250);
    g_assert_cmpuint(get32(mem, seed + 8), ==, 9);
    g_assert_cmpuint(get32(mem, seed + 12), ==, 32);
    g_assert_true(phys_read64(mem, seed + 16) != 0);

    boot_file_free(kernel);
    boot_file_free(initrd);
    physmap_free(mem);
}

static void test_linux_large_memory(void)
{
    /* Above 3 GiB the rest is reported from 4 GiB up; the initrd stays where the kernel can reach it. */
    g_autoptr(GByteArray) image = bzimage();
    struct boot_e820 map[BOOT_E820_MOST];
    struct boot_board board = board_of(5120 * MIB);
    struct linux_plan plan;
    struct boot_file *kernel = as_file(image->data, image->len), *initrd = as_file("x", 1);
    g_assert_true(linux_plan(kernel, initrd, NULL, &board, &plan, NULL));
    g_assert_cmphex(plan.initrd_start, ==, 0x37fff000);
    unsigned count = boot_e820(&board, map);
    g_assert_cmphex(map[count - 1].start, ==, UINT64_C(1) << 32);
    g_assert_cmpuint(map[count - 1].size, ==, 2048 * MIB);
    for (unsigned i = 1; i < count; i++) /* sorted, and nothing overlaps */
        g_assert_cmpuint(map[i - 1].start + map[i - 1].size, <=, map[i].start);
    boot_file_free(kernel);
    boot_file_free(initrd);
}

static void test_linux_bad(void)
{
    static const struct {
        const char *name, *says;
        uint16_t offset;
        uint8_t size; /* of the value to poke: 1, 2, 4 */
        uint32_t value;
        uint32_t length;      /* of the file, 0: whole */
        uint32_t ram_mib;     /* 0: 64 */
        uint32_t initrd_size; /* 0: none */
        uint32_t cmdline_len;
    } rows[] = {
        {"not Linux", "no Linux setup header", .offset = 0x202, .size = 4, .value = 0},
        {"old", "boot protocol 2.01 is too old", .offset = 0x206, .size = 2, .value = 0x201},
        {"zImage", "this is a zImage", .offset = 0x211, .size = 1, .value = 0},
        {"64-bit", "64-bit (x86-64) kernel and netlab-emu is an i386 PC", .offset = 0x236, .size = 2,
         .value = 1},
        {"cut off", "the file is cut off: 4096 bytes", .length = 4096},
        {"cut off in setup", "the file is cut off", .length = 1200},
        {"cut off in the header", "no Linux setup header", .length = 0x204},
        {"lying size", "the file is cut off", .offset = 0x1f4, .size = 4, .value = 0xffffffff},
        {"lying setup_sects", "the file is cut off", .offset = 0x1f1, .size = 1, .value = 255},
        {"little RAM", "16 MiB of RAM are too few: this kernel needs 24 MiB", .ram_mib = 16},
        {"huge init_size", "use -m", .offset = 0x260, .size = 4, .value = 0xffffffff},
        {"above 4 GiB", "is above 4 GiB", .offset = 0x25c, .size = 4, .value = 1},
        {"RAM for the initrd", "use -m 35M or more", .ram_mib = 32, .initrd_size = 10 << 20},
        {"initrd limit", "make the initrd smaller", .offset = 0x22c, .size = 4, .value = 0x1ffffff,
         .initrd_size = 9 << 20},
        {"command line", "-append is 2048 bytes long; this kernel takes 2047", .cmdline_len = 2048},
        {"old command line", "this kernel takes 255", .offset = 0x206, .size = 2, .value = 0x205,
         .cmdline_len = 256},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GByteArray) image = bzimage();
        if (rows[i].size == 1)
            image->data[rows[i].offset] = (uint8_t)rows[i].value;
        else if (rows[i].size == 2)
            put16(image->data + rows[i].offset, rows[i].value);
        else if (rows[i].size == 4)
            put32(image->data + rows[i].offset, rows[i].value);
        g_autofree char *cmdline = g_strnfill(rows[i].cmdline_len, 'x');
        g_autofree char *message =
            plan_error(image->data, rows[i].length ? rows[i].length : image->len, rows[i].initrd_size,
                       cmdline, (rows[i].ram_mib ? rows[i].ram_mib : 64) * MIB);
        g_test_message("%s: %s", rows[i].name, message);
        assert_says(message, rows[i].says);
    }
}

static void test_linux_no_reloc(void)
{
    /* Protocol 2.02 to 2.09 say nothing of memory: only the file's own size counts. */
    g_autoptr(GByteArray) image = bzimage();
    put16(image->data + 0x206, 0x0202);
    image->data[0x201] = 0x2a;
    g_assert_null(plan_error(image->data, image->len, 4096, "x", 8 * MIB));
}

static void test_empty_initrd(void)
{
    g_autoptr(GByteArray) image = bzimage();
    g_autoptr(GError) error = NULL;
    struct linux_plan plan;
    struct boot_board board = board_of(64 * MIB);
    struct boot_file *kernel = as_file(image->data, image->len), *initrd = as_file("", 0);
    g_assert_false(linux_plan(kernel, initrd, NULL, &board, &plan, &error));
    assert_says(error->message, "the initrd is empty");
    boot_file_free(kernel);
    boot_file_free(initrd);
}

static void test_shrinks(void)
{
    /* A file that is cut between plan and place is an error, not a crash. */
    g_autoptr(GByteArray) image = bzimage();
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("netlab-boot-XXXXXX", &path, NULL);
    g_assert_cmpint(write(fd, image->data, image->len), ==, image->len);
    struct linux_plan plan;
    struct cpu_boot_state state;
    struct boot_board board = board_of(64 * MIB);
    struct physmap *mem = memory_of(&board);
    struct boot_file *kernel = boot_file_open("kernel", path, &error);
    g_assert_true(linux_plan(kernel, NULL, NULL, &board, &plan, &error));
    g_assert_cmpint(ftruncate(fd, 2000), ==, 0);
    g_assert_false(linux_place(&plan, kernel, NULL, NULL, &board, mem, &state, &error));
    assert_says(error->message, "the file ends too early");
    boot_file_free(kernel);
    physmap_free(mem);
    close(fd);
    g_unlink(path);
}

static void test_pages_of_the_file(void)
{
    /* Whole pages are mapped and the rest is copied: the guest cannot tell, and what it writes stays its own.
     */
    enum { SIZE = (3 << 20) + 123, AT = 8 << 20 };
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *bytes = g_malloc(SIZE), *back = g_malloc(SIZE);
    g_autofree char *path = NULL;
    for (unsigned i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 12));
    int fd = g_file_open_tmp("netlab-boot-XXXXXX", &path, NULL);
    g_assert_cmpint(write(fd, bytes, SIZE), ==, SIZE);
    struct boot_board board = board_of(64 * MIB);
    struct physmap *mem = memory_of(&board);
    struct boot_file *file = boot_file_open("initrd", path, &error);
    static const struct {
        uint32_t offset, addr;
    } cases[] = {{0, AT}, {4096, AT}, {512, AT}, {0, AT + 512}};
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint32_t len = SIZE - cases[i].offset, addr = cases[i].addr;
        for (unsigned again = 0; again < 2;
             again++) { /* a reset places it anew over what the guest made of it */
            phys_write8(mem, addr + len, 0x77);
            g_assert_true(boot_file_place(file, cases[i].offset, len, mem, addr, &error));
            phys_read(mem, addr, back, len);
            g_assert_cmpmem(back, len, bytes + cases[i].offset, len);
            g_assert_cmphex(phys_read8(mem, addr + len), ==, 0x77);
            memset(back, 0x99, len);
            phys_write(mem, addr, back, len);
        }
    }
    g_assert_cmpint(pread(fd, back, SIZE, 0), ==, SIZE);
    g_assert_cmpmem(back, SIZE, bytes, SIZE);
    boot_file_free(file);
    physmap_free(mem);
    close(fd);
    g_unlink(path);
}

/* ---- what is no kernel ---- */

static void test_identify(void)
{
    uint8_t page[0x8200];
    static const struct {
        const char *says;
        uint32_t offset;
        const char *bytes;
        uint8_t len;
        uint32_t size;
    } rows[] = {
        {"the file is empty", 0, "", 0, 0},
        {"this is no kernel", 0, "hello", 5, 5},
        {"an ARM Linux zImage", 0x24, "\x18\x28\x6f\x01", 4, 4096},
        {"an ARM64 Linux Image", 0x38, "ARM\x64", 4, 4096},
        {"a RISC-V Linux Image", 0x38, "RSC\x05", 4, 4096},
        {"a gzip-compressed file", 0, "\x1f\x8b", 2, 4096},
        {"a zstd-compressed file", 0, "\x28\xb5\x2f\xfd", 4, 4096},
        {"a qcow2 disk image", 0, "QFI\xfb", 4, 4096},
        {"a CD image", 0x8001, "CD001", 5, 0x8200},
        {"a script", 0, "#!/bin/sh", 9, 20},
        {"a Windows or EFI program", 0, "MZ", 2, 512},
        {"a disk or boot sector", 510, "\x55\xaa", 2, 512},
        {"a cpio archive (give it with -initrd)", 0, "070701", 6, 512},
        {"an ELF file for x86-64 without a Multiboot header", 0,
         "\x7f"
         "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\x3e\0",
         20, 4096},
        {"an ELF file for PowerPC without", 0,
         "\x7f"
         "ELF\1\2\1\0\0\0\0\0\0\0\0\0\0\2\0\x14",
         20, 4096},
        {"a U-Boot image", 0, "\x27\x05\x19\x56", 4, 64},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        enum boot_kind kind;
        g_autoptr(GError) error = NULL;
        memset(page, 0, sizeof page);
        memcpy(page + rows[i].offset, rows[i].bytes, rows[i].len);
        struct boot_file *file = as_file(page, rows[i].size);
        g_assert_false(boot_identify(file, &kind, &error));
        assert_says(error->message, rows[i].says);
        assert_says(error->message, "wanted: an i386 Linux bzImage");
        boot_file_free(file);
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(boot_file_open("kernel", "/nonexistent/vmlinuz", &error));
    assert_says(error->message, "kernel /nonexistent/vmlinuz: No such file");
    g_clear_error(&error);
    g_assert_null(boot_file_open("kernel", "/", &error));
    assert_says(error->message, "Is a directory");
}

static void test_pipe(void)
{
    /* A pipe is read to its end, so that <(…) of a shell works. */
    int fds[2];
    uint8_t buffer[8];
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_cmpint(write(fds[1], "kernel!", 8), ==, 8);
    close(fds[1]);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fds[0]);
    struct boot_file *file = boot_file_open("kernel", path, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(boot_file_size(file), ==, 8);
    g_assert_true(boot_file_read(file, 0, buffer, 8, NULL));
    g_assert_cmpstr((char *)buffer, ==, "kernel!");
    boot_file_free(file);
    close(fds[0]);
}

/* ---- Multiboot ---- */

enum { MB_SIZE = 3 * 4096 };

static void multiboot_header(uint8_t *at, uint32_t flags)
{
    put32(at, 0x1badb002);
    put32(at + 4, flags);
    put32(at + 8, -(0x1badb002 + flags));
}

/* An ELF kernel of one segment: file offset 4096, 4096 bytes, loaded at 0x200000 (virtual 0xc0200000), with
 * 8192 bytes of memory; entry at its 16th byte. */
static void elf_kernel(uint8_t *file)
{
    memset(file, 0, MB_SIZE);
    Elf32_Ehdr elf = {.e_type = ET_EXEC,
                      .e_machine = EM_386,
                      .e_version = 1,
                      .e_entry = 0xc0200010,
                      .e_phoff = 64,
                      .e_ehsize = sizeof elf,
                      .e_phentsize = sizeof(Elf32_Phdr),
                      .e_phnum = 1};
    memcpy(elf.e_ident, ELFMAG, SELFMAG);
    elf.e_ident[EI_CLASS] = ELFCLASS32;
    elf.e_ident[EI_DATA] = ELFDATA2LSB;
    elf.e_ident[EI_VERSION] = 1;
    Elf32_Phdr ph = {.p_type = PT_LOAD,
                     .p_offset = 4096,
                     .p_vaddr = 0xc0200000,
                     .p_paddr = 0x200000,
                     .p_filesz = 4096,
                     .p_memsz = 8192};
    memcpy(file, &elf, sizeof elf);
    memcpy(file + 64, &ph, sizeof ph);
    memset(file + 4096, 0x90, 4096);
    multiboot_header(file + 4096, 3);
}

static void test_multiboot_elf(void)
{
    g_autofree uint8_t *data = g_malloc(MB_SIZE);
    g_autofree struct multiboot_plan *plan = g_new(struct multiboot_plan, 1);
    g_autoptr(GError) error = NULL;
    elf_kernel(data);
    struct boot_board board = board_of(16 * MIB);
    struct physmap *mem = memory_of(&board);
    struct cpu_boot_state state;
    struct boot_file *kernel = as_file(data, MB_SIZE), *one = as_file("module one", 10),
                     *two = as_file("2", 1);
    struct multiboot_module modules[] = {{.file = one, .arguments = "one a b"},
                                         {.file = two, .arguments = "two"}};
    enum boot_kind kind;
    phys_write8(mem, 0x201fff, 0xee); /* .bss must be cleared */
    g_assert_true(boot_identify(kernel, &kind, &error));
    g_assert_cmpint(kind, ==, BOOT_MULTIBOOT);
    g_assert_true(multiboot_plan(kernel, modules, 2, "root=1", &board, plan, &error));
    g_assert_true(multiboot_place(plan, kernel, "root=1", &board, mem, &state, &error));
    g_assert_no_error(error);
    g_assert_cmphex(state.eip, ==, 0x200010);
    g_assert_cmphex(state.eax, ==, 0x2badb002);
    g_assert_cmphex(phys_read8(mem, 0x200fff), ==, 0x90);
    g_assert_cmphex(phys_read8(mem, 0x201fff), ==, 0);

    uint32_t info = state.ebx;
    char text[64];
    uint32_t flags = get32(mem, info);
    g_assert_cmphex(flags, ==, 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
    g_assert_cmpuint(get32(mem, info + 4), ==, 639);
    g_assert_cmpuint(get32(mem, info + 8), ==, 15 * 1024);
    phys_read(mem, get32(mem, info + 16), text, sizeof text);
    g_assert_cmpstr(text, ==, "(memory) root=1");
    g_assert_cmpuint(get32(mem, info + 20), ==, 2);
    uint32_t list = get32(mem, info + 24), first = get32(mem, list);
    g_assert_cmphex(first & 4095, ==, 0);
    g_assert_cmphex(first, >=, 0x202000);
    g_assert_cmpuint(get32(mem, list + 4) - first, ==, 10);
    phys_read(mem, first, text, 10);
    g_assert_cmpmem(text, 10, "module one", 10);
    phys_read(mem, get32(mem, list + 8), text, sizeof text);
    g_assert_cmpstr(text, ==, "one a b");
    phys_read(mem, get32(mem, list + 16 + 8), text, sizeof text);
    g_assert_cmpstr(text, ==, "two");
    uint32_t at = get32(mem, info + 48), end = at + get32(mem, info + 44);
    uint64_t ram = 0;
    while (at < end) {
        if (get32(mem, at + 20) == 1)
            ram += phys_read64(mem, at + 12);
        at += get32(mem, at) + 4;
    }
    g_assert_cmpuint(ram, ==, 15 * MIB + 0x9fc00);
    phys_read(mem, get32(mem, info + 64), text, sizeof text);
    g_assert_cmpstr(text, ==, "netlab-emu");
    boot_file_free(kernel);
    boot_file_free(one);
    boot_file_free(two);
    physmap_free(mem);
}

static char *multiboot_error(const uint8_t *data, size_t len, uint64_t ram)
{
    g_autofree struct multiboot_plan *plan = g_new(struct multiboot_plan, 1);
    struct boot_board board = board_of(ram);
    g_autoptr(GError) error = NULL;
    struct boot_file *kernel = as_file(data, len);
    bool good = multiboot_plan(kernel, NULL, 0, NULL, &board, plan, &error);
    g_assert_true(good == !error);
    boot_file_free(kernel);
    return error ? g_strdup(error->message) : NULL;
}

static void test_multiboot_bad(void)
{
    static const struct {
        const char *says;
        uint16_t offset;
        uint32_t value;
        uint32_t length, ram_mib;
    } rows[] = {
        {"asks for features (flags 0xb)", 4096 + 4, 0xb, 0, 0},
        {"no Multiboot header", 4096, 0, 0, 0},
        {"a segment lies outside the file", 64 + 16, 0x10000, 0, 0},
        {"a segment lies outside the file", 64 + 4, 0xfffff000, 0, 0},
        {"a segment lies outside the file", 0, 0, 6000, 0},
        {"RAM are too few: a segment ends at 0x202000; use -m 3M", 0, 0, 0, 2},
        {"is not in RAM", 64 + 12, 0x9f000, 0, 0},
        {"is not in RAM", 64 + 12, 0xfffffff0, 0, 0},
        {"its entry point 0x10 is outside", 24, 0x10, 0, 0},
        {"not a 32-bit one for i386", 4, 0x00010102, 0, 0},
        {"has a Multiboot header without addresses, and is no ELF file", 0, 0x90909090, 0, 0},
        {"has no ELF program headers", 44, 0, 0, 0},
        {"has no loadable ELF segment", 64, PT_NOTE, 0, 0},
        {"the file ends too early", 28, 0x7fffffff, 0, 0},
    };
    g_autofree uint8_t *data = g_malloc(MB_SIZE);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        elf_kernel(data);
        if (rows[i].offset == 4096 + 4)
            multiboot_header(data + 4096, rows[i].value);
        else if (rows[i].offset || rows[i].value)
            put32(data + rows[i].offset, rows[i].value);
        g_autofree char *message = multiboot_error(data, rows[i].length ? rows[i].length : MB_SIZE,
                                                   (rows[i].ram_mib ? rows[i].ram_mib : 16) * MIB);
        assert_says(message, rows[i].says);
    }
}

static void test_multiboot_addresses(void)
{
    /* a.out kludge: header at 0x40 of the file, loaded at 1 MiB from its first byte. */
    uint8_t file[256] = {0};
    multiboot_header(file + 0x40, 1 << 16);
    put32(file + 0x40 + 12, 0x100040); /* header_addr */
    put32(file + 0x40 + 16, 0x100000); /* load_addr */
    put32(file + 0x40 + 20, 0x100080); /* load_end_addr */
    put32(file + 0x40 + 24, 0x101000); /* bss_end_addr */
    put32(file + 0x40 + 28, 0x100060); /* entry_addr */
    memset(file + 0x60, 0xf4, 0xa0);
    g_autofree struct multiboot_plan *plan = g_new(struct multiboot_plan, 1);
    g_autoptr(GError) error = NULL;
    struct boot_board board = board_of(4 * MIB);
    struct physmap *mem = memory_of(&board);
    struct cpu_boot_state state;
    struct boot_file *kernel = as_file(file, sizeof file);
    phys_write8(mem, 0x100090, 0xee);
    g_assert_true(multiboot_plan(kernel, NULL, 0, NULL, &board, plan, &error));
    g_assert_true(multiboot_place(plan, kernel, NULL, &board, mem, &state, &error));
    g_assert_cmphex(state.eip, ==, 0x100060);
    g_assert_cmphex(phys_read8(mem, 0x10007f), ==, 0xf4);
    g_assert_cmphex(phys_read8(mem, 0x100090), ==, 0);
    boot_file_free(kernel);
    physmap_free(mem);

    static const struct {
        unsigned field;
        uint32_t value;
        const char *says;
    } rows[] = {
        {12, 0x200000, "which do not go with a header at offset 0x40"},
        {12, 0xfffff, "which do not go with a header at offset 0x40"},
        {20, 0x900, "which do not go with load_addr"},
        {24, 0x100010, "which do not go with load_addr"},
        {28, 0x200000, "its entry point 0x200000 is outside"},
        {20, 0x100800, "a segment lies outside the file"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t bad[256];
        memcpy(bad, file, sizeof bad);
        put32(bad + 0x40 + rows[i].field, rows[i].value);
        g_autofree char *message = multiboot_error(bad, sizeof bad, 4 * MIB);
        assert_says(message, rows[i].says);
    }
}

static void test_multiboot_low(void)
{
    /* A kernel that wants 0x10000 for itself: the information goes behind it. */
    uint8_t file[256] = {0};
    multiboot_header(file, 1 << 16);
    put32(file + 12, 0x10000);
    put32(file + 16, 0x10000);
    put32(file + 28, 0x10020);
    g_autofree struct multiboot_plan *plan = g_new(struct multiboot_plan, 1);
    struct boot_board board = board_of(4 * MIB);
    struct boot_file *kernel = as_file(file, sizeof file);
    g_assert_true(multiboot_plan(kernel, NULL, 0, NULL, &board, plan, NULL));
    g_assert_cmphex(plan->info, >=, 0x100000);
    boot_file_free(kernel);
}

/* ---- whatever a file holds ---- */

static void test_random(void)
{
    /* Good files with random bytes changed: a plan must be sound, and placing it must end. */
    g_autoptr(GRand) random = g_rand_new_with_seed(20240229);
    struct boot_board board = board_of(32 * MIB);
    struct physmap *mem = memory_of(&board);
    unsigned taken = 0;
    for (unsigned round = 0; round < 4000; round++) {
        g_autoptr(GByteArray) image = bzimage();
        g_autofree uint8_t *elf = g_malloc(MB_SIZE);
        elf_kernel(elf);
        bool linux_kind = round & 1;
        uint8_t *data = linux_kind ? image->data : elf;
        size_t len = linux_kind ? image->len : MB_SIZE;
        unsigned changes = (unsigned)g_rand_int_range(random, 1, 8);
        for (unsigned i = 0; i < changes; i++) {
            unsigned span = linux_kind ? 0x290 : i & 1 ? 128 : 4096 + 48;
            unsigned at = (unsigned)g_rand_int_range(random,
                                                     linux_kind ? 0x1f1
                                                     : i & 1    ? 0
                                                                : 4096,
                                                     (gint)span);
            data[at] = (uint8_t)(g_rand_int(random) % 3 ? g_rand_int(random) : 0xff);
        }
        if (g_rand_int(random) % 8 == 0)
            len = (size_t)g_rand_int_range(random, 0, (gint)len);
        g_autoptr(GError) error = NULL;
        struct cpu_boot_state state;
        struct boot_file *kernel = as_file(data, len);
        if (linux_kind) {
            struct linux_plan plan;
            if (linux_plan(kernel, NULL, "x", &board, &plan, &error)) {
                g_assert_cmpuint(plan.kernel_end, <=, board.ram_below_4g);
                linux_place(&plan, kernel, NULL, "x", &board, mem, &state, &error);
                taken++;
            }
        } else {
            g_autofree struct multiboot_plan *plan = g_new(struct multiboot_plan, 1);
            if (multiboot_plan(kernel, NULL, 0, "x", &board, plan, &error)) {
                multiboot_place(plan, kernel, "x", &board, mem, &state, &error);
                taken++;
            }
        }
        boot_file_free(kernel);
    }
    g_assert_cmpuint(taken, >, 100);
    g_assert_cmpuint(taken, <, 3900);
    physmap_free(mem);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/boot/" #name, test_##name)
    TEST(linux_good);
    TEST(linux_large_memory);
    TEST(linux_bad);
    TEST(linux_no_reloc);
    TEST(empty_initrd);
    TEST(shrinks);
    TEST(pages_of_the_file);
    TEST(identify);
    TEST(pipe);
    TEST(multiboot_elf);
    TEST(multiboot_bad);
    TEST(multiboot_addresses);
    TEST(multiboot_low);
    TEST(random);
    return g_test_run();
}
