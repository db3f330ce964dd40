"""HistoryExampleGen: interaction logs to one example per user."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel_utils, component_spec, standard_artifacts

from components.artifacts import DeadLetters
from components.history_example_gen import executor


class HistoryExampleGenSpec(component_spec.ComponentSpec):
    """Parameters and outputs of HistoryExampleGen."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "input_fingerprint": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
        "dead_letters": component_spec.ChannelParameter(type=DeadLetters),
    }


class HistoryExampleGen(base_beam_component.BaseBeamComponent):
    """Reads interaction logs and writes one tf.Example per user.

    Output `examples` has one split, `all`, of gzipped TFRecord files. An
    example holds `user_id` (bytes, one), `item_ids` (bytes, n) and
    `timestamps` (int64, n, unix seconds), oldest first; events of the same
    time stand as in the log, repeats are kept.

    Output `dead_letters` holds `dead_letters.jsonl.gz`, every row that could
    not be used with its file, line, column and reason, and `ingest.json`, the
    counts. Above `max_bad_row_share` the step fails and leaves both in
    `<uri of dead_letters>-failed`, since TFX removes a failed step's outputs.

    Args:
        config: `to_json` of a `LogsConfig`.
        input_fingerprint: of the log files (see `fingerprint`); makes new
            data under the same path a new execution.
        code_fingerprint: of the code; makes changed code a new execution.
    """

    SPEC_CLASS = HistoryExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self, config: str, input_fingerprint: str, code_fingerprint: str
    ):
        super().__init__(
            spec=HistoryExampleGenSpec(
                config=config,
                input_fingerprint=input_fingerprint,
                code_fingerprint=code_fingerprint,
                examples=channel_utils.as_channel(
                    [standard_artifacts.Examples()]
                ),
                dead_letters=channel_utils.as_channel([DeadLetters()]),
            )
        )
