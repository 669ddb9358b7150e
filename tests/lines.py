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
