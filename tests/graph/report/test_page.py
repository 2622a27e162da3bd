"""The page of a run, as a real browser renders it."""

import copy
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from video_star.graph.report.page import render_page
from video_star.tools.printable import printable
from video_star.tools.video.writer import write_video

from ...growth import growth

pytestmark = pytest.mark.slow

HOSTILE = [
    '<script>document.title="owned"</script>',
    '</style><script>document.title="owned"</script>',
    '</title><script>document.title="owned"</script>',
    '"><img src=x onerror=\'document.title="owned"\'>',
    "{{7*7}}{% raw %}",
    "javascript:document.title='owned'",
    "https://evil.example/pixel.jpg",
    "url(https://evil.example/x) } body { display: none }",
    "w" * 300,
    "\u202eרוץ ריצה",
]
Record = dict[str, Any]
Store = dict[str, bytes]
Browse = Callable[..., str]


def missing(url: str) -> bytes:
    raise KeyError(url)


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def store(walking_clip: Path) -> Store:
    """Eight frames of the real clip, and the same frames with a line as overlay."""
    media = {}
    with av.open(str(walking_clip)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % 9 == 4:
                image = Image.fromarray(frame.to_ndarray(format="rgb24")).resize((384, 288))
                media[f"media://frame{index // 9}.jpg"] = jpeg(image)
                ImageDraw.Draw(image).line([(60, 40), (300, 250)], fill=(0, 255, 200), width=5)
                media[f"media://overlay{index // 9}.jpg"] = jpeg(image)
    assert len(media) == 16
    return media


@pytest.fixture
def record() -> Record:
    """A complete run in the documented format, schema version 1."""
    frames = [{"url": f"media://frame{n}.jpg", "time": n * 0.9 + 0.4} for n in range(8)]
    overlays = [{"url": f"media://overlay{n}.jpg", "time": n * 0.9 + 0.4} for n in range(8)]
    args = {"sub_actions": [{"name": "legs swing in steps"}, {"name": "the body travels"}, {"name": "arms close"}]}

    def shown(text: str, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"type": "text", "text": text}, *({"type": "image", "url": image["url"]} for image in images)]

    def message(role: str, node: str, content: object, **more: object) -> dict[str, Any]:
        author = "policy" if role == "assistant" else "graph"
        return {"role": role, "node": node, "author": author, "content": content, **more}

    return {
        "schema": 1,
        "id": "5f0c1d7e",
        "created": "2026-11-23T06:30:00+00:00",
        "versions": {"video-star": "0.1.0", "langgraph": "1.2.22"},
        "request": {
            "source": "people_walking.mp4", "actions": ["walk", "run", "hug"], "question": "What do they do?",
            "start": 0.0, "end": 7.0,
            "context": {"policy": "kinematic", "mode": "agentic", "tools": ["estimate_pose"], "max_rounds": 1},
        },
        "video": {"id": "0" * 32, "width": 768, "height": 576, "fps": 10.0, "duration": 7.0, "note": ""},
        "frames": frames,
        "messages": [
            message("system", "tool_select", "You name the action in a video."),
            message("user", "tool_select", shown("Which action?", frames)),
            message("assistant", "tool_select", "I look at poses.",
                    tool_calls=[{"id": "1", "name": "estimate_pose", "args": {}}]),
            message("tool", "tool_exec", "4 people", name="estimate_pose", tool_call_id="1"),
            message("user", "fuse", shown("The evidence", overlays)),
            message("assistant", "decompose", "", tool_calls=[{"id": "2", "name": "decompose", "args": args}]),
            message("tool", "decompose", "walk, run", name="decompose", tool_call_id="2"),
            message("assistant", "score", "<think>slow</think><scores>{}</scores><answer>walk</answer>"),
        ],
        "recognition": {
            "action": "walk", "status": "ok", "error": None,
            "ranking": [{"action": "walk", "score": 0.82}, {"action": "run", "score": 0.31}, {"action": "hug"}],
            "sub_actions": [
                {"name": "legs swing in steps", "rank": 1, "weight": 3, "candidates": ["walk", "run"],
                 "scores": {"walk": 9, "run": 4}},
                {"name": "the body travels", "rank": 2, "weight": 2, "candidates": ["walk"], "scores": {"walk": 8}},
                {"name": "arms close", "rank": 3, "weight": 1, "candidates": ["hug"], "scores": {"hug": 7}},
            ],
            "evidence": [
                {"tool": "estimate_pose", "status": "ok", "seconds": 1.9, "summary": "4 people seen", "start": 0.0,
                 "end": 7.0, "frames": overlays},
                {"tool": "describe_video", "status": "unavailable", "seconds": 0.1, "summary": "unavailable: no model",
                 "start": 0.0, "end": 7.0, "frames": []},
            ],
            "notes": ["the answer was corrected once"],
            "usage": {"policy_calls": 3, "tokens": {"input": 900, "output": 120, "cached": 600},
                      "cost": {"amount": 0.001234, "currency": "EUR"}, "seconds": {"score": 0.1}},
        },
        "timings": [{"node": "tool_select", "start": 0, "seconds": 1}, {"node": "score", "start": 1, "seconds": 3}],
    }  # fmt: skip


