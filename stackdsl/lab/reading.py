"""Reads declarations of a lab into a checked topology; everything that is wrong is told at once."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any

from stackdsl.dsl import faults, units, written
from stackdsl.lab import declaring, layouts, topologies

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMG]?)bit(?:/s)?", re.IGNORECASE)
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_LOSS = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_LEAST_DISK = 1 << 20
_NATS = ("preserving", "symmetric")


def read(lab: declaring.Lab, *, name: str, file: str | None) -> topologies.Topology:
    """Return the topology that a lab stands for; ``name`` is its name if it gives none.

    Raises:
        DefinitionError, StackErrors: everything that is wrong with it.
    """
    reader = _Reader()
    topology = reader.read(lab, name, file)
    reader.found.raise_all()
    return topology


class _Reader:
    """One reading of a lab, and the faults that it met."""

    def __init__(self) -> None:
        self.found = faults.Faults()

    def read(self, lab: declaring.Lab, name: str, file: str | None) -> topologies.Topology:
        self._refuse_unknown(lab, ["name"])
        given = lab.values["name"]
        if given is not None:
            name = self._take(lab, "name", lambda: _read_name(given)) or name
        if not lab.sites:
            self.found.add(
                lab.where("Lab"),
                "definition.lab-empty",
                "cannot build the lab: it has no site",
                do='declare one: office = lab.site("office", nat="preserving")',
            )
        sites = {id(one): self._read_site(one) for one in lab.sites}
        self._check_names([*lab.sites], "site")
        controller = self._read_controller(lab, sites)
        hosts = [self._read_host(one, sites) for one in lab.hosts]
        self._check_names([*lab.hosts], "host")
        self._check_room(lab)
        self._check_overlaps(lab)
        return topologies.Topology(
            name=name,
            file=file,
            sites=tuple(sites.values()),
            hosts=(*([controller] if controller else []), *hosts),
        )

    def _read_site(self, one: declaring.Site) -> topologies.Site:
        self._refuse_unknown(one, list(one.values))
        get = one.values.get
        return topologies.Site(
            name=self._take(one, "name", lambda: _read_name(get("name"))) or "",
            nat=self._take(one, "nat", lambda: _read_nat(get("nat"))),
            block_udp=self._read_flag(one, "block_udp"),
            subnet=self._take(one, "subnet", lambda: _read_subnet(get("subnet"))),
            delay_s=self._take(one, "delay", lambda: _read_time(get("delay"))) or 0.0,
            jitter_s=self._take(one, "jitter", lambda: _read_jitter(one)) or 0.0,
            loss=self._take(one, "loss", lambda: _read_loss(get("loss"))) or 0.0,
            rate_bps=self._take(one, "rate", lambda: _read_rate(get("rate"))),
        )

    def _read_host(self, one: declaring.Host, sites: dict[int, topologies.Site]) -> topologies.Host:
        self._refuse_unknown(one, list(one.values))
        get = one.values.get
        user = self._take(one, "user", lambda: _read_user(get("user"))) or "root"
        return topologies.Host(
            name=self._take(one, "name", lambda: _read_host_name(get("name"))) or "",
            site=sites[id(one.site)].name,
            user=user,
            sudo=self._read_flag(one, "sudo"),
            docker=self._read_flag(one, "docker"),
            tun=self._read_flag(one, "tun"),
            disk_bytes=self._take(one, "disk", lambda: _read_disk(get("disk"))),
            python=self._read_flag(one, "python"),
            powered=self._read_flag(one, "powered"),
        )

    def _read_controller(
        self, lab: declaring.Lab, sites: dict[int, topologies.Site]
    ) -> topologies.Host | None:
        for second in lab.controllers[1:]:
            self.found.add(
                second.where("controller"),
                "definition.lab-controllers",
                "cannot place the controller twice: the first place is on line "
                f"{lab.controllers[0].line}",
                do="keep one lab.controller(…)",
            )
        if not lab.controllers:
            if not sites:
                return None
            first = next(iter(sites.values()))
            return topologies.Host(name=topologies.CONTROLLER, site=first.name)
        one = lab.controllers[0]
        self._refuse_unknown(one, list(one.values))
        found = sites.get(id(one.values["site"]))
        if found is None:
            self.found.add(
                one.where("controller"),
                "definition.bad-value",
                f"cannot place the controller: {faults.shown(one.values['site'])}"
                " is no site of this lab",
                do="give what lab.site(…) returned, as lab.controller(office)",
            )
            return None
        return topologies.Host(
            name=topologies.CONTROLLER, site=found.name, docker=self._read_flag(one, "docker")
        )

    def _check_names(self, declared: Sequence[written.Written], kind: str) -> None:
        first: dict[object, written.Written] = {}
        for one in declared:
            name = one.values["name"]
            if not isinstance(name, str):
                continue
            if name in first:
                self.found.add(
                    one.where(f"{kind} {name}"),
                    "definition.lab-twice",
                    f'cannot declare {kind} "{name}": it is declared on line {first[name].line}',
                    do="give it another name",
                )
            first.setdefault(name, one)

    def _check_room(self, lab: declaring.Lab) -> None:
        for many in lab.sites[layouts.MAX_SITES :]:
            self.found.add(
                many.where("site"),
                "definition.lab-room",
                f"cannot declare another site: a lab has room for {layouts.MAX_SITES}",
                do="take sites out",
            )
        for site in lab.sites:
            subnet = site.values["subnet"]
            if subnet is not None and not _is_refused(_read_subnet, subnet):
                room = layouts.count_room(subnet)
            else:
                room = layouts.count_room("192.168.1.0/24")
            hosts = [one for one in lab.hosts if one.site is site]
            for extra in hosts[room:]:
                self.found.add(
                    extra.where(f"host {extra.values['name']}"),
                    "definition.lab-room",
                    f'cannot place host "{extra.values["name"]}": its site has addresses for'
                    f" {room} hosts",
                    do="give the site a larger subnet=, or take hosts out",
                )

    def _check_overlaps(self, lab: declaring.Lab) -> None:
        """Public nets are routed: no two may overlap, nor any with the lab's own."""
        taken = [("the lab's uplinks", ipaddress.ip_network(layouts.UPLINKS))]
        for site in lab.sites:
            subnet = site.values["subnet"]
            if subnet is None or _is_refused(_read_subnet, subnet):
                continue
            net = ipaddress.ip_network(subnet)
            is_public = not site.values["nat"]
            against = [*taken]
            if is_public:
                against.append(
                    ("public sites without subnet=", ipaddress.ip_network(layouts.PUBLIC))
                )
            for whose, other in against:
                if net.overlaps(other):
                    self.found.add(
                        site.where(f"site {site.values['name']}"),
                        "definition.lab-overlap",
                        f'cannot give site "{site.values["name"]}" the subnet "{subnet}":'
                        f" it overlaps {other}, of {whose}",
                        do="choose another subnet=; only sites with NAT may have the same",
                    )
                    break
            if is_public:
                taken.append((f'site "{site.values["name"]}"', net))

    def _refuse_unknown(self, one: written.Written, known: Iterable[str]) -> None:
        for key in one.unknown:
            self.found.add(
                one.where(one.form),
                "definition.unknown-keyword",
                f'cannot read keyword "{key}" of {one.form}: there is no such keyword',
                do=f"{faults.nearest(key, known)}it takes {', '.join(known)}",
            )

    def _read_flag(self, one: written.Written, key: str) -> bool:
        value = one.values[key]
        if isinstance(value, bool):
            return value
        self._take(one, key, lambda: _refuse_flag(value))
        return False

    def _take(self, one: written.Written, key: str, read_it: Any) -> Any:
        """Return what reads well; note what is refused, with its place."""
        name = one.values.get("name")
        where = one.where(f"{one.form} {name}" if isinstance(name, str) else one.form)
        try:
            return read_it()
        except faults.Refusal as refusal:
            self.found.add(
                where,
                refusal.code,
                f"cannot read {key}= of {one.form}: {refusal.fact}",
                do=refusal.do,
            )
        return None


