#!/bin/bash
# Installs the programs that the tests run beside ours: Mosquitto and its
# clients, paho-mqtt for Python, mqtt.js for Node, Chromium for pages with
# mqtt.js and Paho's JavaScript client, the SOCKS5 proxy microsocks. Node and
# Python themselves must be there. Debian and its descendants only.
set -euo pipefail
cd "$(dirname "$0")/peers"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

if ! { command -v mosquitto_pub && { command -v mosquitto || test -x /usr/sbin/mosquitto; }; } >/dev/null; then
    # The package starts a broker on port 1883, where nobody asked for one.
    already_running=$(pgrep -x mosquitto || true)
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y mosquitto mosquitto-clients
    if [ -z "$already_running" ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --now mosquitto
    elif [ -z "$already_running" ] && [ -x /etc/init.d/mosquitto ]; then
        as_root /etc/init.d/mosquitto stop || true
    fi
fi

missing=()
for program in chromium microsocks openssl; do
    command -v "$program" >/dev/null || missing+=("$program")
done
# For a build with `--features psk`.
command -v pkg-config >/dev/null || missing+=(pkg-config)
pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
if [ "${#missing[@]}" -gt 0 ]; then
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
fi

# Where Python is the distribution's, pip wants to be told that we mean it.
pip_install() {
    python3 -m pip install "$@" || python3 -m pip install --break-system-packages "$@"
}
pip_install --requirement requirements.txt

npm ci --no-fund --no-audit

# For systemd-analyze; nothing is started.
command -v systemd-analyze >/dev/null || as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y systemd

PATH="$PATH:/usr/sbin" mosquitto -h | head -n 1 || true
python3 -c 'import paho.mqtt as paho; print("paho-mqtt", paho.__version__)'
node -p '"mqtt.js " + require("mqtt/package.json").version'
node -p '"Paho JavaScript " + require("paho-mqtt/package.json").version'
chromium --version --no-sandbox 2>/dev/null
