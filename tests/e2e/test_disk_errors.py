# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What becomes of a guest when the host fails it: full disks, files that shrink or are replaced, names that are no image.

The guest is a boot sector (GNU as, SeaBIOS): it writes numbered sectors by INT 13h, or only reads them, goes on after errors, reads all
back, and tells on the debug port what it saw. Full disks are file systems in memory, in a mount namespace of the test's.
Needs the package seabios; what needs more is named and left out.
"""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from harness import Failure, check, main, wait_until
from test_disks import BOOT_SECONDS, EMU, EXIT, Qmp, end, read

FIRST, LAST, STEP = 64, 4096, 8  # sectors written; a request has STEP
SIZE = 4 << 20

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
    cld
    movw $FIRST, %cx
.ifndef READ
1:  movw %cx, %ax
    movw $0x8000, %di
    pushw %cx
    movw $256 * STEP, %cx
    rep stosw
    popw %cx
    movb $0x43, %ah
    call disk
    jnc 2f
    movb $'W', %al
    outb %al, $0xe9
2:  addw $STEP, %cx
    cmpw $LAST, %cx
    jb 1b
    movb $'+', %al
    outb %al, $0xe9
    movw $FIRST, %cx
.endif
3:  movb $0x42, %ah
    call disk
    movb $'R', %al
    jc 4f
    cmpw %cx, 0x8000
    movb $'X', %al
    jne 4f
    cmpw %cx, 0x8000 + 512 * STEP - 2
    je 5f
4:  outb %al, $0xe9
5:  addw $STEP, %cx
    cmpw $LAST, %cx
    jb 3b
    movw $ended, %si
6:  lodsb
    testb %al, %al
    jz 7f
    outb %al, $0xe9
    jmp 6b
7:  movw $0xf4, %dx
    movl $16, %eax
    outl %eax, %dx
    jmp .
disk:
    pushaw
    movw %cx, lba
    movb $STEP, packet + 2      # the firmware leaves what it got through
    movb $0, %al
    movb drive, %dl
    movw $packet, %si
    int $0x13
    popaw
    ret
drive: .byte 0
packet: .byte 16, 0, STEP, 0
    .word 0x8000, 0
lba: .word 0, 0, 0, 0
ended: .asciz "<END>"
.org 510
    .word 0xaa55
"""


def numbered():
    """The sectors as the guest writes them."""
    return b"".join(n.to_bytes(2, "little") * 256 * STEP for n in range(FIRST, LAST, STEP))


def boot_disk(path, reads=False, content=False):
    base = path + ".boot"
    with open(base + ".s", "w") as file:
        file.write(SOURCE)
    symbols = [f"{name}={value}" for name, value in (("FIRST", FIRST), ("LAST", LAST), ("STEP", STEP), *([("READ", 1)] if reads else []))]
    subprocess.run(["as", "--32", *(word for symbol in symbols for word in ("--defsym", symbol)), "-o", base + ".o", base + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", path, base + ".o"], check=True,
                   stderr=subprocess.DEVNULL)
    with open(path, "r+b") as file:
        file.truncate(SIZE)
        if content:
            file.seek(512 * FIRST)
            file.write(numbered())
    return path


def written(file):
    file.seek(512 * FIRST)
    return file.read(512 * (LAST - FIRST))


class Guest:
    """A machine that boots `drive`; `room` as in full(): the namespace it lives in."""

    def __init__(self, folder, drive, *words, prefix=(), env=None):
        self.serial, self.log, self.control = (os.path.join(folder, name) for name in ("debug.log", "emu.log", "qmp"))
        for path in (self.serial, self.control):
            if os.path.exists(path):
                os.unlink(path)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*prefix, EMU, "-m", "32M", "-nic", "none", "-display", "none", "-monitor", "none", "-vga", "none", "-serial", "null",
                 "-debugcon", "file:" + self.serial, "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-S", "-drive", drive,
                 "-qmp", f"unix:{self.control},server=on,wait=off", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        try:
            wait_until("the machine is there", lambda: os.path.exists(self.control) or self.process.poll() is not None, BOOT_SECONDS)
            check(self.process.poll() is None, f"{drive}: {read(self.log)}")
            self.qmp = Qmp(self.control)
        except BaseException:
            end(self.process)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)

    def go(self):
        self.qmp.done("cont")

    def errors(self):
        return [data for event, data in self.qmp.events if event == "BLOCK_IO_ERROR"]

    def stopped(self, operation, nospace):
        """Waits until an error has stopped it."""
        wait_until("an error stops the machine", lambda: self.process.poll() is not None or
                   self.qmp.done("query-status")["status"] == "io-error" and self.errors(), BOOT_SECONDS)
        check(self.process.poll() is None, f"it ended: {read(self.log)} {read(self.serial)[-300:]}")
        last = self.errors()[-1]
        check(last["operation"] == operation and last["action"] == "stop" and last["nospace"] == nospace, f"{last}")

    def ended(self):
        """What the guest saw."""
        self.qmp.socket.settimeout(BOOT_SECONDS)
        try:
            for line in self.qmp.file:  # until the machine is gone
                message = json.loads(line)
                self.qmp.events.append((message.get("event"), message.get("data")))
        except OSError:
            pass
        try:
            code = self.process.wait(BOOT_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"not at its end: {read(self.serial)[-300:]}") from None
        text = read(self.serial)
        check(code == EXIT and text.endswith("<END>"), f"exit code {code}, {read(self.log)} {text[-300:]}")
        return text


