#!/bin/sh
# A host for mail-smtp2 in one here-document: configures the listener on PORT, starts it, looks at it, stops it, and shows
# the replies. Ends with 0 if the plugin did and every status is 0, with 1 if not, and with 2 if there is no answer within
# LIMIT seconds: what became of the changes is not known then. Try it: ./host.sh mail-smtp2 --mta sandbox
set -eu
[ $# != 0 ] || set -- mail-smtp2 --mta sandbox
port=${PORT:-2587}
# What comes from elsewhere could end the text that it is put into.
case $port in '' | *[!0-9]*) echo "host.sh: PORT is no number" >&2; exit 2 ;; esac
folder=$(mktemp -d)

# Beside this shell and with nothing of it open, so that a time-out frees the caller and cuts no change short. The end of
# the here-document ends the plugin, which answers everything first. The last two are one batch, which is done in order: a
# listing on a line of its own does not wait for changes.
{
  status=0
  "$@" <<EOF || status=$?
{"jsonrpc":"2.0","id":1,"method":"update","params":{"alternate_smtp_port":$port,"auth_mode":"auth_yes/tls_yes"}}
{"jsonrpc":"2.0","id":2,"method":"start"}
[{"jsonrpc":"2.0","id":3,"method":"listServiceInfo"},{"jsonrpc":"2.0","id":4,"method":"stop"}]
EOF
  echo "$status" >"$folder/ended.new"
  mv "$folder/ended.new" "$folder/ended"
} >"$folder/replies" 2>"$folder/log" &

# Three changes, of which each takes 50 seconds at the most.
tenths=$((${LIMIT:-180} * 10))
until [ -e "$folder/ended" ]; do
  if [ "$tenths" -le 0 ]; then
    echo "host.sh: no answer within ${LIMIT:-180} s; the late replies will be in $folder/replies" >&2
    exit 2
  fi
  tenths=$((tenths - 1))
  sleep 0.1
done
replies=$(cat "$folder/replies") status=$(cat "$folder/ended")
cat "$folder/log" >&2
rm -r "$folder"
printf '%s\n' "$replies"

# A plugin that ended well, and four envelopes, each with status 0.
[ "$status" -eq 0 ] && [ "$(printf '%s' "$replies" | grep -o '"status":0,' | wc -l)" -eq 4 ]
