"""`observer score`: completions of a file are worth what they would be in training; bad files are refused."""

import inspect
import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import lightning
import numpy as np
import pytest
import yaml

import runs
from observer.cli import main
from observer.learner import ObserveLearner
from observer.module import PolicyModule
from observer.objective import GroupMean, Terms, Uniform, weigh
from observer.rewards import Accuracy, Format
from observer.rollout import ScriptedEngine
from observer.score import command, worth
from observer.score.audit import disagreements, same_number, same_text
from observer.score.recipe import OPTIONS, read_job
from observer.score.table import Tally, draw
from observer.types import Completion, Experience, Group, Problem, Prompt, Sampling, Score, Turn, Verdict

ROOT = Path(__file__).parent.parent
QUICK = ["--config", "configs/quickstart.yaml"]
REFERENCE = ["--config", "configs/reference.yaml"]
FIELDS = ["id", "index", "verdict", "reason", "extracted", "formatted", "length", "parts", "reward"]
FIELDS += ["pass_rate", "weight", "advantage"]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def _no_tokenizer(monkeypatch):
    def refuse(spec):
        raise AssertionError(f"the processor of {spec.path} was asked for")

    monkeypatch.setattr(worth, "load_processor", refuse)


def response(answer):
    return f"<observe>a dial</observe>\n<think>it shows {answer}</think>\n<answer>{answer}</answer>"


def row(*answers, gold="7", **fields):
    """A row whose completions keep the format, 10 tokens each."""
    usual = {"question": "What?", "answer": gold, "images": [], "lengths": [10] * len(answers)}
    return usual | {"completions": [response(answer) for answer in answers]} | fields


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def scored(tmp_path):
    """Score rows; return the lines that come out."""

    def score(*rows, words=QUICK):
        (tmp_path / "out").mkdir(exist_ok=True)
        output = tmp_path / "out" / f"{len(list((tmp_path / 'out').iterdir()))}.jsonl"
        file = write(tmp_path / "rows.jsonl", *rows)
        assert main(["score", *words, "--input", str(file), "--output", str(output)]) == 0
        return read(output)

    return score


@pytest.fixture
def refused(tmp_path, capfd):
    """Score what must be refused; return the message. Nothing may be left behind."""

    def score(*rows, words=QUICK, text=None):
        file = write(tmp_path / "rows.jsonl", *rows)
        if text is not None:
            file.write_bytes(text)
        words = ["score", *words, "--input", str(file), "--output", str(tmp_path / "scored.jsonl")]
        assert main(words) == 2
        assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".py", ".yaml")] == [
            "rows.jsonl"
        ]
        return " ".join(capfd.readouterr().err.split())

    return score


# What it is worth


@pytest.mark.usefixtures("_no_tokenizer")
def test_the_reference_recipe_gives_its_check_values(scored):
    half = [7, 7, 7, 7, 8, 8, 8, 8]
    lines = scored(
        row(*half, gold="$7$", id="150", lengths=[200, 150, 201, 202, 90, 90, 90, 90]),
        row(*half, gold="$7$", id="100", lengths=[100, 150, 150, 150, 90, 90, 90, 90]),
        words=REFERENCE,
    )
    other, best, wrong = 1.513, 2.15, -1.672
    assert [line["reward"] for line in lines[:8]] == pytest.approx([1.5, 1.7, 1.5, 1.5, *[0.5] * 4])
    expected = [other, best, other, other, wrong, wrong, wrong, wrong]
    assert [line["advantage"] for line in lines[:8]] == pytest.approx(expected, abs=6e-4)
    expected = [1.684] * 4 + [-1.684] * 4
    assert [line["advantage"] for line in lines[8:]] == pytest.approx(expected, abs=6e-4)


@pytest.mark.usefixtures("_no_tokenizer")
def test_the_reference_recipe_weighs_0_to_8_of_8_right(scored):
    lines = scored(*(row(*[7] * k, *[8] * (8 - k)) for k in range(9)), words=REFERENCE)
    weights = [line["weight"] for line in lines[::8]]
    assert weights == pytest.approx([0, 0.7875, 1.35, 1.6875, 1.8, 1.6875, 1.35, 0.7875, 0], abs=1e-12)
    assert [line["pass_rate"] for line in lines[::8]] == [k / 8 for k in range(9)]
    assert [line["advantage"] for line in lines[:8] + lines[-8:]] == [0.0] * 16


