# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Saved machines: migrate and -incoming. What a guest that counts instructions says of its clocks, interrupts, disk and floppy is the same
to the byte whether it was saved and loaded on the way or not; a Linux guest goes on counting from process to process, over a file, a pipe, a
socket and a descriptor, in both engines; streams that are damaged, cut short or another machine's are refused, and who could not be saved goes on.
"""
import hashlib
import json
import os
import select
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

import disk_guest
import media
import test_icount
from harness import Failure, check, main
from media import SECONDS
from screen import EMULATOR

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines

IMAGES = os.environ.get("NETLAB_IMAGE_DIR", "")
work = tempfile.mkdtemp(prefix="netlab-saved-")
STEADY = ("-rtc", "base=2026-01-01T12:00:00,clock=vm")
ENGINES = ("jit", "interp")
EXIT = 33


def wait_until(what, condition, seconds):
    """As harness.wait_until, which reaps whatever has ended: here exit codes are looked at."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        check(time.monotonic() < deadline, f"waited {seconds} s in vain: {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


class Machine:
    """netlab-emu with QMP; what it printed in self.errors()."""
    count = 0

    def __init__(self, *words, wait=True, **how):
        Machine.count += 1
        self.folder = os.path.join(work, str(Machine.count))
        os.mkdir(self.folder)
        path = os.path.join(self.folder, "qmp")
        self.messages = open(os.path.join(self.folder, "errors"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([EMULATOR, *(() if "-nic" in words else ("-nic", "none")), "-display", "none", "-monitor", "none", "-qmp", f"unix:{path},server=on,wait=off",
                                         "-debugcon", f"file:{self.folder}/debug", "-serial", f"file:{self.folder}/serial", *words],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.messages, **how)
        self.stream = None
        if wait:
            self.peer = socket.socket(socket.AF_UNIX)
            self.peer.settimeout(SECONDS)
            wait_until("the QMP socket", lambda: self.connect(path), SECONDS)
            self.stream = Lines(self.peer)
            self.stream.readline()
            self.say("qmp_capabilities")

    def connect(self, path):
        check(self.process.poll() is None, f"it ended: {self.errors()}")
        try:
            self.peer.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):  # not there, or not listened on yet
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.stream:
            self.stream.close()
            self.peer.close()
        self.messages.close()

    def errors(self):
        self.messages.seek(0)
        return self.messages.read()

    def text(self, name):
        with open(os.path.join(self.folder, name), encoding="latin-1") as file:
            return file.read()

    def say(self, command, **arguments):
        """The answer, or None when the machine has ended instead."""
        try:
            self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            self.stream.flush()
            while True:
                line = self.stream.readline()
                if not line:
                    return None
                answer = json.loads(line)
                if "event" not in answer:
                    return answer
        except (BrokenPipeError, ConnectionResetError):
            return None

    def status(self):
        answer = self.say("query-status")
        return answer["return"]["status"] if answer else "ended"

    def save(self, uri):
        """How it ended: the answer of query-migrate; None when the machine was over before."""
        begun = self.say("migrate", uri=uri)
        if begun is None:
            return None
        check("return" in begun, f"migrate {uri}: {begun}")

        def over():
            said = self.say("query-migrate")["return"]
            return said if said["status"] not in ("setup", "active") else None
        return wait_until(f"the end of migrate {uri}", over, SECONDS)


def sector(name, source):
    path = os.path.join(work, name)
    data = media.assemble(source, path + ".bin")
    with open(path, "wb") as file:
        file.write(data)
        file.truncate(1 << 20)
    return path


SPIN = ".code16\n1: incl %eax\n movl %eax, 0x500\n jmp 1b\n.org 510\n.word 0xaa55\n"
COUNTER = """
n=0
while :; do
  sum=$(busybox head -c 300000 /dev/zero | busybox tr '\\\\000' 'x' | busybox md5sum)
  n=$((n+1)); echo "COUNT $n ${sum%% *}"
done
"""


def exact():
    """Saved again and again on its way, each time into a new process and the other engine: from a disk, and from a floppy."""
    said = []
    for name, drive, dx in (("disk", "-hda", "0x0080"), ("floppy", "-fda", "0x0000")):
        source = test_icount.GUEST.replace("SLEEP", "20000").replace("0x0080", dx)
        said.append(f"{name}: {exact_of(sector('clocks-' + name, source), drive, name)}")
    return "; ".join(said)


def exact_of(image, drive, name):
    if drive == "-fda":
        os.truncate(image, 1440 << 10)
    words = ("-m", "32M", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *STEADY, "-icount", "shift=0,sleep=off", drive, image)
    with Machine(*words, "-accel", "jit", wait=False) as machine:
        check(machine.process.wait(SECONDS) == EXIT, machine.errors())
        whole = machine.text("debug")
    text, saves, engines, path = "", 0, [], os.path.join(work, "exact")
    current = Machine(*words, "-accel", "jit", "-S")
    try:
        for turn in range(12):
            current.say("cont")
            said = current.save(f"file:{path}")
            if said is None:
                break
            check(said["status"] == "completed" and current.status() == "postmigrate", f"{said} {current.status()}")
            text += current.text("debug")
            current.__exit__()
            saves += 1
            engines.append(ENGINES[(turn + 1) % 2])
            current = Machine(*words, "-accel", engines[-1], "-S", "-incoming", f"file:{path}")
            wait_until("the machine loaded", lambda: current.status() == "paused", SECONDS)
        current.say("cont")
        check(current.process.wait(SECONDS) == EXIT, f"after {saves} saves: {current.errors()}")
        text += current.text("debug")
    finally:
        current.__exit__()
    check(saves >= 3, f"the guest was over after {saves} saves")
    first = len(os.path.commonprefix((text, whole)))
    check(text == whole, f"{name}: after {saves} saves, from character {first} of {len(whole)} on: {text[first:first + 200]}, and without {whole[first:first + 200]}")
    return f"{saves} saves, {len(whole)} characters, {', '.join(engines)}"


def linux_words():
    kernel, base = (os.path.join(IMAGES, "mini", name) for name in ("vmlinuz", "initrd.cpio"))
    if not os.path.exists(kernel):
        return None
    initrd = os.path.join(work, "initrd")
    disk_guest.write_initrd(initrd, base, COUNTER, [])
    return ("-m", "64M", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet cryptomgr.notests noisapnp")


def counted(text):
    return [line.split()[1:] for line in text.replace("\r", "").split("\n")[:-1] if line.startswith("COUNT ") and len(line.split()) == 3]


def wait_counted(machine, rows):
    def more():
        check(machine.process.poll() is None, f"it ended: {machine.errors()}")
        return len(counted(machine.text("serial"))) >= rows
    try:
        wait_until(f"{rows} more of the counter", more, SECONDS)
    except Failure as failure:
        raise Failure(f"{failure}\n{machine.text('serial')[-800:]}") from None


def linux():
    words = linux_words()
    if not words:
        return "left out: needs the image mini"
    path, text, ways = os.path.join(work, "linux"), "", 0
    current = Machine(*words)
    try:
        wait_counted(current, 3)
        for way in ("file", "exec", "unix", "tcp", "fd"):
            for accel in ENGINES:
                text += hand_over(way, path, current, accel, words)
                current = hand_over.next
                wait_counted(current, 2)
                ways += 1
        text += current.text("serial")
    finally:
        current.__exit__()
    rows = counted(text)
    check([int(row[0]) for row in rows] == list(range(1, len(rows) + 1)), f"it counted {[row[0] for row in rows]}")
    check(len({row[1] for row in rows}) == 1, f"sums differ: {rows}")
    return f"{ways} times into another process, {len(rows)} sums"


def hand_over(way, path, current, accel, words):
    """Into a new process; what the old one said."""
    incoming, outgoing, how = f"file:{path}", f"file:{path}", {}
    before = way in ("unix", "tcp", "fd")  # the new one waits for the old one
    if way == "exec":
        incoming, outgoing = f"exec:gzip -dc {path}.gz", f"exec:gzip -1 > {path}.gz"
    elif way == "unix":
        incoming = outgoing = f"unix:{path}.sock"
    elif way == "tcp":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            incoming = outgoing = f"tcp:127.0.0.1:{free.getsockname()[1]}"
    elif way == "fd":
        os.path.exists(path + ".fifo") or os.mkfifo(path + ".fifo")
        end = os.open(path + ".fifo", os.O_RDONLY | os.O_NONBLOCK)
        incoming, outgoing, how = f"fd:{end}", f"exec:cat > {path}.fifo", {"pass_fds": [end]}
        # a pipe nobody writes to yet reads as ended: hold it open until the writer is there
        hold = os.open(path + ".fifo", os.O_WRONLY)
    new = Machine(*words, "-accel", accel, "-incoming", incoming, **how) if before else None
    try:
        if way == "fd":
            os.close(end)
            said = current.save(outgoing)
            os.close(hold)
        else:
            said = current.save(outgoing)
        check(said["status"] == "completed" and current.status() == "postmigrate", f"{way}: {said} {current.status()} {new and new.errors()}")
        check(said["ram"]["remaining"] == 0 and said["ram"]["duplicate"] > 0, f"{said}")
        text = current.text("serial")
        current.__exit__()
        if not before:
            new = Machine(*words, "-accel", accel, "-incoming", "defer")
            check(new.status() == "inmigrate", new.status())
            check("return" in new.say("migrate-incoming", uri=incoming), incoming)
        wait_until("it runs", lambda: new.status() == "running", SECONDS)
    except Exception:
        if new:
            new.__exit__()
        raise
    hand_over.next = new
    return text


BUSY = """
busybox ip link set eth0 up; busybox ip addr add 10.0.2.15/24 dev eth0
n=0
while :; do
  n=$((n+1)); at=$((n%8*4)); w=lost
  busybox head -c 262144 /dev/urandom > /a
  busybox dd if=/a of=/dev/sda bs=64k seek=$at conv=fsync 2>/dev/null; echo 3 > /proc/sys/vm/drop_caches
  busybox dd if=/dev/sda of=/b bs=64k count=4 skip=$at 2>/dev/null
  busybox cmp /a /b && d=same || d=differs
  busybox timeout 5 busybox nc 10.0.2.2 @PORT@ </dev/null >/w; [ "$(busybox wc -c < /w)" -eq 2097152 ] && w=$(busybox md5sum < /w)
  echo "COUNT $n $d-${w%% *}"
done
"""


class Page(socketserver.BaseRequestHandler):
    body = bytes(range(256)) * 8192  # 2 MiB

    def handle(self):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what is sent is the guest's, but for a little
        try:
            self.request.sendall(self.body[:len(self.body) // 2])
            while not self.server.go.wait(0.05):
                self.server.half.set()
            self.request.sendall(self.body[len(self.body) // 2:])
        except OSError:
            pass  # the machine it went to has ended


def busy():
    """Saved while the guest writes its disk and has a transfer under way: what is on the disk stays right, and the network goes on."""
    kernel, base = (os.path.join(IMAGES, "mini", name) for name in ("vmlinuz", "initrd.cpio"))
    words = linux_words()
    if not words:
        return "left out: needs the image mini"
    with open(os.path.join(IMAGES, "mini", "image.json"), encoding="utf-8") as file:
        package = disk_guest.find_package(json.load(file)["kernel_release"])
    if not package:
        return "left out: needs the kernel package of the image mini (NETLAB_KERNEL_PACKAGE)"
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True
    server.half, server.go = threading.Event(), threading.Event()
    server.go.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    initrd, disk = os.path.join(work, "busy-initrd"), os.path.join(work, "busy-disk")
    disk_guest.write_initrd(initrd, base, BUSY.replace("@PORT@", str(server.server_address[1])), disk_guest.drivers(package, ("ata_piix", "sd_mod", "e1000")))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "16M"], check=True)
    words = ("-m", "96M", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet cryptomgr.notests noisapnp", "-nic", "user",
             "-drive", f"file={disk},format=qcow2")
    text, saves, current = "", 0, Machine(*words)
    try:
        wait_counted(current, 2)
        for accel, halfway in zip(ENGINES + ENGINES, (True, False, False, True)):
            if halfway:
                server.go.clear()
                server.half.clear()
                check(server.half.wait(SECONDS), "no transfer began")
            else:
                wait_counted(current, len(counted(current.text("serial"))) + 1)
            text += hand_over("file", os.path.join(work, "busy"), current, accel, words)
            current = hand_over.next
            server.go.set()
            saves += 1
            wait_until(lambda: f"a transfer after save {saves}: {text[-300:]} | {current.text('serial')[-600:]} | {current.errors()}",
                       lambda: any(not row[1].endswith("lost") for row in counted(current.text("serial"))[1:]), SECONDS)
        text += current.text("serial")
    finally:
        current.__exit__()
        server.shutdown()
        server.server_close()
    rows = counted(text)
    check([int(row[0]) for row in rows] == list(range(1, len(rows) + 1)), f"it counted {[row[0] for row in rows]}")
    good = "same-" + hashlib.md5(Page.body).hexdigest()
    check({row[1] for row in rows} <= {good, "same-lost"}, f"{rows}")
    lost = sum(row[1] == "same-lost" for row in rows)
    check(1 <= lost <= saves, f"{lost} transfers were lost over {saves} saves, two of them in the middle of one: {rows}")
    done = subprocess.run(["qemu-img", "check", disk], capture_output=True, text=True)
    check(done.returncode == 0, f"qemu-img check: {done.stdout} {done.stderr}")
    return f"{saves} saves, {len(rows)} turns, {lost} transfers lost"


# Both ways as fast as it goes, from a guest and to it: netload sends, busybox counts.
FLOOD = """
busybox ip link set eth0 up; busybox ip addr add 10.9.0.2/24 dev eth0
(echo "udp-send 10.9.0.1 3600000 1000"; busybox sleep 3600) | /netload >/dev/null 2>&1 &
s=/sys/class/net/eth0/statistics; n=0
while :; do
  n=$((n+1)); bad=$(($(busybox cat $s/rx_errors)+$(busybox cat $s/rx_crc_errors)+$(busybox cat $s/tx_errors)))
  sums=$(busybox awk '/^Udp: [0-9]/{print $8}' /proc/net/snmp)
  echo "COUNT $n $(busybox cat $s/rx_packets)/$(busybox cat $s/tx_packets)/$bad/$sums"
  busybox usleep 20000
done
"""


def ones_sum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def ip_frame(protocol, payload):
    """From 10.9.0.1 to 10.9.0.2, with its sums."""
    addresses = bytes((10, 9, 0, 1, 10, 9, 0, 2))
    if protocol == 17:
        payload = struct.pack(">4H", 5000, 5202, 8 + len(payload), 0) + payload
        total = ones_sum(addresses + struct.pack(">2H", 17, len(payload)) + payload) ^ 0xffff
        payload = payload[:6] + struct.pack(">H", total or 0xffff) + payload[8:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + addresses
    head = head[:10] + struct.pack(">H", ones_sum(head) ^ 0xffff) + head[12:]
    return bytes.fromhex("525400123456525400000001") + b"\x08\x00" + head + payload


class Flooder(threading.Thread):
    """The other end of a cable (-netdev socket,udp=): sends without end, takes what comes and looks at it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.guest = free.getsockname()
        self.words = ("-netdev", f"socket,id=n,udp=127.0.0.1:{self.socket.getsockname()[1]},localaddr=127.0.0.1:{self.guest[1]}",
                      "-device", "e1000,netdev=n,mac=52:54:00:12:34:56", "-nic", "none")
        self.sent = self.got = 0
        self.wrong, self.over, self.flooding, self.echoes = [], False, True, []

    def run(self):
        frames = [ip_frame(17, bytes([n % 251]) * (18 + 61 * (n % 24))) for n in range(288)]  # a ring has 256 descriptors
        self.socket.setblocking(False)
        while not self.over:
            for frame in frames if self.flooding else [ip_frame(1, struct.pack(">BBHHH", 8, 0, 0xf7ff - 7, 0, 7))]:
                try:
                    self.socket.sendto(frame, self.guest)
                    self.sent += 1
                except OSError:  # full, or nobody there just now
                    pass
            select.select([self.socket], [], [], 0.002)  # when the guest is silent, a little slower
            try:
                for _ in range(64):
                    self.look(self.socket.recv(65536))
            except OSError:
                pass

    def look(self, frame):
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == bytes((10, 9, 0, 1)):
            mine = bytes.fromhex("525400000001") + bytes((10, 9, 0, 1))
            self.socket.sendto(frame[6:12] + mine[:6] + frame[12:20] + b"\0\2" + mine + frame[22:32], self.guest)
        if frame[12:14] != b"\x08\x00" or frame[26:30] != bytes((10, 9, 0, 2)):
            return
        self.got += 1
        length = struct.unpack(">H", frame[16:18])[0]
        if ones_sum(frame[14:34]) != 0xffff or length + 14 > max(len(frame), 60):
            self.wrong.append(frame[:40].hex())
        if frame[23] == 17 and length == 1028 and len(set(frame[42:1042])) > 1:
            self.wrong.append(frame[:60].hex())
        if frame[23] == 1 and frame[34] == 0:
            self.echoes.append(frame)


def flood():
    """Saved in mid-burst of a flood both ways, the card's rings full: nothing is damaged, and both ways go on by themselves."""
    words, netload = linux_words(), None
    if not words:
        return "left out: needs the image mini"
    with open(os.path.join(IMAGES, "mini", "image.json"), encoding="utf-8") as file:
        package = disk_guest.find_package(json.load(file)["kernel_release"])
    if not package or not shutil.which("gcc"):
        return "left out: needs the kernel package of the image mini (NETLAB_KERNEL_PACKAGE) and gcc"
    netload = os.path.join(work, "netload")
    source = os.path.join(os.environ["NETLAB_SOURCE"], "tests/bench/netload.c")
    subprocess.run(["gcc", "-m32", "-march=i686", "-static", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-o", netload, source], check=True)
    with open(netload, "rb") as file:
        program = file.read()
    initrd, other = os.path.join(work, "flood-initrd"), Flooder()
    disk_guest.write_initrd(initrd, os.path.join(IMAGES, "mini", "initrd.cpio"), FLOOD, disk_guest.drivers(package, ("e1000",)), [("netload", program)])
    words = (*[word if word != words[5] else initrd for word in words], *other.words)
    text, saves, current = "", 0, Machine(*words)
    other.start()

    def moved(machine, rows):
        """Frames in and out over the last rows."""
        seen = [tuple(int(v) for v in row[1].split("/")[:2]) for row in counted(machine.text("serial"))]
        return len(seen) > rows and all(b > a for a, b in zip(seen[0], seen[-1]))
    try:
        for accel in ENGINES + ENGINES:
            wait_until(lambda: f"both ways after save {saves}: {current.text('serial')[-800:]}", lambda: moved(current, 3), SECONDS)
            got = other.got
            wait_until(f"the guest's own flood after save {saves}", lambda: other.got > got + 100, SECONDS)
            text += hand_over("file", os.path.join(work, "flood"), current, accel, words)
            current = hand_over.next
            saves += 1
        wait_until(lambda: f"both ways after save {saves}: {current.text('serial')[-800:]}", lambda: moved(current, 3), SECONDS)
        other.flooding = False
        wait_until("an echo", lambda: len(other.echoes) > 2, SECONDS)
        text += current.text("serial")
    finally:
        current.__exit__()
        other.over = True
        other.join()
        other.socket.close()
    rows = counted(text)
    check([int(row[0]) for row in rows] == list(range(1, len(rows) + 1)), f"it counted {[row[0] for row in rows]}")
    check("Hang" not in text and "NETDEV WATCHDOG" not in text and "Reset adapter" not in text, f"the driver: {text[-2000:]}")
    last = rows[-1][1].split("/")
    check(last[2:] == ["0", "0"], f"errors of the card, wrong sums of datagrams: {rows[-1]}")
    check(not other.wrong, f"damaged frames: {other.wrong[:4]}")
    check(other.sent > int(last[0]), f"{other.sent} sent and {last[0]} taken: the guest was never behind")
    return f"{saves} saves, {last[0]} of {other.sent} frames in, {last[1]} out, {other.got} seen"


# Firmware in a flash chip of 64 KiB, run from RAM: programs the first byte of the chip, and tells what it reads there over and over.
FLASH = """.code16
    cli
    xorw %ax, %ax
    movw %ax, %es
    movw $0xf000, %ax
    movw %ax, %ds
    movw $code, %si
    movw $0x8000, %di
    movw $(end - code), %cx
    cld
    rep movsb
    lgdtl gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    movw $8, %bx
    movw %bx, %ds
    andb $0xfe, %al
    movl %eax, %cr0
    movl $0xffff0000, %ebx
    ljmp $0, $0x8000
gdtr:
    .word 15
    .long 0xf0000 + gdt
gdt:
    .quad 0, 0x008f92000000ffff
code:
    movb $0x40, (%ebx)
    movb $0x5a, (%ebx)
1:  testb $0x80, (%ebx)
    jz 1b
    movb $0xff, (%ebx)
2:  movb (%ebx), %al
    outb %al, $0xe9
    movw $0xffff, %cx
3:  loop 3b
    jmp 2b
end:
.org 0xfff0
    ljmp $0xf000, $0x100
.org 0x10000
"""


def flash():
    """Who waits for a machine read its flash before that one wrote it."""
    path, sock = os.path.join(work, "flash"), os.path.join(work, "flash.sock")
    data = bytearray(b"\xff" * 0x100 + media.assemble(".org 0x100\n" + FLASH, path + ".bin", origin=0)[0x100:])
    check(len(data) == 0x10000, f"{len(data)} bytes")
    with open(path, "wb") as file:
        file.write(data)
    words = ("-m", "16M", "-vga", "none", "-drive", f"if=pflash,file={path},format=raw")
    with Machine(*words, "-S") as machine, Machine(*words, "-incoming", f"unix:{sock}") as other:
        machine.say("cont")
        wait_until("the flash is programmed", lambda: "Z" in machine.text("debug"), SECONDS)
        said = machine.save(f"unix:{sock}")
        check(said["status"] == "completed", f"{said}")
        wait_until("it goes on", lambda: other.text("debug"), SECONDS)
        check(set(other.text("debug")) == {"Z"} and set(machine.text("debug")) == {"Z"}, f"{other.text('debug')[:20]!r} {machine.text('debug')[:20]!r}")
    with open(path, "rb") as file:
        check(file.read(1) == b"Z", "the image")
    return "read again"


def refused():
    """Streams that are none of this machine's; machines that cannot be saved."""
    disk = sector("spin", SPIN)
    words = ("-m", "16M", *STEADY, "-drive", f"file={disk},format=raw")
    good = os.path.join(work, "good")
    with Machine(*words) as machine:
        for uri, why in (("file:/dev/full", "No space left"), ("exec:cat >/dev/null; exit 3", "status 3"), ("exec:exit 0", "other side has ended")):
            said = machine.save(uri)
            check(said["status"] == "failed" and why in said["error-desc"], f"{uri}: {said}")
            check(machine.status() == "running", machine.status())
        for uri in ("nothing", "tcp:x", "exec:", "fd:none", f"unix:{work}/nobody", f"file:{work}/no/such"):
            check("error" in machine.say("migrate", uri=uri) and machine.status() == "running", uri)
        os.mkfifo(os.path.join(work, "stuck"))
        check("return" in machine.say("migrate", uri="exec:sleep 1000"), "exec:sleep")
        check(machine.status() == "finish-migrate" and "error" in machine.say("cont") and "error" in machine.say("migrate", uri="file:x"), "while it is saved")
        machine.say("migrate_cancel")
        check(machine.say("query-migrate")["return"]["status"] == "cancelled" and machine.status() == "running", machine.status())
        check(machine.save(f"file:{good}")["status"] == "completed", "good")
        check("error" in machine.say("migrate", uri="file:x"), "postmigrate")
        check("return" in machine.say("cont") and machine.status() == "running", "cont after postmigrate")
    with open(good, "rb") as file:
        stream = file.read()
    cases = [("empty", b"", "nothing came"), ("foreign", b"QEVM" + b"\0" * 100, "saved by QEMU"), ("text", b"#!/bin/sh\n" * 10, "no saved machine"),
             ("version", stream[:8] + b"\x02" + stream[9:], "checksum"), ("start", stream[:11], "cut short")]
    cases += [(f"cut {n}", stream[:n], "cut short") for n in (16, 40, 5000, len(stream) // 2, len(stream) - 1)]
    cases += [(f"bit {n}", stream[:n] + bytes([stream[n] ^ 4]) + stream[n + 1:], "damaged") for n in (17, 21, 25, 30, 60, 3000, len(stream) // 2, len(stream) - 4)]
    for name, data, why in cases:
        bad = os.path.join(work, "bad")
        with open(bad, "wb") as file:
            file.write(data)
        with Machine(*words, "-incoming", f"file:{bad}", wait=False) as machine:
            check(machine.process.wait(SECONDS) == 1 and why in machine.errors(), f"{name}: {machine.process.returncode} {machine.errors()}")
    for other, why in ((("-m", "32M"), "memory of"), (("-cpu", "pentium3"), "CPU"), (("-device", "e1000"), "e1000"), (("-device", "ib700"), "ib700"),
                       (("-icount", "shift=0"), "-icount")):
        with Machine(*words, *other, "-incoming", f"file:{good}", wait=False) as machine:
            check(machine.process.wait(SECONDS) == 1 and "another one" in machine.errors() and why in machine.errors(), f"{other}: {machine.errors()}")
    # the sender hears of it, and goes on
    sock = os.path.join(work, "sock")
    with Machine(*words) as machine, Machine(*words, "-m", "32M", "-incoming", f"unix:{sock}") as other:
        said = machine.save(f"unix:{sock}")
        check(said["status"] == "failed" and ("another one" in said["error-desc"] or "refused" in said["error-desc"] or "has ended" in said["error-desc"]) and machine.status() == "running", f"{said} {machine.status()}")
        check(other.process.wait(SECONDS) == 1, f"{other.process.returncode} {other.errors()}")
    return f"{len(cases)} bad streams"


if __name__ == "__main__":
    try:
        main(exact, linux, busy, flood, flash, refused)
    finally:
        for folder in (work, test_icount.work):
            shutil.rmtree(folder, ignore_errors=True)
