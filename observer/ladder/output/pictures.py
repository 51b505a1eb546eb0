"""Pictures of a ladder: each once, as a PNG whose name is a digest of what it shows."""

from __future__ import annotations

import io
from array import array
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image

from observer.data.fingerprints import picture_digest
from observer.refusal import still_there
from observer.run.files import remove_unfinished, temporary_name, writing
from observer.types import Problem

FOLDER = "pictures"
"""Where they are, beside the files that name them."""
SETTLED = 1 << 20
"""Pictures after which those that came several times are counted once."""
COMPRESSION = 2
"""Of zlib's nine levels: in half the time of Pillow's own six, files of a tenth more bytes."""


class PictureFolder:
    """Writes pictures as the model sees them: decoded, upright, in RGB, without loss.

    One is decoded at a time, and one that is there is not written again.

    Args:
        folder: of the ladder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._made: set[Path] = set()  # folders that are there
        self._kept = array("Q")  # eight bytes per picture
        self._settle_at = SETTLED

    def names(self, problem: Problem) -> list[str]:
        """Write the pictures of a problem; return their paths, relative to the folder of the ladder.

        Raises:
            LostInputError: a picture that was checked is gone or another one.
            WriteError: one cannot be written.
        """
        found = []
        for picture in problem.pictures:
            with still_there(problem):
                image = picture.load()
            digest = picture_digest(image)
            self._keep(int(digest[:16], 16))
            path = self._folder / digest[:2] / f"{digest}.png"
            if not path.is_file():
                self._write(path, image)
            found.append(f"{FOLDER}/{digest[:2]}/{path.name}")
        return found

    def _write(self, path: Path, image: Image.Image) -> None:
        coded = io.BytesIO()
        image.save(coded, format="PNG", compress_level=COMPRESSION)
        beside = temporary_name(path)
        with writing(path):
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            try:
                beside.write_bytes(coded.getbuffer())
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise

    def _keep(self, number: int) -> None:
        self._kept.append(number)
        if len(self._kept) >= self._settle_at:
            self._kept = array("Q", self._distinct().tobytes())
            self._settle_at = len(self._kept) + SETTLED

    def _distinct(self) -> np.ndarray:
        return np.unique(np.array(self._kept, np.uint64))

    def settle(self) -> dict[str, object]:
        """Remove pictures of an earlier build that this one does not show; return how many are left."""
        kept = self._distinct()
        for below in self._folder.glob("[0-9a-f][0-9a-f]"):
            remove_unfinished(below)
            for path in below.glob("*.png"):
                number = np.uint64(int(path.stem[:16], 16))
                place = int(np.searchsorted(kept, number))
                if place == len(kept) or kept[place] != number:
                    path.unlink()
        return {
            "count": len(kept),
            "digest": blake2b(kept.astype("<u8").tobytes(), digest_size=16).hexdigest(),
        }
