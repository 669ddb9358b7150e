#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Runs one bare-metal image (see bare/rt.h) and compares its transcript.

  test_bare.py --runner bare-run  --image bare-gates --golden bare-gates.txt     our CPU against the golden file
  test_bare.py --qemu             --image bare-gates --golden bare-gates.txt     QEMU against the same file
  test_bare.py --emulator netlab-emu --image ... --golden ...                    the whole emulator
  add --update to write the golden file from what ours (and QEMU, when it is there) says: then read the diff.

A golden file holds what the manual says. Lines that start with '#' are notes, but for two kinds:

  #qemu-instead N    the N lines before are, in QEMU, the '#qemu ' lines that follow (perhaps none): there its
                     translator is known to differ from the manual (it checks no limits, for one)
  #qemu-stops        QEMU is not compared from here on

QEMU may say either: what is noted, or, should it have learnt, what the manual says. Exit status 77: no QEMU.
"""
import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile

TIME_LIMIT = 60
QEMU_TIME_LIMIT = 10
LOCKSTEP_DIFFERENCE = 4  # netlab-emu's exit status


def run_ours(runner, image, options=()):
    done = subprocess.run([runner, *options, image], stdout=subprocess.PIPE, timeout=TIME_LIMIT)
    if done.returncode == 77:
        print("skipped: bare-run says it cannot")
        sys.exit(77)
    if done.returncode:
        sys.exit(f"{os.path.basename(image)}: bare-run ended with {done.returncode}; its last lines:\n"
                 + "\n".join(done.stdout.decode(errors="replace").splitlines()[-5:]))
    return done.stdout.decode().splitlines()


def run_pc(command, image, limit=QEMU_TIME_LIMIT):
    """QEMU or anything with its options; may crash or hang in the weeds: what was said until then counts."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        path = os.path.join(folder, "transcript")
        process = subprocess.Popen(command + ["-cpu", "n270", "-m", "64", "-kernel", image, "-debugcon", f"file:{path}",
                                              "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-display", "none",
                                              "-no-reboot", "-nodefaults"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode == LOCKSTEP_DIFFERENCE:
            errors.seek(0)
            sys.exit(errors.read().decode(errors="replace"))
        if not os.path.exists(path):
            sys.exit(f"{command[0]} wrote no debug port file; run it by hand: {' '.join(process.args)}")
        with open(path, errors="replace") as f:
            return f.read().splitlines()


def read_golden(path):
    """Segments [ours, qemu's or None], and whether QEMU goes to the end."""
    segments, stops = [], None
    with open(path) as f:
        lines = f.read().splitlines()
    i = 0
    while i < len(lines):
        line = lines[i]
        i += 1
        if line == "#qemu-stops":
            stops = len(segments)
        elif line.startswith("#qemu-instead "):
            count = int(line.split()[1])
            ours = []
            for _ in range(count):
                ours.insert(0, segments.pop()[0][0])
            theirs = []
            while i < len(lines) and lines[i].startswith("#qemu "):
                theirs.append(lines[i][len("#qemu "):])
                i += 1
            segments.append([ours, theirs])
        elif not line.startswith("#"):
            segments.append([[line], None])
    return segments, stops


def check_ours(segments, ours):
    expected = [line for segment in segments for line in segment[0]]
    if expected == ours:
        print(f"{len(ours)} lines as in the golden file")
        return True
    for line in list(difflib.unified_diff(expected, ours, "golden", "this run", lineterm="", n=3))[:80]:
        print(line)
    return False


def check_qemu(segments, stops, theirs):
    at = 0
    for number, (ours, qemu) in enumerate(segments):
        if stops is not None and number >= stops:
            print(f"{at} lines compared; from there on QEMU is not asked")
            return True
        for expected in [qemu, ours]:
            if expected is not None and theirs[at:at + len(expected)] == expected:
                at += len(expected)
                break
        else:
            print(f"line {at + 1} of QEMU's transcript\n  is        {theirs[at:at + 1]}\n  manual    {ours[:1]}")
            if qemu is not None:
                print(f"  known     {qemu[:1]}")
            return False
    print(f"{at} lines compared")
    return at == len(theirs)


def update(path, ours, theirs):
    """Keeps the notes at the head of an existing file."""
    notes = []
    if os.path.exists(path):
        with open(path) as f:
            for line in f:
                if not line.startswith("#") or line.startswith("#qemu"):
                    break
                notes.append(line.rstrip("\n"))
    out = list(notes)
    if theirs is None:
        out += ["#qemu-stops"] + ours
    else:
        for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
            if tag == "equal":
                out += ours[a1:a2]
            elif a2 == len(ours) and a2 - a1 > 0 and b2 - b1 < (a2 - a1) // 2:
                out += ["#qemu-stops"] + ours[a1:a2]
            else:
                if a1 == a2:  # QEMU has more: hang it on the line before
                    a1, b1 = a1 - 1, b1 - 1
                    out.pop()
                out += ours[a1:a2] + [f"#qemu-instead {a2 - a1}"] + ["#qemu " + line for line in theirs[b1:b2]]
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runner")
    parser.add_argument("--jit", action="store_true", help="with --runner: by the translator")
    parser.add_argument("--emulator")
    parser.add_argument("--lockstep", action="store_true", help="with --emulator: interpreter and translator side by side")
    parser.add_argument("--links", type=int, help="with --lockstep: by stretches of so many blocks, linked and hot")
    parser.add_argument("--qemu", action="store_true")
    parser.add_argument("--image", required=True)
    parser.add_argument("--golden", required=True)
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()
    qemu = shutil.which("qemu-system-i386") if args.qemu else None

    if args.update:
        update(args.golden, run_ours(args.runner, args.image),
               run_pc([qemu, "-accel", "tcg"], args.image) if qemu else None)
        return
    segments, stops = read_golden(args.golden)
    ok = True
    if args.runner:
        ok = check_ours(segments, run_ours(args.runner, args.image, ["--jit"] if args.jit else []))
    if args.emulator:
        engine = ["-accel", "jit,lockstep=on" + (f",links={args.links},window=2" if args.links else "")] if args.lockstep else []
        ok = check_ours(segments, run_pc([args.emulator, *engine], args.image, TIME_LIMIT)) and ok
    if args.qemu:
        if not qemu:
            print("skipped: no qemu-system-i386 (Debian package qemu-system-x86)")
            sys.exit(77)
        if stops == 0:
            print("skipped: QEMU knows nothing of what this image asks")
            sys.exit(77)
        ok = check_qemu(segments, stops, run_pc([qemu, "-accel", "tcg"], args.image)) and ok
    sys.exit(0 if ok else 1)


main()
