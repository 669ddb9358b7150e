# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Floppies and CDs under Linux: a FAT file system read and written, a track formatted; a CD that is mounted and so locked, ejected by the
guest, and another one put in, with what the control socket tells of the tray.

Needs the image `mini`, its kernel package (see disk_guest.py), dosfstools, mtools and xorriso; what is missing is named.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import disk_guest
from harness import check, main, wait_until
from test_disks import EMU, LINUX_SECONDS, Qmp, end, linux_image, read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import listens

# Opens PATH and does ioctls one after the other; the exit status is the first error.
IOCTLS = """
.globl _start
_start:
    movl $5, %eax
    movl $path, %ebx
    movl $FLAGS, %ecx
    int $0x80
    movl %eax, %edi
    testl %eax, %eax
    js 2f
    movl $calls, %esi
1:  movl (%esi), %ecx
    movl $54, %eax
    movl %edi, %ebx
    movl $argument, %edx
    int $0x80
    testl %eax, %eax
    js 2f
    addl $4, %esi
    cmpl $ended, %esi
    jb 1b
2:  movl %eax, %ebx
    negl %ebx
    js 3f
    movl $1, %eax
    int $0x80
3:  xorl %ebx, %ebx
    movl $1, %eax
    int $0x80
.data
path: .asciz "PATH"
.align 4
argument: .long ARGUMENT
calls: .long CALLS
ended:
"""

SCRIPT = """
busybox mknod /dev/fd0u1440 b 2 28
exec 3</dev/ttyS1
mount -t vfat /dev/fd0 /mnt || exit 1
busybox md5sum /mnt/host.bin
busybox dd if=/dev/urandom of=/mnt/guest.bin bs=1k count=200 2>/dev/null
busybox md5sum /mnt/guest.bin
busybox rm /mnt/old.txt
umount /mnt
echo "FLOPPY DONE"
/format && echo "FORMATTED"
mount -t iso9660 /dev/sr0 /mnt || exit 1
cat /mnt/text
echo "MOUNTED"
read word <&3
cat /mnt/text >/dev/null && umount /mnt
/eject && echo "EJECTED"
read word <&3
mount -t iso9660 /dev/sr0 /mnt || exit 1
cat /mnt/text
umount /mnt
/eject
echo "CHANGE TO THE THIRD"
read word <&3
mount -t iso9660 /dev/sr0 /mnt || exit 1
cat /mnt/text
echo "SIZE $(cat /sys/block/sr0/size)"
busybox dd if=/mnt/zbig of=/dev/null bs=2k count=20 && echo "ITS BEGINNING"
busybox dd if=/mnt/zbig of=/dev/null bs=2k && echo "ALL OF IT"
cat /mnt/text && umount /mnt
busybox dmesg | busybox grep -i "medium error" | busybox head -n 3
echo "THIRD READ"
read word <&3
"""


