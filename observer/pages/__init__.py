"""Pictures of groups and their completions, for people to read. No trainer, no rows of data."""
