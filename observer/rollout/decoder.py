"""Draws token by token, for cohorts of any ages in one pass over the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

import torch

from observer.policy import Policy
from observer.policy.attention import TextStep, Together
from observer.policy.logits import head_rows, next_token_logprobs
from observer.rollout.cohort import Cohort
from observer.rollout.engine import NotFiniteError
from observer.rollout.sampling import draw
from observer.types import Group, Prompt, Sampling


class Decoder:
    """What is sampled at once. Cohorts may join while others run; those that are over are taken out."""

    def __init__(self, policy: Policy, sampling: Sampling, longest: int) -> None:
        """Compute what all tokens share.

        Args:
            policy: the model to sample from. Its weights must not change while this is in use.
            sampling: how completions are drawn.
            longest: tokens of the longest prompt.
        """
        self._policy, self._sampling = policy, sampling
        self._cohorts: list[Cohort] = []
        # A rotary position is at most as high as there are tokens before it.
        self._text_step = TextStep(policy.model.model.language_model, 0, longest + sampling.max_tokens)

    @property
    def running(self) -> bool:
        """Whether something is sampled."""
        return bool(self._cohorts)

    @property
    def slots(self) -> int:
        """Slots for keys and values that a layer needs at most until all that is sampled has ended."""
        return sum(cohort.decoding.slots for cohort in self._cohorts)

    def join(self, prompts: Sequence[Prompt], places: Sequence[int]) -> None:
        """Run the model on prompts in ascending length, and sample their groups from the next step on.

        Args:
            prompts: whose groups begin.
            places: of the prompts, given back with their groups.
        """
        self._cohorts.append(Cohort(self._policy, prompts, places, self._sampling))

    @torch.inference_mode()  # cheaper than no_grad; autograd never meets these tensors
    def step(self) -> dict[int, Group]:
        """Draw the next token of every row.

        Returns:
            The groups that are over, by their places; nothing is held for them any more.

        Raises:
            NotFiniteError: logits are not finite.
        """
        self._advance([cohort for cohort in self._cohorts if cohort.age])
        sizes = [len(cohort) for cohort in self._cohorts]
        drawn_N, logprobs_N = self._draw_all(sizes)
        parts = zip(self._cohorts, torch.split(drawn_N, sizes), torch.split(logprobs_N, sizes), strict=True)
        counts = torch.stack([cohort.take(*drawn) for cohort, *drawn in parts]).tolist()
        for cohort, (ended, lost) in zip(self._cohorts, counts, strict=True):
            cohort.count(ended, lost)
        if any(cohort.lost for cohort in self._cohorts):
            raise NotFiniteError([g for one in self._cohorts if one.lost for g in one.groups().values()])
        over = {place: g for one in self._cohorts if one.over for place, g in one.groups().items()}
        self._cohorts = [cohort for cohort in self._cohorts if not cohort.over]
        return over

    def _advance(self, cohorts: Sequence[Cohort]) -> None:
        """Run the model on the tokens just drawn."""
        if not cohorts:
            return
        last_N = torch.cat([cohort.advance() for cohort in cohorts])
        sizes = [len(cohort) for cohort in cohorts]
        position_N = torch.cat([cohort.position_N for cohort in cohorts])
        together = Together([cohort.decoding for cohort in cohorts], sizes)
        hidden_N_D = self._text_step(last_N, position_N, together)
        for cohort, hidden in zip(cohorts, torch.split(hidden_N_D, sizes), strict=True):
            cohort.hidden_N_D, cohort.position_N = hidden, cohort.position_N + 1

    def _draw_all(self, sizes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a token per row and its log-prob, nan where a logit is not finite."""
        cohorts, minimum = self._cohorts, self._sampling.min_tokens
        early = [one.age < minimum for one, size in zip(cohorts, sizes, strict=True) for _ in range(size)]
        uniforms = [cohort.uniforms() for cohort in cohorts]
        # In chunks: the logits of a large vocabulary take more memory than keys and values of short rows.
        rows = head_rows(self._policy.model)
        hidden = torch.split(torch.cat([cohort.hidden_N_D for cohort in cohorts]), rows)
        chunks: list[Iterable[torch.Tensor | None]] = [hidden]
        chunks.append(repeat(None, len(hidden)))
        if any(early):
            chunks[-1] = torch.split(torch.tensor(early, device=hidden[0].device), rows)
        given = [uniform_N for uniform_N in uniforms if uniform_N is not None]
        chunks.append(torch.split(torch.cat(given), rows) if given else repeat(None, len(hidden)))
        drawn = [self._draw(*chunk) for chunk in zip(*chunks, strict=True)]
        drawn_N, logprobs_N = (torch.cat(tensors) for tensors in zip(*drawn, strict=True))
        return drawn_N, logprobs_N

    def _draw(
        self, hidden_N_D: torch.Tensor, early_N: torch.Tensor | None, uniforms_N: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        policy = self._policy
        logits_N_V = policy.model.lm_head(hidden_N_D)
        logprobs_N_V = next_token_logprobs(
            logits_N_V, early_N, self._sampling, policy.banned_ids, policy.end_ids
        )
        drawn_N = logprobs_N_V.argmax(-1) if uniforms_N is None else draw(logprobs_N_V, uniforms_N)
        return drawn_N, logprobs_N_V.gather(-1, drawn_N[:, None])[:, 0]
