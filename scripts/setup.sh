#!/usr/bin/env bash
# Makes the Python 3.10 environment .venv exactly as the lock files say:
# requirements.lock is what the product runs on, requirements-dev.lock adds
# what its tests need.
#
# Usage: scripts/setup.sh [--tools-only]
#   --tools-only  only see to uv (for `make lock`) and print its path.
#
# A second call with nothing changed does nothing: .venv/.setup-stamp holds
# the hash of the lock files. uv comes from PATH or is installed into
# .tools/uv; without it a python3.10 with venv and pip does the same, slower.
# Which package index is asked is the machine's own setting (pip.conf, PIP_*,
# UV_*); none is named here.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
VENV="$ROOT/.venv"
TOOLS="$ROOT/.tools"
STAMP="$VENV/.setup-stamp"
UV_PIN="0.13.8"
UV=""
LOCKS=(requirements.lock requirements-dev.lock)

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# The version of the interpreter in $1 as "3.10", or nothing.
python_version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null ||
    true
}

expected_stamp() {
  printf '%s python3.10\n' "$(cat "${LOCKS[@]}" | sha256sum | cut -d' ' -f1)"
}

# The path inside the environment is part of the check: a moved or copied
# repository has scripts that point to the old place.
is_current() {
  [[ -x "$VENV/bin/python" && -f "$STAMP" ]] || return 1
  [[ "$(cat "$STAMP")" == "$(expected_stamp)
$VENV" ]]
}

check_platform() {
  local system
  system="$(uname -s) $(uname -m)"
  [[ "$system" == "Linux x86_64" || -n "${CREATE_ANY_PLATFORM:-}" ]] || die \
    "found $system, but TFX 1.16's compiled parts (tfx-bsl, ml-metadata)" \
    "exist for Linux x86_64 only. Fix: use such a machine or container" \
    "(CREATE_ANY_PLATFORM=1 tries anyway)."
}

# Prints candidate interpreters, one a line: PATH first, then pyenv's.
list_pythons() {
  local name pyenv_root
  for name in "$@"; do
    type -aP "$name" 2>/dev/null || true
  done
  pyenv_root="${PYENV_ROOT:-$HOME/.pyenv}"
  for name in "$pyenv_root"/versions/3.*/bin/python3; do
    [[ -x "$name" ]] && printf '%s\n' "$name"
  done
  return 0
}

find_python310() {
  local python
  while read -r python; do
    if [[ "$(python_version "$python")" == "3.10" ]]; then
      # The interpreter itself, not a shim that depends on the folder.
      "$python" -c 'import sys; print(sys.executable)'
      return 0
    fi
  done < <(list_pythons python3.10 python3 python)
  return 1
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

install_uv() {
  local python
  while read -r python; do
    has_venv "$python" || continue
    say "installing uv $UV_PIN into .tools/uv"
    rm -rf "$TOOLS/uv"
    if "$python" -m venv "$TOOLS/uv" &&
      "$TOOLS/uv/bin/python" -m pip install --quiet \
        --disable-pip-version-check "uv==$UV_PIN"; then
      UV="$TOOLS/uv/bin/uv"
      return 0
    fi
    rm -rf "$TOOLS/uv"
    return 1
  done < <(list_pythons python3 python3.10 python3.11 python3.12 python3.13)
  # No venv module anywhere, but a pip that can install into a folder.
  if python3 -m pip --version >/dev/null 2>&1; then
    say "installing uv $UV_PIN into .tools/uv with the system's pip"
    rm -rf "$TOOLS/uv"
    if python3 -m pip install --quiet --disable-pip-version-check \
      --target "$TOOLS/uv" "uv==$UV_PIN"; then
      UV="$TOOLS/uv/bin/uv"
      return 0
    fi
  fi
  return 1
}

find_uv() {
  if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
    UV="$(command -v uv)"
  elif [[ -x "$TOOLS/uv/bin/uv" ]] &&
    "$TOOLS/uv/bin/uv" --version >/dev/null 2>&1; then
    UV="$TOOLS/uv/bin/uv"
  else
    install_uv
  fi
}

# Prints what pip is told as $1, by the environment or by pip.conf.
pip_setting() {
  local variable="PIP_${1^^}" python
  variable="${variable//-/_}"
  if [[ -n "${!variable:-}" ]]; then
    printf '%s\n' "${!variable}"
    return 0
  fi
  for python in "$TOOLS/uv/bin/python" python3; do
    "$python" -m pip config get "global.$1" 2>/dev/null && return 0
  done
  return 0
}

# uv does not read pip's settings; where only pip was told the machine's
# index or certificates, uv should know them too.
adopt_pip_settings() {
  local value
  value="$(pip_setting index-url)"
  if [[ -n "$value" && -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]]; then
    export UV_DEFAULT_INDEX="$value"
  fi
  value="$(pip_setting cert)"
  if [[ -f "$value" && -z "${SSL_CERT_FILE:-}" ]]; then
    export SSL_CERT_FILE="$value"
  elif [[ -f /etc/ssl/certs/ca-certificates.crt ]]; then
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
  fi
}

make_venv() {
  local python="$1"
  if [[ "$(python_version "$VENV/bin/python")" == "3.10" ]] &&
    grep -q "^VIRTUAL_ENV=.*$VENV" "$VENV/bin/activate" 2>/dev/null; then
    return 0 # right Python at the right place: bring its packages in step
  fi
  rm -rf "$VENV"
  if [[ -n "$UV" ]]; then
    # The pip that the tfx command calls is in requirements.lock.
    "$UV" venv --quiet --python "${python:-3.10}" "$VENV" || die \
      "no Python 3.10 found, and uv could not download one. Fix: install it" \
      "with 'pyenv install 3.10' or from your system's packages (python3.10)."
  else
    "$python" -m venv "$VENV" || die \
      "$python could not make a virtual environment." \
      "Fix: sudo apt-get install python3.10-venv"
  fi
}

install_packages() {
  say "installing ${LOCKS[*]} into .venv (about 3 GB; minutes at first)"
  if [[ -n "$UV" ]]; then
    "$UV" pip sync --quiet --require-hashes --python "$VENV/bin/python" \
      "${LOCKS[@]}" && return 0
    say "uv could not install the packages (above); trying pip, which may" \
      "know another index or certificate"
    "$VENV/bin/python" -m ensurepip >/dev/null 2>&1 || true
  fi
  # --no-deps: the lock is complete, and pip takes minutes to find that out.
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --require-hashes "${LOCKS[@]/#/--requirement=}" || die \
    "the packages of ${LOCKS[*]} could not be installed (above)." \
    "Fix: check the network and the index of pip (pip config list), then" \
    "repeat."
}

main() {
  if [[ "${1:-}" == "--tools-only" ]]; then
    find_uv || die "uv could not be installed. Fix: sudo apt-get install" \
      "python3-venv, or put uv on PATH."
    printf '%s\n' "$UV"
    return 0
  fi
  is_current && return 0
  check_platform
  local started=$SECONDS python=""
  mkdir -p "$TOOLS"
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$TOOLS/setup.lock"
    flock 9 # a second `make` waits for the first
    is_current && return 0
  fi
  python="$(find_python310)" || python=""
  find_uv || UV=""
  if [[ -n "$UV" ]]; then
    adopt_pip_settings
  else
    [[ -n "$python" ]] || die \
      "neither uv nor Python 3.10 found, and this machine's python3 cannot" \
      "make a virtual environment to install uv into. Fix: sudo apt-get" \
      "install python3-venv"
    has_venv "$python" || die \
      "$python has no venv module. Fix: sudo apt-get install python3.10-venv" \
      "(or python3-venv), or put uv on PATH."
  fi
  rm -f "$STAMP"
  make_venv "$python"
  install_packages
  printf '%s\n%s\n' "$(expected_stamp)" "$VENV" >"$STAMP"
  say "ready: $("$VENV/bin/python" --version) in .venv," \
    "$((SECONDS - started)) s"
}

main "$@"
