# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Booting from disks, CDs and floppies through SeaBIOS, and a Linux guest's writes over kill -9.

The boot sectors are made here (GNU as): they print on the debug port, read a sector by INT 13h, write it back to another place, and
end the machine through isa-debug-exit. Needs the packages seabios and xorriso; Linux's part also the image `mini`, its
kernel package (see disk_guest.py) and e2fsprogs. What is missing is named and left out; with nothing to run at all the test
is skipped.
"""
import json
import os
import shutil
import socket
import signal
import subprocess
import sys
import tempfile
import time

import disk_guest
from harness import BIN, Failure, check, main, wait_until

EMU = os.path.join(os.path.dirname(BIN), "netlab-emu")
IMAGES = os.environ.get("NETLAB_IMAGE_DIR", "/var/lib/netlab/images")
BOOT_SECONDS = 60
LINUX_SECONDS = 300
EXIT = 33  # 16 written to the port

SOURCE = """
.code16
.globl _start
_start:
    ljmp $0, $begin
begin:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movb %dl, drive
    movw $hello, %si
    call print
.ifdef REBOOT
    movb $0xfe, %al
    outb %al, $0x64
    jmp .
.endif
.ifdef GEOMETRY
    movb $0x08, %ah
    movb drive, %dl
    xorw %di, %di
    movw %di, %es
    int $0x13
    movw %cx, %bx
    movb %dh, %al
    call hex
    movb %bh, %al
    call hex
    movb %bl, %al
    call hex
    movw $ended, %si
    jmp last
hex:
    pushw %ax
    shrb $4, %al
    call digit
    popw %ax
digit:
    andb $15, %al
    cmpb $10, %al
    sbbb $0x69, %al
    das
    outb %al, $0xe9
    ret
.endif
.ifdef LOADED
    movw $0x7e00, %si
    call print
.else
    movw $0x0201, %ax
    movw $0x8000, %bx
    movw $0x0002, %cx
    xorb %dh, %dh
    movb drive, %dl
    int $0x13
    movw $failed, %si
    jc last
    movw $0x8000, %si
    call print
.ifdef WRITE
    movw $0x0301, %ax
    movw $0x8000, %bx
    movw $0x0003, %cx
    xorb %dh, %dh
    movb drive, %dl
    int $0x13
    movw $failed, %si
    jc last
.endif
.endif
    movw $ended, %si
last:
    call print
    movw $0xf4, %dx
    movl $16, %eax
    outl %eax, %dx
    jmp .
print:
    lodsb
    testb %al, %al
    jz 2f
    outb %al, $0xe9
    jmp print
2:  ret
drive: .byte 0
hello: .asciz "<NAME>"
failed: .asciz "<I/O FAILED>"
ended: .asciz "<END>"
.org 446
.ifdef PARTITION
    .byte 0x80, 1, 1, 0, 0x0c, 15, 63, 1
    .long 63, 2000
    .org 510
.endif
.org 510
    .word 0xaa55
    .asciz "second sector of NAME"
"""


def boot_image(folder, name, size, *defines):
    """A file of `size` bytes that begins with the boot sector and a text in the sector after it."""
    base = os.path.join(folder, name)
    with open(base + ".s", "w") as file:
        file.write(SOURCE.replace("NAME", name))
    symbols = [word for define in defines for word in ("--defsym", define + "=1")]
    subprocess.run(["as", "--32", *symbols, "-o", base + ".o", base + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", base + ".bin", base + ".o"],
                   check=True, stderr=subprocess.DEVNULL)
    with open(base + ".bin", "rb") as file:
        data = file.read()
    with open(base + ".img", "wb") as file:
        file.write(data + bytes(size - len(data)))
    return base + ".img"


ROM = """
.code16
.globl _start
_start:
    .byte 0x55, 0xaa, 1
    pushw %si
    movw $text - _start, %si
1:  .byte 0x2e
    lodsb
    testb %al, %al
    jz 2f
    outb %al, $0xe9
    jmp 1b
2:  popw %si
    xorw %ax, %ax
    lret
text: .asciz "<ROM>"
.org 511
    .byte 0
