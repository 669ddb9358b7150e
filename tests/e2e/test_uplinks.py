# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Ways out of a lab, with real machines: user networking (with and without privilege), port forwards, DHCP, names."""
import fnmatch
import http.server
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request

from harness import BIN, FAKE, MODE, Lab, check, main, processes, wait_until

USER = """\
name: {name}
defaults: {{image: mini}}
networks:
  internet: {{uplink: user, forward: [tcp 18080 -> web:80, udp 127.0.0.1:15353 -> web:53]}}
nodes:
  web:
    networks: [internet]
    run: [mkdir -p /srv && echo Welcome > /srv/index.html && httpd -h /srv]
  guest: {{networks: {{internet: dhcp}}}}
"""


class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from the host\n")

    def log_message(self, *what):
        pass


def serve(address, port=0):
    server = http.server.ThreadingHTTPServer((address, port), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def run(lab, node, command):
    return lab.netlab("exec", node, "--", "sh", "-c", command, rc=None, timeout=60)


def clean_lab(topology):
    lab = Lab(topology, emulator=None)
    lab.netlab("status", rc=4)
    return lab, lab.dump()


def user_networking():
    lab, before = clean_lab(USER)
    server = serve("127.0.0.1")
    before = lab.dump()
    lab.netlab("up", timeout=180)
    status = lab.status()
    nodes = {node["name"]: node for node in status["nodes"]}
    check(set(nodes) == {"@internet", "web", "guest"}, f"{nodes.keys()}")
    check(nodes["web"]["nics"][0]["address"] == "10.0.2.3/24", f"the gateway and the name server come first: {nodes['web']}")
    # Into the lab.
    wait_until("the forwarded port to answer", lambda: get("http://127.0.0.1:18080/") == "Welcome\n", 60)
    # Out of it: an address by DHCP, a route, a name server; the gateway's address is the host's loopback.
    seen = run(lab, "guest", "ip -4 addr show eth0; ip route; cat /etc/resolv.conf").stdout
    check("inet 10.0.2.128/24" in seen and "default via 10.0.2.1" in seen and "nameserver 10.0.2.2" in seen, seen)
    for node in ("guest", "web"):
        found = run(lab, node, f"wget -q -O - http://10.0.2.1:{server.server_port}/")
        check(found.stdout == "from the host\n", f"{node}: {found.text}")
    check("nameserver 10.0.2.2" in run(lab, "web", "cat /etc/resolv.conf").stdout, "web's name server")
    # The lab still has a namespace of its own; only the gateway is outside, and it has no privilege.
    gateway = nodes["@internet"]["pid"]
    check(os.stat(f"/proc/{gateway}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino, "the gateway is the host's")
    with open(f"/proc/{gateway}/status") as file:
        check("CapEff:\t0000000000000000" in file.read(), "the gateway has privileges")
    # When it dies it comes back, and with it the network.
    os.kill(gateway, signal.SIGKILL)
    wait_until("another gateway", lambda: lab.node("@internet")["pid"] not in (0, None, gateway), 30)
    wait_until("the forwarded port again", lambda: get("http://127.0.0.1:18080/") == "Welcome\n", 60)
    lab.netlab("up")  # as it is
    check("nothing to do" in lab.netlab("up").stdout, "a second up does something")
    # A changed forward changes the gateway alone.
    pids = lab.pids()[1]
    lab.write(USER.format(name=lab.name).replace("18080", "18081"))
    lab.netlab("up", timeout=120)
    wait_until("the new port to answer", lambda: get("http://127.0.0.1:18081/") == "Welcome\n", 60)
    check(get("http://127.0.0.1:18080/") == "", "the old one does not")
    after = lab.pids()[1]
    check(after["web"] == pids["web"] and after["guest"] == pids["guest"] and after["@internet"] != pids["@internet"], f"{pids} {after}")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    server.shutdown()
    server.server_close()
    lab.remove()


def killed_supervisor():
    """Gateway and machines go on without their supervisor; `up` takes them over, `down` takes them away."""
    lab, before = clean_lab(USER.replace("  guest: {{networks: {{internet: dhcp}}}}\n", ""))
    lab.netlab("up", timeout=180)
    wait_until("the forwarded port to answer", lambda: get("http://127.0.0.1:18080/") == "Welcome\n", 60)
    supervisor, pids = lab.pids()
    os.kill(supervisor, signal.SIGKILL)
    wait_until("the supervisor to be gone", lambda: not lab.status()["supervisor"], 20)
    check(get("http://127.0.0.1:18080/") == "Welcome\n", "the port still answers")
    lab.netlab("up", timeout=120)
    check(lab.pids()[1] == pids, "the machines are the same")
    os.kill(pids["@internet"], signal.SIGKILL)
    wait_until("another gateway", lambda: lab.node("@internet")["pid"] not in (0, None, pids["@internet"]), 30)
    supervisor = lab.pids()[0]
    os.kill(supervisor, signal.SIGKILL)
    lab.netlab("down")
    lab.check_clean(before, "after down without a supervisor")
    lab.remove()


def busy_port():
    lab, before = clean_lab(USER)
    server = serve("127.0.0.1", 18080)
    before = lab.dump()
    failed = lab.netlab("up", rc=None, timeout=180)
    check(failed.returncode != 0 and "18080" in failed.stderr, failed.text)
    lab.check_clean(before, "after a failed up")
    server.shutdown()
    server.server_close()
    lab.remove()


NAT = """\
name: {name}
defaults: {{image: mini}}
networks:
  internet: {{uplink: nat, subnet: 10.77.0.0/24, dns: 192.0.2.9, forward: [tcp 18080 -> web:80]}}
nodes:
  web:
    networks: [internet]
    run: [mkdir -p /srv && echo Welcome > /srv/index.html && httpd -h /srv]
"""

OUTSIDE = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode())
    def log_message(self, *what): pass
http.server.ThreadingHTTPServer(("192.0.2.9", 8000), Handler).serve_forever()
"""


class Outside:
    """A neighbour of this host: a namespace with 192.0.2.9, its default gateway, and a web server that says who asks."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="netlab-outside.")
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
        wait_until("the namespace", lambda: os.stat(f"/proc/{self.holder.pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino)
        self.ip(f"link add up0 type veth peer name out0 netns {self.holder.pid}")
        self.ip("link set up0 addrgenmode none")  # an address that the kernel finishes later would be a difference
        self.ip("addr add 192.0.2.1/24 dev up0")
        self.ip("link set up0 up")
        self.enter("ip", "link", "set", "lo", "up")
        self.enter("ip", "addr", "add", "192.0.2.9/24", "dev", "out0")
        self.enter("ip", "link", "set", "out0", "up")
        self.ip("route add default via 192.0.2.9")
        self.server = subprocess.Popen(["nsenter", "-t", str(self.holder.pid), "-n", sys.executable, "-c", OUTSIDE])
        wait_until("the outside's server", lambda: get("http://192.0.2.9:8000/") == "192.0.2.1", 30)

    def ip(self, words):
        subprocess.run(["ip", *words.split()], check=True)

    def enter(self, *command, **more):
        return subprocess.run(["nsenter", "-t", str(self.holder.pid), "-n", *command], check=True, **more)

    def get(self, url):
        return subprocess.run(["nsenter", "-t", str(self.holder.pid), "-n", sys.executable, "-c",
                               f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=5).read().decode(), end='')"],
                              capture_output=True, text=True).stdout

    def close(self):
        self.ip("link del up0")
        shutil.rmtree(self.folder)
        for process in (self.server, self.holder):
            process.kill()
            process.wait()


def forwarding(link):
    with open(f"/proc/sys/net/ipv4/conf/{link}/forwarding") as file:
        return file.read().strip()


def nat():
    if MODE == "user":
        lab = Lab(NAT, emulator=None)
        failed = lab.netlab("up", rc=None)
        check(failed.returncode != 0 and "CAP_NET_ADMIN" in failed.stderr and "uplink: user" in failed.stderr, failed.text)
        lab.remove()
        return
    outside = Outside()
    try:
        lab, before = clean_lab(NAT)
        lab.netlab("up", timeout=180)
        # Out of it the host speaks; into it by the forward, from outside and from here.
        found = run(lab, "web", "wget -q -O - http://192.0.2.9:8000/")
        check(found.stdout == "192.0.2.1", found.text)
        check("nameserver 192.0.2.9" in run(lab, "web", "cat /etc/resolv.conf").stdout, "the name server")
        wait_until("the forward, from outside", lambda: outside.get("http://192.0.2.1:18080/") == "Welcome\n", 60)
        check(get("http://192.0.2.1:18080/") == "Welcome\n", "the forward, from the host")
        check(forwarding("up0") == "1", "the uplink forwards")
        with open("/proc/sys/net/ipv4/ip_forward") as file:
            check(file.read() == "0\n", "the host as a whole does not")
        check("nothing to do" in lab.netlab("up").stdout, "a second up does something")
        # Two labs share the uplink's switch: the last one turns it off.
        second = Lab(NAT.replace("10.77", "10.78").replace("18080", "18081"), name="second", base=lab.base, emulator=None)
        second.netlab("up", timeout=180)
        lab.netlab("down")
        check(forwarding("up0") == "1", "the second lab still needs it")
        check(run(second, "web", "wget -q -O - http://192.0.2.9:8000/").stdout == "192.0.2.1", "the second lab goes on")
        second.netlab("down")
        check(forwarding("up0") == "0", "nobody needs it")
        shutil.rmtree(second.folder)
        lab.check_clean(before, "after down")
        # Whoever dies: down takes it all away.
        lab.netlab("up", timeout=180)
        supervisor, pids = lab.pids()
        for pid in (supervisor, *pids.values()):
            os.kill(pid, signal.SIGKILL)
        lab.netlab("down")
        lab.check_clean(before, "after everything was killed")
        # With the store lost as well, marks are enough.
        lab.netlab("up", timeout=180)
        for name in os.listdir(os.path.join(lab.base, "state")):
            if name.startswith("netlab.db"):
                os.unlink(os.path.join(lab.base, "state", name))
        repaired = lab.netlab("repair")
        check("nftables table" in repaired.stdout, repaired.text)
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        links = subprocess.run(["ip", "link"], capture_output=True, text=True).stdout
        check("inet nl" not in tables and "nlv" not in links, f"{tables} {links}")
        lab.remove()
    finally:
        outside.close()


NIC = """\
name: {name}
defaults: {{image: mini}}
networks:
  campus: {{uplink: up0, subnet: 192.0.2.0/24}}
nodes:
  h: {{networks: {{campus: 192.0.2.50}}, run: [mkdir -p /srv && echo Welcome > /srv/index.html && httpd -h /srv]}}
"""


def ip_text(words):
    return subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=True).stdout


def nic():
    """The recipe's br0: the host's NIC is bridged with the lab, and comes back with everything it had."""
    if MODE == "user":
        lab = Lab(NIC, emulator=None)
        failed = lab.netlab("up", rc=None)
        check(failed.returncode != 0 and "CAP_NET_ADMIN" in failed.stderr and "uplink: user" in failed.stderr, failed.text)
        lab.remove()
        return
    outside = Outside()
    try:
        outside.ip("addr add 198.51.100.7/32 dev up0")
        outside.ip("route add 10.99.0.0/16 via 192.0.2.9 metric 50")
        lab, before = clean_lab(NIC)
        lab.netlab("up", timeout=180)
        # The host is where it was, by the bridge; the node is its neighbour.
        check(get("http://192.0.2.9:8000/") == "192.0.2.1", "the host goes on")
        check("192.0.2.1/24" not in ip_text("addr show up0") and "10.99.0.0/16 via 192.0.2.9 dev nlu" in ip_text("route"), "moved")
        check(run(lab, "h", "wget -q -O - http://192.0.2.9:8000/").stdout == "192.0.2.50", "the node gets out")
        wait_until("the node from outside", lambda: outside.get("http://192.0.2.50/") == "Welcome\n", 60)
        check(get("http://192.0.2.50/") == "Welcome\n", "the node from the host")
        check("nothing to do" in lab.netlab("up").stdout, "a second up does something")
        down = lab.netlab("down")
        check("is not put" not in down.text, down.text)
        lab.check_clean(before, "after down")
        check(get("http://192.0.2.9:8000/") == "192.0.2.1", "the host still goes on")
        # What others add to the bridge is told.
        lab.netlab("up", timeout=180)
        bridge = next(word for word in ip_text("-br link").split() if word.startswith("nlu"))
        outside.ip(f"addr add 203.0.113.5/24 dev {bridge}")
        down = lab.netlab("down")
        check("203.0.113.5/24 was given to the bridge" in down.text, down.text)
        lab.check_clean(before, "after down")
        # Everything dies at once; with the store lost as well.
        lab.netlab("up", timeout=180)
        supervisor, pids = lab.pids()
        for pid in (supervisor, *pids.values()):
            os.kill(pid, signal.SIGKILL)
        lab.netlab("down")
        lab.check_clean(before, "after everything was killed")
        lab.netlab("up", timeout=180)
        for name in os.listdir(os.path.join(lab.base, "state")):
            if name.startswith("netlab.db"):
                os.unlink(os.path.join(lab.base, "state", name))
        repaired = lab.netlab("repair")
        check("give up0 its addresses and routes back" in repaired.stdout, repaired.text)
        wait_until("the lab to be gone", lambda: sorted(processes().values()) == before["processes"], 20)
        text = ip_text("addr show up0") + ip_text("route") + ip_text("link")
        check("192.0.2.1/24" in text and "198.51.100.7/32" in text and "default via 192.0.2.9 dev up0" in text and
              "10.99.0.0/16 via 192.0.2.9 dev up0 metric 50" in text and "netlab:" not in text, text)
        # Into a bridge that is there already.
        outside.ip("link add br9 type bridge")
        outside.ip("link set up0 master br9")
        outside.ip("link set br9 addrgenmode none up")
        lab.write(NIC.format(name=lab.name).replace("up0", "br9"))
        lab.netlab("up", timeout=180)
        wait_until("the node from outside, by the host's own bridge", lambda: outside.get("http://192.0.2.50/") == "Welcome\n", 60)
        lab.netlab("down")
        check("master br9" in ip_text("link show up0") and "netlab:" not in ip_text("link"), "the host's bridge is as it was")
        outside.ip("link del br9")
        for link, says in (("nothing0", "no such"), ("lo", "it is the loopback")):
            lab.write(NIC.format(name=lab.name).replace("up0", link))
            failed = lab.netlab("up", rc=None)
            check(failed.returncode != 0 and says in failed.stderr, failed.text)
        lab.check_clean(before, "after refusals")
        lab.remove()
    finally:
        outside.close()


def watchdog():
    """No gateway answers: everything goes back, whoever is still alive."""
    if MODE == "user":
        return
    outside = Outside()
    try:
        outside.ip("route replace default via 192.0.2.77")  # nobody
        lab, before = clean_lab(NIC)
        failed = lab.netlab("up", rc=None, env={"NETLAB_UPLINK_TIMEOUT": "1"}, timeout=120)
        check(failed.returncode != 0 and "no gateway answers" in failed.stderr, failed.text)
        lab.check_clean(before, "after an up without a gateway")
        # Who bridges is killed while it waits for the gateway; the watchdog puts the NIC back, then `down` the rest.
        up = lab.start("up", env={"NETLAB_UPLINK_TIMEOUT": "600"})
        wait_until("the bridge to have the address", lambda: "192.0.2.1/24" not in ip_text("addr show up0"), 60)
        for pid, command in processes().items():
            if " supervise " in command or command.split()[1:2] == ["up"]:
                os.kill(pid, signal.SIGKILL)
        up.wait()
        wait_until("the watchdog to put it back", lambda: "192.0.2.1/24" in ip_text("addr show up0") and "nlu" not in ip_text("link"), 60)
        lab.netlab("down")
        lab.check_clean(before, "after the watchdog")
        # All of them are killed: `down` goes by the journal.
        up = lab.start("up", env={"NETLAB_UPLINK_TIMEOUT": "600"})
        wait_until("the bridge to have the address", lambda: "192.0.2.1/24" not in ip_text("addr show up0"), 60)
        for wanted in (" watchdog ", " supervise ", " up"):
            for pid, command in processes().items():
                if wanted in f"{command} " and BIN in f"/{command}".replace("netlab ", BIN + " ", 1):
                    os.kill(pid, signal.SIGKILL)
        up.wait()
        lab.netlab("down")
        lab.check_clean(before, "after all were killed")
        lab.remove()
    finally:
        outside.close()


def confirm():
    """`up --confirm`: ENTER keeps the bridged NIC; another word, silence, Ctrl-C and a lost session do not."""
    if MODE == "user":
        return
    outside = Outside()
    try:
        lab, before = clean_lab(NIC.replace("image: mini", "kernel: kernel, ready: agent"))
        lab.env["NETLAB_EMU"] = FAKE
        failed = lab.netlab("up", "--confirm", rc=2)
        check("asks on the terminal" in failed.stderr, failed.text)
        for answer, status in ((b"\n", 0), (b"no\n", 1), (None, 1), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
            main_end, child_end = pty.openpty()
            process = subprocess.Popen([BIN, "up", "--confirm"], stdin=child_end, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       env=dict(lab.env, NETLAB_UPLINK_TIMEOUT="3" if answer is None else "60"), cwd=lab.folder)
            said = process.stdout.readline()
            while b"ENTER" not in said and said:
                said = process.stdout.readline()
            check(b"up0 is bridged. Press ENTER within" in said, f"{answer}: {said}")
            check("master nlu" in ip_text("link show up0"), "it is bridged")
            if isinstance(answer, bytes):
                os.write(main_end, answer)
            elif answer:
                process.send_signal(answer)
            said = process.communicate(timeout=60)[0].decode()
            check(process.returncode == status, f"{answer}: {process.returncode}: {said}")
            word = {b"no\n": "not kept; up0 is as it was", None: "nobody has confirmed it in time; up0 is as it was", signal.SIGINT: "interrupted"}
            check(word.get(answer, "") in said, f"{answer}: {said}")
            if status == 0:
                check("master nlu" in ip_text("link show up0"), "it is kept")
                lab.check_running("h")
                lab.netlab("down")
            os.close(main_end)
            os.close(child_end)
            lab.check_clean(before, f"confirm answered by {answer}")
        lab.remove()
    finally:
        outside.close()


class Timeless(Lab):
    """Compares without how long addresses still have."""

    def dump(self):
        dump = super().dump()
        return dict(dump, network=re.sub(r"valid_lft \d+sec preferred_lft \d+sec", "", dump["network"]))


def lease():
    """The NIC's address came by DHCP: it is renewed on the bridge for as long as the lab is up; when the server says no,
    there is another one; what there is in the end goes back to the NIC."""
    if MODE == "user":
        return
    outside = Outside()
    server, served = None, os.path.join(outside.folder, "server.log")

    def serve(first, last):
        nonlocal server
        if server:
            server.kill()
            server.wait()
        open(served, "w").close()
        server = subprocess.Popen(["nsenter", "-t", str(outside.holder.pid), "-n", "dnsmasq", "--no-daemon", "--conf-file=/dev/null",
                                   "--pid-file=", "--port=0", "--no-ping", "--log-facility=-", "--log-dhcp", "--dhcp-authoritative",
                                   "--bind-interfaces", "--interface=out0", "--except-interface=lo", f"--dhcp-leasefile={outside.folder}/leases",
                                   f"--dhcp-range=192.0.2.{first},192.0.2.{last},255.255.255.0,120", "--dhcp-option=option:T1,3s",
                                   "--dhcp-option=option:router,192.0.2.9"], stdout=open(served, "w"), stderr=subprocess.STDOUT)
        wait_until("dnsmasq", lambda: "DHCP, IP range" in open(served).read(), 60)

    def left(link, address):
        found = re.search(rf"inet {re.escape(address)}/24 .*\n *valid_lft (\d+)sec", ip_text(f"addr show {link}"))
        return int(found.group(1)) if found else 0

    def log():
        with open(os.path.join(lab.base, "run", "lab", "@campus", "machine.log")) as file:
            return file.read()

    try:
        serve(60, 69)
        outside.ip("addr flush dev up0")
        outside.ip("addr add 192.0.2.60/24 dev up0 metric 1024 valid_lft 20 preferred_lft 20")
        outside.ip("route add default via 192.0.2.9")
        lab = Timeless(NIC.replace("image: mini", "kernel: kernel, ready: agent"))
        lab.netlab("status", rc=4)
        before = lab.dump()
        lab.netlab("up")
        lab.check_running("@campus", "h")
        bridge = next(word for word in ip_text("-br link").split() if word.startswith("nlu"))
        helper = lab.node("@campus")
        with open(f"/proc/{helper['pid']}/status") as file:
            text = file.read()
        check("CapEff:\t0000000000003400" in text and "NoNewPrivs:\t1" in text and not text.split("\nUid:\t")[1].startswith("0"), text)
        wait_until("the lease to be renewed", lambda: left(bridge, "192.0.2.60") > 60, 30)
        wait_until("and again", lambda: log().count("keeps 192.0.2.60") >= 2, 60)
        check("01:00:00:00:00:00:00" not in open(f"{outside.folder}/leases").read(), "the lease is under an identifier of zeros")
        check("192.0.2.60/24 metric 1024" in ip_text(f"addr show {bridge}"), "the renewal has changed the metric of the address's route")
        check("nothing to do" in lab.netlab("up").stdout, "a second up does something")
        # It is killed, with the supervisor: `up` starts it again, and it goes on.
        supervisor = lab.pids()[0]
        os.kill(supervisor, signal.SIGKILL)
        os.kill(helper["pid"], signal.SIGKILL)
        lab.netlab("up")
        check(lab.node("@campus")["pid"] not in (0, None, helper["pid"]), "another one")
        wait_until("it goes on", lambda: "keeps 192.0.2.60" in log(), 60)
        lab.netlab("down")
        check(left("up0", "192.0.2.60") > 60, ip_text("addr show up0"))
        lab.check_clean(before, "after down")
        # The server has forgotten it and gives others out: refused, another address, which the NIC has in the end.
        lab.netlab("up")
        wait_until("the lease to be renewed", lambda: "keeps 192.0.2.60" in log(), 30)
        os.unlink(f"{outside.folder}/leases")
        serve(80, 89)
        wait_until("another lease", lambda: "has 192.0.2.8" in log(), 60)
        fresh = re.search(r"has (192\.0\.2\.8\d)", log()).group(1)
        check(left(bridge, fresh) > 60 and "192.0.2.60" not in ip_text(f"addr show {bridge}"), ip_text(f"addr show {bridge}"))
        check(get("http://192.0.2.9:8000/") == fresh, "the host goes on")
        down = lab.netlab("down").text
        check(f"up0 has {fresh}/24, the lease that it was given" in down and "somebody else" not in down, down)
        check(left("up0", fresh) > 60 and "default via 192.0.2.9 dev up0" in ip_text("route"), ip_text("route"))
        check(get("http://192.0.2.9:8000/") == fresh, "the host still goes on")
        if not os.environ.get("NETLAB_TEST_FULL"):
            lab.remove()
            return
        # Nobody answers: it ends when it ends, and a new one comes with the server.
        server.kill()
        server.wait()
        server = None
        outside.ip("addr flush dev up0")
        outside.ip("addr add 192.0.2.60/24 dev up0 valid_lft 5 preferred_lft 5")
        outside.ip("route add default via 192.0.2.9")
        lab.netlab("up")
        bridge = next(word for word in ip_text("-br link").split() if word.startswith("nlu"))
        wait_until("the lease to end", lambda: not left(bridge, "192.0.2.60"), 30)
        serve(60, 69)
        wait_until("a new lease", lambda: left(bridge, "192.0.2.60") > 60 or "has 192.0.2." in log(), 120)
        lab.netlab("down")
        check(re.search(r"inet 192.0.2.6\d/24", ip_text("addr show up0")), ip_text("addr show up0"))
        # An address for ever needs nobody.
        outside.ip("addr flush dev up0")
        outside.ip("addr add 192.0.2.1/24 dev up0")
        outside.ip("route replace default via 192.0.2.9")
        lab.netlab("up")
        lab.check_running("h")
        lab.netlab("down")
        lab.remove()
    finally:
        if server:
            server.kill()
            server.wait()
        outside.close()


def managers():
    """NetworkManager and systemd-networkd, as stand-ins: told of the lab's links on this host before the first is there, and
    that it is over after the last; also after a crash, and with the store lost."""
    if MODE == "user":
        return
    outside = Outside()
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    try:
        lab = Lab(NAT.replace("image: mini", "kernel: kernel, ready: agent"))
        tools, log, running = (os.path.join(lab.base, name) for name in ("tools", "asked", "running"))
        os.mkdir(tools)
        look = "$(ls /run/NetworkManager/conf.d /run/systemd/network 2>/dev/null | grep -c netlab) $(ip link | grep -c nl[bv])"
        for name, text in (("systemctl", f'exec grep -qx "$3" {running}\n'), ("nmcli", f'echo "nmcli $*" {look} >> {log}\n'),
                           ("networkctl", f'echo "networkctl $*" {look} >> {log}\n')):
            with open(os.path.join(tools, name), "w") as file:
                file.write("#!/bin/sh\n" + text)
            os.chmod(file.name, 0o755)
        lab.env["PATH"] = f"{tools}:{os.environ['PATH']}"
        with open(running, "w") as file:
            file.write("NetworkManager\nsystemd-networkd\n")
        os.makedirs("/run/systemd/network")
        os.makedirs("/run/NetworkManager")
        with open("/run/systemd/network/00-netlab-mine.network", "w") as file:
            file.write("[Match]\nName=nlb*\n")  # somebody else's
        open(log, "w").close()
        lab.netlab("status", rc=4)

        def dump():
            return dict(lab.dump(), files=[f for f in lab.dump()["files"] if f != "asked"],
                        run=sorted(os.path.join(folder, name) for folder, folders, names in os.walk("/run") for name in folders + names))

        def asked():
            with open(log) as file:
                lines = file.read().splitlines()
            open(log, "w").close()
            return lines

        before = dump()
        lab.netlab("up")
        asked()
        written = {}
        for folder in ("/run/NetworkManager/conf.d", "/run/systemd/network"):
            for name in os.listdir(folder):
                with open(os.path.join(folder, name)) as file:
                    written[name] = file.read()
        nm = next(text for name, text in written.items() if name.endswith(".conf"))
        nd = next(text for name, text in written.items() if name.startswith("00-netlab-nlm") and name.endswith(".network"))
        check("match-device=interface-name:nlb??????????,interface-name:nlt??????????" in nm and "managed=0" in nm, nm)
        check("Name=nlb?????????? nlt??????????" in nd and "Unmanaged=yes" in nd, nd)
        names = re.findall(r"(nl[a-z2-7]+)[@:]", ip_text("link"))
        check(names and all(any(fnmatch.fnmatch(name, p) for p in nd.split("Name=")[1].splitlines()[0].split()) for name in names), f"{names}")
        check("nothing to do" in lab.netlab("up").stdout, "a second up does something")
        lab.netlab("down")
        check(len(asked()) == 2, "told when it is over")
        check(dump() == before, f"after down: {before['run']} {dump()['run']}")
        # Told before the first link is there, and after the last one is gone.
        lab.netlab("up")
        first = asked()
        lab.netlab("down")
        last = asked()
        check(all(line.endswith(" 0") for line in first + last) and len(first) == len(last) == 2, f"{first} {last}")
        # Killed at points of the journal; everything killed; the store lost.
        for n in range(3, 60, 1 if os.environ.get("NETLAB_TEST_FULL") else 7):
            result = lab.netlab("up", rc=None, env={"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": "all"})
            lab.netlab("down", "--lab", lab.name, rc=None)
            wait_until("processes to end", lambda: sorted(processes().values()) == before["processes"])
            check(dump()["run"] == before["run"], f"killed at {n}: {dump()['run']}")
            if result.returncode == 0:
                break
        lab.netlab("up", "--here")
        for name in os.listdir(os.path.join(lab.base, "state")):
            if name.startswith("netlab.db"):
                os.unlink(os.path.join(lab.base, "state", name))
        done = lab.netlab("repair").stdout
        check("remove /run/NetworkManager/conf.d/00-netlab-" in done, done)
        check([path for path in dump()["run"] if "netlab-nlm" in path] == [], f"{dump()['run']}")
        # A NIC of the host in a lab: the name servers that NetworkManager wrote are to stay when the lease it knows of is over.
        resolver = os.path.join(lab.base, "resolver")
        for text, says in (("# Generated by NetworkManager\nsearch a.example b.example\nnameserver 192.0.2.9\nnameserver 2001:db8::53\n"
                            "nameserver fe80::1%up0\noptions edns0\n",
                            "[global-dns]\nsearches=a.example,b.example\n\n[global-dns-domain-*]\nservers=192.0.2.9,2001:db8::53\n"),
                           ("# Generated by NetworkManager\n\n", None), ("nameserver 127.0.0.53\n", None)):
            with open(resolver, "w") as file:
                file.write(text)
            subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
            try:
                with open(lab.file, "w") as file:
                    file.write(NIC.format(name="lab").replace("image: mini", "kernel: kernel, ready: agent"))
                lab.netlab("up")
                names = [name for name in os.listdir("/run/NetworkManager/conf.d") if "netlab" in name]
                check(len(names) == 1, f"{names}")
                with open(os.path.join("/run/NetworkManager/conf.d", names[0])) as file:
                    wrote = file.read()
                check("managed=0" in wrote and (says in wrote if says else "dns" not in wrote), wrote)
                check("nothing to do" in lab.netlab("up").stdout, "a second up does something")
                lab.netlab("down")
            finally:
                subprocess.run(["umount", "/etc/resolv.conf"], check=True)
        check([path for path in dump()["run"] if "netlab-nlm" in path] == [], f"{dump()['run']}")
        # A lab in a namespace of its own has nothing here.
        with open(lab.file, "w") as file:
            file.write("name: lab\ndefaults: {kernel: kernel, ready: agent}\nnodes: {h1: , h2: }\nlinks: [h1 - h2]\n")
        asked()
        lab.netlab("up")
        check(asked() == [], "asked for nothing")
        lab.netlab("down")
        lab.remove()
    finally:
        subprocess.run(["umount", "/run"], check=True)
        outside.close()


def mistakes():
    for text, says in (
            ("a: {uplink: user, forward: [tcp 80]}", "there is no \"->\""),
            ("a: {uplink: user, forward: [tcp x -> h:80]}", "the host's side must be a port"),
            ("a: {uplink: user, forward: [8080 -> 'h:0']}", "a node and a port from 1 to 65535"),
            ("a: {uplink: user, forward: [8080 -> nobody]}", "there is no node \"nobody\" to forward port 8080 to"),
            ("a: {uplink: user, forward: [8080 -> other]}", "it is not on network \"a\""),
            ("a: {uplink: user, forward: [8080 -> h, '*:8080 -> h']}", "TCP port 8080 is forwarded already"),
            ("a: {subnet: 10.9.0.0/24, forward: [8080 -> h]}", "has no gateway that could forward"),
            ("a: {uplink: user, subnet: 10.9.0.0/29}", "needs room for its gateway"),
            ("a: {uplink: a/b}", "is no uplink"),
            ("a: {uplink: nat, forward: [127.0.0.1:80 -> h]}", "of the loopback cannot be forwarded by the kernel"),
            ("a: {subnet: 10.9.0.0/24, dns: 10.9.0.1}", "\"dns\" goes with"),
    ):
        lab = Lab("name: {name}\n", emulator=None)
        lab.write(f"networks:\n  {text}\nnodes: {{h: {{networks: [a]}}, other: }}\n")
        failed = lab.netlab("up", "--dry-run", rc=None)
        check(failed.returncode != 0 and says in failed.stderr and "topology.yml:2:" in failed.stderr, f"{text}: {failed.text}")
        lab.remove()


if __name__ == "__main__":
    listed = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    if listed.returncode or "mini" not in {image["name"] for image in json.loads(listed.stdout)}:
        print("SKIP: needs the image `mini`: netlab image build mini")
        sys.exit(77)
    main(mistakes, nat, nic, watchdog, confirm, lease, managers, user_networking, killed_supervisor, busy_port)
