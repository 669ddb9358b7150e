# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What networks offer to their nodes: lines that are changed while the machines run, addresses and names by dnsmasq, IPv6."""
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

from harness import BIN, MODE, Lab, check, main, processes, wait_until
from test_uplinks import Outside

FULL = bool(os.environ.get("NETLAB_TEST_FULL"))

LINES = """\
name: {name}
defaults: {{kernel: kernel, ready: agent}}
networks:
  lan: {{subnet: 10.1.0.0/24, delay: 10ms}}
nodes:
  h1: {{networks: [lan]}}
  h2: {{networks: {{lan: {{loss: 1%}}}}}}
links: [h1 - h2]
"""


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def lines():
    """A changed `delay:` is set in the machine that runs; one that is started has it from its command line."""
    lab = Lab(LINES)
    lab.netlab("status", rc=4)
    before = lab.dump()
    lab.netlab("up")
    pids = lab.pids()

    def words(node):
        return read(os.path.join(lab.base, "run", lab.name, node, "lines.log")).split()

    def argv(node):
        return read(f"/proc/{lab.pids()[1][node]}/cmdline")

    check("impair-out=delay=10ms\0" in argv("h1") and "impair-out=delay=10ms,,loss=1%" in argv("h2"), argv("h2"))
    check("nothing to do" in lab.netlab("up").stdout and not words("h1"), "up as it is")
    # Another delay, another loss, a link that becomes bad; then all good. No process changes.
    lab.write(LINES.format(name=lab.name).replace("10ms", "20ms").replace("1%", "2%").replace("[h1 - h2]", "[{ends: [h1, h2], rate: 1M}]"))
    planned = lab.netlab("up", "--dry-run").stdout
    check("set the line of h2:eth0: delay=20ms,loss=2%" in planned and "start machine" not in planned, planned)
    lab.netlab("up")
    check(words("h1")[-2:] == ["delay=20ms", "rate=1M"] and words("h2")[-2:] == ["delay=20ms,loss=2%", "rate=1M"], f"{words('h1')} {words('h2')}")
    check(lab.pids() == pids and "nothing to do" in lab.netlab("up").stdout, "something was started anew")
    # One that ends by itself and is started by `up` has the new line from the beginning.
    os.kill(pids[1]["h2"], signal.SIGKILL)
    wait_until("it is noted", lambda: lab.node("h2")["state"] == "ended")
    lab.netlab("up")
    check("impair-out=delay=20ms,,loss=2%" in argv("h2") and "impair-out=rate=1M" in argv("h2"), argv("h2"))
    pids = lab.pids()
    lab.write(LINES.format(name=lab.name).replace(", delay: 10ms", "").replace("{lan: {loss: 1%}}", "[lan]"))
    planned = lab.netlab("up", "--dry-run").stdout
    check("make the line of h1:eth0 good" in planned and "machine" not in planned, planned)
    lab.netlab("up")
    check(words("h1")[-1] == "off" and lab.pids() == pids, f"{words('h1')}")
    # A line beside another change: the machine that is made anew has it at once.
    lab.write(LINES.format(name=lab.name).replace("h1: {networks", "h1: {memory: 128M, networks"))
    lab.netlab("up")
    check("impair-out=delay=10ms\0" in argv("h1") and words("h2")[-1] == "delay=10ms,loss=1%", f"{argv('h1')} {words('h2')}")
    if FULL:
        # A machine that cannot be told: the change is taken back, all of it.
        os.kill(lab.pids()[1]["h2"], signal.SIGSTOP)
        lab.write(LINES.format(name=lab.name).replace("h1: {networks", "h1: {memory: 128M, networks").replace("10ms", "30ms"))
        failed = lab.netlab("up", rc=8)
        check("set the line" in failed.stderr or "the line of h" in failed.stderr, failed.text)
        os.kill(lab.pids()[1]["h2"], signal.SIGCONT)
        lab.netlab("up")
        check(words("h2")[-1] == "delay=30ms,loss=1%", f"{words('h2')}")
    else:
        lab.write(LINES.format(name=lab.name).replace("h1: {networks", "h1: {memory: 128M, networks").replace("10ms", "30ms"))
        lab.netlab("up")
    # Stopped and started again; restarted.
    lab.netlab("down", "h2")
    lab.netlab("up", "h2")
    check("impair-out=delay=30ms,,loss=1%" in argv("h2"), argv("h2"))
    lab.netlab("restart", "h2")
    check("impair-out=delay=30ms,,loss=1%" in argv("h2"), argv("h2"))
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


