# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The verbs people work with, on real guests: exec, connect, cp and what looks at a running lab.

Needs the image `mini` (NETLAB_IMAGE_DIR); its initrd gets this build's guest program laid over it, so an image that is older does.
"""
import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

from disk_guest import cpio
from harness import BIN, Lab, check, main, wait_until
from test_guests import read_until

BOOT_SECONDS = 280
TOPOLOGY = """\
name: {name}
defaults: {{image: mini}}
networks:
  lan: {{subnet: 10.1.0.0/24}}
nodes:
  h1: {{networks: [lan]}}
  h2: {{networks: [lan]}}
links:
  - h1 - h2
"""


def own_image(folder):
    """The image with our guest program: the second cpio archive of an initrd is laid over the first."""
    found = next(image for image in json.loads(subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True,
                                                              check=True).stdout) if image["name"] == "mini")
    target = os.path.join(folder, "mini")
    shutil.copytree(found["folder"], target)
    with open(os.path.join(os.path.dirname(BIN), "netlab-guest"), "rb") as file:
        program = file.read()
    with open(os.path.join(target, "image.json")) as file:
        initrd = os.path.join(target, json.load(file)["initrd"])
    with open(initrd, "ab") as file:
        file.write(b"\0" * (-file.tell() % 512) + cpio([("init", 0o100755, program)]))


class Running(Lab):
    """One lab for all of this file: up once."""

    def __init__(self):
        super().__init__(TOPOLOGY, emulator=None, name="verbs")
        own_image(os.path.join(self.base, "images"))
        self.env["NETLAB_IMAGE_DIR"] = os.path.join(self.base, "images")
        self.before = self.dump()
        self.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)

    def run(self, *args, given=b"", rc=0, timeout=120):
        result = subprocess.run([BIN, *args], input=given, capture_output=True, cwd=self.folder, env=self.env, timeout=timeout)
        check(rc is None or result.returncode == rc, f"{args}: {result}")
        return result


LAB = None


def up():
    global LAB
    LAB = Running()


def runs_in(node, words):
    return LAB.netlab("exec", node, f"ps | grep -c '[{words[0]}]{words[1:]}'", rc=None).stdout.strip() != "0"


def exec_streams():
    """Standard input, both streams, the status; what is long is not cut."""
    result = LAB.run("exec", "h1", "cat; echo oops >&2; exit 3", given=b"to the guest\n", rc=3)
    check(result.stdout == b"to the guest\n" and result.stderr == b"oops\n", f"{result}")
    check(LAB.run("exec", "-n", "h1", "cat", given=b"not read").stdout == b"", "-n")
    data = os.urandom(150000)
    result = LAB.run("exec", "h1", "cat >/tmp/long; sha256sum </tmp/long", given=data)
    check(result.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest(), "150 kB in")
    result = LAB.run("exec", "h1", "cat /tmp/long /tmp/long /tmp/long")
    check(result.stdout == data * 3, f"{len(result.stdout)} bytes of {len(data) * 3} out")
    check(LAB.run("exec", "h1", "sleep 30 & echo left").stdout == b"left\n", "what stays in the background is not waited for")
    check(LAB.run("exec", "h1", "yes & sleep 0.2", rc=None).stdout.startswith(b"y\ny\n"), "a noisy one neither")
    LAB.run("exec", "h1", "killall yes sleep", rc=None)
    check(LAB.run("exec", "h1", "kill -9 $$", rc=137).stdout == b"", "killed")
    check(b"not found" in LAB.run("exec", "h1", "--", "nosuchprogram", "x", rc=127).stderr.replace(b"No such file", b"not found"), "127")
    first = subprocess.run(f"{BIN} exec -n h1 yes | head -1", shell=True, capture_output=True, cwd=LAB.folder, env=LAB.env, timeout=60)
    check(first.stdout == b"y\n", f"{first}")
    wait_until("the command nobody reads to end", lambda: not runs_in("h1", "yes"), 30)


def exec_ends():
    """Time over, Ctrl-C, SIGKILL of netlab: nothing goes on in the guest."""
    result = LAB.netlab("exec", "-t", "1", "h1", "sleep 4001", rc=125)
    check("was ended in the guest" in result.stderr and not runs_in("h1", "sleep 4001"), result.text)
    result = LAB.netlab("exec", "-t", "1", "h1", "trap '' TERM; while true; do sleep 4002; done", rc=125)
    check(not runs_in("h1", "sleep 4002"), "a stubborn one")
    process = subprocess.Popen([BIN, "exec", "-n", "h1", "sleep 4003"], cwd=LAB.folder, env=LAB.env, stderr=subprocess.PIPE, text=True)
    wait_until("the command to run", lambda: runs_in("h1", "sleep 4003"), 30)
    process.send_signal(signal.SIGINT)
    check("interrupted" in process.communicate(timeout=30)[1] and process.returncode == 130, f"{process.returncode}")
    check(not runs_in("h1", "sleep 4003"), "after Ctrl-C")
    if os.environ.get("NETLAB_TEST_FULL"):  # a session nobody asks about is hung up after 90 s
        process = subprocess.Popen([BIN, "exec", "-n", "h1", "sleep 4006"], cwd=LAB.folder, env=LAB.env)
        wait_until("the command to run", lambda: runs_in("h1", "sleep 4006"), 30)
        process.kill()
        process.wait()
        wait_until("the command of a netlab that was killed to end", lambda: not runs_in("h1", "sleep 4006"), 150)


def exec_many():
    result = LAB.netlab("exec", "--all", "hostname; hostname >&2")
    check(result.stdout == "== h1\nh1\n== h2\nh2\n" and result.stderr == "h1\nh2\n", result.text)
    result = LAB.netlab("exec", "h*", "test $(hostname) = h1", rc=1)
    check(result.stdout == "== h1\n== h2: exit status 1\n", result.text)
    found = json.loads(LAB.netlab("exec", "--json", "h2,h1", "hostname; exit 4", rc=4).stdout)
    check([(item["node"], item["status"], item["stdout"]) for item in found] == [("h2", 4, "h2\n"), ("h1", 4, "h1\n")], f"{found}")
    found = json.loads(LAB.netlab("exec", "--json", "h1", "printf '\\377'").stdout)
    check(found[0]["stdout_base64"] == "/w==", f"{found}")
    result = LAB.run("exec", "-i", "h1,h2", "cat", given=b"same\n")
    check(result.stdout == b"== h1\nsame\n== h2\nsame\n", f"{result}")
    check("called like x*" in LAB.netlab("exec", "x*", "true", rc=125).stderr, "pattern")
    check("which command?" in LAB.netlab("exec", "h1", rc=125).stderr, "no command")
    began = time.monotonic()
    LAB.netlab("exec", "--all", "sleep 2")
    return f"sleep 2 in both: {time.monotonic() - began:.1f} s"


class Terminal:
    def __init__(self, *args, rows=30, columns=100):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.chdir(LAB.folder)
            os.execve(BIN, [BIN, *args], dict(LAB.env, TERM="xterm"))

    def type(self, text):
        os.write(self.fd, text)

    def expect(self, word, seconds=30):
        return read_until(self.fd, word, seconds)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


def waiting():
    """On a terminal `validate` says what it waits for; in a pipe it does not."""
    checks = os.path.join(LAB.folder, "more.yml")
    with open(checks, "w") as file:
        file.write("checks:\n  at-once: {node: h1, run: 'true', within: 0s}\n  never: {node: h2, run: 'false', within: 4s}\n")
    screen = Terminal("validate", "--checks", checks)
    screen.expect(b"] waiting for never (h2), ")
    text = screen.expect(b" passed")
    check(b"\r\x1b[K" in text and b"FAILED" in text and b"never" in text, f"{text}")
    check(screen.end() == 1, "one fails")
    result = LAB.netlab("validate", "--checks", checks, rc=1)
    os.unlink(checks)
    check("waiting" not in result.text and "\x1b" not in result.text, result.text)


def connect():
    """A real terminal: its size, Ctrl-C, the status; others are let in meanwhile; Ctrl-] leaves."""
    shell = Terminal("connect", "h1")
    shell.expect(b"Ctrl-] leaves")
    shell.expect(b"# ")
    shell.type(b"stty size; echo $TERM; tty\r")
    seen = shell.expect(b"/dev/pts/")
    check(b"30 100" in seen and b"xterm" in seen, f"{seen}")
    shell.type(b"sleep 4004\r")
    wait_until("the sleep", lambda: runs_in("h1", "sleep 4004"), 30)  # and so exec is let in beside the shell
    shell.type(b"\x03")
    shell.expect(b"# ")
    shell.type(b"echo ended-with=$?\r")
    shell.expect(b"ended-with=130")
    shell.resize(20, 60)
    shell.type(b"sleep 1; stty size\r")
    shell.expect(b"20 60")
    second = Terminal("connect", "h1", "echo second-$((40 + 2)); exit 5")
    second.expect(b"second-42")
    check(second.end() == 5, "a command's status")
    shell.type(b"exit 7\r")
    check(shell.end() == 7, "the shell's status")
    shell = Terminal("connect", "h1", "sleep 4005")
    wait_until("the sleep", lambda: runs_in("h1", "sleep 4005"), 30)
    shell.type(b"\x1d")
    shell.expect(b"Left h1")
    check(shell.end() == 0 and not runs_in("h1", "sleep 4005"), "after Ctrl-]")
    result = LAB.run("connect", "h1", given=b"echo in a pipe\nexit 6\n", rc=6)
    check(result.stdout == b"in a pipe\n", f"{result}")


def shared():
    """Long transfers leave room for others."""
    thread = threading.Thread(target=lambda: LAB.run("exec", "h2", "cat >/dev/null", given=os.urandom(300000)))
    thread.start()
    count = 0
    while thread.is_alive():
        LAB.netlab("exec", "h2", "true")
        count += 1
    thread.join()
    check(count >= 2, f"only {count} commands beside a transfer")
    return f"{count} commands beside 300 kB"


def tree(root):
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else hashlib.sha256(open(path, "rb").read()).hexdigest() \
                if os.path.isfile(path) else ""
            found[os.path.relpath(path, root)] = (state.st_mode, content)
    return found


def cp():
    source = os.path.join(LAB.base, "src")
    os.makedirs(os.path.join(source, "sub", "deep"))
    for name, mode, data in (("a", 0o640, b"hello\n"), ("-x", 0o755, b""), ("sub/" + "n" * 200, 0o600, b"long"), ("sp ace", 0o444, b"1"),
                             ("sub/deep/big", 0o644, os.urandom(100000))):
        with open(os.path.join(source, name), "wb") as file:
            file.write(data)
        os.chmod(os.path.join(source, name), mode)
    os.symlink("a", os.path.join(source, "link"))
    wanted, back = tree(source), os.path.join(LAB.base, "back")
    LAB.netlab("cp", source, "h1:/tmp")
    LAB.netlab("cp", "h1:/tmp/src", "h2:/root/copy")
    LAB.netlab("cp", "h2:copy", back)
    check(tree(back) == wanted, f"{tree(back)}\n{wanted}")
    LAB.netlab("cp", os.path.join(source, "a"), "h1:/tmp/renamed")
    check(LAB.netlab("exec", "h1", "cat /tmp/renamed; stat -c %a /tmp/renamed").stdout == "hello\n640\n", "renamed")
    LAB.netlab("cp", "h1:/tmp/renamed", "h1:/etc/hostname", LAB.base)
    check("1 file, 6 bytes in " in LAB.on_terminal("cp", os.path.join(source, "a"), "h1:/tmp/renamed"), "its size, to the guest")
    check("1 file, 6 bytes in " in LAB.on_terminal("cp", "h1:/tmp/renamed", LAB.base), "its size, to here")
    check(os.path.exists(os.path.join(LAB.base, "renamed")) and os.path.exists(os.path.join(LAB.base, "hostname")), "two into a folder")
    for words, rc, says in ((("topology.yml", "h1:/no/such/x"), 1, "no such folder"), (("h1:/nofile", "."), 1, "no such file in h1"), (("h9:/x", "."), 4, "no node"),
                            (("x", "y"), 2, "one side is a node's"), (("nosuch", "h1:"), 1, "nosuch"), (("h1:/etc/hosts", "/no/such/x"), 1, "make that folder"),
                            (("h1:/etc/hosts", "h1:/etc/passwd", "nofolder"), 2, "several go into a folder")):
        result = LAB.netlab("cp", *words, rc=rc)
        check(says in result.stderr, f"{words}: {result.text}")


def cp_by_sudo():
    """Who calls by sudo reads and writes with their own rights: neither cp nor capture is a way to root's files."""
    if os.geteuid() != 0 or os.stat("/proc/self/ns/user").st_ino != 0xEFFFFFFD:
        return "skipped: needs real root, to become a user"
    sudo = {"SUDO_UID": "4321", "SUDO_GID": "4321"}
    own, roots = os.path.join(LAB.base, "own"), os.path.join(LAB.base, "roots")
    for folder in (own, roots):
        os.mkdir(folder)
    os.chown(own, 4321, 4321)
    with open(os.path.join(roots, "secret"), "w") as file:
        file.write("geheim")
    os.chmod(os.path.join(roots, "secret"), 0o600)
    os.symlink(roots, os.path.join(own, "way"))
    for words in ((os.path.join(roots, "secret"), "h1:/tmp/got"), (roots, "h1:/tmp/got"), ("h1:/etc/hostname", os.path.join(roots, "x")),
                  ("h1:/etc/hostname", os.path.join(own, "way", "x")), ("h1:/etc/hostname", os.path.join(roots, "secret"))):
        result = LAB.netlab("cp", *words, rc=None, env=sudo)
        check(result.returncode == 1 and roots in result.stderr or "way" in result.stderr, f"{words}: {result.text}")
    check("geheim" not in LAB.netlab("exec", "h1", "cat /tmp/got /tmp/got/*", rc=None).stdout, "it got into the guest")
    result = LAB.netlab("capture", "-c", "1", "-w", os.path.join(roots, "secret"), "h1", rc=None, env=sudo)
    check(result.returncode == 1 and "Permission denied" in result.stderr, result.text)
    check(os.listdir(roots) == ["secret"] and open(os.path.join(roots, "secret")).read() == "geheim", "root's files")
    LAB.netlab("cp", "h1:/etc/hostname", own, env=sudo)
    check(os.stat(os.path.join(own, "hostname")).st_uid == 4321, "their own file is theirs")
    LAB.netlab("cp", os.path.join(own, "hostname"), "h1:/tmp/back", env=sudo)
    LAB.netlab("cp", "h1:/tmp/back", "h2:/tmp/there", env=sudo)
    check(LAB.netlab("exec", "h2", "cat /tmp/there").stdout == "h1\n", "from guest to guest")
    for folder in (own, roots):
        shutil.rmtree(folder)
    return ""


