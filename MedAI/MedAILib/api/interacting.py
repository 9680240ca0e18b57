"""The call that begins an interactive segmentation."""

from __future__ import annotations

from typing import Any

from ..errors import UsageError


def interact(
    source: Any,
    labels: Any = None,
    prompts: Any = (),
    engine: str = "auto",
    model: str | None = None,
    device: str = "auto",
    **of_nodes: Any,
) -> Any:
    """Begin to segment a volume with points, strokes, boxes and lassos.

    Args:
        source: path of an image file or DICOM folder; an :class:`Image`; an (array (k, j, i), affine 4x4 IJK to RAS
            mm) pair; or, inside Slicer, a scalar volume node.
        labels: segmentation or label map to begin with, likewise; for a volume node a segmentation node, which is
            written to (None for a new one).
        prompts: that led to the labels, see :func:`MedAILib.interactive.prompt_file.read_prompts`. For volume nodes
            they are in the segmentation.
        engine: "online" learns from what is drawn, "network" is a trained one, "auto" learns, and after a point asks
            the network for its opinion.
        model: folder of a trained network of your own.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        of_nodes: for volume nodes only, further arguments of :func:`MedAISlicer.console.interact`.

    Returns:
        :class:`MedAILib.interactive.session.Session`: ``add_point(ras, positive=True)``, ``add_stroke``, ``add_box``,
        ``add_lasso``, ``refine``, ``undo``, ``redo``, ``mask()``, ``labels``. For a volume node what
        :func:`MedAISlicer.console.interact` returns, with the same calls.

    Raises:
        MedAIError: each failure has its own subclass, see :mod:`MedAILib.errors`.

    Example:
        >>> import MedAILib
        >>> session = MedAILib.interact("abdomen.nii.gz")  # doctest: +SKIP
        >>> session.add_stroke([[-60, 10, 40], [-40, 20, 40]])  # doctest: +SKIP
        >>> session.add_point([-10, 0, 40], positive=False)  # doctest: +SKIP
        >>> session.mask().sum()  # doctest: +SKIP
    """
    from ..interactive.request import Engine

    if hasattr(source, "IsA"):
        from MedAISlicer import console

        return console.interact(source, labels, engine=Engine(engine, model), device=device, **of_nodes)
    if of_nodes:
        raise UsageError(f"{', '.join(of_nodes)}: these arguments are for volume nodes.")
    from ..interactive.opening import open_session

    return open_session(source, labels, prompts, Engine(engine, model), device).session
