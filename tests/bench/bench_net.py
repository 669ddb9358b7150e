# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Scenes and rows of the network's table, and the table itself.

A scene is what stands between two ends: a guest on a TAP (and behind user networking), two guests on a bridge, a guest that routes. It is
built for each emulator, both stand at once, and a row is measured in one after the other, so that what else the machine does meets
both alike. Every end runs netload.c: guests as their init's last act, the host as a process.
"""
from dataclasses import dataclass
import fcntl
import os
import statistics
import struct
import subprocess

import bench_guests as guests
from bench_report import show, times, word
from bench_session import Failed, Session

BOOT_SECONDS = 300
MEMORY_MIB = 96
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 0x0002, 0x1000, 0x4000
NAMES = {"qemu": "QEMU", "ours": "netlab-emu", "capture": "with capture"}
COLUMNS = ["", "QEMU", "netlab-emu", "ratio", "least", "aim", ""]
LOST_MOST = 0.02  # of round trips
# Written to a script of busybox's shell: the kernel hands the words of its command line over as variables.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys
mknod /dev/null c 1 3 2>/dev/null
insmod /e1000.ko
ip link set lo up
[ -z "$forward" ] || echo 1 >/proc/sys/net/ipv4/ip_forward
for nic in eth0 eth1; do
    eval "address=\\$$nic"
    [ -n "$address" ] || continue
    ip link set $nic up
    ip address add $address dev $nic
    until [ "$(cat /sys/class/net/$nic/carrier)" = 1 ]; do usleep 20000; done
done
[ -z "$via" ] || ip route add default via $via
exec /netload
"""


@dataclass
class Row:
    id: str
    title: str
    scene: str
    end: str             # which end drives it
    command: str         # netload's word
    to: str              # the other end's address, {w} for the emulator's number
    least: float = None  # absolute: bit/s, datagrams/s, or seconds (most)
    aim: float = None
    ratio: float = None  # times QEMU
    ratio_aim: float = None
    size: int = 64

    @property
    def unit(self):
        return "bit/s" if self.command.startswith("tcp") else "pps" if self.command == "udp-send" else "s"


ROWS = [
    Row("out.tcp", "TCP, guest → host over TAP", "host", "guest", "tcp-send", "10.{w}.1.1", 2e9, 4e9),
    Row("in.tcp", "TCP, host → guest over TAP", "host", "host", "tcp-send", "10.{w}.1.2", 1.5e9, 3e9),
    Row("out.udp", "64-byte UDP, guest → host", "host", "guest", "udp-send", "10.{w}.1.1", 150e3, 300e3),
    Row("in.udp", "64-byte UDP, host → guest", "host", "host", "udp-send", "10.{w}.1.2"),
    Row("echo", "UDP round trip, guest ↔ host", "host", "guest", "udp-echo", "10.{w}.1.1", 40e-6, 20e-6),
    Row("user.out", "TCP, guest → host over libslirp", "host", "guest", "tcp-send", "10.0.2.2", ratio=3, ratio_aim=5),
    Row("user.in", "TCP, host → guest over libslirp", "host", "guest", "tcp-receive", "10.0.2.2", ratio=3, ratio_aim=5),
    Row("user.echo", "UDP round trip over libslirp", "host", "guest", "udp-echo", "10.0.2.2"),
    Row("pair.tcp", "TCP, guest → guest over TAP and bridge", "pair", "a", "tcp-send", "10.{w}.2.2", 1e9, 2e9, ratio=5),
    Row("pair.udp", "64-byte UDP, guest → guest", "pair", "a", "udp-send", "10.{w}.2.2", 60e3, 150e3),
    Row("pair.ping", "ping, guest ↔ guest", "pair", "a", "ping", "10.{w}.2.2", 150e-6, 80e-6),
    Row("forward.tcp", "TCP through a guest that routes", "router", "near", "tcp-send", "10.{w}.4.1", ratio=5, ratio_aim=8),
    Row("forward.udp", "64-byte UDP through a guest that routes", "router", "near", "udp-send", "10.{w}.4.1", ratio=5, ratio_aim=8),
]


# ---- what the scenes are made of ----