"""


def option_rom(folder):
    """512 bytes whose sum is zero."""
    base = os.path.join(folder, "rom")
    with open(base + ".s", "w") as file:
        file.write(ROM)
    subprocess.run(["as", "--32", "-o", base + ".o", base + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0", "--oformat", "binary", "-o", base + ".bin", base + ".o"],
                   check=True, stderr=subprocess.DEVNULL)
    with open(base + ".bin", "rb") as file:
        data = bytearray(file.read()[:512])
    data[511] = -sum(data[:511]) & 0xff
    with open(base, "wb") as file:
        file.write(data)
    return base


def make_iso(folder, name, image, *options):
    tree = os.path.join(folder, name + ".tree")
    os.makedirs(tree, exist_ok=True)
    shutil.copy(image, os.path.join(tree, "boot.img"))
    path = os.path.join(folder, name + ".iso")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", path, "-b", "boot.img", "-c", "boot.cat", *options, tree],
                   check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def start(folder, *words, memory="32M"):
    serial = os.path.join(folder, "serial.log")
    if os.path.exists(serial):
        os.unlink(serial)
    with open(os.path.join(folder, "emu.log"), "w") as log:
        process = subprocess.Popen([EMU, "-m", memory, "-nic", "none", "-display", "none", "-monitor", "none", "-vga", "none",
                                    *(["-serial", "null", "-debugcon", "file:" + serial] if "-kernel" not in words else
                                      ["-serial", "file:" + serial]), "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *words],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return process, serial


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except OSError:
        return ""


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def run(folder, *words):
    """Boots, waits for the end; what came out of the debug port."""
    process, serial = start(folder, *words)
    try:
        code = process.wait(BOOT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Failure(f"{words}: not at its end after {BOOT_SECONDS} s: {read(serial)[-500:]!r}") from None
    finally:
        end(process)
    text = read(serial)
    check(code == EXIT, f"{words}: exit code {code}, {read(os.path.join(folder, 'emu.log'))} {text[-500:]!r}")
    check("FAILED" not in text and "<END>" in text, f"{words}: {text[-500:]!r}")
    return text


def sector(path, n):
    with open(path, "rb") as file:
        file.seek(512 * n)
        return file.read(512)


def firmware_boots():
    if not shutil.which("xorriso") or not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        return "left out: needs the packages seabios and xorriso"
    folder = tempfile.mkdtemp(prefix="netlab-disks-")
    done = []
    try:
        disk = boot_image(folder, "disk", 8 << 20, "WRITE")
        text = run(folder, disk)  # a word without a dash: the first hard disk
        check("<disk>second sector of disk" in text, text[-300:])
        check(sector(disk, 2) == sector(disk, 1) and sector(disk, 1).startswith(b"second"), "the write is not in the image")
        done.append("disk")

        nodes = json.dumps({"driver": "raw", "node-name": "d", "file": {"driver": "file", "filename": disk}})
        check("<disk>second sector of disk" in run(folder, "-blockdev", nodes, "-device", "ide-hd,drive=d"), "-blockdev")
        before = read(disk)
        with open(disk, "r+b") as file:
            file.seek(1024)
            file.write(bytes(512))
        run(folder, "-drive", f"file={disk},format=raw,snapshot=on")
        check(not any(sector(disk, 2)), "snapshot=on wrote to the image")
        check(len(before) == os.path.getsize(disk), "the image has another size")
        if shutil.which("qemu-img"):
            qcow2 = os.path.join(folder, "disk.qcow2")
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", qcow2], check=True)
            run(folder, "-hda", qcow2)
            check(not any(sector(disk, 2)), "a qcow2 image wrote to its backing file")
            subprocess.run(["qemu-img", "check", "-q", qcow2], check=True)
            subprocess.run(["qemu-img", "convert", "-O", "raw", qcow2, disk + ".raw"], check=True)
            check(sector(disk + ".raw", 2) == sector(disk, 1), "the write is not in the qcow2 image")
            done.append("qcow2")

        floppy = boot_image(folder, "floppy", 1440 << 10, "WRITE")
        text = run(folder, "-fda", floppy, "-boot", "a")
        check("<floppy>second sector of floppy" in text, text[-300:])
        check(sector(floppy, 2) == sector(floppy, 1), "the write is not on the floppy")
        done.append("floppy")

        plain = make_iso(folder, "plain", boot_image(folder, "plain", 2048, "LOADED"), "-no-emul-boot", "-boot-load-size", "4")
        text = run(folder, "-cdrom", plain, "-boot", "d")
        check("<plain>second sector of plain" in text, text[-300:])
        emulated = make_iso(folder, "emulated", boot_image(folder, "emulated", 1440 << 10))
        text = run(folder, "-cdrom", emulated, "-boot", "d")
        check("<emulated>second sector of emulated" in text, text[-300:])
        hard = make_iso(folder, "hard", boot_image(folder, "hard", 1 << 20, "PARTITION"), "-hard-disk-boot")
        text = run(folder, "-cdrom", hard, "-boot", "d")
        check("<hard>second sector of hard" in text, text[-300:])
        done.append("CD (no emulation, floppy, hard disk)")

        text = run(folder, "-hda", disk, "-cdrom", plain, "-boot", "order=dc")
        check("<plain>" in text and "<disk>" not in text, text[-300:])
        text = run(folder, "-hda", disk, "-cdrom", plain)
        check("<disk>" in text, text[-300:])
        text = run(folder, "-drive", f"file={disk},format=raw,if=none,id=d", "-device", "ide-hd,drive=d,bus=ide.1,unit=1,bootindex=2",
                   "-drive", f"file={plain},media=cdrom,if=none,id=c", "-device", "ide-cd,drive=c,bootindex=1")
        check("<plain>" in text, text[-300:])
        text = run(folder, "-hda", disk, "-cdrom", plain, "-boot", "order=d,strict=on")  # without a bootindex= strict means nothing
        check("<plain>" in text and "<disk>" not in text, text[-300:])
        blank = os.path.join(folder, "blank")
        with open(blank, "wb") as file:
            file.truncate(1 << 20)
        tries = ["-cdrom", plain, "-drive", f"file={blank},format=raw,if=none,id=b", "-device", "ide-hd,drive=b,bootindex=1"]
        check("<plain>" in run(folder, *tries), "what has no bootindex= comes after what has one")
        process, serial = start(folder, *tries, "-boot", "strict=on,reboot-timeout=1", "-no-reboot")
        try:
            check(process.wait(BOOT_SECONDS) == 0, f"exit code {process.returncode}: {read(os.path.join(folder, 'emu.log'))}")
        finally:
            end(process)
        check("<plain>" not in read(serial), "strict=on, and what has no bootindex= was booted")
        again = make_iso(folder, "again", boot_image(folder, "again", 2048, "REBOOT"), "-no-emul-boot", "-boot-load-size", "4")
        text = run(folder, "-hda", disk, "-cdrom", again, "-boot", "once=d,order=c")
        check(0 <= text.find("<again>") < text.find("<disk>"), text[-600:])
        check(text.count("<again>") == 1, text[-600:])
        done.append("boot order, bootindex, once and a reboot")

        text = run(folder, "-hda", disk, "-option-rom", option_rom(folder))
        check(0 <= text.find("<ROM>") < text.find("<disk>"), text[-300:])
        done.append("option ROM")
        if os.path.exists("/usr/lib/ipxe/qemu/pxe-e1000.rom"):
            boot_image(folder, "netboot", 1024, "LOADED")
            text = run(folder, "-boot", "n", "-netdev", f"user,id=u,tftp={folder},bootfile=netboot.img", "-device", "e1000,netdev=u")
            check("<netboot>second sector of netboot" in text, text[-300:])
            done.append("network (iPXE, TFTP)")
    finally:
        shutil.rmtree(folder)
    return ", ".join(done)


# Prints what the flash chip below the firmware has in its second block, erases that, programs a text, reads it back.
FLASH = """
.code16
.globl _start
_start:
    ljmp $0, $begin
