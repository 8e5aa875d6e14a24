"""Servers that demand TLS, a client's certificate and a password; certificates good and bad."""
