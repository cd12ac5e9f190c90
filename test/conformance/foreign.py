"""A program that knows nothing of Millrace: publishes one message, or takes one and prints its body. pika is RabbitMQ's own.

foreign.py URL publish QUEUE BODY | foreign.py URL consume QUEUE
"""
import sys
import time

import pika

PATIENCE_SECONDS = 10


def main(url, verb, queue, body=""):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    if verb == "publish":
        channel.basic_publish("", queue, body.encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)
    else:
        print(take(channel, queue))
    connection.close()


def take(channel, queue):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        method, _, body = channel.basic_get(queue)
        if method is not None:
            channel.basic_ack(method.delivery_tag)
            return body.decode()
        time.sleep(0.01)
    raise SystemExit(f"nothing came in {PATIENCE_SECONDS} seconds")


main(*sys.argv[1:])
