"""Commands that measure and compare models."""

RECIPE = "evaluation.yaml"
"""Of an evaluation's folder: what was evaluated, as it was written; reads the rows again."""
