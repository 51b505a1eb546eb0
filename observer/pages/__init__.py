"""Pages for people: completions as pictures, with marked text. No trainer, no rows."""
