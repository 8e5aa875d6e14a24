"""In-memory stand-ins for unit tests; tests/contract holds each to the real one."""
