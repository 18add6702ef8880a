#!/usr/bin/env bash
# The whole system on one machine as it runs in production: PostgreSQL, Redis, RabbitMQ and an SMSC
# from the machine's own packages, then every service as its own process, with mutual TLS. All data
# is under .local/, all processes are children of nobody and stopped by `down`.
#
#   stack.sh up | down | scale N | status | purge
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD/.local
# Where PostgreSQL and RabbitMQ keep their data. As root they run as their package's user, who may
# not pass the closed folders of a checkout under root's home: then it is a folder outside.
servers=$root
if ((EUID == 0)) && id postgres >/dev/null 2>&1; then
    mkdir -p "$root" && chmod 711 "$root"
    runuser -u postgres -- test -x "$root" 2>/dev/null ||
        servers=/var/lib/sallyport-local-$(printf '%s' "$root" | cksum | cut -d' ' -f1)
fi
bin=$PWD/target/debug
postgres_port=${SALLYPORT_POSTGRES_PORT:-15432}
redis_port=${SALLYPORT_REDIS_PORT:-16379}
rabbit_port=${SALLYPORT_RABBIT_PORT:-15673}
smsc_port=${SALLYPORT_SMSC_PORT:-12775}
smsc_http_port=${SALLYPORT_SMSC_HTTP_PORT:-12776}
gateway_port=${SALLYPORT_GATEWAY_PORT:-8080}
identity_port=7101
otp_port=7102
admin_port=7103
portal=http://localhost:$gateway_port

say() { printf '%s\n' "$*"; }
# When a process began, in clock ticks since boot: a pid may belong to somebody else by now.
began() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
alive() {
    local pid since
    [[ -s $root/run/$1.pid ]] && read -r pid since <"$root/run/$1.pid" && [[ -n $since && $(began "$pid") == "$since" ]]
}

own() { # USER PATH…
    local user=$1
    shift
    if ((EUID == 0)); then chown -R "$user" "$@"; fi
}

wait_for() { # WHAT SECONDS COMMAND…
    local what=$1 left=$(($2 * 10))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((left-- > 0)) || { say "$what did not come up; see $root/logs" >&2; return 1; }
        sleep 0.1
    done
}
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

spawn() { # NAME COMMAND…: in the background, its own session and group, log and pid kept
    local name=$1
    shift
    alive "$name" && return
    setsid "$@" >>"$root/logs/$name.log" 2>&1 </dev/null &
    echo "$! $(began $!)" >"$root/run/$name.pid"
}

stop() { # NAME SECONDS
    if alive "$1"; then
        local pid _ left=$(($2 * 10))
        read -r pid _ <"$root/run/$1.pid"
        # The leader is asked, and ends the others of its group in order. Whoever is left then is
        # killed, not the leader alone: RabbitMQ's is a shell, and the broker its child.
        kill -TERM "$pid" 2>/dev/null || true
        while kill -0 -- "-$pid" 2>/dev/null && ((left-- > 0)); do sleep 0.1; done
        kill -KILL -- "-$pid" 2>/dev/null || true
    fi
    rm -f "$root/run/$1.pid"
}

postgres_bin() { local found; found=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1); printf '%s' "${found:-$(dirname "$(command -v initdb)")}"; }

up_postgres() {
    local data=$servers/postgres bins
    bins=$(postgres_bin)
    if [[ ! -d $data/base ]]; then
        mkdir -p "$data"
        own postgres "$data"
        (cd / && "${run_as_postgres[@]}" "$bins/initdb" -D "$data" -U sallyport -A trust >"$root/logs/initdb.log" 2>&1)
    fi
    own postgres "$data"
    alive postgres || (cd / && spawn postgres "${run_as_postgres[@]}" "$bins/postgres" -D "$data" \
        -p "$postgres_port" -c listen_addresses=127.0.0.1 -c unix_socket_directories=)
    wait_for PostgreSQL 30 "$bins/pg_isready" -h 127.0.0.1 -p "$postgres_port"
    "$bins/psql" -h 127.0.0.1 -p "$postgres_port" -U sallyport -d postgres -Atc \
        "SELECT 1 FROM pg_database WHERE datname='sallyport'" | grep -q 1 ||
        "$bins/createdb" -h 127.0.0.1 -p "$postgres_port" -U sallyport sallyport
}

