// mqtt.js by order: one JSON command a line in, one JSON event a line out.
//
// A process plays several clients; "as" names the one that a command or an
// event is about. tests/mqtt5/stage.rs lists the commands and the events.
'use strict'

const mqtt = require('mqtt')
const readline = require('node:readline')

// Properties that mqtt.js has as true and false.
const FLAGS = ['payloadFormatIndicator', 'requestProblemInformation', 'requestResponseInformation']

// Properties from a command.
function encoded (values) {
  if (!values) return undefined
  const properties = { ...values }
  for (const name of FLAGS) {
    if (name in properties) properties[name] = properties[name] === 1
  }
  if (properties.correlationData) properties.correlationData = Buffer.from(properties.correlationData)
  if (properties.userProperties) {
    const grouped = {}
    for (const [key, value] of properties.userProperties) (grouped[key] ??= []).push(value)
    properties.userProperties = grouped
  }
  return properties
}

// Properties for an event.
function decoded (properties = {}) {
  const values = {}
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === 'boolean') values[name] = Number(value)
    else if (name === 'correlationData') values[name] = value.toString()
    else if (name === 'subscriptionIdentifier') values[name] = [value].flat()
    else if (name === 'userProperties') {
      values[name] = Object.entries(value).flatMap(([key, all]) => [all].flat().map(one => [key, one]))
    } else values[name] = value
  }
  return values
}

class Player {
  constructor (name) {
    this.name = name
    this.aliases = new Map()
  }

  tell (got, what = {}) {
    console.log(JSON.stringify({ as: this.name, got, ...what }))
  }

  connect (order) {
    const version = order.version ?? 5
    this.client = mqtt.connect({
      host: '127.0.0.1',
      port: order.port,
      clientId: order.id ?? this.name,
      protocolVersion: version,
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      clean: order.clean ?? true,
      keepalive: order.keepalive ?? 60,
      reconnectPeriod: 0,
      resubscribe: false,
      username: order.username,
      password: order.password,
      properties: encoded(order.properties),
      will: order.will && { qos: 0, retain: false, ...order.will, properties: encoded(order.will.properties) }
    })
    this.client.on('packetreceive', packet => this.received(packet))
    this.client.on('close', () => this.tell('closed'))
    this.client.on('error', () => {}) // what the broker said is told already
  }

  received (packet) {
    const properties = decoded(packet.properties)
    const code = packet.reasonCode ?? packet.returnCode ?? 0
    switch (packet.cmd) {
      case 'connack':
        return this.tell('connack', { present: packet.sessionPresent, code, properties })
      case 'suback':
        return this.tell('suback', { codes: packet.granted })
      case 'unsuback':
        return this.tell('unsuback', { codes: packet.granted ?? [] })
      case 'puback':
      case 'pubcomp':
        return this.tell('published', { code, properties })
      case 'pubrec':
        return code >= 0x80 && this.tell('published', { code, properties })
      case 'disconnect':
        return this.tell('disconnect', { code, properties })
      case 'publish':
        return this.message(packet, properties)
    }
  }

  message (packet, properties) {
    const alias = properties.topicAlias
    if (alias && packet.topic) this.aliases.set(alias, packet.topic)
    const { topic, qos, retain, dup } = packet
    const payload = packet.payload.toString()
    const meant = topic || this.aliases.get(alias)
    this.tell('message', { topic: meant, sent: topic, payload, qos, retain, dup, properties })
  }

  subscribe (order) {
    const filters = {}
    for (const one of order.filters) {
      const [nl, rap] = [one.noLocal ?? false, one.retainAsPublished ?? false]
      filters[one.filter] = { qos: one.qos ?? 0, nl, rap, rh: one.retainHandling ?? 0 }
    }
    this.client.subscribe(filters, { properties: encoded(order.properties) }, () => {})
  }

  unsubscribe (order) {
    this.client.unsubscribe(order.filters, () => {})
  }

  publish (order) {
    const { topic, payload, qos = 0, retain = false } = order
    this.client.publish(topic, payload, { qos, retain, properties: encoded(order.properties) }, () => {})
  }

  disconnect (order) {
    this.client.end(false, { reasonCode: order.code ?? 0, properties: encoded(order.properties) })
  }

  vanish () {
    this.client.stream.destroy()
  }
}

const players = new Map()

function reset () {
  for (const { client } of players.values()) {
    client.removeAllListeners('close')
    client.stream.destroy()
  }
  players.clear()
  console.log('{"as": "", "got": "reset"}')
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const order = JSON.parse(line)
  if (order.do === 'reset') return reset()
  if (order.do === 'connect') players.set(order.as, new Player(order.as))
  players.get(order.as)[order.do](order)
}).on('close', () => process.exit(0))
