-- What is not to be stopped again without a person's word: a subscription, a plan, a tenant. Nothing deletes a row.
CREATE TABLE hold (
    number         INTEGER PRIMARY KEY,
    -- The identifier, as whoever marked it wrote it.
    target         TEXT NOT NULL,
    cause          TEXT NOT NULL CHECK (cause IN ('reactivated', 'marked')),
    who            TEXT NOT NULL,
    reason         TEXT NOT NULL,
    since          INTEGER NOT NULL,
    until          INTEGER NOT NULL,
    -- The step of ours that somebody undid; it leads to one hold, also when that is over.
    run            TEXT,
    step           TEXT,
    released_at    INTEGER,
    released_by    TEXT,
    release_reason TEXT,
    UNIQUE (run, step)
) STRICT;
CREATE INDEX hold_until ON hold (until);
