"""The calls that scripts, the shell and Slicer's console use: one for each task."""

from .interacting import interact
from .registering import register, register_files, run_registration
from .segmenting import run_job, segment, segment_file
from .superresolving import run_superresolution, superresolve, superresolve_files
from .training import train
from .tubes import bridge, straighten, unstraighten

__all__ = [
    "bridge",
    "interact",
    "register",
    "register_files",
    "run_job",
    "run_registration",
    "run_superresolution",
    "segment",
    "segment_file",
    "straighten",
    "superresolve",
    "superresolve_files",
    "train",
    "unstraighten",
]
