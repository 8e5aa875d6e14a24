"""Tests on real servers and real connections."""
