"""Tests without servers and without a network."""
