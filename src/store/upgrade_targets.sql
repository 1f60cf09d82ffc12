-- What a step works on is found by a key of its own: a long text fits into no index of PostgreSQL. Of a long one it is a hash, which the
-- program makes.
ALTER TABLE step ADD COLUMN target_key TEXT;
UPDATE step SET target_key = target WHERE length(target) <= 250;
DROP INDEX step_target;
CREATE INDEX step_target ON step (target_key, first_intent_at) WHERE target_key IS NOT NULL;

-- What was undone, or was tried to be, does not return by itself any more, and is not looked at each time.
UPDATE step SET returns_at = NULL
    WHERE returns_at IS NOT NULL AND EXISTS (SELECT 1 FROM step AS undo WHERE undo.run = step.run AND undo.id = step.id || '.rollback');
