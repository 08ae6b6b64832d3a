"""The units of systemd: one per kind of process, made from `processes`, so that they say what `manage.py up` starts."""

from pathlib import Path
from typing import Final

from django.conf import LazySettings

from apps.ops import processes
from apps.ops.supervisor import Child

TARGET: Final = "tradingsite.target"
PLACE: Final = "/opt/tradingsite"
ENVIRONMENT: Final = "/etc/tradingsite/environment"
STATE: Final = "tradingsite"
REFUSED: Final = 2  # the status of a process that refuses its environment or its tables: trying again changes nothing
STOP_SECONDS: Final = 30
# In the demo only; a site that trades at an exchange has no use for it.
LEFT_OUT: Final = frozenset({"simulator"})
SHARDED: Final = ("listener", "listener-standby")
GIVES_WAY: Final = {"worker-backtests": 10, "worker-reporting": 5}
# Nothing of ours needs more of the machine than sockets, its own folder and memory. What is missing here on purpose:
# MemoryDenyWriteExecute, because strategies are compiled while they run.
HARDENING: Final = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""
_TARGET_TEXT: Final = f"""\
# Made by `manage.py units`. Starts and stops the whole site: systemctl start {TARGET}
[Unit]
Description=Trading site
Wants={{wants}}
After=network-online.target

[Install]
WantedBy=multi-user.target
"""
_SERVICE: Final = """\
# Made by `manage.py units`; a change belongs into apps/ops/units.py, or into a drop-in (systemctl edit {name}).
[Unit]
Description=Trading site: {what}
Documentation=file://{place}/docs/operations.md
PartOf={target}
After=network-online.target postgresql.service redis-server.service valkey-server.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User=tradingsite
Group=tradingsite
WorkingDirectory={place}
EnvironmentFile={environment_file}
{environment}
ExecStart={command}
Restart=always
RestartSec=2
RestartPreventExitStatus={refused}
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={stop}
StateDirectory={state}
StateDirectoryMode=0700
{nice}{hardening}
[Install]
WantedBy={target}
"""


def files(settings: LazySettings) -> dict[str, str]:
    """Return the text of each unit by the name of its file."""
    kinds = {child.name: child for child in processes.children(settings, flower_password="")}
    chosen = [kinds[name] for name in (*processes.KINDS, *SHARDED[1:]) if name in kinds and name not in LEFT_OUT]
    units = {_file(child): _service(child) for child in chosen}
    wants = " ".join(name.replace("@.", "@0.") for name in units)
    return {TARGET: _TARGET_TEXT.format(wants=wants), **units}


def write(folder: Path, settings: LazySettings) -> list[str]:
    """Write the units into a folder, take away those that are not ours any more, and return what changed."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = files(settings)
    changed = differing(folder, settings)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
    return changed


def differing(folder: Path, settings: LazySettings) -> list[str]:
    """Name the files of a folder that are missing, different, or too many."""
    wanted = files(settings)
    there = {path.name: path.read_text() for path in folder.glob("tradingsite*")} if folder.is_dir() else {}
    return sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))


def _file(child: Child) -> str:
    """Name a unit; listeners are templates, an instance for each shard."""
    return f"tradingsite-{child.name}{'@' if child.name in SHARDED else ''}.service"


def _service(child: Child) -> str:
    words = [word.replace(str(processes.ROOT), PLACE).replace("%h", "%%h") for word in child.argv[1:]]
    shard = ("--shard", "%i") if child.name in SHARDED else ()
    command = [f"{PLACE}/.venv/bin/python", *words, *shard]
    own = {name: value for name, value in child.environment.items() if name in processes.CELERY}
    shown = {
        "PROCESS_NAME": f"{child.name}-%i" if child.name in SHARDED else child.name,
        "TRADINGSITE_VAR": f"/var/lib/{STATE}",
        "PATH": f"{PLACE}/.venv/bin:/usr/bin:/bin",
        **own,
    }
    nice = GIVES_WAY.get(child.name)
    return _SERVICE.format(
        name=_file(child),
        what=child.name + (" of shard %i" if child.name in SHARDED else ""),
        place=PLACE,
        target=TARGET,
        environment_file=ENVIRONMENT,
        environment="\n".join(f'Environment="{name}={value}"' for name, value in shown.items()),
        command=" ".join(command),
        refused=REFUSED,
        stop=STOP_SECONDS,
        state=STATE,
        nice=f"Nice={nice}\n" if nice else "",
        hardening=HARDENING,
    )
