"""The parts of an optimizer step: the passes of each rank, and the gradient that they add up to."""
