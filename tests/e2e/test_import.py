# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""`netlab import`: labs written for containerlab, Kathará and ipspace's netlab. What becomes of each form, what hostile ones
come to, and one lab of each kind brought up for real (with the images host and router; NETLAB_IMAGE_DIR).

The labs here are written for this test; docs/import.md says which published ones were tried.
"""
import json
import os
import subprocess
import time

import yaml

from harness import Lab, check, main

IMAGES = os.environ.get("NETLAB_IMAGE_DIR", "")
UP_SECONDS = 280
MISSING = [name for name in ("host", "router") if not os.path.exists(os.path.join(IMAGES, name, "image.json"))]

CONTAINERLAB = """\
name: forms
prefix: ""
mgmt:
  ipv4-subnet: 172.30.5.0/24
topology:
  defaults:
    env: {SITE: "two words"}
  kinds:
    linux:
      image: ${IMPORT_TEST_IMAGE:=alpine:3}
      exec:
        - ip link set eth1 up
  groups:
    routers:
      image: frrouting/frr:v8.4.1
      binds:
        - common/daemons:/etc/frr/daemons:ro
        - __clabNodeName__/frr.conf:/etc/frr/frr.conf
  nodes:
    r1:
      kind: linux
      group: routers
      labels: {role: core}
      binds:
        - ../outside.txt:/etc/outside
        - /etc/hostname:/etc/host-of-the-host
        - tools:/opt/tools
    h_1:
      kind: linux
      exec:
        - ip addr add 10.1.0.2/24 dev eth1
        - ip route add default via 10.1.0.1
        - sh -c "echo hello > /tmp/hello"
        - apk add iperf3
      ports:
        - 8080:80
      mgmt-ipv4: 172.30.5.9
    sw:
      kind: bridge
    srl:
      kind: nokia_srlinux
      image: ghcr.io/nokia/srlinux
    frr2:
      kind: frr
      startup-config: |
        router ospf
         network 10.0.0.0/8 area 0
      extras: {frr: {daemons: [bfdd]}}
      surprise: 1
  links:
    - endpoints: ["r1:eth1", "h_1:eth1"]
    - type: veth
      mtu: 1400
      endpoints:
        - {node: r1, interface: eth2, mac: "02:00:00:00:00:07", ipv4: 10.2.0.1/24}
        - {node: frr2, interface: eth1}
    - endpoints: ["r1:eth3", "sw:port1"]
    - endpoints: ["srl:ethernet-1/1", "sw:port2"]
    - endpoints: ["frr2:eth2", "host:veth-frr2"]
    - {type: dummy, endpoint: {node: frr2, interface: eth3}}
