"""The rewards of a configuration that names none."""

from __future__ import annotations

from observer.rewards.accuracy import Accuracy
from observer.rewards.base import Reward
from observer.rewards.bonus import Bonus
from observer.rewards.format_reward import Format

DEFAULT_REWARDS: dict[str, Reward] = {"accuracy": Accuracy(), "format": Format(), "bonus": Bonus()}
