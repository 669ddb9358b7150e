# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""What tests see of a guest's screen: a machine with a monitor, pictures of its screen read back as text, and a VNC viewer.

Text is read by comparing each character's cell with the font of the video BIOS, so what is checked is what a person would see.
"""
import os
import re
import socket
import struct
import subprocess
import tempfile
import time
import zlib

from harness import BIN, Failure, check, wait_until

EMULATOR = os.path.join(os.path.dirname(BIN), "netlab-emu")
BIOS = "/usr/share/seabios/bios-256k.bin"
VGABIOS = "/usr/share/seabios/vgabios-stdvga.bin"


def font():
    """{16 bytes: character} of the 8×16 font, code page 437; ASCII first where two look alike. Found by its full block and its space."""
    rom = open(VGABIOS, "rb").read()
    for at in range(len(rom) - 4096):
        if rom[at + 0xdb * 16:at + 0xdc * 16] == b"\xff" * 16 and rom[at + 32 * 16:at + 33 * 16] == bytes(16) and \
                rom[at + 0xdf * 16] == 0xff and rom[at + 0xdc * 16] == 0:
            return {rom[at + c * 16:at + c * 16 + 16]: bytes([c]).decode("cp437") for c in (*range(255, 127, -1), *range(126, 31, -1))}
    raise Failure(f"no 8x16 font in {VGABIOS}")


class Picture:
    def __init__(self, width, height, rows):
        self.width, self.height, self.rows = width, height, rows  # rows: bytes, three a pixel

    def pixel(self, x, y):
        return tuple(self.rows[y][3 * x:3 * x + 3])

    def text(self, wide=9):
        """Lines of 9×16 (or 8×16) cells in any two colours; what is no letter of the font is '?'. The cursor's lines are not looked at
        in a space."""
        known, lines = {}, []
        for row in range(self.height // 16):
            line = ""
            band = self.rows[row * 16:row * 16 + 16]
            for at in range(0, 3 * wide * (self.width // wide), 3 * wide):
                cell = b"".join(pixels[at:at + 24] for pixels in band)
                if cell not in known:
                    known[cell] = self.letter(cell)
                line += known[cell]
            lines.append(line.rstrip())
        return "\n".join(lines)

    letters = None

    @classmethod
    def letter(cls, cell):
        """The character of 16 rows of 8 pixels. Which of two colours is the background is not known, so both are tried."""
        cls.letters = cls.letters or font()
        pixels = [cell[at:at + 3] for at in range(0, len(cell), 3)]
        colours = sorted(set(pixels))
        if len(colours) == 2:
            for background in colours:
                bits = bytes(sum((pixels[8 * y + x] != background) << (7 - x) for x in range(8)) for y in range(16))
                if bits in cls.letters:
                    return cls.letters[bits]
        return " " if len(set(pixels[:13 * 8])) == 1 else "?"


def read_ppm(data):
    header = re.match(rb"P6\n(\d+) (\d+)\n255\n", data)
    width, height = int(header[1]), int(header[2])
    pixels = data[header.end():]
    check(len(pixels) == width * height * 3, f"a PPM of {width} x {height} has {len(pixels)} bytes of pixels")
    return Picture(width, height, [pixels[y * width * 3:(y + 1) * width * 3] for y in range(height)])


def read_png(data):
    check(data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG")
    at, compressed, size = 8, b"", None
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        check(zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0], f"checksum of {kind}")
        if kind == b"IHDR":
            size = struct.unpack(">IIBBBBB", body)
        compressed += body if kind == b"IDAT" else b""
        at += 12 + length
    width, height = size[:2]
    check(size[2:] == (8, 2, 0, 0, 0), f"8-bit RGB, not interlaced: {size}")
    raw, before, rows = zlib.decompress(compressed), bytes(3 * width), []
    for y in range(height):
        kind, line = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1:(y + 1) * (3 * width + 1)])
        for i in range(3 * width if kind else 0):
            a, b, c = (line[i - 3], before[i], before[i - 3]) if i > 2 else (0, before[i], 0)
            p = a + b - c
            nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[i] = (line[i] + (0, a, b, (a + b) // 2, nearest)[kind]) & 255
        rows.append(bytes(line))
        before = line
    return Picture(width, height, rows)


class Machine:
    """netlab-emu with a monitor on a socket; `with Machine([...]) as m:` ends it."""
    prompt = b"(netlab) "

    def __init__(self, words, stdin=subprocess.DEVNULL, stdout=None, env=None, build=None, cwd=None):
        """build(folder, words): the whole command line, for machines that need other words."""
        self.folder = tempfile.mkdtemp(prefix="netlab-screen-")
        self.monitor_path = os.path.join(self.folder, "monitor")
        command = build(self.folder, words) if build else [EMULATOR, "-monitor", f"unix:{self.monitor_path},server=on,wait=off", "-nic", "none", "-sandbox",
                                                           "on,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", *words]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, env=env, cwd=cwd)
        self.socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.socket:
            self.socket.close()
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))
        os.rmdir(self.folder)

    def connect(self):
        def there():
            check(self.process.poll() is None, f"the emulator ended with {self.process.returncode}")
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(self.monitor_path)
                return True
            except OSError:
                self.socket.close()
                return False
        wait_until("the monitor", there)
        self.socket.settimeout(20)
        self.answer()

    def answer(self):
        text = b""
        while not text.endswith(self.prompt):
            data = self.socket.recv(65536)
            check(data, "the monitor's socket was closed")
            text += data
        return text.decode(errors="replace")

    def monitor(self, line):
        if not self.socket:
            self.connect()
        self.socket.sendall(line.encode() + b"\n")
        text = self.answer()
        return text.split("\r\n", 1)[1].rsplit(self.prompt.decode(), 1)[0].replace("\r\n", "\n")

    def quit(self):
        if not self.socket:
            self.connect()
        self.socket.sendall(b"quit\n")
        check(self.process.wait(20) == 0, f"exit code {self.process.returncode}")

    def picture(self, name="screen.ppm"):
        path = os.path.join(self.folder, name)
        said = self.monitor(f"screendump {path}")
        check(not said, f"screendump says {said}")
        with open(path, "rb") as file:
            data = file.read()
        return read_png(data) if name.endswith(".png") else read_ppm(data)

    def wait_text(self, text, seconds=60):
        last = [""]

        def seen():
            last[0] = self.picture().text()
            return text in last[0]
        try:
            wait_until(f"'{text}' on the screen", seen, seconds)
        except Failure as failure:
            raise Failure(f"{failure}\n{last[0]}") from None
        return last[0]


def des_challenge(password, challenge):
    """RFB 7.2.2: DES with the password's bytes, the bits of each turned round."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0")[:8])
    done = subprocess.run(["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider", "default"],
                          input=challenge, capture_output=True, check=True)
    return done.stdout


