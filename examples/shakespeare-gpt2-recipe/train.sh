#!/usr/bin/env bash
# Trains examples/shakespeare-gpt2 in a folder: examples/shakespeare-gpt2-recipe/train.sh WORK
# Twelve minutes on two cores. The same machine gives the same bytes, another one numbers near them.
set -eu

recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
home=$recipe/../..
mkdir -p "$1/text"
cd "$1"

# The first nine tenths of tiny Shakespeare, as documents of a thousand lines; a twentieth of them shows when to stop.
gunzip -c "$home/isonorm-engine/src/main/resources/isonorm/data/shakespeare.txt.gz" | head -c 1003854 |
    awk '{ print > sprintf("text/%02d.txt", (NR - 1) / 1000) }'
"$home/isonorm" data build text/*.txt --tokenizer "$home/examples/shakespeare-gpt2" --validation 0.05 --out tokens
"$home/isonorm" train "$recipe/first.yaml" data=tokens out=first
"$home/isonorm" train "$recipe/second.yaml" data=tokens from=first/model out=second
echo "$PWD/second/model is examples/shakespeare-gpt2."
