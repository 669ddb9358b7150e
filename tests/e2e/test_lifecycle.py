# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The life of a lab: up, again, changed, interrupted, its parts killed, down; from anywhere, several at once."""
import json
import os
import re
import signal
import subprocess
import time

from harness import MODE, TWO_HOSTS, Lab, check, main, processes, wait_until

SILENT = TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], run: [fake silent]}}")


def clean_lab(topology=TWO_HOSTS, **kwargs):
    lab = Lab(topology, **kwargs)
    lab.netlab("status", rc=4)
    return lab, lab.dump()


def up_and_down():
    lab, before = clean_lab()
    check("lab lab is up: 2 machines, 1 network, 1 link" in lab.netlab("up").stdout, "no summary")
    lab.check_running("h1", "h2")
    status = lab.status()
    check(status["rootless"] == (MODE == "user"), f"rootless: {status}")
    check([nic["address"] for nic in status["nodes"][1]["nics"]] == ["10.1.0.2/24", "10.255.0.2/30"], f"{status['nodes'][1]}")
    supervisor, nodes = lab.pids()
    for pid in nodes.values():
        with open(f"/proc/{pid}/status") as file:
            text = file.read()
        check("CapEff:\t0000000000000000" in text and "CapBnd:\t0000000000000000" in text and "NoNewPrivs:\t1" in text,
              f"a machine has privileges: {text}")
        check(os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat(f"/proc/{supervisor}/ns/net").st_ino, "machine elsewhere")
    check(os.stat(f"/proc/{supervisor}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino, "the lab has no namespace of its own")
    links = subprocess.run(["nsenter", "-t", str(supervisor), *(["-U", "--preserve-credentials"] if MODE == "user" else []), "-n",
                            "ip", "-d", "-j", "link"], capture_output=True, text=True, check=True).stdout
    links = [link for link in json.loads(links) if link["ifname"] != "lo"]
    check(len(links) == 6, f"links: {links}")
    check(all(link["ifalias"].startswith("netlab:lab:") and len(link["ifname"]) <= 15 for link in links), f"unmarked: {links}")
    check({"lan", "h1.eth0", "h1.eth1-h2.eth1"} <= {name for link in links for name in link.get("altnames", [])}, f"{links}")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def up_again_changes_nothing():
    lab, before = clean_lab()
    lab.netlab("up")
    first = lab.pids()
    check("already up, nothing to do" in lab.netlab("up").stdout, "did something")
    check(lab.pids() == first, "processes changed")
    check("nothing to do" in lab.netlab("up", "--dry-run").stdout, "dry run has steps")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def dry_run_changes_nothing():
    lab, before = clean_lab()
    out = lab.netlab("up", "--dry-run").stdout
    check("create network lan" in out and "start machine h2" in out, out)
    lab.check_clean(before, "after a dry run")
    lab.remove()


def changed_file():
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, first = lab.pids()
    # h2 gets a command, h3 comes: h1 must not notice.
    lab.write(TWO_HOSTS.format(name="lab").replace("h2: {networks: [lan]}", "h2: {networks: [lan], run: [date]}\n  h3: {networks: [lan]}"))
    lab.netlab("up")
    lab.check_running("h1", "h2", "h3")
    now, second = lab.pids()
    check(now == supervisor and second["h1"] == first["h1"], "what had not changed was restarted")
    check(second["h2"] != first["h2"], "h2 was not restarted")
    # One goes, its link too.
    lab.write("name: lab\ndefaults: {kernel: kernel, ready: agent}\nnetworks: {lan: {subnet: 10.1.0.0/24, host: 10.1.0.254}}\n"
              "nodes: {h3: {networks: {lan: 10.1.0.3}}}\n")
    lab.netlab("up")
    lab.check_running("h3")
    check(lab.pids()[1]["h3"] == second["h3"], "h3 was restarted although its payload is the same")
    check(len([c for c in processes().values() if "fake-emu" in c]) == 1, f"machines left: {processes()}")
    # A failing change leaves what was there.
    lab.write(SILENT.format(name="lab"))
    result = lab.netlab("up", "--timeout", "1", rc=1)
    check("machine h2 was not ready within 1 s" in result.stderr and "Rolled back:" in result.stderr, result.text)
    lab.check_running("h3")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def without_topology_file():
    lab, before = clean_lab()
    lab.netlab("up")
    os.unlink(lab.file)
    os.unlink(os.path.join(lab.folder, "kernel"))
    lab.check_running("h1", "h2")
    lab.netlab("down", cwd="/")
    open(os.path.join(lab.folder, "kernel"), "w").close()
    lab.write(TWO_HOSTS.format(name="lab"))
    lab.check_clean(before, "after down")
    lab.remove()


def reader_of_down_goes():
    lab, before = clean_lab()
    lab.netlab("up")
    down = lab.start("down", "--verbose")
    down.stdout.close()
    check(down.wait(timeout=30) == 1, f"down ended with {down.returncode}")  # its output could not be written
    lab.check_clean(before, "after a down whose reader has gone")
    lab.remove()


def killed_machine():
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, first = lab.pids()
    os.kill(first["h1"], signal.SIGKILL)
    wait_until("h1's end is noted", lambda: "killed by signal 9" in lab.node("h1")["note"])
    check(lab.node("h1")["state"] == "ended" and lab.node("h2")["state"] == "running", f"{lab.status()}")
    lab.netlab("exec", "h1", "true", rc=125)
    lab.netlab("up")
    lab.check_running("h1", "h2")
    check(lab.pids()[1]["h2"] == first["h2"], "h2 was restarted too")
    for pid in lab.pids()[1].values():
        os.kill(pid, signal.SIGKILL)
    lab.netlab("down")
    lab.check_clean(before, "after down with dead machines")
    lab.remove()


def killed_supervisor():
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, first = lab.pids()
    os.kill(supervisor, signal.SIGKILL)
    wait_until("it is seen to be gone", lambda: lab.status()["supervisor"] == 0)
    check("Its supervisor is gone" in lab.netlab("status").stdout, "status says nothing")
    lab.netlab("up")
    now, second = lab.pids()
    check(now and now != supervisor and second == first, "machines were not taken over by the new supervisor")
    os.kill(second["h1"], signal.SIGKILL)
    wait_until("the new one notes an end", lambda: lab.node("h1")["note"] == "ended")
    lab.netlab("up")
    lab.check_running("h1", "h2")
    os.kill(lab.pids()[0], signal.SIGKILL)
    lab.netlab("down")
    lab.check_clean(before, "after down without a supervisor")
    # And everything dead at once.
    lab.netlab("up")
    supervisor, nodes = lab.pids()
    for pid in [supervisor, *nodes.values()]:
        os.kill(pid, signal.SIGKILL)
    lab.netlab("up")
    lab.check_running("h1", "h2")
    lab.netlab("down")
    lab.check_clean(before, "after everything had been killed")
    lab.remove()


def hanging_supervisor():
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, first = lab.pids()
    os.kill(supervisor, signal.SIGSTOP)
    lab.netlab("down")
    lab.check_clean(before, "after down with a stopped supervisor")
    # It does not answer, and nobody else is in its namespace any more: what was in that is made anew.
    lab.netlab("up")
    supervisor, first = lab.pids()
    os.kill(supervisor, signal.SIGSTOP)
    for pid in first.values():
        os.kill(pid, signal.SIGKILL)
    wait_until("the machines to end", lambda: not set(first.values()) & set(processes()))
    status = lab.netlab("status").stdout
    check("supervisor is gone" not in status, status)
    lab.netlab("up")
    lab.check_running("h1", "h2")
    supervisor, first = lab.pids()
    for pid in (supervisor, *first.values()):
        os.kill(pid, signal.SIGKILL)
    wait_until("all to end", lambda: not {supervisor, *first.values()} & set(processes()))
    status = lab.netlab("status").stdout
    check("Its supervisor is gone. `netlab up` starts" in status, status)
    lab.netlab("down")
    lab.check_clean(before, "after all had been killed")
    lab.remove()


def stubborn_machine():
    lab, before = clean_lab(TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], run: [fake stubborn]}}"))
    lab.netlab("up")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def interrupted():
    for number in (signal.SIGINT, signal.SIGTERM):
        lab, before = clean_lab(SILENT)
        up = lab.start("up")
        wait_until("machines have been started", lambda: len([c for c in processes().values() if "fake-emu" in c]) == 2)
        up.send_signal(number)
        out, _ = up.communicate(timeout=30)
        check(up.returncode == 130, f"status {up.returncode}: {out}")
        check("interrupted" in out and "stop machine h1" in out and "remove network lan" in out, out)
        lab.check_clean(before, f"after signal {number}")
        lab.remove()


