"""What a caller hears about its job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import MedAIError, error_from_code
from ..progress import Step


@dataclass(frozen=True)
class Started:
    """The worker has begun with the job."""


@dataclass(frozen=True)
class Warned:
    """Something the user must hear about although the run goes on."""

    code: str
    message: str


@dataclass(frozen=True, eq=False)
class Finished:
    """The job is done.

    Attributes:
        parameters: what the task answered besides arrays.
        arrays: the task's arrays, owned by the caller; no file stands behind them.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """The job ended without a result.

    Attributes:
        code: as in :class:`MedAILib.errors.MedAIError`; also ``"internal"`` (a fault of the program),
            ``"memory"`` (not enough of it) and ``"package"`` (a Python package is missing).
        message: one sentence for the user.
        log: traceback or last lines of the worker's log, for a report; may be empty.
    """

    code: str
    message: str
    log: str = ""

    def error(self) -> MedAIError:
        """The exception to raise; where the program itself failed, its text ends with the log."""
        detailed = self.log and self.code in ("worker", "internal")
        return error_from_code(self.code, f"{self.message}\n{self.log}" if detailed else self.message)


Event = Started | Step | Warned | Finished | Failed
Outcome = Finished | Failed
