"""Problems in, scored groups out: on any engine, with or without a learner.

Rollouts of training, held-out evaluation and whatever else has a model answer problems go through this room.
It decides neither which problems are asked nor what is learned from the answers.
"""

from observer.answering.answerer import DEFAULT_REWARDS, Answerer, score_groups

__all__ = ["DEFAULT_REWARDS", "Answerer", "score_groups"]
