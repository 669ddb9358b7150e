/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Files that are loaded into a guest, what kind of kernel one is, and what Linux and Multiboot starts share.
 *
 * Placing a file maps its whole pages into guest RAM (private: what the guest writes stays with it) and reads
 * the rest, so an initramfs of any size costs nothing at the start, and machines that run the same one share
 * it in the host's page cache. A file that is cut short afterwards raises SIGBUS in whoever looks at the
 * missing pages: machine_fill_hole() then puts zeros there.
 *
 * Signatures: Linux Documentation/x86/boot.rst (HdrS), arch/arm64 booting.rst, Multiboot 0.6.96 §3.1.1, ELF.
 */
#include "emu/machine/boot.h"
#include "emu/fdset.h"

#include "emu/mem/physmap.h"
#include "emu/trace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct boot_file {
    char *what, *path;
    int fd;
    uint64_t size;
};

static const uint64_t BOOT_FILE_MOST = UINT64_C(4) << 30;

static struct boot_file *file_error(GError **error, const char *what, const char *path, int why,
                                    const char *hint)
{
    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(why), "%s %s: %s%s", what, path,
                g_strerror(why), hint);
    return NULL;
}

static struct boot_file *file_of_fd(const char *what, const char *path, int fd, uint64_t size)
{
    struct boot_file *file = g_new0(struct boot_file, 1);
    file->what = g_strdup(what);
    file->path = g_strdup(path);
    file->fd = fd;
    file->size = size;
    return file;
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        data += put;
        len -= (size_t)put;
    }
    return true;
}

/* Pipes and devices: their whole content goes into a file in memory. */
static struct boot_file *slurp(const char *what, const char *path, int from, GError **error)
{
    uint8_t buffer[65536];
    uint64_t size = 0;
    int fd = memfd_create(what, MFD_CLOEXEC);
    if (fd < 0)
        return file_error(error, what, path, errno, "");
    for (;;) {
        ssize_t got = read(from, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            return file_of_fd(what, path, fd, size);
        size += got > 0 ? (uint64_t)got : 0;
        if (got < 0 || size > BOOT_FILE_MOST || !write_all(fd, buffer, (size_t)got)) {
            int why = size > BOOT_FILE_MOST ? EFBIG : errno;
            close(fd);
            return file_error(error, what, path, why, "");
        }
    }
}

struct boot_file *boot_file_open(const char *what, const char *path, GError **error)
{
    struct stat st;
    int fd = fdset_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    if (fd < 0)
        return file_error(error, what, path, errno, errno == ENOENT ? " (check the name)" : "");
    if (fstat(fd, &st)) {
        int why = errno;
        close(fd);
        return file_error(error, what, path, why, "");
    }
    if (S_ISDIR(st.st_mode)) {
        close(fd);
        return file_error(error, what, path, EISDIR, " (name a file in it)");
    }
    if (!S_ISREG(st.st_mode)) {
        struct boot_file *file = slurp(what, path, fd, error);
        close(fd);
        return file;
    }
    if ((uint64_t)st.st_size > BOOT_FILE_MOST) {
        close(fd);
        return file_error(error, what, path, EFBIG, "");
    }
    return file_of_fd(what, path, fd, (uint64_t)st.st_size);
}

struct boot_file *boot_file_new(const char *what, const void *data, size_t size, GError **error)
{
    int fd = memfd_create(what, MFD_CLOEXEC);
    if (fd < 0 || !write_all(fd, data, size)) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return file_error(error, what, "(memory)", why, "");
    }
    return file_of_fd(what, "(memory)", fd, size);
}

void boot_file_free(struct boot_file *file)
{
    if (!file)
        return;
    close(file->fd);
    g_free(file->what);
    g_free(file->path);
    g_free(file);
}

uint64_t boot_file_size(const struct boot_file *file)
{
    return file->size;
}

const char *boot_file_path(const struct boot_file *file)
{
    return file->path;
}

