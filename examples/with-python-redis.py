"""The Python side of with-python.ts on Redis: takes texts from one queue, and sends how many words they have to another.

python3 examples/with-python-redis.py redis://localhost:6379
"""
import sys

from millrace_redis import Queue

texts = Queue(sys.argv[1], "texts")
counted = Queue(sys.argv[1], "counted")


def count(job):
    # The result is stored before the text is acknowledged: a crash in between counts twice, but loses nothing.
    counted.send({"title": job.data["title"], "words": len(job.data["text"].split())})


texts.consume(count)