begin:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdt pointer
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmp $8, $flat
.code32
flat:
    movw $16, %ax
    movw %ax, %ds
    movl $CHIP + 0x1000, %edi
    call show
    movb $0x20, (%edi)
    movb $0xd0, (%edi)
    xorl %ecx, %ecx
1:  movb $0x40, (%edi, %ecx)
    movb text(%ecx), %al
    movb %al, (%edi, %ecx)
    incl %ecx
    testb %al, %al
    jnz 1b
    movb (%edi), %bl
    movb $0xff, (%edi)
    call show
    movl $failed, %edi
    testb $0x3a, %bl
    jnz 2f
    movl $ended, %edi
2:  call show
    movw $0xf4, %dx
    movl $16, %eax
    outl %eax, %dx
    jmp .
show:
    movl %edi, %esi
3:  lodsb
    testb %al, %al
    jz 4f
    outb %al, $0xe9
    jmp 3b
4:  ret
.align 4
table: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
pointer: .word 23
    .long table
text: .asciz "<programmed>"
failed: .asciz "<REFUSED><END>"
ended: .asciz "<END>"
.org 510
    .word 0xaa55
"""


def flash():
    """The firmware in a flash chip, and a chip below it that the guest programs."""
    bios = "/usr/share/seabios/bios-256k.bin"
    if not os.path.exists(bios):
        return "left out: needs the package seabios"
    folder = tempfile.mkdtemp(prefix="netlab-disks-")
    try:
        firmware, below, disk = (os.path.join(folder, name) for name in ("firmware", "below", "disk"))
        shutil.copyfile(bios, firmware)
        with open(below, "wb") as file:
            file.write(b"<old>".ljust(0x1000, b"\xff") + b"<before>\0".ljust(0x3000, b"\xff"))
        with open(disk + ".s", "w") as file:
            file.write(FLASH.replace("CHIP", hex((1 << 32) - os.path.getsize(bios) - 0x4000)))
        subprocess.run(["as", "--32", "-o", disk + ".o", disk + ".s"], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", disk + ".bin", disk + ".o"],
                       check=True, stderr=subprocess.DEVNULL)
        with open(disk + ".bin", "rb") as file, open(disk, "wb") as image:
            image.write(file.read().ljust(1 << 20, b"\0"))
        chip = f"if=pflash,file={below},format=raw"
        text = run(folder, "-pflash", firmware, "-drive", chip + ",unit=1,readonly=on", "-hda", disk)
        check("<before><before><REFUSED>" in text, text[-300:])
        text = run(folder, "-drive", f"if=none,id=f,readonly=on,file={firmware},format=raw", "-machine", "pflash0=f", "-drive",
                   chip + ",unit=1,snapshot=on", "-hda", disk, "-bios", "nowhere")
        check("<before><programmed><END>" in text, text[-300:])
        with open(os.path.join(folder, "emu.log")) as log:
            check("-bios nowhere is not used" in log.read(), "nothing is said of -bios")
        with open(below, "rb") as file:
            check(b"<before>" in file.read(), "snapshot=on wrote to the image")
        check("<before><programmed><END>" in run(folder, "-pflash", firmware, "-pflash", below, "-hda", disk), "two -pflash")
        check("<programmed><programmed><END>" in run(folder, "-pflash", firmware, "-pflash", below, "-hda", disk), "it did not last")
        with open(below, "rb") as file:
            check(file.read() == b"<old>".ljust(0x1000, b"\xff") + b"<programmed>\0".ljust(0x3000, b"\xff"), "the image of the chip")
        with open(firmware, "rb") as file, open(bios, "rb") as theirs:
            check(file.read() == theirs.read(), "the firmware was changed")
        with open(below, "ab") as file:
            file.write(b"more")
        for words, says in ((["-pflash", firmware, "-pflash", below], "multiple of 4096"),
                            (["-drive", chip + ",unit=1", "-hda", disk], "without unit 0"),
                            (["-pflash", firmware] * 3, "two flash chips are the most"),
                            (["-kernel", disk, "-pflash", firmware], "this is a disk or boot sector")):
            refused = subprocess.run([EMU, "-check", "-vga", "none", *words], capture_output=True, text=True)
            check(refused.returncode == 1 and says in refused.stderr, f"{words}: {refused}")
    finally:
        shutil.rmtree(folder)
    return "firmware from a chip, one below it programmed; read-only, snapshot=on, refusals"


QEMU = shutil.which("qemu-system-i386")


def told_geometry(text):
    """(cylinders, heads, sectors) out of what INT 13h, function 8, returns in DH and CX."""
    word = text.split(">")[1][:6]
    heads, low, high = int(word[:2], 16) + 1, int(word[2:4], 16), int(word[4:6], 16)
    return (low | (high & 0xc0) << 2) + 1, heads, high & 63


def geometry():
    """What INT 13h tells of a disk's geometry, and that QEMU's guests are told the same."""
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        return "left out: needs the package seabios"
    folder = tempfile.mkdtemp(prefix="netlab-disks-")
    rows = [
        # MiB, partition's end, words of ide-hd
        (8, None, ""),
        (504, None, ""),
        (3000, None, ""),
        (9000, None, ""),
        (8, (3, 17), ""),
        (900, (63, 63), ""),
        (900, (254, 63), ""),
        (100, None, "cyls=200,heads=8,secs=32"),
        (900, None, "cyls=2000,heads=16,secs=63,bios-chs-trans=large"),
        (900, None, "cyls=1800,heads=16,secs=63,bios-chs-trans=none"),
        (900, None, "cyls=1800,heads=15,secs=63,bios-chs-trans=rechs"),
        (900, None, "lcyls=100,lheads=32,lsecs=40"),
    ]
    compared = 0
    try:
        disk = boot_image(folder, "geometry", 1 << 20, "GEOMETRY")
        with open(disk, "rb") as file:
            plain = file.read(512)
        for size, end_of, words in rows:
            boot = bytearray(plain)
            if end_of:
                boot[446:462] = bytes((0x80, 0, 1, 0, 6, end_of[0], end_of[1], 9, 63, 0, 0, 0, 0, 8, 0, 0))
            with open(disk, "wb") as file:
                file.write(boot)
                file.truncate(size << 20)
            device = ["-drive", f"file={disk},format=raw,if=none,id=d", "-device", "ide-hd,drive=d" + ("," + words if words else "")]
            ours = told_geometry(run(folder, *device))
            check(ours[0] > 1, f"{size} MiB {end_of} {words}: {ours}")
            if words.startswith("cyls=200,"):
                check(ours[1:] == (8, 32), f"{words}: {ours}")
            if words.startswith("lcyls"):  # the firmware keeps the last cylinder to itself
                check(ours == (99, 32, 40), f"{words}: {ours}")
            if not QEMU:
                continue
            log = os.path.join(folder, "qemu.log")
            subprocess.run([QEMU, "-accel", "tcg", "-M", "pc", "-m", "32M", "-nodefaults", "-display", "none", "-debugcon", "file:" + log,
                            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *device], timeout=BOOT_SECONDS,
                           stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            theirs = told_geometry(read(log))
            check(ours == theirs, f"{size} MiB {end_of} {words}: {ours} here, {theirs} in QEMU")
            compared += 1
        with open(disk, "wb") as file:
            file.write(plain)
            file.truncate(100 << 20)
        hdachs = told_geometry(run(folder, "-hda", disk, "-hdachs", "200,8,32"))
        check(hdachs[1:] == (8, 32), f"-hdachs: {hdachs}")
    finally:
        shutil.rmtree(folder)
    return f"{len(rows)} geometries, {compared} of them asked of QEMU as well"


class Qmp:
    """Commands and their answers; events are kept."""

    def __init__(self, path, seconds=30):
        self.socket = socket.socket(socket.AF_UNIX)
        wait_until("the control socket", lambda: self.socket.connect_ex(path) == 0, seconds)
        self.socket.settimeout(seconds)
        self.file = self.socket.makefile("r")  # for reading alone: a write would drop what was read ahead
        self.events = []
        check("QMP" in self.file.readline(), "no greeting")
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.file.readline())
            if "event" in answer:
                self.events.append((answer["event"], answer.get("data")))
            else:
                return answer

    def done(self, command, **arguments):
        answer = self(command, **arguments)
        check("return" in answer, f"{command} {arguments}: {answer}")
        return answer["return"]

    def refused(self, says, command, **arguments):
        answer = self(command, **arguments)
        check("error" in answer and says in answer["error"]["desc"], f"{command} {arguments}: {answer}")


def controls():
    """What QMP and the monitor do to drives of a machine."""
    folder = tempfile.mkdtemp(prefix="netlab-disks-")
    paths = {}
    for name, size in (("disk", 8 << 20), ("kept", 1 << 20), ("cd", 1 << 20)):
        paths[name] = os.path.join(folder, name)
        with open(paths[name], "wb") as file:
            file.truncate(size)
    control = os.path.join(folder, "qmp")
    process, _ = start(folder, "-S", "-drive", f"file={paths['disk']},format=raw,bps=1000000,group=slow", "-drive",
                       f"file={paths['kept']},format=raw,snapshot=on,group=slow", "-qmp", f"unix:{control},server=on,wait=off")
    try:
        qmp = Qmp(control)

        def inserted(name):
            return next(row for row in qmp.done("query-block") if row["device"] == name).get("inserted")
        check(inserted("ide0-hd1")["bps"] == 1000000 and inserted("ide0-hd1")["group"] == "slow", inserted("ide0-hd1"))
        limits = dict(id="ide0-hd1", bps=0, bps_rd=0, bps_wr=0, iops=50, iops_rd=0, iops_wr=0)
        qmp.done("block_set_io_throttle", **limits, iops_max=100, iops_max_length=3, group="slow")
        check(inserted("ide0-hd0")["iops_max_length"] == 3 and inserted("ide0-hd0")["bps"] == 0, inserted("ide0-hd0"))
        qmp.refused("at the same time", "block_set_io_throttle", **dict(limits, iops_rd=5))
        qmp.done("block_resize", device="ide0-hd0", size=16 << 20)
        check(os.path.getsize(paths["disk"]) == 16 << 20 and inserted("ide0-hd0")["image"]["virtual-size"] == 16 << 20, "not 16 MiB")
        qmp.refused("snapshot=on", "block_resize", device="ide0-hd1", size=16 << 20)
        check(qmp.done("human-monitor-command", **{"command-line": "commit all"}) == "", "commit all")
        check("nothing to commit" in qmp.done("human-monitor-command", **{"command-line": "commit ide0-hd0"}), "commit ide0-hd0")
        qmp.refused("is not open", "blockdev-remove-medium", id="ide1-cd0")
        qmp.done("blockdev-change-medium", id="ide1-cd0", filename=paths["cd"], **{"read-only-mode": "read-only"})
        check(inserted("ide1-cd0")["ro"], inserted("ide1-cd0"))
        qmp.done("blockdev-open-tray", id="ide1-cd0")
        qmp.done("blockdev-remove-medium", id="ide1-cd0")
        qmp.done("blockdev-close-tray", id="ide1-cd0")
        check(not inserted("ide1-cd0"), inserted("ide1-cd0"))
        qmp.refused("only reads", "blockdev-change-medium", id="ide1-cd0", filename=paths["cd"], **{"read-only-mode": "read-write"})
        qmp.refused("not removable", "blockdev-open-tray", id="ide0-hd0")
        qmp.refused("not found", "eject", id="nowhere")
        moves = [data["tray-open"] for event, data in qmp.events if event == "DEVICE_TRAY_MOVED" and data["id"] == "ide1-cd0"]
        check(moves == [False, True, False], f"tray: {moves}")
        stats = {row["device"]: row["stats"] for row in qmp.done("query-blockstats")}
        check(stats["ide0-hd0"]["wr_operations"] == 0 and "idle_time_ns" not in stats["ide0-hd0"], stats["ide0-hd0"])
        qmp.done("quit")
        wait_until("its end", lambda: process.poll() is not None, 30)
    finally:
        end(process)
        shutil.rmtree(folder)
    return "limits, groups, size, commit, trays, statistics"


def refusals():
    folder = tempfile.mkdtemp(prefix="netlab-disks-")
    disk = os.path.join(folder, "disk")
    with open(disk, "wb") as file:
        file.write(bytes(1 << 20))
    try:
        control = os.path.join(folder, "qmp")
        holder, _ = start(folder, "-S", "-hda", disk, "-qmp", f"unix:{control},server=on,wait=off")
        try:
            # It greets once it is set up. (Trying for the image would race it for the lock.)
            with socket.socket(socket.AF_UNIX) as client:
                wait_until("the first machine's control socket", lambda: client.connect_ex(control) == 0, 20)
                client.settimeout(20)
                check(b"QMP" in client.recv(4096), "no greeting")
            second = subprocess.run([EMU, "-check", "-vga", "none", "-hda", disk], capture_output=True, text=True)
            check("in use by another machine" in second.stderr and disk in second.stderr, second.stderr)
            if shutil.which("qemu-img"):  # the same locks
                third = subprocess.run(["qemu-img", "resize", "-f", "raw", disk, "1M"], capture_output=True, text=True)
                check(third.returncode and "lock" in third.stderr, f"QEMU does not mind our lock: {third.returncode} {third.stderr}")
        finally:
            end(holder)
        if shutil.which("qemu-io"):
            for mode, drive, refused in (([], "-hda", True), ([], "-cdrom", True), (["-r"], "-cdrom", False)):
                with subprocess.Popen(["qemu-io", *mode, "-f", "raw", disk], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as theirs:
                    theirs.stdin.write("read 0 512\n")
                    theirs.stdin.flush()
                    while "512 bytes" not in (line := theirs.stdout.readline()):
                        check(line, "qemu-io ended")
                    second = subprocess.run([EMU, "-check", "-vga", "none", drive, disk], capture_output=True, text=True)
                    check(("in use by another machine" in second.stderr) == refused, f"qemu-io {mode}, {drive}: {second.stderr}")
                    theirs.stdin.close()
            holder, _ = start(folder, "-S", "-cdrom", disk, "-qmp", f"unix:{control},server=on,wait=off")
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    wait_until("the reader's control socket", lambda: client.connect_ex(control) == 0, 20)
                    client.settimeout(20)
                    check(b"QMP" in client.recv(4096), "no greeting")
                for mode, refused in ((["-r"], False), ([], True)):
                    theirs = subprocess.run(["qemu-io", *mode, "-f", "raw", "-c", "read 0 512", disk], capture_output=True, text=True)
                    check(("lock" in theirs.stderr + theirs.stdout) == refused, f"beside our reader, qemu-io {mode}: {theirs}")
            finally:
                end(holder)
        missing = subprocess.run([EMU, "-check", "-cdrom", disk + ".iso"], capture_output=True, text=True)
        check(missing.returncode == 1 and "No such file" in missing.stderr and "ide1-cd0" in missing.stderr, missing.stderr)
    finally:
        shutil.rmtree(folder)
    return "two writers, a missing image"


LINUX = """
mount -t ext4 /dev/sda /mnt || exit 1
cat /mnt/before
n=0
while [ $n -lt 40 ]; do
    dd if=/dev/zero of=/mnt/file$n bs=1k count=100 2>/dev/null
    echo "number $n" >/mnt/mark$n
    sync
    echo "SYNCED $n"
    n=$((n + 1))
