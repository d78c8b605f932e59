"""The controller's part: gather outcomes, write the ledger once, and end with a status."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size

import pytest

from pytest_mesa._plugin.collect import Collector
from pytest_mesa._plugin.items import Cargo
from pytest_mesa._plugin.lab import Lab
from pytest_mesa._plugin.options import Gate, Options, is_spec_file
from pytest_mesa._plugin.outcome import judge
from pytest_mesa._plugin.pages import PageError, shown, write_pages
from pytest_mesa.ledger.append import append
from pytest_mesa.ledger.compare import compare
from pytest_mesa.ledger.errors import LedgerError, RecordError
from pytest_mesa.ledger.index import scan
from pytest_mesa.ledger.records import item as item_key
from pytest_mesa.ledger.records import unchanged
from pytest_mesa.ledger.sides import SideError
from pytest_mesa.ledger.verify import verify
from pytest_mesa.registry.errors import SpecErrors, printable
from pytest_mesa.registry.loader import load
from pytest_mesa.report.comparison import lines as comparison_lines
from pytest_mesa.report.terminal import Row, verdict_table
from pytest_mesa.session import Counts, lost_run, run_record

INCONCLUSIVE = 10
LOCK_DIFFERS = 11
LEDGER = 12


@dataclass(slots=True)
class Written:
    """What became of the records of this session."""

    new: int = 0
    unchanged: int = 0
    trouble: str = ""


class Recorder:
    """Lives in the process that the user started, and is the only one that writes."""

    def __init__(
        self, options: Options, lab: Lab, collector: Collector, *, distributed: bool
    ) -> None:
        self._options = options
        self._lab = lab
        self._collector = collector
        self._rows: list[Row] = []
        self._counts = Counts()
        self._refused = False
        self._interrupted = False
        self._distributed = distributed
        self._seen = 0
        self._failed_collections = 0
        self._written = Written()

    @pytest.hookimpl
    def pytest_report_header(self) -> str:
        """Say where verdicts go."""
        options = self._options
        return f"mesa: ledger {shown(options.ledger, options.root)}"

    @pytest.hookimpl
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Refuse a ledger that cannot take records, before hours are spent on them.

        Raises:
            pytest.exit.Exception: with status 12.
            pytest.UsageError: ``--mesa-compare`` names nothing that is there.
        """
        ledger = self._options.ledger
        if session.config.option.collectonly:
            return
        if ledger.exists():
            self._check(ledger)
        try:
            _ = self._lab.baseline
        except SideError as error:
            raise pytest.UsageError(f"--mesa-compare: {error}") from None
        except LedgerError as error:
            pytest.exit(f"--mesa-compare: {error}", returncode=LEDGER)

    @staticmethod
    def _check(ledger: Path) -> None:
        # A torn tail is what a killed writer leaves; the next append heals it.
        problems = [problem for problem in verify(ledger) if problem.what != "torn-tail"]
        if problems:
            pytest.exit(
                f"{ledger}: {problems[0]} ({len(problems)} in all). Restore the ledger from "
                "version control; 'mesa verify' lists everything",
                returncode=LEDGER,
            )

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count files that cannot be collected: with one, the run has not found nothing."""
        self._failed_collections += report.failed

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session) -> None:
        """A run without any prediction is a mistake, never a pass.

        Raises:
            pytest.UsageError: there was no spec file.
        """
        self._seen += self._collector.files
        if not self._distributed and not self._seen and not self._failed_collections:
            raise pytest.UsageError(self._nothing_found(session.config))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Count what an xdist worker has collected."""
        self._seen += sum(is_spec_file(Path(nodeid.partition("::")[0])) for nodeid in ids)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one outcome; a report without one is of a worker that died."""
        cargo = Cargo.of(report)
        if cargo is None:
            # pytest-xdist reports a lost worker in a phase of its own.
            if report.failed and report.when not in ("setup", "call", "teardown"):
                cargo = self._lost(report)
            if cargo is None:
                return
        self._refused |= cargo.refused
        self._counts += Counts(**cargo.counts)
        self._rows.append(Row(report.nodeid, cargo.category, cargo.note, cargo.record))

    @pytest.hookimpl
    def pytest_keyboard_interrupt(self) -> None:
        """Remember to say what is kept."""
        self._interrupted = True

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the ledger, and settle the exit status."""
        self._lab.close()
        if session.config.option.collectonly:
            return
        # Under xdist the order of arrival is chance; serial and parallel runs shall not differ.
        self._rows.sort(key=lambda row: row.nodeid)
        self._write()
        session.exitstatus = self._status(int(exitstatus))

    @pytest.hookimpl
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """The verdict table, and where everything is."""
        if config.option.collectonly:
            return
        out = terminalreporter
        if self._rows:
            out.section("verdicts", sep="=")
            for line in verdict_table(self._rows, get_terminal_size().columns):
                out.write_line(line.text, **({line.colour: True} if line.colour else {}))
            out.write_line("")
        self._write_comparison(out)
        if self._counts != Counts():
            out.write_line(
                f"{self._counts.computed} cells computed, {self._counts.stored} from the store, "
                f"{self._counts.frozen} frozen"
            )
        self._write_places(out)
        if self._distributed and not self._seen and not self._failed_collections:
            out.write_line(f"ERROR: {self._nothing_found(config)}", red=True)

    def _write_comparison(self, out: pytest.TerminalReporter) -> None:
        baseline = self._lab.baseline
        if baseline is None:
            return
        records = [row.record for row in self._rows if row.record is not None]
        found = [compare(baseline.match(record), record) for record in records]
        out.section(f"compared with {printable(baseline.name)}", sep="=")
        for line in comparison_lines(found, get_terminal_size().columns):
            out.write_line(line.text, **({line.colour: True} if line.colour else {}))
        out.write_line("")

    def _write_places(self, out: pytest.TerminalReporter) -> None:
        options, written = self._options, self._written
        if written.new or written.unchanged:
            out.write_line(
                f"ledger   {shown(options.ledger, options.root)}: {written.new} new, "
                f"{written.unchanged} unchanged"
            )
        if written.trouble:
            out.write_line(f"NOT RECORDED: {written.trouble}", red=True, bold=True)
        elif written.new or written.unchanged:
            out.write_line(f"results  {shown(options.results, options.root)}")
            if options.report is not None:
                out.write_line(f"report   {shown(options.report, options.root)}")
        if self._interrupted:
            cache = shown(options.settings.cache_dir, options.root)
            out.write_line(
                f"Interrupted: {self._finished_cells()} are kept in {cache}; the same command "
                "goes on from there",
                yellow=True,
            )

    def _finished_cells(self) -> str:
        # What the items under way in other processes have finished is not known here.
        if self._distributed:
            return "finished cells"
        computed = self._lab.counts.computed
        return f"the {computed} cells finished in this run"

    def _lost(self, report: pytest.TestReport) -> Cargo | None:
        """Give the report of a died worker the error record that the worker could not write."""
        file, _, name = report.nodeid.partition("::")
        path = self._options.root / file
        if not is_spec_file(path):
            return None
        try:
            loaded = load(path, file)
        except SpecErrors:
            return None
        ref = self._options.models.get(name.removeprefix(loaded.id).strip("[]"))
        message = str(report.longrepr)
        run = lost_run(loaded, self._options.settings, ref, message)
        judged = judge(run, self._options.fail_on, None)
        report.mesa = Cargo.pack(judged, run)  # type: ignore[attr-defined]
        report.when = "call"
        report.longrepr = judged.text
        report.user_properties = list(judged.properties)
        if not judged.failed:
            report.outcome = "skipped"
            report.longrepr = (file, loaded.line, judged.headline)
        return Cargo.of(report)

    def _write(self) -> None:
        """Append what is new, then render."""
        records = [row.record for row in self._rows if row.record is not None]
        if not records:
            return
        options, written = self._options, self._written
        try:
            past = scan(options.ledger)
            new = [each for each in records if not unchanged(past.newest(item_key(each)), each)]
            written.unchanged = len(records) - len(new)
            if new:
                append(options.ledger, run_record(options.root, records, self._counts))
            for record in new:
                append(options.ledger, record)
                written.new += 1
            write_pages(options)
        except (LedgerError, RecordError, PageError) as error:
            written.trouble = str(error)

    def _status(self, status: int) -> int:
        exit_code = pytest.ExitCode
        if status in (exit_code.INTERRUPTED, exit_code.INTERNAL_ERROR, exit_code.USAGE_ERROR):
            return status
        if status == LEDGER or self._written.trouble:
            return LEDGER
        if self._refused:
            return LOCK_DIFFERS
        if self._distributed and not self._seen and not self._failed_collections:
            return exit_code.USAGE_ERROR
        open_ones = any(row.category == "inconclusive" for row in self._rows)
        if status == exit_code.OK and open_ones and Gate.INCONCLUSIVE in self._options.fail_on:
            return INCONCLUSIVE
        return status

    def _nothing_found(self, config: pytest.Config) -> str:
        where = ", ".join(str(arg) for arg in config.args)
        return (
            f"--mesa-predictions: no prediction file (.yaml) found in {where}; "
            "write one with: mesa new ID"
        )
