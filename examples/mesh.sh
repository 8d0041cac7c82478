#!/bin/sh
# The whole set on this machine with one command: two servers that are linked, and a balancer in front of them.
#
#   examples/mesh.sh                    starts it, says where things are, and stops all on Ctrl-C
#   examples/mesh.sh COMMAND …          starts it, runs the command with ANSWERBACK_SERVER set to the balancer, and stops all
#
# Try:  examples/mesh.sh cargo run --quiet --example balanced
#
# NORTH, SOUTH and FRONT are ports, 0 for free ones. ANSWERBACK_BIN is the folder of programs that are built already.
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${ANSWERBACK_BIN:-}" ]; then
    (cd "$home" && cargo build --quiet --release --bin answerback-server --bin answerback-balancer)
    ANSWERBACK_BIN=${CARGO_TARGET_DIR:-$home/target}/release
fi
data=$(mktemp -d)
running=

stop() {
    trap - EXIT INT TERM
    # The balancer first: it has clients go before their servers do.
    for process in $running; do
        kill -TERM "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$data"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME PROGRAM FLAGS…
start() {
    name=$1 program=$2
    shift 2
    "$ANSWERBACK_BIN/$program" "$@" >"$data/$name.out" 2>"$data/$name.log" &
    running="$! $running"
}

# said NAME WHAT: what its banner says behind a word, once it says so
said() {
    tries=0
    until found=$(sed -n "s/^ *$2 *\(http:..\)*\([0-9.]*:[0-9]*\).*/\2/p" "$data/$1.out" | head -n 1) && [ -n "$found" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 200 ]; then
            echo "mesh.sh: $1 has not started:" >&2
            cat "$data/$1.out" "$data/$1.log" >&2
            exit 1
        fi
        sleep 0.05
    done
    echo "$found"
}

start north answerback-server --id north --listen "127.0.0.1:${NORTH:-7040}" --admin 127.0.0.1:0 --data-dir "$data/north"
north=$(said north listen)
start south answerback-server --id south --listen "127.0.0.1:${SOUTH:-7042}" --admin 127.0.0.1:0 --data-dir "$data/south" \
    --peer "$north"
south=$(said south listen)
start front answerback-balancer --listen "127.0.0.1:${FRONT:-7050}" --admin 127.0.0.1:0 \
    --backend "$north,admin=$(said north admin)" --backend "$south,admin=$(said south admin)"
ANSWERBACK_SERVER=$(said front listen)
export ANSWERBACK_SERVER

if [ $# -gt 0 ]; then
    "$@"
    exit
fi
echo "clients   ANSWERBACK_SERVER=$ANSWERBACK_SERVER"
echo "servers   north $north, south $south"
echo "backends  http://$(said front admin)/backends"
echo "logs      $data"
echo "Ctrl-C stops all."
while :; do
    wait "${running%% *}" || exit
done
