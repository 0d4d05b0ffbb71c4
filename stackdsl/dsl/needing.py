"""Needing: parameters and needs=[…] turned into what must be there first and what is told."""

from stackdsl.dsl import collecting, faults, values, written
from stackdsl.model import services

Explicit = tuple[written.Declaration, services.Condition | None]


class Needs:
    """The dependencies of one declaration, its faults noted on the way."""

    def __init__(
        self, entry: collecting.Entry, collection: collecting.Collection, found: faults.Faults
    ) -> None:
        self._entry = entry
        self._collection = collection
        self._found = found
        self._label = f'{entry.declaration.kind} "{entry.declaration.name}"'

    def read(self) -> tuple[services.Need, ...]:
        """Return parameters in their order, then what is needed beside them."""
        explicit = self._explicit()
        needs: dict[tuple[str, services.Condition], services.Need] = {}
        ordered: set[int] = set()
        for parameter in self._entry.signature.dependencies:
            target = self._resolve(parameter, f'parameter "{parameter}"', is_parameter=True)
            if target is None:
                continue
            told = next((c for t, c in explicit if t is target and c is not None), None)
            condition = self._condition(target, told, is_parameter=True)
            if condition != "planned":
                ordered.add(id(target))
            needs[target.name, condition] = services.Need(
                name=target.name, condition=condition, parameter=parameter, is_addressed=True
            )
        for target, told in explicit:
            if told is None and id(target) in ordered:
                continue
            condition = self._condition(target, told, is_parameter=False)
            if (target.name, condition) not in needs:
                # without a function there is no parameter that could ask for the address
                is_addressed = condition == "planned" or (
                    self._entry.declaration.function is None and target.kind == "service"
                )
                needs[target.name, condition] = services.Need(
                    name=target.name, condition=condition, is_addressed=is_addressed
                )
        return tuple(needs.values())

    def restart_with(self) -> tuple[str, ...]:
        """Return the names of the services whose restarts this one follows."""
        names = []
        for reference in self._list("restart_with", "the services whose restarts it follows"):
            target = self._resolve(reference, "restart_with=")
            if target is None:
                continue
            if target.kind == "task":
                self._fault(
                    f'restart_with= names task "{target.name}", and tasks are not restarted',
                    f'take "{target.name}" out of restart_with=[…]',
                )
                continue
            names.append(str(target.name))
        return tuple(dict.fromkeys(names))

    def _explicit(self) -> list[Explicit]:
        found: list[Explicit] = []
        for reference in self._list("needs", "what must be there first"):
            condition: services.Condition | None = None
            inner = reference
            if isinstance(reference, values.Condition):
                condition = reference.form  # type: ignore[assignment] # its forms are the conditions
                inner = reference.values["dependency"]
            target = self._resolve(inner, "needs=")
            if target is not None:
                found.append((target, condition))
        return found

    def _list(self, keyword: str, meaning: str) -> list[object]:
        given = self._entry.keywords.get(keyword)
        if given is None:
            return []
        if not isinstance(given, (list, tuple)):
            self._fault(
                f"{keyword}= is {faults.shown(given)}, not a list",
                f"write {keyword}=[…] with {meaning}",
            )
            return []
        return list(given)

    def _resolve(
        self, reference: object, source: str, *, is_parameter: bool = False
    ) -> written.Declaration | None:
        asking = self._entry.declaration
        target = self._collection.resolve(asking, reference)
        if target is not None:
            if target is asking and is_parameter:
                self._fault(
                    f"{source} is the {asking.kind} itself",
                    'name the parameter "me" and annotate it Me',
                )
                return None
            return target
        if not isinstance(reference, str):
            self._fault(
                f"{source} holds {faults.shown(reference)}",
                "give a service, a task, its name, or started(…), ready(…), completed(…),"
                " planned(…) of one",
            )
            return None
        self._unknown(reference, source, is_parameter=is_parameter)
        return None

    def _unknown(self, name: str, source: str, *, is_parameter: bool) -> None:
        asking = self._entry.declaration
        variable = asking.namespace.get(name)
        if isinstance(variable, written.Declaration):
            guess = (
                f'the variable "{name}" holds {variable.kind} "{variable.name}": use that name. '
            )
        else:
            guess = faults.nearest(name, self._collection.names())
        rest = (
            "a parameter is the name of a service or task of the stack, or me;"
            " one with a default value is left alone"
            if is_parameter
            else "name a service or task that this module defines or imports"
        )
        thing = source if is_parameter else f'{source[:-1]}=["{name}"]'
        self._found.add(
            asking.where,
            "definition.unknown-name",
            f"cannot find what {thing} of {self._label} means:"
            f' there is no service or task "{name}"',
            do=f"{guess}{rest}",
        )

    def _condition(
        self, target: written.Declaration, told: services.Condition | None, *, is_parameter: bool
    ) -> services.Condition:
        if target.kind == "service":
            return told or "ready"
        if told == "ready" or (told == "started" and is_parameter):
            fact = f'{told}("{target.name}") is asked of a task, and what counts of it is its end'
            self._fault(fact, f'write completed("{target.name}"), or only "{target.name}"')
        elif told == "planned":
            fact = f'planned("{target.name}") is asked of a task, which has no address'
            self._fault(fact, f'write "{target.name}" to wait for its end, or take it out')
        else:
            return told or "completed"
        return "completed"

    def _fault(self, fact: str, do: str) -> None:
        self._found.add(
            self._entry.declaration.where,
            "definition.bad-need",
            f"cannot read the needs of {self._label}: {fact}",
            do=do,
        )
