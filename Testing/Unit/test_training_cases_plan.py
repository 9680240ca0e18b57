from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAILib.geometry import Shape, Spacing
from MedAILib.labels import Code, Label
from MedAILib.training.cases.plan import Plan, choose_grid, choose_patch, make_plan, split
from MedAILib.training.cases.report import CaseFacts, Report
from MedAILib.training.cases.settings import CaseValidation, PlanSettings
from MedAILib.training.cases.subjects import subject_of

NOTHING = PlanSettings()
TABLE = tuple(Label(n, name, (1.0, 0.0, 0.0), Code("SCT", "1", "x")) for n, name in ((1, "ball"), (2, "core")))


def case(
    name: str = "a",
    shape: Shape = (100, 200, 160),
    spacing: Spacing = (1.0, 1.0, 1.0),
    codes: str = "RAS",
    **more: object,
) -> CaseFacts:
    facts = CaseFacts(name, shape, spacing, codes, 1, {1: 100, 2: 50}, ((1.0, 2.0, 3.0),))
    return replace(facts, **more)  # type: ignore[arg-type]


def report(*facts: CaseFacts) -> Report:
    return Report("folder", facts, TABLE, ())


def plan(*facts: CaseFacts, settings: PlanSettings = NOTHING, voxels: int = 64**3) -> Plan:
    grid = choose_grid(facts, settings, False)
    patch = choose_patch(grid, (8, 8, 8), voxels, settings, False)
    return make_plan(report(*facts), settings, CaseValidation(), grid, patch, 2, 1)


def test_the_spacing_is_the_median_of_the_cases() -> None:
    grid = choose_grid([case(spacing=(s, 1.0, 1.0)) for s in (1.0, 1.5, 3.0)], NOTHING, False)
    assert grid.spacing == (1.5, 1.0, 1.0)
    assert grid.orientation == "RAS"


def test_thick_slices_are_made_thinner_as_nnu_net_does() -> None:
    facts = [case(shape=(20, 320, 320), spacing=(s, 0.5, 0.5)) for s in (3.0, 5.0, 5.0, 5.0, 6.0)]
    grid = choose_grid(facts, NOTHING, False)
    assert grid.spacing[0] == pytest.approx(np.percentile([3, 5, 5, 5, 6], 10))
    assert any("thinner" in sentence for sentence in grid.why)


@pytest.mark.parametrize(("codes", "orientation"), [("ASR", "ASR"), ("PIL", "ASR"), ("RSA", "RSA"), ("LPS", "RAS")])
def test_thick_slices_lie_along_k_however_they_were_taken(codes: str, orientation: str) -> None:
    facts = [case(shape=(20, 320, 310), spacing=(4.0, 0.5, 0.6), codes=codes) for _ in range(3)]
    grid = choose_grid(facts, NOTHING, False)
    assert grid.orientation == orientation
    assert grid.median[0] == 20
    assert grid.spacing[0] == 4.0


def test_cases_of_other_axes_are_turned_before_they_are_compared() -> None:
    facts = [
        case(shape=(10, 20, 30)),
        case(shape=(30, 20, 10), codes="SAR"),
        case(shape=(10, 30, 20), codes="ARS"[::-1]),
    ]
    grid = choose_grid(facts[:2], NOTHING, False)
    assert grid.largest == (10, 20, 30)


def test_the_patch_is_the_case_where_it_fits_and_keeps_its_proportions_where_not() -> None:
    small = choose_grid([case(shape=(35, 50, 36))], NOTHING, False)
    assert choose_patch(small, (8, 8, 8), 64**3, NOTHING, False) == (32, 48, 40)
    large = choose_grid([case(shape=(100, 200, 200))], NOTHING, False)
    patch = choose_patch(large, (16, 16, 16), 64**3, NOTHING, False)
    assert np.prod(patch) <= 64**3
    assert patch[1] == patch[2] >= patch[0]
    assert all(side % 16 == 0 for side in patch)


def test_a_patch_is_never_a_single_voxel_at_the_coarsest_level() -> None:
    tiny = choose_grid([case(shape=(5, 6, 7))], NOTHING, False)
    assert choose_patch(tiny, (16, 16, 16), 64**3, NOTHING, False) == (16, 16, 32)


def test_networks_that_see_slices_get_patches_of_one_slice() -> None:
    facts = [case(shape=(12, 250, 250), spacing=(8.0, 1.0, 1.0))]
    grid = choose_grid(facts, NOTHING, True)
    assert grid.orientation == "slices"
    assert choose_patch(grid, (1, 16, 16), 64**3, NOTHING, True) == (1, 256, 256)


