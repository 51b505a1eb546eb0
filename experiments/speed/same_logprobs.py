"""Checks that both sides of ``against_trl.py`` see the same prompts, pictures, weights and log-probs.

For random completions after pictures of two sizes: the token ids of the prompts are equal, and the log-probs
of ``GRPOTrainer._get_per_token_logps_and_entropies`` are those of ``Policy.logprobs`` to 1e-4. TRL leaves the
tokens that it never samples in the softmax; for the comparison our policy bans none either.
"""

import json
import tempfile

import torch
from observer_side import LOGPROB_PASSES, made_up, problem
from same_work import CHECKPOINT, TOKENS
from trl.data_utils import prepare_multimodal_messages
from trl_side import data_set, make_trainer

from observer.policy import Policy, PolicySpec, load_processor
from observer.rollout import PromptRenderer

SIDES, TOLERANCE = (84, 112), 1e-4


def of_trl(trainer, groups):
    """Return TRL's log-probs of the completions; prompts and pictures go through TRL's own preparation."""
    rows = [trainer.train_dataset[number] for number in range(len(groups))]
    prompts = [prepare_multimodal_messages(row["prompt"], images=[row["image"]]) for row in rows]
    prompt_ids, _, fields = trainer._tokenize_prompts(prompts)
    for group, ids in zip(groups, prompt_ids, strict=True):
        assert list(group.prompt.ids) == list(ids), "the prompts differ"
    width = max(map(len, prompt_ids))
    patches = fields["pixel_values"].split(fields["image_grid_thw"].prod(-1).tolist())
    sequences, masks, pictures = [], [], []
    for place, (group, ids) in enumerate(zip(groups, prompt_ids, strict=True)):
        for completion in group.completions:
            gap = [0] * (width - len(ids))
            sequences.append([*gap, *ids, *completion.ids])
            masks.append([*gap, *(1 for _ in ids), *(1 for _ in completion.ids)])
            pictures.append(place)
    ids_N_S, masks_N_S = torch.tensor(sequences), torch.tensor(masks)
    values_N_T, _, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model,
        ids_N_S,
        masks_N_S,
        TOKENS,
        pixel_values=torch.cat([patches[place] for place in pictures]),
        image_grid_thw=fields["image_grid_thw"][pictures],
        num_images=[1] * len(pictures),
        mm_token_type_ids=(ids_N_S == trainer.model.config.image_token_id).int(),
    )
    return values_N_T


@torch.no_grad()
def main():
    torch.manual_seed(0)
    spec = PolicySpec(CHECKPOINT, max_pixels=max(SIDES) ** 2)
    policy = Policy(spec, load_processor(spec))
    policy.banned_ids = ()
    prompts = PromptRenderer(policy.processor, "", 4096).render([problem(n, s) for n, s in enumerate(SIDES)])
    groups = [made_up(prompt, size=2, tokens=TOKENS) for prompt in prompts]
    with tempfile.TemporaryDirectory() as folder:
        trls = of_trl(make_trainer(data_set(SIDES, 32), max(SIDES) ** 2, 64, folder), groups)
    figures = {}
    for how in LOGPROB_PASSES:
        policy.logprob_pass = how
        figures[how] = float((policy.logprobs(groups).values_N_T - trls).abs().max())
    if not max(figures.values()) < TOLERANCE:
        raise ValueError(f"log-probs differ from TRL's by {figures}, more than {TOLERANCE}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
