# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What an emulator costs its host: processor time of an idle guest, time to the first instruction, private memory."""
import os
import re
import time

from bench_session import Failed, Session
from bench_suites import BOOT_SECONDS, Group, Row, Suite

GUEST_MIB = 128
TICKS = os.sysconf("SC_CLK_TCK")


class Host(Suite):
    def __init__(self, quick):
        super().__init__("host", "What the emulator costs its host (image mini at its shell prompt)", [Group("host", [
            Row("idle", "idle guest: host CPU", limit=0.5, unit="%"),
            Row("start", "start to first guest instruction", limit=0.010),
            Row("memory", "private memory beyond the guest's RAM", limit=12, unit="MB")], mean=False)])
        self.seconds = 10 if quick else 30
        self.image = self.bios = None

    def start(self, kit):
        self.image, self.bios = kit.image("mini"), kit.scratch / "bios.bin"
        # The reset vector is sixteen bytes before the end: mov $'R', out 0xe9, mov $'\n', out 0xe9, hlt.
        code = bytes((0xb0, ord("R"), 0xe6, 0xe9, 0xb0, 10, 0xe6, 0xe9, 0xf4, 0xeb, 0xfd))
        self.bios.write_bytes(b"\xff" * (65536 - 16) + code.ljust(16, b"\xff"))

    def run_all(self, ways, args, _kit, say):
        wanted = {row.id for row in self.rows}
        results = {row.id: {} for row in self.rows}

        def keep(row, way, value):
            if row in wanted:
                results[row].setdefault(way.label, {"seconds": [], "answers": set(), "lies": []})["seconds"].append(value)
        for way in (w for w in ways if not w.is_native):
            try:
                for _ in range(10 if "start" in wanted else 0):
                    say(f"host {way.label}: start")
                    with Session(way.machine(GUEST_MIB, "-bios", str(self.bios), "-debugcon", "stdio", "-serial", "none"), 30) as run:
                        keep("start", way, run.ready)
                # One or two long looks are enough: nothing is compared that is short.
                for _ in range(min(args.repeat, 2) if wanted & {"idle", "memory"} else 0):
                    say(f"host {way.label}: idle guest")
                    with self.boot(way) as run:
                        keep("idle", way, self.idle(run.process.pid, wanted))
                        keep("memory", way, private_memory(run.process.pid))
            except Failed as why:
                for row in wanted:
                    results[row].setdefault(way.label, {"seconds": [], "answers": set(), "lies": []})["error"] = str(why)
        return results

    def boot(self, way):
        """A guest that has said it is ready; its first seconds (random numbers, modules) are over."""
        session = Session(way.machine(GUEST_MIB, "-serial", "stdio", "-kernel", str(self.image / "vmlinuz"), "-initrd",
                                      str(self.image / "initrd.cpio"), "-append", "console=ttyS0,115200 quiet panic=1"),
                          BOOT_SECONDS, ready="netlab:")
        quiet = 0
        while quiet < 2:
            before = cpu_seconds(session.process.pid)
            time.sleep(1)
            quiet = quiet + 1 if cpu_seconds(session.process.pid) - before < 0.3 else 0
        return session

    def idle(self, pid, wanted):
        """Percent of one CPU."""
        if "idle" not in wanted:
            return None
        before, began = cpu_seconds(pid), time.perf_counter()
        time.sleep(self.seconds)
        return 100 * (cpu_seconds(pid) - before) / (time.perf_counter() - began)


def cpu_seconds(pid):
    """Of all threads, user and system, from the scheduler's nanoseconds where the kernel has them."""
    total = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0]) / 1e9
        except OSError:
            with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def private_memory(pid):
    """MB of private pages, in all mappings but the guest's RAM, which is known by its size."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        text = file.read()
    total, skipped = 0, False
    for mapping in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)[1:]:
        low, high = (int(x, 16) for x in mapping.split()[0].split("-"))
        if high - low == GUEST_MIB << 20:
            skipped = True
            continue
        total += sum(int(kib) for kib in re.findall(r"(?m)^Private_(?:Clean|Dirty): +(\d+) kB", mapping))
    if not skipped:
        raise Failed(f"no mapping of {GUEST_MIB} MiB in {pid}: which one is the guest's RAM?")
    return total * 1024 / 1e6
