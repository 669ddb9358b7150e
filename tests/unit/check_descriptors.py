#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Files that are passed to the emulator open: -add-fd and /dev/fdset/N wherever a file is named, and QMP's add-fd, remove-fd, query-fdsets,
getfd and closefd with descriptors that come over the socket. What is passed has no name any more, so that it can be found by its set only.

  check_descriptors.py netlab-emu
"""
import array
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

EMU = os.path.abspath(sys.argv[1])
SECONDS = 120
DONE = 33
EXIT = b"\xb0\x4b\xe6\xe9" + b"\x66\xba\xf4\x00\xb0\x10\xee"  # 'K' to the debug port; exit code 33
SPIN = b"\xfb\xf4\xeb\xfd"


def kernel(code):
    load, flags = 0x100000, 1 << 16
    return struct.pack("<8I", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, load, load, 0, 0, load + 32) + code


def nameless(folder, data, mode=os.O_RDWR):
    """A descriptor of a file that nobody can open by name."""
    path = f"{folder}/passed"
    with open(path, "wb") as file:
        file.write(data)
    fd = os.open(path, mode)
    os.unlink(path)
    return fd


WORDS = ["-m", "16M", "-display", "none", "-nic", "none", "-serial", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]


def run(folder, fds, *words, code=DONE):
    done = subprocess.run([EMU, *WORDS, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SECONDS, cwd=folder, pass_fds=fds, check=False)
    assert done.returncode == code, f"{words}: exit code {done.returncode}, not {code}: {done.stdout}"
    return done.stdout


def command_line(folder):
    image = nameless(folder, kernel(EXIT), os.O_RDONLY)
    image = os.open(f"/proc/self/fd/{image}", os.O_RDONLY)
    out = nameless(folder, b"old text", os.O_WRONLY | os.O_CREAT)
    ram = nameless(folder, b"")
    disk = nameless(folder, bytes(1 << 20))
    log = nameless(folder, b"", os.O_WRONLY)
    blob = nameless(folder, b"blob", os.O_RDONLY)
    fds = (image, out, ram, disk, log, blob)
    sets = [word for n, fd in enumerate(fds) for word in ("-add-fd", f"fd={fd},set={n + 1},opaque=o{n}")]
    run(folder, fds, *sets, "-kernel", "/dev/fdset/1", "-debugcon", "file:/dev/fdset/2", "-mem-path", "/dev/fdset/3", "-hda", "/dev/fdset/4",
        "-d", "int", "-D", "/dev/fdset/5", "-fw_cfg", "name=opt/x,file=/dev/fdset/6")
    assert os.fstat(ram).st_size == 16 << 20, "guest RAM is not the file that was passed"
    assert os.fstat(out).st_size == 1, "the debug port did not write to the file that was passed"
    # of a set the one of the right access mode is taken
    reader = os.open(f"/proc/self/fd/{disk}", os.O_RDONLY)
    both = ["-add-fd", f"fd={reader},set=4", "-kernel", "/dev/fdset/1"]
    run(folder, (*fds, reader), *sets, *both, "-drive", "file=/dev/fdset/4,format=raw,readonly=on,if=none,id=d", "-device", "ide-cd,drive=d")
    text = run(folder, (image, reader), "-add-fd", f"fd={image},set=1", "-add-fd", f"fd={reader},set=4", "-kernel", "/dev/fdset/1", "-hda",
               "/dev/fdset/4", code=1)
    assert "/dev/fdset/4" in text and "O_RDWR" in text, text
    assert "-add-fd makes the set" in run(folder, (image,), "-add-fd", f"fd={image},set=1", "-kernel", "/dev/fdset/1", "-hda", "/dev/fdset/9",
                                          code=1)
    for words, part in ((("fd=987,set=1",), "Bad file descriptor"), (("fd=1,set=1",), "fd"), (("fd=7",), "set="), (("set=7",), "fd="),
                        (("fd=3,set=-1",), "set")):
        text = run(folder, (), "-add-fd", *words, "-kernel", "x", code=1)
        assert text.startswith("netlab-emu: -add-fd") and part in text, text
    for fd in (*fds, reader):
        os.close(fd)


class Machine:
    def __init__(self, folder, *words):
        with open(f"{folder}/kernel", "wb") as file:
            file.write(kernel(SPIN))
        self.process = subprocess.Popen([EMU, *WORDS, "-kernel", "kernel", "-qmp", "unix:qmp,server=on,wait=off", *words],
                                        stdin=subprocess.DEVNULL, cwd=folder)
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.begin(folder)
        except BaseException:
            self.end()
            raise

    def begin(self, folder):
        end = time.monotonic() + SECONDS
        while True:
            try:
                self.socket.connect(f"{folder}/qmp")
                break
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, "no QMP socket"
                time.sleep(0.02)
        self.stream = self.socket.makefile("r", encoding="utf-8")
        self.stream.readline()
        self.ask("qmp_capabilities")

    def say(self, command, fds=(), **arguments):
        text = json.dumps({"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}).encode()
        if fds:
            self.socket.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        else:
            self.socket.sendall(text)
        while True:
            answer = json.loads(self.stream.readline())
            if "return" in answer or "error" in answer:
                return answer

    def ask(self, command, fds=(), **arguments):
        answer = self.say(command, fds, **arguments)
        assert "return" in answer, f"{command}: {answer}"
        return answer["return"]

    def refuse(self, part, command, fds=(), **arguments):
        answer = self.say(command, fds, **arguments)
        assert "error" in answer and part in answer["error"]["desc"], f"{command}: {answer}"

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        self.socket.close()
        self.process.terminate()
        return self.process.wait(SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self.end() == 0


def over_the_socket(folder):
    with Machine(folder, "-drive", "if=none,id=cd,media=cdrom", "-device", "ide-cd,drive=cd", "-vga", "none") as machine:
        before = machine.open_files()
        machine.refuse("No file descriptor supplied", "add-fd")
        disc = nameless(folder, bytes(65536), os.O_RDONLY)
        first = machine.ask("add-fd", [disc], opaque="a disc")
        second = machine.ask("add-fd", [disc], fdset_id=7)
        assert first["fdset-id"] == 0 and second["fdset-id"] == 7 and first["fd"] != second["fd"], (first, second)
        machine.refuse("No file descriptor supplied", "add-fd")
        machine.refuse("non-negative", "add-fd", [disc], fdset_id=-1)
        sets = machine.ask("query-fdsets")
        assert sets == [{"fdset-id": 0, "fds": [{"fd": first["fd"], "opaque": "a disc"}]}, {"fdset-id": 7, "fds": [{"fd": second["fd"]}]}], sets
        machine.ask("human-monitor-command", command_line="change cd /dev/fdset/7 raw read-only")
        assert "/dev/fdset/7" in json.dumps(machine.ask("query-block"))
        # whoever has it open keeps it
        machine.ask("remove-fd", fdset_id=7, fd=second["fd"])
        machine.refuse("not found", "remove-fd", fdset_id=7)
        machine.refuse("not found", "remove-fd", fdset_id=0, fd=second["fd"] + 1000)
        machine.ask("remove-fd", fdset_id=0)
        assert machine.ask("query-fdsets") == []
        assert "/dev/fdset/7" in json.dumps(machine.ask("query-block"))
        machine.ask("human-monitor-command", command_line="eject -f cd")
        machine.ask("query-status", [disc, disc, disc])  # nobody asked for those
        machine.ask("getfd", [disc], fdname="x")
        machine.ask("getfd", [disc], fdname="x")  # in the place of the other
        machine.refuse("starting with a digit", "getfd", [disc], fdname="3x")
        machine.ask("closefd", fdname="x")
        machine.refuse("not found", "closefd", fdname="x")
        machine.refuse("has not been found", "netdev_add", type="socket", id="n", fd="x")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        machine.ask("getfd", [theirs.fileno()], fdname="cable")
        machine.ask("netdev_add", type="socket", id="n", fd="cable")
        theirs.close()
        assert "fd" in machine.ask("human-monitor-command", command_line="info network")
        machine.refuse("has not been found", "netdev_add", type="socket", id="n2", fd="cable")
        machine.ask("netdev_del", id="n")
        ours.settimeout(SECONDS)
        assert ours.recv(1) == b"", "the back end's socket is still open"
        ours.close()
        os.close(disc)
        machine.ask("add-fd", [os.open("/dev/null", os.O_RDONLY)])
        machine.ask("remove-fd", fdset_id=0)
        machine.say("getfd", fdname="none")  # takes what -1 above left, should there be one
        machine.say("closefd", fdname="none")
        assert machine.open_files() == before, "descriptors were left open"


def pictures(folder):
    with Machine(folder, "-vga", "std") as machine:
        target = nameless(folder, b"old", os.O_WRONLY)
        machine.ask("add-fd", [target], fdset_id=1)
        sizes = set()
        for _ in range(2):
            machine.ask("screendump", filename="/dev/fdset/1")
            sizes.add(os.fstat(target).st_size)
        assert len(sizes) == 1 and min(sizes) > 1000, sizes
        os.close(target)


def main():
    failed = 0
    for test in (command_line, over_the_socket, pictures):
        with tempfile.TemporaryDirectory(prefix="netlab-descriptors-") as folder:
            try:
                test(folder)
                print(f"ok {test.__name__}")
            except (AssertionError, OSError, subprocess.SubprocessError) as problem:
                failed += 1
                print(f"FAILED {test.__name__}: {problem}")
    sys.exit(failed != 0)


main()
