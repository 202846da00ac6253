# Sets Postfix up as an administrator would: a certificate, Dovecot as the SASL backend, bob with the password secret,
# and a mailbox that can be read. Runs once, inside the workshop's overlay. `node-start` is what a node's boot runs.
mkdir -p /etc/lab
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=mail.lab.test -addext subjectAltName=DNS:mail.lab.test \
  -keyout /etc/lab/key.pem -out /etc/lab/cert.pem 2>/dev/null
chmod 600 /etc/lab/key.pem
# permit_mynetworks lets every client of the node in on port 25: the alternate listener must not inherit that.
postconf -e 'myhostname = mail.lab.test' 'mydomain = lab.test' 'mydestination = lab.test, localhost' \
  'mynetworks = 127.0.0.0/8 [::1]/128' 'inet_interfaces = all' 'inet_protocols = all' \
  'smtpd_tls_cert_file = /etc/lab/cert.pem' 'smtpd_tls_key_file = /etc/lab/key.pem' 'smtpd_tls_chain_files =' \
  'smtpd_sasl_type = dovecot' 'smtpd_sasl_path = private/auth' 'mail_spool_directory = /var/mail/'
touch /etc/aliases; newaliases
id bob >/dev/null 2>&1 || useradd -m bob
install -d -o bob -g bob -m 700 /var/mail/bob
cat >/etc/dovecot/dovecot.conf <<'X'
protocols =
listen = 127.0.0.1
ssl = no
auth_mechanisms = plain login
disable_plaintext_auth = no
auth_failure_delay = 0
log_path = /var/log/dovecot.log
passdb {
  driver = passwd-file
  args = scheme=PLAIN /etc/lab/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/tmp
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
X
echo 'bob:secret' >/etc/lab/users; chmod 644 /etc/lab/users
cat >/usr/local/sbin/node-start <<'X'
#!/bin/bash
set -e
dovecot
# What `postfix start` runs in the end. Before, it looks through files that nobody has touched, for half a second.
/usr/lib/postfix/sbin/master -w
for _ in $(seq 500); do
  # What the greeting needs (tlsmgr and others) has read its configuration by then: a test may damage it at once, and a
  # service that dies of that is not started again for a minute.
  [ -S /var/spool/postfix/private/auth ] && exec 5<>/dev/tcp/127.0.0.1/25 && read -r -t 60 -u 5 greeting &&
    [[ $greeting = 220* ]] && printf 'QUIT\r\n' >&5 && exit 0
  sleep 0.02
done 2>/dev/null
echo "Postfix does not come up"; tail -n 20 /var/log/syslog; exit 1
X
chmod 755 /usr/local/sbin/node-start
# What `postfix stop` leaves to end holds its sockets for a moment longer.
cat >/usr/local/sbin/postfix-stop <<'X'
#!/bin/bash
postfix stop || exit
for _ in $(seq 1500); do pgrep -u postfix >/dev/null || exit 0; sleep 0.02; done
echo "Postfix does not end"; ps axf; exit 1
X
# So does what its master leaves, with Dovecot. Arguments: those of pkill.
cat >/usr/local/sbin/dovecot-stop <<'X'
#!/bin/bash
pkill "$@" -x dovecot
for _ in $(seq 1500); do pgrep -x 'dovecot|auth' >/dev/null || exit 0; [ "$1" != -9 ] || pkill -9 -x auth; sleep 0.02; done
echo "Dovecot does not end"; ps axf; exit 1
X
# Starts Dovecot anew. When this returns, who connects to the socket is answered.
cat >/usr/local/sbin/dovecot-start <<'X'
#!/bin/bash
dovecot-stop -9 || exit
dovecot || exit
for _ in $(seq 1500); do
  perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un(shift)) or exit 1; exit <S> !~ /^VERSION/' \
    "${1:-/var/spool/postfix/private/auth}" && exit 0
  sleep 0.02
done
echo "Dovecot does not come up"; cat /var/log/dovecot.log; exit 1
X
chmod 755 /usr/local/sbin/*-stop /usr/local/sbin/dovecot-start
# The first start fills the chroot: once here, not in every node.
rm -f /var/log/syslog
postfix start >/dev/null 2>&1; postfix stop >/dev/null 2>&1
cp -a /etc/postfix /etc/lab/pristine
