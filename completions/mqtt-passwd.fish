complete -c mqtt-passwd -s H -d 'How to hash: argon2id unless told otherwise; sha512-pbkdf2 for Mosquitto 2.0, sha512 for 1.x' -r -f -a "argon2id\t''
sha512-pbkdf2\t''
sha512\t''"
complete -c mqtt-passwd -s I -d 'Iterations of sha512-pbkdf2 [default: 1000]; without -H it chooses this hash' -r
complete -c mqtt-passwd -s b -d 'Take the password from the command line, where others may see it'
complete -c mqtt-passwd -s c -d 'Create the file, in the place of an old one; FILE \'-\' is standard output'
complete -c mqtt-passwd -s D -d 'Delete the user'
complete -c mqtt-passwd -s U -d 'Hash the passwords of FILE that are still plain text'
complete -c mqtt-passwd -s h -l help -d 'Print help'
complete -c mqtt-passwd -s V -l version -d 'Print version'
