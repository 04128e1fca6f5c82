"""paho-mqtt against a broker: paho_client.py PORT VERSION PREFIX [websockets]

VERSION is 3 (MQTT 3.1), 4 (3.1.1) or 5. All topics and client identifiers
begin with PREFIX, so that several of these can share a broker. Ends with 0
when everything was as it should be, else with an exception.
"""

import os
import queue
import socket
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, VERSION, PREFIX = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
TRANSPORT = sys.argv[4] if len(sys.argv) > 4 else "tcp"
LIMIT = 10  # seconds for anything that should happen at once


class Peer:
    """A connected client that notes what happens to it."""

    def __init__(self, name, keep=False, will=None):
        self.connected, self.granted, self.messages = (queue.Queue() for _ in range(3))
        options = {"client_id": f"{PREFIX}-{name}", "protocol": VERSION, "transport": TRANSPORT}
        if VERSION < 5:
            options["clean_session"] = not keep
        self.client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **options)
        client.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags, reason))
        client.on_subscribe = lambda c, u, mid, reasons, p: self.granted.put(reasons)
        client.on_message = lambda c, u, message: self.messages.put(message)
        if will:
            client.will_set(f"{PREFIX}/will", will, qos=1)
        how = {}
        if VERSION == 5:
            how["clean_start"] = not keep
            if keep:
                how["properties"] = Properties(PacketTypes.CONNECT)
                how["properties"].SessionExpiryInterval = 100
        client.connect("localhost", PORT, **how)
        client.loop_start()
        flags, reason = self.connected.get(timeout=LIMIT)
        assert not reason.is_failure, reason
        self.session_present = flags.session_present

    def subscribe(self, filter, qos):
        self.client.subscribe(filter, qos)
        reasons = self.granted.get(timeout=LIMIT)
        assert [reason.value for reason in reasons] == [qos], reasons

    def publish(self, topic, payload, qos, retain=False):
        info = self.client.publish(topic, payload, qos, retain)
        info.wait_for_publish(LIMIT)
        assert info.is_published()

    def expect(self, topic, payload, qos, retain=False):
        message = self.messages.get(timeout=LIMIT)
        got = (message.topic, message.payload.decode(), message.qos, bool(message.retain))
        assert got == (topic, payload, qos, retain), got

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        """Closes the connection without DISCONNECT."""
        # With WebSocket, paho's own object has no shutdown.
        descriptor = os.dup(self.client.socket().fileno())
        self.client.loop_stop()  # or it would connect again
        with socket.socket(fileno=descriptor) as connection:
            connection.shutdown(socket.SHUT_RDWR)


def qualities_both_ways():
    receiver, sender = Peer("receiver"), Peer("sender")
    for granted in range(3):
        receiver.subscribe(f"{PREFIX}/qos", granted)
        for sent in range(3):
            sender.publish(f"{PREFIX}/qos", f"é {granted} {sent}", sent)
            receiver.expect(f"{PREFIX}/qos", f"é {granted} {sent}", min(granted, sent))
    receiver.leave()
    sender.leave()


def retained_messages():
    topic = f"{PREFIX}/retained"
    sender = Peer("sender")
    sender.publish(topic, "kept", 1, retain=True)
    first = Peer("first")
    first.subscribe(topic, 1)
    first.expect(topic, "kept", 1, retain=True)
    sender.publish(topic, "", 1, retain=True)
    first.expect(topic, "", 1)
    second = Peer("second")
    second.subscribe(topic, 1)
    sender.publish(topic, "live", 1)
    second.expect(topic, "live", 1)
    for peer in (sender, first, second):
        peer.leave()


def the_will():
    heir = Peer("heir")
    heir.subscribe(f"{PREFIX}/will", 1)
    Peer("polite", will="not sent").leave()
    Peer("vanishing", will="gone").vanish()
    heir.expect(f"{PREFIX}/will", "gone", 1)
    heir.leave()


def persistent_session():
    topic = f"{PREFIX}/session"
    keeper, sender = Peer("keeper", keep=True), Peer("sender")
    assert not keeper.session_present
    keeper.subscribe(topic, 2)
    keeper.leave()
    for number in range(6):
        sender.publish(topic, str(number), 1 + number // 3)
    keeper = Peer("keeper", keep=True)
    assert keeper.session_present or VERSION == 3  # 3.1 cannot tell
    for number in range(6):
        keeper.expect(topic, str(number), 1 + number // 3)
    keeper.leave()
    clean = Peer("keeper")
    assert not clean.session_present
    clean.leave()
    sender.leave()


qualities_both_ways()
retained_messages()
the_will()
persistent_session()
print("ok")
