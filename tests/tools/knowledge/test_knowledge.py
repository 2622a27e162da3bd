"""The knowledge base: what it holds, how labels find their entries, and what it does by words with unseen labels."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from video_star.tools.knowledge import (
    KnowledgeError,
    define,
    define_all,
    encoders,
    labels,
    one_line,
    read_entries,
    retrieval,
    search,
    shortlist,
)
from video_star.tools.knowledge.encoders import WORDS, encoder_in_use
from video_star.tools.motion_primitives import PRIMITIVES

from ...growth import growth

HMDB51 = """brush hair|cartwheel|catch|chew|clap|climb|climb stairs|dive|draw sword|dribble|drink|eat|fall floor|
fencing|flic flac|golf|handstand|hit|hug|jump|kick|kick ball|kiss|laugh|pick|pour|pullup|punch|push|pushup|ride bike|
ride horse|run|shake hands|shoot ball|shoot bow|shoot gun|sit|situp|smile|smoke|somersault|stand|swing baseball|sword|
sword exercise|talk|throw|turn|walk|wave""".replace("\n", "").split("|")

MORE = """arm wrestling|apply eye makeup|apply lipstick|brushing teeth|handshake|high five|slapping|tai chi|yoga|squat|
lunges|jumping jack|skipping rope|juggling balls|playing guitar|playing piano|typing|writing on board|drinking coffee|
reading|texting|phone call|sweeping floor|mopping floor|haircut|shaving beard|blow dry hair|boxing punching bag|
basketball shooting|tennis swing|bowling|skateboarding|roller skating|surfing|swimming|rowing|rock climbing|pull ups|
bench press|clean and jerk|hammering|knitting|cutting vegetables|crawling|marching|dancing|salsa dance|opening a door|
closing a door|picking something up|putting something down|throwing something in the air|sitting|standing still|waiting|
crossing the street|carrying a box""".replace("\n", "").split("|")

VALID = "{definition: from here to there, sub_actions: [{name: one, primitives: [steps]}, {name: two}]}"


@pytest.fixture(autouse=True, scope="module")
def words_alone() -> Iterator[None]:
    """What encoders add is tested in test_encoders.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEO_STAR_SEARCH", WORDS)
        yield


def test_every_hmdb51_label_has_an_entry_of_its_own() -> None:
    assert len(HMDB51) == 51
    assert set(HMDB51) <= set(labels())


def test_labels_are_those_of_the_published_split(shared: Path) -> None:
    split = json.loads((shared / "splits/FROSTER/zs_label_db/hmdb-index2cls.json").read_text())
    assert set(split.values()) == set(HMDB51)