def _is_refused(read_it: Any, value: object) -> bool:
    try:
        read_it(value)
    except faults.Refusal:
        return True
    return False


def _read_name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise faults.Refusal(
        f"{faults.shown(value)} is no name of a machine or net",
        "use a-z, 0-9 and -, beginning with a letter",
        code="definition.bad-name",
    )


def _read_host_name(value: object) -> str:
    name = _read_name(value)
    if name in (topologies.CONTROLLER, "localhost"):
        raise faults.Refusal(
            f'"{name}" is taken',
            "give the host another name; lab.controller(site) says where the controller stands",
            code="definition.bad-name",
        )
    return name


def _read_user(value: object) -> str:
    if isinstance(value, str) and _USER.fullmatch(value):
        return value
    raise faults.Refusal(
        f"{faults.shown(value)} is no name of an account", "give one, as root or deploy"
    )


def _read_nat(value: object) -> str | None:
    if value is False or value is None:
        return None
    if value in _NATS:
        return str(value)
    guess = faults.nearest(value, _NATS) if isinstance(value, str) else ""
    raise faults.Refusal(
        f"{faults.shown(value)} is no kind of NAT",
        f'{guess}give False (public addresses), "preserving" or "symmetric"',
    )


def _read_subnet(value: object) -> str | None:
    if value is None:
        return None
    hint = 'give an IPv4 net from /8 to /29, as "192.168.1.0/24"'
    try:
        net = ipaddress.IPv4Network(value)
    except (ValueError, TypeError) as problem:
        raise faults.Refusal(f"{faults.shown(value)} is no net ({problem})", hint) from None
    if not isinstance(value, str) or not 8 <= net.prefixlen <= 29:
        raise faults.Refusal(f"{faults.shown(value)} is no net of a site", hint)
    if net.is_loopback or net.is_multicast or net.is_link_local:
        raise faults.Refusal(f"{faults.shown(value)} is no net that is routed", hint)
    return str(net)


