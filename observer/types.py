"""The data types of one training step, in the order in which they are made.

``Problem`` -> ``Prompt`` -> ``Group`` of ``Completion`` -> ``Score`` -> ``Experience``. The rest of the
package reads as functions between these types. Nothing here computes.

Shape legend, used in names all over the package (``advantages_P_G``). A digit is a length; letters that are
joined are flattened dimensions (``keys_PH_S_D``).

Of a step:

- P: prompts of this rank in a step; each makes one group
- G: completions of a prompt, the group size
- N: completions, flat, in the order of their groups (P * G when groups are whole); of an index, given rows
- T: completion tokens, padded on the right; of a schedule, steps
- S: tokens of prompt and completion together, or of the prompt alone where T is beside it
- K: tokens of all completions, flat, no padding; of a reward table, its components; of a schedule, its tasks
- V: vocabulary
- U: distinct pictures of a source
- E: end tokens
- B: sequences of a batch; of a random stream, numbers drawn at once

Of a model:

- D: features of a vector, of the hidden state or of one head
- F: features of several projections side by side
- H: attention heads; those of the keys where Q is beside it
- Q: query heads of one key head
- C: slots for completions while decoding, P * R

Of data:

- R: rows of a ladder; while decoding, slots of a prompt
- M: rows that may still be drawn
- L: difficulty levels

Of statistics, in ``observer.statistics`` alone: S seeds, P held-out problems, C clusters of equal problems
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL import Image


IMAGE_MARK = "<image>"
"""Stands in a turn's text where a picture goes."""


class RefusedError(ValueError):
    """Input that is refused before any compute. The message names it, its place, its value and a remedy."""


class NotNowError(RefusedError):
    """A row that is refused now and may be admitted next time, for example after a timeout of its check."""


class LostInputError(RefusedError):
    """Input that was checked and has changed or is gone since: the run is interrupted, and can go on."""


class EngineError(RuntimeError):
    """An engine failed, in whatever it draws with. Nothing of the step was applied: the policy is whole."""

    def __init__(self, message: str, prompts: Sequence[Prompt] = ()) -> None:
        """Note what was being drawn.

        Args:
            message: names the engine, what it was doing, what was said of it, and what to do.
            prompts: of the call; none where nothing was drawn.
        """
        super().__init__(message)
        self.prompts = tuple(prompts)
        self.shared_by: int | None = None
        """The rank of this process, where all ranks of the run know of the failure and end together."""


class Verdict(StrEnum):
    """The verdict on an answer. Correctness is read from here, never from a sum of rewards."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNVERIFIABLE = "unverifiable"


@dataclass(frozen=True)
class Turn:
    """One turn of a chat."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    text: str
    """The turn's text; each ``<image>`` stands for the next picture of the problem."""


@dataclass(frozen=True)
class Picture:
    """A picture that is decoded only when it is needed."""

    name: str
    """Its name in messages and logs: a path, or a description by its generator."""
    size: Callable[[], tuple[int, int]]
    """Reads (height, width) in pixels, cheaply, from the header. Raises RefusedError."""
    load: Callable[[], Image.Image]
    """Decodes to an RGB picture. Raises RefusedError."""


@dataclass(frozen=True)
class Problem:
    """A picture question with a gold answer that a rule can check."""

    id: str
    """Unique within its ladder (the rows to draw from), stable across runs: seeds and logs use it."""
    row: int
    """Its index in its ladder, 0 .. R - 1."""
    turns: tuple[Turn, ...]
    """The chat up to the policy's turn."""
    answer: str
    """The gold answer, as its source writes it."""
    kind: str
    """How the answer is checked: a key of ``observer.verifier.verify.KINDS``."""
    pictures: tuple[Picture, ...] = ()
    """In the order of the ``<image>`` marks of the turns."""
    options: tuple[str, ...] = ()
    """The texts of a choice's options, A first; empty where they are unknown."""
    difficulty: float = 0.5
    """Share of a base model's answers that were wrong, in [0, 1]."""
    complexity: float = 0.0
    """Mean length of a base model's responses, in tokens."""
    level: int = 0
    """Difficulty level, for metrics by level."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of its row, for rewards and logs."""
    source: str = ""
    """Its file and line, for messages."""

    @property
    def question(self) -> str:
        """The text of the last user turn."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")


@dataclass(frozen=True, eq=False)
class Patches:
    """A picture as the vision tower sees it. Problems that show the same picture share the object."""

    pixels: torch.Tensor
    """Flattened patches, (patches, patch dim), float32."""
    grid: torch.Tensor
    """Patches in (time, height, width), (3,), int64."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """A problem as token ids and patches, the same for every engine and every forward pass."""

    problem: Problem
    """The problem that it renders."""
    ids: tuple[int, ...]
    """Token ids, image placeholders expanded to one id per visual token."""
    pictures: tuple[Patches, ...] = ()
    """Its pictures in the order of their placeholders; none for text only."""


@dataclass(frozen=True)
class Sampling:
    """The distribution that completions are drawn from, and that their log-probs in training are of."""

    group_size: int = 8
    """G, completions per prompt."""
    max_tokens: int = 1024
    """A completion that has not ended by then is cut: ``finish_reason`` is ``length``."""
    min_tokens: int = 0
    """The end token is banned before this many tokens."""
    temperature: float = 1.0
    """Divides the logits; 0 is greedy decoding."""
    seed: int = 0
    """Seed of the run."""
    step: int = 0
    """Rollouts finished before this one: part of each token's seed. Evaluation uses negative numbers."""
    first: int = 0
    """Index in the group of the first completion to draw; above 0 if others were drawn before."""

    @property
    def places(self) -> range:
        """The indices in the group of the completions to draw."""
        return range(self.first, self.first + self.group_size)


