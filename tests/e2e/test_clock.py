# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""A Linux guest keeps the host's time: asleep, at work, on a host with four other programs for its processors, and across `stop`.

The guest's clocks are read over its serial console from /proc/timer_list. A reading happened between the command and its answer, so
each gives bounds for how far the guest's clock is behind the host's; the bounds of some readings together are narrow. Between the
beginning and the end of a phase that distance may change by no more than 10 ms and 500 ppm: a lost tick, or a TSC of another rate,
changes it by more. Needs the image `mini`; without it the test is skipped with the reason.
"""
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time

from harness import BIN, check, main

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines

EMULATOR = os.path.join(os.path.dirname(BIN), "netlab-emu")
PHASE_SECONDS = 20 if os.environ.get("NETLAB_TEST_FULL") else 8
ANSWER_SECONDS = 60
TICK_NS = 4_000_000
SPIN = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"


class Guest:
    def __init__(self, folder, kernel, initrd, accel):
        self.buffer = b""
        serial, qmp = (os.path.join(folder, name) for name in ("serial", "qmp"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(serial)
        listener.listen(1)
        listener.settimeout(ANSWER_SECONDS)
        self.process = subprocess.Popen([EMULATOR, "-accel", accel, "-m", "96", "-kernel", kernel, "-initrd", initrd, "-append",
                                         "console=ttyS0,115200 quiet panic=1", "-display", "none", "-nic", "none", "-no-reboot",
                                         "-serial", f"unix:{serial}", "-qmp", f"unix:{qmp},server=on,wait=off"])
        self.console, _ = listener.accept()
        listener.close()
        self.expect(b"# ", 300)
        control = socket.socket(socket.AF_UNIX)
        control.connect(qmp)
        self.control = Lines(control)
        self.control.readline()
        self.qmp("qmp_capabilities")

    def close(self):
        self.process.kill()
        self.process.wait()

    def qmp(self, command):
        self.control.write(json.dumps({"execute": command}) + "\n")
        self.control.flush()
        while "return" not in json.loads(self.control.readline()):
            pass

    def expect(self, text, seconds=ANSWER_SECONDS):
        deadline = time.monotonic() + seconds
        while text not in self.buffer:
            self.console.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                got = self.console.recv(65536)
            except TimeoutError:
                got = b""
            check(got, f"the guest did not say {text!r}: {self.buffer[-300:]!r}")
            self.buffer += got
        answer, self.buffer = self.buffer.split(text, 1)
        return answer

    def run(self, command):
        """The command's output, and the host's clock before and after."""
        before = time.monotonic_ns()
        self.console.sendall(command.encode() + b'; echo E"N"D\n')
        answer = self.expect(b"END\r\n")
        return answer.decode(errors="replace"), before, time.monotonic_ns()

    def distance(self, readings=12):
        """Host time less guest time, in ns: (from, to), for the guest's clock and for what its ticks counted."""
        clock, ticks = [None, None], [None, None]
        for _ in range(readings):
            text, before, after = self.run("grep -E '^now at|^jiffies' /proc/timer_list")
            now = int(re.search(r"now at (\d+) nsecs", text).group(1))
            jiffies = int(re.search(r"jiffies: (\d+)", text).group(1)) * TICK_NS
            # The tick count is of the last tick, and a sleeping guest's may be one behind that.
            for bounds, low, high in ((clock, before - now, after - now), (ticks, before - jiffies - 3 * TICK_NS, after - jiffies)):
                bounds[0] = low if bounds[0] is None else max(bounds[0], low)
                bounds[1] = high if bounds[1] is None else min(bounds[1], high)
        return clock, ticks


def compare(what, begin, end, seconds):
    """Both are (from, to): how much did it change, at least?"""
    allowed = 10_000_000 + seconds * 500_000
    change = max(end[0] - begin[1], begin[0] - end[1], 0)
    check(change <= allowed, f"{what}: the guest's clock moved by at least {change / 1e6:.1f} ms against the host's in {seconds:.0f} s "
                             f"(allowed: {allowed / 1e6:.1f} ms); bounds {begin} and {end}")
    width = max(end[1] - end[0], begin[1] - begin[0])
    check(width <= 500_000_000, f"{what}: the readings took {width / 1e6:.0f} ms: they say nothing")
    return f"{what} {(sum(end) - sum(begin)) / 2e6:+.1f} ms (known to {width / 1e6:.1f})"


def phase(guest, name, work):
    """`work` for PHASE_SECONDS, and the clocks before and after."""
    began = time.monotonic()
    first = guest.distance()
    work()
    last = guest.distance()
    took = time.monotonic() - began
    return [compare(f"{name}, {what}", begin, end, took) for what, begin, end in zip(("clock", "ticks"), first, last)]


def guest_keeps_time(accel):
    listed = json.loads(subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True, check=True).stdout)
    folder = next(image["folder"] for image in listed if image["name"] == "mini")
    report = []
    load = []
    with tempfile.TemporaryDirectory(prefix="netlab-clock-") as scratch:
        guest = Guest(scratch, os.path.join(folder, "vmlinuz"), os.path.join(folder, "initrd.cpio"), accel)
        try:
            def sleep():
                guest.run(f"sleep {PHASE_SECONDS}")

            def work():
                guest.run(f"end=$(($(date +%s) + {PHASE_SECONDS})); while [ $(date +%s) -lt $end ]; do :; done")

            def pauses():
                for _ in range(5):
                    stopped = guest.distance(2)
                    before = time.monotonic_ns()
                    guest.qmp("stop")
                    inside = time.monotonic_ns()
                    while time.monotonic_ns() < inside + 300_000_000:
                        select.select([], [], [], 0.05)
                    outside = time.monotonic_ns()
                    guest.qmp("cont")
                    after = time.monotonic_ns()
                    for begin, end in zip(stopped, guest.distance(2)):
                        check(end[1] - begin[0] >= outside - inside - 2_000_000 and end[0] - begin[1] <= after - before + 2_000_000,
                              f"a pause of {(outside - inside) / 1e6:.1f} to {(after - before) / 1e6:.1f} ms moved the guest's clock from "
                              f"{begin} to {end}")
            report += phase(guest, "asleep", sleep)
            load += [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(4)]
            report += phase(guest, "asleep on a busy host", sleep)
            report += phase(guest, "at work on a busy host", work)
            pauses()
            text, _, _ = guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource; dmesg")
            check("\ntsc\r" in text, "the guest no longer trusts its TSC")
            for complaint in ("unstable", "lost tick", "stall", "soft lockup"):
                check(complaint not in text, f"the guest's kernel complains: {complaint}")
        finally:
            for process in load:
                process.kill()
                process.wait()
            guest.close()
    return f"{accel}: " + "; ".join(report)


def translated():
    return guest_keeps_time("jit")


def interpreted():
    return guest_keeps_time("interp")


if __name__ == "__main__":
    images = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    if images.returncode != 0 or "mini" not in [image["name"] for image in json.loads(images.stdout)]:
        print("SKIP: there is no image `mini`; make it with `netlab image build mini`")
        sys.exit(77)
    main(translated, interpreted)
