-- What leaves: messages to people, each for one channel, and events for other systems, which have none. Written in the transaction of what
-- it tells of, and kept until it is delivered or given up; an event that the broker has is gone.
CREATE TABLE outbox (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The same for each repeat, so that a repeat can be recognised.
    id       TEXT NOT NULL UNIQUE,
    kind     TEXT NOT NULL,
    -- News of one kind about one thing are told together.
    about    TEXT NOT NULL,
    channel  TEXT,
    -- A JSON document, from which the message is made when it is sent.
    payload  TEXT NOT NULL,
    -- How many occurrences it tells of.
    times    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    due_at   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error    TEXT NOT NULL,
    -- When it was delivered or given up.
    ended_at INTEGER
) STRICT;
CREATE INDEX outbox_due ON outbox (due_at) WHERE ended_at IS NULL AND channel IS NOT NULL;
CREATE INDEX outbox_events ON outbox (number) WHERE ended_at IS NULL AND channel IS NULL;
CREATE INDEX outbox_about ON outbox (about, kind);

INSERT INTO outbox (id, kind, about, channel, payload, times, at, due_at, attempts, error, ended_at)
    SELECT id, 'approval_' || kind, 'approval ' || approval, channel,
           '{"news":"approval","approval":"' || approval || '","turn":"' || kind || '"}', 1, due_at, due_at, attempts, error, ended_at
    FROM approval_notice ORDER BY due_at, id;
DROP TABLE approval_notice;

-- It only remembers which errors people were told of. Those that they were not are told when they come up again.
DELETE FROM playbook_error WHERE due_at IS NOT NULL;
DROP INDEX playbook_error_due;
ALTER TABLE playbook_error DROP COLUMN due_at;
ALTER TABLE playbook_error DROP COLUMN attempts;
ALTER TABLE playbook_error DROP COLUMN told;
