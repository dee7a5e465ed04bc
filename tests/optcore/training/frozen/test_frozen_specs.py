"""What may be frozen, the plan of a run with frozen parameters, and the texts of refusals."""

from __future__ import annotations

from typing import Any

import pytest

from api.jobs.plan import plan_of
from optcore.plan.likeness import likeness
from optcore.plan.run_plan import StoredPlan
from optcore.spec.networks import network
from optserve.contract.requests.job import JobSpec
from tests.support.optcore.runs.frozen import NETWORK, Json, named, tied
from tests.support.optcore.runs.run_specs import refused, run
from tests.support.optcore.runs.small import spec_of, start


def test_the_plan_counts_what_is_trained_and_lists_what_is_not() -> None:
    optimizer = {"kind": "adam", "groups": [{"match": "*.bias", "weight_decay": 0.0}]}
    job: Json = run(optimizer=optimizer)
    frozen = JobSpec.parse({**job, "training": {"steps": 5, "frozen": ["fc1.*"]}})

    plan, whole = plan_of(frozen), plan_of(JobSpec.parse(job))

    assert (plan.num_parameters, plan.num_frozen) == (whole.num_parameters, 64 * 128 + 128)
    assert plan.frozen == ["fc1.weight", "fc1.bias"]
    assert [(group.match, group.parameters) for group in plan.groups] == [
        ("*.bias", ["fc2.bias"]),
        ("the rest", ["fc2.weight"]),
    ]
    assert [group.state_bytes for group in plan.groups] == [2 * 4 * 10, 2 * 4 * 10 * 128]
    assert plan.memory is not None
    assert whole.memory is not None
    assert plan.memory.state == 2 * 4 * (10 + 10 * 128)
    assert plan.memory.parameters == whole.memory.parameters
    assert plan.memory.step < whole.memory.step
    assert (whole.frozen, whole.num_frozen) == ([], 0)


def test_the_stored_plan_has_the_groups_of_what_is_trained() -> None:
    spec = spec_of(frozen=["fc1.*"])

    stored = StoredPlan.read(StoredPlan.of(spec).text())

    assert stored is not None
    assert stored.resolved(spec).groups() == spec.groups()
    assert likeness(spec) != likeness(spec_of(frozen=["fc1.bias"]))


def test_a_job_without_frozen_parameters_has_the_json_that_it_had_before() -> None:
    dumped = spec_of().model_dump(mode="json")["training"]

    assert not {"frozen", "frozen_statistics"} & dumped.keys()


@pytest.mark.parametrize("glob", ["again.weight", "again.*"])
def test_another_name_of_a_shared_parameter_is_refused(glob: str) -> None:
    (problem,) = refused(tied(frozen=["head.bias", glob])).problems

    assert problem.param == "training.frozen[1]"
    assert problem.message == (
        f"frozen must find a shared parameter by its own name, got {glob!r}, which finds "
        "again.weight, the same parameter as first.weight"
    )
    start(model=tied()["model"], frozen=["*.weight"])


MLP = "(fc1.weight, fc1.bias, fc2.weight, fc2.bias)"


@pytest.mark.parametrize(
    ("training", "param", "message"),
    [
        (
            {"frozen": ["fc1.*", "fc3.*"]},
            "training.frozen[1]",
            f"frozen must find a parameter, got 'fc3.*'; did you mean 'fc2.*'? {MLP}",
        ),
        (
            {"frozen": ["fc1.wieght"]},
            "training.frozen[0]",
            f"frozen must find a parameter, got 'fc1.wieght'; did you mean 'fc1.weight'? {MLP}",
        ),
        (
            {"frozen": ["*.bias", "fc*"]},
            "training.frozen",
            "frozen must leave a parameter to train, got globs that find all 4",
        ),
        ({"frozen": "fc1.*"}, "training.frozen", "frozen must be a list, got 'fc1.*'"),
        (
            {"frozen": ["*" * 11]},
            "training.frozen[0]",
            "a glob must have at most 10 wildcards (* ? [), got '***********'",
        ),
        (
            {"frozen": ["fc1.*"], "frozen_statistics": True},
            "training.frozen_statistics",
            "frozen_statistics needs a batch_norm whose weight and bias are both in frozen, "
            "got none",
        ),
    ],
)
def test_globs_that_freeze_nothing_or_everything_are_refused(
    training: Json, param: str, message: str
) -> None:
    (problem,) = refused(run(training={"steps": 5, **training})).problems

    assert (problem.param, problem.message) == (param, message)


