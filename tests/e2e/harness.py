# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What the life-cycle tests share: a lab folder, the netlab command, full dumps before and after.

A test is a script run by in-namespaces (see there); it uses the real `netlab` and, unless it says otherwise, the
stand-in emulator fake_emu.c. Nothing sleeps for a fixed time: wait_until() polls with a deadline.
With NETLAB_KEEP=1 the folders of the labs are kept.
"""
import atexit
import difflib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import time
import weakref
import traceback

BIN = os.environ["NETLAB_BIN"]
FAKE = os.environ.get("NETLAB_FAKE_EMU", "")
MODE = os.environ.get("NETLAB_E2E_MODE", "root")

TWO_HOSTS = """\
name: {name}
defaults: {{kernel: kernel, ready: agent}}
networks:
  lan: {{subnet: 10.1.0.0/24, host: 10.1.0.254}}
nodes:
  h1: {{networks: [lan]}}
  h2: {{networks: [lan]}}
links: [h1 - h2]
"""


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def wait_until(what, condition, seconds=15):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s in vain: {what() if callable(what) else what}")
        reap()
        time.sleep(0.01)


class Popen(subprocess.Popen):
    """subprocess.Popen, known to reap()."""
    known = {}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        Popen.known[self.pid] = weakref.ref(self)


subprocess.Popen = Popen


def reap():
    """Orphans become our children, for we are the first process of the pid namespace. Not those whose exit status somebody
    is going to ask for: it would be 0 then."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        process = Popen.known.get(int(name), lambda: None)()
        if process and process.returncode is None:
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                state, parent = file.read().rpartition(") ")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                os.waitpid(int(name), os.WNOHANG)
        except (OSError, ValueError):
            pass


def processes():
    """Living processes other than this script and what it is inside of: {pid: command}."""
    reap()
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                text = file.read()
            with open(f"/proc/{name}/cmdline") as file:
                command = file.read().replace("\0", " ")
        except OSError:
            continue
        state = text.rsplit(")", 1)[1].split()[0]
        if state not in "ZX":
            found[int(name)] = command
    return found


def files(root):
    found = []
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if not re.match(r"state(/netlab\.db.*|/locks)?$", path):
                found.append(path)
    return sorted(found)


def network():
    """The namespace as text, without what changes by itself."""
    text = []
    for command in ("ip -d link", "ip -d addr", "ip route show table all", "ip -6 route show table all", "ip rule", "tc qdisc",
                    "bridge link", "bridge fdb", "ip -d netns"):
        result = subprocess.run(command.split(), capture_output=True, text=True)
        text.append(f"$ {command}\n" + re.sub(r"(\w+_timer) +[\d.]+", r"\1", result.stdout))
    for key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter"):
        try:
            with open("/proc/sys/" + key) as file:
                text.append(f"{key} = {file.read()}")
        except OSError:
            pass
    snapshot = os.environ.get("NETLAB_SNAPSHOT")
    if snapshot:
        text.append(subprocess.run([snapshot], capture_output=True, text=True, check=True).stdout)
    return "".join(text)


def sockets():
    """What listens or is bound, and the mounts that keep namespaces. What a connection leaves behind for a while is not."""
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "packet"):
        try:
            with open(f"/proc/net/{table}") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue
        if table == "packet":
            found += [f"packet {row[3]}" for row in rows]
        else:
            found += [f"{table} {row[1]}" for row in rows if table[:3] != "tcp" or row[3] == "0A"]
    with open("/proc/net/unix") as file:
        found += [f"unix {row[7]}" for row in (line.split() for line in file.readlines()[1:]) if len(row) > 7 and row[3] == "00010000"]
    with open("/proc/self/mountinfo") as file:
        found += [f"mount {line.split()[4]}" for line in file if " nsfs " in line]
    return sorted(found)