def killed_up_cleans_itself():
    lab, before = clean_lab(SILENT)
    up = lab.start("up")
    wait_until("machines have been started", lambda: len([c for c in processes().values() if "fake-emu" in c]) == 2)
    up.kill()
    up.wait()
    up.stdout.close()
    lab.check_clean(before, "without any down")
    lab.remove()


def failing_machine():
    lab, before = clean_lab(TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], run: [fake exit 3]}}"))
    result = lab.netlab("up", rc=1)
    check("machine h2 ended before it was ready" in result.stderr and "fake-emu: told to exit" in result.stderr, result.text)
    check("Rolled back:\n  stop machine h2\n" in result.stderr, result.text)
    lab.check_clean(before, "after a failed up")
    lab.remove()


def late_machine():
    lab, before = clean_lab(SILENT)
    result = lab.netlab("up", "--timeout", "1", rc=1)
    check("machine h2 was not ready within 1 s" in result.stderr and "fake console" in result.stderr, result.text)
    lab.check_clean(before, "after a timeout")
    lab.remove()


def two_ups_at_once():
    lab, before = clean_lab(TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], run: [fake delay 1500]}}"))
    first = lab.start("up")
    wait_until("the first has begun", lambda: os.path.exists(os.path.join(lab.base, "run", "lab", "h2", "agent.sock")))
    result = lab.netlab("up", rc=5)
    check(f"lab lab is being changed by `netlab up` (pid {first.pid}, user " in result.stderr, result.text)
    lab.netlab("down", rc=5)
    check("has not finished" in lab.netlab("status").stdout, "status does not say that it is under way")
    out, _ = first.communicate(timeout=30)
    check(first.returncode == 0, out)
    lab.check_running("h1", "h2")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    # Truly at once: one wins, the other is told so or finds nothing to do.
    racers = [lab.start("up") for _ in range(4)]
    codes = sorted((racer.communicate(timeout=60), racer.returncode)[1] for racer in racers)
    check(codes[0] == 0 and set(codes) <= {0, 5}, f"statuses {codes}")
    lab.check_running("h1", "h2")
    racers = [lab.start("down") for _ in range(4)]
    codes = sorted((racer.communicate(timeout=60), racer.returncode)[1] for racer in racers)
    check(codes[0] == 0 and set(codes) <= {0, 4, 5}, f"statuses {codes}")
    lab.check_clean(before, "after four downs")
    lab.remove()


