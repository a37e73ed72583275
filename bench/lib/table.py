"""Rows of the one table, and the few statistics that the parts share."""
import dataclasses
import math
import random
import statistics


@dataclasses.dataclass
class Row:
    """One line of the table. `cells`: engine -> text. `met`: None = there is nothing to hold it to (a figure beside).
    `failed`: so bad that also a short run on a noisy machine must not pass."""

    what: str
    bar: str
    cells: dict
    met: bool | None = None
    failed: bool = False


def table(head, rows):
    """Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def median_of(values, key):
    return statistics.median(value[key] for value in values)


def ratios(base, values, key="us"):
    """Of the rounds that were measured side by side."""
    return [value[key] / reference[key] for value, reference in zip(values, base)]


def differences(base, values, key):
    """Of the rounds that were measured side by side."""
    return [value[key] - reference[key] for value, reference in zip(values, base)]


def upper_bound(values):
    """95 % upper bound of the median: bootstrap over the rounds, repeatable."""
    generator = random.Random(20260101)
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(4000))
    return medians[int(0.95 * len(medians))]


def quantile(values, share):
    """The smallest value that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else float("nan")
