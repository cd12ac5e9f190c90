"""A Celery application: the worker when it is started by celery, the caller when it is run by itself.

python3 celery_app.py URL  ->  starts a worker, calls tasks, says what came back as JSON
"""
import json
import os
import subprocess
import sys

from celery import Celery, chain, group

app = Celery("celery_app", broker=os.environ.get("BROKER_URL", "") or sys.argv[-1], backend="rpc://")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_default_queue="celery-interop",
    broker_connection_retry_on_startup=True,
    result_expires=60,
)


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return self.request.retries


@app.task
def broken():
    raise ValueError("as it should be")


def main(url):
    # It warns of root, and shows its banner.
    environment = {**os.environ, "BROKER_URL": url, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "celery_app", "worker"]
    command += ["--pool=solo", "--loglevel=critical"]
    folder = os.path.dirname(os.path.abspath(__file__))
    worker = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        outcome = {
            "add": add.delay(2, 3).get(timeout=60),
            "chain": chain(add.s(1, 2), add.s(4))().get(timeout=60),
            "group": group(add.s(n, n) for n in range(5))().get(timeout=60),
            "flaky": flaky.delay().get(timeout=60),
            "later": add.apply_async((1, 1), countdown=0.3).get(timeout=60),
            "broken": repr(broken.delay().get(timeout=60, propagate=False)),
            "ping": list(app.control.ping(timeout=60, limit=1)[0].values()),
        }
        print(json.dumps(outcome))
    finally:
        worker.terminate()
        worker.wait(timeout=60)


if __name__ == "__main__":
    main(sys.argv[1])
