# Makes a data folder and becomes its server.
# $1: where initdb and postgres are; $2: a folder of its own, with the file `password` in it; $3: the port
set -eu
# The password goes as it is and never leaves the machine. To hash it 4096 times for each session would take a client
# that is not optimised longer than most tests.
"$1/initdb" --pgdata="$2/data" --username=postgres --pwfile="$2/password" --auth=password \
    --encoding=UTF8 --no-locale --no-sync
# Nobody wants this data after a crash, so nothing is forced to the disk. No unix socket: its path may be at most 107
# bytes long, and folders of tests are not short.
exec "$1/postgres" -D "$2/data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off
