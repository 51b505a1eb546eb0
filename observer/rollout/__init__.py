"""From problems to groups of completions: prompts, the sampling distribution, and engines.

Every engine renders nothing of its own: prompts come from ``PromptRenderer``. No rewards, no updates.
"""

from observer.rollout.engine import Engine
from observer.rollout.prompts import PromptRenderer
from observer.rollout.scripted import ScriptedEngine
from observer.rollout.transformers_engine import TransformersEngine

__all__ = ["Engine", "PromptRenderer", "ScriptedEngine", "TransformersEngine"]
