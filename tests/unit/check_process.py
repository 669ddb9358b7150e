#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Options about the process, on the running program: what RAM is made of, locked and preallocated memory, names, messages, the size
of code memory, blocks of one instruction, -writeconfig and -readconfig. Guests are Multiboot kernels of a few bytes.

  check_process.py netlab-emu
"""
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

EMU = os.path.abspath(sys.argv[1])
SECONDS = 60

EXIT = b"\x66\xba\xf4\x00\xb0\x10\xee"  # out 0xf4, 0x10: exit code 33
DONE = 33
SPIN = b"\xfb\xf4\xeb\xfd"              # sti; hlt; and again
# "RAM!" at 16 MiB, and 'K' on the debug port
STORE = b"\xc7\x05\x00\x00\x00\x01RAM!" + b"\xb0\x4b\xe6\xe9"


def kernel(path, code):
    load, flags = 0x100000, 1 << 16
    header = struct.pack("<8I", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, load, load, 0, 0, load + 32)
    with open(path, "wb") as file:
        file.write(header + code)


def words(folder, *more):
    return [EMU, "-m", "32M", "-kernel", f"{folder}/kernel", "-display", "none", "-nic", "none", "-serial", "none",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-debugcon", f"file:{folder}/out", *more]


def run(folder, *more, code=DONE, preexec=None, env=None):
    done = subprocess.run(words(folder, *more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SECONDS, cwd=folder, preexec_fn=preexec, env=env)
    assert done.returncode == code, f"{more}: exit code {done.returncode}, not {code}: {done.stdout}"
    return done.stdout


class Running:
    """A guest that waits; until it has written a letter."""

    def __init__(self, folder, *more, preexec=None, env=None):
        if os.path.exists(f"{folder}/out"):
            os.unlink(f"{folder}/out")
        self.process = subprocess.Popen(words(folder, *more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, cwd=folder, preexec_fn=preexec, env=env)
        wait(lambda: self.process.poll() is not None or (os.path.exists(f"{folder}/out") and os.path.getsize(f"{folder}/out")))
        assert self.process.poll() is None, self.process.stdout.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(SECONDS) == 0
        self.process.stdout.close()

    def status(self, name, of="status"):
        with open(f"/proc/{self.process.pid}/{of}", encoding="ascii") as file:
            return re.search(rf"^{name}:\s*(\S+)", file.read(), re.M).group(1)


def wait(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def memory_files(folder):
    kernel(f"{folder}/kernel", STORE + EXIT)
    run(folder, "-mem-path", f"{folder}/ram")
    with open(f"{folder}/ram", "rb") as file:
        data = file.read()
    assert len(data) == 32 << 20 and data[16 << 20:][:4] == b"RAM!", "guest RAM is not in the file"
    with open(f"{folder}/ram", "r+b") as file:  # what is there from another time is not the guest's
        file.seek(20 << 20)
        file.write(b"old")
    run(folder, "-mem-path", f"{folder}/ram")
    with open(f"{folder}/ram", "rb") as file:
        assert file.read()[20 << 20:][:3] == b"\0\0\0", "RAM is not empty at the start"
    with open(f"{folder}/precious", "wb") as file:
        file.write(b"a disk")
    assert "would be overwritten" in run(folder, "-mem-path", f"{folder}/precious", code=1)
    with open(f"{folder}/precious", "rb") as file:
        assert file.read() == b"a disk"
    assert "No such file" in run(folder, "-mem-path", f"{folder}/no/such", code=1)
    # -object memory-backend-file: share=on as that; else the guest begins with what is in the file, which stays as it is
    backend = ("-machine", "memory-backend=m", "-object")
    words = f"memory-backend-file,id=m,size=32M,mem-path={folder}/object"
    for share, kept in ((",share=on", True), (",share=off", False), ("", False)):
        with open(f"{folder}/object", "wb") as file:
            file.truncate(32 << 20)
            file.seek(20 << 20)
            file.write(b"old")
        run(folder, *backend, words + share)
        with open(f"{folder}/object", "rb") as file:
            data = file.read()
        assert (data[16 << 20:][:4] == b"RAM!") == kept and (data[20 << 20:][:3] == b"old") != kept, f"share '{share}'"
    os.unlink(f"{folder}/object")
    run(folder, *backend, words)
    assert os.stat(f"{folder}/object").st_size == 32 << 20 and os.stat(f"{folder}/object").st_blocks == 0
    os.truncate(f"{folder}/object", 1 << 20)
    assert "has not the 33554432 bytes" in run(folder, *backend, words, code=1)
    os.mkdir(f"{folder}/memory")
    kernel(f"{folder}/kernel", STORE + SPIN)
    with Running(folder, "-mem-path", f"{folder}/memory") as guest:
        assert not os.listdir(f"{folder}/memory")
        with open(f"/proc/{guest.process.pid}/maps", encoding="utf-8") as file:
            assert f"{folder}/memory" in file.read(), "guest RAM is not of a file in the folder"


def preallocated(folder):
    kernel(f"{folder}/kernel", STORE + SPIN)
    with Running(folder, "-mem-path", f"{folder}/ram2", "-mem-prealloc"):
        assert os.stat(f"{folder}/ram2").st_blocks * 512 >= 32 << 20
    with Running(folder, "-mem-path", f"{folder}/ram3"):
        assert os.stat(f"{folder}/ram3").st_blocks * 512 < 16 << 20

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    assert "giving it the size of guest RAM" in run(folder, "-mem-path", f"{folder}/ram4", code=1, preexec=small_files)


def locked(folder):
    kernel(f"{folder}/kernel", STORE + SPIN)
    if os.geteuid():
        def none():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        assert "locking memory" in run(folder, "-overcommit", "mem-lock=on", code=1, preexec=none)
        return
    with Running(folder, "-realtime", "mlock=on") as guest:
        with open(f"/proc/{guest.process.pid}/maps", encoding="utf-8") as file:
            if "libasan" in file.read():
                print("   (AddressSanitizer's mlock() does nothing: not looked at)")
                return
        assert int(guest.status("VmLck")) >= 32 << 10, guest.status("VmLck")
    with Running(folder, "-overcommit", "mem-lock=off") as guest:
        assert int(guest.status("VmLck")) == 0


def names(folder):
    kernel(f"{folder}/kernel", STORE + SPIN)
    with Running(folder, "-name", "r1,process=router-1,debug-threads=on") as guest:
        assert guest.status("Name") == "router-1"


def messages(folder):
    kernel(f"{folder}/kernel", EXIT)
    text = run(folder, "-msg", "timestamp=on,guest-name=on", "-name", "r1", "-global", "VGA.vgamem_mb=8")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z r1 netlab-emu: note: ", text), text
    text = run(folder, "-msg", "timestamp=off", "-global", "VGA.vgamem_mb=8")
    assert text.startswith("netlab-emu: note: "), text


def translator(folder):
    # a loop of three instructions, 100 times
    loop = b"\xb9\x64\0\0\0" + b"\x40\x49\x75\xfc"
    kernel(f"{folder}/kernel", loop + EXIT)
    lengths = {}
    for single in (False, True):
        for accel in ("interp", "jit"):
            run(folder, "-accel", f"{accel},one-insn-per-tb={'on' if single else 'off'}", "-trace", "block", "-D", f"{folder}/log")
            with open(f"{folder}/log", encoding="ascii") as file:
                lengths[single, accel] = [int(n) for n in re.findall(r"made \S+ \(\d+\): (\d+) instructions", file.read())]
    for (single, accel), found in lengths.items():
        assert found and (max(found) == 1) == single, f"{accel}, single {single}: blocks of {found}"
    run(folder, "-singlestep", "-trace", "block", "-D", f"{folder}/log")
    with open(f"{folder}/log", encoding="ascii") as file:
        assert "made" in file.read()
    # the mapping is as large as was asked for
    kernel(f"{folder}/kernel", STORE + SPIN)
    for option in (("-tb-size", "8"), ("-accel", "jit,tb-size=8")):
        with Running(folder, *option) as guest:
            with open(f"/proc/{guest.process.pid}/maps", encoding="utf-8") as file:
                sizes = [int(b, 16) - int(a, 16) for a, b in re.findall(r"^(\w+)-(\w+) r-xs .*netlab-emu code", file.read(), re.M)]
            assert sizes and set(sizes) == {8 << 20}, sizes


def written(folder):
    kernel(f"{folder}/kernel", STORE + EXIT)
    text = run(folder, "-writeconfig", "machine.cfg")
    with open(f"{folder}/machine.cfg", encoding="utf-8") as file:
        text = file.read()
    assert "# beside this file: -display none" in text, text
    done = subprocess.run([EMU, "-readconfig", "machine.cfg", "-display", "none", "-serial", "none", "-debugcon", "file:out2"], cwd=folder,
                          timeout=SECONDS, check=False)
    assert done.returncode == DONE, done
    with open(f"{folder}/out2", "rb") as file:
        assert file.read() == b"K"


def confined(folder):
    kernel(f"{folder}/kernel", STORE + SPIN)
    os.mkdir(f"{folder}/root")
    if os.geteuid():
        assert "only root can" in run(folder, "-chroot", "root", code=1)
        return
    os.chmod(folder, 0o755)
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # which needs /proc
    with Running(folder, "-chroot", "root", "-runas", "65534:65534", "-pidfile", "pid", env=env) as guest:
        assert os.readlink(f"/proc/{guest.process.pid}/root") == f"{folder}/root"
        assert os.readlink(f"/proc/{guest.process.pid}/cwd") == f"{folder}/root"
        assert guest.status("Uid") == "65534" and guest.status("Groups") == "65534"
    os.unlink(f"{folder}/pid")  # which that user may not remove
    with Running(folder, "-chroot", "root", "-pidfile", "pid", env=env) as guest:
        assert os.path.exists(f"{folder}/pid") and guest.status("Uid") == "0"
    assert not os.path.exists(f"{folder}/pid"), "the pidfile was left behind"
    assert "-chroot nowhere: No such file" in run(folder, "-chroot", "nowhere", code=1)
    for ids in ("4294967295:4294967295", "0:4294967295", "4294967296:4294967296", "-1:-1"):  # "as I am", or cut down to root
        assert "ids go from 0" in run(folder, "-runas", ids, code=1)


def looked_at(folder):
    """-check and -dump-vmstate only look: nothing goes to the background, and the exit code says what was found."""
    kernel(f"{folder}/kernel", SPIN)
    run(folder, "-daemonize", "-check", code=0)
    assert "netlab-emu: " in run(folder, "-daemonize", "-check", "-hda", "nowhere", code=1)
    run(folder, "-daemonize", "-dump-vmstate", "state.json", code=0)
    assert os.path.getsize(f"{folder}/state.json")


def closed_files(folder):
    """Started without standard files: none of the program's own takes their place, and -daemonize does not close them."""
    kernel(f"{folder}/kernel", STORE + SPIN)
    with open(f"{folder}/out", "wb"):
        pass
    words_ = words(folder, "-daemonize", "-pidfile", "pid", "-netdev", "user,id=unused", "-qmp", "unix:qmp,server=on,wait=off")
    done = subprocess.run(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *words_], cwd=folder, timeout=SECONDS, check=False)
    assert done.returncode == 0, done
    with open(f"{folder}/pid", encoding="ascii") as file:
        pid = int(file.read())  # and no message
    try:
        wait(lambda: os.path.getsize(f"{folder}/out"))
        assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    finally:
        os.kill(pid, signal.SIGTERM)
    wait(lambda: not os.path.exists(f"{folder}/pid"))


