"""Reasoning traces: what is accepted, what is rejected and why, and that nothing is lost or made twice."""

import asyncio
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from PIL import Image

from tests.graph.conftest import Scripted, says
from video_star.evals.splits import Example
from video_star.graph.policies.registry import resolve_policy
from video_star.graph.prompts import CANDIDATES, fused, shortlisted
from video_star.graph.records.trace import append, read
from video_star.graph.state import Price
from video_star.tools.errors import BadInput, BadRecord, PolicyUnavailable, UnknownPolicy
from video_star.tools.execution.media_store import MediaStore
from video_star.tools.knowledge import read_entries
from video_star.tools.knowledge.explain import Explanations
from video_star.tools.marked_json import marked_json
from video_star.tools.motion.measurements import MEASURED, Measurements, Observation
from video_star.tools.motion_primitives import PRIMITIVES
from video_star.training.synthesis import Settings, load_processor, synthesize, teacher_named, write_card
from video_star.training.synthesis import folder as folders
from video_star.training.synthesis.folder import SETTINGS
from video_star.training.synthesis.gallery import HEIGHT, diverse, page
from video_star.training.synthesis.rules import fingerprint, reasons
from video_star.training.synthesis.scripted_teacher import ScriptedTeacher

from ...clips import cut_clip

pytestmark = pytest.mark.slow

LABELS = ["walk", "hug", "wave"]
KINEMATIC = Settings("kinematic", context={"tools": ["track_motion", "explain_actions"], "frames": 2})


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory, walking_clip: Path) -> Path:
    """Five clips of people walking."""
    root = tmp_path_factory.mktemp("split")
    for number in range(5):
        cut_clip(walking_clip, root / f"{number}c7e1f.mp4", number, number + 0.6)
    return root


def examples(count: int = 5, wrong: int = 4) -> list[Example]:
    return [Example(f"{n}c7e1f.mp4", "hug" if n == wrong else "walk") for n in range(count)]


async def make(split: Path, out: Path, target: int, **options: Any) -> Any:
    arguments = {"teacher": teacher_named("kinematic", 0.0), "settings": KINEMATIC, "examples": examples(), **options}
    clips, teacher, settings = (arguments.pop(name) for name in ("examples", "teacher", "settings"))
    return await synthesize(clips, split, out, teacher, settings, target=target, **arguments)


def accepted_clips(out: Path) -> list[str]:
    return [record["synthesis"]["clip"] for record in read(out)]


async def test_right_traces_are_accepted_wrong_ones_rejected_and_none_is_made_twice(
    warm: Path, split: Path, tmp_path: Path
) -> None:
    first = await make(split, tmp_path / "out", 1, concurrency=1)
    assert (first.accepted, len(accepted_clips(tmp_path / "out"))) == (1, 1)
    seen: list[int] = []
    second = await make(split, tmp_path / "out", 99, on_progress=lambda progress: seen.append(progress.accepted))
    assert second.accepted == 4 and sorted(accepted_clips(tmp_path / "out")) == [f"{n}c7e1f.mp4" for n in range(4)]
    assert second.rejected == {"wrong_answer": 3} and second.attempts == 7 and seen[0] == 1 and seen[-1] == 4
    (attempts,) = {tuple(sorted(r["synthesis"]["attempt"] for r in read(tmp_path / "out" / "rejected")))}
    assert attempts == (0, 1, 2)
    third = await make(split, tmp_path / "out", 99)
    assert third.session_attempts == 0 and third.accepted == 4


async def test_candidates_differ_by_clip_and_are_the_same_for_the_same_seed(
    warm: Path, split: Path, tmp_path: Path
) -> None:
    clips = [*examples(4, wrong=9), Example("4c7e1f.mp4", "wave"), Example("0c7e1f.mp4", "walk")]
    asked: list[tuple[str, ...]] = []

    def teacher(job: Any) -> BaseChatModel:
        asked.append((job.example.clip, *job.actions))
        return resolve_policy("kinematic")

    settings = Settings("kinematic", candidates=2, attempts=1, context=KINEMATIC.context)
    clips.append(Example("3c7e1f.mp4", "hug"))
    await make(split, tmp_path / "a", 99, teacher=teacher, settings=settings, examples=clips)
    again = list(asked)
    asked.clear()
    await make(split, tmp_path / "b", 99, teacher=teacher, settings=settings, examples=clips)
    assert sorted(asked) == sorted(again) and all(len(set(one)) == 3 for one in asked) and len(asked) == 5
    assert len({one[1:] for one in asked}) > 1


