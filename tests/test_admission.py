import json
from dataclasses import dataclass
from types import SimpleNamespace

import lightning
import numpy as np
import pytest

import runs
import stand_in
from observer.data import Jsonl, LadderDataModule, RowFormat, Rows, Tiles
from observer.data.checks.admission import Fault, faults_of_golds, refused_rows
from observer.rollout import PromptRenderer, ScriptedEngine
from observer.types import Problem, RefusedError, Turn, Verdict
from observer.verifier import Limits, Question, Result, Verifier
from observer.verifier import verifier as verifier_module


class _Listed(Rows):
    """Text questions with these gold answers, all expressions."""

    def __init__(self, answers):
        self.answers = answers
        self.difficulty = np.zeros(len(answers), np.float32)
        self.complexity = np.zeros(len(answers), np.float32)
        self.level = np.zeros(len(answers), np.int64)

    def __len__(self):
        return len(self.answers)

    def __getitem__(self, row):
        text = "What is it? " * (30 if self.answers[row] == "long" else 1)
        turns = (Turn("user", text),)
        return Problem(f"r{row}", row, turns, self.answers[row], "expression", source=f"rows.jsonl:{row + 1}")

    def checked_rows(self):
        return range(len(self))


@dataclass(frozen=True)
class _Expressions(RowFormat):
    answers: tuple
    on_bad_row: str = "refuse"

    def read(self):
        return _Listed(self.answers)


class Noting(Verifier):
    """Finds some gold answers unverifiable or wrong, and keeps the batches that it is given."""

    def __init__(self, bad=(), **limits):
        super().__init__(Limits(**limits))
        self.bad = dict(bad)
        self.batches = []

    def verify_all(self, questions):
        self.batches.append([question.gold for question in questions])
        assert all(question.gold == question.prediction for question in questions)
        return [Result(self.bad.get(question.gold, Verdict.CORRECT), "because") for question in questions]

    @property
    def asked(self):
        return [gold for batch in self.batches for gold in batch]


@pytest.fixture
def isolated(monkeypatch):
    """Factory of verifiers whose checker of expressions does what the answer says."""
    monkeypatch.setattr(verifier_module, "PROGRAM", stand_in.PROGRAM)
    made = []

    def make(**limits):
        made.append(Verifier(Limits(**limits)))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


def admitted(renderer, verifier, folder, rows, **options):
    module = LadderDataModule(**{"train": rows, "prompts_per_step": 2, **options})
    module.setup("fit")
    module.admit(renderer, verifier, folder)
    return module


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


UNVERIFIABLE = {"?": Verdict.UNVERIFIABLE}


# What it costs


def test_kinds_that_were_checked_when_they_were_read_cost_nothing(renderer, tmp_path):
    verifier = Noting()
    admitted(renderer, verifier, tmp_path, Tiles(rows=64), val=Tiles(rows=8, split="val"))
    assert verifier.batches == []
    assert verifier._process is None


def test_each_distinct_gold_answer_is_verified_once(renderer):
    verifier = Noting()
    rows = _Listed(["x", "y", "x"] * 100)
    assert refused_rows(rows, renderer, verifier) == []
    assert verifier.asked == ["x", "y"]


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ({}, 48),
        ({"workers": 1, "seconds": 10, "batch_seconds": 40}, 2),
        ({"seconds": 9, "batch_seconds": 1}, 1),
    ],
)
def test_batches_end_before_their_deadline_even_when_every_answer_is_slow(limits, size):
    verifier = Noting(**limits)
    golds = [Question("expression", str(gold), str(gold)) for gold in range(100)]
    assert faults_of_golds(golds, verifier) == {}
    assert [len(batch) for batch in verifier.batches] == [size] * (100 // size) + [100 % size] * (
        100 % size > 0
    )
    assert verifier.asked == [gold.gold for gold in golds]


# What is refused


def test_golds_that_no_rule_can_check_are_refused_with_row_answer_and_reason(renderer, tmp_path):
    with pytest.raises(RefusedError) as caught:
        admitted(renderer, Noting(UNVERIFIABLE), tmp_path, _Expressions(("x", "?", "y", "?")))
    message = str(caught.value)
    assert message.startswith("data.train: 2 rows are refused, the first:\nrows.jsonl:2: row 'r1': ")
    assert "no rule can check the answer '?' (kind expression): because; correct the answer" in message
    assert "rows.jsonl:4: row 'r3'" in message


def test_a_gold_that_is_not_found_right_itself_is_refused(renderer):
    ((row, error),) = refused_rows(_Listed(["x", "NaN"]), renderer, Noting({"NaN": Verdict.WRONG}))
    assert row == 1
    assert "is not found equal to itself: because" in str(error)


def test_held_out_golds_are_checked_too(renderer, tmp_path):
    with pytest.raises(RefusedError, match=r"data.val: 1 rows are refused, .*\n.*row 'r2'"):
        admitted(renderer, Noting(UNVERIFIABLE), tmp_path, Tiles(rows=8), val=_Expressions(("x", "y", "?")))


