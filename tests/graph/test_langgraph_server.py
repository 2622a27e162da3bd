"""`langgraph dev` as Studio uses it: over HTTP, offline, without keys, and with blocking calls in nodes rejected."""

import io
import json
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from .langgraph_dev_server import (  # noqa: F401 (fixtures)
    ACTIONS,
    CONFIG,
    NODES,
    NOWHERE,
    Dev,
    Finished,
    answer,
    custom,
    dev,
    finished,
    inputs,
    offline,
    refusal,
    schemas,
    server,
)

pytestmark = pytest.mark.slow


def test_the_configuration_is_valid_without_a_warning() -> None:
    command = [sys.executable, "-m", "langgraph_cli", "validate", "--config", str(CONFIG)]
    ran = subprocess.run(command, capture_output=True, text=True, env=offline(Path()), timeout=60)
    assert ran.returncode == 0 and "warning" not in (ran.stdout + ran.stderr).lower(), ran.stdout + ran.stderr


def test_it_starts_offline_and_reports_its_version(dev: Dev) -> None:
    info = dev.api.get("/info", timeout=5).raise_for_status().json()
    assert info["version"] and info["langgraph_py_version"] and info["flags"]["langsmith"] is False


def test_studio_draws_five_nodes_and_the_loop(dev: Dev) -> None:
    drawn = dev.api.get("/assistants/video_star/graph").raise_for_status().json()
    assert [node["id"] for node in drawn["nodes"]] == ["__start__", *NODES, "__end__"]
    edges = {(edge["source"], edge["target"], edge.get("conditional", False)) for edge in drawn["edges"]}
    assert edges == {
        ("__start__", "tool_select", False),
        ("tool_select", "tool_exec", True),
        ("tool_select", "fuse", True),
        ("tool_exec", "fuse", False),
        ("fuse", "tool_select", True),
        ("fuse", "decompose", True),
        ("fuse", "score", True),
        ("decompose", "score", False),
        ("score", "__end__", False),
    }


def test_the_input_form_asks_for_a_video_and_actions(dev: Dev) -> None:
    form = schemas(dev)["input_schema"]
    assert list(form["properties"]) == ["video", "actions", "question", "start", "end"]
    assert form["required"] == ["video", "actions"]
    assert form["properties"]["video"]["type"] == "string"
    assert form["properties"]["actions"]["items"] == {"type": "string"}
    assert all(len(field["description"]) > 20 for field in form["properties"].values())


def test_the_output_is_described(dev: Dev) -> None:
    output = schemas(dev)["output_schema"]["properties"]
    assert set(output) == {
        "action", "confidence", "calibrated_on", "ranking", "sub_actions", "evidence", "status", "notes",
        "error", "error_type", "usage",
    }  # fmt: skip
    assert all(field["description"] for field in output.values())


def test_the_settings_form_has_choices_bounds_defaults_and_descriptions(dev: Dev) -> None:
    form = schemas(dev)["context_schema"]
    fields = form["properties"]
    assert list(fields) == [
        "policy", "mode", "tools", "describer", "explainer", "max_rounds", "frames", "pixels",
        "policy_seconds", "tool_seconds", "temperature", "seed", "structured", "reasoning", "price",
    ]  # fmt: skip
    assert all(field["description"] and "default" in field for field in fields.values())
    assert "required" not in form and form["additionalProperties"] is False
    assert fields["mode"]["enum"] == ["agentic", "static", "no_tools", "no_sub_actions"]
    # Not every engine finds objects.
    assert fields["tools"]["items"]["enum"] == [*fields["tools"]["default"], "detect_objects"]
    assert (fields["max_rounds"]["minimum"], fields["max_rounds"]["maximum"]) == (1, 5)
    assert all({"minimum", "exclusiveMinimum"} & field.keys() for field in list(fields.values())[5:12])


def test_the_log_has_no_warning_about_loading_or_schemas(dev: Dev) -> None:
    schemas(dev)
    log = dev.log.read_text(errors="replace")
    assert "Failed to get" not in log and "Slow graph load" not in log


