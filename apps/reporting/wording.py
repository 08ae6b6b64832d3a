"""The built-in words for every kind of event; a row of Wording replaces them, a kind without any has plain ones."""

from typing import Final, NamedTuple

from apps.reporting.severity import Severity

_INFO, _NOTICE, _WARNING, _CRITICAL = Severity.INFO, Severity.NOTICE, Severity.WARNING, Severity.CRITICAL


class Words(NamedTuple):
    """How an event is told: how loud, the line above, and what follows; both are templates."""

    severity: Severity
    title: str
    body: str = ""


_BY: Final = "{{#actor}}By {{ actor }}.{{/actor}}"
_WHY: Final = "{{#why}}{{ why }}{{/why}}"
_ORDER: Final = "{{#side}}{{ side }} {{ quantity }} {{ instrument }}{{/side}}{{#why}}\n{{ why }}{{/why}}"
_LEFT: Final = (
    "Left by {{ exit_reason | words }} at {{ exit_price }}. Profit {{ realised_pnl | signed }}, fees {{ fees }}."
    "{{#tick_to_close_ms}}\nFrom tick to close {{ tick_to_close_ms }} ms.{{/tick_to_close_ms}}"
)
_REASON: Final = "{{ reason }}\n" + _BY
_LIMIT: Final = "{{ scope }}{{#target}} {{ target }}{{/target}}: {{ parameters }}\n" + _BY
_DIFFERENCE: Final = "Ours: {{ ours }}\nTheirs: {{ theirs }}{{#reason}}\n{{ reason }}{{/reason}}\n" + _BY
_FACTS: Final = "{{ facts }}"
_FACTS_BY: Final = _FACTS + "\n" + _BY
_PLAIN: Final = Words(_NOTICE, "{{ kind }} {{ subject }}", _FACTS_BY)

