# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Debian's kernel asleep and awake: suspend to RAM without firmware and through SeaBIOS, the RTC's alarm, the power button,
system_wakeup; what it prints on /dev/lp0; both watchdogs, until they bite.

Needs the image `mini` and its kernel package (see disk_guest.py); SeaBIOS's part also the packages seabios, grub-common,
grub-pc-bin and xorriso. What is missing is named and left out; with nothing to run at all the test is skipped.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import disk_guest
from harness import BIN, Failure, check, main, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines, listens

EMU = os.path.join(os.path.dirname(BIN), "netlab-emu")
IMAGES = os.environ.get("NETLAB_IMAGE_DIR", "/var/lib/netlab/images")
SECONDS = 120
APPEND = "console=ttyS0 quiet cryptomgr.notests noisapnp panic=1"


def mini():
    """(kernel, initrd, package) of the image, or why there is none."""
    folder = os.path.join(IMAGES, "mini")
    try:
        with open(os.path.join(folder, "image.json"), encoding="utf-8") as file:
            release = json.load(file)["kernel_release"]
    except OSError as error:
        return None, f"the image mini is not there ({error.strerror}); make it with `netlab image build mini`"
    package = disk_guest.find_package(release)
    if not package:
        return None, f"linux-image-{release} is not there; say where with NETLAB_KERNEL_PACKAGE"
    return (os.path.join(folder, "vmlinuz"), os.path.join(folder, "initrd.cpio"), package), None


