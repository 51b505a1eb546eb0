"""A fit is planned from its options alone: its sizes are the model's own, and what it names makes it fit."""

import json
import sys
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import torch
import yaml
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

from cases import KIN
from observer.cli import main
from observer.planning import Work, gpu_parts, totals
from observer.planning.activations import tokens
from observer.planning.architecture import PUBLISHED, _sizes, read_architecture
from observer.planning.beside import disk_parts, host_parts
from observer.planning.mends import fits, peak, ways
from observer.planning.parameters import adapters, count, parameters
from observer.planning.seconds import Measured, seconds
from observer.planning.work import Engine
from observer.policy.loading import Lora, add_adapters
from observer.types import RefusedError

ROOT = Path(__file__).parent.parent
GB = 10**9
SIZES = {"3b": 3_754_622_976, "7b": 8_292_166_656}
FULL = Work(
    sizes=read_architecture("Qwen/Qwen2.5-VL-3B-Instruct"),
    dtype=4,
    mixed=True,
    lora=None,
    frozen_tower=False,
    checkpointing=False,
    plain_pass=False,
    pixels=2_560_000,
    reference=True,
    group=8,
    prompt=9216,
    completion=8192,
    prompts_per_step=128,
    updates=16,
    micro_batch_tokens=25_600,
    micro_batch=None,
    entropy_gradients=False,
    states=2,
    averaged=False,
    engine=Engine("TransformersEngine", own=False),
    sharded=False,
    ranks=8,
    nodes=1,
    on_cpu=False,
    validates=True,
    exported=4,
    rollouts=156,
)
"""The release's fit of a 3B under DDP, which no GPU holds."""
ADAPTED = replace(
    FULL, lora=Lora(), dtype=2, frozen_tower=True, reference=False, ranks=1, prompt=2048, completion=1024
)


def numbers(model):
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("size", SIZES)
def test_a_real_architecture_is_built_from_its_yaml_and_has_the_planned_parameters(size):
    full, adapted = (
        yaml.safe_load((ROOT / "configs" / f"{name}_{size}.yaml").read_text()) for name in CONFIGS
    )
    path = full["model"]["policy"]["path"]
    assert adapted["model"]["policy"]["path"] == path
    read = json.loads((PUBLISHED / f"{path.replace('/', '--')}.json").read_text())
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(CONFIG_MAPPING[read["model_type"]].from_dict(read))
    shapes = parameters(read_architecture(path))
    assert {name: prod(shape) for name, shape in shapes.items()} == numbers(model)
    assert count(shapes) == SIZES[size]
    lora = Lora(**adapted["model"]["policy"]["lora"])
    with torch.device("meta"):
        add_adapters(model, lora)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert count(adapters(shapes, lora)) == trained


CONFIGS = ("observe_r1", "one_gpu")


@pytest.mark.parametrize("family", ["Qwen2-VL", "Qwen3-VL"])
def test_the_parameters_of_other_families_are_the_models_own(family):
    config = KIN[family]()
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    shapes = parameters(_sizes(family, config))
    assert {name: prod(shape) for name, shape in shapes.items()} == numbers(model)


def test_a_model_that_is_not_on_this_machine_is_refused_with_the_mend():
    with pytest.raises(RefusedError, match=r"hf download a/model config\.json"):
        read_architecture("a/model")
    with pytest.raises(RefusedError, match="the models that come with observer"):
        read_architecture("observer:tile")


def test_the_arithmetic_of_full_fine_tuning():
    parts, numbers = gpu_parts(FULL, 80 * GB), SIZES["3b"]
    assert parts["weights"] == (4 * numbers,) * 3
    assert parts["optimizer state"] == (8 * numbers,) * 3
    assert parts["reference"] == (4 * numbers,) * 3
    assert sum(disk_parts(FULL).values()) == 3 * 12 * numbers + 4 * numbers
    assert host_parts(FULL)["weights, until they are on the GPU"] == 8 * 8 * numbers
    assert tokens(FULL, FULL.largest_pass()) == 9216 + 2 * 8191, "a completion is never cut"


