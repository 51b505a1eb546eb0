"""A file of outcomes: what is written is read, the same rows make the same bytes, other files are refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from full_disk import full_for_files_above
from observer.metrics import OUTCOMES, read_outcomes, write_outcomes
from observer.run.files import WriteError
from observer.types import RefusedError

ROW = {
    **{"id": "a", "picture": "", "level": 3, "kind": "number", "source": "rows.jsonl:1", "mode": "greedy"},
    **{"sample": 0, "verdict": "correct", "formatted": True, "length": 5, "truncated": False, "text": "7"},
}


def table(rows=3):
    return pa.Table.from_pylist([{**ROW, "id": f"row {row}"} for row in range(rows)], OUTCOMES)


def test_the_same_rows_make_the_same_bytes_and_are_read_again(tmp_path):
    whole, chunks = table(), pa.concat_tables([table().slice(0, 1), table().slice(1)])
    assert chunks["id"].num_chunks == 2
    write_outcomes(tmp_path / "whole", whole)
    write_outcomes(tmp_path / "chunks", chunks)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "chunks").read_bytes()
    assert read_outcomes(tmp_path / "whole") == whole


def test_a_file_without_rows_has_the_columns(tmp_path):
    write_outcomes(tmp_path / "none", OUTCOMES.empty_table())
    assert read_outcomes(tmp_path / "none").num_rows == 0


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (table().drop_columns(["kind"]), "has 0 columns 'kind', not 1"),
        (table().append_column("kind", table()["kind"]), "has 2 columns 'kind', not 1"),
        (table().set_column(6, "sample", table()["sample"].cast("int32")), "has 'sample' as int32, not as"),
        (table().append_column("extra", table()["kind"]), "those of outcomes are id, picture, level"),
    ],
)
def test_other_columns_are_refused_by_name_when_they_are_written_and_read(tmp_path, other, why):
    with pytest.raises(RefusedError, match=why):
        write_outcomes(tmp_path / "never", other)
    assert list(tmp_path.iterdir()) == []
    pq.write_table(other, tmp_path / "other")
    with pytest.raises(RefusedError, match=f"{tmp_path}/other .*{why}"):
        read_outcomes(tmp_path / "other")


def test_a_file_that_is_none_of_outcomes_is_refused(tmp_path):
    write_outcomes(tmp_path / "cut", table())
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-20])
    for name, why in (("cut", "cannot be read"), ("", "cannot be read"), ("absent", "is not there")):
        with pytest.raises(RefusedError, match=why):
            read_outcomes(tmp_path / name)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    write_outcomes(tmp_path / "heldout.parquet", table())
    with (
        full_for_files_above(1000),
        pytest.raises(WriteError, match=r"heldout.parquet cannot be written: File too large"),
    ):
        write_outcomes(tmp_path / "heldout.parquet", table(20))
    assert read_outcomes(tmp_path / "heldout.parquet") == table()
    assert [path.name for path in tmp_path.iterdir()] == ["heldout.parquet"]
