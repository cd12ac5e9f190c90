"""Millrace's queues on Redis from Python: docs/redis-protocol.md in one file, to be copied and changed.

    emails = Queue("redis://localhost:6379", "emails")
    emails.declare()
    emails.send({"to": "ada@example.com"}, delay_ms=5_000)
    emails.consume(lambda job: print(job.data, job.attempt))

It needs Redis 7 and redis-py 4.2 or later (`pip install redis`), and some Millrace program that connected to the server once:
that one loaded the functions. A Queue belongs to one thread.
"""
import itertools
import json
import threading
import time
import uuid
from collections import namedtuple
from urllib.parse import parse_qsl, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Job = namedtuple("Job", "id data attempt headers entry")
Record = namedtuple("Record", "published_ms expires_ms priority key envelope body")


class Dead(Exception):
    """A handler raises it for what should not be tried again."""


class Lost(Exception):
    """The lease ran out, and others have what we held."""


def backoff_ms(attempt):
    return min(1_000 * 2 ** (attempt - 1), 3_600_000)


class Queue:
    """One queue. `url` is Millrace's own, with its settings: redis://localhost?prefix=mq&lease=30000"""

    def __init__(self, url, name):
        settings = dict(parse_qsl(urlsplit(url).query))
        self.name = name
        self.prefix = settings.get("prefix", "mq")
        self.lease_ms = int(settings.get("lease", 30_000))
        # Of this object alone, for ever, and without a dot.
        self.driver = "py-" + uuid.uuid4().hex
        self.names = itertools.count(1)
        self.numbers = {}
        # What was on its way when a connection went is repeated below with `again`, not by redis-py.
        self.server = redis.Redis.from_url(url.split("?")[0], retry=Retry(NoBackoff(), 0))
        self.server.ping()

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(self, data, *, id=None, headers=None, priority=0, ttl_ms="", delay_ms=0, key="", dedupe=("", 0)):
        """The message's id, or that of the first one with the same dedupe key; and whether it is such a duplicate."""
        envelope = {"id": id or str(uuid.uuid4()), "contentType": "application/json", "headers": headers or {}}
        if priority > 0:
            envelope["priority"] = priority
        dedupe_key, window_ms = dedupe
        numbers = priority, ttl_ms, delay_ms, window_ms, len(key.encode()), len(dedupe_key.encode())
        options = " ".join(map(str, numbers)) + "\n" + key + dedupe_key + envelope["id"]
        verdict, *results = self._numbered("publish", self.driver, options, content_of(envelope, json.dumps(data).encode()))
        if verdict == b"missing":
            raise LookupError(f"there is no queue {self.name}: declare it")
        if verdict == b"out":
            self.bring_on()
        result = results[0] if results else b"s"
        if result == b"f":
            raise OverflowError(f"the queue {self.name} is full")
        return (result[1:].decode(), True) if result[:1] == b"d" else (envelope["id"], False)

    # --- consuming ---------------------------------------------------------------------------------------------------

    def consume(self, handle, *, prefetch=10, attempts=5, backoff=backoff_ms, stopped=lambda: False):
        """Hands each job to `handle`. Who returns is done; what is raised is tried again, up to `attempts` times in all."""
        while not stopped():
            try:
                self._consume(handle, prefetch, attempts, backoff, stopped)
            except Lost:
                continue  # under a new name

    def _consume(self, handle, prefetch, attempts, backoff, stopped):
        with self.server.pubsub(ignore_subscribe_messages=True) as wakes, Lease(self) as lease:
            wakes.subscribe(f"{self.prefix}:wake:{self.driver}")
            done, failed = [], []
            while True:
                credit = 0 if stopped() else prefetch
                words = [lease.consumer, self.lease_ms, credit, len(done), *done, *failed]
                verdict, *rest = self._numbered("work", lease.consumer, *words)
                if verdict == b"missing":
                    raise LookupError(f"there is no queue {self.name}: declare it")
                if verdict == b"lost":
                    raise Lost
                _, _, due_ms, out, *taken = rest
                if out == b"1":
                    self.bring_on()
                if credit == 0:
                    return
                done, failed = [], []
                for entry, used_up, record in zip(taken[::3], taken[1::3], taken[2::3]):
                    try:
                        handle(job_of(entry, used_up + 1, record))
                        done.append(entry)
                    except Dead as error:
                        failed += [entry, "dead", 0, "rejected", str(error)]
                    except Exception as error:
                        if used_up + 1 < attempts:
                            failed += [entry, "retry", backoff(used_up + 1), "", ""]
                        else:
                            failed += [entry, "dead", 0, "attempts", str(error)]
                if not taken:
                    self._sleep(wakes, due_ms)

    def _sleep(self, wakes, due_ms):
        """Until we are told that there is more, something is due, or it is time to renew the lease."""
        wait_ms = self.lease_ms / 3 if due_ms < 0 else min(due_ms, self.lease_ms / 3)
        try:
            wakes.get_message(timeout=wait_ms / 1_000)
        except redis.ConnectionError:
            time.sleep(0.1)

    # --- dead letters and moves --------------------------------------------------------------------------------------

    def bring_on(self):
        """What is to go to another queue waits until somebody brings it there; whoever dies on the way, it comes in once."""
        while True:
            verdict, *rest = self._numbered("fetch", f"{self.driver}.ferry", 100, 10_000)
            if verdict == b"missing" or len(rest) == 2:
                return
            born, until, *waiting = rest
            fates = []
            for id, transfer, record in zip(waiting[::3], waiting[1::3], waiting[2::3]):
                fate = self._bring(f"{self.name}/{born.decode()}/{id.decode()}", json.loads(transfer), record_of(record))
                if fate is not None:
                    fates += [id, fate]
            self._numbered("strike", f"{self.driver}.ferry", born, until, *fates)

    def _bring(self, name, transfer, record):
        envelope = dict(record.envelope)
        if transfer["type"] == "move":
            target = transfer["to"]
        elif transfer["reason"] == "rejected" and transfer["to"]["exchange"] == "":
            target = transfer["to"].get("routingKey", envelope.get("routingKey", self.name))
            envelope.pop("exchange", None)
            envelope["routingKey"] = target
            envelope["headers"] = {**envelope.get("headers", {}), **death_of(transfer, self.name)}
        else:
            # It has to be routed, or kept from going round for ever: some Millrace program will do it, in ten seconds' time.
            return None
        options = f"{record.priority}  0 0 {len(record.key)} 0\n".encode() + record.key
        expires_ms = record.expires_ms if transfer["type"] == "move" else 0
        words = name, options, content_of(envelope, record.body), record.published_ms, expires_ms, transfer["type"]
        is_stored = self.call("import", self._base_of(target), *words) == b"stored"
        if transfer["type"] == "move":
            return "moved" if is_stored else "back"
        return "deadLettered" if is_stored else "dropped"

    # --- declaring ---------------------------------------------------------------------------------------------------

    def declare(self):
        """As `mq.queue(name)` does without options: durable, its dead letters in 'NAME.dead'."""
        dead = f"{self.name}.dead"
        routes = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
        queues = [{"name": dead, "text": queue_text({})}, {"name": self.name, "text": queue_text(routes)}]
        topology = {"exchanges": [], "queues": queues, "bindings": []}
        verdict, *what = self.call("declare", f"{self.prefix}:topology", json.dumps(topology), f"py.{uuid.uuid4().hex}")
        if verdict != b"ok":
            raise ValueError(f"{verdict.decode()}: {b' '.join(what).decode()}")
        self.call("create", self._base_of(dead), "priorities", 0)
        fields = json.dumps({"exchange": "", "routingKey": dead})
        self.call("create", self.base, "priorities", 0, "deadLetter", fields)

    # --- calling -----------------------------------------------------------------------------------------------------

    @property
    def base(self):
        return self._base_of(self.name)

    def _base_of(self, queue):
        return self.prefix + ":{" + queue.replace("%", "%25").replace("{", "%7B").replace("}", "%7D") + "}"

    def _numbered(self, name, client, *words):
        number = next(self.numbers.setdefault(client, itertools.count(1)))
        return self._until_answered(lambda again: self.server.fcall(f"millrace_{name}", 1, self.base, client, number, again, *words))

    def call(self, name, key, *words):
        return self._until_answered(lambda _: self.server.fcall(f"millrace_{name}", 1, key, *words))

    @staticmethod
    def _until_answered(ask):
        again = "0"
        while True:
            try:
                return ask(again)
            except redis.AuthenticationError:
                raise
            except (redis.ConnectionError, redis.TimeoutError):
                again = "1"  # It may have been done: then the server says again what it said.
                time.sleep(0.1)


