import dataclasses

import numpy as np
import pytest
import scipy.sparse

from components.graph_builder import graph as graph_module
from components.graph_builder.config import GraphConfig
from components.graph_builder.edges import (
    PeriodEvents,
    concatenate,
    no_events,
    window_sizes,
)
from components.graph_builder.reader import read_graph
from components.splits import SplitConfig
from tests.components import helpers

#                     position in history: 0           1         2         3
LOG = {
    "u1": [("a", 10), ("b", 20), ("a", 30), ("c", 40)],
    "u2": [("b", 10), ("c", 20), ("d", 50)],
    "u3": [("e", 30), ("c", 60)],
    "u4": [("a", 20), ("g", 40), ("f", 70), ("a", 80)],
}
SPLIT = SplitConfig(
    validation_date="1970-01-01T00:00:32Z",
    test_date="1970-01-01T00:00:45Z",
    min_user_events=3,
    min_development_events=2,
)
# Node u2 is user 0, u1 is 1 and u4 is 2 (of the second vocabulary). Items of
# the train period: a, b, e, c by frequency; g comes on top.


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return helpers.transform(LOG, SPLIT, tmp_path_factory.mktemp("graph"))


GRAPH = GraphConfig()


def edges_of(graph) -> list[tuple]:
    edges = graph.edge_sets["interacts"]
    columns = (
        edges.adjacency.source,
        edges.adjacency.target,
        edges["timestamp"],
    )
    return list(zip(*(c.numpy().tolist() for c in columns), strict=True))


def node_ids(graph, name: str) -> list[bytes]:
    return graph.node_sets[name]["id"].numpy().tolist()


def random_events(seed: int, num_users: int, num_items: int) -> PeriodEvents:
    generator = np.random.default_rng(seed)
    return PeriodEvents(
        users=generator.integers(0, num_users, 300),
        items=1 + generator.integers(0, num_items, 300),
        timestamps=generator.integers(0, 10**10, 300),
    )


def random_graph(events: PeriodEvents):
    users = [b"u%d" % i for i in range(20)]
    items = [b"i%d" % i for i in range(30)]
    return graph_module.build_graph(
        events, users, items, "train", GraphConfig()
    )


def test_newest_two_events_of_each_user(data):
    graphs = helpers.graphs(data, SPLIT, GraphConfig(newest=2))
    train = graphs["train"]
    assert node_ids(train, "user") == [b"u2", b"u1"]
    assert node_ids(train, "item") == [b"a", b"b", b"e", b"c"]
    assert edges_of(train) == [(0, 1, 10), (0, 3, 20), (1, 0, 30), (1, 1, 20)]
    # Degrees of the users are 2 and 2, of a, b and c 1, 2 and 1.
    np.testing.assert_allclose(
        train.edge_sets["interacts"]["weight"],
        [1 / 2, 1 / 2**0.5, 1 / 2**0.5, 1 / 2],
        rtol=1e-6,
    )
    final = graphs["train_validation"]
    assert node_ids(final, "user") == [b"u2", b"u1"]
    assert node_ids(final, "item") == [b"a", b"b", b"e", b"c", b"g"]
    assert edges_of(final) == [(0, 1, 10), (0, 3, 20), (1, 0, 30), (1, 3, 40)]


def test_repeated_pair_is_one_edge_at_its_newest_time(data):
    graphs = helpers.graphs(data, SPLIT, GraphConfig(newest=None))
    assert edges_of(graphs["train"]) == [
        (0, 1, 10), (0, 3, 20), (1, 0, 30), (1, 1, 20),
    ]  # fmt: skip
    weights = graphs["train"].edge_sets["interacts"]["weight"]
    assert float(weights[2]) == pytest.approx(1 / 2**0.5)


def test_refit_on_users_that_came_after_the_validation_cut(data):
    split = dataclasses.replace(SPLIT, refit_users="development")
    graphs = helpers.graphs(data, split, GraphConfig(newest=1))
    assert node_ids(graphs["train"], "user") == [b"u2", b"u1"]
    final = graphs["train_validation"]
    assert node_ids(final, "user") == [b"u2", b"u1", b"u4"]
    assert edges_of(final) == [(0, 3, 20), (1, 3, 40), (2, 4, 40)]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (GraphConfig(newest=10), [0, 1, 10, 10]),
        (GraphConfig(newest=None), [0, 1, 10, 30]),
        (GraphConfig(newest=None, newest_share=0.1), [0, 1, 1, 3]),
        (GraphConfig(newest=None, newest_share=0.34), [0, 1, 4, 11]),
        (GraphConfig(newest=None, newest_share=1.0), [0, 1, 10, 30]),
    ],
)
def test_window_sizes(config, expected):
    sizes = window_sizes(config, np.array([0, 1, 10, 30]))
    assert sizes.tolist() == expected


