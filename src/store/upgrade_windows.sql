-- What shadow runs leave in windows does not count for runs that act, nor the other way round; and what fails at the time of a schedule is told.

ALTER TABLE window_entry ADD COLUMN mode TEXT NOT NULL DEFAULT 'enforce';
UPDATE window_entry SET mode = (SELECT mode FROM run WHERE run.id = window_entry.run)
    WHERE EXISTS (SELECT 1 FROM run WHERE run.id = window_entry.run);
DROP INDEX window_entry_key;
CREATE INDEX window_entry_key ON window_entry (playbook, mode, kind, key, at);
DROP INDEX run_place;
CREATE INDEX run_place ON run (playbook, mode, concurrency, state) WHERE concurrency IS NOT NULL;

CREATE TABLE playbook_error_anew (
    playbook        TEXT NOT NULL,
    playbook_hash   TEXT NOT NULL,
    -- The error without its values, so that one that differs by alert is one.
    error           TEXT NOT NULL,
    -- The error, and what was to be answered when it came up first: `alert:N` or `tick:TIME`.
    detail          TEXT NOT NULL,
    occasion        TEXT NOT NULL,
    first_at        INTEGER NOT NULL,
    -- When people are to be told; nothing when they were, or when it was given up.
    due_at          INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- The channels that were told, a JSON list.
    told            TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (playbook, playbook_hash, error)
) STRICT;
INSERT INTO playbook_error_anew
    SELECT playbook, playbook_hash, error, detail, 'alert:' || alert, first_at, due_at, attempts, told FROM playbook_error;
DROP TABLE playbook_error;
ALTER TABLE playbook_error_anew RENAME TO playbook_error;
CREATE INDEX playbook_error_due ON playbook_error (due_at) WHERE due_at IS NOT NULL;
