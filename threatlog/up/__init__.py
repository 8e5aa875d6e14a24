"""Runs all of ThreatLog on one machine: real servers, the three services, and a watch over them."""

from threatlog.up.run import UpOptions, run_up

__all__ = ["UpOptions", "run_up"]
