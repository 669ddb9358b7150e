# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Every system call of `netlab host bridge|tap|uplink|dhcp`, of the process that renews a lease and of the watchdog: killed
there, failed there, answered with an error there (docs/journal.md, "The proof"). What was killed is taken back by `repair`
or finished by the same verb; what failed says so and has changed nothing, or is finished by the same verb. Options as in
test_callfault.py, which does the sweeping.
"""
import json
import os
import random
import re
import signal
import subprocess
import sys

import points_tried
from harness import check, main, processes, wait_until
from test_callfault import ALONE, BROKEN, FULL, SEED, Fault, ip, run, supervisors, sweep
from test_host_dhcp import Net
from test_host_links import Host
from test_uplinks import Outside

ADD, TAP = ("bridge", "add", "br0"), ("tap", "add", "tap0")
ADD_BACK, TAP_BACK = ("bridge", "del", "br0"), ("tap", "del", "tap0")
ATTACH, DETACH = ("bridge", "attach", "br0", "eth1"), ("bridge", "detach", "br0", "eth1")
BRIDGE, RESTORE = ("uplink", "bridge", "up0"), ("uplink", "restore", "up0")


class HostScene:
    """Of test_host_links.Host, whose own dumps wait for the kernel."""

    def __init__(self, host, back, close=()):
        self.host, self.lab, self.back, self.more = host, host.lab, back, close
        self.lab.host = host

    def dump(self):
        return self.host.dump()

    def check_clean(self, before, what):
        self.host.before = before
        self.host.check_clean(what)

    def clean(self, fault):
        for args in self.back:
            self.host.do(*args)

    def clean_by_force(self):
        self.lab.netlab("repair", rc=None)
        for args in self.back:
            self.host.do(*args, rc=None)

    def close(self):
        self.host.close()
        for thing in self.more:
            thing.close()


def verb_fault(setup, verb, makes):
    """`makes`: after a failure nothing of what it should have made may be there."""
    def one(lab, fault):
        host = lab.host
        for args in setup:
            host.do(*args)
        before = makes and shape(lab)
        result = run(lab, fault, "host", *verb)
        if not result.returncode:
            return
        if fault.kills():
            wait_until("the watchdog to end", lambda: not [c for c in processes().values() if " watchdog " in c])
            if fault.at % 2:
                lab.netlab("repair")
                check("nothing to do" in lab.netlab("repair").stdout, "repair leaves work")
                rows = [link for link in host.links().values() if link["unfinished"]]
                check(not rows, f"unfinished after repair: {rows}")
        elif makes:
            check(shape(lab) == before, f"failed with {result.text}: was {before}, is {shape(lab)}")
        again = host.do(*verb, rc=None)
        check(again.returncode == 0 or "so nothing is put back" in again.text, f"the second time: {again.text}")
    return one


def shape(lab):
    """What a verb that failed has to leave as it was, but for what the kernel does to links in its own time."""
    return (re.sub(r"<\S+>|state \S+|qdisc \S+|\w+_timer +\S+|tso_max_size \d+", "", ip("-o -d link")), ip("-o -4 addr"), ip("-o -6 addr show scope global"),
            ip("-4 route show table all"), ip("rule"), lab.rows())


def bridge_add():
    return sweep(HostScene(Host(), (ADD_BACK,)), verb_fault((), ADD, True), ALONE, 20)


def bridge_del():
    return sweep(HostScene(Host(nic=True), ()), verb_fault((ADD, ATTACH), ADD_BACK, False), ALONE, 20)


def tap_add():
    return sweep(HostScene(Host(), (TAP_BACK,)), verb_fault((), TAP, True), ALONE, 20)


def tap_del():
    return sweep(HostScene(Host(), ()), verb_fault((TAP,), TAP_BACK, False), ALONE, 20)


def bridge_attach():
    return sweep(HostScene(Host(nic=True), (DETACH, ADD_BACK)), verb_fault((ADD,), ATTACH, True), ALONE, 20)


def bridge_detach():
    return sweep(HostScene(Host(nic=True), (ADD_BACK,)), verb_fault((ADD, ATTACH), DETACH, False), ALONE, 20)


def outside():
    there = Outside()
    for address in ("198.51.100.7/32", "192.0.2.2/24", "2001:db8::1/64 nodad", "2001:db8::2/64 nodad"):
        ip(f"addr add {address} dev up0")
    ip("route add 10.99.0.0/16 via 192.0.2.9 metric 50")
    return there


def uplink_bridge():
    there = outside()
    return sweep(HostScene(Host(), (RESTORE,), (there,)), verb_fault((), BRIDGE, True), ALONE, 60)


def watchdog_that_dies():
    """While it is armed: `uplink bridge` says so, and is not ended by a signal itself."""
    there, host = outside(), Host()
    before = shape(host.lab)
    for at in range(1, 20):
        fault = Fault("fail", at)
        fault.classes, fault.error = "spawn", "EEXIST"
        result = run(host.lab, fault, "host", *BRIDGE)
        if result.returncode:
            check("watchdog" in result.text, result.text)
            check(shape(host.lab) == before, f"{fault}: {result.text}")
        else:
            host.do(*RESTORE)
        if not fault.hit:
            break
    check(at > 2, "it was not started at all")
    host.close()
    there.close()
    return f"{at - 1} points"


def uplink_restore():
    there = outside()
    return sweep(HostScene(Host(), (), (there,)), verb_fault((BRIDGE,), RESTORE, False), ALONE, 40)


# ---- leases ----

RENEWER = " host dhcp "
QUICK = ("--probe=off", "--timeout=20")


class LeaseScene:
    def __init__(self, net):
        self.net, self.lab = net, net.lab
        self.lab.net = net
        net.dhcp("show")

    def dump(self):
        return self.net.dump()

    def check_clean(self, before, what):
        self.net.check_clean(before, what)

    def clean(self, fault):
        if leases(self.net):
            self.net.dhcp("release", "eth0")

    def clean_by_force(self):
        self.net.dhcp("release", "eth0", rc=None)

    def close(self):
        self.net.close()


def leases(net):
    return json.loads(net.dhcp("show", "--json").stdout)


def settle(net):
    """Whoever is left of it may still be on its way."""
    wait_until("its process to be bound or gone", lambda: all(lease["state"] in ("bound", "not renewed") for lease in leases(net)), 60)


def dhcp_request():
    """The command and the process that it leaves behind."""
    clean = []

    def one(lab, fault):
        net = lab.net
        if not clean:
            clean.append(net.dump())
        result = run(lab, fault, "host", "dhcp", "request", "eth0", *QUICK)
        settle(net)
        if result.returncode and not fault.kills():
            net.check_clean(clean[0], f"failed with {result.text}")
        elif not result.returncode:
            found = leases(net)
            check(len(found) == 1 and found[0]["address"].startswith("10.77.0.5"), f"success without a lease: {found} {result.text}")
        if result.returncode and fault.at % 2:
            if leases(net):
                net.dhcp("release", "eth0")
            net.dhcp("request", "eth0", *QUICK)
            check(leases(net)[0]["state"] == "bound", f"{leases(net)}")
    return sweep(LeaseScene(Net(is_up=False)), one, ALONE, 60)


def dhcp_release():
    """The command, and the process that holds the lease and gives it back."""
    def one(lab, fault):
        net = lab.net
        net.dhcp("request", "eth0", *QUICK)
        run(lab, fault, "host", "dhcp", "release", "eth0", beside=RENEWER)
        settle(net)
    return sweep(LeaseScene(Net(is_up=False)), one, ALONE, 20)


def dhcp_renewal():
    """The process, while it renews: it goes on, or ends and says why; `release` gives back what there is."""
    def one(lab, fault):
        net = lab.net
        net.dhcp("request", "eth0", *QUICK)
        lease = leases(net)[0]
        report = os.path.join(lab.base, "report")
        traced = supervisors(RENEWER)
        check(traced, "no process")
        tracer = subprocess.Popen([*fault.arguments(report), *traced], stdout=subprocess.PIPE, text=True)

        def log():
            with open(lease["log"]) as file:
                return file.read()
        wait_until("a renewal, or its end", lambda: tracer.poll() is not None or "keeps 10.77.0.5" in log() or
                   lease["pid"] not in processes(), 60)
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGTERM)
        check(tracer.wait(timeout=60) != 77, "it cannot be traced")
        tracer.communicate()
        if os.path.exists(report):
            fault.read(report)
        check(not BROKEN.search(log()), log())
        wait_until("it to be gone, or to have renewed", lambda: lease["pid"] not in processes() or "keeps 10.77.0.5" in log(), 60)
        last = (log().strip().splitlines() or [""])[-1]
        check(fault.kills() or lease["pid"] in processes() or not re.search("DHCP|10.77.0.5", last), f"it ended without a word: {log()}")
    return sweep(LeaseScene(Net("--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,120", "--dhcp-option=option:T1,3s")), one, ALONE, 3)


if __name__ == "__main__":
    tests = [bridge_add, bridge_del, tap_add, tap_del, bridge_attach, bridge_detach, uplink_bridge, uplink_restore, dhcp_request,
             dhcp_release, dhcp_renewal]
    # The short version takes two sweeps, others each run; named ones and the long version are whole.
    if not FULL and not sys.argv[1:]:
        tests = random.Random(SEED).sample(tests, 2)
    main(watchdog_that_dies, *tests, finish=points_tried.show)
