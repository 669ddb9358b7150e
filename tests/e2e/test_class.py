# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Classes: a copy of a lab for each student. Most of it with the stand-in emulator; `guests` runs real machines (image `mini`).

NETLAB_TEST_FULL=1 also runs thirty copies of a lab of three nodes and prints what that took (`thirty`).
"""
import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

from harness import BIN, MODE, Failure, Lab, check, main, processes, wait_until

TOPOLOGY = """\
name: {name}
student: {{mode: "", seed: 1}}
defaults: {{kernel: kernel, ready: agent}}
networks:
  lan: {{subnet: "10.${{student.seed % 200 + 10}}.0.0/24"}}
nodes:
  h1: {{networks: [lan], run: ["fake ${{student.mode}}"]}}
  h2: {{networks: [lan]}}
"""
SMALL = TOPOLOGY.replace("  h2: {{networks: [lan]}}\n", "")
LIST = "student,name,seed\nanna,Anna Berg,5\nben,Ben,77\ncem,,\n"


class Class(Lab):
    def __init__(self, students=LIST, topology=TOPOLOGY, emulator=None, **options):
        super().__init__(topology, **options) if emulator is None else super().__init__(topology, emulator=emulator or None, **options)
        self.list = os.path.join(self.folder, "students.csv")
        self.write_list(students)

    def write_list(self, text):
        with open(self.list, "w") as file:
            file.write(text)

    def for_(self, verb, *args, **options):
        return self.netlab(verb, "--for", self.list, *args, **options)

    def students(self):
        return {item["student"]: item for item in json.loads(self.for_("status", "--json").stdout)["students"]}

    def states(self):
        return {name: item["state"] for name, item in self.students().items()}

    def machine(self, student, node="h1"):
        status = json.loads(self.netlab("status", "--json", "--student", student).stdout)["labs"][0]
        return next(item for item in status["nodes"] if item["name"] == node)

    def fresh(self):
        self.netlab("status", rc=4)  # makes the store
        return self.dump()


def life():
    lab = Class()
    before = lab.fresh()
    result = lab.for_("up")
    check(result.stdout.startswith("class lab is up: 3 copies, 6 machines ("), result.text)
    check(lab.states() == {"anna": "up", "ben": "up", "cem": "up"}, f"{lab.states()}")
    check(lab.students()["anna"]["name"] == "Anna Berg" and lab.students()["cem"]["lab"] == "lab-cem", f"{lab.students()}")
    addresses = {name: lab.machine(name)["nics"][0]["address"] for name in lab.states()}
    check(addresses["anna"] == "10.15.0.1/24" and addresses["ben"] == "10.87.0.1/24", f"{addresses}")
    check(len({os.readlink(f"/proc/{lab.machine(name)['pid']}/ns/net") for name in lab.states()}) == 3, "copies share a namespace")
    macs = {lab.machine(name)["nics"][0]["mac"] for name in lab.states()}
    check(len(macs) == 3, f"{macs}")
    pids = {name: lab.machine(name)["pid"] for name in lab.states()}
    result = lab.for_("up")
    check(result.stdout == "class lab: all 3 copies are up already, nothing to do\n", result.text)
    text = lab.for_("status").stdout
    check("3 of 3 copies up" in text and "Anna Berg  up     2/2" in text and max(len(line) for line in text.splitlines()[1:]) <= 90, text)
    # A student goes, one comes, one gets another seed: only that one's machines are made anew.
    lab.write_list("student,name,seed\nanna,Anna Berg,5\ncem,Cem,9\ndora,,\n")
    result = lab.for_("up")
    check("no longer in the list: ben; with --prune" in result.stderr, result.text)
    check(lab.states() == {"anna": "up", "ben": "up", "cem": "up", "dora": "up"}, f"{lab.states()}")
    check(lab.machine("anna")["pid"] == pids["anna"] and lab.machine("ben")["pid"] == pids["ben"], "machines of others were made anew")
    check(lab.machine("cem")["nics"][0]["address"] == "10.19.0.1/24", "cem's new seed")
    events = [json.loads(line) for line in lab.for_("up", "--prune", "--json").stdout.splitlines()]
    check(events[0] == {"event": "gone", "students": ["ben"], "pruned": True}, f"{events[0]}")
    check({"down", "up"} <= {event["event"] for event in events} and events[-1]["event"] == "end" and events[-1]["good"] == 4, f"{events}")
    check(lab.states() == {"anna": "up", "cem": "up", "dora": "up"}, f"{lab.states()}")
    # Some of them.
    lab.for_("down", "--students", "cem,dora")
    check(lab.states() == {"anna": "up"}, f"{lab.states()}")
    lab.for_("up", "--students", "dora")
    check(lab.states() == {"anna": "up", "dora": "up"}, f"{lab.states()}")
    check("did you mean \"dora\"" in lab.for_("up", "--students", "dorra", rc=4).stderr, "nearest student")
    # The list may be gone.
    os.unlink(lab.list)
    result = lab.for_("down")
    check(result.stdout.startswith("class lab is down: 2 copies ("), result.text)
    lab.write_list("")
    lab.check_clean(before, "after down --for")


def selection():
    lab = Class("student\nanna\nben\n")
    before = lab.fresh()
    lab.for_("up")
    result = lab.netlab("status", rc=4)
    check("up for a class" in result.stderr and "--student ID" in result.stderr, result.text)
    check("did you mean \"anna\"" in lab.netlab("status", "--student", "ana", rc=4).stderr, "nearest")
    check("lab lab-anna (" in lab.netlab("status", "--student", "anna").stdout, "--student")
    check("lab lab-ben (" in lab.netlab("status", "--lab", "lab-ben").stdout, "--lab of a copy")
    found = json.loads(lab.netlab("inspect", "--student", "ben", "h2", "--json").stdout)
    check(found["pid"] == lab.machine("ben", "h2")["pid"], f"{found}")
    check("--student is one copy" in lab.netlab("status", "--student", "anna", "--for", lab.list, rc=2).stderr, "--student and --for")
    lab.netlab("down", "--student", "anna", "h2")
    check(lab.states() == {"anna": "partly", "ben": "up"}, f"{lab.states()}")
    lab.netlab("up", "--student", "anna", "h2")
    check(lab.states() == {"anna": "up", "ben": "up"}, f"{lab.states()}")
    check("nothing to do" in lab.netlab("up", "--student", "anna").stdout, "up of a copy by the file")
    lab.netlab("diff", "--student", "anna", rc=0)
    with open(lab.file, "a") as file:
        file.write("  h3: {networks: [lan]}\n")
    check("h3" in lab.netlab("diff", "--student", "anna", rc=1).stdout, "diff of a copy with the file")
    lab.write(TOPOLOGY.format(name="lab"))
    # From elsewhere the class's file is found.
    check("nothing to do" in lab.for_("up", cwd="/").stdout, "up --for from elsewhere")
    # A second class of the same list has to be told apart.
    other = os.path.join(lab.folder, "other.yml")
    with open(other, "w") as file:
        file.write(TOPOLOGY.format(name="other"))
    lab.netlab("up", other, "--for", lab.list)
    check("which class is meant" in lab.for_("status", rc=4).stderr, "two classes of a list")
    check("class other" in lab.for_("status", "--lab", "other").stdout, "--lab tells them apart")
    lab.for_("down", "--lab", "other")
    # Taken down by its own name a copy is no member any more; with the last one the class goes.
    lab.netlab("down", "--student", "anna")
    check(lab.states() == {"ben": "up"}, f"{lab.states()}")
    lab.netlab("down", "--all")
    check("no class is up" in lab.for_("status", rc=4).stderr, "the class is gone")
    os.unlink(other)
    lab.check_clean(before, "after down --all")


def one_fails():
    lab = Class("student,mode\nanna,\nben,exit 1\ncem,\n")
    before = lab.fresh()
    result = lab.for_("up", rc=1)
    check("netlab: ben: " in result.stderr and "class lab: 2 of 3 copies as wanted" in result.stdout, result.text)
    check(lab.states() == {"anna": "up", "ben": "down", "cem": "up"}, f"{lab.states()}")
    events = [json.loads(line) for line in lab.for_("up", "--json", rc=1).stdout.splitlines()]
    check(events[-1]["failed"] == ["ben"] and events[-1]["good"] == 2, f"{events[-1]}")
    failed = next(event for event in events if event["event"] == "failed")
    check(failed["student"] == "ben" and failed["error"], f"{failed}")
    lab.write_list("student,mode\nanna,\nben,\ncem,\n")
    lab.for_("up")
    check(set(lab.states().values()) == {"up"}, f"{lab.states()}")
    lab.for_("down")
    lab.check_clean(before, "after down")


def mistakes():
    lab = Class()
    before = lab.fresh()

    def refused(text, *words, rc=3, args=()):
        lab.write_list(text)
        result = lab.for_("up", *args, rc=rc)
        for word in words:
            check(word in result.stderr, f"\"{word}\" is not in:\n{result.text}")
    refused("student\nanna\nx y\nanna\n", "students.csv:3:1: \"x y\" is no id", "students.csv:4:1: student anna is there already")
    refused("student,mode\n", "there is no student in it")
    refused("student\n" + "a" * 30 + "\n", f"{lab.list}:2:1: the copy would be called \"lab-aaa")
    refused("student,seed\nanna,5\nben,-7\n", ":3:5: \"-7\" is no seed")
    lab.write_list(LIST)
    check("--for brings whole copies up" in lab.for_("up", "h1", "h2", rc=2).stderr, "nodes with --for")
    check("--here is for one lab" in lab.for_("up", "--here", rc=2).stderr, "--here")
    check("goes with --for" in lab.netlab("up", "--prune", rc=2).stderr, "--prune alone")
    check("No such file" in lab.netlab("up", "--for", "no.csv", rc=3).stderr, "no list")
    lab.write(TOPOLOGY.format(name="lab").replace("${student.mode}", "${student.moed}"))
    refused(LIST, "the copy of anna:", "topology.yml:7:31: \"student.moed\" has no value; did you mean \"student.mode\"?")
    # A student's own value may be what is wrong.
    lab.write(TOPOLOGY.format(name="lab").replace("10.${student.seed % 200 + 10}.0.0/24", "10.${student.seed}.0.0/24"))
    refused("student,seed\nanna,5\nben,256\n", "the copy of ben:", "topology.yml:5:17: ")
    # More memory than any computer has: sums, and what to do.
    lab.write(TOPOLOGY.format(name="lab").replace("ready: agent", "ready: agent, memory: 60G"))
    refused("student\n" + "".join(f"s{i}\n" for i in range(900)), "not enough memory: 1800 machines", "--force", rc=1)
    check("nothing was done" in lab.for_("up", "--force", "--dry-run").stdout, "--force --dry-run")
    lab.write(TOPOLOGY.format(name="lab"))
    refused(LIST, "--copy-memory is 50; raise it", rc=2, args=("--copy-memory", "50"))
    # A lab of a copy's name, which is none.
    lab.write(TOPOLOGY.format(name="lab-anna"))
    lab.netlab("up")
    lab.write(TOPOLOGY.format(name="lab"))
    refused(LIST, "a lab named lab-anna is up, and is no copy of this class", rc=5)
    lab.netlab("down", "--lab", "lab-anna")
    lab.check_clean(before, "after mistakes")


def reset():
    lab = Class()
    before = lab.fresh()
    lab.for_("up")
    pids = {name: lab.machine(name)["pid"] for name in ("anna", "ben", "cem")}
    check("no student \"bne\"" in lab.netlab("reset", "bne", rc=4).stderr, "reset of nobody")
    result = lab.netlab("reset", "ben")
    check("1 of 1 copy as in the beginning" in result.stdout, result.text)
    check(lab.machine("ben")["pid"] != pids["ben"] and lab.machine("ben")["nics"][0]["address"] == "10.87.0.1/24", "ben's copy")
    check(all(lab.machine(name)["pid"] == pids[name] for name in ("anna", "cem")), "others were touched")
    # A supervisor and a machine killed: up mends, reset too.
    os.kill(lab.machine("cem")["pid"], signal.SIGKILL)
    wait_until("it is seen", lambda: lab.states()["cem"] == "partly")
    lab.netlab("reset", "cem", "anna")
    check(set(lab.states().values()) == {"up"}, f"{lab.states()}")
    lab.for_("down", "--graceful")
    lab.check_clean(before, "after down --graceful")


def limits():
    lab = Class("student\nanna\n")
    before = lab.fresh()
    lab.for_("up", "--copy-cpu", "50", "--copy-memory", "1000")
    pid = lab.machine("anna")["pid"]
    with open(f"/proc/{pid}/stat") as file:
        nice = int(file.read().rsplit(")", 1)[1].split()[16])
    with open(f"/proc/{pid}/cgroup") as file:
        grouped = "/netlab-lab-anna" in file.read()
    check(grouped or nice >= 10, f"neither a control group nor a lower priority ({nice})")
    found = json.loads(lab.for_("status", "--json").stdout)
    check(found["copy_cpu_percent"] == 50 and found["copy_memory_mib"] == 1000, f"{found}")
    # They hold for what comes later, too.
    lab.netlab("reset", "anna")
    with open(f"/proc/{lab.machine('anna')['pid']}/stat") as file:
        check(grouped or int(file.read().rsplit(")", 1)[1].split()[16]) >= 10, "the limit was forgotten")
    lab.for_("down")
    lab.check_clean(before, "after down")
    return "control group" if grouped else "lower priority"


def niceness(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[16])


def supervisor(lab, student):
    return json.loads(lab.netlab("status", "--json", "--student", student).stdout)["labs"][0]["supervisor"]


def end_supervisor(lab, student):
    """Killed; the machines go on. Its copy is partly there until somebody starts another."""
    pid = supervisor(lab, student)
    os.kill(pid, signal.SIGKILL)
    wait_until("its supervisor has ended", lambda: pid not in processes())


def limits_again():
    """A copy's limits hold for each supervisor that it gets, whoever starts it."""
    lab = Class("student\nanna\nben\n")
    before = lab.fresh()
    lab.for_("up", "--copy-cpu", "50", env={"NETLAB_CGROUP": "/nonexistent"})
    check(niceness(supervisor(lab, "anna")) == 10 and niceness(lab.machine("anna")["pid"]) == 10, "up --for: no lower priority")
    end_supervisor(lab, "anna")
    lab.netlab("repair")
    check(niceness(supervisor(lab, "anna")) == 10, "repair: a supervisor without its limit")
    machine = lab.machine("anna")["pid"]
    end_supervisor(lab, "anna")
    os.kill(machine, signal.SIGKILL)
    lab.netlab("up", "--student", "anna")
    check(niceness(supervisor(lab, "anna")) == 10 and niceness(lab.machine("anna")["pid"]) == 10, "up --student: no lower priority")
    lab.for_("down")
    # A stand-in for a control group: the kernel makes these files with each group.
    group = os.path.join(lab.base, "group")
    os.makedirs(group)
    with open(os.path.join(group, "cgroup.subtree_control"), "w") as file:
        file.write("cpu memory")

    def empty(student):
        folder = os.path.join(group, f"netlab-lab-{student}")
        os.makedirs(folder, exist_ok=True)
        for name in ("memory.max", "cpu.max", "cgroup.procs"):
            with open(os.path.join(folder, name), "w"):
                pass

    def joined(student):
        folder, found = os.path.join(group, f"netlab-lab-{student}"), {}
        for name in ("memory.max", "cpu.max", "cgroup.procs"):
            with open(os.path.join(folder, name)) as file:
                found[name] = file.read()
        return found == {"memory.max": str(1000 << 20), "cpu.max": "50000 100000", "cgroup.procs": "0"}
    empty("anna")
    result = lab.for_("up", "--copy-cpu", "50", "--copy-memory", "1000", env={"NETLAB_CGROUP": group})
    check(joined("anna") and niceness(lab.machine("anna")["pid"]) == 0, "anna's group")
    check("no limits by control groups" in result.stderr and niceness(lab.machine("ben")["pid"]) == 10, f"ben has no group: {result.text}")
    empty("anna")
    end_supervisor(lab, "anna")
    lab.netlab("repair")
    check(joined("anna"), "repair: a supervisor outside its group")
    empty("anna")
    end_supervisor(lab, "anna")
    lab.netlab("up", "--student", "anna")
    check(joined("anna"), "up --student: a supervisor outside its group")
    empty("ben")
    result = lab.netlab("reset", "ben")
    check(joined("ben") and niceness(lab.machine("ben")["pid"]) == 0 and "no limits" not in result.stderr, f"reset: ben's group {result.text}")
    for student in ("anna", "ben"):
        for name in ("memory.max", "cpu.max", "cgroup.procs"):
            os.unlink(os.path.join(group, f"netlab-lab-{student}", name))
    lab.for_("down")
    check(os.listdir(group) == ["cgroup.subtree_control"], f"groups are left: {os.listdir(group)}")
    shutil.rmtree(group)
    lab.check_clean(before, "after down")


