"""Which strategies are there?"""

from apps.domain.plugins import Registry
from apps.domain.strategies.contract import Strategy

STRATEGIES: Registry[Strategy] = Registry(
    package="apps.domain.strategies",
    base=Strategy,
    group="tradingsite.strategies",
)
