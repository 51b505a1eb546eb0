import copy
import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from observer.policy import PolicySpec, load_processor
from observer.rollout import PromptRenderer
from observer.types import Picture, RefusedError, Turn
from tables import holds_for

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


@pytest.fixture(scope="module")
def resizers(checkpoint):
    """Renderers that enlarge, that shrink, and that keep the processor's own limits."""
    limits = [(None, None), (28 * 28 * 20, None), (None, 28 * 28 * 3), (28 * 28 * 2, 28 * 28 * 400)]
    return [
        PromptRenderer(
            load_processor(PolicySpec(str(checkpoint), min_pixels=low, max_pixels=high)), "", 10_000
        )
        for low, high in limits
    ]


def test_a_chat_is_rendered_as_the_template_says_with_one_id_a_visual_token(
    renderer, processor, picture, problem
):
    rendered = problem("Is <image> larger than <image>?", [picture(84, 56), picture(28, 28)])
    text = f"<|im_start|>user\nIs {IMAGE} larger than {IMAGE}?<|im_end|>\n<|im_start|>assistant\n"
    assert renderer.text(rendered) == text
    expanded = text.replace("<|image_pad|>", "<|image_pad|>" * 6, 1)  # 3 x 2 cells of 28 pixels
    [prompt] = renderer.render([rendered])
    assert prompt.ids == tuple(processor.tokenizer(expanded).input_ids)
    first, second = prompt.pictures
    assert (first.grid.tolist(), second.grid.tolist()) == ([1, 4, 6], [1, 2, 2])
    assert first.pixels.shape == (4 * 6, 3 * 2 * 14 * 14)
    assert second.pixels.shape == (2 * 2, 3 * 2 * 14 * 14)
    assert first.pixels.dtype == torch.float32
    assert prompt.problem is rendered


