"""A batch of turns on each database driver."""
