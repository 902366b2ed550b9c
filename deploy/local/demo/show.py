"""What the demonstration prints: tables, and a progress bar that the websocket feeds."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from deploy.local.demo.client import Channel, Json

_TERMINAL = ("completed", "completed_with_errors", "failed", "cancelled")
_MOST_LINES = 12
_BARS = " ▁▂▃▄▅▆▇█"

# Wide enough for the tables where the output is a file.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def step(text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def readiness(found: Json) -> None:
    table = Table("step", "done", "what to do")
    for check in found["checks"]:
        table.add_row(check["code"], "yes" if check["ok"] else "no", check["fix"] or "")
    console.print(table)


def models(ranked: Sequence[Json]) -> None:
    table = Table("model", "task", "score", "covers", "state", "reasons and blockers")
    for entry in ranked:
        fit = entry["compatibility"]
        notes = "; ".join(reason["detail"] for reason in [*fit["reasons"], *fit["blockers"]])
        share = f"{fit['ontology_coverage']:.0%}"
        table.add_row(entry["name"], entry["task"], f"{fit['score']:.2f}", share, fit["state"], notes)
    console.print(table)


def alignment(suggested: Json) -> None:
    entries = suggested["entries"]
    table = Table("model class", "feature", "score", "reason", "loses", "criterion")
    for entry in entries[:_MOST_LINES]:
        criterion = suggested["criteria"].get(entry["model_class"], "")
        loss = entry["conversion"]["loss"]
        table.add_row(entry["model_class"], caption(entry), f"{entry['score']:.2f}", entry["reason"], loss, criterion)
    console.print(table)
    if len(entries) > _MOST_LINES:
        console.print(f"and {len(entries) - _MOST_LINES} more")


async def follow(channel: Channel, run: Json) -> Json:
    """The terminal event of a run or a preview. Progress has no offset and may be lost; the event is exact."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}")
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(run["name"], total=run["total"], pace="")
        async for message in channel:
            if message["type"] == "progress" and run["id"] in (message.get("model_run_id"), message.get("preview_id")):
                _move(progress, bar, message)
            event = message.get("event", {})
            if event.get("subject", {}).get("id") != run["id"]:
                continue
            console.print(f"  event {message['offset']}: {event['type']}")
            if event["type"].partition(".")[2] in _TERMINAL:
                done = event["data"]["succeeded"] + event["data"]["failed"] + event["data"]["skipped"]
                progress.update(bar, completed=done, pace="")
                ended: Json = event
                return ended
    raise RuntimeError("the socket closed before the run ended")


def results(pre_labels: Sequence[Json], failed: Sequence[Json]) -> None:
    by_class: defaultdict[str, list[float]] = defaultdict(list)
    for one in pre_labels:
        by_class[caption(one)].append(one["confidence"])
    table = Table("pre-labels", "count", "confidence: least", "mean", "most", title="What the model proposes")
    for name, found in sorted(by_class.items(), key=lambda item: (-len(item[1]), item[0])):
        table.add_row(name, str(len(found)), f"{min(found):.2f}", f"{mean(found):.2f}", f"{max(found):.2f}")
    console.print(table)
    if failed:
        rows = Table("data row", "stage", "code", "detail", title="Rows that failed")
        for one in failed:
            rows.add_row(one["global_key"], one["stage"], one["code"], one["detail"])
        console.print(rows)


def sweep(found: Json) -> None:
    """What would be shown at each threshold, a bar for every five hundredths."""
    table = Table("model class", "shown at a threshold of 0.00 … 1.00", "at 0.25", "0.50", "0.75")
    classes = sorted(found["classes"], key=lambda one: -max(count or 0 for count in one["shown"]))
    for one in classes[:_MOST_LINES]:
        counts = one["shown"]
        table.add_row(one["model_class"], _bars(counts[::5]), *(str(counts[at] or 0) for at in (25, 50, 75)))
    console.print(table)


def caption(named: Json) -> str:
    """A feature, and the option where it has one."""
    option = named["option_name"]
    return f"{named['feature_name']}: {option}" if option else str(named["feature_name"])


def _bars(counts: Sequence[int | None]) -> str:
    """Beneath the model's floor nothing is stored: a dot."""
    most = max((count or 0 for count in counts), default=0) or 1
    return "".join("·" if count is None else _BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)


def _move(progress: Progress, bar: TaskID, message: Json) -> None:
    rate, left = message["rows_per_second"], message["eta_seconds"]
    pace = f"{rate:.0f} rows/s, {left:.0f} s left" if rate is not None and left is not None else ""
    progress.update(bar, completed=message["done"], pace=pace)