def test_a_run_streams_a_custom_event_per_node_and_tool(finished: Finished, dev: Dev) -> None:
    events = custom(finished.events)
    called = events[0]["tools"]
    assert [event["node"] for event in events] == ["tool_select", *["tool_exec"] * len(called), *NODES[2:]]
    assert all(event["seconds"] >= 0 for event in events)
    assert len(called) >= 2 and events[0]["text"]
    ran = events[1 : 1 + len(called)]
    assert sorted(event["tool"] for event in ran) == sorted(called)
    assert all(event["status"] == "ok" and event["summary"] for event in ran)
    fused, decomposed, scored = events[-3:]
    assert fused["frames"] > 0 and fused["texts"] and fused["another"] is False
    assert decomposed["sub_actions"] and all(set(s["candidates"]) <= set(ACTIONS) for s in decomposed["sub_actions"])
    assert scored["status"] == "ok" and scored["action"] == scored["ranking"][0]["action"]


def test_a_run_streams_updates_node_by_node_and_ends_with_an_action(finished: Finished, dev: Dev) -> None:
    updates = [data for kind, data in finished.events if kind == "updates"]
    assert [name for update in updates for name in update] == NODES
    assert finished.events[-1][0] == "updates"
    last = updates[-1]["score"]
    assert last["action"] in ACTIONS and last["action"] == answer(finished.events)
    assert sorted(item["action"] for item in last["ranking"]) == sorted(ACTIONS)


def test_the_state_after_a_run_is_small_and_holds_no_pixels(finished: Finished, dev: Dev) -> None:
    assert len(finished.state) < 100_000
    assert '"base64"' not in finished.state and not re.search(r"[A-Za-z0-9+/]{200}", finished.state)
    state = json.loads(finished.state)
    values = state["values"]
    assert state["next"] == []
    assert [timing["node"] for timing in values["timings"]] == NODES
    assert len(values["evidence"]) == len(custom(finished.events)[0]["tools"]) and values["ranking"]
    conversation = values["conversation"]
    assert [message["type"] for message in conversation[:2]] == ["system", "human"] and conversation[-1]["type"] == "ai"
    assert len(images(conversation)) >= 4 and all(url.startswith("media://") for url in images(conversation))


def images(conversation: list[dict[str, Any]]) -> list[str]:
    blocks = [block for message in conversation if isinstance(message["content"], list) for block in message["content"]]
    return [block["url"] for block in blocks if block["type"] == "image"]


def test_every_image_of_the_conversation_is_served(finished: Finished, dev: Dev) -> None:
    for url in images(json.loads(finished.state)["values"]["conversation"]):
        got = dev.api.get(f"/media/{url.removeprefix('media://')}")
        assert got.status_code == 200 and got.headers["content-type"] == "image/jpeg"
        assert got.headers["x-content-type-options"] == "nosniff" and "immutable" in got.headers["cache-control"]
        with Image.open(io.BytesIO(got.content)) as image:
            image.load()
            assert image.format == "JPEG" and image.width * image.height <= 128 * 28 * 28


def test_only_images_of_the_store_are_served(finished: Finished, dev: Dev) -> None:
    kept = next((dev.home / "results").glob("*.npz")).name
    media = dev.home / "media"
    (media / "notes.txt").write_text("not for others")
    shutil.copy(CONFIG, media / f"{'0' * 32}.json")
    picture = next(media.glob("*.jpg")).name
    outside = [
        "../../etc/passwd", "../../../../../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd", "..%5c..%5cetc%5cpasswd", "/etc/passwd", "%2fetc%2fpasswd", "%252e%252e%252fetc",
        f"../results/{kept}", f"..%2fresults%2f{kept}", kept, kept.replace(".npz", ".jpg"),
        "notes.txt", f"{'0' * 32}.json", "0" * 32, f"{'f' * 32}.jpg", "", ".", "..", f"{picture}%0a",
        f"media://{picture}", f"media:%2f%2f{picture}", f"./{picture}", f"sub/{picture}", f"{picture}%00",
        picture.upper(), picture[:-4], f"{picture}/", f"file:{media / picture}",
    ]  # fmt: skip
    for name in outside:
        status, body = dev.raw("GET", f"/media/{name}")
        # A trailing slash is redirected to the URL without it.
        assert status == 404 or (name.endswith("/") and status == 307), (name, status)
        assert b"root:" not in body and b"not for others" not in body and str(dev.home).encode() not in body
    assert dev.raw("GET", f"/media/{picture}")[0] == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert dev.raw(method, f"/media/{picture}")[0] in (404, 405)
    assert (media / picture).exists()


