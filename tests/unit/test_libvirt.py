#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
libvirt drives netlab-emu, as it drives QEMU: the QEMU driver of Debian's libvirt, within virsh (qemu:///embed), without a
daemon and without privilege. It asks the program what it can, writes the command line, speaks QMP with it, and believes the
events. The guest is a boot sector that says "up" on its serial port (after the firmware) and then the codes of the keys that are pressed.

  test_libvirt.py netlab-emu       ends with 77 when there is no virsh or none of its QEMU driver
"""
import ctypes
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

LIMIT = 30
URI = "qemu:///embed?root="
DRIVER = "connection-driver/libvirt_driver_qemu.so"
PR_SET_CHILD_SUBREAPER = 36

# 16-bit: "up\n" to COM1; then for ever: when the keyboard has something (0x64 bit 0, not the mouse's), its byte to COM1.
GUEST = bytes.fromhex(
    "fa 31c0 8ed8"                # cli; ds = 0
    "be227c"                      # si = text
    "ba f803"                     # dx = COM1
    "ac 84c0 7403 ee ebf8"        # each character, up to a 0
    "e464 a801 74fa"              # wait for a byte
    "a820 e460 75f4"              # of the keyboard, not of the mouse
    "ee ebf1") + b"up\n\0"

DOMAIN = """
<domain type='qemu'>
  <name>t1</name>
  <uuid>12345678-1234-1234-1234-123456789abc</uuid>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='i686' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{folder}/disk'/><target dev='hda' bus='ide'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{folder}/cd'/><target dev='hdc' bus='ide'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='hdd' bus='ide'/><readonly/></disk>
    <disk type='file' device='floppy'><driver name='qemu' type='raw'/><source file='{folder}/floppy'/><target dev='fda' bus='fdc'/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><model type='e1000'/></interface>
    <serial type='file'><source path='{folder}/serial'/></serial>
    <graphics type='vnc'><listen type='socket' socket='{folder}/vnc'/></graphics>
    <video><model type='vga'/></video>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
CD = """
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{folder}/cd'/><target dev='hdc' bus='ide'/><readonly/></disk>
"""
NIC = """
<interface type='user'><mac address='52:54:00:00:00:02'/><model type='e1000'/></interface>
"""


def reap(mine):
    """Ends the zombies that a machine in the background leaves: libvirt takes them for living. Returns when `mine` has ended."""
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if ended is None or ended.si_pid == mine:
            return
        os.waitpid(ended.si_pid, 0)


class Virsh:
    def __init__(self, folder):
        os.makedirs(f"{folder}/root/etc")
        os.makedirs(f"{folder}/bin")
        with open(f"{folder}/root/etc/qemu.conf", "w") as file:
            file.write('stdio_handler = "file"\nsecurity_driver = "none"\nseccomp_sandbox = 1\n')
        # As root libvirt would want a user of its own. Nothing else that looks like QEMU is to be found in PATH.
        user = [shutil.which("unshare"), "-U", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
        environment = {"PATH": f"{folder}/bin", "HOME": folder, "XDG_RUNTIME_DIR": folder, "LC_ALL": "C",
                       "LIBVIRT_LOG_OUTPUTS": f"3:file:{folder}/log"}
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.process = subprocess.Popen([*user, shutil.which("virsh"), "-c", f"{URI}{folder}/root"], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=reap, args=(self.process.pid,), daemon=True).start()
        self.folder, self.count = folder, 0

    def do(self, command, says=""):
        self.count += 1
        mark, text, until = f"mark{self.count}", "", time.monotonic() + LIMIT
        self.process.stdin.write(f"{command}\necho {mark}\n".encode())
        self.process.stdin.flush()
        while not re.search(rf"\n{mark}\s*virsh # ", text):  # the prompt behind the answer, not behind the echo of what was typed
            ready = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, f"virsh ends or is silent at '{command}': {text}\n{self.logs()}"
            text += piece.decode(errors="replace")
        text = text.partition("\n")[2].rpartition(f"virsh # echo {mark}")[0]
        assert "error:" not in text and re.search(says, text), f"{command}: {text} does not say '{says}'\n{self.logs()}"
        return text

    def logs(self):
        text = ""
        for name in (f"{self.folder}/log", f"{self.folder}/root/log/qemu/t1.log"):
            if os.path.exists(name):
                with open(name, errors="replace") as file:
                    text += file.read()[-6000:]
        return text


def wait_for(what, condition):
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.02)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def ask(virsh, command):
    return json.loads(virsh.do(f"qemu-monitor-command t1 '{{\"execute\": \"{command}\"}}'"))["return"]


def inside(virsh, drive):
    """(file of the medium or None, whether the tray is open or None) of the drive with this id."""
    found = [block for block in ask(virsh, "query-block") if block["qdev"] == drive]
    assert found, f"there is no drive {drive}: {ask(virsh, 'query-block')}"
    return found[0].get("inserted", {}).get("file"), found[0].get("tray_open")


