"""The real programs that serve others: how each is started, put to work and ended.

They listen on a socket in the folder of the measurement, so that nothing else can reach them. The
client is not on the allocator under test. What is measured is the server, from start to end.
"""

import os
import pwd
import random
import shutil
import socket
import subprocess
import time

START_SECONDS = 20


class NotServed(Exception):
    """A server has not started or not answered as it should."""


def connected(path):
    """A connection to a server that may still be starting."""
    end = time.monotonic() + START_SECONDS
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        try:
            connection.connect(path)
            return connection
        except OSError:
            connection.close()
            if time.monotonic() > end:
                raise NotServed(f"nobody listens at {path}") from None
            time.sleep(0.005)


# redis. The package redis-tools has the server under another name, which is the server when it is
# called so.

def redis_command(folder, _percent):
    server = shutil.which("redis-server")
    if not server:
        server = os.path.join(folder, "redis-server")
        if not os.path.exists(server):
            os.symlink(os.path.realpath(shutil.which("redis-check-rdb")), server)
    return [server, "--port", "0", "--unixsocket", os.path.join(folder, "redis"), "--save", "",
            "--appendonly", "no", "--dir", folder, "--logfile", os.path.join(folder, "redis.log")]


def redis_client(folder, percent):
    path = os.path.join(folder, "redis")
    with connected(path):
        pass

    def ask(*words):
        return subprocess.run(["redis-cli", "-s", path, *words], capture_output=True, text=True,
                              check=False).stdout
    try:
        for tests, value_bytes in (("set,get,incr,sadd,zadd", 100), ("set,lpush,hset,mset", 900),
                                   ("lrange_100", 900)):
            done = subprocess.run(
                ["redis-benchmark", "-s", path, "-q", "-c", "20", "-P", "16", "-r", "20000",
                 "-n", str((30 if tests == "lrange_100" else 300) * percent), "-t", tests,
                 "-d", str(value_bytes)],
                capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise NotServed(f"redis-benchmark: {done.stdout[-300:]}{done.stderr[-300:]}")
        # The keys are drawn anew each time; how many values were pushed is not.
        return ask("llen", "mylist").encode()
    finally:
        ask("shutdown", "nosave")


# memcached

def memcached_command(folder, _percent):
    return ["memcached", "-s", os.path.join(folder, "memcached"), "-t", "2", "-m", "128", "-A",
            "-u", pwd.getpwuid(os.getuid()).pw_name]


def memcached_requests(percent):
    """Many in one piece: values of 50 to 4,000 bytes under 40,000 keys."""
    dice = random.Random(8)
    filling = b"v" * 4000
    requests = []
    for _ in range(1200 * percent):
        key = b"key%d" % dice.randrange(40000)
        draw = dice.randrange(10)
        if draw < 4:
            size = 50 + dice.randrange(dice.choice((200, 200, 3950)))
            requests.append(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, size, filling[:size]))
        elif draw < 9:
            requests.append(b"get %s\r\n" % key)
        else:
            requests.append(b"delete %s noreply\r\n" % key)
    return requests


def knock(path):
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError:
            pass


def read_answers(connection, count):
    """Returns how many of so many gets found something. No value looks like an END."""
    found, tail = 0, b""
    while count > 0:
        data = connection.recv(1 << 18)
        if not data:
            raise NotServed("memcached has ended")
        text = tail + data
        tail = text[-5:]
        count -= text.count(b"END\r\n") - tail.count(b"END\r\n")
        found += text.count(b"VALUE ")
        if tail == b"END\r\n":
            count -= 1
            tail = b""
    return found


def memcached_client(folder, percent):
    requests = memcached_requests(percent)
    found = 0
    with connected(os.path.join(folder, "memcached")) as connection:
        try:
            # A few at a time, so that neither side waits for the other to read.
            for start in range(0, len(requests), 200):
                batch = requests[start:start + 200]
                connection.sendall(b"".join(batch))
                found += read_answers(connection, sum(r.startswith(b"get") for r in batch))
        finally:
            connection.sendall(b"shutdown\r\n")
            # Its main thread looks up once a second, or when somebody knocks.
            while connection.recv(1 << 18):
                pass
            knock(os.path.join(folder, "memcached"))
    return b"%d" % found
