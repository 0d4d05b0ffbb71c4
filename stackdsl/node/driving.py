"""Which driver a replica has: the one place that looks at what it is."""

from stackdsl.model import specs
from stackdsl.node import attaching, drivers, journal, processdriving, surroundings


def make(
    spec: specs.ServiceSpec, around: surroundings.Surroundings, told: drivers.Told
) -> drivers.Driver:
    """Return what drives one start of a replica."""
    if spec.container is not None:
        from stackdsl.node import containerdriving  # only where there are containers

        return containerdriving.ContainerDriver(spec, around, told)
    if spec.attach_container is not None:
        from stackdsl.node import containerattaching  # as above

        return containerattaching.AttachedContainer(spec, around, told)
    if is_attached_process(spec):
        return attaching.AttachedProcess(spec, around, told)
    return processdriving.ProcessDriver(spec, around, told)


def is_attached_process(spec: specs.ServiceSpec) -> bool:
    """Whether it is a process that someone else started."""
    return spec.attach_pid is not None or spec.attach_process is not None


def is_container(spec: specs.ServiceSpec) -> bool:
    """Whether it is one, of ours or of someone else's."""
    return spec.container is not None or spec.attach_container is not None


def may_live(row: journal.Row, around: surroundings.Surroundings) -> bool:
    """Whether what an earlier node started may be taken up."""
    if is_container(row.spec):
        return True  # the engine knows how it ended, too
    return processdriving.lives(row, around)


async def clear_rest(
    spec: specs.ServiceSpec, around: surroundings.Surroundings, *, at_once: bool
) -> None:
    """End what an ended replica left behind in the background."""
    if not is_attached_process(spec) and not is_container(spec):
        await processdriving.clear_rest(spec, around, at_once=at_once)
