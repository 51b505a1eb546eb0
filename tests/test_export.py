"""What a run leaves is a whole Hugging Face directory."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

import runs
from observer.callbacks import checkpoint_callbacks
from observer.data import Tiles
from observer.policy import export_checkpoint
from observer.types import RefusedError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    learner = runs.learner()
    callbacks = checkpoint_callbacks(folder, every_n_steps=1, validates=True)
    runs.trainer(folder, 2, callbacks=callbacks).fit(learner, datamodule=runs.data_module())
    export_checkpoint(folder / "checkpoints" / "last.ckpt", folder / "exported")
    return learner, folder


def test_transformers_loads_it_and_it_says_what_the_policy_says(trained):
    learner, folder = trained
    model = AutoModelForImageTextToText.from_pretrained(folder / "exported")
    processor = AutoProcessor.from_pretrained(folder / "exported")
    problem = Tiles(rows=8, split="test").read()[3]
    prompt = learner.answerer.renderer.render([problem])[0]
    text = processor.apply_chat_template(
        [
            {
                "role": "user",
                "content": [
                    {"type": "image"},
                    {"type": "text", "text": problem.question.removeprefix("<image>")},
                ],
            }
        ],
        add_generation_prompt=True,
    )
    inputs = processor(text=[text], images=[problem.pictures[0].load()], return_tensors="pt")
    assert inputs["input_ids"][0].tolist() == list(prompt.ids)
    said = model.generate(**inputs, do_sample=False, max_new_tokens=48)[0, inputs["input_ids"].shape[1] :]
    greedy = replace(learner.sampling, group_size=1, step=-1, temperature=0.0)
    group = learner.answerer.engine.generate([prompt], greedy)[0]
    assert tuple(said.tolist()) == group.completions[0].ids


def test_its_weights_are_the_trained_ones(trained):
    learner, folder = trained
    model = AutoModelForImageTextToText.from_pretrained(folder / "exported")
    for name, value in model.state_dict().items():
        assert torch.equal(value, learner.policy.model.state_dict()[name])


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(RefusedError, match=r"other.ckpt does not say which model"):
        export_checkpoint(tmp_path / "other.ckpt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
