"""Kafka to PostgreSQL and Redis: stores every record exactly once."""
