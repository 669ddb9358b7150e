#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""A minimal Debian for i386 with systemd, GRUB and the 686 kernel, for the tests: as an archive, and as a disk image it boots from.

    media_debian.py [FOLDER]      builds what is missing under FOLDER (else $NETLAB_CACHE_DIR/media, else build/cache/media)

The archive comes from mmdebstrap with the Debian sources of this machine's own apt; when the security suite's i386 index cannot be
had, from the others alone, and that is said. What is built is kept; it is built again when this file or the release changes. The disk has one ext4
partition and GRUB before it, put there without a loop device: boot.img in the first sector, core.img in the ones after it, which is where
boot.img looks unless told otherwise. Nothing here needs root (mmdebstrap then uses a user namespace).

This is a test's set-up and runs outside the tests' namespaces, for only there is a network to download from. SKIP (77) and the reason
when it cannot be built.
"""
import fcntl
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

SUITE = "bookworm"
PACKAGES = ("systemd-sysv", "udev", "dbus", "libpam-systemd", "linux-image-686", "grub-pc", "e2fsprogs", "iproute2", "kmod", "busybox-static")
TOOLS = {"mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "genext2fs": "genext2fs", "grub-mkimage": "grub-common", "tune2fs": "e2fsprogs",
         "apt-get": "apt"}
GRUB = "/usr/lib/grub/i386-pc"
PARTITION_SECTOR = 2048
DISK_MIB = 1024
FORMAT = 2  # to be raised when the functions below make something else of the same words
UUID = "6e65746c-6162-4d65-8469-61746573740a"

WRITER = """#!/bin/sh
# Writes files of 32 KiB and syncs each; what is announced on the serial port is on the disk. The noise is never synced.
mkdir -p /var/journal
n=$(ls /var/journal | grep -c mark)
while :; do
    dd if=/dev/urandom of=/var/journal/noise$((n % 8)) bs=64k count=16 2>/dev/null &
    dd if=/dev/urandom of=/var/journal/mark$n bs=32k count=1 conv=fsync 2>/dev/null
    sync /var/journal
    echo "SYNCED $n $(md5sum </var/journal/mark$n | cut -c1-32) END" >/dev/ttyS0
    n=$((n + 1))
    wait
