#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Debian's gdb on netlab-emu: breakpoints, watchpoints, steps, registers, memory, calls, the monitor behind it, interrupting a
running guest, and what is left behind when gdb goes away. Each case is a list of gdb's commands and what it must say.

  test_gdb.py netlab-emu guest [accel …]      ends with 77 when there is no gdb
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import listens, machine_status

LIMIT = 60


class Machine:
    """A stopped machine that listens for gdb and QMP."""

    def __init__(self, emulator, accel, guest, folder, *more):
        self.gdb, self.qmp = f"{folder}/gdb", f"{folder}/qmp"
        self.process = subprocess.Popen(
            [emulator, "-accel", accel, "-m", "16", "-nodefaults", "-nic", "none", "-display", "none", "-kernel", guest, "-gdb",
             f"unix:{self.gdb}", "-qmp", f"unix:{self.qmp},server=on,wait=off", *more],
            stdin=subprocess.DEVNULL)
        until = time.monotonic() + LIMIT
        while not (listens(self.gdb) and listens(self.qmp)):
            if time.monotonic() > until or self.process.poll() is not None:
                sys.exit("netlab-emu did not open its socket")
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def status(self):
        return machine_status(self.qmp, LIMIT)

    def await_status(self, wanted):
        until = time.monotonic() + LIMIT
        while self.status() != wanted:
            if time.monotonic() > until:
                sys.exit(f"the machine's status is {self.status()}, not {wanted}")
            time.sleep(0.01)


def gdb(machine, guest, *commands):
    words = ["gdb", "-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off", "-ex", f"target remote {machine.gdb}"]
    for command in commands:
        words += ["-ex", command]
    done = subprocess.run([*words, guest], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=LIMIT)
    return done.stdout


def expect(said, *patterns):
    at = 0
    for pattern in patterns:
        found = re.compile(pattern).search(said, at)
        if not found:
            sys.exit(f"gdb does not say {pattern!r} (in this order) but:\n{said}")
        at = found.end()


def test_breakpoints(start, guest):
    with start("-S") as machine:
        said = gdb(machine, guest, "break square", "continue", "print number", "backtrace", "continue", "print number", "finish",
                   "print counter", "tbreak square if number == 500", "delete 1", "continue", "print number", "info breakpoints")
        expect(said, r"Breakpoint 1, square \(number=0\)", r"\$1 = 0", r"#0 +square \(number=0\)", r"#1 .* start \(\)",
               r"Breakpoint 1, square \(number=1\)", r"\$2 = 1", r"Value returned is \$3 = 1", r"\$4 = 2", r"square \(number=500\)",
               r"\$5 = 500", r"No breakpoints")
    with start("-S") as machine:  # before the code is there, in hardware's name
        expect(gdb(machine, guest, "hbreak units", "continue", "print counter"), r"units \(\)", r"\$1 = 100000")


def test_watchpoints(start, guest):
    with start("-S") as machine:
        said = gdb(machine, guest, "hbreak units", "continue", "watch watched", "continue", "continue", "print counter")
        expect(said, r"Hardware watchpoint 2: watched", r"Old value = 0\n+New value = ", r"Old value = .*\n+New value = ", r"\$1 = 101000")
    with start("-S") as machine:
        said = gdb(machine, guest, "rwatch other[2]", "awatch other[3]", "continue", "print counter")
        expect(said, r"\nHardware access \(read/write\) watchpoint 2: other\[3\]\n\nOld value = 0\nNew value = 3\n", r"\$1 = 4")


def test_steps(start, guest):
    with start("-S") as machine:
        said = gdb(machine, guest, "break start", "continue", "next", "next", "step", "info line", "stepi 3", "info registers eip cr0",
                   "print $eflags", "print result", "nexti", "next", "print result")
        expect(said, r"Breakpoint 1, start", r"sum \+= square", r"square \(number=0\)", r"eip +0x[0-9a-f]+", r"cr0 +0x11", r"\$1 = \[", r"\$2 = 0", r"\$3 = 0")


def test_memory_and_registers(start, guest):
    with start("-S") as machine:
        said = gdb(machine, guest, "hbreak units", "continue", "print (char*)text", "set var text[0] = 'J'", "print (char*)text",
                   "print factorial(5)", "next", "info float", "print $xmm3.v4_float[0]", "print $st1", "set $eax = 0x1234",
                   "print/x $eax", "x/2i $eip", "set var watched = 7", "print watched", "monitor info status", "print $mxcsr",
                   "x/1xw 0xf0000000")
        expect(said, r'"hello"', r'"Jello"', r"= 120", r"R7: Valid   0x4000c90fdaa22168c235", r"= 3\.14159", r"= 3\.14159265", r"0x1234",
               r"=> 0x", r"= 7", r"VM status: paused", r"Cannot access memory at address 0xf0000000")


def test_interrupt_and_leave(start, guest):
    with start() as machine:  # it runs; gdb stops it
        machine.await_status("running")
        expect(gdb(machine, guest, "info registers eip", "hbreak square", "detach"), r"eip +0x1")
        machine.await_status("running")
        process = subprocess.Popen(["gdb", "-nx", "-q", "-ex", f"target remote {machine.gdb}", guest], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        machine.await_status("paused")
        process.kill()  # and is gone without a word
        process.wait()
        machine.await_status("running")


def talk(sock, text):
    sock.sendall(text)
    return sock.recv(65536)


def test_hostile_peer(start, guest):
    """What no debugger sends; the stub answers or ignores it, and still works."""
    with start("-S") as machine, socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(LIMIT)
        sock.connect(machine.gdb)

        def packet(body):
            return b"$" + body + b"#%02x" % (sum(body) & 255)
        for body in (b"m,", b"m0", b"mffffffffff,ffffffff", b"M0,4:zz", b"M0,ffffffff:00", b"X0,3:}", b"Z9,0,0", b"Z2,0,ffffffff",
                     b"P99=00", b"Pffffffff=0", b"p", b"G00", b"qXfer:features:read:target.xml:ffffffff,ffffffff", b"qRcmd,1",
                     b"vCont;", b"\xff\x00\x01", b""):
            answer = talk(sock, packet(body))
            if not answer.startswith(b"+"):
                sys.exit(f"{body!r} is answered by {answer!r}")
        sock.sendall(b"$" + b"a" * 100000 + b"#00+++---\x03\x03" + packet(b"?"))
        seen = b""
        while b"T05" not in seen:
            seen += sock.recv(65536)
    # every place for a point is taken; one more is refused
    with start("-S") as machine:
        said = gdb(machine, guest, *[f"hbreak *{0x100000 + i}" for i in range(300)], "continue")
        expect(said, r"Cannot insert hardware breakpoint|Could not insert hardware breakpoints")


def main():
    emulator, guest, accels = sys.argv[1], sys.argv[2], sys.argv[3:] or ["jit"]
    if not shutil.which("gdb"):
        print("skipped: no gdb (Debian package gdb)")
        sys.exit(77)
    for accel in accels:
        for name, test in sorted(globals().items()):
            if not name.startswith("test_"):
                continue
            with tempfile.TemporaryDirectory() as folder:
                test(lambda *more, f=folder, a=accel: Machine(emulator, a, guest, tempfile.mkdtemp(dir=f), *more), guest)
            print(f"{name} with {accel}: passed")


main()
