#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""`cloud_init` of a topology: what is refused, the seed as a guest mounts it and as other programs read it, what changes it; and
Debian's cloud-init itself (with NETLAB_TEST_FULL=1, in the image cloud-test that media_cloud.py makes).

The seed is read by image host. Needs python3-yaml; xorriso and blkid look at it where they are installed.
"""
import os
import re
import shutil
import subprocess

import yaml

from harness import BIN, Lab, check, main

EMULATOR = os.path.join(os.path.dirname(BIN), "netlab-emu")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvbmRzYXJlbm90aGVyZWF0YWxsYnV0aXRpc29rYXk me@\"here\": #1"

# What "Networking config Version 2" of cloud-init's documentation has for a NIC, and of which kind it is.
NIC = {"match": dict, "set-name": str, "addresses": list, "mtu": int, "dhcp4": bool, "dhcp6": bool, "routes": list, "nameservers": dict}


def write(folder, name, text, mode="w"):
    path = os.path.join(folder, name)
    with open(path, mode) as file:
        file.write(text)
    return path


def refusals():
    lab = Lab("name: cloud\nnodes: {{h1: }}\n", name="cloud", emulator=EMULATOR)
    folder = lab.folder
    write(folder, "good.yml", "#cloud-config\npackages: [nginx]\n")
    write(folder, "bad.yml", "#cloud-config\npackages: [nginx\nruncmd: x\n")
    write(folder, "plain.yml", "packages: [nginx]\n")
    write(folder, "large.yml", "#cloud-config\n" + "# x\n" * (300 << 10))
    write(folder, "private", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
    write(folder, "none.pub", "# no key\n")
    os.mkdir(os.path.join(folder, "folder"))
    rows = [
        ("cloud_init: gone.yml", "gone.yml", "gone.yml cannot be read: No such file or directory"),
        ("cloud_init: folder", "folder", "folder cannot be read: it is no regular file"),
        ("cloud_init: plain.yml", "plain.yml", "is nothing that cloud-init takes: the first line must be \"#cloud-config\""),
        ("cloud_init: bad.yml", "bad.yml", "bad.yml:3:7: not valid YAML"),
        ("cloud_init: {user_data: large.yml}", "large.yml", "is larger than 1 MiB"),
        ("cloud_init: {ssh_keys: gone.pub}", "gone.pub", "gone.pub cannot be read"),
        ("cloud_init: {ssh_keys: private}", "private", "is a private key; name the public one"),
        ("cloud_init: {ssh_keys: [none.pub]}", "none.pub", "has no SSH key in it"),
        ("cloud_init: {ssh_keys: \"ssh-rsa AAAA\\nssh-rsa BBBB\"}", "\"ssh-rsa", "an SSH key is one line"),
        ("disk: [1M, 1M, 1M], cloud_init: good.yml", "1M]", "no room for this disk"),
    ]
    before = lab.dump()
    for keys, token, says in rows:
        line = f"  h1: {{image: host, {keys}}}"
        lab.write(f"name: cloud\nnodes:\n{line}\n")
        result = lab.netlab("up", rc=3)
        check(says in result.text and f"\ntopology.yml:3:{line.rindex(token) + 1}: " in "\n" + result.text, f"{keys}: {result.text}")
        lab.check_clean(before, keys)
    lab.write("nodes:\n  h1: {cloud_init: true}\n")
    check("image \"mini\" has no drivers" in lab.netlab("up", rc=3).text, "mini has no drivers")


def check_network(text):
    """Against what cloud-init's documentation says of version 2."""
    config = yaml.safe_load(text)
    check(set(config) == {"version", "ethernets"} and config["version"] == 2, text)
    for name, nic in config["ethernets"].items():
        check(not set(nic) - set(NIC) and all(type(nic[key]) is NIC[key] for key in nic), f"{name}: {nic}")
        check(set(nic["match"]) == {"macaddress"} and re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", nic["match"]["macaddress"]), f"{nic}")
        check(all("/" in address for address in nic.get("addresses", [])), f"{nic}")
        check(all(set(route) == {"to", "via"} and "/" in route["to"] for route in nic.get("routes", [])), f"{nic}")
        check(set(nic.get("nameservers", {})) <= {"addresses"}, f"{nic}")
    return config["ethernets"]


TOPOLOGY = """\
name: cloud
defaults: {{image: host}}
networks: {{lan: {{subnet: 10.1.0.0/24, subnet6: "fd00:1::/64"}}, out: {{subnet: 10.2.0.0/24, uplink: user}}}}
nodes:
  h1:
    hostname: h1.example
    forwarding: true
    loopback: 10.254.0.9
    networks: {{lan: 10.1.0.1, out: auto}}
    routes: [{{to: 10.9.0.0/16, via: 10.1.0.7}}, {{to: "fd00:9::/64", via: "fd00:1::7"}}]
    cloud_init: {{user_data: ud.yml, ssh_keys: [id.pub, 'ssh-rsa AAAA "second": #2'], password: 'a: "b" #c ''{password}'}}
    run: ["echo started >>/tmp/started", "printf 'a\\nb' > /tmp/two"]
    files: {{"/srv/a b/it's": {{text: "x: [", mode: 0755}}}}
  h2: {{networks: [lan], cloud_init: true, cdrom: empty, disk: 1M}}
{more}"""


def seeds():
    """What the guest finds on the CD, and what it does when it follows it; then what a change changes."""
    lab = Lab("name: cloud\nnodes: {{h1: }}\n", name="cloud", emulator=EMULATOR)
    user = "#cloud-config\n# \u00e9\nwrite_files: [{path: /x, content: \"y: [\"}]\n"
    write(lab.folder, "ud.yml", user)
    write(lab.folder, "id.pub", f"# mine\n{KEY}\n\n")
    lab.write(TOPOLOGY.format(password="", more=""))
    before = lab.dump()
    lab.netlab("up")

    def do(node, command):
        return lab.netlab("exec", node, command).stdout

    check(do("h1", "mkdir -p /mnt; mount /dev/disk/ide1-cd0 /mnt && ls /mnt").split() ==
          ["hosts", "meta-data", "network-config", "start", "user-data", "vendor-data"], "the files of the seed")
    check(do("h2", "mkdir -p /mnt; mount /dev/disk/ide1-cd1 /mnt && cat /mnt/user-data") == "#cloud-config\n{}\n", "h2's user-data")
    check(do("h1", "cat /mnt/user-data") == user, "user-data is not as it was")
    meta = yaml.safe_load(do("h1", "cat /mnt/meta-data"))
    check(meta["local-hostname"] == "h1.example" and meta["public-keys"] == [KEY, 'ssh-rsa AAAA "second": #2'] and meta["instance-id"].startswith("netlab-"),
          f"{meta}")
    macs = {nic["interface"]: nic["mac"] for nic in lab.node("h1")["nics"]}
    nics = check_network(do("h1", "cat /mnt/network-config"))
    check({name: nic["match"]["macaddress"] for name, nic in nics.items()} == macs, f"{nics} {macs}")
    check(nics["eth0"]["addresses"] == ["10.1.0.1/24", "fd00:1::1/64"] and
          nics["eth0"]["routes"] == [{"to": "10.9.0.0/16", "via": "10.1.0.7"}, {"to": "fd00:9::/64", "via": "fd00:1::7"}] and
          nics["eth1"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.2.0.1"}] and nics["eth1"]["nameservers"], f"{nics}")
    vendor = do("h1", "cat /mnt/vendor-data")
    check(vendor.startswith("#cloud-config-archive\n"), vendor)
    parts = yaml.safe_load(vendor)
    check(yaml.safe_load(parts[0]["content"]) == {"password": "a: \"b\" #c '", "chpasswd": {"expire": False}, "ssh_pwauth": True}, f"{parts}")
    check([part["type"] for part in parts] == ["text/cloud-config", "text/x-shellscript"], f"{parts}")
    # The script, and the hook that it leaves, as cloud-init's modules scripts-vendor and scripts-per-boot run them; the link as udev makes it.
    hook = "/var/lib/cloud/scripts/per-boot/netlab"
    lab.netlab("exec", "h1", f"umount /mnt; mkdir -p /dev/disk/by-label; ln -s ../../sr0 /dev/disk/by-label/cidata; cat > /tmp/vendor <<'E'\n{parts[1]['content']}E\nrm -rf '/srv/a b' /tmp/two; sh /tmp/vendor && {hook} && {hook}")
    check(do("h1", "cat \"/srv/a b/it's\"; stat -c %a \"/srv/a b/it's\"") == "x: [755\n", "files")
    check(do("h1", "cat /tmp/two") == "a\nb" and do("h1", "cat /tmp/started") == "started\n" * 3, "commands")
    hosts = do("h1", "cat /etc/hosts")
    check(hosts.count("# netlab: begin") == 1 and "10.1.0.2 h2\n" in hosts.split("# netlab: begin")[1], hosts)
    check("10.254.0.9/32" in do("h1", "ip -o address show dev lo") and "/dev/sr0" not in do("h1", "mount"), "loopback, or a seed that is still mounted")
    # Other readers.
    seed = lab.node("h1")["media"][-1]
    check(seed["from"] == "cloud-init" and seed["drive"] == "ide1-cd0", f"{seed}")
    copy = os.path.join(lab.base, "seed.iso")
    shutil.copyfile(seed["file"], copy)
    if shutil.which("blkid"):
        said = subprocess.run(["blkid", "-o", "export", copy], capture_output=True, text=True, check=True).stdout
        check("LABEL=cidata\n" in said and "TYPE=iso9660\n" in said, said)
    if shutil.which("xorriso"):
        out = os.path.join(lab.base, "seed.out")
        subprocess.run(["xorriso", "-osirrox", "on", "-indev", "stdio:" + copy, "-extract", "/", out], check=True, capture_output=True)
        check(sorted(os.listdir(out)) == ["hosts", "meta-data", "network-config", "start", "user-data", "vendor-data"], f"{os.listdir(out)}")
        with open(os.path.join(out, "user-data")) as file:
            check(file.read() == user, "xorriso reads another user-data")
        subprocess.run(["chmod", "-R", "u+w", out], check=True)
        shutil.rmtree(out)
    os.remove(copy)
    check("(cloud-init)" in lab.netlab("inspect", "h1").stdout, "inspect")
    # One more node: the others go on. Another password or another file: its node is made anew, as another instance.
    pids = lab.pids()[1]
    lab.write(TOPOLOGY.format(password="", more="  h3: {networks: [lan]}\n"))
    lab.netlab("up")
    after = lab.pids()[1]
    check(all(pids[node] == after[node] for node in ("h1", "h2")), "a new node made the others anew")
    lab.write(TOPOLOGY.format(password="x", more="  h3: {networks: [lan]}\n"))
    differs = lab.netlab("diff", rc=1).stdout
    check("machine h1: cloud_init" in differs, differs)
    lab.netlab("up")
    last = lab.pids()[1]
    check({node for node in after if after[node] != last[node]} == {"h1"}, f"{after} {last}")
    changed = yaml.safe_load(do("h1", "mkdir -p /mnt; mount /dev/disk/ide1-cd0 /mnt && cat /mnt/meta-data"))
    check(changed["instance-id"] != meta["instance-id"], "the same instance with another password")
    check("h3" in do("h1", "cat /mnt/hosts"), "the new node's name")
    lab.netlab("down")
    lab.check_clean(before, "down")


def imported():
    """An image that was imported with --cloud-init gets a seed unless the node says otherwise."""
    lab = Lab("name: cloud\nnodes: {{h1: }}\n", name="cloud", emulator=EMULATOR)
    lab.env["NETLAB_IMAGE_DIR"] = os.path.join(lab.base, "images")
    write(lab.folder, "disk.img", bytes(510) + b"\x55\xaa" + bytes(1 << 20), "wb")
    lab.netlab("image", "import", "--cloud-init", "cloud", "disk.img")
    lab.netlab("image", "import", "plain", "disk.img")
    lab.write("name: cloud\ndefaults: {memory: 16M}\nnodes:\n  a: {image: cloud}\n  b: {image: cloud, cloud_init: false}\n  c: {image: plain}\n"
              "  d: {disk: disk.img, cloud_init: true}\n")
    lab.netlab("up")
    found = {node["name"]: [(m["drive"], m["from"]) for m in node["media"]] for node in lab.status()["nodes"]}
    check(found == {"a": [("ide0-hd0", "image"), ("ide1-cd0", "cloud-init")], "b": [("ide0-hd0", "image")], "c": [("ide0-hd0", "image")],
                    "d": [("ide1-cd0", "cloud-init"), ("ide0-hd0", "topology")]}, f"{found}")
    lab.netlab("down")


def debian():
    """Debian's cloud-init does what the seed says: its four stages are run one after the other."""
    if not os.environ.get("NETLAB_TEST_FULL"):
        return "skipped: with NETLAB_TEST_FULL=1 only"
    images = os.environ.get("NETLAB_IMAGE_DIR", "")
    if not os.path.exists(os.path.join(images, "cloud-test", "image.json")):
        return "skipped: there is no image cloud-test (media_cloud.py makes it)"
    lab = Lab("name: cloud\nnodes: {{h1: }}\n", name="cloud", emulator=EMULATOR)
    write(lab.folder, "ud.yml", "#cloud-config\nwrite_files: [{path: /etc/from-user-data, content: \"y: [\"}]\nruncmd: [[sh, -c, \"echo ran >/tmp/runcmd\"]]\n")
    write(lab.folder, "id.pub", KEY + "\n")
    lab.write("""\
name: cloud
networks: {lan: {subnet: 10.1.0.0/24}}
nodes:
  c1:
    image: cloud-test
    hostname: c1.example
    networks: {lan: 10.1.0.1}
    routes: [{to: 10.9.0.0/16, via: 10.1.0.7}]
    cloud_init: {user_data: ud.yml, ssh_keys: id.pub, password: 'a: "b" #c'}
    files: {"/srv/a b": {text: "from the topology"}}
    run: "echo $(hostname) >>/tmp/started"
  h2: {image: host, networks: [lan]}
""")
    lab.netlab("up", timeout=300)

    def do(command, seconds=60):
        return lab.netlab("exec", "--timeout", str(seconds), "c1", command, timeout=seconds + 30).stdout

    do("rm -rf '/srv/a b' /tmp/started; hostname before; mkdir -p /var/lib/cloud /run/cloud-init")
    for stage in ("init --local", "init", "modules --mode=config", "modules --mode=final"):
        do(f"cloud-init {stage} >/tmp/said 2>&1; true", 600)
    log = do("grep -E 'WARNING|ERROR|Traceback' /var/log/cloud-init.log || true")
    check("seed=/dev/sr0" in do("cat /run/cloud-init/status.json /run/cloud-init/result.json"), f"not by the seed: {log}")
    check(do("cat /etc/hostname").strip() == "c1", f"host name: {log}")
    check(do("cat /etc/from-user-data /tmp/runcmd") == "y: [ran\n", f"user-data: {log}")
    check(do("cat '/srv/a b'; cat /tmp/started").startswith("from the topology"), f"files and commands: {log}")
    check("10.1.0.2 h2" in do("cat /etc/hosts").split("# netlab: begin")[1], "names of the nodes")
    network = do("cat /etc/network/interfaces.d/*")
    check("address 10.1.0.1/24" in network and "10.9.0.0" in network and "10.1.0.7" in network, network)
    check(KEY in do("cat /home/debian/.ssh/authorized_keys"), f"keys: {log}")
    check(do("cat /run/chpasswd.in") == "debian:a: \"b\" #c\n", f"password: {log}")  # the recipe has a stand-in: there is no PAM
    lab.netlab("down")
    return None


main(refusals, seeds, imported, debian)
