"""The options of a learner that decide which rows are refused, without the learner: its import takes seconds.

A test holds that they are those of ``ObserveLearner``.
"""

from __future__ import annotations

import inspect

from observer.policy import PolicySpec
from observer.rewards import Observe, ResponseFormat
from observer.verifier import Limits


class AdmissionOptions:
    """What a prompt is and how answers are compared: options of ``ObserveLearner``, with its defaults.

    Args:
        policy: the model whose processor renders prompts; its weights are not loaded. Null measures none.
        response_format: what a response must look like; also gives the system prompt.
        verifier: limits of checks in processes of their own; beyond them an answer is unverifiable.
        max_prompt_tokens: longer prompts are refused before training; they are never cut.
    """

    def __init__(
        self,
        policy: PolicySpec | None = None,
        response_format: ResponseFormat = Observe(),
        verifier: Limits = Limits(),
        max_prompt_tokens: int = 4096,
    ) -> None:
        """Only read as a signature."""


OPTIONS = frozenset(inspect.signature(AdmissionOptions).parameters)
"""Options of the learner that decide which rows are refused."""