@dataclass(frozen=True)
class Completion:
    """One response to a prompt."""

    ids: tuple[int, ...]
    """Token ids, the end token included when it was drawn."""
    logprobs: tuple[float, ...]
    """Log-prob of each token under the distribution it was drawn from."""
    text: str
    """Decoded, without the end token."""
    finish_reason: str
    """``stop`` (the end token was drawn) or ``length`` (cut at the limit)."""
    index: int
    """Its index in the group at sampling time, 0 .. G - 1: part of its tokens' seeds."""

    @property
    def finished(self) -> bool:
        """Whether it ended with an end token."""
        return self.finish_reason == "stop"


@dataclass(frozen=True, eq=False)
class Group:
    """A prompt, its completions and how they were drawn."""

    prompt: Prompt
    completions: tuple[Completion, ...]
    sampling: Sampling

    @property
    def problem(self) -> Problem:
        """The problem all its completions answer."""
        return self.prompt.problem

    @property
    def tokens(self) -> int:
        """Completion tokens of all its completions."""
        return sum(len(completion.ids) for completion in self.completions)

    @property
    def longest(self) -> int:
        """Tokens of its longest completion."""
        return max(len(completion.ids) for completion in self.completions)

    def take(self, which: slice) -> Group:
        """Return the group with only some of its completions."""
        return replace(self, completions=self.completions[which])


@dataclass(frozen=True)
class Score:
    """The verdict and the rewards of one completion."""

    verdict: Verdict
    """Whether its answer is right."""
    reason: str
    """Why, for logs; never empty for an unverifiable answer."""
    extracted: str | None
    """The answer extracted from the response; None if there is none."""
    formatted: bool
    """Whether it keeps the response format."""
    components: Mapping[str, float | None] = field(default_factory=dict)
    """Each named reward, before its weight; None where it does not apply."""
    filled: Mapping[str, float] = field(default_factory=dict)
    """The components that enter before the group's normalisation. Where one does not apply, its mean over the
    group is used, so that it neither helps nor hurts."""
    reward: float = 0.0
    """Weighted sum of ``filled``."""
    bonus: float = 0.0
    """Weighted sum of the components that are added after the group's normalisation."""
    share: float = 0.0
    """Share of the format's blocks that occur once, not blank and in order, in [0, 1]."""
    timed_out: bool = False
    """Whether the answer is unverifiable because it was not checked in time."""

    @property
    def correct(self) -> bool:
        """Whether the verdict is correct; wrong and unverifiable are both not."""
        return self.verdict is Verdict.CORRECT


@dataclass(frozen=True, eq=False)
class ScoredGroups:
    """Groups with a score for each of their completions."""

    groups: tuple[Group, ...]
    """P groups of G completions."""
    scores: tuple[tuple[Score, ...], ...]
    """P x G scores."""


@dataclass(frozen=True, eq=False)
class Estimated(ScoredGroups):
    """Scored groups with advantages before bonus and weight: the input of a weighting."""

    rewards_P_G: torch.Tensor
    """Rewards before normalisation, float64."""
    pass_rates_P: torch.Tensor
    """Share of correct completions, float64."""
    estimates_P_G: torch.Tensor
    """Normalised rewards, without bonus and weight, float64."""


@dataclass(frozen=True, eq=False)
class Experience(Estimated):
    """Scored groups with the weight and the advantage of each completion."""

    weights_P_G: torch.Tensor
    """Weight of each completion, never negative, float64; mostly the same within a group."""
    advantages_P_G: torch.Tensor
    """Normalised, bonus added, weighted, float64."""

    @property
    def silent_P(self) -> torch.Tensor:
        """Which groups have no signal: all their advantages are 0. (P,) bool."""
        return self.advantages_P_G.eq(0).all(-1)
