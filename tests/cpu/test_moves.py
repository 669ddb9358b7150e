#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Runs the hostile BIOS (moves/moves.c) with several seeds by every engine; the program compares with its model, this script what it says.

  test_moves.py --emulator netlab-emu --image moves.bin [--seed N] [--seeds COUNT] [--steps COUNT]
  test_moves.py --qemu --image moves.bin        QEMU gives the sums we do in what is defined and done there; 77: no QEMU

Short: 3 seeds of 1500 steps; with NETLAB_TEST_FULL=1 40 of 20000. NETLAB_TEST_SEED: the first one.
"""
import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile

FULL = os.environ.get("NETLAB_TEST_FULL", "0") not in ("", "0")
ENGINES = ("interp", "jit", "jit,lockstep=on", "jit,lockstep=on,links=200,window=2")
SEED_AT = 0xffe0           # start.S: seed, steps, flags
ONLY_SURE = 1
SECTORS = 2048
WELL = (0 << 1) | 1        # isa-debug-exit's status of finish(0)
LIMIT = 900 if FULL else 120
QEMU_STEPS = 300


def write_disk(path):
    with open(path, "wb") as file:
        for n in range(SECTORS):
            file.write(struct.pack("<128I", *((n * 0x9e3779b1 + i) & 0xffffffff for i in range(128))))


def run(program, folder, image, seed, steps, flags, accel):
    """What it printed; ends the test when it did not end well."""
    bios, said = os.path.join(folder, "bios"), os.path.join(folder, "said")
    data = bytearray(image)
    data[SEED_AT:SEED_AT + 12] = struct.pack("<III", seed, steps, flags)
    with open(bios, "wb") as file:
        file.write(data)
    command = [program, "-accel", accel, "-m", "32", "-bios", bios, "-nodefaults", "-vga", "std", "-device", "e1000,romfile=", "-display", "none",
               "-debugcon", f"file:{said}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive",
               f"file={folder}/disk,format=raw,snapshot=on", "-no-reboot"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT)
        status, errors = done.returncode, done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired:
        status, errors = f"nothing within {LIMIT} s", ""
    with open(said, encoding="latin-1") as file:
        text = file.read()
    if status != WELL:
        sys.exit(f"seed {seed}, {steps} steps, flags {flags}, {os.path.basename(program)} -accel {accel}: status {status}\n{text[-400:]}\n{errors[-2000:]}")
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--qemu", action="store_true")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("NETLAB_TEST_SEED", "1")))
    parser.add_argument("--seeds", type=int, default=40 if FULL else 3)
    parser.add_argument("--steps", type=int, default=20000 if FULL else 1500)
    args = parser.parse_args()
    with open(args.image, "rb") as file:
        image = file.read()
    qemu = shutil.which("qemu-system-i386")
    if args.qemu and not qemu:
        print("skipped: no qemu-system-i386 (Debian package qemu-system-x86)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="netlab-moves-") as folder:
        write_disk(os.path.join(folder, "disk"))
        for seed in range(args.seed, args.seed + args.seeds):
            if args.qemu:
                said = {run(qemu, folder, image, seed, QEMU_STEPS, ONLY_SURE, "tcg"), run(args.emulator, folder, image, seed, QEMU_STEPS, ONLY_SURE, "jit")}
            else:
                said = {run(args.emulator, folder, image, seed, args.steps, 0, accel) for accel in ENGINES}
            if len(said) != 1:
                sys.exit(f"seed {seed}: not all say the same:\n" + "\n".join(sorted(said)))
    print(f"{args.seeds} seeds from {args.seed}, {QEMU_STEPS if args.qemu else args.steps} steps: {'QEMU gives our sums' if args.qemu else 'every engine as the model'}")


main()