def test_settings_given_over_http_take_effect(dev: Dev, walking_clip: Path) -> None:
    thread, events = dev.stream(inputs(walking_clip), context={"mode": "no_tools", "frames": 2})
    assert [event["node"] for event in custom(events)] == ["tool_select", *NODES[2:]]
    assert custom(events)[0]["tools"] == [] and answer(events) in ACTIONS
    values = dev.state(thread)["values"]
    assert values["settings"]["mode"] == "no_tools" and len(values["frames"]) == 2
    _, events = dev.stream(inputs(walking_clip), context={"max_rounds": 2, "tools": ["explain_actions"]})
    assert [event["node"] for event in custom(events)].count("tool_select") == 2
    assert custom(events)[0]["tools"] == ["explain_actions"] and answer(events) in ACTIONS


@pytest.mark.parametrize(
    ("context", "error", "named"),
    [
        ({"max_rounds": 9}, "ValidationError", "less than or equal to 5"),
        ({"mode": "guess"}, "ValidationError", "'agentic', 'static', 'no_tools' or 'no_sub_actions'"),
        ({"mode": "no_tools", "frmes": 4}, "ValidationError", "there is no setting 'frmes'; the settings are policy, "),
        ({"Frames": 4}, "ValidationError", "there is no setting 'Frames'"),
        ({"price": {"inputs": 1, "output": 1}}, "ValidationError", "there is no setting 'inputs'"),
        ({"policy": "oracle"}, "ModelNotAllowed", "'oracle'; use 'kinematic'"),
        ({"policy": f"vllm:m@{NOWHERE}/v1"}, "ModelNotAllowed", "VIDEO_STAR_ALLOWED_MODELS"),
        ({"describer": f"vllm:m@{NOWHERE}/v1"}, "ModelNotAllowed", "the describer 'vllm:m@"),
        ({"explainer": "transformers:/srv/model"}, "ModelNotAllowed", "use 'embedded'"),
    ],
)
def test_a_bad_setting_is_refused_by_name(
    dev: Dev, walking_clip: Path, context: dict[str, Any], error: str, named: str
) -> None:
    kind, message = refusal(dev.stream(inputs(walking_clip), context=context)[1])
    assert kind == error and named in message


def test_configurable_may_hold_names_of_the_server_and_settings(dev: Dev, walking_clip: Path) -> None:
    own = {"mode": "no_tools", "checkpoint_ns": "", "thread_id": "ignored"}
    _, events = dev.stream(inputs(walking_clip), config={"configurable": own})
    assert answer(events) in ACTIONS and custom(events)[0]["tools"] == []
    _, events = dev.stream(inputs(walking_clip), config={"configurable": {"frmes": 4}})
    assert refusal(events)[0] == "ValidationError"


def test_two_runs_at_once_both_finish(dev: Dev, walking_clip: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda start: dev.stream(inputs(walking_clip, start=start, end=start + 1)), (0, 5)))
    assert both[0][0] != both[1][0]
    assert all(answer(events) in ACTIONS for _, events in both)


