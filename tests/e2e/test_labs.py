# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The labs with tasks: checks fail on what people begin with and pass on the solution. And the images `host` and `router` they stand on.

Needs the images mini, host and router (NETLAB_IMAGE_DIR); without them the test is skipped with the reason. Some labs, or all of them
under NETLAB_TEST_FULL=1.
"""
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import yaml

from harness import Lab, check, main

SOURCE = os.environ["NETLAB_SOURCE"]
FULL = bool(os.environ.get("NETLAB_TEST_FULL"))
IMAGES = os.environ.get("NETLAB_IMAGE_DIR", "")
LABS = os.path.join(SOURCE, "labs")
QUICK = ("hello", "port-forward")
ELSEWHERE = ("real-network",)  # its solution needs a NIC of the host: tests/e2e/test_guests.py
UP_SECONDS = 280


def with_tasks():
    return sorted(name for name in os.listdir(LABS) if os.path.exists(os.path.join(LABS, name, "solution", "topology.yml")))


def bring_up(folder, name):
    lab = Lab(emulator=None, name=name)
    shutil.copy(os.path.join(folder, "topology.yml"), lab.file)
    lab.netlab("status", rc=4)
    before = lab.dump()
    lab.netlab("up", "--timeout", str(UP_SECONDS), timeout=UP_SECONDS + 20)
    return lab, before


def put_away(lab, before):
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


def every_lab_is_whole():
    for name in with_tasks():
        folder = os.path.join(LABS, name)
        start, solution = (yaml.safe_load(open(os.path.join(folder, part, "topology.yml"))) for part in ("", "solution"))
        check(start["name"] == solution["name"] == "lab-" + name, f"{name}: {start['name']}, {solution['name']}")
        check(start["checks"] == solution["checks"] and len(start["checks"]) >= 3, f"{name}: its checks differ, or are few")
        check(start["nodes"] != solution["nodes"], f"{name}: nothing is to be done")
        readme = open(os.path.join(folder, "README.md")).read()
        for word in ("## Tasks", "## Hints", "netlab validate", "netlab down && cd solution && ", "netlab up` brings that up in place of yours"):
            check(word in readme, f"{name}: README has no {word}")
        check(f"({name}/)" in open(os.path.join(LABS, "README.md")).read(), f"{name} is not in labs/README.md")
    return f"{len(with_tasks())} labs"


def lives(name):
    folder = os.path.join(LABS, name)
    lab, before = bring_up(folder, "lab-" + name)
    start = json.loads(lab.netlab("validate", "--json", "--within", "0", rc=1, timeout=300).stdout)
    put_away(lab, before)
    lab, before = bring_up(os.path.join(folder, "solution"), "lab-" + name)
    result = lab.netlab("validate", timeout=600, rc=None)
    check(result.returncode == 0 and "FAILED" not in result.stdout, result.text)
    put_away(lab, before)
    points = sum(item["points"] for item in start), sum(item["of"] for item in start)
    check(points[0] < points[1], f"{points} on the start state")
    return f"{points[0]} of {points[1]} points at the start, all with the solution"


def as_the_readme_says():
    """One's own attempt, no machine of which runs any more, gives way to the solution by the README's line."""
    lab = Lab(emulator=None, name="lab-hello")
    shutil.copytree(os.path.join(LABS, "hello"), lab.folder, dirs_exist_ok=True)
    lab.netlab("status", rc=4)
    before = lab.dump()
    lab.netlab("up", "--timeout", str(UP_SECONDS), timeout=UP_SECONDS + 20)
    lab.netlab("down", "h1", "h2")
    result = lab.netlab("validate", rc=2, timeout=60)
    check(result.stdout.count("does not run") == 2, result.text)
    line, = re.findall(r"`(netlab down && [^`]*)` brings", open(os.path.join(LABS, "hello", "README.md")).read())
    environment = dict(lab.env, PATH=os.path.dirname(os.environ["NETLAB_BIN"]) + ":" + os.environ["PATH"])
    result = subprocess.run(["sh", "-ec", line + " && netlab validate && netlab down"], cwd=lab.folder, env=environment, capture_output=True, text=True,
                            timeout=UP_SECONDS + 20)
    check(result.returncode == 0 and "3 of 3 checks passed" in result.stdout, f"{line}: {result.stdout}{result.stderr}")
    lab.check_clean(before, "after the solution")
    lab.remove()


REPORTS = """\
name: {name}
nodes:
  h1: {{files: {{/etc/data.json: {{text: '{{"a": {{"b": [1, "two"]}}}}'}}}}}}
  h2: {{}}
