# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The window on the desktop (-display sdl), on an X server without a screen: what is seen in it, keys by their place, text consoles, the
mouse, full screen, and closing it.

Needs Xvfb, xdotool and a netlab-emu built with SDL; without them it is skipped with the reason.
"""
import ctypes
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from harness import check, main, wait_until
from screen import BIOS, EMULATOR, VGABIOS, Machine, Picture

FIRMWARE = ["-m", "64", "-bios", BIOS]
BANNER = "No bootable device"


class Desktop:
    """An X server whose screen is a file."""
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="netlab-desktop-")
        reader, writer = os.pipe()
        self.process = subprocess.Popen(["Xvfb", "-displayfd", str(writer), "-screen", "0", "1024x768x24", "-fbdir", self.folder,
                                         "-nolisten", "tcp", "-noreset"], pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(writer)
        with os.fdopen(reader) as file:
            number = file.readline().strip()
        check(number, "Xvfb did not start")
        self.env = {**os.environ, "DISPLAY": f":{number}", "SDL_VIDEODRIVER": "x11"}
        self.env.pop("WAYLAND_DISPLAY", None)
        # What SDL and X keep until the end is theirs, and no leak of ours (builds with sanitizers).
        with open(os.path.join(self.folder, "suppressions"), "w", encoding="ascii") as file:
            file.write("leak:libSDL2\nleak:libX11\nleak:libxcb\nleak:libdbus\n")
        self.env["LSAN_OPTIONS"] = f"suppressions={self.folder}/suppressions:print_suppressions=0"
        wait_until("the X server", lambda: self.do("getmouselocation"), 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)

    def do(self, *words):
        done = subprocess.run(["xdotool", *words], env=self.env, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    def picture(self, window=None):
        """Of a window, or of all."""
        with open(os.path.join(self.folder, "Xvfb_screen0"), "rb") as file:
            data = file.read()
        header = struct.unpack(">25I", data[:100])
        start, width, height, line_bytes = header[0] + 12 * header[19], header[4], header[5], header[12]
        x, y = 0, 0
        if window:
            place = dict(re.findall(r"(\w+)=(-?\d+)", self.do("getwindowgeometry", "--shell", window)))
            x, y, width, height = (int(place.get(key, 0)) for key in ("X", "Y", "WIDTH", "HEIGHT"))
        rows = []
        for row in range(y, min(y + height, header[5])):
            line = data[start + row * line_bytes + 4 * x:start + row * line_bytes + 4 * (x + width)]
            pixels = bytearray(len(line) // 4 * 3)
            pixels[0::3], pixels[1::3], pixels[2::3] = line[2::4], line[1::4], line[0::4]
            rows.append(bytes(pixels))
        return Picture(width, len(rows), rows)

    def window(self):
        found = [""]

        def there():
            found[0] = self.do("search", "--onlyvisible", "--name", "netlab-emu").split("\n")[0]
            return found[0]
        wait_until("a window", there)
        self.do("windowfocus", "--sync", found[0])
        return found[0]

    def wait_text(self, window, text, wide=9):
        last = [""]

        def seen():
            last[0] = self.picture(window).text(wide)
            return text in last[0]
        wait_until(lambda: f"'{text}' in the window, which shows\n{last[0]}", seen, 60)

    def wait_title(self, window, title):
        wait_until(f"the title '{title}' instead of '{self.do('getwindowname', window)}'",
                   lambda: self.do("getwindowname", window) == title)

    def close(self, window):
        """As a window manager asks for it."""
        x = ctypes.CDLL("libX11.so.6")
        x.XOpenDisplay.restype = ctypes.c_void_p
        x.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x.XOpenDisplay(self.env["DISPLAY"].encode()))
        protocols, delete = (x.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
        event = (ctypes.c_ulong * 24)()
        ctypes.c_int.from_address(ctypes.addressof(event)).value = 33  # ClientMessage
        event[4], event[5] = int(window), protocols
        ctypes.c_int.from_address(ctypes.addressof(event) + 48).value = 32
        event[7] = delete
        x.XSendEvent(display, ctypes.c_ulong(int(window)), 0, ctypes.c_ulong(0), ctypes.byref(event))
        x.XCloseDisplay(display)

    def destroy(self, window):
        """As no window manager does."""
        x = ctypes.CDLL("libX11.so.6")
        x.XOpenDisplay.restype = ctypes.c_void_p
        display = ctypes.c_void_p(x.XOpenDisplay(self.env["DISPLAY"].encode()))
        x.XDestroyWindow(display, ctypes.c_ulong(int(window)))
        x.XCloseDisplay(display)


def a_window():
    with Desktop() as desktop, Machine([*FIRMWARE, "-name", "lab", "-sdl"], env=desktop.env) as m:
        window = desktop.window()
        desktop.wait_text(window, BANNER)
        desktop.wait_title(window, "netlab-emu (lab)")
        place = desktop.do("getwindowgeometry", window)
        check("720x400" in place, f"as large as the guest's screen: {place}")
        m.monitor("stop")
        desktop.wait_title(window, "netlab-emu (lab) [Stopped]")
        m.monitor("cont")
        desktop.wait_title(window, "netlab-emu (lab)")
        # The mouse: taken by a click, moved, let go.
        desktop.do("mousemove", "--window", window, "300", "200", "click", "1")
        desktop.wait_title(window, "netlab-emu (lab) - Press Ctrl-Alt-G to release grab")
        desktop.do("mousemove_relative", "--", "15", "-4")
        wait_until("the mouse has moved", lambda: not re.search(r"mouse\.dx=0\n", m.monitor("info state")))
        desktop.do("key", "ctrl+alt+g")
        desktop.wait_title(window, "netlab-emu (lab)")
        desktop.do("key", "ctrl+alt+f")
        # Without a window manager the window stays as it is, but what is in it is as large as the screen.
        wait_until("the whole screen", lambda: BANNER not in desktop.picture(window).text())
        desktop.wait_title(window, "netlab-emu (lab) - Press Ctrl-Alt-G to release grab")
        desktop.do("key", "ctrl+alt+f")
        desktop.wait_text(window, BANNER)
        desktop.wait_title(window, "netlab-emu (lab)")
        desktop.do("key", "ctrl+alt+equal")
        wait_until("a larger one", lambda: "900x500" in desktop.do("getwindowgeometry", window))
        desktop.do("key", "ctrl+alt+u")
        wait_until("the natural size", lambda: "720x400" in desktop.do("getwindowgeometry", window))
        desktop.close(window)
        check(m.process.wait(20) == 0, f"exit code {m.process.returncode}")


def consoles():
    with Desktop() as desktop:
        # Unasked, where there is a desktop; the monitor is a text console, and so is the serial port.
        emulator = subprocess.Popen([EMULATOR, *FIRMWARE, "-nic", "none", "-display", "sdl,window-close=off", "-sandbox",
                                     "on,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"], env=desktop.env)
        try:
            window = desktop.window()
            desktop.wait_text(window, BANNER)
            desktop.do("key", "ctrl+alt+2")
            desktop.wait_title(window, "netlab-emu - monitor0")
            desktop.wait_text(window, "(netlab)", 8)
            desktop.do("type", "info status")
            desktop.do("key", "Return")
            desktop.wait_text(window, "running", 8)
            desktop.do("type", "o/b 0 0")  # what is typed at the guest's keyboard instead is not seen here
            for _ in range(7):
                desktop.do("key", "BackSpace")
            for i in range(30):
                desktop.do("type", f"print {i}")
                desktop.do("key", "Return")
            desktop.do("key", "shift+Prior", "shift+Prior", "shift+Prior")
            desktop.wait_text(window, "monitor - type", 8)
            desktop.do("key", "ctrl+alt+3")
            desktop.wait_title(window, "netlab-emu - serial0")
            desktop.do("key", "ctrl+alt+1")
            desktop.wait_text(window, BANNER)
            desktop.close(window)
            desktop.do("key", "ctrl+alt+2")
            desktop.do("type", "quit")
            desktop.do("key", "Return")
            check(emulator.wait(20) == 0, f"exit code {emulator.returncode}")
        finally:
            if emulator.poll() is None:
                emulator.kill()
                emulator.wait()


def window_gone():
    """What X refuses (here: everything, for the window is gone) does not end the machine."""
    with Desktop() as desktop, Machine([*FIRMWARE, "-display", "sdl"], env=desktop.env) as m:
        window = desktop.window()
        desktop.wait_text(window, BANNER)
        desktop.destroy(window)
        wait_until("no window", lambda: not desktop.do("search", "--onlyvisible", "--name", "netlab-emu"))
        for _ in range(3):  # each is another title
            m.monitor("stop")
            m.monitor("cont")
        check("running" in m.monitor("info status"), "it does not run")
        m.quit()


def unasked_on_a_desktop():
    with Desktop() as desktop, Machine(FIRMWARE, env=desktop.env) as m:
        window = desktop.window()
        desktop.wait_text(window, BANNER)
        m.quit()


def no_desktop():
    env = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env["ASAN_OPTIONS"] = "detect_leaks=0"  # SDL's own
    env.pop("SDL_VIDEODRIVER", None)
    for driver in ({"SDL_VIDEODRIVER": "x11"}, {}, {"DISPLAY": ":4711"}):  # left alone, SDL draws into memory
        done = subprocess.run([EMULATOR, *FIRMWARE, "-display", "sdl"], env={**env, **driver}, capture_output=True, text=True, timeout=30)
        check(done.returncode == 1 and "no window can be opened" in done.stderr and "-vnc" in done.stderr, done.stderr)
    libraries = subprocess.run(["ldd", EMULATOR], capture_output=True, text=True).stdout
    check("SDL" not in libraries, "every machine would load it")


if __name__ == "__main__":
    for needed in ("Xvfb", "xdotool"):
        if not shutil.which(needed):
            print(f"SKIP: needs {needed}: apt-get install xvfb xdotool")
            sys.exit(77)
    if not (os.path.exists(BIOS) and os.path.exists(VGABIOS)):
        print("SKIP: needs SeaBIOS and its video BIOS: apt-get install seabios")
        sys.exit(77)
    if "sdl" not in subprocess.run([EMULATOR, "-display", "help"], capture_output=True, text=True).stdout:
        print("SKIP: this netlab-emu was built without SDL: apt-get install libsdl2-dev and build it again")
        sys.exit(77)
    main(a_window, consoles, window_gone, unasked_on_a_desktop, no_desktop)
