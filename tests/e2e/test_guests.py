# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Real guests on the real emulator: the labs of the tree, their checks, and what people do with machines.

Needs the image `mini` (NETLAB_IMAGE_DIR, or the user's own); without it the test is skipped with the reason.
"""
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from harness import BIN, MODE, Failure, Lab, check, main, processes, wait_until
from test_uplinks import Outside

SOURCE = os.environ["NETLAB_SOURCE"]
BOOT_SECONDS = 280


def lab_of(name):
    """A copy of labs/NAME with state of its own; of a lab with tasks its solution."""
    solution = os.path.join(SOURCE, "labs", name, "solution", "topology.yml")
    tasks = os.path.exists(solution)
    lab = Lab(emulator=None, name="lab-" + name if tasks else name)
    shutil.copy(solution if tasks else os.path.join(SOURCE, "labs", name, "topology.yml"), lab.file)
    lab.netlab("status", rc=4)
    return lab


def lives(name):
    lab = lab_of(name)
    before = lab.dump()
    began = time.monotonic()
    lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)
    took = time.monotonic() - began
    result = lab.netlab("validate", timeout=120)
    check("FAILED" not in result.stdout and " checks passed" in result.stdout, result.text)
    passed = result.stdout.strip().splitlines()[-1]
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()
    return f"up in {took:.0f} s, {passed}"


def static_router():
    return lives("static-router")


def triangle():
    return lives("triangle")


BAD_LINES = """\
name: {name}
nodes: {{a: , b: , c: }}
links:
  - {{ends: [a, {{node: b, delay: 30ms}}], delay: 20ms}}
  - {{ends: [a, c], loss: 30%, seed: 4}}
"""


def bad_lines():
    """What the topology says of a line, what `netlab link` changes, and what comes back with the machine."""
    lab = Lab(BAD_LINES, emulator=None, name="bad-lines")
    before = lab.dump()
    lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)

    def round_trips(address, count=5):
        text = lab.netlab("exec", "a", "--", "ping", "-c", str(count), "-i", "0.05", "-W", "1", address, rc=None, timeout=60).stdout
        return [float(word.split("=")[1]) for word in text.split() if word.startswith("time=")]
    times = round_trips("10.255.0.2")
    check(len(times) == 5 and min(times) >= 50, f"20 ms one way, 30 ms the other: {times}")
    check(len(round_trips("10.255.0.6", 60)) < 55, "three in ten are lost, either way")
    check("line delay=20ms" in lab.netlab("link", "a:eth0").stdout, "show")
    check("which NIC of a" in lab.netlab("link", "a", rc=None).stderr, "two NICs")
    lab.netlab("link", "a:eth1", "reset")
    lab.netlab("link", "c", "reset")
    check(len(round_trips("10.255.0.6")) == 5, "a good line")
    state = json.loads(lab.netlab("link", "a:eth1", "set", "delay=100ms", "jitter=1ms", "--json").stdout)
    check(state["up"] and state["line"].startswith("delay=100ms,jitter=1ms"), f"{state}")
    check(min(round_trips("10.255.0.6")) >= 99, "a slow line")
    check("link down" in lab.netlab("link", "a:eth1", "down").stdout, "down")
    check(not round_trips("10.255.0.6", 2), "a pulled cable")
    check("link up" in lab.netlab("link", "a:eth1", "up").stdout, "up")
    wait_until("the cable to be in again", lambda: round_trips("10.255.0.6", 1), 30)
    for words, says in ((["a:eth1", "set", "dely=1"], "did you mean 'delay'"), (["a:eth9"], "there is no NIC a:eth9"),
                        (["a:eth1", "set"], "set what?"), (["a:eth1", "frob"], "show, up, down")):
        failed = lab.netlab("link", *words, rc=None)
        check(failed.returncode != 0 and says in failed.stderr, failed.text)
    lab.netlab("restart", "a", timeout=BOOT_SECONDS)
    check("line loss=30%" in lab.netlab("link", "a:eth1").stdout, "after a restart it is as the topology has it")
    lab.write(BAD_LINES.format(name=lab.name).replace("20ms", "20 minutes"))
    failed = lab.netlab("up", rc=None)
    check("topology.yml:4:48:" in failed.stderr and "is no delay of a line; write it like 20ms" in failed.stderr, failed.text)
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def port_forward():
    """The lab's port leads to its web server: 8080 may be somebody else's on this computer's loopback, not in this namespace."""
    lab = lab_of("port-forward")
    before = lab.dump()
    lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)

    def page():
        try:
            with urllib.request.urlopen("http://127.0.0.1:8080/", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""
    wait_until("the laptop's port 8080", lambda: page() == "Welcome to web\n", 60)
    check("5 of 5 checks passed, 6 of 6 points" in lab.netlab("validate", timeout=120).stdout, "validate")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def real_network():
    """eth0 is a veth here; at its far end are a gateway and Debian's dnsmasq."""
    if MODE == "user" or not shutil.which("dnsmasq"):
        return "needs root and dnsmasq"
    outside = Outside()
    server = None
    folder = tempfile.mkdtemp(prefix="netlab-dnsmasq-")
    try:
        lab = lab_of("real-network")
        with open(lab.file) as file:
            text = file.read()
        lab.write(text.replace("uplink: eth0", "uplink: up0"))
        server = subprocess.Popen(["nsenter", "-t", str(outside.holder.pid), "-n", "dnsmasq", "-k", "-C", "/dev/null", "--port=0",
                                   "--dhcp-range=192.0.2.100,192.0.2.120,5m", "--dhcp-option=3,192.0.2.9", "--interface=out0",
                                   "--bind-interfaces", f"--dhcp-leasefile={folder}/leases", "--user=root",
                                   f"--pid-file={folder}/pid"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = lab.dump()
        lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)
        result = lab.netlab("validate", timeout=120)
        check("3 of 3 checks passed" in result.stdout, result.text)
        lab.netlab("down")
        lab.check_clean(before, "after down")
        shutil.copy(os.path.join(SOURCE, "labs", "real-network", "topology.yml"), lab.file)
        lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)
        result = lab.netlab("validate", "--within", "0", rc=1, timeout=120)
        check("0 of 3 checks passed" in result.stdout, result.text)
        lab.netlab("down")
        lab.check_clean(before, "after down")
        lab.remove()
    finally:
        if server:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)
        outside.close()


