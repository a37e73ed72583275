# Programs that are built from the Go module proxy into the user's cache directory: what scripts/kube-binaries and
# scripts/helm have in common. Nothing else is downloaded. To be sourced, by a script that has set
#   tool      its name, for messages and the lock
#   module    the folder with go.mod and go.sum
#   programs  the names of the programs (array)
#   probes    modules that must be there to build them (array): is a registry reachable?
#   cost      "about ... minutes": what the first build takes
# and then calls `provide NAME LDFLAGS PACKAGE...`, which prints the directory that holds the programs.
# Only the directory goes to stdout, progress goes to stderr.
# Exit code: 0 found or built, 3 no registry can be reached (tests must be skipped loudly), 1 anything else.
# shellcheck shell=bash

readonly bootstrap_go=go1.26.5
cache="${XDG_CACHE_HOME:-$HOME/.cache}/rota"

say() { printf '%s: %s\n' "$tool" "$*" >&2; }
fail() { say "$*"; exit 1; }
unreachable() {
  printf '\n*** %s: NO GO REGISTRY CAN BE REACHED (%s): what needs %s cannot run. This is not a pass. ***\n\n' \
    "$tool" "$*" "${programs[*]}" >&2
  exit 3
}

has_programs() {
  local program
  for program in "${programs[@]}"; do
    [[ -x "$1/$program" ]] || return 1
  done
}

# go.mod asks for "go X.Y.Z"; with GOTOOLCHAIN=local an older one would refuse.
wanted_go() { awk '$1 == "go" { print $2; exit }' "$module/go.mod"; }

go_is_new_enough() {
  local have
  have="$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null)" || return 1
  have="${have#go}"
  [[ -n "$have" ]] || return 1
  [[ "$(printf '%s\n%s\n' "$(wanted_go)" "${have%%[^0-9.]*}" | sort -V | head -n 1)" == "$(wanted_go)" ]]
}

install_debian_go() {
  command -v apt-get >/dev/null || fail "no 'go' here, and no apt-get to install one: install Go $(wanted_go) or newer"
  local sudo=()
  if [[ "$(id -u)" != 0 ]]; then
    command -v sudo >/dev/null || fail "no 'go' here, and installing it needs root: run 'apt-get install golang-go' as root"
    sudo=(sudo)
  fi
  say "installing golang-go"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends golang-go >&2 ||
    { "${sudo[@]}" apt-get update >&2 && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends golang-go >&2; } ||
    unreachable "apt-get install golang-go failed"
}

# Debian's Go is too old to build these, but new enough to fetch a newer Go, checked against the public
# checksum database.
bootstrap() {
  local old="$1" arch json dir
  arch="$(dpkg --print-architecture 2>/dev/null || echo amd64)"
  say "fetching $bootstrap_go from the Go module proxy"
  json="$(cd /tmp && GOFLAGS='' GOTOOLCHAIN=local "$old" mod download -json "golang.org/toolchain@v0.0.1-$bootstrap_go.linux-$arch")" ||
    unreachable "$bootstrap_go: $(tr '\n' ' ' <<<"$json" | cut -c 1-200)"
  dir="$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p' <<<"$json")"
  [[ -x "$dir/bin" ]] || fail "go mod download named no usable directory: $json"
  # The module cache drops the run bits and is read-only: run from a copy of our own.
  mkdir -p "$cache"
  rm -rf "$cache/$bootstrap_go.partial"
  cp -r "$dir" "$cache/$bootstrap_go.partial"
  chmod -R u+w "$cache/$bootstrap_go.partial"
  find "$cache/$bootstrap_go.partial/bin" "$cache/$bootstrap_go.partial/pkg/tool" -type f -exec chmod +x {} +
  rm -rf "${cache:?}/$bootstrap_go"
  mv "$cache/$bootstrap_go.partial" "$cache/$bootstrap_go"
}

# Sets $go.
find_go() {
  local candidate
  for candidate in "${ROTA_GO:-}" "$(command -v go || true)" /usr/local/go/bin/go "$cache/$bootstrap_go/bin/go"; do
    if [[ -n "$candidate" && -x "$candidate" ]] && go_is_new_enough "$candidate"; then
      go="$candidate"
      return
    fi
  done
  candidate="$(command -v go || true)"
  if [[ -z "$candidate" ]]; then
    install_debian_go
    candidate=/usr/bin/go
  fi
  bootstrap "$candidate"
  go="$cache/$bootstrap_go/bin/go"
  go_is_new_enough "$go" || fail "$go does not run"
}

# Until it is ended or the script has gone; leaves nobody behind who would keep a caller's pipe open.
report_progress() {
  local nap
  trap 'kill "$nap" 2>/dev/null; exit 0' TERM
  while kill -0 $$ 2>/dev/null; do
    sleep 30 &
    nap=$!
    wait "$nap"
    say "still building, $((SECONDS - $1)) s"
  done
}

# build DIRECTORY LDFLAGS PACKAGE...
build() {
  local target="$1" flags="$2" probe watcher started=$SECONDS
  shift 2
  find_go
  say "using $("$go" env GOVERSION) at $go"
  unset GOROOT
  export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off
  cd "$module"
  probe="$("$go" mod download "${probes[@]}" 2>&1)" || unreachable "$(tr '\n' ' ' <<<"$probe" | cut -c 1-300)"
  rm -rf "$target.partial"
  mkdir -p "$target.partial"
  say "building ${programs[*]} ($cost on 2 cores the first time)"
  report_progress "$started" 9>&- >&2 &
  watcher=$!
  # shellcheck disable=SC2064
  trap "kill $watcher 2>/dev/null || true" EXIT
  nice -n 10 "$go" build -trimpath -buildvcs=false -p 2 -gcflags=all=-dwarf=false -ldflags "$flags" \
    -o "$target.partial/" "$@" >&2 ||
    fail "go build failed, see above; modules that cannot be fetched mean a registry that was reachable a moment ago and is not now"
  kill "$watcher" 2>/dev/null || true
  has_programs "$target.partial" || fail "go build left no binaries in $target.partial"
  rm -rf "$target"
  mv "$target.partial" "$target"
  say "built in $((SECONDS - started)) s"
}

# provide NAME LDFLAGS PACKAGE...: the directory is named after NAME and after what the programs are made of.
provide() {
  local name="$1" target
  shift
  target="$cache/$name-$({ printf '%s\n' "$@"; find "$module" -type f -print0 | sort -z | xargs -0 cat; } | sha256sum | cut -c 1-12)"
  if ! has_programs "$target"; then
    mkdir -p "$cache"
    exec 9>"$cache/$tool.lock"
    flock -n 9 || { say "another build is running, waiting for it"; flock 9; }
    has_programs "$target" || build "$target" "$@"
  fi
  printf '%s\n' "$target"
}
