#!/usr/bin/env bash
# Tests and benchmarks on a GPU in less than eight minutes:
#   bash benchmarks/gpu/run.sh OUT              # on a machine with a GPU
#   bash benchmarks/gpu/run.sh OUT --rehearse   # test of the scripts: tiny sizes on the CPU, with generous time limits
#   bash benchmarks/gpu/run.sh OUT --stages "force_field stability"
# Stages run in order of importance, each with a time limit; each updates OUT/STAGE.json as it runs. OUT/gpu.json
# collects all stages, OUT/log.txt their output. The failure of a stage does not stop the others. PYTHON is the
# interpreter, python3 by default. Missing packages are taken from benchmarks/gpu/carry if pack.sh has filled it.
# Exits with 1 if a stage failed.
set -uo pipefail
[ $# -ge 1 ] || { echo "expected a folder for the results: bash benchmarks/gpu/run.sh OUT [--rehearse]" >&2; exit 2; }
mkdir -p "$1" && out=$(cd "$1" && pwd) && shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=$PWD/benchmarks/gpu python=${PYTHON:-python3} total=470 rehearse="" chosen=""
while [ $# -gt 0 ]; do
  case $1 in
    --rehearse) rehearse=--rehearse ;;
    --stages) chosen=$2 && shift ;;
    *) echo "expected --rehearse or --stages \"NAME ...\", got $1" >&2 && exit 2 ;;
  esac
  shift
done
# The last stage may use all remaining time.
names=(device_tests force_field stability jamming) seconds=(105 110 165 470)
# A rehearsal takes a minute or two; on a busy machine it may take twenty.
[ -z "$rehearse" ] || seconds=(900 900 900 900) total=3600

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$out/log.txt
rm -f "$out"/*.json
echo "run.sh: $(date -u)" >"$log"
export PYTHONPATH=$PWD:$PWD/benchmarks PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
lacks="import importlib.util as u; exit(not all(map(u.find_spec, ('ase', 'pydantic', 'tyro', 'vesin'))))"
if [ -z "$rehearse" ] || ! "$python" -c "$lacks"; then
  # A folder on PYTHONPATH: a virtual environment would not see the packages of the interpreter's own environment.
  "$python" "$here/unpack.py" "$here/carry" "$work" >>"$log" 2>&1 || echo "unpack.py failed: see log.txt"
  export PYTHONPATH=$PYTHONPATH:$work/site
  [ ! -d "$work/data" ] || export SYMNETS_DATA=$work/data
  tail -n +2 "$log"
fi
[ -z "$rehearse" ] || export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
setup=$SECONDS ended=()

for i in "${!names[@]}"; do
  name=${names[$i]} left=$((total - SECONDS - 10)) status=0
  [[ -z $chosen || " $chosen " == *" $name "* ]] || continue
  limit=$((seconds[i] < left ? seconds[i] : left))
  if [ $limit -lt 15 ]; then
    ended+=("$name=skipped:0")
    continue
  fi
  start=$SECONDS
  printf '\n== %s, at most %d s\n' "$name" $limit | tee -a "$log"
  timeout -k 5 $((limit + 4)) "$python" "$here/$name.py" --output "$out/$name.json" --seconds $limit $rehearse \
    </dev/null >>"$log" 2>&1 || status=$?
  ended+=("$name=$status:$((SECONDS - start))")
  [ $status = 0 ] || tail -5 "$log" | cut -c 1-200
done
"$python" "$here/summary.py" "$out" "${ended[@]}" --setup $setup --seconds $SECONDS
