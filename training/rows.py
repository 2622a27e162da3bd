"""Training rows: what the policy read and sampled in a run, token by token, with the images it saw.

A run whose every turn extends the one before is one row, and each fork adds one more. A run without tokens, of a policy
that reports none, is one row of its conversation with `input_ids` empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..graph.records.content import image_urls
from ..graph.records.token_track import TokenSequence, sequences, tracks
from ..tools.errors import BadRecord, MissingMedia
from ..tools.execution.media_store import MediaStore


def rows(record: Mapping[str, Any], store: MediaStore) -> list[dict[str, Any]]:
    """The training rows of one record.

    Args:
        record: A record as returned by `graph.records.trace.read`.
        store: The store of its images and token tracks.

    Returns:
        Rows of run, branch, input_ids (tokens,), sampled (tokens,), the completion mask: 1 for sampled tokens and 0 for
        those read, logprobs (tokens,), spans (turns,) of {node, start, end}, messages and tools as JSON text, images as
        JPEG bytes in the order in which they were read, actions, action, status and policy.

    Raises:
        BadRecord: An image of the conversation is missing.
    """
    messages = record["messages"]
    branches = sequences(tracks(messages, store)) or [TokenSequence(message=len(messages))]
    recognition = record["recognition"]
    common = {
        "run": record["id"],
        "messages": json.dumps(messages, ensure_ascii=False),
        "tools": json.dumps(record["tools"], ensure_ascii=False),
        "actions": list(record["request"]["actions"]),
        "action": recognition["action"],
        "status": recognition["status"],
        "policy": record["request"]["context"]["policy"],
    }
    return [
        {
            **common,
            "branch": branch,
            "images": [_image(url, record["id"], store) for url in image_urls(messages[: sequence.message])],
            "input_ids": sequence.ids,
            "sampled": sequence.completion_mask,
            "logprobs": sequence.logprobs,
            "spans": [{"node": node, "start": start, "end": end} for node, start, end in sequence.spans],
        }
        for branch, sequence in enumerate(branches)
    ]


def _image(url: str, run: str, store: MediaStore) -> bytes:
    try:
        return store.get(url)
    except MissingMedia:
        raise BadRecord(f"run {run}: an image of the conversation is missing ({url}); record the run again") from None
