"""Kills runs with SIGKILL at random moments, goes on with them, and compares what they end with byte for byte.

  kill_and_resume.py [--times 20] [--kills 3] [--seed 0] [key=value ...]

Each round trains one run and kills it up to --kills times; its model and its last checkpoint must be those of a run that was left
alone. Ends with 1 if one differs.
"""
import argparse, filecmp, pathlib, random, shutil, signal, subprocess, tempfile, time

parser = argparse.ArgumentParser()
parser.add_argument("--times", type=int, default=20)
parser.add_argument("--kills", type=int, default=3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("keys", nargs="*")
a = parser.parse_args()
random.seed(a.seed)
home = pathlib.Path(__file__).resolve().parents[2]
isonorm = str(home / "isonorm")
keys = ["model.width=64", "model.blocks=2", "model.heads=2", "batch=4", "sequence=64", "steps=120", "checkpoint.every=7", "dropout=0.1", *a.keys]
folder = pathlib.Path(tempfile.mkdtemp(prefix="isonorm-kill-"))


def last(run):
    return sorted(run.glob("checkpoint-*"))[-1]


begin = time.time()
subprocess.run([isonorm, "train", *keys, f"out={folder / 'alone'}", "-q"], check=True, stdout=subprocess.DEVNULL)
alone = time.time() - begin
same = 0
for number in range(a.times):
    run = folder / f"killed-{number}"
    command = [isonorm, "train", *keys, f"out={run}", "-q"]
    moments = []
    for _ in range(a.kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moments.append(random.uniform(0.1, 1) * alone)
        try:
            process.wait(moments[-1])
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if (run / "config.yaml").exists():
            command = [isonorm, "train", "--resume", str(run)]
        else:
            shutil.rmtree(run, ignore_errors=True)
    if not (run / "model").exists():
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pairs = [(folder / "alone/model/model.safetensors", run / "model/model.safetensors"),
             (last(folder / "alone") / "trainer.safetensors", last(run) / "trainer.safetensors")]
    equal = all(filecmp.cmp(x, y, shallow=False) for x, y in pairs)
    same += equal
    print(f"round {number + 1}: killed after {', '.join(f'{m:.1f}' for m in moments)} s, {'the same' if equal else 'DIFFERENT'}", flush=True)
    shutil.rmtree(run)
shutil.rmtree(folder)
print(f"{same} of {a.times} the same")
raise SystemExit(same != a.times)
