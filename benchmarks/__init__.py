"""Measurements of each figure that ThreatLog claims; `make bench` runs them all and writes docs/benchmarks.md."""
