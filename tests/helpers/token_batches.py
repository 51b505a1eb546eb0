"""Random log-probs, advantages and masks of whole batches, for tests of losses and what they enter."""

import math

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from observer.objective import CISPO, SAPO, PPOClip

FEW = settings(max_examples=60, deadline=None)

LOSSES = [
    PPOClip(),
    PPOClip(0.2, 0.28),  # DAPO
    PPOClip(1.0, 0.3, dual=1.5),
    PPOClip(0.05, 0.1, level="sequence"),  # GSPO
    PPOClip(0.3, 0.1, level="sequence", dual=1.2),
    CISPO(),
    CISPO(floor=0.5, cap=1.28),
    SAPO(),
    SAPO(tau_positive=2.0, tau_negative=0.5),
]

DENOMINATORS = ("tokens", "sequences", "constant", "micro_batch")


@st.composite
def batches(draw, empty=True):
    """Padded (N, T) arrays: mask, log-probs now, before, as drawn and of the reference, advantages."""
    rows, width = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0 if empty else 1, width), min_size=rows, max_size=rows))
    mask = np.arange(width) < np.array(lengths)[:, None]

    def floats(low, high):
        return draw(npst.arrays(np.float64, (rows, width), elements=st.floats(low, high)))

    old = floats(-4, -0.1) * mask
    others = [(old + floats(-1.5, 1.5)) * mask for _ in range(3)]
    advantages = floats(-2, 2)
    return mask, others[0], old, others[1], others[2], np.where(np.abs(advantages) < 1e-3, 0.0, advantages)


def tensors(*arrays):
    return [torch.from_numpy(np.array(array)) for array in arrays]


def ratios(loss, mask, now, old):
    """Of every token; 1 where there is none."""
    found = np.ones_like(now)
    for n, row in enumerate(mask):
        length = int(row.sum())
        for t in range(length):
            if getattr(loss, "level", "token") == "sequence":
                found[n, t] = math.exp(math.fsum(now[n, :length] - old[n, :length]) / length)
            else:
                found[n, t] = math.exp(now[n, t] - old[n, t])
    return found


def by_hand(loss, r, logprob, advantage):
    """Value, gradient by the log-prob and whether clipping changed it, of one token."""
    if isinstance(loss, SAPO):
        tau = loss.tau_positive if advantage > 0 else loss.tau_negative
        gate = 1 / (1 + math.exp(-tau * (r - 1)))
        return -4 / tau * gate * advantage, -4 * gate * (1 - gate) * r * advantage, False
    if isinstance(loss, CISPO):
        weight = min(max(r, loss.floor), loss.cap)
        return -weight * advantage * logprob, -weight * advantage, weight != r and advantage != 0
    if advantage > 0 and r > 1 + loss.clip_high:
        return -(1 + loss.clip_high) * advantage, 0.0, True
    if advantage < 0 and r < 1 - loss.clip_low:
        return -(1 - loss.clip_low) * advantage, 0.0, True
    if advantage < 0 and loss.dual and r > loss.dual:
        return -loss.dual * advantage, 0.0, True
    return -r * advantage, -r * advantage, False


def away_from_bounds(loss, found):
    """Where a loss has a corner there is no gradient to compare with."""
    bounds = [getattr(loss, name, None) for name in ("dual", "floor", "cap")]
    bounds += [1 - getattr(loss, "clip_low", 0.0), 1 + getattr(loss, "clip_high", 0.0)]
    smooth = found[~np.isclose(found, 1.0)]  # 1 is a bound of nothing, it stands where there is no token
    return all(np.abs(smooth - bound).min(initial=1.0) > 1e-6 for bound in bounds if bound is not None)
