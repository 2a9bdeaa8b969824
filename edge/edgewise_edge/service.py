"""The systemd user unit that keeps an agent running: gentle to the machine, and fenced in as far as a user may.

What a user's unit cannot have is left out: capability bounds need privileges. `MemoryDenyWriteExecute` is left out
since libffi, which `ctypes` uses, wants pages that are written and then run; `ProcSubset=pid` would hide the load and
the free memory that the conditions read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

NAME = "edgewise-device.service"

UNIT = """\
# Written by `edgewise device install`; `edgewise device uninstall` removes it.
[Unit]
Description=edgewise: this device takes part in federated learning
StartLimitIntervalSec=0

[Service]
ExecStart={command}
WorkingDirectory={cwd}
EnvironmentFile=-{environment}
Restart=always
RestartSec=30
# Nobody should notice: everything else comes first, and what grows past the limit is ended and starts anew.
Nice=19
CPUSchedulingPolicy=idle
IOSchedulingClass=idle
MemoryMax={memory}
MemorySwapMax=0
OOMScoreAdjust=500
# What trains is a process of its own: if it grows too large it alone ends, and the agent tells the coordinator.
OOMPolicy=continue
TasksMax=64
# The agent writes its own folder and nothing else. A user's unit needs its own user namespace for the fences below.
PrivateUsers=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={home}
UMask=0077
NoNewPrivileges=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
KeyringMode=private
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @obsolete
SystemCallFilter=sched_setscheduler sched_setaffinity ioprio_set setpriority
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""


def unit(command: Sequence[str], home: Path, *, cwd: Path, memory: str) -> str:
    """Return the unit's text.

    Args:
        command: what to run; the first is an absolute path.
        home: the device's folder; `environment` in it may hold `EDGEWISE_PASSWORD=…`, readable by its owner alone.
        cwd: where relative paths in the command begin.
        memory: systemd's words for the most memory, such as `300M`.

    Example:
        >>> "MemoryMax=300M" in unit(["/usr/bin/edgewise"], Path("/home/me/pi"), cwd=Path("/"), memory="300M")
        True
    """
    return UNIT.format(
        command=" ".join(quoted(word) for word in command),
        environment=_path(home / "environment"),
        home=_path(home),
        cwd=_path(cwd),
        memory=memory,
    )


def unit_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a user's own units stand."""
    config = environment.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "systemd" / "user" / NAME


def quoted(word: str) -> str:
    """Return a word of a command line so that systemd reads it as it is (systemd.service, COMMAND LINES).

    Example:
        >>> print(quoted('50% "off" $HOME'))
        "50%% \\"off\\" $$HOME"
    """
    plain = word.replace("%", "%%").replace("$", "$$")
    if plain and all(letter.isalnum() or letter in "-_./:=%@+,$" for letter in plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _path(path: Path) -> str:
    """Return a path for a setting that takes no quotes: specifiers doubled, blanks escaped."""
    return str(path).replace("\\", "\\\\").replace("%", "%%").replace(" ", "\\x20")
