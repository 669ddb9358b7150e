# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Talking to a benchmark program: natively over pipes, or inside an emulator over the first serial port.

Every program speaks the protocol of guest.c and platform_bare.c: "R" once it is ready; a line `NAME ROUNDS [TEXT]` is answered by
"S", the work, and "E …". The time between the two markers is taken here with the host's clock, as the bytes arrive: what a guest's
clock says is only compared with it. A session is one process; it is killed at its end, by its own id, and everything that is awaited
has a limit.
"""
import os
import select
import shlex
import subprocess
import tempfile
import time


TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A benchmark that could not be run; the message is for the person who runs it."""


def cpu_seconds(pid):
    """Processor time of all threads, and of the children that were waited for."""
    total = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0]) / 1e9
        except OSError:
            continue
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return total + (int(fields[13]) + int(fields[14])) / TICKS


class Way:
    """One way to run programs: `native` or an emulator with its arguments."""

    def __init__(self, label, program=None, arguments=()):
        self.label, self.program, self.arguments = label, program, list(arguments)

    @property
    def is_native(self):
        return self.program is None

    def machine(self, memory, *rest):
        """The command of a machine with `memory` MiB and no network."""
        return [self.program, *self.arguments, "-m", str(memory), "-nic", "none", "-display", "none", "-monitor", "none",
                "-no-reboot", *rest]


class Session:
    """A running benchmark program. `ready` is the time from the start of the process to its "R". With cpu_time set, all times are the
    process's own processor time: for machines that do other work as well, where waiting would count else."""
    cpu_time = False

    def __init__(self, command, limit, ready="R", pass_fds=()):
        self.command = command
        self.errors = tempfile.TemporaryFile()
        self.buffer, self.arrived = b"", 0.0
        self.seen = []
        began = 0 if self.cpu_time else time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        pass_fds=pass_fds)
        try:
            self.ready = self.expect(ready, limit)[0] - began
        except Failed:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def expect(self, marker, limit):
        """Waits for a line that is `marker` or starts with it and a blank; (time of arrival, line). A "?" line is the program's
        complaint. Other lines, of the kernel for example, are passed over."""
        deadline = time.perf_counter() + limit
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                text = line.decode("latin-1").strip("\r\0 ")
                if text == marker or text.startswith(marker + " "):
                    return self.arrived, text
                if text.startswith("? "):
                    raise self.failure(f"the program says: {text[2:]}")
                self.seen = [*self.seen[-199:], text]
            left = deadline - time.perf_counter()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise self.failure(f"no '{marker}' within {limit:.0f} s")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            try:
                self.arrived = cpu_seconds(self.process.pid) if self.cpu_time else time.perf_counter()
            except OSError: # it is gone, and so are its figures
                chunk = b""
            if not chunk:
                raise self.failure(f"it ended before '{marker}'")
            self.buffer += chunk

    def failure(self, why):
        self.errors.seek(0)
        last = self.errors.read().decode(errors="replace").strip().splitlines()[-3:]
        return Failed(f"{why}: {shlex.join(self.command)}; last output: {' | '.join([*self.seen[-5:], *last]) or 'none'}")

    def run(self, line, limit):
        """Sends a command; (seconds between the markers, the words after E)."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as why:
            raise self.failure(f"cannot send '{line}' ({why.strerror})") from why
        began, _ = self.expect("S", limit)
        ended, text = self.expect("E", limit)
        return ended - began, text.split()[1:]
