"""How long a released model takes to load, beside transformers' own loader.

Each load happens in a fresh process, after the imports; the ways take turns, and medians of
processor time are compared, which a busy machine disturbs less than the clock. Ours is
everything between a reference and a model that can be asked: finding the files, hashing them,
the memory check, the store, the load, the tokenizer. Before any time counts, the logits of all
ways are compared.

    python benchmarks/load_time.py [--rounds 5] [--model bundled:smollm2-135m]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BAR = 1.3
TEXT = "The quick brown fox jumps over the lazy dog."
TOLERANCE = 1e-4

HEAD = """
import json, resource, sys, time
import torch, transformers
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging
import pytest_mesa.subjects.language, pytest_mesa.subjects.load
from pytest_mesa.subjects.opening import open_model
import pytest_mesa.subjects.weights, huggingface_hub
logging.disable_progress_bar()
folder, file, reference, cache = sys.argv[1:5]
start, before = time.perf_counter(), time.process_time()
"""
WAYS = {
    "transformers, GGUF": """
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
""",
    "ours, GGUF, first time": """
import tempfile
loaded = open_model(reference, Path(tempfile.mkdtemp(dir=cache)))
tokenizer, model = loaded.tokenizer, loaded.model
""",
    "ours, GGUF, later": """
loaded = open_model(reference, Path(cache) / "kept")
tokenizer, model = loaded.tokenizer, loaded.model
""",
    "transformers, directory": """
tokenizer = AutoTokenizer.from_pretrained(Path(cache) / "saved")
model = AutoModelForCausalLM.from_pretrained(Path(cache) / "saved", dtype=torch.float32)
""",
    "ours, directory": """
loaded = open_model(str(Path(cache) / "saved"), Path(cache) / "kept")
tokenizer, model = loaded.tokenizer, loaded.model
""",
}
TAIL = f"""
seconds, clock = time.process_time() - before, time.perf_counter() - start
ids = tokenizer({TEXT!r}, return_tensors="pt")["input_ids"]
with torch.inference_mode():
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
torch.save(logits, Path(cache) / "logits.pt")
print(json.dumps({{"seconds": seconds, "clock": clock, "peak": peak, "tokens": ids.tolist()}}))
"""


def run(body: str, arguments: list[str]) -> dict[str, float]:
    """One load in a fresh process: processor seconds, clock seconds, peak memory in GiB."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + body + TAIL, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> int:
    """Measure, print a table, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="bundled:smollm2-135m")
    options = parser.parse_args()
    import torch

    from pytest_mesa.subjects.bundled import locate
    from pytest_mesa.subjects.opening import open_model

    (path,) = locate(options.model.partition(":")[2])
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        loaded = open_model(options.model, cache / "kept")
        (kept,) = (cache / "kept").rglob("model.safetensors")
        (cache / "saved").symlink_to(kept.parent)
        ids = loaded.encode([TEXT])[0]
        want = loaded.net(ids)
        arguments = [str(path.parent), path.name, options.model, str(cache)]
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        clocks: dict[str, list[float]] = {way: [] for way in WAYS}
        peaks: dict[str, float] = {}
        for _ in range(options.rounds):
            for way, body in WAYS.items():
                told = run(body, arguments)
                gap = float((torch.load(cache / "logits.pt", weights_only=True) - want).abs().max())
                if told["tokens"] != ids.tolist() or gap > TOLERANCE:
                    raise SystemExit(f"{way}: other outputs (by {gap:.1e}), so no times")
                times[way].append(told["seconds"])
                clocks[way].append(told["clock"])
                peaks[way] = max(peaks.get(way, 0.0), told["peak"])
    return report(times, clocks, peaks)


def report(
    times: dict[str, list[float]], clocks: dict[str, list[float]], peaks: dict[str, float]
) -> int:
    """The table; 1 where ours takes more than `BAR` times as long."""
    missed = 0
    print(
        f"{'way':26}{'cpu s':>8}{'least':>8}{'most':>8}{'clock s':>9}{'peak GiB':>10}{'ratio':>8}"
    )
    for way, seconds in times.items():
        median = statistics.median(seconds)
        own = statistics.median(times[f"transformers, {way.split(', ')[1]}"])
        print(
            f"{way:26}{median:8.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
            f"{statistics.median(clocks[way]):9.2f}{peaks[way]:10.2f}{median / own:8.2f}"
        )
        missed |= median > BAR * own
    print(f"bar: at most {BAR} times transformers' own; {'missed' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
