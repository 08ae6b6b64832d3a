"""Limits, refusals, data and incidents in words and tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.reporting.reports import wording
from apps.reporting.reports.document import Block, Section, Table, Text, Tone

Figures = Mapping[str, Any]


def section(figures: Figures) -> Section:
    """Return the part about limits."""
    return Section(name="limits", title="Limits and refusals", blocks=list(_limits(figures["limits"])))


def quality(figures: Figures) -> Section:
    """Return the part about prices."""
    return Section(name="quality", title="Data quality", blocks=list(_quality(figures["quality"])))


def incidents(figures: Figures) -> Section:
    """Return the part about what went wrong."""
    return Section(name="incidents", title="Incidents", blocks=list(_incidents(figures["incidents"])))


def _limits(found: Mapping[str, Any]) -> Iterator[Block]:
    yield Table(
        name="violations",
        title="Limits that were broken",
        heads=("Rule", "What was seen", "Action", "Began", "Ended"),
        rows=[
            (
                wording.word(row["rule"]),
                wording.said(row["sentence"]),
                wording.said(f"{row['action']}{', done' if row['acted_at'] else ''}"),
                wording.at(row["began_at"]),
                wording.at(row["ended_at"]) if row["ended_at"] else wording.said("still broken"),
            )
            for row in found["violations"]
        ],
        none="Every limit was kept.",
    )
    yield Table(
        name="refused",
        title="Entries that were refused, by the first rule that said no",
        heads=("Rule", "Refusals"),
        rows=[(wording.word(rule), wording.count(count)) for rule, count in found["refused"]],
        none="No entry was refused.",
    )
    if found["refusals"]:
        total = sum(count for _, count in found["refused"])
        yield Table(
            name="refusals",
            title="Refused last",
            heads=("When", "Wish", "Asked by", "Why not"),
            rows=[
                (
                    wording.at(row["at"], seconds=True),
                    wording.said(row["wish"]),
                    wording.said(row["asked_by"]),
                    wording.said(row["reason"]),
                )
                for row in found["refusals"]
            ],
            none="",
            note=f"The last {len(found['refusals'])} of {total:,}." if total > len(found["refusals"]) else "",
        )


def _quality(found: Mapping[str, Any]) -> Iterator[Block]:
    yield _data(found["instruments"])
    if found["gaps"]:
        yield _gaps(found)
    yield _feeds(found["feeds"])
    if found["switches"]:
        yield _switches(found["switches"])


def _data(rows: list[Mapping[str, Any]]) -> Table:
    return Table(
        name="data",
        title="What is missing of the prices of this time",
        heads=("Instrument", "Feed", "Gaps", "Not filled", "Time not filled", "Doubles in a day", "Outliers in a day"),
        rows=[
            (
                wording.said(row["instrument"]),
                wording.said(row["feed"]),
                wording.count(row["gaps"]),
                wording.count(row["unfilled"]),
                wording.lasting(row["unfilled_seconds"]),
                wording.count(row["duplicates"]),
                wording.count(row["outliers"]),
            )
            for row in rows
        ],
        none="No instrument was held or followed.",
    )


def _feeds(rows: list[Mapping[str, Any]]) -> Table:
    return Table(
        name="feeds",
        title="Feeds, when this was made",
        heads=("Feed", "State", "Since", "Connections", "Why"),
        rows=[
            (
                wording.said(row["feed"]),
                wording.word(row["state"]),
                wording.at(row["since"]),
                wording.count(row["sessions"]),
                wording.said(row["why"]),
            )
            for row in rows
        ],
        none="No listener has reported on these instruments.",
    )


def _switches(rows: list[Mapping[str, Any]]) -> Table:
    return Table(
        name="switches",
        title="Instruments that changed their source",
        heads=("When", "Instrument", "From", "To", "Why"),
        rows=[
            (
                wording.at(row["at"], seconds=True),
                *(wording.said(row[name]) for name in ("instrument", "from", "to", "why")),
            )
            for row in rows
        ],
        none="",
    )


def _gaps(found: Mapping[str, Any]) -> Table:
    shown, total = len(found["gaps"]), found["gap_count"]
    return Table(
        name="gaps",
        title="Gaps, the last first",
        heads=("Instrument", "Missing", "From", "To", "Length", "State", "Why"),
        rows=[
            (
                wording.said(row["instrument"]),
                wording.word(row["kind"]),
                wording.at(row["since"], seconds=True),
                wording.at(row["until"], seconds=True),
                wording.lasting(row["seconds"]),
                wording.word(row["state"]),
                wording.said(row["why"]),
            )
            for row in found["gaps"]
        ],
        none="",
        note=f"The last {shown} of {total:,}." if total > shown else "",
    )


def _incidents(found: Mapping[str, Any]) -> Iterator[Block]:
    if not found["rows"]:
        yield Text("Nobody had to be warned of anything.", Tone.CALM)
        return
    yield Table(
        name="incident-kinds",
        title="By kind",
        heads=("Kind", "Events"),
        rows=[(wording.said(kind), wording.count(count)) for kind, count in found["counts"]],
        none="",
    )
    total = sum(count for _, count in found["counts"])
    yield Table(
        name="incidents",
        title="What people were warned of, the last first",
        heads=("When", "Loudness", "What"),
        rows=[
            (wording.at(row["at"], seconds=True), wording.word(row["severity"]), wording.said(row["told"]))
            for row in found["rows"]
        ],
        none="",
        note=f"The last {len(found['rows'])} of {total:,}." if total > len(found["rows"]) else "",
    )
