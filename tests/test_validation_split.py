"""Rows held out of the training rows by picture: nothing that is shown or asked is on both sides."""

import json

import numpy as np
import pytest
from PIL import Image

from admitting import admitted
from observer.data import Jsonl, Tiles
from observer.data.validation_part import ValidationSplit, held_out
from observer.types import RefusedError
from written_rows import ROW, written


@pytest.fixture
def rows(tmp_path):
    """Factory of files: every fourth row without a picture; rows n and n + 40 show the same one."""

    def make(count=120, name="train.jsonl", order=1, check="decode"):
        records = []
        for n in range(count):
            record = ROW | {"id": f"r{n}", "question": f"How many, {n % 40}?", "answer": str(n)}
            if n % 4:
                file = f"{n}.{'png' if n < 40 else 'bmp'}"  # other files, the same pixels
                if not (tmp_path / file).exists():
                    Image.new("RGB", (6, 4), (n % 40, 1, 2)).save(tmp_path / file)
                record["images"] = [file]
            records.append(record)
        path = written(tmp_path / name, *records[::order])
        return Jsonl(path, check_images=check)

    return make


def sides(rows, fraction=0.3, seed=0):
    split = ValidationSplit(rows, fraction, seed).sides
    return {side: {problem.id for problem in part} for side, part in split.items()}


@pytest.mark.parametrize("check", ["decode", "header"])
def test_no_picture_and_no_question_is_on_both_sides(rows, check):
    found = sides(rows(check=check))
    shown = {side: {int(name[1:]) % 40 for name in names} for side, names in found.items()}
    assert not shown["train"] & shown["val"]
    assert len(found["train"]) + len(found["val"]) == 120
    assert 20 < len(found["val"]) < 55


def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_rows_or_on_others(rows):
    few = sides(rows())
    assert sides(rows(order=-1, name="turned.jsonl")) == few
    assert sides(rows(), seed=1) != few
    more = sides(rows(count=160, name="more.jsonl"))
    assert few["val"] <= more["val"]
    assert few["train"] <= more["train"]


def test_rows_that_share_one_of_their_pictures_go_together(tmp_path):
    for n in range(21):
        Image.new("RGB", (6, 4), (n, 1, 2)).save(tmp_path / f"{n}.png")
    chain = [ROW | {"id": f"r{n}", "images": [f"{n}.png", f"{n + 1}.png"]} for n in range(20)]
    path = written(tmp_path / "train.jsonl", *chain)
    with pytest.raises(RefusedError, match=r"data.val_fraction is 0.3, which holds out (0|20) of 20 rows"):
        sides(Jsonl(path))


def test_shares_are_kept_whatever_the_size_of_the_groups():
    held = [held_out(Tiles(rows=400).read(), 0.2, seed).mean() for seed in range(5)]
    assert abs(np.mean(held) - 0.2) < 0.03


@pytest.mark.parametrize("value", [0, 1, -0.1, float("nan"), 0.95])
def test_a_share_that_is_none_is_refused(value):
    with pytest.raises(RefusedError, match=r"data.val_fraction is"):
        ValidationSplit(Tiles(rows=8), value)


def test_a_share_beside_rows_for_validation_is_refused(renderer, tmp_path, rows):
    with pytest.raises(RefusedError, match=r"data.val_fraction is 0.2, and data.val names rows; set one"):
        admitted(renderer, tmp_path, train=rows(), val=rows(), val_fraction=0.2)
    with pytest.raises(RefusedError, match=r"data.train is not set"):
        admitted(renderer, tmp_path, train=None, val_fraction=0.2)


def test_a_run_trains_on_one_side_measures_on_the_other_and_goes_on_with_the_same(
    renderer, tmp_path, rows, caplog
):
    old = admitted(renderer, tmp_path, train=rows(), val_fraction=0.3)
    assert f"data.val: {len(old.rows['val'])} of 120 rows are held out of data.train" in caplog.text
    assert [p.id for p in old.rows["test"]] == [p.id for p in old.rows["val"]]
    assert [p.row for p in old.rows["train"]] == list(range(len(old.rows["train"])))
    old.finish_step(old.draw(0), [0.5] * 4)
    state = old.state_dict()
    same = admitted(renderer, tmp_path, train=rows(), val_fraction=0.3)
    same.load_state_dict(state)
    assert same.step == 1
    other = admitted(renderer, tmp_path, train=rows(), val_fraction=0.3, val_seed=5)
    with pytest.raises(RefusedError, match=r"data.train holds other rows than the checkpoint was made with"):
        other.load_state_dict(state)


def test_rows_that_are_left_out_before_training_are_named_on_each_side(renderer, tmp_path, rows):
    path = tmp_path / "train.jsonl"
    rows()
    lines = path.read_text().splitlines()
    lines[3] = json.dumps(ROW | {"id": "long", "question": "How many? " * 2000})
    path.write_text("\n".join(lines))
    with pytest.raises(RefusedError, match=r"data.(train|val): 1 rows are refused"):
        admitted(renderer, tmp_path, train=Jsonl(str(path)), val_fraction=0.3)
    module = admitted(renderer, tmp_path, train=Jsonl(str(path), on_bad_row="skip"), val_fraction=0.3)
    assert len(module.rows["train"]) + len(module.rows["val"]) == 119
