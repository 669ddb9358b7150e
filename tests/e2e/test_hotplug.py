# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""NICs that come and go while a real guest runs: Debian's kernel with its ACPI hot-plug driver, every kind of back end, traffic,
guests that do not answer, and requests that cannot be granted.

Needs the image `mini`; without it the test is skipped with the reason.
"""
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

import test_back_ends
from harness import BIN, check, main, wait_until
from test_back_ends import ANSWER_SECONDS, Guest, fetch

ROUNDS = 40 if os.environ.get("NETLAB_TEST_FULL") else 8


class Plugged(Guest):
    """A guest that keeps the events of its QMP connection."""

    def __init__(self, *options, **named):
        self.events = []
        super().__init__("-nodefaults", "-sandbox", "on,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", *options, **named)

    def ask(self, command, **arguments):
        """The whole answer; events on the way are kept."""
        self.control.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.control.flush()
        while True:
            answer = json.loads(self.control.readline())
            if "event" not in answer:
                return answer
            self.events.append(answer)

    def good(self, command, **arguments):
        answer = self.ask(command, **arguments)
        check("return" in answer, f"{command} {arguments}: {answer}")
        return answer["return"]

    def refused(self, says, command, error_class="GenericError", **arguments):
        answer = self.ask(command, **arguments)
        check(answer.get("error", {}).get("class") == error_class and says in answer["error"]["desc"],
              f"{command} {arguments}: {answer} instead of {error_class}: {says}")

    def deleted(self, name):
        def came():
            self.ask("query-status")
            return any(e["event"] == "DEVICE_DELETED" and e["data"] == {"device": name, "path": f"/machine/peripheral/{name}"}
                       for e in self.events)
        wait_until(f"DEVICE_DELETED of {name}", came, ANSWER_SECONDS)
        self.events.clear()

    def interface(self, mac, there=True):
        """The name of the interface with this address, once it is there; or waits until there is none."""
        test = f"grep -lx {mac} /sys/class/net/*/address 2>/dev/null"
        wanted = "[ -n \"$a\" ]" if there else "[ -z \"$a\" ]"
        out = self.must(f"i=0; while :; do a=$({test}); {wanted} && break; i=$((i+1)); [ $i -lt 300 ] || break; sleep 0.1; done; "
                        f"{wanted} && echo $a", seconds=3 * ANSWER_SECONDS)
        return out.split("/sys/class/net/")[1].split("/")[0] if there else None

    def unplug(self, name, mac):
        self.good("device_del", id=name)
        self.deleted(name)
        self.interface(mac, there=False)


def network_of(guest):
    return {nic["name"]: nic for nic in guest.good("x-netlab-query-network")}


def user_and_back():
    """A NIC with user networking comes, gets an address by DHCP, carries traffic, goes; again and again."""
    mac = "52:54:00:00:00:07"
    with Plugged() as g:
        check(not network_of(g) and "100e" not in g.must("cat /sys/bus/pci/devices/*/device"), "a NIC before")
        for turn in range(ROUNDS):
            g.good("netdev_add", type="user", id="n7", net="10.7.0.0/24", host="10.7.0.1", dhcpstart="10.7.0.15",
                   hostfwd=[{"str": "tcp:127.0.0.1:8070-10.7.0.15:80"}])
            g.good("device_add", driver="e1000", id="nic7", netdev="n7", mac=mac)
            name = g.interface(mac)
            check(network_of(g)["nic7"]["link"], "link of the new NIC")
            out = g.must(f"ip link set {name} up; udhcpc -i {name} -n -q -t 10 -T 1 -s /bin/true 2>&1")
            check("10.7.0.15" in out, out)
            g.must(f"ip address add 10.7.0.15/24 dev {name}; ping -c 2 -W 5 10.7.0.1")
            if turn == 0:
                g.must("mkdir -p /tmp/w; echo hot-plugged >/tmp/w/a; busybox httpd -p 80 -h /tmp/w")
                check(b"hot-plugged" in fetch(8070, "/a"), "through hostfwd")
            if turn % 2:
                g.must(f"ping -f 10.7.0.1 >/dev/null 2>&1 & :")  # it goes under traffic
            g.unplug("nic7", mac)
            g.must("! grep -q 0x100e /sys/bus/pci/devices/*/device; killall ping 2>/dev/null; true")
            g.good("netdev_del", id="n7")
            check(not network_of(g), "a NIC after")
        g.must("! dmesg | grep -E 'Oops|BUG:|Call Trace'")
    return f"{ROUNDS} times"


def under_the_interpreter():
    mac = "52:54:00:00:00:08"
    with Plugged("-accel", "interp") as g:
        g.good("netdev_add", type="user", id="n8", net="10.7.0.0/24", host="10.7.0.1")
        g.good("device_add", driver="e1000", netdev="n8", id="nic8", mac=mac)
        name = g.interface(mac)
        g.must(f"ip link set {name} up; ip address add 10.7.0.20/24 dev {name}; ping -c 1 -W 10 10.7.0.1")
        g.unplug("nic8", mac)


def every_back_end():
    """In the monitor's words; frames come through each kind."""
    mac = "52:54:00:00:00:09"
    subprocess.run(["ip", "link", "add", "br7", "type", "bridge"], check=True)
    subprocess.run("ip address add 10.9.0.1/24 dev br7 && ip link set br7 up", shell=True, check=True)
    with Plugged() as g:
        kinds = [("tap,id=n9,ifname=tap9,script=no,downscript=no", "ip link set tap9 master br7 up"),
                 ("bridge,id=n9,br=br7", None)]
        for words, setup in kinds:
            check(g.monitor(f"netdev_add {words}") == "", words)
            check(g.monitor(f"device_add e1000,netdev=n9,id=nic9,mac={mac}") == "", words)
            if setup:
                subprocess.run(setup, shell=True, check=True)
            name = g.interface(mac)
            g.must(f"ip link set {name} up; ip address add 10.9.0.9/24 dev {name}")
            g.pings("10.9.0.1")
            g.unplug("nic9", mac)
            check(g.monitor("netdev_del n9") == "", "netdev_del")
        frames = [("socket,id=n9,udp=127.0.0.1:7091,localaddr=127.0.0.1:7090", 7090, 7091),
                  ("dgram,id=n9,local.type=inet,local.host=127.0.0.1,local.port=7090,remote.type=inet,remote.host=127.0.0.1,"
                   "remote.port=7091", 7090, 7091)]
        for words, _, far in frames:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.bind(("127.0.0.1", far))
                check(g.monitor(f"netdev_add {words}") == "", words)
                check(g.monitor(f"device_add e1000,netdev=n9,id=nic9,mac={mac}") == "", words)
                name = g.interface(mac)
                g.must(f"ip link set {name} up; ip address add 10.9.1.9/24 dev {name}; arping -c 3 -I {name} 10.9.1.1 >/dev/null; true")
                check(select.select([peer], [], [], ANSWER_SECONDS)[0], f"no frame out of {words}")
                check(bytes.fromhex(mac.replace(":", "")) in peer.recv(2000), words)
                g.unplug("nic9", mac)
                check(g.monitor("netdev_del n9") == "", "netdev_del")
        with socket.socket() as server:  # a stream, and the same through a hub
            server.bind(("127.0.0.1", 0))
            server.listen(4)
            port = server.getsockname()[1]
            for words, more in ((f"socket,id=n9,connect=127.0.0.1:{port}", None),
                                (f"stream,id=n9,server=off,addr.type=inet,addr.host=127.0.0.1,addr.port={port}", None),
                                (f"socket,id=s9,connect=127.0.0.1:{port}", "hub")):
                check(g.monitor(f"netdev_add {words}") == "", words)
                if more:
                    check(g.monitor("netdev_add hubport,id=h9,hubid=1,netdev=s9") == "", "hubport")
                    check(g.monitor("netdev_add hubport,id=n9,hubid=1") == "", "hubport")
                peer, _ = server.accept()
                check(g.monitor(f"device_add e1000,netdev=n9,id=nic9,mac={mac}") == "", words)
                name = g.interface(mac)
                g.must(f"ip link set {name} up; ip address add 10.9.2.9/24 dev {name}; arping -c 3 -I {name} 10.9.2.1 >/dev/null; true")
                peer.settimeout(ANSWER_SECONDS)
                check(peer.recv(2000), f"no frame out of {words}")
                g.unplug("nic9", mac)
                for n in ("n9", "h9", "s9") if more else ("n9",):
                    check(g.monitor(f"netdev_del {n}") == "", "netdev_del")
                peer.settimeout(ANSWER_SECONDS)
                try:
                    while peer.recv(65536):
                        pass
                except ConnectionError:
                    pass
                peer.close()
        check(g.monitor("netdev_add l2tpv3,id=n9,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=7095,dstport=7096,txsession=1") == "", "l2tpv3")
        check(g.monitor(f"device_add e1000,netdev=n9,id=nic9,mac={mac}") == "", "l2tpv3")
        g.interface(mac)
        g.unplug("nic9", mac)
        check(g.monitor("netdev_del n9") == "", "netdev_del")
    subprocess.run(["ip", "link", "del", "br7"], check=True)