def test_scoring_what_a_run_wrote_gives_what_the_run_computed(scored, tmp_path):
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    run = runs.trainer(tmp_path / "run", 1, enable_checkpointing=False)
    run.fit(learner, datamodule=runs.ladder(val=None))
    written = read(tmp_path / "run" / "completions.jsonl")
    groups = {}
    for line in written:
        groups.setdefault(line["id"], []).append(line)
    assert {line["finish_reason"] for line in written} == {"stop"}
    lines = scored(
        *(
            {
                "id": name,
                "question": group[0]["question"].replace("<image>", ""),
                "answer": group[0]["answer"],
                "completions": [line["text"] for line in group],
            }
            for name, group in groups.items()
        )
    )
    assert len(lines) == len(written) == 16
    assert len({line["advantage"] for line in lines}) > 3
    for line, trained in zip(lines, written, strict=True):
        assert line["length"] == trained["tokens"]
        for name in ("id", "index", "verdict", "reason", "extracted", "formatted"):
            assert line[name] == trained[name]
        for name in ("parts", "reward", "pass_rate", "weight", "advantage"):
            assert line[name] == pytest.approx(trained[name], abs=1e-6)


def test_a_line_a_completion_in_order_with_every_field(scored):
    lines = scored(row(7, "seven?", id="a"), row("B", gold="B", id="b"), row(1, 2, 3, id="c"))
    assert [(line["id"], line["index"]) for line in lines] == [
        *(("a", 0), ("a", 1), ("b", 0), ("c", 0), ("c", 1), ("c", 2))
    ]
    assert all(list(line) == FIELDS for line in lines)
    assert lines[0]["verdict"] == "correct"
    assert lines[0]["parts"] == {"accuracy": 1.0, "format": 1.0, "bonus": 1.0}
    assert (lines[1]["verdict"], lines[1]["extracted"]) == ("wrong", "seven?")
    assert "seven?" in lines[1]["reason"]


def test_a_completion_without_an_answer_says_why(scored):
    (line,) = scored(row(7, completions=["It is 7."]))
    assert (line["verdict"], line["extracted"], line["formatted"]) == ("wrong", None, False)
    assert line["reason"] == "<observe> is missing"


def test_a_completion_alone_has_nothing_to_be_compared_with(scored):
    lines = scored(row(7), row(8), words=REFERENCE)
    assert [line["advantage"] for line in lines] == [None, None]
    assert [line["pass_rate"] for line in lines] == [1.0, 0.0]


def test_advantages_are_cut_to_the_limit(scored):
    lines = scored(row(7, 8, 8, 8), words=[*QUICK, "--model.advantage_clip", "0.5"])
    assert [line["advantage"] for line in lines] == [0.5, -0.5, -0.5, -0.5]


def test_expressions_are_verified(scored):
    lines = scored(row("(x+1)^2", "x^2", gold="x^2+2x+1", kind="expression"))
    assert [line["verdict"] for line in lines] == ["correct", "wrong"]


def test_the_size_of_a_batch_changes_nothing(scored, monkeypatch):
    rows = [row(*([7] * (k % 4)), *([8] * (1 + k % 3)), id=f"r{k}") for k in range(24)]
    whole = scored(*rows)
    monkeypatch.setattr(command, "BATCH", 1)
    assert scored(*rows) == whole


# Lengths


def test_tokens_are_counted_with_the_tokenizer_of_the_configuration(scored, processor):
    texts = [response(7), "It is 7.", ""]
    lines = scored({"question": "What?", "answer": "7", "completions": texts})
    expected = [len(processor.tokenizer(text).input_ids) + 1 for text in texts]  # and the end token
    assert [line["length"] for line in lines] == expected


@pytest.mark.usefixtures("_no_tokenizer")
def test_no_tokenizer_is_loaded_where_lengths_are_given(scored):
    assert [line["length"] for line in scored(row(7, 8, lengths=[5, 0]))] == [5, 0]