class Reader(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.title = self.text = self.style = ""
        self._open = ""
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._open = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._open = ""
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open in ("title", "style"):
            setattr(self, self._open, getattr(self, self._open) + data)
            return
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Opens a page in Chromium or Chrome and returns its document as HTML."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs `chromium` or `google-chrome` on PATH to open the page in a real browser")

    def run(page: str, *flags: str, width: int = 1280, height: int = 2400) -> str:
        (tmp_path / "page.html").write_text(page, encoding="utf-8")
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'chromium'}", f"--window-size={width},{height}", *(flags or ("--dump-dom",)),
            (tmp_path / "page.html").as_uri(),
        ]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, timeout=250).stdout.decode("utf-8")

    return run


def test_page_shows_the_run_in_a_browser(record: Record, store: Store, browse: Browse) -> None:
    page = Reader(browse(render_page(record, store.__getitem__)))
    assert page.title == "walk · people_walking.mp4 · video-star"
    for source in (
        "/home/me/clips/people_walking.mp4",
        r"C:\Users\me\people_walking.mp4",
        "https://a.b/people_walking.mp4",
    ):
        record["request"]["source"] = source
        assert Reader(render_page(record, missing)).title == page.title
    for words in (
        "the answer was corrected once", "What do they do?", "0.82", "4 people seen", "unavailable: no model",
        "I look at poses.", "<answer>walk</answer>", "900 input (600 cached), 120 output", "0.001234 EUR",
        "1.2.22", "0.00 to 7.00\u00a0s", "2026-11-23 06:30 UTC", "“walk” leads “run” most on “the body travels”",
    ):  # fmt: skip
        assert words in page.text
    order = ["answer", "picture", "scores", "why", "sub-actions", "evidence", "question", "settings", "conversation"]
    assert [value for name, value in page.attributes if name == "id" and value in order] == order


@pytest.fixture
def film(walking_clip: Path, tmp_path: Path) -> bytes:
    """A video as tall as that of the demo, with its captions."""
    scene = np.full((640, 480, 3), 90, np.uint8)
    write_video(tmp_path / "film.mp4", ((0.1, scene + k) for k in range(20)))
    return (tmp_path / "film.mp4").read_bytes()


def measured(page: str, browse: Browse, script: str, width: int = 1280, height: int = 800) -> Any:
    """What a script finds in the page, in a window of this size; `$` is a function from selector to element."""
    run = f"""
        const view = this.contentDocument, $ = selector => view.querySelector(selector);
        const tell = () => {{ document.title = JSON.stringify((() => {{ {script} }})()); }};
        const video = $("video");
        if (video && video.readyState < 1) video.onloadedmetadata = tell; else tell();"""
    frame = f'<iframe style="width: {width}px; height: {height}px; border: 0" onload="{escape(run)}" '
    shown = browse(f'{frame} srcdoc="{escape(page)}"></iframe>', "--virtual-time-budget=20000", "--dump-dom")
    return json.loads(Reader(shown).title)


BOTTOMS = """return Object.fromEntries(["#answer h1", "#answer .hush", "#picture", "#scores .bars", "#why"].map(
    selector => [selector, $(selector) && Math.round($(selector).getBoundingClientRect().bottom)]))"""
"""The lower edge, in pixels, of what belongs on the first screen."""


