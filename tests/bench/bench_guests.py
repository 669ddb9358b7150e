# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What runs in the guests: compiled programs, initramfs archives, and the same files as a folder for the native run.

The archives are made anew for each run, in memory, from the images `mini`, `mini-pae` and `debian` (docs/images.md), so every emulator
and the host run the same Debian binaries. An image that is not there is built by `netlab image build` into build/bench-images.
"""
import gzip
import lzma
import os
import pathlib
import random
import shutil
import stat
import subprocess

from bench_session import Failed

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILT_IMAGES = ROOT / "build/bench-images"
GUEST_FLAGS = ["-m32", "-march=i686", "-static", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-D_GNU_SOURCE"]
# What the userland's rows execute; shared libraries are found by objdump.
USERLAND = ["bin/dash", "usr/bin/xz", "bin/gzip", "usr/bin/sha256sum", "usr/bin/sort", "usr/bin/python3.11", "usr/bin/perl",
            "usr/bin/head", "usr/bin/tr", "bin/cat", "bin/rm"]
LIBRARIES = ["lib/i386-linux-gnu", "usr/lib/i386-linux-gnu", "lib", "usr/lib"]
TEXT_BYTES, PART_BYTES = 4 << 20, 1 << 20
PYTHON_LOOP = """import sys
def work(n):
    total, seen = 0, {}
    for i in range(n):
        total += i & 7
        seen[i & 255] = total
    return total
work(int(sys.argv[1]) * 100000)
"""
PERL_LOOP = """my ($t, %seen) = (0);
for (my $i = 0; $i < $ARGV[0] * 60000; $i++) { $t += $i & 7; $seen{$i & 255} = $t; }
"""


def find_image(images, name, emulator, say):
    """The folder of image `name`, which is built when it is nowhere."""
    for folder in (pathlib.Path(images), BUILT_IMAGES):
        if (folder / name / "initrd.cpio").exists():
            return folder / name
    program = pathlib.Path(emulator).with_name("netlab")
    if not program.exists():
        raise Failed(f"image {name} is not in {images}, and {program} is not there to build it: netlab image build {name}")
    say(f"building image {name}")
    BUILT_IMAGES.mkdir(parents=True, exist_ok=True)
    built = subprocess.run([program, "image", "build", name], env={**os.environ, "NETLAB_IMAGE_DIR": str(BUILT_IMAGES)},
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False)
    if built.returncode:
        raise Failed(f"netlab image build {name}: {built.stdout.strip()[-400:]}")
    return BUILT_IMAGES / name


def compile_kernels(out):
    subprocess.run([HERE / "build.sh", out], check=True, timeout=120)
    return out / "bench.elf", out / "bench-native"


def compile_guest(out):
    out.mkdir(parents=True, exist_ok=True)
    program = out / "guest"
    subprocess.run(["gcc", *GUEST_FLAGS, "-o", program, HERE / "guest.c"], check=True, timeout=120)
    return program.read_bytes()


class Tree:
    """The files of an initramfs: path → (mode, content, device)."""

    def __init__(self):
        self.files = {}

    def folder(self, path):
        if path and path != ".":
            self.folder(os.path.dirname(path))
            self.files.setdefault(path, (stat.S_IFDIR | 0o755, b"", 0))

    def file(self, path, content, mode=0o755):
        self.folder(os.path.dirname(path))
        self.files[path] = (stat.S_IFREG | mode, content, 0)

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        self.files[path] = (stat.S_IFLNK | 0o777, target.encode(), 0)

    def take(self, other, path):
        """`path` of another tree, with what it links to and the links its folders are."""
        here, rest = path, ""
        while here:
            mode, content, _ = other.files.get(here, (0, b"", 0))
            if stat.S_ISLNK(mode):
                self.folder(os.path.dirname(here))
                self.files[here] = other.files[here]
                target = os.path.normpath(os.path.join("/", os.path.dirname(here), content.decode())).lstrip("/")
                return self.take(other, os.path.join(target, rest) if rest else target)
            rest = os.path.join(os.path.basename(here), rest) if rest else os.path.basename(here)
            here = os.path.dirname(here)
        if path not in other.files:
            raise Failed(f"the image has no /{path}")
        if not stat.S_ISDIR(other.files[path][0]):
            self.folder(os.path.dirname(path))
            self.files[path] = other.files[path]
        return path

    def device(self, path, major, minor):
        self.folder(os.path.dirname(path))
        self.files[path] = (stat.S_IFCHR | 0o600, b"", major << 8 | minor)

    def archive(self):
        """As a newc cpio archive. Folders sort before what is in them."""
        out = bytearray()
        for number, (path, (mode, content, device)) in enumerate([*sorted(self.files.items()), ("TRAILER!!!", (0, b"", 0))], 1):
            name = path.encode() + b"\0"
            fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, device >> 8, device & 0xff, len(name), 0)
            out += b"070701" + b"".join(b"%08X" % f for f in fields) + name
            out += bytes(-len(out) % 4) + content
            out += bytes(-len(out) % 4)
        return bytes(out)

    def unpack(self, to):
        """As a folder for the native run; devices are empty files there, to be mounted over."""
        to.mkdir(parents=True)
        for path, (mode, content, _) in sorted(self.files.items()):
            place = to / path
            if stat.S_ISDIR(mode):
                place.mkdir(parents=True, exist_ok=True)
            elif stat.S_ISLNK(mode):
                place.symlink_to(content.decode())
            else:
                place.write_bytes(content)
                place.chmod(mode & 0o777)


def read_archive(path):
    """The Tree in a newc archive; what is no file, link or folder is left out."""
    data, at, tree = pathlib.Path(path).read_bytes(), 0, Tree()
    while data[at:at + 6] == b"070701":
        mode, size, name_size = (int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in (1, 6, 11))
        name = data[at + 110:at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return tree
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
            tree.files[os.path.normpath(name)] = (mode, data[start:start + size], 0)
        at = (start + size + 3) & ~3
    raise Failed(f"{path} is not an uncompressed newc archive")


def base_tree(guest):
    tree = Tree()
    for folder in ("dev", "proc", "tmp", "bin"):
        tree.folder(folder)
    tree.device("dev/console", 5, 1)
    tree.device("dev/null", 1, 3)
    tree.file("bench", guest)
    return tree


def system_tree(image, guest):
    """Our program and the image's busybox."""
    source, tree = read_archive(image / "initrd.cpio"), base_tree(guest)
    tree.take(source, "bin/busybox")
    tree.link("bin/sh", "busybox")
    return tree


