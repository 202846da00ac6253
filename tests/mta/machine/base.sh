# The workshop of one run: an overlay of this machine with an MTA installed and set up, in a mount namespace of its own.
# Arguments: project folder, name, set-up script, packages. Says `ready FOLDER` (an overlay layer to build nodes on) or
# `missing REASON`, and ends, with all its mounts, when its standard input does. Run by bash.
set -euo pipefail
project=$1 name=$2 setup=$3; shift 3
. "$project/tests/support/overlay"
reason=$(overlay_missing)
if [ -n "$reason" ]; then echo "missing $reason"; exit 0; fi
for tool in nsenter setpriv perl openssl; do
  command -v "$tool" >/dev/null || { echo "missing no $tool on this machine"; exit 0; }
done
[ -e /lib/systemd/systemd ] || set -- "$@" systemd
overlay_make "$name" "$@" >&2
overlay_run "$name" bash -euc "$setup" _ "$name" >&2
echo "ready $overlay_base/$name"
cat >/dev/null
