# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The e1000 under Linux's driver: self-tests, statistics, every offload off and on, ring sizes, jumbo frames, VLANs, filters, another
address, links that come and go; and that no byte is ever wrong. Then thirty guests at once.

Two guests on a bridge, made by tests/bench/bench_net.py; what is asked of the driver goes through ethtool.c. After each change bytes that
follow from a seed run both ways at once and are compared at both ends. With NETLAB_TEST_FULL=1 ten gigabytes of them. Needs gcc -m32 and the
image `mini`.
"""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness import BIN, check, main, wait_until

sys.path[:0] = [os.path.join(os.environ["NETLAB_SOURCE"], folder) for folder in ("tests", "tests/bench")]
import bench_guests as guests  # noqa: E402
import bench_net as net  # noqa: E402
from bench_session import Way  # noqa: E402
from lines import Lines  # noqa: E402

EMULATOR = os.path.join(os.path.dirname(BIN), "netlab-emu")
FULL = bool(os.environ.get("NETLAB_TEST_FULL"))
SECONDS = 120  # for an answer, on a machine that does other work
MIB = 1 << 20
SOME = 64 * MIB if FULL else MIB
MODULES = ("llc", "stp", "garp", "mrp", "8021q")
FEATURES = ("rx-checksum", "tx-checksum", "sg", "tso", "gso", "gro", "rxvlan")  # txvlan follows rxvlan in this driver
IMAGE = {}


def compile_ethtool(out):
    program = out / "ethtool"
    source = pathlib.Path(__file__).with_name("ethtool.c")
    subprocess.run(["gcc", *guests.GUEST_FLAGS, "-o", program, source], check=True, timeout=SECONDS)
    return program.read_bytes()


def ask(path, *commands):
    """What the last of some QMP commands gives, with a connection of its own."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(SECONDS)
        control.connect(path)
        lines = Lines(control)
        lines.readline()
        for name, arguments in (("qmp_capabilities", {}), *commands):
            control.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            answer = json.loads(lines.readline())
            while "event" in answer:
                answer = json.loads(lines.readline())
            check("return" in answer, f"{name}: {answer}")
        return answer["return"]


