# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Lines of text over a connection, both ways.

A text file for both ways, makefile("rw"), drops what it has read ahead whenever it is written to: an event that came in one
piece with an answer would be lost.
"""


import json
import socket


class Lines:
    def __init__(self, connection):
        self.reader = connection.makefile("r", encoding="utf-8")
        self.writer = connection.makefile("w", encoding="utf-8")
        self.readline, self.write, self.flush = self.reader.readline, self.writer.write, self.writer.flush

    def __iter__(self):
        return iter(self.reader)

    def close(self):
        self.reader.close()
        self.writer.close()


def listens(path):
    """Whether a UNIX socket of that name takes connections: its file is there a moment earlier. Without connecting, for some
    servers act on each connection."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        for line in table:
            words = line.split(maxsplit=7)
            if len(words) == 8 and words[7].rstrip("\n") == str(path) and int(words[3], 16) & 0x10000:  # __SO_ACCEPTCON
                return True
    return False


def machine_status(path, seconds):
    """What query-status says of the machine whose QMP socket is at `path`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        lines = Lines(connection)
        lines.readline()
        for command in ("qmp_capabilities", "query-status"):
            lines.write(json.dumps({"execute": command}) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
            while "event" in answer:
                answer = json.loads(lines.readline())
        return answer["return"]["status"]