def two_labs():
    one, before = clean_lab(name="one")
    two = Lab(name="two", base=one.base)
    both = Lab(name="one", base=os.path.join(one.base, "other"))
    both.env = dict(one.env)
    one.netlab("up")
    two.netlab("up")
    one.check_running("h1", "h2")
    two.check_running("h1", "h2")
    check(set(one.pids()[1].values()).isdisjoint(two.pids()[1].values()), "labs share machines")
    labs = json.loads(one.netlab("status", "-a", "--json").stdout)["labs"]
    check([lab["name"] for lab in labs] == ["one", "two"], f"{labs}")
    # The same name from another folder.
    result = both.netlab("up", rc=5)
    check(f"a lab named one is already up from {one.file}" in result.stderr, result.text)
    # Which lab is meant.
    check("lab two (" in one.netlab("status", "--lab", "two").stdout, "--lab")
    check("lab two (" in one.netlab("status", two.folder).stdout, "by folder")
    check("is up; up are: one, two" in one.netlab("down", cwd="/", rc=4).stderr, "two labs and no choice")
    one.netlab("down")
    two.check_running("h1", "h2")
    check("lab two (" in one.netlab("status", cwd="/").stdout, "the only one")
    two.netlab("down", "-a")
    check("no lab is up, nothing to do" in two.netlab("down", "-a").stdout, "down -a twice")
    for folder in ("labs/two", "other"):
        subprocess.run(["rm", "-r", os.path.join(one.base, folder)], check=True)
    one.check_clean(before, "after both downs")
    one.remove()


