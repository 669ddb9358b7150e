# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""DOS-style programs (dos/*.s): boot sectors that use the BIOS and the processor as DOS programs do, from disk and floppy.

Each prints its facts on the debug port. qemu-system-i386 boots the same image, and the two outputs must be equal but for the lines
that OTHER names. The lines in EXPECTED are demanded as they are, with QEMU or without.
"""
import os
import shutil
import subprocess
import tempfile

import media
from harness import Failure, check, main
from media import SECONDS, have
from screen import EMULATOR

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dos")
SECTORS = 16
# Lines by their first words. QEMU checks no segment limits in real mode.
EXPECTED = {"bios": {"limit": "limit 0000 ", "big": "big real BABE A5A5 ", "block": "block move 0 0 5678 ", "A20": "A20 0 0001 w-w-"},
            "modes": {"gate": "gate cs 0008 0010 1234 0007 67FE ", "task": "task 0028 0020 4000 2222 ", "monitor": "monitor: halted"}}
# What differs between the machines, not the processors: QEMU has a printer port and a floppy drive of its own accord, and its tables take
# more memory from the top.
OTHER = ("int 11h", "int 15h 88", "0010 0000", "03FE", "03FF", "limit")
EXIT = 33
work = tempfile.mkdtemp(prefix="netlab-dos-")


def build(name, size):
    path = os.path.join(work, name)
    media.run("as", "--32", "-I", HERE, "--defsym", f"SECTORS={SECTORS - 1}", "-o", path + ".o", os.path.join(HERE, name + ".s"))
    media.run("ld", "-m", "elf_i386", "-Ttext=0x7c00", "--oformat", "binary", "-e", "0x7c00", "-o", path + ".bin", path + ".o")
    check(os.path.getsize(path + ".bin") <= SECTORS * 512, f"{name} has more than {SECTORS} sectors")
    shutil.copy(path + ".bin", path + ".img")
    os.truncate(path + ".img", size)
    return path + ".img"


def said(program, image, kind):
    out = os.path.join(work, "debug")
    drive = f"file={image},format=raw,snapshot=on" + (",if=floppy" if kind == "floppy" else "")
    command = [*program, "-m", "64M", "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "null", "-vga", "std", "-drive", drive, "-boot",
               "a" if kind == "floppy" else "c", "-debugcon", "file:" + out, "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    with open(out, encoding="latin-1") as file:
        text = file.read()
    os.unlink(out)
    check(code == EXIT, f"{command[0]} with {os.path.basename(image)}: exit code {code} after\n{text[:3000]}")
    return text.splitlines()


def compare(name, kind):
    image = build(name, (1440 << 10) if kind == "floppy" else (8 << 20))
    ours = said([EMULATOR], image, kind)
    for word, line in EXPECTED[name].items():
        check(line in ours, f"{name} from {kind}: no line {line!r} in\n" + "\n".join(ours)[:3000])
    check(ours[-1] == "END", "\n".join(ours))
    if have("qemu-system-i386"):
        return f"{len(ours)} lines; not compared, QEMU is not there"
    theirs = said(["qemu-system-i386", "-accel", "tcg"], image, kind)

    def plain(lines):
        return [line for line in lines if not line.startswith(OTHER)]
    if plain(ours) != plain(theirs):
        raise Failure(f"{name} from {kind} differs from QEMU\n" + "\n".join(
            f"{'  ' if a == b else '! '}{a:60}{'' if a == b else '| ' + b}" for a, b in zip(ours, theirs)))
    return f"{len(ours)} lines as in QEMU"


def bios_disk():
    return compare("bios", "disk")


def modes():
    return compare("modes", "disk")


def bios_floppy():
    return compare("bios", "floppy")


if __name__ == "__main__":
    if have("as", "ld", "/usr/share/seabios/bios-256k.bin"):
        print("SKIP: needs the packages binutils and seabios")
        raise SystemExit(77)
    try:
        main(bios_disk, bios_floppy, modes)
    finally:
        shutil.rmtree(work, ignore_errors=True)