class Pair:
    """Two guests, a and b, on the bridge br1."""
    seed = 0

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="netlab-nic-")
        out = pathlib.Path(self.folder.name)
        modules = guests.read_archive(IMAGE["folder"] / "initrd.cpio").files
        more = [("ethtool", compile_ethtool(out))]
        for name in MODULES:
            more += [(f"{name}.ko", content) for path, (_, content, _) in modules.items() if path.endswith(f"/{name}.ko")]
        self.bench = net.Bench(IMAGE["folder"], out, more)
        try:
            self.ends = net.scene_pair(self.bench, Way("ours", EMULATOR), 1, lambda end: ("-qmp", f"unix:{self.control(end)},server=on,wait=off"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.bench.close()
        self.folder.cleanup()

    def control(self, end):
        return os.path.join(self.folder.name, f"qmp-{end}")

    def run(self, end, command):
        """Exit status and lines of a command of a guest's shell."""
        session = self.ends[end]
        session.seen = []
        _, words = session.run(f"run {command}", SECONDS)
        return int(words[0]) >> 8, list(session.seen)

    def must(self, end, command):
        status, lines = self.run(end, command)
        check(status == 0, f"{end}: {command}: {status} {lines}")
        return lines

    def both(self, command):
        return [self.must(end, command) for end in "ab"]

    def bytes_are_right(self, what, count=SOME, to="10.1.2.2", limit=SECONDS):
        Pair.seed += 1
        _, words = self.ends["a"].run(f"check {to} {count} {Pair.seed}", limit)
        check(words[:2] == [str(count), str(count)], f"{what}: of {count} bytes {words[0]} were right at a and {words[1]} at b")

    def statistics(self, end):
        found = [re.fullmatch(r"(\w+) (\d+)", line) for line in self.must(end, "/ethtool eth0 stats")]
        return {match[1]: int(match[2]) for match in found if match}


def self_tests(p):
    for _ in range(3 if FULL else 1):  # the driver waits twelve seconds in each
        status, lines = p.run("a", "/ethtool eth0 test")
        check(status == 0 and len([line for line in lines if line.endswith(": 0")]) == 5, f"self-test: {lines}")
        carrier(p, "a")
        p.bytes_are_right("after the self-test")


def carrier(p, end):
    p.must(end, "i=0; until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do i=$((i+1)); [ $i -lt 600 ] || exit 1; usleep 50000; done")


def statistics(p):
    before = {end: p.statistics(end) for end in "ab"}
    p.bytes_are_right("traffic to be counted", 8 * MIB)
    p.must("a", "ping -c 3 -q 10.1.2.2")
    after = {end: p.statistics(end) for end in "ab"}
    for end in "ab":
        grew = {name: after[end][name] - before[end][name] for name in after[end]}
        for name in ("rx_bytes", "tx_bytes"):
            check(8 * MIB <= grew[name] < 10 * MIB, f"{end}: {name} grew by {grew[name]}")
        # A burst is one packet to the kernel and several to the wire: the NIC counts the wire's.
        for name in ("rx_packets", "tx_packets"):
            check(5000 < grew[name] < 40000, f"{end}: {name} grew by {grew[name]}")
        check(grew["rx_csum_offload_good"] > 100 and grew["rx_csum_offload_errors"] == 0, f"{end}: {grew}")
        wrong = {name: value for name, value in after[end].items() if value and re.search("error|dropped|collision|fifo|missed|abort", name)}
        check(not wrong, f"{end}: {wrong}")
    a, b = after["a"]["tx_packets"] - before["a"]["tx_packets"], after["b"]["rx_packets"] - before["b"]["rx_packets"]
    check(abs(a - b) < 50, f"a sent {a} packets, b received {b}")


def offloads(p):
    for feature in FEATURES:
        for end in "ab":
            lines = p.must(end, f"/ethtool eth0 set {feature} 0")
            check(lines[-1:] == ["0"], f"{feature} off at {end}: {lines}")
            p.bytes_are_right(f"{feature} off at {end}")
        p.both(f"/ethtool eth0 set {feature} 1")
    for feature in FEATURES:
        p.both(f"/ethtool eth0 set {feature} 0")
    p.bytes_are_right("every offload off at both")
    for feature in FEATURES:
        p.both(f"/ethtool eth0 set {feature} 1")
    p.bytes_are_right("every offload on again")


def rings(p):
    for rx, tx in ((80, 80), (128, 80), (4096, 4096), (80, 4096), (256, 256)):
        for lines in p.both(f"/ethtool eth0 ring {rx} {tx}"):
            check(lines[-1:] == [f"{rx} {tx}"], f"rings of {rx} and {tx}: {lines}")
        carrier(p, "a"), carrier(p, "b")
        p.bytes_are_right(f"rings of {rx} and {tx}")


def jumbo_frames(p):
    for name in ("t1a", "t1b", "br1"):
        net.ip("link", "set", name, "mtu", "9000")
    for mtu in (9000, 4000, 1500):
        p.both(f"ip link set eth0 mtu {mtu}")
        carrier(p, "a"), carrier(p, "b")
        p.must("a", f"ping -c 1 -q -s {mtu - 28} 10.1.2.2")
        p.bytes_are_right(f"frames of {mtu}")
        for end in "ab":
            p.must(end, "/ethtool eth0 set tso 0")
        p.bytes_are_right(f"frames of {mtu} without TSO")
        for end in "ab":
            p.must(end, "/ethtool eth0 set tso 1")


def vlans(p):
    for end, number in (("a", 1), ("b", 2)):
        for module in MODULES:
            p.must(end, f"insmod /{module}.ko")
        p.must(end, f"ip link add link eth0 name eth0.5 type vlan id 5; ip address add 10.1.5.{number}/24 dev eth0.5; ip link set eth0.5 up")
    for a, b in ((1, 1), (0, 1), (1, 0), (0, 0)):
        for end, on in (("a", a), ("b", b)):
            p.must(end, f"/ethtool eth0 set rxvlan {on}")
        p.bytes_are_right(f"VLAN, tags put and taken by the NIC: {a} at a, {b} at b", to="10.1.5.2")
    p.both("/ethtool eth0 set rxvlan 1")
    p.must("b", "ip link del eth0.5")  # the filter does not let 5 in any more
    status, _ = p.run("a", "ping -c 1 -W 1 -q 10.1.5.2")
    check(status != 0, "a VLAN that is gone answers")
    p.must("a", "ip link del eth0.5")
    p.bytes_are_right("after VLANs")


def filters(p):
    """200 frames to an address, then 200 to the guest's own: counted are those that its filters let in."""
    own = bytes.fromhex(p.must("b", "cat /sys/class/net/eth0/address")[-1].replace(":", ""))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind(("br1", 0))

    def let_in(address):
        before = p.statistics("b")["rx_packets"]
        for to in (bytes.fromhex(address.replace(":", "")), own):
            for _ in range(200):
                wire.send(to + bytes.fromhex("525400fffffe88b5") + bytes(46))
        last = [0]

        def arrived():
            last[0] = p.statistics("b")["rx_packets"] - before
            return last[0] >= 200
        wait_until(lambda: f"200 frames at b, there were {last[0]}", arrived, SECONDS)
        if last[0] < 300:  # those that count twice may still be on their way
            time_up = time.monotonic() + 1
            while last[0] < 400 and time.monotonic() < time_up:
                arrived()
        return last[0] >= 400
    foreign, group = "52:54:00:ff:ff:01", "01:00:5e:01:02:03"  # 239.1.2.3
    check(not let_in(foreign), "a foreign address came in")
    check(not let_in(group), "a group that nobody joined came in")
    check(let_in("ff:ff:ff:ff:ff:ff"), "broadcasts did not come in")
    p.must("b", "/ethtool eth0 join 239.1.2.3 & echo $! >/tmp/joined; until grep -qi 030201EF /proc/net/igmp; do usleep 20000; done")
    check(let_in(group), "a group that was joined did not come in")
    check(not let_in("01:00:5e:01:02:04"), "another group came in")
    p.must("b", "kill $(cat /tmp/joined)")
    for mode, addresses in (("allmulti", (group,)), ("promisc", (group, foreign))):
        p.must("b", f"ifconfig eth0 {mode}")
        for address in addresses:
            check(let_in(address), f"{mode}: {address} did not come in")
        p.must("b", f"ifconfig eth0 -{mode}")
    check(not let_in(foreign) and not let_in(group), "promiscuous for ever")
    wire.close()


def addresses(p):
    for address in ("52:54:00:aa:bb:cc", "02:00:00:00:00:01"):
        p.must("b", f"ip link set eth0 down; ip link set eth0 address {address} && ip link set eth0 up")
        carrier(p, "b")
        p.must("a", "ip neigh flush dev eth0; ping -c 2 -q 10.1.2.2")
        p.bytes_are_right(f"address {address}")


def flaps(p):
    for end in "ab":
        p.must(end, "i=0; while [ $i -lt 15 ]; do ip link set eth0 down; ip link set eth0 up; i=$((i+1)); done")
        carrier(p, end)
        p.bytes_are_right(f"after flaps at {end}")
    for _ in range(5):  # the cable's other end
        net.ip("link", "set", "t1b", "down")
        net.ip("link", "set", "t1b", "up")
    p.must("a", "i=0; until ping -c 1 -W 1 -q 10.1.2.2; do i=$((i+1)); [ $i -lt 60 ] || exit 1; done")
    p.bytes_are_right("after the TAP's flaps")


def cable(path, number, up):
    ask(path, ("set_link", {"name": f"n{number}", "up": up}))


def frames(path):
    nic = ask(path, ("x-netlab-query-network", {}))[0]
    return nic["tx-frames"] + nic["rx-frames"]


def pulled_cables(p):
    """set_link: many times at once, and in the middle of a transfer, which comes through whole."""
    for number, end in enumerate("ab", 1):
        for _ in range(15):
            cable(p.control(end), number, False)
            cable(p.control(end), number, True)
        carrier(p, end)
        p.bytes_are_right(f"after its cable was pulled at {end}")
    over, failures, pulled = threading.Event(), [], []

    def pull():
        try:
            for turn in range(5):
                number, end = turn % 2 + 1, "ab"[turn % 2]
                path, before = p.control(end), frames(p.control(end))
                wait_until("frames", lambda: over.is_set() or frames(path) > before + 200, SECONDS)  # so it is under way
                if over.is_set():
                    return
                cable(path, number, False)
                cable(path, number, True)
                pulled.append(end)
        except Exception as failure:  # said by the test's own thread
            failures.append(failure)
    puller = threading.Thread(target=pull)
    puller.start()
    try:
        p.bytes_are_right("while cables were pulled", 16 * SOME)
    finally:
        over.set()
        puller.join()
    check(not failures and pulled, f"pulled {len(pulled)} times; {failures}")
    print(f"     cables pulled {len(pulled)} times during a transfer", flush=True)


def the_driver():
    with Pair() as p:
        for part in (self_tests, statistics, offloads, rings, jumbo_frames, vlans, filters, addresses, flaps, pulled_cables):
            began = time.monotonic()
            part(p)
            print(f"     {part.__name__} {time.monotonic() - began:.1f} s", flush=True)
        if FULL:
            p.bytes_are_right("10 GB", 5000 * MIB, limit=7200)  # each way


def ask_qmp(path):
    """Seconds that a machine takes to say its status, the connection included."""
    began = time.monotonic()
    ask(path, ("query-status", {}))
    return time.monotonic() - began


def many_guests():
    """Guests on one bridge, more than there are processors; the first floods the second. All others ping, consoles and control sockets answer."""
    count = 30 if FULL else 5
    with tempfile.TemporaryDirectory(prefix="netlab-nic-") as folder:
        bench = net.Bench(IMAGE["folder"], pathlib.Path(folder))
        try:
            net.ip("link", "add", "br1", "type", "bridge")
            bench.bridges.append("br1")
            net.ip("link", "set", "br1", "up")
            guest = []
            for n in range(count):
                fd = net.open_tap(f"t{n}")
                net.ip("link", "set", f"t{n}", "master", "br1")
                guest.append(bench.boot(Way("ours", EMULATOR), f"eth0=10.1.2.{n + 1}/24", *net.nic(n, fd), "-qmp",
                                        f"unix:{folder}/q{n},server=on,wait=off", fds=(fd,)))
            guest[0].process.stdin.write(b"udp-send 10.1.2.2 8000 64\n")
            guest[0].process.stdin.flush()
            guest[0].expect("S", SECONDS)
            until, turns, slowest = time.monotonic() + 6, 0, {"console": 0, "control": 0}
            while time.monotonic() < until or turns < count:
                n = turns % count
                slowest["control"] = max(slowest["control"], ask_qmp(f"{folder}/q{n}"))
                if n > 1:
                    began = time.monotonic()
                    guest[n].run("run true", SECONDS)
                    slowest["console"] = max(slowest["console"], time.monotonic() - began)
                    to = n + 2 if n + 1 < count else 3
                    _, words = guest[n].run(f"ping 10.1.2.{to} 100", SECONDS)
                    check(int(words[0]) > 0, f"guest {n} got no answer of 10.1.2.{to} within a second: {words}")
                turns += 1
            _, text = guest[0].expect("E", SECONDS)
            sent = int(text.split()[1])
            arrived = int(guest[2].run("udp-count 10.1.2.2", SECONDS)[1][0])
            check(sent > 1000 and arrived > 100, f"of the flood {sent} were sent, {arrived} arrived")
            print(f"     {count} guests, {turns} turns, {sent} flooded, {arrived} arrived; slowest answers: "
                  f"{', '.join(f'{what} {seconds * 1000:.0f} ms' for what, seconds in slowest.items())}; load {os.getloadavg()[0]:.1f}", flush=True)
            check(max(slowest.values()) < 5, f"answers took {slowest} s")
        finally:
            bench.close()


if __name__ == "__main__":
    listed = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    images = {image["name"]: image for image in json.loads(listed.stdout)} if listed.returncode == 0 else {}
    if "mini" not in images:
        print("SKIP: needs the image `mini`: netlab image build mini")
        sys.exit(77)
    IMAGE["folder"] = pathlib.Path(images["mini"]["kernel"]).parent
    main(the_driver, many_guests)