def root():
    return os.geteuid() == 0 and shutil.which("unshare") and shutil.which("nsenter")


def namespace(room, megabytes, image):
    """What comes before the emulator's words: a mount namespace with a small file system at `room`, and the image copied there."""
    script = 'mount -t tmpfs -o size="$1"m tmpfs "$0" && cp --sparse=always "$2" "$0"/disk && shift 2 && exec "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, room, str(megabytes), image)


def grow(guest, room):
    subprocess.run(["nsenter", "-t", str(guest.process.pid), "-m", "mount", "-o", "remount,size=16m", room], check=True)


def full_disk():
    if not root() or subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode:
        return "left out: needs root, and mount namespaces"
    done = []
    with scratch() as folder:
        room, image = os.path.join(folder, "room"), boot_disk(os.path.join(folder, "image"))
        os.mkdir(room)
        for policy in ("", ",werror=enospc", ",werror=stop", ",werror=report", ",werror=ignore"):
            with Guest(folder, f"file={room}/disk,format=raw" + policy, prefix=namespace(room, 1, image)) as guest, \
                    open(f"/proc/{guest.process.pid}/root{room}/disk", "rb") as file:
                guest.go()
                if policy in ("", ",werror=enospc", ",werror=stop"):
                    guest.stopped("write", True)
                    guest.go()  # still no room
                    guest.stopped("write", True)
                    grow(guest, room)
                    guest.go()
                    text = guest.ended()
                    check(text == "+<END>", f"{policy}: the guest saw {text}")
                    check(written(file) == numbered(), f"{policy}: the image is not what the guest wrote")
                else:
                    text = guest.ended()
                    action = policy.split("=")[1]
                    check({row["action"] for row in guest.errors()} == {action} and guest.errors()[0]["nospace"], f"{policy}: {guest.errors()[:2]}")
                    lost = text.count("X") + text.count("R")
                    check(("W" in text) == (action == "report") and lost > 100, f"{policy}: the guest saw {text}")
                    good = written(file)[:512 << 10]
                    check(good == numbered()[:512 << 10], f"{policy}: what fitted is not there")
            done.append(policy[1:] or "as it is")
        # What is not to be kept goes to $TMPDIR.
        with Guest(folder, f"file={image},format=raw,snapshot=on", prefix=namespace(room, 1, "/dev/null"), env=dict(os.environ, TMPDIR=room)) as guest:
            guest.go()
            guest.stopped("write", True)
            grow(guest, room)
            guest.go()
            text = guest.ended()
            check(text == "+<END>", f"snapshot=on: the guest saw {text}")
        with open(image, "rb") as file:
            check(not any(written(file)), "snapshot=on wrote to the image")
        done.append("snapshot=on")
        if shutil.which("qemu-img"):
            qcow2 = os.path.join(folder, "qcow2")
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", image, qcow2], check=True)
            with Guest(folder, f"file={room}/disk,format=qcow2", prefix=namespace(room, 1, qcow2)) as guest, \
                    open(f"/proc/{guest.process.pid}/root{room}/disk", "rb") as file:
                guest.go()
                guest.stopped("write", True)
                grow(guest, room)
                guest.go()
                text = guest.ended()
                check(text == "+<END>", f"qcow2: the guest saw {text}")
                with open(qcow2, "wb") as copy:
                    copy.write(file.read())
            # 3: a cluster that was counted before the disk was full is used by nobody.
            sound = subprocess.run(["qemu-img", "check", qcow2], capture_output=True, text=True)
            check(sound.returncode in (0, 3), f"qemu-img check: {sound.stdout}{sound.stderr}")
            subprocess.run(["qemu-img", "convert", "-O", "raw", qcow2, qcow2 + ".raw"], check=True)
            with open(qcow2 + ".raw", "rb") as file:
                check(written(file) == numbered(), "qcow2: the image is not what the guest wrote")
            done.append("qcow2")
    return ", ".join(done)


