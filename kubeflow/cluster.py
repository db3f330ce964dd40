"""What is asked of a Kubeflow Pipelines server."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import kfp
import kfp_server_api
from urllib3.exceptions import HTTPError

from kubeflow.errors import ScheduleError

# One at a time, and only the newest of those missed: each run reads all logs
# there are, and two would push in turn.
MAX_CONCURRENCY = 1


class Cluster:
    """A Kubeflow Pipelines server.

    Args:
        host: address of its API, such as http://127.0.0.1:8080; None is the
            address in KF_PIPELINES_ENDPOINT, or the cluster this runs in.
        namespace: of a multi-user installation.
        **options: of kfp.Client, such as `existing_token`.
    """

    def __init__(
        self, host: str | None, namespace: str | None = None, **options: Any
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._client = kfp.Client(
                host=host, namespace=namespace or "kubeflow", **options
            )
        self._namespace = namespace

    def upload(self, text: str, name: str, file: str) -> tuple[str, str]:
        """Creates or updates a pipeline.

        Args:
            text: what was compiled.
            name: of the pipeline.
            file: holds `text`; the client uploads files only.

        Returns:
            The ids of the pipeline and of the version that is this text. The
            version is named by a digest: the same text is uploaded once.
        """
        pipelines = self._client.pipelines
        # Not get_pipeline_id: it looks in no namespace, and finds none of ours.
        found = pipelines.list_pipelines(
            namespace=self._namespace, filter=_equals("display_name", name)
        )
        if found.pipelines:
            pipeline_id = found.pipelines[0].pipeline_id
        else:
            pipeline_id = pipelines.create_pipeline(
                body=kfp_server_api.V2beta1Pipeline(
                    display_name=name, namespace=self._namespace
                )
            ).pipeline_id
        version = version_name(text)
        known = pipelines.list_pipeline_versions(
            pipeline_id, filter=_equals("display_name", version)
        )
        if known.pipeline_versions:
            return pipeline_id, known.pipeline_versions[0].pipeline_version_id
        uploaded = self._client.upload_pipeline_version(
            file, version, pipeline_id=pipeline_id
        )
        return pipeline_id, uploaded.pipeline_version_id

    def experiment(self, name: str) -> str:
        """Id of the experiment of that name, made where there is none."""
        return self._client.create_experiment(
            name, namespace=self._namespace
        ).experiment_id

    def run(
        self,
        *,
        name: str,
        experiment: str,
        version: tuple[str, str],
        parameters: Mapping[str, Any],
        root: str,
        service_account: str | None,
    ) -> str:
        """Starts a run and returns its id."""
        return self._client.run_pipeline(
            experiment_id=experiment,
            job_name=name,
            params=dict(parameters),
            pipeline_id=version[0],
            version_id=version[1],
            pipeline_root=root,
            service_account=service_account,
        ).run_id

    def get_run(self, run_id: str) -> kfp_server_api.V2beta1Run:
        """What is known of a run."""
        return self._client.get_run(run_id)

    def schedule(
        self,
        *,
        name: str,
        cron: str,
        experiment: str,
        version: tuple[str, str],
        parameters: Mapping[str, Any],
        root: str,
        service_account: str | None,
    ) -> tuple[str, bool]:
        """Makes runs recur, in the place of an earlier schedule of that name.

        The server cannot change a recurring run. So the new one is made, and
        then the old one removed: whatever fails in between, one of them is
        on. For that moment both are: a time that both have, and that falls
        into it, starts two runs.

        Args:
            name: of the schedule.
            cron: six fields, seconds first.
            experiment: id.
            version: ids of pipeline and version.
            parameters: of every run.
            root: URI that the runs write to.
            service_account: that the pods run as.

        Returns:
            The id of the recurring run, and whether it is new.

        Raises:
            ScheduleError: it failed or was interrupted; says what is on.
        """
        existing = (
            self._client.list_recurring_runs(
                experiment_id=experiment, filter=_equals("display_name", name)
            ).recurring_runs
            or []
        )
        same = [
            old.recurring_run_id
            for old in existing
            if _same(old, cron, version, parameters, root, service_account)
        ]
        found = same[0] if same else None
        left = [old for old in existing if old.recurring_run_id != found]
        try:
            # Both in one block: an interruption between them is caught too.
            found = found or self._create_schedule(
                experiment_id=experiment,
                job_name=name,
                cron_expression=cron,
                params=dict(parameters),
                pipeline_id=version[0],
                version_id=version[1],
                pipeline_root=root,
                service_account=service_account,
            )
            while left:
                self._client.delete_recurring_run(left[0].recurring_run_id)
                left.pop(0)
        except (
            kfp_server_api.ApiException,
            HTTPError,
            KeyboardInterrupt,
        ) as error:
            raise ScheduleError(_what_is_on(error, found, left)) from error
        return found, not same

    def _create_schedule(self, **request: Any) -> str:
        return self._client.create_recurring_run(
            max_concurrency=MAX_CONCURRENCY, no_catchup=True, **request
        ).recurring_run_id


def _what_is_on(
    error: BaseException,
    found: str | None,
    left: Sequence[kfp_server_api.V2beta1RecurringRun],
) -> str:
    """In which state a schedule was left, and what to do.

    Args:
        error: that came in between.
        found: id of the schedule that was asked for, where it is known.
        left: the others of that name that were not removed.
    """
    on = [old.recurring_run_id for old in left if old.mode != "DISABLE"]
    others = f"recurring run {', '.join(on)}" if on else ""
    if found is not None:
        if not others:
            return (
                f"The new schedule (recurring run {found}) is on; of the old "
                "ones, which are off, some are still there. Fix: the same "
                "command again removes them."
            )
        return (
            f"The new schedule (recurring run {found}) is on, and so may be "
            f"the old one ({others}): the pipeline would run at the times of "
            "both. Fix: the same command again removes the old one."
        )
    state = (
        f"The old schedule ({others}) is still on"
        if others
        else "No schedule of this name was on before"
    )
    if (
        isinstance(error, kfp_server_api.ApiException)
        and 400 <= (error.status or 0) < 500
    ):
        return f"{state}; the new one was not made."
    # Without the server's own answer (a proxy gives up with 504) nobody knows
    # how far it got.
    return (
        f"{state}; whether the new one was made is not known. Fix: the same "
        "command again makes what is missing and removes what is too much."
    )


def version_name(text: str) -> str:
    """Name of the version that is this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _same(
    old: kfp_server_api.V2beta1RecurringRun,
    cron: str,
    version: tuple[str, str],
    parameters: Mapping[str, Any],
    root: str,
    service_account: str | None,
) -> bool:
    reference, runtime = old.pipeline_version_reference, old.runtime_config
    schedule = old.trigger.cron_schedule if old.trigger else None
    return (
        old.mode != "DISABLE"
        and schedule is not None
        and schedule.cron == cron
        and reference is not None
        and (reference.pipeline_id, reference.pipeline_version_id) == version
        and runtime is not None
        and (runtime.parameters or {}) == dict(parameters)
        and runtime.pipeline_root == root
        and (old.service_account or None) == service_account
    )


def _equals(key: str, value: str) -> str:
    """A filter of the server's list calls."""
    return json.dumps(
        {
            "predicates": [
                {"operation": "EQUALS", "key": key, "stringValue": value}
            ]
        }
    )