@pytest.mark.parametrize(("target", "concurrency"), [(8, 8), (8, 3), (1, 16), (11, 16)])
async def test_exactly_as_many_traces_are_made_as_wanted(
    warm: Path, split: Path, tmp_path: Path, target: int, concurrency: int
) -> None:
    """A clip is left by a worker that is not needed, and taken up again if the attempts of others fail."""
    settings = Settings("scripted", attempts=6, traces_per_clip=3, tool_failure_rate=0.3, context=KINEMATIC.context)
    making = {"teacher": teacher_named("scripted"), "settings": settings, "concurrency": concurrency}
    made = await make(split, tmp_path / "out", target, **making)
    assert made.accepted == target == len(accepted_clips(tmp_path / "out"))
    more = await make(split, tmp_path / "out", target + 1, **making)
    assert more.accepted == target + 1 == len(accepted_clips(tmp_path / "out"))


async def test_a_trace_that_is_being_written_when_synthesis_is_cancelled_is_not_made_twice(
    warm: Path, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go = threading.Event(), threading.Event()

    def slow(record: Any, folder: Path) -> None:
        writing.set()
        assert go.wait(60)
        append(record, folder)

    monkeypatch.setattr(folders, "append", slow)
    making = asyncio.create_task(make(split, tmp_path / "out", 9, concurrency=2))
    assert await asyncio.to_thread(writing.wait, 60)
    making.cancel()
    await asyncio.sleep(0.2)
    assert not making.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    before = accepted_clips(tmp_path / "out")
    assert before and (await make(split, tmp_path / "out", 9)).accepted == 4
    after = accepted_clips(tmp_path / "out")
    assert after[: len(before)] == before and len(after) == len(set(after)) == 4


async def test_a_damaged_trace_is_named_when_the_folder_is_resumed(warm: Path, split: Path, tmp_path: Path) -> None:
    await make(split, tmp_path / "out", 1, concurrency=1)
    runs = tmp_path / "out" / "runs.jsonl"
    good = json.loads(runs.read_text(encoding="utf-8"))
    cases: tuple[dict[str, Any], ...] = (
        {"synthesis": None},
        {"synthesis": {}},
        {"synthesis": {**good["synthesis"], "reasons": 3}},
    )
    for damaged in cases:
        runs.write_text(json.dumps(good) + "\n" + json.dumps(good | damaged) + "\n", encoding="utf-8")
        with pytest.raises(BadRecord, match="line 2, is damaged"):
            await make(split, tmp_path / "out", 9)


def killed_at_random(command: list[str], kills: int, seconds: float, chance: random.Random) -> int:
    """Start the command again and again and kill it after up to `seconds`; how often it was still running then."""
    killed = 0
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, seconds))
        killed += process.poll() is None
        process.kill()
        process.wait()
    return killed


def synthesis_of(split: Path, out: Path) -> list[str]:
    """The command that makes four traces, and rejects one of the five clips."""
    (split / "split.txt").write_text("".join(f"{e.clip} {LABELS.index(e.label)}\n" for e in examples()))
    (split / "labels.csv").write_text("0,walk\n1,hug\n2,wave\n")
    program = str(Path(sys.executable).parent / "video-star")
    command = [program, "synthesize", str(split / "split.txt"), "--labels", str(split / "labels.csv"), "--out"]
    return [*command, str(out), "--teacher", "kinematic", "--concurrency", "2", "--attempts", "1"]


def made_in(out: Path) -> list[tuple[str, int, str]]:
    """Clip, attempt and text of every trace, accepted or not."""
    records = [record for part in (out, out / "rejected") for record in read(part)]
    return sorted((r["synthesis"]["clip"], r["synthesis"]["attempt"], fingerprint(r)) for r in records)


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_process_that_is_killed_again_and_again_loses_nothing_and_makes_nothing_twice(
    warm: Path, split: Path, tmp_path: Path
) -> None:
    start = time.monotonic()
    subprocess.run(synthesis_of(split, tmp_path / "never"), capture_output=True, timeout=300)
    seconds = time.monotonic() - start
    command, runs = synthesis_of(split, tmp_path / "out"), tmp_path / "out" / "runs.jsonl"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    while process.poll() is None and not (runs.is_file() and runs.read_bytes().count(b"\n") >= 1):
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = accepted_clips(tmp_path / "out")
    killed_at_random(command, 2, seconds, random.Random(0))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "4 of 5 traces verified" in done.stdout and "wrong_answer: 1" in done.stdout
    assert accepted_clips(tmp_path / "out")[: len(before)] == before
    assert made_in(tmp_path / "out") == made_in(tmp_path / "never") and len(made_in(tmp_path / "out")) == 5
    assert not list((tmp_path / "out").rglob(".part-*"))


