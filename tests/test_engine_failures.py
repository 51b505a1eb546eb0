"""An engine that fails ends a run in a sentence, and the run goes on from before the step as if unbroken."""

import json
import os
import subprocess
import sys
from itertools import groupby

import pytest
import torch

import runs
from evaluated import evaluations
from observer.answering import Answerer
from observer.callbacks import checkpoint_callbacks
from observer.cli import main
from observer.learner.failure import shared
from observer.policy import PolicySpec
from observer.policy.hand_over import handed_over
from observer.rollout import ScriptedEngine
from observer.types import EngineError, RefusedError, Sampling
from processes import HUNG
from scoring import ROOT
from test_ranks import on_two_ranks

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:torch.distributed.nn.functional.all_gather:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # from Python 3.12 on
]
NEVER = 10**9


class Failing(ScriptedEngine):
    """Fails in a call, and notes what it was asked to do."""

    weights = "own"
    if_it_fails = "lower Failing.hopes"

    def __init__(self, generate=NEVER, sync=NEVER, error=torch.OutOfMemoryError("CUDA out\nof memory")):
        super().__init__(runs.MIXED)
        self.left = {"generate": generate, "sync": sync}
        self.error, self.asked = error, []

    def start(self, policy):
        from observer.policy import load_processor

        tokenizer = load_processor(policy).tokenizer
        super().start(type("Served", (), {"tokenizer": tokenizer, "end_ids": (tokenizer.eos_token_id,)}))

    def _at(self, call):
        self.asked.append(call)
        self.left[call] -= 1
        if self.left[call] < 0:
            raise self.error

    def sync(self, named_tensors, version):
        next(iter(named_tensors))
        self._at("sync")
        super().sync(named_tensors, version)

    def generate(self, prompts, sampling):
        self._at("generate")
        return super().generate(prompts, sampling)

    def rest(self):
        self.asked.append("rest")


