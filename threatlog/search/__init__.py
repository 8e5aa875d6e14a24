"""Finds events from the terminal, over HTTP of the query API."""
