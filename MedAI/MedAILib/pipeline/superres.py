"""From thick slices to a volume with thin ones, its agreement with what was measured, and its uncertainty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import OutOfMemory
from ..image import Image
from ..superres.checks import direction_name
from ..superres.consistency import project, residual_psnr
from ..superres.methods import METHODS, Method, Solve
from ..superres.operators import matrix_of
from ..superres.problem import Problem, Solution
from ..superres.request import Scans, Superresolution, SuperresRequest
from ..superres.stack import as_volume
from ..superres.summary import SuperresSummary
from .stages import Stages
from .superres_grid import onto
from .superres_problem import ALIGNING, CHECKING, Prepared, prepare
from .superres_values import Figures, residual_of, sampled, uncertainty_figures

SHARPENING, LEARNING, RESTORING = "Sharpening", "Learning from the scan", "Restoring the slices"
COMPARING = "Comparing with the measured slices"
_FREE = 0.01
"""Noise below this share of the values' range counts as part of the picture."""
_EXPLAINED = 75.0
"""dB; a result that explains the slices so well needs no correction."""
_PORTION = 2**20
"""Voxels that are corrected at a time."""
_INSTANT, _ENDS, _TORCH, _REGISTRATION = 1.0, 0.5, 4.0, 10.0
"""Expected seconds of a closed form, of the first and last stage, of loading torch and of a registration."""


def stages_of(request: SuperresRequest, method: Method) -> dict[str, float]:
    """The stages of a run with their expected shares of the time."""
    registers = request.align or method.needs == "contrast"
    return {
        CHECKING: _ENDS,
        **({ALIGNING: _REGISTRATION} if registers else {}),
        _main_stage(method): _INSTANT if method.instant else _TORCH + (request.seconds if method.timed else 0.0),
        COMPARING: _ENDS,
    }


def _main_stage(method: Method) -> str:
    if method.same_grid:
        return RESTORING
    return LEARNING if method.learned else SHARPENING


def superresolve(
    scans: Scans,
    request: SuperresRequest,
    device: str,
    stages: Stages,
    stop: Callable[[], bool] = lambda: False,
) -> Superresolution:
    """Sharpen a scan across its slices.

    Args:
        scans: as read.
        request: what the user asked for.
        device: "auto" or a device name; closed forms run on the CPU whatever it says.
        stages: progress, with :func:`stages_of`.
        stop: True from the moment on when the user wants what there is.

    Raises:
        ContentError, GeometryError, UsageError: the scans cannot be used, see :mod:`MedAILib.superres.checks`.
        DeviceError, OutOfMemory, ModelError, Cancelled.
    """
    ready = prepare(scans, request, device, stages)
    stages.begin(_main_stage(ready.method))
    solution, where = _solved(ready, device, stages, stop)
    concluded = not ready.method.instant and stop()
    if solution.method != ready.method.name:  # the notes say why it is another one
        for code, sentence in solution.notes:
            stages.warn(code, sentence)
    stages.begin(COMPARING)
    return _result(ready, request, solution, where, concluded, stages)


def _solved(ready: Prepared, device: str, stages: Stages, stop: Callable[[], bool]) -> tuple[Solution, str]:
    """The method's answer, and the device that computed it; where its memory does not suffice, the CPU.

    Raises:
        OutOfMemory: main memory does not suffice either.
    """
    solve, problem, update = ready.method.load(), ready.problem, stages.progress.update
    if ready.method.instant:
        return _in_memory(solve, problem, update, stop), "cpu"
    from ..inference.devices import choose
    from ..inference.ladder import is_out_of_memory

    chosen = choose(device)
    if chosen.name != "cpu":
        try:
            return solve(problem, chosen.name, update, stop), chosen.name
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        stages.warn("memory", f"The memory of {chosen.title} does not suffice; the run went on on the CPU.")
    return _in_memory(solve, problem, update, stop), "cpu"


def _in_memory(solve: Solve, problem: Problem, update: Callable[[float], None], stop: Callable[[], bool]) -> Solution:
    try:
        return solve(problem, "cpu", update, stop)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        raise OutOfMemory(f"Main memory does not suffice for {problem.image.name}. Close other programs.") from error


