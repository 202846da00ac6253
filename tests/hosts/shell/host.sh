#!/bin/sh
# A host for mail-smtp2 in one here-document: configures the listener, starts it, looks at it, stops it, and shows the
# replies. Ends with 0 if the plugin did and every status is 0. Try it: ./host.sh mail-smtp2 --mta sandbox
set -eu
[ $# != 0 ] || set -- mail-smtp2 --mta sandbox

# The end of the here-document ends the plugin, which answers everything first. The last two are one batch, which is
# done in order: a listing on a line of its own does not wait for changes.
replies=$(timeout 120 "$@" <<EOF
{"jsonrpc":"2.0","id":1,"method":"update","params":{"alternate_smtp_port":${PORT:-2587},"auth_mode":"auth_yes/tls_yes"}}
{"jsonrpc":"2.0","id":2,"method":"start"}
[{"jsonrpc":"2.0","id":3,"method":"listServiceInfo"},{"jsonrpc":"2.0","id":4,"method":"stop"}]
EOF
)
printf '%s\n' "$replies"

# Four envelopes, each with status 0.
[ "$(printf '%s' "$replies" | grep -o '"status":0,' | wc -l)" -eq 4 ]
