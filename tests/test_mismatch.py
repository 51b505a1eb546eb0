"""Figures of how far a sampler is from the trainer, and an alarm whose cause is the one that was made."""

import math
import random
from dataclasses import replace

import pytest
import torch

from bounds import of_logprob
from observer.callbacks import Alarms
from observer.metrics.mismatch import PREFIX, Mismatch
from observer.metrics.mismatch_alarm import CAUSES, mismatched
from observer.policy import PolicySpec
from observer.refusal import RefusedError
from observer.types import Completion, Group, Prompt, Sampling
from own_weights import OwnWeights
from tables import holds_for

IMAGE = 5


def group(problem, visual, completions):
    """Completions of a prompt with so many visual tokens, by the log-probs that they were drawn with."""
    prompt = Prompt(problem(), (7, *[IMAGE] * visual, 8))
    rows = [
        Completion((9,) * len(row), tuple(row), "", "stop", index) for index, row in enumerate(completions)
    ]
    return Group(prompt, tuple(rows), Sampling(group_size=len(rows)))


def padded(rows):
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def note(mismatch, groups, old):
    drawn = [one.logprobs for each in groups for one in each.completions]
    mask_N_T = padded([[1.0] * len(row) for row in drawn]).bool()
    mismatch.note(padded(old).requires_grad_(), padded(drawn), mask_N_T, groups)