def blocks(data):
    """(type, body) of each whole pcapng block."""
    at = 0
    while len(data) - at >= 12 and struct.unpack_from("<I", data, at + 4)[0] <= len(data) - at:
        kind, length = struct.unpack_from("<II", data, at)
        check(length % 4 == 0 and data[at + length - 4:at + length] == data[at + 4:at + 8], f"block of {length} bytes at {at}")
        yield kind, data[at + 8:at + length - 4]
        at += length


def pings_in(data):
    """(direction, ICMP type, ns) of each ping."""
    found = []
    for kind, body in blocks(data):
        if kind == 6:
            _, high, low, kept, length, = struct.unpack_from("<IIIII", body)
            check(kept == length, f"{kept} of {length} bytes kept")
            if body[32:34] == b"\x08\x00" and body[43] == 1:
                found.append((struct.unpack_from("<HHI", body, 20 + (kept + 3 & ~3))[2], body[54], high << 32 | low))
    return found


def live_capture(g):
    """pcapng into a file, to a socket that listens, and to one that is passed: the same frames, in the order of the wire."""
    path, file = os.path.join(g.folder, "reader"), os.path.join(g.folder, "a.pcapng")
    listener = socket.socket(socket.AF_UNIX)
    g.refused("start the reader", "object-add", **{"qom-type": "filter-dump"}, id="f0", netdev="n0", socket=path)
    listener.bind(path)
    listener.listen()
    listener.settimeout(ANSWER_SECONDS)
    g.good("object-add", **{"qom-type": "filter-dump"}, id="f0", netdev="n0", socket=path)
    g.good("object-add", **{"qom-type": "filter-dump"}, id="f1", netdev="n0", file=file, format="pcapng")
    reader, _ = listener.accept()
    reader.settimeout(ANSWER_SECONDS)
    before = time.time_ns()
    g.pings("10.7.0.1")
    data = b""
    while len(pings_in(data)) < 2:  # while the capture goes on
        more = reader.recv(65536)
        check(more, "the capture ended")
        data += more
    counters = {c["id"]: c for c in g.good("x-netlab-query-captures")}
    check(counters["f0"]["live"] and counters["f0"]["frames"] >= 2 and not counters["f0"]["ended"], str(counters))
    check("f1: pcapng capture of n0 into" in g.monitor("info network"), "info network")
    g.good("object-del", id="f1")
    with open(file, "rb") as content:
        whole = content.read()
    check(sum(len(body) + 12 for _, body in blocks(whole)) == len(whole), "the file is not whole")
    for seen in (pings_in(data), pings_in(whole)):
        check([(direction, kind) for direction, kind, _ in seen[:2]] == [(2, 8), (1, 0)], f"pings {seen}")
        check(before <= seen[0][2] <= seen[1][2] <= time.time_ns(), f"stamps {seen}")
    reader.close()
    deadline = time.monotonic() + ANSWER_SECONDS
    while not next(c for c in g.good("x-netlab-query-captures") if c["id"] == "f0")["ended"]:
        check(time.monotonic() < deadline, "nobody noticed that the reader has gone")
    g.good("object-add", **{"qom-type": "filter-dump"}, id="f0", netdev="n0", socket=path)  # its name is free again
    g.good("object-del", id="f0")
    listener.close()


