-- The journal. Times are microseconds since 1970 in UTC; documents are JSON text; bytes from outside are kept as they came.

CREATE TABLE alert (
    number             INTEGER PRIMARY KEY,
    key                TEXT NOT NULL UNIQUE,
    id                 TEXT NOT NULL,
    source             TEXT NOT NULL,
    revision           TEXT NOT NULL,
    is_revision        INTEGER NOT NULL,
    kind               TEXT NOT NULL,
    severity           TEXT NOT NULL,
    status             TEXT NOT NULL,
    title              TEXT NOT NULL,
    customer_tenant_id TEXT NOT NULL,
    subscription_id    TEXT NOT NULL,
    detected_at        INTEGER NOT NULL,
    received_at        INTEGER NOT NULL,
    stored_at          INTEGER NOT NULL,
    last_seen_at       INTEGER NOT NULL,
    deliveries         INTEGER NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('received', 'decided')),
    event              BLOB NOT NULL
) STRICT;
CREATE INDEX alert_undecided ON alert (number) WHERE state = 'received';
CREATE INDEX alert_identity ON alert (source, id);

CREATE TABLE playbook_text (
    hash          TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    text          TEXT NOT NULL,
    first_used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE decision (
    alert    INTEGER NOT NULL REFERENCES alert,
    playbook TEXT NOT NULL,
    verdict  TEXT NOT NULL CHECK (verdict IN ('run', 'held', 'error')),
    detail   TEXT NOT NULL,
    run      TEXT,
    PRIMARY KEY (alert, playbook)
) STRICT, WITHOUT ROWID;

CREATE TABLE dedup_window (
    playbook TEXT NOT NULL,
    key      TEXT NOT NULL,
    until    INTEGER NOT NULL,
    run      TEXT NOT NULL,
    PRIMARY KEY (playbook, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id            TEXT PRIMARY KEY,
    alert         INTEGER NOT NULL REFERENCES alert,
    playbook      TEXT NOT NULL,
    playbook_hash TEXT NOT NULL REFERENCES playbook_text,
    mode          TEXT NOT NULL,
    vars          TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    due_at        INTEGER NOT NULL,
    ended_at      INTEGER,
    UNIQUE (playbook, alert)
) STRICT;
CREATE INDEX run_open ON run (due_at) WHERE state IN ('ready', 'waiting');
CREATE INDEX run_alert ON run (alert);

CREATE TABLE step (
    run             TEXT NOT NULL REFERENCES run,
    id              TEXT NOT NULL,
    position        INTEGER NOT NULL,
    action          TEXT NOT NULL,
    class           TEXT NOT NULL,
    state           TEXT NOT NULL,
    plan            TEXT NOT NULL,
    output          TEXT NOT NULL,
    error           TEXT,
    request_id      TEXT NOT NULL,
    precondition    TEXT,
    target          TEXT,
    attempts        INTEGER NOT NULL,
    uncertain       INTEGER NOT NULL,
    first_intent_at INTEGER,
    due_at          INTEGER,
    started_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    PRIMARY KEY (run, id)
) STRICT;
CREATE INDEX step_intent ON step (action, first_intent_at) WHERE first_intent_at IS NOT NULL;

CREATE TABLE attempt (
    run         TEXT NOT NULL REFERENCES run,
    step        TEXT NOT NULL,
    number      INTEGER NOT NULL,
    intent_at   INTEGER NOT NULL,
    outcome     TEXT,
    http_status INTEGER,
    message     TEXT NOT NULL,
    ended_at    INTEGER,
    PRIMARY KEY (run, step, number)
) STRICT;

-- What a step under way, or one that nobody knows the outcome of, keeps others from touching.
CREATE TABLE target_lock (
    target TEXT PRIMARY KEY,
    run    TEXT NOT NULL,
    step   TEXT NOT NULL,
    since  INTEGER NOT NULL
) STRICT;

CREATE TABLE quarantine (
    number     INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    body       BLOB NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('held', 'released', 'dropped')),
    decided_at INTEGER
) STRICT;

-- The embedded bus.
CREATE TABLE queue (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    key          TEXT NOT NULL,
    body         BLOB NOT NULL,
    published_at INTEGER NOT NULL
) STRICT;

-- Small values that outlive the process: cursors of polls, rotated refresh tokens in sealed form.
CREATE TABLE kept (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    at    INTEGER NOT NULL
) STRICT;