def read_until(fd, word, seconds):
    seen = b""
    deadline = time.monotonic() + seconds
    while word not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise Failure(f"{word} did not come in {seconds} s; seen: {seen[-2000:]}")
        try:
            seen += os.read(fd, 4096)
        except OSError:
            raise Failure(f"the terminal was closed before {word} came; seen: {seen[-2000:]}")
    return seen


def two_hosts():
    """Up, the checks, commands, the console on a terminal, a reboot and a power-off from inside, up again, down."""
    lab = lab_of("two-hosts")
    before = lab.dump()
    lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)
    lab.check_running("h1", "h2")
    check("2 of 2 checks passed" in lab.netlab("validate", timeout=60).stdout, "validate")
    check(lab.netlab("exec", "h2", "hostname").stdout == "h2\n", "hostname")
    result = lab.netlab("exec", "h1", "ip -o -4 addr show eth0; exit 5", rc=5)
    check(" 10.1.0.1/24 " in result.stdout, result.text)
    check("1 packets received" in lab.netlab("exec", "h1", "--", "ping", "-c", "1", "-W", "5", "10.1.0.2").stdout, "several words")
    mac = lab.node("h1")["nics"][0]["mac"]
    check(mac in lab.netlab("exec", "h1", "cat /sys/class/net/eth0/address").stdout, "MAC")

    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(lab.folder)
        os.execve(BIN, [BIN, "console", "h1"], dict(lab.env, TERM="xterm"))
    read_until(fd, b"Ctrl-] leaves", 10)
    os.write(fd, b"\r")
    read_until(fd, b"# ", 20)
    os.write(fd, b"echo six-times-seven=$((6 * 7))\r")
    read_until(fd, b"six-times-seven=42", 20)
    busy = lab.netlab("console", "h1", rc=1)
    check("another console of h1 is open" in busy.stderr, busy.text)
    os.write(fd, b"\x1d")
    read_until(fd, b"the machine goes on", 10)
    check(os.waitpid(pid, 0)[1] == 0, "console's status")
    os.close(fd)

    pid_before = lab.node("h2")["pid"]
    lab.netlab("exec", "h1", "ping -c 1 -W 2 10.1.0.2")
    boot = lab.netlab("exec", "h2", "cat /proc/sys/kernel/random/boot_id").stdout
    lab.netlab("exec", "h2", "(sleep 1; reboot) >/dev/null 2>&1 &")

    def other_boot():
        result = lab.netlab("exec", "--timeout", "10", "h2", "cat /proc/sys/kernel/random/boot_id", rc=None)
        return result.returncode == 0 and result.stdout != boot

    wait_until("h2 is back after its reboot", other_boot, BOOT_SECONDS)
    check(lab.node("h2")["pid"] == pid_before, "a reboot changed the process")
    lab.netlab("exec", "h2", "(sleep 1; poweroff) >/dev/null 2>&1 &")
    wait_until("h2's power-off is noted", lambda: lab.node("h2")["note"] == "powered off", 60)
    lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)
    lab.check_running("h1", "h2")
    check("2 of 2 checks passed" in lab.netlab("validate", timeout=60).stdout, "validate after the power-off")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def own_namespace_side():
    """A process in the lab's namespace reaches a guest through `host:`."""
    lab = lab_of("two-hosts")
    before = lab.dump()
    lab.write("name: two-hosts\nnetworks: {lan: {subnet: 10.1.0.0/24, host: 10.1.0.254}}\nnodes: {h1: {networks: [lan]}}\n")
    lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)
    enter = ["nsenter", "-t", str(lab.pids()[0]), *(["-U", "--preserve-credentials"] if MODE == "user" else []), "-n"]
    result = subprocess.run([*enter, "ping", "-c", "3", "-W", "5", "10.1.0.1"], capture_output=True, text=True, timeout=60)
    check(result.returncode == 0, f"{result}")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def bad_kernels():
    """The emulator is asked before anything is made: a bad kernel or CPU is a mistake in the file, at its place."""
    lab = lab_of("two-hosts")
    before = lab.dump()
    kernel = os.path.join(lab.folder, "kernel")
    for content in (b"this is not a kernel\n" * 1000, b""):
        with open(kernel, "wb") as file:
            file.write(content)
        lab.write("name: two-hosts\nnodes: {h1: {kernel: kernel}}\n")
        result = lab.netlab("up", rc=3)
        check(f":2:22: kernel {kernel}:" in result.stderr, result.text)
        lab.check_clean(before, "after a bad kernel")
    lab.write("name: two-hosts\nnodes: {h1: {cpu: n280}}\n")
    result = lab.netlab("up", rc=3)
    check(":2:19: -cpu n280: no model" in result.stderr, result.text)
    lab.check_clean(before, "after a bad CPU model")
    lab.remove()
    return result.stderr.strip().splitlines()[0]


if __name__ == "__main__":
    images = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    if images.returncode != 0 or "mini" not in [image["name"] for image in json.loads(images.stdout)]:
        print("SKIP: there is no image `mini`; make it with `netlab image build mini`")
        sys.exit(77)
    main(bad_kernels, two_hosts, static_router, triangle, bad_lines, port_forward, real_network, own_namespace_side)
