#!/bin/bash
# redis-server under load from redis-benchmark; then its data are compared, also after a saving
# child and a restart. The program redis-check-rdb is the server, when it is called so.
source "$(dirname "$0")/lib.sh"

export commands=$work/commands socket=$work/socket server=$work/redis-server
ln -s "$(readlink -f "$(command -v redis-check-rdb)")" "$server"
awk 'BEGIN {
    x = 31337
    for (i = 0; i < 60000; i++) {
        x = (x * 16807) % 2147483647
        key = x % 3000
        value = substr("abcdefghijklmnopqrstuvwxyz0123456789", 1 + x % 30)
        kind = x % 7
        if (kind == 0) print "SET string:" key, value x
        if (kind == 1) print "APPEND string:" key, value
        if (kind == 2) print "RPUSH list:" key, value, x
        if (kind == 3) print "HSET hash:" key, "f" x % 50, value
        if (kind == 4) print "ZADD zset:" key, x % 1000, value
        if (kind == 5) print "SADD set:" key, x
        if (kind == 6) print "DEL string:" key, "list:" (key + 1)
    }
}' > "$commands"

scenario()
{
    ask()
    {
        LD_PRELOAD='' LD_DEBUG='' redis-cli -s "$socket" "$@"
    }
    start()
    {
        "$server" --port 0 --unixsocket "$socket" --dir "$PWD" --dbfilename dump.rdb \
            --save '' --daemonize no --enable-debug-command local --logfile server.log &
        for ((i = 0; i < 200; i++)); do
            if [ "$(ask ping 2> /dev/null)" = PONG ]; then
                return 0
            fi
            sleep 0.05
        done
        return 1
    }
    stop()
    {
        ask shutdown nosave
        wait
    }

    start
    LD_PRELOAD='' LD_DEBUG='' redis-benchmark -s "$socket" -q -n 30000 -c 20 -P 8 -r 10000 -d 100 \
        -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset > benchmark
    grep -c 'requests per second' benchmark
    ask flushall
    ask --pipe < "$commands" > piped
    grep errors piped
    ask debug digest
    ask dbsize
    ask bgsave
    for ((i = 0; i < 200; i++)); do
        if ask info persistence | grep '^rdb_bgsave_in_progress:0' > /dev/null; then
            break
        fi
        sleep 0.05
    done
    ask info persistence | grep '^rdb_last_bgsave_status'
    stop
    start
    ask debug digest
    stop
    rm -f dump.rdb server.log benchmark piped # these hold times
}
compare 9 redis-server
