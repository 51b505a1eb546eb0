"""Does the model look? A scripted model that does, one that does not; decoys; the audit in training."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

import laddered
import runs
from laddered import MODEL, PLAIN, Silent
from observer.data import Tiles
from observer.evaluation import Audit, Benchmark, Evaluation, GroundingAudit
from observer.evaluation.audit.altered import partners, with_picture
from observer.evaluation.audit.auditing import audit_scores
from observer.evaluation.audit.probing import CONDITIONS
from observer.evaluation.evaluating import SCORES, evaluate
from observer.rewards import Observe
from observer.rollout.scripted import ScriptedEngine
from observer.types import RefusedError
from observer.verifier import Verifier


class Looking(ScriptedEngine):
    """Says what the red of a picture is, and answers by that; goes on from what it is given to have seen."""

    looks = True

    def __init__(self):
        super().__init__(["unused"])

    def _say(self, prompt, index, sampling):
        asked = self._policy.tokenizer.decode(prompt.ids)
        begun = asked.rpartition("assistant\n")[2]
        red = prompt.problem.pictures[0].load().getpixel((0, 0))[0] if self.looks else 5
        if begun:
            seen = begun.partition("<observe>")[2].partition("</observe>")[0].split()
            red = next((int(word) for word in seen if word.isdigit()), 1000)
        value = red % 7 if red < 1000 else red
        rest = f" = {value} </think><answer> {value} </answer>"
        text = rest if begun else f"<observe> red {red} </observe>\n<think>{rest}"
        self.texts = [text]
        return super()._say(prompt, index, sampling)


class Blind(Looking):
    looks = False


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return laddered.rows(tmp_path_factory.mktemp("rows"), 14)


def audited(source, engine, **options):
    model = replace(MODEL, engine=engine)
    default = {"responses": 0, "max_tokens": 64, "chunk_rows": 4, "audit": Audit(12)}
    return Evaluation({"mine": Benchmark(source)}, model, PLAIN, **{**default, **options})


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    evaluate(audited(source, Looking()), folder, Silent())
    return folder


def test_the_audit_tells_a_model_that_looks_from_one_that_does_not(source, done, tmp_path):
    looking = json.loads((done / SCORES).read_text())["benchmarks"]["mine"]["audit"]
    blind = evaluate(audited(source, Blind()), tmp_path, Silent())["benchmarks"]["mine"]["audit"]
    assert (looking["rows"], looking["without_partner"], looking["right"][0]) == (12, 0, 1.0)
    means = {name: found["accuracy"][0] for name, found in looking["conditions"].items()}
    assert means["blurred"] == means["observe_kept"] == 1.0
    assert means["wrong_picture"] == means["observe_replaced"] == means["observe_removed"] == 0.0
    assert 0 < means["blank"] < 0.4, "grey is right by luck for golds that are equal to its red"
    assert looking["conditions"]["wrong_picture"]["change"][2] < -0.4
    for name in ("blank", "blurred", "wrong_picture"):
        assert blind["conditions"][name]["change"][0] == 0.0, "it says the same whatever it is shown"


def test_what_was_asked_anew_is_kept_with_its_partner_and_its_beginning(done):
    rows = pq.read_table(done / "audit" / "mine.parquet").to_pylist()
    for row in rows:
        assert int(row["partner"][1:]) % 7 != int(row["id"][1:]) % 7, "a partner has another gold"
        assert row["observe_removed"]["given"] == "<think>"
        assert row["observe_kept"]["given"] == f"<observe> red {row['id'][1:]} </observe>\n<think>"
        assert row["observe_shuffled"]["given"] == f"<observe> {row['id'][1:]} red </observe>\n<think>"
        assert f" {row['partner'][1:]} " in row["observe_replaced"]["given"]


@pytest.mark.whole
def test_an_audit_that_was_stopped_goes_on_and_ends_with_the_same_files(source, done, tmp_path):
    class Stopping(Silent):
        def chunk(self, rows, tokens):
            super().chunk(rows, tokens)
            raise KeyboardInterrupt

    for _ in range(6):  # four chunks of the benchmark, three of the audit
        with pytest.raises(KeyboardInterrupt):
            evaluate(audited(source, Looking()), tmp_path, Stopping())
    evaluate(audited(source, Looking()), tmp_path, Silent())
    assert laddered.files(tmp_path) == laddered.files(done)
    with pytest.raises(RefusedError, match=r"audit\.rows was 12 and is 11"):
        evaluate(audited(source, Looking(), audit=Audit(11)), tmp_path, Silent())
    with pytest.raises(RefusedError, match=r"audit\.rows is 1"):
        Audit(1)


def test_a_partner_has_another_picture_another_gold_and_the_same_size_where_there_is_one():
    rows = Tiles(rows=64, split="val").read()
    problems = [rows[row] for row in range(16)]
    wide = replace(problems[3].pictures[0], size=lambda: (84, 112))
    problems[3] = replace(problems[3], pictures=(wide,))
    found = partners(problems, Verifier(), 0)
    assert found == partners(problems, Verifier(), 0)
    for problem, other in zip(problems, found, strict=True):
        assert problem.answer != problems[other].answer
        assert problem.id == problems[3].id or other != 3
    shown = with_picture(problems[3], "wrong_picture", problems[found[3]])
    assert shown.pictures[0].load().size == (112, 84), "the prompt keeps its length"
    assert partners([problems[0], problems[0]], Verifier(), 0) == [None, None]


def test_an_audit_without_rows_has_no_scores_and_one_without_partners_leaves_conditions_out():
    right = {"verdict": "correct"}
    record = {"cluster": "a", "partner": None, "right": "correct", **dict.fromkeys(CONDITIONS)}
    found = audit_scores([record | {"blank": right}, record | {"blank": right, "cluster": "b"}])
    assert audit_scores([]) is None
    assert list(found["conditions"]) == ["blank"]
    assert found["without_partner"] == 2


DECOYS = [
    "<observe> {0} or \\boxed{{{0}}} </observe><think> So the answer is {0}. \\boxed{{{0}}} = {0} </think>",
    "<observe> answer: {0} </observe><think> Final answer: {0}\n{0}\n**{0}** </think>",
]


def test_decoys_inside_the_reasoning_change_no_verdict(source, tmp_path):
    texts = [
        f"{reasoning.format(decoy)}<answer> {answer} </answer>"
        for reasoning in DECOYS
        for decoy, answer in (("99", "{answer}"), ("{answer}", "99"))
    ]
    model = replace(MODEL, engine=ScriptedEngine(texts))
    options = {"responses": len(texts), "max_tokens": 200, "limit": 3}
    evaluate(Evaluation({"mine": Benchmark(source)}, model, PLAIN, **options), tmp_path, Silent())
    for row in pq.read_table(tmp_path / "answers" / "mine.parquet").to_pylist():
        assert [one["verdict"] for one in row["samples"]] == ["correct", "wrong"] * len(DECOYS)
        assert row["greedy"]["tag"] == "correct"
        assert row["greedy"]["chain"]["follows"] == 0.0, "the last result of the reasoning is the decoy"


@pytest.mark.parametrize("lenient", [(), ("tag",), ("tag", "box", "line")])
def test_of_several_answer_tags_the_last_alone_can_be_right(lenient):
    reader = Observe(lenient=lenient)
    decoys = "<observe><answer>4</answer></observe><think><answer>4</answer> \\boxed{4} </think>"
    assert reader.read(f"{decoys}<answer>9</answer>").answer == ("9" if lenient else None)
    assert not reader.read(f"{decoys}<answer>4</answer>").formatted


def charts_of(folder):
    """Title -> patterns of the curves of TensorBoard's page of custom scalars."""
    events = EventAccumulator(str(folder)).Reload()
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    return {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}


