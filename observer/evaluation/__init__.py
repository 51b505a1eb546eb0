"""Measures models on benchmarks: answers that are kept, and the scores that are read from them.

A model is asked chunk by chunk, and all it wrote is kept with its verdicts; scores are a function of what was
kept alone, so that they can be read again without a model. No learner, no Lightning.
"""

from observer.evaluation.recipe import Audit, Benchmark, Evaluation

__all__ = ["Audit", "Benchmark", "Evaluation"]
