"""Parameters in groups: who is in which, a step like one made by hand, and a run that goes on with them."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
import transformers
from lightning.pytorch.callbacks import LearningRateMonitor

import evaluated
import runs
from documented import blocks, file_of, parsed
from observer.callbacks import checkpoint_callbacks
from observer.cli import main
from observer.learner import ObserveLearner
from observer.learner.optimization import Optimization
from observer.objective import ByName, ByRole, Constant, Linear, NamedLike, ParameterGroups, grouped
from observer.policy import Lora
from observer.rollout import ScriptedEngine
from observer.types import RefusedError
from tiny_run import Log

VISION = ByRole(vision_rate=0.1, merger_rate=0.5)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1)


def optimization(optimizer=adamw, groups=None, rate=Constant()):
    return Optimization(optimizer, rate, 1.0, 8192, None, parameter_groups=groups)


def made(policy, optimizer=adamw, groups=None):
    return optimization(optimizer, groups).configured(policy, 10)["optimizer"]


def named(policy):
    return {name: parameter for name, parameter in policy.named_parameters() if parameter.requires_grad}


def counts(groups):
    return {group["name"]: len(group["params"]) for group in groups}


def test_without_groups_the_optimizer_has_the_one_group_that_torch_makes(policy):
    (group,) = made(policy).param_groups
    (by_hand,) = adamw(policy.parameters()).param_groups
    for one, other in zip(group.pop("params"), by_hand.pop("params"), strict=True):
        assert one is other
    assert group == by_hand | {"initial_lr": 1e-3}


def test_the_parameters_of_the_quickstart_by_role(policy):
    groups = made(policy, groups=VISION).param_groups
    assert counts(groups) == {
        "language": 22,
        "language_no_decay": 16,
        "vision": 11,
        "vision_no_decay": 14,
        "merger": 2,
        "merger_no_decay": 3,
    }
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in groups} == {
        "language": (1e-3, 0.1),
        "language_no_decay": (1e-3, 0.0),
        "vision": (1e-4, 0.1),
        "vision_no_decay": (1e-4, 0.0),
        "merger": (5e-4, 0.1),
        "merger_no_decay": (5e-4, 0.0),
    }
    decaying = made(policy, groups=ByRole(decay_norms_and_biases=True)).param_groups
    assert counts(decaying) == {"language": 38, "vision": 25, "merger": 5}
    assert {group["weight_decay"] for group in decaying} == {0.1}


def test_adapters_by_name(fresh_policy):
    policy = fresh_policy(lora=Lora(rank=4, alpha=8))
    plus = ByName({"b": NamedLike("lora_B", rate=16.0, weight_decay=0.0)})
    rest, b = sorted(made(policy, groups=plus).param_groups, key=lambda group: group["name"], reverse=True)
    assert (rest["name"], rest["lr"], rest["weight_decay"]) == ("rest", 1e-3, 0.1)
    assert (b["name"], b["lr"], b["weight_decay"]) == ("b", 0.016, 0.0)
    assert len(b["params"]) == len(rest["params"]) == len(named(policy)) / 2
    assert counts(made(policy, groups=ByRole()).param_groups) == {"language": len(named(policy))}


@pytest.mark.parametrize(
    "renamed",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: name.replace("visual.", "visual._fsdp_wrapped_module."),
        lambda name: name.replace(".mlp.", "._checkpoint_wrapped_module.mlp."),
    ],
)
def test_what_wrappers_add_to_names_does_not_matter(policy, renamed):
    strategy = ByName({"first": NamedLike(r"^model\.model\.visual\.blocks\.0\.mlp\.", rate=0.5)})
    for one in (VISION, strategy):
        plain = grouped(one, named(policy))
        wrapped = grouped(one, {renamed(name): parameter for name, parameter in named(policy).items()})
        assert [[id(p) for p in group["params"]] for group in wrapped] == [
            [id(p) for p in group["params"]] for group in plain
        ]


@dataclass(frozen=True)
class Odd(ParameterGroups):
    """Groups that a mistake makes."""

    mistake: str

    def groups(self, named):
        first, *others = named.values()
        return {
            "left out": [{"params": others, "name": "a"}],
            "twice": [{"params": [first, *others], "name": "a"}, {"params": [first], "name": "b"}],
            "one name": [{"params": [first], "name": "a"}, {"params": others, "name": "a"}],
            "no name": [{"params": [first, *others]}],
            "a rate of 0": [{"params": [first, *others], "name": "a", "rate": 0.0}],
        }[self.mistake]


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("left out", r"Odd: model.model.visual.patch_embed.proj.weight is in 0 of its groups"),
        ("twice", r"Odd: model.model.visual.patch_embed.proj.weight is in 2 of its groups"),
        ("one name", r"Odd: its groups are named \['a', 'a'\]; give each a 'name' of its own"),
        ("no name", r"Odd: its groups are named \[None\]"),
        ("a rate of 0", r"Odd: the rate of group 'a' is 0.0; it must be > 0"),
    ],
)
def test_groups_that_would_train_a_parameter_twice_or_never_are_refused(policy, mistake, told):
    with pytest.raises(RefusedError, match=told):
        grouped(Odd(mistake), named(policy))


def test_a_rate_of_what_is_not_trained_is_refused(fresh_policy):
    frozen = fresh_policy(freeze_vision=True)
    with pytest.raises(RefusedError, match=r"ByRole.vision_rate is 0.1; nothing of the vision part is train"):
        made(frozen, groups=ByRole(vision_rate=0.1))
    assert counts(made(frozen, groups=ByRole()).param_groups) == {"language": 22, "language_no_decay": 16}
    with pytest.raises(
        RefusedError, match=r"ByName.like.tower.match is 'visual', which no trained parameter"
    ):
        made(frozen, groups=ByName({"tower": NamedLike("visual")}))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ByRole(vision_rate=0.0), "ByRole.vision_rate is 0.0; it must be > 0"),
        (lambda: ByRole(merger_rate=float("nan")), "ByRole.merger_rate is nan"),
        (lambda: NamedLike("("), r"NamedLike.match is '\(', no regular expression"),
        (lambda: NamedLike("a", weight_decay=-1.0), "NamedLike.weight_decay is -1.0"),
        (lambda: ByName({"rest": NamedLike("a")}), "'rest' is the group of all others"),
    ],
)
def test_options_out_of_range_are_refused(make, told):
    with pytest.raises(RefusedError, match=told):
        make()


OTHERS = {
    "SGD": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "Adafactor": partial(torch.optim.Adafactor, lr=0.1),
    "fused AdamW": partial(torch.optim.AdamW, lr=0.1, fused=True),
    "a tensor as rate": partial(torch.optim.AdamW, lr=torch.tensor(0.1), foreach=False),
    "Rprop, without decay": partial(torch.optim.Rprop, lr=0.1),
    "of another library": partial(transformers.Adafactor, lr=0.1, relative_step=False),
    "a lambda": lambda parameters: torch.optim.RMSprop(parameters, lr=0.1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_groups_go_on_top_of_any_optimizer(fresh_policy, name):
    configured = optimization(OTHERS[name], VISION, Linear(final_ratio=0.5)).configured(fresh_policy(), 10)
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]

    def rates():
        return {group["name"]: round(float(group["lr"]), 6) for group in optimizer.param_groups}

    assert (rates()["language"], rates()["vision"], rates()["merger"]) == (0.1, 0.01, 0.05)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for _ in range(10):
        schedule.step()
    assert (rates()["language"], rates()["vision"], rates()["merger"]) == (0.05, 0.005, 0.025)


class Needy(torch.optim.SGD):
    """Takes groups only, which must say something of their own."""

    def __init__(self, groups, lr):
        assert all("fast" in group for group in groups), "each group must say whether it is fast"
        super().__init__(groups, lr=lr)


@dataclass(frozen=True)
class Fast(ParameterGroups):
    """Tells ``Needy`` which groups are fast."""

    def groups(self, named):
        return [{"params": list(named.values()), "name": "all", "fast": True}]


def test_an_optimizer_that_needs_entries_of_its_own_in_groups_has_them_from_a_strategy(policy):
    own = optimization(partial(Needy, lr=0.1), Fast())
    assert own.configured(policy, 10)["optimizer"].param_groups[0]["fast"] is True
    assert own.described(policy).startswith("Needy {'lr': 0.1")
    with pytest.raises(RefusedError, match=r"model.optimizer cannot be made over the 68 parameters"):
        made(policy, partial(Needy, lr=0.1))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (torch.optim.LBFGS, "model.optimizer is LBFGS, whose step computes the loss anew"),
        (torch.optim.SparseAdam, "model.optimizer is SparseAdam, for sparse gradients"),
        (transformers.Adafactor, "model.optimizer is Adafactor without a learning rate 'lr'"),
        (
            torch.optim.Muon,
            "model.optimizer cannot be made over the 68 parameters that train: Muon only supports 2D",
        ),
        (
            lambda parameters: list(parameters),
            "model.optimizer gave a list, which is no torch.optim.Optimizer",
        ),
    ],
)
def test_an_optimizer_that_the_step_cannot_go_with_is_refused_before_it(policy, make, told):
    with pytest.raises(RefusedError, match=told) as caught:
        made(policy, make)
    assert "torch.optim.AdamW" in str(caught.value)


class Kept(ObserveLearner):
    """Keeps weights before and gradients of the one step."""

    def apply_gradients(self):
        of = named(self.policy)
        self.before = {name: parameter.detach().clone() for name, parameter in of.items()}
        self.gradients = {name: parameter.grad.clone() for name, parameter in of.items()}
        return super().apply_gradients()


DATA = {"prompts_per_step": 2, "steps_per_epoch": 4, "val": None, "test": None}


def learner(cls=ObserveLearner, **options):
    usual = {"engine": ScriptedEngine(runs.MIXED), "optimizer": adamw, "parameter_groups": VISION}
    return runs.learner(cls, **{**usual, "group_size": 4, "max_tokens": 24, **options})


def fit(folder, steps, module, resume=None, **options):
    callbacks = [*checkpoint_callbacks(folder, every_n_steps=1, validates=False), LearningRateMonitor()]
    log = Log()
    runs.trainer(folder, steps, callbacks=callbacks, logger=log, log_every_n_steps=1, **options).fit(
        module, datamodule=runs.data_module(**DATA), ckpt_path=resume
    )
    return log


def test_a_step_of_a_run_is_that_of_an_optimizer_made_by_hand(tmp_path):
    module = learner(Kept, gradient_clip=None)
    log = fit(tmp_path, 1, module)
    role = lambda name: "visual" in name and ("merger" if "merger" in name else "vision")  # noqa: E731
    rate = {False: 1e-3, "vision": 1e-4, "merger": 5e-4}
    by_hand = {name: torch.nn.Parameter(value.clone()) for name, value in module.before.items()}
    optimizer = torch.optim.AdamW(
        [
            {"params": [value], "lr": rate[role(name)], "weight_decay": 0.1 if value.ndim > 1 else 0.0}
            for name, value in by_hand.items()
        ]
    )
    for name, value in by_hand.items():
        value.grad = module.gradients[name]
    optimizer.step()
    for name, value in named(module.policy).items():
        assert torch.equal(value, by_hand[name]), name
        assert not torch.equal(value, module.before[name]) or not module.gradients[name].any()
    moved = torch.cat([(value - module.before[name]).flatten() for name, value in by_hand.items()]).detach()
    assert evaluated.update_norm(tmp_path) == pytest.approx(float(moved.norm()), rel=1e-4)
    roles = ("language", "language_no_decay", "vision", "vision_no_decay", "merger", "merger_no_decay")
    assert {name for _, name in log.records if name.startswith("lr-")} == {f"lr-AdamW/{r}" for r in roles}


def test_a_run_goes_on_with_its_groups_bit_for_bit_and_with_no_others(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    fit(whole, 3, learner(learning_rate=Constant(2)))
    fit(resumed, 1, learner(learning_rate=Constant(2)))
    last = resumed / "checkpoints" / "last.ckpt"
    with pytest.raises(
        RefusedError, match=r"made with parameter_groups ByRole\(.*vision_rate=0.1.*this run has None"
    ):
        fit(resumed, 3, learner(learning_rate=Constant(2), parameter_groups=None), last)
    fit(resumed, 3, learner(learning_rate=Constant(2)), last)
    ends = [torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (whole, resumed)]
    one, other = (end["optimizer_states"][0] for end in ends)
    assert one["param_groups"] == other["param_groups"]
    assert [group["name"] for group in one["param_groups"]][:2] == ["language", "language_no_decay"]
    for place, held in one["state"].items():
        assert all(torch.equal(value, other["state"][place][name]) for name, value in held.items())
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name])


def test_the_configurations_of_the_page_and_a_strategy_of_ones_own_are_run(tmp_path, monkeypatch):
    words = ["fit", "--config", "configs/quickstart.yaml", "--config", str(tmp_path / "groups.yaml")]
    for block, name in zip(blocks("docs/optimizers.md", "yaml"), ("ByRole", "ByName"), strict=True):
        (tmp_path / "groups.yaml").write_text(block)
        with monkeypatch.context() as patch:
            groups = parsed(words, patch).model.parameter_groups
        assert groups.class_path == f"observer.objective.{name}"
    own, from_python = blocks("docs/optimizers.md", "python")
    (tmp_path / file_of(own)).write_text(own)
    sizes = [
        "--data.val",
        "null",
        "--data.test",
        "null",
        "--data.prompts_per_step",
        "2",
        "--trainer.max_steps",
        "1",
    ]
    words = [*("--plugins", f"[{tmp_path / file_of(own)}]", "--model.parameter_groups", "LayerWise"), *sizes]
    words += ["--model.parameter_groups.decay", "0.5", "--run_dir", str(tmp_path / "run")]
    assert main(["fit", "--config", "configs/quickstart.yaml", "--report.export", "false", *words]) == 0
    held = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    rates = {group["name"]: group["initial_lr"] for group in held["optimizer_states"][0]["param_groups"]}
    assert rates == {"rest": 1e-4, "layer_0": 2.5e-5, "layer_1": 5e-5, "layer_2": 1e-4}
    assert held["recipe"]["parameter_groups"] == "LayerWise(decay=0.5)"
    names = {}
    exec(compile(from_python, "docs/optimizers.md", "exec"), names)
    assert names["learner"].recipe()["parameter_groups"].startswith("ByRole(decay_norms_and_biases=False")


def test_a_checkpoint_from_before_there_were_groups_is_one_without(tmp_path):
    fit(tmp_path, 1, learner(parameter_groups=None))
    held = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert held["recipe"].pop("parameter_groups") is None
    torch.save(held, tmp_path / "former.ckpt")
    with pytest.raises(RefusedError, match=r"made with parameter_groups None, this run has ByRole\("):
        fit(tmp_path, 2, learner(), tmp_path / "former.ckpt")
    fit(tmp_path, 2, learner(parameter_groups=None), tmp_path / "former.ckpt")
