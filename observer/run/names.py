"""Names of curves.

They sort: TensorBoard and W&B list groups of curves by name. ``test/``, ``train/`` and ``val/`` hold what a
run is watched by and come first; all else is in groups that begin with ``zoom_``.
"""

from __future__ import annotations

import re


def curve_name(name: str) -> str:
    """Return a part of a name that every logger takes: letters, digits, ``_``, ``.`` and ``-``.

    >>> curve_name("IoU of boxes, ~ 0.5")
    'IoU_of_boxes_0.5'
    """
    return re.sub(r"[^\w.-]+", "_", name)