async def test_a_folder_has_one_setting_and_one_process(warm: Path, split: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyUnavailable):
        gone = Scripted(replies=[ConnectionError("refused")])
        await make(split, tmp_path / "out", 1, teacher=lambda job: gone, settings=Settings("typo"))
    with pytest.raises(UnknownPolicy):
        teacher_named("typo")
    await make(split, tmp_path / "out", 1, concurrency=1)
    with pytest.raises(BadInput, match=r"other settings \(attempts\)"):
        await make(split, tmp_path / "out", 2, settings=Settings("kinematic", attempts=1, context=KINEMATIC.context))

    patient = Settings("kinematic", context={**KINEMATIC.context, "tool_seconds": 900.0})
    made = await make(split, tmp_path / "out", 1, concurrency=1, settings=patient)
    assert made.accepted == 1, "another time limit does not make other traces"

    refused: list[BaseException] = []

    def in_between(_: Any) -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    def elsewhere() -> None:
        with pytest.raises(BadInput, match="another process") as found:
            asyncio.run(make(split, tmp_path / "out", 2))
        refused.append(found.value)

    await make(split, tmp_path / "out", 2, concurrency=1, on_progress=in_between)
    assert refused


async def test_a_folder_of_an_earlier_version_is_resumed(warm: Path, split: Path, tmp_path: Path) -> None:
    """Settings and sessions had other names."""
    out = tmp_path / "out"
    await make(split, out, 1, concurrency=1)
    settings = (out / SETTINGS).read_text()
    (out / SETTINGS).write_text(settings.replace("traces_per_clip", "per_clip").replace("tool_failure_rate", "failing"))
    runs = out / "runs.jsonl"
    runs.write_text(runs.read_text().replace('"session": {', '"sitting": {'))
    assert '"per_clip"' in (out / SETTINGS).read_text() and '"sitting"' in runs.read_text()
    resumed = await make(split, out, 99)
    assert resumed.accepted == 4 and len(accepted_clips(out)) == len(set(accepted_clips(out))) == 4
    card = write_card(out).read_text()
    assert "(sessions: 2)" in card and "| traces_per_clip | `1` |" in card


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"settings": Settings("kinematic", candidates=9)}, "candidates must be 2 to 2"),
        ({"settings": Settings("kinematic", attempts=0)}, "attempts"),
        ({"settings": Settings("kinematic", attempts=3, traces_per_clip=4)}, "not 4 with 3 attempts"),
        ({"settings": Settings("kinematic", context={"framez": 2})}, "framez"),
        ({"examples": [Example("0c7e1f.mp4", "walk")]}, "only one label"),
        ({"examples": [Example("0c7e1f.mp4", "walk"), Example("gone.mp4", "hug")]}, "has no clip gone.mp4"),
    ],
)
async def test_unusable_input_is_refused_before_anything_is_written(
    split: Path, tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadInput, match=why):
        await make(split, tmp_path / "out", 1, **options)
    assert not (tmp_path / "out").exists()


async def test_an_unreachable_teacher_uses_up_no_attempts(warm: Path, split: Path, tmp_path: Path) -> None:
    gone = Scripted(replies=[ConnectionError("refused")])
    with pytest.raises(PolicyUnavailable, match="0 traces are kept; run the command again"):
        await make(split, tmp_path / "out", 9, teacher=lambda job: gone)
    assert (await make(split, tmp_path / "out", 9)).accepted == 4


@pytest.mark.parametrize(
    ("verdict", "accepted"),
    [
        ('{"sub_actions": true, "scores": true, "why": "fine"}', 4),
        ('```json\n{"sub_actions": false, "scores": true, "why": "no arm is seen"}\n```', 0),
        ("Looks good to me!", 0),
    ],
)
async def test_a_second_model_must_agree(warm: Path, split: Path, tmp_path: Path, verdict: str, accepted: int) -> None:
    verifier = Scripted(replies=[says(verdict)])
    settings = Settings("kinematic", "it", attempts=1, context=KINEMATIC.context)
    price = Price(input=1e5, output=0)
    made = await make(split, tmp_path / "out", 9, verifier=verifier, settings=settings, verifier_price=price)
    assert made.accepted == accepted and made.rejected["verifier"] == 4 - accepted
    assert made.verifier_tokens["input"] == 40 and made.cost == pytest.approx(4.0)
    again = await make(split, tmp_path / "out", 9, verifier=verifier, settings=settings, verifier_price=price)
    assert again.session_attempts == 0 and again.cost == pytest.approx(4.0)
    asked = verifier.received[0][1]
    assert isinstance(asked, HumanMessage)
    assert sum(block["type"] == "image" for block in asked.content if isinstance(block, dict)) == 2
    assert "MEASURED (JSON)" in asked.text and "<answer>walk</answer>" in asked.text and "c7e1f" not in asked.text


