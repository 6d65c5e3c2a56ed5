"""Group commit: many turns in one transaction."""
