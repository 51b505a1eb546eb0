"""A script: a policy that is cut over two ranks against one that is whole, on the same completions.

One rank sees text alone, in one pass, and the other pictures, in two. Usage: cut_gradients.py
"""

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.distributed.device_mesh import init_device_mesh

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import runs
from cases import CASES
from cut_ranks import on_two_ranks
from observer.objective import update_norm
from observer.policy import Lora, Policy, PolicySpec, Reference, load_processor
from observer.policy.sharded.sharding import Sharding, is_sharded, local
from observer.rollout import PromptRenderer
from observer.types import Completion, Group, Picture, Problem, Sampling, Turn

TOWER = r".*(language_model\..*(q_proj|down_proj)|visual\..*qkv)"
KINDS = {
    "whole": {},
    "plain": {"logprob_pass": "plain", "gradient_checkpointing": True},
    "adapters": {"lora": Lora(rank=2, alpha=4, targets=TOWER)},
    "adapters in bfloat16": {"lora": Lora(rank=2, alpha=4), "dtype": "bfloat16"},
}


def noise(width, height, seed):
    def load():
        pixels = np.random.default_rng((seed, width, height)).integers(0, 256, (height, width, 3), np.uint8)
        return Image.fromarray(pixels)

    return Picture(name=f"noise-{seed}", size=lambda: (height, width), load=load)


def groups_of(processor, case):
    generator = torch.Generator().manual_seed(0)
    problems = [
        Problem(
            id=f"p{row}",
            row=0,
            kind="integer",
            turns=(Turn("user", text if "<image>" in text else "<image>" * len(sizes) + text),),
            answer="7",
            pictures=tuple(noise(*size, seed=row) for size in sizes),
        )
        for row, (text, sizes, _) in enumerate(case)
    ]
    groups = []
    for prompt, (_, _, lengths) in zip(
        PromptRenderer(processor, "", 1024).render(problems), case, strict=True
    ):
        drawn = [torch.randint(7, 329, (length,), generator=generator).tolist() for length in lengths]
        completions = (
            Completion(tuple(ids), (0.0,) * len(ids), "", "length", i) for i, ids in enumerate(drawn)
        )
        groups.append(Group(prompt, tuple(completions), Sampling()))
    return groups


def compared(options):
    """Return what is different, as numbers; weights that were read have to be the same."""
    spec = PolicySpec(runs.CHECKPOINT, **options)
    processor = load_processor(spec)
    sharding = Sharding(init_device_mesh("cpu", (2,)), torch.device("cpu"))

    def made(cut=None):
        torch.manual_seed(3)
        return Policy(spec, processor, cut)

    whole, cut = made(), made(sharding)
    parts = dict(cut.named_parameters())
    for name, weight in whole.named_parameters():
        assert is_sharded(parts[name]), name
        assert torch.equal(parts[name].full_tensor(), weight), name
        assert parts[name].requires_grad == weight.requires_grad, name
    for name, buffer in whole.named_buffers():
        assert torch.equal(buffer, dict(cut.named_buffers())[name]), name
    groups, found = groups_of(processor, CASES["mixed"]), {}
    rank = sharding.mesh.get_local_rank()
    mine = [[groups[0], groups[2]]] if rank == 0 else [[groups[1]], [groups[3]]]

    references = Reference(whole), Reference(cut, lambda: made(sharding))
    for passed in mine + ([[groups[0].take(slice(1))]] if rank == 0 else []):
        one, other = (reference.logprobs(passed).values_N_T for reference in references)
        found["reference"] = max(found.get("reference", 0.0), float((one - other).abs().max()))

    (whole.logprobs(groups).values_N_T ** 2).sum().backward()
    for passed in mine:
        (2 * (cut.logprobs(passed).values_N_T ** 2).sum()).backward()
    if rank == 0:
        (cut.logprobs([groups[0].take(slice(1))]).values_N_T.sum() * 0.0).backward()
    off = size = 0.0
    for name, weight in whole.named_parameters():
        part = parts[name]
        assert (weight.grad is None) == (part.grad is None), name
        if weight.grad is not None:
            off += float((part.grad.full_tensor() - weight.grad).double().square().sum())
            size += float(weight.grad.double().square().sum())
    found["gradient"] = (off / size) ** 0.5

    moves = []
    for policy in (whole, cut):
        trained = [weight for weight in policy.parameters() if weight.grad is not None]
        with update_norm([local(weight) for weight in trained]) as moved:
            torch.optim.SGD(trained, lr=1e-3).step()
        moves.append(moved.value**2)
    of_all = torch.tensor(moves[1])
    torch.distributed.all_reduce(of_all)
    found["moved"] = abs(float(of_all) - moves[0]) / moves[0]
    return found


def compare(store, output):
    torch.set_num_threads(1)
    rank = int(os.environ["LOCAL_RANK"])
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = {kind: compared(options) for kind, options in KINDS.items()}
    (output / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        ended = on_two_ranks(lambda: compare(f"{place}/store", Path(place)))
        assert ended == [0, 0], ended
        print(json.dumps([json.loads((Path(place) / f"{rank}.json").read_text()) for rank in range(2)]))
