-- What steps did is undone after their run has ended: because somebody says so, or by itself when its time has come.

-- How a run had ended before it was taken up again for that, a JSON document. It goes back to it.
ALTER TABLE run ADD COLUMN ended_as TEXT;

-- When what a step did is undone by itself, and what somebody decided about it, a JSON document. Its driver writes the first, and never
-- the second.
ALTER TABLE step ADD COLUMN returns_at INTEGER;
ALTER TABLE step ADD COLUMN decided TEXT;
CREATE INDEX step_returns ON step (returns_at) WHERE returns_at IS NOT NULL AND decided IS NULL;

-- Whether other runs have changed the same since.
CREATE INDEX step_target ON step (target, first_intent_at) WHERE target IS NOT NULL;
