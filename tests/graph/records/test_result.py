"""Results of runs, as records of this and of older versions hold them."""

import pytest
from pydantic import ValidationError

from video_star.graph.records.result import Recognition


def test_the_error_has_a_text_and_a_type() -> None:
    found = Recognition(action=None, status="failed", error="no answer from the server", error_type="PolicyBusy")
    assert Recognition.model_validate_json(found.model_dump_json()) == found


def test_a_result_of_version_0_1_0_has_the_type_in_its_text() -> None:
    found = Recognition.model_validate({"action": None, "status": "failed", "error": "PolicyBusy: no answer"})
    assert found.error == "PolicyBusy: no answer" and found.error_type is None


def test_a_result_of_before_has_no_confidence() -> None:
    found = Recognition.model_validate(
        {"action": "walk", "status": "ok", "ranking": [{"action": "walk", "score": 0.9}]}
    )
    assert found.confidence is None and found.calibrated_on is None
    later = Recognition(action="walk", status="ok", confidence=0.4, calibrated_on="some clips")
    assert Recognition.model_validate_json(later.model_dump_json()) == later


@pytest.mark.parametrize("confidence", [1.2, -0.1, "likely"])
def test_a_confidence_is_a_probability(confidence: object) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        Recognition.model_validate({"action": "walk", "status": "ok", "confidence": confidence})
