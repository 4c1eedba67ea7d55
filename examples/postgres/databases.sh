#!/bin/sh
# Asks the servers that COFFERDAM_KEEP=1 left: their databases, the workers whose tests were in each, and how many tests.
set -eu
cd "$(dirname "$0")"
ask() { psql --no-psqlrc --tuples-only --no-align --field-separator=' ' --command "$2" "$1"; }

for handle in "${COFFERDAM_DIR:-target/cofferdam}"/runs/*/fixtures/postgres/handle.jsonl; do
    if [ ! -e "$handle" ]; then
        echo 'no server was kept: COFFERDAM_KEEP=1 cargo test' >&2
        exit 1
    fi
    url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$handle")
    databases=$(ask "$url/postgres" "SELECT datname FROM pg_database WHERE datname LIKE 'rooms\_w%' ORDER BY 1")
    for database in $databases; do
        ask "$url/$database" 'SELECT current_database(), worker, count(*) FROM visits GROUP BY worker'
    done
done
