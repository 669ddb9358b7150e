/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes what is read of a kernel file: identification, all plans, and placing what a plan allows.
 */
#include "emu/machine/boot.h"

#include "emu/dev/fwcfg.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"

#include "tests/fuzz/fuzz_main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct physmap *mem;
    static struct multiboot_plan multiboot;
    struct boot_board board = {.ram_below_4g = 8 << 20, .rsdp = 0xe0000};
    struct linux_plan linux_plan_made;
    struct linux_rom_plan rom_plan;
    struct cpu_boot_state state;
    enum boot_kind kind;
    if (!mem) {
        mem = physmap_new(board.ram_below_4g, NULL);
        physmap_add_ram(mem, "ram", 0, board.ram_below_4g, 0, 0);
    }
    struct boot_file *file = boot_file_new("kernel", data, size, NULL);
    if (!file)
        return 0;
    boot_identify(file, &kind, NULL);
    struct multiboot_module module = {.file = file, .arguments = "module"};
    if (linux_plan(file, file, "console=ttyS0", &board, &linux_plan_made, NULL))
        linux_place(&linux_plan_made, file, file, "console=ttyS0", &board, mem, &state, NULL);
    (void)linux_needs_firmware(file);
    if (linux_rom_plan(file, file, "vga=ask console=ttyS0", &board, &rom_plan, NULL)) {
        struct portio *io = portio_new();
        struct fwcfg *fw = fwcfg_new(io, mem);
        linux_rom_offer(&rom_plan, file, file, "vga=ask console=ttyS0", fw, NULL);
        device_free((struct device *)fw);
        portio_free(io);
    }
    if (multiboot_plan(file, &module, 1, "x", &board, &multiboot, NULL))
        multiboot_place(&multiboot, file, "x", &board, mem, &state, NULL);
    boot_file_free(file);
    return 0;
}

FUZZ_MAIN(300, 20000)
