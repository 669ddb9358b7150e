#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
docs/qemu-options.md against the emulator: says each row's example to netlab-emu, with -check, so that nothing is run. What the page
says works or is taken must not be refused as missing or unknown; what it says is planned or never to come must be, and with more
than that as an answer where the page has something to say.

  check_options.py netlab-emu docs/qemu-options.md kernel
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile

MISSING = re.compile(r"does not have yet|not in netlab-emu yet|unknown option|no character back end|is for other architectures")
KINDS = ("works", "taken", "planned", "never")


def rows(page):
    for number, line in enumerate(open(page, encoding="utf-8"), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if len(cells) >= 3 and cells[0].startswith("`-"):
            yield number, cells[0], cells[1], cells[2].strip("`")


def main():
    emulator, page, kernel = (os.path.abspath(word) for word in sys.argv[1:4])
    wrong, seen = [], 0
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/disk", "wb") as disk:
            disk.truncate(65536)
        for name in ("fifo.in", "fifo.out"):
            os.mkfifo(f"{folder}/{name}")
        os.symlink(kernel, f"{folder}/kernel")
        for number, option, kind, example in rows(page):
            seen += 1
            words = shlex.split(example)
            boots = [] if {"-kernel", "-bios", "-pflash"} & set(words) else ["-kernel", "kernel"]
            done = subprocess.run([emulator, "-check", *boots, *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=60, errors="replace")
            first = done.stdout.strip().splitlines()[:1]
            missing = bool(MISSING.search(done.stdout)) and done.returncode != 0
            if kind not in KINDS:
                wrong.append(f"line {number}: '{kind}' is none of {', '.join(KINDS)}")
            elif missing != (kind in ("planned", "never")):
                wrong.append(f"line {number}: {option} is '{kind}', and `netlab-emu {example}` says {first}")
            elif done.returncode < 0:
                wrong.append(f"line {number}: `netlab-emu {example}` dies of signal {-done.returncode}")
    if seen < 100:
        wrong.append(f"only {seen} rows were found")
    print("\n".join(wrong) if wrong else f"{seen} rows hold")
    sys.exit(bool(wrong))


main()
