"""``observer fit --plan``: its options and its command."""