def lost_output(folder):
    """What a full disk did not take is counted, and the machine runs on."""
    kernel(f"{folder}/kernel", b"\x66\xba\xf8\x02\xb0\x4b\xee" + STORE + SPIN)  # 'K' to COM2
    with Running(folder, "-serial", "file:/dev/full", "-monitor", "unix:monitor,server=on,wait=off") as guest:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(f"{folder}/monitor")
            monitor.settimeout(SECONDS)
            text, asked = b"", 0
            while b"serial1: filename=file:/dev/full, 1 bytes of output lost" not in text:
                if text.count(b"(netlab) ") > asked:  # the guest's clock decides when the byte is out
                    asked = text.count(b"(netlab) ")
                    monitor.sendall(b"info chardev\n")
                text += monitor.recv(4096)
        assert guest.process.poll() is None


def state_layout(folder):
    kernel(f"{folder}/kernel", SPIN)
    run(folder, "-dump-vmstate", "state.json", code=0)
    with open(f"{folder}/state.json", encoding="ascii") as file:
        layout = json.load(file)
    assert layout["vmschkmachine"] == {"Name": "pc"} and {"cpu", "PIIX4_PM"} <= set(layout), list(layout)
    for name, device in layout.items():
        if name == "vmschkmachine":
            continue
        fields = device["Description"]["Fields"]
        assert device["Name"] == name and device["version_id"] >= device["minimum_version_id"] >= 1
        assert all(field["size"] in (1, 2, 4, 8) and field["num"] >= 1 and field["field"] for field in fields), name
        assert all(1 <= field["version_id"] <= device["version_id"] for field in fields), name
    assert layout["cpu"]["Description"]["Fields"] and layout["PIIX4_PM"]["Description"]["Fields"]
    done = subprocess.run([EMU, "-kernel", "kernel", "-nic", "user", "-serial", "none", "-display", "none", "-dump-vmstate", "nic.json"],
                          cwd=folder, timeout=SECONDS, check=False)
    with open(f"{folder}/nic.json", encoding="ascii") as file:
        assert done.returncode == 0 and "e1000" in set(json.load(file)) - set(layout)
    assert "-dump-vmstate /nowhere/x" in run(folder, "-dump-vmstate", "/nowhere/x", code=1)


def main():
    failed = 0
    for test in (memory_files, preallocated, locked, names, messages, translator, written, confined, looked_at, closed_files, lost_output, state_layout):
        with tempfile.TemporaryDirectory(prefix="netlab-process-") as folder:
            try:
                test(folder)
                print(f"ok {test.__name__}")
            except (AssertionError, subprocess.SubprocessError) as problem:
                failed += 1
                print(f"FAILED {test.__name__}: {problem}")
    sys.exit(failed != 0)


main()
