# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Scenes and rows of the disks' table.

A guest has a raw disk, a qcow2 disk and a CD, and runs diskload.c as its init's last act; in the scene `dma` Linux uses the bus master, in
`pio` it was told not to. What is read is in the host's page cache, what is written stays there until a flush. The scene `boot` starts the
installed Debian of tests/e2e/media_debian.py from its disk, anew for each figure, until it asks for a login. Everything is measured in pairs, as
in bench_net.
"""
from dataclasses import dataclass
import os
import random
import subprocess
import sys

import bench_guests as guests
from bench_net import NAMES, better, cells, figure, judge, run_scene, summary, table  # noqa: F401
from bench_session import Failed, Session

sys.path.insert(1, str(guests.ROOT / "tests/e2e"))
import disk_guest  # noqa: E402
import media_debian  # noqa: E402

BOOT_SECONDS = 300
MEMORY_MIB = 128
MIB = 1 << 20
AREA = 64 * MIB    # what rows work on; written before, so that no cluster of it is new
FRESH = 32 * MIB   # each "new clusters" writes so much where nothing was written before
DISK = 4096 * MIB
LOGIN = "Debian GNU/Linux 12 media ttyS0"
MODULES = ("ata_piix", "sd_mod", "sr_mod")
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for m in $(cat /modules); do
    words=
    [ "$m" = "${m%/libata.ko}" ] || [ -z "$pio" ] || words=dma=0
    insmod $m $words
done
for d in sda sdb sr0; do until [ -b /dev/$d ]; do usleep 20000; done; done
for d in sda sdb; do # Linux looks at several disks at once: whose name is whose is chance
    case $(readlink -f /sys/block/$d/device) in
    */0:0:0:0) ln -s $d /dev/master ;;
    */0:0:1:0) ln -s $d /dev/slave ;;
    esac
done
echo "transfer modes:" $(cat /sys/class/ata_device/dev?.?/dma_mode)
exec /diskload
"""


@dataclass
class Row:
    id: str
    title: str
    scene: str
    command: str     # diskload's word, or "boot"
    drive: str       # in the guest; of "boot" the format of the disk
    block: int = 0
    ratio: float = 1  # at least as fast as QEMU
    least: float = None
    aim: float = None
    ratio_aim: float = None

    @property
    def unit(self):
        return "s" if self.command == "boot" else "B/s" if self.command in ("seq-read", "seq-write", "fresh") else "IOPS"


def scene_rows(scene):
    """Each drive's rows, by the bus master or by PIO."""
    way = scene.upper()
    for drive, name in (("master", "raw"), ("slave", "qcow2")):
        yield Row(f"{scene}.{name}.read", f"{way}, {name}: sequential read", scene, "seq-read", drive, MIB)
        yield Row(f"{scene}.{name}.write", f"{way}, {name}: sequential write", scene, "seq-write", drive, MIB)
        yield Row(f"{scene}.{name}.rread", f"{way}, {name}: random 4 KiB read", scene, "rand-read", drive, 4096)
        yield Row(f"{scene}.{name}.rwrite", f"{way}, {name}: random 4 KiB write", scene, "rand-write", drive, 4096)
        if scene == "dma":
            yield Row(f"{scene}.{name}.sync", f"{way}, {name}: 4 KiB write and flush", scene, "sync", drive, 4096)
    if scene == "dma":
        yield Row("dma.qcow2.fresh", "DMA, qcow2: write to new clusters", scene, "fresh", "slave", MIB)
    yield Row(f"{scene}.cd.read", f"{way}, CD: sequential read", scene, "seq-read", "sr0", 128 << 10)
    yield Row(f"{scene}.cd.rread", f"{way}, CD: random 4 KiB read", scene, "rand-read", "sr0", 4096)


ROWS = [*scene_rows("dma"), *scene_rows("pio"),
        Row("boot.raw", "Debian from a raw disk, start to login", "boot", "boot", "raw"),
        Row("boot.qcow2", "Debian from a qcow2 disk, start to login", "boot", "boot", "qcow2")]


def compile_diskload(out):
    out.mkdir(parents=True, exist_ok=True)
    program = out / "diskload"
    subprocess.run(["gcc", *guests.GUEST_FLAGS, "-o", program, guests.HERE / "diskload.c"], check=True, timeout=120)
    return program


def kernel_modules(release):
    """[(path, bytes)] of the drivers, in the order they have to be loaded."""
    package = disk_guest.find_package(release)
    if not package:
        raise Failed(f"the disk drivers of Linux {release} are nowhere: run tests/e2e/media_debian.py, or say in NETLAB_KERNEL_PACKAGE where "
                     f"linux-image-{release}'s .deb is")
    return disk_guest.drivers(package, MODULES)