def test_what_the_user_decided_is_kept() -> None:
    asked = PlanSettings(
        spacing=(2.0, 2.0, 2.0), patch=(16, 24, 32), modality="pt", intensity={"method": "none"}, batch=7
    )
    made = plan(case("a"), case("b"), settings=asked)
    assert (made.spacing, made.patch, made.modality, made.batch) == ((2.0, 2.0, 2.0), (16, 24, 32), "PT", 7)
    assert made.intensity == {"method": "none"}


def test_the_whole_case_may_be_the_patch() -> None:
    made = plan(case("a", shape=(9, 17, 20)), case("b", shape=(12, 10, 20)), settings=PlanSettings(patch="whole"))
    assert made.patch == (16, 24, 24)


def test_a_patch_that_the_network_does_not_take_is_refused() -> None:
    with pytest.raises(UsageError, match="divisible"):
        plan(case("a"), case("b"), settings=PlanSettings(patch=(20, 20, 20)))


def test_ct_is_clipped_at_the_structures_percentiles_and_the_rest_standardized_by_itself() -> None:
    values = tuple(float(v) for v in range(-100, 901))
    ct = plan(case("a", ct=True, values=(values,)), case("b", ct=True, values=(values,)))
    assert ct.modality == "CT"
    assert ct.intensity["method"] == "clip"
    assert (ct.intensity["low"], ct.intensity["high"]) == pytest.approx((-95, 895), abs=1)
    assert ct.intensity["mean"] == pytest.approx(400)
    assert plan(case("a"), case("b")).intensity == {"method": "zscore", "foreground": False}
    assert plan(case("a", empty=0.5), case("b", empty=0.6)).intensity == {"method": "zscore", "foreground": True}


def test_a_ct_among_several_channels_is_clipped_alone() -> None:
    facts = [replace(case(name), channels=2, values=((1.0, 2.0), (50.0, 60.0))) for name in "ab"]
    grid = choose_grid(facts, NOTHING, False)
    named = Report("folder", tuple(facts), TABLE, (), ("PET", "CT"))
    made = make_plan(named, NOTHING, CaseValidation(), grid, (16, 16, 16), 2, 1)
    assert [spec["method"] for spec in made.intensity["channels"]] == ["zscore", "clip"]
    assert made.inputs == ("PET", "CT")


def test_the_split_follows_from_the_seed_and_keeps_rare_structures_in_training() -> None:
    facts = [case(name, voxels={1: 5, 2: 5} if name == "c" else {1: 5}) for name in "abcdefghij"]
    first = split(report(*facts), CaseValidation(), 1)
    assert first == split(report(*facts), CaseValidation(), 1)
    assert any(split(report(*facts), CaseValidation(), seed) != first for seed in range(2, 6))
    for seed in range(20):
        trained, held_out = split(report(*facts), CaseValidation(), seed)
        assert len(held_out) == 2
        assert "c" in trained
        assert not set(trained) & set(held_out)


def test_cases_to_hold_out_may_be_named() -> None:
    facts = [case(name) for name in "abc"]
    assert split(report(*facts), CaseValidation(("b",)), 1) == (("a", "c"), ("b",))
    with pytest.raises(UsageError, match="no such case"):
        split(report(*facts), CaseValidation(("z",)), 1)
    with pytest.raises(UsageError, match="none is left"):
        split(report(*facts), CaseValidation(("a", "b", "c")), 1)


def test_a_plan_comes_back_from_its_json() -> None:
    made = plan(case("a"), case("b"))
    assert Plan.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("hippocampus_001", "hippocampus_001"),
        ("patient01_frame07", "patient01"),
        ("SC-HF-I-01-IM-0001-0048", "SC-HF-I-01"),
        ("sub-03_ses-2_T1w", "sub-03"),
        ("anna_slice-12", "anna"),
        ("time", "time"),
    ],
)
def test_a_name_tells_the_subject(name: str, subject: str) -> None:
    assert subject_of(name) == subject


def test_a_pattern_tells_the_subject_of_other_names() -> None:
    assert subject_of("2021-anna-x", r"\d+-(\w+)-") == "anna"
    for pattern in ("(", "anna", "(otto)"):
        with pytest.raises(UsageError, match="pattern"):
            subject_of("2021-anna-x", pattern)


def test_a_subject_is_never_on_both_sides_of_the_split() -> None:
    facts = [case(f"patient{n:02}_frame{frame}") for n in range(6) for frame in range(4)]
    for seed in range(10):
        trained, held_out = split(report(*facts), CaseValidation(), seed)
        assert len(held_out) == 4
        assert len({subject_of(name) for name in held_out}) == 1
        assert not {subject_of(name) for name in held_out} & {subject_of(name) for name in trained}
