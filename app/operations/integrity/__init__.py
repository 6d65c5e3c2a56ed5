"""Integrity checks: verify sessions against their history and rebuild them from it."""
