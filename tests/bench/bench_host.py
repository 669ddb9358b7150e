# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What an emulator costs its host: processor time of an idle guest, time to the first instruction, private memory."""
import re
import time

from bench_session import Failed, Session, cpu_seconds
from bench_suites import BOOT_SECONDS, Group, Row, Suite

GUEST_MIB = 128


class Host(Suite):
    def __init__(self, quick):
        super().__init__("host", "What the emulator costs its host (image mini at its shell prompt)", [Group("host", [
            Row("idle", "idle guest: host CPU", limit=0.5, unit="%"),
            Row("start", "start to first guest instruction", limit=0.010),
            Row("memory", "private memory beyond the guest's RAM", limit=12, unit="MB")], mean=False)])
        self.seconds = 10 if quick else 30
        self.image = self.bios = None

    def start(self, kit):
        self.image = kit.image("mini") if {row.id for row in self.rows} & {"idle", "memory"} else None
        self.bios = kit.scratch / "bios.bin"
        # The reset vector is sixteen bytes before the end: mov $'R', out 0xe9, mov $'\n', out 0xe9, hlt.
        code = bytes((0xb0, ord("R"), 0xe6, 0xe9, 0xb0, 10, 0xe6, 0xe9, 0xf4, 0xeb, 0xfd))
        self.bios.write_bytes(b"\xff" * (65536 - 16) + code.ljust(16, b"\xff"))

    def run_all(self, ways, args, _kit, say):
        """{row id: {way: …}} as the other suites' run gives. One or two long looks at an idle guest are enough."""
        rows = {row.id: {} for row in self.rows}

        def keep(names, way, look):
            for name in names & rows.keys():
                this = rows[name].setdefault(way.label, {"seconds": [], "answers": set(), "lies": []})
                say(f"host {way.label}: {name} {turn + 1}")
                try:
                    this["seconds"].append(look())
                except Failed as why:
                    this["error"] = str(why)
        for turn in range(10):
            for way in (w for w in ways if not w.is_native):
                keep({"start"}, way, lambda: self.first_instruction(way))
                if turn >= min(args.repeat, 2) or not rows.keys() & {"idle", "memory"}:
                    continue
                try:
                    with self.boot(way) as run:
                        keep({"memory"}, way, lambda: private_memory(run.process.pid))
                        keep({"idle"}, way, lambda: self.idle(run.process.pid))
                except Failed as why:
                    for name in {"idle", "memory"} & rows.keys():
                        rows[name].setdefault(way.label, {"seconds": [], "answers": set(), "lies": []})["error"] = str(why)
        return rows

    def first_instruction(self, way):
        """Seconds from the start of the process to what its first instructions print."""
        with Session(way.machine(GUEST_MIB, "-bios", str(self.bios), "-debugcon", "stdio", "-serial", "none"), 30) as run:
            return run.ready

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

    def idle(self, pid):
        """Percent of one CPU."""
        before, began = cpu_seconds(pid), time.perf_counter()
        time.sleep(self.seconds)
        return 100 * (cpu_seconds(pid) - before) / (time.perf_counter() - began)


def private_memory(pid):
    """MB that only this process has, in all mappings but the guest's RAM. Anonymous files (translated code, mapped twice) count by their
    share, as two mappings of one page are private to neither."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        mappings = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", file.read())[1:]
    ranges = [tuple(int(x, 16) for x in m.split()[0].split("-")) for m in mappings]
    ram = guest_ram(ranges)
    if not ram:
        raise Failed(f"no mapping of {GUEST_MIB} MiB in process {pid}: which one is the guest's RAM?")
    total = 0
    for mapping in mappings[:ram[0]] + mappings[ram[1]:]:
        if "memfd:netlab-emu guest RAM" in mapping.splitlines()[0]:
            continue  # the guest's RAM a second time: windows
        kind = "Pss" if "(deleted)" in mapping.splitlines()[0] else "Private_(?:Clean|Dirty)"
        total += sum(int(kib) for kib in re.findall(rf"(?m)^{kind}: +(\d+) kB", mapping))
    return total * 1024 / 1e6


def guest_ram(ranges):
    """Which mappings are the guest's RAM: those that lie together and have its size. (Files may be mapped into it.)"""
    for first in range(len(ranges)):
        last = first
        while last + 1 < len(ranges) and ranges[last + 1][0] == ranges[last][1] and ranges[last][1] - ranges[first][0] < GUEST_MIB << 20:
            last += 1
        if ranges[last][1] - ranges[first][0] == GUEST_MIB << 20:
            return first, last + 1
    return None
