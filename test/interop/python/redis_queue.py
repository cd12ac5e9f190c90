"""One queue of examples/millrace_redis.py, as a program for the tests.

redis_queue.py URL QUEUE declare     as Millrace does without options
redis_queue.py URL QUEUE send        each line of the standard input is the arguments of a send; prints what it returns
redis_queue.py URL QUEUE consume     prints each job as it begins, does what its data says, and ends with SIGTERM
"""
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "examples"))

from millrace_redis import Dead, Queue  # noqa: E402


def tell(what):
    print(json.dumps(what), flush=True)


def work(job):
    tell({"id": job.id, "data": job.data, "attempt": job.attempt, "headers": job.headers})
    task = job.data if isinstance(job.data, dict) else {}
    if task.get("do") == "fail":
        raise RuntimeError("no luck")
    if task.get("do") == "bury":
        raise Dead("no use")
    time.sleep(task.get("seconds", 0))
    tell({"ended": job.id})


url, name, verb = sys.argv[1:]
queue = Queue(url, name)
if verb == "declare":
    queue.declare()
elif verb == "send":
    for line in sys.stdin:
        arguments = json.loads(line)
        tell(queue.send(arguments.pop("data"), **arguments))
else:
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    tell("ready")
    queue.consume(work, prefetch=1, attempts=3, backoff=lambda attempt: 50, stopped=lambda: bool(stopping))