async def test_the_scripted_teacher_varies_and_states_only_what_is_supported(
    warm: Path, split: Path, tmp_path: Path
) -> None:
    traces: list[dict[str, Any]] = []
    for seed in range(4):
        settings = Settings("scripted", seed=seed, tool_failure_rate=0.0, context={"frames": 2})
        made = await make(split, tmp_path / str(seed), 9, teacher=teacher_named("scripted"), settings=settings)
        assert made.accepted == 4 and made.rejected["wrong_answer"] == 3
        traces += read(tmp_path / str(seed))
    asked = {tuple(item["tool"] for item in trace["recognition"]["evidence"]) for trace in traces}
    assert len({fingerprint(trace) for trace in traces}) == 16 and len(asked) >= 3
    assert any("seen" in last(trace)["content"] and "hug" in last(trace)["content"] for trace in traces)
    counts = {len(trace["recognition"]["sub_actions"]) for trace in traces}
    assert len(counts) >= 3 and all(trace["recognition"]["status"] == "ok" for trace in traces)


async def test_a_clip_may_have_several_traces_and_the_card_summarizes_them(
    warm: Path, split: Path, tmp_path: Path, tiny_qwen: Path
) -> None:
    settings = Settings("scripted", attempts=5, traces_per_clip=2, tool_failure_rate=0.0, context={"frames": 2})
    made = await make(
        split, tmp_path, 9, teacher=teacher_named("scripted"), settings=settings, price=Price(input=0, output=0)
    )
    assert made.accepted == 8 and {*accepted_clips(tmp_path)} == {f"{n}c7e1f.mp4" for n in range(4)}
    assert made.cost == 0.0 and (await make(split, tmp_path, 9, settings=settings)).session_attempts == 0
    card = write_card(tmp_path, load_processor(str(tiny_qwen))).read_text()
    assert f"8 verified traces from {made.attempts} attempts" in card and "| clips | 4 |" in card
    assert f"| wrong_answer | {made.rejected['wrong_answer']} |" in card and "| walk | 8 traces, 4 clips |" in card
    (speed,) = re.findall(r"([\d.]+) attempts/s", card)
    assert "(sessions: 1)" in card and 0 < float(speed) <= 10 * made.attempts
    (trained_on,) = [int(line.split("|")[2]) for line in card.splitlines() if "trained on" in line]
    words = [
        len(str(m["content"]).split()) for r in read(tmp_path) for m in r["messages"] if m.get("author") == "policy"
    ]
    assert sum(words) / 8 < trained_on < 8 * sum(words) / 8
    with pytest.raises(BadInput, match="no processor"):
        load_processor(str(tmp_path / "rejected"))


