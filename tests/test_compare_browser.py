"""The page of a comparison in a real browser: opened from its file, filtered, searched, gone through."""

import pytest

import laddered
from observer.evaluation import Benchmark
from observer.evaluation.comparison.comparing import compare
from observer.evaluation.comparison.page import choose, comparison_page, same_rows, told
from observer.evaluation.comparison.reading import read_evaluations
from reviewed import HARM
from test_compare import FOUR, SAID, evaluated
from test_review_browser import browser, one, requests_of, shown, typed  # noqa: F401
from test_review_browser import choose as select

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser, tmp_path):  # noqa: F811
    source = laddered.rows(
        tmp_path / "rows",
        12,
        subject=lambda row: "odd" if row % 2 else "even",
        question=lambda row: f"{HARM} Which of <image>?" if row == 2 else f"How many in {row}?",
    )
    texts = {"four": FOUR, "right": SAID.format(HARM, "{answer}")}
    folders = [evaluated(source, tmp_path / name, text, max_tokens=200) for name, text in texts.items()]
    evaluations = read_evaluations(folders)
    _, verdicts = compare(evaluations)
    chosen = choose(verdicts, list(texts), 200)
    rows = {"mine": same_rows(evaluations[0], "mine", Benchmark(source))}
    page = comparison_page(evaluations, chosen, rows, told(chosen, verdicts))
    (tmp_path / "compare.html").write_text("".join(page), encoding="utf-8")
    browser.get((tmp_path / "compare.html").as_uri())
    return browser


def test_rows_won_come_first_and_are_filtered_searched_and_gone_through(opened):
    from selenium.webdriver.common.keys import Keys

    rows = opened.find_elements("css selector", "article")
    why = [row.find_element("css selector", ".why b").text for row in rows]
    assert why == ["only right is right"] * 10 + ["all are right"] * 2
    select(opened, "reason", why[0])
    assert shown(opened) == list(range(10))
    select(opened, "subject", "even")
    assert 0 < len(shown(opened)) < 10
    assert f"{len(shown(opened))} of 12 rows" in one(opened, "#count").text
    select(opened, "reason", "")
    select(opened, "subject", "")
    typed(opened, "/")
    one(opened, "#search").send_keys("many 7?")
    assert [opened.find_elements("css selector", ".question")[place].text for place in shown(opened)] == [
        "How many in 7?"
    ]
    one(opened, "#search").clear()
    one(opened, "#search").send_keys(Keys.SPACE, Keys.BACKSPACE)
    typed(opened, Keys.ESCAPE, "j", "j")
    assert one(opened, "article.here").get_attribute("data-reason") == "only right is right"
    sides = one(opened, "article.here").find_elements("css selector", ".side")
    assert [side.find_element("css selector", "h2").text.split()[0] for side in sides] == ["four", "right"]
    left, right = (side.rect for side in sides)
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"], "side by side"
    ink = opened.execute_script(
        "return ['observe-tag', 'think-text', 'answer-tag'].map("
        "(name) => getComputedStyle(document.querySelector('.side .' + name)).color)"
    )
    assert len({*ink}) == 3
    assert opened.find_elements("css selector", "button") == []


def test_a_script_in_a_response_does_nothing_and_no_network_is_asked(opened):
    assert opened.title == "four and right"
    widths = opened.execute_script("return Array.from(document.images).map((one) => one.naturalWidth)")
    assert len(widths) == 12
    assert all(widths)
    assert [entry for entry in opened.get_log("browser") if entry["level"] != "INFO"] == []
    asked = requests_of(opened)
    assert "file" in asked
    assert not {"http", "https", "ws", "wss", "ftp"} & {*asked}
