#!/bin/sh
# The tests of host.sh against the real plugin: test.sh PLUGIN. Each is a sentence; the first that fails ends the run.
set -eu
host=$(dirname "$0")/host.sh plugin=$1
fail() { echo "FAILED: $*"; exit 1; }

# Nothing tells a shell which port is free: one that is held is answered with 409, and another is tried.
for port in $(shuf -i 20000-30000 -n 5); do
  status=0
  said=$(PORT=$port "$host" "$plugin" --mta sandbox) || status=$?
  case $said in *'"status":409'*) ;; *) break ;; esac
done
[ "$status" = 0 ] || fail "a conversation ends well: $said"
case $said in *"\"ports\":\"$port\""*'"is_running":1'*) ;; *) fail "the listing shows the running listener: $said" ;; esac

! said=$(PORT=0 "$host" "$plugin" --mta sandbox) || fail "a refused input is no success: $said"
! said=$("$host" false) || fail "a plugin that fails is no success: $said"
for port in '1,"cascade_to_nodes":1' '25 ' x; do
  ! said=$(PORT=$port "$host" "$plugin" --mta sandbox 2>&1) || fail "what is no number is not passed on: $said"
  case $said in *"PORT is no number"*) ;; *) fail "what is no number is told: $said" ;; esac
done

# A reader of all that it prints is free, too, while the plugin goes on; its replies come all the same.
gate=$(mktemp -d)
said=$(LIMIT=1 "$host" sh -c 'until [ -e "$0/open" ]; do sleep 0.1; done; echo late' "$gate" 2>&1) \
  && fail "a time-out is no success: $said"
late=${said##* }
[ -e "$late" ] && [ ! -s "$late" ] || fail "a time-out names the place of the late replies: $said"
touch "$gate/open"
for _ in $(seq 600); do [ -s "$late" ] && [ -e "${late%/*}/ended" ] && break; sleep 0.1; done
[ "$(cat "$late")" = late ] || fail "a late reply is found where it was said"
rm -r "$gate" "${late%/*}"
echo "shell: 6 tests passed"