DHCP = """\
name: {name}
defaults: {{image: mini}}
networks:
  lan: {{subnet: 10.1.0.0/24, dhcp: {{options: {{66: tftp.example}}, ntp: 10.1.0.9}}}}
  dmz: {{subnet: 10.2.0.0/24}}
nodes:
  r1: {{networks: {{lan: 10.1.0.1, dmz: 10.2.0.1}}, forwarding: true}}
  h1: {{networks: {{lan: dhcp}}}}
  web: {{networks: [dmz], routes: {{default: 10.2.0.1}}}}
  new: {{networks: {{lan: none}}}}
"""

# A DNS client: NAME TYPE SERVER → the answers, a line each; "refused" and the like when there are none.
RESOLVER = r"""
import socket, struct, sys
name, kind, server = sys.argv[1:]
number = {"A": 1, "PTR": 12, "AAAA": 28}[kind]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".")) + b"\0"
query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + struct.pack(">HH", number, 1)
s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for attempt in range(30):
    try:
        s.sendto(query, (server, 53))
        data = s.recv(4096)
        break
    except OSError:
        data = None
if not data:
    sys.exit("no answer")
def text(at):
    words = []
    while data[at]:
        if data[at] >= 192:
            at = (data[at] & 63) << 8 | data[at + 1]
            continue
        words.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(words)
code, count = data[3] & 15, struct.unpack(">H", data[6:8])[0]
at = 12 + len(labels) + 4
if code:
    print({3: "no such name", 5: "refused"}.get(code, f"error {code}"))
for i in range(count):
    while data[at] and data[at] < 192:
        at += 1 + data[at]
    at += 1 if not data[at] else 2
    found, _, _, length = struct.unpack(">HHIH", data[at:at + 10])
    at += 10
    if found == number:
        print(text(at) if kind == "PTR" else socket.inet_ntop(socket.AF_INET if kind == "A" else socket.AF_INET6, data[at:at + length]))
    at += length
"""


def enter(lab):
    """The command that goes into the lab's namespace."""
    return ["nsenter", "-t", str(lab.pids()[0]), "-n"] + (["-U", "--preserve-credentials"] if MODE == "user" else [])


def ask(lab, name, kind="A", server="10.1.0.254"):
    result = subprocess.run([*enter(lab), sys.executable, "-c", RESOLVER, name, kind, server], capture_output=True, text=True, timeout=60)
    check(result.returncode == 0, f"{name} {kind}: {result}{lab.logs()}")
    return result.stdout.split("\n")[0]


def run(lab, node, command):
    return lab.netlab("exec", node, "--", "sh", "-c", command, rc=None, timeout=60)


def has_mini():
    listed = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    return listed.returncode == 0 and "mini" in {image["name"] for image in json.loads(listed.stdout)}


