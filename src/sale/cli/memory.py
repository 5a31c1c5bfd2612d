"""`sale memory`: the auction memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sale import config
from sale.cli.board import VERDICT_STYLE, auction_board, clip, failed_attempt, money, outcome_line, plain
from sale.cli.encode import document
from sale.cli.options import FILE, LISTED, config_option, json_option, output
from sale.cli.store import refuse_memory_off, with_memory
from sale.cli.streams import require_consent
from sale.cli.tables import make_table
from sale.errors import InputError
from sale.files.reading import STANDARD
from sale.files.writing import writing_text
from sale.memory.export import refuse_itself
from sale.memory.open import retention_of
from sale.memory.records import AuctionSummary, ForgetReport, MemoryStats, Record
from sale.memory.retention import describe
from sale.memory.store import AuctionMemory
from sale.types import Verdict
from sale.wording import quantity


@click.group()
def memory() -> None:
    """The auction memory: list, show, search, export, import, forget, compact, stats."""


@memory.command("list")
@click.option("--limit", type=LISTED, default=20, show_default=True, help="How many, newest first.")
@click.option("--agent", help="Only auctions this agent bid in.")
@click.option(
    "--verdict", type=click.Choice(["success", "failure", "unknown"]), help="Only auctions with this outcome."
)
@click.option("--tenant", help="Only auctions of this tenant; a key's own one is `key-` and its id.")
@config_option
@json_option
def list_auctions(
    limit: int,
    agent: str | None,
    verdict: Verdict | None,
    tenant: str | None,
    config_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """The latest auctions."""
    found = with_memory(
        config_file, lambda store: store.list(limit, agent=agent, verdict=verdict, tenant=tenant), to_read=True
    )
    if as_json:
        click.echo(document("summaries", found))
    else:
        output().print(_table([(one, None) for one in found]))


@memory.command()
@click.argument("auction")
@config_option
@json_option
def show(auction: str, config_file: Path | None, *, as_json: bool) -> None:
    """One auction in full. AUCTION is its id or the beginning of it."""
    record = with_memory(config_file, lambda store: store.load(auction), to_read=True)
    if as_json:
        click.echo(document("record", record))
    else:
        output().print(_record(record))


@memory.command()
@click.argument("text")
@click.option("--limit", type=LISTED, default=8, show_default=True, help="How many, most similar first.")
@click.option("--tenant", help="Only auctions of this tenant.")
@config_option
@json_option
def search(text: str, limit: int, tenant: str | None, config_file: Path | None, *, as_json: bool) -> None:
    """Auctions of tasks like TEXT."""
    found = with_memory(config_file, lambda store: store.search(text, limit, tenant=tenant))
    if as_json:
        click.echo(document("found", found))
    else:
        output().print(_table([(one.summary, one.similarity) for one in found]))


@memory.command("export")
@click.argument("target", type=FILE)
@config_option
def export_records(target: Path, config_file: Path | None) -> None:
    """Write every record to TARGET as JSON lines; - is standard output.

    A new file is for its owner alone: records hold tasks, plans and answers.
    """
    settings = config.load(config_file)
    refuse_memory_off(settings)  # before the file is made
    refuse_itself(target, config.memory_place(settings))
    # Opened here, and not where the memory is read: a pipe nobody reads can then be left by Ctrl-C.
    with writing_text(target, private=True) as stream:
        count = with_memory(config_file, lambda store: store.export(stream), to_read=True)
    output(target).print(
        f"{quantity(count, 'record')} written to {'standard output' if target == STANDARD else target}"
    )


@memory.command("import")
@click.argument("source", type=FILE)
@click.option("--skip-bad", is_flag=True, help="Leave out lines that are no records, instead of importing nothing.")
@config_option
def import_records(source: Path, config_file: Path | None, *, skip_bad: bool) -> None:
    """Add the records of SOURCE; those that are here already stay as they are. - is standard input."""
    report = with_memory(config_file, lambda store: store.import_(source, skip_bad=skip_bad))
    output().print(
        f"{quantity(report.added, 'record')} added; here already: {report.present:,}; skipped: {len(report.bad):,}"
    )
    if report.evidence:
        output().print(f"{quantity(report.evidence, 'line')} added of what is known of compacted auctions")
    for fault in report.bad:
        output().print(f"  {plain(fault)}")


@memory.command()
@click.argument("auctions", nargs=-1)
@click.option("--before", type=click.DateTime(["%Y-%m-%d"]), help="Those begun before this day (UTC).")
@click.option("--source", help="Those imported from there; `sale memory list --json` shows sources.")
@click.option("--tenant", help="Those of this tenant; a key's own one is `key-` and its id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def forget(
    auctions: tuple[str, ...],
    before: datetime | None,
    source: str | None,
    tenant: str | None,
    config_file: Path | None,
    *,
    yes: bool,
) -> None:
    """Delete auctions for good: AUCTIONS by id, and all before a day, from a source, or of a tenant.

    Of these three all that are given must hold. AUCTIONS are deleted besides.
    """
    for option, given in (("--source", source), ("--tenant", tenant)):
        if given == "":
            raise InputError(f"{option} is empty", hint="`sale memory list --json` shows sources and tenants.")
    day = before.replace(tzinfo=UTC) if before is not None else None
    if not yes and any(given is not None for given in (day, source, tenant)):
        found = with_memory(
            config_file, lambda store: store.preview_forget(*auctions, before=day, source=source, tenant=tenant)
        )
        if found.auctions or found.evidence:
            require_consent(_question(found, named=bool(auctions), day=day, source=source, tenant=tenant))
    gone = with_memory(config_file, lambda store: store.forget(*auctions, before=day, source=source, tenant=tenant))
    output().print(
        f"{quantity(gone.auctions, 'auction')} forgotten, and {quantity(gone.tasks, 'task')} of which nothing is left"
    )


@memory.command()
@click.option("--keep", type=click.IntRange(min=1), help="How many auctions stay.  [default: memory.max_auctions]")
@click.option("--no-archive", is_flag=True, help="Do not write the records that go to memory.archive.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def compact(keep: int | None, config_file: Path | None, *, no_archive: bool, yes: bool, as_json: bool) -> None:
    """Thin out the oldest auctions: of like ones one stays whole.

    Of the others what the work of each agent came to goes on counting in track records. Their whole records are
    written to the folder memory.archive before they go.
    """
    settings = config.load(config_file)
    bounds = retention_of(settings)
    keep = keep or bounds.max_auctions
    if keep is None:
        raise InputError("nothing says how many auctions are to stay", hint="Give --keep, or set memory.max_auctions.")
    if no_archive and not yes:
        require_consent("Delete the records without an archive?")
    archive = None if no_archive else bounds.archive
    report = with_memory(
        config_file, lambda store: store.compact(keep, half_life_days=bounds.half_life_days, archive=archive)
    )
    if as_json:
        click.echo(document("compaction", report))
    else:
        output().print(plain(describe(report)))


@memory.command()
@config_option
@json_option
def stats(config_file: Path | None, *, as_json: bool) -> None:
    """Show the number of records, and where they are."""

    async def look(store: AuctionMemory) -> tuple[MemoryStats, str]:
        return await store.stats(), store.where

    found, where = with_memory(config_file, look, to_read=True)
    if as_json:
        click.echo(document("stats", found))
        return
    by_status = ", ".join(f"{count} {status}" for status, count in found.auctions.items()) or "none"
    by_verdict = ", ".join(f"{count} {verdict}" for verdict, count in found.verdicts.items()) or "none judged"
    kinds = f"{quantity(found.held, 'auction')}, {found.standing} awarded without one, {found.imported} imported"
    output().print(f"Records: {by_status}\nOf them: {kinds}")
    output().print(f"Outcomes: {by_verdict}\nTasks: {found.tasks}, plans: {found.strategies}")
    if found.evidence:
        output().print(f"Compacted: {quantity(found.evidence, 'line')} of what agents' work came to")
    output().print(f"Spent: {money(found.dollars)}\n{found.file_bytes / 1e6:.1f} MB: {where}\nRecall: {found.recall}")


def _question(found: ForgetReport, *, named: bool, day: datetime | None, source: str | None, tenant: str | None) -> str:
    """The question before auctions are deleted: how many, and which."""
    conditions = (
        f"begun before {day:%Y-%m-%d}" if day else "",
        f"from the source {source}" if source else "",
        f"of the tenant {tenant}" if tenant else "",
    )
    which = " and ".join(filter(None, conditions))
    kept = f", and {quantity(found.evidence, 'line')} kept of compacted ones," if found.evidence else ""
    return plain(f"Delete {quantity(found.auctions, 'auction')} {'named or ' if named else ''}{which}{kept} for good?")


def _table(found: Sequence[tuple[AuctionSummary, float | None]]) -> Table | str:
    if not found:
        return "Nothing is on record."
    like = () if found[0][1] is None else ("like",)
    headings = ("auction", "when (UTC)", "task", "winner", "status", "outcome", "cost")
    table = make_table(*headings, *like, right=("cost", *like), whole=("auction",))
    for one, similarity in found:
        verdict = one.verdict or "unknown"
        cells = (
            one.id[:8],
            f"{one.started_at:%Y-%m-%d %H:%M}",
            plain(clip(" ".join(one.task.split()), 60)),
            f"{one.winner or '–'}{' (refined)' if one.flipped else ''}",
            one.status,
            Text(verdict, style=VERDICT_STYLE[verdict]),
            money(one.dollars),
        )
        table.add_row(*cells, *(() if similarity is None else (f"{similarity:.2f}",)))
    return table


def _record(record: Record) -> Group:
    if record.auction is None:
        heading = f"Auction {record.id[:8]}: {record.status}. {plain(record.reason or '')}"
        return Group(Text(heading), Text(plain(clip(record.task.text))))
    parts = [Text(plain(clip(record.task.text))), Text(), auction_board(record.auction), Text()]
    parts += [failed_attempt(attempt) for attempt in record.attempts]
    if record.execution is not None:
        heading = Text(f"Answer of {record.execution.agent}", style="bold")
        parts += [heading, Text(plain(record.execution.answer)), Text()]
    parts += [outcome_line(judgement.outcome) for judgement in record.outcomes]
    parts.append(Text(f"Cost     {money(record.settlement.dollars)}, {record.status}"))
    return Group(*parts)