def _result(
    ready: Prepared, request: SuperresRequest, solution: Solution, where: str, concluded: bool, stages: Stages
) -> Superresolution:
    """Volume, maps and account."""
    problem, used, wanted = ready.problem, METHODS.get(solution.method, ready.method), request.outputs
    if solution.uncertainty is None and "uncertainty" in wanted:
        stages.warn("no-uncertainty", f"{used.title} was used in the end, which cannot tell how uncertain it is.")
    array = _believable(solution.array, ready, used, request.consistent)
    stages.progress.update(0.4)
    figures = _figures(array, ready)
    if figures.contradicts(problem.noise):
        stages.warn(
            "not-explained",
            f"The result explains the measured slices less well ({figures.decibels:.1f} dB) than the cubic "
            f"interpolation does ({figures.cubic_decibels:.1f} dB), and by more than their noise. Do not trust its "
            "detail; check the thickness and, with further scans, whether they fit.",
        )
    stages.progress.update(0.6)
    image = _placed(array, ready)
    uncertainty = None if solution.uncertainty is None else _placed_map(solution.uncertainty, ready)
    cubic = _placed(_cubic(problem, ready), ready) if "cubic" in wanted else None
    residual = _residual(array, problem) if "residual" in wanted else None
    stages.end()
    acquisition = problem.acquisition
    summary = SuperresSummary(
        image=problem.image.name,
        method=used.name,
        asked=request.method,
        title=used.title,
        device=where,
        axis="kji"[problem.axis],
        direction=direction_name(problem.image, problem.axis),
        thickness=acquisition.thickness,
        increment=acquisition.increment,
        thickness_source=acquisition.thickness_source,
        profile=acquisition.profile,
        profile_source=acquisition.profile_source,
        shape_before=problem.image.shape,
        shape_after=image.shape,
        spacing_before=problem.image.spacing,
        spacing_after=image.spacing,
        others=tuple(other.image.name for other in problem.others),
        learned=used.learned,
        generative=used.generative,
        modality=problem.modality,
        noise=problem.noise,
        budget=problem.budget if ready.method.timed else 0.0,
        consistency_db=figures.decibels,
        cubic_consistency_db=figures.cubic_decibels,
        residual=figures.residual,
        change=figures.change,
        uncertainty=None if uncertainty is None else uncertainty_figures(uncertainty.array),
        concluded=concluded,
        notes=() if used is not ready.method else tuple(sentence for _, sentence in solution.notes),
        warnings=tuple(stages.warnings),
        timings=stages.seconds,
    )
    return Superresolution(image, summary, uncertainty if "uncertainty" in wanted else None, residual, cubic)


def _believable(array: np.ndarray, ready: Prepared, used: Method, consistent: bool | None) -> np.ndarray:
    """The values corrected towards the measured slices where that is wanted, in the input's range and number type."""
    if used.consistent if consistent is None else consistent:
        array = _corrected(array, ready.problem, exactly=bool(consistent))
    return ready.values.put(np.ascontiguousarray(array, np.float32))


def _corrected(array: np.ndarray, problem: Problem, exactly: bool) -> np.ndarray:
    """The result corrected until it explains the slices, noise and all if that was asked for or is next to nothing."""
    stack, matrix = problem.stack, matrix_of(problem.stack, problem.line)
    full = float(np.ptp(stack.array))
    noise = 0.0 if exactly or problem.noise < _FREE * full else problem.noise
    part, pick = sampled(problem)
    if residual_psnr(_slices_first(array[pick], part), part.stack.array, matrix, full) > _EXPLAINED:
        return array
    array = np.require(array, np.float32, "W")
    fine = _slices_first(array, problem)
    # Without noise each line is corrected for itself, so that no second volume is needed.
    rows = fine.shape[1] if noise > 0.0 else max(1, _PORTION // (fine.shape[0] * fine.shape[2]))
    for start in range(0, fine.shape[1], rows):
        part_of_it = (slice(None), slice(start, start + rows))
        fine[part_of_it] = project(fine[part_of_it], stack.array[part_of_it], matrix, noise)
    return array


def _figures(array: np.ndarray, ready: Prepared) -> Figures:
    """From a sample of the lines across the slices."""
    if ready.method.same_grid:
        return Figures.without_slices(array, ready.problem.image.array)
    part, pick = sampled(ready.problem)
    cubic = _cubic(part, ready)
    fine, its_fine = (_slices_first(one, part) for one in (array[pick], cubic))
    return Figures.of(fine, its_fine, part.stack, matrix_of(part.stack, part.line))


def _residual(array: np.ndarray, problem: Problem) -> Image:
    left = residual_of(_slices_first(array, problem), problem.stack, matrix_of(problem.stack, problem.line))
    return problem.image.with_array(as_volume(left, problem.axis))


def _cubic(problem: Problem, ready: Prepared) -> np.ndarray:
    """The cubic interpolation on the working grid."""
    solution = METHODS["cubic"].load()(problem, "cpu", lambda fraction: None, lambda: True)
    return ready.values.put(solution.array)


def _slices_first(array: np.ndarray, problem: Problem) -> np.ndarray:
    return np.moveaxis(array, problem.axis, 0)


def _placed(array: np.ndarray, ready: Prepared) -> Image:
    """A volume of the working grid as an image on the grid of the result, in the input's number type."""
    problem = ready.problem
    image = Image(array, problem.target.affine, problem.image.name)
    if ready.grids.final is None:
        return image
    background = min(0.0, float(array.min()))
    image = onto(image, ready.grids.final, background)
    return image.with_array(ready.values.put(image.array))


def _placed_map(array: np.ndarray, ready: Prepared) -> Image:
    """The same for the map of uncertainty, which is greatest where nothing was measured."""
    image = Image(array, ready.problem.target.affine, ready.problem.image.name)
    if ready.grids.final is None:
        return image
    image = onto(image, ready.grids.final, float(array.max()))
    return image.with_array(np.maximum(image.array, 0.0))
