"""What is known of each part of a recipe? Grids of runs: the file, the plan, the processes that run it.

It trains nothing itself: a run is a process of ``observer fit``, and its options are those of that command.
"""
