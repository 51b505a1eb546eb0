"""What the learner and its figures do on two ranks, without a run."""

import time

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import ModelParallelStrategy

import runs
from observer.learner.averaging import refuse_averaging
from observer.learner.ranks import OverRanks
from observer.learner.sharded.strategy import Sharded, settle
from observer.learner.trainer_options import refuse_sizes, refuse_trainer_options, refuse_unsharded
from observer.rollout import ScriptedEngine, TransformersEngine
from observer.types import RefusedError
from waited import hearing

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed.nn.functional.all_gather:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # from Python 3.12 on
]


def on_two_ranks(what):
    """Call a function with an ``OverRanks`` on two forked processes; return what rank 0 makes of it."""
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp_fork", logger=False, enable_checkpointing=False
    )

    def run(trainer):
        trainer.strategy.setup_environment()
        return what(OverRanks(trainer), trainer.global_rank)

    return trainer.strategy.launcher.launch(run, trainer)


def test_numbers_are_added_up_in_float64():
    assert on_two_ranks(lambda ranks, rank: ranks.sum(2.0**53 * rank + 1 - rank)) == 2.0**53 + 1


def test_figures_are_added_or_averaged_by_their_names():
    def figures(ranks, rank):
        own = {"b": 4.0 * rank, "a": 1.0} if rank else {"a": 2.0, "b": 8.0}
        return ranks.reduce(own, "sum"), ranks.reduce(own, "mean")

    assert on_two_ranks(figures) == ({"a": 3.0, "b": 12.0}, {"a": 1.5, "b": 6.0})


def test_tensors_are_joined_rank_by_rank():
    joined = on_two_ranks(lambda ranks, rank: ranks.join(torch.arange(2) + 10 * rank).tolist())
    assert joined == [0, 1, 10, 11]


@pytest.mark.whole
def test_a_rank_that_is_late_is_named_by_the_one_that_waits(tmp_path):
    late, heard_of = "other ranks, for a sum (not here yet: rank 1)", tmp_path / "heard"

    def meet(ranks, rank):
        ranks.sum(0.0)  # both are there
        with hearing(0.05, then=lambda line: late in line and heard_of.touch()) as heard:
            while rank and not heard_of.exists():
                time.sleep(0.01)
            return ranks.sum(rank + 1.0), heard.lines

    total, lines = on_two_ranks(meet)
    assert total == 3.0
    [line, *_] = [line for line in lines if late in line]
    assert line.startswith("observer: rank 0: waiting for")


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (3, {"updates_per_rollout": 1}, "data.prompts_per_step 3 does not divide over 2 processes"),
        (
            6,
            {"updates_per_rollout": 2},
            "3 prompts a rank do not divide into updates_per_rollout 2 equal parts",
        ),
        (4, {"updates_per_rollout": 2}, None),
    ],
)
def test_prompts_that_do_not_divide_over_ranks_and_updates_are_refused(tmp_path, prompts, options, message):
    trainer, data = (
        runs.trainer(tmp_path, 2, devices=2, strategy="ddp"),
        runs.data_module(prompts_per_step=prompts),
    )
    if message is None:
        refuse_sizes(trainer, data, **options)
        assert trainer.world_size == 2
        return
    with pytest.raises(RefusedError, match=message):
        refuse_sizes(trainer, data, **options)


def test_a_strategy_that_leaves_all_to_sharding_is_refused_where_nothing_is_sharded(tmp_path, policy):
    def trained(devices):
        return runs.trainer(tmp_path, 2, devices=devices, strategy=ModelParallelStrategy(), plugins=[])

    with pytest.raises(RefusedError, match=r"and the policy is not sharded: .*; use ddp"):
        refuse_unsharded(trained(2), policy)
    refuse_unsharded(trained(1), policy)
    refuse_unsharded(runs.trainer(tmp_path, 2, devices=2, strategy="ddp"), policy)


def test_a_strategy_of_models_in_parts_is_settled_over_all_ranks(tmp_path):
    def strategy(**options):
        given = ModelParallelStrategy(**options)
        settle(runs.trainer(tmp_path, 2, devices=2, strategy=given, plugins=[]))
        return given

    settled = strategy()
    assert type(settled) is Sharded
    assert (settled._data_parallel_size, settled._tensor_parallel_size) == (2, 1)
    assert type(strategy(data_parallel_size=2, tensor_parallel_size=1)) is Sharded
    for options in ({"tensor_parallel_size": 2}, {"data_parallel_size": 1}):
        with pytest.raises(RefusedError, match=r"set data_parallel_size to 2 and tensor_parallel_size to 1"):
            strategy(**options)


def test_averages_of_weights_that_are_cut_are_refused(tmp_path):
    averaging = [EMAWeightAveraging()]
    trainer = runs.trainer(
        tmp_path, 2, callbacks=averaging, devices=2, strategy=ModelParallelStrategy(), plugins=[]
    )
    with pytest.raises(RefusedError, match=r"EMAWeightAveraging, .* ModelParallelStrategy .*use ddp"):
        refuse_averaging(trainer)


def test_engines_that_sample_from_what_is_cut_are_refused(tmp_path):
    trainer = runs.trainer(tmp_path, 2, devices=2, strategy=ModelParallelStrategy(), plugins=[])
    trainer.datamodule = runs.data_module()
    with pytest.raises(RefusedError, match=r"model.engine is TransformersEngine, .* such as VLLM"):
        refuse_trainer_options(trainer, TransformersEngine())
    refuse_trainer_options(trainer, ScriptedEngine(["nothing"]))
