DROP TABLE log_foreign_ids;