def fit(run_dir, engine, ckpt_path=None, val=True):
    learner = runs.learner(engine=engine)
    callbacks = checkpoint_callbacks(run_dir, 100, validates=val)
    trainer = runs.trainer(run_dir, 4, callbacks=callbacks, enable_checkpointing=True)
    data = runs.data_module(test=None, **({} if val else {"val": None}))
    trainer.fit(learner, datamodule=data, ckpt_path=ckpt_path)
    return learner.policy.state_dict(), (run_dir / "completions.jsonl").read_text()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Weights, lines and evaluations of a run in which nothing failed; without validations it is the same."""
    folder = tmp_path_factory.mktemp("unbroken")
    return *fit(folder, Failing()), evaluations(folder)


# With a validation generate is called twice before training, in two steps, twice, in two steps, and twice.
@pytest.mark.whole
@pytest.mark.parametrize(
    ("fails", "step", "val", "saved"),
    [
        ({"generate": 3}, 1, True, 1),
        ({"generate": 4}, 2, True, 2),
        ({"generate": 5}, 2, True, 2),
        ({"generate": 7}, 3, True, 3),
        ({"generate": 8}, 4, True, 2),
        ({"generate": 2}, 2, False, 2),
        ({"sync": 3}, 3, False, 3),
    ],
)
def test_a_run_whose_engine_fails_is_saved_and_goes_on_as_if_it_had_not(
    tmp_path, unbroken, fails, step, val, saved
):
    with pytest.raises(EngineError, match=rf"^step {step}: the engine Failing failed .*OutOfMemoryError"):
        fit(tmp_path, Failing(**fails), val=val)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["LadderDataModule"]["step"] == saved
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["ended_by"]) == ("failed", "EngineError")
    weights, lines = fit(tmp_path, Failing(), last, val)
    assert all(torch.equal(value, unbroken[0][name]) for name, value in weights.items())
    assert lines == unbroken[1]
    assert not val or evaluations(tmp_path) == unbroken[2]
    trace = next((tmp_path / "failure").glob("step-*-rank-0")) / "trace.txt"
    assert "in _at" in trace.read_text()


def test_what_fails_is_one_sentence_with_engine_rows_remedy_and_folder(tmp_path):
    with pytest.raises(EngineError) as caught:
        fit(tmp_path, Failing(generate=2))
    folder = tmp_path / "failure" / "step-000000-rank-0"
    asked = torch.load(folder / "prompts.pt", weights_only=True)
    assert len(asked["rows"]) == len(asked["prompt_ids"]) == 4
    named = ", ".join(map(repr, asked["rows"][:3]))
    assert str(caught.value) == (
        f"step 0: the engine Failing failed drawing 4 completions each for 4 rows ({named}, ..): "
        f"OutOfMemoryError: CUDA out of memory; lower Failing.hopes; its trace and what it was asked are in "
        f"{folder}"
    )
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["LadderDataModule"]["step"] == 0


@pytest.mark.parametrize("call", ["start", "sync", "generate", "rest"])
def test_whatever_an_engine_is_doing_its_failure_is_its_own(call, policy, problem):
    engine = Failing()
    answerer = Answerer.of(PolicySpec(runs.CHECKPOINT), engine=engine)
    if call != "start":
        answerer.start(PolicySpec(runs.CHECKPOINT), policy)
        answerer.sync(policy, 3)

    def fail(*_):
        raise KeyError("lost")

    setattr(engine, call, fail)
    does = {
        "start": lambda: answerer.start(PolicySpec(runs.CHECKPOINT), policy),
        "sync": lambda: answerer.sync(policy, 4),
        "generate": lambda: answerer.generate([problem("What?")], Sampling()),
        "rest": answerer.rest,
    }
    with pytest.raises(EngineError, match=r"^the engine Failing failed .*: KeyError: 'lost'; lower"):
        does[call]()
    assert call != "sync" or engine.version == -1, "some of its weights may be new"


def test_what_is_refused_or_not_finite_is_no_failure_of_the_engine(policy, problem):
    answerer = Answerer.of(PolicySpec(runs.CHECKPOINT), engine=Failing(0, error=RefusedError("no room")))
    answerer.start(PolicySpec(runs.CHECKPOINT), policy)
    with pytest.raises(RefusedError, match="no room"):
        answerer.generate([problem("What?")], Sampling())


def test_a_failed_sync_takes_the_rest_of_the_weights_all_the_same(policy, monkeypatch):
    """Those that are sharded over ranks are gathered on all of them, or the others would wait for ever."""
    taken = []

    def weights():
        for name, weight in handed_over(policy.model):
            taken.append(name)
            yield name, weight

    monkeypatch.setattr(policy, "weights", weights)
    answerer = Answerer.of(PolicySpec(runs.CHECKPOINT), engine=Failing(sync=0))
    answerer.start(PolicySpec(runs.CHECKPOINT), policy)
    with pytest.raises(EngineError):
        answerer.sync(policy, 1)
    assert len(taken) == len(list(handed_over(policy.model)))


def test_an_engine_rests_when_all_is_drawn_and_before_anything_is_updated(tmp_path):
    engine = Failing()
    learner = runs.learner(engine=engine, resample=1, screen=2, max_tokens=8)
    update = learner.update

    def noted(*given):
        engine.asked.append("update")
        return update(*given)

    learner.update = noted
    data = runs.data_module(test=None, steps_per_epoch=1)
    trainer = runs.trainer(tmp_path, 1)
    trainer.fit(learner, datamodule=data)
    trainer.validate(learner, datamodule=data, verbose=False)
    learner.answer([data.rows["val"][0]])
    measured = ["sync", "generate", "rest"]
    fitted = [*measured, "generate", "rest", "update", *measured]  # before, the step, the validation
    after = ["generate", "rest"]
    assert [call for call, _ in groupby(engine.asked)] == [*fitted, *after, *measured, *measured]


def test_a_failure_of_one_rank_is_one_of_all():
    def ends(ranks, rank):
        told = []
        for failing_rank in (None, 0, 1):
            try:
                with shared(ranks):
                    if rank == failing_rank:
                        raise EngineError("mine")
                told.append((None, None))
            except EngineError as error:
                told.append((str(error), error.shared_by))
        return ranks.join(torch.tensor([told.count(("mine", rank))])).tolist(), told

    mine, told = on_two_ranks(ends)
    assert mine == [1, 1]
    assert told == [(None, None), ("mine", 0), ("the engine of rank 1 failed; its own line says how", 0)]


def test_output_that_is_not_finite_on_one_rank_ends_both_with_its_message():
    def ends(ranks, rank):
        try:
            with shared(ranks):
                if rank == 1:
                    raise FloatingPointError("mine")
        except FloatingPointError as error:
            return str(error), ranks.sum(1.0)

    assert on_two_ranks(ends) == ("rank 1: mine", 2.0)


FAILING = """
import os

