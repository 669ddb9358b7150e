# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Network back ends with real guests: what a guest can do behind -netdev user, and machines cabled by sockets, hubs and tunnels.

The host's side is this test's own network namespace: a web server, a name server, a TFTP folder. Guests are started from the image
`mini` and told what to do over their serial console. Needs that image; without it the test is skipped with the reason.
"""
import http.server
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from harness import BIN, check, main, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines

EMULATOR = os.path.join(os.path.dirname(BIN), "netlab-emu")
QEMU = shutil.which("qemu-system-i386")
BOOT_SECONDS, ANSWER_SECONDS = 300, 90
PAYLOAD = bytes(range(256)) * 4096  # 1 MiB
LEASE = r"""cat >/tmp/lease <<'X'
#!/bin/sh
[ "$1" = bound ] || exit 0
echo "$ip $mask $router $dns $domain $search $hostname $siaddr $boot_file" >/tmp/got
ip address add $ip/${mask} dev $interface
ip route add default via $router
echo "nameserver $dns" >/etc/resolv.conf
X
chmod +x /tmp/lease; ip link set eth0 up; udhcpc -i eth0 -n -q -t 10 -T 1 -x hostname -s /tmp/lease"""


class Guest:
    """A machine with its console on a socket and its human monitor on QMP."""
    count = 0

    def __init__(self, *options, program=EMULATOR, ready=True):
        Guest.count += 1
        self.folder = tempfile.mkdtemp(prefix="netlab-")
        self.buffer = b""
        serial, qmp = (os.path.join(self.folder, name) for name in ("serial", "qmp"))
        self.errors = open(os.path.join(self.folder, "errors"), "w+", encoding="utf-8")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(serial)
        listener.listen(1)
        listener.settimeout(ANSWER_SECONDS)
        self.process = subprocess.Popen([program, "-m", "96", "-kernel", IMAGE["kernel"], "-initrd", IMAGE["initrd"], "-append",
                                         "console=ttyS0,115200 quiet panic=1 net.ifnames=0", "-display", "none", "-no-reboot",
                                         "-serial", f"unix:{serial}", "-qmp", f"unix:{qmp},server=on,wait=off", *options],
                                        stderr=self.errors)
        self.console, _ = listener.accept()
        listener.close()
        if ready:
            self.expect(b"# ", BOOT_SECONDS)
            self.run("PS1=; PS2=; stty -echo")
            self.run("modprobe e1000 2>/dev/null; ip link set lo up")
        control = socket.socket(socket.AF_UNIX)
        control.settimeout(ANSWER_SECONDS)
        control.connect(qmp)
        self.control = Lines(control)
        self.control.readline()
        self.qmp("qmp_capabilities")

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()

    def qmp(self, command, **arguments):
        self.control.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.control.flush()
        while True:
            answer = json.loads(self.control.readline())
            if "return" in answer or "error" in answer:
                return answer.get("return", answer)

    def monitor(self, line):
        return self.qmp("human-monitor-command", **{"command-line": line})

    def warnings(self):
        self.errors.seek(0)
        return self.errors.read()

    def expect(self, text, seconds=ANSWER_SECONDS):
        deadline = time.monotonic() + seconds
        while text not in self.buffer:
            self.console.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                got = self.console.recv(65536)
            except TimeoutError:
                got = b""
            check(got, f"the guest did not say {text!r}: {self.buffer[-600:]!r} {self.warnings()}")
            self.buffer += got
        answer, self.buffer = self.buffer.split(text, 1)
        return answer

    def run(self, command, seconds=ANSWER_SECONDS):
        """Output of a command of the guest's shell, and whether it succeeded."""
        self.console.sendall(command.encode() + b'\necho E"N"D $?\n')
        try:
            answer = self.expect(b"END ", seconds)
        except Exception as failure:
            raise type(failure)(f"after {command!r}: {failure}") from None
        code = self.expect(b"\n", seconds)
        return answer.decode(errors="replace").replace("\r", ""), int(code.strip() or b"1") == 0

    def must(self, command, seconds=ANSWER_SECONDS):
        out, good = self.run(command, seconds)
        check(good, f"{command!r} failed in the guest: {out} {self.warnings()}")
        return out

    def address(self, text):
        self.must(f"ip link set eth0 up; ip address add {text} dev eth0")

    def pings(self, address, tries=20):
        self.must(f"i=0; until ping -c 1 -W 1 {address} >/dev/null; do i=$((i+1)); [ $i -lt {tries} ] || break; done; [ $i -lt {tries} ]")


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAYLOAD)))
        self.end_headers()
        self.wfile.write(PAYLOAD)

    def do_POST(self):
        got = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"same\n" if got == PAYLOAD else b"different\n")

    def log_message(self, *what):
        pass


