# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Boot media for the tests, made of Debian's own boot loaders and the kernel of media_debian.py, and machines that start them.

A medium is built into a folder of the test's; what a guest says is read from its serial port or its screen. Rival() is the same machine in
qemu-system-i386, for comparing.
"""
import os
import re
import shutil
import socket
import subprocess

import disk_guest
import media_debian
from harness import BIN, Failure, check, wait_until
from screen import EMULATOR, Machine, read_ppm

BIOS_MODULES = "/usr/lib/syslinux/modules/bios"
SYSLINUX = "/usr/lib/syslinux"
SECONDS = int(os.environ.get("NETLAB_MEDIA_SECONDS", 240))  # until something is seen; the machine may be loaded

# A Core-like system: one initrd, busybox, a shell on the console, addresses by DHCP, a web server.
CORE_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /www /etc /usr/bin /sbin /usr/sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin PS1='tc@box:~$ '
exec </dev/console >/dev/console 2>&1
for m in $(cat /disk-modules); do insmod $m || echo "insmod $m failed"; done
ip link set lo up
ip link set eth0 up
udhcpc -q -n -t 20 -T 1 -i eth0 -s /dhcp >/dev/null && echo "eth0 has $(ip -4 -o address show eth0 | sed 's/.*inet //;s/ .*//')"
echo "Hello from $(uname -r)" >/www/index.html
httpd -h /www && echo 'The web server runs'
exec setsid cttyhack sh
"""
DHCP_SCRIPT = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
/bin/ip address add $ip/${mask:-24} dev $interface
[ -z "$router" ] || /bin/ip route add default via $router
"""


def have(*paths):
    """The first of the paths that is not there, or an empty string."""
    for path in paths:
        if not (os.path.exists(path) if path.startswith("/") else shutil.which(path, path=os.environ["PATH"] + ":/usr/sbin:/sbin")):
            return path
    return ""


def run(*words, **how):
    done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"),
                          **how)
    check(done.returncode == 0, f"{' '.join(words)}: {done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
    return done.stdout

# A boot sector's subroutines: EAX, AX or AL in hexadecimal to the debug console.
HEX = """hex8:
    pushl %eax
    shrl $16, %eax
    call hex4
    popl %eax
hex4:
    pushw %ax
    movb %ah, %al
    call hex2
    popw %ax
hex2:
    pushw %ax
    shrb $4, %al
    call digit
    popw %ax
    andb $15, %al
digit:
    addb $'0', %al
    cmpb $'9', %al
    jbe 9f
    addb $7, %al
9:  outb %al, $0xe9
    ret
"""


def debian(name):
    where = media_debian.ready()
    return where and os.path.join(where, name)


def core_initrd(path):
    """The initrd of the Core-like system."""
    modules = disk_guest.drivers(debian("kernel.tar"), ("e1000",))
    with open(debian("busybox"), "rb") as file:
        busybox = file.read()
    folders = sorted({"/".join(name.split("/")[:n]) for name, _ in modules for n in range(1, name.count("/") + 1)} | {"bin", "dev"})
    entries = [(folder, 0o040755, b"") for folder in folders] + [(name, 0o100644, data) for name, data in modules]
    entries += [("bin/busybox", 0o100755, busybox), ("init", 0o100755, CORE_INIT.encode()), ("dhcp", 0o100755, DHCP_SCRIPT.encode()),
                ("disk-modules", 0o100644, "".join(f"/{name}\n" for name, _ in modules).encode())]
    with open(path, "wb") as file:
        file.write(disk_guest.cpio(entries))
    run("gzip", "-f", "-1", path)
    os.rename(path + ".gz", path)


def core_tree(tree, menu):
    """/boot of the CD: kernel, initrd, isolinux and its configuration."""
    place = os.path.join(tree, "boot", "isolinux")
    os.makedirs(place)
    shutil.copy(debian("vmlinuz"), os.path.join(tree, "boot", "vmlinuz"))
    core_initrd(os.path.join(tree, "boot", "core.gz"))
    for name in ("/usr/lib/ISOLINUX/isolinux.bin", *(f"{BIOS_MODULES}/{name}.c32" for name in
                 ("ldlinux", "libcom32", "libutil", "libmenu", "libgpl", "menu", "vesamenu", "hdt", "chain", "reboot"))):
        shutil.copy(name, place)
    for name in ("memdisk",):
        shutil.copy(os.path.join(SYSLINUX, name), place)
    with open(os.path.join(place, "isolinux.cfg"), "w") as file:
        file.write(menu)


def make_iso(tree, path, *options, loader="boot/isolinux/isolinux.bin"):
    run("xorriso", "-as", "mkisofs", "-quiet", "-l", "-J", "-R", "-V", "Core", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "-b", loader, "-c", os.path.dirname(loader) + "/boot.cat", *options, "-o", path, tree)
    return path


def assemble(source, path, *defines, origin=0x7c00):
    """A flat binary from GNU as."""
    with open(path + ".s", "w") as file:
        file.write(source)
    symbols = [word for define in defines for word in ("--defsym", define + "=1")]
    run("as", "--32", *symbols, "-o", path + ".o", path + ".s")
    run("ld", "-m", "elf_i386", f"-Ttext={origin:#x}", "--oformat", "binary", "-e", "0", "-o", path, path + ".o")
    with open(path, "rb") as file:
        return file.read()


# Prints TEXT on the screen and the debug port, then does nothing.
BOOT_SECTOR = """
.code16
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw $text, %si
1:  lodsb
    testb %al, %al
    jz 2f
    outb %al, $0xe9
    movb $0x0e, %ah
    movw $7, %bx
    int $0x10
    jmp 1b
