#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
blockdev-reopen, and auto-read-only=: the same dialogue is held with netlab-emu and, where it is installed, with QEMU; the nodes are the
same after it. Then what only netlab-emu is asked: locks, files that cannot be opened in the middle of a list, what comes back.

  test_reopen.py netlab-emu [qemu-system-i386]
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from qmp_machine import LIMIT, Machine, named

REOPEN = "blockdev-reopen"
WORDS = (
    "-drive", "file=boot,format=raw,if=none,id=zz",
    "-blockdev", '{"driver": "file", "filename": "a", "node-name": "fa"}', "-blockdev", '{"driver": "raw", "file": "fa", "node-name": "ra"}',
    "-device", "ide-hd,drive=ra,id=hd0,unit=0,bus=ide.0",
    "-blockdev", '{"driver": "file", "filename": "q.qcow2", "node-name": "fq"}', "-blockdev", '{"driver": "qcow2", "file": "fq", "node-name": "q"}',
    "-blockdev", '{"driver": "raw", "file": {"driver": "file", "filename": "b"}, "node-name": "rb", "read-only": true}',
    "-blockdev", '{"driver": "file", "filename": "c", "node-name": "fc"}', "-device", "ide-cd,id=cd0,bus=ide.1,unit=1")


def raw(**more):
    return {"driver": "raw", "node-name": "ra", "file": "fa", **{name.replace("_", "-"): value for name, value in more.items()}}


def qcow2(**more):
    return {"driver": "qcow2", "node-name": "q", "file": "fq", **{name.replace("_", "-"): value for name, value in more.items()}}


RB = {"driver": "raw", "node-name": "rb", "file": {"driver": "file", "filename": "b"}, "read-only": True}
# (the array of options, what our text has where it is not QEMU's)
DIALOGUE = (
    ([raw(read_only=False)], None),
    ([raw(node_name="nix")], None),
    ([{"driver": "raw", "file": "fa"}], None),
    ([qcow2(node_name="ra", file="fa")], None),
    ([{"driver": "raw", "node-name": "ra"}], "file= is missing"),
    ([raw(file="nix")], None),
    ([raw(read_only=True)], None),
    ([{"driver": "file", "node-name": "fa", "filename": "a"}], None),
    ([{"driver": "file", "node-name": "fa", "filename": "b"}], None),
    ([{"driver": "file", "node-name": "fa", "filename": "a", "read-only": True}], None),
    ([RB], None),
    ([{**RB, "read-only": False}], None),
    ([{**RB, "file": "fc"}], None),
    ([{**RB, "file": {"driver": "file", "filename": "b"}}], None),
    ([qcow2(file={"driver": "file", "filename": "q.qcow2"})], None),
    ([qcow2(read_only=True)], None),
    ([qcow2(discard="unmap", detect_zeroes="unmap")], None),
    ([qcow2(detect_zeroes="on"), raw(detect_zeroes="unmap")], "detect-zeroes=unmap needs discard=unmap"),
    ([qcow2(detect_zeroes="on"), raw(node_name="nix")], None),
    ([qcow2(detect_zeroes="off"), raw(read_only=True)], None),
    ([qcow2(detect_zeroes="on", cache={"direct": False, "no-flush": True}), raw(detect_zeroes="on")], None),
    ([raw(read_only=False, nonsense=1)], "unknown"),
)


class Nodes(Machine):
    def nodes(self):
        return {node["node-name"]: (node["drv"], node["ro"], node["detect_zeroes"], node["cache"]["no-flush"])
                for node in self.good("query-named-block-nodes") if node["node-name"] in ("ra", "rb", "q")}


def make(folder):
    for name, size in (("a", 1), ("b", 2), ("c", 3), ("boot", 1)):
        with open(os.path.join(folder, name), "wb") as file:
            file.truncate(size << 20)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "q.qcow2", "1M"], check=True, cwd=folder)


def hold(program, folder):
    make(folder)
    machine = Nodes(program, folder, "-S", *WORDS)
    try:
        rows = [(machine.ask(REOPEN, {"options": options}), machine.nodes()) for options, _ in DIALOGUE]
        machine.end()
    finally:
        machine.kill()
    return rows


