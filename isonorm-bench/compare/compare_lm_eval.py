#!/usr/bin/env python3
"""Whether a server scores as its model does: what lm-evaluation-harness asks of `local-completions`, held to other answers about the same checkpoint.

  isonorm-bench/compare/compare_lm_eval.py [CHECKPOINT] [--data QUESTIONS.jsonl] [--text FILE]      sends lm_eval 0.4.13's requests itself
  isonorm-bench/compare/compare_lm_eval.py [CHECKPOINT] --with-lm-eval                              runs lm_eval, local-completions and hf

It starts `isonorm serve CHECKPOINT` on a free port and ends it. Without --with-lm-eval it sends the requests that lm_eval sends, field by field, for multiple
choice, rolling perplexity and generate_until, and compares:

  multiple choice     log likelihood of every choice and whether it is what greedy decoding gives, with transformers; accuracies with `isonorm score`
  rolling perplexity  every window, with `isonorm forward` and with transformers
  generate_until      the texts, with transformers' generate

Needs Python with torch, transformers, safetensors and numpy; --with-lm-eval besides `pip install lm_eval[api]`. Exit code 1 where they differ.
"""
import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.dirname(os.path.dirname(HERE))
ISONORM = os.path.join(HOME, "isonorm")
UNTIL = ["\n\n", "<|endoftext|>"]
MAXIMUM = 16


def questions_of(text):
    """Half a line and four ways to go on, of which one is the line's."""
    lines = [line for line in text.splitlines() if len(line.split()) > 7]
    questions = []
    for i in range(0, min(len(lines), 240) - 3, 3):
        words = [line.split() for line in (lines[i], lines[i + 1], lines[i + 2], lines[(i + 7) % len(lines)])]
        rests = [" ".join(each[4:]) for each in words]
        answer = i // 3 % 4
        rests[0], rests[answer] = rests[answer], rests[0]
        questions.append({"context": " ".join(words[0][:4]), "choices": rests, "answer": answer})
    return questions


