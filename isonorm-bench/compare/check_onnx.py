#!/usr/bin/env python3
"""Exports every fixture in every form and has onnx.checker look through each graph; outside CI, for it needs Python with onnx.

  isonorm-bench/compare/check_onnx.py [FIXTURE ...]
"""
import json
import os
import subprocess
import sys
import tempfile

import onnx

from rounds import ISONORM

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../isonorm-core/src/test/resources/fixtures")
FORMS = ["", "pre-rmsnorm", "pre-crmsnorm", "rmsnorm"]


def isonorm(*words):
    return subprocess.run([ISONORM, *words, "--quiet", "--json"], capture_output=True, text=True)


def main():
    names = sys.argv[1:] or sorted(name for name in os.listdir(FIXTURES) if os.path.isdir(os.path.join(FIXTURES, name)) and name != "bloom-postln-residual")
    checked, wrong = 0, []
    for name in names:
        source = os.path.join(FIXTURES, name)
        can = [form["form"] for form in json.loads(isonorm("info", source).stdout)["forms"] if form["possible"]]
        for form in [each for each in FORMS if not each or each in can]:
            with tempfile.TemporaryDirectory() as folder:
                checkpoint, graph = source, os.path.join(folder, "model.onnx")
                if form:
                    checkpoint = os.path.join(folder, "converted")
                    isonorm("convert", source, checkpoint, "--to", form, "--no-verify", "--dtype", "f32")
                made = isonorm("export", checkpoint, graph, "--no-verify")
                try:
                    if made.returncode:
                        raise RuntimeError(made.stderr.strip())
                    onnx.checker.check_model(graph, full_check=True)
                except Exception as e:
                    wrong.append(f"{name} {form}: {str(e).splitlines()[0]}")
                    print(wrong[-1], file=sys.stderr)
                checked += 1
    print(f"onnx {onnx.__version__}: {checked} graphs of {len(names)} fixtures checked, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
