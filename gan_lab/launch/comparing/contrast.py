"""Whether the first row is really ahead: in words, with the figures that they rest on."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from gan_lab.launch.comparing.rows import Row
from gan_lab.launch.comparing.statistics import Summary, Welch, welch

LIMIT = 0.05


def figure(value: float | None, digits: int = 3) -> str:
    """So many digits that count, and no exponent among everyday sizes."""
    if value is None:
        return "none"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        text = f"{value:#.{digits}g}".rstrip(".")
        return f"{float(text):,.0f}" if "e" in text else text
    return f"{value:.{digits - 1}e}"


def mean_and_spread(summary: Summary | None) -> str:
    if summary is None:
        return "none"
    spread = "" if summary.std is None else f" ± {figure(summary.std, 2)}"
    return figure(summary.mean) + spread


def winner(rows: Sequence[Row]) -> Row | None:
    """The first row without losses; once a study has repeated its finalists, of those repeated.

    The best of many trials that were run once is the luckiest of them.
    """
    ranked = [row for row in rows if row.place is not None]
    sound = [row for row in ranked if not row.lost] or ranked
    finals = any(record.finalist for row in sound for record in row.counted)
    repeated = [row for row in sound if finals and len(row.counted) > 1]
    return next(iter(repeated or sound), None)


def contrast(rows: Sequence[Row], by: str, lower: bool) -> dict[str, Any]:
    """The first row set against the next: Welch's test, and a sentence that says it.

    Where the first was repeated, the next is the first other one that was repeated, too. A row
    that lost a seed is set against others like it alone: the mean of its survivors is no rival.
    """
    first = winner(rows)
    if first is None:
        return {"text": "Nothing is ranked: no run has finished with a value."}
    ranked = [row for row in rows if row.place is not None and row is not first]
    others = [row for row in ranked if first.lost or not row.lost]
    if not others:
        return {"text": unrivalled(first, ranked, lower, by) if ranked else alone(first, by)}
    repeated = [row for row in others if len(row.values(by)) > 1]
    second = repeated[0] if repeated and len(first.values(by)) > 1 else others[0]
    values = [first.values(by), second.values(by)]
    test = welch(values[0], values[1])
    found: dict[str, Any] = {"first": first.label, "second": second.label}
    if test is None:
        return {**found, "text": unproven(first, second, values)}
    text = judged(first, second, test, len(others) + 1, lower)
    once = len(others) - len(repeated)
    if once:
        text += f" Not judged: {once} of {len(others) + 1} rows, which were run once."
    if lost := len(ranked) - len(others):
        text += f" Left out: {'1 row' if lost == 1 else f'{lost} rows'} that lost a seed."
    return {**found, **test._asdict(), "text": text}


def alone(row: Row, by: str) -> str:
    count = len(row.values(by))
    if count == 1:
        return "There is one row with one seed: one seed proves nothing. Repeat it: seed=0,1,2."
    return f"There is one row, over {count} seeds: nothing to set it against."


def unrivalled(first: Row, lost: Sequence[Row], lower: bool, by: str) -> str:
    """Of a row beside which all others lost a seed; a better mean of survivors is named."""
    text = (
        f"Every row but {first.label} lost a seed to divergence or an error, so there is none to "
        "set it against."
    )
    mean = fmean(first.values(by))
    better = [row for row in lost if (fmean(row.values(by)) < mean) == lower]
    if better:
        names = ", ".join(row.label for row in better)
        text += f" The runs that were left have a better mean in {names}: first for safety alone."
    return text


def unproven(first: Row, second: Row, values: list[list[float]]) -> str:
    single = [row for row, v in zip((first, second), values, strict=True) if len(v) < 2]
    if single:
        names = " and ".join(row.label for row in single)
        return (
            f"One seed proves nothing: {names} {'was' if len(single) == 1 else 'were'} run once, "
            "so nobody knows the spread between seeds. Repeat the first rows with seed=0,1,2."
        )
    return (
        f"{first.label} and {second.label}: no seed differs from another in either, which chance "
        "does not do; look whether these are copies of one run."
    )


def judged(first: Row, second: Row, test: Welch, rows: int, lower: bool) -> str:
    figures = (
        f"difference {figure(test.difference)} (95 % interval {figure(test.low)} to "
        f"{figure(test.high)}), Welch's t = {test.t:.2f} with {test.df:.1f} degrees of freedom, "
        f"p = {figure(test.p, 2)}"
    )
    if test.p >= LIMIT:
        text = f"{first.label} is not ahead of {second.label} beyond the spread of seeds: {figures}"
        return f"{text}. That proves no equality either: more seeds would tell."
    way = "ahead of" if (test.difference < 0) == lower else "behind"
    text = f"{first.label} is {way} {second.label} beyond the spread of seeds: {figures}."
    chosen = (
        f" The two were picked from {rows} rows by these very figures, so p is too small; a "
        "repetition with new seeds would be sound."
    )
    return text + (chosen if rows > 2 else "")
