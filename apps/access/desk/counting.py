"""How many rows has a list? Counted as long as that is quick, estimated by the database beyond."""

import json
from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.utils.functional import cached_property

if TYPE_CHECKING:
    Pages = Paginator[Any]
else:
    Pages = Paginator  # the class takes no parameter when it runs

COUNTED: Final = 10_000  # rows counted one by one; more would make every page of a long list wait for its length


class Estimating(Pages):
    """Pages of a long list without counting millions of rows for each: beyond `COUNTED` the number is about right."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, or about how many."""
        rows: Any = self.object_list
        if not hasattr(rows, "query"):
            return len(rows)
        counted: int = rows.order_by()[: COUNTED + 1].count()
        if counted <= COUNTED:
            return counted
        plan = json.loads(rows.order_by().explain(format="json"))
        return max(int(plan[0]["Plan"]["Plan Rows"]), counted)
