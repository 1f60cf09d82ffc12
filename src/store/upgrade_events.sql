-- Events that the broker returned wait aside, so that they keep no others waiting; and what left long ago is found, to be forgotten.
DROP INDEX outbox_events;
CREATE INDEX outbox_events ON outbox (number) WHERE ended_at IS NULL AND channel IS NULL AND attempts = 0;
CREATE INDEX outbox_returned ON outbox (due_at) WHERE ended_at IS NULL AND channel IS NULL AND attempts > 0;
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE ended_at IS NOT NULL;

-- The last message of a kind to a channel is looked for in the transaction of what it tells of.
DROP INDEX outbox_about;
CREATE INDEX outbox_about ON outbox (about, kind, channel, due_at);
