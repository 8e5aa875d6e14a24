ALTER TABLE dead_letters DROP COLUMN redriven_offset, DROP COLUMN redriven_partition, DROP COLUMN settled_as, DROP COLUMN settled_at;
