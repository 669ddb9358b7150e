# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Debian's two kernels and userlands on the emulator: 686-pae with a static busybox, 686 with a dynamic Debian, and 100 MB of TCP
each way between them with equal checksums.

Needs the images `mini-pae` and `debian`; without them the test is skipped with the reason.
"""
import json
import subprocess
import sys
import time

from harness import BIN, Lab, check, main, wait_until

BOOT_SECONDS = 400
TRANSFER_SECONDS = 600
TOPOLOGY = """name: userland
networks: {lan: {subnet: 10.9.0.0/24}}
nodes:
  pae:    {image: mini-pae, networks: {lan: 10.9.0.1/24}}
  debian: {image: debian, networks: {lan: 10.9.0.2/24}}
"""
# 100 MB of bytes that repeat only every megabyte, made from the kernel's random numbers.
MAKE = "dd if=/dev/urandom of=/tmp/block bs=65536 count=16 2>/dev/null"
STREAM = "i=0; while [ $i -lt 100 ]; do cat /tmp/block; i=$((i + 1)); done"


def transfer(lab, sender, receiver, address, send, receive):
    """`receive` must not end before the sender does: it may not see the end of its own input. Starts `receive` on the receiver, streams to it from the sender, and compares the sums."""
    lab.netlab("exec", sender, MAKE, timeout=60)
    lab.netlab("exec", receiver, f"rm -f /tmp/sum; (({receive}) | md5sum >/tmp/sum.part; mv /tmp/sum.part /tmp/sum) "
                                 ">/dev/null 2>&1 &", timeout=60)
    wait_until(f"{receiver} listens", lambda: ":1388 " in lab.netlab("exec", receiver, "cat /proc/net/tcp /proc/net/tcp6", rc=None).stdout, 60)
    began = time.monotonic()
    lab.netlab("exec", "--timeout", str(TRANSFER_SECONDS), sender, f"({STREAM}) | {send} {address} 5000", timeout=TRANSFER_SECONDS + 30)
    took = time.monotonic() - began
    sums = []

    def arrived():
        result = lab.netlab("exec", receiver, "cat /tmp/sum", rc=None)
        sums[:] = result.stdout.split()[:1]
        return result.returncode == 0 and sums
    wait_until("the receiver has summed", arrived, TRANSFER_SECONDS)
    sent = lab.netlab("exec", "--timeout", str(TRANSFER_SECONDS), sender, f"({STREAM}) | md5sum", timeout=TRANSFER_SECONDS + 30).stdout.split()[0]
    check(sums[0] == sent and len(sent) == 32, f"{sender} sent {sent}, {receiver} got {sums}")
    return f"{100 * 1048576 * 8 / took / 1e6:.0f} Mbit/s"


def kernels_and_userlands():
    lab = Lab(emulator=None, name="userland")
    lab.write(TOPOLOGY)
    before = lab.dump()
    lab.netlab("up", "--timeout", str(BOOT_SECONDS), timeout=BOOT_SECONDS + 20)
    check(lab.netlab("exec", "pae", "uname -r").stdout.strip().endswith("-686-pae"), "the pae node's kernel")
    release = lab.netlab("exec", "debian", "uname -r").stdout.strip()
    check(release.endswith("-686"), f"the debian node's kernel: {release}")
    flags = lab.netlab("exec", "pae", "grep -m1 ^flags /proc/cpuinfo").stdout.split()
    check({"pae", "nx", "sse2", "cmov"} <= set(flags), f"CPU flags: {flags}")
    # Dynamic programs of a Debian userland, static ones of busybox.
    check(lab.netlab("exec", "debian", "bash -c 'echo $((6 * 7)) $BASH_VERSION'").stdout.startswith("42 5."), "bash")
    check(lab.netlab("exec", "debian", "python3 -c 'print(3 ** 100 % 1000003)'").stdout.strip() == str(3 ** 100 % 1000003), "python3")
    check(lab.netlab("exec", "debian", "perl -e 'printf \"%.6f\", atan2(1, 1) * 4'").stdout == "3.141593", "perl")
    same = lab.netlab("exec", "debian", "seq 1 20000 | xz | xz -d | sort -n | tail -1").stdout.strip()
    check(same == "20000", f"xz and sort: {same}")
    check(lab.netlab("exec", "pae", "busybox seq 1 5000 | gzip | gunzip | wc -l").stdout.strip() == "5000", "busybox")
    check("1 received" in lab.netlab("exec", "debian", "ping -c 1 -W 10 10.9.0.1").stdout, "ping")
    there = transfer(lab, "pae", "debian", "10.9.0.2", "nc", "nc -d -l -p 5000")
    back = transfer(lab, "debian", "pae", "10.9.0.1", "nc -N", "nc -l -p 5000 </dev/null")
    lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()
    return f"100 MB of TCP: 686-pae to 686 {there}, back {back}"


if __name__ == "__main__":
    listed = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    names = [image["name"] for image in json.loads(listed.stdout)] if listed.returncode == 0 else []
    if not {"mini-pae", "debian"} <= set(names):
        print("SKIP: needs the images `mini-pae` and `debian`: netlab image build mini-pae; netlab image build debian")
        sys.exit(77)
    main(kernels_and_userlands)
