"""The live tail: events as Kafka takes them, filtered, without a gap."""
