#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Reads the includes and fails when one of the house's rules (docs/architecture.md) is broken.

usage: check_tree.py [ROOT]     prints every offence as file:line: what, and exits 1 when there is one
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2])
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')

# Room → what its files may include of our own tree (prefixes). A missing room may include anything of its top level.
MAY = {
    "emu/mem": ["emu/fdset.h", "emu/mem/", "emu/trace.h"],
    "emu/snapshot": ["emu/snapshot/", "emu/trace.h"],
    "emu/cpu": ["emu/cpu/", "emu/mem/", "emu/snapshot/state.h", "emu/machine/clock.h", "emu/trace.h"],
    "emu/dev": ["emu/dev/", "emu/mem/", "emu/net/backend.h", "emu/net/frame.h", "emu/block/backend.h", "emu/char/backend.h",
                "emu/machine/clock.h", "emu/machine/loop.h", "emu/snapshot/state.h", "emu/trace.h",
                "emu/display/surface.h"],
    "emu/display": ["emu/fdset.h", "emu/display/", "emu/keyval.h", "emu/machine/loop.h", "emu/trace.h"],
    "emu/net": ["emu/fdset.h", "emu/net/", "emu/keyval.h", "emu/char/backend.h", "emu/machine/loop.h", "emu/machine/clock.h", "emu/trace.h"],
    "emu/block": ["emu/fdset.h", "emu/block/", "emu/machine/clock.h", "emu/machine/loop.h", "emu/trace.h"],
    "emu/char": ["emu/fdset.h", "emu/char/", "emu/keyval.h", "emu/machine/loop.h", "emu/trace.h"],
    "emu/control": ["emu/fdset.h", "emu/control/", "emu/machine/", "emu/block/backend.h", "emu/char/backend.h", "emu/net/backend.h", "emu/mem/", "emu/trace.h",
                    "emu/cpu/cpu.h", "emu/snapshot/state.h", "emu/options.h", "emu/keyval.h"],
    "emu": ["emu/"],
    "hostnet": ["hostnet/"],
    "netlab/guest": ["netlab/guest/"],
    "netlab": ["netlab/", "hostnet/"],
    "cli": ["cli/", "netlab/"],
}
# Library header → files that may include it.
ONLY = [
    (re.compile(r"^netlink/|^libmnl/"), re.compile(r"^hostnet/")),
    (re.compile(r"^slirp/|^libslirp"), re.compile(r"^emu/net/slirp\.c$")),
    (re.compile(r"^rfb/"), re.compile(r"^emu/display/vnc\.c$")),
    (re.compile(r"^SDL"), re.compile(r"^emu/display/sdl\.c$")),
    (re.compile(r"^n?curses"), re.compile(r"^emu/display/curses\.c$")),
    (re.compile(r"^png\.h$"), re.compile(r"^emu/display/image\.c$")),
    (re.compile(r"^sqlite3\.h$"), re.compile(r"^netlab/store[^/]*\.[ch]$")),
    (re.compile(r"^pcap(/|\.h)"), re.compile(r"^netlab/capture_filter\.c$|^tests/")),
    (re.compile(r"^yaml\.h$"), re.compile(r"^netlab/topology_parse[^/]*\.[ch]$|^netlab/yaml_tree\.c$")),
    (re.compile(r"^Zydis/"), re.compile(r"^tests/|^emu/cpu/jit/debug\.c$")),
]
# Only the board sees every chip and the CPU's inside stays inside.
INTERNAL = re.compile(r"^(?:emu/cpu/)(?:cpu_internal|access|insn|interp|flags|fpu_internal|descriptor)\.h$")


# GLib's macros evaluate an argument twice: one that is different the second time is neither of the two.
TWICE = re.compile(r"\b(?:MAX|MIN|CLAMP|ABS)\(")
CHANGES = re.compile(r"\b(?:\w*now(?:_ns)?|\w+_now|\w*clock_ms|g_get_\w*time|random|rand|read\w*)\(")


def arguments(text, start):
    """Of a call whose opening bracket is before `start`."""
    depth, end = 1, start
    while depth and end < len(text):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return text[start:end]


def room_of(path):
    best = max((room for room in MAY if path.startswith(room + "/")), key=len, default=None)
    return best


def offences(path, text):
    room = room_of(path)
    libraries = set()
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        name = found.group(1)
        own = name.split("/")[0] in ("emu", "hostnet", "netlab", "cli") and "/" in name
        if own and room and not any(name.startswith(p) for p in MAY[room]):
            yield number, f"{room}/ must not include {name}"
        if own and INTERNAL.match(name) and room != "emu/cpu":
            yield number, f"{name} is the inside of emu/cpu"
        for header, where in ONLY:
            if header.match(name) and not where.match(path):
                yield number, f"<{name}> belongs in {where.pattern} only"
        if name.startswith("netlink/"):
            libraries.add("libnl")
        if name.startswith("libmnl/"):
            libraries.add("libmnl")
    for macro in TWICE.finditer(text):
        changes = CHANGES.search(arguments(text, macro.end()))
        if changes:
            yield text.count("\n", 0, macro.start()) + 1, f"{macro.group()}...) evaluates {changes.group()}) twice: keep its result first"
    if len(libraries) > 1:
        yield 1, "libnl and libmnl in one file: one library per file"
    if "SPDX-License-Identifier: MIT" not in text[:200]:
        yield 1, "the two-line SPDX header is missing"
    lines = text.count("\n")
    if lines > 1200 and "Length:" not in text[:4000]:
        yield 1, f"{lines} lines: split it, or give the reason in the header (Length: …)"


def main():
    count = bad = 0
    for top in ("emu", "hostnet", "netlab", "cli"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".c", ".h", ".def"):
                continue
            count += 1
            name = str(path.relative_to(ROOT))
            for number, what in offences(name, path.read_text()):
                print(f"{name}:{number}: {what}")
                bad += 1
    allowed = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "quickstart", "check", "emu", "hostnet",
               "netlab", "cli", "labs", "tests", "docs", "build"}
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in allowed:
            print(f"{path.name}: not a top-level entry of this house")
            bad += 1
    print(f"{count} files read, {bad} offences")
    return 1 if bad or not count else 0


sys.exit(main())