"""


class Source:
    """A folder with another program's lab, beside the test's own folders."""

    def __init__(self, name="their-lab"):
        self.lab = Lab(emulator=None, name="import")
        self.folder = os.path.join(self.lab.base, name)
        os.makedirs(self.folder)
        self.output = os.path.join(self.lab.base, "imported")

    def put(self, path, text, mode=0o644):
        whole = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w") as file:
            file.write(text)
        os.chmod(whole, mode)
        return whole

    def run(self, *args, path=None, rc=0, env=None):
        return self.lab.netlab("import", path or self.folder, "-o", self.output, *args, rc=rc, env=env)

    def report(self, *args, rc=0, path=None, env=None):
        report = json.loads(self.run("--json", *args, rc=rc, path=path, env=env).stdout)
        for note in report["notes"]:
            check(note["line"] > 0 and note["column"] > 0 and note["how"] and os.path.basename(note["file"]), f"no place: {note}")
        for level in ("mapped", "approximated", "left out"):
            count = sum(note["level"] == level for note in report["notes"])
            check(count == report["counts"][level], f"{level}: {count} notes, {report['counts'][level]} counted")
        return report

    def topology(self):
        with open(os.path.join(self.output, "topology.yml")) as file:
            return yaml.safe_load(file)

    def read(self, path):
        with open(os.path.join(self.output, path)) as file:
            return file.read()

    def has(self, path):
        return os.path.lexists(os.path.join(self.output, path))

    def left(self):
        """Nothing is left beside the folder: half-written ones have hidden names."""
        return [name for name in os.listdir(self.lab.base) if ".import-" in name]


def find(report, level, *words):
    found = [note for note in report["notes"] if all(word in note["what"] + " " + note["how"] for word in words)]
    check(len(found) >= 1, f"no note with {words}:\n" + "\n".join(f"{n['level']}: {n['what']}: {n['how']}" for n in report["notes"]))
    check(all(note["level"] == level for note in found), f"{words}: not {level} but {found}")
    return found[0]


def interfaces(topology, node):
    return {values["interface"]: dict(values, network=network)
            for entry in topology["nodes"][node]["networks"] for network, values in entry.items()}


def accepts(source):
    """Our own program takes what was written: its steps are printed, nothing is made."""
    result = source.lab.netlab("up", "--dry-run", os.path.join(source.output, "topology.yml"), rc=None)
    complaints = [line for line in result.stderr.splitlines() if "topology.yml:" in line]
    lacks_images = complaints and all("no image '" in line for line in complaints)
    check(result.returncode == 0 or (MISSING and lacks_images), result.text)


def containerlab_forms():
    source = Source()
    source.put("forms.clab.yml", CONTAINERLAB)
    source.put("../outside.txt", "not yours\n")
    source.put("common/daemons", "zebra=yes\nospfd=yes\n")
    source.put("r1/frr.conf", "interface eth1\n ip address 10.1.0.1/24\n")
    source.put("tools/run.sh", "#!/bin/sh\n", 0o755)
    os.symlink("/etc/passwd", os.path.join(source.folder, "tools/link"))
    report = source.report(rc=3)
    check(report["kind"] == "containerlab" and report["nodes"] == 4 and report["name"] == "forms", f"{report['kind']} {report['nodes']}")
    topology = source.topology()
    nodes = topology["nodes"]
    check({name: node["image"] for name, node in nodes.items()} ==
          {"r1": "router", "h-1": "host", "srl": "router", "frr2": "router"}, f"images: {nodes}")
    check(interfaces(topology, "h-1")["eth1"]["address"] == "10.1.0.2/24", "an address that a command sets is the topology's")
    check(interfaces(topology, "h-1")["eth0"]["address"] == "172.30.5.9/24", "the management address")
    r1 = interfaces(topology, "r1")
    check(r1["eth2"]["mac"] == "02:00:00:00:00:07" and r1["eth2"]["address"] == "10.2.0.1/24", f"extended endpoints: {r1}")
    check(r1["eth3"]["network"] == interfaces(topology, "srl")["ethernet-1-1"]["network"] == "sw", "the bridge is one network")
    check(topology["networks"][r1["eth2"]["network"]]["mtu"] == 1400, "mtu")
    check(topology["networks"]["mgmt"]["forward"] == ["tcp 8080 -> h-1:80"], f"{topology['networks']['mgmt']}")
    check(nodes["h-1"]["run"] == ["ip route replace default via 10.1.0.1", "sh -c \"echo hello > /tmp/hello\""], f"{nodes['h-1']['run']}")
    check(all(node["forwarding"] for node in nodes.values()), "containers forward")
    check("ip address 10.1.0.1/24" in source.read("r1/etc/frr/frr.conf"), "__clabNodeName__")
    check(source.read("r1/etc/frr/daemons.lab") == "zebra=yes\nospfd=yes\n" and source.read("frr2/etc/frr/daemons.lab") == "bfdd=yes\n", "daemons")
    check(source.read("frr2/etc/frr/frr.conf").startswith("router ospf\n"), "startup-config in the file itself")
    check(source.read("r1/etc/profile.d/lab.sh") == "export SITE='two words'\n", "env of the defaults")
    check(os.stat(os.path.join(source.output, "r1/opt/tools/run.sh")).st_mode & 0o777 == 0o755, "modes of files")
    check(os.readlink(os.path.join(source.output, "r1/opt/tools/link")) == "/etc/passwd", "a link stays a link")
    check(not source.has("r1/etc/outside") and not source.has("r1/etc/host-of-the-host"), "files from outside were taken")
    check(not source.left(), f"{source.left()}")
    line = CONTAINERLAB.splitlines().index("        - ../outside.txt:/etc/outside") + 1
    note = find(report, "left out", "outside.txt", "outside the lab's folder")
    check((note["line"], note["column"]) == (line, 11) and note["file"].endswith("forms.clab.yml"), f"its place: {note}")
    find(report, "left out", "/etc/hostname")
    find(report, "left out", "nokia_srlinux")
    find(report, "left out", "apk add")
    find(report, "left out", "surprise")
    find(report, "left out", "the host's side veth-frr2")
    find(report, "approximated", "labels")
    find(report, "mapped", "alpine:3")
    find(report, "approximated", "h_1", "is called h-1")
    accepts(source)
    source.output += "-2"
    other = source.report(rc=3, env={"IMPORT_TEST_IMAGE": "example.org/tool:1"})
    find(other, "left out", "example.org/tool:1")


KATHARA = """\
# devices
LAB_NAME="Two nets"
LAB_DESCRIPTION="routing by hand"
r1[0]="A/02:00:00:00:00:01"
r1[1]="B"
r1[image]="kathara/frr"
pc_1[0]='A'
pc2[0]=B      # a comment
pc2[exec]="ip route add 10.9.0.0/16 via 10.2.0.1"
pc2[sysctl]="net.ipv4.icmp_echo_ignore_broadcasts=0"
pc2[bridged]=true
pc2[port]="8081:80/tcp"
pc2[num_terms]=2
pc2[ulimit]="nofile=1"
sw[0]="B"
"""


def kathara_forms():
    source = Source()
    source.put("lab.conf", KATHARA)
    source.put("shared.startup", "sysctl -w net.ipv4.ip_default_ttl=65\n")
    source.put("shared/note.txt", "for all\n")
    source.put("r1.startup", "ifconfig eth0 10.1.0.1 netmask 255.255.255.0 broadcast 10.1.0.255 up\n# a comment\nip address add 10.2.0.1/24 dev eth1\n"
                             "/etc/init.d/frr start\nsystemctl start frr\n")
    source.put("pc_1.startup", "/sbin/ifconfig eth0 10.1.0.5/24 up\nroute add default gw 10.1.0.1 dev eth0\nroute add -net 10.7.0.0 netmask 255.255.0.0 gw 10.1.0.1\n"
                               "/etc/init.d/apache2 start\n/etc/init.d/bind start\necho one && echo two > /tmp/two\n")
    source.put("pc2.startup", "for i in 1 2; do\n  echo $i >> /tmp/loop\ndone\nip addr add 10.2.0.7/24 dev eth0\n")
    source.put("sw.startup", "dhclient eth0\n")
    source.put("pc2.shutdown", "echo bye\n")
    source.put("lab.dep", "r1: pc_1\n")
    source.put("pc_1/var/www/html/index.html", "their page\n")
    source.put("r1/etc/quagga/zebra.conf", "hostname r1\n")
    source.put("r1/etc/quagga/ospfd.conf", "router ospf\n network 10.0.0.0/8 area 0\n")
    report = source.report(rc=3)
    topology = source.topology()
    nodes = topology["nodes"]
    check(report["kind"] == "kathara" and topology["name"] == "Two-nets" and "routing by hand" in source.read("topology.yml"), "names")
    check({name: node["image"] for name, node in nodes.items()} ==
          {"r1": "router", "pc-1": "host", "pc2": "host", "sw": "host"}, f"{nodes}")
    r1 = interfaces(topology, "r1")
    check(r1["eth0"] == {"interface": "eth0", "mac": "02:00:00:00:00:01", "address": "10.1.0.1/24", "network": "A"}, f"{r1}")
    check(r1["eth1"]["address"] == "10.2.0.1/24" and interfaces(topology, "sw")["eth0"]["address"] == "dhcp", "addresses")
    check(interfaces(topology, "pc2")["eth1"]["network"] == "outside", "bridged")
    check(topology["networks"]["outside"] == {"uplink": "user", "forward": ["tcp 8081 -> pc2:80"]}, f"{topology['networks']}")
    check(nodes["pc-1"]["run"] == ["sysctl -w net.ipv4.ip_default_ttl=65", "ip route replace default via 10.1.0.1 dev eth0",
                                   "ip route replace 10.7.0.0/16 via 10.1.0.1", "nginx", "echo one && echo two > /tmp/two"], f"{nodes['pc-1']['run']}")
    check(nodes["r1"]["run"] == ["sysctl -w net.ipv4.ip_default_ttl=65"], "FRR starts by itself")
    check("bash /etc/lab/pc2.startup" in nodes["pc2"]["run"] and "done" in source.read("pc2/etc/lab/pc2.startup"), "a script with a loop is kept whole")
    check(source.read("pc-1/var/www/html/index.html") == "their page\n" and source.read("r1/shared/note.txt") == "for all\n", "files")
    check("router ospf" in source.read("r1/etc/frr/frr.conf"), "Quagga's files are FRR's")
    note = find(report, "left out", "bind", "not in our images")
    check(note["file"].endswith("pc_1.startup") and note["line"] == 5, f"{note}")
    find(report, "left out", "ulimit")
    find(report, "left out", "pc2.shutdown")
    find(report, "approximated", "lab.dep")
    find(report, "approximated", "num_terms")
    accepts(source)


IPSPACE = """\
defaults.device: frr
module: [ospf]
addressing:
  loopback: {ipv4: 10.9.0.0/24}
  lan: {ipv4: 172.20.0.0/16, ipv6: "2001:db8::/48"}
