"""The table at the end of an import."""

from __future__ import annotations

from awlog.model.times import format_timestamp
from awlog.moving_in.report import BucketReport, Report

_HEADINGS = ("bucket", "in source", "imported", "identical", "extended", "refused", "first", "last", "hours", "")
_TEXT_COLUMNS = {0, 6, 7, 9}
_NAME_CHARS_MAX = 48
_HOUR_US = 3_600_000_000


def shown(report: Report, *, dry_run: bool) -> str:
    """A line a bucket, and below it what somebody should know."""
    rows = [_HEADINGS, *(_row(bucket, growing=report.growing) for bucket in report.buckets)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in _TEXT_COLUMNS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if not report.buckets:
        lines = ["No bucket was found in it."]
    return "\n".join([*lines, *_notes(report, dry_run=dry_run)])


def _row(bucket: BucketReport, *, growing: bool) -> tuple[str, ...]:
    source = bucket.source
    return (
        _name(bucket.bucket_id),
        f"{bucket.source_count:,}",
        f"{bucket.imported_count:,}",
        f"{bucket.identical_count:,}",
        f"{bucket.grown_count:,}",
        f"{bucket.refused.total():,}",
        _moment(source.first_us),
        _moment(source.last_us),
        f"{source.duration_us / _HOUR_US:,.2f}",
        "ok" if bucket.matches(growing=growing) else "DIFFERS",
    )


def _notes(report: Report, *, dry_run: bool) -> list[str]:
    notes: list[str] = []
    for bucket in report.buckets:
        name = _name(bucket.bucket_id)
        notes += [f"{name}: {count:,} refused: {reason}" for reason, count in bucket.refused.most_common()]
        if bucket.negative_count:
            notes.append(f"{name}: {bucket.negative_count:,} with a duration below zero, which became 0")
        if bucket.dropped_count:
            notes.append(f"{name}: {bucket.dropped_count:,} dropped by this server's privacy filters")
        if bucket.longer_us:
            notes.append(f"{name}: events that are there already are longer, by {bucket.longer_us / 1e6:,.3f} s in all")
        stored = bucket.stored
        if stored is not None and not bucket.matches(growing=report.growing):
            notes.append(
                f"{name}: the store holds {stored.count:,} of them, from {_moment(stored.first_us)} to "
                f"{_moment(stored.last_us)}, {stored.duration_us / _HOUR_US:,.2f} hours"
            )
    if report.orphan_count:
        notes.append(f"{report.orphan_count:,} events belong to buckets that the source does not have any more")
    for outcome, words in (
        ("imported", "imported"),
        ("identical", "there already, with the same value"),
        ("kept", "there already with another value, which stays"),
        ("refused", "refused, as this server cannot keep them"),
    ):
        keys = sorted(key for key, each in report.settings.items() if each == outcome)
        if keys:
            notes.append(f"settings {words}: {', '.join(map(_name, keys))}")
    if dry_run:
        notes.append("Nothing was written: this is what an import would do.")
    return notes


def _moment(instant_us: int | None) -> str:
    return "" if instant_us is None else format_timestamp(instant_us).partition("+")[0].partition(".")[0]


def _name(text: str) -> str:
    """Short, and without what a terminal would obey."""
    clean = "".join(char if char.isprintable() else "·" for char in text)
    return clean if len(clean) <= _NAME_CHARS_MAX else f"{clean[: _NAME_CHARS_MAX - 1]}…"
