complete -c mqtt-pub -s t -l topic -d 'The topic to publish to' -r
complete -c mqtt-pub -s m -l message -d 'The message' -r
complete -c mqtt-pub -s f -l file -d 'The message is the content of this file' -r -F
complete -c mqtt-pub -s q -l qos -d 'The quality of service of the messages: 0, 1 or 2 [default: 0]' -r
complete -c mqtt-pub -l repeat -d 'Send the message so many times (with -m, -f, -n or -s)' -r
complete -c mqtt-pub -l repeat-delay -d 'With --repeat: seconds to wait after each message' -r
complete -c mqtt-pub -s M -d 'The most messages of QoS 1 and 2 that may be unacknowledged, where the broker takes so many [default: 100 at QoS 1, 20 at QoS 2]' -r
complete -c mqtt-pub -l encode -d 'Send the message in this form; what becomes json, cbor or msgpack is written as JSON' -r -f -a "json\t''
hex\t''
base64\t''
cbor\t''
msgpack\t''"
complete -c mqtt-pub -l retry -d 'Go on for so many seconds where the broker can\'t be reached or the connection is lost; without a number, for ever' -r
complete -c mqtt-pub -s h -l host -d 'The broker\'s host name or address [default: localhost]' -r -f -a "(__fish_print_hostnames)"
complete -c mqtt-pub -s p -l port -d 'The broker\'s port [default: 1883, with TLS 8883]' -r
complete -c mqtt-pub -l unix -d 'Connect to a Unix domain socket instead' -r -F
complete -c mqtt-pub -s L -l url -d 'User, password, host, port and topic at once: mqtt(s)://[user[:password]@]host[:port]/topic, or ws(s)://… for WebSocket; beside -t, what follows the host of the latter is the path' -r -f
complete -c mqtt-pub -s A -d 'The local address to connect from' -r
complete -c mqtt-pub -l ws-path -d 'The path that is asked for, with --ws or a URL ws(s)://… [default: /mqtt]' -r
complete -c mqtt-pub -l proxy -d 'Connect through a SOCKS5 proxy: socks5h://[user[:password]@]host[:port], or socks5://… to look up the broker\'s name here' -r -f
complete -c mqtt-pub -s u -l username -d 'The user name' -r -f -a "(__fish_complete_users)"
complete -c mqtt-pub -s P -l pw -d 'The password; anyone on this machine can see it while the program runs' -r
complete -c mqtt-pub -l password-file -d 'The password is the first line of this file' -r -F
complete -c mqtt-pub -s V -l protocol-version -d 'The version of MQTT: 31, 311 or 5, also as mqttv31, mqttv311 or mqttv5 [default: 311; mqtt-rr: 5]' -r
complete -c mqtt-pub -s k -l keepalive -d 'Seconds of silence after which the client asks if the broker is there: 5 to 65535 [default: 60]' -r
complete -c mqtt-pub -l cafile -d 'Use TLS, and trust the CAs whose certificates are in this file' -r -F
complete -c mqtt-pub -l capath -d 'Use TLS, and trust the CAs whose certificates are in this directory' -r -f -a "(__fish_complete_directories)"
complete -c mqtt-pub -l cert -d 'The client\'s own certificate, where the broker wants one' -r -F
complete -c mqtt-pub -l key -d 'Its private key' -r -F
complete -c mqtt-pub -l keyform -d 'Where the key is: pem, in a file [default: pem]' -r
complete -c mqtt-pub -l ciphers -d 'The cipher suites, in OpenSSL\'s language [default: all that are safe]' -r
complete -c mqtt-pub -l tls-version -d 'The lowest version of TLS: tlsv1.2 or tlsv1.3 [default: tlsv1.2]' -r
complete -c mqtt-pub -l tls-alpn -d 'Ask for this protocol (ALPN) where a port serves several' -r
complete -c mqtt-pub -l tls-keylog -d 'Append the secrets of the connection to this file, with which Wireshark can read it' -r -F
complete -c mqtt-pub -l psk -d 'Use TLS by this pre-shared key, in hexadecimal digits; with --psk-identity, and without certificates' -r
complete -c mqtt-pub -l psk-identity -d 'The name by which the broker knows the pre-shared key' -r
complete -c mqtt-pub -s i -l id -d 'The client identifier [default: the broker chooses]' -r
complete -c mqtt-pub -s I -l id-prefix -d 'A client identifier of this prefix and the process id' -r
complete -c mqtt-pub -s x -d 'Seconds for which the broker keeps the session, or -1 for ever (MQTT 5)' -r
complete -c mqtt-pub -l will-topic -d 'The topic of a message that the broker publishes when this client is lost' -r
complete -c mqtt-pub -l will-payload -d 'The payload of that message [default: empty]' -r
complete -c mqtt-pub -l will-qos -d 'Its quality of service [default: 0]' -r
complete -c mqtt-pub -s D -l property -d 'Add an MQTT 5 property to a packet (connect, publish, subscribe, unsubscribe, disconnect, will), as in -D publish content-type text/plain or -D connect user-property NAME VALUE. Means -V 5' -r
complete -c mqtt-pub -s o -d 'Read options from this file, one a line, instead of the usual ones' -r -F
complete -c mqtt-pub -l tls-engine -r
complete -c mqtt-pub -l tls-engine-kpass-sha1 -r
complete -c mqtt-pub -s s -l stdin-file -d 'The message is all of standard input'
complete -c mqtt-pub -s n -l null-message -d 'An empty message'
complete -c mqtt-pub -s l -l stdin-line -d 'Each line of standard input is a message'
complete -c mqtt-pub -s r -l retain -d 'The broker keeps the message for later subscribers'
complete -c mqtt-pub -s S -d 'Find broker and port by the SRV records _mqtt._tcp.HOST, with TLS _secure-mqtt._tcp.HOST; without -h, in the local domain'
complete -c mqtt-pub -l ws -d 'Speak MQTT over WebSocket'
complete -c mqtt-pub -l ask-password -d 'Ask for the password on the terminal'
complete -c mqtt-pub -l nodelay -d 'Send small messages at once; always on, kept for old scripts'
complete -c mqtt-pub -l tls-use-os-certs -d 'Use TLS, and trust the CAs of this machine; so do mqtts:// and port 8883 by itself'
complete -c mqtt-pub -l insecure -d 'Don\'t check that the broker\'s certificate has its host name, for tests; all else is checked'
complete -c mqtt-pub -l no-tls -d 'Don\'t use TLS, whatever the port'
complete -c mqtt-pub -s c -l disable-clean-session -d 'Keep the session: what arrives while away is delivered later. Needs -i'
complete -c mqtt-pub -l will-retain -d 'It is retained'
complete -c mqtt-pub -s d -l debug -d 'Tell of each packet'
complete -c mqtt-pub -l quiet -d 'Don\'t print errors, except those of usage'
complete -c mqtt-pub -l help -d 'Print this text'
complete -c mqtt-pub -l version -d 'Print the version'
