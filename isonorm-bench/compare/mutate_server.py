#!/usr/bin/env python3
"""Requests that no client should send, beside such as all send: mutate_server.py [CHECKPOINT] [--requests 20000] [--seed 1] [--same 10000] [--open 2000]

Starts `isonorm serve` on a free port and ends it. First so many good requests (--same), with the memory of the process before and behind them; then --open connections
that send half a request and wait, slowly, while good requests are answered; then --requests of which most are changed: bytes and values of bodies, headers, paths,
methods, ends in the middle, invalid UTF-8, deep JSON, NaN. Each must be answered, or its connection closed, within --patience seconds. At the end the server must answer
as fast as before, nothing may stand on its stderr, and its memory is read again. Exit code 1 where anything of that does not hold.
"""
import argparse
import collections
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("checkpoint", nargs="?", default=os.path.join(HOME, "examples/shakespeare-gpt2"))
p.add_argument("--requests", type=int, default=20_000)
p.add_argument("--same", type=int, default=10_000)
p.add_argument("--open", type=int, default=2_000)
p.add_argument("--seed", type=int, default=1)
p.add_argument("--threads", type=int, default=12)
p.add_argument("--patience", type=float, default=30)
a = p.parse_args()

ODD = [None, True, -1, 0, 1e999, float("nan"), -1e-300, 10 ** 30, "", "\ud800", "\0", "x" * 100_000, [], {}, [[]], [None], {"a": {}}, ["a", 1], list(range(3000)), 1.5, "NaN"]
BODIES = [
    ("/v1/completions", {"prompt": "ROMEO:", "max_tokens": 2, "temperature": 0}),
    ("/v1/completions", {"prompt": [[1, 2, 3], [4, 5]], "max_tokens": 1, "logprobs": 3, "echo": True, "temperature": 0}),
    ("/v1/completions", {"prompt": ["a", "b"], "max_tokens": 2, "stream": True, "stream_options": {"include_usage": True}, "n": 2, "seed": 3, "top_p": .9, "stop": ["x"]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}),
    ("/v1/embeddings", {"input": "hello"}),
    ("/tokenize", {"prompt": "To be", "add_special_tokens": True}),
    ("/detokenize", {"tokens": [1, 2, 3]}),
]
PATHS = ["/v1/models", "/health", "/metrics", "/tokenizer_info", "/", "/v1", "/v1/models/x", "/../../etc/passwd", "/%00", "/%2e%2e/%2e%2e/etc/passwd", "/" + "a" * 20_000, "//", "/v1/completions?x=1"]


def head(method, path, length, more=()):
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"] + ([] if length is None else [f"Content-Length: {length}"]) + list(more)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def post(path, body, more=()):
    return head("POST", path, len(body), more) + body


def deep(n):
    return b'{"prompt": ' + b"[" * n + b"]" * n + b"}"


