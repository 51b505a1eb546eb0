"""How far a run is: the state of its draws, saved, loaded and refused."""

import io

import pytest
import torch

from admitting import admitted, rows_of
from observer.curriculum import DrawRequest, Schedule, Sorted
from observer.data import Jsonl, Tiles
from observer.types import RefusedError
from observer.verifier import Verifier


def saved_and_loaded(state):
    """A state as a checkpoint holds it, read without trusting it."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def seen(module):
    return [part.tolist() for part in module.index.seen]


def test_a_state_that_was_saved_and_loaded_goes_on_where_it_left_off(renderer, ladder_file, tmp_path):
    options = {"train": Jsonl(ladder_file()), "seed": 5, "steps_per_epoch": 2}
    old, new = admitted(renderer, tmp_path, **options), admitted(renderer, tmp_path, **options)
    for step in range(4):
        old.finish_step(old.draw(step), [step / 8, 0.25, 0.5, 1.0])
    new.load_state_dict(saved_and_loaded(old.state_dict()))
    assert new.step == 4
    assert seen(new) == seen(old)
    assert rows_of(new.train_dataloader()) == rows_of(old.train_dataloader()) == [new.draw(4), new.draw(5)]
    assert new.draw(4) != new.draw(0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 6}, "drawn with seed 5, this run has 6"),
        ({"prompts_per_step": 3, "steps_per_epoch": 3}, "drawn with prompts_per_step 4, this run has 3"),
        ({"steps_per_epoch": 2}, "drawn with steps_per_epoch 3, this run has 2"),
        ({"train": Tiles(rows=13), "steps_per_epoch": 3}, "drawn with rows 12, this run has 13"),
    ],
)
def test_a_state_of_other_draws_is_refused_with_both_values(renderer, tmp_path, changed, message):
    options = {"train": Tiles(rows=12), "seed": 5}
    state = saved_and_loaded(admitted(renderer, tmp_path, **options).state_dict())
    module = admitted(renderer, tmp_path, **options | changed)
    with pytest.raises(RefusedError, match=f"cannot resume: the checkpoint was {message}; resume with the"):
        module.load_state_dict(state)
    assert module.step == 0


def test_a_state_of_another_schedule_is_refused_with_both(renderer, tmp_path):
    old, new = (admitted(renderer, tmp_path, train=Tiles(rows=8)) for _ in range(2))
    old.schedule, new.schedule = Sorted(), Sorted(descending=True)
    with pytest.raises(
        RefusedError, match=r"schedule Sorted\(.*descending=False\), .* Sorted\(.*descending=True\)"
    ):
        new.load_state_dict(saved_and_loaded(old.state_dict()))


class First(Schedule):
    """The first rows. No dataclass, so it shows no options."""

    def draw(self, request: DrawRequest) -> list[int]:
        return list(range(request.count))


def test_a_schedule_that_shows_no_options_can_be_resumed(renderer, tmp_path):
    old, new = (admitted(renderer, tmp_path, train=Tiles(rows=8)) for _ in range(2))
    old.schedule, new.schedule = First(), First()
    old.finish_step([0, 1, 2, 3], [1.0] * 4)
    new.load_state_dict(saved_and_loaded(old.state_dict()))
    assert new.step == 1


def test_validating_reads_no_state_of_the_draws(renderer, tmp_path):
    trained = admitted(renderer, tmp_path, train=Tiles(rows=8))
    trained.finish_step([0, 1, 2, 3], [1.0] * 4)
    module = admitted(renderer, tmp_path, stage="validate", val=Tiles(rows=8))
    module.load_state_dict(saved_and_loaded(trained.state_dict()))
    assert module.step == 0


def test_a_later_stage_forgets_no_pass_rates(renderer, tmp_path):
    module = admitted(renderer, tmp_path, train=Tiles(rows=8), val=Tiles(rows=8, split="val"))
    module.finish_step([0, 1, 2, 3], [0.0, 0.25, 0.5, 1.0])
    module.setup("validate")
    module.admit(renderer, Verifier(), tmp_path)
    assert seen(module) == [[0, 1, 2, 3], [1] * 4, [0.0, 0.25, 0.5, 1.0]]


def test_another_ladder_of_the_same_size_cannot_go_on_from_a_checkpoint(renderer, ladder_file, tmp_path):
    module = admitted(renderer, tmp_path, train=Jsonl(ladder_file()))
    other = admitted(renderer, tmp_path, train=Jsonl(ladder_file("other.jsonl", r3={"difficulty": 0.5})))
    with pytest.raises(RefusedError, match="drawn with ladder"):
        other.load_state_dict(module.state_dict())


def test_a_run_that_is_made_longer_does_not_rewind_its_curriculum(renderer, ladder_file, tmp_path):
    module = admitted(renderer, tmp_path, train=Jsonl(ladder_file()))
    module.schedule, module.horizon = Sorted(), 3
    longer = admitted(renderer, tmp_path, train=Jsonl(ladder_file()))
    longer.schedule, longer.horizon = Sorted(), 4
    assert longer.draw(2) != module.draw(2)
    longer.load_state_dict(module.state_dict())
    assert longer.draw(2) == module.draw(2)
    assert set(longer.draw(5)) == set(module.draw(2)), "beyond its horizon it stays on its last slot"


@pytest.mark.parametrize("rows", [[0], [0, 0, 1, 2], [0, 1, 2, 12], [-1, 0, 1, 2], [0.5, 1, 2, 3]])
def test_a_schedule_that_draws_something_else_is_named(renderer, ladder_file, tmp_path, rows):
    class Careless(Schedule):
        def draw(self, request):
            return rows

    module = admitted(renderer, tmp_path, train=Jsonl(ladder_file()))
    module.schedule = Careless()
    with pytest.raises(RuntimeError, match=r"Careless\(.*\) drew .* at step 3; it must draw 4 distinct rows"):
        module.draw(3)
