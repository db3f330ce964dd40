import pytest

from serving import batching_parameters, model_config, monitoring
from serving.batching_parameters import BatchingParameters
from serving.config_error import ConfigError
from serving.model_config import VersionPolicy


def _config(tmp_path, inside, name="create"):
    path = tmp_path / "models.config"
    path.write_text(
        f'model_config_list {{ config {{ name: "{name}" {inside} }} }}'
    )
    return model_config.read(str(path))


BASE = 'base_path: "/m" model_platform: "tensorflow" '


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VersionPolicy(num_versions=1)),
        ("latest { num_versions: 3 }", VersionPolicy(num_versions=3)),
        ("latest {}", VersionPolicy(num_versions=1)),
        ("all {}", VersionPolicy(num_versions=None)),
        (
            "specific { versions: 7 versions: 9 }",
            VersionPolicy(versions=frozenset({7, 9})),
        ),
    ],
)
def test_policies(tmp_path, text, policy):
    inside = BASE + f"model_version_policy {{ {text} }}"
    (model,) = _config(tmp_path, inside)
    assert (model.name, model.base_path) == ("create", "/m")
    assert model.policy == policy


def test_labels(tmp_path):
    (model,) = _config(
        tmp_path,
        BASE + 'version_labels { key: "a" value: 1 } '
        'version_labels { key: "b" value: 2 }',
    )
    assert model.labels == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('base_path: "/m"', "`model_platform` must be 'tensorflow', found ''"),
        (
            'base_path: "m" model_platform: "tensorflow"',
            "absolute path or URI; got base_path\\(\\)=m",
        ),
        (BASE + "model_version_policy { specific {} }", "names no version"),
        (BASE + "colour: 3", 'no field named "colour"'),
        (BASE + '} config { name: "create" ' + BASE, "multiple times"),
    ],
)
def test_wrong_model_configs_name_the_file(tmp_path, inside, message):
    with pytest.raises(ConfigError, match=message) as caught:
        _config(tmp_path, inside)
    assert str(tmp_path / "models.config") in str(caught.value)


def test_missing_file_and_other_kinds(tmp_path):
    with pytest.raises(ConfigError, match="Cannot read"):
        model_config.read(str(tmp_path / "none"))
    path = tmp_path / "custom.config"
    path.write_text("custom_model_config {}")
    with pytest.raises(ConfigError, match="type not supported"):
        model_config.read(str(path))


def test_batching_parameters(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text("""
        max_batch_size { value: 32 }
        batch_timeout_micros { value: 1500 }
        max_enqueued_batches { value: 7 }
        num_batch_threads { value: 3 }
        thread_pool_name { value: "pool" }
        allowed_batch_sizes: 8
        allowed_batch_sizes: 32
        pad_variable_length_inputs: true
    """)
    assert batching_parameters.read(str(path)) == BatchingParameters(
        32, 1500, 7, 3, (8, 32), True
    )
    path.write_text("")
    assert batching_parameters.read(str(path)) == BatchingParameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "`max_batch_size` must be at least 1"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "must be `max_batch_size` \\(8\\), found 4",
        ),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: [8, 4]",
            "increasing order",
        ),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: [2, 4, 4]",
            "increasing order",
        ),
        ("batch_size: 3", 'no field named "batch_size"'),
    ],
)
def test_wrong_batching_parameters(tmp_path, text, message):
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        batching_parameters.read(str(path))
    assert "(--batching_parameters_file)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { enable: true }", monitoring.DEFAULT_PATH),
        ('prometheus_config { enable: true path: "/m" }', "/m"),
        ('prometheus_config { path: "/m" }', None),
    ],
)
def test_monitoring_config(tmp_path, text, path):
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert monitoring.read(str(file)) == path


def test_metrics_path_begins_with_a_slash(tmp_path):
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { enable: true path: "m" }')
    with pytest.raises(ConfigError, match="begin with /, found 'm'"):
        monitoring.read(str(file))
