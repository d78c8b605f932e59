"""Find out how a decoder's parts are wired to its residual stream, on one short run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pytest_mesa.instruments.anatomy import Anatomy, Block
from pytest_mesa.instruments.anatomy_trace import Seen, Trace, calls_of, trace
from pytest_mesa.instruments.attribution_graph import Graph, Part, Port, Reader, Writer
from pytest_mesa.instruments.attribution_norm import Norm, fit_norm, identity
from pytest_mesa.instruments.attribution_parts import Attention, Plain, Read, Wiring, linear_map
from pytest_mesa.instruments.attribution_ports import PORTS, Columns, find_columns
from pytest_mesa.instruments.runner import Runner, runner_of
from pytest_mesa.instruments.stream import SiteError, tolerance

if TYPE_CHECKING:
    from jaxtyping import Int


def wire(anatomy: Anatomy, example: Int[Tensor, "batch pos"]) -> Wiring:
    """Find what every head, MLP and the logits read, on a short example without padding.

    Raises:
        SiteError: the net is not additive, or a part's input is no norm of the stream.
    """
    if not anatomy.additive:
        raise SiteError(f"edges need additive writes to the stream: {anatomy.reason}")
    run = runner_of(anatomy.module)
    ids = example[:1]
    if ids.shape[1] < 2:
        raise SiteError("the example needs two tokens")
    traces = {
        block.name: trace(call)
        for block, call in zip(
            anatomy.blocks,
            calls_of(run, ids, [block.module for block in anatomy.blocks]),
            strict=True,
        )
    }
    heads = [block for block in anatomy.blocks if block.heads is not None]
    maps = {block.name: _maps(block, traces[block.name]) for block in heads}
    ports = find_columns(run, ids[:, :2], heads, maps) if heads else {}
    builder = _Builder(anatomy)
    for layer, block in enumerate(anatomy.blocks):
        builder.block(layer, block, traces[block.name], ports)
    return builder.finish(run)


def _maps(block: Block, run: Trace) -> list[nn.Module]:
    """The linear maps within a block's attention, but for the output projection."""
    inner = [] if block.attention is None else list(block.attention.modules())
    seen = {value.module: value for value in run.seen.values()}
    found = []
    for module in inner:
        weight = getattr(module, "weight", None)
        given = seen[module].input if module in seen else None
        if (
            isinstance(weight, Tensor)
            and weight.ndim == 2
            and given is not None
            and given.is_floating_point()
            and block.heads is not None
            and module is not block.heads.projection
        ):
            found.append(module)
    return found


class _Builder:
    """Adds blocks to a graph, in order."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self.writers = [Writer("input", "input", -1)]
        self.readers: list[Reader] = []
        self.parts: list[Attention | Plain] = []

    def block(
        self, layer: int, block: Block, run: Trace, ports: Mapping[str, list[Columns]]
    ) -> None:
        """Add one block's parts, in the order in which they are added to the stream."""
        streams = [(run.before, len(self.writers))]
        written = run.before
        by_time = {value.module: value for value in run.seen.values()}
        writes = sorted(block.writes.items(), key=lambda item: by_time[item[1]].end)
        for role, write in writes:
            if role == "attention" and block.heads is not None:
                self._attention(layer, block, run, streams, ports[block.name])
            else:
                self._plain(layer, block, role, run, streams)
            output = by_time[write].output
            written = written if output is None else written + output
            streams.append((written, len(self.writers)))

    def finish(self, run: Runner) -> Wiring:
        """Add the logits."""
        anatomy = self.anatomy
        if anatomy.unembedding is None:
            raise SiteError("found no unembedding")
        last = anatomy.final_norm or anatomy.unembedding
        self.readers.append(Reader("logits", "logits", len(anatomy.blocks), len(self.writers), ()))
        graph = Graph(tuple(self.writers), tuple(self.readers))
        return Wiring(anatomy, run, graph, tuple(self.parts), last, anatomy.unembedding)

    def _attention(
        self,
        layer: int,
        block: Block,
        run: Trace,
        streams: list[tuple[Tensor, int]],
        ports: list[Columns],
    ) -> None:
        heads, write = block.heads, block.attention_write
        if heads is None or write is None:
            raise SiteError(f"{block.name}: found no heads that write to the stream")
        by_module = {value.module: value for value in run.seen.values()}
        given = [by_module[columns.module].input for columns in ports]
        norm, before = _norm(f"{block.name}'s attention", given, run, streams)
        first = len(self.writers)
        self.writers += [Writer(f"a{layer}.h{h}", "head", layer, h) for h in range(heads.count)]
        reads = []
        for columns in sorted(ports, key=lambda columns: PORTS.index(columns.port)):
            reads.append(Read(columns, len(self.readers)))
            alone = all(len(served) == 1 for served in columns.heads)
            for place, served in enumerate(columns.heads):
                owner = f"h{served[0]}" if alone else f"g{place}"
                name = f"a{layer}.{owner}<{columns.port}>"
                feeds = tuple(first + head for head in served)
                self.readers.append(Reader(name, columns.port, layer, before, feeds))
        after = None
        if write is not block.attention:
            after = _after(block, by_module, write)
        self.parts.append(
            Attention(
                layer,
                norm,
                tuple(reads),
                heads.projection,
                write,
                after,
                heads.count,
                heads.width,
                before,
                first,
            )
        )

    def _plain(
        self,
        layer: int,
        block: Block,
        role: str,
        run: Trace,
        streams: list[tuple[Tensor, int]],
    ) -> None:
        part: Part = "mlp" if role == "mlp" else "mixer"
        port: Port = "mlp" if part == "mlp" else "mixer"
        owner = {"mlp": block.mlp, "mixer": block.mixer, "attention": block.attention}[role]
        reads = (owner,) if owner is not None else _first_maps(block, role, run, streams[-1][0])
        by_module = {value.module: value for value in run.seen.values()}
        given = [by_module[module].input for module in reads]
        norm, before = _norm(f"{block.name}'s {role}", given, run, streams)
        first = len(self.writers)
        self.writers.append(Writer(f"{part[0] if part == 'mlp' else 'x'}{layer}", part, layer))
        self.parts.append(
            Plain(layer, part, norm, reads, block.writes[role], len(self.readers), before, first)
        )
        name = self.writers[-1].name
        self.readers.append(Reader(name, port, layer, before, (first,)))


