"""What `observer score` prints: the audit and the tables."""

import math
import re

import numpy as np
import pytest

from observer.cli import main
from observer.objective import ComponentWeights, GroupMean, Uniform, weigh
from observer.rewards import Accuracy
from observer.score.audit import disagreements, same_number, same_text
from observer.score.table import Tally, draw
from observer.types import Completion, Experience, Group, Problem, Prompt, Sampling, Score, Turn, Verdict
from scoring import QUICK, read, response, row, write

pytestmark = pytest.mark.usefixtures("in_the_repository")


# The audit


def experience(*rows):
    """An experience of (gold, verdict, extracted) by group, of one completion each; unverifiable is late."""
    groups, scores = [], []
    for place, (gold, verdict, extracted) in enumerate(rows):
        problem = Problem(f"p{place}", place, (Turn("user", "What?"),), gold, "number")
        completions = (Completion((0,), (0.0,), "", "stop", 0),)
        groups.append(Group(Prompt(problem, ()), completions, Sampling(group_size=1)))
        late = verdict is Verdict.UNVERIFIABLE
        scores.append((Score(verdict, "", extracted, True, {"a": float(place)}, timed_out=late),))
    return weigh(groups, scores, ComponentWeights({}, ()), GroupMean(), Uniform())


def test_the_audit_lists_correct_answers_that_differ_and_wrong_ones_that_are_the_same():
    correct, wrong, unverifiable = Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE
    listed = disagreements(
        experience(
            ("7", correct, "7.0"),
            ("7", correct, "8"),
            ("7", correct, None),
            ("$7$", wrong, " 7."),
            ("7", wrong, "7.0"),  # the same number in another form is the kind's business
            ("7", wrong, "8"),
            ("7", wrong, None),
            ("7", unverifiable, "7"),
            ("red", correct, "Red"),
        )
    )
    assert [(record["id"], record["audit"]) for record in listed] == [
        *(("p1", "different"), ("p2", "different"), ("p3", "same text"))
    ]


@pytest.mark.parametrize(
    ("gold", "extracted", "text", "number"),
    [
        ("7", "7", True, True),
        ("$7$.", "７", True, True),
        ("1,234.50", "1234.5", False, True),
        ("1,23", "123", False, False),
        ("3", "3.0000001", False, True),
        ("3", "3.0001", False, False),
        ("10", "1_0", False, False),
        ("nan", "nan", True, False),
        ("", "", True, False),
        ("red square", "RED  square ", True, False),
        (".5", "5", False, False),
    ],
)
def test_the_second_checker(gold, extracted, text, number):
    assert (same_text(gold, extracted), same_number(gold, extracted)) == (text, number)


def test_all_disagreements_are_written_and_20_shown(tmp_path, capsys):
    rows = [row("1/2", gold="0.5", id=f"[red]r{k}\x1b") for k in range(25)]
    file = write(tmp_path / "rows.jsonl", *rows)
    words = ["score", *QUICK, "--input", str(file), "--output", str(tmp_path / "scored.jsonl"), "--audit"]
    assert main(words) == 0
    records = read(tmp_path / "scored.audit.jsonl")
    assert [record["id"] for record in records] == [line["id"] for line in rows]
    assert records[0] | {"id": "", "reason": ""} == {
        **{"id": "", "index": 0, "kind": "number", "answer": "0.5", "extracted": "1/2"},
        **{"verdict": "correct", "reason": "", "audit": "different"},
    }
    shown = capsys.readouterr().out
    assert shown.count("[red]r") == 20
    assert "\x1b" not in shown
    assert ": 25" in shown
    assert str(tmp_path / "scored.audit.jsonl") in shown


def test_an_audit_without_disagreements_says_so(tmp_path, capsys):
    file = write(tmp_path / "rows.jsonl", row(7, 8))
    words = ["score", *QUICK, "--input", str(file), "--output", str(tmp_path / "scored.jsonl"), "--audit"]
    assert main(words) == 0
    assert (tmp_path / "scored.audit.jsonl").read_text() == ""
    assert "a second checker would have given every verdict" in capsys.readouterr().out


# The table


def cells(text, name):
    """The figures of the first row of that name in the printed tables."""
    line = next(line for line in text.splitlines() if re.match(rf"│\s+{re.escape(name)}\s+│", line))
    return [cell.strip() for cell in line.strip("│").split("│")[1:]]