def ip(*words):
    done = subprocess.run(["ip", *words], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed(f"ip {' '.join(words)}: {done.stderr.strip()}")


def open_tap(name):
    """A descriptor of a new TAP with offloads, up."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    ip("link", "set", name, "up")
    return fd


def compile_netload(out):
    out.mkdir(parents=True, exist_ok=True)
    program = out / "netload"
    subprocess.run(["gcc", *guests.GUEST_FLAGS, "-o", program, guests.HERE / "netload.c"], check=True, timeout=120)
    return program


def make_initrd(image, netload, to, more=()):
    """busybox, the driver and netload; `more` are pairs of path and content."""
    source, tree = guests.read_archive(image / "initrd.cpio"), guests.Tree()
    for folder in ("proc", "sys", "tmp", "dev"):
        tree.folder(folder)
    tree.device("dev/console", 5, 1)
    tree.take(source, "bin/busybox")
    driver = next((path for path in source.files if path.endswith("/e1000.ko")), None)
    if not driver:
        raise Failed(f"{image} has no e1000.ko; build it again: netlab image build mini")
    tree.file("e1000.ko", source.files[driver][1], 0o644)
    tree.file("netload", netload.read_bytes())
    tree.file("init", INIT.encode())
    for path, content in more:
        tree.file(path, content)
    to.write_bytes(tree.archive())


class Bench:
    """Everything that runs, and its end."""

    def __init__(self, image, scratch, more=()):
        self.image, self.scratch = image, scratch
        self.netload, self.initrd = compile_netload(scratch / "out"), scratch / "net.cpio"
        make_initrd(image, self.netload, self.initrd, more)
        ip("link", "set", "lo", "up")
        self.near = Session([str(self.netload)], 10)
        try:
            self.far = Session(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$0"', str(self.netload)], 10)
        except Failed:
            self.near.close()
            raise
        self.machines, self.bridges = [], []

    def boot(self, way, words, *options, fds=()):
        """A guest that has its addresses and serves."""
        command = way.machine(MEMORY_MIB, "-serial", "stdio", "-kernel", str(self.image / "vmlinuz"), "-initrd", str(self.initrd),
                              "-append", f"console=ttyS0,115200 quiet panic=1 net.ifnames=0 {words}", *options)
        try:
            session = Session(command, BOOT_SECONDS, pass_fds=fds)
        finally:
            for fd in fds:
                os.close(fd)
        self.machines.append(session)
        return session

    def clear(self):
        """Ends the machines of a scene, and with them their TAPs."""
        for machine in self.machines:
            machine.close()
        for bridge in self.bridges:
            ip("link", "del", bridge)
        self.machines, self.bridges = [], []

    def close(self):
        self.clear()
        self.far.close()
        self.near.close()


def nic(number, fd):
    return ["-netdev", f"tap,id=n{number},fd={fd}", "-device", f"e1000,netdev=n{number},mac=52:54:00:00:{fd & 255:02x}:{number:02x}"]


def scene_host(bench, way, w):
    fd = open_tap(f"t{w}")
    ip("address", "add", f"10.{w}.1.1/24", "dev", f"t{w}")
    extra = ["-object", f"filter-dump,id=f,netdev=n0,format=pcapng,file={bench.scratch}/n0.pcapng"] if way.label == "capture" else []
    guest = bench.boot(way, f"eth0=10.{w}.1.2/24 eth1=10.0.2.15/24", *nic(0, fd), "-netdev", "user,id=u",
                       "-device", f"e1000,netdev=u,mac=52:54:00:01:{w:02x}:01", *extra, fds=(fd,))
    return {"guest": guest, "host": bench.near}


def scene_pair(bench, way, w, more=lambda end: ()):
    """more(end): further words of that machine's command line."""
    ip("link", "add", f"br{w}", "type", "bridge")
    bench.bridges.append(f"br{w}")
    ip("link", "set", f"br{w}", "up")
    ends = {}
    for number, end in enumerate("ab", 1):
        fd = open_tap(f"t{w}{end}")
        ip("link", "set", f"t{w}{end}", "master", f"br{w}")
        ends[end] = bench.boot(way, f"eth0=10.{w}.2.{number}/24", *nic(number, fd), *more(end), fds=(fd,))
    return ends


def scene_router(bench, way, w):
    near, far = open_tap(f"t{w}n"), open_tap(f"t{w}f")
    ip("address", "add", f"10.{w}.3.1/24", "dev", f"t{w}n")
    ip("route", "add", f"10.{w}.4.0/24", "via", f"10.{w}.3.2")
    ip("link", "set", f"t{w}f", "netns", str(bench.far.process.pid))
    for words in (f"ip address add 10.{w}.4.1/24 dev t{w}f", f"ip link set t{w}f up",
                  f"ip route add 10.{w}.3.0/24 via 10.{w}.4.2"):
        if bench.far.run(f"run {words}", 10)[1][0] != "0":
            raise Failed(f"in the far namespace: {words}")
    bench.boot(way, f"eth0=10.{w}.3.2/24 eth1=10.{w}.4.2/24 forward=1", *nic(0, near), *nic(1, far), fds=(near, far))
    return {"near": bench.near, "far": bench.far}


SCENES = {"host": ("a guest and its host", scene_host), "pair": ("two guests", scene_pair), "router": ("a guest that routes", scene_router)}


# ---- measuring ----

def measure(row, ends, w, seconds):
    """One figure, in the row's unit. Times are the host's, between the markers."""
    session, to, limit = ends[row.end], row.to.format(w=w), seconds + 90
    if row.command == "udp-send":
        before = int(session.run(f"udp-count {to}", limit)[1][0])
        took, words = session.run(f"udp-send {to} {seconds * 1000:.0f} {row.size}", limit)
        arrived = int(session.run(f"udp-count {to}", limit)[1][0]) - before
        return result(row, longer(took, words), arrived, 0)
    took, words = session.run(f"{row.command} {to} {seconds * 1000:.0f}", limit)
    return result(row, longer(took, words), int(words[0]), int(words[1]))


def longer(took, words):
    """Our time or that of the end itself, whichever is worse for it: a marker may be read late, and a guest's clock may lie."""
    return max(took, int(words[2]) / 1e9)


def result(row, took, first, second):
    """The figure of a measurement; Failed when it is none."""
    if took <= 0 or first <= 0:
        raise Failed(f"nothing arrived in {took:.2f} s")
    if row.unit == "bit/s":
        return first * 8 / took
    if row.unit == "pps":
        return first / took
    if second > LOST_MOST * (first + second):
        raise Failed(f"{second} of {first + second} round trips were lost")
    return took / first


def run_scene(bench, name, rows, ways, args, say, scenes=None, measured=measure):
    """{row id: {way: {"figures": […], "error": …}}}, row by row and in each row way by way. bench_disk has scenes and figures of its own."""
    results = {row.id: {way.label: {"figures": []} for way in ways} for row in rows}
    standing = {}
    try:
        for w, way in enumerate(ways, 1):
            say(f"{name}: {NAMES[way.label]} boots")
            try:
                standing[way.label] = (scenes or SCENES)[name][1](bench, way, w), w
            except Failed as why:
                for row in rows:
                    results[row.id][way.label]["error"] = str(why)
        for row in rows:
            for turn in range(args.repeat):
                order = ways if turn % 2 == 0 else ways[::-1]
                for way in order:
                    this = results[row.id][way.label]
                    if way.label not in standing or "error" in this:
                        continue
                    say(f"{row.title}: {NAMES[way.label]} {turn + 1}/{args.repeat}")
                    try:
                        this["figures"].append(measured(row, *standing[way.label], args.seconds))
                    except Failed as why:
                        this["error"] = str(why)
    finally:
        bench.clear()
    return results


# ---- the table ----

def better(row, a, b):
    """How many times better a is than b."""
    return b / a if row.unit == "s" else a / b


def judge(row, ways):
    """The row as plain data. The ratio is the median over the pairs that were measured one after the other."""
    figures = {way: r["figures"] for way, r in ways.items()}
    median = {way: statistics.median(f) for way, f in figures.items() if f}
    errors = [f"{NAMES[way]}: {r['error']}" for way, r in ways.items() if "error" in r]

    def paired(a, b):
        pairs = [better(row, x, y) for x, y in zip(figures.get(a, []), figures.get(b, []))]
        return statistics.median(pairs) if pairs else None
    ratio, kept = paired("ours", "qemu"), paired("capture", "ours")
    ours = median.get("ours")
    checks = [None if ours is None else better(row, ours, row.least) >= 1] if row.least else []
    checks += [None if ratio is None else ratio >= row.ratio] if row.ratio else []
    passed = False if False in checks else None if None in checks or not checks or errors else True
    return {"id": row.id, "title": row.title, "unit": row.unit, "median": median, "all": figures, "ratio": ratio, "kept": kept,
            "least": row.least, "aim": row.aim, "least_ratio": row.ratio, "aim_ratio": row.ratio_aim, "pass": passed, "errors": errors}


def figure(value, unit):
    if value is None:
        return "-"
    if unit == "s":
        return show(value, "s")
    for name, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1)):
        if value >= scale or not name:
            return f"{value / scale:.3g} {name}{unit}"
    return "-"