def userland_tree(image, guest, scratch):
    """The programs of the userland's rows with their libraries, Python's modules, and a text to work on."""
    source, tree = read_archive(image / "initrd.cpio"), base_tree(guest)
    todo = [*USERLAND, "lib/ld-linux.so.2"]
    while todo:
        path = tree.take(source, todo.pop())
        content = source.files[path][1]
        if not content.startswith(b"\x7fELF"):
            continue
        (scratch / "elf").write_bytes(content)
        headers = subprocess.run(["objdump", "-p", scratch / "elf"], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        for name in (line.split()[1] for line in headers.splitlines() if line.split()[:1] == ["NEEDED"]):
            library = next((f"{d}/{name}" for d in LIBRARIES if f"{d}/{name}" in source.files), None)
            if not library:
                raise Failed(f"the image has no {name}, which /{path} needs")
            if library not in tree.files:
                todo.append(library)
    for path in source.files:
        folder, name = os.path.split(path)
        if name.endswith(".py") and folder in ("usr/lib/python3.11", "usr/lib/python3.11/encodings"):
            tree.take(source, path)
    tree.link("bin/sh", "dash")
    text = make_text()
    tree.file("text", text, 0o644)
    tree.file("part.xz", lzma.compress(text[:PART_BYTES]), 0o644)
    tree.file("part.gz", gzip.compress(text, mtime=0), 0o644)
    tree.file("loop.py", PYTHON_LOOP.encode(), 0o644)
    tree.file("loop.pl", PERL_LOOP.encode(), 0o644)
    return tree


def make_text():
    """Lines of words, some frequent and most rare, the same in every run: about as compressible as prose."""
    dice = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(letters[min(int(dice.expovariate(0.18)), 25)] for _ in range(dice.randint(2, 10))) for _ in range(8000)]
    out, size = [], 0
    while size < TEXT_BYTES:
        line = " ".join(words[min(int(dice.paretovariate(0.7)) - 1, 7999)] for _ in range(dice.randint(4, 14)))
        out.append(line)
        size += len(line) + 1
    return ("\n".join(out) + "\n").encode()[:TEXT_BYTES]


def native_command(folder):
    """Runs /bench of an unpacked tree in namespaces of its own; needs no root."""
    if not shutil.which("unshare"):
        return None
    script = 'mount --bind /dev/null "$1/dev/null" && cd "$1" && exec chroot "$1" /bench'
    return ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", script, "sh", str(folder)]
