"""The query API on real servers."""
