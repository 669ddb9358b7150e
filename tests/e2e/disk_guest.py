# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""A Linux guest with disks, for the tests: the image `mini` with the disk drivers of its kernel package, and a script.

The second cpio archive of an initrd is laid over the first, so the image stays as it is. The drivers are those that
media_debian.py kept, or of a kernel package (linux-image-*-686, .deb) where NETLAB_KERNEL_PACKAGE says; without either, tests
that need them are skipped with the reason.
"""
import io
import json
import os
import re
import subprocess
import tarfile

MODULES = ("ata_piix", "sd_mod", "sr_mod", "isofs", "ext4", "vfat", "nls_iso8859-1", "nls_cp437", "nls_ascii", "floppy")

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
for m in $(/bin/busybox cat /disk-modules); do /bin/busybox insmod $m || echo "insmod $m failed"; done
busybox sh /disk-script
echo "SCRIPT ENDED $?"
/bin/busybox sync
/bin/busybox poweroff -f
"""


def find_package(release):
    given = os.environ.get("NETLAB_KERNEL_PACKAGE")
    if given:
        return given
    import media_debian
    where = media_debian.ready()
    if where:
        with open(os.path.join(where, "debian.json")) as file:
            if json.load(file)["kernel_release"] == release:
                return os.path.join(where, "kernel.tar")
    return None


def package_files(path, wanted):
    """Of a .deb, or of an archive of modules (media_debian.py)."""
    if path.endswith(".tar"):
        with open(path, "rb") as file:
            return archive_files(file.read(), wanted)
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], capture_output=True, check=True).stdout
    return archive_files(data, wanted)


def archive_files(data, wanted):
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if member.isfile() and wanted(member.name):
                found[member.name.lstrip("./").removeprefix("usr/")] = tar.extractfile(member).read()
    return found


def module_name(path):
    return os.path.basename(path)[:-3].replace("-", "_")


def drivers(package, names=MODULES):
    """[(path, bytes)] in the order they have to be loaded. A module that is neither there nor part of the kernel ends the test."""
    files = package_files(package, lambda name: name.endswith((".ko", "/modules.builtin")))
    built_in = {module_name(line) for path, data in files.items() if path.endswith("builtin") for line in data.decode().split()}
    by_name = {module_name(path): path for path in files if path.endswith(".ko")}
    order = []

    def add(name):
        path = by_name.get(name.replace("-", "_"))
        if not path and name.replace("-", "_") not in built_in:
            raise KeyError(f"{package} has no module {name}")
        if not path or any(path == have for have, _ in order):
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", b"\0" + files[path])
        soft = re.findall(rb"\0softdep=pre: ([^\0]*)\0", b"\0" + files[path])
        for word in (depends.group(1).decode().split(",") if depends else []) + [w for s in soft for w in s.decode().split() if w in by_name]:
            if word:
                add(word)
        order.append((path, files[path]))
    for name in names:
        add(name)
    return order


def cpio(entries):
    """newc archive of (name, mode, bytes)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")], 1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        out += b"\0" * (-len(out) % 4)
        out += data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def overlay(script, modules, programs=()):
    folders = sorted({"/".join(path.split("/")[:n]) for path, _ in modules for n in range(1, path.count("/") + 1)})
    entries = [(folder, 0o040755, b"") for folder in folders]
    entries += [(path, 0o100644, data) for path, data in modules]
    entries += [("init", 0o100755, INIT.encode()), ("disk-script", 0o100644, script.encode()),
                ("disk-modules", 0o100644, "".join(f"/{path}\n" for path, _ in modules).encode())]
    entries += [(name, 0o100755, data) for name, data in programs]
    return cpio(entries)


def write_initrd(path, base, script, modules, programs=()):
    with open(base, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data + b"\0" * (-len(data) % 512) + overlay(script, modules, programs))