def commands_inside():
    lab, before = clean_lab(TWO_HOSTS + "checks:\n  good: {{node: h1, run: echo yes, expect: yes}}\n")
    lab.netlab("up")
    result = lab.netlab("exec", "h1", "echo out; exit 7", rc=7)
    check(result.stdout == "out\n", result.text)
    check("did you mean" in lab.netlab("exec", "h11", "true", rc=125).stderr, "no suggestion")
    check("1 of 1 checks passed" in lab.netlab("validate").stdout, "validate")
    console = subprocess.run([os.environ["NETLAB_BIN"], "console", "h1"], input="abc\n", capture_output=True, text=True,
                             cwd=lab.folder, env=lab.env, timeout=20)
    check(console.returncode == 0 and "abc" in console.stdout and "fake#" in console.stdout, f"{console}")
    check(lab.netlab("console", "--log", "h1").stdout == "fake console\n", "log")
    journal = json.loads(lab.netlab("status", "--journal", "--json").stdout)["journal"]
    check(len(journal) == 12 and all(step["state"] == "done" for step in journal), f"{journal}")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def after_a_reboot():
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, nodes = lab.pids()
    # The same store as the next boot finds it: another boot id everywhere, no processes, nothing in the runtime folder.
    for pid in [supervisor, *nodes.values()]:
        os.kill(pid, signal.SIGKILL)
    wait_until("all are dead", lambda: len(processes()) == len(before["processes"]))
    subprocess.run(["rm", "-r", os.path.join(lab.base, "run")], check=True)
    import sqlite3
    with sqlite3.connect(os.path.join(lab.base, "state", "netlab.db")) as db:
        db.execute("UPDATE lab SET boot_id = '00000000-0000-0000-0000-000000000000'")
        # A pid that is somebody else's now: this script's own.
        db.execute("UPDATE object SET identity = '00000000-0000-0000-0000-000000000000/' || ? || '/1' WHERE kind IN ('machine', 'supervisor')",
                   (os.getpid(),))
    check("was restarted since" in lab.netlab("status").stdout, "status")
    lab.netlab("down")
    lab.check_clean(before, "down after a reboot")
    lab.remove()


def change_case(lab, text, running, untouched=(), args=()):
    """Applies a changed file; whoever is untouched keeps its process, and so does the supervisor."""
    supervisor, before = lab.pids()
    lab.write(text)
    lab.netlab("up", *args)
    lab.check_running(*running)
    now, after = lab.pids()
    check(now == supervisor, "another supervisor")
    for node in running:
        check((after[node] == before.get(node)) == (node in untouched), f"{node}: {before} {after} with {text}")
    check("nothing to do" in lab.netlab("up").stdout, "not at the wanted state after all")


