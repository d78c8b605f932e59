"""``mesa fixtures``: games and positions from the engines that made them, ladders as measured."""

from __future__ import annotations

import argparse

from pytest_mesa._cli.common import UserError, out, places


def fixtures(options: argparse.Namespace) -> int:
    """Make one kind of set, or some of its files."""
    if options.kind == "ladders":
        return _ladders(options)
    from pytest_mesa.tasks.games import making
    from pytest_mesa.tasks.games.engines import EngineError
    from pytest_mesa.tasks.games.errors import GamesError

    known = making.MAKERS if options.kind == "games" else making.MINES
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
                making.make(making.MAKERS[name], folder, out)
            else:
                making.make_positions(name, folder, out)
    except (EngineError, GamesError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror}") from error
    return 0


def _ladders(options: argparse.Namespace) -> int:
    """Keep what the nets of ladders measured, by the predictions that follow them."""
    from pytest_mesa.experiments.scaling_frozen import freeze
    from pytest_mesa.registry.loader import collect
    from pytest_mesa.runs.store import Store

    paths, _, root = places([])
    loaded = {
        spec.id: spec.prediction
        for spec in collect(paths, root).loaded
        if spec.prediction.experiment.kind == "scaling"
    }
    unknown = [name for name in options.names if name not in loaded]
    if unknown:
        raise UserError(
            f"no prediction {unknown[0]!r} follows a ladder; there are {', '.join(loaded)}", 2
        )
    store = Store(options.cache_dir)
    for name in options.names or loaded:
        for manifest in freeze(loaded[name], store, options.output):
            out(f"{manifest.parent}: what {name} measured")
    return 0
