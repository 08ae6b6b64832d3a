"""How long nothing is opened after a loss or a stop."""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, choice, parameter, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The pause, and what begins it."""

    seconds: int = parameter(900, "How long.", lowest=1, highest=604_800)
    after: str = choice("loss", "What begins it.", options=("loss", "stop", "either"))


class Cooldown(Rule[Pause]):
    """A pause after a losing trade or a stop in the scope."""

    name = "cooldown"
    Parameters = Pause
    needs = frozenset({Need.CLOSINGS})

    def judge(self, facts: Facts, parameters: Pause) -> Verdict:
        """Compare the time since the last such trade with the pause."""
        pause = timedelta(seconds=parameters.seconds)
        last = next((each.at for each in facts.closed if _begins(parameters.after, each.net < 0, each.stopped)), None)
        asleep = last is not None and measures.is_asleep(facts.now.timestamp(), (last + pause).timestamp())
        since = parameters.seconds if last is None else max((facts.now - last).total_seconds(), 0)
        until = f"wait until {last + pause:%Y-%m-%d %H:%M:%S} UTC" if last else ""
        named = {"loss": "loss", "stop": "stop", "either": "loss or stop"}[parameters.after]
        found = verdict(
            self,
            allowed=not asleep,
            number=round(Decimal(str(since)), 3),
            limit=Decimal(parameters.seconds),
            formula=f"seconds since the last {named} >= seconds",
            what="",
            remedy=until,
        )
        return _worded(found, named, last is None)


def _begins(after: str, lost: bool, stopped: bool) -> bool:
    return (lost and after != "stop") or (stopped and after != "loss")


def _worded(found: Verdict, named: str, never: bool) -> Verdict:
    """Say it as time that passed: the number must be above the limit here, not below."""
    since = f"the last {named} was {found.number} s ago, the pause lasts {found.limit} s"
    return replace(found, finding=f"there was no {named} lately" if never else since)