# What a hostile guest's tar may send: to be unpacked below the named folder and nowhere else.
HOSTILE = """
import io, sys, tarfile
out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT)
def add(name, kind=tarfile.REGTYPE, link="", data=b"owned", mode=0o6777):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data) if kind == tarfile.REGTYPE else 0
    out.addfile(info, io.BytesIO(data))
add("./fine")
add("../escaped")
add("./../escaped")
add("/tmp/escaped-netlab")
add("./sub/../../escaped")
add("./way", tarfile.SYMTYPE, "..", b"")
add("./way/escaped")
add("./device", tarfile.CHRTYPE)
add("./fifo", tarfile.FIFOTYPE)
add("./hard", tarfile.LNKTYPE, "../outside", b"")
out.close()
"""


def cp_from_a_hostile_guest():
    """A `tar` of the guest's own making: nothing leaves the folder, no rights come along."""
    archive = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, check=True).stdout
    LAB.run("exec", "h2", "mkdir -p /tmp/evil; cat >/tmp/evil.tar; rm /usr/bin/env; printf '#!/bin/sh\n"
            "[ \"$1\" = tar ] && exec cat /tmp/evil.tar\nexec busybox env \"$@\"\n' >/usr/bin/env; chmod 755 /usr/bin/env", given=archive)
    place = os.path.join(LAB.base, "place")
    os.makedirs(os.path.join(place, "in"))
    with open(os.path.join(place, "outside"), "w") as file:
        file.write("mine")
    result = LAB.netlab("cp", "h2:/tmp/evil", os.path.join(place, "in", "got"), rc=None)
    check(sorted(os.listdir(place)) == ["in", "outside"] and not os.path.exists("/tmp/escaped-netlab"), f"{os.listdir(place)}: {result.text}")
    check(os.stat(os.path.join(place, "in", "got", "fine")).st_mode & 0o7777 == 0o777, f"rights: {result.text}")
    check(not os.path.exists(os.path.join(place, "in", "got", "device")) and os.stat(os.path.join(place, "outside")).st_nlink == 1, "device, hard link")
    LAB.run("exec", "h2", "head -c 300000 /dev/urandom >/tmp/evil.tar")
    check(LAB.netlab("cp", "h2:/tmp/evil", os.path.join(place, "in", "noise"), rc=1).stderr, "noise is no archive")
    LAB.netlab("exec", "h2", "rm /usr/bin/env; ln -s /bin/busybox /usr/bin/env")
    return result.stderr.strip().splitlines()[0] if result.stderr else None


