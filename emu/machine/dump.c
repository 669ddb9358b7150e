/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * dump-guest-memory: an ELF core file of the machine (System V ABI, Intel386 supplement; core files as Linux
 * writes them for i386): a note with the registers, and guest RAM at its physical addresses.
 *
 * Pages of zeros become holes of the file. GDB and crash open it; with a kernel's symbols
 * give GDB addresses minus the kernel's offset, for the core knows no page tables.
 */
#include "emu/machine/machine_internal.h"

#include <elf.h>
#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

/* struct elf_prstatus of i386 as it lies in a file. */
struct prstatus {
    uint32_t signal[3];
    uint16_t current, pad;
    uint32_t pending, held, pid, parent, group, session, times[8];
    uint32_t ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, orig_eax, eip, cs, eflags, esp, ss;
    uint32_t fp_valid;
};
_Static_assert(sizeof(struct prstatus) == 144, "as the kernel's");

struct note {
    Elf32_Nhdr header;
    char name[8];
    struct prstatus status;
};

struct file_head {
    Elf32_Ehdr header;
    Elf32_Phdr note_program, ram_program;
    struct note note;
};

static bool write_all(int fd, const void *data, size_t len, GError **error)
{
    const uint8_t *at = data;
    while (len) {
        ssize_t done = write(fd, at, len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "writing the core: %s",
                        g_strerror(done < 0 ? errno : EIO));
            return false;
        }
        at += done;
        len -= (size_t)done;
    }
    return true;
}

static void fill_registers(struct machine *m, struct prstatus *s)
{
    struct cpu_registers r;
    cpu_get_registers(m->cpu, &r);
    *s = (struct prstatus){.pid = 1,
                           .eax = r.gpr[0],
                           .ecx = r.gpr[1],
                           .edx = r.gpr[2],
                           .ebx = r.gpr[3],
                           .esp = r.gpr[4],
                           .ebp = r.gpr[5],
                           .esi = r.gpr[6],
                           .edi = r.gpr[7],
                           .orig_eax = UINT32_MAX,
                           .eip = r.eip,
                           .eflags = r.eflags,
                           .cs = r.cs,
                           .ss = r.ss,
                           .ds = r.ds,
                           .es = r.es,
                           .fs = r.fs,
                           .gs = r.gs};
}

static bool write_ram(const uint8_t *ram, uint64_t size, int fd, GError **error)
{
    static const uint8_t zeros[PHYS_PAGE_SIZE];
    bool holes = lseek(fd, 0, SEEK_CUR) >= 0;
    for (uint64_t at = 0; at < size; at += PHYS_PAGE_SIZE) {
        if (holes && !memcmp(ram + at, zeros, sizeof zeros)) {
            if (lseek(fd, PHYS_PAGE_SIZE, SEEK_CUR) < 0)
                return write_all(fd, ram + at, size - at, error);
        } else if (!write_all(fd, ram + at, PHYS_PAGE_SIZE, error)) {
            return false;
        }
    }
    off_t end = holes ? lseek(fd, 0, SEEK_CUR) : 0;
    if (end > 0 && ftruncate(fd, end) < 0) { /* it may end in a hole */
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "writing the core: %s", g_strerror(errno));
        return false;
    }
    return true;
}

bool machine_dump(void *opaque, int fd, GError **error)
{
    struct machine *m = opaque;
    uint32_t size = (uint32_t)m->board.ram_below_4g;
    if (m->board.ram_above_4g) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "a core of a machine with RAM above 4 GiB cannot be written; use pmemsave");
        return false;
    }
    struct file_head head = {
        .header = {.e_type = ET_CORE,
                   .e_machine = EM_386,
                   .e_version = EV_CURRENT,
                   .e_phoff = offsetof(struct file_head, note_program),
                   .e_ehsize = sizeof(Elf32_Ehdr),
                   .e_phentsize = sizeof(Elf32_Phdr),
                   .e_phnum = 2},
        .note_program = {.p_type = PT_NOTE,
                         .p_offset = offsetof(struct file_head, note),
                         .p_filesz = sizeof(struct note)},
        .ram_program = {.p_type = PT_LOAD,
                        .p_offset = PHYS_PAGE_SIZE,
                        .p_filesz = size,
                        .p_memsz = size,
                        .p_flags = PF_R | PF_W | PF_X,
                        .p_align = PHYS_PAGE_SIZE},
        .note = {.header = {.n_namesz = 5, .n_descsz = sizeof(struct prstatus), .n_type = NT_PRSTATUS},
                 .name = "CORE"},
    };
    static const unsigned char ident[] = {ELFMAG0,    ELFMAG1,     ELFMAG2,   ELFMAG3,
                                          ELFCLASS32, ELFDATA2LSB, EV_CURRENT};
    uint8_t first[PHYS_PAGE_SIZE] = {0};
    memcpy(head.header.e_ident, ident, sizeof ident);
    fill_registers(m, &head.note.status);
    memcpy(first, &head, sizeof head);
    return write_all(fd, first, sizeof first, error) && write_ram(physmap_ram(m->mem), size, fd, error);
}
