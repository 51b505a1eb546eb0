"""Models from and to directories: what is loaded, what is refused, what is saved."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, LlamaConfig, LlavaConfig

from cases import CASES, END, alone, each
from observer.data.tiles.build import build_config, write_blueprint
from observer.policy import Lora, Policy, PolicySpec, Reference, allocation, load_processor
from observer.types import RefusedError, Sampling


def test_a_loaded_policy_is_in_training_mode(fresh_policy):
    assert all(module.training for module in fresh_policy().modules())


def test_from_scratch_draws_the_weights_from_the_seed_and_needs_none_on_disk(tmp_path, processor):
    write_blueprint(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))

    def drawn(seed):
        torch.manual_seed(seed)
        policy = Policy(
            PolicySpec(str(tmp_path), from_scratch=True), load_processor(PolicySpec(str(tmp_path)))
        )
        return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_a_saved_policy_is_a_directory_that_transformers_loads(fresh_policy, groups_of, tmp_path):
    policy = fresh_policy()
    with torch.no_grad():
        policy.model.model.language_model.norm.weight *= 1.5
    policy.save_pretrained(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix in {".bin", ".pt", ".pkl"}]
    model = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert model.generation_config.eos_token_id == [END]
    groups = groups_of(CASES["unequal prompts and pictures"])
    again = Policy(PolicySpec(str(tmp_path)), load_processor(PolicySpec(str(tmp_path))))
    with torch.no_grad():
        values_N_T = policy.logprobs(groups).values_N_T
        assert torch.equal(again.logprobs(groups).values_N_T, values_N_T)
        for row, (group, completion) in enumerate(each(groups)):
            expected_T = alone(model, processor, group, completion)
            found_T = values_N_T[row, : len(completion.ids)]
            torch.testing.assert_close(found_T.double(), expected_T, atol=1e-5, rtol=1e-5)


@pytest.fixture
def copied(checkpoint, tmp_path):
    """A copy of the shipped directory to break."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def test_pickled_weights_are_refused(copied, fresh_policy, policy):
    (copied / "model.safetensors").unlink()
    torch.save(policy.model.state_dict(), copied / "pytorch_model.bin")
    with pytest.raises(RefusedError, match=r"(?s)model.policy.path.*copy.*safetensors"):
        fresh_policy(path=str(copied))


def test_weights_that_are_incomplete_or_of_another_shape_are_refused(copied, fresh_policy, processor):
    config = build_config(processor.tokenizer)
    config.text_config.num_hidden_layers = 4
    config.text_config.layer_types = ["full_attention"] * 4
    config.save_pretrained(copied)
    with pytest.raises(RefusedError, match=r"copy.*lack \d+ weights, model.language_model.layers.3"):
        fresh_policy(path=str(copied))
    config = build_config(processor.tokenizer)
    config.text_config.intermediate_size = 128
    config.save_pretrained(copied)
    with pytest.raises(RefusedError, match=r"copy.*cannot be loaded"):
        fresh_policy(path=str(copied))


@pytest.mark.parametrize("path", ["./models/tiny", "models/tiny", "no/such/model", "tiny"])
def test_a_missing_directory_is_refused_with_the_place_that_was_looked_at(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError) as refusal:
        load_processor(PolicySpec(path))
    assert repr(path) in str(refusal.value)
    assert str((tmp_path / path).resolve()) in str(refusal.value)


def test_a_directory_without_a_configuration_is_refused(tmp_path, monkeypatch):
    (tmp_path / "models" / "empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match=f"{tmp_path}/models/empty holds no config.json"):
        load_processor(PolicySpec("models/empty"))


def test_a_path_below_the_home_directory_is_found(copied, monkeypatch, fresh_policy):
    monkeypatch.setenv("HOME", str(copied.parent))
    assert load_processor(PolicySpec("~/copy")).chat_template
    assert fresh_policy(path="~/copy").end_ids == (END,)


def with_end_tokens(folder, **ids):
    """Let some files of a model name end tokens and the others none."""
    for name, key in (("config", "text_config"), ("generation_config", None)):
        file = folder / f"{name}.json"
        fields = json.loads(file.read_text())
        for part in (fields, fields.get(key, {})):
            part.pop("eos_token_id", None)
            if name in ids:
                part["eos_token_id"] = ids[name]
        file.write_text(json.dumps(fields))
    file = folder / "tokenizer_config.json"
    fields = json.loads(file.read_text())
    fields.pop("eos_token")
    file.write_text(json.dumps(fields | ({"eos_token": ids["tokenizer"]} if "tokenizer" in ids else {})))
    return PolicySpec(str(folder))


@pytest.mark.parametrize(
    ("ids", "ends"),
    [
        ({"config": 5}, (5,)),
        ({"generation_config": [9, 5]}, (5, 9)),
        ({"tokenizer": "<|im_end|>"}, (END,)),
        ({"config": 9, "generation_config": 5, "tokenizer": "<|im_end|>"}, (END, 5, 9)),
    ],
)
def test_a_completion_ends_with_every_token_that_any_file_of_the_model_names(copied, ids, ends):
    spec = with_end_tokens(copied, **ids)
    assert Policy(spec, load_processor(spec)).end_ids == ends


@pytest.mark.parametrize("ids", [{}, {"config": None}, {"config": -1}, {"generation_config": [329]}])
def test_a_model_without_an_end_token_in_its_vocabulary_is_refused(copied, ids):
    spec = with_end_tokens(copied, **ids)
    with pytest.raises(RefusedError, match=r"names no end token.*: set eos_token_id"):
        Policy(spec, load_processor(spec))


def test_a_processor_without_a_chat_template_is_refused(copied):
    (copied / "chat_template.jinja").unlink()
    with pytest.raises(RefusedError, match=r"copy.*no chat template"):
        load_processor(PolicySpec(str(copied)))


def test_pixel_limits_the_wrong_way_round_are_refused(checkpoint):
    with pytest.raises(RefusedError, match="min_pixels 5000 is above max_pixels 4000"):
        load_processor(PolicySpec(str(checkpoint), min_pixels=5000, max_pixels=4000))
    with pytest.raises(RefusedError, match="min_pixels 50000 is above max_pixels 28224"):
        load_processor(PolicySpec(str(checkpoint), min_pixels=50_000))


SMALL = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "vocab_size": 10,
}


