from hypothesis import given
from hypothesis import strategies as st

from stackdsl.model import orders

names = st.sampled_from("abcdefgh")
graphs = st.dictionaries(names, st.sets(names, max_size=4), max_size=8)


def test_a_cycle_of_three_is_told_in_walking_order_from_its_least_name() -> None:
    assert orders.find_cycles({"b": ["c"], "c": ["a"], "a": ["b"]}) == [["a", "b", "c"]]


def test_a_service_that_waits_for_itself_is_a_cycle() -> None:
    assert orders.find_cycles({"a": ["a"]}) == [["a"]]


def test_what_only_waits_for_a_cycle_is_not_part_of_it() -> None:
    assert orders.find_cycles({"x": ["a"], "a": ["b"], "b": ["a"]}) == [["a", "b"]]


def test_two_separate_cycles_are_both_told() -> None:
    edges = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}
    assert orders.find_cycles(edges) == [["a", "b"], ["c", "d"]]


@given(graphs)
def test_there_is_a_cycle_exactly_when_some_node_has_no_stage(edges: dict[str, set[str]]) -> None:
    assert bool(orders.find_cycles(edges)) == (set(orders.find_stages(edges)) != set(edges))


@given(graphs)
def test_every_cycle_told_is_one(edges: dict[str, set[str]]) -> None:
    for cycle in orders.find_cycles(edges):
        for here, there in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert there in edges[here]


@given(graphs)
def test_a_stage_is_one_more_than_the_deepest_need(edges: dict[str, set[str]]) -> None:
    stages = orders.find_stages(edges)
    for name, stage in stages.items():
        needs = [stages[target] for target in edges[name] if target in edges]
        assert stage == max((need + 1 for need in needs), default=0)
