complete -c mqtt-broker -s c -l config-file -d 'Read the configuration from FILE, in the format of mosquitto.conf' -r -F
complete -c mqtt-broker -l engine -d 'What serves the configuration: `moustique`, the default, or `rumqttd`, for comparison, in programs that are built with --features peers' -r -f -a "moustique\t''
rumqttd\t''"
complete -c mqtt-broker -s p -l port -d 'Listen on PORT of the loopback addresses (up to ten times; left out where the configuration has listeners)' -r
complete -c mqtt-broker -l tls-keylog -d 'Append the secrets of TLS connections to FILE, with which Wireshark can read them' -r -F
complete -c mqtt-broker -l client-id -d 'The client identifier that --check-acl asks about' -r
complete -c mqtt-broker -l listener -d 'The listener that --check-acl asks about, where there are several' -r
complete -c mqtt-broker -s d -l daemon -d 'Go into the background after the start'
complete -c mqtt-broker -l engine-lossy -d 'Start rumqttd though it cannot do all that the configuration asks for, and log what is lost'
complete -c mqtt-broker -l test-config -d 'Check FILE and the files that it names, print what it says in effect, and end'
complete -c mqtt-broker -s v -l verbose -d 'Log everything, whatever log_type says'
complete -c mqtt-broker -l check-acl -d 'Tell whether USER may read or write TOPIC, and by which rule, and end; exit status 0 if so, 1 if not (on one of several listeners)'
complete -c mqtt-broker -s h -l help -d 'Print this help'
complete -c mqtt-broker -l version -d 'Print the version'
