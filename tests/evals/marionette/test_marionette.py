"""Marionette: clips agree with their annotations, splits are disjoint, and generation is reproducible."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from pathlib import Path
from time import monotonic, sleep

import av
import numpy as np
import pytest

from video_star.evals.marionette import ACTIONS, Film, film, oracle
from video_star.evals.marionette.actions import choreograph
from video_star.evals.marionette.annotations import Annotations
from video_star.evals.marionette.body import Body
from video_star.evals.marionette.dataset import SMALLEST, items, make, write
from video_star.evals.marionette.skeleton import SIDES
from video_star.evals.splits import read_split
from video_star.evals.suites.marionette import split
from video_star.tools.errors import BadInput
from video_star.tools.video.reader import probe, read_frames

from ...console import SCRIPT

pytestmark = pytest.mark.slow

BASE = [label for label, action in ACTIONS.items() if action.split == "base"]
NOVEL = [label for label, action in ACTIONS.items() if action.split == "novel"]
SAMPLE = ["walk forwards", "hug", "sit down", "pick up the box", "climb the ladder", "swing the bat"]


@pytest.fixture(scope="module")
def films() -> list[Film]:
    """Clips of some actions, every other one hard."""
    return [film(label, 5, hard=bool(k % 2)) for k, label in enumerate(SAMPLE)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of five clips, written by one process."""
    folder = tmp_path_factory.mktemp("marionette") / "set"
    make(folder, 5, seed=3, workers=1)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for a condition; a generous limit ends a test that would wait forever."""
    limit = monotonic() + 120
    while not happened():
        assert monotonic() < limit
        sleep(0.05)


def children(parent: int) -> list[str]:
    """Process ids of the children of a process."""
    return Path(f"/proc/{parent}/task/{parent}/children").read_text().split()


def ended(process: str) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def test_there_are_32_base_and_16_novel_actions() -> None:
    assert (len(BASE), len(NOVEL)) == (32, 16)


def test_every_primitive_of_a_novel_action_occurs_in_a_base_action() -> None:
    seen = {name for label in BASE for _, name in ACTIONS[label].primitives}
    assert len(seen) >= 24
    assert {name for label in NOVEL for _, name in ACTIONS[label].primitives} <= seen


def test_no_novel_action_is_a_composition_that_a_base_action_has() -> None:
    compositions = [ACTIONS[label].primitives for label in ACTIONS]
    assert len(set(compositions)) == len(ACTIONS)


ORDER_PAIRS = [
    ("sit down then wave", "wave then sit down"),
    ("punch then kick", "kick then punch"),
    ("stand up then clap", "clap then stand up"),
    ("turn around then walk away", "walk forwards then turn around"),
]


def test_minimal_pairs_differ_in_the_order_of_the_same_primitives() -> None:
    for one, other in ORDER_PAIRS:
        first, second = ACTIONS[one].primitives, ACTIONS[other].primitives
        assert first != second
        assert sorted(first) == sorted(second)


DIRECTION_PAIRS = [
    ("sit down", "stand up"),
    ("pick up the box", "put down the box"),
    ("push the box", "pull the box"),
    ("walk forwards", "walk backwards"),
    ("throw the ball", "catch the ball"),
]


def test_minimal_pairs_differ_in_direction() -> None:
    for one, other in DIRECTION_PAIRS:
        assert ACTIONS[one].props == ACTIONS[other].props or {*ACTIONS[one].props} == {*ACTIONS[other].props}
        assert ACTIONS[one].view == ACTIONS[other].view
        assert ACTIONS[one].primitives != ACTIONS[other].primitives


def test_the_oracle_names_every_action_from_its_primitives() -> None:
    for label, seed in product(ACTIONS, range(3)):
        stage, seconds = choreograph(ACTIONS[label], np.random.default_rng(seed))
        assert oracle(stage.performed) == label
        assert 2 <= seconds <= 4, label
        assert all(0 <= start < end <= seconds for _, _, start, end in stage.performed), label


def test_bone_lengths_joint_limits_and_the_ground_are_respected() -> None:
    for label in ACTIONS:
        stage, seconds = choreograph(ACTIONS[label], np.random.default_rng(1))
        for body in stage.bodies:
            check_body(body, seconds, label)


def check_body(body: Body, seconds: float, label: str) -> None:
    """Bones keep their length, joints bend less than 146 degrees, and ankles stay above the ground."""
    at = body.joints(np.linspace(0, seconds, 40))
    for side in SIDES:
        limbs = (("shoulder", "elbow", "palm"), body.shape.arm), (("hip", "knee", "ankle"), body.shape.leg)
        for names, lengths in limbs:
            bones = [at[f"{side}_{b}"] - at[f"{side}_{a}"] for a, b in zip(names[:-1], names[1:], strict=True)]
            for bone, length in zip(bones, lengths, strict=True):
                np.testing.assert_allclose(np.linalg.norm(bone, axis=-1), length, atol=1e-6)
            straight = (bones[0] * bones[1]).sum(-1) / np.prod(lengths)
            assert np.degrees(np.arccos(np.clip(straight, -1, 1))).max() < 146
        assert at[f"{side}_ankle"][:, 1].min() > 0.4 * body.shape.ankle


def test_the_standing_foot_does_not_slide_while_walking() -> None:
    stage, seconds = choreograph(ACTIONS["walk forwards"], np.random.default_rng(0))
    times = np.linspace(0, seconds, 200)
    joints = stage.bodies[0].joints(times)
    both = np.stack([joints[f"{side}_ankle"] for side in SIDES])
    speed = np.linalg.norm(np.diff(both[..., [0, 2]], axis=1), axis=-1) * 200 / seconds
    assert np.ptp(joints["pelvis"][:, [0, 2]], axis=0).max() > 1
    assert speed.min(0).max() < 0.35, "one foot stands, nearly, at all times"


def test_hands_are_at_the_box_when_it_is_lifted() -> None:
    stage, seconds = choreograph(ACTIONS["pick up the box"], np.random.default_rng(2))
    times = np.linspace(0, seconds, 60)
    box, joints = stage.props["box"].at(times), stage.bodies[0].joints(times)
    middle = (joints["left_palm"] + joints["right_palm"]) / 2
    lifted = box[:, 1] > box[0, 1] + 0.1
    assert lifted.any()
    assert np.linalg.norm(middle - box, axis=-1)[lifted].max() < 0.06
    assert np.linalg.norm(np.diff(box, axis=0), axis=-1).max() < 0.12, "the box does not jump"


def test_the_same_seed_gives_the_same_clip_and_another_seed_another() -> None:
    one, same, other = film("wave", 1), film("wave", 1), film("wave", 2)
    assert (one.frames == same.frames).all()
    assert (one.keypoints == same.keypoints).all()
    assert one.frames.shape != other.frames.shape or (one.frames != other.frames).any()


def test_another_process_renders_the_same_frames() -> None:
    code = """if True:
        import hashlib
        from video_star.evals.marionette import film
        made = film("hug", 4, hard=True)
        print(hashlib.sha256(made.frames.tobytes() + made.keypoints.tobytes()).hexdigest())"""
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    here = film("hug", 4, hard=True)
    assert hashlib.sha256(here.frames.tobytes() + here.keypoints.tobytes()).hexdigest() == there


def test_arrays_have_their_documented_shapes(films: list[Film]) -> None:
    for label, made in zip(SAMPLE, films, strict=True):
        count, height, width = made.frames.shape[:3]
        people = 2 if ACTIONS[label].apart else 1
        assert made.frames.dtype == np.uint8 and height % 2 == width % 2 == 0
        assert made.keypoints.shape == (count, people, 17, 3)
        assert made.boxes.shape == (count, people, 4)
        assert 24 <= count <= 48
        assert {name: boxes.shape for name, boxes in made.objects.items()} == dict.fromkeys(
            ACTIONS[label].props, (count, 4)
        )


def test_keypoints_are_inside_the_box_and_the_picture(films: list[Film]) -> None:
    for made in films:
        height, width = made.frames.shape[1:3]
        x, y, seen = np.moveaxis(made.keypoints, -1, 0)
        left, top, right, bottom = np.moveaxis(made.boxes[..., None, :], -1, 0)
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom) & (x < width) & (y < height)
        assert inside[seen > 0].all()
        assert set(np.unique(seen)) <= {0, 1, 2}
        assert (made.keypoints[seen == 0] == 0).all()


def test_visible_keypoints_are_on_the_rendered_person(films: list[Film]) -> None:
    on, total = 0, 0
    for made in films:
        frames = np.arange(len(made.frames))[:, None]
        for person in range(made.keypoints.shape[1]):
            x, y, seen = np.moveaxis(made.keypoints[:, person], -1, 0)
            owner = made.owner[frames, y.astype(int), x.astype(int)]
            on += int(((owner == person + 1) & (seen == 2)).sum())
            total += int((seen == 2).sum())
    assert on / total > 0.98


def test_the_rendered_person_is_inside_the_box(films: list[Film]) -> None:
    for made in films:
        for person in range(made.boxes.shape[1]):
            for owner, box in zip(made.owner, made.boxes[:, person], strict=True):
                y, x = np.nonzero(owner == person + 1)
                assert x.min() >= box[0] - 1 and x.max() <= box[2] + 1
                assert y.min() >= box[1] - 1 and y.max() <= box[3] + 1


def test_left_is_the_persons_own_left() -> None:
    """The left shoulder of a person who faces the camera is on the right of the picture."""
    made = film("shake head", 2)
    left, right = made.keypoints[0, 0, 5], made.keypoints[0, 0, 6]
    assert made.keypoints[0, 0, 0, 2] == 2, "the nose is visible"
    assert left[0] > right[0]


def test_hard_clips_differ() -> None:
    easy, hard = film("wave", 1), film("wave", 1, hard=True)
    assert easy.frames.shape != hard.frames.shape or (easy.frames != hard.frames).any()


def test_names_and_metadata_do_not_reveal_the_action(made: Path) -> None:
    for clip in (made / "clips").iterdir():
        assert len(clip.stem) == 16 and set(clip.stem) <= set("0123456789abcdef")
        content = clip.read_bytes().lower()
        assert not [label for label in ACTIONS if len(label) > 4 and label.encode() in content]
        with av.open(clip) as container:
            assert set(container.metadata) <= {"major_brand", "minor_version", "compatible_brands"}
            assert set(container.streams[0].metadata) <= {"language", "handler_name", "vendor_id"}
    assert not {item.id for item in items(200, 0)} & {item.id for item in items(200, 1)}
    assert len({item.id for item in items(5000, 0)}) == 5000


def test_frames_and_annotations_can_be_read_back(made: Path) -> None:
    item = items(5, 3)[2]
    rendered = film(item.label, item.seed)
    clip = made / "clips" / f"{item.id}.mp4"
    info = probe(clip)
    assert (info.height, info.width) == rendered.frames.shape[1:3]
    assert info.fps == rendered.fps
    frames = read_frames(clip, np.arange(len(rendered.frames)) / rendered.fps).images
    assert frames.shape == rendered.frames.shape
    assert np.abs(frames.astype(int) - rendered.frames).mean() < 6
    read = Annotations.load(made / "annotations" / f"{item.id}.npz")
    for field in fields(Annotations):
        one, other = getattr(read, field.name), getattr(rendered, field.name)
        if field.name == "objects":
            assert list(one) == list(other)
            assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)
        else:
            assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_two_processes_write_the_same_bytes_as_one(made: Path, tmp_path: Path) -> None:
    make(tmp_path / "again", 5, seed=3, workers=2)
    assert contents(tmp_path / "again") == contents(made)


def test_an_interrupted_run_is_resumed_and_keeps_finished_clips(tmp_path: Path, made: Path) -> None:
    out, chosen = tmp_path / "set", items(5, 3)
    make(out, 2, seed=3, workers=1)
    kept = out / "clips" / f"{chosen[0].id}.mp4"
    kept.write_bytes(b"unchanged")
    write(out, chosen[3])
    (out / "clips" / f"{chosen[4].id}.part").write_bytes(b"half")
    (out / "annotations" / f"{chosen[4].id}.part").write_bytes(b"half")
    make(out, 5, seed=3, workers=1)
    assert kept.read_bytes() == b"unchanged"
    kept.unlink()
    make(out, 5, seed=3, workers=1)
    assert contents(out) == contents(made)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the workers end")
def test_a_killed_run_leaves_no_workers_and_only_whole_clips(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from video_star.evals.marionette.dataset import make\n"
    code += "if __name__ == '__main__': make(Path(sys.argv[1]), 400, workers=2)"
    (tmp_path / "run.py").write_text(code)
    out, chosen = tmp_path / "set", items(400, 0)
    running = subprocess.Popen([sys.executable, str(tmp_path / "run.py"), str(out)], stdout=subprocess.DEVNULL)
    wait_until(lambda: any((out / "clips").glob("*.mp4")))
    workers = children(running.pid)
    assert workers
    running.kill()
    running.wait()
    wait_until(lambda: all(ended(worker) for worker in workers))
    finished = {path.stem for path in (out / "clips").glob("*.mp4")}
    assert 0 < len(finished) < 400
    assert finished <= {item.id for item in chosen}
    for name in finished:
        assert probe(out / "clips" / f"{name}.mp4").duration >= 2
        assert Annotations.load(out / "annotations" / f"{name}.npz").label == next(
            i.label for i in chosen if i.id == name
        )


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the workers end")
def test_an_interrupt_from_the_terminal_ends_parent_and_workers_in_one_line(tmp_path: Path) -> None:
    """Ctrl-C reaches all processes of the group at once."""
    running = subprocess.Popen(
        [SCRIPT, "marionette", "make", tmp_path / "set", "--clips", "400", "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: any((tmp_path / "set" / "clips").glob("*.mp4")))
    workers = children(running.pid)
    os.killpg(running.pid, signal.SIGINT)
    _, complained = running.communicate(timeout=250)
    assert running.returncode == 130 and complained == b"interrupted\n" and workers
    wait_until(lambda: all(ended(worker) for worker in workers))


def test_a_data_set_without_clips_of_a_split_says_how_many_it_takes(tmp_path: Path) -> None:
    assert {item.split for item in items(48, 0)} == {"base_train", "novel_test"}
    assert {item.split for item in items(SMALLEST, 0)} == {"base_train", "base_test", "novel_test"}
    make(tmp_path / "set", 2, workers=1)
    with pytest.raises(BadInput, match=f"base_val has no clips; make at least {SMALLEST}"):
        split(tmp_path / "set", "base_val")
    for suite in ("marionette", "marionette_motion"):
        words = ["--split", "base_val"] if suite == "marionette_motion" else ["--trace", str(tmp_path / "runs")]
        program = [sys.executable, "-m", f"video_star.evals.suites.{suite}", str(tmp_path / "set"), *words]
        refused = subprocess.run(program, capture_output=True, text=True)
        assert refused.returncode and f"make at least {SMALLEST}" in refused.stderr, refused
        assert refused.stderr.startswith("Error: ") and refused.stderr.count("\n") == 1


def test_a_folder_with_other_content_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="another folder"):
        make(made, 5, seed=4, workers=1)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BadInput, match="new folder"):
        make(tmp_path, 1)
    with pytest.raises(BadInput, match="above 0"):
        make(tmp_path / "new", 0)


def test_splits_are_disjoint_and_novel_classes_are_only_tested() -> None:
    chosen = items(48 * 4, 0)
    parts = {part: {i.id for i in chosen if i.split == part} for part in ("base_train", "base_test", "novel_test")}
    assert {part: len(ids) for part, ids in parts.items()} == {"base_train": 96, "base_test": 32, "novel_test": 64}
    assert len(set.union(*parts.values())) == len(chosen)
    assert not {i.label for i in chosen if i.split == "base_train"} & set(NOVEL)
    assert {i.label for i in chosen if i.split == "novel_test"} == set(NOVEL)
    assert chosen[:50] == items(50, 0), "a larger data set begins with the smaller one"


def test_split_files_are_in_the_published_formats(made: Path) -> None:
    by_id = {item.id: item for item in items(5, 3)}
    lists, comma = made / "splits" / "lists", made / "splits" / "csv"
    read = read_split(lists / "base_train.txt", lists / "marionette_base_labels.csv")
    assert len(read) == 5
    for example in read:
        assert (made / example.clip).is_file()
        assert by_id[Path(example.clip).stem].label == example.label
    assert read == read_split(comma / "train.csv", comma / "raw_train_idx2cls.json")
    assert list(json.loads((comma / "raw_train_idx2cls.json").read_text()).values()) == BASE
    assert list(json.loads((comma / "raw_test_idx2cls.json").read_text()).values()) == NOVEL
    assert "$" not in (made / "README.md").read_text()


def test_hands_of_two_people_meet() -> None:
    for label, seed in product(("shake hands", "high five", "bow then shake hands"), range(6)):
        stage, seconds = choreograph(ACTIONS[label], np.random.default_rng(seed))
        one, other = (body.joints(np.linspace(0, seconds, 60))["right_palm"] for body in stage.bodies)
        assert np.linalg.norm(one - other, axis=-1).min() < 0.08
