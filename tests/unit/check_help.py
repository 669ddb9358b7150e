#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Help, manual pages, options and their variables, and the pages of docs/ that are printed from the programs' tables.

usage: check_help.py SOURCE NETLAB NETLAB_EMU       prints every offence and exits 1 when there is one
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE, NETLAB, EMU = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
CLEAN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
bad = []


def run(*args, **variables):
    return subprocess.run([NETLAB, *args], capture_output=True, text=True, env={**CLEAN, **variables}, timeout=60, stdin=subprocess.DEVNULL)


def check(good, what):
    if not good:
        bad.append(what)


def page(name):
    return (SOURCE / "docs" / name).read_text()


def options():
    """(command, option, variable, takes a value) of every option, from the table in docs/commands.md's words."""
    rows = re.findall(r"^\| `([^`]+)` \| `(?:-., )?--([a-z-]+)(=[^`]*)?` \| `(NETLAB_[A-Z0-9_]+)` \|", run("help", "--markdown").stdout, re.M)
    return [(command, option, variable, bool(value)) for command, option, value, variable in rows]


def commands():
    return re.findall(r"^  ([a-z-]+) +\S", run("help").stdout.split("Commands:\n")[1].split("\n\n")[0], re.M)


def printed_pages():
    check(page("topology-reference.md") == run("schema", "--markdown").stdout,
          "docs/topology-reference.md is not what `netlab schema --markdown` prints; write it anew")
    check((SOURCE / "netlab" / "topology_schema.json").read_text() == run("schema", "--json").stdout,
          "netlab/topology_schema.json is not what `netlab schema --json` prints; write it anew")
    check(page("commands.md").endswith("\n\n" + run("help", "--markdown").stdout),
          "docs/commands.md does not end with what `netlab help --markdown` prints; write it anew")
    examples = re.findall(r"```yaml\n(.*?)```", page("topology-reference.md"), re.S)
    check(len(examples) > 100, f"only {len(examples)} examples in the reference")
    try:
        import jsonschema
        import yaml
    except ImportError:
        bad.append("python3-jsonschema and python3-yaml are needed")
        return
    import json
    schema = json.loads(run("schema", "--json").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in examples:
        for error in validator.iter_errors(yaml.safe_load(text)):
            bad.append(f"the schema refuses an example of the reference: {error.message}\n{text}")
    print(f"{len(examples)} examples hold the schema")


def help_texts():
    names = commands()
    check(len(names) > 25, f"{names}")
    count = 0
    for words in [[name] for name in names] + [command.split() for command in {row[0] for row in options()} if " " in command]:
        text = run(*words, "--help")
        check(text.returncode == 0 and text.stdout, f"netlab {' '.join(words)} --help: {text.returncode} {text.stderr}")
        for line in text.stdout.splitlines():
            check(len(line) <= 80, f"netlab {' '.join(words)} --help: wider than 80 columns: {line}")
        check("\033" not in text.stdout, f"netlab {' '.join(words)} --help: escapes in a pipe")
        check(run("help", *words).stdout == text.stdout, f"netlab help {' '.join(words)} is not its --help in a pipe")
        count += 1
    for line in run("help").stdout.splitlines():
        check(len(line) <= 80, f"netlab help: wider than 80 columns: {line}")
    print(f"help of {count} commands")


def manual_pages():
    with tempfile.TemporaryDirectory() as folder:
        made = run("help", "--pages", folder)
        check(made.returncode == 0, made.stderr)
        emulator = subprocess.run([EMU, "-man"], capture_output=True, text=True, env=CLEAN, timeout=60)
        check(emulator.returncode == 0, emulator.stderr)
        pathlib.Path(folder, "netlab-emu.1").write_text(emulator.stdout)
        pages = {path.name for path in pathlib.Path(folder).iterdir()}
        expected = {"netlab.1", "netlab.yml.5", "netlab-emu.1"} | {f"netlab-{name}.1" for name in commands()}
        check(pages == expected, f"pages: {pages ^ expected}")
        for name in sorted(pages):
            path = os.path.join(folder, name)
            said = subprocess.run(["man", "--warnings", "-l", path], capture_output=True, text=True, env={**CLEAN, "MANWIDTH": "80"}, timeout=60)
            check(said.returncode == 0 and not said.stderr, f"man --warnings {name}: {said.stderr}")
            check(len(said.stdout.splitlines()) > 20, f"{name} renders to nothing")
            lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", path], capture_output=True, text=True, env=CLEAN, timeout=60)
            check(lint.returncode == 0, f"mandoc {name}: {lint.stdout}{lint.stderr}")
            if name not in ("netlab-emu.1", "netlab.yml.5"):
                for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"):
                    check(re.search(rf"^{part}$", said.stdout, re.M), f"{name} has no {part}")
        check(run("help", "--pages", "/proc/no").returncode == 1, "pages into a folder that cannot be made")
        print(f"{len(pages)} manual pages")
    for topic in ("up", "host bridge add", "topology"):
        check(run("help", "--man", *topic.split()).stdout.startswith(".TH"), f"help --man {topic}")
    check(run("help", "--man", "frob").returncode == 2, "a manual page of nothing")


def variables():
    """Every option is taken from its variable: --help tells what is set, by the same look that the command takes."""
    rows = options()
    check(len(rows) > 100, f"only {len(rows)} options")
    names = [row[2] for row in rows]
    check(len(set(names)) == len(names), f"two options have one variable: {sorted({n for n in names if names.count(n) > 1})}")
    places = set(re.findall(r"^ +(NETLAB_[A-Z_]+)$", subprocess.run(["man", "-l", "-"], input=run("help", "--man").stdout, capture_output=True, text=True,
                                                                   env=CLEAN, timeout=60).stdout, re.M))
    check(len(places) >= 8 and not places & set(names), f"variables that mean two things: {places & set(names)}")
    for command, option, variable, takes_value in rows:
        words = command.split()
        value = "7" if takes_value else "1"
        told = run(*words, "--help", **{variable: value})
        check(f"  {variable}={value} (--{option})\n" in told.stdout, f"{variable} is not seen by netlab {command}")
        check(variable not in run(*words, "--help", **{variable: ""}).stdout.split("Set in the environment")[-1] or
              "Set in the environment" not in run(*words, "--help", **{variable: ""}).stdout, f"{variable} without a value counts")
        if not takes_value:
            refused = run(*words, **{variable: "maybe"})
            check(refused.returncode == 2 and f"{variable}=maybe: --{option} is given by 1 and left out by 0" in refused.stderr,
                  f"{variable}=maybe: {refused.returncode} {refused.stderr}")
    print(f"{len(rows)} options and their variables")


def links():
    """Every relative link of the documentation leads somewhere, and the index names every page."""
    def anchors(text):
        found = set()
        for title in re.findall(r"^#+ (.*)$", text, re.M):
            found.add(re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-"))
        return found
    count = 0
    for path in [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md")), SOURCE / "labs" / "README.md"]:
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target or target.startswith("mailto:"):
                continue
            place, _, anchor = target.partition("#")
            other = path if not place else (path.parent / place)
            count += 1
            if not other.exists():
                bad.append(f"{path.name}: {target} leads nowhere")
            elif anchor and other.suffix == ".md" and anchor not in anchors(other.read_text()):
                bad.append(f"{path.name}: {target}: no such heading")
    index = page("README.md") if (SOURCE / "docs" / "README.md").exists() else ""
    for path in sorted((SOURCE / "docs").glob("*.md")):
        check(path.name == "README.md" or f"({path.name})" in index, f"docs/README.md does not name {path.name}")
    print(f"{count} links")


def strings_of(path):
    """The string literals of a C file, those that stand side by side as one."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
    for group in re.findall(r'(?:L?"(?:\\.|[^"\\\n])*"\s*(?:PRI\w+\s*|G_GUINT64_FORMAT\s*)?)+', text):
        yield "".join(re.findall(r'"((?:\\.|[^"\\])*)"', group)).replace('\\"', '"').replace("%%", "%")


def troubleshooting():
    """Every message that the page explains is one that the programs can print."""
    messages = re.findall(r"^### `(.*)`$", page("troubleshooting.md"), re.M)
    check(len(messages) >= 40, f"only {len(messages)} messages")
    check(len(set(messages)) == len(messages), "a message stands twice")
    literals = [literal for room in ("cli", "netlab", "hostnet", "emu") for path in sorted((SOURCE / room).rglob("*.c")) for literal in strings_of(path)]
    for message in messages:
        pieces = [piece for piece in message.split("…") if piece.strip()]
        pattern = ".*".join(re.escape(piece) for piece in pieces)
        check(any(re.search(pattern, literal, re.S) for literal in literals), f"troubleshooting.md: no program says: {message}")
    print(f"{len(messages)} messages explained")


for tool in ("man", "mandoc"):
    check(shutil.which(tool), f"{tool} is needed (packages man-db, groff-base, mandoc)")
if not bad:
    for part in (printed_pages, help_texts, manual_pages, variables, links, troubleshooting):
        part()
print("\n".join(bad) if bad else "no offences")
sys.exit(1 if bad else 0)
