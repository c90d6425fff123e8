#!/usr/bin/env bash
# Starts and looks after a Souk cluster on this machine; `launch-cluster.sh --help` says how. This script
# only sees to it that everything is installed; the rest is scripts/cluster/main.ts under the pinned Node.
set -euo pipefail

# Nodes outlive this command, so nothing the caller has open beyond 0, 1 and 2 may reach them (255 is
# where bash reads this script from; it is closed by exec).
for descriptor in /dev/fd/*; do
  number=${descriptor##*/}
  case "$number" in
    0 | 1 | 2 | 255 | *[!0-9]*) ;;
    *) eval "exec $number>&-" ;;
  esac
done

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  echo "launch-cluster: $*" >&2
  exit 1
}

# True when node_modules holds what package-lock.json asks for. No pinned Node means: no.
installed() {
  [ -d "$root/node_modules" ] &&
    "$root/scripts/with-node" node "$root/scripts/cluster/installed.ts" 2>/dev/null
}

install() {
  for tool in node npm; do
    command -v "$tool" >/dev/null ||
      fail "$tool is missing. Install Node.js 20 or newer with npm (https://nodejs.org) and try again."
  done
  local major
  major=$(node -p 'process.versions.node.split(".")[0]') || fail "node does not run"
  [ "$major" -ge 20 ] || fail "Node.js 20 or newer is needed; $(command -v node) is $(node --version)."
  # Two launchers must not install at once. Without flock (macOS) that is left to the operator.
  exec 9<"$root/package-lock.json"
  if command -v flock >/dev/null; then flock 9; fi
  if ! installed; then
    echo "launch-cluster: installing packages (npm ci); this happens once and takes a minute" >&2
    # Warnings would only be about the Node that runs npm; Souk runs on the one that is being installed.
    (cd -- "$root" && npm ci --loglevel=error 9<&- >&2) || fail "npm ci failed; its messages are above."
    installed || fail "npm ci ran, but node_modules still does not match package-lock.json."
  fi
  exec 9<&-
}

installed || install
exec "$root/scripts/with-node" node "$root/scripts/cluster/main.ts" "$@"
