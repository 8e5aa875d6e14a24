"""One suite for each interface, run on the fake and on the real implementation; and formats that must never change."""