async def test_the_gallery_shows_diverse_traces_and_escapes_their_markup(
    warm: Path, split: Path, tmp_path: Path
) -> None:
    settings = Settings("scripted", tool_failure_rate=0.0, context={"frames": 2})
    await make(split, tmp_path / "out", 9, teacher=teacher_named("scripted"), settings=settings)
    traces = diverse(tmp_path / "out", 3)
    assert len({tuple(item["tool"] for item in trace["recognition"]["evidence"]) for trace in traces}) == 3
    replace_first(dict(traces[0]), "<script>alert(1)</script> ![x](http://a.b/c.png) `code`")
    called = next(m for m in traces[0]["messages"] if m.get("node") == "decompose" and m.get("tool_calls"))
    called["tool_calls"][0]["args"]["sub_actions"][0]["name"] = "legs` <script>alert(2)</script>\n\n# head"
    page(traces, MediaStore(tmp_path / "out" / "media"), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert (
        text.count("\n## ") == 3
        and "<script>" not in text
        and "\n# head" not in text
        and "![x]" not in text
        and "track\\_motion" in text
    )
    for number in (1, 2, 3):
        assert f"![frames](page/{number}.jpg)" in text
        with Image.open(tmp_path / "page" / f"{number}.jpg") as strip:
            assert strip.height % HEIGHT == 0 and strip.width > HEIGHT


async def test_a_trace_continues_when_a_tool_fails(warm: Path, split: Path, tmp_path: Path) -> None:
    context = {"tools": ["estimate_pose", "track_motion"], "frames": 2, "max_rounds": 2}
    settings = Settings("scripted", tool_failure_rate=1.0, attempts=6, context=context)
    shown = {name: PRIMITIVES[name] for name in ("steps", "travel")}
    teacher = teacher_named("scripted", ground_truth=lambda clip: shown)
    await make(split, tmp_path / "out", 9, teacher=teacher, settings=settings)
    traces = list(read(tmp_path / "out"))
    failed = [trace for trace in traces if trace["recognition"]["status"] == "degraded"]
    assert failed and len(traces) >= 4
    for trace in failed:
        (lost,) = {item["tool"] for item in trace["recognition"]["evidence"] if item["status"] != "ok"}
        turns = [str(message["content"]) for message in trace["messages"] if message.get("author") == "policy"]
        assert any(lost in turn for turn in turns[1:])


BOTH = ("sit down then wave", "wave then sit down")
KNOWLEDGE = Path(__file__).parents[3] / "evals" / "marionette" / "knowledge.yaml"
TRULY = {name: PRIMITIVES[name] for name in ("sit_down", "arm_raise", "wave", "hands_lower")}


def last_turn(report: str, shown: dict[str, str], seed: int = 0) -> str:
    """The last turn of a teacher for whom the right answer is sitting down, then waving."""
    known = read_entries(KNOWLEDGE.read_text(encoding="utf-8"), "marionette")
    named = enumerate((PRIMITIVES["sit_down"], PRIMITIVES["wave"]), 1)
    lists = [{"rank": rank, "name": name, "candidates": list(BOTH)} for rank, name in named]
    told = [
        HumanMessage(f"{CANDIDATES} {json.dumps(BOTH)}"),
        fused([("track_motion", report)] if report else [], [], "decompose"),
        shortlisted("1", lists, Explanations(tuple(known[label] for label in BOTH), ()).summary()),
    ]
    return ScriptedTeacher(label=BOTH[0], shown=shown, seed=seed).invoke(told).text


def report(sat: tuple[float, float], waved: tuple[float, float], *not_observed: str) -> str:
    rows = {"sit_down": Observation(0.9, *sat, "person 1"), "wave": Observation(0.9, *waved, "person 1")}
    return marked_json(MEASURED, Measurements(rows, ("jump", *not_observed)).to_json())


def test_the_scripted_teacher_states_the_order_if_it_decides_and_is_known() -> None:
    first, then = PRIMITIVES["sit_down"], PRIMITIVES["wave"]
    for seed in range(6):
        measured = last_turn(report((0.2, 1.0), (1.4, 2.8)), TRULY if seed % 2 else {}, seed)
        assert "measured at 0.2 to 1.0 s and 1.4 to 2.8 s" in measured and f"<answer>{BOTH[0]}</answer>" in measured
        seen = last_turn(report((0.0, 3.0), (0.0, 3.0)), TRULY, seed)
        assert "in the frames" in seen or "as the frames show" in seen
    assert any(first in line and then in line for line in measured.split("\n"))
    missed = last_turn(report((0.0, 3.0), (0.0, 3.0), "arm_raise"), TRULY)
    assert PRIMITIVES["arm_raise"] not in missed
    unknown = last_turn(report((0.0, 3.0), (0.0, 3.0)), {})
    assert "revers" not in unknown and "the other way round" not in unknown


def test_a_trace_whose_measured_order_supports_the_reverse_answers_wrong() -> None:
    assert f"<answer>{BOTH[1]}</answer>" in last_turn(report((1.8, 2.8), (0.2, 1.2)), TRULY)


# Each rule, on one change to a good trace.

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, walking_clip: Path) -> dict[str, Any]:
    from video_star.graph.concurrency import wait_for
    from video_star.graph.run import run_record

    return wait_for(run_record(walking_clip, LABELS, end=1, **KINEMATIC.context))


