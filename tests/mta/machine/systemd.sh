# A machine that Debian's own systemd runs: first process of its own processes, mounts, network, host name, IPC and
# cgroups, on a fresh layer over the workshop's. Runs below the workshop's mounts, in a mount namespace of its own.
# Arguments: the workshop's folder, the plugin's binary, a name that no other machine has now. Takes `boot` (says the pid
# of its `unshare`, whose child is systemd) and `halt` (says `halted`); ends, with all of it, when its input does.
set -uo pipefail
cd "$1"; program=$2 name=$3 group=mail-smtp2-test-$3 held=
mkdir -p machine
mount -t tmpfs -o size=1g,mode=755 tmpfs machine
mkdir machine/upper machine/work machine/root
# By relative paths: a comma or a colon in the project's path would end the option.
mount -t overlay overlay -o lowerdir=upper:/,upperdir=machine/upper,workdir=machine/work machine/root
root=$PWD/machine/root
touch "$root/usr/local/bin/mail-smtp2"; mount --bind "$program" "$root/usr/local/bin/mail-smtp2"
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 mail.lab.test mail\n' >"$root/etc/hosts"
echo mail.lab.test >"$root/etc/hostname"
rm -f "$root/etc/resolv.conf"; : >"$root/etc/resolv.conf"; : >"$root/etc/machine-id"
rm -f "$root/usr/sbin/policy-rc.d"

hierarchies=()
for place in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ ! -e "$place/cgroup.procs" ] || hierarchies+=("$place")
done
# Takes away cgroups that nobody is in any more.
sweep() {
  local folder
  for folder; do
    for _ in $(seq 100); do
      [ -d "$folder" ] || break
      find "$folder" -depth -type d -exec rmdir {} \; 2>/dev/null
      [ ! -d "$folder" ] || sleep 0.05
    done
  done
}
# Those of runs that were killed: the name begins with the pid of the run.
for place in "${hierarchies[@]}"; do
  for folder in "$place"/mail-smtp2-test-*; do
    run=${folder##*mail-smtp2-test-}
    [ ! -d "$folder" ] || [ -d "/proc/${run%%-*}" ] || sweep "$folder"
  done
done

boot() {
  (
    for place in "${hierarchies[@]}"; do
      mkdir -p "$place/$group"; echo "$BASHPID" >"$place/$group/cgroup.procs"
    done
    # Nothing outlives this script, not even if it is killed.
    exec setpriv --pdeathsig KILL unshare --cgroup --net --mount --pid --uts --ipc --fork --kill-child --propagation private bash -euc '
      root=$1; cd "$root"
      hostname mail.lab.test
      mount -t proc proc proc
      cat /proc/sys/kernel/random/uuid >machine-boot-id
      mount -t sysfs -o ro sysfs sys
      mount -t tmpfs -o mode=755 tmpfs run
      mount -t tmpfs -o mode=1777 tmpfs tmp
      mount -t tmpfs -o mode=755 tmpfs dev
      for device in null zero full random urandom tty; do
        touch dev/$device; mount --bind /dev/$device dev/$device
      done
      mkdir dev/pts dev/shm
      mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
      mount -t tmpfs -o mode=1777 tmpfs dev/shm
      # The kernel tells apart its own boots only.
      mount --bind machine-boot-id proc/sys/kernel/random/boot_id
      mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
      if grep -q name=systemd /proc/self/cgroup; then
        mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
        mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
        mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
      else
        umount sys/fs/cgroup; mount -t cgroup2 cgroup2 sys/fs/cgroup
      fi
      ip link set lo up
      exec chroot . env -i container=lxc PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=multi-user.target
    ' _ "$root"
  ) </dev/null >&2 &
  held=$!
  echo "$held"
}
halt() {
  local first=
  if [ -n "$held" ]; then
    # Its first process, which unshare then reaps; what unshare leaves is reaped by this machine's first process, some time.
    read -r first _ <"/proc/$held/task/$held/children"
    { kill -9 "${first:-$held}"; wait "$held"; } 2>/dev/null
  fi
  held=
  sweep "${hierarchies[@]/%//$group}"
}
while read -r command; do
  case $command in
    boot) boot ;;
    halt) halt; echo halted ;;
  esac
done
halt
