"""Writes messages of many charsets, encodings and structures into a folder, the same ones each time.

usage: charsets.py FOLDER
"""

import sys
from email import encoders, policy
from email.charset import BASE64, QP, Charset
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from pathlib import Path

TEXTS = {
    "ja": ("会議は明日の午後三時に始まります。資料を読んでおいてください。",
           ["utf-8", "iso-2022-jp", "shift_jis", "euc-jp", "utf-16"]),
    "ru": ("Встреча начнётся завтра в три часа. Прочитайте, пожалуйста, документы.",
           ["utf-8", "koi8-r", "windows-1251", "iso-8859-5", "utf-7"]),
    "uk": ("Зустріч почнеться завтра о третій. Прочитайте документи.",
           ["utf-8", "koi8-u", "windows-1251"]),
    "zh": ("会议明天下午三点开始。请先阅读文件。", ["utf-8", "gb18030", "gbk", "hz", "utf-16"]),
    "tw": ("會議明天下午三點開始。請先閱讀文件。", ["utf-8", "big5"]),
    "de": ("Die Besprechung beginnt morgen um drei. Grüße aus Köln!",
           ["utf-8", "iso-8859-1", "windows-1252", "macintosh", "cp850", "iso-8859-15"]),
    "pl": ("Spotkanie zaczyna się jutro o trzeciej. Proszę przeczytać dokumenty: żółć.",
           ["utf-8", "iso-8859-2", "windows-1250"]),
    "el": ("Η συνάντηση αρχίζει αύριο στις τρεις.", ["utf-8", "iso-8859-7", "windows-1253"]),
    "tr": ("Toplantı yarın üçte başlıyor. Lütfen belgeleri okuyun.",
           ["utf-8", "iso-8859-9", "windows-1254"]),
    "ro": ("Întâlnirea începe mâine la trei.", ["utf-8", "iso-8859-16", "iso-8859-2"]),
    "lt": ("Susitikimas prasideda rytoj trečią valandą.", ["utf-8", "iso-8859-4", "iso-8859-13"]),
}


def text_part(text, charset, encoding):
    part = MIMENonMultipart("text", "plain", charset=charset)
    payload = text.encode(charset, "replace")
    if encoding == "8bit" and charset not in ("utf-16",):
        part["Content-Transfer-Encoding"] = "8bit"
        part.set_payload(payload.replace(b"\r", b"").decode("latin-1"))
        return part
    part.set_payload(payload)
    (encoders.encode_quopri if encoding == "qp" else encoders.encode_base64)(part)
    return part


def attachment(name):
    part = MIMEBase("application", "octet-stream")
    part.set_payload(bytes(range(256)) * 5)
    encoders.encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", name))
    return part


def structures(text, charset, encoding):
    plain = text_part(text, charset, encoding)
    yield "plain", plain
    alternative = MIMEMultipart("alternative", boundary="alt=_1")
    alternative.attach(text_part(text, charset, encoding))
    html = MIMEText("<p>%s</p>" % text, "html", "utf-8")
    alternative.attach(html)
    yield "alternative", alternative
    mixed = MIMEMultipart("mixed", boundary="mix=_2")
    mixed.attach(text_part(text, charset, encoding))
    mixed.attach(attachment(text[:12] + ".bin"))
    yield "mixed", mixed
    digest = MIMEMultipart("digest", boundary="dig=_3")
    for number in range(2):
        inner = text_part(text, charset, encoding)
        inner["Subject"] = Header(text[:20], "utf-8")
        inner["From"] = "Inner <inner%d@sender.test>" % number
        digest.attach(MIMEMessage(inner))
    yield "digest", digest


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for language, (text, charsets) in TEXTS.items():
        for charset in charsets:
            for encoding in ("base64", "qp", "8bit"):
                for repeat in (1, 7, 60):
                    for name, message in structures(
                        "\n".join([text] * repeat), charset, encoding
                    ):
                        count += 1
                        subject = Charset("utf-8")
                        subject.header_encoding = BASE64 if count % 2 else QP
                        message["Subject"] = Header(text[:30] + " %d" % count, subject)
                        message["From"] = Header(text[:8], subject).encode() + " <ana@sender.test>"
                        message["To"] = "alice@example.test"
                        message["Date"] = "Tue, 24 Nov 2026 12:%02d:00 +0000" % (count % 60)
                        message["Message-ID"] = "<%s-%d@sender.test>" % (language, count)
                        raw = message.as_string(policy=policy.compat32).encode("latin-1", "replace")
                        lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\0", b"")
                        (folder / ("%05d-%s.eml" % (count, name))).write_bytes(
                            lines.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"
                        )
    print(count)


main()
