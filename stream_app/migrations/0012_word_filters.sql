-- depends: 0011_partition_starts
-- Which words the blocks of stored events hold, in the form of stream_app/contract/word_filters.py: so that only the
-- blocks are read in which a word may be. An hour whose filters are of as many events as are counted in it is served by
-- them; one with events that came before them, or while they were turned off, is read as it was.
CREATE TABLE log_word_filters (
    first_ts timestamptz NOT NULL,
    last_ts  timestamptz NOT NULL,   -- inclusive, in the same hour
    events   bigint      NOT NULL,
    bounds   bytea       NOT NULL,   -- of each block
    slices   bytea       NOT NULL,   -- for each place, the bits of all blocks
    is_final boolean     NOT NULL    -- large enough not to be joined with others
);
-- Some bytes of it are asked for, and they must be where they are without unpacking it.
ALTER TABLE log_word_filters ALTER slices SET STORAGE EXTERNAL, ALTER bounds SET STORAGE EXTERNAL;
CREATE INDEX log_word_filters_last_ts ON log_word_filters (last_ts) INCLUDE (first_ts, events);
CREATE INDEX log_word_filters_to_join ON log_word_filters (last_ts) WHERE NOT is_final;
