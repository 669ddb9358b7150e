# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The screen of real guests: SeaBIOS and a Linux console in pictures, in VNC viewers and on a terminal; keys from all of them.

Needs Debian's SeaBIOS and video BIOS, and for some the image `mini`; without them those tests are skipped with the reason.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

from harness import BIN, Failure, check, main, wait_until
from screen import BIOS, EMULATOR, VGABIOS, Machine, Viewer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines

FIRMWARE = ["-m", "64", "-bios", BIOS, "-serial", "none"]
BANNER = "No bootable device"
BOOT_SECONDS = 120


def mini():
    listed = subprocess.run([BIN, "image", "list", "--json"], capture_output=True, text=True)
    images = json.loads(listed.stdout) if listed.returncode == 0 else []
    for image in images:
        if image["name"] == "mini":
            return image["kernel"], image["initrd"]
    return None


def shell(*more):
    kernel, initrd = KERNEL
    return ["-m", "96", "-kernel", kernel, "-initrd", initrd, "-append", "console=tty0 quiet rdinit=/bin/sh", "-vga", "std", "-serial",
            "none", *more]


def firmware_in_a_picture():
    with Machine([*FIRMWARE, "-display", "none"]) as m:
        text = m.wait_text(BANNER)
        check(text.startswith("SeaBIOS (version "), text)
        ppm, png = m.picture(), m.picture("screen.png")
        check((png.width, png.height) == (720, 400), f"{png.width} x {png.height}")
        check(png.rows == ppm.rows, "PNG and PPM differ")
        check("No such file or directory" in m.monitor("screendump /nowhere/x.png"), "an error")
        check("no format 'gif'" in m.monitor(f"screendump {m.folder}/x -f gif"), "a format that is none")
        m.quit()


def linux_in_a_picture():
    with Machine(shell("-display", "none")) as m:
        m.wait_text("/ #", BOOT_SECONDS)
        for key in "e c h o spc shift-6 minus 4 2 ret".split():
            m.monitor(f"sendkey {key}")
        m.wait_text("\n^-42\n")
        # A screen that scrolls: the start address moves, the picture is what is seen.
        for key in "s e q spc 3 0 0 ret".split():
            m.monitor(f"sendkey {key}")
        text = m.wait_text("\n300\n/ #")
        check(text.rstrip().endswith("\n".join(str(n) for n in range(278, 301)) + "\n/ #"), text)
        m.quit()


# A boot sector: for each mode a diagonal from (1, 21) to (100, 120), colours 8 to 15, and a line of text; then a key is waited for.
MODES = (0x03, 0x04, 0x0d, 0x12, 0x13, 0x101, 0x110, 0x111, 0x112, 0x4118)
SECTOR = """
.code16
        ljmp $0x7c0, $begin
begin:  mov %cs, %ax
        mov %ax, %ds
        mov %ax, %ss
        mov $0x7000, %sp
        mov $modes, %si
next:   lodsw
        push %si
        mov %ax, %bx
        cmp $0x100, %ax
        jb set
        mov $0x4f02, %ax
set:    int $0x10
        mov $100, %cx
dot:    push %cx
        mov $0x0c, %ah
        mov %cl, %al
        and $0x0f, %al
        or $8, %al
        xor %bx, %bx
        mov %cx, %dx
        add $20, %dx
        int $0x10
        pop %cx
        loop dot
        mov $text, %si
letter: lodsb
        test %al, %al
        jz key
        mov $0x0e, %ah
        mov $0x0e, %bx
        int $0x10
        jmp letter
key:    xor %ax, %ax
        int $0x16
        pop %si
        jmp next
text:   .asciz "Hello, mode!"
modes:  .word {modes}
.org 510
        .word 0xaa55
"""