def interrupted():
    """Ctrl-C: what is on its way is rolled back, what is up stays; kill -9: `down --for` finds all."""
    lab = Class("student,mode\nanna,\nben,silent\ncem,silent\ndora,\n")
    before = lab.fresh()

    def begin():
        process = lab.start("up", "--for", lab.list, "--parallel", "2", "--json")
        wait_until("anna is up and others are starting",
                   lambda: lab.netlab("status", "--for", lab.list, rc=None).returncode == 0 and
                   list(lab.states().values()) == ["up", "starting", "starting", "down"], 30)
        return process
    process = begin()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    check(process.returncode == 130 and "interrupted; 1 copy was not begun" in output, f"{process.returncode} {output}")
    check(lab.states() == {"anna": "up", "ben": "down", "cem": "down", "dora": "down"}, f"{lab.states()}")
    lab.for_("down")
    lab.check_clean(before, "after SIGINT and down")
    process = begin()
    process.kill()
    process.communicate(timeout=60)
    lab.for_("down")
    lab.check_clean(before, "after SIGKILL and down")
    process = begin()
    process.kill()
    process.communicate(timeout=60)
    lab.write_list("student,mode\nanna,\nben,\ncem,\ndora,\n")
    lab.for_("up")
    check(set(lab.states().values()) == {"up"}, f"{lab.states()}")
    lab.for_("down")
    lab.check_clean(before, "after SIGKILL, up and down")


