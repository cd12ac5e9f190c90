"""pika's asynchronous way: publishes COUNT messages without waiting, and says which confirms came.

python3 async_confirms.py URL QUEUE COUNT  ->  {"acked": 200, "nacked": 0, "frames": 3}
"""
import json
import sys

import pika

url, queue, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
tally = {"acked": 0, "nacked": 0, "frames": 0}


class Publisher:
    def __init__(self):
        self.unconfirmed = set()
        self.connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )

    def opened(self, channel):
        channel.confirm_delivery(self.confirmed, callback=lambda _: self.publish(channel))

    def publish(self, channel):
        for number in range(1, count + 1):
            self.unconfirmed.add(number)
            channel.basic_publish("", queue, str(number).encode(), pika.BasicProperties(delivery_mode=2))

    def confirmed(self, frame):
        method = frame.method
        covered = {tag for tag in self.unconfirmed if tag <= method.delivery_tag} if method.multiple else {method.delivery_tag}
        assert covered <= self.unconfirmed, "confirmed twice"
        self.unconfirmed -= covered
        tally["acked" if isinstance(method, pika.spec.Basic.Ack) else "nacked"] += len(covered)
        tally["frames"] += 1
        if not self.unconfirmed:
            self.connection.close()


Publisher().connection.ioloop.start()
print(json.dumps(tally))
