"""A compiled pipeline in few lines, for a person to read.

Left out is what changes with every edit of the code or of the defaults: the
digests, the values of settings, the schemas of the artifact types.
"""

import yaml


def outline(text):
    """Renders a compiled YAML as what is connected with what."""
    spec, *platform = yaml.safe_load_all(text)
    tasks = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        component = spec["components"][task["componentRef"]["name"]]
        container = spec["deploymentSpec"]["executors"][
            component["executorLabel"]
        ]["container"]
        outputs = component["outputDefinitions"]
        tasks[name] = {
            "runs": f"{' '.join(container['command'])} {container['args'][1]}",
            "beam": container["args"][6:],
            "after": task.get("dependentTasks", []),
            "cached": "cachingOptions" in task,
            "artifacts": {
                key: "{producerTask}.{outputArtifactKey}".format(
                    **source["taskOutputArtifact"]
                )
                for key, source in task["inputs"].get("artifacts", {}).items()
            },
            "parameters": {
                key: _source(source)
                for key, source in task["inputs"].get("parameters", {}).items()
            },
            "outputs": {
                key: _type(output)
                for key, output in outputs["artifacts"].items()
            },
            "retry": " ".join(
                str(task["retryPolicy"][key])
                for key in (
                    "maxRetryCount",
                    "backoffDuration",
                    "backoffFactor",
                    "backoffMaxDuration",
                )
            ),
            "resources": container.get("resources", {}),
            "env": {e["name"]: e["value"] for e in container["env"]},
        }
        tasks[name] = {
            k: v for k, v in tasks[name].items() if v not in ({}, [])
        }
    document = {
        "name": spec["pipelineInfo"]["name"],
        "schema": spec["schemaVersion"],
        "root": spec["defaultPipelineRoot"],
        "parameters": {
            name: f"{definition['parameterType']} "
            f"{definition['defaultValue']!r}"
            for name, definition in spec["root"]["inputDefinitions"][
                "parameters"
            ].items()
        },
        "tasks": tasks,
    }
    if platform:
        document["platform"] = platform[0]
    return yaml.safe_dump(document, sort_keys=True, width=78)


def _source(source):
    if "runtimeValue" in source:
        return "constant"
    if "componentInputParameter" in source:
        return f"run.{source['componentInputParameter']}"
    return "{producerTask}.{outputParameterKey}".format(
        **source["taskOutputParameter"]
    )


def _type(output):
    title = output["artifactType"]["instanceSchema"].split("\n")[0]
    return title.removeprefix("title: ")
