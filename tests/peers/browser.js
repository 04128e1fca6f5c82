// A page in a real browser: node browser.js CHROMIUM PROFILE PORT LIBRARY
//
// LIBRARY is `paho` or `mqttjs`; its page, loaded from here as a course's page
// is from a web server, connects to PORT by WebSocket and plays what page.html
// says. Prints the page's origin, waits for a line on standard input, opens the
// page and prints what it reports. PROFILE is a directory for the browser's files.
'use strict'

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const readline = require('node:readline')

const [chromium, profile, port, library] = process.argv.slice(2)
const LIBRARIES = {
  paho: 'node_modules/paho-mqtt/paho-mqtt.js',
  mqttjs: 'node_modules/mqtt/dist/mqtt.min.js'
}
const FILES = { '/page.html': 'page.html', '/library.js': LIBRARIES[library] }
let browser

function finish (text) {
  console.log(text)
  browser.removeAllListeners('exit')
  browser.once('exit', () => process.exit())
  browser.kill()
}

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost')
  if (request.method === 'POST') {
    let text = ''
    request.setEncoding('utf8')
    request.on('data', piece => { text += piece })
    request.on('end', () => {
      response.end()
      if (pathname === '/log') console.error(text)
      else finish(text)
    })
  } else if (FILES[pathname]) {
    const type = pathname.endsWith('.js') ? 'text/javascript' : 'text/html'
    response.setHeader('Content-Type', `${type}; charset=utf-8`)
    fs.createReadStream(path.join(__dirname, FILES[pathname])).pipe(response)
  } else {
    response.statusCode = 404
    response.end()
  }
})

server.listen(0, '127.0.0.1', () => {
  const origin = `http://127.0.0.1:${server.address().port}`
  console.log(origin)
  readline.createInterface({ input: process.stdin }).once('line', () => {
    open(`${origin}/page.html?port=${port}&library=${library}`)
  })
})

function open (page) {
  const args = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--disable-extensions', '--no-proxy-server', '--log-level=3', `--user-data-dir=${profile}`,
    // The browser ends with the pipes to it, however this process ends.
    '--remote-debugging-pipe', page
  ]
  const stdio = ['ignore', 'ignore', 'inherit', 'pipe', 'pipe']
  browser = spawn(chromium, args, { stdio, env: { ...process.env, HOME: profile } })
  browser.once('exit', () => process.exit(1))
  browser.stdio[4].resume()
}
