// mqtt.js against a broker: node mqttjs_client.js PORT VERSION PREFIX [websockets | wss]
//
// VERSION is 3 (MQTT 3.1), 4 (3.1.1) or 5. All topics and client identifiers
// begin with PREFIX, so that several of these can share a broker. Ends with 0
// when everything was as it should be.
'use strict'

const assert = require('node:assert')
const mqtt = require('mqtt')

const [port, version, prefix] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]]
const scheme = { websockets: 'ws', wss: 'wss' }[process.argv[5]] ?? 'mqtt'
const LIMIT = 10_000 // for anything that should happen at once

class Peer {
  // A connected client that notes what it receives.
  static async connect (name, { keep = false, will } = {}) {
    const peer = new Peer()
    const options = {
      clientId: `${prefix}-${name}`,
      protocolVersion: version,
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      clean: !keep,
      reconnectPeriod: 0,
      connectTimeout: LIMIT
    }
    if (keep && version === 5) options.properties = { sessionExpiryInterval: 100 }
    if (will) options.will = { topic: `${prefix}/will`, payload: will, qos: 1, retain: false }
    peer.messages = []
    peer.arrived = () => {}
    // The listeners must be there before messages of a kept session come.
    peer.client = mqtt.connect(`${scheme}://localhost:${port}`, options)
    peer.client.on('message', (topic, payload, packet) => {
      peer.messages.push([topic, payload.toString(), packet.qos, packet.retain])
      peer.arrived()
    })
    peer.sessionPresent = await within(`CONNACK for ${name}`, new Promise((resolve, reject) => {
      peer.client.on('connect', connack => resolve(connack.sessionPresent))
      peer.client.on('error', reject)
    }))
    return peer
  }

  async subscribe (filter, qos) {
    const granted = await within('SUBACK', this.client.subscribeAsync(filter, { qos }))
    assert.deepStrictEqual(granted.map(one => one.qos), [qos])
  }

  publish (topic, payload, qos, retain = false) {
    return within('PUBACK', this.client.publishAsync(topic, payload, { qos, retain }))
  }

  async expect (topic, payload, qos, retain = false) {
    if (this.messages.length === 0) {
      await within(`message ${payload}`, new Promise(resolve => { this.arrived = resolve }))
    }
    assert.deepStrictEqual(this.messages.shift(), [topic, payload, qos, retain])
  }

  leave () {
    return within('the end', this.client.endAsync())
  }

  // Closes the connection without DISCONNECT.
  vanish () {
    this.client.stream.destroy()
  }
}

function within (what, promise) {
  let timer
  const limit = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what}`)), LIMIT)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

async function qualitiesBothWays () {
  const [receiver, sender] = [await Peer.connect('receiver'), await Peer.connect('sender')]
  const topic = `${prefix}/qos`
  for (const granted of [0, 1, 2]) {
    await receiver.subscribe(topic, granted)
    for (const sent of [0, 1, 2]) {
      await sender.publish(topic, `é ${granted} ${sent}`, sent)
      await receiver.expect(topic, `é ${granted} ${sent}`, Math.min(granted, sent))
    }
  }
  await receiver.leave()
  await sender.leave()
}

async function retainedMessages () {
  const topic = `${prefix}/retained`
  const sender = await Peer.connect('sender')
  await sender.publish(topic, 'kept', 1, true)
  const first = await Peer.connect('first')
  await first.subscribe(topic, 1)
  await first.expect(topic, 'kept', 1, true)
  await sender.publish(topic, '', 1, true)
  await first.expect(topic, '', 1)
  const second = await Peer.connect('second')
  await second.subscribe(topic, 1)
  await sender.publish(topic, 'live', 1)
  await second.expect(topic, 'live', 1)
  for (const peer of [sender, first, second]) await peer.leave()
}

async function theWill () {
  const heir = await Peer.connect('heir')
  await heir.subscribe(`${prefix}/will`, 1)
  const polite = await Peer.connect('polite', { will: 'not sent' })
  await polite.leave()
  const vanishing = await Peer.connect('vanishing', { will: 'gone' })
  vanishing.vanish()
  await heir.expect(`${prefix}/will`, 'gone', 1)
  await heir.leave()
}

async function persistentSession () {
  const topic = `${prefix}/session`
  let keeper = await Peer.connect('keeper', { keep: true })
  const sender = await Peer.connect('sender')
  assert(!keeper.sessionPresent)
  await keeper.subscribe(topic, 2)
  await keeper.leave()
  const numbers = [0, 1, 2, 3, 4, 5]
  const qos = number => number < 3 ? 1 : 2
  for (const number of numbers) await sender.publish(topic, `${number}`, qos(number))
  keeper = await Peer.connect('keeper', { keep: true })
  assert(keeper.sessionPresent || version === 3) // 3.1 cannot tell
  for (const number of numbers) await keeper.expect(topic, `${number}`, qos(number))
  await keeper.leave()
  const clean = await Peer.connect('keeper')
  assert(!clean.sessionPresent)
  await clean.leave()
  await sender.leave()
}

async function main () {
  await qualitiesBothWays()
  await retainedMessages()
  await theWill()
  await persistentSession()
}

main().then(() => {
  console.log('ok')
  process.exit(0)
}, error => {
  console.error(error)
  process.exit(1)
})