groups:
  core:
    members: [r1, r2]
    module: [ospf, bgp]
    bgp.as: 65000
nodes:
  r1:
    ospf.area: 1
  r2:
    config: [special]
  x1:
    module: [bgp]
    bgp: {as: 65001, originate: [192.0.2.0/24], community: [standard]}
  h1:
    device: linux
    id: 44
  eos1: {device: eos, module: [vlan]}
links:
- r1-r2
- {r2: {ipv4: 10.77.0.2/30}, x1: {ipv4: 10.77.0.1/30}, prefix: 10.77.0.0/30}
- group: edge
  ospf.area: 2
  members: [r1-h1]
- interfaces: [r1, {node: eos1}]
  type: lan
  ospf.cost: 7
  mtu: 1400
  tc: {delay: 10, loss: 1}
  bandwidth: 10000
validate: {}
"""


def ipspace_forms():
    source = Source()
    source.put("topology.yml", IPSPACE)
    report = source.report(rc=3)
    topology = source.topology()
    nodes = topology["nodes"]
    check(report["kind"] == "ipspace" and report["nodes"] == 5, f"{report['kind']} {report['nodes']}")
    check(nodes["r1"]["loopback"] == "10.9.0.1/32" and "loopback" not in nodes["h1"], "loopbacks by number")
    r1, h1 = interfaces(topology, "r1"), interfaces(topology, "h1")
    check(r1["eth1"]["address"] == "10.1.0.1/30" and interfaces(topology, "r2")["eth1"]["address"] == "10.1.0.2/30", f"{r1}")
    check(h1["eth1"]["address"] == "172.20.0.44/24" and nodes["h1"]["routes"] == [{"to": "default", "via": "172.20.0.1"}], f"{h1} {nodes['h1']}")
    check(h1["eth1"]["address6"] == "2001:db8::2c/64", f"{h1}")
    check(interfaces(topology, "x1")["eth1"]["address"] == "10.77.0.1/30", "an address of its own")
    network = topology["networks"][r1["eth3"]["network"]]
    check(network == {"mtu": 1400, "delay": "10ms", "loss": "1%"}, f"{network}")
    text = source.read("r1/etc/frr/frr.conf")
    for words in ("interface eth1\n ip ospf area 1\n ip ospf network point-to-point\n", "interface eth2\n ip ospf area 2\n",
                  "interface eth3\n ip ospf area 1\n ip ospf cost 7\n", "router bgp 65000\n bgp router-id 10.9.0.1\n",
                  " neighbor 10.9.0.2 remote-as 65000\n", "neighbor 10.9.0.2 update-source lo", "  network 10.9.0.1/32\n"):
        check(words in text, f"not in r1's configuration: {words}\n{text}")
    edge = source.read("r2/etc/frr/frr.conf")
    check("neighbor 10.77.0.1 remote-as 65001" in edge and "interface eth2" not in edge, f"no IGP between two AS:\n{edge}")
    check("ip route 192.0.2.0/24 Null0" in source.read("x1/etc/frr/frr.conf"), "originated")
    find(report, "left out", "node r2: config")
    find(report, "left out", "bgp.community")
    find(report, "left out", "module vlan")
    find(report, "left out", "bandwidth")
    find(report, "left out", "validate", "checks:")
    find(report, "approximated", "device eos")
    accepts(source)
    # The same words for the other spellings of keys.
    source.put("topology.yml", "defaults: {device: csr}\nnodes: [a, {name: b}]\nlinks: [a-b, a]\nmodule: isis\n")
    source.output += "-2"
    report = source.report()
    check("is-type level-2-only" not in source.topology() and report["nodes"] == 2 and report["counts"]["left out"] == 0, f"{report}")


def limits():
    """What one machine has no room for is said with its place; what is written is taken, whatever stood there."""
    source = Source()
    conf = "".join(f'r1[{i}]="N{i}"\n' for i in range(20))
    conf += 'a[0]="N0/02:00:00:00:00:09"\nb[0]="N1/02:00:00:00:00:09"\nc[0]="N2/53:00:00:00:00:09"\n'
    conf += "".join(f'a[port]="{2000 + i}:80/udp"\n' for i in range(300)) + 'c[exec]="sh -c \'echo \'x\'"  # as "they" say\n'
    source.put("lab.conf", conf)
    source.put("r1.startup", "".join(f"echo 'line {i}' >> /tmp/lines\n" for i in range(100)))
    source.put("a.startup", "echo ${student.name}\necho one\x07two\necho \u2028 \ufeff é\nfalse # it's a comment\n")
    source.put("b.startup", "".join(f"echo {i} {'x' * 2000}\n" for i in range(40)))
    source.put("c.startup", "".join(f"echo {i}\n" for i in range(1300)))
    report = source.report(rc=3)
    topology = source.topology()
    nodes = topology["nodes"]
    check(len(nodes["r1"]["networks"]) == 16, f"{len(nodes['r1']['networks'])} NICs")
    for i in range(16, 20):
        note = find(report, "left out", f"interface eth{i}", "room for 16")
        check((note["line"], note["column"]) == (i + 1, 1) and note["file"].endswith("lab.conf"), f"{note}")
    check(nodes["r1"]["run"] == ["sh /etc/lab/commands.sh"] and nodes["b"]["run"] == ["sh /etc/lab/commands.sh"], "many commands are a script")
    script = source.read("r1/etc/lab/commands.sh")
    check(script.count("\n") == 101 and os.access(os.path.join(source.output, "r1/etc/lab/commands.sh"), os.X_OK), f"{script[:300]}")
    subprocess.run(["sh", "-n", os.path.join(source.output, "r1/etc/lab/commands.sh")], check=True)
    find(report, "approximated", "node r1: its 100 commands", "at most 48 KiB", "/etc/lab/commands.sh")
    find(report, "approximated", "node b: its 41 commands")
    check(nodes["c"]["run"] == ["bash /etc/lab/c.startup", "sh -c 'echo 'x'"], f"a script of more than 500 lines is kept whole: {nodes['c']['run']}")
    check("mac" in interfaces(topology, "a")["eth0"] and "mac" not in interfaces(topology, "b")["eth0"], "one MAC twice")
    check("ip link set eth0 address 02:00:00:00:00:09" in source.read("b/etc/lab/commands.sh"), "the second is set by a command")
    find(report, "left out", "node c: eth0, MAC address 53:00:00:00:00:09")
    check(len(topology["networks"]["outside"]["forward"]) == 256 and report["counts"]["left out"] >= 44, "forwards")
    check(nodes["a"]["run"] == ["echo $${student.name}", "echo \u2028 \ufeff é", "false # it's a comment"], f"{nodes['a']['run']}")
    note = find(report, "left out", "control character 0x07")
    check(note["file"].endswith("a.startup") and note["line"] == 2, f"{note}")
    accepts(source)
    source.put("notes.clab.yml", "topology: {nodes: {n: {kind: linux, image: alpine, " + ", ".join(f"y{i}: 1" for i in range(5500)) + "}}}\n")
    result = source.lab.netlab("import", os.path.join(source.folder, "notes.clab.yml"), "-n", rc=3)
    check("… and 50" in result.stdout, result.stdout[-300:])


def old_tools():
    """ifconfig, route and init scripts, which our images have not: in every form what does the same, or said to be missing."""
    source = Source()
    source.put("lab.conf", '\ufeffr1[0]="A"\nr1[1]="B"\nr2[0]="A"\nr3[0]="A"\nr4[0]="A"\nr9[0]="A"\nr10[0]="A"\n'
                           + "".join(f'r{i}[0]="A"\nr{i}[image]="kathara/frr"\n' for i in (5, 6, 7, 8)))
    source.put("r5.startup", "iptables -P FORWARD DROP  # nothing passes\n")
    source.put("r6.startup", "/etc/init.d/frr start\nx=1; /sbin/iptables -F\n")
    source.put("r7.startup", "echo done # iptables\n")
    source.put("r8.startup", "vtysh -c 'show version'\nip route show\n")
    source.put("r1.startup", "ifconfig lo:1 1.1.1.1 netmask 255.255.255.255 up\nifconfig eth0:1 10.0.0.1/24 up\nifconfig eth0:2 10.0.0.2/24 up\n"
                             "ifconfig eth1 10.1.0.1 netmask 255.255.0.0 mtu 1400 up\nifconfig eth1 mtu 1300\nifconfig eth1 promisc\nroute -n\n"
                             "route add -net 10.9.0.0/16 dev eth1\nifconfig eth1 up && echo up\nhostname r1\nhostname other\nip route add 10.8.0.0/16 via 10.1.0.9\n")
    source.put("r2.startup", "#!/bin/bash\r\nif true; then\r\n  ifconfig eth0 10.0.0.7/24 up\r\n\troute add default gw 10.0.0.1\r\n  /etc/init.d/apache2 start\r\n"
                             "  /etc/init.d/bind start\r\nfi\r\n")
    source.put("r9.startup", "ifconfig eth0 10.0.0.9 hw ether FE:FD:C3:0B:0E:01 netmask 255.255.255.0 up\n"
                             "ifconfig eth0 10.0.0.10/24 hw ether fe:fd:00:00:00:01 pointopoint 10.0.0.99\nifconfig eth0 hw ether 01:00:00:00:00:01\n")
    source.put("r10.startup", "if true; then\n  ifconfig eth0 10.0.0.11/24 hw ether fe:fd:00:00:00:02 up\nfi\n")
    source.put("r3.startup", "cd /tmp\ncat > x <<END\nifconfig eth0 10.0.0.8/24 up\nEND\n")
    source.put("r4.startup", "x=1\nip -6 route add default via fe80::1 dev eth0\nip route add 10.8.0.0/16 via 10.0.0.1\n# ifconfig no more\n")
    source.put("r4/etc/network/interfaces", "auto eth0\n")
    report = source.report(rc=3)
    nodes = source.topology()["nodes"]
    check(nodes["r1"]["loopback"] == "1.1.1.1/32" and interfaces(source.topology(), "r1")["eth0"]["address"] == "10.0.0.1/24", f"{nodes['r1']}")
    check(nodes["r1"]["run"] == ["ip address replace 10.0.0.2/24 dev eth0", "ip link set eth1 mtu 1400", "ip link set eth1 mtu 1300",
                                 "ip route replace 10.9.0.0/16 dev eth1", "ifconfig eth1 up && echo up", "echo other > /proc/sys/kernel/hostname",
                                 "ip route add 10.8.0.0/16 via 10.1.0.9"], f"{nodes['r1']['run']}")
    for line, words in ((6, "promisc"), (7, "route -n"), (9, "&& echo")):
        note = find(report, "left out", words, "not in our images")
        check(note["line"] == line, f"{words}: {note}")
    nic = interfaces(source.topology(), "r9")["eth0"]
    check((nic["address"], nic["mac"]) == ("10.0.0.9/24", "fe:fd:c3:0b:0e:01"), f"{nic}")
    check(nodes["r9"]["run"] == ["ip address replace 10.0.0.10/24 dev eth0", "ip link set eth0 address fe:fd:00:00:00:01"], f"{nodes['r9']['run']}")
    find(report, "left out", "node r9: ifconfig eth0 10.0.0.10/24", "pointopoint")
    find(report, "left out", "node r9: ifconfig eth0 hw ether 01:", "not a MAC address")
    check("  ip address replace 10.0.0.11/24 dev eth0; ip link set eth0 address fe:fd:00:00:00:02\n" in source.read("r10/etc/lab/r10.startup"), "in a script")
    find(report, "mapped", "hostname r1", "host name")
    check(source.read("r2/etc/lab/r2.startup") == "#!/bin/bash\nif true; then\n  ip address replace 10.0.0.7/24 dev eth0\n\tip route replace default via 10.0.0.1\n"
                                                  "  nginx\n  :\nfi\n", source.read("r2/etc/lab/r2.startup"))
    find(report, "approximated", "node r2: r2.startup", "run whole")
    check("ifconfig eth0 10.0.0.8/24 up\n" in source.read("r3/etc/lab/r3.startup"), "text within a script is not touched")
    find(report, "left out", "node r3: r3.startup", "1 line")
    find(report, "approximated", "node r4: r4.startup")
    find(report, "left out", "node r4: /etc/network/interfaces", "read by nothing")
    check([nodes[f"r{i}"]["image"] for i in (5, 6, 7, 8)] == ["host", "router", "router", "router"], "images that have what is called")
    find(report, "approximated", "node r5: image", "host, which has iptables")
    find(report, "left out", "node r6: image", "iptables, which its commands call, is not in image router")
    accepts(source)


CONTAINERLAB_MORE = """\
name: their-lab
topology:
  defaults: {config: {vars: {x: 1}}}
  kinds:
    linux: {image: alpine, cmd: sleep infinity, gpu: 1}
  groups:
    g: {license: x}
  nodes:
    a: {kind: linux, wait-for: [b], binds: ["./:/opt/all"], cmd: [serve]}
    b: {kind: linux, group: g, cmd: /bin/serve, binds: own, ports: [{x: 1}], env: [A]}
  links:
    - endpoints: ["a:eth1", "macvtap:enp4s0"]
      vars: {port: 1}
    - endpoints: ["b:eth1", "container:x:eth1"]
      colour: red
