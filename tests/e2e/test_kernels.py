# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""-kernel behind firmware: programs that look like Linux and need the BIOS, old boot protocols, Linux with -bios and with vga=.

What can be compared is compared with qemu-system-i386, which starts every kernel this way.
"""
import os
import shutil
import struct
import subprocess
import tempfile

import media
from harness import check, main
from media import SECONDS, Pc, Rival, have
from screen import BIOS, EMULATOR

work = tempfile.mkdtemp(prefix="netlab-kernels-")
MEMDISK, IPXE = "/usr/lib/syslinux/memdisk", "/boot/ipxe.lkrn"
QUIET = ("-m", "64M", "-nic", "none")

# A kernel of setup code alone that prints what a loader told it, on the debug port: segments, command line, initrd, the rest's first word.
SETUP = """
.code16
.org 0x1f1
    .byte 1
    .word 0
    .long (end - rest + 15) / 16
    .word 0, 0xffff, 0
    .word 0xaa55
.org 0x200
    jmp start
    .ascii "HdrS"
    .word VERSION
    .long 0
    .word 0x1000, 0
    .byte 0, HIGH
    .word 0x8000
    .long 0x100000, 0, 0, 0
    .word 0, 0
    .long 0
    .long 0x37ffffff
    .long 0
    .byte 0, 0
    .word 0
    .long 1000
.org 0x260
start:
    movw %cs, %ax
    call hex4
    movw %ds, %ax
    call hex4
    movw %ss, %ax
    call hex4
    movb 0x211, %al             /* loadflags, vid_mode */
    andb $0x81, %al
    call hex2
    movw 0x1fa, %ax
    call hex4
    movw 0x224, %ax             /* heap_end_ptr */
    call hex4
    movl 0x21c, %eax
    call hex8
    call space
.if VERSION >= 0x202
    movl 0x228, %ebx
.else
    movw 0x20, %ax
    call hex4
    movzwl 0x22, %ebx
    movw %cs, %ax
    subw $0x20, %ax
    movzwl %ax, %eax
    shll $4, %eax
    addl %eax, %ebx
.endif
    movl %ebx, %eax
    shrl $4, %eax
    movw %ax, %fs
    andw $15, %bx
1:  movb %fs:(%bx), %al
    incw %bx
    outb %al, $0xe9
    testb %al, %al
    jnz 1b
    call flat
    movl $0x10000, %ebx
.if HIGH
    movl $0x100000, %ebx
.endif
    movl %es:(%ebx), %eax
    call hex8
    movl 0x218, %ebx
    testl %ebx, %ebx
    jz 2f
    movl %es:(%ebx), %eax
    call hex8
    addl 0x21c, %ebx
    movl %es:-4(%ebx), %eax
    call hex8
    movl 0x218, %eax
    testl $0xfff, %eax
    jnz 2f
    movb $'p', %al
    outb %al, $0xe9
2:  movb $1, %ah                /* the BIOS answers: keys, none */
    int $0x16
    setz %al
    addb $'0', %al
    outb %al, $0xe9
    movb $16, %al
    outb %al, $0xf4
    hlt
/* ES with a limit of 4 GiB, by way of protected mode. */
flat:
    inb $0x92, %al
    orb $2, %al
    outb %al, $0x92
    cli
    movw %cs, %ax
    subw $0x20, %ax
    movzwl %ax, %eax
    shll $4, %eax
    addl $table, %eax
    movl %eax, pointer + 2
    lgdtl pointer
    movl %cr0, %eax
    incb %al
    movl %eax, %cr0
    movw $8, %bx
    movw %bx, %es
    decb %al
    movl %eax, %cr0
    xorw %ax, %ax
    movw %ax, %es
    ret
space:
    movb $' ', %al
    outb %al, $0xe9
    ret
""" + media.HEX + """.balign 8
table: .quad 0, 0x00cf92000000ffff
pointer: .word 15
    .long 0
.org 1024
rest:
    .long 0xcafe1234
    .fill 3000, 1, 0x55
