#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Debian's gdb on Debian's kernel (the image `mini`), which has no symbols: addresses are read in the guest from /proc/kallsyms, and
that of jiffies from the code of do_timer. A process of the guest calls uname(2) all the time; gdb stops it there, steps, watches
jiffies, reads and writes registers and memory, and the guest's console says what came of it.

  test_gdb_kernel.py netlab-emu [accel …]      ends with 77 when there is no gdb or no image

The boot up to the shell is done with the first engine alone, with all of them under NETLAB_TEST_FULL=1; the boot up to start_kernel
with all of them.
"""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import listens, machine_status

LIMIT = 300
SYMBOLS = ("start_kernel", "do_timer", "__do_sys_newuname")
PROMPT = rb"# \x1b\[6n"
FAIL_WITH_EPERM = "b8ffffffffc3"  # mov $-1,%eax; ret


def image_folder(name="mini"):
    roots = [os.environ.get("NETLAB_IMAGE_DIR"), pathlib.Path(__file__).resolve().parents[2] / "build/images",
             pathlib.Path(os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local/share") / "netlab/images"]
    for root in filter(None, roots):
        folder = pathlib.Path(root) / name
        if (folder / "vmlinuz").exists() and (folder / "initrd.cpio").exists():
            return folder
    return None


def need(condition, complaint):
    if not condition:
        sys.exit(complaint)


class Guest:
    """The image `mini`, its console on our pipes, gdb's and QMP's sockets in `folder`."""

    def __init__(self, emulator, accel, folder, *more):
        image = image_folder()
        description = json.loads((image / "image.json").read_text())
        self.gdb_socket, self.qmp = f"{folder}/gdb", f"{folder}/qmp"
        self.said = b""
        self.process = subprocess.Popen(
            [emulator, "-accel", accel, "-m", f"{description.get('memory', 96)}M", "-kernel", image / "vmlinuz", "-initrd",
             image / "initrd.cpio", "-append", description["append"] + " nokaslr", "-nic", "none", "-display", "none", "-no-reboot",
             "-monitor", "none", "-serial", "stdio", "-gdb", f"unix:{self.gdb_socket}", "-qmp",
             f"unix:{self.qmp},server=on,wait=off", *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.wait(lambda: listens(self.gdb_socket) and listens(self.qmp), "the sockets")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait(self, condition, what):
        until = time.monotonic() + LIMIT
        while not condition():
            need(self.process.poll() is None, f"netlab-emu ended; {what} did not come")
            need(time.monotonic() < until, f"{what} did not come in {LIMIT} s")
            time.sleep(0.02)

    def status(self):
        return machine_status(self.qmp, LIMIT)

    def expect(self, pattern):
        """What the console says until `pattern`, which it says after what was expected before."""
        until = time.monotonic() + LIMIT
        while not (found := re.search(pattern, self.said)):
            ready = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))[0]
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            need(chunk, f"the console does not say {pattern} but: {self.said[-2000:]!r}")
            self.said += chunk
        said, self.said = self.said[:found.end()], self.said[found.end():]
        return said.decode(errors="replace")

    def shell(self, line):
        """Types a line; what it says. The marks are put together by the shell, so that the echo is not taken for them."""
        self.process.stdin.write(f"echo be''gins; {line}; echo en''ded\n".encode())
        self.process.stdin.flush()
        self.expect(rb"\nbegins\r\n")
        return self.expect(rb"ended\r\n").removesuffix("ended\r\n")

    def gdb_command(self):
        return ["gdb", "-nx", "-q", "-ex", "set pagination off", "-ex", "set confirm off", "-ex", "set architecture i386",
                "-ex", f"target remote {self.gdb_socket}"]

    def gdb(self, *commands):
        words = [*self.gdb_command(), "-batch"]
        for command in commands:
            words += ["-ex", command]
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=LIMIT).stdout


def expect(said, *patterns):
    """The groups of the patterns, which come in this order."""
    at, groups = 0, []
    for pattern in patterns:
        found = re.compile(pattern).search(said, at)
        need(found, f"gdb does not say {pattern!r} (in this order) but:\n{said}")
        at = found.end()
        groups += found.groups()
    return groups


def check_first_instructions(guest, symbols):
    """Stopped by -S in front of the loader in the kernel file; start_kernel is not unpacked yet."""
    entry = symbols["start_kernel"]
    said = guest.gdb("info registers", f"hbreak *{entry:#x}", "continue", f"print $eip == {entry:#x}", "info registers cr0 cs",
                     "stepi", "info breakpoints", "kill")
    expect(said, r"eip +0x100000 ", r"cs +0x10 ", r"cr0 +0x11 ", r"Breakpoint 1, ", r"\$1 = 1", r"cr0 +0x8005", r"cs +0x60 ",
           r"breakpoint already hit 1 time")
    need(guest.process.wait(LIMIT) == 0, "kill does not end the emulator well")


def check_points(guest, symbols):
    call = symbols["__do_sys_newuname"]
    said = guest.gdb(f"x/24i {symbols['do_timer']:#x}")
    found = re.search(r"\badd[l]? +[^,]+,(?:%ds:)?(0x[0-9a-f]+)", said)
    need(found, f"do_timer adds to nothing:\n{said}")
    jiffies = found[1]
    # a breakpoint, the next instruction, jiffies as they are counted
    said = guest.gdb(f"hbreak *{call:#x}", "continue", f"print $eip == {call:#x}", "x/2i $eip", "stepi", "print/x $eip", "delete",
                     f"watch *(unsigned int *){jiffies}", "continue", "continue", "delete", f"break *{call:#x}", "continue",
                     f"print $eip == {call:#x}", "info registers cs ss", "detach")
    second, stepped, *counts = expect(said, r"Breakpoint 1, ", r"\$1 = 1", r"=> 0x.*\n +(0x[0-9a-f]+)", r"\$2 = (0x[0-9a-f]+)",
                                      r"Hardware watchpoint 2", r"Old value = (\d+)\n+New value = (\d+)",
                                      r"Old value = (\d+)\n+New value = (\d+)", r"Breakpoint 3, ", r"\$3 = 1", r"cs +0x60 ",
                                      r"ss +0x68 ", r"detached")
    need(second == stepped, f"a step leads to {stepped}, the next instruction is at {second}")
    counts = [int(count) for count in counts]
    # (several at once when ticks come late, as they do on a busy host)
    need(all(0 < new - old < 10000 for old, new in (counts[:2], counts[2:])) and counts[1] == counts[2],
         f"jiffies are not counted: {counts}")
    # while the machine stands, so does guest time; a condition that holds once in many
    expect(guest.gdb(f"print *(unsigned int *){jiffies}", f"print *(unsigned int *){jiffies}", "detach"), r"\$1 = (\d+)\n\$2 = \1\n")
    expect(guest.gdb("set $count = 0", f"break *{call:#x} if $count++ == 5", "continue", "print $count", "detach"), r"\$1 = 6")
    # reads of it
    expect(guest.gdb(f"awatch *(unsigned int *){jiffies}", "continue", "detach"), r"Hardware access \(read/write\) watchpoint 1")
    need("alive" in guest.shell("echo alive"), "the guest does not go on")


def check_registers(guest, symbols):
    call = symbols["__do_sys_newuname"]
    said = guest.gdb(f"hbreak *{call:#x}", "continue", "info registers", "info float", "info registers mxcsr", "set $old = $xmm1.uint128",
                     "set $xmm1.v4_int32[2] = 0x1234", "p/x $xmm1.v4_int32[2]", "set $xmm1.uint128 = $old",
                     "set $eax = 0x55aa", "p/x $eax", "p/x $al", "x/1xw 0xc0000000", "x/1xw 0x0", "detach")
    expect(said, r"eax ", r"ecx ", r"eip +0x%x" % call, r"eflags +0x[0-9a-f]+ +\[.*IF", r"cs +0x60 ", r"ss +0x68 ", r"ds +0x7b ", r"es +0x7b ",
           r"fs +0xd8 ", r"gs ", r"cr0 +0x8005", r"cr3 +0x[1-9a-f]", r"R7:", r"Control Word: +0x037f", r"mxcsr +0x1f80",
           r"= 0x1234", r"= 0x55aa", r"= 0xaa", r"0xc0000000:\t0x", r"Cannot access memory at address 0x0")
    # one call is answered by gdb: back to the caller at once, with EPERM (busybox says nothing of that, and prints no name)
    need("alive" in guest.shell("kill %1; wait; while [ \"$(uname)\" = Linux ]; do :; done & echo alive"), "no shell")
    expect(guest.gdb(f"hbreak *{call:#x}", "continue", "set $eip = *(unsigned int *)$esp", "set $esp = $esp + 4", "set $eax = -1",
                     "detach"), r"Breakpoint 1", r"detached")
    need("waited" in guest.shell("wait; echo waited"), "the guest does not see the registers that gdb set")


def check_memory(guest, symbols):
    """Code is changed under the guest and put back, though the page is read-only to the kernel and was executed."""
    call = symbols["__do_sys_newuname"]
    count = len(FAIL_WITH_EPERM) // 2
    patch = [f"set var *(unsigned char *){call + i:#x} = {byte:#x}" for i, byte in enumerate(bytes.fromhex(FAIL_WITH_EPERM))]
    need("Linux" in guest.shell("uname"), "uname does not work")
    said = guest.gdb(f"x/{count}xb {call:#x}", *patch, f"x/{count}xb {call:#x}", "detach")
    lines = [re.findall(r"0x([0-9a-f]{2})\b", line.split(":")[1]) for line in said.splitlines() if re.match(r" *0x[0-9a-f]+:\t", line)]
    need(len(lines) == 2 and "".join(lines[1]) == FAIL_WITH_EPERM, f"memory reads back as something else:\n{said}")
    said = guest.shell("uname")
    need("Linux" not in said, f"the guest runs the old code: {said!r}")
    guest.gdb(*[f"set var *(unsigned char *){call + i:#x} = 0x{byte}" for i, byte in enumerate(lines[0])], "detach")
    need("Linux" in guest.shell("uname"), "the code that was put back does not run")


def check_interrupt(guest, symbols):
    """Ctrl-C into a running guest, the monitor behind gdb, and leaving."""
    process = subprocess.Popen([*guest.gdb_command(), "-ex", "echo attached\\n", "-ex", "continue"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while "Continuing" not in (line := process.stdout.readline()):
            need(line, "gdb ended")
        guest.wait(lambda: guest.status() == "running", "the guest, running under gdb,")
        need("alive" in guest.shell("echo alive"), "the guest does not run under gdb")
        process.send_signal(signal.SIGINT)
        guest.wait(lambda: guest.status() == "paused", "a stop by Ctrl-C")
        said = process.communicate("print $pc != 0\nmonitor info status\nmonitor nonsense\nmonitor info registers\ndetach\nquit\n",
                                   timeout=LIMIT)[0]
    finally:
        process.kill()
        process.wait()
    expect(said, r"Program received signal SIGINT", r"\$1 = 1", r"VM status: paused", r"unknown command: 'nonsense'", r"(?i)eip=",
           r"detached")
    need(guest.status() == "running" and "alive" in guest.shell("echo alive"), "the guest does not go on")
    guest.gdb("kill")
    need(guest.process.wait(LIMIT) == 0, "kill does not end the emulator well")


def boot(emulator, accel, folder):
    with Guest(emulator, accel, folder) as guest:
        guest.expect(PROMPT)
        said = guest.shell(f"grep -wE '{'|'.join(SYMBOLS)}' /proc/kallsyms")
        symbols = {name: int(address, 16) for address, name in re.findall(r"([0-9a-f]{8}) . (\w+)", said)}
        need(set(symbols) == set(SYMBOLS), f"the kernel lacks one of {SYMBOLS}: {said!r}")
        guest.shell("while :; do uname >/dev/null; done & echo")
        for check in (check_points, check_registers, check_memory, check_interrupt):
            check(guest, symbols)
            print(f"{check.__name__} with {accel}: passed", flush=True)
    return symbols


def main():
    emulator, accels = sys.argv[1], sys.argv[2:] or ["jit"]
    if not shutil.which("gdb"):
        print("skipped: no gdb (Debian package gdb)")
        sys.exit(77)
    if not image_folder():
        print("skipped: no image 'mini' (netlab image build mini, or NETLAB_IMAGE_DIR)")
        sys.exit(77)
    symbols = None
    with tempfile.TemporaryDirectory() as folder:
        for accel in accels:
            if not symbols or os.environ.get("NETLAB_TEST_FULL") == "1":
                symbols = boot(emulator, accel, tempfile.mkdtemp(dir=folder))
        for accel in accels:
            with Guest(emulator, accel, tempfile.mkdtemp(dir=folder), "-S") as guest:
                check_first_instructions(guest, symbols)
            print(f"check_first_instructions with {accel}: passed", flush=True)


main()