"""


def containerlab_more():
    source = Source()
    source.put("own.clab.yml", CONTAINERLAB_MORE)
    report = source.report(rc=3)
    check(source.has("a/opt/all/own.clab.yml"), "the lab's own folder")
    find(report, "approximated", "node a: wait-for")
    find(report, "approximated", "kind linux: cmd", "goes on without")
    find(report, "left out", "kind linux: gpu")
    find(report, "left out", "node b: cmd")
    find(report, "left out", "node a: cmd")
    find(report, "left out", "node b: binds", "a list")
    find(report, "left out", "node b: ports", "not a text")
    find(report, "left out", "node b: env", "a mapping")
    find(report, "left out", "defaults: config")
    find(report, "approximated", "group g: license")
    find(report, "approximated", ": vars")
    find(report, "left out", ": colour")
    find(report, "left out", "uplink: enp4s0")
    accepts(source)
    # A lab in a folder of its name does not stand in its own way.
    result = source.lab.netlab("import", source.folder, "-q", rc=3, cwd=source.lab.base)
    check(os.path.exists(os.path.join(source.lab.base, "their-lab-netlab", "topology.yml")), result.text)
    check("their-lab-netlab is there already" in source.lab.netlab("import", "their-lab", rc=1, cwd=source.lab.base).stderr, "a second time")


IPSPACE_MORE = """\
module: [ospf, bgp]
bgp.as: 65000
groups:
  _auto_create: True
  all: {members: [x, hosts], graph.rank: 1}
  hosts: {members: [h1, h2], device: linux}
