"""Problems in, scored groups out: on any engine, with or without a learner.

Training rollouts and held-out evaluation both go through here. Which problems are asked, and what is learned
from the answers, is decided elsewhere.
"""

from typing import TYPE_CHECKING

from observer import on_demand
from observer.answering.records import asked_record, completion_record, completion_records
from observer.rewards.defaults import DEFAULT_REWARDS
from observer.rewards.rubric import score_groups

if TYPE_CHECKING:
    from observer.answering.answerer import Answerer
else:
    __getattr__, __dir__ = on_demand(__name__, Answerer="observer.answering.answerer")

__all__ = [
    "DEFAULT_REWARDS",
    "Answerer",
    "asked_record",
    "completion_record",
    "completion_records",
    "score_groups",
]
