"""A real, tiny Qwen2.5-VL in this process as policy, token-level, without re-tokenisation."""

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

from video_star.graph import build_graph  # noqa: E402
from video_star.graph.messages import as_sent  # noqa: E402
from video_star.graph.policies.local import Loaded, TransformersPolicy, load  # noqa: E402
from video_star.graph.policies.registry import resolve_policy  # noqa: E402
from video_star.graph.policies.token_policy import VISION_TOKENS, to_template  # noqa: E402
from video_star.graph.prompts import requested  # noqa: E402
from video_star.graph.records.content import image_urls  # noqa: E402
from video_star.graph.records.token_track import TOKEN_TRACK, sequences, tracks  # noqa: E402
from video_star.graph.run import run_record  # noqa: E402
from video_star.tools.errors import ToolCancelled  # noqa: E402
from video_star.tools.execution.cancellation import cancelled_when  # noqa: E402
from video_star.tools.execution.media_store import default_store  # noqa: E402

from ... import tiny_qwen as tiny  # noqa: E402

pytestmark = pytest.mark.slow

ACTIONS = ["walk", "run", "hug"]


def call(name: str, **args: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': args})}\n</tool_call>"


SAID = {
    "choose": f"Who  is there?\n{call('detect_people', end=0.5)}",
    "decompose": call("decompose", sub_actions=[{"name": "legs swing", "candidates": ["walk", "run"]}]),
    "score": '<think>steps</think>\n<scores>{"1": {"walk": 8, "run": 3}}</scores>\n<answer>walk</answer>',
}


def as_asked(messages: Sequence[BaseMessage]) -> str:
    return SAID[requested(messages)]


def picture(seed: int = 0) -> dict[str, Any]:
    image = np.random.default_rng(seed).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    return {"type": "image", "url": default_store().put_image(image)}


def asking(text: str, pictures: int = 1, seed: int = 0) -> list[BaseMessage]:
    blocks: list[Any] = [{"type": "text", "text": text}, *(picture(seed + k) for k in range(pictures))]
    return as_sent([SystemMessage("You look."), HumanMessage(blocks)], default_store())


def track(message: AIMessage) -> dict[str, Any]:
    recorded: dict[str, Any] = message.response_metadata[TOKEN_TRACK]
    return recorded


@pytest.fixture
def loaded(tiny_qwen: Path) -> Loaded:
    return load(str(tiny_qwen))


@pytest.fixture
def model(loaded: Loaded) -> Any:
    return loaded.engine._model


async def record_of(tiny_qwen: Path, clip: Path, structured: str = "auto", **options: Any) -> dict[str, Any]:
    star = build_graph(policy=TransformersPolicy(path=str(tiny_qwen), **options)).compile()
    return await run_record(clip, ACTIONS, end=1, frames=4, graph=star, structured=structured)


async def test_a_run_is_one_sequence(tiny_qwen: Path, loaded: Loaded, walking_clip: Path) -> None:
    record = await record_of(tiny_qwen, walking_clip, forced=as_asked)
    assert record["recognition"]["status"] == "ok" and record["recognition"]["action"] == "walk"
    assert record["tokens"] == {"turns": 3, "forks": 0}
    found = tracks(record["messages"], default_store())
    for turn, step in zip(found, ("choose", "decompose", "score"), strict=True):
        assert loaded.tokenizer.decode(turn.completion_ids) == SAID[step] + "<|im_end|>"
        assert len(turn.logprobs) == len(turn.completion_ids) and max(turn.logprobs) < 0


async def test_the_sequence_is_what_the_template_renders(tiny_qwen: Path, loaded: Loaded, walking_clip: Path) -> None:
    from video_star.graph.policies.chat_template import to_chat

    record = await record_of(tiny_qwen, walking_clip, forced=as_asked)
    (sequence,) = sequences(tracks(record["messages"], default_store()))
    text = loaded.tokenizer.apply_chat_template(to_chat(record["messages"]), tools=record["tools"], tokenize=False)
    read = loaded.tokenizer.decode(sequence.ids)
    pad = "<|image_pad|>"
    while pad * 2 in read:
        read = read.replace(pad * 2, pad)
    assert read + "\n" == text.replace("Who is there?", "Who  is there?")


async def test_log_probabilities_are_those_of_the_model(
    tiny_qwen: Path, loaded: Loaded, model: Any, walking_clip: Path
) -> None:
    reply = await TransformersPolicy(path=str(tiny_qwen), forced=lambda _: "It is a walk.").ainvoke(asking("What?", 2))
    recorded = track(reply)
    ids = torch.tensor([recorded["prompt_ids"] + recorded["completion_ids"]])
    pixels, grid = loaded.pixels(to_template(asking("What?", 2))[1])
    with torch.no_grad():
        logits = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == loaded.tokenizer.convert_tokens_to_ids("<|image_pad|>")).int(),
            pixel_values=pixels,
            image_grid_thw=grid,
        ).logits[0]
    barred = loaded.tokenizer.convert_tokens_to_ids(list(VISION_TOKENS))
    logits[:, barred] = float("-inf")
    expected = torch.log_softmax(logits.float(), -1)[len(recorded["prompt_ids"]) - 1 : -1]
    values = expected.gather(1, torch.tensor(recorded["completion_ids"])[:, None])[:, 0]
    assert torch.allclose(values, torch.tensor(recorded["logprobs"]), atol=2e-3)


