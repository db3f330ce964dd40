"""What a person sees of a fit: a line per epoch, and one at the switch."""

from __future__ import annotations

from collections.abc import Sequence

from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.parameter_groups import NAMES, SEQUENTIAL_TOWER
from models.fitting.schedule import GRAPH_NDCG, NDCG, Record, Schedule

# share of clipped steps from which the line mentions them
_CLIPPED = 0.05


def progress_line(
    name: str, schedule: Schedule, epochs: Sequence[Record]
) -> str:
    """What a person sees of the newest epoch."""
    record = epochs[-1]
    number, last = record["epoch"], schedule.last_epoch(epochs)
    losses = ", ".join(f"{k} {v:.4f}" for k, v in record["losses"].items())
    parts = [
        f"[{name}] epoch {number}/{last} {record['phase']}",
        f"loss {record['loss']:.4f} ({losses})",
    ]
    if record["clipped_share"] >= _CLIPPED:
        parts.append(f"clipped {100 * record['clipped_share']:.0f} %")
    if record.get(GRAPH_NDCG) is not None:
        parts.append(f"graph NDCG@10 {record[GRAPH_NDCG]:.4f}")
    if record[NDCG] is not None:
        parts.append(f"val NDCG@10 {record[NDCG]:.4f}")
        best = schedule.best_epoch(epochs)
        if best is not None:
            value = epochs[best - 1][NDCG]
            parts.append(f"best {value:.4f} at {best}")
    left = (last - number) * record["seconds"]
    parts.append(f"{record['seconds']:.1f} s")
    bound = "at most " if schedule.patience else ""
    parts.append(f"left {bound}{int(left) // 60}m{int(left) % 60:02d}s")
    return "  ".join(parts)


def switch_line(
    name: str,
    schedule: Schedule,
    epochs: Sequence[Record],
    compiled: CompiledEpoch,
) -> str:
    """Says at the end of the warm-up what ends and what starts."""
    done = sum(record["steps"] for record in epochs)
    tower = next(g for g in compiled.groups if g.name == SEQUENTIAL_TOWER)
    rest = " and ".join(NAMES[group.name] for group in compiled.table_groups)
    moments = "goes on"
    if compiled.config.restart_table_moments:
        moments = "starts anew"
    if compiled.config.restart_tables:
        moments = "starts anew, and so do their values"
    bound = "at most " if schedule.patience else ""
    return (
        f"[{name}] switch: the graph's warm-up ends after {len(epochs)} "
        f"epochs ({done} steps); joint training starts, {bound}"
        f"{schedule.main_epochs} epochs: + {NAMES[tower.name]} "
        f"({tower.num_parameters:,} parameters); Adam of {rest} {moments}"
    )
