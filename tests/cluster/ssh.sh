#!/bin/sh
# Stands in for ssh. The destination, KIND.NUMBER, says how the node behind it behaves. What it is asked is noted in
# asked/NUMBER, every start in started/NUMBER, below $HOME, which the plugin hands down.
for word; do destination=$last; last=$word; done
kind=${destination%%.*} number=${destination#*.}
echo "$$" >>"$HOME/started/$number"
# Behaves differently from the second start on.
if [ -e "$HOME/then/$number" ] && [ "$(wc -l <"$HOME/started/$number")" -gt 1 ]; then
  kind=$(cat "$HOME/then/$number")
fi
id=0
hear() { read -r line || exit 0; echo "$line" >>"$HOME/asked/$number"; }
say() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; id=$((id + 1)); }
greet() { hear; say "\"result\":{\"info\":{\"version\":\"${1:-$VERSION}\"}}"; }
gives_up() { echo "$1" >&2; exit 255; }
serve() {
  while hear; do
    case $line in
      *isRunning*) say '"result":{"status":0,"payload":true}' ;;
      *queryUpdate*) say '"result":{"status":0,"payload":{"alternate_smtp_port":9587,"auth_mode":"auth_yes/tls_yes"}}' ;;
      *) say '"result":{"status":0,"payload":"Success"}' ;;
    esac
  done
}
# One before 7.6 and one before 8.7, and what they say then.
case $kind/$* in
  old/*RemoteCommand*) gives_up 'command-line: line 0: Bad configuration option: remotecommand' ;;
  aged/*StdinNull*) gives_up 'command-line: line 0: Bad configuration option: stdinnull' ;;
  old/* | aged/*RemoteCommand*) kind=fine ;;
esac
read -r VERSION <"$HOME/version"
case $kind in
  fine) greet; serve ;;
  minor) greet 1.99.7; serve ;;
  newer) greet 2.0.0; hear ;;
  older) greet 0.9.1; hear ;;
  changed) printf '%s\r\n' '@@@@@@@@@@@@@' '@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @' '@@@@@@@@@@@@@' >&2
    gives_up 'Host key verification failed.' ;;
  stranger) gives_up 'Host key verification failed.' ;;
  denied) gives_up 'root@node: Permission denied (publickey).' ;;
  nameless) gives_up 'ssh: Could not resolve hostname node: Name or service not known' ;;
  refused) gives_up 'ssh: connect to host node port 22: Connection refused' ;;
  cut) gives_up 'ssh: connect to host node port 22: Connection timed out' ;;
  missing) echo 'bash: line 1: mail-smtp2: command not found' >&2; exit 127 ;;
  barred) echo 'bash: line 1: /usr/local/bin/mail-smtp2: Permission denied' >&2; exit 126 ;;
  misled) echo 'mail-smtp2: /etc/mail-smtp2.toml, line 3: wire.max_message = 1: expected 1024 to 1073741824 bytes' >&2
    exit 1 ;;
  killed) greet; hear; echo 'ssh: Connection timed out' >&2; exit 255 ;;
  ended) echo 'This account is currently not available.'; exit 1 ;;
  rubbish) echo 'Welcome to the machine'; greet; serve ;;
  deaf) exec sleep 1000 ;;
  hangs) greet; hear; exec sleep 1000 ;;
  dies) greet; hear; kill -9 $$ ;;
  leaves) greet; hear; exit 0 ;;
  resets) greet; hear; gives_up 'Timeout, server node not responding.' ;;
  garbles) greet; hear; echo 'Segmentation fault'; hear ;;
  floods) greet; hear; head -c 3000000 /dev/zero | tr '\0' x; hear ;;
  odd) greet; hear; say '"result":{"status":0,"payload":["Success"]}'; hear ;;
  busy) greet; hear; say '"error":{"code":-32009,"message":"too many changes are waiting"}'; hear ;;
  faulty) greet; hear; say '"error":{"code":-32603,"message":"Internal error"}'; hear ;;
  full) greet; hear; say '"result":{"status":500,"payload":"cannot write /x: No space left on device; nothing was changed"}'
    hear ;;
  fields) greet; hear
    say '"result":{"status":11,"payload":"the input was refused\nalternate_smtp_port: is a port of the primary","error":{"reason":"input_refused","retry":false,"fields":[{"name":"alternate_smtp_port","keyword":"primary_port","message":"is a port of the primary"}]}}'
    hear ;;
  tomorrow) greet; hear; say '"result":{"status":599,"payload":"something that nobody knows yet","error":{"reason":"moon_phase","retry":true,"colour":1}}'; hear ;;
  hostile) greet; hear; say '"result":{"status":409,"payload":"\u001b[31mred\u202e","error":{"reason":"port_held","holder":{"program":"\u001b[31mred"},"nodes":[{}]}}'; hear ;;
  slow) greet; while hear; do sleep 1; say '"result":{"status":0,"payload":"Success"}'; done ;;
  plugin) exec "$HOME/mail-smtp2" --config "$HOME/node.toml" --mta sandbox --state-dir "$HOME/nodes/$number" ;;
esac