def serve_names():
    """Answers every A question with 10.0.2.2 (the host, as the guest sees it)."""
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.53", 53))

    def loop():
        while True:
            question, peer = names.recvfrom(2000)
            end = question.index(b"\0", 12) + 5
            kind = struct.unpack(">H", question[end - 4:end - 2])[0]
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, kind == 1, 0, 0)
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([10, 0, 2, 2]) if kind == 1 else b""
            names.sendto(head + question[12:end] + answer, peer)
    threading.Thread(target=loop, daemon=True).start()


def host_services(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    conf = os.path.join(folder, "resolv.conf")
    with open(conf, "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.53\n")
    subprocess.run(["mount", "--bind", conf, os.path.realpath("/etc/resolv.conf")], check=True)
    serve_names()
    return server


def fetch(port, path="/", data=None):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode() if data is None else data)
        got = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                return got
            got += piece


def user_network():
    folder = tempfile.mkdtemp(prefix="netlab-")
    server = host_services(folder)
    with open(os.path.join(folder, "pxe.bin"), "wb") as file:
        file.write(PAYLOAD[:300001])
    with open("/proc/sys/net/ipv4/ping_group_range", "w", encoding="utf-8") as file:
        file.write("0 0")
    words = ("user,id=n0,hostname=kiste,domainname=lab.example,dnssearch=a.example,dnssearch=b.example,"
             f"tftp={folder},bootfile=pxe.bin,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp::8081-:81,"
             "guestfwd=tcp:10.0.2.100:7-cmd:cat,guestfwd=tcp:10.0.2.101:9-unix:" + folder + "/pipe")
    pipe = socket.socket(socket.AF_UNIX)
    pipe.bind(folder + "/pipe")
    pipe.listen(1)
    with Guest("-sandbox", "on", "-netdev", words, "-device", "e1000,netdev=n0") as g:  # which may start cat
        g.must(LEASE)
        got = g.must("cat /tmp/got").split()
        check(got[:4] == ["10.0.2.15", "24", "10.0.2.2", "10.0.2.3"], f"lease: {got}")
        check("lab.example" in got and "kiste" in got and "pxe.bin" in got, f"lease: {got}")
        g.qmp("set_link", name="n0", up=False)
        wait_until("the carrier to go", lambda: g.must("cat /sys/class/net/eth0/carrier").split()[0] == "0", 20)
        g.qmp("set_link", name="n0", up=True)
        wait_until("the carrier to come", lambda: g.must("cat /sys/class/net/eth0/carrier").split()[0] == "1", 20)
        g.pings("10.0.2.2")
        out = g.must("nslookup anything.example 10.0.2.3")
        check("10.0.2.2" in out, f"DNS: {out}")
        # TCP out, by name and by the host's address; large both ways
        g.must("wget -q -O /tmp/page http://host.example:8000/")
        check(g.must("wc -c </tmp/page; md5sum </tmp/page").split()[0] == str(len(PAYLOAD)), "length of the page")
        sums = g.must("md5sum </tmp/page").split()[0]
        want = subprocess.run(["md5sum"], input=PAYLOAD, capture_output=True, check=True).stdout.split()[0].decode()
        check(sums == want, "the page's sum")
        out = g.must(f"(printf 'POST / HTTP/1.0\\r\\nContent-Length: {len(PAYLOAD)}\\r\\n\\r\\n'; cat /tmp/page; sleep 2) | nc 10.0.2.2 8000")
        check("same" in out, f"a megabyte to the host: {out!r}")
        # TFTP
        g.must("cd /tmp; tftp -g -r pxe.bin 10.0.2.2; cd /")
        check(g.must("wc -c </tmp/pxe.bin").split()[0] == "300001", "TFTP")
        os.mkfifo(os.path.join(folder, "fifo"))
        for name in ("fifo", "./fifo"):
            out, good = g.run(f"tftp -g -r {name} -l /tmp/nothing 10.0.2.2 2>&1")
            check(not good and "Access violation" in out, f"TFTP of a named pipe: {out}")
        g.must("cd /tmp; tftp -g -r pxe.bin 10.0.2.2; cd /")
        # in: forwarded TCP and UDP ports
        g.must("(while :; do printf 'hello from inside\\n' | nc -l -p 80 >/dev/null; done) & sleep 0.5")
        wait_until("the forwarded port answers", lambda: b"hello from inside" in fetch(8080), 30)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def unanswered():  # datagrams that came to a port nobody listens to
            return int(g.must("grep ^Udp: /proc/net/snmp").split("Udp:")[2].split()[1])

        before = unanswered()
        udp.sendto(b"datagram\n", ("127.0.0.1", 8081))
        wait_until("a forwarded datagram", lambda: unanswered() == before + 1, 30)
        # guestfwd: to a command, to a character port
        check("echoed" in g.must("(echo echoed; sleep 1) | nc 10.0.2.100 7"), "guestfwd to a command")
        pipe.settimeout(20)
        peer, _ = pipe.accept()
        g.must("(echo out of the guest; sleep 3) | nc 10.0.2.101 9 >/tmp/in & sleep 1")
        peer.settimeout(20)
        check(b"out of the guest" in peer.recv(1000), "guestfwd to a character port, out")
        peer.sendall(b"into the guest\n")
        wait_until("guestfwd to a character port, in", lambda: "into the guest" in g.run("cat /tmp/in")[0], 20)
        # ping the host's name server address, and beyond
        g.pings("10.0.2.2")
        g.pings("127.0.0.1")
        # changed while it runs
        check(g.monitor("hostfwd_add tcp::8090-:80") == "", "hostfwd_add")
        wait_until("the new port answers", lambda: b"hello from inside" in fetch(8090), 30)
        check("is in use" in g.monitor("hostfwd_add n0 tcp::8000-:80"), "a port that is taken")
        check("neither tcp nor udp" in g.monitor("hostfwd_add tpc::1-:1"), "a bad rule")
        text = g.monitor("info usernet")
        check("HOST_FORWARD" in text and "8090" in text, f"info usernet: {text}")
        check("removed" in g.monitor("hostfwd_remove tcp::8090"), "hostfwd_remove")
        check("not there" in g.monitor("hostfwd_remove n0 tcp::8090"), "hostfwd_remove twice")
        try:
            fetch(8090)
            check(False, "the removed port answers")
        except OSError:
            pass
        check("user, net=10.0.2.0/255.255.255.0" in g.monitor("info network"), "info network")
    server.shutdown()
    shutil.rmtree(folder)


