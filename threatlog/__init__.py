"""The operator's command, the embedded servers, and what every process shares."""