def changed_file_every_way():
    """Nodes, NICs, networks, links: added, changed, removed; nothing else notices."""
    lab, before = clean_lab()
    head = "name: lab\ndefaults: {kernel: kernel, ready: agent}\n"
    lab.write(head + "networks: {lan: {subnet: 10.1.0.0/24}}\nnodes: {a: {networks: {lan: 10.1.0.1}}, b: {networks: {lan: 10.1.0.2}}}\n")
    lab.netlab("up")
    lan, a, b = "networks: {lan: {subnet: 10.1.0.0/24}}\n", "a: {networks: {lan: 10.1.0.1}}", "b: {networks: {lan: 10.1.0.2}}"
    both = "networks: {lan: {subnet: 10.1.0.0/24}, dmz: {subnet: 10.2.0.0/24}}\n"
    # A network alone; a NIC on it; a link; another MTU of the network; NIC, link and network go again.
    change_case(lab, head + both + f"nodes: {{{a}, {b}}}\n", ["a", "b"], ["a", "b"])
    change_case(lab, head + both + "nodes: {a: {networks: {lan: 10.1.0.1, dmz: 10.2.0.1}}, " + b + "}\n", ["a", "b"], ["b"])
    change_case(lab, head + both + "nodes: {a: {networks: {lan: 10.1.0.1, dmz: 10.2.0.1}}, " + b + ", c: }\nlinks: [b - c]\n", ["a", "b", "c"], ["a"])
    change_case(lab, head + both.replace("10.2.0.0/24", "10.2.0.0/24, mtu: 1400") + "nodes: {a: {networks: {lan: 10.1.0.1, dmz: 10.2.0.1}}, " + b +
                ", c: }\nlinks: [b - c]\n", ["a", "b", "c"], ["b", "c"])
    change_case(lab, head + lan + f"nodes: {{{a}, {b}}}\n", ["a", "b"])
    # Memory is the machine's alone; a restart policy is not even that.
    change_case(lab, head + lan + f"nodes: {{{a[:-1]}, memory: 128M}}, {b}}}\n", ["a", "b"], ["b"])
    change_case(lab, head + lan + f"nodes: {{{a[:-1]}, memory: 128M, restart: always}}, {b}}}\n", ["a", "b"], ["a", "b"])
    check(lab.node("a")["restart"] == "always", f"{lab.node('a')}")
    # An address of the lab's own comes and goes.
    host = lan.replace("/24}", "/24, host: 10.1.0.254}")
    change_case(lab, head + host + f"nodes: {{{a[:-1]}, memory: 128M, restart: always}}, {b}}}\n", ["a", "b"])
    lab.netlab("down")
    lab.write(TWO_HOSTS.format(name="lab"))
    lab.check_clean(before, "after down")
    lab.remove()


