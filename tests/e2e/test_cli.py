# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The command line, the schema against the parser, and the examples of the documentation and the labs."""
import json
import os
import re
import shutil
import subprocess

from harness import Lab, check, main

SOURCE = os.environ["NETLAB_SOURCE"]


def with_images(lab):
    """Images that are a name and two files, for dry runs."""
    images = os.path.join(lab.base, "images")
    for name in ("mini", "mini-pae", "host", "router"):
        os.makedirs(os.path.join(images, name))
        for file in ("vmlinuz", "initrd.cpio"):
            with open(os.path.join(images, name, file), "w") as out:
                out.write("x")
        with open(os.path.join(images, name, "image.json"), "w") as out:
            json.dump({"name": name, "description": "a test's", "kernel": "vmlinuz", "initrd": "initrd.cpio", "append": "quiet",
                       "kernel_release": "6.1.0", "built": "2024-01-01T00:00:00Z", "memory": 96, "least_memory": 48, "agent": True, "disks": name != "mini"}, out)
    lab.env["NETLAB_IMAGE_DIR"] = images
    return lab


# ---- a validator for the part of JSON Schema that the schema uses ----

def valid(schema, value, root):
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        if not valid(target, value, root):
            return False
    if "anyOf" in schema and not any(valid(option, value, root) for option in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kinds = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool}
        if not any(isinstance(value, kinds[name]) if name in kinds else isinstance(value, int) and not isinstance(value, bool) for name in names):
            return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return False
        return all(valid(schema.get("items", {}), item, root) for item in value)
    if isinstance(value, dict):
        if len(value) < schema.get("minProperties", 0) or any(key not in value for key in schema.get("required", [])):
            return False
        for key, item in value.items():
            if key in schema.get("properties", {}):
                if not valid(schema["properties"][key], item, root):
                    return False
            elif schema.get("additionalProperties", True) is False:
                return False
            elif isinstance(schema.get("additionalProperties"), dict) and not valid(schema["additionalProperties"], item, root):
                return False
            if "propertyNames" in schema and not valid(schema["propertyNames"], key, root):
                return False
    return True


def load_schema():
    with open(os.path.join(SOURCE, "netlab", "topology_schema.json")) as file:
        return json.load(file)


def schema_has_the_parsers_keys():
    schema = load_schema()
    grammar, mapping = {}, None
    for line in Lab().netlab("help", "topology").stdout.splitlines():
        if line and not line.startswith(" "):
            mapping = grammar.setdefault(line.rstrip(":"), set())
        elif re.match(r"  \S", line):
            mapping.add(line.split()[0])
        later = re.search(r"^  (\S+) .*\(not yet in this version\)$", line)
        if later:
            mapping.discard(later.group(1))
    check(len(grammar) == 14, f"{grammar}")
    for name, keys in grammar.items():
        found = set(schema["$defs"][name]["properties"])
        check(found == keys, f"{name}: the schema has {sorted(found)}, the parser {sorted(keys)}")


