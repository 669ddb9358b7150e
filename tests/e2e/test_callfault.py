# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Every single system call that changes or asks something, in `up`, `down`, `repair` (of a lab, of one node, of a
class's copies) and the supervisor: killed there,
failed there, answered with an error by the kernel there, and another tool at work there. Afterwards nothing may be
different from before (docs/journal.md, "The proof").

callfault.c counts the calls and does it. The short version takes some points of each sweep, the same in every run:
NETLAB_TEST_SEED=N takes others, =random each time others, and prints which; NETLAB_TEST_FULL=1 takes all of them.
NETLAB_CALLFAULT_POINT=ACTION@N takes that one alone, NETLAB_CALLFAULT_ERROR=ENODEV one error everywhere and =all every error at each point,
NETLAB_CALLFAULT_CALLS=net,disk only such calls, NETLAB_CALLFAULT_ACTIONS=fail,refuse only those. The points tried are
printed as a table, or with --json.
"""
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import points_tried
from harness import BIN, MODE, TWO_HOSTS, Lab, Failure, check, main, processes, wait_until
from test_class import SMALL, Class
from test_crash import CHANGED, RESTARTED
from test_crash_uplinks import TOPOLOGY as UPLINKS
from test_uplinks import Outside

CALLFAULT = os.environ["NETLAB_CALLFAULT"]
ACTIONS = os.environ.get("NETLAB_CALLFAULT_ACTIONS")
FULL = bool(os.environ.get("NETLAB_TEST_FULL"))
SEED = os.environ.get("NETLAB_TEST_SEED", "1")
SEED = time.time_ns() // 1000 % 1000000 if SEED == "random" else int(SEED)
ONLY = os.environ.get("NETLAB_CALLFAULT_POINT")
ERROR = os.environ.get("NETLAB_CALLFAULT_ERROR")
SECONDS = 1.0  # of each sweep, in the short version
LINGER = 20
ALL_CALLS = "net,device,spawn,disk,socket,sysctl"
CALLS = os.environ.get("NETLAB_CALLFAULT_CALLS", ALL_CALLS)
ERRORS = ("ENOMEM", "EPERM", "ENOBUFS", "EBUSY", "EEXIST", "ENODEV", "EIO", "ENOSPC")
NETLINK_ERRORS = 6  # those of them that the kernel answers with
# What none of our programs may ever say.
BROKEN = re.compile(r"CRITICAL|assert|Sanitizer|runtime error|\(null\)|stack smashing|core dumped")
KILLED = 128 + signal.SIGKILL


class Fault:
    """One point of a sweep: at the `at`-th call of `classes` do `what`."""

    def __init__(self, action, at, turn=0, error=None):
        self.action, self.at, self.turn = action, at, turn
        self.classes = "ask" if action in ("refuse", "answer") else CALLS
        self.command = None
        self.kind = ""
        self.error = error or ERRORS[(at + turn) % (len(ERRORS) if action == "fail" else NETLINK_ERRORS)]
        self.count, self.hit = 0, ""

    def arguments(self, report):
        what = {"kill": "kill", "kill-all": "kill-all", "run": f"run:{self.command}"}.get(self.action)
        what = what or f"{self.action}:{getattr(errno, self.error)}"
        return [CALLFAULT, "--class", self.classes, "--at", str(self.at), "--do", what, "--report", report]

    def kills(self):
        return self.action.startswith("kill")

    def __str__(self):
        return f"{self.action}@{self.at}{'' if self.kills() or self.action == 'run' else ' ' + self.error} ({self.hit})"

    def read(self, report):
        with open(report) as file:
            count, self.kind, self.hit = (file.read().rstrip("\n") + "  ").split(" ", 2)
        self.hit = self.hit.strip()
        self.count = int(count)
        os.unlink(report)
        return bool(self.hit)


def supervisors(what=" supervise "):
    """The supervisor that runs and its helper, parents first, as arguments of callfault."""
    return [word for pid, command in sorted(processes().items()) if what in command for word in ("--attach", str(pid))]


def run(lab, fault, *args, beside=" supervise "):
    """netlab under callfault, with what runs already `beside` it; the result, and `.hit` of the fault."""
    report = os.path.join(lab.base, "report")
    result = subprocess.run([*fault.arguments(report), *supervisors(beside), "--", BIN, *args], cwd=lab.folder, env=lab.env, capture_output=True,
                            text=True, stdin=subprocess.DEVNULL, timeout=120)
    if result.returncode == 77:
        print(result.stdout)
        sys.exit(77)
    result.text = result.stdout + result.stderr
    fault.read(report)
    check(not BROKEN.search(result.text + lab.logs()), f"{fault}: {result.text}{lab.logs()}")
    if not fault.kills():
        check(0 <= result.returncode < 126, f"{fault}: status {result.returncode}: {result.text}{lab.logs()}")
        check(result.returncode == 0 or "netlab: " in result.stderr, f"{fault}: failed without a word: {result.text}")
    return result


def remove_empty(lab, fault=None):
    """What may stay for the next one when just its removal fails: the folder of all labs, empty, and the file of a lock
    that could not be taken (another netlab might be about to lock it)."""
    try:
        if not fault or fault.hit.startswith("rmdir"):
            os.rmdir(os.path.join(lab.base, "run"))
        if not fault or fault.hit.startswith("flock"):
            os.unlink(os.path.join(lab.base, "state", "locks", lab.name))
    except OSError:
        pass


def errors_of(action):
    """The errors that are tried at a point, one run each; None: whichever has its turn there."""
    if action not in ("fail", "refuse", "answer") or ERROR != "all":
        return (ERROR,)
    return ERRORS if action == "fail" else ERRORS[:NETLINK_ERRORS]


class LabScene:
    """Where a sweep takes place: what is compared, and how everything is brought back after a point."""

    def __init__(self, lab):
        self.lab = lab
        lab.netlab("status", rc=4)

    def dump(self):
        return self.lab.dump()

    def check_clean(self, before, what):
        self.lab.check_clean(before, what)

    def clean(self, fault):
        down = self.lab.netlab("down", "--lab", self.lab.name, rc=None)
        check(down.returncode in (0, 4), f"down afterwards: {down.text}")
        remove_empty(self.lab, fault)

    def clean_by_force(self):
        self.lab.netlab("down", "--lab", self.lab.name, rc=None)
        self.lab.netlab("repair", rc=None)
        remove_empty(self.lab)

    def close(self):
        self.lab.remove()


def start_over(scene, before, failures):
    """After a point that failed: the sweep goes on when everything can be brought back, so that one run finds them all."""
    try:
        for pid, command in processes().items():
            if command not in before["processes"]:
                os.kill(pid, signal.SIGKILL)
        if os.path.exists(os.path.join(scene.lab.base, "report")):
            os.unlink(os.path.join(scene.lab.base, "report"))
        scene.clean_by_force()
        scene.check_clean(before, "after repair")
    except (Failure, subprocess.TimeoutExpired) as failure:
        failures.append(f"and everything killed, then `down` and `repair`: {failure}")
        raise Failure("\n".join(failures)) from failure


def sweep(scene, one, actions, least):
    """Calls `one` with a fault at each point of each action until a run has fewer calls than that."""
    program = sys._getframe(1).f_code.co_name
    scene = LabScene(scene) if isinstance(scene, Lab) else scene
    before = scene.dump()
    chance = random.Random(f"{SEED} {program}")
    tried, sizes, failures, counted = 0, [], [], {}
    for action in actions:
        if ACTIONS and action not in ACTIONS:
            continue
        # A run with a number that no run has counts the calls; in the short version once for all that count the same.
        blank = Fault(action, 10 ** 9)
        known = counted.get((blank.classes, action == "run"))
        if known and not FULL:
            blank = known
        else:
            one(scene.lab, blank)
            scene.clean(blank)
            scene.check_clean(before, "without a fault")
            counted[blank.classes, action == "run"] = blank
        sizes.append(blank.count)
        check(blank.count >= (2 if blank.classes != ALL_CALLS else least), f"only {blank.count} calls: the sweep does not see them")
        # A run that had to wait for a gateway polled for it.
        points = list(range(1, min(blank.count, 2000) + LINGER))
        if ONLY:
            points = [int(ONLY.partition("@")[2])] if ONLY.partition("@")[0] == action else []
        elif not FULL:
            chance.shuffle(points)
            if action == "fail":  # one of the last, too: where the outcome is written and told
                points.insert(0, max(1, blank.count - chance.randrange(LINGER)))
        deadline = time.monotonic() + SECONDS / len(actions)
        missed = hits = 0
        for at in points:
            # One at least, however slow the computer.
            if not FULL and not ONLY and hits and time.monotonic() > deadline:
                break
            was_hit = False
            for error in errors_of(action):
                fault = Fault(action, at, SEED if not ONLY else int(os.environ.get("NETLAB_TEST_SEED", 0)), error)
                try:
                    one(scene.lab, fault)
                    scene.clean(fault)
                    scene.check_clean(before, "afterwards")
                except (Failure, subprocess.TimeoutExpired) as failure:
                    failures.append(f"{fault}, seed {SEED}: {failure}")
                    print(f"{program}: {failures[-1][:3000]}", flush=True)
                    start_over(scene, before, failures)
                if fault.hit:
                    was_hit = True
                    tried, hits = tried + 1, hits + 1
                    points_tried.count(program, MODE, action, fault.kind, blank.count)
            missed = 0 if was_hit else missed + 1
            if FULL and missed > 3 and at > blank.count:
                break
    check(tried or ONLY, "not one point was tried")
    if failures:
        scene.close()
        raise Failure(f"{len(failures)} of {tried} points:\n" + "\n".join(failures))
    scene.close()
    return f"{tried} points of {' + '.join(map(str, sizes))} ({', '.join(actions)}; seed {SEED})"


EVERY = ("kill", "kill-all", "fail", "refuse", "answer")
ALONE = ("kill", "fail", "refuse", "answer")


def up_fault(args=(), nodes=("h1", "h2")):
    """`up` of a new lab."""
    before = []

    def one(lab, fault):
        if not before:
            before.append(lab.dump())
        result = run(lab, fault, "up", *args)
        if result.returncode == 0:
            lab.check_running(*nodes)
        elif fault.kills():
            if fault.at % 3 == 1:
                lab.netlab("up", *args)
                lab.check_running(*nodes)
            elif fault.at % 3 == 2:
                lab.netlab("repair")
        else:
            remove_empty(lab, fault)
            lab.check_clean(before[0], f"before down: {result.text}")
    return one


def down_fault(args=(), verb=("down",)):
    """`down`, or `repair` of a lab whose store is lost."""
    def one(lab, fault):
        lab.netlab("up", *args)
        result = run(lab, fault, *verb)
        check(result.returncode in (0, 1, 5, 6, 7, 8, KILLED), f"status {result.returncode}: {result.text}")
    return one


def repair_fault(args=()):
    """`repair` after everything was killed and the store is lost: a second one finds what the first one has left."""
    def one(lab, fault):
        lab.netlab("up", *args)
        state = os.path.join(lab.base, "state")
        supervisor, machines = lab.pids()
        if fault.at % 2:
            os.kill(supervisor, signal.SIGKILL)
        if fault.at % 3:
            for name in os.listdir(state):
                if name.startswith("netlab.db"):
                    os.unlink(os.path.join(state, name))
        else:
            os.kill(machines["h1"], signal.SIGKILL)
        run(lab, fault, "repair")
        lab.netlab("repair")
    return one


def change_fault(args=()):
    """`up` of a changed file: afterwards the lab is as it was, or, when it was killed, `up` again arrives at the new state."""
    def one(lab, fault):
        lab.write(TWO_HOSTS.format(name=lab.name))
        lab.netlab("up", *args)
        lab.write(CHANGED.format(name=lab.name))
        result = run(lab, fault, "up", *args)
        if fault.kills() and result.returncode and fault.at % 2:
            lab.netlab("repair")
        elif fault.kills() and result.returncode:
            lab.netlab("up", *args)
            lab.check_running("h1", "h2", "h3")
        elif result.returncode:
            lab.write(TWO_HOSTS.format(name=lab.name))
            # When it is the command that failed, its supervisor rolls back by itself.
            wait_until(lambda: f"the lab to be what it was: {lab.status()}{result.text}",
                       lambda: all(node["state"] == "running" for node in lab.status()["nodes"]) and len(lab.status()["nodes"]) == 2)
            # The rest of it, links and settings: looked at only, for what `up` did would not be seen any more.
            wait_until(lambda: f"nothing to be left for `up`: {lab.netlab('up', '--dry-run', *args, rc=None).text}{result.text}",
                       lambda: "nothing to do" in lab.netlab("up", "--dry-run", *args, rc=None).stdout)
            again = lab.netlab("up", *args)
            check("nothing to do" in again.stdout, f"not what it was: {result.text}{again.text}")
        else:
            lab.check_running("h1", "h2", "h3")
    return one


def node_fault(verb, args=(), stopped=False):
    """A verb for one node of a running lab: killed, `repair` or `up` makes the lab whole; failed, it says so and the node
    is what it was. `stopped`: it was stopped before."""
    def one(lab, fault):
        lab.netlab("up", *args)
        if stopped:
            lab.netlab("down", "h2")
        machines = lab.pids()[1]
        result = run(lab, fault, *verb)
        if result.returncode == 0:
            after = lab.node("h2")
            check(after["state"] == ("stopped" if verb[0] == "down" else "running"), f"{after} after: {result.text}")
            check(verb[0] != "restart" or after["pid"] != machines["h2"], f"not restarted: {result.text}")
        elif not fault.kills():
            was = "stopped" if stopped else "running"
            # While its supervisor rolls back it may be neither.
            wait_until(lambda: f"h2 to be {was} again: {lab.status()}{result.text}",
                       lambda: was in [node["state"] for node in lab.status()["nodes"] if node["name"] == "h2"])
        elif fault.at % 2:
            lab.netlab("repair")
        stays = fault.at % 3 != 0
        if stays:
            lab.netlab("up", *args)
            lab.netlab("up", "h2", *args)
            lab.check_running("h1", "h2")
        check(lab.pids()[1]["h1"] == machines["h1"], f"the other node was touched: {result.text}")
    return one


class ClassScene(LabScene):
    """Two copies of a lab, for two students."""

    def clean(self, fault):
        down = self.lab.for_("down", rc=None)
        check(down.returncode in (0, 4), f"down afterwards: {down.text}")
        for name in ("lab-anna", "lab-ben"):
            self.lab.name = name
            remove_empty(self.lab, fault)

    def clean_by_force(self):
        self.lab.for_("down", rc=None)
        self.lab.netlab("repair", rc=None)
        self.lab.netlab("down", "--all", rc=None)
        self.lab.for_("down", rc=None)
        remove_empty(self.lab)


def class_fault(*verb):
    """A verb for a class: killed, or failed with a message, it leaves whole copies and none; the same again makes all whole."""
    def whole(lab):
        check(lab.states() == {"anna": "up", "ben": "up"}, f"{lab.states()}{lab.logs()}")

    def one(lab, fault):
        words = [lab.list if word == "LIST" else word for word in verb]
        is_up, is_down = verb[0] == "up", verb[0] == "down"
        if not is_up:
            lab.for_("up")
        ben = None if is_up or is_down else lab.machine("ben")["pid"]
        result = run(lab, fault, *words)
        # What is on its way back is a supervisor's work, also when the command that asked it has failed.
        status = wait_until(lambda: f"the copies to be settled: {lab.for_('status', rc=None).text}{result.text}", lambda: settled(lab, fault))[0]
        if result.returncode == 0 and not is_down:
            whole(lab)
        elif result.returncode == 0:
            check(status == {}, f"{status} after {result.text}")
        elif fault.kills() and fault.at % 3 == 2:
            lab.netlab("repair")
        elif fault.at % 3 == 1:
            again = lab.netlab(*words, rc=None)
            check(again.returncode == 0 or is_down and again.returncode == 4, f"again: {again.text}")
            if not is_down:
                whole(lab)
        if ben:
            check(lab.machine("ben")["pid"] == ben, f"the other copy was touched: {result.text}")
    return one


def settled(lab, fault):
    """The states of the copies in a list of one, [{}] when there are none; [] when one is neither up nor down and nobody was killed."""
    found = lab.for_("status", "--json", rc=None)
    if found.returncode == 4:
        return [{}]
    states = {item["student"]: item["state"] for item in json.loads(found.stdout)["students"]}
    return [states] if fault.kills() or set(states.values()) <= {"up", "down"} else []


def restart_fault(args=()):
    """The supervisor, while it starts a machine again."""
    def one(lab, fault):
        lab.netlab("up", *args)
        supervisor, machines = lab.pids()
        report = os.path.join(lab.base, "report")
        tracer = subprocess.Popen([*fault.arguments(report), *supervisors()], stdout=subprocess.PIPE, text=True)
        wait_until("it is traced", lambda: tracer.poll() is not None or f"\nTracerPid:\t{tracer.pid}\n" in read(f"/proc/{supervisor}/status"))
        os.kill(machines["h2"], signal.SIGKILL)

        def outcome():
            status = lab.status()
            node = next(node for node in status["nodes"] if node["name"] == "h2")
            return "killed" if not status["supervisor"] else "back" if node["pid"] not in (0, None, machines["h2"]) else None

        result = wait_until(lambda: f"a restart or a dead supervisor: {lab.status()}{lab.logs()}", outcome, 40)
        wait_until("the tracer to end", lambda: tracer.poll() is not None or tracer.terminate())
        tracer.communicate()
        if os.path.exists(report):
            fault.read(report)
        check(fault.kills() or result == "back", f"the supervisor is gone\n{lab.logs()}")
        check(not BROKEN.search(lab.logs()), lab.logs())
        check(lab.pids()[1]["h1"] == machines["h1"], "h1 was restarted too")
        if result == "back" and not fault.kills():
            # What is told of it is told after it is started.
            wait_until(lambda: f"the note to be true: {lab.status()}{lab.logs()}",
                       lambda: lab.node("h2")["state"] == "running" and not re.search(r"restart \d+ of \d+ in", lab.node("h2")["note"]))
        if result == "killed" and fault.at % 2:
            lab.netlab("repair")
    return one


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


# ---- a host with others on it ----

def ip(words, check_it=True):
    return subprocess.run(["ip", *words.split()], check=check_it, capture_output=True, text=True).stdout


class Strangers:
    """Links of others, with names and marks that look like ours."""

    def __init__(self):
        lab = Lab()
        lab.netlab("up", "--here")
        names = re.findall(r"^\d+: (nl\w+)", ip("-o link"), re.M)
        lab.netlab("down")
        lab.remove()
        check(len(names) >= 4, f"{names}")
        self.names = []
        for name in names:
            twin = name[:-1] + ("0" if name[-1] != "0" else "1")
            ip(f"link add {twin} type bridge" if name[2] == "b" else f"tuntap add dev {twin} mode tap")
            ip(f"link set {twin} addrgenmode none alias netlab:lab:lan")
            self.names.append(twin)
        ip(f"addr add 203.0.113.1/24 dev {self.names[0]}")
        ip(f"link set {self.names[0]} up")

    def close(self):
        for name in self.names:
            ip(f"link del {name}", False)


def among_strangers(test):
    def wrapped():
        strangers = Strangers() if MODE == "root" else None
        try:
            return test()
        finally:
            if strangers:
                strangers.close()
    wrapped.__name__ = test.__name__
    return wrapped


HERE = ("--here",)


@among_strangers
def up():
    return sweep(Lab(), up_fault(), EVERY, 150)


@among_strangers
def up_here():
    return sweep(Lab(), up_fault(HERE), EVERY, 150)


@among_strangers
def down():
    return sweep(Lab(), down_fault(), ALONE, 40)


@among_strangers
def down_here():
    return sweep(Lab(), down_fault(HERE), ALONE, 40)


@among_strangers
def repair():
    return sweep(Lab(), repair_fault(), ALONE, 40)


@among_strangers
def repair_here():
    return sweep(Lab(), repair_fault(HERE), ALONE, 40)


@among_strangers
def change():
    return sweep(Lab(), change_fault(), EVERY, 150)


@among_strangers
def change_here():
    return sweep(Lab(), change_fault(HERE), EVERY, 150)


def node_down():
    return sweep(Lab(), node_fault(("down", "h2")), ALONE, 30)


def node_restart():
    return sweep(Lab(), node_fault(("restart", "h2")), ALONE, 30)


def node_up():
    return sweep(Lab(), node_fault(("up", "h2"), stopped=True), ALONE, 30)


def class_up():
    return sweep(ClassScene(class_lab()), class_fault("up", "--for", "LIST", "--parallel", "1"), EVERY, 300)


def class_down():
    return sweep(ClassScene(class_lab()), class_fault("down", "--for", "LIST", "--parallel", "1"), ALONE, 80)


def class_reset():
    return sweep(ClassScene(class_lab()), class_fault("reset", "anna"), ALONE, 150)


def class_lab():
    return Class("student\nanna\nben\n", topology=SMALL)


def restart():
    return sweep(Lab(RESTARTED), restart_fault(), ALONE, 30)


# ---- uplinks ----


def with_uplinks(test):
    def wrapped():
        outside = Outside()
        try:
            # Of each family more than one, since their order says which is the source; a discipline of its own.
            for address in ("198.51.100.7/32", "192.0.2.2/24", "198.51.100.8/32", "2001:db8::1/64", "2001:db8::2/64", "fd00:9::3/64"):
                ip(f"addr add {address} dev up0 {'nodad' if ':' in address else ''}")
            ip("route add 10.99.0.0/16 via 192.0.2.9 metric 50")
            ip("rule add iif up0 pref 901 table 99")
            subprocess.run("tc qdisc add dev up0 root pfifo limit 77".split(), check=True)
            wait_until("the addresses to be there", lambda: "tentative" not in ip("addr show up0"))
            return test()
        finally:
            ip("rule del pref 901", False)
            outside.close()
    wrapped.__name__ = test.__name__
    return wrapped


@with_uplinks
def up_uplinks():
    return sweep(Lab(UPLINKS), up_fault(nodes=("@user", "h1")), EVERY, 150)


@with_uplinks
def down_uplinks():
    return sweep(Lab(UPLINKS), down_fault(), ALONE, 40)


@with_uplinks
def repair_uplinks():
    return sweep(Lab(UPLINKS), repair_fault(), ALONE, 40)


# ---- another tool at work ----

def meanwhile(undo, *commands):
    """At each point of `up` and of `down` one of the commands is run. What it makes has to be there in the end, or the
    output has to name it; then it is undone, and nothing else may be different."""
    def one(lab, fault):
        command, names, is_there = commands[fault.at % len(commands)]
        fault.command = command
        options = () if "uplink" in read(lab.file) else HERE
        if fault.turn % 2:
            result = run(lab, fault, "up", *options)
            down = lab.netlab("down", rc=None)
            check(down.returncode in (0, 4), f"down: {down.text}")
        else:
            lab.netlab("up", *options)
            result = down = run(lab, fault, "down")
            if result.returncode:
                down = lab.netlab("down", rc=None)
                check(down.returncode in (0, 4), f"down: {down.text}")
        text = result.text + down.text
        left = is_there()
        check(not fault.hit or "failed" in fault.hit or left or names in text, f"{command}: neither there nor told: {text}")
        for words in undo:
            ip(words, False)
    return one


@with_uplinks
def others_and_uplinks():
    def seen(what, where):
        return lambda: what in ip(where)
    return sweep(Lab(UPLINKS), meanwhile(
        ("addr del 203.0.113.7/32 dev up0", "rule del pref 77 table 77", "route del 10.44.0.0/16", "link del other0"),
        ("ip addr add 203.0.113.7/32 dev up0", "203.0.113.7", seen("203.0.113.7", "addr")),
        ("ip rule add pref 77 table 77", "77", seen("77:", "rule")),
        # Where the NIC's addresses are just then.
        ("ip route add 10.44.0.0/16 via 192.0.2.9", "10.44.0.0/16", seen("10.44.0.0/16", "route")),
        ("tc qdisc replace dev lab.campus root pfifo", "pfifo", lambda: True),
        ("nft flush ruleset", "", lambda: True),
        ("ip link add other0 type bridge; ip link set up0 master other0; ip link set up0 nomaster", "", seen("other0", "-o link"))),
        ("run",), 150)


@among_strangers
def others_here():
    lab = Lab()
    lab.netlab("up", *HERE)
    bridge = re.findall(r"^\d+: (nlb\w+).* alias netlab:lab:lan", ip("-o link"), re.M)
    ours = next(name for name in bridge if "10.1.0.254" in ip(f"addr show {name}"))
    lab.netlab("down")

    def taken():
        return ours in ip("-o link")
    return sweep(lab, meanwhile(
        (f"link del {ours}", "link del other0"),
        # Ours is deleted under us; its name taken by somebody else's; its mark written over.
        (f"ip link del {ours}", "", lambda: True),
        (f"ip link add {ours} type bridge", "", taken),
        (f"ip link del {ours}; ip link add {ours} type bridge", "", taken),
        ("ip link add other0 type bridge", "", lambda: "other0" in ip("-o link")),
        (f"ip link set {ours} alias somebody", "", taken)), ("run",), 80)


if __name__ == "__main__":
    tests = [up, down, repair, change]
    if MODE == "root":
        tests += [up_here, down_here, repair_here, change_here, restart, node_down, node_up, node_restart, class_up, class_down, class_reset,
                  up_uplinks, down_uplinks, repair_uplinks, others_here, others_and_uplinks]
    # The verbs for one node take turns in the short version, and those for a class.
    if not FULL and MODE == "root" and not sys.argv[1:]:
        for group in ((node_down, node_up, node_restart), (class_up, class_down, class_reset)):
            for test in group:
                if test is not group[SEED % 3]:
                    tests.remove(test)
    main(*tests, finish=points_tried.show)
