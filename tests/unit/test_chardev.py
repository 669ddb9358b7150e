#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
chardev-change and chardev-remove while each kind of user has the port: the same dialogue is held with netlab-emu and, where it is
installed, with QEMU. Then a boot sector that writes to the serial port all the time: its bytes go where the port leads at that time.

  test_chardev.py netlab-emu [qemu-system-i386]
"""
import os
import shutil
import signal
import sys
import tempfile
import time

from qmp_machine import LIMIT, Machine

WORDS = (
    "-drive", "file=boot,format=raw,if=ide", "-chardev", "null,id=s", "-serial", "chardev:s", "-chardev", "null,id=p", "-parallel", "chardev:p",
    "-chardev", "ringbuf,id=d", "-device", "isa-debugcon,chardev=d", "-chardev", "socket,path=mon,server=on,wait=off,id=m", "-mon", "m",
    "-chardev", "socket,path=qmp,server=on,wait=off,id=q", "-mon", "q,mode=control", "-chardev", "null,id=x,mux=on", "-serial", "chardev:x",
    "-chardev", "socket,path=gdb,server=on,wait=off,id=g", "-gdb", "chardev:g", "-chardev", "null,id=gf",
    "-netdev", "user,id=n,guestfwd=tcp:10.0.2.100:7-chardev:gf", "-chardev", "null,id=u")
FILE = {"type": "file", "data": {"out": "out"}}
MISSING = {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "nix"}}, "server": False}}
DIALOGUE = [("chardev-change", {"id": name, "backend": FILE}) for name in ("s", "p", "d", "m", "q", "x", "g", "gf", "u", "nix")]
DIALOGUE += [("chardev-remove", {"id": name}) for name in ("s", "p", "d", "m", "q", "g", "gf", "u", "u")]
DIALOGUE += [("chardev-change", {"id": "s", "backend": {"type": "ringbuf", "data": {}}}), ("ringbuf-read", {"device": "s", "size": 10}),
             ("chardev-change", {"id": "s", "backend": {"type": "null", "data": {}}})]

# Writes "S" to COM1 for ever: cli (firmware writes there, too); mov dx, 3fdh; in al, dx; test al, 20h; jz; mov dl, f8h; mov al, 'S'; out dx, al; jmp.
BOOT = bytes.fromhex("fabafd03eca82074f8b2f8b053eeebf1")


def hold(program, folder):
    machine = Machine(program, folder, "-S", *WORDS)
    try:
        answers = [machine.ask(command, arguments) for command, arguments in DIALOGUE]
        ports = {row["label"]: row["filename"].split(":")[0] for row in machine.ask("query-chardev")["return"]}
        machine.end()
    finally:
        machine.kill()
    return answers, {name: ports.get(name) for name in ("s", "p", "d", "gf", "u")}


def until(what, condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def tail(path):
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as file:
        return file.read()[-100:]


def running(program, folder):
    """The guest writes on and on; each file gets some of it."""
    files = [os.path.join(folder, name) for name in ("one", "two", "three")]
    machine = Machine(program, folder, "-drive", "file=boot,format=raw", "-chardev", f"file,id=s,path={files[0]}", "-serial", "chardev:s")
    try:
        for i, path in enumerate(files):
            if i:
                answer = machine.ask("chardev-change", {"id": "s", "backend": {"type": "file", "data": {"out": path}}})
                assert "return" in answer, answer
                before = os.path.getsize(files[i - 1])
            until(f"bytes in {path}", lambda path=path: tail(path) == b"S" * 100)  # behind the firmware's own words
            if i:
                assert os.path.getsize(files[i - 1]) == before, "the old file still grows"
        answer = machine.ask("chardev-change", {"id": "s", "backend": {"type": "file", "data": {"out": folder}}})
        assert "error" in answer, answer
        before = os.path.getsize(files[2])
        until("the port goes on after a change that failed", lambda: os.path.getsize(files[2]) > before)
        answer = machine.ask("netdev_add", {"type": "user", "id": "n1", "guestfwd": [{"str": "tcp:10.0.2.100:9-chardev:nix"}]})
        assert "there is no -chardev with id=nix" in answer.get("error", {}).get("desc", ""), answer
        machine.end()
    finally:
        machine.kill()
    for path in files[1:]:
        with open(path, "rb") as file:
            content = file.read()
        odd = [(at, byte) for at, byte in enumerate(content) if byte != ord("S")]
        assert content and not odd, f"{path}: {len(content)} bytes, {odd[:20]}"


def main():
    program = os.path.abspath(sys.argv[1])
    qemu = shutil.which(sys.argv[2] if len(sys.argv) > 2 else "qemu-system-i386")
    signal.alarm(5 * LIMIT)
    with tempfile.TemporaryDirectory(prefix="netlab-chardev-") as folder:
        with open(os.path.join(folder, "boot"), "wb") as file:
            file.write(BOOT.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
        ours, ports = hold(program, folder)
        assert ports == {"s": "null", "p": "null", "d": "ringbuf", "gf": "null", "u": None}, ports
        assert "return" in ours[0] and "hotswap" in ours[1]["error"]["desc"], ours
        if qemu:
            for name in ("mon", "qmp", "gdb"):
                if os.path.exists(os.path.join(folder, name)):
                    os.unlink(os.path.join(folder, name))
            theirs, their_ports = hold(qemu, folder)
            for (command, arguments), mine, other in zip(DIALOGUE, ours, theirs):
                assert mine == other, f"{command} {arguments}: {mine}, QEMU {other}"
            assert ports == their_ports, f"{ports}, QEMU {their_ports}"
        running(program, folder)
    print(f"{len(DIALOGUE)} commands{' like QEMU' if qemu else ''}; a guest that writes on")


main()