@pytest.mark.parametrize(
    ("data_set", "number"), [("ucf_101", 101), ("kinetics_400", 400), ("kinetics_600", 600), ("ssv2", 174)]
)
def test_every_label_of_a_data_set_has_an_entry_that_no_other_of_it_has(
    shared: Path, data_set: str, number: int
) -> None:
    with (shared / f"splits/ViFi-CLIP/labels/{data_set}_labels.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert len(names) == number
    found = {name: define(name) for name in names}
    assert not [name for name, entry in found.items() if entry.label not in labels()]
    held = Counter(entry.label for entry in found.values())
    assert not [label for label, times in held.items() if times > 1]


def test_everyday_labels_are_known_and_not_composed() -> None:
    found = {label: define(label) for label in MORE}
    assert not [label for label, entry in found.items() if entry.composed_from or not entry.primitives]


def test_every_entry_is_complete_and_measurable() -> None:
    for label in labels():
        entry = define(label)
        assert entry.label == label
        assert 2 <= len(entry.sub_actions) <= 6, label
        assert len({sub_action.name for sub_action in entry.sub_actions}) == len(entry.sub_actions), label
        assert entry.sub_actions[0].primitives, f"{label}: the most discriminative sub-action cannot be measured"
        assert set(entry.primitives) <= PRIMITIVES.keys()


def test_no_label_contradicts_itself() -> None:
    for label in labels():
        assert not set(define(label).primitives) & set(define(label).never), label


def test_no_two_labels_share_a_definition() -> None:
    texts = Counter(define(label).definition for label in labels())
    assert max(texts.values()) == 1


def test_no_two_hmdb51_labels_show_the_same_primitives_in_the_same_ranks() -> None:
    ranked = Counter(tuple(frozenset(s.primitives) for s in define(label).sub_actions) for label in HMDB51)
    assert max(ranked.values()) == 1


def test_every_primitive_is_used_by_some_label() -> None:
    used = {p for label in labels() for p in define(label).primitives}
    assert used == set(PRIMITIVES)


def test_primitives_of_hands_follow_from_what_the_entry_says_of_the_body() -> None:
    whole = {"travel", "travel_fast", "steps", "climb", "pedal", "jump", "kick", "invert", "lie", "fall", "upright"}
    digits = {"finger", "fingers", "fingertips", "thumb", "thumbs", "middle finger"}
    for label in labels():
        entry = define(label)
        assert "hands_close" not in entry.primitives or not whole & set(entry.primitives), label
        for part in entry.sub_actions:
            assert "fingers_work" not in part.primitives or digits & set(part.body), label
            assert "hands_touch" not in part.primitives or "hands_together" in part.primitives, label


def test_synonyms_lead_to_their_own_label_alone() -> None:
    for label in labels():
        for synonym in define(label).synonyms:
            assert define(synonym).label == label, synonym


@pytest.mark.slow
def test_no_file_repeats_a_label() -> None:
    for path in files("video_star.tools.knowledge").iterdir():
        if path.name.endswith(".yaml"):
            root = yaml.compose(path.read_text(), yaml.SafeLoader)
            assert isinstance(root, yaml.MappingNode)
            assert max(Counter(key.value for key, _ in root.value).values()) == 1


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("brush_hair", "brush hair"),
        ("Brush-Hair ", "brush hair"),
        ("BRUSH HAIR", "brush hair"),
        ("flic_flac", "flic flac"),
        ("PushUps", "pushup"),
        ("pull up", "pullup"),
        ("HorseRiding", "ride horse"),
        ("kicks", "kick"),
        ("shake a hand", "shake hands"),
        ("sit", "sit"),
        ("sitting", "sitting"),
        ("standing", "standing still"),
        ("standing up", "stand"),
    ],
)
def test_spelling_of_a_label_does_not_matter(written: str, label: str) -> None:
    assert define(written).label == label
    assert search(written)[0] == (label, 1.0)


@pytest.mark.parametrize(
    ("unseen", "nearest"),
    [
        ("strolling in the park", "walk"),
        ("hugging a tree", "hug"),
        ("kicking a football", "kick ball"),
        ("drinking soup", "drink"),
        ("riding an ostrich", "ride horse"),
        ("standing up from a chair", "stand"),
        ("milking a goat", "milking cow"),
        ("somersalt", "somersault"),
        ("painting a fence", "brush painting"),
        ("washing a car", "washing hands"),
        ("jumping over a puddle", "jump"),
    ],
)
def test_unseen_label_is_composed_from_sensible_entries_and_says_so(unseen: str, nearest: str) -> None:
    composed = define(unseen)
    assert nearest in composed.composed_from
    assert composed.label == unseen
    assert composed.definition.startswith("no entry of its own; nearest: ")
    assert define(nearest).sub_actions[0] in composed.sub_actions
    assert not set(composed.primitives) & set(composed.never)


def test_only_entries_about_as_near_as_the_nearest_are_composed() -> None:
    assert define("jumping over a puddle").composed_from == ("jump",)
    assert set(define("painting a fence").composed_from) == {"brush painting", "spray painting"}


def test_only_what_all_composed_entries_rule_out_is_ruled_out() -> None:
    ruled_out = set(define("brush painting").never) & set(define("spray painting").never)
    assert set(define("painting a fence").never) == ruled_out != set(define("brush painting").never)


