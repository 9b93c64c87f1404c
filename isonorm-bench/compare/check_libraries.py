#!/usr/bin/env python3
"""Whether what people use around transformers takes a converted checkpoint by the two files beside it: peft's LoRA, transformers' Trainer and
lm-evaluation-harness's `hf` model.

  isonorm-bench/compare/check_libraries.py [CHECKPOINT] [--to pre-rmsnorm]

CHECKPOINT is a decoder with its tokenizer, examples/shakespeare-gpt2 where none is named. It is converted into a temporary folder, and both are given to each library:

  peft      LoRA of rank 4 on all linear layers of blocks: the same loss as the original before a step, a lower one after some, the same logits once merged,
            and once saved and loaded again
  Trainer   some steps of all parameters: loss falls as the original's, and `isonorm forward` of what it saved gives the logits of the model in memory
  lm_eval   log likelihoods of choices, whether they are what greedy decoding gives, and of whole texts, as of the original

A library that is not there is said to be left out. Needs Python with torch, transformers and safetensors; `pip install peft accelerate`, and of lm_eval its code
alone (`pip install --no-deps lm_eval sacrebleu`). Exit code 1 where something differs.
"""
import argparse
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile

from rounds import ISONORM

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.dirname(os.path.dirname(HERE))
LIMIT = 1e-4  # of log likelihoods and losses, which float32 adds up in another order
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

failures = []


def check(what, holds, said):
    print(f"  {'ok  ' if holds else 'WRONG'} {what}: {said}", flush=True)
    if not holds:
        failures.append(what)


def there(*names):
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        print(f"  left out: no {' and no '.join(missing)} here", flush=True)
    return not missing


def load(folder):
    """A model without dropout, which a conversion leaves out and an original may have."""
    import torch
    import transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def batch(folder, text, rows, length):
    import torch
    import transformers
    ids = transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"][:rows * length]
    return torch.tensor(ids).reshape(rows, length)


def linear_layers(model):
    """The names that LoRA is told: of layers within blocks."""
    import torch
    import transformers
    kinds = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    return sorted({name.split(".")[-1] for name, module in model.named_modules() if isinstance(module, kinds) and any(part.isdigit() for part in name.split("."))})


def with_peft(original, converted, text, folder):
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    x = batch(original, text, 4, 64)
    losses = {}
    for name in (original, converted):
        torch.manual_seed(0)
        plain = load(name)
        model = get_peft_model(plain, LoraConfig(r=4, target_modules=linear_layers(plain), task_type="CAUSAL_LM"))
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
        losses[name] = []
        for _ in range(9):
            loss = model(input_ids=x, labels=x).loss
            losses[name].append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    before, after = losses[converted][0], losses[converted][-1]
    check("LoRA begins at the original's loss", abs(before - losses[original][0]) <= LIMIT, f"{before:.6f} and {losses[original][0]:.6f}")
    check("LoRA learns", after < before - .05, f"{before:.4f} to {after:.4f} in {len(losses[converted]) - 1} steps; the original's to {losses[original][-1]:.4f}")
    model.eval()
    with torch.no_grad():
        wanted = model(input_ids=x).logits
        model.save_pretrained(folder)
        again = PeftModel.from_pretrained(load(converted), folder).eval()(input_ids=x).logits
        merged = model.merge_and_unload()(input_ids=x).logits
    check("LoRA saved and loaded", torch.equal(wanted, again), f"largest difference {(wanted - again).abs().max():.1e}")
    apart = ((wanted - merged).abs().max() / wanted.std()).item()
    check("LoRA merged", apart <= 1e-5, f"{apart:.1e} of the logits' deviation")


