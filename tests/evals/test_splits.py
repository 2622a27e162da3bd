from pathlib import Path

import pytest

from video_star.evals.splits import read_labels, read_split, unique_labels
from video_star.tools.errors import BadInput


def test_published_splits_are_read_completely(shared: Path) -> None:
    vifi, froster = shared / "splits" / "ViFi-CLIP", shared / "splits" / "FROSTER" / "zs_label_db"
    lists = vifi / "datasets_splits" / "base2novel_splits"
    base = read_split(lists / "hmdb_splits" / "base_val.txt", vifi / "labels" / "hmdb_51_base_labels.csv")
    novel = read_split(lists / "hmdb_splits" / "novel_val.txt", vifi / "labels" / "hmdb_51_novel_labels.csv")
    assert (len(base), len(novel)) == (780, 750) and (len(unique_labels(base)), len(unique_labels(novel))) == (26, 25)
    assert not set(unique_labels(base)) & set(unique_labels(novel)) and base[0].label == "pour"
    ucf = read_split(lists / "ucf_splits" / "novel_val.txt", vifi / "labels" / "ucf_101_novel_labels.csv")
    ssv2 = read_split(lists / "ssv2_splits" / "novel_val.txt", vifi / "labels" / "ssv2_174_novel_labels.csv")
    assert (len(ucf), len(ssv2)) == (1695, 7215) and ssv2[0].clip.endswith(".webm")
    for labels in ("raw_test_idx2cls.json", "test_idx2cls.csv"):
        split = read_split(froster / "B2N_hmdb" / "test.csv", froster / "B2N_hmdb" / labels)
        assert len(split) == 750 and unique_labels(split) == unique_labels(novel)
    k600 = froster / "k600_split1"
    assert len(read_split(k600 / "test.csv", k600 / "k600-openset-index2cls.json")) == 7276


@pytest.mark.parametrize(
    ("listing", "labels", "why"),
    [
        ("a.mp4 7", "0,run", "has no label 7"),
        ("a.mp4", "0,run", "line 1: 'a.mp4' is not"),
        ("../a.mp4 0", "0,run", "outside"),
        ("/etc/a.mp4 0", "0,run", "outside"),
        ("\n", "0,run", "lists no clips"),
        ("a.mp4 0", "run", "holds no labels"),
    ],
)
def test_an_unusable_split_is_refused_with_line_and_reason(tmp_path: Path, listing: str, labels: str, why: str) -> None:
    (tmp_path / "clips.txt").write_text(listing)
    (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(BadInput, match=why):
        read_split(tmp_path / "clips.txt", tmp_path / "labels.csv")


def test_names_with_commas_and_spaces_and_windows_line_endings(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_bytes(b"one, two/a b.mp4,1\r\n\r\nc d 3.mp4 0\r\n")
    (tmp_path / "labels.csv").write_bytes(b'\xef\xbb\xbfid,name\r\n0,run\r\n1,"hop, skip"\r\n')
    found = read_split(tmp_path / "clips.csv", tmp_path / "labels.csv")
    assert [(one.clip, one.label) for one in found] == [("one, two/a b.mp4", "hop, skip"), ("c d 3.mp4", "run")]
    with pytest.raises(BadInput, match="cannot be read"):
        read_labels(tmp_path / "none.csv")
