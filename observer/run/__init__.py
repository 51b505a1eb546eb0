"""What does a run write, and how is it never half written? Directory, files, logs, curves, checkpoints.

It trains nothing, and knows nothing of what a checkpoint holds but that it is whole.
"""
