"""ThreatLog's tests, on real servers wherever a server is involved."""
