# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Booting from disks, CDs and floppies through SeaBIOS, and a Linux guest's writes over kill -9.

The boot sectors are made here (GNU as): they print on the debug port, read a sector by INT 13h, write it back to another place, and
end the machine through isa-debug-exit. Needs the packages seabios and xorriso; Linux's part also the image `mini`, its
kernel package (see disk_guest.py) and e2fsprogs. What is missing is named and left out; with nothing to run at all the test
is skipped.
"""
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
IMAGES = os.environ.get("NETLAB_IMAGES", "/var/lib/netlab/images")
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


def linux_over_kill():
    release, mini = None, os.path.join(IMAGES, "mini")
    if os.path.exists(os.path.join(mini, "image.json")):
        import json
        with open(os.path.join(mini, "image.json")) as file:
            release = json.load(file)["kernel_release"]
    package = release and disk_guest.find_package(release)
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
    main(firmware_boots, refusals, linux_over_kill)
