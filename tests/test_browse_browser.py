"""The page of kept completions in a real browser: opened from its file, filtered, searched, by keyboard."""

import json

import pytest

from browsed import HARM, WRONG, groups, line, write_run
from chromium import chromium
from observer.cli import main
from observer.pages.html import marked

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(tmp_path):
    with chromium(tmp_path) as driver:
        yield driver


@pytest.fixture
def opened(browser, tmp_path, capfd):
    """Write the page of a run and open it from its file; gives the browser."""

    def opens(records, *words):
        run = write_run(tmp_path / "run", records)
        assert main(["browse", str(run), *words]) == 0
        browser.get((run / "browse.html").as_uri())
        return browser

    (tmp_path / "run").mkdir()
    return opens


def one(browser, selector):
    return browser.find_element("css selector", selector)


def count(browser, selector):
    return len(browser.find_elements("css selector", selector))


def told(browser):
    return one(browser, "#count").text


def choose(browser, name, value):
    from selenium.webdriver.support.select import Select

    Select(one(browser, f"#{name}")).select_by_value(value)


def write(browser, name, text):
    from selenium.webdriver.common.keys import Keys

    field = one(browser, f"#{name}")
    field.clear()
    field.send_keys(text, Keys.TAB)


def typed(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def faults(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]


def requests_of(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"].partition(":")[0]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }


def test_groups_are_filtered_searched_and_walked_through_by_keyboard(opened, tmp_path):
    from selenium.webdriver.common.keys import Keys

    browser = opened(groups(tmp_path / "run", 24))
    assert told(browser) == "24 of 24 groups, 96 completions"
    assert count(browser, "article") == 10
    assert count(browser, "svg polyline") == 7
    write(browser, "first", "2")
    write(browser, "last", "3")
    assert told(browser) == "8 of 24 groups, 32 completions"
    choose(browser, "truncated", "yes")
    assert told(browser) == "2 of 24 groups, 8 completions"
    assert count(browser, "article:first-child .completion.other") == 3, "the group stays together"
    choose(browser, "verdict", "correct")
    assert told(browser).startswith("0 of 24"), "none that was cut is right"
    typed(browser, Keys.ESCAPE)
    one(browser, "#reset").click()
    choose(browser, "level", "2")
    assert told(browser).startswith("8 of 24")
    one(browser, "#reset").click()
    choose(browser, "right", "all")
    assert told(browser).startswith("0 of 24")
    one(browser, "#reset").click()
    one(browser, "body").send_keys("/")
    typed(browser, "BOARD 17 differs", Keys.ESCAPE)
    assert told(browser).startswith("1 of 24")
    assert count(browser, ".completion:not(.other)") == 2, "only the wrong ones have that reason"
    one(browser, "body").send_keys("x")
    assert told(browser).startswith("24 of 24")
    one(browser, "body").send_keys("j", "j", "n")
    assert one(browser, "#page").text == "page 2 of 3"
    assert "board 10?" in one(browser, "article.here").text
    typed(browser, "k")
    assert one(browser, "#page").text == "page 1 of 3"
    assert "board 9?" in one(browser, "article.here").text
    place = "return document.querySelector(arguments[0]).getBoundingClientRect()"
    header, card = (browser.execute_script(place, name) for name in ("header", "article.here"))
    assert header["bottom"] <= card["top"], "the bar hides nothing of it"
    typed(browser, "o")
    assert "Be brief." in one(browser, "article.here details[open]").text
    loaded = "return Array.from(document.images).map((image) => image.complete && image.naturalWidth)"
    assert browser.execute_script(loaded) == [64] * 10
    assert faults(browser) == []
    asked = requests_of(browser)
    assert "file" in asked
    assert not {"http", "https", "ws", "wss", "ftp"} & asked


def test_a_hostile_text_stays_a_text_and_tags_are_marked_as_on_other_pages(opened):
    text = f"{WRONG}{HARM}\n[... 12 characters left out ...]\n</think><answer>"
    hostile = line(0, 0, 0) | dict.fromkeys(("id", "question", "answer", "reason", "extracted"), HARM)
    hostile |= {"text": text, "components": {HARM: 0.5}, "prompt": [{"role": HARM, "text": HARM}]}
    browser = opened([hostile])
    assert browser.title == "Completions of run"
    assert one(browser, ".completion pre").get_attribute("textContent") == text
    spans = "document.querySelectorAll('.completion pre span')"
    script = f"return Array.from({spans}, (one) => [one.className, one.textContent])"
    assert browser.execute_script(script) == [list(piece) for piece in marked(text) if piece[1]]
    assert count(browser, "img") == 0
    assert "pictures: not kept" in one(browser, "article").text
    assert faults(browser) == []


def test_five_thousand_groups_of_eight_are_opened_and_filtered(opened, tmp_path):
    browser = opened(groups(tmp_path / "run", 5000, size=8, text=" and so on" * 40, side=128))
    assert told(browser) == "5000 of 5000 groups, 40000 completions"
    assert count(browser, "article") == 10
    write(browser, "first", "1249")
    assert told(browser) == "4 of 5000 groups, 32 completions"
    one(browser, "#reset").click()
    choose(browser, "truncated", "yes")
    assert told(browser) == "1250 of 5000 groups, 10000 completions"
    timing = "const [t] = performance.getEntriesByType('navigation'); return t.loadEventEnd"
    size = (tmp_path / "run" / "browse.html").stat().st_size
    print(f"opened in {browser.execute_script(timing)} ms, {size} bytes")
    assert size < 100_000_000
    assert faults(browser) == []


def test_predictions_have_no_steps_and_say_nothing_of_advantages(browser, tmp_path):
    lacking = dict.fromkeys(("step", "weight", "pass_rate", "advantage"))
    records = [line(0, row, index) for row in range(3) for index in range(4)]
    kept = [{name: one[name] for name in one.keys() - lacking.keys()} for one in records]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    assert main(["browse", str(path)]) == 0
    browser.get(path.with_suffix(".html").as_uri())
    assert told(browser) == "3 of 3 groups, 12 completions"
    assert not one(browser, "#first").is_displayed()
    text = one(browser, "main").text
    assert "pass rate\n0.5" in text or "pass rate 0.5" in text
    assert "advantage" not in text
    assert "weight" not in text
    choose(browser, "verdict", "wrong")
    assert "3 of 3 groups" in told(browser)