def forbidden_pings():
    """Without leave to open ping sockets the first ping beyond the host says what to do, once."""
    with open("/proc/sys/net/ipv4/ping_group_range", "w", encoding="utf-8") as file:
        file.write("1 0")
    with Guest("-nic", "user,id=u", "-runas", "4321:4321") as g:
        g.must(LEASE)
        g.pings("10.0.2.2")
        check("ping" not in g.warnings(), g.warnings())
        g.run("ping -c 3 -W 1 192.0.2.1")
        said = g.warnings()
        check('-netdev user,id=u: ' in said and said.count('sysctl -w net.ipv4.ping_group_range="4321 4321"') == 1, said)


def restricted():
    """restrict=on: nothing goes out, what is forwarded works; two user networks in one machine."""
    server = socket.create_server(("127.0.0.1", 8500))
    with Guest("-nic", "user,restrict=on,hostfwd=tcp:127.0.0.1:8501-:80", "-nic", "user,id=second,net=192.168.76.0/24,dhcpstart=192.168.76.9") as g:
        g.must(LEASE)
        check(not g.run("echo | nc -w 3 10.0.2.2 8500")[1], "a connection to the host in spite of restrict=on")
        g.must("(while :; do printf 'inside\\n' | nc -l -p 80 >/dev/null; done) & sleep 0.5")
        wait_until("the forwarded port", lambda: b"inside" in fetch(8501), 30)
        g.must(LEASE.replace("eth0", "eth1"))
        check(g.must("cat /tmp/got").split()[:3] == ["192.168.76.9", "24", "192.168.76.2"], "the second network's lease")
        check("name one" in g.monitor("hostfwd_add tcp::8502-:80"), "hostfwd_add with two networks")
        check(g.monitor("hostfwd_add second tcp::8502-:80") == "", "hostfwd_add of the second")
    server.close()


def two(first, second, **second_options):
    """Two machines that must reach each other."""
    with Guest(*first) as a, Guest(*second, **second_options) as b:
        a.address("10.7.0.1/24")
        b.address("10.7.0.2/24")
        a.pings("10.7.0.2")
        b.pings("10.7.0.1")
        b.must("(sleep 60 | nc -l -p 5000 >/tmp/got) & sleep 0.5")
        a.must("dd if=/dev/urandom of=/tmp/block bs=65536 count=16 2>/dev/null; nc -w 20 10.7.0.2 5000 </tmp/block")
        want = a.must("md5sum </tmp/block").split()[0]
        wait_until("a megabyte to arrive whole", lambda: b.must("md5sum </tmp/got").split()[0] == want, 30)
        return a.monitor("info network")


def nic(words, number, model=""):
    return ("-nic", f"{words},mac=52:54:00:07:00:{number:02x}{model}")


