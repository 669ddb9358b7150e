# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Bad input and a bad environment: a clear error with what to do next, and nothing changed."""
import json
import os
import shutil
import signal
import sqlite3
import subprocess

from harness import MODE, TWO_HOSTS, Lab, check, main, wait_until


def refused(lab, rc, *words, args=("up",), env=None, cwd=None):
    """`netlab up` ends with rc, says all words on standard error, and leaves everything as it was."""
    before = lab.dump()
    result = lab.netlab(*args, rc=rc, env=env, cwd=cwd)
    for word in words:
        check(word in result.stderr, f"\"{word}\" is not in: {result.text}")
    lab.check_clean(before, f"after {words}")
    return result


def topology_errors():
    lab = Lab()
    lab.netlab("status", rc=4)
    for text, *words in (
            ("nodes: [", "topology.yml:2:1: not valid YAML"),
            ("nodes: {h1: {networks: [lan]}}\nnetworks: {lna: {}}", "topology.yml:1:25: node \"h1\" is on network \"lan\"", "did you mean \"lna\"?"),
            ("nodes: {h1: {memory: 4M, kernel: kernel}}", "topology.yml:1:22: 4M of memory is too little"),
            ("nodes: {h1: {image: nosuch}}", "topology.yml:1:21:", "nosuch", "netlab image build"),
            ("nodes: {h1: {kernel: missing}}", "topology.yml:1:22: the kernel", "No such file or directory"),
            ("nodes: {h1: {kernel: .}}", "not a regular file"),
            ("nodes: {h1: {kernel: kernel, networks: {lan: 10.9.0.1}}}\nnetworks: {lan: {subnet: 10.1.0.0/24}}", ":1:46: 10.9.0.1 is outside the subnet 10.1.0.0/24"),
    ):
        lab.write(text)
        refused(lab, 3, *words)
    os.unlink(lab.file)
    refused(lab, 3, "topology.yml: No such file or directory; name a topology file")
    refused(lab, 3, "No such file or directory", args=("up", "nowhere"))
    lab.remove()


def unreadable_kernel():
    if os.geteuid() != 0:
        return "skipped: needs real root"
    lab = Lab()
    lab.netlab("status", rc=4)
    os.chmod(os.path.join(lab.folder, "kernel"), 0o600)
    refused(lab, 1, "cannot be read by uid", "chmod o+r")
    lab.remove()


def no_tun():
    lab = Lab()
    lab.netlab("status", rc=4)
    os.rename("/dev/net/tun", "/dev/net/elsewhere") if os.geteuid() == 0 else None
    try:
        if os.geteuid() == 0:
            refused(lab, 6, "/dev/net/tun cannot be opened: No such file or directory", "modprobe tun")
        else:
            return "skipped: the device is not this user's to hide"
    finally:
        os.rename("/dev/net/elsewhere", "/dev/net/tun") if os.geteuid() == 0 else None
    lab.remove()


def missing_capability():
    lab = Lab()
    lab.netlab("status", rc=4)
    if MODE == "user":
        refused(lab, 6, "CAP_NET_ADMIN", args=("up", "--here"))
        lab.remove()
        return ""
    command = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", os.environ["NETLAB_BIN"], "up"]
    before = lab.dump()
    result = subprocess.run([*command, "--here"], cwd=lab.folder, env=lab.env, capture_output=True, text=True)
    check(result.returncode == 6 and "CAP_NET_ADMIN" in result.stderr and "rootless" in result.stderr, f"{result}")
    lab.check_clean(before, "after a refusal")
    # Without --here it goes on rootless, and says so.
    result = subprocess.run(command, cwd=lab.folder, env=lab.env, capture_output=True, text=True)
    if result.returncode == 0:
        check("without CAP_NET_ADMIN: the lab runs rootless" in result.stderr, result.stderr)
        check(lab.status()["rootless"], "not rootless")
        lab.netlab("down")
    lab.check_clean(before, "after down")
    lab.remove()
    return ""


def no_user_namespaces():
    """Where user namespaces are forbidden the message names the switch."""
    path = "/proc/sys/user/max_user_namespaces"
    if MODE != "root" or not os.access(path, os.W_OK):
        return "skipped: needs root"
    # The limit is this user namespace's own; it is put back at once.
    with open(path) as file:
        before = file.read()
    lab = Lab()
    lab.netlab("status", rc=4)
    if os.stat("/proc/self/ns/user").st_ino == 0xEFFFFFFD:
        return "skipped: this is the machine's own user namespace"
    try:
        with open(path, "w") as file:
            file.write("0")
        refused(lab, 1, "max_user_namespaces", args=("up", "--rootless"))
    finally:
        with open(path, "w") as file:
            file.write(before)
    lab.remove()
    return ""


def no_emulator():
    lab = Lab()
    lab.netlab("status", rc=4)
    refused(lab, 1, "NETLAB_EMU=/nowhere/emu is not a program", env={"NETLAB_EMU": "/nowhere/emu"})
    script = os.path.join(lab.base, "broken-emu")
    with open(script, "w") as file:
        file.write("#!/nowhere/interpreter\n")
    os.chmod(script, 0o755)
    refused(lab, 1, "executing " + script, env={"NETLAB_EMU": script})
    lab.remove()


