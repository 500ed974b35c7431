"""A mail filter on libmilter itself, that does what the subject says.

usage: filter.py SOCKET
"""

import sys
import time

import Milter


class Filter(Milter.Base):
    def header(self, name, value):
        if name.lower() == "subject":
            self.subject = value
        return Milter.CONTINUE

    def envfrom(self, sender, *parameters):
        self.subject, self.size = "", 0
        return Milter.CONTINUE

    def envrcpt(self, recipient, *parameters):
        return Milter.REJECT if "nobody" in recipient else Milter.CONTINUE

    def body(self, chunk):
        self.size += len(chunk)
        return Milter.CONTINUE

    def eom(self):
        does = self.subject.split()[0] if self.subject else ""
        if does == "reject":
            self.setreply("550", "5.7.1", "no such words here")
            return Milter.REJECT
        if does == "later":
            return Milter.TEMPFAIL
        if does == "discard":
            return Milter.DISCARD
        if does == "hold":
            self.quarantine("odd")
        if does == "mark":
            self.addheader("X-Spam-Flag", "YES")
        if does == "change":
            self.replacebody("another body")
            self.chgheader("Subject", 1, "changed")
        if does == "size" and self.size != int(self.subject.split()[1]):
            return Milter.REJECT
        if does == "stall":
            time.sleep(30)
        return Milter.ACCEPT


Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS + Milter.CHGHDRS + Milter.CHGBODY + Milter.QUARANTINE)
Milter.runmilter("test", "unix:" + sys.argv[1], 60)