def blocks(data):
    """(type, body) of each block of a pcapng file."""
    at, found = 0, []
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        check(struct.unpack_from("<I", data, at + length - 4)[0] == length, "a block's two lengths")
        found.append((kind, data[at + 8:at + length - 4]))
        at += length
    return found


def capture():
    """Both ends of a ping in one file: names, order, directions, the filter; lines; ending by count, signal, reader and machine."""
    def captured(*words):
        process = subprocess.Popen([BIN, "capture", *words], cwd=LAB.folder, env=LAB.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        pinged = []

        def ping():
            pinged.append(LAB.netlab("exec", "h1", "ping -c 1 -W 1 10.1.0.2", rc=None))
            return process.poll() is not None
        try:
            wait_until("the capture to end", ping, 60)
        finally:
            process.kill()
        return process.stdout.read(), process.stderr.read().decode()
    path = os.path.join(LAB.base, "c.pcapng")
    captured("h1:eth0", "h2:eth0", "icmp", "-w", path, "-c", "8")
    with open(path, "rb") as file:
        found = blocks(file.read())
    os.unlink(path)
    check([kind for kind, _ in found[:3]] == [0x0a0d0d0a, 1, 1] and b"h1:eth0" in found[1][1] and b"10.1.0.2/24" in found[2][1], f"{found[:3]}")
    frames = [(struct.unpack_from("<I", body, 0)[0], struct.unpack_from("<I", body, 4)[0] << 32 | struct.unpack_from("<I", body, 8)[0], body[20:])
              for kind, body in found if kind == 6]
    check(len(frames) == 8 and {nic for nic, _, _ in frames} == {0, 1}, f"{frames}")
    for nic in 0, 1:  # across machines the order depends on how late they are
        stamps = [stamp for each, stamp, _ in frames if each == nic]
        check(stamps == sorted(stamps), "the order")
    check(abs(frames[0][1] / 1e9 - time.time()) < 600, "the host's clock")
    check(all(data[12:14] == b"\x08\x00" and data[23] == 1 for _, _, data in frames), "the filter")
    check([kind for kind, _ in found[-2:]] == [5, 5], "counters at the end")
    lines, _ = captured("h1:eth0", "-c", "2", "icmp")
    lines = lines.decode().splitlines()
    check(" h1:eth0 out 10.1.0.1 > 10.1.0.2: ICMP echo request" in lines[0] and " in  10.1.0.2 > 10.1.0.1: ICMP echo reply" in lines[1], f"{lines}")
    lines, _ = captured("h1", "--json", "-c", "1", "-f", "icmp")
    check(json.loads(lines)["nic"] == "h1:eth0" and json.loads(lines)["direction"] == "out", f"{lines}")
    for words, rc, says in ((("h1", "nonsense words"), 1, "the filter"), (("h7:eth0",), 4, "no node"), (("h1:eth7",), 4, "no NIC h1:eth7")):
        result = LAB.netlab("capture", *words, rc=rc)
        check(says in result.stderr, result.text)
    before = sum(1 for _ in captures("h1"))
    process = subprocess.Popen([BIN, "capture", "h1:eth0", "-w", "-"], cwd=LAB.folder, env=LAB.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(process.stdout.read(4) == b"\x0a\x0d\x0d\x0a", "live")
    wait_until("the machine's capture", lambda: len(captures("h1")) == before + 1, 30)
    process.send_signal(signal.SIGINT)
    check("frames" in process.communicate(timeout=30)[1].decode() and process.returncode == 0, "Ctrl-C")
    check(len(captures("h1")) == before, "the machine's capture is taken away")
    process = subprocess.Popen([BIN, "capture", "h1:eth0", "-w", "-"], cwd=LAB.folder, env=LAB.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.read(4)
    process.stdout.close()
    check(process.wait(30) == 0, "the reader leaves")


def captures(node):
    """x-netlab-query-captures of a machine, those that have not ended."""
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(20)
    link.connect(os.path.join(LAB.env["NETLAB_RUNTIME_DIR"], LAB.name, node, "qmp.sock"))
    stream = link.makefile("rw")
    stream.readline()
    for command in ("qmp_capabilities", "x-netlab-query-captures"):
        stream.write(json.dumps({"execute": command}) + "\n")
        stream.flush()
        answer = {}
        while "return" not in answer:
            answer = json.loads(stream.readline())
    link.close()
    return [item for item in answer["return"] if not item["ended"]]


def capture_ends_with_the_machine():
    process = subprocess.Popen([BIN, "capture", "h2:eth1", "h2:eth0"], cwd=LAB.folder, env=LAB.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until("the machine's captures", lambda: len(captures("h2")) == 2, 30)
    LAB.netlab("down", "h2")
    check("has ended" in process.communicate(timeout=30)[1] and process.returncode == 0, f"{process.returncode}")
    check("h2 stopped" in LAB.netlab("diff", rc=1).stdout.replace(":", ""), "a stopped node differs")
    result = LAB.netlab("exec", "--all", "hostname")
    check(result.stdout == "== h1\nh1\n", f"only those that run: {result.text}")
    check("is stopped; start it with" in LAB.netlab("connect", "h2", rc=125).stderr, "connect to a stopped node")


def graph():
    """The running lab with a pulled cable and a bad line; the file alone; every format."""
    LAB.netlab("link", "h2:eth1", "down")
    LAB.netlab("link", "h1:eth0", "set", "delay=20ms")
    text = LAB.netlab("graph", env={"LC_ALL": "C.UTF-8"}).stdout
    check("├─ h1:eth0  10.1.0.1/24  up  delay=20ms\n" in text and "h1:eth1 10.255.0.1/30 ── 10.255.0.2/30 h2:eth1 DOWN\n" in text, text)
    check(max(len(line) for line in text.splitlines()) <= 80, text)
    check("|- h1:eth0" in LAB.netlab("graph", env={"LC_ALL": "C"}).stdout, "without UTF-8")
    found = json.loads(LAB.netlab("graph", "--json").stdout)
    ends = {f"{end['node']}:{end['interface']}": end for network in found["networks"] for end in network["ends"]}
    check(found["up"] and ends["h1:eth0"]["line"] == "delay=20ms" and not ends["h2:eth1"]["link"] and ends["h1:eth1"]["link"], f"{found}")
    dot = LAB.netlab("graph", "-f", "dot").stdout
    check('"node h1" -- "net lan"' in dot and "style=dashed" in dot, dot)
    check("n0 -.-|" in LAB.netlab("graph", "-f", "mermaid").stdout, "mermaid")
    if shutil.which("dot"):
        svg = LAB.netlab("graph", "-f", "svg").stdout
        check("<svg" in svg and "10.255.0.2/30" in svg, svg)
    result = LAB.netlab("graph", "-f", "svg", rc=1, env={"PATH": "/nowhere"})
    check("package graphviz" in result.stderr, result.text)
    LAB.netlab("link", "h2:eth1", "up")
    LAB.netlab("link", "h1:eth0", "reset")
    check("(not up)" in LAB.netlab("graph", "--file").stdout, "the file alone")
    check("no format" in LAB.netlab("graph", "-f", "png", rc=2).stderr, "png")
    other = os.path.join(LAB.base, "six.yml")
    with open(other, "w") as file:
        file.write("name: six\nnetworks: {lan: {subnet: 10.1.0.0/24, subnet6: 'fd00:1::/64'}, out: {uplink: user}}\n"
                   "nodes: {a: {image: mini, networks: [lan, out]}}\n")
    text = LAB.netlab("graph", other, env={"LC_ALL": "C"}).stdout
    check("`- a:eth0  10.1.0.1/24 fd00:1::1/64\n" in text and "user networking" in text and "(not up)" in text, text)
    os.unlink(other)


def inspect():
    found = json.loads(LAB.netlab("inspect", "h1", "--json").stdout)
    nic = found["nics"][0]
    check(found["agent_answers"] and "10.1.0.1/24" in nic["guest_addresses"] and nic["link"] and nic["line"] == "good", f"{found}")
    check(found["pid"] == LAB.node("h1")["pid"] and os.path.exists(found["qmp"]) and found["command"][1] == "-name", f"{found}")
    text = LAB.netlab("inspect", "h1").stdout
    check("in the guest 10.1.0.1/24" in text and nic["mac"] in text, text)
    found = json.loads(LAB.netlab("inspect", "--json").stdout)
    check({item["kind"] for item in found["objects"]} >= {"bridge", "tap", "machine"} and len(found["nodes"]) == 2, f"{found}")
    check("nsenter -t" in LAB.netlab("inspect").stdout, "how to enter")


def stats():
    load = subprocess.Popen([BIN, "exec", "-n", "h1", "ping -f -s 1000 10.1.0.2 2>/dev/null || ping -i 0.01 -s 1000 10.1.0.2"], cwd=LAB.folder,
                            env=LAB.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def busy():
        found = json.loads(LAB.netlab("stats", "--json").stdout)
        node = {node["node"]: node for node in found["nodes"]}["h1"]
        return node if node["nics"][0]["sent_frames_s"] > 3 and node["nics"][0]["received_bits_s"] > 10000 and node["cpu_percent"] > 0 else None
    try:
        node = wait_until("traffic in the rates", busy, 60)
        screen = Terminal("stats", rows=24, columns=80)
        seen = screen.expect(b"DROPPED") + screen.expect(b"h2")
        check(b"CPU%" in seen, f"{seen}")
        screen.type(b"q")
        screen.expect(b"[?1049l")
        check(screen.end() == 0, "q")
    finally:
        load.terminate()
        load.wait(30)
    text = LAB.netlab("stats").stdout
    check(text.startswith("NODE") and max(len(line) for line in text.splitlines()) <= 80, text)
    return f"{node['cpu_percent']:.0f} % of a CPU"


def events():
    steps = [json.loads(line) for line in LAB.netlab("events", "--json").stdout.splitlines()]
    check(any(step["node"] == "h1" and step["event"] == "make machine" for step in steps if "node" in step), f"{steps}")
    process = subprocess.Popen([BIN, "events", "--follow", "--new", "--json"], cwd=LAB.folder, env=LAB.env, stdout=subprocess.PIPE, text=True)
    reader, seen = threading.Thread(target=lambda: seen.extend(json.loads(line) for line in process.stdout)), []
    reader.start()

    def reset_is_told():
        LAB.netlab("restart", "h2", timeout=BOOT_SECONDS)
        return any(item["source"] == "node" and item["node"] == "h2" and item["event"] == "running" for item in seen)
    wait_until(lambda: f"the restart in {seen}", reset_is_told, 120)
    check(any(item["source"] == "journal" and item["node"] == "h2" for item in seen if "node" in item), f"{seen}")

    def stop_is_told():
        link = socket.socket(socket.AF_UNIX)
        link.connect(os.path.join(LAB.env["NETLAB_RUNTIME_DIR"], LAB.name, "h1", "qmp.sock"))
        link.sendall(b'{"execute":"qmp_capabilities"}{"execute":"stop"}{"execute":"cont"}')
        link.recv(4096)
        link.close()
        return {"STOP", "RESUME"} <= {item["event"] for item in seen if item["source"] == "machine"}
    wait_until(lambda: f"STOP and RESUME in {seen}", stop_is_told, 60)
    process.send_signal(signal.SIGINT)
    check(process.wait(30) == 0, "Ctrl-C")
    reader.join()


def diff():
    check("is as" in LAB.netlab("diff").stdout, "no difference")
    LAB.netlab("link", "h1:eth1", "down")
    LAB.netlab("link", "h1:eth0", "set", "loss=5%")
    with open(LAB.file) as file:
        text = file.read()
    LAB.write(text.replace("h2: {networks: [lan]}", "h2: {networks: [lan], memory: 128M}\n  h3: {networks: [lan]}"))
    found = json.loads(LAB.netlab("diff", "--json", rc=1).stdout)
    told = {(item["difference"], item["kind"], item["key"], item.get("member")): (item.get("running"), item.get("file")) for item in found}
    check(told[("changed", "machine", "h2", "memory")] == ("96", "128") and ("added", "machine", "h3", None) in told, f"{told}")
    check(told[("live", "link", "h1:eth1", None)] == ("down", "up") and told[("live", "line", "h1:eth0", None)][0] == "loss=5%", f"{told}")
    shown = LAB.netlab("diff", rc=1).stdout
    check("~ machine h2: memory 96 → 128\n" in shown and "+ machine h3\n" in shown and "! link h1:eth1 down → up\n" in shown, shown)
    LAB.write(text)
    LAB.netlab("link", "h1:eth1", "up")
    LAB.netlab("link", "h1:eth0", "reset")


def save():
    place = os.path.join(LAB.base, "saved")
    found = json.loads(LAB.netlab("save", "-o", place, "--json").stdout)
    check([item["node"] for item in found] == ["h1", "h2"] and all(item["files"] > 3 for item in found), f"{found}")
    with open(os.path.join(place, "h1", "addresses.txt")) as file:
        check("10.1.0.1/24" in file.read(), "addresses")
    with open(os.path.join(place, "h2", "etc", "hostname")) as file:
        check(file.read() == "h2\n", "files of /etc")
    check("netlab-save" not in LAB.netlab("exec", "h1", "ls -a /tmp").stdout, "nothing stays in the guest")
    shutil.rmtree(place)


def ssh_config():
    text = LAB.netlab("ssh-config").stdout
    check("Host h1 h1.verbs\n" in text and "exec --lab verbs" in text, text)
    # What ssh would run: a server at the end of a session. `cat` stands for the server.
    LAB.run("exec", "h1", "mkdir -p /usr/sbin; printf '#!/bin/sh\nexec cat\n' >/usr/sbin/sshd; chmod 755 /usr/sbin/sshd")
    command = next(line.split("ProxyCommand ", 1)[1] for line in text.splitlines() if "ProxyCommand" in line)
    result = subprocess.run(["sh", "-c", command], input=b"SSH-2.0-client\r\n", capture_output=True, env=LAB.env, timeout=60)
    check(result.stdout == b"SSH-2.0-client\r\n", f"{result}")
    LAB.netlab("exec", "h1", "rm /usr/sbin/sshd")
    result = subprocess.run(["sh", "-c", command], input=b"", capture_output=True, env=LAB.env, timeout=60)
    check(b"no SSH server" in result.stderr, f"{result}")


def console_past():
    """What the console said before is shown, then it is talked to."""
    screen = Terminal("console", "h1")
    seen = screen.expect(b"Ctrl-] leaves")
    check(b"h1 is ready" in seen, f"{seen}")
    screen.type(b"\recho now-$((40 + 2))\r")
    screen.expect(b"now-42")
    screen.type(b"\x1d")
    check(screen.end() == 0, "Ctrl-]")
    screen = Terminal("console", "-n", "0", "h1")
    check(b"is ready" not in screen.expect(b"Ctrl-] leaves"), "-n 0")
    screen.type(b"\x1d")
    screen.end()


def completion():
    check(LAB.netlab("completion", "--nodes").stdout == "h1\nh2\n" and "h1:eth0\n" in LAB.netlab("completion", "--nics").stdout, "names")
    script = LAB.netlab("completion", "bash").stdout + "COMP_WORDS=(netlab connect h) COMP_CWORD=2; _netlab; echo ${COMPREPLY[@]}"
    env = dict(LAB.env, PATH=os.path.dirname(BIN) + ":" + LAB.env["PATH"])
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=LAB.folder, env=env)
    check(result.stdout == "h1 h2\n", f"{result}")


def down():
    LAB.netlab("down")
    shutil.rmtree(os.path.join(LAB.base, "images"))
    for name in ("src", "back", "place", "renamed", "hostname"):
        path = os.path.join(LAB.base, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
    LAB.before["files"] = [name for name in LAB.before["files"] if not name.startswith("images")]
    LAB.check_clean(LAB.before, "after down")
    LAB.remove()


if __name__ == "__main__":
    images = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    if images.returncode != 0 or "mini" not in [image["name"] for image in json.loads(images.stdout)]:
        print("SKIP: there is no image `mini`; make it with `netlab image build mini`")
        sys.exit(77)
    main(up, exec_streams, exec_ends, exec_many, waiting, connect, shared, cp, cp_by_sudo, cp_from_a_hostile_guest, capture, graph,
         inspect, stats, diff, save, ssh_config, console_past, completion,
         events, capture_ends_with_the_machine, down)
