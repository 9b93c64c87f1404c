#!/usr/bin/env python3
"""How fast language models and Vision Transformers run here and in llama.cpp and ONNX Runtime, in float32 and bfloat16: all programs in turn.

  isonorm-bench/compare/compare_runtimes.py PEERS PYTHON [--work generate,vit] [--models gpt2-124m,llama-134m] [--dtypes f32,bf16]
                                            [--sizes ti,s,b] [--batches 1,8]
                                            [--checkpoints CK] [--lbench FILE] [--gguf GGUF] [--onnx ONNX] [--rounds 3] [--avx2 LLAMA,ORT]

PEERS is the folder with ort_time.py, PYTHON an interpreter that has onnxruntime. CK holds a checkpoint of each model, MODEL and MODEL-bf16,
GGUF the same as MODEL-f32.gguf, MODEL-bf16.gguf, and for --dtypes q8,q4 MODEL-q8_0.gguf and MODEL-q4_0.gguf, ONNX gpt2-last-WAY.onnx and vit-SIZE-BATCH-WAY.onnx; of several ways the faster of
each round counts. LBENCH is the program that times llama.cpp. --avx2 plays a processor with AVX2 alone on one that has more: LLAMA is a
folder with llama.cpp's libraries for such a one, and ORT a folder with an onnxruntime that sees no more. Ratios are of times, or of
memory, Isonorm's over the peer's: medians over rounds with their quartiles, paired by round; below 1, Isonorm is faster, or takes less.
Prints a line about the machine and a Markdown table to stdout, and what it is doing to stderr.
"""
import argparse
import glob
import json
import os
import statistics
import sys

from rounds import ISONORM, Table, run, spread

PROMPT, TOKENS, THREADS = 512, 64, 2
RUNS = {"ti": 15, "s": 7, "b": 5}


def last(command):
    return json.loads(run(command).strip().splitlines()[-1])


def ort(options, runs, pattern):
    """Milliseconds of the faster file: the median, and the least."""
    files = sorted(glob.glob(os.path.join(options.onnx, pattern)))
    env = ["env", "PYTHONPATH=" + options.avx2[1]] if options.avx2 else []
    times = last([*env, options.python, os.path.join(options.peers, "ort_time.py"), str(runs), "1", *files])["ms"].values()
    return min(time["median"] for time in times), min(time["min"] for time in times)


def ours(options, *words):
    env = ["env", "ISONORM_JAVA_OPTS=-XX:UseAVX=2", "ONEDNN_MAX_CPU_ISA=AVX2"] if options.avx2 else []
    return run([*env, ISONORM, "bench", *words, "--threads", str(THREADS), "--quiet"])


QUANTIZED = {"q8": "q8_0", "q4": "q4_0"}  # llama.cpp's words for groups of 32


def llama(options, model, dtype):
    env = ["env", "LIBS=" + options.avx2[0]] if options.avx2 else []
    return last([*env, options.lbench, os.path.join(options.gguf, f"{model}-{QUANTIZED.get(dtype, dtype)}.gguf"), str(PROMPT), str(TOKENS), str(THREADS), "4", "3", "-1", "0"])


def generation(options, model, dtype):
    """One round: what is compared, our seconds (or MiB) and the peer's."""
    checkpoint = os.path.join(options.checkpoints, model + ("-bf16" if dtype == "bf16" else ""))
    us = json.loads(ours(options, "generate", checkpoint, "--dtype", dtype, "--prompt", str(PROMPT), "--tokens", str(TOKENS), "--json"))
    them = llama(options, model, dtype)
    pairs = {
        "prompt, against llama.cpp": (PROMPT / us["prefill_tokens_per_s"], PROMPT / max(them["pp"])),
        "decoding, against llama.cpp": (1 / us["decode_tokens_per_s"], 1 / max(them["tg"])),
        "peak memory, MiB, against llama.cpp": (us["peak_mib"], them["rss_mib"]),
    }
    if model.startswith("gpt2") and dtype == "f32":
        pairs["prompt, against ONNX Runtime"] = PROMPT / us["prefill_tokens_per_s"], ort(options, 5, "gpt2-last-*.onnx")[1] / 1000
    return us["machine"], pairs


def images(options, size, batch):
    forms = json.loads(ours(options, "norms", "--model", "vit-" + size, "--batch", str(batch), "--dtype", "f32", "--runs", str(RUNS[size]),
                            "--warm-up", "2", "--format", "json"))
    times = {form["form"]: form["median_ms"] / 1000 for form in forms}
    peer = ort(options, RUNS[size], f"vit-{size}-{batch}-*.onnx")[0] / 1000
    pairs = {"pre-ln, against ONNX Runtime": (times["pre-ln"], peer)}
    for form in ("pre-rmsnorm", "pre-crmsnorm", "none"):
        pairs[form + ", against pre-ln"] = times[form], times["pre-ln"]
    return forms[0]["machine"], pairs


def compare(options, table, name, one):
    rounds = []
    for number in range(options.rounds):
        print(f"{name}: round {number + 1} of {options.rounds}", file=sys.stderr)
        machine, pairs = one()
        table.begin(machine)
        rounds.append(pairs)
    for what in rounds[0]:
        a, b = zip(*(each[what] for each in rounds))
        digits = 0 if "memory" in what else 4
        print("| " + " | ".join([name, what, f"{statistics.median(a):.{digits}f}", f"{statistics.median(b):.{digits}f}",
                                  spread([x / y for x, y in zip(a, b)], 3)])
              + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers")
    parser.add_argument("python")
    parser.add_argument("--work", default="generate,vit")
    parser.add_argument("--models", default="gpt2-124m,llama-134m")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--sizes", default="ti,s,b")
    parser.add_argument("--batches", default="1,8")
    for folder in ("--checkpoints", "--lbench", "--gguf", "--onnx"):
        parser.add_argument(folder)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--avx2", type=lambda both: both.split(","))
    options = parser.parse_args()
    run([ISONORM, "--version"])  # builds, if need be
    table = Table("| model | what | isonorm, s | peer, s | ratio |", "|---|---|--:|--:|--:|")
    if "generate" in options.work:
        for model in options.models.split(","):
            for dtype in options.dtypes.split(","):
                compare(options, table, f"{model} {dtype}", lambda: generation(options, model, dtype))
    if "vit" in options.work:
        for size in options.sizes.split(","):
            for batch in options.batches.split(","):
                compare(options, table, f"vit-{size} batch {batch}", lambda: images(options, size, batch))


if __name__ == "__main__":
    main()
