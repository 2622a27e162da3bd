"""Content of messages: text, blocks and image URLs."""

from typing import Any

from video_star.graph.records.content import content_blocks, content_text, image_urls

IMAGE = {"type": "image", "url": "media://a.jpg"}
TEXT = {"type": "text", "text": "two"}


def test_strings_become_text_blocks() -> None:
    assert content_blocks("one") == [{"type": "text", "text": "one"}]
    assert content_blocks(["one", TEXT, IMAGE]) == [{"type": "text", "text": "one"}, TEXT, IMAGE]
    assert content_blocks("") == content_blocks(None) == content_blocks([]) == []


def test_images_are_omitted_from_the_text_or_formatted() -> None:
    assert content_text(["one", IMAGE, TEXT]) == "one\ntwo"
    assert content_text(["one", IMAGE, TEXT], lambda block: f"[{block['url']}]") == "one\n[media://a.jpg]\ntwo"
    assert content_text(None) == ""


def test_images_are_listed_in_the_order_of_the_conversation() -> None:
    other = {**IMAGE, "url": "media://b.jpg"}
    messages: list[dict[str, Any]] = [{"content": "one"}, {"content": [IMAGE, TEXT, other]}, {"content": [IMAGE]}]
    assert image_urls(messages) == ["media://a.jpg", "media://b.jpg", "media://a.jpg"]
