#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Nodes and media by QMP: blockdev-add, blockdev-del, trays, and media put in and taken out. The same dialogue is held with
netlab-emu and, where it is installed, with QEMU: the same commands succeed, with the same answers, events, classes of errors
and texts (but for ours that say more, which are told by `ours`). Then what only netlab-emu is asked: locks between nodes,
chains of images, what is in the files at the end.

  test_blockdev.py netlab-emu [qemu-system-i386]
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from qmp_machine import LIMIT, Machine

MIB = 1 << 20
DRIVES = (
    "-blockdev", '{"driver": "file", "filename": "cd1", "node-name": "s0", "auto-read-only": true, "discard": "unmap"}',
    "-blockdev", '{"node-name": "f0", "read-only": true, "driver": "raw", "file": "s0"}',
    "-blockdev", "driver=file,filename=disk,node-name=s-hd", "-blockdev", "driver=raw,file=s-hd,node-name=hd",
    "-device", "ide-hd,bus=ide.0,unit=0,drive=hd,id=hd0", "-device", "ide-cd,bus=ide.1,unit=0,drive=f0,id=cd0",
    "-device", "ide-cd,bus=ide.1,unit=1,id=cd1", "-device", "floppy,id=fl0,unit=0")

ADD, DEL, INSERT, REMOVE, OPEN, CLOSE = (
    "blockdev-add", "blockdev-del", "blockdev-insert-medium", "blockdev-remove-medium", "blockdev-open-tray", "blockdev-close-tray")
CD2 = {"driver": "file", "filename": "cd2"}
# (command, arguments, what our text has where it is not QEMU's)
DIALOGUE = (
    (ADD, {"driver": "file", "filename": "none", "node-name": "s1"}, "none: No such file"),
    (ADD, CD2, None),
    (ADD, {**CD2, "node-name": "1x"}, "node-name=1x"),
    (ADD, {**CD2, "node-name": "s0"}, None),
    (ADD, {**CD2, "node-name": "s1", "auto-read-only": True, "discard": "unmap"}, None),
    (ADD, {"driver": "raw", "node-name": "f1", "file": "nix", "read-only": True}, None),
    (ADD, {"driver": "raw", "node-name": "f1", "file": "f0", "read-only": True}, None),  # above one that is in use
    (DEL, {"node-name": "f1"}, None),
    (ADD, {"driver": "raw", "node-name": "f1", "file": "s1", "read-only": True}, None),
    (ADD, {"driver": "raw", "node-name": "f1", "file": "s1", "read-only": True}, None),
    (ADD, {"driver": "raw", "node-name": "f9", "file": CD2, "read-only": True}, None),
    (ADD, {"driver": "raw", "node-name": "f8", "file": CD2, "read-only": True, "backing": None}, "backing= is of driver=qcow2"),
    (DEL, {"node-name": "f9"}, None),
    (DEL, {"node-name": "f0"}, None),
    (DEL, {"node-name": "s1"}, None),
    (DEL, {"node-name": "nix"}, None),
    (INSERT, {"id": "cd0", "node-name": "f1"}, None),
    (REMOVE, {"id": "cd0"}, None),
    (INSERT, {"id": "nix", "node-name": "f1"}, None),
    (INSERT, {"id": "hd0", "node-name": "f1"}, None),
    (REMOVE, {"id": "hd0"}, None),
    (OPEN, {"id": "hd0"}, None),
    (CLOSE, {"id": "hd0"}, None),
    (OPEN, {"id": "cd0"}, None),
    (OPEN, {"id": "cd0"}, None),
    (INSERT, {"id": "cd0", "node-name": "f1"}, None),
    (REMOVE, {"id": "cd0"}, None),
    (REMOVE, {"id": "cd0"}, None),
    (INSERT, {"id": "cd0", "node-name": "nix"}, None),
    (INSERT, {"id": "cd0", "node-name": "f1"}, None),
    (CLOSE, {"id": "cd0"}, None),
    (OPEN, {"id": "cd1"}, None),
    (INSERT, {"id": "cd1", "node-name": "f1"}, None),
    (CLOSE, {"id": "cd1"}, None),
    (CLOSE, {}, None),
    (CLOSE, {"id": "cd1", "device": "cd1"}, None),
    (OPEN, {"id": "nix"}, None),
    (OPEN, {"id": "fl0"}, None),
    (INSERT, {"id": "fl0", "node-name": "f0"}, None),
    (CLOSE, {"id": "fl0"}, None),
    (REMOVE, {"id": "fl0"}, None),
    (REMOVE, {"id": "fl0"}, None),
    (INSERT, {"id": "fl0", "node-name": "f0"}, None),
    (DEL, {"node-name": "f1"}, None),
    ("blockdev-change-medium", {"id": "cd0", "filename": "nix"}, "nix: No such file"),
    ("blockdev-change-medium", {"id": "cd0", "filename": "cd1", "format": "raw"}, None),
    (DEL, {"node-name": "f1"}, None),
    (DEL, {"node-name": "s1"}, None),
    ("eject", {"id": "cd0"}, None),
    ("eject", {"id": "cd0"}, None),
    ("eject", {"id": "hd0"}, None),
    ("block_resize", {"node-name": "hd", "size": 2 * MIB}, None),
)


