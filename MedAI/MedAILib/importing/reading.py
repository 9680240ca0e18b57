"""Reading checkpoints that others wrote, without running what is in them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ..errors import ModelError

_SCALAR = np.float64(0).__reduce__()[0]
"""The function that makes a numpy number from its bytes."""
NUMBERS: tuple[Any, ...] = (
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (np.dtype, "numpy.dtype"),
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")),
)
"""What a checkpoint may hold besides tensors and plain values: numpy's numbers, as nnU-Net's log of a training has."""

Tensors = dict[str, torch.Tensor]


def read_checkpoint(path: Path, allowed: Iterable[Any] = ()) -> Any:
    """What torch saved in a file, if it is tensors, plain values and what is allowed besides; nothing of it is run.

    Args:
        path: of the file.
        allowed: as :func:`torch.serialization.safe_globals` takes it.

    Raises:
        ModelError: missing, damaged, or it holds anything else; the message names it.
    """
    if not path.is_file():
        raise ModelError(f"{path}: the weights are missing. Get the whole model folder.")
    with safe_globals(list(allowed)):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from error
        except pickle.UnpicklingError as error:
            names = _forbidden(path)
            if not names:
                raise ModelError(f"{path}: is not a checkpoint of torch, or is damaged. Get it again.") from error
            raise ModelError(
                f"{path}: holds more than weights ({', '.join(names[:3])}), which could run code. MedAI does not open "
                "it. Save the network's state_dict alone, and import that."
            ) from error
        except (EOFError, RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{path}: is not a checkpoint of torch, or is damaged. Get it again.") from error


def _forbidden(path: Path) -> list[str]:
    try:
        return sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001  # a damaged file may fail in any way; the caller says that it is damaged
        return []


def named_tensors(found: Any, path: Path) -> Tensors:
    """The mapping as tensors by name, without the prefixes that wrappers of networks leave.

    Raises:
        ModelError: it is no mapping of tensors.
    """
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ModelError(f"{path}: holds no named weights. Get the whole model folder.")
    return {str(name).removeprefix("module.").removeprefix("_orig_mod."): value for name, value in found.items()}