@pytest.mark.parametrize("with_film", [True, False])
@pytest.mark.parametrize("kind", ["plain", "long", "notes", "many"])
def test_the_first_screen_has_answer_picture_scores_and_reason(
    kind: str, with_film: bool, record: Record, store: Store, film: bytes, browse: Browse
) -> None:
    found = record["recognition"]
    if kind == "long":
        names = {"walk": "walks " * 33, "run": "r" * 200, "hug": "\u202eחיבוק " * 25}
        record = json.loads(json.dumps(record).replace('"walk"', json.dumps(names["walk"])))
        record["recognition"]["ranking"][1:] = [{"action": names["run"], "score": 0.3}] * 4
    elif kind == "notes":
        found |= {"status": "degraded", "notes": ["a tool failed, and so did " + "another " * 40] * 9}
    elif kind == "many":
        found["ranking"] = [{"action": f"action {k}", "score": 0.9 / (k + 1)} for k in range(2000)]
        found["ranking"][0]["action"] = "walk"
    bottoms = measured(render_page(record, store.__getitem__, film if with_film else None), browse, BOTTOMS)
    assert bottoms and all(edge and 0 < edge <= 800 for edge in bottoms.values()), bottoms


def test_the_film_plays_without_scripts(record: Record, store: Store, film: bytes, browse: Browse) -> None:
    page = render_page(record, store.__getitem__, film)
    script = "const v = $('video'); return [v.readyState > 0, v.duration, v.videoWidth, v.error, v.controls, v.muted]"
    assert measured(page, browse, script) == [True, 2, 480, None, True, True]
    assert page.count("data:video/mp4") == 1 and "lead-frames" not in Reader(page).text


def test_everything_else_is_folded_but_the_sub_actions(
    record: Record, store: Store, film: bytes, browse: Browse
) -> None:
    script = """return [...view.querySelectorAll("details.fold")].map(
        fold => [fold.querySelector("h2").textContent, fold.open, fold.querySelector("div").checkVisibility()])"""
    folds = measured(render_page(record, store.__getitem__, film), browse, script)
    assert folds == [
        ["Sub-actions", True, True], ["Evidence", False, False], ["Question", False, False],
        ["Video and settings", False, False], ["Frames sent to the model", False, False],
        ["Conversation", False, False], ["Time, tokens and versions", False, False],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("confidence", "words"), [(0.714, "confidence 0.71, calibrated"), (None, "no calibrated confidence"), ("x", "no c")]
)
def test_confidence_is_shown_or_said_to_be_missing(confidence: object, words: str, record: Record) -> None:
    record["recognition"]["confidence"] = confidence
    assert words in Reader(render_page(record, missing)).text


def test_frames_are_shown_only_with_the_tool_that_looked_at_them(record: Record, store: Store) -> None:
    overlays = record["recognition"]["evidence"][0]["frames"]
    record["recognition"]["evidence"] = [
        {"tool": "explain_actions", "status": "ok", "seconds": 0.1, "summary": "words", "start": 0.0, "end": 7.0,
         "frames": overlays[:3]},
        {"tool": "estimate_pose", "status": "unavailable", "seconds": 0.1, "summary": "unavailable", "start": 0.0,
         "end": 7.0, "frames": overlays[3:5]},
        {"tool": "describe_video", "status": "ok", "seconds": 0.1, "summary": "seen", "start": 1.0, "end": 4.0,
         "frames": overlays[5:6]},
    ]  # fmt: skip
    record["messages"] = []
    page = render_page(record, store.__getitem__)
    text = Reader(page).text
    assert "frames that describe_video looked at" in text and text.count("looked at 1.00 to 4.00") == 1
    assert "0.00 to 7.00" not in text.split("Question")[0]
    assert page.count("data:image/jpeg") == len(record["frames"]) + 1


def test_the_embedded_policy_is_not_said_to_look_at_frames(record: Record, store: Store) -> None:
    remark = "does not look at them"
    assert remark in render_page(record, store.__getitem__)
    record["request"]["context"]["policy"] = "openai:gpt-4.1"
    assert remark not in render_page(record, store.__getitem__)


@pytest.mark.parametrize("schema", [1, 2])
def test_records_of_any_schema_give_a_page(schema: int, record: Record, store: Store) -> None:
    page = Reader(render_page({**record, "schema": schema}, store.__getitem__))
    assert page.title.startswith("walk") and f"record schema{schema}" in "".join(page.text.split("\n")).replace(
        "  ", ""
    )


