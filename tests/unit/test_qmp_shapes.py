#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
netlab-emu's QMP beside QEMU's: every answer has the shape that QEMU's own schema gives it, and what our schema says a command
takes is what QEMU's takes. Then things that are done through QMP: descriptors by SCM_RIGHTS, character ports, memory to files,
a core file that gdb opens.

  test_qmp_shapes.py netlab-emu       ends with 77 when there is no qemu-system-i386
"""
import array
import atexit
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

LIMIT = 60
OURS = "x-netlab-"


class Qmp:
    def __init__(self, path, process):
        until = time.monotonic() + LIMIT
        while True:
            try:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(LIMIT)
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                if time.monotonic() > until or process.poll() is not None:
                    sys.exit(f"nobody listens on {path}")
                time.sleep(0.02)
        self.file = self.sock.makefile("r")
        self.greeting = json.loads(self.file.readline())
        self.good("qmp_capabilities")

    def ask(self, command, fds=(), **arguments):
        text = json.dumps({"execute": command, "arguments": arguments, "id": {"n": 1}} if arguments else
                          {"execute": command, "id": {"n": 1}})
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([text.encode() + b"\n"], rights)
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                assert answer.pop("id") == {"n": 1}, answer
                return answer

    def good(self, command, fds=(), **arguments):
        answer = self.ask(command, fds, **arguments)
        assert "return" in answer, f"{command} {arguments}: {answer}"
        return answer["return"]

    def refused(self, says, command, error_class="GenericError", fds=(), **arguments):
        error = self.ask(command, fds, **arguments).get("error", {})
        assert error.get("class") == error_class and says in error["desc"], f"{command} {arguments}: {error} instead of {says}"


class Schema:
    def __init__(self, entries):
        self.entries = {entry["name"]: entry for entry in entries}

    def check(self, type_name, value, where):
        """Problems of the value, as text."""
        entry = self.entries[type_name]
        meta = entry["meta-type"]
        if meta == "builtin":
            good = {"string": isinstance(value, str), "boolean": isinstance(value, bool), "value": True, "null": value is None,
                    "int": isinstance(value, int) and not isinstance(value, bool),
                    "number": isinstance(value, (int, float)) and not isinstance(value, bool)}[entry["json-type"]]
            return [] if good else [f"{where}: {value!r} is no {entry['json-type']}"]
        if meta == "enum":
            return [] if value in entry["values"] else [f"{where}: {value!r} is not among {entry['values']}"]
        if meta == "array":
            if not isinstance(value, list):
                return [f"{where}: no list"]
            return [p for n, inner in enumerate(value) for p in self.check(entry["element-type"], inner, f"{where}[{n}]")]
        if meta == "alternate":
            return [] if any(not self.check(m["type"], value, where) for m in entry["members"]) else [f"{where}: fits no alternative"]
        if not isinstance(value, dict):
            return [f"{where}: no object"]
        members = {m["name"]: m for m in entry["members"]}
        for variant in entry.get("variants", []):
            if variant["case"] == value.get(entry["tag"]):
                members.update({m["name"]: m for m in self.entries[variant["type"]]["members"]})
        problems = [f"{where}.{name}: missing" for name, m in members.items() if "default" not in m and name not in value]
        for name, inner in value.items():
            if name in members:
                problems += self.check(members[name]["type"], inner, f"{where}.{name}")
            elif not name.startswith(OURS):
                problems.append(f"{where}.{name}: not a member")
        return problems

    def kind(self, name):
        entry = self.entries[name]
        return {"builtin": entry.get("json-type"), "enum": "string"}.get(entry["meta-type"], entry["meta-type"])


def start(program, folder, name, *options):
    path = f"{folder}/{name}"
    process = subprocess.Popen([program, "-S", "-m", "32", "-display", "none", "-nodefaults", "-qmp", f"unix:{path},server=on,wait=off",
                                *options], stdin=subprocess.DEVNULL)
    atexit.register(process.kill)  # a test that fails leaves nothing behind
    return process, Qmp(path, process)


def arguments_agree(ours, theirs, name):
    mine, other = (s.entries[s.entries[name]["arg-type"]] for s in (ours, theirs))
    known = {m["name"]: m for m in other["members"]}
    problems = []
    for member in mine["members"]:
        if member["name"] not in known:
            problems.append(f"{name}: QEMU knows no argument {member['name']}")
        elif ours.kind(member["type"]) != theirs.kind(known[member["name"]]["type"]) and theirs.kind(known[member["name"]]["type"]) != "alternate":
            problems.append(f"{name}.{member['name']}: {ours.kind(member['type'])}, not {theirs.kind(known[member['name']]['type'])}")
        elif "default" not in member and "default" in known[member["name"]]:
            problems.append(f"{name}.{member['name']}: optional in QEMU")
    return problems + [f"{name}: {m} is not taken" for m, row in known.items()
                       if "default" not in row and m not in {x["name"] for x in mine["members"]}]


def shapes(emu, folder, theirs):
    disk = f"{folder}/disk"
    for name in (disk, f"{folder}/cd"):
        with open(name, "wb") as file:
            file.truncate(1 << 20)
    process, qmp = start(emu, folder, "ours", "-name", "shapes", "-uuid", "12345678-1234-1234-1234-123456789abc", "-drive",
                         f"file={disk},format=raw", "-cdrom", f"{folder}/cd", "-netdev", "user,id=n0", "-device", "e1000,netdev=n0,id=nic0",
                         "-chardev", "ringbuf,id=r", "-vga", "std", "-vnc", f"unix:{folder}/vnc")
    ours = Schema(qmp.good("query-qmp-schema"))
    names = {c["name"] for c in qmp.good("query-commands")}
    told = {e["name"] for e in ours.entries.values() if e["meta-type"] == "command"}
    assert names == told, f"query-commands and the schema differ: {names ^ told}"
    problems, asked = [], 0
    for entry in ours.entries.values():  # the schema is whole
        for name in ([entry.get("arg-type"), entry.get("ret-type"), entry.get("element-type")] + [m.get("type") for m in entry.get("members", [])]
                     + [v["type"] for v in entry.get("variants", [])]):
            if name is not None and name not in ours.entries:
                problems.append(f"{entry['name']} refers to {name}, which is not there")
    for entry in ours.entries.values():
        if entry["meta-type"] == "event" and entry["name"] not in theirs.entries:
            problems.append(f"QEMU has no event {entry['name']}")
    given = {"qom-list": {"path": "/machine/peripheral"}, "qom-get": {"path": "/machine/peripheral/nic0", "property": "type"},
             "human-monitor-command": {"command-line": "info status"}, "ringbuf-read": {"device": "r", "size": 3},
             "ringbuf-write": {"device": "r", "data": "abc"}, "set_link": {"name": "nic0", "up": True},
             "chardev-add": {"id": "cz", "backend": {"type": "pty", "data": {}}}, "chardev-remove": {"id": "cz"},
             "x-netlab-impair": {"name": "n0"}, "eject": {"id": "ide1-cd0"}, "stop": {}, "inject-nmi": {}, "send-key": {"keys": [{"type": "qcode", "data": "a"}]},
             "input-send-event": {"events": [{"type": "rel", "data": {"axis": "x", "value": 3}}, {"type": "btn", "data": {
                 "button": "left", "down": True}}, {"type": "key", "data": {"down": True, "key": {"type": "number", "data": 30}}}]}}
    for name in sorted(names):
        if name.startswith(OURS):
            if name in given or all("default" in m for m in ours.entries[ours.entries[name]["arg-type"]]["members"]):
                problems += ours.check(ours.entries[name]["ret-type"], qmp.good(name, **given.get(name, {})), name)
            continue
        if name not in theirs.entries and name not in ("change-vnc-password",):
            problems.append(f"QEMU has no {name}")
        if name not in theirs.entries:
            continue
        problems += arguments_agree(ours, theirs, name)
        if name in given or name.startswith("query-"):
            answer = qmp.good(name, **given.get(name, {}))
            asked += 1
            problems += theirs.check(theirs.entries[name]["ret-type"], answer, name)
            problems += ours.check(ours.entries[name]["ret-type"], answer, name) if name != "query-qmp-schema" else []
    assert not problems, "\n".join(problems)
    done(qmp, folder, disk)
    qmp.good("quit")
    assert process.wait(LIMIT) == 0
    return asked, len(names)


def done(qmp, folder, disk):
    assert qmp.good("query-uuid") == {"UUID": "12345678-1234-1234-1234-123456789abc"}
    assert qmp.good("qom-get", path="/machine/peripheral/nic0", property="type") == "e1000"
    nic = [d for d in qmp.good("query-pci")[0]["devices"] if d["qdev_id"] == "nic0"]
    assert nic and nic[0]["id"]["device"] == 0x100e and [r["size"] for r in nic[0]["regions"]][:2] == [131072, 64], nic
    qmp.refused("not found", "qom-list", "DeviceNotFound", path="/machine/nobody")
    # character ports
    for type_name, data in (("null", {}), ("ringbuf", {"size": 4096}), ("file", {"out": f"{folder}/a,b", "append": True}),
                            ("socket", {"addr": {"type": "unix", "data": {"path": f"{folder}/c"}}, "server": True, "wait": False}),
                            ("socket", {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}, "server": True, "wait": False})):
        qmp.good("chardev-add", id="c0", backend={"type": type_name, "data": data})
        qmp.refused("already exists", "chardev-add", id="c0", backend={"type": "null", "data": {}})
        assert [c for c in qmp.good("query-chardev") if c["label"] == "c0"]
        qmp.good("chardev-remove", id="c0")
    assert os.path.exists(f"{folder}/a,b") and not os.path.exists(f"{folder}/c")
    qmp.refused("not found", "chardev-remove", id="c0")
    qmp.refused("does not accept value", "chardev-add", id="c0", backend={"type": "spice", "data": {}})
    qmp.refused("'backend.data' is missing", "chardev-add", id="c0", backend={"type": "file"})
    qmp.refused("'backend.data.out' is missing", "chardev-add", id="c0", backend={"type": "file", "data": {}})
    qmp.refused("is unexpected", "chardev-add", id="c0", backend={"type": "null", "data": {"x": 1}})
    # memory
    qmp.good("pmemsave", val=0xfffffff0, size=16, filename=f"{folder}/top")
    with open(f"{folder}/top", "rb") as file:
        assert file.read(1) == b"\xea", "the reset vector of a firmware is a far jump"
    qmp.refused("Invalid addr", "pmemsave", val=0xe0000000, size=16, filename=f"{folder}/none")
    qmp.refused("Could not open", "pmemsave", val=0, size=16, filename=f"{folder}/no/where")
    core = f"{folder}/core"
    qmp.refused("paging", "dump-guest-memory", paging=True, protocol=f"file:{core}")
    qmp.good("dump-guest-memory", paging=False, protocol=f"file:{core}")
    assert os.path.getsize(core) == 4096 + (32 << 20)
    with open(core, "rb") as file:
        head = file.read(4096)
        assert head[:5] == b"\x7fELF\x01" and struct.unpack_from("<HH", head, 16) == (4, 3), head[:64]
    if shutil.which("gdb"):
        said = subprocess.run(["gdb", "-nx", "-batch", "-ex", "set architecture i386", "-ex", f"core-file {core}", "-ex", "print/x $eip",
                               "-ex", "print/x $cs", "-ex", "x/1xw 0x1000"], capture_output=True, text=True, timeout=LIMIT).stdout
        assert "$1 = 0xfff0" in said and "$2 = 0xf000" in said and "0x1000:\t0x00000000" in said, said
    # out-of-band, and errors
    qmp.sock.sendall(b'{"exec-oob": "query-status"}\n')
    assert "oob" in json.loads(qmp.file.readline())["error"]["desc"]
    qmp.refused("has not been found", "no-such-command", "CommandNotFound")


def announced(emu, folder):
    """announce-self: each NIC that is meant sends reverse ARP requests for its address, so many, and not the others."""
    captures = [f"{folder}/announced{n}" for n in range(2)]
    words = [word for n in range(2) for word in (
        "-netdev", f"hubport,id=n{n},hubid={n}", "-object", f"filter-dump,id=f{n},netdev=n{n},file={captures[n]}",
        "-device", f"e1000,netdev=n{n},id=nic{n},mac=52:54:00:00:00:0{n},romfile=")]
    process, qmp = start(emu, folder, "announces", "-drive", f"file={folder}/disk,format=raw", *words)
    rarp = [b"\xff" * 6 + bytes.fromhex(f"52540000000{n}") + bytes.fromhex("8035000108000604 0003") + bytes.fromhex(f"52540000000{n}") +
            bytes(4) + bytes.fromhex(f"52540000000{n}") + bytes(22) for n in range(2)]
    qmp.good("cont")
    qmp.refused("expects 0 to", "announce-self", initial=-1, max=100, rounds=1, step=1)
    qmp.refused("expects 0 to", "announce-self", initial=1, max=100, rounds=1001, step=1)
    qmp.refused("'max' is missing", "announce-self", initial=1, rounds=1, step=1)
    qmp.good("announce-self", initial=100000, max=100000, rounds=2, step=0, interfaces=["nic0"], id="replaced")
    qmp.good("announce-self", initial=1, max=20, rounds=4, step=10, interfaces=["nic1", "nobody"], id="replaced")
    qmp.good("announce-self", initial=1, max=20, rounds=3, step=10)

    def count(n):
        with open(captures[n], "rb") as file:
            return file.read().count(rarp[n])
    until = time.monotonic() + LIMIT
    assert qmp.good("human-monitor-command", **{"command-line": "announce_self nic0,nobody other"}) == ""
    while (count(0), count(1)) != (4 + 5, 7):
        assert time.monotonic() < until, (count(0), count(1))
        time.sleep(0.02)
    assert qmp.good("query-display-options") == {"type": "none"} and qmp.good("query-acpi-ospm-status") == []
    qmp.good("display-reload", type="vnc")
    qmp.refused("Can not find vnc display", "display-reload", type="vnc", **{"tls-certs": True})
    qmp.refused("'tls-certs' alone", "display-reload", type="vnc", x=1)
    qmp.good("quit")
    process.wait(LIMIT)


def main():
    emu, qemu = sys.argv[1], shutil.which("qemu-system-i386")
    if not qemu:
        print("skipped: no qemu-system-i386 (Debian package qemu-system-x86)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        process, qmp = start(qemu, folder, "theirs")
        theirs = Schema(qmp.good("query-qmp-schema"))
        qmp.good("quit")
        process.wait(LIMIT)
        asked, count = shapes(emu, folder, theirs)
        announced(emu, folder)
    print(f"{asked} answers of {count} commands have the shape of QEMU's")


main()
