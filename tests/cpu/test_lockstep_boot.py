#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Interpreter and translator side by side on whole machines (-accel jit,lockstep=on).

  test_lockstep_boot.py --emulator netlab-emu [--image mini,mini-pae] [--sample N] [--links N] [--seconds N]
  test_lockstep_boot.py --emulator netlab-emu --plant bare-faults     false differences must be found

The first boots an image of `netlab image build` until its init speaks, the first executions of every block compared (all of them
with --sample 0: many minutes). With --links they are compared by stretches of blocks, linked and hot. Exit status 77 with the reason when there is no image.
"""
import argparse
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time

DIFFERENCE = 4  # the emulator's exit status
READY = re.compile(rb"netlab:|login:|/ #|# \x1b\[6n")


def image_folder(name):
    roots = [os.environ.get("NETLAB_IMAGE_DIR"), pathlib.Path(__file__).resolve().parents[2] / "build/images",
             pathlib.Path(os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local/share") / "netlab/images"]
    for root in filter(None, roots):
        folder = pathlib.Path(root) / name
        if (folder / "vmlinuz").exists() and (folder / "initrd.cpio").exists():
            return folder
    return None


def boot(emulator, name, sample, links, seconds):
    folder = image_folder(name)
    description = json.loads((folder / "image.json").read_text())
    accel = "jit,lockstep=on" + (f",sample={sample}" if sample else "") + (f",links={links},window=50" if links else "")
    command = [emulator, "-accel", accel, "-m", f"{description.get('memory', 96)}M", "-kernel", str(folder / "vmlinuz"),
               "-initrd", str(folder / "initrd.cpio"), "-append", description["append"], "-nic", "none", "-display", "none",
               "-no-reboot", "-monitor", "none", "-serial", "stdio"]
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        said = b""
        try:
            while not READY.search(said):
                left = seconds - (time.monotonic() - began)
                ready = left > 0 and select.select([process.stdout], [], [], left)[0]
                chunk = os.read(process.stdout.fileno(), 65536) if ready else b""
                if not chunk:
                    break
                said += chunk
        finally:
            process.kill()
            status = process.wait()
        errors.seek(0)
        complaint = errors.read().decode(errors="replace")
    if READY.search(said):
        print(f"{name}: init spoke after {time.monotonic() - began:.0f} s and no difference; "
              + (complaint.strip().splitlines() or ["no progress was due"])[-1])
        return True
    print(f"{name}: ended with {status} after {time.monotonic() - began:.0f} s; the console's end:")
    print(said[-1500:].decode(errors="replace"))
    print(complaint)
    return False


def run_bare(emulator, image, options, seconds=120):
    command = [emulator, "-m", "64", "-kernel", image, "-nodefaults", "-display", "none", "-no-reboot", "-nic", "none",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *options]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds)


def plants(emulator, image):
    """One of each kind: a register, a flag, an XMM register, a byte in memory or ESP."""
    for number, what, more in [(2000, "ebx:", ""), (3001, "status flags:", ""), (2502, "xmm [3]:", ""), (4003, None, ""),
                               (2000, "ebx:", ",links=20"), (2003, None, ",links=20")]:
        done = run_bare(emulator, image, ["-accel", f"jit,lockstep=on,plant={number}{more}"])
        found = re.search(r"differ in block (\d+), the (\d+)\. compared", done.stderr)
        if done.returncode != DIFFERENCE or not found or int(found[2]) != number + 1:
            print(f"planted at comparison {number}, not found there: status {done.returncode}\n{done.stderr[-3000:]}")
            return False
        if not re.search(r"RAM at|esp:", done.stderr) if what is None else what not in done.stderr:
            print(f"planted at comparison {number}, but the report does not name it\n{done.stderr[-3000:]}")
            return False
        if "guest code" not in done.stderr or "translation\n0x" not in done.stderr or "again: " not in done.stderr:
            print(f"the report is not whole\n{done.stderr[-3000:]}")
            return False
    print("six planted differences were found where they were planted")
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", required=True)
    parser.add_argument("--image", default="mini")
    parser.add_argument("--sample", type=int, default=32)
    parser.add_argument("--links", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--plant")
    args = parser.parse_args()
    if args.plant:
        sys.exit(0 if plants(args.emulator, args.plant) else 1)
    good = True
    names = args.image.split(",")
    missing = [name for name in names if not image_folder(name)]
    for name in missing:
        print(f"skipped: no image '{name}': netlab image build {name}")
    for name in names:
        good = (name in missing or boot(args.emulator, name, args.sample, args.links, args.seconds)) and good
    sys.exit(0 if good and not missing else 77 if good and len(missing) == len(names) else 1 if not good else 0)


main()
