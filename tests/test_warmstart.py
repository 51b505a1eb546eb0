"""The supervised cold start: its loss is the mean over solution tokens, and it learns what it is shown."""

import json

import pytest
import torch

import runs
from observer.cli import main
from observer.data import Jsonl
from observer.learner import WarmStart
from observer.policy import PolicySpec
from observer.types import RefusedError


def test_imitation_makes_solutions_likelier(tmp_path):
    learner = runs.learner(WarmStart, policy=PolicySpec(runs.CHECKPOINT, from_scratch=True))
    trainer = runs.trainer(tmp_path, 8)
    losses = []

    class Watch(runs.lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            losses.append(float(trainer.callback_metrics["train/loss"]))

    trainer.callbacks.append(Watch())
    trainer.fit(learner, datamodule=runs.data_module())
    assert losses[0] == pytest.approx(
        torch.tensor(329.0).log().item(), rel=0.15
    )  # fresh weights know nothing
    assert losses[-1] < 0.8 * losses[0]
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "complete"


def test_the_same_seed_draws_the_same_weights_and_another_others():
    def weights(seed):
        learner = runs.learner(WarmStart, policy=PolicySpec(runs.CHECKPOINT, from_scratch=True), seed=seed)
        learner.configure_model()
        return learner.policy.state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    name = "model.model.language_model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_a_row_without_a_solution_is_refused_by_id(tmp_path):
    rows = [{"id": f"r{i}", "question": "How many?", "answer": "3"} for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = runs.data_module(train=Jsonl(str(tmp_path / "rows.jsonl")), val=None, test=None)
    with pytest.raises(RefusedError, match=r"row 'r\d'.*solution"):
        runs.trainer(tmp_path / "run", 1).fit(runs.learner(WarmStart), datamodule=data)


@pytest.mark.whole
def test_the_shipped_configuration_trains_for_fewer_steps_than_an_epoch(tmp_path):
    sizes = ["--data.train.rows", "128", "--data.val.rows", "8", "--data.test.rows", "8"]
    sizes += ["--data.prompts_per_step", "4", "--trainer.max_steps", "2", "--report.export", "false"]
    assert main(["fit", "--config", "warmstart", "--run_dir", str(tmp_path / "run"), *sizes]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["ended_by"], summary["steps"]) == ("complete", "max_steps", 2)