def sockets():
    """listen and connect, the client first; udp both ways; multicast; UNIX streams and datagrams."""
    subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "lo"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "multicast", "on"], check=True)
    folder = tempfile.mkdtemp(prefix="netlab-")
    text = two(nic("socket,connect=127.0.0.1:4001", 1), nic("socket,listen=127.0.0.1:4001", 2))
    check("connected" in text and "not connected" not in text, f"info network: {text}")
    two(nic("socket,udp=127.0.0.1:4003,localaddr=127.0.0.1:4002", 1), nic("socket,udp=127.0.0.1:4002,localaddr=127.0.0.1:4003", 2))
    two(nic("socket,mcast=239.1.2.3:4004,localaddr=127.0.0.1", 1), nic("socket,mcast=239.1.2.3:4004,localaddr=127.0.0.1", 2))
    two(nic(f"stream,server=on,addr.type=unix,addr.path={folder}/s", 1), nic(f"stream,server=off,addr.type=unix,addr.path={folder}/s", 2))
    two(nic(f"dgram,local.type=unix,local.path={folder}/a,remote.type=unix,remote.path={folder}/b", 1),
        nic(f"dgram,local.type=unix,local.path={folder}/b,remote.type=unix,remote.path={folder}/a", 2))
    shutil.rmtree(folder)


def tunnels():
    """L2TPv3 over UDP with everything a header can have, over IPv4 and over IPv6."""
    def ends(words, one, other, cookies=(0, 0), ports=(0, 0)):
        def end(number, src, dst, tx, rx, sport, dport):
            extra = f",txcookie={tx},rxcookie={rx}" if tx else ""
            extra += f",udp=on,srcport={sport},dstport={dport}" if sport else ""
            return nic(f"l2tpv3,src={src},dst={dst},txsession={6 + number},rxsession={9 - number}{extra}{words}", number)
        two(end(1, one, other, *cookies, *ports), end(2, other, one, *cookies[::-1], *ports[::-1]))
    subprocess.run(["ip", "address", "add", "127.0.0.2/8", "dev", "lo"], check=False)
    subprocess.run(["ip", "-6", "address", "add", "fd00::2/128", "dev", "lo"], check=False)
    ends(",cookie64=on,counter=on,offset=3", "127.0.0.1", "127.0.0.2", (0x1122334455667788, 0x99aabbccddeeff00), (1701, 1702))
    ends(",pincounter=on", "127.0.0.1", "127.0.0.2", (0x11223344, 0x55667788))
    ends(",ipv6=on", "::1", "fd00::2")