size_t boot_file_peek(struct boot_file *file, uint64_t offset, void *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got = pread(file->fd, (uint8_t *)buf + done, len - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

bool boot_file_read(struct boot_file *file, uint64_t offset, void *buf, size_t len, GError **error)
{
    if (offset <= file->size && len <= file->size - offset && boot_file_peek(file, offset, buf, len) == len)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s %s: the file ends too early (%" G_GUINT64_FORMAT " bytes; is it copied completely?)",
                file->what, file->path, file->size);
    return false;
}

enum { MAP_LEAST = 1 << 16 };

/* Lets the pages of guest RAM at `to` be those of the file; returns how many bytes that are, 0 when they have
 * to be copied. */
static size_t map_pages(struct boot_file *file, uint64_t offset, struct physmap *mem, uint8_t *to, size_t len)
{
    struct stat st;
    len &= ~(size_t)PHYS_PAGE_MASK;
    if (len < MAP_LEAST || ((uintptr_t)to | offset) & PHYS_PAGE_MASK || fstat(file->fd, &st) ||
        (uint64_t)st.st_size < offset + len)
        return 0;
    /* Not straight to its place: some file systems refuse only after what was there is gone. */
    void *pages =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file->fd, (off_t)offset);
    if (pages == MAP_FAILED)
        return 0;
    (void)madvise(pages, len, MADV_DONTDUMP); /* as the rest of guest RAM */
    physmap_ram_replaced(mem, (uint64_t)(to - physmap_ram(mem)), len);
    if (mremap(pages, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED)
        return len;
    munmap(pages, len);
    if (mmap(to, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED)
        g_error("guest memory was lost: %s", g_strerror(errno)); /* the host has no memory for its tables */
    return 0;
}

bool boot_file_place(struct boot_file *file, uint64_t offset, uint64_t len, struct physmap *mem,
                     uint64_t addr, GError **error)
{
    trace(BOOT, "%s: %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER "x", file->path, len, addr);
    while (len) {
        size_t run = MIN(len, (uint64_t)1 << 30);
        uint8_t *to = phys_map(mem, addr, &run, true);
        if (!to || !run) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "%s %s: there is no RAM at 0x%" G_GINT64_MODIFIER "x, where it is to be loaded",
                        file->what, file->path, addr);
            return false;
        }
        size_t mapped = map_pages(file, offset, mem, to, run);
        if (!boot_file_read(file, offset + mapped, to + mapped, run - mapped, error))
            return false;
        offset += run;
        addr += run;
        len -= run;
    }
    return true;
}

bool boot_clear(struct physmap *mem, uint64_t addr, uint64_t len)
{
    while (len) {
        size_t run = MIN(len, (uint64_t)1 << 30);
        uint8_t *to = phys_map(mem, addr, &run, true);
        if (!to || !run)
            return false;
        memset(to, 0, run);
        addr += run;
        len -= run;
    }
    return true;
}

/* ---- what kind of file ---- */

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static bool has_multiboot_header(const uint8_t *head, size_t len)
{
    for (size_t at = 0; at + 12 <= MIN(len, (size_t)8192); at += 4)
        if (get32(head + at) == 0x1badb002 &&
            (uint32_t)(get32(head + at) + get32(head + at + 4) + get32(head + at + 8)) == 0)
            return true;
    return false;
}

static const char linux_wanted[] =
    "wanted: an i386 Linux bzImage (Debian: linux-image-686, /boot/vmlinuz-*-686) or "
    "a Multiboot kernel";

static const struct {
    uint32_t offset;
    uint8_t len;
    const char *bytes, *is;
} signatures[] = {
    {0x24, 4, "\x18\x28\x6f\x01", "an ARM Linux zImage"},
    {0x38, 4, "ARM\x64", "an ARM64 Linux Image"},
    {0x38, 4, "RSC\x05", "a RISC-V Linux Image"},
    {0, 4, "\x27\x05\x19\x56", "a U-Boot image"},
    {0, 4, "\xd0\x0d\xfe\xed", "a device tree"},
    {0, 2, "\x1f\x8b", "a gzip-compressed file"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "an xz-compressed file"},
    {0, 4, "\x28\xb5\x2f\xfd", "a zstd-compressed file"},
    {0, 3, "BZh", "a bzip2-compressed file"},
    {0, 6, "070701", "a cpio archive (give it with -initrd)"},
    {0, 4, "QFI\xfb", "a qcow2 disk image"},
    {0, 8, "!<arch>\n", "a Debian package or archive (unpack it with dpkg-deb -x)"},
    {0x8001, 5, "CD001", "a CD image"},
    {0x101, 5, "ustar", "a tar archive"},
    {0, 2, "#!", "a script"},
    {0, 2, "MZ", "a Windows or EFI program"},
};

static const char *elf_machine_name(unsigned machine)
{
    switch (machine) {
    case EM_386:
        return "i386";
    case EM_X86_64:
        return "x86-64";
    case EM_ARM:
        return "ARM";
    case EM_AARCH64:
        return "ARM64";
    case EM_RISCV:
        return "RISC-V";
    case EM_PPC:
    case EM_PPC64:
        return "PowerPC";
    case EM_MIPS:
        return "MIPS";
    case EM_S390:
        return "S/390";
    default:
        return "another architecture";
    }
}

bool boot_identify(struct boot_file *kernel, enum boot_kind *kind, GError **error)
{
    g_autofree uint8_t *head = g_malloc0(0x8200);
    size_t len = boot_file_peek(kernel, 0, head, 0x8200);
    if (!len) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s %s: the file is empty; %s", kernel->what,
                    kernel->path, linux_wanted);
        return false;
    }
    if (len >= 0x206 && !memcmp(head + 0x202, "HdrS", 4)) {
        *kind = BOOT_LINUX;
        return true;
    }
    if (has_multiboot_header(head, len)) {
        *kind = BOOT_MULTIBOOT;
        return true;
    }
    g_autofree char *is = NULL;
    if (len >= sizeof(Elf32_Ehdr) && !memcmp(head, ELFMAG, SELFMAG)) {
        unsigned machine = head[EI_DATA] == ELFDATA2MSB ? (unsigned)(head[18] << 8 | head[19])
                                                        : (unsigned)(head[19] << 8 | head[18]);
        is =
            g_strdup_printf("an ELF file for %s without a Multiboot header (a vmlinux? give the bzImage made "
                            "of it)",
                            elf_machine_name(machine));
    }
    for (size_t i = 0; !is && i < G_N_ELEMENTS(signatures); i++)
        if (signatures[i].offset + signatures[i].len <= len &&
            !memcmp(head + signatures[i].offset, signatures[i].bytes, signatures[i].len))
            is = g_strdup(signatures[i].is);
    if (!is && len >= 512 && head[510] == 0x55 && head[511] == 0xaa)
        is = g_strdup("a disk or boot sector (or a Linux kernel older than 1.3.73)");
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s %s: this is %s; %s", kernel->what,
                kernel->path, is ? is : "no kernel", linux_wanted);
    return false;
}