def sweep(verb):
    """SIGKILL at each point of the journal, in the command and in the processes that work on copies."""
    lab = Class("student\nanna\nben\n", topology=SMALL)
    before = lab.fresh()
    for n in range(1, 400):
        if verb == "down":
            lab.for_("up")
        result = lab.for_(verb, rc=None, env={"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": "all"})
        if verb == "up" and result.returncode != 0 and n % 2:
            lab.for_("up")
            check(lab.states() == {"anna": "up", "ben": "up"}, f"point {n}: {lab.states()}")
        lab.for_("down", rc=0 if verb == "up" and (n % 2 or result.returncode == 0) else None)
        lab.check_clean(before, f"{verb} killed at point {n}")
        if result.returncode == 0:
            check(n > (20 if verb == "up" else 10), f"only {n - 1} points: the sweep does not see the journal")
            return f"{n - 1} points"
    raise Failure("no end after 400 points")


def crash_up():
    return sweep("up")


def crash_down():
    return sweep("down")


REAL = """\
name: real
student: {{seed: 1}}
defaults: {{image: mini, memory: 72M}}
networks:
  lan: {{subnet: "10.${{student.seed % 200 + 10}}.0.0/24"}}
nodes:
  h1: {{networks: {{lan: {{delay: "${{student.seed % 5}}ms"}}}}, run: ["echo '${{student.name}}' > /who"]}}
  h2: {{networks: [lan]}}
  h3: {{networks: [lan]}}
checks:
  reach: {{node: h2, ping: "10.${{student.seed % 200 + 10}}.0.1", within: 20s, points: 2}}
  named: {{node: h1, file: /who, expect: "${{student.name}}", within: 20s}}
  task: {{node: h3, file: /done, within: 4s, hint: "touch /done"}}
  task-2: {{node: h3, file: /done-2, within: 4s, optional: true}}
  task-3: {{node: h2, file: /done-3, within: 4s, points: 3}}
"""
TEN = "student,name,seed\nanna,Anna Berg,5\nben,\"Ben, der Große\",77\ncem,Cem,\n"


