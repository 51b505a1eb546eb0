"""How far a step moves the weights: exact for small tensors, an estimate of bounded memory for large ones."""

import pytest
import torch

from observer.objective.update_norm import evenly_spaced, update_norm


def moved(parameters, most):
    """A step of one standard deviation: the norm that is measured, and the true one."""
    torch.manual_seed(0)
    steps = [torch.randn(parameter.shape) for parameter in parameters]
    with update_norm(parameters, most) as norm:
        for parameter, step in zip(parameters, steps, strict=True):
            parameter += step
    return norm.value, float(torch.cat([step.flatten() for step in steps]).norm())


def test_small_tensors_are_compared_whole_and_large_ones_are_scaled_up():
    shapes = [(64, 64), (100,), (3, 5, 7)]
    found, true = moved([torch.zeros(shape) for shape in shapes], 64 * 64)
    assert found == pytest.approx(true, rel=1e-6)
    found, true = moved([torch.zeros(shape) for shape in [*shapes, (512, 256)]], 4096)
    assert found == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize("shape", [(512, 256), (256, 512), (7, 3584), (100_000,), (), (0,)])
def test_no_more_is_compared_than_was_said_and_every_column_has_its_turn(shape):
    values = torch.arange(torch.Size(shape).numel()).view(shape)
    seen = evenly_spaced(values, 4096)
    assert seen.unique().numel() == seen.numel() <= 4096
    assert seen.numel() >= min(values.numel(), 2000)
    if values.ndim > 1 and values.shape[0] > 100:
        assert (seen % shape[-1]).unique().numel() == shape[-1]


def test_a_step_in_half_precision_is_measured_as_it_was_rounded():
    weights = torch.ones(8, dtype=torch.bfloat16)
    with update_norm([weights]) as norm:
        weights += 1e-4
    assert norm.value == 0.0
    with update_norm([]) as norm:
        pass
    assert norm.value == 0.0
