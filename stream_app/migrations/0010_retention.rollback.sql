DROP TABLE retention_drops;
