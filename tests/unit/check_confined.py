#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
A machine under -sandbox, all of whose groups are denied, does what a machine is asked for while it runs: NICs and back ends come and
go, media change, disks are read and written by their threads, the screen is shown and saved, gdb talks. What starts programs is
refused with a word on what to do. What the filter refuses is unit/sandbox's; hot-plug with a guest that uses it, curses and windows
are in e2e/hotplug, e2e/screen, e2e/window.

  check_confined.py netlab-emu
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines

EMU = os.path.abspath(sys.argv[1])
SECONDS = 120
TIGHT = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
# Writes its sector 0 to sector 1 (int 0x13), says 'B' on the debug port, and spins over more code than fits a few pages.
SECTOR = (b"\x31\xc0\x8e\xd8\x8e\xc0" + b"\xbb\x00\x7c\xb8\x01\x03\xb9\x02\x00\xba\x80\x00\xcd\x13" + b"\xb0\x42\xe6\xe9" +
          b"\xfb\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa"


def wait(condition, what):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def connect(path):
    end = time.monotonic() + SECONDS
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(SECONDS)
        try:
            one.connect(path)
            break
        except (ConnectionRefusedError, FileNotFoundError):  # its file is there a moment before it listens
            one.close()
            assert time.monotonic() < end, f"nobody listens on {path}"
            time.sleep(0.02)
    return one


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Machine:
    def __init__(self, folder, *words):
        self.folder = folder
        env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # which starts a process
        self.process = subprocess.Popen([EMU, "-m", "32M", "-display", "none", "-qmp", "unix:qmp,server=on,wait=off", "-debugcon",
                                         "file:out", *words], stdin=subprocess.DEVNULL, cwd=folder, env=env)
        self.socket = None

    def __enter__(self):
        try:
            wait(lambda: self.process.poll() is not None or os.path.exists(f"{self.folder}/qmp"), "no QMP socket")
            self.socket = connect(f"{self.folder}/qmp")
            self.stream = Lines(self.socket)
            self.stream.readline()
            self.ask("qmp_capabilities")
            return self
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def __exit__(self, kind, *_):
        if self.socket:
            self.stream.close()
            self.socket.close()
        self.process.terminate()
        code = self.process.wait(SECONDS)
        assert kind or code == 0, f"exit code {code}"

    def say(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}))
        self.stream.flush()
        while True:
            line = self.stream.readline()
            assert line, f"{command}: the emulator is gone: {self.process.poll()}"
            answer = json.loads(line)
            if "event" not in answer:
                return answer

    def ask(self, command, **arguments):
        answer = self.say(command, **arguments)
        assert "return" in answer, f"{command}: {answer}"
        return answer["return"]

    def monitor(self, line):
        said = self.ask("human-monitor-command", command_line=line)
        assert not re.search(r"(?i)error|not permitted|fail", said), f"{line}: {said}"
        return said


