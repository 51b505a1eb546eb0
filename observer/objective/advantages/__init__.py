"""How much better a completion is than its group: one estimator a file."""
