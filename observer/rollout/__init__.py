"""From problems to groups of completions: prompts, the sampling distribution, and engines.

Engines take prompts from ``PromptRenderer`` and render none themselves. No rewards, no updates.
"""

from observer.rollout.engine import Engine, NotFiniteError, failing
from observer.rollout.prompts import PromptRenderer
from observer.rollout.scripted import ScriptedEngine
from observer.rollout.transformers_engine import TransformersEngine
from observer.rollout.vllm import VLLM

__all__ = [
    "VLLM",
    "Engine",
    "NotFiniteError",
    "PromptRenderer",
    "ScriptedEngine",
    "TransformersEngine",
    "failing",
]
