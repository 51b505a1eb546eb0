"""Compares models that were asked the same rows: paired differences, rows won and lost, a page of them."""
