"""How long a released model takes to load, beside transformers' own loader.

Each load happens in a fresh process, after the imports; the ways take turns, and medians of
processor time are compared, which a busy machine disturbs less than the clock. Ours is
everything between a planned run and a model that can be asked: the store, the memory check, the
load, the tokenizer. Planning finds and hashes the files, once a session, and has a column of
its own. Before any time counts, the logits of all ways are compared.

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
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.schemes import handles
logging.disable_progress_bar()
folder, file, reference, cache = sys.argv[1:5]
saved = str(Path(cache) / "saved")
before = time.process_time()
if (planned := PLANNED):
    handles(SubjectSpec(released=True), planned)
plan = time.process_time() - before
start, before = time.perf_counter(), time.process_time()
"""

PLANNED = {"ours, GGUF": "reference", "ours, directory": "saved"}
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
tokenizer = AutoTokenizer.from_pretrained(saved)
model = AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32)
""",
    "ours, directory": """
loaded = open_model(saved, Path(cache) / "kept")
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
told = {{"seconds": seconds, "clock": clock, "plan": plan, "peak": peak}}
print(json.dumps(told | {{"tokens": ids.tolist()}}))
"""


def run(way: str, arguments: list[str]) -> dict[str, float]:
    """One load in a fresh process: processor seconds, clock seconds, peak memory in GiB."""
    planned = next((what for start, what in PLANNED.items() if way.startswith(start)), "None")
    code = HEAD.replace("PLANNED", planned) + WAYS[way] + TAIL
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
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
        told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                told[way].append(run(way, arguments))
                gap = float((torch.load(cache / "logits.pt", weights_only=True) - want).abs().max())
                if told[way][-1]["tokens"] != ids.tolist() or gap > TOLERANCE:
                    raise SystemExit(f"{way}: other outputs (by {gap:.1e}), so no times")
    return report(told)


def report(told: dict[str, list[dict[str, float]]]) -> int:
    """The table; 1 where ours takes more than `BAR` times as long."""
    missed = 0
    columns = {"seconds": "cpu s", "plan": "plan s", "clock": "clock s", "peak": "peak GiB"}
    print(
        f"{'way':26}{'runs':>6}" + "".join(f"{n:>10}" for n in columns.values()) + f"{'ratio':>8}"
    )
    for way, runs in told.items():
        medians = {name: statistics.median(run[name] for run in runs) for name in columns}
        rival = told[f"transformers, {way.split(', ')[1]}"]
        ratio = medians["seconds"] / statistics.median(run["seconds"] for run in rival)
        numbers = [f"{number:9.2f}" for number in (*medians.values(), ratio)]
        print(f"{way:26}{len(runs):6}", *numbers)
        missed |= ratio > BAR
    print(f"bar: at most {BAR} times transformers' own; {'missed' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
