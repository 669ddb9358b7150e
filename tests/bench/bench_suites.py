# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The rows of the table: what is run, in which guest, and what is asked of it.

A suite is a guest (or none) with rows. In each repetition every way (native, QEMU, netlab-emu) opens the suite's guest once, runs all
rows in it and ends, so the ways alternate and none runs beside another. Rounds are fitted for each way and row in the first
repetition; rows of the userland do a fixed piece of work instead, after a smaller one that warms them up.
"""
from dataclasses import dataclass, field

import bench_guests as guests
from bench_session import Failed, Session

BOOT_SECONDS = 300
ROW_SECONDS = 180
MOST_ROUNDS = 0xffffffff
APPEND = "console=ttyS0,115200 quiet panic=1 rdinit=/bench"


@dataclass
class Row:
    id: str
    title: str
    command: str = ""       # as NAME ROUNDS [TEXT] with {n} for the rounds; none: the start itself is measured
    least: float = None     # times the faster QEMU
    slowest: float = None   # times native
    limit: float = None     # in the row's unit
    fixed: int = 0          # rounds that all ways do
    prepare: str = ""
    unit: str = "s"


@dataclass
class Group:
    """Rows that are shown together, with their geometric mean; the mean may have targets of its own."""
    title: str
    rows: list
    least: float = None
    slowest: float = None
    mean: bool = True


@dataclass
class Suite:
    name: str
    title: str
    groups: list
    same_answer: bool = False
    aliases: tuple = ()
    fitted: dict = field(default_factory=dict)

    @property
    def rows(self):
        return [row for group in self.groups for row in group.rows]

    def start(self, kit):
        """Makes what the suite's sessions need."""

    def open(self, way):
        """A Session for `way`, or None where there is no such thing."""
        raise NotImplementedError


INTEGER = [("alu", "xorshift"), ("crc", "CRC-32 by table"), ("sieve", "byte sieve"), ("sort", "quicksort through a pointer"),
           ("calls", "call and return"), ("machine", "computed-goto interpreter"), ("chase", "pointer chase, 1024 pages"),
           ("copy", "copy loop, 256 KiB")]


class Kernels(Suite):
    """The CPU kernels: the same machine code as a process and as a multiboot kernel."""

    def __init__(self, ring):
        def row(name, title, **targets):
            return Row(f"{name}.r{ring}", title, f"{name} {{n}}", **targets)
        super().__init__(f"ring{ring}", f"CPU kernels, ring {ring} (time a round)", [
            Group("integer kernels", [row(n, t) for n, t in INTEGER], least=3.5, slowest=1.5),
            Group("floating point", [row("x87", "x87 matrix product", least=20), row("sse2", "SSE2 matrix product", least=20)]),
            Group("string instructions", [row("movs", "rep movs, 256 KiB", least=25), row("stos", "rep stos, 256 KiB", least=25),
                                          row("movs-small", "rep movs, 64 bytes"), row("stos-small", "rep stos, 64 bytes")])],
            same_answer=True, aliases=("kernels",))
        self.ring, self.elf, self.native = ring, None, None

    def start(self, kit):
        self.elf, self.native = kit.kernels()

    def open(self, way):
        if way.is_native:
            return Session([str(self.native)], 10)
        return Session(way.machine(128, "-serial", "stdio", "-kernel", str(self.elf), "-append", f"ring={self.ring}"), 60)


class Linux(Suite):
    """A Debian kernel with our program as init; natively the same files in a chroot."""
    memory = 128

    def __init__(self, name, title, groups, image):
        super().__init__(name, title, groups, aliases=("linux",))
        self.image, self.folder, self.kernel, self.initrd = image, None, None, None

    def tree(self, kit, image):
        return guests.system_tree(image, kit.guest())

    def start(self, kit):
        image = kit.image(self.image)
        self.kernel, self.initrd, self.folder = image / "vmlinuz", kit.scratch / f"{self.name}.cpio", kit.scratch / self.name
        tree = self.tree(kit, image)
        self.initrd.write_bytes(tree.archive())
        tree.unpack(self.folder)

    def open(self, way):
        if way.is_native:
            command = guests.native_command(self.folder)
            return Session(command, 10) if command else None
        return Session(way.machine(self.memory, "-serial", "stdio", "-kernel", str(self.kernel), "-initrd", str(self.initrd),
                                   "-append", APPEND), BOOT_SECONDS)


class System(Linux):
    def __init__(self, image, variant):
        def row(name, title, command, **targets):
            return Row(f"{name}.{variant}", title, f"{command} {{n}}", **targets)
        super().__init__(variant, f"Debian's {variant} kernel (time each)", [
            Group("boot", [Row(f"boot.{variant}", "boot: start to init", least=4)], mean=False),
            Group("system", [
                row("int80", "getppid by int 0x80", "int80", least=4, limit=0.4e-6),
                row("sysenter", "getppid by SYSENTER", "vsyscall", least=4, limit=0.4e-6),
                row("touch", "fresh page touched", "touch", least=4),
                row("fork", "fork + exit + wait", "fork", least=4),
                row("exec", "busybox: fork + exec + wait", "exec", least=4),
                row("pipe", "pipe ping-pong, round trip", "pipe", least=9)])], image)