nodes:
  a:
  b: {bgp.rr: true, id: 1}
  c: {id: 1}
  d: {id: 1001}
  e: {id: 300}
vrfs:
  red: {links: [h1-x], evpn.transit_vni: True}
links:
- {a: {bgp.role: peer}, b: , role: stub}
- {a: , c: , role: external, mtu: 1600}
- {a: , d: , role: lag}
- {b: , c: , unnumbered: True, tc: {loss: 0.5, delay: 10us}}
- {a: , b: , c: , e: }
- {group: core, bgp.role: provider, members: [c-d]}
"""


def ipspace_more():
    source = Source()
    source.put("topology.yml", IPSPACE_MORE)
    report = source.report(rc=3)
    topology = source.topology()
    nodes = topology["nodes"]
    loopbacks = {name: node.get("loopback", "").split("/")[0] for name, node in nodes.items()}
    check(loopbacks == {"a": "10.0.0.2", "b": "10.0.0.1", "c": "10.0.0.3", "d": "10.0.0.4", "e": "", "x": "10.0.0.5", "h1": "", "h2": ""}, f"{loopbacks}")
    note = find(report, "left out", "node c: id", "another node has it; it is 3")
    check((note["line"], note["column"]) == (10, 7), f"{note}")
    find(report, "left out", "node d: id", "up to 1000")
    check([list(entry) for entry in nodes["h1"]["networks"]] == [["h1-x"]] and nodes["h1"]["image"] == "host", "a link of a VRF")
    text = source.read("a/etc/frr/frr.conf")
    check("interface eth1\n ip ospf area 0.0.0.0\n ip ospf network point-to-point\n ip ospf passive\n" in text, text)
    check("interface eth2" not in text and "interface eth3" in text, "no IGP runs on a link with role: external")
    check({"loss": "0.5%"} in list(topology["networks"].values()), f"{topology['networks']}")
    for level, words in (("left out", ("a: bgp.role",)), ("approximated", ("mtu 1600",)), ("left out", ("role lag",)), ("approximated", ("unnumbered",)),
                         ("left out", ("tc.delay 10us", "delay: 10ms")), ("left out", ("node e, eth1: address", "give one by ipv4")),
                         ("left out", ("group core of links: bgp.role",)), ("approximated", ("graph.rank",)), ("left out", ("vrfs",))):
        find(report, level, *words)
    accepts(source)


def refuses():
    """What cannot be read: status 1, a place, and nothing is made."""
    source = Source()
    deep = "a: " + "[" * 200 + "]" * 200
    bomb = "a: &a [" + "x," * 50 + "]\n" + "".join(f"{c}: &{c} [" + f"*{p}," * 50 + "]\n" for p, c in zip("abcd", "bcde")) + "nodes: {n: {x: *e}}\n"
    for name, text, words in (
            ("x.clab.yml", "topology: {nodes: {r1: [}}\n", "x.clab.yml:1:"),
            ("x.clab.yml", "topology: {links: []}\n", "x.clab.yml:1:11: a containerlab topology has nodes"),
            ("x.clab.yml", "topology: {nodes: {a: , a: }}\n", "given twice"),
            ("x.clab.yml", "topology:\n  nodes: {\x01}\n", "x.clab.yml:2:11: not valid YAML: control characters"),
            ("x.clab.yml", "topology: {nodes: {}}\n", "no node in it"),
            ("x.clab.yml", "", "empty"),
            ("x.clab.yml", deep, "nested more than"),
            ("x.clab.yml", bomb, "aliases"),
            ("x.clab.yml", "a: &a {x: *a}\ntopology: {nodes: {n: *a}}\n", "an alias within itself"),
            ("x.clab.yml", "topology: {nodes: {n: \"\\0\"}}\n", "NUL"),
            ("lab.conf", "r1[0]=\"A\"\nwhat is this\n", "lab.conf:2:1: neither"),
            ("lab.conf", "r1[0]=\"A\n", "lab.conf:1:1: neither"),
            ("x.yml", "something: else\n", "say which with --from"),
            ("topology.yml", "nodes: 5\n", "topology.yml:1:8: a topology of ipspace's")):
        source.put(name, text)
        began = time.monotonic()
        result = source.run(*(("--from", "ipspace") if name == "topology.yml" else ()), path=os.path.join(source.folder, name), rc=1)
        check(words in result.stderr, f"{name}: {text[:60]}: no \"{words}\" in\n{result.stderr}")
        check(not os.path.exists(source.output) and not source.left(), "something was made")
        check(time.monotonic() - began < 20, f"{name}: {time.monotonic() - began:.0f} s")
        os.unlink(os.path.join(source.folder, name))
    check("no lab.conf" in source.run(rc=1).stderr, "an empty folder")
    check("/nonexistent" in source.run(path="/nonexistent/x", rc=1).stderr, "no folder")
    with open(source.put("big.clab.yml", ""), "w") as file:
        file.truncate(3 << 20)
    check("larger than 1 MiB" in source.run(path=os.path.join(source.folder, "big.clab.yml"), rc=1).stderr, "a large file")
    os.mkfifo(os.path.join(source.folder, "pipe.clab.yml"))
    check("not a regular file" in source.run(path=os.path.join(source.folder, "pipe.clab.yml"), rc=1).stderr, "a pipe")
    check("--from" in source.run("--from", "gns3", rc=2).stderr, "another kind")


def hostile_folders():
    """Links, pipes and too much in a node's folder come to notes; nothing outside is read or written."""
    source = Source()
    source.put("../secret/inside", "secret\n")
    source.put("lab.conf", 'r1[0]="A"\nr2[0]="A"\nr3[0]="A"\n')
    source.put("r1/etc/motd", "fine\n")
    os.symlink(os.path.join(source.lab.base, "secret"), os.path.join(source.folder, "r2"))
    os.symlink(os.path.join(source.lab.base, "secret"), os.path.join(source.folder, "r1", "away"))
    os.mkfifo(os.path.join(source.folder, "r1", "pipe"))
    with open(source.put("r1/large", ""), "w") as file:
        file.truncate(5 << 20)
    os.symlink(os.path.join(source.lab.base, "secret", "inside"), os.path.join(source.folder, "r3.startup"))
    for i in range(2100):
        source.put(f"r3/many/{i}", "")
    deep = "r1/" + "/".join("d" * 40)
    source.put(deep + "/end", "")
    report = source.report(rc=3)
    check(source.read("r1/etc/motd") == "fine\n", "a good file beside the bad ones")
    check(not source.has("r2") and not source.has("r1/pipe") and not source.has("r1/large"), "what may not come in has")
    check(os.path.islink(os.path.join(source.output, "r1/away")), "a link in a node's folder is the guest's")
    check("secret" not in source.read("topology.yml").replace(os.path.join(source.lab.base, "secret"), ""), "a start script through a link")
    find(report, "left out", "file /pipe", "neither a file")
    find(report, "left out", "file /large", "larger than 4 MiB")
    find(report, "left out", "node r2: r2", "link")
    check(any("2048" in note["how"] for note in report["notes"]), "two thousand files")
    check(any("nested too deep" in note["how"] for note in report["notes"]), "folders in folders")
    with open(os.path.join(source.lab.base, "secret", "inside")) as file:
        check(file.read() == "secret\n", "it was written to")
    # A link that one bind makes and another goes through.
    source.put("x.clab.yml", "topology: {nodes: {n: {kind: linux, binds: ['links:/etc', 'plain:/etc/away/x', 'plain:/../../x', 'plain:/etc/../x']}}}\n")
    os.makedirs(os.path.join(source.folder, "links"))
    os.symlink(os.path.join(source.lab.base, "secret"), os.path.join(source.folder, "links", "away"))
    source.put("plain", "plain\n")
    source.output += "-2"
    report = source.report(path=os.path.join(source.folder, "x.clab.yml"), rc=3)
    find(report, "left out", "/etc/away/x", "in the way")
    check(sorted(os.listdir(os.path.join(source.lab.base, "secret"))) == ["inside"], "written through a link")
    check(sum("no usable path" in note["how"] for note in report["notes"]) == 2, "paths with dots")