/* ---- shared by both protocols ---- */

unsigned boot_e820(const struct boot_board *board, struct boot_e820 out[BOOT_E820_MOST])
{
    unsigned count = 0;
    out[count++] = (struct boot_e820){0, BOOT_LOW_RAM_END, BOOT_E820_RAM};
    out[count++] = (struct boot_e820){BOOT_LOW_RAM_END, 0xa0000 - BOOT_LOW_RAM_END, BOOT_E820_RESERVED};
    out[count++] = (struct boot_e820){0xe0000, 0x20000, BOOT_E820_RESERVED}; /* ACPI and MP tables */
    if (board->ram_below_4g > BOOT_HIGH_RAM)
        out[count++] = (struct boot_e820){BOOT_HIGH_RAM, board->ram_below_4g - BOOT_HIGH_RAM, BOOT_E820_RAM};
    out[count++] = (struct boot_e820){0xfffc0000, 0x40000, BOOT_E820_RESERVED}; /* the ROM's place */
    if (board->ram_above_4g)
        out[count++] = (struct boot_e820){UINT64_C(1) << 32, board->ram_above_4g, BOOT_E820_RAM};
    return count;
}

void boot_flat_state(struct physmap *mem, uint32_t addr, struct cpu_boot_state *state)
{
    static const uint64_t gdt[] = {0, 0, 0x00cf9a000000ffff, 0x00cf92000000ffff};
    phys_write(mem, addr, gdt, sizeof gdt);
    *state = (struct cpu_boot_state){.gdt_base = addr, .gdt_limit = sizeof gdt - 1, .cs = 0x10, .ds = 0x18};
}