end:
"""


def left_out(*paths):
    missing = have(*paths)
    return f"left out: {missing} is not there" if missing else ""


def setup_kernel(version, high):
    path = os.path.join(work, f"setup-{version:x}-{high}")
    media.assemble(SETUP.replace("VERSION", f"{version:#x}").replace("HIGH", str(high)), path, origin=0)
    return path


def told(program, words):
    """What the kernel said on the debug port before it ended the machine."""
    out = os.path.join(work, "told")
    done = subprocess.run([*program, "-display", "none", "-monitor", "none", "-serial", "null", "-debugcon", f"file:{out}",
                           "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    with open(out, "rb") as file:
        text = file.read()
    check(done.returncode == 33, f"{program[0]} {words}: exit code {done.returncode}, {done.stderr}, {text}")
    return text.decode("latin-1")


def sixteen_bit_entry():
    """Protocols 2.00 to 2.07, low and high, with and without command line and initrd: the loader's words as QEMU has them."""
    initrd = os.path.join(work, "initrd")
    with open(initrd, "wb") as file:
        file.write(b"HEAD" + os.urandom(70000) + b"TAIL")
    count = 0
    for version, high in ((0x200, 0), (0x201, 0), (0x201, 1), (0x202, 1), (0x203, 1), (0x207, 1)):
        kernel = setup_kernel(version, high)
        for more in ([], ["-append", "vga=0x317 some words"], ["-initrd", initrd, "-append", "a vga=ask b"]):
            words = [*QUIET, "-kernel", kernel, *more]
            ours = told([EMULATOR], words)
            check("CAFE1234" in ours, f"{words}: {ours}")
            if "-initrd" in more:
                check("44414548" in ours and "4C494154p" in ours, f"{words}: {ours}")
            if "-append" in more:
                check(more[-1] + "\0" in ours and ("FFFD" if "-initrd" in more else "0317") in ours, f"{words}: {ours}")
            if not have("qemu-system-i386"):
                theirs = told(["qemu-system-i386", "-accel", "tcg"], words)
                check(ours == theirs, f"{words}:\n{ours!r}\nQEMU:\n{theirs!r}")
            count += 1
    ours = told([EMULATOR], [*QUIET, "-kernel", setup_kernel(0x207, 1), "-append", "xvga=3 vga=ext"])  # QEMU takes the first
    check("FFFE" in ours, ours)
    return f"{count} machines" + ("" if have("qemu-system-i386") else ", each as in QEMU")


def bad_files():
    """What is wrong is said before anything starts, with what to do."""
    good = setup_kernel(0x207, 1)
    with open(good, "rb") as file:
        data = bytearray(file.read())

    def variant(name, change, cut=None):
        copy = bytearray(data)
        change(copy)
        path = os.path.join(work, name)
        with open(path, "wb") as file:
            file.write(copy[:cut])
        return path

    def sectors(n):
        return lambda b: b.__setitem__(0x1f1, n)
    large = os.path.join(work, "large")
    with open(large, "wb") as file:
        file.truncate(63 << 20)
    empty = os.path.join(work, "empty")
    open(empty, "wb").close()
    multiboot = os.path.join(work, "multiboot")
    with open(multiboot, "wb") as file:
        file.write(struct.pack("<III", 0x1badb002, 0, -0x1badb002 & 0xffffffff).ljust(4096, b"\0"))
    rows = ((["-kernel", variant("cut", lambda b: None, 1000)], "is it copied completely"), (["-kernel", variant("huge", sectors(255))], "is it copied completely"),
            (["-kernel", good, "-append", "x" * 1001], "takes 1000"), (["-kernel", good, "-initrd", large], "use -m"),
            (["-kernel", good, "-initrd", empty], "empty"), (["-kernel", good, "-initrd", "/nowhere"], "check the name"),
            (["-kernel", multiboot, "-bios", "bios-256k.bin"], "leave -bios and -pflash out"))
    for words, says in rows:
        done = subprocess.run([EMULATOR, "-check", *QUIET, "-display", "none", *words], capture_output=True, text=True)
        check(done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1, f"{words}: {done}")
    return f"{len(rows)} refusals"