class Viewer:
    """RFB 3.8 with raw rectangles and changes of size."""
    def __init__(self, where, password=None, share=True):
        self.socket = socket.socket(socket.AF_UNIX) if isinstance(where, str) else socket.socket()
        self.socket.settimeout(60)
        wait_until(f"a VNC server at {where}", lambda: self.socket.connect_ex(where) == 0)
        check(self.read(12) == b"RFB 003.008\n", "the server's version")
        self.socket.sendall(b"RFB 003.008\n")
        kinds = self.read(self.read(1)[0])
        wanted = 1 if password is None else 2
        check(kinds == bytes([wanted]), f"kinds of authentication: {kinds}")
        self.socket.sendall(bytes([wanted]))
        if password is not None:
            self.socket.sendall(des_challenge(password, self.read(16)))
        self.accepted = self.read(4) == bytes(4)
        if not self.accepted:
            return
        self.socket.sendall(bytes([share]))
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.name = self.read(struct.unpack(">I", self.read(4))[0]).decode()
        # 32 bits, red in the third byte; raw and new sizes
        self.socket.sendall(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.socket.sendall(struct.pack(">BxHii", 2, 2, 0, -223))
        self.pixels = bytearray(self.width * self.height * 4)

    def read(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            check(piece, "the server hung up")
            data += piece
        return data

    def close(self):
        self.socket.close()

    def drain(self):
        """Reads on until the server hangs up."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass

    def update(self, incremental=False):
        """Asks for an update and takes it; returns the rectangles."""
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))
        while True:
            kind = self.read(1)[0]
            if kind == 2:  # bell
                continue
            if kind == 3:
                self.read(struct.unpack(">xxxI", self.read(7))[0])
                continue
            check(kind == 0, f"message {kind}")
            rectangles = []
            for _ in range(struct.unpack(">xH", self.read(3))[0]):
                x, y, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
                rectangles.append((x, y, width, height, encoding))
                if encoding == -223:
                    self.width, self.height = width, height
                    self.pixels = bytearray(width * height * 4)
                    continue
                check(encoding == 0 and x + width <= self.width and y + height <= self.height, f"{rectangles[-1]}")
                data = self.read(width * height * 4)
                for line in range(height):
                    at = ((y + line) * self.width + x) * 4
                    self.pixels[at:at + width * 4] = data[line * width * 4:(line + 1) * width * 4]
            return rectangles

    def picture(self):
        rows = []
        for y in range(self.height):
            line = self.pixels[y * self.width * 4:(y + 1) * self.width * 4]
            row = bytearray(self.width * 3)
            row[0::3], row[1::3], row[2::3] = line[2::4], line[1::4], line[0::4]
            rows.append(bytes(row))
        return Picture(self.width, self.height, rows)

    def wait_text(self, text, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            self.update()
            seen = self.picture().text()
            if text in seen:
                return seen
            check(time.monotonic() < deadline, f"waited {seconds} s in vain for '{text}' in\n{seen}")

    def key(self, keysym, down):
        self.socket.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def type(self, text):
        """As a person: Shift is held for what needs it."""
        for c in text:
            shift = c.isupper() or c in '~!@#$%^&*()_+{}|:"<>?'
            keysym = 0xff0d if c == "\n" else ord(c)
            if shift:
                self.key(0xffe1, True)
            self.key(keysym, True)
            self.key(keysym, False)
            if shift:
                self.key(0xffe1, False)

    def pointer(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))
