"""Reading: a declaration's raw keywords turned into a service of the model, every fault noted."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from stackdsl.dsl import (
    bodies,
    collecting,
    conversions,
    faults,
    filing,
    forms,
    importing,
    keywords,
    needing,
    units,
    written,
)
from stackdsl.model import places, probes, services

Convert = Callable[[Any], Any]

_PLAIN: dict[str, tuple[str, Convert]] = {
    "env": ("env", conversions.env),
    "start_timeout": ("start_timeout_s", units.seconds),
    "restart": ("restart", forms.restart),
    "stop_signal": ("stop_signal", units.signal_number),
    "stop_timeout": ("stop_timeout_s", units.seconds),
    "stop_command": ("stop_command", conversions.argv),
    "user": ("user", conversions.user),
    "umask": ("umask", conversions.umask),
    "limits": ("limits", forms.limits),
    "replicas": ("replicas", lambda value: conversions.whole(value, 1)),
    "scale": ("scale", forms.scale),
    "network": (
        "network",
        lambda value: conversions.one_of(value, ("auto", "lan", "wireguard", "tunnel")),
    ),
    "stable": ("is_stable", conversions.flag),
    "isolated": ("is_isolated", conversions.flag),
    "hooks": ("hooks", conversions.hooks),
    "tty": ("tty", conversions.flag),
    "log": ("log", lambda value: conversions.one_of(value, ("file", "pipe"))),
    "ready": ("ready", forms.probe_list),
    "live": ("live", forms.probe_list),
    "done": ("done", forms.probe),
    "timeout": ("timeout_s", units.seconds),
    "retries": ("retries", lambda value: conversions.whole(value, 0)),
}


class Reader:
    """One declaration on its way into the model."""

    def __init__(
        self,
        entry: collecting.Entry,
        collection: collecting.Collection,
        context: importing.Context,
        *,
        folder: str,
        settings_where: services.Where | None = None,
    ) -> None:
        self.entry = entry
        self.declaration = entry.declaration
        self.found = faults.Faults()
        self.where = entry.declaration.where
        self.label = f'{entry.declaration.kind} "{entry.declaration.name}"'
        self.folder = folder
        self._collection = collection
        self._context = context
        self._settings_where = settings_where

    def read(self) -> services.Service:
        """Return the service; where something is wrong it holds defaults, and faults are noted."""
        self._check_form()
        fields = self._fields()
        place = self._convert("runs_on", lambda v: forms.place(v, self.folder), places.Local())
        fields["runs_on"] = place
        is_process = isinstance(place, (places.Local, places.Ssh))
        ports = self._ports(place)
        default = ports[0].name if ports else None
        ports = _with_schemes(ports, default, (*(fields.get("ready") or ()), *fields["live"]))
        if fields.get("ready") is None and ports and ports[0].protocol == "udp":
            fields["ready"] = ()  # a TCP probe of a UDP port can never succeed
        self._read_scale(fields)
        needs = needing.Needs(self.entry, self._collection, self.found)
        service = services.Service(
            name=str(self.declaration.name),
            kind=self.declaration.kind,
            body=self._body(is_process=is_process),
            parameters=self._parameters(),
            where=self.where,
            doc=self._doc(),
            ports=ports,
            default_port=default,
            needs=needs.read(),
            restart_with=needs.restart_with(),
            cwd=self._cwd(place),
            files=filing.read_files(self),
            **fields,
        )
        self._check_probes(service)
        self._check_place(service)
        return service

    def refuse(self, keyword: str, refusal: faults.Refusal, value: object = None) -> None:
        """Note that a keyword's value was refused, at the place where it was written."""
        where, thing = self.where, f"{keyword}= of {self.label}"
        if keyword in self.entry.inherited and self._settings_where is not None:
            where, thing = self._settings_where, f"{keyword}= of Stack(…)"
        if isinstance(value, written.Written):
            where = value.where(where.what)
        for one in (refusal, *refusal.others):
            self.found.add(where, one.code, f"cannot read {thing}: {one.fact}", do=one.do)

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"live": ()}
        for keyword, (field, read) in _PLAIN.items():
            if keyword in self.entry.keywords:
                value = self._convert(keyword, read, None)
                if value is not None:
                    fields[field] = value
        for keyword, read in (
            ("volumes", self._read_volumes),
            ("watch", lambda v: conversions.paths(v, self.folder)),
            ("sync", lambda v: conversions.paths(v, self.folder)),
        ):
            if keyword in self.entry.keywords:
                fields[keyword] = self._convert(keyword, read, ())
        return fields

    def _read_scale(self, fields: dict[str, Any]) -> None:
        """Begin with the least of ``scale=`` unless ``replicas=`` says how many."""
        scale = fields.get("scale")
        if scale is None:
            return
        given = fields.setdefault("replicas", scale.min)
        if not scale.min <= given <= scale.max:
            fact = f"{given} is not from {scale.min} to {scale.max}, as scale= has it"
            self.refuse("replicas", faults.Refusal(fact, "leave replicas= out, or widen scale="))

    def _convert(self, keyword: str, read: Convert, default: Any) -> Any:
        value = self.entry.keywords.get(keyword)
        if value is None or not self._takes(keyword):
            return default
        try:
            return read(value)
        except faults.Refusal as refusal:
            self.refuse(keyword, refusal, value)
            return default

    def _takes(self, keyword: str) -> bool:
        allowed = keywords.SERVICE if self.declaration.kind == "service" else keywords.TASK
        return keyword in allowed

    def _check_form(self) -> None:
        kind = self.declaration.kind
        try:
            conversions.name(self.declaration.name, kind)
        except faults.Refusal as refusal:
            what = f"cannot name {self.label}: {refusal.fact}"
            self.found.add(self.where, refusal.code, what, do=refusal.do)
        for keyword in self.entry.keywords:
            if not self._takes(keyword) and keyword not in self.entry.inherited:
                self._refuse_keyword(keyword)
        problem = self.entry.signature.problem
        if self.declaration.misuse:
            problem = (
                self.declaration.misuse,
                f"write @{kind}(port=…) with keywords above a def that returns a command",
            )
        if problem is not None:
            what = f"cannot use {self.label}: {problem[0]}"
            self.found.add(self.where, "definition.bad-body", what, do=problem[1])

    def _refuse_keyword(self, keyword: str) -> None:
        kind = self.declaration.kind
        allowed = keywords.SERVICE if kind == "service" else keywords.TASK
        if keyword in keywords.SERVICE | keywords.TASK:
            other = "task" if kind == "service" else "service"
            do = f"only a {other} takes {keyword}=; take it out"
        else:
            guess = faults.nearest(keyword, allowed)
            known = f"{kind}(…) takes {', '.join(sorted(allowed))}"
            do = f"{guess}else take it out" if guess else known
        what = f'cannot read {self.label}: there is no keyword "{keyword}"'
        self.found.add(self.where, "definition.unknown-keyword", what, do=do)

    def _ports(self, place: places.Place) -> tuple[services.Port, ...]:
        found: list[services.Port] = []
        given = self._convert("port", lambda value: forms.port("default", value), None)
        if given is not None:
            found.append(given)
        several = self.entry.keywords.get("ports")
        if several is not None and not isinstance(several, Mapping):
            fact = f"{faults.shown(several)} is not a mapping"
            self.refuse("ports", faults.Refusal(fact, 'give {"http": 8080, "admin": 9090}'))
            several = None
        for name, value in (several or {}).items():
            try:
                port = forms.port(conversions.name(name, "port"), value)
            except faults.Refusal as refusal:
                self.refuse("ports", refusal, value)
                continue
            self._add_port(found, port)
        if isinstance(place, places.External) and not found:
            found.append(services.Port(name="default", number=place.port))
        return tuple(found)

    def _add_port(self, found: list[services.Port], port: services.Port) -> None:
        for other in found:
            is_same = (other.number, other.protocol) == (port.number, port.protocol)
            if is_same or other.name == port.name:
                one, two = f'"{other.name}"', f'"{port.name}"'
                fact = f"{one} and {two} both are {port.protocol} port {port.number}"
                if not is_same:
                    fact = f"there are two ports named {one}"
                self.refuse("ports", faults.Refusal(fact, "give each port once"))
                return
        found.append(port)

    def _read_volumes(self, value: object) -> tuple[services.Volume, ...]:
        if not isinstance(value, (list, tuple)):
            hint = 'give a list as ["data:/var/lib/data"]'
            raise faults.Refusal(f"{faults.shown(value)} is not a list", hint)
        return tuple(faults.read_each(lambda one: conversions.volume(one, self.folder), value))

    def _cwd(self, place: places.Place) -> str | None:
        given = self._convert("cwd", conversions.path, None)
        if not isinstance(place, places.Local):
            return None if given is None else str(given)
        return self.folder if given is None else conversions.absolute(given, self.folder)

    def _parameters(self) -> tuple[str, ...]:
        signature = self.entry.signature
        return (*signature.dependencies, *(("me",) if signature.me is not None else ()))

    def _doc(self) -> str:
        doc = getattr(self.declaration.function, "__doc__", None)
        return doc.strip().partition("\n")[0] if isinstance(doc, str) else ""

    def _body(self, *, is_process: bool) -> services.Body:
        if self.declaration.misuse or self.entry.signature.problem is not None:
            return bodies.make_constant(None)  # it cannot be called, which is told already
        if self.declaration.function is not None:
            return bodies.AuthorBody(
                self.declaration,
                self.entry.signature,
                self._context,
                folder=self.folder,
                is_process=is_process,
            )
        given = self.declaration.command
        command = None
        if given is None and is_process:
            hint = 'give command=["prog", "--flag"]'
            self.refuse("command", faults.Refusal("a process needs a program to run", hint))
        elif callable(given):
            hint = f"decorate it: {self.declaration.kind}(name=…)(function) takes a body"
            self.refuse("command", faults.Refusal("it is a function", hint))
        elif given is not None:
            try:
                folder = self.folder if is_process else None
                command = bodies.convert_command(given, folder=folder)
            except faults.Refusal as refusal:
                self.refuse("command", refusal, given)
        return bodies.make_constant(command)

    def _check_probes(self, service: services.Service) -> None:
        for keyword, given in (
            ("ready", service.ready or ()),
            ("live", service.live),
            ("done", () if service.done is None else (service.done,)),
        ):
            for probe in given:
                try:
                    _check_probe(probe, service)
                except faults.Refusal as refusal:
                    self.refuse(keyword, refusal)

    def _check_place(self, service: services.Service) -> None:
        for keyword, refusal in find_misfits(service):
            self.refuse(keyword, refusal)


