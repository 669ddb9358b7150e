#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""
Runs a CPU test suite (bare/suite.c) the way public ones are run, in netlab-emu and, where it is installed, in QEMU:
what both say on the serial port and their exit codes must be the same.

  test_suite.py --emulator netlab-emu --image bare-suite
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

TIME_LIMIT = 60


def run(command, image, folder):
    serial = os.path.join(folder, "serial")
    done = subprocess.run([*command, "-m", "64", "-kernel", image, "-append", "first second", "-initrd",
                           f"{folder}/one words of one,{folder}/two", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", "-device",
                           "pc-testdev", "-serial", f"file:{serial}", "-display", "none", "-no-reboot", "-nodefaults"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIME_LIMIT)
    try:
        with open(serial, errors="replace") as file:
            text = file.read()
    except OSError:
        text = ""
    return text, done.returncode, done.stdout.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", required=True)
    parser.add_argument("--image", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "two"):
            with open(os.path.join(folder, name), "w") as file:
                file.write(f"this is {name}\n")
        results = {}
        for accel in ("interp", "jit"):
            text, code, noise = run([options.emulator, "-accel", accel], options.image, folder)
            passed = text.count("PASS: ")
            if "SUITE PASSED" not in text or "FAIL: " in text or code != passed << 1 | 1:
                sys.exit(f"netlab-emu -accel {accel} ended with {code}, {passed} passed:\n{text}{noise}")
            for wanted in ("words: first second\n", "module: words of one\n", "content: this is one\n", "content: this is two\n"):
                if wanted not in text:
                    sys.exit(f"netlab-emu -accel {accel} does not say {wanted!r}:\n{text}")
            results[accel] = text, code
        if results["interp"] != results["jit"]:
            sys.exit("interpreter and translator say different things:\n" + results["interp"][0] + results["jit"][0])
        if not shutil.which("qemu-system-i386"):
            print(f"{passed} checks passed; not compared with QEMU, which is not here")
            return
        text, code, noise = run(["qemu-system-i386"], options.image, folder)
        if (text, code) != results["jit"]:
            sys.exit(f"QEMU ended with {code} and says otherwise:\n{text}{noise}\nnetlab-emu:\n{results['jit'][0]}")
        print(f"{passed} checks passed, here and in QEMU")


if __name__ == "__main__":
    main()