def keeps_what_is_there():
    source = Source()
    source.put("lab.conf", 'r1[0]="A"\n')
    os.makedirs(source.output)
    with open(os.path.join(source.output, "mine"), "w") as file:
        file.write("mine\n")
    check("there already" in source.run(rc=1).stderr and os.listdir(source.output) == ["mine"], "a folder was overwritten")
    os.unlink(os.path.join(source.output, "mine"))
    check("there already" in source.run(rc=1).stderr, "an empty folder was overwritten")
    os.rmdir(source.output)
    os.symlink("/nonexistent", source.output)
    check("there already" in source.run(rc=1).stderr and os.path.islink(source.output), "a link was overwritten")
    os.unlink(source.output)
    shown = source.lab.netlab("import", source.folder, "--dry-run").stdout
    check("name: their-lab" in shown and not os.path.exists(source.output), "--dry-run")
    check(source.lab.netlab("import", source.folder, "-q").stdout == "", "--quiet")
    check(os.path.exists(os.path.join(source.lab.folder, "their-lab", "topology.yml")), "named like the lab")
    check(not source.left(), f"{source.left()}")
    source.output = os.path.join(source.lab.base, "no", "such", "folder")
    check("opening the folder" in source.run(rc=1).stderr, "no parent")


# ---- with guests ----

