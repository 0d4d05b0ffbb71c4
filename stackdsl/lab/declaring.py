"""The words that a topology's author writes: a lab, its sites, their hosts.

Laws: they only write down, with file and line; `reading` judges everything at once.
"""

from typing import Any, Never

from stackdsl.dsl import written


class Host(written.Written):
    """A machine of a site, as it was declared."""

    __slots__ = ("site",)

    def __init__(self, site: "Site", values: dict[str, Any], unknown: dict[str, Any]) -> None:
        super().__init__("host", values, unknown, depth=3)
        self.site = site


class Site(written.Written):
    """A LAN behind a router, as it was declared."""

    __slots__ = ("lab",)

    def __init__(self, lab: "Lab", values: dict[str, Any], unknown: dict[str, Any]) -> None:
        super().__init__("site", values, unknown, depth=3)
        self.lab = lab

    def host(
        self,
        name: str,
        *,
        user: str = "root",
        sudo: bool = True,
        docker: bool = False,
        tun: bool = True,
        disk: str | int | None = None,
        python: bool = True,
        powered: bool = True,
        **unknown: Never,
    ) -> Host:
        """Declare a machine of the site, with an sshd that lets ``user`` in.

        ``sudo``: that account may become root without a password. ``docker``: it has an engine of
        its own, started when it is first used. ``tun``: it has /dev/net/tun. ``disk``: how much
        all of its files may take ("64MiB"). ``python``: there is a python3 on its PATH.
        ``powered``: it is on from the beginning.
        """
        kept = {
            "name": name,
            "user": user,
            "sudo": sudo,
            "docker": docker,
            "tun": tun,
            "disk": disk,
            "python": python,
            "powered": powered,
        }
        made = Host(self, kept, unknown)
        self.lab.hosts.append(made)
        return made


class Lab(written.Written):
    """A small internet: sites with routers and uplinks, and hosts.

    Put it into a topology file as ``lab = Lab()``; `stackdsl lab` and the fixture ``lab`` build it.
    """

    __slots__ = ("controllers", "hosts", "sites")

    def __init__(self, name: str | None = None, **unknown: Never) -> None:
        super().__init__("Lab", {"name": name}, unknown)
        self.sites: list[Site] = []
        self.hosts: list[Host] = []
        self.controllers: list[written.Written] = []

    def site(
        self,
        name: str,
        *,
        nat: str | bool = False,
        block_udp: bool = False,
        subnet: str | None = None,
        delay: str | float | None = None,
        jitter: str | float | None = None,
        loss: str | float | None = None,
        rate: str | float | None = None,
        **unknown: Never,
    ) -> Site:
        """Declare a LAN with its router and its uplink to the internet.

        ``nat``: False (public addresses), "preserving" (ports kept where they are free) or
        "symmetric" (a port of its own for every destination). ``block_udp``: the router drops UDP.
        ``subnet``: the LAN's addresses; several sites with NAT may have the same. Each direction
        of the uplink takes ``delay``, give or take ``jitter``, loses ``loss`` ("2%") and carries
        ``rate`` ("20Mbit", per second).
        """
        kept = {
            "name": name,
            "nat": nat,
            "block_udp": block_udp,
            "subnet": subnet,
            "delay": delay,
            "jitter": jitter,
            "loss": loss,
            "rate": rate,
        }
        made = Site(self, kept, unknown)
        self.sites.append(made)
        return made

    def controller(self, site: Site, *, docker: bool = False, **unknown: Never) -> None:
        """Say at which site the controller stands (the first, if this is not said); ``docker``: it
        has an engine."""
        self.controllers.append(
            written.Written("controller", {"site": site, "docker": docker}, unknown)
        )
