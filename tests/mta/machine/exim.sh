# Sets Exim up as an administrator of Debian would: split configuration, a certificate, two authenticators, bob with the
# password secret, and a mailbox that can be read. Runs once, inside the workshop's overlay. `node-start` is what a node's
# boot runs. What the packages alone have left is kept in /etc/lab/stock.
mkdir -p /etc/lab
cp -a /etc/exim4 /etc/lab/stock; cp -a /var/lib/exim4 /etc/lab/stock-state
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=mail.lab.test -addext subjectAltName=DNS:mail.lab.test \
  -keyout /etc/lab/key.pem -out /etc/lab/cert.pem 2>/dev/null
chgrp Debian-exim /etc/lab/key.pem; chmod 640 /etc/lab/key.pem
id bob >/dev/null 2>&1 || useradd -m bob
rm -f /var/mail/bob
cat >/etc/exim4/update-exim4.conf.conf <<'X'
dc_eximconfig_configtype='internet'
dc_other_hostnames='lab.test'
dc_local_interfaces=''
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='640'
dc_use_split_config='true'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
X
echo lab.test >/etc/mailname
# Clients of the node may relay on port 25: the alternate listener must not inherit that.
cat >/etc/exim4/conf.d/main/000_localmacros <<'X'
MAIN_TLS_ENABLE = yes
MAIN_TLS_CERTIFICATE = /etc/lab/cert.pem
MAIN_TLS_PRIVATEKEY = /etc/lab/key.pem
MAIN_HARDCODE_PRIMARY_HOSTNAME = mail.lab.test
X
echo 'bob:secret' >/etc/exim4/passwd; chgrp Debian-exim /etc/exim4/passwd; chmod 640 /etc/exim4/passwd
# Of the shape of Debian's own examples, with the macro by which they are offered in clear.
cat >/etc/exim4/conf.d/auth/40_lab <<'X'
plain_server:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{$auth3}{${lookup{$auth2}lsearch{/etc/exim4/passwd}{$value}{*:*}}}{yes}{no}}
  server_set_id = $auth2
  .ifndef AUTH_SERVER_ALLOW_NOTLS_PASSWORDS
  server_advertise_condition = ${if eq{$tls_in_cipher}{}{}{*}}
  .endif

login_server:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if eq{$auth2}{${lookup{$auth1}lsearch{/etc/exim4/passwd}{$value}{*:*}}}{yes}{no}}
  server_set_id = $auth1
  .ifndef AUTH_SERVER_ALLOW_NOTLS_PASSWORDS
  server_advertise_condition = ${if eq{$tls_in_cipher}{}{}{*}}
  .endif
X
printf '# Configurations that keep their privilege.\n/etc/exim4/another.conf\n' >/etc/exim4/trusted_configs
update-exim4.conf
cat >/usr/local/sbin/node-start <<'X'
#!/bin/bash
set -e
install -d -o Debian-exim -g Debian-exim /run/exim4
exim4 -bd -q30m
for _ in $(seq 500); do
  exec 5<>/dev/tcp/127.0.0.1/25 && grep -q ' daemon started: ' /var/log/exim4/mainlog && exit 0
  sleep 0.02
done 2>/dev/null
echo "Exim does not come up"; tail -n 20 /var/log/exim4/mainlog; exit 1
X
chmod 755 /usr/local/sbin/node-start
rm -f /var/log/exim4/*
