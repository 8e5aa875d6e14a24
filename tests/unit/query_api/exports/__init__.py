"""Tests of the query API's exports."""
