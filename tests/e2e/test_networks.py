# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What networks offer to their nodes: lines that are changed while the machines run, addresses and names by dnsmasq, IPv6."""
import json
import os
import signal
import subprocess
import sys

from harness import BIN, FAKE, MODE, Lab, check, main, processes, wait_until

LINES = """\
name: {name}
defaults: {{kernel: kernel, ready: agent}}
networks:
  lan: {{subnet: 10.1.0.0/24, delay: 10ms}}
nodes:
  h1: {{networks: [lan]}}
  h2: {{networks: {{lan: {{loss: 1%}}}}}}
links: [h1 - h2]
"""


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def lines():
    """A changed `delay:` is set in the machine that runs; one that is started has it from its command line."""
    lab = Lab(LINES)
    lab.netlab("status", rc=4)
    before = lab.dump()
    lab.netlab("up")
    pids = lab.pids()

    def words(node):
        return read(os.path.join(lab.base, "run", lab.name, node, "lines.log")).split()

    def argv(node):
        return read(f"/proc/{lab.pids()[1][node]}/cmdline")

    check("impair-out=delay=10ms\0" in argv("h1") and "impair-out=delay=10ms,,loss=1%" in argv("h2"), argv("h2"))
    check("nothing to do" in lab.netlab("up").stdout and not words("h1"), "up as it is")
    # Another delay, another loss, a link that becomes bad; then all good. No process changes.
    lab.write(LINES.format(name=lab.name).replace("10ms", "20ms").replace("1%", "2%").replace("[h1 - h2]", "[{ends: [h1, h2], rate: 1M}]"))
    planned = lab.netlab("up", "--dry-run").stdout
    check("set the line of h2:eth0: delay=20ms,loss=2%" in planned and "start machine" not in planned, planned)
    lab.netlab("up")
    check(words("h1")[-2:] == ["delay=20ms", "rate=1M"] and words("h2")[-2:] == ["delay=20ms,loss=2%", "rate=1M"], f"{words('h1')} {words('h2')}")
    check(lab.pids() == pids and "nothing to do" in lab.netlab("up").stdout, "something was started anew")
    # One that ends by itself and is started by `up` has the new line from the beginning.
    os.kill(pids[1]["h2"], signal.SIGKILL)
    wait_until("it is noted", lambda: lab.node("h2")["state"] == "ended")
    lab.netlab("up")
    check("impair-out=delay=20ms,,loss=2%" in argv("h2") and "impair-out=rate=1M" in argv("h2"), argv("h2"))
    pids = lab.pids()
    lab.write(LINES.format(name=lab.name).replace(", delay: 10ms", "").replace("{lan: {loss: 1%}}", "[lan]"))
    planned = lab.netlab("up", "--dry-run").stdout
    check("make the line of h1:eth0 good" in planned and "machine" not in planned, planned)
    lab.netlab("up")
    check(words("h1")[-1] == "off" and lab.pids() == pids, f"{words('h1')}")
    # A line beside another change: the machine that is made anew has it at once.
    lab.write(LINES.format(name=lab.name).replace("h1: {networks", "h1: {memory: 128M, networks"))
    lab.netlab("up")
    check("impair-out=delay=10ms\0" in argv("h1") and words("h2")[-1] == "delay=10ms,loss=1%", f"{argv('h1')} {words('h2')}")
    # A machine that cannot be told: the change is taken back, all of it.
    os.kill(lab.pids()[1]["h2"], signal.SIGSTOP)
    lab.write(LINES.format(name=lab.name).replace("h1: {networks", "h1: {memory: 128M, networks").replace("10ms", "30ms"))
    failed = lab.netlab("up", rc=8)
    check("set the line" in failed.stderr or "the line of h" in failed.stderr, failed.text)
    os.kill(lab.pids()[1]["h2"], signal.SIGCONT)
    lab.netlab("up")
    check(words("h2")[-1] == "delay=30ms,loss=1%", f"{words('h2')}")
    # Stopped and started again; restarted.
    lab.netlab("down", "h2")
    lab.netlab("up", "h2")
    check("impair-out=delay=30ms,,loss=1%" in argv("h2"), argv("h2"))
    lab.netlab("restart", "h2")
    check("impair-out=delay=30ms,,loss=1%" in argv("h2"), argv("h2"))
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()


if __name__ == "__main__":
    main(lines)
