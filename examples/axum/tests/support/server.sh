# Makes a data folder and becomes its server.
# $1: a folder to be made; $2: the port; SERVER_PASSWORD: the password of the user postgres
set -eu
umask 077
# Not `-p`: an existing folder of another user is an error.
mkdir "$1"
printf %s "$SERVER_PASSWORD" >"$1/password"
unset SERVER_PASSWORD
as=
if [ "$(id -u)" -eq 0 ]; then
    # PostgreSQL does not run as root; its package made this user. `keep`: a change of user clears the signal that ends a
    # process with the keeper.
    chown -R postgres: "$1"
    as='setpriv --reuid=postgres --regid=postgres --init-groups --pdeathsig=keep'
fi
# Debian keeps the programs outside of PATH, by version.
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
cd "$1"
# The password never leaves the machine: hashing it for each session would cost more than most tests.
$as initdb --pgdata=data --username=postgres --pwfile=password --auth=password --encoding=UTF8 --no-locale --no-sync
# No Unix socket, whose path may have 107 bytes; nothing is forced to the disk, because nobody wants the data after a crash.
exec $as postgres -D data -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off