KINDS: Final[dict[str, Words]] = {
    "configuration.changed": Words(
        _NOTICE, "The configuration was changed: version {{ version }}", "{{ changes }}\n{{ reason }}\n" + _BY
    ),
    "process.stopped": Words(
        _NOTICE,
        "{{ process }} on {{ host }} ended: {{ reason }}",
        "After {{ seconds }} s{{#signal}}, by {{ signal }}{{/signal}}.{{#who}} {{ who }}.{{/who}}",
    ),
    "process.restarted": Words(_WARNING, "{{ process }} on {{ host }} died and was started again", "{{ how }}"),
    "site.stopped": Words(
        _WARNING,
        "The site on {{ host }} stops: {{ reason }}",
        "It ran {{ seconds }} s. Until it is started again nobody watches a stop here.{{#who}}\nBy {{ who }}.{{/who}}",
    ),
    "site.upgraded": Words(_NOTICE, "The site was upgraded to {{ version }}", "{{ sentence }}\n" + _BY),
    "site.upgrade_failed": Words(_CRITICAL, "The upgrade to {{ version }} failed", "{{ sentence }}\n" + _BY),
    "access.factor_added": Words(_WARNING, "{{ actor }} added a second factor", "{{ factor }}"),
    "access.factor_removed": Words(_WARNING, "{{ actor }} removed a second factor", "{{ factor }}"),
    "access.factor_reset": Words(_CRITICAL, "Second factors were taken away: {{ subject }}", _FACTS_BY),
    "access.locked_out": Words(_WARNING, "{{ username }} was locked out", "From {{ address }}."),
    "access.pair_opened": Words(_NOTICE, "{{ actor }} got a pair of tokens", "Scope {{ scope }}, by {{ by }}."),
    "access.pair_ended": Words(_NOTICE, "A pair of tokens ended: {{ actor }}", "{{ why }}"),
    "access.sessions_ended": Words(_NOTICE, "{{ sessions }} sessions were ended", _BY),
    "account.opened": Words(_NOTICE, "Account {{ name }} was opened", _BY),
    "account.deposited": Words(_NOTICE, "{{ amount | signed }} {{ currency }} on {{ account_name }}", _BY),
    "account.changed": Words(_NOTICE, "Account {{ name }} was changed", "{{ changes }}\n" + _BY),
    "account.connected": Words(
        _WARNING,
        "Account {{ name }} trades at {{ broker }} now",
        "{{#credential}}With the key {{ credential }}.{{/credential}}\n" + _BY,
    ),
    "account.live_enabled": Words(_CRITICAL, "{{ name }} may move real money now", "At {{ broker }}. " + _BY),
    "account.live_disabled": Words(
        _CRITICAL,
        "{{ name }} moves no real money any more",
        "{{#open_positions}}{{ open_positions }} positions stay open at the venue.{{/open_positions}}\n" + _BY,
    ),
    "account.agreed": Words(_NOTICE, "{{ account_name }} agrees with its venue again", _WHY),
    "account.doubted": Words(_WARNING, "{{ account_name }} may differ from its venue", _WHY),
    "credential.stored": Words(
        _WARNING, "The broker key {{ name }} was stored", "{{ broker }}, ends in {{ ending }}. " + _BY
    ),
    "credential.replaced": Words(
        _WARNING, "The broker key {{ name }} was replaced", "{{ broker }}, ends in {{ ending }}. " + _BY
    ),
    "credential.checked": Words(
        _INFO, "The broker key {{ name }} was checked", "May trade: {{ may_trade }}; may withdraw: {{ may_withdraw }}."
    ),
    "credential.deleted": Words(_WARNING, "The broker key {{ name }} was deleted", _BY),
    "credential.rotated": Words(_WARNING, "Keys are encrypted anew", "{{ credentials }} of them. " + _BY),
    "position.created": Words(
        _NOTICE,
        "Opened #{{ position }}: {{ side }} {{ quantity }} {{ instrument }} at {{ entry_price }}",
        "{{#account_name}}In {{ account_name }}.{{/account_name}}"
        "{{#legs}}\n{{ kind | words }} {{ level }}{{ trail }}{{/legs}}",
    ),
    "position.amended": Words(
        _INFO,
        "Levels of #{{ position }} {{ instrument }} were changed",
        "{{#legs}}{{ kind | words }} {{ level }}{{ trail }}\n{{/legs}}" + _BY,
    ),
    "position.enlarged": Words(
        _NOTICE,
        "#{{ position }} {{ instrument }} grew to {{ quantity }}",
        "{{ side }} {{ remaining }} of {{ quantity }} {{ instrument }} at {{ entry_price }}"
        "{{#account_name}} in {{ account_name }}{{/account_name}}",
    ),
    "position.reduced": Words(
        _NOTICE, "#{{ position }} {{ instrument }}: {{ remaining }} of {{ quantity }} left", _LEFT
    ),
    "position.closed": Words(
        _NOTICE, "Closed #{{ position }} {{ side }} {{ instrument }}: {{ realised_pnl | signed }}", _LEFT
    ),
    "position.dust_discarded": Words(
        _INFO,
        "The rest of #{{ position }} was written off",
        "{{ quantity }} {{ instrument }} is too little to be sold.",
    ),
    "site.keys_aged": Words(_WARNING, "Keys are too old or end soon", "{{ sentence }}"),
    "job.failed": Words(_WARNING, "The job {{ job }} failed", "For {{ slot }}, attempt {{ attempts }}: {{ error }}"),
    "job.skipped": Words(_NOTICE, "{{ slots }} runs of {{ job }} were left out", "From {{ first }} to {{ last }}."),
    "job.changed": Words(_NOTICE, "The job {{ job }} was changed", "{{ changes }}\n" + _BY),
    "job.deleted": Words(_NOTICE, "The job {{ job }} was deleted", _BY),
    "job.requested": Words(_INFO, "The job {{ job }} is run out of turn", _BY),
    "request.accepted": Words(_INFO, "A request was accepted", "Key {{ key }}. " + _BY),
    "exit.waiting": Words(
        _WARNING, "An exit of #{{ position }} waits", "{{ reason | words }}, since {{ since | instant }} UTC."
    ),
    "exit.failed": Words(_CRITICAL, "An exit of #{{ position }} FAILED", "{{ why }}\nIt was set aside: look at once."),
    "exit.claimed": Words(_INFO, "An exit of #{{ position }} became an order", "{{ reason | words }}, {{ quantity }}."),
    "order.created": Words(_INFO, "Order {{ subject }} was stored", _ORDER),
    "order.sent": Words(_INFO, "Order {{ subject }} is being sent", _ORDER),
    "order.unanswered": Words(_WARNING, "Nobody answered about {{ subject }}", _ORDER + "\nThe venue is being asked."),
    "order.accepted": Words(_INFO, "The venue has {{ subject }}", _ORDER),
    "order.partially_filled": Words(_INFO, "A part of {{ subject }} was filled", _ORDER),
    "order.filled": Words(_NOTICE, "Filled: {{ side }} {{ quantity }} {{ instrument }}", _ORDER),
    "order.cancelled": Words(_NOTICE, "{{ subject }} was cancelled", _ORDER),
    "order.expired": Words(_NOTICE, "{{ subject }} expired", _ORDER),
    "order.rejected": Words(_WARNING, "{{ subject }} was rejected", _ORDER),
    "order.questioned": Words(
        _CRITICAL, "What the venue says of {{ subject }} does not fit", "{{ notes }}\nA person must look."
    ),
    "order.exceeded": Words(
        _CRITICAL, "{{ subject }} was filled beyond its position", "{{ beyond }} beyond; lot {{ lot }}."
    ),
    "order.postponed": Words(_INFO, "{{ subject }} was postponed", "{{ why }} Until {{ until | instant }} UTC."),
    "order.waiting": Words(
        _WARNING, "Nobody has tried to send {{ subject }}", "{{ purpose | words }}, since {{ since | instant }} UTC."
    ),
    "order.cancel_asked": Words(_INFO, "{{ subject }} is to be taken back", _WHY),
    "order.cancelling": Words(_INFO, "{{ subject }} is being taken back", _WHY),
    "order.amend_asked": Words(_INFO, "{{ subject }} is to be changed", "{{ wanted }}"),
    "order.amended": Words(_INFO, "{{ subject }} was changed", _ORDER),
    "order.amend_refused": Words(_NOTICE, "The venue would not change {{ subject }}", _WHY),
    "order.amend_dropped": Words(_INFO, "{{ subject }} ended before it was changed", _WHY),
    "trading.state_changed": Words(
        _CRITICAL,
        "Trading is {{ state | upper }}: {{ scope }}{{#target}} {{ target }}{{/target}}",
        "It was {{ before }}. {{ reason }}\n" + _BY,
    ),
    "trading.flattened": Words(
        _CRITICAL,
        "Everything is being closed: {{ scope }}{{#target}} {{ target }}{{/target}}",
        "{{ exits }} exits were asked for. {{ reason }}\n" + _BY,
    ),
    "signal.changed": Words(
        _INFO,
        "{{ strategy }} wants {{ stance }} of {{ instrument }}",
        "At {{ price }}{{#weight}}, weight {{ weight }}{{/weight}}.{{#reason}}\n{{ reason }}{{/reason}}",
    ),
    "strategy.failed": Words(_WARNING, "Strategy {{ strategy }} failed", "{{ error }}\n{{ in_a_row }} in a row."),
    "strategy.disabled": Words(
        _CRITICAL, "Strategy {{ strategy }} was switched off", "{{ error }}\nIt failed {{ in_a_row }} times in a row."
    ),
    "strategy.added": Words(_INFO, "Strategy {{ strategy }} was added", _BY),
    "strategy.changed": Words(_NOTICE, "Strategy {{ strategy }} was changed", "{{ changes }}\n" + _BY),
    "strategy.promoted": Words(_NOTICE, "Strategy {{ strategy }}: {{ from }} to {{ to }}", _REASON),
    "strategy.overruled": Words(_WARNING, "Strategy {{ strategy }}: {{ from }} to {{ to }} without evidence", _REASON),
    "strategy.moved": Words(_NOTICE, "Strategy {{ strategy }}: {{ from }} to {{ to }}", _REASON),
    "strategy.voided": Words(_WARNING, "Strategy {{ strategy }} is a draft again", _REASON),
    "backtest.finished": Words(_INFO, "The backtest of {{ plugin }} is finished", _FACTS),
    "backtest.failed": Words(_WARNING, "The backtest of {{ plugin }} failed", "{{ error }}"),
    "backtest.cancelled": Words(_INFO, "A backtest was cancelled", _BY),
    "backup.completed": Words(_INFO, "A backup was taken: {{ name }}", "{{ sentence }}"),
    "backup.failed": Words(_CRITICAL, "A BACKUP FAILED", "{{ sentence }}"),
    "backup.drilled": Words(_INFO, "Backup {{ name }} was restored for trial", "{{ sentence }}"),
    "backup.drill_failed": Words(_CRITICAL, "RESTORING A BACKUP FAILED", "{{ sentence }}"),
    "feed.switched": Words(
        _WARNING, "{{ instrument }} counts on another source", "From {{ from }} to {{ to }}: {{ why }}"
    ),
    "calendar.refreshed": Words(
        _INFO,
        "{{ subject }} was brought up to date",
        "{{ added }} sessions added, {{ changed }} changed, {{ removed }} removed.",
    ),
    "instrument.added": Words(_INFO, "{{ instrument }} was added", _BY),
    "instrument.changed": Words(_NOTICE, "{{ instrument }} was changed", "{{ changes }}\n" + _BY),
    "risk.violated": Words(
        _CRITICAL,
        "A limit is broken: {{ rule | words }}",
        "{{ sentence }}{{#account_name}}\nIn {{ account_name }}.{{/account_name}}",
    ),
    "risk.recovered": Words(_NOTICE, "A limit is kept again: {{ rule | words }}", "{{ sentence }}"),
    "risk.acted": Words(_CRITICAL, "{{ rule | words }}: {{ action }}", "{{ exits }} exits were asked for."),
    "risk.limit_added": Words(_WARNING, "The limit {{ rule | words }} was added", _LIMIT),
    "risk.limit_changed": Words(_WARNING, "The limit {{ rule | words }} was changed", _LIMIT),
    "risk.limit_deleted": Words(_CRITICAL, "The limit {{ rule | words }} was deleted", _LIMIT),
    "risk.profile_saved": Words(_NOTICE, "The risk profile {{ name }} was saved", _BY),
    "risk.profile_deleted": Words(_WARNING, "The risk profile {{ name }} was deleted", _BY),
    "discrepancy.noticed": Words(_CRITICAL, "{{ account_name }} differs from its venue", _DIFFERENCE),
    "discrepancy.changed": Words(_WARNING, "{{ account_name }} differs from its venue by something else", _DIFFERENCE),
    "discrepancy.vanished": Words(_NOTICE, "{{ account_name }} and its venue agree again", _DIFFERENCE),
    "discrepancy.adopted": Words(_WARNING, "A difference of {{ account_name }} was adopted", _DIFFERENCE),
    "discrepancy.expensed": Words(_WARNING, "A difference of {{ account_name }} was written off", _DIFFERENCE),
    "discrepancy.ignored": Words(_WARNING, "A difference of {{ account_name }} is left alone", _DIFFERENCE),
    "discrepancy.cancel_asked": Words(_WARNING, "An order that is not ours is to be taken back", _DIFFERENCE),
    "discrepancy.reverted": Words(_WARNING, "What was done about a difference was taken back", _DIFFERENCE),
    "report.completed": Words(_NOTICE, "{{ title }}{{^title}}A report was made{{/title}}", "{{ verdict }}\n{{ link }}"),
    "report.failed": Words(_WARNING, "The {{ report_kind }} report of {{ day }} could not be made", "{{ error }}"),
    "channel.stored": Words(_WARNING, "Channel {{ name }} was stored", _BY),
    "channel.replaced": Words(_WARNING, "Channel {{ name }} was replaced", _BY),
    "channel.enabled": Words(_NOTICE, "Channel {{ name }} sends again", _BY),
    "channel.disabled": Words(_WARNING, "Channel {{ name }} was switched off", _BY),
    "channel.deleted": Words(_WARNING, "Channel {{ name }} was deleted", _BY),
    "delivery.failed": Words(
        _CRITICAL, "A message could not be delivered by {{ name }}", "{{ title }}\n{{ error }} ({{ tries }} tries)"
    ),
    "delivery.resent": Words(_INFO, "A message is sent again", "{{ title }}\n" + _BY),
    "chat.admitted": Words(_CRITICAL, "A Telegram chat may give orders for {{ person }} now", "Chat {{ chat }}."),
    "chat.released": Words(
        _WARNING, "A Telegram chat of {{ person }} gives no orders any more", "Chat {{ chat }}. " + _BY
    ),
    "chat.commanded": Words(_NOTICE, "{{ actor }} by Telegram: {{ command }}", "{{ answer }}"),
}


def of(kind: str) -> Words:
    """Return the words for a kind of event; plain ones for a kind that is not known."""
    return KINDS.get(kind, _PLAIN)
