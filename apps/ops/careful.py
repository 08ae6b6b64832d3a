"""The limits a new site begins with: wide enough to trade on, narrow enough to stop what has gone wrong."""

from typing import Any, Final, NamedTuple

from apps.domain.risk.words import Action
from apps.trading.models import Account, RiskLimit, RiskProfile

NAME: Final = "Careful"


class Wanted(NamedTuple):
    """One limit of the profile."""

    rule: str
    parameters: dict[str, Any]
    action: Action
    note: str


LIMITS: Final = (
    Wanted("max_order_value", {"amount": 25_000.0}, Action.REFUSE, "A typing error is not an order."),
    Wanted("max_gross_exposure", {"rate": 2.0}, Action.REFUSE, "Longs and shorts together."),
    Wanted("max_asset_exposure", {"rate": 1.0}, Action.REFUSE, "Not all in one thing."),
    Wanted("leverage", {"times": 3.0}, Action.REDUCE, "Beyond what entries may reach: falling equity alone gets here."),
    Wanted("max_open_positions", {"lots": 500}, Action.REFUSE, "Something that opens without end is stopped."),
    Wanted("max_order_rate", {"orders": 1200}, Action.REFUSE, "The same, within a minute."),
    Wanted("max_daily_loss", {"rate": 0.1}, Action.BLOCK, "Enough for one day."),
    Wanted("max_drawdown", {"rate": 0.25}, Action.BLOCK, "Time for a person to look."),
    Wanted("price_band", {"rate": 0.1}, Action.REFUSE, "Limit prices far from the market are mistakes."),
    Wanted("stale_data", {"seconds": 30.0}, Action.REFUSE, "Nothing is opened on old prices."),
)


def profile() -> RiskProfile:
    """Return the profile; make it with its limits where there is none of that name."""
    said = "What a new site begins with; change it to what you can bear."
    made, created = RiskProfile.objects.get_or_create(name=NAME, defaults={"description": said})
    if created:
        RiskLimit.objects.bulk_create(
            RiskLimit(rule=one.rule, profile=made, parameters=one.parameters, action=one.action, note=one.note)
            for one in LIMITS
        )
    return made


def bind(account: Account) -> None:
    """Give a new account the profile."""
    account.risk_profile = profile()
    account.save(update_fields=["risk_profile"])