done
"""

NETWORK = """[Match]
Name=en* eth*
[Network]
DHCP=ipv4
"""

# As Debian's update-grub writes it, but for the pictures; the serial terminal is what `info terminal` in GRUB's manual has.
GRUB_CONFIG = f"""
insmod part_msdos
insmod ext2
search --no-floppy --fs-uuid --set=root {UUID}
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
menuentry 'Debian GNU/Linux' {{
    linux /vmlinuz root=UUID={UUID} ro console=ttyS0,115200 console=tty0 quiet
    initrd /initrd.img
}}
menuentry 'Debian GNU/Linux (writing)' {{
    linux /vmlinuz root=UUID={UUID} ro console=tty0 quiet systemd.wants=journal-writer.service
    initrd /initrd.img
}}
"""

WRITER_UNIT = """[Unit]
Description=Writes and syncs until the power goes
After=systemd-remount-fs.service
[Service]
ExecStart=/usr/local/sbin/journal-writer
"""


class Missing(Exception):
    pass


def folder(named=None):
    cache = os.environ.get("NETLAB_CACHE_DIR") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "cache")
    return named or os.environ.get("NETLAB_MEDIA_DIR") or os.path.join(os.path.abspath(cache), "media")


def sources(security):
    """deb lines of this machine's Debian sources, as netlab's own image builder has them."""
    out = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"],
                         capture_output=True, text=True).stdout
    found = []
    for line in out.splitlines():
        field = line.split("|")
        if len(field) == 4 and field[0] == "Debian" and field[3] == "main" and field[2].startswith(SUITE) and \
                (security or "-security" not in field[2]):
            found.append(f"deb {field[1]} {field[2]} {field[3]}")
    if not found:
        raise Missing(f"apt on this machine knows no Debian mirror with {SUITE} (run apt-get update as root once)")
    return sorted(set(found))


def bootstrap(archive):
    """The archive of the installed system: everything but the disk around it."""
    files = {"etc/fstab": f"UUID={UUID} / ext4 errors=remount-ro 0 1\n", "etc/hostname": "media\n", "etc/hosts": "127.0.0.1 localhost media\n",
             "etc/systemd/network/20-dhcp.network": NETWORK, "boot/grub/grub.cfg": GRUB_CONFIG,
             "etc/systemd/system/journal-writer.service": WRITER_UNIT, "usr/local/sbin/journal-writer": WRITER,
             "etc/systemd/system-preset/10-net.preset": "enable systemd-networkd.service\n"}
    with tempfile.TemporaryDirectory(prefix="netlab-media-") as work:
        os.chmod(work, 0o755)
        for name, text in files.items():
            path = os.path.join(work, "overlay", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o755 if "sbin" in name else 0o644)
        hooks = [f"tar -C {work}/overlay --owner=0 --group=0 -c . | tar -C \"$1\" --no-overwrite-dir -x",
                 f"mkdir -p \"$1\"/boot/grub/i386-pc && tar -C {GRUB} --owner=0 --group=0 -c . | tar -C \"$1\"/boot/grub/i386-pc -x",
                 "chroot \"$1\" passwd -d root", "chroot \"$1\" systemctl enable systemd-networkd",
                 "rm -rf \"$1\"/var/cache/apt/* \"$1\"/var/lib/apt/lists/*"]
        for security in (True, False):
            command = ["mmdebstrap", "--format=tar", "--arch=i386", "--variant=minbase", "--include=" + ",".join(PACKAGES),
                       *[f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale")],
                       "--essential-hook=echo 'grub-pc grub-pc/install_devices_empty boolean true' | chroot \"$1\" debconf-set-selections",
                       *["--customize-hook=" + hook for hook in hooks], SUITE, "-", *sources(security)]
            with open(archive, "wb") as out:
                built = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
            if built.returncode == 0:
                return
            if security:
                print("The security suite's i386 index cannot be had right now: using main and updates without it", flush=True)
        raise Missing(f"mmdebstrap: {built.stderr[-1500:]}")


def filesystem(archive, path, mib):
    """ext4 from the archive: genext2fs knows ext2 alone, tune2fs and e2fsck make the rest of it."""
    subprocess.run(["genext2fs", "-B", "4096", "-b", str(mib * 256), "-N", str(mib * 64), "-a", archive, path], check=True)
    subprocess.run(["tune2fs", "-U", UUID, "-j", "-O", "extents,uninit_bg,dir_index,dir_nlink,filetype", "-L", "debian", path], check=True,
                   stdout=subprocess.DEVNULL)
    done = subprocess.run(["e2fsck", "-fyD", path], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise Missing(f"e2fsck of the new file system: {done.stdout}{done.stderr}")


def embed_grub(disk, prefix="(hd0,msdos1)/boot/grub", modules=("biosdisk", "part_msdos", "ext2")):
    """GRUB into the sectors before the first partition of an open disk image."""
    with tempfile.NamedTemporaryFile() as core:
        subprocess.run(["grub-mkimage", "-O", "i386-pc", "-d", GRUB, "-p", prefix, "-o", core.name, *modules], check=True)
        data = core.read()
    if len(data) > (PARTITION_SECTOR - 1) * 512:
        raise Missing("core.img does not fit before the partition")
    with open(os.path.join(GRUB, "boot.img"), "rb") as file:
        boot = file.read()
    disk.seek(0)
    disk.write(boot[:440])
    disk.seek(512)
    disk.write(data)


def write_partition(disk, sectors, kind=0x83):
    """One bootable primary partition to the end of the image; the addresses in cylinders are the ones that mean `use the other`."""
    disk.seek(440)
    disk.write(struct.pack("<IHB3sB3sII", 0x6e65746c, 0, 0x80, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", PARTITION_SECTOR, sectors))
    disk.seek(510)
    disk.write(b"\x55\xaa")


def make_disk(archive, path):
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path)) as system, open(path, "wb") as disk:
        filesystem(archive, system.name, DISK_MIB)
        disk.truncate((DISK_MIB << 20) + PARTITION_SECTOR * 512)
        write_partition(disk, DISK_MIB << 11)
        embed_grub(disk)
        disk.seek(PARTITION_SECTOR * 512)
        while True:
            piece = system.read(1 << 16)
            if not piece:
                break
            if piece.strip(b"\0"):
                disk.write(piece)
            else:
                disk.seek(len(piece), os.SEEK_CUR)


def key():
    """Changes when what is built would."""
    text = repr((SUITE, PACKAGES, UUID, DISK_MIB, PARTITION_SECTOR, WRITER, WRITER_UNIT, NETWORK, GRUB_CONFIG, FORMAT))
    return hashlib.sha256(text.encode()).hexdigest()


def build(named=None):
    """The folder with debian.tar, debian.img, vmlinuz; built when it is not there."""
    where = folder(named)
    os.makedirs(where, exist_ok=True)
    with open(os.path.join(where, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = os.path.join(where, "debian.json")
        try:
            with open(stamp) as file:
                if json.load(file)["key"] == key():
                    return where
        except (OSError, ValueError, KeyError):
            pass
        for tool, package in TOOLS.items():
            if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
                raise Missing(f"needs the package {package}")
        if not os.path.exists(os.path.join(GRUB, "boot.img")):
            raise Missing("needs the package grub-pc-bin")
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        archive, disk = os.path.join(where, "debian.tar"), os.path.join(where, "debian.img")
        bootstrap(archive + ".new")
        make_disk(archive + ".new", disk + ".new")
        os.rename(archive + ".new", archive)
        os.rename(disk + ".new", disk)
        release = extract(archive, where)
        with open(stamp, "w") as file:
            json.dump({"key": key(), "kernel_release": release}, file)
    return where


def extract(archive, where):
    """vmlinuz, busybox and kernel.tar (modules) out of the archive; the kernel's release."""
    release = None
    kept = ("/kernel/drivers/net/ethernet/intel/e1000/", "/kernel/drivers/ata/", "/kernel/drivers/scsi/", "/kernel/drivers/cdrom/",
            "/kernel/drivers/block/", "/kernel/drivers/char/", "/kernel/drivers/parport/", "/kernel/drivers/watchdog/",
            "/kernel/drivers/input/", "/kernel/drivers/acpi/", "/kernel/block/", "/kernel/fs/", "/kernel/lib/", "/kernel/crypto/",
            "/kernel/arch/")
    with tarfile.open(archive) as tar, tarfile.open(os.path.join(where, "kernel.tar"), "w") as modules:
        for member in tar:
            name = member.name.lstrip("./")
            if not member.isfile():
                continue
            for wanted, path in (("boot/vmlinuz-", "vmlinuz"), ("bin/busybox", "busybox"), ("usr/bin/busybox", "busybox")):
                if name.startswith(wanted):
                    release = name[len(wanted):] if path == "vmlinuz" else release
                    with open(os.path.join(where, path), "wb") as file:
                        shutil.copyfileobj(tar.extractfile(member), file)
            if name.endswith("/modules.builtin") or name.endswith(".ko") and any(part in name for part in kept):
                modules.addfile(member, tar.extractfile(member))
    if not release:
        raise Missing(f"{archive} holds no kernel")
    return release


def ready(named=None):
    """The folder if it is built, else None: for tests, which have no network."""
    where = folder(named)
    try:
        with open(os.path.join(where, "debian.json")) as file:
            return where if json.load(file)["key"] == key() else None
    except (OSError, ValueError, KeyError):
        return None


if __name__ == "__main__":
    try:
        print(f"a minimal Debian is in {build(sys.argv[1] if len(sys.argv) > 1 else None)}")
    except (Missing, subprocess.CalledProcessError) as missing:
        print(f"SKIP: {missing}")
        sys.exit(77)
