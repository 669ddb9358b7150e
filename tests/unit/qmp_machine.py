# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""A machine of tests, ours or QEMU's, whose QMP is on its standard input and output."""
import json
import subprocess

LIMIT = 60


def named(arguments):
    """Arguments as Python has them, with QMP's hyphens."""
    return {name.replace("_", "-"): value for name, value in arguments.items()}


class Machine:
    def __init__(self, program, folder, *words, **how):
        self.process = subprocess.Popen([program, "-nodefaults", "-display", "none", "-m", "16", "-qmp", "stdio", *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, **how)
        self.events = []
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        assert "QMP" in json.loads(line)
        self.good("qmp_capabilities")

    def ask(self, command, arguments=None):
        request = {"execute": command, "arguments": arguments or {}}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while True:
            line = self.process.stdout.readline()
            assert line, f"the machine ended at {request}: {self.process.stderr.read()}"
            answer = json.loads(line)
            if "event" not in answer:
                return answer
            self.events.append((answer["event"], answer.get("data")))

    def good(self, command, **arguments):
        answer = self.ask(command, named(arguments))
        assert "return" in answer, f"{command} {arguments}: {answer}"
        return answer["return"]

    def bad(self, says, command, **arguments):
        answer = self.ask(command, named(arguments))
        assert says in answer.get("error", {}).get("desc", ""), f"{command} {arguments}: {answer}, not '{says}'"

    def end(self):
        self.good("quit")
        _, errors = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0, f"{self.process.returncode}: {errors}"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
