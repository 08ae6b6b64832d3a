"""A stored run as what a report is about, with its candles read again where they are still the same."""

from datetime import datetime

from apps.backtests import plain, selectors, sources
from apps.backtests.models import Run
from apps.backtests.report.subject import Subject
from apps.backtests.sources import Loaded, Spec
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.result import Holding, Result
from apps.domain.errors import Refused, Unavailable

_SIDES = {name: side for side, name in plain.SIDES.items()}


def subject_of(run: Run, *, made_at: datetime) -> Subject:
    """Return the subject of a finished run. Raises ValueError for one without a result."""
    loaded = _candles(run)
    names = loaded.names if loaded else tuple(run.data.get("instruments", ())) or (run.source,)
    note = "The candles are no longer those of the run, so its charts of prices are left out."
    return Subject(
        plugin=run.plugin,
        title=f"{run.strategy or run.plugin} on {run.source}",
        parameters=run.parameters,
        code_hash=run.code_hash,
        data_hash=run.data_hash,
        names=names,
        candles=loaded.candles if loaded else (),
        result=_result(run, names),
        statistics=run.statistics,
        critique=run.critique,
        bounds=run.bounds or None,
        notes=loaded.notes if loaded else (note,),
        missing_bars=loaded.missing_bars if loaded else 0,
        made_at=made_at,
    )


def _candles(run: Run) -> Loaded | None:
    try:
        loaded = sources.load(Spec.from_json(run.data))
    except (Refused, Unavailable, OSError):
        return None
    return loaded if loaded.data_hash == run.data_hash and loaded.bars == run.bars else None


def _result(run: Run, names: tuple[str, ...]) -> Result:
    at, equity = selectors.equity(run)
    holdings = (
        Holding(
            instrument=names.index(one["instrument"]) if one["instrument"] in names else 0,
            side=_SIDES[one["side"]],
            **{name: one[name] for name in ("entry_bar", "entry_price", "size", "value")},
        )
        for one in run.open
    )
    return Result(
        at=at.astype("int64"),
        trades=selectors.trades(run),
        equity=equity,
        exposure=None,
        open=tuple(holdings),
        rejected=run.rejected,
        ambiguous_bars=run.bounds.get("ambiguous_bars", 0),
        conventions=Conventions.restored(run.conventions),
    )
