"""Where tasks go."""

from inspect import signature

import pytest
from celery.exceptions import QueueNotFound

from apps.ops import processes
from tradingsite.celery import app
from workers import queues, timetable


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load the tasks as workers do."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in processes.CELERY.items():
            patch.setenv(name, value)
        app.loader.import_default_modules()


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("trading.drain_exits", "exits"),
        ("trading.carry_forward", "orders"),
        ("market.roll_up", "market"),
        ("strategies.run_due", "strategies"),
        ("backtests.trial", "backtests"),
        ("reporting.deliver", "reporting"),
        ("ops.prune", "ops"),
        ("nobody.knows", "ops"),
        ("noprefix", "ops"),
    ],
)
def test_the_queue_follows_from_the_name(task: str, queue: str) -> None:
    assert queues.of(task) == queue
    assert app.amqp.router.route({}, task)["queue"].name == queue


def own_tasks() -> list[str]:
    return [name for name, task in app.tasks.items() if task.__module__.startswith("workers.")]


def test_every_task_has_a_family_with_a_queue() -> None:
    assert own_tasks()
    assert {name.partition(".")[0] for name in own_tasks()} <= queues.BY_PREFIX.keys()


def test_every_job_starts_a_task_that_exists() -> None:
    assert {job.task for job in timetable.JOBS} <= set(own_tasks())


def test_every_task_bears_a_newer_senders_argument() -> None:
    for name in own_tasks():
        check = app.tasks[name].__header__
        own = [key for key, each in signature(check).parameters.items() if each.kind is each.KEYWORD_ONLY]
        check(**dict.fromkeys(own, 1), something_new=1)  # raises TypeError without **_later


def test_a_task_cannot_make_a_queue() -> None:
    with pytest.raises(QueueNotFound, match="nowhere"):
        app.send_task("ops.prune", queue="nowhere")
    assert "nowhere" not in app.amqp.queues


def test_money_messages_never_wait_for_a_time() -> None:
    # A message with an ETA beyond the visibility timeout runs several times.
    limits = app.conf.broker_transport_options
    assert limits["visibility_timeout"] > 2 * app.conf.task_time_limit
