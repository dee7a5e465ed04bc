"""Initial values of parameters, by the names of torch.nn.init."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from optcore.packages.kinds import by_kind
from optcore.spec.base import Spec
from optcore.spec.errors import RULE, reject, short_repr
from optcore.spec.limits import MAX_NAME, at_most

MATRIX = 2
"""Number of dimensions from which a parameter has a fan-in and a fan-out."""
MAX_PATTERNS = 64
"""Largest number of patterns in one layer."""
MAX_WILDCARDS = 4
"""Largest number of wildcards in a pattern."""


class InitSpec(Spec):
    """The base of all initialisations."""

    MIN_DIMS: ClassVar[int] = 0
    """Smallest number of dimensions of a parameter that it is for."""

    kind: str
    """Name of the initialisation."""


class Zeros(InitSpec):
    """All values are 0."""

    kind: Literal["zeros"]


class Ones(InitSpec):
    """All values are 1."""

    kind: Literal["ones"]


class Constant(InitSpec):
    """All values are the same number."""

    kind: Literal["constant"]
    value: float
    """The number."""


class Uniform(InitSpec):
    """Numbers between low and high, all of them equally likely."""

    kind: Literal["uniform"]
    low: float = 0.0
    """The smallest number."""
    high: float = 1.0
    """The limit, which is not reached."""

    @model_validator(mode="after")
    def _are_ordered(self) -> Self:
        if not self.low < self.high:
            reject(["high"], f"high must be above low, {self.low}, got {self.high}", self.high)
        return self


class Normal(InitSpec):
    """Numbers of a normal distribution."""

    kind: Literal["normal"]
    mean: float = 0.0
    """The mean."""
    std: float = Field(1.0, ge=0)
    """The standard deviation."""


class TruncNormal(InitSpec):
    """Numbers of a normal distribution; one more than 2 std from the mean is drawn again."""

    kind: Literal["trunc_normal"]
    mean: float = 0.0
    """The mean."""
    std: float = Field(1.0, gt=0)
    """The standard deviation, before numbers are drawn again."""


class Fan(InitSpec):
    """
    The base of initialisations that depend on how many inputs and outputs a weight connects.

    ::

        fan_in  = shape[1] * receptive        receptive = shape[2] * shape[3] * ...
        fan_out = shape[0] * receptive

    shape is the shape of the parameter.
    """

    MIN_DIMS: ClassVar[int] = MATRIX


class XavierUniform(Fan):
    """
    Uniform numbers from -a to a.

    ::

        a = gain * sqrt(6 / (fan_in + fan_out))

    fan_in is the number of inputs that an output depends on, fan_out that of outputs that an input
    affects.

    References:
        Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural
        Networks, 2010. torch.nn.init.xavier_uniform_.
    """

    kind: Literal["xavier_uniform"]
    gain: float = Field(1.0, gt=0)
    """Factor of the range."""


class XavierNormal(Fan):
    """
    Normal numbers with mean 0.

    ::

        std = gain * sqrt(2 / (fan_in + fan_out))

    std is the standard deviation; fan_in and fan_out are the numbers of inputs and outputs of a
    value.

    References:
        Glorot and Bengio, 2010, as for xavier_uniform. torch.nn.init.xavier_normal_.
    """

    kind: Literal["xavier_normal"]
    gain: float = Field(1.0, gt=0)
    """Factor of the standard deviation."""


class Kaiming(Fan):
    """
    The base of the two initialisations for rectifiers.

    ::

        gain = sqrt(2 / (1 + slope ** 2))

    slope is that of the rectifier below 0.

    References:
        He, Zhang, Ren and Sun, Delving Deep into Rectifiers, 2015.
        https://arxiv.org/abs/1502.01852
    """

    mode: Literal["fan_in", "fan_out"] = "fan_in"
    """Which fan is used."""
    slope: float = Field(0.0, ge=0)
    """Slope of the rectifier below 0 (torch's a): 0 for relu."""


class KaimingUniform(Kaiming):
    """
    Uniform numbers from -a to a.

    ::

        a = gain * sqrt(3 / fan)        gain = sqrt(2 / (1 + slope ** 2))

    fan is the number of inputs or outputs of a value, by *mode*. slope is that of the rectifier
    below 0.

    References:
        He, Zhang, Ren and Sun, 2015. torch.nn.init.kaiming_uniform_.
    """

    kind: Literal["kaiming_uniform"]


class KaimingNormal(Kaiming):
    """
    Normal numbers with mean 0.

    ::

        std = gain / sqrt(fan)        gain = sqrt(2 / (1 + slope ** 2))

    std is the standard deviation, and fan is the number of inputs or outputs of a value, by *mode*.
    slope is that of the rectifier below 0.

    References:
        He, Zhang, Ren and Sun, 2015. torch.nn.init.kaiming_normal_.
    """

    kind: Literal["kaiming_normal"]


class Orthogonal(Fan):
    """
    A random matrix with orthogonal rows, or with orthogonal columns if there are more rows.

    The first dimension of the parameter forms the rows, all other dimensions form the columns.

    References:
        Saxe, McClelland and Ganguli, Exact Solutions to the Nonlinear Dynamics of Learning in Deep
        Linear Neural Networks, 2013. torch.nn.init.orthogonal_.
    """

    kind: Literal["orthogonal"]
    gain: float = Field(1.0, gt=0)
    """Factor of the matrix."""


Selected = Annotated[
    Zeros
    | Ones
    | Constant
    | Uniform
    | Normal
    | TruncNormal
    | XavierUniform
    | XavierNormal
    | KaimingUniform
    | KaimingNormal
    | Orthogonal,
    Field(discriminator="kind"),
]


def _by_name(given: object) -> object:
    return {"kind": given} if isinstance(given, str) else given


AnyInit = Annotated[Selected, BeforeValidator(_by_name)]
"""Any initialisation, selected by `kind`; its name alone stands for it with its defaults."""

INITS = by_kind(Selected, InitSpec)
"""Maps the name of each initialisation to its class."""


def _by_pattern(given: Any, info: ValidationInfo) -> Any:  # noqa: ANN401  as given
    if isinstance(given, (str, InitSpec)) or (isinstance(given, Mapping) and "kind" in given):
        return {WEIGHTS: given}
    if not isinstance(given, Mapping):
        raise PydanticCustomError(
            RULE,
            f"{info.field_name} must be an initialisation, or a mapping from names of parameters "
            f"to initialisations, got {short_repr(given)}",
        )
    return given


def _has_few_wildcards(glob: str) -> str:
    if sum(map(glob.count, "*?[")) > MAX_WILDCARDS:
        text = f"a glob must have at most {MAX_WILDCARDS} wildcards (* ? [), got {glob!r}"
        raise PydanticCustomError(RULE, text)
    return glob


WEIGHTS = "weights"
"""
The key of an initialisation that is given without one. It stands for the parameters of at least two
dimensions: matrices, kernels and embeddings, whatever their names. Scales of norms and biases
have fewer. In a layer that has none of these, such as a norm, it stands for its ``weight``.
"""
Inits = Annotated[
    dict[Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_has_few_wildcards)], AnyInit],
    at_most(MAX_PATTERNS, "init"),
    Field(max_length=MAX_PATTERNS),
    BeforeValidator(_by_pattern),
]
"""
Initialisations by patterns of names, such as ``{"weights": "xavier_uniform", "*bias": "zeros"}``;
one alone is that of the key ``weights``.
"""