async def test_there_is_one_pad_per_feature_and_none_is_sampled(tiny_qwen: Path, loaded: Loaded) -> None:
    policy = TransformersPolicy(path=str(tiny_qwen), temperature=1.0, max_new_tokens=60)
    recorded = track(await policy.ainvoke(asking("What?", 3)))
    pad = loaded.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    _, grid = loaded.pixels(to_template(asking("What?", 3))[1])
    assert grid is not None
    assert recorded["prompt_ids"].count(pad) == int((grid.prod(1) // 4).sum())
    barred = set(loaded.tokenizer.convert_tokens_to_ids(list(VISION_TOKENS)))
    assert len(recorded["completion_ids"]) > 1 and not barred & set(recorded["completion_ids"])


async def test_concurrent_runs_share_a_batch_and_get_the_same_tokens_as_alone(tiny_qwen: Path, loaded: Loaded) -> None:
    policy = TransformersPolicy(path=str(tiny_qwen), max_new_tokens=12)
    asked = [asking("What is it?" * (1 + k), pictures=k % 3, seed=k) for k in range(6)]
    alone = [track(await policy.ainvoke(messages)) for messages in asked]
    before = len(loaded.engine.batches)
    together = [track(reply) for reply in await asyncio.gather(*(policy.ainvoke(messages) for messages in asked))]
    assert max(loaded.engine.batches[before:]) >= 3
    for one, other in zip(alone, together, strict=True):
        assert one["prompt_ids"] == other["prompt_ids"]
        assert one["completion_ids"] == other["completion_ids"]
        assert other["logprobs"] == pytest.approx(one["logprobs"], abs=5e-3)


async def test_concurrent_runs_load_the_model_once(tiny_qwen: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.symlink_to(tiny_qwen)
    policies = [TransformersPolicy(path=str(again), max_new_tokens=2) for _ in range(6)]
    replies = await asyncio.gather(*(policy.ainvoke(asking("What?")) for policy in policies))
    assert len({tuple(track(reply)["completion_ids"]) for reply in replies}) == 1


async def test_random_output_fails_with_a_typed_error_and_never_forks(tiny_qwen: Path, walking_clip: Path) -> None:
    record = await record_of(tiny_qwen, walking_clip, temperature=1.0, max_new_tokens=24, structured="never")
    assert record["recognition"]["status"] in ("failed", "degraded")
    assert record["tokens"]["turns"] >= 3 and record["tokens"]["forks"] == 0


async def test_a_truncated_turn_can_be_continued(tiny_qwen: Path, loaded: Loaded) -> None:
    policy = TransformersPolicy(path=str(tiny_qwen), max_new_tokens=3, forced=lambda _: "one two three four five six")
    messages = asking("Count.")
    reply = await policy.ainvoke(messages)
    assert len(track(reply)["completion_ids"]) == 3
    again = track(await policy.ainvoke([*messages, reply, HumanMessage("Go on.")]))
    added = loaded.tokenizer.decode(again["prompt_ids"][len(track(reply)["prompt_ids"]) + 3 :])
    assert added == "<|im_end|>\n<|im_start|>user\nGo on.<|im_end|>\n<|im_start|>assistant\n"


async def test_an_error_of_the_model_reaches_every_run_of_its_batch(tiny_qwen: Path, loaded: Loaded) -> None:
    from video_star.graph.policies.local_sampling import Request

    futures = [loaded.engine.submit(Request((-1,), None, None, 0.0, 4)) for _ in range(2)]
    for future in futures:
        with pytest.raises((IndexError, RuntimeError)):
            await asyncio.wrap_future(future)
    assert track(await TransformersPolicy(path=str(tiny_qwen), max_new_tokens=2).ainvoke(asking("Still there?")))


@pytest.mark.parametrize("sync", [False, True])
async def test_a_turn_that_is_given_up_stops_within_the_forward_pass(
    tiny_qwen: Path, loaded: Loaded, model: Any, sync: bool
) -> None:
    begun, go, given_up, finished = threading.Event(), threading.Event(), threading.Event(), list[int]()

    def wait(*_: Any) -> None:
        begun.set()
        assert go.wait(60)

    layers = [module for module in model.modules() if type(module).__name__.endswith("DecoderLayer")]
    hooks = [
        layers[0].register_forward_pre_hook(wait),
        layers[-1].register_forward_hook(lambda *_: finished.append(1)),
    ]
    policy = TransformersPolicy(path=str(tiny_qwen), max_new_tokens=4)

    def ask() -> Any:
        with cancelled_when(given_up.is_set):
            return policy.invoke(asking("What?"))

    asked = asyncio.ensure_future(asyncio.to_thread(ask) if sync else policy.ainvoke(asking("What?")))
    try:
        assert await asyncio.to_thread(begun.wait, 60)
        given_up.set()
        if not sync:
            asked.cancel()
        with pytest.raises(ToolCancelled if sync else asyncio.CancelledError):
            await asked
    finally:
        go.set()
        for hook in hooks[:1]:
            hook.remove()
    assert (await policy.ainvoke(asking("What?"))).response_metadata[TOKEN_TRACK] and len(finished) <= 4
    hooks[1].remove()


async def test_a_streamed_turn_equals_one_that_is_not_streamed(tiny_qwen: Path, walking_clip: Path) -> None:
    policy = TransformersPolicy(path=str(tiny_qwen), forced=as_asked)
    star = build_graph(policy=policy).compile()
    asked: Any = {"video": str(walking_clip), "actions": ACTIONS, "end": 1.0}
    shown: dict[str, str] = {}
    part: Any
    async for part in star.astream(asked, stream_mode="messages"):
        chunk, about = part
        if isinstance(chunk, AIMessageChunk) and chunk.content:
            shown[about["langgraph_node"]] = shown.get(about["langgraph_node"], "") + "|" + str(chunk.content)
    assert shown["tool_select"].count("|") > 3 and shown["score"].count("|") > 10
    assert shown["tool_select"].replace("|", "") == "Who  is there?" and "decompose" not in shown
    assert shown["score"].replace("|", "") == SAID["score"]


async def test_a_streamed_turn_has_calls_tokens_and_usage(tiny_qwen: Path) -> None:
    written = f"Ein 走る 🏃\n{call('detect_people', end=0.5)}"
    policy = TransformersPolicy(path=str(tiny_qwen), forced=lambda _: written)
    chunks = [chunk async for chunk in policy.astream(asking("Wer?"))]
    whole = sum(chunks[1:], chunks[0])
    alone = await policy.ainvoke(asking("Wer?"))
    assert isinstance(whole, AIMessageChunk) and len(chunks) > 3
    assert whole.text == alone.text == "Ein 走る 🏃"
    assert [(made["name"], made["args"]) for made in whole.tool_calls] == [("detect_people", {"end": 0.5})]
    assert track(whole)["completion_ids"] == track(alone)["completion_ids"]
    assert whole.usage_metadata == alone.usage_metadata


async def test_each_image_is_processed_once_per_run(
    tiny_qwen: Path, loaded: Loaded, walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, seen = loaded.images._process, []

    class Counting:
        merge_size = process.merge_size

        def __call__(self, images: list[Any], **options: Any) -> Any:
            seen.extend(images)
            return process(images=images, **options)

    monkeypatch.setattr(loaded.images, "_process", Counting())
    monkeypatch.setattr(loaded.images, "_cached", type(loaded.images._cached)())
    record = await record_of(tiny_qwen, walking_clip, forced=as_asked)
    assert len(seen) == len(set(image_urls(record["messages"]))) > 4


async def test_a_run_resumes_from_the_ids_in_the_store(tiny_qwen: Path, walking_clip: Path) -> None:
    """As in a new process, which has only the thread and the store."""
    policy = TransformersPolicy(path=str(tiny_qwen), max_new_tokens=8)
    first = await policy.ainvoke(asking("What?"))
    recorded = first.response_metadata.pop(TOKEN_TRACK)
    first.additional_kwargs["video_star"] = {"tokens": default_store().put_json(recorded)}
    again = AIMessage.model_validate_json(first.model_dump_json())
    read = track(await policy.ainvoke([*asking("What?"), again, HumanMessage("Go on.")]))["prompt_ids"]
    assert read[: len(recorded["prompt_ids"]) + 8] == [*recorded["prompt_ids"], *recorded["completion_ids"]]


async def test_ids_of_another_vocabulary_are_not_used(tiny_qwen: Path) -> None:
    """As in a thread begun by another model: its turns are read as text, and the run forks."""
    policy = TransformersPolicy(path=str(tiny_qwen), max_new_tokens=4, forced=lambda _: "Walking.")
    first = await policy.ainvoke(asking("What?"))
    foreign = track(first) | {"completion_ids": [5, 6, 7], "vocabulary": "another"}
    first.response_metadata[TOKEN_TRACK] = foreign
    read = track(await policy.ainvoke([*asking("What?"), first, HumanMessage("Go on.")]))["prompt_ids"]
    text = policy._load().tokenizer.decode(read)
    assert "assistant\nWalking.<|im_end|>" in text and read[len(foreign["prompt_ids"]) :][:3] != [5, 6, 7]


async def test_qwen3_vl_uses_its_own_template(tmp_path_factory: pytest.TempPathFactory, walking_clip: Path) -> None:
    pytest.importorskip("trl", reason="its copy of the template is used")
    path = tiny.save_qwen3_vl(tmp_path_factory.mktemp("qwen3_vl"))
    record = await record_of(path, walking_clip, forced=as_asked)
    assert record["recognition"]["status"] == "ok" and record["tokens"] == {"turns": 3, "forks": 0}
    (sequence,) = sequences(tracks(record["messages"], default_store()))
    text = load(str(path)).tokenizer.decode(sequence.ids)
    assert "# Tools" in text and "You are a helpful assistant" not in text


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
async def test_quantised_weights(tiny_qwen: Path, bits: str) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra [quantized]")
    policy = resolve_policy(f"transformers:{tiny_qwen}?quantize={bits}&max_tokens=3")
    reply = await policy.ainvoke(asking("What?"))
    assert len(track(reply)["completion_ids"]) == 3
    kinds = {type(part).__name__ for part in policy.model._load().engine._model.modules()}  # type: ignore[attr-defined]
    assert kinds & {"Linear4bit", "Linear8bitLt"}
