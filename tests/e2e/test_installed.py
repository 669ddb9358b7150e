# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Debian installed on a disk (media_debian.py): GRUB, the 686 kernel, systemd, a login on screen and serial port; and power cuts.

A power cut is SIGKILL to the emulator while the guest writes and syncs. What the guest said to be synced must be in the image with its
content; the file system's journal must repair it (e2fsck -p on a copy, and the guest itself at its next start). Raw and qcow2;
three times, with NETLAB_TEST_FULL thirty times each.
"""
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import media
import media_debian
from harness import Failure, check, main, wait_until
from media import SECONDS, Pc, debian, have, run

FULL = os.environ.get("NETLAB_TEST_FULL", "0") not in ("", "0")
OFFSET = media_debian.PARTITION_SECTOR * 512
PROMPT = "root@media:~# "
work = tempfile.mkdtemp(prefix="netlab-installed-", dir="/var/tmp")


class Installed(Pc):
    """The machine with its serial port on a socket."""

    def __init__(self, disk, kind):
        self.console, self.buffer, self.heard = None, "", ""
        super().__init__("-m", "256M", "-drive", f"file={disk},format={kind}", "-netdev", "user,id=u", "-device", "e1000,netdev=u", "-serial",
                         f"unix:{work}/serial,server=on,wait=off", debug=False)
        self.console = socket.socket(socket.AF_UNIX)
        wait_until("the serial port's socket", lambda: self.console.connect_ex(f"{work}/serial") == 0, SECONDS)
        self.console.settimeout(1)

    def __exit__(self, *error):
        if self.console:
            self.console.close()
        super().__exit__(*error)

    def expect(self, pattern, seconds=SECONDS):
        """Reads until the pattern; the match. What was before it is in `heard`."""
        def seen():
            found = re.search(pattern, self.buffer)
            if found:
                return found
            try:
                data = self.console.recv(65536)
            except TimeoutError:
                self.alive()
                return None
            check(data, "the serial port was closed")
            self.buffer = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.buffer + data.decode("latin-1").replace("\r", ""))
            return re.search(pattern, self.buffer)
        try:
            found = wait_until(f"{pattern!r} on the serial port", seen, seconds)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.buffer[-3000:]}\n{self.screen()}") from None
        self.heard, self.buffer = self.buffer[:found.start()], self.buffer[found.end():]
        return found

    def log_in(self):
        self.expect(r"media login: ")
        self.console.sendall(b"root\n")
        self.expect(re.escape(PROMPT))

    def command(self, line):
        self.console.sendall(line.encode() + b"\n")
        self.expect(re.escape(line[-20:]) + r"\n")
        self.expect(re.escape(PROMPT))
        return self.heard


def left_out(*paths):
    missing = have("e2fsck", "debugfs", *paths) or ("" if debian("debian.img") else "the minimal Debian (media_debian.py)")
    return f"left out: {missing} is not there" if missing else ""


def fresh(kind):
    disk = os.path.join(work, "disk." + kind)
    if kind == "raw":
        run("cp", "--sparse=always", "--reflink=auto", debian("debian.img"), disk)
    else:
        run("qemu-img", "convert", "-f", "raw", "-O", kind, debian("debian.img"), disk)
    return disk


def life():
    """Menu, boot, systemd's verdict, the network, a reboot from inside, and the power button."""
    missing = left_out()
    if missing:
        return missing
    disk = fresh("raw")
    with Installed(disk, "raw") as m:
        m.expect("Debian GNU/Linux")  # GRUB's menu, on the serial port too
        m.log_in()
        verdict = m.command("systemctl is-system-running --wait")
        check(verdict.strip().endswith("running"), f"{verdict}: {m.command('systemctl --failed --no-pager')}")
        check("10.0.2.15/24" in m.command("networkctl status --no-pager; ip -4 -o address"), m.heard)
        # The kernel's frame buffer on the card, 1024 x 768; some of its font's letters are not the BIOS font's.
        m.wait_picture(lambda p: "login:" in p.text(8), "a login on the screen")
        boot = m.command("cat /proc/sys/kernel/random/boot_id").strip()
        m.console.sendall(b"systemctl reboot\n")
        m.log_in()
        check(m.command("cat /proc/sys/kernel/random/boot_id").strip() != boot, "the same boot after a reboot")
        m.monitor("system_powerdown")
        check(m.process.wait(SECONDS) == 0, f"the power button: exit code {m.process.returncode}")
    checked(disk, "raw", {})
    return "login on screen and serial port, running, DHCP, reboot, power button, a clean file system"


def checked(disk, kind, synced):
    """e2fsck of a copy of the partition, and every file that was synced."""
    raw, where = disk, os.path.join(work, "partition")
    if kind != "raw":
        raw = os.path.join(work, "copy.raw")
        done = subprocess.run(["qemu-img", "check", "-q", disk], capture_output=True, text=True)
        check(done.returncode in (0, 3), f"qemu-img check: {done.stdout}{done.stderr}")  # 3: leaked clusters alone
        run("qemu-img", "convert", "-O", "raw", disk, raw)
    # e2fsck takes an offset, but loses it when it opens the file again after the journal.
    run("dd", f"if={raw}", f"of={where}", "bs=1M", f"skip={OFFSET >> 20}", "conv=sparse")
    repaired = subprocess.run(["e2fsck", "-p", where], capture_output=True, text=True)
    check(repaired.returncode in (0, 1), f"e2fsck -p: {repaired.returncode} {repaired.stdout}{repaired.stderr}")
    run("e2fsck", "-fn", where)
    names = "".join(f"dump /var/journal/mark{n} {work}/mark{n}\n" for n in synced)
    run("debugfs", "-f", media_write(names), where)
    for n, digest in synced.items():
        path = os.path.join(work, f"mark{n}")
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
        check(len(data) == 32768 and hashlib.md5(data).hexdigest() == digest, f"mark{n}, synced before the cut, has {len(data)} bytes of something else")
    os.unlink(where)
    if raw != disk:
        os.unlink(raw)


def media_write(text):
    path = os.path.join(work, "commands")
    with open(path, "w") as file:
        file.write(text)
    return path


def cuts(kind, times):
    disk, synced = fresh(kind), {}
    for _ in range(times):
        with Installed(disk, kind) as m:
            m.log_in()
            state = m.command("systemctl is-system-running --wait")
            check(state.strip().endswith("running"), f"after a power cut: {state} {m.command('systemctl --failed --no-pager')}")
            m.console.sendall(b"systemctl start journal-writer\n")
            for _ in range(6):
                found = m.expect(r"SYNCED (\d+) ([0-9a-f]{32}) END")
                synced[int(found[1])] = found[2]
            m.process.send_signal(signal.SIGKILL)
            m.process.wait()
        checked(disk, kind, synced)
    return len(synced)


def power_cuts_raw():
    return left_out() or f"{cuts('raw', 30 if FULL else 2)} files over the cuts"


def power_cuts_qcow2():
    return left_out("qemu-img") or f"{cuts('qcow2', 30 if FULL else 1)} files over the cuts"


if __name__ == "__main__":
    try:
        main(life, power_cuts_raw, power_cuts_qcow2)
    finally:
        shutil.rmtree(work, ignore_errors=True)
