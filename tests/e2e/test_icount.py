# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""-icount: guest time is counted instructions. What a guest reads of its clocks is the same to the byte in each run, whatever the host does
beside it; time passes in a halted guest as sleep= says; shift=auto follows the host and align=on waits for it. -win2k-hack: late interrupts.
"""
import os
import shutil
import subprocess
import tempfile
import time

import disk_guest
import media
from harness import check, main, wait_until
from media import SECONDS, Pc, have
from screen import EMULATOR

IMAGES = os.environ.get("NETLAB_IMAGE_DIR", "")
work = tempfile.mkdtemp(prefix="netlab-icount-")
EXIT = 33
STEADY = ("-rtc", "base=2026-01-01T12:00:00,clock=vm")

# A boot sector: the TSC around 1000 instructions, the PIT's counter, the RTC, a thousand timer interrupts' worth of readings, sectors of its
# disk with the time they took, then a wait of SLEEP ticks by HLT.
GUEST = """
.code16
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    rdtsc
    movl %eax, %esi
    .rept 50
    addl %esi, %edi
    movl (%bx), %ecx
    .endr
    rdtsc
    subl %esi, %eax
    call hex8
    movw $300, %cx
1:  pushw %cx
    movb $0, %al
    outb %al, $0x43
    inb $0x40, %al
    call hex2
    inb $0x40, %al
    call hex2
    rdtsc
    call hex8
    popw %cx
    movw $7000, %ax
2:  decw %ax
    jnz 2b
    loop 1b
    movw $20, %cx
3:  pushw %cx
    movw $0x0208, %ax
    movw $0x1000, %bx
    movw $0x0001, %cx
    movw $0x0080, %dx
    int $0x13
    movl 0x46c, %eax
    call hex8
    rdtsc
    call hex8
    popw %cx
    loop 3b
    movb $0, %al
    outb %al, $0x70
    inb $0x71, %al
    call hex2
    movb $2, %al
    outb %al, $0x70
    inb $0x71, %al
    call hex2
    movl 0x46c, %ebx
    addl $SLEEP, %ebx
4:  hlt
    cmpl %ebx, 0x46c
    jb 4b
    rdtsc
    call hex8
    movb $16, %al
    outb %al, $0xf4
""" + media.HEX + """.org 510
    .word 0xaa55
