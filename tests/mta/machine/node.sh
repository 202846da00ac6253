# Boots one node: a fresh layer over the workshop's, with network, mounts, processes, host name and IPC of its own.
# Runs as the first process of a new set of namespaces, below the workshop's mounts. Arguments: the workshop's folder,
# the plugin's binary, the host name. Run by busybox, which every workshop has. Says `ready`, reaps, and ends, with everything in the node, when its input does.
set -euo pipefail
cd "$1"; program=$2 fqdn=$3
hostname "$fqdn"
mkdir -p node
mount -t tmpfs -o size=1g,mode=755 tmpfs node
mkdir node/upper node/work node/root
# By relative paths: a comma or a colon in the project's path would end the option.
mount -t overlay overlay -o lowerdir=upper:/,upperdir=node/upper,workdir=node/work node/root
cd node/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys 2>/dev/null || :
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for device in null zero full random urandom tty; do
  touch dev/$device; mount --bind /dev/$device dev/$device
done
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 tmpfs run; mkdir -m 1777 run/lock
mount -t tmpfs -o mode=1777 tmpfs tmp
touch usr/local/bin/mail-smtp2; mount --bind "$program" usr/local/bin/mail-smtp2
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s %s\n' "$fqdn" "${fqdn%%.*}" >etc/hosts
echo "$fqdn" >etc/hostname
: >etc/resolv.conf
ip link set lo up
exec chroot . env -i HOME=/root LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -euc '
  cd /
  exec 3<&0 4>&1 </dev/null >/dev/null
  busybox syslogd -n -S -O /var/log/syslog 3<&- 4>&- &
  for _ in $(seq 3000); do [ ! -S /dev/log ] || break; sleep 0.01; done
  [ -S /dev/log ]
  [ ! -x /usr/local/sbin/node-start ] || /usr/local/sbin/node-start 3<&- 4>&- >&2
  echo ready >&4; exec 4>&-
  cat <&3 3<&- & exec 3<&-
  wait $!'
