#!/usr/bin/env python3
"""What Isonorm reads of the models that Hugging Face transformers has: isonorm-bench/compare/coverage.py PYTHON > docs/coverage.md

PYTHON is an interpreter that has transformers, whose folders of models are walked. A type of model counts as read where a fixture of it is:
the tests hold that to the reference's outputs in every form it converts to. A folder is read where one of its types is.
"""
import argparse
import collections
import glob
import json
import os
import re
import subprocess
import sys

from rounds import ISONORM, run

ROOT = os.path.dirname(ISONORM)
FIXTURES = os.path.join(ROOT, "isonorm-core", "src", "test", "resources", "fixtures")
LANGUAGE_PART = os.path.join(ROOT, "isonorm-core", "src", "main", "java", "isonorm", "family", "LanguagePart.java")
CONVERSIONS = ("pre-rmsnorm", "rmsnorm")

# Folders with a tokenizer alone, whose checkpoints are of another folder's type.
SAME_TYPE = {
    "barthez": "mbart", "bartpho": "mbart", "bert_japanese": "bert", "bertweet": "roberta", "byt5": "t5", "code_llama": "llama", "cpm": "gpt2",
    "gpt_sw3": "gpt2", "herbert": "bert", "mbart50": "mbart", "myt5": "t5", "nllb": "m2m_100", "phobert": "roberta", "wav2vec2_phoneme": "wav2vec2",
    "wav2vec2_with_lm": "wav2vec2", "llama2": "llama", "llama3": "llama"}

# Why a model is not read, by what its code shows; the first that holds is said.
REASONS = (
    ("recurrent, or a state space", r"[Mm]amba|selective_scan|rwkv|xLSTM|recurrent|GatedDelta|causal_conv1d|nn\.LSTM|LinearAttention|lightning"),
    ("hierarchical: the stream's width changes on the way", r"PatchMerging|patch_merging|embed_dims|hidden_sizes\[|config\.depths\[|downsample"),
    ("finds, cuts out or measures: a head of queries or convolutions over a backbone", r"ForObjectDetection|Segmentation|DepthEstimation|ImageMatting|PoseEstimation|KeypointMatching|backbone"),
    ("several models, one of which reads what another writes", r"sub_configs = \{"),
    ("makes sound or images by another way than tokens of text", r"Vocoder|codebook|quantizer|diffusion|VQ|Decoder1d"),
    ("time series", r"TimeSeries|time_series|ForPrediction"),
    ("attention that is more than keys and queries, or not to all tokens: relative terms, hashes, parts or passes of its own", r"disentangled|relative_|rel_pos|lsh|LSH|block_sparse|sliding_chunks|perm_mask|fourier|landmark|global_attention"),
)


def sources(folder, pattern):
    text = ""
    for path in sorted(glob.glob(os.path.join(folder, pattern))):
        with open(path, encoding="utf-8") as file:
            text += file.read()
    return text