up_redis() {
    mkdir -p "$root/redis"
    spawn redis redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$root/redis" \
        --appendonly yes --appendfsync everysec --maxmemory-policy noeviction --daemonize no
    wait_for Redis 15 redis-cli -p "$redis_port" ping
}

rabbit_env() {
    export RABBITMQ_NODENAME=sallyport@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
    export RABBITMQ_NODE_PORT=$rabbit_port RABBITMQ_DIST_PORT=$((rabbit_port + 20000))
    export RABBITMQ_MNESIA_BASE=$servers/rabbitmq/mnesia RABBITMQ_LOG_BASE=$servers/rabbitmq/log
    export RABBITMQ_PID_FILE=$servers/rabbitmq/pid HOME=$servers/rabbitmq
    export RABBITMQ_ENABLED_PLUGINS_FILE=$servers/rabbitmq/plugins ERL_EPMD_PORT=$((rabbit_port + 1))
    export RABBITMQ_CONFIG_FILE=$servers/rabbitmq/rabbitmq
}
up_rabbitmq() {
    mkdir -p "$servers/rabbitmq"/{mnesia,log}
    echo '[].' >"$servers/rabbitmq/plugins"
    echo 'loopback_users.guest = true' >"$servers/rabbitmq/rabbitmq.conf"
    own rabbitmq "$servers/rabbitmq"
    (rabbit_env; spawn rabbitmq "${run_as_rabbitmq[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server)
    wait_for RabbitMQ 60 port_open "$rabbit_port"
}

up_smsc() {
    spawn smsc node tests/foreign-smsc/smsc.mjs --port "$smsc_port" --http-port "$smsc_http_port"
    wait_for SMSC 15 port_open "$smsc_http_port"
}

service() { # NAME BINARY: with its own environment, certificate, keys and log
    local name=$1 binary=$2 cert=$1
    (
        export SALLYPORT__TELEMETRY__LOG=info SALLYPORT__TELEMETRY__LOG_FORMAT=json
        case $name in
            identity | otp-api) export SALLYPORT__KEYS__FOLDER=$root/keys/$name ;;
            dispatcher-*) export SALLYPORT__KEYS__FOLDER=$root/keys/sms-dispatcher ;;
        esac
        tls() { # PREFIX
            export "SALLYPORT__$1__TLS__CERT_FILE=$root/certs/$cert.pem"
            export "SALLYPORT__$1__TLS__KEY_FILE=$root/certs/$cert.key"
            export "SALLYPORT__$1__TLS__CA_FILE=$root/certs/ca.pem"
        }
        peer() { # SECTION PORT
            export "SALLYPORT__PEERS__$1__URL=https://localhost:$2"
            tls "PEERS__$1"
        }
        case $name in
            identity)
                tls LISTEN
                export SALLYPORT__LISTEN__ADDRESS=127.0.0.1:$identity_port
                export SALLYPORT__DATABASE__URL=postgres://sallyport@127.0.0.1:$postgres_port/sallyport
                export SALLYPORT__IDENTITY__PORTAL_URL=$portal
                peer OTP_API $otp_port
                peer ACCOUNT_ADMIN $admin_port
                ;;
            account-admin)
                tls LISTEN
                export SALLYPORT__LISTEN__ADDRESS=127.0.0.1:$admin_port
                export SALLYPORT__DATABASE__URL=postgres://sallyport@127.0.0.1:$postgres_port/sallyport
                peer IDENTITY $identity_port
                ;;
            otp-api | dispatcher-*)
                export SALLYPORT__CHALLENGES__URL=redis://127.0.0.1:$redis_port/0
                export SALLYPORT__QUEUE__URL=amqp://guest:guest@127.0.0.1:$rabbit_port/%2f
                if [[ $name == otp-api ]]; then
                    tls LISTEN
                    export SALLYPORT__DATABASE__URL=postgres://sallyport@127.0.0.1:$postgres_port/sallyport
                    export SALLYPORT__LISTEN__ADDRESS=127.0.0.1:$otp_port
                fi
                ;;
            gateway)
                export SALLYPORT__LISTEN__ADDRESS=127.0.0.1:$gateway_port
                export SALLYPORT__GATEWAY__PORTAL_URL=$portal
                peer IDENTITY $identity_port
                peer OTP_API $otp_port
                peer ACCOUNT_ADMIN $admin_port
                ;;
        esac
        case $name in
            otp-api | dispatcher-*) spawn "$name" "$bin/$binary" --config "$root/otp.toml" ;;
            *) spawn "$name" "$bin/$binary" ;;
        esac
    )
}

