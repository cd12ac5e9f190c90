"""The Python side of with-python.ts: takes texts from one queue, and sends how many words they have to another.

python3 examples/with-python.py amqp://guest:guest@localhost
"""
import json
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel = connection.channel()
channel.confirm_delivery()
channel.basic_qos(prefetch_count=10)


def count(channel, method, properties, body):
    text = json.loads(body)
    result = {"title": text["title"], "words": len(text["text"].split())}
    # The result is stored before the text is acknowledged: a crash in between counts twice, but loses nothing.
    channel.basic_publish(
        "",
        "counted",
        json.dumps(result).encode(),
        pika.BasicProperties(content_type="application/json", delivery_mode=2),
    )
    channel.basic_ack(method.delivery_tag)


channel.basic_consume("texts", count)
channel.start_consuming()
