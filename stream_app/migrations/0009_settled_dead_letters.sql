-- depends: 0007_producers
-- What an operator did with a dead letter: sent it again, or put it aside. The letter itself stays, byte for byte.

ALTER TABLE dead_letters ADD COLUMN settled_at timestamptz;
ALTER TABLE dead_letters ADD COLUMN settled_as text CHECK (settled_as IN ('redriven', 'discarded'));
-- Where it was sent again; NULL for what was put aside.
ALTER TABLE dead_letters ADD COLUMN redriven_partition integer;
ALTER TABLE dead_letters ADD COLUMN redriven_offset bigint;
CREATE INDEX dead_letters_open ON dead_letters (topic, partition, "offset") WHERE settled_at IS NULL;
