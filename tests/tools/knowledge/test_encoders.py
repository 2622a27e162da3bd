"""Sentence encoders, and what search and definitions do with them and without."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from video_star.tools.errors import BadInput, BadWeights, MissingExtra
from video_star.tools.knowledge import define, encoders, meanings, search
from video_star.tools.knowledge.base import entries
from video_star.tools.knowledge.encoders import ENCODERS, MINILM, WORDLLAMA, WORDS, encoder, why_unavailable
from video_star.tools.knowledge.minilm import SHA256, MiniLM

pytestmark = pytest.mark.slow

STRANGE = ["photosynthesis", "quantum chromodynamics", "blorp", "gross domestic product", "🏃", "中文动作", "", "\n\t"]
HERE = [name for name in ENCODERS if not why_unavailable(name)]


@pytest.fixture(params=list(ENCODERS))
def name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if why := why_unavailable(name):
        pytest.skip(why)
    return name


@pytest.fixture
def in_use(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("VIDEO_STAR_SEARCH", name)
    yield name


def cosine(name: str, one: str, other: str) -> float:
    reader = encoder(name)
    assert reader is not None
    left, right = reader.embed([one, other])
    return float(left @ right)


def test_vectors_have_length_one_and_do_not_depend_on_their_batch(name: str) -> None:
    reader = encoder(name)
    assert reader is not None
    texts = ["milking a cow", "a person puts a cup on a table " * 40, "x", "milking a cow"]
    together = reader.embed(texts)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together, np.concatenate([reader.embed([text]) for text in texts]), atol=1e-5)


def test_what_means_the_same_lies_closer_than_what_shares_a_word(name: str) -> None:
    assert cosine(name, "a car", "an automobile") > cosine(name, "a car", "a card") + 0.05
    assert cosine(name, "crocheting a blanket", "knitting") > cosine(name, "crocheting a blanket", "making bed") + 0.05


@pytest.mark.parametrize(
    ("one", "other", "published"),
    [
        ("darkening eyelashes with a small brush", "inhaling from a lit tobacco stick", 0.16208),
        ("smoking a pipe on the porch", "waving to a departing train", 0.04058),
        ("playing pickleball", "playing lacrosse", 0.39688),
    ],
)
def test_minilm_agrees_with_transformers(one: str, other: str, published: float) -> None:
    """Cosines that transformers 5 and torch 2 give with the same weights."""
    if why := why_unavailable(MINILM):
        pytest.skip(why)
    assert cosine(MINILM, one, other) == pytest.approx(published, abs=1e-4)


def test_shipped_meanings_are_those_of_the_entries_as_they_are() -> None:
    shipped = meanings._shipped()
    stale = [entry.label for entry in entries().values() if meanings._digest(entry) not in shipped]
    assert stale == [], "run python -m video_star.tools.knowledge.meanings"
    assert len(shipped) == len(entries())


def test_shipped_meanings_are_what_the_encoder_makes_of_the_entries() -> None:
    if why := why_unavailable(MINILM):
        pytest.skip(why)
    reader = encoder(MINILM)
    assert reader is not None
    some = list(entries().values())[::220]
    shipped = meanings._shipped()
    assert np.abs(meanings._compute(reader, some) - np.stack([shipped[meanings._digest(e)] for e in some])).max() < 2e-3


def test_search_by_meaning_finds_what_shares_no_word(name: str) -> None:
    query = "opponents in white suits and masks lunging with thin blades"
    assert "fencing" in [label for label, _ in search(query, 3, name)]
    assert "fencing" not in [label for label, _ in search(query, 3, WORDS)]


def test_label_and_synonym_stay_on_top(name: str) -> None:
    for text, label in (("kissing", "kiss"), ("ApplyEyeMakeup", "apply eye makeup"), ("sitting", "sitting")):
        assert search(text, 1, name) == [(label, 1.0)]


@pytest.mark.parametrize("strange", STRANGE)
def test_what_is_near_nothing_gets_no_motion(in_use: str, strange: str) -> None:
    found = define(strange)
    assert found.composed_from == ()
    assert [part.primitives for part in found.sub_actions] == [()]


@pytest.mark.parametrize(
    ("unseen", "nearest"),
    [("painting a fence", "brush painting"), ("driving a bus", "driving car"), ("eating a taco", "eat")],
)
def test_unseen_label_is_composed_by_meaning_and_says_so(in_use: str, unseen: str, nearest: str) -> None:
    composed = define(unseen)
    assert nearest in composed.composed_from
    assert composed.definition.startswith("no entry of its own; nearest: ")
    assert define(nearest).sub_actions[0] in composed.sub_actions


def test_threads_and_repetitions_find_the_same(name: str) -> None:
    queries = [
        f"{verb} a {thing}" for verb in ("lifting", "petting", "frying") for thing in ("llama", "kettle", "drum")
    ]
    alone = [search(query, 5, name) for query in queries]
    meanings._meanings.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: search(query, 5, name), queries * 4)) == alone * 4


def test_search_by_meaning_encodes_the_beginning_of_a_text_only(name: str) -> None:
    text = "a young woman standing up from a low wooden chair in kitchen " * 20
    assert search(text, 3, name) == search(text * 1_000, 3, name)


def test_nothing_is_loaded_for_labels_that_are_known() -> None:
    code = (
        "import sys; from video_star.tools.knowledge import define, encoders, meanings; define('kissing'); "
        "assert not encoders._loaded.cache_info().currsize and not meanings._meanings.cache_info().currsize; "
        "assert not {'tokenizers', 'safetensors', 'torch', 'wordllama'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_words_alone_where_no_encoder_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIDEO_STAR_HOME", str(tmp_path))
    monkeypatch.setattr(encoders, "_folder", lambda package: None)
    monkeypatch.delenv("VIDEO_STAR_SEARCH", raising=False)
    encoders._loaded.cache_clear()
    encoders._in_use.cache_clear()
    try:
        assert encoders.encoder_in_use() == WORDS
        assert search("strolling in the park") == search("strolling in the park", by=WORDS)
        assert "walk" in define("strolling in the park").composed_from
        assert "pip install" in why_unavailable(MINILM) and "pip install" in why_unavailable(WORDLLAMA)
        with pytest.raises(MissingExtra, match="pip install"):
            search("strolling", by=WORDLLAMA)
    finally:
        encoders._loaded.cache_clear()
        encoders._in_use.cache_clear()


def test_weights_that_are_not_the_published_ones_are_refused(tmp_path: Path) -> None:
    for file in SHA256:
        (tmp_path / file).write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(BadWeights, match="model.safetensors"):
        MiniLM(tmp_path)


def test_an_encoder_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=WORDLLAMA):
        search("strolling", by="word2vec")


def test_the_best_encoder_here_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.environ.get("VIDEO_STAR_SEARCH"):
        assert encoders.encoder_in_use() == (HERE or [WORDS])[0]
    monkeypatch.setenv("VIDEO_STAR_SEARCH", WORDS)
    assert encoders.encoder_in_use() == WORDS