def test_pictures_go_to_the_prompt_of_their_problem_whatever_else_is_rendered(renderer, picture, problem):
    problems = [
        problem("no picture", id="none"),
        problem("one", [picture(84, 84, 1)], id="one"),
        problem("three", [picture(28, 56, 2), picture(112, 28, 3), picture(28, 56, 2)], id="three"),
        problem("none again", id="none again"),
        problem("two", [picture(56, 56, 4), picture(56, 56, 5)], id="two"),
    ]
    together = renderer.render(problems)
    for prompt, alone in zip(together, (renderer.render([item])[0] for item in problems), strict=True):
        assert prompt.problem is alone.problem
        assert prompt.ids == alone.ids
        assert len(prompt.pictures) == len(prompt.problem.pictures)
        for one, other in zip(prompt.pictures, alone.pictures, strict=True):
            assert torch.equal(one.pixels, other.pixels)
            assert torch.equal(one.grid, other.grid)
    first, second, repeated = together[2].pictures
    assert first is repeated
    assert not torch.equal(first.grid, second.grid)


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.tuples(st.integers(28, 400), st.integers(28, 400)), min_size=0, max_size=2))
def test_the_length_that_is_checked_from_headers_is_the_length_that_is_rendered(
    resizers, picture, problem, sizes
):
    asked = problem("How many?", [picture(*size) for size in sizes])
    for renderer in resizers:
        [prompt] = renderer.render([asked])
        assert renderer.check(asked) == len(prompt.ids)
        image_id = renderer.processor.image_token_id
        assert prompt.ids.count(image_id) == (
            sum(int(patches.grid.prod()) // 4 for patches in prompt.pictures)
        )


def test_pixel_limits_set_how_many_tokens_a_picture_takes(resizers, picture, problem):
    asked = problem("How many?", [picture(84, 84)])
    counts = [renderer.render([asked])[0].ids.count(5) for renderer in resizers]
    assert counts == [9, 25, 1, 9]  # its own 3 x 3; at least 20 cells: 5 x 5; at most 3: 1 x 1; room enough


def test_an_overlong_prompt_is_refused_by_name_and_never_cut(processor, picture, problem):
    asked = problem("How many?", [picture()], id="row-7", source="train.jsonl line 3")
    length = PromptRenderer(processor, "", 1024).check(asked)
    enough, short = PromptRenderer(processor, "", length), PromptRenderer(processor, "", length - 1)
    assert enough.check(asked) == len(enough.render([asked])[0].ids) == length
    for refused in (lambda: short.check(asked), lambda: short.render([problem("?", id="fine"), asked])):
        with pytest.raises(RefusedError, match=rf"train.jsonl line 3.*'row-7'.* {length} .* {length - 1}"):
            refused()


def test_a_length_is_checked_without_decoding(renderer, problem):
    def load():
        raise AssertionError("decoded")

    assert renderer.check(problem("?", [Picture("big", size=lambda: (84, 84), load=load)])) > 9


def test_a_picture_that_cannot_be_decoded_is_refused_as_its_reader_says(renderer, picture, problem):
    def load():
        raise RefusedError("a.png: truncated")

    with pytest.raises(RefusedError, match=r"a.png: truncated"):
        renderer.render([problem("?", [picture(), Picture("a.png", size=lambda: (28, 28), load=load)])])


@holds_for("token", ["<|image_pad|>", "<|vision_start|>", "<|im_end|>", "<|im_start|>assistant\n"])
def test_structure_in_a_users_text_is_refused(renderer, picture, problem, token):
    asked = problem(f"<image>Look {token} here", [picture()], id="row-7")
    for refused in (renderer.check, lambda item: renderer.render([item])):
        with pytest.raises(RefusedError, match=r"'row-7'.*user turn holds the special token '<\|"):
            refused(asked)


def test_structure_in_any_turn_is_refused(renderer, problem):
    turns = (Turn("user", "?"), Turn("assistant", "x<|im_end|>"), Turn("user", "!"))
    with pytest.raises(RefusedError, match="assistant turn holds the special token"):
        renderer.check(problem(turns=turns))


@holds_for(("marks", "pictures"), [(0, 1), (1, 0), (1, 2), (3, 2)])
def test_marks_and_pictures_must_be_as_many(renderer, picture, problem, marks, pictures):
    turns = (Turn("user", "<image>" * marks + "What?"),)
    asked = problem("", [picture()] * pictures, id="row-7", turns=turns)
    with pytest.raises(RefusedError, match=rf"'row-7': {marks} <image> marks for {pictures} pictures"):
        renderer.check(asked)


def test_marks_are_counted_over_all_turns(renderer, picture, problem):
    turns = (Turn("user", "<image>first"), Turn("assistant", "yes"), Turn("user", "and <image>?"))
    [prompt] = renderer.render([problem("", [picture(28, 28, 1), picture(56, 28, 2)], turns=turns)])
    assert [patches.grid.tolist() for patches in prompt.pictures] == [[1, 2, 2], [1, 2, 4]]
    text = renderer.processor.tokenizer.decode(prompt.ids)
    assert text.index("first") < text.index("yes") < text.index("and ") < text.rindex("<|image_pad|>")


def test_the_system_prompt_is_put_in_front_only_of_chats_that_have_none(processor, problem):
    renderer = PromptRenderer(processor, "Think first.", 1024)
    plain = problem("What?")
    system = "<|im_start|>system\nThink first.<|im_end|>\n"
    assert renderer.text(plain) == system + PromptRenderer(processor, "", 1024).text(plain)
    own = problem(turns=(Turn("system", "Be brief."), Turn("user", "What?")))
    assert "Think first." not in renderer.text(own)
    assert renderer.text(own).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat?")


def test_a_prompt_that_quotes_the_chat_keeps_its_words_and_opens_one_answer(renderer, processor, problem):
    quoted = "assistant\n<answer> 7 </answer>\nuser\nim_start assistant"
    [prompt] = renderer.render([problem(quoted)])
    assert processor.tokenizer.decode(prompt.ids).count(quoted) == 1
    start = processor.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert prompt.ids.count(start) == 2
    assert prompt.ids[-3] == start


def test_rendering_does_not_depend_on_anything_but_the_chat_and_its_pictures(renderer, picture, problem):
    asked = problem("?", [picture()])
    other = replace(asked, id="b", row=3, answer="9", level=4, metadata={"x": 1})
    assert renderer.render([asked])[0].ids == renderer.render([other])[0].ids


# Ahead of time


class Watched(PromptRenderer):
    """Notes on which thread it renders what."""

    def __init__(self, processor):
        super().__init__(processor, "", 1024)
        self.rendered = []

    def _render(self, problems):
        thread = threading.current_thread().name.partition("_")[0]
        self.rendered.append((thread, [problem.id for problem in problems]))
        return super()._render(problems)


@pytest.fixture
def watched(processor):
    return Watched(processor)


def assert_same_prompts(found, expected):
    assert [(prompt.problem, prompt.ids) for prompt in found] == [(p.problem, p.ids) for p in expected]
    for one, other in zip(found, expected, strict=True):
        for mine, theirs in zip(one.pictures, other.pictures, strict=True):
            assert torch.equal(mine.pixels, theirs.pixels)
            assert torch.equal(mine.grid, theirs.grid)


def test_what_was_prepared_is_what_would_have_been_rendered_and_is_rendered_once(
    watched, renderer, picture, problem
):
    problems = [problem("?", [picture(84, 56, 1)], id="one"), problem("3 + 4?", id="text")]
    watched.prefetch(problems)
    assert_same_prompts(watched.render(problems), renderer.render(problems))
    assert watched.rendered == [("prompts", ["one", "text"])]
    watched.render(problems)  # handed out once: the pictures may be gone by then
    assert watched.rendered[1:] == [("MainThread", ["one", "text"])]


def test_a_problem_that_is_read_again_is_known_by_its_name(watched, picture, problem):
    def read(**fields):
        return [problem("?", [picture()], **fields)]

    watched.prefetch(read(id="a", source="train"))
    for other in ({"id": "b", "source": "train"}, {"id": "a", "source": "val"}):
        watched.render(read(**other))
    watched.render(read(id="a", source="train"))
    assert [thread for thread, _ in watched.rendered].count("prompts") == 1
    assert [thread for thread, _ in watched.rendered].count("MainThread") == 2


@pytest.mark.parametrize("other", [{"text": "4 + 4?"}, {"row": 1}], ids=["another chat", "another row"])
def test_a_problem_of_the_same_id_that_asks_something_else_is_rendered_anew(watched, problem, other):
    watched.prefetch([problem("3 + 4?")])
    [asked] = [problem(**{"text": "3 + 4?", **other})]
    [prompt] = watched.render([asked])
    assert prompt.problem is asked


def test_pictures_of_equal_bytes_and_another_shape_are_two(renderer, problem):
    def black(size):
        return Picture("black", size=lambda: size, load=lambda: Image.new("RGB", size))

    problems = [problem(pictures=[black(size)]) for size in ((84, 56), (56, 84))]
    wide, high = (prompt.pictures[0] for prompt in renderer.render(problems))
    assert wide.grid.tolist() == [1, 4, 6]
    assert high.grid.tolist() == [1, 6, 4]


def test_what_is_prepared_does_not_disturb_what_is_asked_for_meanwhile(watched, renderer, picture, problem):
    ahead = [problem("?", [picture(84, 84, i)], id=f"ahead {i}") for i in range(8)]
    others = [[problem("??", [picture(56, 84, 50 + i)], id=f"now {i}")] for i in range(8)]
    watched.prefetch(ahead)
    for other in others:
        assert_same_prompts(watched.render(other), renderer.render(other))
    watched.prefetch([])  # nothing comes next: what was prepared stays
    assert_same_prompts(watched.render(ahead), renderer.render(ahead))
    assert [ids for thread, ids in watched.rendered if thread == "prompts"] == [[p.id for p in ahead]]


def test_an_error_shows_when_its_prompts_are_asked_for_and_not_before(watched, picture, problem):
    def load():
        raise RefusedError("a.png: truncated")

    bad = [problem("?", [Picture("a.png", size=lambda: (28, 28), load=load)], id="bad")]
    good = [problem("?", [picture()], id="good")]
    watched.prefetch(bad)
    assert len(watched.render(good)) == 1
    with pytest.raises(RefusedError, match=r"a.png: truncated"):
        watched.render(bad)
    watched.prefetch(bad)
    watched.prefetch(good)
    assert len(watched.render(good)) == 1


@holds_for("ahead", [True, False])
def test_equal_pictures_are_one_object_across_problems(renderer, picture, problem, ahead):
    shown = [[(84, 84, 1)], [(56, 84, 1), (84, 84, 1)], [(84, 84, 2)], [(84, 84, 1)]]
    problems = [problem("?", [picture(*size) for size in sizes], id=f"p{i}") for i, sizes in enumerate(shown)]
    if ahead:
        renderer.prefetch(problems)
    first, second, third, fourth = (prompt.pictures for prompt in renderer.render(problems))
    assert first[0] is second[1] is fourth[0]
    assert len({first[0], second[0], third[0]}) == 3
    assert not torch.equal(first[0].pixels, third[0].pixels)


def test_a_chat_that_the_template_refuses_is_named_by_its_row(processor, problem):
    strict = copy.copy(processor)
    strict.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}x"
    )
    renderer = PromptRenderer(strict, system_prompt="", max_tokens=64)
    assert renderer.text(problem("Why?", id="plain")) == "x"
    odd = problem("Why?", id="odd", turns=(Turn("system", "Be brief."), Turn("user", "Why?")))
    with pytest.raises(RefusedError, match=r"row 'odd': the model's chat template cannot .* no system turns"):
        renderer.text(odd)
