"""The page of rows that people look through, and the file of what they decided."""

import json
import re
from html.parser import HTMLParser

import pytest

from observer.pages.decisions import FORMAT, Decision, read_decisions
from observer.pages.pictures import embedded
from observer.pages.review_page import review_page
from observer.types import RefusedError
from reviewed import HARM, LADDER, page, rows


class Elements(HTMLParser):
    """The elements of a page, its texts, and what it says of itself."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_a_text_that_holds_a_script_stays_a_text():
    elements = Elements(page())
    assert [sorted(script) for script in elements.of("script")] == [["id", "type"], []]
    assert all(set(attributes) <= {"src", "alt", "class"} for attributes in elements.of("img"))
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in elements.of("img"))
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert "".join(elements.texts).count(HARM) >= 6


def test_the_page_refers_to_nothing_outside_and_forbids_it():
    text = page()
    elements = Elements(text)
    assert elements.of("link") == []
    assert "http" not in re.sub(r"http-equiv", "", text)
    (policy,) = [meta["content"] for meta in elements.of("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert "unsafe" not in policy
    text.encode()


def test_ids_pass_through_the_page_as_they_are():
    (facts,) = re.findall(r'id="facts">(.*?)</script>', page())
    assert json.loads(facts) == {"format": FORMAT, "ladder": LADDER, "ids": [row.id for row in rows()]}


def test_a_page_without_decisions_has_no_means_to_make_them():
    elements = Elements(page(decide=False))
    assert elements.of("button") == []
    assert len(elements.of("article")) == 9
    assert [one.get("id") for one in elements.of("input")] == ["search"]


def test_one_row_is_in_memory_at_a_time():
    taken = []

    def counted():
        for row in rows():
            taken.append(row)
            yield row

    pieces = review_page(counted(), "Rows")
    for piece in pieces:
        if "<article" in piece:
            break
    assert len(taken) <= 2
    assert "".join(review_page([], "No rows")).count("<article") == 0


def test_pictures_keep_their_pixels_and_what_cannot_be_read_is_said():
    gone, large = rows()[2].pictures
    assert embedded(gone).fault == "picture gone.png is no file"
    assert embedded(large).size == "2100 x 700, shown smaller"
    assert embedded(rows()[0].pictures[0]).size == "360 x 280"
    assert "picture gone.png is no file" in page()


def decided(folder, **changed):
    file = folder / "decisions.json"
    file.write_text(json.dumps({"format": FORMAT, "ladder": LADDER, "decisions": [], **changed}))
    return file


def test_decisions_are_read(tmp_path):
    file = decided(
        tmp_path,
        decisions=[
            {"id": "a", "choice": "keep"},
            {"id": "b", "choice": "correct", "gold": "42"},
            {"id": "c", "choice": "drop"},
        ],
    )
    expected = {"a": Decision("keep"), "b": Decision("correct", "42"), "c": Decision("drop")}
    assert read_decisions(file, LADDER) == expected
    assert read_decisions(file) == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "x"}, "holds no decisions: it has no `format` 'observer decisions 1'"),
        ({"more": 1}, "has the field 'more', which is none of it"),
        (
            {"ladder": "cd34"},
            "decides on the rows 'cd34', and these are 'ab12': write the review page of these",
        ),
        ({"decisions": {}}, "`decisions` is {}; it must be a list"),
        ({"decisions": ["a"]}, "decision 1 is 'a'; it must have the `id` of a row"),
        ({"decisions": [{"id": 1, "choice": "keep"}]}, "it must have the `id` of a row"),
        (
            {"decisions": [{"id": "a", "choice": "kept"}]},
            "`choice` is 'kept'; it must be one of keep, drop, cor",
        ),
        ({"decisions": [{"id": "a", "choice": ["keep"]}]}, "`choice` is ['keep']; it must be one of keep"),
        (
            {"decisions": [{"id": "a", "choice": "keep", "why": ""}]},
            "has the field 'why'; it may have id, choice",
        ),
        (
            {"decisions": [{"id": "a", "choice": "keep", "gold": "1"}]},
            "`gold` is '1'; a row that is corrected",
        ),
        (
            {"decisions": [{"id": "a", "choice": "correct"}]},
            "`gold` is None; a row that is corrected has one",
        ),
        ({"decisions": [{"id": "a", "choice": "correct", "gold": " "}]}, "`gold` is ' '; a row that is"),
        (
            {"decisions": [{"id": "a", "choice": "keep"}, {"id": "a", "choice": "drop"}]},
            "'a' is decided twice",
        ),
    ],
)
def test_what_is_no_decision_is_refused_by_its_place(tmp_path, changed, message):
    with pytest.raises(RefusedError, match=re.escape(message)):
        read_decisions(decided(tmp_path, **changed), LADDER)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe", b"[" * 100_000, b"null", b'{"format": NaN}'])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    file = tmp_path / "decisions.json"
    file.write_bytes(content)
    with pytest.raises(RefusedError, match=r"decisions\.json (is no JSON|holds no decisions)"):
        read_decisions(file)
    with pytest.raises(RefusedError, match="cannot be read"):
        read_decisions(tmp_path)
