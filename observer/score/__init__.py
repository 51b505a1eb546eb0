"""``observer score``: what a recipe makes of completions that are there already. No model, no GPU.

The rows are read, verified, scored and weighed by the code of a training step; only the completions come from
a file. Nothing here decides what a completion is worth.
"""