from observer.rollout import TransformersEngine

class FailsAtStepOne(TransformersEngine):
    def generate(self, prompts, sampling):
        if sampling.step == 1 and os.environ.get("LOCAL_RANK") in (None, "1"):
            raise MemoryError("no more")
        return super().generate(prompts, sampling)
"""


def small(tmp_path):
    """The words of a fit of two steps."""
    words = ["fit", "--config", "quickstart", "--run_dir", str(tmp_path / "run"), "--trainer.max_steps", "2"]
    words += ["--data.prompts_per_step", "2", "--model.group_size", "2", "--model.max_tokens", "8"]
    return [*words, "--data.val", "null", "--data.test", "null", "--report.export", "false"]


@pytest.mark.whole
def test_a_command_says_so_in_one_line_and_the_run_goes_on_with_another_engine(
    tmp_path, monkeypatch, capfd, in_the_repository
):
    (tmp_path / "failing_engines.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    words = small(tmp_path)
    assert main([*words, "--model.engine", "failing_engines.FailsAtStepOne"]) == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("observer: failed: step 1: the engine FailsAtStepOne failed")
    assert "MemoryError: no more; lower TransformersEngine.tokens_at_once if memory ran out; its" in said
    assert "mend that, then go on with --ckpt_path last" in said.splitlines()[-1]
    assert main([*words, "--ckpt_path", "last"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 2


@pytest.mark.whole
def test_of_two_ranks_one_of_which_fails_both_save_and_end_and_both_go_on(tmp_path):
    (tmp_path / "failing_engines.py").write_text(FAILING)
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": path}
    words = [sys.executable, "-m", "observer", *small(tmp_path)]
    words += ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    for more, code in (
        (["--model.engine", "failing_engines.FailsAtStepOne"], 1),
        (["--ckpt_path", "last"], 0),
    ):
        done = subprocess.run(
            [*words, *more], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HUNG
        )
        assert done.returncode == code, done.stderr
        last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
        assert last["LadderDataModule"]["step"] == (1 if code else 2)
        assert "Traceback" not in done.stderr
        told = [line for line in done.stderr.splitlines() if line.startswith("observer: failed: step 1: ")]
        assert len(told) == 2 * code
        assert not code or any("MemoryError: no more" in line for line in told)
        assert not code or any("the engine of rank 1 failed; its own line says how" in line for line in told)


@pytest.mark.whole
def test_of_two_ranks_one_of_which_has_output_that_is_not_finite_both_end_with_its_rows(tmp_path):
    lost = "NotFiniteError([replace(g, completions=[replace(c, logprobs=(float('nan'),)) "
    lost += "for c in g.completions]) for g in super().generate(prompts, sampling)])"
    engine = FAILING.replace('MemoryError("no more")', lost)
    engine = engine.replace("TransformersEngine\n", "NotFiniteError, TransformersEngine\n", 1)
    (tmp_path / "failing_engines.py").write_text("from dataclasses import replace\n" + engine)
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": path}
    words = [*small(tmp_path), "--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy"]
    words += ["ddp", "--model.engine", "failing_engines.FailsAtStepOne", "--checkpoints.every_n_steps", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "observer", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert done.returncode == 1
    assert "step 1: rank 1: the model's output is not finite, at token" in done.stderr
    assert "observer: failed: step 1: the model's output is not finite, at token" in done.stderr
    folders = sorted((tmp_path / "run" / "failure").iterdir())
    assert [folder.name for folder in folders] == ["step-000001-rank-0", "step-000001-rank-1"]
    assert (folders[0] / "policy" / "model.safetensors").is_file()
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["LadderDataModule"]["step"] == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "failed"