def place(block):
    """What of a drive is compared: where it is, what is in it."""
    inside = block.get("inserted")
    return (block["qdev"], block["removable"], block["locked"], block.get("tray_open"),
            inside and (inside["file"], inside["drv"], inside["ro"], inside["image"]["virtual-size"], inside["image"]["format"],
                        inside["node-name"] if not inside["node-name"].startswith("#") else None) if inside and "node-name" in inside else
            inside and (inside["file"], inside["drv"], inside["ro"], inside["image"]["virtual-size"], inside["image"]["format"], None))


def hold(program, folder):
    """The dialogue's record: after each command the answer, the events and the drives."""
    machine, record = Machine(program, folder, "-S", *DRIVES), []
    try:
        for command, arguments, ours in DIALOGUE:
            machine.events.clear()
            answer = machine.ask(command, arguments)
            events = [(name, {"id": data["id"], "tray-open": data["tray-open"]}) for name, data in machine.events if name == "DEVICE_TRAY_MOVED"]
            drives = sorted(place(block) for block in machine.good("query-block"))
            record.append((command, arguments, ours, answer, events, drives))
        nodes = {node["node-name"]: (node["drv"], node["file"]) for node in machine.good("query-named-block-nodes")
                 if not node["node-name"].startswith("#")}
        machine.end()
    finally:
        machine.kill()
    return record, nodes


def make(folder):
    for name, size in (("cd1", MIB), ("cd2", MIB), ("disk", MIB), ("floppy", 1440 << 10)):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(name.encode().ljust(512, b"."))
            file.truncate(size)


def compare(ours, theirs):
    for (command, arguments, text, a, events_a, drives_a), (_, _, _, b, events_b, drives_b) in zip(ours[0], theirs[0]):
        what = f"{command} {arguments}"
        assert ("return" in a) == ("return" in b), f"{what}: {a}, QEMU: {b}"
        if "error" in a:
            assert a["error"]["class"] == b["error"]["class"], f"{what}: {a}, QEMU: {b}"
            assert text is not None and text in a["error"]["desc"] or a["error"]["desc"] == b["error"]["desc"], f"{what}: {a}, QEMU: {b}"
        assert events_a == events_b, f"{what}: {events_a}, QEMU: {events_b}"
        assert drives_a == drives_b, f"{what}: {drives_a}, QEMU: {drives_b}"
    assert ours[1] == theirs[1], f"nodes: {ours[1]}, QEMU: {theirs[1]}"


def locks(program, folder):
    """Nodes of one file stand beside each other; the one in a drive has it for itself."""
    machine = Machine(program, folder, "-S", "-device", "floppy,id=fl0,unit=0", "-device", "floppy,id=fl1,unit=1")
    try:
        for name in ("a", "b"):
            machine.good(ADD, driver="file", node_name=f"s{name}", filename="floppy")
            machine.good(ADD, driver="raw", node_name=name, file=f"s{name}")
        machine.good(INSERT, id="fl0", node_name="a")
        machine.bad("in use", INSERT, id="fl1", node_name="b")
        machine.good(REMOVE, id="fl0")
        machine.good(INSERT, id="fl1", node_name="b")
        machine.bad("by a node above it", INSERT, id="fl0", node_name="sa")
        machine.good("blockdev-change-medium", id="fl1", filename="floppy", format="raw")  # the file that the node has let go of
        machine.good(DEL, node_name="b")
        machine.bad("in use", INSERT, id="fl0", node_name="a")
        machine.bad("Duplicate", ADD, driver="null-co", node_name="a")
        machine.bad("conflicting", ADD, driver="null-co", node_name="floppy0")
        for count in range(1, 2000):  # there is an end to it, and it is told
            answer = machine.ask(ADD, {"driver": "null-co", "node-name": f"n{count}"})
            if "error" in answer:
                break
        assert count > 900 and "no room" in answer["error"]["desc"], f"{count}: {answer}"
        machine.end()
    finally:
        machine.kill()


