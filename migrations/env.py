"""How Alembic reaches the market store: on the connection it is handed, or by the address in the environment."""

from alembic import context
from sqlalchemy import Connection, NullPool

from apps.market.store import revisions
from apps.market.store.connection import new_engine


def run(connection: Connection) -> None:
    """Run the revisions Alembic asks for on an open transaction."""
    context.configure(connection=connection, **revisions.options(connection))
    with context.begin_transaction():
        context.run_migrations()


def run_from_environment() -> None:
    """Open the address of the environment, wait for the turn, run."""
    with new_engine(revisions.environment_url(), NullPool).begin() as connection:
        revisions.prepare(connection)
        run(connection)


if context.is_offline_mode():
    raise SystemExit("the market store migrates a live database only: leave out --sql")

handed = context.config.attributes.get("connection")
if handed is None:
    run_from_environment()
else:
    run(handed)
