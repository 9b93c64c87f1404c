#!/usr/bin/env python3
"""How fast Whisper hears and writes here and in Hugging Face transformers: isonorm.bench.Transcribe and this file's other half in turn.

  isonorm-bench/compare/compare_whisper.py PYTHON CHECKPOINT [--tokens 100] [--rounds 5] [--threads 2] [--warm-ups 3] [--runs 3]

PYTHON is an interpreter that has torch and transformers. CHECKPOINT is a folder of a Whisper; where there is none, one of whisper-base's shape with
random weights is written there. Both read 30 seconds of the same noise and write so many tokens greedily, in float32. Each round starts each program
once, in turn, first one and then the other in front; a program's figure is the median of its runs, and a ratio the median over rounds with its
quartiles, paired by round; above 1, Isonorm is faster. Prints a line about the machine and a Markdown table, whether both wrote the same, and to stderr
what it is doing.
"""
import argparse
import json
import os
import statistics
import sys
import time

from rounds import ISONORM, Table, run, spread

FEATURES = "noise.safetensors"


def make(folder):
    """whisper-base's shape with random weights, and noise for it."""
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(1)
    if not os.path.exists(os.path.join(folder, "config.json")):
        config = transformers.WhisperConfig(d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8, decoder_attention_heads=8,
                                            encoder_ffn_dim=2048, decoder_ffn_dim=2048, suppress_tokens=None, begin_suppress_tokens=None)
        transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    save_file({"input_features": torch.randn(1, 80, 3000)}, os.path.join(folder, FEATURES))


def peer(folder, tokens, threads, warm_ups, runs):
    import torch
    import transformers
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    features = load_file(os.path.join(folder, FEATURES))["input_features"]
    generate = transformers.generation.utils.GenerationMixin.generate  # without the search for time stamps in Whisper's own
    reading, everything, ids = [], [], []
    with torch.no_grad():
        for number in range(-warm_ups, runs):
            start = time.perf_counter()
            model.model.encoder(features)
            between = time.perf_counter()
            ids = generate(model, input_features=features, do_sample=False, num_beams=1, max_new_tokens=tokens, min_new_tokens=tokens)
            if number >= 0:
                reading.append(between - start)
                everything.append(time.perf_counter() - between)
    seconds = statistics.median(everything)
    encoder = statistics.median(reading)
    print(json.dumps({"seconds": seconds, "reading_seconds": encoder, "writing_seconds": seconds - encoder, "ids": ids[0].tolist()[1:]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("checkpoint")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-ups", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--half", choices=["make", "peer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.half == "make":
        return make(options.checkpoint)
    if options.half == "peer":
        return peer(options.checkpoint, options.tokens, options.threads, options.warm_ups, options.runs)
    run([ISONORM, "--version"])  # builds, if need be
    features = os.path.join(options.checkpoint, FEATURES)
    if not os.path.exists(features):
        run([options.python, __file__, options.python, options.checkpoint, "--half", "make"])
    sizes = [str(each) for each in (options.tokens, options.threads, options.warm_ups, options.runs)]
    programs = {
        "us": [os.path.join(os.path.dirname(ISONORM), "isonorm-bench", "run"), "Transcribe", options.checkpoint, features, *sizes],
        "them": [options.python, __file__, options.python, options.checkpoint, "--half", "peer", "--tokens", sizes[0], "--threads", sizes[1],
                 "--warm-ups", sizes[2], "--runs", sizes[3]],
    }
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        order = list(programs) if number % 2 == 0 else list(programs)[::-1]
        rounds.append({name: json.loads(run(programs[name]).strip().splitlines()[-1]) for name in order})
    table = Table("| what | isonorm | transformers | ratio |", "|---|--:|--:|--:|")
    table.begin(rounds[0]["us"]["machine"])
    for what, key in (("encoder and %d tokens, seconds" % options.tokens, "seconds"), ("encoder and first token (there the encoder alone), seconds", "reading_seconds"),
                      ("the rest, seconds", "writing_seconds")):
        pairs = [(each["us"][key], each["them"][key]) for each in rounds]
        print("| " + " | ".join([what, f"{statistics.median(a for a, _ in pairs):.3f}", f"{statistics.median(b for _, b in pairs):.3f}",
                                 spread([b / a for a, b in pairs], 2)]) + " |", flush=True)
    ours, theirs = rounds[0]["us"]["ids"], rounds[0]["them"]["ids"]
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    print(f"\nOf {len(ours)} and {len(theirs)} tokens the first {same} are the same.")


if __name__ == "__main__":
    main()
