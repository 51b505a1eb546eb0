"""Pictures and chats that are kept beside completions, for a page that needs the run's directory alone."""

import numpy as np
import pytest
from PIL import Image

from logged_completions import fit, read
from observer.callbacks.completions import Completions
from observer.callbacks.kept_pictures import keep_picture
from observer.data.tiles.rows import Tiles
from observer.policy import PolicySpec
from observer.types import Picture, RefusedError

# Lightning asks torch in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


@pytest.fixture(scope="module")
def tiny(checkpoint):
    return PolicySpec(str(checkpoint))


def picture(image):
    return Picture("one", lambda: image.size[::-1], lambda: image)


def test_the_first_line_of_a_group_has_the_chat_and_the_files_of_its_pictures(tiny, tmp_path):
    fit(tiny, tmp_path, Completions(), steps=1)
    folder = tmp_path
    lines = read(folder)
    rows = {problem.id: problem for problem in Tiles(rows=16).read()}
    for line in lines:
        assert ("prompt" in line) == ("pictures" in line) == (line["index"] == 0)
    for line in lines[::3]:
        system, user = line["prompt"]
        assert (system["role"], user["text"]) == ("system", line["question"])
        (picture,) = line["pictures"]
        shown = rows[line["id"]].pictures[0].load()
        assert picture["size"] == list(shown.size)
        with Image.open(folder / picture["file"]) as kept:
            assert kept.convert("RGB").tobytes() == shown.tobytes()
    assert len(list((folder / "pictures").iterdir())) == len(
        {line["pictures"][0]["file"] for line in lines[::3]}
    )


def test_pictures_that_cannot_be_written_are_told_once_and_null_in_their_lines(tiny, tmp_path):
    (tmp_path / "pictures").touch()
    with pytest.warns(UserWarning, match=r"pictures of completions\.jsonl cannot be written") as warned:
        fit(tiny, tmp_path, Completions(), steps=1)
    assert sum("pictures of" in str(warning.message) for warning in warned) == 1
    assert [line["pictures"] for line in read(tmp_path)[::3]] == [[None]] * 3


def test_a_picture_is_kept_once_and_shrunk_and_a_photograph_is_a_jpeg(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8))
    plain = Image.new("RGB", (900, 700), "green")
    kept = [keep_picture(picture(image), tmp_path, 448) for image in (noise, plain, noise)]
    assert kept[0] == kept[2]
    assert [one["file"].rpartition(".")[2] for one in kept] == ["jpeg", "png", "jpeg"]
    assert [one["size"] for one in kept] == [[900, 700]] * 3
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    with Image.open(tmp_path / kept[1]["file"]) as shrunk:
        assert shrunk.size == (448, 348)
    whole = (tmp_path / kept[1]["file"]).read_bytes()
    (tmp_path / kept[1]["file"]).write_bytes(b"")  # by a power cut
    keep_picture(picture(plain), tmp_path, 448)
    assert (tmp_path / kept[1]["file"]).read_bytes() == whole


def test_a_picture_that_is_gone_is_told_in_its_line(tmp_path):
    def gone():
        raise RefusedError("picture a.png is no file")

    assert keep_picture(Picture("a.png", gone, gone), tmp_path, 448) == {"fault": "picture a.png is no file"}
