"""Problems in, scored groups out: on any engine, with or without a learner.

Training rollouts and held-out evaluation both go through here. Which problems are asked, and what is learned
from the answers, is decided elsewhere.
"""

from observer.answering.answerer import DEFAULT_REWARDS, Answerer, score_groups
from observer.answering.records import completion_record, completion_records

__all__ = ["DEFAULT_REWARDS", "Answerer", "completion_record", "completion_records", "score_groups"]
