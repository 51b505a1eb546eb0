"""Broken and hostile files of a model are refused by name before anything is built from them."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from observer.policy import Policy, PolicySpec, load_processor
from observer.policy import weights_file as files
from observer.policy.model_files import check_weights
from observer.types import RefusedError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 15231233\n"


@pytest.fixture
def copied(checkpoint, tmp_path):
    """A copy of the shipped directory to break."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def refused(folder):
    """Load a model that must be refused; return the message."""
    spec = PolicySpec(str(folder))
    with pytest.raises(RefusedError) as error:
        Policy(spec, load_processor(spec))
    return str(error.value)


def changed(path, **fields):
    """Change the fields of a JSON file; ``text_config__depth`` is one of an object in it."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    for name, value in fields.items():
        *parts, last = name.split("__")
        held = content
        for part in parts:
            held = held[part]
        held[last] = value
    path.write_text(json.dumps(content))


BROKEN = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "a pointer": lambda whole: POINTER,
    "too short": lambda whole: whole[:5],
    "longer": lambda whole: whole + b"x",
    "endless header": lambda whole: b"\xff" * 7 + b"\x7f" + whole[8:],
    "text": lambda whole: b"<html>not found</html>",
    "a damaged header": lambda whole: whole[:20] + b"\0" * 20 + whole[40:],
}


@pytest.mark.parametrize("how", BROKEN)
def test_weights_that_are_broken_are_refused_by_name(copied, how):
    path = copied / "model.safetensors"
    path.write_bytes(BROKEN[how](path.read_bytes()))
    message = refused(copied)
    assert str(path) in message
    assert ("git lfs pull" in message) == (how == "a pointer")


@pytest.fixture
def sharded(fresh_policy, tmp_path, monkeypatch):
    """The shipped model in several files."""
    monkeypatch.setattr(files, "SHARD_BYTES", 10**6)
    fresh_policy().save_pretrained(tmp_path / "sharded")
    return tmp_path / "sharded"


@pytest.mark.parametrize("how", [*BROKEN, "missing"])
def test_a_shard_that_is_broken_or_missing_is_refused_by_name(sharded, how):
    path = sorted(sharded.glob("model-*.safetensors"))[1]
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(BROKEN[how](path.read_bytes()))
    assert str(path) in refused(sharded)


@pytest.mark.parametrize(
    "weight_map", [None, [], {"a": 3}, {"a": "../copy/model.safetensors"}, {"a": "pytorch_model.bin"}]
)
def test_an_index_that_names_no_files_beside_it_is_refused_by_name(sharded, weight_map):
    changed(sharded / "model.safetensors.index.json", weight_map=weight_map)
    assert f"{sharded / 'model.safetensors.index.json'}: its weight_map" in refused(sharded)


def test_a_broken_index_is_refused_by_name(sharded):
    (sharded / "model.safetensors.index.json").write_text('{"weight_map": {')
    assert f"{sharded / 'model.safetensors.index.json'} cannot be read" in refused(sharded)


NO_OBJECT = {
    "a list": b"[1]",
    "a text": b'"x"',
    "cut": b'{"model_type": "qwen2_5_vl", "text_config": {',
    "empty": b"",
    "no UTF-8": b'{"model_type": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "rather deep": b'{"a": ' + b"[" * 60 + b"]" * 60 + b"}",
    "NaN": b'{"rms_norm_eps": NaN}',
    "infinite": b'{"rms_norm_eps": 1e999}',
    "many digits": b'{"hidden_size": ' + b"9" * 10_000 + b"}",
    "a pointer": POINTER,
}


@pytest.mark.parametrize("how", NO_OBJECT)
@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "generation_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
)
def test_a_file_that_holds_no_sound_object_is_refused_by_name(copied, name, how):
    (copied / name).write_bytes(NO_OBJECT[how])
    assert str(copied / name) in refused(copied)


KERNEL = "somebody/kernel"


@pytest.mark.parametrize(
    "fields",
    [
        {"_attn_implementation": KERNEL},
        {"attn_implementation": KERNEL},
        {"_attn_implementation_internal": KERNEL},
        {"attn_implementation": {"": "sdpa", "text_config": f"{KERNEL}@v1:forward"}},
        {"text_config___attn_implementation": KERNEL},
        {"vision_config__attn_implementation": KERNEL},
        {"experts_implementation": KERNEL},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_kernel_of_the_hub_is_never_fetched_for_a_configuration(copied, fields):
    changed(copied / "config.json", **fields)
    message = refused(copied)
    assert str(copied / "config.json") in message
    assert KERNEL in message
    with pytest.raises(RefusedError, match=KERNEL):  # whatever loaded the processor
        Policy(PolicySpec(str(copied)), None)


@pytest.mark.parametrize("name", ["eager", "flash_attention_2"])
def test_an_attention_that_a_configuration_names_is_not_taken_for_the_one_of_the_options(
    copied, policy, name
):
    changed(copied / "config.json", _attn_implementation=name, _attn_implementation_autoset=True)
    again = Policy(PolicySpec(str(copied)), load_processor(PolicySpec(str(copied))))
    for weight, value in policy.state_dict().items():
        assert torch.equal(again.state_dict()[weight], value)
    assert again.model.config._attn_implementation == policy.model.config._attn_implementation


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config: quantized weights cannot"),
        (
            {"text_config__num_hidden_layers": 10**9},
            "num_hidden_layers is 1000000000; it may be at most 1,000",
        ),
        ({"vision_config__depth": 10**6}, "depth is 1000000; it may be at most 1,000"),
        ({"text_config__hidden_size": 10**18}, "hidden_size is 1000000000000000000; it may be at most"),
        ({"text_config__hidden_size": "wide"}, "cannot be loaded"),
        ({"text_config": None}, "71,460,752,704 weights and its files hold 743,488;"),
        ({"model_type": 3}, "cannot be loaded"),
        (
            {"text_config__num_hidden_layers": 2, "text_config__layer_types": None},
            "weights of layers that its config.json does not have",
        ),
        ({"vision_config__depth": 1}, "weights of layers that its config.json does not have"),
        ({"image_token_id": 10**9}, "image_token_id of its config.json is 1000000000"),
        ({"image_token_id": 8}, "image_token_id of its config.json is 8"),
    ],
    ids=str,
)
def test_a_configuration_that_asks_for_what_cannot_be_is_refused(copied, fields, message):
    changed(copied / "config.json", **fields)
    told = refused(copied)
    assert message in told
    assert str(copied) in told


def test_a_folder_with_an_adapter_is_refused_in_place_of_the_model_that_it_names(copied):
    changed(copied / "adapter_config.json", base_model_name_or_path="somebody/model", peft_type="LORA")
    assert str(copied / "adapter_config.json") in refused(copied)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m.role }", "TemplateSyntaxError in line 1"),
        ("{% if %}x{% endif %}", "TemplateSyntaxError"),
        ("{{ raise_exception('no pictures') }}", "no pictures"),
        ("{{ messages[7].content.x }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}\n{{ i }}\n{% endfor %}{% endfor %}", "an end"),
        ("{{ 9 ** 9 ** 9 ** 9 }}", "raises to a power"),
        ("{{ 'x' * 10000000 }}", "10,000,000 characters of a short chat"),
        ("x" * 2_000_000, "2,000,000 characters, more than"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused(copied, template, message):
    (copied / "chat_template.jinja").write_text(template)
    told = refused(copied)
    assert f"{copied}' : its chat template".replace("' :", "':") in told
    assert message in told


@pytest.mark.parametrize(
    "fields",
    [
        {"image_processor__image_mean": []},
        {"image_processor__resample": 99},
        {"image_processor__rescale_factor": "x"},
        {"image_processor__patch_size": 0},
        {"image_processor__merge_size": 1},
        {"image_processor__patch_size": 7},
        {"image_processor__temporal_patch_size": 1},
        {"image_processor__size": {"shortest_edge": "x", "longest_edge": 5}},
        {"image_processor__size": {"shortest_edge": 0, "longest_edge": 5}},
        {"image_processor__size": {"height": 5, "width": 5}},
        {"processor_class": "Nobody"},
    ],
    ids=str,
)
def test_a_processor_that_cannot_prepare_a_picture_for_the_model_is_refused(copied, fields):
    changed(copied / "processor_config.json", **fields)
    assert str(copied) in refused(copied)


def test_tracing_is_as_before_once_a_template_was_tried(copied):
    before = sys.gettrace()
    load_processor(PolicySpec(str(copied)))
    assert sys.gettrace() is before


def test_a_shard_of_a_hub_model_may_yet_be_fetched(sharded):
    sorted(sharded.glob("model-*.safetensors"))[1].unlink()
    assert check_weights(sharded, complete=False) is None
    assert check_weights(sharded.parent, complete=False) is None
