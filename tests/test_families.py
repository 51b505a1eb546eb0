"""What every family of models has to keep, on a tiny random one of each: the same claims for all of them."""

import copy
import json

import pytest
import torch
from transformers import AutoConfig

from bounds import SIGMAS, of_logprob
from cases import BANNED, CASES, KIN, alone, each
from observer.policy import Policy, PolicySpec, load_processor
from observer.policy.model_files import FAMILIES, check_processor
from observer.policy.packing import make_batch, pack_prompts
from observer.rollout import PromptRenderer, TransformersEngine
from observer.rollout.vllm.prompts import collapsed
from observer.types import RefusedError, Sampling

IMAGE = 5
MAKE = {
    "qwen2_vl": KIN["Qwen2-VL"],
    "qwen2_5_vl": None,  # the shipped one, with weights drawn anew
    "qwen3_vl": KIN["Qwen3-VL"],
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory, checkpoint, processor):
    """A tiny random model of a family."""
    folder = tmp_path_factory.mktemp(request.param)
    make = MAKE[request.param]
    (AutoConfig.from_pretrained(checkpoint) if make is None else make()).save_pretrained(folder)
    torch.manual_seed(0)
    policy = Policy(PolicySpec(str(folder), from_scratch=True), processor)
    assert policy.model.config.model_type == request.param
    return policy


@pytest.fixture(scope="module")
def stock(family):
    """The same weights in a model of transformers, in float64 and with its own attention."""
    model = type(family.model)._from_config(
        copy.deepcopy(family.model.config), dtype=torch.float64, attn_implementation="sdpa"
    )
    model.load_state_dict(family.model.state_dict())
    return model


@pytest.mark.parametrize("logprob_pass", ["shared", "plain"])
@pytest.mark.parametrize("case", ["mixed", "text only"])
def test_log_probs_are_those_of_a_plain_forward(family, stock, groups_of, case, logprob_pass, monkeypatch):
    monkeypatch.setattr(family, "logprob_pass", logprob_pass)
    groups = groups_of(CASES[case])
    with torch.no_grad():
        found = family.logprobs(groups).values_N_T
        for row, (group, completion) in enumerate(each(groups)):
            expected_T = alone(stock, family.processor, group, completion)
            torch.testing.assert_close(
                found[row, : len(expected_T)].double(), expected_T, atol=1e-5, rtol=1e-5
            )


def test_what_the_engine_draws_has_the_log_probs_of_the_policy(family, prompts):
    engine = TransformersEngine()
    engine.start(family)
    groups = engine.generate(prompts, Sampling(group_size=2, max_tokens=8))
    with torch.no_grad():
        values_N_T = family.logprobs(groups).values_N_T
    bound = SIGMAS * 2**0.5 * of_logprob()
    for row, (_, completion) in enumerate(each(groups)):
        drawn_T = torch.tensor(completion.logprobs)
        torch.testing.assert_close(values_N_T[row, : len(drawn_T)], drawn_T, atol=bound, rtol=0)
        assert not {*completion.ids} & {*BANNED}


def test_vision_tokens_are_never_drawn(family):
    assert family.banned_ids == BANNED


def test_each_visual_token_has_a_pad_and_the_pads_of_a_picture_collapse_to_one(family, prompts):
    merge = family.model.model.visual.spatial_merge_size**2

    class Rendering:
        image_id = family.model.config.image_token_id

    Rendering.merge = merge
    for prompt in prompts:
        patches = sum(int(picture.grid.prod()) for picture in prompt.pictures)
        assert prompt.ids.count(IMAGE) * merge == patches
        assert list(collapsed(prompt, Rendering)).count(IMAGE) == len(prompt.pictures)
        features = family.features.model_inputs(prompt.pictures)
        if prompt.pictures:
            pooled = features["mm_encoder_outputs"]["image"].pooler_output
            assert sum(map(len, pooled)) == prompt.ids.count(IMAGE)