def test_models_of_another_kind_are_refused_by_name(tmp_path, processor):
    vision = {**SMALL, "model_type": "clip_vision_model", "image_size": 28, "patch_size": 14}
    LlavaConfig(vision_config=vision, text_config={**SMALL, "model_type": "llama"}).save_pretrained(tmp_path)
    with pytest.raises(
        RefusedError, match=r"a llava; supported are models of the kinds Qwen2-VL \(qwen2_vl\)"
    ):
        Policy(PolicySpec(str(tmp_path), from_scratch=True), processor)
    LlamaConfig(**SMALL).save_pretrained(tmp_path)
    with pytest.raises(RefusedError, match=r"a llama; supported are"):
        Policy(PolicySpec(str(tmp_path), from_scratch=True), processor)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "{total} of {total} parameters train; log-probs: pictures and prompts once per group"),
        (
            {"logprob_pass": "plain"},
            "{total} of {total} parameters train; log-probs: all once per completion",
        ),
        (
            {"freeze_vision": True},
            "{text} of {total} parameters train; log-probs: pictures and prompts once per group; frozen "
            "vision tower, a picture once per rollout",
        ),
        (
            {"freeze_vision": True, "logprob_pass": "plain", "gradient_checkpointing": True},
            "{text} of {total} parameters train; log-probs: all once per completion; activations computed "
            "anew (gradient checkpointing)",
        ),
    ],
    ids=["all", "plain", "frozen", "frozen and plain"],
)
def test_the_line_of_the_log_says_what_trains_and_how(fresh_policy, fields, told):
    policy = fresh_policy(**fields)
    total = sum(parameter.numel() for parameter in policy.parameters())
    tower = sum(parameter.numel() for parameter in policy.model.model.visual.parameters())
    assert policy.described() == "policy: " + told.format(total=f"{total:,}", text=f"{total - tower:,}")


def without_end_tokens(folder, *left):
    """Take the end tokens from a copied model, apart from those that are left."""
    for name in {"generation_config.json", "config.json", "tokenizer_config.json"} - {*left}:
        content = json.loads((folder / name).read_text())
        for held in (content, content.get("text_config", {})):
            held.pop("eos_token_id", None)
            held.pop("eos_token", None)
        if name == "config.json":
            content["text_config"]["eos_token_id"] = None
        (folder / name).write_text(json.dumps(content))
    spec = PolicySpec(str(folder))
    return Policy(spec, load_processor(spec))


@pytest.mark.parametrize("left", ["generation_config.json", "config.json", "tokenizer_config.json"])
def test_a_token_that_one_file_alone_names_ends_completions(copied, left):
    assert without_end_tokens(copied, left).end_ids == (END,)


def test_a_model_without_end_tokens_is_refused(copied):
    with pytest.raises(RefusedError, match="names no end token: set eos_token_id"):
        without_end_tokens(copied)


def test_adapters_on_weights_that_no_file_holds_are_refused(checkpoint, fresh_policy):
    with pytest.raises(RefusedError, match=r"adapters on weights drawn from_scratch cannot be saved"):
        fresh_policy(from_scratch=True, lora=Lora())


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is not None, reason="flash-attn is there")
def test_a_package_that_is_not_there_is_named_and_no_kernel_fetched_in_its_place(fresh_policy):
    with pytest.raises(
        RefusedError, match=r"vision_attention flash_attention_2 needs a package: pip install"
    ):
        fresh_policy(vision_attention="flash_attention_2")


def test_a_saved_policy_samples_as_it_was_trained_and_ends_where_it_ended(policy, tmp_path):
    policy.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    del saved["transformers_version"]
    assert saved == {"eos_token_id": [END], "pad_token_id": 0, "do_sample": True, "temperature": 1.0}


def test_groups_that_were_drawn_differently_do_not_share_a_pass(policy, groups_of):
    (warm,), (cold,) = (groups_of(CASES["one picture"], Sampling(temperature=t)) for t in (1.0, 0.5))
    with pytest.raises(ValueError, match="drawn differently"):
        policy.logprobs([warm, cold])


def test_the_copy_of_the_reference_moves_to_its_device_and_the_policy_stays(fresh_policy):
    policy = fresh_policy()
    reference = Reference(policy)
    reference.to(torch.device("meta"))
    assert {parameter.device.type for parameter in reference._copy.parameters()} == {"meta"}
    assert {parameter.device.type for parameter in policy.parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("libc", "chosen", "calls"),
    [
        ("glibc", None, [(-3, 32 * 2**20), (-1, 2**31 - 1)]),
        ("glibc", "131072", []),
        ("musl", None, []),
    ],
)
def test_freed_memory_is_kept_with_glibc_unless_the_user_has_chosen(monkeypatch, libc, chosen, calls):
    made = []
    library = SimpleNamespace(mallopt=lambda *values: made.append(values))
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(allocation.platform, "libc_ver", lambda: (libc, "2.0"))
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if chosen is not None:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", chosen)
    allocation.keep_freed_memory()
    assert made == calls