def make_disk(folder):
    image = os.path.join(folder, "disk")
    subprocess.run(["as", "--32", "-o", image + ".o"], input=SECTOR.format(modes=", ".join(map(str, MODES))), text=True, check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", image + ".o", image], check=True)
    os.truncate(image, 1 << 20)
    return image


def modes_by_the_video_bios():
    with tempfile.TemporaryDirectory(prefix="netlab-modes-") as folder:
        image = make_disk(folder)
        with Machine([*FIRMWARE, "-drive", f"file={image},format=raw", "-display", "none"]) as m:
            for mode in MODES:
                size = {0x03: (720, 400), 0x04: (640, 400), 0x0d: (640, 400), 0x13: (640, 400), 0x4118: (1024, 768)}.get(mode, (640, 480))
                twice = 2 if mode in (0x04, 0x0d, 0x13) else 1
                seen = {}

                def drawn():
                    p = seen["picture"] = m.picture()
                    if (p.width, p.height) != size:
                        return False
                    if mode == 0x03:
                        return p.text().startswith("Hello, mode!")
                    lit = all(any(p.pixel(x * twice, (x + 20) * twice)) for x in range(1, 81) if not (mode == 0x04 and x % 4 == 0))
                    return lit and (twice == 2 or p.text(8).startswith("Hello, mode!"))
                wait_until(f"mode {mode:#x}", drawn)
                if mode > 0x04:
                    p = seen["picture"]
                    colors = {p.pixel(x * twice, (x + 20) * twice) for x in range(1, 81)}
                    check(len(colors) == 8, f"mode {mode:#x}: {colors}")
                    check(not any(p.pixel(50 * twice, 75 * twice)), f"mode {mode:#x}: beside the line")
                m.monitor("sendkey spc")
            m.quit()


def vnc_follows_modes_and_resets():
    """A viewer stays while the size of the screen changes under it, and while the machine is reset and stopped."""
    with tempfile.TemporaryDirectory(prefix="netlab-modes-") as folder:
        image, path = make_disk(folder), os.path.join(folder, "screen")
        with Machine([*FIRMWARE, "-drive", f"file={image},format=raw", "-vnc", f"unix:{path}"]) as m:
            viewer = Viewer(path)
            for _ in range(2):
                for width in (720, 640, 640, 640, 640, 640, 640, 640, 640, 1024):
                    deadline = time.monotonic() + 30
                    # In the first mode the video BIOS has its own text on the screen before; keys would be the firmware's.
                    while viewer.width != width or (width == 720 and "mode!" not in viewer.picture().text()) or \
                            not any(map(any, viewer.picture().rows[:16])):
                        check(time.monotonic() < deadline, f"waited for {width} columns, there are {viewer.width}")
                        viewer.update()
                    if width != 1024:
                        viewer.type("\n")
                m.monitor("system_reset")
            m.monitor("stop")
            other = Viewer(path)  # a picture can be had of a machine that stands still
            other.update()
            check((other.width, other.height) == (m.picture().width, m.picture().height), "the size")
            m.monitor("cont")
            m.quit()


def vnc_viewers():
    with tempfile.TemporaryDirectory(prefix="netlab-vnc-") as folder:
        path = os.path.join(folder, "screen")
        with Machine(shell("-vnc", f"unix:{path}", "-name", "seen")) as m:
            first = Viewer(path)
            check(os.stat(path).st_mode & 0o777 == 0o600, "the socket is for its owner alone")
            check(first.name == "netlab-emu: seen", first.name)
            first.wait_text("/ #", BOOT_SECONDS)
            first.type('echo "Hi #$((6*7))" {A,b} ~\n')
            first.wait_text("\nHi #42 {A,b} /\n")
            second, third = Viewer(path), Viewer(path)
            check((second.width, second.height) == (720, 400), "a viewer is told the size at once")
            second.type("echo second\n")
            third.wait_text("\nsecond\n")
            check("3 viewers" in m.monitor("info vnc"), m.monitor("info vnc"))
            # What has not changed is not sent again: a key changes a line, and the cursor.
            first.update()
            first.type("x")
            rectangles = first.update(incremental=True)
            check(sum(w * h for _, _, w, h, e in rectangles if e == 0) < 720 * 64, f"{rectangles}")
            for viewer in (first, second, third):
                viewer.close()
            wait_until("no viewers", lambda: "0 viewers" in m.monitor("info vnc"))
            m.quit()
        check(not os.path.exists(path), "the socket is gone")


class EventReader:
    def __init__(self, path):
        wait_until("the QMP socket", lambda: os.path.exists(path))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(BOOT_SECONDS)
        self.socket.connect(path)
        self.lines, self.events = Lines(self.socket), []
        self.lines.readline()
        self.ask("qmp_capabilities")

    def read(self):
        message = json.loads(self.lines.readline())
        if "event" in message:
            self.events.append((message["event"], message.get("data")))
        return message

    def ask(self, command):
        self.lines.write(json.dumps({"execute": command}) + "\n")
        self.lines.flush()
        while "return" not in (message := self.read()):
            check("error" not in message, f"{message}")
        return message["return"]

    def wait(self, name):
        """Events of VNC up to one of this name; they are forgotten."""
        while not any(event == name for event, _ in self.events):
            self.read()
        seen, self.events = self.events, []
        return [(event, data) for event, data in seen if event.startswith("VNC_")]


def vnc_password_and_ports():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with socket.socket() as probe:
            if not 5900 <= port < 65500 or probe.connect_ex(("127.0.0.1", port)):
                return f"skipped: port {port} is no display, or the loopback device is down and may not be set up"
        refused = subprocess.run([EMULATOR, *FIRMWARE, "-display", "none", "-vnc", f":{port - 5900}"], capture_output=True, text=True, timeout=30)
        check(refused.returncode == 1 and "in use" in refused.stderr and "display number" in refused.stderr, refused.stderr)
        with tempfile.TemporaryDirectory(prefix="netlab-vnc-") as folder, Machine(
                [*FIRMWARE, "-vnc", f":{port - 5900},to={port - 5900 + 20},password=on", "-qmp", f"unix:{folder}/qmp,server=on,wait=off"]) as m:
            qmp = EventReader(f"{folder}/qmp")
            host, service = m.monitor("info vnc").split()[0].rsplit(":", 1)
            check(host == "127.0.0.1" and port < int(service) <= port + 20, f"{host}:{service}")
            where = (host, int(service))
            check(not Viewer(where, password="").accepted, "nobody gets in before there is a password")
            seen = qmp.wait("VNC_DISCONNECTED")
            check([name for name, _ in seen] == ["VNC_CONNECTED", "VNC_DISCONNECTED"], f"{seen}")
            check(seen[0][1]["client"] == seen[1][1]["client"] and seen[0][1]["client"]["host"] == host and seen[0][1]["server"] ==
                  {"host": host, "service": service, "family": "ipv4", "websocket": False, "auth": "vnc"}, f"{seen}")
            check(not m.monitor("change vnc password secret"), "no complaint")
            check(not Viewer(where, password="Secret").accepted, "a wrong password")
            qmp.wait("VNC_DISCONNECTED")
            viewer = Viewer(where, password="secret")
            check(viewer.accepted, "the right one")
            viewer.wait_text(BANNER)
            seen = qmp.wait("VNC_INITIALIZED")
            check([name for name, _ in seen] == ["VNC_CONNECTED", "VNC_INITIALIZED"], f"{seen}")
            clients = qmp.ask("query-vnc-servers")[0]["clients"]
            check(clients == [seen[1][1]["client"]] and clients[0]["service"] == str(viewer.socket.getsockname()[1]), f"{clients}")
            viewer.close()
            qmp.wait("VNC_DISCONNECTED")
            check(qmp.ask("query-vnc")["clients"] == [], "it is listed although it is gone")
            m.quit()


def vnc_peers_that_mean_harm():
    with tempfile.TemporaryDirectory(prefix="netlab-vnc-") as folder:
        path = os.path.join(folder, "screen")
        with Machine([*FIRMWARE, "-vnc", f"unix:{path}"]) as m:
            m.wait_text(BANNER)
            silent = []
            for junk in (b"", b"GET / HTTP/1.0\r\n\r\n", b"RFB 003.008\n\x01\x01" + b"\xff" * 4096, b"RFB 003.008\n\x07",
                         b"RFB 003.008\n\x01\x01" + struct.pack(">BxH", 2, 65535) + b"\0" * 100,
                         b"RFB 003.008\n\x01\x01" + struct.pack(">BxxxI", 6, 0xffffffff) + b"x" * 5000):
                peer = socket.socket(socket.AF_UNIX)
                peer.connect(path)
                try:
                    peer.sendall(junk)
                except OSError:
                    pass
                silent.append(peer)
            # One that asks and never reads; the guest and its monitor do not wait for it.
            greedy = Viewer(path)
            greedy.socket.settimeout(0.2)
            try:
                for _ in range(300):
                    greedy.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, greedy.width, greedy.height))
            except OSError:
                pass
            began = time.monotonic()
            check("running" in m.monitor("info status"), "the machine runs")
            check(time.monotonic() - began < 4, "the monitor waits for it")
            for peer in (*silent, greedy.socket):
                peer.close()
            wait_until("all of them are gone", lambda: "0 viewers" in m.monitor("info vnc"), 60)
            viewer = Viewer(path)
            viewer.wait_text(BANNER)
            viewer.pointer(100, 100)
            viewer.pointer(110, 95)  # ten to the right, five up: what the mouse has to tell when a driver asks
            wait_until("the mouse has moved", lambda: re.search(r"mouse\.dx=a\n", m.monitor("info state")) and
                       re.search(r"mouse\.dy=5\n", m.monitor("info state")))
            viewer.pointer(65535, 65535, 255)
            viewer.key(0xffffffff, True)
            viewer.close()
            m.quit()


