#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""`disk`, `cdrom` and `boot` of a topology: what is refused before anything is changed, what machines start from, what they write
and what is kept of it. With real guests (image host), as root and as an ordinary user.

Needs the packages seabios, qemu-utils and xorriso; what needs more is named and left out.
"""
import fcntl
import hashlib
import os
import shutil
import struct
import subprocess
import sys

from harness import BIN, MODE, Failure, Lab, check, main, wait_until

ROOT = os.geteuid() == 0 and MODE == "root"
EMULATOR = os.path.join(os.path.dirname(BIN), "netlab-emu")


def boot_code(text):
    """A boot sector that says `text` on the first serial port and halts; also the start of a CD without emulation."""
    code = bytearray(b"\xfa\x31\xc0\x8e\xd8\xbe\x00\x00\xfc")  # cli; xor ax, ax; mov ds, ax; mov si, message; cld
    loop = len(code)
    code += b"\xac\x84\xc0\x74\x00"  # lodsb; test al, al; jz end
    jump_end = len(code)
    code += b"\x88\xc4\xba\xfd\x03"  # mov ah, al; mov dx, LSR
    poll = len(code)
    code += b"\xec\xa8\x20\x74\x00"  # in al, dx; test al, THRE; jz poll
    code[-1] = (poll - len(code)) & 255
    code += b"\x88\xe0\xba\xf8\x03\xee\xeb\x00"  # mov al, ah; mov dx, THR; out dx, al; jmp loop
    code[-1] = (loop - len(code)) & 255
    code[jump_end - 1] = len(code) - jump_end
    code += b"\xf4\xeb\xfd"  # end: hlt; jmp end
    message = 0x7c00 + len(code)
    code[6:8] = struct.pack("<H", message)
    code += text.encode() + b"\r\n\0"
    check(len(code) <= 510, "the text is too long for a boot sector")
    return bytes(code) + bytes(510 - len(code)) + b"\x55\xaa"


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def qemu_img(*words, cwd):
    subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.DEVNULL, cwd=cwd)


def make_cd(folder, name, files, boot=None):
    """A CD with these files ({name: bytes}); boot: the text that it says when it is started."""
    tree = os.path.join(folder, name + ".tree")
    os.mkdir(tree)
    for file, data in files.items():
        write(os.path.join(tree, file), data)
    words = []
    if boot:
        write(os.path.join(tree, "boot.bin"), boot_code(boot) + bytes(1536))
        words = ["-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4", "-c", "boot.cat"]
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-J", "-R", "-V", "TEST", *words, "-o", os.path.join(folder, name), tree],
                   check=True, stderr=subprocess.DEVNULL)
    shutil.rmtree(tree)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Held:
    """What a program holds that writes to an image: QEMU's locks (docs/disks.md)."""

    def __init__(self, path):
        self.file = open(path, "r+b")
        for at in (101, 103, 201, 203):
            fcntl.fcntl(self.file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, at, 1, 0))

    def close(self):
        self.file.close()


# ---- refusals ----