def chains(program, folder):
    """What is below is what the words say, and not what the image says."""
    qemu_img = shutil.which("qemu-img")
    if not qemu_img:
        print("no qemu-img: chains of images are left out")
        return
    for arguments in (["-f", "qcow2", "base.qcow2", "1M"], ["-f", "qcow2", "-F", "raw", "-b", "cd1", "top.qcow2"]):
        subprocess.run([qemu_img, "create", "-q", *arguments], check=True, cwd=folder)
    words = ("-blockdev", '{"driver": "file", "filename": "base.qcow2", "node-name": "sb"}',
             "-blockdev", '{"driver": "qcow2", "file": "sb", "node-name": "base", "backing": null, "read-only": true}',
             "-blockdev", '{"driver": "file", "filename": "top.qcow2", "node-name": "st"}',
             "-blockdev", '{"driver": "qcow2", "file": "st", "node-name": "top", "backing": "base"}',
             "-device", "ide-hd,drive=top,id=hd0", "-device", "ide-cd,id=cd0")
    machine = Machine(program, folder, "-S", *words)
    try:
        block = next(block for block in machine.good("query-block") if block["qdev"] == "hd0")
        assert block["inserted"]["backing_file"] == "base.qcow2", block
        machine.bad("in use", DEL, node_name="base")
        answer = machine.good("human-monitor-command", command_line="commit hd0")
        assert "put together by backing=" in answer, answer
        machine.good(ADD, driver="qcow2", node_name="alone", file={"driver": "file", "filename": "base.qcow2"}, read_only=True, backing=None)
        machine.bad("Cannot find", ADD, driver="qcow2", node_name="x", file={"driver": "file", "filename": "top.qcow2"}, backing="nix")
        machine.bad("in use", ADD, driver="qcow2", node_name="x", file={"driver": "file", "filename": "top.qcow2"})
        machine.bad("no qcow2 header", ADD, driver="qcow2", node_name="x", file={"driver": "file", "filename": "cd1"})
        machine.bad("sees its disk", ADD, driver="raw", node_name="x", file="alone")
        machine.good(OPEN, id="cd0")
        machine.good(INSERT, id="cd0", node_name="alone")
        machine.good(CLOSE, id="cd0")
        block = next(block for block in machine.good("query-block") if block["qdev"] == "cd0")
        assert block["inserted"]["drv"] == "qcow2" and "backing_file" not in block["inserted"], block
        machine.end()
    finally:
        machine.kill()


def cut_short(program, folder):
    """A disc of which the end is missing is told at the start, in the monitor, and when a node of it is put in; a whole one is not."""
    sectors, kept = 400, 100
    volume = bytearray(sectors * 2048)
    at = 16 * 2048
    volume[at:at + 7] = b"\x01CD001\x01"
    volume[at + 80:at + 88] = sectors.to_bytes(4, "little") + sectors.to_bytes(4, "big")
    volume[at + 128:at + 132] = (2048).to_bytes(2, "little") + (2048).to_bytes(2, "big")
    volume[at + 156] = 34
    volume[at + 158:at + 166] = (20).to_bytes(4, "little") + (20).to_bytes(4, "big")
    for name, size in (("whole.iso", sectors), ("cut.iso", kept)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(volume[:size * 2048])
    says = "{0}: file=cut.iso is cut short: %d of %d bytes are there; download it again and compare its checksum" % (kept * 2048, sectors * 2048)
    machine = Machine(program, folder, "-S", "-drive", "file=cut.iso,media=cdrom,id=cd,format=raw",
                      "-blockdev", "driver=file,filename=cut.iso,node-name=n,read-only=on", "-device", "ide-cd,id=two")
    try:
        for file, told in (("whole.iso", False), ("cut.iso", True)):
            answer = machine.good("human-monitor-command", command_line=f"change cd {file} raw")
            assert (says.format("cd") in answer) == told and ("warning" in answer) == told, answer
        machine.good(OPEN, id="two")
        machine.good(INSERT, id="two", node_name="n")
        machine.good("blockdev-change-medium", id="cd", filename="whole.iso", format="raw")
        machine.good("blockdev-change-medium", id="cd", filename="cut.iso", format="raw")
        block = next(block for block in machine.good("query-block") if block["device"] == "cd")
        assert block["inserted"]["image"]["virtual-size"] == sectors * 2048, block
        machine.good("quit")
        _, errors = machine.process.communicate(timeout=LIMIT)
        assert errors.count("warning") == 3 and errors.count(says.format("cd")) == 2 and errors.count(says.format("two")) == 1, errors
    finally:
        machine.kill()


def main():
    program = os.path.abspath(sys.argv[1])
    qemu = shutil.which(sys.argv[2] if len(sys.argv) > 2 else "qemu-system-i386")
    signal.alarm(5 * LIMIT)
    with tempfile.TemporaryDirectory(prefix="netlab-nodes-") as folder:
        make(folder)
        ours = hold(program, folder)
        for command, arguments, text, answer, _, _ in ours[0]:
            assert text is None or text in answer.get("error", {}).get("desc", ""), f"{command} {arguments}: {answer}"
        make(folder)
        if qemu:
            compare(ours, hold(qemu, folder))
        else:
            print("no qemu-system-i386: nothing to compare with")
        make(folder)
        locks(program, folder)
        chains(program, folder)
        cut_short(program, folder)
    print(f"{len(DIALOGUE)} commands{' like QEMU' if qemu else ''}, locks, chains, discs cut short")


main()
