"""Faults on real servers: what each does to a user, and that nothing is lost or doubled by it."""