class Server:
    def __init__(self, checkpoint, compute):
        self.process = subprocess.Popen([ISONORM, "serve", checkpoint, "--port", "0", "--name", "model", "--compute", compute, "--json"], stdout=subprocess.PIPE, text=True)
        said = json.loads(self.process.stdout.readline())
        self.url, self.context = said["address"], said["context"]

    def ask(self, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": "Bearer "}
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def tokens(self, text):
        return self.ask("/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]

    def likelihoods(self, requests):
        """lm_eval's model_call and parse_logprobs: pairs of ids, known and to be predicted."""
        limit = self.context - 1  # lm_eval takes one off its max_length
        batches = [requests[i:i + 16] for i in range(0, len(requests), 16)]
        results = []
        for batch in batches:
            rows = [(known + predicted)[-limit:] for known, predicted in batch]
            lengths = [len(known) - max(0, len(known) + len(predicted) - limit) for known, predicted in batch]
            answer = self.ask("/v1/completions", {"model": "model", "prompt": rows, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True})
            for choice, length in zip(sorted(answer["choices"], key=lambda each: each["index"]), lengths):
                values = choice["logprobs"]["token_logprobs"][length:-1]
                tops = choice["logprobs"]["top_logprobs"][length:-1]
                results.append((sum(values), all(value == max(top.values()) for value, top in zip(values, tops))))
        return results

    def close(self):
        self.process.terminate()
        self.process.wait()


def pair(tokens, context, rest):
    """lm_eval's _encode_pair: spaces at the context's end are the continuation's."""
    spaces = len(context) - len(context.rstrip())
    if spaces:
        context, rest = context[:-spaces], context[-spaces:] + rest
    known = tokens(context)
    return known, tokens(context + rest)[len(known):]


def windows(ids, first, length):
    """lm_eval's get_rolling_token_windows with a context of one token, made disjoint."""
    head = min(length, len(ids))
    yield [first], ids[:head]
    done = head
    while done < len(ids):
        count = min(len(ids) - done, length)
        end = done + count
        known = ids[end - length - 1:end - 1]
        yield known[:len(known) - (count - 1)], ids[end - count:end]
        done += count


def forward(checkpoint, rows, folder):
    """The log likelihoods of rows of one length, from the second token on, by our own library."""
    import numpy
    from safetensors.numpy import load_file, save_file
    inputs, outputs = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
    save_file({"input_ids": numpy.array(rows, numpy.int64)}, inputs)
    if os.path.exists(outputs):
        os.remove(outputs)
    subprocess.run([ISONORM, "forward", checkpoint, "--inputs", inputs, "--output", outputs, "--compute", "f64", "-q"], check=True, stdout=subprocess.DEVNULL)
    logits = load_file(outputs)["output"].astype(numpy.float64)
    logits -= logits.max(-1, keepdims=True)
    logs = logits - numpy.log(numpy.exp(logits).sum(-1, keepdims=True))
    return [[float(logs[r, t - 1, row[t]]) for t in range(1, len(row))] for r, row in enumerate(rows)]


def replay(a, folder, questions, text):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(a.checkpoint, dtype=torch.float32, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(a.checkpoint, trust_remote_code=True)
    server = Server(a.checkpoint, "f32")
    wrong = []

    def logs(ids):
        with torch.no_grad():
            return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)

    def hold(what, holds, said):
        print(f"{what:<19} {said}{'' if holds else '   DIFFERS'}", flush=True)
        if not holds:
            wrong.append(what)

    try:
        info = server.ask("/tokenizer_info")
        sample = text[:2000]
        hold("tokens", server.tokens(sample) == tokenizer.encode(sample, add_special_tokens=False), "of /tokenize are transformers'")

        requests = [pair(server.tokens, q["context"], a.delimiter + choice) for q in questions for choice in q["choices"]]
        answers = server.likelihoods(requests)
        largest, greedy = 0, 0
        for (known, predicted), (value, same) in zip(requests, answers):
            rows = logs((known + predicted)[-server.context - 1:][:-1])[-len(predicted):]
            expected = sum(float(rows[i, id]) for i, id in enumerate(predicted))
            largest = max(largest, abs(value - expected))
            greedy += same == all(int(rows[i].argmax()) == id for i, id in enumerate(predicted))
        right, normalized, at = 0, 0, 0
        for q in questions:
            values = [value for value, _ in answers[at:at + len(q["choices"])]]
            at += len(values)
            right += values.index(max(values)) == q["answer"]
            by_length = [value / len(choice) for value, choice in zip(values, q["choices"])]
            normalized += by_length.index(max(by_length)) == q["answer"]
        hold("multiple choice", largest < 1e-3 and greedy == len(answers),
             f"{len(answers)} log likelihoods within {largest:.1e} of transformers', {greedy} of them greedy or not as there")
        data = os.path.join(folder, "questions.jsonl")
        ours = json.loads(subprocess.run([ISONORM, "score", a.checkpoint, "--data", data, "--delimiter", a.delimiter, "--json"], check=True, stdout=subprocess.PIPE).stdout)
        accuracies = right / len(questions), normalized / len(questions)
        hold("accuracy", accuracies == (ours["accuracy"], ours["normalized_accuracy"]),
             f"{accuracies[0]:.4f}, by length {accuracies[1]:.4f}; isonorm score {ours['accuracy']:.4f}, {ours['normalized_accuracy']:.4f}"
             f" (standard error {ours['accuracy_standard_error']:.4f})")

        first = info["bos_token"] or info["eos_token"]
        first = tokenizer.convert_tokens_to_ids(first) if first else tokenizer.eos_token_id
        texts = [text[i:i + 4000] for i in range(0, min(len(text), 16_000), 4000)]
        sums, of_ours, of_theirs, count = 0, 0, 0, 0
        for one in texts:
            parts = list(windows(server.tokens(one), first, server.context - 2))
            sums += sum(value for value, _ in server.likelihoods(parts))
            rows = [known + predicted for known, predicted in parts]
            for length in sorted({len(row) for row in rows}):
                some = [row for row in rows if len(row) == length]
                tails = [len(predicted) for (known, predicted), row in zip(parts, rows) if len(row) == length]
                for values, tail in zip(forward(a.checkpoint, some, folder), tails):
                    of_ours += sum(values[-tail:])
            for (known, predicted), row in zip(parts, rows):
                rows_of = logs(row[:-1])[-len(predicted):]
                of_theirs += sum(float(rows_of[i, id]) for i, id in enumerate(predicted))
            count += len(one.encode())
        perplexities = [math.exp(-value / count) for value in (sums, of_ours, of_theirs)]
        hold("rolling perplexity", all(abs(each / perplexities[0] - 1) < 1e-4 for each in perplexities),
             "of bytes {:.6f}; of the same windows by isonorm forward {:.6f}, by transformers {:.6f}".format(*perplexities))

        prompts = [server.tokens(q["context"] + "\n") for q in questions[:32]]
        answer = server.ask("/v1/completions", {"model": "model", "prompt": prompts, "max_tokens": MAXIMUM, "temperature": 0, "stop": UNTIL, "seed": 1234})
        same = 0
        for prompt, choice in zip(prompts, sorted(answer["choices"], key=lambda each: each["index"])):
            with torch.no_grad():
                ids = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=MAXIMUM, do_sample=False,
                                     pad_token_id=0)[0, len(prompt):].tolist()
            if tokenizer.eos_token_id in ids:
                ids = ids[:ids.index(tokenizer.eos_token_id)]
            expected = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            for stop in UNTIL:
                expected = expected.split(stop)[0]
            same += choice["text"].split(UNTIL[0])[0] == expected
        hold("generate_until", same == len(prompts), f"{same} of {len(prompts)} texts are transformers'")
    finally:
        server.close()
    return wrong


TASK = """task: isonorm_{name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: {kind}
{rest}
metadata:
  version: 1.0
"""


def with_lm_eval(a, folder, texts):
    try:
        import lm_eval  # noqa: F401
    except ImportError as e:
        print(f"lm_eval cannot be imported here ({e}): pip install 'lm_eval[api]'; without --with-lm-eval its requests are sent without it")
        return None
    for name, kind, file, rest in [
        ("mc", "multiple_choice", "questions.jsonl", 'doc_to_text: "{{context}}"\ndoc_to_target: "{{answer}}"\ndoc_to_choice: "{{choices}}"\n'
         + f"target_delimiter: {json.dumps(a.delimiter)}\nmetric_list:\n  - metric: acc\n  - metric: acc_norm"),
        ("ppl", "loglikelihood_rolling", "texts.jsonl", 'doc_to_text: ""\ndoc_to_target: "{{text}}"\nmetric_list:\n  - metric: byte_perplexity'),
        ("gen", "generate_until", "questions.jsonl", 'doc_to_text: "{{context}}\\n"\ndoc_to_target: "x"\ngeneration_kwargs:\n  until: ["\\n\\n"]\n'
         + f"  max_gen_toks: {MAXIMUM}\n  do_sample: false\nmetric_list:\n  - metric: exact_match")]:
        with open(os.path.join(folder, name + ".yaml"), "w") as out:
            out.write(TASK.format(name=name, file=os.path.join(folder, file), kind=kind, rest=rest))
    with open(os.path.join(folder, "texts.jsonl"), "w") as out:
        out.writelines(json.dumps({"text": each}) + "\n" for each in texts)
    # A chat needs a template, so the checkpoint has one there.
    chat = os.path.join(folder, "chat")
    shutil.copytree(a.checkpoint, chat)
    config = os.path.join(chat, "tokenizer_config.json")
    said = json.load(open(config)) if os.path.exists(config) else {}
    said["chat_template"] = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    json.dump(said, open(config, "w"))
    server = Server(chat, "f32")
    results, texts_of = {}, {}
    all_tasks = "isonorm_mc,isonorm_ppl,isonorm_gen"
    remote = f"tokenizer_backend=remote,max_length={server.context},num_concurrent=4"
    local = f"pretrained={os.path.abspath(chat)},dtype=float32,trust_remote_code=True,max_length={server.context}"
    try:
        for name, kind, arguments, tasks, more in [
            ("local-completions", "local-completions", f"model=model,base_url={server.url}/v1/completions,{remote}", all_tasks, []),
            ("hf", "hf", local, all_tasks, []),
            ("local-chat-completions", "local-chat-completions", f"model=model,base_url={server.url}/v1/chat/completions,num_concurrent=4", "isonorm_gen", ["--apply_chat_template"]),
            ("hf chat", "hf", local, "isonorm_gen", ["--apply_chat_template"])]:
            out = os.path.join(folder, "out " + name)
            subprocess.run([sys.executable, "-m", "lm_eval", "--model", kind, "--model_args", arguments, "--include_path", folder, "--tasks", tasks, *more,
                            "--device", "cpu", "--batch_size", "1", "--output_path", out, "--log_samples"], check=True, env={**os.environ, "HF_DATASETS_OFFLINE": "1"})
            files = [os.path.join(d, f) for d, _, fs in os.walk(out) for f in fs]
            results[name] = json.load(open(next(f for f in files if os.path.basename(f).startswith("results"))))["results"]
            samples = next(f for f in files if os.path.basename(f).startswith("samples_isonorm_gen"))
            texts_of[name] = {each["doc_id"]: each["resps"][0][0].split("\n\n")[0] for each in map(json.loads, open(samples))}
    finally:
        server.close()
    wrong = []
    data = os.path.join(folder, "questions.jsonl")
    score = json.loads(subprocess.run([ISONORM, "score", a.checkpoint, "--data", data, "--delimiter", a.delimiter, "--json"], check=True, stdout=subprocess.PIPE).stdout)
    asked = results["local-completions"]["isonorm_mc"]
    holds = (asked["acc,none"], asked["acc_norm,none"]) == (score["accuracy"], score["normalized_accuracy"])
    print(f"isonorm_mc: isonorm score {score['accuracy']:.6f}, by length {score['normalized_accuracy']:.6f}{'' if holds else '   DIFFERS'}")
    wrong += [] if holds else ["isonorm score"]
    for name, other in (("local-completions", "hf"), ("local-chat-completions", "hf chat")):
        ours, theirs = texts_of[name], texts_of[other]
        same = sum(text == theirs[doc] for doc, text in ours.items())
        print(f"isonorm_gen: {same} of {len(theirs)} texts of {name} are those of {other}{'' if same == len(theirs) == len(ours) else '   DIFFERS'}")
        wrong += [] if same == len(theirs) == len(ours) else [name]
    for task, metrics in results["hf"].items():
        for name, value in metrics.items():
            if isinstance(value, float) and "stderr" not in name:
                ours = results["local-completions"][task][name]
                # Its windows differ from those of hf by a token, so perplexities do.
                holds = ours == value or task.endswith("ppl") and abs(ours / value - 1) < .01
                print(f"{task} {name}: local-completions {ours:.6f}, hf {value:.6f}{'' if holds else '   DIFFERS'}")
                wrong += [] if holds else [task]
    return wrong


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint", nargs="?", default=os.path.join(HOME, "examples/shakespeare-gpt2"))
    p.add_argument("--data", help="questions as isonorm score reads them; otherwise made of the text")
    p.add_argument("--text", default=os.path.join(HOME, "examples/tinyshakespeare-heldout.txt"))
    p.add_argument("--delimiter", default=" ")
    p.add_argument("--with-lm-eval", action="store_true")
    a = p.parse_args()
    text = open(a.text, encoding="utf-8").read()
    questions = [json.loads(line) for line in open(a.data, encoding="utf-8") if line.strip()] if a.data else questions_of(text)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "questions.jsonl"), "w", encoding="utf-8") as out:
            out.writelines(json.dumps(q) + "\n" for q in questions)
        wrong = with_lm_eval(a, folder, re.findall(r"(?s).{1,4000}", text[:16_000])) if a.with_lm_eval else replay(a, folder, questions, text)
    return 2 if wrong is None else 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
