# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""`netlab host dhcp`: leases from a real dnsmasq in a namespace beside ours, given back without a trace; what is killed
at any point is cleared away by `release`; what is said when it does not work."""
import difflib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

from harness import BIN, Failure, Lab, check, files, main, network, processes, wait_until

RANGE = "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,120"


class Net:
    """eth0 here, and its far end 10.77.0.1/24 with a server in a namespace of its own."""

    def __init__(self, *options, serve=True, is_up=True):
        self.lab = Lab()
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        wait_until("the server's namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        subprocess.run(["ip", "link", "del", "eth0"], check=False, capture_output=True)  # what a failed test has left
        self.run(f"ip link add eth0 type veth peer name s0 netns {self.holder.pid}")
        self.inside("ip addr add 10.77.0.1/24 dev s0")
        self.inside("ip link set s0 up")
        self.run("ip link set eth0 addrgenmode none")  # no IPv6 in its own time
        # Once up, a link down again is not what it was (its qdisc, its multicast entries): the first time is ours.
        self.run("ip link set eth0 up")
        wait_until("the carrier", lambda: "ff00::/8 dev eth0" in subprocess.run(["ip", "-6", "route", "show", "table", "all"],
                                                                             capture_output=True, text=True).stdout, 30)
        if not is_up:
            self.run("ip link set eth0 down")
        self.server = None
        self.leases = os.path.join(self.lab.base, "leases")
        if serve:
            self.serve(*options)

    @staticmethod
    def run(command):
        subprocess.run(command.split(), check=True, capture_output=True)

    def inside(self, command):
        self.run(f"nsenter --net=/proc/{self.holder.pid}/ns/net {command}")

    def serve(self, *options):
        log = os.path.join(self.lab.base, "server.log")
        with open(log, "w") as file:
            self.server = subprocess.Popen(
                ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--pid-file=",
                 "--port=0", "--no-ping", "--log-facility=-", "--log-dhcp", "--dhcp-authoritative",
                 "--bind-interfaces", "--interface=s0", "--except-interface=lo", f"--dhcp-leasefile={self.leases}", *(options or (RANGE,))],
                stdout=file, stderr=file)
        wait_until("dnsmasq", lambda: "DHCP, IP range" in open(log).read(), 60)

    def close(self):
        if self.server:
            self.server.kill()
            self.server.wait()
        self.holder.stdin.close()
        self.holder.wait()
        wait_until("eth0 to go", lambda: not os.path.exists("/proc/sys/net/ipv4/conf/eth0"))
        self.lab.remove()

    def dhcp(self, *args, rc=0, **more):
        return self.lab.netlab("host", "dhcp", *args, rc=rc, timeout=120, **more)

    def dump(self):
        """What a lease must leave as it was."""
        text = re.sub(r"valid_lft \d+sec preferred_lft \d+sec", "", settled())
        return {"network": text, "rows": {t: n for t, n in self.lab.rows().items() if t == "lease"},
                "files": [f for f in files(self.lab.base) if f not in ("leases", "server.log") and "/locks/" not in f],
                "processes": sorted(c for c in processes().values() if "netlab" in c and "dhcp" in c)}

    def check_clean(self, before, what):
        try:
            wait_until("processes to end", lambda: self.dump()["processes"] == before["processes"], 15)
        except Failure:
            pass
        after = self.dump()
        for part in before:
            if after[part] != before[part]:
                lines = [text if isinstance(text, list) else str(text).splitlines() for text in (before[part], after[part])]
                raise Failure(f"{what}: {part} differ\n" + "\n".join(difflib.unified_diff(*lines, "before", "after", n=1, lineterm="")))


def settled():
    """The namespace twice alike: the kernel does things in its own time. Without timers and learned MACs, which go on."""
    def look():
        text = re.sub(r"_timer +[\d.]+", "_timer", network())
        return re.sub(r"(?m)^\S+ dev \S+ master \S+ *\n", "", text)
    last = [look()]

    def is_same():
        text, last[0] = last[0], look()
        return text == last[0]
    wait_until("the namespace to settle", is_same, 20)
    return last[0]


def addresses():
    return subprocess.run(["ip", "-4", "-o", "addr", "show", "dev", "eth0"], capture_output=True, text=True).stdout


def whole_life():
    net = Net(RANGE, "--dhcp-option=option:router,10.77.0.1", "--dhcp-option=option:dns-server,10.77.0.2", "--domain=lab.example",
              "--dhcp-option=option:T1,3s", "--dhcp-option=option:mtu,1400", "--dhcp-option=121,0.0.0.0/0,10.77.0.1,10.9.0.0/16,10.77.0.9")
    net.lab.netlab("host", "dhcp", "show")  # the store is there
    before = net.dump()
    said = net.dhcp("request", "eth0", "--hostname=h1", "-v").stdout
    for word in ("DHCPDISCOVER on eth0 to 255.255.255.255", "DHCPOFFER of 10.77.0.5", "DHCPREQUEST for 10.77.0.5", "DHCPACK of 10.77.0.5",
                 "eth0 has 10.77.0.5", "router 10.77.0.1", "name servers 10.77.0.2"):
        check(word in said, f"{word} is not in {said}")
    shown = json.loads(net.dhcp("show", "--json").stdout)
    check(len(shown) == 1, shown)
    lease = shown[0]
    check(lease["interface"] == "eth0" and lease["state"] == "bound" and lease["pid"] > 1 and lease["server"] == "10.77.0.1" and
          lease["dns"] == ["10.77.0.2"] and lease["domain"] == "lab.example" and lease["lifetime"] == 120 and lease["mtu"] == 1400 and
          "10.9.0.0/16 via 10.77.0.9" in lease["routes"], lease)
    check(lease["address"] in addresses() and "dynamic" in addresses(), addresses())
    check("h1" in open(net.leases).read(), "the server does not know the host name")
    check(str(lease["pid"]) in net.dhcp("show").stdout, "show")
    again = net.dhcp("request", "eth0", rc=1).stderr
    check("eth0 has a lease already (10.77.0.5" in again and "host dhcp release eth0" in again, again)
    wait_until("a renewal", lambda: "keeps 10.77.0.5" in open(lease["log"]).read(), 60)
    check("DHCPREQUEST for 10.77.0.5" in open(lease["log"]).read().split("has 10.77", 1)[1], "no REQUEST in the log")
    said = net.dhcp("release", "eth0", "-v").stdout
    check("DHCPRELEASE of 10.77.0.5" in said and "is released" in said, said)
    net.check_clean(before, "after release")
    wait_until("the server to forget it", lambda: "10.77.0.5" not in open(net.leases).read(), 30)
    check("has no lease of netlab's" in net.dhcp("release", "eth0", rc=1).stderr, "release twice")
    check(net.dhcp("show").stdout.startswith("no interface has a lease"), "show of nothing")
    net.close()


def recipe():
    """The NIC becomes a port of a bridge, and the bridge has the address: dhclient's lines by ours."""
    net = Net(RANGE, "--dhcp-option=option:router,10.77.0.1")
    net.dhcp("show")
    first = json.loads(net.dhcp("request", "eth0", "--json").stdout)
    net.dhcp("release", "eth0")
    net.run("ip link add br0 type bridge mcast_snooping 0")  # its table of groups changes by itself
    net.run("ip link set br0 addrgenmode none")
    net.run("ip link set eth0 master br0")
    net.run("ip link set br0 up")
    wait_until("the port to forward", lambda: "state forwarding" in subprocess.run(["bridge", "link"], capture_output=True, text=True).stdout, 60)
    wait_until("the bridge to be up", lambda: "ff00::/8 dev br0" in subprocess.run(["ip", "-6", "route", "show", "table", "all"],
                                                                                capture_output=True, text=True).stdout, 60)
    before = net.dump()
    lease = json.loads(net.dhcp("request", "br0", "--json").stdout)
    check(lease["address"] == first["address"], "the bridge has the NIC's MAC, but not its address")
    ping = subprocess.run(["ping", "-c", "1", "-W", "20", "10.77.0.1"], capture_output=True, text=True)
    check(ping.returncode == 0, ping.stdout)
    routes = subprocess.run(["ip", "route", "show", "proto", "dhcp"], capture_output=True, text=True).stdout
    check("default via 10.77.0.1 dev br0" in routes and "metric 1024" in routes, routes)
    net.dhcp("release", "br0")
    net.check_clean(before, "the recipe")
    net.run("ip link del br0")
    net.close()


