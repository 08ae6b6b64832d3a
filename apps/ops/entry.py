"""How a command runs: the servers it needs are up before Django reads its settings, and released when it ends."""

import contextlib
import gc
import importlib
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType

import environ
from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError

from apps.ops import servers
from apps.ops.servers import places

# These read and write files only. The simulator is a stranger to our database by design.
WITHOUT_SERVERS = frozenset(
    {
        "",
        "--help",
        "--version",
        "-h",
        "collectstatic",
        "compilemessages",
        "desk",
        "diffsettings",
        "findstatic",
        "help",
        "makemessages",
        "makemigrations",
        "simulator",
        "spectacular",
        "startapp",
        "units",
        "version",
    }
)
# These do not either as long as they read candles of a file and keep nothing.
ON_FILES = frozenset({"backtest"})
KEEPS_OR_READS_ROWS = frozenset({"--save", "--instrument"})
# Objects made before the garbage collector looks. Imports make many and drop few, and these commands end soon: looking
# as often as usual was 0.2 of 1.4 seconds.
BETWEEN_LOOKS = 200_000
CONFIGURATION_STATUS = 2
INTERRUPTED_STATUS = 128 + signal.SIGINT


def run(argv: Sequence[str]) -> int:
    """Run one management command; a wrong environment ends in one line on standard error and status 2."""
    if argv[1:2] and argv[1] in ON_FILES:
        gc.set_threshold(BETWEEN_LOOKS)
    try:
        _read_dotenv()
        with _servers_for(argv):
            execute_from_command_line(list(argv))
    except (servers.ServersUnavailable, _configuration_error()) as error:
        for sentence in getattr(error, "sentences", (str(error),)):
            sys.stderr.write(f"{' '.join(sentence.split())}\n")
        return CONFIGURATION_STATUS
    except (OperationalError, ProgrammingError) as error:
        if not isinstance(error, OperationalError) and "does not exist" not in str(error):
            raise  # a wrong statement is a bug and shows where it is
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        hint = "" if isinstance(error, OperationalError) else " Run `manage.py prepare` or start the site once."
        sys.stderr.write(f"The database cannot be used: {first}.{hint}\n")
        return CONFIGURATION_STATUS
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    return 0


def needs_servers(argv: Sequence[str]) -> bool:
    """Say whether a command line needs the database and the broker."""
    command = argv[1] if len(argv) > 1 else ""
    options = {word.partition("=")[0] for word in argv[2:]}
    if command in ON_FILES and "--candles" in options and not options & KEEPS_OR_READS_ROWS:
        return False
    return command not in WITHOUT_SERVERS and not {"-h", "--help", "--version"} & set(argv[2:])


@contextlib.contextmanager
def _servers_for(argv: Sequence[str]) -> Iterator[None]:
    if not needs_servers(argv):
        # makemigrations would like to ask the database about its history, and warns that there is none.
        warnings.filterwarnings("ignore", message="Got an error checking a consistent migration history")
        yield
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup a hang-up stays ignored
            signal.signal(number, _leave)
    with servers.hold():
        yield


def _leave(number: int, _frame: FrameType | None) -> None:
    """End like after Ctrl-C, so that the servers are released; commands that know better install their own handler."""
    raise SystemExit(128 + number)


def _read_dotenv() -> None:
    # Settings read the same file later; here it decides whether the operator named servers of his own.
    dotenv = places.REPOSITORY / ".env"
    if dotenv.exists():
        environ.Env.read_env(str(dotenv), overwrite=False)


def _configuration_error() -> type[Exception]:
    # By name: apps sit below the wiring and do not import it; this door is started by it.
    error: type[Exception] = importlib.import_module("tradingsite.environment").ConfigurationError
    return error