def store_of_a_newer_version():
    lab = Lab()
    lab.netlab("status", rc=4)
    path = os.path.join(lab.base, "state", "netlab.db")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    with open(path, "rb") as file:
        content = file.read()
    for args in (("up",), ("status",), ("down",)):
        refused(lab, 7, "was written by a newer netlab (its version is 7", "Nothing was changed", args=args)
    with open(path, "rb") as file:
        check(file.read() == content, "the store of a newer version was changed")
    lab.remove()


def damaged_store():
    lab = Lab()
    os.makedirs(os.path.join(lab.base, "state"))
    with open(os.path.join(lab.base, "state", "netlab.db"), "w") as file:
        file.write("this is no database " * 100)
    refused(lab, 7, "is damaged", "`netlab repair` moves it away")
    lab.remove()


def state_directory_without_permission():
    lab = Lab()
    if os.geteuid() == 0:
        lab.env["NETLAB_STATE_DIR"] = "/proc/nowhere"
        refused(lab, 7, "cannot make the state directory /proc/nowhere")
    else:
        lab.env["NETLAB_STATE_DIR"] = "/root/nowhere"
        refused(lab, 7, "cannot make the state directory /root/nowhere/locks: Permission denied", "NETLAB_STATE_DIR")
    lab.remove()


def full_disk():
    """A file system of a few pages for the store, another for the runtime folder, filled up."""
    if os.geteuid() != 0:
        return "skipped: needs to mount"
    lab = Lab()
    small = os.path.join(lab.base, "small")
    os.makedirs(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", small], check=True)
    try:
        env = {"NETLAB_STATE_DIR": os.path.join(small, "state")}
        lab.netlab("status", rc=4, env=env)
        network = lab.dump()["network"]
        fill = os.path.join(small, "fill")
        # From quite full to nearly empty: it fails at many different places, and never leaves anything.
        refusals = 0
        for left in (0, 4096, 8192, 16384, 32768, 49152, 65536, 98304, 131072, 196608, 262144, 393216):
            with open(fill, "wb") as file:
                try:
                    file.write(b"x" * (2 << 20))
                except OSError:
                    pass
            size = os.path.getsize(fill)
            os.truncate(fill, max(0, size - left))
            result = lab.netlab("up", rc=None, env=env)
            if result.returncode != 0:
                refusals += 1
                check("make room" in result.stderr or "No space left" in result.stderr or "free space" in result.stderr, f"{left}: {result.text}")
            os.unlink(fill)
            lab.netlab("down", rc=None, env=env)
            check(lab.dump()["network"] == network, f"the network differs with {left} bytes left")
            wait_until("all processes to end", lambda: not [c for c in lab.dump()["processes"] if "fake-emu" in c or "supervise" in c])
            check(not os.path.exists(os.path.join(lab.base, "run")), "the runtime folder is left")
        check(2 <= refusals < 12, f"{refusals} refusals: the disk was always full, or never")
        return f"{refusals} refusals"
    finally:
        subprocess.run(["umount", "-l", small], check=False)
        lab.remove()


def full_runtime_directory():
    if os.geteuid() != 0:
        return "skipped: needs to mount"
    lab = Lab()
    lab.netlab("status", rc=4)
    small = os.path.join(lab.base, "small")
    os.makedirs(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "small", small], check=True)
    try:
        with open(os.path.join(small, "fill"), "wb") as file:
            file.write(b"x" * 4096)
        before = lab.dump()
        result = lab.netlab("up", rc=1, env={"NETLAB_RUNTIME_DIR": os.path.join(small, "run")})
        check("No space left" in result.stderr, result.text)
        lab.check_clean(before, "after a full runtime folder")
    finally:
        subprocess.run(["umount", "-l", small], check=False)
        lab.remove()
    return ""


def read_only_runtime_directory():
    if os.geteuid() != 0:
        return "skipped: needs to mount"
    lab = Lab()
    lab.netlab("status", rc=4)
    fixed = os.path.join(lab.base, "fixed")
    os.makedirs(fixed)
    before = lab.dump()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=755", "fixed", fixed], check=True)
    try:
        result = lab.netlab("up", rc=1, env={"NETLAB_RUNTIME_DIR": fixed})
        check("Read-only file system" in result.stderr and "NETLAB_RUNTIME_DIR" in result.stderr, result.text)
    finally:
        subprocess.run(["umount", "-l", fixed], check=False)
    lab.check_clean(before, "after a read-only runtime folder")
    lab.remove()
    return ""


