//! A broker with two equal devices: what programs see of them, and one that uses both.

use std::process::Command;

use anyhow::{Result, ensure};

use super::broker::{Broker, Setup, run};
use super::place::Place;
use super::programs::Expected;
use super::{CONFIG, DEVICE, PATIENCE, Row, judge, one, reclaimed};

/// Unique names of devices in what rocminfo prints, in its order.
fn unique_names(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Uuid:")).map(str::trim);
    names.filter(|name| name.starts_with("GPU-")).map(str::to_owned).collect()
}

/// Runs a broker of its own.
pub(super) fn check(place: &Place) -> Result<Vec<Row>> {
    let (config, devices) = (CONFIG.to_owned(), vec![DEVICE.to_owned(); 2]);
    let broker = Broker::start(place, &Setup { name: "several", config, devices, processors: None, fixture: None })?;
    let seen = run(broker.command("rocminfo", false), PATIENCE)?;
    let names = unique_names(&seen.text);
    let mut rows = vec![judge("rocminfo on two devices".to_owned(), Ok(seen), |_| {
        ensure!(names.len() == 2 && names[0] != names[1], "it shows {names:?}");
        Ok("two agents with names of their own".to_owned())
    })];
    if let [first, second] = &names[..] {
        let lists = [
            ("1".to_owned(), vec![second]),
            ("1,0".to_owned(), vec![second, first]),
            (format!("{second},{first}"), vec![second, first]),
            ("0,2,1".to_owned(), vec![first]),
            ("2".to_owned(), vec![]),
        ];
        rows.extend(lists.iter().map(|(list, wanted)| shown(&broker, list, wanted)));
    }
    for environment in [
        &[("EXPECT_DEVICES", "2")][..],
        &[("EXPECT_DEVICES", "2"), ("ROCR_VISIBLE_DEVICES", "1,0")],
        &[("EXPECT_DEVICES", "1"), ("HIP_VISIBLE_DEVICES", "1")],
    ] {
        rows.push(one(&broker, "two_devices", environment, &Expected::Right));
    }
    rows.push(one(&broker, "hsa_devices", &[("EXPECT_DEVICES", "2")], &Expected::Right));
    rows.push(crowded(&broker, place));
    rows.push(reclaimed(&broker));
    broker.end()?;
    Ok(rows)
}

/// A tenant with room for one session has one device, and is told of the other.
fn crowded(broker: &Broker<'_>, place: &Place) -> Row {
    let seen = || {
        let mut set = Command::new(place.built.join("wavegate"));
        set.args(["tenant", "set", "default", "sessions=1", "--admin-socket"]).arg(broker.folder().join("admin.sock"));
        let told = run(&mut set, PATIENCE)?;
        ensure!(told.code == Some(0), "the limit cannot be set: {}", told.tail());
        run(broker.tenant("two_devices").env("EXPECT_DEVICES", "1"), PATIENCE)
    };
    judge("two_devices with room for one session".to_owned(), seen(), |outcome| {
        ensure!(outcome.text.contains("1 of 2 devices left out"), "nothing says what is missing");
        Expected::Right.judge("two_devices", outcome)
    })
}

/// rocminfo with a list of visible devices shows these.
fn shown(broker: &Broker<'_>, list: &str, wanted: &[&String]) -> Row {
    let seen = run(broker.command("rocminfo", false).env("ROCR_VISIBLE_DEVICES", list), PATIENCE);
    judge(format!("rocminfo ROCR_VISIBLE_DEVICES={list}"), seen, |outcome| {
        let names = unique_names(&outcome.text);
        ensure!(names.iter().eq(wanted.iter().copied()), "it shows {names:?}, not {wanted:?}");
        Ok(format!("{} devices", names.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_found_and_the_hosts_is_none() {
        let text =
            "Agent 1\n  Uuid:                    CPU-XX\nAgent 2\n  Uuid:                    GPU-5a63043eacd97f14  \n";
        assert_eq!(unique_names(text), ["GPU-5a63043eacd97f14"]);
    }
}