def test_some_rows_with_and_some_without_lengths(scored):
    without = {"question": "What?", "answer": "7", "completions": [response(7), response(8)]}
    lines = scored(row(7, 8, lengths=[5, 6]), without, row(7, lengths=[9]))
    assert [line["length"] for line in lines[:2] + lines[4:]] == [5, 6, 9]
    assert lines[2]["length"] > 9


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "no model.policy.path names a tokenizer"),
        (["--model.policy.path", "./nowhere"], "holds no config.json"),
    ],
)
def test_a_tokenizer_that_is_needed_and_cannot_be_loaded_is_refused(refused, words, expected):
    message = refused(row(7), {"question": "q", "answer": "7", "completions": ["x"], "id": "me"}, words=words)
    assert expected in message
    assert "rows.jsonl:2: row 'me' has no lengths" in message
    assert "give `lengths` in every row" in message


# What is read of the configuration


def test_the_defaults_are_those_of_the_learner(tmp_path):
    job = read_job(ObserveLearner, ["--input", "a", "--output", "b"])
    defaults = {
        name: parameter.default
        for cls in (PolicyModule, ObserveLearner)
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
    }
    assert defaults.keys() >= OPTIONS
    recipe = job.recipe
    assert recipe.rubric.rewards == defaults["rewards"]
    assert recipe.rubric.response_format == defaults["response_format"]
    assert recipe.rubric.verifier.limits == defaults["verifier"]
    assert recipe.advantage == defaults["advantage"]
    assert recipe.combine == defaults["combine"]
    assert recipe.weighting == defaults["weighting"]
    assert (defaults["advantage_clip"], recipe.advantage_clip) == (None, float("inf"))
    assert (recipe.policy, job.audit) == (None, False)


def test_the_learner_of_a_configuration_gives_the_defaults():
    class Mine(ObserveLearner):
        def __init__(self, weighting=Uniform(), zeal: int = 1, **options):
            super().__init__(weighting=weighting, **options)

    given = ["--input", "a", "--output", "b"]
    assert read_job(Mine, given).recipe.weighting == Uniform()
    assert read_job(lightning.LightningModule, given).recipe.weighting != Uniform()


def test_sections_and_options_that_scoring_does_not_need_are_left_alone(scored, tmp_path):
    config = {
        "run_dir": 3,
        "model": {
            "policy": {"path": "./nowhere", "no_such_option": 1},
            "kl": "NoSuchTerm",
            "engine": {"class_path": "no.such.Engine"},
            "weighting": "Uniform",
        },
        "data": {"train": {"class_path": "NoSuchFormat"}},
        "trainer": None,
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    lines = scored(row(7, 8), words=["--config", str(tmp_path / "mine.yaml")])
    assert [line["weight"] for line in lines] == [1.0, 1.0]


def test_the_saved_configuration_of_a_run_scores_as_the_one_it_was_started_with(scored, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["fit", *REFERENCE, "--print_config"])
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    rows = [row(7, 7, 8, lengths=[150, 130, 90]), row(8, 7)]
    assert scored(*rows, words=["--config", str(tmp_path / "config.yaml")]) == scored(*rows, words=REFERENCE)


def test_options_and_later_configurations_override(scored, tmp_path):
    (tmp_path / "more.yaml").write_text("model: {rewards: {only: Accuracy}, advantage: GroupMean}")
    words = [*QUICK, f"--config={tmp_path / 'more.yaml'}", "--model.weighting", "Uniform"]
    lines = scored(row(7, 8), words=[*words, "--model.rewards.only.weight", "3"])
    assert [line["parts"] for line in lines] == [{"only": 1.0}, {"only": 0.0}]
    assert [line["advantage"] for line in lines] == [1.5, -1.5]
    (line, _) = scored(row(7, 8), words=["--model.rewards.format.weight", "0"])
    assert line["reward"] == 1.0


def test_strategies_of_ones_own_are_taken_from_plugins(scored, tmp_path):
    plugin = tmp_path / "strategies_to_score_with.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from observer.rewards import Reward\n"
        "@dataclass(frozen=True)\n"
        "class Tagged(Reward):\n"
        "    weight: float = 2.0\n"
        "    def __call__(self, group, scores, step):\n"
        "        return [float(group.problem.metadata['tag'])] * len(scores)\n"
    )
    config = f"plugins: ['{plugin}']\nmodel: {{rewards: {{tagged: Tagged}}}}"
    (tmp_path / "mine.yaml").write_text(config)
    lines = scored(row(7, 8, tag=4), words=["--config", str(tmp_path / "mine.yaml")])
    assert [(line["parts"], line["reward"]) for line in lines] == [({"tagged": 4.0}, 8.0)] * 2


