"""The page in a real browser: read word by word, compared, written live; nothing but text is ever shown of a text."""

import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn

from seqloom.data.targets import Targets
from seqloom.serve import Address, Limits, Service
from seqloom.serve.app import build
from seqloom.serve.hosted import Hosted, warm
from seqloom.serve.pages import page_files
from seqloom.serve.protocol import protocol
from tests.serve.browser import NAMES, Browser, find_browser
from tests.serve.conftest import TEXTS, Client, bundle_of, numbers_bundle

PROGRAM = find_browser()
MARKUP = "<img src=x onerror=alert(1)>"
LABELS = ("<b>good</b>", MARKUP, "neither")
REPORT = b"<!doctype html><style>p { color: rgb(1, 2, 3) }</style><p>kept</p><script>alert(1)</script>"
TOKEN = "a-token-of-32-characters-or-more"
needs_browser = pytest.mark.skipif(PROGRAM is None, reason=f"no browser: none of {', '.join(NAMES)} is installed")


class Site:
    """A server in a thread of this process."""

    def __init__(self, service: Service) -> None:
        self.service = service
        app, http = build(service), protocol(service)
        self.server = uvicorn.Server(uvicorn.Config(app, http=http, ws="none", lifespan="off", log_config=None))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/"
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True)
        service.start()
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.service.stop()
        self.listening.close()


@pytest.fixture(scope="module")
def site(hosted: dict[str, Hosted]) -> Iterator[Site]:
    marked = warm("marked", bundle_of(Targets("multiclass", LABELS)))._replace(report=REPORT)
    patient = Limits(waiting_seconds=60.0, request_seconds=120.0)
    running = Site(Service({"marked": marked, "gestures": warm("gestures", numbers_bundle())} | hosted, limits=patient))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    browser = Browser(PROGRAM, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Browser]:
    """The page, loaded anew; afterwards nothing went wrong in it, and it asked for nothing elsewhere."""
    chromium.events.clear()
    # Nothing plays by itself: the tests step.
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    chromium("Emulation.setEmulatedMedia", features=still)
    chromium.open(site.url)
    yield chromium
    check_quiet(chromium, site.url)


def check_quiet(browser: Browser, url: str) -> None:
    browser.run("0")
    troubles = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening")
    assert [event for event in browser.events if event["method"] in troubles] == []
    requests = [
        event["params"]["request"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    ]
    asked = [request["url"] for request in requests]
    assert asked and [each for each in asked if not each.startswith((url, "about:", "blob:" + url))] == []


def choose(page: Browser, model: str) -> None:
    page.run(f"{find('#model')}.value = {model!r}; {find('#model')}.dispatchEvent(new Event('change'))")


def find(selector: str) -> str:
    return f"document.querySelector({selector!r})"


def text(page: Browser, selector: str) -> str:
    found: str = page.run(f"{find(selector)}.innerText")
    return found


def texts(page: Browser, selector: str) -> list[str]:
    found: list[str] = page.run(f"[...document.querySelectorAll({selector!r})].map((each) => each.innerText)")
    return found


def read(page: Browser, given: str, *, model: str | None = None, field: str = "#text") -> None:
    """Type a text as a user does, and wait until it has been looked at."""
    if model is not None:
        choose(page, model)
    page.run(f"document.querySelector('#panels').replaceChildren(); {find(field)}.focus(); {find(field)}.select()")
    page.type(given)
    page.key("Enter")
    page.wait("!!document.querySelector('.panel') || document.querySelector('#trouble').textContent")


@needs_browser
def test_where_nothing_can_be_typed_the_page_says_what_to_do(page: Browser) -> None:
    choose(page, "gestures")
    assert "/v1/predict and /v1/look" in text(page, "#hint")
    assert page.run("[...document.querySelectorAll('#text, #text-label, #read, #write')].every((each) => each.hidden)")
    choose(page, "one-way")
    assert text(page, "#hint").startswith("Enter reads it") and not page.run(f"{find('#text')}.hidden")


@needs_browser
def test_a_text_is_read_word_by_word(page: Browser, site: Site) -> None:
    read(page, "the film was not good", model="one-way")
    page.run("document.activeElement.blur()")
    assert texts(page, ".token") == ["the", "film", "was", "not", "good"]
    assert text(page, ".count") == "5 / 5"
    seen = page.run(
        "fetch('/v1/look', {method: 'POST', headers: {'content-type': 'application/json'}, "
        "body: JSON.stringify({model: 'one-way', input: 'the film was not good'})}).then((told) => told.json())"
    )["seen"]
    steps = [("Home", 1), ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 5), ("ArrowRight", 5)]
    for key, step in steps:
        page.key(key)
        assert text(page, ".count") == f"{step} / 5"
        assert texts(page, ".token.now") == [seen["tokens"][step - 1]["text"]]
        assert len(texts(page, ".token.later")) == 5 - step
        chances = dict(zip(seen["labels"], seen["arrivals"]["values"][step - 1], strict=True))
        shown = dict(line.split("\n") for line in texts(page, ".bars li"))
        assert shown == {label: f"{100 * chance:.1f}\u00a0%" for label, chance in chances.items()}
        gates = {line.split("\n")[0]: line.split("\n")[1] for line in texts(page, ".name:has(output)")}
        assert gates["forget"] == f"{seen['layers'][0]['gates']['forget'][step - 1]:.2f}"
        assert page.run(f"{find('.sheet')}.style.getPropertyValue('--at')") == str(step - 1)
        assert text(page, "[role=status]").startswith(f"After {step} of 5")


