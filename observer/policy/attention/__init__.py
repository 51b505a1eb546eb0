"""Attention in which the completions of a group read the keys and values of one shared prompt.

Everything in a model that works token by token runs over one sequence without padding, the prompts once and
then the completions; only attention has to know who belongs to whom. It is told by a layout: ``GroupLayout``
for a whole pass, with gradients, and ``Prefill`` and ``Decoding`` to sample. A vision tower attends within
windows, those of a length together. No sampling, no loss.
"""

from observer.policy.attention.decoding import Decoding, Prefill
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
]
