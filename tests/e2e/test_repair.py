# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""`netlab repair`, and labs whose store is lost, damaged, locked, full or read-only: everything of ours goes, nothing else does."""
import json
import os
import signal
import sqlite3
import subprocess

from harness import BIN, MODE, TWO_HOSTS, Failure, Lab, check, main, processes, wait_until

CHANGED = TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], memory: 128M}}\n  h3: {{networks: [lan]}}")
HERE = [[], ["--here"]] if MODE == "root" else [[]]


def clean_lab(topology=TWO_HOSTS, **kwargs):
    lab = Lab(topology, **kwargs)
    lab.netlab("status", rc=4)
    return lab, lab.dump()


def database(lab):
    return os.path.join(lab.base, "state", "netlab.db")


def lose_store(lab):
    for suffix in ("", "-wal", "-shm"):
        try:
            os.unlink(database(lab) + suffix)
        except FileNotFoundError:
            pass


def forget_store(before):
    """Without the rows: their loss is what the test is about."""
    return {part: value for part, value in before.items() if part != "store"}


def standing(lab):
    """What does not change by itself while a lab is up in this namespace."""
    dump = lab.dump()
    return dump["processes"], dump["files"], subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout


def findings(lab, *args, rc=0):
    return json.loads(lab.netlab("repair", "--json", *args, rc=rc).stdout)["repair"]


def all_is_well():
    lab, before = clean_lab()
    check(lab.netlab("repair").stdout == "all is well, nothing to do\n", "an empty store")
    lab.netlab("up")
    lab.netlab("down", "h2")
    pids = lab.pids()
    check(lab.netlab("repair").stdout == "all is well, nothing to do\n", "a healthy lab")
    check(lab.pids() == pids, "something was restarted")
    # What ended by itself is for `up` or its policy, not for us.
    os.kill(pids[1]["h1"], signal.SIGKILL)
    wait_until("it is noted", lambda: lab.node("h1")["state"] == "ended")
    check(findings(lab) == [], "a machine that ended")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def store_lost():
    for args in HERE:
        lab, before = clean_lab()
        lab.netlab("up", *args)
        lose_store(lab)
        # It is not up as far as the store goes, and what to do about it is said.
        for words in (("status",), ("down", "--all")):
            said = lab.netlab(*words, rc=4)
            check("lab lab runs (" in said.stderr and "`netlab repair` takes away" in said.stderr and "nothing to do" not in said.stdout, said.text)
        # A second lab beside the first, which runs and nobody knows of, is not begun.
        for more in ([], ["--dry-run"]):
            beside = lab.netlab("up", *args, *more, rc=5)
            check("lab lab runs (" in beside.stderr and "does not know of it; `netlab repair`" in beside.stderr, beside.text)
        now = standing(lab)
        planned = findings(lab, "--dry-run")
        check(standing(lab) == now, "a dry run changed something")
        check({item["outcome"] for item in planned} == {"to do"} and {item["lab"] for item in planned} == {"lab"}, f"{planned}")
        text = " ".join(item["what"] for item in planned)
        check("end machine h1" in text and "end its supervisor" in text and "remove its folder" in text, text)
        check("delete link" in text if args else "delete link" not in text, text)
        done = findings(lab)
        check({item["outcome"] for item in done} == {"done"} and len(done) >= 4, f"{done}")
        lab.check_clean(forget_store(before), f"after repair with the store lost {args}")
        check(findings(lab) == [], "repair twice")
        lab.netlab("up", *args)
        lab.netlab("down")
        lab.remove()


