"""A reward that asks a language model over HTTP."""