def test_a_run_stops_at_a_breakpoint_resumes_and_is_replayed_from_any_step(dev: Dev, walking_clip: Path) -> None:
    thread, events = dev.stream(inputs(walking_clip), interrupt_before=["decompose"])
    state = dev.state(thread)
    assert answer(events) is None and state["next"] == ["decompose"]
    assert state["values"]["conversation"][-1]["additional_kwargs"]["video_star"]["request"] == "decompose"
    _, events = dev.stream(None, thread)
    first = answer(events)
    assert first in ACTIONS
    steps = dev.api.post(f"/threads/{thread}/history", json={"limit": 20}).raise_for_status().json()
    chosen = next(step for step in steps if step["next"] == ["score"])["checkpoint"]["checkpoint_id"]
    _, events = dev.stream(None, thread, checkpoint_id=chosen)
    assert [event["node"] for event in custom(events)] == ["score"] and answer(events) == first


def test_a_thread_whose_policy_is_unreachable_is_finished_by_another(dev: Dev, walking_clip: Path) -> None:
    pytest.importorskip("langchain_openai", reason="needs langchain-openai, of the extra [api]")
    thread, events = dev.stream(inputs(walking_clip), context={"policy": "openai:gpt-4.1"})
    kind, message = refusal(events)
    assert kind == "PolicyUnreachable" and "the policy failed in tool_select" in message
    _, events = dev.stream(None, thread)
    assert answer(events) in ACTIONS


def test_videos_outside_the_served_folder_are_never_read(
    dev: Dev, walking_clip: Path, tmp_path: Path, finished: Finished
) -> None:
    foreign = tmp_path / "foreign.mp4"
    shutil.copy(walking_clip, foreign)
    (dev.folder / "link.mp4").symlink_to(foreign)
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        refused = [
            "/etc/passwd",
            "/dev/zero",
            str(tmp_path / "missing.mp4"),
            f"file://{foreign}",
            f"../{'../' * 20}{str(foreign).lstrip('/')}",
            "link.mp4",
            f"http://127.0.0.1:{trap.getsockname()[1]}/clip.mp4",
            f"http://localhost:{trap.getsockname()[1]}/clip.mp4",
            "http://169.254.169.254/latest/meta-data/",
        ]
        for video in refused:
            _, events = dev.stream(inputs(video))
            assert refusal(events)[0] == "VideoNotAllowed", (video, events)
        with pytest.raises(BlockingIOError):
            trap.accept()
    shutil.copy(walking_clip, dev.folder / "clip.mp4")
    assert answer(dev.stream(inputs("clip.mp4"))[1]) == answer(finished.events)


def test_a_client_cannot_pretend_not_to_be_served(dev: Dev, walking_clip: Path) -> None:
    pretended = {"configurable": {"graph_id": None, "assistant_id": None, "langgraph_auth_user": None}}
    _, events = dev.stream(inputs("/etc/passwd"), config=pretended)
    assert refusal(events)[0] == "VideoNotAllowed"
    thread, _ = dev.stream(inputs(walking_clip), interrupt_before=["tool_exec"])
    dev.api.post(f"/threads/{thread}/state", json={"values": {"video": "/etc/passwd"}}).raise_for_status()
    assert dev.state(thread)["next"] == ["tool_exec"]
    assert refusal(dev.stream(None, thread)[1])[0] == "BadEdit"


def test_it_is_an_mcp_tool(dev: Dev, walking_clip: Path, finished: Finished) -> None:
    listed = dev.mcp("tools/list")["tools"]
    assert [tool["name"] for tool in listed] == ["video_star"] and listed[0]["description"]
    assert listed[0]["inputSchema"]["required"] == ["video", "actions"]
    called = dev.mcp("tools/call", name="video_star", arguments=inputs(walking_clip))
    assert not called.get("isError") and repr(answer(finished.events)) in called["content"][0]["text"]


def test_the_log_has_no_blocking_call_and_no_unregistered_type(dev: Dev, finished: Finished) -> None:
    log = dev.log.read_text(errors="replace")
    assert "BlockingError" not in log and "Deserializing unregistered type" not in log