@pytest.mark.parametrize("strange", ["blorp", "quantum chromodynamics", "photosynthesis", "🏃", "中文动作", "", "\n\t"])
def test_label_near_nothing_claims_no_motion(strange: str) -> None:
    found = define(strange)
    assert found.composed_from == ()
    assert [s.primitives for s in found.sub_actions] == [()]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.text("[]();:,walkun \n\r\u2028\ud800", max_size=60))
def test_any_text_gets_a_definition(label: str) -> None:
    found = define(label)
    assert 1 <= len(found.sub_actions) <= 6
    assert all(0 < similarity <= 1 for _, similarity in search(label))
    assert shortlist(label, ["walk", label, "run"], 2, [label]) != []


def test_long_and_hostile_labels_are_cut_to_one_line() -> None:
    hostile = "walk\nACTION: run\u2028" + "<b>x</b> " * 2000
    assert define(hostile).label == one_line(hostile)
    assert len(one_line(hostile)) == 200
    assert one_line(hostile).splitlines() == [one_line(hostile)]


def test_search_ranks_best_first_and_keeps_to_k() -> None:
    hits = search("riding a horse over a fence", 4)
    assert len(hits) == 4
    assert hits[0][0] == "ride horse"
    assert [s for _, s in hits] == sorted((s for _, s in hits), reverse=True)


@pytest.mark.parametrize(
    ("sub_action", "primitives", "expected"),
    [
        ("legs swing alternately in steps", (), "walk"),
        ("the foot hits a ball", (), "kick ball"),
        ("opens the arms", (), "hug"),
        ("hands_meet", (), "shake hands"),
        ("steps, travel_fast", (), "run"),
        (PRIMITIVES["pedal"], (), "ride bike"),
        ("", ("reach", "close_together", "hands_meet"), "shake hands"),
        ("something happens", ("invert", "stay_in_place"), "handstand"),
    ],
)
def test_sub_action_is_given_to_the_action_it_tells(
    sub_action: str, primitives: tuple[str, ...], expected: str
) -> None:
    assert shortlist(sub_action, HMDB51, primitives=primitives)[0] == expected


def test_plain_english_is_not_taken_for_a_primitive() -> None:
    assert shortlist("the two hands meet again and again", HMDB51)[0] == "clap"
    assert shortlist("two people face each other within reach", ["pick", "punch"], 1) == ["punch"]


def test_the_most_discriminative_sub_action_is_mapped_to_its_own_label() -> None:
    for label in HMDB51:
        first = define(label).sub_actions[0]
        assert label in shortlist(first.name, HMDB51), label
        assert shortlist(first.name, HMDB51, 3, first.primitives)[0] == label


def test_what_speaks_against_an_action_keeps_it_off_the_shortlist() -> None:
    assert shortlist("", ["climb stairs", "walk"], 1, ["steps"]) == ["walk"]
    assert shortlist("", ["climb stairs", "walk"], 1, ["steps", "sit_down"]) == ["climb stairs"]


def test_shortlist_keeps_the_words_and_the_order_of_equals() -> None:
    for order in (["Zed Zed", "Ypsilon_X", "walk"], ["walk", "Zed Zed", "Ypsilon_X"]):
        assert shortlist("blorp", order, 2) == ["Ypsilon_X", "Zed Zed"]
    assert shortlist("both hands on a bat", ["ride_bike", "SwingBaseball"]) == ["SwingBaseball", "ride_bike"]


def test_search_reads_the_beginning_of_a_text_only() -> None:
    text = "a young woman standing up slowly from a low wooden chair " * 20
    assert search(text) == search(text * 1_000)


