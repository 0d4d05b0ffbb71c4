"""Orders of directed graphs given as plain mappings: stages and cycles, deterministic."""

from collections.abc import Iterable, Mapping


def find_cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return one cycle for each strongly connected component that holds one.

    ``edges`` maps a node to what it waits for. Each cycle is a list of names in walking order
    that starts at its least name; the list is sorted. Iterative Tarjan, O(V + E).
    """
    graph = {name: sorted(set(targets)) for name, targets in edges.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    cycles: list[list[str]] = []
    for root in sorted(graph):
        if root in index:
            continue
        work: list[tuple[str, int]] = [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            descended = False
            targets = graph.get(node, [])
            for offset in range(position, len(targets)):
                target = targets[offset]
                if target not in graph:
                    continue
                if target not in index:
                    work.append((node, offset + 1))
                    work.append((target, 0))
                    descended = True
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            if descended:
                continue
            if low[node] == index[node]:
                component: set[str] = set()
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    component.add(member)
                    if member == node:
                        break
                if len(component) > 1 or node in graph[node]:
                    cycles.append(_walk_cycle(component, graph))
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[node])
    return sorted(cycles)


def _walk_cycle(component: set[str], graph: Mapping[str, list[str]]) -> list[str]:
    """Return the shortest cycle through the least member of a component, breadth first."""
    start = min(component)
    came_from: dict[str, str] = {}
    queue = [start]
    for node in queue:
        for target in graph[node]:
            if target == start:
                path = [node]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if target in component and target not in came_from and target != start:
                came_from[target] = node
                queue.append(target)
    return [start]


def find_stages(edges: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return for each node the length of the longest chain that it waits for (0: nothing).

    ``edges`` maps a node to what it waits for and must have no cycle; unknown targets are passed
    over. O(V + E).
    """
    waits = {name: {t for t in targets if t in edges} for name, targets in edges.items()}
    waiters: dict[str, list[str]] = {name: [] for name in edges}
    for name, targets in waits.items():
        for target in targets:
            waiters[target].append(name)
    left = {name: len(targets) for name, targets in waits.items()}
    stages = {name: 0 for name, count in left.items() if count == 0}
    queue = sorted(stages)
    for name in queue:
        for waiter in waiters[name]:
            left[waiter] -= 1
            stages[waiter] = max(stages.get(waiter, 0), stages[name] + 1)
            if left[waiter] == 0:
                queue.append(waiter)
    return stages
