"""Checks that both sides of ``time_to_accuracy.py`` see the same prompts and make the same update.

Of the prompts of a first step, the token ids and the pixel values that TRL's trainer prepares are those of
our renderer. Then both judge the same completions, which our engine drew for some of them with groups without
signal among them: the rewards are equal, and so is the gradient of TRL's loss and ours, to ``TOLERANCE`` of
its largest value. TRL leaves the tokens that are never sampled in the softmax; for the comparison our policy
bans none either.
"""

import json
import tempfile

import torch
from observer_run import make_learner
from same_run import GROUP, PROMPTS, problems
from trl.data_utils import prepare_multimodal_messages
from trl_run import make_run

from observer.objective import ComponentWeights, UpdateCounts, make_micro_batches, weigh
from observer.objective.micro_batches import counted

ASKED, TOLERANCE = 16, 1e-4
"""Prompts of the update that is compared, and how far gradients may differ in parts of the largest."""


def check_prompts(trainer, prompts):
    """Compare the token ids of prompts and the pixels of their pictures with those that TRL prepares.

    Raises:
        ValueError: they differ.
    """
    rows = [trainer.train_dataset[place] for place in range(len(prompts))]
    asked = [prepare_multimodal_messages(row["prompt"], images=[row["image"]]) for row in rows]
    ids, _, fields = trainer._tokenize_prompts(asked)
    if [list(prompt.ids) for prompt in prompts] != [list(row) for row in ids]:
        raise ValueError("the token ids of the prompts differ")
    patches = [picture for prompt in prompts for picture in prompt.pictures]
    if not torch.equal(torch.stack([patch.grid for patch in patches]), fields["image_grid_thw"]):
        raise ValueError("the pictures have other sizes")
    if not torch.equal(torch.cat([patch.pixels for patch in patches]), fields["pixel_values"]):
        raise ValueError("the pixels of the pictures differ")


def of_observer(learner, groups, scores):
    """Return our gradient by name, and how many groups are without signal."""
    rubric = learner.answerer.rubric
    components = ComponentWeights(rubric.weights, rubric.accuracy)
    experience = weigh(groups, scores, components, learner.advantage, learner.weighting)
    selected = learner.filter.select(experience, range(len(groups)))
    micro_batches = make_micro_batches(
        selected, learner.optimization.micro_batch_tokens, None, torch.device("cpu")
    )
    counts = UpdateCounts(**counted(micro_batches, groups))
    for micro_batch in micro_batches:
        learner.micro_batch_loss(micro_batch, counts)[0].backward()
    return gradient(learner.policy.model), int((experience.advantages_P_G == 0).all(-1).sum())


def of_trl(trainer, groups):
    """Return TRL's gradient by name, of completions that are put in the place of those that it would draw."""
    ids = [list(completion.ids) for group in groups for completion in group.completions]
    trainer._generate_single_turn = lambda *_, **__: (ids, None)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    rows = [trainer.train_dataset[place] for place in range(len(groups)) for _ in range(GROUP)]
    trainer.compute_loss(trainer.model, trainer._prepare_inputs(rows)).backward()
    return gradient(trainer.model)


def gradient(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def main():
    torch.manual_seed(0)
    asked = problems(seed=0, steps=1)
    learner = make_learner(0, "keep")
    learner.configure_model()
    with tempfile.TemporaryDirectory() as folder:
        trainer, rewards = make_run(asked, 0, 1, ASKED, ASKED * GROUP, folder)
        check_prompts(trainer, learner.answerer.renderer.render(asked))
        groups = learner.answerer.generate(asked[:ASKED], learner.sampling)
        if len({len(group.prompt.ids) for group in groups}) == 1:
            raise ValueError("all prompts have one length: this shows nothing of those that are padded")
        learner.policy.banned_ids = ()
        scores = learner.score(groups, 0)
        ours, silent = of_observer(learner, groups, scores)
        theirs = of_trl(trainer, groups)
    if [score.reward for row in scores for score in row] != rewards.values:
        raise ValueError("the same completions have other rewards")
    if not 0 < silent < ASKED:
        raise ValueError(f"{silent} of {ASKED} groups are without signal: this shows nothing of the others")
    if ours.keys() != theirs.keys():
        raise ValueError("other parameters train")
    largest = max(float(values.abs().max()) for values in ours.values())
    worst = max(float((ours[name] - theirs[name]).abs().max()) for name in ours) / largest
    if not worst < TOLERANCE:
        raise ValueError(f"the gradients differ by {worst} of the largest value, more than {TOLERANCE}")
    print(json.dumps({"prompts_alike": PROMPTS, "gradients_differ": worst, "groups_without_signal": silent}))


if __name__ == "__main__":
    main()
