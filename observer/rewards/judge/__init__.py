"""A reward that asks a language model behind an HTTP interface."""