def bring_up(source, before):
    started = time.monotonic()
    topology = os.path.join(source.output, "topology.yml")
    source.lab.netlab("up", topology, "--timeout", str(UP_SECONDS), timeout=UP_SECONDS + 20)
    return time.monotonic() - started


def put_away(source, before, name):
    source.lab.netlab("down", "--lab", name)
    source.lab.check_clean(before, "after down")


def holds(source, name, node, command, seconds=120):
    """A command in a guest, until it ends with 0."""
    script = f"i=0; until {command}; do i=$((i+1)); [ $i -lt {seconds} ] || exit 1; sleep 1; done"
    result = source.lab.netlab("exec", "--lab", name, "--timeout", str(seconds * 2), node, "sh", "-c", script, rc=None, timeout=seconds * 2 + 30)
    check(result.returncode == 0, f"{node}: {command}\n{result.text}")


def prepared(source):
    source.lab.netlab("status", rc=4)
    before = source.lab.dump()
    return before


def containerlab_lives():
    source = Source()
    hosts = "".join(f"""    h{i}:
      kind: linux
      image: wbitt/network-multitool
      exec:
        - ip addr add 10.{i}.0.2/24 dev eth1
        - ip route add 10.0.0.0/8 via 10.{i}.0.1 dev eth1
""" for i in (1, 2))
    source.put("ospf.clab.yml", f"""name: imported-clab
topology:
  groups:
    routers: {{kind: frr, image: "quay.io/frrouting/frr:8.4", extras: {{frr: {{daemons: [ospfd]}}}}}}
  nodes:
    r1: {{group: routers, startup-config: r1.conf}}
    r2: {{group: routers, startup-config: r2.conf}}
{hosts}  links:
    - endpoints: ["r1:eth1", "r2:eth1"]
    - endpoints: ["r1:eth2", "h1:eth1"]
    - endpoints: ["r2:eth2", "h2:eth1"]
""")
    for i in (1, 2):
        source.put(f"r{i}.conf", f"hostname r{i}\ninterface eth1\n ip address 10.12.0.{i}/24\n ip ospf area 0\n ip ospf network point-to-point\nexit\n"
                                 f"interface eth2\n ip address 10.{i}.0.1/24\n ip ospf area 0\nexit\nrouter ospf\n ospf router-id 10.12.0.{i}\nexit\n")
    source.run()
    before = prepared(source)
    took = bring_up(source, before)
    holds(source, "imported-clab", "r1", "vtysh -c 'show ip ospf neighbor' | grep -q Full")
    holds(source, "imported-clab", "h1", "ping -c 1 -W 2 10.2.0.2 > /dev/null")
    put_away(source, before, "imported-clab")
    return f"up in {took:.1f} s"


