-- SPDX-License-Identifier: MIT
-- SPDX-FileCopyrightText: The netlab authors
-- The store, version 1. Built into the library; a newer version is a migration in store.c, never a change here.
-- Everything that is up, and the journal of how it came to be. No row here is younger than what it speaks of:
-- an object's row is committed before the object is made, and deleted after the object is gone.

CREATE TABLE lab (
    id               INTEGER PRIMARY KEY,
    name             TEXT    NOT NULL UNIQUE,
    file             TEXT    NOT NULL,            -- absolute path of the topology as it was brought up
    directory        TEXT    NOT NULL,
    source           TEXT    NOT NULL,            -- its text, so that nothing later needs the file
    is_rootless      INTEGER NOT NULL CHECK (is_rootless IN (0, 1)),
    is_own_namespace INTEGER NOT NULL CHECK (is_own_namespace IN (0, 1)),
    boot_id          TEXT    NOT NULL,            -- of the boot in which it was brought up
    netns            INTEGER NOT NULL DEFAULT 0,  -- inode of its network namespace, 0: not made yet
    created_at       INTEGER NOT NULL,            -- seconds since 1970
    changed_at       INTEGER NOT NULL
) STRICT;

CREATE TABLE object (
    id       INTEGER PRIMARY KEY,
    lab_id   INTEGER NOT NULL REFERENCES lab (id) ON DELETE CASCADE,
    kind     TEXT    NOT NULL,                    -- "runtime", "supervisor", "bridge", "address", "tap", "machine"
    key      TEXT    NOT NULL,                    -- unique among its kind: "lan", "h1:eth0"
    payload  TEXT    NOT NULL,                    -- JSON: what was wanted, all that `make` needs
    state    TEXT    NOT NULL CHECK (state IN ('making', 'present', 'removing')),
    identity TEXT    NOT NULL DEFAULT '',         -- what exactly is ours; '' before it is known
    note     TEXT    NOT NULL DEFAULT '',         -- what became of it: "exited with status 0"
    made_by  INTEGER NOT NULL,                    -- the step; objects are unmade in the reverse of this order
    UNIQUE (lab_id, kind, key)
) STRICT;

CREATE TABLE run (
    id          INTEGER PRIMARY KEY,
    lab_id      INTEGER NOT NULL REFERENCES lab (id) ON DELETE CASCADE,
    verb        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    outcome     TEXT                              -- NULL while it runs, or when it died: "done", "rolled back", "failed", "given up"
) STRICT;

CREATE TABLE step (
    id       INTEGER PRIMARY KEY,
    run_id   INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    verb     TEXT    NOT NULL CHECK (verb IN ('make', 'unmake')),
    kind     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    payload  TEXT    NOT NULL,
    state    TEXT    NOT NULL CHECK (state IN ('intent', 'done', 'failed', 'undone')),
    error    TEXT,
    at       INTEGER NOT NULL                     -- milliseconds since 1970 of the last change
) STRICT;

CREATE INDEX step_run ON step (run_id);