def check_options(*options):
    """Sets a machine up and ends it; what it printed."""
    done = subprocess.run([EMULATOR, "-m", "96", "-kernel", IMAGE["kernel"], "-display", "none", "-serial", "null", "-check", *options],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def bridges():
    """A TAP of the machine's own on a bridge, scripts, a helper, and what is said when it cannot be."""
    folder = tempfile.mkdtemp(prefix="netlab-")
    subprocess.run("ip link add br0 type bridge && ip address add 10.8.0.1/24 dev br0 && ip link set br0 up", shell=True, check=True)
    with Guest("-nic", "bridge,br=br0") as g:
        g.address("10.8.0.2/24")
        g.pings("10.8.0.1")
        ports = subprocess.run(["ip", "-br", "link", "show", "master", "br0"], capture_output=True, text=True).stdout
        check(ports.startswith("tap") and "UP" in ports, f"ports of the bridge: {ports}")
    check(subprocess.run(["ip", "-br", "link", "show", "master", "br0"], capture_output=True, text=True).stdout == "", "the TAP is gone")
    script, log = os.path.join(folder, "script"), os.path.join(folder, "log")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\necho $1 $(ip -br link show dev $1 | wc -l) >>{log}\n[ $1 != bad0 ]\n")
    os.chmod(script, 0o755)
    code, said = check_options("-nic", f"tap,ifname=good0,script={script},downscript={script}")
    with open(log, encoding="utf-8") as file:
        check(code == 0 and file.read() == "good0 1\ngood0 1\n", f"scripts: {said}")
    code, said = check_options("-nic", f"tap,ifname=bad0,script={script}")
    check(code == 1 and "failed with exit code 1" in said, f"a script that fails: {said}")
    helper = os.path.join(folder, "helper")
    with open(helper, "w", encoding="utf-8") as file:
        file.write(f"""#!{sys.executable}
import fcntl, socket, struct, sys
words = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word)
tap = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", words["br"].encode(), 0x5002))
with socket.socket(fileno=int(words["fd"])) as s:
    socket.send_fds(s, [b"x"], [tap.fileno()])
""")
    os.chmod(helper, 0o755)
    code, said = check_options("-netdev", f"tap,id=t,helper={helper} --br=fromhelper0", "-device", "e1000,netdev=t", "-trace", "net")
    check(code == 0 and "TAP fromhelper0" in said, f"a helper: {said}")
    for words, text in (("bridge,br=nobr0", "there is no bridge nobr0; make it"), ("bridge,br=lo", "lo is no bridge"),
                        ("bridge,helper=/bin/false", "helper /bin/false failed with exit code 1"),
                        ("user,hostfwd=tcp:1.2.3.4:80-:80", "does not have that address"),
                        ("user,tftp=/nonexistent", "not a folder"),
                        ("user,guestfwd=tcp:10.0.2.100:7-chardev:nix", "there is no -chardev with id=nix; add -chardev"),
                        ("socket,listen=1.2.3.4:1", "does not have that address"),
                        ("socket,connect=no..name:1", "check the name"),
                        ("l2tpv3,src=1.2.3.4,dst=1.2.3.5,txsession=1", "is the first an address of this host")):
        code, said = check_options("-nic", words)
        check(code == 1 and text in said and said.count("\n") == 1, f"{words}: {said}")
    busy = socket.create_server(("127.0.0.1", 4051))
    code, said = check_options("-nic", "user,hostfwd=tcp:127.0.0.1:4051-:80")
    check(code == 1 and "port 4051 is in use" in said, said)
    busy.close()
    shutil.rmtree(folder)


def names_on_disk():
    """Sockets with a name: what has that name already is left alone, unless it is a socket that nobody has open any more."""
    folder = tempfile.mkdtemp(prefix="netlab-")
    path = os.path.join(folder, "name")
    listener, receiver = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for words in (("-nic", f"stream,server=on,addr.type=unix,addr.path={path}"),
                  ("-nic", f"dgram,local.type=unix,local.path={path},remote.type=unix,remote.path={path}.peer"), ("-vnc", f"unix:{path}")):
        with open(path, "w", encoding="utf-8") as file:
            file.write("precious")
        code, said = check_options(*words)
        check(code == 1 and path in said, f"{words} over a file: {said}")
        with open(path, encoding="utf-8") as file:
            check(file.read() == "precious", f"{words}: the file is left alone")
        os.unlink(path)
        code, said = check_options(*words)
        check(code == 0 and not os.path.lexists(path), f"{words}: {said}")
        stale = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if "dgram" in words[1] else socket.SOCK_STREAM)
        stale.bind(path)
        stale.close()
        code, said = check_options(*words)
        check(code == 0 and not os.path.lexists(path), f"{words} over a socket of one that was killed: {said}")
    listener.bind(path)
    listener.listen(4)
    code, said = check_options("-nic", f"stream,server=on,addr.type=unix,addr.path={path}")
    check(code == 1 and "another program" in said and os.path.exists(path), f"a socket in use: {said}")
    receiver.bind(path + "2")
    code, said = check_options("-nic", f"dgram,local.type=unix,local.path={path}2,remote.type=unix,remote.path={path}")
    check(code == 1 and "another program" in said and os.path.exists(path + "2"), f"a datagram socket in use: {said}")
    helper = os.path.join(folder, "helper")
    with open(helper, "w", encoding="utf-8") as file:
        file.write(f"""#!{sys.executable}
import array, socket, sys, time
fd = int([word for word in sys.argv if word.startswith("--fd=")][0][5:])
with socket.socket(fileno=fd) as s:
    s.sendall(b"x")
time.sleep(1000)
""")
    os.chmod(helper, 0o755)
    for words, text in ((f"tap,helper={helper}", "and was ended"), ("tap,helper=/nonexistent/helper", "No such file or directory"),
                        (f"tap,ifname=x0,script={folder}", "Is a directory"), ("user,dnssearch=a..b", "not a domain"),
                        ("socket,udp=[::1]:1,localaddr=127.0.0.1:4061", "two of a kind")):
        code, said = check_options("-nic", words)
        check(code == 1 and text in said and said.count("\n") == 1, f"{words}: {said}")
    shutil.rmtree(folder)


