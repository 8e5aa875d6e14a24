"""End-to-end tests: real processes on real servers."""
