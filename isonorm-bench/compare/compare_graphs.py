#!/usr/bin/env python3
"""What `isonorm convert MODEL.onnx` changes of the time that a graph takes in ONNX Runtime: graphs that torch's exporter makes of models with random weights, and
what they become, each in turn.

  compare_graphs.py FOLDER [--rounds N] [--make]

With --make the graphs are written to FOLDER and converted; without it they are timed. Needs Python with torch, transformers, onnx and onnxruntime."""
import argparse, os, pathlib, statistics, subprocess, time, warnings
import numpy

parser = argparse.ArgumentParser()
parser.add_argument("folder"); parser.add_argument("--rounds", type=int, default=15); parser.add_argument("--make", action="store_true")
options = parser.parse_args()
home = pathlib.Path(__file__).resolve().parents[2]
SHAPES = {"vit-ti": (192, 3, 768), "vit-s": (384, 6, 1536)}
BATCHES = {"vit-ti": (1, 8), "vit-s": (1, 8), "gpt2-small": (1,)}
name = lambda model, batch, ending="": os.path.join(options.folder, f"{model}-{batch}{ending}.onnx")

def make():
    import torch, transformers as t
    warnings.simplefilter("ignore")
    os.makedirs(options.folder, exist_ok=True)
    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__(); self.model = model
        def forward(self, x):
            return self.model(x, **({"use_cache": False} if hasattr(self.model.config, "use_cache") else {})).logits
    for model, batches in BATCHES.items():
        torch.manual_seed(0)
        if model in SHAPES:
            width, heads, hidden = SHAPES[model]
            made = t.ViTForImageClassification(t.ViTConfig(hidden_size=width, num_attention_heads=heads, intermediate_size=hidden, num_labels=1000))
        else:
            made = t.GPT2LMHeadModel(t.GPT2Config())
        for each in made.parameters():  # as training leaves them: no gain is one and no bias zero
            if each.ndim == 1:
                each.data += torch.randn_like(each) * .1
        for batch in batches:
            x = torch.randn(batch, 3, 224, 224) if model in SHAPES else torch.randint(0, 50257, (batch, 128))
            torch.onnx.export(Logits(made.eval()), (x,), name(model, batch), dynamo=True, external_data=False, input_names=["x"], output_names=["y"], opset_version=18)
            print(subprocess.run([home / "isonorm", "convert", name(model, batch), name(model, batch, "-rms"), "--overwrite", "-q"], check=True, capture_output=True, text=True).stdout)

def measure():
    import onnxruntime as ort
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 2
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # else each would keep the processors from the other
    print("onnxruntime", ort.__version__)
    for model, batches in BATCHES.items():
        for batch in batches:
            sessions = [ort.InferenceSession(name(model, batch, ending), settings, providers=["CPUExecutionProvider"]) for ending in ("", "-rms")]
            x = numpy.random.default_rng(1).standard_normal((batch, 3, 224, 224), numpy.float32) if model in SHAPES else numpy.arange(batch * 128).reshape(batch, 128)
            ratios, before = [], []
            for r in range(options.rounds + 3):
                seconds = []
                for session in sessions if r % 2 else sessions[::-1]:
                    start = time.perf_counter(); session.run(None, {"x": x}); seconds.append(time.perf_counter() - start)
                one, other = seconds if r % 2 else seconds[::-1]
                if r >= 3:
                    ratios.append(other / one); before.append(one)
            quartiles = numpy.quantile(ratios, [.25, .75])
            print(f"| {model} | {batch} | {1e3 * statistics.median(before):.1f} | {statistics.median(ratios):.3f} ({quartiles[0]:.3f} to {quartiles[1]:.3f}) |", flush=True)

make() if options.make else measure()