def shares():
    """smb= with a stand-in for Samba: it is started for each connection, its folder goes with the machine."""
    folder = tempfile.mkdtemp(prefix="netlab-")
    if not shutil.which("smbd"):
        code, said = check_options("-nic", f"user,smb={folder}")
        check(code == 1 and "install the package samba" in said, said)
    smbd = os.path.join(folder, "smbd")
    with open(smbd, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\necho "share: $(grep ^path= "$4")"; cat >/dev/null\n')
    os.chmod(smbd, 0o755)
    os.environ["PATH"] = folder + ":" + os.environ["PATH"]
    os.environ["TMPDIR"] = folder
    with Guest("-nic", f"user,smb={folder}") as g:
        g.must(LEASE)
        made = [name for name in os.listdir(folder) if name.startswith("netlab-smb-")]
        check(len(made) == 1 and os.stat(os.path.join(folder, made[0])).st_mode & 0o777 == 0o700, f"private folder: {made}")
        for port in (139, 445):
            out = g.must(f"(sleep 2) | nc 10.0.2.4 {port}")
            check(f"share: path={folder}" in out, f"port {port}: {out}")
        g.qmp("quit")
        g.process.wait(20)
    check(not [name for name in os.listdir(folder) if name.startswith("netlab-smb-")], "the private folder is left")
    shutil.rmtree(folder)


def with_qemu():
    """The other end is a QEMU."""
    if not QEMU:
        return "skipped: there is no qemu-system-i386"
    two(nic("socket,listen=127.0.0.1:4011", 1), nic("socket,connect=127.0.0.1:4011", 2, ",model=e1000"), program=QEMU)
    two(nic("socket,mcast=239.1.2.3:4014,localaddr=127.0.0.1", 1),
        nic("socket,mcast=239.1.2.3:4014,localaddr=127.0.0.1", 2, ",model=e1000"), program=QEMU)
    tunnel = "l2tpv3,udp=on,cookie64=on,counter=on,src=127.0.0.1,dst=127.0.0.1"
    two(nic(tunnel + ",srcport=4031,dstport=4032,txsession=7,rxsession=8,txcookie=0x1122334455667788,rxcookie=5", 1),
        nic(tunnel + ",srcport=4032,dstport=4031,txsession=8,rxsession=7,txcookie=5,rxcookie=0x1122334455667788", 2, ",model=e1000"),
        program=QEMU)


def hubs():
    """The old words: two NICs and a user network on one hub, and a capture of it."""
    folder = tempfile.mkdtemp(prefix="netlab-")
    with Guest("-net", "nic", "-net", "user", "-net", f"dump,file={folder}/hub.pcap,len=200") as g:
        g.must(LEASE)
        g.pings("10.0.2.2")
        check("hub0" in g.monitor("info network"), "info network")
    with Guest("-net", "nic", "-net", "user") as g:
        g.must(LEASE)
        g.pings("10.0.2.2")
    with Guest("-netdev", "user,id=u", "-netdev", "hubport,id=p,hubid=4,netdev=u", "-netdev", "hubport,id=q,hubid=4", "-device",
               "e1000,netdev=q", "-object", f"filter-dump,id=f,netdev=u,file={folder}/user.pcap,maxlen=60") as g:
        g.must(LEASE)
        g.pings("10.0.2.2")
    for name, most in (("hub", 200), ("user", 60)):
        with open(f"{folder}/{name}.pcap", "rb") as file:
            data = file.read()
        at, frames, pings = 24, 0, 0
        while at < len(data):
            kept, length = struct.unpack("<II", data[at + 8:at + 16])
            check(kept == min(length, most), f"{name}: {kept} of {length} bytes kept")
            frame = data[at + 16:at + 16 + kept]
            pings += frame[12:14] == b"\x08\x00" and frame[23] == 1
            at += 16 + kept
            frames += 1
        check(at == len(data) and frames > 8 and pings >= 2, f"{name}: {frames} frames, {pings} pings")
    shutil.rmtree(folder)


def bad_line():
    """A NIC's line is made bad and good again while it runs: delays are exact, losses counted, nothing flaps."""
    with Guest("-netdev", "user,id=u", "-device", "e1000,netdev=u,id=n0") as g:
        g.must(LEASE)
        g.pings("10.0.2.2")

        def round_trips(command):
            return [float(time) for time in re.findall(r"time=([0-9.]+) ms", g.run(command)[0])]
        g.monitor("impair n0 out delay=50ms,seed=3")
        g.monitor("impair u in delay=30ms")
        times = round_trips("ping -c 5 -i 0.2 10.0.2.2")
        check(len(times) == 5 and min(times) >= 80, f"50 ms out and 30 ms in: {times}")
        answer = g.qmp("x-netlab-impair", name="n0", settings="loss=100%")
        check("out: loss=100%" in answer and "in: loss=100%" in answer, answer)
        check(not round_trips("ping -c 3 -W 1 10.0.2.2"), "all are lost")
        check("dropped by the NIC" in g.monitor("info network") and "(impaired)" in g.monitor("info network"), "counted")
        check(g.monitor("impair n0 off").split() == ["out:", "off", "in:", "off"], "good again")
        times = round_trips("ping -c 5 -i 0.2 10.0.2.2")
        check(len(times) == 5 and min(times) < 80, f"a good line: {times}")
        check("did you mean 'delay'" in g.monitor("impair n0 dely=7"), "a typing mistake")
        check("there is no NIC nobody" in g.monitor("impair nobody off"), "an unknown NIC")
        check("NIC Link is Down" not in g.run("dmesg")[0], "the guest saw its link go down")


def gateway():
    """A process without a guest that joins two back ends: a machine behind it gets addresses and a way out."""
    folder = tempfile.mkdtemp(prefix="netlab-")
    qmp = f"{folder}/qmp"
    process = subprocess.Popen([EMULATOR, "-machine", "none", "-display", "none", "-qmp", f"unix:{qmp},server=on,wait=off",
                                "-netdev", "socket,id=s,listen=127.0.0.1:4027", "-netdev", "hubport,id=a,hubid=1,netdev=s",
                                "-netdev", "user,id=u,net=10.9.0.0/24", "-netdev", "hubport,id=b,hubid=1,netdev=u"])
    try:
        with Guest(*nic("socket,connect=127.0.0.1:4027", 1)) as g:
            g.must(LEASE)
            check("10.9.0.15" in g.must("ip -4 addr show dev eth0"), "the address is from the gateway's network")
            g.pings("10.9.0.2")
        deadline = time.monotonic() + ANSWER_SECONDS
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(ANSWER_SECONDS)
            control.connect(qmp)
            stream = Lines(control)
            stream.readline()
            for command in ("qmp_capabilities", "query-status", "system_reset", "system_powerdown", "quit"):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
                check("return" in answer, f"{command}: {answer}")
        check(process.wait(deadline - time.monotonic()) == 0, "quit ends it")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def hostile():
    """Peers that send nonsense, and one that goes in the middle of a frame."""
    with Guest(*nic("socket,listen=127.0.0.1:4021", 1)) as g:
        g.address("10.7.0.1/24")
        for junk in (b"\xff" * 100, b"\0\0\0\0", struct.pack(">I", 1 << 31), struct.pack(">I", 60) + bytes(10), b"\0", b"",
                     struct.pack(">I", 65554) + bytes(70000)):
            with socket.create_connection(("127.0.0.1", 4021), timeout=10) as s:
                s.settimeout(10)
                try:
                    s.sendall(junk)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except OSError:  # the other end may be gone already
                    pass
        with socket.create_connection(("127.0.0.1", 4021), timeout=10) as s:  # and it still works, a byte at a time
            s.settimeout(1)
            question = bytes.fromhex("ffffffffffff525400070099" "0806" "0001080006040001" "525400070099" "0a070063" "000000000000" "0a070001")
            answer = bytes.fromhex("08060001080006040002525400070001")
            got = b""

            def answered():  # the guest needs a moment to see that its cable is in
                nonlocal got
                for byte in struct.pack(">I", 7) + bytes(7) + struct.pack(">I", len(question)) + question:
                    s.sendall(bytes([byte]))
                try:
                    piece = s.recv(65536)
                    check(piece, "the connection ended")
                    got += piece
                except TimeoutError:
                    pass
                return answer in got
            wait_until("the guest's answer", answered, 40)
        g.must("true")


def ip_packet(protocol, payload, flags=0, number=1):
    """An Ethernet frame with an IPv4 packet to the host of a user network."""
    def checksum(data):
        total = sum(struct.unpack(f">{len(data) // 2}H", data))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        return struct.pack(">H", ~total & 0xffff)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), number, flags, 64, protocol, 0) + bytes([10, 0, 2, 15, 10, 0, 2, 2])
    return bytes.fromhex("52550a000202" "525400aa0001" "0800") + head[:10] + checksum(head) + head[12:] + payload