@pytest.mark.parametrize(
    ("config", "words", "expected"),
    [
        ("model: {wieghting: Uniform}", [], ["wieghting"]),
        ("model: {weighting: Quadratik}", [], ["Quadratik", "Known by name", "Uniform"]),
        ("model: {rewards: {a: {class_path: Bonus, init_args: {tokens: 3}}}}", [], ["tokens"]),
        ("model: {rewards: {}}", [], ["rewards: the mapping is empty"]),
        ("model: {advantage_clip: -1}", [], ["model.advantage_clip is -1.0; it must be > 0"]),
        ("model: {verifier: {seconds: 0}}", [], ["seconds is 0"]),
        ("model: model.yaml", [], ["model is 'model.yaml'", "as a mapping"]),
        ("model: {}", ["--model.weighting.sigma", "-1"], ["sigma is -1.0"]),
        ("model: {}", ["--model.loss", "PPOClip"], ["model.loss"]),
        ("model: {}", ["--audits"], ["audits"]),
    ],
)
def test_wrong_options_are_refused(refused, tmp_path, config, words, expected):
    (tmp_path / "mine.yaml").write_text(config)
    message = refused(row(7), words=["--config", str(tmp_path / "mine.yaml"), *words])
    for part in expected:
        assert part in message


# What is refused


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"completions": None}, "completions is None; write a list of at least one text"),
        ({"completions": []}, "completions is []; write a list of at least one text"),
        ({"completions": "7"}, "completions is '7'"),
        ({"completions": ["7", 7]}, "completions[1] is 7 (int); write a text"),
        ({"lengths": [1, 2]}, "lengths holds 2 numbers for 1 completions; write one for each"),
        ({"lengths": 3}, "lengths is 3; write a list of whole numbers, or leave it out"),
        ({"lengths": [-1]}, "lengths[0] is -1; write a whole number from 0 to 1,000,000"),
        ({"lengths": [1.0]}, "lengths[0] is 1.0"),
        ({"lengths": [True]}, "lengths[0] is True"),
        ({"lengths": [10**9]}, "lengths[0] is 1000000000"),
        ({"answer": "?"}, "'?'"),
        ({"answer": "red", "kind": "integer"}, "'red' is no integer"),
        ({"answer": "\\frac{", "kind": "expression"}, "'\\\\frac{'"),
        ({"kind": "colour"}, "kind is 'colour'"),
        ({"question": ""}, "question is ''"),
        ({"images": ["a.png", 3]}, "images is"),
        ({"id": "first"}, "its id is taken by line 1"),
    ],
)
def test_a_bad_row_is_named_with_line_id_and_value(refused, fields, expected):
    message = refused(row(7, id="first"), row(7, id="bad") | fields, row(7, id="last"))
    assert "rows.jsonl holds 1 bad row; mend or remove them" in message
    assert f"rows.jsonl:2: row '{fields.get('id', 'bad')}': " in message
    assert expected in message


def test_a_row_without_completions_is_refused(refused):
    assert "add the field `completions`" in refused({"id": "a", "question": "q", "answer": "7"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{broken\n", "rows.jsonl:1: row 'rows.jsonl:1': is no JSON"),
        (b"\n\n[1]\n", "rows.jsonl:3: row 'rows.jsonl:3': is [1]; write a JSON object"),
        (b'{"id": "\xff"}', "is no UTF-8 at byte 8"),
        (b'{"completions": ["\\ud800"]}', "half of a surrogate pair"),
        (b'{"lengths": [NaN]}', "holds NaN"),
        (b"\n \n", "holds no row; write one JSON object a line"),
    ],
)
def test_a_broken_file_is_refused(refused, text, expected):
    assert expected in refused(text=text)


def test_the_first_ten_bad_rows_are_listed_at_once(refused):
    message = refused(*(row(7, id=f"r{k}", answer="?") for k in range(30)))
    assert "holds 10 bad rows or more (reading stopped here)" in message
    assert "row 'r9'" in message
    assert "row 'r10'" not in message


@pytest.mark.usefixtures("_no_tokenizer")
def test_pictures_are_not_opened(scored):
    (line,) = scored(row(7, question="<image>What?", images=["nowhere.png"]))
    assert line["verdict"] == "correct"


def test_a_missing_input_is_refused(tmp_path, capfd):
    words = ["score", *QUICK, "--input", str(tmp_path / "no.jsonl"), "--output", str(tmp_path / "s.jsonl")]
    assert main(words) == 2
    assert "there is no such file" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["scored.jsonl", "scored.audit.jsonl"])
