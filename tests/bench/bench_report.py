# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""From measurements to a table: medians, the reference, ratios, geometric means, verdicts."""
import math
import os
import platform
import statistics
import subprocess

WAYS = {"native": "native", "qemu": "QEMU", "n270": "QEMU n270", "ours": "netlab-emu"}
COLUMNS = ["", "native", "QEMU", "QEMU n270", "netlab-emu", "gain", "native×", "least", ""]


def judge(suite, results):
    """The suite as plain data: what --json writes and table() prints."""
    groups = []
    for group in suite.groups:
        rows = [judge_row(row, results[row.id], suite.same_answer) for row in group.rows]
        gains = [r["gain"] for r in rows if r["gain"]]
        slow = [r["over_native"] for r in rows if r["over_native"]]
        mean = {"gain": geometric(gains), "over_native": geometric(slow), "least": group.least, "slowest": group.slowest} \
            if group.mean and len(rows) > 1 else None
        if mean:
            mean["pass"] = verdict(group.least, mean["gain"], group.slowest, mean["over_native"])
        groups.append({"title": group.title, "rows": rows, "mean": mean})
    return {"name": suite.name, "title": suite.title, "groups": groups}


def judge_row(row, ways, same_answer):
    median = {way: statistics.median(r["seconds"]) for way, r in ways.items() if r["seconds"]}
    errors = [f"{WAYS[way]}: {r['error']}" for way, r in ways.items() if "error" in r]
    answers = {way: sorted(r["answers"]) for way, r in ways.items() if r["answers"]}
    if same_answer and len({tuple(a) for a in answers.values()}) > 1:
        errors.append(f"different answers: {answers}")
    notes = [f"{WAYS[way]}: the guest's clock runs at {statistics.median(r['lies']):.2f} of the host's" for way, r in ways.items()
             if len(r.get("lies", [])) * 2 > len(r["seconds"])]
    notes += [f"{WAYS[way]}: {r['note']}" for way, r in ways.items() if "note" in r]
    ours = median.get("ours")
    reference = min((way for way in ("qemu", "n270") if way in median), key=median.get, default=None)
    gain = median[reference] / ours if reference and ours else None
    over = ours / median["native"] if ours and "native" in median else None
    return {"id": row.id, "title": row.title, "unit": row.unit, "median": median, "all": {w: r["seconds"] for w, r in ways.items()},
            "reference": reference, "gain": gain, "over_native": over, "least": row.least, "slowest": row.slowest, "limit": row.limit,
            "pass": None if errors else verdict(row.least, gain, row.slowest, over, row.limit, ours), "errors": errors, "notes": notes}


def verdict(least, gain, slowest, over, limit=None, ours=None):
    """True or False; None where nothing was asked, or what is missing could still change a yes."""
    asked_for = [(least, gain, lambda a, b: b >= a), (slowest, over, lambda a, b: b <= a), (limit, ours, lambda a, b: b <= a)]
    checks = [None if value is None else test(target, value) for target, value, test in asked_for if target is not None]
    if False in checks:
        return False
    return None if None in checks or not checks else True


def geometric(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def show(value, unit):
    if value is None:
        return "-"
    if unit != "s":
        return f"{value:.3g} {unit}"
    for name, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
        if value * scale >= 1 or name == "ns":
            return f"{value * scale:.3g} {name}"
    return "-"


def times(value):
    return "-" if value is None else f"{value:.3g}×" if value < 100 else f"{value:.0f}×"


def asked(row):
    parts = [f"{row['least']:g}×"] if row["least"] else []
    parts += [f"≤{row['slowest']:g}× native"] if row["slowest"] else []
    parts += [f"≤{show(row['limit'], row['unit'])}"] if row.get("limit") else []
    return ", ".join(parts) or "-"


def word(passed):
    return {True: "pass", False: "MISS", None: ""}[passed]


def cells(row):
    median = row["median"]

    def time_of(way):
        return show(median.get(way), row["unit"]) + ("*" if way == row["reference"] else "")
    return [row["title"], time_of("native"), time_of("qemu"), time_of("n270"), time_of("ours"), times(row["gain"]),
            times(row["over_native"]), asked(row), "ERROR" if row["errors"] else word(row["pass"])]


def table(suite, markdown):
    lines, notes = [], []
    for group in suite["groups"]:
        for row in group["rows"]:
            lines.append(cells(row))
            notes += [(row["title"], text) for text in [*row["errors"], *row["notes"]]]
        mean = group["mean"]
        if mean:
            lines.append([f"= {group['title']}, geometric mean", "", "", "", "", times(mean["gain"]), times(mean["over_native"]),
                          asked({**mean, "unit": "s"}), word(mean["pass"])])
    # What went wrong for all rows alike is said once.
    texts = list(dict.fromkeys(text for _, text in notes))
    notes = [f"  {', '.join(dict.fromkeys(title for title, t in notes if t == text))}: {text}" for text in texts]
    if markdown:
        rows = [COLUMNS, ["---"] * len(COLUMNS), *lines]
        return "\n".join([f"**{suite['title']}**", "", *("| " + " | ".join(r) + " |" for r in rows), *notes])
    width = [max(len(line[i]) for line in [COLUMNS, *lines]) for i in range(len(COLUMNS))]
    return "\n".join([suite["title"], *("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, width)))
                                        .rstrip() for line in [COLUMNS, *lines]), *notes])


def summary(whole):
    verdicts = [x["pass"] for s in whole for g in s["groups"] for x in [*g["rows"], g["mean"] or {"pass": None}]]
    errors = sum(1 for s in whole for g in s["groups"] for r in g["rows"] if r["errors"])
    return f"{verdicts.count(True)} targets reached, {verdicts.count(False)} missed, {errors} rows with errors"


def version(command):
    try:
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20, check=False).stdout
    except OSError:
        return "unknown"
    return out.splitlines()[0].strip() if out.strip() else "unknown"


def host_facts(args):
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown CPU")
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0], "repeat": args.repeat,
            "netlab-emu": version([args.emu, "-version"]), "arguments": args.emu_args,
            "qemu": version([args.qemu, "--version"]) if args.qemu else None}


def describe_host(args, legend=None):
    facts = host_facts(args)
    legend = legend or (f"{'processor time, ' if args.cpu_time else ''}median of {args.repeat}; * the reference; gain: QEMU's time/ours; "
                        "native×: our time/the host's")
    return "\n".join([f"host: {facts['cpu']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, load {facts['load']:.2f}",
                      f"netlab-emu: {facts['netlab-emu']} {args.emu_args}",
                      f"QEMU: {facts['qemu'] or 'not installed: no ratios to it'}",
                      legend])