def hostile_guest():
    """What a guest sends behind -netdev user: fragments in any order, and what libslirp complains about. A peer plays the guest."""
    process = subprocess.Popen([EMULATOR, "-machine", "none", "-display", "none", "-netdev", "socket,id=s,listen=127.0.0.1:4071", "-netdev",
                                "hubport,id=a,hubid=1,netdev=s", "-netdev", "user,id=u", "-netdev", "hubport,id=b,hubid=1,netdev=u"],
                               stderr=subprocess.PIPE, text=True)

    def connected():
        try:
            return socket.create_connection(("127.0.0.1", 4071), timeout=ANSWER_SECONDS)
        except ConnectionError:
            check(process.poll() is None, "the machine is there")
            return None
    try:
        with wait_until("the listener", connected, ANSWER_SECONDS) as cable:
            def send(frame):
                cable.sendall(struct.pack(">I", len(frame)) + frame)

            def heard(text):
                got = b""
                while text not in got:
                    piece = cable.recv(65536)
                    check(piece, "the machine has gone")
                    got += piece
            send(bytes.fromhex("ffffffffffff" "525400aa0001" "0806" "0001080006040001" "525400aa0001" "0a00020f" "000000000000" "0a000202"))
            heard(b"\x08\x06")
            send(ip_packet(1, bytes(8), 0x1fff))                        # a last fragment without the others
            send(ip_packet(1, b"", 0x1fff, 2))
            send(ip_packet(17, bytes(16), 0x2001, 3))
            send(ip_packet(17, bytes(16), 0x2000, 3))                   # an overlap
            data = bytes(range(200))
            text = b"\x08\0" + struct.pack(">H", 0) + b"\x12\x34\0\1" + data
            total = sum(struct.unpack(f">{len(text) // 2}H", text))
            total = (total & 0xffff) + (total >> 16)
            text = text[:2] + struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + text[4:]
            send(ip_packet(1, text[96:], 12, 4))                        # a ping in two pieces, the last first
            send(ip_packet(1, text[:96], 0x2000, 4))
            heard(b"\x12\x34\0\1" + data)
            send(bytes.fromhex("52550a000202" "525400aa0001" "86dd" "6000000000103a40" "fec00000000000005054" "00fffeaa0001" "20010db8" + "00" * 11 + "01"
                               "8000" "0000" "00010001" + "00" * 8))    # a ping that libslirp does not carry
            send(ip_packet(1, text, 0, 5))
            heard(b"\x12\x34\0\1" + data)
        process.terminate()
        said = process.communicate(timeout=ANSWER_SECONDS)[1]
        check("Slirp" not in said, f"it said: {said}")
    finally:
        process.kill()
        process.wait()
    for rule, text in (("tcp:[::1]:4072-:80", "must be named"), ("tcp:[::1]:4072-10.0.2.15:80", "IPv6 address of the guest only"),
                       ("udp:127.0.0.1:4072-[fec0::15]:80", "IPv4 address of the guest only")):
        code, said = check_options("-nic", f"user,hostfwd={rule}")
        check(code == 1 and text in said and said.count("\n") == 1, f"{rule}: {said}")


