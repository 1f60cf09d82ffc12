-- Runs without an alert, for several alerts, with inputs, and that wait for each other; windows of every kind.
-- Tables that others refer to are built anew, so this runs with foreign keys off and is checked afterwards.

CREATE TABLE new_run (
    id              TEXT PRIMARY KEY,
    alert           INTEGER REFERENCES alert,
    -- What began it: `alert:N`, `group:N`, `tick:TIME` or `manual:UUID`.
    occasion        TEXT NOT NULL,
    playbook        TEXT NOT NULL,
    playbook_hash   TEXT NOT NULL REFERENCES playbook_text,
    mode            TEXT NOT NULL,
    inputs          TEXT NOT NULL,
    vars            TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    due_at          INTEGER NOT NULL,
    ended_at        INTEGER,
    -- The group's key, as long as further alerts join the run.
    gathering       TEXT,
    -- At most so many open runs have the same key.
    concurrency     TEXT,
    concurrency_max INTEGER,
    cancel          INTEGER NOT NULL DEFAULT 0,
    -- Whether somebody but its driver has changed it since that last wrote.
    touched         INTEGER NOT NULL DEFAULT 0,
    UNIQUE (playbook, occasion)
) STRICT;
INSERT INTO new_run (id, alert, occasion, playbook, playbook_hash, mode, inputs, vars, state, reason, created_at, due_at, ended_at)
    SELECT id, alert, 'alert:' || alert, playbook, playbook_hash, mode, '{}', vars, state, reason, created_at, due_at, ended_at
    FROM run ORDER BY rowid;
DROP TABLE run;
ALTER TABLE new_run RENAME TO run;
CREATE INDEX run_open ON run (due_at) WHERE state IN ('ready', 'waiting');
CREATE INDEX run_queued ON run (created_at) WHERE state = 'queued';
CREATE INDEX run_alert ON run (alert);
CREATE INDEX run_place ON run (playbook, concurrency, state) WHERE concurrency IS NOT NULL;
CREATE UNIQUE INDEX run_gathering ON run (playbook, mode, gathering) WHERE gathering IS NOT NULL;

-- The further alerts of a group; the first is that of the run.
CREATE TABLE joined_alert (
    run   TEXT NOT NULL REFERENCES run,
    alert INTEGER NOT NULL REFERENCES alert,
    PRIMARY KEY (run, alert)
) STRICT, WITHOUT ROWID;
CREATE INDEX joined_alert_alert ON joined_alert (alert);

CREATE TABLE new_decision (
    alert    INTEGER NOT NULL REFERENCES alert,
    playbook TEXT NOT NULL,
    verdict  TEXT NOT NULL CHECK (verdict IN ('run', 'joined', 'held', 'error')),
    detail   TEXT NOT NULL,
    run      TEXT,
    PRIMARY KEY (alert, playbook)
) STRICT, WITHOUT ROWID;
INSERT INTO new_decision (alert, playbook, verdict, detail, run) SELECT alert, playbook, verdict, detail, run FROM decision;
DROP TABLE decision;
ALTER TABLE new_decision RENAME TO decision;

-- What happened under the keys of windows. By the playbook's name, so that an edit forgets nothing.
CREATE TABLE window_entry (
    number   INTEGER PRIMARY KEY,
    playbook TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('threshold', 'dedup', 'group', 'throttle')),
    key      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    run      TEXT NOT NULL
) STRICT;
CREATE INDEX window_entry_key ON window_entry (playbook, kind, key, at);
CREATE INDEX window_entry_until ON window_entry (until);
INSERT INTO window_entry (playbook, kind, key, at, until, run) SELECT playbook, 'dedup', key, 0, until, run FROM dedup_window;
DROP TABLE dedup_window;

-- The playbooks that a step is a part of, joined by `/`: a playbook's own limits count what is done for it, whichever run does it.
ALTER TABLE step ADD COLUMN within TEXT NOT NULL DEFAULT '';
UPDATE step SET within = (SELECT playbook FROM run WHERE id = step.run);

ALTER TABLE playbook_text ADD COLUMN around TEXT NOT NULL DEFAULT '{}';

-- Up to when the times of a schedule were seen to.
CREATE TABLE schedule (
    playbook TEXT PRIMARY KEY,
    -- As written: when they are edited, nothing was missed.
    times    TEXT NOT NULL,
    last     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
