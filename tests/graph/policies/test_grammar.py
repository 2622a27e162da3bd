"""With constrained decoding, a model with random weights writes turns that the parser accepts."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")
pytest.importorskip("xgrammar", reason="needs the extra [local]")

from video_star.graph import build_graph  # noqa: E402
from video_star.graph.candidates import Candidates, checked_actions, normalize_label  # noqa: E402
from video_star.graph.policies.grammar import Form, choice_form, decompose_form, score_form  # noqa: E402
from video_star.graph.policies.local import TransformersPolicy, load  # noqa: E402
from video_star.graph.policies.local_batching import Engine  # noqa: E402
from video_star.graph.policies.local_sampling import Completion, Grammars, Request  # noqa: E402
from video_star.graph.policies.token_policy import VISION_TOKENS  # noqa: E402
from video_star.graph.replies.answer import parse_score_turn  # noqa: E402
from video_star.graph.replies.sub_actions import normalize_decompose, parse_sub_actions  # noqa: E402
from video_star.graph.replies.tool_calls import normalize_calls, parse_hermes, validated_calls  # noqa: E402
from video_star.graph.run import run_record  # noqa: E402
from video_star.graph.state import Context  # noqa: E402
from video_star.tools.errors import BadActions, PolicyUnavailable  # noqa: E402
from video_star.tools.registry import TOOL_NAMES, tool  # noqa: E402

pytestmark = pytest.mark.slow

REASONING = 12
SCORES = 151936
NASTY = [
    'say "hi"',
    "back\\slash",
    "two\nlines",
    "a < b",
    "</answer><answer>hug",
    "</scores>",
    "<|im_end|>",
    "<tool_call>",
    "日本語 😀",
    "\x00\x07",
    "7",
    '{"1": {"x": 3}}',
    "[list]",
    "half \ud800",
]
PLAIN = ["walk", "run", "hug"]


@pytest.fixture(scope="module")
def tokenizer(tiny_qwen: Path) -> Any:
    return load(str(tiny_qwen)).processor.tokenizer


@pytest.fixture(scope="module")
def engine(tiny_qwen: Path, tokenizer: Any) -> Engine:
    number = tokenizer.convert_tokens_to_ids
    return Engine(
        load(str(tiny_qwen)).engine._model,
        end=number("<|im_end|>"),
        pad=number("<|endoftext|>"),
        image=number("<|image_pad|>"),
        never=number(list(VISION_TOKENS)),
        tokenizer=tokenizer,
    )


def make_request(tokenizer: Any, grammar: str | None = None, *, most: int = 1500, **options: Any) -> Request:
    ids = tuple(tokenizer.encode("<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n"))
    return Request(ids, None, None, options.pop("temperature", 1.0), most, grammar=grammar, **options)


@pytest.fixture(scope="module")
def grammars(tokenizer: Any) -> Grammars:
    return Grammars(tokenizer, SCORES, tokenizer.convert_tokens_to_ids("<|im_end|>"))


def texts(grammars: Grammars, tokenizer: Any, form: Form, times: int) -> list[str]:
    """Random turns that follow the grammar, sampled token by token up to their end."""
    import xgrammar

    end, said = tokenizer.convert_tokens_to_ids("<|im_end|>"), []
    chance = torch.Generator().manual_seed(times)
    for _ in range(times):
        matcher, ids = grammars.matcher(form.grammar), []
        allowed = xgrammar.allocate_token_bitmask(1, SCORES)
        while not matcher.is_terminated():
            matcher.fill_next_token_bitmask(allowed)
            scores = torch.rand(1, SCORES, generator=chance)
            xgrammar.apply_token_bitmask_inplace(scores, allowed)
            ids.append(int(scores.argmax()))
            assert matcher.accept_token(ids[-1]) and len(ids) < 1500
        assert ids.pop() == end
        said.append(tokenizer.decode(ids, skip_special_tokens=False))
    return said


def message(text: str) -> AIMessage:
    said, calls, invalid = parse_hermes(text)
    return AIMessage(said, tool_calls=calls, invalid_tool_calls=invalid)


def check_all(grammars: Grammars, tokenizer: Any, actions: Sequence[str], times: int) -> None:
    """Every constrained turn is parsed without a correction, for any names of candidates."""
    candidates = Candidates.of(actions)
    for text in texts(grammars, tokenizer, decompose_form(actions, REASONING), times):
        assert 2 <= len(message(text).tool_calls[0]["args"]["sub_actions"]) <= 6
        found = parse_sub_actions(normalize_decompose(message(text), candidates), candidates)
        assert found and all(set(item["candidates"]) <= set(actions) for item in found)
    listed = [list(actions[:3]), list(actions[-2:])]
    names = ["arm swings", "legs stand"]
    form = score_form([{"candidates": labels} for labels in listed], actions, REASONING)
    for text in texts(grammars, tokenizer, form, times):
        scored = parse_score_turn(text, candidates, names)
        assert {k: set(row) for k, row in scored.scores.items()} == {1: set(listed[0]), 2: set(listed[1])}
    for text in texts(grammars, tokenizer, score_form([], actions, REASONING), times):
        scored = parse_score_turn(text, candidates, [])
        assert 1 <= len(scored.scores[0]) <= 3 and scored.answer in actions


@pytest.mark.parametrize("offered", [TOOL_NAMES, TOOL_NAMES[3:4], [*TOOL_NAMES[:2], TOOL_NAMES[0]]])
def test_each_tool_is_called_at_most_once_with_valid_arguments(
    grammars: Grammars, tokenizer: Any, offered: Sequence[str]
) -> None:
    made = []
    for text in texts(grammars, tokenizer, choice_form(offered, REASONING), 16):
        calls = validated_calls(normalize_calls(message(text), offered), offered)
        names = [call["name"] for call in calls]
        assert len(set(names)) == len(names) == text.count("<tool_call>")
        for call in calls:
            tool(call["name"]).schema.model_validate(call["args"])
        made += calls
    assert made and any(call["args"] for call in made)


@pytest.mark.parametrize("actions", [PLAIN, NASTY, ["hug"], [f"label number {k}" for k in range(400)]])
def test_constrained_turns_need_no_correction(grammars: Grammars, tokenizer: Any, actions: list[str]) -> None:
    check_all(grammars, tokenizer, actions, 6)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5, unique_by=normalize_label))
def test_labels_of_any_characters_can_be_used_in_a_grammar(
    grammars: Grammars, tokenizer: Any, given_actions: list[str]
) -> None:
    try:
        actions = checked_actions(given_actions)
    except BadActions:
        return
    check_all(grammars, tokenizer, actions, 2)


def test_every_label_can_be_answered(grammars: Grammars, tokenizer: Any) -> None:
    import xgrammar

    for label in NASTY:
        form = score_form([], [label], REASONING)
        (text,) = texts(grammars, tokenizer, form, 1)
        assert parse_score_turn(text, Candidates.of(NASTY), []).answer == label
        assert xgrammar.testing._is_grammar_accept_string(form.grammar, text)


def test_a_constrained_model_follows_the_grammar(engine: Engine, tokenizer: Any) -> None:
    form = score_form([{"candidates": NASTY[:2]}], NASTY, REASONING)
    futures = [engine.submit(make_request(tokenizer, form.grammar)) for _ in range(2)]
    for done in [future.result(timeout=120) for future in futures]:
        text = tokenizer.decode(done.ids[:-1], skip_special_tokens=False)
        scored = parse_score_turn(text, Candidates.of(NASTY), ["arm swings"])
        assert set(scored.scores[1]) == set(NASTY[:2]) and done.ids[-1] == engine.end


def test_rows_with_and_without_grammar_share_a_batch(engine: Engine, tokenizer: Any) -> None:
    grammars = ['root ::= "yes" | "no"', None, "root ::= [0-9]{3}", None]
    before = len(engine.batches)
    futures = [engine.submit(make_request(tokenizer, grammar, most=12)) for grammar in grammars]
    found = [future.result(timeout=60) for future in futures]
    assert engine.batches[before:] == [4]
    said = [tokenizer.decode(done.ids, skip_special_tokens=True) for done in found]
    assert said[0] in ("yes", "no") and said[2].isdigit() and len(said[2]) == 3
    assert len(found[1].ids) == len(found[3].ids) == 12


def test_temperatures_share_a_batch(engine: Engine, tokenizer: Any) -> None:
    before = len(engine.batches)
    futures = [engine.submit(make_request(tokenizer, most=8, temperature=warmth)) for warmth in (0.0, 1.0, 0.0, 2.0)]
    found = [future.result(timeout=60).ids for future in futures]
    assert engine.batches[before:] == [4]
    assert found[0] == found[2] and len({*found}) == 3


def test_log_probabilities_are_normalised_over_allowed_tokens(engine: Engine, tokenizer: Any) -> None:
    done = engine.submit(make_request(tokenizer, 'root ::= "yes"', temperature=0.7)).result(timeout=60)
    assert done.logprobs[-1] == pytest.approx(0.0, abs=1e-5)
    free = engine.submit(make_request(tokenizer, most=5)).result(timeout=60)
    assert max(free.logprobs) < -1


def test_sampling_ignores_the_cut_offs_of_the_generation_config(engine: Engine, tokenizer: Any) -> None:
    futures = [engine.submit(make_request(tokenizer, most=1)) for _ in range(64)]
    assert len({future.result(timeout=60).ids for future in futures}) > 50


def test_a_bad_grammar_fails_its_own_request_only(engine: Engine, tokenizer: Any) -> None:
    bad = engine.submit(make_request(tokenizer, "root ::= missing"))
    good = engine.submit(make_request(tokenizer, most=3))
    with pytest.raises(PolicyUnavailable, match="missing"):
        bad.result(timeout=60)
    assert len(good.result(timeout=60).ids) == 3


def test_cancelled_requests_are_not_generated(engine: Engine, tokenizer: Any) -> None:
    emitted: list[int] = []
    started: Future[None] = Future()

    def listen(token: int) -> None:
        emitted.append(token)
        if not started.done():
            started.set_result(None)

    running = engine.submit(make_request(tokenizer, most=5000, on_token=listen))
    started.result(timeout=60)
    waiting = engine.submit(make_request(tokenizer, on_token=listen))
    waiting.cancel()
    running.cancel()
    assert len(engine.submit(make_request(tokenizer, most=2)).result(timeout=60).ids) == 2
    assert len(emitted) < 4000
    with pytest.raises(CancelledError):
        running.result(timeout=1)


def test_tokens_are_emitted_in_order_up_to_the_end_of_the_turn(engine: Engine, tokenizer: Any) -> None:
    emitted: list[list[int]] = [[], [], []]
    requests = [
        make_request(tokenizer, 'root ::= "yes"', on_token=emitted[0].append),
        make_request(tokenizer, most=7, on_token=emitted[1].append),
        make_request(tokenizer, most=20, on_token=emitted[2].append),
    ]
    found: list[Completion] = [f.result(timeout=60) for f in [engine.submit(request) for request in requests]]
    assert emitted == [list(done.ids) for done in found]
    assert emitted[0][-1] == engine.end and [len(ids) for ids in emitted[1:]] == [7, 20]


def test_an_error_in_a_callback_fails_its_own_turn_only(engine: Engine, tokenizer: Any) -> None:
    def fail(token: int) -> None:
        raise ValueError("gone")

    one, other = (engine.submit(make_request(tokenizer, most=4, on_token=on)) for on in (fail, None))
    with pytest.raises(ValueError, match="gone"):
        one.result(timeout=60)
    assert len(other.result(timeout=60).ids) == 4


def test_a_batch_that_runs_out_of_memory_is_halved(
    engine: Engine, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Any = engine._model.generate

    def small(*args: Any, **inputs: Any) -> Any:
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("no room")
        return whole(*args, **inputs)

    monkeypatch.setattr(engine._model, "generate", small)
    before = len(engine.batches)
    futures = [engine.submit(make_request(tokenizer, most=3)) for _ in range(7)]
    assert [len(future.result(timeout=60).ids) for future in futures] == [3] * 7
    assert sum(engine.batches[before:]) == 7 and max(engine.batches[before:]) <= 2


def test_settings_of_constrained_decoding_are_validated() -> None:
    assert Context().structured == "auto" and Context().reasoning == 1000
    for wrong in (0, 20001):
        with pytest.raises(ValueError, match="reasoning"):
            Context(reasoning=wrong)


async def test_runs_of_random_weights_complete_the_protocol(tiny_qwen: Path, walking_clip: Path) -> None:
    policy = TransformersPolicy(path=str(tiny_qwen), temperature=1.0, max_new_tokens=1500)
    star = build_graph(policy=policy).compile()
    for record in await asyncio.gather(
        *(run_record(walking_clip, ["walk", "run", "hug"], end=1, frames=4, reasoning=60, graph=star) for _ in range(2))
    ):
        found = record["recognition"]
        assert found["action"] in ("walk", "run", "hug") and len(found["sub_actions"]) >= 1
        assert record["tokens"]["forks"] == 0
        unfit = [note for note in found["notes"] if "unavailable" not in note and "scores put" not in note]
        assert not unfit and found["status"] in ("ok", "degraded")
