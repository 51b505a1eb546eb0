"""Attention in which the completions of a group read the keys and values of one shared prompt.

The model runs over one sequence without padding: the prompts, each once, and then the completions. Only
attention depends on which completion belongs to which prompt, and takes a layout for it: ``GroupLayout`` for
a whole pass with gradients, ``Prefill`` and ``Decoding`` to sample. A vision tower attends within windows,
all of one length in one call. No sampling, no loss.
"""

from observer.policy.attention.decoding import Decoding, Prefill, Together
from observer.policy.attention.interface import GROUP_ATTENTION, WINDOW_ATTENTION, Layout
from observer.policy.attention.layout import GroupLayout
from observer.policy.attention.text_step import TextStep

__all__ = [
    "GROUP_ATTENTION",
    "WINDOW_ATTENTION",
    "Decoding",
    "GroupLayout",
    "Layout",
    "Prefill",
    "TextStep",
    "Together",
]