def with_trainer(original, converted, text, folder):
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
    x = batch(original, text, 32, 64)
    rows = [{"input_ids": row, "labels": row} for row in x]

    def trained(name):
        arguments = transformers.TrainingArguments(output_dir=folder, max_steps=8, per_device_train_batch_size=8, learning_rate=1e-3, report_to=[], save_strategy="no",
                                                   logging_steps=1, use_cpu=True, seed=0, data_seed=0, disable_tqdm=True, warmup_steps=0, lr_scheduler_type="constant")
        trainer = transformers.Trainer(model=load(name), args=arguments, train_dataset=rows)
        trainer.train()
        return trainer, [each["loss"] for each in trainer.state.log_history if "loss" in each]

    trainer, losses = trained(converted)
    others = trained(original)[1]
    # Trainer has the original divide by all tokens of a row, of which the first is predicted by none.
    same = min(abs(losses[0] - others[0]), abs(losses[0] * (x.shape[1] - 1) / x.shape[1] - others[0]))
    check("Trainer begins at the original's loss", same <= 10 * LIMIT, f"{losses[0]:.4f} and {others[0]:.4f}")
    check("Trainer learns", losses[-1] < losses[0] - .05, f"{losses[0]:.4f} to {losses[-1]:.4f}; the original's {others[0]:.4f} to {others[-1]:.4f}")
    trainer.save_model(folder)
    inputs, outputs = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
    save_file({"input_ids": x[:4]}, inputs)
    said = subprocess.run([ISONORM, "forward", folder, "--inputs", inputs, "--output", outputs, "-q"], capture_output=True, text=True)
    if said.returncode:
        check("what Trainer saved is read", False, said.stderr.strip()[-300:])
        return
    with torch.no_grad():
        wanted = trainer.model.eval()(input_ids=x[:4]).logits
    apart = ((load_file(outputs)["output"].view_as(wanted) - wanted).abs().max() / wanted.std()).item()
    check("what Trainer saved is read", apart <= 1e-5, f"logits of isonorm forward {apart:.1e} of their deviation from those of the model in memory")


def with_lm_eval(original, converted, text):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    lines = [line for line in text.splitlines() if len(line.split()) > 6][:40]
    pairs = [(" ".join(line.split()[:3]), " " + " ".join(line.split()[3:])) for line in lines]
    given = {}
    for name in (original, converted):
        model = HFLM(pretrained=name, trust_remote_code=True, device="cpu", batch_size=8, dtype="float32")
        choices = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
        texts = [Instance("loglikelihood_rolling", {}, (text[first:first + 3000],), i) for i, first in enumerate(range(0, 9000, 3000))]
        until = [Instance("generate_until", {}, (line, {"until": ["\n\n"], "max_gen_toks": 12, "do_sample": False}), i) for i, line in enumerate(lines[:6])]
        given[name] = model.loglikelihood(choices), model.loglikelihood_rolling(texts), model.generate_until(until)
    wanted, got = given[original], given[converted]
    apart = max(abs(a[0] - b[0]) for a, b in zip(wanted[0], got[0]))
    check("lm_eval: choices", apart <= 10 * LIMIT and all(a[1] == b[1] for a, b in zip(wanted[0], got[0])), f"{len(pairs)} log likelihoods, {apart:.1e} apart at the most, greedy ones the same")
    apart = max(abs(a - b) / abs(a) for a, b in zip(wanted[1], got[1]))
    check("lm_eval: whole texts", apart <= 1e-5, f"{apart:.1e} of the log likelihood apart at the most")
    check("lm_eval: generated", wanted[2] == got[2], f"{len(got[2])} texts the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default=os.path.join(HOME, "examples", "shakespeare-gpt2"))
    parser.add_argument("--to", default="pre-rmsnorm")
    asked = parser.parse_args()
    import torch
    import transformers
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    with open(os.path.join(HOME, "examples", "tinyshakespeare-heldout.txt"), encoding="utf-8") as file:
        text = file.read()
    with tempfile.TemporaryDirectory() as folder:
        converted = os.path.join(folder, "converted")
        subprocess.run([ISONORM, "convert", asked.checkpoint, converted, "--to", asked.to, "--no-verify", "-q"], check=True, stdout=subprocess.DEVNULL)
        for title, names, run in (("peft", ("peft",), lambda: with_peft(asked.checkpoint, converted, text, os.path.join(folder, "lora"))),
                                  ("Trainer", ("accelerate",), lambda: with_trainer(asked.checkpoint, converted, text, os.path.join(folder, "trained"))),
                                  ("lm_eval", ("lm_eval",), lambda: with_lm_eval(asked.checkpoint, converted, text))):
            version = next((importlib.metadata.version(name) for name in names if importlib.util.find_spec(name)), "")
            print(f"{title} {version}".strip(), flush=True)
            if there(*names):
                run()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
