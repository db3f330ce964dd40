#!/usr/bin/env bash
# Style, types and tests, in this order. The tests run even where the style
# is wrong, so that one call shows everything; any failure is the exit code.
#
# Usage: scripts/test.sh [--lint-only] [pytest arguments]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
export TF_USE_LEGACY_KERAS=1 TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"
export GRPC_VERBOSITY="${GRPC_VERBOSITY:-ERROR}"

failed=""
ruff check --quiet . || failed="$failed 'ruff check'"
ruff format --check --quiet . || failed="$failed 'ruff format'"
mypy --no-error-summary || failed="$failed mypy"
if [[ -n "$failed" ]]; then
  printf 'test: failed:%s\n' "$failed" >&2
fi
if [[ "${1:-}" == "--lint-only" ]]; then
  [[ -z "$failed" ]]
  exit
fi
# Two at a time, a file never shared: most of a run waits for processes.
python -m pytest -n 2 --dist loadfile "$@"
status=$?
if [[ $status -eq 0 && -n "$failed" ]]; then
  printf 'test: the tests pass, but not%s\n' "$failed" >&2
  status=1
fi
exit $status