def _with_schemes(
    ports: tuple[services.Port, ...], default: str | None, given: tuple[probes.Probe, ...]
) -> tuple[services.Port, ...]:
    """Return ports with scheme "http" where an http probe is on them and none was given."""
    probed = {
        default if probe.port is None else probe.port
        for probe in given
        if isinstance(probe, probes.Http)
    }
    if not probed:
        return ports
    return tuple(
        dataclasses.replace(port, scheme="http")
        if port.scheme is None and {port.name, port.number} & probed
        else port
        for port in ports
    )


def _check_probe(probe: probes.Probe, service: services.Service) -> None:
    if not isinstance(probe, (probes.Http, probes.Tcp)):
        return
    port = service.port
    names = [known.name for known in service.ports]
    if probe.port is None and port is None:
        raise faults.Refusal(
            f"{probe.kind}(…) has no port to go to, as the {service.kind} has none",
            f"give the {service.kind} port=…, or the probe port=…",
        )
    if isinstance(probe.port, str):
        port = next((known for known in service.ports if known.name == probe.port), None)
        if port is None:
            guess = faults.nearest(probe.port, names)
            do = f"{guess}its ports are {faults.quoted(names) or 'none'}"
            fact = f'{probe.kind}(…) names port "{probe.port}", which it does not have'
            raise faults.Refusal(fact, do, code="definition.unknown-port")
    elif probe.port is not None:
        port = next((known for known in service.ports if known.number == probe.port), None)
    if port is not None and port.protocol == "udp":
        fact = f'{probe.kind}(…) goes to port "{port.name}", which is UDP'
        raise faults.Refusal(fact, "probe a TCP port, or use check([…]), log(…) or file(…)")


