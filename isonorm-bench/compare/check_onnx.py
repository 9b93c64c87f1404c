#!/usr/bin/env python3
"""Has onnx.checker look through graphs, shapes inferred; outside CI, for it needs Python with onnx. Those of every fixture in every form, and converted ones:

  mkdir /tmp/graphs
  ./mvnw -q -pl isonorm-onnx -am test -Dtest=ExporterTest,OnnxConversionTest -Dsurefire.failIfNoSpecifiedTests=false -Disonorm.graphs=/tmp/graphs
  isonorm-bench/compare/check_onnx.py /tmp/graphs
"""
import os
import sys

import onnx


def main():
    folder = sys.argv[1]
    names = sorted(name for name in os.listdir(folder) if name.endswith(".onnx"))
    wrong = 0
    for name in names:
        try:
            onnx.checker.check_model(os.path.join(folder, name), full_check=True)
        except Exception as e:
            wrong += 1
            print(f"{name}: {str(e).splitlines()[0]}")
    print(f"onnx {onnx.__version__}: {len(names)} graphs checked, {wrong} wrong")
    return 1 if wrong or not names else 0


if __name__ == "__main__":
    sys.exit(main())