def everything(folder):
    for name in ("disc", "other"):
        with open(f"{folder}/{name}", "wb") as file:
            file.truncate(1 << 20)
    with open(f"{folder}/disk", "wb") as file:
        file.write(SECTOR.ljust(1 << 20, b"\0"))
    words = ["-sandbox", TIGHT, "-drive", "file=disk,format=raw", "-cdrom", "disc", "-vnc", "unix:vnc", "-gdb", "unix:gdb,server=on,wait=off",
             "-nic", "user,id=first", "-serial", "pty", "-monitor", "unix:mon,server=on,wait=off"]
    with Machine(folder, *words) as m:
        tasks = f"/proc/{m.process.pid}/task"
        wait(lambda: os.path.exists(f"{folder}/out") and b"B" in open(f"{folder}/out", "rb").read(), "the boot sector was not started")
        for task in os.listdir(tasks):  # every thread is in it
            with open(f"{tasks}/{task}/status", encoding="ascii") as file:
                assert re.search(r"^Seccomp:\s*2$", file.read(), re.M), f"thread {task} is not confined"
        with open(f"{folder}/disk", "rb") as file:  # what the guest wrote
            assert file.read()[512:1024] == SECTOR, "the disk has not got the guest's sector"
        for nic in ({"type": "user"}, {"type": "socket", "listen": f"127.0.0.1:{free_port()}"}, {"type": "stream", "server": True, "addr": {"type": "unix", "path": "cable"}}, {"type": "hubport", "hubid": 3}):
            m.ask("netdev_add", id="n", **nic)
            m.ask("device_add", driver="e1000", netdev="n", id="nic")
            m.ask("object-add", qom_type="filter-dump", id="f", netdev="n", file="capture")
            m.ask("object-del", id="f")
            m.ask("netdev_del", id="n")
            m.ask("device_del", id="nic")
            m.ask("system_reset")  # the guest has no driver: this takes the NIC out
            wait(lambda: m.monitor("info pci").count("class 0200") == 1, "the NIC stays")
        answer = m.ask("human-monitor-command", command_line="netdev_add user,id=x,guestfwd=tcp:10.0.2.100:7-cmd:cat")
        assert "spawn=allow" in answer, answer
        m.monitor("change ide1-cd0 other raw")
        m.monitor("eject -f ide1-cd0")

        def dumped():  # while firmware sets the mode after the reset, the picture may have a few points only
            m.ask("screendump", filename="screen.ppm")
            return os.path.getsize(f"{folder}/screen.ppm") > 1000
        wait(dumped, "the picture stays empty")
        m.ask("screendump", filename="screen.png", format="png")
        vnc = connect(f"{folder}/vnc")
        assert vnc.recv(12).startswith(b"RFB 003"), "no VNC"
        vnc.sendall(b"RFB 003.008\n")
        assert vnc.recv(64), "VNC says no more"
        vnc.close()
        gdb = connect(f"{folder}/gdb")
        gdb.sendall(b"+$?#3f")
        said = b""
        while b"$T" not in said:
            more = gdb.recv(64)
            assert more, "gdb has no answer"
            said += more
        gdb.close()
        mon = connect(f"{folder}/mon")
        assert mon.recv(16), "the monitor says nothing"
        mon.close()
        m.ask("cont")
        if "dump-guest-memory" in json.dumps(m.ask("query-commands")):
            m.ask("dump-guest-memory", paging=False, protocol="file:memory")
            assert os.path.getsize(f"{folder}/memory") > 32 << 20, "the dump is too short"
        if "chardev-add" in json.dumps(m.ask("query-commands")):
            m.ask("chardev-add", id="p", backend={"type": "pty", "data": {}})
        status = m.ask("query-status")
        assert status["running"], status


def words(folder):
    def check(*more, code=0):
        done = subprocess.run([EMU, "-check", "-m", "16M", "-display", "none", "-serial", "none", *more], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
        assert done.returncode == code, f"{more}: {done.returncode}: {done.stdout}"
        return done.stdout
    for name in ("on", "off", "on,spawn=allow", "on,elevateprivileges=children,obsolete=allow", "enable=on,resourcecontrol=deny"):
        check("-machine", "none", "-sandbox", name)
    assert "spwan" in check("-machine", "none", "-sandbox", "on,spwan=deny", code=1)
    check("-machine", "none", "-sandbox", "on", "-netdev", "user,id=n,guestfwd=tcp:10.0.2.100:7-cmd:cat")
    assert "spawn=allow" in check("-machine", "none", "-sandbox", TIGHT, "-netdev", "user,id=n,guestfwd=tcp:10.0.2.100:7-cmd:cat", code=1)
    text = subprocess.run([EMU, "-sandbox", "help"], stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True).stdout
    assert "elevateprivileges" in text and max(map(len, text.splitlines())) < 100, text


def main():
    failed = 0
    for test in (words, everything):
        with tempfile.TemporaryDirectory(prefix="netlab-confined-") as folder:
            try:
                test(folder)
                print(f"ok {test.__name__}")
            except (AssertionError, OSError, subprocess.SubprocessError) as problem:
                failed += 1
                print(f"FAILED {test.__name__}: {problem}")
    sys.exit(failed != 0)


main()
