"""``mesa fixtures``: make the frozen games and positions anew, with the engines that made them."""

from __future__ import annotations

import argparse

from pytest_mesa._cli.common import UserError, out


def fixtures(options: argparse.Namespace) -> int:
    """Make one kind of set, or some of its files."""
    from pytest_mesa.tasks.games import making
    from pytest_mesa.tasks.games.engines import EngineError
    from pytest_mesa.tasks.games.errors import GamesError

    makers = {str(name): maker for name, maker in making.MAKERS.items()}
    known = makers if options.kind == "games" else making.MINES
    unknown = [name for name in options.names if name not in known]
    if unknown:
        raise UserError(
            f"{options.kind} has no file {unknown[0]!r}; there are {', '.join(known)}", 2
        )
    folder = options.output / options.kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.names or known:
            if options.kind == "games":
                making.make(makers[name], folder, out)
            else:
                making.make_positions(name, folder, out)
    except (EngineError, GamesError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror}") from error
    return 0