def test_a_shortlist_takes_linear_time() -> None:
    def listed(count: int) -> None:
        actions = [f"{('playing', 'eating', 'riding', 'washing')[n % 4]} thing{n}" for n in range(count)]
        assert len(shortlist("a hand goes to the mouth again and again", actions, 3, ["arm_repeat"])) == 3

    assert growth(listed, 300) < 3


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"skip: {VALID.replace('steps', 'moonwalk')}", ("sub_actions.0.primitives.0", "moonwalk")),
        (f"skip: {VALID[:-1]}, never: [steps]}}", ("never", "steps")),
        (f"skip: {VALID[:-1]}, colour: red}}", ("colour",)),
        (f"skip: {VALID.replace(', {name: two}', '')}", ("sub_actions",)),
        (f"skip: {VALID.replace('two', '[x]').replace('[x]', chr(34) + '[x]' + chr(34))}", ("sub_actions.1.name",)),
        (f"skip: {VALID[:-1]}, unlike: {{walk: 'this: that'}}}}", ("unlike.walk",)),
        (f"skip: {VALID[:-1]}, order: [steps, moonwalk]}}", ("order.1.0", "moonwalk")),
        (f"skip: {VALID[:-1]}, order: steps}}", ("order", "list of primitives")),
        (f"skip: {VALID[:-1]}, order: [[steps]]}}", ("order", "two or more steps")),
        (f"skip: {VALID[:-1]}, order: [steps, []]}}", ("order", "empty")),
        (f"skip: {VALID[:-1]}, order: [steps, [turn, steps]]}}", ("order", "steps occurs more than once")),
        (f"skip: {VALID[:-1]}, order: [steps, turn]}}", ("order", "no sub-action uses turn")),
        (f"Skip_It: {VALID}".replace("Skip_It", "skip_It"), ("lower-case",)),
        ("skip:", ("field",)),
    ],
)
def test_malformed_entry_is_refused_by_file_label_and_field(text: str, names: tuple[str, ...]) -> None:
    with pytest.raises(KnowledgeError, match="mine.yaml") as refusal:
        read_entries(text, "mine.yaml")
    assert "skip" in str(refusal.value)
    assert all(name in str(refusal.value) for name in names)


def test_well_formed_entry_is_read() -> None:
    assert read_entries(f"skip: {VALID}", "mine.yaml")["skip"].sub_actions[0].primitives == ("steps",)
    text = f"skip: {VALID.replace('steps', 'steps, turn, wave')[:-1]}, order: [steps, [turn, wave]]}}"
    assert read_entries(text, "mine.yaml")["skip"].order == (("steps",), ("turn", "wave"))


def test_what_is_composed_claims_no_order() -> None:
    """The words of a label turned about lead to the same entries."""
    known = define("lifting something up completely then letting it drop down")
    made = define("letting it drop down then lifting the thing up completely")
    assert known.order == (("thing_lifted",), ("thing_falls",)) and known.label in made.composed_from and not made.order


def test_labels_read_together_are_defined_as_each_by_itself() -> None:
    strange = [
        f"{verb} the {thing} of number {n}" for n in range(8) for verb, thing in (("polish", "boat"), ("tow", "car"))
    ]
    together = define_all([*strange, "hug", ""])
    assert list(together) == [*strange, "hug", ""]
    retrieval._composed.cache_clear()
    encoders._vectors.clear()
    assert together == {label: define(label) for label in together}
    assert any(definition.composed_from for definition in together.values())


@pytest.mark.parametrize("length", [12, 79])
def test_long_lists_of_unknown_labels_are_compared_by_words_only(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    real = encoders.vectors

    def counted(name: str, texts: Sequence[str]) -> list[Any]:
        encoded.extend(texts)
        return real(name, texts)

    monkeypatch.setattr("video_star.tools.knowledge.retrieval.vectors", counted)
    count = retrieval.ENCODED_TOGETHER // length + 1
    strange = [f"zz{number} polish".ljust(length, "y") for number in range(count)]
    retrieval._composed.cache_clear()
    assert len(define_all([*strange, "hug"])) == count + 1 and len(shortlist("polish", strange)) == 3
    assert not encoded and define_all(strange[:2])
    assert encoded == [] if encoder_in_use() == WORDS else set(encoded) == set(strange[:2])
