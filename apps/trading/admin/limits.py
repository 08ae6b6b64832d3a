"""The form of a risk limit: its rule's parameters as fields, and where it applies by name."""

from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from apps.domain.plugins import PluginError
from apps.domain.risk import contract
from apps.domain.risk.contract import Rule
from apps.domain.risk.registry import RULES
from apps.domain.risk.words import Action
from apps.strategies import parameter_forms
from apps.trading import selectors
from apps.trading.admin import places
from apps.trading.models import RiskLimit

SETTINGS: Final = ("rule", "where", "profile", "action", "enabled", "note")
ACTIONS: Final = {
    Action.REFUSE: "refuse: entries that would break it are refused, nothing more",
    Action.BLOCK: "block: nothing is opened there until a person allows it again",
    Action.REDUCE: "reduce: positions are left, the largest loss first, until it holds; and block",
    Action.FLATTEN: "flatten: every position there is left; and block",
}


def rule_of(name: str) -> type[Rule[Any]] | None:
    """Return the plug-in of a rule; None when it is not installed."""
    try:
        return RULES.get(name)
    except PluginError:
        return None


class LimitForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """A limit's settings; a class of its own per rule adds a field for each parameter."""

    of: type[Rule[Any]] | None = None  # the rule whose parameters the fields are
    user: selectors.Caller
    rule = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    where = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        help_text="What it counts: exposure of a strategy or an instrument is counted within each account.",
    )
    action = forms.ChoiceField(
        choices=[(str(action), text) for action, text in ACTIONS.items()],
        widget=UnfoldAdminSelectWidget,
        help_text="What the monitor does when what is held breaks it. Rules about one order alone are never acted on.",
    )

    class Meta:
        model = RiskLimit
        fields = ("rule", "profile", "action", "enabled", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.of is not None:
            stored = self.instance.parameters if self.instance.rule == self.of.name else {}
            self.initial = {**parameter_forms.initial(self.of, stored), **self.initial}
        if "rule" in self.fields:
            self._offer()

    def _offer(self) -> None:
        rule, where = self.fields["rule"], self.fields["where"]
        rule.choices = [(name, name.replace("_", " ")) for name in RULES.names()]  # type: ignore[attr-defined]  # a choice field
        where.choices = places.choices(self.user)  # type: ignore[attr-defined]  # a choice field
        self.initial.setdefault("where", places.key(self.instance))
        if self.of is not None and not self.is_bound:
            self.initial["rule"] = self.of.name
        # Another rule has other parameters: only their part of the page is asked for anew.
        part = {"hx-select": ".parameters", "hx-target": ".parameters", "hx-swap": "outerHTML"}
        rule.widget.attrs |= {"hx-get": "", "hx-trigger": "change", **part}

    def clean(self) -> dict[str, Any]:
        """Gather parameters and place, let the rule refuse what it does not take, and refuse a second one alike."""
        given = super().clean() or {}
        if self.of is None or self.errors or "rule" not in self.fields:
            return given
        chosen = parameter_forms.values(self.of, given)
        parameter_forms.check(self, self.of, chosen, contract.build)
        self.instance.parameters = chosen
        self.instance.scope, self.instance.target = places.read(given["where"])
        twin = RiskLimit.objects.exclude(pk=self.instance.pk).filter(
            rule=given["rule"], profile=given.get("profile"), scope=self.instance.scope, target=self.instance.target
        )
        if twin.exists():
            self.add_error("where", "There is a limit of this rule for this place and profile already; change that.")
        return given