@needs_browser
def test_it_plays_by_itself_until_it_is_stopped(page: Browser) -> None:
    moving = [{"name": "prefers-reduced-motion", "value": "no-preference"}]
    page("Emulation.setEmulatedMedia", features=moving)
    read(page, "the film was not good", model="one-way")
    page.run("document.activeElement.blur()")
    assert text(page, ".play") == "Pause"
    page.wait(f"{find('.count')}.textContent > '2'")
    page.key(" ")
    assert text(page, ".play") == "Play"
    page.key(" ")
    page.wait(f"{find('.count')}.textContent === '5 / 5' && {find('.play')}.textContent === 'Play'")


@needs_browser
def test_layers_and_values_are_chosen(page: Browser) -> None:
    read(page, "not good at all", model="both-ways")
    assert texts(page, ".timeline select option")[:4] == [
        f"layer {number}, {way}" for number in (1, 2) for way in ("forward", "backward")
    ]
    names = texts(page, ".timeline .name")
    page.run("(select => { select.value = 'layer 2, backward'; select.focus(); "
             "select.dispatchEvent(new Event('change')) })(document.querySelector('.timeline select'))")  # fmt: skip
    assert texts(page, ".timeline .name") != names
    assert page.run("document.activeElement.value") == "layer 2, backward"


@needs_browser
def test_a_word_is_changed_and_two_texts_compared(page: Browser) -> None:
    read(page, "the film was not good", model="one-way")
    page.run("document.activeElement.blur()")
    page.key("ArrowLeft")
    page.key("c")
    assert page.run("document.getSelection().toString()") == "not"
    page.type("really")
    page.key("Enter")
    page.wait("document.querySelectorAll('.panel').length === 2")
    assert texts(page, ".changed") == ["not", "really"]
    assert texts(page, ".panel h2") == ["First", "Second"]
    assert re.match("Both: |First: .* second: ", text(page, "#contrast"))
    assert page.run("new URLSearchParams(location.hash.slice(1)).get('second')") == "the film was really good"
    page.run("document.activeElement.blur()")
    page.key("Home")
    assert texts(page, ".token.now") == ["the", "the"]
    left, right = page.run("[...document.querySelectorAll('.panel')].map((each) => each.getBoundingClientRect().x)")
    assert left < right


@needs_browser
def test_texts_are_gone_on_with_live(page: Browser) -> None:
    choose(page, "play")
    page.run(f"{find('#text')}.value = 'the film'; {find('#max_output')}.value = 7; {find('#write')}.click()")
    page.wait(f"/tokens, cut there/.test({find('#text-written')}.innerText)")
    fresh = texts(page, ".fresh")
    assert len(fresh) > 3 and "7 tokens" in text(page, "#text-written")
    assert text(page, "#text-written .strip").startswith("the film")
    page.run(f"{find('#text-written button')}.click()")
    page.wait("!!document.querySelector('.panel')")
    assert len(texts(page, ".panel .token")) == len(page.run(f"{find('#text')}.value.match(/\\w+|[^\\w\\s]/g)"))
    page.run(f"{find('#max_output')}.value = 1000; {find('#another')}.click()")
    page.wait("document.querySelectorAll('.fresh').length > 3")
    page.run(f"{find('#stop')}.click()")
    page.wait(f"/Stopped after|cut there/.test({find('#text-written')}.innerText)")
    assert page.run(f"{find('#stop')}.hidden")


KINDS = {
    "answers": ("not good", "Written"),
    "tags": ("not good at all", "might be"),
    "play": ("the film was", "surprised it by|come next"),
    "sales": ("1 2 3 ? 5 4", "Forecast, with its quantiles"),
    "number": ("not good", "the answer"),
    "mean": ("not good", "no|yes"),
}


@needs_browser
def test_every_kind_of_model_is_shown(page: Browser) -> None:
    for model, (given, shown) in KINDS.items():
        read(page, given, model=model)
        assert re.search(shown, text(page, ".panel")), model
        assert text(page, "#trouble") == "", model


@needs_browser
def test_what_looks_like_html_stays_text(page: Browser) -> None:
    given = f"good {MARKUP} <script>alert(2)</script> &amp;"
    read(page, given, model="marked")
    assert text(page, ".strip") == given
    assert {line.split("\n")[0] for line in texts(page, ".bars li")} == set(LABELS)
    assert text(page, ".answer") in LABELS
    read(page, MARKUP, model="tags")
    assert "onerror" in text(page, ".words")
    assert page.run("document.querySelectorAll('img, b, main script').length") == 0
    refused = page.run("(() => { try { document.body.innerHTML = ''; return false } catch { return true } })()")
    assert refused  # the policy: not even by mistake
    page.run("0")
    page.events[:] = [event for event in page.events if "TrustedHTML" not in str(event)]


