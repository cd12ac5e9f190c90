"""A peer of the interop tests: pika does what it reads on its input, a JSON object a line, and answers on its output.

    {"id": 1, "do": "declareQueue", "queue": "q", "setting": {...}}  ->  {"id": 1, "ok": {...}} or {"id": 1, "error": "..."}

What comes from the server is told without an id: {"event": "delivery" | "cancelled" | "returned" | "blocked", ...}.
"""
import base64
import json
import queue
import ssl
import sys
import threading

import pika

PROPERTIES = {
    "contentType": "content_type",
    "contentEncoding": "content_encoding",
    "headers": "headers",
    "deliveryMode": "delivery_mode",
    "priority": "priority",
    "correlationId": "correlation_id",
    "replyTo": "reply_to",
    "expiration": "expiration",
    "messageId": "message_id",
    "timestamp": "timestamp",
    "type": "type",
    "userId": "user_id",
    "appId": "app_id",
}


def say(message):
    # Times and the like, which JSON has not, as text.
    sys.stdout.write(json.dumps(message, default=str) + "\n")
    sys.stdout.flush()


def properties_of(properties):
    found = {name: getattr(properties, attribute) for name, attribute in PROPERTIES.items()}
    return {name: value for name, value in found.items() if value is not None}


def incoming(method, properties, body):
    return {
        "exchange": method.exchange,
        "routingKey": method.routing_key,
        "properties": properties_of(properties),
        "body": base64.b64encode(body).decode(),
    }


class Peer:
    def __init__(self, url, ca_file):
        self.commands = queue.Queue()
        parameters = pika.URLParameters(url)
        if ca_file:
            context = ssl.create_default_context(cafile=ca_file)
            parameters.ssl_options = pika.SSLOptions(context, parameters.host)
        self.connection = pika.BlockingConnection(parameters)
        self.connection.add_on_connection_blocked_callback(
            lambda _, frame: say({"event": "blocked", "reason": frame.method.reason})
        )
        self.connection.add_on_connection_unblocked_callback(
            lambda _, frame: say({"event": "blocked", "reason": ""})
        )
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.channel.add_on_cancel_callback(
            lambda frame: say({"event": "cancelled", "tag": frame.method.consumer_tag})
        )

    def run(self):
        threading.Thread(target=self.read, daemon=True).start()
        while True:
            # Everything that pika does happens on this thread; the other one only reads.
            self.connection.process_data_events(time_limit=None)
            while not self.commands.empty():
                self.answer(self.commands.get())

    def read(self):
        for line in sys.stdin:
            self.commands.put(json.loads(line))
            self.connection.add_callback_threadsafe(lambda: None)

    def answer(self, command):
        try:
            say({"id": command["id"], "ok": getattr(self, command["do"])(command)})
        except pika.exceptions.AMQPError as error:
            say({"id": command["id"], "error": repr(error), "code": getattr(error, "reply_code", None)})

    def declareQueue(self, command):
        setting = command["setting"]
        ok = self.channel.queue_declare(
            command["queue"],
            passive=setting.get("passive", False),
            durable=setting.get("durable", False),
            exclusive=setting.get("exclusive", False),
            auto_delete=setting.get("autoDelete", False),
            arguments=setting.get("arguments"),
        ).method
        return {"queue": ok.queue, "messages": ok.message_count, "consumers": ok.consumer_count}

    def deleteQueue(self, command):
        self.channel.queue_delete(command["queue"])

    def declareExchange(self, command):
        self.channel.exchange_declare(
            command["exchange"], command["type"], durable=command["setting"].get("durable", False)
        )

    def bindQueue(self, command):
        self.channel.queue_bind(
            command["queue"], command["exchange"], command["routingKey"], arguments=command["arguments"]
        )

    def publish(self, command):
        given = command["properties"]
        properties = pika.BasicProperties(**{PROPERTIES[name]: value for name, value in given.items()})
        body = base64.b64decode(command["body"])
        try:
            self.channel.basic_publish(
                command["exchange"], command["routingKey"], body, properties, mandatory=command["mandatory"]
            )
        except pika.exceptions.UnroutableError as error:
            for message in error.messages:
                returned = incoming(message.method, message.properties, message.body)
                say({"event": "returned", "message": returned, "replyCode": message.method.reply_code})

    def get(self, command):
        method, properties, body = self.channel.basic_get(command["queue"])
        return None if method is None else self.delivered(method, properties, body)

    def consume(self, command):
        def deliver(_, method, properties, body):
            message = self.delivered(method, properties, body)
            say({"event": "delivery", "tag": method.consumer_tag, "message": message})

        self.channel.basic_qos(prefetch_count=command["prefetch"])
        return self.channel.basic_consume(
            command["queue"], deliver, auto_ack=command["noAck"], consumer_tag=command["tag"]
        )

    def delivered(self, method, properties, body):
        message = incoming(method, properties, body)
        return {**message, "redelivered": method.redelivered, "deliveryTag": method.delivery_tag}

    def cancel(self, command):
        self.channel.basic_cancel(command["tag"])

    def ack(self, command):
        self.channel.basic_ack(command["deliveryTag"])

    def reject(self, command):
        self.channel.basic_nack(command["deliveryTag"], requeue=command["requeue"])

    def close(self, command):
        self.connection.close()
        say({"id": command["id"], "ok": None})
        sys.exit()


try:
    peer = Peer(*sys.argv[1:])
except (pika.exceptions.AMQPError, OSError) as error:
    say({"event": "failed", "error": repr(error)})
    sys.exit(1)
say({"event": "open"})
peer.run()
