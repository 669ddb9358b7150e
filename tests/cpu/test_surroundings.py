#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
The translator in surroundings that a host may have in store for it: signals blocked by whoever started it, a limit for file sizes
(which memory files count against) or for address space, no memory files, no executable memory, none that ever was writable. Guests
run rightly in each, by the interpreter where it must be, which is said then.

  test_surroundings.py --emulator netlab-emu --image bare-limits --golden bare-limits.txt
"""
import argparse
import ctypes
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile

TIME_LIMIT = 120
WARNING = b"the interpreter runs instead of the translator"
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_MDWE = 38, 22, 65
SYS_MMAP, SYS_MEMFD_CREATE = 9, 319
libc = ctypes.CDLL(None, use_errno=True)


def prctl(*values):
    return libc.prctl(*(ctypes.c_ulong(value) for value in (values + (0, 0, 0, 0))[:5]))


def seccomp(*program):
    """A filter of (code, if true, if false, operand)."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    if prctl(PR_SET_NO_NEW_PRIVS, 1) or prctl(PR_SET_SECCOMP, 2, ctypes.addressof(head)):
        os._exit(77)


ALLOW, ENOSYS, EPERM = 0x7FFF0000, 0x50000 + 38, 0x50000 + 1
LOAD, EQUAL, SET, RETURN = 0x20, 0x15, 0x45, 0x06


def signals_blocked():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def small_files():
    # Not raised: what the tests' own log needs is still there.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def little_space():
    resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))


def no_windows():
    resource.setrlimit(resource.RLIMIT_AS, (5 << 30, 5 << 30))


def no_memory_files():
    seccomp((LOAD, 0, 0, 0), (EQUAL, 0, 1, SYS_MEMFD_CREATE), (RETURN, 0, 0, ENOSYS), (RETURN, 0, 0, ALLOW))


def nothing_executable():
    """Libraries are; a shared mapping is not."""
    seccomp((LOAD, 0, 0, 0), (EQUAL, 0, 5, SYS_MMAP), (LOAD, 0, 0, 32), (SET, 0, 3, 4), (LOAD, 0, 0, 40), (SET, 0, 1, 1),
            (RETURN, 0, 0, EPERM), (RETURN, 0, 0, ALLOW))


def never_both():
    """Writable and executable: neither at once nor one after the other. Kernels before 6.3 do not know it, no harm done."""
    prctl(PR_SET_MDWE, 1)


# what is done before the emulator starts, and which call is said to have failed where the translator cannot run then
SURROUNDINGS = [(signals_blocked, None), (small_files, b"ftruncate"), (little_space, b"ulimit -v"), (no_windows, None),
                (no_memory_files, b"memfd_create"), (nothing_executable, b"mmap"), (never_both, None)]


def start(emulator, image, prepare, *more):
    return subprocess.run([emulator, "-cpu", "n270", "-m", "64", "-kernel", image, "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                           "-display", "none", "-no-reboot", "-nodefaults", *more],
                          preexec_fn=prepare, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=TIME_LIMIT)


def run(emulator, image, expected, prepare, lacking):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "transcript")
        done = start(emulator, image, prepare, "-debugcon", f"file:{path}")
        if done.returncode == 77:
            return "skipped: no seccomp filters here"
        if done.returncode != 1:  # what isa-debug-exit makes of 0
            return f"ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
        with open(path) as f:
            if f.read().splitlines() != expected:
                return "the transcript is not as in the golden file"
    if (WARNING in done.stderr) != bool(lacking) or (lacking or b"") not in done.stderr:
        return "says " + (done.stderr.decode(errors="replace") or "nothing about the interpreter")
    return lockstep_refused(emulator, image, prepare) if lacking else None


def lockstep_refused(emulator, image, prepare):
    """Nothing to compare: that is an error, which says what to do."""
    done = start(emulator, image, prepare, "-accel", "jit,lockstep=on")
    if done.returncode != 1 or b"lockstep=on" not in done.stderr or b"-accel interp" not in done.stderr:
        return f"with lockstep=on ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--golden", required=True)
    args = parser.parse_args()
    failed = False

    with open(args.golden) as f:
        expected = [line for line in f.read().splitlines() if not line.startswith("#")]
    for prepare, lacking in SURROUNDINGS:
        wrong = run(args.emulator, args.image, expected, prepare, lacking)
        print(f"{prepare.__name__}: {wrong or 'right'}")
        failed |= bool(wrong) and not wrong.startswith("skipped")
    sys.exit(failed)


main()