def target(absolute, ratio, unit):
    parts = [("≤" if unit == "s" else "") + figure(absolute, unit)] if absolute else []
    return ", ".join(parts + ([f"{ratio:g}×"] if ratio else [])) or "-"


def cells(row):
    return [row["title"], figure(row["median"].get("qemu"), row["unit"]), figure(row["median"].get("ours"), row["unit"]),
            times(row["ratio"]), target(row["least"], row["least_ratio"], row["unit"]), target(row["aim"], row["aim_ratio"], row["unit"]),
            "ERROR" if row["errors"] else word(row["pass"])]


def table(rows, markdown):
    lines = [cells(row) for row in rows]
    notes = [f"  {row['title']}: {text}" for row in rows for text in row["errors"]]
    notes += [f"  {row['title']}: with a pcapng capture {figure(row['median'].get('capture'), row['unit'])}, {row['kept']:.0%} of what it is without"
              for row in rows if row["kept"]]
    if markdown:
        return "\n".join("| " + " | ".join(line) + " |" for line in [COLUMNS, ["---"] * len(COLUMNS), *lines]) + \
            "".join(f"\n\n{note.strip()}" for note in notes)
    width = [max(len(line[i]) for line in [COLUMNS, *lines]) for i in range(len(COLUMNS))]
    return "\n".join([*("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, width))).rstrip()
                       for line in [COLUMNS, *lines]), *notes])


def summary(rows):
    passed = [row["pass"] for row in rows]
    return f"{passed.count(True)} targets reached, {passed.count(False)} missed, {sum(bool(row['errors']) for row in rows)} rows with errors"