def few_descriptors():
    """More connections than there are descriptors: those that find none wait, without the machine being busy with it, and come in later."""
    process = subprocess.Popen(["prlimit", "--nofile=22:64", EMULATOR, "-machine", "none", "-display", "none", "-netdev",
                                "user,id=u,hostfwd=tcp:127.0.0.1:4081-:80", "-netdev", "socket,id=s,listen=127.0.0.1:4082"],
                               stderr=subprocess.PIPE, text=True)
    held = []

    def descriptors():
        return len(os.listdir(f"/proc/{process.pid}/fd"))

    def connect(port):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        return s

    def used():
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
            words = file.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def exhausted():
        check(process.poll() is None, "the machine is there")
        held.append(connect(4081))
        return descriptors() == 22
    try:
        wait_until("the machine to listen", lambda: socket.socket().connect_ex(("127.0.0.1", 4082)) == 0, ANSWER_SECONDS)
        wait_until("all descriptors to be in use", exhausted, ANSWER_SECONDS)
        cable = connect(4082)
        held += [connect(4081) for _ in range(3)]
        before, began = used(), time.monotonic()
        wait_until("two seconds", lambda: time.monotonic() > began + 2)
        check(used() - before < 0.4, f"{used() - before} s of processor time in two seconds")
        check(descriptors() == 22 and process.poll() is None, "all are in use")
        subprocess.run(["prlimit", "--pid", str(process.pid), "--nofile=64"], check=True)
        cable.setblocking(True)
        cable.settimeout(ANSWER_SECONDS)
        cable.sendall(struct.pack(">I", 1 << 31))  # nonsense, at which a peer that was let in is hung up on
        check(cable.recv(1) == b"", "the cable is heard once descriptors are free")
        wait_until("a forward to be heard", lambda: descriptors() > 22, ANSWER_SECONDS)
    finally:
        process.kill()
        process.wait()
    rules = "".join(f",hostfwd=tcp:127.0.0.1:{port}-:80" for port in range(20000, 20200))
    done = subprocess.run(["prlimit", "--nofile=60", EMULATOR, "-m", "96", "-kernel", IMAGE["kernel"], "-display", "none", "-serial", "null",
                           "-check", "-nic", "user" + rules], capture_output=True, text=True, timeout=ANSWER_SECONDS)
    check(done.returncode == 1 and "ulimit -n" in done.stderr, f"200 forwards: {done.stderr}")
    code, said = check_options("-nic", "user" + rules)
    check(code == 0, f"200 forwards: {said}")


IMAGE = {}

if __name__ == "__main__":
    listed = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    images = {image["name"]: image for image in json.loads(listed.stdout)} if listed.returncode == 0 else {}
    if "mini" not in images:
        print("SKIP: needs the image `mini`: netlab image build mini")
        sys.exit(77)
    IMAGE.update(images["mini"])
    main(user_network, forbidden_pings, restricted, sockets, tunnels, with_qemu, hubs, gateway, bad_line, bridges, names_on_disk, shares, hostile, hostile_guest,
         few_descriptors)
