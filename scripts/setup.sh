#!/bin/sh
# Sees to it that everything the build needs is there.
#
#   scripts/setup.sh [build|lint|guest|drivers]
#
# build  Rust, a C compiler, cmake, ninja, pkg-config, and libclang with its headers (default)
# lint   the same, with rustfmt and clippy
# guest  clang-19 and lld-link-19, for rebuilding the guest images
# drivers  the same as build, and Python 3 with pip, for fetching real drivers
#
# When all is there it says nothing and calls no package manager. On Debian and
# Ubuntu it installs what is missing, as root or through a sudo that asks for no
# password. Anywhere else it says in one line what to install, and fails.
set -eu

cd "$(dirname "$0")/.."
# rustup puts cargo here; shells that read no profile (CI, cron) do not see it.
PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

die() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# A C compiler that finds the C library's headers. CC may carry arguments.
has_cc() {
    # shellcheck disable=SC2086
    printf '#include <stdio.h>\n' | ${CC:-cc} -E -x c - >/dev/null 2>&1
}

# libclang with clang's own headers beside it (stddef.h and the like): bindgen
# loads the first and parses nothing without the second. Packages split them.
has_libclang() {
    config_dir=
    if has llvm-config; then config_dir=$(llvm-config --libdir 2>/dev/null) || config_dir=; fi
    for dir in "${LIBCLANG_PATH:-}" "$config_dir" /usr/lib/llvm*/lib /usr/lib64/llvm*/lib \
        /usr/lib64 /usr/lib /usr/local/lib /opt/homebrew/opt/llvm/lib /usr/local/opt/llvm/lib \
        /Library/Developer/CommandLineTools/usr/lib \
        /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib \
        "${MINGW_PREFIX:-}/bin"; do
        [ -n "$dir" ] || continue
        for library in "$dir"/libclang.so* "$dir"/libclang-[0-9]*.so* \
            "$dir"/libclang.dylib "$dir"/libclang.dll; do
            [ -e "$library" ] || continue
            for header in "$dir"/clang/*/include/stddef.h \
                "$dir"/../lib/clang/*/include/stddef.h; do
                if [ -e "$header" ]; then return 0; fi
            done
        done
    done
    return 1
}

missing_tools() {
    case $1 in
    guest)
        has clang-19 || echo clang-19
        has lld-link-19 || echo lld-19
        ;;
    drivers)
        has python3 || echo python3
        python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
        ;;
    *)
        has_cc || echo cc
        has cmake || echo cmake
        has ninja || echo ninja
        has pkg-config || has pkgconf || echo pkg-config
        has_libclang || echo libclang
        ;;
    esac
}

package_manager() {
    case $(uname -s) in
    Darwin) echo brew ;;
    MINGW* | MSYS* | CYGWIN*) if has pacman; then echo msys; else echo winget; fi ;;
    *)
        for manager in apt-get dnf zypper pacman apk brew; do
            if has "$manager"; then
                echo "$manager"
                return
            fi
        done
        echo unknown
        ;;
    esac
}

# package MANAGER TOOL: the name of the package that holds the tool.
package() {
    case $1:$2 in
    *:clang-19 | *:lld-19) echo "$2" ;;
    apt-get:cc) echo gcc libc6-dev ;;
    dnf:cc | zypper:cc) echo gcc glibc-devel ;;
    apk:cc) echo build-base ;;
    pacman:cc | brew:cc) echo gcc ;;
    apt-get:ninja | dnf:ninja) echo ninja-build ;;
    apk:ninja) echo samurai ;;
    apt-get:libclang) echo libclang-dev ;;
    dnf:libclang | zypper:libclang) echo clang-devel ;;
    apk:libclang) echo clang-dev ;;
    pacman:libclang) echo clang ;;
    brew:libclang) echo llvm ;;
    pacman:python3-pip) echo python-pip ;;
    apk:python3-pip) echo py3-pip ;;
    pacman:python3 | brew:python3-pip) echo python ;;
    msys:python3 | msys:python3-pip) echo "${MINGW_PACKAGE_PREFIX:-mingw-w64-ucrt-x86_64}-python-pip" ;;
    winget:python3 | winget:python3-pip) echo Python.Python.3.13 ;;
    dnf:pkg-config) echo pkgconf-pkg-config ;;
    pacman:pkg-config | apk:pkg-config | brew:pkg-config) echo pkgconf ;;
    msys:cc) echo "${MINGW_PACKAGE_PREFIX:-mingw-w64-ucrt-x86_64}-gcc" ;;
    msys:libclang) echo "${MINGW_PACKAGE_PREFIX:-mingw-w64-ucrt-x86_64}-clang" ;;
    msys:pkg-config) echo "${MINGW_PACKAGE_PREFIX:-mingw-w64-ucrt-x86_64}-pkgconf" ;;
    msys:*) echo "${MINGW_PACKAGE_PREFIX:-mingw-w64-ucrt-x86_64}-$2" ;;
    winget:cc) echo Microsoft.VisualStudio.2022.BuildTools ;;
    winget:cmake) echo Kitware.CMake ;;
    winget:ninja) echo Ninja-build.Ninja ;;
    winget:libclang) echo LLVM.LLVM ;;
    winget:pkg-config) echo bloodrock.pkg-config-lite ;;
    *) echo "$2" ;;
    esac
}

