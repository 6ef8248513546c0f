"""Runs one attention in PyTorch: python3 pytorch.py job.json

The job is that of onnxruntime.js, with kind ("core" or "layer"), heads and causal
instead of a graph. PyTorch before 2.0 has no fused core; what it has is timed.
"""

import array
import json
import math
import sys
import time

import torch


def read(entry):
    numbers = array.array("f")
    with open(entry["file"], "rb") as file:
        numbers.frombytes(file.read())
    return torch.tensor(numbers, dtype=torch.float32).reshape(entry["dims"])


def core(q, k, v, heads, causal):
    batch, length, features = q.shape
    q, k, v = (x.reshape(batch, length, heads, -1).transpose(1, 2) for x in (q, k, v))
    if hasattr(torch.nn.functional, "scaled_dot_product_attention"):
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    else:
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        if causal:
            hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(hidden, -math.inf)
        out = torch.softmax(scores, -1) @ v
    return out.transpose(1, 2).reshape(batch, length, features)


def layer(x, heads, causal, **w):
    q, k, v = (x @ w["w" + name] + w["b" + name] for name in "qkv")
    return core(q, k, v, heads, causal) @ w["wo"] + w["bo"]


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    torch.set_num_threads(job["threads"])
    inputs = {name: read(entry) for name, entry in job["inputs"].items()}
    work = core if job["kind"] == "core" else layer
    best, runs, end = math.inf, 0, time.perf_counter() + job["seconds"]
    with torch.no_grad():
        while runs < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            result = work(heads=job["heads"], causal=job["causal"], **inputs)
            best = min(best, time.perf_counter() - start)
            runs += 1
    with open(job["output"], "wb") as file:
        file.write(array.array("f", result.flatten().tolist()).tobytes())
    print(json.dumps({"ms": best * 1e3, "version": torch.__version__}))


main()
