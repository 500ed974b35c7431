use super::*;

#[track_caller]
fn check(value: &str, expected: &str) {
    let shown = DateTime::parse(value.as_bytes()).map_or("none".into(), |time| time.to_string());
    assert_eq!(shown, expected, "{value:?}");
}

// RFC 5322 §3.3, §4.3.
#[test]
fn dates_of_mail_are_read_as_they_are_met() {
    check("Fri, 21 Nov 1997 09:55:06 -0600", "Fri, 21 Nov 1997 09:55:06 -0600");
    check(
        " Thu,\r\n 13\r\n  Feb\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland)",
        "Thu, 13 Feb 1969 23:32:00 -0330",
    );
    check("21 Nov 97 09:55:06 GMT", "Fri, 21 Nov 1997 09:55:06 +0000");
    check("Fri, 21 Nov 103 09:55:06 EDT", "Fri, 21 Nov 2003 09:55:06 -0400");
    check("1 jan 49 0:0 Z", "Fri, 1 Jan 2049 00:00:00 +0000");
    check("Mon, 1-January-2024 9.05.06 +0100", "Mon, 1 Jan 2024 09:05:06 +0100");
    check("Wed, 29 Feb 2012 23:59:60 +0000", "Wed, 29 Feb 2012 23:59:59 +0000");
    check("(c) Fri (c), 21 (c) Nov(c)1997(c)09:(c)55 : 06(c)", "Fri, 21 Nov 1997 09:55:06 +0000");
    check("1 Jan 2020 00:00 -9999", "Wed, 1 Jan 2020 00:00:00 +0000");
    check("1 Jan 2020 00:00 -9959", "Wed, 1 Jan 2020 00:00:00 -9959");
    check("Sat Sep 21 08:18:08 2002", "Sat, 21 Sep 2002 08:18:08 +0000");
    check("Fri, 02 Aug 2002 23:37:59 0530", "Fri, 2 Aug 2002 23:37:59 +0530");
    for bad in [
        "",
        "x",
        "32 Jan 2020 00:00:00 +0000",
        "29 Feb 2023 00:00:00 +0000",
        "1 Foo 2020 00:00",
        "1 Jan 2020 24:00:00",
        "1 Jan 2020",
        "1 Jan 20200 00:00",
        "0 Jan 2020 00:00",
        "1 Jan 2020 00:60",
        "111 Jan 2020 00:00",
        "99999999999999 Jan 1 1",
    ] {
        check(bad, "none");
    }
}

#[test]
fn imap_dates_are_read_strictly_and_written() {
    for text in
        ["17-Jul-1996 02:44:25 -0700", " 1-Jan-1970 00:00:00 +0000", "31-Dec-9999 23:59:59 +0000"]
    {
        assert_eq!(DateTime::parse_imap(text).map(DateTime::to_imap).as_deref(), Some(text));
    }
    assert_eq!(DateTime::parse_imap("17-Jul-1996 02:44:25 -0700").unwrap().seconds, 837_596_665);
    for bad in [
        "",
        "17-Jul-1996",
        "17-Jul-1996 02:44:25",
        "17-Jul-1996 02:44:25 0700",
        "17-Jul-1996 2:44:25 -0700",
        "32-Jul-1996 02:44:25 -0700",
        "17-Jul-1996 02:44:25 -07000",
        "17-Jul-96 02:44:25   -0700",
        "é7-Jul-1996 02:44:25 -0700",
        "17-Jul-1996 02:44:25 -0700 ",
        "17-Jul-1996 02:4425 -0700",
    ] {
        assert_eq!(DateTime::parse_imap(bad), None, "{bad:?}");
    }
    assert_eq!(Date::parse_imap("1-Feb-1994"), Date::new(1994, 2, 1));
    assert_eq!(Date::parse_imap("01-fEB-1994"), Date::new(1994, 2, 1));
    for bad in
        ["1-Feb-94", "001-Feb-1994", "1-Feb-1994-", "-1-Feb-1994", "1 Feb 1994", "30-Feb-1994"]
    {
        assert_eq!(Date::parse_imap(bad), None, "{bad:?}");
    }
}

#[test]
fn days_are_counted_without_a_gap() {
    let mut date = Date::new(0, 1, 1).unwrap();
    let first = date.days();
    let mut days = first;
    while date != Date::new(9999, 12, 31).unwrap() {
        days += 1;
        let next = Date::from_days(days);
        assert!(next > date && next.days() == days);
        assert_eq!(Date::new(next.year, next.month, next.day), Some(next));
        date = next;
    }
    assert_eq!(days - first + 1, 3_652_425);
    assert_eq!(Date::from_days(0), Date::new(1970, 1, 1).unwrap());
    assert_eq!(Date::from_days(i64::MIN), Date::new(0, 1, 1).unwrap());
    assert_eq!(Date::from_days(i64::MAX), date);
}

#[test]
fn the_day_is_that_of_the_zone_it_was_written_in() {
    let time = DateTime::parse(b"1 Jan 2024 00:30 +0100").unwrap();
    assert_eq!(time.date(), Date::new(2024, 1, 1).unwrap());
    assert_eq!(time.to_timestamp(), Timestamp::from_seconds(1_704_065_400));
    assert_eq!(
        DateTime::from_timestamp(time.to_timestamp()).date(),
        Date::new(2023, 12, 31).unwrap()
    );
    let far = DateTime { seconds: i64::MAX, offset_minutes: 5999 };
    assert!(far.to_imap().starts_with("31-Dec-9999"));
    assert_eq!(DateTime { seconds: -1, offset_minutes: 0 }.to_timestamp(), Timestamp(0));
}
