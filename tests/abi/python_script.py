"""What abi.python does. The output depends on nothing but this text."""

import collections
import concurrent.futures
import hashlib
import json
import os
import random
import re
import sqlite3
import threading
import zlib


def digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def big_lists():
    numbers = list(range(1_500_000))
    texts = [str(number) for number in numbers[::3]]
    numbers.reverse()
    del numbers[::2]
    numbers.extend(len(text) for text in texts)
    return digest(sum(numbers)), len(texts), digest("".join(texts))


def churn(seed):
    """Builds and drops structures of all sizes; the result depends on the seed alone."""
    source = random.Random(seed)
    kept = collections.OrderedDict()
    for step in range(12_000):
        key = source.randrange(2_000)
        kept[key] = (bytes(source.randrange(3_000)), [step] * source.randrange(40), {step: key})
        if len(kept) > 900:
            kept.popitem(last=False)
    return digest([(key, len(value[0]), value[1][:1]) for key, value in kept.items()])


def threads():
    """Threads that allocate while others end, and objects freed by another than made them."""
    handed_over = collections.deque()
    results = {}

    def make(seed):
        handed_over.append([object() for _ in range(20_000)])
        results[seed] = churn(seed)

    for round_index in range(3):
        workers = [threading.Thread(target=make, args=(round_index * 10 + i,)) for i in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        handed_over.clear()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        pooled = list(pool.map(churn, range(100, 108)))
    return digest(sorted(results.items())), digest(pooled)


def children():
    """Forks while other threads allocate; each child allocates and reports by a pipe."""
    stop = threading.Event()

    def noise():
        while not stop.is_set():
            bytearray(50_000), [0] * 1_000

    noisy = [threading.Thread(target=noise) for _ in range(3)]
    for thread in noisy:
        thread.start()
    answers = []
    for seed in range(12):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, churn(seed).encode())
            os._exit(0)
        os.close(writer)
        answers.append(os.read(reader, 100).decode())
        os.close(reader)
        assert os.wait()[1] == 0
    stop.set()
    for thread in noisy:
        thread.join()
    return digest(answers)


def extensions():
    tree = {f"key {i}": {"list": list(range(i % 50)), "text": "x" * i} for i in range(1_500)}
    text = json.dumps(tree, sort_keys=True)
    assert json.loads(text) == tree
    packed = zlib.compress(text.encode(), 6)
    assert zlib.decompress(packed).decode() == text
    words = re.findall(r"key (\d*[13579])", text)
    base = sqlite3.connect(":memory:")
    base.execute("create table t(a integer primary key, b text)")
    base.executemany("insert into t(b) values (?)", ((word * 5,) for word in words))
    total = base.execute("select sum(length(b)), count(*) from t where b like '%7%'").fetchone()
    return digest(text), len(words), total


for part in (big_lists, threads, children, extensions):
    print(part.__name__, part())
