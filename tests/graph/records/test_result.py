"""Results of runs, as records of this and of older versions hold them."""

from video_star.graph.records.result import Recognition


def test_the_error_has_a_text_and_a_type() -> None:
    found = Recognition(action=None, status="failed", error="no answer from the server", error_type="PolicyBusy")
    assert Recognition.model_validate_json(found.model_dump_json()) == found


def test_a_result_of_version_0_1_0_has_the_type_in_its_text() -> None:
    found = Recognition.model_validate({"action": None, "status": "failed", "error": "PolicyBusy: no answer"})
    assert found.error == "PolicyBusy: no answer" and found.error_type is None
