"""PostgreSQL and Redis to HTTP: answers that say how complete they are."""
