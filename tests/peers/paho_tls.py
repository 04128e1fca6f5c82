"""paho-mqtt with a client certificate: paho_tls.py PORT CAFILE CERT KEY

Ends with 0 when a message came back, else with an exception.
"""

import queue
import sys

import paho.mqtt.client as mqtt

PORT, CAFILE, CERT, KEY = int(sys.argv[1]), *sys.argv[2:]
LIMIT = 10  # seconds for anything that should happen at once

granted, messages = queue.Queue(), queue.Queue()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.tls_set(CAFILE, CERT, KEY)
client.on_connect = lambda c, u, flags, reason, p: c.subscribe("t", 2)
client.on_subscribe = lambda c, u, mid, reasons, p: granted.put(reasons)
client.on_message = lambda c, u, message: messages.put(message)
client.connect("localhost", PORT)
client.loop_start()
granted.get(timeout=LIMIT)
for size in (1, 100, 100_000):
    client.publish("t", b"x" * size, 2)
    assert len(messages.get(timeout=LIMIT).payload) == size
client.disconnect()
client.loop_stop()
print("ok")
