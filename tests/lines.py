# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Lines of text over a connection, both ways.

A text file for both ways, makefile("rw"), drops what it has read ahead whenever it is written to: an event that came in one
piece with an answer would be lost.
"""


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