def dhcp():
    """Leases that are known beforehand, names both ways, what clients are told; the server dies, is changed, goes."""
    if not has_mini():
        return "skipped: needs the image `mini`: netlab image build mini"
    if MODE == "user" and not FULL:
        return "skipped: with NETLAB_TEST_FULL; dhcp_crashes is short"
    lab = Lab(DHCP, emulator=None)
    lab.netlab("status", rc=4)
    before = lab.dump()
    lab.netlab("up", timeout=180)
    check({node["name"] for node in lab.status()["nodes"]} == {"@lan", "h1", "new", "r1", "web"}, "nodes")
    server = lab.node("@lan")
    check(server["image"] == "dnsmasq" and server["nics"][0]["address"] == "10.1.0.254/24" and server["state"] == "running", f"{server}")
    text = read(f"/proc/{server['pid']}/status")
    check("CapEff:\t0000000000003400" in text and "CapBnd:\t0000000000003400" in text and "NoNewPrivs:\t1" in text, text)
    seen = run(lab, "h1", "ip -4 addr show eth0; ip route; cat /etc/resolv.conf").stdout
    for word in ("inet 10.1.0.128/24", "default via 10.1.0.1", "nameserver 10.1.0.254", "search lab.internal"):
        check(word in seen, f"{word}: {seen}")
    # Names: of who is here, of who is elsewhere, of itself; both ways; from a guest as well.
    for name, address in (("r1", "10.1.0.1"), ("h1", "10.1.0.128"), ("h1.lab.internal", "10.1.0.128"), ("web", "10.2.0.2"), ("nobody", "no such name"),
                          ("nobody.lab.internal", "no such name"), ("example.com", "refused")):
        check(ask(lab, name) == address, f"{name}: {ask(lab, name)}")
    for address, name in (("1.0.1.10", "r1.lab.internal"), ("128.0.1.10", "h1.lab.internal"), ("2.0.2.10", "web.lab.internal")):
        check(ask(lab, f"{address}.in-addr.arpa", "PTR") == name, f"{address}: {ask(lab, address + '.in-addr.arpa', 'PTR')}")
    for node in ("h1", "r1"):
        check("1 packets received" in run(lab, node, "ping -c 1 web").stdout, f"{node}: {run(lab, node, 'ping -c 1 web').text}")
    # One that nobody knows: from the range, behind the leases that are taken; and all that it is told.
    told = run(lab, "new", "cat > /tmp/s <<'E'\n#!/bin/sh\nenv | sort\n/init $1\nE\nchmod +x /tmp/s; ip link set eth0 up; busybox udhcpc -f -n -q -i eth0 -O tftp -O ntpsrv -O mtu -s /tmp/s").text
    for word in ("ip=10.1.0.", "router=10.1.0.1", "dns=10.1.0.254", "domain=lab.internal", "lease=3600", "ntpsrv=10.1.0.9", "tftp=tftp.example", "mtu=1500"):
        check(word in told, f"{word}: {told}")
    given = told.split("ip=")[1].split()[0]
    check(128 < int(given.split(".")[3]) < 254, given)
    # The server dies: another one, which knows the same, and the stranger's lease too.
    os.kill(server["pid"], signal.SIGKILL)
    wait_until("another server", lambda: lab.node("@lan")["pid"] not in (0, None, server["pid"]), 30)
    check(ask(lab, "h1") == "10.1.0.128" and ask(lab, "128.0.1.10.in-addr.arpa", "PTR") == "h1.lab.internal", "after its death")
    folder = os.path.join(lab.base, "run", "lab", "@lan")
    wait_until("the stranger's lease", lambda: given in read(os.path.join(folder, "leases")), 20)
    check("nothing to do" in lab.netlab("up").stdout, "up as it is")
    # Changed: it alone is started anew. A node more: it has a name, and the rest its own.
    pids = lab.pids()
    lab.write(DHCP.format(name=lab.name).replace("ntp: 10.1.0.9", "lease: 10m, domain: campus.example, range: 10.1.0.20-10.1.0.40"))
    planned = lab.netlab("up", "--dry-run").stdout
    check("start the DHCP and DNS server of lan (dnsmasq)" in planned and "machine" not in planned, planned)
    lab.netlab("up")
    after = lab.pids()
    check(after[0] == pids[0] and all((after[1][name] == pids[1][name]) == (name != "@lan") for name in pids[1]), f"{pids} {after}")
    check(ask(lab, "h1.campus.example") == "10.1.0.20" and ask(lab, "r1") == "10.1.0.1", "changed names")
    # h1 asks for its old address, is refused, and has the new one.
    check("10.1.0.20/24" in run(lab, "h1", "kill -USR1 $(ps | grep '[u]dhcpc -f' | awk '{print $1}'); for i in $(seq 300); do ip addr show eth0 | grep 10.1.0.20 && break; sleep 0.1; done").text, "a new lease")
    # Its supervisor dies: it goes on, the next one looks after it. Without dhcp: it goes, and with the lab as well.
    os.kill(after[0], signal.SIGKILL)
    wait_until("the supervisor to be gone", lambda: not lab.status()["supervisor"], 20)
    lab.netlab("up")
    check(lab.node("@lan")["pid"] == after[1]["@lan"], "it is the same")
    os.kill(after[1]["@lan"], signal.SIGKILL)
    wait_until("another server", lambda: lab.node("@lan")["pid"] not in (0, None, after[1]["@lan"]), 30)
    refused = lab.netlab("down", "@lan", rc=None)
    check(refused.returncode != 0 and "belongs to network lan" in refused.stderr, refused.text)
    lab.netlab("restart", "@lan")
    lab.write(DHCP.format(name=lab.name).replace(", dhcp: {options: {66: tftp.example}, ntp: 10.1.0.9}", "").replace("{lan: dhcp}", "[lan]"))
    lab.netlab("up", timeout=120)
    check("@lan" not in {node["name"] for node in lab.status()["nodes"]} and not [c for c in processes().values() if "dnsmasq" in c], "it is gone")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()
    return ""


