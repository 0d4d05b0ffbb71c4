"""A small internet on one machine: sites, routers, uplinks and hosts to try a stack on."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; at run time __getattr__ below does it
    from stackdsl.lab.declaring import Host, Lab, Site

__all__ = ["Host", "Lab", "Site"]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used: the processes of a lab never need these (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stackdsl.lab import declaring

    return getattr(declaring, name)
