# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""`netlab host bridge|tap|uplink|show`: the recipe's steps one by one, given back without a trace; what is not netlab's
stays; what is killed at any point is taken back by the next verb or by `repair`."""
import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess

from harness import BIN, Failure, Lab, check, main, network, processes, wait_until
from test_uplinks import Outside

MOST_POINTS = 60


def ip(words):
    return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout


def settled():
    """The namespace twice alike, without timers and learned MACs, which go on."""
    def look():
        text = re.sub(r"_timer +[\d.]+", "_timer", network())
        return re.sub(r"(?m)^\S+ dev \S+ (vlan \d+ )?master \S+ *\n", "", text)
    last = [look()]

    def is_same():
        text, last[0] = last[0], look()
        return text == last[0]
    wait_until("the namespace to settle", is_same, 20)
    return last[0]


class Host:
    """This host, whose only lab is none: its store, and eth1, a NIC without addresses."""

    def __init__(self, nic=False):
        self.lab = Lab()
        if nic:
            ip("link add eth1 type veth peer name far1")
            for name in ("eth1", "far1"):
                ip(f"link set {name} addrgenmode none")
                ip(f"link set {name} up")
            # Their first time up leaves a little behind, in the kernel's own time.
            wait_until("both to be up", lambda: all(f"ff00::/8 dev {name}" in ip("-6 route show table all") for name in ("eth1", "far1")), 30)
            ip("link set eth1 down")
        self.nic = nic
        self.do("show")
        self.before = self.dump()

    def do(self, *args, rc=0, **more):
        return self.lab.netlab("host", *args, rc=rc, timeout=120, **more)

    def links(self):
        return {link["name"]: link for link in json.loads(self.do("show", "--json").stdout)["links"]}

    def dump(self):
        return {"network": settled(), "store": self.lab.rows(), "processes": sorted(processes().values())}

    def check_clean(self, what):
        try:
            wait_until("it to be clean", lambda: self.dump() == self.before, 15)
        except Failure:
            after = self.dump()
            for part, value in self.before.items():
                if after[part] != value:
                    old, new = (str(v).splitlines() for v in (value, after[part]))
                    raise Failure(f"{what}: {part}: gone {[x for x in old if x not in new]}, new {[x for x in new if x not in old]}")

    def close(self):
        if self.nic:
            ip("link del eth1")
        self.lab.remove()


def recipe():
    host = Host(nic=True)
    host.do("bridge", "add", "br0", "--mtu=1400")
    host.do("tap", "add", "tap0", "--user=nobody")
    host.do("tap", "add", "tap1", "-u", "0")
    for port in ("eth1", "tap0", "tap1"):
        host.do("bridge", "attach", "br0", port)
    links = host.links()
    check(links["br0"]["kind"] == "bridge" and links["br0"]["owner"] == "host" and links["br0"]["mtu"] == 1400 and links["br0"]["up"] and
          links["br0"]["ports"] and set(links["br0"]["ports"]) == {"eth1", "tap0", "tap1"}, links["br0"])
    check(links["tap0"]["kind"] == "tap" and links["tap0"]["user"] == "nobody" and links["tap0"]["bridge"] == "br0" and links["tap0"]["attached"],
          links["tap0"])
    check(links["eth1"]["up"] and links["eth1"]["attached"] and links["eth1"]["owner"] is None, links["eth1"])
    check("netlab:@host:br0" in ip("-d link show br0") and "tun type tap" in ip("-d link show tap0"), ip("-d link"))
    said = host.do("show").stdout
    check(all(len(line) <= 80 for line in said.splitlines()) and "for user nobody" in said and "attached by netlab" in said, said)
    # Again is no error and changes nothing.
    dump = host.links(), host.lab.rows()
    for args in (("bridge", "add", "br0"), ("tap", "add", "tap0", "--user=nobody"), ("bridge", "attach", "br0", "tap0")):
        check("already" in host.do(*args).stdout, args)
    check((host.links(), host.lab.rows()) == dump, "the second time has changed something")
    check("lab" not in host.lab.netlab("status", rc=4).stdout, "status shows a lab")
    check("nothing to do" in host.lab.netlab("repair").stdout and (host.links(), host.lab.rows()) == dump, "repair has taken something away")
    # The way back, in two ways: step by step, and the bridge with what is in it.
    host.do("bridge", "detach", "br0", "tap1")
    check(host.links()["tap1"]["bridge"] is None and host.links()["tap1"]["up"], "tap1 was up before, and free now")
    host.do("tap", "del", "tap0")  # a port still
    host.do("bridge", "del", "br0")
    check(not host.links()["eth1"]["up"], "eth1 was down before")
    host.do("tap", "del", "tap1")
    host.check_clean("after the recipe and back")
    for args in (("bridge", "del", "br0"), ("tap", "del", "tap0")):
        check("nothing to do" in host.do(*args).stdout, args)
    host.close()


def errors():
    host = Host(nic=True)
    ip("link add mine type bridge")
    ip("link add other type veth peer name other2")
    ip("tuntap add yours mode tap")
    ip("addr add 10.9.0.1/24 dev other")
    without, host.before = host.before, host.dump()
    for args, word in ((("bridge", "add", "mine"), "netlab has not made it"), (("tap", "add", "yours"), "netlab has not made it"),
                       (("bridge", "add", "a/b"), "a/b"), (("bridge", "add", "a-name-far-too-long"), "15"),
                       (("bridge", "del", "mine"), "was not made by `netlab host bridge add`"),
                       (("tap", "del", "yours"), "was not made by `netlab host tap add`"),
                       (("bridge", "del", "eth1"), "was not made by"), (("bridge", "add", "all"), "may not be \"all\""),
                       (("tap", "add", "t", "--user=no-such-user"), "there is no user"),
                       (("bridge", "attach", "mine", "eht1"), "there is no interface \"eht1\""),
                       (("bridge", "attach", "eth1", "other"), "eth1 is no bridge"), (("bridge", "attach", "mine", "lo"), "the loopback"),
                       (("bridge", "attach", "mine", "other"), "`netlab host uplink bridge other`"),
                       (("uplink", "bridge", "lo"), "lo cannot be bridged"), (("uplink", "bridge", "nix"), "there is no interface"),
                       (("uplink", "restore", "eth1"), "was not bridged by `netlab host uplink bridge`"),
                       (("uplink", "bridge", "eth1", "--bridge=mine"), "mine")):
        said = host.do(*args, rc=1).stderr
        check(word in said, f"{args}: {said}")
        host.check_clean(f"{args}")
    for args, word in ((("uplink", "bridge", "eth1", "--confirm"), "asks on the terminal"), (("bridge", "add", "b", "--mtu=7"), "--mtu"),
                       (("bridge", "attach", "b"), "INTERFACE")):
        said = host.do(*args, rc=2).stderr
        check(word in said, f"{args}: {said}")
    # What others have put into our bridge, and what of ours they have changed.
    host.do("bridge", "add", "br0")
    host.do("tap", "add", "tap0")
    check("`netlab host tap del tap0` removes it" in host.do("bridge", "del", "tap0", rc=1).stderr, "a TAP of ours")
    host.do("tap", "del", "tap0")
    ip("link set eth1 master br0")
    check("has ports that" in host.do("bridge", "del", "br0", rc=1).stderr, "a foreign port")
    check("was not put into br0" in host.do("bridge", "detach", "br0", "eth1", rc=1).stderr, "a foreign port")
    check("is a port of br0 already" in host.do("bridge", "attach", "mine", "eth1", rc=1).stderr, "a port of another")
    ip("link set eth1 nomaster")
    host.do("bridge", "attach", "br0", "eth1")
    ip("link set eth1 master mine")  # moved on
    host.do("bridge", "del", "br0")
    check(host.links()["eth1"]["bridge"] == "mine", "it was taken from where others have put it")
    ip("link set eth1 nomaster")
    ip("link set eth1 down")
    host.do("bridge", "add", "br0")
    ip("link del br0")
    check("nothing to do" in host.do("bridge", "del", "br0").stdout, "its link is gone")
    host.do("bridge", "add", "br0")
    ip("link set br0 alias changed")
    check("was not made by" in host.do("bridge", "del", "br0", rc=1).stderr, "another mark")
    ip("link del br0")
    for name in ("mine", "other", "yours"):
        ip(f"link del {name}")
    host.before = without
    host.check_clean("after others' changes")
    said = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", BIN, "host", "bridge", "add", "br0"], capture_output=True, text=True,
                          env=host.lab.env, cwd=host.lab.folder, timeout=60)
    check(said.returncode == 6 and "CAP_NET_ADMIN" in said.stderr, f"{said}")
    host.check_clean("without privilege")
    host.close()


def lost_and_rebooted():
    host = Host(nic=True)
    def database(command):
        with sqlite3.connect(os.path.join(host.lab.base, "state", "netlab.db")) as db:
            db.execute(command)
    # The store is lost: marks tell.
    host.do("bridge", "add", "br0")
    host.do("tap", "add", "tap0")
    host.do("bridge", "attach", "br0", "tap0")
    database("DELETE FROM host_object")
    check(host.links()["br0"]["owner"] == "host", "by its mark")
    check("nothing to do" in host.lab.netlab("repair").stdout, "repair takes away what somebody wants")
    host.do("bridge", "detach", "br0", "tap0")
    host.do("bridge", "attach", "br0", "tap0")
    database("DELETE FROM host_object")
    host.do("bridge", "del", "br0")
    host.do("tap", "del", "tap0")
    host.check_clean("after the store was lost")
    # Another boot's rows: forgotten, the same names are free.
    host.do("bridge", "add", "br0")
    ip("link del br0")
    database("UPDATE host_object SET boot_id = '00000000-0000-0000-0000-000000000000'")
    planned = host.lab.netlab("repair", "--dry-run").stdout
    check("forget the bridge br0 of before the reboot" in planned and host.lab.rows().get("host_object"), planned)
    host.do("bridge", "add", "br0")
    check(host.lab.rows()["host_object"] == 1, "the old row is still there")
    host.do("bridge", "del", "br0")
    host.check_clean("after a reboot")
    host.close()


def killed_everywhere():
    """SIGKILL at every point of each verb; the same verb again, or repair, and its counterpart leave nothing."""
    host = Host(nic=True)
    add, tap = ("bridge", "add", "br0"), ("tap", "add", "tap0")
    attach, detach = ("bridge", "attach", "br0", "eth1"), ("bridge", "detach", "br0", "eth1")
    tried = 0
    for setup, verb, back in (((), add, (("bridge", "del", "br0"),)), ((add,), ("bridge", "del", "br0"), ()),
                              ((), tap, (("tap", "del", "tap0"),)), ((tap,), ("tap", "del", "tap0"), ()),
                              ((add,), attach, (detach, ("bridge", "del", "br0"))), ((add, attach), detach, (("bridge", "del", "br0"),)),
                              ((add, attach), ("bridge", "del", "br0"), ())):
        for point in range(1, MOST_POINTS):
            for args in setup:
                host.do(*args)
            result = host.do(*verb, rc=None, env={"NETLAB_CRASH_AT": str(point)})
            tried += 1
            if result.returncode:
                check(result.returncode == -signal.SIGKILL, f"{verb} at {point}: {result.text}")
                if point % 2:
                    host.lab.netlab("repair")
                    check("nothing to do" in host.lab.netlab("repair").stdout, f"{verb} at {point}: repair leaves work")
                    rows = [link for link in host.links().values() if link["unfinished"]]
                    check(not rows, f"{verb} at {point}: {rows}")
                host.do(*verb)
            for args in back:
                host.do(*args)
            host.check_clean(f"{verb} killed at point {point}")
            if not result.returncode:
                check(point > 4, f"{verb} has only {point - 1} points")
                break
        else:
            raise Failure(f"{verb} has more points than were tried")
    host.close()
    return f"{tried} points"


def uplink():
    outside = Outside()
    outside.ip("addr add 198.51.100.7/32 dev up0")
    outside.ip("route add 10.99.0.0/16 via 192.0.2.9 metric 50")
    host = Host()
    said = host.do("uplink", "bridge", "up0").stdout
    check("up0 is a port of br0 now" in said, said)
    links = host.links()
    check(links["br0"]["uplink_of"] == "up0" and "192.0.2.1/24" in links["br0"]["addresses"] and not links["up0"]["addresses"], links)
    routes = ip("route")
    check("default via 192.0.2.9 dev br0" in routes and "10.99.0.0/16 via 192.0.2.9 dev br0" in routes, routes)
    check("already" in host.do("uplink", "bridge", "up0").stdout, "the second time")
    host.do("tap", "add", "tap0")
    host.do("bridge", "attach", "br0", "tap0")
    said = host.do("bridge", "del", "br0", rc=1).stderr
    check("`netlab host uplink restore br0`" in said, said)
    said = host.do("uplink", "restore", "up0").stdout
    check("up0 is as it was" in said, said)
    check(host.links()["tap0"]["bridge"] is None, "tap0")
    host.do("tap", "del", "tap0")
    host.check_clean("after restore")
    # By the bridge's name; and with the record lost, by its mark.
    host.do("uplink", "bridge", "up0", "--bridge=outer")
    host.do("uplink", "restore", "outer")
    host.check_clean("after restore by the bridge")
    host.do("uplink", "bridge", "up0")
    with sqlite3.connect(os.path.join(host.lab.base, "state", "netlab.db")) as db:
        db.execute("DELETE FROM host_object")
    said = host.do("uplink", "restore", "br0").stdout
    check("the record of br0 was lost" in said, said)
    host.check_clean("after a rescue")
    # Nobody answers: put back.
    outside.enter("ip", "link", "set", "out0", "arp", "off")
    outside.ip("neigh flush dev up0")
    host.before = host.dump()
    said = host.do("uplink", "bridge", "up0", rc=1, env={"NETLAB_UPLINK_TIMEOUT": "1"}).stderr
    check("no gateway answers" in said and "up0 was put back" in said, said)
    outside.ip("neigh flush dev up0")
    host.check_clean("after silence")
    host.close()
    outside.close()


def confirm():
    """The person's word on a terminal: ENTER keeps it; another word, silence, Ctrl-C and a lost session do not."""
    outside = Outside()
    host = Host()
    for answer, status in ((b"\n", 0), (b"no\n", 1), (None, 1), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        main_end, child_end = pty.openpty()
        process = subprocess.Popen([BIN, "host", "uplink", "bridge", "up0", "--confirm"], stdin=child_end, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=dict(host.lab.env, NETLAB_UPLINK_TIMEOUT="3" if answer is None else "60"),
                                   cwd=host.lab.folder)
        said = process.stdout.readline() + b""
        check(b"Press ENTER within" in said, f"{answer}: {said}")
        if isinstance(answer, bytes):
            os.write(main_end, answer)
        elif answer:
            process.send_signal(answer)
        said = process.communicate(timeout=60)[0].decode()
        check(process.returncode == status, f"{answer}: {process.returncode}: {said}")
        if status == 0:
            check(host.links()["br0"]["uplink_of"] == "up0", "kept")
            host.do("uplink", "restore", "up0")
        elif answer == signal.SIGKILL:
            wait_until("the watchdog to put it back", lambda: not host.links().get("br0") and host.links()["up0"]["addresses"], 30)
            host.lab.netlab("repair")
        os.close(main_end)
        os.close(child_end)
        host.check_clean(f"confirm answered by {answer}")
    host.close()
    outside.close()


def managers():
    """An address that ended while its NIC was bridged: who manages the NIC is asked to set it up again, if it runs."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    outside = Outside()
    host = Host()
    tools = os.path.join(host.lab.base, "tools")
    os.mkdir(tools)
    log, running = os.path.join(host.lab.base, "asked"), os.path.join(host.lab.base, "running")
    for name, text in (("systemctl", f'exec grep -qx "$3" {running}\n'), ("nmcli", f'echo "nmcli $*" >> {log}\n'),
                       ("networkctl", f'echo "networkctl $* $(ip -o link show up0 | cut -d: -f2)" >> {log}; exit 1\n')):
        with open(os.path.join(tools, name), "w") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(file.name, 0o755)

    def asked_for():
        """What it was asked for, but to read its files again and how far it is."""
        return "".join(line for line in open(log) if " reload" not in line and " GENERAL.STATE " not in line)

    env = {"PATH": f"{tools}:{os.environ['PATH']}"}
    told = {"": "ask for one with `netlab host dhcp request up0`", "NetworkManager": "NetworkManager was asked to set up up0 again",
            "systemd-networkd": "`networkctl reconfigure up0` failed; try it by hand"}
    for service, word in told.items():
        with open(running, "w") as file:
            file.write(service + "\n")
        open(log, "w").close()
        outside.ip("addr flush dev up0")
        outside.ip("addr add 192.0.2.1/24 dev up0 valid_lft 3600 preferred_lft 3600")
        outside.ip("route add default via 192.0.2.9")
        host.do("uplink", "bridge", "up0", env=env)
        said = host.do("uplink", "restore", "up0", env=env).stdout
        check(not asked_for() and "asked" not in said, f"asked for nothing: {said}")
        outside.ip("addr change 192.0.2.1/24 dev up0 valid_lft 4 preferred_lft 4")
        host.do("uplink", "bridge", "up0", env=env)
        wait_until("the address to end", lambda: not host.links()["br0"]["addresses"], 60)
        said = host.do("uplink", "restore", "up0", env=env).stdout
        check(word in said and "its lifetime is over" in said, f"{service}: {said}")
        asked = asked_for()
        check(asked == {"": "", "NetworkManager": "nmcli device reapply up0\n"}.get(service, asked), f"{service}: {asked}")
        check(service != "systemd-networkd" or asked.startswith("networkctl reconfigure up0  up0"), asked)
    # Renewed on the bridge meanwhile: the NIC has it for as long as the bridge would. The other one ends, and tells the time.
    outside.ip("addr add 192.0.2.1/24 dev up0 valid_lft 4 preferred_lft 4")
    outside.ip("addr add 198.51.100.7/32 dev up0 valid_lft 4 preferred_lft 4")
    outside.ip("route replace default via 192.0.2.9")
    host.do("uplink", "bridge", "up0")
    outside.ip("addr change 192.0.2.1/24 dev br0 valid_lft 3000 preferred_lft 2900")
    wait_until("the other address to end", lambda: "198.51.100.7/32" not in host.links()["br0"]["addresses"], 60)
    said = host.do("uplink", "restore", "up0").stdout
    check("198.51.100.7/32 again: its lifetime is over" in said and "192.0.2.1/24" not in said, said)
    left = re.search(r"192.0.2.1/24 .*?up0.*?valid_lft (\d+)sec preferred_lft (\d+)sec", ip("-4 addr show dev up0"), re.S)
    check(left and 2000 < int(left[2]) < int(left[1]) <= 3000, ip("-4 addr show dev up0"))
    check("default via 192.0.2.9 dev up0" in ip("route"), ip("route"))
    host.close()
    outside.close()
    subprocess.run(["umount", "/run"], check=True)


def unmanaged():
    """NetworkManager and systemd-networkd, as stand-ins, are kept from each link while it is there."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    outside = Outside()
    host = Host()
    try:
        tools = os.path.join(host.lab.base, "tools")
        os.mkdir(tools)
        for name in ("systemctl", "nmcli", "networkctl"):
            with open(os.path.join(tools, name), "w") as file:
                file.write("#!/bin/sh\n")
            os.chmod(file.name, 0o755)
        env = {"PATH": f"{tools}:{os.environ['PATH']}"}
        os.mkdir("/run/NetworkManager")

        def written():
            found = ""
            for folder in ("/run/NetworkManager/conf.d", "/run/systemd/network"):
                for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                    with open(os.path.join(folder, name)) as file:
                        found += file.read()
            return found

        host.do("bridge", "add", "br7", env=env)
        host.do("tap", "add", "tap7", env=env)
        host.do("uplink", "bridge", "up0", "--bridge=br8", env=env)
        for link in ("br7", "tap7", "br8"):
            check(f"match-device=interface-name:={link}\nmanaged=0" in written() and f"Name={link}\n[Link]\nUnmanaged=yes" in written(), written())
        check(len(set(re.findall(r"\[device-.*\]", written()))) == 3, written())
        host.lab.netlab("repair", env=env)
        check("br7" in written(), "repair leaves them")
        host.do("uplink", "restore", "up0", env=env)
        host.do("tap", "del", "tap7", env=env)
        check("br7" in written() and "br8" not in written() and "tap7" not in written(), written())
        # Gone by another hand, and noticed by the next verb.
        subprocess.run(["ip", "link", "del", "br7"], check=True)
        host.do("bridge", "add", "br9", env=env)
        host.do("bridge", "del", "br9", env=env)
        check(written() == "", written())
        # Killed on the way: the next verb clears away.
        for n in range(1, 30, 4):
            host.lab.netlab("host", "bridge", "add", "br7", rc=None, env=dict(env, NETLAB_CRASH_AT=str(n)))
            host.do("bridge", "add", "br7", env=env)
            host.do("bridge", "del", "br7", env=env)
            check(written() == "", f"{n}: {written()}")
    finally:
        subprocess.run(["umount", "/run"], check=True)
        host.close()
        outside.close()


def settling():
    """A NIC that NetworkManager or systemd-networkd (stand-ins) is just setting up is waited for: its route comes after its address,
    and is on the bridge as well. In `up`, Ctrl-C ends the waiting, and nothing has been touched."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    outside = Outside()
    host = Host()
    tools = os.path.join(host.lab.base, "tools")
    os.mkdir(tools)
    running, state, asked = (os.path.join(host.lab.base, name) for name in ("running", "nm-state", "asked"))
    for name, text in (("systemctl", f'exec grep -qx "$3" {running}\n'), ("networkctl", "\n"),
                       ("nmcli", f'[ "$1" = -g ] || exit 0\n[ "$*" = "-g GENERAL.STATE device show up0" ] || exit 1\necho >> {asked}\ncat {state}\n')):
        with open(os.path.join(tools, name), "w") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(file.name, 0o755)
    env = dict(host.lab.env, PATH=f"{tools}:{os.environ['PATH']}")
    links = "/run/systemd/netif/links"
    os.makedirs(links)

    def start(*command):
        return subprocess.Popen([BIN, *command], cwd=host.lab.folder, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def read_until(process, word):
        said = ""
        while word not in said:
            line = process.stdout.readline()
            check(line, f"{word}: {said}")
            said += line
        return said

    def read_rest(process):
        said = process.stdout.read()  # communicate() would lose what is buffered
        process.stdout.close()
        process.wait(60)
        return said

    for service, busy, idle, where in (
            ("NetworkManager", "70 (connecting (getting IP configuration))\n", "100 (connected)\n", lambda: state),
            ("systemd-networkd", "ADMIN_STATE=configuring\nOPER_STATE=routable\n", "ADMIN_STATE=configured\nOPER_STATE=routable\n",
             lambda: os.path.join(links, str(socket.if_nametoindex("up0"))))):
        with open(running, "w") as file:
            file.write(service + "\n")
        outside.ip("route del default")
        with open(where(), "w") as file:
            file.write(busy)
        process = start("host", "uplink", "bridge", "up0")
        said = read_until(process, "waiting for")
        check(f"waiting for {service} to finish setting up up0 (45 s at most)" in said, said)
        if service == "NetworkManager":
            wait_until("it to ask again", lambda: os.path.getsize(asked) > 2, 30)
        check("br0" not in host.links(), "bridged before the service has finished")
        outside.ip("route add default via 192.0.2.9")
        with open(where(), "w") as file:
            file.write(idle)
        said += read_rest(process)
        check(process.returncode == 0 and said.count("waiting for") == 1 and "is a port of br0" in said, said)
        check("default via 192.0.2.9 dev br0" in ip("route"), ip("route"))
        said = host.do("uplink", "restore", "up0", env={"PATH": env["PATH"]}).stdout
        check("default via 192.0.2.9 dev up0" in ip("route") and "not finished" not in said, said)
        host.check_clean(service)
    with open(running, "w") as file:
        file.write("NetworkManager\n")
    with open(state, "w") as file:
        file.write("50 (connecting (configuring))\n")
    host.lab.write("nodes: {h1: {networks: [campus]}}\nnetworks: {campus: {uplink: up0}}\ndefaults: {kernel: kernel, ready: agent}\n")
    for dry_run in (True, False):
        process = start("up", *(["--dry-run"] if dry_run else []))
        if not dry_run:
            read_until(process, "waiting for NetworkManager")
            process.send_signal(signal.SIGINT)
        said = read_rest(process)
        check(process.returncode == (0 if dry_run else 130) and "waiting" not in said, f"{process.returncode}: {said}")
        host.check_clean("up that waits, and Ctrl-C")
    host.close()
    outside.close()
    subprocess.run(["umount", "/run"], check=True)


def uplink_killed():
    outside = Outside()
    host = Host()
    tried = 0
    for verb, setup in ((("uplink", "bridge", "up0"), None), (("uplink", "restore", "up0"), ("uplink", "bridge", "up0"))):
        for point in range(1, MOST_POINTS):
            if setup:
                host.do(*setup)
            result = host.do(*verb, rc=None, env={"NETLAB_CRASH_AT": str(point)})
            tried += 1
            if result.returncode and point % 2:
                host.lab.netlab("repair")
            if host.links().get("br0") or (result.returncode and point % 2 == 0 and not setup):
                if not host.links().get("br0"):
                    host.do("uplink", "bridge", "up0")
                host.do("uplink", "restore", "up0", rc=None)
            elif result.returncode:
                host.lab.netlab("repair")
            host.check_clean(f"{verb} killed at point {point}")
            if not result.returncode:
                check(point > 4, f"{verb} has only {point - 1} points")
                break
        else:
            raise Failure(f"{verb} has more points than were tried")
    host.close()
    outside.close()
    return f"{tried} points"


if __name__ == "__main__":
    main(recipe, errors, lost_and_rebooted, killed_everywhere, uplink, confirm, managers, settling, unmanaged, uplink_killed)