def changed(r):
    """A request, and whether the writing side is closed behind it."""
    path, fields = r.choice(BODIES)
    body = json.dumps(fields).encode()
    kind = r.randrange(12)
    if kind < 2:
        return "good", post(path, body), False
    if kind < 4:
        fields = dict(fields)
        fields[r.choice(list(fields) + ["temperature", "top_p", "max_tokens", "logprobs", "n", "stop", "unknown"])] = r.choice(ODD)
        return "value", post(path, json.dumps(fields).encode("utf-8", "surrogatepass")), False
    if kind == 4:
        some = bytearray(body)
        for _ in range(r.randrange(1, 5)):
            at = r.randrange(len(some))
            some[at:at + r.randrange(2)] = r.choice([b"", bytes([r.randrange(256)]), bytes(some[at:at + 20]), b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80"])
            if not some:
                some = bytearray(b"{")
        return "bytes", post(path, bytes(some)), False
    if kind == 5:
        return "depth", post(path, deep(r.choice([10, 33, 1000, 100_000]))), False
    if kind == 6:
        return "header", post(path, body, [r.choice(["X: " + "y" * r.choice([1000, 100_000]), "Origin: http://evil.example", "Expect: 100-continue", "Transfer-Encoding: chunked",
                                                   "Authorization: Bearer " + "k" * 5000, "Content-Length: -1", "Content-Length: 99999999999999999999", "no colon", ": x", "X: \0",
                                                   "Content-Encoding: gzip", "Upgrade: h2c"])] + [f"A{i}: b" for i in range(r.choice([0, 0, 50, 1000]))]), True
    if kind == 7:
        return "half a body", head("POST", path, len(body) + r.choice([1, 1000, 9_000_000, 10 ** 12])) + body[:r.randrange(len(body))], True
    if kind == 8:
        whole = post(path, body)
        return "half a head", whole[:r.randrange(1, whole.index(b"\r\n\r\n"))], True
    if kind == 9:
        return "garbage", r.randbytes(r.randrange(1, 3000)), True
    if kind == 10:
        return "path", head(r.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW", "G" * 3000]), r.choice(PATHS), r.choice([None, 0])), True
    return "gone", post("/v1/completions", json.dumps({"prompt": "a", "max_tokens": 100, "stream": True, "ignore_eos": True}).encode()), None


def answered(raw, ends):
    """What came back: a status, closed, or unanswered."""
    with socket.socket() as s:
        s.settimeout(a.patience)
        try:
            s.connect(("127.0.0.1", port))
            s.sendall(raw)
            if ends is None:
                s.recv(1)
                return "left"
            if ends:
                s.shutdown(socket.SHUT_WR)
            first = b""
            while piece := s.recv(1 << 16):
                first = first or piece
            return first[9:12].decode("latin-1") if first.startswith(b"HTTP/1.1 ") else "closed" if not first else "no HTTP"
        except TimeoutError:
            return "unanswered"
        except OSError:
            return "closed"


def together(count, work):
    """Runs work for each number on some threads."""
    numbers = iter(range(count))
    lock = threading.Lock()

    def run():
        while True:
            with lock:
                i = next(numbers, None)
            if i is None:
                return
            work(i)

    threads = [threading.Thread(target=run) for _ in range(a.threads)]
    [t.start() for t in threads]
    [t.join() for t in threads]


def good(i):
    path, fields = BODIES[i % 3]
    status = answered(post(path, json.dumps(fields).encode()), False)
    if status != "200":
        faults.append(f"a good request got {status}")


def speed():
    times = []
    for i in range(200):
        begin = time.time()
        good(0)
        times.append(time.time() - begin)
    return statistics.median(times)


def memory():
    jcmd = os.path.join(os.environ["JAVA_HOME"], "bin/jcmd") if "JAVA_HOME" in os.environ else "jcmd"
    subprocess.run([jcmd, str(server.pid), "GC.run"], stdout=subprocess.DEVNULL, check=True)
    heap = subprocess.run([jcmd, str(server.pid), "GC.heap_info"], stdout=subprocess.PIPE, text=True, check=True).stdout
    used = sum(int(line.split("used ")[1].split("K")[0]) for line in heap.splitlines() if "total" in line and "used " in line)
    status = open(f"/proc/{server.pid}/status").read()
    resident = int(status.split("VmRSS:")[1].split()[0])
    threads = int(status.split("Threads:")[1].split()[0])
    return f"heap {used / 1024:.1f} MiB, resident {resident / 1024:.0f} MiB, {threads} threads, {len(os.listdir(f'/proc/{server.pid}/fd'))} descriptors"


faults = []
errors = open(f"/tmp/mutate_server.{os.getpid()}.err", "w+")
server = subprocess.Popen([os.path.join(HOME, "isonorm"), "serve", a.checkpoint, "--port", "0", "--name", "model", "--json"], stdout=subprocess.PIPE, stderr=errors, text=True)
try:
    port = int(json.loads(server.stdout.readline())["address"].rsplit(":", 1)[1])
    said = os.fstat(errors.fileno()).st_size
    together(1000, good)
    print("behind 1,000 good requests:", memory(), flush=True)
    before = speed()
    begin = time.time()
    for part in range(4 if a.same else 0):
        together(a.same // 4, good)
        print(f"behind {(part + 1) * (a.same // 4):,} more:", memory(), f"({(part + 1) * (a.same // 4) / (time.time() - begin):.0f} a second)", flush=True)
    waiting = []
    for i in range(a.open):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(post(*[BODIES[0][0], json.dumps(BODIES[0][1]).encode()])[:random.Random(i).randrange(1, 100)])
        waiting.append(s)
    if waiting:
        print(f"beside {len(waiting):,} connections with half a request a good one takes {speed() * 1000:.1f} ms, alone {before * 1000:.1f} ms", flush=True)
    [s.close() for s in waiting]
    counts = collections.Counter()
    begin = time.time()

    def one(i):
        kind, raw, ends = changed(random.Random(a.seed * 1_000_000_007 + i))
        status = answered(raw, ends)
        counts[kind, status] += 1
        if status in ("unanswered", "no HTTP") or status == "500" or kind == "good" and status not in ("200", "400", "404"):
            faults.append(f"request {i} of seed {a.seed}, {kind}: {status}")

    together(a.requests, one)
    print(f"{a.requests:,} requests of seed {a.seed}, {a.requests / (time.time() - begin):.0f} a second")
    for kind in sorted({k for k, _ in counts}):
        print(f"  {kind:<12}", ", ".join(f"{status} {n:,}" for (k, status), n in sorted(counts.items()) if k == kind))
    print("behind them:", memory(), flush=True)
    time.sleep(40)  # requests that break off are let go after 30 s
    print("40 s later:", memory(), flush=True)
    after = speed()
    print(f"a good request takes {after * 1000:.1f} ms, before {before * 1000:.1f} ms")
    if after > 2 * before + .005:
        faults.append("the server is slower")
    if server.poll() is not None:
        faults.append(f"the server ended with {server.returncode}")
    errors.seek(said)
    if text := errors.read():
        faults.append("on stderr: " + text[:2000])
finally:
    server.terminate()
    server.wait()
    errors.close()
    os.remove(errors.name)
for fault in faults[:20]:
    print(fault)
print(f"{len(faults)} faults")
sys.exit(1 if faults else 0)