def text_consoles():
    """By VNC: the monitor and a shell on the serial port, each behind Ctrl-Alt and a digit; two servers, each with its own in front."""
    kernel, initrd = KERNEL
    with tempfile.TemporaryDirectory(prefix="netlab-vnc-") as folder:
        paths = [os.path.join(folder, name) for name in ("a", "b")]
        process = subprocess.Popen([EMULATOR, "-nic", "none", "-m", "96", "-kernel", kernel, "-initrd", initrd, "-append",
                                    "console=tty0 console=ttyS0 quiet rdinit=/bin/sh", *(w for p in paths for w in ("-vnc", f"unix:{p}"))])
        try:
            one, two = Viewer(paths[0]), Viewer(paths[1])

            def show(viewer, number):
                for keysym in (0xffe3, 0xffe9, ord(str(number))):
                    viewer.key(keysym, True)
                for keysym in (ord(str(number)), 0xffe9, 0xffe3):
                    viewer.key(keysym, False)
                wait_until("its size", lambda: viewer.update() and (viewer.width == 640) == (number > 1))

            def wait(viewer, text, seconds=60):
                last = [""]

                def seen():
                    viewer.update()
                    last[0] = viewer.picture().text(8)
                    return text in last[0]
                wait_until(lambda: f"'{text}' in\n{last[0]}", seen, seconds)
            show(one, 2)
            wait(one, "(netlab)")
            show(two, 3)
            wait(two, "/ #", BOOT_SECONDS)
            two.type("stty rows 24 cols 80; clear; echo $((40+2)) {x}\n")
            wait(two, "42 {x}\n/ #")
            two.type("printf '\\033[5;10Hhere\\033[41m \\033[0m'; cat\n")
            wait(two, "\n         here")
            picture = two.picture()
            check(picture.pixel(13 * 8 + 2, 4 * 16 + 2) == (0xaa, 0, 0), f"red: {picture.pixel(13 * 8 + 2, 4 * 16 + 2)}")
            two.key(0xffe3, True)
            two.key(ord("c"), True)
            two.key(ord("c"), False)
            two.key(0xffe3, False)
            wait(two, "/ #")
            one.type("info chardev\n")
            wait(one, "serial0: filename=vc")
            for viewer in (one, two):  # a viewer that does not read is dropped after a while, and its keys with it
                threading.Thread(target=viewer.drain, daemon=True).start()
            one.type("quit")
            one.key(0xff0d, True)
            check(process.wait(20) == 0, f"exit code {process.returncode}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def vnc_share_and_reverse():
    with tempfile.TemporaryDirectory(prefix="netlab-vnc-") as folder:
        paths = {share: os.path.join(folder, share) for share in ("ignore", "allow-exclusive", "force-shared")}
        words = [w for share, path in paths.items() for w in ("-vnc", f"unix:{path},share={share}")]
        listener = socket.create_server(("127.0.0.1", 0))
        with Machine([*FIRMWARE, *words, "-vnc", f"127.0.0.1:{listener.getsockname()[1]},reverse=on"]) as m:
            def stays(viewer):
                try:
                    viewer.update()
                    return True
                except (OSError, Failure):
                    return False
            for share, path in paths.items():
                first, second = Viewer(path), None
                first.update()
                try:
                    second = Viewer(path, share=False)
                    alone = stays(second)
                except (OSError, Failure):
                    alone = False
                check((stays(first), alone) == {"ignore": (True, True), "allow-exclusive": (False, True), "force-shared": (True, False)}[share],
                      f"share={share}")
                first.close()
                if second:
                    second.close()
            listener.settimeout(20)
            peer, _ = listener.accept()
            peer.settimeout(20)
            check(peer.recv(12) == b"RFB 003.008\n", "the emulator is the server, though it connects")
            peer.close()
            listener.close()
            m.quit()


# A boot sector with a driver for VMware's mouse: it shows each packet's buttons, x and y as eight digits each, at the top left.
POINTER = """
.code16
        ljmp $0x7c0, $begin
begin:  mov %cs, %ax
        mov %ax, %ds
        mov %ax, %ss
        mov $0x7000, %sp
        mov $0xb800, %ax
        mov %ax, %es
        mov $0x45414552, %ebx
        mov $41, %cx
        call vmware
        mov $1, %ebx
        mov $39, %cx
        call vmware
        mov $0x53424152, %ebx
        mov $41, %cx
        call vmware
again:  mov $40, %cx
        call vmware
        cmp $4, %ax
        jb again
        mov $4, %ebx
        mov $39, %cx
        call vmware
        xor %di, %di
        push %ecx
        call show
        mov %ebx, %eax
        call show
        pop %eax
        call show
        jmp again
vmware: mov $0x564d5868, %eax
        mov $0x5658, %dx
        in %dx, %eax
        ret
show:   mov $8, %si
digit:  rol $4, %eax
        push %ax
        and $15, %al
        add $0x30, %al
        cmp $0x3a, %al
        jb put
        add $7, %al
put:    mov $7, %ah
        stosw
        pop %ax
        dec %si
        jnz digit
        mov $0x0720, %ax
        stosw
        ret
.org 510
        .word 0xaa55
"""


def a_pointer_that_is_where_it_is():
    with tempfile.TemporaryDirectory(prefix="netlab-vnc-") as folder:
        image, path = os.path.join(folder, "disk"), os.path.join(folder, "vnc")
        subprocess.run(["as", "--32", "-o", image + ".o"], input=POINTER, text=True, check=True)
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", image + ".o", image], check=True)
        os.truncate(image, 1 << 20)
        for accel in ("jit", "interp"):
            with Machine([*FIRMWARE, "-accel", accel, "-drive", f"file={image},format=raw", "-vnc", f"unix:{path}"]) as m:
                viewer = Viewer(path)
                viewer.wait_text("Booting from Hard Disk")
                wait_until("the driver", lambda: re.search(r"absolute=(1|true|on)", m.monitor("info state")), 60)
                check("VMware" in m.monitor("info mice"), m.monitor("info mice"))
                check((viewer.width, viewer.height) == (720, 400), f"{viewer.width} x {viewer.height}")
                viewer.pointer(719, 0, 1)
                viewer.wait_text("00000020 0000FFFF 00000000")
                viewer.pointer(0, 399, 0)
                viewer.wait_text("00000000 00000000 0000FFFF")
                viewer.pointer(360, 200, 4)
                viewer.wait_text("00000010 0000802D 00008051")
                viewer.close()
                m.quit()


class Terminal:
    """A terminal of a size, what is written to it, and a program on it."""
    def __init__(self, rows, columns):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def drain(self):
        while select.select([self.master], [], [], 0.02)[0]:
            self.seen += os.read(self.master, 65536)

    def wait(self, text, seconds=60):
        def there():
            self.drain()
            return text in self.seen
        wait_until(f"{text} on the terminal, which got {self.seen[-1500:]}", there, seconds)

    def send(self, keys):
        self.seen = b""
        os.write(self.master, keys)

    def close(self):
        os.close(self.master)
        os.close(self.slave)


def on_a_terminal():
    terminal = Terminal(30, 100)
    before = termios.tcgetattr(terminal.slave)
    env = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    try:
        with Machine(shell("-curses"), stdin=terminal.slave, stdout=terminal.slave, env=env) as m:
            terminal.wait(b"/ # ", BOOT_SECONDS)
            terminal.send(b'echo "Hi_#$((6*7))"{A,b}~\r')
            terminal.wait(b"Hi_#42{A,b}~")
            terminal.send(b"cat\rAB\x7f\x7fCD\x04\x04")  # backspace, Ctrl-D
            terminal.wait(b"CD")
            terminal.send(b"\x1b2")  # Alt-2
            terminal.wait(b"monitor")
            terminal.send(b"info name\r")
            terminal.resize(12, 50)
            terminal.wait(b"(netlab)")
            terminal.send(b"info status\r")
            terminal.wait(b"running")
            terminal.send(b"\x1b1")
            terminal.wait(b"/ #")
            terminal.send(b"\x1b2quit\r")
            wait_until("the end", lambda: m.process.poll() is not None)
            check(m.process.returncode == 0, f"exit code {m.process.returncode}")
        terminal.drain()
        check(termios.tcgetattr(terminal.slave) == before, "the terminal is as it was")
    finally:
        terminal.close()


def firmware_on_a_terminal_unasked():
    terminal = Terminal(25, 80)
    plain = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    try:
        with Machine(FIRMWARE, stdin=terminal.slave, stdout=terminal.slave, env={**plain, "TERM": "vt100", "LC_ALL": "C"}) as m:
            terminal.wait(b"bootable device")
            m.quit()
    finally:
        terminal.close()


def no_terminal():
    done = subprocess.run([EMULATOR, *FIRMWARE, "-curses"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    check(done.returncode == 1 and "no terminal" in done.stderr and "-vnc" in done.stderr, done.stderr)
    terminal = Terminal(24, 80)
    try:
        done = subprocess.run([EMULATOR, *FIRMWARE, "-curses"], stdin=terminal.slave, stdout=terminal.slave, stderr=subprocess.PIPE, text=True,
                              timeout=30, env={**os.environ, "TERM": "no-such-terminal"})
        check(done.returncode == 1 and "set TERM" in done.stderr, done.stderr)
        # A terminal that goes away ends the machine.
        process = subprocess.Popen([EMULATOR, *FIRMWARE, "-curses"], stdin=terminal.slave, stdout=terminal.slave,
                                   env={**os.environ, "TERM": "xterm", "LC_ALL": "C"})
        terminal.wait(b"bootable")
        process.send_signal(signal.SIGTERM)
        check(process.wait(20) == 0, f"exit code {process.returncode}")
    finally:
        terminal.close()


if __name__ == "__main__":
    if not (os.path.exists(BIOS) and os.path.exists(VGABIOS)):
        print("SKIP: needs SeaBIOS and its video BIOS: apt-get install seabios")
        sys.exit(77)
    tests = [firmware_in_a_picture, modes_by_the_video_bios, vnc_follows_modes_and_resets, vnc_password_and_ports, vnc_peers_that_mean_harm, a_pointer_that_is_where_it_is, vnc_share_and_reverse, firmware_on_a_terminal_unasked, no_terminal]
    KERNEL = mini()
    if KERNEL:
        tests += [linux_in_a_picture, vnc_viewers, text_consoles, on_a_terminal]
    else:
        print("without a Linux console: needs the image `mini` (netlab image build mini)")
    main(*tests)
