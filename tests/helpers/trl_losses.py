"""A small rollout, and a script that prints what the loss of TRL makes of it, for test_denominators.

Usage, in an environment with trl 1.16.0: python tests/helpers/trl_losses.py

It calls ``GRPOTrainer._compute_loss`` with the log-probs given, on the whole rollout as one batch; advantages
are given too. A completion that was cut at the limit has no token in the mask, as with
``mask_truncated_completions``.
"""

from collections import defaultdict
from types import SimpleNamespace

import torch

MAX_TOKENS = 6
LENGTHS = [[3, 5], [1, 4], [6, 2], [5, 6]]
"""Tokens of each completion, four groups of two; those of 6 were cut at the limit."""
ADVANTAGES = [[0.75, -0.75], [0.0, 0.0], [1.5, -1.5], [0.0, 0.0]]
"""Two groups have no signal."""
LOSS_TYPES = {"sequences": "grpo", "constant": "dr_grpo", "tokens": "dapo"}
"""Our denominator -> what TRL calls it."""


def logprobs():
    """Log-probs of the policy, with gradients, and before the update, (8, 6): some leave the clip bounds."""
    place = torch.arange(48, dtype=torch.float64).view(8, 6)
    old = -1.0 - (place % 7) / 7
    return (old + 0.3 * torch.sin(place)).requires_grad_(), old


def mask(without_cut):
    """Where there is a token, (8, 6) bool; none of a cut completion if these are masked."""
    lengths = torch.tensor(LENGTHS).flatten()
    if without_cut:
        lengths = lengths.masked_fill(lengths == MAX_TOKENS, 0)
    return torch.arange(MAX_TOKENS) < lengths[:, None]


def losses_of_trl(loss_type, without_cut):
    """TRL's loss, and its gradient summed by completion."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    now, old = logprobs()
    kept = mask(without_cut).long()
    trainer = SimpleNamespace(
        loss_type=loss_type,
        max_completion_length=MAX_TOKENS,
        importance_sampling_level="token",
        epsilon_low=0.2,
        epsilon_high=0.2,
        beta=0.0,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        args=SimpleNamespace(delta=None, steps_per_generation=1),
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=True
        ),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *_, **__: (now, torch.zeros_like(old), None),
    )
    ids = torch.zeros(8, MAX_TOKENS, dtype=torch.long)
    inputs = {
        "prompt_ids": ids[:, :1],
        "prompt_mask": ids[:, :1] + 1,
        "completion_ids": ids,
        "completion_mask": kept,
        "advantages": torch.tensor(ADVANTAGES, dtype=torch.float64).flatten(),
        "old_per_token_logps": old,
        "num_items_in_batch": kept.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    loss.backward()
    return float(loss.detach()), (now.grad * kept).sum(-1).tolist()


if __name__ == "__main__":
    for name, loss_type in LOSS_TYPES.items():
        for without_cut in (False, True):
            loss, gradient = losses_of_trl(loss_type, without_cut)
            print(f'    ("{name}", {without_cut}): ({loss:.9f}, {[round(value, 9) for value in gradient]}),')
