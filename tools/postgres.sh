#!/bin/sh
# A private PostgreSQL server in a folder, for a study that several workers share:
#   tools/postgres.sh start DIR [PORT [ADDRESS]]    prints the storage= for gan_lab.sweep
#   tools/postgres.sh stop DIR
# It listens at 127.0.0.1, port 5433; with ADDRESS 0.0.0.0 other machines reach it, too. Its only
# user needs the password in DIR/password. Stopped and started again, it has what it had; where it
# runs, start only prints.
set -eu

fail() {
    echo "error: $1" >&2
    exit "${2:-2}"
}

usage="tools/postgres.sh start DIR [PORT [ADDRESS]], or tools/postgres.sh stop DIR"
[ $# -ge 2 ] || fail "give a command and a folder: $usage"
command=$1
case $command in
start) mkdir -p "$2" ;;
stop) [ -s "$2/data/PG_VERSION" ] || fail "$2 holds no server that this script has made; give the DIR of its start" ;;
*) fail "$command is not known: $usage" ;;
esac
folder=$(cd "$2" && pwd)
port=${3:-5433}
address=${4:-127.0.0.1}

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || bin=$(dirname "$(command -v initdb || echo /nowhere/initdb)")
[ -x "$bin/initdb" ] || fail "no PostgreSQL server is installed; on Debian and Ubuntu: sudo apt-get install postgresql"

# The server refuses to run as root; the packages make a user for it.
as_owner() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || fail "root cannot run PostgreSQL, and there is no user postgres; install the postgresql package, or start this as another user"
    as_owner() { (cd / && runuser -u postgres -- "$@"); }
    chown postgres "$folder"
fi

start() {
    if [ ! -s "$folder/data/PG_VERSION" ]; then
        as_owner test -w "$folder" || fail "$folder must be writable for the user postgres; choose a folder that is not below a private one"
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | as_owner sh -c "umask 077; cat > '$folder/password'"
        as_owner "$bin/initdb" --no-locale -E UTF8 -U gan_lab -A scram-sha-256 --pwfile="$folder/password" -D "$folder/data" >/dev/null
        echo "host all all all scram-sha-256" | as_owner tee -a "$folder/data/pg_hba.conf" >/dev/null
    fi
    if as_owner "$bin/pg_ctl" -s -D "$folder/data" status >/dev/null; then
        port=$(as_owner sed -n 4p "$folder/data/postmaster.pid")
        address=$(as_owner sed -n 6p "$folder/data/postmaster.pid")
    else
        as_owner "$bin/pg_ctl" -s -w -D "$folder/data" -l "$folder/log" -o "-p $port -h $address -k '$folder'" start ||
            fail "the server does not start; $folder/log says why" 1
    fi
    password=$(as_owner cat "$folder/password")
    PGPASSWORD=$password "$bin/psql" -q -h "$folder" -p "$port" -U gan_lab -d postgres -tAc \
        "SELECT 1 FROM pg_database WHERE datname = 'gan_lab'" | grep -q 1 ||
        PGPASSWORD=$password "$bin/createdb" -h "$folder" -p "$port" -U gan_lab gan_lab
    host=$address
    [ "$host" != 0.0.0.0 ] || host=$(hostname)
    echo "storage=postgresql+psycopg://gan_lab:$password@$host:$port/gan_lab"
}

stop() {
    as_owner "$bin/pg_ctl" -s -w -m fast -D "$folder/data" stop
}

"$command"
