DROP TABLE partition_starts;
