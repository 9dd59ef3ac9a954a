"""A report in a real browser: it renders, says nothing on the console, asks nobody, searches, and keeps text text.

Needs Chromium and its driver (Debian: chromium, chromium-driver).
"""

import json
import shutil

import pytest
from absl.testing import flagsaver
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from keytokens.pipelines import align_corpus, write_report
from tests import tiny_checkpoint

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver on this machine")

HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title=1"> heat & "flow"'
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--window-size=1280,1000",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    """The report of thirty texts, one of them markup, by the tiny model, with another model and its backbone beside."""
    directory = tmp_path_factory.mktemp("run")
    texts = [f"{tiny_checkpoint.WORDS[row]} wing number {row}" for row in range(29)]
    texts[17] += " zebra"
    (directory / "docs.txt").write_text("\n".join([HOSTILE, *texts]), "utf-8")
    model = tiny_checkpoint.write_tiny_bert(directory / "model")
    other = tiny_checkpoint.write_tiny_bert(directory / "other", seed=1)
    corpus, stores = [str(directory / "docs.txt")], [str(directory / "out.zarr"), str(directory / "pair.zarr")]
    with flagsaver.flagsaver(corpus=corpus, k=20, unit_rows=10):
        with flagsaver.flagsaver(model=str(model), output=stores[0]):
            align_corpus.main([])
        with flagsaver.flagsaver(model=str(other), backbone=str(model), output=stores[1]):
            align_corpus.main([])
    with flagsaver.flagsaver(store=stores[0], beside=stores[1:], output=str(directory / "report.html")):
        write_report.main([])
    return (directory / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, report):
    browser.get(report)
    return browser


def shown(page) -> list[str]:
    return [one.text for one in page.find_elements(By.CSS_SELECTOR, "#table > article") if one.is_displayed()]


def test_it_renders_without_a_word_on_the_console_or_a_request(page):
    assert page.title == "Key tokens of docs.txt"
    assert [entry for entry in page.get_log("browser") if entry["level"] != "INFO"] == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requested = {one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"}
    # The browser loads its own empty tab, from itself, before it loads ours.
    assert {url for url in requested if not url.startswith(("data:", "chrome"))} == {page.current_url}
    charts = page.find_elements(By.CSS_SELECTOR, "svg.chart")
    beside = page.find_elements(By.CSS_SELECTOR, "#beside-1 svg.chart")
    assert (
        len(charts) >= 12
        and len(beside) == 4
        and all(chart.size["width"] > 200 and chart.size["height"] > 100 for chart in charts)
    )


def test_a_text_with_a_script_in_it_stays_text(page):
    page.find_element(By.ID, "search").send_keys("document.title")
    [text] = shown(page)
    assert '<script>document.title = "taken"</script>' in text and page.title == "Key tokens of docs.txt"
    assert page.find_elements(By.CSS_SELECTOR, "main script, main img") == []


def test_searching_filtering_and_showing_more_with_the_keyboard_alone(page):
    assert len(shown(page)) == 20
    more = page.find_element(By.ID, "more")
    more.send_keys(Keys.ENTER)
    assert len(shown(page)) == 30 and not more.is_displayed()
    assert page.switch_to.active_element.get_attribute("data-kinds") is not None, "focus follows to the first new text"
    page.find_element(By.TAG_NAME, "body").send_keys("/")
    search = page.switch_to.active_element
    assert search.get_attribute("id") == "search"
    search.send_keys("NUMBER zebra")
    found = page.find_element(By.ID, "found")
    assert len(shown(page)) == 1 and found.text == "1 of 30 texts match."
    search.send_keys(" nothing")
    assert shown(page) == [] and found.text == "No text matches."
    search.send_keys(Keys.ESCAPE)
    assert len(shown(page)) == 20
    page.find_element(By.ID, "filter").send_keys("longer")
    assert found.text == "1 of 30 texts match.", "the hostile text alone is truncated"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_figures_stand_out_from_the_paper_by_day_and_by_night(page, scheme):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        paper = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        label = page.execute_script("return getComputedStyle(document.querySelector('svg.chart text')).fill")
        ink = page.execute_script("return getComputedStyle(document.body).color")
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert (luminance(paper) > 0.5) == (scheme == "light")
    assert contrast(paper, ink) > 7 and contrast(paper, label) > 4.5, "WCAG 2.2: AAA for text, AA for labels"


def test_on_paper_there_are_texts_but_no_controls(page):
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not page.find_element(By.ID, "controls").is_displayed()
        assert len(shown(page)) == 20
        assert page.find_element(By.CLASS_NAME, "print-note").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_picture_of_it_is_not_empty(page, tmp_path):
    file = tmp_path / "report.png"
    page.save_screenshot(str(file))
    assert file.stat().st_size > 20_000


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` as WCAG defines it."""
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
