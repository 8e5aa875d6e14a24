"""Who may do what: API keys, the scopes they carry, and the record of what was done with them."""