# The carrier of the dispatchers: the SMSC of this stack.
write_otp_config() {
    cat >"$root/otp.toml" <<TOML
[otp]
host = "localhost"

[[otp.routes]]
kind = "smpp"
name = "local-smsc"
host = "127.0.0.1"
port = $smsc_port
system_id = "sallyport"
password = "secret"
source = "Sallyport"
TOML
}

up() {
    mkdir -p "$root"/{logs,run,keys} "$servers"
    [[ $servers == "$root" ]] || { chmod 711 "$servers" && ln -sfn "$servers" "$root/servers"; }
    chmod 711 "$root" && chmod 700 "$root/keys"
    [[ -s $root/certs/ca.pem ]] || "$bin/sallyportctl" certs --out "$root/certs"
    "$bin/sallyportctl" keys --out "$root/keys"
    # Servers that refuse to run as root run as their package's user.
    run_as_postgres=() run_as_rabbitmq=()
    if ((EUID == 0)); then
        run_as_postgres=(setpriv --reuid postgres --regid postgres --clear-groups)
        run_as_rabbitmq=(setpriv --reuid rabbitmq --regid rabbitmq --clear-groups)
    fi
    up_postgres
    up_redis
    up_rabbitmq
    up_smsc
    write_otp_config
    service otp-api otp-api
    service identity identity
    service account-admin account-admin
    scale 1
    service gateway gateway
    for port in "$identity_port" "$otp_port" "$admin_port" "$gateway_port"; do
        wait_for "the service on port $port" 30 port_open "$port"
    done
    say "Portal              $portal/sign-in"
    say "SMS that were sent  http://localhost:$smsc_http_port/messages"
    say "Mail inbox          $portal/dev/inbox"
    if [[ ! -s $root/first-link ]]; then
        # A one-time link: for this user's eyes, and kept only once it is made.
        (
            umask 077
            "$bin/sallyportctl" org create --url "https://localhost:$admin_port" \
                --cert "$root/certs/operator.pem" --key "$root/certs/operator.key" --ca "$root/certs/ca.pem" \
                --name Example --email admin@example.com --first-name First --last-name Administrator \
                --plan Standard --seats 25 --plan-expires "$(date -u -d '+1 year' +%F)" \
                --portal "$portal" --idempotency-key first-start >"$root/first-link.new"
            mv "$root/first-link.new" "$root/first-link"
        )
    fi
    cat "$root/first-link"
    say "Stop with: make down"
}

scale() { # N
    local wanted=$1 n
    [[ $wanted =~ ^[0-9]+$ ]] || { say "make scale N=…: N is a number" >&2; exit 2; }
    for ((n = 1; n <= wanted; n++)); do
        service "dispatcher-$n" sms-dispatcher
    done
    for pid in "$root"/run/dispatcher-*.pid; do
        [[ -e $pid ]] || continue
        n=${pid##*-}
        n=${n%.pid}
        ((n <= wanted)) || stop "dispatcher-$n" 20
    done
    say "Dispatchers         $wanted"
}

down() {
    [[ -d $root/run ]] || return 0
    local name pid
    for name in gateway identity account-admin otp-api; do stop "$name" 20; done
    for pid in "$root"/run/dispatcher-*.pid; do
        [[ -e $pid ]] || continue
        name=$(basename "$pid" .pid)
        stop "$name" 20
    done
    for name in smsc rabbitmq redis postgres; do stop "$name" 30; done
    if [[ -d $servers/rabbitmq ]]; then
        ERL_EPMD_PORT=$((rabbit_port + 1)) epmd -kill >/dev/null 2>&1 || true
    fi
    say "Stopped."
}

purge() {
    down
    [[ $servers == "$root" ]] || rm -rf "$servers"
    rm -rf "$root"
}

status() {
    local pid name
    for pid in "$root"/run/*.pid; do
        [[ -e $pid ]] || continue
        name=$(basename "$pid" .pid)
        if alive "$name"; then say "$name runs ($(cut -d' ' -f1 "$pid"))"; else say "$name is down"; fi
    done
}

case ${1:-} in
    up) up ;;
    down) down ;;
    scale) scale "${2:-1}" ;;
    status) status ;;
    purge) purge ;;
    *) say "usage: stack.sh up | down | scale N | status | purge" >&2; exit 2 ;;
esac
