#!/usr/bin/env bash
# Installs what a verb needs and is missing, or says what to install. Runs as root, as a user with
# sudo, or without either (then it only names what is missing). Starts no system service.
#
#   require.sh GROUP…   groups: build lint test fuzz servers browser clients
set -euo pipefail
cd "$(dirname "$0")/../.."

missing_apt=()
need_apt() { # PACKAGE TEST…
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing_apt+=("$package")
}
has() { command -v "$1" >/dev/null 2>&1; }
has_postgres() { has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

groups=" $* "
wants() { [[ $groups == *" $1 "* ]]; }

if wants build; then
    need_apt gcc has cc
    need_apt libc6-dev test -e /usr/include/stdlib.h
    if ! has cargo; then
        echo "Rust is missing: install it from https://rustup.rs, then run the same command again." >&2
        exit 1
    fi
fi
if wants fuzz; then
    need_apt g++ has c++
fi
if wants servers; then
    need_apt redis-server has redis-server
    need_apt rabbitmq-server test -x /usr/sbin/rabbitmq-server
    need_apt postgresql has_postgres
fi
if wants servers || wants lint || wants clients || wants browser; then
    need_apt nodejs has node
    need_apt npm has npm
fi
if wants browser; then
    need_apt chromium has chromium
    need_apt chromium-driver has chromedriver
fi
if wants clients; then
    need_apt python3-venv python3 -c 'import ensurepip'
fi

if ((${#missing_apt[@]})); then
    echo "Missing Debian packages: ${missing_apt[*]}"
    if ((EUID == 0)); then
        sudo=()
    elif has sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        sudo=(sudo)
    else
        echo "Install them, then run the same command again: apt-get install ${missing_apt[*]}" >&2
        exit 1
    fi
    if [[ -t 0 && ${CI:-} != true ]]; then
        read -r -p "Install them now? [Y/n] " answer
        [[ -z $answer || $answer == [yY]* ]] || exit 1
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "${missing_apt[@]}" >/dev/null
fi

cargo_tool() { # COMMAND CRATE VERSION
    has "$1" && return
    echo "Installing $2 $3 with cargo (once, a few minutes)"
    cargo install --quiet --locked "$2@$3"
}
if wants test; then cargo_tool cargo-nextest cargo-nextest 0.9.143; fi
if wants lint; then cargo_tool cargo-deny cargo-deny 0.20.2; fi

node_modules() { # FOLDER: as the lock file says, once
    if [[ ! -d $1/node_modules || $1/package-lock.json -nt $1/node_modules ]]; then
        # Not `npm ci`: it refuses a lock file without the optional builds for other platforms.
        (cd "$1" && npm install --silent --no-save --no-audit --no-fund)
        touch "$1/node_modules"
    fi
}
if wants lint; then node_modules proto; fi
if wants servers; then node_modules tests/foreign-smsc; fi
if wants browser; then node_modules tests/browser/axe; fi
if wants clients; then
    node_modules tests/clients/typescript
    stamp=.local/python/.stamp
    if [[ ! -e $stamp || tests/clients/python/requirements.txt -nt $stamp ]]; then
        python3 -m venv .local/python
        .local/python/bin/pip install --quiet -r tests/clients/python/requirements.txt
        touch "$stamp"
    fi
fi
