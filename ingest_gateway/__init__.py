"""HTTP to Kafka: accepts events, validates them, answers when Kafka has acknowledged them."""
