"""Graphs of stacks and plans: nodes, edges, components, the critical path."""

from stackdsl.model import graphs as model
from stackdsl.model import places
from stackdsl.plan import graphs
from tests.unit.plan.making import after, lan, plan, port, service, ssh, stack, task, uses

SHOP = stack(
    service("db", port(5432)),
    task("migrate", needs=[uses("db")]),
    service("api", port(8080), needs=[uses("db"), after("migrate", "completed")], replicas=2),
    service("alone"),
)


def edges_of(
    view: model.GraphView,
) -> dict[tuple[str, str], tuple[str, str | None, str | None]]:
    return {(e.source, e.target): (e.kind, e.condition, e.address) for e in view.edges}


def test_a_stack_is_a_graph_without_addresses() -> None:
    view = graphs.view_dependencies(SHOP)

    assert [(node.id, node.kind, node.host) for node in view.nodes] == [
        ("alone", "service", "local"),
        ("api", "service", "local"),
        ("db", "service", "local"),
        ("migrate", "task", "local"),
    ]
    assert edges_of(view) == {
        ("api", "db"): ("link", "ready", None),
        ("api", "migrate"): ("needs", "completed", None),
        ("migrate", "db"): ("link", "ready", None),
    }


def test_a_plan_tells_addresses_and_a_run_states() -> None:
    made = plan(SHOP)

    view = graphs.view_dependencies(made, {"db": "ready"})

    db = next(node for node in view.nodes if node.id == "db")
    assert db.state == "ready"
    assert edges_of(view)["api", "db"] == ("loopback", "ready", made.links[0].address)


def test_components_are_found_largest_first() -> None:
    assert graphs.find_components(graphs.view_dependencies(SHOP)) == (
        ("api", "db", "migrate"),
        ("alone",),
    )


def test_the_critical_path_is_the_longest_chain_in_the_order_of_starting() -> None:
    assert graphs.find_critical_path(graphs.view_dependencies(SHOP)) == ("db", "migrate", "api")


def test_the_critical_path_does_not_follow_planned_needs() -> None:
    ring = stack(
        service("a", port(1), needs=[uses("b", "planned")]),
        service("b", port(1), needs=[uses("a", "planned")]),
        service("c", needs=[uses("a")]),
    )

    assert graphs.find_critical_path(graphs.view_dependencies(ring)) == ("a", "c")


def test_a_topology_shows_what_runs_where_and_who_calls_whom() -> None:
    made = plan(
        stack(
            service("db", port(5432), runs_on=ssh("db")),
            service("api", needs=[uses("db"), uses("mail")]),
            service("mail", runs_on=places.External(host="mail", port=25), me=False),
        ),
        lan({"local": "10.0.0.1", "db": "10.0.0.2"}),
    )

    view = graphs.view_topology(made)

    assert [node.id for node in view.nodes] == ["api", "db", "host:db", "host:local", "mail"]
    assert edges_of(view) == {
        ("host:db", "db"): ("runs", None, None),
        ("host:local", "api"): ("runs", None, None),
        ("host:local", "host:db"): ("lan", None, "10.0.0.2"),
        ("api", "db"): ("lan", "ready", "10.0.0.2:5432"),
        ("api", "mail"): ("external", "ready", "mail:25"),
    }
    assert view.kind == "topology"


def test_a_topology_leaves_out_what_is_order_only() -> None:
    made = plan(stack(service("db", port(5432)), task("migrate", needs=[after("db")])))

    assert ("migrate", "db") not in edges_of(graphs.view_topology(made))


def test_nodes_tell_how_they_stand_and_what_they_serve() -> None:
    isolated = service(
        "api", port(8080), port(9090, "admin"), needs=[uses("db")], is_isolated=True, replicas=2
    )
    container = service("db", port(5432), runs_on=places.Docker(image="postgres:16"))

    nodes = {n.id: n for n in graphs.view_dependencies(stack(isolated, container)).nodes}

    api, db = nodes["api"], nodes["db"]
    assert (api.vantage, api.ports, api.replicas, api.stage) == (
        "isolated", ("8080", "admin 9090"), 2, 1,
    )  # fmt: skip
    assert (db.vantage, db.place, db.stage) == ("container", "docker postgres:16", 0)


def test_a_service_is_as_its_replica_that_is_worst_off() -> None:
    states = {"api-0": "ready", "api-1": "failed", "db": "ready"}

    nodes = graphs.view_dependencies(plan(SHOP), states).nodes

    assert {n.id: n.state for n in nodes}["api"] == "failed"


def test_an_empty_stack_has_an_empty_graph() -> None:
    view = graphs.view_dependencies(stack())

    assert view.nodes == ()
    assert graphs.find_components(view) == ()
    assert graphs.find_critical_path(view) == ()