DOCUMENTS = [
    (True, {"nodes": {"h1": None}}),
    (True, {"defaults": {"restart": "on-failure"}, "nodes": {"h1": {"restart": "always:3"}, "h2": {"restart": "never"}}}),
    (False, {"nodes": {"h1": {"restart": "sometimes"}}}),
    (True, {"nodes": {"h1": None}, "networks": {"lan": {"subnet": "10.1.0.0/24", "dhcp": True}}}),
    (True, {"nodes": {"h1": None}, "networks": {"lan": {"subnet": "10.1.0.0/24", "dhcp": {
        "range": "10.1.0.100 - 10.1.0.199", "lease": "12h", "router": "none", "dns": ["10.1.0.5"], "domain": "x.example", "ntp": "10.1.0.6",
        "options": {"66": "tftp.example", "13": 7}}}}}),
    (False, {"nodes": {"h1": None}, "networks": {"lan": {"subnet": "10.1.0.0/24", "dhcp": {"lease": "soon"}}}}),
    (False, {"nodes": {"h1": None}, "networks": {"lan": {"subnet": "10.1.0.0/24", "dhcp": 7}}}),
    (True, {"nodes": {"h1": {"networks": {"lan": "fd00:1::5", "dmz": {"address6": "none"}}, "routes": {"default": "fd00:1::1"}}, "h2": None},
            "networks": {"lan": {"subnet6": "fd00:1::/64", "host6": "fd00:1::1"}, "dmz": {"subnet6": "auto", "uplink": "user"}},
            "links": [{"ends": ["h1", {"node": "h2", "address6": "fd00:2::1"}], "subnet6": "fd00:2::/64"}]}),
    (False, {"nodes": {"h1": None}, "networks": {"lan": {"subnet6": "fd00:1::1"}}}),
    (False, {"nodes": {"h1": {"restart": "never:3"}}}),
    (False, {"nodes": {"h1": {"restart": "always:0"}}}),
    (True, {"name": "x", "defaults": {"memory": "96M", "forwarding": True}, "nodes": {"h1": {"image": "mini"}}}),
    (True, {"nodes": {"a": {"networks": ["lan"]}, "b": {"networks": {"lan": "10.1.0.7"}}}, "networks": {"lan": {"subnet": "10.1.0.0/24", "mtu": 1400, "host": "10.1.0.1"}}}),
    (True, {"nodes": {"a": {"networks": {"lan": {"address": "10.1.0.7/24", "mac": "52:54:00:00:00:01", "interface": "up0"}}}}, "networks": {"lan": None}}),
    (True, {"nodes": {"a": None, "b": None}, "links": ["a - b", {"ends": ["a:eth5", {"node": "b", "address": "10.7.0.2/30"}], "name": "x", "mtu": 576}], "pool": "10.0.0.0/24"}),
    (True, {"nodes": {"a": {"networks": ["lan"], "routes": [{"to": "default", "via": "10.1.0.9"}], "run": ["date", "id"], "hostname": "a.example"}}, "networks": {"lan": {"subnet": "10.1.0.0/24"}}}),
    (True, {"nodes": {"a": {"networks": ["lan"], "routes": {"10.9.0.0/16": "10.1.0.9"}, "run": "date"}}, "networks": {"lan": {"subnet": "10.1.0.0/24"}}}),
    (True, {"nodes": {"a": None}, "checks": {"c": {"node": "a", "run": "true", "expect": "x", "within": "5s"}}}),
    (False, {}),
    (False, {"nodes": {}}),
    (False, {"nodes": {"h1": {"imgae": "mini"}}}),
    (True, {"defaults": {"disk": "2G", "cdrom": "empty"}, "nodes": {"h1": {"image": "host", "disk": ["512M", {"size": "1TiB"}, "8M"], "boot": "kernel"}, "h2": {"image": "mini", "disk": []}}}),
    (True, {"nodes": {"h1": {"image": "host", "disk": {"file": "new.img", "size": "2G", "persistent": True}}}}),
    (False, {"nodes": {"h1": {"image": "host", "disk": ["1M", "1M", "1M", "1M", "1M"]}}}),
    (True, {"defaults": {"cloud_init": True}, "nodes": {"h1": {"image": "host", "cloud_init": {"password": 12345, "ssh_keys": ["ssh-ed25519 AAAA me"]}},
                                                        "h2": {"image": "mini", "cloud_init": False}}}),
    (False, {"nodes": {"h1": {"image": "host", "cloud_init": ["x"]}}}),
    (False, {"nodes": {"h1": {"image": "host", "cloud_init": {"ssh_key": "x"}}}}),
    (False, {"nodes": {"h1": {"image": "host", "disk": {"size": "2 GB"}}}}),
    (False, {"nodes": {"h1": {"image": "host", "cdrom": ["empty"]}}}),
    (False, {"nodes": {"h1": {"image": "host", "boot": "d"}}}),
    (True, {"nodes": {"h1": {"files": {"/etc/motd": {"text": "hello", "mode": "0600"}}, "loopback": "10.0.0.1", "frr": "router ospf\n"}, "h2": {"loopback": True}}, "loopbacks": "10.0.0.0/24"}),
    (False, {"nodes": {"h1": {"files": {"motd": "x"}}}}),
    (False, {"nodes": {"h1": {"loopback": "lo"}}}),
    (True, {"nodes": {"a": None}, "checks": {"c": {"node": "a", "route": "default", "via": "10.0.0.1", "points": 3, "stage": 1, "fails": True}}}),
    (False, {"nodes": {"a": None}, "checks": {"c": {"node": "a", "ping": "b", "points": 5000}}}),
    (False, {"nodes": {"h_1": None}}),
    (False, {"nodes": {"h1": {"memory": "lots"}}}),
    (False, {"nodes": {"h1": {"networks": "lan"}}, "networks": {"lan": None}}),
    (False, {"nodes": {"h1": None}, "networks": {"lan": {"subnet": "10.1.0.0"}}}),
    (False, {"nodes": {"h1": None}, "networks": {"lan": {"mtu": 9000}}}),
    (False, {"nodes": {"h1": None}, "networks": {"a lan": None}}),
    (False, {"nodes": {"h1": {"networks": {"lan": {"mac": "52:54"}}}}, "networks": {"lan": None}}),
    (False, {"nodes": {"a": None, "b": None}, "links": [{"ends": ["a", "b", "a"]}]}),
    (False, {"nodes": {"a": None, "b": None}, "links": {"a": "b"}}),
    (False, {"nodes": {"a": {"forwarding": "maybe"}}}),
    (False, {"nodes": {"a": {"routes": [{"to": "10.2.0.0/24"}]}}}),
    (False, {"nodes": {"a": {"ready": "soon"}}}),
    (False, {"nodes": {"a": None}, "checks": {"c": {"node": "a"}}}),
    (False, {"nodes": {"a": None}, "uplink": "eth0"}),
    (False, ["nodes"]),
]