def test_control_characters_are_shown_as_escape_sequences(record: Record) -> None:
    record["recognition"] |= {"action": "walk\x1b[2J\x07", "notes": ["a\u202eb\x00"]}
    page = render_page(record, missing)
    assert r"walk\x1b[2J\x07" in page and r"a\u202eb\x00" in page
    assert printable(page) == page


def test_heat_map_adds_weight_times_score(record: Record, store: Store) -> None:
    rows = Reader(render_page(record, store.__getitem__)).rows
    assert rows[0] == ["rank", "sub-action", "weight", "walk", "run", "hug"]
    assert rows[1] == ["1", "legs swing in steps", "3", "9", "4", "·"]
    assert rows[4] == ["", "weighted total", "", "43", "12", "7"]


def test_heat_map_has_no_totals_without_weights(record: Record, store: Store) -> None:
    record["recognition"]["sub_actions"][1]["weight"] = None
    assert "weighted total" not in render_page(record, store.__getitem__)


def test_waterfall_places_each_node_in_time(record: Record, store: Store) -> None:
    page = render_page(record, store.__getitem__)
    assert '<rect x="0.00%" width="25.00%"' in page
    assert '<rect x="25.00%" width="75.00%"' in page


def test_every_image_is_in_the_file_once_and_displayed(
    record: Record, store: Store, browse: Browse, tmp_path: Path
) -> None:
    page = render_page(record, store.__getitem__)
    embedded = re.findall(r"data:image/jpeg;base64,([\w+/=]+)", page)
    assert len(embedded) == len(set(embedded)) == 16

    def colours(shown: str) -> int:
        browse(shown, f"--screenshot={tmp_path / 'page.png'}")
        with Image.open(tmp_path / "page.png") as image:
            return len(image.convert("RGB").getcolors(1 << 24))

    assert colours(page) > 10_000 + colours(render_page(record, missing))


