# Sets OpenSSH up as mail-smtp2-cluster(7) tells an administrator to: root's key, and a line in authorized_keys that lets
# it start the plugin and nothing else. Runs once, inside the workshop's overlay. `node-start` is what a node's boot runs.
rm -rf /root/.ssh; mkdir -m 700 /root/.ssh; : >/root/.bashrc
ssh-keygen -q -t ed25519 -N '' -C manager -f /root/.ssh/id_ed25519
line='restrict,command="mail-smtp2 --mta sandbox --state-dir /var/lib/mail-smtp2"'
echo "$line $(cat /root/.ssh/id_ed25519.pub)" >/root/.ssh/authorized_keys
rm -rf /etc/mail-smtp2.toml /var/lib/mail-smtp2 /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d/*
# One address family: one socket, so that sshd listens everywhere or nowhere.
cat >/etc/ssh/sshd_config <<'X'
AddressFamily inet
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin forced-commands-only
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
# There only where a test writes it.
Banner /etc/ssh/banner
X
cat >/usr/local/sbin/node-start <<'X'
#!/bin/bash
set -e
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
mkdir -p /run/sshd
/usr/sbin/sshd
X
chmod 755 /usr/local/sbin/node-start