def schema_agrees_with_the_parser():
    """JSON is YAML: the same documents to both."""
    schema, lab = load_schema(), with_images(Lab())
    for good, document in DOCUMENTS:
        lab.write(json.dumps(document))
        result = lab.netlab("up", "--dry-run", rc=None)
        check((result.returncode == 0) == good, f"the parser on {document}: {result.text}")
        check(valid(schema, document, schema) == good, f"the schema on {document}: not {good}")
    lab.remove()
    return f"{len(DOCUMENTS)} documents"


def examples_of_the_manual():
    """Every ```yaml block of docs/topology.md and docs/from-qemu.md is a topology that passes."""
    lab, blocks = with_images(Lab()), []
    for page in ("topology.md", "from-qemu.md", "coming-from-containerlab.md", "coming-from-kathara.md", "coming-from-gns3.md"):
        with open(os.path.join(SOURCE, "docs", page)) as file:
            found = re.findall(r"```yaml\n(.*?)```", file.read(), re.S)
        check(found, f"no examples in {page}")
        blocks += found
    check(len(blocks) >= 5, f"only {len(blocks)} examples found")
    iso = bytearray(64 << 10)
    iso[0x8000:0x8006] = b"\1CD001"
    for block in blocks:
        for name, text in (("web.yml", "#cloud-config\n"), ("lab.pub", "ssh-ed25519 AAAA me\n")):
            with open(os.path.join(lab.folder, name), "w") as file:
                file.write(text)
        for name in re.findall(r"[\w-]+\.(?:qcow2|img|iso)\b", block):
            with open(os.path.join(lab.folder, name), "wb") as file:
                file.write(iso if name.endswith(".iso") else bytes(64 << 10))
        lab.write(block)
        lab.netlab("up", "--dry-run")
    lab.remove()
    return f"{len(blocks)} examples"


def labs_of_the_tree():
    lab = with_images(Lab())
    names = [name for name in os.listdir(os.path.join(SOURCE, "labs")) if os.path.exists(os.path.join(SOURCE, "labs", name, "topology.yml"))]
    check(len(names) >= 3, f"{names}")
    for name in names:
        result = lab.netlab("up", "--dry-run", os.path.join(SOURCE, "labs", name))
        check("start machine" in result.stdout, result.text)
    lab.remove()
    return ", ".join(sorted(names))


def image_list():
    """A long description takes several lines of a terminal, and one elsewhere."""
    lab = with_images(Lab())
    words = [f"word{i}" for i in range(20)]
    with open(os.path.join(lab.env["NETLAB_IMAGE_DIR"], "mini", "image.json"), "r+") as file:
        image = json.load(file)
        file.seek(0)
        json.dump(dict(image, description=" ".join(words)), file)
        file.truncate()
    check(" ".join(words) + "\n" in lab.netlab("image", "list").stdout, "in a pipe")
    for extra in (("build", "mini", "host"), ("list", "x"), ("verify", "mini", "host"), ("recipe", "mini", "x"), ("import", "a", "b", "c", "d")):
        check("one argument too many" in lab.netlab("image", *extra, rc=2).stderr, extra)
    result = lab.netlab("image", "rm", "host", "nosuch", "router", rc=1)
    check("image host is removed" in result.stdout and "image router is removed" in result.stdout and "nosuch" in result.stderr, result.text)
    check(sorted(os.listdir(lab.env["NETLAB_IMAGE_DIR"]))[-2:] == ["mini", "mini-pae"], "two are left")
    text = lab.on_terminal("image", "list")
    lines = text.splitlines()
    check(max(len(line) for line in lines) <= 80 and [word for line in lines for word in line.split() if word.startswith("word")] == words, text)
    lab.remove()


