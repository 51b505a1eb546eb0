"""Rewards written for other frameworks, loaded as they are."""
