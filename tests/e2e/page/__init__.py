"""The page in a real Chromium, on real servers: everything is done by clicking and typing."""
