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
