"""Unit tests of the search on the terminal."""
