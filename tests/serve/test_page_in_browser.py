"""The page in a real browser: heard, dropped, slid, compared, looked at."""

import base64
import re

import pytest
from browser import chromium, hosts, serving, spoken, visit  # noqa: F401
from contrast import luminance

pytestmark = pytest.mark.slow
DROP = """([name, text]) => {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  const options = { bubbles: true, cancelable: true, dataTransfer: data };
  document.querySelector("#drop").dispatchEvent(new DragEvent("drop", options));
}"""
ERRORS = {
    "metric": "WER",
    "set": "test",
    "points": [{"n_layers": n, "rate": 60.0 / n} for n in (1, 2, 3)],
}


@pytest.fixture
def page(serving, visit):  # noqa: F811
    """The page of a server whose model knows its errors."""
    url, page_state = serving(ERRORS)
    found = visit(url)
    found.own = url
    found.state = page_state
    yield found
    assert not found.complaints
    assert hosts(found) == {url.split("/")[2]}


def shown(page, name, pattern):
    """Waits until an element's text is like this."""
    from playwright.sync_api import expect

    expect(page.locator(f"#{name}")).to_have_text(
        re.compile(pattern), timeout=60_000
    )


def drop(page, path):
    """Drops a file on the page."""
    text = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(DROP, [path.name, text])


def slide(page, index):
    """Moves the slider by keyboard."""
    page.focus("#depth")
    page.keyboard.press("Home")
    for _ in range(index):
        page.keyboard.press("ArrowRight")


def test_text_appears_from_the_microphone_and_the_slider_goes_along(page):
    slide(page, 0)
    shown(page, "depth-name", "^1 layers$")
    page.click("#listen")
    shown(page, "text", "[A-Z]{2}")
    shown(page, "layers", "^1 of 3$")
    slide(page, 2)  # in mid-stream
    shown(page, "layers", "^3 of 3$")
    page.check("#auto")
    shown(page, "lag", "ms|s")
    shown(page, "listen", "^Stop$")
    assert len(page.state.streams.sessions) == 1
    assert page.locator("#text .word").first.get_attribute("title")
    page.click("#listen")
    shown(page, "listen", "^Listen$")
    page.wait_for_selector("#compare:enabled")
    text = page.inner_text("#text")
    page.click("#compare")
    page.wait_for_selector("#rows table")
    assert len(text) > 3 and page.locator("#rows tbody tr").count() == 3
    assert any(url.startswith("ws://") for url in page.asked)


def test_a_dropped_file_is_transcribed_at_the_depth_of_the_slider(
    page,
    spoken,  # noqa: F811
    served,
):
    drop(page, spoken)
    shown(page, "text", "[A-Z]")
    for index, n_layers in ((0, 1), (2, 3)):
        slide(page, index)
        shown(page, "layers", f"^{n_layers} of 3$")
        shown(page, "state", "^$")
        expected = served.transcribe_file(str(spoken), n_layers=n_layers)
        assert page.inner_text("#text").split() == expected.split()
        assert page.get_attribute("#here", "data-depth") == str(n_layers)


def test_depths_side_by_side_mark_what_differs(page, spoken, served):  # noqa: F811
    drop(page, spoken)
    page.wait_for_selector("#compare:enabled")
    page.click("#compare")
    page.wait_for_selector("#rows tbody tr:nth-child(3)")
    rows = page.locator("#rows tbody tr")
    for i, n_layers in enumerate((3, 2, 1)):
        row = rows.nth(i)
        assert row.locator("th").inner_text() == f"{n_layers} layers"
        words = served.transcribe_file(str(spoken), n_layers=n_layers).split()
        found = row.locator("td").first.locator("span, ins").all_inner_texts()
        assert found == words
        deepest = served.transcribe_file(str(spoken), n_layers=3).split()
        kept = row.locator("td").first.locator("span, del").all_inner_texts()
        assert kept == deepest
    assert rows.nth(0).locator("ins, del").count() == 0
    assert rows.nth(2).locator("ins").count() > 0


def test_a_file_that_is_no_audio_is_said_in_words(page, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("no audio")
    drop(page, path)
    shown(page, "state", "audio")
    assert page.get_attribute("#state", "class") == "bad"
    assert [c for c in page.complaints if "400" in c]  # the network's own
    page.complaints.clear()


def test_the_curve_is_there_only_if_something_is_known(page, serving, visit):  # noqa: F811
    assert page.is_visible("#curve")
    assert "WER on test" in page.inner_text("#curve-name")
    assert page.locator("#curve .point").count() == 3
    url, _ = serving(None)
    assert not visit(url).is_visible("#curve-part")


def test_it_fits_a_phone_and_fingers(page):
    page.set_viewport_size({"width": 360, "height": 740})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    for name in ("#listen", ".button", "#depth", "#compare", ".check"):
        for each in page.locator(name).all():
            assert each.bounding_box()["height"] >= 44, name


def test_the_keyboard_reaches_everything(page):
    found = []
    for _ in range(12):
        page.keyboard.press("Tab")
        active = "document.activeElement.id || document.activeElement.tagName"
        found.append(page.evaluate(active))
    for name in ("listen", "file", "depth", "auto"):
        assert name in found
    for name in ("depth", "auto", "file"):
        assert page.evaluate(f"document.getElementById('{name}').labels.length")
    assert page.get_attribute("#text", "aria-live") == "polite"
    page.focus("#listen")
    page.keyboard.press("Space")
    shown(page, "listen", "^Stop$")
    page.keyboard.press("Space")
    shown(page, "listen", "^Listen$")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_of_it_can_be_read_and_told(page, spoken, scheme):  # noqa: F811
    """Contrast, names, roles, order: axe-core's rules, words and all."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme)
    drop(page, spoken)
    page.wait_for_selector("#text span")
    page.check("#depths input >> nth=0")
    page.click("#compare")
    page.wait_for_selector("#rows span")
    found = axe.Axe().run(page).response["violations"]
    assert not [(f["id"], [n["html"] for n in f["nodes"]]) for f in found]
    back = luminance(_rgb(page.locator("body").evaluate(BACK)))
    assert (back < 0.1) == (scheme == "dark")


BACK = "e => getComputedStyle(e).backgroundColor"


def _rgb(color):
    """The parts of rgb(r, g, b)."""
    return [int(c) / 255 for c in re.findall(r"\d+", color)[:3]]


def test_the_policy_forbids_other_hosts(page):
    ask = """() => fetch("https://example.com/").then(() => "went", e => "held")"""
    assert page.evaluate(ask) == "held"
    complaint = [c for c in page.complaints if "Content Security Policy" in c]
    assert complaint
    page.complaints.clear()
    page.asked[:] = [url for url in page.asked if "example.com" not in url]


def test_a_server_with_a_token_asks_for_it(serving, visit):  # noqa: F811
    url, _ = serving(token="right")
    page = visit(url, is_ready=False)
    page.wait_for_selector("#token:visible")
    page.fill("#token", "right")
    page.wait_for_selector("#depths input", state="attached")
    page.click("#listen")
    shown(page, "text", "[A-Z]")
    assert all("right" not in url for url in page.asked)
