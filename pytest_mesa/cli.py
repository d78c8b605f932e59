"""The ``mesa`` command: what one does with predictions beside running them.

Each subcommand's code is imported when it is called, so that ``mesa check`` needs no torch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pytest_mesa._cli import releases
from pytest_mesa.registry.errors import did_you_mean

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, names = _parser()
    word = next((argument for argument in given if not argument.startswith("-")), None)
    if word is not None and word not in names:
        hint = did_you_mean(word, names) or f"there are {', '.join(names)}"
        sys.stderr.write(f"mesa: there is no command '{word}'; {hint}\n")
        return USAGE
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help()
        return 0
    module_name, _, name = options.run.partition(":")
    from pytest_mesa._cli.common import UserError, user_errors

    try:
        run = getattr(importlib.import_module(module_name), name)
        return int(run(options))
    except UserError as error:
        sys.stderr.write(f"mesa {options.command}: {error}\n")
        return error.status
    except user_errors() as error:
        sys.stderr.write(f"mesa {options.command}: {error}\n")
        return int(getattr(error, "status", 1))
    except KeyboardInterrupt:
        sys.stderr.write(f"mesa {options.command}: interrupted; finished work is kept\n")
        return USAGE
    except BrokenPipeError:
        # The reader has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    parser = argparse.ArgumentParser(
        prog="mesa",
        usage="mesa [-h] COMMAND ...",
        description="Write, check and lock predictions; check their ledger; train their nets. "
        "Predictions are run by pytest: pytest --mesa-predictions",
        epilog="mesa COMMAND --help says more. Exit status: 0 all is well, 1 something is "
        "wrong with what was looked at, 2 wrong usage, 11 a spec differs from its lock, "
        "12 the ledger is damaged or out of step with RESULTS.md.",
    )
    commands = parser.add_subparsers(
        dest="command",
        prog="mesa",
        # As wide as argparse needs to keep the longest command on one line with its help.
        metavar="COMMAND ...",
        title="commands",
    )
    _add_specs(commands)
    _add_ledger(commands)
    _add_nets(commands)
    _add_fixtures(commands)
    releases.add(partial(_command, commands))
    return parser, list(commands.choices)


Commands = argparse._SubParsersAction  # argparse gives this type no public name


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, run: str, text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    parser.set_defaults(run=f"pytest_mesa._cli.{run}")
    return parser


def _add_specs(commands: Commands[argparse.ArgumentParser]) -> None:
    new = _command(commands, "new", "specs:new", "start a prediction from a complete template")
    new.add_argument("id", metavar="ID", help="the prediction's id, as in knapsack-no-dp")
    new.add_argument(
        "--dir", type=Path, default=Path("predictions"), help="where to (default: predictions)"
    )

    check = _command(
        commands,
        "check",
        "specs:check",
        "list every error in specs, and what is locked",
    )
    _add_paths(check)

    lock = _command(commands, "lock", "specs:lock", "write the hash of each spec to mesa.lock")
    _add_paths(lock)
    lock.add_argument(
        "--check",
        action="store_true",
        help="write nothing; status 11 where the lock is not that of the specs",
    )

    amend = _command(
        commands,
        "amend",
        "amend:amend",
        "record why a locked spec has changed, and lock it as it is now",
    )
    amend.add_argument("claim", metavar="CLAIM", help="the prediction's id")
    amend.add_argument(
        "--why", required=True, metavar="TEXT", help="the reason, as RESULTS.md will show it"
    )
    amend.add_argument(
        "--ledger",
        type=Path,
        default=Path("ledger.jsonl"),
        metavar="FILE",
        help="the ledger (default: ledger.jsonl)",
    )
    amend.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="the rendering (default: RESULTS.md beside the ledger)",
    )

    show = _command(commands, "show", "specs:show", "print a prediction as a card")
    show.add_argument("what", metavar="ID|FILE", help="a prediction's id, or a spec file")

    schema = _command(
        commands, "schema", "specs:schema", "print the JSON Schema of specs, for editors"
    )
    schema.add_argument(
        "--installed",
        action="store_true",
        help="include the experiment kinds that other installed packages offer",
    )
    schema.add_argument("--output", type=Path, metavar="FILE", help="write it to a file")


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="spec files and directories (default: ./predictions, or the registry that ships)",
    )


def _add_ledger(commands: Commands[argparse.ArgumentParser]) -> None:
    for name, text in (
        ("verify", "check the ledger's chain, and that RESULTS.md is its rendering"),
        ("results", "render the ledger to RESULTS.md anew"),
    ):
        parser = _command(commands, name, f"ledger:{name}", text)
        parser.add_argument(
            "ledger",
            nargs="?",
            type=Path,
            default=Path("ledger.jsonl"),
            metavar="LEDGER",
            help="the ledger (default: ledger.jsonl)",
        )
        parser.add_argument(
            "--results",
            type=Path,
            metavar="FILE",
            help="the rendering (default: RESULTS.md beside the ledger)",
        )


def _add_nets(commands: Commands[argparse.ArgumentParser]) -> None:
    train = _command(commands, "train", "nets:train", "train the net of a recipe")
    train.add_argument("recipe", metavar="RECIPE", help="a name that 'mesa subjects' lists")
    train.add_argument("--seed", type=int, default=0, help="the training seed (default: 0)")
    train.add_argument(
        "--freeze",
        type=Path,
        nargs="?",
        const=Path("fixtures"),
        metavar="DIR",
        help="also keep the net as a fixture, in this directory (default: fixtures)",
    )
    train.add_argument(
        "--cache-dir",
        type=Path,
        default=Path(".mesa-cache"),
        help="where finished cells are kept (default: .mesa-cache)",
    )

    reproduce = _command(
        commands,
        "reproduce",
        "nets:reproduce",
        "replay the first 50 training losses of frozen nets and compare",
    )
    reproduce.add_argument("name", nargs="?", metavar="NAME", help="one net (default: all)")
    reproduce.add_argument(
        "--full", action="store_true", help="train to the end and compare the weights as well"
    )

    _command(commands, "subjects", "nets:subjects", "list recipes, compiled nets and frozen nets")


def _add_fixtures(commands: Commands[argparse.ArgumentParser]) -> None:
    fixtures = _command(
        commands,
        "fixtures",
        "fixtures:fixtures",
        "make frozen games or positions anew; keep what ladders measured",
    )
    fixtures.add_argument(
        "kind",
        choices=("games", "positions", "ladders"),
        help="games to train on, chess positions, or what the nets of ladders measured",
    )
    fixtures.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="files, as in chess or puzzles, or predictions that follow ladders (default: all)",
    )
    fixtures.add_argument(
        "--output",
        type=Path,
        default=Path("fixtures"),
        metavar="DIR",
        help="where to (default: fixtures)",
    )
    fixtures.add_argument(
        "--cache-dir",
        type=Path,
        default=Path(".mesa-cache"),
        help="where the ladders' finished cells are (default: .mesa-cache)",
    )


if __name__ == "__main__":
    raise SystemExit(main())
