"""How does vLLM draw completions in the training process, with weights that are those of the policy?

No server, no second process. vLLM is imported when an engine is started, and nowhere before.
"""

from observer.rollout.vllm.engine import VLLM

__all__ = ["VLLM"]
