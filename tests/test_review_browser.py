"""The review page in a real browser: opened from its file, filtered, searched, decided on, exported."""

import json
from dataclasses import replace

import pytest

from ailing import good_rows, row, write_pictures, write_rows
from observer.data import Jsonl
from observer.data.options import LadderOptions
from observer.doctor import Examination
from observer.doctor.findings import listing
from observer.doctor.page import page as doctors
from observer.pages.decisions import Decision, read_decisions
from observer.rollout import PromptRenderer
from observer.verifier import Verifier
from reviewed import HARM, LADDER, page, rows

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(tmp_path):
    """Debian's chromium, with nobody else's settings; downloads go to ``tmp_path / "downloads"``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1240,1000"):
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, tmp_path):
    """Write a page and open it from its file."""

    def opens(**options):
        file = tmp_path / "page.html"
        file.write_text(page(**options), encoding="utf-8")
        browser.get(file.as_uri())
        return browser

    return opens


def one(browser, selector):
    return browser.find_element("css selector", selector)


def shown(browser):
    return [
        place
        for place, row in enumerate(browser.find_elements("css selector", "article"))
        if row.is_displayed()
    ]


def typed(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def choose(browser, name, value):
    from selenium.webdriver.support.select import Select

    Select(one(browser, f"#{name}")).select_by_value(value)


def exported(browser, folder):
    from selenium.webdriver.support.wait import WebDriverWait

    file = folder / "downloads" / "decisions.json"
    WebDriverWait(browser, 20).until(lambda _: file.is_file())
    return file


def pressed(browser, place, choice):
    """Press a button of a row with the mouse."""
    (button,) = browser.find_elements("css selector", "article")[place].find_elements(
        "css selector", f"[data-choice={choice}]"
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def requests_of(browser):
    """The addresses that the page asked for."""
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"].partition(":")[0]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def test_rows_are_decided_on_by_keyboard_and_mouse_and_the_file_is_read_back(opened, tmp_path):
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    assert len(shown(browser)) == 9
    typed(browser, "j", "y", "j", "n")  # keeps row 0, goes to row 1 and on to row 2, drops it
    typed(browser, "c")  # of row 3
    browser.switch_to.active_element.send_keys(Keys.CONTROL, "a")
    typed(browser, "1234", Keys.ENTER)
    pressed(browser, 5, "drop")
    typed(browser, "u")
    pressed(browser, 5, "keep")
    pressed(browser, 1, "drop")
    assert "5 decided" in one(browser, "#count").text
    one(browser, "#export").click()
    ids = [row.id for row in rows()]
    decided = read_decisions(exported(browser, tmp_path), LADDER)
    assert decided == {
        ids[0]: Decision("keep"),
        ids[1]: Decision("drop"),
        ids[2]: Decision("drop"),
        ids[3]: Decision("correct", "1234"),
        ids[5]: Decision("keep"),
    }
    browser.refresh()
    assert "5 decided" in one(browser, "#count").text, "the browser kept them"
    choose(browser, "decided", "drop")
    assert shown(browser) == [1, 2]
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    asked = requests_of(browser)
    assert "file" in asked
    assert not {"http", "https", "ws", "wss", "ftp"} & set(asked)


def test_rows_are_filtered_and_searched_and_a_text_with_a_script_does_nothing(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    choose(browser, "reason", "never right")
    assert shown(browser) == [1, 4, 7]
    choose(browser, "kind", "integer")
    assert shown(browser) == [1, 7]
    typed(browser, "/")
    typed(browser, "ALERT board 7")
    assert shown(browser) == []
    one(browser, "#search").clear()
    one(browser, "#search").send_keys("drop")
    assert shown(browser) == [], "words of the page's own are none of a row"
    one(browser, "#search").clear()
    one(browser, "#search").send_keys("TILES of 7")
    assert shown(browser) == [7]
    assert "1 of 9 rows" in one(browser, "#count").text
    typed(browser, Keys.ESCAPE, "j", "o")
    assert one(browser, "article.here details").get_attribute("open")
    assert "40 + 1" in one(browser, "article.here").text
    assert browser.title == "Review of ab12"
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    pictures = browser.execute_script(
        "return Array.from(document.images).map((image) => image.complete && image.naturalWidth > 0)"
    )
    assert len(pictures) == 9
    assert all(pictures)


def test_a_page_that_only_shows_rows_decides_nothing(opened):
    browser = opened(decide=False, title="As the model sees them")
    typed(browser, "j", "y", "n", "c", "e", "u", "j")
    assert shown(browser) == list(range(9))
    assert one(browser, "#count").text == "9 of 9 rows"
    assert browser.execute_script("return localStorage.length") == 0
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


def test_an_unverifiable_row_is_found_corrected_and_brought_back_by_the_next_build(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    import laddered
    from observer.cli import main
    from observer.ladder import Review, Sort, Verifiable, build

    source = laddered.rows(tmp_path / "rows", 4, answer=lambda row: "x^{2" if row == 2 else str(row))
    source = replace(source, on_bad_row="skip")
    folder = tmp_path / "ladder"
    build(laddered.recipe(source, Verifiable(), laddered.measure(), Review(), Sort()), folder)
    assert [row["id"] for row in laddered.lines(folder / "ladder.jsonl")] == ["r0", "r1", "r3"]
    assert main(["ladder", "review", "--output", str(folder)]) == 0
    browser.get((folder / "review.html").as_uri())
    choose(browser, "reason", "unverifiable")
    assert shown(browser) == [0]
    assert "no rule can check the answer 'x^{2'" in one(browser, "article").text
    typed(browser, "j", "c")
    browser.switch_to.active_element.send_keys(Keys.CONTROL, "a")
    typed(browser, "99", Keys.ENTER)
    one(browser, "#export").click()
    decisions = str(exported(browser, tmp_path))
    steps = (Verifiable(), laddered.measure(), Review(decisions=decisions), Sort())
    build(laddered.recipe(source, *steps), folder)
    found = {row["id"]: row for row in laddered.lines(folder / "ladder.jsonl")}
    assert (found["r2"]["answer"], found["r2"]["difficulty"]) == ("99", 0.75)


def test_the_page_of_a_doctor_shows_rows_as_the_model_sees_them_and_decides_nothing(
    browser, processor, tmp_path
):
    folder = tmp_path / "rows"
    folder.mkdir()
    write_pictures(folder)
    rows = [*good_rows(), row("copy", "rgb.png", question=HARM), row("again", "rgb.png", question=HARM)]
    train = Jsonl(str(write_rows(folder / "rows.jsonl", rows)))
    renderer = PromptRenderer(processor, system_prompt="", max_tokens=400)
    with listing(folder / "findings.jsonl") as findings:
        data = LadderOptions(train=train, prompts_per_step=1)
        examination = Examination(data, renderer, Verifier(), findings)
        examination.run()
    (folder / "page.html").write_text("".join(doctors(examination.splits, renderer)), encoding="utf-8")
    browser.get((folder / "page.html").as_uri())
    assert len(shown(browser)) == len(rows)
    sizes = browser.execute_script(
        "return Array.from(document.images).map((one) => [one.naturalWidth, one.naturalHeight])"
    )
    assert len(sizes) == len(rows)
    assert sizes.count([28, 28]) == 1, "a picture of one pixel is enlarged"
    assert all(width % 28 == height % 28 == 0 and width * height <= 28224 for width, height in sizes)
    choose(browser, "reason", "other gold")
    assert [browser.find_elements("css selector", "article")[place].text for place in shown(browser)] == [
        one(browser, "article:not([hidden])").text
    ]
    assert f"<|image_pad|><|vision_end|>{HARM}" in one(browser, "article:not([hidden]) .question").text
    choose(browser, "reason", "")
    one(browser, "#search").send_keys("pixel.png")
    assert "1 of 11 rows" in one(browser, "#count").text
    assert browser.find_elements("css selector", "button") == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    assert not {"http", "https", "ws", "wss", "ftp"} & {*requests_of(browser)}
