# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What docs/security.md promises: being allowed to run netlab as root does not mean reading or writing as root; a lab's
machines, its files and its sockets are nobody else's; what guests, users and files say is not trusted."""
import json
import os
import signal
import socket
import stat
import subprocess

from harness import BIN, TWO_HOSTS, Lab, check, main, processes, wait_until

STUDENT = 4321
SUDO = {"SUDO_UID": str(STUDENT), "SUDO_GID": str(STUDENT), "SUDO_USER": "student"}
SECRET = "root:$6$geheim:19000"


def is_real_root():
    return os.geteuid() == 0 and os.stat("/proc/self/ns/user").st_ino == 0xEFFFFFFD


def as_root(test):
    def wrapped():
        return test() if is_real_root() else "skipped: needs real root, to become a user"
    wrapped.__name__ = test.__name__
    return wrapped


def as_student(*args, env=None, cwd="/"):
    return subprocess.run(["setpriv", f"--reuid={STUDENT}", f"--regid={STUDENT}", "--clear-groups", "--inh-caps=-all", *args], cwd=cwd,
                          env=env, capture_output=True, text=True, timeout=60)


def write(path, text, mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


@as_root
def files_of_others():
    """By sudo, a topology or a kernel is read only if who called sudo may read it; nothing of it is printed."""
    lab = Lab()
    lab.netlab("status", rc=4)
    before = lab.dump()
    shadow = write(os.path.join(lab.base, "shadow"), SECRET + "\n", 0o600)
    vault = os.path.join(lab.base, "vault")
    os.mkdir(vault, 0o700)
    inside = write(os.path.join(vault, "kernel"), SECRET, 0o644)
    link = os.path.join(lab.folder, "link.yml")
    os.symlink(shadow, link)
    for path in (shadow, inside, link):
        for verb in (("up", "--dry-run", path), ("up", path)):
            said = lab.netlab(*verb, rc=None, env=SUDO)
            check(said.returncode != 0 and "geheim" not in said.text and "by who called sudo" in said.text, f"{verb}: {said.text}")
        said = lab.netlab("up", path, rc=None)
        check("by who called sudo" not in said.text, f"root itself may: {said.text}")
    for kernel in (shadow, inside, link):
        lab.write(TWO_HOSTS.format(name="lab").replace("kernel: kernel", f"kernel: {kernel}"))
        said = lab.netlab("up", rc=None, env=SUDO)
        check(said.returncode != 0 and "geheim" not in said.text and "cannot be used: who called sudo may not read it" in said.text, f"{kernel}: {said.text}")
    # Images would show it to all.
    recipe = write(os.path.join(lab.folder, "own.recipe"), f"name: own\ncopy: {shadow} /etc/copied\n")
    images = {"NETLAB_IMAGE_DIR": os.path.join(lab.base, "images"), "NETLAB_CACHE_DIR": os.path.join(lab.base, "cache")}
    for path in (shadow, inside, link):
        for verb in (("import", "mine", path), ("import", "mine", f"--kernel={path}"), ("build", path), ("build", recipe), ("recipe", path)):
            said = lab.netlab("image", *verb, rc=None, env=dict(SUDO, **images))
            check(said.returncode != 0 and "geheim" not in said.text and "who called sudo" in said.text or verb == ("recipe", path), f"{verb}: {said.text}")
    subprocess.run(["rm", "-rf", *images.values(), recipe], check=True)
    os.remove(link)
    subprocess.run(["rm", "-r", shadow, vault], check=True)
    lab.check_clean(before, "after refusals")
    # What the student may read works, and groups do not come along.
    lab.write(TWO_HOSTS.format(name="lab"))
    lab.netlab("up", env=SUDO)
    for pid in lab.pids()[1].values():
        with open(f"/proc/{pid}/status") as file:
            text = file.read()
        check(f"Uid:\t{STUDENT}\t{STUDENT}\t{STUDENT}\t{STUDENT}" in text and "CapEff:\t0000000000000000" in text and "CapBnd:\t0000000000000000" in text and
              "NoNewPrivs:\t1" in text and "Groups:\t \n" in text, text)
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


@as_root
def strange_sudo():
    """SUDO_UID only takes away: with nonsense in it machines have the lab's own uid, and never root's."""
    lab = Lab()
    lab.netlab("status", rc=4)
    before = lab.dump()
    for value in ("0", "-1", "4321x", "4294967295", "99999999999999999999", "", " 1", "0x10"):
        lab.netlab("up", env={"SUDO_UID": value, "SUDO_GID": value})
        for pid in lab.pids()[1].values():
            uid = os.stat(f"/proc/{pid}").st_uid
            check(uid >= 2 ** 30, f"SUDO_UID={value!r}: uid {uid}")
        lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


@as_root
def trials():
    """A kernel is looked at before anything is changed: not as root."""
    lab = Lab()
    lab.netlab("status", rc=4)
    drop = os.path.join(lab.base, "drop")
    os.mkdir(drop)
    os.chmod(drop, 0o777)
    spy = write(os.path.join(lab.base, "spy"), f"#!/bin/sh\n[ \"$1\" = -check ] && {{ id -u; id -G; grep CapEff /proc/self/status; cat \"$7\" \"$5\"; }} "
                f"> {drop}/said 2>&1\nexit 0\n", 0o755)
    for env, uid in ((SUDO, str(STUDENT)), ({}, None)):
        lab.netlab("up", rc=None, env=dict(env, NETLAB_EMU=spy))
        with open(os.path.join(drop, "said")) as file:
            said = file.read()
        lines = said.splitlines()
        check(lines[0] != "0" and lines[1] != "0" and lines[0] == (uid or lines[0]) and "CapEff:\t0000000000000000" in said, said)
        check("not a kernel; the stand-in does not mind" in said, f"it cannot read the kernel: {said}")
        os.remove(os.path.join(drop, "said"))
        lab.netlab("down", rc=None)
    lab.remove()


@as_root
def folders_of_others():
    """root does not work in folders where somebody else could put links in its way."""
    lab = Lab()
    lab.netlab("status", rc=4)
    before = lab.dump()
    theirs = os.path.join(lab.base, "theirs")
    for prepare, word in ((lambda path: os.chown(path, STUDENT, STUDENT), f"belongs to uid {STUDENT}"),
                          (lambda path: os.chmod(path, 0o777), "may be written to by others"),
                          (lambda path: os.chmod(path, 0o775), "may be written to by others")):
        for below in ("", "/below", "/made/anew"):
            os.mkdir(theirs)
            if below == "/below":
                os.mkdir(theirs + below)
            prepare(theirs)
            for name, verbs in (("NETLAB_STATE_DIR", (("up",), ("status",), ("repair",), ("host", "show"))), ("NETLAB_RUNTIME_DIR", (("up",),))):
                for verb in verbs:
                    said = lab.netlab(*verb, rc=None, env={name: theirs + below})
                    check(said.returncode not in (0, 4) and word in said.text and name in said.text, f"{verb} in {below}: {said.returncode}: {said.text}")
            if not below:
                for name in ("NETLAB_IMAGE_DIR", "NETLAB_CACHE_DIR"):
                    said = lab.netlab("image", "build", "mini", rc=None, env={"NETLAB_IMAGE_DIR": os.path.join(lab.base, "img"), "NETLAB_CACHE_DIR": os.path.join(lab.base, "cache"), name: theirs})
                    check(said.returncode and word in said.text and name in said.text, f"{name}: {said.text}")
                subprocess.run(["rm", "-rf", os.path.join(lab.base, "img"), os.path.join(lab.base, "cache")], check=True)
            said = lab.netlab("repair", rc=8, env={"NETLAB_RUNTIME_DIR": theirs + below})
            check(word in said.text, said.text)
            subprocess.run(["rm", "-r", theirs], check=True)
    lab.netlab("status", rc=4)
    lab.check_clean(before, "after refusals")
    # A sticky folder may be on the way, but not be it.
    os.mkdir(theirs)
    os.chmod(theirs, 0o1777)
    lab.netlab("up", env={"NETLAB_RUNTIME_DIR": theirs + "/run"})
    lab.netlab("down", env={"NETLAB_RUNTIME_DIR": theirs + "/run"})
    check("may be written to by others" in lab.netlab("up", rc=None, env={"NETLAB_RUNTIME_DIR": theirs}).text, "a sticky one")
    lab.remove()


@as_root
def traps_in_node_folders():
    """The folder of a node is its machine's user's: links, hard links and pipes in it lead nowhere."""
    lab = Lab()
    lab.netlab("status", rc=4)
    before = lab.dump()
    secret = write(os.path.join(lab.base, "secret"), SECRET + "\n", 0o600)
    for kind in ("symlink", "link", "fifo"):
        lab.netlab("up", env=SUDO)
        folder = os.path.join(lab.base, "run", "lab", "h1")
        machine = lab.pids()[1]["h1"]
        for name in ("console.log", "machine.log", "previous.log", "config"):
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                os.remove(path)
            if kind == "fifo":
                os.mkfifo(path)
            else:
                getattr(os, kind)(secret, path)
        said = lab.netlab("console", "--log", "h1", rc=None, env=SUDO, timeout=20)
        check("geheim" not in said.text, f"{kind}: {said.text}")
        os.kill(machine, signal.SIGKILL)
        wait_until("it is noted", lambda: lab.node("h1")["state"] == "ended")
        for verb in (("status",), ("status", "--json"), ("up", "--timeout=5")):
            said = lab.netlab(*verb, rc=None, env=SUDO, timeout=60)
            check("geheim" not in said.text, f"{kind}: {verb}: {said.text}")
        lab.netlab("down")
        with open(secret) as file:
            check(file.read() == SECRET + "\n" and stat.S_IMODE(os.stat(secret).st_mode) == 0o600, f"{kind}: it was written to")
    os.remove(secret)
    lab.check_clean(before, "after down")
    lab.remove()


@as_root
def doors():
    """Another user can neither connect to, read, nor end anything of root's lab."""
    lab = Lab()
    lab.netlab("up")
    run, state = os.path.join(lab.base, "run"), os.path.join(lab.base, "state")
    sockets = 0
    for root in (run, state):
        for folder, folders, names in os.walk(root):
            for name in folders + names:
                path = os.path.join(folder, name)
                found = os.lstat(path)
                check(not found.st_mode & 0o022 or stat.S_ISLNK(found.st_mode), f"{path} may be written to by others: {oct(found.st_mode)}")
                if stat.S_ISSOCK(found.st_mode):
                    sockets += 1
                    tried = as_student("python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})")
                    check(tried.returncode and "Permission" in tried.stderr, f"{path}: {tried}")
    check(sockets >= 4, f"{sockets}")
    check(stat.S_IMODE(os.stat(state).st_mode) == 0o700 and stat.S_IMODE(os.stat(os.path.join(state, "netlab.db")).st_mode) == 0o600, "the store")
    before = lab.pids()
    for verb in ("status", "down", "repair", "up"):
        said = as_student(BIN, verb, env=lab.env, cwd=lab.folder)
        check(said.returncode not in (0, 4), f"{verb}: {said}")
    machine = before[1]["h1"]
    for command in (f"kill -9 {machine}", f"kill -9 {before[0]}", f"cat /proc/{before[0]}/environ", f"ls /proc/{machine}/fd"):
        check(as_student("sh", "-c", command).returncode, command)
    check(lab.pids() == before, "something was ended")
    lab.netlab("down")
    lab.remove()


@as_root
def forged_marks():
    """A user's process that says it is of root's lab, or of one with a path for a name: nothing but that process can be hit."""
    lab = Lab()
    lab.netlab("up")
    pids = lab.pids()
    victim = os.path.join(lab.base, "victim")
    os.mkdir(victim)
    write(os.path.join(victim, "supervisor.log"), "mine\n")
    state = os.path.join(lab.base, "state")
    forged = [subprocess.Popen(["setpriv", f"--reuid={STUDENT}", "--clear-groups", "sleep", "1000"], env={"NETLAB_OWNER": f"netlab:{name}:h1:{state}"})
              for name in ("lab", "../victim", "..", "x/../../victim", "")]
    wait_until("they run", lambda: sum(c.startswith("sleep 1000") for c in processes().values()) == len(forged))
    before = lab.dump()
    said = lab.netlab("repair", "--json", rc=None)
    check(all("victim" not in item["what"] for item in json.loads(said.stdout)["repair"]), said.text)
    check(os.path.exists(os.path.join(victim, "supervisor.log")) and lab.pids() == pids, "something was hit")
    check(lab.dump()["files"] == before["files"], "files differ")
    for process in forged:
        process.kill()
        process.wait()
    lab.netlab("down")
    lab.remove()


def terminal():
    """No byte of a topology or of a guest reaches the terminal as a control character."""
    lab = Lab()
    lab.netlab("status", rc=4)
    hostile = "\\e]0;owned\\a\\e[2J"
    for text in (f'"{hostile}": 1\n', f'name: "{hostile}"\n', f'name: lab\nnodes: {{"{hostile}": {{}}}}\n',
                 f'name: lab\ndefaults: {{kernel: "{hostile}"}}\nnodes: {{h1: {{}}}}\n', f'name: lab\nnodes: {{h1: {{image: "{hostile}"}}}}\n',
                 f'name: lab\nnodes: {{h1: {{run: 7, image: x, "{hostile}": 2}}}}\nnetworks: {{lan: {{uplink: "{hostile}"}}}}\n'):
        lab.write(text)
        for verb in (("up", "--dry-run"), ("up",)):
            said = lab.netlab(*verb, rc=None)
            check(said.returncode != 0 and "\x1b" not in said.text and "\a" not in said.text, f"{text!r}: {said.text!r}")
    lab.remove()


def names_as_paths():
    """Names on the command line that are paths lead nowhere."""
    lab = Lab()
    lab.netlab("status", rc=4)
    precious = write(os.path.join(lab.base, "precious"), "mine\n")
    name = "../../precious"
    for verb in (("down", "--lab", name), ("status", "--lab", name), ("repair", "--lab", name), ("restart", "--lab", name, "h1"), ("exec", "--lab", name, "h1", "true"),
                 ("console", "--lab", name, "h1"), ("host", "dhcp", "request", name), ("host", "dhcp", "release", name), ("host", "bridge", "add", name),
                 ("host", "tap", "del", name), ("image", "build", name), ("image", "rm", name)):
        said = lab.netlab(*verb, rc=None, env={"NETLAB_IMAGE_DIR": os.path.join(lab.base, "images", "x")})
        check(said.returncode != 0 or "nothing to do" in said.text, f"{verb}: {said.text}")
        with open(precious) as file:
            check(file.read() == "mine\n", f"{verb}")
    lab.remove()


def closed_socket_paths():
    """A socket that a machine's user has put in the place of another is not one that names lead to."""
    lab = Lab()
    lab.netlab("up")
    folder = os.path.join(lab.base, "run", "lab", "h1")
    elsewhere = os.path.join(lab.base, "elsewhere.sock")
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(elsewhere)
        trap.listen()
        trap.setblocking(False)
        os.remove(os.path.join(folder, "agent.sock"))
        os.symlink(elsewhere, os.path.join(folder, "agent.sock"))
        said = lab.netlab("exec", "h1", "true", rc=None)
        check(said.returncode != 0, said.text)
        try:
            trap.accept()
            check(False, "netlab followed a symbolic link")
        except BlockingIOError:
            pass
    os.remove(elsewhere)
    lab.netlab("down")
    lab.remove()


if __name__ == "__main__":
    main(files_of_others, strange_sudo, trials, folders_of_others, traps_in_node_folders, doors, forged_marks, terminal, names_as_paths,
         closed_socket_paths)