class Guest:
    def __init__(self, folder, boot, *words):
        self.serial, self.socket = os.path.join(folder, "serial"), os.path.join(folder, "qmp")
        for path in (self.serial, self.socket):
            if os.path.exists(path):
                os.unlink(path)
        self.process = subprocess.Popen([EMU, "-m", "96", *boot, "-display", "none", "-nic", "none", "-serial",
                                         f"file:{self.serial}", "-qmp", f"unix:{self.socket},server=on,wait=off", "-S", *words],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until("the QMP socket", lambda: listens(self.socket), SECONDS)
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.settimeout(SECONDS)
        self.peer.connect(self.socket)
        self.stream = Lines(self.peer)
        self.seen = []
        self.read()
        self.say("qmp_capabilities")
        self.say("cont")

    def read(self):
        line = self.stream.readline()
        if not line:
            raise Failure(f"QMP ended; the guest's last words: {self.text()[-600:]}")
        message = json.loads(line)
        if "event" in message:
            self.seen.append(message)
        return message

    def say(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = self.read()
            if "return" in answer or "error" in answer:
                return answer

    def event(self, name):
        """The next event of this name that was not taken yet."""
        while True:
            for number, message in enumerate(self.seen):
                if message["event"] == name:
                    del self.seen[:number + 1]
                    return message
            self.read()

    def text(self):
        try:
            with open(self.serial, errors="replace", encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""

    def wait(self, text):
        wait_until(lambda: f"{text!r} in {self.text()[-600:]!r}", lambda: text in self.text(), SECONDS)

    def finish(self):
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"the guest did not end: {self.text()[-600:]}") from None
        check(code == 0, f"netlab-emu ended with {code}: {self.text()[-600:]}")

    def close(self):
        self.peer.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def initrd(folder, found, script, names):
    path = os.path.join(folder, "initrd")
    disk_guest.write_initrd(path, found[1], script, disk_guest.drivers(found[2], names))
    return path


ASLEEP = """
echo remembered > /tmp-in-ram
for turn in alarm monitor button; do
    echo 0 > /sys/class/rtc/rtc0/wakealarm
    [ $turn = alarm ] && echo +2 > /sys/class/rtc/rtc0/wakealarm
    echo mem > /sys/power/state
    echo "AWAKE $turn $? $(cat /tmp-in-ram)"
done
"""
BUTTON = """
event=$(grep -A 5 'Name="Power Button"' /proc/bus/input/devices | grep -o 'event[0-9]*' | head -n 1)
exec 3< /dev/input/$event
echo "LISTENING"
dd of=/dev/null bs=16 count=1 <&3 && echo "BUTTON PRESSED"
"""
PRINTER = """
echo "on paper" > /dev/lp0 && echo "PRINTED"
grep parport0 /proc/interrupts
"""


def go_through_sleep(guest):
    for turn in ("alarm", "monitor", "button"):
        guest.event("SUSPEND")
        if turn != "alarm":
            check(guest.say("query-status")["return"]["status"] == "suspended", "it sleeps, but its status is another")
            guest.say("system_wakeup" if turn == "monitor" else "system_powerdown")
        guest.event("WAKEUP")
        guest.wait(f"AWAKE {turn} 0 remembered")


def test_sleep_button_printer():
    found, why = mini()
    if not found:
        print(f"skipped: {why}")
        return
    with tempfile.TemporaryDirectory() as folder:
        image = initrd(folder, found, ASLEEP + PRINTER + BUTTON, ("parport_pc", "lp", "button", "evdev"))
        paper = os.path.join(folder, "paper")
        guest = Guest(folder, ["-kernel", found[0], "-initrd", image, "-append", APPEND], "-parallel", f"file:{paper}")
        try:
            go_through_sleep(guest)
            guest.wait("LISTENING")
            check("PRINTED" in guest.text(), "printing failed")
            with open(paper, encoding="utf-8") as file:
                check(file.read() == "on paper\n", "what came out of the printer is something else")
            guest.say("system_powerdown")
            guest.wait("BUTTON PRESSED")
            guest.event("SHUTDOWN")
            guest.finish()
        finally:
            guest.close()


def test_sleep_through_firmware():
    found, why = mini()
    missing = [tool for tool in ("grub-mkrescue", "xorriso") if not shutil.which(tool)]
    missing += [path for path in ("/usr/share/seabios/bios-256k.bin", "/usr/lib/grub/i386-pc/boot.img") if not os.path.exists(path)]
    if not found or missing:
        print(f"skipped: {why or 'there is no ' + ', '.join(missing)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = os.path.join(folder, "cd")
        os.makedirs(os.path.join(tree, "boot/grub"))
        shutil.copy(found[0], os.path.join(tree, "boot/kernel"))
        shutil.copy(initrd(folder, found, ASLEEP, ()), os.path.join(tree, "boot/initrd"))
        with open(os.path.join(tree, "boot/grub/grub.cfg"), "w", encoding="utf-8") as file:
            file.write(f"set timeout=0\nmenuentry guest {{\n linux /boot/kernel {APPEND}\n initrd /boot/initrd\n}}\n")
        cd = os.path.join(folder, "cd.iso")
        subprocess.run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", cd, tree], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        debug = os.path.join(folder, "debug")
        guest = Guest(folder, ["-cdrom", cd], "-chardev", f"file,id=d,path={debug}", "-device",
                      "isa-debugcon,iobase=0x402,chardev=d")
        try:
            go_through_sleep(guest)
            guest.finish()
            check("ACPI BIOS Error" not in guest.text() and "ACPI Error" not in guest.text(),
                  f"the kernel complains about the tables: {guest.text()[:2000]}")
            with open(debug, errors="replace", encoding="utf-8") as file:
                check(file.read().count("Jump to resume vector") == 3, "SeaBIOS did not resume three times")
        finally:
            guest.close()


HIBERNATE = """
echo 8:0 > /sys/power/resume
echo "NO IMAGE"
swapon /dev/sda
echo remembered > /tmp-in-ram
echo disk > /sys/power/state
echo "BACK $? $(cat /tmp-in-ram)"
"""


def test_hibernation():
    found, why = mini()
    mkswap = shutil.which("mkswap") or shutil.which("/sbin/mkswap")
    if not found or not mkswap:
        print(f"skipped: {why or 'there is no mkswap (package util-linux)'}")
        return
    with tempfile.TemporaryDirectory() as folder:
        disk = os.path.join(folder, "disk")
        with open(disk, "wb") as file:
            file.truncate(256 << 20)
        subprocess.run([mkswap, disk], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        image = initrd(folder, found, HIBERNATE, ("ata_piix", "sd_mod"))
        for turn in ("NO IMAGE", "BACK 0 remembered"):
            guest = Guest(folder, ["-kernel", found[0], "-initrd", image, "-append", APPEND], "-drive",
                          f"file={disk},format=raw")
            try:
                if turn == "NO IMAGE":
                    guest.event("SUSPEND_DISK")
                guest.event("SHUTDOWN")
                guest.finish()
                check(turn in guest.text(), f"it does not say '{turn}': {guest.text()[-600:]}")
                check(turn == "NO IMAGE" or "NO IMAGE" not in guest.text(), "it started anew and did not go on")
            finally:
                guest.close()


# Counts its starts in CMOS byte 0x50 and resets in another way each time.
RESETS = """
.code16
.globl _start
_start:
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    movb $0x50, %al
    outb %al, $0x70
    inb $0x71, %al
    movb %al, %bl
    incb %al
    outb %al, $0x71
    movb %bl, %al
    addb $0x30, %al
    outb %al, $0xe9
    movb %bl, %al
    addb $0x41, %al
    xorb %ah, %ah
    xorw %dx, %dx
    int $0x17       # the BIOS prints it
    testb $1, %ah
    jnz timeout
    testb %bl, %bl
    jz keyboard
    decb %bl
    jz port92
    decb %bl
    jz control
    decb %bl
    jz triple
    decb %bl
    jz cold
    decb %bl
    jz warm
    decb %bl
    jz bios
    movw $0xf4, %dx
    movb $0, %al
    outb %al, %dx
    jmp .
keyboard:
    movb $0xfe, %al
    outb %al, $0x64
    jmp .
port92:
    inb $0x92, %al
    orb $1, %al
    outb %al, $0x92
    jmp .
control:
    movw $0xcf9, %dx
    movb $2, %al
    outb %al, %dx
    movb $6, %al
    outb %al, %dx
    jmp .
triple:
    lidt nothing
    int3
    jmp .
cold:
    movw $0, 0x472
    ljmp $0xffff, $0
warm:
    movw $0x1234, 0x472
    ljmp $0xffff, $0
bios:
    int $0x19       # the boot sector once more
    jmp .
timeout:
    movb $0x21, %al
    outb %al, $0xe9
    hlt
nothing: .word 0, 0, 0
.org 510
    .word 0xaa55
"""


def test_resets_through_firmware():
    if not os.path.exists("/usr/share/seabios/bios-256k.bin") or not shutil.which("as"):
        print("skipped: needs the packages seabios and binutils")
        return
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.join(folder, "sector")
        with open(base + ".s", "w", encoding="utf-8") as file:
            file.write(RESETS)
        subprocess.run(["as", "--32", "-o", base + ".o", base + ".s"], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", base, base + ".o"], check=True,
                       stderr=subprocess.DEVNULL)
        with open(base, "ab") as file:
            file.truncate(1 << 20)
        out = os.path.join(folder, "out")
        paper = os.path.join(folder, "paper")
        done = subprocess.run([EMU, "-parallel", f"file:{paper}", "-drive", f"file={base},format=raw", "-display", "none", "-nic", "none", "-debugcon",
                               f"file:{out}", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-serial", "none"],
                              stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
        with open(out, encoding="utf-8") as file:
            text = file.read()
        with open(paper, encoding="utf-8") as file:
            check(file.read() == "ABCDEFGH", "the BIOS printed something else by INT 17h")
        check(done.returncode == 1 and text == "01234567", f"it started as often as '{text}' says, and ended with {done.returncode}")


BITTEN = """
D=/lib/modules/$(uname -r)/kernel/drivers/watchdog
insmod $D/MODULE || echo "NO DRIVER"
exec 3>/dev/watchdog
for i in 1 2 3; do echo x >&3; sleep 1; done
echo "BOOTSTATUS $(cat /sys/class/watchdog/watchdog0/bootstatus)"
echo "HUNGRY"
sleep 600
"""


def watchdog(card, module, remembers):
    found, why = mini()
    if not found:
        print(f"skipped: {why}")
        return
    with tempfile.TemporaryDirectory() as folder:
        script = BITTEN.replace("MODULE", module)
        names = (os.path.basename(module.split()[0])[:-3],)
        image = initrd(folder, found, "rmmod " + names[0] + "\n" + script, names)
        guest = Guest(folder, ["-kernel", found[0], "-initrd", image, "-append", APPEND], "-watchdog", card)
        try:
            guest.wait("HUNGRY")
            check(not any(message["event"] == "WATCHDOG" for message in guest.seen), "it bit although it was fed")
            check(guest.event("WATCHDOG")["data"] == {"action": "reset"}, "another action was taken")
            check(guest.event("RESET")["data"]["guest"], "the reset was not the guest's")
            wait_until("the second start", lambda: guest.text().count("HUNGRY") == 2, SECONDS)
            if remembers:
                check("BOOTSTATUS 32" in guest.text(), f"the driver does not know who did it: {guest.text()[-400:]}")
            guest.say("quit")
            guest.finish()
        finally:
            guest.close()


def test_i6300esb():
    watchdog("i6300esb", "i6300esb.ko heartbeat=2", True)


def test_ib700():
    watchdog("ib700", "ib700wdt.ko timeout=2", False)


def test_reboots_in_a_row():
    """A guest that restarts itself, by the keyboard controller, port CF9 and a triple fault, and through firmware."""
    found, why = mini()
    if not found:
        return f"skipped: {why}"
    times = 20 if os.environ.get("NETLAB_TEST_FULL") else 3
    ways = {"keyboard controller": ("reboot=k",), "CF9": ("reboot=p",), "triple fault": ("reboot=t",)}
    bios = "/usr/share/seabios/bios-256k.bin"
    if os.path.exists(bios):
        ways["firmware"] = ("", "-bios", bios)
    with tempfile.TemporaryDirectory() as folder:
        image = initrd(folder, found, 'echo "STARTED AGAIN"\nreboot -f\nsleep 600\n', ("button",))
        for way, (word, *words) in ways.items():
            guest = Guest(folder, ["-kernel", found[0], "-initrd", image, "-append", f"{APPEND} {word}"], *words)
            try:
                wait_until(lambda: f"start {times + 1} by {way}: {guest.text()[-600:]!r}", lambda: guest.text().count("STARTED AGAIN") > times, SECONDS * 2)
                for _ in range(times):
                    check(guest.event("RESET")["data"] == {"guest": True, "reason": "guest-reset"}, f"{way}: not the guest's own reset")
                descriptors = len(os.listdir(f"/proc/{guest.process.pid}/fd"))
                check(descriptors < 40, f"{way}: {descriptors} open files")
                guest.say("quit")
                guest.finish()
            finally:
                guest.close()
    return f"{times} times: {', '.join(ways)}"


if __name__ == "__main__":
    if not mini()[0] and not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        print(f"skipped: {mini()[1]}")
        sys.exit(77)
    main(test_sleep_button_printer, test_resets_through_firmware, test_hibernation, test_sleep_through_firmware, test_reboots_in_a_row, test_i6300esb, test_ib700)
