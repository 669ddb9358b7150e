#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
What shows the translator at work: -d in_asm,op,out_asm,exec,int with -D, --trace tb, -perfmap, and `info jit`.

  test_trace.py --emulator netlab-emu --image bare-faults

Addresses and sizes in the map for perf must be those of the translations, and lie in the mapping that is executable.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines

SECONDS = 60


def check(good, what, *more):
    if not good:
        sys.exit("\n".join([f"failed: {what}", *(str(m)[-3000:] for m in more)]))


def machine(emulator, image, options):
    command = [emulator, "-accel", "jit", "-m", "64", "-kernel", image, "-nodefaults", "-display", "none", "-no-reboot",
               "-nic", "none", *options]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process):
    """Runs to isa-debug-exit."""
    try:
        _, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
        sys.exit(f"the image did not end\n{errors.decode(errors='replace')[-2000:]}")
    check(process.returncode == 1, f"exit status 1, not {process.returncode}", errors.decode(errors="replace"))


def traces(emulator, image, folder):
    path = folder / "trace"
    finish(machine(emulator, image, ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-D", str(path),
                                     "-d", "in_asm,op,out_asm,int", "--trace", "tb"]))
    text = path.read_text(errors="replace")
    blocks = re.findall(r"^IN:\n((?:0x[0-9a-f]{8}:.*\n)+)", text, re.M)
    check(len(blocks) > 50, "guest code of each block", text)
    check(all(re.match(r"0x[0-9a-f]{8}:  [0-9a-f]{2,24} +\S", line) for block in blocks for line in block.splitlines()),
          "guest code has address, bytes and text", text)
    ways = re.findall(r"^(\S+) +(\d+) bytes +0x[0-9a-f]{8}:", text, re.M)
    check({way for way, _ in ways} == {"emitted", "interpreter"}, "how instructions were translated", text)
    check(len(ways) == sum(len(block.splitlines()) for block in blocks), "each instruction once in IN and in OP", text)
    sizes = [int(n) for n in re.findall(r"^OUT: \[size=(\d+)\]", text, re.M)]
    check(len(sizes) == len(blocks), "host code of each block", text)
    made = re.findall(r" tb +([0-9a-f]{8}) cpl (\d): (\d+) instructions, (\d+) bytes, to (\d+) bytes at", text)
    check([int(row[4]) for row in made] == sizes, "sizes in tb's lines", text)
    check([int(row[2]) for row in made] == [len(block.splitlines()) for block in blocks], "instructions in tb's lines", text)
    check(re.search(r" int +vector 0d exception error [0-9a-f]{4} at 0008:[0-9a-f]{8} cpl 0 eflags", text), "a #GP with its state", text)
    return len(blocks)


def executions(emulator, image, folder):
    path = folder / "exec"
    finish(machine(emulator, image, ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-D", str(path), "-d", "exec"]))
    entered = re.findall(r" exec +([0-9a-f]{4}):([0-9a-f]{8}) cpl ", path.read_text())
    counts = {}
    for place in entered:
        counts[place] = counts.get(place, 0) + 1
    # A block that loops shows each time: nothing is linked.
    check(len(entered) > 5000 and max(counts.values()) > 100, "blocks as they are entered", entered[:20])
    return len(entered)


def monitor(path, command):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(SECONDS)
        s.connect(str(path))
        stream = Lines(s)
        json.loads(stream.readline())

        def ask(what, **arguments):
            stream.write(json.dumps({"execute": what, "arguments": arguments}) + "\n")
            stream.flush()
            while True:
                answer = json.loads(stream.readline())
                if "event" not in answer:
                    check("return" in answer, f"{what} is answered", answer)
                    return answer["return"]
        ask("qmp_capabilities")
        return ask(command) if command.startswith("x-") else ask("human-monitor-command", **{"command-line": command})


def perfmap(emulator, image, folder):
    """The machine stays up at the image's end, since there is no port to exit by."""
    path, control = folder / "out", folder / "qmp"
    process = machine(emulator, image, ["-perfmap", "-D", str(path), "-d", "out_asm", "-qmp", f"unix:{control},server=on,wait=off"])
    rows = pathlib.Path(f"/tmp/perf-{process.pid}.map")
    try:
        until = time.monotonic() + SECONDS
        size = -1
        while time.monotonic() < until:  # until nothing is added any more between two questions to the machine
            before, size = size, rows.stat().st_size if rows.exists() else -1
            if control.exists() and before == size > 5000:
                break
            if control.exists():
                statistics = monitor(control, "info jit")
        check(rows.exists(), "the map file", rows)
        named = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) (.+)$", rows.read_text(), re.M)
        maps = pathlib.Path(f"/proc/{process.pid}/maps").read_text()
        statistics = monitor(control, "info statistics")
        counted = monitor(control, "x-netlab-query-statistics")
        shown = path.read_text(errors="replace")
    finally:
        process.kill()
        process.communicate()
        rows.unlink(missing_ok=True)
    low, high = re.search(r"^([0-9a-f]+)-([0-9a-f]+) r-x\S* .*netlab-emu code", maps, re.M).groups()
    named = [(int(at, 16), int(size, 16), name) for at, size, name in named]
    check(all(int(low, 16) <= at and at + size <= int(high, 16) and size for at, size, _ in named), "all within the code memory",
          maps, named)
    out = re.findall(r"^OUT: \[size=(\d+)\]\n0x([0-9a-f]+): ", shown, re.M)
    blocks = [(at, size) for at, size, name in named if name.startswith("guest:")]
    check(len(blocks) > 50, "blocks by name", named)
    pairs = list(zip([(int(at, 16), int(size)) for size, at in out], blocks))
    check(all(a == b for a, b in pairs), "the map's addresses and sizes are the translations'", pairs[:20])
    ends = sorted(blocks)
    check(all(a[0] + a[1] <= b[0] for a, b in zip(ends, ends[1:])), "translations do not overlap", ends[:20])
    counters = counted["jit"]
    made = counters["translations"] + counters["hot-translations"]
    check(made <= len(blocks) + 200 and len(blocks) <= 2 * made and counters["code-bytes"] > 4096
          and 0 < counters["links-made"] and counted["cpu"]["exceptions"] > 0 and counted["jit-calls"], "counters by QMP", counted)
    check(re.search(r"^translations +\d+", statistics, re.M) and "interpreter functions called" in statistics, "info statistics", statistics)
    return len(blocks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", required=True)
    parser.add_argument("--image", required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        print(f"{traces(args.emulator, args.image, folder)} blocks traced, "
              f"{executions(args.emulator, args.image, folder)} executions, "
              f"{perfmap(args.emulator, args.image, folder)} blocks named for perf")


main()
