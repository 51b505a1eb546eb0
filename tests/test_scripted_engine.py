"""The engine that says what it is told."""

import pytest
import torch

from observer.rollout import ScriptedEngine
from observer.types import RefusedError, Sampling


def scripted(policy, texts):
    engine = ScriptedEngine(texts)
    engine.start(policy)
    return engine


def test_the_scripted_engine_says_its_texts_in_turn_with_the_gold_answer(policy, prompts, processor):
    engine = scripted(policy, ["<answer> {answer} </answer>", "no idea"])
    sampling = Sampling(group_size=3, max_tokens=30)
    groups = engine.generate(prompts, sampling)
    for prompt, group in zip(prompts, groups, strict=True):
        right = f"<answer> {prompt.problem.answer} </answer>"
        assert group.prompt is prompt
        assert group.sampling is sampling
        assert [completion.text for completion in group.completions] == [right, "no idea", right]
        assert [completion.index for completion in group.completions] == [0, 1, 2]
        for completion in group.completions:
            assert completion.finished
            assert processor.tokenizer.decode(completion.ids) == completion.text + "<|im_end|>"
            assert len(completion.logprobs) == len(completion.ids)
    assert torch.isfinite(policy.logprobs(groups).values_N_T).all()


def test_the_scripted_engine_cuts_as_a_sampling_engine_does(policy, prompts, processor):
    text = "<answer> 1 2 3 </answer>"
    length = len(processor.tokenizer(text).input_ids) + 1
    for limit, reason in ((length, "stop"), (length - 1, "length"), (3, "length")):
        [group] = scripted(policy, [text]).generate(prompts[:1], Sampling(1, max_tokens=limit))
        [completion] = group.completions
        own = completion.ids[:-1] if reason == "stop" else completion.ids
        assert completion.finish_reason == reason
        assert len(completion.ids) == limit
        assert completion.text == processor.tokenizer.decode(own)


def test_the_scripted_engine_notes_versions_and_refuses_an_empty_script(policy):
    engine = scripted(policy, ["x"])
    assert (engine.weights, engine.version) == ("none", -1)
    engine.sync(iter(()), 4)
    assert engine.version == 4
    with pytest.raises(RefusedError, match=r"ScriptedEngine.texts is empty"):
        ScriptedEngine([])