def some_nodes():
    """down NODE, up NODE, restart; what is stopped stays so and is shown."""
    lab, before = clean_lab()
    lab.netlab("up")
    supervisor, first = lab.pids()
    check("lab lab: h2 stopped" in lab.netlab("down", "h2").stdout, "no summary")
    check(lab.node("h2")["state"] == "stopped" and lab.node("h1")["pid"] == first["h1"], f"{lab.status()}")
    check("is stopped already" in lab.netlab("down", "h2").stdout, "stopped twice")
    check("node h2 is stopped; start it with `netlab up h2`" in lab.netlab("exec", "h2", "true", rc=125).stderr, "exec")
    check("nothing to restart" in lab.netlab("restart", "h2", rc=4).stderr, "restart of a stopped node")
    check("did you mean \"h2\"" in lab.netlab("down", "h3", rc=4).stderr, "unknown node")
    # It stays stopped through `up`, also of a changed file, and a new supervisor.
    result = lab.netlab("up")
    check("nothing to do" in result.stdout and "kept stopped: h2" in result.stderr, result.text)
    lab.write(TWO_HOSTS.format(name="lab").replace("h2: {networks: [lan]}", "h2: {networks: [lan], memory: 128M}\n  h3: {networks: [lan]}"))
    os.kill(supervisor, signal.SIGKILL)
    check("lab lab is up: 2 of 3 machines" in lab.netlab("up").stdout, "summary")
    found = {node["name"]: node["state"] for node in lab.status()["nodes"]}
    check(found == {"h1": "running", "h2": "stopped", "h3": "running"}, f"{found}")
    check(lab.node("h1")["pid"] == first["h1"], "h1 was restarted")
    # From anywhere, by the lab's name; h1 restarts alone.
    pids = lab.pids()[1]
    lab.netlab("restart", "--lab", "lab", "h1", cwd="/")
    check(lab.pids()[1]["h3"] == pids["h3"] and lab.pids()[1]["h1"] not in (0, pids["h1"]), f"{lab.pids()}")
    lab.netlab("up", "--lab", "lab", "h2", cwd="/")
    lab.check_running("h1", "h2", "h3")
    check(lab.node("h2")["memory_mib"] == 128, "not as the file says")
    lab.netlab("down", "h1", "h2", "h3", cwd="/")
    check({node["state"] for node in lab.status()["nodes"]} == {"stopped"}, f"{lab.status()}")
    lab.netlab("up", "--all")
    lab.check_running("h1", "h2", "h3")
    pids = lab.pids()[1]
    lab.netlab("restart", "--graceful")
    check(set(pids.values()).isdisjoint(lab.pids()[1].values()), "not all were restarted")
    # Without what it starts from, a machine is not stopped in the first place.
    pids, kernel = lab.pids()[1], os.path.join(lab.folder, "kernel")
    os.rename(kernel, kernel + "-away")
    for args in (("restart", "h1"), ("restart",)):
        failed = lab.netlab(*args, rc=None)
        check(failed.returncode and re.search(rf"node h1: its kernel {kernel} is gone; put it back", failed.stderr), failed.text)
    check(lab.pids()[1] == pids, "restarted all the same")
    os.rename(kernel + "-away", kernel)
    check("--json goes with --for" in lab.netlab("down", "--json", rc=2).stderr, "down --json")
    lab.netlab("down")
    # A subset of a lab that is not up.
    lab.netlab("up", "h3")
    found = {node["name"]: node["state"] for node in lab.status()["nodes"]}
    check(found == {"h1": "stopped", "h2": "stopped", "h3": "running"}, f"{found}")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def up_of_a_node_leaves_the_rest():
    """A change elsewhere in the file waits for an `up` without names."""
    lab, before = clean_lab()
    lab.netlab("up")
    lab.netlab("down", "h2")
    first = lab.pids()[1]
    lab.write(TWO_HOSTS.format(name="lab").replace("h1: {networks: [lan]}", "h1: {networks: [lan], memory: 128M}"))
    lab.netlab("up", "h2")
    lab.check_running("h1", "h2")
    check(lab.pids()[1]["h1"] == first["h1"], "h1 was restarted")
    lab.netlab("up")
    check(lab.node("h1")["memory_mib"] == 128, "the change was lost")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def graceful_down():
    lab, before = clean_lab()
    lab.netlab("up")
    result = lab.netlab("down", "--graceful", "--timeout", "20", "--verbose")
    check("ask the guests to power off" in result.stdout and "did not" not in result.text, result.text)
    lab.check_clean(before, "after a graceful down")
    # One does not listen: it is waited for, and then ended.
    lab.write(SILENT.format(name="lab").replace("[fake silent]", "[fake deaf]"))
    lab.netlab("up")
    result = lab.netlab("down", "--graceful", "--timeout", "1")
    check("did not power off within 1 s, and is ended: h2" in result.stderr, result.text)
    lab.check_clean(before, "after a graceful down with a deaf guest")
    lab.remove()


RESTARTS = """\
name: {name}
defaults: {{kernel: kernel, ready: agent}}
networks: {{lan: {{subnet: 10.1.0.0/24}}}}
nodes:
  always: {{networks: [lan], restart: always, run: [fake die 200]}}
  crash: {{networks: [lan], restart: "on-failure:2"}}
  off: {{networks: [lan], restart: on-failure, run: [fake die 200]}}
  never: {{networks: [lan]}}
"""


