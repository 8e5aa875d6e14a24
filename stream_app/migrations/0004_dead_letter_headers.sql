-- depends: 0003_silent_processes
-- A record that cannot be stored as an event keeps its headers too: who sent it, and the trace it belongs to.

-- [[name, value in base64, or null]] in the record's order; NULL without headers, and for what was stored before.
ALTER TABLE dead_letters ADD COLUMN headers json;
