"""Tests of the gateway process on a real Kafka."""
