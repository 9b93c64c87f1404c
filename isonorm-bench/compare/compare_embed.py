#!/usr/bin/env python3
"""Sentence embeddings beside sentence-transformers' arithmetic (mean of all tokens, length 1) done by transformers: equality in float64, time in float32.

compare_embed.py CHECKPOINT TEXT [--rounds N] [--no-equality]

CHECKPOINT is a BERT with tokenizer.json and sentence-transformers' files that say so; TEXT has a sentence a line. transformers gets 32 sentences at once,
sorted by length, the others' padding hidden, as SentenceTransformer.encode does. Isonorm's time is that of lines which come when its code is compiled: half
the difference between three and one times the text in one process, and beside it the first time."""
import argparse, json, os, pathlib, subprocess, tempfile, time
import numpy, torch
from safetensors.numpy import load_file
from transformers import AutoModel, PreTrainedTokenizerFast, logging

logging.set_verbosity_error()
logging.disable_progress_bar()

parser = argparse.ArgumentParser()
parser.add_argument("checkpoint"); parser.add_argument("text"); parser.add_argument("--rounds", type=int, default=3); parser.add_argument("--no-equality", action="store_true")
options = parser.parse_args()
home = pathlib.Path(__file__).resolve().parents[2]
lines = open(options.text, encoding="utf-8").read().splitlines()
tokenizer = PreTrainedTokenizerFast(tokenizer_file=options.checkpoint + "/tokenizer.json", pad_token="[PAD]")
longest = json.load(open(options.checkpoint + "/sentence_bert_config.json"))["max_seq_length"]
torch.set_num_threads(len(os.sched_getaffinity(0)))

def transformers(model):
    order = sorted(range(len(lines)), key=lambda i: -len(lines[i]))
    vectors = [None] * len(lines)
    with torch.inference_mode():
        for first in range(0, len(lines), 32):
            some = order[first:first + 32]
            batch = tokenizer([lines[i].strip() for i in some], padding=True, truncation=True, max_length=longest, return_tensors="pt")
            states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
            mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            for i, vector in zip(some, torch.nn.functional.normalize(means, dim=1)):
                vectors[i] = vector.numpy()
    return numpy.stack(vectors)

def isonorm(text, compute):
    with tempfile.TemporaryDirectory() as folder:
        out = folder + "/out.safetensors"
        said = subprocess.run([home / "isonorm", "embed", options.checkpoint, "--text", text, "--output", out, "--compute", compute, "--json", "-q"],
                              check=True, capture_output=True, text=True).stdout
        return json.loads(said)["seconds"], load_file(out)["embeddings"]

if not options.no_equality:
    expected = transformers(AutoModel.from_pretrained(options.checkpoint, add_pooling_layer=False, dtype=torch.float64).eval())
    for compute in "f64", "f32":
        given = isonorm(options.text, compute)[1].astype(numpy.float64)
        print(f"{compute}: largest difference {abs(given - expected).max():.1e}, smallest cosine 1 - {1 - (given * expected).sum(1).min():.1e}")
model = AutoModel.from_pretrained(options.checkpoint, add_pooling_layer=False, dtype=torch.float32).eval()
with tempfile.NamedTemporaryFile("w", encoding="utf-8") as thrice:
    thrice.write("\n".join(3 * lines) + "\n"); thrice.flush()
    rounds = []
    for _ in range(options.rounds):
        transformers(model)
        start = time.perf_counter(); transformers(model); peer = time.perf_counter() - start
        once, all = isonorm(options.text, "f32")[0], isonorm(thrice.name, "f32")[0]
        rounds.append((peer, (all - once) / 2, once))
        print(f"transformers {peer:.3f} s, isonorm {(all - once) / 2:.3f} s ({peer / (all - once) * 2:.2f} times as fast), the first time {once:.3f} s", flush=True)
print("median ratio %.2f" % numpy.median([peer / ours for peer, ours, _ in rounds]))