def test_an_existing_output_is_refused(tmp_path, capfd, taken):
    file = write(tmp_path / "rows.jsonl", row(7))
    (tmp_path / taken).write_text("precious")
    words = ["score", *QUICK, "--input", str(file), "--output", str(tmp_path / "scored.jsonl"), "--audit"]
    assert main(words) == 2
    assert f"{taken} exists; name a file that does not" in capfd.readouterr().err
    assert (tmp_path / taken).read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_output_that_cannot_be_written_is_refused(tmp_path, capfd):
    file = write(tmp_path / "rows.jsonl", row(7))
    assert main(["score", *QUICK, "--input", str(file), "--output", str(file / "scored.jsonl")]) == 2
    assert "cannot be written" in capfd.readouterr().err


def test_a_reward_that_fails_leaves_no_half_written_file(tmp_path, monkeypatch):
    def fail(self, group, scores, step):
        if group.problem.id == "last":
            raise OSError("no such luck")
        return [0.0] * len(scores)

    monkeypatch.setattr(Format, "__call__", fail)
    monkeypatch.setattr(command, "BATCH", 1)
    file = write(tmp_path / "rows.jsonl", row(7, id="first"), row(7, id="last"))
    words = ["score", *QUICK, "--input", str(file), "--output", str(tmp_path / "scored.jsonl"), "--audit"]
    with pytest.raises(RuntimeError, match="reward format, row last, step 0"):
        main(words)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


# The audit


def experience(*rows):
    """An experience of (gold, verdict, extracted) by group, of one completion each."""
    groups, scores = [], []
    for place, (gold, verdict, extracted) in enumerate(rows):
        problem = Problem(f"p{place}", place, (Turn("user", "What?"),), gold, "number")
        completions = (Completion((0,), (0.0,), "", "stop", 0),)
        groups.append(Group(Prompt(problem, ()), completions, Sampling(group_size=1)))
        scores.append((Score(verdict, "timed out after 5 s", extracted, True, {"a": float(place)}),))
    return weigh(groups, scores, Terms({}, ()), GroupMean(), Uniform())


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
    assert cells(text, "tokens a completion") == ["10.0", "100"]
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


def parts_of(values_N_K, names):
    """An experience of one group with these parts."""
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
    return weigh([group], [scores], Terms({}, ()), GroupMean(), Uniform())


def test_means_spreads_and_correlations_are_those_of_all_completions():
    generator = np.random.default_rng(0)
    values_N_K = generator.normal(size=(90, 3)) @ generator.normal(size=(3, 3)) + [0, 1e6, -3]
    names = ["a", "b", "c"]
    tally = Tally(dict.fromkeys(names, Accuracy()))
    for first, last in ((0, 7), (7, 8), (8, 60), (60, 90)):
        tally.add(parts_of(values_N_K[first:last], names))
    together = np.column_stack([values_N_K, values_N_K.sum(-1)])
    assert tally.parts.mean == pytest.approx(together.mean(0), rel=1e-12)
    assert tally.parts.spread == pytest.approx(together.std(0, ddof=1), rel=1e-6)
    assert tally.parts.correlation == pytest.approx(np.corrcoef(together.T), abs=1e-6)


