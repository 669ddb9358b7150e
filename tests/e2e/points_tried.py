# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""How many points the sweeps of test_callfault*.py have tried: a table, program by kind of call.

    NETLAB_CALLFAULT_POINTS=FILE …             each run adds its points to FILE, a JSON object a line
    python3 points_tried.py [--json] FILE…     all of them together
"""
import json
import os
import sys

KINDS = ("net", "device", "spawn", "disk", "socket", "sysctl")
HEADS = ("netlink", "ioctl", "spawn", "disk", "socket", "sysctl")
ACTIONS = ("kill", "kill-all", "fail", "refuse", "answer", "run")

rows = {}


def count(program, mode, action, kind, size):
    """One point of a sweep that has `size` of them."""
    row = rows.setdefault((program, mode, action), {"of": 0, "kinds": dict.fromkeys(KINDS, 0)})
    row["of"] = max(row["of"], size)
    row["kinds"][kind] += 1


def objects():
    return [{"program": program, "mode": mode, "action": action, "of": row["of"], **row["kinds"]}
            for (program, mode, action), row in rows.items()]


def merge(lines):
    """Of what was swept twice the run with more points counts."""
    best = {}
    for entry in map(json.loads, lines):
        key = entry["program"], entry["mode"], entry["action"]
        if key not in best or total(entry) > total(best[key]):
            best[key] = entry
    return list(best.values())


def total(entry):
    return sum(entry[kind] for kind in KINDS)


def table(entries):
    """Program by kind of call; then program by what was done there. A wide `of` is the number of calls there are."""
    lines = []
    names = list(dict.fromkeys((entry["program"], entry["mode"]) for entry in entries))

    def put(name, cells):
        lines.append(f"{name:26}" + "".join(f"{cell:>9}" for cell in cells))

    for heads, cell in ((HEADS, lambda e, i: e[KINDS[i]]), (ACTIONS, lambda e, i: total(e) if e["action"] == ACTIONS[i] else 0)):
        put("program", (*heads, "tried", "of") if heads is ACTIONS else (*heads, "tried"))
        sums = [0] * (len(heads) + 2)
        for name in names:
            mine = [entry for entry in entries if (entry["program"], entry["mode"]) == name]
            cells = [sum(cell(entry, i) for entry in mine) for i in range(len(heads))]
            cells += [sum(map(total, mine)), sum(entry["of"] for entry in mine)]
            sums = [a + b for a, b in zip(sums, cells)]
            put(name[0].replace("_", " ") + (" (rootless)" if name[1] == "user" else ""), cells if heads is ACTIONS else cells[:-1])
        put("all", sums if heads is ACTIONS else sums[:-1])
        lines.append("")
    return "\n".join(lines)


def show():
    """At the end of a run."""
    if "--json" in sys.argv:
        print(json.dumps({"points": objects()}))
    elif rows:
        print(table(objects()))
    if os.environ.get("NETLAB_CALLFAULT_POINTS"):
        with open(os.environ["NETLAB_CALLFAULT_POINTS"], "a") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in objects())


if __name__ == "__main__":
    lines = [line for name in sys.argv[1:] if not name.startswith("--") for line in open(name)]
    print(json.dumps({"points": merge(lines)}) if "--json" in sys.argv else table(merge(lines)))