def memdisk():
    """SYSLINUX's memdisk with a floppy and a hard disk image as its initrd boots it; again after a reset."""
    missing = left_out(MEMDISK)
    if missing:
        return missing
    floppy = media.boot_sector(work, "<the floppy>", 1440 << 10)
    disk = media.boot_sector(work, "<the disk>", 8 << 20)
    programs = (Pc,) if have("qemu-system-i386") else (Pc, Rival)
    for program in programs:
        for image, text, words in ((floppy, "<the floppy>", "floppy"), (disk, "<the disk>", "harddisk c=16 h=16 s=63")):
            with program(*QUIET, "-kernel", MEMDISK, "-initrd", image, "-append", words) as m:
                m.wait_said("debug", text)
                m.monitor("system_reset")
                m.wait_said("debug", f"{text}\r\n{text}")
    with Pc(*QUIET, "-kernel", MEMDISK, "-initrd", floppy, "-hda", media.boot_sector(work, "<first disk>", 1 << 20), "-pflash", BIOS) as m:
        m.wait_said("debug", "<the floppy>")
        check("<first disk>" not in m.said("debug"), m.said("debug"))
    return "floppy and disk, resets, from a flash chip"


def ipxe():
    """iPXE as a kernel: a script as its initrd, and its command line."""
    missing = left_out(IPXE)
    if missing:
        return missing
    script = os.path.join(work, "script.ipxe")
    with open(script, "w") as file:
        file.write("#!ipxe\necho << script of the initrd >>\nsleep 600\n")
    for program in ((Pc,) if have("qemu-system-i386") else (Pc, Rival)):
        with program("-m", "128M", "-netdev", "user,id=n", "-device", "e1000,netdev=n", "-kernel", IPXE, "-initrd", script) as m:
            m.wait_text("<< script of the initrd >>", SECONDS)
    with Pc("-m", "128M", "-netdev", "user,id=n", "-device", "e1000,netdev=n", "-kernel", IPXE, "-append", "dhcp && echo << leased ${net0/ip} >> && sleep 600") as m:
        m.wait_text("<< leased 10.0.2.15 >>", SECONDS)
    return "script and command line"


def linux_by_firmware():
    """Debian's kernel with -bios: initrd, command line, and vga= in a VESA mode, whose frame buffer the kernel takes over."""
    missing = left_out(BIOS)
    if missing or not media.debian("vmlinuz"):
        return missing or "left out: no kernel was built"
    initrd = os.path.join(work, "core.gz")
    media.core_initrd(initrd)
    words = ("-m", "192M", "-netdev", "user,id=n", "-device", "e1000,netdev=n", "-kernel", media.debian("vmlinuz"), "-initrd", initrd)
    with Pc(*words, "-bios", "bios-256k.bin", "-append", "console=ttyS0 net.ifnames=0 vga=0x314") as m:
        text = m.wait_said("serial", "The web server runs")
        check("command line: console=ttyS0 net.ifnames=0 vga=0x314" in text and "BIOS-provided physical RAM map" in text, text[:3000])
        picture = m.picture()
        check((picture.width, picture.height) == (800, 600), f"{picture.width} x {picture.height}")
    with Pc(*words, "-append", "console=ttyS0 net.ifnames=0") as m:
        m.wait_said("serial", "The web server runs")
        check(not m.monitor("info mtree").count("bios-isa"), "a kernel that needs no firmware got one")
    return "800 x 600 by vga=0x314; without -bios no firmware"


if __name__ == "__main__":
    if have("as", "ld", BIOS):
        print("SKIP: needs the packages binutils and seabios")
        raise SystemExit(77)
    try:
        main(sixteen_bit_entry, bad_files, memdisk, ipxe, linux_by_firmware)
    finally:
        shutil.rmtree(work, ignore_errors=True)
