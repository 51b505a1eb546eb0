"""The figures of a report hold every variant, whatever it is called and however few runs there are."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from observer.ablation.report.collect import collect
from observer.ablation.report.effects import Effects
from observer.ablation.report.figures.canvas import short
from observer.ablation.report.figures.forest import forest_figure
from observer.ablation.report.figures.learning_curves import _band, curve_figure
from observer.ablation.report.figures.levels import level_figure
from simulated_grid import Simulated

LONG = "a_variant_whose_name_says_all_that_was_done_to_it_and_a_little_more"


def drawn(folder, names, seeds=2, levels=2, contrasts=None):
    """Return the figures of a grid by name: pixels, or None."""
    effects = {name: 0.02 * place for place, name in enumerate(names)}
    grid = Simulated(folder, effects, seeds=seeds, problems=20, levels=levels, contrasts=contrasts or {})
    grid.write()
    runs = collect(grid.grid, grid.output)
    found = {"forest": forest_figure(Effects(runs)), "levels": level_figure(Effects(runs))}
    found["curves"] = curve_figure(runs, "val", "tokens")
    return {
        name: png and np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for name, png in found.items()
    }


@pytest.mark.whole
def test_many_variants_have_axes_of_their_own(tmp_path):
    names = [f"{LONG}_{place}" if place % 3 else f"$v_{place}$".strip("$") for place in range(6)]
    found = drawn(tmp_path, names, contrasts={"first": f"{names[1]} - {names[0]}"})
    for pixels in found.values():
        assert pixels.shape[0] > 450
        assert (pixels.reshape(-1, 3) == (0, 0x72, 0xB2)).all(1).sum() > 200  # a colour of the palette


@pytest.mark.parametrize(("names", "seeds"), [(["only"], 2), (["one", LONG], 1)])
def test_little_is_drawn_as_well(tmp_path, names, seeds):
    found = drawn(tmp_path, names, seeds, contrasts={"first": f"{LONG} - one"} if len(names) > 1 else None)
    assert (found["forest"] is None) == (len(names) == 1)
    for pixels in found.values():
        assert pixels is None or pixels.std() > 5


def test_one_level_needs_no_figure(tmp_path):
    assert drawn(tmp_path, ["only"], levels=1)["levels"] is None


def test_a_name_is_broken_at_its_marks_and_shortened():
    lines = ["a_variant_whose_name_says_", "all_that_was_done_to_it_", "and_a_little_more"]
    assert short(LONG, 26).split("\n") == lines
    assert short(LONG * 3, 20).count("\n") == 2
    assert short(LONG * 3, 20).endswith("..")
    assert max(map(len, short("x" * 300, 20).split("\n"))) == 20


def test_evaluations_of_which_one_alone_has_a_spread_show_it(tmp_path):
    spread = {}
    for name, values in {"known": (0.2, 0.5, 0.8), "same": (0.5, 0.5, 0.5)}.items():
        grid = Simulated(tmp_path / name, {"only": 0.0}, seeds=3, problems=20)
        grid.write()
        for seed, accuracy in enumerate(values):
            lines = [{"step": step, "split": "test", **dict.fromkeys(("prompts", "tokens", "seconds"), step),
                      "accuracy": accuracy if step == 2 else 0.5} for step in (0, 1, 2, 3)]  # fmt: skip
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            (grid.at("only", seed) / "curve.jsonl").write_text(text)
        png = curve_figure(collect(grid.grid, grid.output), "test", "tokens")
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        blue = (pixels[..., 2] - pixels[..., 0]) > 60
        spread[name] = blue.sum(0).max() / len(pixels)  # the longest upright of a picture
    assert spread["known"] > 0.5 > spread["same"]


def test_a_start_that_all_seeds_share_has_a_band_of_no_width(tmp_path):
    same_S, different_S = np.full(3, 0.5), np.array([0.4, 0.5, 0.6])
    assert _band(0, same_S) == (0.5, 0.5)
    assert np.isnan(_band(5, same_S)).all(), "there equal values are chance"
    assert np.isnan(_band(0, same_S[:1])).all()
    assert np.isfinite(_band(0, different_S)).all()