"""
BUSY = ".code16\n1: incl %eax\n jmp 1b\n.org 510\n.word 0xaa55\n"


def sector(name, source):
    path = os.path.join(work, name)
    data = media.assemble(source, path + ".bin")
    with open(path, "wb") as file:
        file.write(data)
        file.truncate(1 << 20)
    return path


def said(program, *words):
    out = os.path.join(work, "out")
    begin = time.monotonic()
    done = subprocess.run([*program, "-m", "32M", "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "null", "-debugcon", "file:" + out,
                           "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *STEADY, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    with open(out) as file:
        text = file.read()
    check(done.returncode == EXIT, f"{program[0]} {words}: exit code {done.returncode} {done.stderr} after {text[:500]}")
    return text, time.monotonic() - begin


def clocks():
    """Both engines, each twice and once beside a program that takes the processor: one transcript, TSC, PIT, RTC, disk and all."""
    disk = sector("clocks", GUEST.replace("SLEEP", "20"))
    words = ("-drive", f"file={disk},format=raw,snapshot=on")
    for shift in (0, 3, 7):
        icount = ("-icount", f"shift={shift},sleep=off", *words)
        first, _ = said([EMULATOR], *icount, "-accel", "jit")
        check(int(first[:8], 16) == 102 << shift, f"shift {shift}: 102 instructions took {int(first[:8], 16)} ns")
        for accel in ("jit", "jit,tb-size=4", "interp"):
            with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as busy:
                try:
                    again, _ = said([EMULATOR], *icount, "-accel", accel)
                finally:
                    busy.kill()
            check(again == first, f"shift {shift}, {accel}:\n{first}\n{again}")
    compared = ""
    if not have("qemu-system-i386"):
        theirs, _ = said(["qemu-system-i386", "-accel", "tcg"], "-icount", "shift=3,sleep=off", *words)
        check(int(theirs[:8], 16) == 102 << 3, f"QEMU counts {int(theirs[:8], 16)}")
        compared = "; an instruction takes as long as in QEMU"
    return "shifts 0, 3, 7" + compared


def halted():
    """sleep=on: a halted guest's ticks are the host's, at least; sleep=off: two days are over at once."""
    disk = sector("second", GUEST.replace("SLEEP", "30"))  # 1.65 s
    text, took = said([EMULATOR], "-icount", "shift=3,sleep=on", "-hda", disk)
    check(took > 1.5, f"30 ticks took {took} s")
    again, _ = said([EMULATOR], "-icount", "shift=3,sleep=off", "-hda", disk)
    check(text == again, f"sleep=on and sleep=off differ:\n{text}\n{again}")
    long = sector("days", GUEST.replace("SLEEP", str(18 * 3600)))  # an hour
    _, took = said([EMULATOR], "-icount", "shift=3,sleep=off", "-hda", long)
    check(took < 3600, f"an hour took {took} s")
    return "the same readings either way"


def linux():
    """A whole boot: kernel messages with their times, interrupts, the random generator's first bytes."""
    kernel, base = (os.path.join(IMAGES, "mini", name) for name in ("vmlinuz", "initrd.cpio"))
    if not os.path.exists(kernel):
        return "left out: needs the image mini"
    initrd = os.path.join(work, "initrd")
    disk_guest.write_initrd(initrd, base, """
cat /proc/uptime /proc/interrupts /proc/stat
busybox date; busybox sleep 3; busybox date
busybox dd if=/dev/urandom bs=16 count=4 2>/dev/null | busybox md5sum
i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done
cat /proc/uptime /proc/interrupts
""", [])
    texts = []
    for _ in range(2):
        out = os.path.join(work, "serial")
        done = subprocess.run([EMULATOR, "-m", "96M", "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "file:" + out, *STEADY, "-icount",
                               "shift=3,sleep=off", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 cryptomgr.notests noisapnp"],
                              stdin=subprocess.DEVNULL, timeout=SECONDS)
        with open(out, errors="replace") as file:
            texts.append(file.read())
        check(done.returncode == 0 and "SCRIPT ENDED 0" in texts[-1], texts[-1][-1000:])
    differ = [pair for pair in zip(*(text.splitlines() for text in texts)) if pair[0] != pair[1]]
    check(texts[0] == texts[1], f"{len(differ)} lines differ, first: {differ[:2]}")
    check("Thu Jan  1 12:00" in texts[0], "the date")
    return f"{len(texts[0].splitlines())} lines"


def info(m):
    return m.monitor("info statistics")


def guest_seconds(m):
    return float(info(m).split("guest time")[1].split()[0])


def keeps_up():
    """shift=auto: a guest that never halts keeps the host's time within a third, sooner or later; align=on: not ahead of it, or it is said."""
    busy = sector("busy", BUSY)
    with Pc("-m", "32M", "-nic", "none", "-icount", "auto", "-hda", busy) as m:
        def near():
            t0, g0 = time.monotonic(), guest_seconds(m)
            wait_until("two seconds of guest time", lambda: guest_seconds(m) > g0 + 2, SECONDS)
            return 0.66 < (guest_seconds(m) - g0) / (time.monotonic() - t0) < 1.5
        wait_until("guest time like the host's", near, SECONDS)
        check("(auto)" in info(m), info(m))
    started = time.monotonic()  # before guest time begins; a guest that was late may catch up, but not run ahead
    with Pc("-m", "32M", "-nic", "none", "-icount", "shift=10,align=on", "-hda", busy) as m:
        deadline = started + SECONDS
        while guest_seconds(m) <= 3 and time.monotonic() < deadline:  # asked without a pause: what wakes it does not let it run ahead
            pass
        guest, host = guest_seconds(m), time.monotonic() - started
        check(guest < host + 0.1, f"{guest} s of guest time in {host} s")
    log = os.path.join(work, "log")
    with open(log, "wb") as file:
        process = subprocess.Popen([EMULATOR, "-m", "32M", "-nic", "none", "-display", "none", "-serial", "null", "-monitor", "none", "-accel", "interp", "-icount",
                                    "shift=0,align=on", "-hda", busy], stdin=subprocess.DEVNULL, stderr=file)
    try:
        wait_until("a warning", lambda: "s late" in open(log).read(), SECONDS)
    finally:
        process.terminate()
        process.wait()
    return "auto, align=on ahead and late"


# Writes 64 sectors by PIO with interrupts on, and counts the interrupts while it does.
WRITER = """
.code16
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movl $handler, 0x76 * 4
    inb $0xa1, %al
    andb $0xbf, %al
    outb %al, $0xa1
    sti
    movw $64, %bp
    movw $0x1f6, %dx
    movb $0xe0, %al
    outb %al, %dx
    movw $0x1f2, %dx
    movb $64, %al
    outb %al, %dx
    incw %dx
    movb $16, %al
    outb %al, %dx
    incw %dx
    xorb %al, %al
    outb %al, %dx
    incw %dx
    outb %al, %dx
    movw $0x1f7, %dx
    movb $0x30, %al
    outb %al, %dx
1:  movw $0x1f7, %dx
    inb %dx, %al
    testb $8, %al
    jz 1b
    movw $0x7c00, %si
    movw $256, %cx
    movw $0x1f0, %dx
    rdtsc
    movl %eax, start
    movw $0x1f0, %dx
    rep outsw
2:  cmpb $0, came
    je 2b
    movb $0, came
    rdtsc
    subl start, %eax
    movb $'.', %bl
    cmpl $900000, %eax
    jb 3f
    movb $'L', %bl
3:  movb %bl, %al
    outb %al, $0xe9
    decw %bp
    jnz 1b
    movb $16, %al
    outb %al, $0xf4
    hlt
handler:
    pushw %ax
    pushw %dx
    movw $0x1f7, %dx
    inb %dx, %al
    movb $1, came
    movb $0x20, %al
    outb %al, $0xa0
    outb %al, $0x20
    popw %dx
    popw %ax
    iretw
came: .byte 0
start: .long 0
.org 510
    .word 0xaa55
"""


def win2k_hack():
    """Every sixteenth interrupt of a PIO write is a millisecond late, by the guest's own clock; without the option none is."""
    disk = sector("writer", WRITER)
    words = ("-icount", "shift=1,sleep=off", "-drive", f"file={disk},format=raw,snapshot=on")
    plain, _ = said([EMULATOR], *words)
    check(plain == "." * 64, plain)
    slow, _ = said([EMULATOR], *words, "-win2k-hack")
    check(slow == ("." * 15 + "L") * 4, slow)
    return "4 of 64"


if __name__ == "__main__":
    if have("as", "ld", "/usr/share/seabios/bios-256k.bin"):
        print("SKIP: needs the packages binutils and seabios")
        raise SystemExit(77)
    try:
        main(clocks, halted, linux, keeps_up, win2k_hack)
    finally:
        shutil.rmtree(work, ignore_errors=True)
