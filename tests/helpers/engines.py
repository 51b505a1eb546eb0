"""What tests of engines share: how far an engine's log-probs are from the policy's."""

import torch


def completions(groups):
    return [completion for group in groups for completion in group.completions]


def gap(policy, groups):
    """The largest difference between the log-probs that tokens were drawn with and the policy's."""
    return max(gaps(policy, groups).values())


def gaps(policy, groups):
    """The largest difference in each group, by its problem."""
    with torch.no_grad():
        values_N_T = policy.logprobs(groups, with_entropy=False).values_N_T
    found = {}
    for row, (name, one) in enumerate(
        (group.problem.id, one) for group in groups for one in group.completions
    ):
        off = float((values_N_T[row, : len(one.ids)] - torch.tensor(one.logprobs)).abs().max())
        found[name] = max(off, found.get(name, 0.0))
    return found


def drawn(groups):
    """Token ids by problem and place in the group."""
    return {(group.problem.id, one.index): one.ids for group in groups for one in group.completions}
