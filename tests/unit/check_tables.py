#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
-acpitable, -smbios and -boot splash=, as guests find them: a kernel without firmware that sends what it sees at 0xe0000 to the
debug port, and a boot sector behind SeaBIOS (package seabios), whose memory is read through QMP. The tables are followed from their
entry points, every checksum added up.

  check_tables.py netlab-emu
"""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines

EMU = os.path.abspath(sys.argv[1])
SECONDS = 120
DONE = 33
DUMP = b"\xbe\0\0\x0e\0\xb9\0\0\x02\0\x66\xba\xe9\0\xf3\x6e" + b"\x66\xba\xf4\x00\xb0\x10\xee"
BOOT = (b"\xe4\x92\x0c\x02\xe6\x92" + b"\xb0\x42\xe6\xe9" + b"\xfb\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa"  # A20 on, 'B' to the debug port, wait


def kernel(path):
    load, flags = 0x100000, 1 << 16
    with open(path, "wb") as file:
        file.write(struct.pack("<8I", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, load, load, 0, 0, load + 32) + DUMP)


class Image:
    """What a kernel without firmware sees."""

    def __init__(self, folder, *words):
        kernel(f"{folder}/kernel")
        done = subprocess.run([EMU, "-m", "16M", "-kernel", f"{folder}/kernel", "-display", "none", "-nic", "none", "-serial", "none",
                               "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-debugcon", f"file:{folder}/out", *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
                              cwd=folder, check=False)
        assert done.returncode == DONE, f"{words}: {done.returncode}: {done.stdout}"
        with open(f"{folder}/out", "rb") as file:
            self.data = file.read()
        assert len(self.data) == 0x20000

    def read(self, address, length):
        return self.data[address - 0xE0000:][:length]

    def close(self):
        pass


class Firmware:
    """What is in memory once SeaBIOS has started a boot sector."""

    def __init__(self, folder, *words):
        with open(f"{folder}/disk", "wb") as file:
            file.write(BOOT.ljust(1 << 20, b"\0"))
        for name in ("out", "qmp"):
            if os.path.exists(f"{folder}/{name}"):
                os.unlink(f"{folder}/{name}")
        self.process = subprocess.Popen([EMU, "-m", "16M", "-hda", "disk", "-display", "none", "-nic", "none", "-serial", "none", "-debugcon",
                                         "file:out", "-qmp", "unix:qmp,server=on,wait=off", *words], stdin=subprocess.DEVNULL,
                                        cwd=folder)
        self.socket = socket.socket(socket.AF_UNIX)
        self.stream = None
        try:
            self.begin(folder)
        except BaseException:
            self.process.kill()
            self.process.wait()
            self.socket.close()
            raise

    def begin(self, folder):
        end = time.monotonic() + SECONDS
        while not (os.path.exists(f"{folder}/out") and b"B" in open(f"{folder}/out", "rb").read()):
            assert self.process.poll() is None and time.monotonic() < end, "the boot sector was not started"
            time.sleep(0.02)
        self.socket.connect(f"{folder}/qmp")
        self.stream = Lines(self.socket)
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]

    def read(self, address, length):
        most = 1024
        return b"".join(self.read_little(at, min(most, address + length - at)) for at in range(address, address + length, most))

    def read_little(self, address, length):
        text = self.ask("human-monitor-command", **{"command-line": f"xp /{length}xb {address:#x}"})
        return bytes(int(byte, 16) for line in text.splitlines() for byte in re.findall(r"0x([0-9a-f]{2})\b", line.split(":", 1)[1]))

    def close(self):
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0
        self.stream.close()
        self.socket.close()


def find(memory, mark, size, first=0xE0000, last=0x100000):
    """The address of an entry point whose bytes add up to nothing."""
    data = b"".join(memory.read(at, 4096) for at in range(first, last, 4096))
    for at in range(0, len(data), 16):
        if data[at:].startswith(mark) and sum(data[at:at + size]) % 256 == 0:
            return first + at
    raise AssertionError(f"no {mark} in the ROM area")


def acpi(memory):
    """{signature: [table]}"""
    rsdp = memory.read(find(memory, b"RSD PTR ", 20), 20)
    tables = {}

    def table(address):
        length = struct.unpack("<I", memory.read(address + 4, 4))[0]
        data = memory.read(address, length)
        assert len(data) == length and sum(data) % 256 == 0, f"the sum of {data[:4]} is wrong"
        return data
    rsdt = table(struct.unpack_from("<I", rsdp, 16)[0])
    for (address,) in struct.iter_unpack("<I", rsdt[36:]):
        tables.setdefault(table(address)[:4].decode(), []).append(table(address))
    return rsdt, tables


def smbios(memory):
    """[(type, body, strings)]"""
    anchor = memory.read(find(memory, b"_SM_", 31), 31)
    length, address, count = struct.unpack_from("<HIH", anchor, 22)
    data, found = memory.read(address, length), []
    assert sum(anchor[16:]) % 256 == 0
    while data:
        body, rest = data[:data[1]], data[data[1]:]
        strings, data = rest.split(b"\0\0", 1)
        data = data.lstrip(b"\0") if not strings else data
        found.append((body[0], body, [text.decode() for text in strings.split(b"\0") if text]))
    assert len(found) == count, (len(found), count)
    return found


def told(structures, kind):
    matching = [(body, strings) for number, body, strings in structures if number == kind]
    assert len(matching) == 1, f"{len(matching)} structures of type {kind}"
    body, strings = matching[0]
    return lambda offset: strings[body[offset] - 1] if body[offset] else None, body


TABLES = ("-acpitable", "sig=TEST,rev=7,oem_id=ABCDEF,oem_table_id=TABLE001,oem_rev=0x11,asl_compiler_id=COMP,asl_compiler_rev=2,"
          "data=a:b", "-acpitable", "file=whole,oem_id=XY", "-acpitable", "sig=FACP,data=b")
FIELDS = ("-smbios", "type=0,vendor=V0,version=1.2,,3,date=02/03/2020,release=4.5,uefi=on",
          "-smbios", "type=1,manufacturer=M1,product=P1,version=V1,serial=S1,sku=K1,family=F1,uuid=00112233-4455-6677-8899-aabbccddeeff",
          "-smbios", "type=2,manufacturer=M2,product=P2,version=V2,serial=S2,asset=A2,location=L2",
          "-smbios", "type=3,manufacturer=M3,version=V3,serial=S3,asset=A3,sku=K3",
          "-smbios", "type=4,sock_pfx=SOCK,manufacturer=M4,version=V4,serial=S4,asset=A4,part=P4",
          "-smbios", "type=17,loc_pfx=SLOT,bank=B17,manufacturer=M17,serial=S17,asset=A17,part=P17,speed=1333",
          "-smbios", "file=oem")


def files(folder):
    for name, data in (("a", b"hello "), ("b", b"world"), ("whole", b"WHOL" + bytes(32) + b"x" * 5),
                       ("oem", b"\x0b\x05\x34\x12\x01an OEM string\0\0")):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(data)


def check_acpi(memory):
    _, tables = acpi(memory)
    assert {"FACP", "APIC", "TEST", "WHOL"} <= set(tables), list(tables)
    test, whole = tables["TEST"][0], tables["WHOL"][0]
    assert test[36:] == b"hello world" and test[8] == 7 and test[10:24] == b"ABCDEFTABLE001", test
    assert test[24:36] == struct.pack("<I4sI", 0x11, b"COMP", 2), test
    assert whole[36:] == b"xxxxx" and whole[10:16] == b"XY\0\0\0\0" and whole[16:24] == bytes(8), whole
    assert len(tables["FACP"]) == 2 and len(tables["FACP"][1]) == 41  # and it is not taken for the FADT


def check_smbios(memory):
    structures = smbios(memory)
    text, body = told(structures, 0)
    assert [text(4), text(5), text(8)] == ["V0", "1.2,3", "02/03/2020"] and body[0x14:0x16] == b"\x04\x05" and body[0x13] & 8
    text, body = told(structures, 1)
    assert [text(n) for n in (4, 5, 6, 7, 0x19, 0x1A)] == ["M1", "P1", "V1", "S1", "K1", "F1"]
    assert body[8:24].hex() == "3322110055447766" + "8899aabbccddeeff"
    text, _ = told(structures, 2)
    assert [text(n) for n in (4, 5, 6, 7, 8, 10)] == ["M2", "P2", "V2", "S2", "A2", "L2"]
    text, _ = told(structures, 3)
    assert [text(n) for n in (4, 6, 7, 8, 0x15)] == ["M3", "V3", "S3", "A3", "K3"]
    text, _ = told(structures, 4)
    assert [text(n) for n in (4, 7, 0x10, 0x20, 0x21, 0x22)] == ["SOCK 0", "M4", "V4", "S4", "A4", "P4"]
    text, body = told(structures, 17)
    assert [text(n) for n in (0x10, 0x11, 0x17, 0x18, 0x19, 0x1A)] == ["SLOT 0", "B17", "M17", "S17", "A17", "P17"]
    assert struct.unpack_from("<H", body, 0x15)[0] == 1333 and struct.unpack_from("<H", body, 0xC)[0] == 16
    text, body = told(structures, 11)
    assert text(4) is not None and body[2:4] == b"\x34\x12"


def without_firmware(folder):
    files(folder)
    memory = Image(folder, *TABLES, *FIELDS)
    check_acpi(memory)
    check_smbios(memory)


def with_firmware(folder):
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        return "skipped: the package seabios is not here"
    files(folder)
    memory = Firmware(folder, *TABLES, *FIELDS)
    try:
        check_acpi(memory)
        check_smbios(memory)
    finally:
        memory.close()
    return None


def usual(folder):
    """Without a word: what the machine is called, and -uuid."""
    memory = Image(folder, "-uuid", "00112233-4455-6677-8899-aabbccddeeff")
    structures = smbios(memory)
    text, body = told(structures, 1)
    assert text(4) == "netlab" and body[8:24].hex() == "33221100554477668899aabbccddeeff"
    assert text(7) is None and not [1 for number, _, _ in structures if number == 2]
    rsdt, tables = acpi(memory)
    assert rsdt[10:16] == b"NETLAB" and set(tables) == {"FACP", "APIC"}, list(tables)


def licence(folder):
    with open(f"{folder}/slic", "wb") as file:
        file.write(b"x" * 100)
    rsdt, tables = acpi(Image(folder, "-acpitable", "sig=SLIC,oem_id=VENDOR,oem_table_id=LICENCE1,data=slic"))
    for table in (rsdt, tables["FACP"][0], tables["SLIC"][0]):
        assert table[10:24] == b"VENDORLICENCE1", table[:36]


def refused(folder):
    files(folder)
    kernel(f"{folder}/kernel")
    with open(f"{folder}/large", "wb") as file:
        file.write(bytes(70000))
    with open(f"{folder}/cut", "wb") as file:
        file.write(b"\x0b\x05\x34\x12\x01an OEM string\0")
    with open(f"{folder}/system", "wb") as file:
        file.write(b"\x01\x1b\0\x01" + bytes(23) + b"\0\0")
    with open(f"{folder}/deep.bmp", "wb") as file:
        file.write(b"BM" + bytes(26) + b"\x20" + bytes(100))
    bios = os.path.exists("/usr/share/seabios/bios-256k.bin")
    with open(f"{folder}/disk", "wb") as file:
        file.write(BOOT.ljust(1 << 20, b"\0"))
    for direct, words, says in (
            (1, ("-acpitable", "data=nowhere"), "-acpitable: Failed to open file"),
            (1, ("-acpitable", "file=a"), "6 bytes; with file= it begins with a header of 36"),
            (1, ("-acpitable", "data=large"), "ACPI tables are 7"),
            (1, ("-smbios", "file=cut"), "-smbios: cut: the structure at byte 0 is not whole"),
            (1, ("-smbios", "file=b"), "is not whole"),
            (1, ("-smbios", "file=/dev/zero"), "/dev/zero: File too large (at most 256 MiB)"),
            (1, ("-acpitable", "file=/dev/zero"), "File too large"),
            (1, ("-fw_cfg", "name=opt/x,file=/dev/zero"), "-fw_cfg name=opt/x: /dev/zero: File too large"),
            (1, ("-smbios", "file=large"), "more than"),
            (1, ("-smbios", "file=system", "-smbios", "type=1,serial=x"), "a structure of type 1, and type=1 is given as well"),
            (0, ("-boot", "splash=nowhere"), "-boot splash: nowhere: No such file"),
            (0, ("-boot", "splash=large"), "neither a JPEG nor a BMP picture"),
            (0, ("-boot", "splash=deep.bmp"), "another number of bits a point")):
        if not direct and not bios:
            continue
        boots = ("-kernel", "kernel") if direct else ("-hda", "disk")
        done = subprocess.run([EMU, "-check", "-m", "16M", "-display", "none", *boots, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS, cwd=folder, check=False)
        assert done.returncode == 1 and says in done.stdout, f"{words}: {done.returncode}, {done.stdout}, not {says}"


def splash(folder):
    """A picture is found by firmware's name for it, and the machine starts."""
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        return "skipped: the package seabios is not here"
    rows = b"\xff\0\0" * 64 * 48
    with open(f"{folder}/picture", "wb") as file:
        file.write(b"BM" + struct.pack("<IIIIiiHHIIiiII", 54 + len(rows), 0, 54, 40, 64, 48, 1, 24, 0, len(rows), 0, 0, 0, 0) + rows)
    Firmware(folder, "-boot", "menu=on,splash=picture,splash-time=100").close()
    return None


def main():
    failed = 0
    for test in (without_firmware, with_firmware, usual, licence, splash, refused):
        with tempfile.TemporaryDirectory(prefix="netlab-tables-") as folder:
            try:
                print(f"ok {test.__name__} {test(folder) or ''}")
            except (AssertionError, subprocess.SubprocessError, OSError, LookupError) as problem:
                failed += 1
                print(f"FAILED {test.__name__}: {problem!r}")
    sys.exit(failed != 0)


main()
