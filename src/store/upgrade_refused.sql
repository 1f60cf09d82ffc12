-- When an attempt was refused for good although an earlier one, whose answer was lost, may have had its effect.
ALTER TABLE step ADD COLUMN refused_at INTEGER;
