"""Checks of rows before training, and the caches that keep their results."""
