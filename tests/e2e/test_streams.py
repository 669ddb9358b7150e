# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Whole disks and CDs of known bytes, end to end: what the host wrote the guest reads, what the guest wrote the host reads.

The stream follows from a seed and the position (tests/bench/diskload.c, which runs at both ends), so a byte that is lost, doubled, or at another
place is found and named. A raw disk, a qcow2 disk (qemu-img makes it, checks it and unpacks it again) and a CD by ATAPI; by the bus master and by
PIO; the machine is killed as soon as the guest's flush was answered. 32 MiB each way, 1 GiB with NETLAB_TEST_FULL.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from harness import BIN, check, main

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tests/bench"))
import bench_disk  # noqa: E402
from bench_session import Session  # noqa: E402

EMU = os.path.join(os.path.dirname(BIN), "netlab-emu")
MINI = pathlib.Path(os.environ.get("NETLAB_IMAGE_DIR", "/var/lib/netlab/images")) / "mini"
FULL = os.environ.get("NETLAB_TEST_FULL", "0") not in ("", "0")
SIZE = 1 << 30 if FULL else 32 << 20
ODD = 4096 * 3      # after the stream: what must stay as it is
BLOCKS = {"dma": 1 << 20, "pio": 192 << 10}  # of the guest's requests; neither is what a channel's buffer holds
BOOT_SECONDS, SECONDS = 300, 1800


def run(*words, codes=(0,)):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    check(done.returncode in codes, f"{' '.join(map(str, words))}: {done.returncode} {done.stdout}{done.stderr}")
    return done.stdout


class Host:
    """diskload on the host's files."""

    def __init__(self, folder):
        self.program = bench_disk.compile_diskload(folder)
        self.session = Session([str(self.program)], 10)

    def fill(self, path, seed):
        with open(path, "ab") as file:
            file.truncate(SIZE + ODD)
        self.session.run(f"fill {path} {SIZE} {seed} {1 << 20}", SECONDS)

    def verify(self, path, seed):
        with open(path, "rb") as file:
            file.seek(SIZE)
            check(file.read() == bytes(ODD), f"{path}: something was written behind the stream")
        self.session.run(f"verify {path} {SIZE} {seed} {1 << 20}", SECONDS)


def images(folder, host, overlay):
    """The raw disk, the qcow2 disk and the CD, with seeds 1, 2 and 3."""
    raw, qcow2, disc, below = (folder / name for name in ("raw", "qcow2", "cd", "below"))
    host.fill(disc, 2)
    if overlay:  # half of it compressed clusters; what the guest writes takes over what is below
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *(() if FULL else ("-c",)), disc, below)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2", qcow2)
    else:
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disc, qcow2)
    host.fill(raw, 1)
    host.fill(disc, 3)
    return raw, qcow2, disc


def transfer(mode, overlay, words):
    """Everything once by DMA or PIO."""
    release = json.loads((MINI / "image.json").read_text(encoding="utf-8"))["kernel_release"] if (MINI / "image.json").exists() else ""
    if not release or not bench_disk.disk_guest.find_package(release) or not shutil.which("qemu-img"):
        return "left out: needs the image mini, its kernel package (media_debian.py or NETLAB_KERNEL_PACKAGE) and qemu-img"
    with tempfile.TemporaryDirectory(prefix="netlab-streams-", dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        host, initrd = Host(folder), folder / "initrd"
        bench_disk.make_initrd(MINI, host.program, bench_disk.kernel_modules(release), initrd)
        raw, qcow2, disc = images(folder, host, overlay)
        command = [EMU, "-m", "128", "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel", MINI / "vmlinuz",
                   "-initrd", initrd, "-append", f"console=ttyS0,115200 quiet panic=1{' pio=1' if mode == 'pio' else ''}",
                   "-drive", f"file={raw},format=raw,index=0{words}", "-drive", f"file={qcow2},format=qcow2,index=1{words}", "-cdrom", disc]
        with host.session, Session([str(word) for word in command], BOOT_SECONDS) as guest:
            modes = next(line for line in guest.seen if line.startswith("transfer modes:"))
            check(modes.count("XFER_MW_DMA_2") == (3 if mode == "dma" else 0), modes)
            for drive, seed, writes in (("master", 1, 11), ("slave", 2, 12), ("sr0", 3, 0)):
                guest.run(f"verify /dev/{drive} {SIZE} {seed} {BLOCKS[mode]}", SECONDS)
                if writes:
                    guest.run(f"fill /dev/{drive} {SIZE} {writes} {BLOCKS[mode]}", SECONDS)
                    guest.run(f"verify /dev/{drive} {SIZE} {writes} 65536", SECONDS)
            guest.close()
            run("qemu-img", "check", "-q", qcow2, codes=(0, 3))  # 3: leaked clusters alone, as after any kill
            host.verify(raw, 11)
            run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", qcow2, raw)
            host.verify(raw, 12)
    return f"{SIZE >> 20} MiB each way through a raw and a qcow2 disk, and from a CD"


def by_bus_master():
    return transfer("dma", False, "")


def by_pio():
    return transfer("pio", True, ",cache=none")


if __name__ == "__main__":
    main(by_bus_master, by_pio)
