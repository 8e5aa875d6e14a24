DROP TABLE process_metrics_folded;
ALTER TABLE process_metrics DROP COLUMN worker;
