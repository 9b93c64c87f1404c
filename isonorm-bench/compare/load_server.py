#!/usr/bin/env python3
"""How a server answers many requests at once: load_server.py URL [--requests 32] [--some 8] [--prompt 128] [--tokens 64] [--rounds 3] [--steps 3] [--writers 1,2,4,8,32]

One request alone, then --some (0 for none) and --requests at once, in turn; then --steps rounds of --requests streams, of which the time from each token to the next is
taken; then of so many --writers (none if not given), first undisturbed, then while long prompts come one behind the other; then a short prompt sent 50 ms behind a long one.
Prints tokens generated a second of each round, the ratio, the median and the 99th percentile of the times between tokens, and when the two first tokens came.
"""
import argparse, http.client, json, random, statistics, sys, threading, time, urllib.parse

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("url"); p.add_argument("--requests", type=int, default=32); p.add_argument("--prompt", type=int, default=128)
p.add_argument("--tokens", type=int, default=64); p.add_argument("--rounds", type=int, default=3); p.add_argument("--long", type=int, default=900)
p.add_argument("--vocabulary", type=int, default=1000); p.add_argument("--some", type=int, default=8); p.add_argument("--steps", type=int, default=3)
p.add_argument("--writers", type=lambda words: [int(word) for word in words.split(",")], default=[])
a = p.parse_args()
u = urllib.parse.urlparse(a.url)
rnd = random.Random(1)
try:
    http.client.HTTPConnection(u.hostname, u.port, timeout=10).request("GET", "/health")
except OSError as e:
    sys.exit(f"no server answers at {a.url}: {e}")


def ask(prompt, tokens, stream=False, between=None):
    c = http.client.HTTPConnection(u.hostname, u.port)
    begin = time.time()
    c.request("POST", "/v1/completions", json.dumps({"prompt": [rnd.randrange(a.vocabulary) for _ in range(prompt)], "max_tokens": tokens, "temperature": 0,
                                                     "ignore_eos": True, "stream": stream}))
    r = c.getresponse()
    if stream:
        came = [time.time() for line in r if line.startswith(b"data: {")]
        if between is not None:
            between += [later - earlier for earlier, later in zip(came, came[1:-1])]  # the last one tells the end
        return came[0] - begin
    n = json.loads(r.read())["usage"]["completion_tokens"]
    assert n == tokens, n
    return time.time() - begin


def many(count):
    begin = time.time()
    threads = [threading.Thread(target=ask, args=(a.prompt, a.tokens)) for _ in range(count)]
    [t.start() for t in threads]; [t.join() for t in threads]
    return count * a.tokens / (time.time() - begin)


def streams(count, prompt, tokens):
    """The times between tokens of so many streams, ascending."""
    between = []
    threads = [threading.Thread(target=ask, args=(prompt, tokens, True, between)) for _ in range(count)]
    [t.start() for t in threads]; [t.join() for t in threads]
    return sorted(between)


def quantile(ascending, part):
    return ascending[int(len(ascending) * part)]


def beside(count):
    """The same of so many that write, while long prompts are read, and how many tokens of prompts were."""
    ended, read = threading.Event(), []

    def prompts():
        while not ended.is_set():
            read.append(a.long); ask(a.long, 1)

    reader = threading.Thread(target=prompts)
    begin = time.time()
    reader.start(); between = streams(count, 16, a.tokens); ended.set(); reader.join()
    return between, sum(read) / (time.time() - begin)


many(4)
alone, together = [], []
for r in range(a.rounds):
    alone.append(many(1)); some = f"{a.some} at once {many(a.some):.1f}, " if a.some else ""; together.append(many(a.requests))
    print(f"round {r + 1}: alone {alone[-1]:.1f} tokens/s, {some}{a.requests} at once {together[-1]:.1f}, ratio {together[-1] / alone[-1]:.2f}", flush=True)
if a.rounds:
    print(f"median ratio {statistics.median(t / o for t, o in zip(together, alone)):.2f}")
for r in range(a.steps):
    between = streams(a.requests, a.prompt, a.tokens)
    median, late = quantile(between, .5), quantile(between, .99)
    print(f"{a.requests} streams: from a token to the next {median * 1000:.1f} ms in the median, {late * 1000:.1f} ms at the 99th percentile, {late / median:.2f} times", flush=True)
for r in range(a.steps):
    for count in a.writers:
        undisturbed = quantile(streams(count, 16, a.tokens), .5)
        between, read = beside(count)
        print(f"{count} write: from a token to the next {undisturbed * 1000:.1f} ms; while {read:.0f} tokens of prompts a second are read, {quantile(between, .5) * 1000:.1f} in the median, "
              f"{quantile(between, .99) * 1000:.1f} at the 99th percentile, {quantile(between, .5) / undisturbed:.2f} and {quantile(between, .99) / undisturbed:.2f} times", flush=True)
for r in range(max(1, a.rounds)):
    firsts = {}
    threads = [threading.Thread(target=lambda: firsts.__setitem__("long", ask(a.long, 1, True))), threading.Thread(target=lambda: (time.sleep(.05), firsts.__setitem__("short", ask(16, 1, True))))]
    [t.start() for t in threads]; [t.join() for t in threads]
    print(f"first token of {a.long} tokens after {firsts['long'] * 1000:.0f} ms, of 16 sent 50 ms later after {firsts['short'] * 1000:.0f} ms", flush=True)
