from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MedAILib.errors import Cancelled, MedAIError, WorkerError
from MedAILib.worker.events import Failed
from MedAILib.worker.protocol import LIMIT, ProtocolError, decode, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def run_message(**parameters: object) -> dict[str, object]:
    return {"type": "run", "id": "1", "task": "t", "parameters": parameters, "arrays": {}, "folder": "/f"}


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_json_value_survives_the_line_unchanged(parameters: dict[str, object]) -> None:
    message = {**run_message(), "parameters": parameters}
    line = encode(message)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_nan_and_infinity_survive_the_line() -> None:
    back = decode(encode(run_message(a=math.nan, b=math.inf, c=-math.inf)))["parameters"]
    assert math.isnan(back["a"])
    assert (back["b"], back["c"]) == (math.inf, -math.inf)


def test_numpy_scalars_small_arrays_and_paths_become_plain_values() -> None:
    values = run_message(f=np.float32(0.5), i=np.int64(3), b=np.bool_(True), a=np.eye(2), p=Path("/a/b"), t=(1, 2))
    back = decode(encode(values))["parameters"]
    assert back == {"f": 0.5, "i": 3, "b": True, "a": [[1, 0], [0, 1]], "p": str(Path("/a/b")), "t": [1, 2]}


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, np.complex64(1)])
def test_a_value_without_json_form_is_refused_by_name(value: object) -> None:
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(run_message(value=value))


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ProtocolError):
        encode(run_message(loop=loop))


def test_a_line_over_the_limit_is_refused() -> None:
    with pytest.raises(ProtocolError, match="longer than the limit"):
        encode(run_message(text="x" * LIMIT))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"Loading libraries...\n",
        b"{",
        b"null\n",
        b"[1, 2]\n",
        b'"text"\n',
        b"{}\n",
        b'{"type": 3}\n',
        b'{"type": ["run"]}\n',
        b'{"type": "unheard-of"}\n',
        b'{"type": "cancel"}\n',
        b'{"type": "cancel", "id": 5}\n',
        b'{"type": "progress", "id": "1", "stage": "s", "fraction": "half", "remaining": null}\n',
        b'{"type": "error", "id": "1", "code": "c", "message": null, "log": ""}\n',
        b"\xff\xfe\x00\x80\n",
        b"[" * 100_000 + b"\n",
        b'{"type": "cancel", "id": "1"}{"type": "cancel", "id": "1"}\n',
        b'{"type": "cancel", "id": ' + b"9" * 10_000 + b"}\n",
    ],
)
def test_a_line_that_is_no_message_is_told_apart(line: bytes) -> None:
    with pytest.raises(ProtocolError) as failure:
        decode(line)
    assert len(str(failure.value)) < 400


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(line: bytes) -> None:
    try:
        message = decode(line)
    except ProtocolError:
        return
    assert isinstance(message, dict)


def test_every_kind_of_message_passes_its_own_check() -> None:
    for message in (
        run_message(),
        {"type": "cancel", "id": "1"},
        {"type": "close"},
        {"type": "ready", "pid": 1, "python": "p"},
        {"type": "started", "id": "1"},
        {"type": "progress", "id": "1", "stage": "s", "fraction": 1, "remaining": None},
        {"type": "warning", "id": "1", "code": "c", "message": "m"},
        {"type": "result", "id": "1", "parameters": {}, "arrays": {}},
        {"type": "error", "id": None, "code": "c", "message": "m", "log": ""},
    ):
        assert decode(json.dumps(message).encode()) == message


def test_a_failure_becomes_the_error_it_was() -> None:
    assert isinstance(Failed("cancelled", "stopped").error(), Cancelled)
    assert isinstance(Failed("worker", "died").error(), WorkerError)
    unknown = Failed("internal", "a fault").error()
    assert type(unknown) is MedAIError
    assert unknown.code == "internal"


def test_only_failures_of_the_program_end_with_the_log() -> None:
    assert str(Failed("worker", "It died.", "last line").error()).endswith("last line")
    assert str(Failed("content", "The volume is empty.", "last line").error()) == "The volume is empty."