def test_the_table_says_what_was_scored(tmp_path, capsys):
    rows = [row(7, 7, 7, 8), row(8, 8, 8, 8), row(7, 8, completions=["It is 7.", response(8)])]
    file = write(tmp_path / "rows.jsonl", *rows)
    assert main(["score", *QUICK, "--input", str(file), "--output", str(tmp_path / "scored.jsonl")]) == 0
    text = capsys.readouterr().out
    assert cells(text, "completions") == ["", "10"]
    assert cells(text, "correct") == ["0.300", "3"]
    assert cells(text, "formatted") == ["0.900", "9"]
    assert cells(text, "unverifiable") == ["0.000", "0"]
    assert cells(text, "pass rate of a row") == ["0.250", ""]
    assert cells(text, "zero-signal rows") == ["0.667", "2"]  # the last has pass rate 0, so weight 0
    assert cells(text, "tokens per completion") == ["10.0", "100"]
    assert cells(text, "accuracy") == ["1", "0.300", "0.483", "reward"]
    assert cells(text, "bonus") == ["0.2", "0.100", "0.161", "advantage"]
    assert cells(text, "reward")[1] == "0.750"
    assert cells(text, "3 bonus") == ["+1.00", "+0.22", "+1.00"]


def test_unverifiable_and_timed_out_answers_are_counted_apart():
    tally = Tally({"a": Accuracy()})
    tally.add(experience(("7", Verdict.UNVERIFIABLE, "7"), ("7", Verdict.WRONG, "8")))
    tally.add(experience(("7", Verdict.UNVERIFIABLE, "7")))
    assert (tally.verdicts[Verdict.UNVERIFIABLE], tally.timed_out, tally.completions) == (2, 2, 3)
    scores = ((Score(Verdict.UNVERIFIABLE, "too much memory", "7", True, {"a": 0.0}),),)
    of_memory = experience(("7", Verdict.UNVERIFIABLE, "7"))
    tally.add(Experience(**{**vars(of_memory), "scores": scores}))
    assert (tally.verdicts[Verdict.UNVERIFIABLE], tally.timed_out) == (3, 2)


def components_of(values_N_K, names):
    """An experience of one group with these components."""
    problem = Problem("p", 0, (Turn("user", "What?"),), "7", "number")
    completions = tuple(Completion((0,), (0.0,), "", "stop", i) for i in range(len(values_N_K)))
    scores = [
        Score(
            Verdict.WRONG,
            "",
            None,
            True,
            dict(zip(names, values, strict=True)),
            reward=sum(value or 0.0 for value in values),
        )
        for values in values_N_K.tolist()
    ]
    group = Group(Prompt(problem, ()), completions, Sampling(group_size=len(scores)))
    return weigh([group], [scores], ComponentWeights({}, ()), GroupMean(), Uniform())


def test_means_spreads_and_correlations_are_those_of_all_completions():
    generator = np.random.default_rng(0)
    values_N_K = generator.normal(size=(90, 3)) @ generator.normal(size=(3, 3)) + [0, 1e6, -3]
    names = ["a", "b", "c"]
    tally = Tally(dict.fromkeys(names, Accuracy()))
    for first, last in ((0, 7), (7, 8), (8, 60), (60, 90)):
        tally.add(components_of(values_N_K[first:last], names))
    together = np.column_stack([values_N_K, values_N_K.sum(-1)])
    assert tally.components.mean == pytest.approx(together.mean(0), rel=1e-12)
    assert tally.components.spread == pytest.approx(together.std(0, ddof=1), rel=1e-6)
    assert tally.components.correlation == pytest.approx(np.corrcoef(together.T), abs=1e-6)


def test_what_never_changes_correlates_with_nothing():
    tally = Tally(dict.fromkeys("ab", Accuracy()))
    for size in (3, 11, 7):  # means of .1 that round differently
        values = np.column_stack([np.full(size, 0.1), np.arange(size)])
        tally.add(components_of(values, "ab"))
    assert np.isnan(tally.components.correlation[0]).all()
    assert tally.components.correlation[1, 1] == pytest.approx(1)


