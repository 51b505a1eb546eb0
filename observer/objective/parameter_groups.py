"""Which parameters share a learning rate and a weight decay: the groups that a torch optimizer takes.

Pure functions of names and shapes; the learner's optimizer, whatever its class, is built over the groups.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from observer.refusal import refuse_fields, refuse_outside, refuse_unless
from observer.types import RefusedError

if TYPE_CHECKING:
    import torch

_WRAPPERS = re.compile(
    r"^(?:module\.)+|(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
"""Parts of names that DDP, ``torch.compile``, FSDP and checkpointing of activations add."""


class ParameterGroups(ABC):
    """Which parameters share a learning rate and a weight decay."""

    @abstractmethod
    def groups(self, named: Mapping[str, torch.nn.Parameter]) -> list[dict[str, Any]]:
        """Return groups as a torch optimizer takes them; each parameter is in one, empty ones are left out.

        Besides ``params`` a group has a ``name``, under which its learning rate is logged. Its ``rate``, if
        it has one, is a factor of the optimizer's learning rate. Other entries, such as ``weight_decay``,
        replace the optimizer's.

        Args:
            named: the parameters that are trained, by their names in the policy, in order.

        Raises:
            RefusedError: an option is of no effect, for example the rate of something that is not trained.
        """


@dataclass(frozen=True)
class ByRole(ParameterGroups):
    """Language model, vision tower and its merger apart; norms and biases without weight decay.

    Groups: ``language``, ``vision`` and ``merger``, each followed by its ``_no_decay``. Norms and biases are
    what has one dimension; embeddings decay. Adapters (LoRA) belong to what they adapt.

    Args:
        decay_norms_and_biases: whether they decay like the other parameters.
        vision_rate: learning rate of the vision tower, as a factor of the optimizer's, > 0.
        merger_rate: the same of the layers that turn its features into tokens, > 0.
    """

    decay_norms_and_biases: bool = False
    vision_rate: float = 1.0
    merger_rate: float = 1.0

    def __post_init__(self) -> None:
        hint = "; to keep it as it is, set model.policy.freeze_vision"
        refuse_fields(self, "vision_rate", "merger_rate", above=0, hint=hint)

    def groups(self, named: Mapping[str, torch.nn.Parameter]) -> list[dict[str, Any]]:
        """Return the groups; see ``ParameterGroups``."""
        found: dict[tuple[str, bool], list[torch.nn.Parameter]] = {
            (role, decays): [] for role in ("language", "vision", "merger") for decays in (True, False)
        }
        for name, parameter in named.items():
            found[_role(name), self.decay_norms_and_biases or parameter.ndim > 1].append(parameter)
        rates = {"language": 1.0, "vision": self.vision_rate, "merger": self.merger_rate}
        for role, rate in rates.items():
            trained = bool(found[role, True] or found[role, False])
            refuse_unless(
                trained or rate == 1,
                self,
                f"{role}_rate",
                f"nothing of the {role} part is trained; leave it out, or train that part "
                "(model.policy.freeze_vision, model.policy.lora.targets)",
            )
        return [
            {
                "params": parameters,
                "name": role if decays else f"{role}_no_decay",
                "rate": rates[role],
                **({} if decays else {"weight_decay": 0.0}),
            }
            for (role, decays), parameters in found.items()
            if parameters
        ]


def _role(name: str) -> str:
    parts = name.split(".")
    if "visual" not in parts:
        return "language"
    return "merger" if any("merger" in part for part in parts) else "vision"


@dataclass(frozen=True)
class NamedLike:
    """Parameters whose names match, and what they are trained with.

    Args:
        match: a regular expression that is looked for anywhere in a name.
        rate: factor of the optimizer's learning rate, > 0.
        weight_decay: replaces the optimizer's, >= 0; null for the optimizer's.
    """

    match: str
    rate: float = 1.0
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        refuse_fields(self, "rate", above=0)
        refuse_outside("NamedLike.weight_decay", self.weight_decay, 0, hint=", or null")
        try:
            re.compile(self.match)
        except re.error as error:
            raise RefusedError(
                f"NamedLike.match is {self.match!r}, no regular expression: {error}"
            ) from error


@dataclass(frozen=True)
class ByName(ParameterGroups):
    """Groups of parameters whose names match: adapters, embeddings, layers; all others are ``rest``.

    Args:
        like: name of the group -> which parameters, and their rate and weight decay; the first that matches.

    Reference:
        LoRA+ (arXiv 2402.12354) is ``like: {lora_b: {match: lora_B, rate: 16}}``.
    """

    like: dict[str, NamedLike]

    def __post_init__(self) -> None:
        refuse_unless(
            "rest" not in self.like, self, "like", "'rest' is the group of all others; rename yours"
        )

    def groups(self, named: Mapping[str, torch.nn.Parameter]) -> list[dict[str, Any]]:
        """Return the groups; see ``ParameterGroups``."""
        found: dict[str, list[torch.nn.Parameter]] = {group: [] for group in (*self.like, "rest")}
        for name, parameter in named.items():
            matching = (group for group, like in self.like.items() if re.search(like.match, name))
            found[next(matching, "rest")].append(parameter)
        for group, like in self.like.items():
            if not found[group]:
                raise RefusedError(
                    f"ByName.like.{group}.match is {like.match!r}, which no trained parameter is left for; "
                    f"correct it, or leave it out. Names are like {next(iter(named), 'none')!r}"
                )
        made = []
        for group, parameters in found.items():
            like = self.like.get(group, NamedLike(""))
            decay = {} if like.weight_decay is None else {"weight_decay": like.weight_decay}
            made.append({"params": parameters, "name": group, "rate": like.rate, **decay})
        return [group for group in made if group["params"]]


def grouped(strategy: ParameterGroups, named: Mapping[str, torch.nn.Parameter]) -> list[dict[str, Any]]:
    """Return the groups of a strategy, and refuse those that would leave a parameter out or train it twice.

    Args:
        strategy: cuts the groups.
        named: the parameters that are trained; what wrappers add to names is taken off first.

    Raises:
        RefusedError: names the strategy, the parameter or the group, and what is wrong with it.
    """
    of = {_WRAPPERS.sub("", name): parameter for name, parameter in named.items()}
    groups = [group for group in strategy.groups(of) if group["params"]]
    who = type(strategy).__name__
    names = [group.get("name") for group in groups]
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise RefusedError(f"{who}: its groups are named {names}; give each a 'name' of its own")
    for group in groups:
        refuse_outside(f"{who}: the rate of group {group['name']!r}", group.get("rate", 1.0), above=0)
    times = Counter(id(parameter) for group in groups for parameter in group["params"])
    for name, parameter in of.items():
        if (count := times[id(parameter)]) != 1:
            raise RefusedError(f"{who}: {name} is in {count} of its groups; each parameter must be in one")
    return groups