def compare(ours, theirs):
    for (options, text), (mine, nodes), (other, their_nodes) in zip(DIALOGUE, ours, theirs):
        assert ("return" in mine) == ("return" in other), f"{options}: {mine}, QEMU {other}"
        if "error" in mine and text is None:
            assert mine == other, f"{options}: {mine}, QEMU {other}"
        assert nodes == their_nodes, f"after {options}: {nodes}, QEMU {their_nodes}"


B = {"driver": "file", "filename": "b"}
NAMED = {"driver": "raw", "node-name": "p", "file": {**B, "node-name": "pf"}}
ABOVE = {"driver": "qcow2", "node-name": "top", "file": {"driver": "file", "filename": "top.qcow2"}}
# (command, arguments, what our text has where it is not QEMU's)
INLINE = (
    ("blockdev-add", NAMED, None),
    ("blockdev-add", {**NAMED, "node-name": "p2"}, "the name is taken"),
    ("blockdev-add", {**B, "node-name": "pf"}, None),
    ("blockdev-del", {"node-name": "pf"}, None),
    (REOPEN, {"options": [{**NAMED, "file": "pf", "detect-zeroes": "on"}]}, None),
    ("blockdev-del", {"node-name": "p"}, None),
    ("blockdev-del", {"node-name": "pf"}, None),
    ("blockdev-add", NAMED, None),
    ("blockdev-del", {"node-name": "p"}, None),
    ("blockdev-add", {**NAMED, "file": {"driver": "file", "filename": "nix", "node-name": "pf"}}, "nix: No such file"),
    ("blockdev-add", {**B, "node-name": "pf"}, None),
    ("blockdev-del", {"node-name": "pf"}, None),
    ("blockdev-add", {**ABOVE, "backing": {"driver": "raw", "file": B}}, None),
    ("blockdev-del", {"node-name": "top"}, None),
    ("blockdev-add", {**ABOVE, "backing": {"driver": "raw", "file": {"driver": "file", "filename": "nix"}}}, "nix: No such file"),
    ("blockdev-add", {**NAMED, "backing": {"driver": "raw", "file": B}}, "backing= is of driver=qcow2"),
    ("blockdev-add", {**ABOVE, "backing": None}, None),
)


def inline(program, folder):
    make(folder)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "a", "top.qcow2", "1M"], check=True, cwd=folder)
    machine = Nodes(program, folder, "-S", *WORDS[:2], "-device", "ide-cd,id=cd0,bus=ide.1,unit=1", "-blockdev",
                    '{"driver": "qcow2", "node-name": "first", "read-only": true, "file": {"driver": "file", "filename": "q.qcow2", "node-name": "of-first"}}')
    try:
        rows = []
        for command, arguments, _ in INLINE:
            answer = machine.ask(command, named(arguments))
            nodes = {node["node-name"]: (node["drv"], node.get("backing_file")) for node in machine.good("query-named-block-nodes")}
            rows.append((answer, {name: nodes[name] for name in ("p", "pf", "top", "first", "of-first") if name in nodes}))
        machine.end()
    finally:
        machine.kill()
    return rows


def whole_or_not(program, folder):
    """All of a list or none of it: what comes before one that fails is what it was, with its locks; a disk's size follows its file."""
    make(folder)
    machine, other = Nodes(program, folder, "-S", *WORDS), None
    try:
        before = machine.nodes()
        os.rename(os.path.join(folder, "q.qcow2"), os.path.join(folder, "away"))
        machine.bad("q.qcow2: No such file", REOPEN, options=[raw(detect_zeroes="on"), {**RB, "file": "fc"}, qcow2(detect_zeroes="on")])
        after = machine.nodes()
        assert after == before, f"{after}, before {before}"
        os.rename(os.path.join(folder, "away"), os.path.join(folder, "q.qcow2"))
        sizes = {node["node-name"]: node["image"]["virtual-size"] for node in machine.good("query-named-block-nodes")}
        assert sizes["rb"] == 2 << 20 and sizes["ra"] == 1 << 20, sizes
        # ra is still locked, and writable: nobody else has it.
        other = subprocess.run([program, "-nodefaults", "-display", "none", "-drive", "file=a,format=raw"], cwd=folder, stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, timeout=LIMIT)
        assert other.returncode and "in use by another machine" in other.stderr, other
        machine.good(REOPEN, options=[qcow2(detect_zeroes="on")])  # the node whose file was away answers again
        machine.good(REOPEN, options=[raw(file="fc")])
        disk = next(block for block in machine.good("query-block") if block["qdev"] == "hd0")
        assert disk["inserted"]["image"]["virtual-size"] == 3 << 20 and disk["inserted"]["file"] == "c", disk
        machine.bad("in use", "blockdev-del", node_name="fc")
        machine.good("blockdev-del", node_name="fa")  # nobody is above it any more
        machine.bad("sees its disk", REOPEN, options=[raw(file="q")])
        # No circle: a node does not stand on itself.
        machine.bad("file=ra", REOPEN, options=[raw(file="ra")])
        # With a CD: read-only is no question, and the medium stays in.
        machine.good("blockdev-open-tray", id="cd0")
        machine.good("blockdev-insert-medium", id="cd0", node_name="rb")
        machine.good("blockdev-close-tray", id="cd0")
        machine.good(REOPEN, options=[{**RB, "read-only": False}, raw(file="fc", discard="unmap")])
        assert next(block for block in machine.good("query-block") if block["qdev"] == "cd0")["inserted"]["node-name"] == "rb"
        machine.good("blockdev-open-tray", id="cd0")
        machine.good("blockdev-remove-medium", id="cd0")
        machine.good("blockdev-del", node_name="rb")
        machine.good(REOPEN, options=[])
        machine.end()
    finally:
        machine.kill()


