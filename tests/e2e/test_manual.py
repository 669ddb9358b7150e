# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""docs/manual.md is run from top to bottom: its files are written, its commands said, and what they print has the shape that stands there.

A block ```console has commands after `$ ` and below each what it prints: … within a line is any text, … alone any number of lines. A block after
<!-- file: NAME --> is written to NAME; one after <!-- not run: REASON --> is passed over. There are no others. Needs the image mini.
"""
import os
import re
import subprocess
import sys

from harness import BIN, Lab, check, main, processes, wait_until

SOURCE = os.environ["NETLAB_SOURCE"]
SECONDS = 60


def blocks(text):
    """(kind, argument, text, line) of every fenced block."""
    for found in re.finditer(r"(?:<!-- (file|not run): (.*?) -->\n)?```(\w*)\n(.*?)```\n", text, re.S):
        kind = found.group(1) or found.group(3)
        yield kind, found.group(2), found.group(4), text.count("\n", 0, found.start()) + 1


def steps(block):
    """(command, lines it is to print) of a console block."""
    out = []
    for line in block.splitlines():
        if line.startswith("$ "):
            out.append((line[2:], []))
        else:
            check(out, f"a block begins with no command: {line}")
            out[-1][1].append(line)
    return out


def matches(lines, printed):
    pattern = ""
    for line in lines:
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.split("…")) + r"[ \t]*\n"
    return re.fullmatch(pattern, printed) is not None


def shapes_are_compared():
    """The comparison itself: what must not match does not."""
    check(matches(["a … c", "…", "z"], "a b c\nx\ny\nz\n") and matches(["…"], "") and matches([], ""), "what matches")
    check(not matches(["a"], "a\nb\n") and not matches(["a … c"], "a b d\n") and not matches(["a", "b"], "b\na\n") and not matches([], "x\n"), "what does not")
    check(list(blocks("<!-- file: x -->\n```yaml\na\n```\n")) == [("file", "x", "a\n", 1)], "a file")


def the_manual():
    lab = Lab(emulator=None, name="manual")
    with open(os.path.join(SOURCE, "docs", "manual.md")) as file:
        text = file.read()
    os.symlink(SOURCE, os.path.join(lab.base, "netlab"))
    place = os.path.join(lab.base, "where")
    lab.env.update(HOME=lab.base, PATH=os.path.dirname(BIN) + ":" + os.environ["PATH"], LC_ALL="C.UTF-8", PLACE=place)
    here, said, wrong = lab.base, 0, []
    lab.netlab("status", "-a")
    before = lab.dump()
    try:
        for kind, argument, block, line in blocks(text):
            check(kind in ("console", "file", "not run"), f"manual.md:{line}: a block that is neither run, nor a file, nor said not to be run")
            if kind == "file":
                with open(os.path.join(here, argument), "w") as file:
                    file.write(block)
            for command, lines in steps(block) if kind == "console" else ():
                script = command + '\nstatus=$?; pwd >"$PLACE"; exit $status'
                result = subprocess.run(["timeout", str(SECONDS), "bash", "-c", script], cwd=here, env=lab.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                with open(place) as file:
                    here = file.read().strip()
                said += 1
                if result.returncode != 0 or not matches(lines, result.stdout):
                    wrong.append(f"manual.md:{line}: {command}\nends with {result.returncode} and prints\n{result.stdout}and not\n" + "\n".join(lines))
    finally:
        lab.netlab("down", "--all", rc=None)
    check(not wrong, "\n\n".join(wrong))
    wait_until("all processes to end", lambda: sorted(processes().values()) == before["processes"], 10)
    check(said > 40, f"only {said} commands")
    lab.remove()
    return f"{said} commands"


if __name__ == "__main__":
    if not os.path.exists(os.path.join(os.environ.get("NETLAB_IMAGE_DIR", ""), "mini", "image.json")):
        print("SKIP: there is no image mini (netlab image build mini; NETLAB_IMAGE_DIR)")
        sys.exit(77)
    main(shapes_are_compared, the_manual)
