"""What all replicas of a run share on one machine: folders, marks, logs, probes, ways to tell."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from stackdsl.model import reports, specs
from stackdsl.model.requests import RunIdentity
from stackdsl.node import (
    accounts,
    cgroups,
    containers,
    ending,
    enginekeeping,
    journal,
    launches,
    logfiles,
    logs,
    marks,
    notifying,
    probing,
    processes,
)


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """The run as its replicas see it (mutable only in what it holds)."""

    identity: RunIdentity
    spawner: processes.Spawner
    prober: probing.Prober
    keeper: logs.LogKeeper
    journal: journal.Journal
    families: ending.Families
    cgroup: cgroups.RunCgroup | None
    report: Callable[[reports.Report], None]
    environment: dict[str, str]
    lock: int
    engine: enginekeeping.EngineKeeper
    containers: containers.Containers

    @property
    def folder(self) -> str:
        """The run's folder."""
        return self.identity.folder

    def launch_of(self, spec: specs.ServiceSpec) -> launches.Launch:
        """Return a replica's command with its whole environment, marks included."""
        env = dict(self.environment)
        if spec.user:
            account = accounts.find(spec.user)
            if account is not None and not account.is_us:
                env.update(HOME=account.home, USER=account.name, LOGNAME=account.name)
        for key, value in spec.env:
            if value is None:
                env.pop(key, None)
            else:
                env[key] = value
        env[marks.REPLICA] = spec.name
        return launches.Launch(
            name=spec.name,
            argv=spec.argv,
            env=env,
            cwd=spec.cwd,
            user=spec.user,
            umask=spec.umask,
            limits=spec.limits,
        )

    def spawn(
        self, spec: specs.ServiceSpec, launch: launches.Launch, on_exit: Callable[[], None]
    ) -> processes.Process:
        """Start a replica's program inside what bounds it.

        Raises:
            ServiceError: it cannot be started.
        """
        if spec.limits.memory_bytes is None and spec.limits.cpu is None:
            return self.spawner.spawn(launch, on_exit)
        bounds = cgroups.Bounds(self.identity.run_id, spec.name, spec.limits)
        try:
            bounds.enter()
            return self.spawner.spawn(
                launches.bounded(launch) if bounds.has_memory else launch, on_exit
            )
        finally:
            bounds.leave(self.cgroup)

    def open_notices(self, spec: specs.ServiceSpec) -> notifying.Notices:
        """Open the socket that a replica tells its readiness to."""
        return notifying.Notices(
            os.path.join(self.folder, f"{spec.name}.notify"), is_abstract=spec.user is not None
        )

    def log_paths(self, name: str) -> tuple[str, str]:
        """Return where a replica's streams are written."""
        out, err = (logfiles.path_of(self.folder, name, stream) for stream in logfiles.STREAMS)
        return out, err

    def trouble(self, what: str, detail: str) -> None:
        """Report something about the machine."""
        self.report(reports.HostReport(what=what, detail=detail, time_ns=time.time_ns()))