def last(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = [m for m in record["messages"] if m.get("author") == "policy"][-1]
    return found


def replace_last(record: dict[str, Any], old: str, new: str) -> None:
    last(record)["content"] = last(record)["content"].replace(old, new)


def replace_first(record: dict[str, Any], text: str) -> None:
    next(m for m in record["messages"] if m.get("author") == "policy")["content"] = text


def rename_sub_action(record: dict[str, Any], name: str) -> None:
    record["recognition"]["sub_actions"][0]["name"] = name


def contradict(record: dict[str, Any]) -> None:
    for item in record["recognition"]["sub_actions"]:
        item["scores"] = {"walk": 1.0, "hug": 8.0}


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (lambda r: r["recognition"].update(action="hug"), "wrong_answer"),
        (lambda r: r["recognition"].update(status="failed", error="PolicyBusy: no"), "failed"),
        (lambda r: replace_last(r, "<think>", "Well! <think>"), "form"),
        (lambda r: replace_last(r, "Measured", "Measured " * 1000), "form"),
        (lambda r: r["recognition"].update(sub_actions=r["recognition"]["sub_actions"][:1]), "few_sub_actions"),
        (lambda r: rename_sub_action(r, "juggling seven burning torches"), "unsupported"),
        (lambda r: rename_sub_action(r, PRIMITIVES["invert"]), "unsupported"),
        (lambda r: contradict(r), "inconsistent"),
        (lambda r: r["recognition"]["sub_actions"][0].update(scores={"walk": 9.0}), "inconsistent"),
        (lambda r: replace_last(r, "Measured", "The ground truth says so. Measured"), "leak"),
        (lambda r: replace_last(r, "Measured", "The correct action is walk. Measured"), "leak"),
        (lambda r: replace_last(r, "Measured", "As people_walking shows, measured"), "leak"),
        (lambda r: replace_last(r, "Measured", "In clip_0042.mp4 I measured"), "leak"),
        (lambda r: replace_first(r, "This is walk, but let me make sure."), "leak"),
    ],
)
def test_each_rule_finds_its_error(good: dict[str, Any], edit: Edit, rule: str) -> None:
    assert reasons(good, "walk", "a/people_walking.mp4") == {}
    bad = deepcopy(good)
    edit(bad)
    assert rule in reasons(bad, "walk", "a/people_walking.mp4")


def test_positions_of_people_are_no_evidence_against_the_frames(good: dict[str, Any]) -> None:
    still = deepcopy(good)
    for message in still["messages"]:
        if message["role"] == "tool" and message.get("name") == "track_motion":
            message["name"], message["content"] = "estimate_pose", "1 person, knees at 170 degrees."
        elif message.get("node") == "fuse":
            message["content"] = "From estimate_pose:\n1 person, knees at 170 degrees."
    rename_sub_action(still, "juggling seven burning torches")
    assert reasons(still, "walk", "x.mp4") == {}
    (fused,) = [m for m in still["messages"] if m.get("node") == "fuse"][:1]
    fused["content"] = "From describe_video:\nSomebody walks.\nFrom estimate_pose:\njuggling seven burning torches"
    assert "unsupported" in reasons(still, "walk", "x.mp4")


def test_a_record_of_before_is_judged_by_its_text(good: dict[str, Any]) -> None:
    """Evidence without `measured`, and the summary in the form of version 0.1."""
    old = deepcopy(good)
    for item in old["recognition"]["evidence"]:
        item.pop("measured", None)
    (reply,) = [m for m in old["messages"] if m.get("name") == "track_motion"]
    reply["content"] = "OBSERVED, with support from 0 to 1:\n" + "\n".join(
        f"- {name} 0.90, 0.0 to 1.0 s, person 1: {meaning}" for name, meaning in PRIMITIVES.items() if name != "invert"
    )
    rename_sub_action(old, PRIMITIVES["wave"])
    assert "unsupported" not in reasons(old, "walk", "x.mp4")
    reply["content"] += "\nNOT SEEN: invert"
    rename_sub_action(old, PRIMITIVES["invert"])
    assert "looked for" in reasons(old, "walk", "x.mp4")["unsupported"]


def test_naming_several_candidates_before_evidence_is_no_leak(good: dict[str, Any]) -> None:
    weighing = deepcopy(good)
    replace_first(weighing, "It may be walk or wave: are the legs or the arms in motion?")
    assert reasons(weighing, "walk", "x.mp4") == {}


def test_identical_traces_have_one_fingerprint(good: dict[str, Any]) -> None:
    same, other = deepcopy(good), deepcopy(good)
    same["id"] = "another"
    replace_first(other, "Something else.")
    assert fingerprint(same) == fingerprint(good) != fingerprint(other)
