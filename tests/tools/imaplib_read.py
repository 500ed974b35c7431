"""Reads every message of a mailbox by Python's imaplib into files named by UID.

usage: imaplib_read.py HOST PORT USER PASSWORD MAILBOX FOLDER
"""

import imaplib
import sys
from pathlib import Path

host, port, user, password, mailbox, folder = sys.argv[1:]
imaplib._MAXLINE = 10_000_000
client = imaplib.IMAP4(host, int(port))
client.login(user, password)
status, (exists,) = client.select(mailbox, readonly=True)
assert status == "OK", exists
target = Path(folder)
target.mkdir(parents=True, exist_ok=True)
count = int(exists)
for first in range(1, count + 1, 200):
    last = min(first + 199, count)
    status, answers = client.fetch("%d:%d" % (first, last), "(UID BODY.PEEK[])")
    assert status == "OK", answers
    for answer in answers:
        if isinstance(answer, tuple):
            uid = answer[0].split(b"UID ")[1].split()[0].decode()
            (target / (uid + ".eml")).write_bytes(answer[1])
client.logout()
print(count)