links: [h1 - h2]
checks:
  one: {{node: h1, ping: h2, stage: 1, points: 3}}
  two: {{node: h1, file: /etc/data.json, json: "$.a.b[1]", equals: two, stage: 1}}
  three: {{node: h1, file: /nonexistent, fails: true}}
  four: {{node: h1, run: "echo '=1+1 <&>'; exit 3", optional: true, hint: look there}}
"""
HIDDEN = """\
checks:
  secret: {node: h2, file: /etc/hosts, match: '^10\\.255\\.0\\.1 h1$', points: 2}
  wrong: {node: h2, address: 1.2.3.4, stage: 2, points: 2}
  later: {node: h2, run: "true", stage: 3}
"""


def reports():
    lab = Lab(REPORTS, emulator=None, name="reports")
    lab.netlab("status", rc=4)
    before = lab.dump()
    check(lab.netlab("validate", rc=4).returncode == 4, "not up")
    lab.netlab("up", "--timeout", str(UP_SECONDS), timeout=UP_SECONDS + 20)
    text = lab.netlab("validate", "--within", "20", rc=3, timeout=100).stdout
    check("3 of 4 checks passed, 5 of 6 points, 1 warning" in text and "hint: look there" in text, text)
    hidden = os.path.join(lab.folder, "hidden.yml")
    with open(hidden, "w") as file:
        file.write(HIDDEN)
    words = ["validate", "--within", "1", "--checks", hidden]
    found = {item["check"]: item for item in json.loads(lab.netlab(*words, "--json", rc=1, timeout=100).stdout)}
    check({name: item["verdict"] for name, item in found.items()} ==
          {"one": "passed", "two": "passed", "three": "passed", "four": "warning", "secret": "passed", "wrong": "failed", "later": "not reached"}, found)
    check(found["secret"]["hidden"] and found["secret"]["points"] == 2 and not found["one"]["hidden"], found)
    suite = ET.fromstring(lab.netlab(*words, "--format", "junit", rc=1, timeout=100).stdout)
    check(suite.get("tests") == "7" and suite.get("failures") == "2" and suite.get("skipped") == "1", suite.attrib)
    rows = list(csv.DictReader(io.StringIO(lab.netlab(*words, "--format", "csv", rc=1, timeout=100).stdout)))
    check(len(rows) == 7 and {row["check"]: row["points"] for row in rows}["one"] == "3", rows)
    check(lab.netlab(*words, "--quiet", rc=1, timeout=100).text.strip() == "", "quiet")
    with open(hidden, "w") as file:
        file.write("checks:\n  x: {node: h3, ping: h1}\n")
    check("hidden.yml:2:13: there is no node \"h3\"" in lab.netlab(*words, rc=3).stderr, "a mistake in the second file")
    lab.netlab("down", "h1", "h2")
    check(lab.netlab("validate", rc=2).stdout.count("does not run") == 4, "no machine runs")
    os.unlink(hidden)
    put_away(lab, before)


ROUTERS = """\
name: {name}
defaults: {{image: router}}
loopbacks: 10.0.0.0/24
nodes:
  r1: {{files: own, frr: "router ospf\\n network 10.0.0.0/8 area 0\\n"}}
  r2: {{bird: "router id 10.0.0.2;\\nprotocol device {{}}\\nprotocol direct {{ ipv4; }}\\nprotocol kernel {{ ipv4 {{ export all; import none; }}; }}\\nprotocol ospf v2 {{ ipv4 {{ export all; }}; area 0 {{ interface \\"eth0\\" {{ hello 10; dead 40; }}; interface \\"lo\\" {{ stub; }}; }}; }}\\n"}}
  h1: {{image: host}}
