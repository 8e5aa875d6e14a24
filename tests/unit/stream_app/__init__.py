"""Tests of the stream application's modules, one by one."""
