"""Archives that are written tensor by tensor: read as those of torch.save, checked by their sums."""

import io
import zipfile

import pytest
import torch

from observer.run.archive import ALIGNED, FOLDER, tensors_in, write_archive
from observer.run.checkpoints import check_checkpoint
from observer.types import RefusedError
from test_cut_ranks import assert_same

EMBEDDING = torch.arange(15.0).view(5, 3)
TREE = {
    "state_dict": {"embedding": EMBEDDING, "tied": EMBEDDING.detach(), "turned": torch.randn(3, 4).t()},
    "kinds": [torch.tensor([1.5]).bfloat16(), torch.arange(7), torch.tensor([True, False]), torch.zeros(0)],
    "counts": {"step": torch.tensor(3.0), 4: (1, 2.5, "text", None, True)},
}


@pytest.fixture
def path(tmp_path):
    with (tmp_path / "tree.ckpt").open("wb") as file:
        write_archive(TREE, file)
    return tmp_path / "tree.ckpt"


@pytest.mark.parametrize("mapped", [True, False])
def test_torch_reads_what_was_written_without_running_code(path, mapped):
    read = torch.load(path, weights_only=True, map_location="cpu", mmap=mapped)
    assert_same(read, TREE)
    state = read["state_dict"]
    assert state["embedding"].data_ptr() == state["tied"].data_ptr(), "stored once"


def test_values_begin_where_a_mapped_file_is_read_best_and_have_check_sums(path):
    assert all(tensor.data_ptr() % ALIGNED == 0 for tensor in tensors_in(torch.load(path, mmap=True)))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        [values] = [info for info in archive.infolist() if info.filename == f"{FOLDER}/data/0"]
    damaged = bytearray(path.read_bytes())
    damaged[values.header_offset + 2 * ALIGNED] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(RefusedError, match="cannot be read"):
        check_checkpoint(path)


class _Cut(torch.Tensor):
    """The first of two ranks has its first half."""

    class device_mesh:  # noqa: N801
        size = staticmethod(lambda: 2)
        get_local_rank = staticmethod(lambda: 0)
        get_group = staticmethod(lambda: None)

    def to_local(self):
        return self.as_subclass(torch.Tensor)[:50]


class _Full(io.BytesIO):
    def write(self, data):
        if self.tell() + len(data) > 1500:
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_a_disk_that_is_full_leaves_no_rank_waiting(monkeypatch):
    brought = []
    monkeypatch.setattr(
        torch.distributed, "broadcast", lambda part, group, group_src: brought.append(group_src)
    )
    tree = [torch.zeros(100).as_subclass(_Cut) for _ in range(9)]
    with pytest.raises(OSError, match="No space left"):
        write_archive(tree, _Full())
    assert brought == [0, 1] * len(tree)
    brought.clear()
    write_archive(tree, None)  # of a rank that only takes part
    assert brought == [0, 1] * len(tree)
