"""Does a server that strangers ask for minutes keep its memory, and answer?"""

import argparse
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from load import watched
from serve_client import (
    BROKEN,
    KIND,
    PATH,
    Utterance,
    ask,
    connect,
    form,
    serving,
)
from timing import write_result

#: Clients that ask one request after another.
N_ASKING = 4
#: What they ask for, and how often.
KINDS = {"good": 6, "broken": 2, "huge": 1, "cancelled": 1}
#: What each may be answered with: files that are cut may still be read, and a
#: client that leaves sees no answer.
EXPECTED = {
    "good": (200, 503),
    "broken": (200, 400, 503),
    "huge": (413,),
    "cancelled": (BROKEN,),
}
#: Bytes of a huge file; the server takes 64 MiB.
HUGE = 65 * 2**20
#: Memory is looked at this often, s.
EVERY = 1.0
#: Of the time before which memory does not count: buffers are being filled.
WARM_UP = 1 / 3


def soak(options: argparse.Namespace, speech: Sequence[Utterance]) -> int:
    """Sends a mix of requests for some seconds, and watches the server.

    Returns
    -------
    int
        Exit status: 1 where an answer was not one that was expected.
    """
    output = options.output or "serve_soak.json"
    seen: Counter[tuple[str, int]] = Counter()
    memory: list[tuple[float, float]] = []
    with watched() as load, serving(options) as server:
        until = time.monotonic() + options.soak
        clients = [
            threading.Thread(
                target=_ask, args=(server.url, speech, until, i, seen)
            )
            for i in range(N_ASKING)
        ]
        for client in clients:
            client.start()
        started = time.monotonic()
        while time.monotonic() < until:
            now = time.monotonic() - started
            memory.append((now, resident(server.process.pid)))
            time.sleep(EVERY)
        for client in clients:
            client.join()
        is_alive = ask(server.url, speech[0], None, time.perf_counter())
    row = row_of(seen, memory) | {"alive": is_alive.status == 200}
    print(row)
    write_result(output, "Does its memory stay as it is?", [row], load)
    return int(bool(row["errors"]) or not row["alive"])


def row_of(
    seen: Counter[tuple[str, int]], memory: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """What was answered, and the memory: MiB, and its slope, MiB a minute.

    Example
    -------
    >>> row = row_of(Counter({("good", 200): 3}), [(0, 9), (60, 5), (120, 7)])
    >>> row["errors"], row["mib"], row["mib_a_minute"]
    (0, {'first': 5, 'last': 7, 'most': 9}, 2.0)
    """
    late = [(t, m) for t, m in memory if t >= WARM_UP * memory[-1][0]]
    slope, _ = statistics.linear_regression(*zip(*late))
    wrong = {k: n for k, n in seen.items() if k[1] not in EXPECTED[k[0]]}
    sizes = [m for _, m in memory]
    mib = {"first": late[0][1], "last": late[-1][1], "most": max(sizes)}
    return {
        "task": "soak",
        "input": f"{memory[-1][0]:.0f} s",
        "ms": dict.fromkeys(("min", "median", "max")),
        "answers": {
            f"{kind}, {status}": n for (kind, status), n in seen.items()
        },
        "errors": sum(wrong.values()),
        "mib": mib,
        "mib_a_minute": round(60 * slope, 3),
    }


def resident(pid: int) -> float:
    """Memory of a process that is not shared, and resident, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = next(x.split()[1] for x in lines if x.startswith("RssAnon"))
    return round(int(kib) / 1024, 1)


def _ask(
    url: str,
    speech: Sequence[Utterance],
    until: float,
    seed: int,
    seen: Counter[tuple[str, int]],
) -> None:
    """Asks one request after another."""
    rng = random.Random(seed)
    while time.monotonic() < until:
        (kind,) = rng.choices([*KINDS], [*KINDS.values()])
        utterance = rng.choice(speech)
        if kind == "cancelled":
            status = _leave(url, utterance, rng.uniform(0, 0.3))
        elif kind == "huge":
            status = _announce(url)
        else:
            if kind == "broken":
                content = utterance.content
                utterance = Utterance(
                    content[: rng.randrange(len(content))], ""
                )
            status = ask(url, utterance, None, time.perf_counter()).status
        seen[kind, status] += 1


def _leave(url: str, utterance: Utterance, seconds: float) -> int:
    """Asks, and does not wait for the answer."""
    connection = connect(url)
    connection.request("POST", PATH, form(utterance.content, None), KIND)
    time.sleep(seconds)
    connection.close()
    return BROKEN


def _announce(url: str) -> int:
    """Says that a huge file will come, in its headers."""
    connection = connect(url)
    try:
        connection.putrequest("POST", PATH)
        for name, value in {**KIND, "Content-Length": str(HUGE)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()
