"""Unit tests of loadgen: no network, and time only as the tests say."""