SERVED = """\
name: {name}
defaults: {{kernel: kernel, ready: agent}}
networks:
  lan: {{subnet: 10.1.0.0/24, dhcp: true}}
nodes:
  h1: {{networks: {{lan: dhcp}}}}
"""


def network_refused(lab, text, says):
    lab.write(f"networks:\n  {text}\nnodes: {{h: {{networks: [a]}}}}\ndefaults: {{kernel: kernel}}\n")
    failed = lab.netlab("up", "--dry-run", rc=None)
    check(failed.returncode != 0 and says in failed.stderr and "topology.yml:2:" in failed.stderr, f"{text}: {failed.text}")


def dhcp_crashes():
    """SIGKILL to all at points of the journal while such a lab goes up and down; everything killed; the store lost."""
    lab = Lab(SERVED)
    lab.netlab("status", rc=4)
    before = lab.dump()
    stride = 1 if FULL else 12
    for args in ([], ["--here"])[:2 if MODE == "root" else 1]:
        for n in range(1 + os.getpid() % stride, 200, stride):
            result = lab.netlab("up", *args, rc=None, env={"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": "all"})
            if result.returncode and n % 2:
                lab.netlab("up", *args)
                lab.check_running("@lan", "h1")
            lab.netlab("down", "--lab", lab.name, rc=None)
            lab.check_clean(before, f"killed at point {n} {args}")
            if result.returncode == 0:
                break
        check(n > 15, f"only {n} points")
        lab.netlab("up", *args)
        supervisor, pids = lab.pids()
        for pid in (supervisor, *pids.values()):
            os.kill(pid, signal.SIGKILL)
        lab.netlab("repair")
        lab.check_running("@lan", "h1")
        lab.netlab("down")
        lab.check_clean(before, "after all were killed")
        lab.netlab("up", *args)
        for name in os.listdir(os.path.join(lab.base, "state")):
            if name.startswith("netlab.db"):
                os.unlink(os.path.join(lab.base, "state", name))
        done = lab.netlab("repair").stdout
        check("end machine @lan" in done, done)
        lab.check_clean({part: value for part, value in before.items() if part != "store"}, "after repair with the store lost")
        lab.netlab("status", rc=4)
        before = lab.dump()
    lab.remove()
    return f"every {stride} of {n} points"


