"""``observer doctor``: its options and its command."""