def store_damaged():
    """Garbage, a truncated file, a wrong magic, a page torn out: each is named, and repair makes an end of it."""
    def garbage(data):
        return b"this is no database " * 500

    def truncated(data):
        return data[:len(data) // 2 + 100]

    def magic(data):
        return b"SQLite format 4\0" + data[16:]

    def torn(data):
        return data[:4096] + b"\xa5" * 4096 + data[8192:]

    for damage in (garbage, truncated, magic, torn):
        lab, before = clean_lab()
        lab.netlab("up")
        with sqlite3.connect(database(lab)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        with open(database(lab), "rb") as file:
            data = file.read()
        lose_store(lab)
        with open(database(lab), "wb") as file:
            file.write(damage(data))
        result = lab.netlab("status", "--all", rc=None)
        if result.returncode:
            check(result.returncode == 7 and "is damaged" in result.stderr and "`netlab repair` moves it away" in result.stderr, f"{damage.__name__}: {result.text}")
        done = findings(lab)
        check("move the damaged store to" in done[0]["what"] and {item["outcome"] for item in done} == {"done"}, f"{damage.__name__}: {done}")
        with open(database(lab) + ".damaged-1", "rb") as file:
            check(file.read() == damage(data), "the damaged store was changed")
        os.unlink(database(lab) + ".damaged-1")
        lab.check_clean(forget_store(before), f"after repair with a damaged store ({damage.__name__})")
        lab.netlab("up")
        lab.netlab("down")
        lab.remove()


def newer_store_is_left_alone():
    lab, before = clean_lab()
    with sqlite3.connect(database(lab)) as db:
        db.execute("PRAGMA user_version = 1000")
    db.close()
    result = lab.netlab("repair", rc=7)
    check("was written by a newer netlab" in result.stderr and "Nothing was changed" in result.stderr, result.text)
    lab.remove()


def cut_off_up():
    lab, before = clean_lab()
    for n in (5, 12, 20, 28, 33):
        result = lab.netlab("up", rc=None, env={"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": "all"})
        check(result.returncode == -signal.SIGKILL, f"not killed at {n}")
        findings(lab)
        lab.check_clean(before, f"repair after an up that was killed at {n}")
    lab.remove()


def cut_off_change():
    """A change that was killed half-way: repair finishes what was begun, and the lab is whole; `up` does the rest."""
    lab, before = clean_lab()
    for n in range(8, 32, 3):
        lab.write(TWO_HOSTS.format(name="lab"))
        lab.netlab("up")
        lab.write(CHANGED.format(name="lab"))
        killed = lab.netlab("up", rc=None, env={"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": "all"}).returncode != 0
        done = findings(lab)
        check(killed or not done, f"{done}")
        status = lab.status()
        check(status["supervisor"] and all(node["state"] == "running" for node in status["nodes"]), f"point {n}: {status} {done}\n{lab.logs()}")
        again = findings(lab)
        check(again == [], f"point {n}: not whole after repair: {again}, first {done}")
        lab.netlab("up")
        lab.check_running("h1", "h2", "h3")
        lab.netlab("down")
        lab.check_clean(before, f"after point {n}")
    lab.remove()


def repair_killed():
    """SIGKILL at every point of repair itself, with the lab cut off before: repair again makes an end."""
    lab, before = clean_lab()
    for n in range(1, 100):
        check(lab.netlab("up", rc=None, env={"NETLAB_CRASH_AT": "30", "NETLAB_CRASH_KILL": "all"}).returncode != 0, "not killed")
        result = lab.netlab("repair", rc=None, env={"NETLAB_CRASH_AT": str(n)})
        if result.returncode == 0:
            lab.check_clean(before, "after repair")
            check(n > 10, f"only {n - 1} points")
            lab.remove()
            return f"{n - 1} points"
        lab.netlab("repair")
        lab.check_clean(before, f"repair killed at point {n}")
    raise Failure("no end")


def anew_killed():
    """All who held the lab's namespace are dead, and SIGKILL comes at each point while repair makes the lab anew: to
    repair or to all it started; repair again makes it whole, and what it made it takes for what is there."""
    lab, before = clean_lab()
    stride = 1 if os.environ.get("NETLAB_TEST_FULL") else 9
    for whom in ("self", "all"):
        for n in range(1 + os.getpid() % stride, 200, stride):
            lab.netlab("up")
            supervisor, machines = lab.pids()
            for pid in (supervisor, *machines.values()):
                os.kill(pid, signal.SIGKILL)
            wait_until("all are dead", lambda: len(processes()) == len(before["processes"]))
            result = lab.netlab("repair", rc=None, env={"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": whom})
            findings(lab)
            lab.check_running("h1", "h2")
            namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in (lab.pids()[0], *lab.pids()[1].values())}
            check(len(namespaces) == 1, f"point {n}: {namespaces}")
            pid = lab.pids()[0]
            enter = ["nsenter", "-t", str(pid), "-n"] + (["-U", "--preserve-credentials"] if MODE == "user" else [])
            links = subprocess.run([*enter, "ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
            check(links.count("nlb") == 2 and links.count("nlt") == 4, f"point {n}: {links}")
            check(findings(lab) == [] and "nothing to do" in lab.netlab("up").stdout, f"point {n}: not whole after repair")
            lab.netlab("down")
            lab.check_clean(before, f"repair that made the lab anew killed at point {n} ({whom})")
            if result.returncode == 0:
                break
        check(n > 20, f"only {n - 1} points")
    lab.remove()
    return f"every {stride} of {n - 1} points"


def dead_supervisor():
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, machines = lab.pids()
    os.kill(supervisor, signal.SIGKILL)
    done = findings(lab)
    check("start the supervisor" in done[-1]["what"], f"{done}")
    check(lab.pids()[1] == machines and lab.pids()[0] not in (0, supervisor), "machines were touched")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def after_a_reboot():
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, nodes = lab.pids()
    for pid in [supervisor, *nodes.values()]:
        os.kill(pid, signal.SIGKILL)
    wait_until("all are dead", lambda: len(processes()) == len(before["processes"]))
    with sqlite3.connect(database(lab)) as db:
        db.execute("UPDATE lab SET boot_id = '00000000-0000-0000-0000-000000000000'")
    db.close()
    check("was restarted since" in findings(lab)[0]["what"], "not noticed")
    lab.check_clean(before, "after a reboot")
    lab.remove()


def what_is_not_ours():
    """Look-alikes stay: other users' marks, other state directories, folders with other files, labs that are being changed."""
    lab, before = clean_lab()
    other = Lab(name="other")
    other.netlab("up")
    run = os.path.join(lab.base, "run")
    for folder, name in (("precious", "thesis.txt"), ("likely", "supervisor.log"), ("likely/h1", "notes")):
        os.makedirs(os.path.join(run, folder), exist_ok=True)
        open(os.path.join(run, folder, name), "w").close()
    stranger = subprocess.Popen(["sleep", "1000"], env={"NETLAB_OWNER": f"netlab:lab:h1:{lab.base}/elsewhere"})
    if MODE == "root":
        subprocess.run(["ip", "link", "add", "nlbsomething", "type", "bridge"], check=True)
        subprocess.run(["ip", "link", "set", "nlbsomething", "alias", "netlab:lab:lan"], check=True)
    now = lab.dump()
    check(findings(lab) == [], "it found something")
    check(lab.dump() == now, "it touched something")
    other.check_running("h1", "h2")
    if MODE == "root":
        subprocess.run(["ip", "link", "del", "nlbsomething"], check=True)
    stranger.kill()
    stranger.wait()
    subprocess.run(["rm", "-r", run], check=True)
    other.netlab("down")
    # One that is being changed is reported and left.
    slow = TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], run: [fake silent]}}")
    lab.write(slow.format(name="lab"))
    up = lab.start("up")
    wait_until("it has begun", lambda: os.path.exists(os.path.join(run, "lab", "h2", "agent.sock")))
    done = findings(lab, rc=8)
    check(len(done) == 1 and done[0]["outcome"] == "left" and "being changed by `netlab up`" in done[0]["why"], f"{done}")
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=30)
    lab.write(TWO_HOSTS.format(name="lab"))
    lab.check_clean(before, "after all")
    other.remove()
    lab.remove()


