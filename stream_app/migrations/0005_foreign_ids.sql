-- depends: 0003_silent_processes
-- Hours that hold an event whose id does not begin with the event's own time, as a sender's own ids may: only they are
-- searched for an id that is not found at its time. An id that is nowhere then costs two looks into an index.
CREATE TABLE log_foreign_ids (
    bucket timestamptz PRIMARY KEY
);

-- Of what is stored already it is not known.
INSERT INTO log_foreign_ids SELECT DISTINCT bucket FROM log_count_hour;