def test_many_globs_list_the_names_of_a_large_network_no_more_often_than_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network with more parameters than it caches lists them anew each time."""
    listings: list[str] = []
    real = network._named

    def counted(layers: Any, prefix: str, own: Any, within: str | None) -> Any:
        if not prefix:
            listings.append(prefix)
        return real(layers, prefix, own, within)

    monkeypatch.setattr(network, "_named", counted)
    parts = [named("l", "linear", out_features=64)]
    layers = [named("flatten", "flatten"), named("blocks", "repeat", times=1001, layers=parts)]
    model = {"kind": "sequential", "layers": [*layers, named("head", "linear", out_features=10)]}
    globs = [f"blocks.{i}.*" for i in range(50)]

    def listed(frozen: list[str]) -> int:
        listings.clear()
        spec_of(model=model, frozen=frozen)
        return len(listings)

    assert listed(globs) == listed(globs[:1])


def test_frozen_statistics_need_a_norm_that_is_frozen_as_a_whole() -> None:
    training = {"steps": 5, "frozen": ["norm.bias"], "frozen_statistics": True}

    (problem,) = refused(run(model=NETWORK, training=training)).problems

    assert problem.message == (
        "frozen_statistics needs a batch_norm whose weight and bias are both in frozen, got "
        "backbone.norm.weight, backbone.norm.bias, norm.weight trained"
    )


def conv(name: str) -> Json:
    return named(name, "conv2d", out_channels=4, kernel_size=3, bias=False)


OF_FIRST = {"weight": "first.norm.weight", "bias": "first.norm.bias"}


@pytest.mark.parametrize(
    ("second", "frozen", "fixed"),
    [
        ({"share": OF_FIRST}, ["first.*"], {"first.norm", "second.norm"}),
        ({"share": OF_FIRST}, ["*.bias"], set()),
        ({"share": {"weight": "first.norm.weight"}}, ["second.norm.bias"], set()),
        (
            {"share": {"weight": "first.norm.weight"}},
            ["first.norm.*", "second.norm.bias"],
            {"first.norm", "second.norm"},
        ),
        ({"affine": False}, ["second.*"], {"second.norm"}),
        ({"affine": False}, ["first.*"], {"first.norm"}),
        ({"affine": False}, ["*.conv.weight"], set()),
    ],
)
def test_a_norm_is_fixed_if_all_that_it_uses_is_frozen(
    second: Json, frozen: list[str], fixed: set[str]
) -> None:
    """A norm without weight and bias is fixed if a glob would find its weight."""
    norms = {"first": {}, "second": second}
    blocks = [
        named(name, "sequential", layers=[conv("conv"), named("norm", "batch_norm", **norm)])
        for name, norm in norms.items()
    ]
    rest = [named("flatten", "flatten"), named("head", "linear", out_features=10)]
    model = {"kind": "sequential", "layers": [*blocks, *rest]}
    training = {"steps": 5, "frozen": frozen, "frozen_statistics": True}

    if fixed:
        assert spec_of(model=model, frozen=frozen, frozen_statistics=True).fixed_norms == fixed
    else:
        (problem,) = refused(run(model=model, training=training)).problems
        assert problem.param == "training.frozen_statistics"


def test_a_group_of_frozen_parameters_alone_is_refused() -> None:
    optimizer = {"kind": "adam", "groups": [{"match": "fc1.*", "lr": 0.1}]}

    (problem,) = refused(
        run(optimizer=optimizer, training={"steps": 5, "frozen": ["fc1.*"]})
    ).problems

    assert problem.param == "optimizer.groups[0].match"
    assert problem.message == (
        "match must find a trainable parameter, got 'fc1.*', which finds only frozen ones: "
        "fc1.weight, fc1.bias"
    )


def test_muon_needs_a_matrix_that_is_trained() -> None:
    training = {"steps": 5, "frozen": ["*.weight"]}

    (problem,) = refused(run(optimizer={"kind": "muon"}, training=training)).problems

    assert problem.message == (
        "muon needs a parameter of two dimensions, got only fc1.bias, fc2.bias"
    )
