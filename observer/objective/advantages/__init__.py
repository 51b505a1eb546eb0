"""Advantage estimators: how much better a completion is than its group. One per file."""