def find_misfits(service: services.Service) -> list[tuple[str, faults.Refusal]]:
    """Return what a service asks for that its place or its replicas cannot give."""
    found = []
    place = service.runs_on
    is_native = isinstance(place, (places.Local, places.Ssh))
    if service.volumes and not isinstance(place, places.Docker):
        do = "write to me.dir, a folder of its own that is kept over restarts"
        found.append(("volumes", faults.Refusal(f'"{place}" mounts nothing', do)))
    if service.is_isolated and not is_native:
        do = "take isolated= out: only a native process needs it"
        found.append(("isolated", faults.Refusal(f'it runs on "{place}"', do)))
    found += _find_container_misfits(service)
    if isinstance(place, places.External) and service.ports:
        number = service.ports[0].number
        if number != place.port:
            fact = f"{number} differs from port {place.port} of the external address"
            found.append(("port", faults.Refusal(fact, "leave port= out")))
    if service.replicas > 1 or service.scale is not None:
        for port in service.ports:
            told = None if port.publish is None else "publish"
            if is_native and not service.is_isolated:
                told = told or ("bind" if port.bind is not None else None)
                told = "listens" if port.listens is not None else told
            if told is not None:
                fact = f'port "{port.name}" has {told}=, which only one replica can have'
                do = f"take {told}= out, or give replicas=1"
                found.append(("replicas", faults.Refusal(fact, do)))
    return found


def _find_container_misfits(service: services.Service) -> list[tuple[str, faults.Refusal]]:
    """Return what a service asks for that only a container has, or that a container cannot give."""
    found = []
    place = service.runs_on
    is_container = isinstance(place, places.Docker)
    is_attached = isinstance(place, places.Attach) and place.container is not None
    for keyword, given in (("ready", service.ready or ()), ("live", service.live)):
        is_asked = any(isinstance(probe, probes.DockerHealth) for probe in given)
        if is_asked and not (is_container or is_attached):
            do = "use http(…), tcp() or check([…])"
            whom = "a process" if isinstance(place, places.Local) else f'"{place}"'
            found.append((keyword, faults.Refusal(f"docker_health() is asked of {whom}", do)))
    if is_container and service.umask is not None:
        do = "take it out, and set it in the image's own command"
        found.append(("umask", faults.Refusal("a container has none that can be given", do)))
    for port in service.ports if is_container or service.is_isolated else ():
        for keyword, address in (
            ("listens", None if port.listens is None else port.listens[0]),
            ("bind", port.bind),
        ):
            if address is not None and address.startswith("127."):
                fact = f'port "{port.name}" has {keyword}={address}, which nobody outside reaches'
                do = f"let its program listen on 0.0.0.0, as me.bind says, and take {keyword}= out"
                found.append(("ports", faults.Refusal(fact, do)))
    return found