def dhcp_refused():
    """No dnsmasq; a server that cannot start; what the file cannot mean."""
    lab = Lab(SERVED)
    lab.netlab("status", rc=4)
    before = lab.dump()
    failed = lab.netlab("up", rc=1, env={"NETLAB_DNSMASQ": "/nowhere/dnsmasq"})
    check("NETLAB_DNSMASQ=/nowhere/dnsmasq is not a program" in failed.stderr, failed.text)
    found = subprocess.run(["sh", "-c", "PATH=$PATH:/usr/sbin command -v dnsmasq"], capture_output=True, text=True).stdout.strip()
    if MODE == "root" and found:
        subprocess.run(["mount", "--bind", "/dev/null", found], check=True)
        try:
            failed = lab.netlab("up", rc=1)
            doctor = lab.netlab("doctor", rc=None).stdout
        finally:
            subprocess.run(["umount", found], check=True)
        check("apt install dnsmasq-base" in failed.stderr, failed.text)
        check("no dnsmasq, so networks cannot serve" in doctor and "apt install dnsmasq-base" in doctor, doctor)
    check("networks can serve addresses and names" in lab.netlab("doctor", rc=None).stdout, "doctor")
    lab.check_clean(before, "after refusals")
    lab.write(SERVED.format(name=lab.name).replace("dhcp: true", "dhcp: {options: {28: x}}"))
    failed = lab.netlab("up", rc=None)
    check(failed.returncode != 0 and "dnsmasq says" in failed.stderr, failed.text)
    lab.check_clean(before, "after a server that could not start")
    for text, says in (
            ("a: {dhcp: true}", "needs a subnet to serve addresses of"),
            ("a: {subnet: 10.9.0.0/30, dhcp: true}", "needs room for them"),
            ("a: {uplink: user, dhcp: true}", "serves addresses by itself"),
            ("a: {uplink: eth7, dhcp: true}", "whose own network serves addresses"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {range: 10.8.0.1-10.8.0.9}}", "not within the subnet"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {range: 10.9.0.9-10.9.0.1}}", "is no range of addresses"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {lease: 5}}", "not how long a lease can be"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {router: 10.8.0.1}}", "outside the subnet"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {domain: a..b}}", "cannot be a domain"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {options: {router: x}}}", "is no DHCP option"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {options: {66: 'x#y'}}}", "without quotes, backslashes and #"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {leas: 5}}", "did you mean \"lease\""),
            ("a: {subnet: 10.9.0.0/24, dhcp: maybe}", "neither true nor false"),
            ("a: {subnet: 10.9.0.0/24, dhcp: {dns: [10.9.0.1, 10.9.0.2, 10.9.0.3, 10.9.0.4, 10.9.0.5]}}", "has room for 4"),
    ):
        network_refused(lab, text, says)
    # No room: three leases, one of them the server's.
    lab.write("networks:\n  a: {subnet: 10.9.0.0/29, dhcp: true}\ndefaults: {kernel: kernel}\n"
              "nodes: {h: {networks: {a: dhcp}}, i: {networks: {a: dhcp}}, j: {networks: {a: dhcp}}}\n")
    failed = lab.netlab("up", "--dry-run", rc=None)
    check("no lease is left for node \"j\"" in failed.stderr, failed.text)
    # The subnet from a node's address.
    lab.write("networks:\n  a: {dhcp: true}\ndefaults: {kernel: kernel}\nnodes: {h: {networks: {a: 10.9.0.1/24}}}\n")
    check("10.9.0.254/24" in lab.netlab("up", "--dry-run").stdout, "the subnet of a node")
    lab.remove()


SIX = """\
name: {name}
defaults: {{image: mini}}
networks:
  lan: {{subnet: 10.1.0.0/24, subnet6: fd00:1::/64, dhcp: true}}
  dmz: {{subnet6: auto, host6: {host6}}}
  internet: {{uplink: user, subnet6: fd00:77::/64}}
nodes:
  r1: {{networks: {{lan: 10.1.0.1, dmz: "{prefix}::1"}}, forwarding: true}}
  h1: {{networks: {{lan: dhcp}}, routes: {{default: "fd00:1::1"}}}}
  web: {{networks: [dmz], routes: [{{to: "fd00:1::/64", via: "{prefix}::1"}}]}}
  out: {{networks: {{internet: {{address6: "fd00:77::99"}}}}}}
links:
  - {{ends: [h1, web], subnet6: fd00:2::/127}}
"""


class Six(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())

    def log_message(self, *what):
        pass


class SixServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def six():
    """IPv6 subnets: addresses, routes, names; the lab's own side; out by user networking."""
    if not has_mini():
        return "skipped: needs the image `mini`: netlab image build mini"
    if MODE == "user" and not FULL:
        return "skipped: with NETLAB_TEST_FULL"
    # The network's own /64 is a hash of its name and the lab's: what it is says a dry run.
    lab = Lab(SIX.replace("{host6}", "fd00::1/64").replace("{prefix}", "fd00"), emulator=None)
    failed = lab.netlab("up", "--dry-run", rc=None)
    prefix = re.search(r"does not fit the subnet (fd[0-9a-f:]+)::/64", failed.stderr).group(1)
    text = SIX.replace("{prefix}", prefix).replace("{host6}", prefix + "::ff").format(name="lab")
    lab.write(text)
    lab.netlab("status", rc=4)
    before = lab.dump()
    lab.netlab("up", timeout=180)
    nics = {node["name"]: {nic["network"]: nic for nic in node["nics"]} for node in lab.status()["nodes"]}
    check(nics["h1"]["lan"]["address6"] == "fd00:1::80/64" and nics["r1"]["lan"]["address6"] == "fd00:1::1/64", "the number of the IPv4 address")
    check(nics["web"]["dmz"]["address6"] == f"{prefix}::2/64" and "address" not in nics["web"]["dmz"], f"{nics['web']}")
    check(f"fd00:1::80/64" in lab.netlab("status").stdout, "status")
    check("1 packets received" in run(lab, "h1", f"ping -6 -c 1 -W 5 {prefix}::2").stdout, run(lab, "h1", f"ping -6 -c 1 {prefix}::2; ip -6 route; ip -6 addr").text)
    check("1 packets received" in run(lab, "web", "ping -6 -c 1 -W 5 fd00:1::80").stdout, run(lab, "web", "ip -6 route; ip -6 addr").text)
    check("1 packets received" in run(lab, "h1", "ping -6 -c 1 -W 5 fd00:2::1 && ip -6 addr").stdout, run(lab, "h1", "ip -6 addr").text)
    ping = subprocess.run([*enter(lab), "ping", "-6", "-c", "1", "-W", "10", f"{prefix}::2"], capture_output=True, text=True)
    check(ping.returncode == 0, f"from the lab's own side: {ping}")
    check(ask(lab, "h1", "AAAA") == "fd00:1::80" and ask(lab, "web", "AAAA") == f"{prefix}::2", f"{ask(lab, 'web', 'AAAA')}")
    check(ask(lab, "h1", "AAAA", "fd00:1::fe") == "fd00:1::80", "by IPv6")
    server = SixServer(("::1", 0), Six)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = run(lab, "out", f"wget -q -O - http://[fd00:77::1]:{server.server_port}/")
    check(found.stdout == "::1", found.text + run(lab, "out", "ip -6 addr; ip -6 route").text)
    server.shutdown()
    server.server_close()
    check("nothing to do" in lab.netlab("up").stdout, "up as it is")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    for text, says in (
            ("a: {subnet6: fd00:1::1/64}", "is not an IPv6 network"),
            ("a: {subnet6: fe80::/64}", "cannot be the IPv6 subnet"),
            ("a: {subnet6: fd00::/64, mtu: 1000}", "IPv6 needs an MTU of 1280"),
            ("a: {uplink: user, subnet6: fd00::/80}", "needs a /64"),
            ("a: {uplink: up0, subnet6: fd00::/64, host6: fd00::1}", "\"host6\" is not for a network that is bridged"),
            ("a: {subnet: fd00::/64}", "an IPv4 one belongs here"),
    ):
        network_refused(lab, text, says)
    for node, says in (
            ("{networks: {a: 'fd00:2::1'}}", "does not fit the subnet"),
            ("{networks: {a: {address6: 'fd00:1::'}}}", "is not an address that a NIC can be given"),
            ("{networks: {a: 'fd00:1::5', b: {address6: 'fd00:1::6'}}}", "needs a prefix length"),
            ("{networks: [a], routes: {default: 'fd00:9::1'}}", "has no IPv6 address from which to reach"),
            ("{networks: {a: 'fd00:1::5'}, routes: {default: 'fd00:1::5'}}", "itself; name the neighbour"),
            ("{networks: {a: 'fd00:1::5', c: 'fd00:1::5/32'}}", "overlap"),
    ):
        lab.write(f"networks: {{a: {{subnet6: 'fd00:1::/64'}}, b: , c: }}\nnodes: {{h: {node}}}\ndefaults: {{kernel: kernel}}\n")
        failed = lab.netlab("up", "--dry-run", rc=None)
        check(failed.returncode != 0 and says in failed.stderr and "topology.yml:2:" in failed.stderr, f"{node}: {failed.text}")
    lab.write("networks: {a: {subnet6: 'fd00:1::/64'}}\nnodes: {h: {networks: {a: 'fd00:1::5'}}, i: {networks: {a: 'fd00:1::5'}}}\ndefaults: {kernel: kernel}\n")
    check("fd00:1::5 is already the address of node \"h\"" in lab.netlab("up", "--dry-run", rc=None).stderr, "twice")
    lab.remove()
    return ""