def kathara_lives():
    source = Source()
    source.put("lab.conf", 'LAB_NAME="imported-kathara"\nr1[0]="A"\nr1[1]="B"\nr2[0]="C"\nr2[1]="B"\npc1[0]="A"\npc2[0]="C"\nr1[image]="kathara/base"\n')
    source.put("r1.startup", "ifconfig eth0 195.11.14.1/24 up\nifconfig eth1 100.0.0.9 netmask 255.255.255.252 up\nroute add -net 200.1.1.0 netmask 255.255.255.0 gw 100.0.0.10\n")
    source.put("r2.startup", "ifconfig eth0 200.1.1.1/24 up\nifconfig eth1 100.0.0.10 netmask 255.255.255.252 up\nroute add -net 195.11.14.0/24 gw 100.0.0.9 dev eth1\n")
    source.put("pc1.startup", "ifconfig eth0 195.11.14.5 netmask 255.255.255.0 up\nroute add default gw 195.11.14.1 dev eth0\n")
    source.put("pc2.startup", "ip address add 200.1.1.7/24 dev eth0\nip route add default via 200.1.1.1\n/etc/init.d/apache2 start\n")
    source.put("pc2/var/www/html/index.html", "a page of pc2\n")
    source.run()
    before = prepared(source)
    took = bring_up(source, before)
    holds(source, "imported-kathara", "pc1", "ping -c 1 -W 2 200.1.1.7 > /dev/null")
    holds(source, "imported-kathara", "pc1", "curl -s --max-time 5 http://200.1.1.7/ | grep -q 'a page of pc2'")
    put_away(source, before, "imported-kathara")
    return f"up in {took:.1f} s"


def ipspace_lives():
    source = Source()
    source.put("topology.yml", """\
name: imported-ipspace
defaults.device: frr
module: [ospf, bgp]
bgp.as_list: {65000: {members: [r1, r2]}, 65001: {members: [x1]}}
nodes: {r1: , r2: , x1: {bgp.originate: [192.0.2.0/24], module: [bgp]}, h1: {device: linux}}
links: [r1-r2, r2-x1, r1-h1]
""")
    source.run()
    before = prepared(source)
    took = bring_up(source, before)
    name = "imported-ipspace"
    holds(source, name, "r1", "vtysh -c 'show ip ospf neighbor' | grep -q Full")
    holds(source, name, "r1", "ip route show 192.0.2.0/24 | grep -q bgp")
    holds(source, name, "h1", "ping -c 1 -W 2 10.0.0.3 > /dev/null")
    put_away(source, before, name)
    return f"up in {took:.1f} s"


if __name__ == "__main__":
    tests = [containerlab_forms, kathara_forms, ipspace_forms, limits, old_tools, containerlab_more, ipspace_more, refuses, hostile_folders, keeps_what_is_there]
    if MISSING:
        print(f"not with guests: no image {' and '.join(MISSING)} (netlab image build {MISSING[0]})")
    else:
        tests += [containerlab_lives, kathara_lives, ipspace_lives]
    main(*tests)