# advice MANAGER KIND TOOLS PACKAGES: the one line for someone who installs by hand.
advice() {
    if [ "$2" = guest ] && [ "$1" != apt-get ]; then
        echo "install clang 19 and lld 19 so that clang-19 and lld-link-19 are on PATH"
        return
    fi
    case $1 in
    apt-get) echo "missing $3: as root run apt-get install $4" ;;
    dnf | zypper) echo "missing $3: as root run $1 install $4" ;;
    pacman) echo "missing $3: as root run pacman -S $4" ;;
    apk) echo "missing $3: as root run apk add $4" ;;
    brew) echo "missing $3: run brew install $4" ;;
    msys) echo "missing $3: run pacman -S $4" ;;
    winget) echo "missing $3: run winget install $4" ;;
    *) echo "missing $3: install them with this system's package manager" ;;
    esac
}

# as_root COMMAND...: runs it as root, or fails at once when that would need a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
    printf 'setup: installing %s\n' "$*" >&2
    # The update may fail for a source that has nothing to do with us; whether
    # the packages can be had is for the installation to say.
    as_root apt-get -qq update </dev/null >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        install -y --no-install-recommends "$@" </dev/null >/dev/null
}

# Turns the lines of standard input into one line.
one_line() {
    tr '\n' ' ' | sed 's/ *$//'
}

need_tools() {
    tools=$(missing_tools "$1" | one_line)
    if [ -z "$tools" ]; then return; fi
    manager=$(package_manager)
    packages=$(for tool in $tools; do package "$manager" "$tool"; done | one_line)
    line=$(advice "$manager" "$1" "$tools" "$packages")
    if [ "$manager" != apt-get ]; then die "$line"; fi
    if ! as_root true 2>/dev/null; then die "$line"; fi
    # shellcheck disable=SC2086
    if ! apt_install $packages; then
        if [ "$1" = guest ]; then line="$line (releases without them: https://apt.llvm.org)"; fi
        die "$line"
    fi
    tools=$(missing_tools "$1" | one_line)
    if [ -n "$tools" ]; then die "installed $packages, but $tools cannot be found"; fi
}

# at_least HAVE WANTED: compares dotted version numbers.
at_least() {
    awk -v have="$1" -v wanted="$2" 'BEGIN {
        split(have, h, "."); n = split(wanted, w, ".")
        for (i = 1; i <= n; i++) {
            if (h[i] + 0 > w[i] + 0) exit 0
            if (h[i] + 0 < w[i] + 0) exit 1
        }
    }'
}

need_rust() {
    wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
    if ! has cargo; then
        die "missing cargo: get Rust $wanted or newer from https://rustup.rs"
    fi
    if ! version=$(rustc --version 2>/dev/null); then
        die "rustc does not run: with rustup, run rustup default stable"
    fi
    have=$(printf '%s\n' "$version" | awk '{ print $2 }')
    if ! at_least "$have" "$wanted"; then
        die "Rust $have is too old, $wanted is needed: run rustup update stable, or see https://rustup.rs"
    fi
}

need_linters() {
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then return; fi
    if ! has rustup; then
        die "missing rustfmt or clippy: install them from where Rust came from"
    fi
    if ! rustup component add rustfmt clippy; then
        die "missing rustfmt or clippy: run rustup component add rustfmt clippy"
    fi
}

case ${1:-build} in
build)
    need_rust
    need_tools build
    ;;
lint)
    need_rust
    need_tools build
    need_linters
    ;;
guest) need_tools guest ;;
drivers)
    need_rust
    need_tools build
    need_tools drivers
    ;;
*) die "unknown set-up '$1': build, lint, guest or drivers" ;;
esac
