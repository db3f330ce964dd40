"""The sections of the model card, each from the results of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ranking_evaluator.model_card.markdown import Section
from components.ranking_evaluator.words import (
    date,
    metric_label,
    name_of,
    percent,
    signed,
    where_known,
)
from components.splits import LEAK_WARNING, TEMPORAL
from components.targets import label

_ENCODERS = {
    "sasrec": "SASRec",
    "bert4rec": "BERT4Rec",
    "lightgcn": "LightGCN",
    "ultragcn": "UltraGCN",
}


def model(
    training: Mapping[str, Any], evaluation: Mapping[str, Any], dataset: str
) -> Section:
    """What it is, and whether it is blessed."""
    config = training.get("model", {})
    epochs = {
        name: len(phase.get("epochs", []))
        for name, phase in training.get("phases", {}).items()
    }
    facts = [
        f"{_towers(config)}; {config.get('embedding_dim', '?')} dimensions, "
        f"{evaluation['splits']['items']['train_validation']:,} items.",
        f"Trained on {dataset}: {epochs.get('selection', 0)} epochs to choose "
        f"on validation, then {epochs.get('refit', 0)} on train and "
        f"validation; seed {training.get('training', {}).get('seed', '?')}.",
    ]
    verdict = "is" if evaluation["blessing"]["blessed"] else "is not"
    facts.append(f"It {verdict} blessed for serving:")
    checks = [
        f"{'passed' if check['passed'] else 'FAILED'}: {check['check']}"
        + (
            f" ({percent(check['value'])} %, required "
            f"{percent(check['required'])} %)"
            if check["value"] is not None
            else ""
        )
        for check in evaluation["blessing"]["checks"]
    ]
    return Section("Model", facts, items=checks)


def _towers(config: Mapping[str, Any]) -> str:
    sequential, graph = (
        _ENCODERS.get(config.get(part, {}).get("encoder", "none"))
        for part in ("sequential", "graph")
    )
    if sequential and graph:
        text = (
            f"CREATE: {sequential} over the user's newest items, trained "
            f"together with {graph} on the user-item graph over one item table"
        )
        if weight := config.get("warm_graph_weight", 0.0):
            text += (
                f"; {graph} as its warm-up left it recommends beside it with "
                f"weight {weight:g}, from the same history"
            )
        return text
    if sequential:
        return f"{sequential} over the user's newest items"
    if graph:
        return (
            f"Item vectors of {graph} on the user-item graph, with a user's "
            "history folded in"
        )
    return "A recommender"


def use(training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Section:
    """What it is for, and what not."""
    longest = training.get("model", {}).get("sequential", {}).get("max_length")
    newest = "their newest items"
    if longest is not None:
        newest = f"their newest items, {longest - 1} at most"
    splits = evaluation["splits"]
    known = splits["items"]["train_validation"]
    return Section(
        "Intended use",
        [
            f"Recommends the next items to users from {newest}, given as raw "
            f"ids, out of the {known:,} items with "
            f"{_development(splits, 'an event', 'a development event')}. "
            "Users need not be known: what counts is the history that is "
            "sent. A history without a known item gets popular items."
        ],
        items=[
            "Not for items that came later: they are never recommended until "
            "the model is trained again.",
            "Not for decisions about people, such as credit, employment, "
            "housing or health: it has learned what follows what in a log, "
            "and no more.",
            "Not for other data than the log it was trained on.",
        ],
    )


def data(
    evaluation: Mapping[str, Any],
    ingest: Mapping[str, Any],
    drift: Mapping[str, Any],
    dataset: str,
) -> Section:
    """The log, and what of it each period has."""
    splits = evaluation["splits"]
    dropped, dead = (sum(ingest[kind].values()) for kind in ("dropped", "dead"))
    rows = []
    for name, period in (
        ("Train", "train"),
        ("Validation", "validation"),
        ("Test", "test"),
    ):
        of_log = drift["periods"][period]
        days = ["", ""]
        if of_log["events"]:
            days = [date(of_log[end])[:10] for end in ("first", "last")]
        rows.append(
            [
                name,
                *days,
                f"{splits[period]['users']:,}",
                f"{splits[period]['rows']:,}",
            ]
        )
    return Section(
        "Data and periods",
        [
            f"{dataset}: {ingest['rows']:,} rows, {ingest['used']:,} used, "
            f"{dropped:,} dropped by rules, {dead:,} unusable; "
            f"{ingest['users']:,} users, {ingest['items']:,} items. The model "
            f"that is served was fitted on "
            f"{splits['train_validation']['users']:,} users, who have "
            f"{splits['train_validation']['rows']:,} "
            f"{_development(splits, 'events', 'development events')} "
            "(train and validation): on the newest of each, as many as its "
            "settings take."
        ],
        ("Period", "First event", "Last event", "Users", "Events"),
        rows,
    )


def _development(
    splits: Mapping[str, Any], events: str, without_cut: str
) -> str:
    """What the model may learn from, with the cut only where there is one."""
    if splits["strategy"] == TEMPORAL:
        return f"{events} up to the test cut"
    return without_cut


def protocol(
    evaluation: Mapping[str, Any], settings: Mapping[str, Any]
) -> Section:
    """How it was measured."""
    splits = evaluation["splits"]
    cut = (
        "Each user's last event is test"
        if splits["strategy"] != TEMPORAL
        else f"Everything after {date(splits['test_cut'])} is test"
    )
    cold = (
        "count as misses"
        if settings["cold_items"] == "kept"
        else "are left out"
    )
    paragraphs = [
        f"Profile {evaluation['profile']}. {cut}. Every test user's "
        f"{label(settings['targets'][0])} is looked for among the whole "
        f"catalogue, seen items {settings['seen_items']}, through the "
        "exported model's own signature; nothing is sampled. Targets unknown "
        f"{where_known(splits)} {cold}. Means over users; intervals are 95 % "
        f"bootstrap intervals over users "
        f"({settings['bootstrap_samples']:,} samples)."
    ]
    if evaluation["leaks_future"]:
        paragraphs.insert(0, LEAK_WARNING)
    return Section("Protocol", paragraphs)


def metrics(
    evaluation: Mapping[str, Any], settings: Mapping[str, Any]
) -> Section:
    """The main setting, all models, with intervals and the lead over each."""
    rule, seen = settings["targets"][0], settings["seen_items"]
    metrics = {m: v[rule][seen] for m, v in evaluation["metrics"].items()}
    cutoff = min(settings["cutoffs"])
    names = [f"{kind}_at_{cutoff}" for kind in ("ndcg", "recall", "coverage")]
    rows = []
    for model, values in metrics.items():
        cells = [name_of(model)]
        for name in names:
            interval = values["intervals"].get(name)
            cells.append(percent(values[name]))
            if interval is not None:
                low, high = map(percent, interval)
                cells[-1] += f" ({low} to {high})"
        rows.append(
            [*cells, _difference(evaluation, rule, seen, model, cutoff)]
        )
    return Section(
        "Metrics",
        [f"Percent, {label(rule)}, seen items {seen}."],
        (
            "",
            *map(metric_label, names),
            f"This model's {metric_label(names[0])} minus its",
        ),
        rows,
    )


def _difference(
    evaluation: Mapping[str, Any], rule: str, seen: str, model: str, cutoff: int
) -> str:
    rivals = evaluation["comparisons"][rule][seen]
    if model not in rivals:
        return ""
    found = rivals[model][f"ndcg_at_{cutoff}"]
    low, high = map(signed, found["interval"])
    return f"{signed(found['difference'])} ({low} to {high})"


def baselines(
    evaluation: Mapping[str, Any], settings: Mapping[str, Any]
) -> Section:
    """What it was compared with."""
    svd, knn = settings["pure_svd"], settings["item_knn"]
    end = "the newest development event"
    if evaluation["splits"]["strategy"] == TEMPORAL:
        end = "the cut"
    what = {
        "random": "any item, at random.",
        "popular_random": "items drawn in proportion to their events.",
        "most_popular": "the items with the most events.",
        "most_popular_recent": "those of the last "
        f"{settings['most_popular_recent']['days']:g} days before {end}.",
        "pure_svd": f"{svd['rank']} singular vectors of users and items, "
        f"columns scaled with exponent {svd['scaling']:g}.",
        "item_knn": f"{knn['neighbors']} nearest items of each, "
        f"{knn['weighting']} similarity.",
    }
    items = [f"{name_of(n)}: {what[n]}" for n in settings["baselines"]]
    for name, other in evaluation["compared"].items():
        until = other["fitted_until"]
        learned = (
            f"learned up to {date(until)}"
            if until
            else ("it does not say up to when it has learned")
        )
        unknown = other["num_unknown_items"]
        gone = f", {unknown:,} of them not in this log" if unknown else ""
        items.append(
            f"{name_of(name)}: the exported model in {other['directory']}, "
            f"{other['num_items']:,} items{gone}, {learned}."
        )
    return Section(
        "Baselines",
        [
            "Fitted on the same events as the model that is served, and asked "
            "for the same targets from the same histories; nothing of them "
            "was tuned."
        ],
        items=items,
    )
