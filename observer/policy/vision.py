"""What the vision tower says of pictures: each distinct one once, and kept while the tower is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from observer.types import Patches


class PictureFeatures:
    """The door to the vision tower, for the engine and for every pass over a prompt."""

    def __init__(self, model: Any) -> None:
        """Take the tower of a model.

        Args:
            model: a transformers model of the Qwen2-VL kind.
        """
        self._model = model
        self._frozen_at_first = not self._trains()
        # Of pictures that are still in use by some prompt. Empty unless the tower is frozen.
        self._kept: WeakKeyDictionary[Patches, tuple[torch.Tensor, ...]] = WeakKeyDictionary()

    @property
    def frozen(self) -> bool:
        """Whether the tower does not train, nor adapters in it that are switched off right now."""
        return self._frozen_at_first and not self._trains()

    def _trains(self) -> bool:
        return any(parameter.requires_grad for parameter in self._model.model.visual.parameters())

    def model_inputs(self, pictures: Sequence[Patches]) -> dict[str, Any]:
        """Return the keyword arguments of the model's forward that stand for pictures.

        A picture that is in use several times goes through the tower once, and its gradients add up. A frozen
        tower sees a picture once for rollout, old, reference and policy together.

        Args:
            pictures: in the order of their placeholders.
        """
        if not pictures:
            return {}
        if not self.frozen:
            self._kept.clear()  # of a tower that has begun to train
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