def image_errors():
    lab = with_images(Lab())
    lab.write("nodes: {h1: {image: miny}}")
    result = lab.netlab("up", rc=3)
    check("topology.yml:1:21: " in result.stderr and "mini" in result.stderr, result.text)
    lab.write("nodes: {h1: {memory: 32M}}")
    check("32M of memory is too little for image \"mini\"; node \"h1\" needs at least 48M" in lab.netlab("up", rc=3).stderr, "memory")
    lab.remove()


def command_line():
    lab = Lab()
    for args, rc, word in ((("frobnicate",), 2, "there is no command \"frobnicate\""), (("dwon",), 2, "did you mean `netlab down`"),
                           (("deploy",), 2, "did you mean `netlab up`"), (("up", "--dry-runn"), 2, "did you mean --dry-run?"),
                           (("status", "a", "b"), 2, "too many arguments"), (("down", "-a", "h1"), 2, "--all is all labs"),
                           (("down", "-a", "--lab", "x"), 2, "--all is all labs"), (("console",), 2, "too few arguments"),
                           (("up", "--timeout", "soon"), 2, "is not a number from 1 to 86400"), (("up", "--timeout"), 2, "needs a value"),
                           (("up", "--quiet=yes"), 2, "takes no value"), (("image", "frob"), 2, "there are build, import, list, recipe, verify and rm"),
                           (("status",), 4, "no lab is up"), (("down",), 4, "no lab"), (("down", "--lab", "x"), 4, "no lab named x is up"),
                           (("console", "h1"), 4, "no lab"), (("exec", "h1", "true"), 125, "no lab"), (("help", "frob"), 2, "there is no help on"),
                           (("supervise",), 2, "this is started by `netlab up`")):
        result = lab.netlab(*args, rc=rc, cwd="/")
        check(word in result.stderr, f"{args}: {result.text}")
    version = lab.netlab("version").stdout.split()
    check(version[0] == "netlab" and json.loads(lab.netlab("version", "--json").stdout)["version"] == version[1], f"{version}")
    check(lab.netlab("--version").stdout == lab.netlab("version").stdout, "--version")
    check(json.loads(lab.netlab("status", "-a", "--json").stdout) == {"labs": []}, "empty status")
    lab.remove()


def help_and_completion():
    lab = Lab()
    overview = lab.netlab("help").stdout
    verbs = re.findall(r"^  (\w+) +\S", overview, re.M)
    check({"up", "down", "status", "console", "exec", "validate", "image", "help", "version"} <= set(verbs) and "supervise" not in verbs, overview)
    for verb in verbs:
        check(lab.netlab("help", verb).stdout == lab.netlab(verb, "--help").stdout, f"help of {verb}")
    man = lab.netlab("help", "--man").stdout
    if shutil.which("groff"):
        result = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=man, capture_output=True, text=True, check=True)
        check(not result.stderr, f"the manual page has mistakes: {result.stderr}")
    check(".SH EXIT STATUS" in man and all(f"netlab\\-{verb}(1)" in man for verb in verbs), "the manual page lacks something")
    for shell in ("bash", "zsh", "fish"):
        text = lab.netlab("help", "--completion", shell).stdout
        check("dry-run" in text and "validate" in text, text)
        check(lab.netlab("completion", shell).stdout == text, f"completion {shell}")
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=text, text=True, check=True)
    completed = subprocess.run(["bash", "-c", lab.netlab("help", "--completion", "bash").stdout +
                                "COMP_WORDS=(netlab statu) COMP_CWORD=1; _netlab; echo ${COMPREPLY[@]}"], capture_output=True, text=True)
    check(completed.stdout.strip() == "status", f"{completed}")
    check("bash, zsh and fish" in lab.netlab("completion", "tcsh", rc=2).stderr, "another shell")
    # groups: each level has help, words to complete and a suggestion
    group = lab.netlab("help", "host").stdout
    check("dhcp" in group and group == lab.netlab("host", "--help").stdout, group)
    check(lab.netlab("help", "host", "dhcp", "show").stdout == lab.netlab("host", "dhcp", "show", "-h").stdout, "help within a group")
    wrong = lab.netlab("host", "dhpc", "show", rc=2)
    check("did you mean `netlab host dhcp`" in wrong.stderr, wrong.stderr)
    for words, expected in (("host dh", "dhcp"), ("host dhcp sho", "show"), ("host dhcp show --js", "--json")):
        count = len(words.split())
        completed = subprocess.run(["bash", "-c", lab.netlab("help", "--completion", "bash").stdout +
                                    f"COMP_WORDS=(netlab {words}) COMP_CWORD={count}; _netlab; echo ${{COMPREPLY[@]}}"],
                                   capture_output=True, text=True)
        check(completed.stdout.strip() == expected, f"{words}: {completed}")
    lab.remove()


