"""A vision tower attends to all windows of a length in one call, and says what transformers' own says."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from cases import KIN
from conftest import CHECKPOINT
from observer.policy import Policy, PolicySpec
from observer.policy.attention import interface

SHIPPED = "the shipped one, with windows"


@pytest.mark.parametrize(
    "grids",
    [
        [(1, 6, 6)] * 3,
        [(1, 24, 20), (1, 6, 4), (2, 2, 18), (1, 24, 20), (1, 4, 6)],
        [(1, 2, 2)],
    ],
    ids=["one size", "sizes whose windows are cut at the edge", "one visual token"],
)
@pytest.mark.parametrize("kin", [*KIN, SHIPPED])
def test_a_tower_has_the_values_and_gradients_of_transformers_own(
    tmp_path, processor, kin, grids, monkeypatch
):
    config = KIN[kin]() if kin in KIN else AutoConfig.from_pretrained(CHECKPOINT)
    config.save_pretrained(tmp_path)
    torch.manual_seed(0)
    own = Policy(PolicySpec(str(tmp_path), from_scratch=True), processor).model.model.visual
    stock = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa").model.visual
    stock.load_state_dict(own.state_dict())
    sdpa, lengths = interface.scaled_dot_product_attention, []

    def counted(query, *args, **options):
        lengths.append(query.shape[2])
        return sdpa(query, *args, **options)

    monkeypatch.setattr(interface, "scaled_dot_product_attention", counted)
    vision = config.vision_config
    patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    pixels = torch.randn(sum(t * h * w for t, h, w in grids), patch)
    results = []
    for tower in (own, stock):
        features = tower(pixels, grid_thw=torch.tensor(grids)).pooler_output
        features.square().sum().backward()
        results.append([features.detach(), *(parameter.grad for parameter in tower.parameters())])
    for mine, theirs in zip(*results, strict=True):
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-5)
    if kin == SHIPPED:  # a layer with windows of 8 x 8 patches, then one with whole pictures
        sizes = [(h, w) for _, h, w in grids]
        corners = [(h - y, w - x) for h, w in sizes for y in range(0, h, 8) for x in range(0, w, 8)]
        of_windows = {min(8, below) * min(8, right) for below, right in corners}
        of_pictures = {h * w for h, w in sizes}
        assert lengths == [*sorted(of_windows), *sorted(of_pictures)]
