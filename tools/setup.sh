#!/usr/bin/env bash
# Set everything up in this checkout: .venv with the tested versions, system libraries, weights, the body model.
#   tools/setup.sh              all of it
#   tools/setup.sh environment  only .venv, for the checks that need no weights
#   tools/setup.sh cluster      Ray and the libraries for s3:// and gs:// besides, in their tested versions
#   tools/setup.sh browser      what opens reports and validates GLB files in the tests: npm packages, Chromium
# Does nothing, in seconds, where everything stands. PYTHON=/path/to/python3.12 chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
stamp=.venv/dancedepth-setup.sha256
# What the wheels of Open3D (libusb) and OpenCV (the others) load from the system: library, then Debian's package.
libraries=(
    libusb-1.0.so.0 libusb-1.0-0
    libGL.so.1 libgl1
    libgthread-2.0.so.0 libglib2.0-0
    libxcb.so.1 libxcb1
)

main() {
    if [ "${1:-all}" = browser ]; then
        install_browser
        return
    fi
    if [ "${1:-all}" = cluster ]; then
        follow_pip_settings
        "$python" -m uv pip install --quiet --python "$python" -c requirements.lock -e '.[ray,s3,gcs]'
        return
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$(fingerprint)" ] || ! "$python" -c '' 2>/dev/null; then
        make_environment
        install_packages
        fingerprint >"$stamp"
    fi
    install_libraries
    if [ "${1:-all}" = all ]; then
        warm_caches
    fi
}

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

fingerprint() { cat requirements.lock pyproject.toml tools/setup.sh | sha256sum; }

make_environment() {
    if "$python" -c 'import pip' 2>/dev/null; then
        return
    fi
    local base
    base=$(find_interpreter)
    if ! "$base" -c 'import venv, ensurepip' 2>/dev/null; then
        local package
        package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        apt_install "$package" || fail "$base cannot make virtual environments. As root: apt-get install $package"
    fi
    say "making .venv with $("$base" --version)"
    "$base" -m venv --clear .venv
}

find_interpreter() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, found $(${PYTHON:-python3} --version 2>&1 || true)." \
        "Install it, or name one: PYTHON=/path/to/python3.12 make setup"
}

install_packages() {
    say "installing packages (a few minutes the first time)"
    "$python" -m pip install --quiet "$(grep '^uv==' requirements.lock)"
    follow_pip_settings
    "$python" -m uv pip install --quiet --compile-bytecode --python "$python" -c requirements.lock -e '.[dev]'
}

# uv does not read pip's settings; where only pip knows the way to a package index, tell it.
follow_pip_settings() {
    local index=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
        export UV_DEFAULT_INDEX=$index
    fi
    trust_the_system
}

# uv and npm bring certificates of their own; behind a proxy that signs for others only the system's will do.
trust_the_system() {
    local bundle=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
    if [ -f "$bundle" ]; then
        export SSL_CERT_FILE=${SSL_CERT_FILE:-$bundle} NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$bundle}
    fi
}

install_libraries() {
    [ "$(uname -s)" = Linux ] || return 0
    local missing
    missing=$(missing_libraries)
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # one word for each package
    apt_install $missing || fail "system libraries are missing. As root: apt-get install" $missing
    missing=$(missing_libraries)
    [ -z "$missing" ] || fail "still missing after apt-get:" $missing
}

# Debian's packages of the libraries that do not load.
missing_libraries() {
    "$python" - "${libraries[@]}" <<'PYTHON'
import ctypes, sys

for library, package in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
PYTHON
}

apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >&2 && apt-get -qq install -y --no-install-recommends "$@" >&2
}

# Without these, tests say what is missing and are skipped.
install_browser() {
    if command -v npm >/dev/null; then
        trust_the_system
        npm ci --prefix tests/browser --silent --no-audit --no-fund >&2 || say "npm could not install tests/browser"
    else
        say "no npm: GLB files will not be validated, nor reports opened"
    fi
    command -v chromium >/dev/null || apt_install chromium || say "no Chromium: reports will not be opened"
}

warm_caches() {
    .venv/bin/dancedepth weights fetch >&2
}

main "$@"