def killed_renewer():
    """Its process killed: shown so; request takes the same lease on by INIT-REBOOT; release clears it away as well."""
    net = Net()
    net.dhcp("show")
    before = net.dump()
    first = json.loads(net.dhcp("request", "eth0", "--json").stdout)
    os.kill(first["pid"], signal.SIGKILL)
    wait_until("it to be gone", lambda: json.loads(net.dhcp("show", "--json").stdout)[0]["state"] == "not renewed")
    check(first["address"] in addresses(), "the address went with the process")
    said = net.dhcp("request", "eth0", "-v").stdout
    check("DHCPDISCOVER" not in said and f"eth0 has {first['address']}" in said, said)
    second = json.loads(net.dhcp("show", "--json").stdout)[0]
    os.kill(second["pid"], signal.SIGKILL)
    net.dhcp("release", "eth0")
    net.check_clean(before, "after the release of one that was killed")
    # The computer restarted meanwhile (another boot's row): the lease is asked for again, or forgotten.
    third = json.loads(net.dhcp("request", "eth0", "--json").stdout)
    for then in ("request", "release"):
        pid = json.loads(net.dhcp("show", "--json").stdout)[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until("it to be gone", lambda: pid not in processes())
        net.run("ip -4 addr flush dev eth0")
        with sqlite3.connect(os.path.join(net.lab.base, "state", "netlab.db")) as db:
            db.execute("UPDATE lease SET boot_id = '00000000-0000-0000-0000-000000000000'")
        check("of before the reboot" in net.dhcp("show").stdout, "show of an old boot's row")
        said = net.dhcp(then, "eth0", "-v").stdout
        check(then == "release" or ("DHCPDISCOVER" not in said and f"eth0 has {third['address']}" in said), said)
    check(json.loads(net.dhcp("show", "--json").stdout) == [] and not addresses(), "an old boot's row was not forgotten")
    # Its link goes: nothing is left to release.
    third = json.loads(net.dhcp("request", "eth0", "--json").stdout)
    net.run("ip link del eth0")
    wait_until("its process to end", lambda: third["pid"] not in processes(), 30)
    check(json.loads(net.dhcp("show", "--json").stdout) == [], "the row of a link that is gone")
    net.close()


def lost_store():
    """The store goes while a lease is held: its process writes the row anew at the next renewal."""
    net = Net(RANGE, "--dhcp-option=option:T1,3s")
    net.dhcp("show")
    before = net.dump()
    lease = json.loads(net.dhcp("request", "eth0", "--json").stdout)
    for name in os.listdir(os.path.join(net.lab.base, "state")):
        if name.startswith("netlab.db"):
            os.remove(os.path.join(net.lab.base, "state", name))
    shown = wait_until("the row", lambda: json.loads(net.dhcp("show", "--json").stdout), 60)
    check(shown[0]["pid"] == lease["pid"] and shown[0]["address"] == lease["address"] and shown[0]["state"] == "bound", shown)
    net.dhcp("release", "eth0")
    net.check_clean(before, "after a lost store")
    net.close()


def foreground():
    net = Net()
    net.dhcp("show")
    before = net.dump()
    for how in (signal.SIGINT, None):
        process = subprocess.Popen([BIN, "host", "dhcp", "request", "--foreground", "--json", "eth0"], stdout=subprocess.PIPE, text=True,
                                   env=net.lab.env, cwd=net.lab.folder)
        wait_until("the lease", lambda: "10.77.0.5" in addresses(), 60)
        wait_until("its row", lambda: json.loads(net.dhcp("show", "--json").stdout)[0]["state"] == "bound", 30)
        if how:
            process.send_signal(how)
        else:
            net.dhcp("release", "eth0")
        out, _ = process.communicate(timeout=60)
        check(process.returncode == 0 and json.loads(out)["address"].startswith("10.77.0.5"), f"{process.returncode}: {out}")
        net.check_clean(before, f"foreground, {how}")
    net.close()


def errors():
    net = Net(serve=False, is_up=False)
    net.dhcp("show")
    before = net.dump()
    began = time.monotonic()
    for args, word in ((("request", "eht0"), "there is no interface \"eht0\"; did you mean \"eth0\"?"),
                       (("request", "nothing-like-it"), "there are "),
                       (("request", "lo"), "lo is no Ethernet interface"),
                       (("request", "eth0", "--address=10.0.0.300"), "is no IPv4 address of a host"),
                       (("request", "eth0", "--hostname=a b"), "is no host name"),
                       (("request", "eth0", "--timeout=2"), "no DHCP server gave eth0 an address within 2 s"),
                       (("release", "eth0"), "eth0 has no lease of netlab's"),
                       (("release", "eht0"), "did you mean \"eth0\"?")):
        said = net.dhcp(*args, rc=1).stderr
        check(word in said, f"{args}: {said}")
        net.check_clean(before, f"{args}")  # eth0 is down again, too
    check(net.dhcp("request", "eth0", "--probe=maybe", rc=2).stderr.count("none of quick, full and off") == 1, "probe")
    # No carrier; for a bridge it is said which way out there is.
    net.inside("ip link set s0 down")
    said = net.dhcp("request", "eth0", "--timeout=1", rc=1).stderr
    check("eth0 has no carrier" in said and "cable" in said, said)
    net.run("ip link add br0 type bridge")
    said = net.dhcp("request", "br0", rc=1).stderr
    check("the bridge br0 has no ports" in said, said)
    net.run("ip link set eth0 master br0")
    said = net.dhcp("request", "br0", "--timeout=1", rc=1).stderr
    check("br0 has no carrier" in said and "none of its ports is up" in said, said)
    said = net.dhcp("request", "eth0", rc=1).stderr
    check("eth0 is a port of br0" in said and "ask for the address on br0" in said, said)
    net.run("ip link del br0")
    net.check_clean(before, "after errors")
    # Ctrl-C while it asks.
    process = subprocess.Popen([BIN, "host", "dhcp", "request", "eth0"], stderr=subprocess.PIPE, text=True, env=net.lab.env, cwd=net.lab.folder)
    wait_until("it to ask", lambda: net.lab.rows().get("lease"), 30)
    busy = net.dhcp("release", "eth0", rc=5).stderr
    check("the lease of eth0 is being changed by `netlab host dhcp request`" in busy, busy)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    check(process.returncode == 130 and "interrupted" in said, f"{process.returncode}: {said}")
    net.check_clean(before, "interrupted")
    net.close()
    return f"{time.monotonic() - began:.0f} s"


def no_privilege():
    net = Net()
    said = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", BIN, "host", "dhcp", "request", "eth0"], capture_output=True,
                          text=True, env=net.lab.env, cwd=net.lab.folder, timeout=60)
    check(said.returncode == 6 and "CAP_NET" in said.stderr, f"{said}")
    net.close()


