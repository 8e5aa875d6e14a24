"""loadgen as its users start it, against a small server that answers as documented."""