def fixtures():
    """The types that are read, with the forms that some checkpoint of each converts to."""
    forms = collections.defaultdict(set)
    for config in sorted(glob.glob(os.path.join(FIXTURES, "*", "config.json"))):
        folder = os.path.dirname(config)
        print(os.path.basename(folder), file=sys.stderr, flush=True)
        done = subprocess.run([ISONORM, "info", "--json", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if done.returncode == 0:
            told = json.loads(done.stdout)
            with open(config, encoding="utf-8") as file:
                forms[json.load(file).get("model_type", "timm")] |= {form for form, may in told["forms"].items() if may["possible"]}
    return forms


# What the longest adapters are long for.
LONG = {
    "Bert": "eleven types that differ in what stands before and behind the blocks", "Wav2Vec2": "convolutions, three ways to write positions, five heads",
    "SparseLlama": "each of its types routes in another way", "SpeechToText": "two stacks, one of them behind convolutions", "Bart": "two stacks, seven types",
    "LlamaRelatives": "eight types that are Llama but for something"}
LONGEST = 95


def code(file):
    """How many lines of a Java file are no comment, no import and not empty."""
    with open(file, encoding="utf-8") as source:
        text = re.sub(r"/\*.*?\*/", "", source.read(), flags=re.S)
    return sum(1 for line in text.splitlines() if line.strip() and not re.match(r"\s*(//|import |package )", line))


def adapters():
    """A sentence about how long adapters are, which are classes in the table of families."""
    folder = os.path.dirname(LANGUAGE_PART)
    with open(os.path.join(folder, "Families.java"), encoding="utf-8") as file:
        entries = re.findall(r"Map\.entry\([^,]+, (?:new )?(\w+)", file.read())
    lines = {name: code(os.path.join(folder, name + ".java")) for name in entries if name != "Isonorm"}
    some = sorted(lines.values())
    longer = sorted((name for name in lines if lines[name] > LONGEST), key=lines.get)
    return (f"A family is one adapter in `isonorm.family`: {len(lines)} of them read the {len(entries) - 1} types, in {some[len(some) // 2]} lines of code in the middle, {some[0]} at the least. "
            f"Over {LONGEST} are " + "; ".join(f"{name} ({lines[name]}: {LONG[name]})" for name in longer) + ".")


def language_parts():
    with open(LANGUAGE_PART, encoding="utf-8") as file:
        wholes = re.search(r"WHOLES = Map\.ofEntries\((.*?)\);", file.read(), re.S).group(1)
    return dict(re.findall(r'Map\.entry\("([^"]+)", "([^"]+)"\)', wholes))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    options = parser.parse_args()
    run([ISONORM, "--version"])  # builds, if need be
    where, version = run([options.python, "-c", "import transformers; print(transformers.__path__[0]); print(transformers.__version__)"]).split()
    forms, parts = fixtures(), language_parts()
    rows, counts = [], collections.Counter()
    for name in sorted(os.listdir(os.path.join(where, "models"))):
        folder = os.path.join(where, "models", name)
        if not os.path.isdir(folder) or name.startswith("__"):
            continue
        modeling = sources(folder, "modeling_*.py")
        types = set(re.findall(r'^\s+model_type(?:: str)? = "([^"]+)"', sources(folder, "configuration_*.py"), re.M))
        layernorm = "nn.LayerNorm" in modeling
        read = sorted(types & set(forms))
        if read:
            able = sorted({form for each in read for form in forms[each]} & set(CONVERSIONS))
            state = "reads, converts to " + " and ".join(able) if able else "reads; has RMSNorm already, or says why it does not convert"
            note = "" if set(read) == types else "of its types " + ", ".join(read)
        elif types & set(parts):
            state, note = "reads the language model in it", ""
        elif SAME_TYPE.get(name) in forms:
            state, note = "reads", "a tokenizer alone; its checkpoints are of type " + SAME_TYPE[name]
        else:
            state = "does not read"
            note = "a tokenizer, a processor or names alone" if not modeling else next((why for why, sign in REASONS if re.search(sign, modeling)), "not yet")
        kind = "read" if state.startswith("reads") else "not read"
        counts[kind] += 1
        counts["all"] += 1
        if layernorm:
            counts["layernorm"] += 1
            counts["layernorm " + kind] += 1
        rows.append(f"| {name} | {'LayerNorm' if layernorm else ''} | {state} | {note} |")
    print(f"""# What is read of Hugging Face transformers

Of the {counts['all']} folders of models in transformers {version}, {counts['read']} are read; of the {counts['layernorm']} that have a LayerNorm,
{counts['layernorm read']}. A folder is read where one of its types is, and a type where a fixture of it is held to transformers' outputs by the tests.
Why others are not is told from their code, by words in it, and is no more than that.

```
isonorm-bench/compare/coverage.py PYTHON > docs/coverage.md
```

{adapters()}

| folder | | Isonorm | |
|---|---|---|---|""")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
