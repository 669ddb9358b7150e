# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""SIGKILL at every point of the journal while a lab with all three kinds of uplinks goes up or down: the host's NIC with
its addresses and routes, its switches, tables, links and processes are what they were."""
import os
import shutil
import sqlite3

from harness import Failure, Lab, check, main
from test_uplinks import Outside, forwarding

MOST_POINTS = 400
# Killed at a sample of the points, each run beginning elsewhere, unless all are wanted.
STRIDE = 1 if os.environ.get("NETLAB_TEST_FULL") else 3

TOPOLOGY = """\
name: {name}
defaults: {{kernel: kernel, ready: agent}}
networks:
  campus: {{uplink: up0, subnet: 192.0.2.0/24}}
  nat: {{uplink: nat, subnet: 10.77.0.0/24, forward: [tcp 18080 -> h1:80]}}
  user: {{uplink: user}}
nodes:
  h1: {{networks: {{campus: 192.0.2.50, nat: auto, user: auto}}}}
"""


def crash(n, whom):
    return {"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": whom}


def sweep(one, least):
    outside = Outside()
    try:
        outside.ip("addr add 198.51.100.7/32 dev up0")
        outside.ip("route add 10.99.0.0/16 via 192.0.2.9 metric 50")
        lab = Lab(TOPOLOGY)
        lab.netlab("status", rc=4)
        before = lab.dump()
        check(forwarding("up0") == "0", "the host does not forward")
        tried = 0
        for n in range(1 + os.getpid() % STRIDE, MOST_POINTS, STRIDE):
            survived = one(lab, n)
            lab.netlab("down", "--lab", lab.name, rc=None)
            lab.check_clean(before, f"killed at point {n}")
            if survived:
                check(n > least, f"only {n - 1} points: the sweep does not see the journal")
                lab.remove()
                return f"{tried} of {n - 1} points"
            tried += 1
        raise Failure(f"no end after {MOST_POINTS} points")
    finally:
        outside.close()


def up_all():
    def one(lab, n):
        result = lab.netlab("up", rc=None, env=crash(n, "all"))
        if result.returncode and n % 2:
            lab.netlab("up")
            lab.check_running("@user", "h1")
        return result.returncode == 0
    return sweep(one, 40)


def up_self():
    return sweep(lambda lab, n: lab.netlab("up", rc=None, env=crash(n, "self")).returncode == 0, 40)


def down_self():
    def one(lab, n):
        lab.netlab("up")
        return lab.netlab("down", rc=None, env=crash(n, "self")).returncode == 0
    return sweep(one, 15)


def reboot_in_between():
    """The store says that a lab with all uplinks is up, of before a reboot: the network, set up anew since, is not touched."""
    outside = Outside()
    try:
        for verb in ("down", "repair", "up"):
            lab = Lab(TOPOLOGY)
            lab.netlab("status", rc=4)
            before = lab.dump()
            lab.netlab("up")
            state, kept = os.path.join(lab.base, "state"), os.path.join(lab.base, "kept")
            shutil.copytree(state, kept)
            lab.netlab("down")
            lab.check_clean(before | {"files": lab.dump()["files"]}, "after down")
            shutil.rmtree(state)
            os.rename(kept, state)
            with sqlite3.connect(os.path.join(state, "netlab.db")) as db:
                db.execute("UPDATE lab SET boot_id = '00000000-0000-0000-0000-000000000000'")
                boot = open("/proc/sys/kernel/random/boot_id").read().strip()
                db.execute("UPDATE object SET identity = replace(identity, ?, '00000000-0000-0000-0000-000000000000')", (boot,))
            db.close()
            # What the host has under the old names meanwhile is not ours.
            outside.ip("addr add 203.0.113.9/32 dev up0")
            now = lab.dump()["network"]
            lab.netlab(verb)
            if verb == "up":
                lab.check_running("@user", "h1")
                lab.netlab("down")
            lab.check_clean(before | {"network": now}, f"{verb} after a reboot")
            outside.ip("addr del 203.0.113.9/32 dev up0")
            lab.check_clean(before, f"{verb} after a reboot")
            lab.remove()
    finally:
        outside.close()


if __name__ == "__main__":
    main(up_all, up_self, down_self, reboot_in_between)
