"""How the online segmenter weighs what it knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What was chosen by trying, on other scans than those of Testing/Benchmarks/interactive.md.

    Attributes:
        margin: of the region around a prompt, in units of its length.
        growth: of the margin, where the change reaches the region's border.
        growths: at most.
        cells: of the working grid.
        least: mm, length that a prompt is taken to have at least.
        smooth: of the gray values where ways are measured, in units of the finest spacing.
        smooth_edges: likewise, where edges are.
        noisy: spread of gray values that is taken at least, in units of the noise.
        strange: how much longer a way is for each spread that gray values are off.
        alike: spreads that the gray values on the way between a positive prompt and the object may be off, in the mean,
            for the way to be followed.
        reach: how far a prompt is heard, in units of its length.
        steep: how fast that ends.
        silent: how much what lies far from a first prompt is taken for outside, at most, as a logit.
        told: radius of the ball that a correction may hold without doubt, in units of the prompt's length.
        rivals: how far marks of the other sign are heard, in units of the reach of the newest prompt; 0: not at all.
        trust: in the evidence, beside an edge between equal neighbors.
        sharp: how much edges weaken with the difference in gray value.
        learned: weight of what the learner says.
        kept: of the object as it is.
        prior: of the trained network's opinion.
        steps: of the random walker.
        lessons: steps of the learner with each prompt.
        samples: that the learner sees beside the marks.
        marked: how much all marks count beside all samples, when it learns.
        one: how much one mark counts at most; a single click must not outweigh all that looks like it.
    """

    margin: float = 1.5
    growth: float = 1.6
    growths: int = 2
    cells: int = 150_000
    least: float = 6.0
    smooth: float = 0.4
    smooth_edges: float = 0.7
    noisy: float = 0.7
    strange: float = 1.5
    alike: float = 1.5
    reach: float = 2.0
    steep: float = 3.0
    silent: float = 1.5
    told: float = 1.2
    rivals: float = 1.0
    trust: float = 0.05
    sharp: float = 0.5
    learned: float = 0.6
    kept: float = 2.0
    prior: float = 1.0
    steps: int = 60
    lessons: int = 25
    samples: int = 2000
    marked: float = 1.0
    one: float = 0.25


CHOSEN = Settings()