def test_positions_of_a_picture_are_its_rows_and_columns_and_text_goes_on_behind_its_longer_side(
    family, prompts
):
    for prompt in prompts:
        positions_3_S = make_batch(family.model, [(prompt, ())]).positions_3_N_S[:, 0]
        packed = pack_prompts(family.model, [prompt])
        assert torch.equal(packed.positions_3_S, positions_3_S)
        next_, place, pictures = 0, 0, iter(prompt.pictures)
        while place < len(prompt.ids):
            if prompt.ids[place] != IMAGE:
                assert positions_3_S[:, place].tolist() == [next_] * 3
                next_, place = next_ + 1, place + 1
                continue
            _, height, width = (next(pictures).grid // torch.tensor([1, 2, 2])).tolist()
            grid = [[next_, next_ + row, next_ + column] for row in range(height) for column in range(width)]
            assert positions_3_S[:, place : place + height * width].T.tolist() == grid
            next_, place = next_ + max(height, width), place + height * width
        assert packed.next_P.tolist() == [next_]


TURN = "<|im_start|>{{ one.role }}\n{{ said(one) }}<|im_end|>\n"
SAID = (
    "{% macro said(one) %}{% if one.content is string %}{{ one.content }}{% else %}"
    "{% for item in one.content %}"
    "{% if item.type == 'image' %}{% if add_vision_id %}Picture: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ item.text }}{% endif %}{% endfor %}{% endif %}"
    "{% endmacro %}"
)
OPENING = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
HELPFUL = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
DEFAULT = "{% if messages[0].role != 'system' %}" + HELPFUL + "{% endif %}"
PLAIN = SAID + "{% for one in messages %}" + TURN + "{% endfor %}" + OPENING
TEMPLATES = {"qwen2_vl": DEFAULT + PLAIN, "qwen2_5_vl": DEFAULT + PLAIN, "qwen3_vl": PLAIN}
"""They make of chats as ours what the published ones of each family make, as TRL 1.16.0 carries them: the
older families add a system turn of their own where there is none."""


@pytest.mark.parametrize("kind", FAMILIES)
def test_prompts_with_the_template_of_its_kind_keep_turns_and_pictures(kind, processor, picture, problem):
    own = copy.copy(processor)
    own.chat_template = TEMPLATES[kind]
    check_processor(own, kind)
    asked = problem("Is <image> larger than <image>?", [picture(84, 56), picture(28, 28)])
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    user = f"<|im_start|>user\nIs {image} larger than {image}?<|im_end|>\n<|im_start|>assistant\n"
    added = HELPFUL if kind != "qwen3_vl" else ""
    for system, first in (("", added), ("Look.", "<|im_start|>system\nLook.<|im_end|>\n")):
        renderer = PromptRenderer(own, system, 1024)
        assert renderer.text(asked) == first + user
        [prompt] = renderer.render([asked])
        assert prompt.ids.count(IMAGE) == 6 + 1  # 3 x 2 cells of 28 pixels, and one
        assert len(prompt.ids) == renderer.check(asked)


def test_its_export_is_loaded_and_says_the_same(family, groups_of, tmp_path):
    groups = groups_of(CASES["one picture"])
    family.save_pretrained(tmp_path)
    spec = PolicySpec(str(tmp_path))
    loaded = Policy(spec, load_processor(spec))
    with torch.no_grad():
        assert torch.equal(loaded.logprobs(groups).values_N_T, family.logprobs(groups).values_N_T)


@pytest.mark.parametrize("kind", ["glm4v", "qwen3_vl_moe", "qwen2_5_omni", "llava", "qwen2", "x\x1b[2J"])
def test_other_families_are_refused_by_name_before_anything_is_loaded(kind, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(RefusedError) as refused:
        load_processor(PolicySpec(str(tmp_path)))
    message = str(refused.value)
    assert f"a {kind.replace(chr(27), chr(92) + 'x1b')}; supported are" in message
    assert all(name in message for name in (*FAMILIES, *FAMILIES.values()))


def test_the_engine_vllm_is_for_families_that_are_supported():
    from observer.rollout.vllm.process import KINDS

    assert {*KINDS} <= FAMILIES.keys()
