"""A whole report: records in, tables out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sale.bench.figure_style import svg
from sale.bench.metrics import DecisionOutcomes
from sale.bench.replay import RecordedTasks, load_recorded, merge_records
from sale.bench.report import tables
from sale.bench.report.by_domain import domain_table
from sale.bench.report.claim import claim_table
from sale.bench.report.comparison import DomainComparison, combine_domains, compare
from sale.bench.report.drawings import drawings, pareto
from sale.bench.report.fitted import TrainedWeights
from sale.bench.report.plain_words import explain_table
from sale.bench.report.refined import refinement_table
from sale.bench.report.report_table import ReportTable
from sale.bench.report.spend_curve import spend_table
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.schema import BenchTask, Domain, Split
from sale.config import RouterSettings
from sale.errors import InputError
from sale.files.writing import explain_output, write_bytes

DOMAINS: tuple[Domain, ...] = ("coding", "search")
SUFFIXES = ("", ".xz", ".gz")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The comparison of each domain, and its tables in the order they are shown."""

    fields: Mapping[str, DomainComparison]
    sheets: tuple[ReportTable, ...]

    def markdown(self) -> str:
        """All tables, each with a sentence in plain English that says what it shows."""
        return "\n\n".join(sheet.markdown(explain_table(sheet)) for sheet in self.sheets)

    def figures(self) -> dict[str, bytes]:
        """Every figure as SVG, by the name of its file."""
        return {
            f"{name}.svg": svg(figure)
            for domain, field in self.fields.items()
            for name, figure in drawings(field, domain)
        }

    def write(self, folder: Path) -> list[Path]:
        """Write the report, and every table and figure to a file of its own; returns what was written.

        Raises:
            OutputError: A file cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_output(error, folder) from error
        parts = {"report.md": (self.markdown() + "\n").encode()}
        parts |= {f"{sheet.key}.csv": sheet.csv().encode() for sheet in self.sheets}
        parts |= self.figures()
        for name, content in parts.items():
            write_bytes(folder / name, content)
        return [folder / name for name in parts]


def make(
    folder: Path,
    tasks: Iterable[BenchTask],
    features: Embeddings,
    *,
    suffixes: Sequence[str] = SUFFIXES,
    routers: Sequence[RouterSettings] = (),
) -> Report:
    """The report on the records of a folder: `coding-test.jsonl`, `search-dev.jsonl.xz` and so on.

    Args:
        folder: Where the records are; one for each domain and split, those that are there.
        tasks: What was run; those that are whole on record are reported.
        features: Sentence embeddings.
        suffixes: Of record files, after `.jsonl`; the first that is there is read.
        routers: Others to compare with, that settings name.

    Raises:
        InputError: There is no record of test tasks with two whole tasks on it.
    """
    given = list(tasks)
    fields: dict[str, DomainComparison] = {}
    trained: dict[str, int] = {}
    for domain in DOMAINS:
        test = _recorded(folder, f"{domain}-test", _of(given, domain, "test"), suffixes)
        if test is None or len(test.tasks) < 2:
            continue
        dev = _recorded(folder, f"{domain}-dev", _of(given, domain, "dev"), suffixes)
        trained[domain] = 0 if dev is None else len(dev.tasks)
        fields[domain] = compare(test, dev, features, TrainedWeights(embed=features), routers)
    if not fields:
        raise InputError(
            "there is nothing to report on: no record has two whole test tasks",
            where=str(folder),
            hint="`sale bench run` records them, as coding-test.jsonl and search-test.jsonl.",
        )
    return Report(fields=fields, sheets=tuple(_sheets(fields, trained)))


def make_pool(
    folder: Path,
    tasks: Iterable[BenchTask],
    features: Embeddings,
    *,
    name: str,
    title: str,
    suffixes: Sequence[str] = SUFFIXES,
) -> tuple[tuple[ReportTable, ...], dict[str, bytes]]:
    """The comparison over all domains as one, whose agent and market are the same for all: what a claim is made on.

    Args:
        folder: Records as for `make`.
        tasks: What was run.
        features: Sentence embeddings.
        name: Begins the keys of the tables and the names of figures.
        title: Of the pool, in words.
        suffixes: Of record files.

    Returns:
        Its tables, and its figures as SVG by the name of the file; nothing where no test task is on record.
    """
    given = list(tasks)
    tests = [_recorded(folder, f"{domain}-test", _of(given, domain, "test"), suffixes) for domain in DOMAINS]
    devs = [_recorded(folder, f"{domain}-dev", _of(given, domain, "dev"), suffixes) for domain in DOMAINS]
    found = [one for one in tests if one is not None and one.tasks]
    if not found:
        return (), {}
    # Half a training set would teach one domain alone.
    whole = [one for one in devs if one is not None and one.tasks] if None not in devs else []
    lessons = TrainedWeights(embed=features)
    field = compare(merge_records(found), merge_records(whole) if whole else None, features, lessons)
    counts = " and ".join(f"{len(one.tasks)} {one.tasks[0].domain}" for one in found)
    sheets = [
        replace(tables.main_table(field, name), title=f"{title}: {counts} test tasks"),
        claim_table(field, f"{name}-claim", f"{title}: the market against its best agent"),
        spend_table(field, lessons, f"{name}-spend", f"{title}: the market by what it may spend"),
        domain_table(field, f"{name}-domains", f"{title}: domain by domain"),
    ]
    if (checks := tables.check_table(field, name)) is not None:
        sheets.append(checks)
    return tuple(sheets), {f"{name}-pareto.svg": svg(pareto(field))}


def _of(tasks: Sequence[BenchTask], domain: Domain, split: Split) -> list[BenchTask]:
    return [task for task in tasks if task.domain == domain and task.split == split]


def _recorded(folder: Path, name: str, tasks: Sequence[BenchTask], suffixes: Sequence[str]) -> RecordedTasks | None:
    for suffix in suffixes:
        path = folder / f"{name}.jsonl{suffix}"
        if path.exists():
            return load_recorded(path, tasks)
    return None


def _sheets(fields: Mapping[str, DomainComparison], trained: Mapping[str, int]) -> Iterable[ReportTable]:
    yield tables.record_table(fields, trained)
    joined = _joined(fields)
    if len(fields) > 1:
        yield tables.overall_table(fields, joined)
    for domain, field in fields.items():
        yield tables.main_table(field, domain)
        yield tables.plan_table(field, domain)
        yield tables.bin_table(field, domain)
        yield tables.workload_table(field, domain)
        yield tables.escalation_table(field, domain)
        yield tables.shapley_table(field, domain)
        yield tables.ablation_table(field, domain)
        if (refined := refinement_table(field, domain)) is not None:
            yield refined
        yield tables.signal_table(field, domain, planned=True)
        yield tables.signal_table(field, domain, planned=False)
        if (checks := tables.check_table(field, domain)) is not None:
            yield checks
        if (opinions := tables.opinion_table(field, domain)) is not None:
            yield opinions


def _joined(fields: Mapping[str, DomainComparison]) -> dict[str, DecisionOutcomes]:
    found: dict[str, DecisionOutcomes] = {}
    for one in next(iter(fields.values())).contenders:
        if (both := combine_domains(list(fields.values()), one.name)) is not None:
            found[one.name] = both
    return found
