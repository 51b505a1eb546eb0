"""How checkpoints are written and read: a file that is there is whole, whenever the process was killed."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from observer.run.checkpoints import read_checkpoint, refuse_other_version
from observer.run.files import remove_unfinished, sync_folder, whole_file, writing
from observer.run.waiting import waiting


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint in one move, so that the one before is whole until the new one is.

    Lightning's own writes to the folder for temporary files and moves from there: across file systems that is
    a copy, and a kill leaves half a file under the final name.
    """

    _chosen: tuple[str, str] | None = None

    def agree(self, strategy: Any, path: str | None) -> None:
        """Let all ranks read the file that rank 0 has chosen: it alone has compared check sums.

        Args:
            strategy: of the trainer, once the ranks have met.
            path: what this rank would read; None on all ranks where there is nothing to read.
        """
        if path is not None:
            self._chosen = (path, strategy.broadcast(path))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write beside the target, make sure it is on the disk, then rename over the target.

        Args:
            checkpoint: what to save.
            path: the target, on a local or mounted file system.
            storage_options: must be None.

        Raises:
            TypeError: there are storage options.
            WriteError: the disk is full, for example; the file before is as it was.
        """
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} takes no storage_options, got {storage_options!r}")
        target = Path(path)
        with whole_file(target, "wb") as file:
            remove_unfinished(target.parent)
            writer = _Writer(file)
            try:
                torch.save(checkpoint, cast(BinaryIO, writer))
            except RuntimeError as error:
                raise (writer.error or error) from error
        with writing(target):
            sync_folder(target.parent)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and builtins, and nothing that would run code; see ``read_checkpoint``.

        Args:
            path: the file; if ``agree`` was called with it, rank 0's.
            map_location: the device its tensors go to.
            weights_only: taken as True, whatever it is.

        Raises:
            RefusedError: it is of a run, and of no version of Lightning that a run can go on from.
        """
        if self._chosen is not None and str(path) == self._chosen[0]:
            path = self._chosen[1]
        with waiting("a checkpoint is read", lambda: str(path)):
            checkpoint: dict[str, Any] = read_checkpoint(path, map_location)
        if isinstance(checkpoint, dict) and {"state_dict", "loops", "callbacks"} & checkpoint.keys():
            refuse_other_version(checkpoint, path)
        return checkpoint


class _Writer:
    """Remembers why a write failed: ``torch.save`` only says that its file is shorter than it should be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()
