"""Sample data and load for ThreatLog, from outside: it speaks HTTP and Kafka only and imports none of the services."""
