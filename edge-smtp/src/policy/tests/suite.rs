//! RFC 7208's public test suite (openspf.org, release 2014.04), from pyspf's sources.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::memory::World;
use mail::verdicts::Found;
use yaml_rust2::{Yaml, YamlLoader};

use super::zone::{Rr, Zone};
use crate::policy::PolicyOptions;
use crate::policy::lookups::Lookups;
use crate::policy::spf::Check;

/// Ask for MX of names with ":" and "/" in them, which no domain of ours can be.
const NOT_DOMAINS: [&str; 2] = ["mx-colon-domain", "mx-colon-domain-ip4mapped"];

fn zone(data: &Yaml) -> Zone {
    let mut zone = Zone::default();
    for (name, records) in data.as_hash().unwrap() {
        let name = name.as_str().unwrap();
        let records = records.as_vec().unwrap();
        let has_txt = records.iter().any(|one| !one["TXT"].is_badvalue());
        zone = zone.with(name, Rr::Nothing);
        for one in records {
            if one.as_str() == Some("TIMEOUT") {
                zone = zone.with(name, Rr::Timeout);
                continue;
            }
            let (kind, value) = one.as_hash().unwrap().iter().next().unwrap();
            let rr = match kind.as_str().unwrap() {
                "TXT" if value.as_str() == Some("NONE") => continue,
                "TXT" => Rr::Txt(text(value)),
                // Records of the type that is no more stand for TXT where there is none.
                "SPF" if has_txt => continue,
                "SPF" => Rr::Txt(text(value)),
                "A" | "AAAA" => Rr::Address(text(value).parse().unwrap()),
                "MX" => {
                    let preference = u16::try_from(value[0].as_i64().unwrap()).unwrap();
                    Rr::Mx(preference, text(&value[1]))
                }
                "PTR" => Rr::Ptr(text(value)),
                "CNAME" => Rr::Cname(text(value)),
                other => panic!("record of type {other}"),
            };
            zone = zone.with(name, rr);
        }
    }
    zone
}

fn text(value: &Yaml) -> String {
    match value {
        Yaml::Array(parts) => parts.iter().map(text).collect(),
        Yaml::Null => String::new(),
        other => other.as_str().unwrap_or_else(|| panic!("{other:?}")).to_owned(),
    }
}

fn expected(result: &Yaml) -> Vec<String> {
    match result {
        Yaml::Array(all) => all.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

// RFC 7208 whole; F3: limits of terms and of void answers.
// RFC 7208 §4.3, §4.4, §4.6.4, §5.2, §5.5, §5.7, §6.1, §6.2.
// RFC 7208 §4.5.
#[tokio::test(start_paused = true)]
async fn the_public_test_suite_of_spf() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../.corpus/pyspf-2.0.14/test/rfc7208-tests.yml");
    let suite = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is not there: cargo xtask test fetches it", path.display()));
    let clock = World::default().process("edge").clock;
    let options = PolicyOptions { deadline: Duration::from_secs(600), ..PolicyOptions::default() };
    let (mut count, mut wrong) = (0, Vec::new());
    for scenario in YamlLoader::load_from_str(&suite).unwrap() {
        let zone = Arc::new(zone(&scenario["zonedata"]));
        for (name, test) in scenario["tests"].as_hash().unwrap() {
            let (helo, from) = (text(&test["helo"]), text(&test["mailfrom"]));
            let sender = match from.rsplit_once('@') {
                Some(("", domain)) => ("postmaster", domain),
                Some(parts) => parts,
                None => ("postmaster", helo.as_str()),
            };
            let lookups = Lookups::new(zone.as_ref(), &clock, &options);
            let ip = text(&test["host"]).parse().unwrap();
            let mut check = Check::new(&lookups, ip, sender, &helo);
            let (found, why) = check.run(sender.1, true, "receiver", 0).await;
            count += 1;
            let (name, may) = (text(name), expected(&test["result"]));
            if NOT_DOMAINS.contains(&name.as_str()) {
                assert_eq!(found, Found::Neutral);
                continue;
            }
            if !may.iter().any(|one| one == found.keyword()) {
                wrong.push(format!("{name}: {} for {may:?}", found.keyword()));
            }
            let explanation = test["explanation"].as_str();
            if let Some(explanation) = explanation.filter(|_| found == Found::Fail) {
                let why = why.as_deref().unwrap_or("DEFAULT");
                if !why.eq_ignore_ascii_case(explanation) {
                    wrong.push(format!("{name}: {why:?} for {explanation:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 200, "only {count} tests");
}