done
"""


def linux_image():
    """(folder of the image mini, its kernel package); the package None when there is none."""
    mini = os.path.join(IMAGES, "mini")
    if not os.path.exists(os.path.join(mini, "image.json")):
        return mini, None
    with open(os.path.join(mini, "image.json")) as file:
        return mini, disk_guest.find_package(json.load(file)["kernel_release"])


FSTRIM = """
.globl _start
_start:
    movl $5, %eax           # open("/mnt", O_RDONLY)
    movl $path, %ebx
    xorl %ecx, %ecx
    int $0x80
    movl %eax, %ebx
    movl $54, %eax          # ioctl(FITRIM)
    movl $0xc0185879, %ecx
    movl $range, %edx
    int $0x80
    movl %eax, %ebx
    negl %ebx
    movl $1, %eax           # exit(error)
    int $0x80
.data
path: .asciz "/mnt"
range: .quad 0, -1, 0
"""

TRIM = """
mount -t ext4 /dev/sda /mnt || exit 1
busybox dd if=/dev/urandom of=/mnt/big bs=1M count=24 2>/dev/null
sync
rm /mnt/big
sync
/fstrim && echo "TRIMMED" || echo "fstrim: $?"
cat /mnt/before
umount /mnt
"""


def fstrim_program(folder):
    base = os.path.join(folder, "fstrim")
    with open(base + ".s", "w") as file:
        file.write(FSTRIM)
    subprocess.run(["as", "--32", "-o", base + ".o", base + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", base, base + ".o"], check=True)
    with open(base, "rb") as file:
        return file.read()


def trim_in_linux():
    """What a guest deletes and trims leaves the host's file, with discard=unmap and not without."""
    mini, package = linux_image()
    if not package or not shutil.which("mkfs.ext4"):
        return "left out: needs the image mini, its kernel package (NETLAB_KERNEL_PACKAGE) and e2fsprogs"
    folder = tempfile.mkdtemp(prefix="netlab-disks-", dir="/var/tmp")
    sizes = {}
    try:
        initrd, tree = os.path.join(folder, "initrd"), os.path.join(folder, "tree")
        os.mkdir(tree)
        with open(os.path.join(tree, "before"), "w") as file:
            file.write("written by the host\n")
        disk_guest.write_initrd(initrd, os.path.join(mini, "initrd.cpio"), TRIM,
                                disk_guest.drivers(package, ("crc32c_generic", "ata_piix", "sd_mod", "ext4")),
                                [("fstrim", fstrim_program(folder))])
        for form, discard in (("raw", "ignore"), ("raw", "unmap"), ("qcow2", "unmap")):
            if form == "qcow2" and not shutil.which("qemu-img"):
                continue
            disk, raw = os.path.join(folder, "disk"), os.path.join(folder, "raw")
            with open(raw, "wb") as file:
                file.truncate(64 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-d", tree, raw], check=True)
            subprocess.run(["mv", raw, disk] if form == "raw" else ["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
            process, serial = start(folder, "-kernel", os.path.join(mini, "vmlinuz"), "-initrd", initrd, "-append",
                                    "console=ttyS0 quiet panic=5", "-drive", f"file={disk},format={form},discard={discard}",
                                    memory="128M")
            try:
                wait_until("the guest's end", lambda: process.poll() is not None, LINUX_SECONDS)
            finally:
                end(process)
            text = read(serial)
            check("TRIMMED" in text and "written by the host" in text, text[-1000:])
            sizes[form, discard] = os.stat(disk).st_blocks * 512 >> 20
            if form == "qcow2":
                subprocess.run(["qemu-img", "check", "-q", disk], check=True)
                subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True)
                disk = raw
            clean = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True)
            check(clean.returncode == 0, f"e2fsck -fn: {clean.stdout}{clean.stderr}")
        check(sizes["raw", "ignore"] >= 24, f"without discard the file has lost something: {sizes}")
        check(sizes["raw", "unmap"] < 16 and sizes.get(("qcow2", "unmap"), 0) < 16, f"24 MiB were trimmed: {sizes}")
    finally:
        shutil.rmtree(folder)
    return "24 MiB trimmed: " + ", ".join(f"{form} discard={discard} {size} MiB" for (form, discard), size in sizes.items())


def linux_over_kill():
    mini, package = linux_image()
    if not package or not shutil.which("mkfs.ext4"):
        return "left out: needs the image mini, its kernel package (NETLAB_KERNEL_PACKAGE) and e2fsprogs"
    folder = tempfile.mkdtemp(prefix="netlab-disks-")
    try:
        disk, initrd = os.path.join(folder, "disk"), os.path.join(folder, "initrd")
        tree = os.path.join(folder, "tree")
        os.mkdir(tree)
        with open(os.path.join(tree, "before"), "w") as file:
            file.write("written by the host\n")
        with open(disk, "wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-d", tree, disk], check=True)
        disk_guest.write_initrd(initrd, os.path.join(mini, "initrd.cpio"), LINUX, disk_guest.drivers(package, ("crc32c_generic", "ata_piix", "sd_mod", "ext4")))
        process, serial = start(folder, "-kernel", os.path.join(mini, "vmlinuz"), "-initrd", initrd, "-append",
                                "console=ttyS0 quiet panic=5", "-drive", f"file={disk},format=raw", memory="128M")
        try:
            wait_until("five files are synced", lambda: "SYNCED 5" in read(serial) or process.poll() is not None, LINUX_SECONDS)
            process.send_signal(signal.SIGKILL)
        finally:
            end(process)
        text = read(serial)
        check("written by the host" in text and "SYNCED 5" in text, text[-1000:])
        last = max(int(line.split()[1]) for line in text.splitlines() if line.startswith("SYNCED ") and line.split()[1].isdigit())
        repaired = subprocess.run(["e2fsck", "-p", disk], capture_output=True, text=True)
        check(repaired.returncode in (0, 1), f"e2fsck -p: {repaired.returncode} {repaired.stdout}{repaired.stderr}")
        clean = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True)
        check(clean.returncode == 0, f"e2fsck -fn: {clean.stdout}{clean.stderr}")
        for n in range(last + 1):
            mark = subprocess.run(["debugfs", "-R", f"cat /mark{n}", disk], capture_output=True, text=True).stdout
            check(mark == f"number {n}\n", f"mark{n}, synced before the kill, reads {mark!r}")
    finally:
        shutil.rmtree(folder)
    return f"killed after {last + 1} syncs: the file system is sound and has them all"


if __name__ == "__main__":
    main(firmware_boots, flash, geometry, controls, refusals, trim_in_linux, linux_over_kill)