@needs_browser
def test_what_goes_wrong_is_said(page: Browser) -> None:
    read(page, "1, two, 3", model="sales")
    assert text(page, "#trouble") == "\u201ctwo\u201d is no number; write ? where a value is missing."
    read(page, " ", model="one-way")
    assert text(page, "#trouble") == "the text cannot be read: empty text"
    page.events[:] = [event for event in page.events if "422" not in str(event)]  # the browser logs each refusal
    read(page, "not good")
    assert text(page, "#trouble") == ""


@needs_browser
def test_narrow_dark_and_named(page: Browser) -> None:
    page("Emulation.setDeviceMetricsOverride", width=380, height=800, deviceScaleFactor=1, mobile=True)
    try:
        read(page, " ".join(TEXTS[:6]), model="both-ways")
        assert page.run("document.documentElement.scrollWidth") <= 380
        page.run("document.activeElement.blur()")
        page.key("Home")
        at_home = page.run(f"{find('.timeline')}.scrollLeft")
        page.key("End")
        assert page.run(f"{find('.timeline')}.scrollLeft") > at_home  # the step stays in sight
    finally:
        page("Emulation.clearDeviceMetricsOverride")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.run(paper)
    page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.run(paper) != light
    tree = page("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "combobox", "textbox", "slider", "spinbutton", "image", "link")
    found = [each for each in tree if each.get("role", {}).get("value") in roles and not each["ignored"]]
    assert len(found) > 10 and [each for each in found if not each["name"]["value"]] == []


@needs_browser
def test_the_report_opens_apart(page: Browser, site: Site) -> None:
    choose(page, "one-way")
    assert "no report" in text(page, "#training-facts") or page.run("!document.querySelector('#report')")
    choose(page, "marked")
    assert page.run(f"{find('#report')}.href") == f"{site.url}v1/models/marked/report"
    page("Page.navigate", url=f"{site.url}v1/models/marked/report")
    page.wait("document.readyState === 'complete' && !!document.querySelector('p')")
    assert page.run("getComputedStyle(document.querySelector('p')).color") == "rgb(1, 2, 3)"
    assert page.run("self.origin") == "null"
    page.events[:] = [event for event in page.events if "sandbox" not in str(event)]  # its script was not run


@needs_browser
def test_a_token_is_asked_for_and_kept_in_the_page(chromium: Browser, hosted: dict[str, Hosted]) -> None:
    guarded = Site(Service({"one-way": hosted["one-way"]}, address=Address(tokens=(TOKEN,))))
    try:
        chromium("Page.navigate", url=guarded.url)
        chromium.wait("!!document.querySelector('#token')?.offsetParent")
        chromium.type(TOKEN)
        chromium.key("Enter")
        chromium.wait(f"{find('#model')}.options.length === 1 && {find('#token-form')}.hidden")
        read(chromium, "not good")
        assert text(chromium, "#trouble") == ""
        assert chromium.run("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        chromium("Page.navigate", url="about:blank")
    finally:
        guarded.stop()


@needs_browser
def test_a_first_look_is_soon_there(page: Browser, site: Site) -> None:
    """Measured and printed, with pytest -s; a busy machine proves nothing."""
    fragment = f"#model=both-ways&text={quote(TEXTS[0])}"
    page("Page.navigate", url="about:blank")
    started = time.monotonic()
    page("Page.navigate", url=site.url + fragment)
    page.wait("!!document.querySelector('.panel')")
    sys.stdout.write(f"\npage load and first look: {1000 * (time.monotonic() - started):.0f} ms\n")


def test_a_model_without_a_report_says_so(client: Client, hosted: dict[str, Hosted]) -> None:
    reply = client("GET", "/v1/models/one-way/report")
    assert (reply.status, reply.code) == (404, "no_report")
    client.service.models["one-way"] = hosted["one-way"]._replace(report=REPORT)
    reply = client("GET", "/v1/models/one-way/report")
    assert (reply.status, reply.body) == (200, REPORT)
    assert reply.headers["content-security-policy"].startswith("sandbox; default-src 'none'; ")


def sources() -> list[Any]:
    files = {name: data.decode() for name, data in page_files().items()}
    return [pytest.param(data, id=name) for name, data in files.items()]


@pytest.mark.parametrize("source", sources())
def test_the_files_of_the_page_keep_the_rules(source: str) -> None:
    lines = source.splitlines()
    assert len(lines) <= 400 and max(map(len, lines)) <= 120
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|style=", source)
    elsewhere = set(re.findall(r"https?://[\w.]+", source)) - {"http://www.w3.org"}
    assert not elsewhere
