"""Which driver a replica has: the one place that looks at what it is."""

from stackdsl.model import specs
from stackdsl.node import attaching, drivers, journal, processdriving, surroundings


def make(
    spec: specs.ServiceSpec, around: surroundings.Surroundings, told: drivers.Told
) -> drivers.Driver:
    """Return what drives one start of a replica."""
    if is_attached_process(spec):
        return attaching.AttachedProcess(spec, around, told)
    return processdriving.ProcessDriver(spec, around, told)


def is_attached_process(spec: specs.ServiceSpec) -> bool:
    """Whether it is a process that someone else started."""
    return spec.attach_pid is not None or spec.attach_process is not None


def may_live(row: journal.Row, around: surroundings.Surroundings) -> bool:
    """Whether what an earlier node started may be taken up."""
    return processdriving.lives(row, around)


async def clear_rest(
    spec: specs.ServiceSpec, around: surroundings.Surroundings, *, at_once: bool
) -> None:
    """End what an ended replica left behind in the background."""
    if not is_attached_process(spec):
        await processdriving.clear_rest(spec, around, at_once=at_once)
