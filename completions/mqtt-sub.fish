complete -c mqtt-sub -s t -l topic -d 'A topic to subscribe to; + and # are wildcards. May be repeated' -r
complete -c mqtt-sub -s U -l unsubscribe -d 'A topic to unsubscribe from, in a session that was kept. May be repeated' -r
complete -c mqtt-sub -s q -l qos -d 'The highest quality of service of the deliveries: 0, 1 or 2 [default: 0]' -r
complete -c mqtt-sub -l retain-handling -d 'When the broker sends retained messages: at each subscription, at a new one, or never (MQTT 5)' -r
complete -c mqtt-sub -s F -d 'Print messages in this format, such as \'%I %t %p\' or %j' -r
complete -c mqtt-sub -l decode -d 'The form of the payloads: print what they say, cbor and msgpack as JSON' -r -f -a "json\t''
hex\t''
base64\t''
cbor\t''
msgpack\t''"
complete -c mqtt-sub -l color -d 'Colours; auto: on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mqtt-sub -s T -l filter-out -d 'Don\'t print messages of these topics. May be repeated' -r
complete -c mqtt-sub -l random-filter -d 'Print only so many percent of the messages (0.1 to 100)' -r
complete -c mqtt-sub -s C -d 'End after so many messages' -r
complete -c mqtt-sub -s W -d 'End after so many seconds, with exit code 27' -r
complete -c mqtt-sub -s h -l host -d 'The broker\'s host name or address [default: localhost]' -r -f -a "(__fish_print_hostnames)"
complete -c mqtt-sub -s p -l port -d 'The broker\'s port [default: 1883, with TLS 8883]' -r
complete -c mqtt-sub -l unix -d 'Connect to a Unix domain socket instead' -r -F
complete -c mqtt-sub -s L -l url -d 'User, password, host, port and topic at once: mqtt(s)://[user[:password]@]host[:port]/topic, or ws(s)://… for WebSocket; beside -t, what follows the host of the latter is the path' -r -f
complete -c mqtt-sub -s A -d 'The local address to connect from' -r
complete -c mqtt-sub -l ws-path -d 'The path that is asked for, with --ws or a URL ws(s)://… [default: /mqtt]' -r
complete -c mqtt-sub -l proxy -d 'Connect through a SOCKS5 proxy: socks5h://[user[:password]@]host[:port], or socks5://… to look up the broker\'s name here' -r -f
complete -c mqtt-sub -s u -l username -d 'The user name' -r -f -a "(__fish_complete_users)"
complete -c mqtt-sub -s P -l pw -d 'The password; anyone on this machine can see it while the program runs' -r
complete -c mqtt-sub -l password-file -d 'The password is the first line of this file' -r -F
complete -c mqtt-sub -s V -l protocol-version -d 'The version of MQTT: 31, 311 or 5, also as mqttv31, mqttv311 or mqttv5 [default: 311; mqtt-rr: 5]' -r
complete -c mqtt-sub -s k -l keepalive -d 'Seconds of silence after which the client asks if the broker is there: 5 to 65535 [default: 60]' -r
complete -c mqtt-sub -l cafile -d 'Use TLS, and trust the CAs whose certificates are in this file' -r -F
complete -c mqtt-sub -l capath -d 'Use TLS, and trust the CAs whose certificates are in this directory' -r -f -a "(__fish_complete_directories)"
complete -c mqtt-sub -l cert -d 'The client\'s own certificate, where the broker wants one' -r -F
complete -c mqtt-sub -l key -d 'Its private key' -r -F
complete -c mqtt-sub -l keyform -d 'Where the key is: pem, in a file [default: pem]' -r
complete -c mqtt-sub -l ciphers -d 'The cipher suites, in OpenSSL\'s language [default: all that are safe]' -r
complete -c mqtt-sub -l tls-version -d 'The lowest version of TLS: tlsv1.2 or tlsv1.3 [default: tlsv1.2]' -r
complete -c mqtt-sub -l tls-alpn -d 'Ask for this protocol (ALPN) where a port serves several' -r
complete -c mqtt-sub -l tls-keylog -d 'Append the secrets of the connection to this file, with which Wireshark can read it' -r -F
complete -c mqtt-sub -l psk -d 'Use TLS by this pre-shared key, in hexadecimal digits; with --psk-identity, and without certificates' -r
complete -c mqtt-sub -l psk-identity -d 'The name by which the broker knows the pre-shared key' -r
complete -c mqtt-sub -s i -l id -d 'The client identifier [default: the broker chooses]' -r
complete -c mqtt-sub -s I -l id-prefix -d 'A client identifier of this prefix and the process id' -r
complete -c mqtt-sub -s x -d 'Seconds for which the broker keeps the session, or -1 for ever (MQTT 5)' -r
complete -c mqtt-sub -l will-topic -d 'The topic of a message that the broker publishes when this client is lost' -r
complete -c mqtt-sub -l will-payload -d 'The payload of that message [default: empty]' -r
complete -c mqtt-sub -l will-qos -d 'Its quality of service [default: 0]' -r
complete -c mqtt-sub -s D -l property -d 'Add an MQTT 5 property to a packet (connect, publish, subscribe, unsubscribe, disconnect, will), as in -D publish content-type text/plain or -D connect user-property NAME VALUE. Means -V 5' -r
complete -c mqtt-sub -s o -d 'Read options from this file, one a line, instead of the usual ones' -r -F
complete -c mqtt-sub -l tls-engine -r
complete -c mqtt-sub -l tls-engine-kpass-sha1 -r
complete -c mqtt-sub -l retain-as-published -d 'Keep the retain flag of messages as it was published (MQTT 5)'
complete -c mqtt-sub -s v -l verbose -d 'Print the topic in front of the payload'
complete -c mqtt-sub -l pretty -d 'With %j, %J and --decode: print JSON on several lines; on a terminal, JSON has colours'
complete -c mqtt-sub -l timestamp -d 'Print the time in front of each message'
complete -c mqtt-sub -s N -d 'Print no end of line after a message'
complete -c mqtt-sub -s R -d 'Don\'t print retained messages'
complete -c mqtt-sub -l retained-only -d 'Print retained messages only, and end with the first that is not'
complete -c mqtt-sub -l remove-retained -d 'Have the broker forget each retained message that arrives'
complete -c mqtt-sub -l dry-run -d 'With --remove-retained: remove nothing, only tell how many it would be'
complete -c mqtt-sub -s w -l watch -d 'Show the newest message of each topic in a line of its own (on a terminal)'
complete -c mqtt-sub -l message-rate -d 'Print no messages, but each second how many there were'
complete -c mqtt-sub -s E -d 'End when the broker has acknowledged the subscriptions'
complete -c mqtt-sub -s S -d 'Find broker and port by the SRV records _mqtt._tcp.HOST, with TLS _secure-mqtt._tcp.HOST; without -h, in the local domain'
complete -c mqtt-sub -l ws -d 'Speak MQTT over WebSocket'
complete -c mqtt-sub -l ask-password -d 'Ask for the password on the terminal'
complete -c mqtt-sub -l nodelay -d 'Send small messages at once; always on, kept for old scripts'
complete -c mqtt-sub -l tls-use-os-certs -d 'Use TLS, and trust the CAs of this machine; so do mqtts:// and port 8883 by itself'
complete -c mqtt-sub -l insecure -d 'Don\'t check that the broker\'s certificate has its host name, for tests; all else is checked'
complete -c mqtt-sub -l no-tls -d 'Don\'t use TLS, whatever the port'
complete -c mqtt-sub -s c -l disable-clean-session -d 'Keep the session: what arrives while away is delivered later. Needs -i'
complete -c mqtt-sub -l will-retain -d 'It is retained'
complete -c mqtt-sub -s d -l debug -d 'Tell of each packet'
complete -c mqtt-sub -l quiet -d 'Don\'t print errors, except those of usage'
complete -c mqtt-sub -l help -d 'Print this text'
complete -c mqtt-sub -l version -d 'Print the version'