def everywhere(value: Any, words: str) -> Any:
    """The record with `words` as every free text."""
    if isinstance(value, dict):
        return {key: everywhere(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [everywhere(inner, words) for inner in value]
    fixed = isinstance(value, str) and (value.startswith("media://") or value in ("text", "image"))
    return value if fixed or not isinstance(value, str) else words


def mixed(record: Record) -> Record:
    hostile: Record = everywhere(copy.deepcopy(record), HOSTILE[0])
    hostile["recognition"]["action"] = HOSTILE[1]
    hostile["request"] |= {"actions": HOSTILE, "source": HOSTILE[2], "context": {text: text for text in HOSTILE}}
    hostile["recognition"]["ranking"] = [{"action": text, "score": 0.5} for text in HOSTILE]
    hostile["recognition"]["evidence"] += [
        {"tool": text, "status": text, "summary": text, "frames": [{"url": text, "time": 0}]} for text in HOSTILE
    ]
    hostile["recognition"]["sub_actions"] = [
        {"name": text, "rank": 1, "weight": 1, "scores": dict.fromkeys(HOSTILE, 5)} for text in HOSTILE
    ]
    hostile["messages"] += [
        {"role": text, "node": text, "author": text, "content": [{"type": "image", "url": text}, {"type": text}],
         "tool_calls": [{"id": text, "name": text, "args": {text: text}}]}
        for text in HOSTILE
    ]  # fmt: skip
    hostile["versions"] = {text: text for text in HOSTILE}
    return hostile


def test_hostile_text_stays_text(record: Record, store: Store, browse: Browse) -> None:
    page = Reader(browse(render_page(mixed(record), store.__getitem__)))
    assert page.title.startswith("</style>") and page.title.endswith("video-star")
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "evil" not in page.style
    for text in HOSTILE:
        assert printable(text) in page.text


@pytest.mark.parametrize("hostile", [False, True])
def test_page_is_self_contained(hostile: bool, record: Record, store: Store) -> None:
    page = Reader(render_page(mixed(record) if hostile else record, store.__getitem__))
    addresses = {"src", "href", "srcset", "action", "formaction", "data", "poster", "xlink:href"}
    references = [value for name, value in page.attributes if name in addresses]
    assert references and all(value == "data:," or value.startswith("#") for value in references)
    styles = page.style + "".join(value for name, value in page.attributes if name == "style")
    assert set(re.findall(r"url\((.{16})", styles)) == {'"data:image/jpeg'}
    assert "@import" not in styles and "//" not in re.sub(r"base64,[\w+/=]+", "", styles)
    policy = next(value for _, value in page.attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline';") and "script" not in policy


@pytest.mark.parametrize("failure", [KeyError("gone"), FileNotFoundError("gone"), b"no image at all", b""])
def test_missing_media_gives_a_placeholder(failure: Exception | bytes, record: Record, store: Store) -> None:
    def media(url: str) -> bytes:
        if url != "media://frame0.jpg":
            return store[url]
        if isinstance(failure, Exception):
            raise failure
        return failure

    page = Reader(render_page(record, media))
    # Among the frames and in the conversation; the first screen has overlays.
    assert page.text.count("image missing") == 2
    assert ("aria-label", "Frame 1 at 0.40\u00a0s: the image is missing") in page.attributes


def test_only_media_urls_are_requested(record: Record, store: Store) -> None:
    record["frames"] += [{"url": "file:///etc/passwd", "time": 1.0}, {"url": None, "time": None}, {}]
    requested = []
    render_page(record, lambda url: requested.append(url) or store[url])  # type: ignore[func-returns-value]
    assert sorted(requested) == sorted(store)


def test_failed_run_shows_the_error(record: Record, browse: Browse) -> None:
    record["recognition"] = {
        "action": None, "status": "failed", "error": "PolicyUnavailable: the server at 127.0.0.1 refused; start it",
        "ranking": [], "sub_actions": None, "evidence": None, "notes": None, "usage": {"tokens": None},
    }  # fmt: skip
    record |= {"messages": record["messages"][:2], "timings": [], "frames": []}
    page = Reader(browse(render_page(record, missing)))
    assert page.title.startswith("No answer")
    for words in ("failed", "PolicyUnavailable: the server", "No tools were called.", "No actions were scored."):
        assert words in page.text


@pytest.mark.parametrize("gone", ["missing", "none"])
def test_any_field_may_be_missing(gone: str, record: Record, store: Store) -> None:
    def holes(value: Any) -> list[tuple[Any, Any]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        here = [(value, key) for key in value] if isinstance(value, dict) else []
        return here + [hole for _, part in inner for hole in holes(part)]

    for number in range(len(holes(record))):
        broken = json.loads(json.dumps(record))
        parent, key = holes(broken)[number]
        if gone == "missing":
            del parent[key]
        else:
            parent[key] = None
        assert "</html>" in render_page(broken, store.__getitem__), key


def test_six_hundred_actions_make_a_small_page_in_linear_time(record: Record) -> None:
    def rendered(count: int) -> str:
        actions = [f"{number} {'lowers the long ladder ' * 12}"[:300] for number in range(count)]
        record["request"]["actions"] = actions
        record["recognition"]["ranking"] = [{"action": name, "score": 1 / (k + 1)} for k, name in enumerate(actions)]
        record["recognition"]["sub_actions"] = [
            {"name": f"part {k}", "rank": k + 1, "weight": 8 - k, "scores": dict.fromkeys(actions, k)} for k in range(8)
        ]
        record["messages"][0]["content"] = "\n".join(actions)
        return render_page(record, missing)

    page = rendered(600)
    assert growth(rendered, 600) < 3
    assert len(page.encode()) < 2_000_000
    assert "595 more" in page and "600 candidate actions" in page and "580 candidates with lower totals" in page


def test_lone_surrogates_can_be_written(record: Record) -> None:
    record["request"]["question"] = json.loads('"broken \\ud83d emoji"')
    assert b"broken ? emoji" in render_page(record, missing).encode("utf-8")


def test_page_fits_a_phone(record: Record, store: Store, browse: Browse) -> None:
    page = escape(render_page(mixed(record), store.__getitem__))
    measure = "document.title = this.contentDocument.documentElement.scrollWidth"
    harness = f'<iframe style="width: 390px; border: 0" onload="{measure}" srcdoc="{page}"></iframe>'
    assert Reader(browse(f"<title>unmeasured</title>{harness}")).title == "390"
