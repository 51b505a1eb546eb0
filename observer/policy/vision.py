"""Features of pictures from the vision tower: each distinct one once, cached while the tower is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from observer.types import Patches


class PictureFeatures:
    """Encodes pictures, for the engine and for every forward pass over a prompt."""

    def __init__(self, model: Any) -> None:
        """Use the vision tower of a model.

        Args:
            model: a transformers model of the Qwen2-VL kind.
        """
        self._model = model
        self._frozen_at_first = not self._trains()
        # Features of pictures for as long as some prompt holds them. Empty unless the tower is frozen.
        self._kept: WeakKeyDictionary[Patches, tuple[torch.Tensor, ...]] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles keep no features: those are of pictures that some prompt holds elsewhere."""
        return {name: value for name, value in vars(self).items() if name != "_kept"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _kept=WeakKeyDictionary())

    @property
    def frozen(self) -> bool:
        """Whether neither the tower nor an adapter in it trains; one that is switched off counts too."""
        return self._frozen_at_first and not self._trains()

    def _trains(self) -> bool:
        return any(parameter.requires_grad for parameter in self._model.model.visual.parameters())

    def encodes(self, pictures: Sequence[Patches]) -> bool:
        """Return whether pictures go through the tower, as where not all of their features are kept."""
        return any(not self.frozen or picture not in self._kept for picture in pictures)

    def model_inputs(self, pictures: Sequence[Patches]) -> dict[str, Any]:
        """Return the keyword arguments of the model's forward for pictures.

        A picture that occurs several times goes through the tower once, and its gradients add up. A frozen
        tower encodes a picture once for engine, old policy, reference and policy together.

        Args:
            pictures: in the order of their placeholders.
        """
        if not pictures:
            return {}
        if not self.frozen:
            self._kept.clear()  # the tower has begun to train
        known = dict(self._kept)
        missing = [picture for picture in dict.fromkeys(pictures) if picture not in known]
        if missing:
            computed = self._compute(missing)
            known.update(computed)
            if self.frozen:
                self._kept.update(computed)
        pooled, *deep = zip(*(known[picture] for picture in pictures), strict=True)
        return {
            "mm_encoder_outputs": {"image": SimpleNamespace(pooler_output=pooled, deepstack_features=deep)}
        }

    def _compute(self, pictures: list[Patches]) -> dict[Patches, tuple[torch.Tensor, ...]]:
        """Return the features of pictures, (visual tokens, D) each: pooled, then Qwen3-VL's deep ones."""
        device, dtype = self._model.device, self._model.dtype
        output = self._model.model.get_image_features(
            torch.cat([picture.pixels for picture in pictures]).to(device, dtype),
            torch.stack([picture.grid for picture in pictures]).to(device),
            return_dict=True,
        )
        features = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
        return dict(zip(pictures, zip(*features, strict=True), strict=True))
