-- Several programs on one journal: which of them drives a run, and which of them does what only one may do.

-- The node that drives the run now. Nobody drives one that waits or has ended.
ALTER TABLE run ADD COLUMN node TEXT;
CREATE INDEX run_node ON run (node) WHERE node IS NOT NULL;

-- A node is alive until its time is over, by the clock of the database; it renews that as long as it works.
CREATE TABLE node (
    id         TEXT PRIMARY KEY,
    -- For people: the process and its machine.
    name       TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    until      INTEGER NOT NULL
) STRICT;

CREATE TABLE duty (
    name TEXT PRIMARY KEY,
    node TEXT NOT NULL
) STRICT;
