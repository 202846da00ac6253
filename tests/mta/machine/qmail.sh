# Sets qmail up as an administrator of supervise would: the queue's daemon and the SMTP server on 25 are services, and so
# is the second one, `smtp2`, whose values an administrator has written once. Debian has no qmail: a copy of sleep stands
# for qmail-send, and for its SMTP program the sandbox's own, which honours SMTPAUTH and FORCETLS. The end of the
# argument, daemontools or runit, says who supervises. Runs once, inside the workshop's overlay.
case $1 in
  *daemontools) scan='svscan /service' services=/service reader='envdir ./env' ;;
  *runit) scan='runsvdir /etc/service' services=/etc/service reader='chpst -e ./env' ;;
esac
mkdir -p /var/qmail/bin /var/qmail/control /var/qmail/supervise /var/lib/smtp-lab $services
cp /bin/sleep /var/qmail/bin/qmail-send
echo mail.lab.test >/var/qmail/control/me
mkdir /var/qmail/supervise/send
printf '#!/bin/sh\nexec /var/qmail/bin/qmail-send 1000000\n' >/var/qmail/supervise/send/run
for service in smtp smtp2; do
  mkdir -p /var/qmail/supervise/$service/env
  cat >/var/qmail/supervise/$service/run <<X
#!/bin/sh
# Port and mode come from ./env, a file for each variable.
exec 2>&1
exec $reader sh -c '
  exec tcpserver -v -R -H -l 0 -c 100 0 "\$PORT" /usr/local/bin/mail-smtp2 sandbox stdio /var/lib/smtp-lab'
X
done
# The primary takes mail without AUTH and without TLS, as a server on 25 does.
echo 25 >/var/qmail/supervise/smtp/env/PORT; echo 0 >/var/qmail/supervise/smtp/env/FORCETLS
# The second one was tried once and switched off.
cd /var/qmail/supervise/smtp2
printf 5870 >env/PORT; printf 'none\n# was: !\n' >env/SMTPAUTH; touch down
chmod 755 /var/qmail/supervise/*/run
for service in send smtp smtp2; do ln -s /var/qmail/supervise/$service $services/$service; done
mkdir -p /etc/lab; cp -a /var/qmail /etc/lab/pristine
cat >/usr/local/sbin/supervisors <<X
#!/bin/bash
# In a session of its own, so that it outlives the shell that started it.
setsid $scan </dev/null >>/var/log/supervisors.log 2>&1 &
X
cat >/usr/local/sbin/node-start <<'X'
#!/bin/bash
set -e
supervisors
for _ in $(seq 900); do
  pidof qmail-send >/dev/null && exec 5<>/dev/tcp/127.0.0.1/25 && read -r _ <&5 &&
    [ -p /var/qmail/supervise/smtp2/supervise/ok ] && : >/var/qmail/supervise/smtp2/supervise/ok && exit 0
  sleep 0.02
done 2>/dev/null
echo "qmail does not come up"; cat /var/log/supervisors.log; exit 1
X
chmod 755 /usr/local/sbin/node-start /usr/local/sbin/supervisors
