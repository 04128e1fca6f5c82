"""paho-mqtt by order: one JSON command a line in, one JSON event a line out.

A process plays several clients; "as" names the one that a command or an event
is about. tests/mqtt5/stage.rs lists the commands and the events.
"""

import json
import socket
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

printing = threading.Lock()


def encoded(packet, values):
    """Properties from a command."""
    if not values:
        return None
    properties = Properties(packet)
    for name, value in values.items():
        if name == "userProperties":
            properties.UserProperty = [tuple(pair) for pair in value]
        elif name == "correlationData":
            properties.CorrelationData = value.encode()
        else:
            setattr(properties, name[0].upper() + name[1:], value)
    return properties


def decoded(properties):
    """Properties for an event."""
    values = {}
    for name, value in (properties.json() if properties else {}).items():
        if name == "UserProperty":
            values["userProperties"] = value
        elif name == "CorrelationData":
            values["correlationData"] = bytes.fromhex(value).decode()
        else:
            values[name[0].lower() + name[1:]] = value
    return values


class Player:
    def __init__(self, name):
        self.name, self.aliases, self.unacknowledged = name, {}, []

    def tell(self, got, **what):
        with printing:
            print(json.dumps({"as": self.name, "got": got, **what}), flush=True)

    def connect(self, order):
        version = order.get("version", 5)
        options = {"client_id": order.get("id", self.name), "protocol": version}
        if version < 5:
            options["clean_session"] = order.get("clean", True)
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            reconnect_on_failure=False,
            manual_ack=order.get("manual", False),
            **options,
        )
        client.max_inflight_messages_set(order.get("inflight", 20))
        client.on_connect = lambda c, u, flags, reason, properties: self.tell(
            "connack",
            present=flags.session_present,
            code=reason.value,
            properties=decoded(properties),
        )
        client.on_subscribe = lambda c, u, mid, reasons, properties: self.tell(
            "suback", codes=[reason.value for reason in reasons]
        )
        client.on_unsubscribe = lambda c, u, mid, reasons, properties: self.tell(
            "unsuback", codes=[reason.value for reason in reasons]
        )
        client.on_publish = self.on_publish
        client.on_message = self.on_message
        client.on_disconnect = self.on_disconnect
        if "username" in order:
            client.username_pw_set(order["username"], order.get("password"))
        if "will" in order:
            will = order["will"]
            properties = encoded(PacketTypes.WILLMESSAGE, will.get("properties"))
            client.will_set(
                will["topic"], will["payload"], will.get("qos", 0), will.get("retain", False), properties
            )
        how = {"keepalive": order.get("keepalive", 60)}
        if version == 5:
            how["clean_start"] = order.get("clean", True)
            how["properties"] = encoded(PacketTypes.CONNECT, order.get("properties"))
        client.connect("127.0.0.1", order["port"], **how)
        client.loop_start()

    def on_publish(self, client, userdata, mid, reason, properties):
        # Called for QoS 0 as well, which nobody acknowledges.
        if mid in client._out_messages:
            self.tell("published", code=reason.value, properties=decoded(properties))

    def on_message(self, client, userdata, message):
        properties = decoded(getattr(message, "properties", None))
        alias = properties.get("topicAlias")
        if alias and message.topic:
            self.aliases[alias] = message.topic
        if message.qos:
            self.unacknowledged.append(message)
        self.tell(
            "message",
            topic=message.topic or self.aliases[alias],
            sent=message.topic,
            payload=message.payload.decode(),
            qos=message.qos,
            retain=bool(message.retain),
            dup=bool(message.dup),
            properties=properties,
        )

    def on_disconnect(self, client, userdata, flags, reason, properties):
        if flags.is_disconnect_packet_from_server:
            self.tell("disconnect", code=reason.value, properties=decoded(properties))
        self.tell("closed")

    def subscribe(self, order):
        five = self.client._protocol == 5
        filters = [
            (
                one["filter"],
                SubscribeOptions(
                    one.get("qos", 0),
                    one.get("noLocal", False),
                    one.get("retainAsPublished", False),
                    one.get("retainHandling", 0),
                )
                if five
                else one.get("qos", 0),
            )
            for one in order["filters"]
        ]
        self.client.subscribe(
            filters, properties=encoded(PacketTypes.SUBSCRIBE, order.get("properties"))
        )

    def unsubscribe(self, order):
        self.client.unsubscribe(order["filters"])

    def publish(self, order):
        properties = encoded(PacketTypes.PUBLISH, order.get("properties"))
        qos = order.get("qos", 0)
        retain = order.get("retain", False)
        self.client.publish(order["topic"], order["payload"], qos, retain, properties)

    def acknowledge(self, order):
        message = self.unacknowledged.pop(0)
        self.client.ack(message.mid, message.qos)

    def disconnect(self, order):
        reason = ReasonCode(PacketTypes.DISCONNECT, identifier=order.get("code", 0))
        properties = encoded(PacketTypes.DISCONNECT, order.get("properties"))
        self.client.disconnect(reason, properties)

    def vanish(self, order):
        self.client.socket().shutdown(socket.SHUT_RDWR)


players = {}


def reset():
    for player in players.values():
        player.client.on_disconnect = None
        player.client.disconnect()
        player.client.loop_stop()
    players.clear()
    with printing:
        print('{"as": "", "got": "reset"}', flush=True)


for line in sys.stdin:
    order = json.loads(line)
    name = order["as"]
    if order["do"] == "reset":
        reset()
        continue
    if order["do"] == "connect":
        players[name] = Player(name)
    getattr(players[name], order["do"])(order)
