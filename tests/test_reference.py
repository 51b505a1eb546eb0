"""configs/reference.yaml holds the released recipe: its numbers, and what they make of a group."""

from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from observer.learner import ObserveLearner
from observer.objective import ComponentWeights, weigh
from observer.rewards import Rubric
from observer.types import Completion, Group, Problem, Prompt, Sampling, Turn

FILE = Path(__file__).parent.parent / "configs" / "reference.yaml"


@pytest.fixture(scope="module")
def config():
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model(config):
    """The learner's options as the command line builds them; the learner itself would load the weights."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ObserveLearner, "model", instantiate=False)
    return parser.instantiate(parser.parse_object({"model": config["model"]})).model


def group(*responses):
    """A group of (answer, tokens) to a problem whose answer is 7."""
    completions = tuple(
        Completion((0,) * tokens, (0.0,) * tokens, text, "stop", index)
        for index, (answer, tokens) in enumerate(responses)
        for text in [
            f"<observe>a dial</observe>\n<think>it shows {answer}</think>\n<answer>{answer}</answer>"
        ]
    )
    problem = Problem("a", 0, (Turn("user", "What is 3 + 4?"),), "$7$", "integer")
    return Group(Prompt(problem, (1,)), completions, Sampling(group_size=len(responses)))


def weighed(model, *groups):
    """What the recipe makes of groups."""
    rubric = Rubric(model.rewards, model.response_format)
    scores = [rubric.score(group, step=0) for group in groups]
    components = ComponentWeights(rubric.weights, rubric.accuracy)
    return weigh(groups, scores, components, model.advantage, model.weighting, model.combine)


def test_half_of_a_group_right_and_the_shortest_of_150_tokens(model):
    experience = weighed(model, group((7, 200), (7, 150), (7, 201), (7, 202), *[(8, 90)] * 4))
    rewards = [1.5, 1.7, 1.5, 1.5, 0.5, 0.5, 0.5, 0.5]  # the bonus enters before mean and std
    assert experience.rewards_P_G[0].tolist() == pytest.approx(rewards)
    assert [score.bonus for score in experience.scores[0]] == [0.0] * 8
    other, best, wrong = 1.513, 2.15, -1.672
    expected = [other, best, other, other, wrong, wrong, wrong, wrong]
    assert experience.advantages_P_G[0].tolist() == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("shortest", [100, 1])
def test_half_of_a_group_right_and_the_shortest_of_at_most_100_tokens(model, shortest):
    experience = weighed(model, group((7, shortest), *[(7, 150)] * 3, *[(8, 90)] * 4))
    expected = [1.684] * 4 + [-1.684] * 4
    assert experience.advantages_P_G[0].tolist() == pytest.approx(expected, abs=6e-4)


def test_weights_for_0_to_8_of_8_right(model):
    experience = weighed(model, *[group(*[(7, 50)] * k, *[(8, 50)] * (8 - k)) for k in range(9)])
    expected = [0, 0.7875, 1.35, 1.6875, 1.8, 1.6875, 1.35, 0.7875, 0]
    assert experience.weights_P_G[:, 0].tolist() == pytest.approx(expected, abs=1e-12)


def test_rewards_are_accuracy_and_half_of_format(model):
    assert {name: reward.weight for name, reward in model.rewards.items()} == {
        "accuracy": 1.0,
        "format": 0.5,
        "bonus": 0.2,
    }


def test_the_optimizer_is_that_of_the_release(model):
    optimizer = model.optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert type(optimizer) is torch.optim.AdamW
    settings = {name: optimizer.defaults[name] for name in ("lr", "betas", "eps", "weight_decay")}
    assert settings == {"lr": 1e-6, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0}
    assert model.gradient_clip == 1.0


def test_the_learning_rate_warms_up_75_steps_and_falls_to_a_tenth(model, config):
    steps = config["trainer"]["max_steps"]
    rates = [1e-6 * model.learning_rate.factor(step, steps) for step in range(steps + 1)]
    assert rates[0] == pytest.approx(1e-6 / 75)
    assert rates.index(max(rates)) == 74
    assert rates[74] == rates[75] == 1e-6
    assert rates[75 + (steps - 75) // 2] == pytest.approx(5.5e-7, rel=1e-3)  # half a cosine
    assert rates[steps] == pytest.approx(1e-7)
    assert rates[75:] == sorted(rates[75:], reverse=True)


def test_the_kl_penalty_the_loss_and_their_limits_are_those_of_the_release(model):
    assert repr(model.kl) == "K1(coefficient=0.01, apply_to='reward')"
    assert repr(model.loss) == "PPOClip(clip_low=0.2, clip_high=0.2, level='token', dual=None)"
    assert repr(model.advantage) == "GroupMeanStd(eps=1e-09)"
    assert model.advantage_clip == 10.0
    assert (model.zero_signal, model.denominator) == ("keep", "micro_batch")
    assert (model.combine, model.truncated) == ("sum_then_normalise", "keep")
    assert (model.correction, model.entropy_bonus) == (None, 0.0)


def test_sizes_of_prompts_responses_and_pictures_are_those_of_the_release(model):
    assert (model.policy.min_pixels, model.policy.max_pixels) == (3136, 2560000)
    assert (model.max_prompt_tokens, model.max_tokens) == (9216, 8192)
    assert (model.temperature, model.group_size, model.micro_batch) == (1.0, 8, 2)
    assert not model.policy.freeze_vision


def test_156_rollouts_of_1024_responses_make_2496_steps_of_64(model, config):
    prompts, updates = config["data"]["prompts_per_step"], model.updates_per_rollout
    assert prompts * model.group_size == 1024
    assert prompts * model.group_size // updates == 64
    assert config["trainer"]["max_steps"] == 156 * updates == 2496
    assert 156 * prompts == 19968
    assert config["checkpoints"]["every_n_steps"] == 20 * updates
    assert config["seed_everything"] == 42
    assert config["trainer"]["precision"] == "bf16-mixed"
    assert config["curriculum"]["schedule"] == "Sorted"
    assert config["data"]["train"]["class_path"] == "Message"
