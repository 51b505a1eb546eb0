"""Several sources as one: ids, sources, what was left out, what tells rows apart."""

import json

import numpy as np
import pytest

import laddered
from observer.data import ColumnMap, Columns, Jsonl, LadderDataModule, Tiles
from observer.data.formats.together import Together
from observer.types import RefusedError


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    first = laddered.rows(folder / "a", 3, source=lambda row: f"book {row}", difficulty=lambda row: row / 4)
    second = laddered.rows(folder / "b", 2)
    with open(second.path, "a") as file:
        file.write(json.dumps({"id": "r9", "question": "What?", "answer": ""}) + "\n")
    return {"first": first, "second": Jsonl(second.path, on_bad_row="skip", keep_checked=False)}


def test_rows_come_one_source_after_the_other_under_its_name(sources):
    rows = Together(sources).read()
    assert [problem.id for problem in rows] == ["first/r0", "first/r1", "first/r2", "second/r0", "second/r1"]
    assert [problem.row for problem in rows] == list(range(5))
    assert [rows.source_name(row) for row in range(5)] == ["first"] * 3 + ["second"] * 2
    assert [dict(problem.metadata) for problem in rows][1:4:2] == [
        {"source": "first", "own_source": "book 1"},
        {"source": "second"},
    ]
    assert rows.difficulty[:3].tolist() == [0.0, 0.25, 0.5]
    assert list(rows.checked_rows()) == list(range(5))
    assert rows[-1].id == "second/r1"
    with pytest.raises(IndexError):
        rows[5]
    index = rows.index()
    assert index.sources == ("first", "second")
    assert index.source_R.tolist() == [0, 0, 0, 1, 1]


def test_what_was_left_out_is_named_with_its_source(sources):
    [skipped] = Together(sources).read().skipped
    assert (skipped.id, skipped.line) == ("second/r9", 3)


def test_a_refusal_names_the_source(sources, tmp_path):
    with pytest.raises(RefusedError, match=r"^sources\.gone: .*none\.jsonl"):
        Together({**sources, "gone": Jsonl(str(tmp_path / "none.jsonl"))}).read()
    with pytest.raises(RefusedError, match="sources is empty"):
        Together({})
    with pytest.raises(RefusedError, match="sources: 'a/b' cannot stand before an id"):
        Together({"a/b": sources["first"]})


def test_pictures_have_the_digests_of_their_sources(sources):
    rows = Together(sources).read()
    row_D, digest_D = rows.digests()
    assert row_D.tolist() == list(range(5))
    assert digest_D[:3].tolist() == sources["first"].read().digests()[1].tolist()
    assert digest_D[0] == digest_D[3], "these show the same"


def test_fingerprints_differ_with_the_name_as_ids_do(sources):
    found = Together(sources).read().fingerprints()
    other = Together({"former": sources["first"], "second": sources["second"]}).read().fingerprints()
    assert len(set(found.tolist())) == 5
    assert (found == other).tolist() == [False] * 3 + [True] * 2


def test_rows_that_are_kept_are_known_again_together(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("OBSERVER_CACHE", str(tmp_path))
    monkeypatch.setattr("observer.data.checks.file_cache.LEAST_ROWS", 1)
    kept = {name: Jsonl(each.path, on_bad_row="skip") for name, each in sources.items()}
    one, again = Together(kept).read().identity, Together(kept).read().identity
    assert one == again
    assert Together(dict(reversed(kept.items()))).read().identity != one
    assert Together({"first": kept["first"]}).read().identity.place != one.place
    assert Together(sources).read().identity is None, "these are not kept"


def test_formats_with_lists_of_columns_can_be_keys(sources):
    own = Columns("rows.jsonl", columns=ColumnMap(question="q", answer=["a", "b"]))
    assert len({own, Together({**sources, "own": own}), Together({**sources, "own": own})}) == 2


def test_a_module_draws_from_all_sources(sources):
    data = LadderDataModule(train=Together({**sources, "tiles": Tiles(rows=8)}), val=None, prompts_per_step=4)
    data.setup("fit")
    assert len(data.rows["train"]) == 13
    assert np.bincount(data.rows["train"].source).tolist() == [3, 2, 8]
