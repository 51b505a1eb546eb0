"""A step without a picture leaves the vision tower as it is: no weight decay, no momentum, on any rank."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import runs
from observer.curriculum import Sorted
from observer.data import Jsonl
from observer.learner import ObserveLearner, WarmStart
from observer.rollout import ScriptedEngine
from runs import MIXED


def decaying(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1)


class Towers(runs.lightning.Callback):
    """Keeps the weights of the vision tower and of the rest before the first step and after each."""

    def __init__(self):
        self.seen = []

    def on_train_start(self, trainer, learner):
        parts = {True: [], False: []}
        for name, parameter in learner.policy.named_parameters():
            parts[".visual." in name].append(parameter.detach().flatten().clone())
        self.seen.append((torch.cat(parts[True]), torch.cat(parts[False])))

    def on_train_batch_end(self, trainer, learner, *_):
        self.on_train_start(trainer, learner)


def rows(folder, with_pictures, with_text):
    """Easy rows with a picture, then hard ones without; all with a solution to imitate."""
    Image.fromarray(np.full((56, 56, 3), 90, np.uint8)).save(folder / "one.png")
    lines = [
        {"question": f"How many are {n}?", "answer": "7", "solution": "It is 7.", "difficulty": n / 8}
        | ({"images": ["one.png"]} if n < with_pictures else {})
        for n in range(with_pictures + with_text)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return Jsonl(str(folder / "rows.jsonl"))


@pytest.mark.parametrize("cls", [ObserveLearner, WarmStart])
def test_a_step_of_text_alone_does_not_move_the_vision_tower(cls, tmp_path):
    """Neither by weight decay nor by the momentum of the step with pictures before it."""
    options = {"engine": ScriptedEngine(MIXED)} if cls is ObserveLearner else {}
    towers = Towers()
    data = runs.data_module(
        train=rows(tmp_path, 2, 2), val=None, test=None, prompts_per_step=2, steps_per_epoch=1
    )
    trainer = runs.trainer(tmp_path / "run", 2, Sorted(), callbacks=[towers])
    trainer.fit(runs.learner(cls, optimizer=decaying, **options), datamodule=data)
    (start, text), (first, first_text), (second, second_text) = towers.seen
    assert not torch.equal(first, start)
    assert torch.equal(second, first)
    assert not torch.equal(first_text, text)
    assert not torch.equal(second_text, first_text)