def two_users():
    """root's lab and a user's of the same name with the same nodes, at once: neither sees, repairs or ends the other's."""
    if os.geteuid() != 0 or os.stat("/proc/self/ns/user").st_ino != 0xEFFFFFFD:
        return "skipped: needs real root, to become a user"
    ours, before = clean_lab()
    theirs = Lab()
    subprocess.run(["chown", "-R", "4321:4321", theirs.base], check=True)
    mode = os.stat("/dev/net/tun").st_mode
    os.chmod("/dev/net/tun", 0o666)
    before = ours.dump()

    def user(*args, rc=0):
        result = subprocess.run(["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", "--inh-caps=-all", BIN, *args], cwd=theirs.folder,
                                env=dict(theirs.env, HOME=theirs.base), capture_output=True, text=True, timeout=60)
        check(result.returncode == rc, f"{args}: {result}")
        return result.stdout

    def pids():
        return {node["name"]: node["pid"] for node in json.loads(user("status", "--json"))["labs"][0]["nodes"]}

    try:
        ours.netlab("up", "--here")
        user("up", "--quiet")
        mine, other = ours.pids(), pids()
        check(set(mine[1]) == set(other) and set(mine[1].values()).isdisjoint(other.values()), f"{mine} {other}")
        check(findings(ours) == [] and json.loads(user("repair", "--json"))["repair"] == [], "one found the other's")
        lose_store(ours)
        done = findings(ours)
        check({item["outcome"] for item in done} == {"done"}, f"repair of root's lab: {done}")
        check(pids() == other, "root's repair touched the user's lab")
        user("exec", "h1", "true")
        ours.netlab("up", "--here")
        mine = ours.pids()
        user("down")
        check(ours.pids() == mine, "the user's down touched root's lab")
        ours.netlab("down")
        ours.check_clean(forget_store(before), "after both")
    finally:
        os.chmod("/dev/net/tun", mode & 0o777)
    theirs.remove()
    ours.remove()
    return ""


