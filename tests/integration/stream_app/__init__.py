"""The stream application as a real process on real servers."""