def filters_and_clock():
    """query-rx-filter shows what the driver set; RTC_CHANGE tells that the guest set its clock."""
    mac = "52:54:00:00:00:0b"
    with Plugged("-netdev", "user,id=n0", "-device", f"e1000,netdev=n0,id=nic0,mac={mac}") as g:
        def filter_of():
            listed = g.good("query-rx-filter", name="nic0")
            check(len(listed) == 1 and listed == g.good("query-rx-filter"), f"{listed}")
            return listed[0]
        check(filter_of()["unicast"] == "none", "it receives before its driver has started it")
        g.must("ip link set eth0 up")
        wait_until("the receiver", lambda: filter_of()["unicast"] == "normal", ANSWER_SECONDS)
        seen = filter_of()
        check(seen["main-mac"] == mac and seen["broadcast-allowed"] and not seen["promiscuous"] and seen["unicast-table"] == [], f"{seen}")
        for word, key, value in (("promisc", "promiscuous", True), ("-promisc", "promiscuous", False), ("allmulti", "multicast", "all")):
            g.must(f"ifconfig eth0 {word}")
            wait_until(f"{word} in the filter", lambda: filter_of()[key] == value, ANSWER_SECONDS)
        g.refused("invalid net client name: other", "query-rx-filter", name="other")
        g.events.clear()
        g.must("date -u -s '2031-05-06 07:08:09' && hwclock -w -u")
        before = time.time()

        def told():
            g.ask("query-status")
            return [e["data"] for e in g.events if e["event"] == "RTC_CHANGE"]
        data = wait_until("RTC_CHANGE", told, ANSWER_SECONDS)[-1]
        ahead = 1935817689 - before  # 2031-05-06T07:08:09Z
        check(abs(data["offset"] - ahead) < ANSWER_SECONDS and data["qom-path"] == "/machine/rtc", f"{data}, {ahead} were to be expected")


