-- How far this journal has come, which is also kept outside of it, so that one that was restored from a backup is noticed.

CREATE TABLE mark (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    -- Which journal this is: a new one after each restore that somebody answered for.
    id           TEXT NOT NULL,
    -- How many intents were recorded.
    intents      INTEGER NOT NULL,
    -- Where a journal ends that is known to be behind the world; nothing changes anything until somebody answers for it.
    behind_since INTEGER
) STRICT;

-- By whom and why its alert was answered once more, a JSON document; nothing for every other run.
ALTER TABLE run ADD COLUMN replay TEXT;
