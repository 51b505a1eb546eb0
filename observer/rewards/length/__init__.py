"""Rewards that depend on how long a response is."""
