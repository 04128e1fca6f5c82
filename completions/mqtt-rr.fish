complete -c mqtt-rr -s t -l topic -d 'The topic of the request' -r
complete -c mqtt-rr -s e -d 'The topic where the response is awaited' -r
complete -c mqtt-rr -s m -l message -d 'The request' -r
complete -c mqtt-rr -s f -l file -d 'The message is the content of this file' -r -F
complete -c mqtt-rr -s q -l qos -d 'The quality of service, both ways: 0, 1 or 2 [default: 0]' -r
complete -c mqtt-rr -l retain-handling -d 'When the broker sends retained messages: at each subscription, at a new one, or never (MQTT 5)' -r
complete -c mqtt-rr -l encode -d 'Send the message in this form; what becomes json, cbor or msgpack is written as JSON' -r -f -a "json\t''
hex\t''
base64\t''
cbor\t''
msgpack\t''"
complete -c mqtt-rr -s F -d 'Print messages in this format, such as \'%I %t %p\' or %j' -r
complete -c mqtt-rr -l decode -d 'The form of the payloads: print what they say, cbor and msgpack as JSON' -r -f -a "json\t''
hex\t''
base64\t''
cbor\t''
msgpack\t''"
complete -c mqtt-rr -l color -d 'Colours; auto: on a terminal, unless NO_COLOR is set [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mqtt-rr -s W -d 'End after so many seconds, with exit code 27' -r
complete -c mqtt-rr -s h -l host -d 'The broker\'s host name or address [default: localhost]' -r -f -a "(__fish_print_hostnames)"
complete -c mqtt-rr -s p -l port -d 'The broker\'s port [default: 1883, with TLS 8883]' -r
complete -c mqtt-rr -l unix -d 'Connect to a Unix domain socket instead' -r -F
complete -c mqtt-rr -s L -l url -d 'User, password, host, port and topic at once: mqtt(s)://[user[:password]@]host[:port]/topic, or ws(s)://… for WebSocket; beside -t, what follows the host of the latter is the path' -r -f
complete -c mqtt-rr -s A -d 'The local address to connect from' -r
complete -c mqtt-rr -l ws-path -d 'The path that is asked for, with --ws or a URL ws(s)://… [default: /mqtt]' -r
complete -c mqtt-rr -l proxy -d 'Connect through a SOCKS5 proxy: socks5h://[user[:password]@]host[:port], or socks5://… to look up the broker\'s name here' -r -f
complete -c mqtt-rr -s u -l username -d 'The user name' -r -f -a "(__fish_complete_users)"
complete -c mqtt-rr -s P -l pw -d 'The password; anyone on this machine can see it while the program runs' -r
complete -c mqtt-rr -l password-file -d 'The password is the first line of this file' -r -F
complete -c mqtt-rr -s V -l protocol-version -d 'The version of MQTT: 31, 311 or 5, also as mqttv31, mqttv311 or mqttv5 [default: 311; mqtt-rr: 5]' -r
complete -c mqtt-rr -s k -l keepalive -d 'Seconds of silence after which the client asks if the broker is there: 5 to 65535 [default: 60]' -r
complete -c mqtt-rr -l cafile -d 'Use TLS, and trust the CAs whose certificates are in this file' -r -F
complete -c mqtt-rr -l capath -d 'Use TLS, and trust the CAs whose certificates are in this directory' -r -f -a "(__fish_complete_directories)"
complete -c mqtt-rr -l cert -d 'The client\'s own certificate, where the broker wants one' -r -F
complete -c mqtt-rr -l key -d 'Its private key' -r -F
complete -c mqtt-rr -l keyform -d 'Where the key is: pem, in a file [default: pem]' -r
complete -c mqtt-rr -l ciphers -d 'The cipher suites, in OpenSSL\'s language [default: all that are safe]' -r
complete -c mqtt-rr -l tls-version -d 'The lowest version of TLS: tlsv1.2 or tlsv1.3 [default: tlsv1.2]' -r
complete -c mqtt-rr -l tls-alpn -d 'Ask for this protocol (ALPN) where a port serves several' -r
complete -c mqtt-rr -l tls-keylog -d 'Append the secrets of the connection to this file, with which Wireshark can read it' -r -F
complete -c mqtt-rr -l psk -d 'Use TLS by this pre-shared key, in hexadecimal digits; with --psk-identity, and without certificates' -r
complete -c mqtt-rr -l psk-identity -d 'The name by which the broker knows the pre-shared key' -r
complete -c mqtt-rr -s i -l id -d 'The client identifier [default: the broker chooses]' -r
complete -c mqtt-rr -s I -l id-prefix -d 'A client identifier of this prefix and the process id' -r
complete -c mqtt-rr -s x -d 'Seconds for which the broker keeps the session, or -1 for ever (MQTT 5)' -r
complete -c mqtt-rr -l will-topic -d 'The topic of a message that the broker publishes when this client is lost' -r
complete -c mqtt-rr -l will-payload -d 'The payload of that message [default: empty]' -r
complete -c mqtt-rr -l will-qos -d 'Its quality of service [default: 0]' -r
complete -c mqtt-rr -s D -l property -d 'Add an MQTT 5 property to a packet (connect, publish, subscribe, unsubscribe, disconnect, will), as in -D publish content-type text/plain or -D connect user-property NAME VALUE. Means -V 5' -r
complete -c mqtt-rr -s o -d 'Read options from this file, one a line, instead of the usual ones' -r -F
complete -c mqtt-rr -l tls-engine -r
complete -c mqtt-rr -l tls-engine-kpass-sha1 -r
complete -c mqtt-rr -s s -l stdin-file -d 'The request is all of standard input'
complete -c mqtt-rr -s n -l null-message -d 'An empty request'
complete -c mqtt-rr -s v -l verbose -d 'Print the topic in front of the payload'
complete -c mqtt-rr -l pretty -d 'With %j, %J and --decode: print JSON on several lines; on a terminal, JSON has colours'
complete -c mqtt-rr -l timestamp -d 'Print the time in front of each message'
complete -c mqtt-rr -s N -d 'Print no end of line after a message'
complete -c mqtt-rr -s R -d 'Don\'t print retained messages'
complete -c mqtt-rr -l latency -d 'Print how long the response took, too'
complete -c mqtt-rr -s S -d 'Find broker and port by the SRV records _mqtt._tcp.HOST, with TLS _secure-mqtt._tcp.HOST; without -h, in the local domain'
complete -c mqtt-rr -l ws -d 'Speak MQTT over WebSocket'
complete -c mqtt-rr -l ask-password -d 'Ask for the password on the terminal'
complete -c mqtt-rr -l nodelay -d 'Send small messages at once; always on, kept for old scripts'
complete -c mqtt-rr -l tls-use-os-certs -d 'Use TLS, and trust the CAs of this machine; so do mqtts:// and port 8883 by itself'
complete -c mqtt-rr -l insecure -d 'Don\'t check that the broker\'s certificate has its host name, for tests; all else is checked'
complete -c mqtt-rr -l no-tls -d 'Don\'t use TLS, whatever the port'
complete -c mqtt-rr -s c -l disable-clean-session -d 'Keep the session: what arrives while away is delivered later. Needs -i'
complete -c mqtt-rr -l will-retain -d 'It is retained'
complete -c mqtt-rr -s d -l debug -d 'Tell of each packet'
complete -c mqtt-rr -l quiet -d 'Don\'t print errors, except those of usage'
complete -c mqtt-rr -l help -d 'Print this text'
complete -c mqtt-rr -l version -d 'Print the version'