def captures():
    """object-add filter-dump while it runs; the file is whole when the back end goes."""
    mac = "52:54:00:00:00:0a"
    with Plugged("-netdev", "user,id=n0,net=10.7.0.0/24,host=10.7.0.1", "-device", f"e1000,netdev=n0,id=nic0,mac={mac}") as g:
        name = g.interface(mac)
        file = os.path.join(g.folder, "a.pcap")
        g.good("object-add", **{"qom-type": "filter-dump"}, id="f0", netdev="n0", file=file)
        g.refused("duplicate", "object-add", **{"qom-type": "filter-dump"}, id="f0", netdev="n0", file=file + "2")
        g.refused("no -netdev", "object-add", **{"qom-type": "filter-dump"}, id="f1", netdev="nx", file=file + "2")
        g.must(f"ip link set {name} up; ip address add 10.7.0.20/24 dev {name}")
        g.pings("10.7.0.1")
        g.good("object-del", id="f0")
        g.refused("object 'f0' not found", "object-del", id="f0")
        live_capture(g)
        size = os.path.getsize(file)
        check(size > 100, f"capture of {size} bytes")
        g.pings("10.7.0.1")
        check(os.path.getsize(file) == size, "a capture that had ended grew")
        g.good("object-add", **{"qom-type": "filter-dump"}, id="f0", netdev="n0", file=file)
        g.good("netdev_del", id="n0")  # under a NIC that is up, with a capture on it
        check(network_of(g)["nic0"]["link"] is False, "link without a back end")
        g.must(f"i=0; until [ \"$(cat /sys/class/net/{name}/carrier)\" = 0 ]; do i=$((i+1)); [ $i -lt 300 ] || break; sleep 0.1; done; [ $i -lt 300 ]")
        g.refused("not found", "object-del", id="f0")
        g.unplug("nic0", mac)  # one of the command line goes as well