def ioctls(folder, name, path, flags, argument, *calls):
    base = os.path.join(folder, name)
    source = IOCTLS.replace("PATH", path).replace("FLAGS", hex(flags)).replace("ARGUMENT", argument)
    with open(base + ".s", "w") as file:
        file.write(source.replace("CALLS", ", ".join(hex(call) for call in calls)))
    subprocess.run(["as", "--32", "-o", base + ".o", base + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", base, base + ".o"], check=True)
    with open(base, "rb") as file:
        return name, file.read()


def make_cd(folder, name, big=0):
    tree = os.path.join(folder, name + ".tree")
    os.mkdir(tree)
    with open(os.path.join(tree, "text"), "w") as file:
        file.write(f"this is {name}\n")
    if big:
        with open(os.path.join(tree, "zbig"), "wb") as file:  # behind the text
            file.write(os.urandom(big))
    path = os.path.join(folder, name + ".iso")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", path, tree], check=True, stderr=subprocess.DEVNULL)
    return path


def sum_of(data):
    return subprocess.run(["md5sum"], input=data, capture_output=True, check=True).stdout.split()[0].decode()


def removable():
    mini, package = linux_image()
    tools = [tool for tool in ("mkfs.vfat", "fsck.vfat", "mcopy", "xorriso") if not shutil.which(tool)]
    if not package or tools:
        return f"left out: needs the image mini, its kernel package (NETLAB_KERNEL_PACKAGE){', '.join(['', *tools])}"
    folder = tempfile.mkdtemp(prefix="netlab-removable-")
    try:
        floppy, initrd = os.path.join(folder, "floppy"), os.path.join(folder, "initrd")
        subprocess.run(["mkfs.vfat", "-C", "-F", "12", floppy, "1440"], check=True, stdout=subprocess.DEVNULL)
        data = os.urandom(150 << 10)
        for name, content in (("host.bin", data), ("old.txt", b"old")):
            subprocess.run(["mcopy", "-i", floppy, "-", "::" + name], input=content, check=True)
        programs = [ioctls(folder, "format", "/dev/fd0u1440", 2, "0, 1, 79", 0x0247, 0x400c0248, 0x0249),
                    ioctls(folder, "eject", "/dev/sr0", 0x800, "0", 0x5309)]
        disk_guest.write_initrd(initrd, os.path.join(mini, "initrd.cpio"), SCRIPT, disk_guest.drivers(
            package, ("ata_piix", "sr_mod", "isofs", "vfat", "nls_iso8859-1", "nls_cp437", "nls_ascii", "nls_utf8", "floppy")), programs)
        cds = [make_cd(folder, name) for name in ("first", "second")]
        serial, words, control = (os.path.join(folder, name) for name in ("serial.log", "words", "qmp"))
        with open(os.path.join(folder, "emu.log"), "w") as log:
            process = subprocess.Popen(
                [EMU, "-m", "128M", "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "file:" + serial, "-serial",
                 f"unix:{words},server=on,wait=off", "-qmp", f"unix:{control},server=on,wait=off", "-kernel", os.path.join(mini, "vmlinuz"),
                 "-initrd", initrd, "-append", "console=ttyS0 quiet panic=5", "-fda", floppy, "-cdrom", cds[0]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def said(text):
            wait_until(f"'{text}' of the guest", lambda: text in read(serial) or process.poll() is not None, LINUX_SECONDS)
            check(text in read(serial), f"no '{text}': {read(log.name)} {read(serial)[-1500:]}")
        try:
            wait_until("the control socket", lambda: listens(control) or process.poll() is not None, 60)
            qmp = Qmp(control, LINUX_SECONDS)
            line = socket.socket(socket.AF_UNIX)
            line.connect(words)
            said("FLOPPY DONE")
            said("MOUNTED")
            check("this is first" in read(serial), read(serial)[-500:])
            qmp.refused("locked", "blockdev-change-medium", id="ide1-cd0", filename=cds[1])
            qmp.refused("locked", "eject", id="ide1-cd0")
            drive = next(row for row in qmp.done("query-block") if row["device"] == "ide1-cd0")
            check(drive["locked"] and not drive["tray_open"], f"{drive}")
            line.sendall(b"go\n")
            said("EJECTED")
            drive = next(row for row in qmp.done("query-block") if row["device"] == "ide1-cd0")
            check(drive["tray_open"] and not drive["locked"], f"{drive}")
            qmp.done("blockdev-change-medium", id="ide1-cd0", filename=cds[1])
            line.sendall(b"go\n")
            said("CHANGE TO THE THIRD")
            cut = make_cd(folder, "third", 4 << 20)
            whole = os.path.getsize(cut)
            os.truncate(cut, 2 << 20)
            answer = qmp.done("human-monitor-command", **{"command-line": f"change ide1-cd0 {cut}"})
            check(f"file={cut} is cut short: {2 << 20} of {whole} bytes are there; download it again" in answer, answer)
            line.sendall(b"go\n")
            said("THIRD READ")
            qmp.done("query-status")  # and the events that came before its answer
            line.sendall(b"go\n")
            said("SCRIPT ENDED 0")
            failed = [data for event, data in qmp.events if event == "BLOCK_IO_ERROR"]
            check(failed and all(data["device"] == "ide1-cd0" and data["operation"] == "read" and data["action"] == "report" for data in failed),
                  f"the errors: {failed}")
            moves = [data["tray-open"] for event, data in qmp.events if event == "DEVICE_TRAY_MOVED"]
            check(moves == [True, False, True, False], f"the tray: {moves}")
            wait_until("the guest's end", lambda: process.poll() is not None, LINUX_SECONDS)
        finally:
            end(process)
        text = read(serial)
        check(text.count("this is third") == 2 and f"SIZE {whole // 512}\n" in text.replace("\r", ""), text[-1500:])
        check("ITS BEGINNING" in text and "ALL OF IT" not in text and "edium" in text, text[-1500:])
        check("this is second" in text and "FORMATTED" in text, text[-1500:])
        check(sum_of(data) + "  /mnt/host.bin" in text, "the guest read another host.bin: " + text[-1500:])
        sound = subprocess.run(["fsck.vfat", "-n", floppy], capture_output=True, text=True)
        check(sound.returncode == 0, f"fsck.vfat: {sound.stdout}{sound.stderr}")
        theirs = subprocess.run(["mcopy", "-i", floppy, "::guest.bin", "-"], capture_output=True, check=True).stdout
        check(len(theirs) == 200 << 10 and sum_of(theirs) + "  /mnt/guest.bin" in text, "guest.bin is not what the guest wrote")
        check(subprocess.run(["mcopy", "-i", floppy, "::old.txt", "-"], capture_output=True).returncode, "old.txt is still there")
        with open(floppy, "rb") as file:
            file.seek(-36 * 512, os.SEEK_END)
            track = file.read()
        check(track[18 * 512:] == b"\xf6" * (18 * 512) and b"\xf6" * 512 not in track[:18 * 512], "the track that was formatted")
    finally:
        shutil.rmtree(folder)
    return "FAT12 read and written, a track formatted; a CD locked, ejected by the guest, another put in, and one that was cut short"


if __name__ == "__main__":
    main(removable)