def refusals():
    """Everything wrong with a file is said with its place, and nothing was begun."""
    lab = Lab("name: refused\nnodes: {{h1: }}\n", name="refused", emulator=EMULATOR)
    folder = lab.folder
    qemu_img("create", "-f", "qcow2", "good.qcow2", "8M", cwd=folder)
    with open(os.path.join(folder, "good.qcow2"), "rb") as file:
        good = bytearray(file.read())
    qemu_img("create", "-f", "qcow2", "-u", "-b", "b.qcow2", "-F", "qcow2", "a.qcow2", "8M", cwd=folder)
    qemu_img("create", "-f", "qcow2", "-u", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2", "8M", cwd=folder)
    write(os.path.join(folder, "version.qcow2"), good[:4] + struct.pack(">I", 7) + good[8:])
    write(os.path.join(folder, "tables.qcow2"), good[:40] + struct.pack(">Q", 1 << 60) + good[48:])
    write(os.path.join(folder, "crypt.qcow2"), good[:32] + struct.pack(">I", 1) + good[36:])
    write(os.path.join(folder, "empty.img"), b"")
    write(os.path.join(folder, "raw.img"), bytes(65536))
    write(os.path.join(folder, "used.img"), bytes(65536))
    write(os.path.join(folder, "page.iso"), b"<html>not found</html>" + bytes(4096))
    make_cd(folder, "cd.iso", {"a": bytes(2 << 20)})
    with open(os.path.join(folder, "cd.iso"), "rb") as file:
        write(os.path.join(folder, "cut.iso"), file.read(100000))
    os.mkdir(os.path.join(folder, "folder"))
    os.mkfifo(os.path.join(folder, "fifo"))
    outside = os.path.join(lab.base, "outside.img")
    write(outside, bytes(65536))
    qemu_img("create", "-f", "qcow2", "-b", outside, "-F", "raw", "stray.qcow2", cwd=folder)
    held = Held(os.path.join(folder, "used.img"))
    rows = [
        ("disk: gone.img", "gone.img", "gone.img: no such file; correct the path"),
        ("disk: {file: gone.img, persistent: true}", "gone.img", "with a \"size\" it would be made"),
        ("disk: folder", "folder", "folder: it is a folder; name an image in it"),
        ("disk: fifo", "fifo", "fifo: it is no regular file"),
        ("disk: /dev/null", "/dev/null", "/dev/null: it is no regular file"),
        ("disk: empty.img", "empty.img", "is empty (0 bytes)"),
        ("disk: [raw.img, a.qcow2]", "a.qcow2", "the backing files go round in a circle: "),
        ("disk: version.qcow2", "version.qcow2", "says it is qcow2 of version 7"),
        ("disk: tables.qcow2", "tables.qcow2", "tables.qcow2"),
        ("disk: crypt.qcow2", "crypt.qcow2", "encrypt"),
        ("disk: stray.qcow2", "stray.qcow2", "neither in the folder of the disk nor in the topology's"),
        ("disk: cd.iso", "cd.iso", "is the image of a CD; write \"cdrom: …\" instead"),
        ("disk: used.img", "used.img", "used.img: the image is in use by another machine or program that writes to it"),
        ("disk: {file: used.img, persistent: true}", "used.img", "used.img: the image is in use by another machine or program"),
        ("disk: {file: nosuch/data.img, size: 1G, persistent: true}", "nosuch/data.img", "make the folder"),
        ("cdrom: gone.iso", "gone.iso", "gone.iso: no such file"),
        ("cdrom: page.iso", "page.iso", "is no image of a CD (ISO 9660 or UDF)"),
        ("cdrom: cut.iso", "cut.iso", "is cut short: it has 100000 bytes of "),
        ("cdrom: good.qcow2", "good.qcow2", "is a qcow2 disk and no CD"),
        ("image: mini, disk: raw.img", "raw.img", "image \"mini\" has no drivers for disks and CDs; use an image with a root on disk"),
        ("image: host, disk: [1G, 1G, 1G, 1G]", "1G]", "node \"h1\" has no room for this disk"),
        ("image: host, disk: raw.img, boot: disk", "disk}", "image \"host\" has a kernel, which starts without disk or CD"),
    ]
    before = lab.dump()
    sums = {name: digest(os.path.join(folder, name)) for name in ("good.qcow2", "raw.img", "used.img", "cd.iso")}
    for keys, token, says in rows:
        line = f"  h1: {{{keys}}}"
        lab.write(f"name: refused\nnodes:\n{line}\n")
        result = lab.netlab("up", rc=3)
        check(says in result.text, f"{keys}: {result.text}")
        check(f"\ntopology.yml:3:{line.rindex(token) + 1}: " in "\n" + result.text, f"{keys}: not at its place: {result.text}")
        lab.check_clean(before, keys)
    held.close()
    # One machine may write to a file.
    for text, line, says in (
            ("  h1: {disk: {file: raw.img, persistent: true}}\n  h2: {disk: raw.img}\n", 4, "raw.img is a disk of node \"h1\" already, and that one writes"),
            ("  h1: {disk: raw.img}\n  h2: {disk: {file: ./raw.img, persistent: true}}\n", 4, "already, and this one would write to it"),
            ("  h1: {disk: [{file: n.img, size: 1G, persistent: true}, {file: n.img, size: 1G, persistent: true}]}\n", 3, "is another disk of node \"h1\"")):
        lab.write("name: refused\nnodes:\n" + text)
        result = lab.netlab("up", rc=3)
        check(f"\ntopology.yml:{line}:" in "\n" + result.text and says in result.text, result.text)
        lab.check_clean(before, says)
    write(os.path.join(folder, "data.img"), bytes(65536))
    os.chmod(os.path.join(folder, "raw.img"), 0)
    os.chmod(os.path.join(folder, "data.img"), 0o444)
    lab.write("name: refused\nnodes:\n  h1: {disk: raw.img}\n  h2: {disk: {file: data.img, persistent: true}}\n")
    who = {"SUDO_UID": "4321", "SUDO_GID": "4321"} if ROOT else {}
    result = lab.netlab("up", rc=3, env=who)
    check(("who called sudo may not read it" if ROOT else "raw.img: Permission denied") in result.text and
          "data.img cannot be written to: Permission denied; see to its mode, or leave \"persistent\" out" in result.text, result.text)
    os.chmod(os.path.join(folder, "raw.img"), 0o644)
    os.remove(os.path.join(folder, "data.img"))
    check(sums == {name: digest(os.path.join(folder, name)) for name in sums}, "a refused file was changed")


# ---- what starts ----

def console(lab, node, text, seconds=30):
    path = os.path.join(lab.base, "run", lab.name, node, "console.log")

    def read():
        try:
            with open(path, errors="replace") as file:
                return file.read()
        except OSError:
            return ""
    wait_until(lambda: f"{node}'s console to say {text!r}; it says {read()!r}\n{lab.logs()}", lambda: text in read(), seconds)


def starts():
    """Firmware starts the disk or the CD as `boot` says, also below defaults with an image; a qcow2 image over a raw one."""
    lab = Lab("name: starts\nnodes: {{h1: }}\n", name="starts", emulator=EMULATOR)
    folder = lab.folder
    write(os.path.join(folder, "disk.img"), boot_code("this is the disk") + bytes(1 << 20))
    write(os.path.join(folder, "blank.img"), bytes(1 << 20))
    qemu_img("create", "-f", "qcow2", "-b", "disk.img", "-F", "raw", "over.qcow2", cwd=folder)
    make_cd(folder, "a b, c.iso", {"hello": b"hi\n"}, boot="this is the CD")
    lab.write("""\
name: starts
defaults: {memory: 16M}
nodes:
  disk: {disk: disk.img}
  over: {disk: over.qcow2}
  cd: {cdrom: "a b, c.iso"}
  both: {disk: disk.img, cdrom: "a b, c.iso"}
  cdfirst: {disk: disk.img, cdrom: "a b, c.iso", boot: cdrom}
  install: {disk: [{file: new.img, size: 8M, persistent: true}, 8M], cdrom: "a b, c.iso"}
""")
    before = lab.dump()
    dry = lab.netlab("up", "--dry-run").text
    check(not os.path.exists(os.path.join(folder, "new.img")) and "start machine disk" in dry, dry)
    lab.netlab("up")
    for node, says in (("disk", "this is the disk"), ("over", "this is the disk"), ("cd", "this is the CD"), ("both", "this is the disk"),
                       ("cdfirst", "this is the CD"), ("install", "this is the CD")):
        console(lab, node, says)
    found = os.stat(os.path.join(folder, "new.img"))
    check(found.st_size == 8 << 20 and found.st_blocks < 64, f"the persistent disk is not sparse: {found}")
    media = lab.node("install")["media"]
    check([(m["drive"], m["kind"], m.get("persistent"), m["from"]) for m in media] ==
          [("ide0-hd0", "disk", True, "topology"), ("ide0-hd1", "disk", False, "topology"), ("ide1-cd0", "cdrom", None, "topology")], f"{media}")
    check(media[0]["file"].endswith("/new.img") and media[0]["format"] == "raw" and media[1]["size"] == 8 << 20 and media[2]["file"].endswith("/a b, c.iso"),
          f"{media}")
    check(lab.node("over")["media"][0]["format"] == "qcow2", "the format of over")
    text = lab.netlab("inspect", "install").stdout
    for words in ("new.img (raw, persistent)", "of 8.0 MiB, empty at each start", "CD ", "a b, c.iso"):
        check(words in text.replace("\u00a0", " "), text)
    pids = lab.pids()[1]
    lab.netlab("up")
    check(lab.pids()[1] == pids, "an `up` without changes restarted a machine")
    check(lab.netlab("diff").stdout.startswith("lab starts is as"), "diff sees differences")
    # A changed key restarts its node alone; the disk's guest is no longer the CD's.
    with open(lab.file) as file:
        text = file.read()
    lab.write(text.replace("  cd: {cdrom: \"a b, c.iso\"}", "  cd: {cdrom: \"a b, c.iso\", disk: disk.img, boot: disk}"))
    differs = lab.netlab("diff", rc=1).stdout
    check("~ machine cd: media" in differs and "~ machine cd: boot" in differs, differs)
    lab.netlab("up")
    console(lab, "cd", "this is the disk")
    after = lab.pids()[1]
    check({n for n in pids if pids[n] != after[n]} == {"cd"}, f"restarted: {pids} {after}")
    sums = [digest(os.path.join(folder, name)) for name in ("disk.img", "over.qcow2", "a b, c.iso")]
    lab.netlab("down")
    os.remove(os.path.join(folder, "new.img"))
    lab.check_clean(before, "down")
    check(sums == [digest(os.path.join(folder, name)) for name in ("disk.img", "over.qcow2", "a b, c.iso")], "a shared file was written to")


# ---- what is written ----

WRITE = "echo {text} | dd of=/dev/disk/{disk} bs=512 conv=sync oflag=direct 2>/dev/null && sync"
READ = "dd if=/dev/disk/{disk} bs=512 count=1 2>/dev/null | tr -d '\\0'"


def writes():
    """Shared disks with a layer for each machine, empty ones, one that keeps what is written; a CD; changes, restarts, kills."""
    lab = Lab("name: writes\nnodes: {{h1: }}\n", name="writes", emulator=EMULATOR)
    folder = lab.folder
    write(os.path.join(folder, "base.img"), b"from the base\n" + bytes((4 << 20) - 14))
    qemu_img("create", "-f", "qcow2", "-b", "base.img", "-F", "raw", "shared.qcow2", cwd=folder)
    qemu_img("create", "-f", "qcow2", "-b", "base.img", "-F", "raw", "own.qcow2", cwd=folder)
    make_cd(folder, "cd.iso", {"hello.txt": b"hello from the CD\n"})
    private = [os.path.join(folder, name) for name in ("base.img", "shared.qcow2", "own.qcow2", "cd.iso")]
    if ROOT:
        for path in private:  # whoever the machine runs as: the files are opened for it
            os.chmod(path, 0o600)
    topology = """\
name: writes
nodes:
  a: {{image: host, disk: [shared.qcow2, {{file: data.img, size: 2M, persistent: true}}], cdrom: cd.iso}}
  b: {{image: host, disk: [shared.qcow2, 3M], cdrom: empty{more}}}
  c: {{image: host, disk: {{file: own.qcow2, persistent: true}}}}
"""
    lab.write(topology.format(more=""))
    before = lab.dump()
    lab.netlab("up")

    def do(node, command, rc=0):
        return lab.netlab("exec", node, command, rc=rc).stdout

    check(do("a", READ.format(disk="ide0-hd1")) == "from the base\n", "what lies below is not seen")
    check(do("a", "mount /dev/disk/ide1-cd0 /mnt && cat /mnt/hello.txt && umount /mnt") == "hello from the CD\n", "the CD")
    check(do("b", "cat /sys/class/block/$(basename $(readlink /dev/disk/ide1-hd1))/size").strip() == str(3 * 2048), "the empty disk's size")
    for node, disk in (("a", "ide0-hd1"), ("b", "ide0-hd1"), ("a", "ide1-hd1"), ("b", "ide1-hd1"), ("c", "ide0-hd1")):
        do(node, WRITE.format(text=f"{node} was here", disk=disk))
    for node, disk in (("a", "ide0-hd1"), ("b", "ide0-hd1"), ("c", "ide0-hd1")):
        check(do(node, READ.format(disk=disk)) == f"{node} was here\n", f"{node} {disk}")
    with open(private[0], "rb") as file:
        check(file.read(14) == b"from the base\n", "the shared file was written to")
    with open(os.path.join(folder, "data.img"), "rb") as file:
        check(file.read(11) == b"a was here\n", "the persistent disk has not got what was written")
    # Its own machine has the file: up, diff and status do not mind; another lab, or program, may not have it.
    lab.netlab("up")
    check(lab.netlab("diff").stdout.startswith("lab writes is as"), "diff sees differences")
    other = Lab(f"name: other\nnodes: {{{{x: {{{{disk: {folder}/data.img}}}}}}}}\n", name="other", base=os.path.join(lab.base, "second"), emulator=EMULATOR)
    refused = other.netlab("up", rc=3).text
    check("data.img: the image is in use by another machine or program that writes to it" in refused, refused)
    # A restart: layers and empty disks are new, what is persistent is kept.
    lab.netlab("restart", "a", "b", "c")
    check(do("a", READ.format(disk="ide0-hd1")) == "from the base\n", "a layer outlived its machine")
    check(do("b", READ.format(disk="ide1-hd1")) == "", "an empty disk outlived its machine")
    check(do("a", READ.format(disk="ide1-hd1")) == "a was here\n", "the persistent raw disk lost what was written")
    check(do("c", READ.format(disk="ide0-hd1")) == "c was here\n", "the persistent qcow2 disk lost what was written")
    # A changed node, while another one's persistent disk is in use; the base changes under its reader's feet only by a new up.
    pids = lab.pids()[1]
    lab.write(topology.format(more=", memory: 80M"))
    lab.netlab("up")
    after = lab.pids()[1]
    check({n for n in pids if pids[n] != after[n]} == {"b"}, f"restarted: {pids} {after}")
    lab.netlab("down")
    os.remove(os.path.join(folder, "data.img"))
    shutil.rmtree(os.path.join(lab.base, "second"))
    lab.check_clean(before, "down")
    subprocess.run(["qemu-img", "check", "-q", private[2]], check=True)
    # A backing file that was exchanged since is seen when the machine is started again.
    lab.write(topology.format(more=""))
    lab.netlab("up")
    write(os.path.join(folder, "base2.img"), bytes(4 << 20))
    lab.netlab("down", "a", "b")
    qemu_img("rebase", "-u", "-b", "base2.img", "-F", "raw", "shared.qcow2", cwd=folder)
    lab.netlab("up", "a")
    check(do("a", READ.format(disk="ide0-hd1")) == "", "the new base is not taken")
    lab.netlab("down")


def images():
    """An imported disk with a CD and disks of the node's own beside it."""
    if os.environ.get("NETLAB_IMAGE_DIR") is None:
        return "skipped: needs NETLAB_IMAGE_DIR"
    lab = Lab("name: images\nnodes: {{h1: }}\n", name="images", emulator=EMULATOR)
    folder, own = lab.folder, os.path.join(lab.base, "images")
    lab.env["NETLAB_IMAGE_DIR"] = own
    write(os.path.join(folder, "disk.img"), boot_code("this is the image") + bytes(1 << 20))
    make_cd(folder, "cd.iso", {"hello": b"hi\n"}, boot="this is the CD")
    make_cd(folder, "other.iso", {"hello": b"hi\n"}, boot="this is the other CD")
    lab.netlab("image", "import", "system", "disk.img", "cd.iso")
    lab.write("""\
name: images
defaults: {image: system, memory: 16M}
nodes:
  plain: {}
  more: {disk: 4M}
  cd: {boot: cdrom}
  other: {cdrom: other.iso, boot: cdrom}
  without: {cdrom: other.iso, boot: cdrom, disk: disk.img}
""")
    lab.netlab("up")
    for node, says in (("plain", "this is the image"), ("more", "this is the image"), ("cd", "this is the CD"), ("other", "this is the other CD"),
                       ("without", "this is the other CD")):
        console(lab, node, says)
    media = lab.node("more")["media"]
    check([(m["drive"], m["kind"], m["from"]) for m in media] ==
          [("ide0-hd0", "disk", "image"), ("ide1-cd0", "cdrom", "image"), ("ide0-hd1", "disk", "topology")], f"{media}")
    lab.netlab("down")
    lab.write("name: images\nnodes:\n  x: {image: system, boot: kernel}\n")
    refused = lab.netlab("up", rc=3).text
    check("image \"system\" has no kernel; write \"boot: disk\" or \"boot: cdrom\"" in refused, refused)
    return None


def classes():
    """A persistent file is one copy's; with the student's id in its name each has its own."""
    lab = Lab("name: class\nnodes: {{h1: }}\n", name="class", emulator=EMULATOR)
    write(os.path.join(lab.folder, "list.csv"), b"student\nann\nbob\n")
    lab.write("name: class\nnodes:\n  h1: {memory: 16M, disk: {file: data.img, size: 1M, persistent: true}, boot: disk}\n")
    refused = lab.netlab("up", "--for", "list.csv", rc=None)
    check(refused.returncode and "data.img is persistent in the copies of ann and bob" in refused.text and "${student.id}" in refused.text, refused.text)
    check(not os.path.exists(os.path.join(lab.folder, "data.img")), "refused, and made all the same")
    lab.write("name: class\nnodes:\n  h1: {memory: 16M, disk: {file: 'data-${student.id}.img', size: 1M, persistent: true}, boot: disk}\n")
    lab.netlab("up", "--for", "list.csv")
    check(sorted(n for n in os.listdir(lab.folder) if n.startswith("data")) == ["data-ann.img", "data-bob.img"], "each copy's file")
    lab.netlab("up", "--for", "list.csv")
    lab.netlab("down", "--for", "list.csv")


if not os.path.exists("/usr/share/seabios/bios-256k.bin") or not shutil.which("qemu-img") or not shutil.which("xorriso"):
    print("SKIP: needs the packages seabios, qemu-utils and xorriso")
    sys.exit(77)
main(refusals, starts, writes, images, classes)
