#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
docs/from-qemu.md against the programs: each netlab-emu line of its sh blocks must pass -check, where nothing is run, with media of the
names it uses. The topologies are tried with those of docs/topology.md (tests/e2e/test_cli.py).

  check_from_qemu.py netlab-emu docs/from-qemu.md kernel
"""
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile

RAW = ("Core-current.iso", "debian-12-i386-netinst.iso", "disk.img", "floppy.img", "initrd.img")
LEAST = 18  # lines; a page that lost its blocks does not pass


def qcow2(path, size=1 << 20):
    """The smallest one: a header, a table of counts for four clusters, a level 1 table without entries."""
    cluster = 1 << 16
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size, 0, 1, 3 * cluster, cluster, 1, 0, 0)
    with open(path, "wb") as file:
        file.write(header)
        file.seek(cluster)
        file.write(struct.pack(">Q", 2 * cluster))
        file.seek(2 * cluster)
        file.write(struct.pack(">4H", 1, 1, 1, 1))
        file.truncate(4 * cluster)


def main():
    emulator, page, kernel = (os.path.abspath(word) for word in sys.argv[1:4])
    with open(page, encoding="utf-8") as file:
        blocks = re.findall(r"```sh\n(.*?)```", file.read(), re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("netlab-emu ")]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for name in RAW:
            with open(f"{folder}/{name}", "wb") as file:
                file.truncate(1440 << 10)
        qcow2(f"{folder}/disk.qcow2")
        os.mkdir(f"{folder}/tftp")
        os.symlink(kernel, f"{folder}/vmlinuz")
        for line in lines:
            done = subprocess.run([emulator, *shlex.split(line)[1:], "-check"], cwd=folder, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=60)
            if done.returncode:
                wrong.append(f"{line}\n    {done.stderr.strip()}")
    print("\n".join(wrong))
    print(f"{len(lines)} lines, {len(wrong)} refused")
    return 1 if wrong or len(lines) < LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