def test_what_never_changes_correlates_with_nothing():
    tally = Tally(dict.fromkeys("ab", Accuracy()))
    for size in (3, 11, 7):  # means of .1 that round differently
        values = np.column_stack([np.full(size, 0.1), np.arange(size)])
        tally.add(parts_of(values, "ab"))
    assert np.isnan(tally.parts.correlation[0]).all()
    assert tally.parts.correlation[1, 1] == pytest.approx(1)


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
        tally.add(parts_of(rows[first:last], names))
    for place in range(3):
        own = values_N_K[there[:, place], place]
        assert tally.parts.mean[place] == pytest.approx(own.mean(), rel=1e-12)
        assert tally.parts.spread[place] == pytest.approx(own.std(ddof=1), rel=1e-6)
    both = there[:, 0] & there[:, 1]
    expected = np.corrcoef(values_N_K[both, 0], values_N_K[both, 1])[0, 1]
    assert tally.parts.correlation[0, 1] == tally.parts.correlation[1, 0] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(
        [
            tally.parts.mean[3],
            tally.parts.spread[3],
            tally.parts.correlation[0, 2],
            *tally.parts.correlation[3],
        ]
    ).all()
    draw(tally)


def test_a_part_that_does_not_apply_is_null_in_the_file_and_a_dash_in_the_table(tmp_path, capsys):
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
    assert [line["parts"] for line in lines] == [
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


def test_tables_of_seven_parts_fit_80_columns(capsys):
    from rich.console import Console

    names = [f"observation_part_{k}" for k in range(7)]
    tally = Tally(dict.fromkeys(names, Accuracy()))
    tally.add(parts_of(np.random.default_rng(0).normal(size=(40, 7)), names))
    Console(width=80).print(*draw(tally))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "6 observation_part_5" in text
    assert len(re.findall(r"[+-]\d\.\d\d", text.partition("correlation")[2])) == 28 + 7


# Examples and speed


def test_the_example_of_the_readme_gives_what_one_expects(tmp_path, monkeypatch, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (rows,) = re.findall(r"^```jsonl\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (line,) = [line for line in readme.splitlines() if line.startswith(".venv/bin/observer score")]
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    words = shlex.split(line)[1:]
    words[words.index("--config") + 1] = str(ROOT / "configs" / "quickstart.yaml")
    monkeypatch.chdir(tmp_path)
    words += ["--model.policy.path", runs.CHECKPOINT]
    assert main(words) == 0
    lines = read(tmp_path / "scored.jsonl")
    assert [(line["id"], line["verdict"]) for line in lines] == [
        *(("sum", "correct"), ("sum", "wrong"), ("sum", "wrong")),
        *(("share", "wrong"), ("share", "correct")),
    ]
    assert [line["formatted"] for line in lines] == [True, True, False, True, True]
    assert "what was scored" in capsys.readouterr().out


def test_help_names_what_scoring_reads(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["score", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--input", "--output", "--audit", "--model.policy.path", "--plugins", *sorted(OPTIONS)):
        assert option in text
    assert "--model.loss" not in text


def many(path, rows):
    """A file of rows of 8 completions with answers of several kinds."""
    answers = ["17", "3.14", "1/4", "B. square"]
    with path.open("w") as file:
        for place in range(rows):
            gold = answers[place % 4]
            mixed = [gold if place * 7 % (i + 2) else str(i) for i in range(8)]
            content = row(*mixed, gold=gold, id=f"r{place}")
            content["completions"] = [
                text.replace("it shows", "we see that it holds " * 30) for text in content["completions"]
            ]
            del content["lengths"]
            file.write(json.dumps(content) + "\n")
    return path


@pytest.mark.slow
def test_10_000_completions_take_under_a_minute_and_100_000_no_more_memory(tmp_path):
    script = (
        "import resource, sys; from observer.cli import main; assert main(sys.argv[1:]) == 0; "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "print(used.ru_maxrss // 1024, used.ru_utime + used.ru_stime)"
    )
    peaks = []
    for rows, limit in ((1250, 40), (12500, 120)):
        words = ["score", *QUICK, "--input", str(many(tmp_path / f"{rows}.jsonl", rows))]
        words += ["--output", str(tmp_path / f"{rows}.out.jsonl"), "--audit"]
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
        )
        assert len(read(tmp_path / f"{rows}.out.jsonl")) == 8 * rows
        peak, seconds = map(float, done.stdout.splitlines()[-1].split())
        assert seconds < limit  # of the processor, its imports included: others may be using the machine
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 60