def drive(virsh, folder):
    serial = f"{folder}/serial"
    virsh.do(f"create {folder}/domain.xml", "created")
    wait_for("the guest", lambda: read(serial).endswith(b"up\n"))
    virsh.do("domstate t1", "running")
    virsh.do("dominfo t1", "12345678-1234-1234-1234-123456789abc")
    # keys
    virsh.do("send-key t1 KEY_A")
    wait_for("a key", lambda: read(serial).endswith(b"up\n\x1e\x9e"))
    # lifecycle, by events
    virsh.do("suspend t1", "suspended")
    virsh.do("domstate t1 --reason", r"paused \(user\)")
    virsh.do("resume t1", "resumed")
    virsh.do("domstate t1", "running")
    virsh.do("reset t1", "reset")
    wait_for("the guest again", lambda: b"up\n\x1e\x9e" in read(serial)[:-3] and read(serial).endswith(b"up\n"))
    # drives, by the names of their nodes
    virsh.do("domblklist t1", f"hda +{folder}/disk\n *hdc +{folder}/cd")
    assert int(re.search(r"hda rd_req (\d+)", virsh.do("domblkstat t1 hda")).group(1)) > 0
    virsh.do("domblkinfo t1 hda", r"Capacity: +1048576\n")
    virsh.do("blkdeviotune t1 hda --total-bytes-sec 1000000")
    virsh.do("blkdeviotune t1 hda", r"total_bytes_sec *: 1000000\n")
    # media
    for name in ("other.iso", "third.iso"):
        with open(f"{folder}/{name}", "wb") as file:
            file.truncate(2 << 20)
    virsh.do(f"change-media t1 hdc {folder}/other.iso --update", "Successfully updated")
    virsh.do("domblklist t1", f"hdc +{folder}/other.iso")
    assert inside(virsh, "ide0-1-0") == (f"{folder}/other.iso", False)
    virsh.do("change-media t1 hdc --eject", "Successfully ejected")
    virsh.do("domblklist t1", "hdc +-\n")
    assert inside(virsh, "ide0-1-0") == (None, False)
    virsh.do(f"change-media t1 hdc {folder}/third.iso --insert", "Successfully inserted")
    assert inside(virsh, "ide0-1-0") == (f"{folder}/third.iso", False)
    virsh.do("domblkinfo t1 hdc", r"Capacity: +2097152\n")
    virsh.do(f"update-device t1 {folder}/cd.xml", "updated")
    assert inside(virsh, "ide0-1-0") == (f"{folder}/cd", False)
    virsh.do(f"change-media t1 hdd {folder}/third.iso --insert", "Successfully inserted")  # a drive that was empty from the start
    assert inside(virsh, "ide0-1-1") == (f"{folder}/third.iso", False)
    virsh.do(f"change-media t1 fda {folder}/other.img --update", "Successfully updated")
    assert inside(virsh, "fdc0-0-0") == (f"{folder}/other.img", None)
    virsh.do(f"change-media t1 fda {folder}/floppy --update", "Successfully updated")
    virsh.do(f"change-media t1 fda {folder}/floppy --update", "Successfully updated")
    virsh.do("blockresize t1 hda 2M", "resized")
    virsh.do("domblkinfo t1 hda", r"Capacity: +2097152\n")
    names = {node["node-name"] for node in ask(virsh, "query-named-block-nodes")}
    assert len(names) == 8, f"of each medium a node and the file below it, none of those before: {names}"
    # NICs
    virsh.do("domif-setlink t1 52:54:00:00:00:01 down", "updated")
    virsh.do("qemu-monitor-command t1 --hmp info network", "link down")
    virsh.do("domif-setlink t1 52:54:00:00:00:01 up", "updated")
    virsh.do(f"attach-device t1 {folder}/nic.xml", "attached")
    virsh.do("domiflist t1", "52:54:00:00:00:01(.|\n)*52:54:00:00:00:02")
    virsh.do("qemu-monitor-command t1 --hmp info network", "52:54:00:00:00:02")
    # the screen
    virsh.do(f"screenshot t1 {folder}/picture", "saved|Screenshot")
    assert read(f"{folder}/picture")[:2] in (b"P6", b"\x89P")
    virsh.do("domdisplay t1", "vnc")
    virsh.do("inject-nmi t1")
    virsh.do("qemu-monitor-command t1 --pretty '{\"execute\": \"query-status\"}'", '"running": true')
    virsh.do("destroy t1", "destroyed")
    assert "t1" not in virsh.do("list --all")


def main():
    emulator = os.path.abspath(sys.argv[1])
    folders = ["/usr/lib/libvirt", "/usr/lib64/libvirt", *(f"/usr/lib/{name}/libvirt" for name in os.listdir("/usr/lib"))]
    if not shutil.which("virsh") or not any(os.path.exists(f"{folder}/{DRIVER}") for folder in folders):
        print("skipped: no virsh with its QEMU driver (Debian packages libvirt-clients, libvirt-daemon-driver-qemu)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="netlab-virt-") as folder:
        with open(f"{folder}/disk", "wb") as file:
            file.write(GUEST.ljust(510, b"\0") + b"\x55\xaa")
            file.truncate(1 << 20)
        for name, size in (("cd", 1 << 20), ("floppy", 1440 << 10), ("other.img", 1440 << 10)):
            with open(f"{folder}/{name}", "wb") as file:
                file.truncate(size)
        with open(f"{folder}/cd.xml", "w") as file:
            file.write(CD.format(folder=folder))
        with open(f"{folder}/domain.xml", "w") as file:
            file.write(DOMAIN.format(emulator=emulator, folder=folder))
        with open(f"{folder}/nic.xml", "w") as file:
            file.write(NIC)
        virsh = Virsh(folder)
        try:
            drive(virsh, folder)
            virsh.process.stdin.close()
            wait_for("virsh's end", lambda: virsh.process.poll() is not None)
        finally:
            if virsh.process.poll() is None:
                virsh.process.stdin.write(b"destroy t1\n")
                virsh.process.stdin.close()
                virsh.process.wait(LIMIT)
    print(f"{virsh.count} commands of virsh")


main()
