"""Orders of directed graphs given as plain mappings: stages and cycles, deterministic."""

from collections.abc import Iterable, Mapping


def find_cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return cycles such that every node on any cycle is in one of them, shortest first per node.

    ``edges`` maps a node to what it waits for; unknown targets are passed over. Each cycle is a
    list of names in walking order that starts at its least name; the list is sorted.
    """
    stages = find_stages(edges)
    stuck = {
        name: sorted({target for target in targets if target in edges and target not in stages})
        for name, targets in edges.items()
        if name not in stages
    }
    cycles: list[list[str]] = []
    seen: set[str] = set()
    for start in sorted(stuck):
        cycle = None if start in seen else _walk_cycle(start, stuck)
        if cycle is not None:
            seen.update(cycle)
            least = cycle.index(min(cycle))
            cycles.append(cycle[least:] + cycle[:least])
    return sorted(cycles)


def _walk_cycle(start: str, graph: Mapping[str, list[str]]) -> list[str] | None:
    """Return the shortest cycle through ``start``, found breadth first, if there is one."""
    came_from: dict[str, str] = {}
    queue = [start]
    for node in queue:
        for target in graph[node]:
            if target == start:
                path = [node]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if target not in came_from:
                came_from[target] = node
                queue.append(target)
    return None


def find_stages(edges: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return for each node the length of the longest chain that it waits for (0: nothing).

    ``edges`` maps a node to what it waits for; unknown targets are passed over, nodes on or behind
    a cycle are left out. O(V + E).
    """
    waiters: dict[str, list[str]] = {name: [] for name in edges}
    left: dict[str, int] = {}
    for name, targets in edges.items():
        known = {target for target in targets if target in edges}
        left[name] = len(known)
        for target in known:
            waiters[target].append(name)
    deepest = dict.fromkeys(edges, 0)
    queue = sorted(name for name, count in left.items() if count == 0)
    for name in queue:
        for waiter in waiters[name]:
            left[waiter] -= 1
            deepest[waiter] = max(deepest[waiter], deepest[name] + 1)
            if left[waiter] == 0:
                queue.append(waiter)
    return {name: deepest[name] for name in queue}