class Lease:
    """A consumer's name, kept alive by a thread of its own, so that a handler may take as long as it likes."""

    def __init__(self, queue):
        self.queue = queue
        self.consumer = f"{queue.driver}.{next(queue.names)}"
        self.ended = threading.Event()

    def __enter__(self):
        queue = self.queue
        verdict, *_ = queue.call("join", queue.base, self.consumer, queue.lease_ms, "0", queue.driver)
        if verdict != b"ok":
            raise PermissionError(f"{queue.name}: {verdict.decode()}")
        threading.Thread(target=self._renew, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.queue.numbers.pop(self.consumer, None)
        self.queue.call("leave", self.queue.base, self.consumer)

    def _renew(self):
        queue = self.queue
        while not self.ended.wait(queue.lease_ms / 3_000):
            if queue.call("extend", queue.base, self.consumer, queue.lease_ms) == 0:
                return  # Lost: `work` will be told so.


def content_of(envelope, body):
    return json.dumps(envelope).encode() + b"\n" + body


def record_of(text):
    head, rest = text.split(b"\n", 1)
    published_ms, expires_ms, priority, key_bytes = map(int, head.split(b" "))
    envelope, body = rest[key_bytes:].split(b"\n", 1)
    return Record(published_ms, expires_ms, priority, rest[:key_bytes], json.loads(envelope), body)


def job_of(entry, attempt, text):
    record = record_of(text)
    envelope = record.envelope
    return Job(envelope.get("id"), json.loads(record.body), attempt, envelope.get("headers", {}), entry)


def death_of(transfer, queue):
    """Why it died. Millrace's programs add the whole history, `x-death`, as RabbitMQ writes it."""
    headers = {"x-last-death-reason": transfer["reason"], "x-last-death-queue": queue}
    if "account" in transfer:
        headers["x-millrace-reason"] = transfer["account"]
        headers["x-millrace-attempts"] = transfer["attempts"] + 1
    if transfer.get("error"):
        headers["x-millrace-error"] = transfer["error"]
    return headers


def queue_text(arguments):
    """Two declarations are equal if their texts are, byte for byte."""
    text = {"durable": True, "autoDelete": False, "arguments": arguments}
    return json.dumps(text, separators=(",", ":"), ensure_ascii=False)
