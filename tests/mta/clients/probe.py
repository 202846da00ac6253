"""What an SMTP listener does, as Python's smtplib sees it: one JSON object of facts.

Arguments: host, port, account, password, mailbox, text of the message. A refusal is a fact, a broken connection a fault.
"""
import base64
import json
import smtplib
import ssl
import sys

host, port, account, password, mailbox, text = sys.argv[1:]
elsewhere = "anyone@elsewhere.example"
sender = mailbox
facts = {}


def connect(tls):
    session = smtplib.SMTP(host, int(port), local_hostname="client.lab.test", timeout=30)
    session.ehlo()
    if tls:
        session.starttls(context=ssl._create_unverified_context())
        session.ehlo()
    return session


def accepts(session, command):
    return session.docmd(command)[0] < 400


def takes_mail(session, recipient):
    taken = accepts(session, f"MAIL FROM:<{sender}>") and accepts(session, f"RCPT TO:<{recipient}>")
    session.docmd("RSET")
    return taken


def logs_in(session, secret):
    token = base64.b64encode(f"\0{account}\0{secret}".encode()).decode()
    return accepts(session, f"AUTH PLAIN {token}")


def sends(session, recipient):
    message = f"From: {sender}\r\nTo: {recipient}\r\nSubject: policy\r\n\r\n{text}\r\n.\r\n"
    try:
        return not session.sendmail(sender, [recipient], message)
    except smtplib.SMTPResponseException:
        return False


for where, tls in [("clear", False), ("tls", True)]:
    session = connect(tls)
    facts[f"{where}: STARTTLS offered"] = session.has_extn("starttls")
    facts[f"{where}: AUTH offered"] = session.has_extn("auth")
    facts[f"{where}: local mail without AUTH"] = takes_mail(session, mailbox)
    facts[f"{where}: mail for elsewhere without AUTH"] = takes_mail(session, elsewhere)
    facts[f"{where}: ETRN without AUTH"] = accepts(session, "ETRN lab.test")
    facts[f"{where}: AUTH with a wrong password"] = logs_in(session, password + "x")
    facts[f"{where}: mail after that"] = takes_mail(session, mailbox)
    session.close()
    session = connect(tls)
    facts[f"{where}: AUTH"] = logs_in(session, password)
    facts[f"{where}: local mail after AUTH"] = sends(session, mailbox)
    facts[f"{where}: mail for elsewhere after AUTH"] = sends(session, elsewhere)
    session.close()
print(json.dumps(facts))
