"""What must be the same when a run is resumed: all that changes what is trained."""

import pytest
import torch

import runs
from observer.objective import GroupMean, Linear, Uniform
from observer.rewards import Accuracy, Free
from observer.types import RefusedError
from test_resume import EveryStep


@pytest.mark.parametrize("denominator", ["constant", "sequences"])
def test_a_run_whose_left_out_groups_did_not_count_is_not_resumed_as_one_where_they_do(tmp_path, denominator):
    """Checkpoints of before lack the entry; where nothing is left out, or nothing changed, they go on."""
    options = {"max_tokens": 8, "denominator": denominator}
    data = {"prompts_per_step": 1, "val": None, "test": None}
    trainer = runs.trainer(tmp_path / "whole", 1, callbacks=[EveryStep(tmp_path)])
    trainer.fit(runs.learner(**options), datamodule=runs.data_module(**data))
    held = torch.load(tmp_path / "step-1.ckpt", weights_only=True)
    assert held["recipe"].pop("left_out_counts") is True
    torch.save(held, tmp_path / "former.ckpt")
    with pytest.raises(
        RefusedError, match=r"left_out_counts None, this run has True; .*or start a new run from"
    ):
        runs.trainer(tmp_path / "resumed", 2).fit(
            runs.learner(**options), datamodule=runs.data_module(**data), ckpt_path=tmp_path / "former.ckpt"
        )
    assert runs.learner(**options, zero_signal="keep").recipe()["left_out_counts"] is None
    assert runs.learner().recipe()["left_out_counts"] is None


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"advantage": GroupMean()}, "advantage"),
        ({"weighting": Uniform()}, "weighting"),
        ({"resample": 1}, "resample"),
        ({"resample": 1, "screen": 2}, "screen"),
        ({"advantage_clip": 5.0}, "advantage_clip"),
        ({"zero_signal": "keep"}, "zero_signal"),
        ({"updates_per_rollout": 2}, "updates_per_rollout"),
        ({"gradient_clip": 2.0}, "gradient_clip"),
        ({"learning_rate": Linear()}, "learning_rate"),
        ({"temperature": 0.5}, "sampling"),
        ({"min_tokens": 2}, "sampling"),
        ({"rewards": {"accuracy": Accuracy(2.0)}}, "rewards"),
        ({"response_format": Free()}, "response_format"),
    ],
)
def test_an_option_that_changes_the_training_changes_the_recipe(changed, name):
    assert runs.learner(**changed).recipe()[name] != runs.learner().recipe()[name]