def make_initrd(image, program, modules, to):
    """busybox, the drivers and diskload."""
    source, tree = guests.read_archive(image / "initrd.cpio"), guests.Tree()
    for folder in ("proc", "sys", "dev", "tmp"):
        tree.folder(folder)
    tree.device("dev/console", 5, 1)
    tree.take(source, "bin/busybox")
    for path, content in modules:
        tree.file(path, content, 0o644)
    tree.file("modules", "".join(f"/{path}\n" for path, _ in modules).encode(), 0o644)
    tree.file("diskload", program.read_bytes())
    tree.file("init", INIT.encode())
    to.write_bytes(tree.archive())


class Bench:
    """Images, and everything that runs."""

    def __init__(self, image, release, scratch):
        self.image, self.scratch, self.initrd, self.machines = image, scratch, scratch / "disk.cpio", []
        self.fresh_at = {}
        make_initrd(image, compile_diskload(scratch / "out"), kernel_modules(release), self.initrd)
        self.noise = random.Random(1).randbytes(AREA)

    def make(self, way, what):
        """An image of this way's own, the area written."""
        path = self.scratch / f"{way.label}.{what}"
        if path.exists():
            return path
        raw = path if what != "qcow2" else path.with_suffix(".area")
        raw.write_bytes(self.noise)
        if what == "raw":
            os.truncate(raw, DISK)
        elif what == "qcow2":
            run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path)
            run("qemu-img", "resize", "-q", "-f", "qcow2", path, str(DISK))
            raw.unlink()
        return path

    def boot(self, way, pio):
        words = []
        for index, kind in enumerate(("raw", "qcow2", "iso")):
            words += ["-drive", f"file={self.make(way, kind)},format={'raw' if kind == 'iso' else kind},index={index}" +
                      (",media=cdrom" if kind == "iso" else "")]
        session = Session(way.machine(MEMORY_MIB, "-serial", "stdio", "-kernel", str(self.image / "vmlinuz"), "-initrd", str(self.initrd), "-append",
                                      f"console=ttyS0,115200 quiet panic=1{' pio=1' if pio else ''}",
                                      *words), BOOT_SECONDS)
        self.machines.append(session)
        return session

    def next_fresh(self, session):
        """Where nothing has been written yet."""
        at = self.fresh_at.get(session, AREA)
        if at + FRESH > DISK:
            raise Failed("no room for new clusters is left on the disk: fewer repetitions")
        self.fresh_at[session] = at + FRESH
        return at

    def clear(self):
        for machine in self.machines:
            machine.close()
        self.machines = []
        self.fresh_at = {}
        for path in [*self.scratch.glob("*.raw"), *self.scratch.glob("*.qcow2"), *self.scratch.glob("*.iso")]:
            path.unlink()


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


def installed():
    where = media_debian.ready()
    if not where:
        raise Failed("the installed Debian is not there: run tests/e2e/media_debian.py")
    return os.path.join(where, "debian.img")


def scene_boot(bench, way, _):
    """What boots anew for each figure: (way, {format: disk})."""
    disks = {"raw": installed()}
    disks["qcow2"] = str(bench.scratch / "debian.qcow2")
    if not os.path.exists(disks["qcow2"]):
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disks["raw"], disks["qcow2"])
    return way, disks


SCENES = {"dma": ("a guest's bus master", lambda bench, way, _: (bench, bench.boot(way, False))),
          "pio": ("a guest without DMA", lambda bench, way, _: (bench, bench.boot(way, True))),
          "boot": ("an installed Debian", scene_boot)}


def measure(row, ends, _, seconds):
    """One figure, in the row's unit. The longer of both clocks' times counts."""
    if row.command == "boot":
        way, disks = ends
        with Session(way.machine(2 * MEMORY_MIB, "-serial", "stdio", "-drive", f"file={disks[row.drive]},format={row.drive},snapshot=on"),
                     BOOT_SECONDS, LOGIN) as session:
            return session.ready
    bench, session = ends
    what = f"{bench.next_fresh(session)} {FRESH}" if row.command == "fresh" else f"{seconds * 1000:.0f} {row.block}"
    took, words = session.run(f"{row.command} /dev/{row.drive} {what} {row.block if row.command == 'fresh' else AREA}", seconds + 90)
    return result(row, max(took, int(words[2]) / 1e9), int(words[0]), int(words[1]))


def result(row, took, moved, operations):
    """The figure of a measurement; Failed when it is none."""
    if took <= 0 or operations <= 0:
        raise Failed(f"nothing was done in {took:.2f} s")
    return (moved if row.unit == "B/s" else operations) / took