def test_rows_with_unverifiable_golds_are_skipped_and_listed_on_request(processor, tmp_path):
    renderer = PromptRenderer(processor, system_prompt="", max_tokens=60)
    rows = _Expressions(("?", "x", "long", "y", "?", "z"), on_bad_row="skip")
    module = admitted(renderer, Noting(UNVERIFIABLE), tmp_path, rows)
    assert [problem.id for problem in module.rows["train"]] == ["r1", "r3", "r5"]
    assert [problem.row for problem in module.rows["train"]] == [0, 1, 2]
    listed = read(tmp_path / "skipped_rows.jsonl")
    assert [(row["id"], row["line"]) for row in listed] == [("r0", 1), ("r2", 3), ("r4", 5)]
    assert listed[0]["reason"].startswith("no rule can check the answer '?' (kind expression): because")
    assert listed[1]["reason"].startswith("its prompt has ")


def test_a_gold_that_takes_too_long_is_refused_and_no_other_for_it(renderer, isolated):
    verifier = isolated(workers=1, seconds=0.3, batch_seconds=0.7)
    rows = _Listed(["sleep 60", "x", "sleep 61", "y"])  # in one batch the last would be too late
    bad = refused_rows(rows, renderer, verifier)
    assert [row for row, _ in bad] == [0, 2]
    assert all("timed out after 0.3 s" in str(error) for _, error in bad)


# Several ranks


def test_ranks_share_the_golds_and_agree_on_what_only_one_of_them_found(renderer):
    rows = _Listed(["a", "b", "c", "b", "d", "e"])
    verifiers = [Noting({"b": Verdict.UNVERIFIABLE}), Noting({"c": Verdict.UNVERIFIABLE, "b": Verdict.WRONG})]
    found = []
    for rank, verifier in enumerate(verifiers):
        refused_rows(rows, renderer, verifier, rank, 2, lambda faults: found.append(faults) or faults)
    assert [verifier.asked for verifier in verifiers] == [["a", "c", "e"], ["b", "d"]]
    joined = {gold: fault for faults in found for gold, fault in faults.items()}
    both = [refused_rows(rows, renderer, verifiers[rank], rank, 2, lambda faults: joined) for rank in (0, 1)]
    assert [[row for row, _ in bad] for bad in both] == [[1, 3], [1, 3]]


def test_the_data_module_asks_every_rank_what_it_found(renderer, tmp_path):
    theirs = {Question("expression", "z", "z"): Fault("too slow there", lasting=False)}

    def broadcast(faults, src):
        return theirs if src == 1 else faults

    module = LadderDataModule(
        train=_Expressions(("?", "y", "x", "z", "w"), on_bad_row="skip"), prompts_per_step=2
    )
    module.trainer = SimpleNamespace(
        global_rank=0, world_size=2, strategy=SimpleNamespace(broadcast=broadcast)
    )
    module.setup("fit")
    verifier = Noting(UNVERIFIABLE)
    module.admit(renderer, verifier, tmp_path)
    assert verifier.asked == ["?", "x", "w"]
    assert [problem.answer for problem in module.rows["train"]] == ["y", "x", "w"]


# With the real checker, and in a run


def test_expressions_that_look_well_and_cannot_be_compared_are_refused(renderer, tmp_path):
    answers = [r"\frac{1}{2}x", "x+", r"\frac{1}{0}", "7", r"\sqrt{2}"]
    lines = [{"question": "What is it?", "answer": answer, "kind": "expression"} for answer in answers]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    verifier = Verifier(Limits(workers=1))
    rows = Jsonl(str(tmp_path / "rows.jsonl"), on_bad_row="skip")
    module = admitted(renderer, verifier, tmp_path, rows)
    verifier.close()
    assert [problem.answer for problem in module.rows["train"]] == [answers[0], answers[3], answers[4]]
    reasons = [row["reason"] for row in read(tmp_path / "skipped_rows.jsonl")]
    assert (
        "the gold answer 'x+' cannot be read (kind expression); correct the answer or its kind" in reasons[0]
    )
    assert r"'\\frac{1}{0}' does not equal itself (kind expression); correct the answer" in reasons[1]


def test_a_run_counts_what_is_timed_out_and_leaves_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(verifier_module, "PROGRAM", stand_in.PROGRAM)
    texts = [f"<observe>1</observe><think>1</think><answer>{text}</answer>" for text in ("x", "sleep 60")]
    learner = runs.learner(
        engine=ScriptedEngine(texts), group_size=2, verifier=Limits(workers=2, seconds=0.3)
    )
    verifier = learner.answerer.rubric.verifier
    stopping = _Watch(verifier)
    trainer = runs.trainer(tmp_path, 1, callbacks=[stopping])
    data = runs.data_module(train=_Expressions(("x",) * 4), val=None, test=None)
    trainer.fit(learner, datamodule=data)
    assert verifier.limits == Limits(workers=2, seconds=0.3)
    assert float(trainer.callback_metrics["train/unverifiable"]) == 0.5
    assert float(trainer.callback_metrics["zoom_rollout/timed_out"]) == 0.5
    assert float(trainer.callback_metrics["train/accuracy"]) == 0.5
    assert stopping.process.poll() is not None
    lines = read(tmp_path / "completions.jsonl")
    assert [line["verdict"] for line in lines] == ["correct", "unverifiable"] * 4
    assert all(line["reason"] == "timed out after 0.3 s" for line in lines[1::2])


class _Watch(lightning.Callback):
    """Keeps the process that checks answers, which lives at the end of a step."""

    def __init__(self, verifier):
        self.verifier = verifier

    def on_train_batch_end(self, *_):
        self.process = self.verifier._process
        assert self.process.poll() is None