class Lab:
    """A folder with a topology, and a state and a runtime directory of its own."""

    def __init__(self, topology=TWO_HOSTS, name="lab", base=None, emulator=FAKE):
        self.base = base or tempfile.mkdtemp(prefix="netlab-e2e.", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.name = name
        self.folder = os.path.join(self.base, "labs", name)
        os.makedirs(self.folder)
        os.chmod(self.base, 0o755)
        if not os.environ.get("NETLAB_KEEP"):
            atexit.register(self.remove)
        with open(os.path.join(self.folder, "kernel"), "w") as file:
            file.write("not a kernel; the stand-in does not mind\n")
        self.file = os.path.join(self.folder, "topology.yml")
        self.write(topology.format(name=name))
        self.env = dict(os.environ, NETLAB_STATE_DIR=os.path.join(self.base, "state"),
                        NETLAB_RUNTIME_DIR=os.path.join(self.base, "run"))
        if emulator:
            self.env["NETLAB_EMU"] = emulator
        self.env.pop("SUDO_UID", None)

    def write(self, text):
        with open(self.file, "w") as file:
            file.write(text)

    def on_terminal(self, *args, columns=80, timeout=60):
        """What netlab prints on a terminal; it must end well."""
        pid, fd = pty.fork()
        if pid == 0:
            try:
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                os.chdir(self.folder)
                os.execve(BIN, [BIN, *args], dict(self.env, TERM="xterm"))
            finally:
                os._exit(127)
        text, deadline = b"", time.monotonic() + timeout
        while select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
            try:
                part = os.read(fd, 65536)
            except OSError:  # the other end was closed
                break
            if not part:
                break
            text += part
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(fd)
        check(os.waitpid(pid, 0)[1] == 0, f"netlab {args} on a terminal: {text}")
        return text.decode()

    def netlab(self, *args, rc=0, env=None, cwd=None, timeout=60):
        result = subprocess.run([BIN, *args], capture_output=True, text=True, cwd=cwd or self.folder, timeout=timeout,
                                env=dict(self.env, **(env or {})), stdin=subprocess.DEVNULL)
        result.text = result.stdout + result.stderr
        if rc is not None and result.returncode != rc:
            raise Failure(f"netlab {' '.join(args)}: status {result.returncode} instead of {rc}\n{result.text}{self.logs()}")
        return result

    def logs(self):
        text = ""
        for folder, _, names in os.walk(os.path.join(self.base, "run")):
            for name in names:
                if name.endswith(".log"):
                    with open(os.path.join(folder, name), errors="replace") as file:
                        text += f"--- {os.path.join(folder, name)}\n{file.read()}"
        return text

    def start(self, *args, env=None):
        return subprocess.Popen([BIN, *args], cwd=self.folder, env=dict(self.env, **(env or {})), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def status(self):
        labs = json.loads(self.netlab("status", "--json", "--lab", self.name).stdout)["labs"]
        return labs[0]

    def node(self, name):
        return next(node for node in self.status()["nodes"] if node["name"] == name)

    def pids(self):
        status = self.status()
        return status["supervisor"], {node["name"]: node["pid"] for node in status["nodes"]}

    def dump(self):
        return {"network": network(), "processes": sorted(processes().values()), "files": files(self.base),
                "sockets": sockets(), "store": self.rows()}

    def rows(self):
        path = os.path.join(self.base, "state", "netlab.db")
        if not os.path.exists(path):
            return {}
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {table: count for table in tables if (count := db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])}
        except sqlite3.DatabaseError as error:
            return {"unreadable": str(error)}
        finally:
            db.close()

    def check_clean(self, before, what):
        """Waits for dying processes, and for the kernel, which finishes IPv6 addresses in its own time; compares everything."""
        after = {}

        def is_same():
            after.update(self.dump())
            return after == before
        try:
            wait_until("all processes to end", lambda: sorted(processes().values()) == before["processes"], 10)
            wait_until("all to be as before", is_same, 5)
        except Failure:
            after.update(self.dump())
        for part in before:
            if after[part] != before[part]:
                lines = [str(value).splitlines() if isinstance(value, str) else [f"{value}"] for value in (before[part], after[part])]
                diff = "\n".join(difflib.unified_diff(*lines, "before", "after", lineterm="", n=1))
                raise Failure(f"{what}: {part} differ\n{diff}\n{self.logs()}")

    def check_running(self, *nodes):
        status = self.status()
        found = {node["name"]: node["state"] for node in status["nodes"]}
        check(found == {name: "running" for name in nodes}, f"not running as wanted: {found}\n{self.logs()}")
        check(status["supervisor"] and status["complete"], f"not supervised or not complete: {status}")

    def remove(self):
        shutil.rmtree(self.base, ignore_errors=True)


def main(*tests, finish=None):
    """Runs the tests, each in a lab folder of its own; with arguments only those named. `finish` is called at the end."""
    names = [word for word in sys.argv[1:] if not word.startswith("--")]
    chosen = [test for test in tests if not names or test.__name__ in names]
    if "NETLAB_E2E_MODE" not in os.environ:
        sys.exit(f"a test that fails ends every process it sees: run it as tests/e2e/in-namespaces root|user python3 {' '.join(sys.argv)}")
    if MODE == "root" and os.geteuid() != 0:
        print("SKIP: this test needs root in a namespace of its own (run it with in-namespaces)")
        sys.exit(77)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False, stderr=subprocess.DEVNULL)
    failed = 0
    for test in chosen:
        began = time.monotonic()
        try:
            report = test()
            print(f"ok      {test.__name__} ({time.monotonic() - began:.1f} s){': ' + report if report else ''}", flush=True)
        except Exception as failure:
            failed += 1
            text = str(failure) if isinstance(failure, Failure) else traceback.format_exc()
            print(f"FAILED  {test.__name__} ({time.monotonic() - began:.1f} s)\n{text}", flush=True)
            for pid in processes():
                if pid != 1:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
            wait_until("what a failed test left to end", lambda: not [pid for pid in processes() if pid != 1])
    if finish:
        finish()
    print(f"{len(chosen) - failed} of {len(chosen)} passed ({MODE})")
    sys.exit(1 if failed else 0)
