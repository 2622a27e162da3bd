"""Checks that the tests notice broken code: each mutant below must make its tests fail. Run it with `make mutants`.

A mutant replaces one piece of source text, which must occur exactly once in its file, in a copy of the repository. The
tests named with it are run there, first on the unchanged copy and then on each mutant. The exit status is 1 if a test
fails without a mutant, if a mutant survives, or if its source text is no longer there.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Mutant(NamedTuple):
    """A change of the source, and the tests that must fail by it."""

    what: str
    path: str
    old: str
    new: str
    tests: str


MUTANTS = [
    Mutant(
        "parser: the first of several answers counts, not the last",
        "graph/replies/answer.py",
        "answer = stated_label(answers[-1], candidates)",
        "answer = stated_label(answers[0], candidates)",
        "tests/graph/replies/test_hostile_completions.py",
    ),
    Mutant(
        "label matching: a denied label counts as the answer",
        "graph/replies/labels.py",
        "if _DOUBT.search(around):",
        "if False:",
        "tests/graph/replies/test_hostile_completions.py",
    ),
    Mutant(
        "candidates: labels with the same words are matched to the last of them",
        "graph/candidates.py",
        "if form and shared[form] == 1",
        "if form",
        "tests/graph/test_candidates.py",
    ),
    Mutant(
        "weigh: all sub-actions weigh the same",
        "graph/ranking.py",
        "return list(range(n, 0, -1))",
        "return [1] * n",
        "tests/graph/test_ranking.py",
    ),
    Mutant(
        "rank: worst first",
        "graph/ranking.py",
        "-totals.get(actions[i], 0.0), i)",
        "totals.get(actions[i], 0.0), i)",
        "tests/graph/test_ranking.py",
    ),
    Mutant(
        "tool calls: duplicates are kept",
        "graph/replies/tool_calls.py",
        "if key in seen:",
        "if False:",
        "tests/graph/replies",
    ),
    Mutant(
        "JSON repair: time grows with the square of the length",
        "graph/replies/json_repair.py",
        r'(r"(?:(?!\s//|\s#|/\*)[^,，{}\[\]\n\"])*")',
        r'(r"(?=([^,，{}\[\]\n\"]*))(?:(?!\s//|\s#|/\*)[^,，{}\[\]\n\"])*")',
        "tests/graph/replies/test_json_repair.py",
    ),
    Mutant(
        "turn: the reply to a correction is not read",
        "graph/turn.py",
        "second = normalize(await self.ask([*messages, *corrected]))",
        "second, _ = first, await self.ask([*messages, *corrected])",
        "tests/graph/test_turn.py",
    ),
    Mutant(
        "turn: no time limit",
        "graph/turn.py",
        "async with asyncio.timeout(self.seconds):",
        "async with asyncio.timeout(None):",
        "tests/graph/test_turn.py",
    ),
    Mutant(
        "status: the best of several counts",
        "graph/state.py",
        'return max(statuses, key=("ok", "degraded", "failed").index)',
        'return min(statuses, key=("ok", "degraded", "failed").index)',
        "tests/graph/test_graph.py",
    ),
    Mutant(
        "usage: a reported cost replaces the one before",
        "graph/usage.py",
        '(before["amount"] if before else 0.0) + self._reported',
        "self._reported",
        "tests/graph/test_usage.py",
    ),
    Mutant(
        "token track: a turn that changes what was sampled extends the one before",
        "graph/records/token_track.py",
        "turn.prompt_ids[: len(before.prompt_ids) + len(before.completion_ids)]\n"
        "        == before.prompt_ids + before.completion_ids",
        "turn.prompt_ids[: len(before.prompt_ids)] == before.prompt_ids",
        "tests/graph/records/test_token_track.py",
    ),
    Mutant(
        "token sequences: completions are masked",
        "graph/records/token_track.py",
        "[0] * len(read) + [1] * len(track.completion_ids)",
        "[0] * len(read) + [0] * len(track.completion_ids)",
        "tests/graph/records/test_token_track.py",
    ),
    Mutant(
        "reward: tools and sub-actions count for a wrong answer",
        "training/rewards.py",
        "if self.accuracy > 0 else",
        "if True else",
        "tests/training/test_rewards.py",
    ),
    Mutant(
        "reward: any score of the right label makes a sub-action correct",
        "training/rewards.py",
        "return correct > 0 and correct >= max(scores.values())",
        "return correct > 0",
        "tests/training/test_rewards.py",
    ),
    Mutant(
        "executor: a tool has no time limit",
        "tools/execution/executor.py",
        "async with asyncio.timeout(timeout):",
        "async with asyncio.timeout(None):",
        "tests/tools/execution/test_executor.py -k time_limit",
    ),
    Mutant(
        "executor: the same work runs once for each caller",
        "tools/execution/executor.py",
        "leads = flight is None or flight.hangs(call)",
        "leads = True",
        "tests/tools/execution/test_executor.py",
    ),
    Mutant(
        "circuit breaker: it never opens",
        "tools/execution/circuit_breaker.py",
        "if self.failures >= MAX_FAILURES and",
        "if self.failures >= 10**9 and",
        "tests/tools/execution/test_executor.py",
    ),
    Mutant(
        "media store: a reference may leave the folder",
        "tools/execution/media_store.py",
        "if not _NAME.fullmatch(name):",
        "if False:",
        "tests/tools/execution/test_media_store.py",
    ),
    Mutant(
        "clip: a span may end before it starts",
        "tools/video/clip.py",
        "if not 0 <= first < last <= duration + 0.05:",
        "if not 0 <= first <= duration + 0.05:",
        "tests/graph/test_graph.py",
    ),
    Mutant(
        "addresses: where a redirect leads is not checked",
        "tools/video/source.py",
        'return _checked_url(str(url.join(response.headers["location"])), access)',
        'return url.join(response.headers["location"])',
        "tests/tools/video/test_source.py",
    ),
    Mutant(
        "addresses: every host is allowed",
        "tools/video/source.py",
        'if "*" not in access.hosts and host not in access.hosts:',
        "if False:",
        "tests/tools/video/test_source.py",
    ),
    Mutant(
        "non-maximum suppression: nothing is suppressed by overlap",
        "tools/vision/detections.py",
        "rival = overlap >= iou",
        "rival = overlap > 2",
        "tests/tools/vision/test_detections.py",
    ),
    Mutant(
        "primitives: faint motion is not observed",
        "tools/motion_primitives.py",
        "OBSERVED: Final = 0.3",
        "OBSERVED: Final = 0.95",
        "tests/tools/motion/test_people.py",
    ),
    Mutant(
        "knowledge base: other inflections of a name are not found",
        "tools/knowledge/index.py",
        'by_stems.setdefault("".join(stems(name)), label)',
        'by_stems.setdefault("".join(words(name)), label)',
        "tests/tools/knowledge/test_knowledge.py",
    ),
    Mutant(
        "grammar: a single sub-action is allowed",
        "graph/policies/grammar.py",
        "item ({_text(', ')} item){{1,5}}",
        "item ({_text(', ')} item){{0,5}}",
        "tests/graph/policies/test_grammar.py",
    ),
    Mutant(
        "people: whoever was found is there, however differently the mirrored image is read",
        "tools/vision/verification.py",
        "agree = bool(looks) and _agree(looks)",
        "agree = bool(looks)",
        "tests/tools/vision/test_verification.py -k invented",
    ),
    Mutant(
        "people: tracks are joined across a cut",
        "tools/vision/joining.py",
        "if not 0 < gap <= GAP or end.shot != start.shot:",
        "if not 0 < gap <= GAP:",
        "tests/tools/vision/test_verification.py -k cut",
    ),
    Mutant(
        "repetitions: a movement that does not come back is counted",
        "tools/motion/repetition.py",
        "return found if comes_back else None",
        "return found",
        "tests/tools/motion/test_repetition.py -k come_back",
    ),
    Mutant(
        "hands: bodies invented on large hands are kept",
        "tools/vision/hands.py",
        "kept |= (poses.tracks == track) & (tall or lasting)",
        "kept |= poses.tracks == track",
        "tests/tools/vision/test_hands.py -k dropped",
    ),
    Mutant(
        "hands: a small thing beside a hand is its second hand",
        "tools/motion/hands.py",
        "if other < 0.5 * one or",
        "if len(order) < 2 or",
        "tests/tools/motion/test_hands.py",
    ),
    Mutant(
        "hands: a hand that moves as a whole works with its fingers",
        "tools/motion/hands.py",
        "moved = np.abs(z[1:, TIPS] - turn[:, None] * z[:-1, TIPS])",
        "moved = np.abs(z[1:, TIPS] - z[:-1, TIPS])",
        "tests/tools/motion/test_hands.py",
    ),
]


def failures(folder: Path, tests: Sequence[str]) -> str | None:
    """The first test that fails, or None; any other outcome than passed and failed tests ends the program."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", "--timeout=120", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split()[1] if failed else None


def copy_of_the_repository(folder: Path) -> None:
    """Every tracked file, as it stands in the working tree."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.exists():
            target.write_bytes(source.read_bytes())


def main(chosen: Sequence[str]) -> int:
    """Run the mutants whose description contains one of the words, or all; print one line for each."""
    mutants = [one for one in MUTANTS if not chosen or any(word in one.what for word in chosen)]
    bad = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "repository"
        copy_of_the_repository(folder)
        for tests in dict.fromkeys(one.tests for one in mutants):
            if failed := failures(folder, tests.split()):
                raise SystemExit(f"{failed} fails without a mutant")
        for one in mutants:
            path = folder / one.path
            source = path.read_text(encoding="utf-8")
            if source.count(one.old) != 1:
                print(f"GONE      {one.what}: {one.path} holds its text {source.count(one.old)} times", flush=True)
                bad += 1
                continue
            path.write_text(source.replace(one.old, one.new), encoding="utf-8")
            failed = failures(folder, one.tests.split())
            path.write_text(source, encoding="utf-8")
            print(f"{'killed' if failed else 'SURVIVED'}  {one.what}{f' (by {failed})' if failed else ''}", flush=True)
            bad += failed is None
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
