#!/usr/bin/env python3
"""How fast `isonorm serve`, `transformers serve` and llama.cpp's library write so many texts at once, all in turn.

  compare_serving.py CHECKPOINT [--peers batching,alone,llama] [--dtype bf16] [--requests 1,8,32] [--prompt 128] [--tokens 64] [--rounds 3] [--threads 2]
                     [--python PYTHON] [--llama PROGRAM,FILE.gguf] [--avx2 LIBS]

CHECKPOINT is a decoder in transformers' format. Peers are transformers' server with its continuous batching and without, and llama.cpp without a server (llama_batch.c beside this file,
which finds the library by LIBS; FILE.gguf has the same weights). --avx2 plays a processor without AVX-512: LIBS is a folder that has llama.cpp's libggml-cpu-haswell.so alone.
PYTHON is an interpreter with transformers[serving], accelerate and psutil. Both servers are given the same tokenizer, of one word for each
token, and no token that ends a text, so that the same prompts are the same tokens and each answer has as many. The cache of continuous batching is given a size that
holds all requests (2 blocks of 256 tokens each). Prints tokens generated a second, the prompts' time included, how many times as many Isonorm's are, and how many texts are the same.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from rounds import ISONORM, free_port, spread

WORDS = 1000
START = 120


def folder_of(checkpoint, folder):
    """The checkpoint's files, with a tokenizer of words and without an end."""
    for file in pathlib.Path(checkpoint).resolve().iterdir():
        if file.name.startswith("model") or file.name == "config.json":
            os.symlink(file, f"{folder}/{file.name}")
    size = json.load(open(f"{folder}/config.json"))["vocab_size"]
    json.dump({"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
               "model": {"type": "WordLevel", "unk_token": "t0", "vocab": {f"t{i}": i for i in range(size)}}}, open(f"{folder}/tokenizer.json", "w"))
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "t0"}, open(f"{folder}/tokenizer_config.json", "w"))
    json.dump({"do_sample": False, "pad_token_id": 0}, open(f"{folder}/generation_config.json", "w"))


class Server:
    """A process that answers /v1/completions."""

    def __init__(self, name, command, more, threads):
        self.name, self.more, self.port = name, more, free_port()
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1")
        self.process = subprocess.Popen([*command, "--port", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        try:
            self.wait(command)
        except BaseException:
            self.close()
            raise

    def wait(self, command):
        end = time.time() + START
        while True:
            try:
                self.ask("t1 t2", 2)
                return
            except OSError:
                if self.process.poll() is not None or time.time() > end:
                    raise SystemExit(f"{' '.join(command)} does not answer")
                time.sleep(.5)

    def ask(self, prompt, tokens):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", "/v1/completions", json.dumps({"prompt": prompt, "max_tokens": tokens, "temperature": 0, **self.more}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{self.name} answers {response.status}: {body[:500]}")
        answer = json.loads(body)
        count = answer["usage"]["completion_tokens"]
        if count != tokens:
            raise SystemExit(f"{self.name} wrote {count} tokens, not {tokens}")
        return answer["choices"][0]["text"].split()

    def many(self, prompts, tokens):
        """Tokens a second, and the texts."""
        with concurrent.futures.ThreadPoolExecutor(len(prompts)) as threads:
            begin = time.time()
            texts = list(threads.map(lambda prompt: self.ask(prompt, tokens), prompts))
            return len(prompts) * tokens / (time.time() - begin), texts

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Library:
    """llama.cpp, in a process for each answer, which runs once before it is timed."""

    def __init__(self, program, file, threads, libraries):
        self.name, self.command, self.environment = "llama.cpp", [program, file], dict(os.environ, **({"LIBS": libraries} if libraries else {}))
        self.threads = threads

    def many(self, prompts, tokens):
        said = subprocess.run([*self.command, str(len(prompts[0].split())), str(tokens), str(self.threads), "1", str(len(prompts))], stdout=subprocess.PIPE, text=True, check=True, env=self.environment)
        return float(said.stdout.split(" tokens/s")[0].split()[-1]), []

    def close(self):
        pass


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint"); p.add_argument("--peers", default="batching,alone"); p.add_argument("--python", default=sys.executable)
    p.add_argument("--llama", default=""); p.add_argument("--avx2", default=""); p.add_argument("--dtype", choices=["f32", "bf16"], default="bf16"); p.add_argument("--requests", default="1,8,32")
    p.add_argument("--prompt", type=int, default=128); p.add_argument("--tokens", type=int, default=64); p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end too
    rnd = random.Random(1)
    kind = {"f32": "float32", "bf16": "bfloat16"}[a.dtype]
    counts = [int(count) for count in a.requests.split(",")]
    if a.avx2:
        os.environ.update(ISONORM_JAVA_OPTS="-XX:UseAVX=2", ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2")
    serve = [a.python, "-c", "from transformers.cli.transformers import main; main()", "serve"]
    with tempfile.TemporaryDirectory() as folder:
        folder_of(a.checkpoint, folder)
        theirs = [*serve, folder, "--device", "cpu", "--dtype", kind, "--attn-implementation", "sdpa"]
        ways = {"batching": ("transformers serve --continuous-batching", ["--continuous-batching", "--cb-num-blocks", str(2 * max(counts)), "--cb-max-batch-tokens", "512"]),
                "alone": ("transformers serve", [])}
        servers = []
        try:
            servers.append(Server("isonorm serve", [ISONORM, "serve", folder, "--compute", a.dtype, "--threads", str(a.threads), "--max-sequences", str(max(counts) + 8)], {}, a.threads))
            for peer in a.peers.split(","):
                if peer == "llama":
                    servers.append(Library(*a.llama.split(","), a.threads, a.avx2))
                else:
                    name, flags = ways[peer]
                    servers.append(Server(name, [*theirs, *flags], {}, a.threads))
            print(f"{a.dtype}, {a.prompt} tokens in, {a.tokens} out{', AVX2' if a.avx2 else ''}", flush=True)
            rates = {}
            for r in range(a.rounds + 1):
                for count in counts:
                    prompts = [" ".join(f"t{rnd.randrange(WORDS)}" for _ in range(a.prompt)) for _ in range(count)]
                    texts = {}
                    for server in servers:
                        rate, texts[server.name] = server.many(prompts, a.tokens)
                        if r > 0:  # the first is not counted
                            rates.setdefault((count, server.name), []).append(rate)
                    ours = texts[servers[0].name]
                    same = {name: sum(x == y for x, y in zip(ours, theirs)) for name, theirs in texts.items()}
                    if r > 0:
                        print(f"round {r}, {count} at once: " + "; ".join(f"{s.name} {rates[count, s.name][-1]:.1f} tokens/s"
                              + ("" if s is servers[0] else f", {rates[count, servers[0].name][-1] / rates[count, s.name][-1]:.2f} times as many" + (f", {same[s.name]} of {count} texts the same" if texts[s.name] else ""))
                              for s in servers), flush=True)
            for count in counts:
                for server in servers[1:]:
                    ratios = [x / y for x, y in zip(rates[count, servers[0].name], rates[count, server.name])]
                    print(f"{count} at once: isonorm serve {spread(rates[count, servers[0].name], 1)} tokens/s, {server.name} {spread(rates[count, server.name], 1)}, ratio {spread(ratios, 2)}")
        finally:
            for server in servers:
                server.close()


if __name__ == "__main__":
    main()