def variables():
    """Every option of every verb as NETLAB_VERB_OPTION; the command line comes first."""
    lab = Lab()
    check("no lab named x is up" in lab.netlab("status", rc=4, env={"NETLAB_LAB": "x"}).stderr, "NETLAB_LAB")
    check("no lab named y is up" in lab.netlab("status", rc=4, env={"NETLAB_LAB": "x", "NETLAB_STATUS_LAB": "y"}).stderr, "NETLAB_STATUS_LAB")
    check("no lab named z is up" in lab.netlab("status", "--lab", "z", rc=4, env={"NETLAB_STATUS_LAB": "y"}).stderr, "--lab")
    check(json.loads(lab.netlab("status", "-a", env={"NETLAB_STATUS_JSON": "1"}).stdout) == {"labs": []}, "a flag")
    check(lab.netlab("status", "-a", env={"NETLAB_STATUS_JSON": "0"}).stdout == "no lab is up\n", "not a flag")
    check("is given by 1" in lab.netlab("status", rc=2, env={"NETLAB_STATUS_ALL": "perhaps"}).stderr, "neither")
    wrong = lab.netlab("up", rc=2, env={"NETLAB_UP_TIMEOUT": "soon"}).stderr
    check("is not a number from 1" in wrong and "environment: NETLAB_UP_TIMEOUT\n" in wrong, wrong)
    check("environment" not in lab.netlab("up", "--timeout", "soon", rc=2, env={"NETLAB_UP_TIMEOUT": "9"}).stderr, "of the command line")
    check("NETLAB_EXEC_LAB" in lab.netlab("help", "--man", "exec").stdout and "NETLAB_LAB" in lab.netlab("help", "--man").stdout, "help")
    lab.remove()


def installed():
    """`cmake --install`: programs, manual page, completion."""
    lab = Lab()
    place = os.path.join(lab.base, "usr")
    build = os.path.dirname(os.path.dirname(lab_bin()))
    subprocess.run(["cmake", "--install", build, "--prefix", place], check=True, capture_output=True)
    for name, topic in (("man1/netlab.1", ()), ("man1/netlab-up.1", ("up",)), ("man1/netlab-host.1", ("host",)), ("man5/netlab.yml.5", ("topology",))):
        with open(os.path.join(place, "share", "man", name)) as file:
            check(file.read() == lab.netlab("help", "--man", *topic).stdout, f"manual page {name}")
    check(os.path.getsize(os.path.join(place, "share", "man", "man1", "netlab-emu.1")) > 5000, "netlab-emu.1")
    for path in ("bin/netlab", "bin/netlab-emu", "bin/netlab-guest", "share/bash-completion/completions/netlab",
                 "share/zsh/site-functions/_netlab", "share/fish/vendor_completions.d/netlab.fish"):
        check(os.path.getsize(os.path.join(place, path)) > 500, path)
    result = subprocess.run([os.path.join(place, "bin", "netlab"), "version", "--json"], capture_output=True, text=True, env=lab.env)
    check(json.loads(result.stdout)["emulator"], f"{result}")
    lab.remove()


def lab_bin():
    return os.environ["NETLAB_BIN"]


if __name__ == "__main__":
    main(variables, installed, schema_has_the_parsers_keys, schema_agrees_with_the_parser, examples_of_the_manual, labs_of_the_tree, image_list, image_errors, command_line,
         help_and_completion)