NAT_SIX = """\
name: {name}
defaults: {{image: mini}}
networks:
  internet: {{uplink: nat, subnet: 10.77.0.0/24, subnet6: auto, dhcp: true}}
nodes:
  web: {{networks: [internet]}}
  pc: {{networks: {{internet: dhcp}}}}
"""


def switches():
    found = {}
    for name in sorted(os.listdir("/proc/sys/net/ipv6/conf")):
        for key in ("forwarding", "accept_ra", "force_forwarding"):
            found[name, key] = read(f"/proc/sys/net/ipv6/conf/{name}/{key}").strip()
    return found


def nat_six():
    """Out by the kernel with a unique local subnet, as IPv6 of the host; with the switch of each link and with that for all."""
    if MODE == "user" or not has_mini():
        return "skipped: needs root and the image `mini`"
    outside = Outside()
    server = None
    try:
        outside.ip("addr add 2001:db8::1/64 dev up0 nodad")
        outside.enter("ip", "addr", "add", "2001:db8::9/64", "dev", "out0", "nodad")
        outside.ip("-6 route add default via 2001:db8::9 dev up0")
        outside.ip("link add on0 type bridge")
        outside.ip("link add ra0 type bridge")
        with open("/proc/sys/net/ipv6/conf/on0/forwarding", "w") as file:
            file.write("1")
        code = ("import http.server, socket\nclass S(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6\n"
                "class H(http.server.BaseHTTPRequestHandler):\n def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode())\n"
                " def log_message(self, *what): pass\nS(('2001:db8::9', 8006), H).serve_forever()\n")
        server = subprocess.Popen(["nsenter", "-t", str(outside.holder.pid), "-n", sys.executable, "-c", code])
        lab = Lab(NAT_SIX, emulator=None)
        lab.netlab("status", rc=4)
        before, were = lab.dump(), switches()
        for env in ({"NETLAB_FORWARD_ALL": "1"}, {}) if FULL else ({},):
            lab.netlab("up", env=env, timeout=180)
            for node, four in (("web", "10.77.0.2"), ("pc", "10.77.0.128")):
                got = ""
                for _ in range(50):
                    got = run(lab, node, "wget -q -O - http://[2001:db8::9]:8006/").stdout
                    if got:
                        break
                check(got == "2001:db8::1", f"{env} {node}: {got} {run(lab, node, 'ip -6 addr; ip -6 route').text}{switches()}")
                check(four in run(lab, node, "ip addr").stdout and "via 10.77.0.1" in run(lab, node, "ip route").stdout, f"{node}: IPv4")
            now = switches()
            if env:
                check(now["all", "forwarding"] == "1" and now["ra0", "accept_ra"] == "2" and now["on0", "accept_ra"] == were["on0", "accept_ra"], f"{now}")
                second = Lab(NAT_SIX.replace("10.77", "10.78"), name="second", base=lab.base, emulator=None)
                second.netlab("up", env=env, timeout=180)
                lab.netlab("down")
                check(switches()["all", "forwarding"] == "1" and switches()["ra0", "accept_ra"] == "2", "the second lab still needs it")
                check(run(second, "web", "wget -q -O - http://[2001:db8::9]:8006/").stdout == "2001:db8::1", "the second lab goes on")
                second.netlab("down")
                shutil.rmtree(second.folder)
            elif now["all", "force_forwarding"]:
                check(now["all", "forwarding"] == "0" and now["up0", "force_forwarding"] == "1" and now["ra0", "force_forwarding"] == "0", f"{now}")
            check("nothing to do" in lab.netlab("up").stdout if not env else True, "up as it is")
            if not env:
                lab.netlab("down")
            check(switches() == were, f"{env}: { {key: (were.get(key), value) for key, value in switches().items() if were.get(key) != value} }")
            lab.check_clean(before, "after down")
        lab.remove()
        outside.ip("link del on0")
        outside.ip("link del ra0")
    finally:
        if server:
            server.kill()
            server.wait()
        outside.close()
    return ""


if __name__ == "__main__":
    main(lines, dhcp, dhcp_crashes, dhcp_refused, six, nat_six)
