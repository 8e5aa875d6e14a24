"""Unit tests of the live tail."""
