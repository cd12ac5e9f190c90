"""kombu on both ends: what its queues and producers do most. Says "ok" at the end.

python3 kombu_round.py URL
"""
import socket
import sys

from kombu import Connection, Consumer, Exchange, Queue
from kombu.pools import producers
from kombu.simple import SimpleQueue

url = sys.argv[1]
exchange = Exchange("media", "topic", durable=True)
videos = Queue("videos", exchange, routing_key="video.#", durable=True, max_priority=5)
everything = Queue("everything", exchange, routing_key="#", expires=60.0, message_ttl=60.0)

with Connection(url, heartbeat=4) as connection:
    got = []

    def take(body, message):
        got.append((message.delivery_info["routing_key"], body, message.headers))
        message.ack()

    # A producer of a pool, with confirms, declares what it needs.
    with Connection(url, transport_options={"confirm_publish": True}) as sending:
        with producers[sending].acquire(block=True) as producer:
            for key in ["video.mp4", "audio.mp3", "video.webm.small"]:
                producer.publish(
                    {"name": key, "size": 1 << 40, "ratio": 1.5, "tags": ["a", None]},
                    exchange=exchange,
                    routing_key=key,
                    declare=[videos, everything],
                    serializer="json",
                    compression="zlib",
                    headers={"origin": "kombu", "hops": 1},
                    priority=3,
                    retry=True,
                )

    with Consumer(connection, [videos], callbacks=[take], prefetch_count=10):
        while len(got) < 2:
            connection.drain_events(timeout=60)
    expected = {"name": "video.mp4", "size": 1 << 40, "ratio": 1.5, "tags": ["a", None]}
    assert got[0][0] == "video.mp4" and got[0][1] == expected, got
    assert got[0][2]["origin"] == "kombu" and got[0][2]["hops"] == 1, got
    assert got[1][0] == "video.webm.small", got

    channel = connection.channel()
    assert everything(channel).queue_declare(passive=True).message_count == 3
    assert everything(channel).purge() == 3
    assert everything(channel).get() is None
    videos(channel).delete()
    everything(channel).delete()
    exchange(channel).delete()

    simple = SimpleQueue(connection, "simple")
    simple.put({"hello": "world"}, serializer="pickle")
    simple.consumer.accept = {"application/x-python-serialize"}
    message = simple.get(block=True, timeout=60)
    assert message.payload == {"hello": "world"}
    message.reject()
    simple.close()
    Queue("simple", channel=channel).delete()

    # An idle connection is alive after its heartbeats.
    connection.heartbeat_check()
    try:
        connection.drain_events(timeout=0.1)
    except socket.timeout:
        pass

print("ok")
