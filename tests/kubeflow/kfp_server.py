"""A small Kubeflow Pipelines server, for tests of what is asked of it.

Speaks the paths of API v2beta1 that the client uses. Every body must be what
the server's own models can hold, field by field; whatever is asked in another
way is answered with an error as the real one would.
"""

import contextlib
import email
import email.policy
import http.server
import json
import re
import threading
import types
import urllib.parse

import kfp_server_api

API = kfp_server_api.ApiClient()
# Wire names that are not the models' own.
PREFIX = "/apis/v2beta1"


class BadRequest(Exception):
    """Status and message of an error."""


def well_formed(body, model):
    """Refuses a body that the model cannot hold as it is."""
    parsed = API.deserialize(
        types.SimpleNamespace(data=json.dumps(body)), model
    )
    again = API.sanitize_for_serialization(parsed)
    if _plain(again) != _plain(body):
        raise BadRequest(400, f"{model} cannot hold {body}")
    return body


def _plain(value):
    """64-bit integers may be numbers or text in a message's JSON."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return str(value)


class KfpServer:
    """State of the server, and the calls it has answered.

    Attributes:
        calls: (method, path) in order.
        states: what a run is found to be, one per question; the last stays.
        refuse: method and path (a pattern) answered with an error.
        refuse_status: of that error.
        outage: how many more questions for a run go wrong, every other one
            with an error and the others with a broken connection.
        drop: method and path (a pattern) whose connection breaks before
            anything is done.
        drop_answer: the same, but after it was done.
        on: how many recurring runs were on, after every call.
    """

    def __init__(self):
        self.calls = []
        self.pipelines, self.versions = {}, {}
        self.experiments, self.runs, self.recurring = {}, {}, {}
        self.uploads = {}
        self._last_id = 0
        self.states = [{"state": "SUCCEEDED"}]
        self.refuse_status = 500
        self.refuse = self.drop = self.drop_answer = None
        self.on = []
        self.outage = 0
        self._routes = [
            ("GET", "/healthz", self._health),
            ("GET", "/pipelines", self._list("pipelines")),
            ("POST", "/pipelines", self._create_pipeline),
            ("POST", "/pipelines/upload_version", self._upload_version),
            ("GET", r"/pipelines/([^/]+)/versions", self._list_versions),
            ("GET", "/experiments", self._list("experiments")),
            ("POST", "/experiments", self._create_experiment),
            ("POST", "/runs", self._create_run),
            ("GET", r"/runs/([^/]+)", self._get_run),
            ("GET", "/recurringruns", self._list_recurring),
            ("POST", "/recurringruns", self._create_recurring),
            ("POST", r"/recurringruns/([^/:]+):(enable|disable)", self._mode),
            ("DELETE", r"/recurringruns/([^/]+)", self._delete_recurring),
        ]

    def answer(self, method, path, query, headers, body):
        """Returns status and JSON of the answer."""
        self.calls.append((method, path))
        call = f"{method} {path}"
        if self.drop and re.fullmatch(self.drop, call):
            raise ConnectionError
        if self.outage and re.fullmatch(r"GET .*/runs/[^/]+", call):
            self.outage -= 1
            if self.outage % 2:
                raise ConnectionError
            return 503, {"code": 14, "message": "starting again"}
        status, found = self._answer(method, path, query, headers, body)
        self.on.append(
            sum(entry["mode"] == "ENABLE" for entry in self.recurring.values())
        )
        if self.drop_answer and re.fullmatch(self.drop_answer, call):
            raise ConnectionError
        return status, found

    def _answer(self, method, path, query, headers, body):
        try:
            if self.refuse and re.fullmatch(self.refuse, f"{method} {path}"):
                raise BadRequest(self.refuse_status, "refused by the test")
            if not path.startswith(PREFIX):
                raise BadRequest(404, f"no such path: {path}")
            for verb, pattern, function in self._routes:
                match = re.fullmatch(pattern, path[len(PREFIX) :])
                if verb == method and match:
                    return 200, function(*match.groups(), query, headers, body)
            raise BadRequest(404, f"no such call: {method} {path}")
        except BadRequest as error:
            status, message = error.args
            return status, {"code": 3, "message": message}

    def _health(self, *_):
        return {"multi_user": False}

    def _list(self, kind):
        def found(query, *_):
            entries = [
                entry
                for entry in getattr(self, kind).values()
                if in_namespace(entry, query.get("namespace"))
            ]
            return {kind: [e for e in entries if matches(e, query)]}

        return found

    def _list_recurring(self, query, *_):
        entries = [
            entry
            for entry in self.recurring.values()
            if entry["experiment_id"] == query["experiment_id"]
        ]
        return {"recurringRuns": [e for e in entries if matches(e, query)]}

    def _list_versions(self, pipeline, query, *_):
        entries = [
            e for e in self.versions.values() if e["pipeline_id"] == pipeline
        ]
        return {"pipeline_versions": [e for e in entries if matches(e, query)]}

    def _create_pipeline(self, query, headers, body):
        entry = well_formed(json.loads(body), "V2beta1Pipeline")
        name, namespace = entry["display_name"], entry.get("namespace")
        for other in self.pipelines.values():
            if other["display_name"] == name and in_namespace(other, namespace):
                raise BadRequest(
                    409, f"there is a pipeline {name} in {namespace!r} already"
                )
        return self._keep(self.pipelines, "pipeline_id", entry)

    def _upload_version(self, query, headers, body):
        if query["pipelineid"] not in self.pipelines:
            raise BadRequest(404, "no such pipeline")
        message = email.message_from_bytes(
            b"Content-Type: "
            + headers["Content-Type"].encode()
            + b"\n\n"
            + body,
            policy=email.policy.default,
        )
        (part,) = message.iter_parts()
        entry = self._keep(
            self.versions,
            "pipeline_version_id",
            {"pipeline_id": query["pipelineid"], "display_name": query["name"]},
        )
        self.uploads[entry["pipeline_version_id"]] = part.get_content()
        return entry

    def _create_experiment(self, query, headers, body):
        entry = well_formed(json.loads(body), "V2beta1Experiment")
        return self._keep(self.experiments, "experiment_id", entry)

    def _create_run(self, query, headers, body):
        entry = well_formed(json.loads(body), "V2beta1Run")
        self._check(entry)
        return self._keep(self.runs, "run_id", entry)

    def _get_run(self, run, query, headers, body):
        if run not in self.runs:
            raise BadRequest(404, f"no run {run}")
        state = self.states.pop(0) if self.states[1:] else self.states[0]
        return {**self.runs[run], **state}

    def _create_recurring(self, query, headers, body):
        entry = well_formed(json.loads(body), "V2beta1RecurringRun")
        self._check(entry)
        self._last_id += 1
        entry["recurring_run_id"] = f"recurring_run-{self._last_id}"
        self.recurring[entry["recurring_run_id"]] = entry
        return entry

    def _mode(self, recurring, verb, *_):
        self.recurring[recurring]["mode"] = verb.upper()
        return {}

    def _delete_recurring(self, recurring, *_):
        del self.recurring[recurring]
        return {}

    def _check(self, entry):
        if entry["experiment_id"] not in self.experiments:
            raise BadRequest(404, "no such experiment")
        reference = entry["pipeline_version_reference"]
        version = self.versions.get(reference["pipeline_version_id"])
        if not version or version["pipeline_id"] != reference["pipeline_id"]:
            raise BadRequest(404, "no such version")

    def _keep(self, store, key, entry):
        entry = {**entry, key: f"{key[:-3]}-{len(store) + 1}"}
        store[entry[key]] = entry
        return entry


def in_namespace(entry, namespace):
    """Whether an entry lies in a namespace; none given is one of its own."""
    return (entry.get("namespace") or "") == (namespace or "")


def matches(entry, query):
    """Whether an entry passes the filter of a list call."""
    if "filter" not in query:
        return True
    for predicate in json.loads(query["filter"])["predicates"]:
        if predicate["operation"] not in ("EQUALS", 1):
            raise BadRequest(400, f"unknown operation in {predicate}")
        if entry.get(predicate["key"]) != predicate["stringValue"]:
            return False
    return True


@contextlib.contextmanager
def serve(state):
    """Serves on this machine; gives the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _handle(self):
            parts = urllib.parse.urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            try:
                status, answer = state.answer(
                    self.command,
                    parts.path,
                    dict(urllib.parse.parse_qsl(parts.query)),
                    self.headers,
                    self.rfile.read(length),
                )
            except ConnectionError:
                self.close_connection = True
                return
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