def refusals():
    with Plugged("-netdev", "user,id=n0", "-device", "e1000,netdev=n0,id=nic0,mac=52:54:00:00:00:01", "-netdev", "hubport,id=h0,hubid=0") as g:
        g.refused("Device 'nope' not found", "device_del", "DeviceNotFound", id="nope")
        g.refused("Device 'nope' not found", "netdev_del", "DeviceNotFound", id="nope")
        g.refused("does not support hot-plugging", "device_del", id="serial0")
        g.refused("Duplicate ID 'n0'", "netdev_add", type="user", id="n0")
        g.refused("Duplicate device ID 'nic0'", "device_add", driver="e1000", id="nic0")
        g.refused("it's in use", "device_add", driver="e1000", netdev="n0")
        g.refused("can't find value 'n9'", "device_add", driver="e1000", netdev="n9")
        g.refused("same address", "device_add", driver="e1000", mac="52:54:00:00:00:01")
        g.refused("taken by", "device_add", driver="e1000", addr="2" if "VGA" in g.monitor("info pci") else "3")
        g.refused("cannot be plugged", "device_add", driver="VGA")
        g.refused("cannot be plugged", "device_add", driver="rtl8139", netdev="h0")
        g.refused("Parameter 'driver' is missing", "device_add", id="x")
        g.refused("Parameter 'id' is missing", "netdev_add", type="user")
        g.refused("colour", "netdev_add", type="user", id="x", colour="red")
        g.refused("no network back end", "netdev_add", type="usr", id="x")
        g.refused("expected: string", "netdev_add", type=7, id="x")
        g.refused("Invalid parameter type for 'net'", "netdev_add", type="user", id="x", net=None)
        g.refused("is unexpected", "netdev_add", **{"type": "user", "id": "x", "net,evil": "1"})
        g.refused("ifname=", "netdev_add", type="tap", id="x", ifname="much-too-long-a-name", script="no")
        for n in range(40):  # the bus fills up, and says so
            answer = g.ask("device_add", driver="e1000", id=f"many{n}")
            if "error" in answer:
                check("no PCI slot is free" in answer["error"]["desc"], answer)
                break
        else:
            raise AssertionError("40 NICs fit")
        check(n > 20, f"only {n} NICs fit")
        for k in range(n):
            g.good("device_del", id=f"many{k}")
            g.good("device_del", id=f"many{k}") if k % 5 == 0 else None  # asked twice: reminded
        wait_until("all to go", lambda: len(network_of(g)) == 1, 4 * ANSWER_SECONDS)
        g.must("true")
    return f"{n} more NICs"


def nobody_answers():
    """A guest without ACPI keeps its NIC until the reset; one that never ran loses it at once."""
    mac = "52:54:00:00:00:0b"
    with Plugged("-no-acpi", "-netdev", "user,id=n0", "-device", f"e1000,netdev=n0,id=nic0,mac={mac}", "-S", ready=False) as g:
        g.good("device_del", id="nic0")
        check([e["event"] for e in g.events] == ["DEVICE_DELETED"] or g.deleted("nic0") is None, "not started")
        g.events.clear()
        g.good("device_add", driver="e1000", netdev="n0", id="nic0", mac=mac)
        g.good("cont")
        g.expect(b"# ", test_back_ends.BOOT_SECONDS)
        g.run("PS1=; PS2=; stty -echo")
        g.must("modprobe e1000 2>/dev/null; true")
        g.interface(mac)
        g.good("device_del", id="nic0")
        g.must("true")
        check("nic0" in network_of(g), "gone though nobody let go of it")
        g.good("system_reset")  # -no-reboot: this one ends the machine, as QEMU's does
        check(g.process.wait(ANSWER_SECONDS) == 0, "the end")


if __name__ == "__main__":
    listed = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    images = {image["name"]: image for image in json.loads(listed.stdout)} if listed.returncode == 0 else {}
    if "mini" not in images:
        print("SKIP: needs the image `mini`: netlab image build mini")
        sys.exit(77)
    test_back_ends.IMAGE.update(images["mini"])
    main(user_and_back, every_back_end, filters_and_clock, captures, refusals, nobody_answers,
         *([under_the_interpreter] if os.environ.get("NETLAB_TEST_FULL") else []))
