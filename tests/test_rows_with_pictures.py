"""Rows with pictures: where these lie, when they are checked, how often they are decoded."""

import pytest
from PIL import Image

from observer.data import Jsonl
from observer.types import RefusedError
from written_rows import ROW, written


def test_pictures_lie_in_the_folder_that_images_names(folder, train):
    sub = folder / "rows"
    sub.mkdir()
    path = written(sub / "train.jsonl", ROW | {"images": ["a.png"]})
    assert Jsonl(path, images=str(folder)).read()[0].pictures[0].size() == (20, 30)
    with pytest.raises(RefusedError, match=r"picture 'a\.png' is no file"):
        Jsonl(path).read()


def test_header_checks_find_no_truncation_and_decode_checks_do(folder, train):
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[:-30])
    path = written(train, ROW | {"images": ["b.png"]})
    assert len(Jsonl(path, check_images="header").read()) == 1
    with pytest.raises(RefusedError, match=r"b\.png is broken"):
        Jsonl(path).read()


def test_the_pixel_limit_reaches_the_check_and_the_problem(folder, train):
    path = written(train, ROW | {"images": ["a.png"]}, ROW | {"images": ["b.png"]})
    rows = Jsonl(path, max_image_pixels=600, on_bad_row="skip").read()
    assert len(rows) == 1
    Image.new("RGB", (31, 20)).save(folder / "a.png")
    with pytest.raises(RefusedError, match="claims 20 x 31 pixels, more than max_image_pixels = 600"):
        rows[0].pictures[0].load()


def test_a_picture_of_many_rows_is_decoded_once(folder, train, monkeypatch):
    opened = []
    monkeypatch.setattr("observer.data.formats.row_file.BATCH_ROWS", 4)

    def opening(path, limits):
        opened.append(path.name)
        return Image.new("RGB", (4, 4))

    monkeypatch.setattr("observer.data.images.open_picture", opening)
    Jsonl(written(train, *[ROW | {"images": ["a.png", "b.png", "a.png"]}] * 10)).read()
    assert sorted(opened) == ["a.png", "b.png"]
