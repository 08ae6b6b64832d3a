"""Which risk rules are there?"""

from typing import Any

from apps.domain.plugins import Registry
from apps.domain.risk.contract import Rule

RULES: Registry[Rule[Any]] = Registry(
    package="apps.domain.risk",
    base=Rule,
    group="tradingsite.risk_rules",
)
