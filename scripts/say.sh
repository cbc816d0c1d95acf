# shellcheck shell=bash
# Sourced by every script: strict mode, the repository's root in $root, and how
# the scripts talk. What a script says goes to standard error, so that what it
# prints for other programs stays clean.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The paths that everybody shares. Tests point these elsewhere.
# shellcheck disable=SC2034
{
  deps_dir=${FOCAL_DEPS_DIR:-$root/.deps}
  cache_dir=${FOCAL_CACHE_DIR:-$root/.cache}
}

say() { printf 'focal: %s\n' "$*" >&2; }
warn() { printf 'focal: warning: %s\n' "$*" >&2; }

# die MESSAGE [LINE…]: every further line is indented, as what to do about it.
die() {
  printf 'focal: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# need_space DIRECTORY MIB: a full disk shows itself in strange errors later, so
# it is looked at first. DIRECTORY may not exist yet.
need_space() {
  local dir=$1 want=$2 free
  while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
  free=$(df -Pm "$dir" | awk 'NR==2 {print $4}')
  [ "$free" -ge "$want" ] ||
    die "the disk that holds $dir is full: $free MiB are free, $want MiB are needed" \
      "make room there and run this again; nothing is left half done"
}

# use_go puts Go on the PATH where it is installed but not found, as after
# unpacking it into /usr/local.
use_go() {
  if ! have go && [ -x "${FOCAL_GO_DIR:-/usr/local/go/bin}/go" ]; then
    PATH=$PATH:${FOCAL_GO_DIR:-/usr/local/go/bin}
  fi
}

# cuda_wanted tells whether the CUDA runtime belongs on this machine: where an
# NVIDIA card is seen, or as FOCAL_CUDA=on|off says.
cuda_wanted() {
  case ${FOCAL_CUDA:-auto} in
    on) return 0 ;;
    off) return 1 ;;
    auto) [ -e /dev/nvidia0 ] || { have nvidia-smi && nvidia-smi -L >/dev/null 2>&1; } ;;
    *) die "FOCAL_CUDA is '$FOCAL_CUDA'; it may be auto, on or off" ;;
  esac
}
