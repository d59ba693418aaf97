#!/usr/bin/env bash
# Packs packages and data for run.sh on a machine with torch, e3nn and torch-geometric but without network:
#   bash benchmarks/gpu/pack.sh
# Writes benchmarks/gpu/carry, which git ignores: wheels for Python 3.12 on x86-64, NVIDIA's kernels recompressed,
# CIFAR-10, and Fashion-MNIST recompressed; data are read from the folder SYMNETS_DATA. The total size including the
# checkout must not exceed LIMIT_MB. What cannot be downloaded is reported and skipped; run.sh skips what needs it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
carry=benchmarks/gpu/carry python=${PYTHON:-python3} LIMIT_MB=${LIMIT_MB:-64}
data=${SYMNETS_DATA:?expected the folder of the data sets; export SYMNETS_DATA}
# Dependencies of symnets and its tests beyond torch and e3nn.
wheels="ase vesin tyro typeguard docstring-parser pooch platformdirs pydantic pydantic-core annotated-types beartype"
# The kernels of later versions are twice as large.
cue=0.8.0
cuequivariance="cuequivariance==$cue cuequivariance-torch==$cue"
kernels="cuequivariance-ops-cu13==$cue cuequivariance-ops-torch-cu13==$cue"

download() { # FOLDER REQUIREMENT...
  local folder=$1 platforms=""
  shift
  for tag in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux1; do
    platforms="$platforms --platform ${tag}_x86_64"
  done
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp $platforms \
    --dest "$folder" "$@" 2> >(grep -v '^WARNING' >&2)
}

mkdir -p $carry/fashion-mnist
rm -rf $carry/wheels
# The version of pydantic-core is read from the wheel of pydantic.
download $carry/wheels ${wheels/pydantic-core/} $cuequivariance || echo "left out: some of the wheels"
core=$(unzip -p $carry/wheels/pydantic-2*.whl '*/METADATA' | sed -n 's/^Requires-Dist: \(pydantic-core==[0-9.]*\).*/\1/p')
download $carry/wheels "$core" || echo "left out: pydantic-core"

if [ ! -s $carry/kernels.tar.xz ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if download "$work" $kernels; then
    mkdir "$work/site"
    for wheel in "$work"/*.whl; do unzip -qo "$wheel" -d "$work/site"; done
    rm -rf "$work/site/lib64" # a static copy of a test framework
    tar -C "$work/site" -c . | xz -T0 -6 >"$work/kernels.tar.xz" && mv "$work/kernels.tar.xz" $carry/
  else
    echo "left out: the kernels of cuequivariance"
  fi
fi

for file in "$data"/fashion-mnist/*.gz; do
  packed=$carry/fashion-mnist/$(basename "$file" .gz).xz
  [ -s "$packed" ] || { gzip -dc "$file" | xz -T0 -6 >"$packed.part" && mv "$packed.part" "$packed"; }
done
[ -s $carry/cifar10.npz ] || "$python" benchmarks/gpu/pack_images.py || echo "left out: CIFAR-10"

tree=$(git ls-files -z --cached --others --exclude-standard | xargs -0 -r du -cb 2>/dev/null | tail -1 | cut -f1)
packed=$(du -sb $carry | cut -f1)
du -sb $carry/* | awk '{printf "%8.1f MB  %s\n", $1 / 2^20, $2}'
awk -v tree="$tree" -v packed="$packed" -v limit="$LIMIT_MB" 'BEGIN {
  total = (tree + packed) / 2^20
  printf "%8.1f MB  in all, with %.1f MB of the checkout; at most %d\n", total, tree / 2^20, limit
  exit total > limit }'