def full_at_every_write():
    """From the N-th transaction on the store takes nothing more: whatever `up` left, `down` takes, and says what is still to do."""
    lab, before = clean_lab()
    failures = 0
    for n in range(1, 100):
        result = lab.netlab("up", rc=None, env={"NETLAB_FULL_AT": str(n)})
        if result.returncode == 0:
            break
        failures += 1
        check("make room there" in result.stderr, f"{n}: {result.text}")
        # While it is still full: all is taken away, but for the store's own entry.
        down = lab.netlab("down", "--lab", "lab", rc=None, env={"NETLAB_FULL_AT": "1"})
        if down.returncode not in (0, 4):
            check(down.returncode == 8 and "all of the lab is gone, but the store still lists it" in down.stderr and "make room" in down.stderr, f"{n}: {down.text}")
            lab.check_clean(forget_store(before), f"full at {n}, after a down that could not write")
        lab.netlab("down", "--lab", "lab", rc=None)
        lab.check_clean(before, f"full at {n}")
    check(failures > 5, f"only {failures} writes")
    # `down` of a healthy lab, full from its N-th write on.
    for n in range(1, 20):
        lab.netlab("up")
        result = lab.netlab("down", rc=None, env={"NETLAB_FULL_AT": str(n)})
        if result.returncode == 0:
            lab.check_clean(before, "after down")
            break
        lab.check_clean(forget_store(before), f"down, full at {n}")
        lab.netlab("down", "--lab", "lab")
        lab.check_clean(before, f"down again, full at {n}")
    lab.remove()
    return f"{failures} writes of up, {n - 1} of down"


def disk_really_full():
    """The file system of store and folders has no byte left, before `up`, in the midst of a lab, and when its supervisor is dead."""
    if os.geteuid() != 0:
        return "skipped: needs to mount"
    lab, before = clean_lab()
    disk = os.path.join(lab.base, "disk")
    os.mkdir(disk)
    before = lab.dump()
    env = {"NETLAB_STATE_DIR": disk + "/state", "NETLAB_RUNTIME_DIR": disk + "/run"}
    ballast = os.path.join(disk, "ballast")

    def fill():
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def drained():
        return {part: value for part, value in lab.dump().items() if part in ("network", "processes", "sockets")} == {
            part: before[part] for part in ("network", "processes", "sockets")}
    for case in ("before", "up", "orphaned"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "disk", disk], check=True)
        try:
            here = HERE[-1]
            if case != "before":
                lab.netlab("up", *here, env=env)
            fill()
            if case == "orphaned":
                pid = json.loads(lab.netlab("status", "--json", env=env).stdout)["labs"][0]["supervisor"]
                os.kill(pid, signal.SIGKILL)
                wait_until("it to be gone", lambda: pid not in processes())
            if case == "before":
                failed = lab.netlab("up", *here, rc=None, env=env)
                check(failed.returncode and "make room" in failed.stderr, failed.text)
                wait_until("nothing to be there", drained)
            else:
                down = lab.netlab("down", rc=None, env=env)
                check(down.returncode == 0 or "make room" in down.stderr or "free space" in down.stderr, down.text)
            os.remove(ballast)
            lab.netlab("down", "--lab", "lab", rc=None, env=env)
            wait_until("nothing to be there", drained)
            check(findings_of(lab, env) == [], "repair finds something")
        finally:
            subprocess.run(["umount", "-l", disk], check=False)
    os.rmdir(disk)
    lab.remove()
    return ""