def name_taken_in_the_host_namespace():
    if MODE != "root":
        return "skipped: --here needs root"
    lab = Lab()
    lab.netlab("status", rc=4)
    lab.netlab("up", "--here")
    import json
    links = json.loads(subprocess.run(["ip", "-j", "-d", "link"], capture_output=True, text=True, check=True).stdout)
    bridge = next(link["ifname"] for link in links if link.get("ifalias", "").endswith(":lan"))
    lab.netlab("down")
    # Somebody else has a link of exactly that name now: refused, and theirs stays.
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    refused(lab, 1, bridge, args=("up", "--here"))
    subprocess.run(["ip", "link", "del", bridge], check=True)
    # It takes the place of ours while the lab is up: down leaves it alone.
    lab.netlab("up", "--here")
    subprocess.run(["ip", "link", "del", bridge], check=True)
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    lab.netlab("down")
    check(subprocess.run(["ip", "link", "show", bridge], capture_output=True).returncode == 0, "down removed a foreign link")
    subprocess.run(["ip", "link", "del", bridge], check=True)
    lab.remove()
    return ""


def examine(lab, rc, env=None, command=()):
    result = subprocess.run([*command, os.environ["NETLAB_BIN"], "doctor", "--json"], env=dict(lab.env, **(env or {})), capture_output=True, text=True)
    check(result.returncode == rc, f"doctor: {result}")
    return {item["name"]: item for item in json.loads(result.stdout)["doctor"]}


def doctor():
    lab = Lab()
    before = lab.dump()
    found = examine(lab, 0)
    check(found["tap"]["verdict"] == "good" and found["bridge"]["verdict"] == "good" and found["rootless"]["verdict"] == "good", f"{found}")
    check({"emulator", "seabios", "samba", "dnsmasq", "vnc", "state", "runtime", "store", "memory", "limits", "br-netfilter", "ip-forward", "rp-filter",
           "ping", "max-map-count", "forward-policy", "manager", "netem", "vlan", "nftables"} <= set(found), f"{sorted(found)}")
    check(all("remedy" in item for item in found.values() if item["verdict"] == "bad"), f"{found}")
    text = lab.netlab("doctor").stdout
    check("0 that keep labs from coming up" in text and max(len(line) for line in text.splitlines()) <= 80, text)
    lab.check_clean(before, "doctor changed something")
    # What stands in the way is said, with the remedy, and the status is 1.
    found = examine(lab, 1, {"NETLAB_EMU": "/nowhere/emu"})
    check("/nowhere/emu is not a program" in found["emulator"]["text"], f"{found['emulator']}")
    found = examine(lab, 1, {"NETLAB_STATE_DIR": "/proc/nowhere"})
    check(found["state"]["verdict"] == "bad" and "NETLAB_STATE_DIR" in found["state"]["remedy"], f"{found['state']}")
    os.makedirs(os.path.join(lab.base, "state"))
    with open(os.path.join(lab.base, "state", "netlab.db"), "w") as file:
        file.write("this is no database " * 100)
    check("`netlab repair` moves it away" in examine(lab, 1)["store"]["text"], "a damaged store")
    os.unlink(os.path.join(lab.base, "state", "netlab.db"))
    found = examine(lab, 0, command=["sh", "-c", "ulimit -n 256; exec \"$@\"", "sh"])
    check(found["limits"]["verdict"] == "note" and "ulimit -n 4096" in found["limits"]["remedy"], f"{found['limits']}")
    if MODE == "root" and os.geteuid() == 0:
        os.rename("/dev/net/tun", "/dev/net/elsewhere")
        try:
            found = examine(lab, 1)
        finally:
            os.rename("/dev/net/elsewhere", "/dev/net/tun")
        check(found["tun-device"]["verdict"] == "bad" and "modprobe tun" in found["tun-device"]["remedy"], f"{found['tun-device']}")
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
            file.write("0 100")
        check(examine(lab, 0)["ping"]["verdict"] == "good", "ping")
        if shutil.which("nft"):
            subprocess.run(["nft", "add table ip guard; add chain ip guard through { type filter hook forward priority 0; policy drop; }"], check=True)
            check("guard" in examine(lab, 0)["forward-policy"]["text"], "forward policy")
            subprocess.run(["nft", "delete table ip guard"], check=True)
    lab.remove()


def foreign_process_in_the_namespace():
    lab = Lab()
    lab.netlab("status", rc=4)
    before = lab.dump()
    lab.netlab("up")
    supervisor = lab.pids()[0]
    enter = ["nsenter", "-t", str(supervisor), *(["-U", "--preserve-credentials"] if MODE == "user" else []), "-n", "sleep", "1000"]
    stranger = subprocess.Popen(enter)
    wait_until("it is inside", lambda: os.stat(f"/proc/{stranger.pid}/ns/net").st_ino == os.stat(f"/proc/{supervisor}/ns/net").st_ino)
    result = lab.netlab("down")
    check(f"still in the lab's network namespace, which goes when they end: sleep (pid {stranger.pid})" in result.stderr, result.text)
    check(stranger.poll() is None, "a foreign process was ended")
    stranger.send_signal(signal.SIGKILL)
    stranger.wait()
    lab.check_clean(before, "after down")
    lab.remove()


if __name__ == "__main__":
    main(topology_errors, unreadable_kernel, no_tun, missing_capability, no_user_namespaces, no_emulator, store_of_a_newer_version,
         damaged_store, state_directory_without_permission, full_disk, full_runtime_directory, read_only_runtime_directory,
         name_taken_in_the_host_namespace,
         foreign_process_in_the_namespace, doctor)