def restart_policies():
    lab, before = clean_lab(RESTARTS)
    lab.netlab("up")
    first = lab.pids()[1]
    for name in ("crash", "never"):
        os.kill(first[name], signal.SIGKILL)
    wait_until("it is started again and again", lambda: "restarted 3 times, last: powered off" in lab.node("always")["note"], 60)
    wait_until("off is left off", lambda: lab.node("off")["note"] == "powered off")
    wait_until("crash is back", lambda: lab.node("crash")["state"] == "running")
    check("restarted 1 time, last: killed by signal 9 (Killed)" in lab.node("crash")["note"], f"{lab.node('crash')}")
    check(lab.node("never")["state"] == "ended" and lab.node("never")["last_words"] == "fake console", f"{lab.node('never')}")
    status = lab.netlab("status").stdout
    check("The end of never's console (more: netlab log never):\n  fake console\n" in status, status)
    check(lab.netlab("log", "never").stdout == "fake console\n", "log")
    check(lab.netlab("log", "--previous", "crash").stdout == "fake console\n", "previous log")
    # In a row at most twice.
    for i in range(2):
        pid = lab.node("crash")["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until("it is noted", lambda: lab.node("crash")["pid"] != pid and (lab.node("crash")["pid"] or "not started again" in lab.node("crash")["note"]), 30)
    check("not started again after 2 restarts in a row" in lab.node("crash")["note"], f"{lab.node('crash')}")
    # Its TAP came back with it, on the same network.
    check("checks" not in lab.netlab("up", "crash").text, "up")
    check(lab.node("crash")["state"] == "running", f"{lab.node('crash')}")
    # `down` is never in the way of a restart, nor a restart of `down`.
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def restart_after_the_supervisor_died():
    """Machine and supervisor killed at once: a new supervisor sees the end, and goes by the policy."""
    lab, before = clean_lab(RESTARTS.replace(", run: [fake die 200]", ""))
    lab.netlab("up")
    # The second time what is noted of it is that it was restarted.
    for _ in range(2):
        supervisor, pids = lab.pids()
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(pids["crash"], signal.SIGKILL)
        os.kill(supervisor, signal.SIGKILL)
        wait_until("its end to be seen", lambda: "supervisor is gone" in lab.netlab("status").stdout)
        lab.netlab("repair")  # which only starts a supervisor: `up` would start the machine, too
        wait_until(lambda: f"crash to be back: {lab.node('crash')}",
                   lambda: lab.node("crash")["state"] == "running" and lab.node("crash")["note"].startswith("restarted 1 time"))
        check(lab.pids()[1]["always"] == pids["always"], "the others were restarted")
    for pid in [lab.pids()[0], *lab.pids()[1].values()]:
        os.kill(pid, signal.SIGKILL)
    lab.netlab("down")
    lab.check_clean(before, "after down with everything dead")
    lab.remove()


def same_nodes_in_two_labs():
    """Two labs with equal node names, networks and addresses at once, in the host's namespace where that can be."""
    args = ["--here"] if MODE == "root" else []
    one, before = clean_lab(name="one")
    two = Lab(name="two", base=one.base)
    ups = [one.start("up", *args), two.start("up", *args)]
    for up in ups:
        out, _ = up.communicate(timeout=60)
        check(up.returncode == 0, out)
    one.check_running("h1", "h2")
    two.check_running("h1", "h2")
    # One goes while the other is changed.
    two.write(TWO_HOSTS.format(name="two").replace("h2: {networks: [lan]}", "h2: {networks: [lan], memory: 128M}"))
    both = [one.start("down"), two.start("up", *args)]
    for each in both:
        out, _ = each.communicate(timeout=60)
        check(each.returncode == 0, out)
    two.check_running("h1", "h2")
    two.netlab("down")
    subprocess.run(["rm", "-r", os.path.join(one.base, "labs/two")], check=True)
    one.check_clean(before, "after both downs")
    one.remove()


def up_against_down():
    """Both at once, often: each ends in a known way, and what is left is a lab that is up or none."""
    lab, before = clean_lab()
    for _ in range(4):
        racers = [lab.start("up"), lab.start("down"), lab.start("up"), lab.start("down", "h1")]
        codes = [(racer.communicate(timeout=60)[0], racer.returncode) for racer in racers]
        check(all(code in (0, 4, 5) for _, code in codes), f"{codes}")
        if not lab.netlab("status", rc=None).returncode:
            check(lab.status()["complete"], f"{lab.status()}")
    lab.netlab("down", rc=None)
    lab.check_clean(before, "after the races")
    lab.remove()


def hundred_machines():
    """`down` of 100, a few of which do not listen to SIGTERM, is no slower than the slowest."""
    nodes = "".join(f"  n{i}: {{{{networks: [lan]{', run: [fake stubborn]' if i % 25 == 0 else ''}}}}}\n" for i in range(100))
    lab, before = clean_lab("name: {name}\ndefaults: {{kernel: kernel, ready: agent}}\nnetworks: {{lan: {{subnet: 10.1.0.0/24}}}}\nnodes:\n" + nodes)
    lab.netlab("up")
    check(len([c for c in processes().values() if "fake-emu" in c]) == 100, "not all are there")
    began = time.monotonic()
    lab.netlab("down")
    took = time.monotonic() - began
    lab.check_clean(before, "after down")
    lab.remove()
    # The grace of 1 s once, not four times; generous, for the computer may be busy.
    check(took < 10, f"down took {took:.1f} s")
    return f"down took {took:.1f} s"


def long_names():
    nodes = [f"{'a-very-long-node-name-with-an-equal-beginning-' * 2}"[:60] + str(i) for i in range(3)]
    lab, before = clean_lab("name: a-lab-with-quite-a-long-name-32c\ndefaults: {{kernel: kernel, ready: agent}}\n"
                            "networks: {{a-network-with-a-long-name-too: {{subnet: 10.1.0.0/24}}}}\nnodes:\n" +
                            "".join(f"  {node}: {{{{networks: [a-network-with-a-long-name-too]}}}}\n" for node in nodes),
                            name="a-lab-with-quite-a-long-name-32c")
    lab.netlab("up")
    lab.check_running(*nodes)
    check(lab.netlab("exec", nodes[1], "echo here").stdout == "here\n", "exec through a long socket path")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def machine_that_powers_off():
    lab, before = clean_lab(TWO_HOSTS.replace("h2: {{networks: [lan]}}", "h2: {{networks: [lan], run: [fake die 300]}}"))
    lab.netlab("up")
    wait_until("h2's end is noted", lambda: lab.node("h2")["note"] == "powered off")
    check("ended (powered off)" in lab.netlab("status").stdout, "status")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def uid_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Uid:"))


def who_machines_run_as():
    lab, before = clean_lab()
    # A folder that only its owner may enter: root hands the files over as open fds.
    os.chmod(lab.folder, 0o700)
    lab.netlab("up")
    with open("/proc/self/uid_map") as file:
        knows_all = any(int(line.split()[2]) > 2**30 for line in file)
    uid = uid_of(lab.pids()[1]["h1"])
    if os.geteuid() == 0 and knows_all:
        check(2**30 <= uid < 2**30 + 2**24, f"uid {uid}")
        check(os.stat(os.path.join(lab.base, "run", "lab", "h1")).st_uid == uid, "the folder is not the machine's")
    else:
        check(uid == os.geteuid(), f"uid {uid}")
    lab.netlab("down")
    if os.geteuid() == 0 and knows_all:
        # By sudo: who called it, with whose rights the files are read.
        os.chmod(lab.folder, 0o755)
        lab.netlab("up", env={"SUDO_UID": "12345", "SUDO_GID": "12346"})
        check(uid_of(lab.pids()[1]["h1"]) == 12345, "not who called sudo")
        lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()
    return f"uid {uid}"


if __name__ == "__main__":
    main(up_and_down, up_again_changes_nothing, dry_run_changes_nothing, changed_file, changed_file_every_way, some_nodes,
         up_of_a_node_leaves_the_rest, graceful_down, restart_policies, restart_after_the_supervisor_died,
         same_nodes_in_two_labs, up_against_down, hundred_machines, without_topology_file, reader_of_down_goes, killed_machine,
         killed_supervisor, hanging_supervisor, stubborn_machine, interrupted, killed_up_cleans_itself, failing_machine, late_machine,
         two_ups_at_once, two_labs, commands_inside, after_a_reboot, long_names, machine_that_powers_off, who_machines_run_as)
