"""Every failure a user can meet, each with a machine-readable code and a shell exit status.

The message names the file, node or parameter and says what to do; it is shown to radiologists unchanged.
"""

from __future__ import annotations


class MedAIError(Exception):
    """Base of all expected failures.

    Attributes:
        code: short machine-readable word, the same in the worker protocol, reports and JSON output.
        exit_status: what the ``medai`` command exits with.
    """

    code = "error"
    exit_status = 1


class UsageError(MedAIError):
    """A parameter has a value that makes no sense."""

    code = "usage"
    exit_status = 2


class ReadError(MedAIError):
    """A file or folder is missing, unreadable, truncated or not what its name says."""

    code = "unreadable"
    exit_status = 3


class GeometryError(MedAIError):
    """The volume's grid cannot be used: singular or sheared affine, impossible spacing, one slice."""

    code = "geometry"
    exit_status = 4


class ContentError(MedAIError):
    """The volume's values cannot be used: empty, constant, not finite, several components."""

    code = "content"
    exit_status = 5


class OutputExistsError(MedAIError):
    """The output is there already and nobody allowed to replace it."""

    code = "output-exists"
    exit_status = 6


class WriteError(MedAIError):
    """The output cannot be written: no permission, full disk, unknown format."""

    code = "unwritable"
    exit_status = 7


class ModelError(MedAIError):
    """A model folder is missing, damaged, foreign, untrained or does not match its own card."""

    code = "model"
    exit_status = 8


class CodeError(ModelError):
    """A model comes as code, which was not allowed to be run."""

    code = "code"


class ModalityError(MedAIError):
    """The volume is of another modality than the model was made for."""

    code = "modality"
    exit_status = 9


class DeviceError(MedAIError):
    """The asked-for device is not there."""

    code = "device"
    exit_status = 10


class OutOfMemory(MedAIError):
    """Memory does not suffice, although everything that can give way did."""

    code = "memory"
    exit_status = 12


class WorkerError(MedAIError):
    """The worker process died or answered nonsense; the message ends with its last log lines."""

    code = "worker"
    exit_status = 11


class Cancelled(MedAIError):
    """The user stopped the run; nothing was changed."""

    code = "cancelled"
    exit_status = 130


def _subclasses(base: type[MedAIError]) -> list[type[MedAIError]]:
    return [base, *(found for child in base.__subclasses__() for found in _subclasses(child))]


def error_from_code(code: str, message: str) -> MedAIError:
    """Rebuild an error that crossed a process border.

    Args:
        code: ``MedAIError.code`` of the original; an unknown one gives a plain :class:`MedAIError` with that code.
        message: the original's text.
    """
    for cls in _subclasses(MedAIError):
        if cls.code == code:
            return cls(message)
    error = MedAIError(message)
    error.code = code
    return error
