"""Powers of betas that a framework keeps as running products, one factor from each update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from optcore.optimizers.rules.powers import power
from optcore.optimizers.rules.rule import Flags, Numbers
from optcore.spec.optimizers.rounded import float32


def _itself(base: float, flags: Flags) -> float:
    return base


@dataclass(frozen=True)
class RunningPowers:
    """
    The powers base ** t of hyperparameters, for a rule that may have the flag ``running_powers``.

    With the flag, as in Paddle and TF1, the power is a product with one factor from each update. So
    a schedule that changes the base also changes the product. Writing b(i) for the base in update
    i, the power in update t is::

        before_use false    b(1) * b(1) * b(2) * ... * b(t - 1)
        before_use true     b(1) * b(2) * ... * b(t)

    If *before_use* is false, the product begins as b(1). Update 1 uses this value, and then
    multiplies it by b(1) again, as every update i multiplies by b(i).

    The product is carried from update to update (`Rule.carries`), under the name of the base with
    ``_power`` appended. Without the flag, or while the base stays the same, the power is
    *power_of*(base, t).

    Attributes:
        bases: the names of the hyperparameters.
        before_use: whether an update multiplies before it uses the power (Paddle's RAdam and
            NAdam); if not, it multiplies afterwards.
        power_of: a function of the base, t and flags that returns base ** t, rounded as in the
            framework.
        factor: a function of the base and flags that returns the factor of an update.
    """

    bases: tuple[str, ...]
    before_use: bool = False
    power_of: Callable[[float, int, Flags], float] = power
    factor: Callable[[float, Flags], float] = _itself

    def in_update(self, t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
        """Return the power of each base in update *t*, by the name of the base."""
        if not flags.get("running_powers"):
            return {base: self.power_of(numbers[base], t, flags) for base in self.bases}
        carried = {base: numbers[f"{base}_power"] for base in self.bases}
        if not self.before_use:
            return carried
        return {base: self._times(carried[base], t, numbers[base], flags) for base in self.bases}

    def carries(self, t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
        """Return the numbers that update *t* computes for the next, as `Rule.carries` does."""
        if not flags.get("running_powers"):
            return {}
        at = t if self.before_use else t + 1
        if t == 0:
            return self._named(
                {base: self.power_of(numbers[base], at, flags) for base in self.bases}
            )
        return self._named(
            {
                base: self._times(numbers[f"{base}_power"], at, numbers[base], flags)
                for base in self.bases
            }
        )

    def implied(self, t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
        """Return the numbers that `carries` returns if the bases were the same in all updates."""
        if not flags.get("running_powers"):
            return {}
        at = t if self.before_use else t + 1
        return self._named({base: self.power_of(numbers[base], at, flags) for base in self.bases})

    def _times(self, before: float, t: int, base: float, flags: Flags) -> float:
        """Return *before* * *base*. If *before* is base ** (t - 1), return exactly base ** t."""
        if flags["float32_products"]:
            # A product of two float32 is exact in double: this rounds as a float32 product.
            return float32(before * float32(base))
        # In double, a power has other last bits than a product, and release 0.2.0 has powers.
        if before == self.power_of(base, t - 1, flags):
            return self.power_of(base, t, flags)
        return before * self.factor(base, flags)

    @staticmethod
    def _named(powers: dict[str, float]) -> dict[str, float]:
        return {f"{base}_power": value for base, value in powers.items()}