def images():
    found = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True, check=False)
    return [image["name"] for image in json.loads(found.stdout or "[]")] if found.returncode == 0 else []


def guests():
    if "mini" not in images():
        return "SKIP: there is no image mini"
    lab = Class(TEN, topology=REAL, name="real", emulator="")
    hidden = os.path.join(lab.folder, "hidden.yml")
    with open(hidden, "w") as file:
        file.write("checks:\n  secret: {node: h1, file: /who, expect: \"${student.name}\", within: 5s}\n")
    before = lab.fresh()
    lab.for_("up", timeout=280)
    for student, address in (("anna", "10.15.0.1"), ("ben", "10.87.0.1")):
        text = lab.netlab("exec", "--student", student, "h1", "--", "ip addr show eth0").stdout
        check(f"inet {address}/24" in text, text)
    check("1 packets received" in lab.netlab("exec", "--student", "anna", "h2", "--", "ping -c 1 -W 5 10.15.0.1").stdout, "ping")
    check("1 packets received" not in lab.netlab("exec", "--student", "anna", "h2", "--", "ping -c 1 -W 1 10.87.0.1", rc=None).stdout,
          "anna reaches ben's machine")
    began = time.monotonic()
    result = lab.netlab("validate", "--student", "anna", rc=1)
    seconds = time.monotonic() - began
    marks = [line.split()[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    check(marks == ["ok", "ok", "FAILED", "warning", "FAILED", "2"], result.text)
    report = json.loads(lab.netlab("validate", "--student", "anna", "--json", rc=1).stdout)
    # One after the other the three that fail take 12 s; how long each took is in the report.
    check(max(item["seconds"] for item in report) < sum(item["seconds"] for item in report if not item["passed"]), f"{report}")
    check([item["check"] for item in report] == ["reach", "named", "task", "task-2", "task-3"], f"{report}")
    # ben does the tasks.
    lab.netlab("exec", "--student", "ben", "h3", "--", "touch /done /done-2")
    lab.netlab("exec", "--student", "ben", "h2", "--", "touch /done-3")
    lab.for_("down", "--students", "cem")
    lab.for_("up", "--students", "cem", timeout=280)
    rows = list(csv.DictReader(io.StringIO(lab.for_("validate", "--format", "csv", rc=1, timeout=120).stdout)))
    check([(row["student"], row["name"], row["points"], row["of"]) for row in rows] ==
          [("anna", "Anna Berg", "3", "8"), ("ben", "Ben, der Große", "8", "8"), ("cem", "Cem", "3", "8")], f"{rows}")
    check((rows[0]["reach"], rows[0]["task"], rows[1]["task-3"], rows[1]["open"]) == ("2", "0", "3", ""), f"{rows}")
    check(rows[2]["open"] == "task, task-2 (warning), task-3", f"{rows[2]}")
    check(lab.for_("validate", "--students", "ben").stdout.endswith("1 of 1 copies pass all checks\n"), "ben passes")
    found = json.loads(lab.for_("validate", "--json", "--within", "0", rc=1).stdout)
    check([len(item["checks"]) for item in found] == [5, 5, 5] and found[1]["points"] == 8, f"{found}")
    text = lab.for_("validate", "--format", "junit", "--within", "0", rc=1).stdout
    check(text.count("<testsuite ") == 3 and 'name="real-ben"' in text, text)
    # Hidden checks know the student, too; what is not up is said.
    lab.netlab("down", "--student", "cem", "h3")
    text = lab.for_("validate", "--checks", hidden, "--students", "ben").stdout
    check("6/6" in text, text)
    lab.netlab("reset", "ben", timeout=280)
    lab.netlab("exec", "--student", "ben", "h3", "--", "test ! -e /done")
    lab.for_("down")
    check(lab.for_("validate", rc=4).stderr.startswith("netlab: no class"), "validate of no class")
    lab.check_clean(before, "after down")
    return f"validate of a copy {seconds:.1f} s"


def verbs():
    """exec, save and repair of a class: a header and a folder for each student, statuses as those of one lab have them."""
    if "mini" not in images():
        return "SKIP: there is no image mini"
    lab = Class(TEN, topology=REAL, name="real", emulator="")
    before = lab.fresh()
    lab.for_("up", timeout=280)

    def run(*args, **options):
        return lab.netlab("exec", "--for", lab.list, *args, timeout=120, **options)
    result = run("h1", "cat /who")
    check(result.stdout == "== anna: h1\nAnna Berg\n== ben: h1\nBen, der Große\n== cem: h1\nCem\n", result.text)
    result = run("--students", "cem,anna", "h1,h2", "hostname")
    check(result.stdout == "== anna: h1\nh1\n== anna: h2\nh2\n== cem: h1\nh1\n== cem: h2\nh2\n", result.text)
    # The status of the first that failed; streams and numbers of each.
    result = run("--all", "echo out; echo err >&2; test $(hostname) != h2 || exit 7", rc=7)
    check(result.stdout.count("== ben: h2: exit status 7\nout\n") == 1 and result.stderr == "err\n" * 9, result.text)
    found = json.loads(run("--json", "--parallel", "2", "h*", "echo $(hostname); exit 3", rc=3).stdout)
    check([(item["student"], item["lab"], item["node"]) for item in found] ==
          [(name, f"real-{name}", node) for name in ("anna", "ben", "cem") for node in ("h1", "h2", "h3")], f"{found}")
    check(all(item["status"] == 3 and item["stdout"] == item["node"] + "\n" and item["stderr"] == "" for item in found), f"{found}")
    check(run("h1", "--", "cat").stdout == "== anna: h1\n== ben: h1\n== cem: h1\n", "no input")
    piped = subprocess.run([BIN, "exec", "--for", lab.list, "-i", "h3", "cat > /tmp/in; wc -c /tmp/in"], input="0123456789", text=True, capture_output=True,
                           cwd=lab.folder, env=lab.env, timeout=120, check=False)
    check(piped.stdout.count("10 /tmp/in") == 3, piped.stdout + piped.stderr)
    result = run("--timeout", "1", "h1", "sleep 30", rc=125)
    check(result.stderr.count("has not ended within 1 s") == 3, result.text)
    # What is not there.
    check("no node of lab real-anna" in run("r*", "true", rc=125).stderr, "a name that no copy has")
    check("did you mean \"anna\"" in run("--students", "ana", "h1", "true", rc=125).stderr, "nearest student")
    check("--students goes with --for" in lab.netlab("exec", "--students", "anna", "h1", "true", rc=125).stderr, "--students alone")
    check("--student is one copy" in run("--student", "anna", "h1", "true", rc=2).stderr, "--student and --for")
    # A class of which not all is up.
    lab.netlab("down", "--student", "ben", "h3")
    # save: a folder a student.
    check("ben: h3" not in lab.for_("save", timeout=120).stdout, "all that run is all there is")
    shutil.rmtree(os.path.join(lab.folder, "saved-real"))
    result = lab.for_("save", "h*", timeout=120, rc=4)
    saved = os.path.join(lab.folder, "saved-real")
    check(sorted(os.listdir(saved)) == ["anna", "ben", "cem"] and sorted(os.listdir(os.path.join(saved, "anna"))) == ["h1", "h2", "h3"], f"{os.listdir(saved)}")
    with open(os.path.join(saved, "ben", "h1", "addresses.txt")) as file:
        check("10.87.0.1/24" in file.read(), "ben's addresses")
    check("anna: h1: " in result.stdout and "in saved-real/cem/h3\n" in result.stdout and "netlab: ben: h3: " in result.stderr, result.text)
    check(not os.path.exists(os.path.join(saved, "ben", "h3")), "a stopped node was saved")
    shutil.rmtree(saved)
    found = json.loads(lab.for_("save", "h1", "-o", "deep/monday", "--students", "anna,cem", "--json", "--parallel", "1", timeout=120).stdout)
    check([(item["student"], item["lab"], item["node"], item["folder"], item["files"] > 3) for item in found] ==
          [(name, f"real-{name}", "h1", f"deep/monday/{name}/h1", True) for name in ("anna", "cem")], f"{found}")
    check(os.path.exists(os.path.join(lab.folder, "deep/monday/cem/h1/etc/hosts")), "files of /etc")
    shutil.rmtree(os.path.join(lab.folder, "deep"))
    with open(os.path.join(lab.folder, "taken"), "w"):
        pass
    found = json.loads(lab.for_("save", "-o", "taken", "--json", "h1", timeout=120, rc=1).stdout)
    check(len(found) == 3 and all("taken" in item["error"] for item in found), f"{found}")
    os.unlink(os.path.join(lab.folder, "taken"))
    check("no node of lab real-" in lab.for_("save", "r*", timeout=120, rc=4).stderr, "save of nodes that are not there")
    check("--parallel goes with --for" in lab.netlab("save", "--parallel", "2", rc=2).stderr, "--parallel alone")
    # A copy whose machines have gone, and one whose row alone is there (an `up` that was killed).
    lab.netlab("down", "--student", "cem")
    with sqlite3.connect(os.path.join(lab.env["NETLAB_STATE_DIR"], "netlab.db")) as store:
        store.execute("INSERT INTO member (class_id, student, lab, document, name, email, rank) SELECT class_id, 'dora', 'real-dora', document, '', '', 9 "
                      "FROM member WHERE student = 'anna'")
    result = run("h1,h3", "hostname", rc=125)
    check("== dora\n" in result.stdout and "netlab: dora: its copy is not up" in result.stderr and "netlab: ben: h3: " in result.stderr, result.text)
    found = json.loads(run("--json", "h1", "hostname", rc=125).stdout)
    check([(item["student"], item["node"], item.get("error")) for item in found][2] == ("dora", None, "its copy is not up"), f"{found}")
    found = json.loads(lab.for_("save", "h1", "--json", timeout=120, rc=4).stdout)
    check((found[2]["student"], found[2]["node"], found[2]["error"]) == ("dora", None, "its copy is not up"), f"{found}")
    shutil.rmtree(saved)
    # repair of a class leaves other labs alone.
    for student in ("anna", "ben"):
        os.kill(supervisor(lab, student), signal.SIGKILL)
    planned = json.loads(lab.for_("repair", "--dry-run", "--json", "--students", "anna").stdout)["repair"]
    check(planned and all(item["lab"] == "real-anna" and item["outcome"] == "to do" for item in planned), f"{planned}")
    done = lab.for_("repair", "--students", "anna").stdout
    check("real-anna" in done and "real-ben" not in done, done)
    done = lab.for_("repair", timeout=280).stdout
    check("real-ben" in done and "real-anna" not in done, done)
    check(lab.for_("repair").stdout == "all is well, nothing to do\n", "a second time")
    check("--students goes with --for" in lab.netlab("repair", "--students", "anna", rc=2).stderr, "--students alone")
    lab.for_("down")
    lab.check_clean(before, "after down")


def memory_of_all():
    """PSS of every process in here, and of it what is private: MiB."""
    pss = private = 0
    for pid in processes():
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                fields = {line.split(":")[0]: int(line.split()[1]) for line in file if line.split()[-1] == "kB"}
        except (OSError, ValueError):
            continue
        pss += fields.get("Pss", 0)
        private += fields.get("Private_Dirty", 0) + fields.get("Private_Clean", 0)
    return pss // 1024, private // 1024


def thirty():
    """Thirty copies of a lab of three nodes."""
    if not os.environ.get("NETLAB_TEST_FULL"):
        return "SKIP: NETLAB_TEST_FULL=1 runs it"
    students = "student,name\n" + "".join(f"s{i:02},Student {i}\n" for i in range(1, 31))
    lab = Class(students, topology=REAL, name="real", emulator="")
    before = lab.fresh()
    load = os.getloadavg()[0]

    def timed(*args, **options):
        began = time.monotonic()
        result = lab.for_(*args, timeout=1800, **options)
        return time.monotonic() - began, result
    up, _ = timed("up")
    check(list(lab.states().values()) == ["up"] * 30, f"{lab.states()}")
    pss, private = memory_of_all()
    busy = os.getloadavg()[0]
    validate, result = timed("validate", "--format", "csv", rc=1)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    check(len(rows) == 30 and all(row["points"] == "3" for row in rows), result.stdout)
    status, _ = timed("status")
    down, _ = timed("down")
    lab.check_clean(before, "after down")
    return (f"30 copies of 3 nodes, load before {load:.1f}, after up {busy:.1f}: up {up:.1f} s, status {status:.2f} s, validate {validate:.1f} s, "
            f"down {down:.1f} s; memory {pss} MiB (PSS), of it {private} MiB private; {pss / 90:.0f} MiB a machine")


if __name__ == "__main__":
    main(life, selection, one_fails, mistakes, reset, limits, limits_again, interrupted, crash_up, crash_down, guests, verbs, thirty)
