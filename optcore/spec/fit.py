"""Check that the parts of a run fit together."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NoReturn

from optcore.schedules.base import too_many
from optcore.schedules.families.per_batch import batch_problems
from optcore.spec.base import value_of
from optcore.spec.duration import MAX_STEPS, steps_in
from optcore.spec.errors import SpecError, reject
from optcore.spec.limits import (
    MAX_EVALUATIONS,
    MAX_FLOAT32,
    MAX_NAMES,
    MAX_REPEATED,
    are_lifted,
)
from optcore.spec.networks.casts import levels_take_the_layers
from optcore.spec.networks.causal import sees_no_targets
from optcore.spec.networks.fit import (
    comparisons_are_bounded,
    layers_fit,
    no_batch_of_one_is_normalised,
)
from optcore.spec.networks.frozen import frozen_parameters_exist
from optcore.spec.optimizers.lbfgs import Lbfgs
from optcore.spec.optimizers.rounded import float32
from optcore.spec.tasks.fit import (
    loss_fits_the_task,
    metrics_fit_the_task,
    weights_fit_the_classes,
    what_chooses_is_measured,
)
from optcore.spec.tasks.minimization import (
    functions_have_points,
    points_come_first,
    points_have_the_columns,
)
from optcore.spec.tasks.tokens import sparse_gradients_are_taken, tokens_fit

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec, Scheduled

SMALLEST_HALF = 2.0**-24
"""The smallest float16 above 0."""

LARGEST_HALVES = {"bf16_true": (2 - 2**-7) * 2.0**127, "fp16_true": 65_504.0}
"""Maps a precision to the largest number that its 16-bit parameters and slots can hold."""

MAX_COST = 1_000_000_000
"""Largest number of values computed for one schedule of a run, including those of its parts."""


def check_parts(run: RunSpec) -> None:
    """Raise an error about the first part of *run* that does not fit another part."""
    # The order matters. Counts come first, before the work that they bound; the layers before the
    # checks that need the network's parameters; the groups before the checks that need groups.
    for check in (
        _steps_are_bounded,
        _work_is_bounded,
        functions_have_points,
        loss_fits_the_task,
        layers_fit,
        points_come_first,
        points_have_the_columns,
        tokens_fit,
        sees_no_targets,
        comparisons_are_bounded,
        frozen_parameters_exist,
        _lbfgs_is_by_itself,
        _groups_find_parameters,
        sparse_gradients_are_taken,
        _numbers_are_representable,
        levels_take_the_layers,
        no_batch_of_one_is_normalised,
        weights_fit_the_classes,
        metrics_fit_the_task,
        what_chooses_is_measured,
        _lookahead_is_alone,
        _eps_counts,
        _durations_have_steps,
        _schedules_fit,
    ):
        check(run)


def _steps_are_bounded(run: RunSpec) -> None:
    if run.total_steps > MAX_STEPS:
        reject(
            ["training", "epochs"],
            f"epochs must give at most {MAX_STEPS} steps, got {run.total_steps}",
            run.training.epochs,
        )


def _work_is_bounded(run: RunSpec) -> None:
    if are_lifted():
        return
    names = len(value_of(run.optimizer, "exclude", []))
    names += sum(group.num_names for group in run.optimizer.groups)
    if names > MAX_NAMES:
        reject(
            ["optimizer", "groups"],
            f"groups must have at most {MAX_NAMES} names and globs together, got {names}",
            names,
        )
    why = too_many(each.schedule for each in run.scheduled())
    if why is not None:
        reject(["schedule"], why, None)
    _evaluations_are_bounded(run)


def _evaluations_are_bounded(run: RunSpec) -> None:
    every = run.training.evaluate_every
    interval = 0 if every is None else steps_in(every, run.steps_per_epoch)
    if not interval or not run.dataset.validation_examples:
        return
    evaluations = ceil(run.total_steps / interval)
    if evaluations > MAX_EVALUATIONS:
        least = ceil(run.total_steps / MAX_EVALUATIONS)
        reject(
            ["training", "evaluate_every"],
            f"evaluate_every must give at most {MAX_EVALUATIONS} evaluations, got "
            f"{evaluations}; evaluate every {least} steps or less often",
            every,
        )


def _groups_find_parameters(run: RunSpec) -> None:
    try:
        run.groups()
    except SpecError as error:
        # Only the first problem, since `reject` raises an error about one field.
        first = error.problems[0]
        reject(["optimizer", first.param], first.message, None)


def _numbers_are_representable(run: RunSpec) -> None:
    """Refuse hyperparameters that are too large for the precision of the parameters."""
    precision = run.training.precision
    if precision == "fp64" or are_lifted():
        return
    # With multi_precision, lr and the slots are used with float32 copies of the parameters; with
    # autocast, parameters and slots are float32.
    halves = {} if run.optimizer.in_float32 else LARGEST_HALVES
    for group in run.groups():
        numbers = group.spec.hyperparameters()
        if group.spec.clip is not None:
            numbers["clip"] = group.spec.clip.largest
        for name, value in numbers.items():
            # Other hyperparameters are used as scalars, which are float32 even if parameters have
            # 16 bits.
            in_slots = name == "lr" or name.startswith("initial_")
            most = halves.get(precision, MAX_FLOAT32) if in_slots else MAX_FLOAT32
            if not abs(value) <= most:
                _not_representable(name, f"{name} must", most, str(value))
        most = halves.get(precision, MAX_FLOAT32)
        lr = numbers["lr"] * group.lr_scale
        if not lr <= most:
            _not_representable(
                "lr", "lr * lr_scale must", most, f"{numbers['lr']} * {group.lr_scale} = {lr}"
            )


def _not_representable(name: str, what: str, most: float, got: str) -> NoReturn:
    text = f"{what} be at most {most:.6g}, the largest number in its precision, got {got}"
    reject(["optimizer", name], text, got)


def _lbfgs_is_by_itself(run: RunSpec) -> None:
    if not isinstance(run.optimizer, Lbfgs):
        return
    run.optimizer.check_schedule(run.schedule)
    training = run.training
    if training.keras_ema is not None:
        text = "kind must be shadow or swa for lbfgs, which does not maintain an average, got keras"
        reject(["training", "ema", "kind"], text, "keras")
    for name, given, only in (
        ("precision", training.precision, ("fp32", "fp64")),
        ("accumulate", training.accumulate, (1,)),
        ("loss_scale", training.loss_scale and training.loss_scale.kind, (None,)),
        ("on_divergence", training.on_divergence, ("fail",)),
    ):
        if given not in only:
            wanted = " or ".join("null" if value is None else str(value) for value in only)
            reject(
                ["training", name],
                f"{name} must be {wanted} for lbfgs, which evaluates the loss several times "
                f"per step, got {given}",
                given,
            )


def _lookahead_is_alone(run: RunSpec) -> None:
    """
    Refuse lookahead together with an option that keeps copies of the weights.

    lookahead would set only the weights, not the copies.
    """
    if run.training.lookahead is None:
        return
    # Otherwise parameters are float32 or wider and have no copies.
    copies = run.optimizer.multi_precision and run.training.precision.endswith("_true")
    for applies, what in (
        (copies, "multi_precision: lookahead would not set the float32 copies"),
        (
            run.training.keras_ema is not None,
            "an ema of kind keras: lookahead would not set the average",
        ),
        (run.optimizer.KEEPS_WEIGHTS, f"{run.optimizer.kind}, which keeps weights of its own"),
    ):
        if applies:
            reject(["training", "lookahead"], f"lookahead must be null with {what}", None)


def _eps_counts(run: RunSpec) -> None:
    """Refuse an eps that float16 rounds to 0: the first step would divide by 0."""
    if run.training.precision != "fp16_true" or run.optimizer.in_float32:
        return
    for group in run.groups():
        eps = group.spec.hyperparameters().get("eps", 1.0)
        # Kernels take eps as a float32. Half of the smallest number, a tie, is rounded to the even
        # neighbour: 0. An eps of 0 is intended.
        if eps > 0 and float32(eps) <= SMALLEST_HALF / 2:
            reject(
                ["optimizer", "eps"],
                f"eps must be at least {SMALLEST_HALF:.0e} for float16 parameters, got {eps}: "
                "float16 rounds it to 0; with multi_precision eps may be smaller",
                eps,
            )


def _durations_have_steps(run: RunSpec) -> None:
    training, average = run.training, run.training.shadow_ema
    durations = [
        (["training", "evaluate_every"], training.evaluate_every),
        (["training", "checkpoint_every"], training.checkpoint_every),
        (["training", "ema", "every"], None if average is None else average.every),
    ]
    for path, duration in durations:
        if duration is not None and run.length.steps(duration) < 1:
            reject(
                path,
                f"{path[-1]} must be at least 1 step, got {run.length.in_words(duration)}",
                duration,
            )


def _check_metric_driven(run: RunSpec, scheduled: Scheduled) -> None:
    kind = scheduled.schedule.kind
    if scheduled.path != ("schedule",):
        reject(
            [*scheduled.path, "kind"],
            f"kind {kind} follows a metric and is allowed only in the top-level field schedule, "
            "not in a group or for another hyperparameter",
            kind,
        )
    if run.training.evaluate_every is None:
        reject(
            ["training", "evaluate_every"],
            f"evaluate_every is required for schedule {kind}, which follows evaluations, got null",
            None,
        )


def _schedules_fit(run: RunSpec) -> None:
    repeated = 0
    accumulate = run.training.accumulate
    batches = ceil(run.dataset.train_examples / run.dataset.batch_size)
    for scheduled in run.scheduled():
        if scheduled.schedule.STATEFUL:
            _check_metric_driven(run, scheduled)
        schedule = scheduled.schedule
        for path, message, value in (
            *batch_problems(schedule, accumulate=accumulate, batches=batches),
            *schedule.problems_in(run.length),
        ):
            reject([*scheduled.path, *path], message, value)
        cost = scheduled.schedule.cost(run.length)
        if cost > MAX_COST:
            reject(
                [*scheduled.path],
                f"schedule must compute at most {MAX_COST} values, including those of its "
                f"parts, got {cost} in {run.total_steps} steps",
                scheduled.schedule.kind,
            )
        repeated += scheduled.schedule.num_repeated(run.length)
    # Over all schedules together: a recursion cannot be sampled, so that each schedule costs its
    # whole length.
    if repeated > MAX_REPEATED and not are_lifted():
        reject(
            ["schedule"],
            f"schedules must compute at most {MAX_REPEATED} values, all together, from the value "
            f"of the previous step, got {repeated}; a schedule of precision float64, or a product "
            "of dialect plain, does not need the value of the previous step",
            run.schedule.kind,
        )