2:  hlt
    jmp 2b
text: .asciz "TEXT\\r\\n"
.org 510
    .word 0xaa55
"""


def boot_sector(folder, text, size):
    """An image of `size` bytes that says `text` when it is booted."""
    path = os.path.join(folder, re.sub(r"\W", "-", text) + ".img")
    sector = assemble(BOOT_SECTOR.replace("TEXT", text), path + ".sector")
    with open(path, "wb") as file:
        file.write(sector)
        file.truncate(size)
    return path


class Pc(Machine):
    """netlab-emu with the words given and nothing else but a monitor; what came out of the debug port is in debug()."""
    program = (EMULATOR,)
    prompt = b"(netlab) "

    def __init__(self, *words, cwd=None, display="none", debug=True):
        super().__init__([*words], build=lambda folder, words: [
            *self.program, *words, "-monitor", f"unix:{folder}/monitor,server=on,wait=off", *(["-display", display] if display else []),
            *(["-debugcon", f"file:{folder}/debug"] if debug else []), *([] if "-serial" in words else ["-serial", f"file:{folder}/serial"])],
            cwd=cwd)

    def said(self, name):
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                return file.read().decode("latin-1")
        except OSError:
            return ""

    def wait_said(self, name, text, seconds=SECONDS):
        try:
            return wait_until(f"{text!r} on {name}", lambda: (self.said(name) if text in self.said(name) else None) or self.alive(), seconds)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.said(name)[-1500:]}\n{self.screen()}") from None

    def alive(self):
        check(self.process.poll() is None, f"the emulator ended with {self.process.returncode}: {self.said('serial')[-1500:]}")

    def screen(self):
        try:
            return self.picture().text()
        except (Failure, OSError) as failure:
            return str(failure)

    def keys(self, *names):
        """sendkey, one after the other. A keyboard holds sixteen bytes: more than a few keys need type()."""
        for name in names:
            said = self.monitor(f"sendkey {name}")
            check(not said.strip(), f"sendkey {name}: {said}")

    def type(self, text, after=""):
        """As a person who watches the screen: goes on once what was typed is to be seen behind `after`, a prompt."""
        special = {" ": "spc", "-": "minus", "=": "equal", "/": "slash", ".": "dot", ",": "comma", ";": "semicolon", "'": "apostrophe",
                   ":": "shift-semicolon", "$": "shift-4", "|": "shift-backslash", "_": "shift-minus", '"': "shift-apostrophe",
                   "<": "shift-comma", ">": "shift-dot", "*": "shift-8", "(": "shift-9", ")": "shift-0", "&": "shift-7"}
        for at, c in enumerate(text, 1):
            self.keys(special.get(c) or ("shift-" + c.lower() if c.isupper() else c))
            if at % 3 == 0 or at == len(text):
                self.wait_text(after + text[:at].rstrip(), SECONDS)
        self.keys("ret")

    def wait_picture(self, condition, what, seconds=SECONDS):
        """A picture that holds what is wanted."""
        last = [None]

        def seen():
            self.alive()
            last[0] = self.picture()
            return condition(last[0])
        try:
            wait_until(what, seen, seconds)
        except Failure as failure:
            raise Failure(f"{failure}; the last picture is {last[0].width} x {last[0].height}\n{last[0].text()}") from None
        return last[0]


class Rival(Pc):
    """The same words for qemu-system-i386."""
    program = ("qemu-system-i386", "-accel", "tcg", "-cpu", "n270")
    prompt = b"(qemu) "


def drive(path, kind="disk"):
    """Words for a raw image, read only in effect: several tests use one medium."""
    if kind == "floppy":
        return ["-drive", f"file={path},format=raw,if=floppy,snapshot=on"]
    return ["-drive", f"file={path},format=raw,snapshot=on"]


def fetch(port, path="/", host="127.0.0.1"):
    """The body of a page, or None while nobody serves it."""
    try:
        with socket.create_connection((host, port), 5) as client:
            client.settimeout(10)
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            data = b""
            while piece := client.recv(65536):
                data += piece
    except OSError:
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    return body.decode() if b" 200 " in head else None