class Kept(DummyLogger):
    def __init__(self):
        super().__init__()
        self.figures = {}

    def log_metrics(self, metrics, step=None):
        self.figures.setdefault(step, {}).update(metrics)


def fitted(folder, callbacks=(), steps=3, logger=False, every=1, **options):
    learner = runs.learner()
    trainer = runs.trainer(folder, steps, callbacks=callbacks, logger=logger, log_every_n_steps=every)
    trainer.fit(learner, datamodule=runs.data_module(test=None), **options)
    weights = {name: value.clone() for name, value in learner.policy.state_dict().items()}
    return trainer, weights, (folder / "completions.jsonl").read_text().splitlines()


@pytest.mark.whole
def test_an_audit_in_training_changes_no_number_and_goes_on_with_a_resumed_run(tmp_path):
    for name in ("plain", "audited", "resumed"):
        (tmp_path / name).mkdir()
    _, weights, lines = fitted(tmp_path / "plain")
    logger, again = Kept(), Kept()
    board = TensorBoardLogger(tmp_path / "audited", name="", version="")
    _, other, same = fitted(tmp_path / "audited", [GroundingAudit(1, 4)], logger=[logger, board], every=2)
    assert same == lines
    logged = {step: {name.partition("/")[0] for name in found} for step, found in logger.figures.items()}
    assert [step for step, found in logged.items() if "zoom_audit" in found] == [0, 1, 2]
    assert [step for step, found in logged.items() if "zoom_chains" in found] == [1]
    charts = charts_of(tmp_path / "audited")
    for title, names in GroundingAudit.charts.items():
        assert charts[title] == [f"^{name}$" for name in names]
    assert all(torch.equal(value, other[name]) for name, value in weights.items())
    first, *_ = fitted(tmp_path / "resumed", [GroundingAudit(1, 4)], steps=2)
    first.save_checkpoint(tmp_path / "at-2.ckpt")
    _, other, rest = fitted(
        tmp_path / "resumed", [GroundingAudit(1, 4)], logger=again, ckpt_path=tmp_path / "at-2.ckpt"
    )
    assert rest == lines
    assert all(torch.equal(value, other[name]) for name, value in weights.items())
    for step in (2,):
        found = {name: value for name, value in logger.figures[step].items() if "audit" in name}
        assert set(found) == {f"zoom_audit/{name}" for name in ("right", *CONDITIONS)}
        assert found == {name: value for name, value in again.figures[step].items() if "audit" in name}


def test_an_audit_that_could_not_be_made_is_refused_before_training(tmp_path):
    for options, words in (({"every_n_steps": 0}, "every_n_steps is 0"), ({"rows": 1}, "rows is 1")):
        with pytest.raises(RefusedError, match=words):
            GroundingAudit(**options)
    with pytest.raises(RefusedError, match=r"asks rows of data\.val, which is null"):
        runs.trainer(tmp_path, 1, callbacks=[GroundingAudit()]).fit(
            runs.learner(), datamodule=runs.data_module(val=None, test=None)
        )
