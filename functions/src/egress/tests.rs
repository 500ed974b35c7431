use super::*;

const NOW: Timestamp = Timestamp(1_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn egress(name: &str, network: &str) -> Egress {
    let source = name.rsplit('-').next().and_then(|ip| ip.parse().ok());
    Egress {
        name: name.into(),
        source,
        public: source,
        hello: format!("{name}.example.test"),
        network: network.into(),
        region: network.get(..1).unwrap_or_default().into(),
    }
}

/// Two of one network, one of another of the same country, one of IPv6 far away.
fn all() -> Vec<Egress> {
    vec![
        egress("a-192.0.2.1", "n1"),
        egress("b-192.0.2.2", "n1"),
        egress("c-198.51.100.1", "n2"),
        egress("d-2001:db8::1", "m3"),
    ]
}

fn finding(class: Class, scope: Scope) -> Finding {
    Finding {
        rule: "r".into(),
        class,
        cause: "c".into(),
        scope,
        next: None,
        hold: Some(HOUR),
        doubt: false,
    }
}

fn judged(finding: &Finding, permanent: bool, past: &Past, marks: &Marks) -> Judgement {
    let all = all();
    judge(&refusal(finding, permanent, &all[0], "ours.test"), &all, past, marks)
}

fn refusal<'a>(
    finding: &'a Finding,
    permanent: bool,
    egress: &'a Egress,
    sender: &'a str,
) -> Refusal<'a> {
    Refusal { finding, permanent, egress, sender, spf_elsewhere: false, now: NOW }
}

fn next(marks: &Marks, past: &Past, now: Timestamp) -> Choice {
    choose(&all(), marks, past, now, &|_| true)
}

fn refused(scope: Scope) -> Marks {
    let mut marks = Marks::default();
    let mark = judged(&finding(Class::Egress, scope), true, &Past::default(), &marks).mark;
    marks.set(&all()[0].name, mark.unwrap());
    marks
}

#[test]
fn what_each_class_does() {
    let later = |same| Verdict::Later { after: Some(HOUR), same };
    let unsaid = Verdict::Later { after: None, same: false };
    // class, scope, after a 5xx, after a 4xx, whether the egress is held
    let table = [
        (Class::Egress, Scope::Ip, Verdict::Switch, Verdict::Switch, true),
        (Class::Sender, Scope::Domain, Verdict::Fail, later(false), false),
        (Class::Rate, Scope::Ip, unsaid.clone(), unsaid, true),
        (Class::Rate, Scope::Domain, later(false), later(false), false),
        (Class::Rate, Scope::Recipient, later(false), later(false), false),
        (Class::Rate, Scope::Connection, Verdict::Reconnect, Verdict::Reconnect, false),
        (Class::Rate, Scope::Message, Verdict::Split, Verdict::Split, false),
        (Class::Greylist, Scope::Ip, later(true), later(true), false),
        (Class::Content, Scope::Message, Verdict::Fail, later(false), false),
        (Class::Mailbox, Scope::Recipient, Verdict::Fail, later(false), false),
        (Class::System, Scope::Destination, later(false), later(false), false),
        (Class::Relay, Scope::Destination, Verdict::Fail, later(false), false),
        (Class::Unknown, Scope::Message, Verdict::Fail, later(false), false),
    ];
    for (class, scope, permanent, temporary, held) in table {
        let finding = finding(class, scope);
        for (is_permanent, expected) in [(true, permanent), (false, temporary)] {
            let judged = judged(&finding, is_permanent, &Past::default(), &Marks::default());
            assert_eq!(judged.verdict, expected, "{class:?} {scope:?} {is_permanent}");
            assert_eq!(judged.mark.is_some(), held, "{class:?} {scope:?}");
        }
    }
}

#[test]
fn a_refusal_leads_to_another_egress_by_its_scope() {
    for (scope, expected) in [
        (Scope::Ip, "b-192.0.2.2"),
        (Scope::Net, "c-198.51.100.1"),
        (Scope::Region, "d-2001:db8::1"),
        (Scope::Family, "d-2001:db8::1"),
    ] {
        let Choice::Use { egress, probe } = next(&refused(scope), &Past::default(), NOW) else {
            panic!("{scope:?}");
        };
        assert_eq!((&*all()[egress].name, probe), (expected, false), "{scope:?}");
    }
}

#[test]
fn a_hold_doubles_heals_and_ends_with_one_probe() {
    let all = all();
    let mut marks = Marks::default();
    let words = finding(Class::Egress, Scope::Net);
    let (mut now, mut holds) = (NOW, Vec::new());
    for _ in 0..7 {
        let at = Refusal { now, ..refusal(&words, true, &all[0], "x.test") };
        let judged = judge(&at, &all, &Past::default(), &marks);
        let mark = judged.mark.unwrap();
        holds.push(mark.hold.as_secs() / 3_600);
        // Who was under way already does not double it.
        marks.set(&all[0].name, mark.clone());
        let again = judge(&at, &all, &Past::default(), &marks);
        assert_eq!(again.mark.unwrap().hold, mark.hold);
        now = mark.until.after(Duration::from_secs(1));
    }
    assert_eq!(holds, [1, 2, 4, 8, 16, 24, 24]);
    let only = &all[..2];
    let pick = |marks: &Marks| choose(only, marks, &Past::default(), now, &|_| true);
    assert_eq!(pick(&marks), Choice::Use { egress: 0, probe: true });
    let mut successes = 0;
    while marks.succeeded(&all[0].name, now).is_some() {
        successes += 1;
    }
    assert_eq!(successes, 11, "24 h halves below a minute");
    assert_eq!(pick(&marks), Choice::Use { egress: 0, probe: false });
}

