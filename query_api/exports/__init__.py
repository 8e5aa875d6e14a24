"""Exports: any number of events as one file, made piece by piece and given again from any byte of it."""
