"""The words of risk rules."""

from enum import StrEnum


class Action(StrEnum):
    """What a breach leads to, beside refusing every entry that would break the limit."""

    REFUSE = "refuse"  # nothing more
    BLOCK = "block"  # the scope becomes reducing: no new positions until a person re-arms
    REDUCE = "reduce"  # positions are left, the largest loss first, until the limit holds; and block
    FLATTEN = "flatten"  # every position in the scope is left; and block
