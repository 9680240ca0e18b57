"""A training on labeled cases as it goes to the worker and comes back; needs no torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..config import load_values
from .config import CasesRecipe, cases_recipe_from
from .run_folder import RunFolder

TASK = "train"
CHECK_TASK = "check_cases"
USUAL = {"seconds": 600.0}
"""Budget where neither recipe nor request has one."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def model_name(text: str) -> str:
    """A name that a model can have, from any title; empty where it has no letters from a to z and no digits."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9._]+", "-", plain).strip("-._")


@dataclass(frozen=True)
class TrainRequest:
    """What is to be trained on what.

    Attributes:
        recipe: name of a bundled recipe, or path of a file, of task "cases".
        data: folder with labeled cases.
        output: folder of the run, absolute.
        name: of the model, for folders and the shell; empty for the recipe's.
        title: of the model, for people; empty for the name.
        seconds, steps: budget; with one of them given, neither of the recipe's counts.
        start: name or folder of a model to begin with.
        plan: decisions that are not left to the planner, see :class:`.settings.PlanSettings`.
        validation: which cases are held out, see :class:`.settings.CaseValidation`.
        card: what the model's card is to say besides: license, data, data_license, description, anatomy, limits.
        seed: of weights, samples and split.
        resume: go on from the run's checkpoint.
        install: put the finished model among the user's.
        overwrite: also where the user has one of this name.
    """

    recipe: str
    data: str
    output: str
    name: str = ""
    title: str = ""
    seconds: float | None = None
    steps: int | None = None
    start: str | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    resume: bool = True
    install: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot be a model's name: use small letters, digits, '.', '_' and '-', such as "
                f"{model_name(self.name) or 'my-model'!r}."
            )

    def message(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and arrays for ``Worker.submit(TASK, *request.message())``."""
        return asdict(self), {}

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> TrainRequest:
        """What :meth:`message` wrote. A resume that names nothing but the run's folder goes on with what the run was
        started with.

        Raises:
            UsageError: a parameter is missing or unknown.
            ReadError: the run's folder cannot be read.
        """
        values = dict(parameters)
        if values.get("resume", True) and "output" in values:
            kept = RunFolder(Path(values["output"])).request
            kept.pop("finished", None)
            values = {**kept, **values} if kept else values
        try:
            return cls(**values)
        except TypeError as error:
            raise UsageError(f"The training job is incomplete or has unknown parameters: {error}.") from error

    def load_recipe(self) -> CasesRecipe:
        """The recipe with what is asked for.

        Raises:
            ReadError, UsageError: there is no such recipe, or it does not fit.
        """
        values, name = load_values(self.recipe)
        values = dict(values)
        for part in ("plan", "validation", "card"):
            values[part] = {**values.get(part, {}), **getattr(self, part)}
        training = dict(values.get("training", {}))
        if not training.get("seconds") and not training.get("steps"):
            budget = {"seconds": self.seconds, "steps": self.steps} if self.seconds or self.steps else USUAL
            values["training"] = {**training, **budget}
        if self.title:
            values["card"]["title"] = self.title
        if self.start is not None:
            values["start"] = self.start
        recipe = cases_recipe_from(values, name)
        return replace(recipe, name=self.name) if self.name else recipe
