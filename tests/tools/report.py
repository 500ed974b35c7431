"""Writes and reads reports of DMARC and TLS by Python's own modules.

usage: report.py make {gzip,zip,xml,tls} DOMAIN   prints a message with a report about DOMAIN
       report.py bomb                             prints a message that unpacks to 200 MB
       report.py read FILE                        prints what the report in a message says, as JSON
"""

import email.policy
import gzip
import io
import json
import sys
import xml.etree.ElementTree as tree
import zipfile
from email.message import EmailMessage

XML = """<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata><org_name>Far {kind}</org_name><email>noreply@far.test</email>
    <report_id>{kind}-1</report_id><date_range><begin>1700000000</begin><end>1700086399</end></date_range>
  </report_metadata>
  <policy_published><domain>{domain}</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><pct>100</pct></policy_published>
  <record><row><source_ip>192.0.2.1</source_ip><count>10</count><policy_evaluated>
    <disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>
    <identifiers><header_from>{domain}</header_from></identifiers>
    <auth_results><spf><domain>{domain}</domain><result>pass</result></spf></auth_results></record>
  <record><row><source_ip>198.51.100.7</source_ip><count>3</count><policy_evaluated>
    <disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
    <identifiers><header_from>{domain}</header_from></identifiers>
    <auth_results><spf><domain>evil.test</domain><result>fail</result></spf></auth_results></record>
</feedback>
"""

TLS = {
    "organization-name": "Far tls",
    "date-range": {"start-datetime": "2026-01-01T00:00:00Z", "end-datetime": "2026-01-01T23:59:59Z"},
    "contact-info": "noreply@far.test",
    "report-id": "tls-1",
    "policies": [
        {
            "policy": {"policy-type": "no-policy-found", "policy-domain": "DOMAIN"},
            "summary": {"total-successful-session-count": 41, "total-failure-session-count": 2},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "receiving-mx-hostname": "mail.example.test",
                    "failed-session-count": 2,
                }
            ],
        }
    ],
}


def message(subject, main, sub, name, content):
    mail = EmailMessage()
    mail["From"] = "noreply@far.test"
    mail["To"] = "postmaster@example.test"
    mail["Subject"] = subject
    mail.set_content("a report\n")
    mail.add_attachment(content, maintype=main, subtype=sub, filename=name)
    sys.stdout.buffer.write(mail.as_bytes(policy=email.policy.SMTP))


def zipped(name, content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def make(kind, domain):
    subject = f"Report Domain: {domain} Submitter: far.test Report-ID: <1>"
    if kind == "tls":
        text = json.dumps(TLS).replace("DOMAIN", domain).encode()
        message(subject, "application", "tlsrpt+gzip", "far!x.json.gz", gzip.compress(text))
        return
    text = XML.format(kind=kind, domain=domain).encode()
    if kind == "gzip":
        message(subject, "application", "gzip", "far!x.xml.gz", gzip.compress(text))
    elif kind == "zip":
        message(subject, "application", "zip", "far!x.zip", zipped("far!x.xml", text))
    else:
        message(subject, "text", "xml", "far!x.xml", text)


def bomb():
    message("Report Domain: example.test", "application", "gzip", "far!x.xml.gz",
            gzip.compress(b"<" + b" " * 200_000_000))


def read(path):
    with open(path, "rb") as file:
        mail = email.message_from_binary_file(file, policy=email.policy.default)
    said = {name: str(mail[name]) for name in ("From", "To", "Subject", "TLS-Report-Domain") if mail[name]}
    said["kind"] = mail.get_content_type()
    (part,) = list(mail.iter_attachments())
    said["file"], said["type"] = part.get_filename(), part.get_content_type()
    text = gzip.decompress(part.get_content())
    if said["file"].endswith(".json.gz"):
        said["report"] = json.loads(text)
    else:
        root = tree.fromstring(text)
        space = "{urn:ietf:params:xml:ns:dmarc-2.0}"
        assert root.tag == space + "feedback", root.tag

        def plain(element):
            children = list(element)
            if not children:
                return element.text or ""
            out = {}
            for child in children:
                out.setdefault(child.tag.removeprefix(space), []).append(plain(child))
            return out

        said["report"] = plain(root)
    print(json.dumps(said))


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3])
elif sys.argv[1] == "bomb":
    bomb()
else:
    read(sys.argv[2])