def test_shards_divide_what_every_rank_holds():
    sharded = replace(FULL, sharded=True, engine=Engine("VLLM", own=True))
    whole, cut = gpu_parts(FULL, 80 * GB), gpu_parts(sharded, 80 * GB)
    for name in ("weights", "gradients", "optimizer state", "reference"):
        assert cut[name][1] * 8 == pytest.approx(whole[name][1], abs=8)
    assert "buckets of the exchange" in whole
    assert "buckets of the exchange" not in cut
    assert gpu_parts(replace(sharded, ranks=1), 80 * GB)["weights"] == whole["weights"]


@pytest.mark.parametrize(("work", "memory"), [(FULL, 80), (replace(FULL, ranks=1), 141), (ADAPTED, 14)])
def test_what_does_not_fit_names_options_that_make_it_fit(work, memory):
    assert not fits(work, memory * GB)
    found = ways(work, memory * GB)
    assert found
    for way, changed in found:
        assert fits(changed, memory * GB)
        for left_out in way:
            rest = work
            for change in way:
                rest = rest if change is left_out else change.made(rest)
            assert not fits(rest, memory * GB), "every option that is named is needed"


def test_less_is_held_with_options_that_save_memory():
    assert peak(replace(FULL, checkpointing=True), 80 * GB) < peak(FULL, 80 * GB)
    assert peak(replace(FULL, reference=False), 80 * GB) < peak(FULL, 80 * GB)
    assert totals(gpu_parts(replace(FULL, frozen_tower=True), None)) < totals(gpu_parts(FULL, None))


def test_time_is_unknown_where_nothing_was_measured():
    assert seconds(FULL, "a GPU") is None
    rates = Measured("a GPU", FULL.sizes.name, drawn=1000.0, trained=16 * 8 * 8192 + 16 * 9216)
    assert seconds(FULL, "a GPU", (rates,)) == pytest.approx(16 * 8 * 8192 / 1000 + 1)


@pytest.mark.whole
def test_a_plan_needs_options_alone_and_ends_with_0_where_nothing_fits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "one_gpu_3b", "--plan", "--plan.gpu_memory", "18"]) == 0
    told = capsys.readouterr().out
    assert "59,867,136 of 3,814,490,112 parameters train; 1 GPU" in told
    assert "does not fit: it takes" in told
    assert "it would fit with model.engine TransformersEngine" in told
    assert "time: unknown for 500 rollouts" in told
    assert not list(tmp_path.iterdir())
    assert main(["fit", "--config", "quickstart", "--plan", "nonsense"]) == 2
    assert main(["fit", "--config", "quickstart", "--plan", "--plan.gpus", "0"]) == 2
    assert main(["fit", "--config", "warmstart", "--plan"]) == 2
    assert "has no option group_size" in capsys.readouterr().err


@pytest.mark.whole
def test_a_step_is_timed_on_this_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--data.prompts_per_step", "2", "--model.group_size", "2", "--model.max_tokens", "4"]
    assert main(["fit", "--config", "quickstart", "--plan", "timed", *small]) == 0
    told = capsys.readouterr().out
    assert " s for a rollout and its update" in told
    assert "fits: 0." in told
    assert not list(tmp_path.iterdir())


@pytest.mark.whole
def test_the_page_of_sizes_is_what_its_commands_print(capsys):
    page = (ROOT / "docs" / "sizes.md").read_text(encoding="utf-8")
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("observer fit")]
    tabled = [words for words in commands if words[-1] == "table"]
    assert len(tabled) == 4
    for words in tabled:
        assert main(words) == 0
        assert capsys.readouterr().out in page


@pytest.mark.slow
def test_planned_memory_is_that_of_live_tensors(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments" / "memory")
    import plan_against_measured as script

    for name in ("tiny", "tiny, several passes", "tiny, lora, bfloat16"):
        assert abs(script.off(script.in_a_process(name))) < script.BAR
    del sys.modules["plan_against_measured"]
