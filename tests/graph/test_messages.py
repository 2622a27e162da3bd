"""Messages as they are sent to a chat model."""

import numpy as np
from langchain_core.messages import HumanMessage

from video_star.graph.messages import as_sent
from video_star.tools.execution.media_store import default_store


def test_images_are_inlined_in_copies_only() -> None:
    store = default_store()
    url = store.put_image(np.zeros((8, 8, 3), np.uint8))
    message = HumanMessage([{"type": "text", "text": "Look."}, {"type": "image", "url": url}])
    (sent,) = as_sent([message], store)
    assert message.content[1] == {"type": "image", "url": url}
    assert sent.content[0] == {"type": "text", "text": "Look."}
    block = sent.content[1]
    assert isinstance(block, dict) and block["mime_type"] == "image/jpeg" and len(block["base64"]) > 100
