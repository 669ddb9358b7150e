# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""SIGKILL at every point of the journal, in `up` and in `down`, then `down`: nothing may be different from before.

NETLAB_CRASH_AT=N kills at the N-th point; a sweep goes on until a run survives because it has fewer points than N.
"""
import os
import signal

from harness import MODE, TWO_HOSTS, Lab, Failure, check, main, wait_until

MOST_POINTS = 400
HERE = ["--here"]


def crash(n, whom):
    return {"NETLAB_CRASH_AT": str(n), "NETLAB_CRASH_KILL": whom}


def sweep_up(whom, args=()):
    lab = Lab()
    lab.netlab("status", rc=4)  # makes the store
    before = lab.dump()
    for n in range(1, MOST_POINTS):
        result = lab.netlab("up", *args, rc=None, env=crash(n, whom))
        if result.returncode == 0:
            lab.netlab("down")
            lab.check_clean(before, "after the sweep")
            lab.remove()
            check(n > 30, f"only {n - 1} points: the sweep does not see the journal")
            return f"{n - 1} points"
        if whom == "self" and result.returncode > 0:
            # The command lived: it has to have cleaned up by itself.
            lab.check_clean(before, f"point {n}, before down")
        elif n % 2:
            # Every other time `up` is what comes next: it has to work in spite of what was left.
            lab.netlab("up", *args)
            lab.check_running("h1", "h2")
        lab.netlab("down", "--lab", lab.name, rc=None)
        lab.check_clean(before, f"killed {whom} at point {n}")
    raise Failure(f"no end after {MOST_POINTS} points")


def sweep_down(args=()):
    """`down` killed: `down` again, `up` and `repair` find their way."""
    lab = Lab()
    lab.netlab("status", rc=4)
    before = lab.dump()
    for n in range(1, MOST_POINTS):
        lab.netlab("up", *args)
        result = lab.netlab("down", rc=None, env=crash(n, "self"))
        if result.returncode == 0:
            lab.check_clean(before, "after the sweep")
            lab.remove()
            check(n > 15, f"only {n - 1} points: the sweep does not see the journal")
            return f"{n - 1} points"
        # `up` and `repair` have to work in spite of what was left, too.
        if n % 3 == 1:
            lab.netlab("up", *args)
            lab.check_running("h1", "h2")
        elif n % 3 == 2:
            lab.netlab("repair")
        lab.netlab("down", "--lab", lab.name, rc=None)
        lab.check_clean(before, f"down killed at point {n}")
    raise Failure(f"no end after {MOST_POINTS} points")


CHANGED = TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], run: [true]}}\n  h3: {{networks: [lan, dmz]}}").replace(
    "networks:\n", "networks:\n  dmz: {{subnet: 10.2.0.0/24}}\n", 1)


def sweep_change(args=()):
    """Killed while a changed file is applied: `up` again arrives at the new state, `down` at none."""
    lab = Lab()
    lab.netlab("status", rc=4)
    before = lab.dump()
    for n in range(1, MOST_POINTS):
        lab.write(TWO_HOSTS.format(name=lab.name))
        lab.netlab("up", *args)
        lab.write(CHANGED.format(name=lab.name))
        result = lab.netlab("up", *args, rc=None, env=crash(n, "all"))
        if result.returncode != 0 and n % 2:
            lab.netlab("up", *args)
        if result.returncode == 0 or n % 2:
            lab.check_running("h1", "h2", "h3")
            check("nothing to do" in lab.netlab("up", *args).stdout, "not at the wanted state after all")
        lab.netlab("down", "--lab", lab.name)
        lab.check_clean(before, f"change killed at point {n}")
        if result.returncode == 0:
            lab.remove()
            return f"{n - 1} points"
    raise Failure(f"no end after {MOST_POINTS} points")


RESTARTED = TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], restart: always}}")


def sweep_restart(args=()):
    """The supervisor killed while it starts a machine again: `up` mends, `down` takes away, `repair` makes it whole."""
    lab = Lab(RESTARTED)
    lab.netlab("status", rc=4)
    before = lab.dump()
    for n in range(1, MOST_POINTS):
        lab.netlab("up", *args, env={"NETLAB_CRASH_RESTART_AT": str(n)})
        supervisor, machines = lab.pids()
        os.kill(machines["h2"], signal.SIGKILL)

        def outcome():
            status = lab.status()
            note = next(node["note"] for node in status["nodes"] if node["name"] == "h2")
            return "killed" if not status["supervisor"] else "survived" if note.startswith("restarted 1 time") else None

        result = wait_until("it is restarted, or the supervisor dead", outcome, 30)
        if result == "survived":
            # The last point stands after all that: it may come yet.
            lab.netlab("down")
            lab.check_clean(before, "after the sweep")
            if n > 8:
                lab.remove()
                return f"{n - 1} points"
            continue
        if n % 3 == 0:
            lab.netlab("up", *args)
            lab.check_running("h1", "h2")
            check(lab.pids()[1]["h1"] == machines["h1"], "h1 was restarted too")
        elif n % 3 == 1:
            lab.netlab("repair")
            # Made whole at once, or by the new supervisor, which goes on where the old one was.
            wait_until("h2 is back", lambda: lab.node("h2")["state"] == "running")
            check(lab.pids()[1]["h1"] == machines["h1"], "h1 was restarted too")
        lab.netlab("down")
        lab.check_clean(before, f"supervisor killed at point {n} of a restart")
    raise Failure(f"no end after {MOST_POINTS} points")


def restart_supervisor():
    return sweep_restart()


def restart_supervisor_here():
    return sweep_restart(HERE)


def up_self():
    return sweep_up("self")


def up_client():
    return sweep_up("client")


def up_all():
    return sweep_up("all")


def up_all_here():
    return sweep_up("all", HERE)


def up_self_here():
    return sweep_up("self", HERE)


def down_self():
    return sweep_down()


def down_self_here():
    return sweep_down(HERE)


def change_all():
    return sweep_change()


def change_all_here():
    return sweep_change(HERE)


if __name__ == "__main__":
    tests = [up_self, up_client, up_all, down_self, change_all, restart_supervisor]
    if MODE == "root":
        tests += [up_all_here, up_self_here, down_self_here, change_all_here, restart_supervisor_here]
    main(*tests)