def auto_read_only(program, folder):
    """A file that cannot be written (here: a descriptor for reading) is opened for reading; no hard disk is made of that unasked."""
    make(folder)
    fd = os.open(os.path.join(folder, "c"), os.O_RDONLY)
    try:
        words = ("-add-fd", f"fd={fd},set=1", *WORDS)
        machine = Nodes(program, folder, "-S", *words, pass_fds=(fd,))
        try:
            node = {"driver": "raw", "node-name": "x", "file": {"driver": "file", "filename": "/dev/fdset/1"}}
            machine.bad("opened to be read and written", "blockdev-add", **node)
            machine.good("blockdev-add", **{**node, "file": {**node["file"], "auto-read-only": True}})
            assert [n["ro"] for n in machine.good("query-named-block-nodes") if n["node-name"] == "x"] == [True]
            machine.good("blockdev-open-tray", id="cd0")
            machine.good("blockdev-insert-medium", id="cd0", node_name="x")
            machine.end()
        finally:
            machine.kill()
        for auto, says in (("", "O_RDWR"), (",auto-read-only=on", "Block node is read-only")):
            done = subprocess.run([program, "-nodefaults", "-display", "none", "-S", "-add-fd", f"fd={fd},set=1", "-blockdev",
                                   f"driver=raw,node-name=x,file.driver=file,file.filename=/dev/fdset/1{auto}", "-device", "ide-hd,drive=x"],
                                  cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, pass_fds=(fd,))
            assert done.returncode and says in done.stderr, done
    finally:
        os.close(fd)


def main():
    program = os.path.abspath(sys.argv[1])
    qemu = shutil.which(sys.argv[2] if len(sys.argv) > 2 else "qemu-system-i386")
    if not shutil.which("qemu-img"):
        print("skipped: no qemu-img (qemu-utils)")
        sys.exit(77)
    signal.alarm(5 * LIMIT)
    with tempfile.TemporaryDirectory(prefix="netlab-reopen-") as folder:
        ours = hold(program, folder)
        for (options, text), (answer, _) in zip(DIALOGUE, ours):
            assert text is None or text in answer.get("error", {}).get("desc", ""), f"{options}: {answer}, not '{text}'"
        if qemu:
            compare(ours, hold(qemu, folder))
        mine = inline(program, folder)
        other = inline(qemu, folder) if qemu else mine
        for (command, arguments, text), (answer, nodes), (theirs, their_nodes) in zip(INLINE, mine, other):
            assert ("return" in answer) == ("return" in theirs), f"{command} {arguments}: {answer}, QEMU {theirs}"
            says = answer.get("error", {}).get("desc", "")
            assert text in says if text else answer == theirs, f"{command} {arguments}: {answer}, QEMU {theirs}"
            assert nodes == their_nodes, f"after {command} {arguments}: {nodes}, QEMU {their_nodes}"
        whole_or_not(program, folder)
        auto_read_only(program, folder)
    print(f"{len(DIALOGUE) + len(INLINE)} commands{' like QEMU' if qemu else ''}, all or none, auto-read-only")


main()