def findings_of(lab, env):
    return json.loads(lab.netlab("repair", "--json", env=env).stdout)["repair"]


def read_only_store():
    if os.geteuid() != 0:
        return "skipped: needs to mount"
    lab, before = clean_lab()
    lab.netlab("up")
    pids = lab.pids()
    state = os.path.join(lab.base, "state")
    subprocess.run(["mount", "--bind", state, state], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)
        for verb in (["down"], ["up"], ["down", "h1"]):
            result = lab.netlab(*verb, rc=7)
            check("Read-only file system; check the permissions" in result.stderr or "cannot be opened for writing" in result.stderr, f"{verb}: {result.text}")
    finally:
        subprocess.run(["umount", state], check=True)
    check(lab.pids() == pids, "something was done all the same")
    lab.netlab("down")
    lab.check_clean(before, "after a read-only store")
    lab.remove()
    return ""


def store_locked():
    """Somebody keeps the store locked: said after ten seconds, with nothing changed; and it goes on when they let go."""
    lab, before = clean_lab()
    db = sqlite3.connect(database(lab), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    up = lab.start("up")
    result = lab.netlab("repair", rc=None)
    out, _ = up.communicate(timeout=60)
    check(up.returncode == 7 and "has kept" in out and "locked for 10 s" in out, out)
    db.execute("ROLLBACK")
    db.close()
    lab.check_clean(before, "after a locked store")
    lab.netlab("up")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def clock_jumps():
    """The computer's clock is set by years, to and fro, between and during all that happens."""
    shim = os.environ.get("NETLAB_CLOCK_SHIM")
    if not shim:
        return "skipped: no shim"
    lab, before = clean_lab(TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], restart: always, run: [fake die 300]}}"))
    offset = os.path.join(lab.base, "offset")

    def jump(seconds):
        with open(offset + ".new", "w") as file:
            file.write(str(seconds))
        os.rename(offset + ".new", offset)

    env = {"LD_PRELOAD": shim, "CLOCK_SHIM_OFFSET": offset}
    jump(10 * 365 * 86400)
    lab.netlab("up", env=env)
    jump(-10 * 365 * 86400)
    check("up for 0 s" in lab.netlab("status", env=env).stdout or "up for " in lab.netlab("status", env=env).stdout, "status")
    seconds = int(lab.netlab("status", env=env).stdout.split("up for ")[1].split(" s")[0])
    check(0 <= seconds < 120, f"up for {seconds} s")
    wait_until("it is restarted in spite of the clock", lambda: "restarted 2 times" in lab.node("h2")["note"], 30)
    jump(3 * 365 * 86400)
    lab.netlab("down", "h1", env=env)
    lab.netlab("up", "h1", env=env)
    jump(0)
    check(findings(lab) == [], "repair")
    lab.netlab("down", env=env)
    os.unlink(offset)
    lab.check_clean(before, "after down")
    lab.remove()
    return ""


if __name__ == "__main__":
    main(all_is_well, store_lost, store_damaged, newer_store_is_left_alone, cut_off_up, cut_off_change, repair_killed, anew_killed, dead_supervisor,
         after_a_reboot, what_is_not_ours, two_users, full_at_every_write, disk_really_full, read_only_store, store_locked, clock_jumps)
