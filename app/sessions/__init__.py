"""The session service: everything that the interfaces do with sessions."""