def test_a_share_is_rounded_up_as_in_whole_numbers():
    ends = np.arange(400)
    for percent in range(1, 101):
        config = GraphConfig(newest=None, newest_share=percent / 100)
        np.testing.assert_array_equal(
            window_sizes(config, ends), -(-percent * ends // 100)
        )


def test_weights_are_the_symmetric_normalisation():
    events = random_events(0, 20, 30)
    edges = random_graph(events).edge_sets["interacts"]
    users, items = edges.adjacency.source, edges.adjacency.target
    # The whole bipartite adjacency, users first.
    ones = scipy.sparse.coo_matrix(
        (np.ones(300), (events.users, events.items - 1)), (20, 30)
    ).tocsr()
    ones.data[:] = 1
    adjacency = scipy.sparse.bmat([[None, ones], [ones.T, None]], "csr")
    degrees = np.asarray(adjacency.sum(axis=1)).ravel()
    scale = scipy.sparse.diags(
        np.where(degrees > 0, np.maximum(degrees, 1) ** -0.5, 0)
    )
    expected = (scale @ adjacency @ scale).toarray()[:20, 20:]
    found = np.zeros((20, 30))
    found[users, items] = edges["weight"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert len(users) == ones.nnz


def test_files_do_not_depend_on_the_order_of_events(tmp_path):
    events = random_events(1, 20, 30)
    order = np.random.default_rng(2).permutation(300)
    shuffled = PeriodEvents(
        events.users[order], events.items[order], events.timestamps[order]
    )
    contents = []
    for number, some in enumerate((events, shuffled)):
        directory = tmp_path / str(number)
        graph_module.write_graph(random_graph(some), str(directory))
        contents.append(
            {path.name: path.read_bytes() for path in directory.iterdir()}
        )
    assert contents[0] == contents[1]
    assert set(contents[0]) == {
        "graph.json", "graph.tfrecord", "graph_schema.pbtxt",
    }  # fmt: skip


def test_edges_are_sorted_by_user_then_item():
    graph = random_graph(random_events(3, 20, 30))
    pairs = [edge[:2] for edge in edges_of(graph)]
    assert pairs == sorted(set(pairs))


def test_period_without_edges_names_cut_and_counts():
    events = dataclasses.replace(
        no_events(), num_histories=7, num_fit_users=0, cut=1394150400
    )
    with pytest.raises(ValueError) as error:
        graph_module.build_graph(events, [], [b"a"], "train", GRAPH)
    for part in ("`train`", "7 users", "validation cut at 1394150400"):
        assert part in str(error.value)


def test_edge_outside_the_nodes_is_refused():
    events = PeriodEvents(np.array([0]), np.array([3]), np.array([1]))
    with pytest.raises(ValueError, match="items 2 to 2, expected 0 to 1"):
        graph_module.build_graph(
            events, [b"u"], [b"a", b"b"], "train", GraphConfig()
        )


def test_examples_of_two_runs_are_refused():
    parts = [dataclasses.replace(no_events(), cut=cut) for cut in (1, None, 2)]
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        concatenate(parts)


def test_missing_graph_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="`train`.*graph.tfrecord"):
        read_graph(str(tmp_path), "train")


def test_executor_reads_and_writes_artifacts(data, tmp_path):
    from tfx.types import channel_utils, standard_artifacts

    from components.artifacts import InteractionGraph
    from components.graph_builder.component import GraphBuilder
    from components.graph_builder.executor import Executor
    from models.settings import to_json

    root = tmp_path / "transformed"
    root.mkdir()
    (root / "Split-all").symlink_to(data.examples)
    examples = standard_artifacts.Examples()
    examples.uri = str(root)
    examples.split_names = '["all"]'
    transform_graph = standard_artifacts.TransformGraph()
    transform_graph.uri = data.transform_graph
    graph = InteractionGraph()
    graph.uri = str(tmp_path / "graph")
    component = GraphBuilder(
        examples=channel_utils.as_channel([examples]),
        transform_graph=channel_utils.as_channel([transform_graph]),
        config=to_json(GraphConfig(newest=2)),
        split_config=to_json(SPLIT),
        code_fingerprint="0",
    )
    Executor().Do(
        {"examples": [examples], "transform_graph": [transform_graph]},
        {"graph": [graph]},
        dict(component.exec_properties),
    )
    assert component.outputs["graph"].type is InteractionGraph
    assert len(edges_of(read_graph(graph.uri, "train_validation"))) == 4