links:
  - {{ends: [r1, r2], subnet: 10.1.0.0/30}}
  - r1 - h1
"""


def images():
    """FRR and BIRD speak OSPF with each other; files, a folder and a node's own folder are in the guests; modules come on demand; what one
    machine writes is not in the other, and the image is as it was."""
    lab = Lab(ROUTERS, emulator=None, name="routers")
    os.makedirs(os.path.join(lab.folder, "own", "root"))
    os.makedirs(os.path.join(lab.folder, "h1", "usr", "local", "bin"))
    with open(os.path.join(lab.folder, "own", "root", "note"), "w") as file:
        file.write("from a folder\n")
    with open(os.path.join(lab.folder, "h1", "usr", "local", "bin", "tool"), "w") as file:
        file.write("#!/bin/sh\necho the tool runs\n")
    os.chmod(file.name, 0o755)
    os.symlink("tool", os.path.join(os.path.dirname(file.name), "tool-link"))
    lab.netlab("status", rc=4)
    before = lab.dump()
    began = time.monotonic()
    lab.netlab("up", "--timeout", str(UP_SECONDS), timeout=UP_SECONDS + 20)
    took = time.monotonic() - began

    def run(node, command):
        return lab.netlab("exec", node, "--", "sh", "-c", command, timeout=100).stdout
    check(run("r1", "cat /root/note") == "from a folder\n", "files: FOLDER")
    check(run("h1", "tool-link") == "the tool runs\n", "a folder called like the node")
    for node in ("r1", "r2", "h1"):
        hosts = run(node, "cat /etc/hosts")
        check("10.0.0.1 r1\n" in hosts and "10.0.0.2 r2\n" in hosts and "10.0.0.3 h1\n" in hosts, hosts)
    check("10.0.0.2/32" in run("r2", "ip -br addr show lo"), "the loopback's address")
    run("h1", "ip link add link eth0 name v type vlan id 5 && ip link add dummy7 type dummy && ip link add br7 type bridge && nft add table ip nat && "
              "ip link add vrf7 type vrf table 7 && ip link add gre7 type gre local 10.0.0.3")
    run("h1", "for p in ip ping tcpdump iperf3 curl nginx dnsmasq nft ethtool python3 dig traceroute; do command -v $p || exit 1; done && python3 -c 'import json, ssl'")
    total = int(run("r1", "grep MemTotal: /proc/meminfo").split()[1])
    check(total < 96 * 1024, f"{total} kB of memory")
    check("Full" in run("r1", "for i in $(seq 60); do vtysh -c 'show ip ospf neighbor' | grep Full && exit; sleep 1; done"), "FRR and BIRD")
    run("r1", "echo mine > /usr/bin/mine && rm /usr/bin/curl")
    check(run("r2", "ls /usr/bin/mine /usr/bin/curl 2>&1; true").count("No such") == 1, "a layer of its own")
    check("router is as it was built" in lab.netlab("image", "verify", "router").stdout, "the image has changed")
    # A node more: the others go on, and know it.
    pids = lab.pids()[1]
    lab.write(ROUTERS.format(name="routers").replace("links:", "  h2: {image: mini}\nlinks:") + "  - r2 - h2\n")
    lab.netlab("up", "--timeout", str(UP_SECONDS), timeout=UP_SECONDS + 20)
    check(lab.pids()[1]["h1"] == pids["h1"] and "h2\n" in run("h1", "cat /etc/hosts"), "a new name in a machine that runs")
    put_away(lab, before)
    return f"up in {took:.1f} s"


if __name__ == "__main__":
    missing = [name for name in ("mini", "host", "router") if not os.path.exists(os.path.join(IMAGES, name, "image.json"))]
    if missing:
        print(f"SKIP: needs the images {', '.join(missing)}: netlab image build {missing[0]}")
        sys.exit(77)
    tests = [every_lab_is_whole, as_the_readme_says, reports, images]
    for one in [name for name in with_tasks() if name not in ELSEWHERE] if FULL else QUICK:
        def test(one=one):
            return lives(one)
        test.__name__ = one.replace("-", "_")
        tests.append(test)
    main(*tests)