def _after(block: Block, seen: Mapping[nn.Module, Seen], write: nn.Module) -> Norm | None:
    """The norm behind a block's attention; None where the write is the projection's own."""
    given, output = seen[write].input, seen[write].output
    heads = block.heads
    projected = None if heads is None else seen[heads.projection].output
    if output is None or given is None or projected is None:
        raise SiteError(f"{block.name}: the attention's write was not seen")
    if _close(projected, output):
        return None
    if not _close(projected, given):
        raise SiteError(f"{block.name}: something acts between the heads' projection and its norm")
    if heads is not None and bool(linear_map(heads.projection)[1].any()):
        raise SiteError(f"{block.name}: a bias before the norm behind the attention is no head's")
    return fit_norm(write, given, f"{block.name}'s norm behind the attention")


def _first_maps(block: Block, role: str, run: Trace, stream: Tensor) -> tuple[nn.Module, ...]:
    """Where the block names no module: the maps behind the attention that read the stream."""
    outside = set() if block.attention is None else set(block.attention.modules())
    seen = run.seen.values()
    normed = [stream] + [
        value.output
        for value in seen
        if value.input is not None and value.output is not None and _close(value.input, stream)
    ]
    found = [
        value.module
        for value in seen
        if value.module not in outside
        and isinstance(getattr(value.module, "weight", None), Tensor)
        and value.module.weight.ndim == 2
        and any(value.input is not None and _close(value.input, target) for target in normed)
    ]
    if not found:
        raise SiteError(f"{block.name}: found no module that reads the stream for its {role}")
    return tuple(found)


def _norm(
    name: str, given: list[Tensor | None], run: Trace, streams: list[tuple[Tensor, int]]
) -> tuple[Norm, int]:
    """The norm between the stream and a part's input, and how many writers are in the stream.

    Raises:
        SiteError: the input is no norm of the stream at any place of the block.
    """
    target = given[0] if given else None
    if target is None or any(other is None or not _close(other, target) for other in given):
        raise SiteError(f"the maps of {name} do not read one input")
    for stream, before in streams:
        if _close(target, stream):
            return identity(stream.shape[-1], stream), before
    for value in run.seen.values():
        if value.input is None or value.output is None or not _close(value.output, target):
            continue
        for stream, before in streams:
            if _close(value.input, stream):
                return fit_norm(value.module, stream, f"the norm before {name}"), before
    raise SiteError(f"{name} reads neither the stream nor a norm of it")


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape[-1] != other.shape[-1] or one.numel() != other.numel():
        return False
    gap = (one.reshape(other.shape) - other).abs().max()
    return bool(gap <= tolerance(other) * other.abs().max())