def many(part, to):
    """Shell: /part, n times, as the file `to`."""
    return f"rm -f {to}; i=0; while [ $i -lt $n ]; do cat /{part} >>{to}; i=$((i + 1)); done"


# Name, title, what is prepared, what is timed. With n=20 a third of a second or so natively.
USERLAND = [
    ("xz", "xz", "head -c $((n * 32768)) /text >/tmp/in", "xz -c /tmp/in >/dev/null"),
    ("unxz", "xz -d", many("part.xz", "/tmp/in.xz"), "xz -dc /tmp/in.xz >/dev/null"),
    ("gzip", "gzip", "head -c $((n * 204800)) /text >/tmp/in", "gzip -c /tmp/in >/dev/null"),
    ("gunzip", "gzip -d", many("part.gz", "/tmp/in.gz"), "gzip -dc /tmp/in.gz >/dev/null"),
    ("sha256sum", "sha256sum", many("text", "/tmp/in"), "sha256sum /tmp/in >/dev/null"),
    ("sort", "sort of a text", "head -c $((n * 204800)) /text | tr ' ' '\\n' >/tmp/in", "sort /tmp/in >/tmp/out"),
    ("shell", "shell loop (dash)", "", "i=0; while [ $i -lt $((n * 10000)) ]; do i=$((i + 1)); done"),
    ("python", "Python loop", "", "exec python3.11 -S /loop.py $n"),
    ("perl", "Perl loop", "", "exec perl /loop.pl $n"),
]


class Userland(Linux):
    memory = 256

    def __init__(self, quick):
        super().__init__("userland", "Debian userland on the 686 kernel (time for the whole)", [
            Group("userland", [Row(name, title, f"run {{n}} {work}", least=3, fixed=5 if quick else 20,
                                   prepare=f"prepare {{n}} {before}" if before else "")
                               for name, title, before, work in USERLAND])], "debian")

    def tree(self, kit, image):
        return guests.userland_tree(image, kit.guest(), kit.scratch)


def untimed(session, _way, command):
    return session.run(command, ROW_SECONDS)


def timed(session, way, command):
    """session.run(), again where both markers came at once: then we were not there when the first did."""
    for _ in range(5):
        seconds, words = session.run(command, ROW_SECONDS)
        seconds = processor_time(session, way, seconds, words)
        if seconds > 0:
            return seconds, words
    raise session.failure(f"'{command}' is over at once: its time cannot be taken")


def fit(session, row, target):
    """Rounds that take about `target` seconds."""
    rounds, seconds = 4, 0.0
    while seconds < target / 8 and rounds < 1 << 30:
        rounds *= 16 if seconds < target / 128 else 4
        seconds = session.run(fill(row.command, rounds), ROW_SECONDS)[0]
    return max(1, min(int(rounds * target / max(seconds, target / 8)), MOST_ROUNDS))


def measure(session, suite, row, way, target):
    """Seconds a round (or for all the work, where it is fixed), the answer, and the guest's own seconds or None."""
    if not row.command:
        return (session.ready, None, None)
    rounds = row.fixed
    if rounds:
        # A smaller piece first: what is measured is a program that has run before.
        for n in (max(1, rounds // 8), rounds):
            if row.prepare:
                check_status(session, row, session.run(fill(row.prepare, n), ROW_SECONDS)[1])
            run = timed if n == rounds else untimed
            seconds, words = run(session, way, fill(row.command, n))
            check_status(session, row, words)
        return seconds, None, int(words[0]) / 1e9
    key = (way.label, row.id)
    if key not in suite.fitted:
        suite.fitted[key] = fit(session, row, target)
    answer = session.run(fill(row.command, 3), ROW_SECONDS)[1][0] if suite.same_answer else None
    for _ in range(8):
        rounds = suite.fitted[key]
        seconds, words = session.run(fill(row.command, rounds), ROW_SECONDS)
        if seconds >= target / 4:
            break
        # It was fitted while something held it up: too short is no measurement.
        suite.fitted[key] = min(rounds * 4, MOST_ROUNDS)
    else:
        raise session.failure(f"{row.title}: {rounds} rounds are over in {seconds:.6f} s")
    told = int(words[0]) / 1e9 / rounds if len(words) == 3 else None
    return processor_time(session, way, seconds, words) / rounds, answer, told


def processor_time(session, way, seconds, words):
    """With --cpu-time a native program's children count too, and only the program itself knows their time to the microsecond."""
    return int(words[2]) / 1e9 if session.cpu_time and way.is_native and len(words) == 3 else seconds


def fill(command, n):
    return command.replace("{n}", str(n), 1)


def check_status(session, row, words):
    if words[1] != "0":
        raise session.failure(f"{row.title}: the command ended with status 0x{words[1]}")
