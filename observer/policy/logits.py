"""From logits to log-probs and entropies of tokens, with a backward pass that reads the logits once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from observer.types import Sampling

HEAD_BYTES = 128 * 2**20
"""Bytes of a chunk of float32 logits; up to four copies of a chunk are in memory at once."""


def head_rows(model: Any) -> int:
    """Return the rows of a chunk: of so many tokens at once the logits are computed; at least 1."""
    return max(1, HEAD_BYTES // (4 * int(model.config.get_text_config().vocab_size)))


def next_token_logprobs(
    logits_N_V: torch.Tensor,
    before_minimum_N: torch.Tensor | None,
    sampling: Sampling,
    banned_ids: Sequence[int],
    end_ids: Sequence[int],
) -> torch.Tensor:
    """Return the log-probs of the distribution that tokens are drawn from, (N, V), float32.

    Vision tokens are banned, and the end tokens before the minimum length; then the logits are divided by the
    temperature (by 1 for greedy decoding, whose log-probs are those of the plain distribution).

    Args:
        logits_N_V: the model's logits, any float dtype; overwritten, because a vocabulary of 152k is large.
        before_minimum_N: bool, where the completion is still shorter than ``sampling.min_tokens``; None for
            nowhere.
        sampling: temperature.
        banned_ids: ids that are never drawn.
        end_ids: ids that end a completion.
    """
    logits_N_V = logits_N_V.float()
    banned = torch.tensor(banned_ids, dtype=torch.long, device=logits_N_V.device)
    logits_N_V = logits_N_V.index_fill_(-1, banned, -torch.inf)
    if before_minimum_N is not None:
        ends = torch.tensor(end_ids, dtype=torch.long, device=logits_N_V.device)
        logits_N_V[before_minimum_N.nonzero(), ends] = -torch.inf
    if sampling.temperature not in (0.0, 1.0):
        logits_N_V = logits_N_V.div_(sampling.temperature)
    return logits_N_V.log_softmax(-1)


class ReadLogits(torch.autograd.Function):
    """Log-probs of tokens, and the entropy of the distribution each was drawn from.

    The backward pass of autograd would read all logits three times more. This one saves the probabilities
    alone, and with entropy gradients the log-probs too.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits_K_V: torch.Tensor,
        tokens_K: torch.Tensor,
        early_K: torch.Tensor | None,
        sampling: Sampling,
        banned_ids: Sequence[int],
        end_ids: Sequence[int],
        entropy_gradients: bool | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute log-probs and entropies.

        Args:
            ctx: autograd's.
            logits_K_V: see ``next_token_logprobs``; overwritten.
            tokens_K: the tokens, int64; none of them banned, or its log-prob is -inf.
            early_K: see ``next_token_logprobs``.
            sampling: how they were drawn.
            banned_ids: see ``next_token_logprobs``.
            end_ids: see ``next_token_logprobs``.
            entropy_gradients: whether entropies are to have gradients; None for no entropies.

        Returns:
            Log-probs and entropies, in nats, (K,) each.
        """
        ctx.dtype, ctx.temperature = logits_K_V.dtype, sampling.temperature or 1.0
        logprobs_K_V = next_token_logprobs(logits_K_V, early_K, sampling, banned_ids, end_ids)
        chosen_K = logprobs_K_V.gather(-1, tokens_K[:, None])[:, 0]
        if entropy_gradients is None and not ctx.needs_input_grad[0]:
            return chosen_K, None
        # Here and below, in place where a tensor is not needed again: a vocabulary is large.
        probs_K_V = logprobs_K_V.exp_() if entropy_gradients is None else logprobs_K_V.exp()
        entropy_K = None
        kept: tuple[torch.Tensor, ...] = (tokens_K, probs_K_V)
        if entropy_gradients is not None:
            # 0 times -inf is nan. At the bound a probability has long been 0 in float32.
            logprobs_K_V.clamp_min_(-1e4)
            # No dot product: autocast would round it.
            if entropy_gradients:
                entropy_K = -(probs_K_V * logprobs_K_V).sum(-1)
                kept = (*kept, logprobs_K_V, entropy_K)
            else:
                entropy_K = -logprobs_K_V.mul_(probs_K_V).sum(-1)
                ctx.mark_non_differentiable(entropy_K)
        ctx.save_for_backward(*kept)
        return chosen_K, entropy_K

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_chosen_K: torch.Tensor, of_entropy_K: torch.Tensor
    ) -> tuple[torch.Tensor, None, None, None, None, None, None]:
        """Return the gradient of the logits: (g [token] - g p - h p (log p + entropy)) / temperature.

        Args:
            ctx: autograd's.
            of_chosen_K: g, of the log-probs.
            of_entropy_K: h, of the entropies.
        """
        tokens_K, probs_K_V, *of_entropy = ctx.saved_tensors
        grad_K_V = probs_K_V * -of_chosen_K[:, None]
        grad_K_V.scatter_add_(-1, tokens_K[:, None], of_chosen_K[:, None])
        if of_entropy:
            logprobs_K_V, entropy_K = of_entropy
            along_K_V = (logprobs_K_V + entropy_K[:, None]).mul_(probs_K_V)
            grad_K_V.addcmul_(along_K_V, of_entropy_K[:, None], value=-1)
        if ctx.temperature != 1.0:
            grad_K_V.div_(ctx.temperature)
        return grad_K_V.to(ctx.dtype), None, None, None, None, None, None