def test_the_figures_are_those_of_the_formulas_whatever_the_micro_batches_and_ranks(problem):
    dice = random.Random(0)
    rows = []  # (visual tokens, drawn, old) of a completion
    for visual in (0, 3, 64, 65, 256, 257, 1024, 1025, 0):
        for _ in range(2):
            drawn = [-3 * dice.random() for _ in range(dice.randint(1, 6))]
            rows.append((visual, drawn, [value + dice.gauss(0, 0.3) for value in drawn]))
    ranks = [Mismatch(IMAGE, watches=True) for _ in range(2)]
    for place in range(0, len(rows), 2):
        pair = rows[place : place + 2]
        note(
            ranks[place % 4 // 2],
            [group(problem, pair[0][0], [drawn for _, drawn, _ in pair])],
            [old for _, _, old in pair],
        )
    halves = []
    Mismatch.figures(ranks[1], lambda own: halves.append(own) or own)
    found = ranks[0].figures(lambda own: torch.cat([own, *halves]))

    def gaps(wanted):
        pairs = [zip(old, drawn, strict=True) for visual, drawn, old in rows if wanted(visual)]
        return [one - other for pair in pairs for one, other in pair]

    def mean(values):
        return sum(values) / len(values)

    def expected(wanted, end=""):
        d = gaps(wanted)
        return {
            f"prob_error{end}": mean([math.exp(abs(x)) for x in d]),
            f"kl{end}": mean([math.exp(x) - 1 - x for x in d]),
            f"largest_gap{end}": max(map(abs, d)),
        }

    every = gaps(lambda visual: True)
    wanted = expected(lambda visual: True)
    wanted |= {"ratio": mean([math.exp(x) for x in every]), "largest_ratio": math.exp(max(every))}
    wanted |= expected(lambda visual: not visual, "_text") | expected(bool, "_pictures")
    for least, most, name in ((1, 64, "64"), (65, 256, "256"), (257, 1024, "1024"), (1025, 10**6, "more")):
        [value, *_] = expected(lambda visual, least=least, most=most: least <= visual <= most).values()
        wanted[f"prob_error_visual_{name}"] = value
    assert found == {f"{PREFIX}{name}": pytest.approx(value, rel=1e-5) for name, value in wanted.items()}
    assert ranks[0].figures(lambda own: own) == {}, "a step without an update has none"


def test_rows_of_one_kind_are_not_told_apart_and_no_number_is_infinite(problem):
    mismatch = Mismatch(IMAGE, watches=True)
    note(mismatch, [group(problem, 4, [[-900.0, -1.0]])], [[-1.0, -1000.0]])
    found = mismatch.figures(lambda own: own)
    assert set(found) == {
        f"{PREFIX}{name}" for name in ("prob_error", "kl", "ratio", "largest_gap", "largest_ratio")
    }
    assert all(math.isfinite(value) for value in found.values())
    assert found["mismatch/largest_gap"] == 20


def test_an_engine_that_shares_the_weights_has_no_figures(problem):
    mismatch = Mismatch(IMAGE, watches=False)
    note(mismatch, [group(problem, 4, [[-1.0]])], [[-2.0]])

    def refuse(_):
        raise AssertionError("an exchange")

    assert mismatch.figures(refuse) == {}


# The cause

SPEC = PolicySpec("observer:tiles")
SAMPLING = Sampling(group_size=4, max_tokens=20)


@pytest.fixture(scope="module")
def mixed(renderer, problem):
    """Rows that the model knows, half of them with a picture."""
    from observer.data import Tiles

    tiles = Tiles(rows=64).read()
    texts = [problem(f"What is {row} + 4?", id=f"text-{row}") for row in range(3)]
    return renderer.render([*(tiles[row] for row in range(3)), *texts])


def figures_of(policy, groups, image_id):
    """Those of a step, as the alarm sees them."""
    rows = [one.logprobs for each in groups for one in each.completions]
    with torch.no_grad():
        seen = policy.logprobs(groups, with_entropy=False)
    mismatch = Mismatch(image_id, watches=True)
    mismatch.note(seen.values_N_T, padded(rows), seen.mask_N_T, groups)
    gaps = (seen.values_N_T - padded(rows))[seen.mask_N_T].abs()
    return mismatch.figures(lambda own: own) | {"sampler_gap": float(gaps.mean())}


def steps_of(engine, policy, prompts, image_id, sampling=SAMPLING):
    """The figures of two steps, between which all weights are trained, far."""
    engine.sync(policy.weights(), 0)
    steps = [figures_of(policy, engine.generate(prompts, sampling), image_id)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.parameters():
            if weight.dim() > 1:
                weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=generator)
    engine.sync(policy.weights(), 1)
    return [*steps, figures_of(policy, engine.generate(prompts, sampling), image_id)]


def alarm(steps, window=2, coarse=False, **thresholds):
    """The alarm after many more steps like the last."""
    steps = [steps[0], *[steps[-1]] * 3]
    steps = [{**figures, "step": step} for step, figures in enumerate(steps)]
    return mismatched(steps[:window], steps, window, Alarms(**thresholds).thresholds, coarse)


FAULTS = {
    "a sync that hands over nothing": ("weights", {"stale": ""}),
    "a sync that leaves out the language model": ("weights", {"stale": "language_model"}),
    "a sync that leaves out the tower": ("features", {"stale": "visual"}),
    "another temperature": ("unlike", {"temperature": 1.5}),
    "log-probs from before the temperature": ("distribution", {"raw": True}),
    "fewer tokens": ("distribution", {"banned": range(20, 200)}),
    "darker pictures": ("pictures", {"bright": 0.6}),
    "bfloat16": ("rounding", {"dtype": "bfloat16"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cause_that_is_named_is_the_one_that_was_made(fault, fresh_policy, mixed, renderer):
    cause, options = FAULTS[fault]
    engine, coarse = OwnWeights(**options), "dtype" in options
    engine.start(SPEC)
    sampling = replace(SAMPLING, temperature=1.5) if "raw" in options else SAMPLING
    steps = steps_of(engine, fresh_policy(), mixed, renderer.image_id, sampling)
    limits = {"prob_error": 1.001, "token_gap": 0.01} if coarse else {}
    told = alarm(steps, coarse=coarse, **limits)
    assert (told.name, told.since, told.step) == ("prob_error", 2, 3)
    assert CAUSES[cause].partition("{")[0] in told.text
    alone = alarm(steps, coarse=coarse, **{**limits, "prob_error": None})
    assert alone.name == "token_gap"
    assert CAUSES[cause].partition("{")[0] in alone.text


def test_an_engine_that_syncs_all_is_told_nothing(fresh_policy, mixed, renderer):
    engine = OwnWeights()
    engine.start(SPEC)
    steps = steps_of(engine, fresh_policy(), mixed, renderer.image_id)
    assert max(step["mismatch/largest_gap"] for step in steps) < 10 * of_logprob()
    assert alarm(steps) is None


FINE = {"prob_error": 1.001, "kl": 1e-5, "ratio": 1.0, "largest_gap": 0.002, "largest_ratio": 1.002}
OLD = {"prob_error": 1.2, "kl": 0.04, "ratio": 1.0, "largest_gap": 1.5, "largest_ratio": 3.0}
OF_TOWER = OLD | {
    **{
        "prob_error_pictures": 1.4,
        "prob_error_text": 1.001,
        "largest_gap_pictures": 1.5,
        "largest_gap_text": 0.02,
    },
    **{"prob_error_visual_64": 1.01, "prob_error_visual_1024": 1.6},
}


def named(figures, gap=0.1):
    return {f"{PREFIX}{name}": value for name, value in figures.items()} | {"sampler_gap": gap}


def test_a_line_says_which_rows_are_off_by_how_much():
    line = str(alarm([named(FINE, 0.001), named(OF_TOWER)]))
    seen, _, cause = line.partition(". ")
    assert seen == (
        "ALARM prob_error, steps 2 to 3: probabilities of drawing and of training differ by a factor of 1.2 "
        "per token on average (1.4 with pictures, 1 without, 1.01 with up to 64 visual tokens, 1.6 with "
        "up to 1024 visual tokens)"
    )
    assert cause == CAUSES["features"]
    assert "\n" not in line
    undecided = alarm([named(FINE, 0.001), named(OLD)], prob_error=None).text
    assert undecided.startswith("log-probs of drawing and of training differ by 1.5 at the token where they")
    assert "All rows have pictures: whether these alone are off" in undecided


def test_one_step_a_short_run_a_threshold_of_null_and_steps_without_figures_raise_nothing():
    old = named(OLD)
    for options in ({"prob_error": None, "token_gap": None}, {"prob_error": 1.3, "token_gap": 2.0}):
        assert alarm([named(FINE), old], **options) is None
    once = [named(FINE) | {"step": 0}, old | {"step": 1}, named(FINE) | {"step": 2}]
    limits = Alarms().thresholds
    assert mismatched(once, once, 3, limits, False) is None
    assert mismatched(once[:2], once[:2], 3, limits, False) is None
    lacking = [{"sampler_gap": 3.0, "step": step} for step in range(5)]
    assert mismatched(lacking[:2], lacking, 2, limits, False) is None


@holds_for(
    ("options", "told"),
    [
        ({"prob_error": 0.5}, r"alarms\.prob_error is 0\.5"),
        ({"token_gap": -1.0}, r"alarms\.token_gap is -1\.0"),
    ],
)
def test_a_threshold_that_is_out_of_range_is_refused(options, told):
    with pytest.raises(RefusedError, match=told):
        Alarms(**options)
