-- Who did what: an entry for each act of a person, and for each set of playbooks and settings that came into use. Each is bound to the
-- one before it by a hash. Nothing updates or deletes an entry.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    what    TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- A JSON document, exactly as it was hashed.
    detail  TEXT NOT NULL,
    hash    TEXT NOT NULL
) STRICT;

-- The kill switch, for every node: while there is a row, no intent is recorded but of what only tells people.
CREATE TABLE stopped (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    who    TEXT NOT NULL,
    since  INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;

-- Approvals: what people are asked, the steps that wait for it, what they said, and the messages about it.

CREATE TABLE approval (
    id         TEXT PRIMARY KEY,
    run        TEXT NOT NULL REFERENCES run,
    -- The path of the step that asks.
    asker      TEXT NOT NULL,
    -- A changed plan is asked about again.
    round      INTEGER NOT NULL,
    hash       TEXT NOT NULL,
    question   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected', 'expired', 'void')),
    outcome    TEXT NOT NULL,
    opened_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER,
    UNIQUE (run, asker, round)
) STRICT;
CREATE INDEX approval_open ON approval (opened_at) WHERE state = 'open';

-- The steps that are asked about, each with the hash of what was seen of it. Without an approved row of the same hash none of them begins.
CREATE TABLE approval_step (
    approval TEXT NOT NULL REFERENCES approval,
    step     TEXT NOT NULL,
    hash     TEXT NOT NULL,
    PRIMARY KEY (approval, step)
) STRICT;

CREATE TABLE vote (
    approval TEXT NOT NULL REFERENCES approval,
    person   TEXT NOT NULL,
    choice   TEXT NOT NULL CHECK (choice IN ('approve', 'reject')),
    reason   TEXT NOT NULL,
    at       INTEGER NOT NULL,
    hash     TEXT NOT NULL,
    via      TEXT NOT NULL,
    PRIMARY KEY (approval, person)
) STRICT;

-- Messages about approvals, one for each channel; written with what they tell of, and kept until they are delivered.
CREATE TABLE approval_notice (
    id       TEXT PRIMARY KEY,
    approval TEXT NOT NULL REFERENCES approval,
    kind     TEXT NOT NULL CHECK (kind IN ('opened', 'escalated', 'decided')),
    channel  TEXT NOT NULL,
    due_at   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error    TEXT NOT NULL,
    -- When it was delivered or given up.
    ended_at INTEGER
) STRICT;
CREATE INDEX approval_notice_due ON approval_notice (due_at) WHERE ended_at IS NULL;

-- Who began a run by hand.
CREATE TABLE requester (
    run    TEXT NOT NULL REFERENCES run,
    person TEXT NOT NULL,
    PRIMARY KEY (run, person)
) STRICT;

-- Errors of playbooks on alerts, each once for a text of the playbook, and how far people were told of it.
CREATE TABLE playbook_error (
    playbook        TEXT NOT NULL,
    playbook_hash   TEXT NOT NULL,
    -- The error without its values, so that one that differs by alert is one.
    error           TEXT NOT NULL,
    -- The error and the alert when it came up first.
    detail          TEXT NOT NULL,
    alert           INTEGER NOT NULL REFERENCES alert,
    first_at        INTEGER NOT NULL,
    -- When people are to be told; nothing when they were, or when it was given up.
    due_at          INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- The channels that were told, a JSON list.
    told            TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (playbook, playbook_hash, error)
) STRICT, WITHOUT ROWID;
CREATE INDEX playbook_error_due ON playbook_error (due_at) WHERE due_at IS NOT NULL;

-- When a person who settled a step in doubt let the run go on: its time limit counts from there.
ALTER TABLE run ADD COLUMN resumed_at INTEGER;