#[test]
fn when_all_are_held_the_first_end_is_waited_for_and_refused_ones_are_not() {
    let mut marks = refused(Scope::Region);
    let words = finding(Class::Rate, Scope::Ip);
    let all = all();
    let far = marks.hold(&all[3], &Finding { hold: Some(HOUR / 2), ..words }, "", NOW);
    marks.set(&all[3].name, far);
    let choice = next(&marks, &Past::default(), NOW);
    assert_eq!(choice, Choice::Wait { until: NOW.after(HOUR / 2) });
    let mut past = Past::default();
    for egress in &all {
        past.note(egress, &finding(Class::Egress, Scope::Ip), Some(Avoid::Egress));
    }
    assert_eq!(next(&marks, &past, NOW), Choice::None);
    assert_eq!(choose(&all, &Marks::default(), &Past::default(), NOW, &|_| false), Choice::None);
}

#[test]
fn an_egress_that_spf_does_not_pass_is_left_out_even_where_the_message_was_pinned_to_it() {
    let (all, marks) = (all(), Marks::default());
    let not = |name: &'static str| move |egress: &Egress| !egress.name.starts_with(name);
    let choice = |past: &Past, name| choose(&all, &marks, past, NOW, &not(name));
    assert_eq!(choice(&Past::default(), "a"), Choice::Use { egress: 1, probe: false });
    let pinned = Past { pinned: Some(all[0].name.clone()), ..Past::default() };
    assert_eq!(choice(&pinned, "b"), Choice::Use { egress: 0, probe: false });
    assert_eq!(choice(&pinned, "a"), Choice::Use { egress: 1, probe: false });
}

#[test]
fn a_pinned_message_waits_for_its_egress() {
    let past = Past { pinned: Some(all()[0].name.clone()), ..Past::default() };
    assert_eq!(next(&Marks::default(), &past, NOW), Choice::Use { egress: 0, probe: false });
    let choice = next(&refused(Scope::Ip), &past, NOW);
    assert_eq!(choice, Choice::Wait { until: NOW.after(HOUR) });
}

#[test]
fn one_more_try_elsewhere_and_the_same_answer_is_final() {
    let once = Finding { next: Some(Next::OtherEgressOnce), ..finding(Class::Unknown, Scope::Ip) };
    let all = all();
    let mut past = Past::default();
    let first = judged(&once, true, &past, &Marks::default());
    assert_eq!((first.verdict, first.avoid), (Verdict::Switch, Some(Avoid::Network)));
    past.note(&all[0], &once, first.avoid);
    let choice = next(&Marks::default(), &past, NOW);
    assert_eq!(choice, Choice::Use { egress: 2, probe: false }, "another network");
    let marks = Marks::default();
    let second = judge(&refusal(&once, true, &all[2], "ours.test"), &all, &past, &marks);
    assert_eq!(second.verdict, Verdict::Fail);
    // Where there is no other network the code decides at once.
    let near = &all[..2];
    let only = judge(&refusal(&once, true, &all[0], "x"), near, &Past::default(), &marks);
    assert_eq!(only.verdict, Verdict::Fail);
    let only = judge(&refusal(&once, false, &all[0], "x"), near, &Past::default(), &marks);
    assert_eq!(only.verdict, Verdict::Later { after: Some(HOUR), same: false });
}

#[test]
fn the_same_refusal_from_two_networks_is_not_about_the_address() {
    let all = all();
    let marks = refused(Scope::Ip);
    let words = finding(Class::Egress, Scope::Ip);
    let at = |egress: usize, sender: &str| {
        judge(&refusal(&words, true, &all[egress], sender), &all, &Past::default(), &marks)
    };
    assert_eq!(at(1, "ours.test").verdict, Verdict::Switch, "the same network says nothing");
    assert_eq!(at(2, "other.test").verdict, Verdict::Switch, "another sender");
    let judged = at(2, "ours.test");
    assert_eq!((judged.verdict, judged.mark), (Verdict::Fail, None));
}

#[test]
fn spf_decides_whether_another_egress_is_tried() {
    let spf = Finding { next: Some(Next::OtherEgressSpf), ..finding(Class::Sender, Scope::Domain) };
    let all = all();
    let judged = |elsewhere| {
        let (past, marks) = (Past::default(), Marks::default());
        let refusal = refusal(&spf, true, &all[0], "ours.test");
        let refusal = Refusal { spf_elsewhere: elsewhere, ..refusal };
        judge(&refusal, &all, &past, &marks).verdict
    };
    assert_eq!(judged(true), Verdict::Switch);
    assert_eq!(judged(false), Verdict::Fail);
}