def _read_time(value: object) -> float:
    return 0.0 if value is None else units.seconds(value)


def _read_jitter(one: written.Written) -> float:
    jitter = _read_time(one.values["jitter"])
    delay = one.values["delay"]
    if jitter and not _is_refused(_read_time, delay) and jitter > _read_time(delay):
        raise faults.Refusal(
            f"{faults.shown(one.values['jitter'])} is more than the delay",
            "give a delay= that is at least as long: no packet arrives before it was sent",
        )
    return jitter


def _read_loss(value: object) -> float:
    if value is None:
        return 0.0
    hint = 'give a share, as "2%" or 0.02'
    if isinstance(value, str) and (match := _LOSS.fullmatch(value.strip())):
        share = float(match[1]) / 100
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        share = float(value)
    else:
        raise faults.Refusal(f"{faults.shown(value)} is no share of packets", hint)
    if not 0 <= share <= 1:
        raise faults.Refusal(f"{faults.shown(value)} is no share of packets", hint)
    return share


def _read_rate(value: object) -> float | None:
    if value is None:
        return None
    rate = 0.0
    if isinstance(value, str) and (match := _RATE.fullmatch(value.strip())):
        rate = float(match[1]) * _FACTORS[match[2].lower()]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        rate = float(value)
    if rate < 1000:
        raise faults.Refusal(
            f"{faults.shown(value)} is no rate of an uplink",
            'give bits a second, as "20Mbit" or 20_000_000',
        )
    return rate


def _read_disk(value: object) -> int | None:
    if value is None:
        return None
    size = units.size(value)
    if size < _LEAST_DISK:
        raise faults.Refusal(
            f"{faults.shown(value)} is too small for a machine's own files", "give 1MiB or more"
        )
    return size


def _refuse_flag(value: object) -> None:
    raise faults.Refusal(f"{faults.shown(value)} is neither True nor False", "give True or False")
