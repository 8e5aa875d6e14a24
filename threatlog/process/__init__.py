"""What every ThreatLog process has: settings, logs, problem answers, metrics."""