def shrunk_and_replaced():
    """The image under a running guest."""
    kept = 1 << 20
    with scratch() as folder:
        image = boot_disk(os.path.join(folder, "image"), reads=True, content=True)
        with open(image, "rb") as file:
            whole = file.read()
        for policy in ("", ",rerror=report", ",rerror=ignore", ",rerror=stop"):
            with Guest(folder, f"file={image},format=raw" + policy) as guest:
                os.truncate(image, kept)
                guest.go()
                if policy == ",rerror=stop":
                    guest.stopped("read", False)
                    with open(image, "r+b") as file:  # the same file, whole again
                        file.write(whole)
                    guest.go()
                    text = guest.ended()
                    check(text == "<END>", f"{policy}: the guest saw {text}")
                else:
                    text = guest.ended()
                    letter = "X" if policy == ",rerror=ignore" else "R"
                    check(set(text[:-5]) == {letter} and len(text) - 5 == (LAST - kept // 512) // STEP, f"{policy}: the guest saw {text}")
                    check(0 < len(guest.errors()) <= len(text) - 5, f"{len(guest.errors())} events of {len(text) - 5} errors")
                    with open(image, "r+b") as file:
                        file.write(whole)
        writes, other = boot_disk(os.path.join(folder, "writes")), os.path.join(folder, "other")
        with open(other, "wb") as file:
            file.truncate(SIZE)
        with open(writes, "rb") as old, Guest(folder, f"file={writes},format=raw") as guest:
            os.rename(other, writes)
            guest.go()
            check(guest.ended() == "+<END>" and written(old) == numbered(), "after another file took its name")
        with open(writes, "rb") as file:
            check(not any(file.read()), "the file that took the name was written to")
        writes = boot_disk(os.path.join(folder, "writes"))
        with open(writes, "rb") as old, Guest(folder, f"file={writes},format=raw") as guest:
            os.unlink(writes)
            guest.go()
            check(guest.ended() == "+<END>" and written(old) == numbered(), "after it was deleted")
    return "cut short (report, ignore, stop and whole again), replaced, deleted"


def cache_modes():
    with scratch("/var/tmp") as folder:
        for mode in ("none", "writeback", "writethrough", "directsync", "unsafe"):
            image = boot_disk(os.path.join(folder, mode))
            with Guest(folder, f"file={image},format=raw,cache={mode}") as guest:
                guest.go()
                check(guest.ended() == "+<END>", f"cache={mode}")
            with open(image, "rb") as file:
                check(written(file) == numbered(), f"cache={mode}: the image is not what the guest wrote")
    return "none, writeback, writethrough, directsync, unsafe"


def refusals():
    """Names that are no image: what is wrong, and what to do."""
    done = []
    with scratch() as folder:
        closed = os.path.join(folder, "closed")
        with open(closed, "wb") as file:
            file.truncate(1 << 20)
        os.chmod(closed, 0)
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        rows = [("-hda", folder, "it is a folder; name an image"), ("-cdrom", folder, "is a folder"), ("-cdrom", fifo, "neither file nor block device"),
                ("-hda", "/dev/null", "neither file nor block device"), ("-hda", closed + "/below", "ot a directory")]
        prefix = []
        if os.geteuid() == 0:
            prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
            if not shutil.which("setpriv"):
                prefix = None
        if prefix is not None:
            rows += [("-hda", closed, "make it writable, or open it with readonly=on or snapshot=on"), ("-cdrom", closed, "make it readable")]
        for option, path, says in rows:
            words = [*(prefix if path == closed else ()), EMU, "-check", "-vga", "none", option, path]
            refused = subprocess.run(words, capture_output=True, text=True)
            check(refused.returncode == 1 and says in refused.stderr and path in refused.stderr, f"{words}: {refused}")
            done.append(says)
    return "; ".join(done)


@contextlib.contextmanager
def scratch(where=None):
    folder = tempfile.mkdtemp(prefix="netlab-errors-", dir=where)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        print("skipped: needs the package seabios")
        raise SystemExit(77)
    main(full_disk, shrunk_and_replaced, cache_modes, refusals)
