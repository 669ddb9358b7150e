#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
What docs/control.md says of each of QEMU's words: netlab-emu knows those that work, and answers the others by the sentence that is
written there; the lists are those of the QEMU that is installed, whole.

  check_control.py netlab-emu docs/control.md guest
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

LIMIT = 60


class Qmp:
    def __init__(self, folder, *command):
        path = f"{folder}/{os.path.basename(command[0])}"
        self.process = subprocess.Popen([*command, "-S", "-m", "32", "-display", "none", "-nodefaults", "-qmp", f"unix:{path},server=on,wait=off"],
                                        stdin=subprocess.DEVNULL)
        until = time.monotonic() + LIMIT
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(LIMIT)
            try:
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                assert time.monotonic() < until and self.process.poll() is None, f"nobody listens on {path}"
                time.sleep(0.02)
        self.file = self.sock.makefile("r")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                return answer

    def say(self, line):
        return self.ask("human-monitor-command", **{"command-line": line})["return"]

    def end(self):
        self.ask("quit")
        self.process.wait(LIMIT)


def table(text, title):
    """{word: (kind, rest)} of the table under the title."""
    rows = {}
    for line in text.partition(f"### {title}\n")[2].partition("\n#")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and cells[0].startswith("`"):
            for word in re.findall(r"`([^`]+)`", cells[0]):
                assert word not in rows, f"{title}: {word} is there twice"
                rows[word] = (cells[1], cells[2])
    return rows


def words_of(text):
    """The names at the beginnings of the lines of QEMU's help."""
    return {line.split()[0].split("|")[0] for line in text.splitlines() if re.match(r"[a-z]\S* .*", line) and " -- " in line or
            re.match(r"(drive_add) ", line)}


def main():
    emulator, page, guest = sys.argv[1:4]
    with open(page) as file:
        text = file.read()
    commands, infos, qmp = (table(text, title) for title in ("The monitor", "info", "QMP"))
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        ours = Qmp(folder, emulator, "-kernel", guest)
        known = {c["name"] for c in ours.ask("query-commands")["return"]}
        for word, (kind, why) in commands.items():
            said = ours.say(f"help {word}") if kind == "works" else ours.say(f"{word} x")
            if kind == "works" and not said:
                problems.append(f"{word}: not in our help")
            if kind == "never" and said.strip() != f"{word}: not on this machine: {why}":
                problems.append(f"{word}: says '{said}'")
        for word, (kind, why) in infos.items():
            said = ours.say(f"info {word}")
            if kind == "works" and ("not on this machine" in said or "nothing called" in said):
                problems.append(f"info {word}: says '{said}'")
            if kind == "never" and said.strip() != f"info {word}: not on this machine: {why}":
                problems.append(f"info {word}: says '{said}'")
        for word, (kind, why) in qmp.items():
            if (word in known) != (kind == "works"):
                problems.append(f"QMP {word}: {'is' if word in known else 'is not'} there")
        problems += [f"QMP {word}: not in the table" for word in known if word not in qmp and not word.startswith("x-netlab-")]
        ours.end()
        if shutil.which("qemu-system-i386"):
            theirs = Qmp(folder, shutil.which("qemu-system-i386"), "-M", "pc")
            for mine, lists, name in ((commands, words_of(theirs.say("help")), "help"),
                                      (infos, {line.split()[1] for line in theirs.say("info").splitlines() if line.startswith("info ")}, "info"),
                                      (qmp, {c["name"] for c in theirs.ask("query-commands")["return"]}, "query-commands")):
                problems += [f"{name}: QEMU has {word}, the table has not" for word in sorted(lists - set(mine))]
                problems += [f"{name}: the table has {word}, QEMU has not" for word in sorted(set(mine) - lists)]
            theirs.end()
    assert not problems, "\n".join(problems)
    print(f"{len(commands)} commands, {len(infos)} words of info, {len(qmp)} of QMP")


main()