def killed_everywhere():
    """SIGKILL at every point of request, of its process and of release; release then leaves nothing."""
    net = Net(is_up=False)
    net.dhcp("show")
    before = net.dump()
    tried = 0
    for verb in ("request", "release"):
        for point in range(1, 40):
            if verb == "release":
                net.dhcp("request", "eth0", "--probe=off")
            env = {"NETLAB_CRASH_AT": str(point)}
            result = net.dhcp(verb, "eth0", *(("--probe=off", "--timeout=20") if verb == "request" else ()), rc=None, env=env)
            tried += 1
            if verb == "request":
                # Whoever is left may still be on its way.
                wait_until("its process to be bound or gone", lambda: all(
                    lease["state"] in ("bound", "not renewed") for lease in json.loads(net.dhcp("show", "--json").stdout)), 30)
            survived = result.returncode == 0
            # A point may be reached by the renewing process as well as by the command: both count their own.
            killed_runner = verb == "request" and any(lease["state"] == "not renewed" for lease in json.loads(net.dhcp("show", "--json").stdout))
            if json.loads(net.dhcp("show", "--json").stdout):
                net.dhcp("release", "eth0")
            net.check_clean(before, f"{verb} killed at point {point}")
            if survived and not killed_runner:
                break
        else:
            raise Failure(f"{verb} has more points than were tried")
    net.close()
    return f"{tried} points"


if __name__ == "__main__":
    main(whole_life, recipe, killed_renewer, lost_store, foreground, errors, no_privilege, killed_everywhere)