def test_parts_that_do_not_apply_are_left_out_of_means_spreads_and_correlations():
    generator = np.random.default_rng(0)
    values_N_K = generator.normal(size=(90, 3)) @ generator.normal(size=(3, 3)) + [0, 1e6, -3]
    there = generator.random((90, 3)) < 0.7
    there[:9, 0] = False  # a whole batch
    there[:, 2] &= ~there[:, 0]  # never both
    names = ["a", "b", "c", "never"]
    tally = Tally(dict.fromkeys(names, Accuracy()))
    rows = np.where(there, values_N_K, None)
    rows = np.column_stack([rows, np.full(90, None)])
    for first, last in ((0, 9), (9, 60), (60, 90)):
        tally.add(components_of(rows[first:last], names))
    for place in range(3):
        own = values_N_K[there[:, place], place]
        assert tally.components.mean[place] == pytest.approx(own.mean(), rel=1e-12)
        assert tally.components.spread[place] == pytest.approx(own.std(ddof=1), rel=1e-6)
    both = there[:, 0] & there[:, 1]
    expected = np.corrcoef(values_N_K[both, 0], values_N_K[both, 1])[0, 1]
    assert (
        tally.components.correlation[0, 1]
        == tally.components.correlation[1, 0]
        == pytest.approx(expected, abs=1e-6)
    )
    assert np.isnan(
        [
            tally.components.mean[3],
            tally.components.spread[3],
            tally.components.correlation[0, 2],
            *tally.components.correlation[3],
        ]
    ).all()
    draw(tally)


def test_a_component_that_does_not_apply_is_null_in_the_file_and_a_dash_in_the_table(tmp_path, capsys):
    plugin = tmp_path / "rewards_that_apply_to_some.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from observer.rewards import Reward\n"
        "@dataclass(frozen=True)\n"
        "class Some(Reward):\n"
        "    weight: float = 2.0\n"
        "    first: float | None = None\n"
        "    def __call__(self, group, scores, step):\n"
        "        return [self.first, *[None] * (len(scores) - 1)]\n"
    )
    some = "{class_path: Some, init_args: {first: 1.0}}"
    config = f"plugins: ['{plugin}']\nmodel: {{rewards: {{accuracy: Accuracy, some: {some}, none: Some}}}}"
    (tmp_path / "mine.yaml").write_text(config)
    file = write(tmp_path / "rows.jsonl", row(7, 8, 8))
    words = ["--config", str(tmp_path / "mine.yaml"), "--input", str(file)]
    assert main(["score", *words, "--output", str(tmp_path / "scored.jsonl")]) == 0
    lines = read(tmp_path / "scored.jsonl")
    assert [line["components"] for line in lines] == [
        {"accuracy": accuracy, "some": some, "none": None}
        for accuracy, some in ((1.0, 1.0), (0.0, None), (0.0, None))
    ]
    assert [line["reward"] for line in lines] == [3.0, 2.0, 2.0]  # the mean of the others stands in
    text = capsys.readouterr().out
    assert cells(text, "some") == ["2", "1.000", "0.000", "reward"]
    assert cells(text, "none") == ["2", "-", "-", "reward"]


def test_rewards_are_combined_as_the_configuration_says(scored):
    words = [*QUICK, "--model.weighting", "Uniform", "--model.rewards.bonus.weight", "0"]
    rows = row(7, 8, completions=[response(7), response(8), "It is 7."], lengths=[5, 5, 5])
    summed, apart = (
        [line["advantage"] for line in scored(rows, words=[*words, "--model.combine", combine])]
        for combine in ("sum_then_normalise", "normalise_then_sum")
    )
    assert summed == pytest.approx(
        [value / math.sqrt(7 / 12) for value in (1.5 - 2 / 3, 0.5 - 2 / 3, -2 / 3)]
    )
    third = 1 / math.sqrt(3)  # spread of both rewards
    sums = [(2 / 3 + 0.5 / 3) / third, (-1 / 3 + 0.5 / 3) / third, (-1 / 3 - 0.5 * 2 / 3) / third]
    assert apart == pytest.approx([value / np.std(sums, ddof=1) for value in sums])


def test_tables_of_seven_components_fit_80_columns(capsys):
    from rich.console import Console

    names = [f"observation_part_{k}" for k in range(7)]
    tally = Tally(dict.fromkeys(names, Accuracy()))
    tally.add(components_of(np.random.default_rng(0).normal(size=(40, 7)), names))
    Console(width=80).print(*draw(tally))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "6 observation_part_5" in text
    assert len(re.findall(r"[+-]\d\.\d\d", text.partition("correlation")[2])) == 28 + 7
