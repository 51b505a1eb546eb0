"""A script: two ranks shard a policy with FSDP2, and compare what is handed over with what it was before.

Usage: two_ranks_sharded.py STORE
"""

import math
import sys
import weakref
from pathlib import Path

import torch
from torch import multiprocessing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

sys.path.insert(0, str(Path(__file__).parent))

import runs
from cases import awaken
from observer.policy import Lora, Policy, PolicySpec, load_processor
from observer.policy.hand_over import handed_over
from observer.run.environment import WHOLE, weights_digest

TARGETS = r".*(language_model\..*(q_proj|down_proj)|visual\..*qkv)"


def shard(model, mesh):
    """Shard each layer, then what is left, as trainers do."""
    blocks = [*model.model.language_model.layers, *model.model.visual.blocks]
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def compare(mesh, lora):
    spec = PolicySpec(runs.CHECKPOINT, lora=lora)
    policy = awaken(Policy(spec, load_processor(spec)))
    expected = {name: weight.clone() for name, weight in handed_over(policy.model)}
    shard(policy.model, mesh)
    assert all(isinstance(parameter, DTensor) for parameter in policy.model.parameters())
    gathered = {}
    for name, weight in handed_over(policy.model):
        assert not isinstance(weight, DTensor)
        assert torch.equal(weight, expected[name]), name
        held = [other for other, storage in gathered.items() if storage() is not None]
        assert len(held) < 2, f"{held} are held while {name} is gathered"
        gathered[name] = weakref.ref(weight.untyped_storage())
        del weight
    assert gathered.keys() == expected.keys()
    assert all(isinstance(parameter, DTensor) for parameter in policy.model.parameters())


def compare_digests(mesh):
    """Of a tensor that is not read whole and whose rows do not divide, and of one with a row for one rank."""
    shapes = {"large": (1025, 1100), "one": (1, 7), "none": (3,)}
    weights = {name: torch.arange(float(math.prod(shape))).view(shape) for name, shape in shapes.items()}
    assert weights["large"].nbytes > WHOLE
    cut = {name: distribute_tensor(weight, mesh, [Shard(0)]) for name, weight in weights.items()}
    assert weights_digest(cut) == weights_digest(weights)
    assert weights_digest({**cut, "one": cut["one"] + 1}) != weights_digest(weights)


def run(rank, store):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    compare_digests(mesh)
    for lora in (None, Lora(rank=2, alpha=8, targets=TARGETS)):
        compare(mesh, lora)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    multiprocessing.spawn(run, (sys.argv[1],), nprocs=2)
    print("the same weights on both")
